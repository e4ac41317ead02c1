//! Brains, lines and disks in one virtual time.
//!
//! The world hands each brain what happens to it, does what the brain says, and moves on to the next event. A message
//! or block takes the way of its connection: the sender's line, shared block by block among the connections that
//! have something to send; the way, a fixed time; the receiver's line. What a run does depends on its [`Spec`] and
//! its seed alone.

mod audit;
mod connect;
mod faults;
mod line;
mod player;

use crate::disk::{Bad, Disk, Taken};
use crate::outcome::{Outcome, PeerOutcome};
use crate::queue::Queue;
use crate::spec::{PeerSpec, Role, Spec};
use fastrand::Rng;
use line::{Item, Line};
use player::Player;
use rustc_hash::FxHasher;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, PeerSource, Swarm};
use types::{Bitfield, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::Message;

/// How long after it said so once more a tracker is asked for addresses.
const TRACKER_TIME: Duration = Duration::from_millis(200);

pub(crate) struct World<'a> {
    spec: &'a Spec,
    lengths: Lengths,
    now: Time,
    rng: Rng,
    queue: Queue<Event>,
    nodes: Vec<Node>,
    by_addr: BTreeMap<SocketAddr, u32>,
    ends: Vec<End>,
    digest: FxHasher,
    partition: Option<Partition>,
    /// Peers that have to complete and did not.
    waiting: usize,
    faults_left: usize,
    /// The pieces that some peer that began without has completed.
    out: Bitfield,
    /// What seeds had sent when every piece was out.
    sent_when_out: Option<u64>,
    /// Peers that give and are not complete.
    givers_left: usize,
}

struct Node {
    spec: PeerSpec,
    addr: SocketAddr,
    /// Counts its lives; what was meant for an earlier one is dropped.
    life: u32,
    alive: bool,
    swarm: Swarm,
    disk: Disk,
    line: Line,
    /// When the brain is looked after, on the world's clock.
    armed: Time,
    finished: Option<Time>,
    outcome: PeerOutcome,
    /// Its ends of open connections.
    links: Vec<u32>,
    player: Option<Player>,
}

/// One end of a connection; the other end's number differs in the last bit.
struct End {
    node: u32,
    open: bool,
    /// Both sides speak BEP 6.
    fast: bool,
    /// What its brain asked for.
    asked: Vec<BlockRange>,
    /// What waits to be sent.
    out: std::collections::VecDeque<Item>,
    /// How many blocks of it are in the socket.
    in_socket: usize,
    /// It stands in the line's ring.
    queued: bool,
    one_way: Duration,
    /// When a message left last.
    said: Time,
    /// When what it sent last arrives: later messages do not overtake.
    last_arrival: Time,
    /// What its owner heard last: the other end chokes it.
    choked: bool,
    /// What its owner said last: it chokes the other end.
    choking: bool,
    /// Pieces that the other end may ask for though it is choked, and those that it may (BEP 6).
    allowed: [Vec<u32>; 2],
    /// The pieces that its owner was told the other end has; kept only where everything is checked.
    told: Bitfield,
}

/// The network is in two parts.
struct Partition {
    /// Peers before this one are on one side.
    first: usize,
    /// What waits to be let through.
    held: Vec<Event>,
}

enum Event {
    Arrive { to: u32, item: Item },
    Received { to: u32, item: Item },
    ServeFailed { from: u32, block: BlockRange },
    Closed { to: u32 },
    LineFree { node: u32, life: u32 },
    Dialed { from: u32, life: u32, to: SocketAddr },
    Hashed { node: u32, life: u32, piece: PieceIndex },
    Timer { node: u32, life: u32, at: Time },
    Tracker { node: u32, life: u32 },
    Start { node: u32 },
    Fault { number: usize },
    Gone { node: u32, life: u32 },
    Heal,
    Play { node: u32, life: u32 },
}

