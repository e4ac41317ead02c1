//! Addresses: whom to dial, and when again.

use crate::PeerSource;
use crate::limits::{MAX_FAILURES, MAX_KNOWN_PEERS, RETRY_MAX, RETRY_MAX_USER, RETRY_MIN};
use crate::priority::Ours;
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use fastrand::Rng;
use types::Time;

#[derive(Debug)]
pub(crate) struct Book {
    known: BTreeMap<SocketAddr, Known>,
    /// Those that wait, by when they may be dialed; the number shuffles equals.
    queue: BTreeSet<(Time, u32, SocketAddr)>,
    /// Those whose time has come, by their priority (BEP 40), or by chance as long as that is not known.
    due: BTreeSet<(u32, SocketAddr)>,
    ours: Ours,
    dialing: usize,
    rng: Rng,
}

#[derive(Debug)]
struct Known {
    source: PeerSource,
    /// In a row.
    failures: u32,
    state: State,
}

/// An address is in exactly one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be dialed at this time; it stands in the queue with this number.
    Waiting(Time, u32),
    /// To be dialed now; it stands among those that are due with this number.
    Due(u32),
    Dialing,
    Connected,
    /// A seed that we want nothing from, for now.
    Parked,
    /// Ourselves, or banned: never to be dialed.
    Never,
}

impl Book {
    pub(crate) fn new(rng: Rng) -> Book {
        let (known, queue, due) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Book { known, queue, due, ours: Ours::default(), dialing: 0, rng }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// How many attempts are under way.
    pub(crate) fn dialing(&self) -> usize {
        self.dialing
    }

    /// When the next address may be dialed; long ago if it may be now.
    pub(crate) fn next_due(&self) -> Option<Time> {
        if !self.due.is_empty() {
            return Some(Time::ZERO);
        }
        self.queue.first().map(|&(due, ..)| due)
    }

    /// Somebody told an address.
    pub(crate) fn add(&mut self, addr: SocketAddr, source: PeerSource, now: Time) {
        if !can_be_dialed(addr) {
            return;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            known.source = known.source.min(source);
        } else if self.known.len() < MAX_KNOWN_PEERS || self.forget_one() {
            self.known.insert(addr, Known { source, failures: 0, state: State::Parked });
            self.set(addr, State::Waiting(now, 0));
        }
    }

    /// An address to dial now.
    pub(crate) fn next(&mut self, now: Time) -> Option<SocketAddr> {
        while let Some(&(due, _, addr)) = self.queue.first()
            && due <= now
        {
            self.set(addr, State::Due(0));
        }
        let &(_, addr) = self.due.last()?;
        self.set(addr, State::Dialing);
        Some(addr)
    }

    /// We know how others see us, or other than before.
    pub(crate) fn set_ours(&mut self, ours: Ours) {
        self.ours = ours;
        for (_, addr) in core::mem::take(&mut self.due) {
            self.set(addr, State::Due(0));
        }
    }

    /// Whether the user gave the address.
    pub(crate) fn is_users(&self, addr: SocketAddr) -> bool {
        self.known.get(&addr).is_some_and(|known| known.source == PeerSource::User)
    }

    /// There is a connection with the address, whoever dialed.
    pub(crate) fn connected(&mut self, addr: SocketAddr) {
        self.set(addr, State::Connected);
    }

    /// Dialing led to nothing.
    pub(crate) fn failed(&mut self, addr: SocketAddr, now: Time) {
        if self.known.get(&addr).is_some_and(|known| known.state == State::Dialing) {
            self.wait(addr, now);
        }
    }

    /// A connection with the address ended. `useful`: payload went over it.
    pub(crate) fn closed(&mut self, addr: SocketAddr, now: Time, useful: bool) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        if known.state == State::Connected {
            known.failures = if useful { 0 } else { known.failures };
            self.wait(addr, now);
        }
    }

    /// The address is a seed's and we want nothing.
    pub(crate) fn park(&mut self, addr: SocketAddr) {
        self.set(addr, State::Parked);
    }

