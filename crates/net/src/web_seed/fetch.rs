//! From a run of blocks to requests, and from answers to blocks.

use super::client::{Found, Target};
use super::queue::{Queue, Run};
use super::sweep::Waste;
use super::{
    Content, Context, MAX_CONNECTIONS, MAX_RETRY_AFTER, MAX_SKIPPED, MAX_TARGETS, MIN_PROGRESS, Part,
    STALL_TIMEOUT, WebSeedError,
};
use crate::conn::{BlockSink, Command, Event, Outbox};
use crate::http;
use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use types::BlockRange;

/// What the runs of one web seed share.
pub(super) struct Fetcher<'a, C, D, K> {
    seed: Found,
    pub(super) content: C,
    context: &'a Context<D>,
    outbox: &'a Outbox<K>,
    queue: Mutex<Queue>,
    /// Where files were found after redirects.
    targets: Mutex<BTreeMap<usize, Target>>,
    /// More was asked for.
    pub(super) asked: Notify,
    /// It ignores ranges.
    sweeps: AtomicBool,
    waste: Mutex<Waste>,
}

/// What is fetched over one connection.
pub(super) enum Work {
    Run(Run),
    /// See [`sweep`](super::sweep).
    Sweep,
}

/// An answer whose head is right.
pub(super) struct Answer {
    pub(super) response: Response,
    /// What comes before the bytes that were asked for.
    skip: u64,
    /// How many of those it has; not 0.
    pub(super) len: u64,
    /// Nothing follows them.
    ends_there: bool,
}

/// The blocks of a run, filled one after the other.
pub(super) struct Blocks {
    pub(super) run: u64,
    left: std::vec::IntoIter<BlockRange>,
    pub(super) current: Option<BlockRange>,
    /// What there is of the current one.
    buf: BytesMut,
    events: Vec<Event>,
}

