//! Which block to ask for next.
//!
//! A piece is in exactly one of these states: **unwanted**, **open** (wanted, none of its blocks asked for),
//! **begun** (some block is asked for or there), **there** (verified). A block of a begun piece is **missing**,
//! **asked** (of one peer; of several in the end game or near a deadline) or **had**; when all are had the piece waits
//! for its hash.
//!
//! The order of preference: a piece with a deadline; the piece that the peer is busy with; an open piece that failed
//! before, so that it is known soon who spoiled it; then, one priority after the other, a begun piece and the rarest open
//! piece (the first few at random); a begun piece that was left to another peer. The end game begins when nothing is
//! missing or open: then blocks that are asked for are asked for again of others. Pieces that nobody has yet put it off,
//! or behind a slow seed it would never end, and everything be fetched twice. A snubbed peer goes the other way round: it
//! gets what everybody else has and wants last. One that is very fast is at several long pieces in turn. A web seed,
//! which answers in runs, goes from a piece to the next one while that is open, and begins where a run of open pieces
//! does.
//!
//! A piece that failed before, and each piece of a peer on parole, is to have one author: others are kept from it, if
//! the author is fast enough. Such a peer has few pieces at a time that are not verified, and though it chokes or rejects,
//! others take what it began only if they find nothing else. If the piece is urgent too, it has to be fast enough for the
//! deadline, and others are let in as soon as it turns out that it is not.

mod choose;
mod deadline;
mod deadlines;
mod invariants;
#[cfg(test)]
mod tests;

use crate::availability::Availability;
use crate::limits::{END_GAME_COPIES, END_GAME_SCAN, MAX_PARTIAL_PIECES, MAX_SPOILED_PIECES};
use crate::pieces::Pieces;
use crate::trust::{Authors, Suspect};
use crate::{Order, PeerKey, Priority, Supply};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use choose::Share;
use core::time::Duration;
use deadline::Deadlines;
use fastrand::Rng;
use types::{Bitfield, BlockRange, Lengths, PieceIndex, Time};

#[derive(Debug)]
pub(crate) struct Picker {
    lengths: Lengths,
    have: Bitfield,
    wanted: Bitfield,
    /// Wanted and not there: what makes a peer interesting.
    missing: Bitfield,
    availability: Availability,
    begun: BTreeMap<PieceIndex, Begun>,
    /// Wanted begun pieces with a missing block.
    hungry: BTreeMap<Rank, PieceIndex>,
    /// Pieces that failed and are not verified yet.
    spoiled: Vec<PieceIndex>,
    /// The earliest first. These pieces are neither open nor hungry.
    deadlines: Deadlines,
    /// The begun pieces that are left to one peer, by peer; behind the others (`true`) those of which nothing is missing.
    left_to: BTreeSet<(PeerKey, bool, PieceIndex)>,
    /// How many pieces have become hungry.
    ranked: u64,
    order: Order,
    /// No piece before this one is missing.
    front: u32,
    /// Grows whenever a block that nobody could be asked for can be asked for again.
    returns: u64,
    #[cfg(feature = "planted")]
    planted: Option<crate::Planted>,
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
    /// It let requests wait for too long.
    pub(crate) snubbed: bool,
    /// What time it is.
    pub(crate) now: Time,
    /// How long its next block should take; needed for deadlines only.
    pub(crate) eta: Duration,
    /// Bytes per second; needed for deadlines only.
    pub(crate) rate: u64,
    /// The shortest time that it took for one; `None` if it delivered none, and the other is a guess.
    pub(crate) quickest: Option<Duration>,
    /// When pieces are fetched in order: how many pieces behind the front it stays, so as not to hold it up.
    pub(crate) behind: u32,
    /// It is best asked for pieces that follow each other.
    pub(crate) runs: bool,
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
    /// Its place among the hungry.
    rank: Option<Rank>,
    /// Some block was asked of several peers because it was late.
    late: bool,
    /// The same in the end game.
    again: bool,
}

/// The order of hungry pieces: by priority, those left to one peer last, then in the order in which they became so or,
/// if pieces are fetched in order, lie in the torrent. One number, since it is compared often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u64);

impl Rank {
    /// Numbers are less than this: 2^60 pieces can become hungry.
    const NUMBERS: u64 = 1 << 60;

