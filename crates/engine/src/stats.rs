//! What can be seen of a torrent from outside.

use std::path::PathBuf;
use std::time::Duration;

/// What a torrent is doing. It is in exactly one of these states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TorrentState {
    /// What is on disk is being hashed.
    #[default]
    Checking,
    /// Only its info-hash is known: its metadata is being asked for (BEP 9).
    FetchingMetadata,
    /// It waits for its turn: as many torrents run as may.
    Queued,
    /// Wanted pieces are missing and are being asked for.
    Downloading,
    /// All wanted bytes are verified and durable, and are offered to others.
    Seeding,
    /// The disk is full, and what came waits for room: of a torrent of a [`Session`](crate::Session), which tries again by
    /// itself.
    DiskFull,
    /// Its disk is not mounted, or its files are gone; likewise.
    Unavailable,
    /// Its files are on their way to another folder.
    Moving,
    /// It has ended as it should: by request, or because its goal was reached.
    Stopped,
    /// It has ended because of an error ([`Torrent::wait_stopped`](crate::Torrent::wait_stopped) tells which).
    Failed,
}

/// Numbers of a torrent; a snapshot that is at most a quarter of a second old.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TorrentStats {
    /// What it is doing.
    pub state: TorrentState,
    /// While checking: how many pieces have been looked at.
    pub checked: u32,
    /// While checking: how many pieces there are to look at.
    pub to_check: u32,
    /// While files are copied to another folder: bytes that are there.
    pub moved: u64,
    /// While files are copied to another folder: bytes that there are to be.
    pub to_move: u64,
    /// Bytes of wanted pieces that are verified.
    pub done: u64,
    /// Bytes of all wanted pieces.
    pub total: u64,
    /// Verified pieces.
    pub have_pieces: u32,
    /// Payload bytes received per second, of late.
    pub rate_down: u64,
    /// Payload bytes sent per second, of late.
    pub rate_up: u64,
    /// Payload bytes received, all runs together.
    pub downloaded: u64,
    /// Payload bytes sent, all runs together.
    pub uploaded: u64,
    /// Payload bytes of this run that were received in vain.
    pub wasted: u64,
    /// Connections.
    pub peers: usize,
    /// Connections with peers that have everything.
    pub seeds: usize,
    /// Peers whose address is known.
    pub known_peers: usize,
    /// Since the torrent was added.
    pub active: Duration,
}

/// A tracker of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerStats {
    /// Its scheme, host and port; what follows may be a secret between it and its user.
    pub name: String,
    /// The number of its tier, from 0 (BEP 12).
    pub tier: usize,
    /// How it stands.
    pub state: TrackerState,
    /// How often in a row it failed.
    pub failures: u32,
    /// How long ago it answered, or failed to.
    pub last: Option<Duration>,
    /// How long it is left alone from now on; it may be longer if others of its tier answer. `None` if that is not known.
    pub next: Option<Duration>,
    /// How many peers it counted that have everything.
    pub seeders: Option<u32>,
    /// How many it counted that do not.
    pub leechers: Option<u32>,
    /// How many peers it told us of, the last time.
    pub peers: usize,
    /// What went wrong, or what it wants a person to read.
    pub message: Option<String>,
}

/// How a tracker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// Nobody has asked it yet, or the torrent does not run.
    Waiting,
    /// It is being asked.
    Announcing,
    /// It answered the last time.
    Working,
    /// It did not, or with an error.
    Failed,
}

/// A download that is complete: all wanted bytes are verified and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The torrent's file or folder.
    pub path: PathBuf,
    /// Bytes of the wanted files.
    pub bytes: u64,
    /// How long it took since it was added.
    pub elapsed: Duration,
}

/// Payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
}

impl std::ops::Add for Counters {
    type Output = Counters;

    fn add(self, other: Counters) -> Counters {
        Counters {
            downloaded: self.downloaded.saturating_add(other.downloaded),
            uploaded: self.uploaded.saturating_add(other.uploaded),
        }
    }
}
