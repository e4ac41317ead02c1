//! What a new torrent is made of: the files under a path, and the hashes of their pieces.

use crate::Error;
use crate::abreast;
use crate::limits::{MAX_WALK_DEPTH, MAX_WALKED_FILES};
use crate::os::{Os, stamp_of};
use crate::pool::lock;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The files that a new torrent would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The name of the file or folder.
    pub name: String,
    /// Whether the path is one file, not a folder.
    pub single_file: bool,
    /// Regular files, sorted by the bytes of their path elements.
    pub files: Vec<WalkedFile>,
    /// Symbolic links within the folder, which are left out.
    pub skipped_links: Vec<PathBuf>,
}

impl Walk {
    /// The sum of the files' lengths, in bytes.
    pub fn total(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }
}

/// One file of a new torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path within the folder; the name alone for a single file.
    pub elements: Vec<String>,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last changed, in nanoseconds since 1970.
    pub mtime_nanos: i64,
}

/// Finds the files under `path`. The path itself may be a symbolic link; links within it are left out.
///
/// # Errors
///
/// For anything that cannot be read, devices and the like, names that are not UTF-8, and a path that holds no
/// bytes.
pub fn walk(path: &Path) -> Result<Walk, Error> {
    let real = std::fs::canonicalize(path).map_err(|e| Error::io("open", path, &e))?;
    // The name is the one that was given, even if it is a link's; "." and the like have only a real one.
    let name =
        path.file_name().or(real.file_name()).ok_or_else(|| Error::NothingThere(path.to_path_buf()))?;
    let name = utf8(name, path)?;
    let top = std::fs::metadata(path).map_err(|e| Error::io("open", path, &e))?;
    let mut walk = Walk { single_file: top.is_file(), name, files: Vec::new(), skipped_links: Vec::new() };
    if top.is_dir() {
        walk_folder(path, &mut walk)?;
        walk.files.sort_by(|a, b| a.elements.cmp(&b.elements));
    } else {
        let file = walked_file(path.to_path_buf(), vec![walk.name.clone()], &top)?;
        walk.files.push(file);
    }
    if walk.total() == 0 {
        return Err(Error::NothingThere(path.to_path_buf()));
    }
    Ok(walk)
}

fn walk_folder(top: &Path, walk: &mut Walk) -> Result<(), Error> {
    let mut folders = vec![(top.to_path_buf(), Vec::<String>::new())];
    while let Some((folder, elements)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| Error::io("read", &folder, &e))? {
            let entry = entry.map_err(|e| Error::io("read", &folder, &e))?;
            let path = entry.path();
            let metadata = entry.metadata().map_err(|e| Error::io("look at", &path, &e))?;
            let mut elements = elements.clone();
            elements.push(utf8(&entry.file_name(), &path)?);
            if elements.len() > MAX_WALK_DEPTH || walk.files.len() >= MAX_WALKED_FILES {
                return Err(Error::TooManyFiles(top.to_path_buf()));
            }
            if metadata.is_symlink() {
                walk.skipped_links.push(path);
            } else if metadata.is_dir() {
                folders.push((path, elements));
            } else {
                walk.files.push(walked_file(path, elements, &metadata)?);
            }
        }
    }
    walk.skipped_links.sort();
    Ok(())
}

fn walked_file(path: PathBuf, elements: Vec<String>, metadata: &Metadata) -> Result<WalkedFile, Error> {
    if !metadata.is_file() {
        return Err(Error::NotAFile(path));
    }
    let mtime_nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok(WalkedFile { path, elements, length: metadata.len(), mtime_nanos })
}

fn utf8(name: &std::ffi::OsStr, path: &Path) -> Result<String, Error> {
    name.to_str().map(str::to_owned).ok_or_else(|| Error::NotUtf8(path.to_path_buf()))
}

