//! A disk that loses power and fails as it is told: a file system in user space (FUSE) that keeps its files in memory twice,
//! as programs see them and as they would be found after a cut.
//!
//! Pages of 4 KiB become durable with a sync of their file, or by chance at any moment, in any order. What was done to names
//! becomes durable with a sync of a folder, or by chance, in the order in which it was done. When the power is cut, each page
//! that is not durable is found as it was, as it was to be, or torn at a sector.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

/// How long the kernel believes what it was told: only it changes anything.
const BELIEVED: Duration = Duration::from_secs(60);
const PAGE: usize = 4096;
const SECTOR: usize = 512;
const MAX_LEN: u64 = 1 << 30;
const ROOT: u64 = 1;

/// The disk, mounted or not.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Contents>>);

/// As long as it lives, the disk is mounted.
pub(crate) struct Mounted {
    dir: PathBuf,
    session: Option<BackgroundSession>,
}

/// What a file is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Sync,
    /// Whatever adds anything, of all files.
    Change,
}

/// What the disk says to a call; `None` if it does it.
pub(crate) type Fault = Box<dyn FnMut(Call, &OsStr) -> Option<Errno> + Send>;

struct Contents {
    nodes: BTreeMap<u64, Node>,
    last: u64,
    /// What was done to names and is not durable.
    journal: Vec<Rename>,
    /// What no program has open or will find, and a cut may still bring back.
    forgotten: BTreeSet<u64>,
    rng: fastrand::Rng,
    fault: Option<Fault>,
    /// The most bytes that it takes at once.
    most: usize,
    /// Whether what a sync could not write can be read until the power is cut.
    stays_in_memory: bool,
    believed: Duration,
}

#[derive(Clone)]
enum Node {
    File(File),
    Folder { now: BTreeMap<OsString, u64>, durable: BTreeMap<OsString, u64> },
}

#[derive(Clone)]
struct File {
    name: OsString,
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Pages that may differ.
    dirty: BTreeSet<usize>,
    modified: SystemTime,
}

/// Names that change together.
type Rename = Vec<(u64, OsString, Option<u64>)>;

impl Disk {
    pub(crate) fn new(seed: u64) -> Disk {
        let root = Node::Folder { now: BTreeMap::new(), durable: BTreeMap::new() };
        let rng = fastrand::Rng::with_seed(seed);
        let nodes = BTreeMap::from([(ROOT, root)]);
        Disk(Arc::new(Mutex::new(Contents {
            nodes,
            last: ROOT,
            journal: Vec::new(),
            forgotten: BTreeSet::new(),
            rng,
            fault: None,
            most: usize::MAX,
            stays_in_memory: false,
            believed: BELIEVED,
        })))
    }

    pub(crate) fn mount(&self, dir: &Path) -> Mounted {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("cut".into())];
        let session = fuser::spawn_mount(Driver(self.clone()), dir, &config).unwrap();
        Mounted { dir: dir.to_owned(), session: Some(session) }
    }

    /// What is found after the power was cut. The disk is not to be mounted meanwhile.
    pub(crate) fn cut(&self) {
        self.contents().cut();
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.contents().fault = fault;
    }

    /// Has it take so many bytes of a write at most.
    pub(crate) fn set_most(&self, bytes: usize) {
        self.contents().most = bytes;
    }

    /// From now on each look at a file is a call.
    pub(crate) fn be_asked(&self) {
        self.contents().believed = Duration::ZERO;
    }

    /// Has memory keep what a sync could not write, as it mostly does.
    pub(crate) fn stay_in_memory(&self) {
        self.contents().stays_in_memory = true;
    }

    /// How many files that were made under this name it keeps, those that only a cut would bring back included.
    pub(crate) fn count(&self, made: &str) -> usize {
        let is_one = |node: &&Node| matches!(node, Node::File(file) if file.name == made);
        self.contents().nodes.values().filter(is_one).count()
    }

    /// The bytes of a file, if it is there.
    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let contents = self.contents();
        let mut at = ROOT;
        for name in path.split('/') {
            at = *contents.folder(at).ok()?.get(OsStr::new(name))?;
        }
        contents.file(at).ok().map(|file| file.now.clone())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("cannot unmount {}: {error}", self.dir.display());
        }
    }
}

