//! What the torrent's owner wants otherwise while it runs.

use super::Running;
use crate::SeedGoal;
use crate::driver::Base;
use crate::driver::company::Company;
use std::time::Duration;
use swarm::{Input, Order, PeerSource, Priority};
use types::Time;

impl Running {
    /// Does what is wanted now, and was not before.
    pub(super) fn follow_wishes(&mut self) {
        let now = self.now();
        let wishes = self.driver.base.wishes.borrow_and_update().clone();
        let add = &mut self.driver.base.add;
        if add.priorities != wishes.priorities {
            add.priorities.clone_from(&wishes.priorities);
            let alike = || vec![Priority::Normal; self.driver.base.lengths.piece_count() as usize];
            let priorities = add.piece_priorities().unwrap_or_else(alike);
            self.company.swarm.handle(now, Input::SetPriorities(&priorities));
        }
        if add.sequential != wishes.sequential {
            add.sequential = wishes.sequential;
            let order = if add.sequential { Order::Sequential } else { Order::RarestFirst };
            self.company.swarm.handle(now, Input::SetOrder(order));
        }
        (add.seed_goal, add.rank) = (wishes.seed_goal, wishes.rank);
        (add.max_up, add.max_down) = (wishes.max_up, wishes.max_down);
        let (Base { shared, torrent, .. }, Company { swarm, outside, .. }) =
            (&*self.driver.base, &mut self.company);
        outside.follow_wishes(shared, *torrent, &wishes, || swarm.stats(now).left_bytes == 0);
        self.company.on_found(&wishes.peers, PeerSource::User);
        self.company.turn_away_banned(now);
        self.publish(now);
    }

    /// How long all that is wanted was there, in this run.
    pub(super) fn seeded(&self, now: Time) -> Duration {
        self.seeded_before + self.finished_at.map_or(Duration::ZERO, |_| now - self.seeding_since)
    }

    /// When seeding is enough, but for the ratio, if nothing is uploaded until then.
    pub(super) fn goal_deadline(&self) -> Option<Time> {
        let (goal, finished_at) = (self.driver.base.add.seed_goal, self.finished_at?);
        let before = self.driver.keeper.seeded(self.seeded_before);
        let time = goal.time.map(|time| self.seeding_since + time.saturating_sub(before));
        time.into_iter().chain(idle_deadline(goal, finished_at, self.uploaded.1)).min()
    }
}

/// When nothing has been uploaded for long enough.
pub(crate) fn idle_deadline(goal: SeedGoal, finished_at: Time, uploaded_at: Time) -> Option<Time> {
    goal.idle.map(|idle| uploaded_at.max(finished_at) + idle)
}
