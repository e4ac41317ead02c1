//! Resume data of libtorrent, which qBittorrent and Deluge keep.

use crate::assemble::{self, strings};
use crate::limits::SETTLES_WITHIN;
use crate::{Evidence, Found, Refused};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bencode::{Document, Value};
use core::time::Duration;
use types::{BLOCK_LEN, Bitfield, PieceIndex};

/// How people call it.
const RESUME_DATA: &str = "its resume data";

/// What libtorrent calls its format.
const FORMAT: &[u8] = b"libtorrent resume file";

/// Resume data, as far as its form goes.
pub(crate) fn decode(resume: &[u8]) -> Result<Document<'_>, Refused> {
    let document = bencode::decode(resume).map_err(|_| Refused::Damaged(RESUME_DATA))?;
    match document.root().get("file-format").and_then(Value::as_bytes) {
        Some(FORMAT) => Ok(document),
        _ => Err(Refused::Damaged(RESUME_DATA)),
    }
}

/// The torrent file, with the trackers and web seeds that the user has left of it.
pub(crate) fn torrent(resume: Value<'_>, torrent: &[u8]) -> Result<Vec<u8>, Refused> {
    let damaged = || Refused::Damaged("its torrent file");
    let document = bencode::decode(torrent).map_err(|_| damaged())?;
    let root = document.root();
    // Metadata of a database may be the info dictionary itself.
    let info = root.get("info").unwrap_or(root);
    if info.as_dict().is_none() {
        return Err(damaged());
    }
    let tiers = resume.get("trackers").and_then(Value::as_list);
    let tiers: Vec<_> = tiers.into_iter().flatten().map(|tier| strings(Some(tier))).collect();
    if tiers.iter().all(Vec::is_empty) && root.get("info").is_some() {
        // Those of the file, which Deluge leaves as it was.
        return Ok(torrent.to_owned());
    }
    let web_seeds = strings(resume.get("url-list"));
    Ok(assemble::torrent(info, root.get("piece layers"), &tiers, &web_seeds))
}

/// What resume data says of how far a torrent is. `is_seed`: whether the client itself wrote down that it has all of it.
pub(crate) fn read(found: &mut Found, resume: Value<'_>, is_seed: bool) -> Result<(), Refused> {
    let number = |key: &str| resume.get(key).and_then(Value::as_int);
    found.downloaded = number("total_downloaded").and_then(|n| n.try_into().ok()).unwrap_or(0);
    found.uploaded = number("total_uploaded").and_then(|n| n.try_into().ok()).unwrap_or(0);
    // Of a torrent with files that are not wanted, the second one stands still.
    let seeded = number("finished_time").or_else(|| number("seeding_time"));
    let seeded = seeded.and_then(|seconds| u64::try_from(seconds).ok());
    found.seeded = Duration::from_secs(seeded.unwrap_or(0));
    found.wishes.sequential |= number("sequential_download") == Some(1);

    let count = found.metainfo.lengths().piece_count();
    let pieces = resume.get("pieces").and_then(Value::as_bytes).unwrap_or_default();
    let mut have = Bitfield::new(count);
    // A byte for each; another number of them says nothing.
    let fits = pieces.len() as u64 == u64::from(count);
    for (piece, &state) in (0..count).zip(pieces).filter(|_| fits) {
        if state & 1 == 1 {
            have.insert(PieceIndex::new(piece));
        }
    }
    // It is said thrice that all is there, or none of it is sure: by the pieces, by the time, by the client. Files are not
    // compared one by one, since nothing is said of one alone.
    let unwanted = |key: &str| match resume.get(key) {
        Some(value) if value.as_bytes().is_some() => value.as_bytes().unwrap_or_default().contains(&0),
        Some(value) => value.as_list().into_iter().flatten().any(|value| value.as_int() == Some(0)),
        None => false,
    };
    let completed = number("completed_time").unwrap_or(0);
    let is_sure = is_seed
        && have.is_full()
        && completed > 0
        && number("seed_mode") != Some(1)
        && !unwanted("file_priority")
        && !unwanted("piece_priority");
    if is_sure {
        let until = Evidence::ChangedUntil(completed.saturating_add(SETTLES_WITHIN));
        found.have.files = vec![until; found.metainfo.files().len()];
    }
    found.have.pieces = have;
    begin(found, resume);
    Ok(())
}

/// The pieces of which only some blocks are there, a bit for each.
fn begin(found: &mut Found, resume: Value<'_>) {
    let Found { metainfo, have, .. } = found;
    let lengths = metainfo.lengths();
    let unfinished = resume.get("unfinished").and_then(Value::as_list).into_iter().flatten();
    for begun in unfinished.take(lengths.piece_count() as usize) {
        let piece = begun.get("piece").and_then(Value::as_int).and_then(|piece| piece.try_into().ok());
        let Some(piece) = piece.filter(|&piece| piece < lengths.piece_count()) else { continue };
        let bits = begun.get("bitmask").and_then(Value::as_bytes).unwrap_or_default();
        let range = lengths.piece_range(PieceIndex::new(piece));
        let starts = range.clone().step_by(BLOCK_LEN as usize);
        let set = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte & 0x80 >> bit != 0));
        for (start, _) in starts.zip(set).filter(|&(_, is_set)| is_set) {
            have.begin(metainfo, start..range.end.min(start + u64::from(BLOCK_LEN)));
        }
    }
}

/// The names that files have, in their order; without what is behind the names of files that are not complete.
pub(crate) fn names<'d>(found: &Found, resume: Value<'d>, unfinished: Option<&str>) -> Vec<Option<&'d [u8]>> {
    let names = resume.get("mapped_files").and_then(Value::as_list).into_iter().flatten();
    let named = names.zip(found.metainfo.files()).map(|(name, file)| {
        let name = name.as_bytes()?;
        let own = file.path.as_str().as_bytes();
        let bare = unfinished.and_then(|suffix| name.strip_suffix(suffix.as_bytes()));
        Some(if name == own { name } else { bare.unwrap_or(name) })
    });
    named.collect()
}

/// A label for people: without what could harm a terminal, and not too long. `None` if nothing is left.
pub(crate) fn label(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut kept = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > crate::limits::MAX_LABEL {
            break;
        }
        kept.push(c);
    }
    (!kept.is_empty()).then_some(kept)
}
