//! What a session writes of a torrent, beside the torrent file itself.

use crate::{AddTorrent, Allocate, Metainfo, Priority, SeedGoal};
use bencode::{Value, encode_dict};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Table};
use types::InfoHash;

/// What the user wants of a torrent.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// The folder that holds, or will hold, the torrent's file or folder.
    pub dir: PathBuf,
    /// Whether it rests until it is resumed.
    pub paused: bool,
    /// See [`AddTorrent::priorities`].
    pub priorities: Vec<Priority>,
    /// See [`AddTorrent::sequential`].
    pub sequential: bool,
    /// See [`AddTorrent::peers`].
    pub peers: Vec<SocketAddr>,
    /// See [`AddTorrent::trackers`].
    pub trackers: bool,
    /// See [`AddTorrent::web_seeds`].
    pub web_seeds: bool,
    /// See [`AddTorrent::allocate`].
    pub allocate: Allocate,
    /// See [`AddTorrent::seed_goal`].
    pub seed_goal: SeedGoal,
    /// See [`AddTorrent::max_rates`].
    pub max_down: Option<u64>,
    /// See [`AddTorrent::max_rates`].
    pub max_up: Option<u64>,
}

impl Choices {
    /// All files into `dir`, begun at once, seeded until it is stopped.
    pub fn new(dir: impl Into<PathBuf>) -> Choices {
        Choices {
            dir: dir.into(),
            paused: false,
            priorities: Vec::new(),
            sequential: false,
            peers: Vec::new(),
            trackers: true,
            web_seeds: true,
            allocate: Allocate::default(),
            seed_goal: SeedGoal::default(),
            max_down: None,
            max_up: None,
        }
    }

    pub(super) fn apply(&self, metainfo: Arc<Metainfo>) -> AddTorrent {
        AddTorrent::new(metainfo, &self.dir)
            .priorities(self.priorities.clone())
            .sequential(self.sequential)
            .peers(self.peers.clone())
            .trackers(self.trackers)
            .web_seeds(self.web_seeds)
            .allocate(self.allocate)
            .seed_goal(self.seed_goal)
            .max_rates(self.max_down, self.max_up)
    }
}

/// A torrent's row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Torrents are in the order in which they were added: the greater, the later.
    pub(super) place: u64,
    pub(super) choices: Choices,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Choices { dir, priorities, peers, seed_goal, .. } = &self.choices;
        let Choices { paused, sequential, trackers, web_seeds, allocate, max_down, max_up, .. } =
            self.choices;
        encode_dict(|d| {
            d.bytes("dir", dir.as_os_str().as_bytes());
            d.int("full", i64::from(allocate == Allocate::Full));
            put(d, "max down", max_down);
            put(d, "max up", max_up);
            d.int("paused", i64::from(paused));
            d.list("peers", |list| peers.iter().for_each(|peer| list.bytes(peer.to_string())));
            put(d, "place", Some(self.place));
            d.bytes("priorities", priorities.iter().map(|&priority| letter(priority)).collect::<Vec<_>>());
            put(d, "seed ratio", seed_goal.ratio.map(f64::to_bits));
            put(d, "seed time", seed_goal.time.map(|time| time.as_secs()));
            d.int("sequential", i64::from(sequential));
            d.int("trackers", i64::from(trackers));
            d.int("web seeds", i64::from(web_seeds));
        })
    }

    /// `None` if it is no record. What is missing is as [`Choices::new`] says; what is unknown is passed over.
    pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
        let document = bencode::decode(bytes).ok()?;
        let root = document.root();
        let dir = root.get("dir").and_then(Value::as_bytes).filter(|dir| !dir.is_empty())?;
        let flag = |key, default| root.get(key).and_then(Value::as_int).map_or(default, |value| value != 0);
        let number = |key| get(root, key);
        let priorities = root.get("priorities").and_then(Value::as_bytes).unwrap_or_default();
        let choices = Choices {
            dir: OsStr::from_bytes(dir).into(),
            paused: flag("paused", false),
            priorities: priorities.iter().map(|&letter| priority(letter)).collect::<Option<_>>()?,
            sequential: flag("sequential", false),
            peers: peers(root).unwrap_or_default(),
            trackers: flag("trackers", true),
            web_seeds: flag("web seeds", true),
            allocate: if flag("full", false) { Allocate::Full } else { Allocate::Sparse },
            seed_goal: SeedGoal {
                ratio: number("seed ratio").map(f64::from_bits).filter(|ratio| *ratio >= 0.0),
                time: number("seed time").map(Duration::from_secs),
            },
            max_down: number("max down"),
            max_up: number("max up"),
        };
        Some(Record { place: number("place").unwrap_or(0), choices })
    }
}

/// The rows of a torrent that comes from elsewhere, but for what is there of it.
pub(crate) fn first_rows(info_hash: InfoHash, torrent: Vec<u8>, place: u64, choices: Choices) -> [Change; 2] {
    let key = super::key(info_hash);
    let record = Record { place, choices };
    [Change::put(Table::Torrents, key.clone(), record.encode()), Change::put(Table::Metainfo, key, torrent)]
}

/// The place of the torrent that was added last; 0 if there is none.
pub(crate) fn last_place(rows: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    rows.iter().filter_map(|(_, row)| Record::decode(row)).map(|record| record.place).max().unwrap_or(0)
}

/// The row of a torrent in another place; `None` if it is none.
pub(crate) fn moved_row(row: &[u8], place: u64) -> Option<Vec<u8>> {
    Some(Record { place, ..Record::decode(row)? }.encode())
}

/// Numbers of all 64 bits, which integers of bencode need not have.
fn put(d: &mut bencode::DictEncoder<'_>, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        d.bytes(key, value.to_be_bytes());
    }
}

fn get(root: Value<'_>, key: &str) -> Option<u64> {
    root.get(key)?.as_bytes()?.try_into().ok().map(u64::from_be_bytes)
}

/// Those that cannot be read are passed over.
fn peers(root: Value<'_>) -> Option<Vec<SocketAddr>> {
    let list = root.get("peers")?.as_list()?;
    Some(list.filter_map(|peer| peer.as_str()?.parse().ok()).collect())
}

fn letter(priority: Priority) -> u8 {
    match priority {
        Priority::Skip => b'-',
        Priority::Low => b'l',
        Priority::Normal => b'n',
        Priority::High => b'h',
    }
}

fn priority(letter: u8) -> Option<Priority> {
    [Priority::Skip, Priority::Low, Priority::Normal, Priority::High]
        .into_iter()
        .find(|&priority| self::letter(priority) == letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut choices = Choices::new("/srv/down\u{fffd}loads");
        choices.dir.push(OsStr::from_bytes(b"\xff"));
        choices.priorities = vec![Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
        (choices.paused, choices.sequential, choices.trackers, choices.web_seeds) =
            (true, true, false, false);
        choices.allocate = Allocate::Full;
        choices.peers = vec!["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap()];
        choices.seed_goal = SeedGoal { ratio: Some(1.5), time: Some(Duration::from_secs(u64::MAX)) };
        (choices.max_down, choices.max_up) = (Some(u64::MAX), Some(0));
        let record = Record { place: u64::MAX, choices };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        let plain = Record { place: 0, choices: Choices::new("/x") };
        assert_eq!(Record::decode(&plain.encode()), Some(plain.clone()));
        assert_eq!(Record::decode(b"d3:dir2:/xe"), Some(plain));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b"de", b"d3:dir0:e", b"d3:diri3ee", b"d3:dir2:/x10:priorities1:?e", b"le"] {
            assert_eq!(Record::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
