//! The half of a connection that speaks.

use super::chunks::Share;
use super::send_queue::{SLICES, SendQueue};
use super::{
    Between, BlockSource, CloseReason, Command, Context, Event, Half, LAST_WORDS, Outbox, PIPE_BLOCKS, Pipe,
    READ_AHEAD, RUN_BLOCKS, SEND_LIMIT, SEND_WATERMARK, Transport,
};
use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use types::{BLOCK_LEN, BlockRange};
use wire::{Message, Request};

/// A run that has begun no message can overtake: one has as many blocks as leave in this time.
const RUN_TIME: Duration = Duration::from_millis(20);

/// Blocks that follow each other, with their bytes.
enum Run {
    Piped(Pipe, Vec<BlockRange>),
    Read(Vec<(BlockRange, io::Result<Bytes>)>),
}
type RunRead<'a> = Pin<Box<dyn Future<Output = Run> + Send + 'a>>;

pub(super) struct Writer<'a, S, D, K> {
    stream: Half<'a, S>,
    context: &'a Context<D>,
    between: &'a Between,
    outbox: &'a Outbox<K>,
    /// On its way to the socket.
    out: SendQueue,
    /// How many blocks the next run may have.
    run_blocks: usize,
    /// When blocks left last, unless nothing has waited since.
    paced: Option<Instant>,
    /// Blocks to be served, not yet read.
    serves: VecDeque<BlockRange>,
    /// Runs that are being read, in the order in which they are to be sent.
    reads: FuturesOrdered<RunRead<'a>>,
    /// What it holds of the memory for messages.
    share: Share,
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
        between: &'a Between,
        outbox: &'a Outbox<K>,
    ) -> Self {
        Writer {
            stream,
            context,
            between,
            outbox,
            out: SendQueue::default(),
            run_blocks: 1,
            paced: None,
            serves: VecDeque::new(),
            reads: FuturesOrdered::new(),
            share: context.chunks.share(&between.of_messages),
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
                        self.between.expected().clear();
                        // What was said last (a reject, a cancel) should still arrive, but nobody waits for it long.
                        let _ = timeout(LAST_WORDS, self.send_all()).await;
                        return CloseReason::Ours;
                    }
                },
                Some(run) = self.reads.next(), if self.wants_more() => self.send_run(run),
                sent = send(&mut self.stream, &self.out), if !self.out.is_empty() => match sent {
                    Ok(0) => return CloseReason::Theirs,
                    Ok(sent) => self.advance(sent),
                    Err(err) => return err.into(),
                },
            }
            self.outbox.tell(&mut self.events).await;
            if self.out.message_bytes() > SEND_LIMIT {
                return CloseReason::NotReading;
            }
            if !self.share.set(self.out.message_bytes()) {
                return CloseReason::OverBudget;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(message) => self.out.say(&message),
            Command::Request(block) => {
                self.between.expected().insert(block);
                self.out.say(&Message::Request(Request::from(block)));
            }
            Command::Cancel(block) => {
                if self.between.expected().remove(&block) {
                    self.out.say(&Message::Cancel(Request::from(block)));
                }
            }
            Command::Serve(block) => self.serves.push_back(block),
            Command::DropServes => {
                let unread = self.serves.drain(..);
                self.events.extend(self.out.drop_blocks().chain(unread).map(Event::SendFailed));
                self.dropped_reads = self.reads.len();
            }
            Command::Hold => self.between.hold(true),
            Command::Release => self.between.hold(false),
        }
    }

    /// Keeps a few runs on their way from the disk.
    fn read_ahead(&mut self) {
        while self.reads.len() < READ_AHEAD && !self.serves.is_empty() {
            let mut pipe = if self.stream.can_splice() { self.context.pipes.take() } else { None };
            let most = if pipe.is_some() { PIPE_BLOCKS } else { RUN_BLOCKS };
            let mut run = next_run(&mut self.serves, self.run_blocks.min(most));
            if let Some(fits) = pipe.as_ref().map(|pipe| pipe.room_for(&run)) {
                if fits == 0 {
                    pipe.take().into_iter().for_each(|pipe| self.context.pipes.give(pipe));
                }
                let rest = run.drain(fits.max(1)..);
                rest.rev().for_each(|block| self.serves.push_front(block));
            }
            self.reads.push_back(Box::pin(read_run(self.context, run, pipe)));
        }
    }

    /// Whether there is room in front of the socket for a further run.
    fn wants_more(&self) -> bool {
        self.out.block_bytes() < SEND_WATERMARK && self.out.runs() < READ_AHEAD
    }

    fn send_run(&mut self, run: Run) {
        let dropped = self.dropped_reads > 0;
        self.dropped_reads = self.dropped_reads.saturating_sub(1);
        match run {
            Run::Piped(_, blocks) if dropped => {
                self.events.extend(blocks.into_iter().map(Event::SendFailed));
            }
            Run::Piped(pipe, blocks) => self.out.push_run(pipe, blocks),
            Run::Read(blocks) => {
                for (block, data) in blocks {
                    match data {
                        Ok(data) if !dropped && data.len() == block.len as usize => {
                            self.out.push_block(block, data);
                        }
                        _ => self.events.push(Event::SendFailed(block)),
                    }
                }
            }
        }
    }

    /// So many bytes have left.
    fn advance(&mut self, sent: usize) {
        let before = self.events.len();
        self.out.advance(sent, |block| self.events.push(Event::Sent(block)));
        self.out.empty_pipes().for_each(|pipe| self.context.pipes.give(pipe));
        self.pace(self.events.len() - before);
    }

    /// So many blocks have left: how long are runs to be?
    fn pace(&mut self, blocks: usize) {
        if blocks == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(since) = self.paced.replace(now) {
            self.run_blocks = paced(self.run_blocks, blocks, now - since);
        }
        if self.out.is_empty() {
            // A pause says nothing about the line.
            self.paced = None;
        }
    }

    async fn send_all(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match send(&mut self.stream, &self.out).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => self.advance(sent),
            }
        }
        Ok(())
    }
}

