//! Peers tell each other of peers (BEP 11).
//!
//! Each is told to whom we are connected, then who came and went, and is heard likewise: whom it tells becomes one more
//! address in the book, the least trusted kind. Whether its peers are gone (`dropped`) is not heard: that they parted
//! from it, for lack of room or since both were seeds, says nothing about us.
//!
//! While it is not known whether the torrent is private (BEP 27), we hear and do not tell: most magnet links need it, and
//! nobody learns from us of a peer of a private torrent. What was heard is dropped when it turns out to be one.

use super::{Swarm, send};
use crate::exchange::Hearing;
use crate::peer::Peer;
use crate::source::{can_be_dialed, may_pass};
use crate::{DisconnectReason, Output, PeerKey};
use alloc::vec::Vec;
use types::Time;
use wire::Message;
use wire::ext::{self, PexFlags, PexPeer};

/// The number that `ut_pex` messages to us carry (BEP 11, 10): libtorrent's.
pub(super) const PEX_ID: u8 = 1;

impl Swarm {
    /// Whether peers may tell us of others.
    pub(super) fn hears_of_peers(&self) -> bool {
        self.config.pex && !self.config.private
    }

    /// Whether peers may be told of others.
    pub(super) fn tells_of_peers(&self) -> bool {
        self.hears_of_peers() && self.unknown.is_none()
    }

    /// A connection, or where a peer listens, became known, or is no more.
    pub(super) fn note_peers_changed(&mut self) {
        if !self.tells_of_peers() {
            return;
        }
        let due = self.peers.values_mut().filter_map(|peer| peer.exchange.news(self.now)).min();
        self.exchange_at = self.exchange_at.min(due.unwrap_or(Time::MAX));
    }

    /// Tells those whose time it is.
    pub(super) fn tell_of_peers(&mut self) {
        if self.now < self.exchange_at {
            return;
        }
        let present: Vec<_> = self.peers.iter().filter_map(|(&key, peer)| Some((key, told(peer)?))).collect();
        self.exchange_at = Time::MAX;
        for (&key, peer) in &mut self.peers {
            if peer.exchange.due().is_some_and(|due| due <= self.now)
                && let Some(id) = peer.exchange.id()
            {
                let at = peer.listens.unwrap_or(peer.addr);
                let others = present.iter().filter(|&&(other, PexPeer { addr, .. })| {
                    other != key && addr != at && may_pass(addr, peer.addr)
                });
                let others: Vec<PexPeer> = others.map(|&(_, other)| other).collect();
                if let Some(pex) = peer.exchange.tell(self.now, &others) {
                    let payload = pex.encode().into();
                    send(&mut self.out, self.now, key, peer, Message::Extended { id, payload });
                }
            }
            self.exchange_at = self.exchange_at.min(peer.exchange.due().unwrap_or(Time::MAX));
        }
    }

    pub(super) fn on_pex(&mut self, key: PeerKey, payload: &[u8]) {
        if !self.hears_of_peers() {
            return;
        }
        let Ok(pex) = ext::Pex::decode(payload) else {
            return self.disconnect(key, DisconnectReason::BadExchange);
        };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let (teller, ours) = (peer.addr, self.external.ours());
        let wants = |other: &&PexPeer| {
            let is_wanted = !(self.finished && other.flags.contains(PexFlags::SEED));
            is_wanted
                && can_be_dialed(other.addr)
                && may_pass(other.addr, teller)
                && !ours.is(other.addr)
                && !self.trust.is_banned(other.addr)
        };
        let useful: Vec<_> = pex.added.iter().filter(wants).map(|other| other.addr).collect();
        match peer.exchange.hear(self.now) {
            Hearing::Heard => {
                let count = self.book.hear(teller.ip(), useful.len(), self.now);
                let heard = useful.into_iter().take(count);
                let news = heard.filter(|&addr| self.book.add_told(addr, teller.ip(), self.now)).count();
                if news > 0 {
                    self.out.push_back(Output::PeersTold { peer: key, peers: news });
                }
            }
            Hearing::TooSoon => {}
            Hearing::Flood => self.disconnect(key, DisconnectReason::TooMuchExchange),
        }
    }

    /// When anybody is to be told.
    pub(super) fn exchange_due(&self) -> Option<Time> {
        Some(self.exchange_at).filter(|&at| at != Time::MAX)
    }
}

/// What others are told of a peer: where it listens, once that is known.
fn told(peer: &Peer) -> Option<PexPeer> {
    let addr = peer.listens.filter(|&addr| can_be_dialed(addr))?;
    let bits = [
        (peer.pieces.is_all() || peer.upload_only, PexFlags::SEED),
        (peer.holepunch.is_some(), PexFlags::HOLEPUNCH),
        (peer.outgoing, PexFlags::REACHABLE),
    ];
    let flags = bits.into_iter().filter(|&(is_set, _)| is_set).fold(0, |flags, (_, bit)| flags | bit.0);
    Some(PexPeer { addr, flags: PexFlags(flags) })
}
