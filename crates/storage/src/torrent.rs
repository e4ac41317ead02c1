//! One torrent's bytes on disk.

use crate::{DiskPool, Error, Layout, SyncError, WriteRefused};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use types::{Bitfield, BlockRange, PieceIndex};

/// One torrent's bytes on disk. Cheap to clone; all clones are the same torrent.
///
/// Its life: [`open`](Self::open) only looks; [`check`](Self::check) hashes what cannot be trusted;
/// [`prepare`](Self::prepare) makes folders and empty files and allows writing (not needed to seed); blocks are
/// written and read; [`close`](Self::close) makes everything durable and lets go of the files.
///
/// The async methods work on any executor. Their work is done on the pool's own threads.
#[derive(Clone)]
pub struct TorrentDisk {
    inner: Arc<Inner>,
}

/// How to open a torrent.
pub struct OpenOptions {
    /// The folder that holds (or will hold) the torrent's file or folder.
    pub root: PathBuf,
    /// Where bytes of unwanted files are kept that share a piece with wanted ones; created when first needed.
    pub parts_path: PathBuf,
    /// Which files are wanted, by index in the torrent; empty for all, pad files and links do not count.
    pub wanted: Vec<bool>,
    /// Whether files get their room before the first byte.
    pub allocate: Allocate,
    /// Whether files of somebody else's may be overwritten where the torrent's go.
    pub overwrite: bool,
    /// The files that our own state says are the torrent's (an earlier [`Snapshot::ours`]); empty for none.
    pub known: Vec<bool>,
    /// Pieces that our own state says are on disk, if it says anything.
    pub trusted: Option<Bitfield>,
    /// What files looked like when that state was made (an earlier [`Snapshot::files`]); pieces in files that look
    /// different now are not trusted but [`suspect`](TorrentDisk::suspect). Empty: files are not compared.
    pub stamps: Vec<Option<FileStamp>>,
    /// Blocks of unfinished pieces that are on disk from an earlier run (an earlier [`Snapshot::partial`]).
    pub partial: Vec<(PieceIndex, Vec<u32>)>,
    /// Is told what happens, on disk threads: it must not block.
    pub events: Box<dyn Fn(DiskEvent) + Send + Sync>,
}

impl OpenOptions {
    /// All files wanted, sparse, nothing known, nothing overwritten.
    pub fn new(
        root: impl Into<PathBuf>,
        parts_path: impl Into<PathBuf>,
        events: impl Fn(DiskEvent) + Send + Sync + 'static,
    ) -> OpenOptions {
        OpenOptions {
            root: root.into(),
            parts_path: parts_path.into(),
            wanted: Vec::new(),
            allocate: Allocate::Sparse,
            overwrite: false,
            known: Vec::new(),
            trusted: None,
            stamps: Vec::new(),
            partial: Vec::new(),
            events: Box::new(events),
        }
    }
}

/// Whether files get their room on disk before the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocate {
    /// Room is taken as bytes arrive; a file has its full length from its first byte on.
    #[default]
    Sparse,
    /// All room is taken by [`prepare`](TorrentDisk::prepare), so that a full disk is found before the download.
    Full,
}

/// What happens on disk without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskEvent {
    /// All blocks of a piece are written and its hash is right.
    PieceVerified(PieceIndex),
    /// All blocks of a piece are there and its hash is wrong: its blocks may be written again.
    PieceFailed {
        /// Which piece.
        piece: PieceIndex,
        /// Whether some of its blocks came from an earlier run, so that nobody in this one can be blamed.
        from_disk: bool,
    },
    /// Writing has stopped for good: every block from here on is refused. What is verified can still be read.
    Failed(Error),
}

/// What a file looks like from outside: enough to see that somebody changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub mtime_nanos: i64,
    /// The file system's number of the file.
    pub inode: u64,
}

/// What is durable: to be kept as resume state, and given back through [`OpenOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Verified pieces.
    pub pieces: Bitfield,
    /// Blocks (by number) of unfinished pieces.
    pub partial: Vec<(PieceIndex, Vec<u32>)>,
    /// The files that are the torrent's, or will be, since nothing stood there.
    pub ours: Vec<bool>,
    /// What each file looks like; `None` for one that is not there, and for pad files and links.
    pub files: Vec<Option<FileStamp>>,
}

/// What [`verify`](TorrentDisk::verify) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The pieces that are good.
    pub pieces: Bitfield,
    /// Every file of the torrent, by its index; pad files and links are [`FileReport::Good`].
    pub files: Vec<FileReport>,
}

