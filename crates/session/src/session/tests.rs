//! Torrents with appetites, under limits, in virtual time.

use super::*;
use crate::limits::{DOWNLOAD_PATIENCE, ROTATION_PAUSE, SEED_PATIENCE, SEED_TURN};
use core::time::Duration;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::{format, vec};

const STEP: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);

/// What a torrent would use if it were let.
#[derive(Clone, Copy, Debug, Default)]
struct Appetite {
    down: u64,
    up: u64,
    peers: usize,
    interested: usize,
}

#[derive(Debug, Default)]
struct Model {
    appetite: Appetite,
    limits: Option<Limits>,
    report: Report,
    /// What it used in the last step, down and up, in bytes per second.
    used: (u64, u64),
    started: Option<Time>,
    turns: Vec<Duration>,
    waiting_since: Time,
    longest_wait: Duration,
}

/// A session and its torrents.
struct World {
    session: Session,
    now: Time,
    models: BTreeMap<TorrentId, Model>,
    refused: Vec<TorrentId>,
    digest: u64,
}

impl World {
    fn new(settings: Settings) -> World {
        let now = Time::from_secs(1);
        let session = Session::new(settings, now);
        World { session, now, models: BTreeMap::new(), refused: Vec::new(), digest: 0xcbf2_9ce4_8422_2325 }
    }

    fn add(&mut self, n: u64, torrent: Torrent, appetite: Appetite) -> TorrentId {
        let id = TorrentId(n);
        self.models.insert(id, Model { appetite, waiting_since: self.now, ..Model::default() });
        self.input(Input::Added { id, torrent });
        id
    }

    fn download(&mut self, n: u64, down: u64) -> TorrentId {
        self.add(n, Torrent::new(Wants::Download), Appetite { down, ..Appetite::default() })
    }

    fn seed(&mut self, n: u64, up: u64) -> TorrentId {
        self.add(n, Torrent::new(Wants::Seed), Appetite { up, ..Appetite::default() })
    }

    fn remove(&mut self, id: TorrentId) {
        self.models.remove(&id);
        self.input(Input::Removed { id });
    }

    fn input(&mut self, input: Input) {
        self.session.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut started = false;
        while let Some(output) = self.session.poll_output() {
            for byte in format!("{:?} {output:?}", self.now).bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
            match output {
                Output::Start(id) => {
                    started = true;
                    let model = self.models.get_mut(&id).unwrap();
                    assert!(model.limits.is_some() && model.started.is_none(), "limits first");
                    model.started = Some(self.now);
                    model.longest_wait = model.longest_wait.max(self.now.since(model.waiting_since));
                }
                Output::Stop(id) => {
                    assert!(!started, "who stops makes room first");
                    let model = self.models.get_mut(&id).unwrap();
                    model.turns.push(self.now.since(model.started.take().unwrap()));
                    (model.limits, model.used, model.waiting_since) = (None, (0, 0), self.now);
                }
                Output::SetLimits(id, limits) => self.models.get_mut(&id).unwrap().limits = Some(limits),
                Output::Refused(id) => self.refused.push(id),
            }
        }
        self.check();
    }

    /// What is told adds up, and who is told is who runs.
    fn check(&self) {
        let Settings { max_up, max_down, max_peers, upload_slots, .. } = self.session.settings;
        self.session.queue.check(Caps::of(&self.session.settings));
        let active: BTreeSet<_> = self.session.active().collect();
        let running = self.models.iter().filter(|(_, model)| model.started.is_some()).map(|(&id, _)| id);
        assert_eq!(active, running.collect());
        let sum = |of: &dyn Fn(&Limits) -> Option<u64>| {
            self.models.values().filter_map(|model| of(model.limits.as_ref()?)).sum::<u64>()
        };
        assert!(max_up.is_none_or(|max| sum(&|limits| limits.up) <= max));
        assert!(max_down.is_none_or(|max| sum(&|limits| limits.down) <= max));
        assert!(sum(&|limits| Some(limits.max_peers as u64)) <= max_peers.max(active.len()) as u64);
        let slots = sum(&|limits| Some(limits.upload_slots as u64));
        assert!(upload_slots.is_none_or(|max| slots <= max.max(active.len()) as u64));
        let limited = self.models.values().filter(|model| model.limits.is_some());
        assert!(
            limited
                .clone()
                .all(|model| model.limits.is_some_and(|l| l.max_peers >= 1 && l.upload_slots >= 1))
        );
        assert_eq!(limited.count(), active.len());
    }

