//! Limits: what passes in the long run, who gets it, and what happens when they change.

use super::*;
use crate::Limits;
use crate::limits::{BURST_BYTES, LIMITED_REQUESTS, MAX_UNREQUESTED_BYTES, WEB_SEED_BATCH};
use crate::line::{block_cost, cost};
use alloc::collections::{BTreeMap, BTreeSet};

const NO_LIMITS: Limits = Limits { up: None, down: None, upload_slots: 50, max_peers: 100 };

/// A swarm and peers that do what they are asked, each after a time of its own.
struct Scene {
    swarm: Swarm,
    lengths: Lengths,
    now: Time,
    /// How long each peer takes to bring or to take a block; who is not listed never does.
    latency: BTreeMap<PeerKey, Duration>,
    /// Blocks on their way, by when they are there and in which order they left.
    flight: BTreeMap<(Time, u64), (PeerKey, BlockRange, bool)>,
    sequence: u64,
    had: BTreeMap<PieceIndex, u32>,
    /// Bytes of blocks that came from and went to each peer.
    moved: BTreeMap<PeerKey, u64>,
    closed: Vec<PeerKey>,
    /// Those that ask for blocks as soon as they may.
    leechers: BTreeSet<PeerKey>,
    log: Vec<Output>,
}

impl Scene {
    fn new(have_all: bool, limits: Limits) -> Scene {
        let lengths = Lengths::new(2 << 30, 1 << 20).unwrap();
        let count = lengths.piece_count();
        let have = if have_all { Bitfield::full(count) } else { Bitfield::new(count) };
        let Limits { up, down, upload_slots, max_peers } = limits;
        let config = Config { max_up: up, max_down: down, upload_slots, max_peers, ..Config::default() };
        assert_eq!(config.limits(), limits);
        let now = Time::from_secs(1);
        Scene {
            swarm: Swarm::new(config, lengths, have, 1, now),
            lengths,
            now,
            latency: BTreeMap::new(),
            flight: BTreeMap::new(),
            sequence: 0,
            had: BTreeMap::new(),
            moved: BTreeMap::new(),
            closed: Vec::new(),
            leechers: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn connect(&mut self, n: u8, millis: Option<u64>) -> PeerKey {
        let peer = PeerKey(n.into());
        if let Some(millis) = millis {
            self.latency.insert(peer, Duration::from_millis(millis));
        }
        let (addr, peer_id) = (addr(n), PeerId([n; 20]));
        self.input(Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved: FAST });
        peer
    }

    fn says(&mut self, peer: PeerKey, message: Message<'_>) {
        self.input(Input::Message { peer, message });
    }

    /// One that has everything and lets us ask.
    fn seed(&mut self, n: u8, millis: Option<u64>) {
        let peer = self.connect(n, millis);
        self.says(peer, Message::HaveAll);
        self.says(peer, Message::Unchoke);
    }

    fn web_seed(&mut self, n: u8, millis: u64) {
        let peer = PeerKey(n.into());
        self.latency.insert(peer, Duration::from_millis(millis));
        let pieces = &Bitfield::full(self.lengths.piece_count());
        self.input(Input::WebSeedReady { peer, addr: addr(n), pieces });
    }

    /// One that wants everything and asks for some of it whenever it may.
    fn leecher(&mut self, n: u8, millis: Option<u64>) {
        let peer = self.connect(n, millis);
        self.leechers.insert(peer);
        self.says(peer, Message::HaveNone);
        self.says(peer, Message::Interested);
    }

    fn ask(&mut self, peer: PeerKey, blocks: u32) {
        for n in 0..blocks {
            let block = self.lengths.block(PieceIndex::new(n / 64), n % 64).unwrap();
            self.says(peer, Message::Request(block.into()));
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request { peer, block } => self.send_off(peer, block, false),
                Output::Serve { peer, block } => self.send_off(peer, block, true),
                Output::Cancel { peer, block } => self.flight.retain(|_, one| *one != (peer, block, false)),
                Output::Disconnect { peer, .. } => {
                    self.flight.retain(|_, one| one.0 != peer);
                    self.closed.push(peer);
                }
                Output::Send { peer, message: Message::Unchoke } if self.leechers.contains(&peer) => {
                    self.log.push(Output::Send { peer, message: Message::Unchoke });
                    self.ask(peer, 50);
                }
                other => self.log.push(other),
            }
        }
    }

