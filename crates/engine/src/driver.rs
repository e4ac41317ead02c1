//! One task drives one torrent: it feeds the brain and does what the brain says.
//!
//! Its life: **open** (what can be refused is refused here), **prepare** (what is on disk is hashed, files are made
//! ready), **run**, **end** (hang up, tell trackers, save). While it runs it never waits for a peer, a disk or a
//! tracker: whatever takes time is a job of its own, and its outcome is one more thing to hear of.

mod asleep;
mod company;
mod farewell;
mod fetching;
mod folded;
mod keeper;
mod outside;
mod peers;
mod running;
mod scouts;
mod web_seeds;

use crate::events::EventKind;
use crate::inbox::Inbox;
use crate::mailbox::{self, mailbox};
use crate::resume::{Place, Record, mount_of};
use crate::shared::{OpenDoor, Shared, Visit};
use crate::torrent::{Request, Status, Torrent, Wishes};
use crate::watched::{self, watched};
use crate::{AddTorrent, Error, TorrentError, TorrentState};
use asleep::{Asleep, Before, Next};
use fetching::Met;
pub(crate) use fetching::{Fetching, Handover};
use keeper::Keeper;
use metainfo::Metainfo;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use storage::{Layout, OpenOptions, Snapshot, TorrentDisk};
use types::{Bitfield, InfoHash, Lengths, PeerId, Time};

/// How many callers may wait for the torrent to take them in; further ones are hung up on.
const GUEST_QUEUE: usize = 32;

/// Requests that are held for a torrent that wakes; who asks further ones is told that it does not run.
const MAX_HELD: usize = 16;

/// Bytes that may have come and not be durable; further ones wait. With what is held before it is written, a system that
/// fails takes no more than 256 MiB along, and no more is hashed again.
const MAX_UNSYNCED: u64 = 192 << 20;

/// A torrent whose files are open.
pub(crate) struct Driver {
    base: Box<Base>,
    disk: TorrentDisk,
    hashes: Hashes,
    inbox: Arc<Inbox>,
    keeper: Keeper,
    /// Pieces to be hashed before they are believed.
    doubtful: Bitfield,
    /// Who was met while only the info-hash was known.
    met: Option<Met>,
    /// What it was before it was asleep.
    before: Option<Box<Before>>,
}

/// What stays while a torrent is here, whether anything of it is open or not.
struct Base {
    shared: Arc<Shared>,
    add: AddTorrent,
    torrent: InfoHash,
    peer_id: PeerId,
    lengths: Lengths,
    /// `None` for a torrent that only seeds: it keeps nothing.
    place: Option<Arc<Place>>,
    status: watched::Sender<Status>,
    wishes: watched::Receiver<Wishes>,
    added: Time,
    door: OpenDoor,
}

/// Who may turn to a torrent.
pub(crate) struct Calls {
    /// Its owner.
    requests: mailbox::Receiver<Request>,
    /// Peers that dialed us.
    visits: mailbox::Receiver<Visit>,
    /// The engine, when it shuts down.
    closed: watched::Receiver<bool>,
    /// What was asked while the torrent was waking: it is answered once it is awake, and callers wait too. `None` if nobody
    /// is to wait: it is not known how long it will be.
    held: Option<Vec<Request>>,
}

