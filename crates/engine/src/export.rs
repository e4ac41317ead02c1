//! A whole session in one file: written from a session that does not run, and taken over into another.
//!
//! The file: [`MAGIC`]; each row of the store as the number of its table (from 1), the lengths of key and value (4 bytes
//! each, the highest first), the key and the value; 0; the SHA-256 of all that.

use crate::doctor::{look_at_existing, record_of};
use crate::import::{Imported, Taken, Told};
use crate::kept::{LinkRow, Row, key_of, last_place, moved_row, open_error, read_link, read_row};
use crate::resume::{self, Record};
use crate::{Error, Kept, Metainfo};
use hash::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use store::{Change, Loaded, Store, Table};

const MAGIC: &[u8; 21] = b"rawtorrent session 1\n";
/// Rows of one file that are read. One with more is refused.
const MAX_ROWS: usize = 1_000_000;
/// Bytes of one file that are read. A longer one is refused.
const MAX_BYTES: u64 = 16 << 30;
/// Torrents that are made durable together when they are taken over.
const BATCH: usize = 100;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Torrents in the file.
    pub torrents: usize,
    /// Torrents of the store that are lost and rows that are damaged, which are not in the file.
    pub lost: usize,
}

/// Writes the session in `state_dir`, which must not run and may be on a disk that cannot be written to, into a file: whole and
/// durable, or not at all. It has the torrents, what the user wants of them and what is there of them, but none of their files.
///
/// # Errors
/// [`Error::SessionInUse`], [`Error::SessionNewer`], [`Error::State`]; [`Error::Refused`] if there is no session, or the file
/// cannot be written, or is there and no exported session.
pub fn export(state_dir: &Path, file: &Path) -> Result<Exported, Error> {
    let file = &linked(file).map_err(|err| unwritten(file, &err))?;
    must_be_ours(file).map_err(|err| unwritten(file, &err))?;
    let opened = look_at_existing(state_dir, &Table::ALL)?;
    let torrents = opened.tables.get(&Table::Torrents).map_or(0, |loaded| loaded.rows.len());
    let damaged: usize = opened.tables.values().map(|loaded| loaded.damaged.len()).sum();
    let lost = damaged + opened.damaged.map_or(0, |_| resume::lost(state_dir, &opened.tables).len());
    replace(file, &opened.tables).map_err(|err| unwritten(file, &err))?;
    Ok(Exported { torrents, lost })
}

/// Where links at a path lead to.
fn linked(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path),
        _ => Ok(path.into()),
    }
}

/// Nothing but an older export is written over.
fn must_be_ours(path: &Path) -> io::Result<()> {
    let other = || io::Error::other("it is there, and no exported session; choose another file");
    match fs::metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err),
        Ok(found) if !found.is_file() => return Err(other()),
        Ok(_) => {}
    }
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start == MAGIC { Ok(()) } else { Err(other()) }
}

fn unwritten(path: &Path, err: &io::Error) -> Error {
    Error::Refused(format!("cannot write {}: {err}", path.display()))
}

fn failed(path: &Path, err: &io::Error) -> Error {
    Error::SessionDamaged { path: path.into(), reason: err.to_string() }
}

fn replace(file: &Path, tables: &BTreeMap<Table, Loaded>) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(io::Error::other("its folder is not there; make that first"));
    }
    // It has keys of trackers in it, and is for its user alone.
    let new = tempfile::Builder::new().prefix(".rawtorrent-export-").tempfile_in(folder);
    // Of the file that takes its place when it is whole, nobody need know the name.
    let new = new.map_err(|err| io::Error::from(err.kind()))?;
    write(new.as_file(), tables)?;
    new.persist(file)?;
    File::open(folder)?.sync_all()
}

fn write(file: &File, tables: &BTreeMap<Table, Loaded>) -> io::Result<()> {
    let mut out = Hashing { inner: BufWriter::new(file), hash: Sha256::new() };
    out.put(MAGIC)?;
    for (number, table) in (1..).zip(Table::ALL) {
        for (key, value) in tables.get(&table).into_iter().flat_map(|loaded| &loaded.rows) {
            let len =
                |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_be_bytes).map_err(io::Error::other);
            out.put(&[number])?;
            out.put(&len(key)?)?;
            out.put(&len(value)?)?;
            out.put(key)?;
            out.put(value)?;
        }
    }
    out.put(&[0])?;
    let Hashing { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Hashing<R> {
    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn length(&mut self, most: usize) -> io::Result<usize> {
        let bytes = self.take(4)?;
        let len = bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        if len > most { Err(damaged()) } else { Ok(len) }
    }
}

const NEWER: &str = "a newer rawtorrent has written it; take that one to import it";

fn damaged() -> io::Error {
    io::Error::other("it is damaged, or no exported session")
}

type Rows = BTreeMap<Table, Vec<(Vec<u8>, Vec<u8>)>>;

/// All rows of a file, if it is what was written.
fn read(path: &Path) -> io::Result<Rows> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    if file.metadata()?.len() > MAX_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    let cut = |err: io::Error| if err.kind() == io::ErrorKind::UnexpectedEof { damaged() } else { err };
    read_rows(BufReader::new(file.take(MAX_BYTES))).map_err(cut)
}