impl<'a, C: Content, D: BlockSink, K: Copy> Fetcher<'a, C, D, K> {
    pub(super) fn new(
        seed: Found,
        content: C,
        context: &'a Context<D>,
        outbox: &'a Outbox<K>,
    ) -> Fetcher<'a, C, D, K> {
        let queue = Mutex::new(Queue::new(content.lengths()));
        let (targets, asked, sweeps, waste) =
            (Mutex::default(), Notify::new(), AtomicBool::new(false), Mutex::default());
        Fetcher { seed, content, context, outbox, queue, targets, asked, sweeps, waste }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    pub(super) fn waste(&self) -> MutexGuard<'_, Waste> {
        lock(&self.waste)
    }

    /// What to fetch next, while so much is under way.
    pub(super) fn next_work(&self, under_way: usize) -> Option<Work> {
        if self.sweeps.load(Ordering::Relaxed) {
            return (under_way == 0 && self.queue().is_waiting()).then_some(Work::Sweep);
        }
        let most = self.context.connections.clamp(1, MAX_CONNECTIONS);
        if under_way >= most { None } else { self.queue().next_run(under_way > 0).map(Work::Run) }
    }

    pub(super) async fn work(&self, work: Work) -> Result<(), WebSeedError> {
        match work {
            Work::Run(run) => match self.fetch(run).await {
                Err(error) if error.ignores_ranges() => {
                    self.sweeps.store(true, Ordering::Relaxed);
                    Ok(())
                }
                fetched => fetched,
            },
            Work::Sweep => self.sweep().await,
        }
    }

    pub(super) fn obey(&self, commands: Vec<Command>) {
        let mut queue = self.queue();
        for command in commands {
            match command {
                Command::Request(block) => queue.ask(block),
                Command::Cancel(block) => queue.cancel(block),
                Command::Send(_)
                | Command::Serve(_)
                | Command::DropServes
                | Command::Hold
                | Command::Release => {}
            }
        }
        drop(queue);
        self.asked.notify_one();
    }

    /// Fetches a run, unless nothing of it is wanted any more before it is there.
    async fn fetch(&self, run: Run) -> Result<(), WebSeedError> {
        let parts = self.content.parts(self.queue().bytes(&run));
        let mut blocks = Blocks::new(run.number, run.blocks);
        let fetched = tokio::select! {
            biased;
            fetched = self.fetch_all(&mut blocks, parts) => fetched,
            Ok(()) = run.abandoned => Ok(()),
        };
        if fetched.as_ref().is_err_and(WebSeedError::ignores_ranges) {
            self.queue().give_back(run.number);
        }
        self.end_run(blocks).await;
        fetched
    }

    pub(super) async fn end_run(&self, mut blocks: Blocks) {
        self.queue().end(blocks.run);
        // What became of the blocks before.
        self.tell(&mut blocks).await;
        self.context.chunks.give(blocks.buf);
    }

    async fn fetch_all(&self, blocks: &mut Blocks, parts: Vec<Part>) -> Result<(), WebSeedError> {
        for part in parts {
            if part.is_pad {
                self.fill_with_zeros(blocks, part.len).await;
            } else {
                self.fetch_part(blocks, part).await?;
            }
            self.tell(blocks).await;
        }
        Ok(())
    }

    /// Asks until all is there: an answer may have less than was asked for (RFC 9110, 15.3.7).
    async fn fetch_part(&self, blocks: &mut Blocks, mut part: Part) -> Result<(), WebSeedError> {
        while part.len > 0 {
            let came = self.fetch_answer(blocks, part).await?;
            part.offset += came;
            part.len -= came;
        }
        Ok(())
    }

    /// How much of a part one answer had.
    async fn fetch_answer(&self, blocks: &mut Blocks, part: Part) -> Result<u64, WebSeedError> {
        let Answer { mut response, mut skip, len, ends_there } = self.open(part).await?;
        let (mut left, mut patience) = (len, Patience::WHOLE);
        while left > 0 {
            let chunk = patience.next_chunk(&mut response).await?.ok_or(WebSeedError::Short)?;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= skipped as u64;
            let chunk = &chunk[skipped..];
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            left -= taken as u64;
            self.fill(blocks, &chunk[..taken]).await;
            self.tell(blocks).await;
        }
        // A connection is free for the next request once its answer is read to the end.
        if ends_there && patience.next_chunk(&mut response).await?.is_some() {
            return Err(WebSeedError::WrongLength);
        }
        Ok(len)
    }

    /// Asks for a part of a file: where it was found before, if it is there still.
    pub(super) async fn open(&self, part: Part) -> Result<Answer, WebSeedError> {
        let kept = lock(&self.targets).get(&part.file).cloned();
        if let Some(kept) = kept {
            match self.open_at(kept, part).await {
                Ok(answer) => return Ok(answer),
                Err(error @ WebSeedError::Busy { .. }) => return Err(error),
                Err(_) => drop(lock(&self.targets).remove(&part.file)),
            }
        }
        let url = Url::parse(&self.content.url(part.file)).map_err(|_| WebSeedError::NotHttp)?;
        self.open_at(Target { url, zone: self.seed.zone }, part).await
    }

    async fn open_at(&self, target: Target, part: Part) -> Result<Answer, WebSeedError> {
        let start = target.url.clone();
        let range = format!("bytes={}-{}", part.offset, part.offset + part.len - 1);
        let (response, from) = self.seed.client.get(target, &range).await?;
        let answer = judge(response, part).map_err(|error| match from.url == start {
            true => error,
            false => WebSeedError::Redirected { host: http::origin(&from.url), error: Box::new(error) },
        })?;
        if from.url != start {
            let mut targets = lock(&self.targets);
            if targets.len() < MAX_TARGETS {
                targets.insert(part.file, from);
            }
        }
        Ok(answer)
    }

    pub(super) async fn fill(&self, blocks: &mut Blocks, mut bytes: &[u8]) {
        while !bytes.is_empty()
            && let Some(block) = blocks.current
        {
            let missing = block.len as usize - blocks.buf.len();
            let chunks = &self.context.chunks;
            blocks.make_room(missing, || chunks.take(), |old| chunks.give(old));
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            blocks.buf.extend_from_slice(now);
            bytes = later;
            if blocks.buf.len() == block.len as usize {
                let data = blocks.buf.split().freeze();
                blocks.current = blocks.left.next();
                self.hand_over(blocks, block, data).await;
            }
        }
    }

    pub(super) async fn fill_with_zeros(&self, blocks: &mut Blocks, mut len: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while len > 0 {
            let now = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS.len());
            self.fill(blocks, &ZEROS[..now]).await;
            len -= now as u64;
        }
    }

    async fn hand_over(&self, blocks: &mut Blocks, block: BlockRange, data: Bytes) {
        if !self.queue().take(block, blocks.run) {
            return blocks.events.push(Event::Unrequested(block));
        }
        let since = Instant::now();
        match self.context.disk.write(block, data).await {
            true => self.waste().use_up(block.len.into()),
            false => blocks.events.push(Event::Refused(block)),
        }
        blocks.events.extend(Event::waited(since));
        self.queue().settle(blocks.run);
    }

    /// Tells the brain what came.
    pub(super) async fn tell(&self, blocks: &mut Blocks) {
        self.context.disk.tell();
        self.outbox.tell(&mut blocks.events).await;
    }
}

