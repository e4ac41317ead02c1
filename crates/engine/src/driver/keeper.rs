//! What survives the end of the process, however it ends.
//!
//! Two kinds of records are written while a download runs. A **commit** comes after a sync of the files: its pieces
//! survive a loss of power. A **hint** between two commits adds which blocks of unfinished pieces are written, so that
//! a killed process loses few of them; it is not synced, and what it claims is hashed before it is believed.

use crate::Error;
use crate::resume::{Place, Record};
use std::sync::Arc;
use std::time::Duration;
use storage::{Snapshot, SyncError, TorrentDisk};
use types::{Bitfield, Lengths, Time};

/// Payload bytes after which files are synced and the record is committed.
const COMMIT_BYTES: u64 = 64 * 1024 * 1024;
/// How long received bytes may stay uncommitted.
const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// Payload bytes after which a hint is written: what a killed process may have to fetch again, beside what was on its
/// way to the disk.
const HINT_BYTES: u64 = 4 * 1024 * 1024;

/// Decides when a record is written, and what stands in it.
pub(super) struct Keeper {
    /// `None` for a torrent that only seeds: it keeps nothing.
    place: Option<Arc<Place>>,
    durable: Snapshot,
    /// Totals of earlier runs.
    earlier: Counters,
    /// Received since the last commit began.
    uncommitted: u64,
    /// When the first of them came.
    uncommitted_since: Option<Time>,
    /// Received since the last hint or commit.
    unhinted: u64,
    /// A save is under way; one at a time, so that a later record never loses to an earlier one.
    busy: bool,
}

/// Payload bytes, to be told to trackers and kept over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
}

/// A save that is to be made, as a job of its own.
pub(super) struct Save {
    place: Option<Arc<Place>>,
    durable: Snapshot,
    totals: Counters,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    Hint,
    Last,
}

/// What became of a save.
#[derive(Debug)]
pub(super) struct Saved {
    /// What is durable now.
    pub(super) durable: Snapshot,
    /// Whether files were synced: all that was verified before it began is durable.
    pub(super) committed: bool,
    pub(super) failure: Option<Failure>,
}

/// Why state could not be kept.
#[derive(Debug)]
pub(super) enum Failure {
    Sync(SyncError),
    State(Error),
}

impl Keeper {
    pub(super) fn new(place: Option<Place>, record: Option<Record>, lengths: Lengths) -> Keeper {
        let earlier = record
            .as_ref()
            .map_or_else(Counters::default, |r| Counters { downloaded: r.downloaded, uploaded: r.uploaded });
        let nothing = || Snapshot {
            pieces: Bitfield::new(lengths.piece_count()),
            partial: Vec::new(),
            ours: Vec::new(),
            files: Vec::new(),
        };
        Keeper {
            place: place.map(Arc::new),
            durable: record.map_or_else(nothing, |record| record.disk),
            earlier,
            uncommitted: 0,
            uncommitted_since: None,
            unhinted: 0,
            busy: false,
        }
    }

    /// Commits that files are ours and about to change.
    pub(super) async fn intend(&mut self, disk: &TorrentDisk) -> Result<(), Error> {
        self.durable.ours = disk.ours();
        self.durable.files = disk.file_stamps();
        // Pieces that were in doubt and turned out wrong are not durable; those that a check found may only be in
        // the page cache: both are left to the next commit.
        let verified = disk.verified();
        let lost = self.durable.pieces.ones().filter(|&piece| !verified.contains(piece)).collect::<Vec<_>>();
        for piece in lost {
            self.durable.pieces.remove(piece);
        }
        self.durable.partial = disk.partial();
        let Some(place) = &self.place else { return Ok(()) };
        write(place.clone(), self.record(self.earlier, false), true).await
    }

    /// What was transferred in all runs, given what was in this one.
    pub(super) fn totals(&self, run: Counters) -> Counters {
        Counters {
            downloaded: self.earlier.downloaded.saturating_add(run.downloaded),
            uploaded: self.earlier.uploaded.saturating_add(run.uploaded),
        }
    }

    /// Counts a block that storage took.
    pub(super) fn note_block(&mut self, len: u32, now: Time) {
        self.uncommitted += u64::from(len);
        self.unhinted += u64::from(len);
        self.uncommitted_since.get_or_insert(now);
    }

    /// When a save is due although nothing happens.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.uncommitted_since.filter(|_| !self.busy).map(|since| since + COMMIT_INTERVAL)
    }

    /// The save that is due, if one is and none is under way. `finished` asks for a commit at once.
    pub(super) fn due(&mut self, now: Time, finished: bool, run: Counters) -> Option<Save> {
        if self.busy {
            return None;
        }
        let commit = finished
            || self.uncommitted >= COMMIT_BYTES
            || self.uncommitted_since.is_some_and(|since| now - since >= COMMIT_INTERVAL);
        let kind = match () {
            () if commit => Kind::Commit,
            () if self.unhinted >= HINT_BYTES && self.place.is_some() => Kind::Hint,
            () => return None,
        };
        if commit {
            self.uncommitted = 0;
            self.uncommitted_since = None;
        }
        self.unhinted = 0;
        self.busy = true;
        Some(self.save(kind, run))
    }

    /// The last save of a run: after it the record says that the run ended as it should.
    pub(super) fn last(&self, run: Counters) -> Save {
        self.save(Kind::Last, run)
    }

    /// Whether a save is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Takes in what became of a save.
    pub(super) fn note_saved(&mut self, saved: &Saved) {
        self.busy = false;
        self.durable = saved.durable.clone();
    }

    fn save(&self, kind: Kind, run: Counters) -> Save {
        Save { place: self.place.clone(), durable: self.durable.clone(), totals: self.totals(run), kind }
    }

    fn record(&self, totals: Counters, clean: bool) -> Record {
        record(self.durable.clone(), totals, clean)
    }
}

impl Save {
    /// Syncs and writes, as its kind demands.
    pub(super) async fn make(mut self, disk: TorrentDisk) -> Saved {
        let synced = match self.kind {
            Kind::Hint => {
                let partial = disk.partial();
                Ok(Snapshot { partial, ..self.durable.clone() })
            }
            Kind::Commit => disk.sync().await,
            Kind::Last => disk.close().await,
        };
        let mut failure = None;
        let mut claims = self.durable.clone();
        match synced {
            Ok(snapshot) => claims = snapshot,
            Err(err) => {
                // A sync that failed cannot be repeated: what it was to make durable is given up.
                for piece in err.not_durable.ones() {
                    claims.pieces.remove(piece);
                }
                claims.partial.clear();
                failure = Some(Failure::Sync(err));
            }
        }
        if self.kind != Kind::Hint {
            self.durable = claims.clone();
        }
        if let Some(place) = self.place {
            let clean = self.kind == Kind::Last && failure.is_none();
            let record = record(claims, self.totals, clean);
            if let Err(err) = write(place, record, self.kind != Kind::Hint).await {
                failure.get_or_insert(Failure::State(err));
            }
        }
        Saved { durable: self.durable, committed: self.kind != Kind::Hint && failure.is_none(), failure }
    }
}

fn record(disk: Snapshot, totals: Counters, clean: bool) -> Record {
    Record { clean, disk, downloaded: totals.downloaded, uploaded: totals.uploaded }
}

/// Writes a record on a thread that may block.
async fn write(place: Arc<Place>, record: Record, durable: bool) -> Result<(), Error> {
    tokio::task::spawn_blocking(move || place.save(&record, durable)).await.unwrap_or(Err(Error::ShutDown))
}