impl Driver {
    /// Refuses what can be refused, and looks at the files without changing any.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        mut add: AddTorrent,
    ) -> Result<(Box<Driver>, Calls, Torrent), Error> {
        let torrent = add.metainfo.info_hash();
        let v1 = torrent.v1().ok_or(Error::V2Only)?;
        if add.wanted_files().next().is_none() {
            return Err(Error::NothingSelected);
        }
        let handover = add.handover.take().filter(|handover| handover.door.info_hash() == torrent.wire());
        let (peer_id, door, visits, met) = match handover.map(|handover| *handover) {
            Some(Handover { door, visits, met }) => (door.peer_id(), door, visits, Some(met)),
            None => {
                let peer_id = PeerId::ours(std::array::from_fn(|_| fastrand::u8(..)));
                let (visitor, visits) = mailbox(GUEST_QUEUE);
                (peer_id, shared.open_door(torrent, peer_id, visitor)?, visits, None)
            }
        };

        let place = match add.seed_only {
            true => None,
            false => Some((shared.settings.state_dir.clone(), add.dir.clone())),
        };
        let (lengths, files) = (add.metainfo.lengths(), add.metainfo.files().len());
        let (place, record) = match place {
            None => (None, None),
            Some((state_dir, dir)) => {
                let mut place = blocking(move || Place::lock(&state_dir, v1, &dir)).await?;
                if let Some(store) = &add.kept_in {
                    place = place.in_store(store.clone(), v1);
                }
                let record = place.load(lengths, files).await?;
                (Some(Arc::new(place)), record)
            }
        };
        if shared.spool.takes(&add.metainfo) {
            let (spool, metainfo) = (shared.spool.clone(), add.metainfo.clone());
            add.metainfo = blocking(move || Ok(spool.keep(metainfo))).await?;
        }
        let (status, status_receiver) = watched(Status::default());
        let (request_sender, requests) = mailbox(1);
        let (wishes_sender, wishes) = watched(Wishes::of(&add));
        let handle = Torrent {
            info_hash: torrent,
            name: add.metainfo.name().to_owned(),
            requests: request_sender,
            status: status_receiver,
            wishes: wishes_sender,
        };
        let added = shared.now();
        let base = Base { shared, add, torrent, peer_id, lengths, place, status, wishes, added, door };
        let looked = base.look(record).await?;
        base.status.send_modify(|status| status.clone_from(&looked.first_look));
        let driver = Driver::new(Box::new(base), looked, met, None);
        let closed = driver.base.shared.closing();
        Ok((driver, Calls { requests, visits, closed, held: None }, handle))
    }

    fn new(base: Box<Base>, looked: Looked, met: Option<Met>, before: Option<Box<Before>>) -> Box<Driver> {
        let Looked { disk, hashes, inbox, keeper, doubtful, .. } = looked;
        Box::new(Driver { base, disk, hashes, inbox, keeper, doubtful, met, before })
    }

    /// Drives the torrent to its end.
    pub(crate) fn run(self: Box<Self>, calls: Calls) -> Life {
        let Base { shared, torrent, status, add, .. } = &*self.base;
        let told = Told {
            shared: shared.clone(),
            torrent: *torrent,
            status: status.clone(),
            is_kept: add.kept_in.is_some(),
        };
        match self.may_begin_asleep() {
            true => Life::Asleep(self.begin_asleep(calls)),
            false => Life::awake(told, self.work(calls)),
        }
    }

    /// Runs until the torrent ends or has nothing to do.
    async fn work(mut self: Box<Self>, mut calls: Calls) -> Next {
        match Box::pin(self.prepare(&mut calls)).await {
            Ok(()) => running::Running::new(self, calls).run().await,
            // Stopping is no failure, and there is nothing to save: the last record holds, or the intent.
            Err(TorrentError::Stopped) => {
                Box::pin(self.part()).await;
                Next::Ended(Ok(()))
            }
            // Whoever waits for the end may at once add the torrent again: nothing of it is left when this returns.
            Err(why) => {
                self.keeper.refrain().await;
                Box::pin(self.part()).await;
                Next::Ended(Err(why))
            }
        }
    }

    /// Takes leave of who was met before there was anything to trade.
    async fn part(&mut self) {
        if let Some(met) = self.met.take().and_then(Met::take) {
            met.end().await;
        }
        if let Some(before) = self.before.take() {
            before.part(&self.base.shared, self.base.torrent).await;
        }
    }

    /// Hashes what cannot be trusted and makes the files ready.
    async fn prepare(&mut self, calls: &mut Calls) -> Result<(), TorrentError> {
        let to_check = self.doubtful.count_ones();
        if to_check > 0 {
            // It may take long.
            calls.held = None;
            let Base { shared, torrent, status, .. } = &*self.base;
            shared.hub.tell(*torrent, || EventKind::Checking { pieces: to_check });
            status.send_modify(|now| {
                (now.stats.state, now.stats.checked, now.stats.to_check) =
                    (TorrentState::Checking, 0, to_check);
            });
            let progress = |checked| {
                status.send_modify(|now| now.stats.checked = checked);
            };
            calls.unless_stopped(self.disk.check(&self.doubtful, progress)).await?;
        }
        let add = &self.base.add;
        if add.seed_only {
            let nothing = self.disk.verified().count_ones() == 0;
            return if nothing { Err(TorrentError::NothingToSeed(add.dir.clone())) } else { Ok(()) };
        }
        // Not to be broken off: whoever comes next would find the place still locked.
        if let Err(error) = self.keeper.intend(&self.disk).await {
            // All of it is there, and stays: the last record goes on being true.
            let does_without =
                self.before.is_some() && matches!(error, Error::StateFull(_)) && self.has_all_it_wants();
            if !does_without {
                return Err(TorrentError::State(error));
            }
            tracing::warn!("{error}");
        }
        calls.unless_stopped(self.disk.prepare()).await
    }
}

