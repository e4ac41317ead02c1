//! Seeding: which pieces are given to whom.
//!
//! A seed suggests pieces to peers that it serves (BEP 6), each to one peer; a super seed (BEP 16) shows them its
//! pieces one by one.

use super::{Swarm, send};
use crate::limits::{INITIAL_WINDOW, MAX_SINGLE_HAVES, MAX_SUGGESTED, OFFER_PATIENCE, SHOW_PATIENCE};
use crate::peer::Peer;
use crate::pieces::Pieces;
use crate::spread::Spread;
use crate::super_seed::{SuperSeed, Viewer};
use crate::{Output, PeerKey};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use types::{BLOCK_LEN, Bitfield, BlockRange, Lengths, PieceIndex, Time};
use wire::Message;

/// Suggestions ahead of what a peer asks for, beside those for its window.
const SUGGEST_AHEAD: u64 = 2;

/// What others have, as far as a seed minds.
impl Swarm {
    /// We want nothing any more, or somebody comes while we want nothing. As long as nobody is here nothing is kept of
    /// who has what: most of what a client seeds nobody asks for.
    pub(super) fn begin_seeding(&mut self) {
        let peers = self.peers.values().map(|peer| &peer.pieces);
        self.spread = Some(Spread::new(self.picker.have(), peers, self.rng.fork()));
    }

    /// We want something again.
    pub(super) fn stop_seeding(&mut self) {
        self.end_super_seeding();
        self.spread = None;
        self.peers.values_mut().for_each(|peer| peer.suggested_to.clear());
    }

    pub(super) fn note_came(&mut self, peer: &mut Peer) {
        if self.finished && self.spread.is_none() {
            self.begin_seeding();
        }
        if let Some(spread) = &mut self.spread {
            spread.peer_came(&peer.pieces);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.stir();
            peer.shown = Some(Bitfield::new(self.lengths.piece_count()));
            self.wake_by(self.now);
        }
    }

    pub(super) fn note_went(&mut self, key: PeerKey, pieces: &Pieces) {
        if self.peers.is_empty() {
            self.spread = None;
            // An empty map still has room for eleven.
            self.peers = BTreeMap::new();
        } else if let Some(spread) = &mut self.spread {
            spread.peer_went(key, pieces);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.peer_went(key);
            super_seed.stir();
        }
    }

    /// The peer has one piece more.
    pub(super) fn note_gained(&mut self, key: PeerKey, piece: PieceIndex) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.get_mut(&key)) else { return };
        let offered = spread.peer_gained(key, piece);
        let hoards = offered && !peer.am_choking && spread.hoards(key);
        let copies = spread.copies(piece);
        peer.suggested_to.retain(|&other| other != piece);
        if hoards {
            self.end_turn(key);
        }
        let Some(super_seed) = &mut self.super_seed else { return };
        super_seed.stir();
        super_seed.seen(piece, key);
        let lacks = |(&other, peer): (&PeerKey, &Peer)| {
            other != key && lacks_something(peer) && !peer.pieces.contains(piece)
        };
        if offered && copies == 1 && self.peers.iter().any(lacks) {
            super_seed.watch(piece, key, self.now);
        }
        self.end_if_all_out();
    }

    /// The peer has one piece less.
    pub(super) fn note_lost(&mut self, key: PeerKey, piece: PieceIndex, was_all: bool) {
        if let Some(spread) = &mut self.spread {
            spread.peer_lost(piece, was_all);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.lost(piece, key);
            super_seed.stir();
        }
    }

    /// The peer said anew what it has.
    pub(super) fn note_replaced(&mut self, key: PeerKey, before: &Pieces) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.get_mut(&key)) else { return };
        spread.pieces_replaced(key, before, &peer.pieces);
        peer.suggested_to.retain(|&piece| !peer.pieces.contains(piece));
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.stir();
            super_seed.seen_all(&peer.pieces, key);
        }
        self.end_if_all_out();
    }
}

/// Suggestions.
impl Swarm {
    /// The peer is about to be unchoked: it is told what to ask for before it asks.
    pub(super) fn suggest_first(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else { return };
        let window = if peer.ever_unchoked { 0 } else { INITIAL_WINDOW as u64 * u64::from(BLOCK_LEN) };
        self.suggest(key, window);
    }

    /// Suggests pieces for so many bytes more than the peer asks for at its rate.
    fn suggest(&mut self, key: PeerKey, bytes: u64) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.get_mut(&key)) else { return };
        if self.super_seed.is_some() || !peer.fast || !lacks_something(peer) {
            return;
        }
        let bytes = bytes.max(peer.up.rate.per_sec(self.now) / 2);
        let enough = bytes.div_ceil(u64::from(self.lengths.piece_length())) + SUGGEST_AHEAD;
        let enough = usize::try_from(enough).unwrap_or(MAX_SUGGESTED).min(MAX_SUGGESTED);
        while peer.suggested_to.len() < enough
            && let Some(piece) = spread.rarest(&peer.pieces)
        {
            spread.offer(piece, key, self.now);
            peer.suggested_to.push(piece);
            send(&mut self.out, self.now, key, peer, Message::Suggest(piece.get()));
        }
    }

    /// A request was taken: its piece is the peer's for now, suggested or not.
    pub(super) fn note_request(&mut self, key: PeerKey, block: BlockRange) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.get_mut(&key)) else { return };
        if !peer.pieces.contains(block.piece) {
            spread.offer(block.piece, key, self.now);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.note_busy(self.now);
        }
        if let Some(at) = peer.suggested_to.iter().position(|&piece| piece == block.piece) {
            peer.suggested_to.remove(at);
            self.suggest(key, 0);
        }
    }

    pub(super) fn note_sent(&mut self, key: PeerKey, block: BlockRange) {
        if let Some(spread) = &mut self.spread {
            spread.sent(block.piece, key, self.now);
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.note_busy(self.now);
        }
    }

    /// Pieces that peers were offered and do nothing with are offered to others.
    pub(super) fn withdraw_stale(&mut self) {
        let Some(spread) = &mut self.spread else { return };
        let patience = if self.super_seed.is_some() { SHOW_PATIENCE } else { OFFER_PATIENCE };
        for (piece, key) in spread.stale(self.now, patience) {
            // Who waits for us is not to blame.
            let waits = self.peers.get(&key).is_some_and(|peer| waits_for(peer, piece));
            if !waits {
                spread.withdraw(piece);
            }
        }
        if let Some(super_seed) = &mut self.super_seed {
            super_seed.stir();
            super_seed.let_pass(self.now);
        }
    }
}

