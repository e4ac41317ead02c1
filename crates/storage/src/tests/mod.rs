//! Whole torrents on real files. The model is one flat run of bytes.
#![allow(clippy::cast_possible_truncation)] // samples are small

mod digests;
mod faults;
mod foreign;
mod limits;
mod lost;
mod model;
mod relocate;
mod resume;
mod scrub;

use crate::os::Os;
use crate::*;
use async_channel::Receiver;
use bytes::Bytes;
use metainfo::Metainfo;
use pollster::block_on;
use sha1::{Digest, Sha1};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use types::{Bitfield, BlockDigest, BlockRange, PieceIndex};

/// What a file of a test's torrent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Pad,
    Link,
}

/// A torrent and the bytes that it should have.
struct Sample {
    layout: Layout,
    content: Vec<u8>,
    files: Vec<(Kind, u64)>,
}

impl Sample {
    /// Random bytes in files "t/f0", "t/d1/f1", "t/f2", ...; pad files are zeros.
    fn new(piece_length: u32, files: &[(Kind, u64)]) -> Sample {
        let mut rng = 0x2545_f491_4f6c_dd1d_u64;
        let mut content = Vec::new();
        let mut list = String::new();
        for (n, &(kind, len)) in files.iter().enumerate() {
            for _ in 0..len {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                content.push(if kind == Kind::File { (rng >> 32) as u8 } else { 0 });
            }
            let name = format!("f{n}");
            let path = if n % 2 == 1 {
                format!("2:d{}{}:{name}", n % 10, name.len())
            } else {
                format!("{}:{name}", name.len())
            };
            list += &match kind {
                Kind::File => format!("d6:lengthi{len}e4:pathl{path}ee"),
                Kind::Pad => format!("d4:attr1:p6:lengthi{len}e4:pathl{path}ee"),
                Kind::Link => format!("d4:attr1:l6:lengthi0e4:pathl{path}e12:symlink pathl2:f0ee"),
            };
        }
        let pieces: Vec<u8> = content.chunks(piece_length as usize).flat_map(Sha1::digest).collect();
        Sample { layout: layout(&list, piece_length, &pieces), content, files: files.to_vec() }
    }

    fn one_file(piece_length: u32, len: u64) -> Sample {
        Sample::new(piece_length, &[(Kind::File, len)])
    }

    fn block(&self, piece: u32, block: u32) -> BlockRange {
        self.layout.lengths().block(PieceIndex::new(piece), block).unwrap()
    }

    fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = BlockRange> + use<> {
        let lengths = self.layout.lengths();
        (0..lengths.block_count(piece)).map(move |n| lengths.block(piece, n).unwrap())
    }

    fn all_blocks(&self) -> Vec<BlockRange> {
        self.layout.lengths().pieces().flat_map(|piece| self.blocks(piece)).collect()
    }

    fn bytes(&self, range: BlockRange) -> Bytes {
        let start = self.layout.lengths().piece_offset(range.piece) as usize + range.offset as usize;
        Bytes::copy_from_slice(&self.content[start..start + range.len as usize])
    }

    fn file_bytes(&self, file: usize) -> &[u8] {
        let span = self.layout.files()[file].range();
        &self.content[span.start as usize..span.end as usize]
    }

    fn path(&self, root: &Path, file: usize) -> PathBuf {
        self.layout.path_under(root, file)
    }

    fn full(&self) -> Bitfield {
        Bitfield::full(self.layout.lengths().piece_count())
    }

    fn write_files(&self, root: &Path) {
        for (n, _) in self.files.iter().enumerate().filter(|(_, (kind, _))| *kind == Kind::File) {
            let path = self.path(root, n);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.file_bytes(n)).unwrap();
        }
    }

    /// The pieces that wanted files need.
    fn needed(&self, wanted: &[bool]) -> Bitfield {
        let mut needed = Bitfield::new(self.layout.lengths().piece_count());
        for file in (0..self.files.len()).filter(|&f| self.files[f].0 == Kind::File && wanted[f]) {
            self.layout.pieces_of_file(file).for_each(|piece| {
                needed.insert(piece);
            });
        }
        needed
    }
}

/// A folder to download to, and a pool.
struct Place {
    dir: TempDir,
    pool: DiskPool,
    os: Os,
}

