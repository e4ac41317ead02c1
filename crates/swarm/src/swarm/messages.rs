//! What peers say.

use super::Swarm;
use crate::limits::MAX_ALLOWED_FAST;
use crate::pieces::Pieces;
use crate::{DisconnectReason, PeerKey, PeerSource};
use core::net::SocketAddr;
use types::Bitfield;
use wire::{Message, ext};

impl Swarm {
    pub(super) fn on_message(&mut self, key: PeerKey, message: Message<'_>) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.last_heard = self.now;
        if !peer.fast && is_fast(&message) {
            return self.disconnect(key, DisconnectReason::FastNotOffered);
        }
        let count = self.lengths.piece_count();
        match message {
            // What we have for a DHT node (BEP 5) is not here; suggestions (BEP 6) are only that.
            Message::KeepAlive | Message::Port(_) | Message::Suggest(_) => {}
            Message::Choke => self.on_choke(key),
            Message::Unchoke => self.on_unchoke(key),
            Message::Interested => self.on_interested(key),
            Message::NotInterested => self.on_not_interested(key),
            Message::Have(index) => self.on_have(key, index),
            // Late, twice, or one after another: the last one holds.
            Message::Bitfield(bytes) => match Bitfield::from_wire(&bytes, count) {
                Some(bits) => self.replace_pieces(key, Pieces::from(bits)),
                None => self.disconnect(key, DisconnectReason::BadBitfield),
            },
            Message::HaveAll => self.replace_pieces(key, Pieces::All(count)),
            Message::HaveNone => self.replace_pieces(key, Pieces::none(count)),
            Message::Request(request) => self.on_request(key, request),
            Message::Cancel(request) => self.on_cancel(key, request),
            Message::Reject(request) => self.on_reject(key, request),
            Message::AllowedFast(index) => self.on_allowed_fast(key, index),
            Message::Extended { id: 0, payload } => self.on_extension_handshake(key, &payload),
            // We offer no extension, so no other number means anything.
            Message::Extended { .. } => {}
            Message::Piece { data, .. } => {
                self.on_unrequested(key, u32::try_from(data.len()).unwrap_or(u32::MAX));
            }
            Message::HashRequest(_) | Message::Hashes { .. } | Message::HashReject(_) => {
                self.disconnect(key, DisconnectReason::UnexpectedHashes);
            }
        }
    }

    /// Without BEP 6 a choke drops our requests; with it each is still answered or rejected.
    fn on_choke(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.peer_choking = true;
        peer.dry = None;
        if peer.fast {
            self.picker.release(key);
            self.fill(key);
        } else {
            self.give_up_requests(key);
        }
    }

    fn on_unchoke(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.peer_choking = false;
        peer.dry = None;
        peer.progress = self.now;
        // How much it is asked for depends on how many there are.
        self.look_at_pace_now();
        self.fill(key);
    }

    fn on_allowed_fast(&mut self, key: PeerKey, index: u32) {
        let (Some(piece), Some(peer)) = (self.lengths.piece(index), self.peers.get_mut(&key)) else { return };
        if peer.allowed_fast.len() < MAX_ALLOWED_FAST && !peer.allowed_fast.contains(&piece) {
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
        peer.upload_only = handshake.upload_only;
        if let Some(port) = handshake.port
            && peer.listens.is_none()
        {
            // So that we do not dial who is connected already.
            let addr = SocketAddr::new(peer.addr.ip(), port);
            peer.listens = Some(addr);
            self.book.add(addr, PeerSource::Peer, self.now);
            self.book.connected(addr);
        }
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
