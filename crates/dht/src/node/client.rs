//! What we ask others, and what they answer.

use super::Node;
use crate::addr::{Contact, Family, is_local, may_send, parse_contacts};
use crate::event::{Asked, Command, Hop, LookupEvent, LookupKey, Outcome, Output, Stage};
use crate::krpc::{Method, Response, Want, encode_query};
use crate::limits::{
    K, MAX_LOOKUPS, MAX_NODES, MAX_PINGS, MAX_QUERIES, MAX_SAVED_ASKED, QUERY_TIMEOUT, SLOW_AFTER,
};
use crate::lookup::{Lookup, Next};
use crate::secure::is_valid_id;
use crate::traversal::Traversal;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use types::Time;

/// A query in flight.
#[derive(Debug)]
pub(super) struct Query {
    to: SocketAddr,
    sent: Time,
    is_slow: bool,
    /// It was sent a second time.
    is_repeated: bool,
    purpose: Purpose,
    /// What is to be told of it; `None` if nobody listened when it was sent.
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// To see whether the node is there.
    Ping,
    /// A step of this lookup.
    Walk(u64),
    /// The end of this lookup.
    Store(u64, Hop),
}

impl Query {
    /// Whether this lookup waits for it.
    pub(super) fn is_of(&self, lookup: u64) -> bool {
        match self.purpose {
            Purpose::Ping => false,
            Purpose::Walk(of) | Purpose::Store(of, _) => of == lookup,
        }
    }
}

impl Node {
    pub(super) fn start(&mut self, now: Time, key: LookupKey, command: Command) {
        if self.lookups.values().any(|lookup| lookup.key == Some(key)) {
            return;
        }
        if self.begin(now, Some(key), command).is_none() {
            self.tell(Some(key), LookupEvent::Done(Outcome { busy: true, ..Outcome::default() }));
        }
    }

    /// Begins a lookup; `None` if too many are under way.
    pub(super) fn begin(&mut self, now: Time, key: Option<LookupKey>, command: Command) -> Option<u64> {
        if self.lookups.len() >= MAX_LOOKUPS {
            return None;
        }
        let walks = Family::BOTH.into_iter().filter_map(|family| self.walk(now, family, &command)).collect();
        let id = self.next_lookup;
        self.next_lookup += 1;
        self.lookups.insert(id, Lookup::new(key, command, walks));
        self.make_ready(id);
        Some(id)
    }

    /// A walk that begins with the nodes that we know.
    fn walk(&self, now: Time, family: Family, command: &Command) -> Option<Traversal> {
        let (side, target) = (self.side(family)?, command.target());
        let mut walk = Traversal::new(family, target, self.config.nodes_per_subnet, command.stores());
        let known = side.table.starters(&target, K);
        let is_thin = known.len() < K;
        known.iter().for_each(|contact| _ = walk.add(Some(contact.id), contact.addr, 1));
        if is_thin {
            let (saved, named): (Vec<_>, Vec<_>) =
                side.starters.iter().copied().partition(|(id, _)| id.is_some());
            let starters = saved.into_iter().take(MAX_SAVED_ASKED).chain(named);
            starters.for_each(|(id, addr)| _ = walk.add(id, addr, 1));
        }
        if side.bootstrap.is_needed(&side.table, now) {
            self.config.bootstrap.iter().for_each(|addr| _ = walk.add(None, *addr, 1));
        }
        Some(walk)
    }

    /// Lookups under way may ask this node, too.
    pub(super) fn tell_lookups(&mut self, addr: SocketAddr) {
        let ids: Vec<u64> = self.lookups.keys().copied().collect();
        for id in ids {
            let walk = self.lookups.get_mut(&id).and_then(|lookup| lookup.walk(Family::of(&addr)));
            if walk.is_some_and(|walk| walk.add(None, addr, 1)) {
                self.make_ready(id);
            }
        }
    }

    pub(super) fn make_ready(&mut self, id: u64) {
        if let Some(lookup) = self.lookups.get_mut(&id)
            && !lookup.is_queued
        {
            lookup.is_queued = true;
            self.ready.push_back(id);
        }
    }

    /// Puts a node in the queue of those to be asked whether they are there.
    pub(super) fn queue_ping(&mut self, addr: SocketAddr) {
        let is_known = self.pings.contains(&addr) || self.queries.values().any(|query| query.to == addr);
        if !is_known && self.pings.len() < MAX_PINGS {
            self.pings.push_back(addr);
        }
    }

