//! The half of a connection that speaks.

use super::send_queue::{Payload, SLICES, SendQueue};
use super::{
    BlockSource, CloseReason, Command, Context, Event, Expected, Extent, Half, LAST_WORDS, Outbox, PIPE_LEN,
    Pipe, READ_AHEAD, RUN_BLOCKS, SEND_LIMIT, SEND_WATERMARK, Transport,
};
use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use types::BlockRange;
use wire::{Message, Request};

/// What is in the pipe no message can overtake: it is given as much as leaves in this time.
const PIPE_TIME: Duration = Duration::from_millis(10);
/// The least and the most that it is given, in bytes; a block more may go in.
const PIPE_FILL: std::ops::RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// Blocks that follow each other, and their bytes.
type Run = Vec<(BlockRange, io::Result<Payload>)>;
type RunRead<'a> = Pin<Box<dyn Future<Output = Run> + Send + 'a>>;

pub(super) struct Writer<'a, S, D, K> {
    stream: Half<'a, S>,
    context: &'a Context<D>,
    expected: &'a Expected,
    outbox: &'a Outbox<K>,
    /// On its way to the socket.
    out: SendQueue,
    /// Some of it may be here.
    pipe: Option<Pipe>,
    /// How many bytes the pipe is given.
    pipe_fill: usize,
    /// When it was given any, and how many.
    filled: Option<(Instant, usize)>,
    /// Blocks to be served, not yet read.
    serves: VecDeque<BlockRange>,
    /// Runs that are being read, in the order in which they are to be sent.
    reads: FuturesOrdered<RunRead<'a>>,
    events: Vec<Event>,
    /// A choke: runs that are being read now are not sent any more.
    dropped_reads: usize,
}

impl<'a, S, D, K> Writer<'a, S, D, K>
where
    S: Transport,
    D: BlockSource,
    K: Copy,
{
    pub(super) fn new(
        stream: Half<'a, S>,
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
            pipe: None,
            pipe_fill: *PIPE_FILL.start(),
            filled: None,
            serves: VecDeque::new(),
            reads: FuturesOrdered::new(),
            events: Vec::new(),
            dropped_reads: 0,
        }
    }

    pub(super) async fn run(mut self, commands: &mut mpsc::Receiver<Vec<Command>>) -> CloseReason {
        loop {
            self.read_ahead();
            if let Err(err) = self.fill_pipe() {
                return err.into();
            }
            tokio::select! {
                biased;
                batch = commands.recv() => match batch {
                    Some(batch) => batch.into_iter().for_each(|command| self.obey(command)),
                    None => {
                        // Nobody is told any more of what comes.
                        self.expected.blocks().clear();
                        // What was said last (a reject, a cancel) should still arrive, but nobody waits for it long.
                        let _ = timeout(LAST_WORDS, self.send_all()).await;
                        return CloseReason::Ours;
                    }
                },
                Some(run) = self.reads.next(), if self.out.block_bytes() < SEND_WATERMARK => self.send_run(run),
                sent = send(&mut self.stream, &self.out, self.pipe.as_mut()), if !self.out.is_empty() => {
                    match sent {
                        Ok(0) => return CloseReason::Theirs,
                        Ok(sent) => self.advance(sent),
                        Err(err) => return err.into(),
                    }
                }
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

    /// Keeps a few runs on their way from the disk.
    fn read_ahead(&mut self) {
        while self.reads.len() < READ_AHEAD
            && let Some(run) = self.next_run()
        {
            let in_place = self.has_pipe();
            self.reads.push_back(Box::pin(read_run(&self.context.disk, run, in_place)));
        }
        if self.out.is_empty() && self.reads.is_empty() {
            self.pipe.take().into_iter().for_each(|pipe| self.context.pipes.give(pipe));
        }
    }

    /// The next blocks that follow each other.
    fn next_run(&mut self) -> Option<Vec<BlockRange>> {
        let mut run = vec![self.serves.pop_front()?];
        while run.len() < RUN_BLOCKS
            && let (Some(last), Some(next)) = (run.last(), self.serves.front())
            && (next.piece, next.offset) == (last.piece, last.end())
        {
            run.extend(self.serves.pop_front());
        }
        Some(run)
    }

    /// Whether what lies in files can be sent from there.
    fn has_pipe(&mut self) -> bool {
        if self.pipe.is_none() && self.stream.can_splice() {
            self.pipe = self.context.pipes.take();
        }
        self.pipe.is_some()
    }

    fn send_run(&mut self, run: Run) {
        let dropped = self.dropped_reads > 0;
        self.dropped_reads = self.dropped_reads.saturating_sub(1);
        for (block, data) in run {
            match data {
                Ok(data) if !dropped => self.out.push_block(block, data),
                _ => self.events.push(Event::SendFailed(block)),
            }
        }
    }

    /// Goes on once the pipe is empty, if what is next has to go through it.
    fn fill_pipe(&mut self) -> io::Result<()> {
        let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() == 0) else { return Ok(()) };
        if !self.out.is_pipe_next() {
            self.filled = None;
            return Ok(());
        }
        let now = Instant::now();
        if let Some((since, bytes)) = self.filled {
            self.pipe_fill = leaves_in_time(bytes, now - since).clamp(*PIPE_FILL.start(), *PIPE_FILL.end());
        }
        self.out.fill_pipe(pipe, self.pipe_fill)?;
        self.filled = Some((now, pipe.held()));
        Ok(())
    }

    /// So many bytes have left.
    fn advance(&mut self, sent: usize) {
        let left = |block| self.events.push(Event::Sent(block));
        if self.out.has_piped() {
            self.out.advance_pipe(sent, left);
        } else {
            self.out.advance(sent, left);
        }
    }

    async fn send_all(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            self.fill_pipe()?;
            match send(&mut self.stream, &self.out, self.pipe.as_mut()).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => self.advance(sent),
            }
        }
        Ok(())
    }
}

