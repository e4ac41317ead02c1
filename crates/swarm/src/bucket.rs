//! A token bucket: how much may pass in one direction.
//!
//! What has passed is charged. What is on its way (asked for, or handed out to be sent) is *committed*: it counts
//! against the balance but costs nothing until it passes, so that what never comes was never paid for. More may be
//! committed as long as the balance covers what is; a portion larger than the balance puts it into debt, which is
//! paid off before anything else passes. So the long-run rate is exact whatever the portions.

use crate::limits::{BURST_BYTES, BURST_TIME, DEBT_TIME, LIMIT_TICK, SWITCH_TIME};
use core::time::Duration;
use types::Time;

#[derive(Debug)]
pub(crate) struct Bucket {
    /// Bytes per second, at least 1.
    rate: Option<u64>,
    /// In billionths of a byte: what a nanosecond earns at a byte per second. Nothing is lost to rounding.
    balance: i128,
    /// When the balance was that.
    at: Time,
}

const NANOS: i128 = 1_000_000_000;

impl Bucket {
    /// A limit of `bytes_per_sec`; `None` is none, and 0 is taken as 1.
    pub(crate) fn new(bytes_per_sec: Option<u64>, now: Time) -> Bucket {
        Bucket { rate: bytes_per_sec.map(|rate| rate.max(1)), balance: 0, at: now }
    }

    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Another limit from now on. Under a first one, what is on its way already is paid for like everything else, but
    /// it does not take longer than [`SWITCH_TIME`] until more may be.
    pub(crate) fn set_rate(&mut self, now: Time, bytes_per_sec: Option<u64>, committed: u64) {
        let first = self.rate.is_none();
        self.earn(now, committed);
        self.rate = bytes_per_sec.map(|rate| rate.max(1));
        if first {
            self.balance = (billionths(committed) - self.worth(SWITCH_TIME)).max(0);
        }
        self.keep_in_bounds(committed);
        self.at = now;
    }

    /// So many bytes passed.
    pub(crate) fn charge(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.balance = self.balance.saturating_sub(billionths(bytes));
        }
    }

    /// When more may be committed if so much is on its way; `None`: now.
    pub(crate) fn wait(&mut self, now: Time, committed: u64) -> Option<Time> {
        self.earn(now, committed);
        let rate = i128::from(self.rate?);
        let lacking = billionths(committed) - self.balance;
        if lacking <= 0 {
            return None;
        }
        let nanos = u64::try_from((lacking + rate - 1) / rate).unwrap_or(u64::MAX);
        Some(now + Duration::from_nanos(nanos).max(LIMIT_TICK))
    }

    fn earn(&mut self, now: Time, committed: u64) {
        self.balance = self.balance.saturating_add(self.worth(now.since(self.at)));
        self.at = self.at.max(now);
        self.keep_in_bounds(committed);
    }

    /// Allowance that is not used is kept up to a burst, debt up to what was not to be expected.
    fn keep_in_bounds(&mut self, committed: u64) {
        let at_least_a_block = |time| self.worth(time).max(billionths(BURST_BYTES));
        let (burst, debt) = (at_least_a_block(BURST_TIME), at_least_a_block(DEBT_TIME));
        self.balance = self.balance.clamp(-debt, burst + billionths(committed));
    }

    /// What is earned in this time.
    fn worth(&self, time: Duration) -> i128 {
        let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        nanos.saturating_mul(i128::from(self.rate.unwrap_or(0)))
    }
}

