use super::*;
use crate::limits::{
    CHOKE_INTERVAL, DEFAULT_REQQ, HELD_PATIENCE, IDLE_TIMEOUT, INITIAL_WINDOW, KEEPALIVE_INTERVAL,
    MAX_ALLOWED_FAST, MAX_BAD_REQUESTS, MAX_REQUEST_LEN, MAX_REQUESTS, MAX_UNREQUESTED_BYTES, PAROLE_BYTES,
    PAROLE_PIECES, REJECT_PAUSE, SNUB_TIMEOUT, SNUB_TIMEOUT_END_GAME,
};
use crate::{BanReason, PeerSource, Priority};
use alloc::borrow::Cow;
use alloc::vec;
use core::time::Duration;
use types::{BLOCK_LEN, BlockDigest, BlockRange, PieceIndex};
use wire::Request;

mod batches;
mod corpus;
mod crowd;
mod exchange;
mod fast;
mod greeting;
mod holepunch;
mod liars;
mod lost;
mod metadata;
mod priority;
mod seeding;
mod serving;
mod turns;
mod web_seed;
mod wishes;

const PIECES: u32 = 20;
const BLOCKS: u32 = 4;

/// A swarm, a clock, and what it said last.
struct Bench {
    swarm: Swarm,
    now: Time,
}

fn lengths() -> Lengths {
    Lengths::new(u64::from(PIECES * BLOCKS * BLOCK_LEN), BLOCKS * BLOCK_LEN).unwrap()
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6881))
}

fn block(piece: u32, number: u32) -> BlockRange {
    lengths().block(PieceIndex::new(piece), number).unwrap()
}

const FAST: Reserved = Reserved::NONE.with_fast().with_extended();
const PEER: PeerKey = PeerKey(1);

impl Bench {
    fn leecher() -> Bench {
        Bench::new(Bitfield::new(PIECES), Config::default())
    }

    fn seed() -> Bench {
        Bench::new(Bitfield::full(PIECES), Config::default())
    }

    fn new(have: Bitfield, config: Config) -> Bench {
        Bench::of(lengths(), have, config)
    }

    fn of(lengths: Lengths, have: Bitfield, config: Config) -> Bench {
        let config = Config { peer_id: PeerId([200; 20]), ..config };
        let now = Time::from_secs(100);
        Bench { swarm: Swarm::new(config, lengths, have, 1, now), now }
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.swarm.handle(self.now, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.swarm.check_invariants();
        core::iter::from_fn(|| self.swarm.poll_output()).collect()
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut out = Vec::new();
        while let Some(at) = self.swarm.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.swarm.handle_timeout(self.now);
            assert!(self.swarm.poll_timeout().is_none_or(|at| at > self.now), "it would spin");
            out.extend(self.outputs());
        }
        self.now = end;
        out
    }

    fn connect(&mut self, key: PeerKey, reserved: Reserved) -> Vec<Output> {
        let n = u8::try_from(key.0).unwrap();
        let peer_id = PeerId([n; 20]);
        self.input(Input::PeerConnected { peer: key, addr: addr(n), outgoing: false, peer_id, reserved })
    }

    fn says(&mut self, key: PeerKey, message: Message<'_>) -> Vec<Output> {
        self.input(Input::Message { peer: key, message })
    }

    /// A seed that unchoked us; returns what it was asked for.
    fn connect_seed(&mut self, key: PeerKey, reserved: Reserved) -> Vec<BlockRange> {
        self.connect(key, reserved);
        self.says(key, Message::Bitfield(Bitfield::full(PIECES).as_bytes().into()));
        requests(&self.says(key, Message::Unchoke))
    }

    /// A leecher that we unchoked.
    fn connect_leecher(&mut self, key: PeerKey, reserved: Reserved) {
        self.connect(key, reserved);
        let out = self.says(key, Message::Interested);
        assert!(out.contains(&Output::Send { peer: key, message: Message::Unchoke }));
    }

    /// Wants these pieces and no others.
    fn want(&mut self, wanted: &Bitfield) -> Vec<Output> {
        self.input(Input::SetPriorities(&priorities(wanted)))
    }

    fn receive(&mut self, key: PeerKey, block: BlockRange) -> Vec<Output> {
        self.input(Input::BlockReceived { peer: key, block })
    }
}

fn requests(out: &[Output]) -> Vec<BlockRange> {
    out.iter()
        .filter_map(|o| if let Output::Request { block, .. } = o { Some(*block) } else { None })
        .collect()
}

fn closed(out: &[Output]) -> Option<DisconnectReason> {
    out.iter().find_map(|o| if let Output::Disconnect { reason, .. } = o { Some(*reason) } else { None })
}

fn sent(out: &[Output]) -> Vec<Message<'static>> {
    let message =
        |o: &Output| if let Output::Send { message, .. } = o { Some(message.clone()) } else { None };
    out.iter().filter_map(message).collect()
}

