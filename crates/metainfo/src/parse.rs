//! From the bytes of a torrent file to a [`Metainfo`].
//!
//! What is inside the info dictionary is the torrent: there, a value of the wrong type is an error. What stands beside
//! it is a help: there, such a value is passed over.

mod beside;
mod fields;
mod links;
mod v1;
mod v2;

use crate::info::Info;
use crate::names::{Rules, repair_utf8, safe_element};
use crate::{Error, File, MAX_PIECE_LENGTH, Metainfo, duplicates};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bencode::Value;
use fields::{Fields, Place};
use types::{InfoHash, InfoHashV1, InfoHashV2, Lengths};

/// How much of a torrent file is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest torrent file in bytes; a larger one is refused unread ([`Error::TooLarge`]).
    pub max_input: usize,
    /// The most bencoded values, which also bounds the number of files, trackers and so on; more are an error
    /// ([`Error::Bencode`]).
    pub max_values: usize,
    /// The most folders that a file lies in, itself counted and the torrent's own left out; more are an error
    /// ([`Error::PathTooDeep`]). A v2 torrent's bencode nests as deeply and meets its own limit at about 95.
    pub max_path_depth: usize,
    /// The most bytes that the paths of all files have together, each with all its folders; more are an error
    /// ([`Error::PathsTooLong`]). A v2 torrent names a folder once, however many files are in it.
    pub max_path_bytes: usize,
    /// The most names that may be taken as well when files get others because another has theirs; more are an error
    /// ([`Error::TooManyDuplicates`]). Any number of files may share their names with one other, 32 at most the same.
    pub max_collisions: usize,
}

