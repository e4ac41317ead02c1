//! A session that never forgets: an engine and the torrents that it is to have, whatever happens.
//!
//! What a method has answered with `Ok` is in the session's store and survives the end of the process and of the system.
//! The next [`Session::open`] finds it and goes on with it. Operations on one torrent happen one after the other, on
//! different torrents beside each other.

mod bans;
mod claims;
mod complete;
mod handover;
mod held;
mod left;
mod links;
mod look;
mod mounts;
mod moving;
#[cfg(test)]
mod mutated;
mod names;
mod orders;
mod queue;
mod reading;
mod record;
mod recovery;
mod removal;
mod restore;
mod schedule;
mod settings;
mod trackers;
mod watch;
mod why;

pub use handover::hand_over;
pub use look::Seen;
pub use moving::OnTheWay;
pub(crate) use names::check as check_names;
pub use queue::{QueueMove, QueuePlace};
pub use record::{Choices, GoalAction};
pub(crate) use record::{MAX_TAGS, first_row_of_link, first_rows, last_place, moved_row, record_again};
pub use removal::Stayed;
pub(crate) use restore::{LinkRow, Row, key_of, read_link, read_row};
pub use schedule::{AlternativeLimits, LocalTime};
pub use settings::SessionSettings;

use crate::driver::blocking;
use crate::resume;
use crate::session::{begin, end};
use crate::shared::Shared;
use crate::{AddTorrent, Engine, Error, Metainfo, Settings, Torrent, TorrentState, TorrentStats};
use held::Before;
use left::Lefts;
use links::Link;
use look::seen;
use metainfo::Magnet;
use metainfo::names::{Rules, safe_element};
pub(crate) use mounts::Mounts;
use moving::Moving;
use record::Record;
use settings::refuse_zero;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Change, OpenError, Store, Table};
use tokio::sync::Mutex as AsyncMutex;
use trace::why::Cause;
use types::{InfoHash, InfoHashV1};
use watch::Watch;
pub(crate) use watch::examine as examine_watched;
pub use watch::{WatchFolder, WatchedFolder};

/// An [`Engine`] with torrents that are kept. Its methods work on any executor; a call that is not waited for is carried
/// out all the same.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    store: Arc<Store>,
    torrents: Mutex<BTreeMap<InfoHashV1, Arc<AsyncMutex<Place>>>>,
    /// What is in the store of torrents that have not begun since the session was opened.
    waiting: Mutex<BTreeMap<InfoHashV1, Arc<(Record, What)>>>,
    /// Of torrents that something is being done to.
    before: Arc<Before>,
    next_place: Mutex<u64>,
    /// Held while they become others.
    settings: AsyncMutex<SessionSettings>,
    /// Held while they become others.
    bans: AsyncMutex<()>,
    /// Held while torrents change places.
    queue: AsyncMutex<()>,
    alternative_holds: AtomicBool,
    watch: AsyncMutex<Watch>,
    /// Why nothing can be taken from folders that are watched.
    watched_away: Mutex<BTreeMap<PathBuf, String>>,
    mounts: Mutex<Mounts>,
    lefts: Mutex<Lefts>,
}

/// A torrent's place; what is done to it holds the lock.
#[derive(Debug)]
struct Place {
    /// `None` while it is being added, and after it was removed.
    kept: Option<Box<KeptTorrent>>,
}

#[derive(Debug)]
struct KeptTorrent {
    what: What,
    record: Record,
    running: Running,
    /// What came of the last move, if that is not what was asked for.
    note: Option<String>,
    /// Why its files are not where they belong, though it is complete.
    unsettled: Option<Error>,
    /// Its numbers when it was paused; `None` if that was before the session was opened, or they do not hold any more.
    rested: Option<TorrentStats>,
}

/// What is known of a torrent.
#[derive(Clone, Debug)]
enum What {
    All(Arc<Metainfo>),
    /// Until its metadata is found.
    Link(Box<Magnet>),
}

/// Whether the engine has it.
#[derive(Debug)]
enum Running {
    Paused,
    Yes(Torrent),
    /// Its metadata is being looked for.
    Fetching(Link),
    /// Its files are on their way.
    Moving(Moving),
    Failed(Error),
}

