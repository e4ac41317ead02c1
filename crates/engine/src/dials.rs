//! What all torrents together dial: one address that is advertised under a thousand torrents is dialed as often as one
//! that is advertised under one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use swarm::DialGuard;
use tokio::sync::Notify;
use types::Time;

/// Dials within five minutes, of all torrents, that nobody answered. At the limit no torrent dials anybody of whom it
/// knows only by hearsay: fifty-four a second.
const MAX_REMEMBERED: usize = 16_384;

/// Remembers who was dialed of late, by any torrent.
pub(crate) struct Dials {
    room: Mutex<Room>,
    /// An attempt has ended.
    ended: Notify,
}

struct Room {
    guard: DialGuard,
    /// As many as torrents may have under way.
    under_way: BTreeSet<SocketAddr>,
}

/// An attempt to reach an address; one that was not answered has failed when it is dropped.
pub(crate) struct Attempt<'a> {
    dials: &'a Dials,
    addr: SocketAddr,
}

/// What a torrent is to do that wants to dial.
pub(crate) enum Leave<'a> {
    Granted(Attempt<'a>),
    /// Somebody else is at it: what it comes to says more.
    Wait,
    /// It was dialed in vain of late, or its host was too often.
    Refused,
}

impl Dials {
    pub(crate) fn new() -> Dials {
        let room = Room { guard: DialGuard::new(MAX_REMEMBERED), under_way: BTreeSet::new() };
        Dials { room: Mutex::new(room), ended: Notify::new() }
    }

    pub(crate) fn ask(&self, addr: SocketAddr, now: Time) -> Leave<'_> {
        let mut room = self.room();
        if room.under_way.contains(&addr) {
            return Leave::Wait;
        }
        if room.guard.free_at(addr, now) > now {
            return Leave::Refused;
        }
        room.guard.dialed(addr, now);
        room.under_way.insert(addr);
        Leave::Granted(Attempt { dials: self, addr })
    }

    /// Ends with the next attempt of any torrent that ends from now on, even if it is polled later.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> {
        self.ended.notified()
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// A peer of the torrent is there: another torrent may try as well.
    pub(crate) fn answered(self) {
        self.dials.room().guard.answered(self.addr);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.dials.room().under_way.remove(&self.addr);
        self.dials.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn what_one_torrent_dialed_in_vain_no_other_does() {
        let (dials, now) = (Dials::new(), Time::from_secs(1));
        let Leave::Granted(attempt) = dials.ask(addr(1), now) else { panic!() };
        assert!(matches!(dials.ask(addr(1), now), Leave::Wait));
        let ended = dials.ended();
        drop(attempt);
        pollster::block_on(ended);
        assert!(matches!(dials.ask(addr(1), now), Leave::Refused));
        let later = now + swarm::limits::DIAL_INTERVAL;
        assert!(matches!(dials.ask(addr(1), later), Leave::Granted(_)));
    }

    #[test]
    fn whoever_answers_may_be_dialed_by_others() {
        let (dials, now) = (Dials::new(), Time::from_secs(1));
        for _ in 0..20 {
            let Leave::Granted(attempt) = dials.ask(addr(1), now) else { panic!() };
            attempt.answered();
        }
        let ports = (1..100).filter(|&port| matches!(dials.ask(addr(port), now), Leave::Granted(_)));
        assert_eq!(ports.count(), swarm::limits::MAX_HOST_DIALS);
    }

    #[test]
    fn so_many_dials_in_vain_are_remembered_and_then_nobody_is_dialed() {
        let (dials, now) = (Dials::new(), Time::from_secs(1));
        let host = |number: usize| SocketAddr::from((u32::try_from(number).unwrap().to_be_bytes(), 1));
        let first = 1 << 24;
        for number in 0..MAX_REMEMBERED {
            assert!(matches!(dials.ask(host(first + number), now), Leave::Granted(_)), "{number}");
        }
        let one_more = host(first + MAX_REMEMBERED);
        assert!(matches!(dials.ask(one_more, now), Leave::Refused));
        assert!(matches!(dials.ask(one_more, now + swarm::limits::DIAL_INTERVAL), Leave::Granted(_)));
    }
}
