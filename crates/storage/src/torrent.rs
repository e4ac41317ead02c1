//! One torrent's bytes on disk.

use crate::assembly::{Assembly, Verdict};
use crate::devices::Queues;
use crate::files::{Files, Place, Policy};
use crate::forget::Forgets;
use crate::gate::Writer;
use crate::limits::{HASH_DUE, READ_RUN};
use crate::pool::{LaneJob, RunKey, Shared, lock, run_on};
use crate::root::Root;
use crate::state::{Phase, State};
use crate::{DiskEvent, DiskPool, Error, FileStamp, Layout, OpenOptions, Snapshot, SyncError, WriteRefused};
use async_channel::TrySendError;
use bytes::Bytes;
use rustix::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use types::{Bitfield, BlockRange, PieceIndex};

/// One torrent's bytes on disk. Cheap to clone; all clones are the same torrent.
///
/// Its life: [`open`](Self::open) only looks; [`check`](Self::check) hashes what cannot be trusted;
/// [`prepare`](Self::prepare) makes folders and empty files and allows writing (not needed to seed); blocks
/// are written and read; [`close`](Self::close) makes everything durable and lets go of the files.
///
/// The async methods work on any executor. Their work is done on the pool's own threads.
#[derive(Clone)]
pub struct TorrentDisk {
    pub(crate) inner: Arc<Inner>,
}

impl TorrentDisk {
    /// Looks at what is on disk; changes nothing. Does not fail for what stands in the way of a file: that is
    /// [`check`](Self::check)'s and [`prepare`](Self::prepare)'s to say.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the pool has ended; [`Error::Unavailable`] if the disk is not mounted.
    pub async fn open(pool: &DiskPool, layout: Layout, options: OpenOptions) -> Result<TorrentDisk, Error> {
        let shared = pool.shared.clone();
        let workers = shared.devices.workers_for(&layout.path_under(&options.root, 0));
        let open = move || {
            let inner = Inner::open(shared, layout, options)?;
            Ok(TorrentDisk { inner: Arc::new(inner) })
        };
        run_on(&workers, open).await?
    }

    /// The pieces that can be read: trusted at open, found by a check, or written and verified since.
    pub fn verified(&self) -> Bitfield {
        lock(&self.inner.state).verified.clone()
    }

    /// Trusted pieces that were not believed at open, since a file of theirs looks different: check these.
    pub fn suspect(&self) -> Bitfield {
        lock(&self.inner.state).suspect.clone()
    }

    /// Blocks (by number) on disk of pieces that are not complete.
    pub fn partial(&self) -> Vec<(PieceIndex, Vec<u32>)> {
        lock(&self.inner.assembly).written()
    }

