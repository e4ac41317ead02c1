//! Which piece the next block is to be of.

use super::{Asker, Begun, Picker, Rank};
use crate::limits::WEB_SEED_STRETCH;
use crate::limits::{
    BEGUN_SCAN, MAX_PARTIAL_PIECES, OPEN_SAMPLE, PAROLE_BYTES, PAROLE_PIECES, RANDOM_FIRST_PIECES,
    RAREST_SCAN,
};
use crate::{Order, PeerKey, Priority};
use alloc::vec::Vec;
use core::cmp::Reverse;
use types::PieceIndex;

/// Which begun pieces are considered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Those that were not left to another peer.
    Free,
    /// Those too: there is nothing else.
    Any,
}

impl Picker {
    pub(super) fn choose(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        if !asker.waits()
            && let Some(urgent) = self.find_urgent(asker)
        {
            return Some(urgent);
        }
        if let Some(piece) = asker.current
            && self.may_go_on(asker, piece)
            && (asker.behind == 0 || asker.dry || piece.get() >= self.start(asker))
        {
            return Some(piece);
        }
        if asker.dry {
            return None;
        }
        if asker.alone && self.has_enough(asker.peer) {
            return self.find_own(asker);
        }
        let found = self.find_spoiled(asker).or_else(|| self.find_next(asker)).or_else(|| match asker.only {
            Some(only) => self.choose_among(asker, only),
            None if asker.snubbed => self.choose_last(asker),
            None => self.choose_first(asker).map(|first| self.start_of_run(asker, first)),
        });
        if asker.waits() && found.is_none() { self.find_urgent(asker) } else { found }
    }

    /// Whether as many pieces are left to the peer and not there as one on parole may have: it would spoil them all.
    fn has_enough(&self, peer: PeerKey) -> bool {
        let most = PAROLE_BYTES / u64::from(self.lengths.piece_length());
        let unverified = self.own(peer).filter(|&piece| self.missing.contains(piece));
        unverified.count() as u64 >= most.max(PAROLE_PIECES)
    }

