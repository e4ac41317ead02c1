//! Sets of addresses in 256 bytes, whose unions can be counted (BEP 33).

use core::net::IpAddr;

/// Bytes of a filter.
pub const BLOOM_LEN: usize = 256;

/// Bits of a filter: `m`.
const BITS: usize = BLOOM_LEN * 8;

/// A Bloom filter of addresses: two bits of 2,048 for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom([u8; BLOOM_LEN]);

impl Bloom {
    /// The empty set.
    pub const EMPTY: Bloom = Bloom([0; BLOOM_LEN]);

    /// The filter in these bytes, if they are as many as it has.
    pub fn from_slice(bytes: &[u8]) -> Option<Bloom> {
        bytes.try_into().ok().map(Bloom)
    }

    /// Its bytes, as they go over the wire.
    pub fn as_bytes(&self) -> &[u8; BLOOM_LEN] {
        &self.0
    }

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        for bit in Bloom::bits_of(ip) {
            self.0[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Whether the address may have been added; never `false` for one that was.
    pub fn may_contain(&self, ip: IpAddr) -> bool {
        Bloom::bits_of(ip).iter().all(|bit| self.0[bit / 8] & 1 << (bit % 8) != 0)
    }

    /// Adds every address of another filter.
    pub fn merge(&mut self, other: &Bloom) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, more)| *byte |= more);
    }

    /// About how many addresses were added. At some 8,000 there is nothing left to tell; a full filter says 7,804.
    pub fn estimate(&self) -> f64 {
        let ones: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        let zeros = f64::from(2048 - ones).clamp(1.0, 2047.0);
        if ones == 0 { 0.0 } else { ln(zeros / 2048.0) / (2.0 * ln(1.0 - 1.0 / 2048.0)) }
    }

    fn bits_of(ip: IpAddr) -> [usize; 2] {
        let digest = match ip {
            IpAddr::V4(ip) => hash::sha1(&ip.octets()),
            IpAddr::V6(ip) => hash::sha1(&ip.octets()),
        };
        let bit = |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high])) % BITS;
        [bit(digest[0], digest[1]), bit(digest[2], digest[3])]
    }
}

impl core::fmt::Debug for Bloom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bloom(about {:.0})", self.estimate())
    }
}

/// The natural logarithm of a number in (0, 1], which `core` does not have: halved powers of two, then the series of
/// 2 artanh((x-1)/(x+1)) for what is left between 1/2 and 1.
fn ln(mut x: f64) -> f64 {
    let mut halvings = 0.0;
    while x < 0.5 {
        x *= 2.0;
        halvings += 1.0;
    }
    let ratio = (x - 1.0) / (x + 1.0);
    let (square, mut power, mut sum) = (ratio * ratio, ratio, 0.0);
    for n in 0..20u32 {
        sum += power / f64::from(2 * n + 1);
        power *= square;
    }
    2.0 * sum - halvings * core::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_std() {
        for n in 1..=2048 {
            let x = f64::from(n) / 2048.0;
            assert!((ln(x) - x.ln()).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn unions_are_counted() {
        let filter = |range: core::ops::Range<u8>| {
            let mut filter = Bloom::EMPTY;
            range.for_each(|n| filter.insert([10, 0, 0, n].into()));
            filter
        };
        let (mut a, b) = (filter(0..100), filter(50..150));
        assert_eq!(Bloom::EMPTY.estimate(), 0.0);
        assert!((a.estimate() - 100.0).abs() < 8.0, "{a:?}");
        a.merge(&b);
        assert!((a.estimate() - 150.0).abs() < 10.0, "{a:?}");
        assert!(a.may_contain([10, 0, 0, 149].into()));
        assert!(!b.may_contain([10, 0, 0, 3].into()));
        assert_eq!(Bloom::from_slice(a.as_bytes()), Some(a));
        assert_eq!(Bloom::from_slice(&[0; 255]), None);
    }

    #[test]
    fn a_full_filter_is_counted_too() {
        assert!(Bloom([0xff; BLOOM_LEN]).estimate().is_finite());
    }
}
