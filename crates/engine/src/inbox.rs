//! The way from disk threads to a torrent's task: never blocks the disk, never loses a word.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use storage::DiskEvent;
use tokio::sync::Notify;

/// Bounded by the torrent itself: a piece is verified once, and fails again only after the task has heard of the first
/// time and had it fetched anew, so that no more events wait than the torrent has pieces (and one failure).
#[derive(Default)]
pub(crate) struct Inbox {
    events: Mutex<VecDeque<DiskEvent>>,
    arrived: Notify,
}

impl Inbox {
    pub(crate) fn put(&self, event: DiskEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
        self.arrived.notify_one();
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
