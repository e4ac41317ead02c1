//! The brain above torrents, and the way from it to them: each torrent has a seat, where its orders lie.
//!
//! Torrents report whenever they publish their numbers, and find what follows from it for them at their seat; a timer
//! lets the brain's deadlines pass. The lock is held for as long as the brain takes, and never across an await.

use crate::Settings;
use crate::shared::Shared;
use crate::watched::{self, watched};
use session::{Input, Output, Report, Session, Torrent, TorrentId, Wants};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use swarm::Limits;
use tokio::sync::Notify;
use types::Time;

/// Decides which torrents run and what each may take.
pub(crate) struct Steward {
    room: Mutex<Room>,
    /// The timer is to look at the brain's deadline again.
    earlier: Notify,
}

/// Those that come in less than this time after others wait until it is over, and come together: what all get is dealt out
/// anew with each, and thousands may come in a second.
const ADMIT_INTERVAL: Duration = Duration::from_millis(50);

/// The rank of those that come in the order in which they are added, behind all others.
pub(crate) const LAST: u64 = u64::MAX;

struct Room {
    session: Session,
    /// Torrents that have come and that the brain does not know yet.
    coming: Vec<(TorrentId, Torrent)>,
    /// When it hears of them at the earliest.
    admit_at: Time,
    /// Where each torrent's orders are put; as many as there are torrents.
    seats: BTreeMap<TorrentId, watched::Sender<Orders>>,
    /// Where the user wants each in the queue: the less, the sooner. As many.
    ranks: BTreeMap<TorrentId, u64>,
    next_id: u64,
}

/// What one torrent is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Whether the brain has heard of the torrent. Until then it is not known whether callers may stay.
    pub(crate) known: bool,
    /// Whether it is its turn.
    pub(crate) run: bool,
    /// What it may take, if it is.
    pub(crate) limits: Limits,
}

/// Until it is said otherwise.
const WAIT: Orders = Orders {
    known: false,
    run: false,
    limits: Limits { up: None, down: None, upload_slots: 1, max_peers: 1 },
};

impl Steward {
    pub(crate) fn new(settings: &Settings, now: Time) -> Steward {
        let room = Room {
            session: Session::new(shared_by_all(settings), now),
            coming: Vec::new(),
            admit_at: now,
            seats: BTreeMap::new(),
            ranks: BTreeMap::new(),
            next_id: 0,
        };
        Steward { room: Mutex::new(room), earlier: Notify::new() }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all torrents share is another.
    pub(crate) fn set_settings(&self, now: Time, settings: session::Settings) {
        self.tell(now, Input::SetSettings(settings));
    }

    fn tell(&self, now: Time, input: Input) {
        let mut room = self.room();
        let before = room.session.poll_timeout();
        room.session.handle(now, input);
        room.give_orders();
        if room.session.poll_timeout() != before {
            self.earlier.notify_one();
        }
    }

    fn pass(&self, now: Time) {
        let mut room = self.room();
        if !room.coming.is_empty() && now >= room.admit_at {
            room.admit(now);
        }
        room.session.handle_timeout(now);
        room.give_orders();
    }
}

impl Room {
    fn deadline(&self) -> Option<Time> {
        let admit = Some(self.admit_at).filter(|_| !self.coming.is_empty());
        self.session.poll_timeout().into_iter().chain(admit).min()
    }

    /// A torrent that the brain does not know yet.
    fn coming(&mut self, id: TorrentId) -> Option<&mut Torrent> {
        self.coming.iter_mut().find(|(coming, _)| *coming == id).map(|(_, torrent)| torrent)
    }

    /// Tells the brain of all that have come, and them what they are to do.
    fn admit(&mut self, now: Time) {
        let mut coming = std::mem::take(&mut self.coming);
        coming.sort_by_key(|&(id, _)| self.rank(id));
        let ids: Vec<_> = coming.iter().map(|&(id, _)| id).collect();
        let new: BTreeSet<_> = ids.iter().copied().collect();
        let known = self.ranks.iter().filter(|(id, _)| !new.contains(id));
        let last = known.map(|(_, &rank)| rank).max().unwrap_or(0);
        self.session.add_all(now, coming);
        for &id in &ids {
            if self.rank(id) < last {
                self.line_up(now, id);
            }
        }
        self.admit_at = now + ADMIT_INTERVAL;
        self.give_orders();
        ids.into_iter().for_each(|id| self.order(id, |orders| orders.known = true));
    }

    fn rank(&self, id: TorrentId) -> u64 {
        self.ranks.get(&id).copied().unwrap_or(LAST)
    }

    /// Puts one where the user wants it.
    fn line_up(&mut self, now: Time, id: TorrentId) {
        let coming: BTreeSet<_> = self.coming.iter().map(|&(id, _)| id).collect();
        let rank = (self.rank(id), id);
        let before =
            |&(&other, &of_other): &(&TorrentId, &u64)| (of_other, other) < rank && !coming.contains(&other);
        let to = self.ranks.iter().filter(before).count();
        self.session.handle(now, Input::Move { id, to });
    }