    /// Why writing stopped, if it failed.
    pub fn error(&self) -> Option<Error> {
        match &lock(&self.inner.state).phase {
            Phase::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The files that are the torrent's or will be (see [`Snapshot::ours`]). Save this before the first
    /// write, so that after a crash the files are known to be ours.
    pub fn ours(&self) -> Vec<bool> {
        self.inner.files.ours()
    }

    /// What each file looks like (see [`Snapshot::files`]), as of the last open, check or sync.
    pub fn file_stamps(&self) -> Vec<Option<FileStamp>> {
        self.inner.files.entries.stamps()
    }

    /// Makes ready for writing: the root folder, wanted files of length zero, all room if it is to be
    /// allocated, wanted files of ours that are longer than the torrent says cut to their length, and bytes that the parts file holds of files that are wanted now.
    ///
    /// # Errors
    ///
    /// [`Error::FileInTheWay`] if a wanted file is somebody else's; a full, read-only or forbidden disk.
    /// Files that this call created are removed again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let inner = self.inner.clone();
        run_on(&self.inner.queues.workers, move || inner.prepare()).await?
    }

    /// Takes one block; returns when it is queued (the queue's limit is the back-pressure). While the disk is full, or too
    /// much is not durable, it waits.
    ///
    /// The first copy of a block wins, until its piece is verified or fails, and is told as
    /// [`DiskEvent::BlockTaken`] with `from`, which means nothing to the disk: at the next [`tell`](Self::tell), or soon.
    /// Dropping the future gives the block's place back.
    ///
    /// # Errors
    ///
    /// At once and without harm, see [`WriteRefused`]. Write errors come as [`DiskEvent::Failed`].
    pub async fn write_block(&self, range: BlockRange, data: Bytes, from: u64) -> Result<(), WriteRefused> {
        let inner = &self.inner;
        let block = loop {
            let closed = {
                let mut state = lock(&inner.state);
                match state.gate.closed() {
                    Some(closed) if state.phase == Phase::Writing => closed,
                    _ => break state.claim(inner.files.layout.lengths(), range, &data)?,
                }
            };
            // An error is what it says when it opens.
            let _ = closed.recv().await;
        };
        let mut claim = Claim { inner, piece: range.piece, block, kept: false };
        let taken = DiskEvent::BlockTaken { block: range, from };
        let job = |data, untold| LaneJob::Block { torrent: inner.clone(), range, block, data, untold };
        let full = {
            // What the lane makes of its piece is not told before the lock is free.
            let mut unsaid = lock(&inner.unsaid);
            match inner.queues.lane.try_send(job(data, None)) {
                Ok(()) => {
                    unsaid.push(taken.clone());
                    None
                }
                Err(TrySendError::Full(LaneJob::Block { data, .. })) => Some(data),
                Err(_) => return Err(WriteRefused::Stopped),
            }
        };
        if let Some(data) = full {
            inner.tell();
            inner.queues.lane.send(job(data, Some(taken))).await.map_err(|_| WriteRefused::Stopped)?;
        }
        claim.kept = true;
        Ok(())
    }

    /// Tells what happened since it was last done: after some blocks, rather than after each.
    pub fn tell(&self) {
        self.inner.tell();
    }

    /// Tries once more to write what is held, after the disk was [full](DiskEvent::Full).
    pub async fn retry(&self) {
        self.on_lane(Inner::retry).await;
    }

    /// Reads some bytes of a verified piece.
    ///
    /// A run of [`READ_RUN`] bytes is read at once and kept for a while, so that most calls in a row cost no
    /// system call and do not leave the caller's thread. The bytes returned keep their run in memory.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`], or what the operating system reports. Then the piece is lost, unless only file descriptors
    /// are lacking: it is not verified any more, which is told as [`DiskEvent::PieceLost`]. If its bytes are gone, all
    /// pieces are lost of which the same files cannot hold the bytes.
    pub async fn read_block(&self, range: BlockRange) -> Result<Bytes, Error> {
        let inner = &self.inner;
        let epoch = inner.must_be_readable(range)?;
        let run = range.offset / READ_RUN;
        if range.end().div_ceil(READ_RUN) - run > 1 {
            let inner = inner.clone();
            let read = move || inner.read(range.piece, range.offset, range.len as usize);
            return run_on(&self.inner.queues.readers, read).await?;
        }
        let key = RunKey { torrent: inner.id, epoch, piece: range.piece, run };
        let cached = lock(&inner.pool.runs).get(&key);
        let bytes = match cached {
            Some(bytes) => bytes,
            None => {
                let inner = inner.clone();
                run_on(&self.inner.queues.readers, move || inner.read_run(key)).await??
            }
        };
        let start = (range.offset - run * READ_RUN) as usize;
        Ok(bytes.slice(start..start + range.len as usize))
    }

    /// Hands the file in which some bytes of a verified piece lie, and where, to `work`, which runs on a thread that may
    /// wait for the disk; or `None` if they do not lie in one file as they are: they have to be [read](Self::read_block).
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`], also if the piece was lost meanwhile, and what `work` did is of no use; or what the operating
    /// system reports.
    pub async fn with_file<T: Send + 'static>(
        &self,
        range: BlockRange,
        work: impl FnOnce(Option<(BorrowedFd<'_>, u64)>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        inner.must_be_readable(range)?;
        let job = move || {
            // It may have been lost while this waited for its turn, and while it was done.
            inner.must_be_readable(range)?;
            let extent = inner.files.extent(range.piece, range.offset, range.len)?;
            let done = work(extent.as_ref().map(|(handle, offset)| (handle.fd.as_fd(), *offset)));
            inner.must_be_readable(range).map(|_| done)
        };
        run_on(&self.inner.queues.readers, job).await?
    }

    /// Makes durable what is verified by now, and what is written of other pieces.
    ///
    /// # Errors
    ///
    /// [`SyncError`] names the pieces that must not be counted as ours; writing has then stopped.
    pub async fn sync(&self) -> Result<Snapshot, SyncError> {
        self.on_lane(Inner::settle_all).await;
        let inner = self.inner.clone();
        let synced = run_on(&self.inner.queues.workers, move || inner.sync()).await;
        synced.unwrap_or_else(|error| Err(self.inner.not_synced(error)))
    }

    /// Writes what is held, syncs, refuses further use and closes the files.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub async fn close(&self) -> Result<Snapshot, SyncError> {
        self.inner.stop_taking();
        self.on_lane(Inner::flush).await;
        let inner = self.inner.clone();
        let closed = run_on(&self.inner.queues.workers, move || inner.close()).await;
        closed.unwrap_or_else(|error| Err(self.inner.not_synced(error)))
    }

    /// Does something on the torrent's lane, behind the blocks that were taken before. If the pool has ended, what comes
    /// next says so.
    async fn on_lane(&self, work: fn(&Inner)) {
        let (reply, done) = async_channel::bounded(1);
        let inner = self.inner.clone();
        let work = move || {
            work(&inner);
            inner.tell();
            // Nobody waits any more if the caller's future was dropped.
            let _ = reply.try_send(());
        };
        let _ = self.inner.queues.lane.send(LaneJob::Run(Box::new(work))).await;
        let _ = done.recv().await;
    }
}

/// What a torrent's handles and its queued jobs share.
///
/// Locks are taken in the order `syncing`, `assembly`, `state`, `unsaid`; only `unsaid` is held while an event is told.
pub(crate) struct Inner {
    pub(crate) id: u64,
    pub(crate) pool: Arc<Shared>,
    pub(crate) files: Files,
    pub(crate) state: Mutex<State>,
    /// Locked by the torrent's lane for each block, and by a sync.
    pub(crate) assembly: Mutex<Assembly>,
    /// One sync at a time: a second one must not return before the first has done its work.
    syncing: Mutex<()>,
    pub(crate) queues: Queues,
    /// See [`RunKey`].
    pub(crate) epoch: AtomicU64,
    events: Box<dyn Fn(Vec<DiskEvent>) + Send + Sync>,
    /// Events that are told together, before long: to be woken for each would cost the listener more than what it says.
    pub(crate) unsaid: Mutex<Vec<DiskEvent>>,
    pub(crate) forgets: Mutex<Forgets>,
}

impl Inner {
    fn open(pool: Arc<Shared>, layout: Layout, options: OpenOptions) -> Result<Inner, Error> {
        let OpenOptions {
            root,
            mount,
            patient,
            parts_path,
            wanted,
            allocate,
            overwrite,
            known,
            trusted,
            stamps,
            partial,
            broken_off,
            max_unsynced,
            events,
        } = options;
        let root = Root::new(root, mount);
        root.must_be_mounted()?;
        let (id, queues) = pool.assign(&layout.path_under(root.path(), 0));
        let policy = Policy { wanted, known, allocate, overwrite, patient, broken_off };
        let lengths = layout.lengths();
        let inner = Inner {
            id,
            files: Files::new(layout, id, pool.clone(), root, parts_path, policy),
            pool,
            state: Mutex::new(State::new(lengths.piece_count(), max_unsynced)),
            assembly: Mutex::new(Assembly::new(lengths.piece_count())),
            syncing: Mutex::default(),
            queues,
            epoch: AtomicU64::new(0),
            events,
            unsaid: Mutex::default(),
            forgets: Mutex::default(),
        };
        if let Some(trusted) = trusted {
            inner.trust(&trusted, &stamps);
        }
        inner.restore(&partial);
        Ok(inner)
    }

    /// Believes the pieces that can be there; those in files that look different are put aside for a check.
    fn trust(&self, trusted: &Bitfield, stamps: &[Option<FileStamp>]) {
        let files = &self.files;
        let looks_different = |file: usize| {
            files.entries.stamp(file) != stamps.get(file).copied().flatten() && !stamps.is_empty()
        };
        let mut state = lock(&self.state);
        for piece in trusted.ones() {
            let place = files.place(piece);
            if !files.may_hold(piece, place) {
                continue;
            }
            let changed =
                place == Place::Files && files.layout.regular_slices(piece).any(|s| looks_different(s.file));
            if changed {
                state.suspect.insert(piece)
            } else {
                state.verified.insert(piece)
            };
        }
    }

    /// Takes in blocks of unfinished pieces, where they still are at the place where the rest will be
    /// written.
    fn restore(&self, partial: &[(PieceIndex, Vec<u32>)]) {
        let lengths = self.files.layout.lengths();
        let mut assembly = lock(&self.assembly);
        let mut state = lock(&self.state);
        for (piece, blocks) in partial.iter().take(crate::limits::MAX_BEGUN_PIECES) {
            let place = self.files.place(*piece);
            let in_place = (place != Place::Files) == self.files.touches_unwanted(*piece);
            let sane = blocks.iter().all(|&block| lengths.block(*piece, block).is_some())
                && !blocks.is_empty()
                && blocks.len() < lengths.block_count(*piece) as usize;
            if !in_place || !sane || state.verified.contains(*piece) || !self.files.may_hold(*piece, place) {
                continue;
            }
            assembly.restore(&self.files.layout, *piece, blocks);
            for &block in blocks {
                state.mark(lengths, *piece, block);
            }
        }
    }

    fn prepare(&self) -> Result<(), Error> {
        let verified = lock(&self.state).verified.clone();
        let bad = self.files.prepare(&verified)?;
        let mut assembly = lock(&self.assembly);
        let mut state = lock(&self.state);
        bad.into_iter().for_each(|piece| state.take_back(piece));
        self.take_back_cut(&mut assembly, &mut state);
        match &state.phase {
            Phase::Reading => state.phase = Phase::Writing,
            Phase::Writing => {}
            Phase::Failed(error) => return Err(error.clone()),
            Phase::Closing | Phase::Closed => return Err(Error::Closed),
        }
        Ok(())
    }
}

/// Blocks in.
impl Inner {
    /// Takes a block in; says whether [`settle`](Self::settle) is due before long. [`tell`](Self::tell) is due soon. Runs
    /// on the torrent's lane.
    pub(crate) fn take_block(
        &self,
        range: BlockRange,
        block: u32,
        data: Bytes,
        untold: Option<DiskEvent>,
    ) -> bool {
        let (due, keeps_too_much, holds_too_much) = {
            let mut assembly = lock(&self.assembly);
            // Under the lock: who stops it forgets what is held.
            if !self.may_take() {
                return false;
            }
            lock(&self.unsaid).extend(untold);
            self.with_held(&mut assembly, |assembly| {
                assembly.take(&self.files.layout, range.piece, block, data);
                (assembly.due_bytes(), self.keeps_too_much(assembly), self.holds_too_much(assembly))
            })
        };
        let keeps_too_much = if holds_too_much { self.write_out() } else { keeps_too_much };
        if keeps_too_much {
            // What is hashed before it is let go need not be read back.
            self.settle_all();
        } else if due >= HASH_DUE {
            self.settle();
        } else {
            return due > 0;
        }
        false
    }

    /// Writes what is held too much, before it is hashed; says whether too much is kept then. Runs on the torrent's lane.
    fn write_out(&self) -> bool {
        if lock(&self.state).gate.is_full() {
            return false;
        }
        let (result, keeps_too_much) = {
            let mut assembly = lock(&self.assembly);
            let written = self.with_held(&mut assembly, |assembly| {
                let result = assembly.write_out(&self.files, assembly.held() / 2);
                (result, self.keeps_too_much(assembly))
            });
            self.lose_cut(&mut assembly, &mut lock(&self.state));
            written
        };
        self.tell();
        if let Err(error) = result {
            self.halt(error, Writer::Lane);
        }
        keeps_too_much
    }

    /// Tells what happened since it was last done.
    pub(crate) fn tell(&self) {
        let mut unsaid = lock(&self.unsaid);
        if !unsaid.is_empty() {
            // Under the lock: what others have to tell comes after it.
            (self.events)(std::mem::take(&mut *unsaid));
        }
    }

    /// Whether a piece is begun that has not all its blocks.
    pub(crate) fn awaits_blocks(&self) -> bool {
        lock(&self.assembly).awaits_blocks()
    }

    fn may_take(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Writing | Phase::Closing)
    }

    /// Hashes what is due and writes it, gives memory back if too much is held, and tells what came of it. Runs on the
    /// torrent's lane: what is told of a piece must not overtake its blocks.
    pub(crate) fn settle(&self) {
        self.tell();
        if !self.may_take() || lock(&self.state).gate.is_full() {
            return;
        }
        let result = {
            let mut assembly = lock(&self.assembly);
            let (verdicts, result) = self.with_held(&mut assembly, |assembly| {
                let (verdicts, result) = assembly.settle(&self.files);
                (verdicts, result.and_then(|()| self.relieve(assembly)))
            });
            let mut state = lock(&self.state);
            // Before what was written instead is good.
            self.lose_cut(&mut assembly, &mut state);
            for (piece, verdict) in &verdicts {
                match verdict {
                    Verdict::Good { .. } => state.good(*piece),
                    Verdict::Bad { .. } => state.bad(*piece),
                }
            }
            let event = |(piece, verdict)| match verdict {
                Verdict::Good { digests } => DiskEvent::PieceVerified { piece, digests },
                Verdict::Bad { from_disk, digests } => DiskEvent::PieceFailed { piece, from_disk, digests },
            };
            // Before a block of the next attempt can be taken, and told.
            lock(&self.unsaid).extend(verdicts.into_iter().map(event));
            result
        };
        self.tell();
        if let Err(error) = result {
            self.halt(error, Writer::Lane);
        }
    }

    /// Takes in that something could not be written: a disk that is full is waited for, and everything kept until then.
    fn halt(&self, error: Error, by: Writer) {
        {
            let mut state = lock(&self.state);
            let is_full = matches!(error, Error::DiskFull(_)) && self.files.is_patient();
            if !is_full || state.phase != Phase::Writing {
                drop(state);
                return self.fail(error);
            }
            if state.gate.fill(by) {
                // Under the lock: that there is room again must not be told before.
                lock(&self.unsaid).push(DiskEvent::Full(error));
            }
        }
        self.tell();
    }

    /// Writes what could not be written before. Runs on the torrent's lane.
    fn retry(&self) {
        if !lock(&self.state).gate.try_again() {
            return;
        }
        self.settle_all();
        let written = {
            let mut assembly = lock(&self.assembly);
            self.with_held(&mut assembly, |assembly| assembly.write_hashed(&self.files))
        };
        if let Err(error) = written {
            self.halt(error, Writer::Lane);
        }
        let mut state = lock(&self.state);
        if state.phase == Phase::Writing && state.gate.tried() {
            lock(&self.unsaid).push(DiskEvent::Room);
        }
    }

    /// The same with all that can be hashed.
    fn settle_all(&self) {
        lock(&self.assembly).set_all_due();
        self.settle();
    }

    /// Writes what is held, and lets go of what is kept, when that is too much.
    fn relieve(&self, assembly: &mut Assembly) -> Result<(), Error> {
        if self.holds_too_much(assembly) {
            let target = assembly.held() / 2;
            assembly.write_out(&self.files, target)?;
        }
        if self.keeps_too_much(assembly) {
            assembly.let_go(assembly.kept() / 2);
        }
        Ok(())
    }

    /// Whether too much is in memory alone. To be asked within [`with_held`](Self::with_held): the pool's sum is without this
    /// torrent's own there.
    fn holds_too_much(&self, assembly: &Assembly) -> bool {
        assembly.held() > self.pool.settings.held_per_torrent || self.is_too_much_for_all(assembly)
    }

    /// Whether too much is in memory though it is written; likewise.
    fn keeps_too_much(&self, assembly: &Assembly) -> bool {
        assembly.kept() > self.pool.settings.kept_per_torrent || self.is_too_much_for_all(assembly)
    }

    fn is_too_much_for_all(&self, assembly: &Assembly) -> bool {
        let others = self.pool.held.load(Ordering::Relaxed);
        others + assembly.in_memory() > self.pool.settings.held_per_pool
    }

    /// Lets `work` change how much is held, and keeps the pool's sum right.
    pub(crate) fn with_held<T>(&self, assembly: &mut Assembly, work: impl FnOnce(&mut Assembly) -> T) -> T {
        self.pool.held.fetch_sub(assembly.in_memory(), Ordering::Relaxed);
        let result = work(assembly);
        self.pool.held.fetch_add(assembly.in_memory(), Ordering::Relaxed);
        result
    }

    /// Stops all writing; told once. What is written of unfinished pieces can still go into a snapshot.
    pub(crate) fn fail(&self, error: Error) {
        {
            let mut assembly = lock(&self.assembly);
            self.with_held(&mut assembly, Assembly::drop_held);
            let mut state = lock(&self.state);
            if matches!(state.phase, Phase::Failed(_) | Phase::Closed) {
                return;
            }
            state.stop(Phase::Failed(error.clone()));
        }
        lock(&self.unsaid).push(DiskEvent::Failed(error));
        self.tell();
    }
}

/// Bytes out.
impl Inner {
    /// The present epoch, if `range` may be read.
    fn must_be_readable(&self, range: BlockRange) -> Result<u64, Error> {
        let lengths = self.files.layout.lengths();
        let state = lock(&self.state);
        if state.phase == Phase::Closed {
            return Err(Error::Closed);
        }
        let whole = lengths.block_range(range.piece.get(), range.offset, range.len);
        let readable = whole.is_some() && self.is_readable(range.piece, &state);
        if readable {
            Ok(self.epoch.load(Ordering::Relaxed))
        } else {
            Err(Error::NotVerified(range.piece.get()))
        }
    }

    fn read_run(&self, key: RunKey) -> Result<Bytes, Error> {
        let cached = lock(&self.pool.runs).get(&key);
        if let Some(bytes) = cached {
            return Ok(bytes); // another reader was faster
        }
        let start = key.run * READ_RUN;
        let len = READ_RUN.min(self.files.layout.lengths().piece_len(key.piece) - start);
        let room = self.pool.room_for_run(len as usize);
        let bytes = self.read_into(key.piece, start, room)?;
        let gone = lock(&self.pool.runs).insert(key, bytes.clone());
        gone.into_iter().for_each(|gone| self.pool.recycle(gone));
        Ok(bytes)
    }

    fn read(&self, piece: PieceIndex, offset: u32, len: usize) -> Result<Bytes, Error> {
        self.read_into(piece, offset, vec![0; len])
    }

    fn read_into(&self, piece: PieceIndex, offset: u32, mut room: Vec<u8>) -> Result<Bytes, Error> {
        let read = self.files.read(piece, offset, self.files.place(piece), &mut room);
        if let Err(error) = read {
            if !error.will_pass() {
                self.lose(piece, &error);
            }
            return Err(error);
        }
        // What was read while it was lost may be anything.
        if self.is_readable(piece, &lock(&self.state)) {
            Ok(Bytes::from(room))
        } else {
            Err(Error::NotVerified(piece.get()))
        }
    }

    pub(crate) fn is_readable(&self, piece: PieceIndex, state: &State) -> bool {
        state.verified.contains(piece) && !self.files.is_cut(piece)
    }

    /// A verified piece cannot be read any more, for this reason: it is not ours, and its blocks may be written again. The
    /// same goes for all others that it shows to be gone.
    pub(crate) fn lose(&self, piece: PieceIndex, error: &Error) {
        let is_gone = matches!(error, Error::Gone(_));
        let away = match self.files.is_away(error) {
            true => Some(error.clone()),
            false => is_gone.then(|| self.files.away()).flatten(),
        };
        if let Some(error) = away {
            // Nothing of it is lost.
            return self.fail(error);
        }
        {
            let mut assembly = lock(&self.assembly);
            self.files.look_around(piece, error);
            let mut state = lock(&self.state);
            if state.phase == Phase::Closed {
                return;
            }
            self.lose_cut(&mut assembly, &mut state);
            if state.verified.contains(piece) {
                state.take_back(piece);
                self.note_lost(&[piece]);
            }
        }
        self.tell();
    }

    /// Takes back, and will tell, which pieces turned out to be cut off.
    fn lose_cut(&self, assembly: &mut Assembly, state: &mut State) {
        self.note_lost(&self.take_back_cut(assembly, state));
    }

    /// Takes back the pieces that turned out to be cut off; returns those that were verified.
    fn take_back_cut(&self, assembly: &mut Assembly, state: &mut State) -> Vec<PieceIndex> {
        let cut = self.files.take_cut();
        self.with_held(assembly, |assembly| cut.iter().for_each(|&piece| assembly.doubt(piece)));
        let lost: Vec<_> = cut.into_iter().filter(|&piece| state.verified.contains(piece)).collect();
        lost.iter().for_each(|&piece| state.take_back(piece));
        lost
    }

    /// Pieces are verified no longer. To be called under the lock under which that was done: no block that comes for them
    /// is told of before.
    pub(crate) fn note_lost(&self, lost: &[PieceIndex]) {
        if !lost.is_empty() {
            lock(&self.unsaid).extend(lost.iter().map(|&piece| DiskEvent::PieceLost { piece }));
            self.next_epoch();
        }
    }

    /// Some piece that could be read can be no longer: what was read before is not used again.
    pub(crate) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.forget_runs();
    }

    fn forget_runs(&self) {
        let gone = lock(&self.pool.runs).remove_if(|key| key.torrent == self.id);
        drop(gone);
    }
}

/// Durable.
impl Inner {
    pub(crate) fn sync(&self) -> Result<Snapshot, SyncError> {
        let _one_at_a_time = lock(&self.syncing);
        let (pieces, partial) = {
            let mut assembly = lock(&self.assembly);
            let written = self.with_held(&mut assembly, |assembly| assembly.write_hashed(&self.files));
            if let Err(error) = written {
                drop(assembly);
                // Pieces that are complete are not concerned: go on with them.
                self.halt(error, Writer::Sync);
                assembly = lock(&self.assembly);
            }
            // What waits for blocks that may be long in coming leaves the memory to other torrents.
            self.with_held(&mut assembly, |assembly| assembly.let_go(0));
            let mut state = lock(&self.state);
            self.lose_cut(&mut assembly, &mut state);
            state.begin_sync();
            (state.verified.clone(), assembly.written())
        };
        self.tell();
        if let Err(error) = self.files.sync() {
            self.fail(error.clone());
            return Err(self.not_synced(error));
        }
        lock(&self.state).gate.end_sync();
        let files = &self.files;
        Ok(Snapshot { pieces, partial, ours: files.ours(), files: files.entries.stamps() })
    }

    /// Takes back what no sync has covered.
    fn not_synced(&self, error: Error) -> SyncError {
        self.with_held(&mut lock(&self.assembly), Assembly::clear);
        let not_durable = lock(&self.state).take_unsynced();
        self.next_epoch();
        SyncError { error, not_durable }
    }

    fn stop_taking(&self) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Reading | Phase::Writing) {
            state.phase = Phase::Closing;
            state.gate.empty();
        }
    }

    /// Writes everything that is held. Runs on the torrent's lane.
    fn flush(&self) {
        self.settle_all();
        let mut assembly = lock(&self.assembly);
        if !self.may_take() {
            return;
        }
        let written = self.with_held(&mut assembly, |assembly| assembly.write_out(&self.files, 0));
        self.lose_cut(&mut assembly, &mut lock(&self.state));
        drop(assembly);
        if let Err(error) = written {
            self.fail(error);
        }
    }

    fn close(&self) -> Result<Snapshot, SyncError> {
        let synced = self.sync();
        let mut assembly = lock(&self.assembly);
        self.with_held(&mut assembly, Assembly::clear);
        lock(&self.state).stop(Phase::Closed);
        drop(assembly);
        self.files.close();
        self.forget_runs();
        synced
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pool.held.fetch_sub(lock(&self.assembly).in_memory(), Ordering::Relaxed);
        self.files.close();
        self.forget_runs();
    }
}

/// A block that was claimed and is not queued yet.
struct Claim<'a> {
    inner: &'a Inner,
    piece: PieceIndex,
    block: u32,
    kept: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            lock(&self.inner.state).release(self.piece, self.block);
        }
    }
}
