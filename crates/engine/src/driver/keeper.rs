//! What survives the end of the process, however it ends.
//!
//! A **commit** comes after a sync of the files: its pieces survive a loss of power. A **note** between two commits says
//! which blocks of unfinished pieces are written, so that a killed process loses few of them; it is not synced, and what
//! it claims is hashed before it is believed.

use super::blocking;
use crate::Error;
use crate::inbox::Inbox;
use crate::resume::{Place, Record, has_files};
use crate::stats::Counters;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::{Snapshot, SyncError, TorrentDisk};
use types::{Bitfield, Lengths, Time};

/// Payload bytes that are not committed; at the limit files are synced and the record is committed.
const COMMIT_BYTES: u64 = 64 * 1024 * 1024;
/// How long received bytes may stay uncommitted.
const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// The same while no record says that files of the torrent are there: without one, a later run that finds none fetches all of
/// it again, where it should wait for them.
const FIRST_COMMIT: Duration = Duration::from_secs(1);
/// How long it may be unsaved that something was sent.
const SENT_INTERVAL: Duration = Duration::from_secs(60);
/// Of a torrent with a goal of seeding time, how long it may be unsaved that it seeded: a sixtieth of its goal, but not less
/// and not more than this.
const SEEDED_INTERVAL: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];
/// Payload bytes that are not noted; at the limit a note is written: what a killed process may have to fetch again, beside
/// what was on its way to the disk.
const NOTE_BYTES: u64 = 4 * 1024 * 1024;

/// Decides when what is written down, and what stands in it.
pub(super) struct Keeper {
    /// `None` for a torrent that only seeds: it keeps nothing.
    place: Option<Arc<Place>>,
    /// What the last record says.
    durable: Arc<Snapshot>,
    /// What the record of the last run was, until this one changes files.
    earlier: Option<Record>,
    /// Totals of earlier runs.
    earlier_totals: Counters,
    /// How long it was seeded in earlier runs.
    earlier_seeded: Duration,
    /// The mount point under which the folder lies.
    mount: Option<PathBuf>,
    /// Received since the last commit began.
    uncommitted: u64,
    /// When the first of them came.
    uncommitted_since: Option<Time>,
    /// When something was first sent since the last commit began.
    sent_since: Option<Time>,
    /// When it is to be saved how long it was seeded.
    seeded_at: Option<Time>,
    /// Received since the last note or commit.
    unnoted: u64,
    /// A save is under way; one at a time, so that a later record never loses to an earlier one.
    busy: bool,
    /// How many pieces were lost.
    losses: u64,
}

/// A save that is to be made, as a job of its own.
pub(super) struct Save {
    place: Option<Arc<Place>>,
    durable: Arc<Snapshot>,
    totals: Counters,
    seeded: Duration,
    peers: Vec<SocketAddr>,
    mount: Option<PathBuf>,
    /// Where blocks are told of that come too late to be counted; for the last save of a run.
    late: Option<Arc<Inbox>>,
    kind: Kind,
    /// How many pieces had been lost when it was decided.
    losses: u64,
}

/// What the brain has to say to a save.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Of this run.
    pub(super) counters: Counters,
    /// How long it was seeded in this run.
    pub(super) seeded: Duration,
    /// Whom to dial first in the next run.
    pub(super) peers: Vec<SocketAddr>,
}

/// What a save does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Note,
    /// Syncs and commits; `completes` if everything wanted was verified when it was decided.
    Commit {
        completes: bool,
    },
    /// The last one of a run: after it the record says that the run ended as it should.
    Last,
}

/// What became of a save.
#[derive(Debug)]
pub(super) struct Saved {
    durable: Arc<Snapshot>,
    /// Everything wanted was verified when it was decided, and is durable.
    completes: bool,
    losses: u64,
    pub(super) failure: Option<Failure>,
}

/// Why state could not be kept.
#[derive(Debug)]
pub(super) enum Failure {
    Sync(SyncError),
    State(Error),
}

impl Keeper {
    pub(super) fn new(
        place: Option<Arc<Place>>,
        record: Option<Record>,
        lengths: Lengths,
        mount: Option<PathBuf>,
    ) -> Keeper {
        let earlier_totals = record
            .as_ref()
            .map_or_else(Counters::default, |r| Counters { downloaded: r.downloaded, uploaded: r.uploaded });
        let earlier_seeded = record.as_ref().map_or(Duration::ZERO, |record| record.seeded);
        let nothing = || Snapshot {
            pieces: Bitfield::new(lengths.piece_count()),
            partial: Vec::new(),
            ours: Vec::new(),
            files: Vec::new(),
        };
        Keeper {
            place,
            durable: Arc::new(record.as_ref().map_or_else(nothing, |record| record.disk.clone())),
            earlier: record,
            earlier_totals,
            earlier_seeded,
            mount,
            uncommitted: 0,
            uncommitted_since: None,
            sent_since: None,
            seeded_at: None,
            unnoted: 0,
            busy: false,
            losses: 0,
        }
    }

