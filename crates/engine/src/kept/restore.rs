//! From the rows of a store to torrents that go on.

use super::record::FIRST_PLACE;
use super::{Choices, Kept, KeptTorrent, Place, Record, Room, Running, What, key};
use crate::Metainfo;
use crate::spool::Spool;
use futures_util::StreamExt;
use futures_util::stream;
use metainfo::Magnet;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;
use store::Loaded;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::timeout;
use types::{InfoHash, InfoHashV1};

/// Torrents that begin at the same time when a session is opened. Each looks at its files.
const BEGIN_AT_ONCE: usize = 64;
/// How long they are waited for: one whose disk does not answer must not hold up the session.
const BEGIN_PATIENCE: Duration = Duration::from_secs(2);
/// Torrents for which one more thread is worth its while, up to as many as there are processors.
const READ_PER_THREAD: usize = 64;

type Torrent = (Record, What);
/// A torrent's key, its row, and its torrent file, if there is one.
type Rows = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Room {
    /// Goes on with the torrents that a store holds.
    pub(super) async fn restore(self: Arc<Self>, torrents: Loaded, metainfo: Loaded) -> Kept {
        let spool = self.shared.spool.clone();
        let read = move || read(torrents, metainfo, &spool);
        let (mut found, lost) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
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
                    if record.moving.as_ref().is_some_and(|moving| moving.switched) {
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
        Kept { torrents, lost, ..Kept::default() }
    }
}

/// All torrents that can be read, and how many others there are.
fn read(torrents: Loaded, metainfo: Loaded, spool: &Arc<Spool>) -> (Vec<Torrent>, usize) {
    let damaged = torrents.damaged.len();
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
    let lost = damaged + rows.len() - found.len();
    (found, lost)
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
    let on_the_way_to = moving.filter(|moving| !moving.switched).map(|moving| moving.target.dir);
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
