//! Which addresses are not of the Internet, and which are the same.

use core::net::{IpAddr, Ipv4Addr};

/// The address in one spelling: an IPv4 address as such, also if it is mapped into IPv6 (RFC 4291) or translated by NAT64's
/// well-known prefix (RFC 6052).
pub fn plain_ip(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into()
            }
            _ => v6.into(),
        },
        v4 => v4,
    }
}

/// Whether the address is of this host or of a network that is not part of the Internet: loopback, link-local, private
/// (RFC 1918), of a provider behind its NAT (RFC 6598) or unique local (RFC 4193); an IPv4 address may be mapped into IPv6.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let plain = |text: &str| plain_ip(text.parse().unwrap());
        for same in ["9.9.9.9", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9"] {
            assert_eq!(plain(same), IpAddr::from([9, 9, 9, 9]), "{same}");
        }
        for other in ["2001:db8::1", "64:ff9b:1::9.9.9.9", "::9.9.9.9"] {
            assert_eq!(plain(other), other.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn the_internet_is_not_local() {
        let is_local = |text: &str| is_local(text.parse().unwrap());
        for ip in
            ["127.9.9.9", "10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "100.127.9.9"]
        {
            assert!(is_local(ip), "{ip}");
        }
        for ip in ["::1", "fe80::1", "fd00::1"] {
            assert!(is_local(ip), "{ip}");
        }
        assert!(is_local("::ffff:10.0.0.1"));
        for ip in
            ["8.8.8.8", "172.32.0.1", "100.63.0.1", "100.128.0.1", "0.0.0.0", "2001:db8::1", "::ffff:8.8.8.8"]
        {
            assert!(!is_local(ip), "{ip}");
        }
    }
}
