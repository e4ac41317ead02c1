//! Transmission: `torrents/ID.torrent` and `resume/ID.resume` (from 3.00 on).

use crate::assemble::strings;
use crate::libtorrent::label;
use crate::limits::MAX_TAGS;
use crate::{Evidence, Found, Have, Item, Link, Refused, Wishes};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use bencode::Value;
use core::time::Duration;
use metainfo::Metainfo;
use swarm::Priority;
use types::{BLOCK_LEN, Bitfield, PieceIndex};

const RESUME_FILE: &str = "its resume file";

/// What files that are not complete are called, behind their own name, unless its user does not want that.
pub const UNFINISHED: &str = ".part";

/// Reads a torrent from its two files: `id` is the name that both have. Of a magnet link the second one is a torrent file
/// without a torrent, or the link.
///
/// # Errors
/// [`Refused`].
pub fn read(id: &str, resume: &[u8], torrent: Option<&[u8]>) -> Result<Item, Refused> {
    let document = bencode::decode(resume).map_err(|_| Refused::Damaged(RESUME_FILE))?;
    let root = document.root();
    if root.as_dict().is_none() {
        return Err(Refused::Damaged(RESUME_FILE));
    }
    let torrent = torrent.ok_or(Refused::Missing("its torrent file"))?;
    if torrent.trim_ascii_start().starts_with(b"magnet:") {
        return Link::of_text(torrent, id, wishes(root)).map(Item::from);
    }
    let magnet = bencode::decode(torrent);
    if let Ok(magnet) = &magnet
        && let Some(link) = magnet.root().get("magnet-info")
    {
        return link_of(id, magnet.root(), link, wishes(root)).map(Item::from);
    }
    let number = |key: &str| field(root, key).and_then(Value::as_int);
    let mut found = Found::new(torrent.to_owned(), id, wishes(root))?;
    let names = field(root, "files").and_then(Value::as_list).into_iter().flatten();
    found.set_names(names.map(Value::as_bytes))?;
    found.downloaded = number("downloaded").and_then(|n| n.try_into().ok()).unwrap_or(0);
    found.uploaded = number("uploaded").and_then(|n| n.try_into().ok()).unwrap_or(0);
    let seeded = number("seeding-time-seconds").and_then(|seconds| u64::try_from(seconds).ok());
    found.seeded = Duration::from_secs(seeded.unwrap_or(0));
    found.set_priorities(priorities(root, found.metainfo.files().len()).into_iter());
    if let Some(progress) = field(root, "progress") {
        found.have = have(&found.metainfo, progress);
    }
    Ok(found.into())
}

/// What 3.00 makes of a link: its parts, in the form of a torrent file.
fn link_of(id: &str, torrent: Value<'_>, link: Value<'_>, wishes: Wishes) -> Result<Link, Refused> {
    let tiers = torrent.get("announce-list").and_then(Value::as_list).into_iter().flatten();
    let mut trackers: Vec<_> = tiers.flat_map(|tier| strings(Some(tier))).collect();
    if trackers.is_empty() {
        trackers.extend(torrent.get("announce").and_then(Value::as_bytes));
    }
    Link::of_parts(id, link.get("display-name").and_then(Value::as_bytes), trackers, wishes)
}

fn wishes(root: Value<'_>) -> Wishes {
    let bytes = |key: &str| field(root, key).and_then(Value::as_bytes);
    let number = |key: &str| field(root, key).and_then(Value::as_int);
    let mut wishes = Wishes::new(bytes("destination").unwrap_or_default());
    // It is written down of complete ones, too, and of all that the setting held for.
    wishes = wishes.until_complete(bytes("incomplete-dir"));
    wishes.paused = number("paused") == Some(1);
    wishes.place = number("added-date").unwrap_or(0);
    wishes.tags = strings(field(root, "labels")).into_iter().filter_map(label).take(MAX_TAGS).collect();
    wishes.max_down = limit(field(root, "speed-limit-down"));
    wishes.max_up = limit(field(root, "speed-limit-up"));
    let own = |limit: &str, mode: &str| {
        let limit = field(root, limit)?;
        let is_own = field(limit, mode).and_then(Value::as_int) == Some(1);
        Some(limit).filter(|_| is_own)
    };
    if let Some(ratio) = own("ratio-limit", "ratio-mode") {
        let text = field(ratio, "ratio-limit").and_then(Value::as_str);
        let number = text.and_then(|text| text.parse().ok());
        wishes.seed_ratio = number.filter(|&ratio: &f64| ratio.is_finite() && ratio >= 0.0);
    }
    if let Some(idle) = own("idle-limit", "idle-mode") {
        let minutes = field(idle, "idle-limit").and_then(Value::as_uint);
        wishes.seed_idle = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    }
    wishes
}

