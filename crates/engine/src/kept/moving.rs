//! A torrent's files go to another folder.
//!
//! The store says so before anything is touched, and where they lie changes in one commit, when all of them are durable in
//! the new place: whatever ends the process, the next one goes on, or has them where they were.

use super::complete;
use super::mounts::must_be_mounted;
use super::record::{Move, Record, Target};
use super::removal::Stayed;
use super::{Choices, KeptTorrent, Room, Running, Session, key};
use crate::driver::blocking;
use crate::resume::{self, mount_of};
use crate::{Error, Metainfo, TorrentState, TorrentStats};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::{FileStamp, Layout, Relocation, Side};
use store::{Change, Table};
use tokio::sync::{oneshot, watch};
use types::InfoHash;

type Stamps = Vec<Option<FileStamp>>;

/// Files that are on their way, as whoever holds the torrent sees them.
#[derive(Debug)]
pub(super) struct Moving {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    copied: Arc<AtomicU64>,
    total: u64,
    /// The torrent's numbers, before.
    before: TorrentStats,
}

/// The same, as seen by what moves them.
struct Work {
    info_hash: InfoHash,
    record: Record,
    moving: Move,
    metainfo: Arc<Metainfo>,
    copied: Arc<AtomicU64>,
    stop: watch::Receiver<bool>,
}

/// How files came to where they go.
#[derive(Debug)]
enum Came {
    Renamed,
    /// What they look like there.
    Copied(Stamps),
}

/// Files that are on their way, or have arrived. If nobody waits for them, they go all the same.
#[derive(Debug)]
pub struct OnTheWay(oneshot::Receiver<Result<Option<Stayed>, Error>>);

impl OnTheWay {
    /// Waits until they are where they are to be; says which are where they were too, since they cannot be removed.
    ///
    /// # Errors
    /// Those of [`Session::move_to`].
    pub async fn arrived(self) -> Result<Option<Stayed>, Error> {
        self.0.await.unwrap_or(Err(Error::ShutDown))
    }
}

impl Session {
    /// Has a torrent's files go to another folder: those that are known to be the torrent's. A torrent that runs rests
    /// meanwhile ([`TorrentState::Moving`]) and goes on from there; nothing of it is checked again. On one file system files
    /// are renamed; to another they are copied, made durable, and removed where they were when the new place holds. When
    /// this returns, all of that is done; if it is not waited for, or the process ends, it goes on, or does so at the next
    /// [`open`](Session::open). Files that cannot be removed where they were keep nothing from that: they are returned, with
    /// those that earlier moves left, and tried again when it moves again or is removed, and at the next `open`.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`]; [`Error::Refused`] if another torrent of the session has one of the files too,
    /// or they are on their way, unless that is to a disk that is gone, or earlier moves left files in 8 folders;
    /// [`Error::Disk`], among others if something stands where a file goes, or there is no room. The torrent stays where it was
    /// then, as it was.
    pub async fn move_to(
        &self,
        info_hash: InfoHash,
        dir: impl Into<PathBuf>,
    ) -> Result<Option<Stayed>, Error> {
        self.begin_move(info_hash, dir).await?.arrived().await
    }

    /// The same, but it returns when they set out: what is asked of the torrent from then on finds it on its way.
    ///
    /// # Errors
    /// Those of [`move_to`](Self::move_to).
    pub async fn begin_move(&self, info_hash: InfoHash, dir: impl Into<PathBuf>) -> Result<OnTheWay, Error> {
        let dir = dir.into();
        self.relocate(info_hash, move |kept| {
            Ok(Target { dir, dir_when_complete: None, ..Target::of(&kept.record.choices) })
        })
        .await
    }

    /// Gives a file of a torrent, or a folder with all that is in it, another path below [`Choices::dir`](crate::Choices);
    /// both are written with `/`. It is done like a [move](Session::move_to), and its errors are the same.
    ///
    /// # Errors
    /// Also [`Error::Refused`] if there is nothing of that path, or the new one is not fit for a file system.
    pub async fn rename(&self, info_hash: InfoHash, path: &str, to: &str) -> Result<(), Error> {
        self.begin_rename(info_hash, path, to).await?.arrived().await.map(drop)
    }

