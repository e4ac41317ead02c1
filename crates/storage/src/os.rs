//! Every operating-system call that this crate makes on a torrent's files.
//!
//! Nothing here follows a symbolic link below the root folder, or leaves it. Linux sees to that itself (`openat2` with
//! `RESOLVE_BENEATH`), even while somebody moves folders about; where it does not know how, and to make folders and to
//! find out what is in the way, paths are walked one element at a time with `O_NOFOLLOW`.

use crate::root::Root;
use crate::{Error, FileStamp};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, SeekFrom, StatVfsMountFlags, Timespec, Timestamps,
};
use rustix::io::Errno;
use rustix::path::Arg;
use std::io::{IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};

/// The calls. In tests some of them can be made to fail.
#[derive(Clone, Default)]
pub(crate) struct Os {
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<faults::Faults>,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// Write to a file that must not be there yet; folders on the way are made.
    Create,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    File(FileStamp),
}

fn is_read_only(fd: impl AsFd) -> bool {
    rustix::fs::fstatvfs(fd).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Runs `call` until a signal does not interrupt it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

const FILE_MODE: Mode = Mode::from_bits_retain(0o666);
const DIR_MODE: Mode = Mode::from_bits_retain(0o777);
const DIR_FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Os {
    /// Writes all of `data` at `offset`.
    pub(crate) fn write_all(
        &self,
        fd: impl AsFd,
        mut data: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> Result<(), Errno> {
        IoSlice::advance_slices(&mut data, 0); // drops empty slices
        while !data.is_empty() {
            let written = retry(|| self.pwritev(&fd, data, offset))?;
            if written == 0 {
                return Err(Errno::IO);
            }
            IoSlice::advance_slices(&mut data, written);
            offset += written as u64;
        }
        Ok(())
    }

    fn pwritev(&self, fd: impl AsFd, data: &[IoSlice<'_>], offset: u64) -> Result<usize, Errno> {
        #[cfg(test)]
        if let Some(most) = self.faults.before_write()? {
            let first = &data[0][..data[0].len().min(most)];
            return rustix::io::pwrite(fd, first, offset);
        }
        rustix::io::pwritev(fd, data, offset)
    }

    /// Fills `buf` from `offset` on and returns how much there was: less than asked for only at the end of
    /// the file.
    pub(crate) fn read(&self, fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut filled = 0;
        while filled < buf.len() {
            let rest = &mut [IoSliceMut::new(&mut buf[filled..])];
            match retry(|| rustix::io::preadv(&fd, rest, offset + filled as u64))? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(filled)
    }

    pub(crate) fn sync_data(&self, fd: impl AsFd) -> Result<(), Errno> {
        #[cfg(test)]
        self.faults.before_sync()?;
        #[cfg(feature = "planted")]
        if crate::planted::is("no-fdatasync") {
            return Ok(());
        }
        match retry(|| rustix::fs::fdatasync(&fd)) {
            // Nothing can be written to a file system that cannot sync, such as that of a DVD.
            Err(Errno::INVAL) if is_read_only(&fd) => Ok(()),
            synced => synced,
        }
    }

    /// Has what is read from here on come from the disk, where the system can do that: after a sync that failed, memory may
    /// hold what the disk does not.
    pub(crate) fn forget_cached(&self, fd: impl AsFd) -> Result<(), Errno> {
        self.sync_data(&fd)?;
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(fd, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    /// The same of a part of a file, without syncing it: what is not durable stays in memory.
    pub(crate) fn forget_cached_part(&self, fd: impl AsFd, offset: u64, len: usize) {
        #[cfg(target_os = "linux")]
        if let Some(len) = std::num::NonZero::new(len as u64) {
            // It is only advice.
            let _ = rustix::fs::fadvise(fd, offset, Some(len), rustix::fs::Advice::DontNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (fd, offset, len);
    }

    /// Starts to write back everything on the file system of `root`, other people's files included, and waits
    /// for it, where the system can do that. It makes later syncs of single files fast and takes the place of
    /// none: some file systems do nothing here, and not every kernel reports errors.
    pub(crate) fn write_back(&self, root: &Path) {
        #[cfg(target_os = "linux")]
        {
            let flags = OFlags::RDONLY | DIR_FLAGS;
            let done = rustix::fs::open(root, flags, Mode::empty()).and_then(rustix::fs::syncfs);
            if let Err(error) = done {
                tracing::debug!(root = %root.display(), %error, "file system not written back at once");
            }
        }
    }

    /// Gives a file room for `len` bytes on disk. Where the file system cannot do that, writes zeros from
    /// `there` on, up to where bytes may be.
    pub(crate) fn allocate(&self, fd: impl AsFd, there: u64, len: u64) -> Result<(), Errno> {
        let allocated = retry(|| {
            #[cfg(test)]
            self.faults.before_allocate()?;
            rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, len)
        });
        match allocated {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.fill_with_zeros(&fd, there, len),
            other => other,
        }
    }

    fn fill_with_zeros(&self, fd: impl AsFd, mut at: u64, len: u64) -> Result<(), Errno> {
        let zeros = vec![0; 1 << 20];
        while at < len {
            let n = usize::try_from(len - at).unwrap_or(usize::MAX).min(zeros.len());
            self.write_all(&fd, &mut [IoSlice::new(&zeros[..n])], at)?;
            at += n as u64;
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, fd: impl AsFd, len: u64) -> Result<(), Errno> {
        retry(|| {
            #[cfg(test)]
            self.faults.before_write()?;
            rustix::fs::ftruncate(&fd, len)
        })
    }

    /// Where the next hole is, from `offset` on, or the end; `None` where the file system cannot tell.
    pub(crate) fn next_hole(&self, fd: impl AsFd, offset: u64) -> Option<u64> {
        rustix::fs::seek(fd, SeekFrom::Hole(offset)).ok()
    }

    /// Where the next data is, from `offset` on; before it is a hole, which reads as zeros. The largest number: nowhere.
    /// `None` where the file system cannot tell.
    pub(crate) fn next_data(&self, fd: impl AsFd, offset: u64) -> Option<u64> {
        match rustix::fs::seek(fd, SeekFrom::Data(offset)) {
            Ok(data) => Some(data),
            Err(Errno::NXIO) => Some(u64::MAX),
            Err(_) => None,
        }
    }

    /// Opens the file at `path` below `root`, which must be there.
    pub(crate) fn open(&self, root: &Root, path: &str, access: Access) -> Result<OwnedFd, Error> {
        #[cfg(test)]
        self.faults.before_open(access).map_err(|e| Error::os("open", root.path(), e))?;
        let (parents, name) = split(path);
        let dir = self.open_parents(root, parents, access == Access::Create)?;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        // NONBLOCK: a pipe that somebody put there must not hold up the thread.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let full = || root.path().join(path);
        #[cfg(feature = "planted")]
        if access == Access::Create && crate::planted::is("stray-file") {
            let _ = std::fs::write(root.path().join("../stray"), b"");
        }
        let fd = retry(|| open_beneath(&dir, name, flags, FILE_MODE)).map_err(|errno| match errno {
            Errno::EXIST => Error::FileInTheWay(full()),
            Errno::NXIO => Error::NotAFile(full()),
            other => Error::os("open", &full(), other),
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| Error::os("look at", &full(), e))?;
        regular(FileType::from_raw_mode(stat.st_mode), full)?;
        Ok(fd)
    }

    /// What stands at `path` below `root`.
    ///
    /// # Errors
    ///
    /// If it is something other than a regular file, or the way there leads over a link or a file.
    pub(crate) fn look(&self, root: &Root, path: &str) -> Result<Found, Error> {
        #[cfg(test)]
        self.faults.before_look().map_err(|e| Error::os("look at", root.path(), e))?;
        let (parents, name) = split(path);
        let dir = match self.open_parents(root, parents, false) {
            Err(Error::Gone(_)) => return Ok(Found::Nothing),
            other => other?,
        };
        let full = || root.path().join(path);
        match retry(|| rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => {
                regular(FileType::from_raw_mode(stat.st_mode), full)?;
                Ok(Found::File(stamp(&stat)))
            }
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(Error::os("look at", &full(), errno)),
        }
    }

    /// Makes the folder itself durable (which files are in it), not what is in them.
    pub(crate) fn sync_dir(&self, root: &Root, path: &str) -> Result<(), Error> {
        let dir = self.open_parents(root, path, false)?;
        let flags = OFlags::RDONLY | DIR_FLAGS;
        let full = || root.path().join(path);
        let fd = retry(|| rustix::fs::openat(&dir, ".", flags, Mode::empty()))
            .map_err(|e| Error::os("open", &full(), e))?;
        match retry(|| rustix::fs::fsync(&fd)) {
            // Some file systems have nothing to sync there and say so.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(Error::os("sync", &full(), errno)),
        }
    }

    /// Removes a file that this process has just created.
    pub(crate) fn remove(&self, root: &Root, path: &str) -> Result<(), Error> {
        let (parents, name) = split(path);
        let dir = self.open_parents(root, parents, false)?;
        rustix::fs::unlinkat(&dir, name, AtFlags::empty())
            .map_err(|e| Error::os("remove", &root.path().join(path), e))
    }

    /// Gives a file another path, over nothing that stands there; folders on the way are made. `false`: it would be on
    /// another file system.
    pub(crate) fn rename(&self, from: (&Root, &str), to: (&Root, &str)) -> Result<bool, Error> {
        let ((root, path), (to_root, to_path)) = (from, to);
        let full = || to_root.path().join(to_path);
        #[cfg(test)]
        self.faults.before_rename().map_err(|e| Error::os("move", &full(), e))?;
        let ((parents, name), (to_parents, to_name)) = (split(path), split(to_path));
        let dir = self.open_parents(root, parents, false)?;
        let to_dir = self.open_parents(to_root, to_parents, true)?;
        match retry(|| rename_over_nothing(&dir, name, &to_dir, to_name)) {
            Ok(()) => Ok(true),
            Err(Errno::XDEV) => Ok(false),
            Err(Errno::EXIST) => Err(Error::FileInTheWay(full())),
            Err(errno) => Err(Error::os("move", &full(), errno)),
        }
    }

    /// Gives an open file the time of its last change.
    pub(crate) fn set_changed(&self, fd: impl AsFd, nanos: i64) -> Result<(), Errno> {
        let (tv_sec, tv_nsec) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        // The type differs between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
        let changed = Timespec { tv_sec, tv_nsec: tv_nsec.try_into().unwrap_or(0) };
        let kept = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        rustix::fs::futimens(fd, &Timestamps { last_access: kept, last_modification: changed })
    }

    /// Makes a file durable, with what it looks like.
    pub(crate) fn sync_all(&self, fd: impl AsFd) -> Result<(), Errno> {
        #[cfg(test)]
        self.faults.before_sync()?;
        retry(|| rustix::fs::fsync(&fd))
    }

    /// Removes a folder if nothing is in it.
    pub(crate) fn remove_folder(&self, root: &Root, path: &str) {
        let (parents, name) = split(path);
        if let Ok(dir) = self.open_parents(root, parents, false) {
            let _ = rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR);
        }
    }

    /// Makes `root` and its parents where they are missing and says whether any was; fails if one may not
    /// write there.
    pub(crate) fn make_root(&self, root: &Root) -> Result<bool, Error> {
        root.must_be_mounted()?;
        let opened = root;
        let root = root.path();
        let missing = !root.is_dir();
        match std::fs::create_dir_all(root) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::NotAFolder(root.to_path_buf()));
            }
            Err(e) => return Err(Error::io("create", root, &e)),
        }
        must_be_writable(root)?;
        opened.open()?;
        Ok(missing)
    }

    /// Makes it durable that `path` is in its folder.
    pub(crate) fn sync_parent(&self, path: &Path) -> Result<(), Error> {
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => self.sync_dir(&Root::new(parent.into(), None), ""),
            None => self.sync_dir(&Root::new(".".into(), None), ""),
        }
    }

    /// Opens the folder at `path` below `root`; links are followed up to `root`, not below.
    fn open_parents(&self, root: &Root, path: &str, create: bool) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | DIR_FLAGS;
        let dir = root.open()?;
        if path.is_empty() {
            return Ok(dir);
        }
        match retry(|| open_beneath(&dir, path, flags | OFlags::NOFOLLOW, Mode::empty())) {
            Ok(opened) => Ok(opened),
            // It leads out of the root, or is led there while we look.
            Err(errno @ (Errno::XDEV | Errno::AGAIN)) => {
                Err(Error::os("open", &root.path().join(path), errno))
            }
            Err(_) => self.walk(root.path(), dir, path, create),
        }
    }

    /// The same one element at a time: makes those that are missing, or says which of them is in the way.
    fn walk(&self, root: &Path, mut dir: OwnedFd, path: &str, create: bool) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | DIR_FLAGS | OFlags::NOFOLLOW;
        let mut walked = root.to_path_buf();
        for element in path.split('/').filter(|element| !element.is_empty()) {
            walked.push(element);
            let open = || retry(|| open_beneath(&dir, element, flags, Mode::empty()));
            let mut opened = open();
            if create && matches!(opened, Err(Errno::NOENT)) {
                opened = match retry(|| rustix::fs::mkdirat(&dir, element, DIR_MODE)) {
                    Ok(()) | Err(Errno::EXIST) => open(),
                    Err(errno) => Err(errno),
                };
            }
            dir = opened.map_err(|errno| {
                // NOFOLLOW with DIRECTORY calls a link "not a directory".
                let is_link = rustix::fs::readlinkat(&dir, element, Vec::new()).is_ok();
                if is_link { Error::SymbolicLink(walked.clone()) } else { Error::os("open", &walked, errno) }
            })?;
        }
        Ok(dir)
    }
}

/// Opens what lies at `path` below `dir`, over no link and no way out. Where the system cannot see to that, only a
/// single element is opened.
fn open_beneath(dir: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[cfg(feature = "planted")]
    if crate::planted::is("followed-links") {
        return rustix::fs::openat(dir, path, flags - OFlags::NOFOLLOW, mode);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        // It takes no mode where nothing is made.
        let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
        match rustix::fs::openat2(&dir, path, flags, mode, resolve) {
            // Older than Linux 5.6, or forbidden where we run.
            Err(Errno::NOSYS | Errno::PERM) => {}
            other => return other,
        }
    }
    if path.contains('/') {
        return Err(Errno::NOSYS);
    }
    rustix::fs::openat(dir, path, flags | OFlags::NOFOLLOW, mode)
}

/// Gives a file another path, unless something has that.
///
/// # Errors
/// [`Error::FileInTheWay`], and what the operating system reports.
pub fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    match retry(|| rename_over_nothing(CWD, from, CWD, to)) {
        Err(Errno::EXIST) => Err(Error::FileInTheWay(to.into())),
        renamed => renamed.map_err(|errno| Error::os("rename", from, errno)),
    }
}

fn rename_over_nothing<P: Arg + Copy>(
    from: impl AsFd,
    name: P,
    to: impl AsFd,
    to_name: P,
) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(&from, name, &to, to_name, rustix::fs::RenameFlags::NOREPLACE) {
        // A file system, or a system, that does not know how.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        other => return other,
    }
    match rustix::fs::statat(&to, to_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(from, name, to, to_name),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn stamp_of(fd: impl AsFd) -> Result<FileStamp, Errno> {
    Ok(stamp(&rustix::fs::fstat(fd)?))
}

// The types of these fields differ between architectures.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn stamp(stat: &rustix::fs::Stat) -> FileStamp {
    FileStamp {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_nanos: (stat.st_mtime as i64)
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        inode: u64::from(stat.st_ino),
    }
}

fn regular(kind: FileType, path: impl Fn() -> PathBuf) -> Result<(), Error> {
    match kind {
        #[cfg(feature = "planted")]
        FileType::Symlink if crate::planted::is("followed-links") => Ok(()),
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Error::FolderInTheWay(path())),
        FileType::Symlink => Err(Error::SymbolicLink(path())),
        _ => Err(Error::NotAFile(path())),
    }
}

