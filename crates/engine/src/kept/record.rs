//! What a session writes of a torrent, beside the torrent file itself.

use super::{Mounts, names};
use crate::resume::{decode_stamps, encode_stamps};
use crate::{AddTorrent, Allocate, Error, Metainfo, Priority, SeedGoal};
use bencode::{Value, encode_dict};
use metainfo::Magnet;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::FileStamp;
use store::{Change, Table};
use types::InfoHash;

/// Bytes of the name of a category or a tag. A longer one is refused.
const MAX_LABEL: usize = 255;
/// Bytes of the name of a folder, and of its path. Longer ones are refused.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 4095;
/// Tags of a torrent. With more, it is refused; of another client's torrent these many are taken over.
pub(crate) const MAX_TAGS: usize = 64;
/// Peers that the user gives for a torrent. With more, it is refused.
const MAX_GIVEN_PEERS: usize = 1000;

/// Folders in which moves left files that they could not remove. With these many, no further move begins; of a record that has
/// more, these many are read.
const MAX_LEFT_BEHIND: usize = 8;

/// The first torrent's place comes behind it: before it there is room for those that are moved to the top.
pub(super) const FIRST_PLACE: u64 = 1 << 32;

const MOVE_MOUNTS: [&str; 2] = ["move mount from", "move mount to"];

/// What becomes of a torrent whose seed goal is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoalAction {
    /// It stops; when the session is opened again, it goes on, and so does the count for its goal.
    #[default]
    Stop,
    /// It is paused.
    Pause,
    /// It is removed; its files stay.
    Remove,
    /// It is removed, and its files with it.
    RemoveData,
    /// It goes on without a goal, and super seeds (BEP 16).
    SuperSeed,
}

/// What the user wants of a torrent.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// The folder that holds, or will hold, the torrent's file or folder.
    pub dir: PathBuf,
    /// Where its files go once all that is wanted of it is there; they lie in `dir` until then.
    pub dir_when_complete: Option<PathBuf>,
    /// Whether its files have `.part` behind their names until all that is wanted of it is there: `names` says so of each.
    pub part_suffix: bool,
    /// Paths below `dir` that take the place of the torrent's own, by file.
    pub names: BTreeMap<usize, String>,
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
    /// Trackers that take the place of the torrent's own, as tiers (BEP 12).
    pub tiers: Option<Vec<Vec<String>>>,
    /// See [`AddTorrent::web_seeds`].
    pub web_seeds: bool,
    /// See [`AddTorrent::allocate`].
    pub allocate: Allocate,
    /// See [`AddTorrent::seed_goal`].
    pub seed_goal: SeedGoal,
    /// What becomes of it when the seed goal is reached.
    pub goal_action: GoalAction,
    /// See [`AddTorrent::super_seed`].
    pub super_seed: bool,
    /// See [`AddTorrent::max_rates`].
    pub max_down: Option<u64>,
    /// See [`AddTorrent::max_rates`].
    pub max_up: Option<u64>,
    /// What it is filed under; not empty, 255 bytes at most.
    pub category: Option<String>,
    /// Words that it can be found by: 64 at most, none empty or longer than 255 bytes.
    pub tags: BTreeSet<String>,
}

impl Choices {
    /// All files into `dir`, begun at once, seeded until it is stopped.
    pub fn new(dir: impl Into<PathBuf>) -> Choices {
        Choices {
            dir: dir.into(),
            dir_when_complete: None,
            part_suffix: false,
            names: BTreeMap::new(),
            paused: false,
            priorities: Vec::new(),
            sequential: false,
            peers: Vec::new(),
            trackers: true,
            tiers: None,
            web_seeds: true,
            allocate: Allocate::default(),
            seed_goal: SeedGoal::default(),
            goal_action: GoalAction::default(),
            super_seed: false,
            max_down: None,
            max_up: None,
            category: None,
            tags: BTreeSet::new(),
        }
    }

