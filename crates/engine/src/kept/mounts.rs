//! Under which mount points folders lie that are kept for later: when one is used, its disk may be out, and nothing is to be
//! written where it is missing.

use super::record::Record;
use super::{Room, Session, SessionSettings, WatchFolder};
use crate::Error;
use crate::driver::blocking;
use crate::resume::{self, mount_of, true_name};
use bencode::{Value, encode_dict};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use store::{Change, Table};
use tokio::sync::oneshot;
use types::InfoHashV1;

/// Mount points, by folders below them.
type Folders = BTreeMap<PathBuf, PathBuf>;

/// Those of all folders that are kept beside torrents.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    settings: Folders,
    watched: Folders,
    roots: Folders,
    /// Mount points that any torrent lay under, or was to: as many as there are torrents at most.
    of_torrents: BTreeSet<PathBuf>,
}

/// What folders are kept for.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeptFor {
    Settings,
    Watched,
    /// Folders below which torrents may come to lie.
    Roots,
}

impl KeptFor {
    /// The row's name.
    fn key(self) -> &'static [u8] {
        match self {
            KeptFor::Settings => b"mounts of settings",
            KeptFor::Watched => b"mounts of watched folders",
            KeptFor::Roots => b"mounts of roots",
        }
    }
}

impl Mounts {
    pub(crate) fn kept_in(rows: &[(Vec<u8>, Vec<u8>)]) -> Mounts {
        let row = |kept_for: KeptFor| rows.iter().find(|(key, _)| *key == kept_for.key());
        let read = |kept_for| row(kept_for).map(|(_, row)| decode(row)).unwrap_or_default();
        Mounts {
            settings: read(KeptFor::Settings),
            watched: read(KeptFor::Watched),
            roots: read(KeptFor::Roots),
            of_torrents: BTreeSet::new(),
        }
    }

    /// Those of the rows of torrents.
    pub(crate) fn see_rows(&mut self, rows: &[(Vec<u8>, Vec<u8>)]) {
        rows.iter().filter_map(|(_, row)| Record::decode(row)).for_each(|record| self.see(&record));
    }

    /// That which what is known of a torrent's files says: its row says nothing of one to which it moved.
    pub(crate) fn see_progress(&mut self, info_hash: InfoHashV1, row: &[u8]) {
        self.of_torrents.extend(resume::mount_in(info_hash, row));
    }

    /// The mount point under which a folder lies; where a disk is missing that others lie on, that one's.
    pub(crate) fn mount_of(&self, dir: &Path) -> Option<PathBuf> {
        mount_among(&self.all(), dir, self.get(dir).cloned())
    }

    /// The row for folders of the settings: of those that are known what is known of them, of others as it is now.
    pub(super) fn row_of_settings(&self, folders: impl IntoIterator<Item = PathBuf>) -> Change {
        let mount = |dir: &PathBuf| self.settings.get(dir).cloned().or_else(|| self.mount_of(dir));
        let folders = folders.into_iter().filter_map(|dir| mount(&dir).map(|mount| (dir, mount))).collect();
        Change::put(Table::Session, KeptFor::Settings.key(), encode(&folders))
    }

    fn see(&mut self, record: &Record) {
        self.of_torrents.extend([&record.mount, &record.mount_when_complete].into_iter().flatten().cloned());
    }

    /// The mount points that are known, those within others first.
    fn all(&self) -> Vec<PathBuf> {
        let folders = [&self.settings, &self.watched, &self.roots].into_iter().flat_map(BTreeMap::values);
        let mut all: BTreeSet<&PathBuf> = folders.collect();
        all.extend(&self.of_torrents);
        all.into_iter().rev().cloned().collect()
    }

    fn of(&mut self, kept_for: KeptFor) -> &mut Folders {
        match kept_for {
            KeptFor::Settings => &mut self.settings,
            KeptFor::Watched => &mut self.watched,
            KeptFor::Roots => &mut self.roots,
        }
    }