    fn send_off(&mut self, peer: PeerKey, block: BlockRange, out: bool) {
        let Some(&latency) = self.latency.get(&peer) else { return };
        self.sequence += 1;
        self.flight.insert((self.now + latency, self.sequence), (peer, block, out));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flight.keys().next().map(|&(at, _)| at);
            let next = arrival.into_iter().chain(self.swarm.poll_timeout()).min().filter(|&at| at <= end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            match self.flight.first_entry().filter(|entry| entry.key().0 <= self.now) {
                Some(entry) => {
                    let (peer, block, out) = entry.remove();
                    self.arrive(peer, block, out);
                }
                None => {
                    self.swarm.handle_timeout(self.now);
                    self.drain();
                }
            }
            assert!(self.swarm.poll_timeout().is_none_or(|at| at > self.now), "it would spin");
        }
        self.now = end;
        self.swarm.check_invariants();
    }

    fn arrive(&mut self, peer: PeerKey, block: BlockRange, out: bool) {
        *self.moved.entry(peer).or_default() += u64::from(block.len);
        if out {
            self.input(Input::BlockSent { peer, block });
            // It always wants more.
            self.says(peer, Message::Request(block.into()));
            return;
        }
        self.input(Input::BlockReceived { peer, block });
        let had = self.had.entry(block.piece).or_default();
        *had += 1;
        if *had == self.lengths.block_count(block.piece) {
            self.input(Input::PieceVerified { piece: block.piece, digests: &[] });
        }
    }

    fn stats(&self) -> crate::Stats {
        self.swarm.stats(self.now)
    }