    /// Whether the last run ended as it should.
    pub(super) fn is_clean(&self) -> bool {
        self.earlier.as_ref().is_some_and(|earlier| earlier.clean)
    }

    /// Commits that files are ours and about to change: from here on a crash finds them known as ours, and bytes that
    /// came later untrusted.
    pub(super) async fn intend(&mut self, disk: &TorrentDisk) -> Result<(), Error> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        let verified = disk.verified();
        let mut durable = Snapshot {
            pieces: self.durable.pieces.clone(),
            partial: disk.partial(),
            ours: disk.ours(),
            files: disk.file_stamps(),
        };
        // What was in doubt and turned out wrong is not durable. What a check found may only be in the page cache:
        // that is left to the next commit.
        for piece in self.durable.pieces.ones().filter(|&piece| !verified.contains(piece)) {
            durable.pieces.remove(piece);
        }
        self.durable = Arc::new(durable);
        let peers = self.earlier_peers().to_vec();
        let said = Said { seeded: Duration::ZERO, peers, counters: Counters::default() };
        place.save(&self.save(Kind::Note, said).record(&self.durable, false)).await
    }

    /// Peers that answered in the last run.
    pub(super) fn earlier_peers(&self) -> &[SocketAddr] {
        self.earlier.as_ref().map_or(&[], |earlier| &earlier.peers)
    }

    /// The run has begun: what the record of the last one was is of no use any more.
    pub(super) fn forget_earlier(&mut self) {
        self.earlier = None;
    }

    /// Takes back what was intended: no file was changed.
    pub(super) async fn refrain(&mut self) {
        let (Some(place), earlier) = (self.place.clone(), self.earlier.take()) else { return };
        match earlier {
            // If this fails, the record of the intent stays: everything is hashed again, nothing is lost.
            Some(earlier) => drop(place.save(&earlier).await),
            None => place.forget().await,
        }
    }

    /// What was transferred in all runs, given what was in this one.
    pub(super) fn totals(&self, run: Counters) -> Counters {
        self.earlier_totals + run
    }

    /// How long it was seeded in all runs, given how long in this one.
    pub(super) fn seeded(&self, run: Duration) -> Duration {
        self.earlier_seeded.saturating_add(run)
    }

    /// Counts a block that storage took.
    pub(super) fn note_block(&mut self, len: u32, now: Time) {
        self.uncommitted += u64::from(len);
        self.unnoted += u64::from(len);
        self.uncommitted_since.get_or_insert(now);
    }

    /// What the last record says of a piece is not so any more: another one is due before long. Where nothing is kept,
    /// nothing was written either, and a sync could only fail for what is gone.
    pub(super) fn note_lost(&mut self, now: Time) {
        self.losses += 1;
        if self.place.is_some() {
            self.uncommitted_since.get_or_insert(now);
        }
    }

    /// More was uploaded than was known. Where nothing is kept, that is not either.
    pub(super) fn note_sent(&mut self, now: Time) {
        if self.place.is_some() {
            self.sent_since.get_or_insert(now);
        }
    }

    /// It is being seeded, and for so long in all it is to be.
    pub(super) fn note_seeding(&mut self, goal: Duration, now: Time) {
        let [least, most] = SEEDED_INTERVAL;
        if self.place.is_some() {
            self.seeded_at.get_or_insert(now + (goal / 60).clamp(least, most));
        }
    }

    /// When a save is due although nothing happens.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.commit_at().filter(|_| !self.busy)
    }

    /// When a commit is due for how long it has waited.
    fn commit_at(&self) -> Option<Time> {
        let interval = if has_files(&self.durable) { COMMIT_INTERVAL } else { FIRST_COMMIT };
        let received = self.uncommitted_since.map(|since| since + interval);
        let sent = self.sent_since.map(|since| since + SENT_INTERVAL);
        received.into_iter().chain(sent).chain(self.seeded_at).min()
    }

    /// Whether a save is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The save that is due, if one is and none is under way. `complete` asks for a commit at once.
    pub(super) fn due(&mut self, now: Time, complete: bool, said: impl FnOnce() -> Said) -> Option<Save> {
        let waited = self.commit_at().is_some_and(|at| now >= at);
        let commit = complete || waited || self.uncommitted >= COMMIT_BYTES;
        let note = self.unnoted >= NOTE_BYTES && self.place.is_some();
        if self.busy || !(commit || note) {
            return None;
        }
        self.busy = true;
        self.unnoted = 0;
        if commit {
            self.uncommitted = 0;
            (self.uncommitted_since, self.sent_since, self.seeded_at) = (None, None, None);
        }
        let kind = if commit { Kind::Commit { completes: complete } } else { Kind::Note };
        Some(self.save(kind, said()))
    }

    /// The last save of a run. Blocks that the disk takes in until then are counted too.
    pub(super) fn last(&self, said: Said, inbox: Arc<Inbox>) -> Save {
        Save { late: Some(inbox), ..self.save(Kind::Last, said) }
    }

    /// Takes in what became of a save; says whether with it everything wanted is durable.
    pub(super) fn note_saved(&mut self, saved: &Saved) -> bool {
        self.busy = false;
        self.durable = saved.durable.clone();
        // What was lost meanwhile may be there again by now, but not durable.
        saved.completes && saved.losses == self.losses
    }

    fn save(&self, kind: Kind, said: Said) -> Save {
        let (place, durable, totals) = (self.place.clone(), self.durable.clone(), self.totals(said.counters));
        let (seeded, peers, mount) = (self.seeded(said.seeded), said.peers, self.mount.clone());
        Save { place, durable, totals, seeded, peers, mount, late: None, kind, losses: self.losses }
    }
}

