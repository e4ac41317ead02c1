//! A session that does not run, looked at: what of its state is damaged, and which files are not as they were left.

use crate::kept::{Row, examine_watched, key_of, open_error, read_link, read_row};
use crate::resume::{self, Record, mount_of};
use crate::{Choices, Error, Metainfo, Priority};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use storage::{FileStamp, Layout};
use store::{Loaded, TORRENTS_FOLDER, Table};

/// Files of a torrent that are named one by one; of the others it is told how many there are.
const MAX_NAMED: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Torrents that can go on.
    pub torrents: usize,
    /// What is not as it should be, and what follows from it; in the order of the torrents. None: all is well.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The torrent that it is about: its name, or the info-hash if there is no other. `None`: it is about all of them.
    pub torrent: Option<String>,
    /// What it is and what follows, in one line.
    pub what: String,
}

/// Looks at the state in a folder and at the files of its torrents. Nothing is hashed, and nothing is changed: what is damaged is
/// put aside and saved when a session begins.
///
/// # Errors
/// [`Error::SessionInUse`], [`Error::SessionNewer`], [`Error::State`]; [`Error::Refused`] if there is no state at all.
pub fn examine(state_dir: &Path) -> Result<Examined, Error> {
    let opened = look_at_existing(state_dir, &Table::ALL)?;
    let mut examined = Examined::default();
    let put_aside = put_aside(state_dir);
    if !put_aside.is_empty() {
        let names = some_of(put_aside.iter().map(|path| path.display().to_string()));
        let what = format!(
            "it was damaged earlier, and what could not be read is in {names}; remove that once nothing is missed"
        );
        examined.find(None, what);
    }
    let resume = state_dir.join(TORRENTS_FOLDER);
    if resume.symlink_metadata().is_ok() && !resume.is_dir() {
        let what = format!("{} is no folder: no torrent can begin; move it away", resume.display());
        examined.find(None, what);
    }
    if let Some(damaged) = &opened.damaged {
        let what = format!(
            "the state is damaged: when the session begins, what can be read of {} is kept, and it is put aside",
            damaged.display()
        );
        examined.find(None, what);
    }
    if opened.damaged.is_some() || !put_aside.is_empty() {
        for lost in resume::lost(state_dir, &opened.tables) {
            examined.find(
                Some(lost.to_string()),
                "nothing of it can be read: it is forgotten; add it again".into(),
            );
        }
    }
    let mut tables = opened.tables;
    let mut take = |table| tables.remove(&table).unwrap_or_default();
    let (torrents, metainfo) = (take(Table::Torrents), take(Table::Metainfo));
    let (progress, blocks, session) = (take(Table::Progress), take(Table::Blocks), take(Table::Session));
    for damaged in [&torrents, &metainfo] {
        for key in &damaged.damaged {
            examined.find(Some(hex(key)), "its row is damaged: it is forgotten; add it again".into());
        }
    }
    for key in &progress.damaged {
        let what = "what is known of its pieces is damaged: it is checked when the session begins";
        examined.find(Some(hex(key)), what.into());
    }
    if !session.damaged.is_empty() || !blocks.damaged.is_empty() {
        let count = session.damaged.len() + blocks.damaged.len();
        let what = format!("{count} rows that only save time are damaged: that is made up for");
        examined.find(None, what);
    }
    for away in examine_watched(&session.rows) {
        examined.find(None, away);
    }
    let (mut files, mut records) = (by_key(metainfo), by_key(progress));
    for (key, row) in torrents.rows {
        let (file, record) = (files.remove(&key), records.remove(&key));
        match read_row(&key, &row, file.as_deref()) {
            Some(row) => {
                examined.torrents += 1;
                examined.look_at(&row, record.as_deref());
            }
            // There is nothing of it that could be wrong.
            None if file.is_none() && read_link(&key, &row).is_some() => examined.torrents += 1,
            None => {
                let what = "its torrent file is missing or cannot be read: it is forgotten; add it again";
                examined.find(Some(hex(&key)), what.into());
            }
        }
    }
    Ok(examined)
}

/// Reads some tables of a store that is there, and leaves it as it is.
pub(crate) fn look_at_existing(state_dir: &Path, tables: &[Table]) -> Result<store::Opened, Error> {
    let none = || {
        let dir = state_dir.display();
        Error::Refused(format!("there is no session in {dir}; give its state directory (--state-dir)"))
    };
    store::look(state_dir, tables).map_err(open_error)?.ok_or_else(none)
}

impl Examined {
    fn find(&mut self, torrent: Option<String>, what: String) {
        self.findings.push(Finding { torrent, what });
    }

