//! Which addresses are not of the Internet.

use core::net::IpAddr;

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
