//! Nobody is dialed too often, whatever anybody advertises.
//!
//! Who tells peers of an address makes them connect to it, and it need not be a peer's (BEP 11, "Security
//! Considerations"). So an address at which nobody has answered is left alone for [`DIAL_INTERVAL`] after each dial, and
//! a host for that long after the last [`MAX_HOST_DIALS`] of its ports. This holds across whoever told it, and for
//! addresses that were forgotten meanwhile.

use crate::limits::{DIAL_INTERVAL, MAX_HOST_DIALS};
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use types::Time;

/// Remembers dials that nobody answered, or not yet, for [`DIAL_INTERVAL`].
#[derive(Clone, Debug)]
pub struct DialGuard {
    limit: usize,
    /// When each was dialed.
    dialed: BTreeMap<SocketAddr, Time>,
    /// The same, the oldest first.
    oldest: BTreeSet<(Time, SocketAddr)>,
}

impl DialGuard {
    /// One that remembers up to `limit` dials. When it is full, nobody may be dialed until the oldest is
    /// [`DIAL_INTERVAL`] old.
    pub const fn new(limit: usize) -> DialGuard {
        DialGuard { limit, dialed: BTreeMap::new(), oldest: BTreeSet::new() }
    }

    /// How many dials are remembered.
    pub fn len(&self) -> usize {
        self.dialed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.dialed.is_empty()
    }

    /// When the address may be dialed, the present and the past being the same. Ports of a loopback address are as good
    /// as hosts.
    pub fn free_at(&mut self, addr: SocketAddr, now: Time) -> Time {
        self.forget_old(now);
        let addr = plain(addr);
        let own = self.dialed.get(&addr).copied();
        let full = self.dialed.len() >= self.limit;
        let oldest = self.oldest.first().map(|&(at, _)| at).filter(|_| full);
        let waits = [own, oldest, self.host_is_full(addr)].into_iter().flatten().max();
        waits.map_or(Time::ZERO, |dialed| dialed + DIAL_INTERVAL)
    }

    /// The address is dialed.
    pub fn dialed(&mut self, addr: SocketAddr, now: Time) {
        let addr = plain(addr);
        self.forget(addr);
        if self.dialed.len() < self.limit {
            self.dialed.insert(addr, now);
            self.oldest.insert((now, addr));
        }
    }

    /// A peer of the torrent that was asked for answered there: it wants to be dialed.
    pub fn answered(&mut self, addr: SocketAddr) {
        self.forget(plain(addr));
    }

    /// When the first of the host's ports was dialed, if they are as many as may be.
    fn host_is_full(&self, addr: SocketAddr) -> Option<Time> {
        if addr.ip().is_loopback() {
            return None;
        }
        let (first, last) = host(addr.ip());
        let ports = self.dialed.range(SocketAddr::new(first, 0)..=SocketAddr::new(last, u16::MAX));
        // Few: they are bounded by this.
        let times = ports.map(|(_, &at)| at);
        (times.clone().count() >= MAX_HOST_DIALS).then(|| times.min()).flatten()
    }

    fn forget(&mut self, addr: SocketAddr) {
        if let Some(at) = self.dialed.remove(&addr) {
            self.oldest.remove(&(at, addr));
        }
    }

    fn forget_old(&mut self, now: Time) {
        while let Some(&(at, addr)) = self.oldest.first()
            && now >= at + DIAL_INTERVAL
        {
            self.forget(addr);
        }
    }
}

/// The same address written in one way only.
pub(crate) fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The addresses of a host, the first and the last: its own, or, of IPv6, all of its /64.
pub fn host(ip: IpAddr) -> (IpAddr, IpAddr) {
    match ip.to_canonical() {
        IpAddr::V4(_) => (ip.to_canonical(), ip.to_canonical()),
        IpAddr::V6(v6) => {
            let net = u128::from(v6) & (u128::MAX << 64);
            (Ipv6Addr::from(net).into(), Ipv6Addr::from(net | u128::MAX >> 64).into())
        }
    }
}

/// Of how many connections each [`host`] has, by its first address: the host with most, if it still has more than the
/// newcomer's once that is here.
pub fn crowd(counts: &BTreeMap<IpAddr, usize>, newcomer: IpAddr) -> Option<IpAddr> {
    let here = counts.get(&host(newcomer).0).map_or(0, |count| *count);
    let (&crowded, &most) = counts.iter().max_by_key(|(_, count)| **count)?;
    (most > here + 1).then_some(crowded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn addresses_of_one_network_are_one_host() {
        let of = |ip: &str| host(ip.parse().unwrap()).0;
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    fn addr(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    #[test]
    fn an_address_is_left_alone_after_a_dial() {
        let mut guard = DialGuard::new(10);
        let (start, one) = (Time::from_secs(9), addr(1, 1));
        assert!(guard.free_at(one, start) <= start);
        guard.dialed(one, start);
        let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 1);
        for same in [one, mapped] {
            assert_eq!(guard.free_at(same, start + SECOND), start + DIAL_INTERVAL);
        }
        assert!(guard.free_at(addr(1, 2), start) <= start && guard.free_at(addr(2, 1), start) <= start);
        let later = start + DIAL_INTERVAL;
        assert!(guard.free_at(one, later) <= later);
        assert!(guard.is_empty(), "it is not remembered for longer than it counts");
        guard.dialed(one, later);
        guard.answered(mapped);
        assert!(guard.free_at(one, later) <= later);
    }

    #[test]
    fn a_host_is_left_alone_whatever_its_ports() {
        let mut guard = DialGuard::new(1000);
        let most = u16::try_from(MAX_HOST_DIALS).unwrap();
        (1..=most).for_each(|port| guard.dialed(addr(1, port), Time::from_secs(port.into())));
        let now = Time::from_secs(u64::from(most) + 1);
        let first = Time::from_secs(1) + DIAL_INTERVAL;
        assert_eq!(guard.free_at(addr(1, most + 1), now), first);
        assert!(guard.free_at(addr(2, 1), now) <= now);
        guard.answered(addr(1, 3));
        assert!(guard.free_at(addr(1, most + 1), now) <= now);
        for port in 1..=most {
            guard.dialed(SocketAddr::new(Ipv6Addr::new(0x2001, 0, 0, 0, port, 0, 0, 1).into(), 5), now);
            guard.dialed(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port), now);
        }
        let of_v6 = |net, port| SocketAddr::new(Ipv6Addr::new(0x2001, 0, 0, net, 9, 9, 9, 9).into(), port);
        assert!(guard.free_at(of_v6(0, 7), now) > now, "whoever has an address of a /64 has them all");
        assert!(guard.free_at(of_v6(1, 7), now) <= now);
        assert!(guard.free_at("[::1]:99".parse().unwrap(), now) <= now);
    }

    #[test]
    fn when_it_is_full_everybody_waits() {
        let mut guard = DialGuard::new(3);
        (1..=9).for_each(|host| guard.dialed(addr(host, 1), Time::from_secs(host.into())));
        assert_eq!(guard.len(), 3);
        let now = Time::from_secs(10);
        assert_eq!(guard.free_at(addr(50, 1), now), Time::from_secs(1) + DIAL_INTERVAL);
        let later = Time::from_secs(1) + DIAL_INTERVAL;
        assert!(guard.free_at(addr(50, 1), later) <= later);
    }
}
