//! The peers that others announced here (BEP 5, 33, 51).

use crate::addr::{Family, is_local, may_tell};
use crate::hosts::Hosts;
use crate::limits::{
    MAX_ANSWER_PEERS, MAX_ANSWER_SAMPLES, MAX_PEERS, MAX_TORRENT_PEERS, MAX_TORRENTS, MAX_TORRENTS_PER_HOST,
    PEER_LIFETIME, SAMPLE_INTERVAL,
};
use crate::nearest::Nearest;
use crate::{Bloom, NodeId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use fastrand::Rng;
use types::Time;

#[derive(Debug)]
pub(crate) struct Peers {
    torrents: Nearest<Torrent>,
    /// Of all torrents.
    count: usize,
    /// In how many torrents each host is a peer.
    hosts: Hosts,
    sample: Vec<u8>,
    sample_until: Time,
}

/// Peers by [`peer_key`].
type Torrent = BTreeMap<SocketAddr, Peer>;

#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    seed: bool,
    at: Time,
}

/// One peer for each address (BEP 33): a host could list itself at 65,535 ports. On a local network it may.
fn peer_key(addr: &SocketAddr) -> SocketAddr {
    if is_local(addr.ip()) { *addr } else { SocketAddr::new(addr.ip(), 0) }
}

/// The peers that an asker may hear of.
fn told<'a>(torrent: &'a Torrent, asker: &'a SocketAddr) -> impl Iterator<Item = &'a Peer> {
    let is_told = |addr| Family::of(addr) == Family::of(asker) && may_tell(addr, asker);
    torrent.values().filter(move |peer| is_told(&peer.addr))
}

impl Peers {
    pub(crate) fn new(own: NodeId) -> Peers {
        Peers {
            torrents: Nearest::new(own, MAX_TORRENTS),
            count: 0,
            hosts: Hosts::new(MAX_TORRENTS_PER_HOST),
            sample: Vec::new(),
            sample_until: Time::ZERO,
        }
    }

    pub(crate) fn set_own(&mut self, own: NodeId) {
        self.torrents.set_own(own);
    }

