//! A torrent is forgotten, and its files go with it if they are to.

use super::claims::Claim;
use super::{KeptTorrent, Room, Running, Session, key};
use crate::Error;
use crate::driver::blocking;
use crate::resume::{self, mount_of};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use storage::{FileStamp, Layout, Snapshot};
use store::{Change, Table};
use types::InfoHash;

/// A torrent's files, as the last record has them.
struct Doomed {
    dir: PathBuf,
    mount: Option<PathBuf>,
    layout: Layout,
    disk: Snapshot,
    /// Whether nothing was written after the record.
    is_exact: bool,
}

/// What stays where it was of a torrent that was removed with its files, or moved.
#[derive(Clone, Debug)]
pub struct Stayed {
    /// Files that are still there; the first 100 of them.
    pub files: Vec<PathBuf>,
    /// How many there are.
    pub count: usize,
    /// Why the first of them stays.
    pub why: Error,
}

/// Files that stay and are named; of further ones it is told how many there are.
const MAX_STAYED: usize = 100;

impl Stayed {
    pub(super) fn of<E: Clone + Into<Error>>(stayed: Vec<(PathBuf, E)>) -> Option<Stayed> {
        let (why, count) = (stayed.first()?.1.clone().into(), stayed.len());
        let files = stayed.into_iter().map(|(path, _)| path).take(MAX_STAYED).collect();
        Some(Stayed { files, count, why })
    }

    fn all(one: Option<Stayed>, other: Option<Stayed>) -> Option<Stayed> {
        match (one, other) {
            (Some(mut one), Some(other)) => {
                one.files.extend(other.files);
                one.files.truncate(MAX_STAYED);
                one.count += other.count;
                Some(one)
            }
            (one, other) => one.or(other),
        }
    }
}

/// In one line, for people.
impl fmt::Display for Stayed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (them, stay) =
            if self.count == 1 { ("it", "one of its files stays") } else { ("them", "of its files stay") };
        match self.count {
            1 => write!(out, "{stay}: ")?,
            count => write!(out, "{count} {stay}: ")?,
        }
        match &self.why {
            Error::Disk(storage::Error::ReadOnly(path)) => write!(
                out,
                "{} is on a read-only file system; remove {them} by hand once it can be written to",
                path.display()
            ),
            Error::Disk(storage::Error::PermissionDenied(path)) => {
                write!(out, "no permission to remove {}; remove {them} by hand", path.display())
            }
            why => write!(out, "{why}"),
        }
    }
}

impl Session {
    /// Stops a torrent and forgets it; with `data`, its files go too: those that are known to be the torrent's, look as it
    /// left them and belong to no other torrent of the session, and the folders that are empty then. Whatever else lies there
    /// stays, and what of its files stays is told.
    ///
    /// # Errors
    /// [`Error::NotHere`]; [`Error::Unsaved`], and [`Error::Disk`] of kind `unavailable` if the disk that has the files is not
    /// there: it stays. Files that cannot be removed keep nobody from forgetting it: they are returned.
    pub async fn remove(&self, info_hash: InfoHash, data: bool) -> Result<Option<Stayed>, Error> {
        let room = self.room.clone();
        self.engine.on_runtime(async move { room.remove(info_hash, data).await }).await
    }
}

impl Room {
    /// See [`Session::remove`].
    pub(super) async fn remove(
        self: &Arc<Self>,
        info_hash: InfoHash,
        data: bool,
    ) -> Result<Option<Stayed>, Error> {
        let mut held = self.hold(info_hash).await?;
        let mut left_behind = None;
        let forget = || Table::OF_TORRENTS.into_iter().map(|table| Change::remove(table, key(info_hash)));
        if let Some(kept) = held.kept.as_mut() {
            self.move_back(kept).await;
            left_behind = self.clean(kept).await;
        }
        let doomed = match held.kept.as_mut().filter(|_| data) {
            Some(kept) => self.stop_and_say_what_is_ours(info_hash, kept).await,
            None => Ok(None),
        };
        let left = match held.kept.as_ref() {
            Some(kept) => self.note_left(info_hash, kept, data).await,
            None => Vec::new(),
        };
        let forgotten = match doomed {
            Ok(doomed) => self.save(forget().chain(left).collect()).await.map(|()| doomed),
            Err(err) => Err(err),
        };
        let doomed = match forgotten {
            Ok(doomed) => doomed,
            Err(err) => {
                if let Some(kept) = held.kept.as_mut().filter(|kept| !kept.running.goes_on()) {
                    kept.running = self.begin(&kept.record, &kept.what).await.unwrap_or_else(Running::Failed);
                }
                return Err(err);
            }
        };
        let kept = held.kept.take();
        self.torrents().remove(&info_hash.wire());
        let Some(mut kept) = kept else { return Ok(left_behind) };
        std::mem::replace(&mut kept.running, Running::Paused).stop().await;
        #[cfg(feature = "planted")]
        if net::planted::is("never-forgets") {
            std::mem::forget(std::fs::File::open("/dev/null"));
            std::mem::forget(vec![1_u8; 256 << 10]);
            self.shared.spawn(std::future::pending());
        }
        // What it wrote down last.
        let left = if data { Vec::new() } else { self.note_left(info_hash, &kept, false).await };
        let _ = self.save(forget().chain(left).collect()).await;
        // One that goes at the same time claims nothing any more, or finds that this one does not.
        let of_others = match &doomed {
            Some(Doomed { dir, layout, disk, .. }) => {
                let (dir, layout, ours) = (dir.clone(), layout.clone(), disk.ours.clone());
                self.of_others(self.claims().await, dir, layout, ours, Claim::is_under_way).await?
            }
            None => BTreeMap::new(),
        };
        let (state_dir, dir) = (self.shared.settings.state_dir.clone(), kept.record.choices.dir);
        let remove = move || {
            resume::erase(&state_dir, info_hash.wire(), &dir);
            resume::erase_of_session(&state_dir, info_hash.wire());
            Ok(Stayed::all(left_behind, doomed.and_then(|doomed| doomed.remove(of_others))))
        };
        let stayed = blocking(remove).await?;
        if data {
            // Else it is remembered for longer than it counts.
            let _ = self.save(self.forget_left(info_hash)).await;
        }
        Ok(stayed)
    }

