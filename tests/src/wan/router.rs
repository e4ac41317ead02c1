//! Rates, queues and delays.
//!
//! A packet from one node to another passes the sender's line, the way between them, and the receiver's line. A line
//! has a rate and a queue before it; what the queue has no room for is lost. The way takes the sum of what both nodes
//! are away from the middle.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Serialize;

/// Bytes of the largest packet.
pub const MTU: usize = 1_500;
/// A queue holds what its line carries in this time,
const QUEUE_TIME: Duration = Duration::from_millis(200);
/// but so many bytes at least.
const MIN_QUEUE: u64 = 65_536;
/// Packets of one node that are read in a row, so that the others don't wait for it.
const READS_IN_A_ROW: usize = 64;
/// The router sleeps at least this long, so that packets come in batches: two hundred wake-ups per second and node
/// would take the CPU that the peers need. It is the most that a packet may be late on an idle machine.
const NAP: Duration = Duration::from_micros(200);
/// It looks at least this often whether it shall end.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// A packet that comes later than this is counted: the machine was too slow for its lines.
const LATE: Duration = Duration::from_millis(5);

/// A node's line to the middle of the network. Rates are of bytes of IP.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// What it can send.
    pub up_bytes_per_sec: u64,
    /// What it can receive.
    pub down_bytes_per_sec: u64,
    /// How long a packet takes from it to the middle, or from there to it.
    pub latency: Duration,
}

/// What the router did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Bytes of IP that each node's line carried away from it: headers, acknowledgements and repetitions too.
    pub sent_bytes: Vec<u64>,
    /// Packets that arrived.
    pub delivered: u64,
    /// Packets that a full queue lost.
    pub dropped: u64,
    /// Packets that arrived more than 5 ms after their time.
    pub late: u64,
    /// How much the latest of them was late.
    pub latest_micros: u64,
}

/// The address of the node with this number; the first is 10.88.0.1.
#[must_use]
pub fn address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 88, 0, node + 1)
}

