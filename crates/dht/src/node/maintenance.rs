//! How a node fills its tables, keeps them fresh, and learns its address.

use super::Node;
use crate::addr::{Family, may_send};
use crate::event::{Command, Output};
use crate::limits::{
    BOOTSTRAP_RETRY_MAX, BOOTSTRAP_RETRY_MIN, ENOUGH_NODES, MAX_NAMED_NODES, MAX_SAVED_ASKED, MIN_ID_AGE,
    PINGS_PER_TICK, TICK,
};
use crate::secure::{id_for, is_valid_id};
use crate::table::Table;
use core::net::SocketAddr;
use core::time::Duration;
use types::Time;

/// How often what others stored here is looked through for what has expired.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How one table gets filled.
#[derive(Debug)]
pub(super) struct Bootstrap {
    /// The lookup that does it.
    running: Option<u64>,
    /// It was done once, since the start or since our id changed.
    is_done: bool,
    next: Time,
    wait: Duration,
}

impl Bootstrap {
    pub(super) fn new(now: Time) -> Bootstrap {
        Bootstrap { running: None, is_done: false, next: now, wait: BOOTSTRAP_RETRY_MIN }
    }

    /// Whether this lookup fills the table.
    pub(super) fn is_done_by(&self, lookup: u64) -> bool {
        self.running == Some(lookup)
    }

    /// Tries at once.
    pub(super) fn hasten(&mut self, now: Time) {
        (self.next, self.wait) = (now, BOOTSTRAP_RETRY_MIN);
    }

    /// Whether the table has so few good nodes that bootstrap nodes are to be asked.
    pub(super) fn is_needed(&self, table: &Table, now: Time) -> bool {
        table.counts(now).0 < ENOUGH_NODES
    }
}

impl Node {
    /// Nodes that the owner knows of: where to begin if the table is empty, and to be asked in any case.
    pub(super) fn on_nodes(&mut self, now: Time, addrs: &[SocketAddr]) {
        for addr in addrs.iter().filter(|addr| may_send(addr, None)) {
            if let Some(side) = self.side_mut(Family::of(addr)) {
                let named = side.starters.iter().filter(|(id, _)| id.is_none()).count();
                let is_known = side.starters.iter().any(|(_, known)| known == addr);
                if named < MAX_NAMED_NODES && !is_known {
                    side.starters.push_back((None, *addr));
                }
                if side.bootstrap.is_needed(&side.table, now) {
                    side.bootstrap.hasten(now);
                    self.next_tick = now;
                    self.tell_lookups(*addr);
                }
            }
        }
    }

    /// What is done every few seconds.
    pub(super) fn tick(&mut self, now: Time) {
        self.next_tick = now + TICK;
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_INTERVAL;
            self.peers.expire(now);
            self.items.expire(now);
        }
        for family in Family::BOTH {
            self.fill(now, family);
            self.keep_fresh(now, family);
        }
    }

    /// Looks for the nodes around us, if that was not done yet or hardly anybody is left (BEP 5).
    fn fill(&mut self, now: Time, family: Family) {
        let Some(side) = self.families[family.index()].as_ref() else { return };
        let Bootstrap { running, is_done, next, .. } = side.bootstrap;
        let is_due =
            running.is_none() && now >= next && (!is_done || side.bootstrap.is_needed(&side.table, now));
        let of_family = |addr: &&SocketAddr| Family::of(addr) == family;
        let has_start = !side.starters.is_empty()
            || side.table.counts(now).1 > 0
            || self.config.bootstrap.iter().any(|addr| of_family(&addr));
        if is_due && has_start {
            let target = side.table.own();
            let running = self.begin(now, None, Command::FindNode { target });
            if let Some(side) = self.side_mut(family) {
                side.bootstrap.running = running;
                // If this is in vain, the next one is to begin with others.
                let asked = side.starters.len().min(MAX_SAVED_ASKED);
                side.starters.rotate_left(asked);
            }
        }
    }

    /// A lookup of the node itself is over.
    pub(super) fn filled(&mut self, now: Time, id: u64) {
        for side in self.families.iter_mut().flatten() {
            let bootstrap = &mut side.bootstrap;
            if bootstrap.running == Some(id) {
                bootstrap.running = None;
                bootstrap.is_done = !bootstrap.is_needed(&side.table, now);
                bootstrap.next = now + bootstrap.wait;
                let doubled = (bootstrap.wait * 2).min(BOOTSTRAP_RETRY_MAX);
                bootstrap.wait = if bootstrap.is_done { BOOTSTRAP_RETRY_MIN } else { doubled };
            }
        }
    }

    /// Asks nodes that were silent for long whether they are there, and looks into buckets in which nothing happens.
    fn keep_fresh(&mut self, now: Time, family: Family) {
        let Node { families, rng, .. } = self;
        let Some(side) = families[family.index()].as_mut() else { return };
        let due = side.table.due(now, PINGS_PER_TICK);
        let starters = side.starters.len().min(PINGS_PER_TICK);
        let has_nodes = side.table.counts(now).1 > 0;
        let starters: alloc::vec::Vec<_> =
            if has_nodes { side.starters.drain(..starters).collect() } else { Default::default() };
        let stale = if has_nodes { side.table.stale(now, rng) } else { None };
        due.iter().for_each(|contact| self.queue_ping(contact.addr));
        starters.into_iter().for_each(|(_, addr)| self.queue_ping(addr));
        if let Some(target) = stale {
            self.begin(now, None, Command::FindNode { target });
        }
    }

    /// Somebody says under which address it sees us. If enough do, we take an id that fits it (BEP 42).
    pub(super) fn take_vote(&mut self, now: Time, from: SocketAddr, ip: Option<SocketAddr>) {
        let family = Family::of(&from);
        let Some(ip) = ip.filter(|ip| Family::of(ip) == family).map(|addr| addr.ip()) else { return };
        let Some(side) = self.families[family.index()].as_mut() else { return };
        if side.external.vote(from.ip(), ip).is_some() {
            self.outputs.push_back(Output::ExternalAddress { ip });
        }
        // Looked at with every voice: an address may have been found out before the id was old enough.
        let Some(ip) = side.external.ip() else { return };
        let is_old = side.id_since.is_none_or(|since| now.since(since) >= MIN_ID_AGE);
        if is_old && !is_valid_id(&side.table.own(), ip) {
            let own = id_for(ip, &mut self.rng);
            side.table.set_own(now, own);
            side.id_since = Some(now);
            side.bootstrap = Bootstrap::new(now);
            if family == Family::V4 || self.families[Family::V4.index()].is_none() {
                self.peers.set_own(own);
                self.items.set_own(own);
            }
        }
    }
}