    pub(super) fn get(&self, dir: &Path) -> Option<&PathBuf> {
        [&self.settings, &self.watched, &self.roots].into_iter().find_map(|folders| folders.get(dir))
    }
}

impl Session {
    /// Has it remember under which mount points folders lie below which torrents may come to lie, and forget others that were
    /// given earlier: nothing is written below one whose disk is not mounted, though no torrent is there yet. That is done
    /// whether it is waited for or not.
    pub fn remember_roots(&self, roots: Vec<PathBuf>) -> impl Future<Output = ()> + Send + use<> {
        let room = self.room.clone();
        let (tell, told) = oneshot::channel();
        self.room.shared.spawn(async move {
            room.learn_roots(roots).await;
            // Mostly nobody waits.
            let _ = tell.send(());
        });
        async move { told.await.unwrap_or(()) }
    }
}

impl Room {
    fn mounts(&self) -> MutexGuard<'_, Mounts> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves changes, and with them under which mount points folders lie: those that were kept before as it was known then,
    /// others as it is now.
    pub(super) async fn save_with_mounts(
        &self,
        kept_for: KeptFor,
        folders: Vec<PathBuf>,
        mut changes: Vec<Change>,
    ) -> Result<(), Error> {
        let before = self.mounts().of(kept_for).clone();
        let look = move || {
            let mount = |dir: &PathBuf| before.get(dir).cloned().or_else(|| storage::mount_point(dir));
            folders.into_iter().filter_map(|dir| mount(&dir).map(|mount| (dir, mount))).collect::<Folders>()
        };
        let now = tokio::task::spawn_blocking(look).await.map_err(|_| Error::ShutDown)?;
        changes.push(Change::put(Table::Session, kept_for.key(), encode(&now)));
        self.save(changes).await?;
        *self.mounts().of(kept_for) = now;
        Ok(())
    }

    async fn learn_roots(&self, roots: Vec<PathBuf>) {
        let before = self.mounts().roots.clone();
        let Some(now) = look_deeper(before.clone(), roots).await else { return };
        let row = Change::put(Table::Session, KeptFor::Roots.key(), encode(&now));
        // If that cannot be kept, it is learned again at the next start.
        if now == before || self.save(vec![row]).await.is_ok() {
            self.mounts().roots = now;
        }
    }

    /// What folders of the settings were given without their disk, or before mount points were kept, may be known by now.
    pub(super) async fn learn_of_settings(self: Arc<Self>) {
        let folders = self.settings.lock().await.folders();
        let before = self.mounts().settings.clone();
        let Some(now) = look_deeper(before.clone(), folders).await else { return };
        let held = self.settings.lock().await;
        // Of other folders it was looked when they were given.
        if now != before && held.folders().iter().all(|dir| now.contains_key(dir)) {
            let row = Change::put(Table::Session, KeptFor::Settings.key(), encode(&now));
            if self.save(vec![row]).await.is_ok() {
                self.mounts().settings = now;
            }
        }
    }

    /// The same of a folder that is watched, and that to which its torrents go.
    pub(super) async fn learn_of_watched(&self, folder: &WatchFolder) {
        let before = self.mounts().watched.clone();
        let Some(now) = look_deeper(before.clone(), folders_of(std::slice::from_ref(folder))).await else {
            return;
        };
        if now.iter().all(|(dir, mount)| before.get(dir) == Some(mount)) {
            return;
        }
        let held = self.watch.lock().await;
        if !held.has(folder) {
            return;
        }
        let all: Folders = self.mounts().watched.clone().into_iter().chain(now).collect();
        let row = Change::put(Table::Session, KeptFor::Watched.key(), encode(&all));
        if self.save(vec![row]).await.is_ok() {
            self.mounts().watched = all;
        }
    }

