//! The node's task.

use super::saved::Saved;
use super::{Dht, MAX_NAMED_NODES, told};
use crate::events::{EventKind, Kind, NO_TORRENT};
use crate::kept::InStore;
use crate::listen;
use crate::shared::{Shared, lock};
use crate::{DhtSettings, Error};
use dht::{Config, Exchange, Family, Input, LookupEvent, LookupKey, Node, Output, Status};
use net::bind::look_up;
use net::dht::Driver;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use types::{Time, Zone};

/// Bootstrap nodes that are used; further ones are passed over.
const MAX_BOOTSTRAP: usize = 64;
/// How long the look-up of one bootstrap node's name may take.
const NAME_TIMEOUT: Duration = Duration::from_secs(10);
/// When bootstrap nodes are looked up again if not one was found.
const NAMES_RETRY: Duration = Duration::from_secs(60);
/// How often the table is saved while the engine runs.
const SAVE_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// The node's task.
pub(crate) struct Host {
    dht: Arc<Dht>,
    driver: Driver,
    /// Names, with ports.
    bootstrap: Vec<String>,
    names: JoinSet<Vec<SocketAddr>>,
    /// Look-ups of names that torrents gave.
    named: JoinSet<Vec<SocketAddr>>,
    /// When they are to be looked up.
    names_at: Option<Instant>,
    /// Where bootstrap nodes are.
    known: Vec<SocketAddr>,
    /// Where the table is kept; nowhere if another engine keeps its own there.
    saved: Option<Arc<Saved>>,
    /// The save that is under way, if one is: one at a time.
    saves: JoinSet<Result<(), Error>>,
    save_at: Instant,
}

impl Host {
    /// Opens the node's sockets beside those where peers come in, and knows again whom the last run knew.
    pub(crate) fn open(
        settings: &DhtSettings,
        listens: &[SocketAddr],
        state_dir: &Path,
        kept: Option<InStore>,
    ) -> Result<Host, Error> {
        let mut driver =
            bind(settings, listens).map_err(|err| Error::Start(format!("no socket for the DHT: {err}")))?;
        let ports = listen::ports(&driver.local_addrs().collect::<Vec<_>>());
        let (saved, now) = (Saved::open(state_dir, kept), driver.now());
        if let Some(table) = saved.as_ref().and_then(|saved| saved.load())
            && let Err(err) = driver.node().restore(now, &table)
        {
            tracing::warn!("the DHT's nodes of the last run: {err}");
        }
        let mut bootstrap = settings.bootstrap.clone();
        bootstrap.truncate(MAX_BOOTSTRAP);
        let listen_ports = listen::ports(listens);
        let dht = Dht { list: Mutex::default(), changed: Notify::new(), ports, listen_ports };
        let start = Instant::now();
        let names_at = Some(start).filter(|_| !bootstrap.is_empty());
        let (names, named, save_at) = (JoinSet::new(), JoinSet::new(), start + SAVE_INTERVAL);
        let known = Vec::new();
        let (dht, saves) = (dht.into(), JoinSet::new());
        Ok(Host { dht, driver, bootstrap, names, named, names_at, known, saved, saves, save_at })
    }

    /// What torrents are to know of the node.
    pub(crate) fn dht(&self) -> Arc<Dht> {
        self.dht.clone()
    }