impl Contents {
    fn folder(&self, number: u64) -> Result<&BTreeMap<OsString, u64>, Errno> {
        match self.nodes.get(&number) {
            Some(Node::Folder { now, .. }) => Ok(now),
            Some(Node::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn file(&self, number: u64) -> Result<&File, Errno> {
        match self.nodes.get(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder { .. }) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder { .. }) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn named(&self, folder: u64, name: &OsStr) -> Result<u64, Errno> {
        self.folder(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn attr(&self, number: u64) -> Result<FileAttr, Errno> {
        match self.nodes.get(&number).ok_or(Errno::ENOENT)? {
            Node::Folder { .. } => Ok(attr(number, FileType::Directory, 0, UNIX_EPOCH)),
            Node::File(file) => Ok(attr(number, FileType::RegularFile, file.now.len() as u64, file.modified)),
        }
    }

    /// What the disk is told to say.
    fn may(&mut self, call: Call, number: u64) -> Result<(), Errno> {
        let Some(mut fault) = self.fault.take() else { return Ok(()) };
        let name = self.file(number).map_or_else(|_| OsString::new(), |file| file.name.clone());
        let changes = matches!(call, Call::Write | Call::Change);
        let said = fault(call, &name).or_else(|| fault(Call::Change, &name).filter(|_| changes));
        self.fault = Some(fault);
        said.map_or(Ok(()), Err)
    }

    fn add(&mut self, folder: u64, name: &OsStr, node: Node) -> Result<u64, Errno> {
        self.may(Call::Change, folder)?;
        self.last += 1;
        let number = self.last;
        self.nodes.insert(number, node);
        self.rename(vec![(folder, name.to_owned(), Some(number))])?;
        Ok(number)
    }

    fn rename(&mut self, changes: Rename) -> Result<(), Errno> {
        for (folder, name, number) in &changes {
            let Some(Node::Folder { now, .. }) = self.nodes.get_mut(folder) else {
                return Err(Errno::ENOTDIR);
            };
            match number {
                Some(number) => now.insert(name.clone(), *number),
                None => now.remove(name),
            };
        }
        self.journal.push(changes);
        Ok(())
    }

    /// So many changes of names become durable.
    fn sync_names(&mut self, count: usize) {
        for (folder, name, number) in self.journal.drain(..count).flatten() {
            let Some(Node::Folder { durable, .. }) = self.nodes.get_mut(&folder) else { continue };
            match number {
                Some(number) => durable.insert(name, number),
                None => durable.remove(&name),
            };
        }
        self.free();
    }

    /// The kernel has let go of it; without a name, nobody finds it any more.
    fn forget(&mut self, number: u64) {
        self.forgotten.insert(number);
        self.free();
    }

    /// Frees the room of what was forgotten and has no name, now or after any cut.
    fn free(&mut self) {
        let (mut found, mut kept) = (BTreeSet::from([ROOT]), BTreeSet::<u64>::new());
        for node in self.nodes.values() {
            if let Node::Folder { now, durable } = node {
                found.extend(now.values());
                kept.extend(durable.values());
            }
        }
        kept.extend(self.journal.iter().flatten().filter_map(|(_, _, number)| number.as_ref()));
        for number in self.forgotten.difference(&found).filter(|number| !kept.contains(number)) {
            self.nodes.remove(number);
        }
        self.forgotten.retain(|number| !found.contains(number) && kept.contains(number));
    }

    fn set_len(&mut self, number: u64, len: u64) -> Result<(), Errno> {
        let len = usize::try_from(len).ok().filter(|_| len <= MAX_LEN).ok_or(Errno::EFBIG)?;
        let file = self.file_mut(number)?;
        let from = file.now.len().min(len) / PAGE;
        file.dirty.extend(from..file.now.len().max(len).div_ceil(PAGE));
        file.now.resize(len, 0);
        file.modified = SystemTime::now();
        Ok(())
    }

    fn write(&mut self, number: u64, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        self.may(Call::Write, number)?;
        let data = &data[..data.len().min(self.most)];
        let end = offset.saturating_add(data.len() as u64);
        if end > self.file(number)?.now.len() as u64 {
            self.set_len(number, end)?;
        }
        let lucky = self.rng.u32(..16) == 0;
        let random = self.rng.u64(..);
        let file = self.file_mut(number)?;
        let start = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        file.now[start..start + data.len()].copy_from_slice(data);
        file.dirty.extend(start / PAGE..(start + data.len()).div_ceil(PAGE));
        file.modified = SystemTime::now();
        if lucky {
            // What waits is written back at any time.
            let at = usize::try_from(random).unwrap_or(0) % file.dirty.len();
            let page = file.dirty.iter().nth(at).copied();
            page.into_iter().for_each(|page| file.keep(page, PAGE));
        }
        u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
    }

    fn sync(&mut self, number: u64) -> Result<(), Errno> {
        let said = self.may(Call::Sync, number);
        let stays = self.stays_in_memory;
        let file = self.file_mut(number)?;
        let dirty = std::mem::take(&mut file.dirty);
        match said {
            Ok(()) => {
                file.durable.resize(file.now.len(), 0);
                dirty.into_iter().for_each(|page| file.keep(page, PAGE));
            }
            // As Linux does it: what could not be written counts as written.
            Err(_) if stays => {}
            Err(_) => file.now.clone_from(&file.durable),
        }
        said
    }

    fn cut(&mut self) {
        let count = self.rng.usize(..=self.journal.len());
        self.sync_names(count);
        self.journal.clear();
        let rng = &mut self.rng;
        for node in self.nodes.values_mut() {
            match node {
                Node::Folder { now, durable } => now.clone_from(durable),
                Node::File(file) => file.cut(rng),
            }
        }
        self.forgotten.extend(self.nodes.keys());
        self.free();
        self.fault = None;
    }
}

impl File {
    /// A page becomes durable, up to so many of its bytes.
    fn keep(&mut self, page: usize, bytes: usize) {
        let start = page * PAGE;
        let end = (start + bytes).min(self.now.len());
        if end > self.durable.len() && start < end {
            self.durable.resize(end, 0);
        }
        if start < end {
            self.durable[start..end].copy_from_slice(&self.now[start..end]);
        }
        if bytes == PAGE {
            self.dirty.remove(&page);
        }
    }

    fn cut(&mut self, rng: &mut fastrand::Rng) {
        if self.now.len() != self.durable.len() && rng.bool() {
            self.durable.resize(self.now.len(), 0);
        }
        let len = self.durable.len();
        for page in std::mem::take(&mut self.dirty) {
            match rng.u32(..3) {
                0 => {}
                1 => self.keep(page, PAGE),
                _ => self.keep(page, rng.usize(1..PAGE / SECTOR) * SECTOR),
            }
        }
        self.durable.truncate(len);
        self.now.clone_from(&self.durable);
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
        blksize: 4096,
        flags: 0,
    }
}

/// The disk as the kernel sees it.
struct Driver(Disk);

impl Driver {
    fn entry(&self, found: Result<u64, Errno>, reply: ReplyEntry) {
        let contents = self.0.contents();
        match found.and_then(|number| contents.attr(number)) {
            Ok(attr) => reply.entry(&contents.believed, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Driver {
    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.0.contents().named(folder.into(), name);
        self.entry(found, reply);
    }

    fn forget(&self, _: &Request, number: INodeNo, _: u64) {
        self.0.contents().forget(number.into());
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let contents = self.0.contents();
        match contents.attr(number.into()) {
            Ok(attr) => reply.attr(&contents.believed, &attr),
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
        let (mut contents, number) = (self.0.contents(), u64::from(number));
        let set = size.map_or(Ok(()), |size| {
            contents.may(Call::Write, number)?;
            contents.set_len(number, size)
        });
        match set.and_then(|()| contents.attr(number)) {
            Ok(attr) => reply.attr(&contents.believed, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, folder: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let node = Node::Folder { now: BTreeMap::new(), durable: BTreeMap::new() };
        let made = self.0.contents().add(folder.into(), name, node);
        self.entry(made, reply);
    }

    fn create(&self, _: &Request, folder: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let mut contents = self.0.contents();
        let folder = u64::from(folder);
        let file = File {
            name: name.to_owned(),
            now: Vec::new(),
            durable: Vec::new(),
            dirty: BTreeSet::new(),
            modified: SystemTime::now(),
        };
        let number = contents.named(folder, name).or_else(|_| contents.add(folder, name, Node::File(file)));
        match number.and_then(|number| contents.attr(number)) {
            Ok(attr) => {
                reply.created(&contents.believed, &attr, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (mut contents, folder) = (self.0.contents(), u64::from(folder));
        let found = contents.named(folder, name);
        done(found.and_then(|_| contents.rename(vec![(folder, name.to_owned(), None)])), reply);
    }

    fn rmdir(&self, request: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(request, folder, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        from: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut contents = self.0.contents();
        let moved = contents.named(from.into(), name).and_then(|number| {
            contents.may(Call::Change, number)?;
            let names =
                vec![(u64::from(from), name.to_owned(), None), (u64::from(to), new.to_owned(), Some(number))];
            contents.rename(names)
        });
        done(moved, reply);
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
        match self.0.contents().write(number.into(), offset, data) {
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
        let mut contents = self.0.contents();
        match contents.may(Call::Read, number.into()).and_then(|()| contents.file(number.into())) {
            Ok(file) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.now.len());
                let end = start.saturating_add(len as usize).min(file.now.len());
                reply.data(&file.now[start..end]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.0.contents().sync(number.into()), reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut contents = self.0.contents();
        let all = contents.journal.len();
        contents.sync_names(all);
        reply.ok();
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let contents = self.0.contents();
        let Ok(folder) = contents.folder(number.into()) else { return reply.error(Errno::ENOTDIR) };
        let rest = folder.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX));
        for ((name, &number), next) in rest {
            let kind =
                if contents.folder(number).is_ok() { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(number), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = MAX_LEN / 4096;
        reply.statfs(blocks, blocks, blocks, 1_000, 1_000, 4096, 255, 4096);
    }
}
