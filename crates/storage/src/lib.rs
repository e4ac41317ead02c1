//! Verified bytes on disk: coalesced writes, incremental hashing, recheck, create.
//!
//! A [`DiskPool`] owns the threads; a [`TorrentDisk`] is one torrent's files, made from a [`Layout`]. Everything
//! that may block happens on the pool's threads; the async methods wait for them on any executor.
#![forbid(unsafe_code)]

mod assembly;
mod check;
mod create;
mod error;
mod files;
mod handles;
mod layout;
pub mod limits;
mod lru;
mod options;
mod os;
mod parts;
mod pool;
mod state;
mod torrent;

pub use create::{Walk, WalkedFile, hash_files, walk};
pub use error::{Error, SyncError, WriteRefused};
pub use layout::Layout;
pub use options::{Allocate, DiskEvent, FileReport, FileStamp, OpenOptions, Report, Snapshot};
pub use pool::{DiskPool, PoolSettings};
pub use torrent::TorrentDisk;

#[cfg(test)]
mod tests;