fn serves(out: &[Output]) -> usize {
    out.iter().filter(|o| matches!(o, Output::Serve { .. })).count()
}

#[test]
fn asks_as_soon_as_it_may_and_no_more_than_the_window() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    assert_eq!(sent(&bench.says(PEER, Message::HaveAll)), [Message::Interested]);
    let asked = requests(&bench.says(PEER, Message::Unchoke));
    assert_eq!(asked.len(), INITIAL_WINDOW);
    bench.now += Duration::from_millis(50);
    let more: usize = asked.iter().map(|&block| requests(&bench.receive(PEER, block)).len()).sum();
    assert_eq!(more, (PIECES * BLOCKS) as usize - INITIAL_WINDOW, "slow start: the rest at once");
}

#[test]
fn a_told_queue_length_bounds_the_window() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    let hello = ext::Handshake { reqq: Some(5), ..ext::Handshake::default() };
    bench.says(PEER, Message::Extended { id: 0, payload: hello.encode().into() });
    bench.says(PEER, Message::HaveAll);
    assert_eq!(requests(&bench.says(PEER, Message::Unchoke)).len(), 5);
    const { assert!(INITIAL_WINDOW <= DEFAULT_REQQ) };
}

#[test]
fn a_choke_frees_the_requests_of_a_plain_peer_at_once() {
    for (reserved, freed) in [(Reserved::NONE, true), (FAST, false)] {
        let mut bench = Bench::leecher();
        let asked = bench.connect_seed(PEER, reserved);
        bench.connect_seed(PeerKey(2), reserved);
        let out = bench.says(PEER, Message::Choke);
        bench.now += Duration::from_millis(10);
        let all: Vec<_> =
            asked.iter().map(|block| bench.says(PEER, Message::Reject((*block).into()))).collect();
        let again: Vec<_> = all.iter().flat_map(|out| requests(out)).collect();
        if freed {
            assert_eq!(closed(&all[0]), Some(DisconnectReason::FastNotOffered));
        } else {
            assert!(requests(&out).is_empty(), "they may still be answered");
            assert!(again.is_empty(), "the other's window is full");
        }
        assert_eq!(bench.swarm.picker.begun(), INITIAL_WINDOW / BLOCKS as usize, "only the other's are left");
    }
}

#[test]
fn a_block_is_asked_for_once_outside_the_end_game() {
    let mut bench = Bench::leecher();
    let mut asked: Vec<BlockRange> = (1..=2).flat_map(|n| bench.connect_seed(PeerKey(n), FAST)).collect();
    assert_eq!(asked.len(), 2 * INITIAL_WINDOW);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 2 * INITIAL_WINDOW);
}

#[test]
fn the_end_game_asks_again_and_cancels() {
    let mut bench = Bench::leecher();
    let mut pending: Vec<BlockRange> = bench.connect_seed(PEER, FAST);
    bench.connect_seed(PeerKey(2), FAST);
    bench.connect_seed(PeerKey(3), FAST);
    // The first peer answers everything; the others say nothing.
    let mut twice = Vec::new();
    let mut cancelled = Vec::new();
    while let Some(block) = pending.pop() {
        bench.now += Duration::from_millis(1);
        for output in bench.receive(PEER, block) {
            match output {
                Output::Request { peer: PEER, block } => pending.push(block),
                Output::Request { block, .. } => twice.push(block),
                Output::Cancel { block, .. } => cancelled.push(block),
                _ => {}
            }
        }
    }
    assert!(!cancelled.is_empty());
    assert_eq!(bench.swarm.picker.missing().count_ones(), PIECES, "hashing is not over");
    assert_eq!(bench.swarm.picker.begun(), PIECES as usize);
    assert!(bench.swarm.peers.values().all(|peer| peer.requests.is_empty()), "all cancelled");
}

#[test]
fn there_is_no_end_game_while_nobody_has_the_rest() {
    let mut bench = Bench::leecher();
    let mut most = Bitfield::full(PIECES);
    most.remove(PieceIndex::new(3));
    for key in [PEER, PeerKey(2), PeerKey(3)] {
        bench.connect(key, FAST);
        bench.says(key, Message::Bitfield(most.as_bytes().into()));
    }
    let mut asked: Vec<BlockRange> = [PEER, PeerKey(2), PeerKey(3)]
        .into_iter()
        .flat_map(|key| requests(&bench.says(key, Message::Unchoke)))
        .collect();
    let all = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!((asked.len(), all), (((PIECES - 1) * BLOCKS) as usize, all), "nothing twice");
    let out = requests(&bench.says(PeerKey(3), Message::Have(3)));
    assert_eq!(out[..BLOCKS as usize], (0..BLOCKS).map(|n| block(3, n)).collect::<Vec<_>>());
    assert!(bench.swarm.picker.in_end_game(), "now there is");
}

