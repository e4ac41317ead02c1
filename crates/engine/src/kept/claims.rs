//! Where torrents have their files: what another one has too neither goes nor moves with a torrent.

use super::held::PATIENCE;
use super::names::{self, Names};
use super::{Choices, KeptTorrent, Record, Room, What, key};
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
        let held_up_by = kept.is_held_up_by();
        Some(Claim { held_up_by, ..Claim::of(&kept.record, &kept.what)? })
    }

    fn of(record: &Record, what: &What) -> Option<Claim> {
        let mut claim = Claim::before(what.info_hash(), what.metainfo()?.clone(), &record.choices);
        claim.places.extend(
            record.moving.as_ref().map(|moving| (moving.target.dir.clone(), moving.target.names.clone())),
        );
        Some(claim)
    }

    fn before(info_hash: InfoHash, metainfo: Arc<Metainfo>, choices: &Choices) -> Claim {
        Claim {
            info_hash,
            metainfo,
            places: vec![(choices.dir.clone(), choices.names.clone())],
            held_up_by: None,
        }
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
        let look = move || {
            let shared = shared(&claims, &dir, &layout, &to_go).into_iter();
            let shared = shared.filter(|found| !found.is_in_their_way);
            let found: Vec<_> = shared.map(|found| (layout.path_under(&dir, found.file), found)).collect();
            Ok((claims, found))
        };
        let (claims, found) = blocking(look).await?;
        for (path, Shared { claim, theirs, .. }) in found {
            let Claim { info_hash, metainfo, .. } = &claims[claim];
            // One that has nothing of it yet cannot lose it.
            if self.known_files(*info_hash, metainfo).await.is_none_or(|ours| ours.get(theirs) == Some(&true))
            {
                return Err(Error::Refused(format!(
                    "{} is a file of {:?} ({}) too; remove that torrent without its files first",
                    path.display(),
                    metainfo.name(),
                    info_hash.wire()
                )));
            }
        }
        Ok(())
    }

    /// Which files are known to be a torrent's; `None` if that cannot be told.
    pub(super) async fn known_files(&self, info_hash: InfoHash, metainfo: &Metainfo) -> Option<Vec<bool>> {
        let row = self.store.get(Table::Progress, &key(info_hash)).await.ok()??;
        let (lengths, files) = (metainfo.lengths(), metainfo.files().len());
        Some(resume::Record::of_row(info_hash.wire(), &row, lengths, files)?.disk.ours)
    }
}

/// Which of a torrent's files other torrents have as well.
pub(super) fn claimed(claims: &[Claim], dir: &Path, layout: &Layout, ours: &[bool]) -> BTreeSet<usize> {
    shared(claims, dir, layout, ours).into_iter().map(|shared| shared.file).collect()
}

fn shared(claims: &[Claim], dir: &Path, layout: &Layout, ours: &[bool]) -> Vec<Shared> {
    let true_path = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.into());
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
