//! The routing table of one family (BEP 5): buckets of nodes that have answered, the closer to us the finer.
//!
//! Bucket *i* holds nodes whose ids have exactly *i* leading bits in common with ours; the last one holds all that
//! have more, and is the only one that is split. The one before it has twice as many places as others, so that we know
//! everybody around us (Kademlia's paper splits there, too): with three nodes in the last bucket, five more of the eight
//! closest to us are in the one before it. A node in it is **good** (it answered within 15 minutes, or once and
//! has asked since), **questionable** (it is to be asked), or **bad** (it failed twice in a row: its place goes to the
//! first that wants it). Who comes to a full bucket waits as a replacement.
//!
//! Only nodes that have answered us get in: an address that others name, or that a query claims to come from, proves
//! nothing.

use crate::addr::{Contact, Family, is_local, may_tell, subnet};
use crate::limits::{K, MAX_FAILURES, QUESTIONABLE_AFTER, RECHECK_AFTER, REPLACEMENTS};
use crate::secure::is_valid_id;
use crate::{Distance, NodeId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use fastrand::Rng;
use types::Time;

#[derive(Debug)]
pub(crate) struct Table {
    own: NodeId,
    rules: Rules,
    buckets: Vec<Bucket>,
    /// Every node in the buckets, replacements too.
    index: BTreeMap<SocketAddr, NodeId>,
}

/// Who may be in a table. Local addresses are exempt from all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) family: Family,
    /// Nodes of one address, at most, in the table.
    pub(crate) per_ip: usize,
    /// Nodes of one neighbourhood, at most, in a bucket and its replacements.
    pub(crate) per_subnet: usize,
    /// Ids must fit their addresses (BEP 42).
    pub(crate) enforce_ids: bool,
}

#[derive(Debug)]
struct Bucket {
    nodes: Vec<Node>,
    /// Who heard of last stands last.
    replacements: Vec<Node>,
    changed: Time,
}

#[derive(Clone, Debug)]
struct Node {
    contact: Contact,
    answered: Time,
    heard: Time,
    asked: Option<Time>,
    failures: u8,
}

/// How much a node is worth (BEP 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It answers.
    Good,
    /// It was not heard of for a while, or failed once.
    Questionable,
    /// It failed twice in a row.
    Bad,
}

impl Node {
    fn status(&self, now: Time) -> Status {
        match self.failures {
            0 if now.since(self.heard.max(self.answered)) < QUESTIONABLE_AFTER => Status::Good,
            n if n >= MAX_FAILURES => Status::Bad,
            _ => Status::Questionable,
        }
    }

    /// Whether it is to be asked if it is still there.
    fn is_due(&self, now: Time) -> bool {
        let pause = match self.status(now) {
            Status::Good => return false,
            Status::Questionable => RECHECK_AFTER,
            Status::Bad => QUESTIONABLE_AFTER,
        };
        self.asked.is_none_or(|asked| now.since(asked) >= pause)
    }
}

impl Bucket {
    fn new(now: Time) -> Bucket {
        Bucket { nodes: Vec::new(), replacements: Vec::new(), changed: now }
    }

    fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.replacements)
    }
}

impl Table {
    pub(crate) fn new(own: NodeId, rules: Rules, now: Time) -> Table {
        Table { own, rules, buckets: [Bucket::new(now)].into(), index: BTreeMap::new() }
    }

    /// Our id in this family.
    pub(crate) fn own(&self) -> NodeId {
        self.own
    }

    /// A node answered, under this id: it gets in if there is room.
    pub(crate) fn answered(&mut self, now: Time, contact: Contact) {
        if !self.refresh(now, &contact) {
            self.insert(now, Node { contact, answered: now, heard: now, asked: None, failures: 0 });
        }
    }

    /// Puts in a node that is not there, if it may be and there is room.
    fn insert(&mut self, now: Time, node: Node) {
        let contact = node.contact;
        if !self.is_eligible(&contact) {
            return;
        }
        self.index.insert(contact.addr, contact.id);
        let at = loop {
            let at = self.bucket_of(&contact.id);
            if self.has_room(at) || !self.split(at, now) {
                break at;
            }
        };
        let has_room = self.has_room(at);
        let bucket = &mut self.buckets[at];
        if has_room {
            bucket.nodes.push(node);
        } else if let Some(bad) = bucket.nodes.iter_mut().find(|node| node.status(now) == Status::Bad) {
            self.index.remove(&bad.contact.addr);
            *bad = node;
        } else {
            if bucket.replacements.len() >= REPLACEMENTS {
                self.index.remove(&bucket.replacements.remove(0).contact.addr);
            }
            bucket.replacements.push(node);
            return;
        }
        bucket.changed = now;
    }

