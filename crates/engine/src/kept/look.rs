//! Torrents as they are now, for whoever can't wait.

use super::{Choices, Place, Record, Room, Session, What};
use crate::{Metainfo, TorrentState, TorrentStats};
use std::sync::Arc;
use tokio::sync::Mutex as AsyncMutex;
use types::InfoHash;

/// A torrent of a session, as it is now; what [`Listed`](crate::Listed) is a copy of.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Where it is in the queue: the greater, the later.
    pub place: u64,
    /// The name of its file or folder, or what its link calls it.
    pub name: String,
    /// What it is made of; `None` until its metadata is found.
    pub metainfo: Option<&'a Arc<Metainfo>>,
    /// What the user wants of it.
    pub choices: &'a Choices,
    /// What it is doing; `None` if it is paused.
    pub state: Option<TorrentState>,
    /// Its numbers, if it is in the engine, or was until it was paused.
    pub stats: Option<TorrentStats>,
    /// What keeps it from going on, though it is not paused.
    pub error: Option<String>,
    /// See [`Listed::note`](crate::Listed).
    pub note: Option<String>,
}

impl Session {
    /// Looks at all torrents, in the order of their info-hashes, and waits for nothing: one that something is being done to
    /// is told as `None`, and is to be taken as it was before. One that has not begun since the session was opened is queued.
    /// Reads nothing from disk.
    pub fn look(&self, mut each: impl FnMut(InfoHash, Option<Seen<'_>>)) {
        let places: Vec<_> =
            self.room.torrents().iter().map(|(&hash, place)| (hash, place.clone())).collect();
        for (info_hash, place) in places {
            self.room.see(InfoHash::V1(info_hash), &place, &mut each);
        }
    }

    /// Whether a torrent is here, or is being added.
    pub fn has(&self, info_hash: InfoHash) -> bool {
        self.room.torrents().contains_key(&info_hash.wire())
    }

    /// The same as [`look`](Self::look) for one torrent; `each` is not called if it is not here.
    pub fn look_at(&self, info_hash: InfoHash, each: impl FnMut(InfoHash, Option<Seen<'_>>)) {
        let place = self.room.torrents().get(&info_hash.wire()).cloned();
        if let Some(place) = place {
            self.room.see(info_hash, &place, each);
        }
    }
}

impl Room {
    /// One that was just removed is told of as one that something is being done to; the next look does not find it.
    fn see(
        &self,
        info_hash: InfoHash,
        place: &AsyncMutex<Place>,
        mut each: impl FnMut(InfoHash, Option<Seen<'_>>),
    ) {
        let held = place.try_lock();
        if let Some(kept) = held.as_ref().ok().and_then(|held| held.kept.as_ref()) {
            let (state, stats, error) = kept.doing();
            return each(
                kept.what.info_hash(),
                Some(Seen { state, stats, error, note: kept.note.clone(), ..seen(&kept.record, &kept.what) }),
            );
        }
        let waiting = self.waiting().get(&info_hash.wire()).cloned();
        match waiting.as_deref() {
            Some((record, what)) => each(what.info_hash(), Some(seen(record, what))),
            None => each(info_hash, None),
        }
    }
}

/// One that has not begun.
pub(super) fn seen<'a>(record: &'a Record, what: &'a What) -> Seen<'a> {
    Seen {
        place: record.place,
        name: what.name(),
        metainfo: what.metainfo(),
        choices: &record.choices,
        state: (!record.choices.paused).then_some(TorrentState::Queued),
        stats: None,
        error: None,
        note: None,
    }
}