/// A torrent from its start to its end: it runs while there is something to do, and sleeps while there is nothing.
///
/// Written out, since a task takes as much memory as the most that it may ever wait for, for as long as it is there.
pub(crate) enum Life {
    Awake(Pin<Box<dyn Future<Output = Next> + Send>>),
    Asleep(Box<Asleep>),
    Over,
}

impl Life {
    /// Does what it is awake for, and tells of its end if it comes to one.
    fn awake(told: Told, work: impl Future<Output = Next> + Send + 'static) -> Life {
        Life::Awake(Box::pin(async move {
            let next = work.await;
            if let Next::Ended(ended) = &next {
                told.ended(ended.clone());
            }
            next
        }))
    }
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Life::Awake(work) => match ready!(work.as_mut().poll(cx)) {
                    Next::Ended(_) => Life::Over,
                    Next::Asleep(asleep) => Life::Asleep(asleep),
                },
                Life::Asleep(asleep) => {
                    let woken = ready!(asleep.poll_sleep(cx));
                    match std::mem::replace(&mut *self, Life::Over) {
                        Life::Asleep(asleep) => Life::awake(asleep.told(), asleep.go_on(woken)),
                        over => over,
                    }
                }
                Life::Over => return Poll::Ready(()),
            };
        }
    }
}

/// Where a torrent's end is told.
struct Told {
    shared: Arc<Shared>,
    torrent: InfoHash,
    status: watched::Sender<Status>,
    is_kept: bool,
}

impl Told {
    fn ended(self, ended: Result<(), TorrentError>) {
        let error = || ended.as_ref().err().map(ToString::to_string);
        self.shared.hub.tell(self.torrent, || EventKind::Stopped { error: error() });
        self.status.send_modify(|now| {
            now.stats.state = match &ended {
                Ok(()) => TorrentState::Stopped,
                Err(why) if self.is_kept => why.state(),
                Err(_) => TorrentState::Failed,
            };
            // It has no connections any more.
            (now.stats.rate_down, now.stats.rate_up, now.stats.peers, now.stats.seeds) = (0, 0, 0, 0);
            now.trouble = None;
            now.ended = Some(ended.map_err(Box::new));
        });
        self.shared.ended.0.send_modify(|count| *count += 1);
    }
}

/// What was found of a torrent's files.
struct Looked {
    disk: TorrentDisk,
    hashes: Hashes,
    inbox: Arc<Inbox>,
    keeper: Keeper,
    doubtful: Bitfield,
    /// What is to be told of it before it is checked, and made ready.
    first_look: Status,
}

