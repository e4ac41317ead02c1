//! The pieces that one peer has.

use types::{Bitfield, PieceIndex};

/// A set of pieces; that of a peer that came as a seed takes no memory.
#[derive(Clone, Debug)]
pub(crate) enum Pieces {
    /// Every one of so many.
    All(u32),
    /// These. When the last one comes they stay a list: a `have` must not cost a pass over all pieces.
    Some(Bitfield),
}

impl Pieces {
    pub(crate) fn none(len: u32) -> Pieces {
        Pieces::from(Bitfield::new(len))
    }

    /// How many pieces the torrent has.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Pieces::All(len) => *len,
            Pieces::Some(bits) => bits.len(),
        }
    }

    pub(crate) fn contains(&self, piece: PieceIndex) -> bool {
        match self {
            Pieces::All(len) => piece.get() < *len,
            Pieces::Some(bits) => bits.contains(piece),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        match self {
            Pieces::All(len) => *len,
            Pieces::Some(bits) => bits.count_ones(),
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        match self {
            Pieces::All(_) => true,
            Pieces::Some(bits) => bits.is_full(),
        }
    }

    /// How many pieces are counted one by one when the peer comes or goes: of a seed, none.
    pub(crate) fn counted_singly(&self) -> u32 {
        match self {
            Pieces::All(_) => 0,
            Pieces::Some(bits) => bits.count_ones(),
        }
    }

    /// Adds a piece; `true` if it was not there before.
    pub(crate) fn insert(&mut self, piece: PieceIndex) -> bool {
        match self {
            Pieces::All(_) => false,
            Pieces::Some(bits) => bits.insert(piece),
        }
    }

    /// Those of its pieces that are in `set`, which is of the same torrent: from `start` on in order, then those
    /// before it. What is not in both is passed over 64 pieces at a time.
    pub(crate) fn shared_from<'a>(
        &'a self,
        set: &'a Bitfield,
        start: u32,
    ) -> impl Iterator<Item = PieceIndex> + 'a {
        let (first, bit) = (start / 64, start % 64);
        let words = if set.count_ones() == 0 { 0 } else { set.len().div_ceil(64) };
        let from_start = u64::MAX >> bit;
        let front = (first..words).map(move |word| (word, if word == first { from_start } else { u64::MAX }));
        let rest = (0..words.min(first + 1))
            .map(move |word| (word, if word == first { !from_start } else { u64::MAX }));
        front.chain(rest).flat_map(move |(word, mask)| {
            let mine = match self {
                Pieces::All(_) => u64::MAX,
                Pieces::Some(bits) => word_of(bits, word),
            };
            ones_of(word, word_of(set, word) & mine & mask)
        })
    }

    /// Takes a piece away; `true` if it was there.
    pub(crate) fn remove(&mut self, piece: PieceIndex) -> bool {
        if let Pieces::All(len) = *self {
            if piece.get() >= len {
                return false;
            }
            *self = Pieces::Some(Bitfield::full(len));
        }
        match self {
            Pieces::All(_) => false,
            Pieces::Some(bits) => bits.remove(piece),
        }
    }

    /// How many of its pieces are in `set`, which is of the same torrent.
    pub(crate) fn count_in(&self, set: &Bitfield) -> u32 {
        match self {
            Pieces::All(_) => set.count_ones(),
            Pieces::Some(bits) if bits.count_ones() == 0 => 0,
            Pieces::Some(bits) => {
                bits.as_bytes().iter().zip(set.as_bytes()).map(|(a, b)| (a & b).count_ones()).sum()
            }
        }
    }
}

/// The pieces in `set` that are not in `other`, which is of the same torrent, in order.
pub(crate) fn ones_not_in<'a>(
    set: &'a Bitfield,
    other: &'a Bitfield,
) -> impl Iterator<Item = PieceIndex> + 'a {
    let words = 0..set.len().div_ceil(64);
    words.flat_map(move |word| ones_of(word, word_of(set, word) & !word_of(other, word)))
}

/// 64 pieces of a set, the first of them in the high bit.
fn word_of(set: &Bitfield, word: u32) -> u64 {
    let bytes = set.as_bytes().get(word as usize * 8..).unwrap_or_default();
    if let Some(whole) = bytes.first_chunk() {
        return u64::from_be_bytes(*whole);
    }
    let mut padded = [0; 8];
    padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(padded)
}

/// The pieces that such a word, of this number, stands for, in order.
pub(crate) fn ones_of(word: u32, mut bits: u64) -> impl Iterator<Item = PieceIndex> {
    core::iter::from_fn(move || {
        let zeros = bits.leading_zeros();
        bits &= !(1u64 << 63).checked_shr(zeros)?;
        Some(PieceIndex::new(word * 64 + zeros))
    })
}

impl From<Bitfield> for Pieces {
    fn from(bits: Bitfield) -> Pieces {
        if bits.is_full() { Pieces::All(bits.len()) } else { Pieces::Some(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shared_pieces_are_those_in_both_from_the_start_on(
            sets in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..300),
            start in 0u32..310,
            seed: bool,
        ) {
            let count = u32::try_from(sets.len()).unwrap();
            let (mut pieces, mut set) = (Bitfield::new(count), Bitfield::new(count));
            for (n, (mine, theirs)) in (0..).zip(&sets) {
                let piece = PieceIndex::new(n);
                if *mine || seed {
                    pieces.insert(piece);
                }
                if *theirs {
                    set.insert(piece);
                }
            }
            let order = (start..count).chain(0..start.min(count)).map(PieceIndex::new);
            let expected: Vec<_> = order.filter(|&p| pieces.contains(p) && set.contains(p)).collect();
            let pieces = Pieces::from(pieces);
            prop_assert_eq!(pieces.shared_from(&set, start).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_last_piece_makes_a_seed() {
        let mut pieces = Pieces::none(9);
        for n in 0..9 {
            assert!(!pieces.is_all());
            assert!(pieces.insert(PieceIndex::new(n)));
            assert!(!pieces.insert(PieceIndex::new(n)));
            assert_eq!(pieces.count(), n + 1);
        }
        assert!(
            pieces.is_all() && pieces.contains(PieceIndex::new(8)) && !pieces.contains(PieceIndex::new(9))
        );
        assert!(!pieces.insert(PieceIndex::new(9)));
    }

    #[test]
    fn a_seed_that_loses_a_piece_is_none() {
        let mut pieces = Pieces::All(9);
        assert!(!pieces.remove(PieceIndex::new(9)) && pieces.is_all());
        assert!(pieces.remove(PieceIndex::new(3)) && !pieces.is_all());
        assert!(!pieces.remove(PieceIndex::new(3)));
        assert_eq!(pieces.count(), 8);
        assert!(pieces.insert(PieceIndex::new(3)) && pieces.is_all());
    }

    #[test]
    fn counts_what_two_sets_share() {
        let mut set = Bitfield::new(20);
        set.insert(PieceIndex::new(3));
        set.insert(PieceIndex::new(19));
        let mut pieces = Pieces::none(20);
        pieces.insert(PieceIndex::new(19));
        assert_eq!(pieces.count_in(&set), 1);
        assert_eq!(Pieces::All(20).count_in(&set), 2);
    }
}
