//! Which peers belong together (BEP 40): both ends of a connection compute the same number for it, without asking.
//!
//! If everybody prefers connections with high numbers, a swarm is well mixed, newcomers find room in it, and whoever
//! comes from few networks cannot fill it.

use crate::dial_guard::host;
use crate::limits::{EXTERNAL_QUORUM, MAX_EXTERNAL_VOTES};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use crc::{CRC_32_ISCSI, Crc, Table};

static CRC_32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// The priority of a connection between two addresses, whichever is ours; `None` if they are of different families.
///
/// Of IPv6 addresses that share 40 bits or more, one byte more is taken than BEP 40 says: libtorrent does, and its
/// peers are who must agree with us.
pub(crate) fn priority(a: SocketAddr, b: SocketAddr) -> Option<u32> {
    match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (x, y) if x == y => Some(hash(a.port().to_be_bytes(), b.port().to_be_bytes())),
        (IpAddr::V4(x), IpAddr::V4(y)) => {
            let (x, y) = (x.octets(), y.octets());
            let whole = (shared(&x, &y) + 1).max(2);
            Some(hash(masked(x, whole), masked(y, whole)))
        }
        (IpAddr::V6(x), IpAddr::V6(y)) => {
            let (x, y) = (x.octets(), y.octets());
            let whole = (shared(&x, &y) + 2).max(6);
            Some(hash(masked(x, whole), masked(y, whole)))
        }
        _ => None,
    }
}

/// How many bytes they have in common at the beginning.
fn shared(x: &[u8], y: &[u8]) -> usize {
    x.iter().zip(y).take_while(|(x, y)| x == y).count()
}

/// So many bytes whole, and every other bit of the rest.
fn masked<const N: usize>(mut bytes: [u8; N], whole: usize) -> [u8; N] {
    bytes.iter_mut().skip(whole).for_each(|byte| *byte &= 0x55);
    bytes
}

fn hash<const N: usize>(x: [u8; N], y: [u8; N]) -> u32 {
    let mut digest = CRC_32C.digest();
    digest.update(&x.min(y));
    digest.update(&x.max(y));
    digest.finalize()
}

/// The addresses under which others see us: what the owner says, else what most of those say that told us last: peers
/// (BEP 10, `yourip`), and whom the owner heard (BEP 24).
#[derive(Debug, Default)]
pub(crate) struct External {
    given: Vec<IpAddr>,
    /// Where we listen, over IPv4 and over IPv6; 0: nowhere, or nobody said.
    ports: [u16; 2],
    /// Who said what, for IPv4 and IPv6, the latest last. Each host has one voice.
    votes: [VecDeque<(Voter, IpAddr)>; 2],
}

/// Who has one voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voter {
    /// A host with peers, by its first address.
    Peer(IpAddr),
    /// Somebody else, by the owner's number.
    Other(u64),
}

impl Voter {
    /// The host of a peer: over IPv6, whoever has one address of a /64 has them all.
    pub(crate) fn peer(ip: IpAddr) -> Voter {
        Voter::Peer(host(ip).0)
    }
}

/// Our own addresses, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ours {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
}

impl External {
    /// What the owner says, and the ports at which we listen.
    pub(crate) fn new(given: &[IpAddr], ports: [u16; 2]) -> External {
        let given = given.iter().map(IpAddr::to_canonical).collect();
        External { given, ports, votes: Default::default() }
    }

    /// Somebody says under which address it sees us; gives whether we are now known under another one than before.
    pub(crate) fn vote(&mut self, voter: Voter, seen: IpAddr) -> bool {
        let seen = seen.to_canonical();
        if seen.is_unspecified() || seen.is_multicast() {
            return false;
        }
        let before = self.ours();
        let votes = &mut self.votes[usize::from(seen.is_ipv6())];
        votes.retain(|&(other, _)| other != voter);
        if votes.len() >= MAX_EXTERNAL_VOTES {
            votes.pop_front();
        }
        votes.push_back((voter, seen));
        self.ours() != before
    }

    pub(crate) fn ours(&self) -> Ours {
        let addr = |ip: IpAddr| SocketAddr::new(ip, self.ports[usize::from(ip.is_ipv6())]);
        let of = |v6: bool| {
            let given = self.given.iter().copied().find(|ip| ip.is_ipv6() == v6);
            given.or_else(|| elected(&self.votes[usize::from(v6)])).map(addr)
        };
        Ours { v4: of(false), v6: of(true) }
    }
}

/// What more than half of them say, if they are enough.
fn elected(votes: &VecDeque<(Voter, IpAddr)>) -> Option<IpAddr> {
    let count = |seen: IpAddr| votes.iter().filter(|&&(_, other)| other == seen).count();
    let &(_, seen) = votes.iter().max_by_key(|&&(_, seen)| count(seen))?;
    (count(seen) >= EXTERNAL_QUORUM && 2 * count(seen) > votes.len()).then_some(seen)
}

