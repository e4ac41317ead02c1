//! The events.

use crate::{Said, form};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use types::{InfoHash, InfoHashV1, PeerId};
use wire::Reserved;

/// The version of the events' form. What is added leaves it; what changes or goes raises it.
pub const VERSION: u32 = 1;

/// What stands in place of a torrent where there is none.
pub const NO_TORRENT: InfoHash = InfoHash::V1(InfoHashV1([0; 20]));

/// Something that happened to one torrent, or to the DHT node that all share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`].
    pub v: u32,
    /// When, since the engine was started or the recording begins; written as seconds.
    #[serde(with = "form::seconds")]
    pub at: Duration,
    /// Which torrent; a hybrid is written as its v1 hash. [`NO_TORRENT`] of queries of the DHT that are for none.
    #[serde(with = "form::info_hash")]
    pub torrent: InfoHash,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From us to the peer.
    Out,
    /// From the peer to us.
    In,
}

/// The far end of a connection, or of an attempt at one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// The number of the connection, which no other one of the torrent gets; `None` while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Where it is; `None` where addresses are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addr: Option<SocketAddr>,
}

impl From<SocketAddr> for Peer {
    fn from(addr: SocketAddr) -> Peer {
        Peer { number: None, addr: Some(addr) }
    }
}

/// Its address; else its number; else `a peer`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.addr, self.number) {
            (Some(addr), _) => addr.fmt(f),
            (None, Some(number)) => write!(f, "peer {number}"),
            (None, None) => f.write_str("a peer"),
        }
    }
}

/// What a ban rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The piece that was wrong.
    pub piece: Option<u32>,
    /// The number of the block in it that was.
    pub block: Option<u32>,
}

