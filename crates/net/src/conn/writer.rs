//! The half of a connection that speaks.

use super::{
    BlockSource, CloseReason, Command, Context, Event, Expected, LAST_WORDS, Outbox, READ_AHEAD, SEND_LIMIT,
    SEND_WATERMARK,
};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use types::BlockRange;
use wire::{Message, Request};

type BlockRead<'a> = Pin<Box<dyn Future<Output = (BlockRange, io::Result<Bytes>)> + Send + 'a>>;

pub(super) struct Writer<'a, W, D, K> {
    stream: W,
    context: &'a Context<D>,
    expected: &'a Expected,
    outbox: &'a Outbox<K>,
    /// Bytes on their way to the socket.
    out: BytesMut,
    encoded: Vec<u8>,
    /// Bytes that the socket took since the start.
    written: u64,
    /// Blocks to be served, not yet read.
    serves: VecDeque<BlockRange>,
    /// Blocks that are being read, in the order in which they are to be sent.
    reads: FuturesOrdered<BlockRead<'a>>,
    /// Blocks in `out`, each with the value of `written` at which its last byte has left.
    leaving: VecDeque<(u64, BlockRange)>,
    events: Vec<Event>,
    /// A choke: blocks that are being read now are not sent any more.
    dropped_reads: usize,
}

impl<'a, W, D, K> Writer<'a, W, D, K>
where
    W: AsyncWrite + Unpin,
    D: BlockSource,
    K: Copy,
{
    pub(super) fn new(
        stream: W,
        context: &'a Context<D>,
        expected: &'a Expected,
        outbox: &'a Outbox<K>,
    ) -> Self {
        Writer {
            stream,
            context,
            expected,
            outbox,
            out: BytesMut::new(),
            encoded: Vec::new(),
            written: 0,
            serves: VecDeque::new(),
            reads: FuturesOrdered::new(),
            leaving: VecDeque::new(),
            events: Vec::new(),
            dropped_reads: 0,
        }
    }

    pub(super) async fn run(mut self, commands: &mut mpsc::Receiver<Vec<Command>>) -> CloseReason {
        loop {
            self.read_ahead();
            tokio::select! {
                biased;
                batch = commands.recv() => match batch {
                    Some(batch) => batch.into_iter().for_each(|command| self.obey(command)),
                    None => {
                        // Nobody is told any more of what comes.
                        self.expected.blocks().clear();
                        // What was said last (a reject, a cancel) should still arrive, but nobody waits for it long.
                        let _ = timeout(LAST_WORDS, self.stream.write_all_buf(&mut self.out)).await;
                        return CloseReason::Ours;
                    }
                },
                Some((block, data)) = self.reads.next(), if self.out.len() < SEND_WATERMARK => {
                    self.send_block(block, data);
                }
                sent = self.stream.write_buf(&mut self.out), if !self.out.is_empty() => match sent {
                    Ok(0) => return CloseReason::Theirs,
                    Ok(sent) => self.note_sent(sent),
                    Err(err) => return err.into(),
                },
            }
            self.outbox.tell(std::mem::take(&mut self.events)).await;
            if self.out.len() > SEND_LIMIT {
                return CloseReason::NotReading;
            }
            if self.out.is_empty() && self.serves.is_empty() && self.reads.is_empty() {
                self.out = BytesMut::new();
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(message) => self.send(&message),
            Command::Request(block) => {
                self.expected.blocks().insert(block);
                self.send(&Message::Request(Request::from(block)));
            }
            Command::Cancel(block) => {
                if self.expected.blocks().remove(&block) {
                    self.send(&Message::Cancel(Request::from(block)));
                }
            }
            Command::Serve(block) => self.serves.push_back(block),
            Command::DropServes => {
                self.events.extend(self.serves.drain(..).map(Event::SendFailed));
                self.dropped_reads = self.reads.len();
            }
        }
    }

    fn send(&mut self, message: &Message<'_>) {
        self.encoded.clear();
        message.encode(&mut self.encoded);
        self.out.extend_from_slice(&self.encoded);
    }

    /// Keeps a few blocks on their way from the disk.
    fn read_ahead(&mut self) {
        while self.reads.len() < READ_AHEAD
            && let Some(block) = self.serves.pop_front()
        {
            let context = self.context;
            self.reads.push_back(Box::pin(async move { (block, context.disk.read(block).await) }));
        }
    }

    fn send_block(&mut self, block: BlockRange, data: io::Result<Bytes>) {
        let dropped = self.dropped_reads > 0;
        self.dropped_reads = self.dropped_reads.saturating_sub(1);
        match data {
            Ok(data) if !dropped && data.len() == block.len as usize => {
                self.out.reserve(SEND_WATERMARK);
                self.out.extend_from_slice(&wire::encode_piece_header(block));
                self.out.extend_from_slice(&data);
                self.leaving.push_back((self.written + self.out.len() as u64, block));
            }
            _ => self.events.push(Event::SendFailed(block)),
        }
    }

    fn note_sent(&mut self, bytes: usize) {
        self.written += bytes as u64;
        while let Some(&(end, block)) = self.leaving.front()
            && end <= self.written
        {
            self.leaving.pop_front();
            self.events.push(Event::Sent(block));
        }
    }
}
