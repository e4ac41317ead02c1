//! How many peers have each piece, and the pieces not yet begun in the order in which they are to be.
//!
//! Pieces that are *open* (wanted, not there, not begun) lie in buckets, by their priority and by the number of peers
//! that have them, in random order within a bucket, so that peers of one swarm do not all want the same one. A `have`
//! moves one piece to the next bucket: O(1), whatever the number of pieces. Seeds have everything and change no
//! order, so they are only counted. A bucket that most pieces left gives back its memory: a bit field may move them all.

use crate::Priority;
use crate::pieces::{Pieces, ones_not_in};
use alloc::vec;
use alloc::vec::Vec;
use fastrand::Rng;
use types::{Bitfield, PieceIndex};

#[derive(Debug)]
pub(crate) struct Availability {
    seeds: u32,
    /// Peers that have the piece and are not counted as seeds.
    counts: Column<u32>,
    priorities: Column<Priority>,
    /// Where an open piece lies in its bucket; `NOT_OPEN` otherwise.
    places: Column<u32>,
    /// In the order of [`Priority::WANTED`].
    classes: [Class; 3],
}

/// The open pieces of one priority.
#[derive(Debug)]
struct Class {
    open: Bitfield,
    /// By the number of peers in `counts`.
    buckets: Vec<Vec<PieceIndex>>,
}

const NOT_OPEN: u32 = u32::MAX;

/// Room for so many pieces a bucket keeps, however few are in it.
const LEAST_ROOM: usize = 64;

/// Something for each piece, which takes no memory as long as it is the same for all: of a seed that nobody asks for, it is.
#[derive(Debug)]
struct Column<T> {
    same: T,
    len: u32,
    /// Of every piece, or nothing.
    values: Vec<T>,
}

impl<T: Copy> Column<T> {
    fn of(same: T, len: u32) -> Column<T> {
        Column { same, len, values: Vec::new() }
    }

    fn get(&self, piece: PieceIndex) -> T {
        if self.values.is_empty() { self.same } else { self.values[piece.index()] }
    }

    fn get_mut(&mut self, piece: PieceIndex) -> &mut T {
        if self.values.is_empty() {
            self.values = vec![self.same; self.len as usize];
        }
        &mut self.values[piece.index()]
    }
}

impl Availability {
    /// Of a torrent with `pieces` pieces, all of the default priority and none of them open.
    pub(crate) fn new(pieces: u32) -> Availability {
        let class = |_| Class { open: Bitfield::new(pieces), buckets: vec![Vec::new()] };
        Availability {
            seeds: 0,
            counts: Column::of(0, pieces),
            priorities: Column::of(Priority::default(), pieces),
            places: Column::of(NOT_OPEN, pieces),
            classes: Priority::WANTED.map(class),
        }
    }

    /// How many peers have the piece.
    pub(crate) fn of(&self, piece: PieceIndex) -> u32 {
        self.seeds + self.counts.get(piece)
    }

    pub(crate) fn priority(&self, piece: PieceIndex) -> Priority {
        self.priorities.get(piece)
    }

    pub(crate) fn is_open(&self, piece: PieceIndex) -> bool {
        self.places.get(piece) != NOT_OPEN
    }

    /// Whether some piece is open, though perhaps nobody has it yet.
    pub(crate) fn any_open(&self) -> bool {
        self.classes.iter().any(|class| class.open.count_ones() > 0)
    }

    /// The open pieces of a priority.
    pub(crate) fn open_of(&self, priority: Priority) -> &Bitfield {
        &self.classes[priority.class()].open
    }

    /// The open pieces of a priority, rarest first.
    pub(crate) fn rarest_first(
        &self,
        priority: Priority,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + '_ {
        self.classes[priority.class()].buckets.iter().flatten().copied()
    }

