//! The scrub: what is verified is read again at leisure, piece by piece, one torrent after the other.

use crate::shared::{Shared, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::TorrentDisk;
use tokio::time::Instant;
use types::PieceIndex;

/// How long the scrub rests when there is nothing to be read.
const NOTHING_TO_DO: Duration = Duration::from_secs(1);

/// The torrents that take turns: as many as run.
#[derive(Default)]
pub(crate) struct Scrub(Mutex<VecDeque<Turn>>);

struct Turn {
    /// For whom.
    id: u64,
    disk: TorrentDisk,
    next: PieceIndex,
}

/// A torrent's part in the scrub, until this is dropped.
pub(crate) struct Scrubbed {
    shared: Arc<Shared>,
    id: u64,
}

impl Scrubbed {
    /// From now on the torrent's pieces take turns, if there is a scrub at all.
    pub(crate) fn join(shared: &Arc<Shared>, disk: &TorrentDisk) -> Option<Scrubbed> {
        shared.settings.scrub?;
        let id = fastrand::u64(..);
        let turn = Turn { id, disk: disk.clone(), next: PieceIndex::new(0) };
        lock(&shared.scrub.0).push_back(turn);
        Some(Scrubbed { shared: shared.clone(), id })
    }
}

impl Drop for Scrubbed {
    fn drop(&mut self) {
        lock(&self.shared.scrub.0).retain(|turn| turn.id != self.id);
    }
}

impl Scrub {
    /// The next piece, and whose it is: each torrent has one, then it is another's turn. Who has none left begins again.
    fn next(&self) -> Option<(TorrentDisk, PieceIndex)> {
        let mut turns = lock(&self.0);
        // Twice, since all may be at their end.
        for _ in 0..2 * turns.len() {
            let mut turn = turns.pop_front()?;
            let found = turn.disk.next_verified(turn.next);
            turn.next = found.map_or(PieceIndex::new(0), |piece| PieceIndex::new(piece.get() + 1));
            let next = found.map(|piece| (turn.disk.clone(), piece));
            turns.push_back(turn);
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// Reads `rate` bytes per second of all torrents together, until the engine shuts down. What a torrent loses by it, its own
/// task hears of.
pub(crate) async fn run(shared: Arc<Shared>, rate: u64) {
    let work = async {
        loop {
            let began = Instant::now();
            let pause = match shared.scrub.next() {
                Some((disk, piece)) => {
                    let read = disk.piece_len(piece);
                    // Why it could not be read is told where it is lost.
                    let _ = disk.scrub(piece).await;
                    took(read, rate)
                }
                None => NOTHING_TO_DO,
            };
            tokio::time::sleep_until(began + pause).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shared.closed() => {}
    }
}

/// How long so many bytes take at that rate, in bytes per second.
fn took(bytes: u32, rate: u64) -> Duration {
    Duration::from_nanos(
        (u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1))).try_into().unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_as_long_as_the_rate_says() {
        assert_eq!(took(1 << 20, 1 << 20), Duration::from_secs(1));
        assert_eq!(took(1 << 20, 4 << 20), Duration::from_millis(250));
        assert_eq!(took(0, 0), Duration::ZERO);
        assert!(took(u32::MAX, 0) > Duration::from_secs(4_000_000_000));
    }
}
