//! One process at a time.

use crate::OpenError;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(crate) const NAME: &str = "session.lock";
/// What it says once there is a database.
const BEGUN: &[u8] = b"a session was begun here; remove this file and session.db to begin anew\n";

/// Holds the lock as long as it lives; the system takes it back from a process that is killed.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The file stays when it is unlocked: another process may be waiting for the lock on it.
    pub(crate) fn take(dir: &Path) -> Result<Lock, OpenError> {
        let path = dir.join(NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        Lock::of(file.map_err(io(&path))?, dir)
    }

    /// The same of a folder that is only looked at, and may be one that cannot be written to. None if nobody ever took it.
    pub(crate) fn take_to_look(dir: &Path) -> Result<Option<Lock>, OpenError> {
        let path = dir.join(NAME);
        match File::open(&path) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
            file => Lock::of(file.map_err(io(&path))?, dir).map(Some),
        }
    }

    fn of(file: File, dir: &Path) -> Result<Lock, OpenError> {
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(err)) => Err(io(&dir.join(NAME))(err)),
        }
    }

    /// Whether there was a database here, if that cannot be seen any more.
    pub(crate) fn says_begun(&self) -> bool {
        self.0.metadata().is_ok_and(|file| file.len() > 0)
    }

    /// Keeps it for those who come later, durably.
    pub(crate) fn say_begun(&mut self) -> std::io::Result<()> {
        if self.says_begun() {
            return Ok(());
        }
        self.0.write_all(BEGUN)?;
        self.0.sync_all()
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> OpenError + '_ {
    move |err| OpenError::Io { path: path.into(), reason: err.to_string() }
}
