//! Content that costs next to nothing to make, anywhere in it, and torrents of it.
//!
//! A block is eight bytes that say which one it is, and then a part of a short pattern. So no two blocks are the same,
//! none has to be kept, and to compare one with what it should be takes a fraction of what it takes to receive it.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, ensure};
use sha1::{Digest, Sha1};
use tests::content as sample;
use tests::metafile::{self, Value};
use tests::peer::BLOCK_LEN;

/// The file's name in every torrent.
pub(crate) const NAME: &str = "content.bin";

const STAMP: usize = 8;
/// Blocks of pattern. A prime: places in a piece have other bytes in the next piece. And few: it stays in a core's cache.
const PERIOD: usize = 7;
/// Part of the names of cached hashes: another kind of content needs another number.
const KIND: u32 = 2;
/// What is read or written at once.
const CHUNK: usize = 1 << 20;

/// The bytes of a torrent.
#[derive(Debug)]
pub(crate) struct Content {
    /// In bytes; whole blocks.
    pub(crate) total: u64,
    /// In bytes; whole blocks.
    pub(crate) piece_len: usize,
    pattern: Vec<u8>,
}

impl Content {
    pub(crate) fn new(total: u64, piece_len: usize) -> Content {
        assert!(
            total.is_multiple_of(BLOCK_LEN as u64) && piece_len.is_multiple_of(BLOCK_LEN),
            "whole blocks"
        );
        Content { total, piece_len, pattern: sample::bytes(42, PERIOD * BLOCK_LEN) }
    }

    /// How many blocks it has.
    pub(crate) fn blocks(&self) -> u64 {
        self.total / BLOCK_LEN as u64
    }

    /// How many pieces it has; the last may be short.
    pub(crate) fn pieces(&self) -> usize {
        usize::try_from(self.total.div_ceil(self.piece_len as u64)).expect("pieces fit into memory")
    }

    /// The two parts of a block.
    pub(crate) fn block(&self, block: u64) -> ([u8; STAMP], &[u8]) {
        let at = usize::try_from(block % PERIOD as u64).expect("less than the period") * BLOCK_LEN;
        (block.to_be_bytes(), &self.pattern[at + STAMP..at + BLOCK_LEN])
    }

    /// Fills `out` with what lies at `offset`.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) {
        self.each_part(offset, out.len(), |at, part| out[at..at + part.len()].copy_from_slice(part));
    }

    /// Whether `bytes` are what lies at `offset`.
    pub(crate) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut same = true;
        self.each_part(offset, bytes.len(), |at, part| same &= bytes[at..at + part.len()] == *part);
        same
    }

    /// Calls `each` with every stamp and piece of pattern of a range, and where in the range it begins.
    fn each_part(&self, offset: u64, len: usize, mut each: impl FnMut(usize, &[u8])) {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (stamp, rest) = self.block(at / BLOCK_LEN as u64);
            let within = usize::try_from(at % BLOCK_LEN as u64).expect("less than a block");
            let part = if within < STAMP { &stamp[within..] } else { &rest[within - STAMP..] };
            let part = &part[..part.len().min(len - done)];
            each(done, part);
            done += part.len();
        }
    }

    /// Writes all of it to a file.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut file = File::create(path).with_context(|| path.display().to_string())?;
        let mut chunk = vec![0; CHUNK];
        for offset in (0..self.total).step_by(CHUNK) {
            let len = usize::try_from(self.total - offset).unwrap_or(CHUNK).min(CHUNK);
            self.fill(offset, &mut chunk[..len]);
            file.write_all(&chunk[..len])?;
        }
        Ok(())
    }

    /// Compares a file with it, byte by byte.
    pub(crate) fn verify(&self, path: &Path) -> Result<()> {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        ensure!(file.metadata()?.len() == self.total, "{} has another length", path.display());
        let mut chunk = vec![0; CHUNK];
        for offset in (0..self.total).step_by(CHUNK) {
            let len = usize::try_from(self.total - offset).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact(&mut chunk[..len])?;
            ensure!(self.matches(offset, &chunk[..len]), "{} differs near byte {offset}", path.display());
        }
        Ok(())
    }

    /// The SHA-1 of every piece, one after the other.
    pub(crate) fn hashes(&self) -> Vec<u8> {
        let pieces = self.pieces();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = pieces.div_ceil(threads).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..pieces)
                .step_by(share)
                .map(|first| scope.spawn(move || self.hashes_of(first..pieces.min(first + share))))
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("hashing does not panic")).collect()
        })
    }

    fn hashes_of(&self, pieces: std::ops::Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; self.piece_len];
        let hash = |piece: usize| {
            let offset = piece as u64 * self.piece_len as u64;
            let left = usize::try_from(self.total - offset).unwrap_or(usize::MAX);
            let bytes = &mut bytes[..self.piece_len.min(left)];
            self.fill(offset, bytes);
            Sha1::digest(bytes).to_vec()
        };
        pieces.flat_map(hash).collect()
    }
}

