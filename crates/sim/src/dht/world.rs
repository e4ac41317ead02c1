//! The world of a DHT: who is where, what is on its way, and what is to be found.
//!
//! Nodes come one after another and find each other. When all are there, nodes begin to go and others to come, torrents
//! are announced, and each is looked up by another node some minutes later. Hostile nodes make themselves known before
//! that, to everybody near the torrent that they are after.

use super::hostile::Hostile;
use super::{DhtOptions, DhtReport, as_f64, quantile};
use crate::queue::Queue;
use dht::{Command, Config, Input, LookupEvent, LookupKey, Node, NodeId, Outcome, Output, is_local};
use fastrand::Rng;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use types::{InfoHashV1, Time};

/// How many nodes come in a second while the DHT begins.
const JOINS_PER_SEC: usize = 40;
/// How long the nodes have to find each other, all of them being there.
const SETTLE: Duration = Duration::from_secs(120);
/// Over how long torrents are announced.
const ANNOUNCES: Duration = Duration::from_secs(600);
/// How long after its announce a torrent is looked up, at most.
const LOOKUP_AFTER: Duration = Duration::from_secs(300);
/// How long it takes until the last lookup must have ended.
const END: Duration = Duration::from_secs(60);
/// Nodes that a new one knows.
const KNOWN: usize = 3;
/// The nodes closest to their target that a hostile one makes itself known to, and others besides.
const GREETED: (usize, usize) = (200, 20);
/// Nodes that look up the torrent that hostile ones stand around.
const TARGET_LOOKUPS: usize = 100;
/// After how many events a node is checked for contradictions.
const CHECK_EVERY: u64 = 1009;
/// The peer that everybody announces listens here.
const PEER_PORT: u16 = 7777;

pub(super) struct World<'a> {
    options: &'a DhtOptions,
    rng: Rng,
    seed: u64,
    now: Time,
    queue: Queue<Event>,
    nodes: Vec<Slot>,
    /// Honest nodes by their address, then hostile ones.
    places: FxHashMap<SocketAddr, Place>,
    hostile: Hostile,
    torrents: Vec<Torrent>,
    digest: FxHasher,
    datagrams: u64,
    replaced: usize,
}

#[derive(Clone, Copy)]
enum Place {
    Honest(usize),
    Hostile(usize),
}

struct Slot {
    node: Node,
    addr: SocketAddr,
    /// Half of the way to another node, one way.
    delay: Duration,
    /// When the node is looked after.
    armed: Time,
}

/// A torrent that one node announces and others look up.
struct Torrent {
    info_hash: InfoHashV1,
    peer: Option<IpAddr>,
    stored: usize,
    lookups: Vec<Lookup>,
}

struct Lookup {
    started: Time,
    found: bool,
    done: Option<(Time, Outcome)>,
}

enum Event {
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Wake(usize),
    Join,
    Replace,
    Greet(usize),
    Announce(usize),
    LookUp(usize),
}

/// Lookups are numbered by their torrent and their place there; announces come first.
const LOOKUPS_EACH: u64 = 1 << 16;

