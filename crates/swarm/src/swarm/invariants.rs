//! What is true of a swarm after every input.

use super::Swarm;
use crate::limits::{ALLOWED_FAST_PIECES, MAX_FAST_BYTES};
use crate::limits::{MAX_ALLOWED_FAST, MAX_METADATA_QUEUE, MAX_SUGGESTED, MAX_WINDOW};
use crate::peer::Peer;
use alloc::vec::Vec;

impl Swarm {
    /// Recounts everything that is kept incrementally. For simulators and fuzzers: it takes peers x pieces.
    ///
    /// # Panics
    /// If a count is wrong, a limit is passed, or a peer idles though there is something to ask it for.
    pub fn check_invariants(&self) {
        let asked: Vec<_> =
            self.peers.values().flat_map(|peer| peer.requests.iter().map(|asked| asked.block)).collect();
        let pieces: Vec<_> = self.peers.values().map(|peer| &peer.pieces).collect();
        self.picker.check(&pieces, &asked);
        self.check_unknown();
        for (key, peer) in &self.peers {
            self.check_peer(peer);
            // Who is on parole has few pieces at a time, and is asked for others when one of them is there.
            let idle = peer.dry == Some(self.picker.returns())
                && peer.current.is_none()
                && !self.trust.on_parole(peer.suspect);
            assert!(
                !(idle && !peer.peer_choking && self.picker.has_for(*key, &peer.pieces)),
                "{key:?} idles in vain"
            );
        }
        assert!(self.slots_used() <= self.choker.slots(), "more peers are served than there are slots");
        assert!(self.peers.len() <= self.config.max_peers);
        self.book.check();
        assert_eq!(self.finished, self.picker.missing().count_ones() == 0);
        self.trust.check(|piece| self.picker.have().contains(piece));
        self.check_seeding();
        self.check_totals();
    }

    fn check_peer(&self, peer: &Peer) {
        assert_eq!(peer.useful, peer.pieces.count_in(self.picker.missing()), "useful pieces");
        let is_known = self.unknown.is_none();
        assert!(!is_known || peer.am_interested == (peer.useful > 0), "interest is exact");
        assert!(peer.metadata_queue.len() <= MAX_METADATA_QUEUE);
        assert!(peer.metadata_queue.is_empty() || self.metadata.is_asked, "it waits in vain");
        peer.exchange.check();
        assert!(peer.exchange.due().is_none_or(|due| due >= self.exchange_at), "it is told in time");
        assert!(peer.requests.len() <= MAX_WINDOW);
        let mut asked: Vec<_> = peer.requests.iter().map(|asked| asked.block).collect();
        asked.sort_unstable();
        assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "asked twice for the same block");
        assert!(peer.allowed_fast.len() <= MAX_ALLOWED_FAST);
        assert!(peer.fast || !peer.peer_choking || peer.requests.is_empty(), "a choke drops requests");
        let finishes = |piece| peer.may_finish.is_some_and(|(other, _)| other == piece);
        let allowed = |piece| peer.allowed_to.contains(&piece) || finishes(piece);
        let fast = peer.queue.iter().all(|block| allowed(block.piece));
        assert!(!peer.am_choking || fast, "who is choked is not served");
        assert!(peer.allowed_to.len() <= ALLOWED_FAST_PIECES && peer.fast_bytes <= MAX_FAST_BYTES);
        assert!(peer.requests_in() <= self.config.max_requests);
        assert!(!peer.held || !peer.fast && peer.requests_in() > self.config.max_requests / 4);
        assert_eq!(peer.serving_bytes, peer.serving.iter().map(|block| u64::from(block.len)).sum::<u64>());
        // What is being served may be lost meanwhile.
        assert!(peer.queue.iter().all(|block| self.picker.have().contains(block.piece)));
    }

    fn check_seeding(&self) {
        assert_eq!(self.spread.is_some(), self.finished && !self.peers.is_empty());
        assert!(self.super_seed.is_none() || self.picker.have().is_full());
        if let Some(spread) = &self.spread {
            let peers: Vec<_> = self.peers.iter().map(|(&key, peer)| (key, &peer.pieces)).collect();
            spread.check(self.picker.have(), &peers);
        }
        for peer in self.peers.values() {
            assert!(peer.suggested.len() <= MAX_SUGGESTED && peer.suggested_to.len() <= MAX_SUGGESTED);
            assert!(
                peer.shown.is_none() || self.super_seed.is_some(),
                "it is shown pieces, though we hide none"
            );
        }
    }

    fn check_totals(&self) {
        let len = |piece| u64::from(self.lengths.piece_len(piece));
        let wanted: u64 = self.picker.wanted().ones().map(len).sum();
        let missing: u64 = self.picker.missing().ones().map(len).sum();
        assert_eq!(self.totals.wanted_bytes, wanted);
        assert_eq!(self.totals.done_bytes, wanted - missing);
        assert_eq!(self.totals.left_bytes, self.picker.have().zeros().map(len).sum::<u64>());
    }
}
