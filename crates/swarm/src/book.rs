//! Addresses: whom to dial, and when again.
//!
//! Whatever is advertised, an address at which nobody of our torrent answered yet is dialed at most once in
//! [`DIAL_INTERVAL`]: see [`DialGuard`]. One that the user gave, or that answered, is dialed again sooner.

use crate::PeerSource;
use crate::dial_guard::{DialGuard, host, plain};
use crate::limits::{
    DIAL_INTERVAL, EXCHANGE_INTERVAL, MAX_EXCHANGED, MAX_FAILURES, MAX_FAILURES_TOLD, MAX_HEARD,
    MAX_KNOWN_PEERS, MAX_RECENT_DIALS, MAX_TOLD_BY_ONE, RETRY_MAX, RETRY_MAX_USER, RETRY_MIN,
};
use crate::priority::Ours;
use crate::source::{Sources, can_be_dialed, can_be_on_link};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use fastrand::Rng;
use types::Time;

#[derive(Debug)]
pub(crate) struct Book {
    known: BTreeMap<SocketAddr, Known>,
    /// Those that wait, by when they may be dialed; the number shuffles equals.
    queue: BTreeSet<(Time, u32, SocketAddr)>,
    /// Those whose time has come, by how far who told them is trusted, then by their priority (BEP 40), or by chance as
    /// long as that is not known.
    due: BTreeSet<(Rank, SocketAddr)>,
    /// How many addresses of each teller nobody else told.
    told: BTreeMap<IpAddr, usize>,
    /// When, in the last minute, of which host so many addresses were taken; the oldest first.
    heard: VecDeque<(Time, IpAddr, usize)>,
    guard: DialGuard,
    ours: Ours,
    dialing: usize,
    rng: Rng,
}

#[derive(Debug)]
struct Known {
    sources: Sources,
    /// The peer that told it first, while nobody but peers did.
    teller: Option<IpAddr>,
    /// In a row.
    failures: u32,
    /// We dialed it, and a peer of our torrent was there.
    answered: bool,
    state: State,
}

/// Who comes first is greater.
type Rank = (Reverse<u8>, u32);

/// An address is in exactly one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be dialed at this time; it stands in the queue with this number.
    Waiting(Time, u32),
    /// To be dialed now; it stands among those that are due with this rank.
    Due(Rank),
    Dialing,
    Connected,
    /// A seed that we want nothing from, for now.
    Parked,
    /// Ourselves, or banned: never to be dialed.
    Never,
}

impl Known {
    fn is_users(&self) -> bool {
        self.sources.contains(PeerSource::User)
    }

    /// Whether it wants to be dialed, as far as we know.
    fn is_free(&self) -> bool {
        self.is_users() || self.answered
    }

    /// Who goes first when there is no room: the greatest. Who failed, then who wants nothing, then whom nobody told
    /// who can be trusted.
    fn worthlessness(&self) -> (u32, bool, u8) {
        (self.failures, self.state == State::Parked, self.sources.doubt())
    }
}

