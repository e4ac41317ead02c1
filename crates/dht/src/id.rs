//! Names of nodes and of what is looked up, and how far they are from each other (BEP 5).

use core::fmt;
use core::str::FromStr;
use fastrand::Rng;
use types::{InfoHashV1, ParseHashError};

/// Bits of an id.
pub const ID_BITS: usize = 160;

/// A point of the DHT's space of 160 bits: a node, or what is looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

/// How far two ids are from each other: their exclusive or, as a number. Less is closer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 20]);

impl NodeId {
    /// Any id, each as likely as another.
    pub fn random(rng: &mut Rng) -> NodeId {
        let mut id = [0; 20];
        rng.fill(&mut id);
        NodeId(id)
    }

    /// The id in these bytes, if they are as many as an id has.
    pub fn from_slice(bytes: &[u8]) -> Option<NodeId> {
        bytes.try_into().ok().map(NodeId)
    }

    /// How far `other` is.
    pub fn distance(&self, other: &NodeId) -> Distance {
        Distance(core::array::from_fn(|at| self.0[at] ^ other.0[at]))
    }

    /// How many leading bits both have in common: 0 to 160.
    pub fn common_bits(&self, other: &NodeId) -> usize {
        ID_BITS - usize::from(self.distance(other).bits())
    }

    /// A random id that has exactly so many leading bits in common with this one (all of them from 160 on).
    pub fn random_at(&self, common_bits: usize, rng: &mut Rng) -> NodeId {
        let mut id = self.random_within(common_bits, rng);
        if common_bits < ID_BITS {
            id.set_bit(common_bits, !self.bit(common_bits));
        }
        id
    }

    /// A random id that has at least so many leading bits in common with this one.
    pub fn random_within(&self, common_bits: usize, rng: &mut Rng) -> NodeId {
        let mut id = NodeId::random(rng);
        for bit in 0..common_bits.min(ID_BITS) {
            id.set_bit(bit, self.bit(bit));
        }
        id
    }

    /// The bit at this place, 0 being the most significant.
    fn bit(&self, at: usize) -> bool {
        self.0[at / 8] & (0x80 >> (at % 8)) != 0
    }

    fn set_bit(&mut self, at: usize, value: bool) {
        let mask = 0x80 >> (at % 8);
        if value {
            self.0[at / 8] |= mask;
        } else {
            self.0[at / 8] &= !mask;
        }
    }
}

impl Distance {
    /// Farther than every id: for who has none yet.
    pub(crate) const UNKNOWN: Distance = Distance([0xff; 20]);

    /// How many bits the number has: 160 for ids that differ in the first bit, 0 for the same id.
    pub fn bits(&self) -> u8 {
        let mut bits = 160;
        for byte in self.0 {
            if byte != 0 {
                return bits - u8::try_from(byte.leading_zeros()).unwrap_or(0);
            }
            bits -= 8;
        }
        0
    }
}

impl From<InfoHashV1> for NodeId {
    fn from(hash: InfoHashV1) -> NodeId {
        NodeId(hash.0)
    }
}

/// Hex in either case.
impl FromStr for NodeId {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<NodeId, ParseHashError> {
        text.parse::<InfoHashV1>().map(NodeId::from)
    }
}

/// Lower-case hex.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InfoHashV1(self.0).fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{}", self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};

    #[test]
    fn distances_are_numbers() {
        let zero = NodeId([0; 20]);
        let mut one = zero;
        one.0[19] = 1;
        let mut far = zero;
        far.0[0] = 0x80;
        assert_eq!(zero.distance(&zero).bits(), 0);
        assert_eq!(zero.distance(&one).bits(), 1);
        assert_eq!(zero.distance(&far).bits(), 160);
        assert!(zero.distance(&one) < zero.distance(&far));
        assert_eq!(zero.common_bits(&one), 159);
    }

    proptest! {
        #[test]
        fn random_ids_have_as_many_bits_in_common_as_asked(seed: u64, bits in 0usize..=160) {
            let mut rng = Rng::with_seed(seed);
            let id = NodeId::random(&mut rng);
            prop_assert_eq!(id.common_bits(&id.random_at(bits, &mut rng)), bits);
        }
    }
}
