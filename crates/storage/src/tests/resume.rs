//! What an earlier run left, what the bounds do, and what is refused.

use super::*;
use crate::check::Unreadable;
use crate::files::ReadRoom;
use crate::pool::{LaneJob, lock};
use std::fs;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

const PIECE: u32 = 65_536;

#[test]
fn unfinished_pieces_go_on() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let first = place.ready(&sample);
    first.write_piece(&sample, 1);
    for block in [0, 2, 3] {
        first.write(&sample, sample.block(0, block));
    }
    let saved = block_on(first.disk.close()).unwrap();
    assert_eq!(saved.partial, [(PieceIndex::new(0), vec![0, 2, 3])]);
    drop(first);

    let reopen = || {
        let opened = place.open_with(&sample, |o| {
            o.trusted = Some(saved.pieces.clone());
            o.known = saved.ours.clone();
            o.stamps = saved.files.clone();
            o.partial = saved.partial.clone();
        });
        block_on(opened.disk.prepare()).unwrap();
        opened
    };
    let second = reopen();
    assert_eq!(second.disk.partial(), saved.partial);
    let again = block_on(second.disk.write_block(sample.block(0, 2), sample.bytes(sample.block(0, 2)), 0));
    assert_eq!(again, Err(WriteRefused::Duplicate));
    second.write(&sample, sample.block(0, 1));
    second.verified(PieceIndex::new(0));
    drop(second);

    // Blocks that went bad between the runs: nobody is to blame, and the piece can be had again.
    let path = sample.path(&place.root(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let third = reopen();
    third.write(&sample, sample.block(0, 1));
    let (from_disk, digests) = third.failed(PieceIndex::new(0));
    assert!(from_disk);
    let known: Vec<bool> = digests.iter().map(Option::is_some).collect();
    assert_eq!(known, [false, true, false, false], "only what came in this run is told");
    third.write_piece(&sample, 0);
}

#[test]
fn partial_blocks_that_cannot_be_are_passed_over() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let n = PieceIndex::new;
    fs::create_dir_all(place.root().join("t")).unwrap();
    fs::write(sample.path(&place.root(), 0), vec![0; 150_000]).unwrap();
    let opened = place.open_with(&sample, |o| {
        o.known = vec![true];
        o.partial = vec![
            (n(0), vec![0, 4]),       // no such block
            (n(1), vec![0, 1, 2, 3]), // complete, so not partial
            (n(2), vec![0]),          // beyond the end of the file
            (n(9), vec![0]),          // no such piece
            (n(u32::MAX), vec![]),    // nothing at all
        ];
    });
    assert_eq!(opened.disk.partial(), []);
}

#[test]
fn what_is_missing_or_different_is_not_trusted() {
    let sample = Sample::new(PIECE, &[(Kind::File, 131_072), (Kind::File, 131_072), (Kind::File, 131_072)]);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open(&sample);
    assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    let saved = block_on(opened.disk.close()).unwrap();

    fs::remove_file(sample.path(&place.root(), 0)).unwrap();
    fs::File::options().write(true).open(sample.path(&place.root(), 1)).unwrap().set_len(70_000).unwrap();
    let path = sample.path(&place.root(), 2);
    fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let reopen = |stamps: &[Option<FileStamp>]| {
        place.open_with(&sample, |o| {
            o.trusted = Some(sample.full());
            o.stamps = stamps.to_vec();
        })
    };
    let opened = reopen(&saved.files);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[]));
    assert_eq!(opened.disk.suspect(), pieces(&sample, &[2, 4, 5]));
    let suspect = opened.disk.suspect();
    assert_eq!(block_on(opened.disk.check(&suspect, |_| {})).unwrap(), suspect);
    assert_eq!(opened.disk.suspect().count_ones(), 0);
    // Without stamps, as after a crash, only what cannot be there is dropped.
    assert_eq!(reopen(&[]).disk.verified(), pieces(&sample, &[2, 4, 5]));
}

