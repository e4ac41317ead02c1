//! Bytes of a torrent while it is being downloaded: what is read next is fetched next.

use crate::mailbox;
use crate::torrent::{Request, Status};
use crate::watched;
use crate::{Torrent, TorrentError, TrackerStats};
use bytes::Bytes;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use storage::TorrentDisk;
use tokio::sync::oneshot;
use types::{Bitfield, Lengths, PieceIndex, Time};

/// Bytes from where is read to the end of what is fetched before all else.
const READ_AHEAD: u32 = 8 << 20;
/// The most pieces of them, that of the place itself included.
pub(crate) const MAX_HURRIED: u32 = 64;
/// The most bytes that one read gives.
const MOST_AT_ONCE: u32 = 256 << 10;
/// By when the first piece is wanted; each further one so much later.
const WANTED_IN: Duration = Duration::from_millis(500);

/// Reads a torrent. Of one that runs, what is missing where it reads is asked for before all else (and a little beyond it);
/// that ends when the reader is dropped.
pub struct Reader {
    requests: mailbox::Sender<Request>,
    status: watched::Receiver<Status>,
    lengths: Lengths,
    disk: TorrentDisk,
    hurried: Range<u32>,
}

/// A connection with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStats {
    /// The number of the connection, which no other one of the torrent gets; events have it too.
    pub number: u64,
    /// The far end.
    pub addr: SocketAddr,
    /// Whether we dialed.
    pub outgoing: bool,
    /// What it calls itself; a stranger's words.
    pub client: Option<String>,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we want.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// We have something that it wants.
    pub peer_interested: bool,
    /// It let our requests wait for too long.
    pub snubbed: bool,
    /// Our requests that it has not answered.
    pub requests: usize,
    /// How many requests it may have at once now.
    pub window: usize,
    /// How many pieces it has.
    pub pieces: u32,
    /// Payload bytes per second from it, of late.
    pub rate_down: u64,
    /// Payload bytes per second to it, of late.
    pub rate_up: u64,
    /// Payload bytes from it.
    pub downloaded: u64,
    /// Payload bytes to it.
    pub uploaded: u64,
}

/// Which pieces there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceMap {
    /// Bytes of a piece; the last one may have fewer.
    pub length: u32,
    /// Those that are verified.
    pub have: Bitfield,
    /// The numbers of those that are begun and not verified.
    pub begun: Vec<u32>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("hurried", &self.hurried).finish_non_exhaustive()
    }
}

impl Torrent {
    /// Begins to read it.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`] if it is not running: it has ended, or is still being checked.
    pub async fn reader(&self) -> Result<Reader, TorrentError> {
        let (disk, lengths) = self.ask(Request::Read).await?;
        let (requests, status) = (self.requests.clone(), self.status.clone());
        Ok(Reader { requests, status, lengths, disk, hurried: 0..0 })
    }

    /// Its connections now.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`] if it is not running.
    pub async fn peers(&self) -> Result<Vec<PeerStats>, TorrentError> {
        self.ask(Request::Peers).await
    }

    /// Its trackers now, as far as they may be asked.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`] if it is not running.
    pub async fn trackers(&self) -> Result<Vec<TrackerStats>, TorrentError> {
        self.ask(Request::Trackers).await
    }

    /// Which pieces there are now.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`] if it is not running.
    pub async fn pieces(&self) -> Result<PieceMap, TorrentError> {
        self.ask(Request::Pieces).await
    }

