//! A torrent's files go to other paths, below another folder or the same.
//!
//! On one file system each file is renamed. From one to another they are copied into a folder of our own at the target, made
//! durable there and then put in place; until whoever keeps the state has said so for good, the old ones stay. Every step can
//! be done again after a crash, and undone.

use crate::os::{Access, Found, Os, must_be_writable, stamp_of};
use crate::root::{Root, mount_point};
use crate::{DiskPool, Error, FileStamp, Layout};
use rustix::fd::OwnedFd;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that are copied at once.
const COPY_RUN: usize = 1 << 20;

/// Where files lie.
#[derive(Debug)]
pub struct Side {
    root: Root,
    layout: Layout,
}

/// A torrent's files on their way from one place to another. What it says of a file is by its index in the torrent.
///
/// All of it blocks: it is to be called on a thread that may.
pub struct Relocation {
    os: Os,
    from: Side,
    to: Side,
    /// Below the folder they go to: where copies lie before they are put in place.
    staging: String,
    /// What the files look like that go; `None` for those that do not.
    stamps: Vec<Option<FileStamp>>,
}

impl Side {
    /// Files below `root`, which is known to lie under a [mount point](crate::mount_point) or not.
    pub fn new(root: impl Into<PathBuf>, mount: Option<PathBuf>, layout: Layout) -> Side {
        Side { root: Root::new(root.into(), mount), layout }
    }

    fn path(&self, file: usize) -> &str {
        self.layout.path(file)
    }

    fn full(&self, file: usize) -> PathBuf {
        self.root.path().join(self.path(file))
    }

    fn look(&self, os: &Os, file: usize) -> Result<Option<FileStamp>, Error> {
        match os.look(&self.root, self.path(file))? {
            Found::File(stamp) => Ok(Some(stamp)),
            Found::Nothing => Ok(None),
        }
    }
}

impl Relocation {
    /// Looks at what is to go: those files of a torrent that are `ours` and there. Changes nothing. `name` tells this torrent
    /// from others on their way to the same folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::FileInTheWay`] and the like if something stands where one of the torrent's files
    /// goes; [`Error::PermissionDenied`], [`Error::ReadOnly`] if they may not leave the folders that they lie in.
    pub fn plan(
        pool: &DiskPool,
        from: Side,
        to: Side,
        name: &str,
        ours: &[bool],
    ) -> Result<Relocation, Error> {
        let mut plan = Relocation::resume(pool, from, to, name, Vec::new());
        plan.from.root.must_be_mounted()?;
        plan.to.root.must_be_mounted()?;
        let count = plan.from.layout.files().len();
        plan.stamps = vec![None; count];
        for file in (0..count).filter(|&file| plan.from.layout.is_regular(file)) {
            if plan.stays(file) {
                continue;
            }
            if ours.get(file) == Some(&true) {
                plan.stamps[file] = match plan.from.look(&plan.os, file) {
                    Err(Error::Gone(_)) => None,
                    found => found?,
                };
            }
            if plan.to.look(&plan.os, file)?.is_some() {
                return Err(Error::FileInTheWay(plan.to.full(file)));
            }
        }
        plan.must_let_go()?;
        Ok(plan)
    }

    /// Where files can be renamed, they are not copied if the folders that they lie in do not let go of them.
    fn must_let_go(&self) -> Result<(), Error> {
        if mount_point(self.from.root.path()) != mount_point(self.to.root.path()) {
            return Ok(());
        }
        let folders: BTreeSet<PathBuf> =
            self.files().filter_map(|(file, _)| Some(self.from.full(file).parent()?.to_path_buf())).collect();
        folders.iter().try_for_each(|folder| must_be_writable(folder))
    }

    /// One that was [planned](Self::plan) before, given the [`stamps`](Self::stamps) that it had.
    pub fn resume(
        pool: &DiskPool,
        from: Side,
        to: Side,
        name: &str,
        stamps: Vec<Option<FileStamp>>,
    ) -> Relocation {
        let staging = format!(".rawtorrent-{name}");
        Relocation { os: pool.shared.os.clone(), from, to, staging, stamps }
    }

