//! Turnover: when every connection is taken, one that gives us nothing makes room for an address that waits.

use super::Swarm;
use crate::limits::{METADATA_TURNOVER_INTERVAL, NEED_PEERS_INTERVAL, TURNOVER_INTERVAL};
use crate::{DisconnectReason, Output, PeerKey};
use types::Time;

impl Swarm {
    /// When the next connection may have to go; `None` while there is room.
    pub(super) fn turnover_at(&self) -> Option<Time> {
        let full = self.peers.len() >= self.config.max_peers;
        let due = full && self.config.dial && !self.finished && !self.paused;
        let patience = if self.unknown.is_some() { METADATA_TURNOVER_INTERVAL } else { TURNOVER_INTERVAL };
        let at = due.then(|| self.useless_since()).flatten()?.0 + patience;
        Some(if self.book.next_due().is_some() { at } else { at.max(self.next_need) })
    }

    /// Closes one connection a time: the one that has given nothing for longest.
    pub(super) fn turn_over(&mut self) {
        if self.turnover_at().is_none_or(|at| at > self.now) {
            return;
        }
        if self.book.next_due().is_none() {
            // Nobody waits to take the place yet.
            self.next_need = self.now + NEED_PEERS_INTERVAL;
            self.out.push_back(Output::NeedPeers);
        } else if let Some((_, key)) = self.useless_since() {
            self.disconnect(key, DisconnectReason::Useless);
        }
    }

    /// Since when a peer has sent us nothing, and who: the one that has done so for longest.
    fn useless_since(&self) -> Option<(Time, PeerKey)> {
        let idle = self.peers.iter().filter(|(_, peer)| peer.requests.is_empty() && peer.peer_choking);
        let has_metadata = |key| self.unknown.as_ref().is_some_and(|unknown| unknown.is_source(key));
        let idle = idle.filter(|&(&key, _)| !has_metadata(key));
        idle.map(|(&key, peer)| (peer.gave, key)).min()
    }
}
