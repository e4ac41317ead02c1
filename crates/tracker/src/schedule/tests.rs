use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use proptest::prelude::*;

const T0: Time = Time::from_secs(100);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Tiers of the given sizes; tracker `n` of the torrent is at `http://t<n>`.
fn schedule(sizes: &[usize], seed: u64) -> Schedule {
    let mut names = (0..).map(|n| TrackerUrl::parse(&format!("http://t{n}/announce")).unwrap());
    let tiers = sizes.iter().map(|&size| names.by_ref().take(size).collect()).collect();
    Schedule::new(tiers, seed)
}

fn started(sizes: &[usize]) -> Schedule {
    let mut schedule = schedule(sizes, 1);
    schedule.handle(T0, Input::Started);
    schedule
}

fn response(interval: u64, min_interval: u64) -> AnnounceResponse {
    AnnounceResponse {
        interval: Some(secs(interval)),
        min_interval: Some(secs(min_interval)),
        ..AnnounceResponse::default()
    }
}

fn fail(schedule: &mut Schedule, now: Time, tracker: TrackerId) {
    schedule.handle(now, Input::Failed { tracker, retry_in: None });
}

fn order(schedule: &Schedule) -> Vec<usize> {
    schedule.trackers().map(|t| t.id.0).collect()
}

#[test]
fn one_tracker_from_start_to_stop() {
    let mut s = started(&[1]);
    assert_eq!(s.poll_timeout(), T0);
    let due = s.poll(T0).unwrap();
    assert_eq!(
        (due.event, due.numwant, due.url.to_string()),
        (Some(Event::Started), NUMWANT, "http://t0:80".into())
    );
    assert_eq!(s.poll(T0), None, "in flight");
    let answer = AnnounceResponse { tracker_id: Some(b"me".to_vec()), ..response(1800, 120) };
    s.handle(T0, Input::Response(due.tracker, &answer));
    assert_eq!(s.poll_timeout(), T0 + secs(1800));

    s.handle(T0 + secs(1), Input::NeedPeers);
    assert_eq!(s.poll_timeout(), T0 + secs(120), "the min interval holds");
    let due = s.poll(T0 + secs(120)).unwrap();
    assert_eq!((due.event, due.tracker_id.as_deref()), (None, Some(&b"me"[..])));
    s.handle(T0 + secs(120), Input::Response(due.tracker, &response(1800, 120)));

    s.handle(T0 + secs(130), Input::Completed);
    let due = s.poll(T0 + secs(130)).unwrap();
    assert_eq!(due.event, Some(Event::Completed), "an event does not wait");
    s.handle(T0 + secs(131), Input::Response(due.tracker, &response(1800, 120)));
    assert_eq!(s.poll(T0 + secs(200)), None, "completed is told once");

    assert!(!s.is_stopped());
    s.handle(T0 + secs(200), Input::Stop);
    let due = s.poll(T0 + secs(200)).unwrap();
    assert_eq!((due.event, due.numwant), (Some(Event::Stopped), 0));
    assert!(!s.is_stopped());
    s.handle(T0 + secs(201), Input::Response(due.tracker, &response(0, 0)));
    assert!(s.is_stopped());
    assert_eq!((s.poll(Time::MAX), s.poll_timeout()), (None, Time::MAX));

    s.handle(T0 + secs(202), Input::Started);
    assert_eq!(s.poll(T0 + secs(202)).unwrap().event, Some(Event::Started), "and all over again");
}

#[test]
fn tiers_are_shuffled_and_winners_promoted() {
    let orders: BTreeSet<_> = (0..50).map(|seed| order(&schedule(&[3, 1], seed))).collect();
    assert_eq!(orders.len(), 6, "all orders of the first tier occur");
    assert!(orders.iter().all(|order| order[3] == 3), "tiers keep their place");

    let mut s = started(&[3, 1]);
    let before = order(&s);
    for &first in &before[..2] {
        let due = s.poll(T0).unwrap();
        assert_eq!(due.tracker.0, first);
        fail(&mut s, T0, due.tracker);
    }
    let due = s.poll(T0).unwrap();
    assert_eq!(due.tracker.0, before[2]);
    s.handle(T0, Input::Response(due.tracker, &response(1800, 60)));
    assert_eq!(order(&s), [before[2], before[0], before[1], 3]);
    assert_eq!(s.poll(T0 + secs(1799)), None, "the next tier is not needed");
    assert_eq!(s.poll(T0 + secs(1800)).unwrap().tracker.0, before[2]);
}

