//! What a swarm is made of: its content, its peers, its network, what befalls it.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;
use types::{Lengths, LengthsError};

/// The most bytes per second that a line carries.
pub const MAX_RATE: u64 = 1_000_000_000_000;
/// The most peers of a swarm.
pub const MAX_PEERS: usize = 110_000;

/// A swarm to be simulated. With a seed it is everything that a run depends on.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it is called.
    pub name: String,
    /// Size and pieces of the content.
    pub lengths: Lengths,
    /// Who takes part.
    pub peers: Vec<PeerSpec>,
    /// How many connections a peer has at most, and how many addresses the tracker tells it.
    pub neighbours: usize,
    /// What goes wrong, and when.
    pub faults: Vec<(Duration, Fault)>,
    /// Virtual time after which every peer that stays must have completed.
    pub deadline: Duration,
    /// What is checked on the way.
    pub checks: Checks,
    /// The brains' own rare paths are taken often.
    pub buggify: bool,
    /// A fault that every brain has, to see whether it is found.
    #[cfg(feature = "planted")]
    pub planted: Option<swarm::Planted>,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// What it does.
    pub role: Role,
    /// What its line carries away from it, in bytes of payload per second. That is what full segments bring; those that
    /// are not full, and acknowledgements of what is received, take their part of it.
    pub up: u64,
    /// What its line carries to it, in bytes of payload per second.
    pub down: u64,
    /// The most bytes per second that it asks for, by its own will.
    pub max_down: Option<u64>,
    /// How long its half of the way to another peer takes: a round trip is twice both halves.
    pub latency: Duration,
    /// When it starts.
    pub start: Duration,
    /// Nobody can dial it.
    pub nat: bool,
    /// It speaks BEP 6.
    pub fast: bool,
    /// Of a thousand blocks that it sends, how many are wrong.
    pub poison_permille: u32,
    /// Of a thousand packets that it sends, how many are lost on the way and sent again.
    pub loss_permille: u32,
    /// How much its clock is off: so many parts per million faster, from the start so much ahead.
    pub skew: Skew,
    /// What its disk is like.
    pub disk: DiskSpec,
    /// As a seed, it reveals its pieces one by one (BEP 16).
    pub super_seed: bool,
    /// It plays the content while it downloads, at so many bytes per second.
    pub playback: Option<u64>,
    /// How long it stays once it is complete; for good if not told.
    pub stays: Option<Duration>,
}

impl Default for PeerSpec {
    fn default() -> PeerSpec {
        PeerSpec {
            role: Role::Leecher,
            up: 1_000_000,
            down: 4_000_000,
            max_down: None,
            latency: Duration::from_millis(30),
            start: Duration::ZERO,
            nat: false,
            fast: true,
            poison_permille: 0,
            loss_permille: 0,
            skew: Skew::default(),
            disk: DiskSpec::default(),
            super_seed: false,
            playback: None,
            stays: None,
        }
    }
}

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It has everything from the start.
    Seed,
    /// It has nothing at first, and seeds once it has everything.
    #[serde(alias = "leech")]
    Leecher,
    /// It downloads and sends nothing.
    FreeRider,
}

/// How a clock is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skew {
    /// Ahead by this at the start.
    pub ahead: Duration,
    /// Faster by so many parts per million, at least -500,000.
    pub ppm: i64,
}

/// What a disk is like.
#[derive(Clone, Copy, Debug)]
pub struct DiskSpec {
    /// How long reading, hashing and writing take.
    pub delay: Duration,
    /// Of a thousand reads, how many fail.
    pub read_failures_permille: u32,
}

impl Default for DiskSpec {
    fn default() -> DiskSpec {
        DiskSpec { delay: Duration::from_millis(2), read_failures_permille: 0 }
    }
}

/// What goes wrong. Peers are named by their numbers in [`Spec::peers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer is gone; what it had and had not synced is lost; it comes back after this time, or never.
    Crash(usize, Option<Duration>),
    /// The peer goes away in good order, for this time or for good.
    Leave(usize, Option<Duration>),
    /// For this time nothing passes between the first so many peers and the others.
    Partition(usize, Duration),
    /// So many connections, chosen by chance, are cut.
    Cut(usize),
}

/// What is checked on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// The rules of the protocol, and a recount of everything after each step.
    Every,
    /// The rules of the protocol, and a recount after one step of so many.
    Sampled(u64),
}

/// A swarm as a file tells it: what the lab with real clients reads too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    size: u64,
    piece_length: u32,
    peers: Vec<FilePeer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePeer {
    role: Role,
    up: u64,
    down: u64,
    latency_ms: f64,
    #[serde(default)]
    start_s: f64,
}

/// Why a file is no swarm.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is not JSON, or has other fields.
    #[error("it is not a swarm: {0}")]
    Json(#[from] serde_json::Error),
    /// Its content cannot be.
    #[error("its content cannot be: {0}")]
    Lengths(#[from] LengthsError),
    /// Nobody has the content.
    #[error("it needs a peer whose role is \"seed\" and one whose role is \"leecher\"")]
    Roles,
    /// A time that is negative, or no time at all.
    #[error("latency_ms and start_s are from 0 to 86400000")]
    Time,
    /// A line that carries nothing, or more than any.
    #[error("up and down are from 1 to {MAX_RATE} bytes per second")]
    Rate,
    /// There are too many.
    #[error("it has {0} peers; there may be {MAX_PEERS}")]
    Peers(usize),
}

impl Spec {
    /// Reads a swarm from JSON: `{"size": BYTES, "piece_length": BYTES, "peers": [{"role": "seed" | "leecher" |
    /// "free-rider", "up": BYTES_PER_SEC, "down": BYTES_PER_SEC, "latency_ms": HALF_OF_ONE_WAY, "start_s": SECS}]}`.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_json(text: &str) -> Result<Spec, FileError> {
        let file: File = serde_json::from_str(text)?;
        let has = |role| file.peers.iter().any(|peer| peer.role == role);
        if !has(Role::Seed) || !has(Role::Leecher) {
            return Err(FileError::Roles);
        }
        if file.peers.len() > MAX_PEERS {
            return Err(FileError::Peers(file.peers.len()));
        }
        let peers = file.peers.iter().map(FilePeer::spec).collect::<Result<Vec<_>, _>>()?;
        Ok(Spec {
            name: file.name.filter(|name| !name.is_empty()).unwrap_or_else(|| "a file".into()),
            lengths: Lengths::new(file.size, file.piece_length)?,
            neighbours: peers.len(),
            peers,
            faults: Vec::new(),
            deadline: Duration::from_secs(24 * 3600),
            checks: Checks::Every,
            buggify: false,
            #[cfg(feature = "planted")]
            planted: None,
        })
    }
}

impl FilePeer {
    fn spec(&self) -> Result<PeerSpec, FileError> {
        let time = |millis: f64| match Duration::try_from_secs_f64(millis / 1000.0) {
            Ok(time) if time <= Duration::from_secs(86_400) => Ok(time),
            _ => Err(FileError::Time),
        };
        if ![self.up, self.down].iter().all(|rate| (1..=MAX_RATE).contains(rate)) {
            return Err(FileError::Rate);
        }
        Ok(PeerSpec {
            role: self.role,
            up: self.up,
            down: self.down,
            latency: time(self.latency_ms)?,
            start: time(self.start_s * 1000.0)?,
            ..PeerSpec::default()
        })
    }
}
