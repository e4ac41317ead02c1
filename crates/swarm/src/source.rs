//! Who told an address, and whom an address may be told to.

use core::net::{IpAddr, SocketAddr};
use types::Zone;

/// Who told an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerSource {
    /// The user: never forgotten to make room for others, and tried for ever.
    User,
    /// A tracker.
    Tracker,
    /// The peer itself, in its extension handshake (BEP 10).
    Peer,
    /// The peer itself, to everybody on the local network (BEP 14).
    Lsd,
    /// We ourselves: it answered when we dialed it in an earlier run. Who told it then is forgotten: never about a private
    /// torrent.
    Earlier,
    /// The DHT (BEP 5): anybody's word, and never about a private torrent (BEP 27).
    Dht,
    /// Another peer (BEP 11, 55): likewise.
    Pex,
    /// A magnet link (BEP 9, `x.pe`): whoever passed it on may have written it, and never about a private torrent.
    Link,
}

impl PeerSource {
    pub(crate) const ALL: [PeerSource; 8] = [
        PeerSource::User,
        PeerSource::Tracker,
        PeerSource::Peer,
        PeerSource::Lsd,
        PeerSource::Earlier,
        PeerSource::Dht,
        PeerSource::Pex,
        PeerSource::Link,
    ];

    /// How far it is trusted, 0 the most. A tracker and the peer itself tell what they saw or are; what comes through
    /// the DHT and through peers anybody may have made up.
    pub(crate) const fn doubt(self) -> u8 {
        match self {
            PeerSource::User => 0,
            PeerSource::Tracker | PeerSource::Peer | PeerSource::Lsd | PeerSource::Link => 1,
            PeerSource::Earlier | PeerSource::Dht => 2,
            PeerSource::Pex => 3,
        }
    }
}

/// All who told an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources(u8);

impl Sources {
    /// Those that a private torrent does not have (BEP 27).
    pub(crate) const PUBLIC: Sources = Sources::of(PeerSource::Lsd)
        .with(PeerSource::Earlier)
        .with(PeerSource::Dht)
        .with(PeerSource::Pex)
        .with(PeerSource::Link);

    pub(crate) const fn of(source: PeerSource) -> Sources {
        Sources(1 << source as u8)
    }

    pub(crate) const fn with(self, source: PeerSource) -> Sources {
        Sources(self.0 | Sources::of(source).0)
    }

    pub(crate) fn contains(self, source: PeerSource) -> bool {
        self.0 & Sources::of(source).0 != 0
    }

    /// Whether nobody but `others` told it.
    pub(crate) fn are_within(self, others: Sources) -> bool {
        self.0 & !others.0 == 0
    }

    /// How far the most trusted of them is trusted, 0 the most.
    pub(crate) fn doubt(self) -> u8 {
        PeerSource::ALL
            .into_iter()
            .filter(|&source| self.contains(source))
            .map(PeerSource::doubt)
            .min()
            .unwrap_or(u8::MAX)
    }
}

/// The kind of network that an address is of, as far as an IPv4 or IPv6 address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Loopback,
    /// Another of those that are [not of the Internet](types::is_local).
    Local,
    Global,
}

impl Network {
    fn of(ip: IpAddr) -> Network {
        match ip.to_canonical().is_loopback() {
            true => Network::Loopback,
            false if types::is_local(ip) => Network::Local,
            false => Network::Global,
        }
    }
}

/// Whether an address may pass between us and a peer: one of the peer's own kind of network, or, on a local network, one
/// of the Internet. A stranger from the Internet is neither told who is on our network nor believed about it.
pub(crate) fn may_pass(addr: SocketAddr, peer: SocketAddr) -> bool {
    // Which link it is of, a link-local IPv6 address does not tell.
    let is_nowhere = matches!(addr.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    let (of, peer) = (Network::of(addr.ip()), Network::of(peer.ip()));
    !is_nowhere && (of == peer || (of, peer) == (Network::Global, Network::Local))
}

/// Whether a peer may be there, whoever says so: nothing that is nobody's, and no address of one link only, where the
/// metadata services of clouds are.
pub(crate) fn can_be_dialed(addr: SocketAddr) -> bool {
    addr.port() != 0 && Zone::of(addr.ip()) != Zone::Forbidden
}

/// The same for an address of which a source says, or of which it is known, that it is on a link of ours: hosts there are
/// believed, metadata services never.
pub(crate) fn can_be_on_link(addr: SocketAddr) -> bool {
    let is_link_local = match addr.ip().to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let is_host = addr.port() != 0 && is_link_local && !Zone::is_metadata_service(addr.ip());
    is_host || can_be_dialed(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_most_trusted_source_counts() {
        let pex = Sources::of(PeerSource::Pex);
        let both = pex.with(PeerSource::Tracker);
        assert!(both.doubt() < Sources::of(PeerSource::Dht).doubt() && pex.doubt() > both.doubt());
        assert!(both.contains(PeerSource::Pex) && !both.contains(PeerSource::User));
        assert!(pex.are_within(Sources::PUBLIC) && !both.are_within(Sources::PUBLIC));
        // One that is not in the list would be doubted beyond all others.
        for number in 0..8 {
            assert!(Sources(1 << number).doubt() <= 3, "{number}");
        }
        assert_eq!(Sources::of(PeerSource::Earlier).doubt(), 2);
    }

    #[test]
    fn networks_are_kept_apart() {
        let kinds = [
            ["127.0.0.1:1", "[::1]:1", "127.9.0.1:2"],
            ["10.1.2.3:1", "[fd00::1]:1", "100.64.0.1:1"],
            ["8.8.8.8:1", "[2001:db8::1]:1", "100.128.0.1:1"],
        ];
        for (of, addrs) in kinds.iter().enumerate() {
            for (to, peers) in kinds.iter().enumerate() {
                for (a, p) in addrs.iter().zip(peers) {
                    assert_eq!(may_pass(addr(a), addr(p)), of == to || (of, to) == (2, 1), "{a} and {p}");
                }
            }
        }
        assert!(!may_pass(addr("[fe80::1]:1"), addr("[fd00::1]:1")), "of which link?");
        assert!(!may_pass(addr("[::ffff:127.0.0.1]:1"), addr("8.8.8.8:1")), "mapped");
    }

    #[test]
    fn nobody_is_nowhere() {
        for nowhere in [
            "1.2.3.4:0",
            "0.0.0.0:5",
            "0.1.2.3:5",
            "224.0.0.1:5",
            "240.0.0.1:5",
            "255.255.255.255:5",
            "[::]:5",
            "[ff02::1]:5",
            "[::ffff:224.0.0.1]:5",
            "169.254.169.254:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "168.63.129.16:80",
        ] {
            assert!(!can_be_dialed(addr(nowhere)), "{nowhere}");
            assert!(!can_be_on_link(addr(nowhere)), "{nowhere}");
        }
        for on_link in ["169.254.1.1:1", "[fe80::1]:1"] {
            assert!(can_be_on_link(addr(on_link)) && !can_be_dialed(addr(on_link)), "{on_link}");
        }
        for somewhere in ["1.2.3.4:1", "127.0.0.1:80", "[::1]:5", "[2001:db8::1]:5"] {
            assert!(can_be_dialed(addr(somewhere)) && can_be_on_link(addr(somewhere)), "{somewhere}");
        }
    }
}