/// Kinds of events, as filters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Connections tried, made and ended.
    Connection,
    /// Handshakes.
    Handshake,
    /// Messages.
    Message,
    /// Pieces verified, failed and lost.
    Piece,
    /// Announces and answers.
    Tracker,
    /// Looks into the DHT, and its queries.
    Dht,
    /// The metadata that a magnet link names.
    Metadata,
    /// Web seeds.
    WebSeed,
    /// Addresses that were told, and by whom.
    Peers,
    /// Waiting for the disk.
    Disk,
    /// Bans.
    Ban,
    /// Limits that were reached.
    Limit,
    /// The torrent as a whole: checked, finished, stopped.
    Torrent,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 13] = [
        Kind::Connection,
        Kind::Handshake,
        Kind::Message,
        Kind::Piece,
        Kind::Tracker,
        Kind::Dht,
        Kind::Metadata,
        Kind::WebSeed,
        Kind::Peers,
        Kind::Disk,
        Kind::Ban,
        Kind::Limit,
        Kind::Torrent,
    ];

    /// Its name, as filters have it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Connection => "connection",
            Kind::Handshake => "handshake",
            Kind::Message => "message",
            Kind::Piece => "pieces",
            Kind::Tracker => "tracker",
            Kind::Dht => "dht",
            Kind::Metadata => "metadata",
            Kind::WebSeed => "web-seed",
            Kind::Peers => "peers",
            Kind::Disk => "disk",
            Kind::Ban => "ban",
            Kind::Limit => "limit",
            Kind::Torrent => "torrent",
        }
    }

    /// A bit of its own.
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A recorded brain begins: only in replays.
    Began {
        /// How many pieces the torrent has; `None`: that is not known yet.
        pieces: Option<u32>,
        /// How many of them are here.
        have: u32,
    },
    /// What is on disk is being hashed.
    Checking {
        /// How many pieces.
        pieces: u32,
    },
    /// The metadata that a magnet link names has come and is right (BEP 9).
    MetadataFound {
        /// How long it is.
        bytes: usize,
    },
    /// A tracker is being asked.
    Announcing {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// `started`, `completed`, `stopped`, or `None` for a regular announce; written as `announce`.
        #[serde(rename = "announce")]
        event: Option<Cow<'static, str>>,
    },
    /// A tracker answered.
    Announced {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// How many peers it told.
        peers: usize,
        /// The addresses under which it sees us, if it tells (BEP 24).
        external: Vec<IpAddr>,
        /// A message to the user, if it sent one.
        warning: Option<String>,
    },
    /// A tracker could not be reached or refused.
    AnnounceFailed {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// Why.
        error: String,
    },
    /// A look into the DHT has ended (BEP 5).
    DhtSearched {
        /// How many different peers were found.
        peers: usize,
        /// How many nodes list us from here on, so that others find us.
        listed_at: usize,
    },
    /// A query of the DHT went out, for the torrent if it is for one, or came in (BEP 5).
    DhtAsked {
        /// The other node.
        peer: Peer,
        /// Which way it went.
        direction: Direction,
        /// `ping`, `find_node`, `get_peers`, `announce_peer`, `get`, `put`, `sample_infohashes` or `unknown`.
        query: Cow<'static, str>,
        /// The torrent or item that it is about, or near what nodes are asked for: 40 hex digits. Where addresses are masked
        /// only queries of ours that are for a torrent have it: nodes ask for what is near them, whatever the query, and
        /// their ids are made of their addresses (BEP 42).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// A query of the DHT was answered.
    DhtAnswered {
        /// The other node.
        peer: Peer,
        /// Which way the answer went.
        direction: Direction,
        /// What was asked, as in `DhtAsked`.
        query: Cow<'static, str>,
        /// How many nodes are in the answer.
        nodes: usize,
        /// How many peers are.
        peers: usize,
        /// How long after the query, of ours.
        #[serde(default, with = "form::maybe_seconds", skip_serializing_if = "Option::is_none")]
        took: Option<Duration>,
    },
    /// A query of the DHT was refused, or not answered in time.
    DhtFailed {
        /// The other node.
        peer: Peer,
        /// Which way the answer went, or was to go.
        direction: Direction,
        /// What was asked, as in `DhtAsked`.
        query: Cow<'static, str>,
        /// Why.
        error: String,
        /// How long after the query, of ours.
        #[serde(default, with = "form::maybe_seconds", skip_serializing_if = "Option::is_none")]
        took: Option<Duration>,
    },
    /// A web seed (BEP 19) is asked from now on.
    WebSeedOpened {
        /// Scheme, host and port of its URL.
        web_seed: String,
    },
    /// Something is wrong with a web seed.
    WebSeedFailed {
        /// Scheme, host and port of its URL.
        web_seed: String,
        /// What.
        error: String,
        /// When it is asked again; `None`: never.
        again: Option<Duration>,
    },
    /// Addresses of peers were told, known ones among them.
    PeersFound {
        /// Who told: `tracker`, `dht`, `pex`, `lsd`, `user`, `earlier`, `link`.
        source: Cow<'static, str>,
        /// How many.
        peers: usize,
    },
    /// More addresses would be useful.
    PeersWanted,
    /// A peer told of others that were not known (BEP 11).
    PeersExchanged {
        /// Who told.
        from: Peer,
        /// How many.
        peers: usize,
    },
    /// A peer on the local network has announced itself (BEP 14); it does so again every few minutes.
    LocalPeer {
        /// Where it listens.
        peer: Peer,
    },
    /// A connection attempt begins.
    Dialing {
        /// Where to.
        peer: Peer,
    },
    /// A connection attempt came to nothing.
    DialFailed {
        /// Where to.
        peer: Peer,
        /// Why.
        error: String,
    },
    /// A connection is open since before anybody listened; what its handshakes said. Told once to each who listens.
    Present {
        /// The far end.
        peer: Peer,
        /// Whether we dialed.
        outgoing: bool,
        /// The torrent in both handshakes.
        #[serde(with = "form::info_hash_v1")]
        info_hash: types::InfoHashV1,
        /// The id in ours.
        #[serde(with = "form::peer_id")]
        our_id: PeerId,
        /// The reserved bytes of ours (BEP 4).
        #[serde(with = "form::reserved")]
        our_reserved: Reserved,
        /// The id in the peer's.
        #[serde(with = "form::peer_id")]
        peer_id: PeerId,
        /// The client, as far as it tells.
        client: Option<String>,
        /// The reserved bytes of the peer's.
        #[serde(with = "form::reserved")]
        reserved: Reserved,
        /// What they say, by name.
        extensions: String,
    },
    /// A connection is open: its handshakes follow.
    Connected {
        /// The far end.
        peer: Peer,
        /// Whether we dialed.
        outgoing: bool,
    },
    /// One of the two handshakes of a connection (BEP 3).
    Handshake {
        /// The far end.
        peer: Peer,
        /// Whose handshake it is.
        direction: Direction,
        /// The torrent in it.
        #[serde(with = "form::info_hash_v1")]
        info_hash: types::InfoHashV1,
        /// The id in it.
        #[serde(with = "form::peer_id")]
        peer_id: PeerId,
        /// The client, if the id tells.
        client: Option<String>,
        /// Its reserved bytes (BEP 4).
        #[serde(with = "form::reserved")]
        reserved: Reserved,
        /// What they say, by name.
        extensions: String,
    },
    /// A message, payload left out.
    Message {
        /// The far end.
        peer: Peer,
        /// Which way it went.
        direction: Direction,
        /// What it says.
        #[serde(flatten)]
        said: Said,
        /// Why we chose so, of our own chokes and interests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Cow<'static, str>>,
        /// How long after the request for it, of blocks and refusals that came.
        #[serde(default, with = "form::maybe_seconds", skip_serializing_if = "Option::is_none")]
        took: Option<Duration>,
    },
    /// A block that nobody asked for, or asked for any more, came and was dropped.
    Unrequested {
        /// From whom.
        peer: Peer,
        /// The piece that it is of, by the peer's own word; `None` where that was not told yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        piece: Option<u32>,
        /// Where in the piece it starts, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u32>,
        /// Payload bytes.
        bytes: u32,
        /// It was asked for, and is not any more: it crossed what said so.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        cancelled: bool,
    },
    /// A connection ended.
    Disconnected {
        /// The far end.
        peer: Peer,
        /// Why.
        reason: String,
    },
    /// A piece is complete and its hash is right.
    PieceVerified {
        /// Which.
        piece: u32,
        /// Who sent blocks of it, as far as that is known.
        #[serde(default)]
        from: Vec<Peer>,
    },
    /// A piece is complete and its hash is wrong; it will be fetched again.
    PieceFailed {
        /// Which.
        piece: u32,
        /// Who sent blocks of it, as far as that is known.
        #[serde(default)]
        from: Vec<Peer>,
    },
    /// A piece was good, and is bad now or cannot be read any more; it will be fetched again if anything may be written.
    PieceLost {
        /// Which.
        piece: u32,
    },
    /// A block waited long to be taken by the disk.
    DiskWaited {
        /// Who sent it; nothing more is read of that peer meanwhile.
        peer: Peer,
        /// How long.
        #[serde(with = "form::seconds")]
        took: Duration,
    },
    /// There is no room on the disk.
    DiskFull,
    /// A limit was reached.
    LimitReached {
        /// Which. One that holds the torrent back, when it begins to: `download rate`, `upload rate`, `upload slots` (peers wait
        /// for one), `connections`. By one peer: `requests`, of which no more are read for a while; `connections`, `callers`
        /// and `message memory`, for which it is hung up on.
        limit: Cow<'static, str>,
        /// By whom, if by one peer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<Peer>,
    },
    /// A peer is not dealt with any more.
    Banned {
        /// Its address, and the number of its connection if it has one, or had one until now.
        peer: Peer,
        /// Why.
        reason: String,
        /// What that rests on.
        #[serde(default)]
        evidence: Evidence,
    },
    /// Every wanted piece is good; what follows is that they are made durable.
    Complete,
    /// All wanted bytes are verified and durable.
    Finished,
    /// No connections until further notice.
    Paused,
    /// Connections are made again.
    Resumed,
    /// The torrent has ended; nothing follows.
    Stopped {
        /// What went wrong, if anything did.
        error: Option<String>,
    },
}