impl<'a> World<'a> {
    pub(crate) fn new(spec: &'a Spec, seed: u64) -> World<'a> {
        let mut rng = Rng::with_seed(seed);
        let mut world = World {
            spec,
            lengths: spec.lengths,
            now: Time::from_secs(1),
            queue: Queue::new(),
            nodes: Vec::with_capacity(spec.peers.len()),
            by_addr: BTreeMap::new(),
            ends: Vec::new(),
            digest: FxHasher::default(),
            partition: None,
            waiting: 0,
            faults_left: spec.faults.len(),
            out: Bitfield::new(spec.lengths.piece_count()),
            sent_when_out: None,
            givers_left: spec.peers.iter().filter(|peer| peer.role == Role::Leecher).count(),
            rng: rng.fork(),
        };
        for (number, peer) in spec.peers.iter().enumerate() {
            world.add(number, peer, rng.u64(..));
        }
        for (number, (after, _)) in spec.faults.iter().enumerate() {
            world.queue.put(world.now + *after, Event::Fault { number });
        }
        world
    }

    fn add(&mut self, number: usize, peer: &PeerSpec, seed: u64) {
        let node = u32::try_from(number).expect("far fewer than 2^32 peers");
        let [_, b, c, d] = (node + 1).to_be_bytes();
        let addr = SocketAddr::from(([10, b, c, d], 6881));
        let count = self.lengths.piece_count();
        let have = if peer.role == Role::Seed { Bitfield::full(count) } else { Bitfield::new(count) };
        let at = self.now + peer.start;
        self.waiting += usize::from(peer.role != Role::Seed);
        self.nodes.push(Node {
            spec: peer.clone(),
            addr,
            life: 0,
            alive: false,
            swarm: Swarm::new(self.config(node, peer), self.lengths, have.clone(), seed, self.now),
            disk: Disk::new(self.lengths, have),
            line: Line::new(peer.up, peer.down),
            armed: Time::MAX,
            finished: None,
            outcome: PeerOutcome::new(peer.role),
            links: Vec::new(),
            player: peer.playback.map(Player::new),
        });
        self.by_addr.insert(addr, node);
        self.queue.put(at, Event::Start { node });
    }

    fn config(&self, node: u32, peer: &PeerSpec) -> Config {
        Config {
            peer_id: peer_id(node),
            client: String::new(),
            listen_ports: [6881; 2],
            max_peers: self.spec.neighbours,
            super_seed: peer.super_seed,
            max_down: peer.max_down,
            buggify: self.spec.buggify,
            #[cfg(feature = "planted")]
            planted: self.spec.planted,
            ..Config::default()
        }
    }

    /// Runs until everybody who stays is done. `Err` tells what went wrong.
    pub(crate) fn run(mut self) -> Result<Outcome, String> {
        let start = self.now;
        let end = start + self.spec.deadline;
        while self.waiting > 0 || self.faults_left > 0 {
            let Some((at, event)) = self.queue.take(end) else {
                return Err(self.report("not everybody completed in time"));
            };
            self.now = at;
            self.happen(event);
        }
        let now = self.now;
        Ok(self.outcome(now - start))
    }

    /// Runs until then, whoever is done, and shows a brain.
    pub(crate) fn look(
        mut self,
        after: Duration,
        peer: usize,
        see: impl FnOnce(&Swarm, Time),
    ) -> Result<(), String> {
        let node = u32::try_from(peer).ok().filter(|_| peer < self.nodes.len());
        let node = node.ok_or_else(|| format!("there is no peer {peer}"))?;
        let end = self.now + after;
        while let Some((at, event)) = self.queue.take(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
        see(&self.nodes[peer].swarm, self.clock(node));
        Ok(())
    }

    fn outcome(self, took: Duration) -> Outcome {
        let mut digest = self.digest;
        digest.write_u64(self.now.as_nanos());
        let peers: Vec<PeerOutcome> = self
            .nodes
            .into_iter()
            .map(|node| {
                let stats = node.swarm.stats(self.now);
                let mut outcome = node.outcome;
                outcome.finished = node.finished.map(|at| at - (Time::from_secs(1) + node.spec.start));
                outcome.add(&stats);
                outcome.playback = node.player.as_ref().map(Player::outcome);
                outcome
            })
            .collect();
        Outcome {
            peers,
            took,
            events: self.queue.count(),
            digest: digest.finish(),
            sent_when_out: self.sent_when_out,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, item } => self.arrive(to, item),
            Event::Received { to, item } => self.receive(to, item),
            Event::ServeFailed { from, block } => {
                let end = &self.ends[from as usize];
                if end.open {
                    self.tell(end.node, Input::ServeFailed { peer: PeerKey(from.into()), block });
                }
            }
            Event::Closed { to } => self.heard_close(to),
            Event::LineFree { node, life } if self.lives(node, life) => self.line_free(node),
            Event::Dialed { from, life, to } if self.lives(from, life) => self.meet(from, to),
            Event::Hashed { node, life, piece } if self.lives(node, life) => self.hashed(node, piece),
            Event::Timer { node, life, at } if self.lives(node, life) => self.timer(node, at),
            Event::Tracker { node, life } if self.lives(node, life) => self.track(node),
            Event::Start { node } => self.start(node),
            Event::Fault { number } => self.befall(number),
            Event::Gone { node, life } if self.lives(node, life) => self.end(node as usize, None, false),
            Event::Heal => self.heal(),
            Event::Play { node, life } if self.lives(node, life) => self.play(node),
            Event::LineFree { .. }
            | Event::Dialed { .. }
            | Event::Hashed { .. }
            | Event::Timer { .. }
            | Event::Gone { .. }
            | Event::Play { .. }
            | Event::Tracker { .. } => {}
        }
    }

    fn lives(&self, node: u32, life: u32) -> bool {
        let node = &self.nodes[node as usize];
        node.alive && node.life == life
    }

    fn start(&mut self, node: u32) {
        let this = &mut self.nodes[node as usize];
        this.alive = true;
        let life = this.life;
        self.queue.put(self.now, Event::Tracker { node, life });
        self.drain(node);
        self.begin_film(node);
    }

    /// The tracker tells addresses of others that have started, chosen by chance.
    fn track(&mut self, node: u32) {
        let everybody = self.nodes.len();
        let mut addrs: Vec<SocketAddr> = Vec::new();
        let known = |other: usize, nodes: &[Node]| other != node as usize && nodes[other].alive;
        if everybody <= self.spec.neighbours * 2 {
            addrs.extend(
                (0..everybody).filter(|&other| known(other, &self.nodes)).map(|other| self.nodes[other].addr),
            );
            self.rng.shuffle(&mut addrs);
            addrs.truncate(self.spec.neighbours);
        } else {
            let mut drawn = std::collections::BTreeSet::new();
            for _ in 0..self.spec.neighbours * 4 {
                let other = self.rng.usize(0..everybody);
                if drawn.len() < self.spec.neighbours && known(other, &self.nodes) && drawn.insert(other) {
                    addrs.push(self.nodes[other].addr);
                }
            }
        }
        self.tell(node, Input::PeersFound { addrs: &addrs, source: PeerSource::Tracker });
    }

    fn hashed(&mut self, node: u32, piece: PieceIndex) {
        let this = &mut self.nodes[node as usize];
        // Something of it may have been forgotten meanwhile.
        let Some(hashed) = this.disk.hash(piece, self.now) else { return };
        if hashed.good {
            if this.spec.role != Role::Seed && self.out.insert(piece) && self.out.is_full() {
                self.note_all_out();
            }
            self.tell(node, Input::PieceVerified { piece, digests: &hashed.digests });
            self.play_on(node, piece);
        } else {
            this.outcome.spoil(&hashed.spoilers);
            let digests: Vec<_> = hashed.digests.into_iter().map(Some).collect();
            self.tell(node, Input::PieceFailed { piece, from_disk: false, digests: &digests });
        }
    }

    fn note_all_out(&mut self) {
        let seeds = self.nodes.iter().filter(|node| node.spec.role == Role::Seed);
        self.sent_when_out = Some(seeds.map(|node| node.swarm.stats(self.now).uploaded).sum());
    }

    fn take_block(&mut self, to: u32, block: BlockRange, bad: Option<Bad>) {
        let peer = PeerKey(to.into());
        let end = &mut self.ends[to as usize];
        let node = end.node;
        let Some(at) = end.asked.iter().position(|&asked| asked == block) else {
            return self.tell(node, Input::Unrequested { peer, block });
        };
        end.asked.remove(at);
        let this = &mut self.nodes[node as usize];
        match this.disk.take(block, bad) {
            Taken::No => return self.tell(node, Input::BlockRefused { peer, block }),
            Taken::Yes => {}
            Taken::Completes => {
                let (life, piece) = (this.life, block.piece);
                let delay = this.spec.disk.delay;
                self.queue.put(self.now + delay, Event::Hashed { node, life, piece });
            }
        }
        self.tell(node, Input::BlockReceived { peer, block });
    }
}

/// Brains.
impl World<'_> {
    /// The node's own clock.
    fn clock(&self, node: u32) -> Time {
        let skew = self.nodes[node as usize].spec.skew;
        let now = self.now.as_nanos();
        let drift = i128::from(now) * i128::from(skew.ppm) / 1_000_000;
        let local = i128::from(now) + drift + i128::try_from(skew.ahead.as_nanos()).unwrap_or(0);
        Time::from_nanos(u64::try_from(local).unwrap_or(u64::MAX))
    }

