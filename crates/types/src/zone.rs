//! Which addresses a stranger's URL may lead to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose an address is, as far as requests go that a stranger's URL makes us send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// Of the public internet: what no registry has set apart (RFC 6890) and anybody can have.
    Public,
    /// Of a private network or of this machine, or set apart for something else.
    Private,
    /// Nobody's to name, whatever the owner allows: no one host's, of one link only, or of a service that tells whoever
    /// asks from inside a machine about that machine (the metadata services of clouds).
    Forbidden,
}

impl Zone {
    /// The zone of an address. One by which another is reached (mapped, translated, tunnelled) is of the other's zone where
    /// that is the stricter one.
    pub fn of(ip: IpAddr) -> Zone {
        match ip.to_canonical() {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }

    /// Whether a service that tells of the machine may be at the address, or behind it. What is left of
    /// [`Zone::Forbidden`] is no one host's, or a host's own address on one link, as hosts there tell each other.
    pub fn is_metadata_service(ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => is_service(ip),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => ip.segments()[4..] == [0, 0, 0xa9fe, 0xa9fe],
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && of_v6(ip) == Zone::Forbidden,
        }
    }
}

fn of_v4(ip: Ipv4Addr) -> Zone {
    let nobody = ip.octets()[0] == 0 || ip.is_multicast() || ip.octets()[0] >= 240;
    match nobody || tells(ip) {
        true => Zone::Forbidden,
        false if is_set_apart_v4(ip) => Zone::Private,
        false => Zone::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Zone {
    let segments = ip.segments();
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        return of_v4(v4(high, low)); // NAT64's well-known prefix (RFC 6052)
    }
    /// Amazon's `fd00:ec2::254` and what lies beside it, Google's, Scaleway's, Akamai's.
    const METADATA: [[u16; 2]; 4] = [[0xfd00, 0xec2], [0xfd20, 0xce], [0xfd00, 0x42], [0xfd00, 0xa9fe]];
    let [first, second, ..] = segments;
    let link_local = first & 0xffc0 == 0xfe80;
    let nobody =
        ip.is_unspecified() || ip.is_multicast() || link_local || METADATA.contains(&[first, second]);
    if nobody || tunnelled(segments).into_iter().flatten().any(tells) {
        return Zone::Forbidden;
    }
    match isatap(segments).map(of_v4) {
        Some(zone) if zone > Zone::Public => zone,
        _ if is_set_apart_v6(first, second) => Zone::Private,
        _ => Zone::Public,
    }
}

/// Whether a metadata service may be there.
fn tells(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || is_service(ip)
}

/// Whether one is known to be there, or beside it.
fn is_service(ip: Ipv4Addr) -> bool {
    /// Alibaba's, Oracle's, and Azure's, whose address is a public one; Tencent's and Scaleway's.
    const METADATA: [[u8; 4]; 5] =
        [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16], [169, 254, 0, 23], [169, 254, 42, 42]];
    // Most clouds' is 169.254.169.254; Amazon's containers have theirs in the next network.
    matches!(ip.octets(), [169, 254, 169 | 170, _]) || METADATA.contains(&ip.octets())
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

/// The IPv4 addresses that may be reached through an IPv6 one that is not public itself.
fn tunnelled(segments: [u16; 8]) -> [Option<Ipv4Addr>; 4] {
    let [_, a, b, c, d, e, high, low] = segments;
    let last = Some(v4(high, low));
    match segments {
        // IPv4-compatible (RFC 4291), and translated without state (RFC 2765).
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [last, None, None, None],
        [0x2002, ..] => [Some(v4(a, b)), None, None, None], // 6to4 (RFC 3056)
        [0x2001, 0, ..] => [Some(v4(b, c)), Some(v4(!high, !low)), None, None], // Teredo (RFC 4380)
        // NAT64 with a prefix of the network's own (RFC 8215), of 48, 56, 64 or 96 bits; 8 bits in the middle are free.
        [0x64, 0xff9b, 1, ..] => {
            let join = |parts: [u16; 2]| Some(v4(parts[0], parts[1]));
            let of_48 = join([c, d << 8 | e >> 8]);
            let of_56 = join([c << 8 | d & 0xff, e]);
            let of_64 = join([d << 8 | e >> 8, e << 8 | high >> 8]);
            [of_48, of_56, of_64, last]
        }
        _ => [None; 4],
    }
}

/// The IPv4 address of a host that is reached through an interface of the ISATAP kind (RFC 5214), under any prefix.
fn isatap(segments: [u16; 8]) -> Option<Ipv4Addr> {
    match segments {
        [.., 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    }
}

/// Of what is not [`Zone::Forbidden`] anyway.
fn is_set_apart_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    match a {
        10 | 127 => true,
        100 => b & 0xc0 == 64,
        172 => b & 0xf0 == 16,
        192 => b == 168 || b == 0 && (c == 0 || c == 2) || b == 88 && c == 99,
        198 => b & 0xfe == 18 || b == 51 && c == 100,
        203 => b == 0 && c == 113,
        _ => false,
    }
}

/// All but global unicast, and what is set apart in that: protocol assignments (Teredo among them), documentation, 6to4.
fn is_set_apart_v6(first: u16, second: u16) -> bool {
    let in_global = match first {
        0x2001 => second < 0x200 || second == 0xdb8,
        0x2002 => true,
        0x3fff => second < 0x1000,
        _ => false,
    };
    first & 0xe000 != 0x2000 || in_global
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(zone: Zone, text: &str) {
        for ip in text.split_whitespace().map(|ip| ip.parse().unwrap()) {
            assert_eq!(Zone::of(ip), zone, "{ip}");
        }
    }

    #[test]
    fn public_is_what_anybody_can_have() {
        all_are(
            Zone::Public,
            "1.1.1.1 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 223.255.255.255
            168.63.129.17 2606:4700::1111 2001:200::1 2a00::1 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2a00::5efe:1.1.1.1",
        );
    }

    #[test]
    fn private_is_what_is_set_apart() {
        all_are(
            Zone::Private,
            "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 198.18.0.1 192.0.2.1
            ::1 fd00::1 fc00::1 2001:db8::1 2002:a00:1::1 2001::1 3fff::1 ::ffff:127.0.0.1 64:ff9b::10.0.0.1
            ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b:1::10.0.0.1 64:ff9b:1::1.1.1.1 2a00::5efe:10.0.0.1 2002:101:101::1",
        );
    }

    #[test]
    fn some_are_nobody_s_to_name() {
        all_are(
            Zone::Forbidden,
            "0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 168.63.129.16 224.0.0.1
            255.255.255.255 :: ff02::1 fe80::1 fd00:ec2::254 fd20:ce::254 fd00:42::42 fd00:a9fe:a9fe::1",
        );
    }

    #[test]
    fn hosts_of_a_link_are_no_services() {
        let is_service = |text: &str| Zone::is_metadata_service(text.parse().unwrap());
        for ip in [
            "169.254.1.1",
            "fe80::1",
            "::ffff:169.254.1.1",
            "10.0.0.1",
            "1.1.1.1",
            "::",
            "ff02::1",
            "0.0.0.0",
        ] {
            assert!(!is_service(ip), "{ip}");
        }
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.23",
            "168.63.129.16",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::169.254.1.1",
            "2002:a9fe:a9fe::1",
            "fe80::a9fe:a9fe",
            "fd00:ec2::254",
        ] {
            assert!(is_service(ip), "{ip}");
        }
    }

    /// 169.254.169.254 and 100.100.100.200 in each form in which an IPv6 address can carry them.
    #[test]
    fn metadata_services_are_found_behind_other_addresses() {
        all_are(
            Zone::Forbidden,
            "::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::169.254.169.254 ::ffff:0:169.254.169.254
            64:ff9b::169.254.169.254 64:ff9b::6464:64c8 2002:a9fe:a9fe::1 2002:6464:64c8::
            2001:0:a9fe:a9fe::1 2001:0:101:101:0:0:5601:5601 2a00::5efe:a9fe:a9fe 2a00::200:5efe:6464:64c8
            64:ff9b:1::169.254.169.254 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe:0:101 64:ff9b:1:0:a9:fea9:fe00:0
            64:ff9b:1:6464:ff64:c8ff:101:101",
        );
    }
}