/// Hashes the pieces of `files`, laid end to end, on `threads` threads. Blocks the calling thread.
///
/// `progress` is told how many bytes are hashed so far, from any of the threads.
///
/// # Errors
///
/// [`Error::Changed`] if a file is not as [`walk`] found it, and whatever the operating system reports.
///
/// # Panics
///
/// If `piece_length` is 0.
pub fn hash_files(
    files: &[WalkedFile],
    piece_length: u32,
    threads: usize,
    progress: impl Fn(u64) + Sync,
) -> Result<Vec<[u8; 20]>, Error> {
    let hashing = Hashing::new(files, piece_length, threads.max(1), &progress);
    let threads = threads.clamp(1, hashing.piece_count().max(1));
    std::thread::scope(|scope| {
        // Where the system has no more threads, the ones that there are do it.
        let start = || std::thread::Builder::new().spawn_scoped(scope, || hashing.run());
        let _ = (1..threads).try_for_each(|_| start().map(drop));
        hashing.run();
    });
    if let Some(error) = lock(&hashing.error).take() {
        return Err(error);
    }
    // Only now is it sure that nobody wrote to a file that was already done with.
    files.iter().try_for_each(|file| unchanged(file, &open(file)?))?;
    Ok(hashing.hashes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// What the hashing threads share.
struct Hashing<'a> {
    files: &'a [WalkedFile],
    /// Where each file starts.
    offsets: Vec<u64>,
    total: u64,
    piece_length: u64,
    threads: usize,
    next: AtomicUsize,
    hashed: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
    hashes: Mutex<Vec<[u8; 20]>>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Hashing<'a> {
    fn new(
        files: &'a [WalkedFile],
        piece_length: u32,
        threads: usize,
        progress: &'a (dyn Fn(u64) + Sync),
    ) -> Hashing<'a> {
        let mut total = 0;
        let mut offsets = Vec::with_capacity(files.len());
        for file in files {
            offsets.push(total);
            total += file.length;
        }
        let piece_length = u64::from(piece_length);
        let count = usize::try_from(total.div_ceil(piece_length)).unwrap_or(usize::MAX);
        Hashing {
            files,
            offsets,
            total,
            piece_length,
            threads,
            next: AtomicUsize::new(0),
            hashed: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            error: Mutex::default(),
            hashes: Mutex::new(vec![[0; 20]; count]),
            progress,
        }
    }

    fn piece_count(&self) -> usize {
        lock(&self.hashes).len()
    }

    /// Hashes pieces, a few at a time, until there is none left.
    fn run(&self) {
        let mut reader = Reader { hashing: self, open: None };
        let mut buf = Vec::new();
        let count = self.piece_count();
        // Each thread should have its share of a small torrent.
        let width = abreast::width(self.length_of(0)).min(count.div_ceil(self.threads));
        while !self.failed.load(Ordering::Relaxed) {
            let first = self.next.fetch_add(width, Ordering::Relaxed);
            if first >= count {
                break;
            }
            let pieces = first..count.min(first + width);
            if let Err(error) = reader.hash(pieces, &mut buf) {
                self.failed.store(true, Ordering::Relaxed);
                lock(&self.error).get_or_insert(error);
            }
        }
    }

    fn length_of(&self, piece: usize) -> u32 {
        let left = self.total.saturating_sub(piece as u64 * self.piece_length);
        u32::try_from(left.min(self.piece_length)).expect("no longer than a piece")
    }
}

/// One thread's view of the files: the last one stays open.
struct Reader<'a> {
    hashing: &'a Hashing<'a>,
    open: Option<(usize, File)>,
}

impl Reader<'_> {
    fn hash(&mut self, pieces: Range<usize>, buf: &mut Vec<u8>) -> Result<(), Error> {
        let hashing = self.hashing;
        let lengths: Vec<u32> = pieces.clone().map(|piece| hashing.length_of(piece)).collect();
        let hashes = abreast::hash(&lengths, buf, |which, at, part| {
            let start = (pieces.start + which) as u64 * hashing.piece_length + u64::from(at);
            self.fill(start, part)
        });
        for (piece, hash) in pieces.zip(hashes) {
            lock(&hashing.hashes)[piece] = hash?;
        }
        Ok(())
    }

    /// Reads what lies from `at` on in the files laid end to end.
    fn fill(&mut self, mut at: u64, mut part: &mut [u8]) -> Result<(), Error> {
        let hashing = self.hashing;
        while !part.is_empty() {
            let index = hashing.offsets.partition_point(|&offset| offset <= at) - 1;
            let in_file = at - hashing.offsets[index];
            let left = usize::try_from(hashing.files[index].length - in_file).unwrap_or(usize::MAX);
            let (now, after) = part.split_at_mut(left.min(part.len()));
            self.read(index, in_file, now)?;
            at += now.len() as u64;
            let before = hashing.hashed.fetch_add(now.len() as u64, Ordering::Relaxed);
            (hashing.progress)(before + now.len() as u64);
            part = after;
        }
        Ok(())
    }

    fn read(&mut self, index: usize, offset: u64, part: &mut [u8]) -> Result<(), Error> {
        let file = &self.hashing.files[index];
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let opened = open(file)?;
            unchanged(file, &opened)?;
            self.open = Some((index, opened));
        }
        let (_, opened) = self.open.as_ref().expect("opened above");
        let read = Os::default().read(opened, part, offset);
        match read.map_err(|e| Error::os("read", &file.path, e))? {
            n if n < part.len() => Err(Error::Changed(file.path.clone())),
            _ => Ok(()),
        }
    }
}

fn open(file: &WalkedFile) -> Result<File, Error> {
    File::open(&file.path).map_err(|e| Error::io("open", &file.path, &e))
}