#[test]
fn finished_is_said_once_and_again_when_more_was_wanted() {
    let mut bench = Bench::leecher();
    let mut wanted = Bitfield::new(PIECES);
    wanted.insert(PieceIndex::new(0));
    assert_eq!(bench.want(&wanted), []);
    let finish = |bench: &mut Bench, piece| {
        let out = bench.input(Input::PieceVerified { piece: PieceIndex::new(piece), digests: &[] });
        out.contains(&Output::Finished)
    };
    assert!(finish(&mut bench, 0));
    assert!(!finish(&mut bench, 0) && !finish(&mut bench, 1));
    wanted.insert(PieceIndex::new(2));
    assert_eq!(bench.want(&wanted), []);
    assert!(!finish(&mut bench, 3) && finish(&mut bench, 2));
    assert!(Bench::seed().outputs().contains(&Output::Finished));
}

#[test]
fn interest_is_exact() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    assert_eq!(sent(&bench.says(PEER, Message::HaveNone)), []);
    assert_eq!(sent(&bench.says(PEER, Message::Have(4))), [Message::Interested]);
    assert_eq!(sent(&bench.says(PEER, Message::Have(5))), []);
    assert_eq!(
        sent(&bench.input(Input::PieceVerified { piece: PieceIndex::new(4), digests: &[] })),
        [Message::Have(4)]
    );
    let out = sent(&bench.input(Input::PieceVerified { piece: PieceIndex::new(5), digests: &[] }));
    assert_eq!(out, [Message::Have(5), Message::NotInterested]);
    let mut wanted = Bitfield::full(PIECES);
    assert_eq!(sent(&bench.says(PEER, Message::Have(6))), [Message::Interested]);
    wanted.remove(PieceIndex::new(6));
    assert_eq!(sent(&bench.want(&wanted)), [Message::NotInterested]);
}

#[test]
fn unwanted_requests_are_cancelled() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    let out = bench.want(&Bitfield::new(PIECES));
    let cancels = out.iter().filter(|o| matches!(o, Output::Cancel { .. })).count();
    assert_eq!(cancels, asked.len());
    assert!(out.contains(&Output::Finished));
    assert_eq!(closed(&out), Some(DisconnectReason::BothSeeds));
}

#[test]
fn allowed_fast_pieces_are_asked_for_when_choked() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    assert_eq!(requests(&bench.says(PEER, Message::AllowedFast(PIECES))), [], "no such piece");
    let asked = requests(&bench.says(PEER, Message::AllowedFast(7)));
    assert_eq!(asked, (0..BLOCKS).map(|n| block(7, n)).collect::<Vec<_>>());
    let out = bench.says(PEER, Message::Reject(asked[0].into()));
    assert_eq!(requests(&out), [], "not again");
    for n in 0..PIECES {
        bench.says(PEER, Message::AllowedFast(n));
    }
    assert_eq!(bench.swarm.peers[&PEER].requests.len(), INITIAL_WINDOW);
}

#[test]
fn allowed_fast_is_bounded() {
    let lengths = Lengths::new(1000 * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
    let mut swarm = Swarm::new(Config::default(), lengths, Bitfield::new(1000), 1, Time::ZERO);
    let (peer, addr, peer_id) = (PEER, addr(1), PeerId([1; 20]));
    swarm.handle(Time::ZERO, Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: FAST });
    for n in 0..1000 {
        swarm.handle(Time::ZERO, Input::Message { peer, message: Message::AllowedFast(n) });
    }
    assert_eq!(swarm.peers[&PEER].allowed_fast.len(), MAX_ALLOWED_FAST);
}

#[test]
fn a_reject_while_unchoked_gives_the_block_to_others_and_a_pause() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    assert_eq!(requests(&bench.says(PEER, Message::Reject(asked[0].into()))), []);
    let others = bench.connect_seed(PeerKey(2), FAST);
    assert!(others.contains(&asked[0]));
    let after = requests(&bench.pass(Duration::from_secs(1)));
    assert_eq!(after.len(), 1, "its window has room for one");
}

#[test]
fn a_silent_peer_is_snubbed_and_gets_one_request() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    assert!(
        bench
            .pass(SNUB_TIMEOUT - Duration::from_millis(1))
            .iter()
            .all(|o| !matches!(o, Output::Cancel { .. }))
    );
    let out = bench.pass(Duration::from_millis(1));
    let cancels = out.iter().filter(|o| matches!(o, Output::Cancel { .. })).count();
    assert_eq!((cancels, requests(&out).len()), (asked.len(), 1));
    assert!(bench.swarm.peers(bench.now).next().unwrap().snubbed);
    let out = bench.receive(PEER, requests(&out)[0]);
    assert!(!bench.swarm.peers(bench.now).next().unwrap().snubbed);
    assert!(!requests(&out).is_empty());
}

