//! What the torrents of an engine, its listeners and its owner share.

use crate::announcer::Web;
use crate::bans::Bans;
use crate::descriptors::Descriptors;
use crate::dht::Dht;
use crate::dials::Dials;
use crate::events::Hub;
use crate::listen;
use crate::lsd::Lsd;
use crate::mailbox;
use crate::memory::Sleepers;
use crate::places::{Place, Places};
use crate::presence::Presence;
use crate::scrub::Scrub;
use crate::spool::Spool;
use crate::steward::Steward;
use crate::watched::{self, watched};
use crate::{Error, Settings};
use net::bind::LocalAddrs;
use net::conn::{Chunks, Pipes};
use net::web_seed::WebSeedClient;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use storage::{DiskPool, PoolSettings};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use types::{InfoHash, InfoHashV1, PeerId, Time};
use wire::{Handshake, Reserved};

/// How many bytes of blocks one torrent may have in memory alone: little enough that what a killed process loses (this, what
/// is on its way to the disk, and what was not noted yet) stays below 16 MiB. At the limit blocks are written before they
/// are hashed.
const HELD_PER_TORRENT: usize = 6 * 1024 * 1024;

/// What torrents, listeners and the engine's owner share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) hub: Hub,
    pub(crate) disk: DiskPool,
    /// Where info dictionaries lie while nobody asks for them.
    pub(crate) spool: Arc<Spool>,
    pub(crate) chunks: Chunks,
    /// Pipes that connections share.
    pub(crate) pipes: Pipes,
    pub(crate) web: Web,
    pub(crate) web_seeds: WebSeedClient,
    pub(crate) connections: Arc<Semaphore>,
    /// Who has them.
    pub(crate) places: Arc<Places>,
    /// How many callers may be in their handshake.
    pub(crate) greeting: usize,
    pub(crate) dials: Dials,
    pub(crate) bans: Bans,
    pub(crate) scrub: Scrub,
    pub(crate) presence: Presence,
    pub(crate) sleepers: Sleepers,
    /// How many torrents have ended.
    pub(crate) ended: (watched::Sender<u64>, watched::Receiver<u64>),
    pub(crate) steward: Steward,
    /// Where peers connect, over IPv4 and over IPv6; 0: nowhere.
    pub(crate) ports: [u16; 2],
    /// If there is a node.
    pub(crate) dht: Option<Arc<Dht>>,
    /// If others can be heard on a local network.
    pub(crate) lsd: Option<Arc<Lsd>>,
    pub(crate) local: LocalAddrs,
    /// Whether any peer has connected to us.
    pub(crate) called: AtomicBool,
    /// The threads of the engine.
    runtime: Handle,
    started: Instant,
    doors: Mutex<BTreeMap<InfoHashV1, Door>>,
    torrents: Mutex<JoinSet<()>>,
    closing: (watched::Sender<bool>, watched::Receiver<bool>),
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
    pub(crate) visits: mailbox::Sender<Visit>,
}

/// What comes through it.
#[derive(Debug)]
pub(crate) enum Visit {
    Guest(Box<Guest>),
    /// Every connection of all torrents together is taken, and this host has most: one that is of no use is to end.
    MakeRoom(IpAddr),
    /// Its files may be gone.
    Look,
}

/// A peer on a fresh connection, both handshakes exchanged.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) addr: SocketAddr,
    pub(crate) outgoing: bool,
    pub(crate) theirs: Handshake,
    /// This connection's share of the engine's limit.
    pub(crate) place: Place,
}