    /// The same, but it returns when they set out.
    ///
    /// # Errors
    /// Those of [`rename`](Self::rename).
    pub async fn begin_rename(&self, info_hash: InfoHash, path: &str, to: &str) -> Result<OnTheWay, Error> {
        let (path, to) = (path.to_owned(), to.to_owned());
        self.relocate(info_hash, move |kept| {
            let Some(metainfo) = kept.what.metainfo() else {
                return Err(Error::Refused("the torrent's files are not known yet".into()));
            };
            let choices = &kept.record.choices;
            let names = complete::renamed(metainfo, choices, &path, &to)?;
            Ok(Target { names, ..Target::of(choices) })
        })
        .await
    }

    /// Has a torrent's files be where `target` says.
    async fn relocate(
        &self,
        info_hash: InfoHash,
        target: impl FnOnce(&KeptTorrent) -> Result<Target, Error> + Send + 'static,
    ) -> Result<OnTheWay, Error> {
        let room = self.room.clone();
        let work = async move {
            let (tell, told) = oneshot::channel();
            let mut held = room.hold(info_hash).await?;
            let kept = held.kept.as_mut().ok_or(Error::NotHere(info_hash))?;
            let target = target(kept)?;
            room.begin_moving(info_hash, kept, target, Some(tell)).await?;
            Ok(OnTheWay(told))
        };
        self.engine.on_runtime(work).await
    }
}

