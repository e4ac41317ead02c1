//! How much of the log is on the disk: told beside it after each commit that was synced, so that a log of which some of that is
//! missing or damaged is no log that the power cut off. SQLite ends both at the first page that is not sound, without a word.
//!
//! It is written after the sync and not synced itself: what the power leaves of it is what was true once, or nothing. Before the
//! log is begun anew or goes, it is taken back durably.

use crate::log::LOG;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file that tells it.
pub(crate) const NAME: &str = "session.db-synced";
/// What SQLite knows of the log, in the memory that its processes share.
const INDEX: &str = "session.db-shm";
/// Where it has the number of the last page that is committed, and what all pages of this log have in common.
const LAST_AT: u64 = 16;
const SALT_AT: u64 = 32;
const LEN: usize = 20;

/// So many pages of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) salt: [u8; 8],
    pub(crate) pages: u32,
}

impl Mark {
    /// None if nothing is told.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Mark>> {
        let mut bytes = [0; LEN];
        let read = File::open(dir.join(NAME)).and_then(|file| file.read_exact_at(&mut bytes, 0));
        match read {
            Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                return Ok(None);
            }
            read => read?,
        }
        let mark = Mark {
            salt: std::array::from_fn(|at| bytes[at]),
            pages: u32::from_be_bytes(std::array::from_fn(|at| bytes[8 + at])),
        };
        Ok(Some(mark).filter(|mark| mark.pages > 0 && mark.bytes() == bytes))
    }

    /// All of it must be on the disk.
    pub(crate) fn tell(self, dir: &Path) -> io::Result<()> {
        let file = File::options().write(true).create(true).truncate(false).open(dir.join(NAME))?;
        file.write_all_at(&self.bytes(), 0)
    }

    fn bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&self.salt);
        bytes[8..12].copy_from_slice(&self.pages.to_be_bytes());
        let digest = hash::sha256(&bytes[..12]);
        bytes[12..].copy_from_slice(&digest[..8]);
        bytes
    }
}

/// Tells that all commits of the log are on the disk. The `index`, which is opened the first time, must not be closed before the
/// database is: the system takes all locks on a file away from a process that closes it once, and with SQLite's others know that
/// the database is in use.
pub(crate) fn all_is_synced(dir: &Path, index: &mut Option<File>) -> io::Result<()> {
    let index = match index {
        Some(index) => index,
        None => index.insert(File::open(dir.join(INDEX))?),
    };
    let (mut last, mut salt) = ([0; 4], [0; 8]);
    index.read_exact_at(&mut last, LAST_AT)?;
    index.read_exact_at(&mut salt, SALT_AT)?;
    Mark { salt, pages: u32::from_ne_bytes(last) }.tell(dir)
}

/// Takes it back, durably.
pub(crate) fn take_back(dir: &Path) -> io::Result<()> {
    match File::options().write(true).open(dir.join(NAME)) {
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err),
        Ok(file) => {
            file.write_all_at(&[0; LEN], 0)?;
            file.sync_all()
        }
    }
}

/// Whether the log holds all that was told to be on the disk.
pub(crate) fn is_kept(dir: &Path) -> io::Result<bool> {
    let Some(mark) = Mark::read(dir)? else { return Ok(true) };
    crate::log::holds(&dir.join(LOG), mark)
}
