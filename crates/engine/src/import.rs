//! Torrents of other clients' sessions, taken over into a session of ours that does not run.
//!
//! What the other client claims is judged by the crate `import`. What is believed is what a clean end of a run of ours would
//! have left: pieces, and what their files look like. Files that are not believed are hashed when the session begins.

mod database;
mod source;

use crate::doctor::look as stamp;
use crate::kept::{
    Choices, GoalAction, MAX_TAGS, Mounts, SessionSettings, check_names, first_row_of_link, first_rows,
    key_of,
};
use crate::resume;
use crate::{Error, Kept, SeedGoal};
use ::import::{Found, Item, Judged, Link, Look, Wishes};
use metainfo::Metainfo;
use source::Source;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{FileStamp, Layout, Snapshot};
use store::{Change, Store, Table};
use types::{Bitfield, InfoHash};

/// Torrents that are made durable together.
const BATCH: usize = 100;
/// Bytes of torrent files that are made durable together; one torrent's may be more.
const BATCH_BYTES: usize = 32 << 20;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The folder `BT_backup` or the file `torrents.db`, or the folder that has these in it.
    Qbittorrent,
    /// The folder that has `torrents` and `resume` in it.
    Transmission,
    /// What `session.path` is set to.
    Rtorrent,
    /// The folder `state`, that which has it in it, or the file `torrents.state`.
    Deluge,
}

/// What became of one of its torrents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The torrent's name, or what the client calls it if that cannot be told.
    pub name: String,
    /// Why it was not taken over, in one line; or how it was.
    pub outcome: Result<Taken, String>,
}

/// How a torrent was taken over. All of this is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which one.
    pub info_hash: InfoHash,
    /// Pieces that need not be hashed, since their files are as the client left them.
    pub believed: u32,
    /// Pieces that are hashed when the session begins.
    pub doubted: u32,
    /// Pieces of the torrent; 0 if only a magnet link is known of it.
    pub pieces: u32,
    /// Files that the client calls otherwise until they are complete, and that have their own names now.
    pub renamed: usize,
    /// Whether it rests.
    pub paused: bool,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Torrents that were taken over.
    pub taken: usize,
    /// Torrents that were not.
    pub refused: usize,
    /// Torrents beyond the most that are read of one session.
    pub beyond: usize,
    /// What of the other client's session was read instead of something else: a line each, for people.
    pub notes: Vec<String>,
    /// What became of the session that they were taken over into.
    pub kept: Kept,
}

/// Takes over all torrents of another client's session, and the folders of its categories that the session has none for, which
/// must not run, into that in `state_dir`, which must not run either. Folders of rTorrent that are not given from the root on
/// are below the one that it was `started_in`. `tell` is told of each torrent when what it is told is durable. Blocks, and may
/// take minutes.
///
/// # Errors
/// [`Error::NoSession`], [`Error::SessionInUse`], [`Error::SessionNewer`], [`Error::State`], [`Error::Unsaved`]. A torrent that
/// cannot be taken over is none.
pub fn import(
    state_dir: &Path,
    client: Client,
    dir: &Path,
    started_in: Option<&Path>,
    tell: impl FnMut(Told),
) -> Result<Imported, Error> {
    let mut source = Source::open(client, dir, started_in)?;
    let (store, mut opened) = Store::open_and_load(state_dir, &[Table::Torrents, Table::Session])
        .map_err(crate::kept::open_error)?;
    let (kept, notes) = (Kept::at_import(state_dir, &opened), std::mem::take(&mut source.notes));
    let imported = Imported { kept, notes, ..Imported::default() };
    let mut rows = |table| opened.tables.remove(&table).unwrap_or_default();
    let (rows, session) = (rows(Table::Torrents), rows(Table::Session));
    let mut mounts = Mounts::kept_in(&session.rows);
    mounts.see_rows(&rows.rows);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::Start(err.to_string()))?;
    let mut importer = Importer {
        source,
        here: rows.rows.iter().map(|(key, _)| key.clone()).chain(rows.damaged).collect(),
        next_place: crate::kept::last_place(&rows.rows),
        mounts,
        changes: Vec::new(),
        untold: Vec::new(),
        imported,
        tell,
    };
    let outcome = runtime.block_on(async {
        let outcome = importer.run(&store, &session.rows).await;
        store.close().await;
        outcome
    });
    outcome.map(|()| importer.imported)
}

struct Importer<T> {
    source: Source,
    /// Keys of torrents that the session has.
    here: BTreeSet<Vec<u8>>,
    next_place: u64,
    /// Those that the session knows.
    mounts: Mounts,
    changes: Vec<Change>,
    untold: Vec<Told>,
    imported: Imported,
    tell: T,
}

