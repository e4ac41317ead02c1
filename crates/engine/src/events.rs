//! What is said and done, for whoever listens: one typed and versioned stream (see the crate `trace` for its form).
//!
//! Nothing is made while nobody listens: whether anybody does is one number that is looked at. A listener that falls behind
//! by [`EVENT_QUEUE`] events, or [`EVENT_BYTES`], loses the oldest and is told how many; the engine never waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
pub use trace::{
    Block, Direction, Event, EventKind, Evidence, Ext, Filter, FilterError, Kind, NO_TORRENT, Peer, Said,
    VERSION, explain, scrub,
};
use types::InfoHash;

/// How many events a listener may be behind before it loses some.
pub(crate) const EVENT_QUEUE: usize = 16 * 1024;

/// How many bytes of bit fields, hashes and extension messages may be among them; at the limit it loses the oldest.
pub(crate) const EVENT_BYTES: usize = 32 << 20;

/// A listener's end of the stream of events; dropping it ends the listening.
#[derive(Debug)]
pub struct Events {
    hub: Arc<Inner>,
    queue: Arc<Queue>,
    addresses: bool,
}

impl Events {
    /// The next event; `None` once the engine has shut down. Nothing is lost if it is not waited for to its end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let rung = self.queue.bell.notified();
            {
                let mut held = lock(&self.queue.held);
                if let Some(mut event) = held.pop() {
                    drop(held);
                    if !self.addresses {
                        event.mask();
                    }
                    return Some(event);
                }
                if held.closed {
                    return None;
                }
            }
            rung.await;
        }
    }

    /// How many events were lost so far because this listener was too slow.
    pub fn lost(&self) -> u64 {
        lock(&self.queue.held).lost
    }

    /// The same, with the addresses of peers in them: for the eyes of who runs the engine.
    #[must_use]
    pub fn with_addresses(mut self) -> Events {
        self.addresses = true;
        self
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut listeners = lock(&self.hub.listeners);
        listeners.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.hub.note_wanted(&listeners);
    }
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    /// The bits of the kinds that somebody wants to hear of.
    wanted: AtomicU32,
    /// The number of who began to listen last.
    newest: AtomicU64,
    listeners: Mutex<Vec<Arc<Queue>>>,
}

#[derive(Debug)]
struct Queue {
    /// Later listeners have greater ones.
    number: u64,
    filter: Filter,
    held: Mutex<Held>,
    bell: Notify,
}

/// What a listener has not taken yet.
#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Event>,
    bytes: usize,
    lost: u64,
    closed: bool,
}

impl Held {
    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= event.kind.weight();
        Some(event)
    }

    fn push(&mut self, event: Event) {
        self.bytes += event.kind.weight();
        self.events.push_back(event);
        while self.events.len() > EVENT_QUEUE || self.bytes > EVENT_BYTES {
            self.pop();
            self.lost += 1;
        }
    }
}

impl Inner {
    fn note_wanted(&self, listeners: &[Arc<Queue>]) {
        let wanted = listeners.iter().fold(0, |bits, queue| bits | queue.filter.bits());
        self.wanted.store(wanted, Ordering::Relaxed);
    }
}

impl Hub {
    pub(crate) fn new(started: Instant) -> Hub {
        Hub { inner: Arc::default(), started }
    }

    pub(crate) fn listen(&self, filter: Filter) -> Events {
        let mut listeners = lock(&self.inner.listeners);
        let number = self.newest() + 1;
        let queue = Arc::new(Queue { number, filter, held: Mutex::default(), bell: Notify::new() });
        listeners.push(queue.clone());
        self.inner.newest.store(number, Ordering::Release);
        self.inner.note_wanted(&listeners);
        drop(listeners);
        Events { hub: self.inner.clone(), queue, addresses: false }
    }

    /// Whether anybody wants to hear of one of the kinds with these bits.
    pub(crate) fn is_heard(&self, bits: u32) -> bool {
        self.inner.wanted.load(Ordering::Relaxed) & bits != 0
    }

    /// The number of who began to listen last; 0: nobody has yet.
    pub(crate) fn newest(&self) -> u64 {
        self.inner.newest.load(Ordering::Acquire)
    }

    /// Tells those who began to listen after the one with this number.
    pub(crate) fn tell_newcomers(&self, torrent: InfoHash, after: u64, kind: EventKind) {
        self.pass_on(torrent, kind, after);
    }

