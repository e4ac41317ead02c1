//! Memory that is read into, used again when the disk is done with what came in it: memory that is new costs the kernel
//! as much as the copy into it.

use super::{CHUNKS_KEPT, READ_CHUNK};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Chunks that connections share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Chunks(Arc<Mutex<VecDeque<BytesMut>>>);

impl Chunks {
    /// An empty buffer with room for [`READ_CHUNK`] bytes.
    pub(super) fn take(&self) -> BytesMut {
        let oldest = self.kept().pop_front();
        if let Some(mut chunk) = oldest {
            if chunk.try_reclaim(READ_CHUNK) {
                return chunk;
            }
            // Something in it is not written yet.
            self.kept().push_back(chunk);
        }
        BytesMut::with_capacity(READ_CHUNK)
    }

    /// What is left of a chunk that was taken. Blocks may still lie in what was before.
    pub(super) fn give(&self, mut chunk: BytesMut) {
        chunk.clear();
        let mut kept = self.kept();
        if kept.len() < CHUNKS_KEPT {
            kept.push_back(chunk);
        }
    }

    /// Nothing is kept for later.
    pub(super) fn release(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, VecDeque<BytesMut>> {
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
        chunks.release();
        assert_eq!(chunks.kept().len(), 0);
    }
}
