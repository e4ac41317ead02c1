//! Where torrents that were removed left their files. One that is added again goes on there: they are its own, though there may
//! be no whole piece in them yet by which that could be told, and whatever they are called; unless somebody changed them
//! meanwhile, or put others there.

use super::record::{Move, Record, Target};
use super::removal::is_as_left;
use super::{Choices, KeptTorrent, Room, key};
use crate::driver::blocking;
use crate::resume;
use crate::{Error, Metainfo};
use bencode::{Value, encode_dict};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;
use storage::{FileStamp, Layout, Snapshot, file_stamps};
use store::{Change, Table};
use types::InfoHash;

/// Removed torrents whose files are remembered; those that were removed first are forgotten for another.
const MAX_LEFT: usize = 1000;
/// Bytes of what is remembered of all of them, likewise.
const MAX_LEFT_BYTES: usize = 16 << 20;
/// Files of a torrent that are remembered; those of one with more are not.
const MAX_LEFT_FILES: usize = 10_000;

/// How the key of a row begins; the info-hash follows.
const KEY: &[u8] = b"left ";

/// Of which torrents there are rows.
#[derive(Debug, Default)]
pub(super) struct Lefts(BTreeMap<Vec<u8>, Noted>);

#[derive(Debug)]
struct Noted {
    /// In nanoseconds since 1970.
    when: u64,
    len: usize,
}

/// What a torrent left.
struct Left {
    /// Where and how its files lay, and what those looked like that were its own.
    files: Move,
    /// Whether nothing was written after that was noted.
    is_exact: bool,
    /// Whether its files were to go with it, and that has not been brought to its end.
    is_going: bool,
    /// In nanoseconds since 1970.
    when: u64,
}

impl Lefts {
    /// With what is to be changed of the rows, now that it has been told.
    pub(super) fn kept_in(rows: &[(Vec<u8>, Vec<u8>)]) -> (Lefts, Vec<Change>) {
        let (mut lefts, mut told) = (Lefts::default(), Vec::new());
        for (key, row) in rows.iter().filter(|(key, _)| key.starts_with(KEY)) {
            let Some(mut left) = Left::decode(row) else { continue };
            lefts.0.insert(key.clone(), Noted { when: left.when, len: row.len() });
            if left.is_going {
                let dir = left.files.target.dir.display().to_string();
                let torrent: String = key[KEY.len()..].iter().map(|byte| format!("{byte:02x}")).collect();
                tracing::warn!(
                    dir,
                    torrent,
                    "a torrent was being removed when the program ended: some of its files may be left"
                );
                left.is_going = false;
                told.push(Change::put(Table::Session, key.clone(), left.encode()));
            }
        }
        (lefts, told)
    }

    fn replace(&mut self, key: Vec<u8>, left: Option<&Left>) -> Vec<Change> {
        let was_noted = self.0.remove(&key).is_some();
        let Some(left) = left else {
            return was_noted.then(|| Change::remove(Table::Session, key)).into_iter().collect();
        };
        let row = left.encode();
        self.0.insert(key.clone(), Noted { when: left.when, len: row.len() });
        let mut changes = vec![Change::put(Table::Session, key, row)];
        while self.0.len() > MAX_LEFT
            || self.0.values().map(|noted| noted.len).sum::<usize>() > MAX_LEFT_BYTES
        {
            let first = self.0.iter().min_by_key(|(_, noted)| noted.when).map(|(key, _)| key.clone());
            let Some(first) = first else { break };
            self.0.remove(&first);
            changes.push(Change::remove(Table::Session, first));
        }
        changes
    }
}

fn row_key(info_hash: InfoHash) -> Vec<u8> {
    [KEY, &key(info_hash)].concat()
}

impl Left {
    /// None if it is known without, or not to be known.
    fn of(record: resume::Record, choices: &Choices, is_going: bool) -> Option<Left> {
        let Snapshot { pieces, ours, files, .. } = record.disk;
        let stamps = files.into_iter().zip(ours).map(|(stamp, is_ours)| stamp.filter(|_| is_ours));
        let stamps: Vec<_> = stamps.collect();
        // One that is complete, and called as it is, is known by its pieces.
        let is_known_otherwise = pieces.is_full() && choices.names.is_empty() && !is_going;
        if is_known_otherwise || stamps.len() > MAX_LEFT_FILES || stamps.iter().all(Option::is_none) {
            return None;
        }
        let files = Move { target: Target::of(choices), mounts: [None, None], stamps, staged: None };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let when = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Some(Left { files, is_exact: record.clean, is_going, when })
    }

    fn encode(&self) -> Vec<u8> {
        encode_dict(|d| {
            d.int("exact", i64::from(self.is_exact));
            d.int("going", i64::from(self.is_going));
            self.files.put_into(d);
            d.int("when", self.when.cast_signed());
        })
    }

    fn decode(row: &[u8]) -> Option<Left> {
        let document = bencode::decode(row).ok()?;
        let root = document.root();
        let flag = |key| root.get(key).and_then(Value::as_int) == Some(1);
        Some(Left {
            files: Move::of(root)?,
            is_exact: flag("exact"),
            is_going: flag("going"),
            when: root.get("when")?.as_int()?.cast_unsigned(),
        })
    }