    /// A peer with these pieces came.
    pub(crate) fn add(&mut self, pieces: &Pieces, rng: &mut Rng) {
        match pieces {
            Pieces::All(_) => self.seeds += 1,
            Pieces::Some(bits) if bits.count_ones() == 0 => {}
            Pieces::Some(bits) => bits.ones().for_each(|piece| self.step(piece, 1, rng)),
        }
    }

    /// A peer with these pieces went.
    pub(crate) fn remove(&mut self, pieces: &Pieces, rng: &mut Rng) {
        match pieces {
            Pieces::All(_) => self.seeds -= 1,
            Pieces::Some(bits) if bits.count_ones() == 0 => {}
            Pieces::Some(bits) => bits.ones().for_each(|piece| self.step(piece, -1, rng)),
        }
    }

    /// A peer said anew what it has. Only the pieces that it has and had not, or had and has not, are counted anew; says how
    /// many that are.
    pub(crate) fn replace(&mut self, before: &Pieces, after: &Pieces, rng: &mut Rng) -> u32 {
        let (Pieces::Some(old), Pieces::Some(new)) = (before, after) else {
            self.remove(before, rng);
            self.add(after, rng);
            return before.counted_singly() + after.counted_singly();
        };
        let mut moved = 0;
        for (one, other, by) in [(old, new, -1), (new, old, 1)] {
            for piece in ones_not_in(one, other) {
                self.step(piece, by, rng);
                moved += 1;
            }
        }
        moved
    }

    /// A peer has one piece more.
    pub(crate) fn gained(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.step(piece, 1, rng);
    }

    /// A peer has one piece less. Whether it `was_all`, [`Pieces::All`], before: then it costs a pass over all pieces.
    pub(crate) fn lost(&mut self, piece: PieceIndex, was_all: bool, rng: &mut Rng) {
        if !was_all {
            return self.step(piece, -1, rng);
        }
        self.seeds -= 1;
        let all = (0..self.counts.len).map(PieceIndex::new);
        all.filter(|&other| other != piece).for_each(|other| self.step(other, 1, rng));
    }

    /// The piece may be begun from now on; its priority says that it is wanted.
    pub(crate) fn open(&mut self, piece: PieceIndex, rng: &mut Rng) {
        if !self.is_open(piece) {
            self.class(piece).open.insert(piece);
            self.push(piece, rng);
        }
    }

    /// The piece is begun, there, or not wanted any more.
    pub(crate) fn close(&mut self, piece: PieceIndex) {
        if self.is_open(piece) {
            self.class(piece).open.remove(piece);
            self.take(piece);
        }
    }

    pub(crate) fn set_priority(&mut self, piece: PieceIndex, priority: Priority, rng: &mut Rng) {
        if self.priority(piece) == priority {
            return;
        }
        let open = self.is_open(piece) && priority != Priority::Skip;
        self.close(piece);
        *self.priorities.get_mut(piece) = priority;
        if open {
            self.open(piece, rng);
        }
    }

    fn class(&mut self, piece: PieceIndex) -> &mut Class {
        &mut self.classes[self.priorities.get(piece).class()]
    }

    fn step(&mut self, piece: PieceIndex, by: i32, rng: &mut Rng) {
        let open = self.is_open(piece);
        if open {
            self.take(piece);
        }
        let count = self.counts.get_mut(piece);
        *count = count.checked_add_signed(by).expect("a peer that goes was counted when it came");
        if open {
            self.push(piece, rng);
        }
    }

    /// Into its bucket, at a random place.
    fn push(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let count = self.counts.get(piece) as usize;
        let class = &mut self.classes[self.priorities.get(piece).class()];
        if class.buckets.len() <= count {
            class.buckets.resize_with(count + 1, Vec::new);
        }
        let bucket = &mut class.buckets[count];
        bucket.push(piece);
        let last = bucket.len() - 1;
        let place = rng.usize(0..=last);
        bucket.swap(place, last);
        *self.places.get_mut(bucket[last]) = as_place(last);
        *self.places.get_mut(piece) = as_place(place);
    }

