//! A checksum of what a swarm said, the same on every machine.

use core::hash::{Hash, Hasher};
use swarm::Output;

/// FNV-1a of 64 bits, of numbers with the low byte first.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn write_u128(&mut self, number: u128) {
        self.write(&number.to_le_bytes());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write(&(number as i64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Outputs that were taken one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    pub(crate) count: u32,
    /// Of these and all before.
    pub(crate) digest: u64,
}

impl Outputs {
    pub(crate) fn add(&mut self, output: &Output) {
        let mut hasher = Fnv(self.digest ^ 0xcbf2_9ce4_8422_2325);
        output.hash(&mut hasher);
        self.digest = hasher.finish();
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm::PeerKey;
    use types::{BlockRange, PieceIndex};

    #[test]
    fn order_and_every_field_count() {
        let request = |piece, len| Output::Request {
            peer: PeerKey(1),
            block: BlockRange { piece: PieceIndex::new(piece), offset: 0, len },
        };
        let of = |outputs: &[Output]| {
            let mut all = Outputs::default();
            outputs.iter().for_each(|output| all.add(output));
            all.digest
        };
        let [a, b, c] = [request(1, 16384), request(2, 16384), request(1, 16383)];
        let all = [of(&[a.clone(), b.clone()]), of(&[b.clone(), a.clone()]), of(&[c, b]), of(&[a])];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{all:?}");
        assert_eq!(of(&[request(1, 16384)]), 15_591_660_866_062_741_444, "the same on every machine");
    }
}