/// A torrent of one file, in a folder or not.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) content: Content,
    pub(crate) info_hash: [u8; 20],
    hashes: Vec<u8>,
    info: Value,
}

impl Torrent {
    /// Makes it; the hashes are kept below `cache` for the next time.
    pub(crate) fn new(total: u64, piece_len: usize, cache: &Path) -> Result<Torrent> {
        Torrent::named(NAME, None, total, piece_len, cache)
    }

    /// The same under another name: that of the file, or of the folder that it is in.
    pub(crate) fn named(
        name: &str,
        in_folder: Option<&str>,
        total: u64,
        piece_len: usize,
        cache: &Path,
    ) -> Result<Torrent> {
        let content = Content::new(total, piece_len);
        let path = cache.join(format!("{total}-{piece_len}-{KIND}.sha1"));
        let hashes = match fs::read(&path) {
            Ok(hashes) if hashes.len() == 20 * content.pieces() => hashes,
            _ => {
                let hashes = content.hashes();
                fs::create_dir_all(cache)?;
                fs::write(&path, &hashes).with_context(|| path.display().to_string())?;
                hashes
            }
        };
        let length = ("length", Value::Int(i64::try_from(total)?));
        let contents = match in_folder {
            None => length,
            Some(file) => {
                let path = Value::List(vec![file.into()]);
                ("files", Value::List(vec![Value::Dict(vec![length, ("path", path)])]))
            }
        };
        let info = Value::Dict(vec![
            contents,
            ("name", name.into()),
            ("piece length", Value::count(piece_len)),
            ("pieces", Value::Bytes(hashes.clone())),
        ]);
        Ok(Torrent { content, info_hash: Sha1::digest(info.encode()).into(), hashes, info })
    }

    /// The SHA-1 of every piece, one after the other.
    pub(crate) fn hashes(&self) -> &[u8] {
        &self.hashes
    }

    /// The info dictionary.
    pub(crate) fn info(&self) -> Vec<u8> {
        self.info.encode()
    }

    /// The info-hash as people write it.
    pub(crate) fn hex(&self) -> String {
        self.info_hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes the torrent file, with a tracker or none.
    pub(crate) fn write(&self, path: &Path, tracker: Option<&str>) -> Result<PathBuf> {
        let tracker = tracker.map(|url| ("announce", url.into()));
        self.write_entries(path, tracker.into_iter().chain([("info", self.info.clone())]).collect())
    }

    /// Writes the torrent file, with a web seed (BEP 19).
    pub(crate) fn write_with_web_seed(&self, path: &Path, url: &str) -> Result<PathBuf> {
        self.write_entries(path, vec![("info", self.info.clone()), ("url-list", url.into())])
    }

    fn write_entries(&self, path: &Path, entries: Vec<(&'static str, Value)>) -> Result<PathBuf> {
        let torrent = Value::Dict(entries).encode();
        debug_assert_eq!(metafile::info_hash(&torrent), Some(self.info_hash));
        let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
        file.write_all(&torrent)?;
        file.flush()?;
        Ok(path.to_owned())
    }
}

#[cfg(test)]
mod tests_of_content {
    use super::*;

    #[test]
    fn no_two_blocks_are_the_same_and_any_range_can_be_made_and_compared() {
        let content = Content::new(64 * BLOCK_LEN as u64, 2 * BLOCK_LEN);
        let mut all = vec![0; 64 * BLOCK_LEN];
        content.fill(0, &mut all);
        let mut blocks: Vec<&[u8]> = all.chunks(BLOCK_LEN).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 64);
        for (offset, len) in [(0, 3), (5, 10), (16_380, 20), (40_000, 100_000)] {
            let mut part = vec![0; len];
            content.fill(offset as u64, &mut part);
            assert_eq!(part, all[offset..offset + len]);
            assert!(content.matches(offset as u64, &part));
            part[len / 2] ^= 1;
            assert!(!content.matches(offset as u64, &part));
        }
    }

    #[test]
    fn hashes_are_those_of_the_pieces_and_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = Torrent::new(5 * BLOCK_LEN as u64, 2 * BLOCK_LEN, dir.path()).unwrap();
        let file = dir.path().join(NAME);
        torrent.content.write(&file).unwrap();
        torrent.content.verify(&file).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let expected: Vec<u8> =
            bytes.chunks(2 * BLOCK_LEN).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        assert_eq!(torrent.content.hashes(), expected);
        let again = Torrent::new(5 * BLOCK_LEN as u64, 2 * BLOCK_LEN, dir.path()).unwrap();
        assert_eq!(again.info_hash, torrent.info_hash);

        bytes[70_000] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert!(torrent.content.verify(&file).is_err());
    }
}
