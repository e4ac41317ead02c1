//! Two peers behind NATs find each other with the help of a third (BEP 55).

use super::UT_HOLEPUNCH;
use crate::Error;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// The payload of a `ut_holepunch` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holepunch {
    /// What is to be done, or why it cannot be.
    pub kind: HolepunchKind,
    /// With whom.
    pub addr: SocketAddr,
}

/// What a `ut_holepunch` message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolepunchKind {
    /// To the peer in the middle: bring me together with this peer.
    Rendezvous,
    /// From the peer in the middle: connect to this peer over uTP now.
    Connect,
    /// From the peer in the middle: I cannot.
    Error(HolepunchError),
}

/// Why a rendezvous cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HolepunchError(pub u32);

impl HolepunchError {
    /// The target is not an address that a peer can have.
    pub const NO_SUCH_PEER: HolepunchError = HolepunchError(1);
    /// The peer in the middle is not connected to the target.
    pub const NOT_CONNECTED: HolepunchError = HolepunchError(2);
    /// The target does not know this extension.
    pub const NO_SUPPORT: HolepunchError = HolepunchError(3);
    /// The target is the peer in the middle.
    pub const NO_SELF: HolepunchError = HolepunchError(4);
}

impl Holepunch {
    /// The message's payload.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, error) = match self.kind {
            HolepunchKind::Rendezvous => (0, 0),
            HolepunchKind::Connect => (1, 0),
            HolepunchKind::Error(HolepunchError(error)) => (2, error),
        };
        let mut out = Vec::with_capacity(24);
        out.extend([kind, u8::from(self.addr.is_ipv6())]);
        match self.addr.ip() {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
        out.extend(self.addr.port().to_be_bytes());
        out.extend(u32::to_be_bytes(error));
        out
    }

    /// Reads a message's payload. The error code may be absent where there is no error.
    ///
    /// # Errors
    /// A kind of message or address that BEP 55 does not name, or another length than theirs.
    pub fn decode(payload: &[u8]) -> Result<Holepunch, Error> {
        let error = |what| Error::Extension { name: UT_HOLEPUNCH, what };
        let &[kind, family, ref rest @ ..] = payload else { return Err(error("too short")) };
        let (ip, rest) = match family {
            0 => split::<4>(rest).map(|(ip, rest)| (IpAddr::from(ip), rest)),
            1 => split::<16>(rest).map(|(ip, rest)| (IpAddr::from(ip), rest)),
            _ => return Err(error("neither an IPv4 nor an IPv6 address")),
        }
        .ok_or(error("too short"))?;
        let (port, rest) = split(rest).ok_or(error("too short"))?;
        let kind = match (kind, rest.len()) {
            (0, 0 | 4) => HolepunchKind::Rendezvous,
            (1, 0 | 4) => HolepunchKind::Connect,
            (2, 4) => {
                HolepunchKind::Error(HolepunchError(rest.iter().fold(0, |n, &b| n << 8 | u32::from(b))))
            }
            (0..=2, _) => return Err(error("an error code of 4 bytes is due at the end")),
            _ => return Err(error("neither rendezvous, connect nor error")),
        };
        Ok(Holepunch { kind, addr: SocketAddr::new(ip, u16::from_be_bytes(port)) })
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(head, rest)| (*head, rest))
}

/// What the code means, in lower case.
impl fmt::Display for HolepunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            HolepunchError::NO_SUCH_PEER => f.write_str("no such peer"),
            HolepunchError::NOT_CONNECTED => f.write_str("not connected to that peer"),
            HolepunchError::NO_SUPPORT => f.write_str("that peer does not know hole punching"),
            HolepunchError::NO_SELF => f.write_str("that peer is the one that was asked"),
            HolepunchError(code) => write!(f, "unknown error {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn error(payload: &[u8]) -> alloc::string::String {
        Holepunch::decode(payload).unwrap_err().to_string()
    }

    #[test]
    fn layout_is_that_of_bep_55() {
        let connect = Holepunch { kind: HolepunchKind::Connect, addr: "1.2.3.4:6881".parse().unwrap() };
        assert_eq!(connect.encode(), [1, 0, 1, 2, 3, 4, 0x1a, 0xe1, 0, 0, 0, 0]);
        let failed = HolepunchKind::Error(HolepunchError::NO_SUPPORT);
        let failed = Holepunch { kind: failed, addr: "[::1]:1".parse().unwrap() };
        let bytes = failed.encode();
        assert_eq!(bytes[..2], [2, 1]);
        assert_eq!(bytes[17..], [1, 0, 1, 0, 0, 0, 3]);
        assert_eq!(Holepunch::decode(&bytes), Ok(failed));
        assert_eq!(Holepunch::decode(&connect.encode()[..8]), Ok(connect), "without an error code");
    }

    #[test]
    fn malformed_messages_are_refused() {
        assert_eq!(error(&[]), "ut_holepunch message: too short");
        assert_eq!(error(&[0, 1, 0, 0, 0, 0, 0, 0]), "ut_holepunch message: too short");
        assert_eq!(error(&[0, 0, 1, 2, 3, 4, 5]), "ut_holepunch message: too short");
        assert_eq!(
            error(&[0, 2, 1, 2, 3, 4, 5, 6]),
            "ut_holepunch message: neither an IPv4 nor an IPv6 address"
        );
        assert_eq!(
            error(&[3, 0, 1, 2, 3, 4, 5, 6]),
            "ut_holepunch message: neither rendezvous, connect nor error"
        );
        let no_code = "ut_holepunch message: an error code of 4 bytes is due at the end";
        assert_eq!(error(&[2, 0, 1, 2, 3, 4, 5, 6]), no_code);
        assert_eq!(error(&[0, 0, 1, 2, 3, 4, 5, 6, 7]), no_code);
    }
}