#[test]
fn verify_tells_how_each_file_is() {
    let files = [(Kind::File, 100_000); 6];
    let sample =
        Sample::new(PIECE, &[&files[..], &[(Kind::Pad, 10), (Kind::File, 0), (Kind::File, 0)]].concat());
    let place = Place::new();
    sample.write_files(&place.root());
    let path = |file| sample.path(&place.root(), file);
    fs::remove_file(path(1)).unwrap();
    fs::remove_file(path(8)).unwrap();
    let mut bytes = sample.file_bytes(3).to_vec();
    bytes[50_000] ^= 1;
    fs::write(path(3), bytes).unwrap();
    fs::write(path(5), [sample.file_bytes(5), b"more"].concat()).unwrap();
    fs::remove_file(path(4)).unwrap();
    fs::create_dir(path(4)).unwrap();
    let opened = place.open(&sample);
    let mut last = 0;
    let report = block_on(opened.disk.verify(|done| last = done)).unwrap();
    assert_eq!(last, sample.layout.lengths().piece_count());
    // Pieces of 65,536: file 1 is in 1..=3, file 3 is damaged in 5, file 4 is in 6 and 7.
    assert_eq!(report.pieces, pieces(&sample, &[0, 4, 8, 9]));
    assert_eq!(report.files[0], FileReport::BadPieces { bad: 1, pieces: 2 });
    assert_eq!(report.files[1], FileReport::Missing);
    assert_eq!(report.files[2], FileReport::BadPieces { bad: 1, pieces: 2 });
    assert_eq!(report.files[3], FileReport::BadPieces { bad: 2, pieces: 3 });
    assert_eq!(report.files[4], FileReport::Unreadable(Error::FolderInTheWay(path(4))));
    assert_eq!(report.files[5], FileReport::WrongSize { found: 100_004, bad: 1, pieces: 3 });
    assert_eq!(report.files[6..], [FileReport::Good, FileReport::Good, FileReport::Missing]);
    assert!(!place.parts().exists());
}

#[test]
fn holes_are_checked_without_being_read() {
    let sample = Sample::one_file(PIECE, 1 << 20);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 3);
    assert_eq!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap(), pieces(&sample, &[3]));
    // A torrent of zeros is there as soon as its files are.
    let zeros = Sample::new(PIECE, &[(Kind::File, 1), (Kind::Pad, 200_000)]);
    zeros.write_files(&place.root());
    assert!(block_on(place.open(&zeros).disk.check(&zeros.full(), |_| {})).unwrap().is_full());
    let path = zeros.path(&place.root(), 0);
    fs::File::create(&path).unwrap().set_len(1).unwrap();
    assert_eq!(
        block_on(place.open(&zeros).disk.check(&zeros.full(), |_| {})).unwrap(),
        pieces(&zeros, &[1, 2, 3])
    );
}

/// Tens of thousands of large pieces that are not there, or are holes, are a handful of jobs.
#[test]
fn pieces_that_need_no_reading_are_checked_many_at_once() {
    let (count, length) = (20_000_u32, 16_u32 << 20);
    let len = u64::from(count) * u64::from(length);
    let mut hashes = vec![0; 20 * count as usize];
    hashes[20 * 7..20 * 8].copy_from_slice(&Sha1::digest(vec![0; length as usize]));
    let layout = layout(&format!("d6:lengthi{len}e4:pathl1:fee"), length, &hashes);
    let sample = Sample { layout, content: Vec::new(), files: vec![(Kind::File, len)] };
    for sparse in [false, true] {
        let place = Place::new();
        if sparse {
            let path = sample.path(&place.root(), 0);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().set_len(len).unwrap();
        }
        let opened = place.open(&sample);
        let (mut calls, mut done) = (0, 0);
        let progress = |n| (calls, done) = (calls + 1, n);
        let good = block_on(opened.disk.check(&sample.full(), progress)).unwrap();
        assert_eq!(good, pieces(&sample, if sparse { &[7] } else { &[] }), "zeros where zeros belong");
        assert_eq!(done, count);
        assert!(calls <= 10, "{calls} jobs");
    }
}

/// After a crash a piece can be complete of which only some blocks were noted.
#[test]
fn a_piece_noted_as_unfinished_may_be_complete() {
    let sample = Sample::new(PIECE, &[(Kind::File, 200_000), (Kind::File, 20_000)]);
    for wanted in [[true, true], [true, false]] {
        let place = Place::new();
        let first = place.open_with(&sample, |o| o.wanted = wanted.to_vec());
        block_on(first.disk.prepare()).unwrap();
        // The last of them touches the second file.
        [0, 3].into_iter().for_each(|piece| first.write_piece(&sample, piece));
        first.write(&sample, sample.block(1, 2));
        let saved = block_on(first.disk.close()).unwrap();
        drop(first);

        let n = PieceIndex::new;
        let noted = vec![(n(0), vec![1]), (n(1), vec![2]), (n(3), vec![0])];
        let opened = place.open_with(&sample, |o| {
            o.wanted = wanted.to_vec();
            o.known = saved.ours.clone();
            o.partial = noted.clone();
        });
        assert_eq!(opened.disk.partial(), noted);
        assert_eq!(
            block_on(opened.disk.check(&pieces(&sample, &[0, 1]), |_| {})).unwrap(),
            pieces(&sample, &[0])
        );
        assert_eq!(opened.disk.verified(), pieces(&sample, &[0]));
        assert_eq!(opened.disk.partial(), noted[1..], "not good, or not asked for");
        assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().contains(n(3)));
        block_on(opened.disk.prepare()).unwrap();
        let write = |block| block_on(opened.disk.write_block(block, sample.bytes(block), 0));
        assert_eq!(write(sample.block(0, 0)), Err(WriteRefused::AlreadyVerified));
        assert_eq!(write(sample.block(1, 2)), Err(WriteRefused::Duplicate));
        [0, 1, 3].into_iter().for_each(|block| opened.write(&sample, sample.block(1, block)));
        opened.verified(n(1));
        opened.write_piece(&sample, 2);
        assert!(block_on(opened.disk.close()).unwrap().pieces.is_full());
    }
}

