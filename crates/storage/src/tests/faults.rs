//! Disks that are full, broken, read-only or gone, and calls that do half of what they were asked to.

use super::*;
use crate::os::faults::Plan;
use rustix::io::Errno;

const PIECE: u32 = 65_536;

/// A broken disk at each write in turn: writing stops with one clear error, and a second run finishes.
#[test]
fn broken_disk_at_every_write() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 70_000), (Kind::File, 60_000)]);
    let wanted = vec![true, false, true];
    let mut most_kept = 0;
    for writes in 0.. {
        // Every block is written at once, so that there are many writes to fail.
        let place =
            Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
        let opened = place.open_with(&sample, |o| o.wanted = wanted.clone());
        block_on(opened.disk.prepare()).unwrap();
        place.os.faults.set(Plan { write: Some((writes, Errno::IO)), ..Plan::default() });
        let refused = sample.all_blocks().into_iter().any(|block| {
            block_on(opened.disk.write_block(block, sample.bytes(block), 0)) == Err(WriteRefused::Stopped)
        });
        let closed = block_on(opened.disk.close());
        let events: Vec<_> = std::iter::from_fn(|| opened.events.try_recv().ok()).collect();
        let failed: Vec<_> = events.iter().filter(|e| matches!(e, DiskEvent::Failed(_))).collect();
        if failed.is_empty() {
            assert!(!refused);
            assert!(writes > 3, "the plan was never reached");
            assert!(most_kept > 0, "blocks of unfinished pieces that were written are kept");
            return;
        }
        assert!(matches!(failed[..], [DiskEvent::Failed(Error::Io { .. })]), "{writes} writes: {failed:?}");
        // What was verified before is durable and right, and the second run takes it from there.
        let saved = closed.unwrap_or_else(|error| panic!("{writes} writes: {error:?}"));
        place.os.faults.set(Plan::default());
        let written: u64 = saved.partial.iter().map(|(_, blocks)| blocks.len() as u64).sum();
        most_kept = most_kept.max(written);
        let again = place.open_with(&sample, |o| {
            o.wanted = wanted.clone();
            o.trusted = Some(saved.pieces.clone());
            o.known = saved.ours.clone();
            o.partial = saved.partial.clone();
        });
        assert_eq!(again.disk.verified(), saved.pieces, "{writes} writes");
        assert_eq!(block_on(again.disk.check(&saved.pieces, |_| {})).unwrap(), saved.pieces);
        block_on(again.disk.prepare()).unwrap();
        for block in sample.all_blocks() {
            let _ = block_on(again.disk.write_block(block, sample.bytes(block), 0));
        }
        let end = block_on(again.disk.close()).unwrap();
        assert!(end.pieces.is_full(), "{writes} writes: {:?}", end.pieces);
        assert_eq!(std::fs::read(sample.path(&place.root(), 0)).unwrap(), sample.file_bytes(0));
        assert_eq!(std::fs::read(sample.path(&place.root(), 2)).unwrap(), sample.file_bytes(2));
    }
}

