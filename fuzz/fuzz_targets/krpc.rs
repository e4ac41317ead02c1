//! Arbitrary datagrams, and well-formed ones with arbitrary parts, into a live node that is looking things up. Nothing
//! may panic, every invariant holds after every input, no answer is too long, and the node comes to rest.
#![no_main]

use common::plant;
use core::net::SocketAddr;
use core::time::Duration;
use dht::limits::MAX_ITEM_ANSWER_LEN;
use dht::{Command, Config, ImmutableItem, Input, LookupKey, MutableItem, Node, NodeId, Output};
use libfuzzer_sys::fuzz_target;
use types::{InfoHashV1, Time};

/// A node and the network around it, in which everybody says what the input's bytes say.
struct Bench {
    node: Node,
    now: Time,
    /// Queries of the node that were not answered: to whom, and their transaction id.
    asked: Vec<(SocketAddr, Vec<u8>)>,
    /// The token that the node gave last.
    token: Vec<u8>,
    /// Answers that it gave to those who came with a token.
    stored: usize,
}

impl Bench {
    fn new(flags: u8) -> Bench {
        let config = Config {
            enforce_ids: flags & 1 != 0,
            read_only: flags & 2 != 0,
            v6: flags & 4 != 0,
            bootstrap: vec![place(1, 0)],
            external: if flags & 8 != 0 { vec![[80, 0, 0, 9].into()] } else { Vec::new() },
            ..Config::default()
        };
        let node = Node::new(config, u64::from(flags), Time::ZERO);
        Bench { node, now: Time::ZERO, asked: Vec::new(), token: Vec::new(), stored: 0 }
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input);
        self.outputs();
    }

    fn outputs(&mut self) {
        while let Some(output) = self.node.poll_output() {
            let Output::Send { to, bytes } = output else { continue };
            assert!(bytes.len() <= MAX_ITEM_ANSWER_LEN && to.port() != 0);
            let document = bencode::decode(&bytes).expect("what we send is bencode");
            assert_eq!(document.irregularity(), None);
            let root = document.root();
            if let Some(token) = root.get("r").and_then(|r| r.get("token")).and_then(|token| token.as_bytes())
            {
                self.token = token.to_vec();
            }
            let answers = root.get("r").is_some_and(|r| r.get("token").is_none() && r.get("nodes").is_none());
            self.stored += usize::from(answers && !self.token.is_empty());
            let is_query = root.get("y").and_then(|y| y.as_bytes()) == Some(b"q");
            if let Some(transaction) = root.get("t").and_then(|t| t.as_bytes()).filter(|_| is_query) {
                self.asked.push((to, transaction.to_vec()));
                self.asked.drain(..self.asked.len().saturating_sub(64));
            }
        }
        self.node.check_invariants();
        assert!(self.node.poll_timeout() > self.now, "it comes to rest");
    }

    /// Somebody who was asked answers with this, as it is or within an answer of good form.
    fn answer(&mut self, which: u8, wrap: bool, body: &[u8]) {
        if self.asked.is_empty() {
            return;
        }
        let (from, transaction) = self.asked.swap_remove(usize::from(which) % self.asked.len());
        let bytes = bencode::encode_dict(|d| {
            d.bytes("t", &transaction);
            d.bytes("ip", [80, 0, 0, 7, 1, 2]);
            match bencode::decode(body) {
                Ok(document) if !wrap => d.value("r", document.root()),
                _ => d.dict("r", |r| {
                    r.bytes("id", [which; 20]);
                    r.bytes("nodes", body);
                    r.bytes("nodes6", body);
                    r.bytes("token", body);
                    r.bytes("v", body);
                    r.bytes("samples", body);
                    r.list("values", |list| body.chunks(6).for_each(|peer| list.bytes(peer)));
                }),
            }
            d.bytes("y", "r");
        });
        self.input(Input::Datagram { from, bytes: &bytes });
    }

    /// Somebody asks something of good form, with the token that was given last.
    fn ask(&mut self, from: SocketAddr, which: u8, body: &[u8]) {
        let names =
            ["ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes", "vote"];
        let target = if which & 64 == 0 { hash(body) } else { [which; 20] };
        let bytes = bencode::encode_dict(|d| {
            d.dict("a", |a| {
                a.bytes("id", [which; 20]);
                a.bytes("info_hash", target);
                a.bytes("target", target);
                a.bytes("token", &self.token);
                a.int("port", 9);
                a.int("scrape", 1);
                a.list("want", |list| ["n4", "n6"].iter().for_each(|want| list.bytes(want)));
                a.bytes("v", body);
            });
            d.bytes("q", names[usize::from(which % 8)]);
            d.bytes("t", "tx");
            d.bytes("y", "q");
        });
        self.input(Input::Datagram { from, bytes: &bytes });
    }

    fn start(&mut self, which: u8) {
        let info_hash = InfoHashV1([which; 20]);
        let target = NodeId([which; 20]);
        let command = match which % 8 {
            0 => Command::FindNode { target },
            1 => Command::GetPeers { info_hash, noseed: which & 8 != 0 },
            2 => Command::Announce {
                info_hash,
                ports: [1; 2],
                implied_port: which & 8 != 0,
                seed: which & 16 != 0,
            },
            3 => Command::Scrape { info_hash },
            4 => Command::Get { target, salt: b"salt".to_vec() },
            5 => Command::PutImmutable(ImmutableItem::new(b"i1e".to_vec()).expect("a value")),
            6 => {
                let item = MutableItem::sign(&[1; 32], b"", 1, b"i1e".to_vec()).expect("an item");
                Command::PutMutable { item, cas: Some(0) }
            }
            _ => Command::Sample { target },
        };
        self.input(Input::Start { key: LookupKey(u64::from(which)), command });
    }
}