    /// Stops a torrent; says for each of its files whether it is the torrent's, if its disk is there.
    async fn stop_and_say_what_is_ours(
        &self,
        info_hash: InfoHash,
        kept: &mut KeptTorrent,
    ) -> Result<Option<Doomed>, Error> {
        std::mem::replace(&mut kept.running, Running::Paused).stop().await;
        let Some(metainfo) = kept.what.metainfo() else { return Ok(None) };
        let choices = &kept.record.choices;
        let place = self.resume_place(info_hash, &choices.dir).await?;
        let record = place.load(metainfo.lengths(), metainfo.files().len()).await?;
        let Some(resume::Record { clean, disk, mount, .. }) = record else { return Ok(None) };
        let layout = Layout::new(metainfo.clone())?.renamed(&choices.names)?;
        let dir = choices.dir.clone();
        let look = move || {
            let mount = mount_of(&dir, mount);
            storage::any_file(&dir, mount.clone(), &layout)?;
            Ok(Some(Doomed { dir, mount, layout, disk, is_exact: clean }))
        };
        blocking(look).await
    }
}

impl Doomed {
    fn remove(self, mut of_others: BTreeMap<usize, String>) -> Option<Stayed> {
        let Doomed { dir, mount, layout, disk, is_exact } = self;
        let mut stayed: Vec<(PathBuf, Error)> = Vec::new();
        let may_go = |file: usize, found: &FileStamp| {
            if let Some(whose) = of_others.remove(&file) {
                stayed.push((layout.path_under(&dir, file), Error::Refused(whose)));
                return false;
            }
            let is_its = is_as_left(disk.files.get(file).copied().flatten().as_ref(), found, is_exact);
            if !is_its {
                let path = layout.path_under(&dir, file);
                stayed.push((path.clone(), storage::Error::NotAsLeft(path).into()));
            }
            is_its
        };
        match storage::remove_files(&dir, mount, &layout, &disk.ours, may_go) {
            Ok(others) => stayed.extend(others.into_iter().map(|(path, why)| (path, why.into()))),
            // Its disk has just gone.
            Err(gone) => {
                let files = (0..disk.ours.len()).filter(|&file| disk.ours[file]);
                stayed.extend(files.map(|file| (layout.path_under(&dir, file), gone.clone().into())));
            }
        }
        Stayed::of(stayed)
    }
}

/// Whether a file is the one that a torrent left. If more was written after the record, it may have grown since, or have
/// been made.
pub(super) fn is_as_left(recorded: Option<&FileStamp>, found: &FileStamp, is_exact: bool) -> bool {
    match recorded {
        Some(recorded) if is_exact => recorded == found,
        Some(recorded) => recorded.inode == found.inode,
        None => !is_exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_files_that_stay_are_named() {
        let stayed = |count: usize, why: fn(PathBuf) -> storage::Error| {
            let path = |n: usize| PathBuf::from(format!("/x/{n}"));
            Stayed::of((0..count).map(|n| (path(n), why(path(n)))).collect())
        };
        assert!(stayed(0, storage::Error::ReadOnly).is_none());
        let many = stayed(MAX_STAYED + 1, storage::Error::NotAsLeft).unwrap();
        assert_eq!((many.files.len(), many.count), (MAX_STAYED, MAX_STAYED + 1));
        assert!(many.to_string().starts_with("101 of its files stay: /x/0 is not as the torrent left it"));
        let both =
            Stayed::all(stayed(MAX_STAYED, storage::Error::ReadOnly), stayed(1, storage::Error::NotAsLeft));
        assert_eq!(both.map(|both| (both.files.len(), both.count)), Some((MAX_STAYED, MAX_STAYED + 1)));
        let one = stayed(1, storage::Error::PermissionDenied).unwrap().to_string();
        assert_eq!(one, "one of its files stays: no permission to remove /x/0; remove it by hand");
    }

    #[test]
    fn a_file_that_is_another_now_is_not_the_torrents() {
        let left = FileStamp { size: 10, mtime_nanos: 5, inode: 3 };
        let grown = FileStamp { size: 20, mtime_nanos: 6, ..left };
        let other = FileStamp { inode: 4, ..left };
        for (recorded, found, is_exact, is_its) in [
            (Some(&left), &left, true, true),
            (Some(&left), &grown, true, false),
            (Some(&left), &grown, false, true),
            (Some(&left), &other, false, false),
            (None, &left, true, false),
            (None, &left, false, true),
        ] {
            assert_eq!(is_as_left(recorded, found, is_exact), is_its, "{recorded:?} {found:?} {is_exact}");
        }
    }
}
