//! Turnover: when every connection is taken, one that gives us nothing makes room for an address that waits, and one of a
//! host that has many for a newcomer from elsewhere.

use super::Swarm;
use crate::dial_guard::{crowd, host};
use crate::limits::{METADATA_TURNOVER_INTERVAL, NEED_PEERS_INTERVAL, TURNOVER_INTERVAL};
use crate::{DisconnectReason, Output, PeerKey};
use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
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

    /// The connection with this host (of IPv6, with its /64) that can be spared best, if it has one that is of no use to
    /// either side: of those where nobody wants anything, else of all, the oldest. Never whom the user named.
    pub fn spare_of(&self, ip: IpAddr) -> Option<PeerKey> {
        let idle = self.peers.iter().filter(|(_, peer)| {
            host(peer.addr.ip()) == host(ip)
                && !peer.is_web_seed
                && !peer.is_in_use(self.now)
                && !peer.listens.is_some_and(|addr| self.book.is_users(addr))
        });
        idle.min_by_key(|(key, peer)| (peer.am_interested || peer.wants(), peer.came, **key))
            .map(|(&key, _)| key)
    }

    /// What can be spared of the host that has most connections, if it still has more than a newcomer's host once that is
    /// here.
    pub(super) fn spare_of_crowd(&self, newcomer: SocketAddr) -> Option<PeerKey> {
        let mut counts = BTreeMap::<_, usize>::new();
        let peers = self.peers.values().filter(|peer| !peer.is_web_seed);
        peers.for_each(|peer| *counts.entry(host(peer.addr.ip()).0).or_default() += 1);
        self.spare_of(crowd(&counts, newcomer.ip())?)
    }
}
