//! What a torrent is added with.

use crate::magnet::Slot;
use crate::steward::LAST;
use crate::tape::Tape;
use metainfo::{File, Metainfo};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::Allocate;
use store::Store;
use swarm::Priority;

/// A torrent to be added to an [`Engine`](crate::Engine), and what is to be done with it.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) dir: PathBuf,
    /// One for each file; all are alike if there is none.
    pub(crate) priorities: Vec<Priority>,
    /// Paths that take the place of the torrent's own, by file.
    pub(crate) names: BTreeMap<usize, String>,
    /// Its place in the queue: the less, the sooner.
    pub(crate) rank: u64,
    pub(crate) sequential: bool,
    pub(crate) peers: Vec<SocketAddr>,
    /// Those of the magnet link.
    pub(crate) peers_of_link: Vec<SocketAddr>,
    /// Those of its names that are still to be looked up.
    pub(crate) names_of_link: Vec<(String, u16)>,
    pub(crate) trackers: bool,
    /// Those that take the place of the torrent's own; the user's choice.
    pub(crate) tiers: Option<Vec<Vec<String>>>,
    /// A link named the trackers.
    pub(crate) by_link: bool,
    pub(crate) web_seeds: bool,
    pub(crate) allocate: Allocate,
    pub(crate) overwrite: bool,
    pub(crate) seed_only: bool,
    pub(crate) super_seed: bool,
    pub(crate) stop_when_finished: bool,
    pub(crate) seed_goal: SeedGoal,
    pub(crate) max_down: Option<u64>,
    pub(crate) max_up: Option<u64>,
    pub(crate) tape: Option<Tape>,
    /// Where its progress is kept, if not in files of its own; then it waits for better times as well, where others fail.
    pub(crate) kept_in: Option<Arc<Store>>,
    /// Connections that were made while only the info-hash was known.
    pub(crate) handover: Slot,
}

/// When seeding is enough: as soon as one of them is reached. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SeedGoal {
    /// Uploaded bytes over the torrent's wanted bytes.
    pub ratio: Option<f64>,
    /// Time since the torrent became complete (or, if it was complete already, since it was added).
    pub time: Option<Duration>,
    /// Time since something was uploaded last, or since the torrent became complete.
    pub idle: Option<Duration>,
}

impl SeedGoal {
    /// Whether so many bytes of so many that are wanted are enough, if there is a ratio.
    pub(crate) fn is_met_by(&self, uploaded: u64, wanted: u64) -> bool {
        #[allow(clippy::cast_precision_loss)] // a ratio needs no more than 53 bits
        let is_enough = |ratio| uploaded as f64 >= ratio * wanted as f64;
        self.ratio.is_some_and(is_enough)
    }
}

impl AddTorrent {
    /// Downloads all files of `metainfo` into `dir`, the folder that holds (or will hold) the torrent's file or
    /// folder, asking its trackers for peers, and seeds them until it is stopped.
    pub fn new(metainfo: impl Into<Arc<Metainfo>>, dir: impl Into<PathBuf>) -> AddTorrent {
        AddTorrent {
            metainfo: metainfo.into(),
            dir: dir.into(),
            priorities: Vec::new(),
            names: BTreeMap::new(),
            rank: LAST,
            sequential: false,
            peers: Vec::new(),
            peers_of_link: Vec::new(),
            names_of_link: Vec::new(),
            trackers: true,
            tiers: None,
            by_link: false,
            web_seeds: true,
            allocate: Allocate::Sparse,
            overwrite: false,
            seed_only: false,
            super_seed: false,
            stop_when_finished: false,
            seed_goal: SeedGoal::default(),
            max_down: None,
            max_up: None,
            tape: None,
            kept_in: None,
            handover: Slot::default(),
        }
    }

    /// The files that are to be downloaded; pad files and links are none.
    pub(crate) fn wanted_files(&self) -> impl Iterator<Item = &File> {
        let wanted = |index: usize| match self.priorities.get(index) {
            Some(&priority) => priority > Priority::Skip,
            None => self.priorities.is_empty(),
        };
        let files = self.metainfo.files().iter().enumerate();
        files.filter(move |(index, file)| file.is_regular() && wanted(*index)).map(|(_, file)| file)
    }

