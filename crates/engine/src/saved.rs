//! Metadata that was found for a magnet link, kept so that the next run does not need it again.
//!
//! One file for each torrent under the state directory, the info dictionary and nothing else: its hash says whether it is
//! whole, and whose it is.

use crate::Metainfo;
use metainfo::Magnet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use types::InfoHashV1;

/// Files that are kept. One more, and the oldest goes.
const MAX_FILES: usize = 1000;

fn path(state_dir: &Path, info_hash: InfoHashV1) -> PathBuf {
    state_dir.join("metadata").join(format!("{info_hash}.info"))
}

/// The torrent that a link names, if its metadata is here and good.
pub(crate) fn load(state_dir: &Path, magnet: &Magnet) -> Option<Metainfo> {
    let info = fs::read(path(state_dir, magnet.info_hash.wire())).ok()?;
    magnet.names(&info).then(|| Metainfo::parse(&magnet.torrent_file(&info)).ok())?
}

/// Keeps metadata, all of it or nothing.
pub(crate) fn save(state_dir: &Path, info_hash: InfoHashV1, info: &[u8]) -> io::Result<()> {
    let path = path(state_dir, info_hash);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // Another process may be at the same.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, info)?;
    fs::rename(&new, &path)?;
    forget_oldest(path.parent().unwrap_or(state_dir), MAX_FILES)
}

/// Removes the files that were written before the latest `most`.
fn forget_oldest(dir: &Path, most: usize) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(dir)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    files.truncate(files.len().saturating_sub(most));
    files.iter().try_for_each(|(_, path)| match fs::remove_file(path) {
        // Another process was quicker.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use metainfo::create::Builder;
    use std::time::{Duration, SystemTime};

    #[test]
    fn only_what_the_link_names_is_loaded() {
        let torrent = Builder::file("x", 1).piece_length(16384).pieces(vec![7; 20]).build().unwrap();
        let torrent = Metainfo::parse(&torrent).unwrap();
        let (dir, magnet) = (tempfile::tempdir().unwrap(), Magnet::from(&torrent));
        assert!(load(dir.path(), &magnet).is_none());
        save(dir.path(), magnet.info_hash.wire(), &torrent.info_bytes().unwrap()).unwrap();
        assert_eq!(load(dir.path(), &magnet).unwrap().info_hash(), torrent.info_hash());
        save(dir.path(), magnet.info_hash.wire(), &torrent.info_bytes().unwrap()[1..]).unwrap();
        assert!(load(dir.path(), &magnet).is_none(), "damaged");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for age in [3, 1, 4, 2] {
            let file = fs::File::create(dir.path().join(format!("{age}.info"))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age * 60)).unwrap();
        }
        forget_oldest(dir.path(), 4).unwrap();
        forget_oldest(dir.path(), 2).unwrap();
        let left = |age| dir.path().join(format!("{age}.info")).exists();
        assert_eq!([1, 2, 3, 4].map(left), [true, true, false, false]);
    }

    #[test]
    fn so_many_are_kept_and_then_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = dir.path().join("metadata");
        fs::create_dir(&metadata).unwrap();
        let old = metadata.join("0.info");
        for number in 1..MAX_FILES - 1 {
            fs::write(metadata.join(format!("{number}.info")), "x").unwrap();
        }
        let file = fs::File::create(&old).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        for (number, is_kept) in [(1, true), (2, false)] {
            save(dir.path(), InfoHashV1([number; 20]), b"x").unwrap();
            assert_eq!(fs::read_dir(&metadata).unwrap().count(), MAX_FILES);
            assert_eq!(old.exists(), is_kept);
        }
    }
}