    /// What the files that go looked like when it was planned.
    pub fn stamps(&self) -> &[Option<FileStamp>] {
        &self.stamps
    }

    /// How many bytes there are to be copied, if they have to be.
    pub fn bytes(&self) -> u64 {
        self.stamps.iter().flatten().map(|stamp| stamp.size).sum()
    }

    /// Renames the files; durable when this returns. `false` if that can't be, since they go to another file system: they
    /// are where they were then, or can be [put back](Self::undo).
    ///
    /// # Errors
    /// Some may have gone: see [`undo`](Self::undo).
    pub fn rename(&self) -> Result<bool, Error> {
        self.make_root()?;
        for (file, stamp) in self.files() {
            if self.from.look(&self.os, file)?.is_none() {
                // It went before a crash.
                if self.to.look(&self.os, file)? == Some(stamp) {
                    continue;
                }
                return Err(Error::Gone(self.from.full(file)));
            }
            let (from, to) = ((&self.from.root, self.from.path(file)), (&self.to.root, self.to.path(file)));
            if !self.os.rename(from, to)? {
                return Ok(false);
            }
        }
        self.sync_both()?;
        self.remove_folders(&self.from);
        Ok(true)
    }

    /// Copies the files to the file system that they go to; tells what the copies look like, which are durable when this
    /// returns. Goes on where one that was broken off was. `copied` counts bytes; `stop` ends it.
    ///
    /// # Errors
    /// [`Error::DiskFull`] and the like; [`Error::Changed`]; [`Error::Closed`] if it was stopped. The files that go are as
    /// they were.
    pub fn copy(&self, stop: &AtomicBool, copied: &AtomicU64) -> Result<Vec<Option<FileStamp>>, Error> {
        self.make_root()?;
        let mut staged = vec![None; self.stamps.len()];
        for (file, stamp) in self.files() {
            staged[file] = Some(self.copy_file(file, stamp, stop, copied)?);
        }
        self.os.sync_dir(&self.to.root, "")?;
        if self.files().next().is_some() {
            self.os.sync_dir(&self.to.root, &self.staging)?;
        }
        Ok(staged)
    }

    /// Puts copies where they belong; durable when this returns. The ones that they are of stay.
    ///
    /// # Errors
    /// Some may be in place: see [`undo`](Self::undo).
    pub fn place(&self, staged: &[Option<FileStamp>]) -> Result<(), Error> {
        for (file, _) in self.files() {
            let (copy, stamp) = (self.copy_of(file), staged.get(file).copied().flatten());
            if self.os.look(&self.to.root, &copy)? == Found::Nothing {
                // It was put in place before a crash.
                if stamp.is_some() && self.to.look(&self.os, file)? == stamp {
                    continue;
                }
                return Err(Error::Gone(self.to.root.path().join(copy)));
            }
            let to = (&self.to.root, self.to.path(file));
            if !self.os.rename((&self.to.root, &copy), to)? {
                return Err(Error::Unavailable(self.to.full(file)));
            }
        }
        self.sync_folders(&self.to)?;
        self.os.remove_folder(&self.to.root, &self.staging);
        Ok(())
    }

    /// Has all files be where they were, and nothing be left at the target; `staged` is what [`copy`](Self::copy) told, if it
    /// did.
    ///
    /// # Errors
    /// Not all could be undone; it can be tried again.
    pub fn undo(&self, staged: Option<&[Option<FileStamp>]>) -> Result<(), Error> {
        self.from.root.must_be_mounted()?;
        self.to.root.must_be_mounted()?;
        for (file, stamp) in self.files() {
            let there = self.to.look(&self.os, file);
            let (from, to) = ((&self.from.root, self.from.path(file)), (&self.to.root, self.to.path(file)));
            if self.from.look(&self.os, file)?.is_none() {
                if there? == Some(stamp) && !self.os.rename(to, from)? {
                    return Err(Error::Unavailable(self.from.full(file)));
                }
            } else if let Some(Some(copy)) = staged.and_then(|staged| staged.get(file))
                && there.as_ref() == Ok(&Some(*copy))
            {
                self.os.remove(to.0, to.1)?;
            }
            for copy in [self.copy_of(file), self.unfinished(file)] {
                if let Ok(Found::File(_)) = self.os.look(&self.to.root, &copy) {
                    self.os.remove(&self.to.root, &copy)?;
                }
            }
        }
        self.os.remove_folder(&self.to.root, &self.staging);
        self.sync_both()?;
        self.remove_folders(&self.to);
        Ok(())
    }

