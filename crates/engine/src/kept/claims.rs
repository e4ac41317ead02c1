//! Where torrents have their files: what another one has too neither goes nor moves with a torrent.

use super::held::PATIENCE;
use super::names::{self, Names};
use super::{Choices, KeptTorrent, Record, Room, What, key};
use crate::doctor::record_of;
use crate::driver::blocking;
use crate::resume;
use crate::{Error, Metainfo};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::Layout;
use store::Table;
use tokio::time::{Instant, timeout_at};
use types::{InfoHash, InfoHashV1};

/// Where another torrent has its files, or will have them.
pub(super) struct Claim {
    info_hash: InfoHash,
    metainfo: Arc<Metainfo>,
    places: Vec<(PathBuf, Names)>,
    /// What stands where one of its files goes, and keeps it from going on: that is not its own.
    held_up_by: Option<PathBuf>,
    /// Whether it may come to have more of it at any time.
    is_under_way: bool,
}

/// A file that another torrent lays claim to.
struct Shared {
    file: usize,
    /// Which claim, and which file of that torrent.
    claim: usize,
    theirs: usize,
    is_in_their_way: bool,
}

impl Claim {
    fn of_kept(kept: &KeptTorrent) -> Option<Claim> {
        let (held_up_by, is_under_way) = (kept.is_held_up_by(), kept.running.goes_on());
        Some(Claim { held_up_by, is_under_way, ..Claim::of(&kept.record, &kept.what)? })
    }

    fn of(record: &Record, what: &What) -> Option<Claim> {
        let mut claim = Claim::before(what.info_hash(), what.metainfo()?.clone(), &record.choices);
        claim.places.extend(
            record
                .moving
                .iter()
                .chain(&record.left_behind)
                .map(|moving| (moving.target.dir.clone(), moving.target.names.clone())),
        );
        Some(claim)
    }

    fn before(info_hash: InfoHash, metainfo: Arc<Metainfo>, choices: &Choices) -> Claim {
        Claim {
            info_hash,
            metainfo,
            places: vec![(choices.dir.clone(), choices.names.clone())],
            held_up_by: None,
            is_under_way: true,
        }
    }

    /// What a user knows it by.
    fn named(&self) -> String {
        format!("{:?} ({})", self.metainfo.name(), self.info_hash.wire())
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Whether a file of this name is one of its files.
    fn has(&self, file: &Path, name: &str) -> bool {
        let is_called_so = |path: &str| path.rsplit('/').next() == Some(name);
        self.places.iter().any(|(dir, names)| {
            names::paths(&self.metainfo, names)
                .any(|(_, path)| is_called_so(path) && true_path(dir).join(path) == file)
        })
    }
}

impl Room {
    /// Where all torrents have their files.
    pub(super) async fn claims(&self) -> Vec<Claim> {
        let places: Vec<_> = self.torrents().iter().map(|(&key, place)| (key, place.clone())).collect();
        let mut claims = Vec::new();
        for (key, place) in places {
            // One that has not begun since the session was opened is held as long as its disk pleases.
            let waiting = self.waiting().get(&key).cloned();
            if let Some((record, what)) = waiting.as_deref() {
                claims.extend(Claim::of(record, what));
                continue;
            }
            let held = place.lock().await;
            claims.extend(held.kept.as_deref().and_then(Claim::of_kept));
        }
        claims
    }

    /// The same of all but one, for who holds that one: others that are held are told as they were before, so that no two wait
    /// for each other.
    async fn claims_beside(&self, own: InfoHashV1) -> Vec<Claim> {
        let places: Vec<_> = self.torrents().iter().map(|(&key, place)| (key, place.clone())).collect();
        let until = Instant::now() + PATIENCE;
        let mut claims = Vec::new();
        for (key, place) in places.into_iter().filter(|(key, _)| *key != own) {
            let mut held = place.try_lock().ok();
            if held.is_none() {
                if let Some(listed) = self.before.listed(key) {
                    let claim = |metainfo| Claim::before(listed.info_hash, metainfo, &listed.choices);
                    claims.extend(listed.metainfo.clone().map(claim));
                    continue;
                }
                let waiting = self.waiting().get(&key).cloned();
                if let Some((record, what)) = waiting.as_deref() {
                    claims.extend(Claim::of(record, what));
                    continue;
                }
                held = timeout_at(until, place.lock()).await.ok();
            }
            let kept = held.as_ref().and_then(|held| held.kept.as_deref());
            claims.extend(kept.and_then(Claim::of_kept));
        }
        claims
    }