    /// Holds a torrent's files against what the last run left.
    fn look_at(&mut self, row: &Row, record: Option<&[u8]>) {
        let Row { choices, metainfo, on_the_way_to } = row;
        let name = Some(metainfo.name().to_owned());
        if let Some(to) = on_the_way_to {
            let (from, to) = (choices.dir.display(), to.display());
            let what = format!(
                "its files are on their way from {from} to {to}: that goes on when the session begins"
            );
            return self.find(name, what);
        }
        let Ok(layout) = Layout::new(metainfo.clone()).and_then(|layout| layout.renamed(&choices.names))
        else {
            return self.find(name, "it is a v2 torrent, which cannot be downloaded yet".into());
        };
        let record = record.and_then(|row| record_of(row, metainfo));
        let Some(record) = record else {
            let what = "nothing is known of its pieces: it is checked when the session begins";
            return self.find(name, what.into());
        };
        let had_files = record.had_files();
        if let Some(mount) = mount_of(&choices.dir, record.mount.clone())
            && storage::must_be_mounted(&mount).is_err()
        {
            let what = format!(
                "no disk is mounted at {}: it is unavailable until it is mounted, nothing is written there until then",
                mount.display()
            );
            return self.find(name, what);
        }
        if had_files && !choices.dir.is_dir() {
            let what =
                format!("{} is not there: it is unavailable until that comes back", choices.dir.display());
            return self.find(name, what);
        }
        if !record.clean && had_files {
            let what = "its last run did not end cleanly, or while it was checked: what was not saved is checked when the session begins";
            self.find(name.clone(), what.into());
        }
        let (mut missing, mut changed, mut in_the_way) = (Vec::new(), Vec::new(), Vec::new());
        for (number, stamp) in record.disk.files.iter().enumerate() {
            let is_wanted = choices.priorities.get(number).is_none_or(|&priority| priority > Priority::Skip);
            let Some(left) = stamp.filter(|_| is_wanted) else { continue };
            let path = layout.path_under(&choices.dir, number);
            match look(&path) {
                None if path.symlink_metadata().is_ok() => in_the_way.push(path),
                None if left.size > 0 => missing.push(path),
                Some(now) if now != left && record.clean => changed.push(path),
                _ => {}
            }
        }
        let dir = choices.dir.display();
        let is_all = record.disk.files.iter().flatten().filter(|left| left.size > 0).count() == missing.len();
        if !missing.is_empty() {
            let what = match is_all {
                true => format!(
                    "none of its files is in {dir}: it is unavailable until they are back; to fetch them anew, remove it and add it again"
                ),
                false => format!("missing in {dir}: {}; fetched again", named(&missing, choices)),
            };
            self.find(name.clone(), what);
        }
        if !in_the_way.is_empty() {
            let what = format!(
                "folders, links or the like in the place of files in {dir}: {}; it fails until they are moved away",
                named(&in_the_way, choices)
            );
            self.find(name.clone(), what);
        }
        if !changed.is_empty() {
            let what = format!(
                "changed in {dir} since the last run: {}; checked when the session begins",
                named(&changed, choices)
            );
            self.find(name, what);
        }
    }
}

/// What the last run of a torrent left, if that can be read.
pub(crate) fn record_of(row: &[u8], metainfo: &Metainfo) -> Option<Record> {
    Record::of_row(metainfo.info_hash().wire(), row, metainfo.lengths(), metainfo.files().len())
}

/// What a file looks like; `None` if no regular file is there.
pub(crate) fn look(path: &Path) -> Option<FileStamp> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mtime_nanos = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
    Some(FileStamp { size: found.size(), mtime_nanos, inode: found.ino() })
}

fn named(paths: &[PathBuf], choices: &Choices) -> String {
    some_of(paths.iter().map(|path| path.strip_prefix(&choices.dir).unwrap_or(path).display().to_string()))
}

fn some_of(mut names: impl ExactSizeIterator<Item = String>) -> String {
    let mut said = names.by_ref().take(MAX_NAMED).collect::<Vec<_>>().join(", ");
    if names.len() > 0 {
        said.push_str(&format!(" and {} more", names.len()));
    }
    said
}

/// What sessions put aside of a state that was damaged, but for what belongs to it.
fn put_aside(state_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let is_one =
        |name: &[u8]| name.starts_with(b"damaged-") && (name.ends_with(b".db") || name.ends_with(b".db-wal"));
    let found = entries.filter(|entry| is_one(entry.file_name().as_encoded_bytes()));
    let mut found: Vec<_> = found.map(|entry| entry.path().with_extension("db")).collect();
    found.sort();
    found.dedup();
    found
}

fn by_key(loaded: Loaded) -> BTreeMap<Vec<u8>, Vec<u8>> {
    loaded.rows.into_iter().collect()
}

fn hex(key: &[u8]) -> String {
    key_of(key).map_or_else(|| "a torrent".into(), |info_hash| info_hash.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_so_many_files_are_named() {
        let choices = Choices::new("/x");
        let paths: Vec<PathBuf> = (0..MAX_NAMED + 2).map(|n| format!("/x/{n}").into()).collect();
        assert_eq!(named(&paths, &choices), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(named(&paths[..1], &choices), "0");
    }

    #[test]
    fn a_folder_without_a_session_stays_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(examine(dir.path()), Err(Error::Refused(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