    /// The mount point of a folder, if that is known, and nothing is mounted there.
    pub(super) async fn missing_mount(&self, dir: &Path) -> Option<PathBuf> {
        let mount = self.mounts().get(dir).cloned()?;
        let is_missing = matches!(must_be_mounted(Some(mount.clone())).await, Err(Error::Disk(_)));
        is_missing.then_some(mount)
    }

    /// The mount point under which a folder lies, or is to lie.
    pub(super) async fn mount_of(&self, dir: &Path, remembered: Option<PathBuf>) -> Option<PathBuf> {
        let remembered = remembered.or_else(|| self.mounts().get(dir).cloned());
        let dir = dir.to_owned();
        tokio::task::spawn_blocking(move || mount_of(&dir, remembered)).await.unwrap_or(None)
    }

    /// The mount points of torrents that are kept.
    pub(super) fn see_mounts<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let mut mounts = self.mounts();
        records.for_each(|record| mounts.see(record));
    }

    /// Those that are known of torrents since they moved are in what is known of their files, where records say nothing of them.
    pub(super) async fn learn_of_moved(self: Arc<Self>) {
        let keys: Vec<_> = self.torrents().keys().copied().collect();
        for info_hash in keys {
            let row = self.store.get(Table::Progress, &info_hash.0).await.ok().flatten();
            if self.shared.is_closing() {
                return;
            }
            if let Some(row) = row {
                self.mounts().see_progress(info_hash, &row);
            }
        }
    }

    /// Takes down under which mount points the folders of a torrent lie that is added; where it begins has to be there.
    pub(super) async fn note_mounts(&self, record: &mut Record) -> Result<(), Error> {
        record.mount = self.mount_among_known(&record.choices.dir, None).await;
        if let Some(dir) = &record.choices.dir_when_complete {
            record.mount_when_complete = self.mount_among_known(dir, None).await;
        }
        must_be_mounted(record.mount.clone()).await?;
        self.mounts().see(record);
        Ok(())
    }

    /// The mount point under which a folder lies; where a disk is missing that others lie on, that one's.
    pub(super) async fn mount_among_known(&self, dir: &Path, remembered: Option<PathBuf>) -> Option<PathBuf> {
        let remembered = remembered.or_else(|| self.mounts().get(dir).cloned());
        let (dir, known) = (dir.to_owned(), self.mounts().all());
        tokio::task::spawn_blocking(move || mount_among(&known, &dir, remembered)).await.unwrap_or(None)
    }
}

/// The mount point under which a folder lies; of those that are `known`, which come those within others first, the one that is
/// missing below it.
fn mount_among(known: &[PathBuf], dir: &Path, remembered: Option<PathBuf>) -> Option<PathBuf> {
    let now = mount_of(dir, remembered);
    let Ok(name) = true_name(dir) else { return now };
    let is_deeper = |known: &&PathBuf| now.as_ref().is_none_or(|now| known.starts_with(now));
    let missing = known.iter().filter(is_deeper).find(|known| name.starts_with(known));
    missing.cloned().or(now)
}

/// The mount points of folders: those that are remembered, or those of now that lie below them. `None` if it cannot be told.
async fn look_deeper(before: Folders, folders: Vec<PathBuf>) -> Option<Folders> {
    let mount = move |dir: &PathBuf| {
        let (now, remembered) = (storage::mount_point(dir), before.get(dir).cloned());
        match (now, remembered) {
            (Some(now), Some(remembered)) if !now.starts_with(&remembered) => Some(remembered),
            (now, remembered) => now.or(remembered),
        }
    };
    let look = move || folders.into_iter().filter_map(|dir| mount(&dir).map(|mount| (dir, mount))).collect();
    tokio::task::spawn_blocking(look).await.ok()
}

/// Refuses what would be written where a disk is missing.
pub(super) async fn must_be_mounted(mount: Option<PathBuf>) -> Result<(), Error> {
    let Some(mount) = mount else { return Ok(()) };
    blocking(move || storage::must_be_mounted(&mount).map_err(Error::Disk)).await
}