#[test]
fn a_check_takes_back_what_is_bad() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    opened.write_piece(&sample, 1);
    opened.write(&sample, sample.block(2, 0));
    let block = sample.block(0, 1);
    let path = sample.path(&place.root(), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    // Nobody knows yet. What is read now is kept for a while, but not beyond the check.
    assert_ne!(block_on(opened.disk.read_block(block)).unwrap(), sample.bytes(block));
    assert_eq!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap(), pieces(&sample, &[1]));
    assert_eq!(block_on(opened.disk.read_block(block)), Err(Error::NotVerified(0)));
    opened.write_piece(&sample, 0);
    assert_eq!(block_on(opened.disk.read_block(block)).unwrap(), sample.bytes(block));
}

#[test]
fn a_hole_that_was_filled_meanwhile_is_none() {
    let sample = Sample::one_file(PIECE, 3 * u64::from(PIECE));
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 2);
    let (mut room, mut good) = (ReadRoom::default(), Vec::new());
    let mut check = |piece| {
        let pieces = std::iter::once(PieceIndex::new(piece));
        opened.disk.inner.check_abreast(pieces, &mut room, Unreadable::IsAnError, &mut good)
    };
    check(0).unwrap();
    opened.write_piece(&sample, 1);
    check(1).unwrap();
    assert_eq!(good, [PieceIndex::new(1)]);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[1, 2]));
}

#[test]
fn a_check_passes_over_what_is_being_downloaded() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open_with(&sample, |o| o.known = vec![true]);
    block_on(opened.disk.prepare()).unwrap();
    opened.write(&sample, sample.block(2, 1));
    let found = block_on(opened.disk.check(&sample.full(), |_| {})).unwrap();
    assert_eq!(found, pieces(&sample, &[0, 1, 3]));
    assert_eq!(opened.disk.verified(), found);
}

/// One run is read for several requests.
#[test]
fn blocks_in_a_row_cost_one_read() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open_with(&sample, |o| o.trusted = Some(sample.full()));
    let read = |block| block_on(opened.disk.read_block(sample.block(0, block))).unwrap();
    assert_eq!(read(0), sample.bytes(sample.block(0, 0)));
    fs::write(sample.path(&place.root(), 0), vec![0; 200_000]).unwrap();
    assert_eq!(read(3), sample.bytes(sample.block(0, 3)));
}

#[test]
fn any_range_of_a_verified_piece_can_be_read() {
    let sample = Sample::one_file(1 << 20, 1_500_000);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open_with(&sample, |o| o.trusted = Some(pieces(&sample, &[1])));
    let lengths = sample.layout.lengths();
    for (offset, len) in
        [(0, 1), (1, 131_072), (262_143, 2), (262_144, 16_384), (300_000, 151_424), (0, 451_424)]
    {
        let range = lengths.block_range(1, offset, len).unwrap();
        assert!(block_on(opened.disk.read_block(range)).unwrap() == sample.bytes(range), "{range:?}");
    }
    let beyond = BlockRange { piece: PieceIndex::new(1), offset: 451_424, len: 1 };
    assert!(block_on(opened.disk.read_block(beyond)).is_err());
    assert_eq!(block_on(opened.disk.read_block(sample.block(0, 0))), Err(Error::NotVerified(0)));
    assert!(place.pool.shared.runs.lock().unwrap().len() <= 2);
    block_on(opened.disk.close()).unwrap();
    assert_eq!(block_on(opened.disk.read_block(sample.block(1, 0))), Err(Error::Closed));
    assert_eq!(place.pool.shared.runs.lock().unwrap().len(), 0);
}

