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
    /// Its file is empty or missing, though a session was here: what it held is lost, or elsewhere.
    #[error("{} is {}, though a session was here; {}", path.display(), if *is_missing { "missing" } else { "empty" },
        hint(*is_missing, copy.as_deref()))]
    Emptied {
        /// The database.
        path: PathBuf,
        /// Whether it is not there at all.
        is_missing: bool,
        /// One of an older format, which an upgrade left.
        copy: Option<PathBuf>,
    },
    /// Something else is where one of its files belongs.
    #[error("{} is {}, so that {} has no session that can be read; move it away", path.display(),
        if *is_folder { "a folder" } else { "no regular file" }, dir.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// The state directory.
        dir: PathBuf,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// There is no room for a copy to look at.
    #[error("cannot copy the state to {} to look at it: {reason}; choose another folder with room (TMPDIR)", dir.display())]
    NoCopy {
        /// The folder for temporary files.
        dir: PathBuf,
        /// The system's words.
        reason: String,
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

fn hint(is_missing: bool, copy: Option<&Path>) -> String {
    let anew = match is_missing {
        true => "put it back from a backup, or remove session.lock beside it to begin anew",
        false => "put it back from a backup, or remove it and session.lock beside it to begin anew",
    };
    match copy {
        Some(copy) => format!("{anew} ({} is as old as the last upgrade)", copy.display()),
        None => anew.into(),
    }
}

impl OpenError {
    /// The same of a folder of which another was a copy.
    pub(crate) fn elsewhere(self, copy: &Path, dir: &Path) -> OpenError {
        let back = |path: PathBuf| path.strip_prefix(copy).map(|name| dir.join(name)).unwrap_or(path);
        match self {
            OpenError::InUse(path) => OpenError::InUse(back(path)),
            OpenError::Newer { path, found, known } => OpenError::Newer { path: back(path), found, known },
            OpenError::Emptied { path, is_missing, copy } => {
                OpenError::Emptied { path: back(path), is_missing, copy: copy.map(back) }
            }
            OpenError::NotAFile { .. } | OpenError::NoCopy { .. } | OpenError::Io { .. } => self,
        }
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
