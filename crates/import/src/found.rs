//! A torrent of another client's session.

use crate::{Have, Link};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use metainfo::Metainfo;
use swarm::Priority;
use types::InfoHash;

/// What another client had.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A torrent.
    Torrent(Box<Found>),
    /// A magnet link whose metadata it had not found yet.
    Link(Box<Link>),
}

/// A torrent as another client had it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its torrent file.
    pub torrent: Vec<u8>,
    /// The same, read.
    pub metainfo: Metainfo,
    /// Paths below its folder that its files have instead of the torrent's own, by file; not checked.
    pub names: BTreeMap<usize, String>,
    /// How much each file was wanted; empty if all were alike.
    pub priorities: Vec<Priority>,
    /// Payload bytes received.
    pub downloaded: u64,
    /// Payload bytes sent.
    pub uploaded: u64,
    /// How long it was seeded.
    pub seeded: Duration,
    /// What was chosen for it.
    pub wishes: Wishes,
    /// What of it is there, as it is claimed.
    pub have: Have,
}

/// What its user wanted of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// The folder that holds its file or folder, once it is complete: a path's bytes, never empty, absolute or not as the
    /// client had it.
    pub dir: Vec<u8>,
    /// The folder in which it may lie until then.
    pub dir_until_complete: Option<Vec<u8>>,
    /// Whether its user had stopped it.
    pub paused: bool,
    /// Whether it was fetched in order.
    pub sequential: bool,
    /// Its own limit, in bytes per second.
    pub max_down: Option<u64>,
    /// Its own limit, in bytes per second.
    pub max_up: Option<u64>,
    /// Uploaded bytes over the torrent's at which seeding ends.
    pub seed_ratio: Option<f64>,
    /// How long it is seeded.
    pub seed_time: Option<Duration>,
    /// How long it is seeded while nobody wants anything of it.
    pub seed_idle: Option<Duration>,
    /// Whether it is forgotten, without its files, when one of these is reached.
    pub removed_when_seeded: bool,
    /// Whether `dir` is only where it lies: it goes to the folder of its category, or to that of all without one.
    pub follows_category: bool,
    /// The category or label.
    pub category: Option<String>,
    /// Further labels.
    pub tags: Vec<String>,
    /// Its place among the others: the greater, the later.
    pub place: i64,
}

impl Item {
    /// Which torrent it is.
    pub fn info_hash(&self) -> InfoHash {
        match self {
            Item::Torrent(found) => found.metainfo.info_hash(),
            Item::Link(link) => link.magnet.info_hash,
        }
    }

    /// The name of its file or folder, or what its link calls it.
    pub fn name(&self) -> String {
        match self {
            Item::Torrent(found) => found.metainfo.name().into(),
            Item::Link(link) => link.magnet.name.clone().unwrap_or_else(|| link.magnet.info_hash.to_string()),
        }
    }

    /// What was chosen for it.
    pub fn wishes(&self) -> &Wishes {
        match self {
            Item::Torrent(found) => &found.wishes,
            Item::Link(link) => &link.wishes,
        }
    }

    /// The same, to be changed.
    pub fn wishes_mut(&mut self) -> &mut Wishes {
        match self {
            Item::Torrent(found) => &mut found.wishes,
            Item::Link(link) => &mut link.wishes,
        }
    }
}

impl From<Found> for Item {
    fn from(found: Found) -> Item {
        Item::Torrent(Box::new(found))
    }
}

impl From<Link> for Item {
    fn from(link: Link) -> Item {
        Item::Link(Box::new(link))
    }
}

impl Wishes {
    /// Into a folder, and nothing else.
    pub(crate) fn new(dir: &[u8]) -> Wishes {
        Wishes { dir: dir.into(), ..Wishes::default() }
    }

    /// Into a folder once it is complete; until then it may lie in another one.
    pub(crate) fn until_complete(mut self, dir: Option<&[u8]>) -> Wishes {
        let bare = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
        let other = dir.filter(|dir| !dir.is_empty() && bare(dir) != bare(&self.dir));
        self.dir_until_complete = other.map(Vec::from);
        self
    }

    pub(crate) fn check(&self) -> Result<(), Refused> {
        let mut dirs = self.dir_until_complete.iter().chain([&self.dir]);
        if dirs.any(|dir| dir.is_empty() || dir.contains(&0)) { Err(Refused::NoDir) } else { Ok(()) }
    }
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
    /// It is known by a magnet link alone so far, and that is none that can be used.
    #[error("it was added by a magnet link that cannot be used: {0}")]
    Link(metainfo::magnet::MagnetError),
    /// A file has a name that is no text.
    #[error("a file of it is called {0:?}, which is no text; rename it first")]
    Renamed(String),
    /// It does not say where its files are.
    #[error("it does not say where its files are")]
    NoDir,
    /// Its folder is not given from the root on.
    #[error(
        "its folder ({0}) is below the one that rTorrent was started in; name that one with --started-in"
    )]
    Relative(String),
    /// A v2 torrent without v1 hashes.
    #[error("it is a v2 torrent without v1 hashes, which cannot be downloaded yet")]
    V2Only,
    /// A state file in the format of old versions.
    #[error("{0} is of a version that is too old; start a newer one once, so that it is written anew")]
    TooOld(&'static str),
}