/// How it went when a session was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Torrents that are there again.
    pub torrents: usize,
    /// Torrents that are lost, as far as that is known: their rows in the store are damaged or missing.
    pub lost: usize,
    /// Those of them that it is known of which they are: their names, or else their info-hashes; so many at most.
    pub lost_names: Vec<String>,
    /// The store could not be read as a whole: where it was put aside, what could be read having been taken over.
    pub put_aside: Option<std::path::PathBuf>,
    /// The store was written by an older version: where it was kept as it was.
    pub upgraded: Option<std::path::PathBuf>,
}

/// How a torrent is given.
#[derive(Clone, Debug)]
pub enum Given {
    /// The bytes of its file.
    Torrent(Vec<u8>),
    /// A magnet link (BEP 9).
    Magnet(String),
    /// Where its file is, over HTTP or HTTPS.
    Url(String),
}

/// A torrent of a session, as it is now.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Which one.
    pub info_hash: InfoHash,
    /// The name of its file or folder, or what a magnet link calls it: a stranger's words then.
    pub name: String,
    /// The torrent; `None` as long as only a magnet link is known.
    pub metainfo: Option<Arc<Metainfo>>,
    /// What the user wants of it.
    pub choices: Choices,
    /// What it is doing; `None` if it is paused.
    pub state: Option<TorrentState>,
    /// Its numbers, if it is in the engine, or was until it was paused.
    pub stats: Option<TorrentStats>,
    /// What keeps it from going on, though it is not paused.
    pub error: Option<String>,
    /// What became of the last move or renaming since the session was opened, if it left files where they were or failed
    /// on the way; until the next one.
    pub note: Option<String>,
}

impl Session {
    /// Starts an engine, opens the store in its state directory and goes on with the torrents that it holds.
    ///
    /// # Errors
    /// Those of [`Engine::start`], and [`Error::SessionInUse`], [`Error::SessionNewer`], [`Error::State`]. A torrent that
    /// cannot go on is no error: it is [`Listed`] with its own.
    pub async fn open(settings: Settings) -> Result<(Session, Kept), Error> {
        let wanted = [Table::Torrents, Table::Metainfo, Table::Session];
        let opened = Store::open_and_load(&settings.state_dir, &wanted).map_err(open_error)?;
        let (store, mut opened) = (Arc::new(opened.0), opened.1);
        let gone = match opened.damaged {
            Some(_) => resume::lost(&settings.state_dir, &opened.tables),
            None => BTreeSet::new(),
        };
        let mut rows = |table| opened.tables.remove(&table).unwrap_or_default();
        let (torrents, metainfo, all) = (rows(Table::Torrents), rows(Table::Metainfo), rows(Table::Session));
        let kept_settings = SessionSettings::kept_in(&all.rows, &settings);
        let watch = AsyncMutex::new(Watch::kept_in(&all.rows));
        let mounts = Mutex::new(Mounts::kept_in(&all.rows));
        let (lefts, told) = Lefts::kept_in(&all.rows);
        let (kept_bans, settings) = (bans::kept_in(&all.rows), kept_settings.apply(settings));
        let engine = Engine::start_in(settings, Some(InStore { store: store.clone(), rows: all.rows }))?;
        let room = Arc::new(Room {
            shared: engine.shared(),
            store,
            torrents: Mutex::default(),
            waiting: Mutex::default(),
            before: Arc::default(),
            next_place: Mutex::default(),
            settings: AsyncMutex::new(kept_settings),
            bans: AsyncMutex::default(),
            queue: AsyncMutex::default(),
            alternative_holds: AtomicBool::new(false),
            watch,
            watched_away: Mutex::default(),
            mounts,
            lefts: Mutex::new(lefts),
        });
        room.shared.bans.set(kept_bans);
        let restored = room.clone();
        let work = async move {
            let kept = restored.clone().restore(torrents, metainfo, gone).await;
            // What is not saved is told once more.
            if !told.is_empty() {
                let _ = restored.save(told).await;
            }
            restored.shared.spawn(recovery::run(restored.clone()));
            restored.shared.spawn(watch::run(restored.clone()));
            restored.shared.spawn(restored.clone().learn_of_settings());
            restored.shared.spawn(restored.clone().learn_of_moved());
            if let Some(listener) = handover::listen(&restored.shared.settings.state_dir) {
                restored.shared.spawn(handover::run(listener, restored.clone()));
            }
            Ok(kept)
        };
        let kept =
            Kept { put_aside: opened.damaged, upgraded: opened.upgraded, ..engine.on_runtime(work).await? };
        Ok((Session { engine, room }, kept))
    }

