//! Dropping what somebody sent who turned out to lie.

use crate::pool::{LaneJob, lock};
use crate::torrent::Inner;
use crate::{DiskEvent, TorrentDisk};
use types::PieceIndex;

impl TorrentDisk {
    /// Forgets blocks of a piece, by number, as if they had never come; told as [`DiskEvent::BlocksForgotten`]. Nothing is
    /// done, nor told, if the piece is complete by then, or if the disk has too much to do to be asked for it.
    pub fn forget_blocks(&self, piece: PieceIndex, blocks: Vec<u32>) {
        let inner = self.inner.clone();
        let work = move || {
            inner.forget_blocks(piece, blocks);
            inner.tell();
        };
        // Behind the blocks themselves.
        let _ = self.inner.queues.lane.try_send(LaneJob::Run(Box::new(work)));
    }
}

impl Inner {
    /// Runs on the torrent's lane.
    fn forget_blocks(&self, piece: PieceIndex, blocks: Vec<u32>) {
        let mut assembly = lock(&self.assembly);
        let mut state = lock(&self.state);
        let forgotten = self.with_held(&mut assembly, |assembly| assembly.forget_blocks(piece, blocks));
        if !forgotten.is_empty() {
            forgotten.iter().for_each(|&block| state.release(piece, block));
            lock(&self.unsaid).push(DiskEvent::BlocksForgotten { piece, blocks: forgotten });
        }
    }
}
