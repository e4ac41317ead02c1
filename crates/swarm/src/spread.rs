//! What a seed gives to whom, so that every piece gets out before any goes out twice.
//!
//! Of the pieces that we have, each is in exactly one of these states: **free**, or **on offer** to one peer: it was
//! told of the piece, or asked for it, and does not have it yet. The next piece to be offered is the rarest free one,
//! by chance among equals, so no two peers are sent to the same piece while there is another one. An offer that
//! nothing comes of is withdrawn, and the piece is free again.

use crate::PeerKey;
use crate::Priority;
use crate::availability::Availability;
use crate::limits::{HOARD_MEMORY, HOARD_PIECES, OFFER_SCAN};
use crate::pieces::Pieces;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use fastrand::Rng;
use types::{Bitfield, PieceIndex, Time};

#[derive(Debug)]
pub(crate) struct Spread {
    /// The free pieces are its open ones.
    copies: Availability,
    offers: BTreeMap<PieceIndex, Offer>,
    /// The same pieces by peer.
    by_peer: BTreeSet<(PeerKey, PieceIndex)>,
    /// Pieces that one peer alone has, from us: to be seen at others if it gives.
    alone: BTreeMap<PieceIndex, PeerKey>,
    given: BTreeMap<PeerKey, Given>,
    rng: Rng,
}

/// Pieces that nobody had when one peer got them of us.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    to_it: u32,
    /// Others have them since, and not from us.
    from_it: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) peer: PeerKey,
    /// When it was made, or when the last block of it was sent.
    pub(crate) since: Time,
    /// Some of it was sent.
    pub(crate) begun: bool,
}

