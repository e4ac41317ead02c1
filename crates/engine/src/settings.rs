//! What an engine is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The ports that are tried when none is asked for: BitTorrent's customary range.
pub(crate) const CUSTOMARY_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// Settings of an engine; they do not change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where peers may connect. Empty: every address, IPv4 and IPv6, on the first free port from 6881 to 6889, else
    /// on any free port. An address that is given must be free, or the engine does not start.
    pub listen: Vec<SocketAddr>,
    /// Where state is kept that lets an interrupted download go on; created when needed.
    pub state_dir: PathBuf,
    /// The most connections of all torrents together.
    pub max_peers: usize,
    /// The most bytes per second that are received, protocol included.
    pub max_down: Option<u64>,
    /// The most payload bytes per second that are sent.
    pub max_up: Option<u64>,
    /// Disk threads of each kind (writing, reading for upload, checking).
    pub disk_threads: usize,
    /// What peers and trackers are told that we are.
    pub client: String,
}

impl Settings {
    /// The defaults, with state under `state_dir`: 200 connections, no rate limits.
    pub fn new(state_dir: impl Into<PathBuf>) -> Settings {
        Settings {
            listen: Vec::new(),
            state_dir: state_dir.into(),
            max_peers: 200,
            max_down: None,
            max_up: None,
            disk_threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            client: concat!("rawtorrent ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
