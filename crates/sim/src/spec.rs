//! What a swarm is made of: its content, its peers, its network, what befalls it.

use serde::Deserialize;
use std::time::Duration;
use types::Lengths;

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
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// What it does.
    pub role: Role,
    /// What its line carries away from it, in bytes per second; messages count, headers of TCP and IP do not.
    pub up: u64,
    /// What its line carries to it, in bytes per second.
    pub down: u64,
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
}

impl Default for PeerSpec {
    fn default() -> PeerSpec {
        PeerSpec {
            role: Role::Leecher,
            up: 1_000_000,
            down: 4_000_000,
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
        }
    }
}

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
    /// Of a thousand pieces, how many are damaged on their way to the hash, though every block was good.
    pub damage_permille: u32,
}

impl Default for DiskSpec {
    fn default() -> DiskSpec {
        DiskSpec { delay: Duration::from_millis(2), read_failures_permille: 0, damage_permille: 0 }
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
struct File {
    name: Option<String>,
    size: u64,
    piece_length: u32,
    peers: Vec<FilePeer>,
}

#[derive(Debug, Deserialize)]
struct FilePeer {
    role: Role,
    up: u64,
    down: u64,
    latency_ms: f64,
    #[serde(default)]
    start_s: f64,
}
