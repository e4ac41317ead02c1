//! A disk that is slow in a known way: a file system in user space (FUSE) that takes so many bytes a second.
//!
//! It is one flat folder, which keeps its files in memory. While it takes bytes it does nothing else, as one head of a disk
//! would, and it has no cache for writes: who writes waits.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

/// How long the kernel believes what it was told: only it changes anything.
const TTL: Duration = Duration::from_secs(60);
/// What a file may be long at most.
const MAX_LEN: u64 = 1 << 30;
const BLOCK: u32 = 4096;

/// A slow disk, mounted until it is dropped. The process that mounts it does not touch it before all others have let go.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    dir: PathBuf,
    written: Arc<AtomicU64>,
    session: Option<BackgroundSession>,
}

impl SlowDisk {
    /// Mounts one at a folder that is made if it is not there.
    pub(crate) fn mount(dir: &Path, bytes_per_sec: f64) -> io::Result<SlowDisk> {
        std::fs::create_dir_all(dir)?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("slow".into())];
        let written = Arc::new(AtomicU64::new(0));
        let disk = Disk { bytes_per_sec, written: Arc::clone(&written), contents: Mutex::default() };
        let session = fuser::spawn_mount(disk, dir, &config)?;
        Ok(SlowDisk { dir: dir.to_owned(), written, session: Some(session) })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes that were written to it so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("cannot unmount {}: {error}", self.dir.display());
        }
    }
}

#[derive(Debug)]
struct Disk {
    bytes_per_sec: f64,
    written: Arc<AtomicU64>,
    contents: Mutex<Contents>,
}

/// Files by their number, from 2 on, and names.
#[derive(Debug, Default)]
struct Contents {
    names: BTreeMap<OsString, u64>,
    files: BTreeMap<u64, File>,
    last: u64,
    /// When all that came is written.
    busy_until: Option<Instant>,
}

#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    modified: SystemTime,
}

impl Disk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as a disk would take to write so much.
    fn take(&self, len: usize) {
        let done = self.contents().busy_with(len, self.bytes_per_sec, Instant::now());
        thread::sleep(done.saturating_duration_since(Instant::now()));
    }
}

impl Contents {
    /// When so much more is written.
    fn busy_with(&mut self, len: usize, bytes_per_sec: f64, now: Instant) -> Instant {
        #[allow(clippy::cast_precision_loss, reason = "at most a megabyte")]
        let takes = Duration::from_secs_f64(len as f64 / bytes_per_sec);
        let done = self.busy_until.map_or(now, |busy| busy.max(now)) + takes;
        self.busy_until = Some(done);
        done
    }

    fn attr(&self, number: u64) -> Result<FileAttr, Errno> {
        if number == u64::from(INodeNo::ROOT) {
            return Ok(attr(number, FileType::Directory, 0, UNIX_EPOCH));
        }
        let file = self.files.get(&number).ok_or(Errno::ENOENT)?;
        Ok(attr(number, FileType::RegularFile, file.bytes.len() as u64, file.modified))
    }

    fn named(&self, name: &OsStr) -> Result<u64, Errno> {
        self.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn create(&mut self, name: &OsStr) -> u64 {
        self.last = self.last.max(u64::from(INodeNo::ROOT)) + 1;
        self.names.insert(name.to_owned(), self.last);
        self.files.insert(self.last, File { bytes: Vec::new(), modified: SystemTime::now() });
        self.last
    }

    fn set_len(&mut self, number: u64, len: u64) -> Result<(), Errno> {
        let file = self.files.get_mut(&number).ok_or(Errno::ENOENT)?;
        let len = usize::try_from(len).ok().filter(|_| len <= MAX_LEN).ok_or(Errno::EFBIG)?;
        file.bytes.resize(len, 0);
        file.modified = SystemTime::now();
        Ok(())
    }

    fn write(&mut self, number: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let end = offset.saturating_add(data.len() as u64);
        let len = self.files.get(&number).ok_or(Errno::ENOENT)?.bytes.len() as u64;
        self.set_len(number, end.max(len))?;
        let file = self.files.get_mut(&number).ok_or(Errno::ENOENT)?;
        let start = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        file.bytes[start..start + data.len()].copy_from_slice(data);
        u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
    }

    fn read(&self, number: u64, offset: u64, len: u32) -> Result<&[u8], Errno> {
        let bytes = &self.files.get(&number).ok_or(Errno::ENOENT)?.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(bytes.len());
        Ok(&bytes[start..end])
    }
}

fn attr(number: u64, kind: FileType, size: u64, modified: SystemTime) -> FileAttr {
    let perm = if kind == FileType::Directory { 0o755 } else { 0o644 };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let contents = self.contents();
        match contents.named(name).and_then(|number| contents.attr(number)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.contents().attr(number.into()) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (mut contents, number) = (self.contents(), u64::from(number));
        let set = size.map_or(Ok(()), |size| contents.set_len(number, size));
        match set.and_then(|()| contents.attr(number)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let mut contents = self.contents();
        let number = contents.named(name).unwrap_or_else(|_| contents.create(name));
        match contents.attr(number) {
            Ok(attr) => reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut contents = self.contents();
        match contents.names.remove(name).and_then(|number| contents.files.remove(&number)) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.take(data.len());
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        match self.contents().write(number.into(), offset, data) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.contents().read(number.into(), offset, len) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let contents = self.contents();
        let rest = contents.names.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX));
        for ((name, &number), next) in rest {
            if reply.add(INodeNo(number), next, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = MAX_LEN / u64::from(BLOCK);
        reply.statfs(blocks, blocks, blocks, 1_000, 1_000, BLOCK, 255, BLOCK);
    }
}

#[cfg(test)]
mod tests_of_slow {
    use super::*;

    #[test]
    fn files_are_made_written_read_cut_and_forgotten() {
        let mut contents = Contents::default();
        assert!(contents.named(OsStr::new("a")).is_err());
        let a = contents.create(OsStr::new("a"));
        assert_eq!(contents.named(OsStr::new("a")).ok(), Some(a));
        assert_eq!(contents.write(a, 3, b"defg").ok(), Some(4));
        assert_eq!(contents.write(a, 0, b"abc").ok(), Some(3));
        assert_eq!(contents.read(a, 1, 100).ok(), Some(&b"bcdefg"[..]));
        assert_eq!(contents.read(a, 2, 2).ok(), Some(&b"cd"[..]));
        assert_eq!(contents.read(a, 9, 2).ok(), Some(&b""[..]));
        assert!(contents.set_len(a, MAX_LEN + 1).is_err() && contents.write(a, MAX_LEN, b"x").is_err());
        assert!(contents.set_len(a, 2).is_ok());
        assert_eq!(contents.attr(a).map(|attr| attr.size).ok(), Some(2));
        assert!(contents.attr(a + 1).is_err());
    }

    #[test]
    fn what_is_written_takes_its_time_one_after_the_other() {
        let (mut contents, start) = (Contents::default(), Instant::now());
        let mut done = |len, after| {
            (contents.busy_with(len, 1e6, start + Duration::from_secs(after)) - start).as_secs_f64()
        };
        assert_eq!([done(1_000_000, 0), done(2_000_000, 0), done(500_000, 10)], [1.0, 3.0, 10.5]);
    }
}