impl Shared {
    /// Starts the disk threads and what reaches trackers; `addrs` is where we listen. To be called on the threads of the
    /// engine.
    pub(crate) fn new(
        mut settings: Settings,
        addrs: &[SocketAddr],
        dht: Option<Arc<Dht>>,
        lsd: Option<Arc<Lsd>>,
    ) -> Result<Shared, Error> {
        let descriptors = Descriptors::now();
        if settings.max_peers > descriptors.peers {
            let (peers, wanted) = (descriptors.peers, settings.max_peers);
            tracing::warn!(
                "at most {peers} peers instead of {wanted}: the system allows few open files (ulimit -n)"
            );
            settings.max_peers = peers;
        }
        let local = LocalAddrs::of_listeners(addrs);
        let started = Instant::now();
        let pool = PoolSettings {
            threads: settings.disk_threads,
            held_per_torrent: HELD_PER_TORRENT,
            open_files: descriptors.files,
            ..PoolSettings::default()
        };
        Ok(Shared {
            hub: Hub::new(started),
            disk: DiskPool::new(pool)?,
            spool: Spool::new(&settings.state_dir),
            chunks: Chunks::new(settings.message_memory, settings.max_peers),
            pipes: Pipes::new(descriptors.pipes),
            web: Web::new(&settings.client, local)?,
            web_seeds: WebSeedClient::new(&settings.client, local, settings.allow_private)
                .map_err(|err| Error::Start(err.to_string()))?,
            local,
            called: AtomicBool::new(false),
            connections: Arc::new(Semaphore::new(settings.max_peers.min(Semaphore::MAX_PERMITS))),
            places: Arc::default(),
            greeting: descriptors.greeting,
            dials: Dials::new(),
            bans: Bans::default(),
            scrub: Scrub::default(),
            presence: Presence::default(),
            sleepers: Sleepers::default(),
            ended: watched(0),
            steward: Steward::new(&settings, Time::ZERO),
            ports: listen::ports(addrs),
            dht,
            lsd,
            settings,
            runtime: Handle::current(),
            started,
            doors: Mutex::default(),
            torrents: Mutex::default(),
            closing: watched(false),
        })
    }

    /// What we offer in every handshake: the fast extension (BEP 6), the extension protocol (BEP 10), and a DHT node
    /// (BEP 5) if there is one.
    pub(crate) fn reserved(&self) -> Reserved {
        let always = Reserved::NONE.with_fast().with_extended();
        if self.dht.is_some() { always.with_dht() } else { always }
    }

    /// Runs a torrent's task until it ends, on the threads of the engine wherever this is called.
    pub(crate) fn spawn(&self, torrent: impl Future<Output = ()> + Send + 'static) {
        let mut torrents = lock(&self.torrents);
        while torrents.try_join_next().is_some() {}
        torrents.spawn_on(torrent, &self.runtime);
    }

    /// How many tasks the engine's threads have.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// The torrents' tasks, to be waited for; they may begin others meanwhile.
    pub(crate) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *lock(&self.torrents))
    }

    /// Tells everybody to end.
    pub(crate) fn close(&self) {
        self.closing.0.send_modify(|closing| *closing = true);
    }

    /// The brains' clock.
    pub(crate) fn now(&self) -> Time {
        #[cfg(feature = "planted")]
        if net::planted::is("wall-clock") {
            return net::planted::wall_clock();
        }
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
        visits: mailbox::Sender<Visit>,
    ) -> Result<OpenDoor, Error> {
        let mut doors = lock(&self.doors);
        if doors.contains_key(&torrent.wire()) {
            return Err(Error::AlreadyAdded(torrent));
        }
        doors.insert(torrent.wire(), Door { torrent, peer_id, visits });
        Ok(OpenDoor { shared: self.clone(), info_hash: torrent.wire(), peer_id })
    }

    /// Whether the engine shuts down, which it does when it is once so.
    pub(crate) fn closing(&self) -> watched::Receiver<bool> {
        self.closing.1.clone()
    }

    /// Ends when the engine shuts down.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.closing();
        async move {
            let _ = closing.wait_for(|&closing| closing).await;
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.1.borrow()
    }
}

impl OpenDoor {
    /// The 20 bytes that callers ask for.
    pub(crate) fn info_hash(&self) -> InfoHashV1 {
        self.info_hash
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// As whom they are answered.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// All names of the torrent are known now.
    pub(crate) fn set_torrent(&self, torrent: InfoHash) {
        if let Some(door) = lock(&self.shared.doors).get_mut(&self.info_hash) {
            door.torrent = torrent;
        }
    }
}

/// Keeps a door open.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    shared: Arc<Shared>,
    info_hash: InfoHashV1,
    peer_id: PeerId,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        lock(&self.shared.doors).remove(&self.info_hash);
    }
}

/// A lock that is held for a few instructions and never across an await; a panic elsewhere does not spread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
