//! Peers tell each other of peers (BEP 11).

use super::{UT_PEX, decode_dict};
use crate::{Error, MAX_PEX_PEERS};
use alloc::vec::Vec;
use bencode::{DictEncoder, Value};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The payload of a `ut_pex` message: what changed since the last one. IPv4 and IPv6 peers stand together here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pex {
    /// Peers that the sender is connected to now, the IPv4 ones first when decoded.
    pub added: Vec<PexPeer>,
    /// Peers that it is connected to no longer, the IPv4 ones first when decoded.
    pub dropped: Vec<SocketAddr>,
}

/// A peer that another peer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PexPeer {
    /// Where it listens. The port may be 0, the address anything.
    pub addr: SocketAddr,
    /// What else is known of it.
    pub flags: PexFlags,
}

/// What is known of a peer; bits that BEP 11 does not name are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encryption.
    pub const ENCRYPTION: PexFlags = PexFlags(0x01);
    /// It is a seed, or wants nothing more (BEP 21).
    pub const SEED: PexFlags = PexFlags(0x02);
    /// It speaks uTP.
    pub const UTP: PexFlags = PexFlags(0x04);
    /// It knows hole punching (BEP 55).
    pub const HOLEPUNCH: PexFlags = PexFlags(0x08);
    /// The sender dialled it, so it can be reached.
    pub const REACHABLE: PexFlags = PexFlags(0x10);

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: PexFlags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl Pex {
    /// The message's payload; lists without an entry are left out.
    pub fn encode(&self) -> Vec<u8> {
        bencode::encode_dict(|dict| {
            for (v6, added, flags, dropped) in
                [(false, ADDED, ADDED_F, DROPPED), (true, ADDED6, ADDED6_F, DROPPED6)]
            {
                let peers = || self.added.iter().filter(move |peer| peer.addr.is_ipv6() == v6);
                put(dict, added, &compact(peers().map(|peer| peer.addr)));
                put(dict, flags, &peers().map(|peer| peer.flags.0).collect::<Vec<_>>());
                put(
                    dict,
                    dropped,
                    &compact(self.dropped.iter().copied().filter(|addr| addr.is_ipv6() == v6)),
                );
            }
        })
    }

    /// Reads a message's payload. Of each list the first [`MAX_PEX_PEERS`] are kept; flags may be absent.
    ///
    /// # Errors
    /// Not a dictionary, or a list that does not consist of whole addresses.
    pub fn decode(payload: &[u8]) -> Result<Pex, Error> {
        let (document, _) = decode_dict(UT_PEX, payload)?;
        let dict = document.root();
        let mut added = peers(dict, ADDED, ADDED_F, v4)?;
        added.append(&mut peers(dict, ADDED6, ADDED6_F, v6)?);
        let mut dropped = addresses(dict, DROPPED, v4)?;
        dropped.append(&mut addresses(dict, DROPPED6, v6)?);
        Ok(Pex { added, dropped })
    }
}

const ADDED: &str = "added";
const ADDED_F: &str = "added.f";
const ADDED6: &str = "added6";
const ADDED6_F: &str = "added6.f";
const DROPPED: &str = "dropped";
const DROPPED6: &str = "dropped6";

fn put(dict: &mut DictEncoder<'_>, key: &str, list: &[u8]) {
    if !list.is_empty() {
        dict.bytes(key, list);
    }
}

fn compact(addrs: impl Iterator<Item = SocketAddr>) -> Vec<u8> {
    let mut out = Vec::new();
    for addr in addrs {
        match addr.ip() {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
        out.extend(addr.port().to_be_bytes());
    }
    out
}

fn peers<const N: usize>(
    dict: Value<'_>,
    key: &str,
    flags_key: &str,
    addr: impl Fn(&[u8; N]) -> SocketAddr,
) -> Result<Vec<PexPeer>, Error> {
    let flags = dict.get(flags_key).and_then(Value::as_bytes).unwrap_or_default();
    let flags = flags.iter().copied().chain(core::iter::repeat(0)).map(PexFlags);
    let addrs = addresses(dict, key, addr)?;
    Ok(addrs.into_iter().zip(flags).map(|(addr, flags)| PexPeer { addr, flags }).collect())
}

fn addresses<const N: usize>(
    dict: Value<'_>,
    key: &str,
    addr: impl Fn(&[u8; N]) -> SocketAddr,
) -> Result<Vec<SocketAddr>, Error> {
    let error = Error::Extension { name: UT_PEX, what: "a list of peers that are not whole addresses" };
    let Some(list) = dict.get(key) else { return Ok(Vec::new()) };
    match list.as_bytes().ok_or(error)?.as_chunks::<N>() {
        (addrs, []) => Ok(addrs.iter().take(MAX_PEX_PEERS).map(addr).collect()),
        _ => Err(error),
    }
}

fn v4(&[a, b, c, d, port_high, port_low]: &[u8; 6]) -> SocketAddr {
    (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([port_high, port_low])).into()
}

fn v6(&[ip @ .., port_high, port_low]: &[u8; 18]) -> SocketAddr {
    (Ipv6Addr::from(ip), u16::from_be_bytes([port_high, port_low])).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn layout_is_that_of_bep_11() {
        let pex = Pex {
            added: vec![
                PexPeer { addr: "1.2.3.4:6881".parse().unwrap(), flags: PexFlags::SEED },
                PexPeer { addr: "[::1]:1".parse().unwrap(), flags: PexFlags(0x14) },
            ],
            dropped: vec!["5.6.7.8:9".parse().unwrap()],
        };
        let bytes = b"d5:added6:\x01\x02\x03\x04\x1a\xe17:added.f1:\x02\
            6:added618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x018:added6.f1:\x14\
            7:dropped6:\x05\x06\x07\x08\0\te";
        assert_eq!(pex.encode().escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(Pex::decode(bytes), Ok(pex.clone()));
        assert!(pex.added[1].flags.contains(PexFlags::UTP) && !pex.added[1].flags.contains(PexFlags::SEED));
    }

    #[test]
    fn flags_may_be_absent_and_unknown_keys_are_ignored() {
        let pex = Pex::decode(
            b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x01\x02\x03\x05\x1a\xe17:added.f1:\x025:otherlee",
        );
        let flags: Vec<_> = pex.unwrap().added.iter().map(|peer| peer.flags).collect();
        assert_eq!(flags, [PexFlags::SEED, PexFlags(0)]);
        assert_eq!(Pex::decode(b"de"), Ok(Pex::default()));
    }

    #[test]
    fn partial_addresses_are_refused() {
        for payload in [&b"d5:added5:12345e"[..], b"d8:dropped617:12345678901234567e", b"d5:addedi1ee"] {
            let error = Pex::decode(payload).unwrap_err().to_string();
            assert_eq!(error, "ut_pex message: a list of peers that are not whole addresses");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let peer = PexPeer { addr: "1.2.3.4:5".parse().unwrap(), flags: PexFlags(0) };
        let pex = Pex { added: vec![peer; MAX_PEX_PEERS + 1], dropped: vec![peer.addr; MAX_PEX_PEERS + 1] };
        let kept = Pex::decode(&pex.encode()).unwrap();
        assert_eq!((kept.added.len(), kept.dropped.len()), (MAX_PEX_PEERS, MAX_PEX_PEERS));
    }
}
