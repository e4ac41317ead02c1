//! Torrents that cannot go on are tried again by themselves: a disk comes back, or has room, or lets itself be written to.

use super::{KeptTorrent, Room, Running};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
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
    let mut closed = std::pin::pin!(room.shared.closed());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => look(&room, &mut resting).await,
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
        if !kept.may_recover() {
            // One that fails soon after it began again rests on.
            resting.retain(|other, rest| *other != key || now < rest.until);
        } else if is_due(resting, key, now) && !room.shared.is_closing() {
            let begun = room.begin(&kept.record, &kept.what).await;
            kept.running = begun.unwrap_or_else(Running::Failed);
        }
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

impl KeptTorrent {
    fn may_recover(&self) -> bool {
        match &self.running {
            Running::Paused | Running::Fetching(_) => false,
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