#[test]
fn blocks_that_are_refused() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let opened = place.open(&sample);
    let write = |range, data| block_on(opened.disk.write_block(range, data, 0));
    let block = sample.block(0, 0);
    assert_eq!(write(block, sample.bytes(block)), Err(WriteRefused::Stopped), "not prepared");
    block_on(opened.disk.prepare()).unwrap();
    assert_eq!(
        write(BlockRange { len: 100, ..block }, Bytes::from(vec![0; 100])),
        Err(WriteRefused::NotABlock)
    );
    assert_eq!(write(block, Bytes::from(vec![0; 100])), Err(WriteRefused::NotABlock));
    opened.write_piece(&sample, 0);
    assert_eq!(write(block, sample.bytes(block)), Err(WriteRefused::AlreadyVerified));
    block_on(opened.disk.close()).unwrap();
    assert_eq!(write(sample.block(1, 0), sample.bytes(sample.block(1, 0))), Err(WriteRefused::Stopped));
}

#[test]
fn no_attempt_begins_before_what_the_last_one_came_to_can_be_told() {
    let sample = Sample::one_file(16_384, 16_384);
    let place = Place::new();
    let opened = place.ready(&sample);
    let (inner, block, bad) = (&opened.disk.inner, sample.block(0, 0), Bytes::from(vec![0; 16_384]));
    lock(&inner.state).claim(sample.layout.lengths(), block, &bad).unwrap();
    assert!(inner.take_block(block, 0, bad, Some(DiskEvent::BlockTaken { block, from: 0 })));
    std::thread::scope(|scope| {
        let assembly = lock(&inner.assembly);
        scope.spawn(|| inner.settle());
        assert!(matches!(opened.events.recv_blocking().unwrap(), DiskEvent::BlockTaken { .. }));
        let unsaid = lock(&inner.unsaid);
        drop(assembly);
        // It comes as far as it can without telling anything.
        let mut waits = 0;
        while waits < 1000 {
            waits = inner.state.try_lock().map_or(waits + 1, |state| {
                assert!(state.is_begun(block.piece));
                0
            });
            std::thread::yield_now();
        }
        drop(unsaid);
    });
    opened.failed(block.piece);
    opened.write_piece(&sample, 0);
}

/// A full queue makes writers wait; one that gives up gives its block's place back.
#[test]
fn a_writer_that_gives_up_leaves_no_claim() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::with(PoolSettings { threads: 1, lane_queue: 1, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    let (hold, held) = async_channel::bounded::<()>(1);
    let (started, start) = async_channel::bounded::<()>(1);
    let busy = move || {
        started.try_send(()).unwrap();
        let _ = held.recv_blocking();
    };
    let lane = &opened.disk.inner.queues.lane;
    lane.try_send(LaneJob::Run(Box::new(busy))).unwrap();
    start.recv_blocking().unwrap();

    opened.write(&sample, sample.block(0, 0));
    let block = sample.block(0, 1);
    let mut waiting = Box::pin(opened.disk.write_block(block, sample.bytes(block), 0));
    assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    let other = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
    assert_eq!(other, Err(WriteRefused::Duplicate));
    drop(waiting);
    hold.close();
    opened.write(&sample, block);
    opened.write(&sample, sample.block(0, 2));
    opened.write(&sample, sample.block(0, 3));
    opened.verified(PieceIndex::new(0));
}

#[test]
fn no_more_is_held_than_allowed_and_no_more_files_are_open() {
    let files = [(Kind::File, 30_000); 12];
    let sample = Sample::new(1 << 20, &files);
    let limit = 100_000;
    let settings = PoolSettings { held_per_pool: limit, open_files: 3, ..PoolSettings::default() };
    let place = Place::with(settings);
    let opened = place.ready(&sample);
    let (done, wait) = async_channel::bounded::<()>(1);
    for block in sample.all_blocks().into_iter().rev() {
        opened.write(&sample, block);
        let done = done.clone();
        // The lane is done with the block when it is done with what comes after it.
        let lane = &opened.disk.inner.queues.lane;
        lane.send_blocking(LaneJob::Run(Box::new(move || done.try_send(()).unwrap()))).unwrap();
        wait.recv_blocking().unwrap();
        assert!(place.pool.shared.held.load(Ordering::Relaxed) <= limit);
        assert!(place.pool.shared.handles.len() <= 3);
    }
    opened.verified(PieceIndex::new(0));
    assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), 0);
    block_on(opened.disk.close()).unwrap();
    assert_eq!(place.pool.shared.handles.len(), 0);
    for file in 0..12 {
        assert_eq!(fs::read(sample.path(&place.root(), file)).unwrap(), sample.file_bytes(file));
    }
}

