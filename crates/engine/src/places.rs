//! The connections of all torrents together, by host: at the limit, a host that has many makes room for another.

use crate::shared::{Shared, Visit, lock};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use types::InfoHashV1;

/// How long a caller waits for the connection that makes room for it to end; at the limit it is hung up on.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections each host has, of IPv6 each /64, by torrent. There are no more than there are connections.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<BTreeMap<(IpAddr, InfoHashV1), usize>>);

/// A connection's share of the engine's limit.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    whose: (IpAddr, InfoHashV1),
    /// Given back last.
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn take(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        ip: IpAddr,
        torrent: InfoHashV1,
    ) -> Place {
        let whose = (swarm::host(ip).0, torrent);
        *lock(&self.0).entry(whose).or_default() += 1;
        Place { places: self.clone(), whose, _permit: permit }
    }

    /// The host that has most connections, and the torrent with most of them, if it still has more than a newcomer's once
    /// that is here.
    fn most_crowded(&self, newcomer: IpAddr) -> Option<(IpAddr, InfoHashV1)> {
        let taken = lock(&self.0);
        let mut hosts = BTreeMap::<IpAddr, usize>::new();
        taken.iter().for_each(|((host, _), count)| *hosts.entry(*host).or_default() += count);
        let crowded = swarm::crowd(&hosts, newcomer)?;
        let of_crowd = taken.iter().filter(|((host, _), _)| *host == crowded);
        of_crowd.max_by_key(|(_, count)| **count).map(|(&whose, _)| whose)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.0);
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

/// Room for a caller: what is free, or what a host that has many can spare.
pub(crate) async fn room(shared: &Shared, caller: IpAddr) -> Option<OwnedSemaphorePermit> {
    let connections = shared.connections.clone();
    if let Ok(permit) = connections.clone().try_acquire_owned() {
        return Some(permit);
    }
    #[cfg(feature = "planted")]
    if net::planted::is("crowds-stay") {
        return None;
    }
    let (crowded, torrent) = shared.places.most_crowded(caller)?;
    shared.door(torrent)?.visits.try_send(Visit::MakeRoom(crowded)).ok()?;
    tokio::time::timeout(ROOM_TIMEOUT, connections.acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn the_host_with_most_connections_of_all_torrents_is_found() {
        let (places, permits) = (Arc::new(Places::default()), Arc::new(Semaphore::new(100)));
        let take = |n, torrent| {
            let permit = permits.clone().try_acquire_owned().unwrap();
            places.take(permit, ip(n), InfoHashV1([torrent; 20]))
        };
        let single: Vec<_> = (0..3).map(|n| take(100 + n, 1)).collect();
        let two = [take(1, 1), take(2, 2)];
        assert_eq!(places.most_crowded(ip(9)), None, "one each is no crowd");
        let crowd = [take(1, 2), take(1, 2), take(2, 3)];
        assert_eq!(places.most_crowded(ip(9)), Some((ip(1), InfoHashV1([2; 20]))));
        assert_eq!(places.most_crowded(ip(2)), None, "it has three then, too");
        assert_eq!(places.most_crowded(ip(1)), None);
        drop((crowd, two, single));
        assert!(lock(&places.0).is_empty());
        assert_eq!(permits.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::Settings { max_peers: 2, ..crate::Settings::new(dir.path()) };
        let shared = Arc::new(Shared::new(settings, &[], None, None).unwrap());
        let torrent = types::InfoHash::V1(InfoHashV1([7; 20]));
        let (sender, mut visits) = crate::mailbox::mailbox(1);
        let _door = shared.open_door(torrent, types::PeerId([1; 20]), sender).unwrap();
        let take = |n| {
            let permit = shared.connections.clone().try_acquire_owned().unwrap();
            shared.places.take(permit, ip(n), torrent.wire())
        };
        let (first, second) = (take(1), take(1));
        let begun = tokio::time::Instant::now();
        assert!(room(&shared, ip(1)).await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody makes room for its own");
        assert!(room(&shared, ip(2)).await.is_none());
        assert_eq!(begun.elapsed(), ROOM_TIMEOUT);
        assert!(matches!(visits.recv().await, Visit::MakeRoom(crowded) if crowded == ip(1)));
        let makes = async {
            visits.recv().await;
            drop(first);
        };
        assert!(tokio::join!(room(&shared, ip(2)), makes).0.is_some());
        drop(second);
    }
}