    /// What [`undo`](Self::undo) comes to if the disk that files go to is gone: all files are where they were; what lies on
    /// that disk, if it comes back, stays.
    ///
    /// # Errors
    /// [`Error::Gone`] if one is not there; it may be on the other disk alone.
    pub fn abandon(&self) -> Result<(), Error> {
        self.from.root.must_be_mounted()?;
        for (file, _) in self.files() {
            if self.from.look(&self.os, file)?.is_none() {
                return Err(Error::Gone(self.from.full(file)));
            }
        }
        Ok(())
    }

    /// Removes the files that were copied, and folders of the torrent that are empty then. What looks different by now is
    /// somebody else's. As much as can be is removed; says what stays, and why.
    pub fn clean(&self) -> Vec<(PathBuf, Error)> {
        let away = self.from.root.must_be_mounted().err();
        let stays = |(file, stamp): (usize, FileStamp)| {
            // One that came back is the torrent's.
            if self.stays(file) {
                return None;
            }
            let removed = match (&away, self.from.look(&self.os, file)) {
                (Some(away), _) => Err(away.clone()),
                (None, Ok(Some(found))) if found == stamp => {
                    self.os.remove(&self.from.root, self.from.path(file))
                }
                (None, Ok(_) | Err(Error::Gone(_))) => Ok(()),
                (None, Err(error)) => Err(error),
            };
            Some((self.from.full(file), removed.err()?))
        };
        let stayed = self.files().filter_map(stays).collect();
        self.remove_folders(&self.from);
        stayed
    }
}

/// Refuses to have the files of a torrent, which has so many, go where something stands already or nothing may be written, as
/// far as that can be seen beforehand: below `root`, where `to` says, from where they lie.
///
/// # Errors
/// [`Error::FileInTheWay`], [`Error::FolderInTheWay`], [`Error::ReadOnly`], [`Error::PermissionDenied`].
pub fn must_be_free(
    to: &Layout,
    root: &Path,
    (from, from_root): (&Layout, &Path),
    files: usize,
) -> Result<(), Error> {
    for file in 0..files {
        let path = to.path_under(root, file);
        if path == from.path_under(from_root, file) {
            continue;
        }
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => return Err(Error::FolderInTheWay(path)),
            Ok(_) => return Err(Error::FileInTheWay(path)),
            Err(_) => {}
        }
    }
    let there = root.ancestors().find(|folder| folder.exists());
    there.map_or(Ok(()), must_be_writable)
}

/// One by one.
impl Relocation {
    fn stays(&self, file: usize) -> bool {
        self.from.root.path() == self.to.root.path() && self.from.path(file) == self.to.path(file)
    }