    /// When its clock will show this.
    fn when(&self, node: u32, local: Time) -> Time {
        let skew = self.nodes[node as usize].spec.skew;
        if skew.ppm == 0 && skew.ahead.is_zero() {
            return local;
        }
        let shown = i128::from(local.as_nanos()) - i128::try_from(skew.ahead.as_nanos()).unwrap_or(0);
        let at = shown * 1_000_000 / (1_000_000 + i128::from(skew.ppm)) + 1;
        Time::from_nanos(u64::try_from(at).unwrap_or(if at < 0 { 0 } else { u64::MAX }))
    }

    fn tell(&mut self, node: u32, input: Input<'_>) {
        let now = self.clock(node);
        self.nodes[node as usize].swarm.handle(now, input);
        self.drain(node);
    }

    fn timer(&mut self, node: u32, at: Time) {
        if self.nodes[node as usize].armed != at {
            return;
        }
        self.nodes[node as usize].armed = Time::MAX;
        let now = self.clock(node);
        self.nodes[node as usize].swarm.handle_timeout(now);
        self.drain(node);
    }

    /// Does what the brain says.
    fn drain(&mut self, node: u32) {
        while let Some(output) = self.nodes[node as usize].swarm.poll_output() {
            (node, self.now.as_nanos()).hash(&mut self.digest);
            output.hash(&mut self.digest);
            self.obey(node, output);
        }
        self.check(node);
        self.arm(node);
    }

