//! Two nodes of the DHT that look for things and store them, over a network that loses and delays: each can read all that
//! the other says, and both come to rest.
#![no_main]

use common::{Parts, plant};
use core::net::SocketAddr;
use core::time::Duration;
use dht::krpc::{self, Body};
use dht::limits::TOKEN_INTERVAL;
use dht::{Command, Config, ImmutableItem, Input, LookupEvent, LookupKey, MutableItem, Node, NodeId, Output};
use libfuzzer_sys::fuzz_target;
use types::{InfoHashV1, Time};

struct Pair {
    nodes: [Node; 2],
    addrs: [SocketAddr; 2],
    /// To whom, and what.
    under_way: Vec<(usize, Vec<u8>)>,
    now: Time,
    peers: usize,
    items: usize,
}

impl Pair {
    fn outputs(&mut self, who: usize) {
        while let Some(output) = self.nodes[who].poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    let document = krpc::decode(&bytes).expect("what we send is bencode");
                    let packet = krpc::parse(&document).expect("what we send is a packet");
                    if let Body::Error { code, text } = packet.body {
                        // What was under way for that long may bring a token that is too old, which has the same code.
                        let is_late = text == b"bad token" && self.now >= Time::ZERO + TOKEN_INTERVAL;
                        assert!(
                            code != krpc::code::PROTOCOL || is_late,
                            "a node does not understand another"
                        );
                        assert_ne!(code, krpc::code::BAD_SIGNATURE);
                    }
                    if let Some(other) = self.addrs.iter().position(|addr| *addr == to) {
                        self.under_way.push((other, bytes));
                    }
                }
                Output::Lookup { event, .. } => match event {
                    LookupEvent::Peers { peers, .. } => self.peers += peers.len(),
                    LookupEvent::Immutable { .. } | LookupEvent::Mutable { .. } => self.items += 1,
                    _ => {}
                },
                _ => {}
            }
        }
        self.nodes[who].check_invariants();
        assert!(self.nodes[who].poll_timeout() > self.now, "it comes to rest");
    }

    fn deliver(&mut self, which: usize) {
        let (to, bytes) = self.under_way.swap_remove(which);
        let input = Input::Datagram { from: self.addrs[1 - to], bytes: &bytes };
        self.nodes[to].handle(self.now, input);
        self.outputs(to);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for who in 0..2 {
            self.nodes[who].handle_timeout(self.now);
            self.outputs(who);
        }
    }
}

fn command(parts: &mut Parts<'_>) -> Command {
    let which = parts.byte() % 4;
    let (info_hash, target) = (InfoHashV1([which; 20]), NodeId([which; 20]));
    let value = bencode::encode_list(|l| l.bytes([which; 3]));
    let mutable = |seq| MutableItem::sign(&[which; 32], b"salt", seq, value.clone()).expect("an item");
    let name = || dht::mutable_target(&dht::public_key(&[which; 32]), b"salt");
    match parts.byte() % 9 {
        0 => Command::FindNode { target },
        1 => Command::GetPeers { info_hash, noseed: parts.bit() },
        2 | 3 => Command::Announce {
            info_hash,
            ports: [1 + u16::from(which); 2],
            implied_port: parts.bit(),
            seed: parts.bit(),
        },
        4 => Command::Scrape { info_hash },
        5 if parts.bit() => Command::Get { target: name(), salt: b"salt".to_vec() },
        5 => Command::Get { target: dht::immutable_target(&value), salt: Vec::new() },
        6 => Command::PutImmutable(ImmutableItem::new(value).expect("a value")),
        7 => Command::PutMutable { item: mutable(parts.byte().into()), cas: parts.bit().then_some(0) },
        _ => Command::Sample { target },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let flags = parts.byte();
    let addrs = if flags & 1 == 0 {
        [SocketAddr::from(([80, 0, 0, 1], 1)), SocketAddr::from(([80, 0, 1, 2], 2))]
    } else {
        [SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 2))]
    };
    let node = |who: usize| {
        let config = Config {
            bootstrap: vec![addrs[1 - who]],
            read_only: flags & 2 << who != 0,
            enforce_ids: false,
            ..Config::default()
        };
        Node::new(config, who as u64, Time::ZERO)
    };
    let mut pair =
        Pair { nodes: [node(0), node(1)], addrs, under_way: Vec::new(), now: Time::ZERO, peers: 0, items: 0 };
    pair.pass(Duration::ZERO);
    let mut key = 0;
    while !parts.is_empty() {
        match parts.byte() % 6 {
            0 => {
                let (who, command) = (usize::from(parts.byte() % 2), command(&mut parts));
                key += 1;
                pair.nodes[who].handle(pair.now, Input::Start { key: LookupKey(key), command });
                pair.outputs(who);
            }
            1 if !pair.under_way.is_empty() => {
                let which = usize::from(parts.byte()) % pair.under_way.len();
                pair.deliver(which);
            }
            2 if !pair.under_way.is_empty() => {
                let which = usize::from(parts.byte()) % pair.under_way.len();
                pair.under_way.swap_remove(which);
            }
            3 => pair.pass(Duration::from_millis(u64::from(parts.u16()))),
            _ => {
                // All that is under way, and what comes of it.
                for _ in 0..64 {
                    if pair.under_way.is_empty() {
                        break;
                    }
                    pair.deliver(0);
                }
            }
        }
    }
    plant(|| pair.peers >= 1 || pair.items >= 1);
});