    /// Refuses what would take a file away from another torrent: one of those that are `to_go`, by their index, below `dir`.
    pub(super) async fn must_be_its_alone(
        &self,
        own: InfoHash,
        dir: PathBuf,
        layout: Layout,
        to_go: Vec<bool>,
    ) -> Result<(), Error> {
        let claims = self.claims_beside(own.wire()).await;
        match self.of_others(claims, dir, layout, to_go, |_| false).await?.pop_first() {
            Some((_, whose)) => {
                Err(Error::Refused(format!("{whose}; remove that torrent without its files first")))
            }
            None => Ok(()),
        }
    }

    /// Those of a torrent's files, by their index, that other torrents have as well, and in one line each, whose they are. One
    /// that has nothing of a file yet cannot lose it, unless it `may_have` it by now.
    pub(super) async fn of_others(
        &self,
        claims: Vec<Claim>,
        dir: PathBuf,
        layout: Layout,
        files: Vec<bool>,
        may_have: impl Fn(&Claim) -> bool,
    ) -> Result<BTreeMap<usize, String>, Error> {
        let look = move || {
            let shared = shared(&claims, &dir, &layout, &files).into_iter();
            let shared = shared.filter(|found| !found.is_in_their_way);
            let found: Vec<_> = shared.map(|found| (layout.path_under(&dir, found.file), found)).collect();
            Ok((claims, found))
        };
        let (claims, found) = blocking(look).await?;
        let mut known = BTreeMap::new();
        for number in found.iter().map(|(_, shared)| shared.claim).collect::<BTreeSet<_>>() {
            let claim = &claims[number];
            if !may_have(claim) {
                known.insert(number, self.known_files(claim.info_hash, &claim.metainfo).await);
            }
        }
        let is_theirs = |shared: &Shared| match known.get(&shared.claim) {
            Some(Some(ours)) => ours.get(shared.theirs) == Some(&true),
            Some(None) | None => true,
        };
        let of_others = found.into_iter().filter(|(_, shared)| is_theirs(shared)).map(|(path, shared)| {
            let whose = claims[shared.claim].named();
            (shared.file, format!("{} is a file of {whose} too", path.display()))
        });
        Ok(of_others.collect())
    }

    /// Which torrent a file belongs to, or will, if it is one of the session's.
    pub(super) async fn owner(&self, path: PathBuf) -> Option<String> {
        let claims = self.claims_beside(InfoHashV1([0; 20])).await;
        let look = move || {
            let name = path.file_name()?.to_str()?.to_owned();
            let there = fs::canonicalize(path.parent()?).ok()?.join(&name);
            Some(claims.iter().find(|claim| claim.has(&there, &name))?.named())
        };
        tokio::task::spawn_blocking(look).await.ok()?
    }

    /// What the last run of a torrent left; `None` if that is not known.
    pub(super) async fn progress(&self, info_hash: InfoHash, metainfo: &Metainfo) -> Option<resume::Record> {
        let row = self.store.get(Table::Progress, &key(info_hash)).await.ok()??;
        record_of(&row, metainfo)
    }

    /// Which files are known to be a torrent's; `None` if that cannot be told.
    pub(super) async fn known_files(&self, info_hash: InfoHash, metainfo: &Metainfo) -> Option<Vec<bool>> {
        Some(self.progress(info_hash, metainfo).await?.disk.ours)
    }
}

fn true_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.into())
}

fn shared(claims: &[Claim], dir: &Path, layout: &Layout, ours: &[bool]) -> Vec<Shared> {
    let here = true_path(dir);
    let files = (0..ours.len()).filter(|&file| ours[file]);
    let by_path: BTreeMap<PathBuf, usize> =
        files.map(|file| (layout.path_under(&here, file), file)).collect();
    // A folder has many names, a file below a torrent's has one: most torrents' folders need not be looked at.
    let file_names: BTreeSet<_> =
        by_path.keys().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
    let mut found = Vec::new();
    for (claim, Claim { metainfo, places, held_up_by, .. }) in claims.iter().enumerate() {
        for (dir, names) in places {
            let name_of = |path: &str| path.rsplit('/').next().is_some_and(|name| file_names.contains(name));
            if !names::paths(metainfo, names).any(|(_, path)| name_of(path)) {
                continue;
            }
            let there = true_path(dir);
            if !there.starts_with(&here) && !here.starts_with(&there) {
                continue;
            }
            let Ok(other) = Layout::new(metainfo.clone()).and_then(|layout| layout.renamed(names)) else {
                continue;
            };
            let files = metainfo.files().iter().enumerate().filter(|(_, file)| file.is_regular());
            found.extend(files.filter_map(|(theirs, _)| {
                let &file = by_path.get(&other.path_under(&there, theirs))?;
                let is_in_their_way = held_up_by.as_ref() == Some(&other.path_under(dir, theirs));
                Some(Shared { file, claim, theirs, is_in_their_way })
            }));
        }
    }
    found
}
