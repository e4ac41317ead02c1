//! What is kept of pieces with a deadline.

use super::Asker;
use crate::limits::DEADLINE_NEAR;
use crate::pace::Pace;
use crate::pieces::Pieces;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use types::{Bitfield, PieceIndex, Time};

/// Pieces with a deadline, the earliest first. There are few, so they are a list; but which block is asked for next
/// must not take a walk over all of those for which every block is asked for already.
#[derive(Debug)]
pub(super) struct Deadlines {
    list: Vec<Deadline>,
    pieces: Bitfield,
    /// None in the list before this one is hungry.
    first: usize,
}

/// A piece that is missing and wanted by a certain time.
#[derive(Debug)]
pub(super) struct Deadline {
    pub(super) at: Time,
    pub(super) piece: PieceIndex,
    /// Some of its blocks are neither there nor asked for.
    pub(super) hungry: bool,
    /// Of the peers that have it, when that was last looked at.
    pub(super) pace: Pace,
    /// For each of its blocks that is asked for.
    pub(super) promises: Vec<Promise>,
    /// If the piece was begun by one peer alone: until when others are kept from it. `None`: until it is near.
    pub(super) alone_until: Option<Time>,
    /// The most that can be held against any of them.
    pub(super) worst: Worst,
}

/// What is expected of who was asked for a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    asked: Time,
    /// How long it should take; `None` of a peer that delivered nothing so far.
    eta: Option<Duration>,
}

/// Bounds for some promises, so that they need not be looked at one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    /// None is broken before this.
    broken: Time,
    /// Nothing is expected after this.
    expected: Time,
    /// Nobody of whom nothing is known was asked before this.
    unknown: Time,
}

impl Deadlines {
    /// None, of a torrent of so many pieces.
    pub(super) fn new(pieces: u32) -> Deadlines {
        Deadlines { list: Vec::new(), pieces: Bitfield::new(pieces), first: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.pieces.contains(piece)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Deadline> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Deadline> {
        self.list.iter_mut()
    }

    pub(super) fn hungry(&self) -> impl Iterator<Item = &Deadline> {
        self.list.get(self.first..).unwrap_or_default().iter().filter(|deadline| deadline.hungry)
    }

    pub(super) fn nth(&self, nth: usize) -> Option<&Deadline> {
        self.list.get(nth)
    }

    pub(super) fn nth_mut(&mut self, nth: usize) -> Option<&mut Deadline> {
        self.list.get_mut(nth)
    }

    pub(super) fn get_mut(&mut self, piece: PieceIndex) -> Option<&mut Deadline> {
        let at = self.position(piece)?;
        self.list.get_mut(at)
    }

    pub(super) fn insert(&mut self, deadline: Deadline) {
        let place = self.list.partition_point(|other| other.order() < deadline.order());
        self.pieces.insert(deadline.piece);
        self.list.insert(place, deadline);
        self.first = 0;
    }

    pub(super) fn remove(&mut self, piece: PieceIndex) -> Option<Deadline> {
        let at = self.position(piece)?;
        self.pieces.remove(piece);
        self.first = 0;
        Some(self.list.remove(at))
    }

    pub(super) fn set_hungry(&mut self, piece: PieceIndex, hungry: bool) {
        let Some(at) = self.position(piece) else { return };
        self.list[at].hungry = hungry;
        if hungry {
            self.first = self.first.min(at);
        }
        while self.list.get(self.first).is_some_and(|deadline| !deadline.hungry) {
            self.first += 1;
        }
    }

    /// What is asked about most is about to be fetched: it is the first hungry one, or near it.
    fn position(&self, piece: PieceIndex) -> Option<usize> {
        if !self.pieces.contains(piece) {
            return None;
        }
        let start = self.first.min(self.list.len());
        let from_first = self.list[start..].iter().position(|deadline| deadline.piece == piece);
        from_first
            .map(|ahead| start + ahead)
            .or_else(|| self.list[..start].iter().rposition(|deadline| deadline.piece == piece))
    }
}

impl Deadline {
    pub(super) fn new(at: Time, piece: PieceIndex, blocks: u32, now: Time) -> Deadline {
        let promise = Promise { asked: now, eta: None };
        Deadline {
            at,
            piece,
            hungry: false,
            pace: Pace::default(),
            promises: vec![promise; blocks as usize],
            alone_until: None,
            worst: Worst::of(promise),
        }
    }

    pub(super) fn look_at_pace(&mut self, peers: &[(&Pieces, Option<Duration>, u64)]) {
        self.pace = Pace::default();
        for (_, eta, rate) in peers.iter().filter(|(pieces, ..)| pieces.contains(self.piece)) {
            self.pace.add(*eta, *rate);
        }
    }

    /// The earlier is less.
    pub(super) fn order(&self) -> (Time, PieceIndex) {
        (self.at, self.piece)
    }

    /// The same piece, wanted by another time.
    pub(super) fn moved(self, at: Time) -> Deadline {
        let alone_until = self.alone_until.filter(|_| at >= self.at);
        Deadline { at, alone_until, ..self }
    }

    /// Whether the one peer that has the piece for itself takes too long.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.alone_until.map_or_else(|| self.at <= now + DEADLINE_NEAR, |until| until <= now)
    }

    pub(super) fn promised(&mut self, number: u32, promise: Promise) {
        self.worst.add(promise);
        self.promises[number as usize] = promise;
    }

    /// Whether the peer is to be asked for a block: because it has twice the time that it needs, or because it
    /// delivers no later than the others would deliver all that is missing.
    pub(super) fn suits(&self, asker: &Asker<'_>, missing: u64, slack: u32) -> bool {
        let Some(soonest) = self.pace.soonest else { return true };
        let eta = asker.eta;
        let others = soonest * slack + self.pace.time_for(missing);
        !asker.snubbed && (asker.now + eta * 2 <= self.at || eta <= others)
    }
}

impl Promise {
    pub(super) fn of(asker: &Asker<'_>) -> Promise {
        Promise { asked: asker.now, eta: asker.quickest.map(|_| asker.eta) }
    }
}

impl Worst {
    pub(super) const NONE: Worst = Worst { broken: Time::MAX, expected: Time::ZERO, unknown: Time::MAX };

    pub(super) fn of(promise: Promise) -> Worst {
        let Promise { asked, eta } = promise;
        match eta {
            Some(eta) => Worst { broken: asked + eta * 2, expected: asked + eta, ..Worst::NONE },
            None => Worst { unknown: asked, ..Worst::NONE },
        }
    }

    pub(super) fn add(&mut self, promise: Promise) {
        let other = Worst::of(promise);
        self.broken = self.broken.min(other.broken);
        self.expected = self.expected.max(other.expected);
        self.unknown = self.unknown.min(other.unknown);
    }

    /// Whether another peer is worth asking too: it took somebody twice as long as it should have; or somebody of whom
    /// nothing is known twice as long as this peer at its quickest; or it is expected after the deadline, and this peer
    /// is sooner even if it needs twice its time.
    pub(super) fn allows_another(self, deadline: Time, asker: &Asker<'_>) -> bool {
        let Asker { now, eta, .. } = *asker;
        self.broken <= now
            || asker.quickest.is_some_and(|quickest| self.unknown + quickest * 2 <= now)
            || self.expected > deadline && now + eta * 2 < self.expected
    }
}
