//! What can go wrong, in words for people.

use crate::TorrentState;
use std::net::SocketAddr;
use std::path::PathBuf;
use store::CommitError;
use thiserror::Error;
use types::InfoHash;

/// Why the engine could not do what it was asked.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An address to listen on is taken, not ours, or forbidden.
    #[error("cannot listen on {addr}: {reason}; choose another address or port")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// The system's words.
        reason: String,
    },
    /// Threads or sockets could not be made.
    #[error("cannot start: {0}")]
    Start(String),
    /// The torrent has only v2 hashes.
    #[error("this is a v2-only torrent (BEP 52); rawtorrent can show it, but cannot transfer it yet")]
    V2Only,
    /// The engine has this torrent already.
    #[error("torrent {0} is already here")]
    AlreadyAdded(InfoHash),
    /// Another process is downloading the same torrent into the same folder.
    #[error("another rawtorrent is downloading this torrent into {}; let it finish or stop it first", .0.display())]
    InUse(PathBuf),
    /// State cannot be kept.
    #[error("cannot keep state in {}: {reason}; choose another state directory", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// There is no room for state; what was asked for was not done.
    #[error("{0}")]
    StateFull(String),
    /// No file was selected.
    #[error("no file of the torrent is selected")]
    NothingSelected,
    /// Something about the torrent's files.
    #[error(transparent)]
    Disk(#[from] storage::Error),
    /// A torrent file could not be fetched.
    #[error("{0}")]
    Fetch(String),
    /// Another process has the session.
    #[error("another rawtorrent has the session in {}; stop it first, or choose another state directory", .0.display())]
    SessionInUse(PathBuf),
    /// The session's state was written by a newer version.
    #[error("{0}")]
    SessionNewer(String),
    /// The session's state is lost, or elsewhere.
    #[error("{0}")]
    SessionEmptied(String),
    /// There is no session of another client.
    #[error("no such session is in {}; {hint}", dir.display())]
    NoSession {
        /// Where it was looked for.
        dir: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// The session of another client cannot be read as a whole.
    #[error("{} cannot be read: {reason}", path.display())]
    SessionDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was asked for is not safe from a crash, and was undone or will be forgotten.
    #[error("{0}")]
    Unsaved(String),
    /// The session does not have the torrent.
    #[error("torrent {0} is not here")]
    NotHere(InfoHash),
    /// It cannot be read as a magnet link.
    #[error("not a magnet link that can be used: {0}")]
    Magnet(metainfo::magnet::MagnetError),
    /// What is asked for makes no sense, as the text says.
    #[error("{0}")]
    Refused(String),
    /// It cannot be read as a torrent file.
    #[error("not a torrent that can be used: {0}")]
    Torrent(metainfo::Error),
    /// The engine was shut down.
    #[error("the engine has been shut down")]
    ShutDown,
}

impl Error {
    /// One word for programs, stable over versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Listen { .. } => "listen",
            Error::Start(_) => "start",
            Error::V2Only => "v2_only",
            Error::AlreadyAdded(_) => "already_added",
            Error::InUse(_) => "in_use",
            Error::State { .. } => "state",
            Error::StateFull(_) => "disk_full",
            Error::NothingSelected => "nothing_selected",
            Error::Disk(err) => err.kind(),
            Error::Fetch(_) => "fetch",
            Error::SessionInUse(_) => "session_in_use",
            Error::SessionNewer(_) => "session_newer",
            Error::SessionEmptied(_) => "session_emptied",
            Error::NoSession { .. } => "no_session",
            Error::SessionDamaged { .. } => "session_damaged",
            Error::Unsaved(_) => "unsaved",
            Error::NotHere(_) => "not_here",
            Error::Magnet(_) => "magnet",
            Error::Refused(_) => "refused",
            Error::Torrent(_) => "torrent",
            Error::ShutDown => "shut_down",
        }
    }

    /// What a torrent is in that could not begin for this reason.
    pub(crate) fn state(&self) -> TorrentState {
        match self {
            Error::Disk(err) => state_after(err),
            Error::StateFull(_) => TorrentState::DiskFull,
            _ => TorrentState::Failed,
        }
    }

    /// A commit that was not acknowledged.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn unsaved(err: CommitError) -> Error {
        match err {
            CommitError::Full => Error::StateFull(err.to_string()),
            _ => Error::Unsaved(err.to_string()),
        }
    }

    /// The same in words for who has the torrent kept: nothing is to be started again.
    pub fn of_kept(&self) -> String {
        of_kept(self.to_string(), self.may_pass())
    }

    /// Whether it may be over by itself.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Error::Disk(err) => disk_may_be_well(err),
            Error::State { .. } | Error::StateFull(_) | Error::Unsaved(_) => true,
            _ => false,
        }
    }
}