    /// What is known of a node that answered is brought up to date; `false` if it is to be put in.
    fn refresh(&mut self, now: Time, contact: &Contact) -> bool {
        let known = self.index.get(&contact.addr).copied();
        if known == Some(contact.id) {
            let at = self.bucket_of(&contact.id);
            let bucket = &mut self.buckets[at];
            if let Some(node) = bucket.nodes.iter_mut().find(|node| node.contact == *contact) {
                (node.answered, node.failures) = (now, 0);
                bucket.changed = now;
            } else if let Some(place) = bucket.replacements.iter().position(|node| node.contact == *contact) {
                let mut node = bucket.replacements.remove(place);
                (node.answered, node.failures) = (now, 0);
                bucket.replacements.push(node);
            }
            return true;
        }
        // It has another id now, as after a restart.
        if known.is_some() {
            self.remove(&contact.addr);
        }
        // The same id at two addresses: who had it first keeps it, unless it is gone.
        let at = self.bucket_of(&contact.id);
        let holder = self.buckets[at].all().find(|node| node.contact.id == contact.id);
        match holder.map(|node| (node.contact.addr, node.status(now))) {
            None => false,
            Some((_, Status::Good)) => true,
            Some((addr, _)) => {
                self.remove(&addr);
                false
            }
        }
    }

    /// A node asked us something. `true` if its answer would change the table: it would get in, or has another id now.
    pub(crate) fn heard(&mut self, now: Time, contact: &Contact) -> bool {
        if let Some(id) = self.index.get(&contact.addr) {
            if *id != contact.id {
                return true;
            }
            let at = self.bucket_of(&contact.id);
            let bucket = &mut self.buckets[at];
            let all = bucket.nodes.iter_mut().chain(&mut bucket.replacements);
            all.filter(|node| node.contact == *contact).for_each(|node| node.heard = now);
            return false;
        }
        self.wants(now, contact)
    }

    /// Whether a node that is not in the table would get into a bucket if it answered.
    pub(crate) fn wants(&self, now: Time, contact: &Contact) -> bool {
        let at = self.bucket_of(&contact.id);
        let bucket = &self.buckets[at];
        let has_room = self.has_room(at)
            || at + 1 == self.buckets.len()
            || bucket.nodes.iter().any(|node| node.status(now) == Status::Bad);
        has_room
            && !self.index.contains_key(&contact.addr)
            && bucket.all().all(|node| node.contact.id != contact.id)
            && self.is_eligible(contact)
    }

    /// A node did not answer.
    pub(crate) fn failed(&mut self, now: Time, addr: &SocketAddr) {
        let Some(id) = self.index.get(addr) else { return };
        let at = self.bucket_of(id);
        let bucket = &mut self.buckets[at];
        let Some(node) = bucket.nodes.iter_mut().find(|node| node.contact.addr == *addr) else {
            self.remove(addr);
            return;
        };
        node.failures = node.failures.saturating_add(1);
        if node.failures >= MAX_FAILURES
            && let Some(replacement) = bucket.replacements.pop()
        {
            *node = replacement;
            bucket.changed = now;
            self.index.remove(addr);
        }
    }

    /// Questionable nodes, the longest silent first, that are to be asked now; they count as asked.
    pub(crate) fn due(&mut self, now: Time, count: usize) -> Vec<Contact> {
        let nodes = self.buckets.iter_mut().flat_map(|bucket| &mut bucket.nodes);
        let mut due: Vec<&mut Node> = nodes.filter(|node| node.is_due(now)).collect();
        due.sort_by_key(|node| (node.asked, node.heard.max(node.answered)));
        due.truncate(count);
        due.iter_mut().for_each(|node| node.asked = Some(now));
        due.iter().map(|node| node.contact).collect()
    }

    /// An id in a bucket in which nothing changed for long; it counts as changed.
    pub(crate) fn stale(&mut self, now: Time, rng: &mut Rng) -> Option<NodeId> {
        let last = self.buckets.len() - 1;
        let at = self.buckets.iter().position(|bucket| now.since(bucket.changed) >= QUESTIONABLE_AFTER)?;
        self.buckets[at].changed = now;
        Some(if at == last { self.own.random_within(at, rng) } else { self.own.random_at(at, rng) })
    }

    /// The nodes closest to a target that did not fail last time, and that the asker may be told of.
    pub(crate) fn closest(&self, target: &NodeId, count: usize, asker: &SocketAddr) -> Vec<Contact> {
        self.nearest(target, count, |node| node.failures == 0 && may_tell(&node.contact.addr, asker))
    }

    /// The nodes closest to a target to begin a lookup with: those that did not fail last time, and any if there are none.
    pub(crate) fn starters(&self, target: &NodeId, count: usize) -> Vec<Contact> {
        let good = self.nearest(target, count, |node| node.failures == 0);
        if good.is_empty() { self.nearest(target, count, |_| true) } else { good }
    }

    fn nearest(&self, target: &NodeId, count: usize, which: impl Fn(&Node) -> bool) -> Vec<Contact> {
        let mut found: Vec<(Distance, Contact)> = Vec::with_capacity(count + K);
        // Closest of all is the target's own bucket; then all behind it, which have less in common with the target than
        // that has; then the ones before it, each farther than the one behind.
        let at = self.bucket_of(target);
        let behind = at + 1..self.buckets.len();
        for stage in [at..at + 1, behind].into_iter().chain((0..at).rev().map(|at| at..at + 1)) {
            let start = found.len();
            let nodes =
                self.buckets[stage].iter().flat_map(|bucket| &bucket.nodes).filter(|node| which(node));
            found.extend(nodes.map(|node| (node.contact.id.distance(target), node.contact)));
            found[start..].sort_unstable();
            if found.len() >= count {
                break;
            }
        }
        found.into_iter().take(count).map(|(_, contact)| contact).collect()
    }