    /// Bytes over the line since the last look, down and up.
    fn passed_in(&mut self, time: Duration) -> (u64, u64) {
        let before = self.stats();
        self.run(time);
        let after = self.stats();
        (after.line_down - before.line_down, after.line_up - before.line_up)
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Within a twentieth below, and above within what may be on its way.
fn assert_keeps(limit: u64, seconds: u64, passed: u64, what: &str) {
    let allowed = limit * seconds;
    assert!(passed <= allowed + (limit / 2).max(2 * BURST_BYTES), "{what}: {passed} of {allowed}");
    assert!(passed + allowed / 20 >= allowed, "{what}: {passed} of {allowed}");
}

#[test]
fn what_comes_in_keeps_the_limit_and_no_less() {
    for (limit, seeds, millis) in
        [(20_000, 1, 5), (20_000, 50, 5), (20_000, 3, 2_000), (1_000_000, 10, 50), (10_000_000, 50, 100)]
    {
        let mut scene = Scene::new(false, Limits { down: Some(limit), ..NO_LIMITS });
        (1..=seeds).for_each(|n| scene.seed(n, Some(millis)));
        let what = std::format!("{limit} from {seeds}");
        let (down, _) = scene.passed_in(secs(60));
        assert_keeps(limit, 60, down, &what);
        let payload: u64 = scene.moved.values().sum();
        assert!(payload >= 60 * limit * 94 / 100, "{what}: {payload} of payload");
        assert_eq!(scene.stats().wasted, 0);
        assert!(scene.stats().held_down, "it would ask for more");
    }
}

#[test]
fn who_floods_us_takes_half_of_a_limit_at_most() {
    let limit = 1_000_000;
    let mut scene = Scene::new(false, Limits { down: Some(limit), ..NO_LIMITS });
    scene.seed(1, Some(50));
    let flooder = scene.connect(2, None);
    let words = std::vec![7; 100_000];
    for _ in 0..300 {
        // Five times as much as the limit.
        for _ in 0..5 {
            scene.says(flooder, Message::Extended { id: 99, payload: (&words).into() });
        }
        scene.run(Duration::from_millis(100));
    }
    let payload = scene.moved[&PeerKey(1)];
    assert!(payload >= 30 * limit * 45 / 100, "{payload}");
    assert!(payload <= 30 * limit * 60 / 100, "{payload}: what is said counts, too");
    assert!(scene.stats().line_down >= 30 * 5 * limit, "all of it is told");
}

#[test]
fn what_comes_from_web_seeds_keeps_the_limit_and_no_less() {
    // Which may be a run ahead of it.
    let run = WEB_SEED_BATCH as u64 * u64::from(BLOCK_LEN);
    for (limit, web_seeds, millis) in [(100_000, 1, 20), (1_000_000, 2, 50), (10_000_000, 1, 100)] {
        let mut scene = Scene::new(false, Limits { down: Some(limit), ..NO_LIMITS });
        (1..=web_seeds).for_each(|n| scene.web_seed(n, millis));
        let (down, _) = scene.passed_in(secs(60));
        let what = std::format!("{limit} from {web_seeds}: {down}");
        assert!(down <= 60 * limit + limit / 2 + run && down >= 60 * limit * 95 / 100, "{what}");
        assert!(scene.stats().held_down, "it would ask for more");
    }
}

#[test]
fn a_limit_on_what_comes_in_is_shared_fairly() {
    let mut scene = Scene::new(false, Limits { down: Some(500_000), ..NO_LIMITS });
    (1..=10).for_each(|n| scene.seed(n, Some(u64::from(n) * 20)));
    scene.run(secs(60));
    let share = 3_000_000 * 96 / 100;
    for (peer, &bytes) in &scene.moved {
        assert!(bytes.abs_diff(share) < share / 20, "{bytes} from {peer:?}, {share} expected");
    }
}

#[test]
fn peers_that_bring_nothing_hold_up_nobody() {
    let mut scene = Scene::new(false, Limits { down: Some(600_000), ..NO_LIMITS });
    (1..=9).for_each(|n| scene.seed(n, None));
    scene.seed(10, Some(400));
    scene.run(secs(2));
    let asked =
        |scene: &Scene| scene.swarm.peers(scene.now).map(|peer| peer.requests_out).collect::<Vec<_>>();
    assert!(asked(&scene)[..9].iter().all(|&asked| asked <= LIMITED_REQUESTS), "{:?}", asked(&scene));
    // Until it is known what the tenth can do.
    scene.run(secs(30));
    let (down, _) = scene.passed_in(secs(30));
    assert_keeps(600_000, 30, down, "one of ten answers");
}

#[test]
fn what_goes_out_keeps_the_limit_and_no_less() {
    for (limit, leechers, millis) in
        [(20_000, 1, 5), (20_000, 8, 5), (20_000, 2, 1_200), (1_000_000, 10, 50), (10_000_000, 40, 100)]
    {
        let mut scene = Scene::new(true, Limits { up: Some(limit), ..NO_LIMITS });
        (1..=leechers).for_each(|n| scene.leecher(n, Some(millis)));
        let (_, up) = scene.passed_in(secs(60));
        assert_keeps(limit, 60, up, &std::format!("{limit} to {leechers}"));
        assert!(scene.stats().held_up, "it would send more");
    }
}

#[test]
fn a_limit_on_what_goes_out_is_shared_fairly() {
    let mut scene = Scene::new(true, Limits { up: Some(100_000), ..NO_LIMITS });
    (1..=4).for_each(|n| scene.leecher(n, Some(u64::from(n) * 10)));
    scene.run(secs(60));
    let share = 1_500_000 * 96 / 100;
    for (peer, &bytes) in &scene.moved {
        assert!(bytes.abs_diff(share) < share / 20, "{bytes} to {peer:?}, {share} expected");
    }
}

#[test]
fn a_peer_that_takes_nothing_holds_up_nobody() {
    let mut scene = Scene::new(true, Limits { up: Some(100_000), ..NO_LIMITS });
    scene.leecher(1, None);
    scene.leecher(2, Some(10));
    scene.run(secs(5));
    assert!(scene.swarm.peers[&PEER].serving_bytes <= 25_000 + u64::from(BLOCK_LEN), "a quarter of a second");
    let (_, up) = scene.passed_in(secs(30));
    assert_keeps(100_000, 30, up, "one of two takes");
}

#[test]
fn every_byte_of_the_protocol_is_counted() {
    let mut scene = Scene::new(true, NO_LIMITS);
    scene.leecher(1, Some(1));
    let messages = sent(&scene.log).iter().map(|message| cost(message.encoded_len() as u64)).sum::<u64>();
    let handshake = 68 + 52;
    let up = messages + handshake;
    // Have none, interested, and fifty requests, each in a segment of its own.
    let down = handshake + 2 * (5 + 52) + 50 * (17 + 52);
    assert_eq!((scene.stats().line_down, scene.stats().line_up), (down, up));
    scene.run(Duration::from_millis(1));
    let sent = scene.moved[&PEER] / u64::from(BLOCK_LEN);
    assert!(sent > 0);
    assert_eq!(scene.stats().line_up, up + sent * block_cost(BLOCK_LEN));
    let mut scene = Scene::new(false, NO_LIMITS);
    scene.seed(1, None);
    let before = scene.stats();
    let block = scene.swarm.peers[&PEER].requests[0].block;
    scene.input(Input::Unrequested { peer: PEER, block });
    scene.input(Input::BlockRefused { peer: PEER, block });
    assert_eq!(scene.stats().line_down - before.line_down, 2 * block_cost(BLOCK_LEN));
    let requests = (scene.swarm.peers[&PEER].requests.len() + 1 - INITIAL_WINDOW) as u64;
    assert_eq!(scene.stats().line_up - before.line_up, requests * (17 + 52));
}

#[test]
fn a_flood_that_nobody_asked_for_is_paid_off_within_a_minute() {
    let mut scene = Scene::new(false, Limits { down: Some(20_000), ..NO_LIMITS });
    scene.seed(1, Some(5));
    let len = u32::try_from(MAX_UNREQUESTED_BYTES).unwrap();
    let block = BlockRange { piece: PieceIndex::new(0), offset: 0, len };
    scene.input(Input::Unrequested { peer: PEER, block });
    scene.run(secs(59));
    assert!(
        scene.moved.get(&PEER).is_none_or(|&bytes| bytes <= u64::from(BLOCK_LEN)),
        "first it is paid for"
    );
    let (down, _) = scene.passed_in(secs(61));
    assert_keeps(20_000, 61, down, "then it goes on");
}

#[test]
fn limits_change_as_it_runs() {
    let mut scene = Scene::new(false, NO_LIMITS);
    (1..=4).for_each(|n| scene.seed(n, Some(20)));
    let (free, _) = scene.passed_in(Duration::from_millis(500));
    assert!(free > 10_000_000, "{free} without a limit");
    for limit in [1_000_000, 50_000, 2_000_000] {
        scene.input(Input::SetLimits(Limits { down: Some(limit), ..NO_LIMITS }));
        // What was asked for before comes all the same.
        scene.run(secs(5));
        let (down, _) = scene.passed_in(secs(20));
        assert_keeps(limit, 20, down, "a new limit");
    }
    scene.input(Input::SetLimits(NO_LIMITS));
    assert!(!scene.stats().held_down);
    let (free, _) = scene.passed_in(Duration::from_millis(500));
    assert!(free > 10_000_000, "{free} without a limit again");

    let mut scene = Scene::new(false, Limits { down: Some(1), ..NO_LIMITS });
    scene.seed(1, Some(20));
    assert_eq!(scene.stats().line_down, 120 + 57 + 57, "what was said is paid off first");
    scene.input(Input::SetLimits(NO_LIMITS));
    let (free, _) = scene.passed_in(Duration::from_millis(500));
    assert!(free > 10_000_000, "{free} once a debt is forgotten");

    let mut scene = Scene::new(true, Limits { up: Some(20_000), ..NO_LIMITS });
    (1..=4).for_each(|n| scene.leecher(n, Some(20)));
    scene.run(secs(5));
    scene.input(Input::SetLimits(NO_LIMITS));
    assert!(!scene.stats().held_up);
    let (_, free) = scene.passed_in(secs(1));
    assert!(free > 10_000_000, "{free} without a limit");
}

#[test]
fn fewer_connections_leave_the_useful_ones() {
    let mut scene = Scene::new(false, Limits { down: Some(1_000_000), ..NO_LIMITS });
    // The second is of no use, the third lets us wait, the fourth is slower than the others.
    for (n, millis) in [(1, Some(10)), (3, None), (4, Some(4_000)), (5, Some(10))] {
        scene.seed(n, millis);
    }
    scene.connect(2, None);
    scene.run(secs(70));
    assert!(scene.swarm.peers[&PeerKey(3)].snubbed && !scene.swarm.peers[&PeerKey(4)].snubbed);
    let limits = |max_peers| Limits { max_peers, ..NO_LIMITS };
    scene.input(Input::SetLimits(limits(5)));
    assert_eq!(scene.closed, []);
    for max_peers in [4, 3, 2] {
        scene.input(Input::SetLimits(limits(max_peers)));
        assert_eq!(scene.stats().peers, max_peers);
    }
    assert_eq!(scene.closed, [PeerKey(2), PeerKey(3), PeerKey(4)]);
    scene.connect(6, None);
    assert_eq!(scene.closed.last(), Some(&PeerKey(6)), "full");
    scene.input(Input::SetLimits(limits(3)));
    scene.connect(7, None);
    assert_eq!(scene.stats().peers, 3);
}

#[test]
fn who_wants_nothing_of_anybody_counts_as_such() {
    let mut scene = Scene::new(false, NO_LIMITS);
    let hello = ext::Handshake { upload_only: true, ..ext::Handshake::default() };
    for n in [1, 2] {
        let peer = scene.connect(n, None);
        scene.says(peer, Message::HaveNone);
        scene.says(peer, Message::Interested);
    }
    assert_eq!(scene.stats().interested, 2);
    scene.says(PEER, Message::Extended { id: 0, payload: hello.encode().into() });
    assert_eq!(scene.stats().interested, 1);
    scene.input(Input::SetLimits(Limits { max_peers: 1, ..NO_LIMITS }));
    assert_eq!(scene.closed, [PEER], "though it came first");
}

#[test]
fn slots_change_at_once() {
    let mut scene = Scene::new(true, Limits { upload_slots: 2, ..NO_LIMITS });
    (1..=6).for_each(|n| scene.leecher(n, Some(50)));
    let limits = |upload_slots| Input::SetLimits(Limits { upload_slots, ..NO_LIMITS });
    for (slots, unchoked) in [(2, 2), (4, 4), (1, 1), (0, 1), (3, 3)] {
        scene.input(limits(slots));
        assert_eq!(scene.stats().unchoked, unchoked, "{slots} slots");
        scene.swarm.check_invariants();
    }
    assert_eq!(scene.stats().interested, 6);
}

#[test]
fn the_same_inputs_give_the_same_turns() {
    let run = || {
        let mut scene = Scene::new(false, Limits { down: Some(300_000), up: Some(50_000), ..NO_LIMITS });
        (1..=9).for_each(|n| scene.seed(n, Some(u64::from(n) * 13)));
        scene.run(secs(30));
        (scene.stats(), scene.moved)
    };
    assert_eq!(run(), run());
}