/// What is not over by itself is so when the torrent is resumed.
pub(crate) fn of_kept(told: String, may_pass: bool) -> String {
    // Nobody overwrites anything there.
    let without = [storage::START_AGAIN, storage::OR_OVERWRITE].iter().find_map(|end| told.strip_suffix(end));
    match (without, may_pass) {
        (Some(told), true) => format!("{told}; it goes on by itself then"),
        (Some(told), false) => format!("{told}, then resume it"),
        (None, _) => told,
    }
}

fn state_after(err: &storage::Error) -> TorrentState {
    match err {
        storage::Error::Unavailable(_) | storage::Error::Gone(_) => TorrentState::Unavailable,
        storage::Error::DiskFull(_) => TorrentState::DiskFull,
        _ => TorrentState::Failed,
    }
}

fn disk_may_be_well(err: &storage::Error) -> bool {
    use storage::Error::{DiskFull, Gone, Io, PermissionDenied, ReadOnly, TooManyOpenFiles, Unavailable};
    matches!(
        err,
        DiskFull(_)
            | Gone(_)
            | Io { .. }
            | PermissionDenied(_)
            | ReadOnly(_)
            | TooManyOpenFiles(_)
            | Unavailable(_)
    )
}

/// Why a torrent ended before it was complete.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TorrentError {
    /// Its files cannot be read or written.
    #[error(transparent)]
    Disk(#[from] storage::Error),
    /// Its state cannot be saved.
    #[error("{0}")]
    State(Error),
    /// The metadata that a magnet link names is no torrent that can be used.
    #[error("the metadata that the magnet link names cannot be used: {0}")]
    Metadata(metainfo::Error),
    /// Nothing of it is there to be seeded.
    #[error("nothing of this torrent is in {}; give the folder that holds its file or folder", .0.display())]
    NothingToSeed(PathBuf),
    /// It was stopped first.
    #[error("stopped before it was complete")]
    Stopped,
    /// A bug.
    #[error("an internal error ended the torrent: please report it as a bug")]
    Internal,
}

/// Why a torrent could not be opened once more.
impl From<Error> for TorrentError {
    fn from(error: Error) -> TorrentError {
        match error {
            Error::Disk(error) => TorrentError::Disk(error),
            Error::ShutDown => TorrentError::Stopped,
            other => TorrentError::State(other),
        }
    }
}

impl TorrentError {
    /// One word for programs, stable over versions.
    pub fn kind(&self) -> &'static str {
        match self {
            TorrentError::Disk(err) => err.kind(),
            TorrentError::State(err) => err.kind(),
            TorrentError::Metadata(_) => "metadata",
            TorrentError::NothingToSeed(_) => "nothing_to_seed",
            TorrentError::Stopped => "stopped",
            TorrentError::Internal => "internal",
        }
    }

    /// The same in words for who has the torrent kept: nothing is to be started again.
    pub fn of_kept(&self) -> String {
        of_kept(self.to_string(), self.may_pass())
    }

    /// What a torrent is in that ended for this reason.
    pub(crate) fn state(&self) -> TorrentState {
        match self {
            TorrentError::Disk(err) => state_after(err),
            TorrentError::State(err) => err.state(),
            _ => TorrentState::Failed,
        }
    }

    /// Whether it may be over by itself.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            TorrentError::Disk(err) => disk_may_be_well(err),
            TorrentError::State(err) => err.may_pass(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_torrent_kept_is_not_told_to_start_it_again() {
        let full = Error::Disk(storage::Error::DiskFull("/x".into()));
        assert!(full.to_string().ends_with("free some space, then start again"));
        assert!(full.of_kept().ends_with("free some space; it goes on by itself then"));
        let unreadable = TorrentError::Disk(storage::Error::HashesUnreadable);
        assert!(unreadable.of_kept().ends_with("is well, then resume it"));
        let in_the_way = Error::Disk(storage::Error::FileInTheWay("/x".into()));
        assert!(in_the_way.of_kept().ends_with("move it away, then resume it"));
        assert_eq!(TorrentError::Stopped.of_kept(), TorrentError::Stopped.to_string());
    }
}
