//! The database that is written to, and what is done when the disk fails it.

use crate::database::{self, Survive};
use crate::limits::LOG_PAGES;
use crate::log::LOG;
use crate::mark;
use crate::open::{self, NAME};
use crate::{Change, CommitError, OpenError};
use rusqlite::{Connection, ErrorCode};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A page of the database, about.
const PAGE: usize = 4096;

/// An open database.
pub(crate) struct Base {
    dir: PathBuf,
    /// `None` if it was closed to be made anew, and that failed.
    connection: Option<Connection>,
    /// The disk failed: what is read of the log may not be on the disk, nor come there by another sync. Nothing is built on
    /// that.
    is_doubted: bool,
    /// What was refused when it failed, as it was before: it may lie in the log all the same.
    undo: Vec<Change>,
    /// Pages in the log, about, since it was last brought into the database's file.
    log_pages: usize,
    /// The log was brought into the database's file: what is written next may begin it anew.
    is_folded: bool,
    /// The files that are written to: others that take their names, or none, are not those that were opened.
    files: Option<[(u64, u64); 2]>,
    /// See [`mark::all_is_synced`].
    index: Option<File>,
}

impl Base {
    pub(crate) fn new(dir: PathBuf, connection: Connection) -> Base {
        let (files, undo) = (identify(&dir), Vec::new());
        Base {
            dir,
            connection: Some(connection),
            is_doubted: false,
            undo,
            log_pages: 0,
            is_folded: false,
            files,
            index: None,
        }
    }

    pub(crate) fn connection(&self) -> Result<&Connection, CommitError> {
        self.connection.as_ref().ok_or_else(closed)
    }

    /// All changes, or none. If the disk failed, all that is known is written anew before anything else is.
    pub(crate) fn write<'a>(
        &mut self,
        survive: Survive,
        changes: impl Iterator<Item = &'a Change> + Clone,
    ) -> Result<(), Refusal> {
        self.be_sound().map_err(|err| Refusal::ByDisk(CommitError::Failed(err.to_string())))?;
        self.is_still_there()?;
        if self.is_folded {
            mark::take_back(&self.dir).map_err(|err| Refusal::ByDisk(unsaved(&err)))?;
            self.is_folded = false;
        }
        let Some(connection) = &mut self.connection else { return Err(Refusal::ByDisk(closed())) };
        let pages = changes.clone().map(|change| 2 + change.value.as_ref().map_or(0, Vec::len) / PAGE);
        self.log_pages += pages.sum::<usize>();
        if let Err(err) = database::write(connection, survive, changes.clone()) {
            return Err(self.judge(&err, changes));
        }
        self.files = self.files.or_else(|| identify(&self.dir));
        if survive == Survive::System {
            // Without it less is known of a log that is damaged, and nothing else.
            let _ = mark::all_is_synced(&self.dir, &mut self.index);
        }
        if self.log_pages >= LOG_PAGES {
            (self.log_pages, self.is_folded) = (0, true);
            // If that fails, what was written is durable all the same.
            let folded = database::fold_some_of_log(connection);
            let _ = folded.map_err(|err| self.judge(&err, [].iter()));
        }
        Ok(())
    }

    /// Nothing that is written to a file without a name is there again.
    fn is_still_there(&self) -> Result<(), Refusal> {
        if self.files.is_none() || identify(&self.dir) == self.files {
            return Ok(());
        }
        let (name, dir) = (NAME, self.dir.display());
        let reason =
            format!("{name} or its log was removed from {dir}, or replaced there; restart rawtorrent");
        Err(Refusal::ByDisk(CommitError::Failed(reason)))
    }

    /// What an error says of the database, given what was not written.
    fn judge<'a>(&mut self, err: &rusqlite::Error, refused: impl Iterator<Item = &'a Change>) -> Refusal {
        let reason = reason(err);
        if err.sqlite_error_code() != Some(ErrorCode::SystemIoFailure) {
            return Refusal::ByItself(reason);
        }
        tracing::warn!("the disk of the state directory failed ({err}): all of the state is written anew");
        self.is_doubted = true;
        if let Some(connection) = &self.connection {
            let as_it_was = |change: &Change| {
                let value = database::get(connection, change.table, &change.key).ok()?;
                Some(Change { value, yields: false, ..change.clone() })
            };
            self.undo = refused.filter_map(as_it_was).collect();
        }
        // At once: what was refused may lie in the log, and must not be found there. If it fails, it is tried before the next
        // commit.
        let _ = self.be_sound();
        Refusal::ByDisk(reason)
    }

    /// Has a new database take the place of one that is doubted.
    fn be_sound(&mut self) -> Result<(), OpenError> {
        if !self.is_doubted {
            return Ok(());
        }
        if let Some(doubted) = self.connection.take() {
            database::leave(doubted);
        }
        self.index = None;
        if !open::is_written_anew(&self.dir) {
            // Its log is read again, as far as its checksums hold: what memory has of it may not be there any more.
            let mut found = open::connect(&self.dir)?;
            if let Err(err) = open::write_anew(&mut found, &self.undo, &self.dir) {
                self.connection = Some(found);
                return Err(err);
            }
            database::leave(found);
        }
        self.connection = Some(open::connect_anew(&self.dir)?);
        self.undo.clear();
        (self.is_doubted, self.is_folded, self.log_pages) = (false, false, 0);
        self.files = identify(&self.dir);
        Ok(())
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Its log goes with it.
        if self.is_doubted || self.is_still_there().is_err() || mark::take_back(&self.dir).is_err() {
            database::leave(connection);
        }
    }
}

