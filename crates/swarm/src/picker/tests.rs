//! The picker against a model that knows nothing but the rules and recounts everything each time.

use super::*;
use crate::limits::{
    BEGUN_SCAN, DEADLINE_COPIES, DEADLINE_NEAR, END_GAME_SCAN, OPEN_SAMPLE, RANDOM_FIRST_PIECES, RAREST_SCAN,
};
use crate::pace::Pace;
use crate::trust::Trust;
use alloc::collections::BTreeSet;
use fastrand::Rng;
use proptest::prelude::*;
use std::net::SocketAddr;
use types::BLOCK_LEN;

mod deadlines;
mod order;

const PIECES: u32 = 12;
const BLOCKS: u32 = 3;

fn lengths() -> Lengths {
    // The last piece is short by one block, and its last block is short.
    Lengths::new(u64::from((PIECES * BLOCKS - 1) * BLOCK_LEN - 100), BLOCKS * BLOCK_LEN).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Come(Newcomer),
    Deadline(u32, Option<u64>),
    PickLate(usize),
    Look,
    Wait(u64),
    Sequential(bool),
    Go(usize),
    Have(usize, u32),
    Pick(usize, u32),
    PickAgain(usize),
    Receive(usize, usize),
    Return(usize, usize),
    Hash { nth: usize, good: bool },
    Prioritize(Vec<Priority>),
    Release(usize),
    Lend(usize),
}

fn set() -> impl Strategy<Value = Vec<bool>> {
    let some = proptest::collection::vec(any::<bool>(), PIECES as usize);
    prop_oneof![1 => Just(vec![true; PIECES as usize]), 2 => some]
}