impl Blocks {
    pub(super) fn new(run: u64, blocks: Vec<BlockRange>) -> Blocks {
        let mut left = blocks.into_iter();
        Blocks { run, current: left.next(), left, buf: BytesMut::new(), events: Vec::new() }
    }

    /// How many bytes of the current block.
    pub(super) fn missing(&self) -> usize {
        self.current.map_or(0, |block| block.len as usize - self.buf.len())
    }

    /// Makes room for so many bytes more, in a chunk that others have used if there is one: a
    /// block is much shorter.
    fn make_room(&mut self, more: usize, take: impl Fn() -> BytesMut, give: impl Fn(BytesMut)) {
        if self.buf.capacity() - self.buf.len() >= more {
            return;
        }
        let mut next = take();
        next.extend_from_slice(&self.buf);
        let old = mem::replace(&mut self.buf, next);
        if old.capacity() > 0 {
            give(old);
        }
    }
}

/// How much longer an answer is waited for, and what has come since that was last decided. The time in which the disk has no
/// room does not count.
pub(super) struct Patience {
    left: Duration,
    came: usize,
}

impl Patience {
    pub(super) const WHOLE: Patience = Patience { left: STALL_TIMEOUT, came: 0 };

    #[cfg(feature = "planted")]
    fn endless(&mut self) {
        if crate::planted::is("patient-client") {
            self.left = STALL_TIMEOUT * 10;
        }
    }

    pub(super) async fn next_chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, WebSeedError> {
        #[cfg(feature = "planted")]
        self.endless();
        let started = Instant::now();
        let chunk = match timeout(self.left, response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(_)) => return Err(WebSeedError::Short),
            Err(_) => return Err(WebSeedError::Stalled),
        };
        self.left = self.left.saturating_sub(started.elapsed());
        self.came += chunk.as_ref().map_or(0, Bytes::len);
        if self.came >= MIN_PROGRESS {
            *self = Patience::WHOLE;
        }
        Ok(chunk)
    }
}

/// Whether an answer is what was asked for, before anything of it is read.
pub(super) fn judge(response: Response, part: Part) -> Result<Answer, WebSeedError> {
    let (status, headers) = (response.status(), response.headers());
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(WebSeedError::Missing { file: part.file, status });
        }
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(WebSeedError::WrongLength),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            return Err(WebSeedError::Busy { status, retry_after: retry_after(headers) });
        }
        _ => return Err(WebSeedError::Status(status)),
    }
    if let Some(encoding) = text(headers, header::CONTENT_ENCODING).filter(|name| *name != "identity") {
        let short = encoding.chars().filter(char::is_ascii_graphic).take(20).collect();
        return Err(WebSeedError::Encoded(short));
    }
    let whole = status == StatusCode::OK;
    let announced = text(headers, header::CONTENT_LENGTH).and_then(|len| len.parse::<u64>().ok());
    if whole {
        if announced.is_some_and(|announced| announced != part.file_len) {
            return Err(WebSeedError::WrongLength);
        }
        if part.offset > MAX_SKIPPED {
            return Err(WebSeedError::NoRanges);
        }
        let ends_there = part.offset + part.len == part.file_len;
        return Ok(Answer { response, skip: part.offset, len: part.len, ends_there });
    }
    let range =
        text(headers, header::CONTENT_RANGE).and_then(content_range).ok_or(WebSeedError::WrongRange)?;
    if range.total.is_some_and(|total| total != part.file_len) {
        return Err(WebSeedError::WrongLength);
    }
    let len = range.len().min(part.len + 1);
    let is_enough = len == part.len || len < part.len && len >= MIN_PROGRESS as u64;
    if range.first != part.offset || !is_enough || announced.is_some_and(|announced| announced != len) {
        return Err(WebSeedError::WrongRange);
    }
    Ok(Answer { response, skip: 0, len, ends_there: true })
}

/// `Content-Range` (RFC 9110, 14.4): inclusive, of a file of this length if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    /// In bytes; 0 if it ends before it begins.
    fn len(self) -> u64 {
        self.last.saturating_add(1).saturating_sub(self.first)
    }
}

fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some(ContentRange { first: first.parse().ok()?, last: last.parse().ok()?, total })
}

/// In seconds; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, header::RETRY_AFTER)?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A lock that is never held across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        let range = |text| content_range(text).map(|range| (range.first, range.last, range.total));
        assert_eq!(range("bytes 0-0/1"), Some((0, 0, Some(1))));
        assert_eq!(range("bytes 5-9/*"), Some((5, 9, None)));
        for wrong in
            ["bytes */5", "bytes 1-2", "items 1-2/3", "bytes -1-2/3", "bytes 1-/3", "bytes 1-2/x", ""]
        {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
