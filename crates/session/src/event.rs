//! What a session is told and what it wants done.

use swarm::Limits;

/// One torrent. The driver chooses the number and never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorrentId(pub u64);

/// What all torrents share. `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes per second that are sent, counted as [`swarm::Limits`] does.
    pub max_up: Option<u64>,
    /// The most bytes per second that come in, counted likewise.
    pub max_down: Option<u64>,
    /// The most connections.
    pub max_peers: usize,
    /// How many peers are served at once. `None`: as many as fill each torrent's part of the line, two at
    /// least and 64 at most.
    pub upload_slots: Option<usize>,
    /// The most downloads that run at once; 0 is taken as 1, here and below.
    pub max_active_downloads: Option<usize>,
    /// The most seeds that run at once.
    pub max_active_seeds: Option<usize>,
    /// The most torrents that run at once; downloads come first.
    pub max_active: Option<usize>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_up: None,
            max_down: None,
            max_peers: 200,
            upload_slots: None,
            max_active_downloads: None,
            max_active_seeds: None,
            max_active: None,
        }
    }
}

/// What a torrent is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// It misses something.
    Download,
    /// It has all it wants.
    Seed,
}

/// A torrent as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torrent {
    /// What it is at.
    pub wants: Wants,
    /// Not to run, and not in anybody's way.
    pub paused: bool,
    /// How large a share it gets of what is contended: twice the weight, twice the share. 0 is taken as 1.
    pub weight: u32,
    /// A limit of its own, below what all share.
    pub max_up: Option<u64>,
    /// A limit of its own, below what all share.
    pub max_down: Option<u64>,
}

impl Torrent {
    /// One like all others.
    pub fn new(wants: Wants) -> Torrent {
        Torrent { wants, paused: false, weight: 1, max_up: None, max_down: None }
    }
}

/// What is measured of a torrent that runs; to be told every quarter of a second or so, as long as something moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes over the line since the torrent was added ([`swarm::Stats::line_down`]).
    pub line_down: u64,
    /// Likewise ([`swarm::Stats::line_up`]).
    pub line_up: u64,
    /// It would take in more ([`swarm::Stats::held_down`]).
    pub held_down: bool,
    /// It would send more ([`swarm::Stats::held_up`]).
    pub held_up: bool,
    /// Its connections, those that are being made included.
    pub peers: usize,
    /// Peers that would be served if there were slots enough.
    pub interested: usize,
}

/// What happened. Inputs about a torrent that is not known (any more) are ignored.
#[derive(Clone, Debug)]
pub enum Input {
    /// A torrent that is ready to run. It comes last in the queue.
    Added {
        /// The driver's number for it.
        id: TorrentId,
        /// How it is wanted.
        torrent: Torrent,
    },
    /// It is gone: removed by the user, ended by itself, or failed.
    Removed {
        /// Which.
        id: TorrentId,
    },
    /// What was measured of it.
    Reported {
        /// Which.
        id: TorrentId,
        /// What.
        report: Report,
    },
    /// It is complete; or something more is wanted of it.
    SetWants {
        /// Which.
        id: TorrentId,
        /// What it is at from now on.
        wants: Wants,
    },
    /// The user stops it for a while, or lets it go on.
    SetPaused {
        /// Which.
        id: TorrentId,
        /// Whether it is not to run.
        paused: bool,
    },
    /// The user wants it at this place in the queue, 0 being the first.
    Move {
        /// Which.
        id: TorrentId,
        /// How many torrents come before it, seeds and paused ones included.
        to: usize,
    },
    /// Its share is another.
    SetShare {
        /// Which.
        id: TorrentId,
        /// See [`Torrent::weight`].
        weight: u32,
        /// See [`Torrent::max_up`].
        max_up: Option<u64>,
        /// See [`Torrent::max_down`].
        max_down: Option<u64>,
    },
    /// What all share is another.
    SetSettings(Settings),
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Let it run. Its limits have been said before.
    Start(TorrentId),
    /// Let it rest: its turn comes again.
    Stop(TorrentId),
    /// What it may take from now on.
    SetLimits(TorrentId, Limits),
    /// There are [`MAX_TORRENTS`](crate::limits::MAX_TORRENTS): it is not known and will never run.
    Refused(TorrentId),
}