    /// Lives until the engine shuts down.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let dht = self.dht.clone();
        let mut closed = std::pin::pin!(shared.closed());
        let is_heard = || shared.hub.is_heard(Kind::Dht.bit());
        loop {
            self.driver.node().set_heard(is_heard());
            let wake = self.do_what_is_due();
            tokio::select! {
                output = self.driver.next_heard(is_heard) => self.told(&shared, output),
                () = dht.changed.notified() => {}
                Some(addrs) = self.names.join_next() => self.know(addrs.unwrap_or_default()),
                Some(addrs) = self.named.join_next() => {
                    let addrs = self.named_by_torrents(addrs.unwrap_or_default(), shared.settings.allow_private);
                    self.driver.input(Input::Nodes { addrs: &addrs });
                }
                Some(saved) = self.saves.join_next() => tell_unsaved(saved),
                () = tokio::time::sleep_until(wake) => {}
                () = &mut closed => break,
            }
        }
        // Two must not be at it at once.
        while let Some(saved) = self.saves.join_next().await {
            tell_unsaved(saved);
        }
        self.save();
        if let Some(saved) = self.saves.join_next().await {
            tell_unsaved(saved);
        }
    }

    /// Does what torrents want done and what time has come for; returns when there is more to do.
    fn do_what_is_due(&mut self) -> Instant {
        let now = Instant::now();
        if self.names_at.is_some_and(|at| at <= now) {
            self.names_at = None;
            for name in self.bootstrap.clone() {
                self.names.spawn(addrs_of(name));
            }
        }
        if self.save_at <= now {
            self.save_at = now + SAVE_INTERVAL;
            self.save();
        }
        let next = self.go_through_list(now);
        [next, self.names_at].into_iter().flatten().fold(self.save_at, Instant::min)
    }

    /// Begins the lookups that are due, as many as may be; returns when the next one is.
    fn go_through_list(&mut self, now: Instant) -> Option<Instant> {
        let list = &mut *lock(&self.dht.list);
        for key in list.left.drain(..) {
            self.driver.input(Input::Cancel { key: LookupKey(key) });
        }
        if !list.nodes.is_empty() {
            self.driver.input(Input::Nodes { addrs: &std::mem::take(&mut list.nodes) });
        }
        let free = MAX_NAMED_NODES.saturating_sub(self.named.len()).min(list.names.len());
        for name in list.names.drain(..free) {
            self.named.spawn(addrs_of(name));
        }
        while let Some((key, command)) = list.begin(now, self.dht.listen_ports) {
            self.driver.input(Input::Start { key: LookupKey(key), command });
        }
        list.next_due()
    }

    fn told(&mut self, shared: &Shared, output: Output) {
        let (key, event) = match output {
            Output::Lookup { key: LookupKey(key), event } => (key, event),
            Output::Exchange(exchange) => return self.tell_of(shared, exchange),
            _ => return,
        };
        let mut list = lock(&self.dht.list);
        match event {
            LookupEvent::Peers { peers, .. } => {
                if let Some(entry) = list.entries.get(&key) {
                    // A torrent that is that far behind has addresses enough.
                    _ = entry.found.try_send(peers);
                }
            }
            LookupEvent::Done(outcome) => {
                let torrent = list.end(Instant::now(), key, &outcome);
                drop(list);
                if let Some(torrent) = torrent.filter(|_| outcome.answers > 0) {
                    let (peers, listed_at) = (outcome.peers, outcome.stored);
                    shared.hub.tell(torrent, || EventKind::DhtSearched { peers, listed_at });
                }
            }
            _ => {}
        }
    }

    /// Tells of a query: of the torrent for which it is asked, if it is for one.
    fn tell_of(&self, shared: &Shared, exchange: Exchange) {
        let torrent = exchange.asked.key.and_then(|LookupKey(key)| {
            let list = lock(&self.dht.list);
            list.entries.get(&key).map(|entry| entry.torrent)
        });
        shared.hub.tell(torrent.unwrap_or(NO_TORRENT), || told::event(exchange));
    }

    /// Takes in where bootstrap nodes are.
    fn know(&mut self, addrs: Vec<SocketAddr>) {
        self.known.extend(addrs);
        let now = self.driver.now();
        self.driver.node().set_bootstrap(now, self.known.clone());
        if self.names.is_empty() && self.known.is_empty() {
            self.names_at = Some(Instant::now() + NAMES_RETRY);
        }
    }

    /// Which of these nodes may be asked: torrents and links are strangers' work, and lead inside only if the owner allows
    /// that or looks for nodes there anyway.
    fn named_by_torrents(&self, mut addrs: Vec<SocketAddr>, allow_private: bool) -> Vec<SocketAddr> {
        let bootstrap = self.bootstrap.iter().filter_map(|name| name.parse().ok());
        let mut own = self.known.iter().copied().chain(bootstrap);
        let inside = allow_private || own.any(|addr: SocketAddr| Zone::of(addr.ip()) == Zone::Private);
        addrs.retain(|addr| match Zone::of(addr.ip()) {
            Zone::Public => true,
            Zone::Private => inside,
            Zone::Forbidden => false,
        });
        addrs
    }

    /// Begins to keep whom we know for the next run, unless that is under way; the node goes on meanwhile. Without it the
    /// next run begins with the bootstrap nodes.
    fn save(&mut self) {
        let Some(saved) = self.saved.clone().filter(|_| self.saves.is_empty()) else { return };
        let now = self.driver.now();
        let node = self.driver.node();
        let (nodes, table) = (saved_nodes(node, now), node.save(now));
        self.saves.spawn(saved.keep(table, nodes));
    }
}

fn tell_unsaved(saved: Result<Result<(), Error>, JoinError>) {
    if let Ok(Err(err)) = saved {
        tracing::warn!("cannot keep the DHT's nodes: {err}");
    }
}

