//! What every brain's outputs have to obey, checked from outside: the brain is not asked.

use super::{World, end_of};
use crate::spec::Checks;
use swarm::limits::DEADLINE_COPIES;
use swarm::{Output, PeerKey};
use types::{Bitfield, BlockRange, PieceIndex};
use wire::Message;

impl World<'_> {
    /// Before it is done.
    pub(super) fn audit(&mut self, node: u32, output: &Output) {
        match output {
            Output::Send { peer, message } => self.audit_message(node, *peer, message),
            Output::Request { peer, block } => self.audit_request(node, *peer, *block),
            Output::Serve { peer, block } => self.audit_serve(node, *peer, *block),
            _ => {}
        }
    }

    /// What a peer hears that is of the rules' concern.
    pub(super) fn note_heard(&mut self, to: u32, message: &Message<'_>) {
        let lengths = self.lengths;
        let end = &mut self.ends[to as usize];
        match message {
            Message::Choke => end.choked = true,
            Message::Unchoke => end.choked = false,
            Message::AllowedFast(piece) => end.allowed[0].push(*piece),
            Message::Reject(request) => {
                if let Some(block) = lengths.block_range(request.index, request.begin, request.length) {
                    end.asked.retain(|&asked| asked != block);
                }
            }
            Message::Have(_) | Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                self.note_pieces(to, message);
            }
            _ => {}
        }
    }

    /// At first a peer has nothing.
    pub(super) fn nothing_told(&self) -> Bitfield {
        Bitfield::new(if self.fully_checked() { self.lengths.piece_count() } else { 0 })
    }

    fn note_pieces(&mut self, to: u32, message: &Message<'_>) {
        let count = self.lengths.piece_count();
        let told = &mut self.ends[to as usize].told;
        if told.len() < count {
            return;
        }
        match message {
            Message::Have(index) => {
                told.insert(PieceIndex::new(*index));
            }
            Message::HaveAll => *told = Bitfield::full(count),
            Message::HaveNone => *told = Bitfield::new(count),
            Message::Bitfield(bytes) => {
                *told = Bitfield::from_wire(bytes, count).expect("brains send good ones");
            }
            _ => {}
        }
    }

    fn audit_message(&mut self, node: u32, peer: PeerKey, message: &Message<'_>) {
        let end = &mut self.ends[end_of(peer) as usize];
        assert_eq!(end.node, node, "a connection of somebody else");
        match message {
            Message::Choke => {
                assert!(!end.choking, "choked twice");
                end.choking = true;
            }
            Message::Unchoke => {
                assert!(end.choking, "unchoked twice");
                end.choking = false;
            }
            Message::AllowedFast(piece) => end.allowed[1].push(*piece),
            _ => {}
        }
    }

    fn audit_request(&mut self, node: u32, peer: PeerKey, block: BlockRange) {
        let end = &self.ends[end_of(peer) as usize];
        assert!(end.open, "a request to a peer that is gone");
        let allowed = || end.allowed[0].contains(&block.piece.get());
        assert!(!end.choked || allowed(), "a request to {peer:?}, who chokes us");
        assert!(!self.nodes[node as usize].disk.holds(block), "a request for {block:?}, which is there");
        if self.fully_checked() {
            self.audit_twice(node, peer, block);
        }
    }

    /// Nothing is requested twice outside the end game.
    fn audit_twice(&self, node: u32, peer: PeerKey, block: BlockRange) {
        let this = &self.nodes[node as usize];
        // Without BEP 6 a choke makes both sides forget, though late answers are still taken.
        let asked_of = |end: u32| {
            let end = &self.ends[end as usize];
            end.fast && end.asked.contains(&block)
        };
        assert!(!asked_of(end_of(peer)), "asked {peer:?} twice for {block:?}");
        let others = this.links.iter().filter(|&&end| end != end_of(peer) && asked_of(end)).count();
        if others == 0 {
            return;
        }
        // What a film needs soon may be asked of a few.
        if this.player.as_ref().is_some_and(|player| player.wants(block.piece)) {
            return assert!(others < DEADLINE_COPIES.into(), "asked {others} others for {block:?}");
        }
        // Then there is nothing left that nobody was asked for.
        for piece in self.lengths.pieces().filter(|&piece| !this.disk.have().contains(piece)) {
            let someone_has = this.links.iter().any(|&end| self.ends[end as usize].told.contains(piece));
            let blocks = (0..self.lengths.block_count(piece)).filter_map(|n| self.lengths.block(piece, n));
            for other in blocks.filter(|&other| someone_has && other != block && !this.disk.holds(other)) {
                let asked = this.links.iter().any(|&end| self.ends[end as usize].asked.contains(&other));
                let announced = this.swarm.in_end_game();
                assert!(asked || announced, "asked twice for {block:?} though {other:?} was not asked for");
            }
        }
    }

    fn audit_serve(&mut self, node: u32, peer: PeerKey, block: BlockRange) {
        let end = &self.ends[end_of(peer) as usize];
        assert!(end.open, "serves a peer that is gone");
        assert!(
            !end.choking || end.allowed[1].contains(&block.piece.get()),
            "serves {peer:?}, whom it chokes"
        );
        assert!(self.nodes[node as usize].disk.have().contains(block.piece), "serves what it does not have");
    }

    fn fully_checked(&self) -> bool {
        matches!(self.spec.checks, Checks::Every)
    }

    /// After each step of a brain: what it counts is recounted.
    pub(super) fn check(&mut self, node: u32) {
        let due = match self.spec.checks {
            Checks::Every => true,
            Checks::Sampled(one_in) => self.queue.count().is_multiple_of(one_in),
        };
        if due {
            self.nodes[node as usize].swarm.check_invariants();
        }
    }
}