/// Takes the next blocks that follow each other: so many, and no more bytes than as many blocks of the usual length have,
/// though always the first.
fn next_run(serves: &mut VecDeque<BlockRange>, most: usize) -> Vec<BlockRange> {
    let mut run = Vec::with_capacity(most);
    run.extend(serves.pop_front());
    let mut bytes: usize = run.iter().map(|block| block.len as usize).sum();
    while run.len() < most
        && let (Some(last), Some(next)) = (run.last(), serves.front())
        && (next.piece, next.offset) == (last.piece, last.end())
        && bytes + next.len as usize <= most * BLOCK_LEN as usize
    {
        bytes += next.len as usize;
        run.extend(serves.pop_front());
    }
    run
}

/// How many blocks a run may have, if it had `before` and so many took so long: as many as leave in [`RUN_TIME`], with care.
fn paced(before: usize, blocks: usize, elapsed: Duration) -> usize {
    let leave = blocks as u128 * RUN_TIME.as_nanos() / elapsed.as_nanos().max(1);
    let leave = usize::try_from(leave).unwrap_or(usize::MAX);
    leave.clamp(before / 2, before * 2).clamp(1, PIPE_BLOCKS)
}

/// Puts the blocks of a run into the pipe, or else reads them.
async fn read_run<D: BlockSource>(context: &Context<D>, run: Vec<BlockRange>, pipe: Option<Pipe>) -> Run {
    if let (Some(pipe), Some(&first), Some(last)) = (pipe, run.first(), run.last()) {
        let range = BlockRange { len: last.end() - first.offset, ..first };
        let blocks = run.clone();
        let fill = move |place: Option<(BorrowedFd<'_>, u64)>| {
            let filled = place.map(|(file, offset)| pipe.fill(&blocks, file, offset));
            (pipe, filled)
        };
        match context.disk.with_file(range, fill).await {
            Ok((pipe, Some(Ok(())))) => return Run::Piped(pipe, run),
            Ok((pipe, None)) => context.pipes.give(pipe),
            // Reading says what is wrong, or does what splicing cannot. What the pipe holds goes with it.
            Ok((_, Some(Err(_)))) | Err(_) => {}
        }
    }
    let mut read = Vec::with_capacity(run.len());
    for block in run {
        read.push((block, context.disk.read(block).await));
    }
    Run::Read(read)
}

/// Sends some of it: how many bytes.
async fn send<S: Transport>(stream: &mut Half<'_, S>, out: &SendQueue) -> io::Result<usize> {
    if let Some((pipe, bytes)) = out.pipe() {
        return poll_fn(|cx| stream.poll_splice(cx, pipe, bytes)).await;
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = out.fill(&mut slices);
    stream.write_vectored(&slices[..count]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::PieceIndex;

    fn block(piece: u32, offset: u32, len: u32) -> BlockRange {
        BlockRange { piece: PieceIndex::new(piece), offset, len }
    }

    #[test]
    fn a_run_is_blocks_that_follow_each_other_in_one_piece() {
        let len = BLOCK_LEN;
        let mut serves = VecDeque::from([block(1, 0, len), block(1, len, 5), block(1, len + 5, 1)]);
        serves.extend([block(1, 0, len), block(2, len, len), block(2, 4 * len, len)]);
        let runs: Vec<usize> =
            std::iter::from_fn(|| Some(next_run(&mut serves, 8).len()).filter(|&n| n > 0)).collect();
        assert_eq!(runs, [3, 1, 1, 1]);
    }

    #[test]
    fn long_blocks_make_no_longer_run() {
        let len = 8 * BLOCK_LEN;
        let mut serves: VecDeque<_> = (0..6).map(|n| block(0, n * len, len)).collect();
        assert_eq!(next_run(&mut serves, 16).len(), 2);
        assert_eq!(next_run(&mut serves, 1).len(), 1, "one goes always");
        assert_eq!(serves.len(), 3);
    }

    #[test]
    fn a_run_has_as_many_blocks_as_leave_in_its_time() {
        assert_eq!(paced(4, 8, RUN_TIME), 8);
        assert_eq!(paced(4, 32, RUN_TIME), 8, "twice as many at most");
        assert_eq!(paced(8, 1, Duration::from_secs(1)), 4, "half as many at least");
        assert_eq!(paced(1, 1, Duration::from_secs(1)), 1);
        assert_eq!(paced(PIPE_BLOCKS, 100, Duration::ZERO), PIPE_BLOCKS);
    }
}
