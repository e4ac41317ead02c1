//! What is remembered of a download between two runs: a locked place for each torrent and folder.
//!
//! A **record** is a hint that is verified, never a promise that is believed. It is written whole to a new file, synced,
//! and then takes the old one's name, so that a crash leaves either; a checksum refuses anything else. Pieces in it are
//! durable: they were synced before the record was written. A record says whether its run ended cleanly: if so, files
//! that look the way it says are trusted; if not, its pieces are (files may have grown since), and all others are hashed.
//!
//! A **note** lies beside the record and says which blocks of unfinished pieces were written since. It is not synced, and
//! counts only together with the very record that it was written after: what a crash makes of it can do no harm.

#[path = "resume/shelf.rs"]
mod shelf;

use crate::Error;
use bencode::{DictEncoder, ListEncoder, Value, encode_dict};
use shelf::{Files, Rows, Shelf, What};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::{FileStamp, Snapshot};
use store::{Change, Loaded, Store, TORRENTS_FOLDER, Table};
use types::{Bitfield, InfoHashV1, Lengths, PieceIndex};

/// How a record and a note begin, followed by the SHA-1 of the place's name and the rest: what was left for one torrent
/// says nothing of another.
const RECORD_MAGIC: &[u8; 20] = b"rawtorrent resume 1\n";
const NOTE_MAGIC: &[u8; 20] = b"rawtorrent blocks 1\n";
const HEAD: usize = 40;

/// Peers that are remembered of a torrent; no more are read.
pub(crate) const MAX_PEERS: usize = 50;

type Checksum = [u8; 20];

/// What a run leaves to the next one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// Whether the run ended and nothing was written after this record.
    pub(crate) clean: bool,
    /// What is durable, what files look like, and which of them are ours.
    pub(crate) disk: Snapshot,
    /// Payload bytes received, all runs together.
    pub(crate) downloaded: u64,
    /// Payload bytes sent, all runs together.
    pub(crate) uploaded: u64,
    /// How long all that is wanted of it was there, all runs together; kept in whole seconds.
    pub(crate) seeded: Duration,
    /// The mount point under which the folder lies.
    pub(crate) mount: Option<PathBuf>,
    /// Peers that answered when they were dialed.
    pub(crate) peers: Vec<SocketAddr>,
}

impl Record {
    /// Of a torrent that never ran.
    pub(crate) fn before_the_first_run(lengths: Lengths, files: usize, mount: Option<PathBuf>) -> Record {
        let disk = Snapshot {
            pieces: Bitfield::new(lengths.piece_count()),
            partial: Vec::new(),
            ours: vec![false; files],
            files: vec![None; files],
        };
        let (seeded, peers) = (Duration::ZERO, Vec::new());
        Record { clean: false, disk, downloaded: 0, uploaded: 0, seeded, mount, peers }
    }

    /// Puts it in a store, unless the torrent has one there already.
    pub(crate) fn first_row(&self, info_hash: InfoHashV1) -> Change {
        let (_, bytes) = seal(RECORD_MAGIC, &info_hash.to_string(), &encode_record(self));
        Change::put_if_absent(Table::Progress, info_hash.0, bytes)
    }

    /// Puts it in a store, in place of what the torrent has there.
    pub(crate) fn row(&self, info_hash: InfoHashV1) -> Change {
        let (_, bytes) = seal(RECORD_MAGIC, &info_hash.to_string(), &encode_record(self));
        Change::put(Table::Progress, info_hash.0, bytes)
    }

    /// That of a row of a store, if it is one of the torrent's.
    pub(crate) fn of_row(
        info_hash: InfoHashV1,
        row: &[u8],
        lengths: Lengths,
        files: usize,
    ) -> Option<Record> {
        let (_, body) = open(RECORD_MAGIC, &info_hash.to_string(), row)?;
        decode_record(body, lengths, files)
    }

    /// Nothing that it says of pieces holds any more; which files are ours, and that they were there, still does.
    pub(crate) fn doubt_everything(&mut self, lengths: Lengths) {
        self.clean = false;
        self.disk.pieces = Bitfield::new(lengths.piece_count());
        self.disk.partial.clear();
    }

    /// Whether files of the torrent with something in them were there, whatever is known of it: a later run has to find them.
    pub(crate) fn had_files(&self) -> bool {
        has_files(&self.disk)
    }
}

