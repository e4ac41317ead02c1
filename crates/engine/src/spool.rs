//! Torrent files that nobody asks for now: in one file without a name, which goes with the process.
//!
//! Nine tenths of what is known of a torrent are the hashes of its pieces. A seed needs none of them until a peer asks for
//! metadata, or a piece is checked again. They are read back then, from the system's cache as a rule. While pieces come or
//! are checked, they are in memory. Of a torrent that is asleep nothing else is either: no names, no lengths of files.

use crate::shared::lock;
use metainfo::{Metainfo, Shelf};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// Bytes of an info dictionary that are worth a read of their own. A torrent with a shorter one stays in memory.
const MIN_SPOOLED: usize = 2048;
/// Bytes of all that are in the file together. What has no room there stays in memory.
const MAX_SPOOLED: u64 = 8 << 30;
/// Each begins at a multiple of it, so that its room can be given back.
const ALIGNED_TO: u64 = 4096;

/// Where torrent files lie.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    /// Made for the first of them, once there is a folder for it.
    file: OnceLock<File>,
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    /// Where the next one begins.
    end: u64,
    used: u64,
}

impl Spool {
    /// One whose file is made in `dir`.
    pub(crate) fn new(dir: &Path) -> Arc<Spool> {
        Arc::new(Spool { dir: dir.to_owned(), file: OnceLock::new(), room: Mutex::default() })
    }

    /// Whether [`keep`](Self::keep) has something to do.
    pub(crate) fn takes(&self, metainfo: &Metainfo) -> bool {
        metainfo.info_len() >= MIN_SPOOLED && metainfo.shelf().is_none()
    }

    /// The same torrent, whose info dictionary takes no memory, if it is long and there is room for it. May wait for the
    /// disk.
    pub(crate) fn keep(self: &Arc<Self>, metainfo: Arc<Metainfo>) -> Arc<Metainfo> {
        if !self.takes(&metainfo) {
            return metainfo;
        }
        metainfo.shelved(|whole, info| self.put(whole, info)).map_or(metainfo, Arc::new)
    }

    fn put(self: &Arc<Self>, whole: &[u8], info: Range<usize>) -> Option<Arc<dyn Shelf>> {
        let file = self.file()?;
        let room = (whole.len() as u64).next_multiple_of(ALIGNED_TO);
        let at = {
            let mut all = lock(&self.room);
            if all.used + room > MAX_SPOOLED {
                return None;
            }
            all.used += room;
            all.end += room;
            all.end - room
        };
        let spooled = Spooled { spool: self.clone(), at, len: whole.len(), info, held: Mutex::default() };
        match file.write_all_at(whole, at) {
            Ok(()) => Some(Arc::new(spooled)),
            Err(err) => {
                tracing::warn!("hashes of pieces stay in memory: {err}");
                None
            }
        }
    }

    fn file(&self) -> Option<&File> {
        if self.file.get().is_none() {
            match nameless(&self.dir) {
                // Another thread may have been quicker.
                Ok(file) => drop(self.file.set(file)),
                // Who only seeds one torrent has no state.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => tracing::warn!("hashes of pieces stay in memory: {err}"),
            }
        }
        self.file.get()
    }
}

