//! How many bytes per second, of late.

use types::Time;

/// Bytes of the last `SECS` seconds, in slots of one second. Adding is O(1); asking is O(`SECS`).
#[derive(Debug)]
pub(crate) struct Rate<const SECS: usize> {
    slots: [u64; SECS],
    /// The second that the newest slot stands for.
    newest: u64,
    /// When the first byte came; bytes are divided by the time since, if that is short.
    started: Option<Time>,
}

const NANOS: u64 = 1_000_000_000;

impl<const SECS: usize> Rate<SECS> {
    pub(crate) fn new() -> Self {
        Rate { slots: [0; SECS], newest: 0, started: None }
    }

    pub(crate) fn add(&mut self, now: Time, bytes: u32) {
        self.started.get_or_insert(now);
        let second = now.as_nanos() / NANOS;
        if second > self.newest {
            let steps = (second - self.newest).min(SECS as u64);
            for old in 0..steps {
                self.slots[slot::<SECS>(second - old)] = 0;
            }
            self.newest = second;
        }
        self.slots[slot::<SECS>(self.newest)] += u64::from(bytes);
    }

    pub(crate) fn per_sec(&self, now: Time) -> u64 {
        let Some(started) = self.started else { return 0 };
        let second = (now.as_nanos() / NANOS).max(self.newest);
        let oldest = second.saturating_sub(SECS as u64 - 1);
        let bytes: u64 = (oldest..=self.newest).rev().take(SECS).map(|s| self.slots[slot::<SECS>(s)]).sum();
        let from = Time::from_secs(oldest).max(started);
        let millis = u64::try_from(now.since(from).as_millis()).unwrap_or(u64::MAX).max(1000);
        bytes.saturating_mul(1000) / millis
    }
}

fn slot<const SECS: usize>(second: u64) -> usize {
    usize::try_from(second % SECS as u64).expect("smaller than SECS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn steady_stream() {
        let mut rate = Rate::<5>::new();
        for tenth in 0..100u64 {
            rate.add(Time::from_millis(1000 + tenth * 100), 1000);
        }
        let per_sec = rate.per_sec(Time::from_millis(11_000));
        assert!((9_000..=11_000).contains(&per_sec), "{per_sec}");
        assert_eq!(rate.per_sec(Time::from_secs(60)), 0);
    }

    #[test]
    fn a_first_burst_counts_as_a_second() {
        let mut rate = Rate::<20>::new();
        assert_eq!(rate.per_sec(Time::from_secs(9)), 0);
        rate.add(Time::from_secs(9), 5000);
        assert_eq!(rate.per_sec(Time::from_secs(9)), 5000);
    }

    proptest! {
        #[test]
        fn sums_what_is_young(steps in proptest::collection::vec((0u64..3_000, 0u32..10_000), 1..60)) {
            let mut rate = Rate::<5>::new();
            let mut all = Vec::new();
            let mut at = 0;
            for (wait, bytes) in steps {
                at += wait;
                rate.add(Time::from_millis(at), bytes);
                all.push((at, u64::from(bytes)));
            }
            let first = all[0].0;
            let oldest = (at / 1000).saturating_sub(4) * 1000;
            let young: u64 = all.iter().filter(|(t, _)| *t >= oldest).map(|(_, b)| b).sum();
            prop_assert_eq!(rate.per_sec(Time::from_millis(at)), young * 1000 / (at - oldest.max(first)).max(1000));
        }
    }
}