/// How one file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileReport {
    /// Its size is right, and so are all pieces that touch it.
    Good,
    /// It is not there.
    Missing,
    /// It has another size than the torrent says.
    WrongSize {
        /// The size on disk, in bytes.
        found: u64,
        /// How many of its pieces are bad.
        bad: u32,
        /// How many pieces touch it.
        pieces: u32,
    },
    /// Its size is right, some pieces are not.
    BadPieces {
        /// How many of its pieces are bad.
        bad: u32,
        /// How many pieces touch it.
        pieces: u32,
    },
    /// It cannot be read.
    Unreadable(Error),
}

impl TorrentDisk {
    /// Looks at what is on disk; changes nothing.
    ///
    /// # Errors
    ///
    /// If something other than a regular file stands where one of the torrent's goes, or cannot be looked at.
    pub async fn open(
        pool: &DiskPool,
        layout: Arc<Layout>,
        options: OpenOptions,
    ) -> Result<TorrentDisk, Error> {
        let _ = (pool, layout, options);
        Err(Error::Closed)
    }

    /// The pieces that can be read: trusted at open, found by a check, or written and verified since.
    pub fn verified(&self) -> Bitfield {
        self.inner.verified.clone()
    }

    /// Trusted pieces that were not believed at open, since a file of theirs looks different: check these.
    pub fn suspect(&self) -> Bitfield {
        self.inner.verified.clone()
    }

    /// Blocks (by number) on disk of pieces that are not complete.
    pub fn partial(&self) -> Vec<(PieceIndex, Vec<u32>)> {
        Vec::new()
    }

    /// Why writing stopped, if it failed.
    pub fn error(&self) -> Option<Error> {
        None
    }

    /// The files that are the torrent's or will be (see [`Snapshot::ours`]). Save this before the first write, so
    /// that after a crash the files are known to be ours.
    pub fn ours(&self) -> Vec<bool> {
        Vec::new()
    }

    /// What each file looks like (see [`Snapshot::files`]).
    pub fn file_stamps(&self) -> Vec<Option<FileStamp>> {
        Vec::new()
    }

    /// Hashes what is on disk of `pieces` and returns those that are good; [`verified`](Self::verified) follows.
    ///
    /// Runs on all work threads; dropping the future cancels it. `progress` is told how many pieces are done.
    /// Pieces that have blocks but are not complete are passed over (they are not good). A file with a good piece in
    /// it is the torrent's from here on.
    ///
    /// # Errors
    ///
    /// If something cannot be read; what is missing or too short is no error.
    pub async fn check(&self, pieces: &Bitfield, progress: impl FnMut(u32)) -> Result<Bitfield, Error> {
        let _ = progress;
        Ok(pieces.clone())
    }

    /// Checks every piece and tells how each file is. To be used on a disk opened for nothing else.
    ///
    /// # Errors
    ///
    /// Only if the pool ends: what cannot be read is part of the report.
    pub async fn verify(&self, progress: impl FnMut(u32)) -> Result<Report, Error> {
        let _ = progress;
        Err(Error::Closed)
    }

    /// Makes ready for writing: the root folder, wanted files of length zero, all room if it is to be allocated, and
    /// bytes that the parts file holds of files that are wanted now.
    ///
    /// # Errors
    ///
    /// [`Error::FileInTheWay`] if a wanted file is somebody else's; a full, read-only or forbidden disk. Files that
    /// this call created are removed again.
    pub async fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Takes one block; returns when it is queued (the queue's limit is the back-pressure).
    ///
    /// The first copy of a block wins, until its piece is verified or fails. Dropping the future gives the block's
    /// place back.
    ///
    /// # Errors
    ///
    /// At once and without harm, see [`WriteRefused`]. Write errors come as [`DiskEvent::Failed`].
    pub async fn write_block(&self, block: BlockRange, data: Bytes) -> Result<(), WriteRefused> {
        let _ = (block, data);
        Err(WriteRefused::Stopped)
    }

    /// Reads some bytes of a verified piece.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`], or what the operating system reports.
    pub async fn read_block(&self, block: BlockRange) -> Result<Bytes, Error> {
        Err(Error::NotVerified(block.piece.get()))
    }

    /// Makes durable what is verified by now, and what is written of other pieces.
    ///
    /// # Errors
    ///
    /// [`SyncError`] names the pieces that must not be counted as ours; writing has then stopped.
    pub async fn sync(&self) -> Result<Snapshot, SyncError> {
        Err(SyncError { error: Error::Closed, not_durable: self.inner.verified.clone() })
    }

    /// Writes what is held, syncs, refuses further writes and closes the files.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub async fn close(&self) -> Result<Snapshot, SyncError> {
        self.sync().await
    }
}

struct Inner {
    verified: Bitfield,
}