impl Limits {
    /// 64 MiB, three million values, 100 folders, 128 MiB of paths, 500 new names that are taken.
    pub const DEFAULT: Limits = Limits {
        max_input: 64 * 1024 * 1024,
        max_values: 3_000_000,
        max_path_depth: 100,
        max_path_bytes: 128 * 1024 * 1024,
        max_collisions: 500,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// The files of one half of a torrent, v1 or v2.
struct Layout {
    files: Vec<File>,
    is_multi_file: bool,
}

/// A list of files in the making: each starts where the one before it ends.
struct Files {
    files: Vec<File>,
    /// Where the next file starts, which is the size of all.
    offset: u64,
    path_bytes: usize,
    max_path_bytes: usize,
}

impl Files {
    fn new(limits: Limits) -> Files {
        Files { files: Vec::new(), offset: 0, path_bytes: 0, max_path_bytes: limits.max_path_bytes }
    }

    fn push(&mut self, file: File) -> Result<(), Error> {
        self.offset = self.offset.checked_add(file.length).ok_or(Error::SizeOverflow)?;
        self.path_bytes += file.path.as_str().len();
        if self.path_bytes > self.max_path_bytes {
            return Err(Error::PathsTooLong(self.max_path_bytes));
        }
        self.files.push(file);
        Ok(())
    }

    /// All files, if there is one.
    fn finish(mut self, is_multi_file: bool) -> Result<Layout, Error> {
        self.files.shrink_to_fit();
        if self.files.is_empty() {
            return Err(Error::NoFiles);
        }
        Ok(Layout { files: self.files, is_multi_file })
    }
}

/// What is made use of beside the info dictionary, in the order in which it stands.
const BEFORE: [&str; 9] = [
    "announce",
    "announce-list",
    "collections",
    "comment",
    "comment.utf-8",
    "created by",
    "created by.utf-8",
    "creation date",
    "info",
];
const BEHIND: [&str; 3] = ["nodes", "similar", "url-list"];

/// A torrent file of what is made use of, but for piece layers, and where its info dictionary lies.
fn essence(root: Value<'_>, info: &[u8]) -> Info {
    let mut file = Vec::with_capacity(info.len() + 128);
    let put = |file: &mut Vec<u8>, keys: &[&str]| {
        for key in keys {
            let value = if *key == "info" { Some(info) } else { root.get(*key).map(Value::raw) };
            if let Some(value) = value {
                file.extend_from_slice(format!("{}:{key}", key.len()).as_bytes());
                file.extend_from_slice(value);
            }
        }
    };
    file.push(b'd');
    put(&mut file, &BEFORE);
    let at = file.len() - info.len()..file.len();
    put(&mut file, &BEHIND);
    file.push(b'e');
    Info::Here { file: file.into(), at }
}

/// Reads what [`essence`] wrote; it was within limits once.
pub(crate) fn from_shelf(file: &[u8]) -> Result<Metainfo, Error> {
    const NONE: usize = usize::MAX;
    let limits = Limits {
        max_input: NONE,
        max_values: NONE,
        max_path_depth: NONE,
        max_path_bytes: NONE,
        max_collisions: NONE,
    };
    parse(file, limits)
}

pub(crate) fn parse(torrent: &[u8], limits: Limits) -> Result<Metainfo, Error> {
    let bencode_limits = bencode::Limits {
        max_input: limits.max_input,
        max_values: limits.max_values,
        ..bencode::Limits::DEFAULT
    };
    let (document, _trailing) = bencode::decode_prefix(torrent, bencode_limits)?;
    let root = document.root();
    if root.kind() != bencode::Kind::Dict {
        return Err(Error::NotADict(root.kind()));
    }
    let info_value = Fields::new(root, Place::Top)?.required("info")?;
    let info = Fields::new(info_value, Place::Info)?;

    let has_v1 = info.find("pieces").is_some();
    let has_v2 = has_v2(&info)?;
    if has_v2 && document.irregularity().is_some() {
        // BEP 52; the irregularity may be elsewhere, so the info dictionary is read again by itself.
        let alone = bencode::decode_with(info_value.raw(), bencode_limits)?;
        alone.irregularity().map_or(Ok(()), |error| Err(Error::NotCanonical(error)))?;
    }
    let info_hash = info_hash(info_value.raw(), has_v1, has_v2);
    let name = name(&info, info_hash)?;
    let piece_length = piece_length(&info, has_v2)?;

    let v1 = has_v1.then(|| v1::layout(&info, &name, limits)).transpose()?;
    let v2 = has_v2.then(|| v2::layout(&info, &name, piece_length, limits)).transpose()?;
    let mut layout = match (v1, v2) {
        (Some(v1), Some(v2)) => consistent(v1, &v2)?,
        (Some(layout), None) | (None, Some(layout)) => layout,
        (None, None) => return Err(info.missing("pieces")),
    };
    let total = layout.files.last().map_or(0, |file| file.range().end);
    let lengths = Lengths::new(total, piece_length)?;
    let pieces = if has_v1 { v1::pieces(&info, lengths)? } else { 0..0 };
    if has_v2 {
        v2::check_piece_layers(root, &layout.files, piece_length)?;
    }
    links::correct_targets(&mut layout.files);
    duplicates::tell_apart(&mut layout.files, limits.max_collisions)?;

    Ok(Metainfo {
        info: essence(root, info_value.raw()),
        info_hash,
        name,
        is_multi_file: layout.is_multi_file,
        lengths,
        pieces,
        is_private: info.find("private").and_then(Value::as_int).is_some_and(|private| private != 0),
        trackers: beside::trackers(root),
        web_seeds: beside::web_seeds(root, layout.is_multi_file && layout.files.len() > 1),
        comment: beside::text(root, "comment"),
        created_by: beside::text(root, "created by"),
        creation_date: root.get("creation date").and_then(Value::as_int),
        dht_nodes: beside::dht_nodes(root),
        similar: beside::similar(root, info_value),
        collections: beside::collections(root, info_value),
        files: layout.files,
    })
}

/// Whether there is a v2 half; without one, v2 keys in a v1 torrent mean nothing.
fn has_v2(info: &Fields<'_, '_>) -> Result<bool, Error> {
    match info.find("meta version").and_then(Value::as_int) {
        Some(version @ (..=0 | 3..)) => Err(Error::UnknownVersion(version)),
        version => Ok(version == Some(2) && info.find("file tree").is_some()),
    }
}

fn info_hash(info: &[u8], has_v1: bool, has_v2: bool) -> InfoHash {
    let v1 = || InfoHashV1(hash::sha1(info));
    let v2 = || InfoHashV2(hash::sha256(info));
    match (has_v1, has_v2) {
        (true, true) => InfoHash::Hybrid(v1(), v2()),
        (false, true) => InfoHash::V2(v2()),
        (_, false) => InfoHash::V1(v1()),
    }
}

/// The torrent's name, made safe; the info-hash if there is none or nothing is left of it.
fn name(info: &Fields<'_, '_>, info_hash: InfoHash) -> Result<String, Error> {
    let raw = info.text("name")?.ok_or_else(|| info.missing("name"))?;
    if !raw.is_empty() && raw.iter().all(u8::is_ascii_control) {
        return Err(Error::UnreadableName);
    }
    let safe = safe_element(raw, Rules::NATIVE).filter(|_| !raw.is_empty());
    Ok(safe.unwrap_or_else(|| info_hash.to_string()))
}

fn piece_length(info: &Fields<'_, '_>, has_v2: bool) -> Result<u32, Error> {
    let length = info.required("piece length")?;
    let length =
        length.as_int().ok_or_else(|| info.wrong_type("piece length", bencode::Kind::Int, length))?;
    let length = u32::try_from(length)
        .ok()
        .filter(|length| (1..=MAX_PIECE_LENGTH).contains(length))
        .ok_or(Error::PieceLength(length))?;
    if has_v2 && !(length.is_power_of_two() && length >= types::BLOCK_LEN) {
        return Err(Error::PieceLengthV2(length));
    }
    Ok(length)
}

/// A hybrid's v1 half with the roots of its v2 half, if both have the same files at the same places.
fn consistent(v1: Layout, v2: &Layout) -> Result<Layout, Error> {
    let disagree = |what: String| Err(Error::Inconsistent { what });
    let mut merged = v1;
    let mut twins = v2.files.iter().filter(|file| !file.is_pad());
    for file in merged.files.iter_mut().filter(|file| !file.is_pad()) {
        match twins.next() {
            None => return disagree(format!("the file {}, which only v1 has", file.path)),
            Some(twin) if twin.path != file.path => {
                return disagree(format!("the name of a file: {} and {}", file.path, twin.path));
            }
            Some(twin) if twin.kind != file.kind => {
                return disagree(format!("{}, which is a symlink in one of them", file.path));
            }
            Some(twin) if twin.length != file.length => {
                return disagree(format!("the size of {}: {} and {}", file.path, file.length, twin.length));
            }
            // Where a file without bytes lies makes no difference.
            Some(twin) if twin.offset != file.offset && file.length > 0 => {
                return disagree(format!("the place of {}: {} and {}", file.path, file.offset, twin.offset));
            }
            Some(twin) => file.pieces_root.clone_from(&twin.pieces_root),
        }
    }
    match twins.next() {
        Some(twin) => disagree(format!("the file {}, which only v2 has", twin.path)),
        None => Ok(merged),
    }
}

/// A path element of a file, made safe.
fn element(raw: &[u8]) -> String {
    safe_element(raw, Rules::NATIVE).unwrap_or_else(|| "_".to_owned())
}

/// Text for people: repaired, without white space at its ends; `None` if nothing is left.
fn trimmed(raw: &[u8]) -> Option<String> {
    let text = repair_utf8(raw);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
