//! Torrents, and what is asked of them.

use crate::Priority;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// A torrent as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Torrent {
    /// Its info-hash, 40 hex digits: v1, or the beginning of v2.
    pub id: String,
    /// The name of its file or folder; a stranger's words.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// What keeps it from going on, if anything does.
    pub error: Option<String>,
    /// What became of its last move since the daemon started, if some of its files stay where they were, or if it failed on
    /// the way; until the next move.
    pub note: Option<String>,
    /// The folder that holds its file or folder.
    pub dir: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Bytes of the wanted pieces; `null` while it is not running.
    pub wanted: Option<u64>,
    /// Bytes of wanted pieces that are verified; `null` while it is not running.
    pub done: Option<u64>,
    /// Payload bytes received per second, of late.
    pub rate_down: u64,
    /// Payload bytes sent per second, of late.
    pub rate_up: u64,
    /// Payload bytes received, all runs together; `null` while it is not running.
    pub downloaded: Option<u64>,
    /// Payload bytes sent, all runs together; `null` while it is not running.
    pub uploaded: Option<u64>,
    /// Connections.
    pub peers: usize,
    /// Connections with peers that have everything.
    pub seeds: usize,
    /// Whether peers are only found by its own trackers (BEP 27).
    pub private: bool,
    /// One word to sort it by.
    pub category: Option<String>,
    /// Further words.
    pub tags: BTreeSet<String>,
    /// The greater, the later it was added.
    pub place: u64,
    /// When it last changed; see [`Torrents::revision`].
    pub revision: u64,
}

/// What a torrent is doing. It is in exactly one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It rests until it is resumed.
    Paused,
    /// What is on disk is being hashed.
    Checking,
    /// Its metadata is being asked for.
    FetchingMetadata,
    /// It waits for its turn.
    Queued,
    /// Wanted pieces are missing and are being asked for.
    Downloading,
    /// All wanted bytes are verified and durable, and are offered to others.
    Seeding,
    /// The disk is full; it goes on by itself when there is room.
    DiskFull,
    /// Its disk is not mounted, or its files are gone; it goes on by itself when they are back.
    Unavailable,
    /// Its files are on their way to another folder.
    Moving,
    /// Its seed goal is reached.
    Stopped,
    /// It has ended because of an error.
    Failed,
}

impl Torrent {
    /// How much of what is wanted is there, in percent; `-` if that is not known, as without metadata.
    pub fn share(&self) -> String {
        match (self.done, self.wanted) {
            (Some(0), Some(0)) if !self.state.is_complete() => "-".into(),
            (Some(done), Some(wanted)) => crate::units::percent(done, wanted),
            _ => "-".into(),
        }
    }
}

impl State {
    /// All of them.
    pub const ALL: [State; 11] = [
        State::Paused,
        State::Checking,
        State::FetchingMetadata,
        State::Queued,
        State::Downloading,
        State::Seeding,
        State::DiskFull,
        State::Unavailable,
        State::Moving,
        State::Stopped,
        State::Failed,
    ];

    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            State::Paused => "paused",
            State::Checking => "checking",
            State::FetchingMetadata => "fetching_metadata",
            State::Queued => "queued",
            State::Downloading => "downloading",
            State::Seeding => "seeding",
            State::DiskFull => "disk_full",
            State::Unavailable => "unavailable",
            State::Moving => "moving",
            State::Stopped => "stopped",
            State::Failed => "failed",
        }
    }

    /// For a column of a table: no longer than `downloading`.
    pub fn short_name(self) -> &'static str {
        match self {
            State::FetchingMetadata => "metadata",
            other => other.name(),
        }
    }

    /// Whether all that is wanted is there.
    fn is_complete(self) -> bool {
        matches!(self, State::Seeding | State::Stopped)
    }
}

/// Torrents, or what changed of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Torrents {
    /// What to ask with as `since` next time.
    pub revision: u64,
    /// Whether these are all torrents that match, rather than those that changed since the revision that was asked for.
    pub full: bool,
    /// How many match, on this page and on others.
    pub total: usize,
    /// One page of them.
    pub torrents: Vec<Torrent>,
    /// Ids of those that were removed since, or changed and do not match (any more).
    pub removed: Vec<String>,
}

/// Which torrents are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only what changed since this revision, as an earlier answer told it; without `offset` and `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Only those that are doing this.
    #[param(inline)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Only those of this category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only those with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only those whose name has this in it, in whatever case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// In which order; that in which they were added if it is not said.
    #[param(inline)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<Order>,
    /// The other way round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse: Option<bool>,
    /// How many to pass over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// How many at most; all if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What torrents are sorted by; equal ones are in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// When they were added.
    Added,
    /// Name.
    Name,
    /// Bytes of all files.
    Size,
    /// What they are doing.
    State,
    /// Bytes received per second.
    RateDown,
    /// Bytes sent per second.
    RateUp,
}