    fn files(&self) -> impl Iterator<Item = (usize, FileStamp)> + '_ {
        let stamps = self.stamps.iter().take(self.from.layout.files().len()).enumerate();
        stamps.filter_map(|(file, stamp)| Some((file, (*stamp)?)))
    }

    fn copy_of(&self, file: usize) -> String {
        format!("{}/{file}", self.staging)
    }

    fn unfinished(&self, file: usize) -> String {
        format!("{}/{file}.new", self.staging)
    }

    fn copy_file(
        &self,
        file: usize,
        stamp: FileStamp,
        stop: &AtomicBool,
        copied: &AtomicU64,
    ) -> Result<FileStamp, Error> {
        let (copy, unfinished) = (self.copy_of(file), self.unfinished(file));
        let is_whole = |found: &FileStamp| (found.size, found.mtime_nanos) == (stamp.size, stamp.mtime_nanos);
        if let Found::File(found) = self.os.look(&self.to.root, &copy)? {
            if is_whole(&found) {
                copied.fetch_add(stamp.size, Ordering::Relaxed);
                return Ok(found);
            }
            self.os.remove(&self.to.root, &copy)?;
        }
        if let Found::File(_) = self.os.look(&self.to.root, &unfinished)? {
            self.os.remove(&self.to.root, &unfinished)?;
        }
        let path = self.from.full(file);
        let source = self.os.open(&self.from.root, self.from.path(file), Access::Read)?;
        let target = self.os.open(&self.to.root, &unfinished, Access::Create)?;
        self.copy_bytes((&source, &path), &target, stamp.size, stop, copied)?;
        let to = self.to.full(file);
        let written = |errno| Error::os("write", &to, errno);
        self.os.set_changed(&target, stamp.mtime_nanos).map_err(written)?;
        self.os.sync_all(&target).map_err(|errno| Error::os("sync", &to, errno))?;
        let look = |fd: &OwnedFd, path: &Path| stamp_of(fd).map_err(|e| Error::os("look at", path, e));
        if look(&source, &path)? != stamp {
            return Err(Error::Changed(path));
        }
        let made = look(&target, &to)?;
        if made.size != stamp.size {
            return Err(Error::Shorter(to));
        }
        if !self.os.rename((&self.to.root, &unfinished), (&self.to.root, &copy))? {
            return Err(Error::Unavailable(to));
        }
        Ok(made)
    }

    /// Holes stay holes.
    fn copy_bytes(
        &self,
        (source, path): (&OwnedFd, &Path),
        target: &OwnedFd,
        size: u64,
        stop: &AtomicBool,
        copied: &AtomicU64,
    ) -> Result<(), Error> {
        let written = |errno| Error::os("write", self.to.root.path(), errno);
        let mut room = vec![0; COPY_RUN];
        let mut at = 0;
        self.os.set_len(target, size).map_err(written)?;
        while at < size {
            let data = self.os.next_data(source, at).unwrap_or(at).min(size);
            let end = self.os.next_hole(source, data).unwrap_or(size).clamp(data, size);
            copied.fetch_add(data - at, Ordering::Relaxed);
            at = data;
            while at < end {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Closed);
                }
                let want = usize::try_from(end - at).unwrap_or(COPY_RUN).min(COPY_RUN);
                let read = self.os.read(source, &mut room[..want], at);
                let len = read.map_err(|errno| Error::os("read", path, errno))?;
                if len == 0 {
                    return Err(Error::Changed(path.to_path_buf()));
                }
                let data = &mut [IoSlice::new(&room[..len])];
                self.os.write_all(target, data, at).map_err(written)?;
                at += len as u64;
                copied.fetch_add(len as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Folders.
impl Relocation {
    fn make_root(&self) -> Result<(), Error> {
        let root = self.to.root.path();
        let there = root.ancestors().find(|folder| folder.exists()).map(Path::to_path_buf);
        if self.os.make_root(&self.to.root)? {
            for made in root.ancestors().take_while(|folder| Some(*folder) != there.as_deref()) {
                self.os.sync_parent(made)?;
            }
        }
        Ok(())
    }

    /// The folders in which files that go lie on one side, the outermost first.
    fn folders(&self, side: &Side) -> BTreeSet<String> {
        let paths = self.files().map(|(file, _)| side.path(file));
        paths.flat_map(|path| path.match_indices('/').map(|(end, _)| path[..end].to_owned())).collect()
    }

    fn sync_folders(&self, side: &Side) -> Result<(), Error> {
        let folders = self.folders(side);
        for folder in folders.iter().map(String::as_str).chain([""]) {
            match self.os.sync_dir(&side.root, folder) {
                // Every file of it went before a crash.
                Ok(()) | Err(Error::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_both(&self) -> Result<(), Error> {
        self.sync_folders(&self.to)?;
        self.sync_folders(&self.from)
    }

    /// Those that are empty.
    fn remove_folders(&self, side: &Side) {
        self.folders(side).iter().rev().for_each(|folder| self.os.remove_folder(&side.root, folder));
    }
}
