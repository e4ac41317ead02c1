//! A session that never forgets: an engine and the torrents that it is to have, whatever happens.
//!
//! What a method has answered with `Ok` is in the session's store and survives the end of the process and of the system.
//! The next [`Session::open`] finds it and goes on with it. Operations on one torrent happen one after the other, on
//! different torrents beside each other.

mod record;
mod recovery;
mod restore;

pub use record::Choices;
pub(crate) use record::{first_rows, last_place, moved_row};
pub(crate) use restore::{key_of, read_row};

use crate::resume::{self, mount_of};
use crate::session::{begin, end};
use crate::shared::Shared;
use crate::{Engine, Error, Metainfo, Settings, Torrent, TorrentState, TorrentStats};
use record::Record;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{Change, OpenError, Store, Table};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use types::{InfoHash, InfoHashV1};

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
    next_place: Mutex<u64>,
}

/// A torrent's place; what is done to it holds the lock.
#[derive(Debug)]
struct Place {
    /// `None` while it is being added, and after it was removed.
    kept: Option<Box<KeptTorrent>>,
}

#[derive(Debug)]
struct KeptTorrent {
    metainfo: Arc<Metainfo>,
    record: Record,
    running: Running,
}

/// Whether the engine has it.
#[derive(Debug)]
enum Running {
    Paused,
    Yes(Torrent),
    Failed(Error),
}

/// How it went when a session was opened.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Torrents that are there again.
    pub torrents: usize,
    /// Rows of the store that were damaged; what they held is lost.
    pub lost: usize,
    /// The store could not be read as a whole: where it was put aside, what could be read having been taken over.
    pub put_aside: Option<std::path::PathBuf>,
    /// The store was written by an older version: where it was kept as it was.
    pub upgraded: Option<std::path::PathBuf>,
}