impl Save {
    /// Syncs and writes, as its kind demands.
    pub(super) async fn make(mut self, disk: TorrentDisk) -> Saved {
        match self.kind {
            Kind::Note => self.note(disk).await,
            Kind::Commit { .. } => {
                let synced = disk.sync().await;
                self.commit(synced).await
            }
            Kind::Last => {
                let synced = disk.close().await;
                let late = self.late.as_ref().map_or(0, |inbox| inbox.unheard());
                self.totals.downloaded = self.totals.downloaded.saturating_add(late);
                self.commit(synced).await
            }
        }
    }

    async fn note(self, disk: TorrentDisk) -> Saved {
        // Asking what is written waits for the disk.
        let partial = blocking(move || Ok(disk.partial())).await;
        let noted = match (&self.place, partial) {
            (Some(place), Ok(partial)) => place.note(&partial).await,
            (_, partial) => partial.map(|_| ()),
        };
        let failure = noted.err().map(Failure::State);
        Saved { durable: self.durable, completes: false, losses: self.losses, failure }
    }

    async fn commit(self, synced: Result<Snapshot, SyncError>) -> Saved {
        let (durable, mut failure) = match synced {
            Ok(durable) => (durable, None),
            Err(err) => {
                // A sync that failed cannot be repeated: what it was to make durable is given up.
                let mut durable = Snapshot::clone(&self.durable);
                for piece in err.not_durable.ones() {
                    durable.pieces.remove(piece);
                }
                durable.partial.clear();
                (durable, Some(Failure::Sync(err)))
            }
        };
        let durable = Arc::new(durable);
        if let Some(place) = &self.place {
            let clean = self.kind == Kind::Last && failure.is_none();
            let record = self.record(&durable, clean);
            if let Err(err) = place.save(&record).await {
                failure.get_or_insert(Failure::State(err));
            }
        }
        let completes = self.kind == Kind::Commit { completes: true } && failure.is_none();
        Saved { durable, completes, losses: self.losses, failure }
    }

