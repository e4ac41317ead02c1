//! Addresses: families, compact forms (BEP 5 and 32), and which of them count as one neighbourhood.

use crate::NodeId;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use types::Zone;
/// Node ids are not tied to such addresses (BEP 42 lists those of IPv4; a provider's behind its NAT, 100.64/10, are as
/// little seen from outside), and any number of nodes may share one.
pub use types::is_local;

/// One of the two DHTs (BEP 32): they share nothing but nodes that take part in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Over IPv4.
    V4,
    /// Over IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// That of an address.
    pub fn of(addr: &SocketAddr) -> Family {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Family::V4 => 0,
            Family::V6 => 1,
        }
    }

    /// Bytes of a compact address and port.
    pub(crate) fn compact_len(self) -> usize {
        match self {
            Family::V4 => 6,
            Family::V6 => 18,
        }
    }
}

/// A node's id and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// What it is called.
    pub id: NodeId,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// Appends an address and port in compact form: 6 bytes for IPv4, 18 for IPv6.
pub(crate) fn put_compact(out: &mut Vec<u8>, addr: &SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&addr.port().to_be_bytes());
}

/// An address and port in compact form.
pub(crate) fn compact(addr: &SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(Family::of(addr).compact_len());
    put_compact(&mut out, addr);
    out
}

/// Reads a compact address and port, of either family.
pub(crate) fn parse_compact(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// Appends a node in compact form: its id, then its address.
pub(crate) fn put_contact(out: &mut Vec<u8>, contact: &Contact) {
    out.extend_from_slice(&contact.id.0);
    put_compact(out, &contact.addr);
}

/// The nodes of a compact list; what is left over at its end is dropped.
pub(crate) fn parse_contacts(bytes: &[u8], family: Family) -> impl Iterator<Item = Contact> + '_ {
    bytes.chunks_exact(20 + family.compact_len()).filter_map(|node| {
        let (id, addr) = node.split_first_chunk::<20>()?;
        Some(Contact { id: NodeId(*id), addr: parse_compact(addr)? })
    })
}

/// Whether somebody may be told of an address: of those inside a network only who is inside as well.
pub(crate) fn may_tell(of: &SocketAddr, to: &SocketAddr) -> bool {
    !is_local(of.ip()) || is_local(to.ip())
}

/// Whether something can be sent there, and something may: who is told of a node by a stranger from the Internet must
/// not be made to talk to its own network, and nobody to a metadata service.
pub(crate) fn may_send(to: &SocketAddr, told_by: Option<&SocketAddr>) -> bool {
    let ip = to.ip();
    // Who is on our link is heard from itself alone.
    let is_forbidden = match told_by {
        Some(_) => Zone::of(ip) == Zone::Forbidden,
        None => Zone::is_metadata_service(ip),
    };
    let is_unicast = match ip {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && v4.octets()[0] != 0,
        // A mapped address would be an IPv4 packet past the rules for IPv4.
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified() && v6.to_ipv4_mapped().is_none(),
    };
    let leads_inside = told_by.is_some_and(|by| !may_tell(to, by));
    to.port() != 0 && is_unicast && !is_forbidden && !leads_inside
}

/// Hosts that may well have one owner: a /24 of IPv4, a /56 of IPv6, which is what a site gets at least
/// (RFC 6177). `None` for local addresses, which are not counted.
pub(crate) fn subnet(ip: IpAddr) -> Option<IpAddr> {
    if is_local(ip) {
        return None;
    }
    Some(match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) & 0xffff_ff00).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & (u128::MAX << 72)).into(),
    })
}

/// What one host counts as where hosts are counted: its address, or its /56, of which it may have all addresses; on a
/// local network, where one machine may well run many nodes, each with its port.
pub(crate) fn source(addr: &SocketAddr) -> SocketAddr {
    match (subnet(addr.ip()), addr.ip()) {
        (None, _) => *addr,
        (Some(_), ip @ IpAddr::V4(_)) => SocketAddr::new(ip, 0),
        (Some(net), IpAddr::V6(_)) => SocketAddr::new(net, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn compact_forms_go_both_ways() {
        for text in ["1.2.3.4:6881", "[2001:db8::1]:65535"] {
            let bytes = compact(&addr(text));
            assert_eq!(bytes.len(), Family::of(&addr(text)).compact_len());
            assert_eq!(parse_compact(&bytes), Some(addr(text)));
        }
        assert_eq!(parse_compact(&[1, 2, 3, 4, 5]), None);
        let node = Contact { id: NodeId([7; 20]), addr: addr("1.2.3.4:5") };
        let mut bytes = Vec::new();
        put_contact(&mut bytes, &node);
        bytes.extend_from_slice(b"rest");
        assert_eq!(parse_contacts(&bytes, Family::V4).collect::<Vec<_>>(), [node]);
    }

    #[test]
    fn strangers_do_not_lead_us_inside() {
        let (stranger, neighbour) = (addr("8.8.8.8:1"), addr("192.168.0.9:1"));
        assert!(may_send(&addr("9.9.9.9:1"), Some(&stranger)));
        assert!(!may_send(&addr("192.168.0.1:1"), Some(&stranger)));
        assert!(!may_send(&addr("[::1]:1"), Some(&stranger)));
        assert!(may_send(&addr("192.168.0.1:1"), Some(&neighbour)));
        assert!(may_send(&addr("127.0.0.1:1"), None), "the owner may name any");
        for never in
            ["1.2.3.4:0", "0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1"]
        {
            assert!(!may_send(&addr(never), None), "{never}");
        }
        assert!(!may_send(&addr("[::ffff:1.2.3.4]:1"), None));
        for service in [
            "169.254.169.254:80",
            "168.63.129.16:80",
            "100.100.100.200:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[fd00:ec2::254]:80",
        ] {
            for told_by in [None, Some(&stranger), Some(&neighbour)] {
                assert!(!may_send(&addr(service), told_by), "{service} by {told_by:?}");
            }
        }
        assert!(
            may_send(&addr("169.254.1.1:1"), None) && !may_send(&addr("169.254.1.1:1"), Some(&neighbour))
        );
    }

    #[test]
    fn neighbourhoods() {
        assert_eq!(subnet(addr("1.2.3.4:1").ip()), subnet(addr("1.2.3.200:9").ip()));
        assert_ne!(subnet(addr("1.2.3.4:1").ip()), subnet(addr("1.2.4.4:1").ip()));
        assert_eq!(subnet(addr("[2001:db8:0:1::1]:1").ip()), subnet(addr("[2001:db8:0:ff::2]:9").ip()));
        assert_ne!(subnet(addr("[2001:db8:0:100::1]:1").ip()), subnet(addr("[2001:db8::1]:1").ip()));
        assert_eq!(subnet(addr("127.0.0.1:1").ip()), None);
        assert_eq!(source(&addr("1.2.3.4:1")), source(&addr("1.2.3.4:2")));
        assert_ne!(source(&addr("127.0.0.1:1")), source(&addr("127.0.0.1:2")));
        assert_eq!(source(&addr("[2001:db8::1]:1")), source(&addr("[2001:db8::2]:2")));
    }
}