impl Book {
    pub(crate) fn new(rng: Rng) -> Book {
        Book {
            known: BTreeMap::new(),
            queue: BTreeSet::new(),
            due: BTreeSet::new(),
            told: BTreeMap::new(),
            heard: VecDeque::new(),
            guard: DialGuard::new(MAX_RECENT_DIALS),
            ours: Ours::default(),
            dialing: 0,
            rng,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.known.keys().copied()
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
        self.note(addr, source, None, now);
    }

    /// A peer tells so many addresses; says how many of them are taken: in any minute no more than [`MAX_EXCHANGED`] of one
    /// host, however often it comes again.
    pub(crate) fn hear(&mut self, teller: IpAddr, addrs: usize, now: Time) -> usize {
        while self.heard.front().is_some_and(|&(at, ..)| now.since(at) >= EXCHANGE_INTERVAL) {
            self.heard.pop_front();
        }
        let teller = host(teller).0;
        let of_it = self.heard.iter().filter(|(_, other, _)| *other == teller);
        let before: usize = of_it.map(|(.., taken)| taken).sum();
        let taken = addrs.min(MAX_EXCHANGED.saturating_sub(before));
        if taken > 0 {
            if self.heard.len() >= MAX_HEARD {
                self.heard.pop_front();
            }
            self.heard.push_back((now, teller, taken));
        }
        taken
    }

    /// A peer told an address; says whether it is news. Of those that nobody else told, one host has a share.
    pub(crate) fn add_told(&mut self, addr: SocketAddr, teller: IpAddr, now: Time) -> bool {
        let teller = host(teller).0;
        let has_room = self.told.get(&teller).is_none_or(|&told| told < MAX_TOLD_BY_ONE);
        has_room && self.note(addr, PeerSource::Pex, Some(teller), now)
    }

    /// Says whether the address is new.
    fn note(&mut self, addr: SocketAddr, source: PeerSource, teller: Option<IpAddr>, now: Time) -> bool {
        // What the user gives, or came over a local network or a connection, may say by which link it is reached.
        let has_link = matches!(source, PeerSource::User | PeerSource::Lsd | PeerSource::Peer);
        let addr = if has_link && addr.is_ipv6() { canonical(addr) } else { plain(addr) };
        let can_be_there = if has_link { can_be_on_link(addr) } else { can_be_dialed(addr) };
        if !can_be_there {
            return false;
        }
        if let Some(known) = self.known.get_mut(&addr) {
            let doubt = known.sources.doubt();
            known.sources = known.sources.with(source);
            let (state, is_better) = (known.state, known.sources.doubt() < doubt);
            if source != PeerSource::Pex {
                self.clear_teller(addr);
            }
            if is_better {
                self.stand_anew(addr, state, source, now);
            }
            return false;
        }
        if self.known.len() >= MAX_KNOWN_PEERS && !self.make_room(source) {
            return false;
        }
        let sources = Sources::of(source);
        let known = Known { sources, teller, failures: 0, answered: false, state: State::Parked };
        self.known.insert(addr, known);
        if let Some(teller) = teller {
            *self.told.entry(teller).or_default() += 1;
        }
        self.set(addr, State::Waiting(now, 0));
        true
    }

    /// Somebody who is trusted more told it too.
    fn stand_anew(&mut self, addr: SocketAddr, state: State, source: PeerSource, now: Time) {
        match state {
            State::Due(_) => self.set(addr, State::Due(NO_RANK)),
            State::Waiting(due, _) if source == PeerSource::User && due > now => {
                self.set(addr, State::Waiting(now, 0));
            }
            _ => {}
        }
    }

    /// Up to so many addresses at which a peer of our torrent was when we dialed them, and that may be dialed again: those
    /// first that failed least since.
    pub(crate) fn worth_trying(&self, most: usize) -> Vec<SocketAddr> {
        let answered = self.known.iter().filter(|(_, known)| known.answered && known.state != State::Never);
        let mut worth: Vec<_> = answered.map(|(&addr, known)| (known.failures, addr)).collect();
        worth.sort_unstable();
        worth.into_iter().take(most).map(|(_, addr)| addr).collect()
    }

    /// An address to dial now.
    pub(crate) fn next(&mut self, now: Time) -> Option<SocketAddr> {
        while let Some(&(due, _, addr)) = self.queue.first()
            && due <= now
        {
            self.set(addr, State::Due(NO_RANK));
        }
        while let Some(&(_, addr)) = self.due.last() {
            let free_at = self.free_at(addr, now);
            if free_at > now {
                self.set(addr, State::Waiting(free_at, 0));
                continue;
            }
            if !self.known.get(&addr).is_some_and(Known::is_free) {
                self.guard.dialed(addr, now);
            }
            self.set(addr, State::Dialing);
            return Some(addr);
        }
        None
    }

    /// When the address may be dialed, whatever its state.
    fn free_at(&mut self, addr: SocketAddr, now: Time) -> Time {
        let is_free = self.known.get(&addr).is_some_and(Known::is_free);
        if is_free { Time::ZERO } else { self.guard.free_at(addr, now) }
    }

    /// We know how others see us, or other than before.
    pub(crate) fn set_ours(&mut self, ours: Ours) {
        self.ours = ours;
        for (_, addr) in core::mem::take(&mut self.due) {
            self.set(addr, State::Due(NO_RANK));
        }
    }

    /// Whether the user gave the address.
    pub(crate) fn is_users(&self, addr: SocketAddr) -> bool {
        self.known.get(&addr).is_some_and(Known::is_users)
    }

    /// Whether it may be dialed again at once, since it wants that: the user gave it, or it has answered.
    pub(crate) fn is_free(&self, addr: SocketAddr) -> bool {
        self.known.get(&addr).is_some_and(Known::is_free)
    }

    /// There is a connection with the address, whoever dialed.
    pub(crate) fn connected(&mut self, addr: SocketAddr) {
        self.set(addr, State::Connected);
    }

    /// We dialed the address, and a peer of our torrent was there.
    pub(crate) fn answered(&mut self, addr: SocketAddr) {
        self.guard.answered(addr);
        if let Some(known) = self.known.get_mut(&addr) {
            known.answered = true;
        }
        self.connected(addr);
    }

    /// Dialing led to nothing.
    pub(crate) fn failed(&mut self, addr: SocketAddr, now: Time) {
        let Some(known) = self.known.get(&addr).filter(|known| known.state == State::Dialing) else { return };
        let least = if known.is_free() { RETRY_MIN } else { DIAL_INTERVAL };
        self.wait(addr, now, least);
    }

    /// A connection with the address ended. `useful`: payload went over it.
    pub(crate) fn closed(&mut self, addr: SocketAddr, now: Time, useful: bool) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        if known.state == State::Connected {
            known.failures = if useful { 0 } else { known.failures };
            self.wait(addr, now, RETRY_MIN);
        }
    }