/// A full disk at each write in turn, then room again: every block is taken once, and nothing else is lost.
#[test]
fn full_disk_at_every_write() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 70_000), (Kind::File, 60_000)]);
    let wanted = vec![true, false, true];
    for (writes, held) in (0..).flat_map(|writes| [(writes, 0), (writes, 1 << 20)]) {
        let place = Place::with(PoolSettings {
            held_per_torrent: held,
            kept_per_torrent: held,
            ..PoolSettings::default()
        });
        let opened = place.open_with(&sample, |o| {
            o.wanted = wanted.clone();
            o.patient = true;
        });
        block_on(opened.disk.prepare()).unwrap();
        let errno = if writes % 2 == 0 { Errno::NOSPC } else { Errno::DQUOT };
        place.os.faults.set(Plan { write: Some((writes, errno)), ..Plan::default() });
        let (disk, events, faults) = (opened.disk.clone(), opened.events.clone(), place.os.faults.clone());
        let room = std::thread::spawn(move || {
            let mut told = Vec::new();
            while let Ok(event) = events.recv_blocking() {
                if matches!(event, DiskEvent::Full(_)) {
                    block_on(disk.retry()); // in vain
                    faults.set(Plan::default());
                    block_on(disk.retry());
                }
                told.push(event);
                let count = |is: fn(&DiskEvent) -> bool| told.iter().filter(|event| is(event)).count();
                let full = count(|event| matches!(event, DiskEvent::Full(_)));
                let room = count(|event| matches!(event, DiskEvent::Room));
                if full == room && count(|event| matches!(event, DiskEvent::PieceVerified { .. })) == 4 {
                    break;
                }
            }
            told
        });
        for block in sample.all_blocks() {
            assert_eq!(block_on(opened.disk.write_block(block, sample.bytes(block), 0)), Ok(()));
        }
        block_on(opened.disk.sync()).unwrap();
        let told = room.join().unwrap();
        let count = |is: fn(&DiskEvent) -> bool| told.iter().filter(|event| is(event)).count();
        assert_eq!(count(|event| matches!(event, DiskEvent::BlockTaken { .. })), sample.all_blocks().len());
        assert_eq!(count(|event| matches!(event, DiskEvent::PieceFailed { .. } | DiskEvent::Failed(_))), 0);
        let faults = count(|event| matches!(event, DiskEvent::Full(Error::DiskFull(_))));
        assert_eq!(count(|event| matches!(event, DiskEvent::Room)), faults);
        assert!(block_on(opened.disk.close()).unwrap().pieces.is_full(), "{writes} writes");
        for file in [0, 2] {
            assert_eq!(std::fs::read(sample.path(&place.root(), file)).unwrap(), sample.file_bytes(file));
        }
        assert_eq!(opened.disk.inner.assembly.lock().unwrap().held(), 0);
        if faults == 0 && held > 0 {
            assert!(writes > 3, "the plan was never reached");
            return;
        }
    }
}

/// A sync that met a full disk says so late: while the disk, which has room by now, is tried again.
#[test]
fn a_sync_that_comes_late_does_not_undo_that_there_is_room() {
    let sample = Sample::one_file(PIECE, 2 * u64::from(PIECE));
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.patient = true);
    block_on(opened.disk.prepare()).unwrap();
    place.os.faults.set(Plan { write: Some((0, Errno::NOSPC)), ..Plan::default() });
    for block in sample.blocks(PieceIndex::new(0)) {
        opened.write(&sample, block);
    }
    assert!(matches!(opened.event(), DiskEvent::Full(Error::DiskFull(_))));
    let inner = &opened.disk.inner;
    assert!(inner.state.lock().unwrap().gate.try_again());
    inner.sync().unwrap();
    assert!(inner.state.lock().unwrap().gate.tried(), "who tries finds out whether there is room");
}

/// Nobody is let in while nothing can be written, and all are sent away at the end.
#[test]
fn who_waits_for_room_is_told_when_it_is_over() {
    let sample = Sample::one_file(PIECE, 8 * u64::from(PIECE));
    let place =
        Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.open_with(&sample, |o| o.patient = true);
    block_on(opened.disk.prepare()).unwrap();
    place.os.faults.set(Plan { write: Some((0, Errno::NOSPC)), ..Plan::default() });
    opened.write(&sample, sample.block(0, 0));
    assert!(matches!(opened.event(), DiskEvent::Full(Error::DiskFull(_))));
    let mut waits =
        Box::pin(opened.disk.write_block(sample.block(1, 0), sample.bytes(sample.block(1, 0)), 0));
    let mut poll = || {
        let waker = std::task::Waker::noop();
        waits.as_mut().poll(&mut std::task::Context::from_waker(waker))
    };
    assert!(poll().is_pending());
    (0..3).for_each(|_| block_on(opened.disk.retry()));
    assert!(poll().is_pending());
    assert!(opened.events.try_recv().is_err(), "it is told once");
    let _ = block_on(opened.disk.close());
    assert_eq!(poll(), std::task::Poll::Ready(Err(WriteRefused::Stopped)));
}