#[test]
fn a_check_that_is_dropped_stops() {
    let sample = Sample::one_file(PIECE, 1 << 20);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open(&sample);
    let full = sample.full();
    let mut check = Box::pin(opened.disk.check(&full, |_| {}));
    let _ = check.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(check);
    let Place { pool, .. } = place;
    drop(opened);
    // Every job lets go of the torrent, so the threads can end.
    block_on(pool.ended());
}

#[test]
fn damaged_parts_files_are_started_anew() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 100_000)]);
    let wanted = vec![true, false];
    let place = Place::new();
    let run = |trusted: Option<Bitfield>| {
        let opened = place.open_with(&sample, |o| {
            o.wanted = wanted.clone();
            o.known = vec![true, false];
            o.trusted = trusted;
        });
        block_on(opened.disk.prepare()).unwrap();
        opened
    };
    let first = run(None);
    first.write_piece(&sample, 0);
    first.write_piece(&sample, 1);
    let saved = block_on(first.disk.close()).unwrap();
    drop(first);
    let good = fs::read(place.parts()).unwrap();
    let swapped = [&good[..32], &good[36..40], &good[36..]].concat();
    let damaged =
        [swapped, b"junk".to_vec(), Vec::new(), good[..30].to_vec(), [b"x", &good[1..]].concat(), {
            let mut entry = good.clone();
            entry[32..48].fill(0xff);
            entry
        }];
    for bytes in damaged {
        fs::write(place.parts(), bytes).unwrap();
        let opened = run(Some(saved.pieces.clone()));
        // Nor is a slot's content dealt out to a good file only because the table says so.
        assert!(
            !opened.disk.verified().contains(PieceIndex::new(1)),
            "what was in the parts file is not believed"
        );
        assert_eq!(fs::read(sample.path(&place.root(), 0)).unwrap(), sample.file_bytes(0));
        let claimed = opened.disk.verified();
        assert_eq!(block_on(opened.disk.check(&claimed, |_| {})).unwrap(), claimed);
        let missing = opened.disk.verified().zeros().filter(|p| p.get() < 2).collect::<Vec<_>>();
        missing.into_iter().for_each(|piece| opened.write_piece(&sample, piece.get()));
        assert_eq!(block_on(opened.disk.close()).unwrap().pieces, pieces(&sample, &[0, 1]));
    }
    assert_eq!(fs::read(sample.path(&place.root(), 0)).unwrap(), sample.file_bytes(0));
    assert!(!sample.path(&place.root(), 1).exists());
}

/// Blocks in the parts file are of no use when their piece belongs to the files now, and the other way round.
#[test]
fn blocks_are_dropped_when_their_piece_moves() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 100_000)]);
    for (before, after) in [([true, false], [true, true]), ([true, true], [true, false])] {
        let place = Place::new();
        let opened = place.open_with(&sample, |o| o.wanted = before.to_vec());
        block_on(opened.disk.prepare()).unwrap();
        opened.write(&sample, sample.block(0, 2));
        opened.write(&sample, sample.block(1, 2));
        let saved = block_on(opened.disk.close()).unwrap();
        assert_eq!(saved.partial.len(), 2);
        drop(opened);
        let again = place.open_with(&sample, |o| {
            o.wanted = after.to_vec();
            o.known = saved.ours.clone();
            o.partial = saved.partial.clone();
        });
        assert_eq!(again.disk.partial(), saved.partial[..1]);
        block_on(again.disk.prepare()).unwrap();
        again.write_piece(&sample, 1);
    }
}

/// A file that we did not want, so did not create, may be somebody else's the next time.
#[test]
fn only_files_that_were_wanted_become_ours() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::Pad, 5), (Kind::File, 100_000)]);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.wanted = vec![true]);
    assert_eq!(opened.disk.ours(), [true, false, false]);
    assert_eq!(place.open(&sample).disk.ours(), [true, false, true]);
}

/// What an earlier run has left is not read back before something comes to be hashed after it.
#[test]
fn a_sync_reads_nothing_back() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let first = place.ready(&sample);
    [0, 1].into_iter().for_each(|n| first.write(&sample, sample.block(0, n)));
    let saved = block_on(first.disk.close()).unwrap();
    assert_eq!(saved.partial, [(PieceIndex::new(0), vec![0, 1])]);
    let again = place.open_with(&sample, |o| {
        o.known = saved.ours.clone();
        o.partial = saved.partial.clone();
    });
    block_on(again.disk.prepare()).unwrap();
    // To read it would fail.
    let file = std::fs::File::options().write(true).open(sample.path(&place.root(), 0)).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(block_on(again.disk.sync()).unwrap().partial, saved.partial);
    assert_eq!(again.events.try_recv().ok(), None);
}
