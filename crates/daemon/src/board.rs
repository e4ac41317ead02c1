//! The board: what the API says of torrents, in memory.
//!
//! The session is looked at four times a second, and at one torrent after an order. A torrent that changed gets the next
//! revision; so does one that was removed. Who knows a revision is told only what came after it.

use crate::change::told_priority;
use crate::hooks::{Bell, Event, What};
use api::{File, State, Torrent, Torrents};
use engine::{Choices, InfoHash, Metainfo, Seen, Session, TorrentState, TorrentStats};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often the session is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Removals that are remembered. Who has missed older ones is told everything.
pub(crate) const MAX_REMOVALS: usize = 4096;

/// What is known of all torrents.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<Inner>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    revision: u64,
    /// Before this, nothing is known of removals.
    oldest: u64,
    torrents: BTreeMap<InfoHash, Row>,
    /// Which torrent has which revision.
    by_revision: BTreeMap<u64, InfoHash>,
    removed: VecDeque<(u64, String)>,
    /// Those that were here before and have not been seen yet.
    unseen: BTreeSet<InfoHash>,
    hooks: Bell,
}

#[derive(Debug)]
struct Row {
    torrent: Arc<Torrent>,
    /// `None` until its metadata is found.
    metainfo: Option<Arc<Metainfo>>,
    /// What it was made of, to see whether it changed.
    made_of: (Choices, Option<TorrentState>, Option<TorrentStats>, Option<String>),
    note: Option<String>,
    /// Whether it was added since the daemon started, and has not been finished since.
    is_new: bool,
    /// Whether something of it was downloaded since the daemon started, and it has not been finished since.
    is_to_finish: bool,
}

impl Board {
    /// Looks at the session for the first time. Revisions begin with the time, so that those of an earlier run are older than
    /// all of this one; they stay below 2^53, which JavaScript can count to.
    pub(crate) fn new(session: &Session, hooks: Bell) -> Board {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let board = Board::beginning_at(now << 20, hooks);
        session.look(|info_hash, _| {
            board.inner().unseen.insert(key(info_hash));
        });
        board.look(session);
        board
    }

    fn beginning_at(revision: u64, hooks: Bell) -> Board {
        let inner = Inner {
            revision,
            oldest: revision,
            torrents: BTreeMap::new(),
            by_revision: BTreeMap::new(),
            removed: VecDeque::new(),
            unseen: BTreeSet::new(),
            hooks,
        };
        Board { state: Mutex::new(inner), revision: watch::Sender::new(revision) }
    }

    /// Looks at all torrents of the session.
    pub(crate) fn look(&self, session: &Session) {
        let mut inner = self.inner();
        let mut gone: BTreeSet<InfoHash> = inner.torrents.keys().copied().collect();
        session.look(|info_hash, seen| {
            gone.remove(&key(info_hash));
            if let Some(seen) = seen {
                inner.see(info_hash, &seen);
            }
        });
        gone.into_iter().for_each(|info_hash| inner.remove(info_hash));
        self.publish(&inner);
    }

    /// Looks at one torrent, which something was done to.
    pub(crate) fn look_at(&self, session: &Session, info_hash: InfoHash) {
        let mut inner = self.inner();
        let mut is_here = false;
        session.look_at(info_hash, |info_hash, seen| {
            is_here = true;
            if let Some(seen) = seen {
                inner.see(info_hash, &seen);
            }
        });
        if !is_here {
            inner.remove(key(info_hash));
        }
        self.publish(&inner);
    }

    /// Where things are, and all torrents.
    pub(crate) fn all(&self) -> (u64, Vec<Arc<Torrent>>) {
        let inner = self.inner();
        (inner.revision, inner.torrents.values().map(|row| row.torrent.clone()).collect())
    }

    /// What changed since a revision; `None` if that is not known any more, or not yet.
    pub(crate) fn since(&self, since: u64) -> Option<(u64, Vec<Arc<Torrent>>, Vec<String>)> {
        let inner = self.inner();
        if since < inner.oldest || since > inner.revision {
            return None;
        }
        let changed = inner.by_revision.range(since + 1..).filter_map(|(_, hash)| inner.torrents.get(hash));
        let changed = changed.map(|row| row.torrent.clone()).collect();
        let removed = inner.removed.iter().filter(|&&(at, _)| at > since).map(|(_, id)| id.clone()).collect();
        Some((inner.revision, changed, removed))
    }