/// A torrent of a session, as it is now.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Which one.
    pub info_hash: InfoHash,
    /// The name of its file or folder.
    pub name: String,
    /// What the user wants of it.
    pub choices: Choices,
    /// What it is doing; `None` if it is paused.
    pub state: Option<TorrentState>,
    /// Its numbers, if it is in the engine.
    pub stats: Option<TorrentStats>,
    /// What keeps it from going on, though it is not paused.
    pub error: Option<String>,
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
        let mut rows = |table| opened.tables.remove(&table).unwrap_or_default();
        let (torrents, metainfo, all) = (rows(Table::Torrents), rows(Table::Metainfo), rows(Table::Session));
        let engine = Engine::start_in(settings, Some(InStore { store: store.clone(), rows: all.rows }))?;
        let room =
            Room { shared: engine.shared(), store, torrents: Mutex::default(), next_place: Mutex::default() };
        let room = Arc::new(room);
        let restored = room.clone();
        let work = async move {
            let kept = restored.clone().restore(torrents, metainfo).await;
            restored.shared.spawn(recovery::run(restored.clone()));
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
        let metainfo = Arc::new(Metainfo::parse(&torrent).map_err(Error::Torrent)?);
        let info_hash = metainfo.info_hash();
        let room = self.room.clone();
        let work = async move {
            let place = Arc::new(AsyncMutex::new(Place { kept: None }));
            let mut held = place.clone().try_lock_owned().expect("nobody else knows of it yet");
            match room.torrents().entry(info_hash.wire()) {
                Entry::Vacant(vacant) => vacant.insert(place),
                Entry::Occupied(_) => return Err(Error::AlreadyAdded(info_hash)),
            };
            let added = room.add(metainfo, torrent, choices).await;
            match added {
                Ok(kept) => held.kept = Some(Box::new(kept)),
                Err(err) => {
                    room.torrents().remove(&info_hash.wire());
                    return Err(err);
                }
            }
            Ok(info_hash)
        };
        self.engine.on_runtime(work).await
    }

    /// Stops a torrent and forgets it. Its files stay.
    ///
    /// # Errors
    /// [`Error::NotHere`]; [`Error::Unsaved`]: it stays.
    pub async fn remove(&self, info_hash: InfoHash) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let key = key(info_hash);
            let changes = Table::OF_TORRENTS.into_iter();
            room.save(changes.map(|table| Change::remove(table, key.clone())).collect()).await?;
            let kept = held.kept.take();
            room.torrents().remove(&info_hash.wire());
            let Some(kept) = kept else { return Ok(()) };
            kept.running.stop().await;
            let (state_dir, dir) = (room.shared.settings.state_dir.clone(), kept.record.choices.dir);
            let erase = move || resume::erase(&state_dir, info_hash.wire(), &dir);
            // What stays is a hint that nobody asks for.
            let _ = tokio::task::spawn_blocking(erase).await;
            Ok(())
        };
        self.engine.on_runtime(work).await
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
            std::mem::replace(&mut kept.running, Running::Paused).stop().await;
            Ok(())
        };
        self.engine.on_runtime(work).await
    }

    /// Goes on with a torrent that was paused, or that could not go on before.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`], and those of [`Engine::add`].
    pub async fn resume(&self, info_hash: InfoHash) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            room.set_paused(info_hash, kept, false).await?;
            if matches!(&kept.running, Running::Yes(torrent) if !torrent.has_ended()) {
                return Ok(());
            }
            let begun = room.begin(&kept.record.choices, &kept.metainfo).await;
            let outcome = begun.as_ref().map(|_| ()).map_err(Clone::clone);
            kept.running = begun.unwrap_or_else(Running::Failed);
            outcome
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
            Running::Paused | Running::Failed(_) => None,
        })
    }

    /// All torrents, in the order in which they were added. Those that something is being done to are waited for.
    pub async fn list(&self) -> Vec<Listed> {
        let places: Vec<_> = self.room.torrents().values().cloned().collect();
        let mut listed = Vec::with_capacity(places.len());
        for place in places {
            let held = place.lock().await;
            if let Some(kept) = &held.kept {
                listed.push((kept.record.place, kept.list()));
            }
        }
        listed.sort_by_key(|&(place, _)| place);
        listed.into_iter().map(|(_, listed)| listed).collect()
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
    fn torrents(&self) -> MutexGuard<'_, BTreeMap<InfoHashV1, Arc<AsyncMutex<Place>>>> {
        self.torrents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what is being done to a torrent.
    async fn hold(&self, info_hash: InfoHash) -> Result<OwnedMutexGuard<Place>, Error> {
        let place = self.torrents().get(&info_hash.wire()).cloned().ok_or(Error::NotHere(info_hash))?;
        Ok(place.lock_owned().await)
    }

    async fn save(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.store.commit(changes).await.map_err(|err| Error::Unsaved(err.to_string()))
    }

    /// A place behind all others.
    fn next_place(&self) -> u64 {
        let mut next = self.next_place.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    }

    /// Has the engine take a torrent, unless it is paused.
    async fn begin(&self, choices: &Choices, metainfo: &Arc<Metainfo>) -> Result<Running, Error> {
        match choices.paused {
            true => Ok(Running::Paused),
            false => {
                let mut add = choices.apply(metainfo.clone());
                add.kept_in = Some(self.store.clone());
                begin(&self.shared, add).await.map(Running::Yes)
            }
        }
    }

    /// Begins a torrent, then keeps it: what cannot begin is told at once and kept by nobody.
    async fn add(
        &self,
        metainfo: Arc<Metainfo>,
        torrent: Vec<u8>,
        choices: Choices,
    ) -> Result<KeptTorrent, Error> {
        // Before it can be missing.
        let dir = choices.dir.clone();
        let mount = tokio::task::spawn_blocking(move || mount_of(&dir, None)).await.unwrap_or(None);
        let running = self.begin(&choices, &metainfo).await?;
        let (lengths, files) = (metainfo.lengths(), metainfo.files().len());
        let progress = resume::Record::before_the_first_run(lengths, files, mount);
        let record = Record { place: self.next_place(), choices };
        let key = key(metainfo.info_hash());
        let saved = self.save(vec![
            Change::put(Table::Torrents, key.clone(), record.encode()),
            Change::put(Table::Metainfo, key, torrent),
            progress.first_row(metainfo.info_hash().wire()),
        ]);
        if let Err(err) = saved.await {
            running.stop().await;
            return Err(err);
        }
        Ok(KeptTorrent { metainfo, record, running })
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

impl Running {
    /// It has stopped when this returns, whatever became of its last record: without one, it is checked when it comes again.
    async fn stop(self) {
        if let Running::Yes(torrent) = self {
            let _ = torrent.stop().await;
        }
    }
}

impl KeptTorrent {
    fn list(&self) -> Listed {
        let (state, stats, error) = match &self.running {
            Running::Paused => (None, None, None),
            Running::Yes(torrent) => {
                let stats = torrent.stats();
                (Some(stats.state), Some(stats), torrent.trouble())
            }
            Running::Failed(err) => (Some(err.state()), None, Some(err.to_string())),
        };
        let (info_hash, name) = (self.metainfo.info_hash(), self.metainfo.name().to_owned());
        let choices = self.record.choices.clone();
        Listed { info_hash, name, choices, state, stats, error }
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
        newer => Error::SessionNewer(newer.to_string()),
    }
}