#[test]
fn too_much_that_is_not_durable_waits_for_a_sync() {
    let sample = Sample::one_file(PIECE, 4 * u64::from(PIECE));
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.max_unsynced = 2 * u64::from(PIECE));
    block_on(opened.disk.prepare()).unwrap();
    opened.write_piece(&sample, 0);
    opened.write_piece(&sample, 1);
    let mut waits =
        Box::pin(opened.disk.write_block(sample.block(2, 0), sample.bytes(sample.block(2, 0)), 0));
    let waker = std::task::Waker::noop();
    assert!(waits.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    block_on(opened.disk.sync()).unwrap();
    assert_eq!(block_on(waits), Ok(()));
}

#[test]
fn a_folder_that_is_gone_takes_no_piece_along() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    let saved = block_on(opened.disk.close()).unwrap();
    let again = place.open_with(&sample, |o| {
        o.trusted = Some(saved.pieces.clone());
        o.patient = true;
    });
    std::fs::rename(place.root(), place.dir.path().join("away")).unwrap();
    assert!(block_on(again.disk.read_block(sample.block(0, 0))).is_err());
    assert!(matches!(again.event(), DiskEvent::Failed(Error::Gone(_))));
    assert_eq!(again.disk.verified(), saved.pieces);
}

#[test]
fn a_torrent_none_of_whose_files_is_there_any_more_is_away() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 100_000)]);
    for (patient, gone, is_away) in
        [(true, &[0, 1][..], true), (true, &[0], false), (true, &[1], false), (false, &[0, 1], false)]
    {
        let place = Place::new();
        let opened = place.open_with(&sample, |o| o.patient = patient);
        block_on(opened.disk.prepare()).unwrap();
        let look = || block_on(Watched::look_after(vec![Watched::Open(opened.disk.clone())])).unwrap();
        look();
        (0..4).for_each(|piece| opened.write_piece(&sample, piece));
        block_on(opened.disk.sync()).unwrap();
        gone.iter().for_each(|&file| std::fs::remove_file(sample.path(&place.root(), file)).unwrap());
        look();
        match is_away {
            true => assert!(matches!(opened.event(), DiskEvent::Failed(Error::Unavailable(_)))),
            false => assert!(opened.nothing_told(), "{patient} {gone:?}"),
        }
        look();
        assert!(opened.nothing_told(), "it is told once");
        let pieces = block_on(opened.disk.close()).unwrap().pieces;
        assert_eq!(pieces, sample.full(), "what was known stays known");
    }
}

#[test]
fn a_read_tells_that_all_of_it_is_away() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.patient = true);
    block_on(opened.disk.prepare()).unwrap();
    (0..4).for_each(|piece| opened.write_piece(&sample, piece));
    let saved = block_on(opened.disk.close()).unwrap();
    let again = place.open_with(&sample, |o| {
        o.trusted = Some(saved.pieces.clone());
        o.patient = true;
    });
    std::fs::remove_file(sample.path(&place.root(), 0)).unwrap();
    assert!(block_on(again.disk.read_block(sample.block(0, 0))).is_err());
    assert!(matches!(again.event(), DiskEvent::Failed(Error::Unavailable(_))));
    assert_eq!(again.disk.verified(), saved.pieces);
}

#[test]
fn torrents_on_the_same_device_are_beside_each_other() {
    let sample = Sample::one_file(PIECE, 200_000);
    let (place, other) = (Place::new(), Place::new());
    let (one, two) = (place.open_with(&sample, |_| {}), place.open_with(&sample, |_| {}));
    let open = |opened: &Opened| Watched::Open(opened.disk.clone());
    assert!(open(&one).is_beside(&open(&two)));
    assert!(!open(&one).is_beside(&open(&other.open_with(&sample, |_| {}))), "of another pool");
}

