//! Which block to ask for next.
//!
//! A piece is in exactly one of these states: **unwanted**, **open** (wanted, none of its blocks asked for),
//! **begun** (some block is asked for or there), **there** (verified). A block of a begun piece is **missing**,
//! **asked** (of one peer; of several in the end game) or **had**; when all are had the piece waits for its hash.
//!
//! The order of preference: the piece that the peer is busy with; an open piece that failed before, so that it is known
//! soon who spoiled it; a begun piece; the rarest open piece (the first few at random); a begun piece that was left to
//! another peer. The end game begins when nothing is missing or open
//! that anybody has: then blocks that are asked for are asked for again of others.

mod invariants;
#[cfg(test)]
mod tests;

use crate::PeerKey;
use crate::availability::Availability;
use crate::limits::{END_GAME_COPIES, MAX_PARTIAL_PIECES, MAX_SPOILED_PIECES, RANDOM_FIRST_PIECES};
use crate::pieces::Pieces;
use crate::trust::{Authors, Suspect};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use fastrand::Rng;
use types::{Bitfield, BlockRange, Lengths, PieceIndex};

#[derive(Debug)]
pub(crate) struct Picker {
    lengths: Lengths,
    have: Bitfield,
    wanted: Bitfield,
    /// Wanted and not there: what makes a peer interesting.
    missing: Bitfield,
    availability: Availability,
    begun: BTreeMap<PieceIndex, Begun>,
    /// Wanted begun pieces with a missing block, in the order in which they became so.
    hungry: Vec<PieceIndex>,
    /// Pieces that failed and are not verified yet.
    spoiled: Vec<PieceIndex>,
    /// Grows whenever a block that nobody could be asked for can be asked for again.
    returns: u64,
    rng: Rng,
}

/// Whom a block is picked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) peer: PeerKey,
    pub(crate) pieces: &'a Pieces,
    /// The piece that it is busy with.
    pub(crate) current: Option<PieceIndex>,
    /// Nothing but its current piece has anything for it: do not search.
    pub(crate) dry: bool,
    /// It is on parole: it is to share no piece while there is something else.
    pub(crate) alone: bool,
    /// It is to fetch what failed: nobody suspects it, or there is nobody better.
    pub(crate) trusted: bool,
    /// It is fast enough to be left alone with a piece.
    pub(crate) whole: bool,
    /// It is fast enough that others, even if they idle, can be kept from a piece that is to have one author.
    pub(crate) quick: bool,
    /// Only these pieces (it chokes us).
    pub(crate) only: Option<&'a [PieceIndex]>,
    /// What it suggests, the latest last (BEP 6).
    pub(crate) suggested: &'a [PieceIndex],
}

/// What came of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// It is new; so many requests for it were outstanding.
    New {
        /// Including the one that it answers.
        asked: u8,
    },
    /// It was there, or is no block of this torrent.
    Known,
}

#[derive(Debug)]
struct Begun {
    blocks: Vec<Block>,
    missing: u32,
    had: u32,
    /// No block before this one is missing.
    cursor: u32,
    /// Only this peer may be asked for its blocks.
    alone: Option<PeerKey>,
    /// Others leave it to this peer as long as they find something else.
    leader: Option<PeerKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Missing,
    Asked(u8),
    Had(Option<Suspect>),
}

impl Picker {
    /// Of a torrent of which `have` is there and everything is wanted.
    pub(crate) fn new(lengths: Lengths, have: Bitfield, rng: Rng) -> Picker {
        let count = lengths.piece_count();
        let mut picker = Picker {
            lengths,
            have,
            wanted: Bitfield::new(count),
            missing: Bitfield::new(count),
            availability: Availability::new(count),
            begun: BTreeMap::new(),
            hungry: Vec::new(),
            spoiled: Vec::new(),
            returns: 0,
            rng,
        };
        picker.set_wanted(Bitfield::full(count));
        picker
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(crate) fn wanted(&self) -> &Bitfield {
        &self.wanted
    }

    /// The pieces that are wanted and not there.
    pub(crate) fn missing(&self) -> &Bitfield {
        &self.missing
    }

    /// How many pieces are begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.len()
    }

    /// A number that changes when peers that had nothing to be asked for may have something again.
    pub(crate) fn returns(&self) -> u64 {
        self.returns
    }

    /// Everything that can be asked for is asked for.
    pub(crate) fn in_end_game(&self) -> bool {
        self.hungry.is_empty() && !self.begun.is_empty() && !self.availability.any_open()
    }

