//! A film that is watched while it comes: one swarm that sets deadlines as a player does, seeds of different rates, and
//! a link that they share.
#![allow(clippy::unwrap_used, clippy::panic)] // It is a test, but clippy does not know that of helpers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{Bitfield, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved, ext};

const PIECE: u32 = 1 << 20;
const PIECES: u32 = 60;
/// How many pieces ahead of the one that is played have a deadline.
const AHEAD: u32 = 8;
const STEP: Duration = Duration::from_millis(1);

/// A seed that sends what it is asked for, in order, at its own rate.
struct Seed {
    /// Bytes per second; it shares the link with all others.
    rate: u64,
    /// Half of the round trip.
    latency: Duration,
    /// From when on it sends nothing.
    stalls: Option<Time>,
    /// Requests, and when they reach it.
    queue: VecDeque<(Time, BlockRange)>,
    /// Bytes of the first of them that were sent.
    sent: u64,
}

impl Seed {
    fn new(rate: u64) -> Seed {
        let latency = Duration::from_millis(25);
        Seed { rate, latency, stalls: None, queue: VecDeque::new(), sent: 0 }
    }

    fn sends(&self, now: Time) -> bool {
        self.stalls.is_none_or(|at| now < at) && self.queue.front().is_some_and(|(at, _)| *at <= now)
    }
}

/// What became of it.
#[derive(Debug)]
struct Show {
    /// How long the first piece took, in the time that the link takes for a piece.
    start: f64,
    stalled: Duration,
    /// Bytes that came twice, per byte.
    waste: f64,
}

struct Room {
    swarm: Swarm,
    now: Time,
    seeds: Vec<Seed>,
    link: u64,
    asked: BTreeSet<(PeerKey, BlockRange)>,
    disk: BTreeMap<PieceIndex, BTreeSet<u32>>,
    /// Blocks on their way, and pieces that are hashed.
    arrivals: BTreeMap<(Time, u64), (PeerKey, BlockRange)>,
    hashes: VecDeque<(Time, PieceIndex)>,
    sequence: u64,
}

fn lengths() -> Lengths {
    Lengths::new(u64::from(PIECES) * u64::from(PIECE), PIECE).unwrap()
}

fn key(n: usize) -> PeerKey {
    PeerKey(u64::try_from(n).unwrap())
}

