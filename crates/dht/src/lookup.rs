//! One lookup: a walk in each family, what the walks found, and what is stored at their ends.

use crate::addr::{Family, may_send};
use crate::item;
use crate::krpc::{Method, Put, Response, Signed};
use crate::limits::{MAX_BLOOM_ESTIMATE, MAX_FOUND, MAX_SAMPLES};
use crate::traversal::{Step, Traversal};
use crate::{
    Bloom, Command, Gave, Hop, ImmutableItem, LookupEvent, LookupKey, MutableItem, NodeId, Outcome, Scrape,
};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use types::InfoHashV1;

#[derive(Debug)]
pub(crate) struct Lookup {
    /// Of the owner; without, the node looks after its table.
    pub(crate) key: Option<LookupKey>,
    pub(crate) command: Command,
    walks: Vec<Walk>,
    stores: Vec<Store>,
    /// Stores that are not answered yet.
    storing: usize,
    /// There is nothing more to be found.
    is_satisfied: bool,
    /// The node has it in its queue.
    pub(crate) is_queued: bool,
    found: Found,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
struct Walk {
    traversal: Traversal,
    is_complete: bool,
}

/// A node at which something is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) hop: Hop,
    token: Vec<u8>,
    has_item: bool,
}

#[derive(Debug, Default)]
struct Found {
    peers: BTreeSet<SocketAddr>,
    torrents: BTreeSet<InfoHashV1>,
    blooms: Option<(Bloom, Bloom, usize)>,
    latest: Option<i64>,
}

/// What a lookup does next.
#[derive(Clone, Debug)]
pub(crate) enum Next {
    /// Asks the candidate at this place of this family's walk.
    Ask(Family, usize),
    /// Stores: [`Lookup::store`] takes it.
    Store,
    Wait,
    Done,
}

impl Lookup {
    pub(crate) fn new(key: Option<LookupKey>, command: Command, walks: Vec<Traversal>) -> Lookup {
        Lookup {
            key,
            command,
            walks: walks.into_iter().map(|traversal| Walk { traversal, is_complete: false }).collect(),
            stores: Vec::new(),
            storing: 0,
            is_satisfied: false,
            is_queued: false,
            found: Found::default(),
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        let mut waits = self.storing > 0;
        for walk in self.walks.iter_mut().filter(|walk| !walk.is_complete && !self.is_satisfied) {
            match walk.traversal.step() {
                Step::Ask(at) => return Next::Ask(walk.traversal.family, at),
                Step::Wait => waits = true,
                Step::Complete => {
                    walk.is_complete = true;
                    if self.command.stores() {
                        self.stores.extend(walk.traversal.closest(|c| c.token.is_some()).map(|c| Store {
                            hop: c.hop(),
                            token: c.token.clone().unwrap_or_default(),
                            has_item: c.has_item,
                        }));
                    }
                }
            }
        }
        match (self.stores.is_empty(), waits) {
            (false, _) => Next::Store,
            (true, true) => Next::Wait,
            (true, false) => Next::Done,
        }
    }

    /// The candidate is asked now.
    pub(crate) fn ask(&mut self, family: Family, at: usize) -> Option<Hop> {
        self.outcome.queries += 1;
        self.walk(family).map(|traversal| traversal.ask(at))
    }

    /// Takes the next node to store at; it is stored at now.
    pub(crate) fn store(&mut self) -> Option<Store> {
        let store = self.stores.pop()?;
        self.outcome.queries += 1;
        self.storing += 1;
        Some(store)
    }

    /// A node that was stored at answered, or did not.
    pub(crate) fn store_ended(&mut self, is_stored: bool) {
        self.storing -= 1;
        self.outcome.stored += usize::from(is_stored);
        self.outcome.answers += usize::from(is_stored);
    }

    pub(crate) fn walk(&mut self, family: Family) -> Option<&mut Traversal> {
        self.walks.iter_mut().map(|walk| &mut walk.traversal).find(|traversal| traversal.family == family)
    }

    /// What nodes on the way are asked.
    pub(crate) fn question(&self) -> Method<'static> {
        let target = self.command.target();
        match &self.command {
            Command::FindNode { .. } => Method::FindNode { target },
            Command::GetPeers { noseed, .. } => {
                Method::GetPeers { info_hash: target, noseed: *noseed, scrape: false }
            }
            Command::Announce { seed, .. } => {
                Method::GetPeers { info_hash: target, noseed: *seed, scrape: false }
            }
            Command::Scrape { .. } => Method::GetPeers { info_hash: target, noseed: false, scrape: true },
            Command::Get { .. } | Command::PutImmutable(_) | Command::PutMutable { .. } => {
                Method::Get { target, seq: None }
            }
            Command::Sample { .. } => Method::SampleInfohashes { target },
        }
    }

