//! The half of a connection that listens.

use super::chunks::Share;
use super::{
    Between, BlockSink, CloseReason, Context, EVENT_BATCH, Event, IDLE_BUFFER, Outbox, READ_CHUNK, REST,
};
use bytes::{Bytes, BytesMut};
use std::future;
use std::io;
use std::mem;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use types::{BlockRange, PieceIndex};
use wire::{Decoded, Message};

/// The least room for which a socket read is worth its system call while blocks are expected.
const LEAST_ROOM: usize = 32 * 1024;

pub(super) struct Reader<'a, R, D, K> {
    stream: R,
    context: &'a Context<D>,
    between: &'a Between,
    outbox: &'a Outbox<K>,
    buf: BytesMut,
    /// The buffer came from the chunks that are shared.
    is_chunk: bool,
    /// A chunk was given back since the last read.
    gave_chunk: bool,
    /// How many bytes the message at the start of `buf` needs in all, as far as is known.
    needed: usize,
    /// What it holds of the memory for messages.
    share: Share,
    events: Vec<Event>,
}

impl<'a, R, D, K> Reader<'a, R, D, K>
where
    R: AsyncRead + Unpin,
    D: BlockSink,
    K: Copy,
{
    pub(super) fn new(
        stream: R,
        context: &'a Context<D>,
        between: &'a Between,
        outbox: &'a Outbox<K>,
    ) -> Self {
        Reader {
            stream,
            context,
            between,
            outbox,
            buf: BytesMut::new(),
            is_chunk: false,
            gave_chunk: false,
            needed: 0,
            share: context.chunks.share(),
            events: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> CloseReason {
        // Room for the longest message, whatever comes.
        #[cfg(feature = "planted")]
        let _room = crate::planted::is("long-buffers").then(|| vec![1_u8; 16 * READ_CHUNK]);
        loop {
            self.between.released().await;
            self.make_room();
            // What is in chunks is bounded by itself.
            let held = if self.is_chunk { 0 } else { self.buf.capacity() };
            if !self.share.set(held) {
                return CloseReason::OverBudget;
            }
            match self.read().await {
                Ok(0) => return CloseReason::Theirs,
                Ok(_) => {}
                Err(err) => return err.into(),
            }
            let parsed = self.take_messages().await;
            self.context.disk.tell();
            self.tell().await;
            if let Err(err) = parsed {
                return err.into();
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        if mem::take(&mut self.gave_chunk) {
            match timeout(REST, self.stream.read_buf(&mut self.buf)).await {
                Ok(read) => return read,
                Err(_) => self.context.chunks.release_unused(REST),
            }
        }
        self.stream.read_buf(&mut self.buf).await
    }

    /// A connection that expects blocks reads in large portions; one that does not keeps next to nothing.
    fn make_room(&mut self) {
        let idle = self.between.expected().is_empty();
        if idle && self.buf.is_empty() && self.buf.capacity() > IDLE_BUFFER {
            let buf = mem::take(&mut self.buf);
            if mem::take(&mut self.is_chunk) {
                self.context.chunks.give(buf);
                self.gave_chunk = true;
            }
        }
        // A long message is made room for as it arrives: its length alone is no reason to believe in it.
        let missing = self.needed.saturating_sub(self.buf.len()).min(READ_CHUNK);
        let room = self.buf.capacity() - self.buf.len();
        if idle {
            if room < missing.max(1) {
                self.buf.reserve(IDLE_BUFFER.max(missing));
                self.is_chunk = false;
            }
        } else if room < LEAST_ROOM {
            self.next_chunk(missing.max(LEAST_ROOM));
        }
    }

    /// Goes on in a chunk with room for so many bytes more, or in a larger buffer if no chunk has it.
    fn next_chunk(&mut self, more: usize) {
        let is_chunk = self.buf.len() + more <= READ_CHUNK;
        let mut buf = match is_chunk {
            true => self.context.chunks.take(),
            false => BytesMut::with_capacity(self.buf.len() + READ_CHUNK),
        };
        buf.extend_from_slice(&self.buf);
        let old = mem::replace(&mut self.buf, buf);
        if mem::replace(&mut self.is_chunk, is_chunk) {
            self.context.chunks.give(old);
        }
    }

    /// Takes every whole message from the buffer.
    async fn take_messages(&mut self) -> Result<(), wire::Error> {
        loop {
            let decoded = wire::decode(&self.buf, &self.context.limits);
            #[cfg(feature = "planted")]
            let decoded = match decoded {
                Err(wire::Error::TooLong { .. }) if crate::planted::is("any-length") => return Ok(()),
                Err(wire::Error::UnknownId { .. }) if crate::planted::is("any-id") => return Ok(()),
                other => other,
            };
            let (block, consumed) = match decoded? {
                Decoded::Incomplete { need_at_least } => {
                    self.needed = need_at_least;
                    return Ok(());
                }
                Decoded::Message { message: Message::Piece { index, begin, data }, consumed } => {
                    // The limits keep a block far below 4 GiB.
                    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    (BlockRange { piece: PieceIndex::new(index), offset: begin, len }, consumed)
                }
                Decoded::Message { message, consumed } => {
                    self.events.push(Event::Message(message.into_owned()));
                    let _ = self.buf.split_to(consumed);
                    if self.events.len() >= EVENT_BATCH {
                        self.tell().await;
                        self.between.released().await;
                    }
                    continue;
                }
            };
            let frame = self.buf.split_to(consumed).freeze();
            self.take_block(block, frame.slice(consumed - block.len as usize..)).await;
        }
    }

    async fn take_block(&mut self, block: BlockRange, data: Bytes) {
        #[cfg(feature = "planted")]
        let block = match crate::planted::is("any-block") {
            true => self.like(block).unwrap_or(block),
            false => block,
        };
        if !self.between.expected().remove(&block) {
            self.events.push(Event::Unrequested(block.len));
            return;
        }
        let mut write = pin!(self.context.disk.write(block, data));
        let accepted = tokio::select! {
            biased;
            accepted = &mut write => accepted,
            () = future::ready(()) => {
                // The disk is behind. What the peer said before this block must not wait for it.
                self.tell().await;
                write.await
            }
        };
        if !accepted {
            self.events.push(Event::Refused(block));
        }
    }

    /// A block that was asked for, of the same piece and length.
    #[cfg(feature = "planted")]
    fn like(&self, block: BlockRange) -> Option<BlockRange> {
        let like = |other: &&BlockRange| other.piece == block.piece && other.len == block.len;
        self.between.expected().iter().find(like).copied()
    }

    async fn tell(&mut self) {
        self.outbox.tell_in_turn(&mut self.events).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::{Chunks, Pipes};
    use wire::Limits;

    struct Nowhere;

    impl BlockSink for Nowhere {
        async fn write(&self, _: BlockRange, _: Bytes) -> bool {
            true
        }

        fn tell(&self) {}
    }

    /// Calls `with` with the reader of a connection that expects a block.
    fn busy(with: impl FnOnce(&mut Reader<'_, tokio::io::Empty, Nowhere, ()>)) {
        let context = Context {
            disk: Nowhere,
            limits: Limits::for_pieces(100),
            chunks: Chunks::default(),
            pipes: Pipes::default(),
        };
        let between = Between::default();
        between.expected().insert(BlockRange { piece: PieceIndex::new(0), offset: 0, len: 16_384 });
        let (events, _told) = tokio::sync::mpsc::channel(1);
        with(&mut Reader::new(tokio::io::empty(), &context, &between, &Outbox::new((), events)));
    }

    #[test]
    fn a_long_message_in_small_bits_is_copied_now_and_then() {
        busy(|reader| {
            reader.needed = 1 << 20;
            let mut moves = 0;
            while reader.buf.len() < reader.needed {
                let before = reader.buf.as_ptr();
                reader.make_room();
                moves += u32::from(reader.buf.as_ptr() != before);
                let room = reader.buf.capacity() - reader.buf.len();
                assert!(room > 0 && room <= 2 * READ_CHUNK, "{room}");
                reader.buf.extend_from_slice(&[7; 1000]);
            }
            assert!(moves <= 6, "{moves} times");
            assert!(reader.context.chunks.kept().capacities().all(|capacity| capacity <= READ_CHUNK));
        });
    }

    #[test]
    fn only_what_can_be_used_again_is_kept() {
        busy(|reader| {
            let block = *reader.between.expected().iter().next().unwrap();
            for _ in 0..10 {
                reader.between.expected().clear();
                reader.make_room();
                reader.buf.extend_from_slice(&[7]);
                reader.between.expected().insert(block);
                reader.make_room();
                reader.buf.clear();
            }
            assert_eq!(reader.context.chunks.kept().len(), 0, "buffers of an idle connection are no chunks");
        });
    }
}
