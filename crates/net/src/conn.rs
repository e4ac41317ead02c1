//! One peer's connection after the handshake: frames in, frames out, payload between socket and disk.
//!
//! One task runs one connection ([`run`]). Inside it a reader and a writer take turns:
//!
//! - the **reader** parses what came in place, checks each block against what was asked for, hands its bytes to the
//!   [`BlockSink`] without a copy, and tells the torrent's brain in batches, one per socket read. While the sink has
//!   no room nothing is read, and TCP slows the sender down;
//! - the **writer** turns [`Command`]s into bytes, reads blocks from the [`BlockSource`] a little ahead of the
//!   socket, and reports each block once its last byte has left. Messages overtake blocks. Where the stream is a
//!   socket and the disk can say where a block lies, its pages go from the file to the socket without a copy.
//!
//! Memory is bounded by the constants below: an idle connection holds [`IDLE_BUFFER`] bytes, a busy one about
//! [`READ_CHUNK`] each way. A block that the disk has yet to take keeps the chunk that it came in.

mod chunks;
mod halves;
mod pipe;
mod reader;
mod send_queue;
mod writer;

pub use chunks::Chunks;
pub use halves::Transport;
pub use pipe::Pipes;

use bytes::Bytes;
use halves::{Half, Shared};
use pipe::Pipe;
use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use types::BlockRange;
use wire::{Limits, Message};

/// What a connection that waits for nothing keeps to read into, in bytes.
pub const IDLE_BUFFER: usize = 2 * 1024;
/// What one read may take from the socket while blocks are expected, in bytes.
pub const READ_CHUNK: usize = 256 * 1024;
/// Chunks that are kept to be read into again, over all connections that share them.
pub const CHUNKS_KEPT: usize = 96;
/// Unsent bytes of blocks above which no further block is read from the disk for this peer.
pub const SEND_WATERMARK: usize = 256 * 1024;
/// Unsent bytes of control messages at which a peer that does not read is given up.
pub const SEND_LIMIT: usize = 4 * 1024 * 1024;
/// Blocks that follow each other, and are read from the disk as one run, at most.
pub const RUN_BLOCKS: usize = 16;
/// The same of blocks that go through a pipe: they take no memory.
pub const PIPE_BLOCKS: usize = 32;
/// How many runs are read from the disk ahead of the socket; of those in pipes, as many more may wait to be sent.
pub const READ_AHEAD: usize = 2;
/// What a pipe is asked to have room for, in bytes of whole pages.
pub const PIPE_LEN: usize = 1024 * 1024;
/// Pipes that there are at most, over all connections that share them; whoever gets none reads what it sends.
pub const PIPES_MOST: usize = 256;
/// Pipes that are kept for the next connection that wants one; others are closed.
pub const PIPES_KEPT: usize = 16;
/// How many batches of commands may wait; whoever sends one more gives the peer up.
pub const COMMAND_QUEUE: usize = 256;
/// How long a connection that expects no blocks keeps the memory for them in reach.
pub const REST: Duration = Duration::from_secs(1);
/// How long a connection that we end may take to send what waits.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many events the reader gathers before it tells the brain.
const EVENT_BATCH: usize = 256;

/// Takes blocks that were asked for, on their way to the disk.
pub trait BlockSink: Send + Sync {
    /// Takes one block, waiting for room; `false` if it does not take it, since somebody else brought it first.
    fn write(&self, block: BlockRange, data: Bytes) -> impl Future<Output = bool> + Send;

    /// Some blocks were handed over: it is time to tell the brain.
    fn tell(&self);
}