    /// The address is a seed's and we want nothing.
    pub(crate) fn park(&mut self, addr: SocketAddr) {
        self.set(addr, State::Parked);
    }

    /// We want something again.
    pub(crate) fn unpark(&mut self, now: Time) {
        let parked = self.known.iter().filter(|(_, known)| known.state == State::Parked);
        let parked: Vec<SocketAddr> = parked.map(|(&addr, _)| addr).collect();
        for addr in parked {
            self.set(addr, State::Waiting(now, 0));
        }
    }

    /// The address is not to be dialed any more.
    pub(crate) fn never(&mut self, addr: SocketAddr) {
        self.set(addr, State::Never);
    }

    /// One more failure: try again later, or forget the address.
    fn wait(&mut self, addr: SocketAddr, now: Time, least: Duration) {
        let Some(known) = self.known.get_mut(&addr) else { return };
        known.failures += 1;
        let (failures, is_users) = (known.failures, known.is_users());
        let only_told = known.sources == Sources::of(PeerSource::Pex) && !known.answered;
        let most = if only_told { MAX_FAILURES_TOLD } else { MAX_FAILURES };
        if failures >= most && !is_users {
            self.forget(addr);
            return;
        }
        let longest = if is_users { RETRY_MAX_USER } else { RETRY_MAX };
        let wait = (least * (1 << (failures - 1).min(16))).min(longest);
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
            State::Due(rank) => {
                self.due.remove(&(rank, addr));
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
            State::Due(rank) => {
                let number = self.ours.priority(addr).unwrap_or_else(|| self.rng.u32(..));
                *rank = (Reverse(known.sources.doubt()), number);
                self.due.insert((*rank, addr));
            }
            State::Dialing => self.dialing += 1,
            State::Connected | State::Parked | State::Never => {}
        }
    }

    fn forget(&mut self, addr: SocketAddr) {
        self.clear_teller(addr);
        self.set(addr, State::Never);
        self.known.remove(&addr);
    }

    /// The address does not count as its teller's any more.
    fn clear_teller(&mut self, addr: SocketAddr) {
        let teller = self.known.get_mut(&addr).and_then(|known| known.teller.take());
        if let Some(teller) = teller
            && let Some(told) = self.told.get_mut(&teller)
        {
            *told -= 1;
            if *told == 0 {
                self.told.remove(&teller);
            }
        }
    }

    /// Makes room for an address of a source. Who failed most often goes, or else a seed that we want nothing from, or
    /// else an address whose sources are trusted less; nobody whose sources are trusted more, whatever became of it, or
    /// peers that tell enough would decide whom we know. Nothing of the user's, and nobody whom we are dealing with.
    pub(crate) fn make_room(&mut self, source: PeerSource) -> bool {
        let doubt = source.doubt();
        let idle = self.known.iter().filter(|(_, known)| {
            matches!(known.state, State::Waiting(..) | State::Due(_) | State::Parked)
                && !known.is_users()
                && known.sources.doubt() >= doubt
                && known.worthlessness() > (0, false, doubt)
        });
        let worst = idle.max_by_key(|(_, known)| known.worthlessness()).map(|(&addr, _)| addr);
        worst.inspect(|&worst| self.forget(worst)).is_some()
    }

    pub(crate) fn knows(&self, addr: SocketAddr) -> bool {
        self.known.contains_key(&addr)
    }

    /// # Panics
    /// If a count is wrong or a limit is passed.
    pub(crate) fn check(&self) {
        assert!(self.known.len() <= MAX_KNOWN_PEERS && self.guard.len() <= MAX_RECENT_DIALS);
        assert!(self.heard.len() <= MAX_HEARD);
        let mut told = BTreeMap::<IpAddr, usize>::new();
        for teller in self.known.values().filter_map(|known| known.teller) {
            *told.entry(teller).or_default() += 1;
        }
        assert_eq!(self.told, told);
        assert!(told.values().all(|&told| told <= MAX_TOLD_BY_ONE));
    }
}

/// Until it is computed.
const NO_RANK: Rank = (Reverse(u8::MAX), 0);

/// The same address, as IPv4 if it is an IPv4 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    if addr.ip().to_canonical().is_ipv4() { plain(addr) } else { addr }
}

#[cfg(test)]
mod tests;
