//! The brain: every input comes in here, every output leaves from here.

use crate::limits::{
    AUTO_SLOTS, COUNT_TICK, IDLE_BELOW, IDLE_PART, IDLE_RATE, MAX_TORRENTS, MIN_PEERS, PEER_ROOM,
    RATE_PER_SLOT, RATE_TICK, REPORT_AGE, ROOM_PART, TOLD_PART,
};
use crate::meter::Meter;
use crate::queue::{Caps, Queue};
use crate::share::{Claim, fill, spread};
use crate::{Input, Output, Report, Settings, Torrent, TorrentId, Wants};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use swarm::Limits;
use types::Time;

/// The brain above torrents. See the [crate's page](crate) for how it is driven.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    now: Time,
    out: VecDeque<Output>,
    /// Boxed: half of the room in a tree that grows at its end is empty.
    torrents: BTreeMap<TorrentId, Box<Known>>,
    queue: Queue,
    /// Something was reported since rates were dealt out.
    reported: bool,
    next_rates: Time,
    /// When connections and slots are dealt out anew, as soon as rates are.
    next_counts: Time,
    /// When somebody's turn may be over.
    next_rotation: Time,
}

/// What is known of one torrent.
#[derive(Debug)]
struct Known {
    weight: u32,
    max_up: Option<u64>,
    max_down: Option<u64>,
    down: Meter,
    up: Meter,
    report: Report,
    reported: Time,
    /// When it last moved something, or wanted to.
    moved: Time,
    /// What it was told last; nothing while it does not run.
    told: Option<Limits>,
}

impl Session {
    /// A session of no torrents.
    pub fn new(settings: Settings, now: Time) -> Session {
        Session {
            settings,
            now,
            out: VecDeque::new(),
            torrents: BTreeMap::new(),
            queue: Queue::default(),
            reported: false,
            next_rates: now,
            next_counts: now,
            next_rotation: Time::MAX,
        }
    }

    /// Tells what happened at `now`, which must not run backwards.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Reported { id, report } => return self.on_report(id, report),
            Input::Added { id, torrent } => self.on_added(id, &torrent),
            Input::Removed { id } => {
                self.torrents.remove(&id);
                self.queue.remove(id);
            }
            Input::SetWants { id, wants } => self.queue.set_wants(id, wants, self.now),
            Input::SetPaused { id, paused } => self.queue.set_paused(id, paused, self.now),
            Input::Move { id, to } => self.queue.move_to(id, to),
            Input::SetShare { id, weight, max_up, max_down } => {
                if let Some(known) = self.torrents.get_mut(&id) {
                    (known.weight, known.max_up, known.max_down) = (weight, max_up, max_down);
                }
            }
            Input::SetSettings(settings) => self.settings = settings,
        }
        self.settle();
    }

    /// Several torrents come at once: as [`Input::Added`] for each of them, but who runs and what each gets is decided once,
    /// which costs as much as the torrents that run.
    pub fn add_all(&mut self, now: Time, torrents: impl IntoIterator<Item = (TorrentId, Torrent)>) {
        self.now = self.now.max(now);
        torrents.into_iter().for_each(|(id, torrent)| self.on_added(id, &torrent));
        self.settle();
    }

    /// Lets deadlines pass. To be called at [`poll_timeout`](Self::poll_timeout); earlier or later is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.now >= self.next_rotation {
            return self.settle();
        }
        if self.now >= self.next_deal() {
            self.deal(self.now >= self.next_counts);
        }
    }

    /// The next thing to do. To be asked until `None` after each `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing happens before; `None`: never.
    pub fn poll_timeout(&self) -> Option<Time> {
        Some(self.next_deal().min(self.next_rotation)).filter(|&at| at != Time::MAX)
    }

    /// The torrents that run, downloads first.
    pub fn active(&self) -> impl Iterator<Item = TorrentId> {
        self.queue.active()
    }

    /// Nothing is dealt out anew as long as nobody reports.
    fn next_deal(&self) -> Time {
        match (self.reported, &self.settings) {
            (false, _) => Time::MAX,
            (true, Settings { max_up: None, max_down: None, .. }) => self.next_counts,
            (true, _) => self.next_rates,
        }
    }

    fn on_added(&mut self, id: TorrentId, torrent: &Torrent) {
        if self.torrents.contains_key(&id) {
            return;
        }
        if self.queue.len() >= MAX_TORRENTS {
            self.out.push_back(Output::Refused(id));
            return;
        }
        let Torrent { wants, paused, weight, max_up, max_down } = *torrent;
        self.queue.insert(id, wants, paused, self.now);
        let known = Known {
            weight,
            max_up,
            max_down,
            down: Meter::new(self.now),
            up: Meter::new(self.now),
            report: Report::default(),
            reported: self.now,
            moved: self.now,
            told: None,
        };
        self.torrents.insert(id, Box::new(known));
    }

    fn on_report(&mut self, id: TorrentId, report: Report) {
        let (Some(known), Some(wants)) = (self.torrents.get_mut(&id), self.queue.wants(id)) else { return };
        known.down.note(self.now, report.line_down);
        known.up.note(self.now, report.line_up);
        let (rate, held) = match wants {
            Wants::Download => (known.down.per_sec(), report.held_down),
            Wants::Seed => (known.up.per_sec(), report.held_up),
        };
        if held || rate >= IDLE_BELOW {
            known.moved = self.now;
        }
        known.report = report;
        known.reported = self.now;
        self.reported |= self.queue.is_active(id);
    }

    /// Who runs, and then what each gets.
    fn settle(&mut self) {
        let moved = |torrents: &BTreeMap<TorrentId, Box<Known>>, id| {
            torrents.get(&id).map_or(Time::ZERO, |known| known.moved)
        };
        self.queue.rotate(self.now, |id| moved(&self.torrents, id));
        let (stopped, started) = self.queue.settle(self.now, Caps::of(&self.settings));
        self.next_rotation = self.queue.next_rotation(|id| moved(&self.torrents, id));
        for id in stopped {
            if let Some(known) = self.torrents.get_mut(&id) {
                known.told = None;
            }
            self.out.push_back(Output::Stop(id));
        }
        self.deal(true);
        self.out.extend(started.into_iter().map(Output::Start));
    }
}