impl Room {
    fn new(link: u64, seeds: Vec<Seed>) -> Room {
        let now = Time::from_secs(1);
        let config = Config { max_peers: 200, ..Config::default() };
        Room {
            swarm: Swarm::new(config, lengths(), Bitfield::new(PIECES), 1, now),
            now,
            seeds,
            link,
            asked: BTreeSet::new(),
            disk: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            hashes: VecDeque::new(),
            sequence: 0,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request { peer, block } => {
                    self.asked.insert((peer, block));
                    let seed = &mut self.seeds[usize::try_from(peer.0).unwrap()];
                    seed.queue.push_back((self.now + seed.latency, block));
                }
                // It reaches the seed as soon as the request: what is being sent can't be taken back.
                Output::Cancel { peer, block } => {
                    let seed = &mut self.seeds[usize::try_from(peer.0).unwrap()];
                    let keep = seed.queue.pop_front();
                    seed.queue.retain(|(_, other)| *other != block);
                    keep.into_iter().for_each(|first| seed.queue.push_front(first));
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self) {
        for n in 0..self.seeds.len() {
            let peer = key(n);
            let id = u8::try_from(n).unwrap();
            let reserved = Reserved::NONE.with_fast().with_extended();
            let addr = SocketAddr::from(([10, 0, 0, id], 1));
            self.input(Input::PeerConnected {
                peer,
                addr,
                outgoing: true,
                peer_id: PeerId([id + 1; 20]),
                reserved,
            });
            let hello = ext::Handshake { reqq: Some(500), ..ext::Handshake::default() };
            self.input(Input::Message {
                peer,
                message: Message::Extended { id: 0, payload: hello.encode().into() },
            });
            self.input(Input::Message { peer, message: Message::HaveAll });
        }
        (0..self.seeds.len())
            .for_each(|n| self.input(Input::Message { peer: key(n), message: Message::Unchoke }));
    }

    /// One step of the link: those who send share it, nobody gets more than its own rate.
    fn step(&mut self) {
        self.now += STEP;
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (peer, block) = entry.remove();
            self.arrive(peer, block);
        }
        while let Some(&(_, piece)) = self.hashes.front().filter(|(at, _)| *at <= self.now) {
            self.hashes.pop_front();
            self.input(Input::PieceVerified { piece, digests: &[] });
        }
        if self.swarm.poll_timeout().is_some_and(|at| at <= self.now) {
            self.swarm.handle_timeout(self.now);
            self.drain();
        }
        self.send();
    }

    fn send(&mut self) {
        let millis = u64::try_from(STEP.as_millis()).unwrap();
        let mut left = self.link * millis / 1000;
        let mut senders: Vec<usize> =
            (0..self.seeds.len()).filter(|&n| self.seeds[n].sends(self.now)).collect();
        senders.sort_by_key(|&n| self.seeds[n].rate);
        let mut count = u64::try_from(senders.len()).unwrap();
        for n in senders {
            let seed = &mut self.seeds[n];
            let share = (left / count).min(seed.rate * millis / 1000);
            (left, count) = (left - share, count - 1);
            seed.sent += share;
            while let Some((_, block)) =
                seed.queue.front().copied().filter(|(_, block)| seed.sent >= u64::from(block.len))
            {
                seed.queue.pop_front();
                seed.sent -= u64::from(block.len);
                self.sequence += 1;
                self.arrivals.insert((self.now + seed.latency, self.sequence), (key(n), block));
            }
            if seed.queue.is_empty() {
                seed.sent = 0;
            }
        }
    }

    fn arrive(&mut self, peer: PeerKey, block: BlockRange) {
        if !self.asked.remove(&(peer, block)) {
            return self.input(Input::Unrequested { peer, block });
        }
        let piece = self.disk.entry(block.piece).or_default();
        if !piece.insert(block.offset) {
            return self.input(Input::BlockRefused { peer, block });
        }
        if piece.len() == lengths().block_count(block.piece) as usize {
            self.hashes.push_back((self.now + STEP * 2, block.piece));
        }
        self.input(Input::BlockReceived { peer, block });
    }

    /// Plays at so many thousandths of the link, three pieces' time after it was opened (or when there is something).
    fn watch(&mut self, permille: u64) -> Show {
        let piece_time = |rate: u64| Duration::from_nanos(u64::from(PIECE) * 1_000_000_000 / rate);
        let play = piece_time(self.link * permille / 1000);
        let begin = self.now;
        let (mut next, mut position, mut start, mut stalled) = (begin, 0, None, Duration::ZERO);
        let mut wanted = self.want(0, 0, begin, play);
        self.connect();
        while position < PIECES {
            self.step();
            assert!(self.now.since(begin) < play * PIECES * 4, "it never ends");
            let there = self.swarm.have().contains(PieceIndex::new(position));
            if there && position == 0 {
                start.get_or_insert(self.now);
            }
            if self.now < next || position == 0 && self.now < begin + piece_time(self.link) * 3 {
                continue;
            }
            if !there {
                stalled += if position > 0 { STEP } else { Duration::ZERO };
                continue;
            }
            // From now on it is known when each piece is played.
            wanted = if position == 0 { 0 } else { wanted };
            position += 1;
            next = self.now + play;
            wanted = self.want(position, wanted, next, play);
        }
        let stats = self.swarm.stats(self.now);
        let start = start.unwrap().since(begin).as_secs_f64() / piece_time(self.link).as_secs_f64();
        Show { start, stalled, waste: stats.wasted as f64 / stats.downloaded as f64 }
    }

    /// Sets the deadlines of the pieces ahead, from `wanted` on; `next` is when the one at the position is played.
    fn want(&mut self, position: u32, wanted: u32, next: Time, play: Duration) -> u32 {
        let end = (position + AHEAD).min(PIECES);
        for n in position.max(wanted)..end {
            let at = Some(next + play * (n - position));
            self.input(Input::SetDeadline { piece: PieceIndex::new(n), at });
        }
        end
    }
}

/// Plays at 80 % of a link of 5 MB/s.
fn watch(seeds: Vec<Seed>, start: f64) {
    let show = Room::new(5_000_000, seeds).watch(800);
    println!("{show:?}");
    assert!(show.stalled.is_zero() && show.start < start && show.waste < 0.05, "{show:?}");
}

#[test]
fn a_hundred_seeds_together_twice_as_fast_as_the_link() {
    watch((0..100).map(|_| Seed::new(100_000)).collect(), 3.0);
}

#[test]
fn a_hundred_seeds_each_as_fast_as_the_link() {
    watch((0..100).map(|_| Seed::new(5_000_000)).collect(), 3.0);
}

#[test]
fn a_hundred_seeds_of_all_kinds() {
    // The slowest, which are the first to be asked, need 1.6 s for a block: eight times as long as a piece takes.
    watch((0..100).map(|n| Seed::new(10_000 + n * n * 100)).collect(), 6.0);
}

#[test]
fn a_few_seeds_one_of_them_slow() {
    watch([3_000_000, 1_500_000, 1_500_000, 20_000].map(Seed::new).into(), 3.0);
}

#[test]
fn one_fast_seed() {
    watch(vec![Seed::new(10_000_000)], 3.0);
}

#[test]
fn a_seed_that_stops() {
    let mut seeds: Vec<Seed> = (0..5).map(|_| Seed::new(2_000_000)).collect();
    seeds[0].stalls = Some(Time::from_secs(5));
    watch(seeds, 3.0);
}
