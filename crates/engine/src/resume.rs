//! What is remembered of a download between two runs: a locked place for each torrent and folder.
//!
//! A **record** is a hint that is verified, never a promise that is believed. It is written whole to a new file, synced,
//! and then takes the old one's name, so that a crash leaves either; a checksum refuses anything else. Pieces in it are
//! durable: they were synced before the record was written. A record says whether its run ended cleanly: if so, files
//! that look the way it says are trusted; if not, its pieces are (files may have grown since), and all others are hashed.
//!
//! A **note** lies beside the record and says which blocks of unfinished pieces were written since. It is not synced, and
//! counts only together with the very record that it was written after: what a crash makes of it can do no harm.

use crate::Error;
use bencode::{DictEncoder, Value, encode_dict};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use storage::{FileStamp, Snapshot};
use types::{Bitfield, InfoHashV1, Lengths, PieceIndex};

/// How a record and a note begin, followed by the SHA-1 of the rest.
const RECORD_MAGIC: &[u8; 20] = b"rawtorrent resume 1\n";
const NOTE_MAGIC: &[u8; 20] = b"rawtorrent blocks 1\n";
const HEAD: usize = 40;

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
}

/// The place of one torrent's record, locked against other processes for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    record: PathBuf,
    note: PathBuf,
    parts: PathBuf,
    /// Of the record that is there now.
    checksum: Mutex<Option<Checksum>>,
    /// Unlocked by the system when it is dropped, also when the process is killed. The file stays: another process
    /// may be waiting for the lock on it.
    _lock: File,
}

impl Place {
    /// Locks the place of the torrent `info_hash` in the folder `dir`, which need not exist yet.
    pub(crate) fn lock(state_dir: &Path, info_hash: InfoHashV1, dir: &Path) -> Result<Place, Error> {
        let folder = state_dir.join("resume");
        fs::create_dir_all(&folder).map_err(state_error(&folder))?;
        let dir_name = true_name(dir).map_err(state_error(dir))?;
        let digest = hash::sha1(dir_name.as_os_str().as_encoded_bytes());
        let tag = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        let named = |extension: &str| folder.join(format!("{info_hash}-{tag}.{extension}"));

        let lock_path = named("lock");
        let lock = File::create(&lock_path).map_err(state_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(err)) => return Err(state_error(&lock_path)(err)),
        }
        Ok(Place {
            record: named("resume"),
            note: named("blocks"),
            parts: named("parts"),
            checksum: Mutex::default(),
            _lock: lock,
        })
    }

    /// Where bytes of unwanted files are kept.
    pub(crate) fn parts(&self) -> &Path {
        &self.parts
    }

    /// The record of the last run, with the blocks that were noted after it. None if there is none, or if it is damaged
    /// or of another version: everything is hashed again then.
    pub(crate) fn load(&self, lengths: Lengths, files: usize) -> Option<Record> {
        let bytes = fs::read(&self.record).ok()?;
        let (checksum, body) = open(RECORD_MAGIC, &bytes)?;
        let mut record = decode_record(body, lengths, files)?;
        if let Some(noted) = fs::read(&self.note).ok().and_then(|note| decode_note(&note, checksum, lengths))
        {
            record.disk.partial = noted;
        }
        self.remember(Some(checksum));
        Some(record)
    }

    /// Replaces the record; it is durable when this returns.
    pub(crate) fn save(&self, record: &Record) -> Result<(), Error> {
        let (checksum, bytes) = seal(RECORD_MAGIC, &encode_record(record));
        self.replace(&bytes).map_err(state_error(&self.record))?;
        self.remember(Some(checksum));
        Ok(())
    }

    /// Notes which blocks of unfinished pieces were written since the record was. Survives the end of the process, but
    /// not always that of the system.
    pub(crate) fn note(&self, partial: &[(PieceIndex, Vec<u32>)]) -> Result<(), Error> {
        let Some(base) = *self.checksum.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let body = encode_dict(|d| {
            d.bytes("after", base);
            encode_partial(d, partial);
        });
        let new = self.note.with_extension("blocks-new");
        let write = fs::write(&new, seal(NOTE_MAGIC, &body).1).and_then(|()| fs::rename(&new, &self.note));
        write.map_err(state_error(&self.note))
    }

    /// Forgets everything: as if there had been no run.
    pub(crate) fn forget(&self) {
        self.remember(None);
        let _ = fs::remove_file(&self.note);
        let _ = fs::remove_file(&self.record);
    }

    fn remember(&self, checksum: Option<Checksum>) {
        *self.checksum.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.record.with_extension("resume-new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.record)?;
        self.record.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

/// The one name of a folder, whatever it is called by, and whether it exists already or not.
fn true_name(dir: &Path) -> io::Result<PathBuf> {
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
    |err| Error::State { path: path.to_path_buf(), reason: err.to_string() }
}

/// Puts the kind and a checksum before a body.
fn seal(magic: &[u8; 20], body: &[u8]) -> (Checksum, Vec<u8>) {
    let checksum = hash::sha1(body);
    (checksum, [magic, &checksum[..], body].concat())
}

/// The checksum and the body, if it is whole and of this kind.
fn open<'a>(magic: &[u8; 20], bytes: &'a [u8]) -> Option<(Checksum, &'a [u8])> {
    let body = bytes.get(HEAD..)?;
    let checksum = hash::sha1(body);
    (bytes[..20] == *magic && bytes[20..HEAD] == checksum).then_some((checksum, body))
}

fn encode_record(record: &Record) -> Vec<u8> {
    let Snapshot { pieces, partial, ours, files } = &record.disk;
    encode_dict(|d| {
        d.int("clean", i64::from(record.clean));
        d.int("downloaded", signed(record.downloaded));
        d.int("uploaded", signed(record.uploaded));
        d.bytes("pieces", pieces.as_bytes());
        d.bytes("ours", ours.iter().map(|&yes| u8::from(yes)).collect::<Vec<u8>>());
        encode_partial(d, partial);
        d.list("files", |l| {
            for stamp in files {
                l.list(|l| {
                    if let Some(FileStamp { size, mtime_nanos, inode }) = *stamp {
                        l.int(signed(size));
                        l.int(mtime_nanos);
                        l.int(signed(inode));
                    }
                });
            }
        });
    })
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
        files: root.get("files")?.as_list()?.map(stamp).collect::<Option<Vec<_>>>()?,
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
    })
}

