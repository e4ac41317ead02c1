//! Which pieces are there, and which blocks are on their way: what a block is checked against before it is
//! queued.

use crate::gate::Gate;
use crate::limits::MAX_BEGUN_PIECES;
use crate::{Error, WriteRefused};
use bytes::Bytes;
use std::collections::HashMap;
use types::{Bitfield, BlockRange, Lengths, PieceIndex};

/// What a torrent's disk may do. It goes through these from top to bottom, and may skip any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing may be written yet.
    Reading,
    Writing,
    /// Writing has failed; what is verified can be read.
    Failed(Error),
    /// No new blocks; what is queued is still written.
    Closing,
    Closed,
}

pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Whether blocks may come in while they are written.
    pub(crate) gate: Gate,
    /// Pieces that can be read.
    pub(crate) verified: Bitfield,
    /// Verified pieces that no sync has covered yet.
    pub(crate) unsynced: Bitfield,
    /// Verified pieces that the present sync is about.
    pub(crate) syncing: Bitfield,
    /// Pieces that were trusted, but whose files look different.
    pub(crate) suspect: Bitfield,
    /// The blocks that were claimed, by piece, in the present attempt at it.
    attempts: HashMap<PieceIndex, Attempt>,
}

struct Attempt {
    claimed: Vec<bool>,
    count: usize,
}

impl State {
    /// Of so many pieces, of which so many bytes may have come and not be durable.
    pub(crate) fn new(pieces: u32, max_unsynced: u64) -> State {
        State {
            phase: Phase::Reading,
            gate: Gate::new(max_unsynced),
            verified: Bitfield::new(pieces),
            unsynced: Bitfield::new(pieces),
            syncing: Bitfield::new(pieces),
            suspect: Bitfield::new(pieces),
            attempts: HashMap::new(),
        }
    }

    /// Claims a block: the first to ask has it. Returns its number within its piece.
    pub(crate) fn claim(
        &mut self,
        lengths: Lengths,
        range: BlockRange,
        data: &Bytes,
    ) -> Result<u32, WriteRefused> {
        if self.phase != Phase::Writing {
            return Err(WriteRefused::Stopped);
        }
        let block = lengths
            .block_number(range)
            .filter(|_| data.len() == range.len as usize)
            .ok_or(WriteRefused::NotABlock)?;
        if self.verified.contains(range.piece) {
            return Err(WriteRefused::AlreadyVerified);
        }
        if self.attempts.len() >= MAX_BEGUN_PIECES && !self.attempts.contains_key(&range.piece) {
            return Err(WriteRefused::TooManyPieces);
        }
        if !self.mark(lengths, range.piece, block) {
            return Err(WriteRefused::Duplicate);
        }
        self.gate.took(data.len() as u64);
        Ok(block)
    }

    /// Takes a claim back whose block never came.
    pub(crate) fn release(&mut self, piece: PieceIndex, block: u32) {
        if let Some(attempt) = self.attempts.get_mut(&piece)
            && std::mem::take(&mut attempt.claimed[block as usize])
        {
            attempt.count -= 1;
            if attempt.count == 0 {
                self.attempts.remove(&piece);
            }
        }
    }

    /// Marks a block as there; says whether it was not.
    pub(crate) fn mark(&mut self, lengths: Lengths, piece: PieceIndex, block: u32) -> bool {
        let attempt = self.attempts.entry(piece).or_insert_with(|| Attempt {
            claimed: vec![false; lengths.block_count(piece) as usize],
            count: 0,
        });
        let new = !std::mem::replace(&mut attempt.claimed[block as usize], true);
        attempt.count += usize::from(new);
        new
    }

    /// Whether a piece has blocks, but is not complete.
    pub(crate) fn is_begun(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// All blocks of a piece were there, and they were good.
    pub(crate) fn good(&mut self, piece: PieceIndex) {
        self.attempts.remove(&piece);
        self.verified.insert(piece);
        self.unsynced.insert(piece);
        self.suspect.remove(piece);
    }

    /// All blocks of a piece were there, and they were bad: they may come again.
    pub(crate) fn bad(&mut self, piece: PieceIndex) {
        self.attempts.remove(&piece);
    }

    /// A verified piece turns out not to be good.
    pub(crate) fn take_back(&mut self, piece: PieceIndex) {
        self.verified.remove(piece);
        self.unsynced.remove(piece);
    }

    /// A sync begins, which covers what is verified by now.
    pub(crate) fn begin_sync(&mut self) {
        self.gate.begin_sync();
        self.syncing = std::mem::replace(&mut self.unsynced, Bitfield::new(self.verified.len()));
    }

    /// A sync has failed: what was not durable before is not there any more. Returns what that is.
    pub(crate) fn take_unsynced(&mut self) -> Bitfield {
        self.gate.end_sync();
        let mut lost = std::mem::replace(&mut self.syncing, Bitfield::new(self.verified.len()));
        for piece in std::mem::replace(&mut self.unsynced, Bitfield::new(self.verified.len())).ones() {
            lost.insert(piece);
        }
        for piece in lost.ones() {
            self.verified.remove(piece);
        }
        lost
    }

    /// Writing is over; nothing stays claimed.
    pub(crate) fn stop(&mut self, phase: Phase) {
        self.phase = phase;
        self.gate.wake();
        self.attempts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::BLOCK_LEN;

    #[test]
    fn only_so_many_pieces_may_be_begun() {
        let count = u32::try_from(MAX_BEGUN_PIECES).unwrap() + 1;
        let lengths = Lengths::new(u64::from(count) * u64::from(2 * BLOCK_LEN), 2 * BLOCK_LEN).unwrap();
        let mut state = State::new(count, u64::MAX);
        state.phase = Phase::Writing;
        let data = Bytes::from(vec![0; BLOCK_LEN as usize]);
        let block = |piece| lengths.block(PieceIndex::new(piece), 0).unwrap();
        for piece in 0..count - 1 {
            assert_eq!(state.claim(lengths, block(piece), &data), Ok(0));
        }
        let one_more = block(count - 1);
        assert_eq!(state.claim(lengths, one_more, &data), Err(WriteRefused::TooManyPieces));
        let second = lengths.block(PieceIndex::new(0), 1).unwrap();
        assert_eq!(state.claim(lengths, second, &data), Ok(1), "a piece that is begun goes on");
        state.release(PieceIndex::new(7), 0);
        assert_eq!(state.claim(lengths, one_more, &data), Ok(0), "a claim given back makes room");
    }
}
