//! Looking at what is on disk of a torrent, without changing anything.

use crate::Error;
use metainfo::Metainfo;
use std::path::Path;
use std::sync::Arc;
use storage::{DiskPool, Layout, OpenOptions, PoolSettings, TorrentDisk};
use types::Bitfield;

/// What is on disk of a torrent.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many pieces the torrent has.
    pub pieces: u32,
    /// The numbers of the pieces that are missing or wrong, in order.
    pub bad_pieces: Vec<u32>,
    /// Every file of the torrent by its index, pad files and symbolic links as [`FileState::Good`].
    pub files: Vec<FileState>,
}

/// How one file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Its size is right, and so are all pieces that touch it.
    Good,
    /// It is not there.
    Missing,
    /// It has another size than the torrent says.
    WrongSize {
        /// The size on disk in bytes.
        found: u64,
    },
    /// Its size is right, but some of its pieces are not.
    BadPieces {
        /// How many of its pieces are wrong.
        bad: u32,
        /// How many pieces touch it.
        of: u32,
    },
    /// It cannot be read.
    Unreadable {
        /// What the system says, for people.
        reason: String,
    },
}

impl Report {
    /// Whether everything is there.
    pub fn is_good(&self) -> bool {
        self.bad_pieces.is_empty() && self.files.iter().all(|file| *file == FileState::Good)
    }
}

/// Hashes everything that is in `dir` (the folder that holds the torrent's file or folder) of `metainfo`.
///
/// `progress` is told how many pieces are done.
///
/// # Errors
/// [`Error::V2Only`], or [`Error::Disk`] if something that is not a file stands where one of the torrent's goes.
pub async fn verify(
    metainfo: impl Into<Arc<Metainfo>>,
    dir: &Path,
    progress: impl FnMut(u32),
) -> Result<Report, Error> {
    let metainfo = metainfo.into();
    metainfo.info_hash().v1().ok_or(Error::V2Only)?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pool = DiskPool::new(PoolSettings { threads, ..PoolSettings::default() })?;
    let layout = Layout::new(metainfo)?;
    // Nothing is written, so that no parts file comes about; one that exists belongs to a download.
    let options = OpenOptions::new(dir, dir.join(".no.parts"), |_| {});
    let report = TorrentDisk::open(&pool, layout, options).await?.verify(progress).await?;
    Ok(Report {
        pieces: report.pieces.len(),
        bad_pieces: bad(&report.pieces),
        files: report.files.into_iter().map(FileState::from).collect(),
    })
}

fn bad(good: &Bitfield) -> Vec<u32> {
    good.zeros().map(types::PieceIndex::get).collect()
}

impl From<storage::FileReport> for FileState {
    fn from(report: storage::FileReport) -> FileState {
        use storage::FileReport;
        match report {
            FileReport::Good => FileState::Good,
            FileReport::Missing => FileState::Missing,
            FileReport::WrongSize { found, .. } => FileState::WrongSize { found },
            FileReport::BadPieces { bad, pieces } => FileState::BadPieces { bad, of: pieces },
            FileReport::Unreadable(err) => FileState::Unreadable { reason: err.to_string() },
        }
    }
}