/// How many bytes leave in [`PIPE_TIME`] if so many took so long.
fn leaves_in_time(bytes: usize, elapsed: Duration) -> usize {
    let bytes = bytes as u128 * PIPE_TIME.as_nanos() / elapsed.as_nanos().max(1);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Finds out where the blocks of a run lie, or reads them.
async fn read_run<D: BlockSource>(disk: &D, run: Vec<BlockRange>, in_place: bool) -> Run {
    let mut extent = None;
    if in_place && let Some(range) = whole(&run) {
        match disk.locate(range).await {
            Ok(found) => extent = found,
            Err(err) => return run.into_iter().map(|block| (block, Err(err.kind().into()))).collect(),
        }
    }
    let mut read = Vec::with_capacity(run.len());
    let start = run.first().map_or(0, |first| first.offset);
    for block in run {
        let data = match &extent {
            Some(Extent { file, offset }) => {
                let offset = offset + u64::from(block.offset - start);
                Ok(Payload::Extent(Extent { file: file.clone(), offset }))
            }
            None => disk.read(block).await.and_then(|data| of_length(data, block.len)),
        };
        read.push((block, data));
    }
    read
}

/// All of a run, if a pipe has room for it.
fn whole(run: &[BlockRange]) -> Option<BlockRange> {
    let (first, last) = (run.first()?, run.last()?);
    let len = last.end() - first.offset;
    (len as usize <= PIPE_LEN).then_some(BlockRange { piece: first.piece, offset: first.offset, len })
}

fn of_length(data: Bytes, len: u32) -> io::Result<Payload> {
    match data.len() == len as usize {
        true => Ok(Payload::Bytes(data)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Sends some of it: how many bytes.
async fn send<S: Transport>(
    stream: &mut Half<'_, S>,
    out: &SendQueue,
    pipe: Option<&mut Pipe>,
) -> io::Result<usize> {
    if let Some(pipe) = pipe
        && pipe.held() > 0
    {
        return poll_fn(|cx| stream.poll_splice(cx, pipe)).await;
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = out.fill(&mut slices);
    stream.write_vectored(&slices[..count]).await
}
