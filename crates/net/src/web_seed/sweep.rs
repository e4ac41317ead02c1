//! Web seeds that send files from their start on, whatever range is asked for.
//!
//! One file is read at a time, over one connection, and on the way every block is taken that is asked for by then. What
//! lies between them is read in vain; how much of that is borne, [`Waste`] says.

use super::fetch::{Blocks, Fetcher, Patience};
use super::{Content, MAX_VAIN, Part, STALL_TIMEOUT, WebSeedError};
use crate::conn::BlockSink;
use std::ops::Range;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a file is kept open while nothing ahead is asked for, but something that lies behind.
const TURN_BACK_AFTER: Duration = Duration::from_secs(1);

/// What was read in vain, and what was of use, in bytes.
#[derive(Debug, Default)]
pub(super) struct Waste {
    vain: u64,
    used: u64,
}

impl Waste {
    pub(super) fn use_up(&mut self, bytes: u64) {
        self.used += bytes;
    }

    pub(super) fn skip(&mut self, bytes: u64) {
        self.vain += bytes;
    }

    /// Whether so much more may be read in vain: four times what was of use, and [`MAX_VAIN`].
    pub(super) fn bears(&self, more: u64) -> bool {
        self.vain.saturating_add(more) <= MAX_VAIN.saturating_add(self.used.saturating_mul(4))
    }
}

impl<C: Content, D: BlockSink, K: Copy> Fetcher<'_, C, D, K> {
    /// Reads the file of the block that waits longest, as long as anything in it is asked for; the next one only if a block
    /// lies in both.
    pub(super) async fn sweep(&self) -> Result<(), WebSeedError> {
        let Some((number, first)) = self.queue().begin_sweep() else { return Ok(()) };
        let mut blocks = Blocks::new(number, Vec::new());
        let swept = self.sweep_from(&mut blocks, first).await;
        self.queue().give_back(number);
        self.end_run(blocks).await;
        swept
    }

    async fn sweep_from(&self, blocks: &mut Blocks, mut at: u64) -> Result<(), WebSeedError> {
        let total = self.content.lengths().total();
        while at < total
            && let Some(&part) = self.content.parts(at..at + 1).first()
        {
            let start = at - part.offset;
            let end = start + part.file_len;
            if part.is_pad {
                self.sweep_pad(blocks, at..end).await;
            } else {
                self.sweep_file(blocks, Part { offset: 0, len: part.file_len, ..part }, start..end).await?;
            }
            self.tell(blocks).await;
            if blocks.current.is_none() {
                break;
            }
            at = end;
        }
        Ok(())
    }

    async fn sweep_pad(&self, blocks: &mut Blocks, bytes: Range<u64>) {
        let mut at = bytes.start;
        while at < bytes.end {
            if blocks.current.is_none() {
                let Some(next) = self.queue().next_in(at..bytes.end) else { return };
                at = next;
                blocks.current = self.queue().sweep_up(next, blocks.run);
            }
            let zeros = (blocks.missing() as u64).min(bytes.end - at);
            self.fill_with_zeros(blocks, zeros).await;
            at += zeros;
        }
    }

    /// `bytes`: where the file lies in the torrent.
    async fn sweep_file(
        &self,
        blocks: &mut Blocks,
        part: Part,
        bytes: Range<u64>,
    ) -> Result<(), WebSeedError> {
        let mut answer = self.open(part).await?;
        if answer.len != part.len {
            return Err(WebSeedError::WrongRange);
        }
        let (mut at, mut patience) = (bytes.start, Patience::WHOLE);
        while at < bytes.end {
            if blocks.current.is_none() && self.next_ahead(at..bytes.end).await.is_none() {
                return Ok(());
            }
            let chunk = patience.next_chunk(&mut answer.response).await?.ok_or(WebSeedError::Short)?;
            let len = usize::try_from(bytes.end - at).unwrap_or(usize::MAX).min(chunk.len());
            if !self.sweep_chunk(blocks, at..bytes.end, &chunk[..len]).await? {
                return Ok(());
            }
            at += len as u64;
            self.tell(blocks).await;
        }
        match patience.next_chunk(&mut answer.response).await? {
            Some(_) => Err(WebSeedError::WrongLength),
            None => Ok(()),
        }
    }

    /// Takes what is asked for of the bytes that lie at the start of `rest`; `false` if nothing of that is asked for any more.
    async fn sweep_chunk(
        &self,
        blocks: &mut Blocks,
        rest: Range<u64>,
        mut chunk: &[u8],
    ) -> Result<bool, WebSeedError> {
        let mut at = rest.start;
        while !chunk.is_empty() {
            let now;
            if blocks.current.is_some() {
                now = blocks.missing().min(chunk.len());
                self.fill(blocks, &chunk[..now]).await;
            } else {
                let Some(next) = self.next_ahead(at..rest.end).await else { return Ok(false) };
                let gap = next - at;
                if gap == 0 {
                    blocks.current = self.queue().sweep_up(next, blocks.run);
                    continue;
                }
                let mut waste = self.waste();
                if !waste.bears(gap) {
                    return Err(WebSeedError::NoRanges);
                }
                now = usize::try_from(gap).unwrap_or(usize::MAX).min(chunk.len());
                waste.skip(now as u64);
            }
            at += now as u64;
            chunk = &chunk[now..];
        }
        Ok(true)
    }

    /// Where the next block begins that is asked for, waiting for one a while.
    async fn next_ahead(&self, bytes: Range<u64>) -> Option<u64> {
        let began = Instant::now();
        loop {
            // Before it is looked at what is asked for, so that nothing that is asked for meanwhile is missed.
            let asked = self.asked.notified();
            let patience = {
                let queue = self.queue();
                if let Some(next) = queue.next_in(bytes.clone()) {
                    return Some(next);
                }
                if queue.is_waiting() { TURN_BACK_AFTER } else { STALL_TIMEOUT }
            };
            timeout_at(began + patience, asked).await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_read_in_vain() {
        let mut waste = Waste::default();
        assert!(waste.bears(MAX_VAIN) && !waste.bears(MAX_VAIN + 1) && !waste.bears(u64::MAX));
        waste.use_up(1000);
        waste.skip(MAX_VAIN);
        assert!(waste.bears(4000) && !waste.bears(4001));
    }
}
