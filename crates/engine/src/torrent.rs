//! A handle on one torrent.

use crate::mailbox;
use crate::stats::Finished;
use crate::watched;
use crate::{
    AddTorrent, Error, PeerStats, PieceMap, Priority, SeedGoal, TorrentError, TorrentStats, TrackerStats,
};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use storage::TorrentDisk;
use tokio::sync::oneshot;
use trace::why::Facts;
use types::{InfoHash, Lengths};

/// A handle on one torrent of an engine. Cheap to clone; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Torrent {
    pub(crate) info_hash: InfoHash,
    pub(crate) name: String,
    pub(crate) requests: mailbox::Sender<Request>,
    pub(crate) status: watched::Receiver<Status>,
    pub(crate) wishes: watched::Sender<Wishes>,
}

/// What its owner wants of it that may become another while it runs: of several changes the last counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wishes {
    /// Which files are wanted at all stays the same.
    pub(crate) priorities: Vec<Priority>,
    pub(crate) rank: u64,
    pub(crate) sequential: bool,
    pub(crate) max_down: Option<u64>,
    pub(crate) max_up: Option<u64>,
    pub(crate) seed_goal: SeedGoal,
    pub(crate) peers: Vec<SocketAddr>,
    /// How often it was to announce itself out of turn.
    pub(crate) announces: u64,
    /// How often hosts were banned, or not any more.
    pub(crate) bans: u64,
}

impl Wishes {
    pub(crate) fn of(add: &AddTorrent) -> Wishes {
        Wishes {
            priorities: add.priorities.clone(),
            rank: add.rank,
            sequential: add.sequential,
            max_down: add.max_down,
            max_up: add.max_up,
            seed_goal: add.seed_goal,
            peers: add.peers.clone(),
            announces: 0,
            bans: 0,
        }
    }
}

/// What a handle asks of the task that drives the torrent.
pub(crate) enum Request {
    Stop,
    /// Where it can be read.
    Read(oneshot::Sender<(TorrentDisk, Lengths)>),
    /// Its connections.
    Peers(oneshot::Sender<Vec<PeerStats>>),
    /// Its trackers.
    Trackers(oneshot::Sender<Vec<TrackerStats>>),
    /// Its pieces.
    Pieces(oneshot::Sender<PieceMap>),
    /// What is observed of it.
    Facts(oneshot::Sender<Facts>),
    /// Some pieces are wanted first, and others are not any more.
    Hurry {
        before: Range<u32>,
        wanted: Range<u32>,
    },
}

/// What that task publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) stats: TorrentStats,
    /// What it waits for, though nobody told it to.
    pub(crate) trouble: Option<Box<storage::Error>>,
    /// Set once all wanted bytes are durable.
    pub(crate) finished: Option<Finished>,
    /// Set last of all.
    pub(crate) ended: Option<Result<(), Box<TorrentError>>>,
}

/// Hears that torrents of an engine end, whichever they are.
#[derive(Debug)]
pub struct Ends(pub(crate) watched::Receiver<u64>);

impl Ends {
    /// Waits until one or more have ended since the last time, or since there is this. Safe to cancel. For ever, once the
    /// engine is gone.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Torrent {
    /// What it is called on the wire.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The name of its file or folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers, at most a quarter of a second old.
    pub fn stats(&self) -> TorrentStats {
        self.status.borrow().stats
    }

    /// What went wrong, if it ended because of that.
    pub(crate) fn failure(&self) -> Option<TorrentError> {
        self.status.borrow().ended.clone()?.err().map(|error| *error)
    }

    /// What went wrong, if it ended or waits because of that.
    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble =
            self.status.borrow().trouble.as_ref().map(|error| crate::error::of_kept(error.to_string(), true));
        self.failure().map(|failure| failure.of_kept()).or(trouble)
    }

    /// What it waits for, though nobody told it to, and will go on by itself without: room on its disk.
    pub fn waits_for(&self) -> Option<Error> {
        let status = self.status.borrow();
        status.trouble.clone().filter(|_| status.ended.is_none()).map(|error| Error::Disk(*error))
    }

    /// Waits until it has [waited for something](Self::waits_for) that long without a break; never ends if it ends before.
    pub async fn stuck(&self, patience: Duration) -> Error {
        let mut status = self.status.clone();
        loop {
            if status.wait_for(|now| now.trouble.is_some()).await.is_err() {
                return std::future::pending().await;
            }
            let passed = tokio::time::timeout(patience, status.wait_for(|now| now.trouble.is_none())).await;
            if let (Err(_), Some(error)) = (passed, self.waits_for()) {
                return error;
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.status.borrow().ended.is_some()
    }

    /// Waits until all wanted bytes are verified and durable.
    ///
    /// # Errors
    /// The torrent ended first: [`TorrentError::Stopped`] if it was stopped, else what went wrong.
    pub async fn wait_finished(&self) -> Result<Finished, TorrentError> {
        let mut status = self.status.clone();
        let _ = status.wait_for(|now| now.finished.is_some() || now.ended.is_some()).await;
        let now = status.borrow();
        match (&now.finished, &now.ended) {
            (Some(finished), _) => Ok(finished.clone()),
            (None, Some(Err(err))) => Err((**err).clone()),
            _ => Err(TorrentError::Stopped),
        }
    }

    /// Waits until the torrent has ended: by [`stop`](Torrent::stop), because it was to stop when finished, because
    /// its seed goal was reached, or with the engine.
    ///
    /// # Errors
    /// It ended because something went wrong.
    pub async fn wait_stopped(&self) -> Result<(), TorrentError> {
        let mut status = self.status.clone();
        let _ = status.wait_for(|now| now.ended.is_some()).await;
        status.borrow().ended.clone().unwrap_or(Ok(())).map_err(|error| *error)
    }

    /// Stops the torrent (peers are hung up on, trackers told, state saved) and waits until that is done, which takes
    /// less than three seconds.
    ///
    /// # Errors
    /// State could not be saved, or something had gone wrong before.
    pub async fn stop(&self) -> Result<(), TorrentError> {
        // Closed: it has ended already.
        let _ = self.requests.send(Request::Stop).await;
        self.wait_stopped().await
    }
}