#[test]
fn the_next_tier_is_for_when_all_others_failed() {
    let mut s = started(&[1, 1]);
    let first = s.poll(T0).unwrap();
    assert_eq!(s.poll(T0), None);
    fail(&mut s, T0, first.tracker);
    let second = s.poll(T0).unwrap();
    assert_eq!(second.tracker.0, 1);
    s.handle(T0, Input::Response(second.tracker, &response(300, 60)));
    let round = T0 + secs(300);
    assert_eq!(s.poll_timeout(), round);
    let again = s.poll(round).unwrap();
    assert_eq!(
        (again.tracker.0, again.event),
        (0, Some(Event::Started)),
        "each round begins with the first tier"
    );
}

#[test]
fn a_silent_tier_does_not_hold_up_the_next() {
    let mut s = started(&[1, 1, 1]);
    let silent = s.poll(T0).unwrap();
    assert_eq!(s.poll_timeout(), T0 + TIER_PATIENCE);
    let second = s.poll(T0 + TIER_PATIENCE).unwrap();
    assert_eq!(second.tracker.0, 1);
    s.handle(T0 + secs(11), Input::Response(second.tracker, &response(1800, 60)));
    assert_eq!(s.poll(T0 + secs(60)), None, "the round is over");
    fail(&mut s, T0 + secs(60), silent.tracker);
    assert_eq!(s.poll_timeout(), T0 + secs(1811));
}

#[test]
fn a_tracker_that_answered_is_waited_for() {
    let mut s = started(&[2, 1]);
    let first = s.poll(T0).unwrap();
    s.handle(T0, Input::Response(first.tracker, &response(1800, 120)));
    s.handle(T0, Input::NeedPeers);
    assert_eq!(s.poll_timeout(), T0 + secs(120), "no other tracker is asked in its stead");
    assert_eq!(s.poll(T0 + secs(120)).unwrap().tracker, first.tracker);
}

#[test]
fn completed_waits_for_the_started_in_flight() {
    let mut s = started(&[1]);
    let due = s.poll(T0).unwrap();
    s.handle(T0, Input::Completed);
    assert_eq!(s.poll(T0), None);
    s.handle(T0, Input::Response(due.tracker, &response(1800, 60)));
    assert_eq!(s.poll(T0).unwrap().event, Some(Event::Completed));

    let mut s = started(&[1]);
    let due = s.poll(T0).unwrap();
    s.handle(T0, Input::Completed);
    fail(&mut s, T0, due.tracker);
    let again = s.poll(s.poll_timeout()).unwrap();
    assert_eq!(again.event, Some(Event::Started));
    s.handle(T0, Input::Response(due.tracker, &response(1800, 60)));
    assert_eq!(s.poll_timeout(), T0 + secs(1800), "it was told of a whole torrent from the start");
}

#[test]
fn stop_tells_those_who_list_us_and_no_other() {
    let mut s = started(&[2, 1, 1]);
    let first = s.poll(T0).unwrap();
    s.handle(T0, Input::Response(first.tracker, &response(60, 60)));
    let again = s.poll(T0 + secs(60)).unwrap();
    fail(&mut s, T0 + secs(60), again.tracker);
    let other = s.poll(T0 + secs(60)).unwrap();
    s.handle(T0 + secs(60), Input::Response(other.tracker, &response(60, 60)));
    let in_flight = s.poll(T0 + secs(120)).unwrap();
    s.handle(T0 + secs(121), Input::Stop);
    let one = s.poll(T0 + secs(121)).unwrap();
    assert_eq!(s.poll(T0 + secs(121)), None, "one at a time in each tier");
    fail(&mut s, T0 + secs(122), one.tracker);
    let two = s.poll(T0 + secs(122)).unwrap();
    s.handle(T0 + secs(122), Input::Response(two.tracker, &response(60, 60)));
    let told = BTreeSet::from([one.tracker, two.tracker]);
    assert_eq!(told, BTreeSet::from([first.tracker, other.tracker]));
    assert!(told.contains(&in_flight.tracker));
    assert!([one.event, two.event].iter().all(|e| *e == Some(Event::Stopped)));
    assert!(s.is_stopped());
}

#[test]
fn intervals_are_bounded() {
    let bounded = |interval: Option<u64>, min_interval: Option<u64>| {
        intervals(&AnnounceResponse {
            interval: interval.map(secs),
            min_interval: min_interval.map(secs),
            ..AnnounceResponse::default()
        })
    };
    assert_eq!(bounded(None, None), (DEFAULT_INTERVAL, DEFAULT_MIN_INTERVAL));
    assert_eq!(bounded(Some(0), None), (MIN_INTERVAL, MIN_INTERVAL));
    assert_eq!(bounded(Some(u64::MAX), Some(u64::MAX)), (MAX_INTERVAL, MAX_INTERVAL));
    assert_eq!(bounded(Some(100), Some(200)), (secs(200), secs(200)));
    assert_eq!(bounded(Some(1000), Some(0)), (secs(1000), MIN_INTERVAL));
}

