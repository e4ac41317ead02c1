//! How many messages may pass, altogether and for one host.

use crate::addr::{compact, is_local, source};
use crate::limits::{MAX_SOURCE_BYTES, MAX_SOURCE_QUERIES, MAX_SOURCES, SHARED_SOURCES, SOURCE_WINDOW};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use types::Time;

/// So many a second; what is not used is kept for a second.
#[derive(Debug)]
pub(crate) struct Rate {
    /// How long one takes.
    each: Duration,
    /// When all that passed is paid for; in the past if less passed than may.
    paid: Time,
}

impl Rate {
    /// 0 is taken as 1.
    pub(crate) fn new(per_sec: u32) -> Rate {
        Rate { each: Duration::from_secs(1) / per_sec.max(1), paid: Time::ZERO }
    }

    /// When the next may pass.
    pub(crate) fn ready_at(&self) -> Time {
        // A burst of a second's worth, of which the last must still be paid within it.
        Time::from_nanos((self.paid + self.each).as_nanos().saturating_sub(1_000_000_000))
    }

    /// Lets one pass if it may.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        if now < self.ready_at() {
            return false;
        }
        self.paid = self.paid.max(now) + self.each;
        true
    }
}

/// What single hosts ask, counted over [`SOURCE_WINDOW`].
#[derive(Debug)]
pub(crate) struct Sources {
    /// Which hosts share a counter, nobody else is to know.
    key: [u8; 20],
    since: Time,
    hosts: BTreeMap<SocketAddr, Asked>,
    /// Of hosts beyond [`MAX_SOURCES`]; empty as long as there are none.
    shared: Vec<Asked>,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    queries: u32,
    /// Bytes of our answers.
    bytes: u32,
}

impl Sources {
    pub(crate) fn new(key: [u8; 20]) -> Sources {
        Sources { key, since: Time::ZERO, hosts: BTreeMap::new(), shared: Vec::new() }
    }

    /// Whether another query of this host is to be answered.
    pub(crate) fn admits(&mut self, now: Time, from: &SocketAddr) -> bool {
        if now.since(self.since) >= SOURCE_WINDOW {
            self.hosts.clear();
            self.shared.clear();
            self.since = now;
        }
        let Some(asked) = self.of(from) else { return true };
        asked.queries += 1;
        asked.queries <= MAX_SOURCE_QUERIES && asked.bytes < MAX_SOURCE_BYTES
    }

    /// The host was answered.
    pub(crate) fn answered(&mut self, to: &SocketAddr, bytes: usize) {
        if let Some(asked) = self.of(to) {
            asked.bytes = asked.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// Hosts of a local network are not counted: there may be many nodes, and no stranger sends from there.
    fn of(&mut self, host: &SocketAddr) -> Option<&mut Asked> {
        let key = source(host);
        if is_local(host.ip()) {
            return None;
        }
        if self.hosts.len() < MAX_SOURCES || self.hosts.contains_key(&key) {
            return Some(self.hosts.entry(key).or_default());
        }
        self.shared.resize(SHARED_SOURCES, Asked::default());
        let [a, b, c, d, ..] = hash::sha1(&[&self.key[..], &compact(&key)].concat());
        self.shared.get_mut(u32::from_be_bytes([a, b, c, d]) as usize % SHARED_SOURCES)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.hosts.len() <= MAX_SOURCES && self.shared.len() <= SHARED_SOURCES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(rate: &mut Rate, from: Time, millis: u64) -> usize {
        (0..millis * 10).filter(|n| rate.take(from + Duration::from_micros(100 * n))).count()
    }

    #[test]
    fn a_rate_holds_in_the_long_run() {
        let mut rate = Rate::new(10);
        let start = Time::from_secs(100);
        let first = passed(&mut rate, start, 1000);
        assert!((19..=21).contains(&first), "a burst and a second's worth: {first}");
        assert_eq!(passed(&mut rate, start + Duration::from_secs(1), 9000), 90);
        assert!(
            !rate.take(start + Duration::from_secs(10)) || rate.ready_at() > start + Duration::from_secs(10)
        );
        let ready = rate.ready_at();
        assert!(rate.take(ready));
    }

    #[test]
    fn one_host_does_not_get_all() {
        let mut sources = Sources::new([7; 20]);
        let host: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let of = |sources: &mut Sources, now| (0..1000).filter(|_| sources.admits(now, &host)).count();
        assert_eq!(of(&mut sources, Time::ZERO), MAX_SOURCE_QUERIES as usize);
        assert!(sources.admits(Time::ZERO, &"1.2.3.5:5".parse().unwrap()));
        assert_eq!(of(&mut sources, Time::ZERO + SOURCE_WINDOW), MAX_SOURCE_QUERIES as usize);
        let next = Time::ZERO + SOURCE_WINDOW * 2;
        assert!(sources.admits(next, &host));
        sources.answered(&host, MAX_SOURCE_BYTES as usize);
        assert!(!sources.admits(next, &host), "enough bytes");
        let local: SocketAddr = "127.0.0.1:5".parse().unwrap();
        assert!((0..1000).all(|_| sources.admits(next, &local)));
    }

    #[test]
    fn a_crowd_hides_nobody() {
        let mut sources = Sources::new([7; 20]);
        for n in 0..=u32::try_from(MAX_SOURCES).unwrap() {
            sources.admits(Time::ZERO, &SocketAddr::new((0x5000_0000 + n).to_be_bytes().into(), 1));
        }
        sources.check_invariants();
        assert_eq!(sources.hosts.len(), MAX_SOURCES);
        let late: SocketAddr = "1.2.3.4:5".parse().unwrap();
        let answered = (0..1000).filter(|_| sources.admits(Time::ZERO, &late)).count();
        assert!((1..=MAX_SOURCE_QUERIES as usize).contains(&answered), "one beyond the limit: {answered}");
        let others = (0..100u8).filter(|n| sources.admits(Time::ZERO, &SocketAddr::from(([9, 9, *n, 9], 1))));
        assert!(others.count() > 90, "few share its counter");
        let now = Time::ZERO + SOURCE_WINDOW;
        assert!(sources.admits(now, &late) && sources.shared.is_empty());
    }
}