#[test]
fn patience_that_ends_with_the_start_of_the_end_game_is_looked_at_once_more() {
    let mut bench = Bench::leecher();
    let mut wanted = Bitfield::new(PIECES);
    wanted.insert(PieceIndex::new(0));
    bench.want(&wanted);
    bench.connect(PEER, FAST);
    let hello = ext::Handshake { reqq: Some(2), ..ext::Handshake::default() };
    bench.says(PEER, Message::Extended { id: 0, payload: hello.encode().into() });
    bench.says(PEER, Message::HaveAll);
    let asked = requests(&bench.says(PEER, Message::Unchoke));
    bench.now += Duration::from_millis(10);
    bench.receive(PEER, asked[0]);
    // It is silent from here on. The last block is nobody's, until another peer's pause is over.
    bench.pass(Duration::from_secs(5));
    let last = bench.connect_seed(PeerKey(2), FAST)[0];
    bench.says(PeerKey(2), Message::Reject(last.into()));
    assert!(requests(&bench.pass(REJECT_PAUSE)).contains(&last));
    bench.pass(SNUB_TIMEOUT_END_GAME);
    assert!(bench.swarm.peers(bench.now).next().unwrap().snubbed);
}

#[test]
fn a_block_that_comes_late_counts_and_is_asked_for_no_more() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, Reserved::NONE);
    bench.says(PEER, Message::Choke);
    let others = bench.connect_seed(PeerKey(2), FAST);
    let shared = *asked.iter().find(|block| others.contains(block)).unwrap_or(&others[0]);
    let out = bench.receive(PEER, shared);
    assert!(out.contains(&Output::Cancel { peer: PeerKey(2), block: shared }));
    assert_eq!(bench.swarm.stats(bench.now).downloaded, u64::from(BLOCK_LEN));
    let out = bench.input(Input::BlockRefused { peer: PeerKey(2), block: shared });
    assert_eq!(closed(&out), None);
    assert_eq!(bench.swarm.stats(bench.now).wasted, u64::from(BLOCK_LEN));
}

#[test]
fn blocks_of_an_earlier_run_are_not_asked_for() {
    let mut bench = Bench::leecher();
    bench.input(Input::SetPartial { piece: PieceIndex::new(9), blocks: &[0, 2, 3, 77] });
    bench.input(Input::SetPartial { piece: PieceIndex::new(PIECES), blocks: &[0] });
    let asked = bench.connect_seed(PEER, FAST);
    assert_eq!(asked[0], block(9, 1), "begun pieces first");
    assert!(!asked.contains(&block(9, 0)));
}

#[test]
fn who_alone_spoils_a_piece_is_banned() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    let piece = asked[0].piece;
    (0..BLOCKS).for_each(|n| drop(bench.receive(PEER, block(piece.get(), n))));
    let out = bench.input(Input::PieceFailed { piece, from_disk: false, digests: &[] });
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));
    assert_eq!(out.last(), Some(&Output::Banned { addr: addr(1), reason: BanReason::SpoiledPiece(piece) }));
    assert_eq!(closed(&bench.connect(PEER, FAST)), Some(DisconnectReason::Banned));
    let found = bench.input(Input::PeersFound { addrs: &[addr(1)], source: PeerSource::Tracker });
    assert_eq!(found, [], "not dialed either");
    assert!(bench.connect_seed(PeerKey(2), FAST).iter().any(|block| block.piece == piece), "missing again");
}

#[test]
fn blocks_from_disk_blame_nobody() {
    for from_disk in [true, false] {
        let mut bench = Bench::leecher();
        bench.input(Input::SetPartial { piece: PieceIndex::new(0), blocks: &[3] });
        bench.connect_seed(PEER, FAST);
        (0..3).for_each(|n| drop(bench.receive(PEER, block(0, n))));
        let out = bench.input(Input::PieceFailed { piece: PieceIndex::new(0), from_disk, digests: &[] });
        assert_eq!(closed(&out), None);
    }
}

#[test]
fn several_suspects_get_whole_pieces_until_they_are_told_apart() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, Reserved::NONE);
    bench.says(PEER, Message::Choke);
    bench.connect_seed(PeerKey(2), FAST);
    let piece = asked[0].piece;
    (0..BLOCKS).for_each(|n| drop(bench.receive(PeerKey(u64::from(n % 2) + 1), block(piece.get(), n))));
    assert_eq!(closed(&bench.input(Input::PieceFailed { piece, from_disk: false, digests: &[] })), None);
    assert!(bench.swarm.peers(bench.now).all(|peer| peer.on_parole));
    // The honest one sends a good piece, the liar a bad one.
    let whole = requests(&bench.says(PEER, Message::Unchoke));
    for n in 0..BLOCKS {
        bench.receive(PEER, block(whole[0].piece.get(), n));
    }
    bench.input(Input::PieceVerified { piece: whole[0].piece, digests: &[] });
    let parole: Vec<bool> = bench.swarm.peers(bench.now).map(|peer| peer.on_parole).collect();
    assert_eq!(parole, [false, true]);
}