#[test]
fn nothing_is_opened_where_no_disk_is_mounted() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    let mut options = OpenOptions::new(place.root(), place.parts(), |_| {});
    options.mount = Some(place.root());
    std::fs::create_dir(place.root()).unwrap();
    let opened = block_on(TorrentDisk::open(&place.pool, sample.layout.clone(), options));
    assert_eq!(opened.err(), Some(Error::Unavailable(place.root())));
    assert_eq!(std::fs::read_dir(place.root()).unwrap().count(), 0);
}

#[test]
fn the_error_says_what_to_do_and_stays() {
    let sample = Sample::one_file(PIECE, 200_000);
    for (errno, kind) in [
        (Errno::NOSPC, "disk_full"),
        (Errno::DQUOT, "disk_full"),
        (Errno::ROFS, "read_only"),
        (Errno::IO, "io"),
        (Errno::FBIG, "file_too_large"),
    ] {
        let place = Place::new();
        let opened = place.ready(&sample);
        place.os.faults.set(Plan { write: Some((0, errno)), ..Plan::default() });
        for block in sample.blocks(PieceIndex::new(0)) {
            let _ = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
        }
        let DiskEvent::Failed(error) = opened.event() else { panic!("not failed") };
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("t/f0"), "{error}");
        assert_eq!(opened.disk.error(), Some(error));
        let refused =
            block_on(opened.disk.write_block(sample.block(1, 0), sample.bytes(sample.block(1, 0)), 0));
        assert_eq!(refused, Err(WriteRefused::Stopped));
        assert!(block_on(opened.disk.prepare()).is_err());
    }
}

#[test]
fn a_torrent_that_fails_leaves_others_alone() {
    let place = Place::with(PoolSettings { threads: 1, ..PoolSettings::default() });
    let (a, b) = (Sample::one_file(PIECE, 200_000), Sample::one_file(PIECE, 150_000));
    let first = place.ready(&a);
    let second = place.open_with(&b, |o| o.root = place.dir.path().join("other"));
    block_on(second.disk.prepare()).unwrap();
    std::fs::remove_dir_all(place.root()).unwrap();
    for block in a.blocks(PieceIndex::new(0)) {
        let _ = block_on(first.disk.write_block(block, a.bytes(block), 0));
    }
    assert_eq!(first.event(), DiskEvent::Failed(Error::Gone(place.root())));
    second.write_piece(&b, 0);
    second.write_piece(&b, 1);
}

/// Whichever comes first: a block, or the end of writing.
#[test]
fn nothing_is_held_once_writing_has_stopped() {
    let sample = Sample::one_file(PIECE, u64::from(PIECE));
    let place = Place::new();
    let block = sample.block(0, 0);
    for _ in 0..300 {
        let opened = place.ready(&sample);
        let inner = &opened.disk.inner;
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                inner.take_block(block, 0, sample.bytes(block), None);
            });
            both.wait();
            inner.fail(Error::Closed);
        });
        assert_eq!(inner.assembly.lock().unwrap().held(), 0);
    }
}

#[test]
fn a_failed_sync_takes_back_what_it_was_about() {
    let sample = Sample::one_file(PIECE, 4 * u64::from(PIECE));
    let place =
        Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 2);
    assert_eq!(block_on(opened.disk.sync()).unwrap().pieces, pieces(&sample, &[2]));
    opened.write(&sample, sample.block(1, 1));
    opened.write_piece(&sample, 0);
    opened.write_piece(&sample, 3);
    assert_eq!(opened.disk.partial(), [(PieceIndex::new(1), vec![1])]);
    place.os.faults.set(Plan { sync: Some(Errno::IO), ..Plan::default() });
    let failed = block_on(opened.disk.sync()).unwrap_err();
    assert_eq!(failed.not_durable, pieces(&sample, &[0, 3]));
    assert_eq!(failed.error.kind(), "io");
    assert!(matches!(opened.event(), DiskEvent::Failed(Error::Io { action: "sync", .. })));
    // The kernel says "fine" the second time; that must not bring the pieces back.
    place.os.faults.set(Plan::default());
    let saved = block_on(opened.disk.sync()).unwrap();
    assert_eq!((saved.pieces, saved.partial), (pieces(&sample, &[2]), vec![]));
    assert_eq!(opened.disk.verified(), pieces(&sample, &[2]));
    assert_eq!(block_on(opened.disk.read_block(sample.block(0, 0))), Err(Error::NotVerified(0)));
    assert!(block_on(opened.disk.read_block(sample.block(2, 0))).is_ok());
}