impl Base {
    /// Looks at the files, given what the record of the last run says, without changing any.
    async fn look(&self, record: Option<Record>) -> Result<Looked, Error> {
        let Base { shared, add, lengths, place, .. } = self;
        let (lengths, metainfo) = (*lengths, add.metainfo.clone());
        let inbox = Arc::new(Inbox::default());
        let layout = Layout::new(metainfo.clone())?.renamed(&add.names)?;
        let (top, remembered) =
            (top(&add.dir, &layout), record.as_ref().and_then(|record| record.mount.clone()));
        let mount = blocking(move || Ok(mount_of(&top, remembered))).await?;
        let files = layout.clone();
        let mut options = open_options(shared, add, place.as_deref(), record.as_ref(), inbox.clone());
        options.mount = mount.clone().filter(|_| add.kept_in.is_some());
        let disk = TorrentDisk::open(&shared.disk, layout, options).await?;
        if add.kept_in.is_some() && record.as_ref().is_some_and(|record| is_away(record, &disk)) {
            let (dir, mount) = (add.dir.clone(), mount.clone());
            // Others may be there than were known, or none can be looked at.
            if !blocking(move || Ok(storage::find_any_file(&dir, mount, &files)?)).await? {
                let files = add.dir.join(metainfo.name());
                return Err(Error::Disk(storage::Error::Unavailable(files)));
            }
        }
        let doubtful = doubtful(record.as_ref(), &disk, lengths);
        let first_look = first_look(add, &disk, record.as_ref());
        let keeper = Keeper::new(place.clone(), record, lengths, mount);
        let hashes = Hashes(metainfo);
        hashes.expect_checks(doubtful.count_ones() > 0 || !disk.verified().is_full());
        Ok(Looked { disk, hashes, inbox, keeper, doubtful, first_look })
    }
}

/// Holds the hashes of pieces in memory while they are needed.
struct Hashes(Arc<Metainfo>);

impl Hashes {
    /// Whether pieces will be checked one after the other.
    fn expect_checks(&self, many: bool) {
        if let Some(shelf) = self.0.shelf() {
            shelf.expect_reads(many);
        }
    }
}

impl Drop for Hashes {
    fn drop(&mut self) {
        self.expect_checks(false);
    }
}

impl Calls {
    /// Does some work unless the torrent is told to stop meanwhile.
    async fn unless_stopped<T, E: Into<TorrentError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, TorrentError> {
        tokio::select! {
            done = work => done.map_err(Into::into),
            () = self.hear_stop() => Err(TorrentError::Stopped),
        }
    }

    /// Waits to be told to stop. Peers that call meanwhile are hung up on, unless it is waking: nobody is there to talk to
    /// them yet.
    async fn hear_stop(&mut self) {
        let mut attended = true;
        loop {
            let is_waking = self.held.is_some();
            tokio::select! {
                request = self.requests.next(), if attended => match (request, &mut self.held) {
                    (Some(Request::Stop), _) => return,
                    (Some(other), Some(held)) if held.len() < MAX_HELD => held.push(other),
                    // Who asks is told that it does not run.
                    (Some(other), _) => drop(other),
                    (None, _) => attended = false,
                },
                _ = self.closed.wait_for(|&closing| closing) => return,
                visit = self.visits.recv(), if !is_waking => drop(visit),
            }
        }
    }
}

/// Runs what may block on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::ShutDown))
}

