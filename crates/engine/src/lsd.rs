//! Local service discovery (BEP 14): one for all torrents, on the networks where peers can connect to us.
//!
//! A torrent that takes part holds a [`Member`]; when that is dropped, it is neither announced nor listened for.

use crate::events::EventKind;
use crate::mailbox::{self, mailbox};
use crate::shared::{Shared, lock};
use lsd::{Input, Part};
use net::lsd::Driver;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::Notify;
use types::{InfoHash, InfoHashV1};

/// Peers that a torrent may be behind. Further ones are dropped: they announce themselves again.
const FOUND_QUEUE: usize = 64;

/// What torrents know of it.
#[derive(Debug, Default)]
pub(crate) struct Lsd {
    list: Mutex<List>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct List {
    entries: BTreeMap<InfoHashV1, Entry>,
    /// Torrents that have come or gone, of which the task has not heard yet.
    changed: BTreeSet<InfoHashV1>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    /// Of its member; never used again.
    key: u64,
    torrent: InfoHash,
    part: Part,
    found: mailbox::Sender<SocketAddr>,
}

/// A torrent's part; when it is dropped, the torrent takes none.
#[derive(Debug)]
pub(crate) struct Member {
    lsd: Arc<Lsd>,
    torrent: InfoHashV1,
    key: u64,
    found: mailbox::Receiver<SocketAddr>,
}

impl Lsd {
    /// The torrent takes part, in the place of its member before if there is one.
    pub(crate) fn join(self: &Arc<Self>, torrent: InfoHash, part: Part) -> Member {
        let (sender, found) = mailbox(FOUND_QUEUE);
        let (name, mut list) = (torrent.wire(), lock(&self.list));
        let key = list.next;
        list.next += 1;
        list.entries.insert(name, Entry { key, torrent, part, found: sender });
        list.changed.insert(name);
        drop(list);
        self.changed.notify_one();
        Member { lsd: self.clone(), torrent: name, key, found }
    }

    /// Who has come and who has gone.
    fn pass_on(&self, driver: &mut Driver) {
        let list = &mut *lock(&self.list);
        for torrent in std::mem::take(&mut list.changed) {
            driver.input(match list.entries.get(&torrent) {
                Some(&Entry { part, .. }) => Input::Join { torrent, part },
                None => Input::Leave { torrent },
            });
        }
    }

    fn tell(&self, shared: &Shared, torrent: InfoHashV1, peer: SocketAddr) {
        if let Some(entry) = lock(&self.list).entries.get(&torrent) {
            shared.hub.tell(entry.torrent, || EventKind::LocalPeer { peer: peer.into() });
            // A torrent that is that far behind has addresses enough.
            let _ = entry.found.try_send(peer);
        }
    }
}

impl Member {
    /// A peer on the local network; none any more if another member has taken the place of this one.
    pub(crate) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<SocketAddr> {
        self.found.poll_recv(cx)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut list = lock(&self.lsd.list);
        if list.entries.get(&self.torrent).is_some_and(|entry| entry.key == self.key) {
            list.entries.remove(&self.torrent);
            list.changed.insert(self.torrent);
            drop(list);
            self.lsd.changed.notify_one();
        }
    }
}

/// The task.
pub(crate) struct Host {
    lsd: Arc<Lsd>,
    driver: Driver,
}

impl Host {
    /// Opens the sockets beside those where peers come in; `None` if there is no way to hear others.
    pub(crate) fn open(listens: &[SocketAddr]) -> Option<Host> {
        Some(Host { lsd: Arc::default(), driver: Driver::open(listens, fastrand::u64(..))? })
    }

    /// What torrents are to know of it.
    pub(crate) fn lsd(&self) -> Arc<Lsd> {
        self.lsd.clone()
    }

    /// Announces and hears until the engine shuts down.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let Host { lsd, mut driver } = self;
        let mut closed = pin!(shared.closed());
        loop {
            lsd.pass_on(&mut driver);
            tokio::select! {
                (torrent, peer) = driver.next() => lsd.tell(&shared, torrent, peer),
                () = lsd.changed.notified() => {}
                () = &mut closed => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_is_not_taken_for_who_left() {
        let lsd: Arc<Lsd> = Arc::default();
        let name = InfoHashV1([7; 20]);
        let (torrent, part) = (InfoHash::V1(name), Part::of(Some(false)).unwrap());
        let is_in = || lock(&lsd.list).entries.contains_key(&name);
        let changed = || std::mem::take(&mut lock(&lsd.list).changed).contains(&name);
        let first = lsd.join(torrent, part);
        assert!(is_in() && changed());
        let second = lsd.join(torrent, part);
        drop(first);
        assert!(is_in() && changed());
        drop(second);
        assert!(!is_in() && changed());
    }

    #[tokio::test]
    async fn a_torrent_may_be_so_far_behind() {
        let dir = tempfile::tempdir().unwrap();
        let lsd: Arc<Lsd> = Arc::default();
        let settings = crate::Settings::new(dir.path());
        let shared = Shared::new(settings, &[], None, Some(lsd.clone())).unwrap();
        let name = InfoHashV1([7; 20]);
        let mut member = lsd.join(InfoHash::V1(name), Part::of(Some(false)).unwrap());
        for port in 0..=u16::try_from(FOUND_QUEUE).unwrap() {
            lsd.tell(&shared, name, ([10, 0, 0, 1], port).into());
        }
        let waiting = std::iter::from_fn(|| member.found.try_recv());
        let ports: Vec<_> = waiting.map(|addr| usize::from(addr.port())).collect();
        assert_eq!(ports, (0..FOUND_QUEUE).collect::<Vec<_>>(), "what is beyond is dropped");
    }
}
