//! What the brain costs: time per block at 50 peers and 8,000 pieces. Printed in every build, judged in release.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{BLOCK_LEN, Bitfield, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved, ext};

const PEERS: u64 = 50;
const BLOCKS: u32 = 16;

/// Every peer delivers a block each millisecond in turn, until the torrent is there.
struct Load {
    rng: fastrand::Rng,
    /// Which of its requests a peer answers: the first, or any.
    in_order: bool,
    swarm: Swarm,
    now: Time,
    requests: Vec<VecDeque<BlockRange>>,
    blocks_left: Vec<u32>,
    received: u32,
}

impl Load {
    fn new(pieces: u32) -> Load {
        let lengths =
            Lengths::new(u64::from(pieces * BLOCKS) * u64::from(BLOCK_LEN), BLOCKS * BLOCK_LEN).unwrap();
        let swarm = Swarm::new(Config::default(), lengths, Bitfield::new(pieces), 1, Time::ZERO);
        let requests = (0..PEERS).map(|_| VecDeque::new()).collect();
        let rng = fastrand::Rng::with_seed(2);
        Load {
            rng,
            in_order: true,
            swarm,
            now: Time::ZERO,
            requests,
            blocks_left: vec![BLOCKS; pieces as usize],
            received: 0,
        }
    }

    /// One peer in five is a seed, the others have half of the pieces.
    fn connect(&mut self, n: u64, rng: &mut fastrand::Rng) {
        let pieces = u32::try_from(self.blocks_left.len()).unwrap();
        let mut have = Bitfield::new(pieces);
        let chance = if n.is_multiple_of(5) { 2 } else { 1 };
        for piece in (0..pieces).filter(|_| rng.u32(0..2) < chance) {
            have.insert(PieceIndex::new(piece));
        }
        let id = u8::try_from(n).unwrap();
        self.input(Input::PeerConnected {
            peer: PeerKey(n),
            addr: SocketAddr::from(([10, 0, 0, id], 1)),
            outgoing: true,
            peer_id: PeerId([id + 1; 20]),
            reserved: Reserved::NONE.with_fast().with_extended(),
        });
        self.input(Input::Message { peer: PeerKey(n), message: Message::Bitfield(have.as_bytes().into()) });
        self.input(Input::Message { peer: PeerKey(n), message: Message::Unchoke });
    }

    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request { peer, block } => {
                    self.requests[usize::try_from(peer.0).unwrap()].push_back(block);
                }
                Output::Cancel { peer, block } => {
                    self.requests[usize::try_from(peer.0).unwrap()].retain(|asked| *asked != block);
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, n: u64) {
        let requests = &mut self.requests[usize::try_from(n).unwrap()];
        let nth = if self.in_order || requests.is_empty() { 0 } else { self.rng.usize(..requests.len()) };
        let Some(block) = requests.swap_remove_front(nth) else { return };
        self.input(Input::BlockReceived { peer: PeerKey(n), block });
        self.received += 1;
        let left = &mut self.blocks_left[block.piece.index()];
        *left -= 1;
        if *left == 0 {
            self.input(Input::PieceVerified { piece: block.piece, digests: &[] });
        }
    }
}

/// The time per block until the torrent is there; `before` is called before each millisecond.
fn run(load: &mut Load, peers: u64, blocks: u32, mut before: impl FnMut(&mut Load)) -> Duration {
    let start = Instant::now();
    while !load.swarm.stats(load.now).finished {
        load.now += Duration::from_millis(1);
        before(load);
        (0..peers).for_each(|n| (0..blocks).for_each(|_| load.step(n)));
        assert!(start.elapsed() < Duration::from_secs(60), "stalled after {} blocks", load.received);
    }
    start.elapsed() / load.received
}

fn pieces() -> u32 {
    if cfg!(debug_assertions) { 1000 } else { 8000 }
}

/// The bar is for machines that are busy with other things too: on an idle one, it is a fraction of it.
fn judge(what: &str, per_block: Duration, bar: Duration) {
    println!("brain: {per_block:?} per block {what} at {} pieces", pieces());
    assert!(cfg!(debug_assertions) || per_block < bar, "{per_block:?}");
}

const BAR: Duration = Duration::from_micros(4);

#[test]
fn a_block_costs_about_a_microsecond() {
    let mut load = Load::new(pieces());
    let mut rng = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    (0..PEERS).for_each(|n| load.connect(n, &mut rng));
    println!("brain: {:?} per bit field", start.elapsed() / u32::try_from(PEERS).unwrap());
    judge("of 50 peers", run(&mut load, PEERS, 1, |_| {}), BAR);
}

#[test]
fn peers_that_answer_in_any_order_cost_little_more() {
    let mut load = Load::new(pieces());
    load.in_order = false;
    let mut rng = fastrand::Rng::with_seed(1);
    (0..PEERS).for_each(|n| load.connect(n, &mut rng));
    judge("of 50 peers that answer in any order", run(&mut load, PEERS, 1, |_| {}), BAR);
}

#[test]
fn ten_gigabit_of_one_peer() {
    for in_order in [true, false] {
        let mut load = Load::new(pieces());
        load.in_order = in_order;
        load.connect(0, &mut fastrand::Rng::with_seed(1));
        let hello = ext::Handshake { reqq: Some(16_384), ..ext::Handshake::default() };
        let payload = hello.encode().into();
        load.input(Input::Message { peer: PeerKey(0), message: Message::Extended { id: 0, payload } });
        let mut most = 0;
        let per_block = run(&mut load, 1, 76, |load| most = most.max(load.requests[0].len()));
        let order = if in_order { "in order" } else { "in any order" };
        // Nobody answers 16,384 requests in any order: it is the worst that there can be, and must not be a wall.
        let bar = if in_order { BAR } else { BAR * 8 };
        judge(&format!("of one peer that is asked for {most} and answers {order}"), per_block, bar);
    }
}

#[test]
fn a_film_with_many_deadlines() {
    let mut load = Load::new(pieces());
    let mut rng = fastrand::Rng::with_seed(1);
    (0..PEERS).for_each(|n| load.connect(n, &mut rng));
    let mut next = 0;
    let per_block = run(&mut load, PEERS, 1, |load| {
        // As many as are kept, some of them always near.
        while next < pieces() && next < load.received / BLOCKS + 250 {
            let at = Some(Time::ZERO + Duration::from_micros(u64::from(next) * 320));
            load.input(Input::SetDeadline { piece: PieceIndex::new(next), at });
            next += 1;
        }
    });
    judge("of 50 peers, 250 deadlines,", per_block, BAR);
}
