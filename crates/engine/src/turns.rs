//! Announces take turns: thousands of torrents that start together are no stampede.

use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How many announces of all torrents together begin in a second, when more are due: ten thousand torrents are all told of
/// in 200 s, and all announced again, one after the other as before, half an hour later.
const ANNOUNCES_PER_SEC: u32 = 50;
/// How many begin at once after a pause: who has a few torrents never waits.
const AT_ONCE: u32 = 50;

/// When it is whose turn. What waits is bounded by the torrents, each of which has one announce under way for each tier.
///
/// Holds when the last turn was, or would have been; who is next holds the lock until it is its turn.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Option<Instant>>);

impl Turns {
    /// Waits for a turn: first come, first served. Safe to cancel: who waits no more takes no turn.
    pub(crate) async fn wait(&self) {
        let mut last = self.0.lock().await;
        let turn = next(*last, Instant::now());
        tokio::time::sleep_until(turn).await;
        *last = Some(turn);
    }
}

/// The next turn, given when the last one was.
fn next(last: Option<Instant>, now: Instant) -> Instant {
    let gap = Duration::from_secs(1) / ANNOUNCES_PER_SEC;
    let first = now.checked_sub(gap * (AT_ONCE - 1)).unwrap_or(now);
    last.map_or(first, |last| first.max(last + gap))
}

#[cfg(test)]
impl Turns {
    /// Nobody has a turn before this time.
    pub(crate) fn none_before(at: Instant) -> Turns {
        Turns(Mutex::new(Some(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_few_begin_at_once_and_the_rest_in_turns() {
        // Far enough from when the clock began.
        let (mut last, start) = (None, Instant::now() + Duration::from_secs(100));
        let mut turn = |now| *last.insert(next(last, now));
        let mut turns = |count, now| (0..count).map(|_| turn(now)).collect::<Vec<_>>();
        let at_once = |turns: &[Instant], now| turns.iter().filter(|turn| **turn <= now).count();
        let (burst, second) = (AT_ONCE as usize, Duration::from_secs(1));

        let first = turns(1_000, start);
        assert_eq!(at_once(&first, start), burst);
        assert_eq!(at_once(&first, start + second), burst + ANNOUNCES_PER_SEC as usize);
        assert!(first[999] > start + second * 18 && first.is_sorted());
        // All are through, and as many as before may begin.
        let later = start + second * 100;
        assert_eq!(at_once(&turns(60, later), later), burst);
    }

    #[tokio::test]
    async fn who_waits_no_more_takes_no_turn() {
        let far = Instant::now() + Duration::from_secs(1_000_000);
        let turns = Turns::none_before(far);
        {
            let mut waiting: Vec<_> = (0..9).map(|_| Box::pin(turns.wait())).collect();
            assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
        }
        assert_eq!(turns.0.try_lock().ok().as_deref(), Some(&Some(far)));
    }
}
