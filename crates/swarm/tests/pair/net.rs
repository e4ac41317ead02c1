//! A few swarms connected back to back, in virtual time.
//!
//! Each node is a [`Swarm`], a disk that claims blocks and hashes pieces, and an uplink with a rate. Everything else
//! (latency, who dies when, who lies) is the scenario's. The nodes' invariants are checked as it goes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, PeerSource, Priority, Swarm};
use types::{Bitfield, BlockDigest, BlockRange, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved};

pub(crate) type Rng = fastrand::Rng;

/// How one node is made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: bool,
    /// Bytes per second.
    pub(crate) up: u64,
    pub(crate) fast: bool,
    /// Of a thousand blocks that it sends, how many are wrong.
    pub(crate) poison_permille: u32,
    pub(crate) slots: usize,
    pub(crate) wanted: Option<Bitfield>,
    pub(crate) super_seed: bool,
    /// How it lies, whatever it is asked for.
    pub(crate) lie: Option<Lie>,
}

/// What a liar answers, so that as many pieces as possible are spoiled before it is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Of each piece one bad block, all others but one, and no more: somebody else has to finish the piece.
    Withhold,
    /// Of each piece one bad block and no more.
    Each,
    /// The same, and it chokes and unchokes after it, so that others go on at once.
    Cycle,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            seed: false,
            up: 1_000_000,
            fast: true,
            poison_permille: 0,
            slots: 4,
            wanted: None,
            super_seed: false,
            lie: None,
        }
    }
}

pub(crate) struct Node {
    pub(crate) swarm: Swarm,
    pub(crate) addr: SocketAddr,
    pub(crate) finished: u32,
    pub(crate) banned: Vec<SocketAddr>,
    pub(crate) setup: Setup,
    disk: Disk,
    /// How many pieces of its own each node spoiled, by the number of the node.
    pub(crate) spoiled: BTreeMap<usize, u32>,
    /// The far end of each connection, and what was asked of it.
    links: BTreeMap<PeerKey, Link>,
    uplink: VecDeque<(PeerKey, BlockRange)>,
    /// Blocks of each piece that a liar has answered, by whom it lies to.
    lied: BTreeMap<(PeerKey, PieceIndex), u32>,
    /// Blocks that it is to send wrong.
    bad: BTreeSet<(PeerKey, BlockRange)>,
    sending: bool,
    timer: Option<Time>,
}

impl Node {
    /// Pieces of which a liar has answered something.
    pub(crate) fn touched(&self) -> usize {
        self.lied.len()
    }
}

/// The blocks of unfinished pieces, by their offset, and the pieces that failed.
#[derive(Default)]
struct Disk {
    pieces: BTreeMap<PieceIndex, BTreeMap<u32, Stored>>,
    failed: BTreeSet<PieceIndex>,
}

#[derive(Clone, Copy)]
struct Stored {
    from: usize,
    bad: bool,
    digest: BlockDigest,
}

struct Link {
    node: usize,
    key: PeerKey,
    asked: BTreeSet<BlockRange>,
    /// Messages arrive in order.
    last_arrival: Time,
}

enum Event {
    Dial { from: usize, to: SocketAddr },
    Message { to: usize, key: PeerKey, message: Message<'static> },
    Block { to: usize, key: PeerKey, block: BlockRange, bad: bool },
    Sent { node: usize, key: PeerKey, block: BlockRange },
    Closed { to: usize, key: PeerKey },
    Hashed { node: usize, piece: PieceIndex },
    Timer { node: usize, at: Time },
}

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) digest: u64,
    pub(crate) rng: Rng,
    pub(crate) lengths: Lengths,
    pub(crate) latency: Duration,
    /// What the nodes that began without it have by now, taken together.
    pub(crate) out: Bitfield,
    /// The nodes' invariants are checked once in so many events.
    pub(crate) check_every: u64,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    next_key: u64,
}

impl Net {
    pub(crate) fn new(lengths: Lengths, seed: u64, setups: Vec<Setup>) -> Net {
        let mut net = Net {
            now: Time::from_secs(1),
            nodes: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
            rng: Rng::with_seed(seed),
            lengths,
            latency: Duration::from_millis(20),
            out: Bitfield::new(lengths.piece_count()),
            check_every: 7,
            events: BTreeMap::new(),
            sequence: 0,
            next_key: 0,
        };
        for setup in setups {
            net.add(setup);
        }
        let everybody: Vec<SocketAddr> = net.nodes.iter().map(|node| node.addr).collect();
        for node in 0..net.nodes.len() {
            let others: Vec<_> =
                everybody.iter().copied().filter(|addr| *addr != net.nodes[node].addr).collect();
            net.input(node, Input::PeersFound { addrs: &others, source: PeerSource::User });
        }
        net
    }