#[test]
fn a_suspect_has_so_many_pieces_at_a_time() {
    let lengths = Lengths::new(16 << 20, 1 << 20).unwrap();
    let blocks = lengths.block_count(PieceIndex::new(0));
    let mut bench = Bench::of(lengths, Bitfield::new(16), Config::default());
    for n in 1..=3 {
        bench.connect(PeerKey(n), Reserved::NONE);
        bench.says(PeerKey(n), Message::Bitfield(Bitfield::full(16).as_bytes().into()));
        bench.says(PeerKey(n), Message::Unchoke);
    }
    let block = |piece: PieceIndex, number| lengths.block(piece, number).unwrap();
    let bad = PieceIndex::new(6);
    (0..blocks).for_each(|n| drop(bench.receive(PeerKey(u64::from(n % 2) + 1), block(bad, n))));
    assert_eq!(closed(&bench.input(Input::PieceFailed { piece: bad, from_disk: false, digests: &[] })), None);
    bench.says(PEER, Message::Choke);
    // It sends all of each piece but the last block, and chokes and unchokes between them.
    let mut asked = requests(&bench.says(PEER, Message::Unchoke));
    let mut begun = Vec::new();
    while let Some(block) = asked.pop() {
        if !begun.contains(&block.piece) {
            begun.push(block.piece);
            bench.receive(PEER, block);
            bench.says(PEER, Message::Choke);
            asked = requests(&bench.says(PEER, Message::Unchoke));
        } else if lengths.block_number(block) != Some(blocks - 1) {
            asked.extend(requests(&bench.receive(PEER, block)));
        }
    }
    assert_eq!(begun.len() as u64, PAROLE_PIECES.max(PAROLE_BYTES >> 20), "{begun:?}");
    bench.receive(PEER, block(begun[0], blocks - 1));
    let out = bench.input(Input::PieceVerified { piece: begun[0], digests: &[] });
    let next = requests(&out).first().map(|block| block.piece);
    assert!(next.is_some_and(|piece| !begun.contains(&piece)), "it goes on: {next:?}");
}

/// Digests of a piece whose blocks in `bad` are wrong.
fn digests(bad: &[u8]) -> Vec<BlockDigest> {
    (0..u8::try_from(BLOCKS).unwrap())
        .map(|n| BlockDigest([n + 100 * u8::from(bad.contains(&n)); 16]))
        .collect()
}

fn failed(bad: &[u8]) -> Vec<Option<BlockDigest>> {
    digests(bad).into_iter().map(Some).collect()
}

#[test]
fn who_sent_the_block_that_differs_is_banned_with_the_evidence() {
    let mut bench = Bench::leecher();
    (1..=3).for_each(|n| drop(bench.connect_seed(PeerKey(n), FAST)));
    let piece = PieceIndex::new(6);
    let send = |bench: &mut Bench, senders: [u64; BLOCKS as usize]| {
        (0..).zip(senders).for_each(|(n, peer)| drop(bench.receive(PeerKey(peer), block(6, n))));
    };
    send(&mut bench, [1, 2, 3, 1]);
    let blocks = failed(&[1]);
    let out = bench.input(Input::PieceFailed { piece, from_disk: false, digests: &blocks });
    assert_eq!(closed(&out), None, "nobody knows who it was");
    assert!(bench.swarm.peers(bench.now).all(|peer| peer.on_parole));
    // Its last block is still in storage's queue when it goes.
    bench.input(Input::PeerClosed { peer: PeerKey(3) });
    send(&mut bench, [1, 1, 1, 3]);
    let blocks = failed(&[3]);
    bench.input(Input::PieceFailed { piece, from_disk: false, digests: &blocks });
    send(&mut bench, [1; 4]);
    let out = bench.input(Input::PieceVerified { piece, digests: &digests(&[]) });
    let bans: Vec<_> = out.iter().filter(|o| matches!(o, Output::Banned { .. })).collect();
    let ban = |n, block| Output::Banned { addr: addr(n), reason: BanReason::WrongBlock { piece, block } };
    assert_eq!(bans, [&ban(2, 1), &ban(3, 3)]);
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));
    let left: Vec<_> = bench.swarm.peers(bench.now).map(|peer| (peer.peer, peer.on_parole)).collect();
    assert_eq!(left, [(PEER, false)], "the honest one stays and is cleared");
    assert_eq!(closed(&bench.connect(PeerKey(3), FAST)), Some(DisconnectReason::Banned));
}