fn read_rows(inner: impl Read) -> io::Result<Rows> {
    let mut input = Hashing { inner, hash: Sha256::new() };
    let start = input.take(MAGIC.len())?;
    if start != MAGIC {
        // The number is all that differs.
        let is_newer = start.starts_with(&MAGIC[..MAGIC.len() - 2]);
        return Err(if is_newer { io::Error::other(NEWER) } else { damaged() });
    }
    let mut rows = Rows::new();
    let mut count = 0;
    loop {
        let number = usize::from(input.take(1)?[0]);
        let Some(table) = number.checked_sub(1) else { break };
        let table = *Table::ALL.get(table).ok_or_else(damaged)?;
        let (key, value) = (input.length(store::limits::MAX_KEY)?, input.length(store::limits::MAX_VALUE)?);
        let row = (input.take(key)?, input.take(value)?);
        count += 1;
        if count > MAX_ROWS {
            return Err(io::Error::other("it has too many rows"));
        }
        rows.entry(table).or_default().push(row);
    }
    let Hashing { mut inner, hash } = input;
    let mut sum = [0; 32];
    inner.read_exact(&mut sum)?;
    let is_at_end = inner.read(&mut [0])? == 0;
    if is_at_end && hash.finalize() == sum { Ok(rows) } else { Err(damaged()) }
}

