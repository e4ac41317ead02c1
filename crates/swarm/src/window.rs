//! How many requests one peer is to have in flight.
//!
//! Rate times round trip, with head room. Both are measured on the requests themselves, as BBR measures packets:
//! when a block arrives, the bytes that arrived since it was asked for, over the time since, are what the peer
//! delivers per second at this window, and the shortest time that any request took is the round trip of an empty
//! queue. As long as the window is what holds the peer back, the measured rate is window / round trip and the next
//! window is more than twice as large (slow start); when the peer is what holds back, the window stays at two round
//! trips and half a second of its rate. There is no other ceiling than the peer's own queue (BEP 10, `reqq`).
//!
//! A window is so deep that it need not be full at every moment: requests wait for each other, since each message costs a
//! system call and wakes up the peer.

use crate::limits::{
    BATCH_FROM, BATCH_HEADROOM, DEADLINE_HEADROOM, DEFAULT_REQQ, INITIAL_WINDOW, MAX_WINDOW, MIN_WINDOW,
    REQUEST_BATCH, WINDOW_HEADROOM,
};
use core::time::Duration;
use types::{BLOCK_LEN, Time};

/// The request window of one peer.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    target: usize,
    delivered: u64,
    round_trip: Option<Duration>,
    /// The best rate of this epoch and of the one before, in bytes per second.
    best: [u64; 2],
    epoch: Time,
}

/// What is remembered of a request until its block arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) sent: Time,
    delivered: u64,
}

/// A rate is forgotten after one to two of these.
const EPOCH: Duration = Duration::from_secs(3);
/// No round trip is taken for longer: that would be a queue, not a path.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(5);
/// Above any link; keeps the arithmetic in range.
const MAX_RATE: u64 = 100_000_000_000;

impl Window {
    pub(crate) fn new() -> Window {
        Window {
            limit: DEFAULT_REQQ,
            target: INITIAL_WINDOW,
            delivered: 0,
            round_trip: None,
            best: [0; 2],
            epoch: Time::ZERO,
        }
    }

    /// The peer told how many requests it queues.
    pub(crate) fn set_reqq(&mut self, reqq: u32) {
        self.limit = usize::try_from(reqq).unwrap_or(MAX_WINDOW).clamp(1, MAX_WINDOW);
    }

    /// How many requests to have in flight.
    pub(crate) fn target(&self) -> usize {
        self.target.min(self.limit)
    }

    /// Whether so many requests in flight are enough for now: what is asked for next waits for more, so that one message to
    /// the peer, which wakes it up, carries many requests. A quarter of the window may be free at most, a segment's worth,
    /// and what keeps the peer busy for two round trips and [`BATCH_HEADROOM`] is in flight all the same, as far as its
    /// queue has room. Nothing waits if the window is smaller than [`BATCH_FROM`].
    pub(crate) fn is_full_enough(&self, in_flight: usize) -> bool {
        let target = self.target();
        let busy = self.blocks_in(self.round_trip.unwrap_or_default() * 2 + BATCH_HEADROOM);
        let most = if target < BATCH_FROM { 1 } else { REQUEST_BATCH };
        let batch = (target / 4).min(most).min(target.saturating_sub(busy)).max(1);
        in_flight + batch > target
    }

    /// The same when blocks are wanted soon: what is asked for late waits behind all that was asked for before. No
    /// more than keeps the peer busy, and `least`; `first` before anything is known of it.
    pub(crate) fn short_target(&self, first: usize, least: usize) -> usize {
        let Some(round_trip) = self.round_trip else { return first.min(self.limit) };
        self.blocks_in(round_trip + DEADLINE_HEADROOM).max(least).min(self.target())
    }

    pub(crate) fn ticket(&self, now: Time) -> Ticket {
        Ticket { sent: now, delivered: self.delivered }
    }

    /// A block of `len` bytes arrived that had been asked for under `ticket`.
    pub(crate) fn on_block(&mut self, now: Time, ticket: Ticket, len: u32) {
        self.delivered += u64::from(len);
        let took = now.since(ticket.sent).max(Duration::from_micros(10));
        let round_trip = self.round_trip.map_or(took, |known| known.min(took)).min(MAX_ROUND_TRIP);
        self.round_trip = Some(round_trip);
        if now.since(self.epoch) > EPOCH.max(round_trip * 4) {
            self.best = [0, self.best[0]];
            self.epoch = now;
        }
        let bytes = self.delivered - ticket.delivered;
        let rate = (bytes.saturating_mul(1_000_000) / micros(took)).min(MAX_RATE);
        self.best[0] = self.best[0].max(rate);
        self.target = self.blocks_in(round_trip * 2 + WINDOW_HEADROOM).max(MIN_WINDOW);
    }

    /// How many blocks, begun ones included, the peer delivers in this time: no more than [`MAX_WINDOW`].
    fn blocks_in(&self, span: Duration) -> usize {
        let bytes = self.rate() * micros(span) / 1_000_000;
        usize::try_from(bytes.div_ceil(u64::from(BLOCK_LEN))).unwrap_or(MAX_WINDOW).min(MAX_WINDOW)
    }

