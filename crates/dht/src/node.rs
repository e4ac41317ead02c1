//! One node: the parts, and how a datagram goes through them.

mod client;
mod heard;
mod maintenance;
mod saved;
mod server;

use crate::addr::{Contact, Family, may_send};
use crate::event::{Input, LookupEvent, LookupKey, Output, Stats};
use crate::external::External;
use crate::items::Items;
use crate::krpc::{self, Body, Packet};
use crate::limits::{MAX_LOOKUPS, MAX_NAMED_NODES, MAX_PINGS, MAX_QUERIES, MAX_STARTERS};
use crate::lookup::Lookup;
use crate::peers::Peers;
use crate::rate::{Rate, Sources};
use crate::secure::id_for;
use crate::table::{Rules, Status, Table};
use crate::token::Tokens;
use crate::{Config, NodeId};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use client::Query;
use core::net::SocketAddr;
use fastrand::Rng;
use maintenance::Bootstrap;
pub use saved::SavedError;
use types::Time;

/// One node of the DHT: a server to others, and lookups for its owner.
#[derive(Debug)]
pub struct Node {
    config: Config,
    rng: Rng,
    families: [Option<Side>; 2],
    /// What is kept for others.
    tokens: Tokens,
    peers: Peers,
    items: Items,
    sources: Sources,
    answer_rate: Rate,
    /// What we asked, by transaction id.
    queries: BTreeMap<u32, Query>,
    /// When something is to be done about a query; each has one.
    deadlines: BTreeSet<(Time, u32)>,
    query_rate: Rate,
    /// Nodes that are to be asked whether they are there.
    pings: VecDeque<SocketAddr>,
    lookups: BTreeMap<u64, Lookup>,
    next_lookup: u64,
    /// Lookups that may have something to do.
    ready: VecDeque<u64>,
    next_tick: Time,
    next_sweep: Time,
    outputs: VecDeque<Output>,
    /// Whether queries are told.
    is_heard: bool,
    stats: Stats,
}

/// What there is of each family.
#[derive(Debug)]
struct Side {
    table: Table,
    external: External,
    /// Since when we have our id; `None`: it was not chosen for an address yet.
    id_since: Option<Time>,
    bootstrap: Bootstrap,
    /// Nodes that may be there: saved ones, and those that the owner named, without an id.
    starters: VecDeque<(Option<NodeId>, SocketAddr)>,
}

impl Node {
    /// A node without anybody in its tables; `seed` is of everything that is random, tokens among it, so it must be hard
    /// to guess.
    pub fn new(config: Config, seed: u64, now: Time) -> Node {
        // Others see numbers that the generator makes, and could tell its seed; the tokens' key they must not be able to.
        let derive = |what: &[u8]| hash::sha1(&[what, &seed.to_be_bytes()].concat());
        let [a, b, c, d, e, f, g, h, ..] = derive(b"random");
        let mut rng = Rng::with_seed(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let families = Family::BOTH.map(|family| {
            let is_on = if family == Family::V4 { config.v4 } else { config.v6 };
            is_on.then(|| Side::new(&config, family, &mut rng, now))
        });
        let own = families.iter().flatten().next().map_or(NodeId([0; 20]), |side| side.table.own());
        Node {
            families,
            tokens: Tokens::new(derive(b"tokens"), now),
            peers: Peers::new(own),
            items: Items::new(own),
            sources: Sources::new(derive(b"sources")),
            answer_rate: Rate::new(config.answers_per_sec),
            queries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            query_rate: Rate::new(config.queries_per_sec),
            pings: VecDeque::new(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            ready: VecDeque::new(),
            next_tick: now,
            next_sweep: now,
            outputs: VecDeque::new(),
            is_heard: false,
            stats: Stats::default(),
            config,
            rng,
        }
    }

    /// Other bootstrap nodes than before ([`Config::bootstrap`]), for when they are known by name and names take time.
    pub fn set_bootstrap(&mut self, now: Time, addrs: Vec<SocketAddr>) {
        self.config.bootstrap = addrs;
        self.config.bootstrap.retain(|addr| may_send(addr, None));
        for family in Family::BOTH {
            let Some(side) = self.side_mut(family) else { continue };
            side.bootstrap.hasten(now);
            if side.bootstrap.is_needed(&side.table, now) {
                let addrs = self.config.bootstrap.iter().filter(|addr| Family::of(addr) == family);
                let addrs: Vec<SocketAddr> = addrs.copied().collect();
                addrs.into_iter().for_each(|addr| self.tell_lookups(addr));
            }
        }
        self.next_tick = now;
        self.handle_timeout(now);
    }

    /// Takes in what happened, then does what is due.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Datagram { from, bytes } => self.on_datagram(now, from, bytes),
            Input::Nodes { addrs } => self.on_nodes(now, addrs),
            Input::Start { key, command } => self.start(now, key, command),
            Input::Cancel { key } => self.lookups.retain(|_, lookup| lookup.key != Some(key)),
        }
        self.handle_timeout(now);
    }