/// Whether files with something in them are there.
pub(crate) fn has_files(disk: &Snapshot) -> bool {
    disk.files.iter().flatten().any(|stamp| stamp.size > 0)
}

/// The place of one torrent's record, locked against other processes for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    /// Of a torrent in a store.
    key: Option<InfoHashV1>,
    shelf: Shelf,
    /// What its files are called but for their extensions.
    base: Arc<Path>,
    /// Of the record that is there now.
    checksum: Mutex<Option<Checksum>>,
    /// Unlocked by the system when it is dropped, also when the process is killed. The file stays until the torrent is
    /// [erased](erase).
    _lock: File,
}

impl Place {
    /// Locks the place of the torrent `info_hash` in the folder `dir`, which need not exist yet.
    pub(crate) fn lock(state_dir: &Path, info_hash: InfoHashV1, dir: &Path) -> Result<Place, Error> {
        let folder = state_dir.join(TORRENTS_FOLDER);
        fs::create_dir_all(&folder).map_err(state_error(&folder))?;
        let dir_name = true_name(dir).map_err(state_error(dir))?;
        let digest = hash::sha1(dir_name.as_os_str().as_encoded_bytes());
        let tag = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        Place::lock_at(folder.join(format!("{info_hash}-{tag}")).into(), dir)
    }

    /// The same, given what its files are called but for their extensions.
    fn lock_at(base: Arc<Path>, dir: &Path) -> Result<Place, Error> {
        let lock_path = base.with_extension("lock");
        let lock = loop {
            let lock = File::create(&lock_path).map_err(state_error(&lock_path))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_path_buf())),
                Err(TryLockError::Error(err)) => return Err(state_error(&lock_path)(err)),
            }
            if is_at(&lock, &lock_path).map_err(state_error(&lock_path))? {
                break lock;
            }
        };
        Ok(Place {
            shelf: Shelf::Files(Files(base.clone())),
            base,
            checksum: Mutex::default(),
            _lock: lock,
            key: None,
        })
    }

    /// What is sealed with it counts here only: the torrent and the folder, or of a store's row the torrent.
    fn name(&self) -> String {
        self.key.map_or_else(|| self.name_of_files(), |key| key.to_string())
    }

    fn name_of_files(&self) -> String {
        self.base.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The same place; what is remembered is kept in a store from now on.
    pub(crate) fn in_store(mut self, store: Arc<Store>, info_hash: InfoHashV1) -> Place {
        if let Shelf::Files(before) = self.shelf {
            self.shelf = Shelf::Rows(Box::new(Rows::new(store, info_hash.0.into(), before)));
            self.key = Some(info_hash);
        }
        self
    }

    /// Where bytes of unwanted files are kept.
    pub(crate) fn parts(&self) -> PathBuf {
        self.base.with_extension("parts")
    }

    /// The record of the last run, with the blocks that were noted after it. None if there is none, or if it is damaged
    /// or of another version: everything is hashed again then.
    pub(crate) async fn load(&self, lengths: Lengths, files: usize) -> Result<Option<Record>, Error> {
        let Some(bytes) = self.shelf.read(What::Record).await? else { return Ok(None) };
        let Some((checksum, body)) = self.open(RECORD_MAGIC, &bytes) else { return Ok(None) };
        let Some(mut record) = decode_record(body, lengths, files) else { return Ok(None) };
        let note = self.shelf.read(What::Note).await?;
        let noted = note.as_ref().and_then(|note| self.open(NOTE_MAGIC, note));
        if let Some(noted) = noted.and_then(|(_, body)| decode_note(body, checksum, lengths)) {
            record.disk.partial = noted;
        }
        self.remember(Some(checksum));
        Ok(Some(record))
    }

    /// Removes its files.
    fn erase(self) {
        Files(self.base.clone()).remove();
        let _ = fs::remove_file(self.parts());
        // Last: it is still ours.
        let _ = fs::remove_file(self.base.with_extension("lock"));
    }

    /// Replaces the record; it is durable when this returns.
    pub(crate) async fn save(&self, record: &Record) -> Result<(), Error> {
        let (checksum, bytes) = seal(RECORD_MAGIC, &self.name(), &encode_record(record));
        self.shelf.write(What::Record, bytes).await?;
        self.remember(Some(checksum));
        Ok(())
    }

    /// Notes which blocks of unfinished pieces were written since the record was. Survives the end of the process, but
    /// not always that of the system.
    pub(crate) async fn note(&self, partial: &[(PieceIndex, Vec<u32>)]) -> Result<(), Error> {
        let Some(base) = *self.checksum.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let body = encode_dict(|d| {
            d.bytes("after", base);
            encode_partial(d, partial);
        });
        self.shelf.write(What::Note, seal(NOTE_MAGIC, &self.name(), &body).1).await
    }

    /// Forgets everything: as if there had been no run.
    pub(crate) async fn forget(&self) {
        self.remember(None);
        self.shelf.clear().await;
    }

    fn open<'a>(&self, magic: &[u8; 20], bytes: &'a [u8]) -> Option<(Checksum, &'a [u8])> {
        // What was sealed before the torrent came to the session.
        let before = || self.key.and_then(|_| open(magic, &self.name_of_files(), bytes));
        open(magic, &self.name(), bytes).or_else(before)
    }

    fn remember(&self, checksum: Option<Checksum>) {
        *self.checksum.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
    }
}