    /// Sends as many queries as may be sent, lookups in turns and before everything else.
    pub(super) fn send_queries(&mut self, now: Time) {
        while let Some(id) = self.ready.pop_front() {
            let Some(lookup) = self.lookups.get_mut(&id) else { continue };
            let next = lookup.next();
            lookup.is_queued = false;
            match next {
                Next::Wait => {}
                Next::Done => self.finish(now, id),
                Next::Ask(..) | Next::Store => {
                    if !self.may_query(now) {
                        self.make_ready(id);
                        break;
                    }
                    self.advance(now, id, &next);
                    self.make_ready(id);
                }
            }
        }
        while !self.pings.is_empty() && self.may_query(now) {
            if let Some(addr) = self.pings.pop_front() {
                self.query(now, addr, Purpose::Ping, None, None, &Method::Ping);
            }
        }
    }

    fn may_query(&mut self, now: Time) -> bool {
        self.queries.len() < MAX_QUERIES && self.query_rate.take(now)
    }

    fn advance(&mut self, now: Time, id: u64, next: &Next) {
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        match *next {
            Next::Ask(family, at) => {
                if let Some(hop) = lookup.ask(family, at) {
                    let want = self.want(id);
                    self.query(now, hop.addr, Purpose::Walk(id), lookup.key, want, &lookup.question());
                    self.tell(lookup.key, LookupEvent::Queried(hop));
                }
            }
            _ => {
                if let Some(store) = lookup.store() {
                    let hop = store.hop;
                    let purpose = Purpose::Store(id, hop);
                    self.query(now, hop.addr, purpose, lookup.key, None, &lookup.order(&store));
                    self.tell(lookup.key, LookupEvent::Storing(hop));
                }
            }
        }
        self.lookups.insert(id, lookup);
    }

    /// Which nodes we want to hear of: of both families while we fill our tables (BEP 32).
    fn want(&self, lookup: u64) -> Option<Want> {
        let mut sides = self.families.iter().flatten();
        let both = sides.clone().count() == 2;
        let fills = sides.any(|side| side.bootstrap.is_done_by(lookup));
        (fills && both).then_some(Want { v4: true, v6: true })
    }

    fn query(
        &mut self,
        now: Time,
        to: SocketAddr,
        purpose: Purpose,
        key: Option<LookupKey>,
        want: Option<Want>,
        method: &Method<'_>,
    ) {
        let Some(own) = self.id(Family::of(&to)) else { return };
        let transaction = loop {
            let transaction = self.rng.u32(..);
            if !self.queries.contains_key(&transaction) {
                break transaction;
            }
        };
        let asked = self.heard(key, method);
        let query = Query { to, sent: now, is_slow: false, is_repeated: false, purpose, asked };
        self.queries.insert(transaction, query);
        self.deadlines.insert((now + SLOW_AFTER, transaction));
        self.stats.queries += 1;
        let bytes = encode_query(&transaction.to_be_bytes(), &own, self.config.read_only, want, method);
        self.send(to, bytes);
        self.tell_of(to, true, asked, Stage::Sent);
    }

    /// Sends a query once more, under the name that it has, if that is worth it: either may be answered.
    fn repeat(&mut self, now: Time, transaction: u32) {
        let Some(query) = self.queries.get(&transaction).filter(|query| !query.is_repeated) else { return };
        let (to, purpose, asked) = (query.to, query.purpose, query.asked);
        let Some(own) = self.id(Family::of(&to)) else { return };
        let (name, read_only) = (transaction.to_be_bytes(), self.config.read_only);
        let bytes = match purpose {
            Purpose::Ping => encode_query(&name, &own, read_only, None, &Method::Ping),
            Purpose::Walk(id) => {
                let Some(lookup) = self.lookups.get(&id) else { return };
                encode_query(&name, &own, read_only, self.want(id), &lookup.question())
            }
            Purpose::Store(..) => return,
        };
        if !self.query_rate.take(now) {
            return;
        }
        if let Some(query) = self.queries.get_mut(&transaction) {
            query.is_repeated = true;
        }
        self.stats.queries += 1;
        self.send(to, bytes);
        self.tell_of(to, true, asked, Stage::Sent);
    }

    /// A node is there: what it did not answer for long it may not have heard.
    pub(super) fn repeat_what_is_slow(&mut self, now: Time, to: SocketAddr) {
        let slow = self.queries.iter().filter(|(_, query)| query.to == to && query.is_slow);
        let slow: Vec<u32> = slow.map(|(&transaction, _)| transaction).collect();
        slow.into_iter().for_each(|transaction| self.repeat(now, transaction));
    }

