//! Torrents that cannot go on are tried again by themselves: a disk comes back, or has room, or lets itself be written to.

use super::{GoalAction, KeptTorrent, Place, Room, Running, key};
use crate::{Error, SeedGoal, TorrentError};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Table};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use types::InfoHashV1;

/// How often all torrents are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a torrent rests before it is tried again: twice as long each time, up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// When a torrent is tried again, and how long it rests then if that is in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    until: Instant,
    next: Duration,
}

/// Looks after the torrents of a session until its engine shuts down.
pub(super) async fn run(room: Arc<Room>) {
    let mut resting = BTreeMap::new();
    room.follow_schedule().await;
    let mut closed = std::pin::pin!(room.shared.closed());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                room.follow_schedule().await;
                look(&room, &mut resting).await;
            }
            () = &mut closed => return,
        }
    }
}

async fn look(room: &Arc<Room>, resting: &mut BTreeMap<InfoHashV1, Rest>) {
    let places: Vec<_> = room.torrents().iter().map(|(&key, place)| (key, place.clone())).collect();
    resting.retain(|key, _| places.binary_search_by_key(key, |(key, _)| *key).is_ok());
    for (key, place) in places {
        // What something is being done to is looked at the next time.
        let Ok(mut held) = place.try_lock_owned() else { continue };
        let Some(kept) = held.kept.as_mut() else { continue };
        let now = Instant::now();
        if kept.has_reached_its_goal() && !room.shared.is_closing() {
            act_on_goal(room, held).await;
        } else if kept.is_to_settle() {
            if is_due(resting, key, now) && !room.shared.is_closing() {
                let _noted = room.note_before(key, kept);
                room.settle(kept).await;
            }
        } else if let Some(path) = kept.is_held_up_by() {
            if is_due(resting, key, now) && !room.shared.is_closing() && is_nothing(path).await {
                let _noted = room.note_before(key, kept);
                let begun = room.begin(&kept.record, &kept.what).await;
                kept.running = begun.unwrap_or_else(Running::Failed);
            }
        } else if !kept.may_recover() {
            // One that fails soon after it began again rests on.
            resting.retain(|other, rest| *other != key || now < rest.until);
        } else if is_due(resting, key, now) && !room.shared.is_closing() {
            let _noted = room.note_before(key, kept);
            let begun = room.begin(&kept.record, &kept.what).await;
            kept.running = begun.unwrap_or_else(Running::Failed);
        }
    }
}

/// What cannot be kept is tried again with the next look.
async fn act_on_goal(room: &Arc<Room>, mut held: OwnedMutexGuard<Place>) {
    let Some(kept) = held.kept.as_mut() else { return };
    let info_hash = kept.what.info_hash();
    let noted = room.note_before(info_hash.wire(), kept);
    match kept.record.choices.goal_action {
        GoalAction::Stop => {}
        GoalAction::Pause => {
            if room.set_paused(info_hash, kept, true).await.is_ok() {
                kept.note_numbers();
                kept.running = Running::Paused;
            }
        }
        GoalAction::SuperSeed => {
            let mut record = kept.record.clone();
            (record.choices.super_seed, record.choices.seed_goal) = (true, SeedGoal::default());
            let row = Change::put(Table::Torrents, key(info_hash), record.encode());
            if room.save(vec![row]).await.is_ok() {
                kept.record = record;
                let begun = room.begin(&kept.record, &kept.what).await;
                kept.running = begun.unwrap_or_else(Running::Failed);
            }
        }
        action @ (GoalAction::Remove | GoalAction::RemoveData) => {
            drop(noted);
            drop(held);
            match room.remove(info_hash, action == GoalAction::RemoveData).await {
                Ok(None) => {}
                Ok(Some(stayed)) => {
                    tracing::warn!("a torrent whose seed goal is reached is removed, but {stayed}");
                }
                Err(error) => tracing::warn!(%error, "a torrent whose seed goal is reached is not removed"),
            }
        }
    }
}

impl Room {
    /// What is told of a torrent that begins again and whose seed goal is reached already.
    pub(super) async fn ends_again(&self, kept: &KeptTorrent) -> Option<Error> {
        let (Running::Yes(torrent), Some(metainfo)) = (&kept.running, kept.what.metainfo()) else {
            return None;
        };
        let becomes = match kept.record.choices.goal_action {
            GoalAction::Stop => "stops",
            GoalAction::Pause => "is paused",
            _ => return None,
        };
        let seeded = self.progress(metainfo.info_hash(), metainfo).await?.seeded;
        let (goal, stats) = (kept.record.choices.seed_goal, torrent.stats());
        let long_enough = goal.time.is_some_and(|time| seeded >= time) || goal.idle == Some(Duration::ZERO);
        let is_reached =
            stats.done == stats.total && (long_enough || goal.is_met_by(stats.uploaded, stats.total));
        is_reached.then(|| {
            let why =
                format!("its seed goal is reached: it {becomes} again; set another, or none, to seed it on");
            Error::Refused(why)
        })
    }
}

/// Whether it has rested; if so, it rests longer the next time.
fn is_due(resting: &mut BTreeMap<InfoHashV1, Rest>, key: InfoHashV1, now: Instant) -> bool {
    let rest = resting.entry(key).or_insert(Rest { until: now, next: FIRST_REST });
    let is_due = rest.until <= now;
    if is_due {
        *rest = Rest { until: now + rest.next, next: (rest.next * 2).min(LONGEST_REST) };
    }
    is_due
}

/// Whether nothing stands there any more.
async fn is_nothing(path: PathBuf) -> bool {
    let look = move || path.symlink_metadata();
    let found = tokio::task::spawn_blocking(look).await;
    found.is_ok_and(|found| found.is_err_and(|error| error.kind() == ErrorKind::NotFound))
}

impl KeptTorrent {
    /// What stands where a file of it goes, or stood there: all that is wanted may be hashed before that is found again, so it
    /// is not tried again before that is gone.
    pub(super) fn is_held_up_by(&self) -> Option<PathBuf> {
        use storage::Error::{FileInTheWay, FolderInTheWay, NotAFile, NotAFolder, SymbolicLink};
        let found = |error| match error {
            FileInTheWay(path) | FolderInTheWay(path) | NotAFile(path) | NotAFolder(path)
            | SymbolicLink(path) => Some(path),
            _ => None,
        };
        match &self.running {
            Running::Failed(Error::Disk(error)) => found(error.clone()),
            Running::Yes(torrent) => match torrent.failure()? {
                TorrentError::Disk(error) => found(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// And something is to be done about that.
    fn has_reached_its_goal(&self) -> bool {
        let Running::Yes(torrent) = &self.running else { return false };
        let acts = self.record.choices.goal_action != GoalAction::Stop;
        acts && torrent.has_ended() && torrent.failure().is_none()
    }

    fn may_recover(&self) -> bool {
        match &self.running {
            Running::Paused | Running::Fetching(_) | Running::Moving(_) => false,
            Running::Failed(error) => error.may_pass(),
            Running::Yes(torrent) => torrent.failure().is_some_and(|failure| failure.may_pass()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_each_time_but_not_for_ever() {
        let (mut resting, key, start) = (BTreeMap::new(), InfoHashV1([1; 20]), Instant::now());
        let tried = (0..200).filter(|&second| is_due(&mut resting, key, start + Duration::from_secs(second)));
        assert_eq!(tried.collect::<Vec<_>>(), [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181]);
    }
}
