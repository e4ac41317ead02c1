//! What is remembered of a download between two runs: one locked file per torrent and folder.
//!
//! A record is a hint that is verified, never a promise that is believed. It is written whole to a new file which then
//! takes the old one's name, so that a crash leaves either; a checksum refuses anything else. Pieces in it are durable:
//! they were synced before the record was written. A record says whether its run ended cleanly: if so, files that look
//! the way it says are trusted; if not, its pieces are (files may have grown since), and all others are hashed.

use crate::Error;
use bencode::{Value, encode_dict};
use sha1::{Digest, Sha1};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use storage::{FileStamp, Snapshot};
use types::{Bitfield, InfoHashV1, Lengths, PieceIndex};

/// How a record begins, followed by the SHA-1 of the rest.
const MAGIC: &[u8; 20] = b"rawtorrent resume 1\n";
const HEAD: usize = MAGIC.len() + 20;

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
    parts: PathBuf,
    lock_path: PathBuf,
    /// Unlocked by the system when it is dropped, also when the process is killed.
    _lock: File,
}

impl Place {
    /// Locks the place of the torrent `info_hash` in the folder `dir`.
    pub(crate) fn lock(state_dir: &Path, info_hash: InfoHashV1, dir: &Path) -> Result<Place, Error> {
        let folder = state_dir.join("resume");
        fs::create_dir_all(&folder).map_err(state_error(&folder))?;
        // A folder has one true name, whatever it is called by.
        let dir_name = fs::canonicalize(dir).or_else(|_| std::path::absolute(dir));
        let dir_name = dir_name.map_err(state_error(dir))?;
        let digest = Sha1::digest(dir_name.as_os_str().as_encoded_bytes());
        let tag = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        let named = |extension: &str| folder.join(format!("{info_hash}-{tag}.{extension}"));

        let lock_path = named("lock");
        let lock = File::create(&lock_path).map_err(state_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(err)) => return Err(state_error(&lock_path)(err)),
        }
        Ok(Place { record: named("resume"), parts: named("parts"), lock_path, _lock: lock })
    }

    /// Where bytes of unwanted files are kept.
    pub(crate) fn parts(&self) -> &Path {
        &self.parts
    }

    /// The record of the last run. None if there is none, or if it is damaged or of another version: everything is
    /// hashed again then.
    pub(crate) fn load(&self, lengths: Lengths, files: usize) -> Option<Record> {
        decode(&fs::read(&self.record).ok()?, lengths, files)
    }

    /// Replaces the record; when this returns it is durable if `durable`, and otherwise survives the end of the
    /// process but not of the system.
    pub(crate) fn save(&self, record: &Record, durable: bool) -> Result<(), Error> {
        self.replace(&encode(record), durable).map_err(state_error(&self.record))
    }

    fn replace(&self, bytes: &[u8], durable: bool) -> io::Result<()> {
        let new = self.record.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&new, &self.record)?;
        if durable && let Some(folder) = self.record.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Place {
    /// A place where nothing was ever kept leaves nothing behind.
    fn drop(&mut self) {
        if !self.record.exists() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

fn state_error(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |err| Error::State { path: path.to_path_buf(), reason: err.to_string() }
}

fn encode(record: &Record) -> Vec<u8> {
    let Snapshot { pieces, partial, ours, files } = &record.disk;
    let body = encode_dict(|d| {
        d.int("clean", i64::from(record.clean));
        d.int("downloaded", signed(record.downloaded));
        d.int("uploaded", signed(record.uploaded));
        d.bytes("pieces", pieces.as_bytes());
        d.bytes("ours", ours.iter().map(|&yes| u8::from(yes)).collect::<Vec<u8>>());
        d.list("partial", |l| {
            for (piece, blocks) in partial {
                l.list(|l| {
                    l.int(piece.get());
                    blocks.iter().for_each(|&block| l.int(block));
                });
            }
        });
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
    });
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&Sha1::digest(&body));
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8], lengths: Lengths, files: usize) -> Option<Record> {
    let body = bytes.get(HEAD..)?;
    if bytes[..MAGIC.len()] != *MAGIC || bytes[MAGIC.len()..HEAD] != *Sha1::digest(body) {
        return None;
    }
    let document = bencode::decode(body).ok()?;
    let root = document.root();
    let int = |key: &str| root.get(key)?.as_int();
    let ours = root.get("ours")?.as_bytes()?.iter().map(|&byte| byte != 0).collect::<Vec<_>>();
    let stamps = root.get("files")?.as_list()?.map(stamp).collect::<Option<Vec<_>>>()?;
    let partial = root.get("partial")?.as_list()?.map(|entry| partial_piece(entry, lengths));
    let disk = Snapshot {
        pieces: Bitfield::from_wire(root.get("pieces")?.as_bytes()?, lengths.piece_count())?,
        partial: partial.collect::<Option<Vec<_>>>()?,
        ours,
        files: stamps,
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

    #[test]
    fn comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        assert_eq!(here.load(lengths(), 2), None);
        here.save(&record(), true).unwrap();
        here.save(&Record { clean: false, ..record() }, false).unwrap();
        drop(here);
        let again = place(dir.path()).unwrap();
        assert_eq!(again.load(lengths(), 2), Some(Record { clean: false, ..record() }));
        assert_eq!(again.load(lengths(), 3), None, "another number of files");
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        assert!(matches!(place(dir.path()), Err(Error::InUse(_))));
        drop(here);
        assert_eq!(fs::read_dir(dir.path().join("resume")).unwrap().count(), 0, "nothing kept, nothing left");
        assert!(place(dir.path()).is_ok());
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let good = encode(&record());
        assert!(decode(&good, lengths(), 2).is_some());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            assert_eq!(decode(&bad, lengths(), 2), None, "byte {at}");
            assert_eq!(decode(&good[..at], lengths(), 2), None, "cut at {at}");
        }
    }

    #[test]
    fn numbers_beyond_the_torrent_are_refused() {
        let mut bad = record();
        bad.disk.partial[0].1.push(2);
        assert_eq!(decode(&encode(&bad), lengths(), 2), None);
        bad.disk.partial[0] = (PieceIndex::new(4), vec![]);
        assert_eq!(decode(&encode(&bad), lengths(), 2), None);
    }
}
