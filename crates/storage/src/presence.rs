//! Looking whether torrents are still there, though nobody asks for anything of them.

use crate::pool::{Job, lock, run_on};
use crate::root::must_be_mounted;
use crate::state::Phase;
use crate::torrent::Inner;
use crate::{Error, TorrentDisk};
use async_channel::Sender;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A torrent that is looked after.
#[derive(Clone)]
pub enum Watched {
    /// One that is open: if it is away, it [fails](crate::DiskEvent::Failed) as [unavailable](Error::Unavailable).
    Open(TorrentDisk),
    /// One that was, and what is done if it looks different than then.
    Closed(Arc<Outpost>),
}

/// What tells of a torrent that is not open whether it may be away.
pub struct Outpost {
    workers: Sender<Job>,
    mount: Option<PathBuf>,
    /// A file that was there, and which one that was.
    file: PathBuf,
    inode: u64,
    missed: Box<dyn Fn() + Send + Sync>,
}

impl TorrentDisk {
    /// How it is to be looked after once it is not open any more; `missed` is called each time it looks different than now.
    /// `None` if it need not be, since it is not [patient](crate::OpenOptions::patient), or none of its files is there.
    pub fn outpost(&self, missed: impl Fn() + Send + Sync + 'static) -> Option<Outpost> {
        let (file, inode) = self.inner.files.landmark()?;
        let (workers, mount) = (self.inner.queues.workers.clone(), self.inner.files.mount());
        Some(Outpost { workers, mount, file, inode, missed: Box::new(missed) })
    }

    /// How many have a hold on it: handles like this one, and work that is not done.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.inner)
    }
}

impl Outpost {
    fn look(&self) {
        let is_mounted = self.mount.as_deref().is_none_or(|mount| must_be_mounted(mount).is_ok());
        if !is_mounted || fs::symlink_metadata(&self.file).map(|found| found.ino()).ok() != Some(self.inode) {
            (self.missed)();
        }
    }
}

impl Watched {
    fn workers(&self) -> &Sender<Job> {
        match self {
            Watched::Open(disk) => &disk.inner.queues.workers,
            Watched::Closed(outpost) => &outpost.workers,
        }
    }

    /// Whether the same threads work for both, since they lie on the same device.
    pub fn is_beside(&self, other: &Watched) -> bool {
        self.workers().same_channel(other.workers())
    }

    /// Looks at torrents, one after the other, on one thread of the first one's device: one is away that is
    /// [patient](crate::OpenOptions::patient), and of which none of the files is there any more that were, or whose disk is out.
    /// That costs a system call each while they are there.
    ///
    /// # Errors
    /// Only if the pool has ended.
    pub async fn look_after(all: Vec<Watched>) -> Result<(), Error> {
        let Some(first) = all.first() else { return Ok(()) };
        let look = |one: &Watched| match one {
            Watched::Open(disk) => disk.inner.look_after(),
            Watched::Closed(outpost) => outpost.look(),
        };
        run_on(&first.workers().clone(), move || all.iter().for_each(look)).await
    }
}

impl Inner {
    fn look_after(&self) {
        if !matches!(lock(&self.state).phase, Phase::Reading | Phase::Writing) {
            return;
        }
        if let Some(error) = self.files.away() {
            self.fail(error);
        }
    }
}
