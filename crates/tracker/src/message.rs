//! What is said between client and tracker, whatever carries it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use types::{InfoHashV1, PeerId};

/// What an announce tells of, besides being there (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The first announce to this tracker.
    Started,
    /// The download has just finished; never sent when it was complete from the start.
    Completed,
    /// The last announce to this tracker.
    Stopped,
}

/// One announce: who we are, in which swarm, and how far (BEP 3, 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHashV1,
    /// Our name in its swarm.
    pub peer_id: PeerId,
    /// The TCP port that we listen on.
    pub port: u16,
    /// Payload bytes sent since `started`.
    pub uploaded: u64,
    /// Payload bytes received since `started`.
    pub downloaded: u64,
    /// Bytes that are still missing.
    pub left: u64,
    /// What happened, if anything.
    pub event: Option<Event>,
    /// How many peers we would like; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// By which the tracker knows us again when our address changes.
    pub key: u32,
    /// What this tracker called itself in an earlier answer (HTTP only).
    pub tracker_id: Option<Vec<u8>>,
    /// An IPv4 address of ours, for a tracker that is reached over IPv6 (BEP 7, HTTP only).
    pub ipv4: Option<Ipv4Addr>,
    /// An IPv6 address of ours, for a tracker that is reached over IPv4 (BEP 7, HTTP only).
    pub ipv6: Option<Ipv6Addr>,
}

/// What a tracker answers to an announce. Intervals are as the tracker gave them: [`crate::Schedule`] bounds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// The time to the next announce that the tracker wishes for.
    pub interval: Option<Duration>,
    /// The least time to the next announce that it allows.
    pub min_interval: Option<Duration>,
    /// The peers it knows, IPv4 and IPv6; at most [`crate::limits::MAX_PEERS`].
    pub peers: Vec<SocketAddr>,
    /// How many peers have everything.
    pub seeders: Option<u32>,
    /// How many do not.
    pub leechers: Option<u32>,
    /// Something that a person should read.
    pub warning: Option<String>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// The addresses under which the tracker sees us (BEP 24): one for each family that it was asked over, if it tells.
    pub external_ips: Vec<IpAddr>,
}

/// What a tracker tells about one torrent in a scrape (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// How many peers have everything (`complete`).
    pub seeders: u32,
    /// How many do not (`incomplete`).
    pub leechers: u32,
    /// How many downloads were ever finished (`downloaded`).
    pub completed: u32,
    /// How many are downloading just now, where the tracker tells it apart from `leechers`.
    pub downloaders: Option<u32>,
}

/// Why a tracker's answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tracker understood and said no.
    #[error("the tracker refuses: {reason}")]
    Failure {
        /// Its reason, made fit for one line.
        reason: String,
        /// When to ask again, if it said so (BEP 31).
        retry_in: Option<Duration>,
    },
    /// An empty body.
    #[error("the tracker's answer is empty")]
    Empty,
    /// The body is HTML.
    #[error("the tracker answers with a web page")]
    WebPage,
    /// The body is not bencode.
    #[error("the tracker's answer is not bencode ({0})")]
    NotBencode(bencode::Error),
    /// The body is bencode, but no dictionary.
    #[error("the tracker's answer is not a dictionary")]
    NotADictionary,
    /// The list of peers cannot be read.
    #[error("the tracker's list of peers is malformed ({0})")]
    Peers(&'static str),
    /// A scrape answer without `files`.
    #[error("the tracker's scrape answer lists no torrents")]
    NoFiles,
    /// No answer came over UDP, after all retransmissions.
    #[error("the tracker does not answer")]
    NoAnswer,
}

impl Error {
    /// How long the tracker itself asked us to stay away (BEP 31).
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Error::Failure { retry_in, .. } => *retry_in,
            _ => None,
        }
    }
}

/// Whether an address from outside can be a peer at all.
pub(crate) fn is_plausible_peer(peer: &SocketAddr) -> bool {
    let ip = peer.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    peer.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Reads `ip, port` entries of 6 bytes (BEP 23); a trailing part of an entry is left over.
pub(crate) fn compact_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.chunks_exact(6).map(|e| {
        let ip = Ipv4Addr::new(e[0], e[1], e[2], e[3]);
        SocketAddr::from((ip, u16::from_be_bytes([e[4], e[5]])))
    })
}

/// Reads `ip, port` entries of 18 bytes (BEP 7); a trailing part of an entry is left over.
pub(crate) fn compact_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.chunks_exact(18).map(|e| {
        let ip: [u8; 16] = core::array::from_fn(|i| e[i]);
        let ip = IpAddr::from(ip).to_canonical();
        SocketAddr::from((ip, u16::from_be_bytes([e[16], e[17]])))
    })
}