    /// Everything that was measured is forgotten.
    pub(crate) fn forget(&mut self) {
        *self = Window { limit: self.limit, delivered: self.delivered, target: MIN_WINDOW, ..Window::new() };
    }

    /// The peer's rate in bytes per second; 0 until a block arrived.
    pub(crate) fn rate(&self) -> u64 {
        self.best[0].max(self.best[1])
    }

    /// The shortest time that any request took; `None` until a block arrived.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How long `requests` in flight should take; `None` until a block arrived.
    pub(crate) fn expected(&self, requests: usize) -> Option<Duration> {
        let round_trip = self.round_trip?;
        let bytes = u64::try_from(requests).unwrap_or(u64::MAX).saturating_mul(u64::from(BLOCK_LEN));
        Some(round_trip + Duration::from_micros(bytes.saturating_mul(1_000_000) / self.rate().max(1)))
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A peer behind a link: each block arrives `rtt` after it was asked for or when the link has carried it.
    /// Returns the bytes per second of the last quarter, and the window at the end.
    fn drive(rate: u64, rtt: Duration, reqq: u32, run: Duration) -> (u64, usize) {
        let mut window = Window::new();
        window.set_reqq(reqq);
        let block_time = Duration::from_nanos(u64::from(BLOCK_LEN) * 1_000_000_000 / rate);
        let (mut now, mut link_free, mut late) = (Time::from_secs(1), Time::ZERO, 0);
        let end = now + run;
        let mut flight = VecDeque::new();
        while now < end {
            let room = if window.is_full_enough(flight.len()) { 0 } else { window.target() - flight.len() };
            for _ in 0..room {
                link_free = link_free.max(now + rtt) + block_time;
                flight.push_back((link_free, window.ticket(now)));
            }
            let (arrives, ticket) = flight.pop_front().expect("the window is never 0");
            now = arrives;
            window.on_block(now, ticket, BLOCK_LEN);
            if end.since(now) < run / 4 {
                late += u64::from(BLOCK_LEN);
            }
        }
        (late * 1000 / u64::try_from((run / 4).as_millis()).unwrap(), window.target())
    }

    #[test]
    fn fills_ten_gigabit_at_a_hundred_milliseconds() {
        let (rate, window) = drive(1_250_000_000, Duration::from_millis(100), 20_000, Duration::from_secs(4));
        assert!(rate > 1_200_000_000, "{rate}");
        assert!(window >= 7_600, "{window}");
    }

    #[test]
    fn fills_a_home_line_without_flooding_it() {
        let (rate, window) = drive(1_000_000, Duration::from_millis(60), 500, Duration::from_secs(20));
        assert!(rate > 980_000, "{rate}");
        assert!((30..=60).contains(&window), "{window}");
    }

    #[test]
    fn a_slow_peer_gets_the_least() {
        let (_, window) = drive(20_000, Duration::from_millis(100), 500, Duration::from_secs(120));
        assert!(window <= 6, "{window}");
    }

    #[test]
    fn is_bounded_by_the_peer_and_by_us() {
        assert_eq!(drive(1 << 34, Duration::from_micros(100), 250, Duration::from_secs(1)).1, 250);
        assert_eq!(drive(1 << 38, Duration::from_secs(1), u32::MAX, Duration::from_secs(10)).1, MAX_WINDOW);
        let mut window = Window::new();
        window.set_reqq(0);
        assert_eq!(window.target(), 1);
    }

    #[test]
    fn requests_wait_for_others_unless_the_peer_has_little_to_do() {
        let start = Time::from_secs(1);
        let fast = |reqq| {
            let mut window = Window::new();
            window.set_reqq(reqq);
            let tickets = [window.ticket(start); 200];
            tickets.into_iter().for_each(|ticket| {
                window.on_block(start + Duration::from_millis(100), ticket, BLOCK_LEN);
            });
            window
        };
        let window = fast(1000);
        assert!(
            window.target() == 1000 && window.is_full_enough(1000 - 63) && !window.is_full_enough(1000 - 64)
        );
        // Its queue is shorter than what it delivers in two round trips.
        let window = fast(200);
        assert!(window.target() == 200 && window.is_full_enough(200) && !window.is_full_enough(199));
        // What little it has to do costs little.
        let first = Window::new();
        assert!(first.is_full_enough(INITIAL_WINDOW) && !first.is_full_enough(INITIAL_WINDOW - 1));
        // The fewest.
        let mut slow = Window::new();
        slow.on_block(start + Duration::from_secs(1), slow.ticket(start), 1);
        assert!(slow.target() == MIN_WINDOW && !slow.is_full_enough(MIN_WINDOW - 1));
    }

    #[test]
    fn starts_with_a_fixed_window_and_knows_no_time() {
        let window = Window::new();
        assert_eq!(window.target(), INITIAL_WINDOW);
        assert_eq!(window.expected(3), None);
    }

    #[test]
    fn what_is_measured_has_bounds() {
        let (mut window, start) = (Window::new(), Time::from_secs(1));
        window.on_block(start + MAX_ROUND_TRIP * 2, window.ticket(start), BLOCK_LEN);
        assert_eq!(window.round_trip(), Some(MAX_ROUND_TRIP));
        window.on_block(start, window.ticket(start), u32::MAX);
        assert_eq!(window.rate(), MAX_RATE);
    }
}
