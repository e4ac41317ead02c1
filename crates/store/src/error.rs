//! What can go wrong, in words for people.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a store cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error("another rawtorrent uses {}; stop it first, or choose another state directory", .0.display())]
    InUse(PathBuf),
    /// It was written by a newer version.
    #[error("{} was written by a newer rawtorrent (format {found}, this one knows {known}); use that one", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// Its file is empty, though a session was here: what it held is lost, or elsewhere.
    #[error("{} is empty, though a session was here; {}", path.display(), hint(copy.as_deref()))]
    Emptied {
        /// The database.
        path: PathBuf,
        /// One of an older format, which an upgrade left.
        copy: Option<PathBuf>,
    },
    /// Files or folders cannot be made, read or written.
    #[error("cannot keep state in {}: {reason}; choose another state directory", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

fn hint(copy: Option<&Path>) -> String {
    let anew = "put it back from a backup, or remove it to begin anew";
    match copy {
        Some(copy) => format!("{anew} ({} is as old as the last upgrade)", copy.display()),
        None => anew.into(),
    }
}

/// Why a commit was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing of it was written.
    #[error("state cannot be saved: {0}")]
    Failed(String),
    /// There is no room; nothing was written.
    #[error("state cannot be saved: the disk of the state directory is full; free some space")]
    Full,
    /// A key or a value is too long; nothing was written.
    #[error("state cannot be saved: a value is too large")]
    TooLarge,
    /// Too many wait already; nothing was written.
    #[error("state cannot be saved: too much waits for the disk already; try again later")]
    Busy,
    /// It did not begin in time, and was given up: nothing was written, nor will be.
    #[error("state cannot be saved within ten seconds: the disk of the state directory does not answer")]
    NoAnswer,
    /// The store was closed; nothing was written.
    #[error("state cannot be saved any more: the session has ended")]
    Closed,
}
