//! What the brain costs: time per block at 50 peers and 8,000 pieces. Printed in every build, judged in release.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{BLOCK_LEN, Bitfield, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved};

const PEERS: u64 = 50;
const BLOCKS: u32 = 16;

/// Every peer delivers a block each millisecond in turn, until the torrent is there.
struct Load {
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
        Load { swarm, now: Time::ZERO, requests, blocks_left: vec![BLOCKS; pieces as usize], received: 0 }
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
            reserved: Reserved::NONE.with_fast(),
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
        let Some(block) = self.requests[usize::try_from(n).unwrap()].pop_front() else { return };
        self.input(Input::BlockReceived { peer: PeerKey(n), block });
        self.received += 1;
        let left = &mut self.blocks_left[block.piece.index()];
        *left -= 1;
        if *left == 0 {
            self.input(Input::PieceVerified { piece: block.piece, digests: &[] });
        }
    }
}

#[test]
fn a_block_costs_about_a_microsecond() {
    let pieces = if cfg!(debug_assertions) { 1000 } else { 8000 };
    let mut load = Load::new(pieces);
    let mut rng = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    (0..PEERS).for_each(|n| load.connect(n, &mut rng));
    let connected = start.elapsed();
    let start = Instant::now();
    while !load.swarm.stats(load.now).finished {
        load.now += Duration::from_millis(1);
        (0..PEERS).for_each(|n| load.step(n));
        assert!(start.elapsed() < Duration::from_secs(60), "stalled after {} blocks", load.received);
    }
    let per_block = start.elapsed() / load.received;
    let per_peer = connected / u32::try_from(PEERS).unwrap();
    println!(
        "brain: {per_block:?} per block at {PEERS} peers and {pieces} pieces, {per_peer:?} per bit field"
    );
    assert!(cfg!(debug_assertions) || per_block < Duration::from_micros(4), "{per_block:?}");
}