fn priorities() -> impl Strategy<Value = Vec<Priority>> {
    let all = vec![Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
    let some = proptest::collection::vec(proptest::sample::select(all), PIECES as usize);
    prop_oneof![1 => Just(vec![Priority::Normal; PIECES as usize]), 2 => some]
}

#[derive(Clone, Debug)]
struct Newcomer {
    pieces: Vec<bool>,
    whole: bool,
    quick: bool,
    alone: bool,
    /// Even if it is on parole or snubbed: there is nobody better.
    trusted: bool,
    snubbed: bool,
    behind: u32,
    eta: u64,
    known: bool,
    rate: u64,
}

fn come() -> impl Strategy<Value = Op> {
    let rarely = proptest::bool::weighted(0.2);
    let behind = prop_oneof![2 => Just(0), 1 => 1..PIECES];
    let standing = (any::<bool>(), any::<bool>(), rarely, any::<bool>(), rarely);
    let speed = (behind, 1u64..2000, proptest::bool::weighted(0.8), 10_000u64..1_000_000);
    (set(), standing, speed).prop_map(
        |(pieces, (whole, quick, alone, trusted, snubbed), (behind, eta, known, rate))| {
            Op::Come(Newcomer { pieces, whole, quick, alone, trusted, snubbed, behind, eta, known, rate })
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0usize..5;
    prop_oneof![
        2 => come(),
        1 => any::<bool>().prop_map(Op::Sequential),
        2 => (0..PIECES, proptest::option::weighted(0.9, 0u64..6000)).prop_map(|(n, at)| Op::Deadline(n, at)),
        4 => peer.clone().prop_map(Op::PickLate),
        2 => Just(Op::Look),
        3 => (0u64..2000).prop_map(Op::Wait),
        1 => peer.clone().prop_map(Op::Go),
        4 => (peer.clone(), 0..PIECES).prop_map(|(peer, piece)| Op::Have(peer, piece)),
        8 => (peer.clone(), 1u32..6).prop_map(|(peer, count)| Op::Pick(peer, count)),
        4 => peer.clone().prop_map(Op::PickAgain),
        10 => (peer.clone(), 0usize..10).prop_map(|(peer, nth)| Op::Receive(peer, nth)),
        2 => (peer.clone(), 0usize..10).prop_map(|(peer, nth)| Op::Return(peer, nth)),
        5 => (0usize..5, proptest::bool::weighted(0.7)).prop_map(|(nth, good)| Op::Hash { nth, good }),
        1 => priorities().prop_map(Op::Prioritize),
        1 => peer.clone().prop_map(Op::Release),
        1 => peer.prop_map(Op::Lend),
    ]
}

struct ModelPeer {
    key: PeerKey,
    pieces: Pieces,
    requests: Vec<BlockRange>,
    suspect: Option<Suspect>,
    whole: bool,
    quick: bool,
    alone: bool,
    trusted: bool,
    snubbed: bool,
    behind: u32,
    eta: Duration,
    known: bool,
    rate: u64,
}

impl ModelPeer {
    /// Whether it gets an urgent piece only if it has to idle otherwise.
    fn waits(&self) -> bool {
        self.alone && !self.trusted
    }
}

/// What the model knows of a piece with a deadline.
struct ModelDeadline {
    at: Time,
    pace: Pace,
    /// For each of its blocks when it was last asked for and how long that should take, if that is known.
    promises: BTreeMap<BlockRange, (Time, Option<Duration>)>,
}

struct Model {
    picker: Picker,
    peers: Vec<ModelPeer>,
    had: BTreeSet<BlockRange>,
    /// In the order in which they failed first.
    spoiled: Vec<PieceIndex>,
    have: Bitfield,
    priorities: Vec<Priority>,
    sequential: bool,
    deadlines: BTreeMap<PieceIndex, ModelDeadline>,
    now: Time,
    trust: Trust,
    next: u16,
}

impl Model {
    fn new(seed: u64) -> Model {
        Model {
            picker: Picker::new(lengths(), Bitfield::new(PIECES), Rng::with_seed(seed)),
            peers: Vec::new(),
            had: BTreeSet::new(),
            spoiled: Vec::new(),
            have: Bitfield::new(PIECES),
            priorities: vec![Priority::Normal; PIECES as usize],
            sequential: false,
            deadlines: BTreeMap::new(),
            now: Time::from_secs(100),
            trust: Trust::default(),
            next: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Come(newcomer) => self.come(newcomer),
            Op::Deadline(n, at) => self.set_deadline(PieceIndex::new(*n), *at),
            Op::Look => self.look(),
            Op::Wait(millis) => self.now += Duration::from_millis(*millis),
            Op::Sequential(sequential) => {
                self.sequential = *sequential;
                self.picker.set_order(if *sequential { Order::Sequential } else { Order::RarestFirst });
            }
            Op::Prioritize(priorities) => self.prioritize(priorities),
            Op::Hash { nth, good } => self.hash(*nth, *good),
            Op::Go(n) | Op::Have(n, _) | Op::Pick(n, _) | Op::PickAgain(n) if *n >= self.peers.len() => {}
            Op::Receive(n, _) | Op::Return(n, _) | Op::Release(n) | Op::Lend(n) | Op::PickLate(n)
                if *n >= self.peers.len() => {}
            Op::Go(n) => {
                let peer = self.peers.remove(*n);
                peer.requests.iter().for_each(|block| self.picker.put_back(*block));
                self.picker.peer_went(peer.key, &peer.pieces);
            }
            Op::Have(n, piece) => {
                let (peer, piece) = (&mut self.peers[*n], PieceIndex::new(*piece));
                if peer.pieces.insert(piece) {
                    self.picker.peer_gained(piece);
                }
            }
            Op::Pick(n, count) => (0..*count).for_each(|_| self.pick(*n)),
            Op::PickAgain(n) => self.pick_again(*n),
            Op::PickLate(n) => self.pick_late(*n),
            Op::Receive(n, nth) => self.receive(*n, *nth),
            Op::Return(n, nth) => {
                let requests = &mut self.peers[*n].requests;
                if !requests.is_empty() {
                    let block = requests.remove(nth % requests.len());
                    self.picker.put_back(block);
                }
            }
            Op::Release(n) => self.picker.release(self.peers[*n].key),
            Op::Lend(n) => self.picker.lend(self.peers[*n].key),
        }
        let asked: Vec<_> = self.peers.iter().flat_map(|peer| peer.requests.clone()).collect();
        let pieces: Vec<_> = self.peers.iter().map(|peer| &peer.pieces).collect();
        self.picker.check(&pieces, &asked);
        assert_eq!(self.picker.have(), &self.have);
        assert!(
            lengths().pieces().all(|piece| self.picker.wanted().contains(piece) == self.is_wanted(piece))
        );
    }

    fn come(&mut self, newcomer: &Newcomer) {
        self.next += 1;
        let pieces = Pieces::from(bits(&newcomer.pieces));
        self.picker.peer_came(&pieces);
        self.peers.push(ModelPeer {
            key: PeerKey(u64::from(self.next)),
            pieces,
            requests: Vec::new(),
            suspect: self.trust.connected(SocketAddr::from(([127, 0, 0, 1], self.next))),
            whole: newcomer.whole,
            quick: newcomer.quick,
            alone: newcomer.alone,
            trusted: newcomer.trusted || !newcomer.alone && !newcomer.snubbed,
            snubbed: newcomer.snubbed,
            behind: newcomer.behind,
            eta: Duration::from_millis(newcomer.eta),
            known: newcomer.known,
            rate: newcomer.rate,
        });
    }

    fn set_deadline(&mut self, piece: PieceIndex, at: Option<u64>) {
        let at = at.map(|millis| self.now + Duration::from_millis(millis));
        self.picker.set_deadline(piece, at, self.now);
        let old = self.deadlines.remove(&piece);
        if let Some(at) = at.filter(|_| self.is_wanted(piece) && !self.have.contains(piece)) {
            let promises = || blocks(piece).map(|block| (block, (self.now, None))).collect();
            let new =
                old.unwrap_or_else(|| ModelDeadline { at, pace: Pace::default(), promises: promises() });
            self.deadlines.insert(piece, ModelDeadline { at, ..new });
        }
    }

    fn look(&mut self) {
        self.picker.share_overdue(self.now);
        for deadline in self.picker.deadlines.iter().filter(|deadline| deadline.is_overdue(self.now)) {
            assert!(self.picker.begun.get(&deadline.piece).is_none_or(|begun| begun.owner().is_none()));
        }
        let known = |peer: &ModelPeer| peer.known.then_some(peer.eta);
        let of_use: Vec<_> = self.peers.iter().map(|peer| (&peer.pieces, known(peer), 50_000)).collect();
        self.picker.look_at_pace(&of_use);
        for (piece, deadline) in &mut self.deadlines {
            deadline.pace = Pace::default();
            of_use.iter().filter(|(pieces, ..)| pieces.contains(*piece)).for_each(|(_, eta, rate)| {
                deadline.pace.add(*eta, *rate);
            });
        }
    }

    /// Whether others are to be kept from an urgent piece that a peer begins, if it is to have one author.
    fn has_time_alone(&self, peer: &ModelPeer, piece: PieceIndex) -> bool {
        let bytes = u64::from(lengths().piece_len(piece));
        let whole = peer.eta + Duration::from_millis(bytes * 1000 / peer.rate);
        self.deadlines.get(&piece).is_none_or(|deadline| self.now + whole * 2 <= deadline.at)
    }

    /// Whether a peer is to be asked for a block of a piece, if others could deliver so many bytes first.
    fn suits(&self, peer: &ModelPeer, piece: PieceIndex, slack: u32, bytes: u64) -> bool {
        let deadline = &self.deadlines[&piece];
        let others = deadline.pace.soonest.map(|soonest| soonest * slack + deadline.pace.time_for(bytes));
        let in_time = self.now + peer.eta * 2 <= deadline.at;
        others.is_none_or(|others| !peer.snubbed && (in_time || peer.eta <= others))
    }

    /// The earliest piece with a deadline that the peer is to be asked for a block of.
    fn urgent(&self, peer: &ModelPeer, possible: &[PieceIndex]) -> Option<PieceIndex> {
        let missing = self.missing_blocks();
        let mut order: Vec<_> =
            self.deadlines.iter().map(|(&piece, deadline)| (deadline.at, piece)).collect();
        order.sort_unstable();
        let mut bytes = 0;
        order.into_iter().map(|(_, piece)| piece).find(|&piece| {
            let blocks = missing.iter().filter(|block| block.piece == piece).count();
            bytes += match self.is_untouched(piece) {
                true => u64::from(lengths().piece_len(piece)),
                false => u64::try_from(blocks).unwrap() * u64::from(BLOCK_LEN),
            };
            let own = self.picker.begun.get(&piece).is_some_and(|begun| begun.alone == Some(peer.key));
            possible.contains(&piece) && (own || peer.waits() || self.suits(peer, piece, 1, bytes))
        })
    }

    /// The blocks that the peer may be asked for though others were.
    fn late(&self, peer: &ModelPeer) -> Vec<BlockRange> {
        if !peer.trusted || peer.snubbed {
            return Vec::new();
        }
        let now = self.now;
        let reserved = |piece| self.picker.begun.get(&piece).is_some_and(|begun| begun.alone.is_some());
        let near = self.deadlines.iter().filter(|&(&piece, deadline)| {
            deadline.at <= now + DEADLINE_NEAR
                && peer.pieces.contains(piece)
                && !reserved(piece)
                && self.suits(peer, piece, 2, 0)
        });
        let late = near.flat_map(|(_, deadline)| {
            let late = deadline.promises.iter().filter(move |(_, (asked, eta))| match *eta {
                Some(eta) if *asked + eta * 2 <= now => true,
                Some(eta) => *asked + eta > deadline.at && now + peer.eta * 2 < *asked + eta,
                None => peer.known && *asked + peer.eta * 2 <= now,
            });
            late.map(|(block, _)| *block)
        });
        late.filter(|block| (1..usize::from(DEADLINE_COPIES)).contains(&self.copies(*block)))
            .filter(|block| !peer.requests.contains(block))
            .collect()
    }

    fn pick_late(&mut self, n: usize) {
        let allowed = self.late(&self.peers[n]);
        let peer = &self.peers[n];
        match self.picker.pick_late(&asker(self.now, peer), |block| peer.requests.contains(&block)) {
            None => assert_eq!(allowed, [], "it is late"),
            Some(block) => {
                assert!(allowed.contains(&block), "{block:?} instead of {allowed:?}");
                self.promise(n, block);
                self.peers[n].requests.push(block);
            }
        }
    }

    fn promise(&mut self, n: usize, block: BlockRange) {
        let (now, peer) = (self.now, &self.peers[n]);
        if let Some(deadline) = self.deadlines.get_mut(&block.piece) {
            deadline.promises.insert(block, (now, peer.known.then_some(peer.eta)));
        }
    }

    fn pick(&mut self, n: usize) {
        let allowed = self.allowed(&self.peers[n]);
        let missing = self.missing_blocks();
        let untouched: Vec<_> = lengths().pieces().filter(|&piece| self.is_untouched(piece)).collect();
        let asker = asker(self.now, &self.peers[n]);
        match self.picker.pick(&asker) {
            None => assert_eq!(allowed, [], "there was something to ask for"),
            Some(block) => {
                assert!(missing.contains(&block), "asked for twice, unwanted, or there: {block:?}");
                assert!(allowed.contains(&block.piece), "{:?} instead of {allowed:?}", block.piece);
                self.promise(n, block);
                if untouched.contains(&block.piece) {
                    self.check_owner(&self.peers[n], block.piece);
                }
                self.peers[n].requests.push(block);
            }
        }
    }

    /// Whether a piece that a peer has just begun is left to it.
    fn check_owner(&self, peer: &ModelPeer, piece: PieceIndex) {
        let urgent = self.deadlines.contains_key(&piece);
        let one_author = peer.alone || self.spoiled.contains(&piece);
        let alone = one_author && peer.quick && self.has_time_alone(peer, piece);
        let leads = alone || !urgent && (one_author || peer.whole);
        let begun = &self.picker.begun[&piece];
        assert_eq!(begun.alone, alone.then_some(peer.key));
        assert_eq!(begun.leader, leads.then_some(peer.key));
    }

    /// The pieces of which the peer may be asked for a block; what is random, or a matter of time, is left open.
    fn allowed(&self, peer: &ModelPeer) -> Vec<PieceIndex> {
        let owner = |piece| self.picker.begun.get(&piece).and_then(|begun| begun.alone.or(begun.leader));
        let reserved = |piece| {
            self.picker.begun.get(&piece).and_then(|begun| begun.alone).is_some_and(|owner| owner != peer.key)
        };
        let some: BTreeSet<_> = self.missing_blocks().into_iter().map(|block| block.piece).collect();
        let some: Vec<_> = some.into_iter().filter(|&p| peer.pieces.contains(p) && !reserved(p)).collect();
        let urgent = self.urgent(peer, &some);
        if let Some(urgent) = urgent.filter(|_| !peer.waits()) {
            return vec![urgent];
        }
        let is_calm = |piece: &PieceIndex| {
            !self.deadlines.contains_key(piece) || peer.alone && owner(*piece) == Some(peer.key)
        };
        let (open, begun): (Vec<_>, Vec<_>) =
            some.into_iter().filter(is_calm).partition(|&piece| self.is_untouched(piece));
        let calm: Vec<_> =
            begun.iter().filter(|piece| !self.deadlines.contains_key(piece)).copied().collect();
        let is_mine = |piece: &PieceIndex| owner(*piece) == Some(peer.key);
        let is_free = |piece: &PieceIndex| is_mine(piece) || owner(*piece).is_none() && !peer.alone;
        let start = self.start(peer);
        let current = asker(self.now, peer).current;
        let goes_on = |piece: &PieceIndex| is_free(piece) && (peer.behind == 0 || piece.get() >= start);
        if let Some(current) = current.filter(|current| begun.contains(current) && goes_on(current)) {
            return vec![current];
        }
        let mut spoiled = self.spoiled.iter().filter(|piece| open.contains(piece));
        if peer.trusted
            && let Some(&spoiled) = spoiled.find(|piece| peer.behind == 0 || piece.get() >= start)
        {
            return vec![spoiled];
        }
        let of = |pieces: &[PieceIndex], priority| {
            pieces.iter().copied().filter(|&piece| self.priority(piece) == priority).collect::<Vec<_>>()
        };
        let best = |open: Vec<PieceIndex>| self.best_open(peer, open);
        if peer.snubbed {
            let classes = [Priority::Low, Priority::Normal, Priority::High];
            let found = classes.iter().map(|&priority| best(of(&open, priority)));
            let last = classes.iter().map(|&priority| of(&calm, priority));
            return found
                .chain(last)
                .find(|pieces| !pieces.is_empty())
                .unwrap_or(urgent.into_iter().collect());
        }
        let classes = Priority::WANTED.into_iter();
        let found = classes.clone().flat_map(|priority| {
            let begun = of(&begun, priority);
            let in_front = |piece: &&PieceIndex| self.sequential && piece.get() < start;
            let mine: Vec<_> = begun.iter().filter(|piece| is_mine(piece)).copied().collect();
            let mut free = begun.iter().filter(|piece| is_free(piece) && !in_front(piece)).copied();
            let free = if self.sequential { free.next().into_iter().collect() } else { free.collect() };
            [mine, free, best(of(&open, priority))]
        });
        let last = classes.map(|priority| of(&calm, priority));
        found.chain(last).find(|pieces| !pieces.is_empty()).unwrap_or(urgent.into_iter().collect())
    }

    /// Among open pieces of the same priority.
    fn best_open(&self, peer: &ModelPeer, open: Vec<PieceIndex>) -> Vec<PieceIndex> {
        if self.sequential {
            let start = self.start(peer);
            let first = open.iter().find(|piece| piece.get() >= start).or(open.first());
            return first.into_iter().copied().collect();
        }
        let counts = open.iter().map(|&piece| self.count(piece));
        let best = match peer.snubbed {
            true => counts.max(),
            false if self.have.count_ones() < RANDOM_FIRST_PIECES => return open,
            false => counts.min(),
        };
        open.into_iter().filter(|&piece| Some(self.count(piece)) == best).collect()
    }

    /// Where a peer is to begin when pieces are fetched in order.
    fn start(&self, peer: &ModelPeer) -> u32 {
        let is_missing = |&piece: &PieceIndex| self.is_wanted(piece) && !self.have.contains(piece);
        let front = lengths().pieces().find(is_missing).map_or(PIECES, PieceIndex::get);
        let behind = if peer.snubbed { PIECES } else { peer.behind };
        front + behind.min((PIECES - front) / 2)
    }

    fn pick_again(&mut self, n: usize) {
        let end_game = self.missing_blocks().is_empty() && self.picker.begun() > 0;
        assert_eq!(self.picker.in_end_game(), end_game);
        if !end_game {
            return;
        }
        let peer = &self.peers[n];
        let asker = asker(self.now, peer);
        let again = self.picker.pick_again(&asker, |block| peer.requests.contains(&block));
        if let Some(block) = again {
            assert!(!peer.requests.contains(&block) && peer.pieces.contains(block.piece));
            assert!((1..usize::from(END_GAME_COPIES)).contains(&self.copies(block)));
            self.peers[n].requests.push(block);
        }
    }

    fn receive(&mut self, n: usize, nth: usize) {
        let requests = &mut self.peers[n].requests;
        if requests.is_empty() {
            return;
        }
        let block = requests.remove(nth % requests.len());
        let others = self.peers.iter().filter(|peer| peer.requests.contains(&block)).count();
        let asked = u8::try_from(others + 1).unwrap();
        assert_eq!(self.picker.received(block, self.peers[n].suspect), Receipt::New { asked });
        assert_eq!(self.picker.received(block, None), Receipt::Known);
        self.peers.iter_mut().for_each(|peer| peer.requests.retain(|other| *other != block));
        self.had.insert(block);
    }

    fn hash(&mut self, nth: usize, good: bool) {
        let is_full = |piece: &PieceIndex| blocks(*piece).all(|block| self.had.contains(&block));
        let full: Vec<_> =
            lengths().pieces().filter(|piece| !self.have.contains(*piece)).filter(is_full).collect();
        if full.is_empty() {
            return;
        }
        let piece = full[nth % full.len()];
        if good {
            self.picker.verified(piece);
            self.have.insert(piece);
            self.spoiled.retain(|&other| other != piece);
            self.deadlines.remove(&piece);
        } else {
            self.picker.failed(piece);
            if !self.spoiled.contains(&piece) {
                self.spoiled.push(piece);
            }
            self.had.retain(|block| block.piece != piece);
        }
    }

    fn prioritize(&mut self, priorities: &[Priority]) {
        self.picker.set_priorities(priorities);
        self.priorities = priorities.to_vec();
        self.deadlines.retain(|piece, _| priorities[piece.index()] > Priority::Skip);
        let is_wanted = |block: &BlockRange| priorities[block.piece.index()] > Priority::Skip;
        for peer in &mut self.peers {
            let (keep, drop) = peer.requests.iter().partition(|block| is_wanted(block));
            peer.requests = keep;
            let drop: Vec<BlockRange> = drop;
            drop.into_iter().for_each(|block| self.picker.put_back(block));
        }
    }

    /// How many peers the block is asked of.
    fn copies(&self, block: BlockRange) -> usize {
        self.peers.iter().flat_map(|peer| &peer.requests).filter(|other| **other == block).count()
    }

    fn priority(&self, piece: PieceIndex) -> Priority {
        self.priorities[piece.index()]
    }

    fn is_wanted(&self, piece: PieceIndex) -> bool {
        self.priority(piece) > Priority::Skip
    }

    /// Wanted, not there, not asked for.
    fn missing_blocks(&self) -> Vec<BlockRange> {
        let wanted = lengths().pieces().filter(|&piece| self.is_wanted(piece) && !self.have.contains(piece));
        wanted.flat_map(blocks).filter(|block| !self.had.contains(block) && !self.is_asked(*block)).collect()
    }

    fn is_asked(&self, block: BlockRange) -> bool {
        self.peers.iter().any(|peer| peer.requests.contains(&block))
    }

    fn is_untouched(&self, piece: PieceIndex) -> bool {
        blocks(piece).all(|block| !self.had.contains(&block) && !self.is_asked(block))
    }

    fn count(&self, piece: PieceIndex) -> usize {
        self.peers.iter().filter(|peer| peer.pieces.contains(piece)).count()
    }
}

fn asker(now: Time, peer: &ModelPeer) -> Asker<'_> {
    Asker {
        current: peer.requests.last().map(|block| block.piece),
        alone: peer.alone,
        trusted: peer.trusted,
        whole: peer.whole,
        quick: peer.quick,
        snubbed: peer.snubbed,
        behind: peer.behind,
        now,
        eta: peer.eta,
        rate: peer.rate,
        quickest: peer.known.then_some(peer.eta),
        ..Asker::anybody(peer.key, &peer.pieces)
    }
}

fn blocks(piece: PieceIndex) -> impl Iterator<Item = BlockRange> {
    (0..lengths().block_count(piece)).filter_map(move |number| lengths().block(piece, number))
}

fn bits(pieces: &[bool]) -> Bitfield {
    let mut bits = Bitfield::new(PIECES);
    pieces.iter().zip(0..).filter(|(has, _)| **has).for_each(|(_, n)| {
        bits.insert(PieceIndex::new(n));
    });
    bits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn does_what_the_model_allows(seed: u64, ops in proptest::collection::vec(op(), 1..200)) {
        let mut model = Model::new(seed);
        ops.iter().for_each(|op| model.apply(op));
    }
}

fn with_seed_peer() -> (Picker, Pieces) {
    let mut picker = Picker::new(lengths(), Bitfield::new(PIECES), Rng::with_seed(1));
    let pieces = Pieces::All(PIECES);
    picker.peer_came(&pieces);
    (picker, pieces)
}

/// A picker whose random first pieces are over: some pieces that nobody wants are there already.
fn trading(pieces: u32, blocks: u32) -> Picker {
    let count = pieces + RANDOM_FIRST_PIECES;
    let lengths = Lengths::new(u64::from(count * blocks * BLOCK_LEN), blocks * BLOCK_LEN).unwrap();
    let mut have = Bitfield::new(count);
    (pieces..count).for_each(|n| {
        have.insert(PieceIndex::new(n));
    });
    Picker::new(lengths, have, Rng::with_seed(1))
}

fn anybody(pieces: &Pieces, key: u64) -> Asker<'_> {
    Asker::anybody(PeerKey(key), pieces)
}

#[test]
fn first_pieces_are_random_then_the_rarest() {
    let first = |seed| {
        let mut picker = Picker::new(lengths(), Bitfield::new(PIECES), Rng::with_seed(seed));
        picker.peer_came(&Pieces::All(PIECES));
        let mut most = Bitfield::full(PIECES);
        most.remove(PieceIndex::new(5));
        picker.peer_came(&Pieces::from(most));
        (0..RANDOM_FIRST_PIECES + 1)
            .map(|_| {
                let block = picker.pick(&anybody(&Pieces::All(PIECES), 1)).unwrap();
                picker.verified(block.piece);
                block.piece.get()
            })
            .collect::<Vec<_>>()
    };
    let firsts: BTreeSet<u32> = (0..50).map(|seed| first(seed)[0]).collect();
    assert!(firsts.len() > 6, "{firsts:?}");
    assert!((0..50).all(|seed| first(seed).contains(&5)), "the rarest is fifth at the latest");
}

#[test]
fn a_fast_peer_is_left_alone_while_there_is_something_else() {
    let (mut picker, pieces) = with_seed_peer();
    let fast = Asker { whole: true, ..anybody(&pieces, 1) };
    let led = picker.pick(&fast).unwrap().piece;
    let other = picker.pick(&anybody(&pieces, 2)).unwrap().piece;
    assert_ne!(led, other);
    let mut left: Vec<PieceIndex> =
        core::iter::from_fn(|| picker.pick(&anybody(&pieces, 2))).map(|block| block.piece).collect();
    left.dedup();
    assert_eq!(left.last(), Some(&led), "in the end it is shared");
}

#[test]
fn who_is_on_parole_shares_no_piece() {
    let (mut picker, pieces) = with_seed_peer();
    let shared = picker.pick(&anybody(&pieces, 1)).unwrap().piece;
    let suspect = Asker { alone: true, ..anybody(&pieces, 2) };
    let own = picker.pick(&suspect).unwrap().piece;
    assert_ne!(shared, own);
    let others: Vec<_> = core::iter::from_fn(|| picker.pick(&anybody(&pieces, 1))).collect();
    assert!(others.iter().all(|block| block.piece != own));
    assert!(!picker.in_end_game());
    picker.release(PeerKey(2));
    assert_eq!(picker.pick(&anybody(&pieces, 1)).unwrap().piece, own);
}

#[test]
fn what_is_lent_is_for_who_finds_nothing_else() {
    let (mut picker, pieces) = with_seed_peer();
    let suspect = Asker { alone: true, ..anybody(&pieces, 2) };
    let own = picker.pick(&suspect).unwrap().piece;
    picker.lend(PeerKey(2));
    picker.lend(PeerKey(2));
    assert_eq!(picker.pick(&suspect).unwrap().piece, own, "it goes on");
    let others: Vec<_> = core::iter::from_fn(|| picker.pick(&anybody(&pieces, 1))).collect();
    assert!(others[..others.len() - 1].iter().all(|block| block.piece != own));
    assert_eq!(others.last().unwrap().piece, own, "last of all");
    assert!(picker.in_end_game());
}

#[test]
fn what_failed_is_fetched_again_first_and_from_one_peer() {
    let (mut picker, pieces) = with_seed_peer();
    let fail = |picker: &mut Picker, piece| {
        for block in blocks(piece) {
            picker.received(block, None);
        }
        picker.failed(piece);
    };
    let bad = PieceIndex::new(7);
    let busy = picker.pick(&anybody(&pieces, 1)).unwrap().piece;
    let suspect = Asker { alone: true, trusted: false, ..anybody(&pieces, 2) };
    let own = picker.pick(&suspect).unwrap().piece;
    fail(&mut picker, bad);
    assert_eq!(picker.pick(&suspect).unwrap().piece, own, "not a suspect's");
    let current = Asker { current: Some(busy), ..anybody(&pieces, 1) };
    assert_eq!(picker.pick(&current).unwrap().piece, busy, "what it is busy with comes before");
    assert_eq!(picker.pick(&anybody(&pieces, 3)).unwrap().piece, bad);
    let others = [(); 40].map(|()| picker.pick(&anybody(&pieces, 1)));
    assert!(others.iter().flatten().all(|block| block.piece != bad), "it has one author");
    assert!(others.last().unwrap().is_none(), "others idle rather");
    fail(&mut picker, bad);
    let pieces_of = |asker: Asker<'_>, picker: &mut Picker| picker.pick(&asker).map(|block| block.piece);
    assert_eq!(pieces_of(Asker { quick: false, ..anybody(&pieces, 3) }, &mut picker), Some(bad));
    assert_eq!(pieces_of(anybody(&pieces, 1), &mut picker), Some(bad), "one who is slow is helped");
    picker.verified(bad);
    assert_eq!(pieces_of(anybody(&pieces, 1), &mut picker), None);
}

#[test]
fn a_slow_peer_on_parole_is_helped() {
    let (mut picker, pieces) = with_seed_peer();
    let suspect = Asker { alone: true, quick: false, ..anybody(&pieces, 2) };
    let own = picker.pick(&suspect).unwrap().piece;
    let others: Vec<_> = core::iter::from_fn(|| picker.pick(&anybody(&pieces, 1))).collect();
    assert!(others[..others.len() - 2].iter().all(|block| block.piece != own), "last of all");
    assert!(others[others.len() - 2..].iter().all(|block| block.piece == own));
    assert!(picker.in_end_game());
    let untrusted = Asker { trusted: false, ..anybody(&pieces, 3) };
    assert_eq!(picker.pick_again(&untrusted, |_| false), None);
    assert!(picker.pick_again(&Asker { trusted: true, ..untrusted }, |_| false).is_some());
}

#[test]
fn failed_pieces_that_come_first_are_bounded() {
    let count = u32::try_from(MAX_SPOILED_PIECES).unwrap() + 2;
    let lengths = Lengths::new(u64::from(count) * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
    let mut picker = Picker::new(lengths, Bitfield::new(count), Rng::with_seed(1));
    picker.peer_came(&Pieces::All(count));
    for piece in lengths.pieces().chain([PieceIndex::new(0)]) {
        picker.received(lengths.block(piece, 0).unwrap(), None);
        picker.failed(piece);
        picker.check(&[&Pieces::All(count)], &[]);
    }
    assert_eq!(picker.spoiled.len(), MAX_SPOILED_PIECES);
    let all: BTreeSet<_> = core::iter::from_fn(|| picker.pick(&anybody(&Pieces::All(count), 1)))
        .map(|block| block.piece)
        .collect();
    assert_eq!(all.len(), count as usize, "the others are open all the same");
}

#[test]
fn pieces_begun_are_bounded() {
    let count = u32::try_from(MAX_PARTIAL_PIECES).unwrap() + 10;
    let lengths = Lengths::new(u64::from(count) * 2 * u64::from(BLOCK_LEN), 2 * BLOCK_LEN).unwrap();
    let mut picker = Picker::new(lengths, Bitfield::new(count), Rng::with_seed(1));
    let pieces = Pieces::All(count);
    picker.peer_came(&pieces);
    for n in 0..count {
        let only = [PieceIndex::new(n)];
        let block = picker.pick(&Asker { only: Some(&only), ..anybody(&pieces, 1) });
        assert_eq!(block.is_some(), picker.begun() < MAX_PARTIAL_PIECES || (n as usize) < MAX_PARTIAL_PIECES);
    }
    assert_eq!(picker.begun(), MAX_PARTIAL_PIECES);
    let next = picker.pick(&anybody(&pieces, 1)).unwrap();
    assert_eq!(next.offset, BLOCK_LEN, "the second block of a begun piece");
    let returns = picker.returns();
    picker.verified(next.piece);
    assert!(picker.returns() > returns, "there is room again: peers that idle are told");
}
