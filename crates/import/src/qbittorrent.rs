//! qBittorrent: `BT_backup/ID.torrent` and `BT_backup/ID.fastresume`, or rows of `torrents.db` (from 4.2 on).

use crate::assemble::strings;
use crate::categories::setting;
use crate::libtorrent::{self, label};
use crate::limits::MAX_TAGS;
use crate::{Found, Item, Link, Refused, Wishes};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use bencode::Value;
use core::time::Duration;
use swarm::Priority;

/// What files that are not complete are called, behind their own name, if its user wants that.
pub const UNFINISHED: &str = ".!qB";

/// A row of the table `torrents` of the database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// `torrent_id`: 40 hexadecimal digits.
    pub id: String,
    /// `queue_position`.
    pub queue_position: i64,
    /// `category`.
    pub category: Option<String>,
    /// `target_save_path`.
    pub save_path: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `tags`, with commas between them.
    pub tags: Option<String>,
    /// `ratio_limit`, in thousandths; less than 0 is none of its own.
    pub ratio_limit: i64,
    /// `seeding_time_limit`, in minutes; less than 0 is none of its own.
    pub seeding_time_limit: i64,
    /// `inactive_seeding_time_limit`, in minutes; less than 0 is none of its own.
    pub inactive_seeding_time_limit: i64,
    /// `has_seed_status`.
    pub is_seed: bool,
    /// `stopped`.
    pub is_stopped: bool,
    /// `libtorrent_resume_data`.
    pub resume: Vec<u8>,
    /// `metadata`; empty if it is not there.
    pub metadata: Vec<u8>,
}

/// Reads a torrent from its two files: `id` is the name that both have. Of a magnet link there is no torrent file.
///
/// # Errors
/// [`Refused`].
pub fn read(id: &str, resume: &[u8], torrent: Option<&[u8]>) -> Result<Item, Refused> {
    let document = libtorrent::decode(resume)?;
    let root = document.root();
    let text = |key: &str| root.get(key).and_then(Value::as_bytes).unwrap_or_default();
    let number = |key: &str| root.get(key).and_then(Value::as_int);
    // Torrents that wait for their turn are paused too, but by the client.
    let is_stopped = number("paused") == Some(1) && number("auto_managed") != Some(1);
    let tags: Vec<String> =
        strings(root.get("qBt-tags")).into_iter().filter_map(label).take(MAX_TAGS).collect();
    let told = Told {
        category: label(text("qBt-category")),
        tags,
        ratio_limit: number("qBt-ratioLimit").unwrap_or(-1),
        seeding_time_limit: number("qBt-seedingTimeLimit").unwrap_or(-1),
        idle_limit: number("qBt-inactiveSeedingTimeLimit").unwrap_or(-1),
        is_seed: number("qBt-seedStatus") == Some(1),
        is_stopped,
        place: 0,
        save_path: text("qBt-savePath"),
        name: [text("qBt-name"), text("name")].into_iter().find(|name| !name.is_empty()),
    };
    item(id, root, torrent, told)
}

/// Reads a torrent from its row.
///
/// # Errors
/// [`Refused`].
pub fn read_row(row: &Row) -> Result<Item, Refused> {
    let document = libtorrent::decode(&row.resume)?;
    let tags = row.tags.as_deref().unwrap_or_default().split(',');
    let told = Told {
        category: row.category.as_deref().and_then(|category| label(category.as_bytes())),
        tags: tags.filter_map(|tag| label(tag.as_bytes())).take(MAX_TAGS).collect(),
        ratio_limit: row.ratio_limit,
        seeding_time_limit: row.seeding_time_limit,
        idle_limit: row.inactive_seeding_time_limit,
        is_seed: row.is_seed,
        is_stopped: row.is_stopped,
        place: row.queue_position,
        save_path: row.save_path.as_deref().unwrap_or_default().as_bytes(),
        name: row.name.as_deref().map(str::as_bytes),
    };
    item(&row.id, document.root(), Some(&row.metadata[..]).filter(|bytes| !bytes.is_empty()), told)
}

/// The places in the queue that the file `queue` gives: a name a line.
pub fn queue(file: &str) -> impl Iterator<Item = (&str, i64)> {
    file.lines().map(str::trim).zip(1..)
}

struct Told<'a> {
    category: Option<String>,
    tags: Vec<String>,
    ratio_limit: i64,
    seeding_time_limit: i64,
    idle_limit: i64,
    is_seed: bool,
    is_stopped: bool,
    place: i64,
    save_path: &'a [u8],
    name: Option<&'a [u8]>,
}

fn item(id: &str, resume: Value<'_>, torrent: Option<&[u8]>, told: Told<'_>) -> Result<Item, Refused> {
    let (name, is_seed) = (told.name, told.is_seed);
    let wishes = wishes(resume, told);
    let Some(torrent) = torrent else {
        let tiers = resume.get("trackers").and_then(Value::as_list).into_iter().flatten();
        let trackers = tiers.flat_map(|tier| strings(Some(tier))).collect();
        return Link::of_parts(id, name, trackers, wishes).map(Item::from);
    };
    let mut found = Found::new(libtorrent::torrent(resume, torrent)?, id, wishes)?;
    libtorrent::read(&mut found, resume, is_seed)?;
    let names = libtorrent::names(&found, resume, Some(UNFINISHED));
    found.set_names(names)?;
    let priorities = resume.get("file_priority").and_then(Value::as_list).into_iter().flatten();
    found.set_priorities(priorities.map(|value| match value.as_int() {
        Some(0) => Priority::Skip,
        Some(6..) => Priority::High,
        _ => Priority::Normal,
    }));
    Ok(found.into())
}

fn wishes(resume: Value<'_>, told: Told<'_>) -> Wishes {
    // Where it lies; and where it goes when it is complete, unless its category has that.
    let lies_in = resume.get("save_path").and_then(Value::as_bytes).unwrap_or_default();
    let dir = if told.save_path.is_empty() { lies_in } else { told.save_path };
    let limit = |key: &str| {
        let rate = resume.get(key).and_then(Value::as_int).and_then(|rate| u64::try_from(rate).ok());
        rate.filter(|&rate| rate > 0)
    };
    let positive = |value: i64| u32::try_from(value).ok();
    let minutes = |value: i64| positive(value).map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    Wishes {
        paused: told.is_stopped,
        max_down: limit("download_rate_limit"),
        max_up: limit("upload_rate_limit"),
        seed_ratio: positive(told.ratio_limit).map(|thousandths| f64::from(thousandths) / 1000.0),
        seed_time: minutes(told.seeding_time_limit),
        seed_idle: minutes(told.idle_limit),
        category: told.category,
        tags: told.tags,
        place: told.place,
        // What it manages by itself has no folder of its own.
        follows_category: told.save_path.is_empty(),
        ..Wishes::new(dir).until_complete(Some(lies_in))
    }
}

/// Whether `qBittorrent.conf` has it keep what it knows of torrents in the database, or in files; `None` if that is not said.
pub fn is_in_database(conf: &[u8]) -> Option<bool> {
    setting(conf, "Session\\ResumeDataStorageType").map(|kind| kind.trim() == "SQLite")
}

/// The name that the files of a torrent have in common, if a file is one of them.
pub fn id_of(file_name: &str) -> Option<String> {
    let (id, extension) = file_name.rsplit_once('.')?;
    (extension == "fastresume").then(|| id.to_owned())
}
