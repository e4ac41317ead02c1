//! The causes.

use crate::line::counted;
use crate::mask::scrub;
use alloc::string::String;
use core::fmt;
use serde::Serialize;
use types::Rate;

/// What may hold a torrent back, with its evidence. As text it says what is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "cause", content = "evidence", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
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
    /// Nothing that is wanted is missing, and its files cannot go where they belong.
    Unsettled {
        /// What keeps them from that.
        error: String,
    },
    /// It has ended as it should.
    Stopped,
    /// There is no room for what comes.
    DiskFull {
        /// What the disk said.
        error: String,
    },
    /// Its disk is not mounted, or its files are gone.
    Unavailable {
        /// What is away.
        error: String,
    },
    /// It has ended because of an error.
    Failed {
        /// Which.
        error: String,
    },
    /// The metadata that a magnet link names has not come yet.
    MetadataMissing {
        /// Connections with peers that may have it.
        peers: usize,
        /// Addresses of peers that are known.
        known: usize,
    },
    /// Trackers could not be reached, or refused.
    TrackerErrors {
        /// How many.
        failing: usize,
        /// Of how many.
        trackers: usize,
        /// One of them.
        tracker: String,
        /// What went wrong there.
        error: String,
    },
    /// Nobody has connected to us, and those who can't be connected to can't be met otherwise.
    PortUnreachable {
        /// Addresses of peers that are known.
        known: usize,
        /// Connections.
        peers: usize,
    },
    /// Nobody is connected.
    NoPeers {
        /// Addresses of peers that are known.
        known: usize,
        /// Connections that are being tried.
        connecting: usize,
        /// Trackers that may be asked for more.
        trackers: usize,
    },
    /// Nobody who is connected has what is missing.
    NobodyHas {
        /// Pieces that are missing.
        missing: u32,
        /// How many of them nobody has.
        unseen: u32,
        /// Connections.
        peers: usize,
    },
    /// What has come waits for the disk.
    DiskWaits {
        /// Connections that are not read on because of that.
        connections: usize,
        /// Pieces that are there as a whole and wait for their hash.
        unhashed: u32,
        /// Pieces that are missing, those included.
        missing: u32,
    },
    /// Peers that have what is missing do not answer requests.
    Choked {
        /// How many choke us.
        choking: usize,
        /// How many have what is missing.
        peers: usize,
    },
    /// Peers let requests wait for too long.
    Snubbed {
        /// How many do.
        snubbed: usize,
        /// How many would answer requests.
        peers: usize,
    },
    /// Peers were asked, and nothing has come from them yet, or nothing of late.
    Waiting {
        /// How many of them.
        waiting: usize,
        /// How many would answer requests.
        peers: usize,
    },
    /// A limit of ours is reached.
    RateLimit {
        /// Bytes per second that may come, headers included.
        limit: u64,
        /// Payload bytes per second that come.
        rate: u64,
    },
    /// Peers that would answer have nothing to answer: they refuse what is asked for, or others were asked for all of it.
    RequestsEmpty {
        /// How many have none of our requests.
        idle: usize,
        /// How many would answer requests.
        peers: usize,
    },
    /// Those who send are likely behind one line, and share what it carries.
    SharedLimit {
        /// How many they are.
        peers: usize,
        /// Payload bytes per second from all of them.
        rate: u64,
    },
    /// All that is asked for is on its way, and comes as fast as those who send it let it.
    SlowPeers {
        /// How many they are.
        peers: usize,
        /// Payload bytes per second from all of them.
        rate: u64,
    },
}

/// How it is said that there is no room.
const FULL: &str = "the disk is full";

