//! A session on a disk that loses power and fails, as it is told: a file system of the tests' own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod disks {
    pub(crate) mod disk;
    pub(crate) mod faults;
    pub(crate) mod power;
    pub(crate) mod torrent;
}