    /// The engine that has the torrents. What is added to it directly is not kept.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Adds a torrent: the bytes of its file, and what is to be done with it.
    ///
    /// # Errors
    /// [`Error::Torrent`], [`Error::AlreadyAdded`], [`Error::Unsaved`], and those of [`Engine::add`]; nothing is kept then.
    pub async fn add(&self, torrent: Vec<u8>, choices: Choices) -> Result<InfoHash, Error> {
        self.take_in(Given::Torrent(torrent), choices).await
    }

    /// Adds the torrent that a URL (HTTP or HTTPS) names: see [`Engine::fetch`] and [`add`](Self::add).
    ///
    /// # Errors
    /// [`Error::Fetch`], and those of [`add`](Self::add).
    pub async fn add_url(&self, url: &str, choices: Choices) -> Result<InfoHash, Error> {
        self.take_in(Given::Url(url.to_owned()), choices).await
    }

    /// The same for somebody who is not to reach the networks that this machine is in.
    ///
    /// # Errors
    /// Those of [`add_url`](Self::add_url).
    pub async fn add_public_url(&self, url: &str, choices: Choices) -> Result<InfoHash, Error> {
        let (room, url) = (self.room.clone(), url.to_owned());
        let work = async move {
            let place = room.take_place();
            let file = room.shared.web.fetch_public(&url).await?;
            room.take_in(place, Given::Torrent(file), choices).await
        };
        self.engine.on_runtime(work).await
    }

    /// Adds the torrent that a magnet link names (BEP 9). The link is kept when this returns; what it names is looked for
    /// then, and over restarts, until it is found ([`TorrentState::FetchingMetadata`]) and goes on like any other.
    ///
    /// # Errors
    /// [`Error::Magnet`], and those of [`add`](Self::add).
    pub async fn add_magnet(&self, link: &str, choices: Choices) -> Result<InfoHash, Error> {
        self.take_in(Given::Magnet(link.to_owned()), choices).await
    }

    async fn take_in(&self, given: Given, choices: Choices) -> Result<InfoHash, Error> {
        self.add_at(self.take_place(), given, choices).await
    }

    /// Stops a torrent until it is resumed. One that is paused already stays so.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`].
    pub async fn pause(&self, info_hash: InfoHash) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            room.set_paused(info_hash, kept, true).await?;
            kept.note_numbers();
            // Files that are on their way go on; then it rests.
            if !matches!(kept.running, Running::Moving(_)) {
                std::mem::replace(&mut kept.running, Running::Paused).stop().await;
            }
            Ok(())
        };
        self.engine.on_runtime(work).await
    }

    /// Goes on with a torrent that was paused, or that could not go on before. What it waits for now, and will go on by itself
    /// without, is returned: a disk that is not mounted, or that was found to be full, or what keeps the files of one that is
    /// complete from going where they belong, which is tried once more. So is that its seed goal is reached, and ends it again.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`], and those of [`Engine::add`]; nothing is changed then.
    pub async fn resume(&self, info_hash: InfoHash) -> Result<Option<Error>, Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            let was_paused = kept.record.choices.paused;
            room.set_paused(info_hash, kept, false).await?;
            if kept.running.goes_on() {
                if kept.is_to_settle() {
                    room.settle(kept).await;
                }
                return Ok(match &kept.running {
                    Running::Yes(_) if kept.is_to_settle() => kept.unsettled.clone(),
                    Running::Yes(torrent) => torrent.waits_for(),
                    _ => None,
                });
            }
            match room.begin(&kept.record, &kept.what).await {
                Ok(running) => {
                    kept.running = running;
                    Ok(room.ends_again(kept).await)
                }
                Err(error) if error.may_pass() => {
                    kept.running = Running::Failed(error.clone());
                    Ok(Some(error))
                }
                Err(error) => {
                    let is_as_before = was_paused && room.set_paused(info_hash, kept, true).await.is_ok();
                    kept.running = match is_as_before {
                        true => Running::Paused,
                        false => Running::Failed(error.clone()),
                    };
                    Err(error)
                }
            }
        };
        self.engine.on_runtime(work).await
    }

    /// A handle on a torrent, if the engine has it now: it is neither paused nor failed to begin. It is not to be stopped by
    /// it.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn torrent(&self, info_hash: InfoHash) -> Result<Option<Torrent>, Error> {
        let held = self.room.hold(info_hash).await?;
        let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
        Ok(match &kept.running {
            Running::Yes(torrent) => Some(torrent.clone()),
            Running::Paused | Running::Fetching(_) | Running::Moving(_) | Running::Failed(_) => None,
        })
    }

    /// Why a torrent that is not paused could not begin, if it could not.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn failure(&self, info_hash: InfoHash) -> Result<Option<Error>, Error> {
        let held = self.room.hold(info_hash).await?;
        let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
        Ok(match &kept.running {
            Running::Failed(error) => Some(error.clone()),
            _ => None,
        })
    }

    /// What is known of a torrent; `None` as long as only a magnet link is.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn metainfo(&self, info_hash: InfoHash) -> Result<Option<Arc<Metainfo>>, Error> {
        let held = self.room.hold(info_hash).await?;
        let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
        Ok(kept.what.metainfo().cloned())
    }

    /// All torrents, in the order of the queue: that in which they were added, unless they were [moved](Self::queue). One
    /// that something is being done to, and that takes long, is told as it was before.
    pub async fn list(&self) -> Vec<Listed> {
        let room = self.room.clone();
        let listed = self.engine.on_runtime(async move { Ok(room.list().await) }).await;
        listed.unwrap_or_default().into_iter().map(|(_, listed)| listed).collect()
    }

    /// Ends the session: see [`Engine::shutdown`].
    pub async fn shutdown(self) {
        let Session { engine, room } = self;
        let work = async move {
            end(&room.shared).await;
            // A call that is still under way has its own hold on it, and ends soon: nothing begins any more.
            if let Some(room) = Arc::into_inner(room) {
                // So has a torrent whose disk does not answer.
                if let Some(store) = Arc::into_inner(room.store) {
                    store.close().await;
                }
            }
            Ok(())
        };
        engine.on_runtime(work).await.unwrap_or(());
    }
}