/// Which files the database and its log are.
fn identify(dir: &Path) -> Option<[(u64, u64); 2]> {
    let identity = |name| fs::metadata(dir.join(name)).ok().map(|file| (file.dev(), file.ino()));
    Some([identity(NAME)?, identity(LOG)?])
}

fn unsaved(err: &std::io::Error) -> CommitError {
    match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => CommitError::Full,
        _ => CommitError::Failed(err.to_string()),
    }
}

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The disk failed: so would others.
    ByDisk(CommitError),
    ByItself(CommitError),
}

/// What an error of the database is to whoever asked for something.
pub(crate) fn reason(err: &rusqlite::Error) -> CommitError {
    match err.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CommitError::Full,
        _ => CommitError::Failed(err.to_string()),
    }
}

fn closed() -> CommitError {
    CommitError::Failed("the disk of the state directory has failed".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Table;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn put(key: u8) -> Change {
        Change::put(Table::Session, [key], vec![key; 100])
    }

    fn failed_sync() -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
    }

    #[test]
    fn after_a_failed_sync_all_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, connection, _) = open::open(dir.path(), &[]).unwrap();
        let mut base = Base::new(dir.path().into(), connection);
        let path = dir.path().join("session.db");
        let inode = || fs::metadata(&path).unwrap().ino();
        base.write(Survive::Process, [put(1)].iter()).unwrap();
        let before = inode();
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        assert!(matches!(
            base.judge(&rusqlite::Error::SqliteFailure(full, None), [].iter()),
            Refusal::ByItself(_)
        ));
        assert_eq!(inode(), before);

        // What was refused lies in the log all the same.
        database::write(base.connection.as_mut().unwrap(), Survive::Process, &[put(9)]).unwrap();
        // It can't be: nothing is acknowledged.
        let in_the_way = dir.path().join("session.new.db");
        fs::create_dir_all(in_the_way.join("folder")).unwrap();
        assert!(matches!(base.judge(&failed_sync(), [].iter()), Refusal::ByDisk(_)));
        base.undo = vec![Change::remove(Table::Session, [9])];
        assert!(matches!(base.write(Survive::System, [put(2)].iter()), Err(Refusal::ByDisk(_))));
        assert_eq!(inode(), before);

        fs::remove_dir_all(&in_the_way).unwrap();
        base.write(Survive::System, [put(3)].iter()).unwrap();
        assert_ne!(inode(), before);
        // The file alone has what was in the log before.
        let other = tempfile::tempdir().unwrap();
        fs::copy(&path, other.path().join("session.db")).unwrap();
        let (_lock, connection, opened) = open::open(other.path(), &[Table::Session]).unwrap();
        assert_eq!(opened.tables[&Table::Session].rows.len(), 1);
        assert_eq!(database::get(&connection, Table::Session, &[1]).unwrap(), Some(vec![1; 100]));
        let both = database::read(base.connection().unwrap(), Table::Session).unwrap();
        assert_eq!(both.rows.len(), 2);
    }

    /// With them others who have the database open know that it is in use.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_locks_of_the_database_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, connection, _) = open::open(dir.path(), &[]).unwrap();
        let mut base = Base::new(dir.path().into(), connection);
        // To open the file and ask would drop them; `/proc/locks` leaves some out while others come and go.
        let is_locked = |name: &str| {
            fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap).any(|open| {
                fs::read_link(open.path()).is_ok_and(|to| to == dir.path().join(name))
                    && fs::read_to_string(Path::new("/proc/self/fdinfo").join(open.file_name()))
                        .is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:")))
            })
        };
        let are_locked = || [NAME, "session.db-shm"].map(is_locked);
        assert_eq!(are_locked(), [true; 2]);
        base.write(Survive::System, [put(1)].iter()).unwrap();
        assert_eq!(are_locked(), [true; 2]);
    }

    #[test]
    fn the_log_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, connection, _) = open::open(dir.path(), &[]).unwrap();
        let mut base = Base::new(dir.path().into(), connection);
        let page = Change::put(Table::Session, [1], vec![1; PAGE]);
        for _ in 0..LOG_PAGES * 2 {
            base.write(Survive::Process, [&page].into_iter()).unwrap();
        }
        let log = fs::metadata(dir.path().join("session.db-wal")).unwrap().len();
        assert!(log < (LOG_PAGES * 2 * PAGE) as u64, "{log}");
    }
}
