//! Torrents that come, go and change under any settings: only those run that may, and what they are told adds up.
#![no_main]

use common::{Parts, plant};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use session::{Input, Output, Report, Session, Settings, Torrent, TorrentId, Wants};
use std::collections::{BTreeMap, BTreeSet};
use swarm::Limits;
use types::Time;

struct Bench {
    session: Session,
    settings: Settings,
    now: Time,
    torrents: BTreeMap<TorrentId, Torrent>,
    running: BTreeSet<TorrentId>,
    told: BTreeMap<TorrentId, Limits>,
    stops: usize,
}

impl Bench {
    fn input(&mut self, input: Input) {
        self.session.handle(self.now, input);
        self.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Start(id) => {
                    assert!(self.told.contains_key(&id), "limits first");
                    assert!(self.running.insert(id), "it runs already");
                }
                Output::Stop(id) => {
                    assert!(self.running.remove(&id), "it does not run");
                    self.told.remove(&id);
                    self.stops += 1;
                }
                Output::SetLimits(id, limits) => drop(self.told.insert(id, limits)),
                Output::Refused(id) => panic!("{id:?} refused"),
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.session.active().collect::<BTreeSet<_>>(), self.running);
        assert!(self.running.iter().all(|id| self.torrents.get(id).is_some_and(|torrent| !torrent.paused)));
        let most = |cap: Option<usize>| cap.map_or(usize::MAX, |cap| cap.max(1));
        let of = |wants| self.running.iter().filter(|id| self.torrents[id].wants == wants).count();
        assert!(self.running.len() <= most(self.settings.max_active));
        assert!(of(Wants::Download) <= most(self.settings.max_active_downloads));
        assert!(of(Wants::Seed) <= most(self.settings.max_active_seeds));
        assert_eq!(self.told.keys().copied().collect::<BTreeSet<_>>(), self.running);
        let sum =
            |of: fn(&Limits) -> Option<u64>| self.told.values().filter_map(of).map(u128::from).sum::<u128>();
        assert!(self.settings.max_up.is_none_or(|max| sum(|limits| limits.up) <= max.into()));
        assert!(self.settings.max_down.is_none_or(|max| sum(|limits| limits.down) <= max.into()));
        let peers: usize = self.told.values().map(|limits| limits.max_peers).sum();
        assert!(peers <= self.settings.max_peers.max(self.running.len()));
        for (id, limits) in &self.told {
            let torrent = &self.torrents[id];
            assert!(torrent.max_up.is_none_or(|max| limits.up.is_some_and(|up| up <= max)));
            assert!(torrent.max_down.is_none_or(|max| limits.down.is_some_and(|down| down <= max)));
        }
    }
}

fn rate(parts: &mut Parts<'_>) -> Option<u64> {
    let rate = parts.u64() >> (parts.byte() % 64);
    parts.bit().then_some(rate)
}

fn cap(parts: &mut Parts<'_>) -> Option<usize> {
    let cap = usize::from(parts.byte() % 5);
    parts.bit().then_some(cap)
}

fn settings(parts: &mut Parts<'_>) -> Settings {
    Settings {
        max_up: rate(parts),
        max_down: rate(parts),
        max_peers: parts.byte().into(),
        upload_slots: cap(parts),
        max_active_downloads: cap(parts),
        max_active_seeds: cap(parts),
        max_active: cap(parts),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let settings_now = settings(&mut parts);
    let mut bench = Bench {
        session: Session::new(settings_now.clone(), Time::ZERO),
        settings: settings_now,
        now: Time::ZERO,
        torrents: BTreeMap::new(),
        running: BTreeSet::new(),
        told: BTreeMap::new(),
        stops: 0,
    };
    let mut next = 0;
    while !parts.is_empty() {
        let what = parts.byte();
        let id = TorrentId(u64::from(parts.byte()) % (next + 1));
        let wants = if what & 64 == 0 { Wants::Download } else { Wants::Seed };
        match what % 10 {
            0 | 1 => {
                let (id, paused) = (TorrentId(next), parts.byte() % 4 == 0);
                next += 1;
                let (weight, max_up, max_down) = (parts.byte().into(), rate(&mut parts), rate(&mut parts));
                let torrent = Torrent { wants, paused, weight, max_up, max_down };
                bench.torrents.insert(id, torrent.clone());
                bench.input(Input::Added { id, torrent });
            }
            2 => {
                // It ends by itself.
                bench.torrents.remove(&id);
                bench.running.remove(&id);
                bench.told.remove(&id);
                bench.input(Input::Removed { id });
            }
            3 | 4 => {
                let report = Report {
                    line_down: parts.u32().into(),
                    line_up: parts.u32().into(),
                    held_down: parts.bit(),
                    held_up: parts.bit(),
                    peers: parts.byte().into(),
                    interested: parts.byte().into(),
                };
                bench.input(Input::Reported { id, report });
            }
            5 => {
                bench.torrents.entry(id).and_modify(|torrent| torrent.wants = wants);
                bench.input(Input::SetWants { id, wants });
            }
            6 => {
                let paused = parts.bit();
                bench.torrents.entry(id).and_modify(|torrent| torrent.paused = paused);
                bench.input(Input::SetPaused { id, paused });
            }
            7 if parts.bit() => bench.input(Input::Move { id, to: parts.byte().into() }),
            7 => {
                let (weight, max_up, max_down) = (parts.u32(), rate(&mut parts), rate(&mut parts));
                bench.torrents.entry(id).and_modify(|torrent| {
                    (torrent.weight, torrent.max_up, torrent.max_down) = (weight, max_up, max_down);
                });
                bench.input(Input::SetShare { id, weight, max_up, max_down });
            }
            8 if what & 64 == 0 => {
                bench.settings = settings(&mut parts);
                bench.input(Input::SetSettings(bench.settings.clone()));
            }
            _ => {
                bench.now += Duration::from_millis(u64::from(parts.u16()) * 16);
                bench.session.handle_timeout(bench.now);
                bench.outputs();
                assert!(bench.session.poll_timeout().is_none_or(|at| at > bench.now), "it comes to rest");
            }
        }
        plant(|| bench.stops >= 2 && bench.running.len() >= 2 && bench.settings.max_active.is_some());
    }
});
