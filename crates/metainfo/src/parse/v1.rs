//! The v1 half of a torrent: `length` or `files`, and `pieces` (BEP 3, 47).

use super::fields::{Fields, Place};
use super::{Files, Layout, Limits, element};
use crate::{Error, File, FileKind, SafePath};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use bencode::{Kind, List, Value};
use core::ops::Range;
use types::Lengths;

/// How pad files are recognised that were made before BEP 47.
const OLD_PAD_FILE: &[u8] = b"_____padding_file_";

/// The files of a torrent whose safe name is `name`.
pub(super) fn layout(info: &Fields<'_, '_>, name: &str, limits: Limits) -> Result<Layout, Error> {
    let Some(list) = info.list("files")? else {
        let length = info.size("length")?;
        let attributes = Attributes::of(info);
        let (executable, hidden) = (attributes.has(b'x'), attributes.has(b'h'));
        let path = SafePath::new(name);
        let kind = FileKind::Regular;
        let file = File { path, length, offset: 0, kind, executable, hidden, pieces_root: None };
        return Ok(Layout { files: vec![file], is_multi_file: false });
    };
    let mut files = Files::new(limits);
    for (index, value) in list.enumerate() {
        files.push(file(&Fields::new(value, Place::File(index))?, name, files.offset, limits)?)?;
    }
    files.finish(true)
}

/// Where the hashes lie in the info dictionary's bytes, if there is one for each piece.
pub(super) fn pieces(info: &Fields<'_, '_>, lengths: Lengths) -> Result<Range<usize>, Error> {
    let range = info.content("pieces")?;
    let len = range.len();
    if !len.is_multiple_of(20) {
        return Err(Error::PiecesNotMultipleOf20(len));
    }
    let expected = lengths.piece_count();
    if len / 20 != expected as usize {
        return Err(Error::PieceCount { expected, found: len / 20 });
    }
    Ok(range)
}

fn file(fields: &Fields<'_, '_>, name: &str, offset: u64, limits: Limits) -> Result<File, Error> {
    let attributes = Attributes::of(fields);
    let raw_path = match fields.find("path.utf-8").and_then(Value::as_list) {
        Some(path) => Some(path),
        None => fields.list("path")?,
    };
    // Symlinks take up no room in the torrent, whatever length they claim.
    let length = if attributes.has(b'l') { 0 } else { fields.size("length")? };
    let is_pad = attributes.has(b'p') || raw_path.clone().is_some_and(is_old_pad_file);
    let mut path;
    let kind;
    match raw_path {
        None if is_pad => {
            path = SafePath::new(".pad");
            path.push(&length.to_string());
            kind = FileKind::Pad;
        }
        None => return Err(fields.missing("path")),
        Some(raw_path) => {
            path = below(name, "path", raw_path, fields, limits)?;
            kind = if is_pad { FileKind::Pad } else { link_or_file(&attributes, fields, name, limits)? };
        }
    }
    let (executable, hidden) = (attributes.has(b'x'), attributes.has(b'h'));
    Ok(File { path, length, offset, kind, executable, hidden, pieces_root: None })
}

fn is_old_pad_file(mut path: List<'_>) -> bool {
    path.next().and_then(Value::as_bytes).is_some_and(|first| first.starts_with(OLD_PAD_FILE))
}

/// What an entry is that is no padding; a symlink has to have a target.
pub(super) fn link_or_file(
    attributes: &Attributes<'_>,
    fields: &Fields<'_, '_>,
    name: &str,
    limits: Limits,
) -> Result<FileKind, Error> {
    if !attributes.has(b'l') {
        return Ok(FileKind::Regular);
    }
    let raw_target = fields.list("symlink path")?.ok_or_else(|| fields.missing("symlink path"))?;
    Ok(FileKind::Symlink { target: below(name, "symlink path", raw_target, fields, limits)? })
}

/// A path of safe elements below the torrent's own folder.
fn below(
    name: &str,
    key: &str,
    raw_path: List<'_>,
    fields: &Fields<'_, '_>,
    limits: Limits,
) -> Result<SafePath, Error> {
    let mut path = SafePath::new(name);
    let mut depth = 0;
    for raw in raw_path {
        let wrong_type = || fields.wrong_type(&format!("{key}[{depth}]"), Kind::Bytes, raw);
        let bytes = raw.as_bytes().ok_or_else(wrong_type)?;
        depth += 1;
        if depth > limits.max_path_depth {
            return Err(Error::PathTooDeep { key: fields.path(key), limit: limits.max_path_depth });
        }
        path.push(&element(bytes));
    }
    if depth == 0 {
        return Err(Error::EmptyPath { key: fields.path(key) });
    }
    Ok(path)
}

/// The letters of `attr` (BEP 47): `x` executable, `h` hidden, `p` pad file, `l` symlink.
pub(super) struct Attributes<'d>(&'d [u8]);

impl<'d> Attributes<'d> {
    pub(super) fn of(fields: &Fields<'d, '_>) -> Attributes<'d> {
        Attributes(fields.find("attr").and_then(Value::as_bytes).unwrap_or_default())
    }

    pub(super) fn has(&self, letter: u8) -> bool {
        self.0.contains(&letter)
    }
}
