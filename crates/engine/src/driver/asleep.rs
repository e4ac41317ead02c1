//! A torrent to which nothing happens: all of it is there and durable, no peer is connected, and the brain plans nothing. Nothing
//! of it is open then, and there is no brain: what is kept is what it takes to be found, to announce, and to go on as if nothing
//! had been. Whatever needs more than that wakes it.

use super::farewell::{END_DEADLINE, Farewell};
use super::folded::Folded;
use super::keeper::Saved;
use super::outside::Outside;
use super::running::{idle_deadline, outside};
use super::{Base, Calls, Driver, MAX_HELD, Told};
use crate::events::EventKind;
use crate::memory::Sleeper;
use crate::presence::Present;
use crate::shared::{Shared, Visit};
use crate::stats::{Counters, Finished};
use crate::torrent::Request;
use crate::{Error, TorrentError, TorrentState};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;
use storage::{TorrentDisk, Watched};
use swarm::{PeerSource, Priority};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Sleep;
use types::{InfoHash, Time};

/// How long it has been seeded in its sleep when that is worth a save.
const COUNTED: Duration = Duration::from_secs(60);

/// Peers that a torrent remembers in its sleep, so as not to be woken by those whom it knew; further ones are news to it.
const MAX_KNOWN: usize = 200;

/// What a torrent was before it fell asleep, and what has come since.
pub(super) struct Before {
    pub(super) outside: Outside,
    pub(super) past: Past,
    /// Bytes that are missing, since nobody wants them.
    pub(super) left: u64,
    /// What the next connection is called.
    pub(super) next_peer: u64,
    /// What it was woken by.
    pub(super) news: Option<Box<News>>,
}

/// What came of a torrent in this run, before the brain that there is now.
#[derive(Clone, Copy)]
pub(super) struct Past {
    /// Payload.
    pub(super) run: Counters,
    pub(super) finished_at: Option<Time>,
    /// Since when it is not saved that it is seeded.
    pub(super) seeding_since: Time,
    /// When something was uploaded last.
    pub(super) uploaded_at: Time,
}

impl Past {
    /// Nothing.
    pub(super) fn new(now: Time) -> Past {
        Past { run: Counters::default(), finished_at: None, seeding_since: now, uploaded_at: now }
    }
}

/// What wakes a torrent.
#[derive(Default)]
pub(super) struct News {
    pub(super) visit: Option<Visit>,
    pub(super) requests: Vec<Request>,
    pub(super) found: Option<(Vec<SocketAddr>, PeerSource)>,
    /// Its owner wants it otherwise.
    pub(super) wished: bool,
}

impl News {
    /// Whether it is a caller, and nothing else.
    pub(super) fn is_call(&self) -> bool {
        self.visit.is_some() && self.requests.is_empty() && self.found.is_none() && !self.wished
    }
}

/// A torrent that is asleep.
pub(crate) struct Asleep {
    folded: Folded,
    calls: Calls,
    before: Before,
    /// Those whom it knew, as digests: of them it need not hear again.
    known: Box<[u32]>,
    /// Its last save, as long as that is not done.
    settling: Option<JoinHandle<Saved>>,
    /// Something has happened; it goes on as soon as the last save is done.
    is_woken: bool,
    /// For what is due, if something is.
    timer: Option<Pin<Box<Sleep>>>,
    _present: Option<Present>,
    _sleeper: Sleeper,
}

/// Why a torrent does not run any more.
pub(crate) enum Next {
    Ended(Result<(), TorrentError>),
    Asleep(Box<Asleep>),
}

/// Why a torrent does not sleep any more.
pub(super) enum Woken {
    Ended(Result<(), TorrentError>),
    Again,
}

impl Driver {
    /// Whether nothing would come of running it: all of it is there and trusted, and nobody is to be called.
    pub(super) fn may_begin_asleep(&self) -> bool {
        let add = &self.base.add;
        let knows_nobody =
            add.peers.is_empty() && add.peers_of_link.is_empty() && add.names_of_link.is_empty();
        let ends_by_itself = add.stop_when_finished || add.seed_goal.ratio.is_some();
        may_sleep(&self.base)
            && knows_nobody
            && !ends_by_itself
            && self.met.is_none()
            && self.keeper.is_clean()
            && self.keeper.earlier_peers().is_empty()
            && self.doubtful.count_ones() == 0
            && self.has_all_it_wants()
    }

    pub(super) fn has_all_it_wants(&self) -> bool {
        let verified = self.disk.verified();
        verified.is_full()
            || self.base.add.piece_priorities().is_some_and(|priorities| {
                let mut pieces = self.base.lengths.pieces().zip(priorities);
                pieces.all(|(piece, priority)| priority == Priority::Skip || verified.contains(piece))
            })
    }

