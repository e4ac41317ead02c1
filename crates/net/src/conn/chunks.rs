//! Memory that is read into, used again when the disk is done with what came in it: memory that is new costs the kernel
//! as much as the copy into it.

use super::{CHUNKS_KEPT, READ_CHUNK};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Chunks that connections share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chunks(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub(super) struct Kept {
    chunks: VecDeque<BytesMut>,
    last_taken: Option<Instant>,
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
    pub(super) fn take(&self) -> BytesMut {
        // Most that are in use belong to pieces that are not complete, and those are old and new.
        let Kept { chunks, last_taken } = &mut *self.kept();
        *last_taken = Some(Instant::now());
        let free = chunks.iter_mut().position(|chunk| chunk.try_reclaim(READ_CHUNK));
        free.and_then(|free| chunks.remove(free)).unwrap_or_else(|| BytesMut::with_capacity(READ_CHUNK))
    }

    /// What is left of a chunk that was taken. Blocks may still lie in what was before.
    pub(super) fn give(&self, mut chunk: BytesMut) {
        chunk.clear();
        let mut kept = self.kept();
        if kept.chunks.len() < CHUNKS_KEPT {
            kept.chunks.push_back(chunk);
        }
    }

    /// Nothing is kept for later, if nobody took anything for so long.
    pub(super) fn release_unused(&self, long: Duration) {
        let mut kept = self.kept();
        if kept.last_taken.is_none_or(|last| last.elapsed() >= long) {
            let unused = std::mem::take(&mut kept.chunks);
            drop(kept);
            drop(unused);
        }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