/// Shares.
impl Session {
    /// Deals rates out, and with `counts` connections and slots as well; tells who gets something else than before.
    fn deal(&mut self, counts: bool) {
        self.reported = false;
        self.next_rates = self.now + RATE_TICK;
        let ids: Vec<TorrentId> = self.queue.active().collect();
        let active: Vec<&Known> = ids.iter().filter_map(|id| Some(&**self.torrents.get(id)?)).collect();
        let up = self.rates(&active, self.settings.max_up, |known| {
            (known.max_up, known.up.per_sec(), known.report.held_up)
        });
        let down = self.rates(&active, self.settings.max_down, |known| {
            (known.max_down, known.down.per_sec(), known.report.held_down)
        });
        let counts = counts.then(|| (self.connections(&active), self.slots(&active)));
        if counts.is_some() {
            self.next_counts = self.now + COUNT_TICK;
        }
        let limits: Vec<Limits> = (0..active.len())
            .map(|at| {
                let (max_peers, upload_slots) = match (&counts, active[at].told) {
                    (Some((peers, slots)), _) => (peers[at], slots[at]),
                    (None, Some(told)) => (told.max_peers, told.upload_slots),
                    // Not reached: who starts is dealt connections.
                    (None, None) => (1, 1),
                };
                Limits { up: up[at], down: down[at], upload_slots, max_peers }
            })
            .collect();
        self.tell(&ids, &limits, counts.is_some());
    }

    /// Tells everybody, or nobody: then what was told last still adds up to no more than there is. Nobody, if rates alone
    /// changed, and but little.
    fn tell(&mut self, ids: &[TorrentId], limits: &[Limits], all: bool) {
        let told = |id| self.torrents.get(id).and_then(|known| known.told);
        if !all
            && !ids.iter().zip(limits).any(|(id, limits)| told(id).is_none_or(|told| is_news(&told, limits)))
        {
            return;
        }
        for (&id, &limits) in ids.iter().zip(limits) {
            let Some(known) = self.torrents.get_mut(&id) else { continue };
            if known.told.replace(limits) != Some(limits) {
                self.out.push_back(Output::SetLimits(id, limits));
            }
        }
    }