fn billionths(bytes: u64) -> i128 {
    i128::from(bytes) * NANOS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1_000_000;

    /// Commits a portion whenever it may; each passes `latency` later. Returns the bytes that passed until `end`.
    fn run(rate: u64, portion: u64, latency: Duration, end: Time) -> u64 {
        let mut bucket = Bucket::new(Some(rate), Time::ZERO);
        let mut flight = std::collections::VecDeque::new();
        let (mut now, mut passed) = (Time::ZERO, 0);
        while now < end {
            while flight.front().is_some_and(|&at| at <= now) {
                flight.pop_front();
                bucket.charge(portion);
                passed += portion;
            }
            now = match bucket.wait(now, flight.len() as u64 * portion) {
                Some(at) => flight.front().copied().map_or(at, |due: Time| due.min(at)),
                None => {
                    flight.push_back(now + latency);
                    now
                }
            };
        }
        passed
    }

    #[test]
    fn the_long_run_rate_is_exact_for_any_portion() {
        for portion in [100, 1_000, 16_384, 3 * MB] {
            for latency in [0, 5, 400] {
                let passed = run(MB, portion, Duration::from_millis(latency), Time::from_secs(100));
                let slack = portion + MB / 2;
                assert!(passed.abs_diff(100 * MB) <= slack, "{portion} after {latency} ms: {passed}");
            }
        }
    }

    #[test]
    fn a_slow_rate_moves() {
        let passed = run(20_000, 16_384, Duration::from_millis(50), Time::from_secs(100));
        assert!((1_966_080..=2_016_384).contains(&passed), "{passed}");
    }

    #[test]
    fn unused_allowance_is_bounded() {
        let mut bucket = Bucket::new(Some(MB), Time::ZERO);
        let later = Time::from_secs(3600);
        assert_eq!(bucket.wait(later, 0), None);
        bucket.charge(MB / 10 + MB);
        assert_eq!(
            bucket.wait(later, 0),
            Some(later + Duration::from_secs(1)),
            "a tenth of a second was kept"
        );
        let mut slow = Bucket::new(Some(1), Time::ZERO);
        assert_eq!(slow.wait(Time::from_secs(1 << 30), 0), None);
        slow.charge(BURST_BYTES + 1);
        assert!(slow.wait(Time::from_secs(1 << 30), 0).is_some(), "a block was kept");
    }

    #[test]
    fn debt_is_bounded() {
        let mut bucket = Bucket::new(Some(MB), Time::ZERO);
        bucket.charge(u64::MAX);
        assert_eq!(bucket.wait(Time::ZERO, 0), Some(Time::ZERO + DEBT_TIME));
    }

    #[test]
    fn what_never_comes_is_not_paid_for() {
        let mut bucket = Bucket::new(Some(MB), Time::ZERO);
        assert!(bucket.wait(Time::ZERO, 10_000).is_some());
        assert_eq!(bucket.wait(Time::ZERO, 0), None);
    }

    #[test]
    fn a_first_limit_waits_for_what_is_on_its_way_and_not_for_long() {
        let mut bucket = Bucket::new(None, Time::ZERO);
        bucket.charge(1000 * MB);
        assert_eq!(bucket.wait(Time::ZERO, u64::MAX), None, "no limit");
        bucket.set_rate(Time::ZERO, Some(MB), 500_000);
        assert_eq!(bucket.wait(Time::ZERO, 500_000), Some(Time::from_millis(500)));
        let mut bucket = Bucket::new(None, Time::ZERO);
        bucket.set_rate(Time::ZERO, Some(MB), 1000 * MB);
        assert_eq!(bucket.wait(Time::ZERO, 1000 * MB), Some(Time::ZERO + SWITCH_TIME));
    }

    #[test]
    fn a_change_keeps_what_is_owed() {
        let mut bucket = Bucket::new(Some(MB), Time::ZERO);
        bucket.charge(MB);
        bucket.set_rate(Time::from_millis(500), Some(MB / 2), 0);
        assert_eq!(bucket.wait(Time::from_millis(500), 0), Some(Time::from_millis(1500)));
        bucket.set_rate(Time::from_millis(500), None, 0);
        assert_eq!(bucket.wait(Time::from_millis(500), 0), None);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            // So that no portion is a debt that is let off.
            rate in 2_000u64..50 * MB,
            steps in proptest::collection::vec((0u64..2_000, 0u64..100_000), 1..200),
        ) {
            let mut bucket = Bucket::new(Some(rate), Time::ZERO);
            let (mut now, mut passed) = (Time::ZERO, 0u64);
            for (wait, portion) in steps {
                now += Duration::from_millis(wait);
                if bucket.wait(now, 0).is_none() {
                    bucket.charge(portion);
                    let earned = u128::from(rate) * now.since(Time::ZERO).as_nanos() / 1_000_000_000;
                    let burst = (rate / 10).max(BURST_BYTES);
                    prop_assert!(u128::from(passed) <= earned + u128::from(burst), "{} of {}", passed, earned);
                    passed += portion;
                }
            }
        }
    }
}
