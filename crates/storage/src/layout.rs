//! Where each byte of a torrent lies in its files.

use crate::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use types::{Lengths, PieceIndex};

/// The torrent as the disk sees it: files in order, pieces, and the hash of each piece.
#[derive(Debug)]
pub struct Layout {
    lengths: Lengths,
    files: Vec<FileSpan>,
    hashes: Hashes,
}

/// One file of the torrent. Its index is that of the torrent's list.
#[derive(Clone, Debug)]
pub(crate) struct FileSpan {
    pub(crate) path: Vec<String>,
    /// Where it starts, in bytes from the start of the torrent.
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    /// Pad files and symbolic links: never on disk; their bytes, if any, are zeros.
    Virtual,
}

/// Some bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) file: usize,
    /// From the start of the file.
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

#[derive(Debug)]
enum Hashes {
    List(Vec<[u8; 20]>),
}

impl Layout {
    // `Layout::new(metainfo: Arc<Metainfo>) -> Result<Layout, Error>` comes with `metainfo::Metainfo`.

    /// How the bytes divide into pieces and blocks.
    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// How many files there are, pad files and symbolic links included.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The pieces that hold at least one byte of file number `file`.
    pub fn pieces_of_file(&self, file: usize) -> Range<u32> {
        self.files.get(file).map_or(0..0, |f| self.lengths.pieces_touching(f.offset..f.offset + f.length))
    }

    /// Where a file lies under `root`; `root` itself for a file that the torrent does not have.
    pub fn path_under(&self, root: &Path, file: usize) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.files.get(file).iter().flat_map(|f| &f.path));
        path
    }

    pub(crate) fn files(&self) -> &[FileSpan] {
        &self.files
    }

    pub(crate) fn piece_hash(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        match &self.hashes {
            Hashes::List(list) => list.get(piece.index()).copied(),
        }
    }

    /// The files under `len` bytes from `offset` of a piece, in order, empty files left out.
    pub(crate) fn slices(
        &self,
        piece: PieceIndex,
        offset: u32,
        len: u32,
    ) -> impl Iterator<Item = Slice> + '_ {
        let start = self.lengths.piece_offset(piece) + u64::from(offset);
        let end = start + u64::from(len);
        let first = self.files.partition_point(|f| f.offset + f.length <= start);
        self.files
            .iter()
            .enumerate()
            .skip(first)
            .take_while(move |(_, f)| f.offset < end)
            .filter(|(_, f)| f.length > 0)
            .map(move |(file, f)| {
                let from = start.max(f.offset);
                let to = end.min(f.offset + f.length);
                let len = usize::try_from(to - from).expect("no longer than a piece");
                Slice { file, offset: from - f.offset, len }
            })
    }

    fn checked(lengths: Lengths, files: Vec<FileSpan>, hashes: Hashes) -> Result<Layout, Error> {
        for file in files.iter().filter(|f| f.kind == Kind::Regular) {
            if file.path.is_empty() || !file.path.iter().all(|element| is_safe(element)) {
                return Err(Error::UnsafePath(file.path.join("/")));
            }
        }
        Ok(Layout { lengths, files, hashes })
    }
}

/// Whether a path element names something within its folder.
fn is_safe(element: &str) -> bool {
    !matches!(element, "" | "." | "..") && !element.contains(['/', '\0'])
}
