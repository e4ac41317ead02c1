//! What can go wrong on a disk, said so that a person knows what to do.

use rustix::io::Errno;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What ends the text of an error after which who transfers once has to do so again.
pub const START_AGAIN: &str = ", then start again";

/// What ends the message of an error that an option of a download can do something about.
pub const OR_OVERWRITE: &str = ", or allow it to be overwritten";

/// Why something could not be done on disk. The text is one line for people and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// No room, or the quota is used up.
    #[error("the disk is full: cannot write {}; free some space{START_AGAIN}", .0.display())]
    DiskFull(PathBuf),
    /// The file system is mounted read-only.
    #[error("{} is on a read-only file system; choose another folder", .0.display())]
    ReadOnly(PathBuf),
    /// Owner or mode forbid it.
    #[error("no permission for {}; change its owner or mode, or choose another folder", .0.display())]
    PermissionDenied(PathBuf),
    /// It was there, or has to be there, and is not.
    #[error("{} is gone; put it back (is its disk mounted?){START_AGAIN}", .0.display())]
    Gone(PathBuf),
    /// A file stands where the torrent's would go, and nothing says that it is the torrent's.
    #[error("{} exists and is not known to be this torrent's; move it away{OR_OVERWRITE}", .0.display())]
    FileInTheWay(PathBuf),
    /// A folder stands where the torrent's file would go.
    #[error("{} is a folder, but the torrent has a file there; move it away", .0.display())]
    FolderInTheWay(PathBuf),
    /// A file stands where a folder has to be.
    #[error("{} is a file, but has to be a folder; move it away, or choose another folder", .0.display())]
    NotAFolder(PathBuf),
    /// A symbolic link below the download folder; a torrent is neither written nor read through it.
    #[error("{} is a symbolic link; a torrent's files are not reached through links, remove it", .0.display())]
    SymbolicLink(PathBuf),
    /// A device, socket or pipe stands where the torrent's file would go.
    #[error("{} is not a regular file; move it away", .0.display())]
    NotAFile(PathBuf),
    /// The file system cannot hold a name of the torrent.
    #[error("{} is a name that this file system cannot hold; choose a folder on another one", .0.display())]
    BadName(PathBuf),
    /// The file system cannot hold a file of this size.
    #[error("{} is larger than this file system allows; choose a folder on another one", .0.display())]
    FileTooLarge(PathBuf),
    /// The disk that holds the torrent's folder is not mounted, or all of the torrent's files are gone from it.
    #[error("{} is not there now; it goes on when the disk is mounted, or the files are back", .0.display())]
    Unavailable(PathBuf),
    /// The process has no file descriptor left.
    #[error("too many open files: cannot open {}; raise the limit (ulimit -n)", .0.display())]
    TooManyOpenFiles(PathBuf),
    /// A file is shorter than what is known to be in it.
    #[error("{} is shorter than it was; check the torrent again", .0.display())]
    Shorter(PathBuf),
    /// A file was written to while it was hashed.
    #[error("{} changed while it was read; wait until nothing writes to it{START_AGAIN}", .0.display())]
    Changed(PathBuf),
    /// It is another file than the torrent left, or was written to since.
    #[error("{} is not as the torrent left it, and stays; remove it by hand if it is not wanted", .0.display())]
    NotAsLeft(PathBuf),
    /// A name that is not UTF-8 cannot stand in a torrent.
    #[error("{} has a name that is not UTF-8; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// More files than [`MAX_WALKED_FILES`](crate::limits::MAX_WALKED_FILES), or folders deeper than
    /// [`MAX_WALK_DEPTH`](crate::limits::MAX_WALK_DEPTH).
    #[error("{} holds too many files or too deep folders for one torrent", .0.display())]
    TooManyFiles(PathBuf),
    /// There is nothing to make a torrent of.
    #[error("{} holds no bytes to make a torrent of", .0.display())]
    NothingThere(PathBuf),
    /// Anything else that the operating system reported.
    #[error("cannot {action} {}: {reason}", .path.display())]
    Io {
        /// What was tried: "read", "write", "open", ...
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// A path of the torrent that must not be used as one; the parser of torrents makes them safe.
    #[error("the torrent's path {0:?} is not safe")]
    UnsafePath(String),
    /// A v2-only torrent has no SHA-1 pieces.
    #[error("the torrent has only v2 hashes, which are not supported yet")]
    NoV1Hashes,
    /// What the pieces should hash to is kept on a disk, and cannot be read from there.
    #[error(
        "cannot read back what the torrent's pieces should hash to; see that the disk with the state directory is well{START_AGAIN}"
    )]
    HashesUnreadable,
    /// Asked for a piece that is not verified.
    #[error("piece {0} is not there to be read")]
    NotVerified(u32),
    /// The torrent's disk was closed, or its threads have ended.
    #[error("the torrent's files are closed")]
    Closed,
    /// The threads of a pool could not be started.
    #[error("cannot start disk threads: {0}")]
    Threads(String),
}

