//! What came of a run.

use crate::spec::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swarm::Stats;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Peer by peer, in the order of the spec.
    pub peers: Vec<PeerOutcome>,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// How many events happened.
    pub events: u64,
    /// Of everything that every brain said, and when.
    pub digest: u64,
    /// Payload bytes that the seeds had sent when every piece was out, if that came about.
    pub sent_when_out: Option<u64>,
}

/// What came of a peer.
#[derive(Clone, Debug)]
pub struct PeerOutcome {
    /// What it was there for.
    pub role: Role,
    /// How long after its start it was complete.
    pub finished: Option<Duration>,
    /// Bytes that it had verified when half of the peers that give were complete.
    pub done_at_half: u64,
    /// Payload bytes that its line carried away.
    pub sent: u64,
    /// Payload bytes that its brain counted as downloaded.
    pub downloaded: u64,
    /// Payload bytes that its brain counted as uploaded.
    pub uploaded: u64,
    /// Payload bytes that came in vain.
    pub wasted: u64,
    /// Peers that lied and were banned.
    pub banned_liars: u32,
    /// Peers that were honest and were banned.
    pub banned_honest: u32,
    /// Pieces that came and were not what they should be.
    pub failed_pieces: u32,
    /// By the number of a liar: how many pieces it spoiled, and whether it was banned.
    pub liars: BTreeMap<u32, (u32, bool)>,
    /// How its film went, if it plays one.
    pub playback: Option<Playback>,
}

/// How a film went that was to begin three pieces' time after its player started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Playback {
    /// How long the picture stood still, or was not there when it was to begin.
    pub stalled: Duration,
}

impl PeerOutcome {
    pub(crate) fn new(role: Role) -> PeerOutcome {
        PeerOutcome {
            role,
            finished: None,
            done_at_half: 0,
            sent: 0,
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            banned_liars: 0,
            banned_honest: 0,
            failed_pieces: 0,
            liars: BTreeMap::new(),
            playback: None,
        }
    }

    /// These spoiled one piece.
    pub(crate) fn spoil(&mut self, spoilers: &BTreeSet<u32>) {
        self.failed_pieces += 1;
        spoilers.iter().for_each(|&liar| self.liars.entry(liar).or_default().0 += 1);
    }

    /// A liar was banned.
    pub(crate) fn punish(&mut self, liar: u32) {
        self.liars.entry(liar).or_default().1 = true;
    }

    /// What a brain counted in its life.
    pub(crate) fn add(&mut self, stats: &Stats) {
        self.downloaded += stats.downloaded;
        self.uploaded += stats.uploaded;
        self.wasted += stats.wasted;
    }
}