/// Peers that have everything, of which 1 and 2 have just spoiled piece 6 together, and what was asked for then.
fn spoiled(peers: u64, wanted: &Bitfield) -> (Bench, Vec<Output>) {
    let mut bench = Bench::leecher();
    bench.want(wanted);
    (1..=peers).for_each(|n| drop(bench.connect_seed(PeerKey(n), FAST)));
    bench.now += Duration::from_millis(1);
    (0..BLOCKS).for_each(|n| drop(bench.receive(PeerKey(u64::from(n % 2) + 1), block(6, n))));
    let fail = Input::PieceFailed { piece: PieceIndex::new(6), from_disk: false, digests: &failed(&[1]) };
    let out = bench.input(fail);
    (bench, out)
}

/// Those of a swarm that wants these pieces and no others.
fn priorities(wanted: &Bitfield) -> Vec<Priority> {
    let priority = |piece| if wanted.contains(piece) { Priority::Normal } else { Priority::Skip };
    lengths().pieces().map(priority).collect()
}

fn only(piece: u32) -> Bitfield {
    let mut wanted = Bitfield::new(PIECES);
    wanted.insert(PieceIndex::new(piece));
    wanted
}

fn asked_of(out: &[Output]) -> Vec<(PeerKey, BlockRange)> {
    let request =
        |o: &Output| if let Output::Request { peer, block } = o { Some((*peer, *block)) } else { None };
    out.iter().filter_map(request).collect()
}

#[test]
fn what_failed_is_fetched_from_whom_nobody_suspects() {
    let (_, out) = spoiled(3, &Bitfield::full(PIECES));
    let again: Vec<_> = asked_of(&out).into_iter().filter(|(_, block)| block.piece.get() == 6).collect();
    assert_eq!(again, (0..BLOCKS).map(|n| (PeerKey(3), block(6, n))).collect::<Vec<_>>());
}

#[test]
fn if_only_suspects_are_left_they_go_on() {
    let (mut bench, out) = spoiled(2, &only(6));
    assert_eq!(asked_of(&out), (0..BLOCKS).map(|n| (PEER, block(6, n))).collect::<Vec<_>>(), "one alone");
    // It was fast enough for that; now it hardly moves.
    bench.swarm.peers.get_mut(&PEER).unwrap().window = crate::window::Window::new();
    let out = bench.pass(SNUB_TIMEOUT - Duration::from_secs(1));
    let (peer, first) = asked_of(&out)[0];
    assert_eq!((peer, first.piece.get()), (PeerKey(2), 6), "the other one helps");
}

#[test]
fn what_is_not_fetched_again_keeps_nobody_on_parole_for_ever() {
    for deselected_first in [true, false] {
        let mut bench = Bench::leecher();
        (1..=2).for_each(|n| drop(bench.connect_seed(PeerKey(n), FAST)));
        let mut wanted = Bitfield::full(PIECES);
        wanted.remove(PieceIndex::new(6));
        (0..BLOCKS).for_each(|n| drop(bench.receive(PeerKey(u64::from(n % 2) + 1), block(6, n))));
        let piece = PieceIndex::new(6);
        let blocks = failed(&[1]);
        let fail = Input::PieceFailed { piece, from_disk: false, digests: &blocks };
        let priorities = priorities(&wanted);
        let inputs = [fail, Input::SetPriorities(&priorities)];
        let order = if deselected_first { [1, 0] } else { [0, 1] };
        order.into_iter().for_each(|n: usize| drop(bench.input(inputs[n].clone())));
        assert!(bench.swarm.peers(bench.now).all(|peer| peer.on_parole));
        (0..BLOCKS).for_each(|n| drop(bench.receive(PEER, block(7, n))));
        bench.input(Input::PieceVerified { piece: PieceIndex::new(7), digests: &[] });
        let parole: Vec<bool> = bench.swarm.peers(bench.now).map(|peer| peer.on_parole).collect();
        assert_eq!(parole, [false, true]);
    }
}

#[test]
fn a_slot_that_gets_free_is_given_away_at_once() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { upload_slots: 1, ..Config::default() });
    bench.connect_leecher(PEER, Reserved::NONE);
    bench.connect(PeerKey(2), Reserved::NONE);
    assert_eq!(sent(&bench.says(PeerKey(2), Message::Interested)), []);
    let out = bench.says(PEER, Message::NotInterested);
    assert_eq!(out, [Output::Send { peer: PeerKey(2), message: Message::Unchoke }]);
    bench.connect(PeerKey(3), Reserved::NONE);
    bench.says(PeerKey(3), Message::Interested);
    let out = bench.input(Input::PeerClosed { peer: PeerKey(2) });
    assert_eq!(out, [Output::Send { peer: PeerKey(3), message: Message::Unchoke }]);
    let out = bench.pass(CHOKE_INTERVAL);
    assert!(out.contains(&Output::Send { peer: PEER, message: Message::Choke }), "it did not want the slot");
}

