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
//! [`READ_CHUNK`] each way; what all of them read into is bounded by [`READ_BUDGET`] and [`MESSAGE_BUDGET`]. A block that
//! the disk has yet to take keeps the chunk that it came in.

mod chunks;
mod halves;
mod pipe;
mod reader;
mod send_queue;
mod writer;

pub use chunks::Chunks;
pub use halves::Transport;
pub use pipe::Pipes;

use crate::web_seed::WebSeedError;
use bytes::Bytes;
use chunks::Share;
use halves::{Half, Shared};
use pipe::Pipe;
use std::collections::HashSet;
use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use types::BlockRange;
use wire::{Limits, Message};

/// What a connection that waits for nothing keeps to read into, in bytes.
pub const IDLE_BUFFER: usize = 2 * 1024;
/// What one read may take from the socket while blocks are expected, in bytes.
pub const READ_CHUNK: usize = 256 * 1024;
/// Bytes of chunks that are being read into, over all connections to peers that share them, [`READ_CHUNK`] for each (web
/// seeds, few as they are, have as many beside). At the limit, a connection reads into a buffer of its own, with room for
/// little more than a block, which counts as messages do ([`MESSAGE_BUDGET`]).
pub const READ_BUDGET: usize = 32 * 1024 * 1024;
/// Chunks that are kept to be read into again, over all connections that share them; at the limit others are freed.
pub const CHUNKS_KEPT: usize = 96;
/// Unsent bytes of blocks above which no further block is read from the disk for this peer.
pub const SEND_WATERMARK: usize = 256 * 1024;
/// Unsent bytes of control messages at which a peer that does not read is given up.
pub const SEND_LIMIT: usize = 2 * 1024 * 1024;
/// Bytes of messages, unsent, not complete yet or not heard yet by the brain, over all connections that share their chunks,
/// unless their owner says otherwise. At the limit, a connection that has more than its share of them is given up as soon as it comes to have more.
pub const MESSAGE_BUDGET: usize = 64 * 1024 * 1024;
/// The largest of these shares, both ways together; they are smaller where half of the budget is not enough for as many
/// connections as there may be. At the limit, more can be had from the other half of the budget only.
pub const FAIR_SHARE: usize = 256 * 1024;
/// Blocks that follow each other, and are read from the disk as one run, at most.
pub const RUN_BLOCKS: usize = 16;
/// The same of blocks that go through a pipe: they take no memory.
pub const PIPE_BLOCKS: usize = 32;
/// How many runs are read from the disk ahead of the socket; of those in pipes, as many more may wait to be sent.
pub const READ_AHEAD: usize = 2;
/// What a pipe is asked to have room for, in bytes of whole pages.
pub const PIPE_LEN: usize = 1024 * 1024;
/// Pipes that there are at most, over all connections that share them; whoever gets none reads what it sends. All of them
/// take three quarters of the 64 MiB that Linux lets the pipes of one user hold (`pipe-user-pages-soft`), and a tenth of
/// the 1024 descriptors that a process usually has: the rest is for others.
pub const PIPES_MOST: usize = 48;
/// Pipes that are kept for the next connection that wants one; at the limit others are closed.
pub const PIPES_KEPT: usize = 16;
/// How many batches of commands may wait; whoever sends one more gives the peer up.
pub const COMMAND_QUEUE: usize = 256;
/// How long a connection that expects no blocks, or has ended, keeps the memory for them in reach.
pub const REST: Duration = Duration::from_secs(1);
/// How long a connection that we end may take to send what waits.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// What is still read, in bytes, of a peer that talks on after we have hung up: as much as a window of blocks that was on
/// its way. At the limit the connection is reset.
pub const LAST_READ: usize = 4 * 1024 * 1024;
/// How many events the reader gathers; at the limit it tells the brain before it parses on.
pub const EVENT_BATCH: usize = 256;
/// How many batches of what one peer says may be on their way to the brain; at the limit, somebody has to be done
/// with one of them first. However much a peer says, others have their turn.
pub const TURNS: usize = 2;

/// A wait of a block for the disk that is told of.
pub const LONG_WAIT: Duration = Duration::from_millis(100);

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
    /// Read nothing more of what the peer says; [`TURNS`] batches of what was read may still come.
    Hold,
    /// Read on.
    Release,
}