    /// The same for who follows: everything if what was missed is not known any more.
    pub(crate) fn news(&self, since: Option<u64>) -> Torrents {
        let told =
            |torrents: Vec<Arc<Torrent>>| torrents.iter().map(|torrent| Torrent::clone(torrent)).collect();
        let total = self.inner().torrents.len();
        match since.and_then(|since| self.since(since)) {
            Some((revision, changed, removed)) => {
                Torrents { revision, full: false, total, torrents: told(changed), removed }
            }
            None => {
                let (revision, all) = self.all();
                Torrents { revision, full: true, total, torrents: told(all), removed: Vec::new() }
            }
        }
    }

    pub(crate) fn torrent(&self, info_hash: InfoHash) -> Option<Arc<Torrent>> {
        self.inner().torrents.get(&key(info_hash)).map(|row| row.torrent.clone())
    }

    pub(crate) fn files(&self, info_hash: InfoHash) -> Option<Vec<File>> {
        let (metainfo, priorities) = {
            let inner = self.inner();
            let row = inner.torrents.get(&key(info_hash))?;
            (row.metainfo.clone(), row.made_of.0.priorities.clone())
        };
        let file = |(index, file): (usize, &engine::metainfo::File)| File {
            index,
            path: file.path.to_string(),
            length: file.length,
            priority: told_priority(priorities.get(index).copied().unwrap_or_default()),
            padding: file.is_pad(),
        };
        let files = metainfo.iter().flat_map(|metainfo| metainfo.files());
        Some(files.enumerate().map(file).collect())
    }

    /// What is wanted of a torrent.
    pub(crate) fn choices(&self, info_hash: InfoHash) -> Option<Choices> {
        self.inner().torrents.get(&key(info_hash)).map(|row| row.made_of.0.clone())
    }

    /// What a torrent is made of.
    pub(crate) fn metainfo(&self, info_hash: InfoHash) -> Option<Arc<Metainfo>> {
        self.inner().torrents.get(&key(info_hash)).and_then(|row| row.metainfo.clone())
    }

    pub(crate) fn revision(&self) -> u64 {
        self.inner().revision
    }

    /// Hears of every new revision.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Held for as long as it takes to go through the torrents once, at most, and never across an await.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, inner: &Inner) {
        let revision = inner.revision;
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }
}

impl Inner {
    fn see(&mut self, info_hash: InfoHash, seen: &Seen<'_>) {
        let info_hash = key(info_hash);
        // How long it has been active changes all the time, and is not told.
        let stats = seen.stats.map(|stats| TorrentStats { active: Duration::ZERO, known_peers: 0, ..stats });
        let is_known = self.torrents.get(&info_hash).is_some_and(|row| {
            let (choices, state, numbers, error) = &row.made_of;
            row.metainfo.is_some() == seen.metainfo.is_some()
                && choices == seen.choices
                && *state == seen.state
                && *numbers == stats
                && *error == seen.error
                && row.note == seen.note
        });
        if is_known {
            return;
        }
        self.revision += 1;
        let before = self.torrents.remove(&info_hash);
        if let Some(row) = &before {
            self.by_revision.remove(&row.torrent.revision);
        }
        self.by_revision.insert(self.revision, info_hash);
        let mut row = Row {
            torrent: Arc::new(told(info_hash, seen, self.revision)),
            metainfo: seen.metainfo.cloned(),
            made_of: (seen.choices.clone(), seen.state, stats, seen.error.clone()),
            note: seen.note.clone(),
            is_new: before.as_ref().is_some_and(|row| row.is_new),
            is_to_finish: before.as_ref().is_some_and(|row| row.is_to_finish),
        };
        let is_new = before.is_none() && !self.unseen.remove(&info_hash);
        let happened = row.happened(before.as_ref(), is_new);
        happened.into_iter().for_each(|what| self.hooks.ring(row.event(what)));
        self.torrents.insert(info_hash, row);
    }

    fn remove(&mut self, info_hash: InfoHash) {
        let Some(row) = self.torrents.remove(&info_hash) else { return };
        self.by_revision.remove(&row.torrent.revision);
        self.hooks.ring(row.event(What::Removed));
        self.note_removal(row.torrent.id.clone());
    }

    fn note_removal(&mut self, id: String) {
        self.revision += 1;
        self.removed.push_back((self.revision, id));
        if self.removed.len() > MAX_REMOVALS
            && let Some((forgotten, _)) = self.removed.pop_front()
        {
            self.oldest = forgotten;
        }
    }
}