/// How many nodes of a node's tables are saved: those that went bad are not, as all do when the network fails.
fn saved_nodes(node: &Node, now: Time) -> usize {
    let nodes = node.nodes(Family::V4, now).chain(node.nodes(Family::V6, now));
    nodes.filter(|(_, status)| *status != Status::Bad).count()
}

/// A socket of each family that we listen on, on the same port; on another port for both if that is taken.
fn bind(settings: &DhtSettings, listens: &[SocketAddr]) -> io::Result<Driver> {
    let first = |is_v4: bool| listens.iter().find(|addr| addr.is_ipv4() == is_v4).copied();
    let (v4, v6) = (first(true), first(false));
    // Others must not guess it.
    let seed = getrandom::u64().map_err(io::Error::other)?;
    let make = |now| {
        let DhtSettings { read_only, enforce_ids, .. } = *settings;
        let config =
            Config { v4: v4.is_some(), v6: v6.is_some(), read_only, enforce_ids, ..Config::default() };
        #[cfg(feature = "planted")]
        let config = Config { any_answer: net::planted::is("any-response"), ..config };
        Node::new(config, seed, now)
    };
    let mut addrs: Vec<_> = v4.into_iter().chain(v6).collect();
    Driver::bind(&addrs, make).or_else(|_| {
        let any = addrs.first().map(|addr| SocketAddr::new(addr.ip(), 0));
        let free = any.map(UdpSocket::bind).transpose()?.map(|socket| socket.local_addr()).transpose()?;
        addrs.iter_mut().for_each(|addr| addr.set_port(free.map_or(0, |free| free.port())));
        Driver::bind(&addrs, make)
    })
}

/// The addresses of a bootstrap node; none if it has none, or its text is not a host and a port.
async fn addrs_of(name: String) -> Vec<SocketAddr> {
    if let Ok(addr) = name.parse() {
        return vec![addr];
    }
    let Some((host, port)) = name.rsplit_once(':') else { return Vec::new() };
    let Ok(port) = port.parse() else { return Vec::new() };
    in_time(look_up((host, port))).await
}