    /// Takes a query of ours out that this answers.
    fn answered_query(&mut self, from: SocketAddr, transaction: &[u8]) -> Option<Query> {
        let transaction = u32::from_be_bytes(transaction.try_into().ok()?);
        let is_asked = |query: &&Query| query.to == from;
        #[cfg(feature = "planted")]
        let is_asked = |query: &&Query| is_asked(query) || self.config.any_answer;
        let query = self.queries.get(&transaction).filter(is_asked)?;
        self.deadlines.remove(&(deadline(query), transaction));
        self.queries.remove(&transaction)
    }

    pub(super) fn on_response(
        &mut self,
        now: Time,
        from: SocketAddr,
        transaction: &[u8],
        ip: Option<SocketAddr>,
        response: &Response<'_>,
    ) {
        let Some(query) = self.answered_query(from, transaction) else { return };
        if query.asked.is_some() {
            self.tell_of(from, true, query.asked, Stage::answered(now.since(query.sent), response));
        }
        let is_valid = !self.config.enforce_ids || is_valid_id(&response.id, from.ip());
        // A bootstrap node serves everybody: nobody is to be sent there.
        let is_public = self.config.bootstrap.contains(&from) && !is_local(from.ip());
        if !is_public && let Some(side) = self.side_mut(Family::of(&from)) {
            side.table.answered(now, Contact { id: response.id, addr: from });
        }
        self.take_vote(now, from, ip);
        match query.purpose {
            Purpose::Ping => {}
            Purpose::Walk(id) => {
                self.walk_answered(now, id, &query, response, is_valid);
                self.make_ready(id);
            }
            Purpose::Store(id, hop) => self.store_ended(id, Some(LookupEvent::Stored(hop))),
        }
    }

    fn walk_answered(&mut self, now: Time, id: u64, query: &Query, response: &Response<'_>, is_valid: bool) {
        let from = query.to;
        let Some(mut lookup) = self.lookups.remove(&id) else { return };
        // Others may have led us to ourselves.
        let is_valid = is_valid && Some(response.id) != self.id(Family::of(&from));
        let has_item = response.value.is_some() || response.seq.is_some();
        let hop = lookup.walk(Family::of(&from)).and_then(|walk| {
            if is_valid {
                walk.answered(&from, response.id, response.token, has_item)
            } else {
                walk.failed(&from)
            }
        });
        if let Some(hop) = hop {
            lookup.outcome.answers += 1;
            let mut events = Vec::new();
            // Who has an id that does not fit its address is good for the way only (BEP 42).
            let mut gave = if is_valid {
                lookup.take(from, response, &mut |event| events.push(event))
            } else {
                Default::default()
            };
            (gave.nodes, gave.new_nodes) = self.take_nodes(now, &mut lookup, &hop, response);
            let round_trip = now.since(query.sent);
            self.tell(lookup.key, LookupEvent::Answered { hop, round_trip, gave });
            events.into_iter().for_each(|event| self.tell(lookup.key, event));
        }
        self.lookups.insert(id, lookup);
    }

    /// Adds the nodes of an answer to the walks; how many there are, and how many of them are new.
    fn take_nodes(
        &mut self,
        now: Time,
        lookup: &mut Lookup,
        hop: &Hop,
        response: &Response<'_>,
    ) -> (usize, usize) {
        let (mut all, mut new) = (0, 0);
        for (family, bytes) in [(Family::V4, response.nodes), (Family::V6, response.nodes6)] {
            for contact in parse_contacts(bytes, family).take(MAX_NODES) {
                all += 1;
                let fits = !self.config.enforce_ids || is_valid_id(&contact.id, contact.addr.ip());
                let Some(side) = self.families[family.index()].as_ref() else { continue };
                if !fits || contact.id == side.table.own() || !may_send(&contact.addr, Some(&hop.addr)) {
                    continue;
                }
                if let Some(walk) = lookup.walk(family) {
                    new += usize::from(walk.add(Some(contact.id), contact.addr, hop.depth.saturating_add(1)));
                }
                if lookup.key.is_none() && side.table.wants(now, &contact) {
                    self.queue_ping(contact.addr);
                }
            }
        }
        (all, new)
    }

