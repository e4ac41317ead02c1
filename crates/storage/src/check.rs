//! Hashing what is on disk: for resume, for `verify`, before seeding.

use crate::abreast;
use crate::files::{Place, ReadRoom};
use crate::limits::{CHECK_BATCH, CHECK_BATCH_PIECES};
use crate::pool::{Job, lock, run_on};
use crate::state::Phase;
use crate::torrent::Inner;
use crate::{Error, FileReport, Report, TorrentDisk};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use types::{Bitfield, PieceIndex};

/// What to do about a file that is there and cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    IsAnError,
    IsBad,
}

impl TorrentDisk {
    /// Hashes what is on disk of `pieces` and returns those that are good; [`verified`](Self::verified)
    /// follows.
    ///
    /// Runs on all work threads; dropping the future cancels it. `progress` is told how many pieces are done.
    /// What is missing, or a hole in a sparse file, costs next to nothing. A file with a good piece in it is
    /// the torrent's from here on.
    ///
    /// A piece of which an earlier run noted only some blocks may be complete: it is hashed too, and stays as
    /// it was noted if it is not good. Once writing is allowed, pieces that have blocks but are not complete
    /// are passed over (they are not good).
    ///
    /// # Errors
    ///
    /// If something stands in the way of a wanted file or cannot be read; what is missing or too short is no
    /// error.
    pub async fn check(&self, pieces: &Bitfield, progress: impl FnMut(u32)) -> Result<Bitfield, Error> {
        if let Some(problem) = self.look_again().await? {
            return Err(problem);
        }
        let (inner, all) = (self.inner.clone(), pieces.clone());
        run_on(&self.inner.queues.workers, move || inner.files.forget_cached(&all)).await??;
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
        run_on(&self.inner.queues.workers, move || {
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
        run_on(&self.inner.queues.workers, look).await
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
        let todo = Arc::new(Todo::new(pieces));
        let mut good = Bitfield::new(pieces.len());
        let mut running = 0;
        let mut done = 0;
        loop {
            while running < threads && !todo.is_empty() {
                let (inner, cancelled, reply) = (self.inner.clone(), cancel.0.clone(), reply.clone());
                let todo = todo.clone();
                let job: Job = Box::new(move || {
                    // Nobody waits any more if the caller's future was dropped.
                    let _ = reply.try_send(inner.check_batch(&todo, unreadable, &cancelled));
                });
                self.inner.queues.workers.send(job).await.map_err(|_| Error::Closed)?;
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

/// A piece that is to be hashed.
struct Candidate {
    piece: PieceIndex,
    place: Place,
    begun: bool,
    was_verified: bool,
}

impl Inner {
    fn check_batch(
        &self,
        todo: &Todo,
        unreadable: Unreadable,
        cancelled: &AtomicBool,
    ) -> Result<Checked, Error> {
        let mut room = ReadRoom::default();
        let mut checked = Checked { pieces: 0, good: Vec::new() };
        let width = abreast::width(self.files.layout.lengths().piece_length());
        let mut pieces = Vec::with_capacity(width);
        while checked.pieces < CHECK_BATCH_PIECES
            && room.hashed < CHECK_BATCH
            && !cancelled.load(Ordering::Relaxed)
            && todo.take(width, &mut pieces)
        {
            checked.pieces += u32::try_from(pieces.len()).expect("few");
            self.check_abreast(pieces.drain(..), &mut room, unreadable, &mut checked.good)?;
        }
        Ok(checked)
    }

    /// Checks a few pieces together, and notes the good ones.
    pub(crate) fn check_abreast(
        &self,
        pieces: impl Iterator<Item = PieceIndex>,
        room: &mut ReadRoom,
        unreadable: Unreadable,
        good: &mut Vec<PieceIndex>,
    ) -> Result<(), Error> {
        if lock(&self.state).phase != Phase::Reading {
            room.forget_hole();
        }
        let candidates: Vec<_> = pieces.filter_map(|piece| self.candidate(piece)).collect();
        let places: Vec<_> = candidates.iter().map(|candidate| (candidate.piece, candidate.place)).collect();
        let found = self.files.are_good(&places, room);
        for (candidate, found) in candidates.iter().zip(found) {
            match found.and_then(|good| self.judge(candidate, good)) {
                Ok(true) => good.push(candidate.piece),
                Err(error) if unreadable == Unreadable::IsAnError => return Err(error),
                Ok(false) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The piece as it is before it is hashed; `None` if it is not to be.
    fn candidate(&self, piece: PieceIndex) -> Option<Candidate> {
        let (begun, reading, was_verified) = {
            let state = lock(&self.state);
            (state.is_begun(piece), state.phase == Phase::Reading, state.verified.contains(piece))
        };
        let candidate = || Candidate { piece, place: self.files.place(piece), begun, was_verified };
        (!begun || reading).then(candidate)
    }

    /// What follows from the hash of a piece.
    fn judge(&self, candidate: &Candidate, good: bool) -> Result<bool, Error> {
        let Candidate { piece, place, begun, was_verified } = *candidate;
        if good {
            self.files.adopt(piece, place);
            if place != Place::Files && lock(&self.state).phase == Phase::Writing {
                self.files.deal_out(piece)?;
            }
        }
        // A piece that is begun before anything may be written is one that an earlier run has left.
        let mut assembly = begun.then(|| lock(&self.assembly));
        let mut state = lock(&self.state);
        state.suspect.remove(piece);
        // What began meanwhile has its own verdict.
        let good = good && (state.phase == Phase::Reading || !state.is_begun(piece));
        if good {
            if let Some(assembly) = &mut assembly {
                self.with_held(assembly, |assembly| assembly.forget(piece));
            }
            state.good(piece);
        } else if was_verified && !state.is_begun(piece) {
            state.take_back(piece);
            drop((state, assembly));
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

/// The pieces that no job has taken yet. A job takes a few at a time, since it cannot know before how much there is to
/// hash.
struct Todo(Mutex<std::vec::IntoIter<PieceIndex>>);

impl Todo {
    fn new(pieces: &Bitfield) -> Todo {
        Todo(Mutex::new(pieces.ones().collect::<Vec<_>>().into_iter()))
    }

    /// Takes up to so many; `false` if there is none.
    fn take(&self, most: usize, pieces: &mut Vec<PieceIndex>) -> bool {
        pieces.extend(lock(&self.0).by_ref().take(most));
        !pieces.is_empty()
    }

    fn is_empty(&self) -> bool {
        lock(&self.0).len() == 0
    }
}

/// Tells jobs, when it is dropped, that nobody waits for them.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