    /// Refuses what makes no sense.
    pub(super) fn check(&self, metainfo: Option<&Arc<Metainfo>>) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Refused(why.into()));
        if !self.category.iter().chain(&self.tags).all(|label| is_label(label)) {
            return refuse("the name of a category or a tag has 1 to 255 bytes");
        }
        if self.tags.len() > MAX_TAGS {
            return refuse("a torrent has 64 tags at most");
        }
        if self.peers.len() > MAX_GIVEN_PEERS {
            return refuse("a torrent is given 1000 peers at most");
        }
        if !self.dir.is_absolute() || self.dir_when_complete.as_ref().is_some_and(|dir| !dir.is_absolute()) {
            return refuse("the folder of a torrent is given from the root on");
        }
        if !self.dir_when_complete.iter().chain([&self.dir]).all(|dir| can_be_made(dir)) {
            return refuse(
                "no folder can be called that: a name has 255 bytes at most, a path 4,095, none of them 0",
            );
        }
        if self.seed_goal.ratio.is_some_and(|ratio| !ratio.is_finite() || ratio < 0.0) {
            return refuse("a seed ratio is a number, 0 or more");
        }
        let Some(metainfo) = metainfo else { return Ok(()) };
        if self.priorities.len() > metainfo.files().len() {
            return refuse("there are more priorities than files");
        }
        names::check(metainfo, &self.names)?;
        match self.apply(metainfo.clone()).wanted_files().next() {
            Some(_) => Ok(()),
            None => Err(Error::NothingSelected),
        }
    }

    /// Refuses priorities that are neither none nor one for each file.
    pub(super) fn check_priorities(&self, metainfo: Option<&Arc<Metainfo>>) -> Result<(), Error> {
        let (given, files) = (self.priorities.len(), metainfo.map(|metainfo| metainfo.files().len()));
        match files.filter(|&files| given != 0 && given != files) {
            Some(files) => Err(Error::Refused(format!(
                "{given} priorities are given for {files} files; give one for each file, or none"
            ))),
            None => Ok(()),
        }
    }

    /// How many files are wanted; `None` if these choices are refused.
    pub(crate) fn wanted_files(&self, metainfo: Arc<Metainfo>) -> Option<usize> {
        self.check(Some(&metainfo)).ok()?;
        Some(self.apply(metainfo).wanted_files().count())
    }

    /// Whether a torrent that runs can take these in place of others without being begun anew.
    pub(super) fn can_follow(&self, before: &Choices) -> bool {
        let begun_with = |choices: &Choices| Choices {
            priorities: choices.wanted(),
            sequential: false,
            peers: Vec::new(),
            seed_goal: SeedGoal::default(),
            goal_action: GoalAction::default(),
            dir_when_complete: None,
            max_down: None,
            max_up: None,
            category: None,
            tags: BTreeSet::new(),
            ..choices.clone()
        };
        begun_with(self) == begun_with(before)
    }

    /// Whether other files are wanted than before.
    pub(super) fn wanted_differs(&self, before: &Choices) -> bool {
        self.wanted() != before.wanted()
    }

    /// Which files are wanted at all; empty for all.
    fn wanted(&self) -> Vec<Priority> {
        let wanted =
            |&priority: &Priority| if priority == Priority::Skip { priority } else { Priority::Normal };
        self.priorities.iter().map(wanted).collect()
    }

    pub(super) fn apply(&self, metainfo: Arc<Metainfo>) -> AddTorrent {
        let (names, tiers) = (self.names.clone(), self.tiers.clone());
        let add = AddTorrent { names, tiers, ..AddTorrent::new(metainfo, &self.dir) };
        add.priorities(self.priorities.clone())
            .sequential(self.sequential)
            .peers(self.peers.clone())
            .trackers(self.trackers)
            .web_seeds(self.web_seeds)
            .allocate(self.allocate)
            .seed_goal(self.seed_goal)
            .super_seed(self.super_seed)
            .max_rates(self.max_down, self.max_up)
    }
}

