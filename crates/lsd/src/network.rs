//! The two multicast groups, and what counts as a local network.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const PORT: u16 = 6771;

/// The group over IPv4, which is organization-local (BEP 14).
pub const GROUP_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 192, 152, 143), PORT);

/// The group over IPv6, which is site-local (BEP 14).
pub const GROUP_V6: SocketAddrV6 =
    SocketAddrV6::new(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f), PORT, 0, 0);

/// One of the two groups that everybody listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// [`GROUP_V4`].
    V4,
    /// [`GROUP_V6`].
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// Where datagrams go.
    pub const fn group(self) -> SocketAddr {
        match self {
            Family::V4 => SocketAddr::V4(GROUP_V4),
            Family::V6 => SocketAddr::V6(GROUP_V6),
        }
    }
}

/// A network that this host is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// An address in it.
    pub ip: IpAddr,
    /// How many bits all of its addresses have in common; none if there are more than an address has.
    pub prefix: u8,
}

impl Subnet {
    /// Whether the address is one of it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differing = match (self.ip, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        self.prefix > 0 && u32::from(self.prefix) <= differing.leading_zeros().min(width(ip))
    }
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn groups_are_those_of_bep_14() {
        assert_eq!(
            Family::BOTH.map(|family| family.group().to_string()),
            ["239.192.152.143:6771", "[ff15::efc0:988f]:6771"]
        );
    }

    #[test]
    fn a_subnet_has_its_addresses_and_no_others() {
        let subnet = |text: &str, prefix| Subnet { ip: text.parse().unwrap(), prefix };
        let has = |subnet: Subnet, ip: &str| subnet.contains(ip.parse().unwrap());
        assert!(has(subnet("203.0.113.9", 24), "203.0.113.200"));
        assert!(!has(subnet("203.0.113.9", 24), "203.0.112.9"));
        assert!(has(subnet("203.0.113.9", 32), "203.0.113.9"));
        assert!(!has(subnet("203.0.113.9", 32), "203.0.113.8"));
        assert!(!has(subnet("203.0.113.9", 33), "203.0.113.9"), "no such network");
        assert!(!has(subnet("0.0.0.0", 0), "8.8.8.8"), "the world is not local");
        assert!(has(subnet("2001:db8::1", 64), "2001:db8::ffff:1"));
        assert!(!has(subnet("2001:db8::1", 64), "2001:db8:0:1::1"));
        assert!(!has(subnet("::", 1), "0.0.0.0"), "another family");
    }

    proptest! {
        #[test]
        fn the_prefix_decides(a: u32, b: u32, prefix in 1u8..=32) {
            let subnet = Subnet { ip: Ipv4Addr::from_bits(a).into(), prefix };
            let common = (a ^ b).checked_shr(u32::from(32 - prefix)) == Some(0);
            prop_assert_eq!(subnet.contains(Ipv4Addr::from_bits(b).into()), common);
        }
    }
}
