//! Dropping what somebody sent who turned out to lie.

use crate::limits::MAX_FORGETS;
use crate::pool::{LaneJob, lock};
use crate::torrent::Inner;
use crate::{DiskEvent, TorrentDisk};
use async_channel::TrySendError;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::PieceIndex;

/// What is to be forgotten and did not get into the queue of the torrent's lane yet.
#[derive(Debug, Default)]
pub(crate) struct Forgets {
    /// Of no more than [`MAX_FORGETS`] pieces.
    waiting: BTreeMap<PieceIndex, Vec<u32>>,
    /// Somebody sees to it that it gets there.
    is_sent: bool,
}

impl Forgets {
    fn add(&mut self, piece: PieceIndex, mut blocks: Vec<u32>) {
        if self.waiting.len() < MAX_FORGETS || self.waiting.contains_key(&piece) {
            let all = self.waiting.entry(piece).or_default();
            all.append(&mut blocks);
            all.sort_unstable();
            all.dedup();
        }
    }
}

impl TorrentDisk {
    /// Forgets blocks of a piece, by number, as if they had never come; told as [`DiskEvent::BlocksForgotten`]. Nothing is
    /// done, nor told, if the piece is complete by then. If the disk has too much to do to be asked for it at once, it is
    /// asked as far as what is returned is driven to its end.
    #[must_use]
    pub fn forget_blocks(
        &self,
        piece: PieceIndex,
        blocks: Vec<u32>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let inner = self.inner.clone();
        let mut forgets = lock(&inner.forgets);
        forgets.add(piece, blocks);
        if std::mem::replace(&mut forgets.is_sent, true) {
            return None;
        }
        drop(forgets);
        // Behind the blocks themselves.
        let mut next = inner.next_forgets()?;
        loop {
            match inner.queues.lane.try_send(next) {
                Ok(()) => next = inner.next_forgets()?,
                Err(TrySendError::Full(job) | TrySendError::Closed(job)) => {
                    return Some(inner.send_forgets(job));
                }
            }
        }
    }
}

impl Inner {
    /// The job that does what waits by now; if nothing does, nobody sees to it any more.
    fn next_forgets(self: &Arc<Self>) -> Option<LaneJob> {
        let mut forgets = lock(&self.forgets);
        let waiting = std::mem::take(&mut forgets.waiting);
        if waiting.is_empty() {
            forgets.is_sent = false;
            return None;
        }
        drop(forgets);
        let inner = self.clone();
        let work = move || {
            waiting.into_iter().for_each(|(piece, blocks)| inner.forget_blocks(piece, blocks));
            inner.tell();
        };
        Some(LaneJob::Run(Box::new(work)))
    }

    async fn send_forgets(self: Arc<Self>, first: LaneJob) {
        let mut next = Some(first);
        while let Some(job) = next {
            if self.queues.lane.send(job).await.is_err() {
                return;
            }
            next = self.next_forgets();
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_so_many_pieces_it_waits() {
        let mut forgets = Forgets::default();
        let pieces = u32::try_from(MAX_FORGETS).unwrap() + 1;
        for _ in 0..2 {
            (0..pieces).for_each(|piece| forgets.add(PieceIndex::new(piece), vec![2, 1, 2]));
        }
        assert_eq!(forgets.waiting.len(), MAX_FORGETS);
        assert!(forgets.waiting.values().all(|blocks| *blocks == [1, 2]));
    }
}
