//! When a torrent goes to sleep.

use super::{Running, counters};
use crate::driver::Driver;
use crate::driver::asleep::{Asleep, Before, Next, Past, may_sleep};
use crate::stats::Counters;
use std::time::Duration;
use types::Time;

/// How long a torrent that was of use has had nothing to do when it goes to sleep: peers that ask now and then find it awake. One
/// that somebody came to and left does so at once: many come to all torrents, one after the other, to see who is there.
const REST: Duration = Duration::from_secs(5);

/// How often it is looked whether one may sleep that keeps others from it, who do not tell when they let go of it.
const LOOK: Duration = Duration::from_secs(60);

impl Running {
    /// When it is to be looked whether it may sleep.
    pub(super) fn look_to_rest_at(&self) -> Option<Time> {
        let is_quiet = self.is_quiet() && may_sleep(&self.driver.base);
        self.sleeps_at.or_else(|| is_quiet.then(|| self.now() + LOOK))
    }

    /// Whether it has had nothing to do for long enough.
    pub(super) fn is_rested(&mut self) -> bool {
        let now = self.now();
        if !self.has_nothing_to_do() {
            self.sleeps_at = None;
            return false;
        }
        let rest = if self.is_of_use() { REST } else { Duration::ZERO };
        now >= *self.sleeps_at.get_or_insert(now + rest)
    }

    /// Whether anything came of it but that somebody called.
    fn is_of_use(&self) -> bool {
        !self.is_only_called || counters(&self.company.swarm.stats(self.now())) != Counters::default()
    }

    /// Whether the torrent's brain and files are of no use to anybody now.
    fn has_nothing_to_do(&self) -> bool {
        let held = usize::from(self.present.is_some()) + 2;
        self.finished_at.is_some()
            && may_sleep(&self.driver.base)
            && self.company.peers.is_at_rest()
            && self.company.jobs.is_empty()
            && !self.driver.keeper.is_busy()
            && self.full.is_none()
            && self.company.swarm.poll_timeout().is_none()
            && self.driver.disk.holders() <= held
            // Last: it looks at every piece and peer.
            && self.company.swarm.stats(self.now()).banned == 0
    }

    /// Lets go of brain and files once what is not saved is.
    pub(super) fn lie_down(mut self: Box<Self>) -> Next {
        let now = self.now();
        self.publish(now);
        let stats = self.company.swarm.stats(now);
        let last = self.last_words();
        let Running { driver, calls, company, run, uploaded, finished_at, .. } = *self;
        let Driver { base, disk, keeper, inbox, .. } = driver;
        base.status.send_modify(|status| (status.stats.rate_down, status.stats.rate_up) = (0, 0));
        let mut outside = company.outside;
        outside.outlast(now, stats.line_down, stats.line_up);
        let before = Before {
            outside,
            past: Past {
                run: run + counters(&stats),
                finished_at: finished_at.or(Some(now)),
                seeding_since: now,
                uploaded_at: uploaded.1,
            },
            left: stats.left_bytes,
            next_peer: company.peers.next_key(),
            news: None,
        };
        let save = keeper.last(last, inbox).make(disk.clone());
        let settling = Some(tokio::spawn(save));
        Next::Asleep(Asleep::new(base, calls, before, company.swarm.known(), settling, &disk))
    }
}