impl Spread {
    /// Of the pieces in `have`, among peers that have these.
    pub(crate) fn new<'a>(have: &Bitfield, peers: impl Iterator<Item = &'a Pieces>, rng: Rng) -> Spread {
        let copies = Availability::new(have.len());
        let mut spread = Spread {
            copies,
            offers: BTreeMap::new(),
            by_peer: BTreeSet::new(),
            alone: BTreeMap::new(),
            given: BTreeMap::new(),
            rng,
        };
        peers.for_each(|pieces| spread.peer_came(pieces));
        have.ones().for_each(|piece| spread.set_free(piece));
        spread
    }

    pub(crate) fn peer_came(&mut self, pieces: &Pieces) {
        self.copies.add(pieces, &mut self.rng);
    }

    pub(crate) fn peer_went(&mut self, peer: PeerKey, pieces: &Pieces) {
        self.copies.remove(pieces, &mut self.rng);
        self.withdraw_all(peer, |_| true);
        self.given.remove(&peer);
        self.alone.retain(|_, owner| *owner != peer);
    }

    /// The peer said anew what it has.
    pub(crate) fn pieces_replaced(&mut self, peer: PeerKey, before: &Pieces, after: &Pieces) {
        self.copies.replace(before, after, &mut self.rng);
        let got: Vec<_> = self.offers_to(peer).filter(|&piece| after.contains(piece)).collect();
        for piece in got {
            self.withdraw(piece);
        }
    }

    /// The peer has one piece more; says whether it was on offer to it.
    pub(crate) fn peer_gained(&mut self, peer: PeerKey, piece: PieceIndex) -> bool {
        self.copies.gained(piece, &mut self.rng);
        let offered = self.is_offered(piece, peer);
        if offered {
            self.withdraw(piece);
        }
        self.note_given(peer, piece, offered);
        offered
    }

    fn note_given(&mut self, peer: PeerKey, piece: PieceIndex, by_us: bool) {
        if let Some(owner) = self.alone.remove(&piece) {
            let given = self.given.entry(owner).or_default();
            if by_us {
                given.to_it = given.to_it.saturating_sub(1);
            } else {
                given.from_it += 1;
            }
        } else if by_us && self.copies(piece) == 1 {
            self.alone.insert(piece, peer);
            let given = self.given.entry(peer).or_default();
            given.to_it += 1;
            if given.to_it >= HOARD_MEMORY {
                *given = Given { to_it: given.to_it / 2, from_it: given.from_it / 2 };
            }
        }
    }

    /// Whether what the peer alone was given does not get to others.
    pub(crate) fn hoards(&self, peer: PeerKey) -> bool {
        self.given
            .get(&peer)
            .is_some_and(|given| given.to_it >= HOARD_PIECES && given.from_it < given.to_it / 4)
    }

    /// A peer, that had all if it `was_all`, has one piece less.
    pub(crate) fn peer_lost(&mut self, piece: PieceIndex, was_all: bool) {
        self.copies.lost(piece, was_all, &mut self.rng);
    }

    /// We have a piece less.
    pub(crate) fn set_gone(&mut self, piece: PieceIndex) {
        self.withdraw(piece);
        self.copies.close(piece);
    }

    /// We have a piece more.
    pub(crate) fn set_free(&mut self, piece: PieceIndex) {
        if !self.offers.contains_key(&piece) {
            self.copies.open(piece, &mut self.rng);
        }
    }

    /// How many peers have the piece.
    pub(crate) fn copies(&self, piece: PieceIndex) -> u32 {
        self.copies.of(piece)
    }

    /// Whether somebody else has each of our pieces.
    pub(crate) fn all_out(&self) -> bool {
        let free = self.copies.rarest_first(Priority::Normal).next();
        free.into_iter().chain(self.offers.keys().copied()).all(|piece| self.copies(piece) > 0)
    }

    /// The rarest free piece that is not in `pieces`.
    pub(crate) fn rarest(&self, pieces: &Pieces) -> Option<PieceIndex> {
        self.copies.rarest_first(Priority::Normal).take(OFFER_SCAN).find(|&piece| !pieces.contains(piece))
    }

    /// How many pieces are on offer.
    pub(crate) fn offered(&self) -> usize {
        self.offers.len()
    }

    /// The pieces that are on offer to a peer.
    pub(crate) fn offers_to(&self, peer: PeerKey) -> impl Iterator<Item = PieceIndex> + '_ {
        let all = (peer, PieceIndex::new(0))..=(peer, PieceIndex::new(u32::MAX));
        self.by_peer.range(all).map(|&(_, piece)| piece)
    }

    pub(crate) fn is_offered(&self, piece: PieceIndex, peer: PeerKey) -> bool {
        self.by_peer.contains(&(peer, piece))
    }

    /// Whether the piece is on offer to the peer, and some of it was sent.
    pub(crate) fn has_begun(&self, piece: PieceIndex, peer: PeerKey) -> bool {
        self.offers.get(&piece).is_some_and(|offer| offer.peer == peer && offer.begun)
    }

    /// The peer was told of a piece, or asked for it; without effect unless the piece is free.
    pub(crate) fn offer(&mut self, piece: PieceIndex, peer: PeerKey, now: Time) {
        if self.copies.is_open(piece) {
            self.copies.close(piece);
            self.offers.insert(piece, Offer { peer, since: now, begun: false });
            self.by_peer.insert((peer, piece));
        }
    }

    /// A block of the piece was sent to the peer.
    pub(crate) fn sent(&mut self, piece: PieceIndex, peer: PeerKey, now: Time) {
        if let Some(offer) = self.offers.get_mut(&piece).filter(|offer| offer.peer == peer) {
            offer.since = now;
            offer.begun = true;
        }
    }

    /// The piece is free again; says to whom it was on offer.
    pub(crate) fn withdraw(&mut self, piece: PieceIndex) -> Option<PeerKey> {
        let offer = self.offers.remove(&piece)?;
        self.by_peer.remove(&(offer.peer, piece));
        self.copies.open(piece, &mut self.rng);
        Some(offer.peer)
    }

    /// Withdraws what is on offer to the peer, if it is `such`.
    pub(crate) fn withdraw_all(&mut self, peer: PeerKey, such: impl Fn(&Offer) -> bool) {
        let all: Vec<_> = self.offers_to(peer).collect();
        for piece in all {
            if self.offers.get(&piece).is_some_and(&such) {
                self.withdraw(piece);
            }
        }
    }

    /// The offers of which nothing came for so long.
    pub(crate) fn stale(&self, now: Time, patience: Duration) -> Vec<(PieceIndex, PeerKey)> {
        let stale = self.offers.iter().filter(|(_, offer)| now.since(offer.since) >= patience);
        stale.map(|(&piece, offer)| (piece, offer.peer)).collect()
    }

    /// Recounts what is kept twice, given the pieces of every peer.
    ///
    /// # Panics
    /// If a count is wrong or a piece is in two states at once.
    pub(crate) fn check(&self, have: &Bitfield, peers: &[(PeerKey, &Pieces)]) {
        for piece in (0..have.len()).map(PieceIndex::new) {
            let recount = peers.iter().filter(|(_, pieces)| pieces.contains(piece)).count();
            assert_eq!(self.copies(piece) as usize, recount, "copies of {piece:?}");
            let offer = self.offers.get(&piece);
            let free = have.contains(piece) && offer.is_none();
            assert_eq!(self.copies.is_open(piece), free, "{piece:?} is free");
            if let Some(offer) = offer {
                assert!(self.by_peer.contains(&(offer.peer, piece)));
                let taker = peers.iter().find(|(key, _)| *key == offer.peer);
                assert!(taker.is_some_and(|(_, pieces)| !pieces.contains(piece)), "{piece:?}: {offer:?}");
            }
        }
        assert_eq!(self.offers.len(), self.by_peer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec;

    const PIECES: u32 = 12;

    #[derive(Clone, Debug)]
    enum Op {
        Come(Vec<u32>),
        Go(usize),
        Have(usize, u32),
        Lose(usize, u32),
        Gone(u32),
        Back(u32),
        Replace(usize, Vec<u32>),
        Offer(usize),
        Sent(usize, u32),
        Choke(usize),
        Wait(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let pieces = || proptest::collection::vec(0..PIECES, 0..PIECES as usize);
        prop_oneof![
            1 => pieces().prop_map(Op::Come),
            1 => (0usize..5).prop_map(Op::Go),
            6 => (0usize..5, 0..PIECES).prop_map(|(peer, piece)| Op::Have(peer, piece)),
            2 => (0usize..5, 0..PIECES).prop_map(|(peer, piece)| Op::Lose(peer, piece)),
            1 => (0..PIECES).prop_map(Op::Gone),
            2 => (0..PIECES).prop_map(Op::Back),
            1 => (0usize..5, pieces()).prop_map(|(peer, pieces)| Op::Replace(peer, pieces)),
            6 => (0usize..5).prop_map(Op::Offer),
            3 => (0usize..5, 0..PIECES).prop_map(|(peer, piece)| Op::Sent(peer, piece)),
            1 => (0usize..5).prop_map(Op::Choke),
            1 => (0u64..90).prop_map(Op::Wait),
        ]
    }

    fn pieces_of(list: &[u32]) -> Pieces {
        let mut bits = Bitfield::new(PIECES);
        list.iter().for_each(|&n| {
            bits.insert(PieceIndex::new(n));
        });
        Pieces::from(bits)
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    struct Model {
        spread: Spread,
        have: Bitfield,
        peers: Vec<(PeerKey, Pieces)>,
        now: Time,
        next: u64,
    }

    impl Model {
        fn step(&mut self, op: Op) {
            let (spread, now) = (&mut self.spread, self.now);
            match op {
                Op::Come(list) => {
                    self.peers.push((PeerKey(self.next), pieces_of(&list)));
                    self.next += 1;
                    spread.peer_came(&pieces_of(&list));
                }
                Op::Go(n) if n < self.peers.len() => {
                    let (key, pieces) = self.peers.remove(n);
                    spread.peer_went(key, &pieces);
                }
                Op::Wait(secs) => self.now += Duration::from_secs(secs),
                Op::Have(n, piece) => {
                    let piece = PieceIndex::new(piece);
                    let Some((key, pieces)) = self.peers.get_mut(n) else { return };
                    if pieces.insert(piece) {
                        let offered = spread.is_offered(piece, *key);
                        assert_eq!(spread.peer_gained(*key, piece), offered);
                    }
                }
                Op::Lose(n, piece) => {
                    let piece = PieceIndex::new(piece);
                    let Some((_, pieces)) = self.peers.get_mut(n) else { return };
                    let was_all = matches!(pieces, Pieces::All(_));
                    if pieces.remove(piece) {
                        spread.peer_lost(piece, was_all);
                    }
                }
                Op::Gone(piece) => {
                    if self.have.remove(PieceIndex::new(piece)) {
                        spread.set_gone(PieceIndex::new(piece));
                    }
                }
                Op::Back(piece) => {
                    if self.have.insert(PieceIndex::new(piece)) {
                        spread.set_free(PieceIndex::new(piece));
                    }
                }
                Op::Replace(n, list) => {
                    let Some((key, pieces)) = self.peers.get_mut(n) else { return };
                    spread.pieces_replaced(*key, pieces, &pieces_of(&list));
                    *pieces = pieces_of(&list);
                }
                Op::Offer(n) => {
                    let Some((key, pieces)) = self.peers.get(n) else { return };
                    let Some(piece) = spread.rarest(pieces) else { return };
                    let free = |&other: &PieceIndex| spread.copies.is_open(other) && !pieces.contains(other);
                    let all = (0..PIECES).map(PieceIndex::new).filter(free);
                    assert_eq!(all.map(|other| spread.copies(other)).min(), Some(spread.copies(piece)));
                    spread.offer(piece, *key, now);
                    assert!(spread.is_offered(piece, *key));
                }
                Op::Sent(n, piece) => {
                    let Some((key, _)) = self.peers.get(n) else { return };
                    spread.sent(PieceIndex::new(piece), *key, now);
                }
                Op::Choke(n) => {
                    let Some((key, _)) = self.peers.get(n) else { return };
                    spread.withdraw_all(*key, |offer| !offer.begun);
                }
                Op::Go(_) => {}
            }
            for (piece, peer) in self.spread.stale(self.now, PATIENCE) {
                assert_eq!(self.spread.withdraw(piece), Some(peer));
            }
        }
    }

    proptest! {
        #[test]
        fn equals_a_recount(ops in proptest::collection::vec(op(), 1..150), seed: u64) {
            let have = Bitfield::full(PIECES);
            let spread = Spread::new(&have, core::iter::empty(), Rng::with_seed(seed));
            let mut model = Model { spread, have, peers: Vec::new(), now: Time::ZERO, next: 1 };
            for op in ops {
                model.step(op);
                let peers: Vec<_> = model.peers.iter().map(|(key, pieces)| (*key, pieces)).collect();
                model.spread.check(&model.have, &peers);
                let out: BTreeSet<_> = peers.iter().flat_map(|(_, pieces)| {
                    (0..PIECES).filter(|&n| pieces.contains(PieceIndex::new(n))).collect::<Vec<_>>()
                }).collect();
                prop_assert_eq!(model.spread.all_out(), model.have.ones().all(|piece| out.contains(&piece.get())));
                prop_assert!(model.spread.stale(model.now, PATIENCE).is_empty());
            }
        }
    }

    #[test]
    fn who_keeps_what_it_alone_was_given_hoards() {
        let have = Bitfield::full(PIECES);
        let (keeper, giver, other) = (PeerKey(1), PeerKey(2), PeerKey(3));
        let nobody = Pieces::none(PIECES);
        let mut spread = Spread::new(&have, [&nobody, &nobody, &nobody].into_iter(), Rng::with_seed(1));
        let give = |spread: &mut Spread, peer, n| {
            spread.offer(PieceIndex::new(n), peer, Time::ZERO);
            assert!(spread.peer_gained(peer, PieceIndex::new(n)));
        };
        for n in 0..HOARD_PIECES {
            assert!(!spread.hoards(keeper), "not yet");
            give(&mut spread, keeper, n);
            give(&mut spread, giver, n + HOARD_PIECES);
            spread.peer_gained(other, PieceIndex::new(n + HOARD_PIECES));
        }
        assert!(spread.hoards(keeper) && !spread.hoards(giver) && !spread.hoards(other));
        spread.peer_gained(other, PieceIndex::new(0));
        assert!(!spread.hoards(keeper), "one of four is enough");
        spread.peer_went(keeper, &nobody);
        assert!(spread.alone.values().all(|&owner| owner != keeper));
    }

    #[test]
    fn old_gifts_are_forgotten() {
        let count = HOARD_MEMORY * 2;
        let nobody = Pieces::none(count);
        let mut spread = Spread::new(&Bitfield::full(count), core::iter::once(&nobody), Rng::with_seed(1));
        for piece in (0..count).map(PieceIndex::new) {
            spread.offer(piece, PeerKey(1), Time::ZERO);
            spread.peer_gained(PeerKey(1), piece);
            assert!(spread.given[&PeerKey(1)].to_it < HOARD_MEMORY);
        }
    }
}
