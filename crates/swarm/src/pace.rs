//! How soon some peers can deliver, and how fast they are together.

use core::time::Duration;

/// Of some peers, together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// How long the next block of the quickest of them should take; `None` if nothing is known of any.
    pub(crate) soonest: Option<Duration>,
    /// Bytes per second of those of which it is known.
    rate: u64,
    known: u32,
    unknown: u32,
}

impl Pace {
    /// Counts a peer in whose next block should take `eta`, if that is known.
    pub(crate) fn add(&mut self, eta: Option<Duration>, rate: u64) {
        let Some(eta) = eta else {
            self.unknown += 1;
            return;
        };
        self.soonest = Some(self.soonest.map_or(eta, |soonest| soonest.min(eta)));
        self.rate = self.rate.saturating_add(rate);
        self.known += 1;
    }

    /// Bytes per second of all of them; those of which nothing is known are taken to be like the others.
    fn rate(&self) -> u64 {
        let all = u128::from(self.rate) * u128::from(self.known + self.unknown);
        u64::try_from(all / u128::from(self.known.max(1))).unwrap_or(u64::MAX)
    }

    /// How long they need for so many bytes.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.rate().max(1))
    }

    /// How many bytes they deliver in this time.
    pub(crate) fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = u128::from(self.rate()) * time.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}
