//! A torrent on the disk, and who seeds it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rawtorrent_tests::content::{Layout, Sample};
use rawtorrent_tests::metafile::{self, PIECE_LEN};
use rawtorrent_tests::peer::{FakeSeed, Serving};
use sha1::{Digest, Sha1};

use crate::disks::disk::Disk;

/// A torrent of one file, and who seeds it.
pub(crate) struct Torrent {
    pub(crate) name: &'static str,
    pub(crate) hash: [u8; 20],
    pub(crate) file: PathBuf,
    pub(crate) seed: FakeSeed,
    pub(crate) peer: SocketAddr,
}

impl Torrent {
    /// Its file goes into `dir`; `content` is what a sample of that layout holds, whatever its name.
    pub(crate) fn new(number: usize, dir: &Path, layout: Layout, content: &Arc<Vec<u8>>) -> Torrent {
        let name: &'static str = Box::leak(format!("file {number}").into_boxed_str());
        let bytes = metafile::torrent(&Sample { name, layout }, None);
        let (hash, file) = (metafile::info_hash(&bytes).unwrap(), dir.join(format!("{number}.torrent")));
        fs::write(&file, &bytes).unwrap();
        let seed = FakeSeed::start(Serving::all(hash, Arc::clone(content))).unwrap();
        let peer = seed.addr;
        Torrent { name, hash, file, seed, peer }
    }

    /// That the disk has these pieces in the folder `out`; says how many they are.
    pub(crate) fn must_have(&self, disk: &Disk, pieces: &[usize], content: &[u8]) -> usize {
        if pieces.is_empty() {
            return 0;
        }
        let path = format!("out/{}", self.name);
        let bytes = disk.read(&path).unwrap_or_else(|| panic!("{path} is claimed and not there"));
        for piece in pieces {
            let span = piece * PIECE_LEN..((piece + 1) * PIECE_LEN).min(content.len());
            let found = bytes.get(span.clone()).map(Sha1::digest);
            assert_eq!(found, Some(Sha1::digest(&content[span])), "piece {piece} of {path} is not there");
        }
        pieces.len()
    }
}