/// What is known of a torrent before it is checked, and made ready.
fn first_look(add: &AddTorrent, disk: &TorrentDisk, record: Option<&Record>) -> Status {
    let (wanted, verified, lengths) = (add.wanted(), disk.verified(), add.metainfo.lengths());
    let bytes = |piece| u64::from(lengths.piece_len(piece));
    let mut first_look = Status::default();
    let stats = &mut first_look.stats;
    (stats.total, stats.done) = match wanted.is_empty() {
        true => (lengths.total(), verified.ones().map(bytes).sum()),
        false => {
            let wanted = add.metainfo.pieces_for_files(&wanted);
            let done = wanted.ones().filter(|&piece| verified.contains(piece));
            (wanted.ones().map(bytes).sum(), done.map(bytes).sum())
        }
    };
    stats.have_pieces = verified.count_ones();
    (stats.downloaded, stats.uploaded) = record.map_or((0, 0), |record| (record.downloaded, record.uploaded));
    first_look
}

fn open_options(
    shared: &Shared,
    add: &AddTorrent,
    place: Option<&Place>,
    record: Option<&Record>,
    inbox: Arc<Inbox>,
) -> OpenOptions {
    // Who only seeds needs no parts file; one that was never made is not there to be read either.
    let parts = place.map_or_else(|| shared.settings.state_dir.join("no.parts"), Place::parts);
    let mut options = OpenOptions::new(&add.dir, parts, move |events| inbox.put(events));
    options.wanted = add.wanted();
    options.allocate = add.allocate;
    options.overwrite = add.overwrite;
    options.patient = add.kept_in.is_some();
    options.max_unsynced = MAX_UNSYNCED;
    if let Some(Record { clean, disk: Snapshot { pieces, partial, ours, files }, .. }) = record {
        options.broken_off = !clean && ours.contains(&true);
        options.known.clone_from(ours);
        options.trusted = Some(pieces.clone());
        options.partial.clone_from(partial);
        if *clean {
            options.stamps.clone_from(files);
        }
    }
    options
}

/// A torrent's own folder, or its one file: something may be mounted there as well.
fn top(dir: &Path, layout: &Layout) -> PathBuf {
    let first = layout.path_under(dir, 0);
    let below = first.strip_prefix(dir).ok().and_then(|below| below.components().next());
    below.map_or_else(|| dir.to_owned(), |name| dir.join(name))
}

/// Whether all of a torrent's files are gone that are known to have been there: they are waited for, rather than made anew.
fn is_away(record: &Record, disk: &TorrentDisk) -> bool {
    record.had_files() && disk.file_stamps().iter().all(Option::is_none)
}

/// The pieces that have to be hashed before they are believed.
fn doubtful(record: Option<&Record>, disk: &TorrentDisk, lengths: Lengths) -> Bitfield {
    if record.is_some_and(|record| record.clean) {
        // The last run ended as it should: only files that look different are doubted.
        return disk.suspect();
    }
    let mut doubtful = Bitfield::full(lengths.piece_count());
    for piece in disk.verified().ones() {
        doubtful.remove(piece);
    }
    doubtful
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::limits::HELD_PER_TORRENT;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn so_many_requests_are_held_for_one_that_wakes() {
        let (sender, requests) = mailbox(2 * MAX_HELD);
        let (visitor, visits) = mailbox(1);
        let (_closing, closed) = watched(false);
        let mut calls = Calls { requests, visits, closed, held: Some(Vec::new()) };
        let mut answers: Vec<_> = (0..=MAX_HELD)
            .map(|_| {
                let (reply, answer) = oneshot::channel();
                assert!(sender.try_send(Request::Peers(reply)).is_ok());
                answer
            })
            .collect();
        assert!(sender.try_send(Request::Stop).is_ok());
        assert!(visitor.try_send(Visit::Look).is_ok());
        calls.hear_stop().await;
        assert_eq!(calls.held.as_ref().map(Vec::len), Some(MAX_HELD));
        assert!(answers.pop().unwrap().await.is_err(), "one too many is told that it does not run");
        assert!(calls.visits.try_recv().is_some(), "who calls waits");
    }

    #[test]
    fn a_system_that_fails_takes_no_more_than_256_mib_along() {
        assert_eq!(MAX_UNSYNCED + 4 * HELD_PER_TORRENT as u64, 256 << 20);
    }
}