    /// It was complete before, and does not run before something happens.
    pub(super) fn begin_asleep(self: Box<Self>, calls: Calls) -> Box<Asleep> {
        let now = self.base.shared.now();
        let (verified, lengths) = (self.disk.verified(), self.base.lengths);
        let missing = lengths.pieces().filter(|&piece| !verified.contains(piece));
        let left = missing.map(|piece| u64::from(lengths.piece_len(piece))).sum();
        let outside = outside(&self.base, true);
        self.base.shared.hub.tell(self.base.torrent, || EventKind::Finished);
        self.base.status.send_modify(|status| {
            status.stats.state = TorrentState::Queued;
            status.finished = Some(finished(&self.base, now));
        });
        let before = Before {
            outside,
            past: Past { finished_at: Some(now), ..Past::new(now) },
            left,
            next_peer: 0,
            news: None,
        };
        let Driver { base, disk, .. } = *self;
        Asleep::new(base, calls, before, [], None, &disk)
    }
}

/// Whether a torrent is one that may be without a brain: what it had would be gone otherwise.
pub(super) fn may_sleep(base: &Base) -> bool {
    let add = &base.add;
    // How long one with a goal of time is seeded is saved now and then.
    let is_counted = add.seed_goal.time.is_some();
    let has_plans = add.super_seed || is_counted || add.tape.is_some();
    base.place.is_some() && !has_plans && base.shared.settings.scrub.is_none()
}

/// That all wanted bytes are durable.
pub(super) fn finished(base: &Base, now: Time) -> Finished {
    Finished {
        path: base.add.dir.join(base.add.metainfo.name()),
        bytes: base.add.wanted_files().map(|file| file.length).sum(),
        elapsed: now - base.added,
    }
}

fn digests(known: impl IntoIterator<Item = SocketAddr>) -> Box<[u32]> {
    known.into_iter().take(MAX_KNOWN).map(digest).collect()
}

/// A few bytes that tell an address from most others.
fn digest(addr: SocketAddr) -> u32 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    #[allow(clippy::cast_possible_truncation, reason = "a part of it will do")]
    let digest = KEY.hash_one(addr) as u32;
    digest
}

impl Asleep {
    /// Lets go of what was open. `known`: whom it need not hear of again.
    pub(super) fn new(
        base: Box<Base>,
        calls: Calls,
        before: Before,
        known: impl IntoIterator<Item = SocketAddr>,
        settling: Option<JoinHandle<Saved>>,
        disk: &TorrentDisk,
    ) -> Box<Asleep> {
        let known = digests(known);
        let _present = present(&base, disk);
        let _sleeper = Sleeper::new(&base.shared);
        let mut asleep = Box::new(Asleep {
            folded: Folded::fold(base),
            calls,
            before,
            known,
            settling,
            is_woken: false,
            timer: None,
            _present,
            _sleeper,
        });
        asleep.follow_orders();
        asleep
    }

    /// Where its end is told.
    pub(super) fn told(&self) -> Told {
        Told {
            shared: self.folded.shared().clone(),
            torrent: self.folded.torrent(),
            status: self.folded.status.clone(),
            is_kept: self.folded.is_kept(),
        }
    }

