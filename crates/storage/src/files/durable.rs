//! Making durable what was written.

use super::Files;
use crate::Error;
use crate::limits::{SYNC_EACH, SYNC_THREADS, SYNCS_PER_THREAD};
use crate::os::{Found, stamp_of};
use crate::pool::lock;
use metainfo::File;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What has to be made durable.
#[derive(Default)]
pub(super) struct Dirty {
    pub(super) files: BTreeSet<usize>,
    /// Folders in which something was created, as paths below the root.
    dirs: BTreeSet<String>,
    pub(super) parts: bool,
    pub(super) parts_created: bool,
    pub(super) root_created: bool,
}

impl Dirty {
    /// A file was made, and any of the folders on the way to it.
    pub(super) fn created(&mut self, file: usize, span: &File, path: &str) {
        // An empty file is all in its folder's entry. Should a crash take it nevertheless, it holds no piece
        // that could be missed, and the next `prepare` makes it again.
        if span.length > 0 {
            self.files.insert(file);
        }
        // With the innermost folder all others are there.
        let parents = path.rmatch_indices('/').map(|(at, _)| &path[..at]).chain([""]);
        for dir in parents {
            if self.dirs.contains(dir) {
                break;
            }
            self.dirs.insert(dir.to_owned());
        }
    }
}

impl Files {
    /// Makes durable what was written by now.
    ///
    /// Every file is synced by itself, which is what tells errors reliably and works on every file system. With
    /// many of them the time goes into waiting, for one commit of a journal after the other; so they wait side
    /// by side.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let dirty = std::mem::take(&mut *lock(&self.dirty));
        if dirty.parts {
            let handle = self.parts.handle(self.handles())?;
            self.os().sync_data(&handle.fd).map_err(|e| Error::os("sync", self.parts.path(), e))?;
        }
        if dirty.files.len() + dirty.dirs.len() > SYNC_EACH {
            self.os().write_back(self.root.path());
        }
        side_by_side(&Vec::from_iter(dirty.files), |&file| self.sync_file(file))?;
        side_by_side(&Vec::from_iter(dirty.dirs), |dir| self.os().sync_dir(&self.root, dir))?;
        if dirty.root_created {
            self.os().sync_parent(self.root.path())?;
        }
        if dirty.parts_created {
            self.os().sync_parent(self.parts.path())?;
        }
        Ok(())
    }

    fn sync_file(&self, file: usize) -> Result<(), Error> {
        let handle = self.readable(file)?;
        let synced = self.os().sync_data(&handle.fd);
        synced.map_err(|e| Error::os("sync", &self.path(file), e))?;
        // The bytes are of use only if the file is still to be found where the torrent has it.
        let held = stamp_of(&handle.fd).map_err(|e| Error::os("look at", &self.path(file), e))?;
        match self.os().look(&self.root, self.layout.path(file))? {
            Found::File(stamp) if stamp.inode == held.inode => {
                self.entries.set_stamp(file, stamp);
                Ok(())
            }
            _ => Err(Error::Gone(self.path(file))),
        }
    }
}

/// Does `work` for each item, on several threads if there are many items, until one fails.
fn side_by_side<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), Error> + Sync) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                next.store(items.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let more = (items.len() / SYNCS_PER_THREAD).min(SYNC_THREADS - 1);
    std::thread::scope(|scope| {
        let start = || std::thread::Builder::new().name("disk-sync".to_owned()).spawn_scoped(scope, run);
        // Where the system has no more threads, the ones that there are do it.
        let others: Vec<_> = (0..more).map_while(|_| start().ok()).collect();
        let results = others.into_iter().map(std::thread::ScopedJoinHandle::join);
        let mine = run();
        results
            .fold(mine, |all, other| all.and(other.unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, Mutex};

    #[test]
    fn many_are_done_at_the_same_time_and_each_once() {
        let items: Vec<usize> = (0..2 * SYNCS_PER_THREAD).collect();
        let (two, done) = (Barrier::new(2), Mutex::new(BTreeSet::new()));
        let work = |&item: &usize| {
            two.wait();
            assert!(lock(&done).insert(item));
            Ok(())
        };
        side_by_side(&items, work).unwrap();
        assert_eq!(lock(&done).len(), items.len());
    }

    #[test]
    fn so_many_threads_do_it_and_what_is_beyond_waits() {
        let items: Vec<usize> = (0..2 * SYNC_THREADS * SYNCS_PER_THREAD).collect();
        let (all, threads) = (Barrier::new(SYNC_THREADS), Mutex::new(Vec::new()));
        let work = |_: &usize| {
            all.wait();
            let mut threads = lock(&threads);
            let me = std::thread::current().id();
            if !threads.contains(&me) {
                threads.push(me);
            }
            Ok(())
        };
        side_by_side(&items, work).unwrap();
        assert_eq!(lock(&threads).len(), SYNC_THREADS);
    }

    #[test]
    fn the_first_error_ends_it() {
        let work = |&item: &usize| if item == 3 { Err(Error::Closed) } else { Ok(()) };
        for count in [4, 10_000] {
            assert_eq!(side_by_side(&(0..count).collect::<Vec<_>>(), work), Err(Error::Closed));
        }
        assert_eq!(side_by_side(&[], work), Ok(()));
    }
}
