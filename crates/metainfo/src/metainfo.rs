//! A torrent as the rest of the program sees it.

use crate::info::Info;
use crate::{Error, File, FileSlice, Limits, Shelf, Unreadable, parse};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use types::{Bitfield, InfoHash, InfoHashV1, Lengths, PieceIndex};

/// The length of a piece's SHA-1.
const HASH_LEN: usize = 20;

/// A torrent file that was decoded, checked and made safe.
///
/// Its bytes are those of all [`files`](Metainfo::files) one after the other, pad files included. In a hybrid that
/// is how its v1 half has them; in a v2 torrent, pad files are put in so that each file starts with a piece of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Metainfo {
    pub(crate) info: Info,
    pub(crate) info_hash: InfoHash,
    pub(crate) name: String,
    pub(crate) files: Vec<File>,
    pub(crate) is_multi_file: bool,
    pub(crate) lengths: Lengths,
    /// Where the v1 hashes lie in `info`: 20 bytes for each piece of `lengths`, or nothing in a v2 torrent.
    pub(crate) pieces: Range<usize>,
    pub(crate) is_private: bool,
    pub(crate) trackers: Vec<Vec<String>>,
    pub(crate) web_seeds: Vec<String>,
    pub(crate) comment: Option<String>,
    pub(crate) created_by: Option<String>,
    pub(crate) creation_date: Option<i64>,
    pub(crate) dht_nodes: Vec<(String, u16)>,
    pub(crate) similar: Vec<InfoHashV1>,
    pub(crate) collections: Vec<String>,
}

/// Which of the two kinds of torrent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// As BEP 3 has it: SHA-1 over pieces.
    V1,
    /// As BEP 52 has it: SHA-256 trees over files.
    V2,
    /// Both at once.
    Hybrid,
}

/// `v1`, `v2` or `hybrid`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::Hybrid => "hybrid",
        })
    }
}

impl Metainfo {
    /// Reads a torrent file, within [`Limits::DEFAULT`]. Bytes after its end are ignored, as other clients do.
    ///
    /// # Errors
    /// Whatever keeps the file from being a torrent that can be used, said for people.
    pub fn parse(torrent: &[u8]) -> Result<Metainfo, Error> {
        parse::parse(torrent, Limits::DEFAULT)
    }

    /// Reads a torrent file, within limits of the caller's choice.
    ///
    /// # Errors
    /// Whatever keeps the file from being a torrent that can be used, said for people.
    pub fn parse_with(torrent: &[u8], limits: Limits) -> Result<Metainfo, Error> {
        parse::parse(torrent, limits)
    }

    /// The torrent's name on the network: v1, v2 or both.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Whether it is a v1, a v2 or a hybrid torrent.
    pub fn version(&self) -> Version {
        match self.info_hash {
            InfoHash::V1(_) => Version::V1,
            InfoHash::V2(_) => Version::V2,
            InfoHash::Hybrid(..) => Version::Hybrid,
        }
    }

    /// The name, made safe: that of the one file, or of the folder that holds the files. In place of a name of which
    /// nothing is left, the info-hash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the bytes divide into pieces and blocks.
    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// The SHA-1 that a piece should have; `None` in a v2 torrent or for a piece that the torrent does not have.
    ///
    /// # Errors
    /// [`Unreadable`] if it is on a shelf that cannot be read.
    pub fn piece_hash(&self, piece: PieceIndex) -> Result<Option<[u8; 20]>, Unreadable> {
        let start = self.pieces.start.saturating_add(piece.index().saturating_mul(HASH_LEN));
        if start.saturating_add(HASH_LEN) > self.pieces.end {
            return Ok(None);
        }
        let mut hash = [0; HASH_LEN];
        self.info.read(start, &mut hash)?;
        Ok(Some(hash))
    }

    /// Whether peers may come from the torrent's own trackers only (BEP 27).
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// All files in the torrent's order, pad files and symlinks among them.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Whether the files lie in a folder of the torrent's name; otherwise there is one, which has that name.
    pub fn is_multi_file(&self) -> bool {
        self.is_multi_file
    }

    /// The size of what will be on disk in bytes: all files but pad files and symlinks.
    pub fn payload_len(&self) -> u64 {
        self.files.iter().filter(|file| file.is_regular()).map(|file| file.length).sum()
    }

