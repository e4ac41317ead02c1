//! Files that somebody else shortens or removes under us.

use super::*;
use crate::os::faults::Plan;
use rustix::io::Errno;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

const PIECE: u32 = 65_536;

/// A torrent of four pieces in one file, all of them there and durable, and the file.
fn complete(place: &Place) -> (Sample, Opened, PathBuf) {
    let sample = Sample::one_file(PIECE, 4 * u64::from(PIECE));
    let opened = place.ready(&sample);
    (0..4).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.sync()).unwrap();
    let path = sample.path(&place.root(), 0);
    (sample, opened, path)
}

fn shorten(path: &Path, len: u32) {
    fs::File::options().write(true).open(path).unwrap().set_len(u64::from(len)).unwrap();
}

fn close_files(place: &Place) {
    place.pool.shared.handles.forget(|_| true);
}

fn read(opened: &Opened, sample: &Sample, piece: u32) -> Result<Bytes, Error> {
    block_on(opened.disk.read_block(sample.block(piece, 0)))
}

#[test]
fn with_a_piece_that_cannot_be_read_go_all_that_cannot_be_there() {
    let place = Place::new();
    let (sample, opened, path) = complete(&place);
    shorten(&path, PIECE + 1000);
    assert_eq!(read(&opened, &sample, 0).unwrap(), sample.bytes(sample.block(0, 0)));
    assert_eq!(read(&opened, &sample, 3), Err(Error::Shorter(path.clone())));
    opened.lost(vec![1, 2, 3]);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[0]));
    // What is written behind the end leaves zeros before.
    opened.write_piece(&sample, 3);
    assert_eq!(fs::metadata(&path).unwrap().len(), sample.content.len() as u64);
    assert_eq!(read(&opened, &sample, 1), Err(Error::NotVerified(1)));
    assert_eq!(block_on(opened.disk.sync()).unwrap().pieces, pieces(&sample, &[0, 3]));
    [1, 2].into_iter().for_each(|piece| opened.write_piece(&sample, piece));
    assert_eq!(block_on(opened.disk.close()).unwrap().pieces, sample.full());
    assert_eq!(fs::read(path).unwrap(), sample.content);
    assert!(opened.nothing_told(), "each is told once");
}

/// Whether it is still open from before or opened anew.
#[test]
fn a_file_found_shorter_by_a_write_loses_what_it_lacks() {
    for reopen in [false, true] {
        let sample = Sample::one_file(PIECE, 4 * u64::from(PIECE));
        let place = Place::new();
        let opened = place.ready(&sample);
        [0, 1, 2].into_iter().for_each(|piece| opened.write_piece(&sample, piece));
        shorten(&sample.path(&place.root(), 0), PIECE);
        if reopen {
            close_files(&place);
        }
        sample.blocks(PieceIndex::new(3)).for_each(|block| opened.write(&sample, block));
        opened.lost(vec![1, 2]);
        opened.verified(PieceIndex::new(3));
        assert_eq!(block_on(opened.disk.sync()).unwrap().pieces, pieces(&sample, &[0, 3]));
        assert_eq!(read(&opened, &sample, 2), Err(Error::NotVerified(2)));
    }
}

#[test]
fn a_file_that_is_gone_is_made_anew() {
    let place = Place::new();
    let (sample, opened, path) = complete(&place);
    // From here on it is to be synced.
    block_on(opened.disk.check(&pieces(&sample, &[0]), |_| {})).unwrap();
    fs::remove_file(&path).unwrap();
    close_files(&place);
    assert_eq!(read(&opened, &sample, 2), Err(Error::Gone(path.clone())));
    opened.lost(vec![0, 1, 2, 3]);
    assert_eq!(block_on(opened.disk.sync()).unwrap().pieces, pieces(&sample, &[]));
    (0..4).for_each(|piece| opened.write_piece(&sample, piece));
    assert_eq!(block_on(opened.disk.close()).unwrap().pieces, sample.full());
    assert_eq!(fs::read(path).unwrap(), sample.content);
}

#[test]
fn where_nothing_can_be_looked_at_only_what_was_read_is_lost() {
    let place = Place::new();
    let (sample, opened, path) = complete(&place);
    shorten(&path, 0);
    place.os.faults.set(Plan { look: Some(Errno::MFILE), ..Plan::default() });
    assert_eq!(read(&opened, &sample, 2), Err(Error::Shorter(path)));
    opened.lost(vec![2]);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[0, 1, 3]));
    // The next one to be written sees the rest.
    sample.blocks(PieceIndex::new(2)).for_each(|block| opened.write(&sample, block));
    opened.lost(vec![0, 1, 3]);
    opened.verified(PieceIndex::new(2));
}

#[test]
fn a_folder_that_is_gone_takes_no_more_than_what_was_read() {
    let place = Place::new();
    let (sample, opened, _) = complete(&place);
    let aside = place.dir.path().join("aside");
    fs::rename(place.root(), &aside).unwrap();
    close_files(&place);
    assert_eq!(read(&opened, &sample, 2), Err(Error::Gone(place.root())));
    opened.lost(vec![2]);
    fs::rename(aside, place.root()).unwrap();
    assert_eq!(read(&opened, &sample, 1).unwrap(), sample.bytes(sample.block(1, 0)));
}