    /// Does what is due at this time.
    pub fn handle_timeout(&mut self, now: Time) {
        self.expire_queries(now);
        if now >= self.next_tick {
            self.tick(now);
        }
        self.send_queries(now);
    }

    /// The next thing to be done, if there is one now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Node::handle_timeout`] is to be called if nothing happens before.
    pub fn poll_timeout(&self) -> Time {
        let deadline = self.deadlines.first().map_or(Time::MAX, |(at, _)| *at);
        let may_send = self.queries.len() < MAX_QUERIES;
        let waits = may_send && !(self.ready.is_empty() && self.pings.is_empty());
        let turn = if waits { self.query_rate.ready_at() } else { Time::MAX };
        deadline.min(turn).min(self.next_tick)
    }

    /// Our id in a family, if we take part in it. It changes when others see us under another address (BEP 42).
    pub fn id(&self, family: Family) -> Option<NodeId> {
        self.side(family).map(|side| side.table.own())
    }

    /// The nodes in the table of a family.
    pub fn nodes(&self, family: Family, now: Time) -> impl Iterator<Item = (Contact, Status)> {
        self.side(family).into_iter().flat_map(move |side| side.table.nodes(now))
    }

    /// The node in numbers.
    pub fn stats(&self, now: Time) -> Stats {
        let (torrents, peers) = self.peers.len();
        let nodes = [0, 1].map(|at| self.families[at].as_ref().map_or((0, 0), |side| side.table.counts(now)));
        Stats { nodes, torrents, peers, items: self.items.len(), ..self.stats }
    }

    fn on_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        if self.side(Family::of(&from)).is_none() || !may_send(&from, None) {
            return;
        }
        let Ok(document) = krpc::decode(bytes) else { return };
        match krpc::parse(&document) {
            Ok(Packet { body: Body::Query(query), transaction, .. }) => {
                self.on_query(now, from, transaction, &query);
            }
            Ok(Packet { body: Body::Response(response), transaction, ip, .. }) => {
                self.on_response(now, from, transaction, ip, &response);
            }
            Ok(Packet { body: Body::Error { code, text }, transaction, .. }) => {
                self.on_error(now, from, transaction, code, text);
            }
            Err(malformed) => self.on_malformed(now, from, &malformed),
        }
    }

    fn side(&self, family: Family) -> Option<&Side> {
        self.families[family.index()].as_ref()
    }

    fn side_mut(&mut self, family: Family) -> Option<&mut Side> {
        self.families[family.index()].as_mut()
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send { to, bytes });
    }

    fn tell(&mut self, key: Option<LookupKey>, event: LookupEvent) {
        if let Some(key) = key {
            self.outputs.push_back(Output::Lookup { key, event });
        }
    }

    /// Panics if the node contradicts itself: for simulators and fuzzers.
    pub fn check_invariants(&self) {
        for side in self.families.iter().flatten() {
            side.table.check_invariants();
            side.external.check_invariants();
            assert!(side.starters.len() <= MAX_STARTERS + MAX_NAMED_NODES);
        }
        self.peers.check_invariants();
        self.items.check_invariants();
        self.sources.check_invariants();
        assert!(self.queries.len() <= MAX_QUERIES, "{} queries", self.queries.len());
        assert!(self.pings.len() <= MAX_PINGS && self.lookups.len() <= MAX_LOOKUPS);
        let timed: BTreeSet<u32> = self.deadlines.iter().map(|(_, transaction)| *transaction).collect();
        assert!(timed.iter().eq(self.queries.keys()), "each query has a deadline");
        assert_eq!(timed.len(), self.deadlines.len(), "each query has one deadline");
        for (id, lookup) in &self.lookups {
            lookup.check_invariants();
            assert_eq!(lookup.is_queued, self.ready.contains(id), "lookup {id} is queued");
            let waits_for = self.queries.values().any(|query| query.is_of(*id));
            assert!(lookup.is_queued || waits_for, "lookup {id} waits for nothing");
        }
    }
}

impl Side {
    fn new(config: &Config, family: Family, rng: &mut Rng, now: Time) -> Side {
        let rules = Rules {
            family,
            per_ip: config.nodes_per_ip,
            per_subnet: config.nodes_per_subnet,
            enforce_ids: config.enforce_ids,
        };
        let known = config.external.iter().copied().find(|ip| ip.is_ipv4() == (family == Family::V4));
        let id = match known {
            Some(ip) => id_for(ip, rng),
            None => NodeId::random(rng),
        };
        Side {
            table: Table::new(id, rules, now),
            external: External::new(known),
            id_since: known.map(|_| now),
            bootstrap: Bootstrap::new(now),
            starters: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests;