    /// For each file whether it is to be downloaded; all are if there is none.
    pub(crate) fn wanted(&self) -> Vec<bool> {
        self.priorities.iter().map(|&priority| priority > Priority::Skip).collect()
    }

    /// How much each piece is wanted; `None` if all are wanted alike.
    pub(crate) fn piece_priorities(&self) -> Option<Vec<Priority>> {
        let given = !self.priorities.is_empty();
        given.then(|| self.metainfo.greatest_per_piece(&self.priorities, Priority::Skip))
    }

    /// Downloads only the files (by their index in the torrent) that are `true`; files beyond the end are not. The last
    /// call of this and [`priorities`](Self::priorities) counts.
    #[must_use]
    pub fn files(self, wanted: Vec<bool>) -> AddTorrent {
        let priority = |wanted| if wanted { Priority::Normal } else { Priority::Skip };
        self.priorities(wanted.into_iter().map(priority).collect())
    }

    /// How much each file (by its index in the torrent) is wanted; files beyond the end are not, all are alike if
    /// there is none. A piece that two files share is wanted as much as the more important one.
    #[must_use]
    pub fn priorities(mut self, priorities: Vec<Priority>) -> AddTorrent {
        self.priorities = priorities;
        self
    }

    /// Whether pieces of the same priority are fetched from the first to the last, as who looks at a file while it
    /// comes wants them, instead of the rarest first, which is faster and better for the swarm.
    #[must_use]
    pub fn sequential(mut self, sequential: bool) -> AddTorrent {
        self.sequential = sequential;
        self
    }

    /// Peers to connect to beside those that trackers tell.
    #[must_use]
    pub fn peers(mut self, peers: Vec<SocketAddr>) -> AddTorrent {
        self.peers = peers;
        self
    }

    /// Whether the torrent's trackers are asked for peers.
    #[must_use]
    pub fn trackers(mut self, trackers: bool) -> AddTorrent {
        self.trackers = trackers;
        self
    }

    /// Whether the torrent's web seeds (BEP 19) are asked for what is missing.
    #[must_use]
    pub fn web_seeds(mut self, web_seeds: bool) -> AddTorrent {
        self.web_seeds = web_seeds;
        self
    }

    /// Whether files get all their room on disk before the first byte.
    #[must_use]
    pub fn allocate(mut self, allocate: Allocate) -> AddTorrent {
        self.allocate = allocate;
        self
    }

    /// Whether files that stand where the torrent's go, and hold no valid piece of it, may be overwritten.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> AddTorrent {
        self.overwrite = overwrite;
        self
    }

    /// Only seeds: checks every piece that is there, downloads nothing, writes nothing, keeps no state.
    #[must_use]
    pub fn seed_only(mut self, seed_only: bool) -> AddTorrent {
        self.seed_only = seed_only;
        self
    }

    /// Super seeds (BEP 16) if every piece is there when it starts: each piece is shown to one peer first, until all have
    /// been seen at other peers. For the only seed of a new torrent, with a slow line.
    #[must_use]
    pub fn super_seed(mut self, super_seed: bool) -> AddTorrent {
        self.super_seed = super_seed;
        self
    }

    /// Stops by itself as soon as all wanted bytes are verified and durable.
    #[must_use]
    pub fn stop_when_finished(mut self, stop: bool) -> AddTorrent {
        self.stop_when_finished = stop;
        self
    }

    /// Stops by itself once enough was seeded.
    #[must_use]
    pub fn seed_goal(mut self, goal: SeedGoal) -> AddTorrent {
        self.seed_goal = goal;
        self
    }

    /// Records what the torrent's brain is told, so that it can be told again: see the crate `record`.
    #[must_use]
    pub fn record(mut self, tape: Option<Tape>) -> AddTorrent {
        self.tape = tape;
        self
    }

    /// Limits of its own, in bytes per second and counted as [`Settings::max_down`](crate::Settings::max_down) does,
    /// within those that all torrents share.
    #[must_use]
    pub fn max_rates(mut self, down: Option<u64>, up: Option<u64>) -> AddTorrent {
        (self.max_down, self.max_up) = (down, up);
        self
    }
}
