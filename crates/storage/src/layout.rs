//! Where each byte of a torrent lies in its files.

use crate::Error;
use metainfo::{File, Metainfo};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{Lengths, PieceIndex};

/// A torrent as the disk sees it: files in order, pieces, and the hash of each piece.
#[derive(Clone, Debug)]
pub struct Layout {
    metainfo: Arc<Metainfo>,
    /// Paths that take the place of the torrent's own, by file.
    names: Arc<BTreeMap<usize, String>>,
}

/// Some bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) file: usize,
    /// From the start of the file.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl Layout {
    /// The layout of a v1 or hybrid torrent.
    ///
    /// # Errors
    ///
    /// [`Error::NoV1Hashes`] for a v2-only torrent. [`Error::UnsafePath`] never happens with paths that
    /// `metainfo` made safe; it is checked again here because this is where it would hurt.
    pub fn new(metainfo: Arc<Metainfo>) -> Result<Layout, Error> {
        if metainfo.info_hash().v1().is_none() {
            return Err(Error::NoV1Hashes);
        }
        for file in metainfo.files().iter().filter(|file| file.is_regular()) {
            if !file.path.elements().all(is_safe) {
                return Err(Error::UnsafePath(file.path.to_string()));
            }
        }
        Ok(Layout { metainfo, names: Arc::default() })
    }

    /// The same torrent, some of whose files have other paths.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] for one that leads out of the folder, or nowhere.
    pub fn renamed(self, names: &BTreeMap<usize, String>) -> Result<Layout, Error> {
        if let Some(bad) = names.values().find(|path| !path.split('/').all(is_safe)) {
            return Err(Error::UnsafePath(bad.clone()));
        }
        Ok(Layout { names: Arc::new(names.clone()), ..self })
    }

    /// How the bytes divide into pieces and blocks.
    pub fn lengths(&self) -> Lengths {
        self.metainfo.lengths()
    }

    /// Where a file lies under `root`; `root` itself for a file that the torrent does not have.
    pub fn path_under(&self, root: &Path, file: usize) -> PathBuf {
        let is_there = file < self.files().len();
        if is_there { root.join(self.path(file)) } else { root.to_path_buf() }
    }

    /// Where a file lies below the root.
    pub(crate) fn path(&self, file: usize) -> &str {
        self.names.get(&file).map_or_else(|| self.files()[file].path.as_str(), String::as_str)
    }

    pub(crate) fn files(&self) -> &[File] {
        self.metainfo.files()
    }

    /// Whether a file is on disk: pad files (their bytes are zeros) and symbolic links (they have none) are
    /// not.
    pub(crate) fn is_regular(&self, file: usize) -> bool {
        self.files()[file].is_regular()
    }

    pub(crate) fn pieces_of_file(&self, file: usize) -> impl Iterator<Item = PieceIndex> + use<> {
        self.metainfo.file_pieces(file).map(PieceIndex::new)
    }

    /// What a piece should hash to; `None` for one that the torrent does not have.
    pub(crate) fn piece_hash(&self, piece: PieceIndex) -> Result<Option<[u8; 20]>, Error> {
        self.metainfo.piece_hash(piece).map_err(|_| Error::HashesUnreadable)
    }

    /// The files under `len` bytes from `offset` of a piece, in order; pad files are among them, empty files
    /// are not.
    pub(crate) fn slices(
        &self,
        piece: PieceIndex,
        offset: u32,
        len: u32,
    ) -> impl Iterator<Item = Slice> + '_ {
        let start = self.lengths().piece_offset(piece) + u64::from(offset);
        self.metainfo.file_slices(start..start + u64::from(len)).map(|slice| {
            let len = usize::try_from(slice.len).expect("no longer than a piece");
            Slice { file: slice.file, offset: slice.offset, len }
        })
    }

    /// The slices of a whole piece that are on disk.
    pub(crate) fn regular_slices(&self, piece: PieceIndex) -> impl Iterator<Item = Slice> + '_ {
        self.slices(piece, 0, self.lengths().piece_len(piece)).filter(|slice| self.is_regular(slice.file))
    }
}

/// Whether a path element names something within its folder.
fn is_safe(element: &str) -> bool {
    !matches!(element, "" | "." | "..") && !element.contains(['/', '\0'])
}
