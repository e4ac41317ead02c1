//! The BitTorrent engine: sessions and torrents over real sockets and disks, for programs to embed.
//!
//! An [`Engine`] owns its threads; its async methods work on any executor. A [`Torrent`] is a handle on one download
//! or seed: look at it ([`Torrent::stats`]), wait for it ([`Torrent::wait_finished`]), stop it ([`Torrent::stop`]).
//! [`Engine::events`] and [`Engine::listen`] tell what is said and done, message by message: see [`events`].
//!
//! ```no_run
//! use engine::{AddTorrent, Engine, Metainfo, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::start(Settings::new("/var/lib/example"))?;
//! let metainfo = Metainfo::parse(&std::fs::read("debian.torrent")?)?;
//! let torrent = engine.add(AddTorrent::new(metainfo, "/srv/downloads")).await?;
//! let finished = torrent.wait_finished().await?;
//! println!("{} bytes, verified and durable, are in {}", finished.bytes, finished.path.display());
//! engine.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Inside, one task drives one torrent: it feeds the sans-IO brain (`swarm`) with what connections, disk and trackers
//! report, and does what the brain says. A brain above them (`session`) decides which torrents run and what each may
//! take. No rule of the protocol is decided here.
#![forbid(unsafe_code)]

mod add;
mod announcer;
mod bans;
pub mod create;
mod descriptors;
mod dht;
mod dials;
pub mod doctor;
mod driver;
mod error;
pub mod events;
pub mod export;
#[doc(hidden)]
pub mod fuzzed;
pub mod import;
mod inbox;
mod kept;
mod listen;
mod lsd;
mod magnet;
mod mailbox;
mod meet;
mod memory;
mod places;
mod post;
mod presence;
mod reading;
mod resume;
mod saved;
mod scrub;
mod session;
mod settings;
mod shared;
mod spool;
mod stats;
mod steward;
mod tape;
pub mod threads;
mod torrent;
mod tracker_server;
mod turns;
pub mod verify;
mod watched;
mod why;

pub use add::{AddTorrent, SeedGoal};
pub use error::{Error, TorrentError};
pub use events::{Event, EventKind, Events};
pub use kept::{
    AlternativeLimits, Choices, Given, GoalAction, Kept, Listed, LocalTime, OnTheWay, QueueMove, QueuePlace,
    Seen, Session, SessionSettings, Stayed, WatchFolder, WatchedFolder, hand_over,
};
pub use magnet::{AddMagnet, Fetch, FetchStats, Fetched};
pub use metainfo::{self, Magnet, Metainfo};
pub use post::HttpPost;
pub use reading::{PeerStats, PieceMap, Reader};
pub use session::Engine;
pub use settings::{DhtSettings, Settings};
pub use stats::{Finished, TorrentState, TorrentStats, TrackerState, TrackerStats};
pub use storage::{Allocate, START_AGAIN};
pub use swarm::Priority;
pub use tape::Tape;
pub use torrent::{Ends, Torrent};
pub use tracker_server::TrackerServer;
pub use types::{InfoHash, PeerId};
pub use why::{Cause, Finding};