    /// What a node at the end of the way is asked to store.
    pub(crate) fn order<'a>(&'a self, store: &'a Store) -> Method<'a> {
        let token = &store.token[..];
        match &self.command {
            Command::Announce { ports, implied_port, seed, .. } => Method::AnnouncePeer {
                info_hash: self.command.target(),
                port: ports[Family::of(&store.hop.addr).index()],
                implied_port: *implied_port,
                seed: *seed,
                token,
            },
            Command::PutImmutable(item) => {
                Method::Put(Put { token, value: &item.value, signed: None, cas: None })
            }
            Command::PutMutable { item, cas } => {
                let MutableItem { key, salt, seq, signature, value } = item;
                let signed = Some(Signed { key, salt, seq: *seq, signature });
                // Who has nothing has nothing to compare (BEP 44).
                Method::Put(Put { token, value, signed, cas: cas.filter(|_| store.has_item) })
            }
            _ => Method::Ping,
        }
    }

    /// Takes what an answer brought, nodes not included; tells of it by `tell`.
    pub(crate) fn take(
        &mut self,
        from: SocketAddr,
        response: &Response<'_>,
        tell: &mut dyn FnMut(LookupEvent),
    ) -> Gave {
        let mut gave =
            Gave { token: response.token.is_some(), item: response.value.is_some(), ..Gave::default() };
        match &self.command {
            Command::GetPeers { .. } | Command::Announce { .. } | Command::Scrape { .. } => {
                gave.peers = response.values.len();
                self.take_peers(from, response, tell);
            }
            Command::Get { salt, .. } => {
                let salt = salt.clone();
                self.take_item(from, &salt, response, tell);
            }
            Command::PutMutable { item, .. } => {
                let salt = item.salt.clone();
                self.take_item(from, &salt, response, tell);
            }
            Command::Sample { .. } => gave.samples = self.take_sample(from, response, tell),
            Command::FindNode { .. } | Command::PutImmutable(_) => {}
        }
        gave
    }

    fn take_peers(&mut self, from: SocketAddr, response: &Response<'_>, tell: &mut dyn FnMut(LookupEvent)) {
        let Found { peers: known, blooms, .. } = &mut self.found;
        let mut peers = Vec::new();
        for peer in &response.values {
            let is_new = may_send(peer, Some(&from)) && known.len() < MAX_FOUND && known.insert(*peer);
            peers.extend(is_new.then_some(*peer));
        }
        self.outcome.peers += peers.len();
        if matches!(self.command, Command::Scrape { .. }) {
            let (seeds, others, nodes) = blooms.get_or_insert((Bloom::EMPTY, Bloom::EMPTY, 0));
            match response.blooms.as_deref() {
                Some((more_seeds, more_others)) if is_credible(more_seeds) && is_credible(more_others) => {
                    seeds.merge(more_seeds);
                    others.merge(more_others);
                    *nodes += 1;
                }
                Some(_) => {}
                // Who knows no filters tells of peers at least; seeds are not counted twice (BEP 33).
                None => {
                    let not_seeds = response.values.iter().filter(|peer| !seeds.may_contain(peer.ip()));
                    not_seeds.for_each(|peer| others.insert(peer.ip()));
                    *nodes += usize::from(!response.values.is_empty());
                }
            }
        }
        if !peers.is_empty() {
            tell(LookupEvent::Peers { from, peers });
        }
    }

