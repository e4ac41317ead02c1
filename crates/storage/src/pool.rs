//! The threads that touch disks, and what they share.
//!
//! Three kinds, so that none waits for another: *lanes* write (every torrent stays with one, which is why its
//! pieces can be hashed in order of arrival), *readers* read for upload, *workers* do what takes long: checks and syncs.
//! Every device has its own.

use crate::devices::{Devices, Queues, device_of};
use crate::handles::Handles;
use crate::lru::Lru;
use crate::os::Os;
use crate::torrent::Inner;
use crate::{DiskEvent, Error, limits};
use async_channel::{Receiver, RecvError, Sender};
use bytes::Bytes;
use std::convert::Infallible;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use types::{BlockRange, PieceIndex};

/// How many threads and how much memory a pool may use.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// For each device: threads that write (each torrent stays with one), and as many that read for upload, and as many
    /// that check.
    pub threads: usize,
    /// See [`limits::LANE_QUEUE`].
    pub lane_queue: usize,
    /// See [`limits::HELD_PER_TORRENT`].
    pub held_per_torrent: usize,
    /// See [`limits::KEPT_PER_TORRENT`].
    pub kept_per_torrent: usize,
    /// See [`limits::HELD_PER_POOL`].
    pub held_per_pool: usize,
    /// See [`limits::OPEN_FILES`].
    pub open_files: usize,
    /// See [`limits::READ_CACHE_RUNS`].
    pub read_cache_runs: usize,
}

impl Default for PoolSettings {
    /// Two threads of each kind, and the bounds of [`limits`].
    fn default() -> PoolSettings {
        PoolSettings {
            threads: 2,
            lane_queue: limits::LANE_QUEUE,
            held_per_torrent: limits::HELD_PER_TORRENT,
            kept_per_torrent: limits::KEPT_PER_TORRENT,
            held_per_pool: limits::HELD_PER_POOL,
            open_files: limits::OPEN_FILES,
            read_cache_runs: limits::READ_CACHE_RUNS,
        }
    }
}

/// The threads that touch disks. Cheap to clone; they end when the last clone and the last torrent are gone.
#[derive(Clone)]
pub struct DiskPool {
    pub(crate) shared: Arc<Shared>,
}

/// What torrents need of their pool.
pub(crate) struct Shared {
    pub(crate) settings: PoolSettings,
    pub(crate) os: Os,
    pub(crate) handles: Handles,
    /// Runs read for upload.
    pub(crate) runs: Mutex<Lru<RunKey, Bytes>>,
    /// Memory of runs that went.
    spare_runs: Mutex<Vec<Vec<u8>>>,
    /// Bytes of blocks held in memory, over all torrents.
    pub(crate) held: AtomicUsize,
    pub(crate) devices: Devices,
    next_torrent: AtomicU64,
    ended: Receiver<Infallible>,
}

/// A run of [`limits::READ_RUN`] bytes, by its number within its piece. The epoch is the torrent's: it moves
/// on when a piece that was verified is so no longer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) torrent: u64,
    pub(crate) epoch: u64,
    pub(crate) piece: PieceIndex,
    pub(crate) run: u32,
}

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// What a lane does. A block is not boxed: it is the one job that comes by the thousand.
pub(crate) enum LaneJob {
    Block { torrent: Arc<Inner>, range: BlockRange, block: u32, data: Bytes, untold: Option<DiskEvent> },
    Run(Job),
}

impl LaneJob {
    /// Tells the torrent that took a block, if one did, and whether it has something to be hashed before long.
    fn run(self) -> Option<(Arc<Inner>, bool)> {
        match self {
            LaneJob::Block { torrent, range, block, data, untold } => {
                let due = torrent.take_block(range, block, data, untold);
                Some((torrent, due))
            }
            LaneJob::Run(job) => {
                job();
                None
            }
        }
    }
}

impl DiskPool {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`Error::Threads`] if the system has no more.
    pub fn new(settings: PoolSettings) -> Result<DiskPool, Error> {
        DiskPool::with_os(settings, Os::default())
    }

    pub(crate) fn with_os(settings: PoolSettings, os: Os) -> Result<DiskPool, Error> {
        let threads = settings.threads.max(1);
        let (alive, ended) = async_channel::bounded(1);
        let devices = Devices::new(threads, settings.lane_queue.max(1), alive)?;
        let shared = Shared {
            settings,
            os,
            handles: Handles::new(settings.open_files),
            runs: Mutex::new(Lru::new(settings.read_cache_runs)),
            spare_runs: Mutex::default(),
            held: AtomicUsize::new(0),
            devices,
            next_torrent: AtomicU64::new(0),
            ended,
        };
        Ok(DiskPool { shared: Arc::new(shared) })
    }

    /// Gives up this handle and waits until all threads have ended, which needs every other clone and every
    /// torrent of the pool to be dropped, and every disk to answer: put a deadline on it.
    pub async fn ended(self) {
        let ended = self.shared.ended.clone();
        drop(self);
        // Nothing is ever sent: this is the moment when the last thread drops its end.
        let _ = ended.recv().await;
    }
}

