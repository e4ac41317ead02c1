//! What the owner wishes, beside what is wanted at all.

use super::Swarm;
use crate::limits::{PACE_INTERVAL, SLOW_MARGIN};
use crate::pace::Pace;
use crate::peer::Peer;
use crate::pieces::Pieces;
use crate::{Order, PeerKey};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use types::{Lengths, PieceIndex, Time};

impl Swarm {
    pub(super) fn on_set_order(&mut self, order: Order) {
        if order == self.picker.order() {
            return;
        }
        self.picker.set_order(order);
        self.peers.values_mut().for_each(|peer| peer.current = None);
        self.pace_at = self.now;
    }

    pub(super) fn on_set_deadline(&mut self, piece: PieceIndex, at: Option<Time>) {
        if self.lengths.piece(piece.get()).is_none() {
            return;
        }
        if !self.picker.has_deadlines() {
            self.pace_at = self.now;
        }
        self.picker.set_deadline(piece, at, self.now);
        self.picker.look_at_pace_of(piece, &of_use(&self.peers, self.now));
    }

    /// Whether peers are to be looked at even if nothing happens: one may miss a deadline.
    pub(super) fn minds_pace(&self) -> bool {
        self.picker.has_deadlines() && !self.peers.is_empty()
    }

    /// What is known of the peers changed: finds out how fast they are, if that matters.
    pub(super) fn look_at_pace_now(&mut self) {
        if self.minds_pace() {
            self.pace_at = self.now;
            self.look_at_pace();
        }
    }

    /// Finds out how fast peers are, if that matters and it was not done lately.
    pub(super) fn look_at_pace(&mut self) {
        let urgent = self.picker.has_deadlines();
        if self.now < self.pace_at || !urgent && self.picker.order() != Order::Sequential {
            return;
        }
        self.pace_at = self.now + PACE_INTERVAL;
        self.pace = Pace::default();
        self.askable = self.peers.values().filter(|peer| peer.am_interested && !peer.snubbed).count();
        let of_use = of_use(&self.peers, self.now);
        of_use.iter().for_each(|(_, eta, rate)| self.pace.add(*eta, *rate));
        self.picker.look_at_pace(&of_use);
        if urgent {
            self.picker.share_overdue(self.now);
            self.fill_everybody();
        }
    }
}

/// The peers that can be asked for something: their pieces, when their next block should come, and their rates. One that
/// was outrun before it delivered anything is not worth counting on.
fn of_use(peers: &BTreeMap<PeerKey, Peer>, now: Time) -> Vec<(&Pieces, Option<Duration>, u64)> {
    let of_use = peers.values().filter(|peer| peer.is_of_use(now));
    let known = of_use.map(|peer| (peer, peer.eta(now)));
    known
        .filter(|(peer, eta)| eta.is_some() || peer.outrun.is_zero())
        .map(|(peer, eta)| (&peer.pieces, eta, peer.window.rate()))
        .collect()
}

impl Pace {
    /// How many pieces the others get while a peer's next block is on its way, if it is much slower than they are.
    pub(super) fn behind(&self, peer: &Peer, lengths: Lengths, now: Time) -> u32 {
        match (peer.eta(now), self.soonest) {
            (Some(eta), Some(soonest)) if eta > soonest * 2 + SLOW_MARGIN => {
                let pieces = self.bytes_in(eta).div_ceil(u64::from(lengths.piece_length()));
                u32::try_from(pieces).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }
}