    pub(crate) fn peer_came(&mut self, pieces: &Pieces) {
        self.availability.add(pieces, &mut self.rng);
    }

    /// No request is outstanding with the peer any more.
    pub(crate) fn peer_went(&mut self, peer: PeerKey, pieces: &Pieces) {
        self.availability.remove(pieces, &mut self.rng);
        self.release(peer);
    }

    pub(crate) fn peer_gained(&mut self, piece: PieceIndex, after: &Pieces) {
        self.availability.gained(piece, after, &mut self.rng);
    }

    /// A peer, that had all if it `was_all`, has one piece less (BEP 54).
    pub(crate) fn peer_lost(&mut self, piece: PieceIndex, was_all: bool) {
        self.availability.lost(piece, was_all, &mut self.rng);
    }

    /// A peer said anew what it has.
    pub(crate) fn pieces_replaced(&mut self, before: &Pieces, after: &Pieces) {
        self.availability.remove(before, &mut self.rng);
        self.availability.add(after, &mut self.rng);
    }

    /// Pieces that were reserved for the peer are anybody's again.
    pub(crate) fn release(&mut self, peer: PeerKey) {
        for begun in self.begun.values_mut() {
            if begun.leader == Some(peer) {
                begun.leader = None;
            }
            if begun.alone == Some(peer) {
                begun.alone = None;
                self.returns += 1;
            }
        }
    }

    /// The next block to ask the peer for, now marked as asked.
    pub(crate) fn pick(&mut self, asker: &Asker<'_>) -> Option<BlockRange> {
        let piece = self.choose(asker)?;
        if self.availability.is_open(piece) {
            self.begin(piece);
            let one_author = asker.alone || self.spoiled.contains(&piece);
            let begun = self.begun.get_mut(&piece)?;
            begun.alone = (one_author && asker.quick).then_some(asker.peer);
            begun.leader = (one_author || asker.whole).then_some(asker.peer);
        }
        self.take_missing(piece)
    }

    /// In the end game: a block that others were asked for, now marked as asked once more. `asked` tells which
    /// blocks the peer itself was asked for.
    pub(crate) fn pick_again(
        &mut self,
        asker: &Asker<'_>,
        asked: impl Fn(BlockRange) -> bool,
    ) -> Option<BlockRange> {
        if !asker.trusted {
            return None;
        }
        let (mut best, mut fewest, mut equals) = (None, END_GAME_COPIES, 0);
        for (&piece, begun) in &self.begun {
            if !self.may_ask(asker, piece) || begun.alone.is_some() {
                continue;
            }
            for (block, number) in begun.blocks.iter().zip(0..) {
                let Block::Asked(copies) = *block else { continue };
                let range = self.lengths.block(piece, number).expect("a begun piece has its blocks");
                if copies > fewest || copies >= END_GAME_COPIES || asked(range) {
                    continue;
                }
                // Among equals each is taken with the same chance, so that peers do not all choose the same.
                equals = if copies == fewest { equals + 1 } else { 1 };
                fewest = copies;
                if self.rng.u32(0..equals) == 0 {
                    best = Some((range, number));
                }
            }
        }
        let (range, number) = best?;
        self.begun.get_mut(&range.piece)?.blocks[number as usize] = Block::Asked(fewest + 1);
        Some(range)
    }

    /// One request for this block will not be answered.
    pub(crate) fn put_back(&mut self, block: BlockRange) {
        let Some(number) = self.lengths.block_number(block) else { return };
        let Some(begun) = self.begun.get_mut(&block.piece) else { return };
        let state = &mut begun.blocks[number as usize];
        match *state {
            Block::Asked(1) => *state = Block::Missing,
            Block::Asked(copies) => {
                *state = Block::Asked(copies - 1);
                return;
            }
            Block::Missing | Block::Had(_) => return,
        }
        begun.missing += 1;
        begun.cursor = begun.cursor.min(number);
        let (missing, blocks) = (begun.missing as usize, begun.blocks.len());
        self.returns += 1;
        if missing == blocks {
            self.reopen(block.piece);
        } else if missing == 1 && self.wanted.contains(block.piece) {
            self.hungry.push(block.piece);
        }
    }

