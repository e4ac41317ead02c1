//! Open files of all torrents of a pool, of which only so many are kept.

use crate::lru::Lru;
use crate::pool::lock;
use rustix::fd::OwnedFd;
use std::sync::{Arc, Mutex};

/// An open file.
pub(crate) struct Handle {
    pub(crate) fd: OwnedFd,
    pub(crate) writable: bool,
}

/// Which file: of which torrent, and its index there.
pub(crate) type FileKey = (u64, usize);

/// The index that stands for a torrent's parts file.
pub(crate) const PARTS: usize = usize::MAX;

/// The files that are kept open. One that has to go is closed when nobody uses it any more.
pub(crate) struct Handles {
    open: Mutex<Lru<FileKey, Arc<Handle>>>,
}

impl Handles {
    pub(crate) fn new(capacity: usize) -> Handles {
        Handles { open: Mutex::new(Lru::new(capacity)) }
    }

    /// The file's handle if it is open, and open for writing where that is asked for; else what `open` makes.
    pub(crate) fn get<E>(
        &self,
        key: FileKey,
        writable: bool,
        open: impl FnOnce() -> Result<OwnedFd, E>,
    ) -> Result<Arc<Handle>, E> {
        if let Some(handle) = lock(&self.open).get(&key).filter(|handle| handle.writable || !writable) {
            return Ok(handle);
        }
        let handle = Arc::new(Handle { fd: open()?, writable });
        self.keep(key, &handle);
        Ok(handle)
    }

    pub(crate) fn keep(&self, key: FileKey, handle: &Arc<Handle>) {
        let gone = lock(&self.open).insert(key, handle.clone());
        drop(gone); // closes a file, which may take long: not under the lock
    }

    pub(crate) fn forget(&self, gone: impl Fn(&FileKey) -> bool) {
        let gone = lock(&self.open).remove_if(gone);
        drop(gone);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.open).len()
    }
}