    fn take_item(
        &mut self,
        from: SocketAddr,
        salt: &[u8],
        response: &Response<'_>,
        tell: &mut dyn FnMut(LookupEvent),
    ) {
        let target = self.command.target();
        let Some(value) = response.value else { return };
        if let Some(item) = immutable(value, &target) {
            self.is_satisfied = true;
            self.outcome.copies += 1;
            return tell(LookupEvent::Immutable { from, item });
        }
        // Costly: not for a version that is known to be older.
        let Some(item) = mutable(response, salt, &target) else { return };
        let latest = self.found.latest;
        if latest.is_some_and(|latest| item.seq < latest) || item.verify().is_err() {
            return;
        }
        if latest == Some(item.seq) {
            self.outcome.copies += 1;
            return;
        }
        self.found.latest = Some(item.seq);
        self.outcome.copies = 1;
        tell(LookupEvent::Mutable { from, item });
    }

    fn take_sample(
        &mut self,
        from: SocketAddr,
        response: &Response<'_>,
        tell: &mut dyn FnMut(LookupEvent),
    ) -> usize {
        let Some(sample) = response.sample else { return 0 };
        let known = &mut self.found.torrents;
        let (hashes, _) = sample.samples.as_chunks::<20>();
        let hashes = hashes.iter().take(MAX_SAMPLES).map(|hash| InfoHashV1(*hash));
        let given = hashes.len();
        let samples = hashes.filter(|hash| known.len() < MAX_FOUND && known.insert(*hash)).collect();
        let interval = Duration::from_secs(sample.interval);
        tell(LookupEvent::Sample { from, samples, num: sample.num, interval });
        given
    }

    /// What came of it.
    pub(crate) fn finish(mut self) -> Outcome {
        let walks = self.walks.iter().map(|walk| &walk.traversal);
        self.outcome.closest = walks.clone().flat_map(Traversal::closest_contacts).collect();
        self.outcome.hops = walks.map(Traversal::hops).max().unwrap_or(0);
        self.outcome.scrape = self.found.blooms.map(|(seeds, peers, nodes)| Scrape {
            seeds: seeds.estimate(),
            peers: peers.estimate(),
            nodes,
        });
        self.outcome
    }

    pub(crate) fn check_invariants(&self) {
        self.walks.iter().for_each(|walk| walk.traversal.check_invariants());
        assert!(self.found.peers.len() <= MAX_FOUND && self.found.torrents.len() <= MAX_FOUND);
    }
}

/// A full filter says nothing, and would drown what all others say.
fn is_credible(filter: &Bloom) -> bool {
    filter.estimate() <= MAX_BLOOM_ESTIMATE
}

fn immutable(value: &[u8], target: &NodeId) -> Option<ImmutableItem> {
    let is_it = item::immutable_target(value) == *target;
    is_it.then(|| ImmutableItem::new(value.to_vec()).ok()).flatten()
}