/// Has bytes of unwanted files be found from another place too.
pub(crate) fn link_parts(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = state_error(to);
    let linked = match fs::remove_file(to) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => fs::hard_link(from, to),
    };
    match linked {
        // There are none.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        linked => linked.map_err(failed),
    }
}

/// Whether a file is the one at this path: whoever had it locked may have removed it.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (file.dev(), file.ino())),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// Removes the files in which something of a torrent in a folder is remembered, unless another process is at it.
pub(crate) fn erase(state_dir: &Path, info_hash: InfoHashV1, dir: &Path) {
    if let Ok(place) = Place::lock(state_dir, info_hash, dir) {
        place.erase();
    }
}

/// The same of all folders that sessions had a torrent in.
pub(crate) fn erase_of_session(state_dir: &Path, info_hash: InfoHashV1) {
    for (_, lock) in places_of_sessions(state_dir, |found| found == info_hash) {
        if let Ok(place) = Place::lock_at(lock.with_extension("").into(), &lock) {
            place.erase();
        }
    }
}

/// The places of these torrents in a state directory, but for those that have records in files: the files that are locked.
fn places_of_sessions(
    state_dir: &Path,
    of: impl Fn(InfoHashV1) -> bool,
) -> impl Iterator<Item = (InfoHashV1, PathBuf)> {
    let entries = fs::read_dir(state_dir.join(TORRENTS_FOLDER)).into_iter().flatten();
    let of_session = |path: &PathBuf| {
        path.extension() == Some(OsStr::new("lock"))
            && !path.with_extension(What::Record.extension()).exists()
    };
    let info_hash = |path: &Path| path.file_name()?.to_str()?.split_once('-')?.0.parse::<InfoHashV1>().ok();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.filter_map(move |path| Some((info_hash(&path).filter(|found| of(*found))?, path)));
    found.filter(move |(_, path)| of_session(path))
}

/// Torrents that a session in `state_dir` has run and of which its tables have no row. Those of others, which keep their records
/// in files, are none.
pub(crate) fn lost(state_dir: &Path, tables: &BTreeMap<Table, Loaded>) -> BTreeSet<InfoHashV1> {
    let known: BTreeSet<&[u8]> = tables
        .get(&Table::Torrents)
        .into_iter()
        .flat_map(|loaded| loaded.rows.iter().map(|(key, _)| key).chain(&loaded.damaged))
        .map(Vec::as_slice)
        .collect();
    let is_unknown = |info_hash: InfoHashV1| !known.contains(&info_hash.0[..]);
    places_of_sessions(state_dir, is_unknown).map(|(info_hash, _)| info_hash).collect()
}

/// The mount point that the row of a torrent's record has, if it is one.
pub(crate) fn mount_in(info_hash: InfoHashV1, row: &[u8]) -> Option<PathBuf> {
    let (_, body) = open(RECORD_MAGIC, &info_hash.to_string(), row)?;
    mount(bencode::decode(body).ok()?.root())
}

fn mount(record: Value<'_>) -> Option<PathBuf> {
    record.get("mount").and_then(Value::as_bytes).map(|path| OsStr::from_bytes(path).into())
}