#[test]
fn pieces_across_files_are_lost_with_either() {
    let len = u64::from(PIECE) * 3 / 2;
    let sample = Sample::new(PIECE, &[(Kind::File, len), (Kind::File, len), (Kind::File, len)]);
    let place = Place::new();
    let opened = place.ready(&sample);
    (0..5).for_each(|piece| opened.write_piece(&sample, piece));
    shorten(&sample.path(&place.root(), 1), 1);
    assert!(read(&opened, &sample, 2).is_err());
    opened.lost(vec![1, 2]);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[0, 3, 4]));
}

/// A piece that lives in the parts file has bytes in files that are wanted, too.
#[test]
fn what_was_dealt_out_is_lost_with_its_file() {
    let len = u64::from(PIECE) * 3 / 2;
    let sample = Sample::new(PIECE, &[(Kind::File, len), (Kind::File, len)]);
    let place = Place::new();
    let opened = place.open_with(&sample, |o| o.wanted = vec![true, false]);
    block_on(opened.disk.prepare()).unwrap();
    [0, 1].into_iter().for_each(|piece| opened.write_piece(&sample, piece));
    let path = sample.path(&place.root(), 0);
    shorten(&path, 7);
    assert!(read(&opened, &sample, 0).is_err());
    opened.lost(vec![0, 1]);
    [0, 1].into_iter().for_each(|piece| opened.write_piece(&sample, piece));
    assert_eq!(fs::read(path).unwrap(), sample.file_bytes(0));
}

/// Blocks that were written, and went, are not covered by the hash of what came before they went.
#[test]
fn an_unfinished_piece_that_lost_blocks_is_bad() {
    let sample = Sample::one_file(PIECE, 2 * u64::from(PIECE));
    let place =
        Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    let piece = PieceIndex::new(1);
    let blocks: Vec<_> = sample.blocks(piece).collect();
    blocks[..3].iter().for_each(|&block| opened.write(&sample, block));
    assert_eq!(block_on(opened.disk.sync()).unwrap().partial, [(piece, vec![0, 1, 2])]);
    shorten(&sample.path(&place.root(), 0), 0);
    opened.write_piece(&sample, 0);
    opened.write(&sample, blocks[3]);
    assert!(opened.failed(piece).0, "nobody is to blame");
    opened.write_piece(&sample, 1);
    assert_eq!(block_on(opened.disk.close()).unwrap().pieces, sample.full());
    assert_eq!(fs::read(sample.path(&place.root(), 0)).unwrap(), sample.content);
}

/// The same if what completes it finds the file shorter.
#[test]
fn a_piece_is_bad_if_the_last_write_finds_the_first_gone() {
    let sample = Sample::one_file(PIECE, u64::from(PIECE));
    let place =
        Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    let piece = PieceIndex::new(0);
    let blocks: Vec<_> = sample.blocks(piece).collect();
    blocks[..3].iter().for_each(|&block| opened.write(&sample, block));
    block_on(opened.disk.sync()).unwrap();
    shorten(&sample.path(&place.root(), 0), 0);
    opened.write(&sample, blocks[3]);
    assert!(opened.failed(piece).0, "nobody is to blame");
    opened.write_piece(&sample, 0);
}

/// One that waits for a thread meanwhile.
#[test]
fn the_file_of_a_piece_that_was_lost_is_not_handed_out() {
    let place = Place::with(PoolSettings { threads: 1, ..PoolSettings::default() });
    let (sample, opened, path) = complete(&place);
    let (go, gate) = async_channel::bounded::<()>(1);
    let (begun, has_begun) = async_channel::bounded(1);
    std::thread::scope(|scope| {
        let busy = opened.disk.with_file(sample.block(0, 0), move |_| {
            begun.try_send(()).unwrap();
            gate.recv_blocking().unwrap();
        });
        let busy = scope.spawn(|| block_on(busy));
        has_begun.recv_blocking().unwrap();
        let handed = Arc::new(AtomicBool::new(false));
        let note = handed.clone();
        let waits = opened.disk.with_file(sample.block(1, 0), move |_| {
            note.store(true, Ordering::Relaxed);
        });
        let waits = scope.spawn(|| block_on(waits));
        while opened.disk.inner.queues.readers.is_empty() {
            std::thread::yield_now();
        }
        fs::write(&path, vec![0; sample.content.len()]).unwrap();
        assert_eq!(
            block_on(opened.disk.check(&pieces(&sample, &[1]), |_| {})).unwrap(),
            pieces(&sample, &[])
        );
        go.try_send(()).unwrap();
        assert_eq!(busy.join().unwrap(), Ok(()));
        assert_eq!(waits.join().unwrap(), Err(Error::NotVerified(1)));
        assert!(!handed.load(Ordering::Relaxed));
    });
}

/// It is lost while it is read.
#[test]
fn what_was_done_with_the_file_of_a_lost_piece_is_of_no_use() {
    let place = Place::new();
    let (sample, opened, path) = complete(&place);
    let disk = opened.disk.clone();
    let range = sample.block(1, 0);
    let lose = move || {
        shorten(&path, 0);
        disk.inner.files.look_around(range.piece, &Error::Shorter(path));
    };
    assert_eq!(block_on(opened.disk.with_file(range, move |_| lose())), Err(Error::NotVerified(1)));
}
