//! What is true of a picker at any time.

use super::{Asker, Block, Picker, Rank};
use crate::limits::{
    DEADLINE_COPIES, END_GAME_COPIES, MAX_DEADLINES, MAX_PARTIAL_PIECES, MAX_SPOILED_PIECES,
};
use crate::pieces::Pieces;
use crate::{PeerKey, Priority};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use types::{BlockRange, Time};

impl<'a> Asker<'a> {
    /// A peer of which nothing special is known.
    pub(super) fn anybody(peer: PeerKey, pieces: &'a Pieces) -> Asker<'a> {
        Asker {
            peer,
            pieces,
            current: None,
            dry: false,
            alone: false,
            trusted: true,
            whole: false,
            quick: true,
            snubbed: false,
            now: Time::ZERO,
            eta: Duration::ZERO,
            rate: 0,
            quickest: None,
            behind: 0,
            runs: false,
            only: None,
            suggested: &[],
        }
    }
}

impl Picker {
    /// Recounts everything, given the pieces of every peer and every outstanding request.
    ///
    /// # Panics
    /// If a count is wrong or a piece is in two states at once.
    pub(crate) fn check(&self, peers: &[&Pieces], asked: &[BlockRange]) {
        let mut copies: BTreeMap<BlockRange, u8> = BTreeMap::new();
        asked.iter().for_each(|&block| *copies.entry(block).or_default() += 1);
        for piece in self.lengths.pieces() {
            let recount = peers.iter().filter(|pieces| pieces.contains(piece)).count();
            assert_eq!(self.availability.of(piece) as usize, recount, "availability of {piece:?}");
            let missing = self.wanted.contains(piece) && !self.have.contains(piece);
            assert_eq!(self.missing.contains(piece), missing);
            let begun = self.begun.get(&piece);
            let urgent = self.has_deadline(piece);
            assert_eq!(
                self.availability.is_open(piece),
                missing && begun.is_none() && !urgent,
                "{piece:?} open"
            );
            assert!(begun.is_none() || !self.have.contains(piece), "{piece:?} is there and begun");
            let priority = self.availability.priority(piece);
            assert_eq!(self.wanted.contains(piece), priority > Priority::Skip);
            let rank = begun.and_then(|begun| begun.rank);
            assert_eq!(
                rank.is_some(),
                missing && !urgent && begun.is_some_and(|begun| begun.missing > 0),
                "{piece:?} hungry"
            );
            if let (Some(rank), Some(begun)) = (rank, begun) {
                assert_eq!(self.hungry[&rank], piece);
                assert!(rank.is_like(Rank::new(priority, begun.owner().is_some(), 0)), "{piece:?} {rank:?}");
            }
        }
        self.check_deadlines();
        assert_eq!(self.hungry.len(), self.begun.values().filter(|begun| begun.rank.is_some()).count());
        let left_to =
            self.begun.iter().filter_map(|(&piece, begun)| Some((begun.owner()?, begun.missing == 0, piece)));
        assert_eq!(self.left_to, left_to.collect::<BTreeSet<_>>());
        for (&piece, begun) in &self.begun {
            let count = |which: fn(&Block) -> bool| begun.blocks.iter().filter(|b| which(b)).count();
            assert_eq!(begun.blocks.len(), self.lengths.block_count(piece) as usize);
            assert_eq!(begun.missing as usize, count(|b| *b == Block::Missing));
            assert_eq!(begun.had as usize, count(|b| matches!(b, Block::Had(_))));
            let before = &begun.blocks[..begun.cursor as usize];
            assert!(!before.contains(&Block::Missing), "missing before the cursor");
            for (state, number) in begun.blocks.iter().zip(0..) {
                let block = self.lengths.block(piece, number).expect("in range");
                let expected = if let Block::Asked(n) = *state { n } else { 0 };
                // Asked of several: in the end game, or near a deadline, and for no other reason.
                let late = if begun.late { DEADLINE_COPIES } else { 1 };
                let again = if begun.again { END_GAME_COPIES } else { 1 };
                assert!(expected <= late.max(again), "{block:?} is asked of {expected} peers");
                assert_eq!(copies.remove(&block).unwrap_or(0), expected, "requests for {block:?}, {state:?}");
            }
        }
        assert!(self.spoiled.len() <= MAX_SPOILED_PIECES);
        assert!(!self.spoiled.iter().any(|&piece| self.have.contains(piece)), "there, though spoiled");
        assert!(copies.is_empty(), "asked for, but not begun: {copies:?}");
    }

    fn check_deadlines(&self) {
        assert!(self.deadlines.len() <= MAX_DEADLINES);
        let order: Vec<_> = self.deadlines.iter().map(|deadline| (deadline.at, deadline.piece)).collect();
        assert!(order.is_sorted(), "{order:?}");
        let hungry = self.deadlines.iter().filter(|deadline| deadline.hungry).count();
        assert_eq!(self.deadlines.hungry().count(), hungry, "hungry ones are found");
        assert_eq!(self.lengths.pieces().filter(|&piece| self.has_deadline(piece)).count(), order.len());
        assert_eq!(order.iter().map(|(_, piece)| piece).collect::<BTreeSet<_>>().len(), order.len(), "twice");
        for deadline in self.deadlines.iter() {
            assert!(self.has_deadline(deadline.piece));
            assert!(self.missing.contains(deadline.piece), "a deadline of {:?}", deadline.piece);
            let begun = self.begun.get(&deadline.piece);
            assert_eq!(deadline.hungry, begun.is_none_or(|begun| begun.missing > 0));
            assert!(
                begun.is_none_or(|begun| begun.alone.is_some() || begun.leader.is_none()),
                "left to one peer"
            );
        }
    }

    /// Whether a peer could be asked for something that nobody else was asked for, and that has no
    /// deadline: who is slow leaves that to others.
    pub(crate) fn has_for(&self, peer: PeerKey, pieces: &Pieces) -> bool {
        let asker = Asker::anybody(peer, pieces);
        let any = |priority| pieces.shared_from(self.availability.open_of(priority), 0).next().is_some();
        self.find_hungry(&asker).is_some()
            || self.begun.len() < MAX_PARTIAL_PIECES && Priority::WANTED.into_iter().any(any)
    }
}
