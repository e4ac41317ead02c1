//! The files of a torrent as people and programs see them: in order, without pad files, symlinks included.
//!
//! A file's number in `--select` is its place in this list, which is also its place in `show --json`'s `files`.

use metainfo::{FileKind, Metainfo};

/// One file of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its place among all of the torrent's files.
    pub(crate) index: usize,
    /// `/`-joined, starting with the torrent's name.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Where a symlink points.
    pub(crate) target: Option<String>,
}

pub(crate) fn list(torrent: &Metainfo) -> Vec<Listed> {
    let files = torrent.files().iter().enumerate();
    files
        .filter_map(|(index, file)| {
            let target = match &file.kind {
                FileKind::Regular => None,
                FileKind::Symlink { target } => Some(target.to_string()),
                FileKind::Pad => return None,
            };
            Some(Listed { index, path: file.path.to_string(), size: file.length, target })
        })
        .collect()
}
