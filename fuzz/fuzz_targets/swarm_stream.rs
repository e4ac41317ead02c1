//! Arbitrary bytes from three peers, decoded and fed to a live swarm together with what a driver would answer.
//! Nothing may panic, and every invariant of the swarm holds after every input.
#![no_main]

use common::plant;
use core::net::SocketAddr;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use swarm::{Config, Input, Order, Output, PeerKey, PeerSource, Priority, Swarm};
use types::{Bitfield, BlockDigest, BlockRange, Lengths, PeerId, Time};
use wire::{Decoded, Limits, Reserved, decode};

const PIECES: u32 = 9;
const PRIORITIES: [Priority; 4] = [Priority::Normal, Priority::Skip, Priority::Low, Priority::High];

/// A swarm and a driver that does what it is told as the input's bytes please.
struct Bench {
    swarm: Swarm,
    now: Time,
    asked: Vec<(PeerKey, BlockRange)>,
    serving: Vec<(PeerKey, BlockRange)>,
    received: usize,
    sent: usize,
}

impl Bench {
    fn new(flags: u8) -> Bench {
        // The last piece and its last block are short.
        let lengths = Lengths::new(u64::from(PIECES) * 49_152 - 20_000, 49_152).expect("a torrent");
        let mut have = Bitfield::new(PIECES);
        for piece in lengths.pieces().take(usize::from(flags >> 4)) {
            have.insert(piece);
        }
        // Some are outranked by others, and all come from one network.
        let external = vec![[10, 1, 0, 1].into()];
        let config = Config {
            max_peers: 3,
            upload_slots: 1,
            max_requests: 8,
            external,
            pex: true,
            ..Config::default()
        };
        let swarm = Swarm::new(config, lengths, have, u64::from(flags), Time::ZERO);
        Bench { swarm, now: Time::ZERO, asked: Vec::new(), serving: Vec::new(), received: 0, sent: 0 }
    }

