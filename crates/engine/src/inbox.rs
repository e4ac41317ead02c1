//! The way from disk threads to a torrent's task: never blocks the disk, never loses a word.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use storage::DiskEvent;
use tokio::sync::Notify;

/// Bounded by what the brain asks for: there is at most one event for each block that was requested and one for each
/// piece that was begun or lost, and nothing is asked for again before the brain has heard of the first time.
#[derive(Default)]
pub(crate) struct Inbox {
    events: Mutex<VecDeque<DiskEvent>>,
    arrived: Notify,
}

impl Inbox {
    pub(crate) fn put(&self, events: Vec<DiskEvent>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        self.arrived.notify_one();
    }

    /// Bytes of the blocks that the disk took and that nobody has heard of. Nothing waits any more after this.
    pub(crate) fn unheard(&self) -> u64 {
        let waiting = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
        let taken = waiting.iter().map(|event| match event {
            DiskEvent::BlockTaken { block, .. } => u64::from(block.len),
            _ => 0,
        });
        taken.sum()
    }

    /// Everything that waits; waits for the first. Safe to cancel: nothing is taken before it is returned.
    pub(crate) async fn take(&self) -> VecDeque<DiskEvent> {
        loop {
            let waiting = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
            if !waiting.is_empty() {
                return waiting;
            }
            self.arrived.notified().await;
        }
    }
}
