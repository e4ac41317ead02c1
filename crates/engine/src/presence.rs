//! Whether torrents that run are still there: each is looked at now and then, so that one whose folder or disk has gone says so
//! though nobody asks for any of it.

use crate::shared::{Shared, lock};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::Watched;
use tokio::task::JoinHandle;

/// How often all torrents are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);

/// The torrents that are looked after.
#[derive(Default)]
pub(crate) struct Presence(Mutex<BTreeMap<u64, Watched>>);

/// A torrent is looked after until this is dropped.
pub(crate) struct Present {
    shared: Arc<Shared>,
    id: u64,
}

impl Present {
    pub(crate) fn join(shared: &Arc<Shared>, watched: Watched) -> Present {
        let id = fastrand::u64(..);
        lock(&shared.presence.0).insert(id, watched);
        Present { shared: shared.clone(), id }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        lock(&self.shared.presence.0).remove(&self.id);
    }
}

/// Looks after them until the engine shuts down. A device has one look under way at a time: one that does not answer is asked
/// no more.
pub(crate) async fn run(shared: Arc<Shared>) {
    let work = async {
        let mut under_way: Vec<(Watched, JoinHandle<_>)> = Vec::new();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            under_way.retain(|(_, look)| !look.is_finished());
            let all: Vec<_> = lock(&shared.presence.0).values().cloned().collect();
            for disks in by_device(all, Watched::is_beside) {
                let Some(first) = disks.first().cloned() else { continue };
                if under_way.iter().all(|(other, _)| !other.is_beside(&first)) {
                    under_way.push((first, tokio::spawn(Watched::look_after(disks))));
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shared.closed() => {}
    }
}

fn by_device<T>(all: Vec<T>, is_beside: impl Fn(&T, &T) -> bool) -> Vec<Vec<T>> {
    let mut devices: Vec<Vec<T>> = Vec::new();
    for one in all {
        match devices.iter_mut().find(|others| others.first().is_some_and(|other| is_beside(other, &one))) {
            Some(others) => others.push(one),
            None => devices.push(vec![one]),
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_looked_at_by_itself() {
        let devices = by_device(vec![(1, 'a'), (2, 'b'), (1, 'c')], |one, other| one.0 == other.0);
        assert_eq!(devices, [vec![(1, 'a'), (1, 'c')], vec![(2, 'b')]]);
        assert!(by_device(Vec::<u8>::new(), |_, _| true).is_empty());
    }
}