#[test]
fn backoff_grows_and_is_capped() {
    for failures in 1..100 {
        let (shortest, longest) = (backoff(failures, 800), backoff(failures, 1000));
        assert!(longest <= BACKOFF_MAX);
        let next = backoff(failures + 1, 800);
        assert!(next > longest || longest == BACKOFF_MAX || next >= BACKOFF_MAX * 8 / 10, "{failures}");
        assert!(shortest < longest);
    }
    assert_eq!(backoff(u32::MAX, 1000), BACKOFF_MAX);
}

#[test]
fn a_tracker_may_ask_for_more_time() {
    for (asked, wait) in [(Duration::MAX, MAX_INTERVAL), (secs(3600), secs(3600))] {
        let mut s = started(&[1]);
        let due = s.poll(T0).unwrap();
        s.handle(T0, Input::Failed { tracker: due.tracker, retry_in: Some(asked) });
        assert_eq!(s.poll_timeout(), T0 + wait);
    }
}

#[test]
fn trackers_are_bounded() {
    assert_eq!(schedule(&[MAX_TRACKERS - 1, 3, 1], 1).trackers().count(), MAX_TRACKERS);
    assert_eq!(schedule(&[], 1).poll(T0), None);
}

/// What may happen next in the model's world.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    PassToTimeout,
    Answer { which: usize, interval: u64, min_interval: u64 },
    Fail { which: usize, retry_in: Option<u64> },
    Completed,
    NeedPeers,
    Stop,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u64..4000).prop_map(Step::Pass),
        6 => Just(Step::PassToTimeout),
        6 => (0usize..8, 0u64..5000, 0u64..1000)
            .prop_map(|(which, interval, min_interval)| Step::Answer { which, interval, min_interval }),
        5 => (0usize..8, proptest::option::weighted(0.2, 0u64..100_000))
            .prop_map(|(which, retry_in)| Step::Fail { which, retry_in }),
        1 => Just(Step::Completed),
        2 => Just(Step::NeedPeers),
        1 => Just(Step::Stop),
        1 => Just(Step::Start),
    ]
}

/// What an onlooker knows of one tracker, from announces and outcomes alone.
#[derive(Clone, Default)]
struct Seen {
    lists_us: bool,
    completed_acknowledged: u32,
    not_before: Time,
    failures: u32,
    last_wait: Duration,
}

/// Watches a schedule from outside and holds it to the rules.
struct Onlooker {
    schedule: Schedule,
    now: Time,
    tiers: BTreeMap<TrackerId, usize>,
    seen: BTreeMap<TrackerId, Seen>,
    in_flight: Vec<Due>,
    running: bool,
    completions: u32,
    log: Vec<(Time, Due)>,
}

impl Onlooker {
    fn new(sizes: &[usize], seed: u64) -> Onlooker {
        let schedule = schedule(sizes, seed);
        let tiers: BTreeMap<_, _> = schedule.trackers().map(|t| (t.id, t.tier)).collect();
        let seen = tiers.keys().map(|id| (*id, Seen::default())).collect();
        Onlooker {
            schedule,
            now: T0,
            tiers,
            seen,
            in_flight: vec![],
            running: false,
            completions: 0,
            log: vec![],
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Pass(secs) => self.now += Duration::from_secs(secs),
            Step::PassToTimeout if self.schedule.poll_timeout() < Time::MAX => {
                self.now = self.now.max(self.schedule.poll_timeout());
            }
            Step::PassToTimeout => {}
            Step::Answer { which, interval, min_interval } => {
                self.answer(which, &response(interval, min_interval));
            }
            Step::Fail { which, retry_in } => self.fail(which, retry_in),
            Step::Completed if self.completions == 0 && self.running => {
                self.completions += 1;
                self.schedule.handle(self.now, Input::Completed);
            }
            Step::Completed => {}
            Step::NeedPeers => self.schedule.handle(self.now, Input::NeedPeers),
            Step::Stop => self.stop(),
            Step::Start if !self.running => {
                self.running = true;
                self.in_flight.clear();
                self.seen.values_mut().for_each(|seen| seen.lists_us = false);
                self.schedule.handle(self.now, Input::Started);
            }
            Step::Start => {}
        }
        self.watch()
    }