    /// We want something again.
    pub(crate) fn unpark(&mut self, now: Time) {
        let parked = self.known.iter().filter(|(_, known)| known.state == State::Parked);
        let parked: alloc::vec::Vec<SocketAddr> = parked.map(|(&addr, _)| addr).collect();
        for addr in parked {
            self.set(addr, State::Waiting(now, 0));
        }
    }

    /// The address is not to be dialed any more.
    pub(crate) fn never(&mut self, addr: SocketAddr) {
        self.set(addr, State::Never);
    }

    /// One more failure: try again later, or forget the address.
    fn wait(&mut self, addr: SocketAddr, now: Time) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        known.failures += 1;
        let (failures, source) = (known.failures, known.source);
        if failures >= MAX_FAILURES && source != PeerSource::User {
            self.set(addr, State::Never);
            self.known.remove(&addr);
            return;
        }
        let longest = if source == PeerSource::User { RETRY_MAX_USER } else { RETRY_MAX };
        let wait = (RETRY_MIN * (1 << (failures - 1).min(16))).min(longest);
        let quarter = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) / 4;
        let jitter = Duration::from_millis(self.rng.u64(0..=quarter));
        self.set(addr, State::Waiting(now + wait + jitter, 0));
    }

    /// Moves an address to another state; the queue and the count follow.
    fn set(&mut self, addr: SocketAddr, state: State) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        match known.state {
            State::Waiting(due, number) => {
                self.queue.remove(&(due, number, addr));
            }
            State::Due(number) => {
                self.due.remove(&(number, addr));
            }
            State::Dialing => self.dialing -= 1,
            State::Connected | State::Parked | State::Never => {}
        }
        known.state = state;
        match &mut known.state {
            State::Waiting(due, number) => {
                *number = self.rng.u32(..);
                self.queue.insert((*due, *number, addr));
            }
            State::Due(number) => {
                *number = self.ours.priority(addr).unwrap_or_else(|| self.rng.u32(..));
                self.due.insert((*number, addr));
            }
            State::Dialing => self.dialing += 1,
            State::Connected | State::Parked | State::Never => {}
        }
    }

    /// Makes room: the address that failed most often goes.
    pub(crate) fn forget_one(&mut self) -> bool {
        let idle = self.known.iter().filter(|(_, known)| {
            matches!(known.state, State::Waiting(..) | State::Due(_))
                && known.failures > 0
                && known.source != PeerSource::User
        });
        let Some(worst) = idle.max_by_key(|(_, known)| known.failures).map(|(&addr, _)| addr) else {
            return false;
        };
        self.set(worst, State::Never);
        self.known.remove(&worst).is_some()
    }
}