/// The folder and the name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Refuses a folder in which nothing may be made.
pub(crate) fn must_be_writable(folder: &Path) -> Result<(), Error> {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|errno| Error::os("write to", folder, errno))
}

#[cfg(test)]
pub(crate) mod faults {
    //! Errors and short writes on demand.

    use super::Access;
    use rustix::io::Errno;
    use std::sync::Mutex;

    #[derive(Default)]
    pub(crate) struct Faults(Mutex<Plan>);

    #[derive(Clone, Copy, Default)]
    pub(crate) struct Plan {
        /// Writes that still succeed, and what the ones after them report.
        pub(crate) write: Option<(u32, Errno)>,
        pub(crate) sync: Option<Errno>,
        pub(crate) allocate: Option<Errno>,
        pub(crate) create: Option<Errno>,
        pub(crate) look: Option<Errno>,
        /// Renames that still succeed, and what the ones after them report.
        pub(crate) rename: Option<(u32, Errno)>,
        /// The most bytes that one write takes.
        pub(crate) short_writes: Option<usize>,
        /// Whether every other write is interrupted by a signal.
        pub(crate) interrupt: bool,
        pub(crate) calls: u32,
        /// How many files were synced.
        pub(crate) syncs: u32,
    }

    impl Faults {
        pub(crate) fn set(&self, plan: Plan) {
            *self.0.lock().unwrap() = plan;
        }