impl Found {
    /// A torrent with the defaults; everything else of it is filled in by who read it.
    pub(crate) fn new(torrent: Vec<u8>, id: &str, wishes: Wishes) -> Result<Found, Refused> {
        let metainfo = Metainfo::parse(&torrent).map_err(Refused::Torrent)?;
        if !is_called(metainfo.info_hash(), id) {
            return Err(Refused::Another);
        }
        if metainfo.info_hash().v1().is_none() {
            return Err(Refused::V2Only);
        }
        wishes.check()?;
        let have = Have::nothing(&metainfo);
        let (names, priorities) = (BTreeMap::new(), Vec::new());
        let (downloaded, uploaded, seeded) = (0, 0, Duration::ZERO);
        Ok(Found { torrent, metainfo, names, priorities, downloaded, uploaded, seeded, wishes, have })
    }

    /// Takes in what files are called, in their order; what is missing or empty has its own name.
    pub(crate) fn set_names<'a>(
        &mut self,
        given: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), Refused> {
        for (number, (name, file)) in given.into_iter().zip(self.metainfo.files()).enumerate() {
            let Some(name) = name.filter(|name| file.is_regular() && !name.is_empty()) else { continue };
            if name == file.path.as_str().as_bytes() {
                continue;
            }
            let text = core::str::from_utf8(name).map_err(|_| Refused::Renamed(shown(name)))?;
            self.names.insert(number, text.into());
        }
        Ok(())
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
pub(crate) fn is_called(info_hash: InfoHash, id: &str) -> bool {
    let v2 = info_hash.v2().map(|hash| hash.0[..20].to_vec());
    let hashes = [info_hash.v1().map(|hash| hash.0.to_vec()), v2];
    hashes.into_iter().flatten().any(|hash| {
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        id.len() == 2 * hash.len()
            && id.chars().zip(digits).all(|(digit, value)| digit.to_digit(16) == Some(value.into()))
    })
}

pub(crate) fn shown(name: &[u8]) -> String {
    crate::libtorrent::label(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{id, torrent};
    use std::borrow::ToOwned;

    #[test]
    fn a_torrent_is_known_by_its_info_hash() {
        let new = |id: &str| Found::new(torrent(), id, Wishes::new(b"/x"));
        assert!(new(&id()).is_ok() && new(&id().to_uppercase()).is_ok());
        let other = id().chars().rev().collect::<String>();
        assert_eq!(new(&other), Err(Refused::Another));
        assert_eq!(new(&id()[..38]), Err(Refused::Another));
        assert_eq!(Found::new(torrent(), &id(), Wishes::new(b"")), Err(Refused::NoDir));
        let until = Wishes::new(b"/x").until_complete(Some(b"/\0"));
        assert_eq!(Found::new(torrent(), &id(), until), Err(Refused::NoDir));
        let none = Found::new(b"x".to_vec(), &id(), Wishes::new(b"/x"));
        assert!(matches!(none, Err(Refused::Torrent(_))));
        let line = Refused::Renamed("a".to_owned());
        assert!(!std::format!("{line}").contains('\n'));
    }

    #[test]
    fn priorities_are_as_many_as_files() {
        let mut found = Found::new(torrent(), &id(), Wishes::new(b"/x")).unwrap();
        found.set_priorities([Priority::Normal; 9].into_iter());
        assert!(found.priorities.is_empty());
        found.set_priorities([Priority::Skip].into_iter());
        assert_eq!(found.priorities, [Priority::Skip, Priority::Normal, Priority::Normal]);
    }

    #[test]
    fn a_folder_is_another_one_if_it_is_called_otherwise() {
        let until = |dir| Wishes::new(b"/x").until_complete(dir).dir_until_complete;
        assert_eq!(until(Some(b"/y/")), Some(b"/y/".to_vec()));
        for same in [None, Some(&b""[..]), Some(b"/x"), Some(b"/x/")] {
            assert_eq!(until(same), None);
        }
    }

    #[test]
    fn files_have_other_names_or_their_own() {
        let mut found = Found::new(torrent(), &id(), Wishes::new(b"/x")).unwrap();
        let names = [Some(&b"folder/a"[..]), Some(b"other"), Some(b""), Some(b"beyond")];
        found.set_names(names).unwrap();
        assert_eq!(found.names, BTreeMap::from([(1, "other".to_owned())]));
        assert!(matches!(found.set_names([Some(&b"\xff"[..])]), Err(Refused::Renamed(_))));
    }
}
