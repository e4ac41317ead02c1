//! Who runs.
//!
//! A torrent is in exactly one of these states: **paused**, **waiting**, **active**.
//!
//! Downloads: the first ones in the user's order are active. One that is idle goes to the end of the queue as soon as
//! another waits, and its turn comes again when those before it are done or idle too.
//!
//! Seeds: in turns. Who has waited longest starts; who runs is left alone until its turn is over, or it is idle. When
//! there is room for fewer, the turns that began last end.
//!
//! Every rule that stops a torrent wants a named time to pass first, so that nothing swings to and fro.

use crate::limits::{DOWNLOAD_PATIENCE, ROTATION_PAUSE, SEED_PATIENCE, SEED_TURN};
use crate::{Settings, TorrentId, Wants};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use types::Time;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    members: BTreeMap<TorrentId, Member>,
    /// Everybody, in the user's order.
    order: BTreeMap<i64, TorrentId>,
    downloads: Line,
    seeds: Line,
    /// Who was started and stopped since this was last asked for.
    turned: BTreeSet<TorrentId>,
    /// Nobody makes room for another before.
    rest_until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    wants: Wants,
    place: i64,
    standing: Standing,
    /// When it came to stand like that.
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Paused,
    Waiting,
    Active,
}

/// Those of one kind that are not paused, in the order in which they start; the last that are active stop first.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<Rank>,
    active: BTreeSet<Rank>,
}

/// For seeds the time since when they stand like that comes first; for downloads it says nothing.
type Rank = (Time, i64, TorrentId);

/// How many may be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    downloads: usize,
    seeds: usize,
    all: usize,
}