    /// The trackers, as tiers that are tried in order (BEP 12); trimmed, otherwise as they were given.
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// The web seeds (BEP 19), each once. With several files, each URL ends with `/`.
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }

    /// What its maker had to say.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// The program that made it.
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// When it was made, in seconds since 1970.
    pub fn creation_date(&self) -> Option<i64> {
        self.creation_date
    }

    /// DHT nodes to start from, as host and port (BEP 5).
    pub fn dht_nodes(&self) -> &[(String, u16)] {
        &self.dht_nodes
    }

    /// Torrents that share files with this one (BEP 38).
    pub fn similar(&self) -> &[InfoHashV1] {
        &self.similar
    }

    /// Names of collections that this torrent is in; others there share files with it (BEP 38).
    pub fn collections(&self) -> &[String] {
        &self.collections
    }

    /// The info dictionary exactly as it stands in the file, which is what peers send each other (BEP 9).
    ///
    /// # Errors
    /// [`Unreadable`] if it is on a shelf that cannot be read.
    pub fn info_bytes(&self) -> Result<Cow<'_, [u8]>, Unreadable> {
        self.info_part(0..self.info_len())
    }

    /// A part of it, cut to its end.
    ///
    /// # Errors
    /// As [`info_bytes`](Self::info_bytes).
    pub fn info_part(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, Unreadable> {
        self.info.part(range)
    }

    /// How long it is, in bytes.
    pub fn info_len(&self) -> usize {
        self.info.len()
    }

    /// The same torrent with its info dictionary on a shelf, so that it takes no memory: hashes and
    /// [`info_bytes`](Self::info_bytes) are read from there. `keep` is given a torrent file and where in it that dictionary lies;
    /// `None` if it has no room for it, or if it is on a shelf already. The file is what [`from_shelf`](Self::from_shelf)
    /// reads: it has all that a `Metainfo` has, but no piece layers (BEP 52).
    pub fn shelved(
        &self,
        keep: impl FnOnce(&[u8], Range<usize>) -> Option<Arc<dyn Shelf>>,
    ) -> Option<Metainfo> {
        let info = self.info.shelved(keep)?;
        Some(Metainfo { info, ..self.clone() })
    }

    /// A torrent that was [`shelved`](Self::shelved), from its shelf alone. Its info dictionary stays there.
    ///
    /// # Errors
    /// [`Unreadable`] if the shelf cannot be read, or holds something else.
    pub fn from_shelf(shelf: &Arc<dyn Shelf>) -> Result<Metainfo, Unreadable> {
        let file = shelf.whole().ok_or(Unreadable)?;
        let here = parse::from_shelf(&file).map_err(|_| Unreadable)?;
        let info = Info::Shelved { shelf: shelf.clone(), len: here.info.len() };
        Ok(Metainfo { info, ..here })
    }

    /// Where the info dictionary lies, if not in memory.
    pub fn shelf(&self) -> Option<&Arc<dyn Shelf>> {
        self.info.shelf()
    }

    /// The parts of files that hold the torrent's bytes in `range` (cut to the torrent's end), in order.
    ///
    /// Together they are as long as the range. Parts of pad files are among them, since their zeros are hashed; empty
    /// files and symlinks are not. Finding the first takes O(log files).
    pub fn file_slices(&self, range: Range<u64>) -> impl Iterator<Item = FileSlice> {
        let first = self.files.partition_point(|file| file.range().end <= range.start);
        let overlapping = self.files.iter().enumerate().skip(first);
        overlapping.take_while(move |(_, file)| file.offset < range.end).filter_map(move |(index, file)| {
            let start = file.offset.max(range.start);
            let end = file.range().end.min(range.end);
            (start < end).then(|| FileSlice { file: index, offset: start - file.offset, len: end - start })
        })
    }

    /// The pieces that hold at least one byte of a file; none for one that is empty or that is not there.
    pub fn file_pieces(&self, file: usize) -> Range<u32> {
        self.files.get(file).map_or(0..0, |file| self.lengths.pieces_touching(file.range()))
    }

    /// The pieces that are needed to have the files whose place in `wanted` is true; a file beyond its end is not wanted.
    ///
    /// Pad files and symlinks ask for nothing, wanted or not.
    pub fn pieces_for_files(&self, wanted: &[bool]) -> Bitfield {
        let mut pieces = Bitfield::new(self.lengths.piece_count());
        for (file, _) in self.files.iter().zip(wanted).filter(|&(file, &wanted)| wanted && file.is_regular())
        {
            for piece in self.lengths.pieces_touching(file.range()) {
                pieces.insert(PieceIndex::new(piece));
            }
        }
        pieces
    }

    /// For each piece the greatest of the values of the files that it is needed for, from one value for each file; for a
    /// file beyond their end, and for a piece that no file needs, `least`.
    ///
    /// Pad files and symlinks need nothing, whatever their value. With `bool` it is
    /// [`pieces_for_files`](Self::pieces_for_files); with priorities, a piece on the border of two files is fetched as
    /// early as the more important one.
    pub fn greatest_per_piece<T: Copy + Ord>(&self, values: &[T], least: T) -> Vec<T> {
        let mut pieces = vec![least; self.lengths.piece_count() as usize];
        for (file, &value) in self.files.iter().zip(values).filter(|(file, _)| file.is_regular()) {
            let touched = self.lengths.pieces_touching(file.range());
            for piece in &mut pieces[touched.start as usize..touched.end as usize] {
                *piece = value.max(*piece);
            }
        }
        pieces
    }
}

impl fmt::Debug for Metainfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metainfo")
            .field("name", &self.name)
            .field("info_hash", &self.info_hash)
            .field("lengths", &self.lengths)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
