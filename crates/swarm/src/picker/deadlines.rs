//! Pieces that are wanted by a certain time, as who watches a film while it comes wants them.
//!
//! They come before all others, the earliest first, and the blocks of one are spread over all peers that can deliver
//! in time: no piece is left to one peer, unless it is to have one author, who has time for it. A peer that cannot deliver in time leaves the block to those that will sooner
//! and takes one that is wanted later. When the time is near and who was asked does not keep its promise, or promised
//! too much time, a second peer is asked as well.

use super::deadline::{Deadline, Promise, Worst};
use super::{Asker, Begun, Block, Picker, Share};
use crate::limits::{DEADLINE_COPIES, DEADLINE_NEAR, LATE_SCAN, MAX_DEADLINES, MAX_PARTIAL_PIECES};
use crate::pieces::Pieces;
use core::time::Duration;
use types::{BLOCK_LEN, BlockRange, PieceIndex, Time};

impl Picker {
    pub(crate) fn has_deadlines(&self) -> bool {
        self.deadlines.len() > 0
    }

    pub(crate) fn has_deadline(&self, piece: PieceIndex) -> bool {
        self.deadlines.contains(piece)
    }

    /// The piece is wanted by this time, or no more by any. One that is there or not wanted at all has no deadline.
    pub(crate) fn set_deadline(&mut self, piece: PieceIndex, at: Option<Time>, now: Time) {
        let old = self.deadlines.remove(piece);
        if let Some(at) = at.filter(|_| self.missing.contains(piece))
            && self.make_room(at, piece)
        {
            let deadline = match old {
                Some(old) => old.moved(at),
                None => Deadline::new(at, piece, self.lengths.block_count(piece), now),
            };
            self.deadlines.insert(deadline);
            self.share_out(piece);
        }
        self.place(piece);
        self.returns += 1;
    }

    /// At the limit the latest deadline makes room for an earlier one.
    fn make_room(&mut self, at: Time, piece: PieceIndex) -> bool {
        if self.deadlines.len() < MAX_DEADLINES {
            return true;
        }
        let latest = self.deadlines.iter().next_back().map(Deadline::order);
        let Some((_, latest)) = latest.filter(|&latest| latest > (at, piece)) else { return false };
        self.deadlines.remove(latest);
        self.place(latest);
        true
    }

