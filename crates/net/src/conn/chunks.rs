//! Memory that is read into, used again when the disk is done with what came in it: memory that is new costs the kernel
//! as much as the copy into it.

use super::{CHUNKS_KEPT, FAIR_SHARE, MESSAGE_BUDGET, READ_BUDGET, READ_CHUNK, REST};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is left of a chunk is read into, though somebody holds the rest of it, if it has so many bytes.
pub(super) const LEAST_CHUNK: usize = READ_CHUNK / 4;

/// Chunks that connections share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chunks {
    kept: Arc<Mutex<Kept>>,
    budget: Arc<Budget>,
    /// How many chunks connections read into.
    reading: Arc<AtomicUsize>,
}

/// Leave to read into a chunk, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For tests: [`MESSAGE_BUDGET`], and a [`FAIR_SHARE`] for everybody.
impl Default for Chunks {
    fn default() -> Chunks {
        Chunks::new(MESSAGE_BUDGET, MESSAGE_BUDGET / FAIR_SHARE / 2)
    }
}

/// Memory for messages that are not sent, not complete or not heard. Each connection has a fair share of half of it; the rest is for
/// those that have more.
#[derive(Debug)]
struct Budget {
    fair: usize,
    rest: usize,
    /// Bytes that connections have beyond their shares.
    beyond: AtomicUsize,
}

impl Budget {
    /// A connection that had so many bytes has so many more; `false` if that is too much.
    fn add(&self, had: usize, more: usize) -> bool {
        let beyond = more.min((had + more).saturating_sub(self.fair));
        beyond == 0 || self.beyond.fetch_add(beyond, Ordering::Relaxed) + beyond <= self.rest
    }