/// The mount point under which a torrent's folder is to lie, or that is its own folder in that one: what was remembered of it,
/// unless the folder is another by now, or something is mounted below that.
pub(crate) fn mount_of(dir: &Path, remembered: Option<PathBuf>) -> Option<PathBuf> {
    let lies_there =
        |mount: &PathBuf| true_name(dir).is_ok_and(|dir| dir.starts_with(mount) || mount.starts_with(dir));
    let depth = |mount: &PathBuf| mount.components().count();
    // A disk that is not there now was mounted below the one that is.
    remembered.filter(lies_there).into_iter().chain(storage::mount_point(dir)).max_by_key(depth)
}

/// The one name of a folder, whatever it is called by, and whether it exists already or not.
pub(crate) fn true_name(dir: &Path) -> io::Result<PathBuf> {
    let mut name = PathBuf::from("/");
    for part in std::path::absolute(dir)?.components() {
        match part {
            Component::ParentDir => {
                name.pop();
            }
            part => name.push(part),
        }
        // Links count where they stand; what is not there has none.
        name = fs::canonicalize(&name).unwrap_or(name);
    }
    Ok(name)
}

fn state_error(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |err| match err.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::StateFull(format!(
            "cannot keep state in {}: the disk is full; free some space",
            path.display()
        )),
        _ => Error::State { path: path.to_path_buf(), reason: err.to_string() },
    }
}

/// Puts the kind and a checksum before a body.
fn seal(magic: &[u8; 20], place: &str, body: &[u8]) -> (Checksum, Vec<u8>) {
    let checksum = checksum(place, body);
    (checksum, [magic, &checksum[..], body].concat())
}

/// The checksum and the body, if it is whole, of this kind and of this place.
fn open<'a>(magic: &[u8; 20], place: &str, bytes: &'a [u8]) -> Option<(Checksum, &'a [u8])> {
    let body = bytes.get(HEAD..)?;
    let checksum = checksum(place, body);
    #[cfg(feature = "planted")]
    let checksum = if net::planted::is("any-record") { bytes[20..HEAD].try_into().ok()? } else { checksum };
    (bytes[..20] == *magic && bytes[20..HEAD] == checksum).then_some((checksum, body))
}

fn checksum(place: &str, body: &[u8]) -> Checksum {
    hash::sha1(&[place.as_bytes(), body].concat())
}

fn encode_record(record: &Record) -> Vec<u8> {
    let Snapshot { pieces, partial, ours, files } = &record.disk;
    encode_dict(|d| {
        d.int("clean", i64::from(record.clean));
        d.int("downloaded", signed(record.downloaded));
        d.int("uploaded", signed(record.uploaded));
        d.int("seeded", signed(record.seeded.as_secs()));
        d.bytes("pieces", pieces.as_bytes());
        d.bytes("ours", ours.iter().map(|&yes| u8::from(yes)).collect::<Vec<u8>>());
        encode_partial(d, partial);
        if let Some(mount) = &record.mount {
            d.bytes("mount", mount.as_os_str().as_bytes());
        }
        d.list("peers", |l| record.peers.iter().for_each(|peer| l.bytes(peer.to_string())));
        d.list("files", |l| encode_stamps(l, files));
    })
}

pub(crate) fn encode_stamps(list: &mut ListEncoder<'_>, files: &[Option<FileStamp>]) {
    for stamp in files {
        list.list(|l| {
            if let Some(FileStamp { size, mtime_nanos, inode }) = *stamp {
                l.int(signed(size));
                l.int(mtime_nanos);
                l.int(signed(inode));
            }
        });
    }
}

/// `None` if that is not what it is.
pub(crate) fn decode_stamps(list: Value<'_>) -> Option<Vec<Option<FileStamp>>> {
    list.as_list()?.map(stamp).collect()
}

fn encode_partial(d: &mut DictEncoder<'_>, partial: &[(PieceIndex, Vec<u32>)]) {
    d.list("partial", |l| {
        for (piece, blocks) in partial {
            l.list(|l| {
                l.int(piece.get());
                blocks.iter().for_each(|&block| l.int(block));
            });
        }
    });
}