/// The mutable item of an answer, if it is called as the target; not verified.
fn mutable(response: &Response<'_>, salt: &[u8], target: &NodeId) -> Option<MutableItem> {
    let (key, signature) = (*response.key?, *response.signature?);
    let item = MutableItem {
        key,
        salt: salt.to_vec(),
        seq: response.seq?,
        signature,
        value: response.value?.to_vec(),
    };
    (item.target() == *target).then_some(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::krpc::Sample;
    use alloc::boxed::Box;

    /// An answer that gives nothing.
    fn answer() -> Response<'static> {
        Response {
            id: NodeId([1; 20]),
            nodes: b"",
            nodes6: b"",
            token: None,
            values: Vec::new(),
            blooms: None,
            value: None,
            key: None,
            signature: None,
            seq: None,
            sample: None,
        }
    }

    #[test]
    fn a_lookup_finds_so_many_and_no_more() {
        let from = SocketAddr::from(([80, 1, 1, 1], 1));
        let numbers = 0..u32::try_from(MAX_FOUND).unwrap() + 1;
        let command = Command::GetPeers { info_hash: InfoHashV1([7; 20]), noseed: false };
        let mut lookup = Lookup::new(None, command, Vec::new());
        let peer = |n: u32| SocketAddr::new((0x5000_0000 + n).to_be_bytes().into(), 6881);
        let values = numbers.clone().map(peer).collect();
        lookup.take(from, &Response { values, ..answer() }, &mut |_| {});
        assert_eq!(lookup.finish().peers, MAX_FOUND);

        let mut lookup = Lookup::new(None, Command::Sample { target: NodeId([7; 20]) }, Vec::new());
        let hashes: Vec<u8> = numbers.flat_map(|n| [n.to_be_bytes(); 5].concat()).collect();
        let mut found = Vec::new();
        // Each tells of one more than is read of it.
        for at in (0..hashes.len()).step_by(20 * MAX_SAMPLES) {
            let samples = &hashes[at..hashes.len().min(at + 20 * (MAX_SAMPLES + 1))];
            let sample = Some(Sample { samples, num: 0, interval: 0 });
            lookup.take(from, &Response { sample, ..answer() }, &mut |event| {
                let LookupEvent::Sample { samples, .. } = event else { return };
                found.push(samples.len());
            });
        }
        assert!(found.iter().all(|&count| count <= MAX_SAMPLES), "{found:?}");
        assert_eq!(found.iter().sum::<usize>(), MAX_FOUND);
        lookup.check_invariants();
    }

    #[test]
    fn a_filter_is_believed_up_to_a_bound() {
        let mut filter = Bloom::EMPTY;
        for n in 0_u32.. {
            if filter.estimate() > MAX_BLOOM_ESTIMATE {
                break;
            }
            assert!(is_credible(&filter), "{filter:?}");
            filter.insert(n.to_be_bytes().into());
        }
        assert!(!is_credible(&filter), "{filter:?}");
    }

    #[test]
    fn one_liar_does_not_spoil_a_scrape() {
        let command = Command::Scrape { info_hash: InfoHashV1([7; 20]) };
        let mut lookup = Lookup::new(None, command, Vec::new());
        let mut filter = Bloom::EMPTY;
        (0..20).for_each(|n| filter.insert([80, 1, n, 1].into()));
        let full = Bloom::from_slice(&[0xff; 256]).unwrap();
        let honest = (Bloom::EMPTY, filter);
        for blooms in [&honest, &(full.clone(), Bloom::EMPTY), &(Bloom::EMPTY, full), &honest] {
            let response = Response { blooms: Some(Box::new(blooms.clone())), ..answer() };
            lookup.take(SocketAddr::from(([80, 1, 1, 1], 1)), &response, &mut |_| {});
        }
        let scrape = lookup.finish().scrape.unwrap();
        assert_eq!((scrape.seeds, scrape.nodes), (0.0, 2));
        assert!((scrape.peers - 20.0).abs() < 1.0, "{scrape:?}");
    }

    #[test]
    fn who_stores_hears_the_port_of_its_own_family() {
        let (info_hash, implied_port, seed) = (InfoHashV1([7; 20]), false, false);
        let command = Command::Announce { info_hash, ports: [1, 2], implied_port, seed };
        let lookup = Lookup::new(None, command, Vec::new());
        for (addr, told) in [("80.1.1.1:9", 1), ("[2001:db8::1]:9", 2)] {
            let hop = Hop { addr: addr.parse().unwrap(), id: None, depth: 0, distance_bits: None };
            let store = Store { hop, token: Vec::new(), has_item: false };
            assert!(
                matches!(lookup.order(&store), Method::AnnouncePeer { port, .. } if port == told),
                "{addr}"
            );
        }
    }
}