impl<T: FnMut(Told)> Importer<T> {
    /// `session` has the rows of the session's settings.
    async fn run(&mut self, store: &Store, session: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> {
        for info_hash in self.here.iter().filter_map(|key| key_of(key)) {
            if let Some(row) = store.get(Table::Progress, &info_hash.0).await.ok().flatten() {
                self.mounts.see_progress(info_hash, &row);
            }
        }
        let save_paths = SessionSettings::with_save_paths(session, self.source.save_paths(), &self.mounts);
        self.changes.extend(save_paths.into_iter().flatten());
        let (ids, beyond) = self.source.in_order();
        self.imported.beyond = beyond;
        for id in ids {
            let read = self.source.read(&id);
            let name = read.as_ref().map_or(id.clone(), Item::name);
            let taken = read.map_err(|refused| refused.to_string()).and_then(|item| self.take(&id, item));
            self.untold.push(Told { name, outcome: taken });
            let bytes: usize =
                self.changes.iter().filter_map(|change| change.value.as_ref()).map(Vec::len).sum();
            if self.untold.len() >= BATCH || bytes >= BATCH_BYTES {
                self.commit(store).await?;
            }
        }
        self.commit(store).await
    }

    /// Makes durable what was taken, then tells of it.
    async fn commit(&mut self, store: &Store) -> Result<(), Error> {
        if !self.changes.is_empty() {
            let saved = store.commit(std::mem::take(&mut self.changes)).await;
            saved.map_err(Error::unsaved)?;
        }
        for told in self.untold.drain(..) {
            match told.outcome {
                Ok(_) => self.imported.taken += 1,
                Err(_) => self.imported.refused += 1,
            }
            (self.tell)(told);
        }
        Ok(())
    }

    fn take(&mut self, id: &str, item: Item) -> Result<Taken, String> {
        let key = crate::kept::key(item.info_hash());
        if self.here.contains(&key) {
            return Err("it is here already".into());
        }
        let Wishes { dir, dir_until_complete, .. } = item.wishes();
        for dir in dir_until_complete.iter().chain([dir]) {
            if !path(dir).is_absolute() {
                return Err(format!("its folder ({}) is not an absolute path", path(dir).display()));
            }
        }
        let taken = match item {
            Item::Torrent(found) => self.take_torrent(id, *found)?,
            Item::Link(link) => self.take_link(*link),
        };
        self.here.insert(key);
        Ok(taken)
    }

    fn take_torrent(&mut self, id: &str, found: Found) -> Result<Taken, String> {
        let info_hash = found.metainfo.info_hash();
        let Found { metainfo, have, .. } = &found;
        let Here { dir, files } = Here::of(&found, self.source.suffix())?;
        let looks: Vec<_> = files.iter().map(FileOnDisk::look).collect();
        let judged = have.judge(metainfo, &looks, self.source.written(id));
        #[cfg(feature = "planted")]
        let judged = match net::planted::is("any-claim") {
            true => Judged { believed: have.pieces.count_ones(), ..judged },
            false => judged,
        };
        if have.pieces.count_ones() > 0 && judged.pieces.count_ones() == 0 && judged.missing > 0 {
            return Err(format!("none of its files is in {}; is the disk there?", dir.display()));
        }
        let renamed = rename(&files)?;
        let record = record(&found, &judged, &files, self.mounts.mount_of(&dir));
        let goes_to = path(&found.wishes.dir);
        let choices = Choices {
            priorities: found.priorities.clone(),
            names: found.names.clone(),
            dir_when_complete: Some(goes_to).filter(|goes_to| *goes_to != dir),
            ..choices(&found.wishes, dir)
        };
        self.next_place += 1;
        let rows = first_rows(info_hash, found.torrent, self.next_place, choices, &self.mounts);
        self.changes.extend(rows);
        self.changes.push(record.first_row(info_hash.wire()));
        let (all, doubted) = (judged.pieces.len(), judged.pieces.count_ones() - judged.believed);
        Ok(Taken {
            info_hash,
            believed: if judged.has_bare_padding { 0 } else { judged.believed },
            doubted: if judged.has_bare_padding { all } else { doubted },
            pieces: all,
            renamed,
            paused: found.wishes.paused,
        })
    }

    /// What it names goes where it belongs at once, unless the session has a folder for what is not complete.
    fn take_link(&mut self, Link { magnet, wishes }: Link) -> Taken {
        self.next_place += 1;
        let choices = choices(&wishes, path(&wishes.dir));
        self.changes.push(first_row_of_link(&magnet, self.next_place, choices, &self.mounts));
        let info_hash = magnet.info_hash;
        Taken { info_hash, believed: 0, doubted: 0, pieces: 0, renamed: 0, paused: wishes.paused }
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn choices(wishes: &Wishes, dir: PathBuf) -> Choices {
    let Wishes { seed_ratio: ratio, seed_time: time, seed_idle: idle, .. } = *wishes;
    Choices {
        paused: wishes.paused,
        sequential: wishes.sequential,
        seed_goal: SeedGoal { ratio, time, idle },
        goal_action: if wishes.removed_when_seeded { GoalAction::Remove } else { GoalAction::default() },
        max_down: wishes.max_down,
        max_up: wishes.max_up,
        category: wishes.category.clone(),
        tags: wishes.tags.iter().take(MAX_TAGS).cloned().collect(),
        ..Choices::new(dir)
    }
}

/// Where a torrent's files lie.
struct Here {
    dir: PathBuf,
    files: Vec<FileOnDisk>,
}

impl Here {
    /// Of the two folders that they may be in, the one that has more of them.
    fn of(found: &Found, suffix: Option<&str>) -> Result<Here, String> {
        let layout = Layout::new(Arc::new(found.metainfo.clone())).map_err(|err| err.to_string())?;
        let renamed = check_names(&found.metainfo, &found.names)
            .and_then(|()| Ok(layout.renamed(&found.names)?))
            .map_err(|err| format!("its files were renamed, and that cannot be taken over: {err}"))?;
        let look = |dir: &[u8]| {
            let dir = path(dir);
            let files = (0..found.metainfo.files().len())
                .map(|file| FileOnDisk::find(&found.metainfo, &renamed, &dir, file, suffix));
            Here { files: files.collect(), dir }
        };
        let Wishes { dir, dir_until_complete, .. } = &found.wishes;
        let there = look(dir);
        let Some(until) = dir_until_complete else { return Ok(there) };
        let until = look(until);
        let is_there = match there.count().cmp(&until.count()) {
            Ordering::Equal => found.have.is_all(),
            more => more.is_gt(),
        };
        Ok(if is_there { there } else { until })
    }

    fn count(&self) -> usize {
        self.files.iter().filter(|file| file.stamp.is_some()).count()
    }
}

/// What a run of ours would have left of a torrent whose folder lies under this mount point.
fn record(found: &Found, judged: &Judged, files: &[FileOnDisk], mount: Option<PathBuf>) -> resume::Record {
    let lengths = found.metainfo.lengths();
    let clean = !judged.has_bare_padding;
    let trusted = judged.trusted.iter();
    let sizes = found.metainfo.files().iter().map(|file| file.length);
    let claimed = judged.claimed.iter().zip(files).map(|(&is, file)| is || file.renamed.is_some());
    let disk = Snapshot {
        // Without a clean end all is hashed but what is claimed, which is nothing then.
        pieces: if clean { judged.pieces.clone() } else { Bitfield::new(lengths.piece_count()) },
        partial: Vec::new(),
        // They were the other client's, and are ours now; something longer is something else, and so may be what the client
        // claims nothing of, unless it is empty: that becomes ours where a piece of it turns out to be good.
        ours: files
            .iter()
            .zip(sizes)
            .zip(claimed)
            .map(|((file, size), is)| file.stamp.is_some_and(|s| s.size == 0 || is && s.size <= size))
            .collect(),
        files: files.iter().zip(trusted).map(|(file, &is)| file.stamp.filter(|_| is)).collect(),
    };
    let (downloaded, uploaded, seeded) = (found.downloaded, found.uploaded, found.seeded);
    let before = resume::Record::before_the_first_run(lengths, files.len(), mount);
    resume::Record { clean, disk, downloaded, uploaded, seeded, ..before }
}

/// A file of a torrent, as it was found.
struct FileOnDisk {
    stamp: Option<FileStamp>,
    /// Its name, if it is another one than its own until it is complete; and its own.
    renamed: Option<(PathBuf, PathBuf)>,
}

impl FileOnDisk {
    fn find(
        metainfo: &Metainfo,
        layout: &Layout,
        dir: &Path,
        number: usize,
        suffix: Option<&str>,
    ) -> FileOnDisk {
        if !metainfo.files()[number].is_regular() {
            return FileOnDisk { stamp: None, renamed: None };
        }
        let path = layout.path_under(dir, number);
        if let Some(stamp) = stamp(&path) {
            return FileOnDisk { stamp: Some(stamp), renamed: None };
        }
        let unfinished = suffix.map(|suffix| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        });
        let found = unfinished.and_then(|unfinished| Some((stamp(&unfinished)?, unfinished)));
        match found {
            Some((stamp, unfinished)) => FileOnDisk { stamp: Some(stamp), renamed: Some((unfinished, path)) },
            None => FileOnDisk { stamp: None, renamed: None },
        }
    }

    fn look(&self) -> Option<Look> {
        self.stamp.map(|stamp| Look { size: stamp.size, mtime_nanos: stamp.mtime_nanos })
    }
}

/// Gives unfinished files their own names, unless something has them. Their client finds them under these too.
fn rename(files: &[FileOnDisk]) -> Result<usize, String> {
    let names: Vec<_> = files.iter().filter_map(|file| file.renamed.as_ref()).collect();
    for (from, to) in &names {
        storage::rename(from, to).map_err(|err| format!("cannot rename {}: {err}", from.display()))?;
    }
    Ok(names.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_takes_no_name_that_something_has() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("one.part"), dir.path().join("one"));
        std::fs::write(&from, "x").unwrap();
        std::os::unix::fs::symlink("elsewhere", &to).unwrap();
        let file = || FileOnDisk { stamp: None, renamed: Some((from.clone(), to.clone())) };
        let refused = rename(&[file()]).unwrap_err();
        assert!(refused.contains("one exists"), "{refused}");
        assert!(from.exists() && to.is_symlink());
        std::fs::remove_file(&to).unwrap();
        assert_eq!(rename(&[file()]), Ok(1));
        assert_eq!(std::fs::read_to_string(to).unwrap(), "x");
    }
}