    fn record(&self, durable: &Snapshot, clean: bool) -> Record {
        let (Counters { downloaded, uploaded }, seeded) = (self.totals, self.seeded);
        let (disk, mount, peers) = (durable.clone(), self.mount.clone(), self.peers.clone());
        Record { clean, disk, downloaded, uploaded, seeded, mount, peers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{BLOCK_LEN, InfoHashV1};

    const NOW: Time = Time::from_secs(100);

    fn lengths() -> Lengths {
        Lengths::new(u64::from(4 * BLOCK_LEN), BLOCK_LEN).unwrap()
    }

    fn keeper(place: Option<Place>) -> Keeper {
        Keeper::new(place.map(Arc::new), None, lengths(), None)
    }

    #[test]
    fn a_save_completes_nothing_if_something_was_lost_since() {
        for lost in [false, true] {
            let mut keeper = keeper(None);
            let Save { durable, losses, .. } = keeper.due(NOW, true, Said::default).unwrap();
            if lost {
                keeper.note_lost(NOW);
            }
            let saved = Saved { durable, completes: true, losses, failure: None };
            assert_eq!(keeper.note_saved(&saved), !lost);
            assert!(!keeper.is_busy());
        }
    }

    #[test]
    fn what_was_sent_is_saved_before_long() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::lock(state.path(), InfoHashV1([2; 20]), state.path()).unwrap();
        let mut keeper = keeper(Some(place));
        assert_eq!(keeper.deadline(), None);
        keeper.note_sent(NOW);
        keeper.note_sent(NOW + Duration::from_secs(5));
        let due = NOW + SENT_INTERVAL;
        assert_eq!(keeper.deadline(), Some(due));
        assert!(keeper.due(NOW + SENT_INTERVAL / 2, false, Said::default).is_none());
        let counters = Counters { uploaded: 7, ..Counters::default() };
        let said = || Said { counters, ..Said::default() };
        let save = keeper.due(due, false, said).unwrap();
        assert_eq!((save.kind, save.totals.uploaded), (Kind::Commit { completes: false }, 7));
        let Save { durable, losses, .. } = save;
        keeper.note_saved(&Saved { durable, completes: false, losses, failure: None });
        assert_eq!(keeper.deadline(), None);
    }

    #[test]
    fn how_long_it_was_seeded_is_saved_now_and_then_and_counted_on() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::lock(state.path(), InfoHashV1([3; 20]), state.path()).unwrap();
        let mut record = Record::before_the_first_run(lengths(), 1, None);
        record.seeded = Duration::from_secs(1000);
        let mut keeper = Keeper::new(Some(Arc::new(place)), Some(record), lengths(), None);
        let [least, most] = SEEDED_INTERVAL;
        for (goal, interval) in [(1, least), (60 * 100, least + Duration::from_secs(40)), (7 << 40, most)] {
            keeper.note_seeding(Duration::from_secs(goal), NOW);
            keeper.note_seeding(Duration::from_secs(goal), NOW + Duration::from_secs(1));
            assert_eq!(keeper.deadline(), Some(NOW + interval));
            let said = || Said { seeded: Duration::from_secs(7), ..Said::default() };
            let save = keeper.due(NOW + interval, false, said).unwrap();
            assert_eq!(save.record(&save.durable, false).seeded, Duration::from_secs(1007));
            let Save { durable, losses, .. } = save;
            keeper.note_saved(&Saved { durable, completes: false, losses, failure: None });
            assert_eq!(keeper.deadline(), None);
        }
    }

    #[test]
    fn so_much_is_not_written_down_and_no_more() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::lock(state.path(), InfoHashV1([1; 20]), state.path()).unwrap();
        let mut keeper = keeper(Some(place));
        let saved = |keeper: &mut Keeper, save: &Save| {
            let Save { durable, losses, .. } = save;
            let saved = Saved { durable: durable.clone(), completes: false, losses: *losses, failure: None };
            keeper.note_saved(&saved);
        };
        let (mut bytes, mut notes) = (0, 0);
        loop {
            keeper.note_block(BLOCK_LEN, NOW);
            bytes += u64::from(BLOCK_LEN);
            let Some(save) = keeper.due(NOW, false, Said::default) else { continue };
            saved(&mut keeper, &save);
            assert_eq!(bytes % NOTE_BYTES, 0);
            match save.kind {
                Kind::Note => notes += 1,
                _ => break,
            }
        }
        assert_eq!((bytes, notes), (COMMIT_BYTES, COMMIT_BYTES / NOTE_BYTES - 1));
    }

    #[test]
    fn that_there_are_files_is_written_down_soon() {
        let look = storage::FileStamp { size: 1, mtime_nanos: 0, inode: 1 };
        for (size, interval) in [(0, FIRST_COMMIT), (1, COMMIT_INTERVAL)] {
            let mut record = Record::before_the_first_run(lengths(), 1, None);
            record.disk.files = vec![Some(storage::FileStamp { size, ..look })];
            let mut keeper = Keeper::new(None, Some(record), lengths(), None);
            keeper.note_block(BLOCK_LEN, NOW);
            assert_eq!(keeper.deadline(), Some(NOW + interval));
        }
    }

    #[test]
    fn a_loss_is_written_down_by_those_who_write() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::lock(state.path(), InfoHashV1([1; 20]), state.path()).unwrap();
        for (place, due) in [(None, false), (Some(place), true)] {
            let mut keeper = keeper(place);
            keeper.note_lost(NOW);
            assert_eq!(keeper.deadline().is_some(), due);
            assert_eq!(keeper.due(NOW + COMMIT_INTERVAL, false, Said::default).is_some(), due);
        }
    }
}