/// How a torrent is added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AddQuery {
    /// The folder that holds, or will hold, its file or folder; below one of the daemon's roots. The first root if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// One word to sort it by; without a `dir` it goes into the folder of that category, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// It rests until it is resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Fetch it from its beginning to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<bool>,
}

/// How a torrent is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveQuery {
    /// Its files go too: those that are known to be the torrent's, and the folders that are empty then. Its folder has to be
    /// below one of the daemon's roots.
    pub data: bool,
}

/// A torrent that is named instead of sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A magnet link (BEP 9), or the http(s) URL of a torrent file, which the daemon fetches. Without the scope `admin` the URL may
    /// lead to the public internet only.
    pub source: String,
}

/// Another place among the torrents that wait for their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Which way it goes.
    pub to: Direction,
}

/// Which way a torrent goes among those that wait for their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Before all others.
    Top,
    /// Behind all others.
    Bottom,
    /// One before.
    Up,
    /// One behind.
    Down,
}

/// What is to be otherwise of a torrent's trackers. Those that are named go; new ones come as a tier behind the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrackersChange {
    /// URLs of trackers that are asked no more.
    pub remove: BTreeSet<String>,
    /// URLs of trackers to be asked too.
    pub add: Vec<String>,
}

/// A folder where torrents that appear are added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// The folder that is watched; below one of the daemon's roots.
    pub dir: String,
    /// The folder that the torrents' files go into; below a root too. That of the category, or else the first root, if it is not
    /// said.
    #[serde(default)]
    pub to: Option<String>,
    /// The category that they get.
    #[serde(default)]
    pub category: Option<String>,
    /// The tags that they get.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// They rest until they are resumed.
    #[serde(default)]
    pub paused: bool,
    /// In answers: why nothing can be taken from it now, or nothing go to where it is to, such as a disk that is not mounted.
    /// That passes by itself. What a request says here is passed over.
    #[serde(default)]
    pub error: Option<String>,
}

/// Which folder is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WatchedQuery {
    /// The folder that is watched.
    pub dir: String,
}

/// Where a torrent is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The folder that will hold its file or folder; below one of the daemon's roots.
    pub dir: String,
}

/// What came of adding a torrent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Added {
    /// Its id.
    pub id: String,
    /// Whether it was not here before; if it was, nothing changed.
    pub created: bool,
}

/// A torrent that was resumed and cannot go on yet; it does so by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resumed {
    /// What it waits for, in one line.
    pub warning: String,
}

/// What stays where it was of a torrent that was removed with its files, or moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stayed {
    /// Files that could not be removed; the first 100 of them.
    pub stayed: Vec<String>,
    /// How many there are, and why the first of them stays, in one line.
    pub warning: String,
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Its number in the torrent, from 0.
    pub index: usize,
    /// Where it is below the torrent's `dir`; a stranger's words made safe.
    pub path: String,
    /// Its size in bytes.
    pub length: u64,
    /// How much it is wanted.
    pub priority: Priority,
    /// Whether it only fills a gap between others (BEP 47), and is not written.
    pub padding: bool,
}

/// A connection with a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// The number of the connection, which no other one of the torrent gets; events have it too.
    pub number: u64,
    /// Address and port of the far end; empty for tokens of scope `read`.
    pub addr: String,
    /// Whether we dialed.
    pub outgoing: bool,
    /// What it calls itself; a stranger's words.
    pub client: Option<String>,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we want.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// We have something that it wants.
    pub peer_interested: bool,
    /// It let our requests wait for too long.
    pub snubbed: bool,
    /// Our requests that it has not answered.
    pub requests: usize,
    /// How many requests it may have at once now.
    pub window: usize,
    /// How many pieces it has.
    pub pieces: u32,
    /// Payload bytes per second from it, of late.
    pub rate_down: u64,
    /// Payload bytes per second to it, of late.
    pub rate_up: u64,
    /// Payload bytes from it.
    pub downloaded: u64,
    /// Payload bytes to it.
    pub uploaded: u64,
}

/// A tracker of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tracker {
    /// Its scheme, host and port; what follows may be a secret between it and its user.
    pub name: String,
    /// The number of its tier, from 0 (BEP 12).
    pub tier: usize,
    /// How it stands.
    pub state: TrackerState,
    /// How often in a row it failed.
    pub failures: u32,
    /// How many seconds ago it answered, or failed to; `null` if it was not asked yet.
    pub last_seconds: Option<u64>,
    /// In how many seconds it is asked next, at the earliest; `null` if that is not known.
    pub next_seconds: Option<u64>,
    /// How many peers it counted that have everything.
    pub seeds: Option<u32>,
    /// How many it counted that do not.
    pub leechers: Option<u32>,
    /// How many peers it told of, the last time.
    pub peers: usize,
    /// What went wrong, or what it wants a person to read; a stranger's words.
    pub message: Option<String>,
}

/// How a tracker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