#[test]
fn a_slot_that_was_given_away_is_not_there_any_more() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { upload_slots: 1, ..Config::default() });
    bench.connect_leecher(PEER, FAST);
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::Interested);
    bench.says(PEER, Message::NotInterested);
    let out = bench.says(PEER, Message::Interested);
    assert_eq!(out, [Output::Send { peer: PEER, message: Message::Choke }]);
}

#[test]
fn an_idle_connection_is_kept_alive_and_then_closed() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    let out = bench.pass(KEEPALIVE_INTERVAL);
    assert_eq!(
        out,
        [Output::NeedPeers, Output::NeedPeers, Output::NeedPeers, send_to(PEER, Message::KeepAlive)]
    );
    bench.says(PEER, Message::KeepAlive);
    assert_eq!(closed(&bench.pass(IDLE_TIMEOUT - Duration::from_millis(1))), None);
    assert_eq!(closed(&bench.pass(Duration::from_millis(1))), Some(DisconnectReason::Idle));
}

fn send_to(peer: PeerKey, message: Message<'static>) -> Output {
    Output::Send { peer, message }
}

#[test]
fn ourselves_and_twins_are_turned_away() {
    let mut bench = Bench::leecher();
    let mut come = |key, outgoing, id| {
        let addr = SocketAddr::from(([10, 0, 0, 1], 6000 + u16::try_from(key).unwrap()));
        let (peer, peer_id) = (PeerKey(key), PeerId([id; 20]));
        closed(&bench.input(Input::PeerConnected { peer, addr, outgoing, peer_id, reserved: FAST }))
    };
    assert_eq!(come(1, true, 200), Some(DisconnectReason::Ourselves));
    assert_eq!(come(2, true, 5), None);
    assert_eq!(come(3, true, 5), Some(DisconnectReason::Duplicate));
    assert_eq!(come(4, false, 5), Some(DisconnectReason::Duplicate), "our id is greater: ours stays");
    assert_eq!(come(5, true, 250), None);
    assert_eq!(come(6, false, 250), Some(DisconnectReason::Duplicate), "its id is greater");
    let keys: Vec<_> = bench.swarm.peers(bench.now).map(|peer| peer.peer.0).collect();
    assert_eq!(keys, [2, 6]);
}

#[test]
fn nobody_takes_the_place_of_a_peer_at_another_host() {
    for (ours_first, id) in [(true, 5), (true, 250), (false, 5), (false, 250)] {
        let mut bench = Bench::leecher();
        let mut come = |n: u8, outgoing| {
            let (peer, peer_id) = (PeerKey(n.into()), PeerId([id; 20]));
            let (addr, reserved) = (addr(n), FAST);
            closed(&bench.input(Input::PeerConnected { peer, addr, outgoing, peer_id, reserved }))
        };
        assert_eq!([come(1, ours_first), come(2, !ours_first)], [None, None], "{id}");
        let there: Vec<_> = bench.swarm.peers(bench.now).map(|peer| (peer.peer.0, peer.addr)).collect();
        assert_eq!(there, [(1, addr(1)), (2, addr(2))], "{id}");
    }
}

#[test]
fn connections_and_attempts_are_bounded() {
    let config = Config { max_peers: 5, max_half_open: 2, ..Config::default() };
    let mut bench = Bench::new(Bitfield::new(PIECES), config);
    let addrs: Vec<_> = (1..=20).map(addr).collect();
    let out = bench.input(Input::PeersFound { addrs: &addrs, source: PeerSource::Tracker });
    assert_eq!(out.len(), 2);
    let Output::Connect { addr: first } = out[0] else { panic!("{out:?}") };
    let out = bench.input(Input::ConnectFailed { addr: first });
    assert!(matches!(out[..], [Output::Connect { addr }] if addr != first));
    (1..=5).for_each(|n| drop(bench.connect(PeerKey(n), FAST)));
    assert_eq!(closed(&bench.connect(PeerKey(6), FAST)), Some(DisconnectReason::TooManyPeers));
}

#[test]
fn a_paused_swarm_is_silent() {
    let mut bench = Bench::leecher();
    bench.connect_seed(PEER, FAST);
    assert_eq!(closed(&bench.input(Input::Pause)), Some(DisconnectReason::Paused));
    assert_eq!(closed(&bench.connect(PEER, FAST)), Some(DisconnectReason::Paused));
    assert_eq!(bench.input(Input::PeersFound { addrs: &[addr(9)], source: PeerSource::Tracker }), []);
    assert_eq!(bench.pass(Duration::from_secs(1000)), []);
    assert_eq!(bench.input(Input::Resume)[0], Output::Connect { addr: addr(9) });
}