    async fn ask<T>(&self, what: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, TorrentError> {
        ask(&self.requests, what).await
    }
}

/// Asks the task that drives a torrent.
pub(crate) async fn ask<T>(
    requests: &mailbox::Sender<Request>,
    what: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, TorrentError> {
    let (reply, answer) = oneshot::channel();
    requests.send(what(reply)).await.map_err(|_| TorrentError::Stopped)?;
    answer.await.map_err(|_| TorrentError::Stopped)
}

impl Reader {
    /// Reads a torrent that does not run.
    pub(crate) fn at_rest(disk: TorrentDisk, lengths: Lengths) -> Reader {
        // Whatever is missing, nobody fetches it.
        let (requests, _) = mailbox::mailbox(1);
        let (_, status) = watched::watched(Status::default());
        Reader { requests, status, lengths, disk, hurried: 0..0 }
    }

    /// Up to `most` bytes, but at least one, from `offset` of the torrent on, in bytes; nothing at its end. Waits for them to
    /// be there and verified. To be given up by dropping what it returns.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`], and [`TorrentError::Disk`].
    pub async fn read(&mut self, offset: u64, most: u32) -> Result<Bytes, TorrentError> {
        let length = u64::from(self.lengths.piece_length());
        let (Some(piece), Ok(within)) = (
            u32::try_from(offset / length).ok().and_then(|piece| self.lengths.piece(piece)),
            u32::try_from(offset % length),
        ) else {
            return Ok(Bytes::new());
        };
        let left = self.lengths.piece_len(piece).saturating_sub(within).min(most).min(MOST_AT_ONCE);
        let Some(range) = self.lengths.block_range(piece.get(), within, left) else {
            return Ok(Bytes::new());
        };
        loop {
            // What is published from now on is news.
            drop(self.status.borrow_and_update());
            match self.disk.read_block(range).await {
                Ok(bytes) => return Ok(bytes),
                Err(storage::Error::NotVerified(_)) => self.hurry(piece).await?,
                Err(error) => return Err(error.into()),
            }
            self.news().await?;
        }
    }

    /// Waits until something about the torrent has changed.
    async fn news(&mut self) -> Result<(), TorrentError> {
        let changed = self.status.changed().await;
        let ended = changed.is_err() || self.status.borrow().ended.is_some();
        if ended { Err(TorrentError::Stopped) } else { Ok(()) }
    }

    /// Has what begins with this piece fetched before all else.
    async fn hurry(&mut self, piece: PieceIndex) -> Result<(), TorrentError> {
        let ahead = (READ_AHEAD / self.lengths.piece_length()).clamp(1, MAX_HURRIED - 1) + 1;
        let first = piece.get();
        let wanted = first..first.saturating_add(ahead).min(self.lengths.piece_count());
        if wanted == self.hurried {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.hurried, wanted.clone());
        let hurry = Request::Hurry { before, wanted };
        self.requests.send(hurry).await.map_err(|_| TorrentError::Stopped)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.hurried);
        if !before.is_empty() {
            // If it is told something else just now, these pieces are fetched first without need, once.
            let _ = self.requests.try_send(Request::Hurry { before, wanted: 0..0 });
        }
    }
}

/// By when the pieces that were and those that are hurried are wanted.
pub(crate) fn deadlines(
    before: Range<u32>,
    wanted: Range<u32>,
    now: Time,
) -> impl Iterator<Item = (u32, Option<Time>)> {
    let dropped = before.filter({
        let wanted = wanted.clone();
        move |piece| !wanted.contains(piece)
    });
    let set = wanted.zip(1u32..).map(move |(piece, place)| (piece, Some(now + WANTED_IN * place)));
    dropped.map(|piece| (piece, None)).chain(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_any_more_is_not_hurried() {
        let now = Time::ZERO + Duration::from_secs(1);
        let told: Vec<_> = deadlines(0..4, 2..5, now).collect();
        let expected: Vec<(u32, Option<Time>)> = vec![
            (0, None),
            (1, None),
            (2, Some(now + WANTED_IN)),
            (3, Some(now + 2 * WANTED_IN)),
            (4, Some(now + 3 * WANTED_IN)),
        ];
        assert_eq!(told, expected);
        assert!(deadlines(0..MAX_HURRIED, 0..0, now).all(|(_, at)| at.is_none()));
    }
}