impl Row {
    /// What happened since it was seen before; `is_new`: it was not here then.
    fn happened(&mut self, before: Option<&Row>, is_new: bool) -> Vec<What> {
        let mut happened = Vec::new();
        if is_new {
            happened.push(What::Added);
        }
        let (choices, state, stats, error) = &self.made_of;
        // What is there when a daemon starts was finished before; what is quickly downloaded is never seen on its way.
        let downloaded = |stats: &Option<TorrentStats>| stats.map_or(0, |stats| stats.downloaded);
        let has_come = before.is_some_and(|row| {
            let (_, state, numbers, _) = &row.made_of;
            *state == Some(TorrentState::Downloading) && downloaded(numbers) < downloaded(stats)
        });
        self.is_new |= is_new;
        self.is_to_finish |= has_come || self.is_new && downloaded(stats) > 0;
        let is_done = matches!(state, Some(TorrentState::Seeding | TorrentState::Stopped));
        if is_done && std::mem::take(&mut self.is_to_finish) {
            self.is_new = false;
            happened.push(What::Finished);
        }
        if before.is_some_and(|row| row.made_of.0.dir != choices.dir) {
            happened.push(What::Moved);
        }
        if error.is_some() && before.is_none_or(|row| row.made_of.3 != *error) {
            happened.push(What::Error);
        }
        happened
    }

    fn event(&self, what: What) -> Event {
        let (choices, _, _, error) = &self.made_of;
        let regular = |metainfo: &Arc<Metainfo>| {
            let (index, file) = metainfo.files().iter().enumerate().find(|(_, file)| file.is_regular())?;
            let path = choices.names.get(&index).map_or(file.path.as_str(), String::as_str);
            Some(choices.dir.join(path.split('/').next()?))
        };
        Event {
            what,
            id: self.torrent.id.clone(),
            name: self.torrent.name.clone(),
            path: self.metainfo.as_ref().and_then(regular).unwrap_or_else(|| choices.dir.clone()),
            reason: match what {
                What::Error => error.clone(),
                What::Moved => self.note.clone(),
                What::Added | What::Finished | What::Removed => None,
            },
        }
    }
}

/// What a torrent is called here: the one name that every way of asking for it has.
fn key(info_hash: InfoHash) -> InfoHash {
    InfoHash::V1(info_hash.wire())
}

fn told(info_hash: InfoHash, seen: &Seen<'_>, revision: u64) -> Torrent {
    let stats = seen.stats;
    let files = seen.metainfo.into_iter().flat_map(|metainfo| metainfo.files());
    Torrent {
        id: info_hash.wire().to_string(),
        name: seen.name.clone(),
        state: state(seen.state),
        error: seen.error.clone(),
        note: seen.note.clone(),
        dir: seen.choices.dir.to_string_lossy().into_owned(),
        size: files.filter(|file| file.is_regular()).map(|file| file.length).sum(),
        wanted: stats.map(|stats| stats.total),
        done: stats.map(|stats| stats.done),
        rate_down: stats.map_or(0, |stats| stats.rate_down),
        rate_up: stats.map_or(0, |stats| stats.rate_up),
        downloaded: stats.map(|stats| stats.downloaded),
        uploaded: stats.map(|stats| stats.uploaded),
        peers: stats.map_or(0, |stats| stats.peers),
        seeds: stats.map_or(0, |stats| stats.seeds),
        private: seen.metainfo.is_some_and(|metainfo| metainfo.is_private()),
        category: seen.choices.category.clone(),
        tags: seen.choices.tags.clone(),
        place: seen.place,
        revision,
    }
}

fn state(state: Option<TorrentState>) -> State {
    match state {
        None => State::Paused,
        Some(TorrentState::Checking) => State::Checking,
        Some(TorrentState::FetchingMetadata) => State::FetchingMetadata,
        Some(TorrentState::Queued) => State::Queued,
        Some(TorrentState::Downloading) => State::Downloading,
        Some(TorrentState::Seeding) => State::Seeding,
        Some(TorrentState::DiskFull) => State::DiskFull,
        Some(TorrentState::Unavailable) => State::Unavailable,
        Some(TorrentState::Moving) => State::Moving,
        Some(TorrentState::Stopped) => State::Stopped,
        Some(TorrentState::Failed) => State::Failed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn removals_are_told_until_they_are_forgotten() {
        let board = Board::beginning_at(100, Bell::default());
        for id in 0..MAX_REMOVALS {
            board.inner().note_removal(id.to_string());
        }
        assert_eq!(board.since(100).unwrap().2.len(), MAX_REMOVALS);
        board.inner().note_removal("one more".into());
        assert!(board.since(100).is_none(), "what was missed is not known any more");
        assert_eq!(board.since(101).unwrap().2.len(), MAX_REMOVALS);
        let now = board.revision();
        assert_eq!(board.since(now).unwrap().2.len(), 0);
        assert!(board.since(now + 1).is_none() && board.since(99).is_none());
        assert!(board.news(Some(99)).full && !board.news(Some(now)).full);
    }
}
