//! Verified bytes on disk: coalesced writes, incremental hashing, recheck, create.
//!
//! A [`DiskPool`] owns the threads; a [`TorrentDisk`] is one torrent's files, made from a [`Layout`].
//! Everything that may block happens on the pool's threads; the async methods wait for them on any executor.
//!
//! A block's way in: `state` (is it ours to take?), the torrent's lane in `pool`, `assembly` (hashed in the
//! order of the piece, held until a run is worth a write), `files` (which file, or a slot of `parts`), `os`.
//! Its way out: a run kept in memory, or `files` on a reader thread. `check` hashes what is on disk, `create`
//! what is to become a torrent.
//!
//! [`walk`] and [`hash_files`] need no pool: they make the pieces of a new torrent.
#![forbid(unsafe_code)]

mod abreast;
mod assembly;
mod check;
mod create;
mod devices;
mod digest;
mod error;
mod files;
mod forget;
mod gate;
mod handles;
mod layout;
pub mod limits;
mod lru;
mod options;
mod os;
mod parts;
#[cfg(feature = "planted")]
mod planted;
mod pool;
mod presence;
mod relocate;
mod remove;
mod root;
mod scrub;
mod state;
mod torrent;

pub use create::{Walk, WalkedFile, hash_files, walk};
pub use error::{Error, OR_OVERWRITE, START_AGAIN, SyncError, WriteRefused};
pub use layout::Layout;
pub use options::{Allocate, DiskEvent, FileReport, FileStamp, OpenOptions, Report, Snapshot};
pub use os::rename;
pub use pool::{DiskPool, PoolSettings};
pub use presence::{Outpost, Watched};
pub use relocate::{Relocation, Side, must_be_free};
pub use remove::{any_file, file_stamps, find_any_file, remove_files};
pub use root::{mount_point, must_be_mounted};
pub use torrent::TorrentDisk;

#[cfg(test)]
mod tests;