/// Super seeding.
impl Swarm {
    pub(super) fn on_set_super_seed(&mut self, on: bool) {
        if !on {
            self.end_super_seeding();
        } else if self.super_seed.is_none() && self.picker.have().is_full() {
            self.super_seed = Some(SuperSeed::new(self.now));
            self.wake_by(self.now);
        }
    }

    /// Shows peers what they are due.
    pub(super) fn show_pieces(&mut self) {
        if !self.super_seed.as_mut().is_some_and(SuperSeed::take_stirred) {
            return;
        }
        while let Some((key, piece)) = self.next_show() {
            let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.get_mut(&key)) else { return };
            spread.offer(piece, key, self.now);
            peer.shown_at = self.now;
            let new = peer.shown.as_mut().is_some_and(|shown| shown.insert(piece));
            if new {
                send(&mut self.out, self.now, key, peer, Message::Have(piece.get()));
            }
        }
    }

    fn next_show(&self) -> Option<(PeerKey, PieceIndex)> {
        let (spread, super_seed) = (self.spread.as_ref()?, self.super_seed.as_ref()?);
        // Enough to keep every slot busy, and for a second.
        let second = self.totals.up.per_sec(self.now) / u64::from(self.lengths.piece_length());
        let room = self.choker.slots().max(usize::try_from(second).unwrap_or(usize::MAX));
        if spread.offered() >= room {
            return None;
        }
        let viewers = self.peers.iter().filter(|(_, peer)| peer.shown.is_some() && lacks_something(peer));
        let viewer = |(&key, peer): (&PeerKey, &Peer)| Viewer {
            peer: key,
            offers: spread.offers_to(key).count(),
            shown_at: peer.shown_at,
        };
        let key = super_seed.next(self.now, &viewers.map(viewer).collect::<Vec<_>>(), room)?;
        let piece = spread.rarest(&self.peers.get(&key)?.pieces)?;
        (spread.copies(piece) == 0).then_some((key, piece))
    }

    /// Each piece is at some other peer: the swarm can do without us.
    fn end_if_all_out(&mut self) {
        if self.super_seed.is_some() && self.spread.as_ref().is_none_or(Spread::all_out) {
            self.end_super_seeding();
        }
    }

    pub(super) fn end_super_seeding(&mut self) {
        if self.super_seed.take().is_none() {
            return;
        }
        let have = self.picker.have();
        for (&key, peer) in &mut self.peers {
            if let Some(shown) = peer.shown.take()
                && !peer.pieces.is_all()
            {
                show_rest(&mut self.out, self.now, key, peer, have, &shown);
            }
        }
    }
}

/// Tells the peer what it was not shown.
pub(super) fn show_rest(
    out: &mut VecDeque<Output>,
    now: Time,
    key: PeerKey,
    peer: &mut Peer,
    have: &Bitfield,
    shown: &Bitfield,
) {
    if have.count_ones() - shown.count_ones() > MAX_SINGLE_HAVES {
        let all_at_once = if peer.fast && have.is_full() {
            Message::HaveAll
        } else {
            Message::Bitfield(have.as_bytes().to_vec().into())
        };
        return send(out, now, key, peer, all_at_once);
    }
    for piece in have.ones().filter(|&piece| !shown.contains(piece)) {
        send(out, now, key, peer, Message::Have(piece.get()));
    }
}

/// The peer's turn is over, but what it has begun to get would be of use to nobody: it may have the rest of that piece
/// (BEP 6, allowed fast).
pub(super) fn let_finish(
    out: &mut VecDeque<Output>,
    now: Time,
    lengths: &Lengths,
    spread: &Spread,
    key: PeerKey,
    peer: &mut Peer,
) {
    let asked = peer.serving.iter().chain(&peer.queue).map(|block| block.piece);
    if let Some(piece) = asked.into_iter().find(|&piece| spread.has_begun(piece, key)).filter(|_| peer.fast) {
        peer.may_finish = Some((piece, u64::from(lengths.piece_len(piece))));
        send(out, now, key, peer, Message::AllowedFast(piece.get()));
    }
}

/// A peer that was choked is no more expected to fetch what it has not begun.
pub(super) fn note_choked(spread: Option<&mut Spread>, key: PeerKey, peer: &mut Peer) {
    peer.suggested_to.clear();
    if let Some(spread) = spread
        && peer.shown.is_none()
    {
        spread.withdraw_all(key, |offer| !offer.begun);
    }
}

/// Whether there is anything for us to give to it.
fn lacks_something(peer: &Peer) -> bool {
    !peer.upload_only && !peer.pieces.is_all()
}

/// Whether it would have the piece, if we sent it.
fn waits_for(peer: &Peer, piece: PieceIndex) -> bool {
    let asked = peer.queue.iter().chain(&peer.serving).any(|block| block.piece == piece);
    asked || (peer.shown.is_some() && peer.wants() && peer.am_choking)
}
