//! One process at a time.

use crate::OpenError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Holds the lock as long as it lives; the system takes it back from a process that is killed.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// The file stays when it is unlocked: another process may be waiting for the lock on it.
    pub(crate) fn take(dir: &Path) -> Result<Lock, OpenError> {
        let path = dir.join("session.lock");
        let io = |err: std::io::Error| OpenError::Io { path: path.clone(), reason: err.to_string() };
        let file = File::create(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(err)) => Err(io(err)),
        }
    }
}