impl Place {
    fn new() -> Place {
        Place::with(PoolSettings::default())
    }

    fn with(settings: PoolSettings) -> Place {
        let os = Os::default();
        let pool = DiskPool::with_os(settings, os.clone()).unwrap();
        Place { dir: TempDir::new().unwrap(), pool, os }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    fn parts(&self) -> PathBuf {
        self.dir.path().join("state/x.parts")
    }

    fn open(&self, sample: &Sample) -> Opened {
        self.open_with(sample, |_| {})
    }

    fn open_with(&self, sample: &Sample, change: impl FnOnce(&mut OpenOptions)) -> Opened {
        let (tell, events) = async_channel::unbounded();
        let tell = move |events: Vec<DiskEvent>| {
            events.into_iter().for_each(|event| tell.try_send(event).unwrap());
        };
        let mut options = OpenOptions::new(self.root(), self.parts(), tell);
        change(&mut options);
        let disk = block_on(TorrentDisk::open(&self.pool, sample.layout.clone(), options)).unwrap();
        Opened { disk, events }
    }

    /// Opened and ready to write.
    fn ready(&self, sample: &Sample) -> Opened {
        let opened = self.open(sample);
        block_on(opened.disk.prepare()).unwrap();
        opened
    }
}

struct Opened {
    disk: TorrentDisk,
    events: Receiver<DiskEvent>,
}

impl Opened {
    fn write(&self, sample: &Sample, range: BlockRange) {
        block_on(self.disk.write_block(range, sample.bytes(range), 0)).unwrap();
    }

    fn write_piece(&self, sample: &Sample, piece: u32) {
        let piece = PieceIndex::new(piece);
        sample.blocks(piece).for_each(|block| self.write(sample, block));
        self.verified(piece);
    }

    /// Waits until the piece is verified; returns the digests of its blocks.
    fn verified(&self, piece: PieceIndex) -> Vec<BlockDigest> {
        match self.event() {
            DiskEvent::PieceVerified { piece: other, digests } if other == piece => digests,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the piece fails; returns whether the disk may be to blame, and the digests of its blocks.
    fn failed(&self, piece: PieceIndex) -> (bool, Vec<Option<BlockDigest>>) {
        match self.event() {
            DiskEvent::PieceFailed { piece: other, from_disk, digests } if other == piece => {
                (from_disk, digests)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until these pieces are lost, in any order.
    fn lost(&self, mut expected: Vec<u32>) {
        while !expected.is_empty() {
            let DiskEvent::PieceLost { piece } = self.event() else { panic!("{expected:?} are not lost") };
            let at = expected.iter().position(|&other| other == piece.get());
            expected.swap_remove(at.unwrap_or_else(|| panic!("{piece} is lost")));
        }
    }

    /// Whether nothing is left to be heard but of blocks.
    fn nothing_told(&self) -> bool {
        std::iter::from_fn(|| self.events.try_recv().ok()).all(|e| matches!(e, DiskEvent::BlockTaken { .. }))
    }

    fn forget(&self, piece: PieceIndex, blocks: Vec<u32>) {
        assert!(self.disk.forget_blocks(piece, blocks).is_none(), "the lane has time for it");
    }

    fn event(&self) -> DiskEvent {
        loop {
            let event = self.events.recv_blocking().unwrap();
            if !matches!(event, DiskEvent::BlockTaken { .. }) {
                return event;
            }
        }
    }
}

/// The layout of the torrent "t": bencoded files, and the hashes of all pieces one after the other.
fn layout(files: &str, piece_length: u32, hashes: &[u8]) -> Layout {
    let head = format!("d4:infod5:filesl{files}e4:name1:t12:piece lengthi{piece_length}e6:pieces");
    let torrent = [head.as_bytes(), format!("{}:", hashes.len()).as_bytes(), hashes, b"ee"].concat();
    Layout::new(Arc::new(Metainfo::parse(&torrent).unwrap())).unwrap()
}

fn pieces(of: &Sample, list: &[u32]) -> Bitfield {
    let mut set = Bitfield::new(of.layout.lengths().piece_count());
    for &n in list {
        set.insert(PieceIndex::new(n));
    }
    set
}
