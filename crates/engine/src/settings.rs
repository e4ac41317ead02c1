//! What an engine is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The ports that are tried when none is asked for: BitTorrent's customary range.
pub(crate) const CUSTOMARY_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// How an engine takes part in the DHT. Its node knows again whom it knew in the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhtSettings {
    /// Nodes to begin with while hardly any other is known, `host:port` each. Empty: those that peers and torrents name.
    pub bootstrap: Vec<String>,
    /// Whether it asks and answers nobody (BEP 43), as one does whom others cannot reach.
    pub read_only: bool,
    /// Whether nodes whose ids do not fit their addresses (BEP 42) are kept out of tables and lookups.
    pub enforce_ids: bool,
}

/// Settings of an engine; they do not change while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where peers may connect. Empty: every address, IPv4 and IPv6, on the first free port from 6881 to 6889, else
    /// on any free port. An address that is given must be free, or the engine does not start.
    pub listen: Vec<SocketAddr>,
    /// Where state is kept that lets an interrupted download go on; created when needed.
    pub state_dir: PathBuf,
    /// The most connections of all torrents together. Those that run get as many as they use, and each one at least.
    pub max_peers: usize,
    /// The most memory in bytes for messages that peers do not read or have not said to their end, all together. At the limit,
    /// peers that have more than their share of it are given up. Blocks are not counted.
    pub message_memory: usize,
    /// The most bytes per second that all torrents together receive from peers: payload, messages, and an estimate of the
    /// headers of TCP and IP. They share it fairly; what one does not use the others get.
    pub max_down: Option<u64>,
    /// The most bytes per second that all torrents together send to peers, counted and shared likewise.
    pub max_up: Option<u64>,
    /// How many peers all torrents together serve at a time, at least one each. `None`: as many as fill the
    /// line, up to 64 for each torrent.
    pub upload_slots: Option<usize>,
    /// The most downloads that run at once; further ones wait for their turn in the order in which they were added. One
    /// that receives next to nothing for two minutes goes to the end if another waits. 0 is taken as 1, here and below.
    pub max_active_downloads: Option<usize>,
    /// The most torrents that seed at once; further ones take turns.
    pub max_active_seeds: Option<usize>,
    /// The most torrents that run at once; downloads come first.
    pub max_active: Option<usize>,
    /// The DHT (BEP 5), where peers of public torrents are found without trackers; `None`: no node is started.
    pub dht: Option<DhtSettings>,
    /// Whether web seeds, and nodes of the DHT that torrents name, may be in private networks or on this machine, and trackers
    /// there be asked under any path. A torrent's maker chooses where they are, and may mean to reach what only this machine
    /// can. Without it, trackers there are asked only under a path that ends in `/announce`, those of magnet links under that
    /// alone, and nodes only if a bootstrap node is there too. Addresses of metadata services and link-local ones are never
    /// asked, nor is a private address to which a public one redirects.
    pub allow_private: bool,
    /// Whether trackers are asked at all, whatever is wanted of a torrent.
    pub trackers: bool,
    /// Whether web seeds are asked at all, likewise.
    pub web_seeds: bool,
    /// Peers that every torrent of a [`Session`](crate::Session) is told of whenever it begins, beside its own.
    pub peers: Vec<SocketAddr>,
    /// Whether peers tell us of others, and we them (BEP 11), and are brought together by us (BEP 55). Nothing of the kind
    /// happens in private torrents (BEP 27).
    pub pex: bool,
    /// Local service discovery (BEP 14), by which peers of public torrents find each other on a local network, if it can
    /// be had there.
    pub lsd: bool,
    /// How many bytes per second of all torrents together are read again and hashed, so that what a disk forgot is found and
    /// fetched anew, or no longer offered. `None`: nothing is read that nobody asks for.
    pub scrub: Option<u64>,
    /// Disk threads of each kind (writing to one device, reading for upload, checking).
    pub disk_threads: usize,
    /// What peers and trackers are told that we are.
    pub client: String,
}

impl Settings {
    /// The defaults, with state under `state_dir`: 200 connections, no other limits, no DHT.
    pub fn new(state_dir: impl Into<PathBuf>) -> Settings {
        Settings {
            listen: Vec::new(),
            state_dir: state_dir.into(),
            max_peers: 200,
            message_memory: net::conn::MESSAGE_BUDGET,
            max_down: None,
            max_up: None,
            upload_slots: None,
            max_active_downloads: None,
            max_active_seeds: None,
            max_active: None,
            dht: None,
            allow_private: false,
            trackers: true,
            web_seeds: true,
            peers: Vec::new(),
            pex: true,
            lsd: true,
            scrub: None,
            disk_threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            client: concat!("rawtorrent ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
