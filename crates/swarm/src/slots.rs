//! How many peers are served at once: no more than it takes to fill the line.
//!
//! Slots beyond that gain nothing, and cost: a piece takes as many times longer to get out as there are others beside
//! it, and only then can it be passed on. What the line carries is not known, so it is tried, as TCP tries its window:
//! one slot more, then, as long as that pays, twice as many more each time. A slot that did not bring half of what the
//! others do on average is given back; one whose loss would cost less than that is not kept either. Trials that change
//! nothing become rare. All this only while every slot is taken and somebody waits for one.

use crate::limits::{CHOKE_INTERVAL, LEAST_SLOTS, SLOT_TRIAL_ROUNDS, SLOT_WAIT_MAX};
use core::time::Duration;
use types::Time;

#[derive(Debug)]
pub(crate) struct Slots {
    /// The owner's limit.
    most: usize,
    count: usize,
    /// By how much the next trial goes up; 0: it goes down by one.
    step: usize,
    trial: Option<Trial>,
    /// Rounds until the next trial.
    wait: u32,
    /// What `wait` is to be after a trial in vain.
    backoff: u32,
    /// When the last round was, what had been sent until then, and whether every slot was taken.
    last: (Time, u64, bool),
}

/// Another count than before is being tried.
#[derive(Debug)]
struct Trial {
    before: usize,
    /// Bytes per second with as many as before.
    rate: u64,
    rounds: u32,
}

/// A round that is shorter says nothing of the rate.
const SHORTEST_ROUND: Duration = Duration::from_secs(5);
/// Nor does one that is longer: for some of it nobody was interested.
const LONGEST_ROUND: Duration = Duration::from_secs(2 * CHOKE_INTERVAL.as_secs());

impl Slots {
    pub(crate) fn new(most: usize, now: Time) -> Slots {
        let most = most.max(1);
        Slots {
            most,
            count: most.min(LEAST_SLOTS),
            step: 1,
            trial: None,
            wait: 0,
            backoff: 1,
            last: (now, 0, false),
        }
    }

