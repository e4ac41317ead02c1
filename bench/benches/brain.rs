//! What the brain costs: time per block of a torrent of 8,000 pieces, picker, window and choker together: peers want what
//! we have, say what they got, and the brain is woken whenever it asks for it.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros make functions; its loads are our own

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{BLOCK_LEN, Bitfield, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved, ext};

const PEERS: u64 = 50;
const BLOCKS: u32 = 16;
const PIECES: u32 = 8000;
/// So that a download takes half a minute, in which slots are given away several times.
const STEP: Duration = Duration::from_millis(10);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Every peer delivers a block in turn, until the torrent is there.
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
        self.input(Input::Message { peer: PeerKey(n), message: Message::Interested });
    }

    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        self.obey();
    }

    /// Time goes on, and the brain is woken if it asked for it.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.swarm.poll_timeout().is_some_and(|at| at <= self.now) {
            self.swarm.handle_timeout(self.now);
            self.obey();
        }
    }

    fn obey(&mut self) {
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

/// Downloads all of it in steps of `step`, in each of which every peer delivers so many blocks; `before` is called before
/// each.
fn run(load: &mut Load, step: Duration, peers: u64, blocks: u32, mut before: impl FnMut(&mut Load)) {
    while !load.swarm.stats(load.now).finished {
        load.pass(step);
        before(load);
        (0..peers).for_each(|n| (0..blocks).for_each(|_| load.step(n)));
    }
}

/// Nobody has said anything yet but what they have.
fn crowd(in_order: bool) -> Load {
    let mut load = Load::new(PIECES);
    load.in_order = in_order;
    let mut rng = fastrand::Rng::with_seed(1);
    (0..PEERS).for_each(|n| load.connect(n, &mut rng));
    load
}

/// One peer that is asked for 256 MiB at once.
fn fast_peer() -> Load {
    let mut load = Load::new(PIECES);
    load.connect(0, &mut fastrand::Rng::with_seed(1));
    let hello = ext::Handshake { reqq: Some(16_384), ..ext::Handshake::default() };
    let payload = hello.encode().into();
    load.input(Input::Message { peer: PeerKey(0), message: Message::Extended { id: 0, payload } });
    load
}

/// As many deadlines as are kept, some of them always near.
fn watch_a_film(load: &mut Load) {
    let mut next = 0;
    run(load, STEP, PEERS, 1, |load| {
        while next < PIECES && next < load.received / BLOCKS + 250 {
            let at = Some(Time::ZERO + Duration::from_micros(u64::from(next) * 3200));
            load.input(Input::SetDeadline { piece: PieceIndex::new(next), at });
            next += 1;
        }
    });
}

fn brain(c: &mut Criterion) {
    let mut group = c.benchmark_group("brain, a block");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(PIECES * BLOCKS)));
    let size = BatchSize::PerIteration;
    let mut bench = |name: &str, load: fn() -> Load, go: fn(&mut Load)| {
        group.bench_function(name, |b| b.iter_batched_ref(load, go, size));
    };
    bench("50 peers", || crowd(true), |load| run(load, STEP, PEERS, 1, |_| {}));
    bench("50 peers that answer in any order", || crowd(false), |load| run(load, STEP, PEERS, 1, |_| {}));
    bench("50 peers and 250 deadlines", || crowd(true), watch_a_film);
    bench("one peer at 10 Gbit/s and 100 ms", fast_peer, |load| run(load, MILLISECOND, 1, 76, |_| {}));
}

criterion_group!(benches, brain);
criterion_main!(benches);
