//! How fast a counter grows, of late.

use crate::limits::RATE_WINDOW;
use types::Time;

/// A counter as it was: at the last look, and one to two windows before.
#[derive(Debug)]
pub(crate) struct Meter {
    older: Look,
    newer: Look,
    last: Look,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Time,
    count: u64,
}

impl Meter {
    pub(crate) fn new(now: Time) -> Meter {
        let look = Look { at: now, count: 0 };
        Meter { older: look, newer: look, last: look }
    }

    pub(crate) fn note(&mut self, now: Time, count: u64) {
        self.last = Look { at: now, count };
        if now.since(self.newer.at) >= RATE_WINDOW {
            (self.older, self.newer) = (self.newer, self.last);
        }
    }

    /// Counts per second at the last look; 0 before there were two.
    pub(crate) fn per_sec(&self) -> u64 {
        let nanos = self.last.at.since(self.older.at).as_nanos();
        let grown = u128::from(self.last.count.saturating_sub(self.older.count));
        u64::try_from((grown * 1_000_000_000).checked_div(nanos).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_change_within_a_second() {
        let mut meter = Meter::new(Time::ZERO);
        assert_eq!(meter.per_sec(), 0);
        let mut count = 0;
        for tick in 1..=40 {
            count += if tick <= 20 { 250 } else { 25 };
            meter.note(Time::from_millis(tick * 250), count);
            match tick {
                3..=20 => assert_eq!(meter.per_sec(), 1000, "{tick}"),
                25.. => assert_eq!(meter.per_sec(), 100, "{tick}"),
                _ => {}
            }
        }
        meter.note(Time::from_secs(20), 0);
        assert_eq!(meter.per_sec(), 0, "a counter that begins anew");
    }
}