fn unchanged(file: &WalkedFile, opened: &File) -> Result<(), Error> {
    let stamp = stamp_of(opened).map_err(|e| Error::os("look at", &file.path, e))?;
    if stamp.size == file.length && stamp.mtime_nanos == file.mtime_nanos {
        Ok(())
    } else {
        Err(Error::Changed(file.path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1::Digest as _;
    use std::fs;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::TempDir::new().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join("t").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn files_are_sorted_by_elements_and_links_left_out() {
        let dir = folder(&[("b", b"1"), ("a.txt", b""), ("a/z", b"22"), ("a/B", b"3"), ("é", b"4")]);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("t/link")).unwrap();
        let found = walk(&dir.path().join("t")).unwrap();
        let paths: Vec<_> = found.files.iter().map(|f| f.elements.join("/")).collect();
        assert_eq!(paths, ["a/B", "a/z", "a.txt", "b", "é"]);
        assert_eq!((found.name.as_str(), found.single_file, found.total()), ("t", false, 5));
        assert_eq!(found.skipped_links, [dir.path().join("t/link")]);
        let one = walk(&dir.path().join("t/a/z")).unwrap();
        assert_eq!((one.name.as_str(), one.single_file), ("z", true));
        assert_eq!(one.files[0].elements, ["z"]);
    }

    #[test]
    fn a_path_through_dots_has_its_real_name() {
        let dir = folder(&[("a/x", b"1")]);
        assert_eq!(walk(&dir.path().join("t/a/..")).unwrap().name, "t");
    }

    #[test]
    fn what_cannot_be_in_a_torrent_is_refused() {
        let dir = folder(&[("empty", b"")]);
        let t = dir.path().join("t");
        assert_eq!(walk(&t), Err(Error::NothingThere(t.clone())));
        assert_eq!(walk(&dir.path().join("no")), Err(Error::Gone(dir.path().join("no"))));
        let socket = t.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(walk(&t), Err(Error::NotAFile(socket.clone())));
        fs::remove_file(socket).unwrap();
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
        fs::write(t.join(name), "x").unwrap();
        assert_eq!(walk(&t), Err(Error::NotUtf8(t.join(name))));
    }

    #[test]
    fn folders_that_are_too_deep_are_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let deep = dir.path().join(vec!["d"; MAX_WALK_DEPTH].join("/"));
        fs::create_dir_all(&deep).unwrap();
        assert!(matches!(walk(dir.path()), Err(Error::NothingThere(_))));
        fs::write(deep.join("x"), "x").unwrap();
        assert!(matches!(walk(dir.path()), Err(Error::TooManyFiles(_))));
    }

    #[test]
    fn more_files_than_a_torrent_may_have_are_refused() {
        let dir = folder(&[("x", b"x")]);
        let found = WalkedFile { path: PathBuf::new(), elements: Vec::new(), length: 1, mtime_nanos: 0 };
        let mut walk = Walk {
            name: String::new(),
            single_file: false,
            files: vec![found; MAX_WALKED_FILES - 1],
            skipped_links: Vec::new(),
        };
        let top = dir.path().join("t");
        assert_eq!(walk_folder(&top, &mut walk), Ok(()));
        assert_eq!(walk.files.len(), MAX_WALKED_FILES);
        assert_eq!(walk_folder(&top, &mut walk), Err(Error::TooManyFiles(top)));
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let dir = folder(&[("a", &[7; 100_000]), ("b", &[8; 100_000])]);
        let found = walk(&dir.path().join("t")).unwrap();
        assert_eq!(hash_files(&found.files, 16_384, 2, |_| {}).unwrap().len(), 13);
        let b = dir.path().join("t/b");
        // Written to when all of it was read already.
        let late = hash_files(&found.files, 16_384, 1, |done| {
            if done == 200_000 {
                fs::write(&b, [9; 100_000]).unwrap();
            }
        });
        assert_eq!(late, Err(Error::Changed(b.clone())));
        fs::write(&b, "short").unwrap();
        assert_eq!(hash_files(&found.files, 16_384, 2, |_| {}), Err(Error::Changed(b.clone())));
        fs::remove_file(&b).unwrap();
        assert_eq!(hash_files(&found.files, 16_384, 2, |_| {}), Err(Error::Gone(b)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn hashes_are_those_of_the_bytes_end_to_end(
            lengths in proptest::collection::vec(prop_oneof![0usize..4, 0usize..50_000], 1..8),
            piece_length in 1u32..40_000,
            threads in 1usize..4,
        ) {
            prop_assume!(lengths.iter().sum::<usize>() > 0);
            prop_assume!(lengths.iter().sum::<usize>() / (piece_length as usize) < 2_000);
            let bytes: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(n, &len)| (0..len).map(|i| u8::try_from(i * (n + 3) / 7 % 256).unwrap()).collect()).collect();
            let names: Vec<String> = (0..lengths.len()).map(|n| format!("f{n}")).collect();
            let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)).collect();
            let dir = folder(&files);
            let found = walk(&dir.path().join("t")).unwrap();
            let expected: Vec<[u8; 20]> =
                bytes.concat().chunks(piece_length as usize).map(|piece| sha1::Sha1::digest(piece).into()).collect();
            prop_assert_eq!(hash_files(&found.files, piece_length, threads, |_| {}).unwrap(), expected);
        }
    }
}