#[test]
fn short_and_interrupted_writes_are_finished() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 50_000)]);
    let place = Place::new();
    let opened = place.ready(&sample);
    place.os.faults.set(Plan { short_writes: Some(1000), interrupt: true, ..Plan::default() });
    (0..3).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.close()).unwrap();
    for file in 0..2 {
        assert_eq!(std::fs::read(sample.path(&place.root(), file)).unwrap(), sample.file_bytes(file));
    }
}

#[test]
fn files_deleted_or_replaced_under_us_are_noticed_by_sync() {
    let sample = Sample::one_file(PIECE, 200_000);
    for replace in [false, true] {
        let place = Place::new();
        let opened = place.ready(&sample);
        opened.write_piece(&sample, 0);
        let path = sample.path(&place.root(), 0);
        std::fs::rename(&path, place.dir.path().join("elsewhere")).unwrap();
        if replace {
            std::fs::write(&path, "something else").unwrap();
        }
        let failed = block_on(opened.disk.sync()).unwrap_err();
        assert_eq!(failed.error, Error::Gone(path));
        assert_eq!(failed.not_durable, pieces(&sample, &[0]));
    }
}

#[test]
fn full_allocation_finds_a_full_disk_before_the_download() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 50_000)]);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.allocate = Allocate::Full);
    place.os.faults.set(Plan { allocate: Some(Errno::NOSPC), ..Plan::default() });
    assert!(matches!(block_on(opened.disk.prepare()), Err(Error::DiskFull(_))));
    assert!(!sample.path(&place.root(), 0).exists(), "nothing new is left behind");
    let refused = block_on(opened.disk.write_block(sample.block(0, 0), sample.bytes(sample.block(0, 0)), 0));
    assert_eq!(refused, Err(WriteRefused::Stopped));
    // With room again, and on a file system that cannot allocate, zeros are written instead.
    place.os.faults.set(Plan::default());
    block_on(opened.disk.prepare()).unwrap();
    let blocks = |file| {
        std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(sample.path(&place.root(), file)).unwrap())
    };
    assert!(blocks(0) * 512 >= 100_000 && blocks(1) * 512 >= 50_000);
}

#[test]
fn zeros_stand_in_for_allocation() {
    let sample = Sample::one_file(PIECE, 300_000);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.allocate = Allocate::Full);
    place.os.faults.set(Plan { allocate: Some(Errno::OPNOTSUPP), ..Plan::default() });
    block_on(opened.disk.prepare()).unwrap();
    let blocks =
        std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(sample.path(&place.root(), 0)).unwrap());
    assert!(blocks * 512 >= 300_000, "{blocks} blocks");
}

#[test]
fn folders_that_cannot_be() {
    let sample = Sample::one_file(PIECE, 1000);
    let place = Place::new();
    // The output path is a file.
    std::fs::write(place.root(), "a file").unwrap();
    let opened = place.open(&sample);
    assert_eq!(block_on(opened.disk.prepare()), Err(Error::NotAFolder(place.root())));
    assert_eq!(std::fs::read(place.root()).unwrap(), b"a file");
    // Something on the way to it is a file.
    let opened = place.open_with(&sample, |o| o.root = place.root().join("a/b"));
    assert!(matches!(block_on(opened.disk.prepare()), Err(Error::NotAFolder(_))));
    // The torrent's own folder is a file.
    let opened = place.open_with(&sample, |o| o.root = place.dir.path().to_path_buf());
    std::fs::write(place.dir.path().join("t"), "a file").unwrap();
    assert_eq!(block_on(opened.disk.prepare()), Err(Error::NotAFolder(place.dir.path().join("t"))));
    // Nothing may be created there.
    std::fs::remove_file(place.root()).unwrap();
    let opened = place.ready(&sample);
    place.os.faults.set(Plan { create: Some(Errno::ACCESS), ..Plan::default() });
    opened.write(&sample, sample.block(0, 0));
    assert!(matches!(opened.event(), DiskEvent::Failed(Error::PermissionDenied(_))));
}

