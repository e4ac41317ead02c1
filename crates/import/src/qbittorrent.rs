//! qBittorrent: `BT_backup/ID.torrent` and `BT_backup/ID.fastresume`, or rows of `torrents.db` (from 4.2 on).

use crate::assemble::strings;
use crate::libtorrent::{self, label};
use crate::limits::MAX_TAGS;
use crate::{Found, Refused};
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
    /// `tags`, with commas between them.
    pub tags: Option<String>,
    /// `ratio_limit`, in thousandths; less than 0 is none of its own.
    pub ratio_limit: i64,
    /// `seeding_time_limit`, in minutes; less than 0 is none of its own.
    pub seeding_time_limit: i64,
    /// `has_seed_status`.
    pub is_seed: bool,
    /// `stopped`.
    pub is_stopped: bool,
    /// `libtorrent_resume_data`.
    pub resume: Vec<u8>,
    /// `metadata`; empty if it is not there.
    pub metadata: Vec<u8>,
}

/// Reads a torrent from its two files: `id` is the name that both have.
///
/// # Errors
/// [`Refused`].
pub fn read(id: &str, resume: &[u8], torrent: Option<&[u8]>) -> Result<Found, Refused> {
    let document = libtorrent::decode(resume)?;
    let root = document.root();
    let torrent = torrent.ok_or(Refused::NoMetadata)?;
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
        is_seed: number("qBt-seedStatus") == Some(1),
        is_stopped,
        place: 0,
    };
    found(id, root, torrent, told)
}

/// Reads a torrent from its row.
///
/// # Errors
/// [`Refused`].
pub fn read_row(row: &Row) -> Result<Found, Refused> {
    if row.metadata.is_empty() {
        return Err(Refused::NoMetadata);
    }
    let document = libtorrent::decode(&row.resume)?;
    let tags = row.tags.as_deref().unwrap_or_default().split(',');
    let told = Told {
        category: row.category.as_deref().and_then(|category| label(category.as_bytes())),
        tags: tags.filter_map(|tag| label(tag.as_bytes())).take(MAX_TAGS).collect(),
        ratio_limit: row.ratio_limit,
        seeding_time_limit: row.seeding_time_limit,
        is_seed: row.is_seed,
        is_stopped: row.is_stopped,
        place: row.queue_position,
    };
    found(&row.id, document.root(), &row.metadata, told)
}

/// The places in the queue that the file `queue` gives: a name a line.
pub fn queue(file: &str) -> impl Iterator<Item = (&str, i64)> {
    file.lines().map(str::trim).zip(1..)
}

struct Told {
    category: Option<String>,
    tags: Vec<String>,
    ratio_limit: i64,
    seeding_time_limit: i64,
    is_seed: bool,
    is_stopped: bool,
    place: i64,
}

fn found(id: &str, resume: Value<'_>, torrent: &[u8], told: Told) -> Result<Found, Refused> {
    let dir = resume.get("save_path").and_then(Value::as_bytes).unwrap_or_default();
    let mut found = Found::new(libtorrent::torrent(resume, torrent)?, id, dir)?;
    libtorrent::read(&mut found, resume, told.is_seed)?;
    let limit = |key: &str| {
        let rate = resume.get(key).and_then(Value::as_int).and_then(|rate| u64::try_from(rate).ok());
        rate.filter(|&rate| rate > 0)
    };
    found.max_down = limit("download_rate_limit");
    found.max_up = limit("upload_rate_limit");
    let priorities = resume.get("file_priority").and_then(Value::as_list).into_iter().flatten();
    found.set_priorities(priorities.map(|value| match value.as_int() {
        Some(0) => Priority::Skip,
        Some(6..) => Priority::High,
        _ => Priority::Normal,
    }));
    let positive = |value: i64| u32::try_from(value).ok();
    found.seed_ratio = positive(told.ratio_limit).map(|thousandths| f64::from(thousandths) / 1000.0);
    found.seed_time =
        positive(told.seeding_time_limit).map(|minutes| Duration::from_secs(u64::from(minutes) * 60));
    (found.category, found.tags, found.place) = (told.category, told.tags, told.place);
    found.paused = told.is_stopped;
    Ok(found)
}

/// The name that the files of a torrent have in common, if a file is one of them.
pub fn id_of(file_name: &str) -> Option<String> {
    let (id, extension) = file_name.rsplit_once('.')?;
    (extension == "fastresume").then(|| id.to_owned())
}
