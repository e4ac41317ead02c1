//! Drives a [`dht::Node`] over UDP sockets, one for each family.

use crate::bind;
use dht::{Input, Node, Output};
use std::io;
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use types::Time;

/// The longest datagram that is read: what the node reads of one, and a byte that shows it was longer.
const MAX_DATAGRAM: usize = dht::limits::DATAGRAM.max_input + 1;

/// Datagrams that are taken in before what is due otherwise gets its turn.
const BATCH: usize = 64;

/// A node and its sockets. Whoever owns it calls [`Driver::next`] for as long as the node is to live.
#[derive(Debug)]
pub struct Driver {
    node: Node,
    epoch: Instant,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    buffer: Vec<u8>,
}

impl Driver {
    /// Binds a socket to each of these addresses, the first of each family; `make` makes the node, which is given the
    /// time that it lives by.
    ///
    /// # Errors
    /// An address is not ours or its port is taken.
    pub fn bind(addrs: &[SocketAddr], make: impl FnOnce(Time) -> Node) -> io::Result<Driver> {
        let socket = |is_v4: bool| {
            let addr = addrs.iter().find(|addr| addr.is_ipv4() == is_v4);
            addr.map(|addr| bind::udp(*addr)).transpose()
        };
        let (v4, v6) = (socket(true)?, socket(false)?);
        let buffer = vec![0; MAX_DATAGRAM];
        Ok(Driver { node: make(Time::ZERO), epoch: Instant::now(), v4, v6, buffer })
    }

    /// Where the sockets are.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        [&self.v4, &self.v6].into_iter().flatten().filter_map(|socket| socket.local_addr().ok())
    }

    /// The time that the node lives by.
    pub fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// The node, to be looked at, saved or restored.
    pub fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Tells the node something; what it wants done is done by [`Driver::next`].
    pub fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now(), input);
    }

    /// Carries datagrams to and from the node until it has something to say to its owner. May be dropped and called again
    /// at any time; nothing gets lost but datagrams.
    pub async fn next(&mut self) -> Output {
        self.next_heard(|| false).await
    }

    /// The same; queries are told as long as this says so ([`Output::Exchange`]).
    pub async fn next_heard(&mut self, is_heard: impl Fn() -> bool) -> Output {
        loop {
            while let Some(output) = self.node.poll_output() {
                match output {
                    Output::Send { to, bytes } => self.send(to, &bytes).await,
                    told => return told,
                }
            }
            let timeout = self.epoch + self.node.poll_timeout().since(Time::ZERO);
            // A socket that fails will be ready again: nothing is lost but what it would have carried.
            let is_v4 = tokio::select! {
                () = readable(self.v4.as_ref()) => Some(true),
                () = readable(self.v6.as_ref()) => Some(false),
                () = tokio::time::sleep_until(timeout) => None,
            };
            self.node.set_heard(is_heard());
            match is_v4 {
                Some(is_v4) => self.receive(is_v4),
                None => self.node.handle_timeout(self.now()),
            }
        }
    }

    fn receive(&mut self, is_v4: bool) {
        let now = self.now();
        let socket = if is_v4 { &self.v4 } else { &self.v6 };
        for _ in 0..BATCH {
            let received = socket.as_ref().map(|socket| socket.try_recv_from(&mut self.buffer));
            match received {
                Some(Ok((len, from))) => {
                    self.node.handle(now, Input::Datagram { from, bytes: &self.buffer[..len] });
                }
                // What the system tells of datagrams that did not arrive comes as an error of the next one.
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// A datagram that finds no way is lost: the node takes care of that.
    async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(socket) = socket
            && let Err(error) = socket.send_to(bytes, to).await
        {
            tracing::debug!(%to, %error, "a DHT datagram was not sent");
        }
    }
}

/// Waits until something can be read; for ever without a socket.
async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => _ = socket.readable().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dht::{Command, Config, LookupEvent, LookupKey, Outcome};
    use types::InfoHashV1;

    const HASH: InfoHashV1 = InfoHashV1([7; 20]);

    fn driver(seed: u64, known: &[SocketAddr]) -> Driver {
        let addr = ([127, 0, 0, 1], 0).into();
        let mut driver = Driver::bind(&[addr], |now| Node::new(Config::default(), seed, now)).unwrap();
        driver.input(Input::Nodes { addrs: known });
        driver
    }

    /// What a lookup tells, and what came of it, while the others go on living.
    async fn look_up(driver: &mut Driver, command: Command) -> (Vec<SocketAddr>, Outcome) {
        let mut found = Vec::new();
        driver.input(Input::Start { key: LookupKey(1), command });
        loop {
            match driver.next().await {
                Output::Lookup { event: LookupEvent::Peers { peers, .. }, .. } => found.extend(peers),
                Output::Lookup { event: LookupEvent::Done(outcome), .. } => return (found, outcome),
                _ => {}
            }
        }
    }

    #[tokio::test]
    async fn nodes_on_loopback_find_what_others_announce() {
        let mut first = driver(1, &[]);
        let known: Vec<SocketAddr> = first.local_addrs().collect();
        assert_eq!(known.len(), 1);
        tokio::spawn(async move {
            loop {
                first.next().await;
            }
        });
        let (mut second, mut third) = (driver(2, &known), driver(3, &known));
        let command = Command::Announce { info_hash: HASH, ports: [9; 2], implied_port: false, seed: false };
        assert_eq!(look_up(&mut second, command).await.1.stored, 1);
        let command = Command::GetPeers { info_hash: HASH, noseed: false };
        let (found, _) = look_up(&mut third, command).await;
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 9))]);
        let saved = third.node().save(Time::ZERO);
        let (now, mut fourth) = (Time::ZERO, driver(4, &[]));
        fourth.node().restore(now, &saved).unwrap();
        let command = Command::GetPeers { info_hash: HASH, noseed: false };
        assert_eq!(look_up(&mut fourth, command).await.0, found, "by the nodes that were saved");
    }

    /// A ping that fills so many bytes.
    fn ping(transaction: char, len: usize) -> Vec<u8> {
        let head = format!("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t1:{transaction}1:y1:q1:z");
        let padding = len - head.len() - "1000:e".len();
        format!("{head}{padding}:{}e", "x".repeat(padding)).into_bytes()
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_is_not_taken_for_its_beginning() {
        let mut node = driver(1, &[]);
        let to = node.local_addrs().next().unwrap();
        tokio::spawn(async move {
            loop {
                node.next().await;
            }
        });
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let longest = MAX_DATAGRAM - 1;
        let longer = [ping('b', longest), b"x".to_vec()].concat();
        assert_eq!((ping('a', longest).len(), longer.len()), (longest, MAX_DATAGRAM));
        let much_longer = [longer.clone(), vec![b'x'; 999]].concat();
        for datagram in [ping('a', longest), longer, much_longer, ping('c', longest)] {
            socket.send_to(&datagram, to).await.unwrap();
        }
        let mut answer = [0; 512];
        for transaction in [b"1:t1:a", b"1:t1:c"] {
            // Queries of the node's own come between.
            while {
                let len = socket.recv(&mut answer).await.unwrap();
                let is_answer = answer[..len].windows(6).any(|part| part == b"1:y1:r");
                assert!(!is_answer || answer[..len].windows(6).any(|part| part == transaction));
                !is_answer
            } {}
        }
    }
}
