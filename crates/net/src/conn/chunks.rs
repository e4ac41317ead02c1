//! Memory that is read into, used again when the disk is done with what came in it: memory that is new costs the kernel
//! as much as the copy into it.

use super::{CHUNKS_KEPT, FAIR_SHARE, MESSAGE_BUDGET, READ_CHUNK, REST};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Chunks that connections share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    kept: Arc<Mutex<Kept>>,
    /// Bytes of messages that are not sent or not complete; see [`MESSAGE_BUDGET`].
    of_messages: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    chunks: VecDeque<BytesMut>,
    last_taken: Option<Instant>,
    /// A task waits until nobody takes any.
    is_awaited: bool,
}

impl Kept {
    /// All of it, if nobody took anything for so long.
    fn unused(&mut self, long: Duration) -> Option<VecDeque<BytesMut>> {
        let is_unused = self.last_taken.is_none_or(|last| last.elapsed() >= long);
        is_unused.then(|| std::mem::take(&mut self.chunks))
    }
}

/// What one connection has of the memory for messages, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of_all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    /// It is so many bytes now; `false` if that is too much.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes <= before {
            self.of_all.fetch_sub(before - bytes, Ordering::Relaxed);
            return true;
        }
        let more = bytes - before;
        let all = self.of_all.fetch_add(more, Ordering::Relaxed) + more;
        bytes <= FAIR_SHARE || all <= MESSAGE_BUDGET
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
impl Kept {
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn capacities(&self) -> impl Iterator<Item = usize> {
        self.chunks.iter().map(BytesMut::capacity)
    }
}

impl Chunks {
    /// An empty buffer with room for [`READ_CHUNK`] bytes.
    pub(crate) fn take(&self) -> BytesMut {
        // Most that are in use belong to pieces that are not complete, and those are old and new.
        let Kept { chunks, last_taken, .. } = &mut *self.kept();
        *last_taken = Some(Instant::now());
        let free = chunks.iter_mut().position(|chunk| chunk.try_reclaim(READ_CHUNK));
        free.and_then(|free| chunks.remove(free)).unwrap_or_else(|| BytesMut::with_capacity(READ_CHUNK))
    }

    /// A connection's share of the memory for messages, nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { of_all: self.of_messages.clone(), bytes: 0 }
    }

    /// What is left of a chunk that was taken. Blocks may still lie in what was before.
    pub(crate) fn give(&self, mut chunk: BytesMut) {
        chunk.clear();
        let mut kept = self.kept();
        if kept.chunks.len() < CHUNKS_KEPT {
            kept.chunks.push_back(chunk);
        }
    }

    /// Nothing is kept for later, if nobody took anything for so long.
    pub(super) fn release_unused(&self, long: Duration) {
        let unused = self.kept().unused(long);
        drop(unused); // not under the lock
    }

    /// The same a little later: a connection that has ended will not see to it. However many end, one task does.
    pub(crate) fn release_unused_soon(&self) {
        let mut kept = self.kept();
        let is_seen_to = kept.chunks.is_empty() || std::mem::replace(&mut kept.is_awaited, true);
        #[cfg(feature = "planted")]
        let is_seen_to = is_seen_to && !crate::planted::is("task-each");
        drop(kept);
        if is_seen_to {
            return;
        }
        let chunks = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(REST).await;
                let mut kept = chunks.kept();
                let unused = kept.unused(REST);
                kept.is_awaited = unused.is_none();
                drop(kept);
                if unused.is_some() {
                    return;
                }
            }
        });
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_used_again_once_nobody_needs_what_was_in_it() {
        let chunks = Chunks::default();
        let mut chunk = chunks.take();
        chunk.extend_from_slice(&[7; READ_CHUNK]);
        let memory = chunk.as_ptr();
        let block = chunk.split_to(READ_CHUNK - 1).freeze();
        chunks.give(chunk);
        assert_ne!(chunks.take().as_ptr(), memory, "it is in use");
        assert_eq!(block[..], [7; READ_CHUNK - 1]);
        drop(block);
        let again = chunks.take();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        assert!(again.capacity() >= READ_CHUNK);
    }

    #[test]
    fn beyond_the_budget_nobody_has_more_than_its_share() {
        let chunks = Chunks::default();
        let (mut greedy, mut modest) = (chunks.share(), chunks.share());
        assert!(greedy.set(MESSAGE_BUDGET));
        assert!(modest.set(FAIR_SHARE), "a fair share can always be had");
        assert!(!modest.set(FAIR_SHARE + 1) && !greedy.set(MESSAGE_BUDGET + 1));
        assert!(greedy.set(MESSAGE_BUDGET - 1), "less is never too much");
        drop(greedy);
        assert!(modest.set(MESSAGE_BUDGET));
        drop(modest);
        assert_eq!(chunks.of_messages.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_waits_until_nobody_needs_any() {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let chunks = Chunks::default();
        chunks.release_unused_soon();
        assert_eq!(tasks(), 0, "there are none");
        for ended in 0..1000 {
            chunks.give(chunks.take());
            chunks.release_unused_soon();
            assert_eq!((ended, tasks()), (ended, 1));
            tokio::time::sleep(REST / 100).await;
        }
        assert_eq!(chunks.kept().len(), 1, "somebody took it of late");
        tokio::time::sleep(REST * 2).await;
        assert_eq!((chunks.kept().len(), tasks()), (0, 0));
        chunks.give(chunks.take());
        chunks.release_unused_soon();
        tokio::time::sleep(REST * 2).await;
        assert_eq!((chunks.kept().len(), tasks()), (0, 0), "and again");
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let chunks = Chunks::default();
        (0..CHUNKS_KEPT * 2).for_each(|_| chunks.give(BytesMut::with_capacity(16)));
        assert_eq!(chunks.kept().len(), CHUNKS_KEPT);
        chunks.take();
        chunks.release_unused(Duration::from_secs(3600));
        assert_ne!(chunks.kept().len(), 0, "somebody needs them");
        chunks.release_unused(Duration::ZERO);
        assert_eq!(chunks.kept().len(), 0);
    }
}