    pub(super) fn on_error(
        &mut self,
        now: Time,
        from: SocketAddr,
        transaction: &[u8],
        code: i64,
        text: &[u8],
    ) {
        let Some(query) = self.answered_query(from, transaction) else { return };
        if query.asked.is_some() {
            let refused = Stage::Refused { took: now.since(query.sent), code, text: one_line(text) };
            self.tell_of(from, true, query.asked, refused);
        }
        match query.purpose {
            // Who refuses to say that it is there is of no use.
            Purpose::Ping => {
                if let Some(side) = self.side_mut(Family::of(&from)) {
                    side.table.failed(now, &from);
                }
            }
            Purpose::Walk(id) => {
                let Some(lookup) = self.lookups.get_mut(&id) else { return };
                let (key, hop) =
                    (lookup.key, lookup.walk(Family::of(&from)).and_then(|walk| walk.failed(&from)));
                if let Some(hop) = hop {
                    self.tell(key, LookupEvent::Refused { hop, code, text: one_line(text) });
                }
                self.make_ready(id);
            }
            Purpose::Store(id, hop) => {
                let key = self.lookups.get(&id).and_then(|lookup| lookup.key);
                self.tell(key, LookupEvent::Refused { hop, code, text: one_line(text) });
                self.store_ended(id, None);
            }
        }
    }

    fn store_ended(&mut self, id: u64, stored: Option<LookupEvent>) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        lookup.store_ended(stored.is_some());
        let key = lookup.key;
        stored.into_iter().for_each(|event| self.tell(key, event));
        self.make_ready(id);
    }

    /// Gives up queries that are not answered for long.
    pub(super) fn expire_queries(&mut self, now: Time) {
        while let Some(&(at, transaction)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            let Some(query) = self.queries.get_mut(&transaction) else { continue };
            let (to, purpose) = (query.to, query.purpose);
            if query.is_slow {
                let (asked, took) = (query.asked, now.since(query.sent));
                self.queries.remove(&transaction);
                self.tell_of(to, true, asked, Stage::TimedOut { took });
                self.timed_out(now, to, purpose);
            } else {
                query.is_slow = true;
                self.deadlines.insert((deadline(query), transaction));
                self.turned_slow(now, transaction, &to, purpose);
            }
        }
    }

    fn turned_slow(&mut self, now: Time, transaction: u32, to: &SocketAddr, purpose: Purpose) {
        if let Purpose::Walk(id) = purpose
            && let Some(walk) = self.lookups.get_mut(&id).and_then(|lookup| lookup.walk(Family::of(to)))
        {
            walk.slow(to);
            // The first datagram may be lost, or too early; with others to ask, one that is lost does no harm.
            let is_stuck = walk.is_stuck();
            self.make_ready(id);
            if is_stuck {
                self.repeat(now, transaction);
            }
        }
    }

    fn timed_out(&mut self, now: Time, to: SocketAddr, purpose: Purpose) {
        self.stats.timeouts += 1;
        if let Some(side) = self.side_mut(Family::of(&to)) {
            side.table.failed(now, &to);
        }
        match purpose {
            Purpose::Ping => {}
            Purpose::Walk(id) => {
                let Some(lookup) = self.lookups.get_mut(&id) else { return };
                let (key, hop) = (lookup.key, lookup.walk(Family::of(&to)).and_then(|walk| walk.failed(&to)));
                hop.into_iter().for_each(|hop| self.tell(key, LookupEvent::TimedOut(hop)));
                self.make_ready(id);
            }
            Purpose::Store(id, hop) => {
                let key = self.lookups.get(&id).and_then(|lookup| lookup.key);
                self.tell(key, LookupEvent::TimedOut(hop));
                self.store_ended(id, None);
            }
        }
    }

    fn finish(&mut self, now: Time, id: u64) {
        let Some(lookup) = self.lookups.remove(&id) else { return };
        match lookup.key {
            Some(key) => {
                let event = LookupEvent::Done(lookup.finish());
                self.outputs.push_back(Output::Lookup { key, event });
            }
            None => self.filled(now, id),
        }
    }
}

/// When something is to be done about a query next.
fn deadline(query: &Query) -> Time {
    query.sent + if query.is_slow { QUERY_TIMEOUT } else { SLOW_AFTER }
}

/// The most characters of a stranger's words.
const MAX_TEXT_CHARS: usize = 100;

/// A stranger's words, fit for one line: printable ASCII, short.
fn one_line(text: &[u8]) -> String {
    let shown = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
    text.iter().take(MAX_TEXT_CHARS).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_are_cut_off() {
        let words = [b'\x1b'; MAX_TEXT_CHARS + 1];
        assert_eq!(one_line(&words), " ".repeat(MAX_TEXT_CHARS));
        assert_eq!(one_line(b"no\ntoken"), "no token");
    }
}
