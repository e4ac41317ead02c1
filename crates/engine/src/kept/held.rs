//! Torrents that something is being done to, and what was known of them when it began: who lists all torrents waits for none
//! whose disk does not answer.

use super::{KeptTorrent, Listed, Place, Room, seen};
use crate::Error;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};
use types::{InfoHash, InfoHashV1};

/// How long all that is being done is waited for together by who wants to know of all torrents: mostly it takes less.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// What was known of torrents that are held.
#[derive(Debug, Default)]
pub(super) struct Before(Mutex<BTreeMap<InfoHashV1, (u64, Listed)>>);

impl Before {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<InfoHashV1, (u64, Listed)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place in the queue of a torrent that something is being done to: only [`Session::queue`](super::Session::queue),
    /// which is alone, changes it.
    pub(super) fn rank(&self, hash: InfoHashV1) -> Option<u64> {
        self.lock().get(&hash).map(|(place, _)| *place)
    }

    /// A torrent that something is being done to.
    pub(super) fn listed(&self, hash: InfoHashV1) -> Option<Listed> {
        self.lock().get(&hash).map(|(_, listed)| listed.clone())
    }
}

/// Whoever lists torrents is told what was known when this was made, until it is dropped.
#[derive(Debug)]
pub(super) struct Noted {
    before: Arc<Before>,
    key: InfoHashV1,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.before.lock().remove(&self.key);
    }
}

/// A torrent that something is being done to.
#[derive(Debug)]
pub(super) struct Held {
    /// Goes first: whoever holds the torrent next notes it anew.
    _noted: Option<Noted>,
    place: OwnedMutexGuard<Place>,
}

impl Deref for Held {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Room {
    /// Waits for what is being done to a torrent.
    pub(super) async fn hold(&self, info_hash: InfoHash) -> Result<Held, Error> {
        let key = info_hash.wire();
        let place = self.torrents().get(&key).cloned().ok_or(Error::NotHere(info_hash))?;
        let place = place.lock_owned().await;
        let noted = place.kept.as_ref().map(|kept| self.note_before(key, kept));
        Ok(Held { _noted: noted, place })
    }

    /// Something is to be done to a torrent that may take long.
    pub(super) fn note_before(&self, key: InfoHashV1, kept: &KeptTorrent) -> Noted {
        self.before.lock().insert(key, (kept.record.place, kept.list()));
        Noted { before: self.before.clone(), key }
    }

    /// All torrents as they are, in the order of the queue; those that something is being done to, and that takes long, as
    /// they were before.
    pub(super) async fn list(&self) -> Vec<(u64, Listed)> {
        let places: Vec<_> = self.torrents().iter().map(|(&key, place)| (key, place.clone())).collect();
        let until = Instant::now() + PATIENCE;
        let mut listed = Vec::with_capacity(places.len());
        for (key, place) in places {
            listed.extend(self.list_one(key, &place, until).await);
        }
        listed.sort_by_key(|&(place, _)| place);
        listed
    }

    /// `None` of one that is being added, or was removed.
    async fn list_one(
        &self,
        key: InfoHashV1,
        place: &AsyncMutex<Place>,
        until: Instant,
    ) -> Option<(u64, Listed)> {
        let held = match place.try_lock() {
            Ok(held) => Ok(held),
            Err(_) => timeout_at(until, place.lock()).await,
        };
        if let Ok(held) = held {
            return held.kept.as_ref().map(|kept| (kept.record.place, kept.list()));
        }
        if let Some(before) = self.before.lock().get(&key) {
            return Some(before.clone());
        }
        let waiting = self.waiting().get(&key).cloned()?;
        let (record, what) = &*waiting;
        let seen = seen(record, what);
        let listed = Listed {
            info_hash: what.info_hash(),
            name: seen.name,
            metainfo: seen.metainfo.cloned(),
            choices: record.choices.clone(),
            state: seen.state,
            stats: None,
            error: None,
            note: None,
        };
        Some((record.place, listed))
    }
}
