//! What the owner of a swarm decides.

use crate::limits::MAX_REQUESTS;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use types::{InfoHashV1, PeerId};

/// Settings of one swarm; while it lives, [`Input::SetLimits`](crate::Input::SetLimits) changes its limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our own id in this swarm: a peer that greets with it is ourselves.
    pub peer_id: PeerId,
    /// The torrent's name in handshakes: which pieces a choked peer may have hangs on it (BEP 6).
    pub info_hash: InfoHashV1,
    /// The client name that the extension handshake tells (BEP 10, `v`); empty tells none.
    pub client: String,
    /// The TCP ports where we listen, over IPv4 and over IPv6, 0 where we do not: the extension handshake tells a peer the
    /// one of its family (BEP 10, `p`).
    pub listen_ports: [u16; 2],
    /// The UDP ports of our DHT node, over IPv4 and over IPv6, 0 where it is not: a peer with a node of its own is told the
    /// one of its family in a `port` message (BEP 5). Not to be told of a private torrent (BEP 27).
    pub dht_ports: [u16; 2],
    /// The most connections at once, both ways; one more is refused, or takes the place of one of lower priority (BEP 40).
    pub max_peers: usize,
    /// The most connection attempts under way at once.
    pub max_half_open: usize,
    /// See [`Limits::upload_slots`].
    pub upload_slots: usize,
    /// See [`Limits::down`].
    pub max_down: Option<u64>,
    /// The addresses under which others see us, if they are known; else what most peers say is taken. They decide which
    /// peers are dialed first and kept (BEP 40).
    pub external: Vec<IpAddr>,
    /// See [`Limits::up`].
    pub max_up: Option<u64>,
    /// How many requests of one peer are told to be queued (BEP 10, `reqq`).
    pub reqq: u32,
    /// How many are: see [`MAX_REQUESTS`](crate::limits::MAX_REQUESTS).
    pub max_requests: usize,
    /// The length of the metadata in bytes, if it is there and others may have it (BEP 9); the owner answers
    /// [`Output::ServeMetadata`](crate::Output::ServeMetadata) then. That of a private torrent (BEP 27) is kept.
    pub metadata_size: Option<u32>,
    /// Whether the torrent is private (BEP 27): addresses then come from its trackers, its user and peers that call, and
    /// nobody is told of any peer.
    pub private: bool,
    /// Whether peers are told of others, and heard about them (BEP 11), and brought together (BEP 55); never if the
    /// torrent is private.
    pub pex: bool,
    /// Whether to begin as a super seed (BEP 16), if every piece is there: pieces are shown to peers one by one, until
    /// each has been seen at another peer.
    pub super_seed: bool,
    /// Whether addresses are dialed at all; without, peers must come to us and [`NeedPeers`](crate::Output) is
    /// never said.
    pub dial: bool,
    /// Whether rare paths (early eviction, full queues, lost measurements) are taken often: for simulators.
    pub buggify: bool,
    /// A fault, to see whether it is found.
    #[cfg(feature = "planted")]
    pub planted: Option<crate::Planted>,
}

/// What a swarm may take of what it shares with others.
///
/// Rates are of all that goes over the line: every message, and an estimate of the headers of TCP and IPv4
/// ([`SEGMENT_HEADERS`](crate::limits::SEGMENT_HEADERS)). They hold in the long run; over shorter times a burst of
/// [`BURST_TIME`](crate::limits::BURST_TIME) may pass, and what was asked for may come late and all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes per second that are sent, 0 being taken as 1. Messages are not held back, blocks are.
    pub up: Option<u64>,
    /// The most bytes per second that come in, 0 being taken as 1: no more than that is asked for.
    pub down: Option<u64>,
    /// The most peers that are served at once, the optimistic one included; 0 is taken as 1. As many are as fill the
    /// line.
    pub upload_slots: usize,
    /// The most connections at once; those over it are closed, the least useful first.
    pub max_peers: usize,
}

impl Config {
    /// The limits among the settings.
    pub fn limits(&self) -> Limits {
        let Config { max_up, max_down, upload_slots, max_peers, .. } = *self;
        Limits { up: max_up, down: max_down, upload_slots, max_peers }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            peer_id: PeerId::ours([0; 12]),
            info_hash: InfoHashV1([0; 20]),
            client: String::new(),
            listen_ports: [0; 2],
            dht_ports: [0; 2],
            max_peers: 100,
            max_half_open: 20,
            upload_slots: 64,
            max_down: None,
            external: Vec::new(),
            max_up: None,
            reqq: 8192,
            max_requests: MAX_REQUESTS,
            metadata_size: None,
            private: false,
            pex: false,
            super_seed: false,
            dial: true,
            buggify: false,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }
}