    /// A piece that is urgent is left to no peer.
    fn share_out(&mut self, piece: PieceIndex) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.alone.is_none()
            && let Some(leader) = begun.leader.take()
        {
            self.leave(leader, piece);
        }
    }

    /// Whether a peer that is to have a piece to itself has it in time, if it has a deadline, even if it needs twice its
    /// time. That long others are kept from it.
    pub(super) fn has_time_alone(&mut self, piece: PieceIndex, asker: &Asker<'_>) -> bool {
        let len = u64::from(self.lengths.piece_len(piece));
        let Some(deadline) = self.deadlines.get_mut(piece) else { return true };
        let whole = asker.eta + Duration::from_millis(len * 1000 / asker.rate.max(1));
        let until = asker.now + whole * 2;
        deadline.alone_until = Some(until);
        until <= deadline.at
    }

    /// Lets others in on urgent pieces that are one peer's alone and take it too long.
    pub(crate) fn share_overdue(&mut self, now: Time) {
        for deadline in self.deadlines.iter() {
            if deadline.is_overdue(now)
                && let Some(begun) = self.begun.get_mut(&deadline.piece)
                && let Some(owner) = begun.alone.take()
            {
                begun.leader = None;
                self.left_to.remove(&(owner, begun.missing == 0, deadline.piece));
                self.returns += 1;
            }
        }
    }

    /// Remembers which peers can deliver how soon: the pieces, the time for one block and the bytes per second of each.
    pub(crate) fn look_at_pace(&mut self, peers: &[(&Pieces, Option<Duration>, u64)]) {
        self.deadlines.iter_mut().for_each(|deadline| deadline.look_at_pace(peers));
    }

    /// The same for one piece, if it has a deadline.
    pub(crate) fn look_at_pace_of(&mut self, piece: PieceIndex, peers: &[(&Pieces, Option<Duration>, u64)]) {
        if let Some(deadline) = self.deadlines.get_mut(piece) {
            deadline.look_at_pace(peers);
        }
    }

    /// The earliest urgent piece that the peer is to be asked for a block of.
    pub(super) fn find_urgent(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let mut missing = 0;
        let found = self.deadlines.hungry().find(|deadline| {
            missing += self.missing_bytes(deadline);
            let possible = match self.begun.get(&deadline.piece) {
                Some(begun) => begun.is_for(asker, Share::Any),
                None => self.begun.len() < MAX_PARTIAL_PIECES,
            };
            let own = || self.begun.get(&deadline.piece).is_some_and(|begun| begun.alone == Some(asker.peer));
            let suits = || asker.waits() || deadline.suits(asker, missing, 1) || own();
            possible && self.may_ask(asker, deadline.piece) && suits()
        });
        found.map(|deadline| deadline.piece)
    }

    fn missing_bytes(&self, deadline: &Deadline) -> u64 {
        match self.begun.get(&deadline.piece) {
            Some(begun) => u64::from(begun.missing) * u64::from(BLOCK_LEN),
            None => u64::from(self.lengths.piece_len(deadline.piece)),
        }
    }

    /// Whether some block of an urgent piece is not asked for, though perhaps nobody has it yet.
    pub(super) fn any_urgent(&self) -> bool {
        self.deadlines.hungry().next().is_some()
    }

    /// A block of an urgent piece that is late, or will be, of who was asked for it, now marked as asked once more.
    /// `asked` tells which blocks the peer itself was asked for.
    pub(crate) fn pick_late(
        &mut self,
        asker: &Asker<'_>,
        asked: impl Fn(BlockRange) -> bool,
    ) -> Option<BlockRange> {
        if !asker.trusted || asker.snubbed {
            return None;
        }
        let near = asker.now + DEADLINE_NEAR;
        for nth in 0..LATE_SCAN {
            let Some(deadline) = self.deadlines.nth(nth).filter(|deadline| deadline.at <= near) else {
                break;
            };
            if !deadline.worst.allows_another(deadline.at, asker)
                || !self.may_ask(asker, deadline.piece)
                || !deadline.suits(asker, 0, 2)
            {
                continue;
            }
            if let Some(number) = self.find_late(nth, asker, &asked) {
                let deadline = self.deadlines.nth_mut(nth)?;
                deadline.promised(number, Promise::of(asker));
                let begun = self.begun.get_mut(&deadline.piece)?;
                begun.late = true;
                if let Block::Asked(copies) = &mut begun.blocks[number as usize] {
                    *copies += 1;
                }
                return self.lengths.block(deadline.piece, number);
            }
        }
        None
    }

    /// Looks at every block that is asked for and may be again, and remembers when it is worth to look once more.
    fn find_late(
        &mut self,
        nth: usize,
        asker: &Asker<'_>,
        asked: impl Fn(BlockRange) -> bool,
    ) -> Option<u32> {
        let deadline = self.deadlines.nth_mut(nth)?;
        let begun = self.begun.get(&deadline.piece).filter(|begun| begun.alone.is_none())?;
        deadline.worst = Worst::NONE;
        let mut found = None;
        for ((block, promise), number) in begun.blocks.iter().zip(&deadline.promises).zip(0..) {
            if !matches!(block, Block::Asked(copies) if *copies < DEADLINE_COPIES) {
                continue;
            }
            deadline.worst.add(*promise);
            let range = self.lengths.block(deadline.piece, number).expect("a begun piece has its blocks");
            if found.is_none() && Worst::of(*promise).allows_another(deadline.at, asker) && !asked(range) {
                found = Some(number);
            }
        }
        found
    }

    /// A block was asked for: if its piece is urgent, remembers until when it is waited for.
    pub(super) fn promised(&mut self, piece: PieceIndex, number: u32, asker: &Asker<'_>) {
        if let Some(deadline) = self.deadlines.get_mut(piece) {
            deadline.promised(number, Promise::of(asker));
        }
    }

    /// A block is asked of fewer peers than before: if its piece is urgent, it may be asked for once more.
    pub(super) fn reconsider(&mut self, piece: PieceIndex, number: u32) {
        if let Some(deadline) = self.deadlines.get_mut(piece) {
            deadline.worst.add(deadline.promises[number as usize]);
        }
    }

    /// Where a piece with a deadline is found; `false` if it has none.
    pub(super) fn place_urgent(&mut self, piece: PieceIndex) -> bool {
        if !self.deadlines.contains(piece) {
            return false;
        }
        let missing = |begun: &Begun| begun.missing > 0;
        self.deadlines.set_hungry(piece, self.begun.get(&piece).is_none_or(missing));
        true
    }
}