    /// Tells everybody who listens; `kind` is only made if somebody does.
    pub(crate) fn tell(&self, torrent: InfoHash, kind: impl FnOnce() -> EventKind) {
        if self.is_heard(u32::MAX) {
            self.pass_on(torrent, kind(), 0);
        }
    }

    fn pass_on(&self, torrent: InfoHash, kind: EventKind, after: u64) {
        if !self.is_heard(kind.kind().bit()) {
            return;
        }
        let listeners = lock(&self.inner.listeners);
        // The time is taken while nobody else tells anything: events come in the order of their times.
        let event = Event { v: VERSION, at: self.started.elapsed(), torrent, kind };
        let wants = |queue: &&Arc<Queue>| queue.number > after && queue.filter.admits(&event);
        for queue in listeners.iter().filter(wants) {
            lock(&queue.held).push(event.clone());
            queue.bell.notify_one();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for queue in lock(&self.inner.listeners).iter() {
            lock(&queue.held).closed = true;
            queue.bell.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::InfoHashV1;

    const TORRENT: InfoHash = InfoHash::V1(InfoHashV1([0; 20]));

    fn verified(piece: u32) -> EventKind {
        EventKind::PieceVerified { piece, from: Vec::new() }
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told() {
        let hub = Hub::new(Instant::now());
        hub.tell(TORRENT, || unreachable!("nobody listens"));
        let mut events = hub.listen(Filter::all());
        for piece in 0..u32::try_from(EVENT_QUEUE).unwrap() + 10 {
            hub.tell(TORRENT, || verified(piece));
        }
        let first = pollster::block_on(events.next()).unwrap();
        assert_eq!((first.kind, events.lost()), (verified(10), 10));
        drop(events);
        hub.tell(TORRENT, || unreachable!("nobody listens any more"));
    }

    #[test]
    fn events_come_in_the_order_of_their_times() {
        let hub = Hub::new(Instant::now());
        let mut events = hub.listen(Filter::all());
        let tellers = 4;
        std::thread::scope(|scope| {
            for _ in 0..tellers {
                scope.spawn(|| (0..EVENT_QUEUE / tellers).for_each(|_| hub.tell(TORRENT, || verified(1))));
            }
        });
        drop(hub);
        let times: Vec<_> =
            std::iter::from_fn(|| pollster::block_on(events.next())).map(|event| event.at).collect();
        assert_eq!(times.len(), EVENT_QUEUE);
        assert!(times.is_sorted());
    }

    #[test]
    fn who_begins_later_is_told_alone() {
        let hub = Hub::new(Instant::now());
        let (mut first, before) = (hub.listen(Filter::all()), hub.newest());
        let mut second = hub.listen(Filter::all());
        hub.tell_newcomers(TORRENT, before, verified(1));
        hub.tell(TORRENT, || verified(2));
        assert_eq!(pollster::block_on(first.next()).unwrap().kind, verified(2));
        assert_eq!(pollster::block_on(second.next()).unwrap().kind, verified(1));
    }

    #[test]
    fn what_is_large_is_bounded_in_bytes() {
        let hub = Hub::new(Instant::now());
        let events = hub.listen(Filter::all());
        let (peer, direction) = (Peer::default(), Direction::In);
        for _ in 0..EVENT_BYTES / (1 << 20) + 5 {
            let said = Said::Bitfield { pieces: 0, bits: vec![0; 1 << 20] };
            hub.tell(TORRENT, || EventKind::Message { peer, direction, said, reason: None, took: None });
        }
        assert_eq!(events.lost(), 5);
    }

    #[test]
    fn a_listener_hears_what_it_asked_for_without_addresses_and_the_end() {
        let hub = Hub::new(Instant::now());
        let mut events = hub.listen(Filter::of(&[Kind::Connection]));
        let mut all = hub.listen(Filter::all()).with_addresses();
        let peer = Peer::from("10.0.0.7:6881".parse::<std::net::SocketAddr>().unwrap());
        hub.tell(TORRENT, || verified(1));
        hub.tell(TORRENT, || EventKind::Dialing { peer });
        drop(hub);
        let masked = EventKind::Dialing { peer: Peer::default() };
        assert_eq!(pollster::block_on(events.next()).unwrap().kind, masked);
        assert_eq!(pollster::block_on(events.next()), None);
        assert_eq!(pollster::block_on(all.next()).unwrap().kind, verified(1));
        assert_eq!(pollster::block_on(all.next()).unwrap().kind, EventKind::Dialing { peer });
    }
}
