//! The half of a connection that speaks.

use super::send_queue::{SLICES, SendQueue};
use super::{
    BlockSource, CloseReason, Command, Context, Event, Expected, LAST_WORDS, Outbox, READ_AHEAD, SEND_LIMIT,
    SEND_WATERMARK,
};
use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
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
    /// On its way to the socket.
    out: SendQueue,
    /// Blocks to be served, not yet read.
    serves: VecDeque<BlockRange>,
    /// Blocks that are being read, in the order in which they are to be sent.
    reads: FuturesOrdered<BlockRead<'a>>,
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
            out: SendQueue::default(),
            serves: VecDeque::new(),
            reads: FuturesOrdered::new(),
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
                        let _ = timeout(LAST_WORDS, write_all(&mut self.stream, &mut self.out)).await;
                        return CloseReason::Ours;
                    }
                },
                Some((block, data)) = self.reads.next(), if self.out.block_bytes() < SEND_WATERMARK => {
                    self.send_block(block, data);
                }
                sent = write(&mut self.stream, &self.out), if !self.out.is_empty() => match sent {
                    Ok(0) => return CloseReason::Theirs,
                    Ok(sent) => self.out.advance(sent, |block| self.events.push(Event::Sent(block))),
                    Err(err) => return err.into(),
                },
            }
            self.outbox.tell(std::mem::take(&mut self.events)).await;
            if self.out.message_bytes() > SEND_LIMIT {
                return CloseReason::NotReading;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(message) => self.out.say(&message),
            Command::Request(block) => {
                self.expected.blocks().insert(block);
                self.out.say(&Message::Request(Request::from(block)));
            }
            Command::Cancel(block) => {
                if self.expected.blocks().remove(&block) {
                    self.out.say(&Message::Cancel(Request::from(block)));
                }
            }
            Command::Serve(block) => self.serves.push_back(block),
            Command::DropServes => {
                let unread = self.serves.drain(..);
                self.events.extend(self.out.drop_blocks().chain(unread).map(Event::SendFailed));
                self.dropped_reads = self.reads.len();
            }
        }
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
            Ok(data) if !dropped && data.len() == block.len as usize => self.out.push_block(block, data),
            _ => self.events.push(Event::SendFailed(block)),
        }
    }
}

/// Writes some of it: how many bytes.
async fn write(stream: &mut (impl AsyncWrite + Unpin), out: &SendQueue) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = out.fill(&mut slices);
    stream.write_vectored(&slices[..count]).await
}

async fn write_all(stream: &mut (impl AsyncWrite + Unpin), out: &mut SendQueue) -> io::Result<()> {
    while !out.is_empty() {
        match write(stream, out).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            sent => out.advance(sent, |_| {}),
        }
    }
    Ok(())
}