impl Caps {
    pub(crate) fn of(settings: &Settings) -> Caps {
        let cap = |setting: Option<usize>| setting.map_or(usize::MAX, |most| most.max(1));
        Caps {
            downloads: cap(settings.max_active_downloads),
            seeds: cap(settings.max_active_seeds),
            all: cap(settings.max_active),
        }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Who is active, downloads first.
    pub(crate) fn active(&self) -> impl Iterator<Item = TorrentId> {
        self.downloads.active.iter().chain(&self.seeds.active).map(|&(.., id)| id)
    }

    #[cfg(test)]
    pub(crate) fn active_len(&self) -> usize {
        self.downloads.active.len() + self.seeds.active.len()
    }

    pub(crate) fn is_active(&self, id: TorrentId) -> bool {
        self.members.get(&id).is_some_and(|member| member.standing == Standing::Active)
    }

    pub(crate) fn wants(&self, id: TorrentId) -> Option<Wants> {
        self.members.get(&id).map(|member| member.wants)
    }

    /// Puts a new one at the end.
    pub(crate) fn insert(&mut self, id: TorrentId, wants: Wants, paused: bool, now: Time) {
        let place = self.last_place();
        self.order.insert(place, id);
        let standing = if paused { Standing::Paused } else { Standing::Waiting };
        self.put(id, Member { wants, place, standing, since: now });
    }

    pub(crate) fn remove(&mut self, id: TorrentId) {
        if let Some(member) = self.take(id) {
            self.order.remove(&member.place);
            // It is gone: nobody is to be told.
            self.turned.remove(&id);
        }
    }

    /// It changes lines; if it was active it stays so, as long as there is room.
    pub(crate) fn set_wants(&mut self, id: TorrentId, wants: Wants, now: Time) {
        if self.wants(id).is_some_and(|before| before != wants)
            && let Some(member) = self.take(id)
        {
            self.put(id, Member { wants, since: now, ..member });
        }
    }

    pub(crate) fn set_paused(&mut self, id: TorrentId, paused: bool, now: Time) {
        let was_paused = self.members.get(&id).map(|member| member.standing == Standing::Paused);
        if was_paused.is_some_and(|was| was != paused) {
            self.stand(id, if paused { Standing::Paused } else { Standing::Waiting }, now);
        }
    }

    /// Moves one to a place, counted over all.
    pub(crate) fn move_to(&mut self, id: TorrentId, to: usize) {
        if !self.members.contains_key(&id) {
            return;
        }
        let mut order: Vec<TorrentId> = self.order.values().copied().filter(|&other| other != id).collect();
        order.insert(to.min(order.len()), id);
        self.order.clear();
        for (place, id) in (0..).zip(order) {
            self.put_at(id, place);
        }
    }

    /// Lets those whose turn is over make room for those that wait. `moved` tells when one last moved something.
    pub(crate) fn rotate(&mut self, now: Time, moved: impl Fn(TorrentId) -> Time) {
        if now < self.rest_until {
            return;
        }
        let (downloads, seeds) =
            (self.over(now, Wants::Download, &moved), self.over(now, Wants::Seed, &moved));
        if !downloads.is_empty() || !seeds.is_empty() {
            self.rest_until = now + ROTATION_PAUSE;
        }
        for id in downloads {
            let place = self.last_place();
            if let Some(member) = self.members.get(&id) {
                self.order.remove(&member.place);
            }
            // Those that wait now come before it, and take its room.
            self.put_at(id, place);
        }
        for id in seeds {
            self.stand(id, Standing::Waiting, now);
        }
    }

    /// When [`rotate`](Self::rotate) will have something to do, unless something moves.
    pub(crate) fn next_rotation(&self, moved: impl Fn(TorrentId) -> Time) -> Time {
        let lines = [&self.downloads, &self.seeds].into_iter().filter(|line| !line.waiting.is_empty());
        let ends = lines
            .flat_map(|line| &line.active)
            .filter_map(|&(.., id)| Some(self.members.get(&id)?.ends(moved(id))));
        ends.min().map_or(Time::MAX, |end| end.max(self.rest_until))
    }

    /// Starts and stops as there is room; says who is to be stopped and who is to be started.
    pub(crate) fn settle(&mut self, now: Time, caps: Caps) -> (Vec<TorrentId>, Vec<TorrentId>) {
        let downloads = self.downloads.len().min(caps.downloads).min(caps.all);
        let seeds = caps.seeds.min(caps.all - downloads);
        self.stop_last(Wants::Seed, seeds, now);
        self.stop_last(Wants::Download, downloads, now);
        self.start_first(Wants::Download, downloads, now);
        self.swap_downloads(now);
        self.start_first(Wants::Seed, seeds, now);
        let turned = core::mem::take(&mut self.turned);
        turned.into_iter().partition(|&id| !self.is_active(id))
    }

    fn stop_last(&mut self, wants: Wants, most: usize, now: Time) {
        while self.line(wants).active.len() > most
            && let Some(&(.., id)) = self.line(wants).active.last()
        {
            self.stand(id, Standing::Waiting, now);
        }
    }

    fn start_first(&mut self, wants: Wants, most: usize, now: Time) {
        while self.line(wants).active.len() < most
            && let Some(&(.., id)) = self.line(wants).waiting.first()
        {
            self.stand(id, Standing::Active, now);
        }
    }

    /// The user may have moved one that waits before one that is active.
    fn swap_downloads(&mut self, now: Time) {
        while let (Some(&waits), Some(&runs)) = (self.downloads.waiting.first(), self.downloads.active.last())
            && waits < runs
        {
            self.stand(runs.2, Standing::Waiting, now);
            self.stand(waits.2, Standing::Active, now);
        }
    }

    /// The active ones whose turn is over, those for which it has been longest first; no more than there wait.
    fn over(&self, now: Time, wants: Wants, moved: impl Fn(TorrentId) -> Time) -> Vec<TorrentId> {
        let line = self.line(wants);
        if line.waiting.is_empty() {
            return Vec::new();
        }
        let ends =
            line.active.iter().filter_map(|&(.., id)| Some((self.members.get(&id)?.ends(moved(id)), id)));
        let mut over: Vec<_> = ends.filter(|&(end, _)| end <= now).collect();
        over.sort_unstable();
        over.into_iter().take(line.waiting.len()).map(|(_, id)| id).collect()
    }

    fn stand(&mut self, id: TorrentId, standing: Standing, now: Time) {
        let Some(member) = self.take(id) else { return };
        self.put(id, Member { standing, since: now, ..member });
        let turns = member.standing == Standing::Active || standing == Standing::Active;
        // Stopped and started again before anybody was told is nothing.
        if turns && !self.turned.remove(&id) {
            self.turned.insert(id);
        }
    }

    fn put_at(&mut self, id: TorrentId, place: i64) {
        self.order.insert(place, id);
        if let Some(member) = self.take(id) {
            self.put(id, Member { place, ..member });
        }
    }

    fn put(&mut self, id: TorrentId, member: Member) {
        if let Some(ranks) = self.ranks(&member) {
            ranks.insert(member.rank(id));
        }
        self.members.insert(id, member);
    }

    fn take(&mut self, id: TorrentId) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(ranks) = self.ranks(&member) {
            ranks.remove(&member.rank(id));
        }
        Some(member)
    }

