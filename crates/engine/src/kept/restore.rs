//! From the rows of a store to torrents that go on.

use super::record::FIRST_PLACE;
use super::{Choices, Kept, KeptTorrent, Place, Record, Room, Running, What, key};
use crate::Metainfo;
use crate::resume;
use crate::spool::Spool;
use futures_util::StreamExt;
use futures_util::stream;
use metainfo::Magnet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;
use store::{Loaded, Opened, Table};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::timeout;
use types::{InfoHash, InfoHashV1};

/// Torrents that begin at the same time when a session is opened. Each looks at its files.
const BEGIN_AT_ONCE: usize = 64;
/// How long they are waited for: one whose disk does not answer must not hold up the session.
const BEGIN_PATIENCE: Duration = Duration::from_secs(1);
/// Torrents for which one more thread is worth its while, up to as many as there are processors.
const READ_PER_THREAD: usize = 64;

/// Lost torrents that are told by name; of further ones it is told how many there are.
const MAX_LOST_NAMES: usize = 100;

type Torrent = (Record, What);
/// A torrent's key, its row, and its torrent file, if there is one.
type Rows = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Room {
    /// Goes on with the torrents that a store holds. Of those that are `gone` it holds nothing.
    pub(super) async fn restore(
        self: Arc<Self>,
        torrents: Loaded,
        metainfo: Loaded,
        gone: BTreeSet<InfoHashV1>,
    ) -> Kept {
        let spool = self.shared.spool.clone();
        let read = move || read(torrents, metainfo, &gone, &spool);
        let (mut found, lost, lost_names) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        found.sort_by_key(|(record, _)| record.place);
        self.see_mounts(found.iter().map(|(record, _)| record));
        let torrents = found.len();
        *self.next_place.lock().unwrap_or_else(PoisonError::into_inner) =
            found.last().map_or(FIRST_PLACE, |(record, _)| record.place);
        let places: Vec<_> = found
            .into_iter()
            .map(|(record, what)| {
                // Metadata that is found at once finds the torrent here, and who asks for one waits for that one alone.
                let place = Arc::new(AsyncMutex::new(Place { kept: None }));
                let held = place.clone().try_lock_owned().expect("nobody else knows of it yet");
                let torrent = Arc::new((record, what));
                self.waiting().insert(torrent.1.info_hash().wire(), torrent.clone());
                self.torrents().insert(torrent.1.info_hash().wire(), place);
                (torrent, held)
            })
            .collect();
        let (done, begun) = oneshot::channel();
        let room = self.clone();
        self.shared.spawn(async move {
            let begin = stream::iter(places).map(|(torrent, mut held)| {
                let room = &room;
                async move {
                    let (record, what) = &*torrent;
                    let wire = what.info_hash().wire();
                    if !record.left_behind.is_empty() {
                        room.shared.spawn(room.clone().clean_up(what.info_hash()));
                    }
                    let running = room.begin(record, what).await.unwrap_or_else(Running::Failed);
                    let (record, what) = (record.clone(), what.clone());
                    held.kept = Some(Box::new(KeptTorrent::new(what, record, running)));
                    // Who looks sees it all the time.
                    drop(held);
                    room.waiting().remove(&wire);
                }
            });
            begin.buffer_unordered(BEGIN_AT_ONCE).collect::<()>().await;
            // Nobody may wait for it any more.
            let _ = done.send(());
        });
        let _ = timeout(BEGIN_PATIENCE, begun).await;
        Kept { torrents, lost, lost_names, ..Kept::default() }
    }
}

impl Kept {
    /// Of a session that does not begin, and whose torrents are read without their files.
    pub(crate) fn at_import(state_dir: &Path, opened: &Opened) -> Kept {
        let (put_aside, upgraded) = (opened.damaged.clone(), opened.upgraded.clone());
        let gone = put_aside.iter().flat_map(|_| resume::lost(state_dir, &opened.tables));
        let torrents = opened.tables.get(&Table::Torrents);
        let damaged = torrents.into_iter().flat_map(|loaded| &loaded.damaged);
        let lost: Vec<_> = damaged.filter_map(|key| key_of(key)).chain(gone).collect();
        let lost_names = lost.iter().take(MAX_LOST_NAMES).map(InfoHashV1::to_string).collect();
        let torrents = torrents.map_or(0, |loaded| loaded.rows.len());
        Kept { torrents, lost: lost.len(), lost_names, put_aside, upgraded }
    }
}