    fn new(priority: Priority, left: bool, number: u64) -> Rank {
        let class = match priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low | Priority::Skip => 2,
        };
        Rank((class * 2 + u64::from(left)) * Rank::NUMBERS + number % Rank::NUMBERS)
    }

    /// Whether pieces of the same kind as the other one have such ranks.
    fn is_like(self, other: Rank) -> bool {
        self.0 / Rank::NUMBERS == other.0 / Rank::NUMBERS
    }
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
            hungry: BTreeMap::new(),
            spoiled: Vec::new(),
            deadlines: Deadlines::new(count),
            left_to: BTreeSet::new(),
            ranked: 0,
            order: Order::default(),
            front: 0,
            returns: 0,
            #[cfg(feature = "planted")]
            planted: None,
            rng,
        };
        picker.set_priorities(&vec![Priority::default(); count as usize]);
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

    /// Which they are.
    pub(crate) fn begun_pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.begun.keys().copied()
    }

    /// What becomes of what is missing.
    pub(crate) fn supply(&self) -> Supply {
        let count = |pieces: usize| u32::try_from(pieces).unwrap_or(u32::MAX);
        let waits = |(piece, begun): &(&PieceIndex, &Begun)| {
            self.missing.contains(**piece) && begun.had as usize == begun.blocks.len()
        };
        Supply {
            missing: self.missing.count_ones(),
            unseen: count(self.missing.ones().filter(|&piece| self.availability.of(piece) == 0).count()),
            unhashed: count(self.begun.iter().filter(waits).count()),
        }
    }

    /// A number that changes when peers that had nothing to be asked for may have something again.
    pub(crate) fn returns(&self) -> u64 {
        self.returns
    }

    /// Everything that can be asked for is asked for.
    pub(crate) fn in_end_game(&self) -> bool {
        #[cfg(feature = "planted")]
        if self.planted == Some(crate::Planted::EndlessPatience) {
            return false;
        }
        self.hungry.is_empty()
            && !self.begun.is_empty()
            && !self.availability.any_open()
            && !self.any_urgent()
    }

    pub(crate) fn peer_came(&mut self, pieces: &Pieces) {
        self.availability.add(pieces, &mut self.rng);
    }

    /// No request is outstanding with the peer any more.
    pub(crate) fn peer_went(&mut self, peer: PeerKey, pieces: &Pieces) {
        self.availability.remove(pieces, &mut self.rng);
        self.release(peer);
    }

    pub(crate) fn peer_gained(&mut self, piece: PieceIndex) {
        self.availability.gained(piece, &mut self.rng);
    }

    /// A peer, that had all if it `was_all`, has one piece less (BEP 54).
    pub(crate) fn peer_lost(&mut self, piece: PieceIndex, was_all: bool) {
        self.availability.lost(piece, was_all, &mut self.rng);
    }

    /// A peer said anew what it has; says of how many pieces the peers were counted anew.
    pub(crate) fn pieces_replaced(&mut self, before: &Pieces, after: &Pieces) -> u32 {
        self.availability.replace(before, after, &mut self.rng)
    }

    /// Pieces that were reserved for the peer are anybody's again.
    pub(crate) fn release(&mut self, peer: PeerKey) {
        for piece in self.own(peer).collect::<Vec<_>>() {
            self.leave(peer, piece);
            let Some(begun) = self.begun.get_mut(&piece) else { continue };
            begun.leader = None;
            if begun.alone.take().is_some() {
                self.returns += 1;
            }
            self.place(piece);
        }
    }

    /// Pieces that were reserved for the peer are others' too, if they find nothing else: it is on parole, and who helps
    /// to finish a piece of a liar comes under suspicion.
    pub(crate) fn lend(&mut self, peer: PeerKey) {
        for piece in self.own(peer).collect::<Vec<_>>() {
            let urgent = self.has_deadline(piece);
            let Some(begun) = self.begun.get_mut(&piece) else { continue };
            self.returns += u64::from(begun.alone.take().is_some());
            begun.leader = (!urgent).then_some(peer);
            if urgent {
                self.leave(peer, piece);
            }
            self.place(piece);
        }
    }

    /// The next block to ask the peer for, now marked as asked.
    pub(crate) fn pick(&mut self, asker: &Asker<'_>) -> Option<BlockRange> {
        let piece = self.choose(asker)?;
        let urgent = self.has_deadline(piece);
        if self.availability.is_open(piece) || urgent && !self.begun.contains_key(&piece) {
            let one_author = asker.alone || self.spoiled.contains(&piece);
            let alone = one_author && asker.quick && self.has_time_alone(piece, asker);
            let leads = alone || !urgent && (one_author || asker.whole);
            let owner = |is: bool| is.then_some(asker.peer);
            self.begin(piece, owner(alone), owner(leads));
        }
        self.take_missing(piece, asker)
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
        let start = PieceIndex::new(self.rng.u32(0..self.lengths.piece_count()));
        let mut left = END_GAME_SCAN;
        for (&piece, begun) in self.begun.range(start..).chain(self.begun.range(..start)) {
            if left == 0 {
                break;
            }
            left -= 1;
            if !begun.has_asked() || !self.may_ask(asker, piece) || begun.alone.is_some() {
                continue;
            }
            left = left.saturating_sub(begun.blocks.len());
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
        let begun = self.begun.get_mut(&range.piece)?;
        begun.blocks[number as usize] = Block::Asked(fewest + 1);
        begun.again = true;
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
                return self.reconsider(block.piece, number);
            }
            Block::Missing | Block::Had(_) => return,
        }
        self.wanted_again(block.piece, number);
    }

    /// A block that was asked for or there is missing.
    fn wanted_again(&mut self, piece: PieceIndex, number: u32) {
        let Some(begun) = self.begun.get_mut(&piece) else { return };
        begun.missing += 1;
        begun.cursor = begun.cursor.min(number);
        let (missing, blocks) = (begun.missing as usize, begun.blocks.len());
        self.returns += 1;
        if missing == blocks {
            self.reopen(piece);
        } else if missing == 1 {
            self.place(piece);
        }
    }

    /// The blocks that somebody sent of pieces that are not complete, by number.
    pub(crate) fn unfinished_of(&self, author: Suspect) -> Vec<(PieceIndex, Vec<u32>)> {
        let sent = |begun: &Begun| -> Vec<u32> {
            let numbered = begun.blocks.iter().zip(0..);
            numbered.filter(|(block, _)| **block == Block::Had(Some(author))).map(|(_, n)| n).collect()
        };
        let unfinished = self.begun.iter().filter(|(_, begun)| (begun.had as usize) < begun.blocks.len());
        let by_piece = unfinished.map(|(&piece, begun)| (piece, sent(begun)));
        by_piece.filter(|(_, blocks)| !blocks.is_empty()).collect()
    }

    /// A block is not in storage any more; says whether it was, as far as is known here.
    pub(crate) fn forgotten(&mut self, block: BlockRange) -> bool {
        let Some(number) = self.lengths.block_number(block) else { return false };
        let Some(begun) = self.begun.get_mut(&block.piece) else { return false };
        let state = &mut begun.blocks[number as usize];
        if !matches!(state, Block::Had(_)) {
            return false;
        }
        *state = Block::Missing;
        begun.had -= 1;
        self.wanted_again(block.piece, number);
        true
    }

    /// Storage took a block from this address.
    pub(crate) fn received(&mut self, block: BlockRange, from: Option<Suspect>) -> Receipt {
        let Some(number) = self.lengths.block_number(block) else { return Receipt::Known };
        if self.have.contains(block.piece) {
            return Receipt::Known;
        }
        if !self.begun.contains_key(&block.piece) {
            self.begin(block.piece, None, None);
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
                    self.place(block.piece);
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
        self.spoiled.retain(|&other| other != piece);
        if self.begun.len() >= MAX_PARTIAL_PIECES {
            self.returns += 1;
        }
        let begun = self.drop_begun(piece);
        self.deadlines.remove(piece);
        self.place(piece);
        match begun {
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
            self.front = self.front.min(piece.get());
            self.place(piece);
            self.returns += 1;
        }
    }

    /// From now on pieces are wanted so much; there is one priority for each. Requests for those that are not wanted
    /// are to be taken back by the caller.
    pub(crate) fn set_priorities(&mut self, priorities: &[Priority]) {
        for (piece, &priority) in self.lengths.pieces().zip(priorities) {
            self.availability.set_priority(piece, priority, &mut self.rng);
            if priority == Priority::Skip {
                self.wanted.remove(piece);
                self.missing.remove(piece);
                self.deadlines.remove(piece);
            } else {
                self.wanted.insert(piece);
                if !self.have.contains(piece) {
                    self.missing.insert(piece);
                }
            }
            self.place(piece);
        }
        self.front = 0;
        self.returns += 1;
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    /// From now on pieces of the same priority are fetched in this order.
    pub(crate) fn set_order(&mut self, order: Order) {
        self.order = order;
        self.hungry.clear();
        for piece in self.begun.keys().copied().collect::<Vec<_>>() {
            if let Some(begun) = self.begun.get_mut(&piece) {
                begun.rank = None;
            }
            self.place(piece);
        }
        self.returns += 1;
    }

    fn begin(&mut self, piece: PieceIndex, alone: Option<PeerKey>, leader: Option<PeerKey>) {
        let count = self.lengths.block_count(piece);
        let blocks = vec![Block::Missing; count as usize];
        let begun = Begun {
            blocks,
            missing: count,
            had: 0,
            cursor: 0,
            alone,
            leader,
            rank: None,
            late: false,
            again: false,
        };
        self.left_to.extend(alone.or(leader).map(|owner| (owner, false, piece)));
        self.begun.insert(piece, begun);
        self.place(piece);
    }

    fn reopen(&mut self, piece: PieceIndex) {
        self.drop_begun(piece);
        self.place(piece);
    }

    fn drop_begun(&mut self, piece: PieceIndex) -> Option<Begun> {
        let begun = self.begun.remove(&piece)?;
        if let Some(rank) = begun.rank {
            self.hungry.remove(&rank);
        }
        if let Some(owner) = begun.owner() {
            self.leave(owner, piece);
        }
        Some(begun)
    }

    /// The piece is not left to the peer any more.
    fn leave(&mut self, peer: PeerKey, piece: PieceIndex) {
        for full in [false, true] {
            self.left_to.remove(&(peer, full, piece));
        }
    }

    /// Puts a piece where its state demands: among the urgent, the open, or the hungry ones, or nowhere.
    fn place(&mut self, piece: PieceIndex) {
        let elsewhere = self.place_urgent(piece) || !self.missing.contains(piece);
        let Some(begun) = self.begun.get_mut(&piece) else {
            match !elsewhere {
                true => self.availability.open(piece, &mut self.rng),
                false => self.availability.close(piece),
            }
            return;
        };
        self.availability.close(piece);
        if let Some(owner) = begun.owner() {
            let full = begun.missing == 0;
            if self.left_to.remove(&(owner, !full, piece)) {
                self.left_to.insert((owner, full, piece));
            }
        }
        let number = match self.order {
            Order::RarestFirst => self.ranked,
            Order::Sequential => u64::from(piece.get()),
        };
        let rank = Rank::new(self.availability.priority(piece), begun.owner().is_some(), number);
        let hungry = !elsewhere && begun.missing > 0;
        if begun.rank.is_some() == hungry && begun.rank.is_none_or(|old| old.is_like(rank)) {
            return;
        }
        if let Some(rank) = begun.rank.take() {
            self.hungry.remove(&rank);
        }
        if hungry {
            self.ranked += 1;
            begun.rank = Some(rank);
            self.hungry.insert(rank, piece);
        }
    }

    #[cfg(feature = "planted")]
    pub(crate) fn plant(&mut self, fault: Option<crate::Planted>) {
        self.planted = fault;
    }

    fn take_missing(&mut self, piece: PieceIndex, asker: &Asker<'_>) -> Option<BlockRange> {
        let begun = self.begun.get_mut(&piece)?;
        let rest = begun.blocks.iter().skip(begun.cursor as usize);
        let ahead = rest.zip(0..).find(|(block, _)| **block == Block::Missing).map(|(_, ahead)| ahead)?;
        let number: u32 = begun.cursor + ahead;
        begun.blocks[number as usize] = Block::Asked(1);
        begun.cursor = number + 1;
        #[cfg(feature = "planted")]
        if self.planted == Some(crate::Planted::OffByOne) {
            begun.cursor += 1;
        }
        begun.missing -= 1;
        if begun.missing == 0 {
            self.place(piece);
        }
        self.promised(piece, number, asker);
        self.lengths.block(piece, number)
    }
}

impl Begun {
    /// The one peer that it is left to.
    fn owner(&self) -> Option<PeerKey> {
        self.alone.or(self.leader)
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
