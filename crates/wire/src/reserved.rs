//! The eight reserved bytes of the handshake.

use core::fmt;

/// What a peer says it can do, in the eight reserved bytes of its handshake (BEP 4).
///
/// A feature may be used on a connection if both sides announced it: `ours & theirs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reserved(pub [u8; 8]);

/// A feature's byte and bit, with its name for people.
type Bit = (usize, u8, &'static str);

const AZUREUS: Bit = (0, 0x80, "Azureus messaging");
const LOCATION: Bit = (2, 0x08, "location-aware");
const EXTENDED: Bit = (5, 0x10, "extended");
const DHT: Bit = (7, 0x01, "DHT");
const XBT_PEX: Bit = (7, 0x02, "XBT peer exchange");
const FAST: Bit = (7, 0x04, "fast");
const NAT: Bit = (7, 0x08, "NAT traversal");
const V2: Bit = (7, 0x10, "v2");

/// Every bit with a known meaning (BEP 4, 5, 6, 10, 52), the ones in use first.
const KNOWN: [Bit; 8] = [FAST, EXTENDED, DHT, V2, AZUREUS, LOCATION, XBT_PEX, NAT];

impl Reserved {
    /// Nothing announced.
    pub const NONE: Reserved = Reserved([0; 8]);

    /// Whether the fast extension is spoken (BEP 6).
    pub const fn fast(&self) -> bool {
        self.has(FAST)
    }

    /// Whether the extension protocol is spoken (BEP 10).
    pub const fn extended(&self) -> bool {
        self.has(EXTENDED)
    }

    /// Whether there is a DHT node (BEP 5).
    pub const fn dht(&self) -> bool {
        self.has(DHT)
    }

    /// Whether a hybrid torrent's v1 swarm may be upgraded to v2 (BEP 52).
    pub const fn v2(&self) -> bool {
        self.has(V2)
    }

    /// The same, and the fast extension (BEP 6).
    #[must_use]
    pub const fn with_fast(self) -> Reserved {
        self.with(FAST)
    }

    /// The same, and the extension protocol (BEP 10).
    #[must_use]
    pub const fn with_extended(self) -> Reserved {
        self.with(EXTENDED)
    }

    /// The same, and a DHT node (BEP 5).
    #[must_use]
    pub const fn with_dht(self) -> Reserved {
        self.with(DHT)
    }

    /// The same, and the upgrade to v2 (BEP 52).
    #[must_use]
    pub const fn with_v2(self) -> Reserved {
        self.with(V2)
    }

    const fn has(&self, (byte, bit, _): Bit) -> bool {
        self.0[byte] & bit != 0
    }

    const fn with(mut self, (byte, bit, _): Bit) -> Reserved {
        self.0[byte] |= bit;
        self
    }
}

/// What both sides announced.
impl core::ops::BitAnd for Reserved {
    type Output = Reserved;

    fn bitand(self, other: Reserved) -> Reserved {
        Reserved(core::array::from_fn(|i| self.0[i] & other.0[i]))
    }
}

/// The names of what is announced, `fast, extended, DHT`; bits that nobody gave a meaning are shown as hex.
impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unknown = *self;
        let mut separator = "";
        for (byte, bit, name) in KNOWN.into_iter().filter(|&bit| self.has(bit)) {
            write!(f, "{separator}{name}")?;
            unknown.0[byte] &= !bit;
            separator = ", ";
        }
        match u64::from_be_bytes(unknown.0) {
            0 if separator.is_empty() => f.write_str("none"),
            0 => Ok(()),
            bits => write!(f, "{separator}unknown bits {bits:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bits_stand_where_the_beps_put_them() {
        assert_eq!(
            Reserved::NONE.with_dht().0,
            [0, 0, 0, 0, 0, 0, 0, 0x01],
            "BEP 5: last bit of the 8 bytes"
        );
        assert_eq!(
            Reserved::NONE.with_fast().0,
            [0, 0, 0, 0, 0, 0, 0, 0x04],
            "BEP 6: third bit from the right"
        );
        assert_eq!(
            Reserved::NONE.with_extended().0,
            [0, 0, 0, 0, 0, 0x10, 0, 0],
            "BEP 10: bit 20 from the right"
        );
        assert_eq!(
            Reserved::NONE.with_v2().0,
            [0, 0, 0, 0, 0, 0, 0, 0x10],
            "BEP 52: fourth highest of the last byte"
        );
        let all = Reserved([0xff; 8]);
        assert!(all.fast() && all.extended() && all.dht() && all.v2());
        assert!(
            !Reserved::NONE.fast()
                && !Reserved::NONE.extended()
                && !Reserved::NONE.dht()
                && !Reserved::NONE.v2()
        );
    }

    #[test]
    fn is_shown_by_name() {
        assert_eq!(Reserved::NONE.to_string(), "none");
        assert_eq!(Reserved::NONE.with_dht().with_extended().with_fast().to_string(), "fast, extended, DHT");
        assert_eq!(
            Reserved([0x80, 0, 0, 0, 0, 0, 0, 0x20]).to_string(),
            "Azureus messaging, unknown bits 0x20"
        );
        assert_eq!(Reserved([0, 1, 0, 0, 0, 0, 0, 0]).to_string(), "unknown bits 0x1000000000000");
    }

    #[test]
    fn both_sides_must_announce() {
        let common = Reserved::NONE.with_fast().with_dht() & Reserved::NONE.with_fast().with_v2();
        assert_eq!(common, Reserved::NONE.with_fast());
    }
}