/// Where somebody is: on the Internet, in a few networks, or on a local one.
fn place(which: u8, salt: u8) -> SocketAddr {
    match which & 3 {
        0 => SocketAddr::from(([127, 0, 0, 1], u16::from(which) + 1)),
        1 => SocketAddr::from(([0x2001, 0xdb8, 0, u16::from(which >> 4), 0, 0, 0, u16::from(salt)], 6881)),
        _ => SocketAddr::from(([80, 0, which >> 4, salt], 6881)),
    }
}

/// What an immutable item with this string as value is called.
fn hash(body: &[u8]) -> [u8; 20] {
    let dict = bencode::encode_list(|list| list.bytes(body));
    dht::immutable_target(&dict[1..dict.len() - 1]).0
}

fuzz_target!(|data: &[u8]| {
    let Some((&flags, mut rest)) = data.split_first() else { return };
    let mut bench = Bench::new(flags);
    bench.start(flags);
    // What happens, who does it, and how many bytes it takes.
    while let [what, which, len, bytes @ ..] = rest {
        let (body, after) = bytes.split_at(usize::from(*len).min(bytes.len()));
        rest = after;
        let from = place(*which, *len);
        match what % 8 {
            0 => bench.input(Input::Datagram { from, bytes: body }),
            1 | 2 => bench.answer(*which, what & 8 != 0, body),
            3 | 4 => bench.ask(from, *which, body),
            5 => bench.start(*which),
            6 => {
                bench.now += Duration::from_millis(u64::from(*which) * u64::from(*len));
                bench.node.handle_timeout(bench.now);
                bench.outputs();
            }
            _ if what & 8 == 0 => bench.input(Input::Cancel { key: LookupKey(u64::from(*which)) }),
            _ => {
                let saved = bench.node.save(bench.now);
                bench.node.restore(bench.now, if what & 16 == 0 { body } else { &saved }).ok();
                bench.input(Input::Nodes { addrs: &[from] });
            }
        }
        plant(|| bench.stored >= 1 && bench.node.nodes(dht::Family::V4, bench.now).count() >= 1);
    }
});