/// Whether a system can have a folder of this path.
fn can_be_made(dir: &Path) -> bool {
    let path = dir.as_os_str().as_bytes();
    let are_names = path.split(|&byte| byte == b'/').all(|name| name.len() <= MAX_NAME);
    are_names && path.len() <= MAX_PATH && !path.contains(&0)
}

pub(super) fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= MAX_LABEL
}

/// A torrent's row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Where it is in the queue: the greater, the later.
    pub(super) place: u64,
    pub(super) choices: Choices,
    /// The magnet link that it was added by.
    pub(super) link: Option<String>,
    /// The mount point under which [`Choices::dir`] lay when it was chosen; once files are known, their own record says it.
    pub(super) mount: Option<PathBuf>,
    /// The same of [`Choices::dir_when_complete`].
    pub(super) mount_when_complete: Option<PathBuf>,
    /// Its files are on their way.
    pub(super) moving: Option<Move>,
    /// Moves that are made, but for the files that could not be removed where they came from: that is their target.
    pub(super) left_behind: Vec<Move>,
}

/// Where files lie and what they are called: as [`Choices`] have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) dir: PathBuf,
    pub(super) dir_when_complete: Option<PathBuf>,
    pub(super) names: BTreeMap<usize, String>,
    pub(super) part_suffix: bool,
}

impl Target {
    pub(super) fn of(choices: &Choices) -> Target {
        let Choices { dir, dir_when_complete, names, part_suffix, .. } = choices.clone();
        Target { dir, dir_when_complete, names, part_suffix }
    }

    pub(super) fn put_into(self, choices: &mut Choices) {
        let Target { dir, dir_when_complete, names, part_suffix } = self;
        (choices.dir, choices.dir_when_complete) = (dir, dir_when_complete);
        (choices.names, choices.part_suffix) = (names, part_suffix);
    }
}

/// Files on their way, so that it is finished after any end, or that were left where they were.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Move {
    /// Where they go.
    pub(super) target: Target,
    /// The mount points under which where they come from and where they go lie.
    pub(super) mounts: [Option<PathBuf>; 2],
    /// What they look like where they come from.
    pub(super) stamps: Vec<Option<FileStamp>>,
    /// What copies of them look like, which are all durable then.
    pub(super) staged: Option<Vec<Option<FileStamp>>>,
}

impl Move {
    pub(super) fn put_into(&self, d: &mut bencode::DictEncoder<'_>) {
        let Move { target, mounts, stamps, staged } = self;
        d.bytes("move dir", target.dir.as_os_str().as_bytes());
        if let Some(dir) = &target.dir_when_complete {
            d.bytes("move dir when complete", dir.as_os_str().as_bytes());
        }
        for (key, mount) in MOVE_MOUNTS.iter().zip(mounts) {
            if let Some(mount) = mount {
                d.bytes(key, mount.as_os_str().as_bytes());
            }
        }
        d.dict("move names", |dict| put_names(dict, &target.names));
        d.int("move part suffix", i64::from(target.part_suffix));
        if let Some(staged) = staged {
            d.list("move staged", |list| encode_stamps(list, staged));
        }
        d.list("move stamps", |list| encode_stamps(list, stamps));
    }

    pub(super) fn of(dict: Value<'_>) -> Option<Move> {
        let path = |key| Some(PathBuf::from(OsStr::from_bytes(dict.get(key)?.as_bytes()?)));
        let part_suffix =
            dict.get("move part suffix").and_then(Value::as_int).is_some_and(|value| value != 0);
        Some(Move {
            target: Target {
                dir: path("move dir")?,
                dir_when_complete: path("move dir when complete"),
                names: names_in(dict, "move names"),
                part_suffix,
            },
            mounts: MOVE_MOUNTS.map(path),
            stamps: decode_stamps(dict.get("move stamps")?)?,
            staged: match dict.get("move staged") {
                Some(staged) => Some(decode_stamps(staged)?),
                None => None,
            },
        })
    }
}

