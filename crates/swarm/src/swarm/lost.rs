//! Pieces that were there and are gone (BEP 54): a peer's, and ours.

use super::download::tell_interest;
use super::upload::release_if_room;
use super::{Swarm, send};
use crate::limits::MAX_RECOUNTED;
use crate::peer::{Asked, Peer};
use crate::pieces::Pieces;
use crate::{DisconnectReason, Output, PeerKey};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use types::{BlockRange, PieceIndex, Time};
use wire::{Message, ext};

impl Swarm {
    /// The peer does not have a piece any more. What it was asked for of it goes to others.
    pub(super) fn on_dont_have(&mut self, key: PeerKey, payload: &[u8]) {
        let piece = ext::DontHave::decode(payload).ok().and_then(|lost| self.lengths.piece(lost.0));
        let (Some(piece), Some(peer)) = (piece, self.peers.get_mut(&key)) else { return };
        let was_all = matches!(peer.pieces, Pieces::All(_));
        if !peer.pieces.remove(piece) {
            return;
        }
        self.picker.peer_lost(piece, was_all);
        self.note_lost(key, piece, was_all);
        if was_all && self.is_fickle(key, self.lengths.piece_count()) {
            return self.disconnect(key, DisconnectReason::Fickle);
        }
        self.ask_others(key, piece);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.allowed_fast.retain(|&other| other != piece);
        peer.current = peer.current.filter(|&current| current != piece);
        if self.picker.missing().contains(piece) {
            peer.useful -= 1;
            tell_interest(&mut self.out, self.now, key, peer);
        }
        self.fill(key);
    }

    /// The peers of so many pieces were counted anew for this one; says whether that is too much for those at its host.
    pub(super) fn is_fickle(&mut self, key: PeerKey, recounted: u32) -> bool {
        let Some(peer) = self.peers.get(&key) else { return false };
        let in_all = self.trust.recounted(peer.suspect, recounted, self.now);
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::EndlessRecount) {
            return false;
        }
        in_all > MAX_RECOUNTED
    }

    /// Takes back what the peer was asked for of a piece.
    fn ask_others(&mut self, key: PeerKey, piece: PieceIndex) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let of_piece = peer.requests.iter().filter(|asked| asked.block.piece == piece).copied();
        let of_piece: Vec<Asked> = of_piece.collect();
        peer.requests.retain(|asked| asked.block.piece != piece);
        for asked in of_piece {
            self.picker.put_back(asked.block);
            peer.last_sent = self.now;
            self.out.push_back(Output::Cancel { peer: key, block: asked.block });
        }
        self.picker.release(key);
    }

    /// We do not have a piece any more. Peers that can be told are told; the others' requests are rejected.
    pub(super) fn on_piece_lost(&mut self, piece: PieceIndex) {
        if self.lengths.piece(piece.get()).is_none() || !self.picker.have().contains(piece) {
            return;
        }
        // Before it is gone: what is shown then is all that we had.
        self.end_super_seeding();
        self.picker.lost(piece);
        let wanted = self.picker.missing().contains(piece);
        let len = u64::from(self.lengths.piece_len(piece));
        self.totals.left_bytes += len;
        self.totals.done_bytes -= if wanted { len } else { 0 };
        for (&key, peer) in &mut self.peers {
            peer.unsaid.retain(|&other| other != piece);
            if let Some(id) = peer.dont_have {
                let payload = ext::DontHave(piece.get()).encode().to_vec().into();
                send(&mut self.out, self.now, key, peer, Message::Extended { id, payload });
            }
            reject_all(&mut self.out, self.now, key, peer, piece);
            release_if_room(&mut self.out, key, peer, self.config.max_requests);
            peer.suggested_to.retain(|&other| other != piece);
            if wanted && peer.pieces.contains(piece) {
                peer.useful += 1;
                tell_interest(&mut self.out, self.now, key, peer);
            }
        }
        if let Some(spread) = &mut self.spread {
            spread.set_gone(piece);
        }
        if wanted && self.finished {
            self.unfinish();
        }
    }
}

/// Requests for a lost piece that wait are rejected. Those that the driver is at fail there.
fn reject_all(out: &mut VecDeque<Output>, now: Time, key: PeerKey, peer: &mut Peer, piece: PieceIndex) {
    let lost: Vec<BlockRange> = peer.queue.iter().filter(|block| block.piece == piece).copied().collect();
    peer.queue.retain(|block| block.piece != piece);
    if !peer.fast {
        return;
    }
    for block in lost {
        send(out, now, key, peer, Message::Reject(block.into()));
    }
}
