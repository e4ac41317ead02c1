//! A token bucket that many connections share: the limit of a direction, up or down.
//!
//! A taker is charged at once and waits while the balance is negative, so that the long-run rate is exact however
//! large or small its portions are, and a portion larger than the bucket still passes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How much unused allowance is kept: a tenth of a second's worth.
const BURST: Duration = Duration::from_millis(100);

/// A shared limit in bytes per second, or none at all.
#[derive(Clone, Debug, Default)]
pub struct Limiter(Option<Arc<Mutex<Bucket>>>);

impl Limiter {
    /// A limit of `bytes_per_sec`; `None` means no limit. A limit of 0 is taken as 1.
    pub fn new(bytes_per_sec: Option<u64>) -> Limiter {
        Limiter(bytes_per_sec.map(|rate| Arc::new(Mutex::new(Bucket::new(rate, Instant::now())))))
    }

    /// Whether there is any limit.
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// How many bytes may be taken at once so that those who share the limit take turns: a twentieth of a second's
    /// worth, but at least 2 KiB and at most 256 KiB. Without a limit: any number.
    pub fn portion(&self) -> usize {
        let Some(bucket) = &self.0 else { return usize::MAX };
        let rate = bucket.lock().unwrap_or_else(PoisonError::into_inner).bytes_per_sec;
        usize::try_from(rate / 20).unwrap_or(usize::MAX).clamp(2 * 1024, 256 * 1024)
    }

    /// Charges `bytes`, then waits until the charge is paid off.
    pub async fn take(&self, bytes: usize) {
        let Some(bucket) = &self.0 else { return };
        let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).charge(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[derive(Debug)]
struct Bucket {
    bytes_per_sec: u64,
    rate: f64,
    /// Bytes that may pass now; negative while a charge is being paid off.
    balance: f64,
    at: Instant,
}

impl Bucket {
    fn new(bytes_per_sec: u64, now: Instant) -> Bucket {
        #[allow(clippy::cast_precision_loss)] // a rate of 2^53 bytes/s is not limited by rounding
        let rate = bytes_per_sec.max(1) as f64;
        Bucket { bytes_per_sec, rate, balance: 0.0, at: now }
    }

    /// Takes `bytes` from the balance; answers how long until it is no longer negative.
    fn charge(&mut self, bytes: usize, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.at = now;
        #[allow(clippy::cast_precision_loss)] // as above
        let cost = bytes as f64;
        self.balance = (self.balance + earned).min(self.rate * BURST.as_secs_f64()) - cost;
        Duration::try_from_secs_f64(-self.balance / self.rate).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_run_rate_is_exact_for_any_portion() {
        for portion in [1usize, 1_000, 16_384, 3_000_000] {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = Bucket::new(1_000_000, start);
            let mut sent = 0usize;
            while now - start < Duration::from_secs(10) {
                now += bucket.charge(portion, now).max(Duration::from_nanos(1));
                sent += portion;
            }
            let over = sent as f64 - 1e6 * (now - start).as_secs_f64();
            assert!(over.abs() <= 1e5 + 1.0, "portion {portion}: {over} bytes too many");
        }
    }

    #[test]
    fn unused_allowance_is_bounded() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!(bucket.charge(100, later), Duration::ZERO);
        assert_eq!(bucket.charge(1_000, later), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn no_limit_never_waits() {
        Limiter::new(None).take(usize::MAX).await;
        assert!(!Limiter::default().is_limited());
    }
}