    /// Storage took a block from this address.
    pub(crate) fn received(&mut self, block: BlockRange, from: Option<Suspect>) -> Receipt {
        let Some(number) = self.lengths.block_number(block) else { return Receipt::Known };
        if self.have.contains(block.piece) {
            return Receipt::Known;
        }
        if !self.begun.contains_key(&block.piece) {
            self.begin(block.piece);
        }
        let begun = self.begun.get_mut(&block.piece).expect("just begun");
        let state = &mut begun.blocks[number as usize];
        let before = core::mem::replace(state, Block::Had(from));
        match before {
            Block::Asked(asked) => {
                begun.had += 1;
                Receipt::New { asked }
            }
            Block::Missing => {
                begun.had += 1;
                begun.missing -= 1;
                if begun.missing == 0 {
                    self.sated(block.piece);
                }
                Receipt::New { asked: 0 }
            }
            Block::Had(_) => {
                // Even if it was nobody's: this copy may be of the next attempt at the piece already.
                *state = before;
                Receipt::Known
            }
        }
    }

    /// An earlier run left these blocks of the piece.
    pub(crate) fn set_partial(&mut self, piece: PieceIndex, blocks: &[u32]) {
        for &number in blocks {
            if let Some(block) = self.lengths.block(piece, number) {
                self.received(block, None);
            }
        }
    }

    /// The piece is there. Says who sent it, and whether requests for its blocks are still outstanding.
    pub(crate) fn verified(&mut self, piece: PieceIndex) -> (Authors, bool) {
        self.have.insert(piece);
        self.missing.remove(piece);
        self.availability.close(piece);
        self.sated(piece);
        self.spoiled.retain(|&other| other != piece);
        if self.begun.len() >= MAX_PARTIAL_PIECES {
            self.returns += 1;
        }
        match self.begun.remove(&piece) {
            Some(begun) => (begun.authors(), begun.has_asked()),
            None => (Authors::of(core::iter::empty()), false),
        }
    }

    /// The piece is bad and must be fetched anew. Says who sent it, and whether requests for its blocks are still
    /// outstanding (which now count for nothing).
    pub(crate) fn failed(&mut self, piece: PieceIndex) -> (Authors, bool) {
        let Some(begun) = self.begun.get(&piece) else { return (Authors::of(core::iter::empty()), false) };
        let told = (begun.authors(), begun.has_asked());
        self.reopen(piece);
        self.returns += 1;
        if self.spoiled.len() < MAX_SPOILED_PIECES && !self.spoiled.contains(&piece) {
            self.spoiled.push(piece);
        }
        told
    }

    /// The piece was there and is gone.
    pub(crate) fn lost(&mut self, piece: PieceIndex) {
        self.have.remove(piece);
        if self.wanted.contains(piece) {
            self.missing.insert(piece);
            self.availability.open(piece, &mut self.rng);
            self.returns += 1;
        }
    }

    /// From now on these pieces are wanted. Requests for others are to be taken back by the caller.
    pub(crate) fn set_wanted(&mut self, wanted: Bitfield) {
        for piece in self.lengths.pieces() {
            if wanted.contains(piece) && !self.have.contains(piece) {
                self.missing.insert(piece);
                if !self.begun.contains_key(&piece) {
                    self.availability.open(piece, &mut self.rng);
                }
            } else {
                self.missing.remove(piece);
                self.availability.close(piece);
            }
        }
        self.hungry =
            self.begun.iter().filter(|(_, begun)| begun.missing > 0).map(|(&piece, _)| piece).collect();
        self.hungry.retain(|&piece| wanted.contains(piece));
        self.wanted = wanted;
        self.returns += 1;
    }

    fn choose(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        if let Some(piece) = asker.current
            && self.may_go_on(asker, piece)
        {
            return Some(piece);
        }
        if asker.dry {
            return None;
        }
        self.find_spoiled(asker)
            .or_else(|| self.find_hungry(asker, Share::Free))
            .or_else(|| self.find_open(asker))
            .or_else(|| self.find_hungry(asker, Share::Any))
    }

    /// Whether the piece is the peer's to go on with, or (told by its `have`) to begin.
    fn may_go_on(&self, asker: &Asker<'_>, piece: PieceIndex) -> bool {
        let share = if asker.dry { Share::Any } else { Share::Free };
        self.may_ask(asker, piece)
            && match self.begun.get(&piece) {
                Some(begun) => begun.missing > 0 && begun.is_for(asker, share),
                None => self.availability.is_open(piece) && self.begun.len() < MAX_PARTIAL_PIECES,
            }
    }

    fn may_ask(&self, asker: &Asker<'_>, piece: PieceIndex) -> bool {
        self.missing.contains(piece)
            && asker.pieces.contains(piece)
            && asker.only.is_none_or(|only| only.contains(&piece))
    }

    fn find_hungry(&self, asker: &Asker<'_>, share: Share) -> Option<PieceIndex> {
        self.hungry.iter().copied().find(|&piece| {
            self.may_ask(asker, piece) && self.begun.get(&piece).is_some_and(|b| b.is_for(asker, share))
        })
    }