#[test]
fn seeds_part_and_are_dialed_again_when_more_is_wanted() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config::default());
    bench.input(Input::PeersFound { addrs: &[addr(1)], source: PeerSource::Tracker });
    let peer_id = PeerId([1; 20]);
    bench.input(Input::PeerConnected { peer: PEER, addr: addr(1), outgoing: true, peer_id, reserved: FAST });
    assert_eq!(closed(&bench.says(PEER, Message::HaveAll)), Some(DisconnectReason::BothSeeds));
    assert_eq!(bench.pass(Duration::from_secs(1000)), []);
    bench.connect(PeerKey(2), FAST);
    let out = bench.says(PeerKey(2), upload_only(true));
    assert_eq!(closed(&out), Some(DisconnectReason::BothSeeds), "it wants nothing either");
}

#[test]
fn a_partial_seed_says_that_it_wants_nothing() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    let mut said = |wanted| {
        let out = sent(&bench.want(&wanted));
        let Some(Message::Extended { payload, .. }) = out.last().cloned() else { panic!("{out:?}") };
        ext::Handshake::decode(&payload).unwrap().upload_only
    };
    assert!(said(Bitfield::new(PIECES)));
    assert!(!said(Bitfield::full(PIECES)));
}

/// An extension handshake that says whether its sender wants anything (BEP 21).
fn upload_only(upload_only: bool) -> Message<'static> {
    let hello = ext::Handshake { upload_only, ..ext::Handshake::default() };
    Message::Extended { id: 0, payload: hello.encode().into() }
}

#[test]
fn a_partial_seed_gets_no_slot() {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { upload_slots: 1, ..Config::default() });
    bench.connect_leecher(PEER, FAST);
    bench.connect(PeerKey(2), FAST);
    assert_eq!(bench.says(PeerKey(2), Message::Interested), []);
    let out = bench.says(PEER, upload_only(true));
    assert_eq!(out, [send_to(PeerKey(2), Message::Unchoke)], "the slot goes to who can use it");
    assert!(bench.pass(CHOKE_INTERVAL).contains(&send_to(PEER, Message::Choke)));
    bench.input(Input::PeerClosed { peer: PeerKey(2) });
    assert_eq!(sent(&bench.pass(CHOKE_INTERVAL)), [], "it wants nothing");
    assert_eq!(sent(&bench.says(PEER, upload_only(false))), [Message::Unchoke], "it is interested after all");
    bench.connect(PeerKey(3), FAST);
    bench.says(PeerKey(3), upload_only(true));
    bench.says(PEER, Message::NotInterested);
    assert_eq!(sent(&bench.says(PeerKey(3), Message::Interested)), []);
}

#[test]
fn partial_seeds_part_only_if_neither_has_anything_for_the_other() {
    let mut half = Bitfield::new(PIECES);
    half.insert(PieceIndex::new(0));
    let mut bench = Bench::new(half.clone(), Config::default());
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::Have(1));
    assert_eq!(closed(&bench.says(PEER, upload_only(true))), None, "it has what we want");
    assert_eq!(requests(&bench.says(PEER, Message::Unchoke)).len(), BLOCKS as usize);
    assert_eq!(closed(&bench.want(&half)), Some(DisconnectReason::BothSeeds));
}

#[test]
fn too_much_that_nobody_asked_for_ends_the_connection() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    let len = u32::try_from(MAX_UNREQUESTED_BYTES).unwrap();
    let block = BlockRange { piece: PieceIndex::new(0), offset: 0, len };
    assert_eq!(closed(&bench.input(Input::Unrequested { peer: PEER, block })), None);
    let piece = Message::Piece { index: 0, begin: 0, data: Cow::Borrowed(&[0]) };
    assert_eq!(closed(&bench.says(PEER, piece)), Some(DisconnectReason::UnrequestedData));
}

#[test]
fn inputs_about_strangers_and_nonsense_are_harmless() {
    let mut bench = Bench::leecher();
    let far = BlockRange { piece: PieceIndex::new(u32::MAX), offset: u32::MAX, len: u32::MAX };
    for peer in [PEER, PeerKey(2)] {
        for block in [far, block(0, 0), BlockRange { len: 5, ..block(0, 0) }] {
            bench.input(Input::BlockReceived { peer, block });
            bench.input(Input::BlockRefused { peer, block });
            bench.input(Input::BlockSent { peer, block: BlockRange { len: 5, ..block } });
            bench.input(Input::ServeFailed { peer, block });
        }
        bench.input(Input::PeerClosed { peer });
        bench.input(Input::ConnectFailed { addr: addr(7) });
        bench.input(Input::PieceVerified { piece: PieceIndex::new(PIECES), digests: &[] });
        bench.input(Input::PieceFailed { piece: PieceIndex::new(PIECES), from_disk: false, digests: &[] });
        bench.input(Input::PieceFailed { piece: PieceIndex::new(1), from_disk: false, digests: &[] });
        bench.input(Input::SetPriorities(&[Priority::Skip; PIECES as usize + 1]));
        bench.connect(PeerKey(2), FAST);
    }
}