        pub(crate) fn get(&self) -> Plan {
            *self.0.lock().unwrap()
        }

        pub(super) fn before_write(&self) -> Result<Option<usize>, Errno> {
            let mut plan = self.0.lock().unwrap();
            plan.calls += 1;
            if plan.interrupt && plan.calls % 2 == 1 {
                return Err(Errno::INTR);
            }
            match &mut plan.write {
                Some((0, errno)) => Err(*errno),
                Some((left, _)) => {
                    *left -= 1;
                    Ok(plan.short_writes)
                }
                None => Ok(plan.short_writes),
            }
        }

        pub(super) fn before_sync(&self) -> Result<(), Errno> {
            let mut plan = self.0.lock().unwrap();
            plan.syncs += 1;
            plan.sync.map_or(Ok(()), Err)
        }

        pub(super) fn before_allocate(&self) -> Result<(), Errno> {
            self.0.lock().unwrap().allocate.map_or(Ok(()), Err)
        }

        pub(super) fn before_rename(&self) -> Result<(), Errno> {
            match &mut self.0.lock().unwrap().rename {
                Some((0, errno)) => Err(*errno),
                Some((left, _)) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }

        pub(super) fn before_look(&self) -> Result<(), Errno> {
            self.0.lock().unwrap().look.map_or(Ok(()), Err)
        }

        pub(super) fn before_open(&self, access: Access) -> Result<(), Errno> {
            match self.0.lock().unwrap().create {
                Some(errno) if access == Access::Create => Err(errno),
                _ => Ok(()),
            }
        }
    }
}