    fn stop(&mut self) {
        self.running = false;
        self.in_flight.clear();
        self.schedule.handle(self.now, Input::Stop);
    }

    fn answer(&mut self, which: usize, response: &AnnounceResponse) {
        if which >= self.in_flight.len() {
            return;
        }
        let due = self.in_flight.remove(which);
        let seen = self.seen.get_mut(&due.tracker).unwrap();
        seen.failures = 0;
        seen.not_before = self.now + intervals(response).1;
        match due.event {
            Some(Event::Stopped) => seen.lists_us = false,
            Some(Event::Completed) => seen.completed_acknowledged += 1,
            Some(Event::Started) | None => seen.lists_us = true,
        }
        self.schedule.handle(self.now, Input::Response(due.tracker, response));
        if due.event != Some(Event::Stopped) && due.event != Some(Event::Completed) {
            let tier = self.tiers[&due.tracker];
            let first = self.schedule.trackers().find(|t| t.tier == tier).unwrap();
            assert_eq!(first.id, due.tracker, "promoted");
        }
    }

    fn fail(&mut self, which: usize, retry_in: Option<u64>) {
        if which >= self.in_flight.len() {
            return;
        }
        let due = self.in_flight.remove(which);
        let seen = self.seen.get_mut(&due.tracker).unwrap();
        seen.failures += 1;
        let shortest = (BACKOFF_FIRST * 2u32.saturating_pow(seen.failures - 1)).min(BACKOFF_MAX) * 8 / 10;
        seen.not_before = self.now + shortest.max(secs(retry_in.unwrap_or(0)).min(MAX_INTERVAL));
        seen.last_wait = shortest;
        if due.event == Some(Event::Stopped) {
            seen.lists_us = false;
        }
        let retry_in = retry_in.map(secs);
        self.schedule.handle(self.now, Input::Failed { tracker: due.tracker, retry_in });
    }

    /// Takes the announces that are due and checks each.
    fn watch(&mut self) -> Result<(), TestCaseError> {
        while let Some(due) = self.schedule.poll(self.now) {
            let tier = self.tiers[&due.tracker];
            let busy = self.in_flight.iter().any(|other| self.tiers[&other.tracker] == tier);
            prop_assert!(!busy, "two in flight in tier {}", tier);
            let seen = &self.seen[&due.tracker];
            match due.event {
                Some(Event::Stopped) => prop_assert!(!self.running && seen.lists_us),
                _ => prop_assert!(self.running),
            }
            match due.event {
                Some(Event::Started) => prop_assert!(!seen.lists_us),
                _ => prop_assert!(seen.lists_us, "{:?} before started was acknowledged", due.event),
            }
            if due.event == Some(Event::Completed) {
                prop_assert!(self.completions == 1 && seen.completed_acknowledged == 0);
            }
            if due.event.is_none() || (seen.failures > 0 && due.event != Some(Event::Stopped)) {
                prop_assert!(self.now >= seen.not_before, "too early");
            }
            self.log.push((self.now, due.clone()));
            self.in_flight.push(due);
        }
        prop_assert!(self.schedule.poll_timeout() > self.now, "polled dry, yet due");
        let waits_for_all = self.running && self.in_flight.is_empty();
        prop_assert!(!waits_for_all || self.schedule.poll_timeout() < Time::MAX, "asleep for ever");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn keeps_the_rules_and_its_word(sizes in proptest::collection::vec(1usize..4, 1..4), seed: u64, steps in proptest::collection::vec(step(), 0..150)) {
        let mut runs = vec![];
        for _ in 0..2 {
            let mut world = Onlooker::new(&sizes, seed);
            world.take(&Step::Start)?;
            for step in &steps {
                world.take(step)?;
            }
            // At the end everyone who lists us hears `stopped`.
            let listing: BTreeSet<_> = world.seen.iter().filter(|(_, s)| s.lists_us).map(|(id, _)| *id).collect();
            let mark = world.log.len();
            if world.running {
                world.stop();
                world.watch()?;
                while !world.in_flight.is_empty() {
                    world.answer(0, &response(0, 0));
                    world.watch()?;
                }
                let told: BTreeSet<_> = world.log[mark..].iter().map(|(_, due)| due.tracker).collect();
                prop_assert_eq!(told, listing);
                prop_assert!(world.schedule.is_stopped());
            }
            runs.push(world.log);
        }
        prop_assert_eq!(&runs[0], &runs[1], "deterministic");
    }
}
