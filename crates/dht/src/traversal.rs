//! The walk of a lookup through one family's DHT: from the nodes that we know to the ones closest to a target.
//!
//! A candidate is **new**, **asked** or **answered**; who fails is none any more. Of the closest new ones as many are
//! asked as may be in flight; who takes long makes room for another, and is waited for only as long as fewer than `k`
//! have answered. The walk is complete when the `k` closest have answered; if something is to be stored there, with a
//! token (BEP 33). Of one neighbourhood (a /24, a /56) a few are candidates, one is asked at a time, and one counts among
//! the closest: whoever owns a network does not own what is near a target.
//!
//! What others say of a node proves nothing, so it hides nothing either: of several ids that an address is said to have
//! the closest counts until the node itself answers.

use crate::addr::{Contact, Family, subnet};
use crate::limits::{ALPHA, K, MAX_CANDIDATES, MAX_CANDIDATES_PER_SUBNET, MAX_LOOKUP_QUERIES, MAX_TOKEN_LEN};
use crate::{Distance, Hop, NodeId};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub(crate) struct Traversal {
    pub(crate) family: Family,
    target: NodeId,
    per_subnet: usize,
    /// Something is to be stored: who gives no token does not count.
    needs_token: bool,
    /// By distance; who has no id yet stands last.
    candidates: Vec<Candidate>,
    /// Who was asked in vain, not to be asked again.
    failed: Vec<SocketAddr>,
    queries: usize,
}

#[derive(Debug)]
pub(crate) struct Candidate {
    addr: SocketAddr,
    subnet: Option<IpAddr>,
    id: Option<NodeId>,
    distance: Distance,
    depth: u8,
    state: State,
    /// With which something may be stored there.
    pub(crate) token: Option<Vec<u8>>,
    /// It has a version of the item that is looked up.
    pub(crate) has_item: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked { slow: bool },
    Answered,
}

/// What a walk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Ask(usize),
    Wait,
    Complete,
}

impl Candidate {
    pub(crate) fn hop(&self) -> Hop {
        let distance_bits = self.id.is_some().then(|| self.distance.bits());
        Hop { addr: self.addr, id: self.id, depth: self.depth, distance_bits }
    }

    fn is_asked_at(&self, addr: &SocketAddr) -> bool {
        self.addr == *addr && matches!(self.state, State::Asked { .. })
    }
}

impl Traversal {
    pub(crate) fn new(family: Family, target: NodeId, per_subnet: usize, needs_token: bool) -> Traversal {
        let (candidates, failed) = (Vec::new(), Vec::new());
        Traversal { family, target, per_subnet, needs_token, candidates, failed, queries: 0 }
    }