    fn arm(&mut self, node: u32) {
        let Some(due) = self.nodes[node as usize].swarm.poll_timeout() else { return };
        let mut at = self.when(node, due).max(self.now);
        if self.spec.buggify && self.rng.u32(0..8) == 0 {
            // The driver was busy.
            at += Duration::from_millis(self.rng.u64(0..2000));
        }
        let this = &mut self.nodes[node as usize];
        // A timer that comes too early does no harm: it is set anew then.
        if at < this.armed {
            this.armed = at;
            let life = this.life;
            self.queue.put(at, Event::Timer { node, life, at });
        }
    }

    fn obey(&mut self, node: u32, output: Output) {
        self.audit(node, &output);
        match output {
            // It lets its brain believe that others are served.
            Output::Send { message: Message::Unchoke | Message::Choke, .. } if self.rides_free(node) => {}
            Output::Send { peer, message } => self.say(end_of(peer), message),
            Output::Request { peer, block } => {
                let asked = &mut self.ends[end_of(peer) as usize].asked;
                asked.retain(|&known| known != block);
                asked.push(block);
                self.say(end_of(peer), Message::Request(block.into()));
            }
            Output::Cancel { peer, block } => {
                self.ends[end_of(peer) as usize].asked.retain(|&asked| asked != block);
                self.say(end_of(peer), Message::Cancel(block.into()));
            }
            Output::Serve { peer, block } => self.serve(end_of(peer), block),
            // No brain here offers metadata, or exchanges peers, or asks for so much.
            Output::ServeMetadata { .. }
            | Output::PeersTold { .. }
            | Output::Hold { .. }
            | Output::Release { .. } => {}
            Output::DropServes { peer } => self.drop_serves(end_of(peer)),
            Output::Connect { addr } => self.dial(node, addr),
            Output::Disconnect { peer, .. } => self.hang_up(end_of(peer)),
            Output::NeedPeers => {
                let life = self.nodes[node as usize].life;
                self.queue.put(self.now + TRACKER_TIME, Event::Tracker { node, life });
            }
            Output::Forget { piece, blocks } => {
                self.nodes[node as usize].disk.forget(piece, &blocks);
                self.tell(node, Input::BlocksForgotten { piece, blocks: &blocks });
            }
            Output::Finished => self.finished(node),
            Output::Banned { addr, .. } => self.banned(node, addr),
        }
    }