impl TrackerState {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            TrackerState::Waiting => "waiting",
            TrackerState::Announcing => "announcing",
            TrackerState::Working => "working",
            TrackerState::Failed => "failed",
        }
    }
}

/// Which pieces of a torrent there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pieces {
    /// How many it has.
    pub count: u32,
    /// Bytes of each; the last one may have fewer.
    pub length: u32,
    /// Those that are verified: a bit each, the first one the highest of the first of these hex digits.
    pub have: String,
    /// The numbers of those that are begun and not verified.
    pub begun: Vec<u32>,
}

impl Pieces {
    /// Of each piece, whether it is verified.
    pub fn verified(&self) -> Vec<bool> {
        let digit = |digit: char| digit.to_digit(16).unwrap_or(0);
        let bits = self.have.chars().flat_map(|c| (0..4).map(move |bit| digit(c) & (8 >> bit) != 0));
        bits.take(self.count as usize).collect()
    }

    /// A map of at most `cells` cells, each of which stands for as many pieces as the others, or for one.
    pub fn cells(&self, cells: usize) -> Vec<Cell> {
        let verified = self.verified();
        let cells = cells.min(verified.len());
        let range = |cell: usize| cell * verified.len() / cells..(cell + 1) * verified.len() / cells;
        let cell = |cell: usize| Cell {
            verified: verified[range(cell)].iter().filter(|&&verified| verified).count(),
            pieces: range(cell).len(),
            begun: self.begun.iter().any(|&piece| range(cell).contains(&(piece as usize))),
        };
        (0..cells).map(cell).collect()
    }
}

/// One cell of a map of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// How many of its pieces are verified.
    pub verified: usize,
    /// How many pieces it stands for.
    pub pieces: usize,
    /// Whether one of them is begun and not verified.
    pub begun: bool,
}

impl Cell {
    /// Its shade, from 0 for none verified to `shades - 1` for all, and only then.
    pub fn shade(self, shades: usize) -> usize {
        let most = shades.saturating_sub(if self.verified == self.pieces { 1 } else { 2 });
        (self.verified * shades.saturating_sub(1)).div_ceil(self.pieces.max(1)).min(most)
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// `rawtorrent`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How many torrents it has.
    pub torrents: usize,
    /// See [`Torrents::revision`].
    pub revision: u64,
    /// Where it listens for peers.
    pub listen: Vec<String>,
}

/// That it lives, or is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn states_have_their_names() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert!(state.short_name().len() <= "downloading".len(), "{state:?}: columns are that wide");
        }
    }

    #[test]
    fn of_what_is_not_known_there_is_no_share() {
        for (state, done, wanted, share) in [
            (State::FetchingMetadata, Some(0), Some(0), "-"),
            (State::Paused, Some(0), Some(0), "-"),
            (State::Paused, None, None, "-"),
            (State::Downloading, Some(1), Some(4), "25.0%"),
            (State::Seeding, Some(0), Some(0), "100.0%"),
            (State::Stopped, Some(5), Some(5), "100.0%"),
        ] {
            let torrent: Torrent = serde_json::from_value(serde_json::json!({
                "id": "", "name": "", "state": state, "dir": "", "size": 0, "wanted": wanted, "done": done,
                "rate_down": 0, "rate_up": 0, "peers": 0, "seeds": 0, "private": false, "tags": [], "place": 0,
                "revision": 0,
            }))
            .unwrap();
            assert_eq!(torrent.share(), share, "{state:?}");
        }
    }

    #[test]
    fn pieces_are_mapped() {
        let pieces = Pieces { count: 10, length: 16384, have: "f0a0".into(), begun: vec![9] };
        let verified: Vec<usize> =
            pieces.verified().iter().enumerate().filter_map(|(piece, &is)| is.then_some(piece)).collect();
        assert_eq!(verified, [0, 1, 2, 3, 8]);
        let cells = pieces.cells(5);
        assert_eq!(cells.iter().map(|cell| cell.shade(5)).collect::<Vec<_>>(), [4, 4, 0, 0, 2]);
        assert_eq!(
            cells.iter().map(|cell| cell.begun).collect::<Vec<_>>(),
            [false, false, false, false, true]
        );
        assert_eq!(pieces.cells(99).len(), 10);
        let none = Pieces { count: 0, length: 1, have: String::new(), begun: vec![] };
        assert_eq!((none.cells(5), pieces.cells(0)), (vec![], vec![]));
        let almost = Cell { verified: 99, pieces: 100, begun: false };
        assert_eq!(almost.shade(5), 3, "only what is whole looks so");
    }

    #[test]
    fn what_is_unknown_in_a_query_is_refused() {
        assert!(serde_json::from_str::<ListQuery>(r#"{"sinze": 1}"#).is_err());
        assert_eq!(serde_json::from_str::<ListQuery>("{}").unwrap(), ListQuery::default());
    }
}
