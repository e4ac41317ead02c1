//! The v2 half of a torrent: `file tree` and `piece layers` (BEP 52).

use super::fields::{Fields, Place};
use super::v1::{Attributes, link_or_file};
use super::{Files, Layout, Limits, element};
use crate::merkle::{self, Hash};
use crate::{Error, File, FileKind, SafePath};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use bencode::{Dict, Kind, Value};

/// The files of a torrent whose safe name is `name`, with pad files where BEP 52 leaves gaps.
pub(super) fn layout(
    info: &Fields<'_, '_>,
    name: &str,
    piece_length: u32,
    limits: Limits,
) -> Result<Layout, Error> {
    let tree = info.required("file tree")?;
    let entries = tree.as_dict().ok_or_else(|| info.wrong_type("file tree", Kind::Dict, tree))?;
    let is_multi_file = !is_single_file(entries.clone(), info)?;
    let mut walk = Walk {
        path: SafePath::new(if is_multi_file { name } else { "" }),
        name,
        piece_length: u64::from(piece_length),
        limits,
        files: Files::new(limits),
    };
    walk.walk(entries)?;
    walk.files.finish(is_multi_file)
}

/// Whether there is but one file, which has the torrent's own name.
fn is_single_file(mut entries: Dict<'_>, info: &Fields<'_, '_>) -> Result<bool, Error> {
    let raw_name = info.text("name")?;
    let first = entries.next();
    Ok(first.is_some_and(|(key, node)| Some(key) == raw_name && leaf(node).is_some())
        && entries.next().is_none())
}

/// What describes a file, if the node of the tree is one and not a folder: its only entry, under an empty key.
fn leaf(node: Value<'_>) -> Option<Value<'_>> {
    let mut entries = node.as_dict()?;
    match (entries.next(), entries.next()) {
        (Some((b"", leaf)), None) => Some(leaf),
        _ => None,
    }
}

/// A walk over the file tree, in the torrent's order, which is that of the keys.
struct Walk<'n> {
    path: SafePath,
    name: &'n str,
    piece_length: u64,
    limits: Limits,
    files: Files,
}

impl Walk<'_> {
    fn walk(&mut self, entries: Dict<'_>) -> Result<(), Error> {
        // The folders that the walk is in: what is left of each, and how long its path is.
        let mut folders = vec![(entries, self.path.as_str().len())];
        while let Some((entries, path_len)) = folders.last_mut() {
            self.path.truncate(*path_len);
            let Some((key, node)) = entries.next() else {
                folders.pop();
                continue;
            };
            if key.is_empty() {
                return Err(Error::EmptyPath { key: Place::Tree(self.path.as_str()).to_string() });
            }
            self.path.push(&element(key));
            let place = Place::Tree(self.path.as_str());
            if folders.len() > self.limits.max_path_depth {
                return Err(Error::PathTooDeep { key: place.to_string(), limit: self.limits.max_path_depth });
            }
            match (leaf(node), node.as_dict()) {
                (Some(leaf), _) => self.file(leaf)?,
                (None, Some(entries)) => folders.push((entries, self.path.as_str().len())),
                (None, None) => {
                    let key = place.to_string();
                    return Err(Error::WrongType { key, expected: Kind::Dict, found: node.kind() });
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, leaf: Value<'_>) -> Result<(), Error> {
        let path = self.path.clone();
        let fields = Fields::new(leaf, Place::Tree(path.as_str()))?;
        let attributes = Attributes::of(&fields);
        if attributes.has(b'p') {
            return Err(Error::PadInTree { key: path.to_string() });
        }
        let kind = link_or_file(&attributes, &fields, self.name, self.limits)?;
        let length = if kind == FileKind::Regular { fields.size("length")? } else { 0 };
        let pieces_root = if length > 0 { Some(Box::new(pieces_root(&fields)?)) } else { None };
        if length > 0 {
            self.align()?;
        }
        let (executable, hidden) = (attributes.has(b'x'), attributes.has(b'h'));
        let offset = self.files.offset;
        self.files.push(File { path, length, offset, kind, executable, hidden, pieces_root })
    }

    /// Fills the last piece with a pad file.
    fn align(&mut self) -> Result<(), Error> {
        let over = self.files.offset % self.piece_length;
        if over == 0 {
            return Ok(());
        }
        let length = self.piece_length - over;
        let mut path = SafePath::new(".pad");
        path.push(&length.to_string());
        let (offset, kind) = (self.files.offset, FileKind::Pad);
        self.files.push(File {
            path,
            length,
            offset,
            kind,
            executable: false,
            hidden: false,
            pieces_root: None,
        })
    }
}

fn pieces_root(fields: &Fields<'_, '_>) -> Result<Hash, Error> {
    let root = fields.bytes("pieces root")?.ok_or_else(|| fields.missing("pieces root"))?;
    let root = Hash::try_from(root).ok().filter(|root| *root != [0; 32]);
    root.ok_or_else(|| Error::PiecesRoot { key: fields.path("pieces root") })
}

/// Checks that each piece layer in the torrent file adds up to the root of its file.
///
/// A layer may be missing: its hashes can be had from peers, as they are for a magnet link.
pub(super) fn check_piece_layers(root: Value<'_>, files: &[File], piece_length: u32) -> Result<(), Error> {
    let top = Fields::new(root, Place::Top)?;
    let Some(layers) = top.find("piece layers") else { return Ok(()) };
    let layers = layers.as_dict().ok_or_else(|| top.wrong_type("piece layers", Kind::Dict, layers))?;
    let more_than_a_piece = files.iter().filter(|file| file.length > u64::from(piece_length));
    let by_root: BTreeMap<Hash, &File> =
        more_than_a_piece.filter_map(|file| Some((**file.pieces_root.as_ref()?, file))).collect();
    for (key, layer) in layers {
        let file =
            Hash::try_from(key).ok().and_then(|root| by_root.get(&root)).ok_or(Error::UnknownPieceLayer)?;
        if !layer.as_bytes().is_some_and(|layer| adds_up(layer, file, piece_length)) {
            return Err(Error::PieceLayer { path: file.path.to_string() });
        }
    }
    Ok(())
}

fn adds_up(layer: &[u8], file: &File, piece_length: u32) -> bool {
    let pieces = file.length.div_ceil(u64::from(piece_length));
    let (hashes, rest) = layer.as_chunks::<32>();
    let padding = merkle::padding(merkle::piece_height(piece_length));
    rest.is_empty()
        && hashes.len() as u64 == pieces
        && Some(merkle::root(hashes.iter().copied(), merkle::height(pieces), padding))
            == file.pieces_root.as_deref().copied()
}
