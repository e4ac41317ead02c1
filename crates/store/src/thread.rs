//! The thread that owns the database.

use crate::base::{Base, Refusal, reason};
use crate::database::{self, Survive};
use crate::limits::{COMMIT_DEADLINE, MAX_GROUP, MAX_KEY, MAX_QUEUED, MAX_VALUE};
use crate::open::{Opened, open};
use crate::{Change, CommitError, Loaded, OpenError, Table};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::{mpsc, oneshot};

/// An open store. Its methods are for tokio's runtimes. After it is dropped, what was asked for is still written, as long
/// as the process lives; [`close`](Store::close) waits for that.
#[derive(Debug)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    /// Ends with the thread.
    ended: oneshot::Receiver<()>,
}

type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

enum Request {
    Commit(Commit),
    Load(Table, Answer<Loaded>),
    Get(Table, Vec<u8>, Answer<Option<Vec<u8>>>),
}

impl Store {
    /// Opens the store of a folder, or makes one; the folder is this process's own until it is dropped.
    ///
    /// # Errors
    /// [`OpenError`]. Damage is no error: see [`Opened`].
    pub fn open(dir: &Path) -> Result<(Store, Opened), OpenError> {
        Store::open_and_load(dir, &[])
    }

    /// The same; what these tables hold comes along in [`Opened::tables`], since every row is looked at anyway.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn open_and_load(dir: &Path, tables: &[Table]) -> Result<(Store, Opened), OpenError> {
        let (lock, database, opened) = open(dir, tables)?;
        let (requests, queue) = mpsc::channel(MAX_QUEUED);
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("rawtorrent-store".into());
        let base = Base::new(dir.to_owned(), database);
        let started = thread.spawn(move || {
            run(base, queue);
            // Last: whoever takes it finds the database closed.
            drop(lock);
            drop(end);
        });
        started.map_err(|err| OpenError::Io { path: dir.into(), reason: err.to_string() })?;
        Ok((Store { requests, ended }, opened))
    }

    /// Waits until all that was asked for is written and the folder is free for another store, ten seconds at most.
    pub async fn close(self) {
        let Store { requests, ended } = self;
        drop(requests);
        let _ = tokio::time::timeout(COMMIT_DEADLINE, ended).await;
    }

    /// Writes all changes or none; they are durable when this returns `Ok`. Those of several calls that wait at the same
    /// time are written in the order of the calls. If it is not waited for, it is written all the same. One that does not
    /// begin in time is given up and never made; one that has begun is waited for, however long the disk takes.
    ///
    /// # Errors
    /// [`CommitError`]: nothing is changed then, now or later.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.write(changes, Survive::System).await
    }

    /// The same at next to no cost: it is not synced. It survives the end of the process, and that of the system only
    /// together with a later [`commit`](Store::commit).
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn note(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.write(changes, Survive::Process).await
    }

    async fn write(&self, changes: Vec<Change>, survive: Survive) -> Result<(), CommitError> {
        let fits = |change: &Change| {
            change.key.len() <= MAX_KEY && change.value.as_ref().is_none_or(|value| value.len() <= MAX_VALUE)
        };
        if !changes.iter().all(fits) {
            return Err(CommitError::TooLarge);
        }
        let claim = Claim::default();
        let request = |answer| Request::Commit(Commit { changes, survive, answer, claim: claim.clone() });
        let mut answer = self.send(request)?;
        match tokio::time::timeout(COMMIT_DEADLINE, &mut answer).await {
            Ok(answer) => answer.unwrap_or(Err(CommitError::Closed)),
            Err(_) if claim.give_up() => Err(CommitError::NoAnswer),
            // What will have come to pass is not known before.
            Err(_) => answer.await.unwrap_or(Err(CommitError::Closed)),
        }
    }

    /// All that a table holds.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn load(&self, table: Table) -> Result<Loaded, CommitError> {
        self.ask(|answer| Request::Load(table, answer)).await
    }

    /// One value; `None` if there is none, or if it is not what was written.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, CommitError> {
        let key = key.to_vec();
        self.ask(|answer| Request::Get(table, key, answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, CommitError> {
        let answer = self.send(request)?;
        match tokio::time::timeout(COMMIT_DEADLINE, answer).await {
            Ok(answer) => answer.unwrap_or(Err(CommitError::Closed)),
            Err(_) => Err(CommitError::NoAnswer),
        }
    }

    fn send<T>(
        &self,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<oneshot::Receiver<Result<T, CommitError>>, CommitError> {
        let (sender, answer) = oneshot::channel();
        self.requests.try_send(request(sender)).map_err(|err| match err {
            mpsc::error::TrySendError::Full(_) => CommitError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommitError::Closed,
        })?;
        Ok(answer)
    }
}

/// Who has a commit: the queue, until either the thread begins it or whoever asked for it gives it up.
#[derive(Clone, Debug, Default)]
struct Claim(Arc<AtomicU8>);

impl Claim {
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn begin(&self) -> bool {
        self.take(Claim::BEGUN)
    }

    fn give_up(&self) -> bool {
        self.take(Claim::GIVEN_UP)
    }

    fn take(&self, by: u8) -> bool {
        self.0.compare_exchange(0, by, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Serves until nobody can ask any more.
fn run(mut base: Base, mut queue: mpsc::Receiver<Request>) {
    let mut next = queue.blocking_recv();
    while let Some(request) = next {
        next = None;
        match request {
            Request::Load(table, answer) => {
                let read = |connection| database::read(connection, table).map_err(|err| reason(&err));
                let _ = answer.send(base.connection().and_then(read));
            }
            Request::Get(table, key, answer) => {
                let get = |connection| database::get(connection, table, &key).map_err(|err| reason(&err));
                let _ = answer.send(base.connection().and_then(get));
            }
            Request::Commit(first) => {
                let group;
                (group, next) = gather(first, &mut queue);
                let group = group.into_iter().filter(|commit| commit.claim.begin()).collect();
                commit(&mut base, group);
            }
        }
        if next.is_none() {
            next = queue.blocking_recv();
        }
    }
}

struct Commit {
    changes: Vec<Change>,
    survive: Survive,
    answer: Answer<()>,
    claim: Claim,
}

/// The commits that wait, up to a group, and what waits behind them if it is none.
fn gather(first: Commit, queue: &mut mpsc::Receiver<Request>) -> (Vec<Commit>, Option<Request>) {
    let mut group = vec![first];
    while group.len() < MAX_GROUP {
        match queue.try_recv() {
            Ok(Request::Commit(commit)) => group.push(commit),
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// Makes a group durable at once; if that fails, each by itself, so that nobody fails for another's sake. What the disk fails
/// is not tried again.
fn commit(base: &mut Base, group: Vec<Commit>) {
    if group.len() > 1 {
        let all_noted = group.iter().all(|commit| commit.survive == Survive::Process);
        let survive = if all_noted { Survive::Process } else { Survive::System };
        let all = match base.write(survive, group.iter().flat_map(|commit| &commit.changes)) {
            Ok(()) => Some(Ok(())),
            Err(Refusal::ByDisk(error)) => Some(Err(error)),
            Err(Refusal::ByItself(_)) => None,
        };
        if let Some(all) = all {
            group.into_iter().for_each(|commit| drop(commit.answer.send(all.clone())));
            return;
        }
    }
    for Commit { changes, survive, answer, .. } in group {
        let written = base.write(survive, changes.iter());
        let _ = answer.send(written.map_err(|(Refusal::ByDisk(error) | Refusal::ByItself(error))| error));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn commits_that_wait_are_gathered_up_to_a_group() {
        let (sender, mut queue) = mpsc::channel(MAX_QUEUED);
        let commit = || Commit {
            changes: Vec::new(),
            survive: Survive::System,
            answer: oneshot::channel().0,
            claim: Claim::default(),
        };
        let send = |commit: Commit| sender.try_send(Request::Commit(commit)).ok().unwrap();
        (0..MAX_GROUP + 3).for_each(|_| send(commit()));
        sender.try_send(Request::Load(Table::Session, oneshot::channel().0)).ok().unwrap();
        send(commit());
        let (group, behind) = gather(commit(), &mut queue);
        assert_eq!((group.len(), behind.is_none()), (MAX_GROUP, true));
        let (group, behind) = gather(commit(), &mut queue);
        assert_eq!(group.len(), 5);
        assert!(matches!(behind, Some(Request::Load(Table::Session, _))), "in the order of the calls");
        assert_eq!(gather(commit(), &mut queue).0.len(), 2);
    }

    /// A store whose thread has not begun yet.
    fn unserved() -> (Store, mpsc::Receiver<Request>) {
        let (requests, queue) = mpsc::channel(MAX_QUEUED);
        (Store { requests, ended: oneshot::channel().1 }, queue)
    }

    fn put() -> Vec<Change> {
        vec![Change::put(Table::Session, *b"key", *b"value")]
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_was_given_up_is_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let (_lock, database, _) = open(dir.path(), &[]).unwrap();
        let base = Base::new(dir.path().into(), database);
        let (store, queue) = unserved();
        let asked = tokio::time::Instant::now();
        assert_eq!(store.commit(put()).await, Err(CommitError::NoAnswer));
        assert_eq!(asked.elapsed(), COMMIT_DEADLINE);
        drop(store);
        tokio::task::spawn_blocking(move || run(base, queue)).await.unwrap();
        let after = database::connect(&dir.path().join("session.db")).unwrap();
        assert_eq!(database::get(&after, Table::Session, b"key").unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_has_begun_is_waited_for() {
        let (store, mut queue) = unserved();
        let slow = async {
            let Some(Request::Commit(commit)) = queue.recv().await else { panic!("no commit") };
            assert!(commit.claim.begin());
            tokio::time::sleep(COMMIT_DEADLINE * 3).await;
            commit.answer.send(Ok(())).unwrap();
        };
        assert_eq!(tokio::join!(store.commit(put()), slow).0, Ok(()));
    }
}
