//! Whether blocks may come in: not while the disk is full, nor while too much is not durable. Who has one waits, and so
//! does the peer that sends.

use async_channel::{Receiver, Sender};
use std::convert::Infallible;

/// Open, unless there is a reason not to be.
pub(crate) struct Gate {
    /// The disk is full; `Trying` while that is tried again: nobody comes in, but what is there may be written.
    room: Room,
    /// Bytes that came since the last sync began.
    unsynced: u64,
    /// Bytes that the present sync is about.
    syncing: u64,
    /// Bytes of both at which it closes.
    most: u64,
    /// Nothing is ever sent: to drop the sender is to open it.
    waiting: Option<(Sender<Infallible>, Receiver<Infallible>)>,
}

/// Who finds that there is no room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The torrent's lane, which tries again too.
    Lane,
    /// A sync, beside it.
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    There,
    None,
    Trying,
}

impl Gate {
    /// Open until so many bytes are not durable.
    pub(crate) fn new(most: u64) -> Gate {
        Gate { room: Room::There, unsynced: 0, syncing: 0, most, waiting: None }
    }

    /// What to wait for, if it is closed; then ask again.
    pub(crate) fn closed(&mut self) -> Option<Receiver<Infallible>> {
        let is_closed = self.room != Room::There || self.unsynced + self.syncing >= self.most;
        is_closed.then(|| self.waiting.get_or_insert_with(|| async_channel::bounded(1)).1.clone())
    }

    /// Whether nothing is to be written, since there is no room.
    pub(crate) fn is_full(&self) -> bool {
        self.room == Room::None
    }

    /// There is no room; says whether that is news. While it is tried again, who tries knows better than a sync, which may
    /// have met what was before that: all that it could not write is tried.
    pub(crate) fn fill(&mut self, by: Writer) -> bool {
        if by == Writer::Sync && self.room == Room::Trying {
            return false;
        }
        std::mem::replace(&mut self.room, Room::None) == Room::There
    }

    /// What is there is to be written once more; says whether there was no room.
    pub(crate) fn try_again(&mut self) -> bool {
        let is_full = self.is_full();
        if is_full {
            self.room = Room::Trying;
        }
        is_full
    }

    /// There is room, unless trying has shown that there is none; says whether there is.
    pub(crate) fn tried(&mut self) -> bool {
        let has_room = self.room == Room::Trying;
        if has_room {
            self.empty();
        }
        has_room
    }

    /// There is room, as far as is known.
    pub(crate) fn empty(&mut self) {
        self.room = Room::There;
        self.wake();
    }

    pub(crate) fn took(&mut self, bytes: u64) {
        self.unsynced += bytes;
    }

    pub(crate) fn begin_sync(&mut self) {
        self.syncing += std::mem::take(&mut self.unsynced);
    }

    /// Whatever came of it: what is not durable then is not counted as ours either.
    pub(crate) fn end_sync(&mut self) {
        self.syncing = 0;
        self.wake();
    }

    /// Those who wait ask again.
    pub(crate) fn wake(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_for_what_is_not_durable_and_opens_with_a_sync() {
        let mut gate = Gate::new(10);
        gate.took(9);
        assert!(gate.closed().is_none());
        gate.took(1);
        gate.begin_sync();
        let waits = gate.closed().unwrap();
        assert!(waits.try_recv().is_err_and(|err| err.is_empty()));
        gate.end_sync();
        assert!(waits.try_recv().is_err_and(|err| err.is_closed()));
        assert!(gate.closed().is_none());
    }

    #[test]
    fn while_it_is_tried_again_nobody_comes_in() {
        let mut gate = Gate::new(10);
        assert!(!gate.try_again() && !gate.tried());
        assert!(gate.fill(Writer::Sync) && !gate.fill(Writer::Lane));
        for finds_room in [false, true] {
            assert!(gate.is_full() && gate.try_again() && !gate.is_full());
            assert!(gate.closed().is_some());
            assert!(!gate.fill(Writer::Sync), "it does not know");
            if !finds_room {
                assert!(!gate.fill(Writer::Lane), "no news");
            }
            assert_eq!(gate.tried(), finds_room);
            assert_eq!(gate.closed().is_none(), finds_room);
        }
    }
}