    /// Torrents and peers.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.torrents.len(), self.count)
    }

    /// Whether a peer at this host would be stored: if not, it gets no token (BEP 33).
    pub(crate) fn has_room(&self, info_hash: &NodeId, host: &SocketAddr) -> bool {
        let torrent = self.torrents.get(info_hash);
        if torrent.is_some_and(|peers| peers.contains_key(&peer_key(host))) {
            return true;
        }
        let in_torrent = torrent.map_or(0, BTreeMap::len) < MAX_TORRENT_PEERS;
        let in_all = self.count < MAX_PEERS && self.torrents.has_room(info_hash);
        in_torrent && in_all && self.hosts.has_room(host)
    }

    /// Stores a peer, or that it is still there; `false` without room.
    pub(crate) fn announce(&mut self, now: Time, info_hash: NodeId, addr: SocketAddr, seed: bool) -> bool {
        if !self.has_room(&info_hash, &addr) {
            return false;
        }
        if self.torrents.get(&info_hash).is_none()
            && let Some(evicted) = self.torrents.insert(info_hash, Torrent::new())
        {
            evicted.values().for_each(|peer| self.forget(&peer.addr));
        }
        let torrent = self.torrents.get_mut(&info_hash).expect("it was put in just now if it was not there");
        if torrent.insert(peer_key(&addr), Peer { addr, seed, at: now }).is_none() {
            self.count += 1;
            self.hosts.add(&addr);
        }
        true
    }

    /// Some peers of the asker's family, chosen at random if there are more than fit; rather no seeds if so asked.
    pub(crate) fn some(
        &self,
        info_hash: &NodeId,
        asker: &SocketAddr,
        noseed: bool,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(torrent) = self.torrents.get(info_hash) else { return Vec::new() };
        let (mut seeds, mut others): (Vec<&Peer>, Vec<&Peer>) =
            told(torrent, asker).partition(|peer| noseed && peer.seed);
        rng.shuffle(&mut others);
        rng.shuffle(&mut seeds);
        others.iter().chain(&seeds).take(MAX_ANSWER_PEERS).map(|peer| peer.addr).collect()
    }

    /// Filters of all seeds and of all other peers of the asker's family; `None` if the torrent is not known (BEP 33).
    pub(crate) fn blooms(&self, info_hash: &NodeId, asker: &SocketAddr) -> Option<(Bloom, Bloom)> {
        let (mut seeds, mut others) = (Bloom::EMPTY, Bloom::EMPTY);
        for peer in told(self.torrents.get(info_hash)?, asker) {
            if peer.seed { &mut seeds } else { &mut others }.insert(peer.addr.ip());
        }
        Some((seeds, others))
    }

    /// Some info-hashes, how many there are, and for how long the sample stays the same (BEP 51).
    pub(crate) fn sample(&mut self, now: Time, rng: &mut Rng) -> (&[u8], usize, Duration) {
        let num = self.torrents.len();
        let is_part = num > MAX_ANSWER_SAMPLES;
        if !is_part || now >= self.sample_until {
            let mut names: Vec<&NodeId> = self.torrents.iter().map(|(name, _)| name).collect();
            rng.shuffle(&mut names);
            self.sample = names.into_iter().take(MAX_ANSWER_SAMPLES).flat_map(|name| name.0).collect();
            self.sample_until = if is_part { now + SAMPLE_INTERVAL } else { now };
        }
        (&self.sample, num, self.sample_until.since(now))
    }

    /// Drops who was not announced for long.
    pub(crate) fn expire(&mut self, now: Time) {
        let mut gone = Vec::new();
        self.torrents.retain(|_, torrent| {
            torrent.retain(|_, peer| {
                let lives = now.since(peer.at) < PEER_LIFETIME;
                if !lives {
                    gone.push(peer.addr);
                }
                lives
            });
            !torrent.is_empty()
        });
        gone.iter().for_each(|addr| self.forget(addr));
    }

    /// A peer is no longer in a torrent.
    fn forget(&mut self, addr: &SocketAddr) {
        self.count -= 1;
        self.hosts.remove(addr);
    }

    pub(crate) fn check_invariants(&self) {
        self.torrents.check_invariants();
        let counted: usize = self.torrents.iter().map(|(_, torrent)| torrent.len()).sum();
        assert_eq!(counted, self.count, "peers of all torrents");
        self.hosts.check_invariants(self.count);
        assert!(self.count <= MAX_PEERS);
        assert!(
            self.torrents
                .iter()
                .all(|(_, torrent)| !torrent.is_empty() && torrent.len() <= MAX_TORRENT_PEERS)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: NodeId = NodeId([7; 20]);

    fn host(n: u32) -> SocketAddr {
        SocketAddr::new((0x5000_0000 + n).to_be_bytes().into(), 6881)
    }

    #[test]
    fn a_host_is_one_peer_at_its_latest_port() {
        let mut peers = Peers::new(NodeId([0; 20]));
        let mut moved = host(1);
        assert!(peers.announce(Time::ZERO, HASH, moved, false));
        moved.set_port(7000);
        assert!(peers.announce(Time::ZERO, HASH, moved, true));
        let mut rng = Rng::with_seed(1);
        let (stranger, neighbour) = (host(99), SocketAddr::from(([10, 0, 0, 1], 1)));
        assert_eq!(peers.some(&HASH, &stranger, false, &mut rng), [moved]);
        assert_eq!(peers.some(&HASH, &"[2001:db8::1]:1".parse().unwrap(), false, &mut rng), []);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert!(
            peers.announce(Time::ZERO, HASH, local(1), false)
                && peers.announce(Time::ZERO, HASH, local(2), false)
        );
        assert_eq!(peers.some(&HASH, &neighbour, true, &mut rng).len(), 3);
        assert_eq!(peers.some(&HASH, &neighbour, true, &mut rng)[2], moved, "seeds last");
        let (seeds, others) = peers.blooms(&HASH, &neighbour).unwrap();
        assert!(seeds.may_contain(moved.ip()) && !others.may_contain(moved.ip()));
        assert!(others.may_contain([127, 0, 0, 1].into()));
        assert_eq!(peers.some(&HASH, &stranger, false, &mut rng), [moved], "nothing of what is inside");
        assert_eq!(peers.blooms(&HASH, &stranger).unwrap().1, Bloom::EMPTY);
        peers.check_invariants();
    }

    #[test]
    fn peers_are_forgotten() {
        let mut peers = Peers::new(NodeId([0; 20]));
        peers.announce(Time::ZERO, HASH, host(1), false);
        peers.announce(Time::from_secs(60), HASH, host(2), false);
        peers.expire(Time::ZERO + PEER_LIFETIME);
        assert_eq!(peers.some(&HASH, &host(3), false, &mut Rng::with_seed(1)), [host(2)]);
        peers.expire(Time::from_secs(60) + PEER_LIFETIME);
        assert_eq!(peers.len(), (0, 0));
        peers.check_invariants();
    }

    #[test]
    fn limits_are_kept() {
        let mut peers = Peers::new(NodeId([0; 20]));
        let name = |n: u32| {
            let mut name = NodeId([0; 20]);
            name.0[..4].copy_from_slice(&n.to_be_bytes());
            name
        };
        let per_host = u32::try_from(MAX_TORRENTS_PER_HOST).unwrap();
        for n in 1..=u32::try_from(MAX_TORRENTS).unwrap() {
            assert!(peers.announce(Time::ZERO, name(n + 1), host(n / per_host), false));
        }
        peers.check_invariants();
        let far = name(u32::MAX);
        assert!(!peers.announce(Time::ZERO, far, host(99), false), "farther than all others");
        assert!(peers.announce(Time::ZERO, name(1), host(99), false), "closer");
        assert_eq!(peers.len(), (MAX_TORRENTS, MAX_TORRENTS));
        assert!(!peers.announce(Time::ZERO, name(0), host(1), false), "a host of 50 torrents");
        assert!(peers.announce(Time::ZERO, name(60), host(1), false), "one that it is a peer of");
        for n in 1..u32::try_from(MAX_TORRENT_PEERS).unwrap() {
            assert!(peers.announce(Time::ZERO, name(1), host(n + 100), false));
        }
        assert!(!peers.has_room(&name(1), &host(90)), "a torrent of many peers");
        assert!(peers.has_room(&name(1), &host(99)), "it is there already");
        peers.check_invariants();
    }

    #[test]
    fn samples_stay_the_same_for_a_while() {
        let (mut peers, mut rng) = (Peers::new(NodeId([0; 20])), Rng::with_seed(1));
        for n in 0..20u8 {
            peers.announce(Time::ZERO, NodeId([n; 20]), host(1), false);
        }
        let (sample, num, interval) = peers.sample(Time::ZERO, &mut rng);
        assert_eq!((sample.len(), num, interval), (400, 20, Duration::ZERO), "everything fits");
        peers.announce(Time::ZERO, NodeId([20; 20]), host(1), false);
        let first = peers.sample(Time::ZERO, &mut rng).0.to_vec();
        let (again, num, interval) = peers.sample(Time::from_secs(1), &mut rng);
        assert_eq!((again, num, interval), (&first[..], 21, SAMPLE_INTERVAL - Duration::from_secs(1)));
        assert_ne!(peers.sample(Time::ZERO + SAMPLE_INTERVAL, &mut rng).0, first);
    }

    #[test]
    fn there_is_room_for_so_many_peers_in_all() {
        let mut peers = Peers::new(NodeId([0; 20]));
        let name = |n: usize| NodeId([u8::try_from(n).unwrap(); 20]);
        let (torrents, of_each) = (MAX_PEERS / MAX_TORRENT_PEERS, u32::try_from(MAX_TORRENT_PEERS).unwrap());
        for torrent in 0..torrents {
            assert!((0..of_each).all(|n| peers.announce(Time::ZERO, name(torrent), host(n), false)));
        }
        assert_eq!(peers.len(), (torrents, MAX_PEERS));
        let newcomer = host(of_each);
        assert!(!peers.announce(Time::ZERO, name(torrents), newcomer, false), "one more than MAX_PEERS");
        peers.check_invariants();
        let told = peers.some(&name(0), &newcomer, false, &mut Rng::with_seed(1));
        assert_eq!(told.len(), MAX_ANSWER_PEERS);
        peers.expire(Time::ZERO + PEER_LIFETIME);
        assert!(peers.has_room(&name(torrents), &newcomer));
    }
}