    /// The begun pieces that are left to the peer.
    pub(super) fn own(&self, peer: PeerKey) -> impl Iterator<Item = PieceIndex> + '_ {
        let all = (peer, false, PieceIndex::new(0))..=(peer, true, PieceIndex::new(u32::MAX));
        self.left_to.range(all).map(|&(.., piece)| piece)
    }

    /// Those of them that have something to be asked for: the others may be hundreds.
    fn own_unasked(&self, peer: PeerKey) -> impl Iterator<Item = PieceIndex> + '_ {
        let unasked = (peer, false, PieceIndex::new(0))..(peer, true, PieceIndex::new(0));
        self.left_to.range(unasked).map(|&(.., piece)| piece)
    }

    /// One of them that has something to be asked for.
    fn find_own(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        self.own_unasked(asker.peer).find(|&piece| self.may_share(asker, piece, Share::Free))
    }

    /// For who is to be at several pieces in turn: the one after `last` of those that are left to it and wanted as much, or
    /// one more as long as they are fewer than `width`. None while something failed, which comes first.
    pub(crate) fn next_in_turn(
        &mut self,
        asker: &Asker<'_>,
        last: PieceIndex,
        width: usize,
    ) -> Option<PieceIndex> {
        if !self.spoiled.is_empty() {
            return None;
        }
        let priority = self.availability.priority(last);
        let fits = |&piece: &PieceIndex| {
            self.availability.priority(piece) == priority && self.may_share(asker, piece, Share::Free)
        };
        let own: Vec<_> = self.own_unasked(asker.peer).filter(fits).take(width).collect();
        let one_more = if own.len() < width { self.find_open(asker, priority) } else { None };
        one_more.or_else(|| own.iter().copied().find(|&piece| piece > last)).or_else(|| own.first().copied())
    }

    /// An open piece that failed before.
    fn find_spoiled(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        if !asker.trusted || self.spoiled.is_empty() || self.begun.len() >= MAX_PARTIAL_PIECES {
            return None;
        }
        // One author that is slow would hold up the front more than many do.
        let start = if asker.behind == 0 { 0 } else { self.start(asker) };
        let may_begin = |piece: PieceIndex| self.availability.is_open(piece) && self.may_ask(asker, piece);
        self.spoiled.iter().copied().find(|&piece| piece.get() >= start && may_begin(piece))
    }

    /// For who is best asked for runs: the piece after the one that it was busy with.
    fn find_next(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let last = asker.current.filter(|_| self.prefers_runs(asker))?;
        let next = self.lengths.piece(last.get() + 1)?;
        (self.begun.len() < MAX_PARTIAL_PIECES && self.continues(asker, last, next)).then_some(next)
    }

    /// For who is best asked for runs: the first of the open pieces up to this one.
    fn start_of_run(&self, asker: &Asker<'_>, piece: PieceIndex) -> PieceIndex {
        if !self.prefers_runs(asker) || !self.availability.is_open(piece) {
            return piece;
        }
        let before = (0..piece.get()).rev().map(PieceIndex::new);
        before.take_while(|&one| self.continues(asker, piece, one)).last().unwrap_or(piece)
    }

    /// Pieces that are fetched in order are runs by themselves.
    fn prefers_runs(&self, asker: &Asker<'_>) -> bool {
        asker.runs && !asker.snubbed && self.order == Order::RarestFirst
    }

    /// Whether `other` is open, wanted as much as everything that is, and in the same stretch as `piece`.
    fn continues(&self, asker: &Asker<'_>, piece: PieceIndex, other: PieceIndex) -> bool {
        let stretch = |piece| self.lengths.piece_offset(piece) / WEB_SEED_STRETCH;
        let most =
            Priority::WANTED.into_iter().find(|&wanted| self.availability.open_of(wanted).count_ones() > 0);
        self.availability.is_open(other)
            && self.may_ask(asker, other)
            && most == Some(self.availability.priority(other))
            && stretch(piece) == stretch(other)
    }

    /// What is wanted most.
    fn choose_first(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let open = Priority::WANTED.into_iter().find_map(|priority| {
            self.find_sole(asker, priority)
                .or_else(|| self.find_free(asker, priority))
                .or_else(|| self.find_open(asker, priority))
        });
        open.or_else(|| self.find_hungry(asker))
    }

    /// What is wanted least, and what others wait for last of all.
    fn choose_last(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let mut last_first = Priority::WANTED.into_iter().rev();
        let open = last_first.find_map(|priority| self.find_open(asker, priority));
        open.or_else(|| self.find_hungry(asker))
    }

    /// Whether the piece is the peer's to go on with, or (told by its `have`) to begin.
    fn may_go_on(&self, asker: &Asker<'_>, piece: PieceIndex) -> bool {
        let share = if asker.dry { Share::Any } else { Share::Free };
        self.may_ask(asker, piece)
            && (asker.alone || !self.has_deadline(piece))
            && match self.begun.get(&piece) {
                Some(begun) => begun.missing > 0 && begun.is_for(asker, share),
                None => self.begun.len() < MAX_PARTIAL_PIECES,
            }
    }

    pub(super) fn may_ask(&self, asker: &Asker<'_>, piece: PieceIndex) -> bool {
        self.missing.contains(piece)
            && asker.pieces.contains(piece)
            && asker.only.is_none_or(|only| only.contains(&piece))
    }

    /// The best of a few pieces, in the order in which all are looked for.
    fn choose_among(&self, asker: &Asker<'_>, pieces: &[PieceIndex]) -> Option<PieceIndex> {
        let judged = pieces
            .iter()
            .filter(|&&piece| self.may_ask(asker, piece) && !self.has_deadline(piece))
            .filter_map(|&piece| {
                let begun = self.begun.get(&piece);
                let possible = match begun {
                    Some(begun) => begun.missing > 0 && begun.is_for(asker, Share::Any),
                    None => self.begun.len() < MAX_PARTIAL_PIECES,
                };
                let left_to_another = begun.is_some_and(|begun| !begun.is_for(asker, Share::Free));
                let priority = Reverse(self.availability.priority(piece));
                let rank = (left_to_another, priority, begun.is_none(), self.availability.of(piece), piece);
                possible.then_some(rank)
            });
        judged.min().map(|(.., piece)| piece)
    }

    /// A suggested piece that nobody else has: what is begun can be had of others, and the line of the only seed is the
    /// scarcest thing of a young swarm.
    fn find_sole(&self, asker: &Asker<'_>, priority: Priority) -> Option<PieceIndex> {
        let room = self.order == Order::RarestFirst && !asker.alone && self.begun.len() < MAX_PARTIAL_PIECES;
        room.then(|| self.find_suggested(asker, priority, 1)).flatten()
    }

    /// A begun piece that was not left to another peer: one that was left to this one, or to nobody.
    fn find_free(&mut self, asker: &Asker<'_>, priority: Priority) -> Option<PieceIndex> {
        let rank = |number| Rank::new(priority, false, number);
        let from = if self.order == Order::Sequential { u64::from(self.start(asker)) } else { 0 };
        let own = self.own_unasked(asker.peer).filter(|&piece| self.availability.priority(piece) == priority);
        let shared = self.hungry.range(rank(from)..=rank(Rank::NUMBERS - 1)).map(|(_, &piece)| piece);
        own.chain(shared.filter(|_| !asker.alone))
            .take(BEGUN_SCAN)
            .find(|&piece| self.may_share(asker, piece, Share::Free))
    }

    /// Any begun piece that is not denied to the peer.
    pub(super) fn find_hungry(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let mut hungry = self.hungry.values().copied();
        let may_share = |piece: &PieceIndex| self.may_share(asker, *piece, Share::Any);
        if asker.snubbed { hungry.rfind(may_share) } else { hungry.find(may_share) }
    }

    fn may_share(&self, asker: &Asker<'_>, piece: PieceIndex, share: Share) -> bool {
        self.may_ask(asker, piece)
            && self.begun.get(&piece).is_some_and(|begun| begun.missing > 0 && begun.is_for(asker, share))
    }

    /// An open piece of this priority.
    fn find_open(&mut self, asker: &Asker<'_>, priority: Priority) -> Option<PieceIndex> {
        let count = self.availability.open_of(priority).count_ones() as usize;
        if count == 0 || self.begun.len() >= MAX_PARTIAL_PIECES {
            return None;
        }
        if self.order == Order::Sequential {
            let start = self.start(asker);
            return asker.pieces.shared_from(self.availability.open_of(priority), start).next();
        }
        let random = self.rng.u32(0..self.lengths.piece_count());
        let mut from_random = asker.pieces.shared_from(self.availability.open_of(priority), random);
        if self.have.count_ones() < RANDOM_FIRST_PIECES && !asker.snubbed {
            let first = from_random.next();
            return self.find_suggested(asker, priority, u32::MAX).or(first);
        }
        let has = |piece: &PieceIndex| asker.pieces.contains(*piece);
        let order = self.availability.rarest_first(priority);
        let found = match asker.snubbed {
            false => order.take(RAREST_SCAN).find(has),
            true => order.rev().take(RAREST_SCAN).find(has),
        };
        if let Some(rarest) = found.filter(|_| !asker.snubbed) {
            return self.find_suggested(asker, priority, self.availability.of(rarest)).or(found);
        }
        if found.is_some() || count <= RAREST_SCAN {
            return found;
        }
        let sample = from_random.take(OPEN_SAMPLE).map(|piece| (self.availability.of(piece), piece));
        let best = if asker.snubbed { sample.max() } else { sample.min() };
        best.map(|(_, piece)| piece)
    }

    /// A suggestion (BEP 6) chooses among equals only: the piece must be as rare as the rarest that the peer has. What
    /// many have can wait, whoever says otherwise. The oldest comes first: a seed offers the piece that it suggested
    /// to somebody else when nothing comes of it.
    fn find_suggested(&self, asker: &Asker<'_>, priority: Priority, rarity: u32) -> Option<PieceIndex> {
        let open = self.availability.open_of(priority);
        let fits = |&piece: &PieceIndex| {
            open.contains(piece) && asker.pieces.contains(piece) && self.availability.of(piece) <= rarity
        };
        asker.suggested.iter().copied().find(fits)
    }

    /// When pieces are fetched in order: where a peer is to begin. It is never sent past half of what is left.
    fn start(&mut self, asker: &Asker<'_>) -> u32 {
        let count = self.lengths.piece_count();
        while self.front < count && !self.missing.contains(PieceIndex::new(self.front)) {
            self.front += 1;
        }
        let behind = if asker.snubbed { u32::MAX } else { asker.behind };
        self.front + behind.min((count - self.front) / 2)
    }
}

impl Asker<'_> {
    /// Whether it gets an urgent piece only if it has to idle otherwise: it is on parole, and there is somebody better.
    pub(super) fn waits(&self) -> bool {
        self.alone && !self.trusted
    }
}

impl Begun {
    pub(super) fn is_for(&self, asker: &Asker<'_>, share: Share) -> bool {
        let mine = |owner: Option<PeerKey>| owner.is_none_or(|owner| owner == asker.peer);
        // A peer on parole shares a piece only if it would have to idle otherwise.
        let shares = !asker.alone || self.owner().is_some();
        mine(self.alone) && (share == Share::Any || mine(self.leader) && shares)
    }
}
