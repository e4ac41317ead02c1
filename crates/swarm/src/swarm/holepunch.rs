//! Peers that cannot be dialed are brought together (BEP 55).
//!
//! We stand in the middle for others. Who is told by somebody in the middle to connect to a peer does so over uTP at the
//! same moment as that peer; we have TCP only, so that the peer is dialed like one that was heard of by exchange, once its
//! turn comes, and we ask nobody to bring us together.
//!
//! Not while it is unknown whether the torrent is private, and never in one that is (BEP 27).

use super::{Swarm, send};
use crate::limits::{RENDEZVOUS_BURST, RENDEZVOUS_INTERVAL};
use crate::source::{can_be_dialed, may_pass};
use crate::{Output, PeerKey};
use core::net::SocketAddr;
use wire::Message;
use wire::ext::{Holepunch, HolepunchError, HolepunchKind};

/// The number that `ut_holepunch` messages to us carry (BEP 55, 10): libtorrent's.
pub(super) const HOLEPUNCH_ID: u8 = 4;

impl Swarm {
    /// Broken messages, those beyond the quota, and those of a peer that does not know the extension are ignored.
    pub(super) fn on_holepunch(&mut self, key: PeerKey, payload: &[u8]) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.holepunch.is_some()) else { return };
        let Ok(Holepunch { kind, addr }) = Holepunch::decode(payload) else { return };
        if !peer.rendezvous.allows(self.now, RENDEZVOUS_INTERVAL, RENDEZVOUS_BURST) {
            return;
        }
        let from = peer.addr;
        match kind {
            _ if !self.tells_of_peers() => {}
            HolepunchKind::Rendezvous => match self.bring_together(key, addr) {
                Ok(()) => {}
                Err(error) => self.say_of_holepunch(key, HolepunchKind::Error(error), addr),
            },
            HolepunchKind::Connect => self.on_holepunch_connect(key, from, addr),
            // We never asked.
            HolepunchKind::Error(_) => {}
        }
    }

    /// Tells both that they are to connect to each other.
    fn bring_together(&mut self, initiator: PeerKey, target: SocketAddr) -> Result<(), HolepunchError> {
        if !can_be_dialed(target) {
            return Err(HolepunchError::NO_SUCH_PEER);
        }
        if self.external.ours().is(target) {
            return Err(HolepunchError::NO_SELF);
        }
        let asker = self.peers.get(&initiator).ok_or(HolepunchError::NOT_CONNECTED)?;
        let at = asker.listens.unwrap_or(asker.addr);
        let named = self
            .peers
            .iter()
            .find(|&(&key, peer)| key != initiator && (peer.listens == Some(target) || peer.addr == target));
        // Whether somebody on our own network is connected is nobody's business outside.
        let named = named.filter(|(_, peer)| may_pass(target, at) && may_pass(at, peer.addr));
        let (&other, peer) = named.ok_or(HolepunchError::NOT_CONNECTED)?;
        if peer.holepunch.is_none() {
            return Err(HolepunchError::NO_SUPPORT);
        }
        self.say_of_holepunch(initiator, HolepunchKind::Connect, target);
        self.say_of_holepunch(other, HolepunchKind::Connect, at);
        Ok(())
    }

    fn say_of_holepunch(&mut self, key: PeerKey, kind: HolepunchKind, addr: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Some(id) = peer.holepunch else { return };
        let payload = Holepunch { kind, addr }.encode().into();
        send(&mut self.out, self.now, key, peer, Message::Extended { id, payload });
    }

    /// A peer in the middle says that another one waits for us there. It may be anybody's address: it counts as heard by
    /// exchange.
    fn on_holepunch_connect(&mut self, key: PeerKey, from: SocketAddr, addr: SocketAddr) {
        let is_fit = can_be_dialed(addr) && may_pass(addr, from) && !self.external.ours().is(addr);
        if is_fit && !self.trust.is_banned(addr) && self.book.add_told(addr, from.ip(), self.now) {
            self.out.push_back(Output::PeersTold { peer: key, peers: 1 });
        }
    }
}