impl EventKind {
    /// What kind of event it is.
    pub fn kind(&self) -> Kind {
        match self {
            EventKind::Dialing { .. }
            | EventKind::DialFailed { .. }
            | EventKind::Present { .. }
            | EventKind::Connected { .. }
            | EventKind::Disconnected { .. } => Kind::Connection,
            EventKind::Handshake { .. } => Kind::Handshake,
            EventKind::Message { .. } | EventKind::Unrequested { .. } => Kind::Message,
            EventKind::PieceVerified { .. } | EventKind::PieceFailed { .. } | EventKind::PieceLost { .. } => {
                Kind::Piece
            }
            EventKind::Announcing { .. } | EventKind::Announced { .. } | EventKind::AnnounceFailed { .. } => {
                Kind::Tracker
            }
            EventKind::DhtSearched { .. }
            | EventKind::DhtAsked { .. }
            | EventKind::DhtAnswered { .. }
            | EventKind::DhtFailed { .. } => Kind::Dht,
            EventKind::MetadataFound { .. } => Kind::Metadata,
            EventKind::WebSeedOpened { .. } | EventKind::WebSeedFailed { .. } => Kind::WebSeed,
            EventKind::PeersFound { .. }
            | EventKind::PeersWanted
            | EventKind::PeersExchanged { .. }
            | EventKind::LocalPeer { .. } => Kind::Peers,
            EventKind::DiskWaited { .. } | EventKind::DiskFull => Kind::Disk,
            EventKind::Banned { .. } => Kind::Ban,
            EventKind::LimitReached { .. } => Kind::Limit,
            EventKind::Began { .. }
            | EventKind::Checking { .. }
            | EventKind::Complete
            | EventKind::Finished
            | EventKind::Paused
            | EventKind::Resumed
            | EventKind::Stopped { .. } => Kind::Torrent,
        }
    }

