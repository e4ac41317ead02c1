//! Super seeding (BEP 16): who is to be shown another piece.
//!
//! A super seed seems to have nothing. It *shows* a piece to one peer, with a `have`, as if it had just got it. The
//! next piece is shown to that peer when another peer has the first: who passes on what it gets is served more. Of a
//! piece that was shown, the peer either does not have it yet (it is on offer: see [`crate::spread`]), or has it and
//! we **watch** for it at others.
//!
//! Nobody is waited for in vain: not for a piece that no other peer lacks, not for longer than
//! [`SHOW_PATIENCE`], and not while we have nothing to send.

use crate::PeerKey;
use crate::limits::{MAX_SHOWN_TO_ONE, SHOW_IDLE, SHOW_PATIENCE};
use crate::pieces::Pieces;
use alloc::collections::BTreeMap;
use types::{PieceIndex, Time};

#[derive(Debug)]
pub(crate) struct SuperSeed {
    watched: BTreeMap<PieceIndex, Watch>,
    /// When we last had something to send.
    busy: Time,
    /// Something happened that may let a piece be shown.
    stirred: bool,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    peer: PeerKey,
    since: Time,
}

/// A peer that can be shown a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(crate) peer: PeerKey,
    /// How many pieces are on offer to it.
    pub(crate) offers: usize,
    /// When it was last shown one; when it came, if never.
    pub(crate) shown_at: Time,
}

impl SuperSeed {
    pub(crate) fn new(now: Time) -> SuperSeed {
        SuperSeed { watched: BTreeMap::new(), busy: now, stirred: true }
    }

    /// What peers have, or who is there, changed; or time passed.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether there was a reason to look who is due since this was last asked.
    pub(crate) fn take_stirred(&mut self) -> bool {
        core::mem::take(&mut self.stirred)
    }

    /// The peer has the piece that it was shown, and others do not.
    pub(crate) fn watch(&mut self, piece: PieceIndex, peer: PeerKey, now: Time) {
        self.watched.insert(piece, Watch { peer, since: now });
    }

    /// A peer has a piece.
    pub(crate) fn seen(&mut self, piece: PieceIndex, at: PeerKey) {
        if self.watched.get(&piece).is_some_and(|watch| watch.peer != at) {
            self.watched.remove(&piece);
        }
    }

    /// A peer has these pieces.
    pub(crate) fn seen_all(&mut self, pieces: &Pieces, at: PeerKey) {
        self.watched.retain(|&piece, watch| watch.peer == at || !pieces.contains(piece));
    }

    /// A peer does not have the piece any more.
    pub(crate) fn lost(&mut self, piece: PieceIndex, at: PeerKey) {
        if self.watched.get(&piece).is_some_and(|watch| watch.peer == at) {
            self.watched.remove(&piece);
        }
    }

    pub(crate) fn peer_went(&mut self, peer: PeerKey) {
        self.watched.retain(|_, watch| watch.peer != peer);
    }

    /// Something is being sent.
    pub(crate) fn note_busy(&mut self, now: Time) {
        self.busy = now;
    }

    /// Who keeps a piece to itself for too long is waited for no more.
    pub(crate) fn let_pass(&mut self, now: Time) {
        self.watched.retain(|_, watch| now.since(watch.since) < SHOW_PATIENCE);
    }

    /// Who is to be shown a piece, while fewer than `room` are on offer: who has waited longest of those that owe us
    /// nothing. If nobody is left of them and we idle, or if there is one peer only, who owes us least.
    pub(crate) fn next(&self, now: Time, viewers: &[Viewer], room: usize) -> Option<PeerKey> {
        let most = if viewers.len() == 1 {
            room.min(MAX_SHOWN_TO_ONE)
        } else if now.since(self.busy) >= SHOW_IDLE {
            MAX_SHOWN_TO_ONE
        } else {
            1
        };
        let mut kept: BTreeMap<PeerKey, usize> = BTreeMap::new();
        self.watched.values().for_each(|watch| *kept.entry(watch.peer).or_default() += 1);
        let owes = |viewer: &Viewer| viewer.offers + kept.get(&viewer.peer).copied().unwrap_or_default();
        let may = viewers.iter().filter(|viewer| owes(viewer) < most);
        // Who does nothing with what it was shown comes last, or it would soon hold all that may be on offer.
        may.min_by_key(|viewer| (viewer.offers, owes(viewer), viewer.shown_at)).map(|viewer| viewer.peer)
    }

    /// How many pieces are watched for.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.watched.len()
    }
}
