//! The engine: what all torrents share.

use crate::announcer::Web;
use crate::driver::Driver;
use crate::events::{Events, Hub};
use crate::meet::Guest;
use crate::torrent::Torrent;
use crate::{AddTorrent, Error, Settings, listen};
use net::bind::LocalAddrs;
use net::rate::Limiter;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use storage::{DiskPool, PoolSettings};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use types::{InfoHash, InfoHashV1, PeerId, Time};

/// How long [`Engine::shutdown`] waits for trackers to hear of it and for state to be saved.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(2800);

/// How many bytes of blocks that wait for their turn to be hashed one torrent may hold: little enough that what a killed
/// process loses (this, what is on its way to the disk, and what was not noted yet) stays below 16 MiB.
const HELD_PER_TORRENT: usize = 6 * 1024 * 1024;

/// Torrents, the threads that drive them, and the sockets where peers come in.
///
/// Dropping it without [`shutdown`](Engine::shutdown) ends everything at once: trackers are not told, and what was
/// not yet durable is checked at the next start.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    addrs: Vec<SocketAddr>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// What torrents, listeners and the engine's owner share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) hub: Hub,
    pub(crate) disk: DiskPool,
    pub(crate) web: Web,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) down: Limiter,
    pub(crate) up: Limiter,
    pub(crate) port: u16,
    pub(crate) local: LocalAddrs,
    started: Instant,
    doors: Mutex<BTreeMap<InfoHashV1, Door>>,
    torrents: Mutex<JoinSet<()>>,
    closing: watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Where callers for one torrent are sent.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) torrent: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) guests: mpsc::Sender<Guest>,
}

impl Engine {
    /// Starts the threads and opens the sockets.
    ///
    /// # Errors
    /// [`Error::Listen`] if an address cannot be listened on, [`Error::Start`] if threads cannot be had.
    pub fn start(settings: Settings) -> Result<Engine, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("rawtorrent-net")
            .enable_all()
            .build()
            .map_err(|err| Error::Start(err.to_string()))?;
        let _inside = runtime.enter();
        let listeners = listen::open(&settings.listen)?;
        let addrs = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect::<Vec<_>>();
        let local = LocalAddrs::of_listeners(&addrs);
        let started = Instant::now();
        let pool = PoolSettings {
            threads: settings.disk_threads,
            held_per_torrent: HELD_PER_TORRENT,
            ..PoolSettings::default()
        };
        let shared = Arc::new(Shared {
            hub: Hub::new(started),
            disk: DiskPool::new(pool)?,
            web: Web::new(&settings.client, local)?,
            local,
            connections: Arc::new(Semaphore::new(settings.max_peers.min(Semaphore::MAX_PERMITS))),
            down: Limiter::new(settings.max_down),
            up: Limiter::new(settings.max_up),
            port: addrs.first().map_or(0, SocketAddr::port),
            settings,
            started,
            doors: Mutex::default(),
            torrents: Mutex::default(),
            closing: watch::Sender::new(false),
        });
        for listener in listeners {
            runtime.spawn(listen::run(listener, shared.clone()));
        }
        drop(_inside);
        Ok(Engine { shared, addrs, runtime: Some(runtime) })
    }

    /// Where the engine listens.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Adds a torrent and begins its work. When this returns, its files have been looked at but not yet checked. If it
    /// is not waited for, the torrent is added all the same, without a handle on it.
    ///
    /// # Errors
    /// [`Error::V2Only`], [`Error::AlreadyAdded`], [`Error::NothingSelected`], [`Error::InUse`], [`Error::State`], and
    /// [`Error::Disk`] if something that is not a file stands where one of the torrent's goes.
    pub async fn add(&self, add: AddTorrent) -> Result<Torrent, Error> {
        let shared = self.shared.clone();
        self.on_runtime(async move {
            if shared.is_closing() {
                return Err(Error::ShutDown);
            }
            let (driver, calls, torrent) = Driver::open(shared.clone(), add).await?;
            let mut torrents = lock(&shared.torrents);
            while torrents.try_join_next().is_some() {}
            torrents.spawn(driver.run(calls));
            Ok(torrent)
        })
        .await
    }

    /// Fetches a torrent file over HTTP or HTTPS (whose certificate is checked): 64 MiB at most.
    ///
    /// # Errors
    /// [`Error::Fetch`] says in one line why there is none.
    pub async fn fetch(&self, url: &str) -> Result<Vec<u8>, Error> {
        let (shared, url) = (self.shared.clone(), url.to_owned());
        self.on_runtime(async move { shared.web.fetch(&url).await }).await
    }

    /// What is said and done from now on. Costs nothing while nobody listens.
    pub fn events(&self) -> Events {
        self.shared.hub.listen()
    }

    /// Stops every torrent: peers are hung up on, trackers are told, state is saved. Takes less than three seconds
    /// whatever trackers and disks do.
    pub async fn shutdown(self) {
        let shared = self.shared.clone();
        self.on_runtime(async move {
            shared.closing.send_replace(true);
            let mut torrents = std::mem::take(&mut *lock(&shared.torrents));
            let all = async { while torrents.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, all).await;
            Ok(())
        })
        .await
        .unwrap_or(());
    }

    /// Runs something on the engine's own threads, whatever executor waits for it.
    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = self.runtime.as_ref().ok_or(Error::ShutDown)?;
        runtime.spawn(work).await.unwrap_or(Err(Error::ShutDown))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
        // Waiting is not allowed where another runtime may be running us.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// The brains' clock.
    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    /// When that is on tokio's clock.
    pub(crate) fn instant(&self, at: Time) -> tokio::time::Instant {
        (self.started + (at - Time::ZERO)).into()
    }

    /// Where callers for a torrent are sent, if it is here.
    pub(crate) fn door(&self, info_hash: InfoHashV1) -> Option<Door> {
        lock(&self.doors).get(&info_hash).cloned()
    }

    /// Opens the door for callers of a torrent; closed when the answer is dropped.
    pub(crate) fn open_door(
        self: &Arc<Self>,
        torrent: InfoHash,
        peer_id: PeerId,
        guests: mpsc::Sender<Guest>,
    ) -> Result<OpenDoor, Error> {
        let mut doors = lock(&self.doors);
        if doors.contains_key(&torrent.wire()) {
            return Err(Error::AlreadyAdded(torrent));
        }
        doors.insert(torrent.wire(), Door { torrent, peer_id, guests });
        Ok(OpenDoor { shared: self.clone(), info_hash: torrent.wire() })
    }

    /// Ends when the engine shuts down.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.closing.subscribe();
        async move {
            let _ = closing.wait_for(|&closing| closing).await;
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}

/// Keeps a door open.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    shared: Arc<Shared>,
    info_hash: InfoHashV1,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        lock(&self.shared.doors).remove(&self.info_hash);
    }
}

/// A lock that is held for a few instructions and never across an await; a panic elsewhere does not spread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
