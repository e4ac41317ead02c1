//! What is told of the blocks of a bad piece, so that those who sent them can be told apart.

use super::*;
use crate::pool::LaneJob;

/// The one piece of each sample.
const PIECE: PieceIndex = PieceIndex::new(0);

impl Opened {
    /// Writes the blocks of the piece in this order; those in `bad` are wrong.
    fn attempt(&self, sample: &Sample, order: impl Iterator<Item = u32>, bad: &[u32]) {
        for number in order {
            let block = sample.block(0, number);
            let mut data = sample.bytes(block).to_vec();
            data[3] ^= u8::from(bad.contains(&number));
            block_on(self.disk.write_block(block, data.into(), 0)).unwrap();
        }
    }

    /// Returns when everything that was written before is dealt with.
    fn catch_up(&self) {
        let (done, wait) = async_channel::bounded::<()>(1);
        let lane = &self.disk.inner.queues.lane;
        let inner = self.disk.inner.clone();
        let settle = move || {
            inner.settle();
            done.try_send(()).unwrap();
        };
        lane.send_blocking(LaneJob::Run(Box::new(settle))).unwrap();
        wait.recv_blocking().unwrap();
    }
}

/// In memory to the end, or mostly written and read back.
#[test]
fn the_bad_block_is_the_one_whose_digest_differs() {
    for len in [16_384, 50_000, 2 << 20, (1 << 20) + 5] {
        let sample = Sample::one_file(len, u64::from(len));
        let count = sample.layout.lengths().block_count(PIECE);
        let place = Place::new();
        let opened = place.ready(&sample);
        let bad = count / 2;
        opened.attempt(&sample, 0..count, &[bad]);
        let (from_disk, first) = opened.failed(PIECE);
        opened.attempt(&sample, (0..count).rev(), &[bad, 0]);
        let (_, second) = opened.failed(PIECE);
        opened.attempt(&sample, 0..count, &[]);
        let good: Vec<_> = opened.verified(PIECE).into_iter().map(Some).collect();
        assert!(!from_disk);
        assert_eq!(good.len(), count as usize);
        let differ = |digests: &[Option<BlockDigest>]| -> Vec<u32> {
            assert_eq!(digests.len(), good.len());
            (0..).zip(digests.iter().zip(&good)).filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect()
        };
        assert_eq!(differ(&first), [bad], "{len}");
        assert_eq!(first[bad as usize], second[bad as usize], "the same bytes");
        assert!(differ(&second).iter().all(|number| [0, bad].contains(number)), "{len}");
    }
}

#[test]
fn a_piece_that_never_failed_has_none() {
    let sample = Sample::one_file(65_536, 65_536);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.attempt(&sample, 0..4, &[]);
    assert_eq!(opened.verified(PIECE), []);
}

/// There is no room for blocks out of turn: they are read back to be hashed, and the disk may have spoiled them.
#[test]
fn blocks_that_were_read_back_are_nobodys_proof() {
    let sample = Sample::one_file(65_536, 65_536);
    let place =
        Place::with(PoolSettings { held_per_torrent: 0, kept_per_torrent: 0, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    opened.attempt(&sample, [1, 3].into_iter(), &[]);
    opened.catch_up();
    let path = sample.path(&place.root(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    opened.attempt(&sample, [0, 2].into_iter(), &[]);
    let (from_disk, digests) = opened.failed(PIECE);
    assert!(from_disk);
    opened.attempt(&sample, 0..4, &[]);
    let good = opened.verified(PIECE);
    assert_eq!(digests, [Some(good[0]), None, Some(good[2]), None]);
}

/// What was hashed in memory is bad, and what can be read back is something else.
#[test]
fn a_file_that_changed_meanwhile_proves_nothing() {
    let len = 2 << 20;
    let sample = Sample::one_file(len, u64::from(len));
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.attempt(&sample, 0..127, &[]);
    opened.catch_up();
    let path = sample.path(&place.root(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    opened.attempt(&sample, 127..128, &[127]);
    assert_eq!(opened.failed(PIECE), (false, vec![]));
}

/// In memory, or written and read back; hashed or not.
#[test]
fn what_is_forgotten_comes_from_somebody_else() {
    for (len, room) in [(65_536, 1 << 20), (65_536, 0), (2 << 20, 1 << 20), (2 << 20, 0)] {
        let sample = Sample::one_file(len, u64::from(len));
        let last = sample.layout.lengths().block_count(PIECE) - 1;
        let settings =
            PoolSettings { held_per_torrent: room, kept_per_torrent: room, ..PoolSettings::default() };
        let place = Place::with(settings);
        let opened = place.ready(&sample);
        opened.attempt(&sample, 0..last, &[1, last - 1]);
        opened.catch_up();
        opened.forget(PIECE, vec![1, last - 1, last, last + 1]);
        assert_eq!(opened.event(), DiskEvent::BlocksForgotten { piece: PIECE, blocks: vec![1, last - 1] });
        // They are there no more.
        opened.forget(PIECE, vec![1]);
        opened.attempt(&sample, [last, last - 1, 1].into_iter(), &[]);
        assert_eq!(
            opened.event(),
            DiskEvent::PieceVerified { piece: PIECE, digests: vec![] },
            "{len} {room}"
        );
        // It is too late.
        opened.forget(PIECE, vec![1]);
        block_on(opened.disk.close()).unwrap();
        assert!(opened.nothing_told());
        assert_eq!(place.pool.shared.held.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

/// Nothing is left of it.
#[test]
fn a_piece_can_be_forgotten_as_a_whole() {
    let sample = Sample::one_file(65_536, 65_536);
    let place = Place::new();
    let opened = place.ready(&sample);
    opened.attempt(&sample, 1..3, &[2]);
    opened.catch_up();
    opened.forget(PIECE, vec![1, 2]);
    assert_eq!(opened.event(), DiskEvent::BlocksForgotten { piece: PIECE, blocks: vec![1, 2] });
    let saved = block_on(opened.disk.sync()).unwrap();
    assert_eq!(saved.partial, []);
    opened.attempt(&sample, 0..4, &[]);
    assert_eq!(opened.verified(PIECE), []);
}