    /// A node that might be asked; `false` if it is known already or does not count.
    pub(crate) fn add(&mut self, id: Option<NodeId>, addr: SocketAddr, depth: u8) -> bool {
        if Family::of(&addr) != self.family || self.failed.contains(&addr) {
            return false;
        }
        let distance = id.map_or(Distance::UNKNOWN, |id| id.distance(&self.target));
        if let Some(at) = self.candidates.iter().position(|other| other.addr == addr) {
            if self.candidates[at].state == State::New && distance < self.candidates[at].distance {
                let known = self.candidates.remove(at);
                self.insert(Candidate { id, distance, ..known });
            }
            return false;
        }
        let subnet = subnet(addr.ip());
        if subnet.is_some() {
            let of_subnet = self.candidates.iter().filter(|other| other.subnet == subnet);
            if of_subnet.count() >= MAX_CANDIDATES_PER_SUBNET.saturating_mul(self.per_subnet) {
                let farther = |other: &Candidate| other.state == State::New && other.distance > distance;
                let Some(at) = self.candidates.iter().rposition(|c| c.subnet == subnet && farther(c)) else {
                    return false;
                };
                self.candidates.remove(at);
            }
        }
        let state = State::New;
        self.insert(Candidate { addr, subnet, id, distance, depth, state, token: None, has_item: false });
        if self.candidates.len() > MAX_CANDIDATES
            && let Some(at) = self.candidates.iter().rposition(|c| !matches!(c.state, State::Asked { .. }))
        {
            self.candidates.remove(at);
        }
        true
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.distance <= candidate.distance);
        self.candidates.insert(at, candidate);
    }

    /// What to do next. Who is to be asked counts as asked with [`Traversal::ask`].
    pub(crate) fn step(&self) -> Step {
        let in_flight = self.candidates.iter().filter(|c| c.state == State::Asked { slow: false }).count();
        let mut taken = Taken::new(self.per_subnet);
        let (mut answered, mut waits, mut may_come_late) = (0, false, false);
        for (at, candidate) in self.candidates.iter().enumerate() {
            match candidate.state {
                State::Asked { slow: true } => may_come_late = true,
                State::Answered if self.needs_token && candidate.token.is_none() => {}
                State::Answered => answered += usize::from(taken.take(candidate)),
                State::Asked { slow: false } => waits |= taken.take(candidate),
                State::New if !taken.has_room(candidate) || self.queries >= MAX_LOOKUP_QUERIES => {}
                State::New if in_flight < ALPHA => return Step::Ask(at),
                State::New => return Step::Wait,
            }
            if answered == K {
                break;
            }
        }
        if waits || may_come_late && answered < K { Step::Wait } else { Step::Complete }
    }

    /// The candidate is asked now: what it is called, and where.
    pub(crate) fn ask(&mut self, at: usize) -> Hop {
        self.candidates[at].state = State::Asked { slow: false };
        self.queries += 1;
        self.candidates[at].hop()
    }

    /// Who was asked is no longer waited for, but may still answer.
    pub(crate) fn slow(&mut self, addr: &SocketAddr) {
        if let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.is_asked_at(addr)) {
            candidate.state = State::Asked { slow: true };
        }
    }

    /// Nobody has answered, and there is nobody else to ask.
    pub(crate) fn is_stuck(&self) -> bool {
        self.candidates.iter().all(|candidate| matches!(candidate.state, State::Asked { .. }))
    }

    pub(crate) fn failed(&mut self, addr: &SocketAddr) -> Option<Hop> {
        let at = self.candidates.iter().position(|candidate| candidate.is_asked_at(addr))?;
        self.failed.push(*addr);
        Some(self.candidates.remove(at).hop())
    }

    /// Who was asked answered under this id, which may be another than the one that others told of.
    pub(crate) fn answered(
        &mut self,
        addr: &SocketAddr,
        id: NodeId,
        token: Option<&[u8]>,
        has_item: bool,
    ) -> Option<Hop> {
        let at = self.candidates.iter().position(|candidate| candidate.is_asked_at(addr))?;
        let mut candidate = self.candidates.remove(at);
        (candidate.id, candidate.distance) = (Some(id), id.distance(&self.target));
        candidate.state = State::Answered;
        candidate.token = token.filter(|token| token.len() <= MAX_TOKEN_LEN).map(<[u8]>::to_vec);
        candidate.has_item = has_item;
        let hop = candidate.hop();
        self.insert(candidate);
        Some(hop)
    }

    /// The closest nodes that answered and of which `which` holds, `k` at most.
    pub(crate) fn closest(&self, which: impl Fn(&Candidate) -> bool) -> impl Iterator<Item = &Candidate> {
        let mut taken = Taken::new(self.per_subnet);
        let answered = self.candidates.iter().filter(|candidate| candidate.state == State::Answered);
        answered.filter(move |candidate| which(candidate) && taken.take(candidate)).take(K)
    }

    pub(crate) fn closest_contacts(&self) -> impl Iterator<Item = Contact> {
        self.closest(|_| true)
            .filter_map(|candidate| Some(Contact { id: candidate.id?, addr: candidate.addr }))
    }

    /// How many nodes led to the closest one that answered.
    pub(crate) fn hops(&self) -> u8 {
        self.closest(|_| true).next().map_or(0, |candidate| candidate.depth)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.candidates.len() <= MAX_CANDIDATES, "{} candidates", self.candidates.len());
        assert!(self.candidates.is_sorted_by_key(|candidate| candidate.distance), "by distance");
        let fast = self.candidates.iter().filter(|c| c.state == State::Asked { slow: false });
        assert!(fast.count() <= ALPHA, "more are asked than may be");
        assert!(self.failed.len() <= self.queries && self.queries <= MAX_LOOKUP_QUERIES);
        for candidate in &self.candidates {
            assert!(!self.failed.contains(&candidate.addr), "{} failed", candidate.addr);
            let same = self.candidates.iter().filter(|other| other.addr == candidate.addr);
            assert_eq!(same.count(), 1, "{} is there once", candidate.addr);
        }
    }
}

/// Neighbourhoods of which somebody counts already, and ids.
struct Taken {
    per_subnet: usize,
    subnets: Vec<IpAddr>,
    ids: Vec<NodeId>,
}

impl Taken {
    fn new(per_subnet: usize) -> Taken {
        Taken { per_subnet, subnets: Vec::new(), ids: Vec::new() }
    }

    fn has_room(&self, candidate: &Candidate) -> bool {
        candidate.subnet.is_none_or(|subnet| {
            self.subnets.iter().filter(|other| **other == subnet).count() < self.per_subnet
        })
    }

    fn take(&mut self, candidate: &Candidate) -> bool {
        let is_new = candidate.id.is_none_or(|id| !self.ids.contains(&id));
        let has_room = is_new && self.has_room(candidate);
        if has_room {
            self.subnets.extend(candidate.subnet);
            self.ids.extend(candidate.id);
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
