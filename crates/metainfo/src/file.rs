//! The files of a torrent.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

/// One entry of a torrent's list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it goes, below the folder that the user chose; safe, and no other regular file's.
    pub path: SafePath,
    /// Its size in bytes; 0 for a symlink.
    pub length: u64,
    /// Where it starts, in bytes from the start of the torrent. Files lie side by side, without gaps.
    pub offset: u64,
    /// What it is.
    pub kind: FileKind,
    /// Marked executable (BEP 47).
    pub executable: bool,
    /// Marked hidden (BEP 47).
    pub hidden: bool,
    /// The Merkle root of a v2 or hybrid torrent's file that is not empty (BEP 52).
    pub pieces_root: Option<Box<[u8; 32]>>,
}

impl File {
    /// Whether it is a file to be written, rather than padding or a symlink.
    pub fn is_regular(&self) -> bool {
        self.kind == FileKind::Regular
    }

    /// Whether it is a pad file: zeros that are never written to a file of their own.
    pub fn is_pad(&self) -> bool {
        self.kind == FileKind::Pad
    }

    /// The torrent's bytes that are this file's; empty for an empty file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

/// What an entry of the list of files is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file to be downloaded.
    Regular,
    /// Zeros that align the next file to a piece (BEP 47); never written.
    Pad,
    /// A symbolic link (BEP 47); shown, never created.
    Symlink {
        /// Where it points, from the folder that the user chose; safe.
        target: SafePath,
    },
}

/// A part of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSlice {
    /// Which file, as an index into [`Metainfo::files`](crate::Metainfo::files).
    pub file: usize,
    /// Where the part starts, in bytes from the start of the file.
    pub offset: u64,
    /// How long it is in bytes; never 0.
    pub len: u64,
}

/// A relative path that cannot climb out of the folder it is used in: one or more elements, none of them empty,
/// `.` or `..`, none with a separator or a control character in it ([`names`](crate::names) made them so).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(String);

impl SafePath {
    /// A path of one element, which the caller has made safe.
    pub(crate) fn new(element: &str) -> SafePath {
        SafePath(element.to_owned())
    }

    /// Appends an element that the caller has made safe.
    pub(crate) fn push(&mut self, element: &str) {
        if !self.0.is_empty() {
            self.0.push('/');
        }
        self.0.push_str(element);
    }

    /// Changes the last element, to a name that the caller has made safe.
    pub(crate) fn set_file_name(&mut self, name: &str) {
        let parent = self.0.len() - self.file_name().len();
        self.0.truncate(parent);
        self.0.push_str(name);
    }

    /// Cuts the path to the first `len` bytes, which the caller knows to be whole elements.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The elements, joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The elements in order, the torrent's name first (but for pad files that have no name).
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last element.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// The elements, joined by `/`.
impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