impl Room {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<InfoHashV1, Arc<(Record, What)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn torrents(&self) -> MutexGuard<'_, BTreeMap<InfoHashV1, Arc<AsyncMutex<Place>>>> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a torrent, however it is given.
    async fn take_in(
        self: &Arc<Self>,
        rank: QueuePlace,
        given: Given,
        mut choices: Choices,
    ) -> Result<InfoHash, Error> {
        let of_file = |file: Vec<u8>| {
            let spool = self.shared.spool.clone();
            // A large one takes a while.
            blocking(move || {
                let metainfo = Metainfo::parse(&file).map_err(Error::Torrent)?;
                let metainfo = spool.keep(Arc::new(metainfo));
                Ok(New { what: What::All(metainfo), file: Some(file), link: None })
            })
        };
        let new = match given {
            Given::Torrent(file) => of_file(file).await?,
            Given::Url(url) => of_file(self.shared.web.fetch(&url).await?).await?,
            Given::Magnet(link) => {
                let magnet = Magnet::parse(&link).map_err(Error::Magnet)?;
                New { what: What::Link(magnet.into()), file: None, link: Some(link) }
            }
        };
        choices.check(new.what.metainfo())?;
        choices.check_priorities(new.what.metainfo())?;
        self.check_trackers(&choices)?;
        refuse_zero([None; 2], [choices.max_down, choices.max_up])?;
        let info_hash = new.what.info_hash();
        if !self.goes_where_it_was(info_hash, &mut choices, new.what.metainfo()).await {
            self.arrange(&mut choices, new.what.metainfo()).await;
        }
        let place = Arc::new(AsyncMutex::new(Place { kept: None }));
        let mut held = place.clone().try_lock_owned().expect("nobody else knows of it yet");
        match self.torrents().entry(info_hash.wire()) {
            Entry::Vacant(vacant) => vacant.insert(place),
            Entry::Occupied(_) => return Err(Error::AlreadyAdded(info_hash)),
        };
        match self.add(rank, new, choices).await {
            Ok(kept) => held.kept = Some(Box::new(kept)),
            Err(err) => {
                let state_dir = self.shared.settings.state_dir.clone();
                let erase = move || {
                    resume::erase_of_session(&state_dir, info_hash.wire());
                    Ok(())
                };
                let _ = blocking(erase).await;
                self.torrents().remove(&info_hash.wire());
                return Err(err);
            }
        }
        Ok(info_hash)
    }