    fn take_back(&self, had: usize, less: usize) {
        self.beyond.fetch_sub(less.min(had.saturating_sub(self.fair)), Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    chunks: VecDeque<BytesMut>,
    last_taken: Option<Instant>,
    /// A task waits until nobody takes any.
    is_awaited: bool,
    /// How many there have been.
    #[cfg(test)]
    made: usize,
}

impl Kept {
    /// All of it, if nobody took anything for so long.
    fn unused(&mut self, long: Duration) -> Option<VecDeque<BytesMut>> {
        let is_unused = self.last_taken.is_none_or(|last| last.elapsed() >= long);
        is_unused.then(|| std::mem::take(&mut self.chunks))
    }
}

/// What half of a connection, or what it said, has of the memory for messages, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    /// Of the whole connection.
    of_both: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    /// It is so many bytes now; `false` if that is too much.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            let more = bytes - before;
            return self.budget.add(self.of_both.fetch_add(more, Ordering::Relaxed), more);
        }
        let less = before - bytes;
        self.budget.take_back(self.of_both.fetch_sub(less, Ordering::Relaxed), less);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
impl Chunks {
    pub(super) fn made(&self) -> usize {
        self.kept().made
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
    /// None yet. So many connections at most may have so many bytes of messages that are not sent, not complete or not heard: see
    /// [`MESSAGE_BUDGET`].
    pub fn new(budget: usize, connections: usize) -> Chunks {
        let fair = FAIR_SHARE.min(budget / 2 / connections.max(1));
        let rest = budget - fair * connections.max(1);
        let budget = Budget { fair, rest, beyond: AtomicUsize::new(0) };
        Chunks { kept: Arc::default(), budget: Arc::new(budget), reading: Arc::default() }
    }

    /// Leave to [`take`](Self::take) a chunk; none while connections read into as many as they may, but for who `gives` one
    /// back for it.
    pub(super) fn place(&self, gives: bool) -> Option<Place> {
        let place = Place(self.reading.clone());
        let others = self.reading.fetch_add(1, Ordering::Relaxed);
        (gives || others < READ_BUDGET / READ_CHUNK).then_some(place)
    }

    /// An empty buffer with room for [`READ_CHUNK`] bytes, or for [`LEAST_CHUNK`] at least if something is in use of it.
    pub(crate) fn take(&self) -> BytesMut {
        // Most that are in use belong to pieces that are not complete, and those are old and new.
        let mut kept = self.kept();
        kept.last_taken = Some(Instant::now());
        let fits = |chunk: &mut BytesMut| chunk.try_reclaim(READ_CHUNK) || chunk.capacity() >= LEAST_CHUNK;
        if let Some(free) = kept.chunks.iter_mut().position(fits)
            && let Some(chunk) = kept.chunks.remove(free)
        {
            return chunk;
        }
        #[cfg(test)]
        {
            kept.made += 1;
        }
        BytesMut::with_capacity(READ_CHUNK)
    }

    /// The share of part of a connection in the memory for messages, nothing yet; all parts know how much they have together.
    pub(super) fn share(&self, of_both: &Arc<AtomicUsize>) -> Share {
        Share { budget: self.budget.clone(), of_both: of_both.clone(), bytes: 0 }
    }

    /// What is left of a chunk that was taken. Blocks may still lie in what was before.
    pub(crate) fn give(&self, mut chunk: BytesMut) {
        chunk.clear();
        let chunks = &mut self.kept().chunks;
        if chunks.len() < CHUNKS_KEPT {
            chunks.push_back(chunk);
        } else if chunk.capacity() >= LEAST_CHUNK
            && let Some(used_up) = chunks.iter_mut().find(|chunk| chunk.capacity() < LEAST_CHUNK)
        {
            *used_up = chunk;
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
    fn so_much_is_read_into_at_a_time() {
        let chunks = Chunks::default();
        let mut places: Vec<_> =
            (0..READ_BUDGET / READ_CHUNK).map(|_| chunks.place(false).expect("there is room")).collect();
        assert!(chunks.place(false).is_none() && chunks.clone().place(false).is_none());
        assert!(chunks.place(true).is_some(), "one for another");
        places.pop();
        places.extend(chunks.place(false));
        assert_eq!(places.len(), READ_BUDGET / READ_CHUNK);
        assert!(chunks.place(false).is_none());
    }

    #[test]
    fn beyond_the_budget_nobody_has_more_than_its_share() {
        let chunks = Chunks::new(MESSAGE_BUDGET, 100);
        let rest = MESSAGE_BUDGET - 100 * FAIR_SHARE;
        let [greedy_both, modest_both] = [(); 2].map(|()| Arc::default());
        let (mut greedy, mut modest) = (chunks.share(&greedy_both), chunks.share(&modest_both));
        assert!(greedy.set(FAIR_SHARE + rest));
        assert!(modest.set(FAIR_SHARE), "a fair share can always be had");
        let mut other_half = chunks.share(&modest_both);
        assert!(!other_half.set(1), "it is one for both halves");
        drop(other_half);
        assert!(!greedy.set(FAIR_SHARE + rest + 1));
        assert!(greedy.set(FAIR_SHARE + rest - 1), "less is never too much");
        drop(greedy);
        assert!(modest.set(rest));
        drop(modest);
        assert_eq!(chunks.budget.beyond.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn however_many_connections_there_are_the_budget_holds() {
        for (budget, connections) in [(MESSAGE_BUDGET, 200), (MESSAGE_BUDGET, 1000), (1 << 20, 30_000)] {
            let chunks = Chunks::new(budget, connections);
            let mut held = 0;
            let shares: Vec<_> = (0..connections)
                .filter_map(|number| {
                    let mut share = chunks.share(&Arc::default());
                    let bytes = (number % 7 + 1) << (number % 20);
                    share.set(bytes).then(|| {
                        held += bytes;
                        share
                    })
                })
                .collect();
            assert!(held <= budget, "{held} of {budget} bytes for {connections}");
            assert!(held > budget / 3, "{held} of {budget} bytes for {connections}");
            drop(shares);
        }
        let chunks = Chunks::new(MESSAGE_BUDGET, usize::MAX);
        assert!(chunks.share(&Arc::default()).set(MESSAGE_BUDGET));
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
    fn what_is_left_of_a_chunk_is_used_too() {
        let chunks = Chunks::default();
        let mut chunk = chunks.take();
        chunk.extend_from_slice(&[7; 1000]);
        let block = chunk.split().freeze();
        (0..CHUNKS_KEPT).for_each(|_| chunks.give(BytesMut::with_capacity(16)));
        chunks.give(chunk);
        assert_eq!(chunks.kept().len(), CHUNKS_KEPT);
        let rest = chunks.take();
        assert_eq!(rest.as_ptr().addr(), block.as_ptr().addr() + block.len());
        assert!(rest.capacity() < READ_CHUNK && rest.is_empty());
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