/// What a connection tells the torrent's brain.
#[derive(Debug)]
pub enum Event {
    /// Any message but `piece`.
    Message(Message<'static>),
    /// A block that was asked for came, but the sink did not take it.
    Refused(BlockRange),
    /// A block that nobody asked for, by the peer's own word: the torrent need not have it.
    Unrequested(BlockRange),
    /// A block waited for the disk, for [`LONG_WAIT`] or more.
    Waited(Duration),
    /// The last byte of a served block is with the kernel.
    Sent(BlockRange),
    /// A block could not be read, or was dropped before it was sent.
    SendFailed(BlockRange),
    /// The conversation is over; nothing follows.
    Closed(CloseReason),
}

impl Event {
    /// Bytes that it takes beside its own size.
    fn heap_bytes(&self) -> usize {
        match self {
            Event::Message(
                Message::Bitfield(bytes)
                | Message::Piece { data: bytes, .. }
                | Message::Hashes { hashes: bytes, .. }
                | Message::Extended { payload: bytes, .. },
            ) => bytes.len(),
            _ => 0,
        }
    }

    /// What is told of a block that the sink was given at `since`, and has now taken or not.
    pub(crate) fn waited(since: Instant) -> Option<Event> {
        Some(since.elapsed()).filter(|&took| took >= LONG_WAIT).map(Event::Waited)
    }
}

/// Events of one connection, in order.
#[derive(Debug)]
pub struct Batch<K> {
    /// Which connection, as the driver calls it.
    pub from: K,
    /// What happened.
    pub events: Vec<Event>,
    /// To be kept until what these events lead to is done: see [`TURNS`].
    pub turn: Option<Turn>,
}

/// A place among the batches of one connection that are on their way, and their part of the [`MESSAGE_BUDGET`].
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _share: Share,
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
    /// All peers together have more memory than they may, and this one has more than its share.
    #[error("too much memory is taken by messages that are not sent, not complete or not heard")]
    OverBudget,
    /// It was a web seed, and something is wrong with it.
    #[error(transparent)]
    WebSeed(Box<WebSeedError>),
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
    let between = Between::default();
    let outbox = Outbox::new(key, events);
    let reason = {
        let mut reader = pin!(reader::Reader::new(stream.half(), &context, &between, &outbox).run());
        let writer = writer::Writer::new(stream.half(), &context, &between, &outbox);
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
    context.chunks.release_unused_soon();
    outbox.tell(&mut vec![Event::Closed(reason)]).await;
}

/// Says that nothing more comes, and lets the peer finish: a socket that is closed with bytes unread resets the
/// connection, and what the peer has not read yet is lost to it.
async fn part(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    let mut read = 0;
    while read < LAST_READ {
        match stream.read(&mut unread).await? {
            0 => break,
            more => read += more,
        }
    }
    Ok(())
}

/// The way to the brain; an owner that is gone is no error, the commands' end tells of it.
pub(crate) struct Outbox<K> {
    key: K,
    events: mpsc::Sender<Batch<K>>,
    turns: Arc<Semaphore>,
}

impl<K: Copy> Outbox<K> {
    pub(crate) fn new(key: K, events: mpsc::Sender<Batch<K>>) -> Outbox<K> {
        Outbox { key, events, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    /// Tells what became of what the brain wanted, when there is room for it: until then it may be broken off, and the
    /// events are still there.
    pub(crate) async fn tell(&self, events: &mut Vec<Event>) {
        if !events.is_empty()
            && let Ok(room) = self.events.reserve().await
        {
            room.send(Batch { from: self.key, events: mem::take(events), turn: None });
        }
    }

    /// Tells what the peer said, when it is its turn; likewise. Its bytes have this `share`.
    async fn tell_in_turn(&self, events: &mut Vec<Event>, share: Share) {
        if events.is_empty() {
            return;
        }
        let permit = self.turns.clone().acquire_owned().await.ok();
        let turn = permit.map(|permit| Turn { _permit: permit, _share: share });
        if let Ok(room) = self.events.reserve().await {
            room.send(Batch { from: self.key, events: mem::take(events), turn });
        }
        // However fast it is answered, the other half obeys before more is read.
        yield_now().await;
    }
}

/// What the two halves of one task share.
struct Between {
    /// The blocks that were asked for and have not come.
    expected: Mutex<HashSet<BlockRange>>,
    /// Nothing is to be read.
    held: watch::Sender<bool>,
    /// Bytes of messages that are not sent, not complete or not heard.
    of_messages: Arc<AtomicUsize>,
}

impl Default for Between {
    fn default() -> Between {
        Between { expected: Mutex::default(), held: watch::Sender::new(false), of_messages: Arc::default() }
    }
}

impl Between {
    fn expected(&self) -> MutexGuard<'_, HashSet<BlockRange>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Waits while nothing is to be read.
    async fn released(&self) {
        if *self.held.borrow() {
            let _ = self.held.subscribe().wait_for(|held| !held).await;
        }
    }
}

#[cfg(test)]
mod tests;