    /// An open piece that failed before.
    fn find_spoiled(&self, asker: &Asker<'_>) -> Option<PieceIndex> {
        let may_begin = |piece: &PieceIndex| self.availability.is_open(*piece) && self.may_ask(asker, *piece);
        let room = self.begun.len() < MAX_PARTIAL_PIECES;
        self.spoiled.iter().copied().find(may_begin).filter(|_| room && asker.trusted)
    }

    fn find_open(&mut self, asker: &Asker<'_>) -> Option<PieceIndex> {
        if self.begun.len() >= MAX_PARTIAL_PIECES {
            return None;
        }
        if let Some(only) = asker.only {
            let open = only.iter().copied().filter(|&piece| self.may_begin(asker, piece));
            return open.min_by_key(|&piece| self.availability.of(piece));
        }
        if self.have.count_ones() < RANDOM_FIRST_PIECES {
            if let Some(suggested) = self.find_suggested(asker, u32::MAX) {
                return Some(suggested);
            }
            let start = self.rng.u32(0..self.lengths.piece_count());
            let mut all = (start..self.lengths.piece_count()).chain(0..start).map(PieceIndex::new);
            return all.find(|&piece| self.may_begin(asker, piece));
        }
        let rarest = self.availability.rarest_first().find(|&piece| asker.pieces.contains(piece))?;
        self.find_suggested(asker, self.availability.of(rarest)).or(Some(rarest))
    }

    /// A suggestion chooses among equals only: the piece must be as rare as the rarest that the peer has. What many have
    /// can wait, whoever says otherwise.
    fn find_suggested(&self, asker: &Asker<'_>, rarity: u32) -> Option<PieceIndex> {
        let latest_first = asker.suggested.iter().rev().copied();
        latest_first
            .into_iter()
            .find(|&piece| self.may_begin(asker, piece) && self.availability.of(piece) <= rarity)
    }

    fn may_begin(&self, asker: &Asker<'_>, piece: PieceIndex) -> bool {
        piece.get() < self.lengths.piece_count()
            && self.availability.is_open(piece)
            && asker.pieces.contains(piece)
    }

    fn begin(&mut self, piece: PieceIndex) {
        self.availability.close(piece);
        let count = self.lengths.block_count(piece);
        let blocks = vec![Block::Missing; count as usize];
        let begun = Begun { blocks, missing: count, had: 0, cursor: 0, alone: None, leader: None };
        self.begun.insert(piece, begun);
        if self.wanted.contains(piece) {
            self.hungry.push(piece);
        }
    }

    fn reopen(&mut self, piece: PieceIndex) {
        self.begun.remove(&piece);
        self.sated(piece);
        if self.missing.contains(piece) {
            self.availability.open(piece, &mut self.rng);
        }
    }

    fn take_missing(&mut self, piece: PieceIndex) -> Option<BlockRange> {
        let begun = self.begun.get_mut(&piece)?;
        let rest = begun.blocks.iter().skip(begun.cursor as usize);
        let ahead = rest.zip(0..).find(|(block, _)| **block == Block::Missing).map(|(_, ahead)| ahead)?;
        let number: u32 = begun.cursor + ahead;
        begun.blocks[number as usize] = Block::Asked(1);
        begun.cursor = number + 1;
        begun.missing -= 1;
        if begun.missing == 0 {
            self.sated(piece);
        }
        self.lengths.block(piece, number)
    }

    /// None of the piece's blocks is missing any more, or none is to be asked for.
    fn sated(&mut self, piece: PieceIndex) {
        self.hungry.retain(|&other| other != piece);
    }
}

/// Which begun pieces are considered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Those that were not left to another peer.
    Free,
    /// Those too: there is nothing else.
    Any,
}

impl Begun {
    fn is_for(&self, asker: &Asker<'_>, share: Share) -> bool {
        let mine = |owner: Option<PeerKey>| owner.is_none_or(|owner| owner == asker.peer);
        // A peer on parole shares a piece only if it would have to idle otherwise.
        let shares = !asker.alone || self.leader.is_some();
        mine(self.alone) && (share == Share::Any || mine(self.leader) && shares)
    }

    fn authors(&self) -> Authors {
        Authors::of(self.blocks.iter().map(|block| match block {
            Block::Had(from) => *from,
            Block::Missing | Block::Asked(_) => None,
        }))
    }

    fn has_asked(&self) -> bool {
        self.blocks.len() != (self.had + self.missing) as usize
    }
}