impl Error {
    /// One word for programs, stable over versions: `disk_full`, `file_in_the_way`, ...
    pub fn kind(&self) -> &'static str {
        match self {
            Error::DiskFull(_) => "disk_full",
            Error::ReadOnly(_) => "read_only",
            Error::PermissionDenied(_) => "permission_denied",
            Error::Gone(_) => "gone",
            Error::FileInTheWay(_) => "file_in_the_way",
            Error::FolderInTheWay(_) => "folder_in_the_way",
            Error::NotAFolder(_) => "not_a_folder",
            Error::SymbolicLink(_) => "symbolic_link",
            Error::NotAFile(_) => "not_a_file",
            Error::BadName(_) => "bad_name",
            Error::FileTooLarge(_) => "file_too_large",
            Error::Unavailable(_) => "unavailable",
            Error::TooManyOpenFiles(_) => "too_many_open_files",
            Error::Shorter(_) => "shorter",
            Error::Changed(_) => "changed",
            Error::NotAsLeft(_) => "not_as_left",
            Error::NotUtf8(_) => "not_utf8",
            Error::TooManyFiles(_) => "too_many_files",
            Error::NothingThere(_) => "nothing_there",
            Error::Io { .. } => "io",
            Error::UnsafePath(_) => "unsafe_path",
            Error::NoV1Hashes => "no_v1_hashes",
            Error::HashesUnreadable => "hashes_unreadable",
            Error::NotVerified(_) => "not_verified",
            Error::Closed => "closed",
            Error::Threads(_) => "threads",
        }
    }

    /// Whether the bytes may still be where they were, though they cannot be had now.
    pub(crate) fn will_pass(&self) -> bool {
        matches!(self, Error::TooManyOpenFiles(_))
    }

    /// What the operating system said when it was asked to `action` (a verb) `path`.
    pub(crate) fn os(action: &'static str, path: &Path, errno: Errno) -> Error {
        let path = path.to_path_buf();
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::DiskFull(path),
            Errno::ROFS => Error::ReadOnly(path),
            Errno::ACCESS | Errno::PERM => Error::PermissionDenied(path),
            Errno::NOENT => Error::Gone(path),
            Errno::NOTDIR => Error::NotAFolder(path),
            Errno::ISDIR => Error::FolderInTheWay(path),
            Errno::LOOP => Error::SymbolicLink(path),
            Errno::NAMETOOLONG | Errno::ILSEQ => Error::BadName(path),
            Errno::FBIG => Error::FileTooLarge(path),
            Errno::MFILE | Errno::NFILE => Error::TooManyOpenFiles(path),
            other => Error::Io {
                action,
                path,
                reason: std::io::Error::from_raw_os_error(other.raw_os_error()).to_string(),
            },
        }
    }

    /// The same for an error that came through `std`.
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Error {
        match Errno::from_io_error(error) {
            Some(errno) => Error::os(action, path, errno),
            None => Error::Io { action, path: path.to_path_buf(), reason: error.to_string() },
        }
    }
}

/// Why a block was not taken. None of these harms the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteRefused {
    /// Another copy of this block came first in the present attempt at its piece.
    #[error("the block is already there")]
    Duplicate,
    /// The piece is complete and verified.
    #[error("the piece is already verified")]
    AlreadyVerified,
    /// The range is not one of the torrent's blocks, or the data has another length.
    #[error("the range is not one whole block of the torrent")]
    NotABlock,
    /// [`MAX_BEGUN_PIECES`](crate::limits::MAX_BEGUN_PIECES) are begun; finish one first.
    #[error("too many pieces are begun")]
    TooManyPieces,
    /// Writing has not begun ([`prepare`](crate::TorrentDisk::prepare)), has failed
    /// ([`error`](crate::TorrentDisk::error) says why), or was closed.
    #[error("writing has stopped")]
    Stopped,
}

/// A [`sync`](crate::TorrentDisk::sync) that failed: some of what was written may be lost.
#[derive(Clone, Debug, Error)]
#[error("{error}")]
pub struct SyncError {
    /// What the operating system reported.
    #[source]
    pub error: Error,
    /// Pieces that were verified and must not be counted as ours: a failed sync cannot be repeated, since the
    /// kernel may have dropped the pages, and reading back only proves the page cache.
    pub not_durable: types::Bitfield,
}
