//! A virtual disk: it takes each block once per attempt at its piece, and tells good pieces from bad.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use types::{Bitfield, BlockDigest, BlockRange, Lengths, PieceIndex, Time};

#[derive(Debug)]
pub(crate) struct Disk {
    lengths: Lengths,
    have: Bitfield,
    begun: BTreeMap<PieceIndex, Vec<Block>>,
    /// Pieces that failed in this run and are not there yet.
    failed: BTreeSet<PieceIndex>,
    /// Pieces that were verified of late: they are not synced yet.
    young: VecDeque<(Time, PieceIndex)>,
}

/// How long verified pieces may be lost with the power.
const SYNC_INTERVAL: Duration = Duration::from_secs(10);

/// A block of a begun piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Missing,
    Good,
    Bad(Bad),
}

/// What a block is in place of what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// In which way it is wrong.
    pub(crate) way: u32,
    /// The peer that sent it.
    pub(crate) by: u32,
}

impl Block {
    /// The good version of a block has one digest, and each bad one another.
    fn digest(self, piece: PieceIndex, number: u32) -> BlockDigest {
        let version = match self {
            Block::Missing | Block::Good => 0,
            Block::Bad(bad) => u64::from(bad.way) + 1,
        };
        let place = u64::from(piece.get()) << 32 | u64::from(number);
        BlockDigest((u128::from(place) << 64 | u128::from(version)).to_be_bytes())
    }
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is there already.
    No,
    Yes,
    /// It was the last one of its piece.
    Completes,
}

impl Disk {
    pub(crate) fn new(lengths: Lengths, have: Bitfield) -> Disk {
        Disk { lengths, have, begun: BTreeMap::new(), failed: BTreeSet::new(), young: VecDeque::new() }
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether the block is there, verified or not.
    pub(crate) fn holds(&self, block: BlockRange) -> bool {
        let known = |blocks: &Vec<Block>| {
            let number = self.lengths.block_number(block);
            number.is_some_and(|number| blocks[number as usize] != Block::Missing)
        };
        self.have.contains(block.piece) || self.begun.get(&block.piece).is_some_and(known)
    }

    /// Takes a block; `bad` tells how it is wrong, if it is.
    pub(crate) fn take(&mut self, block: BlockRange, bad: Option<Bad>) -> Taken {
        if self.holds(block) {
            return Taken::No;
        }
        let Some(number) = self.lengths.block_number(block) else { return Taken::No };
        let count = self.lengths.block_count(block.piece) as usize;
        let blocks = self.begun.entry(block.piece).or_insert_with(|| vec![Block::Missing; count]);
        blocks[number as usize] = bad.map_or(Block::Good, Block::Bad);
        if blocks.contains(&Block::Missing) { Taken::Yes } else { Taken::Completes }
    }

    /// Drops blocks of a piece that has no verdict yet.
    pub(crate) fn forget(&mut self, piece: PieceIndex, numbers: &[u32]) {
        let Some(blocks) = self.begun.get_mut(&piece) else { return };
        numbers.iter().for_each(|&number| blocks[number as usize] = Block::Missing);
    }

    /// Hashes a piece; `None` if not every block is there.
    pub(crate) fn hash(&mut self, piece: PieceIndex, now: Time) -> Option<Hashed> {
        if self.begun.get(&piece)?.contains(&Block::Missing) {
            return None;
        }
        let blocks = self.begun.remove(&piece)?;
        let good = blocks.iter().all(|block| *block == Block::Good);
        let compare = if good { self.failed.remove(&piece) } else { true };
        let compared = blocks.iter().zip(0..).filter(|_| compare);
        let digests = compared.map(|(block, number)| block.digest(piece, number)).collect();
        if good {
            self.have.insert(piece);
            self.young.push_back((now, piece));
            while self.young.front().is_some_and(|&(at, _)| now - at > SYNC_INTERVAL) {
                self.young.pop_front();
            }
        } else {
            self.failed.insert(piece);
        }
        let spoilers = blocks.iter().filter_map(|block| match block {
            Block::Bad(bad) => Some(bad.by),
            Block::Good | Block::Missing => None,
        });
        Some(Hashed { good, digests, spoilers: spoilers.collect() })
    }

    /// What is found at the next start: everything, or after a crash what was synced.
    pub(crate) fn reopen(mut self, now: Time, crash: bool) -> Disk {
        if crash {
            let lost = self.young.iter().filter(|&&(at, _)| now - at <= SYNC_INTERVAL);
            for &(_, piece) in lost {
                self.have.remove(piece);
            }
            self.begun.clear();
        }
        // A piece that was all there is hashed when it is opened.
        self.begun.retain(|_, blocks| blocks.contains(&Block::Missing));
        self.failed.clear();
        self.young.clear();
        self
    }

    /// The blocks of begun pieces that are there, by number.
    pub(crate) fn partial(&self) -> Vec<(PieceIndex, Vec<u32>)> {
        let numbers = |blocks: &Vec<Block>| {
            let numbered = blocks.iter().zip(0..);
            numbered.filter(|(block, _)| **block != Block::Missing).map(|(_, number)| number).collect()
        };
        self.begun.iter().map(|(&piece, blocks)| (piece, numbers(blocks))).collect()
    }
}

/// What a piece came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) good: bool,
    /// Of each of its blocks; none if the piece is good and never failed.
    pub(crate) digests: Vec<BlockDigest>,
    /// Who sent a bad block of it.
    pub(crate) spoilers: BTreeSet<u32>,
}
