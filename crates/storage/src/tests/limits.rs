//! What happens at the bounds of a pool that nobody has told other ones.

use super::*;
use crate::limits::*;
use crate::pool::{Job, LaneJob, lock};
use async_channel::Sender;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use types::BLOCK_LEN;

/// One thread of each kind, and the bounds that there are by default.
fn one_thread() -> Place {
    Place::with(PoolSettings { threads: 1, ..PoolSettings::default() })
}

/// Keeps a thread busy; it goes on when the sender is dropped.
fn busy() -> (Job, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = async_channel::bounded(1);
    let (go, waits) = async_channel::bounded::<()>(1);
    let job = move || {
        begun.try_send(()).unwrap();
        let _ = waits.recv_blocking();
    };
    (Box::new(job), has_begun, go)
}

/// Keeps the one thread of a queue busy and fills the queue; returns what lets it go on.
fn fill(queue: &Sender<Job>, len: usize) -> Sender<()> {
    let (job, has_begun, go) = busy();
    queue.try_send(job).unwrap();
    has_begun.recv_blocking().unwrap();
    for n in 0..len {
        assert!(queue.try_send(Box::new(|| ())).is_ok(), "{n} wait");
    }
    go
}

/// Whether a call has to wait.
fn waits<T>(call: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
    matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

#[test]
fn who_writes_waits_when_so_many_blocks_do() {
    let sample = Sample::one_file(1 << 20, (LANE_QUEUE as u64 + 1) * u64::from(BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    let (job, has_begun, go) = busy();
    block_on(opened.disk.inner.queues.lane.send(LaneJob::Run(job))).unwrap();
    has_begun.recv_blocking().unwrap();
    let blocks = sample.all_blocks();
    for &block in &blocks[..LANE_QUEUE] {
        assert!(!waits(&mut Box::pin(opened.disk.write_block(block, sample.bytes(block), 0))));
    }
    let last = blocks[LANE_QUEUE];
    let mut one_more = Box::pin(opened.disk.write_block(last, sample.bytes(last), 0));
    assert!(waits(&mut one_more));
    drop(go);
    block_on(one_more).unwrap();
    assert!(block_on(opened.disk.close()).unwrap().pieces.is_full());
}

#[test]
fn what_is_to_be_forgotten_waits_for_a_queue_that_is_full() {
    let (piece, blocks) = (PieceIndex::new(0), [1, 2, 3]);
    let sample = Sample::one_file(4 * BLOCK_LEN, 4 * u64::from(BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    let lane = &opened.disk.inner.queues.lane;
    let (job, has_begun, go) = busy();
    block_on(lane.send(LaneJob::Run(job))).unwrap();
    has_begun.recv_blocking().unwrap();
    for block in blocks.map(|number| sample.block(0, number)) {
        block_on(opened.disk.write_block(block, sample.bytes(block), 0)).unwrap();
    }
    while lane.try_send(LaneJob::Run(Box::new(|| ()))).is_ok() {}
    let mut later = Box::pin(opened.disk.forget_blocks(piece, vec![1]).expect("there is no room"));
    assert!(waits(&mut later));
    // However many there are, they wait together.
    for block in [2, 1, 2] {
        assert!(opened.disk.forget_blocks(piece, vec![block]).is_none());
    }
    drop(go);
    block_on(later);
    let told = |blocks| DiskEvent::BlocksForgotten { piece, blocks };
    assert_eq!([opened.event(), opened.event()], [told(vec![1]), told(vec![2])]);
    assert!(opened.disk.forget_blocks(piece, vec![3]).is_none(), "there is room again");
    assert_eq!(opened.event(), told(vec![3]));
}

#[test]
fn who_reads_waits_when_so_many_reads_do() {
    let sample = Sample::one_file(BLOCK_LEN, u64::from(BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    let queue = &opened.disk.inner.queues.readers;
    let go = fill(queue, READ_QUEUE);
    assert!(queue.is_full());
    let mut read = Box::pin(opened.disk.read_block(sample.block(0, 0)));
    assert!(waits(&mut read));
    drop(go);
    assert_eq!(block_on(read).unwrap(), sample.bytes(sample.block(0, 0)));
}

#[test]
fn who_checks_waits_when_so_much_work_does() {
    let sample = Sample::one_file(BLOCK_LEN, u64::from(BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    let queue = &opened.disk.inner.queues.workers;
    let go = fill(queue, WORK_QUEUE);
    assert!(queue.is_full());
    let full = sample.full();
    let mut check = Box::pin(opened.disk.check(&full, |_| {}));
    assert!(waits(&mut check));
    drop(go);
    assert_eq!(block_on(check).unwrap(), full);
}

/// Blocks of a piece whose first one is missing, so that none can be hashed: how much of them is held.
fn hold(opened: &Opened, sample: &Sample, blocks: std::ops::Range<u32>) -> usize {
    blocks.for_each(|block| opened.write(sample, sample.block(0, block)));
    // What is behind them on the lane: they were taken.
    let (done, is_done) = async_channel::bounded(1);
    let job = Box::new(move || done.try_send(()).unwrap());
    block_on(opened.disk.inner.queues.lane.send(LaneJob::Run(job))).unwrap();
    is_done.recv_blocking().unwrap();
    lock(&opened.disk.inner.assembly).held()
}

#[test]
fn one_torrent_holds_so_much_and_then_writes() {
    let most = u32::try_from(HELD_PER_TORRENT).unwrap() / BLOCK_LEN;
    let sample = Sample::one_file((most + 2) * BLOCK_LEN, u64::from((most + 2) * BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    assert_eq!(hold(&opened, &sample, 1..most + 1), HELD_PER_TORRENT);
    assert_eq!(place.os.faults.get().calls, 0, "nothing is written");
    assert!(hold(&opened, &sample, most + 1..most + 2) <= HELD_PER_TORRENT / 2);
    assert!(place.os.faults.get().calls > 0);
    opened.write(&sample, sample.block(0, 0));
    opened.verified(PieceIndex::new(0));
}

#[test]
fn one_torrent_keeps_so_much_of_what_is_written_and_then_lets_go() {
    let most = u32::try_from(KEPT_PER_TORRENT).unwrap() / BLOCK_LEN;
    let sample = Sample::one_file((most + 2) * BLOCK_LEN, u64::from((most + 2) * BLOCK_LEN));
    let place = Place::with(PoolSettings { threads: 1, held_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    let kept = || lock(&opened.disk.inner.assembly).kept();
    assert_eq!(hold(&opened, &sample, 1..most + 1), 0);
    assert_eq!(kept(), KEPT_PER_TORRENT);
    assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), KEPT_PER_TORRENT);
    hold(&opened, &sample, most + 1..most + 2);
    assert!(kept() <= KEPT_PER_TORRENT / 2);
    opened.write(&sample, sample.block(0, 0));
    opened.verified(PieceIndex::new(0));
    assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), 0);
}

/// Three blocks of a piece are kept; the file turns out to be cut when the fourth is written.
#[test]
fn what_may_not_be_there_any_more_is_not_hashed_from_memory() {
    let sample = Sample::one_file(4 * BLOCK_LEN, u64::from(4 * BLOCK_LEN));
    let place = Place::with(PoolSettings { threads: 1, held_per_torrent: 0, ..PoolSettings::default() });
    for is_cut in [false, true] {
        let opened = place.ready(&sample);
        hold(&opened, &sample, 1..4);
        assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), 3 * BLOCK_LEN as usize);
        let path = sample.path(&place.root(), 0);
        if is_cut {
            std::fs::File::options().write(true).open(&path).unwrap().set_len(9).unwrap();
        }
        opened.write(&sample, sample.block(0, 0));
        let told = opened.event();
        assert_eq!(matches!(told, DiskEvent::PieceFailed { from_disk: true, .. }), is_cut, "{told:?}");
        block_on(opened.disk.close()).unwrap();
        assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), 0, "all of it is given back");
        std::fs::remove_file(path).unwrap();
    }
}

/// A piece is complete in memory and on disk, and only what is written of the next one shows that the file was cut.
#[test]
fn a_piece_is_not_good_if_the_next_one_shows_that_it_is_gone() {
    let sample = Sample::one_file(2 * BLOCK_LEN, u64::from(3 * BLOCK_LEN));
    let held_per_torrent = BLOCK_LEN as usize;
    let place = Place::with(PoolSettings { threads: 1, held_per_torrent, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    let inner = &opened.disk.inner;
    for block in sample.all_blocks() {
        inner.take_block(block, block.offset / BLOCK_LEN, sample.bytes(block), None);
    }
    let in_memory = |assembly: &crate::assembly::Assembly| [assembly.held(), assembly.kept()];
    assert_eq!(in_memory(&lock(&inner.assembly)), [held_per_torrent, 2 * held_per_torrent]);
    let path = sample.path(&place.root(), 0);
    std::fs::File::options().write(true).open(path).unwrap().set_len(9).unwrap();
    inner.settle();
    assert!(opened.failed(PieceIndex::new(0)).0);
    opened.verified(PieceIndex::new(1));
}

#[test]
fn blocks_are_awaited_while_a_begun_piece_lacks_some() {
    let sample = Sample::one_file(2 * BLOCK_LEN, u64::from(4 * BLOCK_LEN));
    let opened = one_thread().ready(&sample);
    let inner = &opened.disk.inner;
    let awaits = [(0, 1), (1, 1), (0, 0), (1, 0)].map(|(piece, block)| {
        let range = sample.block(piece, block);
        inner.take_block(range, block, sample.bytes(range), None);
        inner.awaits_blocks()
    });
    assert_eq!(awaits, [true, true, true, false]);
}

#[test]
fn a_sync_lets_go_of_what_is_kept() {
    let sample = Sample::one_file(4 * BLOCK_LEN, u64::from(4 * BLOCK_LEN));
    let place = Place::with(PoolSettings { threads: 1, held_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    hold(&opened, &sample, 1..4);
    let snapshot = block_on(opened.disk.sync()).unwrap();
    assert_eq!(snapshot.partial, [(PieceIndex::new(0), vec![1, 2, 3])]);
    assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), 0);
    opened.write(&sample, sample.block(0, 0));
    opened.verified(PieceIndex::new(0));
}

#[test]
fn all_torrents_hold_so_much_and_the_next_gives_way() {
    let block = BLOCK_LEN as usize;
    let sample = Sample::one_file(4 * BLOCK_LEN, u64::from(4 * BLOCK_LEN));
    let place = one_thread();
    let opened = place.ready(&sample);
    // Others hold all but two blocks.
    place.pool.shared.held.fetch_add(HELD_PER_POOL - 2 * block, Ordering::Relaxed);
    assert_eq!(hold(&opened, &sample, 1..3), 2 * block);
    assert_eq!(hold(&opened, &sample, 3..4), 0);
    assert_eq!(place.pool.shared.held.load(Ordering::Relaxed), HELD_PER_POOL - 2 * block);
    opened.write(&sample, sample.block(0, 0));
    opened.verified(PieceIndex::new(0));
}

#[test]
fn one_write_takes_so_many_blocks() {
    for (held, writes) in [(MAX_WRITE_BLOCKS, 1), (MAX_WRITE_BLOCKS + 1, 2)] {
        let held = u32::try_from(held).unwrap();
        let sample = Sample::one_file((held + 1) * BLOCK_LEN, u64::from((held + 1) * BLOCK_LEN));
        let settings = PoolSettings {
            threads: 1,
            held_per_torrent: ((held - 1) * BLOCK_LEN) as usize,
            ..PoolSettings::default()
        };
        let place = Place::with(settings);
        let opened = place.ready(&sample);
        assert_eq!(hold(&opened, &sample, 1..held + 1), 0);
        // The first call gives the file its length.
        assert_eq!(place.os.faults.get().calls, 1 + writes);
    }
}

/// Runs of a torrent that has one in each piece.
fn runs(count: usize) -> (Sample, Place) {
    let sample = Sample::one_file(READ_RUN, count as u64 * u64::from(READ_RUN));
    let place = one_thread();
    sample.write_files(&place.root());
    (sample, place)
}

#[test]
fn so_many_runs_are_kept_and_then_the_oldest_goes() {
    let (sample, place) = runs(READ_CACHE_RUNS + 1);
    let opened = place.open_with(&sample, |options| options.trusted = Some(sample.full()));
    let read = |piece: usize| {
        let block = sample.block(u32::try_from(piece).unwrap(), 0);
        assert_eq!(block_on(opened.disk.read_block(block)).unwrap(), sample.bytes(block));
    };
    let kept = || lock(&place.pool.shared.runs).len();
    (0..READ_CACHE_RUNS).for_each(read);
    assert_eq!(kept(), READ_CACHE_RUNS);
    read(READ_CACHE_RUNS);
    assert_eq!(kept(), READ_CACHE_RUNS);
    std::fs::remove_file(sample.path(&place.root(), 0)).unwrap();
    place.pool.shared.handles.forget(|_| true);
    read(1);
    assert!(block_on(opened.disk.read_block(sample.block(0, 0))).is_err(), "it is read from the disk");
}

#[test]
fn so_many_files_stay_open_and_then_the_oldest_is_closed() {
    let files = vec![(Kind::File, 1); OPEN_FILES + 1];
    let sample = Sample::new(BLOCK_LEN, &files);
    let place = one_thread();
    sample.write_files(&place.root());
    let opened = place.open(&sample);
    let good = block_on(opened.disk.check(&sample.full(), |_| {})).unwrap();
    assert!(good.is_full(), "all of them are read");
    assert_eq!(place.pool.shared.handles.len(), OPEN_FILES);
    let is_open = |file| {
        let key = (opened.disk.inner.id, file);
        place.pool.shared.handles.get(key, false, || Err(())).is_ok()
    };
    assert!(!is_open(0) && (1..=OPEN_FILES).all(is_open));
}