/// The blocks in a note, if it was written after the record with this checksum.
fn decode_note(bytes: &[u8], after: Checksum, lengths: Lengths) -> Option<Vec<(PieceIndex, Vec<u32>)>> {
    let (_, body) = open(NOTE_MAGIC, bytes)?;
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
        }
    }

    fn place(dir: &Path) -> Result<Place, Error> {
        Place::lock(dir, InfoHashV1([1; 20]), Path::new("."))
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        decode_record(open(RECORD_MAGIC, bytes)?.1, lengths(), 2)
    }

    fn encode(record: &Record) -> Vec<u8> {
        seal(RECORD_MAGIC, &encode_record(record)).1
    }

    #[test]
    fn comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        assert_eq!(here.load(lengths(), 2), None);
        here.save(&record()).unwrap();
        here.save(&Record { clean: false, ..record() }).unwrap();
        drop(here);
        let again = place(dir.path()).unwrap();
        assert_eq!(again.load(lengths(), 2), Some(Record { clean: false, ..record() }));
        assert_eq!(again.load(lengths(), 3), None, "another number of files");
        again.forget();
        assert_eq!(again.load(lengths(), 2), None);
    }

    #[test]
    fn a_note_counts_with_its_own_record_only() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        let noted = vec![(PieceIndex::new(0), vec![1])];
        here.note(&noted).unwrap();
        here.save(&record()).unwrap();
        assert_eq!(
            here.load(lengths(), 2).unwrap().disk.partial,
            record().disk.partial,
            "a note without a record"
        );
        here.note(&noted).unwrap();
        assert_eq!(here.load(lengths(), 2).unwrap().disk.partial, noted);
        fs::write(&here.note, b"").unwrap();
        assert_eq!(here.load(lengths(), 2).unwrap().disk.partial, record().disk.partial, "a damaged note");
        here.note(&noted).unwrap();
        here.save(&Record { clean: false, ..record() }).unwrap();
        assert_eq!(here.load(lengths(), 2).unwrap().disk.partial, record().disk.partial, "an old note");
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
    fn numbers_beyond_the_torrent_are_refused() {
        let mut bad = record();
        bad.disk.partial[0].1.push(2);
        assert_eq!(decode(&encode(&bad)), None);
        bad.disk.partial[0] = (PieceIndex::new(4), vec![]);
        assert_eq!(decode(&encode(&bad)), None);
    }
}