/// A file that nobody else sees, and that is gone when it is closed.
fn nameless(dir: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        return Ok(fd.into());
    }
    // Not every file system can do that.
    let path = dir.join(format!("spool-{}-{:x}", std::process::id(), fastrand::u64(..)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// One of them.
struct Spooled {
    spool: Arc<Spool>,
    at: u64,
    len: usize,
    /// Where in it the info dictionary lies.
    info: Range<usize>,
    held: Mutex<Held>,
}

#[derive(Default)]
enum Held {
    #[default]
    No,
    /// With the next read.
    Soon,
    Yes(Box<[u8]>),
}

impl Shelf for Spooled {
    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        let Some(end) = at.checked_add(into.len()).filter(|&end| end <= self.info.len()) else {
            return false;
        };
        let info = self.at + self.info.start as u64;
        let Some(file) = self.spool.file.get() else { return false };
        {
            let mut held = lock(&self.held);
            if matches!(*held, Held::Soon) {
                let mut all = vec![0; self.info.len()].into_boxed_slice();
                if file.read_exact_at(&mut all, info).is_ok() {
                    *held = Held::Yes(all);
                }
            }
            if let Held::Yes(all) = &*held {
                into.copy_from_slice(&all[at..end]);
                return true;
            }
        }
        file.read_exact_at(into, info + at as u64).is_ok()
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let mut whole = vec![0; self.len];
        self.spool.file.get()?.read_exact_at(&mut whole, self.at).ok()?;
        Some(whole)
    }

    fn expect_reads(&self, often: bool) {
        let mut held = lock(&self.held);
        match (&*held, often) {
            (Held::No, true) => *held = Held::Soon,
            (_, false) => *held = Held::No,
            (Held::Soon | Held::Yes(_), true) => {}
        }
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let room = (self.len as u64).next_multiple_of(ALIGNED_TO);
        lock(&self.spool.room).used -= room;
        if let Some(file) = self.spool.file.get() {
            // Where that is not possible the file keeps its size until the end.
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(file, hole, self.at, room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use types::PieceIndex;

    /// A torrent of so many pieces.
    fn torrent(pieces: usize) -> Arc<Metainfo> {
        let head = format!("d4:infod6:lengthi{pieces}e4:name1:n12:piece lengthi1e6:pieces{}:", 20 * pieces);
        let hashes: Vec<u8> = (0..20 * pieces).map(|at| u8::try_from(at % 251).unwrap()).collect();
        Arc::new(Metainfo::parse(&[head.as_bytes(), &hashes, b"ee"].concat()).unwrap())
    }

    fn hash(metainfo: &Metainfo, piece: u32) -> [u8; 20] {
        metainfo.piece_hash(PieceIndex::new(piece)).unwrap().unwrap()
    }

    #[test]
    fn what_is_long_is_read_back_and_its_room_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path());
        let short = spool.keep(torrent(MIN_SPOOLED / 20 - 10));
        assert!(short.shelf().is_none() && spool.file.get().is_none());
        let whole = [torrent(1000), torrent(5000)];
        let [first, second] = whole.clone().map(|whole| spool.keep(whole));
        let again = Metainfo::from_shelf(second.shelf().unwrap()).unwrap();
        assert_eq!((&again, hash(&again, 4999)), (&*whole[1], hash(&whole[1], 4999)));
        drop(again);
        for often in [false, true, true, false] {
            second.shelf().unwrap().expect_reads(often);
            assert_eq!((hash(&first, 999), hash(&second, 7)), (hash(&whole[0], 999), hash(&whole[1], 7)));
            assert_eq!(second.info_bytes(), whole[1].info_bytes());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it has no name");
        let blocks = || spool.file.get().unwrap().metadata().unwrap().blocks();
        let before = blocks();
        drop(second);
        assert!(blocks() < before);
        assert_eq!(lock(&spool.room).used, 20480);
        assert_eq!(hash(&first, 3), hash(&whole[0], 3));
    }

    #[test]
    fn what_has_no_room_stays_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Spool::new(&dir.path().join("missing"));
        assert!(missing.keep(torrent(1000)).shelf().is_none());
        std::fs::create_dir(dir.path().join("missing")).unwrap();
        assert!(missing.keep(torrent(1000)).shelf().is_some(), "there is a folder now");
        lock(&missing.room).used = MAX_SPOOLED - ALIGNED_TO;
        assert!(missing.keep(torrent(1000)).shelf().is_none());
    }

    #[test]
    fn a_file_that_is_too_short_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path());
        let kept = spool.keep(torrent(1000));
        spool.file.get().unwrap().set_len(9000).unwrap();
        assert!(kept.piece_hash(PieceIndex::new(3)).is_ok());
        for often in [false, true] {
            kept.shelf().unwrap().expect_reads(often);
            assert!(kept.piece_hash(PieceIndex::new(999)).is_err());
        }
        assert!(Metainfo::from_shelf(kept.shelf().unwrap()).is_err());
    }
}