    /// Everybody uses what it may for a while, reporting four times a second.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let mut reports = Vec::new();
            for (&id, model) in self.models.iter_mut().filter(|(_, model)| model.started.is_some()) {
                reports.push((id, model.live()));
            }
            for (id, report) in reports {
                self.input(Input::Reported { id, report });
            }
            self.pass();
        }
    }

    fn pass(&mut self) {
        while self.session.poll_timeout().is_some_and(|at| at <= self.now) {
            self.session.handle_timeout(self.now);
            self.drain();
            assert!(self.session.poll_timeout().is_none_or(|at| at > self.now), "it would spin");
        }
    }

    /// Nobody moves anything; time passes from deadline to deadline.
    fn idle(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.pass();
        }
        self.now = end;
    }

    fn used(&self, id: TorrentId) -> u64 {
        self.models[&id].used.0.max(self.models[&id].used.1)
    }

    fn limits(&self, id: TorrentId) -> Limits {
        self.models[&id].limits.unwrap()
    }

    fn active(&self) -> Vec<u64> {
        let mut active: Vec<u64> = self.session.active().map(|id| id.0).collect();
        active.sort_unstable();
        active
    }
}

impl Model {
    /// A step of its life.
    fn live(&mut self) -> Report {
        let Appetite { down, up, peers, interested } = self.appetite;
        let limits = self.limits.unwrap();
        let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        self.used = (down.min(most(limits.down)), up.min(most(limits.up)));
        let Report { line_down, line_up, .. } = self.report;
        self.report = Report {
            line_down: line_down + self.used.0 / 4,
            line_up: line_up + self.used.1 / 4,
            held_down: down > most(limits.down),
            held_up: up > most(limits.up),
            peers: peers.min(limits.max_peers),
            interested,
        };
        self.report
    }
}

