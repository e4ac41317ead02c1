//! Nodes that talk to each other in virtual time.

use super::*;
use crate::{Config, Exchange, Input, LookupEvent, LookupKey, Node, Outcome, Output};
use alloc::collections::{BTreeMap, VecDeque};
use core::net::IpAddr;

/// Where the node of this number is: each in a network of its own.
pub(super) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([80, 2, u8::try_from(n).unwrap(), 1], 6881))
}

pub(super) fn addr6(n: usize) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, u16::try_from(n).unwrap(), 0, 0, 0, 0, 1], 6881))
}

pub(super) struct Network {
    pub(super) now: Time,
    /// How long a datagram takes; not to be made shorter.
    pub(super) delay: Duration,
    nodes: Vec<Option<Node>>,
    places: BTreeMap<SocketAddr, usize>,
    /// When it comes in, from whom, to whom, what.
    datagrams: VecDeque<(Time, SocketAddr, SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<(usize, LookupKey, LookupEvent)>,
    pub(super) external: Vec<Option<IpAddr>>,
    pub(super) exchanges: Vec<(usize, Exchange)>,
    next_key: u64,
    seed: u64,
}

impl Network {
    /// So many nodes that know the first one, and have found each other.
    pub(super) fn of(count: usize, seed: u64) -> Network {
        Network::new(count, seed, &Config { v6: false, ..Config::default() }, |n| [addr(n)].into())
    }

    /// The same in both families.
    pub(super) fn dual(count: usize, seed: u64) -> Network {
        Network::new(count, seed, &Config::default(), |n| [addr(n), addr6(n)].into())
    }

    fn new(count: usize, seed: u64, config: &Config, places: impl Fn(usize) -> Vec<SocketAddr>) -> Network {
        let mut network = Network {
            now: Time::from_secs(1000),
            delay: Duration::from_millis(20),
            nodes: Vec::new(),
            places: BTreeMap::new(),
            datagrams: VecDeque::new(),
            events: Vec::new(),
            external: Vec::new(),
            exchanges: Vec::new(),
            next_key: 1 << 32,
            seed,
        };
        for n in 0..count {
            network.nodes.push(None);
            network.external.push(None);
            places(n).into_iter().for_each(|place| _ = network.places.insert(place, n));
            let known = if n == 0 { Vec::new() } else { places(0) };
            network.replace(n, config.clone(), &known);
            network.pass(Duration::from_millis(200));
        }
        network.pass(Duration::from_secs(60));
        network
    }

    /// Puts another node in the place of this one; it knows these.
    pub(super) fn replace(&mut self, n: usize, config: Config, known: &[SocketAddr]) {
        self.nodes[n] = Some(Node::new(config, self.seed * 1000 + n as u64, self.now));
        self.input(n, Input::Nodes { addrs: known });
    }

    pub(super) fn kill(&mut self, n: usize) {
        self.nodes[n] = None;
    }

    pub(super) fn lose_what_is_under_way(&mut self) {
        self.datagrams.clear();
    }

    pub(super) fn node(&self, n: usize) -> &Node {
        self.nodes[n].as_ref().unwrap()
    }

    pub(super) fn node_mut(&mut self, n: usize) -> &mut Node {
        self.nodes[n].as_mut().unwrap()
    }

    pub(super) fn input(&mut self, n: usize, input: Input<'_>) {
        let now = self.now;
        self.node_mut(n).handle(now, input);
        self.outputs(n);
    }

    fn outputs(&mut self, n: usize) {
        let Some(node) = &mut self.nodes[n] else { return };
        node.check_invariants();
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    assert!(bytes.len() <= limits::MAX_ITEM_ANSWER_LEN);
                    let from = if to.is_ipv4() { addr(n) } else { addr6(n) };
                    self.datagrams.push_back((self.now + self.delay, from, to, bytes));
                }
                Output::Lookup { key, event } => self.events.push((n, key, event)),
                Output::ExternalAddress { ip } => self.external[n] = Some(ip),
                Output::Exchange(exchange) => self.exchanges.push((n, exchange)),
            }
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.run_until(self.now + time, |_| false);
    }

    fn run_until(&mut self, end: Time, stop: impl Fn(&Network) -> bool) {
        while !stop(self) {
            let arrival = self.datagrams.front().map_or(Time::MAX, |(at, ..)| *at);
            let timeouts = self.nodes.iter().map(|node| node.as_ref().map_or(Time::MAX, Node::poll_timeout));
            let (n, timeout) = timeouts.enumerate().min_by_key(|(_, at)| *at).unwrap();
            if arrival.min(timeout) > end {
                self.now = end;
                return;
            }
            if arrival <= timeout {
                let (at, from, to, bytes) = self.datagrams.pop_front().unwrap();
                self.now = at;
                if let Some(&n) = self.places.get(&to)
                    && self.nodes[n].is_some()
                {
                    self.input(n, Input::Datagram { from, bytes: &bytes });
                }
            } else {
                assert!(timeout > self.now || self.nodes[n].is_some());
                self.now = self.now.max(timeout);
                let now = self.now;
                self.node_mut(n).handle_timeout(now);
                assert!(self.node(n).poll_timeout() > now, "node {n} does not come to rest");
                self.outputs(n);
            }
        }
    }

    /// Runs a lookup to its end: what it told, and what came of it.
    pub(super) fn run_lookup(&mut self, n: usize, command: Command) -> (Vec<LookupEvent>, Outcome) {
        self.next_key += 1;
        let key = LookupKey(self.next_key);
        self.events.clear();
        self.input(n, Input::Start { key, command });
        let is_done = |network: &Network| matches!(network.events.last(), Some((_, k, LookupEvent::Done(_))) if *k == key);
        self.run_until(self.now + Duration::from_secs(120), is_done);
        let mut events: Vec<LookupEvent> = self.events.drain(..).map(|(_, _, event)| event).collect();
        let Some(LookupEvent::Done(outcome)) = events.pop() else { panic!("it does not end") };
        (events, outcome)
    }

    /// The ids of the live nodes closest to a target, without this one.
    pub(super) fn closest(&self, target: &NodeId, without: usize) -> Vec<NodeId> {
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != without);
        let mut ids: Vec<NodeId> = others.filter_map(|(_, node)| node.as_ref()?.id(Family::V4)).collect();
        ids.sort_by_key(|id| id.distance(target));
        ids.truncate(K);
        ids
    }
}