/// That a piece could be read does not prove that it would survive a power cut.
#[test]
fn what_a_check_finds_is_synced_too() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    sample.write_files(&place.root());
    let opened = place.open(&sample);
    assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    place.os.faults.set(Plan { sync: Some(Errno::IO), ..Plan::default() });
    assert!(block_on(opened.disk.sync()).unwrap_err().not_durable.is_full());
}

/// After a sync that failed, what can be read may not be on the disk.
#[test]
fn what_was_broken_off_is_read_from_the_disk() {
    let sample = Sample::one_file(PIECE, 200_000);
    let place = Place::new();
    sample.write_files(&place.root());
    for broken_off in [false, true] {
        let opened = place.open_with(&sample, |o| o.broken_off = broken_off);
        place.os.faults.set(Plan { sync: Some(Errno::IO), ..Plan::default() });
        let checked = block_on(opened.disk.check(&sample.full(), |_| {}));
        assert_eq!(
            checked.map_err(|error| error.kind()),
            if broken_off { Err("io") } else { Ok(sample.full()) }
        );
        place.os.faults.set(Plan::default());
        assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    }
}

/// An empty file is durable with its folder.
#[test]
fn empty_files_are_not_synced_one_by_one() {
    let mut files = vec![(Kind::File, 0); 3000];
    files.push((Kind::File, 1000));
    let sample = Sample::new(PIECE, &files);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    let saved = block_on(opened.disk.close()).unwrap();
    assert_eq!(place.os.faults.get().syncs, 1);
    assert!(saved.files.iter().all(Option::is_some));
}

/// More files than the pool keeps open, each synced by itself: one that fails is noticed.
#[test]
fn each_of_many_files_is_synced() {
    let sample = Sample::new(1 << 20, &[(Kind::File, 10); 1500]);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    assert!(block_on(opened.disk.sync()).unwrap().pieces.is_full());
    assert_eq!(place.os.faults.get().syncs, 1500);
    let again = place.open(&sample);
    assert!(block_on(again.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    let path = sample.path(&place.root(), 1234);
    std::fs::remove_file(&path).unwrap();
    let failed = block_on(again.disk.sync()).unwrap_err();
    assert_eq!(failed.error, Error::Gone(path));
    assert!(failed.not_durable.is_full());
}

/// Bytes leave the parts file only when they are durable where they went.
#[test]
fn a_failed_sync_keeps_the_parts_file() {
    let sample = Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 20_000)]);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.wanted = vec![true, false]);
    block_on(opened.disk.prepare()).unwrap();
    opened.write_piece(&sample, 0);
    opened.write_piece(&sample, 1);
    let saved = block_on(opened.disk.close()).unwrap();
    assert!(saved.pieces.is_full());
    let again = place.open_with(&sample, |o| {
        o.trusted = Some(saved.pieces.clone());
        o.known = saved.ours.clone();
    });
    place.os.faults.set(Plan { sync: Some(Errno::IO), ..Plan::default() });
    assert_eq!(block_on(again.disk.prepare()).unwrap_err().kind(), "io");
    assert!(place.parts().exists());
    place.os.faults.set(Plan::default());
    block_on(again.disk.prepare()).unwrap();
    assert!(!place.parts().exists());
    assert!(block_on(again.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    assert_eq!(std::fs::read(sample.path(&place.root(), 1)).unwrap(), sample.file_bytes(1));
}
