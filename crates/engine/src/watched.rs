//! A value that is watched: each receiver hears that it is another one, and of several changes of the last.
//!
//! What tokio has for this is made for many who wait at the same time, and takes 300 bytes before there is one; every torrent has
//! three such values, which one or two wait for.

use crate::shared::lock;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A value, and its first receiver.
pub(crate) fn watched<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let first = Slot { is_taken: true, ..Slot::default() };
    let inner = Inner { value, version: 0, first, others: Vec::new(), gone: 0, senders: 1 };
    let shared = Arc::new(Mutex::new(inner));
    (Sender(shared.clone()), Receiver { shared, slot: 0 })
}

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// How often it was changed, as long as that is told apart from what receivers know.
    version: u32,
    /// Those of receivers that are gone. They are made use of again.
    gone: u32,
    senders: u32,
    /// One for each receiver: most have one.
    first: Slot,
    others: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    is_taken: bool,
    /// The version that its receiver knows.
    seen: u32,
    /// Who waits for another one.
    waker: Option<Waker>,
}

impl<T> Inner<T> {
    fn wake_all(&mut self) -> Vec<Waker> {
        let slots = std::iter::once(&mut self.first).chain(&mut self.others);
        slots.filter_map(|slot| slot.waker.take()).collect()
    }

    fn slot(&mut self, at: usize) -> &mut Slot {
        match at.checked_sub(1) {
            None => &mut self.first,
            Some(at) => &mut self.others[at],
        }
    }

    /// A place for one more receiver, which knows what is there.
    fn enter(&mut self) -> usize {
        let slot = Slot { is_taken: true, seen: self.version, waker: None };
        if self.gone > 0
            && let Some(free) = (0..=self.others.len()).find(|&at| !self.slot(at).is_taken)
        {
            self.gone -= 1;
            *self.slot(free) = slot;
            return free;
        }
        if self.others.len() == self.others.capacity() {
            // Of most values there is one more receiver, now and then.
            self.others.reserve_exact(1 + self.others.len() / 2);
        }
        self.others.push(slot);
        self.others.len()
    }
}

/// Who changes it.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mutex<Inner<T>>>);

/// No receiver will hear of a change once there is no sender.
#[derive(Debug)]
pub(crate) struct Closed;

/// Who watches it.
#[derive(Debug)]
pub(crate) struct Receiver<T> {
    shared: Arc<Mutex<Inner<T>>>,
    slot: usize,
}

/// The value, which nobody changes meanwhile: never to be held across an await.
pub(crate) struct Ref<'a, T>(MutexGuard<'a, Inner<T>>);

impl<T> std::ops::Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Sender<T> {
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        Ref(lock(&self.0))
    }

    pub(crate) fn send_modify(&self, change: impl FnOnce(&mut T)) {
        let woken = {
            let mut inner = lock(&self.0);
            change(&mut inner.value);
            inner.version = inner.version.wrapping_add(1);
            inner.wake_all()
        };
        woken.into_iter().for_each(Waker::wake);
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
        let woken = {
            let mut inner = lock(&self.0);
            inner.senders -= 1;
            if inner.senders == 0 { inner.wake_all() } else { Vec::new() }
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<T> Receiver<T> {
    /// The value as it is now. Whether it is news is looked at elsewhere.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        Ref(lock(&self.shared))
    }

    /// The same; it is no news any more.
    pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let mut inner = lock(&self.shared);
        let version = inner.version;
        inner.slot(self.slot).seen = version;
        Ref(inner)
    }

    /// Waits for a value that is news, which it is not any more then. Safe to cancel.
    ///
    /// # Errors
    /// There will be none.
    pub(crate) async fn changed(&mut self) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// See [`changed`](Self::changed).
    pub(crate) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut inner = lock(&self.shared);
        let (version, senders) = (inner.version, inner.senders);
        let slot = inner.slot(self.slot);
        if slot.seen != version {
            slot.seen = version;
            return Poll::Ready(Ok(()));
        }
        if senders == 0 {
            return Poll::Ready(Err(Closed));
        }
        if slot.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until the value is one that is waited for.
    ///
    /// # Errors
    /// It will not be.
    pub(crate) async fn wait_for(&mut self, mut is_reached: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        while !is_reached(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }
}

impl<T> Clone for Receiver<T> {
    /// One that knows what is there now.
    fn clone(&self) -> Receiver<T> {
        let slot = lock(&self.shared).enter();
        Receiver { shared: self.shared.clone(), slot }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let gone = {
            let mut inner = lock(&self.shared);
            inner.gone += 1;
            std::mem::take(inner.slot(self.slot))
        };
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn each_hears_of_the_last_change_once() {
        let (sender, mut one) = watched(1);
        let mut other = one.clone();
        assert!(one.changed().now_or_never().is_none(), "it knows the first");
        sender.send_modify(|value| *value += 1);
        sender.send_modify(|value| *value += 1);
        for receiver in [&mut one, &mut other] {
            assert!(matches!(receiver.changed().now_or_never(), Some(Ok(()))));
            assert_eq!(*receiver.borrow(), 3);
            assert!(receiver.changed().now_or_never().is_none());
        }
        sender.clone().send_modify(|value| *value = 7);
        assert_eq!(*one.borrow_and_update(), 7);
        assert!(one.changed().now_or_never().is_none());
        assert!(other.clone().changed().now_or_never().is_none(), "to a new one it is none");
        assert!(matches!(other.changed().now_or_never(), Some(Ok(()))));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (sender, receiver) = watched(0);
        let wait = |mut receiver: Receiver<i32>| async move {
            receiver.wait_for(|&value| value == 2).await.ok().map(|()| *receiver.borrow())
        };
        let waits = [tokio::spawn(wait(receiver.clone())), tokio::spawn(wait(receiver))];
        for value in 1..=2 {
            tokio::task::yield_now().await;
            sender.send_modify(|now| *now = value);
        }
        for wait in waits {
            assert_eq!(wait.await.unwrap(), Some(2));
        }
    }

    #[tokio::test]
    async fn without_a_sender_nothing_is_waited_for() {
        let (sender, mut receiver) = watched(0);
        let other = sender.clone();
        let mut waiting = receiver.clone();
        let waits = tokio::spawn(async move { waiting.wait_for(|&value| value == 1).await.is_err() });
        tokio::task::yield_now().await;
        drop(sender);
        assert!(receiver.changed().now_or_never().is_none());
        other.send_modify(|value| *value = 5);
        drop(other);
        assert!(waits.await.unwrap());
        assert!(matches!(receiver.changed().now_or_never(), Some(Ok(()))), "the last one is still news");
        assert!(matches!(receiver.changed().now_or_never(), Some(Err(Closed))));
        assert_eq!(*receiver.borrow(), 5);
    }

    #[test]
    fn who_is_gone_leaves_room() {
        let (_sender, receiver) = watched(0);
        for _ in 0..100 {
            let _other = receiver.clone();
        }
        assert_eq!(lock(&receiver.shared).others.len(), 1);
    }
}
