//! A torrent of another client's session.

use crate::Have;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use metainfo::Metainfo;
use swarm::Priority;

/// A torrent as another client had it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its torrent file.
    pub torrent: Vec<u8>,
    /// The same, read.
    pub metainfo: Metainfo,
    /// The folder that holds its file or folder: a path's bytes, never empty, absolute or not as the client had it.
    pub dir: Vec<u8>,
    /// Whether its user had stopped it.
    pub paused: bool,
    /// Whether it was fetched in order.
    pub sequential: bool,
    /// How much each file was wanted; empty if all were alike.
    pub priorities: Vec<Priority>,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Its own limit, in bytes per second.
    pub max_down: Option<u64>,
    /// Its own limit, in bytes per second.
    pub max_up: Option<u64>,
    /// Uploaded bytes over the torrent's at which seeding ends.
    pub seed_ratio: Option<f64>,
    /// How long it is seeded.
    pub seed_time: Option<Duration>,
    /// The category or label.
    pub category: Option<String>,
    /// Further labels.
    pub tags: Vec<String>,
    /// Its place among the others: the greater, the later.
    pub place: i64,
    /// What of it is there, as it is claimed.
    pub have: Have,
}

/// Why a torrent is not taken over, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A file cannot be read as what it is.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// There is no such file beside the others.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Its torrent file is none.
    #[error("its torrent file cannot be used: {0}")]
    Torrent(metainfo::Error),
    /// The torrent file beside it has another info-hash.
    #[error("its torrent file is another torrent's")]
    Another,
    /// It is known by a magnet link alone so far.
    #[error("it was added by a magnet link and its metadata is not there yet; add the link again")]
    NoMetadata,
    /// Its files have other names than the torrent says.
    #[error("its files were renamed ({0}), which cannot be taken over; give them the torrent's names first")]
    Renamed(String),
    /// It does not say where its files are.
    #[error("it does not say where its files are")]
    NoDir,
    /// A v2 torrent without v1 hashes.
    #[error("it is a v2 torrent without v1 hashes, which cannot be downloaded yet")]
    V2Only,
    /// A state file in the format of old versions.
    #[error("{0} is of a version that is too old; start a newer one once, so that it is written anew")]
    TooOld(&'static str),
}

impl Found {
    /// A torrent with the defaults; everything else of it is filled in by who read it.
    pub(crate) fn new(torrent: Vec<u8>, id: &str, dir: &[u8]) -> Result<Found, Refused> {
        let metainfo = Metainfo::parse(&torrent).map_err(Refused::Torrent)?;
        if !is_called(&metainfo, id) {
            return Err(Refused::Another);
        }
        if metainfo.info_hash().v1().is_none() {
            return Err(Refused::V2Only);
        }
        if dir.is_empty() || dir.contains(&0) {
            return Err(Refused::NoDir);
        }
        let have = Have::nothing(&metainfo);
        Ok(Found {
            torrent,
            metainfo,
            dir: dir.into(),
            paused: false,
            sequential: false,
            priorities: Vec::new(),
            downloaded: 0,
            uploaded: 0,
            max_down: None,
            max_up: None,
            seed_ratio: None,
            seed_time: None,
            category: None,
            tags: Vec::new(),
            place: 0,
            have,
        })
    }

    /// Sets how much files are wanted; what is missing is wanted as usual.
    pub(crate) fn set_priorities(&mut self, given: impl Iterator<Item = Priority>) {
        let files = self.metainfo.files().len();
        let usual = core::iter::repeat(Priority::Normal);
        let all: Vec<_> = given.take(files).chain(usual).take(files).collect();
        let alike = all.iter().all(|&priority| priority == Priority::Normal);
        self.priorities = if alike { Vec::new() } else { all };
    }
}

/// Whether a client calls the torrent by this name: an info-hash, or the first 20 bytes of a v2 one.
fn is_called(metainfo: &Metainfo, id: &str) -> bool {
    let info_hash = metainfo.info_hash();
    let v2 = info_hash.v2().map(|hash| hash.0[..20].to_vec());
    let hashes = [info_hash.v1().map(|hash| hash.0.to_vec()), v2];
    hashes.into_iter().flatten().any(|hash| {
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        id.len() == 2 * hash.len()
            && id.chars().zip(digits).all(|(digit, value)| digit.to_digit(16) == Some(value.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{id, torrent};
    use std::borrow::ToOwned;

    #[test]
    fn a_torrent_is_known_by_its_info_hash() {
        assert!(Found::new(torrent(), &id(), b"/x").is_ok());
        assert!(Found::new(torrent(), &id().to_uppercase(), b"/x").is_ok());
        let other = id().chars().rev().collect::<String>();
        assert_eq!(Found::new(torrent(), &other, b"/x"), Err(Refused::Another));
        assert_eq!(Found::new(torrent(), &id()[..38], b"/x"), Err(Refused::Another));
        assert_eq!(Found::new(torrent(), &id(), b""), Err(Refused::NoDir));
        assert!(matches!(Found::new(b"x".to_vec(), &id(), b"/x"), Err(Refused::Torrent(_))));
        let line = Refused::Renamed("a".to_owned());
        assert!(!std::format!("{line}").contains('\n'));
    }

    #[test]
    fn priorities_are_as_many_as_files() {
        let mut found = Found::new(torrent(), &id(), b"/x").unwrap();
        found.set_priorities([Priority::Normal; 9].into_iter());
        assert!(found.priorities.is_empty());
        found.set_priorities([Priority::Skip].into_iter());
        assert_eq!(found.priorities, [Priority::Skip, Priority::Normal, Priority::Normal]);
    }
}
