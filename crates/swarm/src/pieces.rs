//! The pieces that one peer has.

use types::{Bitfield, PieceIndex};

/// A set of pieces; that of a seed takes no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Every one of so many.
    All(u32),
    /// These; never all of them.
    Some(Bitfield),
}

impl Pieces {
    pub(crate) fn none(len: u32) -> Pieces {
        Pieces::from(Bitfield::new(len))
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
        matches!(self, Pieces::All(_))
    }

    /// Adds a piece; `true` if it was not there before.
    pub(crate) fn insert(&mut self, piece: PieceIndex) -> bool {
        let Pieces::Some(bits) = self else { return false };
        let new = bits.insert(piece);
        if bits.is_full() {
            *self = Pieces::All(bits.len());
        }
        new
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
            Pieces::Some(bits) => {
                bits.as_bytes().iter().zip(set.as_bytes()).map(|(a, b)| (a & b).count_ones()).sum()
            }
        }
    }
}

impl From<Bitfield> for Pieces {
    fn from(bits: Bitfield) -> Pieces {
        if bits.is_full() { Pieces::All(bits.len()) } else { Pieces::Some(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
