//! How often a peer may do something.

use core::time::Duration;
use types::Time;

/// Lets something happen once in an interval in the long run, and a few times at once after a quiet time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quota {
    /// When all that was let happen would be over, had it come one after the other.
    paid_until: Time,
}

impl Quota {
    /// Whether it may happen now; it is counted if so.
    pub(crate) fn allows(&mut self, now: Time, interval: Duration, burst: u32) -> bool {
        let from = self.paid_until.max(now);
        if from.since(now) > interval * burst.saturating_sub(1) {
            return false;
        }
        self.paid_until = from + interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_happens_than_the_interval_and_the_burst_let(
            waits in prop::collection::vec(0u64..30, 1..200),
            burst in 1u32..5,
        ) {
            let interval = Duration::from_secs(10);
            let (mut quota, mut now, mut times) = (Quota::default(), Time::from_secs(1), std::vec![]);
            for wait in waits {
                now += Duration::from_secs(wait);
                if quota.allows(now, interval, burst) {
                    times.push(now);
                }
            }
            for (n, first) in times.iter().enumerate() {
                for (m, last) in times.iter().enumerate().skip(n) {
                    let most = u64::from(burst) + last.since(*first).as_secs() / 10;
                    prop_assert!((m - n + 1) as u64 <= most, "{times:?}");
                }
            }
            prop_assert!(quota.allows(now + interval, interval, burst), "never closed for longer");
        }
    }
}
