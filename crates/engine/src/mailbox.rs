//! Queues that take next to no room while they are empty, which those of an idle torrent are.
//!
//! A channel of tokio's has room for 32 from the start, and pads what each side writes to: a kilobyte each.

use crate::shared::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A queue for so many things.
pub(crate) fn mailbox<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let letters = Letters { waiting: VecDeque::new(), room, is_closed: false };
    let shared = Arc::new(Shared { letters: Mutex::new(letters), arrived: Notify::new() });
    (Sender(shared.clone()), Receiver(shared))
}

#[derive(Debug)]
struct Shared<T> {
    letters: Mutex<Letters<T>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Letters<T> {
    waiting: VecDeque<T>,
    room: usize,
    /// Nobody receives any more.
    is_closed: bool,
}

impl<T> Shared<T> {
    fn take(&self) -> Option<T> {
        let mut letters = lock(&self.letters);
        let first = letters.waiting.pop_front();
        if letters.waiting.is_empty() {
            letters.waiting = VecDeque::new();
        }
        first
    }
}

/// Where things are put.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(self.0.clone())
    }
}

impl<T> Sender<T> {
    /// Puts something behind all that waits.
    ///
    /// # Errors
    /// There is no room, or nobody receives any more: here it is again.
    pub(crate) fn try_send(&self, letter: T) -> Result<(), T> {
        {
            let mut letters = lock(&self.0.letters);
            if letters.is_closed || letters.waiting.len() >= letters.room {
                return Err(letter);
            }
            letters.waiting.push_back(letter);
        }
        self.0.arrived.notify_one();
        Ok(())
    }
}

/// Where they are taken out. When it is dropped, so is all that waits.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The first that waits; for ever if nobody sends any more. Safe to cancel: nothing is taken before it is returned.
    pub(crate) async fn recv(&mut self) -> T {
        loop {
            if let Some(letter) = self.0.take() {
                return letter;
            }
            self.0.arrived.notified().await;
        }
    }

    /// The first, if one waits.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut letters = lock(&self.0.letters);
            letters.is_closed = true;
            std::mem::take(&mut letters.waiting)
        };
        // Not under the lock: it may be a connection that is closed.
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn all_come_in_order_and_no_more_than_there_is_room_for() {
        let (sender, mut receiver) = mailbox(2);
        assert_eq!(receiver.recv().now_or_never(), None);
        assert_eq!([1, 2, 3].map(|letter| sender.try_send(letter)), [Ok(()), Ok(()), Err(3)]);
        assert_eq!(receiver.recv().await, 1);
        assert_eq!(sender.clone().try_send(4), Ok(()));
        assert_eq!([receiver.recv().await, receiver.recv().await], [2, 4]);
        assert_eq!(receiver.recv().now_or_never(), None);
        assert_eq!(lock(&receiver.0.letters).waiting.capacity(), 0, "nothing is kept");
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (sender, mut receiver) = mailbox(1);
        let waits = tokio::spawn(async move { receiver.recv().await });
        tokio::task::yield_now().await;
        sender.try_send(5).unwrap();
        assert_eq!(waits.await.unwrap(), 5);
    }

    #[test]
    fn what_nobody_will_receive_is_dropped() {
        let (sender, receiver) = mailbox(2);
        let letter = Arc::new(());
        sender.try_send(letter.clone()).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&letter), 1);
        assert_eq!(sender.try_send(letter.clone()), Err(letter));
    }
}
