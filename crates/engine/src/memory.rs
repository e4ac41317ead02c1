//! Memory of torrents that fell asleep goes back to the system: each lets go of three quarters of what it had, in pieces that lie
//! between those of others.

use crate::shared::Shared;
use crate::watched::{self, watched};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether it is worth while.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// So many torrents that fell asleep are worth it at once.
const MANY: usize = 64;
/// For fewer it is done so often, and once more after many: threads that helped have ended by then, and kept pieces of it.
const SELDOM: Duration = Duration::from_secs(60);

/// How many torrents are asleep.
#[derive(Debug)]
pub(crate) struct Sleepers {
    now: (watched::Sender<usize>, watched::Receiver<usize>),
    /// So many fell asleep since memory was given back.
    new: AtomicUsize,
}

/// A torrent that is asleep, until this is dropped.
pub(crate) struct Sleeper(Arc<Shared>);

impl Sleeper {
    pub(crate) fn new(shared: &Arc<Shared>) -> Sleeper {
        shared.sleepers.now.0.send_modify(|now| *now += 1);
        shared.sleepers.new.fetch_add(1, Ordering::Relaxed);
        Sleeper(shared.clone())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.sleepers.now.0.send_modify(|now| *now -= 1);
    }
}

impl Default for Sleepers {
    fn default() -> Sleepers {
        Sleepers { now: watched(0), new: AtomicUsize::default() }
    }
}

impl Sleepers {
    pub(crate) fn count(&self) -> usize {
        *self.now.1.borrow()
    }

    pub(crate) async fn until(&self, count: usize) {
        // It lasts as long as who changes it.
        let _ = self.now.1.clone().wait_for(|&now| now == count).await;
    }

    /// Whether memory is to be given back, so long after the last time.
    fn is_due(&self, elapsed: Duration) -> bool {
        let count = self.new.load(Ordering::Relaxed);
        let due = count >= MANY || count > 0 && elapsed >= SELDOM;
        if due {
            self.new.store(usize::from(count >= MANY), Ordering::Relaxed);
        }
        due
    }
}

/// Until the engine shuts down.
pub(crate) async fn run(shared: Arc<Shared>) {
    let work = async {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if shared.sleepers.is_due(last.elapsed()) {
                last = Instant::now();
                let _ = tokio::task::spawn_blocking(heap::give_back).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shared.closed() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_worth_it_at_once_and_few_now_and_then() {
        let sleepers = Sleepers::default();
        let note = |count| {
            sleepers.new.fetch_add(count, Ordering::Relaxed);
        };
        assert!(!sleepers.is_due(SELDOM), "none");
        note(MANY - 1);
        assert!(!sleepers.is_due(SELDOM / 2));
        note(1);
        assert!(sleepers.is_due(Duration::ZERO));
        assert!(!sleepers.is_due(SELDOM / 2), "it was done");
        assert!(sleepers.is_due(SELDOM), "and is once more");
        assert!(!sleepers.is_due(SELDOM));
        note(1);
        assert!(sleepers.is_due(SELDOM));
        assert!(!sleepers.is_due(SELDOM));
    }
}
