//! What a disk is told and what it tells.

use crate::Error;
use std::path::PathBuf;
use types::{Bitfield, BlockDigest, BlockRange, PieceIndex};

/// How to open a torrent.
pub struct OpenOptions {
    /// The folder that holds (or will hold) the torrent's file or folder.
    pub root: PathBuf,
    /// The [mount point](crate::mount_point) that the root is known to lie under: as long as nothing is mounted there, the
    /// torrent is [`Unavailable`](crate::Error::Unavailable).
    pub mount: Option<PathBuf>,
    /// Whether better times are waited for. A disk that is full is told as [`DiskEvent::Full`] then, and if the root is gone,
    /// no piece is lost by that: writing has failed, and whoever opened it opens it again when the root is back.
    pub patient: bool,
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
    /// What files looked like when that state was made (an earlier [`Snapshot::files`]); pieces in files that
    /// look different now are not trusted but [`suspect`](crate::TorrentDisk::suspect). Empty: files are not
    /// compared.
    pub stamps: Vec<Option<FileStamp>>,
    /// Blocks of unfinished pieces that are on disk from an earlier run (an earlier [`Snapshot::partial`]).
    pub partial: Vec<(PieceIndex, Vec<u32>)>,
    /// Whether an earlier run may have left bytes in memory that it could not make durable: files are synced, and read from
    /// the disk, before they are [checked](crate::TorrentDisk::check).
    pub broken_off: bool,
    /// Bytes that may have come and not be durable: above it [`write_block`](crate::TorrentDisk::write_block) waits for a
    /// [`sync`](crate::TorrentDisk::sync) that ends. Whoever sets it must sync without being asked to.
    pub max_unsynced: u64,
    /// Is told what happens, in order, some at a time; one call at a time. It is called on disk threads, and on those that
    /// call [`write_block`](crate::TorrentDisk::write_block) and [`tell`](crate::TorrentDisk::tell): it must not block, nor
    /// call anything of this torrent's disk, which would wait for it to return.
    pub events: Box<dyn Fn(Vec<DiskEvent>) + Send + Sync>,
}

impl OpenOptions {
    /// All files wanted, sparse, nothing known, nothing overwritten.
    pub fn new(
        root: impl Into<PathBuf>,
        parts_path: impl Into<PathBuf>,
        events: impl Fn(Vec<DiskEvent>) + Send + Sync + 'static,
    ) -> OpenOptions {
        OpenOptions {
            root: root.into(),
            mount: None,
            patient: false,
            parts_path: parts_path.into(),
            wanted: Vec::new(),
            allocate: Allocate::Sparse,
            overwrite: false,
            known: Vec::new(),
            trusted: None,
            stamps: Vec::new(),
            partial: Vec::new(),
            broken_off: false,
            max_unsynced: u64::MAX,
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
    /// All room is taken by [`prepare`](crate::TorrentDisk::prepare), so that a full disk is found before the
    /// download.
    Full,
}

/// What happens on disk without being asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskEvent {
    /// A block is in, and counts towards its piece. It always comes before what its piece comes to.
    BlockTaken {
        /// Which block.
        block: BlockRange,
        /// What [`write_block`](crate::TorrentDisk::write_block) was told of where it came from.
        from: u64,
    },
    /// All blocks of a piece are written and its hash is right.
    PieceVerified {
        /// Which piece.
        piece: PieceIndex,
        /// If it had failed before: the digest of each of its blocks, in order. Else empty.
        digests: Vec<BlockDigest>,
    },
    /// All blocks of a piece are there and its hash is wrong: its blocks may be written again.
    PieceFailed {
        /// Which piece.
        piece: PieceIndex,
        /// Whether some of its blocks were read from disk to be hashed, since they came from an earlier run or there
        /// was no room to keep them until then. The disk may have spoiled them: that the piece is bad proves nothing
        /// against anybody.
        from_disk: bool,
        /// The digest of each of its blocks as it was hashed, in order; `None` for those that were read from disk.
        /// Empty if it can't be told any more.
        digests: Vec<Option<BlockDigest>>,
    },
    /// A verified piece cannot be read any more, or was scrubbed and is bad. Its blocks may be written again.
    PieceLost {
        /// Which piece.
        piece: PieceIndex,
    },
    /// These blocks were [forgotten](crate::TorrentDisk::forget_blocks): they may be written again.
    BlocksForgotten {
        /// Of which piece.
        piece: PieceIndex,
        /// Their numbers.
        blocks: Vec<u32>,
    },
    /// There is no room on the disk, as the error says. Nothing is lost: what came is kept in memory, what comes waits, and
    /// all is well again after a [`retry`](crate::TorrentDisk::retry) that tells [`DiskEvent::Room`].
    Full(Error),
    /// There is room on the disk again.
    Room,
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

/// What [`verify`](crate::TorrentDisk::verify) found.
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