    /// The far end, if it is about one.
    pub fn peer(&self) -> Option<Peer> {
        match self {
            EventKind::PeersExchanged { from: peer, .. }
            | EventKind::DhtAsked { peer, .. }
            | EventKind::DhtAnswered { peer, .. }
            | EventKind::DhtFailed { peer, .. }
            | EventKind::LocalPeer { peer }
            | EventKind::Dialing { peer }
            | EventKind::DialFailed { peer, .. }
            | EventKind::Present { peer, .. }
            | EventKind::Connected { peer, .. }
            | EventKind::Handshake { peer, .. }
            | EventKind::Message { peer, .. }
            | EventKind::Unrequested { peer, .. }
            | EventKind::Disconnected { peer, .. }
            | EventKind::DiskWaited { peer, .. }
            | EventKind::Banned { peer, .. } => Some(*peer),
            EventKind::LimitReached { peer, .. } => *peer,
            _ => None,
        }
    }

    /// Which way it went, if something was sent.
    pub fn direction(&self) -> Option<Direction> {
        match self {
            EventKind::Handshake { direction, .. }
            | EventKind::Message { direction, .. }
            | EventKind::DhtAsked { direction, .. }
            | EventKind::DhtAnswered { direction, .. }
            | EventKind::DhtFailed { direction, .. } => Some(*direction),
            EventKind::Unrequested { .. } => Some(Direction::In),
            _ => None,
        }
    }

    /// Bytes on the heap that are worth counting.
    pub fn weight(&self) -> usize {
        match self {
            EventKind::Message { said, .. } => said.weight(),
            _ => 0,
        }
    }
}