fn down(max_down: u64) -> Settings {
    Settings { max_down: Some(max_down), ..Settings::default() }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn one_alone_gets_everything_from_the_start() {
    let settings = Settings { max_up: Some(50_000), ..down(1_000_000) };
    let mut world = World::new(settings);
    let one = world.download(1, 0);
    let all = Limits { up: Some(50_000), down: Some(1_000_000), upload_slots: 12, max_peers: 200 };
    assert_eq!(world.limits(one), all);
    world.run(secs(10));
    assert_eq!(world.limits(one), all, "idle or not");
    let mut free = World::new(Settings::default());
    let one = free.download(1, 1 << 40);
    free.run(secs(1));
    assert_eq!(free.limits(one), Limits { up: None, down: None, upload_slots: 64, max_peers: 200 });
}

#[test]
fn what_one_does_not_use_others_get_within_a_second() {
    let mut world = World::new(down(1_000_000));
    let (a, b) = (world.download(1, 0), world.download(2, u64::MAX));
    world.run(secs(2));
    assert!(world.used(b) > 990_000, "{}", world.used(b));
    world.models.get_mut(&a).unwrap().appetite.down = u64::MAX;
    world.run(secs(1));
    assert_eq!((world.used(a), world.used(b)), (500_000, 500_000), "it wakes up");
    assert_eq!((world.limits(a).max_peers, world.limits(b).max_peers), (100, 100), "that is another matter");
    world.models.get_mut(&a).unwrap().appetite.down = 100_000;
    world.run(secs(1) + STEP);
    assert_eq!(world.used(a), 100_000);
    assert!(world.used(b) >= 890_000, "{}: all but what the other uses and a little more", world.used(b));
    // It has nobody left to talk to, and says nothing more.
    world.models.get_mut(&a).unwrap().started = None;
    let report =
        |world: &mut World| {
            let report = world.models.get_mut(&b).unwrap().live();
            world.session.handle(world.now, Input::Reported { id: b, report });
            world.session.handle_timeout(world.now);
            world.models.get_mut(&b).unwrap().limits = core::iter::from_fn(|| world.session.poll_output())
                .fold(world.models[&b].limits, |last, output| match output {
                    Output::SetLimits(id, limits) if id == b => Some(limits),
                    _ => last,
                });
        };
    for _ in 0..12 {
        world.now += STEP;
        report(&mut world);
    }
    assert!(world.limits(b).down > Some(990_000), "{:?}", world.limits(b));
}

#[test]
fn weights_and_limits_of_their_own_hold() {
    let mut world = World::new(down(900_000));
    let hungry = Appetite { down: u64::MAX, ..Appetite::default() };
    let heavy = world.add(1, Torrent { weight: 3, ..Torrent::new(Wants::Download) }, hungry);
    let light = world.add(2, Torrent { weight: 0, ..Torrent::new(Wants::Download) }, hungry);
    let capped = world.add(3, Torrent { max_down: Some(100_000), ..Torrent::new(Wants::Download) }, hungry);
    world.run(secs(6));
    assert_eq!([heavy, light, capped].map(|id| world.used(id)), [600_000, 200_000, 100_000]);
    world.input(Input::SetShare { id: light, weight: 3, max_up: None, max_down: None });
    world.run(secs(6));
    assert_eq!([heavy, light, capped].map(|id| world.used(id)), [400_000, 400_000, 100_000]);
    world.input(Input::SetSettings(Settings::default()));
    assert_eq!([heavy, capped].map(|id| world.limits(id).down), [None, Some(100_000)]);
}

#[test]
fn less_is_told_at_once_and_next_to_nothing_is_not_news() {
    let mut world = World::new(down(100_000));
    let (a, _) = (world.download(1, u64::MAX), world.download(2, 30_000));
    world.run(secs(3));
    world.input(Input::SetSettings(down(99_000)));
    world.input(Input::SetSettings(down(98_000)));
    world.run(secs(6));
    let before = world.limits(a);
    world.models.get_mut(&TorrentId(2)).unwrap().appetite.down = 30_500;
    world.run(secs(2));
    assert_eq!(world.limits(a), before, "no news");
    world.run(secs(5));
    assert_ne!(world.limits(a), before, "but with the next count of connections it is told");
}

#[test]
fn connections_go_to_those_who_need_them() {
    let mut world = World::new(Settings { max_peers: 100, ..Settings::default() });
    let crowded = |peers| Appetite { peers, ..Appetite::default() };
    let a = world.add(1, Torrent::new(Wants::Download), crowded(1000));
    world.run(secs(20));
    assert_eq!(world.models[&a].report.peers, 100);
    let b = world.add(2, Torrent::new(Wants::Download), crowded(5));
    assert_eq!(world.limits(a).max_peers, 92, "what it has stays, but for room to begin");
    world.run(secs(20));
    assert_eq!((world.models[&a].report.peers, world.models[&b].report.peers), (87, 5));
    world.models.get_mut(&b).unwrap().appetite.peers = 1000;
    world.run(secs(40));
    assert_eq!((world.models[&a].report.peers, world.models[&b].report.peers), (50, 50));
    for n in 3..=60 {
        world.add(n, Torrent::new(Wants::Download), crowded(1000));
    }
    world.run(secs(40));
    assert!(world.models.values().all(|model| model.report.peers >= 1), "a minimum for everybody");
    for n in 61..=150 {
        world.add(n, Torrent::new(Wants::Download), crowded(1000));
    }
    assert!(world.models.values().all(|model| model.limits.is_some_and(|limits| limits.max_peers == 1)));
}

#[test]
fn slots_go_to_those_who_need_them() {
    let mut world = World::new(Settings { upload_slots: Some(10), ..Settings::default() });
    let wanted = |interested| Appetite { interested, ..Appetite::default() };
    let ids =
        [0, 20, 3].map(|n| world.add(n + 1, Torrent::new(Wants::Seed), wanted(usize::try_from(n).unwrap())));
    world.run(secs(10));
    assert_eq!(ids.map(|id| world.limits(id).upload_slots), [1, 6, 3]);
    world.input(Input::SetSettings(Settings { upload_slots: Some(2), ..Settings::default() }));
    assert_eq!(ids.map(|id| world.limits(id).upload_slots), [1, 1, 1], "one at least");
    for (max_up, slots) in [(1_000_000, 64), (60_000, 4), (10_000, 2)] {
        world.input(Input::SetSettings(Settings { max_up: Some(max_up), ..Settings::default() }));
        assert_eq!(ids.map(|id| world.limits(id).upload_slots), [slots; 3], "{max_up}");
    }
}

#[test]
fn downloads_run_in_the_order_of_the_user() {
    let mut world = World::new(Settings { max_active_downloads: Some(2), ..Settings::default() });
    (1..=5).for_each(|n| _ = world.download(n, 100_000));
    assert_eq!(world.active(), [1, 2]);
    world.run(10 * MINUTE);
    assert_eq!(world.active(), [1, 2], "who works stays");
    world.remove(TorrentId(1));
    assert_eq!(world.active(), [2, 3]);
    world.input(Input::Move { id: TorrentId(5), to: 0 });
    assert_eq!(world.active(), [2, 5]);
    world.input(Input::Move { id: TorrentId(5), to: 99 });
    assert_eq!(world.active(), [2, 3]);
    world.input(Input::SetPaused { id: TorrentId(2), paused: true });
    assert_eq!(world.active(), [3, 4]);
    world.input(Input::SetPaused { id: TorrentId(2), paused: false });
    assert_eq!(world.active(), [2, 3], "it kept its place");
    world.input(Input::SetWants { id: TorrentId(2), wants: Wants::Seed });
    assert_eq!(world.active(), [2, 3, 4], "seeds have room of their own");
    world.input(Input::SetWants { id: TorrentId(2), wants: Wants::Download });
    assert_eq!(world.active(), [2, 3]);
}

#[test]
fn settings_start_and_stop() {
    let mut world = World::new(Settings::default());
    (1..=4).for_each(|n| _ = world.download(n, 100_000));
    (5..=8).for_each(|n| _ = world.seed(n, 100_000));
    assert_eq!(world.active().len(), 8, "no limits");
    let mut set = |downloads, seeds, all| {
        let settings = Settings {
            max_active_downloads: downloads,
            max_active_seeds: seeds,
            max_active: all,
            ..Settings::default()
        };
        world.input(Input::SetSettings(settings));
        world.active()
    };
    assert_eq!(set(Some(3), Some(2), None), [1, 2, 3, 5, 6]);
    assert_eq!(set(Some(3), Some(2), Some(4)), [1, 2, 3, 5], "downloads come first");
    assert_eq!(set(None, None, Some(4)), [1, 2, 3, 4]);
    assert_eq!(set(Some(0), Some(0), None), [1, 5], "0 is 1");
    assert_eq!(set(None, None, None).len(), 8);
}

#[test]
fn an_idle_download_makes_room_for_one_that_waits() {
    let mut world = World::new(Settings { max_active_downloads: Some(2), ..down(50_000) });
    world.download(1, 0);
    world.download(2, u64::MAX);
    world.run(DOWNLOAD_PATIENCE * 2);
    assert_eq!(world.active(), [1, 2], "nobody waits");
    world.download(3, 0);
    world.download(4, IDLE_BELOW / 4);
    assert_eq!(world.active(), [2, 3], "its patience is over already");
    world.run(DOWNLOAD_PATIENCE - STEP);
    assert_eq!(world.active(), [2, 3]);
    world.run(STEP * 2);
    assert_eq!(world.active(), [1, 2], "it is its turn again");
    world.run(DOWNLOAD_PATIENCE);
    assert_eq!(world.active(), [2, 4]);
    world.run(DOWNLOAD_PATIENCE * 2 + STEP * 2);
    assert_eq!(world.active(), [1, 2]);
    world.models.get_mut(&TorrentId(1)).unwrap().appetite.down = 3 * IDLE_BELOW;
    world.run(DOWNLOAD_PATIENCE * 3);
    assert_eq!(world.active(), [1, 2], "it moves now");
}

#[test]
fn a_download_that_a_limit_holds_back_is_not_idle() {
    let mut world = World::new(Settings { max_active_downloads: Some(2), ..down(1000) });
    (1..=3).for_each(|n| _ = world.download(n, u64::MAX));
    world.run(DOWNLOAD_PATIENCE * 3);
    assert_eq!(world.active(), [1, 2]);
}

#[test]
fn several_idle_downloads_do_not_push_each_other_out_at_once() {
    let mut world = World::new(Settings { max_active_downloads: Some(3), ..Settings::default() });
    (1..=5).for_each(|n| _ = world.download(n, 0));
    world.idle(60 * MINUTE);
    for (id, model) in &world.models {
        assert!(model.turns.iter().all(|&turn| turn >= DOWNLOAD_PATIENCE), "{id:?} {:?}", model.turns);
        assert!(
            model.longest_wait >= ROTATION_PAUSE && model.longest_wait <= DOWNLOAD_PATIENCE * 2,
            "{model:?}"
        );
        assert!(model.turns.len() >= 60 * 3 / 5 / 2 - 4, "{id:?} {:?}", model.turns);
    }
}

#[test]
fn seeds_take_turns() {
    let mut world = World::new(Settings { max_active_seeds: Some(2), ..Settings::default() });
    (1..=6).for_each(|n| _ = world.seed(n, 100_000));
    assert_eq!(world.active(), [1, 2]);
    world.run(SEED_TURN - STEP);
    assert_eq!(world.active(), [1, 2]);
    world.run(STEP);
    assert_eq!(world.active(), [3, 4], "who has waited longest");
    world.run(SEED_TURN * 2);
    assert_eq!(world.active(), [1, 2]);
    for model in world.models.values() {
        assert!(model.turns.iter().all(|&turn| turn == SEED_TURN), "{:?}", model.turns);
    }
    world.models.get_mut(&TorrentId(1)).unwrap().appetite.up = 0;
    world.run(SEED_PATIENCE + STEP * 4);
    assert_eq!(world.active(), [2, 3], "an idle one takes a short turn");
    world.input(Input::SetWants { id: TorrentId(2), wants: Wants::Download });
    world.run(STEP);
    world.input(Input::SetWants { id: TorrentId(2), wants: Wants::Seed });
    assert_eq!(world.active(), [3, 4], "a newcomer stops nobody");
}

#[test]
fn a_finished_download_waits_for_a_seed_to_end() {
    let settings =
        Settings { max_active_downloads: Some(1), max_active_seeds: Some(1), ..Settings::default() };
    let mut world = World::new(settings);
    world.seed(1, 100_000);
    let two = world.download(2, 100_000);
    world.download(3, 100_000);
    assert_eq!(world.active(), [1, 2]);
    world.input(Input::SetWants { id: two, wants: Wants::Seed });
    assert_eq!(world.active(), [1, 3]);
    world.remove(TorrentId(1));
    assert_eq!(world.active(), [2, 3]);
}

#[test]
fn one_torrent_too_many_is_refused_and_many_cost_nothing() {
    let settings = Settings { max_active_downloads: Some(3), max_active_seeds: Some(3), ..down(1_000_000) };
    let mut session = Session::new(settings, Time::ZERO);
    let most = u64::try_from(MAX_TORRENTS).unwrap();
    let add = |session: &mut Session, n| {
        let wants = if n % 2 == 0 { Wants::Download } else { Wants::Seed };
        session.handle(Time::ZERO, Input::Added { id: TorrentId(n), torrent: Torrent::new(wants) });
    };
    (0..most).for_each(|n| add(&mut session, n));
    assert!(
        core::iter::from_fn(|| session.poll_output()).all(|output| !matches!(output, Output::Refused(_)))
    );
    add(&mut session, most);
    assert_eq!(session.poll_output(), Some(Output::Refused(TorrentId(most))));
    add(&mut session, 0);
    assert_eq!(session.poll_output(), None, "it is there");
    session.handle(Time::ZERO, Input::Removed { id: TorrentId(most - 1) });
    add(&mut session, most);
    assert_eq!(session.poll_output(), None);
    // If a tick looked at what is loaded, these would take minutes.
    let active: Vec<_> = session.active().collect();
    for tick in 1..=20_000 {
        let now = Time::from_millis(tick * 250);
        for (&id, report) in active.iter().zip(0..) {
            let report = Report {
                line_down: tick * 250 * report,
                held_down: true,
                held_up: true,
                ..Report::default()
            };
            session.handle(now, Input::Reported { id, report });
        }
        session.handle_timeout(now);
    }
}

#[test]
fn those_that_come_together_get_what_they_would_one_after_the_other() {
    let settings = Settings { max_active: Some(3), upload_slots: Some(9), ..down(1_000_000) };
    let torrents = (0..5).map(|n| {
        let wants = if n % 2 == 0 { Wants::Seed } else { Wants::Download };
        (TorrentId(n), Torrent::new(wants))
    });
    let told = |session: &mut Session| {
        let mut limits = BTreeMap::new();
        while let Some(output) = session.poll_output() {
            match output {
                Output::SetLimits(id, now) => _ = limits.insert(id, now),
                Output::Stop(id) => _ = limits.remove(&id),
                Output::Start(_) | Output::Refused(_) => {}
            }
        }
        (session.active().collect::<Vec<_>>(), limits)
    };
    let mut one_by_one = Session::new(settings.clone(), Time::ZERO);
    for (id, torrent) in torrents.clone() {
        one_by_one.handle(Time::ZERO, Input::Added { id, torrent });
    }
    let mut together = Session::new(settings, Time::ZERO);
    together.add_all(Time::ZERO, torrents);
    assert_eq!(told(&mut together), told(&mut one_by_one));
}

#[test]
fn strangers_are_ignored() {
    let mut world = World::new(down(1000));
    let id = TorrentId(7);
    world.input(Input::Reported { id, report: Report::default() });
    world.input(Input::SetWants { id, wants: Wants::Seed });
    world.input(Input::SetPaused { id, paused: true });
    world.input(Input::SetShare { id, weight: 1, max_up: None, max_down: None });
    world.input(Input::Move { id, to: 0 });
    world.input(Input::Removed { id });
    assert_eq!(world.session.poll_timeout(), None);
}

fn random_torrent(rng: &mut fastrand::Rng) -> (Torrent, Appetite) {
    let torrent = Torrent {
        wants: if rng.bool() { Wants::Download } else { Wants::Seed },
        paused: rng.u32(0..8) == 0,
        weight: rng.u32(0..4),
        max_up: (rng.u32(0..4) == 0).then(|| rng.u64(1..100_000)),
        max_down: (rng.u32(0..4) == 0).then(|| rng.u64(1..100_000)),
    };
    let mut appetite = || if rng.bool() { rng.u64(0..300_000) } else { 0 };
    let appetite =
        Appetite { down: appetite(), up: appetite(), peers: rng.usize(0..100), interested: rng.usize(0..9) };
    (torrent, appetite)
}

/// A life of many torrents: the sums hold at every step (see `World::check`).
fn random_life(seed: u64) -> World {
    let mut rng = fastrand::Rng::with_seed(seed);
    let random_settings = |rng: &mut fastrand::Rng| Settings {
        max_up: rng.bool().then(|| rng.u64(0..500_000)),
        max_down: rng.bool().then(|| rng.u64(0..500_000)),
        max_peers: rng.usize(1..200),
        upload_slots: rng.bool().then(|| rng.usize(0..20)),
        max_active_downloads: rng.bool().then(|| rng.usize(0..5)),
        max_active_seeds: rng.bool().then(|| rng.usize(0..5)),
        max_active: rng.bool().then(|| rng.usize(0..8)),
    };
    let mut world = World::new(random_settings(&mut rng));
    for n in 0..120 {
        let (torrent, appetite) = random_torrent(&mut rng);
        let id = TorrentId(rng.u64(0..n + 1));
        let known = world.models.contains_key(&id);
        match rng.u32(0..10) {
            0..4 => _ = world.add(1000 + n, torrent, appetite),
            4 if known => world.remove(id),
            5 => world.input(Input::SetWants { id, wants: torrent.wants }),
            6 => world.input(Input::SetPaused { id, paused: torrent.paused }),
            7 => world.input(Input::Move { id: TorrentId(1000 + id.0), to: rng.usize(0..20) }),
            8 => world.input(Input::SetSettings(random_settings(&mut rng))),
            _ if rng.u32(0..20) == 0 => world.idle(SEED_TURN),
            _ => world.run(Duration::from_millis(rng.u64(0..4_000))),
        }
    }
    world
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    assert_eq!(random_life(7).digest, random_life(7).digest);
    // On every machine. A change of what the brain decides changes this number, and nothing else does.
    assert_eq!(random_life(7).digest, 0x167a_2320_271a_330b, "{:#x}", random_life(7).digest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_sums_hold(seed: u64) {
        random_life(seed);
    }

    /// Every torrent gets what it would if all were dealt out by hand, and nothing is left while somebody wants it.
    #[test]
    fn nobody_starves_and_nothing_is_wasted(
        total in 20_000u64..1_000_000,
        torrents in proptest::collection::vec((1u32..4, 0u64..400_000, proptest::option::of(5_000u64..200_000)), 1..12),
    ) {
        let mut world = World::new(down(total));
        for (n, &(weight, down, max_down)) in (0..).zip(&torrents) {
            let torrent = Torrent { weight, max_down, ..Torrent::new(Wants::Download) };
            world.add(n, torrent, Appetite { down, ..Appetite::default() });
        }
        // Who uses nearly all of its share is now held back and now not: what matters is the mean. The room that others
        // are left may come from one.
        world.run(secs(5));
        let mut sums = vec![0; torrents.len()];
        for _ in 0..40 {
            world.run(STEP);
            world.models.values().zip(&mut sums).for_each(|(model, sum)| *sum += model.used.0);
        }
        let claims: Vec<_> = torrents.iter().map(|&(weight, demand, cap)| {
            Claim { weight, demand: demand.min(cap.unwrap_or(u64::MAX)) }
        }).collect();
        let ideal = fill(total, &claims);
        for ((used, &ideal), claim) in sums.iter().map(|sum| sum / 40).zip(&ideal).zip(&claims) {
            prop_assert!(used * 2 >= ideal && used + ideal / 10 + total / ROOM_PART >= ideal, "{used} of {ideal}: {claim:?} of {claims:?}");
        }
        let (used, wanted): (u64, u64) = (sums.iter().sum::<u64>() / 40, ideal.iter().sum());
        prop_assert!(used * 100 >= wanted * 95, "{used} of {wanted}");
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everybody_has_its_turn(
        caps in (1usize..4, 1usize..4, proptest::option::of(2usize..6)),
        torrents in proptest::collection::vec((any::<bool>(), prop_oneof![Just(0), Just(100_000u64)]), 1..15),
    ) {
        let (downloads, seeds, all) = caps;
        // Seeds have room beside downloads.
        let all = all.map(|all| all.max(downloads + 1));
        let mut world = World::new(Settings {
            max_active_downloads: Some(downloads),
            max_active_seeds: Some(seeds),
            max_active: all,
            ..Settings::default()
        });
        let mut unfinished: HashMap<TorrentId, u32> = HashMap::new();
        for (n, &(download, rate)) in (0..).zip(&torrents) {
            let id = if download { world.download(n, rate) } else { world.seed(n, rate) };
            if download && rate > 0 {
                unfinished.insert(id, 3);
            }
        }
        // A download that moves is done when it has run for three minutes.
        for _ in 0..15 * 32 {
            for id in world.session.active().collect::<Vec<_>>() {
                if let Some(left) = unfinished.get_mut(&id) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        world.input(Input::SetWants { id, wants: Wants::Seed });
                        unfinished.remove(&id);
                    }
                }
            }
            world.run(Duration::from_secs(2));
            world.idle(MINUTE - Duration::from_secs(2));
        }
        for (id, model) in &world.models {
            let ever = model.started.is_some() || !model.turns.is_empty();
            prop_assert!(ever, "{id:?} never ran: {:?}", torrents);
        }
        prop_assert!(unfinished.is_empty());
    }
}
