//! What is observed.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use swarm::{Limits, PeerView, Stats, Swarm};
use types::Time;

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// Wanted pieces are missing and are being asked for.
    #[default]
    Downloading,
    /// The metadata that a magnet link names is being asked for.
    FetchingMetadata,
    /// It rests until it is resumed.
    Paused,
    /// It waits for its turn.
    Queued,
    /// What is on disk is being hashed.
    Checking,
    /// Its files are on their way to another folder.
    Moving,
    /// Nothing that is wanted is missing.
    Complete,
    /// The same, and its files cannot go where they belong.
    Unsettled,
    /// It has ended as it should.
    Stopped,
    /// The disk is full.
    DiskFull,
    /// Its disk is not mounted, or its files are gone.
    Unavailable,
    /// It has ended because of an error.
    Failed,
}

/// What is observed of one torrent: a swarm tells one part ([`Facts::see`]), its driver the rest. What is not known is as in
/// [`Facts::default`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What it is doing.
    pub doing: Doing,
    /// What keeps it from going on, in words.
    pub trouble: Option<String>,
    /// For how long it has been here.
    pub age: Duration,
    /// Wanted pieces that are not there.
    pub missing: u32,
    /// How many of them nobody has who is connected.
    pub unseen: u32,
    /// How many of them have all their blocks and wait for their hash.
    pub unhashed: u32,
    /// Payload bytes per second, of late.
    pub rate_down: u64,
    /// The most bytes per second that may come.
    pub max_down: Option<u64>,
    /// More would be asked for at once if that limit allowed.
    pub held_down: bool,
    /// Addresses of peers that are known.
    pub known: usize,
    /// Connections that are being tried.
    pub connecting: usize,
    /// Connections.
    pub connected: usize,
    /// Each of them.
    pub peers: Vec<PeerFacts>,
    /// Connections that are not read on because the disk has not taken what they brought.
    pub waiting_for_disk: usize,
    /// Whether any peer has connected to us.
    pub called: bool,
    /// The trackers that were asked.
    pub trackers: Vec<TrackerFacts>,
}

/// What is observed of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// Where it is.
    pub ip: IpAddr,
    /// It has something that we want.
    pub interesting: bool,
    /// It does not answer our requests.
    pub choking: bool,
    /// It let our requests wait for too long.
    pub snubbed: bool,
    /// Our requests that it has not answered.
    pub requests: usize,
    /// Payload bytes per second from it, of late.
    pub rate: u64,
}

/// What is observed of one tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerFacts {
    /// Its URL, without what is private in it.
    pub name: String,
    /// What the last announce to it came to, if that failed.
    pub error: Option<String>,
}

impl Facts {
    /// Takes in what a swarm tells; looks at every piece and every connection.
    pub fn see(&mut self, swarm: &Swarm, limits: Limits, now: Time) {
        let (supply, stats) = (swarm.supply(), swarm.stats(now));
        let Stats { finished, rate_down, held_down, known, connecting, peers, .. } = stats;
        if finished && self.doing == Doing::Downloading {
            self.doing = Doing::Complete;
        }
        (self.missing, self.unseen, self.unhashed) = (supply.missing, supply.unseen, supply.unhashed);
        (self.rate_down, self.max_down, self.held_down) = (rate_down, limits.down, held_down);
        (self.known, self.connecting, self.connected) = (known, connecting, peers);
        self.peers = swarm.peers(now).map(|peer| PeerFacts::of(&peer)).collect();
        self.called |= swarm.peers(now).any(|peer| !peer.outgoing);
    }
}

impl PeerFacts {
    fn of(peer: &PeerView<'_>) -> PeerFacts {
        PeerFacts {
            ip: peer.addr.ip(),
            interesting: peer.am_interested,
            choking: peer.peer_choking,
            snubbed: peer.snubbed,
            requests: peer.requests_out,
            rate: peer.rate_down,
        }
    }

    /// Whether it is expected to answer, and has something to answer.
    pub(super) fn serves(&self) -> bool {
        self.interesting && !self.choking && !self.snubbed && self.requests > 0
    }
}

impl Default for PeerFacts {
    /// One that sends.
    fn default() -> PeerFacts {
        let ip = Ipv4Addr::UNSPECIFIED.into();
        PeerFacts { ip, interesting: true, choking: false, snubbed: false, requests: 1, rate: 1 }
    }
}