    /// How many nodes are good, and how many there are, replacements not counted.
    pub(crate) fn counts(&self, now: Time) -> (usize, usize) {
        self.nodes(now)
            .fold((0, 0), |(good, all), (_, status)| (good + usize::from(status == Status::Good), all + 1))
    }

    /// Every node, bucket by bucket, replacements not included.
    pub(crate) fn nodes(&self, now: Time) -> impl Iterator<Item = (Contact, Status)> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes).map(move |node| (node.contact, node.status(now)))
    }

    /// We have another id: everybody finds another place.
    pub(crate) fn set_own(&mut self, now: Time, own: NodeId) {
        let old = core::mem::replace(self, Table::new(own, self.rules, now));
        for node in
            old.buckets.into_iter().flat_map(|bucket| bucket.nodes.into_iter().chain(bucket.replacements))
        {
            self.insert(now, node);
        }
    }

    fn remove(&mut self, addr: &SocketAddr) {
        if let Some(id) = self.index.remove(addr) {
            let at = self.bucket_of(&id);
            let Bucket { nodes, replacements, .. } = &mut self.buckets[at];
            let before = nodes.len();
            nodes.retain(|node| node.contact.addr != *addr);
            replacements.retain(|node| node.contact.addr != *addr);
            if nodes.len() < before {
                nodes.extend(replacements.pop());
            }
        }
    }

    /// Splits the last bucket, if that is it and ids have more bits; `false` if not.
    fn split(&mut self, at: usize, now: Time) -> bool {
        if at + 1 != self.buckets.len() || self.buckets.len() >= crate::id::ID_BITS {
            return false;
        }
        let own = self.own;
        let old = &mut self.buckets[at];
        let mut new = Bucket::new(old.changed);
        let goes = |node: &Node| own.common_bits(&node.contact.id) > at;
        (new.nodes, old.nodes) = core::mem::take(&mut old.nodes).into_iter().partition(goes);
        (new.replacements, old.replacements) =
            core::mem::take(&mut old.replacements).into_iter().partition(goes);
        self.buckets.push(new);
        // Both have room now: as many places as the nodes and replacements of one.
        for bucket in &mut self.buckets[at..] {
            while bucket.nodes.len() < K
                && let Some(replacement) = bucket.replacements.pop()
            {
                bucket.nodes.push(replacement);
                bucket.changed = now;
            }
        }
        true
    }

    fn has_room(&self, at: usize) -> bool {
        let places = if at + 2 == self.buckets.len() { 2 * K } else { K };
        self.buckets[at].nodes.len() < places
    }

    fn bucket_of(&self, id: &NodeId) -> usize {
        self.own.common_bits(id).min(self.buckets.len() - 1)
    }

    /// Whether a node that is not in the table may be in it, as far as its id and address go.
    fn is_eligible(&self, contact: &Contact) -> bool {
        let ip = contact.addr.ip();
        let is_ours = contact.id == self.own;
        let is_of_family = Family::of(&contact.addr) == self.rules.family;
        if is_ours || !is_of_family || is_local(ip) {
            return is_of_family && !is_ours;
        }
        let of_ip = self.index.range(SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX)).count();
        let bucket = &self.buckets[self.bucket_of(&contact.id)];
        let neighbours = bucket.all().filter(|node| subnet(node.contact.addr.ip()) == subnet(ip)).count();
        of_ip < self.rules.per_ip
            && neighbours < self.rules.per_subnet
            && (!self.rules.enforce_ids || is_valid_id(&contact.id, ip))
    }

    pub(crate) fn check_invariants(&self) {
        let mut seen = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            let is_last = at + 1 == self.buckets.len();
            assert!(bucket.nodes.len() <= if is_last { K } else { 2 * K }, "bucket {at} is too full");
            assert!(bucket.replacements.len() <= REPLACEMENTS, "bucket {at} has too many replacements");
            assert!(bucket.replacements.is_empty() || bucket.nodes.len() >= K, "bucket {at} has room");
            for node in bucket.all() {
                let Contact { id, addr } = node.contact;
                assert_eq!(self.bucket_of(&id), at, "{id} is in the wrong bucket");
                assert_eq!(self.index.get(&addr), Some(&id), "{addr} is in the index");
                assert!(id != self.own, "we are in our own table");
                let near = bucket.all().filter(|other| subnet(other.contact.addr.ip()) == subnet(addr.ip()));
                assert!(is_local(addr.ip()) || near.count() <= self.rules.per_subnet, "too many near {addr}");
                assert_eq!(
                    bucket.all().filter(|other| other.contact.id == id).count(),
                    1,
                    "{id} is there once"
                );
                seen += 1;
            }
        }
        assert_eq!(seen, self.index.len(), "everybody is in the index");
    }
}

#[cfg(test)]
mod tests;