impl Shared {
    /// Room to read a run of so many bytes into, whatever is in it.
    pub(crate) fn room_for_run(&self, len: usize) -> Vec<u8> {
        let spare = lock(&self.spare_runs).pop();
        let mut room = spare.unwrap_or_else(|| Vec::with_capacity(limits::READ_RUN as usize));
        room.resize(len, 0);
        room
    }

    /// Keeps the memory of a run that went, if nobody else has it: new memory costs more than to read into it.
    pub(crate) fn recycle(&self, run: Bytes) {
        let Ok(run) = run.try_into_mut() else { return };
        let mut spare = lock(&self.spare_runs);
        if spare.len() < limits::SPARE_RUNS {
            spare.push(run.into());
        }
    }

    /// A number for a new torrent whose files lie at `path`, and where its work goes from now on.
    pub(crate) fn assign(&self, path: &Path) -> (u64, Queues) {
        (self.next_torrent.fetch_add(1, Ordering::Relaxed), self.devices.assign(device_of(path)))
    }

    pub(crate) fn worker_count(&self) -> usize {
        self.settings.threads.max(1)
    }
}

/// Does `work` on a thread that takes its jobs from `queue`.
pub(crate) async fn run_on<T: Send + 'static>(
    queue: &Sender<Job>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let (reply, answer) = async_channel::bounded(1);
    let job = move || {
        // Nobody waits any more if the caller's future was dropped.
        let _ = reply.try_send(work());
    };
    queue.send(Box::new(job)).await.map_err(|_| Error::Closed)?;
    answer.recv().await.map_err(|_| Error::Closed)
}

pub(crate) fn start(
    name: String,
    alive: &Sender<Infallible>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), Error> {
    let alive = alive.clone();
    let work = move || {
        run();
        drop(alive);
    };
    match std::thread::Builder::new().name(name).spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Threads(error.to_string())),
    }
}

pub(crate) fn run_lane(jobs: &Receiver<LaneJob>) {
    // Several blocks are taken at once, so that writers who wait for room wake up for more than one.
    let mut taken = Vec::with_capacity(limits::LANE_BATCH);
    // Torrents that took blocks.
    let mut told: Vec<Arc<Inner>> = Vec::new();
    // Torrents that have something to be hashed, and since when.
    let mut due: Vec<Arc<Inner>> = Vec::new();
    let mut since = Instant::now();
    let mut woken = Instant::now();
    loop {
        if jobs.is_empty() && woken.elapsed() < limits::LANE_NAP {
            std::thread::sleep(limits::LANE_NAP);
        }
        let next = if due.is_empty() {
            jobs.recv_blocking().map(Some)
        } else {
            let is_long = woken.elapsed() >= limits::HASH_LAST_PAUSE;
            let pause = if is_long { limits::HASH_PAUSE } else { limits::HASH_LAST_PAUSE };
            receive_until(jobs, (since + limits::HASH_DELAY).min(woken + pause))
        };
        let Ok(next) = next else { break };
        if let Some(first) = next {
            woken = Instant::now();
            taken.push(first);
            taken.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(limits::LANE_BATCH - 1));
            for (torrent, is_due) in taken.drain(..).filter_map(LaneJob::run) {
                if is_due && due.is_empty() {
                    since = Instant::now();
                }
                if is_due {
                    note(&mut due, &torrent);
                }
                note(&mut told, &torrent);
            }
            told.drain(..).for_each(|torrent| torrent.tell());
        }
        if since.elapsed() >= limits::HASH_DELAY || is_pause(&due, woken.elapsed()) {
            due.drain(..).for_each(|torrent| torrent.settle());
        }
    }
    due.drain(..).for_each(|torrent| torrent.settle());
}

/// Whether no block has come for so long that what is due is hashed.
fn is_pause(due: &[Arc<Inner>], rest: Duration) -> bool {
    let awaits_blocks = || due.iter().any(|torrent| torrent.awaits_blocks());
    rest >= limits::HASH_PAUSE || rest >= limits::HASH_LAST_PAUSE && !awaits_blocks()
}

fn note(torrents: &mut Vec<Arc<Inner>>, torrent: &Arc<Inner>) {
    if !torrents.iter().any(|known| Arc::ptr_eq(known, torrent)) {
        torrents.push(torrent.clone());
    }
}

/// The next job; `None` if there is none until then.
fn receive_until<T>(jobs: &Receiver<T>, deadline: Instant) -> Result<Option<T>, RecvError> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut receive = pin!(jobs.recv());
    loop {
        if let Poll::Ready(received) = receive.as_mut().poll(&mut Context::from_waker(&waker)) {
            return received.map(Some);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::park_timeout(left);
    }
}

/// Locks a mutex; a thread that panicked while it held it has left plain data behind, which is still good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_so_many_runs_that_went_is_kept() {
        let pool = DiskPool::new(PoolSettings::default()).unwrap();
        let spare = || lock(&pool.shared.spare_runs).len();
        for n in 1..=limits::SPARE_RUNS {
            pool.shared.recycle(Bytes::from(vec![0; 9]));
            assert_eq!(spare(), n);
        }
        pool.shared.recycle(Bytes::from(vec![0; 9]));
        assert_eq!(spare(), limits::SPARE_RUNS);
    }
}
