//! Many torrents that take next to no room: the same bytes under other names.
//!
//! Every torrent has a folder of its own, whose files are further names (hard links) of the first one's. Nothing is
//! sparse: who looks for holes finds none.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sha1::{Digest, Sha1};
use tests::metafile::Value;
use tests::peer::BLOCK_LEN;

use crate::content::Content;
use crate::reader::probe;

/// Pieces of each torrent, of one block each.
pub(crate) const PIECES: usize = 1_000;
/// Files of each torrent, all of one length.
pub(crate) const FILES: usize = 10;

/// Torrents and their content.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// The folder of all torrents' folders.
    pub(crate) data: PathBuf,
    /// The folder of the torrent files.
    pub(crate) torrents: PathBuf,
    info_hashes: Vec<[u8; 20]>,
}

impl Shelf {
    /// Makes `count` torrents in a folder that is not there yet.
    pub(crate) fn make(dir: &Path, count: usize, tracker: Option<&str>) -> Result<Shelf> {
        let (data, torrents) = (dir.join("data"), dir.join("torrents"));
        fs::create_dir_all(&data)?;
        fs::create_dir_all(&torrents)?;
        let content = Content::new((PIECES * BLOCK_LEN) as u64, BLOCK_LEN);
        let hashes = Value::Bytes(content.hashes());
        let first = data.join(name(0));
        write_files(&content, &first)?;
        let mut info_hashes = Vec::with_capacity(count);
        for number in 0..count {
            let name = name(number);
            if number > 0 {
                link_files(&first, &data.join(&name)).with_context(|| name.clone())?;
            }
            let info = info(&name, hashes.clone());
            info_hashes.push(Sha1::digest(info.encode()).into());
            let announce = tracker.map(|url| ("announce", url.into()));
            let torrent = Value::Dict(announce.into_iter().chain([("info", info)]).collect());
            fs::write(torrents.join(format!("{name}.torrent")), torrent.encode())?;
        }
        Ok(Shelf { data, torrents, info_hashes })
    }

    /// How many torrents there are.
    pub(crate) fn len(&self) -> usize {
        self.info_hashes.len()
    }

    /// Waits until a client at `addr` has taken in a peer of each torrent, and has said that it has all of it. Asks from
    /// all of `probers`, since some clients shake hands with one peer of an address at a time; again after `retry`.
    pub(crate) fn wait_until_seeded(
        &self,
        probers: &[Ipv4Addr],
        addr: SocketAddr,
        retry: Duration,
        deadline: Instant,
    ) -> Result<()> {
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let ask = &|from| {
            while let Some(&info_hash) = self.info_hashes.get(next.fetch_add(1, Ordering::Relaxed)) {
                while let Err(error) = probe(from, addr, info_hash, PIECES) {
                    if Instant::now() >= deadline {
                        if let Ok(mut failure) = failure.lock() {
                            *failure = Some(error);
                        }
                        next.store(self.len(), Ordering::Relaxed);
                        return;
                    }
                    thread::sleep(retry);
                }
            }
        };
        thread::scope(|scope| probers.iter().for_each(|&from| drop(scope.spawn(move || ask(from)))));
        match failure.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error.context("a torrent is not seeded in time")),
            Err(_) => anyhow::bail!("a prober panicked"),
        }
    }

    /// Compares the bytes, which are the same for all, with what they should be.
    pub(crate) fn verify(&self) -> Result<()> {
        let content = Content::new((PIECES * BLOCK_LEN) as u64, BLOCK_LEN);
        let folder = self.data.join(name(self.len() - 1));
        for file in 0..FILES {
            let bytes = fs::read(folder.join(file_name(file)))?;
            ensure!(
                bytes.len() == FILE_LEN && content.matches((file * FILE_LEN) as u64, &bytes),
                "file {file} differs"
            );
        }
        Ok(())
    }
}

const FILE_LEN: usize = PIECES / FILES * BLOCK_LEN;

fn name(number: usize) -> String {
    format!("t{number:05}")
}

fn file_name(number: usize) -> String {
    format!("{number}.bin")
}

fn info(name: &str, hashes: Value) -> Value {
    let file = |number| {
        let path = Value::List(vec![file_name(number).as_str().into()]);
        Value::Dict(vec![("length", Value::count(FILE_LEN)), ("path", path)])
    };
    Value::Dict(vec![
        ("files", Value::List((0..FILES).map(file).collect())),
        ("name", name.into()),
        ("piece length", Value::count(BLOCK_LEN)),
        ("pieces", hashes),
    ])
}

fn write_files(content: &Content, folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let mut bytes = vec![0; FILE_LEN];
    for file in 0..FILES {
        content.fill((file * FILE_LEN) as u64, &mut bytes);
        fs::write(folder.join(file_name(file)), &bytes)?;
    }
    Ok(())
}

fn link_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    (0..FILES).map(file_name).try_for_each(|file| Ok(fs::hard_link(from.join(&file), to.join(&file))?))
}

#[cfg(test)]
mod tests_of_shelf {
    use std::sync::Arc;

    use super::*;
    use crate::content::Torrent;
    use crate::seeder::NullSeeder;

    #[test]
    fn torrents_differ_in_their_names_and_have_the_same_files() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::make(dir.path(), 3, Some("http://127.0.0.1/announce")).unwrap();
        shelf.verify().unwrap();
        let mut hashes = shelf.info_hashes.clone();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 3);
        let torrent = fs::read(shelf.torrents.join("t00002.torrent")).unwrap();
        assert_eq!(tests::metafile::info_hash(&torrent), Some(shelf.info_hashes[2]));
        assert!(torrent.starts_with(b"d8:announce25:http://127.0.0.1/announce"));

        let path = shelf.data.join("t00000/7.bin");
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(path, bytes).unwrap();
        assert!(shelf.verify().is_err());
    }

    #[test]
    fn a_torrent_that_is_not_seeded_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::make(dir.path(), 1, None).unwrap();
        let other = Torrent::new(8 * BLOCK_LEN as u64, BLOCK_LEN, dir.path()).unwrap();
        let seeder = NullSeeder::start(([127, 0, 0, 1], 0).into(), &Arc::new(other)).unwrap();
        let (from, soon) = ([Ipv4Addr::LOCALHOST], Duration::from_millis(1));
        let wait = |shelf: &Shelf| shelf.wait_until_seeded(&from, seeder.addr, soon, Instant::now());
        assert!(wait(&shelf).is_err());
        let nothing = Shelf { info_hashes: vec![], ..shelf };
        wait(&nothing).unwrap();
    }
}
