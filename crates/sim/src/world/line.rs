//! Lines: what a peer sends takes its time, and so does what it receives: bytes, the headers of their segments, and what
//! is sent back to acknowledge them.

use super::{Event, Node, World};
use crate::disk::Bad;
use crate::segments;
use crate::spec::Role;
use std::collections::VecDeque;
use std::time::Duration;
use swarm::{Input, PeerKey};
use types::{BlockRange, Time};
use wire::Message;

/// A `piece` message's bytes before the payload.
const PIECE_HEADER: u32 = 13;
/// Blocks of a connection that its socket holds unsent: its owner takes them for sent, they come whatever happens, and a
/// message that is said now comes after them. In the lab's sockets it was 48 to 85 KB, on lines of 250 kB/s and of 2 MB/s.
const IN_SOCKET: usize = 4;
/// What TCP, which sends until something is lost, keeps in the queue before a line that is busy: the lab's is as long.
const QUEUE: Duration = Duration::from_millis(200);

/// A peer's line: each direction carries one thing at a time.
pub(super) struct Line {
    /// Bytes of IP per second.
    up: u64,
    down: u64,
    /// Ends with something to send, in turn.
    ring: VecDeque<u32>,
    sending: Option<(u32, BlockRange)>,
    /// The way out is busy until then.
    up_free: Time,
    /// The way in is.
    down_free: Time,
}

#[derive(Debug)]
pub(super) enum Item {
    Message(Message<'static>),
    Block { block: BlockRange, bad: Option<Bad> },
}

impl Line {
    /// Of rates of payload in full segments.
    pub(super) fn new(up: u64, down: u64) -> Line {
        Line::of_ip(segments::of_stream(up.max(1)), segments::of_stream(down.max(1)))
    }

    fn of_ip(up: u64, down: u64) -> Line {
        Line { up, down, ring: VecDeque::new(), sending: None, up_free: Time::ZERO, down_free: Time::ZERO }
    }

    /// Keeps the way out busy with so many bytes; until when.
    fn carry_up(&mut self, now: Time, bytes: u64) -> Time {
        self.up_free = self.up_free.max(now) + time(bytes, self.up);
        self.up_free
    }

    pub(super) fn clear(&mut self) {
        *self = Line::of_ip(self.up, self.down);
    }
}

impl World<'_> {
    /// Sends a message: after what the socket holds already, before what only waits.
    pub(super) fn say(&mut self, from: u32, message: Message<'static>) {
        let end = &mut self.ends[from as usize];
        if !end.open {
            return;
        }
        if end.out.is_empty() {
            return self.carry_message(from, message);
        }
        let blocks = end.out.iter().enumerate().filter(|(_, item)| matches!(item, Item::Block { .. }));
        let place = blocks.map(|(at, _)| at + 1).nth(IN_SOCKET - 1).unwrap_or(end.out.len());
        // Behind the messages that stand there already.
        let behind = end.out.iter().skip(place).take_while(|item| matches!(item, Item::Message(_))).count();
        end.out.insert(place + behind, Item::Message(message));
    }

    pub(super) fn carry_message(&mut self, from: u32, message: Message<'static>) {
        let end = &mut self.ends[from as usize];
        let bytes = u64::try_from(message.encoded_len()).unwrap_or(u64::MAX);
        // What is said in one instant travels together.
        let first = end.said != self.now;
        end.said = self.now;
        let carried = if first { segments::of_message(bytes) } else { segments::of_stream(bytes) };
        let line = &mut self.nodes[end.node as usize].line;
        line.carry_up(self.now, carried);
        let wait = if line.sending.is_some() { QUEUE } else { Duration::ZERO };
        self.depart(from, Item::Message(message), wait);
    }

    /// On its way; what was sent before arrives before.
    fn depart(&mut self, from: u32, item: Item, wait: Duration) {
        let mut late = self.lost_on_the_way(from, &item) + wait;
        if self.spec.buggify && self.rng.u32(0..16) == 0 {
            // A short read: the rest comes a little later.
            late += Duration::from_millis(self.rng.u64(0..100));
        }
        let end = &mut self.ends[from as usize];
        end.last_arrival = end.last_arrival.max(self.now + end.one_way + late);
        let at = end.last_arrival;
        self.queue.put(at, Event::Arrive { to: from ^ 1, item });
    }

    /// What is lost is sent again a round trip later, and all behind it waits.
    fn lost_on_the_way(&mut self, from: u32, item: &Item) -> Duration {
        let end = &self.ends[from as usize];
        let loss = self.nodes[end.node as usize].spec.loss_permille;
        if loss == 0 {
            return Duration::ZERO;
        }
        let packets = match item {
            Item::Block { block, .. } => block.len.div_ceil(1448),
            Item::Message(_) => 1,
        };
        let lost = (0..packets).filter(|_| self.rng.u32(0..1000) < loss).count();
        if lost == 0 { Duration::ZERO } else { end.one_way * 2 }
    }