    async fn save(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.store.commit(changes).await.map_err(Error::unsaved)
    }

    /// Of a torrent that is added anew nothing is known, whatever one that was removed wrote down last: a crash may have kept
    /// that from being taken away.
    async fn forget_earlier(&self, info_hash: InfoHash) -> Result<(), Error> {
        let mut left = Vec::new();
        for table in [Table::Progress, Table::Blocks] {
            let row = self.store.get(table, &key(info_hash)).await;
            if row.map_err(Error::unsaved)?.is_some() {
                left.push(Change::remove(table, key(info_hash)));
            }
        }
        if left.is_empty() { Ok(()) } else { self.save(left).await }
    }

    /// A place behind all others.
    fn next_place(&self) -> u64 {
        let mut next = self.next_place.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    }

    /// Has the engine take a torrent, unless it is paused.
    async fn begin(self: &Arc<Self>, record: &Record, what: &What) -> Result<Running, Error> {
        if let Some((moving, metainfo)) = record.moving.as_ref().zip(what.metainfo()) {
            return Ok(self.go_on_moving(record, moving, metainfo, None, None));
        }
        if record.choices.paused {
            return Ok(Running::Paused);
        }
        match what {
            What::All(metainfo) => self.begin_with(record.apply(metainfo.clone())).await,
            What::Link(magnet) => self.look_for(record, magnet).await,
        }
    }

    async fn begin_with(&self, mut add: AddTorrent) -> Result<Running, Error> {
        add.kept_in = Some(self.store.clone());
        add.peers = self.peers_for(&add.peers);
        begin(&self.shared, add).await.map(Running::Yes)
    }

    /// Whom a torrent is told of when it begins: peers of its own, and those for all.
    fn peers_for(&self, own: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut peers = [own, &self.shared.settings.peers].concat();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// Begins a torrent, then keeps it: what cannot begin is told at once and kept by nobody.
    async fn add(
        self: &Arc<Self>,
        rank: QueuePlace,
        new: New,
        choices: Choices,
    ) -> Result<KeptTorrent, Error> {
        let New { what, file, link } = new;
        self.forget_earlier(what.info_hash()).await?;
        let mut record = Record::new(rank.0, choices, link);
        self.note_mounts(&mut record).await?;
        if let What::All(metainfo) = &what {
            self.recall_files(what.info_hash(), &record, metainfo).await?;
        }
        let running = self.begin(&record, &what).await?;
        let info_hash = what.info_hash();
        let mut changes = vec![Change::put(Table::Torrents, key(info_hash), record.encode())];
        if let (What::All(metainfo), Some(file)) = (&what, file) {
            changes.extend(self.rows_of_file(&record, metainfo, file).await);
            changes.extend(self.forget_left(info_hash));
        }
        if let Err(err) = self.save(changes).await {
            running.stop().await;
            return Err(err);
        }
        Ok(KeptTorrent::new(what, record, running))
    }

    /// What is kept of a torrent whose file is known, beside what is wanted of it.
    async fn rows_of_file(&self, record: &Record, metainfo: &Metainfo, file: Vec<u8>) -> [Change; 2] {
        let progress = self.before_the_first_run(record, metainfo).await;
        let info_hash = metainfo.info_hash();
        [Change::put(Table::Metainfo, key(info_hash), file), progress.first_row(info_hash.wire())]
    }

    async fn before_the_first_run(&self, record: &Record, metainfo: &Metainfo) -> resume::Record {
        // Its own folder may be a mount point as well.
        let own = record.choices.dir.join(metainfo.name());
        let mount = self.mount_of(&own, record.mount.clone()).await;
        resume::Record::before_the_first_run(metainfo.lengths(), metainfo.files().len(), mount)
    }

    async fn set_paused(
        &self,
        info_hash: InfoHash,
        kept: &mut KeptTorrent,
        paused: bool,
    ) -> Result<(), Error> {
        if kept.record.choices.paused == paused {
            return Ok(());
        }
        let mut record = kept.record.clone();
        record.choices.paused = paused;
        self.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
        kept.record = record;
        Ok(())
    }
}

/// A torrent that is to be kept.
struct New {
    what: What,
    /// The bytes of its file.
    file: Option<Vec<u8>>,
    link: Option<String>,
}

impl Running {
    /// It has stopped when this returns, whatever became of its last record: without one, it is checked when it comes again.
    async fn stop(self) {
        match self {
            Running::Yes(torrent) => drop(torrent.stop().await),
            Running::Fetching(link) => link.stop().await,
            Running::Moving(moving) => moving.stop().await,
            Running::Paused | Running::Failed(_) => {}
        }
    }

