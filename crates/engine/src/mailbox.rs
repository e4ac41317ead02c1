//! Queues that take next to no room while they are empty, which those of an idle torrent are.
//!
//! A channel of tokio's has room for 32 from the start, and pads what each side writes to: a kilobyte each.

use crate::shared::lock;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Who may wait for room; who comes then is told that there will be none.
const MAX_IMPATIENT: usize = 1024;

/// A queue for so many things.
pub(crate) fn mailbox<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    let letters = Letters { queue: None, room, senders: 1, is_closed: false, receiver: None };
    let shared = Arc::new(Mutex::new(letters));
    (Sender(shared.clone()), Receiver(shared))
}

struct Letters<T> {
    /// None while nothing waits.
    queue: Option<Box<Queue<T>>>,
    room: u32,
    senders: u32,
    /// Nobody receives any more.
    is_closed: bool,
    /// Who waits for one.
    receiver: Option<Waker>,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    /// Who waits for room; all of them try again.
    impatient: Vec<Waker>,
}

impl<T> Letters<T> {
    fn is_full(&self) -> bool {
        self.queue.as_ref().map_or(0, |queue| queue.waiting.len()) >= self.room as usize
    }

    fn queue(&mut self) -> &mut Queue<T> {
        self.queue.get_or_insert_with(|| Box::new(Queue { waiting: VecDeque::new(), impatient: Vec::new() }))
    }

    /// The first, and who is to be told that there is room again.
    fn take(&mut self) -> Option<(T, Vec<Waker>)> {
        let queue = self.queue.as_mut()?;
        let (first, impatient) = (queue.waiting.pop_front(), std::mem::take(&mut queue.impatient));
        if queue.waiting.is_empty() {
            self.queue = None;
        }
        Some((first?, impatient))
    }
}

/// Where things are put.
pub(crate) struct Sender<T>(Arc<Mutex<Letters<T>>>);

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.0).senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let receiver = {
            let mut letters = lock(&self.0);
            letters.senders -= 1;
            if letters.senders == 0 { letters.receiver.take() } else { None }
        };
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl<T> Sender<T> {
    /// Puts something behind all that waits.
    ///
    /// # Errors
    /// There is no room, or nobody receives any more: here it is again.
    pub(crate) fn try_send(&self, letter: T) -> Result<(), T> {
        let receiver = {
            let mut letters = lock(&self.0);
            if letters.is_closed || letters.is_full() {
                return Err(letter);
            }
            letters.queue().waiting.push_back(letter);
            letters.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// The same, once there is room. If it is broken off before, nothing is put.
    ///
    /// # Errors
    /// Nobody receives any more, or [`MAX_IMPATIENT`] wait already: here it is again.
    pub(crate) async fn send(&self, letter: T) -> Result<(), T> {
        let mut letter = Some(letter);
        poll_fn(|cx| {
            let Some(tried) = letter.take() else { return Poll::Ready(Ok(())) };
            let Err(back) = self.try_send(tried) else { return Poll::Ready(Ok(())) };
            let mut letters = lock(&self.0);
            if letters.is_closed {
                return Poll::Ready(Err(back));
            }
            if !letters.is_full() {
                // Room was made between the two looks.
                letter = Some(back);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let impatient = &mut letters.queue().impatient;
            if !impatient.iter().any(|waker| waker.will_wake(cx.waker())) {
                if impatient.len() >= MAX_IMPATIENT {
                    return Poll::Ready(Err(back));
                }
                impatient.push(cx.waker().clone());
            }
            letter = Some(back);
            Poll::Pending
        })
        .await
    }
}

/// Where they are taken out. When it is dropped, so is all that waits.
pub(crate) struct Receiver<T>(Arc<Mutex<Letters<T>>>);

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// The first that waits; waits for ever if nobody sends any more. Safe to cancel: nothing is taken before it is returned.
    pub(crate) async fn recv(&mut self) -> T {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// See [`recv`](Self::recv).
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match self.poll_next(cx) {
            Poll::Ready(Some(letter)) => Poll::Ready(letter),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The same; `None` if nothing waits and nobody sends any more.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// See [`next`](Self::next).
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (first, impatient) = {
            let mut letters = lock(&self.0);
            match letters.take() {
                Some(taken) => taken,
                None if letters.senders == 0 => return Poll::Ready(None),
                None => {
                    if letters.receiver.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                        letters.receiver = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        };
        impatient.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(first))
    }

    /// The first, if one waits.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        lock(&self.0).take().map(|(first, _)| first)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let queue = {
            let mut letters = lock(&self.0);
            letters.is_closed = true;
            letters.queue.take()
        };
        // Not under the lock: it may be a connection that is closed.
        if let Some(queue) = queue {
            drop(queue.waiting);
            queue.impatient.into_iter().for_each(Waker::wake);
        }
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
        assert!(lock(&receiver.0).queue.is_none(), "nothing is kept");
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

    #[tokio::test]
    async fn who_waits_for_room_gets_it_or_hears_that_there_will_be_none() {
        let (sender, mut receiver) = mailbox(1);
        assert_eq!(sender.send(0).await, Ok(()));
        let waits = [1, 2].map(|letter| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(letter).await })
        });
        tokio::task::yield_now().await;
        let mut all = [receiver.recv().await, receiver.recv().await, receiver.recv().await];
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        for wait in waits {
            assert_eq!(wait.await.unwrap(), Ok(()));
        }
        sender.send(3).await.unwrap();
        let (sender, waits) = (sender.clone(), tokio::spawn(async move { sender.send(4).await }));
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waits.await.unwrap(), Err(4));
        assert_eq!(sender.send(5).await, Err(5));
    }

    #[tokio::test]
    async fn without_a_sender_nothing_more_is_waited_for() {
        let (sender, mut receiver) = mailbox(2);
        let other = sender.clone();
        other.try_send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.next().await, Some(1));
        let waits = tokio::spawn(async move { receiver.next().await });
        tokio::task::yield_now().await;
        drop(other);
        assert_eq!(waits.await.unwrap(), None);
    }

    #[tokio::test]
    async fn no_more_than_so_many_wait_for_room() {
        let (sender, _receiver) = mailbox(1);
        sender.try_send(0).unwrap();
        let waits: Vec<_> = (0..MAX_IMPATIENT)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(1).await })
            })
            .collect();
        while lock(&sender.0).queue().impatient.len() < MAX_IMPATIENT {
            tokio::task::yield_now().await;
        }
        assert_eq!(sender.send(2).await, Err(2));
        waits.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