/// A field under its name, or under that of newer versions, which have no hyphens.
fn field<'d>(dict: Value<'d>, key: &str) -> Option<Value<'d>> {
    dict.get(key).or_else(|| dict.get(key.replace('-', "_")))
}

fn priorities(root: Value<'_>, files: usize) -> Vec<Priority> {
    let list = |key: &str| field(root, key).and_then(Value::as_list).into_iter().flatten();
    let numbers = |key: &str| list(key).map(|value| value.as_int().unwrap_or(0)).collect::<Vec<_>>();
    let (unwanted, wanted) = (numbers("dnd"), numbers("priority"));
    let one = |file: usize| match (unwanted.get(file), wanted.get(file)) {
        (Some(1..), _) => Priority::Skip,
        (_, Some(..=-1)) => Priority::Low,
        (_, Some(1..)) => Priority::High,
        _ => Priority::Normal,
    };
    (0..files).map(one).collect()
}

/// The limit of a torrent's own, if it is in use.
fn limit(limit: Option<Value<'_>>) -> Option<u64> {
    let limit = limit?;
    let is_used = field(limit, "use-speed-limit").and_then(Value::as_int) == Some(1);
    field(limit, "speed-Bps").and_then(Value::as_uint).filter(|&rate| is_used && rate > 0)
}

/// What is there, and when each file was looked at.
fn have(metainfo: &Metainfo, progress: Value<'_>) -> Have {
    let says = |key: &str, what: &[u8]| {
        field(progress, key).and_then(Value::as_bytes).is_some_and(|said| said == what)
    };
    let mut have = Have::nothing(metainfo);
    match field(progress, "blocks").and_then(Value::as_bytes) {
        Some(b"all") => have.pieces = Bitfield::full(metainfo.lengths().piece_count()),
        Some(blocks) => take_blocks(&mut have, metainfo, blocks),
        None => {}
    }
    // It is said twice that all is there. Of a torrent that is not complete, bits are all that there is, and nothing says
    // that they are right.
    let is_sure = says("blocks", b"all") && (says("have", b"all") || says("pieces", b"all"));
    if is_sure {
        have.files.iter_mut().zip(times(progress)).for_each(|(file, time)| *file = time);
    }
    have
}

/// From blocks of the torrent as a whole to pieces. A block has 16 KiB, or what a piece is when it is halved until it is no
/// longer than that.
fn take_blocks(have: &mut Have, metainfo: &Metainfo, blocks: &[u8]) {
    let lengths = metainfo.lengths();
    let mut block_len = u64::from(lengths.piece_length());
    while block_len > u64::from(BLOCK_LEN) {
        block_len /= 2;
    }
    let count = u32::try_from(lengths.total().div_ceil(block_len)).ok();
    let Some(blocks) = count.and_then(|count| Bitfield::from_wire(blocks, count)) else { return };
    for piece in lengths.pieces() {
        let range = lengths.piece_range(piece);
        let touched = range.start / block_len..range.end.div_ceil(block_len);
        let has =
            |block: u64| u32::try_from(block).is_ok_and(|block| blocks.contains(PieceIndex::new(block)));
        if touched.into_iter().all(has) {
            have.pieces.insert(piece);
        }
    }
    for block in blocks.ones() {
        let start = u64::from(block.get()) * block_len;
        have.begin(metainfo, start..lengths.total().min(start + block_len));
    }
}

/// Until 3.00, when the pieces of each file were checked: a time, or a first one and each piece's distance from it. From
/// 4.00 on, when each file had been changed.
fn times(progress: Value<'_>) -> impl Iterator<Item = Evidence> {
    let list = |key: &str| field(progress, key).and_then(Value::as_list);
    let changed = list("mtimes").into_iter().flatten();
    let changed = changed.map(|time| time.as_int().map_or(Evidence::None, Evidence::ChangedAt));
    let checked = list("time-checked").filter(|_| list("mtimes").is_none()).into_iter().flatten();
    changed.chain(checked.map(|time| checked_at(time).map_or(Evidence::None, Evidence::ChangedUntil)))
}

fn checked_at(time: Value<'_>) -> Option<i64> {
    if let Some(time) = time.as_int() {
        return Some(time);
    }
    let mut numbers = time.as_list()?.map(Value::as_int);
    let first = numbers.next()??;
    let mut earliest = None;
    for distance in numbers {
        // 0: never.
        let distance = distance.filter(|&distance| distance > 0)?;
        let time = first.checked_add(distance)?;
        earliest = Some(earliest.map_or(time, |earliest: i64| earliest.min(time)));
    }
    earliest
}

/// The name that the files of a torrent have in common, if a file is one of them.
pub fn id_of(file_name: &str) -> Option<String> {
    let (id, extension) = file_name.rsplit_once('.')?;
    (extension == "resume").then(|| id.to_owned())
}
