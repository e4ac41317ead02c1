//! The engine's DHT node (BEP 5): one for all torrents, with the port that peers connect to where that is free.
//!
//! A torrent that takes part holds a [`Member`]; when that is dropped, nothing more is asked or told on its behalf. Who
//! is to be looked up for, and when, stands in a list that the node's task, [`Host`], goes through.

mod host;
mod saved;
mod told;

pub(crate) use host::Host;

use crate::mailbox::{self, mailbox};
use crate::shared::lock;
use dht::{Command, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use types::InfoHash;

/// How often a torrent's peers are looked up, and it is listed again; clients list others for half an hour or longer.
/// Each time up to a tenth more or less, so that torrents that were added together do not stay together.
const INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The first wait after a lookup that found no peers; doubled each time, up to [`INTERVAL`].
const LONELY_RETRY: Duration = Duration::from_secs(60);
/// The same after a lookup that nobody answered: as likely as not, our table is still being filled.
const SILENT_RETRY: Duration = Duration::from_secs(1);
/// Peers that a lookup may have found without finding others, if we are listed: ourselves, in each family.
const OWN_LISTINGS: usize = 2;
/// Batches of addresses that a torrent may be behind. Further ones are dropped: the next lookup finds them again.
const FOUND_QUEUE: usize = 256;
/// Nodes that peers named, and as many that torrents did, that wait to be asked; further ones are dropped.
const MAX_NAMED_NODES: usize = 64;
/// Lookups at once, over all torrents; other torrents wait for their turn.
const MAX_LOOKUPS: usize = 8;

/// What torrents know of the node.
#[derive(Debug)]
pub(crate) struct Dht {
    list: Mutex<List>,
    changed: Notify,
    /// Over IPv4 and over IPv6, 0 where it is not.
    ports: [u16; 2],
    /// Where peers connect, likewise.
    listen_ports: [u16; 2],
}

#[derive(Debug, Default)]
struct List {
    /// One for each member, by a number that is never used again.
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Members whose lookup is not under way, by when it is to be.
    due: BTreeSet<(Instant, u64)>,
    /// How many lookups are under way.
    running: usize,
    /// Members that left while their lookup was under way.
    left: Vec<u64>,
    /// Nodes that peers named.
    nodes: Vec<SocketAddr>,
    /// Nodes that torrents named, by host and port.
    names: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    torrent: InfoHash,
    part: Part,
    found: mailbox::Sender<Vec<SocketAddr>>,
    /// When the next lookup is due; none while one is under way.
    due: Option<Instant>,
    /// Of the last lookup, if it was in vain.
    waited: Option<Duration>,
}

/// The part that a torrent takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It looks for peers and is not listed: it may turn out to be private (BEP 27).
    Asks,
    /// It is listed as one that misses something.
    Leeches,
    /// It is listed as one that has everything (BEP 33).
    Seeds,
}

/// A torrent's part in the DHT; when it is dropped, the torrent takes none.
#[derive(Debug)]
pub(crate) struct Member {
    dht: Arc<Dht>,
    key: u64,
    found: mailbox::Receiver<Vec<SocketAddr>>,
}

impl Dht {
    /// The UDP ports of our node, over IPv4 and over IPv6; 0 where it is not.
    pub(crate) fn ports(&self) -> [u16; 2] {
        self.ports
    }

    /// Looks a torrent up now, and again and again.
    pub(crate) fn join(self: &Arc<Self>, torrent: InfoHash, part: Part) -> Member {
        let (sender, found) = mailbox(FOUND_QUEUE);
        let mut list = lock(&self.list);
        let key = list.next;
        list.next += 1;
        let now = Instant::now();
        list.entries.insert(key, Entry { torrent, part, found: sender, due: Some(now), waited: None });
        list.due.insert((now, key));
        drop(list);
        self.changed.notify_one();
        Member { dht: self.clone(), key, found }
    }

    /// A torrent names nodes to begin with (BEP 5).
    pub(crate) fn offer_named(&self, nodes: &[(String, u16)]) {
        let mut list = lock(&self.list);
        let free = MAX_NAMED_NODES.saturating_sub(list.names.len());
        list.names.extend(nodes.iter().take(free).map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }));
        drop(list);
        self.changed.notify_one();
    }

    /// There may be a node.
    fn offer(&self, node: SocketAddr) {
        let mut list = lock(&self.list);
        if list.nodes.len() < MAX_NAMED_NODES {
            list.nodes.push(node);
            drop(list);
            self.changed.notify_one();
        }
    }
}

impl Member {
    /// Peers that the torrent's lookups find.
    pub(crate) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Vec<SocketAddr>> {
        self.found.poll_recv(cx)
    }

    /// A peer of the torrent says that it has a node (BEP 5).
    pub(crate) fn offer_node(&self, node: SocketAddr) {
        self.dht.offer(node);
    }

    /// From the next lookup on the torrent is listed as one that has everything.
    pub(crate) fn set_seeds(&self) {
        if let Some(entry) = lock(&self.dht.list).entries.get_mut(&self.key) {
            entry.part = Part::Seeds;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        lock(&self.dht.list).leave(self.key);
        self.dht.changed.notify_one();
    }
}

impl List {
    fn leave(&mut self, key: u64) {
        match self.entries.remove(&key).map(|entry| entry.due) {
            Some(Some(due)) => _ = self.due.remove(&(due, key)),
            Some(None) => {
                self.running -= 1;
                self.left.push(key);
            }
            None => {}
        }
    }