    fn take(&mut self, piece: PieceIndex) {
        let class = &mut self.classes[self.priorities.get(piece).class()];
        let bucket = &mut class.buckets[self.counts.get(piece) as usize];
        let place = self.places.get(piece);
        bucket.swap_remove(place as usize);
        if let Some(moved) = bucket.get(place as usize) {
            *self.places.get_mut(*moved) = place;
        }
        if bucket.capacity() > LEAST_ROOM && bucket.len() < bucket.capacity() / 4 {
            bucket.shrink_to((2 * bucket.len()).max(LEAST_ROOM));
        }
        *self.places.get_mut(piece) = NOT_OPEN;
    }
}

fn as_place(index: usize) -> u32 {
    u32::try_from(index).expect("there are at most 2^21 pieces")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;

    const PIECES: u32 = 24;

    #[derive(Clone, Debug)]
    enum Op {
        Come(Vec<bool>),
        Go(usize),
        Replace(usize, Vec<bool>),
        Have(usize, u32),
        Lose(usize, u32),
        Open(u32),
        Close(u32),
        Prioritize(u32, Priority),
    }

    fn op() -> impl Strategy<Value = Op> {
        let pieces = || {
            let some = proptest::collection::vec(any::<bool>(), PIECES as usize);
            prop_oneof![Just(vec![true; PIECES as usize]), some]
        };
        prop_oneof![
            1 => pieces().prop_map(Op::Come),
            1 => (0usize..9).prop_map(Op::Go),
            1 => (0usize..9, pieces()).prop_map(|(peer, bits)| Op::Replace(peer, bits)),
            6 => (0usize..9, 0..PIECES).prop_map(|(peer, piece)| Op::Have(peer, piece)),
            2 => (0usize..9, 0..PIECES).prop_map(|(peer, piece)| Op::Lose(peer, piece)),
            3 => (0..PIECES).prop_map(Op::Open),
            1 => (0..PIECES).prop_map(Op::Close),
            2 => (0..PIECES, priority()).prop_map(|(piece, priority)| Op::Prioritize(piece, priority)),
        ]
    }

    fn priority() -> impl Strategy<Value = Priority> {
        proptest::sample::select(vec![Priority::Skip, Priority::Low, Priority::Normal, Priority::High])
    }

    fn pieces_of(bits: &[bool]) -> Pieces {
        let mut field = Bitfield::new(PIECES);
        bits.iter().zip(0..).filter(|(has, _)| **has).for_each(|(_, n)| {
            field.insert(PieceIndex::new(n));
        });
        Pieces::from(field)
    }

    proptest! {
        #[test]
        fn equals_a_recount(ops in proptest::collection::vec(op(), 1..120), seed: u64) {
            let mut rng = Rng::with_seed(seed);
            let mut availability = Availability::new(PIECES);
            let mut peers: Vec<Pieces> = Vec::new();
            let mut open = vec![false; PIECES as usize];
            let mut priorities = vec![Priority::Normal; PIECES as usize];
            for op in ops {
                match op {
                    Op::Come(bits) => {
                        peers.push(pieces_of(&bits));
                        availability.add(peers.last().unwrap(), &mut rng);
                    }
                    Op::Go(peer) if peer < peers.len() => {
                        availability.remove(&peers.swap_remove(peer), &mut rng);
                    }
                    Op::Replace(peer, bits) if peer < peers.len() => {
                        let before = core::mem::replace(&mut peers[peer], pieces_of(&bits));
                        availability.replace(&before, &peers[peer], &mut rng);
                    }
                    Op::Have(peer, n) if peer < peers.len() => {
                        let piece = PieceIndex::new(n);
                        if peers[peer].insert(piece) {
                            availability.gained(piece, &mut rng);
                        }
                    }
                    Op::Lose(peer, n) if peer < peers.len() => {
                        let (piece, was_all) = (PieceIndex::new(n), matches!(peers[peer], Pieces::All(_)));
                        if peers[peer].remove(piece) {
                            availability.lost(piece, was_all, &mut rng);
                        }
                    }
                    Op::Open(n) if priorities[n as usize] > Priority::Skip => {
                        open[n as usize] = true;
                        availability.open(PieceIndex::new(n), &mut rng);
                    }
                    Op::Close(n) => {
                        open[n as usize] = false;
                        availability.close(PieceIndex::new(n));
                    }
                    Op::Prioritize(n, priority) => {
                        priorities[n as usize] = priority;
                        open[n as usize] &= priority > Priority::Skip;
                        availability.set_priority(PieceIndex::new(n), priority, &mut rng);
                    }
                    Op::Go(_) | Op::Replace(..) | Op::Have(..) | Op::Lose(..) | Op::Open(_) => {}
                }
            }
            let recount = |piece| u32::try_from(peers.iter().filter(|p| p.contains(piece)).count()).unwrap();
            for piece in (0..PIECES).map(PieceIndex::new) {
                prop_assert_eq!(availability.of(piece), recount(piece));
                prop_assert_eq!(availability.is_open(piece), open[piece.index()]);
            }
            let mut all = Vec::new();
            for priority in Priority::WANTED {
                let order: Vec<PieceIndex> = availability.rarest_first(priority).collect();
                prop_assert!(order.iter().all(|p| open[p.index()] && priorities[p.index()] == priority));
                prop_assert!(order.is_sorted_by_key(|piece| availability.of(*piece)));
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert!(availability.open_of(priority).ones().eq(sorted));
                all.extend(order);
            }
            prop_assert_eq!(all.len(), open.iter().filter(|open| **open).count());
            prop_assert_eq!(availability.any_open(), !all.is_empty());
        }
    }

    #[test]
    fn order_among_equals_is_random() {
        let order = |seed| {
            let mut rng = Rng::with_seed(seed);
            let mut availability = Availability::new(PIECES);
            (0..PIECES).for_each(|n| availability.open(PieceIndex::new(n), &mut rng));
            availability.rarest_first(Priority::Normal).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert!(!order(1).is_sorted());
    }

    #[test]
    fn a_crowd_leaves_no_memory_in_the_buckets_that_it_empties() {
        const MANY: u32 = 20_000;
        let mut rng = Rng::with_seed(1);
        let mut availability = Availability::new(MANY);
        (0..MANY).for_each(|n| availability.open(PieceIndex::new(n), &mut rng));
        let mut bits = Bitfield::full(MANY);
        bits.remove(PieceIndex::new(0));
        let pieces = Pieces::from(bits);
        let room = |availability: &Availability| -> usize {
            let buckets = availability.classes.iter().flat_map(|class| &class.buckets);
            buckets.map(|bucket| bucket.capacity().saturating_sub(LEAST_ROOM)).sum()
        };
        for _ in 0..200 {
            availability.add(&pieces, &mut rng);
            assert!(room(&availability) <= 4 * MANY as usize, "{}", room(&availability));
        }
        for _ in 0..200 {
            availability.remove(&pieces, &mut rng);
            assert!(room(&availability) <= 4 * MANY as usize, "{}", room(&availability));
        }
    }

    #[test]
    fn what_a_peer_says_again_is_not_counted_again() {
        let mut rng = Rng::with_seed(1);
        let mut availability = Availability::new(PIECES);
        let but = |n| {
            let mut bits = Bitfield::full(PIECES);
            bits.remove(PieceIndex::new(n));
            Pieces::from(bits)
        };
        let none = Pieces::none(PIECES);
        let mut replace = |before: &Pieces, after: &Pieces| availability.replace(before, after, &mut rng);
        assert_eq!(replace(&none, &but(1)), PIECES - 1);
        assert_eq!(replace(&but(1), &but(1)), 0);
        assert_eq!(replace(&but(1), &but(2)), 2);
        assert_eq!(replace(&but(2), &Pieces::All(PIECES)), PIECES - 1);
        assert_eq!(replace(&Pieces::All(PIECES), &none), 0, "a seed is counted as such");
    }
}