impl Room {
    /// Has it set out; what comes of that is told.
    pub(super) async fn begin_moving(
        self: &Arc<Self>,
        info_hash: InfoHash,
        kept: &mut KeptTorrent,
        target: Target,
        tell: Option<oneshot::Sender<Result<Option<Stayed>, Error>>>,
    ) -> Result<(), Error> {
        let mut record = kept.record.clone();
        target.clone().put_into(&mut record.choices);
        record.choices.check(kept.what.metainfo())?;
        self.call_off(info_hash, kept).await?;
        // What is left there may be in its way.
        let stayed = self.clean(kept).await;
        record.moving.clone_from(&kept.record.moving);
        record.left_behind.clone_from(&kept.record.left_behind);
        let before = &kept.record.choices;
        let stays = same_folder(&before.dir, &target.dir) && before.names == target.names;
        let Some(metainfo) = kept.what.metainfo().cloned().filter(|_| !stays) else {
            if before.dir != record.choices.dir {
                record.mount = self.mount_among_known(&record.choices.dir, None).await;
                must_be_mounted(record.mount.clone()).await?;
            }
            self.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
            self.see_mounts(std::iter::once(&record));
            kept.record = record;
            kept.note = stayed.as_ref().map(Stayed::to_string);
            if let Running::Failed(_) = kept.running {
                kept.running = self.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed);
            }
            if let Some(tell) = tell {
                let _ = tell.send(Ok(stayed));
            }
            return Ok(());
        };
        record.may_leave_more_behind()?;
        let stats = kept.doing().1;
        std::mem::replace(&mut kept.running, Running::Paused).stop().await;
        let intended = self.intend(info_hash, kept, target, &metainfo).await;
        kept.note = stayed.as_ref().map(Stayed::to_string);
        kept.running = match &intended {
            Ok(moving) => self.go_on_moving(&kept.record, moving, &metainfo, stats, tell),
            Err(_) => self.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed),
        };
        intended.map(drop)
    }

    /// Files that are on their way to a disk that is gone need not go there, as long as all of them are where they come from.
    async fn call_off(&self, info_hash: InfoHash, kept: &mut KeptTorrent) -> Result<(), Error> {
        let Err(on_the_way) = kept.must_not_be_moving() else { return Ok(()) };
        let Some((moving, metainfo)) = kept.record.moving.as_ref().zip(kept.what.metainfo()) else {
            return Err(on_the_way);
        };
        // It may just be tried again.
        if let Err(away) = must_be_mounted(moving.mounts[1].clone()).await {
            std::mem::replace(&mut kept.running, Running::Failed(away)).stop().await;
        }
        if !matches!(kept.running, Running::Failed(_)) {
            return Err(on_the_way);
        }
        let (_stop, stopped) = watch::channel(false);
        let work = Work::new(&kept.record, moving, metainfo, stopped);
        let staged = moving.staged.clone();
        match work.on_files(self, move |files| files.undo(staged.as_deref())).await {
            Err(Error::Disk(storage::Error::Unavailable(_) | storage::Error::Gone(_))) => {
                work.on_files(self, Relocation::abandon).await.map_err(|_| on_the_way)?;
            }
            undone => undone?,
        }
        let record = Record { moving: None, ..kept.record.clone() };
        self.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
        kept.record = record;
        Ok(())
    }

    /// Keeps what is to be done.
    async fn intend(
        &self,
        info_hash: InfoHash,
        kept: &mut KeptTorrent,
        target: Target,
        metainfo: &Arc<Metainfo>,
    ) -> Result<Move, Error> {
        let place = self.resume_place(info_hash, &kept.record.choices.dir).await?;
        let progress = place.load(metainfo.lengths(), metainfo.files().len()).await?;
        let (ours, had_files) =
            progress.as_ref().map_or((Vec::new(), false), |p| (p.disk.ours.clone(), p.had_files()));
        let from = kept.record.choices.dir.clone();
        let layouts = [
            Layout::new(metainfo.clone())?.renamed(&kept.record.choices.names)?,
            Layout::new(metainfo.clone())?.renamed(&target.names)?,
        ];
        let (pool, to) = (self.shared.disk.clone(), target.dir.clone());
        let goes = |file| layouts[0].path_under(&from, file) != layouts[1].path_under(&to, file);
        let to_go = ours.iter().enumerate().map(|(file, &is_ours)| is_ours && goes(file)).collect();
        self.must_be_its_alone(info_hash, from.clone(), layouts[0].clone(), to_go).await?;
        let remembered = progress.and_then(|progress| progress.mount);
        let is_kept = kept.record.choices.dir_when_complete.as_ref() == Some(&to);
        let known = kept.record.mount_when_complete.clone().filter(|_| is_kept);
        let to_mount = self.mount_among_known(&to, known).await;
        let plan = move || {
            let mounts = [mount_of(&from, remembered), to_mount];
            if had_files && !storage::any_file(&from, mounts[0].clone(), &layouts[0])? {
                return Err(Error::Disk(storage::Error::Unavailable(from)));
            }
            let [old, new] = sides(&from, &to, &mounts, layouts);
            let stamps = Relocation::plan(&pool, old, new, &name(info_hash), &ours)?.stamps().to_vec();
            Ok((stamps, mounts))
        };
        let (stamps, mounts) = blocking(plan).await?;
        drop(place);
        let mut record = kept.record.clone();
        let moving = Move { target, mounts, stamps, staged: None };
        record.moving = Some(moving.clone());
        self.save(vec![Change::put(Table::Torrents, key(info_hash), record.encode())]).await?;
        kept.record = record;
        Ok(moving)
    }

    /// Does what is kept to be done, on a task of its own.
    pub(super) fn go_on_moving(
        self: &Arc<Self>,
        record: &Record,
        moving: &Move,
        metainfo: &Arc<Metainfo>,
        before: Option<TorrentStats>,
        tell: Option<oneshot::Sender<Result<Option<Stayed>, Error>>>,
    ) -> Running {
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = oneshot::channel();
        let copied = Arc::default();
        let total = moving.stamps.iter().flatten().map(|stamp| stamp.size).sum();
        let work = Work { copied: Arc::clone(&copied), ..Work::new(record, moving, metainfo, stopped) };
        let room = self.clone();
        self.shared.spawn(async move {
            let outcome = room.carry_over(work).await;
            let _ = end.send(());
            if let Some(tell) = tell {
                let _ = tell.send(outcome);
            }
        });
        Running::Moving(Moving { stop, ended, copied, total, before: before.unwrap_or_default() })
    }

    async fn carry_over(self: &Arc<Self>, work: Work) -> Result<Option<Stayed>, Error> {
        // No other process is to come into it.
        let place = self.resume_place(work.info_hash, &work.record.choices.dir).await;
        let (place, came) = match place {
            Ok(place) => (Some(place), self.bring(&work).await),
            Err(why) => (None, Err(why)),
        };
        // Whoever stops it holds the torrent, and waits.
        let held = tokio::select! {
            held = self.hold(work.info_hash) => Some(held?),
            () = work.stopped() => None,
        };
        let Some(mut held) = held else {
            drop(place);
            let staged = came.ok().and_then(Came::staged).or_else(|| work.moving.staged.clone());
            let undone = work.on_files(self, move |files| files.undo(staged.as_deref())).await;
            let why = match self.shared.is_closing() {
                true => Error::ShutDown,
                false => Error::Refused("the move was called off by another order".into()),
            };
            return undone.and(Err(why));
        };
        let Some(kept) = held.kept.as_mut() else { return Ok(None) };
        if self.shared.is_closing() && came.is_err() {
            // It goes on the next time.
            return Err(Error::ShutDown);
        }
        let switched = match (came, &place) {
            (Ok(came), Some(place)) => self.switch(&work, kept, place, came).await,
            (Ok(_), None) => Err((Error::ShutDown, None)),
            (Err(why), _) => Err((why, work.moving.staged.clone())),
        };
        drop(place);
        if switched.is_ok() && kept.record.choices.dir != work.record.choices.dir {
            let (state_dir, before) =
                (self.shared.settings.state_dir.clone(), work.record.choices.dir.clone());
            let info_hash = work.info_hash.wire();
            let erase = move || {
                resume::erase(&state_dir, info_hash, &before);
                Ok(())
            };
            // What is left there is of no use and does no harm.
            let _ = blocking(erase).await;
        }
        let outcome = match switched {
            Ok(()) => Ok(()),
            Err((why, staged)) => match work.on_files(self, move |files| files.undo(staged.as_deref())).await
            {
                Ok(()) => {
                    let record = Record { moving: None, ..kept.record.clone() };
                    let row = Change::put(Table::Torrents, key(work.info_hash), record.encode());
                    // If that cannot be kept, it is tried once more the next time.
                    let _ = self.save(vec![row]).await;
                    kept.record = record;
                    Err(why)
                }
                Err(stuck) => {
                    kept.running = Running::Failed(stuck);
                    kept.note = Some(work.failed(&why));
                    return Err(why);
                }
            },
        };
        kept.running = self.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed);
        match &outcome {
            Ok(()) => kept.unsettled = None,
            Err(why) if kept.settled(&work.metainfo) == work.moving.target => {
                kept.stays_unsettled(why.clone());
            }
            Err(_) => {}
        }
        let stayed = self.clean(kept).await;
        if let Err(why) = &outcome {
            kept.note = Some(work.failed(why));
        }
        outcome.map(|()| stayed)
    }

    /// Has the files be at the target, though copies not in their place yet.
    async fn bring(&self, work: &Work) -> Result<Came, Error> {
        if let Some(staged) = &work.moving.staged {
            return Ok(Came::Copied(staged.clone()));
        }
        if work.on_files(self, Relocation::rename).await? {
            return Ok(Came::Renamed);
        }
        work.on_files(self, |files| files.undo(None)).await?;
        let (halt, copied) = (Arc::new(AtomicBool::new(false)), work.copied.clone());
        let halted = halt.clone();
        let copy = work.on_files(self, move |files| files.copy(&halted, &copied));
        let mut copy = std::pin::pin!(copy);
        tokio::select! {
            done = &mut copy => return done.map(Came::Copied),
            () = work.stopped() => {}
            () = self.shared.closed() => {}
        }
        halt.store(true, Ordering::Relaxed);
        copy.await.map(Came::Copied)
    }

    /// Puts the files in place and has the torrent be there. If that fails, says what copies looked like.
    async fn switch(
        &self,
        work: &Work,
        kept: &mut KeptTorrent,
        place: &resume::Place,
        came: Came,
    ) -> Result<(), (Error, Option<Stamps>)> {
        let staged = came.staged();
        let switched = async {
            if let Some(staged) = staged.clone() {
                if work.moving.staged.is_none() {
                    let moving = Move { staged: Some(staged.clone()), ..work.moving.clone() };
                    let record = Record { moving: Some(moving), ..kept.record.clone() };
                    let row = Change::put(Table::Torrents, key(work.info_hash), record.encode());
                    self.save(vec![row]).await?;
                    kept.record = record;
                }
                work.on_files(self, move |files| files.place(&staged)).await?;
            }
            self.switch_rows(work, kept, place, staged.as_deref()).await
        };
        let switched: Result<(), Error> = switched.await;
        switched.map_err(|why| (why, staged))
    }

    async fn switch_rows(
        &self,
        work: &Work,
        kept: &mut KeptTorrent,
        before: &resume::Place,
        staged: Option<&[Option<FileStamp>]>,
    ) -> Result<(), Error> {
        let (metainfo, info_hash) = (&work.metainfo, work.info_hash);
        let progress = before.load(metainfo.lengths(), metainfo.files().len()).await?;
        let mut record = kept.record.clone();
        let old = Target::of(&record.choices);
        work.moving.target.clone().put_into(&mut record.choices);
        let is_elsewhere = old.dir != record.choices.dir;
        record.moving = None;
        if staged.is_some() {
            record.left_behind.push(Move { target: old, staged: None, ..work.moving.clone() });
        }
        record.mount = self.mount_of(&record.choices.dir, work.moving.mounts[1].clone()).await;
        self.see_mounts(std::iter::once(&record));
        let mut changes = vec![Change::put(Table::Torrents, key(info_hash), record.encode())];
        if let Some(mut progress) = progress {
            progress.mount.clone_from(&record.mount);
            for (file, copy) in staged.unwrap_or_default().iter().enumerate() {
                // What had changed before it was copied is not to be believed for that.
                if let Some(known) = progress.disk.files.get_mut(file)
                    && copy.is_some()
                    && known.as_ref() == work.moving.stamps.get(file).and_then(Option::as_ref)
                {
                    *known = *copy;
                }
            }
            changes.push(progress.row(info_hash.wire()));
        }
        if !is_elsewhere {
            self.save(changes).await?;
            kept.record = record;
            return Ok(());
        }
        let after = self.resume_place(info_hash, &record.choices.dir).await?;
        let parts = [before.parts(), after.parts()];
        blocking(move || resume::link_parts(&parts[0], &parts[1])).await?;
        self.save(changes).await?;
        kept.record = record;
        Ok(())
    }

    /// Removes what was copied from where it was, by the last move or earlier ones; says what cannot be.
    pub(super) async fn clean(&self, kept: &mut KeptTorrent) -> Option<Stayed> {
        let left_behind = kept.record.left_behind.clone();
        if left_behind.is_empty() {
            return None;
        }
        let (metainfo, info_hash) = (kept.what.metainfo()?.clone(), kept.what.info_hash());
        let (pool, Choices { dir: here, names, .. }) =
            (self.shared.disk.clone(), kept.record.choices.clone());
        let cleaned = blocking(move || {
            let (mut left, mut stayed) = (Vec::new(), Vec::new());
            for moved in left_behind {
                let layout = |names| Layout::new(metainfo.clone())?.renamed(names);
                let layouts = [layout(&moved.target.names)?, layout(&names)?];
                let [old, new] = sides(&moved.target.dir, &here, &moved.mounts, layouts);
                let stay =
                    Relocation::resume(&pool, old, new, &name(info_hash), moved.stamps.clone()).clean();
                if !stay.is_empty() {
                    left.push(moved);
                    stayed.extend(stay);
                }
            }
            Ok((left, Stayed::of(stayed)))
        });
        let (left_behind, stayed) = cleaned.await.ok()?;
        kept.note = stayed.as_ref().map(Stayed::to_string);
        // What cannot be removed is tried again with the next move, and when the session is opened.
        if left_behind.len() < kept.record.left_behind.len() {
            let record = Record { left_behind, ..kept.record.clone() };
            let row = Change::put(Table::Torrents, key(info_hash), record.encode());
            if self.save(vec![row]).await.is_ok() {
                kept.record = record;
            }
        }
        stayed
    }

    /// The same, after a start.
    pub(super) async fn clean_up(self: Arc<Self>, info_hash: InfoHash) {
        let Ok(mut held) = self.hold(info_hash).await else { return };
        if let Some(kept) = held.kept.as_mut() {
            self.clean(kept).await;
        }
    }

    /// Files that are on their way come back: the torrent is about to be removed.
    pub(super) async fn move_back(&self, kept: &mut KeptTorrent) {
        if matches!(kept.running, Running::Moving(_)) {
            std::mem::replace(&mut kept.running, Running::Paused).stop().await;
        } else if let Some((moving, metainfo)) = kept.record.moving.as_ref().zip(kept.what.metainfo()) {
            let (stop, stopped) = watch::channel(false);
            let work = Work::new(&kept.record, moving, metainfo, stopped);
            let staged = moving.staged.clone();
            // What can't come back stays where it is.
            let _ = work.on_files(self, move |files| files.undo(staged.as_deref())).await;
            drop(stop);
        }
    }
}