    /// A lookup to begin now: for whom, and which. `listen_ports` is where peers connect.
    fn begin(&mut self, now: Instant, listen_ports: [u16; 2]) -> Option<(u64, Command)> {
        let &(due, key) = self.due.first().filter(|_| self.running < MAX_LOOKUPS)?;
        let entry = self.entries.get_mut(&key).filter(|_| due <= now)?;
        entry.due = None;
        self.due.pop_first();
        self.running += 1;
        Some((key, entry.command(listen_ports)))
    }

    /// When the next lookup is to begin; unknown while others must end before.
    fn next_due(&self) -> Option<Instant> {
        self.due.first().filter(|_| self.running < MAX_LOOKUPS).map(|&(due, _)| due)
    }

    /// A lookup is over: for which torrent, if that is still there.
    fn end(&mut self, now: Instant, key: u64, outcome: &Outcome) -> Option<InfoHash> {
        let entry = self.entries.get_mut(&key).filter(|entry| entry.due.is_none())?;
        let due = now + entry.wait_after(outcome);
        entry.due = Some(due);
        self.due.insert((due, key));
        self.running -= 1;
        Some(entry.torrent)
    }
}

impl Entry {
    fn command(&self, ports: [u16; 2]) -> Command {
        let info_hash = self.torrent.wire();
        let seed = self.part == Part::Seeds;
        match self.part {
            Part::Asks => Command::GetPeers { info_hash, noseed: false },
            Part::Leeches | Part::Seeds => Command::Announce { info_hash, ports, implied_port: false, seed },
        }
    }

    /// How long the next lookup is to wait depends on what this one found.
    fn wait_after(&mut self, outcome: &Outcome) -> Duration {
        let own = if self.part == Part::Asks { 0 } else { OWN_LISTINGS };
        let retry = match outcome {
            Outcome { answers: 0, .. } => Some(SILENT_RETRY),
            Outcome { peers, .. } if *peers <= own => Some(LONELY_RETRY),
            _ => None,
        };
        let doubled = |first| self.waited.map_or(first, |waited| (waited * 2).max(first));
        self.waited = retry.map(|first| doubled(first).min(INTERVAL));
        self.waited.unwrap_or(INTERVAL).mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash::V1(types::InfoHashV1([7; 20]));
    const PORTS: [u16; 2] = [2, 3];

    /// A lookup that so many nodes answered, and that found so many peers.
    fn outcome(answers: usize, peers: usize) -> Outcome {
        Outcome { answers, peers, ..Outcome::default() }
    }

    fn node() -> Arc<Dht> {
        Dht { list: Mutex::default(), changed: Notify::new(), ports: [1; 2], listen_ports: PORTS }.into()
    }

    #[test]
    fn lookups_take_turns() {
        let dht = node();
        let members: Vec<_> = (0..20).map(|_| dht.join(HASH, Part::Leeches)).collect();
        let now = Instant::now();
        let mut list = lock(&dht.list);
        let begun: Vec<_> = std::iter::from_fn(|| list.begin(now, PORTS)).map(|(key, _)| key).collect();
        assert_eq!(begun, (0..MAX_LOOKUPS as u64).collect::<Vec<_>>());
        assert_eq!(list.next_due(), None, "others must end before");
        assert_eq!(list.end(now, begun[0], &outcome(9, 3)), Some(HASH));
        assert_eq!(list.end(now, begun[0], &outcome(9, 3)), None, "it is over already");
        assert_eq!(list.begin(now, PORTS).map(|(key, _)| key), Some(MAX_LOOKUPS as u64));
        drop(list);
        drop(members);
        let list = lock(&dht.list);
        assert_eq!((list.entries.len(), list.due.len(), list.running), (0, 0, 0));
        assert_eq!(list.left.len(), MAX_LOOKUPS, "those that are under way are to be given up");
    }

    #[test]
    fn the_lonelier_the_longer_it_waits() {
        let dht = node();
        let now = Instant::now();
        let wait = |member: &Member, outcome: &Outcome| {
            let mut list = lock(&dht.list);
            let due = list.next_due().unwrap();
            list.begin(due, PORTS).unwrap();
            list.end(now, member.key, outcome).unwrap();
            list.next_due().unwrap() - now
        };
        let around =
            |secs: u64| Duration::from_secs(secs).mul_f64(0.9)..=Duration::from_secs(secs).mul_f64(1.1);
        let (silence, nobody) = (outcome(0, 0), outcome(5, 0));
        let member = dht.join(HASH, Part::Asks);
        for secs in [1, 2, 4] {
            assert!(around(secs).contains(&wait(&member, &silence)));
        }
        for secs in [60, 120, 240, 480, 900, 900] {
            assert!(around(secs).contains(&wait(&member, &nobody)));
        }
        assert!(around(900).contains(&wait(&member, &outcome(9, 1))));
        assert!(around(1).contains(&wait(&member, &silence)), "it begins anew");
        drop(member);
        let member = dht.join(HASH, Part::Leeches);
        for (peers, secs) in [(0, 60), (1, 120), (OWN_LISTINGS, 240), (OWN_LISTINGS + 1, 900), (1, 60)] {
            assert!(
                around(secs).contains(&wait(&member, &outcome(9, peers))),
                "{peers} peers may be ourselves"
            );
        }
    }

    #[test]
    fn so_many_nodes_wait_to_be_asked() {
        let dht = node();
        let addrs = (0..=u16::try_from(MAX_NAMED_NODES).unwrap()).map(|port| ([80, 1, 1, 1], port).into());
        addrs.clone().for_each(|addr: SocketAddr| dht.offer(addr));
        let names: Vec<_> = addrs.map(|addr| ("node.test".to_owned(), addr.port())).collect();
        dht.offer_named(&names[..1]);
        dht.offer_named(&names);
        let list = lock(&dht.list);
        assert_eq!((list.nodes.len(), list.names.len()), (MAX_NAMED_NODES, MAX_NAMED_NODES));
    }
}