/// Takes over a session that was [exported](export) into that in `state_dir`; neither may run. Torrents that are here already
/// stay as they are. What is known of files counts as long as they look as they did; else they are checked when the session
/// begins. `tell` is told of each torrent when what it is told is durable.
///
/// # Errors
/// [`Error::SessionDamaged`] if the file is not as it was written; nothing is taken over then. Else as [`export`].
pub fn import(state_dir: &Path, file: &Path, mut tell: impl FnMut(Told)) -> Result<Imported, Error> {
    let mut rows = read(file).map_err(|err| failed(file, &err))?;
    let (store, mut opened) = Store::open_and_load(state_dir, &[Table::Torrents]).map_err(open_error)?;
    let mut imported = Imported { kept: Kept::at_import(state_dir, &opened), ..Imported::default() };
    let here = opened.tables.remove(&Table::Torrents).unwrap_or_default();
    let mut next_place = last_place(&here.rows);
    let mut known: BTreeSet<Vec<u8>> =
        here.rows.into_iter().map(|(key, _)| key).chain(here.damaged).collect();
    let mut take = |table| rows.remove(&table).unwrap_or_default();
    let (mut torrents, all) = (take(Table::Torrents), take(Table::Session));
    let mut files: BTreeMap<_, _> = take(Table::Metainfo).into_iter().collect();
    let mut records: BTreeMap<_, _> = take(Table::Progress).into_iter().collect();
    torrents.sort_by_key(|row| last_place(std::slice::from_ref(row)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::Start(err.to_string()))?;
    let work = async {
        let yielding = |(key, value)| Change::put_if_absent(Table::Session, key, value);
        let mut changes: Vec<Change> = all.into_iter().map(yielding).collect();
        let mut untold = Vec::new();
        let last = torrents.len();
        for (number, (key, row)) in (1..).zip(torrents) {
            let (file, record) = (files.remove(&key), records.remove(&key));
            let name = key_of(&key).map_or_else(|| "a torrent".into(), |info_hash| info_hash.to_string());
            let taken = take_one(&key, &row, file, record, &mut next_place);
            untold.push(match taken {
                None => Told { name, outcome: Err("it cannot be read".into()) },
                Some((name, ..)) if known.contains(&key) => {
                    Told { name, outcome: Err("it is here already".into()) }
                }
                Some((name, taken, rows)) => {
                    changes.extend(rows);
                    known.insert(key);
                    Told { name, outcome: Ok(taken) }
                }
            });
            if untold.len() >= BATCH || number == last {
                let saved = store.commit(std::mem::take(&mut changes)).await;
                saved.map_err(Error::unsaved)?;
                for told in untold.drain(..) {
                    match told.outcome {
                        Ok(_) => imported.taken += 1,
                        Err(_) => imported.refused += 1,
                    }
                    tell(told);
                }
            }
        }
        // Without torrents, what is of all of them is left.
        match changes.is_empty() {
            true => Ok(()),
            false => store.commit(changes).await.map_err(Error::unsaved),
        }
    };
    let outcome = runtime.block_on(work);
    runtime.block_on(store.close());
    outcome.map(|()| imported)
}

/// The row of a torrent of which only a magnet link is known.
fn take_link(key: &[u8], row: &[u8], next_place: &mut u64) -> Option<(String, Taken, Vec<Change>)> {
    let LinkRow { info_hash, name, paused } = read_link(key, row)?;
    *next_place += 1;
    let row = Change::put(Table::Torrents, key, moved_row(row, *next_place)?);
    Some((name, Taken { info_hash, believed: 0, doubted: 0, pieces: 0, renamed: 0, paused }, vec![row]))
}

/// The rows of a torrent, as they are to be here.
fn take_one(
    key: &[u8],
    row: &[u8],
    file: Option<Vec<u8>>,
    record: Option<Vec<u8>>,
    next_place: &mut u64,
) -> Option<(String, Taken, Vec<Change>)> {
    if file.is_none() {
        return take_link(key, row, next_place);
    }
    let Row { choices, metainfo, .. } = read_row(key, row, file.as_deref())?;
    let info_hash = metainfo.info_hash();
    let record = record.and_then(|row| record_of(&row, &metainfo));
    let pieces = metainfo.lengths().piece_count();
    let has =
        record.as_ref().filter(|record| record.clean).map_or(0, |record| record.disk.pieces.count_ones());
    *next_place += 1;
    let mut changes = vec![
        Change::put(Table::Torrents, key, moved_row(row, *next_place)?),
        Change::put(Table::Metainfo, key, file?),
    ];
    changes.extend(record.map(|record| told_elsewhere(record, &metainfo).first_row(info_hash.wire())));
    let taken = Taken {
        info_hash,
        believed: has,
        doubted: if has == 0 { pieces } else { 0 },
        pieces,
        renamed: 0,
        paused: choices.paused,
    };
    Some((metainfo.name().to_owned(), taken, changes))
}

/// What is known of files that may have come from elsewhere since: without a clean end nothing says what they looked like, so
/// that all of them are hashed.
fn told_elsewhere(record: Record, metainfo: &Metainfo) -> Record {
    match record.clean {
        true => record,
        false => {
            let fresh = Record::before_the_first_run(
                metainfo.lengths(),
                metainfo.files().len(),
                record.mount.clone(),
            );
            // That they were there is known all the same: where they are not, they are waited for.
            let (ours, files) = (record.disk.ours.clone(), record.disk.files.clone());
            let disk = storage::Snapshot { ours, files, ..fresh.disk };
            Record { disk, ..record }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn exported() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let rows = |table: &str| Loaded { rows: vec![(table.into(), vec![7; 300])], damaged: Vec::new() };
        let tables = Table::ALL.into_iter().map(|table| (table, rows(&format!("{table:?}")))).collect();
        let path = dir.path().join("file");
        replace(&path, &tables).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn a_file_is_read_as_it_was_written_or_not_at_all() {
        let bytes = exported();
        let rows = read_rows(&bytes[..]).unwrap();
        assert_eq!(rows.len(), Table::ALL.len());
        assert_eq!(rows[&Table::Progress], [(b"Progress".to_vec(), vec![7; 300])]);
        assert!(read_rows(&[&bytes[..], b"x"].concat()[..]).is_err(), "more behind its end");
        for at in 0..bytes.len() {
            assert!(read_rows(&bytes[..at]).is_err(), "cut at {at}");
            let mut bad = bytes.clone();
            bad[at] ^= 0x20;
            assert!(read_rows(&bad[..]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn nothing_but_an_older_export_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        must_be_ours(&path).unwrap();
        fs::write(&path, "something else").unwrap();
        must_be_ours(&path).unwrap_err();
        fs::write(&path, "").unwrap();
        must_be_ours(&path).unwrap_err();
        fs::write(&path, exported()).unwrap();
        must_be_ours(&path).unwrap();
        must_be_ours(dir.path()).unwrap_err();
        must_be_ours(Path::new("/dev/full")).unwrap_err();
        replace(&path, &BTreeMap::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_no_folder_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let told = |path: &Path| replace(path, &BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(told(&dir.path().join("none/file")), "its folder is not there; make that first");
        let told = told(Path::new("/proc/file"));
        assert!(!told.contains(".rawtorrent-export-"), "{told}");
    }

    #[test]
    fn what_a_newer_one_wrote_is_told_from_what_is_damaged() {
        let newer = read_rows(&b"rawtorrent session 2\n"[..]).unwrap_err();
        assert_eq!(newer.to_string(), NEWER);
        let other = read_rows(&b"rawtorrent sessions 2"[..]).unwrap_err();
        assert_eq!(other.to_string(), damaged().to_string());
    }

    #[test]
    fn size_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "it is too large");
        let mut many = MAGIC.to_vec();
        many.extend([1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(MAX_ROWS + 1));
        assert_eq!(read_rows(&many[..]).unwrap_err().to_string(), "it has too many rows");
    }
}
