//! Pieces that are wanted by a certain time, as who watches a film while it comes wants them.
//!
//! They come before all others, the earliest first, and the blocks of one are spread over all peers that can deliver
//! in time: no piece is left to one peer. A peer that cannot deliver in time leaves the block to those that will sooner
//! and takes one that is wanted later. When the time is near and who was asked does not keep its promise, or promised
//! too much time, a second peer is asked as well.

use super::{Asker, Begun, Block, Picker, Share};
use crate::limits::{DEADLINE_COPIES, DEADLINE_NEAR, MAX_DEADLINES, MAX_PARTIAL_PIECES};
use crate::pace::Pace;
use crate::pieces::Pieces;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use types::{BLOCK_LEN, BlockRange, PieceIndex, Time};

/// A piece that is missing and wanted by a certain time.
#[derive(Debug)]
pub(super) struct Deadline {
    pub(super) at: Time,
    pub(super) piece: PieceIndex,
    /// Some of its blocks are neither there nor asked for.
    pub(super) hungry: bool,
    /// Of the peers that have it, when that was last looked at.
    pace: Pace,
    /// For each of its blocks that is asked for.
    promises: Vec<Promise>,
    /// The most that can be held against any of them.
    worst: Worst,
}

/// What is expected of who was asked for a block.
#[derive(Clone, Copy, Debug)]
struct Promise {
    asked: Time,
    /// How long it should take; `None` of a peer that delivered nothing so far.
    eta: Option<Duration>,
}

/// Bounds for some promises, so that they need not be looked at one by one.
#[derive(Clone, Copy, Debug)]
struct Worst {
    /// None is broken before this.
    broken: Time,
    /// Nothing is expected after this.
    expected: Time,
    /// Nobody of whom nothing is known was asked before this.
    unknown: Time,
}

impl Picker {
    pub(crate) fn has_deadlines(&self) -> bool {
        !self.deadlines.is_empty()
    }

    pub(crate) fn has_deadline(&self, piece: PieceIndex) -> bool {
        self.deadlines.iter().any(|deadline| deadline.piece == piece)
    }