impl SessionSettings {
    /// Where torrents may come to lie.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.save_paths.values().chain(&self.incomplete_dir).cloned().collect()
    }
}

/// The same of watched folders, with these.
pub(super) fn folders_of(watched: &[WatchFolder]) -> Vec<PathBuf> {
    watched.iter().flat_map(|folder| std::iter::once(&folder.dir).chain(&folder.to)).cloned().collect()
}

fn encode(folders: &Folders) -> Vec<u8> {
    let mut by_bytes: Vec<_> = folders
        .iter()
        .map(|(dir, mount)| (dir.as_os_str().as_bytes(), mount.as_os_str().as_bytes()))
        .collect();
    by_bytes.sort_unstable();
    encode_dict(|d| {
        d.list("mounts", |list| {
            for (dir, mount) in by_bytes {
                list.list(|l| {
                    l.bytes(dir);
                    l.bytes(mount);
                });
            }
        });
    })
}

/// What cannot be read is passed over.
fn decode(row: &[u8]) -> Folders {
    let Ok(document) = bencode::decode(row) else { return Folders::new() };
    let pairs = document.root().get("mounts").and_then(Value::as_list);
    let path = |value: Value<'_>| Some(PathBuf::from(OsStr::from_bytes(value.as_bytes()?)));
    let pair = |pair: Value<'_>| {
        let mut pair = pair.as_list()?;
        Some((path(pair.next()?)?, path(pair.next()?)?))
    };
    pairs.into_iter().flatten().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mount_point_that_is_remembered_is_replaced_by_one_below_it_only() {
        let dir = PathBuf::from("/proc/disk");
        let now = storage::mount_point(&dir).unwrap();
        let look = async |remembered: Option<PathBuf>| {
            let before = remembered.map(|mount| (dir.clone(), mount)).into_iter().collect();
            look_deeper(before, vec![dir.clone()]).await.unwrap().remove(&dir).unwrap()
        };
        assert_eq!(look(None).await, now);
        assert_eq!(look(Some("/".into())).await, now, "its disk is there now");
        assert_eq!(look(Some(dir.clone())).await, dir, "its disk is away");
    }

    #[test]
    fn a_mount_point_that_is_known_counts_while_nothing_is_mounted_there() {
        let dir = tempfile::tempdir().unwrap();
        let disk = std::fs::canonicalize(dir.path()).unwrap().join("disk");
        let now = storage::mount_point(&disk);
        let lies_in = disk.join("films");
        let mut mounts = Mounts::default();
        assert_eq!(mounts.mount_of(&lies_in), now);
        mounts.of_torrents.insert(disk.clone());
        assert_eq!((mounts.mount_of(&lies_in), mounts.mount_of(dir.path())), (Some(disk.clone()), now));
        let row = mounts.row_of_settings([lies_in.clone()]);
        assert_eq!(Mounts::kept_in(&[(row.key, row.value.unwrap())]).get(&lies_in), Some(&disk));
    }

    #[test]
    fn mounts_are_read_as_they_were_written() {
        let folders: Folders = [("/mnt/a/x", "/mnt/a"), ("/mnt/b", "/mnt/b")]
            .map(|(dir, mount)| (dir.into(), mount.into()))
            .into();
        assert_eq!(decode(&encode(&folders)), folders);
        let rows = [(KeptFor::Watched.key().to_vec(), encode(&folders))];
        let mut kept = Mounts::kept_in(&rows);
        assert_eq!((kept.of(KeptFor::Settings).len(), kept.of(KeptFor::Watched).len()), (0, 2));
        assert_eq!(kept.get(Path::new("/mnt/b")), Some(&PathBuf::from("/mnt/b")));
        for bad in [&b""[..], b"le", b"d6:mountsl1:xee", b"d6:mountsll1:xeee"] {
            assert_eq!(decode(bad), Folders::new());
        }
    }
}
