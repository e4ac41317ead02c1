//! The order in which torrents get their turn.

use super::held::{Held, PATIENCE};
use super::{Choices, Given, Room, Running, Session, key};
use crate::Error;
use store::{Change, Table};
use tokio::time::{Instant, timeout_at};
use types::{InfoHash, InfoHashV1};

/// Where a torrent goes in the queue of all torrents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueMove {
    /// Before all others.
    Top,
    /// Behind all others.
    Bottom,
    /// Before the one that is before it.
    Up,
    /// Behind the one that is behind it.
    Down,
}

/// A place in the queue, for a torrent that is about to be added.
#[derive(Debug)]
pub struct QueuePlace(pub(super) u64);

impl Session {
    /// A place behind all that were taken before, and all torrents that are here: who adds several at the same time has them in
    /// the order in which their places were taken. One that is not used is nobody's.
    pub fn take_place(&self) -> QueuePlace {
        self.room.take_place()
    }

    /// Adds a torrent at a place that was [taken](Self::take_place) for it: see [`add`](Self::add),
    /// [`add_url`](Self::add_url) and [`add_magnet`](Self::add_magnet).
    ///
    /// # Errors
    /// Theirs.
    pub async fn add_at(&self, place: QueuePlace, given: Given, choices: Choices) -> Result<InfoHash, Error> {
        let room = self.room.clone();
        self.engine.on_runtime(async move { room.take_in(place, given, choices).await }).await
    }

    /// Gives a torrent another place in the queue; durable and in force when this returns. Downloads run in this order, as
    /// many as may; seeds that have waited equally long too.
    ///
    /// # Errors
    /// [`Error::NotHere`], [`Error::Unsaved`].
    pub async fn queue(&self, info_hash: InfoHash, to: QueueMove) -> Result<(), Error> {
        let room = self.room.clone();
        let work = async move {
            // Nobody else holds two torrents at once.
            let _alone = room.queue.lock().await;
            let order = room.order().await;
            let at = order.iter().position(|&(_, hash)| hash == info_hash.wire());
            let at = at.ok_or(Error::NotHere(info_hash))?;
            room.put_in_place(replaced(&order, at, to, || room.next_place())).await
        };
        self.engine.on_runtime(work).await
    }
}

impl Room {
    pub(super) fn take_place(&self) -> QueuePlace {
        QueuePlace(self.next_place())
    }

    async fn order(&self) -> Vec<(u64, InfoHashV1)> {
        let places: Vec<_> = self.torrents().iter().map(|(&hash, place)| (hash, place.clone())).collect();
        let until = Instant::now() + PATIENCE;
        let mut order = Vec::with_capacity(places.len());
        for (hash, place) in places {
            let rank = match place.try_lock() {
                Ok(held) => held.kept.as_ref().map(|kept| kept.record.place),
                Err(_) => match self.rank_of_held(hash) {
                    // Who looks at it, or is about to do something to it, is about to let it go, or to say so.
                    None => match timeout_at(until, place.lock()).await {
                        Ok(held) => held.kept.as_ref().map(|kept| kept.record.place),
                        Err(_) => self.rank_of_held(hash),
                    },
                    rank => rank,
                },
            };
            order.extend(rank.map(|rank| (rank, hash)));
        }
        order.sort_unstable();
        order
    }

    /// Of a torrent that something is being done to; `None` of one that is being added, or was removed.
    fn rank_of_held(&self, hash: InfoHashV1) -> Option<u64> {
        let waiting = || self.waiting().get(&hash).map(|torrent| torrent.0.place);
        self.before.rank(hash).or_else(waiting)
    }

    async fn put_in_place(&self, places: Vec<(u64, InfoHashV1)>) -> Result<(), Error> {
        let mut held: Vec<(u64, Held)> = Vec::new();
        let mut changes = Vec::new();
        for (place, hash) in places {
            let info_hash = InfoHash::V1(hash);
            let guard = self.hold(info_hash).await?;
            let kept = guard.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
            let record = super::Record { place, ..kept.record.clone() };
            changes.push(Change::put(Table::Torrents, key(info_hash), record.encode()));
            held.push((place, guard));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.save(changes).await?;
        for (place, mut guard) in held {
            let Some(kept) = guard.kept.as_mut() else { continue };
            kept.record.place = place;
            if let Running::Yes(torrent) = &kept.running {
                torrent.wishes.send_modify(|wishes| wishes.rank = place);
            }
        }
        Ok(())
    }
}

/// Who is at another place once one has moved, and at which.
fn replaced(
    order: &[(u64, InfoHashV1)],
    at: usize,
    to: QueueMove,
    next: impl FnOnce() -> u64,
) -> Vec<(u64, InfoHashV1)> {
    let (place, hash) = order[at];
    let swap = |with: usize| {
        let (other_place, other) = order[with];
        // Those that were counted alike by chance are told apart.
        let (first, second) = (place.min(other_place), place.max(other_place));
        let second = if first == second { second + 1 } else { second };
        if with < at { vec![(first, hash), (second, other)] } else { vec![(second, hash), (first, other)] }
    };
    match to {
        QueueMove::Top if at > 0 => vec![(order[0].0.saturating_sub(1), hash)],
        QueueMove::Bottom if at + 1 < order.len() => vec![(next(), hash)],
        QueueMove::Up if at > 0 => swap(at - 1),
        QueueMove::Down if at + 1 < order.len() => swap(at + 1),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moves_and_the_others_keep_their_order() {
        let hash = |n: u8| InfoHashV1([n; 20]);
        let order: Vec<_> = (0..4).map(|n| (10 + u64::from(n), hash(n))).collect();
        let after = |at: usize, to| {
            let mut places: Vec<_> = order.clone();
            for (place, moved) in replaced(&order, at, to, || 99) {
                places.retain(|&(_, other)| other != moved);
                places.push((place, moved));
            }
            places.sort_unstable();
            places.into_iter().map(|(_, hash)| hash.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(after(2, QueueMove::Top), [2, 0, 1, 3]);
        assert_eq!(after(1, QueueMove::Bottom), [0, 2, 3, 1]);
        assert_eq!(after(2, QueueMove::Up), [0, 2, 1, 3]);
        assert_eq!(after(1, QueueMove::Down), [0, 2, 1, 3]);
        for (at, to) in
            [(0, QueueMove::Top), (0, QueueMove::Up), (3, QueueMove::Bottom), (3, QueueMove::Down)]
        {
            assert_eq!(after(at, to), [0, 1, 2, 3]);
        }
        let alike = [(5, hash(0)), (5, hash(1))];
        assert_eq!(replaced(&alike, 1, QueueMove::Up, || 0), [(5, hash(1)), (6, hash(0))]);
        assert_eq!(replaced(&alike, 0, QueueMove::Down, || 0), [(6, hash(0)), (5, hash(1))]);
    }
}