impl Work {
    /// In one line, for people.
    fn failed(&self, why: &Error) -> String {
        let to = &self.moving.target.dir;
        match *to == self.record.choices.dir {
            true => format!("its files were not renamed: {}", of_order(why)),
            false => format!("it was not moved to {}: {}", to.display(), of_order(why)),
        }
    }

    fn new(record: &Record, moving: &Move, metainfo: &Arc<Metainfo>, stop: watch::Receiver<bool>) -> Work {
        let (info_hash, copied) = (metainfo.info_hash(), Arc::default());
        let (record, moving, metainfo) = (record.clone(), moving.clone(), metainfo.clone());
        Work { info_hash, record, moving, metainfo, copied, stop }
    }

    /// Ends when it is stopped.
    async fn stopped(&self) {
        if self.stop.clone().wait_for(|&stop| stop).await.is_err() {
            // Nobody can stop it any more.
            std::future::pending::<()>().await;
        }
    }

    /// Does something with the files on a thread that may block.
    async fn on_files<T: Send + 'static>(
        &self,
        room: &Room,
        work: impl FnOnce(&Relocation) -> Result<T, storage::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let layout = |names| Layout::new(self.metainfo.clone())?.renamed(names);
        let layouts = [layout(&self.record.choices.names)?, layout(&self.moving.target.names)?];
        let (pool, info_hash) = (room.shared.disk.clone(), self.info_hash);
        let (from, to) = (self.record.choices.dir.clone(), self.moving.target.dir.clone());
        let (stamps, mounts) = (self.moving.stamps.clone(), self.moving.mounts.clone());
        blocking(move || {
            let [from, to] = sides(&from, &to, &mounts, layouts);
            Ok(work(&Relocation::resume(&pool, from, to, &name(info_hash), stamps))?)
        })
        .await
    }
}

