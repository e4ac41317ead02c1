//! The half of a connection that listens.

use super::{BlockSink, CloseReason, Context, EVENT_BATCH, Event, Expected, IDLE_BUFFER, Outbox, READ_CHUNK};
use bytes::{Bytes, BytesMut};
use std::future;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt};
use types::{BlockRange, PieceIndex};
use wire::{Decoded, Message};

/// The least room for which a socket read is worth its system call while blocks are expected.
const LEAST_ROOM: usize = 32 * 1024;

pub(super) struct Reader<'a, R, D, K> {
    stream: R,
    context: &'a Context<D>,
    expected: &'a Expected,
    outbox: &'a Outbox<K>,
    buf: BytesMut,
    /// How many bytes the message at the start of `buf` needs in all, as far as is known.
    needed: usize,
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
        expected: &'a Expected,
        outbox: &'a Outbox<K>,
    ) -> Self {
        Reader { stream, context, expected, outbox, buf: BytesMut::new(), needed: 0, events: Vec::new() }
    }

    pub(super) async fn run(mut self) -> CloseReason {
        loop {
            self.make_room();
            match self.stream.read_buf(&mut self.buf).await {
                Ok(0) => return CloseReason::Theirs,
                Ok(_) => {}
                Err(err) => return err.into(),
            }
            let parsed = self.take_messages().await;
            self.tell().await;
            if let Err(err) = parsed {
                return err.into();
            }
        }
    }

    /// A connection that expects blocks reads in large portions; one that does not keeps next to nothing.
    fn make_room(&mut self) {
        let idle = self.expected.is_empty();
        if idle && self.buf.is_empty() && self.buf.capacity() > IDLE_BUFFER {
            self.buf = BytesMut::new();
            // Others that are busy soon have theirs again.
            self.context.chunks.release();
        }
        let (least, portion) = if idle { (1, IDLE_BUFFER) } else { (LEAST_ROOM, READ_CHUNK) };
        // A long message is made room for as it arrives: its length alone is no reason to believe in it.
        let missing = self.needed.saturating_sub(self.buf.len()).min(READ_CHUNK);
        if self.buf.capacity() - self.buf.len() < least.max(missing) {
            if idle {
                self.buf.reserve(portion.max(missing));
            } else {
                let mut chunk = self.context.chunks.take(self.buf.len() + portion.max(missing));
                chunk.extend_from_slice(&self.buf);
                self.context.chunks.give(std::mem::replace(&mut self.buf, chunk));
            }
        }
    }

    /// Takes every whole message from the buffer.
    async fn take_messages(&mut self) -> Result<(), wire::Error> {
        loop {
            let (block, consumed) = match wire::decode(&self.buf, &self.context.limits)? {
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
                    }
                    continue;
                }
            };
            let frame = self.buf.split_to(consumed).freeze();
            self.take_block(block, frame.slice(consumed - block.len as usize..)).await;
        }
    }

    async fn take_block(&mut self, block: BlockRange, data: Bytes) {
        if !self.expected.blocks().remove(&block) {
            self.events.push(Event::Unrequested(block.len));
            return;
        }
        let mut write = pin!(self.context.disk.write(block, data));
        let accepted = tokio::select! {
            biased;
            accepted = &mut write => accepted,
            () = future::ready(()) => {
                // The disk is behind. What the peer said before this block must not wait for it.
                self.outbox.tell(std::mem::take(&mut self.events)).await;
                write.await
            }
        };
        if !accepted {
            self.events.push(Event::Refused(block));
        }
    }

    async fn tell(&mut self) {
        self.outbox.tell(std::mem::take(&mut self.events)).await;
    }
}