    /// Shares of a rate. `look` tells a torrent's own limit, what it uses, and whether it would use more.
    fn rates(
        &self,
        active: &[&Known],
        total: Option<u64>,
        look: impl Fn(&Known) -> (Option<u64>, u64, bool),
    ) -> Vec<Option<u64>> {
        let Some(total) = total else { return active.iter().map(|known| look(known).0).collect() };
        let least = (total / IDLE_PART / (active.len() as u64).max(1)).min(IDLE_RATE);
        let claim = |known: &Known| {
            let (_, used, held) = look(known);
            let demand = match (known.is_silent(self.now), held) {
                (true, _) => 0,
                (_, true) => u64::MAX,
                (_, false) => used.saturating_add(used / ROOM_PART),
            };
            Claim { weight: known.weight, demand: demand.max(least) }
        };
        let claims: Vec<Claim> = active.iter().map(|known| claim(known)).collect();
        let caps: Vec<u64> = active.iter().map(|known| look(known).0.unwrap_or(u64::MAX)).collect();
        spread(total, &claims, &caps).into_iter().map(Some).collect()
    }

    fn connections(&self, active: &[&Known]) -> Vec<usize> {
        let claim = |known: &Known| {
            let Report { peers, .. } = known.report;
            let full = known.told.is_none_or(|told| peers >= told.max_peers - told.max_peers / 8);
            // It may need more: twice as many, and so on until it does not use them.
            if full { (peers * 2).max(PEER_ROOM) } else { peers + PEER_ROOM }
        };
        deal_whole(self.settings.max_peers, MIN_PEERS, active.iter().map(|known| claim(known)))
    }

    fn slots(&self, active: &[&Known]) -> Vec<usize> {
        match self.settings.upload_slots {
            Some(slots) => deal_whole(slots, 1, active.iter().map(|known| known.report.interested)),
            None => self.slots_by_rate(active),
        }
    }

    /// As many as the part of the rate that is a torrent's by right can serve well.
    fn slots_by_rate(&self, active: &[&Known]) -> Vec<usize> {
        let weights: u64 = active.iter().map(|known| u64::from(known.weight.max(1))).sum();
        let (least, most) = AUTO_SLOTS;
        let slots = |known: &&Known| {
            let part = self.settings.max_up.map(|total| {
                u128::from(total) * u128::from(known.weight.max(1)) / u128::from(weights.max(1))
            });
            let part = part.map(|part| u64::try_from(part).unwrap_or(u64::MAX));
            let rate = part.into_iter().chain(known.max_up).min();
            rate.map_or(most, |rate| usize::try_from(rate / RATE_PER_SLOT).unwrap_or(most).clamp(least, most))
        };
        active.iter().map(slots).collect()
    }
}

impl Known {
    /// It has not reported for so long that it uses nothing.
    fn is_silent(&self, now: Time) -> bool {
        now.since(self.reported) > REPORT_AGE
    }
}

/// Deals out what comes in whole pieces: `least` to each as long as there is enough for all (and one even if not), then
/// what they need, then the rest.
fn deal_whole(total: usize, least: usize, demands: impl ExactSizeIterator<Item = usize>) -> Vec<usize> {
    let count = demands.len().max(1);
    let least = least.min(total / count).max(1);
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let claims: Vec<Claim> =
        demands.map(|demand| Claim { weight: 1, demand: wide(demand.saturating_sub(least)) }).collect();
    let left = wide(total.saturating_sub(least * count));
    let mut shares = fill(left, &claims);
    let rest = left - shares.iter().sum::<u64>();
    let all: Vec<Claim> = claims.iter().map(|_| Claim { weight: 1, demand: u64::MAX }).collect();
    for (share, more) in shares.iter_mut().zip(fill(rest, &all)) {
        *share += more;
    }
    shares.into_iter().map(|share| least + usize::try_from(share).unwrap_or(usize::MAX - least)).collect()
}

/// Whether the change is worth telling.
fn is_news(told: &Limits, now: &Limits) -> bool {
    let differ = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b) > a / TOLD_PART,
        (a, b) => a != b,
    };
    (told.upload_slots, told.max_peers) != (now.upload_slots, now.max_peers)
        || differ(told.up, now.up)
        || differ(told.down, now.down)
}

#[cfg(test)]
mod tests;