    fn finished(&mut self, node: u32) {
        let this = &mut self.nodes[node as usize];
        if this.spec.role != Role::Seed && this.finished.is_none() {
            this.finished = Some(self.now);
            self.waiting -= 1;
            let gives = this.spec.role == Role::Leecher;
            if let Some(time) = this.spec.stays {
                let life = this.life;
                self.queue.put(self.now + time, Event::Gone { node, life });
            }
            if gives {
                self.giver_finished();
            }
        }
    }

    /// When half of those who give are complete, it is noted how far those who do not have come.
    fn giver_finished(&mut self) {
        let givers = self.spec.peers.iter().filter(|peer| peer.role == Role::Leecher).count();
        self.givers_left = self.givers_left.saturating_sub(1);
        if self.givers_left == givers / 2 {
            for node in &mut self.nodes {
                node.outcome.done_at_half = node.swarm.stats(self.now).done_bytes;
            }
        }
    }

    fn banned(&mut self, node: u32, addr: SocketAddr) {
        let liar = self.node_at(addr).filter(|&other| self.nodes[other as usize].spec.poison_permille > 0);
        let outcome = &mut self.nodes[node as usize].outcome;
        match liar {
            Some(liar) => {
                outcome.banned_liars += 1;
                outcome.punish(liar);
            }
            None => outcome.banned_honest += 1,
        }
    }

    /// Who is at an address, whatever the port: an incoming connection comes from any.
    fn node_at(&self, addr: SocketAddr) -> Option<u32> {
        self.by_addr.get(&SocketAddr::new(addr.ip(), 6881)).copied()
    }

    fn report(&self, what: &str) -> String {
        let mut text = format!("{what} (after {:?} of virtual time)\n", self.now - Time::from_secs(1));
        for node in
            self.nodes.iter().filter(|node| node.finished.is_none() && node.spec.role != Role::Seed).take(5)
        {
            let stats = node.swarm.stats(self.now);
            let away = if node.alive { "" } else { ", away" };
            let (have, all) = (stats.have_pieces, self.spec.lengths.piece_count());
            text += &format!("{} has {have} of {all} pieces and {} peers{away}\n", node.addr, stats.peers);
        }
        text
    }
}

fn peer_id(node: u32) -> PeerId {
    let mut random = [0; 12];
    random[..4].copy_from_slice(&node.to_be_bytes());
    PeerId::ours(random)
}

/// Keys of connections are the numbers of their ends.
fn end_of(peer: PeerKey) -> u32 {
    u32::try_from(peer.0).expect("the world made the key")
}
