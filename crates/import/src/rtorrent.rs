//! rTorrent: `ID.torrent`, `ID.torrent.rtorrent` and `ID.torrent.libtorrent_resume` (from 0.9 on).

use crate::found::shown;
use crate::libtorrent::label;
use crate::{Evidence, Found, Item, Link, Refused, Wishes};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use bencode::Value;
use swarm::Priority;
use types::{Bitfield, PieceIndex};

const STATE: &str = "its .rtorrent file";
const RESUME: &str = "its .libtorrent_resume file";

/// Reads a torrent from its three files: `id` is the name that all have. Of a magnet link the first one is a torrent file
/// without a torrent. Folders that are not given from the root on are below the one that rTorrent was `started_in`.
///
/// # Errors
/// [`Refused`].
pub fn read(
    id: &str,
    torrent: &[u8],
    state: Option<&[u8]>,
    resume: Option<&[u8]>,
    started_in: Option<&[u8]>,
) -> Result<Item, Refused> {
    let state = bencode::decode(state.ok_or(Refused::Missing(STATE))?);
    let state = state.map_err(|_| Refused::Damaged(STATE))?;
    let resume = resume.map(bencode::decode).transpose().map_err(|_| Refused::Damaged(RESUME))?;
    let (state, resume) = (state.root(), resume.as_ref().map(bencode::Document::root));
    let number = |key: &str| state.get(key).and_then(Value::as_int);
    let counter = |key: &str| number(key).and_then(|n| n.try_into().ok()).unwrap_or(0);

    let base = state.get("directory").and_then(Value::as_bytes).unwrap_or_default();
    let custom1 = state.get("custom1").and_then(Value::as_bytes);
    let wishes = Wishes {
        paused: number("state") == Some(0),
        place: number("timestamp.started").unwrap_or(0),
        category: custom1.and_then(|text| label(&unescaped(text))),
        ..Wishes::new(&from_root(base, started_in)?)
    };
    if let Some(link) = link(torrent) {
        return Link::of_text(&link, id, wishes).map(Item::from);
    }
    let mut found = Found::new(torrent.to_owned(), id, wishes)?;
    find_files(&mut found)?;
    found.downloaded = counter("total_downloaded");
    found.uploaded = counter("total_uploaded");
    let Some(resume) = resume else { return Ok(found.into()) };
    let files: Vec<_> = resume.get("files").and_then(Value::as_list).into_iter().flatten().collect();
    let field = |file: &Value<'_>, key: &str| file.get(key).and_then(Value::as_int);
    found.set_priorities(files.iter().map(|file| match field(file, "priority") {
        Some(0) => Priority::Skip,
        Some(2) => Priority::High,
        _ => Priority::Normal,
    }));
    let count = found.metainfo.lengths().piece_count();
    let all = resume.get("bitfield").and_then(Value::as_int) == Some(count.into());
    let bits = resume.get("bitfield").and_then(Value::as_bytes);
    found.have.pieces = match bits.and_then(|bits| Bitfield::from_wire(bits, count)) {
        Some(bits) => bits,
        // A number stands for all of them or none.
        None if all => Bitfield::full(count),
        None => Bitfield::new(count),
    };
    // It writes down no blocks: of a torrent of which it has pieces, it may have begun each file.
    if found.have.pieces.count_ones() > 0 {
        found.have.begun.fill(true);
    }
    // Pieces that were not synced when it was written.
    let unsure = resume.get("uncertain_pieces").and_then(Value::as_bytes).unwrap_or_default();
    for piece in unsure.as_chunks().0.iter().map(|&bytes| u32::from_be_bytes(bytes)) {
        if piece < count {
            found.have.pieces.remove(PieceIndex::new(piece));
        }
    }
    for (number, file) in files.iter().enumerate().take(found.metainfo.files().len()) {
        // Of a file that is complete, that is said twice: by its pieces, and by their number.
        let pieces = found.metainfo.file_pieces(number);
        let pieces = i64::from(pieces.end.saturating_sub(pieces.start));
        if let Some(time) = field(file, "mtime").filter(|_| field(file, "completed") == Some(pieces)) {
            found.have.files[number] = Evidence::ChangedAt(time);
        }
    }
    Ok(found.into())
}

/// A folder as rTorrent has it, from the root on. What begins with `~` stays as it is.
fn from_root(dir: &[u8], started_in: Option<&[u8]>) -> Result<Vec<u8>, Refused> {
    if dir.is_empty() || dir.starts_with(b"/") || dir.starts_with(b"~") {
        return Ok(dir.to_owned());
    }
    let above = started_in.ok_or_else(|| Refused::Relative(shown(dir)))?;
    let mut path = above.strip_suffix(b"/").unwrap_or(above).to_owned();
    for part in dir.split(|&byte| byte == b'/').filter(|&part| !part.is_empty() && part != b".") {
        path.push(b'/');
        path.extend(part);
    }
    Ok(path)
}

/// Of a torrent of several files the folder is known in which they lie, which may be called otherwise than the torrent: then
/// they lie in it without the torrent's own folder.
fn find_files(found: &mut Found) -> Result<(), Refused> {
    if !found.metainfo.is_multi_file() {
        return Ok(());
    }
    let base = found.wishes.dir.strip_suffix(b"/").unwrap_or(&found.wishes.dir).to_owned();
    let at = base.iter().rposition(|&byte| byte == b'/').ok_or(Refused::NoDir)?;
    if base[at + 1..] == *found.metainfo.name().as_bytes() {
        found.wishes.dir = base[..at.max(1)].to_owned();
        return Ok(());
    }
    found.wishes.dir = base;
    let paths: Vec<String> =
        found.metainfo.files().iter().map(|file| file.path.as_str().to_owned()).collect();
    let below = paths.iter().map(|path| path.split_once('/').map(|(_, rest)| rest.as_bytes()));
    found.set_names(below)
}

/// The link of a torrent file that rTorrent made of one.
fn link(torrent: &[u8]) -> Option<Vec<u8>> {
    let document = bencode::decode(torrent).ok()?;
    let is_complete = document.root().get("info").is_some_and(|info| info.get("piece length").is_some());
    let link = document.root().get("magnet-uri").and_then(Value::as_bytes)?;
    (!is_complete).then(|| link.to_owned())
}

/// Labels are written as in URLs.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|two| core::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The name that the files of a torrent have in common, if a file is one of them.
pub fn id_of(file_name: &str) -> Option<String> {
    let (id, extension) = file_name.rsplit_once('.')?;
    (extension == "torrent").then(|| id.to_owned())
}