    fn add(&mut self, setup: Setup) {
        let number = u8::try_from(self.nodes.len() + 1).unwrap();
        let addr = SocketAddr::from(([10, 0, 0, number], 6881));
        let count = self.lengths.piece_count();
        let have = if setup.seed { Bitfield::full(count) } else { Bitfield::new(count) };
        let config = Config {
            peer_id: PeerId([number; 20]),
            client: format!("node {number}"),
            listen_ports: [6881; 2],
            upload_slots: setup.slots,
            super_seed: setup.super_seed,
            ..Config::default()
        };
        let swarm = Swarm::new(config, self.lengths, have, self.rng.u64(..), self.now);
        self.nodes.push(Node {
            swarm,
            addr,
            finished: 0,
            banned: Vec::new(),
            setup: setup.clone(),
            disk: Disk::default(),
            spoiled: BTreeMap::new(),
            links: BTreeMap::new(),
            uplink: VecDeque::new(),
            lied: BTreeMap::new(),
            bad: BTreeSet::new(),
            sending: false,
            timer: None,
        });
        if let Some(wanted) = setup.wanted {
            let priority = |piece| if wanted.contains(piece) { Priority::Normal } else { Priority::Skip };
            let priorities: Vec<_> = self.lengths.pieces().map(priority).collect();
            self.input(self.nodes.len() - 1, Input::SetPriorities(&priorities));
        }
    }

    /// Runs until every node has what it wants; returns when that was.
    ///
    /// `chaos` is called before each event.
    pub(crate) fn run(&mut self, deadline: Duration, mut chaos: impl FnMut(&mut Net)) -> Duration {
        self.run_until(deadline, |net| {
            chaos(net);
            net.nodes.iter().all(|node| node.finished > 0)
        })
    }

    /// Runs until something is true; returns when that was.
    pub(crate) fn run_until(
        &mut self,
        deadline: Duration,
        mut done: impl FnMut(&mut Net) -> bool,
    ) -> Duration {
        let start = self.now;
        while !done(self) {
            let Some(((at, _), event)) = self.events.pop_first() else {
                panic!("{}", self.report("stalled"))
            };
            assert!(at.since(start) < deadline, "{}", self.report("deadline"));
            self.now = at;
            self.happen(event);
        }
        self.now.since(start)
    }

    /// Runs for so long, whatever happens.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Closes a random connection, as a network does.
    pub(crate) fn cut_one(&mut self) {
        let node = self.rng.usize(0..self.nodes.len());
        let keys: Vec<PeerKey> = self.nodes[node].links.keys().copied().collect();
        if let Some(&key) = self.rng.choice(&keys) {
            self.hang_up(node, key);
            self.input(node, Input::PeerClosed { peer: key });
        }
    }

    /// Makes a random peer seem to send a message to its neighbour.
    pub(crate) fn inject(&mut self, message: Message<'static>) {
        let node = self.rng.usize(0..self.nodes.len());
        let keys: Vec<PeerKey> = self.nodes[node].links.keys().copied().collect();
        if let Some(&key) = self.rng.choice(&keys) {
            self.input(node, Input::Message { peer: key, message });
        }
    }

    /// Tells everybody the truth about who chokes it: after lies, nobody may ever say so again.
    pub(crate) fn tell_chokes(&mut self) {
        for node in 0..self.nodes.len() {
            for key in self.nodes[node].links.keys().copied().collect::<Vec<_>>() {
                let Some(link) = self.nodes[node].links.get(&key) else { continue };
                let far = self.nodes[link.node].swarm.peers(self.now).find(|peer| peer.peer == link.key);
                let message = match far {
                    Some(far) if !far.am_choking => Message::Unchoke,
                    _ => Message::Choke,
                };
                self.input(node, Input::Message { peer: key, message });
            }
        }
    }

    pub(crate) fn wasted(&self) -> u64 {
        self.nodes.iter().map(|node| node.swarm.stats(self.now).wasted).sum()
    }

