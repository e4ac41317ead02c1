//! Looking whether torrents are still there, though nobody asks for anything of them.

use crate::pool::{lock, run_on};
use crate::state::Phase;
use crate::torrent::Inner;
use crate::{Error, TorrentDisk};

impl TorrentDisk {
    /// Whether the same threads work for both, since they lie on the same device.
    pub fn is_beside(&self, other: &TorrentDisk) -> bool {
        self.inner.queues.workers.same_channel(&other.inner.queues.workers)
    }

    /// Looks at torrents, one after the other, on one thread of the first one's device: one that is
    /// [patient](crate::OpenOptions::patient), and of which none of the files is there any more that were, or whose disk is out,
    /// [fails](crate::DiskEvent::Failed) as [unavailable](Error::Unavailable). That costs a system call each while they are there.
    ///
    /// # Errors
    /// Only if the pool has ended.
    pub async fn look_after(disks: Vec<TorrentDisk>) -> Result<(), Error> {
        let Some(first) = disks.first() else { return Ok(()) };
        let workers = first.inner.queues.workers.clone();
        run_on(&workers, move || disks.iter().for_each(|disk| disk.inner.look_after())).await
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