/// All torrents that can be read, how many others there are, and what some of those are called.
fn read(
    torrents: Loaded,
    metainfo: Loaded,
    gone: &BTreeSet<InfoHashV1>,
    spool: &Arc<Spool>,
) -> (Vec<Torrent>, usize, Vec<String>) {
    let mut lost: BTreeSet<_> =
        torrents.damaged.into_iter().chain(gone.iter().map(|key| key.0.into())).collect();
    let mut files: BTreeMap<_, _> = metainfo.rows.into_iter().collect();
    let row = |(key, row)| {
        let file = files.remove(&key);
        (key, row, file)
    };
    let rows: Vec<Rows> = torrents.rows.into_iter().map(row).collect();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = rows.len().div_ceil(processors).max(READ_PER_THREAD);
    let read_one = |row: &Rows| {
        let (record, what) = read_one(row)?;
        Some((record, what.spooled(spool)))
    };
    let read_share = |rows: &[Rows]| rows.iter().filter_map(read_one).collect::<Vec<_>>();
    let found: Vec<Torrent> = thread::scope(|scope| {
        let mut shares = rows.chunks(share);
        let mine = shares.next();
        let start = |rows| thread::Builder::new().spawn_scoped(scope, move || read_share(rows));
        let others: Vec<_> = shares.map(|rows| (rows, start(rows))).collect();
        let mine = mine.map(read_share).unwrap_or_default();
        let others = others.into_iter().flat_map(|(rows, other)| match other {
            Ok(other) => other.join().unwrap_or_default(),
            // The system has no more threads.
            Err(_) => read_share(rows),
        });
        mine.into_iter().chain(others).collect()
    });
    lost.extend(rows.iter().map(|(key, ..)| key.clone()));
    for (_, what) in &found {
        lost.remove(&key(what.info_hash()));
    }
    let file_of = |key: &Vec<u8>| {
        let of_row = || rows.iter().find(|(other, ..)| other == key)?.2.as_ref();
        Metainfo::parse(files.get(key).or_else(of_row)?).ok()
    };
    let name = |key: &Vec<u8>| {
        let info_hash = key_of(key)?;
        Some(
            file_of(key)
                .map_or_else(|| info_hash.to_string(), |file| format!("{} ({info_hash})", file.name())),
        )
    };
    let names = lost.iter().filter_map(name).take(MAX_LOST_NAMES).collect();
    (found, lost.len(), names)
}

fn read_one((key, row, file): &Rows) -> Option<Torrent> {
    let record = Record::decode(row)?;
    let what = match (file, &record.link) {
        (Some(file), _) => What::All(Arc::new(Metainfo::parse(file).ok()?)),
        (None, Some(link)) => What::Link(Magnet::parse(link).ok()?.into()),
        (None, None) => return None,
    };
    let is_its = self::key(what.info_hash()) == *key;
    is_its.then_some((record, what))
}

impl What {
    /// The same with what nobody asks for now out of memory.
    fn spooled(self, spool: &Arc<Spool>) -> What {
        match self {
            What::All(metainfo) => What::All(spool.keep(metainfo)),
            link @ What::Link(_) => link,
        }
    }
}

/// A torrent as its rows have it.
pub(crate) struct Row {
    pub(crate) choices: Choices,
    pub(crate) metainfo: Arc<Metainfo>,
    /// The folder that its files are on their way to.
    pub(crate) on_the_way_to: Option<PathBuf>,
}

/// Reads it, if it is one.
pub(crate) fn read_row(key: &[u8], row: &[u8], file: Option<&[u8]>) -> Option<Row> {
    let metainfo = Metainfo::parse(file?).ok()?;
    let is_its = self::key(metainfo.info_hash()) == *key;
    let Record { choices, moving, .. } = Record::decode(row).filter(|_| is_its)?;
    let on_the_way_to = moving.map(|moving| moving.target.dir);
    Some(Row { choices, metainfo: Arc::new(metainfo), on_the_way_to })
}

/// A torrent of which only a magnet link is known, as its row has it.
pub(crate) struct LinkRow {
    pub(crate) info_hash: InfoHash,
    pub(crate) name: String,
    pub(crate) paused: bool,
}

/// Reads it, if it is one.
pub(crate) fn read_link(key: &[u8], row: &[u8]) -> Option<LinkRow> {
    let (record, what) = read_one(&(key.to_vec(), row.to_vec(), None))?;
    Some(LinkRow { info_hash: what.info_hash(), name: what.name(), paused: record.choices.paused })
}

/// The torrent that is called so in a store.
pub(crate) fn key_of(key: &[u8]) -> Option<InfoHashV1> {
    key.try_into().ok().map(InfoHashV1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use metainfo::create::Builder;

    #[test]
    fn what_is_lost_is_told_by_name_up_to_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let file = Builder::file("film", 1).piece_length(16384).pieces(vec![7; 20]).build().unwrap();
        let key = key(Metainfo::parse(&file).unwrap().info_hash());
        let torrents = Loaded { rows: vec![(key.clone(), b"nothing".to_vec())], damaged: vec![vec![0; 20]] };
        let metainfo = Loaded { rows: vec![(key.clone(), file)], damaged: Vec::new() };
        // One that has a row is told once.
        let gone = BTreeSet::from([key_of(&key).unwrap(), InfoHashV1([0xff; 20])]);
        let (found, lost, names) = read(torrents, metainfo, &gone, &Spool::new(dir.path()));
        assert_eq!((found.len(), lost), (0, 3));
        let film = format!("film ({})", key_of(&key).unwrap());
        assert_eq!(names, ["00".repeat(20), film, "ff".repeat(20)]);

        let gone =
            (0..=MAX_LOST_NAMES).map(|number| InfoHashV1([u8::try_from(number).unwrap(); 20])).collect();
        let (_, lost, names) = read(Loaded::default(), Loaded::default(), &gone, &Spool::new(dir.path()));
        assert_eq!((lost, names.len()), (MAX_LOST_NAMES + 1, MAX_LOST_NAMES));
    }
}
