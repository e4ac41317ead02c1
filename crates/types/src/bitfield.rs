//! A set of pieces, kept in the wire's own bit order.

use crate::PieceIndex;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A set of pieces of one torrent: bit 0 is the high bit of the first byte, spare bits are 0 (BEP 3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bitfield {
    bytes: Vec<u8>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// The empty set over `len` pieces.
    pub fn new(len: u32) -> Bitfield {
        Bitfield { bytes: vec![0; byte_len(len)], len, ones: 0 }
    }

    /// The set of all of `len` pieces.
    pub fn full(len: u32) -> Bitfield {
        let mut bytes = vec![0xff; byte_len(len)];
        if let Some(last) = bytes.last_mut() {
            *last &= last_byte_mask(len);
        }
        Bitfield { bytes, len, ones: len }
    }

    /// Reads the wire form; `None` if the number of bytes is not exactly right or a spare bit is set.
    pub fn from_wire(bytes: &[u8], len: u32) -> Option<Bitfield> {
        let spare_bits = bytes.last().is_some_and(|last| last & !last_byte_mask(len) != 0);
        if bytes.len() != byte_len(len) || spare_bits {
            return None;
        }
        let ones = bytes.iter().map(|b| b.count_ones()).sum();
        Some(Bitfield { bytes: bytes.to_vec(), len, ones })
    }

    /// The wire form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pieces the torrent has.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the torrent has no pieces at all (not: whether the set is empty).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pieces are in the set.
    pub fn count_ones(&self) -> u32 {
        self.ones
    }

    /// Whether every piece is in the set.
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `piece` is in the set; a piece that the torrent does not have is not.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        piece.get() < self.len && self.bytes[piece.index() / 8] & bit(piece) != 0
    }

    /// Adds a piece; `true` if it was not there before. A piece that the torrent does not have is not added.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        if piece.get() >= self.len || self.contains(piece) {
            return false;
        }
        self.bytes[piece.index() / 8] |= bit(piece);
        self.ones += 1;
        true
    }

    /// Takes a piece out; `true` if it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        if !self.contains(piece) {
            return false;
        }
        self.bytes[piece.index() / 8] &= !bit(piece);
        self.ones -= 1;
        true
    }

    /// The pieces in the set, in order.
    pub fn ones(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.bytes.iter().zip(0u32..).filter(|&(&byte, _)| byte != 0).flat_map(|(&byte, at)| {
            (0..8)
                .filter(move |shift| byte & (0x80 >> shift) != 0)
                .map(move |shift| PieceIndex::new(at * 8 + shift))
        })
    }

    /// The pieces that are not in the set, in order.
    pub fn zeros(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.len).map(PieceIndex::new).filter(|&piece| !self.contains(piece))
    }

    /// Whether some piece is in this set and not in `other`; sets of different torrents share no piece.
    pub fn has_any_not_in(&self, other: &Bitfield) -> bool {
        if self.len != other.len {
            return self.ones > 0;
        }
        self.bytes.iter().zip(&other.bytes).any(|(mine, theirs)| mine & !theirs != 0)
    }
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({}/{})", self.ones, self.len)
    }
}

const fn byte_len(len: u32) -> usize {
    len.div_ceil(8) as usize
}

fn bit(piece: PieceIndex) -> u8 {
    0x80 >> (piece.get() % 8)
}

/// The bits of the last byte that stand for pieces.
fn last_byte_mask(len: u32) -> u8 {
    match len % 8 {
        0 => 0xff,
        used => !(0xff >> used),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn wire_form_is_checked() {
        assert!(Bitfield::from_wire(&[0b1010_0000], 3).is_some());
        assert!(Bitfield::from_wire(&[0b1011_0000], 3).is_none(), "spare bit");
        assert!(Bitfield::from_wire(&[0, 0], 3).is_none(), "too long");
        assert!(Bitfield::from_wire(&[], 3).is_none(), "too short");
        assert!(Bitfield::from_wire(&[0xff], 8).unwrap().is_full());
        assert_eq!(Bitfield::full(13).as_bytes(), [0xff, 0xf8]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(len in 0u32..200, ops in proptest::collection::vec((any::<bool>(), 0u32..210), 0..300)) {
            let mut bits = Bitfield::new(len);
            let mut model = BTreeSet::new();
            for (add, n) in ops {
                let piece = PieceIndex::new(n);
                if add {
                    prop_assert_eq!(bits.insert(piece), n < len && model.insert(n));
                } else {
                    prop_assert_eq!(bits.remove(piece), model.remove(&n));
                }
            }
            prop_assert_eq!(bits.count_ones() as usize, model.len());
            prop_assert!(bits.ones().map(PieceIndex::get).eq(model.iter().copied()));
            prop_assert_eq!(bits.zeros().count(), len as usize - model.len());
            let again = Bitfield::from_wire(bits.as_bytes(), len).unwrap();
            prop_assert_eq!(&again, &bits);
            prop_assert_eq!(bits.has_any_not_in(&Bitfield::new(len)), !model.is_empty());
            prop_assert!(!bits.has_any_not_in(&Bitfield::full(len)));
        }
    }
}