fn decode_record(body: &[u8], lengths: Lengths, files: usize) -> Option<Record> {
    let document = bencode::decode(body).ok()?;
    let root = document.root();
    let int = |key: &str| root.get(key)?.as_int();
    let disk = Snapshot {
        pieces: Bitfield::from_wire(root.get("pieces")?.as_bytes()?, lengths.piece_count())?,
        partial: decode_partial(root, lengths)?,
        ours: root.get("ours")?.as_bytes()?.iter().map(|&byte| byte != 0).collect(),
        files: decode_stamps(root.get("files")?)?,
    };
    if disk.ours.len() != files || disk.files.len() != files {
        return None;
    }
    let counter = |key: &str| int(key).map(i64::cast_unsigned);
    Some(Record {
        clean: int("clean")? == 1,
        disk,
        downloaded: counter("downloaded")?,
        uploaded: counter("uploaded")?,
        // Earlier, it was not kept.
        seeded: counter("seeded").map_or(Duration::ZERO, Duration::from_secs),
        mount: mount(root),
        peers: root.get("peers").and_then(Value::as_list).map_or_else(Vec::new, |peers| {
            peers.filter_map(|peer| peer.as_str()?.parse().ok()).take(MAX_PEERS).collect()
        }),
    })
}

/// The blocks in a note, if it was written after the record with this checksum.
fn decode_note(body: &[u8], after: Checksum, lengths: Lengths) -> Option<Vec<(PieceIndex, Vec<u32>)>> {
    let document = bencode::decode(body).ok()?;
    let root = document.root();
    (root.get("after")?.as_bytes()? == after).then(|| decode_partial(root, lengths))?
}

fn decode_partial(root: Value<'_>, lengths: Lengths) -> Option<Vec<(PieceIndex, Vec<u32>)>> {
    root.get("partial")?.as_list()?.map(|entry| partial_piece(entry, lengths)).collect()
}

fn stamp(value: Value<'_>) -> Option<Option<FileStamp>> {
    let fields = value.as_list()?.map(Value::as_int).collect::<Option<Vec<_>>>()?;
    match fields[..] {
        [] => Some(None),
        [size, mtime_nanos, inode] => {
            Some(Some(FileStamp { size: size.cast_unsigned(), mtime_nanos, inode: inode.cast_unsigned() }))
        }
        _ => None,
    }
}

fn partial_piece(value: Value<'_>, lengths: Lengths) -> Option<(PieceIndex, Vec<u32>)> {
    let mut numbers = value.as_list()?.map(|v| v.as_uint().and_then(|n| u32::try_from(n).ok()));
    let piece = lengths.piece(numbers.next()??)?;
    let blocks = numbers.collect::<Option<Vec<_>>>()?;
    blocks.iter().all(|&block| block < lengths.block_count(piece)).then_some((piece, blocks))
}