/// Gives blocks that a peer asked for.
pub trait BlockSource: Send + Sync {
    /// Reads one block of a verified piece.
    fn read(&self, block: BlockRange) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Hands the file in which some bytes of a verified piece lie, and where, to `work`, which may wait for the disk; or
    /// `None` if they do not lie in one file as they are: they have to be [read](Self::read).
    fn with_file<T: Send + 'static>(
        &self,
        run: BlockRange,
        work: impl FnOnce(Option<(BorrowedFd<'_>, u64)>) -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;
}

/// What the torrent's brain wants of a connection.
#[derive(Debug)]
pub enum Command {
    /// Send a message.
    Send(Message<'static>),
    /// Ask for a block, and let it in when it comes.
    Request(BlockRange),
    /// Take a request back; the block is not let in any more.
    Cancel(BlockRange),
    /// Read a block and send it.
    Serve(BlockRange),
    /// Forget all blocks that were to be served; each is reported as [`Event::SendFailed`].
    DropServes,
}

/// What a connection tells the torrent's brain.
#[derive(Debug)]
pub enum Event {
    /// Any message but `piece`.
    Message(Message<'static>),
    /// A block that was asked for came, but the sink did not take it.
    Refused(BlockRange),
    /// A block of so many bytes that nobody asked for.
    Unrequested(u32),
    /// The last byte of a served block is with the kernel.
    Sent(BlockRange),
    /// A block could not be read, or was dropped before it was sent.
    SendFailed(BlockRange),
    /// The conversation is over; nothing follows.
    Closed(CloseReason),
}

/// Events of one connection, in order.
#[derive(Debug)]
pub struct Batch<K> {
    /// Which connection, as the driver calls it.
    pub from: K,
    /// What happened.
    pub events: Vec<Event>,
}

/// Why a conversation ended.
#[derive(Debug, Error)]
pub enum CloseReason {
    /// We hung up: the brain let go of the connection.
    #[error("closed by us")]
    Ours,
    /// The peer hung up between two messages.
    #[error("the peer closed the connection")]
    Theirs,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] wire::Error),
    /// The peer takes nothing from us while more and more waits.
    #[error("the peer does not read what it is sent")]
    NotReading,
}

/// What a connection needs beside its stream and its queues.
#[derive(Clone, Debug)]
pub struct Context<D> {
    /// Where blocks go to and come from.
    pub disk: D,
    /// How large a message may be.
    pub limits: Limits,
    /// Memory to read into, shared with other connections.
    pub chunks: Chunks,
    /// Pipes to send files through, shared with other connections.
    pub pipes: Pipes,
}

/// Runs one connection until either side ends it, and reports all of it, [`Event::Closed`] last, to `events`.
///
/// The owner ends it by dropping its end of `commands`.
pub async fn run<S, D, K>(
    stream: S,
    context: Context<D>,
    key: K,
    mut commands: mpsc::Receiver<Vec<Command>>,
    events: mpsc::Sender<Batch<K>>,
) where
    S: Transport,
    D: BlockSink + BlockSource + Clone + Send,
    K: Copy + Send,
{
    let stream = Shared::new(stream);
    let expected = Expected::default();
    let outbox = Outbox { key, events };
    let reason = {
        let mut reader = pin!(reader::Reader::new(stream.half(), &context, &expected, &outbox).run());
        let writer = writer::Writer::new(stream.half(), &context, &expected, &outbox);
        tokio::select! {
            reason = &mut reader => reason,
            reason = writer.run(&mut commands) => {
                if matches!(reason, CloseReason::Io(_)) {
                    // The peer is gone, but what it had sent before may still be there to be read.
                    let _ = timeout(LAST_WORDS, reader).await;
                }
                reason
            }
        }
    };
    if matches!(reason, CloseReason::Ours) {
        let _ = timeout(LAST_WORDS, part(&mut stream.half())).await;
    }
    // This closes the socket; after that the brain may forget the peer.
    drop(stream);
    outbox.tell(vec![Event::Closed(reason)]).await;
}

/// Says that nothing more comes, and lets the peer finish: a socket that is closed with bytes unread resets the
/// connection, and what the peer has not read yet is lost to it.
async fn part(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// The way to the brain; an owner that is gone is no error, the commands' end tells of it.
struct Outbox<K> {
    key: K,
    events: mpsc::Sender<Batch<K>>,
}

impl<K: Copy> Outbox<K> {
    async fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            let _ = self.events.send(Batch { from: self.key, events }).await;
        }
    }
}

/// The blocks that were asked for and have not come: shared between the two halves of one task.
#[derive(Default)]
struct Expected(Mutex<HashSet<BlockRange>>);

impl Expected {
    fn blocks(&self) -> MutexGuard<'_, HashSet<BlockRange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.blocks().is_empty()
    }
}

#[cfg(test)]
mod tests;