    /// Whether there is nothing to be begun.
    fn goes_on(&self) -> bool {
        match self {
            Running::Yes(torrent) => !torrent.has_ended(),
            Running::Fetching(_) | Running::Moving(_) => true,
            Running::Paused | Running::Failed(_) => false,
        }
    }
}

impl What {
    fn info_hash(&self) -> InfoHash {
        match self {
            What::All(metainfo) => metainfo.info_hash(),
            What::Link(magnet) => magnet.info_hash,
        }
    }

    fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        match self {
            What::All(metainfo) => Some(metainfo),
            What::Link(_) => None,
        }
    }

    fn name(&self) -> String {
        match self {
            What::All(metainfo) => metainfo.name().to_owned(),
            // A stranger's words: as a file or folder of that name would be called.
            What::Link(magnet) => {
                #[cfg(feature = "planted")]
                if let Some(name) = magnet.name.clone().filter(|_| net::planted::is("raw-names")) {
                    return name;
                }
                let name = magnet.name.as_ref().and_then(|name| safe_element(name.as_bytes(), Rules::NATIVE));
                name.unwrap_or_else(|| magnet.info_hash.to_string())
            }
        }
    }
}

impl KeptTorrent {
    fn new(what: What, record: Record, running: Running) -> KeptTorrent {
        KeptTorrent { what, record, running, note: None, unsettled: None, rested: None }
    }

    /// It is about to rest: what is there of it goes on being told.
    fn note_numbers(&mut self) {
        // Before it has been checked, or its metadata are there, they say nothing of it.
        let is_known = |stats: &TorrentStats| {
            !matches!(stats.state, TorrentState::Checking | TorrentState::FetchingMetadata)
        };
        let numbers = self.doing().1.filter(is_known);
        self.rested =
            numbers.map(|stats| TorrentStats { rate_down: 0, rate_up: 0, peers: 0, seeds: 0, ..stats });
    }

    fn list(&self) -> Listed {
        let (state, stats, error) = self.doing();
        let (info_hash, name) = (self.what.info_hash(), self.what.name());
        let (metainfo, choices) = (self.what.metainfo().cloned(), self.record.choices.clone());
        Listed { info_hash, name, metainfo, choices, state, stats, error, note: self.note.clone() }
    }

    /// What it is doing, its numbers, and what keeps it from going on.
    fn doing(&self) -> (Option<TorrentState>, Option<TorrentStats>, Option<String>) {
        let unsettled = || {
            let error = self.why_unsettled()?;
            Some(Cause::Unsettled { error }.to_string())
        };
        match &self.running {
            Running::Paused => (None, self.rested, None),
            Running::Yes(torrent) => {
                let stats = torrent.stats();
                (Some(stats.state), Some(stats), torrent.trouble().or_else(unsettled))
            }
            Running::Fetching(link) => (Some(link.state()), Some(link.stats()), None),
            Running::Moving(moving) => (Some(TorrentState::Moving), Some(moving.stats()), unsettled()),
            Running::Failed(err) => (Some(err.state()), None, Some(err.of_kept())),
        }
    }
}

/// Where an engine keeps what it would keep in files of its own otherwise.
#[derive(Clone, Debug)]
pub(crate) struct InStore {
    pub(crate) store: Arc<Store>,
    /// What the store holds of which there is one.
    pub(crate) rows: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a torrent is called in the store.
pub(crate) fn key(info_hash: InfoHash) -> Vec<u8> {
    info_hash.wire().0.to_vec()
}

pub(crate) fn open_error(err: OpenError) -> Error {
    match err {
        OpenError::InUse(path) => Error::SessionInUse(path),
        OpenError::Io { path, reason } => Error::State { path, reason },
        OpenError::Emptied { .. } => Error::SessionEmptied(err.to_string()),
        OpenError::NotAFile { .. } | OpenError::NoCopy { .. } => Error::Refused(err.to_string()),
        newer => Error::SessionNewer(newer.to_string()),
    }
}