/// Moves packets between `devices` until `stop` is set; the device of a node has its number.
///
/// # Errors
/// A device cannot be read.
pub(super) fn run(nodes: &[Node], devices: &[OwnedFd], stop: &AtomicBool) -> Result<Counters> {
    let started = Instant::now();
    let mut network = Network::new(nodes);
    let mut polled: Vec<PollFd<'_>> =
        devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
    while !stop.load(atomic::Ordering::Relaxed) {
        for (from, device) in devices.iter().enumerate() {
            read(device, from, &mut network, started)?;
        }
        while let Some(delivery) = network.next(started.elapsed()) {
            // A peer that is gone takes no packets; there is nobody to tell.
            let _ = rustix::io::write(&devices[delivery.to], &delivery.packet);
        }
        let sleep = network.next_at().map_or(MAX_SLEEP, |at| at.saturating_sub(started.elapsed()));
        std::thread::sleep(NAP);
        let sleep = Timespec::try_from(sleep.saturating_sub(NAP).min(MAX_SLEEP))?;
        match rustix::event::poll(&mut polled, Some(&sleep)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(network.counters)
}

fn read(device: &OwnedFd, from: usize, network: &mut Network, started: Instant) -> Result<()> {
    let mut packet = [0; MTU];
    for _ in 0..READS_IN_A_ROW {
        match rustix::io::read(device, &mut packet) {
            Ok(len) => network.send(from, &packet[..len], started.elapsed()),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The network without its devices and its clock.
#[derive(Debug)]
struct Network {
    nodes: Vec<Lines>,
    /// Packets on their way. Queues and the delays of the ways bound their number.
    on_the_way: BinaryHeap<Reverse<Packet>>,
    sent: u64,
    counters: Counters,
}

#[derive(Debug)]
struct Lines {
    up: Line,
    down: Line,
    latency: Duration,
}

#[derive(Debug)]
struct Packet {
    at: Duration,
    /// Breaks ties: packets of one instant stay in order.
    number: u64,
    place: Place,
    to: usize,
    bytes: Vec<u8>,
}

/// What comes next for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The queue before the receiver's line.
    Queue,
    /// The receiver.
    Receiver,
}

/// A packet that is there.
#[derive(Debug)]
struct Delivery {
    to: usize,
    packet: Vec<u8>,
}

impl Network {
    fn new(nodes: &[Node]) -> Network {
        let lines = |node: &Node| Lines {
            up: Line::new(node.up_bytes_per_sec),
            down: Line::new(node.down_bytes_per_sec),
            latency: node.latency,
        };
        let counters = Counters { sent_bytes: vec![0; nodes.len()], ..Counters::default() };
        let nodes = nodes.iter().map(lines).collect();
        Network { nodes, on_the_way: BinaryHeap::new(), sent: 0, counters }
    }

    /// A node sends a packet. One that isn't for a node is nobody's: multicasts of IPv6, mostly.
    fn send(&mut self, from: usize, bytes: &[u8], now: Duration) {
        let Some(to) = receiver(bytes).filter(|to| *to < self.nodes.len() && *to != from) else { return };
        let delay = self.nodes[from].latency + self.nodes[to].latency;
        let Some(sent_at) = self.nodes[from].up.carry(now, bytes.len()) else {
            self.counters.dropped += 1;
            return;
        };
        let (at, number) = (sent_at + delay, self.sent);
        self.sent += 1;
        self.counters.sent_bytes[from] += bytes.len() as u64;
        self.on_the_way.push(Reverse(Packet {
            at,
            number,
            place: Place::Queue,
            to,
            bytes: bytes.to_owned(),
        }));
    }

    /// A packet whose time to arrive has come. Ask again until there is none.
    fn next(&mut self, now: Duration) -> Option<Delivery> {
        loop {
            self.next_at().filter(|at| *at <= now)?;
            let Reverse(packet) = self.on_the_way.pop()?;
            if packet.place == Place::Receiver {
                self.count(now.saturating_sub(packet.at));
                return Some(Delivery { to: packet.to, packet: packet.bytes });
            }
            // It came to the queue at its time, whenever we are awake to see it: so delays don't add up.
            match self.nodes[packet.to].down.carry(packet.at, packet.bytes.len()) {
                Some(at) => self.on_the_way.push(Reverse(Packet { at, place: Place::Receiver, ..packet })),
                None => self.counters.dropped += 1,
            }
        }
    }

    fn next_at(&self) -> Option<Duration> {
        self.on_the_way.peek().map(|Reverse(packet)| packet.at)
    }

    fn count(&mut self, late: Duration) {
        self.counters.delivered += 1;
        self.counters.late += u64::from(late > LATE);
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.counters.latest_micros = self.counters.latest_micros.max(micros);
    }
}

/// The number of the node that a packet is for.
fn receiver(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    match packet.get(16..20)? {
        [10, 88, 0, host] if is_ipv4 => usize::from(*host).checked_sub(1),
        _ => None,
    }
}

/// A rate, and a queue before it. The queue isn't stored: when the line is free tells how much is in it.
#[derive(Debug)]
struct Line {
    bytes_per_sec: u64,
    queue_time: Duration,
    free_at: Duration,
}

impl Line {
    fn new(bytes_per_sec: u64) -> Line {
        let queue_time = time_for(MIN_QUEUE, bytes_per_sec).max(QUEUE_TIME);
        Line { bytes_per_sec, queue_time, free_at: Duration::ZERO }
    }

    /// When the last byte of a packet that comes `at` has left the line; `None` if the queue has no room for it.
    fn carry(&mut self, at: Duration, len: usize) -> Option<Duration> {
        if self.free_at.saturating_sub(at) > self.queue_time {
            return None;
        }
        self.free_at = self.free_at.max(at) + time_for(len as u64, self.bytes_per_sec);
        Some(self.free_at)
    }
}

fn time_for(bytes: u64, bytes_per_sec: u64) -> Duration {
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / bytes_per_sec.max(1))
}

impl PartialEq for Packet {
    fn eq(&self, other: &Packet) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Packet) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Packet) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const FOREVER: Duration = Duration::from_secs(1_000);

    fn network(rates: [(u64, u64); 2]) -> Network {
        Network::new(&rates.map(|(up_bytes_per_sec, down_bytes_per_sec)| Node {
            up_bytes_per_sec,
            down_bytes_per_sec,
            latency: 10 * MILLI,
        }))
    }

    /// A packet of IPv4 with 1,000 bytes for a node.
    fn packet(to: u8, mark: u8) -> Vec<u8> {
        let mut bytes = vec![0; 1_000];
        bytes[0] = 0x45;
        bytes[16..20].copy_from_slice(&address(to).octets());
        bytes[999] = mark;
        bytes
    }

    /// When which packet arrives.
    fn arrivals(network: &mut Network) -> Vec<(Duration, u8)> {
        let mut arrivals = Vec::new();
        while let Some(at) = network.next_at() {
            while let Some(delivery) = network.next(at) {
                arrivals.push((at, delivery.packet[999]));
            }
        }
        arrivals
    }

    #[test]
    fn a_packet_takes_both_lines_and_the_way_between() {
        let mut network = network([(1_000_000, 1), (1, 500_000)]);
        network.send(0, &packet(1, 1), MILLI);
        network.send(0, &packet(1, 2), MILLI);
        // 1 ms on the sender's line, 20 on the way, 2 on the receiver's; the second waits for the first.
        assert_eq!(arrivals(&mut network), [(24 * MILLI, 1), (26 * MILLI, 2)]);
    }

    #[test]
    fn being_late_delays_no_other_packet() {
        let mut network = network([(1_000_000, 1), (1, 1_000_000)]);
        network.send(0, &packet(1, 1), Duration::ZERO);
        network.send(0, &packet(1, 2), 100 * MILLI);
        assert!(network.next(90 * MILLI).is_some());
        let expected =
            Counters { sent_bytes: vec![2_000, 0], delivered: 1, dropped: 0, late: 1, latest_micros: 68_000 };
        assert_eq!(network.counters, expected);
        assert_eq!(network.next_at(), Some(121 * MILLI));
    }

    #[test]
    fn what_a_full_queue_has_no_room_for_is_lost() {
        let mut network = network([(1_000_000, 1), (1, 100_000_000)]);
        for _ in 0..1_000 {
            network.send(0, &packet(1, 0), Duration::ZERO);
        }
        // 200 ms of the rate are 200 packets, and one is on the line.
        assert_eq!((arrivals(&mut network).len(), network.counters.dropped), (201, 799));
        network.send(0, &packet(1, 0), FOREVER);
        assert_eq!(arrivals(&mut network).len(), 1);
    }

    #[test]
    fn a_slow_line_has_room_for_64_kib() {
        let mut network = network([(1_000, 1), (1, 100_000_000)]);
        for _ in 0..1_000 {
            network.send(0, &packet(1, 0), Duration::ZERO);
        }
        assert_eq!(arrivals(&mut network).len(), 66);
    }

    #[test]
    fn packets_for_nobody_go_nowhere() {
        let mut network = network([(1_000, 1), (1, 1_000)]);
        for bytes in [packet(0, 0), packet(2, 0), vec![], vec![0x45; 19], vec![0x60; 40]] {
            network.send(0, &bytes, Duration::ZERO);
        }
        assert_eq!(network.next_at(), None);
    }
}