    fn give_orders(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Start(id) => self.order(id, |orders| orders.run = true),
                Output::Stop(id) => self.order(id, |orders| orders.run = false),
                Output::SetLimits(id, limits) => self.order(id, |orders| orders.limits = limits),
                Output::Refused(_) => tracing::warn!("too many torrents: one more waits for ever"),
            }
        }
    }

    fn order(&self, id: TorrentId, change: impl FnOnce(&mut Orders)) {
        if let Some(seat) = self.seats.get(&id) {
            seat.send_modify(change);
        }
    }
}

/// What an engine's settings say of it.
pub(crate) fn shared_by_all(settings: &Settings) -> session::Settings {
    session::Settings {
        max_up: settings.max_up,
        max_down: settings.max_down,
        max_peers: settings.max_peers,
        upload_slots: settings.upload_slots,
        max_active_downloads: settings.max_active_downloads,
        max_active_seeds: settings.max_active_seeds,
        max_active: settings.max_active,
    }
}

/// Lets the brain's deadlines pass until the engine shuts down.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut closed = pin!(shared.closed());
    loop {
        let deadline = shared.steward.room().deadline();
        let wake = shared.instant(deadline.unwrap_or(Time::MAX));
        tokio::select! {
            () = tokio::time::sleep_until(wake) => shared.steward.pass(shared.now()),
            () = shared.steward.earlier.notified() => {}
            () = &mut closed => return,
        }
    }
}

/// One torrent's place; who leaves it is forgotten, and makes room for another.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    id: TorrentId,
    wants: Wants,
    /// Its own limits: up, down.
    share: [Option<u64>; 2],
    orders: watched::Receiver<Orders>,
}

impl Seat {
    pub(crate) fn take(shared: Arc<Shared>, torrent: Torrent) -> Seat {
        let (sender, orders) = watched(WAIT);
        let (wants, share) = (torrent.wants, [torrent.max_up, torrent.max_down]);
        let id = {
            let mut room = shared.steward.room();
            let id = TorrentId(room.next_id);
            room.next_id += 1;
            room.seats.insert(id, sender);
            room.ranks.insert(id, LAST);
            room.coming.push((id, torrent));
            id
        };
        shared.steward.earlier.notify_one();
        Seat { shared, id, wants, share, orders }
    }

    /// Has the orders given now, and not before long.
    pub(crate) fn hurry(&self, now: Time) {
        let mut room = self.shared.steward.room();
        room.admit(now);
        self.shared.steward.earlier.notify_one();
    }

    /// What is to be done now.
    pub(crate) fn orders(&mut self) -> Orders {
        *self.orders.borrow_and_update()
    }

    /// What it may take; whether those are new orders is looked at elsewhere.
    pub(crate) fn limits(&self) -> Limits {
        self.orders.borrow().limits
    }

    /// Waits for other orders.
    pub(crate) async fn changed(&mut self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    /// See [`changed`](Self::changed).
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.orders.poll_changed(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // Not reached: the sender is kept as long as the seat.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }

    pub(crate) fn report(&self, now: Time, report: Report) {
        self.shared.steward.tell(now, Input::Reported { id: self.id, report });
    }

    /// Its own limits, if they are others.
    pub(crate) fn set_share(&mut self, now: Time, max_up: Option<u64>, max_down: Option<u64>) {
        let share = [max_up, max_down];
        if std::mem::replace(&mut self.share, share) == share {
            return;
        }
        if let Some(coming) = self.shared.steward.room().coming(self.id) {
            (coming.max_up, coming.max_down) = (max_up, max_down);
            return;
        }
        self.shared.steward.tell(now, Input::SetShare { id: self.id, weight: 1, max_up, max_down });
    }

    /// Where the user wants it in the queue, if that is another place: the less, the sooner.
    pub(crate) fn set_rank(&self, now: Time, rank: u64) {
        let mut room = self.shared.steward.room();
        if room.ranks.insert(self.id, rank) == Some(rank) || room.coming(self.id).is_some() {
            return;
        }
        room.line_up(now, self.id);
        room.give_orders();
        self.shared.steward.earlier.notify_one();
    }

    /// What it is at, if that has changed.
    pub(crate) fn wants(&mut self, now: Time, wants: Wants) {
        if std::mem::replace(&mut self.wants, wants) == wants {
            return;
        }
        if let Some(coming) = self.shared.steward.room().coming(self.id) {
            coming.wants = wants;
            return;
        }
        self.shared.steward.tell(now, Input::SetWants { id: self.id, wants });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        {
            let mut room = self.shared.steward.room();
            room.seats.remove(&self.id);
            room.ranks.remove(&self.id);
            room.coming.retain(|&(coming, _)| coming != self.id);
        }
        // At the end of all of them nobody gets what one leaves.
        if !self.shared.is_closing() {
            self.shared.steward.tell(self.shared.now(), Input::Removed { id: self.id });
        }
    }
}
