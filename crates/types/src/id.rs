//! Names of torrents and of peers.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// The SHA-1 of a v1 (or hybrid) info dictionary: what a torrent is called on the wire (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV1(pub [u8; 20]);

/// The SHA-256 of a v2 (or hybrid) info dictionary (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

impl InfoHashV2 {
    /// The first 20 bytes: what handshakes, trackers and the DHT use for a v2 swarm (BEP 52).
    pub fn truncated(&self) -> InfoHashV1 {
        let mut short = [0; 20];
        short.copy_from_slice(&self.0[..20]);
        InfoHashV1(short)
    }
}

/// Every name that one torrent has: v1, v2, or both for a hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InfoHash {
    /// A BEP 3 torrent.
    V1(InfoHashV1),
    /// A BEP 52 torrent.
    V2(InfoHashV2),
    /// A BEP 52 torrent that v1 clients can also read.
    Hybrid(InfoHashV1, InfoHashV2),
}

impl InfoHash {
    /// The v1 name, if it has one.
    pub fn v1(&self) -> Option<InfoHashV1> {
        match *self {
            InfoHash::V1(v1) | InfoHash::Hybrid(v1, _) => Some(v1),
            InfoHash::V2(_) => None,
        }
    }

    /// The v2 name, if it has one.
    pub fn v2(&self) -> Option<InfoHashV2> {
        match *self {
            InfoHash::V2(v2) | InfoHash::Hybrid(_, v2) => Some(v2),
            InfoHash::V1(_) => None,
        }
    }

    /// The 20 bytes under which this torrent is found and greeted: v1 where there is one (of a hybrid that alone, as long as
    /// no v2 pieces pass: docs/adr/0016), else v2 truncated.
    pub fn wire(&self) -> InfoHashV1 {
        match self {
            InfoHash::V1(v1) | InfoHash::Hybrid(v1, _) => *v1,
            InfoHash::V2(v2) => v2.truncated(),
        }
    }

    /// Whether a peer that says these 20 bytes means this torrent: its v1 name, or its v2 name truncated (BEP 52).
    pub fn is_called(&self, name: &InfoHashV1) -> bool {
        self.v1().as_ref() == Some(name) || self.v2().is_some_and(|v2| v2.truncated() == *name)
    }
}

/// Shown as hex: the v1 name where there is one, else the whole v2 name.
impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InfoHash::V1(v1) | InfoHash::Hybrid(v1, _) => v1.fmt(f),
            InfoHash::V2(v2) => v2.fmt(f),
        }
    }
}

/// The 20 bytes by which a client calls itself in one swarm (BEP 3; its prefix is BEP 20's).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// Our own prefix, Azureus style (BEP 20): `RW`, then version 0.1.0.
    pub const PREFIX: &'static [u8; 8] = b"-RW0100-";

    /// An id of our own: the prefix, then 12 characters chosen by `random`, which must be uniform bytes.
    ///
    /// The characters are letters and digits, since some trackers log or compare ids as text.
    pub fn ours(random: [u8; 12]) -> PeerId {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut id = [0; 20];
        id[..8].copy_from_slice(Self::PREFIX);
        for (slot, byte) in id[8..].iter_mut().zip(random) {
            *slot = ALPHABET[usize::from(byte) % ALPHABET.len()];
        }
        PeerId(id)
    }
}

/// Printable characters as they are, others as `.`.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |b: &u8| if b.is_ascii_graphic() { char::from(*b) } else { '.' };
        f.write_str(&self.0.iter().map(shown).collect::<String>())
    }
}

/// What was given is not the hex form of a hash of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseHashError {
    digits: usize,
}

impl fmt::Display for ParseHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} hex digits", self.digits)
    }
}

impl core::error::Error for ParseHashError {}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHashError> {
    let err = ParseHashError { digits: 2 * N };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(err);
    }
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(err);
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(out)
}

macro_rules! hex_text {
    ($name:ident) => {
        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        /// Hex in either case.
        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                parse_hex(text).map($name)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

hex_text!(InfoHashV1);
hex_text!(InfoHashV2);

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn hex_goes_both_ways() {
        let hash: InfoHashV1 = "00112233445566778899AABBccddeeff01020304".parse().unwrap();
        assert_eq!(hash.to_string(), "00112233445566778899aabbccddeeff01020304");
        assert_eq!("0011".parse::<InfoHashV1>().unwrap_err().to_string(), "expected 40 hex digits");
        assert!("+0112233445566778899aabbccddeeff01020304".parse::<InfoHashV1>().is_err());
        assert!("é0112233445566778899aabbccddeeff0102030".parse::<InfoHashV1>().is_err());
    }

    #[test]
    fn v2_swarms_use_the_first_twenty_bytes() {
        let v2 = InfoHashV2(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(InfoHash::V2(v2).wire().0[..], v2.0[..20]);
        let v1 = InfoHashV1([9; 20]);
        assert_eq!(InfoHash::Hybrid(v1, v2).wire(), v1);
        assert_eq!(InfoHash::Hybrid(v1, v2).v2(), Some(v2));
        let called = |torrent: InfoHash| {
            [v1, v2.truncated(), InfoHashV1([0xee; 20])].map(|name| torrent.is_called(&name))
        };
        assert_eq!(called(InfoHash::V1(v1)), [true, false, false]);
        assert_eq!(called(InfoHash::V2(v2)), [false, true, false]);
        assert_eq!(called(InfoHash::Hybrid(v1, v2)), [true, true, false]);
    }

    #[test]
    fn our_peer_id_is_printable() {
        let id = PeerId::ours([0, 1, 61, 62, 255, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(&id.0[..8], PeerId::PREFIX);
        assert!(id.0.iter().all(u8::is_ascii_graphic));
        assert_eq!(format!("{}", PeerId([0; 20])), "....................");
    }
}
