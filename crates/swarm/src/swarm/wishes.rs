//! What the owner wishes, beside what is wanted at all.

use super::Swarm;
use crate::Order;
use crate::limits::{PACE_INTERVAL, SLOW_MARGIN};
use crate::pace::Pace;
use crate::peer::Peer;
use types::{Lengths, Time};

impl Swarm {
    pub(super) fn on_set_order(&mut self, order: Order) {
        if order == self.picker.order() {
            return;
        }
        self.picker.set_order(order);
        self.peers.values_mut().for_each(|peer| peer.current = None);
        self.pace_at = self.now;
    }

    /// Finds out how fast peers are, if that matters and it was not done lately.
    pub(super) fn look_at_pace(&mut self) {
        if self.now < self.pace_at || self.picker.order() != Order::Sequential {
            return;
        }
        self.pace_at = self.now + PACE_INTERVAL;
        self.pace = Pace::default();
        for peer in self.peers.values().filter(|peer| peer.is_of_use(self.now)) {
            if let Some(eta) = peer.eta(self.now) {
                self.pace.add(eta, peer.window.rate());
            }
        }
    }
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