fn can_be_dialed(addr: SocketAddr) -> bool {
    let broadcast = matches!(addr.ip(), IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priority::External;
    use core::cmp::Reverse;
    use std::vec::Vec;

    fn addr(n: u32) -> SocketAddr {
        let [_, b, c, d] = n.to_be_bytes();
        SocketAddr::from(([10, b, c, d], 6881))
    }

    fn book_of(count: u32) -> Book {
        let mut book = Book::new(Rng::with_seed(1));
        (0..count).for_each(|n| book.add(addr(n), PeerSource::Tracker, Time::ZERO));
        book
    }

    #[test]
    fn each_address_is_dialed_once_in_random_order() {
        let mut book = book_of(100);
        let order: Vec<_> = core::iter::from_fn(|| book.next(Time::ZERO)).collect();
        assert_eq!(order.len(), 100);
        assert!(!order.is_sorted());
        assert_eq!(book.dialing(), 100);
        book.add(addr(5), PeerSource::Tracker, Time::ZERO);
        assert_eq!(book.next(Time::ZERO), None);
    }

    #[test]
    fn those_that_are_due_are_dialed_by_priority_as_soon_as_it_is_known() {
        let mut book = book_of(50);
        let first = book.next(Time::ZERO).unwrap();
        let mut external = External::new(&[[99, 1, 2, 3].into()], Some(1));
        book.set_ours(external.ours());
        let order: Vec<_> = core::iter::from_fn(|| book.next(Time::ZERO)).collect();
        assert_eq!(order.len(), 49);
        assert!(order.is_sorted_by_key(|&addr| Reverse(external.ours().priority(addr))));
        book.failed(first, Time::ZERO);
        external = External::default();
        book.set_ours(external.ours());
        let due = book.next_due().unwrap();
        assert!(due >= Time::ZERO + RETRY_MIN, "who waits still waits");
        assert_eq!((book.next(Time::ZERO), book.next(due)), (None, Some(first)));
    }

    #[test]
    fn failures_back_off_until_the_address_is_forgotten() {
        let mut book = book_of(1);
        let (mut now, mut last) = (Time::ZERO, Duration::ZERO);
        for _ in 1..MAX_FAILURES {
            assert_eq!(book.next(now), Some(addr(0)));
            book.failed(addr(0), now);
            let wait = book.next_due().unwrap().since(now);
            assert!(wait > last && wait <= RETRY_MAX * 5 / 4, "{wait:?}");
            assert_eq!(book.next(now), None);
            (now, last) = (now + wait, wait);
        }
        assert_eq!(book.next(now), Some(addr(0)));
        book.failed(addr(0), now);
        assert_eq!((book.len(), book.dialing(), book.next_due()), (0, 0, None));
    }

    #[test]
    fn what_the_user_gave_is_tried_for_ever() {
        let mut book = Book::new(Rng::with_seed(1));
        book.add(addr(0), PeerSource::Tracker, Time::ZERO);
        book.add(addr(0), PeerSource::User, Time::ZERO);
        let mut now = Time::ZERO;
        for _ in 0..50 {
            assert_eq!(book.next(now), Some(addr(0)));
            book.failed(addr(0), now);
            let due = book.next_due().unwrap();
            assert!(due.since(now) <= RETRY_MAX_USER * 5 / 4);
            now = due;
        }
    }

    #[test]
    fn a_useful_connection_clears_the_record() {
        let mut book = book_of(1);
        let mut now = Time::ZERO;
        for _ in 0..30 {
            assert_eq!(book.next(now), Some(addr(0)));
            book.connected(addr(0));
            assert_eq!(book.dialing(), 0);
            book.closed(addr(0), now, true);
            let due = book.next_due().unwrap();
            assert!(due.since(now) <= RETRY_MIN * 5 / 4);
            now = due;
        }
    }

    #[test]
    fn the_book_is_bounded_and_prefers_what_never_failed() {
        let full = u32::try_from(MAX_KNOWN_PEERS).unwrap();
        let mut book = book_of(full);
        book.add(addr(full), PeerSource::Tracker, Time::ZERO);
        assert_eq!(book.len(), MAX_KNOWN_PEERS);
        assert!(!book.known.contains_key(&addr(full)), "nobody had failed");
        let bad = book.next(Time::ZERO).unwrap();
        book.failed(bad, Time::ZERO);
        book.add(addr(full), PeerSource::Tracker, Time::ZERO);
        assert_eq!(book.len(), MAX_KNOWN_PEERS);
        assert!(book.known.contains_key(&addr(full)) && !book.known.contains_key(&bad));
    }

    #[test]
    fn seeds_are_parked_while_we_want_nothing() {
        let mut book = book_of(1);
        book.next(Time::ZERO);
        book.connected(addr(0));
        book.park(addr(0));
        book.closed(addr(0), Time::ZERO, true);
        assert_eq!(book.next_due(), None);
        book.unpark(Time::from_secs(9));
        assert_eq!(book.next(Time::from_secs(9)), Some(addr(0)));
    }

    #[test]
    fn nonsense_is_not_written_down() {
        let mut book = Book::new(Rng::with_seed(1));
        for text in ["1.2.3.4:0", "0.0.0.0:5", "224.0.0.1:5", "255.255.255.255:5", "[::]:5", "[ff02::1]:5"] {
            book.add(text.parse().unwrap(), PeerSource::Tracker, Time::ZERO);
        }
        assert_eq!(book.len(), 0);
    }
}