    /// Sleeps until something happens. What it waits for is polled by hand: a future for each would be most of what a torrent
    /// takes that is asleep.
    pub(super) fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        loop {
            match self.poll_something(cx) {
                Poll::Ready(Some(woken)) => return Poll::Ready(woken),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ready if something happened, with what follows from it if the torrent does not sleep on.
    fn poll_something(&mut self, cx: &mut Context<'_>) -> Poll<Option<Woken>> {
        if self.is_woken && self.settling.is_none() {
            return Poll::Ready(Some(Woken::Again));
        }
        // Looked at whether it is news or not: it may have been so when it was first heard of.
        let _ = self.calls.closed.poll_changed(cx);
        if *self.calls.closed.borrow() {
            return Poll::Ready(Some(Woken::Ended(Ok(()))));
        }
        if let Some(save) = &mut self.settling {
            let Poll::Ready(saved) = Pin::new(save).poll(cx) else { return self.poll_request(cx) };
            self.settling = None;
            return Poll::Ready(match failure(saved) {
                // What it was before is known, and all of it is there.
                Err(TorrentError::State(error @ Error::StateFull(_))) => {
                    tracing::warn!("{error}");
                    None
                }
                saved => saved.err().map(|error| Woken::Ended(Err(error))),
            });
        }
        if self.before.outside.seat.poll_changed(cx).is_ready() {
            self.follow_orders();
            return Poll::Ready(None);
        }
        if matches!(self.folded.wishes.poll_changed(cx), Poll::Ready(Ok(()))) {
            let needs_brain = !self.follow_wishes();
            if needs_brain {
                (self.news().wished, self.is_woken) = (true, true);
            }
            return Poll::Ready(None);
        }
        if self.before.outside.known
            && let Poll::Ready(visit) = self.calls.visits.poll_recv(cx)
        {
            match visit {
                // Nobody is connected who could make room.
                Visit::MakeRoom(_) => {}
                // It is another's turn.
                Visit::Guest(_) if !self.before.outside.awake => {}
                visit => (self.news().visit, self.is_woken) = (Some(visit), true),
            }
            return Poll::Ready(None);
        }
        if self.poll_peers(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.poll_request(cx)
    }

    /// Ready if something is asked.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Woken>> {
        let Poll::Ready(Some(request)) = self.calls.requests.poll_next(cx) else { return Poll::Pending };
        match request {
            Request::Stop => return Poll::Ready(Some(Woken::Ended(Ok(())))),
            // Who asked and does not listen any more misses nothing.
            Request::Peers(reply) => drop(reply.send(Vec::new())),
            Request::Trackers(reply) => {
                let now = self.folded.shared().now();
                drop(reply.send(self.before.outside.announcer.trackers(now)));
            }
            // All of it is there.
            Request::Hurry { .. } => {}
            request @ (Request::Read(_) | Request::Pieces(_) | Request::Facts(_)) => {
                let requests = &mut self.news().requests;
                if requests.len() < MAX_HELD {
                    requests.push(request);
                }
                self.is_woken = true;
            }
        }
        Poll::Ready(None)
    }

    /// Ready if peers were heard of, or it was time for something.
    fn poll_peers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (shared, torrent) = (self.folded.shared(), self.folded.torrent());
        let Before { outside, news, past, left, .. } = &mut self.before;
        let told = (past.run, *left);
        outside.announce(shared, torrent, || told);
        if let Poll::Ready(Some(announced)) = outside.announces.poll_next(cx) {
            shared.hub.tell(torrent, || announced.event());
            let peers = outside.announcer.note(shared.now(), announced);
            self.is_woken |= hear(news, peers, PeerSource::Tracker, &self.known);
            return Poll::Ready(());
        }
        if let Poll::Ready((addrs, source)) = outside.scouts.poll_found(cx) {
            self.is_woken |= hear(news, addrs, source, &self.known);
            return Poll::Ready(());
        }
        let goal = past
            .finished_at
            .and_then(|finished_at| idle_deadline(self.folded.seed_goal(), finished_at, past.uploaded_at));
        let deadline = goal.into_iter().fold(outside.announcer.deadline(), Time::min);
        if deadline == Time::MAX {
            self.timer = None;
            return Poll::Pending;
        }
        let at = shared.instant(deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        self.is_woken |= goal.is_some_and(|goal| shared.now() >= goal);
        Poll::Ready(())
    }

    fn follow_orders(&mut self) {
        let (folded, Before { outside, left, .. }) = (&self.folded, &mut self.before);
        if outside.follow_orders(folded.shared(), folded.torrent(), || *left == 0).turn.is_some() {
            let awake = outside.awake;
            folded.status.send_modify(|status| {
                status.stats.state = if awake { TorrentState::Seeding } else { TorrentState::Queued };
            });
        }
    }

    /// Does what its owner wants now, if that takes neither brain nor files: whether that is so.
    fn follow_wishes(&mut self) -> bool {
        let wishes = self.folded.wishes.borrow_and_update().clone();
        let knows = |addr: &SocketAddr| self.known.contains(&digest(*addr));
        if !wishes.peers.iter().all(knows) || !self.folded.follow(&wishes) {
            return false;
        }
        let (folded, Before { outside, left, .. }) = (&self.folded, &mut self.before);
        outside.follow_wishes(folded.shared(), folded.torrent(), &wishes, || *left == 0);
        // Nobody is here who could be banned.
        true
    }

    fn news(&mut self) -> &mut News {
        self.before.news.get_or_insert_default()
    }

    /// Goes on, or ends.
    pub(super) async fn go_on(self: Box<Self>, woken: Woken) -> Next {
        match woken {
            Woken::Ended(ended) => Next::Ended(self.end(ended).await),
            Woken::Again => self.wake().await,
        }
    }

    /// Opens it again, and runs. Not even if a disk hangs is that waited for when it is to end.
    async fn wake(self: Box<Self>) -> Next {
        let (folded, mut calls, before) = self.rise();
        calls.held = Some(Vec::new());
        let (shared, torrent) = (folded.shared().clone(), folded.torrent());
        let (metainfo, mut record) = match calls.unless_stopped(folded.read()).await {
            Ok(read) => read,
            Err(error) => return before.give_up(&shared, torrent, error).await,
        };
        let base = folded.unfold(metainfo);
        if let Some(record) = &mut record {
            // There may have been no room to save it.
            let totals = base.status.borrow().stats;
            record.downloaded = record.downloaded.max(totals.downloaded);
            record.uploaded = record.uploaded.max(totals.uploaded);
        }
        match calls.unless_stopped(base.look(record)).await {
            Ok(looked) => Driver::new(base, looked, None, Some(Box::new(before))).work(calls).await,
            Err(error) => before.give_up(&shared, torrent, error).await,
        }
    }

    /// What it goes on with. Nothing else of it stays.
    #[allow(clippy::boxed_local, reason = "it comes in one, and goes with it")]
    fn rise(self: Box<Self>) -> (Folded, Calls, Before) {
        let Asleep { folded, calls, before, .. } = *self;
        (folded, calls, before)
    }

    /// Takes leave of trackers, within [`END_DEADLINE`].
    async fn end(self: Box<Self>, ended: Result<(), TorrentError>) -> Result<(), TorrentError> {
        let Asleep { folded, before, settling, .. } = *self;
        let since = before.past.seeding_since;
        let settled = async {
            let Some(save) = settling else {
                folded.count_seeding(since).await;
                return Ok(());
            };
            failure(save.await)
        };
        // A disk that hangs is left to the next start, which hashes what was not committed.
        let settled = async { tokio::time::timeout(END_DEADLINE, settled).await.unwrap_or(Ok(())) };
        let (settled, ()) = tokio::join!(settled, before.part(folded.shared(), folded.torrent()));
        ended.and(settled)
    }
}

impl Folded {
    /// Saves that it was seeded since then, if that was long. A hint: nothing is lost if it can't be.
    async fn count_seeding(&self, since: Time) {
        let seeded = self.shared().now() - since;
        let Some(place) = self.place.as_ref().filter(|_| seeded >= COUNTED) else { return };
        if let Ok(Some(mut record)) = self.record().await {
            record.seeded += seeded;
            if let Err(error) = place.save(&record).await {
                tracing::warn!("it is not saved how long it was seeded: {error}");
            }
        }
    }
}

/// Whether some of these peers are news.
fn hear(news: &mut Option<Box<News>>, addrs: Vec<SocketAddr>, source: PeerSource, known: &[u32]) -> bool {
    let is_news = addrs.iter().any(|&addr| !known.contains(&digest(addr)));
    if is_news {
        news.get_or_insert_default().found = Some((addrs, source));
    }
    is_news
}

impl Before {
    /// It cannot go on, or is not to.
    async fn give_up(self, shared: &Shared, torrent: InfoHash, why: TorrentError) -> Next {
        self.part(shared, torrent).await;
        Next::Ended(if matches!(why, TorrentError::Stopped) { Ok(()) } else { Err(why) })
    }

    /// Tells trackers that the torrent ends, and looks for nobody any more.
    pub(super) async fn part(self, shared: &Shared, torrent: InfoHash) {
        let run = (self.past.run, self.left);
        let mut outside = self.outside;
        outside.scouts.call_back();
        let tell = |kind| shared.hub.tell(torrent, || kind);
        let farewell = Farewell { web: &shared.web, outside, run };
        let _ = tokio::time::timeout(END_DEADLINE, farewell.say(|| shared.now(), tell)).await;
    }
}

/// What became of the last save.
fn failure(saved: Result<Saved, JoinError>) -> Result<(), TorrentError> {
    let saved = saved.map_err(|_| TorrentError::Internal)?;
    saved.failure.map_or(Ok(()), |failure| Err(failure.into()))
}

/// Has somebody look whether its files are still there: if not, it finds out when it is woken.
fn present(base: &Base, disk: &TorrentDisk) -> Option<Present> {
    base.add.kept_in.as_ref()?;
    let visits = base.shared.door(base.torrent.wire())?.visits;
    let outpost = disk.outpost(move || drop(visits.try_send(Visit::Look)))?;
    Some(Present::join(&base.shared, Watched::Closed(outpost.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_it_knew_it_need_not_hear_of_again() {
        let addr = |n: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(n).unwrap()));
        let known = digests((1..=2 * MAX_KNOWN).map(addr));
        assert_eq!(known.len(), MAX_KNOWN);
        let mut news = None;
        assert!(!hear(&mut news, Vec::new(), PeerSource::Tracker, &known));
        assert!(!hear(&mut news, (1..=MAX_KNOWN).map(addr).collect(), PeerSource::Tracker, &known));
        assert!(news.is_none());
        // Of those that were not remembered, hardly any looks like one that was.
        let others: Vec<_> = (MAX_KNOWN + 1..=2 * MAX_KNOWN).map(addr).collect();
        assert!(hear(&mut news, [&[addr(1)], &others[..]].concat(), PeerSource::Dht, &known));
        let (found, source) = news.unwrap().found.unwrap();
        assert_eq!((found.len(), source), (MAX_KNOWN + 1, PeerSource::Dht), "all of them are told");
    }
}