impl<'a> World<'a> {
    pub(super) fn new(options: &'a DhtOptions, seed: u64) -> World<'a> {
        let mut rng = Rng::with_seed(seed ^ 0xd47);
        let target = NodeId::random(&mut rng);
        let IpAddr::V4(net) = random_ip(&mut rng) else { unreachable!("addresses are of IPv4") };
        let [a, b, c, _] = net.octets();
        let hostile = Hostile::new(options.hostile, target, [a, b, c], &mut rng);
        let places = hostile.nodes().iter().enumerate().map(|(at, node)| (node.addr, Place::Hostile(at)));
        let mut world = World {
            options,
            seed,
            now: Time::ZERO,
            queue: Queue::new(),
            nodes: Vec::new(),
            places: places.collect(),
            hostile,
            torrents: Vec::new(),
            digest: FxHasher::default(),
            datagrams: 0,
            replaced: 0,
            rng,
        };
        world.plan();
        world
    }

    /// Puts in everything that happens by itself.
    fn plan(&mut self) {
        let joins = Duration::from_secs(1) / u32::try_from(JOINS_PER_SEC).unwrap_or(1);
        (0..self.options.nodes).for_each(|n| self.queue.put(Time::ZERO + joins * index(n), Event::Join));
        let begin = Time::ZERO + joins * index(self.options.nodes) + SETTLE;
        (0..self.options.hostile).for_each(|n| self.queue.put(begin, Event::Greet(n)));
        let gone = as_f64(self.options.nodes * self.options.churn_percent as usize) / 100.0;
        let time = ANNOUNCES + LOOKUP_AFTER;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of nodes
        let replaces = (gone * time.as_secs_f64() / 60.0).round() as usize;
        for _ in 0..replaces {
            self.queue.put(begin + time.mul_f64(self.rng.f64()), Event::Replace);
        }
        // The first torrent is the one that hostile nodes are after.
        let announced = begin + Duration::from_secs(60);
        self.plan_torrent(InfoHashV1(self.hostile.target.0), announced, TARGET_LOOKUPS);
        for _ in 0..self.options.lookups {
            let info_hash = InfoHashV1(NodeId::random(&mut self.rng).0);
            let announced = begin + ANNOUNCES.mul_f64(self.rng.f64());
            self.plan_torrent(info_hash, announced, 1);
        }
    }

    fn plan_torrent(&mut self, info_hash: InfoHashV1, announced: Time, lookups: usize) {
        let at = self.torrents.len();
        self.torrents.push(Torrent { info_hash, peer: None, stored: 0, lookups: Vec::new() });
        self.queue.put(announced, Event::Announce(at));
        for _ in 0..lookups {
            let after =
                Duration::from_secs(30) + (LOOKUP_AFTER - Duration::from_secs(30)).mul_f64(self.rng.f64());
            self.queue.put(announced + after, Event::LookUp(at));
        }
    }

    pub(super) fn run(mut self) -> DhtReport {
        let joins = Duration::from_secs(1).mul_f64(as_f64(self.options.nodes) / as_f64(JOINS_PER_SEC));
        let end = Time::ZERO + joins + SETTLE + ANNOUNCES + LOOKUP_AFTER + END;
        while let Some((at, event)) = self.queue.take(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
        self.nodes.iter().for_each(|slot| slot.node.check_invariants());
        self.report()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Datagram { from, to, bytes } => self.arrive(from, to, &bytes),
            Event::Wake(at) => self.wake(at),
            Event::Join => {
                let slot = self.new_slot();
                self.nodes.push(slot);
                self.greet_network(self.nodes.len() - 1);
            }
            Event::Replace => {
                let at = self.rng.usize(0..self.nodes.len());
                self.places.remove(&self.nodes[at].addr);
                self.nodes[at] = self.new_slot();
                self.replaced += 1;
                self.greet_network(at);
            }
            Event::Greet(at) => self.greet_victims(at),
            Event::Announce(at) => self.announce(at),
            Event::LookUp(at) => self.look_up(at),
        }
    }

    fn new_slot(&mut self) -> Slot {
        let addr = loop {
            let addr = SocketAddr::new(random_ip(&mut self.rng), 6881);
            if !self.places.contains_key(&addr) && !self.hostile.holds(addr.ip()) {
                break addr;
            }
        };
        let several = if self.options.guarded { 1 } else { usize::MAX };
        let config =
            Config { v6: false, nodes_per_ip: several, nodes_per_subnet: several, ..Config::default() };
        let node = Node::new(config, self.rng.u64(..), self.now);
        let (least, most) = self.options.round_trip;
        let delay = least / 4 + (most.saturating_sub(least) / 4).mul_f64(self.rng.f64());
        Slot { node, addr, delay, armed: Time::MAX }
    }

    /// A node that has just come knows some others.
    fn greet_network(&mut self, at: usize) {
        self.places.insert(self.nodes[at].addr, Place::Honest(at));
        let others = (0..KNOWN).map(|_| self.rng.usize(0..self.nodes.len())).filter(|other| *other != at);
        let addrs: Vec<SocketAddr> = others.map(|other| self.nodes[other].addr).collect();
        self.input(at, Input::Nodes { addrs: &addrs });
    }

    /// A hostile node makes itself known.
    fn greet_victims(&mut self, at: usize) {
        let (near, others) = GREETED;
        let target = self.hostile.target;
        let mut nodes: Vec<&Slot> = self.nodes.iter().collect();
        nodes.sort_by_cached_key(|slot| slot.node.id(dht::Family::V4).map(|id| id.distance(&target)));
        let near = nodes.iter().take(near).map(|slot| slot.addr);
        let others = (0..others).map(|_| nodes[self.rng.usize(0..nodes.len())].addr);
        let victims: Vec<SocketAddr> = near.chain(others).collect();
        let node = self.hostile.nodes()[at];
        let greeting = self.hostile.greeting(&node);
        victims.into_iter().for_each(|to| self.send(node.addr, to, greeting.clone()));
    }

    fn announce(&mut self, torrent: usize) {
        let at = self.rng.usize(0..self.nodes.len());
        let info_hash = self.torrents[torrent].info_hash;
        self.torrents[torrent].peer = Some(self.nodes[at].addr.ip());
        let command =
            Command::Announce { info_hash, ports: [PEER_PORT; 2], implied_port: false, seed: false };
        self.input(at, Input::Start { key: LookupKey(torrent as u64 * LOOKUPS_EACH), command });
    }

    fn look_up(&mut self, torrent: usize) {
        let at = self.rng.usize(0..self.nodes.len());
        let Torrent { info_hash, ref mut lookups, .. } = self.torrents[torrent];
        lookups.push(Lookup { started: self.now, found: false, done: None });
        let key = LookupKey(torrent as u64 * LOOKUPS_EACH + lookups.len() as u64);
        self.input(at, Input::Start { key, command: Command::GetPeers { info_hash, noseed: false } });
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        match self.places.get(&to) {
            Some(&Place::Honest(at)) => self.input(at, Input::Datagram { from, bytes }),
            Some(&Place::Hostile(at)) => {
                if let Some(answer) = self.hostile.answer(at, bytes, &mut self.rng) {
                    self.send(to, from, answer);
                }
            }
            None => {}
        }
    }

    fn wake(&mut self, at: usize) {
        let slot = &mut self.nodes[at];
        // A wake-up of who was here before, or one that came too late to matter.
        if slot.armed != self.now {
            return;
        }
        slot.armed = Time::MAX;
        slot.node.handle_timeout(self.now);
        self.outputs(at);
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        self.nodes[at].node.handle(self.now, input);
        self.outputs(at);
    }

    fn outputs(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].node.poll_output() {
            match output {
                Output::Send { to, bytes } => self.send(self.nodes[at].addr, to, bytes),
                Output::Lookup { key, event } => self.told(key, event),
                Output::ExternalAddress { ip } => assert_eq!(ip, self.nodes[at].addr.ip(), "a wrong address"),
                Output::Exchange(_) => {}
            }
        }
        let slot = &mut self.nodes[at];
        let next = slot.node.poll_timeout();
        assert!(next > self.now, "node {at} does not come to rest");
        if next < slot.armed {
            slot.armed = next;
            self.queue.put(next, Event::Wake(at));
        }
        if self.queue.count().is_multiple_of(CHECK_EVERY) {
            slot.node.check_invariants();
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.datagrams += 1;
        self.digest.write_u64(self.now.as_nanos());
        self.digest.write(&bytes);
        if self.rng.u32(0..1000) >= self.options.loss_permille {
            let delay = self.delay_of(&from) + self.delay_of(&to);
            self.queue.put(self.now + delay, Event::Datagram { from, to, bytes });
        }
    }

    fn delay_of(&self, addr: &SocketAddr) -> Duration {
        match self.places.get(addr) {
            Some(&Place::Honest(at)) => self.nodes[at].delay,
            // The quickest of all.
            _ => self.options.round_trip.0 / 4,
        }
    }

    fn told(&mut self, key: LookupKey, event: LookupEvent) {
        let torrent = usize::try_from(key.0 / LOOKUPS_EACH).unwrap_or(usize::MAX);
        let torrent = &mut self.torrents[torrent];
        let lookup = usize::try_from(key.0 % LOOKUPS_EACH).unwrap_or(0).checked_sub(1);
        match (event, lookup) {
            (LookupEvent::Peers { peers, .. }, Some(at)) => {
                let peer = torrent.peer.map(|ip| SocketAddr::new(ip, PEER_PORT));
                torrent.lookups[at].found |= peers.iter().any(|found| Some(*found) == peer);
            }
            (LookupEvent::Done(outcome), Some(at)) => torrent.lookups[at].done = Some((self.now, outcome)),
            (LookupEvent::Done(outcome), None) => torrent.stored = outcome.stored,
            _ => {}
        }
    }

    fn report(&self) -> DhtReport {
        // Whoever looked up and went before it was done has no outcome.
        let done = |torrents: &'_ [Torrent]| -> Vec<(f64, bool, Outcome)> {
            let lookups = torrents.iter().flat_map(|torrent| &torrent.lookups);
            let done = lookups.filter_map(|lookup| {
                let (at, outcome) = lookup.done.as_ref()?;
                Some((at.since(lookup.started).as_secs_f64(), lookup.found, outcome.clone()))
            });
            done.collect()
        };
        let share = |lookups: &[(f64, bool, Outcome)]| {
            as_f64(lookups.iter().filter(|(_, found, _)| *found).count()) / as_f64(lookups.len().max(1))
        };
        let (target, others) = (done(&self.torrents[..1]), done(&self.torrents[1..]));
        let of = |what: &dyn Fn(&(f64, bool, Outcome)) -> f64, part| {
            quantile(others.iter().map(what).collect(), part)
        };
        let hostile = target.iter().flat_map(|(_, _, outcome)| &outcome.closest);
        let hostile = hostile.filter(|contact| self.hostile.holds(contact.addr.ip())).count();
        let virtual_secs = self.now.since(Time::ZERO).as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // a count of datagrams
        let datagrams = self.datagrams as f64;
        DhtReport {
            seed: self.seed,
            nodes: self.options.nodes,
            hostile: self.options.hostile,
            log2_nodes: as_f64(self.options.nodes).log2(),
            lookups: others.len(),
            found: share(&others),
            hops: of(&|(_, _, outcome)| f64::from(outcome.hops), 0.5),
            queries: of(&|(_, _, outcome)| as_f64(outcome.queries), 0.5),
            queries_p95: of(&|(_, _, outcome)| as_f64(outcome.queries), 0.95),
            secs: of(&|(secs, _, _)| *secs, 0.5),
            secs_p95: of(&|(secs, _, _)| *secs, 0.95),
            stored: quantile(self.torrents.iter().map(|torrent| as_f64(torrent.stored)).collect(), 0.5),
            target_lookups: target.len(),
            target_found: share(&target),
            target_hostile: as_f64(hostile) / as_f64(target.len().max(1)),
            replaced: self.replaced,
            datagrams: self.datagrams,
            datagrams_per_node_sec: datagrams / virtual_secs / as_f64(self.options.nodes),
            virtual_secs,
            real_secs: 0.0,
            digest: format!("{:016x}", self.digest.finish()),
        }
    }
}

/// An address of the Internet.
fn random_ip(rng: &mut Rng) -> IpAddr {
    loop {
        let ip = IpAddr::from(Ipv4Addr::from(rng.u32(0x0100_0000..0xdfff_ffff)));
        if !is_local(ip) {
            return ip;
        }
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