    pub(super) fn serve(&mut self, from: u32, block: BlockRange) {
        let end = &self.ends[from as usize];
        let node = end.node;
        let Node { spec, .. } = &self.nodes[node as usize];
        let failed = self.rng.u32(0..1000) < spec.disk.read_failures_permille || spec.role == Role::FreeRider;
        if failed {
            let at = self.now + spec.disk.delay;
            return self.queue.put(at, Event::ServeFailed { from, block });
        }
        let bad =
            (self.rng.u32(0..1000) < spec.poison_permille).then(|| Bad { way: self.rng.u32(..), by: node });
        let end = &mut self.ends[from as usize];
        end.out.push_back(Item::Block { block, bad });
        if !end.queued {
            end.queued = true;
            self.nodes[node as usize].line.ring.push_back(from);
        }
        self.line_next(node);
        self.fill_socket(from);
    }

    pub(super) fn drop_serves(&mut self, from: u32) {
        let mut blocks = 0;
        self.ends[from as usize].out.retain(|item| match item {
            Item::Block { .. } => {
                blocks += 1;
                blocks <= IN_SOCKET
            }
            Item::Message(_) => true,
        });
    }

    /// Puts the next block on the line, if nothing is on it.
    pub(super) fn line_next(&mut self, node: u32) {
        while self.nodes[node as usize].line.sending.is_none()
            && let Some(from) = self.nodes[node as usize].line.ring.pop_front()
        {
            while let Some(item) = self.ends[from as usize].out.pop_front() {
                match item {
                    Item::Message(message) => self.carry_message(from, message),
                    Item::Block { block, bad } => {
                        self.send_block(node, from, block, bad);
                        break;
                    }
                }
            }
            if self.nodes[node as usize].line.sending.is_none() {
                self.ends[from as usize].queued = false;
            }
        }
    }

    fn send_block(&mut self, node: u32, from: u32, block: BlockRange, bad: Option<Bad>) {
        let this = &mut self.nodes[node as usize];
        let line = &mut this.line;
        line.sending = Some((from, block));
        let free = line.carry_up(self.now, segments::of_stream(piece_len(block)));
        self.queue.put(free, Event::LineFree { node, life: this.life });
        // It stays at the head of its queue until it has left.
        self.ends[from as usize].out.push_front(Item::Block { block, bad });
    }

    /// A block has left.
    pub(super) fn line_free(&mut self, node: u32) {
        let Some((from, block)) = self.nodes[node as usize].line.sending.take() else { return };
        let end = &mut self.ends[from as usize];
        let item = end.out.pop_front();
        end.in_socket = end.in_socket.saturating_sub(1);
        if end.out.is_empty() {
            end.queued = false;
        } else {
            self.nodes[node as usize].line.ring.push_back(from);
        }
        if let Some(item) = item
            && self.ends[from as usize].open
        {
            self.depart(from, item, Duration::ZERO);
            self.line_next(node);
            self.nodes[node as usize].outcome.sent += u64::from(block.len);
            return self.fill_socket(from);
        }
        self.line_next(node);
    }

    /// The socket takes the next block, if it has room for one.
    fn fill_socket(&mut self, from: u32) {
        let end = &mut self.ends[from as usize];
        if end.in_socket >= IN_SOCKET {
            return;
        }
        let mut blocks = end.out.iter().filter_map(|item| match item {
            Item::Block { block, .. } => Some(*block),
            Item::Message(_) => None,
        });
        if let Some(block) = blocks.nth(end.in_socket) {
            end.in_socket += 1;
            let node = end.node;
            self.tell(node, Input::BlockSent { peer: PeerKey(from.into()), block });
        }
    }

    /// Something came to the receiver's line.
    pub(super) fn arrive(&mut self, to: u32, item: Item) {
        if !self.ends[to as usize].open {
            return;
        }
        if self.is_cut(to) {
            return self.hold(Event::Arrive { to, item });
        }
        let line = &mut self.nodes[self.ends[to as usize].node as usize].line;
        // The line had begun to take a block in as soon as its first byte came.
        let takes = match &item {
            Item::Block { block, .. } => {
                line.carry_up(self.now, segments::back(piece_len(*block)));
                time(segments::of_stream(piece_len(*block)), line.down)
            }
            Item::Message(_) => Duration::ZERO,
        };
        let began = Time::from_nanos(self.now.as_nanos().saturating_sub(nanos(takes)));
        let done = line.down_free.max(began) + takes;
        line.down_free = line.down_free.max(done);
        if done > self.now {
            // Others came first.
            self.queue.put(done, Event::Received { to, item });
        } else {
            self.receive(to, item);
        }
    }

    pub(super) fn receive(&mut self, to: u32, item: Item) {
        if !self.ends[to as usize].open {
            return;
        }
        match item {
            Item::Message(message) => {
                self.note_heard(to, &message);
                let node = self.ends[to as usize].node;
                self.tell(node, Input::Message { peer: PeerKey(to.into()), message });
            }
            Item::Block { block, bad } => self.take_block(to, block, bad),
        }
    }
}

/// The bytes of a `piece` message.
fn piece_len(block: BlockRange) -> u64 {
    u64::from(block.len + PIECE_HEADER)
}

fn time(bytes: u64, rate: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate)
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
