//! The picker against a model that knows nothing but the rules and recounts everything each time.

use super::*;
use crate::trust::Trust;
use alloc::collections::BTreeSet;
use fastrand::Rng;
use proptest::prelude::*;
use std::net::SocketAddr;
use types::BLOCK_LEN;

const PIECES: u32 = 12;
const BLOCKS: u32 = 3;

fn lengths() -> Lengths {
    // The last piece is short by one block, and its last block is short.
    Lengths::new(u64::from((PIECES * BLOCKS - 1) * BLOCK_LEN - 100), BLOCKS * BLOCK_LEN).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Come { pieces: Vec<bool>, whole: bool, quick: bool, alone: bool },
    Go(usize),
    Have(usize, u32),
    Pick(usize, u32),
    PickAgain(usize),
    Receive(usize, usize),
    Return(usize, usize),
    Hash { nth: usize, good: bool },
    Want(Vec<bool>),
    Release(usize),
}

fn set() -> impl Strategy<Value = Vec<bool>> {
    let some = proptest::collection::vec(any::<bool>(), PIECES as usize);
    prop_oneof![1 => Just(vec![true; PIECES as usize]), 2 => some]
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0usize..5;
    prop_oneof![
        2 => (set(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(pieces, whole, quick, alone)| Op::Come { pieces, whole, quick, alone }),
        1 => peer.clone().prop_map(Op::Go),
        4 => (peer.clone(), 0..PIECES).prop_map(|(peer, piece)| Op::Have(peer, piece)),
        8 => (peer.clone(), 1u32..6).prop_map(|(peer, count)| Op::Pick(peer, count)),
        4 => peer.clone().prop_map(Op::PickAgain),
        10 => (peer.clone(), 0usize..10).prop_map(|(peer, nth)| Op::Receive(peer, nth)),
        2 => (peer.clone(), 0usize..10).prop_map(|(peer, nth)| Op::Return(peer, nth)),
        5 => (0usize..5, proptest::bool::weighted(0.7)).prop_map(|(nth, good)| Op::Hash { nth, good }),
        1 => set().prop_map(Op::Want),
        1 => peer.prop_map(Op::Release),
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
}

struct Model {
    picker: Picker,
    peers: Vec<ModelPeer>,
    had: BTreeSet<BlockRange>,
    spoiled: BTreeSet<PieceIndex>,
    have: Bitfield,
    wanted: Bitfield,
    trust: Trust,
    next: u16,
}

impl Model {
    fn new(seed: u64) -> Model {
        Model {
            picker: Picker::new(lengths(), Bitfield::new(PIECES), Rng::with_seed(seed)),
            peers: Vec::new(),
            had: BTreeSet::new(),
            spoiled: BTreeSet::new(),
            have: Bitfield::new(PIECES),
            wanted: Bitfield::full(PIECES),
            trust: Trust::default(),
            next: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Come { pieces, whole, quick, alone } => self.come(pieces, *whole, *quick, *alone),
            Op::Want(pieces) => self.want(bits(pieces)),
            Op::Hash { nth, good } => self.hash(*nth, *good),
            Op::Go(n) | Op::Have(n, _) | Op::Pick(n, _) | Op::PickAgain(n) if *n >= self.peers.len() => {}
            Op::Receive(n, _) | Op::Return(n, _) | Op::Release(n) if *n >= self.peers.len() => {}
            Op::Go(n) => {
                let peer = self.peers.remove(*n);
                peer.requests.iter().for_each(|block| self.picker.put_back(*block));
                self.picker.peer_went(peer.key, &peer.pieces);
            }
            Op::Have(n, piece) => {
                let (peer, piece) = (&mut self.peers[*n], PieceIndex::new(*piece));
                if peer.pieces.insert(piece) {
                    self.picker.peer_gained(piece, &peer.pieces);
                }
            }
            Op::Pick(n, count) => (0..*count).for_each(|_| self.pick(*n)),
            Op::PickAgain(n) => self.pick_again(*n),
            Op::Receive(n, nth) => self.receive(*n, *nth),
            Op::Return(n, nth) => {
                let requests = &mut self.peers[*n].requests;
                if !requests.is_empty() {
                    let block = requests.remove(nth % requests.len());
                    self.picker.put_back(block);
                }
            }
            Op::Release(n) => self.picker.release(self.peers[*n].key),
        }
        let asked: Vec<_> = self.peers.iter().flat_map(|peer| peer.requests.clone()).collect();
        let pieces: Vec<_> = self.peers.iter().map(|peer| &peer.pieces).collect();
        self.picker.check(&pieces, &asked);
        assert_eq!((self.picker.have(), self.picker.wanted()), (&self.have, &self.wanted));
    }

    fn come(&mut self, pieces: &[bool], whole: bool, quick: bool, alone: bool) {
        self.next += 1;
        let pieces = Pieces::from(bits(pieces));
        self.picker.peer_came(&pieces);
        let suspect = self.trust.connected(SocketAddr::from(([127, 0, 0, 1], self.next)));
        let key = PeerKey(u64::from(self.next));
        self.peers.push(ModelPeer { key, pieces, requests: Vec::new(), suspect, whole, quick, alone });
    }

    fn pick(&mut self, n: usize) {
        let peer = &self.peers[n];
        let candidates: Vec<BlockRange> =
            self.missing_blocks().into_iter().filter(|block| peer.pieces.contains(block.piece)).collect();
        let open: BTreeSet<PieceIndex> =
            candidates.iter().map(|block| block.piece).filter(|&piece| self.is_untouched(piece)).collect();
        let reserved = |piece: PieceIndex| {
            self.picker.begun.get(&piece).and_then(|begun| begun.alone).is_some_and(|owner| owner != peer.key)
        };
        let led = |piece: PieceIndex| {
            self.picker
                .begun
                .get(&piece)
                .and_then(|begun| begun.leader)
                .is_some_and(|owner| owner != peer.key)
        };
        let free = candidates.iter().filter(|block| !reserved(block.piece)).count();
        let shared_first = candidates
            .iter()
            .any(|block| !open.contains(&block.piece) && !reserved(block.piece) && !led(block.piece));
        let rarest = open.iter().map(|&piece| self.count(piece)).min();
        let again = open.iter().any(|piece| self.spoiled.contains(piece));
        let asker = asker(peer);
        let random = self.have.count_ones() < RANDOM_FIRST_PIECES;
        let Some(block) = self.picker.pick(&asker) else {
            return assert_eq!(free, 0, "there was something to ask for");
        };
        assert!(candidates.contains(&block), "asked for twice, unwanted, there, or not to be had: {block:?}");
        let goes_on = asker.current == Some(block.piece);
        if asker.trusted && again && !goes_on {
            assert!(
                open.contains(&block.piece) && self.spoiled.contains(&block.piece),
                "what failed is first"
            );
        } else if open.contains(&block.piece) {
            assert!(peer.alone || !shared_first, "a begun piece comes first");
            assert!(random || Some(self.count(block.piece)) == rarest, "not the rarest");
        }
        self.peers[n].requests.push(block);
    }

    fn pick_again(&mut self, n: usize) {
        let available = |block: &BlockRange| self.count(block.piece) > 0 || !self.is_untouched(block.piece);
        let end_game = !self.missing_blocks().iter().any(available) && self.picker.begun() > 0;
        assert_eq!(self.picker.in_end_game(), end_game);
        if !end_game {
            return;
        }
        let peer = &self.peers[n];
        let again = self.picker.pick_again(&asker(peer), |block| peer.requests.contains(&block));
        let copies = |block: BlockRange| {
            self.peers.iter().flat_map(|peer| &peer.requests).filter(|other| **other == block).count()
        };
        if let Some(block) = again {
            assert!(!peer.requests.contains(&block) && peer.pieces.contains(block.piece));
            assert!((1..usize::from(END_GAME_COPIES)).contains(&copies(block)));
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
            self.spoiled.remove(&piece);
        } else {
            self.picker.failed(piece);
            self.spoiled.insert(piece);
            self.had.retain(|block| block.piece != piece);
        }
    }

    fn want(&mut self, wanted: Bitfield) {
        self.picker.set_wanted(wanted.clone());
        for peer in &mut self.peers {
            let (keep, drop) = peer.requests.iter().partition(|block| wanted.contains(block.piece));
            peer.requests = keep;
            let drop: Vec<BlockRange> = drop;
            drop.into_iter().for_each(|block| self.picker.put_back(block));
        }
        self.wanted = wanted;
    }

    /// Wanted, not there, not asked for.
    fn missing_blocks(&self) -> Vec<BlockRange> {
        let wanted =
            lengths().pieces().filter(|&piece| self.wanted.contains(piece) && !self.have.contains(piece));
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

fn asker(peer: &ModelPeer) -> Asker<'_> {
    let current = peer.requests.last().map(|block| block.piece);
    let (alone, whole) = (peer.alone, peer.whole);
    let trusted = !alone;
    let quick = peer.quick;
    Asker {
        peer: peer.key,
        pieces: &peer.pieces,
        current,
        dry: false,
        alone,
        trusted,
        whole,
        quick,
        only: None,
        suggested: &[],
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

fn anybody(pieces: &Pieces, key: u64) -> Asker<'_> {
    let peer = PeerKey(key);
    let (current, only) = (None, None);
    let (alone, whole, quick) = (false, false, true);
    Asker { peer, pieces, current, dry: false, alone, trusted: true, whole, quick, only, suggested: &[] }
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