    fn ranks(&mut self, member: &Member) -> Option<&mut BTreeSet<Rank>> {
        let line = match member.wants {
            Wants::Download => &mut self.downloads,
            Wants::Seed => &mut self.seeds,
        };
        match member.standing {
            Standing::Paused => None,
            Standing::Waiting => Some(&mut line.waiting),
            Standing::Active => Some(&mut line.active),
        }
    }

    fn line(&self, wants: Wants) -> &Line {
        match wants {
            Wants::Download => &self.downloads,
            Wants::Seed => &self.seeds,
        }
    }

    fn last_place(&self) -> i64 {
        self.order.last_key_value().map_or(0, |(&last, _)| last + 1)
    }

    #[cfg(test)]
    pub(crate) fn check(&self, caps: Caps) {
        let downloads = &self.downloads;
        assert!(downloads.active.len() <= caps.downloads && self.seeds.active.len() <= caps.seeds);
        assert!(self.active_len() <= caps.all);
        let full = |line: &Line, cap| {
            line.waiting.is_empty() || line.active.len() == cap || self.active_len() == caps.all
        };
        assert!(full(downloads, caps.downloads) && full(&self.seeds, caps.seeds), "a slot is left empty");
        assert!(
            downloads.waiting.is_empty()
                || self.seeds.active.is_empty()
                || downloads.active.len() == caps.downloads,
            "downloads come first"
        );
        if let (Some(runs), Some(waits)) = (downloads.active.last(), downloads.waiting.first()) {
            assert!(runs < waits, "the user's order");
        }
        assert_eq!(self.order.len(), self.members.len());
        assert!(self.order.iter().all(|(place, id)| self.members[id].place == *place));
        let standing =
            |standing| self.members.values().filter(move |member| member.standing == standing).count();
        assert_eq!(standing(Standing::Active), self.active_len());
        assert_eq!(standing(Standing::Waiting), downloads.waiting.len() + self.seeds.waiting.len());
        assert!(self.turned.is_empty());
    }
}

impl Line {
    fn len(&self) -> usize {
        self.waiting.len() + self.active.len()
    }
}

impl Member {
    fn rank(&self, id: TorrentId) -> Rank {
        let since = if self.wants == Wants::Seed { self.since } else { Time::ZERO };
        (since, self.place, id)
    }

    /// When its turn is over if it moved something last then.
    fn ends(&self, moved: Time) -> Time {
        let idle_since = self.since.max(moved);
        match self.wants {
            Wants::Download => idle_since + DOWNLOAD_PATIENCE,
            Wants::Seed => (idle_since + SEED_PATIENCE).min(self.since + SEED_TURN),
        }
    }
}
