//! What peers say.

use super::exchange::PEX_ID;
use super::holepunch::HOLEPUNCH_ID;
use super::{DONT_HAVE_ID, METADATA_ID, Swarm};
use crate::limits::{MAX_ALLOWED_FAST, MAX_SUGGESTED};
use crate::pieces::Pieces;
use crate::priority::Voter;
use crate::{DisconnectReason, PeerKey, PeerSource};
use types::Bitfield;
use wire::{Message, ext};

impl Swarm {
    pub(super) fn on_message(&mut self, key: PeerKey, message: Message<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.last_heard = self.now;
        if !peer.fast && is_fast(&message) {
            return self.disconnect(key, DisconnectReason::FastNotOffered);
        }
        let message = match self.unknown {
            None => message,
            Some(_) => match self.keep(key, message) {
                Some(message) => message,
                None => return,
            },
        };
        let count = self.lengths.piece_count();
        match message {
            // What we have for a DHT node (BEP 5) is not here.
            Message::KeepAlive | Message::Port(_) => {}
            Message::Suggest(index) => self.on_suggest(key, index),
            Message::Choke => self.on_choke(key),
            Message::Unchoke => self.on_unchoke(key),
            Message::Interested => self.on_interested(key),
            Message::NotInterested => self.on_not_interested(key),
            Message::Have(index) => self.on_have(key, index),
            // Late, twice, or one after another: the last one holds.
            Message::Bitfield(bytes) => match Bitfield::from_wire(&bytes, count) {
                Some(bits) => self.on_pieces(key, Pieces::from(bits)),
                #[cfg(feature = "planted")]
                None if self.config.planted == Some(crate::Planted::AnyBitfield) => {}
                None => self.disconnect(key, DisconnectReason::BadBitfield),
            },
            Message::HaveAll => self.on_pieces(key, Pieces::All(count)),
            Message::HaveNone => self.on_pieces(key, Pieces::none(count)),
            Message::Request(request) => self.on_request(key, request),
            Message::Cancel(request) => self.on_cancel(key, request),
            Message::Reject(request) => self.on_reject(key, request),
            Message::AllowedFast(index) => self.on_allowed_fast(key, index),
            Message::Extended { id: 0, payload } => self.on_extension_handshake(key, &payload),
            Message::Extended { id: DONT_HAVE_ID, payload } => self.on_dont_have(key, &payload),
            Message::Extended { id: METADATA_ID, payload } => self.on_metadata(key, &payload),
            Message::Extended { id: PEX_ID, payload } => self.on_pex(key, &payload),
            Message::Extended { id: HOLEPUNCH_ID, payload } => self.on_holepunch(key, &payload),
            // No other number means anything.
            Message::Extended { .. } => {}
            Message::Piece { data, .. } => {
                self.on_unrequested(key, u32::try_from(data.len()).unwrap_or(u32::MAX));
            }
            Message::HashRequest(_) | Message::Hashes { .. } | Message::HashReject(_) => {
                self.disconnect(key, DisconnectReason::UnexpectedHashes);
            }
        }
    }

    pub(super) fn on_pieces(&mut self, key: PeerKey, pieces: Pieces) {
        self.replace_pieces(key, pieces);
        self.greet(key);
    }

    /// Without BEP 6 a choke drops our requests; with it each is still answered or rejected.
    fn on_choke(&mut self, key: PeerKey) {
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::IgnoredChoke) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.peer_choking = true;
        peer.suggested.clear();
        peer.dry = None;
        if peer.fast {
            self.let_go(key);
            self.fill(key);
        } else {
            self.give_up_requests(key);
        }
    }

    pub(super) fn on_unchoke(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.peer_choking = false;
        peer.dry = None;
        peer.progress = self.now;
        // How much it is asked for depends on how many there are.
        self.look_at_pace_now();
        self.fill(key);
    }

    /// Remembers a suggestion; what it is worth is the picker's to say.
    fn on_suggest(&mut self, key: PeerKey, index: u32) {
        let (Some(piece), Some(peer)) = (self.lengths.piece(index), self.peers.get_mut(&key)) else { return };
        peer.suggested.retain(|&other| other != piece);
        let full = peer.suggested.len() >= MAX_SUGGESTED;
        #[cfg(feature = "planted")]
        let full = full && self.config.planted != Some(crate::Planted::LongMemory);
        if full {
            peer.suggested.remove(0);
        }
        peer.suggested.push(piece);
    }

    pub(super) fn on_allowed_fast(&mut self, key: PeerKey, index: u32) {
        let (Some(piece), Some(peer)) = (self.lengths.piece(index), self.peers.get_mut(&key)) else { return };
        let full = peer.allowed_fast.len() >= MAX_ALLOWED_FAST;
        #[cfg(feature = "planted")]
        let full = full && self.config.planted != Some(crate::Planted::LongMemory);
        if !full && !peer.allowed_fast.contains(&piece) {
            peer.allowed_fast.push(piece);
            peer.dry = None;
            self.fill(key);
        }
    }

    fn on_extension_handshake(&mut self, key: PeerKey, payload: &[u8]) {
        let Ok(handshake) = ext::Handshake::decode(payload) else {
            return self.disconnect(key, DisconnectReason::BadExtensionHandshake);
        };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if let Some(reqq) = handshake.reqq {
            peer.window.set_reqq(reqq);
        }
        if let Some(client) = handshake.client {
            peer.client = Some(client);
        }
        if let Some(seen) = handshake.yourip
            && self.external.vote(Voter::peer(peer.addr.ip()), seen)
        {
            self.book.set_ours(self.external.ours());
        }
        if let Some(&id) = handshake.m.get(ext::LT_DONTHAVE) {
            peer.dont_have = Some(id).filter(|&id| id != 0);
        }
        if let Some(&id) = handshake.m.get(ext::UT_PEX) {
            peer.exchange.set_id(id);
        }
        if let Some(&id) = handshake.m.get(ext::UT_HOLEPUNCH) {
            peer.holepunch = Some(id).filter(|&id| id != 0);
        }
        if let Some(&id) = handshake.m.get(ext::UT_METADATA) {
            peer.metadata_id = Some(id).filter(|&id| id != 0);
        }
        if let (Some(_), Some(len), Some(unknown)) =
            (peer.metadata_id, handshake.metadata_size, &mut self.unknown)
        {
            unknown.offered(key, peer.addr, len, self.now);
        }
        if let Some(port) = handshake.port
            && peer.listens.is_none()
        {
            // So that we do not dial who is connected already.
            let mut addr = peer.addr;
            addr.set_port(port);
            peer.listens = Some(addr);
            self.book.add(addr, PeerSource::Peer, self.now);
            self.book.connected(addr);
        }
        self.note_peers_changed();
        self.on_upload_only(key, handshake.upload_only);
        self.fill(key);
        self.close_if_useless(key);
    }
}

/// Whether a message is one of BEP 6.
fn is_fast(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::AllowedFast(_)
    )
}