    /// The files of a torrent that are those that it left, and what they look like.
    async fn there(&self, place: &Choices, metainfo: &Arc<Metainfo>) -> Option<Vec<Option<FileStamp>>> {
        let layout = Layout::new(metainfo.clone()).and_then(|layout| layout.renamed(&place.names)).ok()?;
        let dir = place.dir.clone();
        let found = blocking(move || Ok(file_stamps(&dir, &layout))).await.ok()?;
        let same = |(left, found): (&Option<FileStamp>, Option<FileStamp>)| {
            found.filter(|found| left.is_some() && is_as_left(left.as_ref(), found, self.is_exact))
        };
        let there: Vec<_> = self.files.stamps.iter().zip(found).map(same).collect();
        (there.len() == metainfo.files().len() && there.iter().any(Option::is_some)).then_some(there)
    }
}

impl Room {
    /// What is to be written down when a torrent is removed: where it leaves which files, if that could not be told otherwise.
    pub(super) async fn note_left(
        &self,
        info_hash: InfoHash,
        kept: &KeptTorrent,
        is_going: bool,
    ) -> Vec<Change> {
        let Some(metainfo) = kept.what.metainfo() else { return Vec::new() };
        let Some(record) = self.progress(info_hash, metainfo).await else { return Vec::new() };
        let left = Left::of(record, &kept.record.choices, is_going);
        self.lefts().replace(row_key(info_hash), left.as_ref())
    }

    /// What is to be written down once that does not count any more.
    pub(super) fn forget_left(&self, info_hash: InfoHash) -> Vec<Change> {
        self.lefts().replace(row_key(info_hash), None)
    }

    async fn recall(&self, info_hash: InfoHash) -> Option<Left> {
        Left::decode(&self.store.get(Table::Session, &row_key(info_hash)).await.ok()??)
    }

    /// Has a torrent that comes again lie and be called as it did when it was removed, if it is to be there when it is complete
    /// and its files are there still; whether that is so.
    pub(super) async fn goes_where_it_was(
        &self,
        info_hash: InfoHash,
        choices: &mut Choices,
        metainfo: Option<&Arc<Metainfo>>,
    ) -> bool {
        let (Some(metainfo), Some(left)) = (metainfo, self.recall(info_hash).await) else { return false };
        let Target { dir, dir_when_complete, .. } = &left.files.target;
        let at_last = dir_when_complete.as_ref().unwrap_or(dir);
        if *at_last != choices.dir || choices.dir_when_complete.is_some() || !choices.names.is_empty() {
            return false;
        }
        let mut there = choices.clone();
        left.files.target.clone().put_into(&mut there);
        if left.there(&there, metainfo).await.is_none() {
            return false;
        }
        *choices = there;
        true
    }

    /// Has a torrent know those of its files that it left where it is to be when it was removed.
    pub(super) async fn recall_files(
        &self,
        info_hash: InfoHash,
        record: &Record,
        metainfo: &Arc<Metainfo>,
    ) -> Result<(), Error> {
        let Some(left) = self.recall(info_hash).await else { return Ok(()) };
        let Some(there) = left.there(&record.choices, metainfo).await else { return Ok(()) };
        let mut progress = self.before_the_first_run(record, metainfo).await;
        progress.disk.ours = there.iter().map(Option::is_some).collect();
        progress.disk.files = there;
        let row = progress.row(metainfo.info_hash().wire());
        self.save(vec![Change { key: key(info_hash), ..row }]).await
    }

    fn lefts(&self) -> std::sync::MutexGuard<'_, Lefts> {
        self.lefts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(when: u64, files: usize, is_going: bool) -> Left {
        let target = Target {
            dir: "/x".into(),
            dir_when_complete: Some("/y".into()),
            names: BTreeMap::from([(0, "z".to_owned())]),
            part_suffix: true,
        };
        let stamp = FileStamp { size: 1 << 40, mtime_nanos: i64::MAX, inode: u64::MAX };
        let files = Move { target, mounts: [None, None], stamps: vec![Some(stamp); files], staged: None };
        Left { files, is_exact: true, is_going, when }
    }

    #[test]
    fn the_first_ones_are_forgotten_for_others() {
        for (files, most) in
            [(1, MAX_LEFT), (MAX_LEFT_FILES, MAX_LEFT_BYTES / left(0, MAX_LEFT_FILES, false).encode().len())]
        {
            let mut lefts = Lefts::default();
            let mut gone = 0;
            for n in 0..u64::try_from(most).unwrap() + 2 {
                let changes = lefts.replace(n.to_be_bytes().to_vec(), Some(&left(n, files, false)));
                let first =
                    changes.iter().filter(|change| change.value.is_none()).map(|change| change.key.clone());
                for first in first {
                    assert_eq!(first, u64::to_be_bytes(gone));
                    gone += 1;
                }
            }
            assert_eq!((lefts.0.len(), gone), (most, 2));
        }
    }

    #[test]
    fn what_is_noted_is_found_again_and_a_removal_that_was_cut_short_is_told_once() {
        let row_key = [KEY, &[7; 20]].concat();
        let rows = |is_going| {
            vec![(row_key.clone(), left(5, 2, is_going).encode()), (b"bans".to_vec(), b"x".to_vec())]
        };
        let (lefts, told) = Lefts::kept_in(&rows(true));
        assert_eq!(lefts.0[&row_key].when, 5);
        assert_eq!(told, [Change::put(Table::Session, row_key.clone(), left(5, 2, false).encode())]);
        assert_eq!(Lefts::kept_in(&rows(false)).1, []);
        let mut lefts = lefts;
        assert_eq!(lefts.replace(row_key.clone(), None), [Change::remove(Table::Session, row_key.clone())]);
        assert_eq!(lefts.replace(row_key, None), []);
    }
}
