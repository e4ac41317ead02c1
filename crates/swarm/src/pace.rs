//! How soon some peers can deliver, and how fast they are together.

use core::time::Duration;

/// Of some peers, together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// How long the next block of the quickest of them should take; `None` if nothing is known of any.
    pub(crate) soonest: Option<Duration>,
    /// Bytes per second of them all.
    pub(crate) rate: u64,
}

impl Pace {
    /// Counts a peer in whose next block should take `eta`.
    pub(crate) fn add(&mut self, eta: Duration, rate: u64) {
        self.soonest = Some(self.soonest.map_or(eta, |soonest| soonest.min(eta)));
        self.rate = self.rate.saturating_add(rate);
    }

    /// How many bytes they deliver in this time.
    pub(crate) fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.rate) * time.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}