    /// How many there are now.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        if self.count > self.most || self.count < LEAST_SLOTS {
            self.trial = None;
            self.count = self.most.min(self.count.max(LEAST_SLOTS));
        }
    }

    /// A round of the choker begins: so many bytes were `sent` since the start, and so many peers are interested.
    pub(crate) fn round(&mut self, now: Time, sent: u64, interested: usize) {
        let (then, sent_then, taken_then) = self.last;
        let time = now.since(then);
        if time < SHORTEST_ROUND {
            return;
        }
        let taken = interested >= self.count;
        self.last = (now, sent, taken);
        if !taken || !taken_then || time > LONGEST_ROUND {
            return self.drop_trial();
        }
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = sent.saturating_sub(sent_then).saturating_mul(1000) / millis;
        match &mut self.trial {
            None if interested == self.count => {}
            None if self.wait > 0 => self.wait -= 1,
            None => self.try_other(rate, interested),
            Some(trial) if trial.rounds > 1 => trial.rounds -= 1,
            Some(_) => self.judge(rate, interested),
        }
    }

    /// What was tried cannot be judged: it counts for nothing.
    fn drop_trial(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.count = trial.before.min(self.most);
            self.step = 1;
        }
    }

    /// Slots that nobody is there for cannot be tried.
    fn try_other(&mut self, rate: u64, interested: usize) {
        let count = match self.step {
            0 => (self.count - 1).max(self.most.min(LEAST_SLOTS)),
            step => self.count.saturating_add(step).min(self.most).min(interested.max(self.count)),
        };
        if count == self.count {
            return self.turn();
        }
        self.trial = Some(Trial { before: self.count, rate, rounds: SLOT_TRIAL_ROUNDS });
        self.count = count;
    }

    fn judge(&mut self, rate: u64, interested: usize) {
        let Some(Trial { before, rate: rate_before, .. }) = self.trial.take() else { return };
        // Half of what a slot carries on average, for each that was added or taken.
        let wide = |number: usize| u128::try_from(number).unwrap_or(u128::MAX);
        let enough = u128::from(rate_before) * (wide(before) + wide(self.count));
        let up = self.count > before;
        // A line on which nothing moves gains nothing.
        let kept = u128::from(rate) * 2 * wide(before) >= enough && !(up && rate == 0);
        if kept && up {
            self.step = self.step.saturating_mul(2).min(self.count);
        } else if !kept {
            self.count = before.min(self.most);
            self.turn();
            return;
        }
        self.backoff = 1;
        // The next trial follows at once: the round that was judged is what it is compared with.
        self.try_other(rate, interested);
    }

    /// The other way, next time; when both are in vain, later.
    fn turn(&mut self) {
        if self.step == 0 {
            self.step = 1;
            self.wait = self.backoff;
            self.backoff = self.backoff.saturating_mul(2).min(SLOT_WAIT_MAX);
        } else {
            self.step = 0;
            self.wait = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Peers that take `each` at most, over a line that carries `line`.
    fn run(slots: &mut Slots, from: u64, rounds: u64, line: u64, each: u64, interested: usize) -> Vec<usize> {
        let mut counts = Vec::new();
        for round in from..from + rounds {
            let (_, sent, _) = slots.last;
            let rate = line.min(each * slots.count().min(interested) as u64);
            slots.round(Time::from_secs(round * 10), sent + rate * 10, interested);
            counts.push(slots.count());
        }
        counts
    }

    #[test]
    fn a_full_line_needs_no_more() {
        let mut slots = Slots::new(64, Time::ZERO);
        let counts = run(&mut slots, 1, 360, 1_000_000, 4_000_000, 50);
        assert_eq!(slots.count(), LEAST_SLOTS);
        assert!(counts.iter().all(|&count| count <= LEAST_SLOTS + 1));
        let tries = counts[180..].windows(2).filter(|w| w[0] < w[1]).count();
        assert!((1..=7).contains(&tries), "{tries} in half an hour");
    }

    #[test]
    fn a_wide_line_serves_many_soon() {
        let mut slots = Slots::new(64, Time::ZERO);
        let counts = run(&mut slots, 1, 60, 50_000_000, 1_000_000, 100);
        let soon = counts.iter().position(|&count| count >= 40).expect("it gets there");
        assert!(soon <= 12, "after {soon} rounds");
        assert!(counts[30..].iter().all(|count| (45..=58).contains(count)), "{counts:?}");
    }

    #[test]
    fn trials_in_vain_become_rare_but_do_not_end() {
        let mut slots = Slots::new(64, Time::ZERO);
        let counts = run(&mut slots, 1, 2000, 1_000_000, 4_000_000, 50);
        let trials: Vec<usize> = (1..counts.len()).filter(|&at| counts[at] > counts[at - 1]).collect();
        let longest = trials.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many");
        let most = SLOT_WAIT_MAX as usize;
        assert!((most..=most + 2 * SLOT_TRIAL_ROUNDS as usize + 2).contains(&longest), "{longest}");
        assert!(counts.len() - trials.last().expect("many") <= longest);
    }

    #[test]
    fn follows_a_line_that_changes() {
        let mut slots = Slots::new(64, Time::ZERO);
        run(&mut slots, 1, 60, 20_000_000, 1_000_000, 100);
        assert!((18..=24).contains(&slots.count()), "{}", slots.count());
        run(&mut slots, 61, 300, 6_000_000, 1_000_000, 100);
        assert!((5..=8).contains(&slots.count()), "{}", slots.count());
        run(&mut slots, 361, 300, 20_000_000, 1_000_000, 100);
        assert!((18..=24).contains(&slots.count()), "{}", slots.count());
    }

    #[test]
    fn stays_within_the_limit_of_the_owner() {
        let mut slots = Slots::new(2, Time::ZERO);
        assert!(run(&mut slots, 1, 20, 9_000_000, 10, 100).iter().all(|&count| count == 2));
        slots.set_most(6);
        assert_eq!(slots.count(), LEAST_SLOTS);
        assert!(run(&mut slots, 21, 20, 9_000_000, 10, 100).iter().all(|&count| count <= 6));
        assert_eq!(slots.count(), 6);
        slots.set_most(0);
        assert_eq!(slots.count(), 1);
    }

    #[test]
    fn a_trial_in_vain_does_not_go_back_above_the_limit() {
        let mut slots = Slots::new(64, Time::ZERO);
        run(&mut slots, 1, 60, 7_000_000, 1_000_000, 100);
        for round in 61..200 {
            let before = slots.count();
            run(&mut slots, round, 1, 7_000_000, 1_000_000, 100);
            if slots.count() < before && slots.trial.is_some() {
                let most = slots.count();
                slots.set_most(most);
                assert!(run(&mut slots, round + 1, 9, 7_000_000, 1_000_000, 100).iter().all(|&n| n <= most));
                return;
            }
        }
        panic!("no trial went down");
    }

    #[test]
    fn a_line_that_carries_nothing_needs_no_more() {
        let mut slots = Slots::new(64, Time::ZERO);
        let counts = run(&mut slots, 1, 60, 0, 0, 100);
        assert!(counts.iter().all(|&count| count <= LEAST_SLOTS + 1), "{counts:?}");
        run(&mut slots, 61, 60, 20_000_000, 1_000_000, 100);
        assert!((18..=24).contains(&slots.count()), "{}", slots.count());
        run(&mut slots, 121, 600, 0, 0, 100);
        assert!(slots.count() <= LEAST_SLOTS + 1, "{}", slots.count());
    }

    #[test]
    fn a_pause_is_no_measurement() {
        let mut slots = Slots::new(64, Time::ZERO);
        run(&mut slots, 1, 10, 9_000_000, 2_000_000, 100);
        while slots.trial.as_ref().is_none_or(|trial| trial.before >= slots.count()) {
            let round = slots.last.0.as_nanos() / 10_000_000_000 + 1;
            run(&mut slots, round, 1, 9_000_000, 2_000_000, 100);
        }
        let before = slots.trial.as_ref().map_or(0, |trial| trial.before);
        let (then, sent, _) = slots.last;
        slots.round(then + Duration::from_secs(3600), sent + 1000, 100);
        assert!(slots.trial.is_none(), "what an hour carried is no rate to compare with");
        assert_eq!(slots.count(), before, "what was being tried was not found good");
    }

    #[test]
    fn a_trial_that_nobody_takes_part_in_is_taken_back() {
        let mut slots = Slots::new(64, Time::ZERO);
        run(&mut slots, 1, 4, 50_000_000, 1_000_000, 100);
        let before = slots.trial.as_ref().map_or(0, |trial| trial.before);
        assert!((LEAST_SLOTS..slots.count()).contains(&before));
        run(&mut slots, 5, 1, 50_000_000, 1_000_000, before - 1);
        assert_eq!(slots.count(), before);
    }

    #[test]
    fn there_are_no_more_than_there_are_peers() {
        let mut slots = Slots::new(64, Time::ZERO);
        let counts = run(&mut slots, 1, 60, 50_000_000, 1_000_000, 9);
        assert!(counts.iter().all(|&count| count <= 9), "{counts:?}");
        assert_eq!(counts[30..], [9; 30], "everybody is served");
    }

    #[test]
    fn nothing_is_tried_while_nobody_waits() {
        let mut slots = Slots::new(64, Time::ZERO);
        assert!(run(&mut slots, 1, 20, 9_000_000, 10, 4).iter().all(|&count| count == LEAST_SLOTS));
    }
}