/// Bencode knows signed numbers only; the same 64 bits come back.
fn signed(value: u64) -> i64 {
    value.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Lengths {
        Lengths::new(100_000, 32 * 1024).unwrap()
    }

    #[test]
    fn the_mount_point_of_a_row_is_told() {
        let info_hash = InfoHashV1([7; 20]);
        let record = Record { mount: Some("/mnt/disk".into()), ..record() };
        let row = record.row(info_hash).value.unwrap();
        assert_eq!(mount_in(info_hash, &row), record.mount);
        assert_eq!(mount_in(InfoHashV1([8; 20]), &row), None, "it is another torrent's");
    }

    fn record() -> Record {
        let mut pieces = Bitfield::new(4);
        pieces.insert(PieceIndex::new(2));
        let stamp = FileStamp { size: 5, mtime_nanos: -7, inode: u64::MAX };
        Record {
            clean: true,
            disk: Snapshot {
                pieces,
                partial: vec![(PieceIndex::new(1), vec![0, 1]), (PieceIndex::new(3), vec![])],
                ours: vec![true, false],
                files: vec![Some(stamp), None],
            },
            downloaded: u64::MAX,
            uploaded: 1,
            seeded: Duration::from_secs(u64::MAX),
            mount: Some("/mnt/disk".into()),
            peers: vec!["192.0.2.1:6881".parse().unwrap()],
        }
    }

    fn place(dir: &Path) -> Result<Place, Error> {
        Place::lock(dir, InfoHashV1([1; 20]), Path::new("."))
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        decode_record(open(RECORD_MAGIC, "here", bytes)?.1, lengths(), 2)
    }

    fn encode(record: &Record) -> Vec<u8> {
        seal(RECORD_MAGIC, "here", &encode_record(record)).1
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Says whether it holds of a place in files, and of one in a store.
    #[allow(clippy::needless_pass_by_value, reason = "a closure")]
    fn in_both(check: impl AsyncFn(&dyn Fn() -> Place, &Path)) {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            check(&|| place(dir.path()).unwrap(), dir.path()).await;
            let dir = tempfile::tempdir().unwrap();
            let store = Arc::new(Store::open(dir.path()).unwrap().0);
            let lock = || place(dir.path()).unwrap().in_store(store.clone(), InfoHashV1([1; 20]));
            check(&lock, dir.path()).await;
            let left = fs::read_dir(dir.path().join("resume")).unwrap().count();
            assert_eq!(left, 1, "the lock");
        });
    }

    #[test]
    fn comes_back_as_it_was() {
        in_both(async |lock, _| {
            let here = lock();
            assert_eq!(here.load(lengths(), 2).await.unwrap(), None);
            here.save(&record()).await.unwrap();
            here.save(&Record { clean: false, ..record() }).await.unwrap();
            drop(here);
            let again = lock();
            assert_eq!(again.load(lengths(), 2).await.unwrap(), Some(Record { clean: false, ..record() }));
            assert_eq!(again.load(lengths(), 3).await.unwrap(), None, "another number of files");
            again.forget().await;
            assert_eq!(again.load(lengths(), 2).await.unwrap(), None);
        });
    }

    #[test]
    fn a_note_counts_with_its_own_record_only() {
        in_both(async |lock, _| {
            let here = lock();
            let partial = async || here.load(lengths(), 2).await.unwrap().unwrap().disk.partial;
            let (recorded, noted) = (record().disk.partial, vec![(PieceIndex::new(0), vec![1])]);
            here.note(&noted).await.unwrap();
            here.save(&record()).await.unwrap();
            assert_eq!(partial().await, recorded, "a note without a record");
            here.note(&noted).await.unwrap();
            assert_eq!(partial().await, noted);
            here.shelf.write(What::Note, b"".into()).await.unwrap();
            assert_eq!(partial().await, recorded, "a damaged note");
            here.note(&noted).await.unwrap();
            here.save(&Record { clean: false, ..record() }).await.unwrap();
            assert_eq!(partial().await, recorded, "an old note");
        });
    }

    #[test]
    fn a_session_takes_over_what_was_kept_in_files() {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let noted = vec![(PieceIndex::new(0), vec![1])];
            let here = place(dir.path()).unwrap();
            here.save(&record()).await.unwrap();
            here.note(&noted).await.unwrap();
            drop(here);
            let store = Arc::new(Store::open(dir.path()).unwrap().0);
            let kept = place(dir.path()).unwrap().in_store(store.clone(), InfoHashV1([1; 20]));
            let loaded = kept.load(lengths(), 2).await.unwrap().unwrap();
            assert_eq!((loaded.downloaded, &loaded.disk.partial), (u64::MAX, &noted));
            kept.save(&Record { downloaded: 7, ..record() }).await.unwrap();
            drop(kept);
            assert_eq!(place(dir.path()).unwrap().load(lengths(), 2).await.unwrap(), None, "gone from there");
            let first = Record::before_the_first_run(lengths(), 2, None).first_row(InfoHashV1([1; 20]));
            store.commit(vec![first]).await.unwrap();
            let kept = place(dir.path()).unwrap().in_store(store, InfoHashV1([1; 20]));
            assert_eq!(
                kept.load(lengths(), 2).await.unwrap().unwrap().downloaded,
                7,
                "the first row is no more"
            );
        });
    }

    #[test]
    fn a_mount_point_is_remembered_for_what_lies_under_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mount, here) = (dir.path().join("disk"), dir.path().join("disk/x"));
        assert_eq!(
            mount_of(&here, Some(mount.clone())),
            Some(mount.clone()),
            "though nothing is mounted there"
        );
        assert_eq!(mount_of(&dir.path().join("other"), Some(mount)), storage::mount_point(dir.path()));
    }

    #[test]
    fn only_so_many_peers_are_remembered() {
        let peers =
            (0..=MAX_PEERS).map(|n| SocketAddr::from(([192, 0, 2, 1], u16::try_from(n + 1).unwrap())));
        let many = Record { peers: peers.collect(), ..record() };
        assert_eq!(decode(&encode(&many)).unwrap().peers, many.peers[..MAX_PEERS]);
    }

    #[test]
    fn a_record_counts_in_its_own_place_only() {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let here = place(dir.path()).unwrap();
            here.save(&record()).await.unwrap();
            let pass_on = async |what, to: &Place| {
                to.shelf.write(what, here.shelf.read(what).await.unwrap().unwrap()).await.unwrap();
            };
            let another = Place::lock(dir.path(), InfoHashV1([2; 20]), Path::new(".")).unwrap();
            pass_on(What::Record, &another).await;
            assert_eq!(another.load(lengths(), 2).await.unwrap(), None, "of another torrent");
            let elsewhere = Place::lock(dir.path(), InfoHashV1([1; 20]), dir.path()).unwrap();
            pass_on(What::Record, &elsewhere).await;
            assert_eq!(elsewhere.load(lengths(), 2).await.unwrap(), None, "of another folder");
            elsewhere.save(&record()).await.unwrap();
            assert!(elsewhere.load(lengths(), 2).await.unwrap().is_some());
            here.note(&[]).await.unwrap();
            pass_on(What::Note, &elsewhere).await;
            assert_eq!(elsewhere.load(lengths(), 2).await.unwrap(), Some(record()));
        });
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        assert!(matches!(place(dir.path()), Err(Error::InUse(_))));
        drop(here);
        assert!(place(dir.path()).is_ok());
    }

    #[test]
    fn a_torrent_that_is_erased_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let files = || fs::read_dir(dir.path().join("resume")).unwrap().count();
        let here = place(dir.path()).unwrap();
        fs::write(here.parts(), "of a file that nobody wants").unwrap();
        erase(dir.path(), InfoHashV1([1; 20]), Path::new("."));
        assert_eq!(files(), 2, "it is in use");
        drop(here);
        erase(dir.path(), InfoHashV1([1; 20]), Path::new("."));
        assert_eq!(files(), 0);
        assert!(place(dir.path()).is_ok());
    }

    #[test]
    fn a_lock_on_a_file_that_is_gone_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path).unwrap());
        let another = File::create(&path).unwrap();
        assert!(is_at(&another, &path).unwrap() && !is_at(&file, &path).unwrap());
    }

    #[test]
    fn a_folder_has_one_name_before_and_after_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let called = dir.path().join("real/../link/./new");
        let before = true_name(&called).unwrap();
        fs::create_dir(dir.path().join("real/new")).unwrap();
        assert_eq!(before, true_name(&called).unwrap());
        assert_eq!(before, fs::canonicalize(dir.path().join("real/new")).unwrap());
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let good = encode(&record());
        assert!(decode(&good).is_some());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            assert_eq!(decode(&bad), None, "byte {at}");
            assert_eq!(decode(&good[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_record_that_does_not_say_how_long_it_was_seeded_is_read() {
        let body = encode_record(&record());
        let key = b"6:seededi-1e";
        let at = body.windows(key.len()).position(|window| window == key).unwrap();
        let earlier = [&body[..at], &body[at + key.len()..]].concat();
        assert_eq!(
            decode_record(&earlier, lengths(), 2),
            Some(Record { seeded: Duration::ZERO, ..record() })
        );
    }

    #[test]
    fn numbers_beyond_the_torrent_are_refused() {
        let mut bad = record();
        bad.disk.partial[0].1.push(2);
        assert_eq!(decode(&encode(&bad)), None);
        bad.disk.partial[0] = (PieceIndex::new(4), vec![]);
        assert_eq!(decode(&encode(&bad)), None);
    }

    #[test]
    fn torrents_without_a_row_are_lost_and_those_of_other_commands_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = |number| Place::lock(dir.path(), InfoHashV1([number; 20]), dir.path()).unwrap();
        let places = [1, 2, 3, 4].map(place);
        // As a download that keeps its record in a file.
        fs::write(places[0].base.with_extension("resume"), "").unwrap();
        let torrents = Loaded { rows: vec![(vec![2; 20], Vec::new())], damaged: vec![vec![3; 20]] };
        let lost = lost(dir.path(), &BTreeMap::from([(Table::Torrents, torrents)]));
        assert_eq!(lost, BTreeSet::from([InfoHashV1([4; 20])]));
    }
}