impl Record {
    pub(super) fn new(place: u64, choices: Choices, link: Option<String>) -> Record {
        let (mount, mount_when_complete, moving, left_behind) = (None, None, None, Vec::new());
        Record { place, choices, link, mount, mount_when_complete, moving, left_behind }
    }

    /// Refuses a move that may leave files behind where too many did.
    pub(super) fn may_leave_more_behind(&self) -> Result<(), Error> {
        match self.left_behind.first().filter(|_| self.left_behind.len() >= MAX_LEFT_BEHIND) {
            Some(Move { target, .. }) => Err(Error::Refused(format!(
                "earlier moves left files of it in {} folders, such as {}; remove them there, or see to it that that can be done",
                self.left_behind.len(),
                target.dir.display()
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn apply(&self, metainfo: Arc<Metainfo>) -> AddTorrent {
        let mut add = self.choices.apply(metainfo);
        add.by_link = self.link.is_some();
        add.rank = self.place;
        add
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Choices { dir, priorities, peers, seed_goal, .. } = &self.choices;
        let Choices { paused, sequential, trackers, web_seeds, allocate, max_down, max_up, .. } =
            self.choices;
        encode_dict(|d| {
            if let Some(category) = &self.choices.category {
                d.bytes("category", category);
            }
            d.bytes("dir", dir.as_os_str().as_bytes());
            if let Some(dir) = &self.choices.dir_when_complete {
                d.bytes("dir when complete", dir.as_os_str().as_bytes());
            }
            d.int("full", i64::from(allocate == Allocate::Full));
            if !self.left_behind.is_empty() {
                d.list("left behind", |list| {
                    self.left_behind.iter().for_each(|moved| list.dict(|dict| moved.put_into(dict)));
                });
            }
            if let Some(link) = &self.link {
                d.bytes("link", link);
            }
            put(d, "max down", max_down);
            put(d, "max up", max_up);
            for (key, mount) in [("mount", &self.mount), ("mount when complete", &self.mount_when_complete)] {
                if let Some(mount) = mount {
                    d.bytes(key, mount.as_os_str().as_bytes());
                }
            }
            if let Some(moving) = &self.moving {
                moving.put_into(d);
            }
            d.dict("names", |dict| put_names(dict, &self.choices.names));
            d.int("part suffix", i64::from(self.choices.part_suffix));
            d.int("paused", i64::from(paused));
            d.list("peers", |list| peers.iter().for_each(|peer| list.bytes(peer.to_string())));
            d.bytes("priorities", priorities.iter().map(|&priority| letter(priority)).collect::<Vec<_>>());
            put(d, "rank", Some(self.place));
            d.int("seed action", goal_number(self.choices.goal_action));
            put(d, "seed idle", seed_goal.idle.map(|idle| idle.as_secs()));
            put(d, "seed ratio", seed_goal.ratio.map(f64::to_bits));
            put(d, "seed time", seed_goal.time.map(|time| time.as_secs()));
            d.int("sequential", i64::from(sequential));
            d.int("super seed", i64::from(self.choices.super_seed));
            d.list("tags", |list| self.choices.tags.iter().for_each(|tag| list.bytes(tag)));
            if let Some(tiers) = &self.choices.tiers {
                d.list("tiers", |list| {
                    tiers
                        .iter()
                        .for_each(|tier| list.list(|list| tier.iter().for_each(|url| list.bytes(url))));
                });
            }
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
        let path = |key| Some(PathBuf::from(OsStr::from_bytes(root.get(key)?.as_bytes()?)));
        let priorities = root.get("priorities").and_then(Value::as_bytes).unwrap_or_default();
        let choices = Choices {
            dir: OsStr::from_bytes(dir).into(),
            dir_when_complete: path("dir when complete"),
            part_suffix: flag("part suffix", false),
            names: names_in(root, "names"),
            paused: flag("paused", false),
            priorities: priorities.iter().map(|&letter| priority(letter)).collect::<Option<_>>()?,
            sequential: flag("sequential", false),
            peers: peers(root).unwrap_or_default(),
            trackers: flag("trackers", true),
            tiers: tiers(root),
            web_seeds: flag("web seeds", true),
            allocate: if flag("full", false) { Allocate::Full } else { Allocate::Sparse },
            seed_goal: SeedGoal {
                ratio: number("seed ratio").map(f64::from_bits).filter(|ratio| *ratio >= 0.0),
                time: number("seed time").map(Duration::from_secs),
                idle: number("seed idle").map(Duration::from_secs),
            },
            goal_action: root
                .get("seed action")
                .and_then(Value::as_int)
                .and_then(goal_action)
                .unwrap_or_default(),
            super_seed: flag("super seed", false),
            max_down: number("max down"),
            max_up: number("max up"),
            category: text(root, "category"),
            tags: texts(root, "tags"),
        };
        let mut moving = match root.get("move dir").and_then(Value::as_bytes) {
            None => None,
            Some(_) => Some(Move::of(root)?),
        };
        let left_behind = root.get("left behind").and_then(Value::as_list).into_iter().flatten();
        let mut left_behind: Vec<Move> = left_behind.filter_map(Move::of).take(MAX_LEFT_BEHIND).collect();
        // Earlier, that of the last move alone was known.
        if flag("move switched", false) {
            left_behind.extend(moving.take());
        }
        // Earlier, places were counted from 1 on.
        let place =
            number("rank").unwrap_or_else(|| FIRST_PLACE.saturating_add(number("place").unwrap_or(0)));
        let link = text(root, "link");
        let (mount, mount_when_complete) = (path("mount"), path("mount when complete"));
        Some(Record { place, choices, link, mount, mount_when_complete, moving, left_behind })
    }
}

/// The rows of a torrent that comes from elsewhere, but for what is there of it, in a session that knows these mount points.
pub(crate) fn first_rows(
    info_hash: InfoHash,
    torrent: Vec<u8>,
    place: u64,
    choices: Choices,
    mounts: &Mounts,
) -> [Change; 2] {
    let key = super::key(info_hash);
    [row_of(&key, place, choices, None, mounts), Change::put(Table::Metainfo, key, torrent)]
}

/// The row of a magnet link that comes from elsewhere, in a session that knows these mount points.
pub(crate) fn first_row_of_link(magnet: &Magnet, place: u64, choices: Choices, mounts: &Mounts) -> Change {
    row_of(&super::key(magnet.info_hash), place, choices, Some(magnet.to_string()), mounts)
}

fn row_of(key: &[u8], place: u64, choices: Choices, link: Option<String>, mounts: &Mounts) -> Change {
    let mut record = Record::new(place, choices, link);
    record.mount = mounts.mount_of(&record.choices.dir);
    let dir_when_complete = record.choices.dir_when_complete.as_ref();
    record.mount_when_complete = dir_when_complete.and_then(|dir| mounts.mount_of(dir));
    Change::put(Table::Torrents, key, record.encode())
}

/// The place of the last torrent in the queue.
pub(crate) fn last_place(rows: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    rows.iter()
        .filter_map(|(_, row)| Record::decode(row))
        .map(|record| record.place)
        .max()
        .unwrap_or(FIRST_PLACE)
}

/// A row as it is written again; `None` if it is none.
pub(crate) fn record_again(row: &[u8]) -> Option<Vec<u8>> {
    Record::decode(row).map(|record| record.encode())
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

fn text(root: Value<'_>, key: &str) -> Option<String> {
    root.get(key)?.as_str().map(Into::into)
}

fn texts(root: Value<'_>, key: &str) -> BTreeSet<String> {
    let list = root.get(key).and_then(Value::as_list);
    list.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

/// In the order of their keys as text.
fn put_names(dict: &mut bencode::DictEncoder<'_>, names: &BTreeMap<usize, String>) {
    names.iter().for_each(|(file, path)| dict.bytes(format!("{file:020}"), path));
}

/// Those that cannot be read are passed over.
fn names_in(root: Value<'_>, key: &str) -> BTreeMap<usize, String> {
    let dict = root.get(key).and_then(Value::as_dict);
    let named = |(file, path): (&[u8], Value<'_>)| {
        Some((std::str::from_utf8(file).ok()?.parse().ok()?, path.as_str()?.to_owned()))
    };
    dict.into_iter().flatten().filter_map(named).collect()
}

/// Those that cannot be read are passed over.
fn peers(root: Value<'_>) -> Option<Vec<SocketAddr>> {
    let list = root.get("peers")?.as_list()?;
    Some(list.filter_map(|peer| peer.as_str()?.parse().ok()).collect())
}

fn tiers(root: Value<'_>) -> Option<Vec<Vec<String>>> {
    let tier = |tier: Value<'_>| tier.as_list()?.map(|url| url.as_str().map(str::to_owned)).collect();
    root.get("tiers")?.as_list()?.map(tier).collect()
}

const GOAL_ACTIONS: [GoalAction; 5] =
    [GoalAction::Stop, GoalAction::Pause, GoalAction::Remove, GoalAction::RemoveData, GoalAction::SuperSeed];

fn goal_number(action: GoalAction) -> i64 {
    (0..).zip(GOAL_ACTIONS).find(|&(_, other)| other == action).map_or(0, |(number, _)| number)
}

fn goal_action(number: i64) -> Option<GoalAction> {
    GOAL_ACTIONS.get(usize::try_from(number).ok()?).copied()
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
    fn a_folder_that_no_system_can_have_is_refused() {
        let is_refused = |dir: String| Choices::new(dir).check(None).is_err();
        let name = "x".repeat(MAX_NAME);
        assert!(!is_refused(format!("/{name}")) && is_refused(format!("/{name}x")));
        let path = "/x".repeat(MAX_PATH / 2) + "/";
        assert!(!is_refused(path.clone()) && is_refused(path + "x"));
        assert!(is_refused("/a\0b".into()));
        let when_complete = Choices { dir_when_complete: Some("/a\0b".into()), ..Choices::new("/x") };
        assert!(when_complete.check(None).is_err());
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut choices = Choices::new("/srv/down\u{fffd}loads");
        choices.dir.push(OsStr::from_bytes(b"\xff"));
        choices.priorities = vec![Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
        (choices.paused, choices.sequential, choices.trackers, choices.web_seeds) =
            (true, true, false, false);
        choices.allocate = Allocate::Full;
        choices.peers = vec!["192.0.2.1:1".parse().unwrap(), "[2001:db8::1]:6881".parse().unwrap()];
        choices.seed_goal = SeedGoal {
            ratio: Some(1.5),
            time: Some(Duration::from_secs(u64::MAX)),
            idle: Some(Duration::ZERO),
        };
        (choices.dir_when_complete, choices.part_suffix) = (Some("/srv/done".into()), true);
        (choices.goal_action, choices.super_seed) = (GoalAction::SuperSeed, true);
        choices.category = Some("films".into());
        choices.tags = ["a".to_owned(), "\u{fffd}".to_owned()].into();
        (choices.max_down, choices.max_up) = (Some(u64::MAX), Some(0));
        let stamps = vec![None, Some(FileStamp { size: u64::MAX, mtime_nanos: -1, inode: 7 })];
        let dir = PathBuf::from(OsStr::from_bytes(b"/\xff"));
        let mounts = [None, Some(dir.clone())];
        choices.names = [(0, "a/b".to_owned()), (100_000, "c".to_owned())].into();
        let mut target = Target { dir, ..Target::of(&choices) };
        target.dir_when_complete = Some("/srv/done".into());
        choices.tiers = Some(vec![vec!["a".into(), "b".into()], Vec::new()]);
        let mut moving = Move { target, mounts, stamps: stamps.clone(), staged: None };
        let mut record = Record::new(u64::MAX, choices, Some("magnet:?x".into()));
        (record.mount, record.mount_when_complete) = (Some("/mnt".into()), Some("/mnt/other".into()));
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        record.moving = Some(moving.clone());
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        moving.staged = Some(stamps);
        record.left_behind = vec![moving.clone(); 2];
        record.moving = Some(moving);
        assert_eq!(Record::decode(&record.encode()), Some(record));
        let plain = Record::new(FIRST_PLACE, Choices::new("/x"), None);
        assert_eq!(Record::decode(&plain.encode()), Some(plain.clone()));
        assert_eq!(Record::decode(b"d3:dir2:/xe"), Some(plain));
    }

    #[test]
    fn folders_in_which_files_were_left_are_bounded() {
        let target = Target::of(&Choices::new("/left"));
        let moved = Move { target, mounts: [None, None], stamps: Vec::new(), staged: None };
        let record = |count| Record {
            left_behind: vec![moved.clone(); count],
            ..Record::new(FIRST_PLACE, Choices::new("/x"), None)
        };
        assert!(record(MAX_LEFT_BEHIND - 1).may_leave_more_behind().is_ok());
        let refused = record(MAX_LEFT_BEHIND).may_leave_more_behind().unwrap_err().to_string();
        assert!(refused.contains("in 8 folders, such as /left;"), "{refused}");
        assert_eq!(Record::decode(&record(MAX_LEFT_BEHIND + 1).encode()), Some(record(MAX_LEFT_BEHIND)));
    }

    #[test]
    fn a_move_of_an_earlier_version_that_left_files_behind_is_read() {
        let moved = b"d3:dir2:/x8:move dir5:/left11:move stampsle13:move switchedi1ee";
        let record = Record::decode(moved).unwrap();
        assert_eq!((record.moving, record.left_behind[0].target.dir.as_path()), (None, Path::new("/left")));
    }

    #[test]
    fn labels_and_peers_are_bounded() {
        let choices = || Choices::new("/x");
        let refused = |choices: Choices| matches!(choices.check(None), Err(Error::Refused(_)));
        let category = |len: usize| Choices { category: Some("c".repeat(len)), ..choices() };
        assert!(!refused(category(MAX_LABEL)) && refused(category(MAX_LABEL + 1)) && refused(category(0)));
        let tags =
            |count: usize| Choices { tags: (0..count).map(|tag| tag.to_string()).collect(), ..choices() };
        assert!(!refused(tags(MAX_TAGS)) && refused(tags(MAX_TAGS + 1)));
        let peer = "192.0.2.1:1".parse().unwrap();
        let peers = |count| Choices { peers: vec![peer; count], ..choices() };
        assert!(!refused(peers(MAX_GIVEN_PEERS)) && refused(peers(MAX_GIVEN_PEERS + 1)));
        assert!(refused(Choices::new("x")));
    }

    #[test]
    fn what_runs_follows_all_but_other_files() {
        let before = Choices::new("/x");
        let with = |priorities: &[Priority]| Choices { priorities: priorities.to_vec(), ..before.clone() };
        let low = with(&[Priority::Low, Priority::Normal]);
        assert!(with(&[Priority::High, Priority::Low]).can_follow(&low));
        assert!(!with(&[Priority::Skip, Priority::Normal]).can_follow(&low));
        let more =
            Choices { sequential: true, max_up: Some(1), category: Some("c".into()), ..before.clone() };
        assert!(more.can_follow(&before));
        assert!(!Choices { trackers: false, ..before.clone() }.can_follow(&before));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [&b""[..], b"de", b"d3:dir0:e", b"d3:diri3ee", b"d3:dir2:/x10:priorities1:?e", b"le"] {
            assert_eq!(Record::decode(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