impl Moving {
    /// It has stopped, and files are where they were, when this returns.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.ended.await;
    }

    pub(super) fn stats(&self) -> TorrentStats {
        TorrentStats {
            state: TorrentState::Moving,
            moved: self.copied.load(Ordering::Relaxed),
            to_move: self.total,
            rate_down: 0,
            rate_up: 0,
            peers: 0,
            seeds: 0,
            ..self.before
        }
    }
}

impl Came {
    fn staged(self) -> Option<Stamps> {
        match self {
            Came::Renamed => None,
            Came::Copied(staged) => Some(staged),
        }
    }
}

impl KeptTorrent {
    pub(super) fn must_not_be_moving(&self) -> Result<(), Error> {
        match &self.record.moving {
            Some(moving) => Err(Error::Refused(format!(
                "the torrent's files are on their way to {}; wait until they are there",
                moving.target.dir.display()
            ))),
            None => Ok(()),
        }
    }
}

fn sides(from: &Path, to: &Path, mounts: &[Option<PathBuf>; 2], layouts: [Layout; 2]) -> [Side; 2] {
    let ([from_mount, to_mount], [old, new]) = (mounts.clone(), layouts);
    [Side::new(from, from_mount, old), Side::new(to, to_mount, new)]
}

/// Why something was not done that is not tried again by itself.
fn of_order(why: &Error) -> String {
    match why {
        Error::Disk(storage::Error::Unavailable(path) | storage::Error::Gone(path)) => {
            format!("{} is not there now", path.display())
        }
        why => {
            let told = why.to_string();
            told.strip_suffix(storage::START_AGAIN).unwrap_or(&told).to_owned()
        }
    }
}

fn same_folder(one: &Path, other: &Path) -> bool {
    let true_path = |path: &Path| std::fs::canonicalize(path).ok();
    one == other || (true_path(one).is_some() && true_path(one) == true_path(other))
}

/// What tells a torrent's copies from those of others.
fn name(info_hash: InfoHash) -> String {
    info_hash.wire().to_string()
}