impl Cause {
    /// What may be done about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Cause::Paused => "resume it",
            Cause::Queued => "let more torrents be active at once, or wait",
            Cause::Checking => "wait until the check is over",
            Cause::Moving => "wait until its files are there",
            Cause::Complete | Cause::Stopped => "nothing is to be done",
            Cause::Unsettled { .. } => {
                "mend what is wrong; they go by themselves, or at once if it is resumed"
            }
            Cause::DiskFull { .. } => "make room; it goes on by itself",
            Cause::Unavailable { .. } => "mount its disk; it goes on by itself",
            Cause::Failed { .. } => "mend what is wrong and resume it",
            Cause::MetadataMissing { .. } => "wait for a peer that has it, or add the .torrent file",
            Cause::TrackerErrors { .. } => {
                "look whether the tracker's URL still holds; peers may come from elsewhere"
            }
            Cause::PortUnreachable { .. } => {
                "forward the port of the listen address on your router, and let it through the firewall"
            }
            Cause::NoPeers { .. } => "wait, or add trackers or peers",
            Cause::NobodyHas { .. } => "wait until somebody comes who has it",
            Cause::DiskWaits { .. } => "look at what else the disk is doing",
            Cause::Choked { .. } => "wait for a turn; who uploads more is served sooner",
            Cause::Snubbed { .. } => "wait; others are asked meanwhile",
            Cause::Waiting { .. } => "wait; who does not answer is asked for less, and others for the rest",
            Cause::RateLimit { .. } => {
                "raise the limit: 'rawtorrent set TORRENT --max-down none', or that of all: 'rawtorrent set --max-down none'"
            }
            Cause::RequestsEmpty { .. } => "wait for other peers, or for the last blocks",
            Cause::SharedLimit { .. } | Cause::SlowPeers { .. } => "more peers elsewhere would help",
        }
    }

    /// Takes out addresses.
    pub fn mask(&mut self) {
        match self {
            Cause::TrackerErrors { tracker, error, .. } => {
                scrub(tracker);
                scrub(error);
            }
            Cause::Unsettled { error }
            | Cause::DiskFull { error }
            | Cause::Unavailable { error }
            | Cause::Failed { error } => scrub(error),
            _ => {}
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Paused => f.write_str("it is paused"),
            Cause::Queued => f.write_str("it waits for its turn: as many torrents are active as may be"),
            Cause::Checking => f.write_str("what is on disk is being checked"),
            Cause::Moving => f.write_str("its files are being moved"),
            Cause::Complete => f.write_str("it is complete: nothing that is wanted is missing"),
            Cause::Unsettled { error } => {
                write!(f, "it is complete, but its files cannot go where they belong: {error}")
            }
            Cause::Stopped => f.write_str("it has stopped: its seed goal is reached"),
            Cause::DiskFull { error } => match error.strip_prefix(FULL).unwrap_or(error) {
                "" => f.write_str(FULL),
                // Most errors begin with it themselves.
                error => write!(f, "{FULL}: {}", error.trim_start_matches(": ")),
            },
            Cause::Unavailable { error } => write!(f, "its files are away: {error}"),
            Cause::Failed { error } => write!(f, "it has failed: {error}"),
            Cause::MetadataMissing { peers, known } => {
                let (peers, known) = (counted(peers, "peer"), counted(known, "address"));
                write!(f, "its metadata has not come yet: {peers} connected, {known} known")
            }
            Cause::TrackerErrors { failing, trackers, tracker, error } => {
                write!(f, "{failing} of {} failed: {tracker}: {error}", counted(trackers, "tracker"))
            }
            Cause::PortUnreachable { known, peers } => {
                let (peers, known) = (counted(peers, "peer"), counted(known, "address"));
                write!(
                    f,
                    "nobody has connected to us, so that our port may be unreachable: {peers} connected, {known} known"
                )
            }
            Cause::NoPeers { known, connecting, trackers } => {
                let (known, trackers) = (counted(known, "address"), counted(trackers, "tracker"));
                write!(f, "no peer is connected: {known} known, {connecting} being tried, {trackers}")
            }
            Cause::NobodyHas { missing, unseen, peers } => {
                let (missing, peers) = (counted(missing, "missing piece"), counted(peers, "connected peer"));
                write!(f, "{unseen} of {missing} nobody has among {peers}")
            }
            Cause::DiskWaits { connections, unhashed, missing } => {
                let (missing, connections) =
                    (counted(missing, "missing piece"), counted(connections, "connection"));
                write!(
                    f,
                    "the disk is behind: {unhashed} of {missing} have come and wait for their hash, {connections} wait to be read"
                )
            }
            Cause::Choked { choking, peers } => {
                write!(f, "{choking} of {} with what is missing choke us", counted(peers, "peer"))
            }
            Cause::Snubbed { snubbed, peers } => {
                write!(f, "{snubbed} of {} that unchoke us send nothing", counted(peers, "peer"))
            }
            Cause::Waiting { waiting, peers } => {
                write!(
                    f,
                    "{waiting} of {} that unchoke us were asked, and nothing comes",
                    counted(peers, "peer")
                )
            }
            Cause::RateLimit { limit, rate } => {
                let (rate, limit) = (Rate(*rate), Rate(*limit));
                write!(
                    f,
                    "the download limit is reached: {rate} of payload come, {limit} may come, headers included"
                )
            }
            Cause::RequestsEmpty { idle, peers } => {
                write!(f, "{idle} of {} that unchoke us have no request of ours", counted(peers, "peer"))
            }
            Cause::SharedLimit { peers, rate } => {
                write!(
                    f,
                    "all {} that send are in one network and likely share its line: {} together",
                    counted(peers, "peer"),
                    Rate(*rate)
                )
            }
            Cause::SlowPeers { peers, rate } => {
                write!(f, "peers send no faster: {} from {}", Rate(*rate), counted(peers, "peer"))
            }
        }
    }
}