/// What a look-up finds, unless it takes too long.
async fn in_time(look_up: impl Future<Output = io::Result<Vec<SocketAddr>>>) -> Vec<SocketAddr> {
    let found = tokio::time::timeout(NAME_TIMEOUT, look_up).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::FOUND_QUEUE;
    use super::*;
    use crate::Settings;

    /// What takes longer hangs.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Hands on what a node sends; the other's answers, if there is one, get back to it.
    fn pass_on(now: Time, node: &mut Node, other: Option<&mut Node>) {
        let (here, there): (SocketAddr, SocketAddr) = (([80, 1, 1, 1], 1).into(), ([80, 2, 2, 2], 2).into());
        let sent: Vec<_> = std::iter::from_fn(|| node.poll_output()).collect();
        let Some(other) = other else { return };
        for output in sent {
            let Output::Send { bytes, .. } = output else { continue };
            other.handle(now, Input::Datagram { from: here, bytes: &bytes });
        }
        for output in std::iter::from_fn(|| other.poll_output()) {
            let Output::Send { bytes, .. } = output else { continue };
            node.handle(now, Input::Datagram { from: there, bytes: &bytes });
        }
    }

    #[tokio::test]
    async fn who_only_reads_answers_nobody() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let answers = |read_only| {
            let settings = DhtSettings { read_only, ..DhtSettings::default() };
            let mut driver = bind(&settings, &[addr]).unwrap();
            let now = driver.now();
            let ping = b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:xy1:y1:qe";
            driver.node().handle(now, Input::Datagram { from: ([80, 1, 1, 1], 1).into(), bytes: ping });
            std::iter::from_fn(|| driver.node().poll_output()).any(|out| matches!(out, Output::Send { .. }))
        };
        assert_eq!([false, true].map(answers), [true, false]);
    }

    #[tokio::test]
    async fn the_node_answers_while_its_table_is_saved() {
        let (dir, addr) = (tempfile::tempdir().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)));
        // Who writes there waits for somebody to read.
        let pipe = dir.path().join("dht.new");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let settings = DhtSettings::default();
        let mut host = Host::open(&settings, &[addr], dir.path(), None).unwrap();
        host.save_at = Instant::now();
        let (node, dht) = (host.driver.local_addrs().next().unwrap(), host.dht());
        let shared = Arc::new(Shared::new(Settings::new(dir.path()), &[], Some(dht), None).unwrap());
        let running = tokio::spawn(host.run(shared.clone()));
        let socket = tokio::net::UdpSocket::bind(addr).await.unwrap();
        socket.send_to(b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:xy1:y1:qe", node).await.unwrap();
        let mut answer = [0; 200];
        let answered = tokio::time::timeout(PATIENCE, socket.recv_from(&mut answer)).await;
        let table = tokio::task::spawn_blocking(move || std::fs::read(pipe).unwrap()).await.unwrap();
        shared.close();
        running.await.unwrap();
        assert!(!table.is_empty());
        answered.expect("it waits for the disk").unwrap();
    }

    #[test]
    fn bad_nodes_do_not_count_as_saved() {
        let node = |seed| Node::new(Config { v6: false, ..Config::default() }, seed, Time::ZERO);
        let (mut node, mut other) = (node(1), node(2));
        node.handle(Time::ZERO, Input::Nodes { addrs: &[([80, 2, 2, 2], 2).into()] });
        pass_on(Time::ZERO, &mut node, Some(&mut other));
        assert_eq!(saved_nodes(&node, Time::ZERO), 1);
        let mut now = Time::ZERO;
        while now < Time::from_secs(3600) {
            now = node.poll_timeout();
            node.handle_timeout(now);
            pass_on(now, &mut node, None);
        }
        assert_eq!((node.nodes(Family::V4, now).count(), saved_nodes(&node, now)), (1, 0));
    }

    /// A host that knows of so many bootstrap nodes, and what its torrents are told by.
    fn host(dir: &Path, bootstrap: usize) -> (Host, Arc<Shared>) {
        let bootstrap = (0..bootstrap).map(|number| format!("node-{number}.test:1")).collect();
        let settings = DhtSettings { bootstrap, ..DhtSettings::default() };
        let host = Host::open(&settings, &[([127, 0, 0, 1], 0).into()], dir, None).unwrap();
        let shared = Shared::new(Settings::new(dir), &[], Some(host.dht()), None).unwrap();
        (host, shared.into())
    }

    #[tokio::test]
    async fn so_many_bootstrap_nodes_are_used() {
        for (named, used) in [(MAX_BOOTSTRAP, MAX_BOOTSTRAP), (MAX_BOOTSTRAP + 1, MAX_BOOTSTRAP)] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(host(dir.path(), named).0.bootstrap.len(), used);
        }
    }

    #[tokio::test]
    async fn nodes_that_torrents_name_lead_inside_only_if_the_owner_does() {
        let dir = tempfile::tempdir().unwrap();
        let (mut host, _) = host(dir.path(), 1);
        let [public, private, forbidden] =
            ["80.1.1.1:1", "192.168.1.1:2", "169.254.169.254:3"].map(|addr| addr.parse().unwrap());
        let asked = |host: &Host, allow| host.named_by_torrents(vec![public, private, forbidden], allow);
        assert_eq!(asked(&host, false), [public]);
        assert_eq!(asked(&host, true), [public, private]);
        host.bootstrap.push("80.2.2.2:1".into());
        assert_eq!(asked(&host, false), [public]);
        host.bootstrap.push("127.0.0.1:9".into());
        assert_eq!(asked(&host, false), [public, private]);
        host.bootstrap.clear();
        host.known.push("[::1]:9".parse().unwrap());
        assert_eq!(asked(&host, false), [public, private]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_given_up_in_time() {
        let begun = Instant::now();
        assert_eq!(in_time(std::future::pending()).await, []);
        assert_eq!(begun.elapsed(), NAME_TIMEOUT);
        let addr = SocketAddr::from(([80, 1, 1, 1], 1));
        assert_eq!(in_time(async { Ok(vec![addr]) }).await, [addr]);
    }

    #[tokio::test]
    async fn a_torrent_may_be_so_far_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (mut host, shared) = host(dir.path(), 0);
        let torrent = types::InfoHash::V1(types::InfoHashV1([7; 20]));
        let mut member = host.dht.join(torrent, super::super::Part::Asks);
        let from = SocketAddr::from(([80, 1, 1, 1], 1));
        for port in 0..=u16::try_from(FOUND_QUEUE).unwrap() {
            let event = LookupEvent::Peers { from, peers: vec![SocketAddr::new(from.ip(), port)] };
            host.told(&shared, Output::Lookup { key: LookupKey(member.key), event });
        }
        let waiting = std::iter::from_fn(|| member.found.try_recv()).flatten();
        let ports: Vec<_> = waiting.map(|addr| usize::from(addr.port())).collect();
        assert_eq!(ports, (0..FOUND_QUEUE).collect::<Vec<_>>(), "what is beyond is dropped");
    }
}