    fn report(&self, what: &str) -> String {
        let mut text = format!("{what} at {:?}\n", self.now);
        for node in &self.nodes {
            text += &format!("{} {:?}\n", node.addr, node.swarm.stats(self.now));
            for peer in node.swarm.peers(self.now) {
                text += &format!("    {peer:?}\n");
            }
        }
        text
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dial { from, to } => self.dial(from, to),
            Event::Message { to, key, message: Message::Request(request) }
                if self.nodes[to].setup.lie.is_some() =>
            {
                self.lie(to, key, request);
            }
            Event::Message { to, key, message } => self.input(to, Input::Message { peer: key, message }),
            Event::Block { to, key, block, bad } => self.arrive(to, key, block, bad),
            Event::Sent { node, key, block } => {
                self.nodes[node].sending = false;
                self.leave(node, key, block);
                self.send_next(node);
            }
            Event::Closed { to, key } => {
                self.nodes[to].links.remove(&key);
                self.input(to, Input::PeerClosed { peer: key });
            }
            Event::Hashed { node, piece } => self.hashed(node, piece),
            Event::Timer { node, at } => {
                if self.nodes[node].timer == Some(at) {
                    self.nodes[node].timer = None;
                    self.nodes[node].swarm.handle_timeout(self.now);
                    let next = self.nodes[node].swarm.poll_timeout();
                    assert!(next.is_none_or(|at| at > self.now), "{}", self.report("it would spin"));
                    self.drain(node);
                }
            }
        }
    }

    fn input(&mut self, node: usize, input: Input<'_>) {
        self.nodes[node].swarm.handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].swarm.poll_output() {
            for byte in format!("{node} {:?} {output:?}", self.now).bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
            self.output(node, output);
        }
        // They take peers x pieces: every few events, each time other ones.
        if self.sequence.is_multiple_of(self.check_every) {
            self.nodes[node].swarm.check_invariants();
        }
        let due = self.nodes[node].swarm.poll_timeout();
        if due != self.nodes[node].timer {
            self.nodes[node].timer = due;
            if let Some(at) = due {
                self.at(at.max(self.now), Event::Timer { node, at });
            }
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { peer, message } => self.post(node, peer, message),
            Output::Request { peer, block } => {
                let link = self.nodes[node].links.get_mut(&peer).expect("requests go to connected peers");
                link.asked.insert(block);
                self.post(node, peer, Message::Request(block.into()));
            }
            Output::Cancel { peer, block } => self.post(node, peer, Message::Cancel(block.into())),
            Output::Serve { peer, block } => {
                self.nodes[node].uplink.push_back((peer, block));
                self.send_next(node);
            }
            Output::DropServes { peer } => self.nodes[node].uplink.retain(|(to, _)| *to != peer),
            Output::Connect { addr } => {
                self.at(self.now + self.latency * 3, Event::Dial { from: node, to: addr });
            }
            Output::Disconnect { peer, .. } => self.hang_up(node, peer),
            Output::ServeMetadata { .. } => unreachable!("nobody here offers metadata"),
            Output::Hold { .. } | Output::Release { .. } => unreachable!("nobody here asks for so much"),
            Output::NeedPeers | Output::PeersTold { .. } => {}
            Output::Forget { piece, blocks } => {
                if let Some(there) = self.nodes[node].disk.pieces.get_mut(&piece) {
                    there.retain(|&offset, _| !blocks.contains(&(offset / types::BLOCK_LEN)));
                }
                self.input(node, Input::BlocksForgotten { piece, blocks: &blocks });
            }
            Output::Finished => self.nodes[node].finished += 1,
            Output::Banned { addr, .. } => self.nodes[node].banned.push(addr),
        }
    }

    fn dial(&mut self, from: usize, to: SocketAddr) {
        let Some(target) = self.nodes.iter().position(|node| node.addr == to) else {
            self.input(from, Input::ConnectFailed { addr: to });
            return;
        };
        let (here, there) = (PeerKey(self.next_key), PeerKey(self.next_key + 1));
        self.next_key += 2;
        let port = 40_000 + u16::try_from(self.next_key % 20_000).unwrap();
        let sides = [
            (from, here, target, there, to),
            (target, there, from, here, SocketAddr::new(self.nodes[from].addr.ip(), port)),
        ];
        for (node, key, other, other_key, _) in sides {
            let link = Link { node: other, key: other_key, asked: BTreeSet::new(), last_arrival: self.now };
            self.nodes[node].links.insert(key, link);
        }
        for (node, key, other, _, addr) in sides {
            let reserved = Reserved::NONE.with_extended();
            let both_fast = self.nodes[node].setup.fast && self.nodes[other].setup.fast;
            let reserved = if both_fast { reserved.with_fast() } else { reserved };
            let peer_id = PeerId([u8::try_from(other + 1).unwrap(); 20]);
            let outgoing = node == from;
            self.input(node, Input::PeerConnected { peer: key, addr, outgoing, peer_id, reserved });
        }
    }

    fn hang_up(&mut self, node: usize, key: PeerKey) {
        self.nodes[node].uplink.retain(|(to, _)| *to != key);
        if let Some(link) = self.nodes[node].links.remove(&key) {
            let at = link.last_arrival.max(self.now + self.latency);
            self.at(at, Event::Closed { to: link.node, key: link.key });
        }
    }

    fn post(&mut self, node: usize, peer: PeerKey, message: Message<'static>) {
        if let Some((at, to, key)) = self.arrival(node, peer) {
            self.at(at, Event::Message { to, key, message });
        }
    }

    fn arrival(&mut self, node: usize, peer: PeerKey) -> Option<(Time, usize, PeerKey)> {
        let link = self.nodes[node].links.get_mut(&peer)?;
        link.last_arrival = link.last_arrival.max(self.now + self.latency);
        Some((link.last_arrival, link.node, link.key))
    }

    /// The uplink carries one block at a time.
    fn send_next(&mut self, node: usize) {
        let sender = &mut self.nodes[node];
        if sender.sending {
            return;
        }
        if let Some((key, block)) = sender.uplink.pop_front() {
            sender.sending = true;
            let time = Duration::from_nanos(u64::from(block.len) * 1_000_000_000 / sender.setup.up);
            self.at(self.now + time, Event::Sent { node, key, block });
        }
    }

    /// A liar is asked for a block.
    fn lie(&mut self, node: usize, peer: PeerKey, request: wire::Request) {
        let Some(block) = self.lengths.block_range(request.index, request.begin, request.length) else {
            return;
        };
        let count = self.lengths.block_count(block.piece);
        let liar = &mut self.nodes[node];
        let most = if liar.setup.lie == Some(Lie::Withhold) { count - 1 } else { 1 };
        let lied = liar.lied.entry((peer, block.piece)).or_default();
        if *lied >= most {
            return;
        }
        if *lied == 0 {
            liar.bad.insert((peer, block));
        }
        *lied += 1;
        liar.uplink.push_back((peer, block));
        self.send_next(node);
    }

    fn leave(&mut self, node: usize, peer: PeerKey, block: BlockRange) {
        let bad = match self.nodes[node].setup.lie {
            Some(_) => self.nodes[node].bad.remove(&(peer, block)),
            None => self.rng.u32(0..1000) < self.nodes[node].setup.poison_permille,
        };
        if let Some((at, to, key)) = self.arrival(node, peer) {
            self.at(at, Event::Block { to, key, block, bad });
            if let Some(lie) = self.nodes[node].setup.lie {
                if lie == Lie::Cycle {
                    self.post(node, peer, Message::Choke);
                    self.post(node, peer, Message::Unchoke);
                }
                return;
            }
            self.input(node, Input::BlockSent { peer, block });
        }
    }

    fn arrive(&mut self, to: usize, key: PeerKey, block: BlockRange, bad: bool) {
        let node = &mut self.nodes[to];
        let Some(link) = node.links.get_mut(&key) else { return };
        if !link.asked.remove(&block) {
            return self.input(to, Input::Unrequested { peer: key, block });
        }
        let piece = node.disk.pieces.entry(block.piece).or_default();
        let there = node.swarm.have().contains(block.piece) || piece.contains_key(&block.offset);
        if there {
            return self.input(to, Input::BlockRefused { peer: key, block });
        }
        // The good version of a block is one and the same, bad ones are all different.
        let digest = if bad { self.rng.u128(1..) } else { 0 };
        let stored = Stored { from: link.node, bad, digest: BlockDigest(digest.to_be_bytes()) };
        piece.insert(block.offset, stored);
        if piece.len() == self.lengths.block_count(block.piece) as usize {
            self.at(self.now + Duration::from_millis(2), Event::Hashed { node: to, piece: block.piece });
        }
        self.input(to, Input::BlockReceived { peer: key, block });
    }

    fn hashed(&mut self, node: usize, piece: PieceIndex) {
        let (victim, count) = (&mut self.nodes[node], self.lengths.block_count(piece) as usize);
        // Something of it may have been forgotten meanwhile.
        if victim.disk.pieces.get(&piece).is_none_or(|blocks| blocks.len() < count) {
            return;
        }
        let blocks = victim.disk.pieces.remove(&piece).unwrap_or_default();
        let liars: BTreeSet<usize> =
            blocks.values().filter(|block| block.bad).map(|block| block.from).collect();
        if liars.is_empty() {
            self.out.insert(piece);
            let failed = victim.disk.failed.contains(&piece);
            let digests: Vec<_> = blocks.values().filter(|_| failed).map(|block| block.digest).collect();
            return self.input(node, Input::PieceVerified { piece, digests: &digests });
        }
        victim.disk.failed.insert(piece);
        for liar in liars {
            *victim.spoiled.entry(liar).or_default() += 1;
        }
        let digests: Vec<_> = blocks.values().map(|block| Some(block.digest)).collect();
        self.input(node, Input::PieceFailed { piece, from_disk: false, digests: &digests });
    }

    fn at(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }
}