    fn connect(&mut self, n: u8, flags: u8) {
        let reserved = Reserved::NONE.with_extended();
        self.input(Input::PeerConnected {
            peer: PeerKey(u64::from(n)),
            addr: SocketAddr::from(([10, 0, 0, n], 6881)),
            outgoing: flags & 2 != 0,
            peer_id: PeerId([n; 20]),
            reserved: if flags & 1 != 0 { reserved.with_fast() } else { reserved },
        });
    }

    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        self.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request { peer, block } => self.asked.push((peer, block)),
                Output::Serve { peer, block } => self.serving.push((peer, block)),
                // One driver in two can.
                Output::Forget { piece, blocks } if blocks[0].is_multiple_of(2) => {
                    self.swarm.handle(self.now, Input::BlocksForgotten { piece, blocks: &blocks });
                }
                Output::Disconnect { peer, .. } => {
                    self.asked.retain(|(of, _)| *of != peer);
                    self.serving.retain(|(to, _)| *to != peer);
                }
                _ => {}
            }
        }
        self.swarm.check_invariants();
    }

    /// A piece came to this. A block has one of two digests, which are right or wrong as the bits of `which` say.
    fn hashed(&mut self, good: bool, piece: types::PieceIndex, which: u8) {
        if good {
            let digests = [BlockDigest([0; 16]); 3];
            return self.input(Input::PieceVerified { piece, digests: &digests[..usize::from(which >> 6)] });
        }
        let digests: [_; 3] =
            core::array::from_fn(|n| (which >> n & 16 == 0).then_some(BlockDigest([which >> n & 4; 16])));
        let count = if which & 1 == 0 { 3 } else { 2 };
        self.input(Input::PieceFailed { piece, from_disk: which & 0x80 != 0, digests: &digests[..count] });
    }

    /// One step of the driver.
    fn drive(&mut self, what: u8, which: u8) {
        let piece = types::PieceIndex::new(u32::from(which) % (PIECES + 1));
        match what % 15 {
            0 | 1 if !self.asked.is_empty() => {
                let (peer, block) = self.asked.remove(usize::from(which) % self.asked.len());
                self.received += 1;
                self.input(Input::BlockReceived { peer, block });
            }
            2 if !self.asked.is_empty() => {
                let (peer, block) = self.asked[usize::from(which) % self.asked.len()];
                self.input(Input::BlockRefused { peer, block });
            }
            3 if !self.serving.is_empty() => {
                let (peer, block) = self.serving.remove(usize::from(which) % self.serving.len());
                self.sent += 1;
                self.input(Input::BlockSent { peer, block });
            }
            4 | 5 => self.hashed(what % 15 == 4, piece, which),
            6 => self.connect(which % 4, which >> 4),
            7 => {
                self.now += Duration::from_millis(u64::from(which) * 100);
                self.swarm.handle_timeout(self.now);
                self.outputs();
                assert!(self.swarm.poll_timeout().is_none_or(|at| at > self.now), "it would spin");
            }
            8 => {
                // One piece more than there is, now and then.
                let priority = |n| PRIORITIES[usize::from(which >> (n % 5)) % PRIORITIES.len()];
                let priorities: Vec<_> = (0..PIECES + u32::from(which == 0xff)).map(priority).collect();
                self.input(Input::SetPriorities(&priorities));
            }
            9 => {
                let addr = SocketAddr::from(([10, 0, 0, which % 8], 6881));
                match which >> 6 {
                    0 => self.input(Input::PeersFound { addrs: &[addr], source: PeerSource::Tracker }),
                    1 => self.input(Input::ConnectFailed { addr }),
                    2 => self.input(Input::PeerClosed { peer: PeerKey(u64::from(which % 4)) }),
                    _ => self.input(match which & 3 {
                        0 => Input::Pause,
                        1 => Input::Resume,
                        _ => Input::SetLimits(limits(which >> 2 & 15)),
                    }),
                }
            }
            10 => {
                let after = Duration::from_millis(u64::from(which) * 25);
                let at = (which & 3 != 0).then(|| self.now + after);
                self.input(Input::SetDeadline { piece, at });
            }
            11 => self.input(Input::SetOrder(match which & 1 {
                0 => Order::Sequential,
                _ => Order::RarestFirst,
            })),
            12 if which >> 6 == 0 => self.input(Input::SetSuperSeed(which & 1 == 0)),
            12 => self.input(Input::PieceLost { piece }),
            13 => {
                let mut pieces = Bitfield::full(PIECES + u32::from(which == 0xff));
                if which & 0x10 != 0 {
                    pieces.remove(piece);
                }
                let addr = SocketAddr::from(([10, 0, 0, which % 8], 80));
                self.input(Input::WebSeedReady {
                    peer: PeerKey(u64::from(which % 4)),
                    addr,
                    pieces: &pieces,
                });
            }
            14 => {
                let block = BlockRange { piece, offset: u32::from(which) << 24, len: 16_384 };
                self.input(Input::Unrequested { peer: PeerKey(u64::from(which % 4)), block });
            }
            _ => {}
        }
    }
}

fn limits(bits: u8) -> swarm::Limits {
    let rate = |bit| (bits & bit != 0).then_some(40_000);
    let count = usize::from(bits & 3) + 1;
    swarm::Limits { up: rate(4), down: rate(8), upload_slots: count, max_peers: count }
}

fuzz_target!(|data: &[u8]| {
    let Some((&flags, mut rest)) = data.split_first() else { return };
    let mut bench = Bench::new(flags);
    (1..4).for_each(|n| bench.connect(n, flags >> (n - 1)));
    let limits = Limits::for_pieces(PIECES);
    // Two bytes for the driver, one that names a peer, then a message of that peer.
    while let [what, which, peer, bytes @ ..] = rest {
        bench.drive(*what, *which);
        let Ok(Decoded::Message { message, consumed }) = decode(bytes, &limits) else {
            rest = bytes;
            continue;
        };
        bench.input(Input::Message { peer: PeerKey(u64::from(peer % 4)), message });
        rest = &bytes[consumed..];
        plant(|| bench.received >= 1 || bench.sent >= 1);
    }
});
