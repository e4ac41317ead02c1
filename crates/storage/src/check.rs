//! Hashing what is on disk: for resume, for `verify`, before seeding.

use crate::files::Place;
use crate::limits::{CHECK_BATCH, READ_RUN};
use crate::pool::{Job, lock, run_on};
use crate::state::Phase;
use crate::torrent::Inner;
use crate::{Error, FileReport, Report, TorrentDisk};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use types::{Bitfield, PieceIndex};

/// What to do about a file that is there and cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    IsAnError,
    IsBad,
}

impl TorrentDisk {
    /// Hashes what is on disk of `pieces` and returns those that are good; [`verified`](Self::verified)
    /// follows.
    ///
    /// Runs on all work threads; dropping the future cancels it. `progress` is told how many pieces are done.
    /// Pieces that have blocks but are not complete are passed over (they are not good). A file with a good
    /// piece in it is the torrent's from here on.
    ///
    /// # Errors
    ///
    /// If something stands in the way of a wanted file or cannot be read; what is missing or too short is no
    /// error.
    pub async fn check(&self, pieces: &Bitfield, progress: impl FnMut(u32)) -> Result<Bitfield, Error> {
        if let Some(problem) = self.look_again().await? {
            return Err(problem);
        }
        self.hash_on_disk(pieces, progress, Unreadable::IsAnError).await
    }

    /// Checks every piece and tells how each file is. `progress` is told how many pieces are done.
    ///
    /// # Errors
    ///
    /// Only if the pool has ended: what cannot be read is part of the report.
    pub async fn verify(&self, progress: impl FnMut(u32)) -> Result<Report, Error> {
        self.look_again().await?;
        let all = Bitfield::full(self.inner.files.layout.lengths().piece_count());
        let pieces = self.hash_on_disk(&all, progress, Unreadable::IsBad).await?;
        let inner = self.inner.clone();
        run_on(&self.inner.pool.workers, move || {
            let files =
                (0..inner.files.layout.files().len()).map(|file| report(&inner, file, &pieces)).collect();
            Report { pieces, files }
        })
        .await
    }

    async fn look_again(&self) -> Result<Option<Error>, Error> {
        let inner = self.inner.clone();
        let look = move || {
            inner.files.look();
            inner.files.problem()
        };
        run_on(&self.inner.pool.workers, look).await
    }

    async fn hash_on_disk(
        &self,
        pieces: &Bitfield,
        mut progress: impl FnMut(u32),
        unreadable: Unreadable,
    ) -> Result<Bitfield, Error> {
        let cancel = Cancel::default();
        let threads = self.inner.pool.worker_count();
        let (reply, results) = async_channel::bounded(threads);
        let mut batches = batches(&self.inner, pieces);
        let mut good = Bitfield::new(pieces.len());
        let mut running = 0;
        let mut done = 0;
        loop {
            while running < threads
                && let Some(batch) = batches.next()
            {
                let (inner, cancelled, reply) = (self.inner.clone(), cancel.0.clone(), reply.clone());
                let job: Job = Box::new(move || {
                    // Nobody waits any more if the caller's future was dropped.
                    let _ = reply.try_send(inner.check_batch(&batch, unreadable, &cancelled));
                });
                self.inner.pool.workers.send(job).await.map_err(|_| Error::Closed)?;
                running += 1;
            }
            if running == 0 {
                return Ok(good);
            }
            let batch = results.recv().await.map_err(|_| Error::Closed)??;
            running -= 1;
            done += batch.pieces;
            for piece in batch.good {
                good.insert(piece);
            }
            progress(done);
        }
    }
}

struct Checked {
    pieces: u32,
    good: Vec<PieceIndex>,
}

impl Inner {
    fn check_batch(
        &self,
        batch: &[PieceIndex],
        unreadable: Unreadable,
        cancelled: &AtomicBool,
    ) -> Result<Checked, Error> {
        let mut buf = vec![0; READ_RUN as usize];
        let mut checked = Checked { pieces: 0, good: Vec::new() };
        for &piece in batch {
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
            match self.check_piece(piece, &mut buf) {
                Ok(true) => checked.good.push(piece),
                Err(error) if unreadable == Unreadable::IsAnError => return Err(error),
                Ok(false) | Err(_) => {}
            }
            checked.pieces += 1;
        }
        Ok(checked)
    }

    fn check_piece(&self, piece: PieceIndex, buf: &mut [u8]) -> Result<bool, Error> {
        let (begun, was_verified) = {
            let state = lock(&self.state);
            (state.is_begun(piece), state.verified.contains(piece))
        };
        if begun {
            return Ok(false);
        }
        let place = self.files.place(piece);
        let good = self.files.is_good(piece, place, buf)?;
        if good {
            self.files.adopt(piece, place);
            if place != Place::Files && lock(&self.state).phase == Phase::Writing {
                self.files.deal_out(piece)?;
            }
        }
        let mut state = lock(&self.state);
        state.suspect.remove(piece);
        // What began meanwhile has its own verdict.
        if good && !state.is_begun(piece) {
            state.good(piece);
        } else if !good && was_verified {
            state.take_back(piece);
            drop(state);
            self.next_epoch();
        }
        Ok(good)
    }
}

fn report(inner: &Inner, file: usize, good: &Bitfield) -> FileReport {
    let files = &inner.files;
    if !files.layout.is_regular(file) {
        return FileReport::Good;
    }
    if let Some(error) = files.unreadable(file) {
        return FileReport::Unreadable(error);
    }
    let Some(stamp) = files.entries.stamp(file) else { return FileReport::Missing };
    let (mut pieces, mut bad) = (0, 0);
    for piece in files.layout.pieces_of_file(file) {
        pieces += 1;
        bad += u32::from(!good.contains(piece));
    }
    if stamp.size != files.layout.files()[file].length {
        FileReport::WrongSize { found: stamp.size, bad, pieces }
    } else if bad > 0 {
        FileReport::BadPieces { bad, pieces }
    } else {
        FileReport::Good
    }
}

/// Pieces in portions that are small enough for others to have their turn in between.
fn batches(inner: &Inner, pieces: &Bitfield) -> impl Iterator<Item = Vec<PieceIndex>> + use<> {
    let piece_length = u64::from(inner.files.layout.lengths().piece_length());
    let size = usize::try_from(CHECK_BATCH / piece_length).unwrap_or(usize::MAX).max(1);
    let all: Vec<PieceIndex> = pieces.ones().collect();
    let mut at = 0;
    std::iter::from_fn(move || {
        let batch = all[at..].iter().take(size).copied().collect::<Vec<_>>();
        at += batch.len();
        (!batch.is_empty()).then_some(batch)
    })
}

/// Tells jobs, when it is dropped, that nobody waits for them.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
