//! A disk that is full: what came waits in memory until it can be written, and what is on its way waits at the peers. Only
//! if that takes long are they hung up on.

use super::Running;
use crate::driver::company::Done;
use crate::events::EventKind;
use std::time::Duration;
use types::Time;

/// How long to wait until it is tried once more whether there is room: twice as long each time, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long peers are left waiting: less than the time after which the brain would ask others for the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// Since when there is no room.
#[derive(Debug)]
pub(super) struct Full {
    since: Time,
    /// `None` while it is being tried.
    retry_at: Option<Time>,
    /// How long to wait if that is in vain.
    next: Duration,
}

impl Full {
    /// When there is something to do.
    pub(super) fn deadline(&self, barred: bool) -> Option<Time> {
        let hang_up = Some(self.since + PATIENCE).filter(|_| !barred);
        self.retry_at.into_iter().chain(hang_up).min()
    }
}

impl Running {
    pub(super) fn on_full(&mut self, now: Time, error: storage::Error) {
        self.full = Some(Full { since: now, retry_at: Some(now + FIRST_RETRY), next: 2 * FIRST_RETRY });
        self.driver.base.status.send_modify(|status| status.trouble = Some(Box::new(error)));
        self.tell(|| EventKind::DiskFull);
        self.publish(now);
    }

    pub(super) fn on_room(&mut self) {
        self.full = None;
        self.driver.base.status.send_modify(|status| status.trouble = None);
        self.company.outside.barred = false;
        self.company.follow_orders();
        self.publish(self.now());
    }

    /// It was tried in vain, unless the disk said that there is room.
    pub(super) fn on_retried(&mut self) {
        let now = self.now();
        if let Some(full) = &mut self.full {
            full.retry_at = Some(now + full.next);
            full.next = (full.next * 2).min(LONGEST_RETRY);
        }
    }

    /// Tries once more if it is time, and hangs up if it takes too long.
    pub(super) fn wait_for_room(&mut self, now: Time) {
        let Some(full) = &mut self.full else { return };
        if full.retry_at.is_some_and(|at| at <= now) {
            full.retry_at = None;
            let disk = self.driver.disk.clone();
            self.company.jobs.spawn(async move {
                disk.retry().await;
                Done::Retried
            });
        }
        if !self.company.outside.barred && now - full.since >= PATIENCE {
            self.company.outside.barred = true;
            self.follow_orders();
        }
    }
}