    /// The piece is wanted by this time, or no more by any. One that is there or not wanted at all has no deadline.
    pub(crate) fn set_deadline(&mut self, piece: PieceIndex, at: Option<Time>, now: Time) {
        let before = self.deadlines.iter().position(|deadline| deadline.piece == piece);
        let old = before.map(|at| self.deadlines.remove(at));
        if let Some(at) = at.filter(|_| self.missing.contains(piece))
            && self.make_room(at, piece)
        {
            let place = self.deadlines.partition_point(|other| (other.at, other.piece) < (at, piece));
            let deadline = match old {
                Some(old) => Deadline { at, ..old },
                None => Deadline::new(at, piece, self.lengths.block_count(piece), now),
            };
            self.deadlines.insert(place, deadline);
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
        let Some(latest) = self.deadlines.pop_if(|latest| (latest.at, latest.piece) > (at, piece)) else {
            return false;
        };
        self.place(latest.piece);
        true
    }

    /// A piece that is urgent is left to no peer.
    fn share_out(&mut self, piece: PieceIndex) {
        if let Some(begun) = self.begun.get_mut(&piece)
            && begun.alone.is_none()
            && let Some(leader) = begun.leader.take()
        {
            self.left_to.remove(&(leader, piece));
        }
    }

    pub(super) fn drop_deadline(&mut self, piece: PieceIndex) {
        self.deadlines.retain(|deadline| deadline.piece != piece);
    }

    /// Remembers which peers can deliver how soon: the pieces, the time for one block and the bytes per second of each.
    pub(crate) fn look_at_pace(&mut self, peers: &[(&Pieces, Option<Duration>, u64)]) {
        for deadline in &mut self.deadlines {
            deadline.pace = Pace::default();
            for (_, eta, rate) in peers.iter().filter(|(pieces, ..)| pieces.contains(deadline.piece)) {
                deadline.pace.add(*eta, *rate);
            }
        }
    }

    /// The earliest urgent piece that the peer is to be asked for a block of.
    pub(super) fn find_urgent(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let mut missing = 0;
        let found = self.deadlines.iter().filter(|deadline| deadline.hungry).find(|deadline| {
            missing += self.missing_bytes(deadline);
            let possible = match self.begun.get(&deadline.piece) {
                Some(begun) => begun.is_for(asker, Share::Any),
                None => self.begun.len() < MAX_PARTIAL_PIECES,
            };
            let suits = || asker.alone || deadline.suits(asker, missing, 1);
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

    /// Whether some block of an urgent piece can be had and is not asked for.
    pub(super) fn any_urgent(&self) -> bool {
        self.deadlines.iter().any(|deadline| {
            let piece = deadline.piece;
            deadline.hungry && (self.begun.contains_key(&piece) || self.availability.of(piece) > 0)
        })
    }

    /// A block of an urgent piece that is late, or will be, of who was asked for it, now marked as asked once more.
    /// `asked` tells which blocks the peer itself was asked for.
    pub(crate) fn pick_late(
        &mut self,
        asker: &Asker<'_>,
        asked: impl Fn(BlockRange) -> bool,
    ) -> Option<BlockRange> {
        if self.deadlines.is_empty() || asker.alone || asker.snubbed {
            return None;
        }
        let near = asker.now + DEADLINE_NEAR;
        for nth in 0..self.deadlines.len() {
            let deadline = &self.deadlines[nth];
            if deadline.at > near {
                break;
            }
            if !deadline.suits(asker, 0, 2)
                || !deadline.worst.allows_another(deadline.at, asker)
                || !self.may_ask(asker, deadline.piece)
            {
                continue;
            }
            if let Some(number) = self.find_late(nth, asker, &asked) {
                let deadline = &mut self.deadlines[nth];
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
        let deadline = &mut self.deadlines[nth];
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
        let Some(deadline) = self.deadlines.iter_mut().find(|deadline| deadline.piece == piece) else {
            return;
        };
        deadline.promised(number, Promise::of(asker));
    }

    /// A block is asked of fewer peers than before: if its piece is urgent, it may be asked for once more.
    pub(super) fn reconsider(&mut self, piece: PieceIndex, number: u32) {
        if let Some(deadline) = self.deadlines.iter_mut().find(|deadline| deadline.piece == piece) {
            deadline.worst.add(deadline.promises[number as usize]);
        }
    }

    /// Where a piece with a deadline is found; `false` if it has none.
    pub(super) fn place_urgent(&mut self, piece: PieceIndex) -> bool {
        let Some(deadline) = self.deadlines.iter_mut().find(|deadline| deadline.piece == piece) else {
            return false;
        };
        let missing = |begun: &Begun| begun.missing > 0;
        deadline.hungry = self.begun.get(&piece).is_none_or(missing);
        true
    }
}

impl Deadline {
    fn new(at: Time, piece: PieceIndex, blocks: u32, now: Time) -> Deadline {
        let promise = Promise { asked: now, eta: None };
        Deadline {
            at,
            piece,
            hungry: false,
            pace: Pace::default(),
            promises: vec![promise; blocks as usize],
            worst: Worst::of(promise),
        }
    }

    fn promised(&mut self, number: u32, promise: Promise) {
        self.worst.add(promise);
        self.promises[number as usize] = promise;
    }

    /// Whether the peer is to be asked for a block: because it has twice the time that it needs, or because it
    /// delivers no later than the others would deliver all that is missing.
    fn suits(&self, asker: &Asker<'_>, missing: u64, slack: u32) -> bool {
        let Some(soonest) = self.pace.soonest else { return true };
        let eta = asker.eta;
        let others = soonest * slack + self.pace.time_for(missing);
        !asker.snubbed && (asker.now + eta * 2 <= self.at || eta <= others)
    }
}

impl Promise {
    fn of(asker: &Asker<'_>) -> Promise {
        Promise { asked: asker.now, eta: asker.quickest.map(|_| asker.eta) }
    }
}

impl Worst {
    const NONE: Worst = Worst { broken: Time::MAX, expected: Time::ZERO, unknown: Time::MAX };

    fn of(promise: Promise) -> Worst {
        let Promise { asked, eta } = promise;
        match eta {
            Some(eta) => Worst { broken: asked + eta * 2, expected: asked + eta, ..Worst::NONE },
            None => Worst { unknown: asked, ..Worst::NONE },
        }
    }

    fn add(&mut self, promise: Promise) {
        let other = Worst::of(promise);
        self.broken = self.broken.min(other.broken);
        self.expected = self.expected.max(other.expected);
        self.unknown = self.unknown.min(other.unknown);
    }

    /// Whether another peer is worth asking too: it took somebody twice as long as it should have; or somebody of whom
    /// nothing is known twice as long as this peer at its quickest; or it is expected after the deadline, and this peer
    /// is sooner even if it needs twice its time.
    fn allows_another(self, deadline: Time, asker: &Asker<'_>) -> bool {
        let Asker { now, eta, .. } = *asker;
        self.broken <= now
            || asker.quickest.is_some_and(|quickest| self.unknown + quickest * 2 <= now)
            || self.expected > deadline && now + eta * 2 < self.expected
    }
}