impl Ours {
    /// Whether it is where we listen, as far as we know.
    pub(crate) fn is(&self, addr: SocketAddr) -> bool {
        [self.v4, self.v6].into_iter().flatten().any(|ours| ours == addr)
    }

    /// The priority of a connection with the peer; `None` as long as we do not know how it sees us.
    pub(crate) fn priority(&self, peer: SocketAddr) -> Option<u32> {
        let ours = if peer.ip().to_canonical().is_ipv4() { self.v4 } else { self.v6 };
        priority(ours?, peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn peer(n: u8) -> Voter {
        Voter::peer(ip(n))
    }

    #[test]
    fn over_ipv6_a_network_has_one_voice() {
        let (ours, lie) = ("2001:db8::1".parse().unwrap(), "2001:db8::bad".parse().unwrap());
        let voter = |net: u16, n: u16| Voter::peer(IpAddr::from([0x2a00, 0, 0, net, n, 0, 0, n]));
        let mut external = External::new(&[], [6881; 2]);
        for n in 0..100 {
            assert!(!external.vote(voter(1, n), lie), "one network");
        }
        let moved = (2..=4).any(|net| external.vote(voter(net, 1), ours));
        assert!(moved, "three of four");
        assert_eq!(external.ours().v6, Some(SocketAddr::new(ours, 6881)));
    }

    #[test]
    fn examples_of_bep_40() {
        let of = |a: &str, b: &str| priority(a.parse().unwrap(), b.parse().unwrap());
        assert_eq!(of("123.213.32.10:1", "98.76.54.32:2"), Some(0xec2d_7224));
        assert_eq!(of("123.213.32.10:1", "123.213.32.234:2"), Some(0x9956_8189));
        assert_eq!(of("[::ffff:123.213.32.10]:1", "98.76.54.32:2"), Some(0xec2d_7224), "mapped");
        assert_eq!(of("123.213.32.10:1", "[2001:db8::1]:2"), None);
    }

    proptest! {
        #[test]
        fn both_ends_agree(a: [u8; 4], b: [u8; 4], x: [u8; 16], y: [u8; 16], same in 0usize..17, ports: (u16, u16)) {
            let mut z = x;
            z[same..].copy_from_slice(&y[same..]);
            for (one, other) in [(IpAddr::from(a), IpAddr::from(b)), (x.into(), y.into()), (x.into(), z.into())] {
                let (one, other) = (SocketAddr::new(one, ports.0), SocketAddr::new(other, ports.1));
                prop_assert_eq!(priority(one, other), priority(other, one));
            }
        }
    }

    #[test]
    fn most_voices_of_enough_count() {
        let mut external = External::new(&[], [6881; 2]);
        let far = SocketAddr::new(ip(200), 5);
        for n in 1..EXTERNAL_QUORUM {
            external.vote(peer(u8::try_from(n).unwrap()), ip(100));
        }
        assert_eq!(external.ours().priority(far), None, "too few");
        external.vote(peer(1), ip(100));
        assert_eq!(external.ours().priority(far), None, "it said that before");
        external.vote(peer(50), ip(100));
        assert_eq!(external.ours().priority(far), priority(SocketAddr::new(ip(100), 6881), far));
        (60..63).for_each(|n| _ = external.vote(peer(n), ip(101)));
        assert_eq!(external.ours(), Ours::default(), "half is not more than half");
        external.vote(peer(63), IpAddr::from([0, 0, 0, 0]));
        external.vote(peer(64), "2001:db8::1".parse().unwrap());
        assert_eq!(external.ours(), Ours::default(), "neither counts");
        let mut given = External::new(&[ip(7)], [0; 2]);
        (60..70).for_each(|n| _ = given.vote(peer(n), ip(101)));
        assert_eq!(given.ours().v4, Some(SocketAddr::new(ip(7), 0)));
    }

    #[test]
    fn others_have_one_voice_each_as_peers_have() {
        let mut external = External::new(&[], [6881; 2]);
        (0..10).for_each(|_| assert!(!external.vote(Voter::Other(7), ip(100)), "one voice"));
        assert!(!external.vote(peer(1), ip(100)));
        assert!(external.vote(Voter::Other(8), ip(100)), "three agree");
        assert_eq!(external.ours().v4, Some(SocketAddr::new(ip(100), 6881)));
        assert!(!external.vote(Voter::Other(9), ip(100)), "nothing new");
        assert!(!external.vote(Voter::Other(7), ip(101)), "it has changed its mind: still three of four");
        assert!(external.vote(Voter::Other(8), ip(101)), "two of four are not most");
        assert_eq!(external.ours(), Ours::default());
    }

    #[test]
    fn voices_are_bounded_and_the_latest_count() {
        let mut external = External::default();
        (0..200).for_each(|n| _ = external.vote(peer(n), ip(if n < 150 { 1 } else { 2 })));
        assert_eq!(external.votes[0].len(), MAX_EXTERNAL_VOTES);
        assert_eq!(external.ours().v4, Some(SocketAddr::new(ip(2), 0)));
    }
}
