//! Web seeds (BEP 19): sources that are asked like peers, and to which nothing is said.

use super::Swarm;
use super::download::tell_interest;
use crate::limits::WEB_SEED_BATCH;
use crate::peer::Peer;
use crate::pieces::Pieces;
use crate::{DisconnectReason, Output, PeerKey};
use core::net::SocketAddr;
use types::Bitfield;

impl Swarm {
    pub(super) fn on_web_seed(&mut self, key: PeerKey, addr: SocketAddr, pieces: &Bitfield) {
        if self.peers.contains_key(&key) || pieces.len() != self.lengths.piece_count() {
            return;
        }
        if let Some(reason) = self.not_needed(addr) {
            return self.out.push_back(Output::Disconnect { peer: key, reason });
        }
        let mut peer = Peer::web_seed(self.now, addr, Pieces::from(pieces.clone()));
        peer.suspect = self.trust.connected(addr);
        peer.useful = peer.pieces.count_in(self.picker.missing());
        self.picker.peer_came(&peer.pieces);
        tell_interest(&mut self.out, self.now, key, &mut peer);
        self.peers.insert(key, peer);
        self.look_at_pace_now();
        self.fill(key);
    }

    fn not_needed(&self, addr: SocketAddr) -> Option<DisconnectReason> {
        if self.trust.is_banned(addr) {
            Some(DisconnectReason::Banned)
        } else if self.paused {
            Some(DisconnectReason::Paused)
        } else if self.finished {
            Some(DisconnectReason::BothSeeds)
        } else if self.peers.len() >= self.config.max_peers {
            Some(DisconnectReason::TooManyPeers)
        } else {
            None
        }
    }
}

/// How many blocks a web seed that may be asked for `room` more is asked for: none, as long as it is busy and a longer
/// run of them can be asked for soon.
pub(super) fn room_for_run(peer: &Peer, window: usize, room: usize) -> usize {
    let waits = !peer.requests.is_empty() && room < WEB_SEED_BATCH.min(window / 2);
    if waits { 0 } else { room }
}
