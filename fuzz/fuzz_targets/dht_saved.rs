//! Any bytes as a saved table: refused as a whole or taken over within bounds; and what a node saves, the next takes over.
#![no_main]

use common::{Parts, plant};
use core::net::SocketAddr;
use core::time::Duration;
use dht::krpc::{self, Body};
use dht::{Config, Family, Input, Node, NodeId, Output};
use libfuzzer_sys::fuzz_target;
use types::Time;

const KEYS: [(&str, &str, usize); 2] = [("id", "nodes", 26), ("id6", "nodes6", 38)];

fn new_node(seed: u64) -> Node {
    Node::new(Config { enforce_ids: false, v6: true, ..Config::default() }, seed, Time::ZERO)
}

/// Lets a minute pass in which some of those who are asked answer, under the ids that they were saved with.
fn live(node: &mut Node, saved: &[u8], deaf: u8) -> Time {
    let mut now = Time::ZERO;
    node.handle_timeout(now);
    while now < Time::from_secs(60) {
        while let Some(output) = node.poll_output() {
            let Output::Send { to, bytes } = output else { continue };
            let document = krpc::decode(&bytes).expect("what we send");
            let packet = krpc::parse(&document).expect("what we send");
            let answers = matches!(packet.body, Body::Query(_)) && to.port() % 8 != u16::from(deaf % 8);
            let Some(id) = id_of(saved, to).filter(|_| answers) else { continue };
            let answer = bencode::encode_dict(|d| {
                d.bytes("t", packet.transaction);
                d.bytes("y", "r");
                d.dict("r", |r| r.bytes("id", id));
            });
            node.handle(now, Input::Datagram { from: to, bytes: &answer });
        }
        node.check_invariants();
        assert!(node.poll_timeout() > now, "it comes to rest");
        now = node.poll_timeout().max(now + Duration::from_millis(1));
        node.handle_timeout(now);
    }
    now
}

fn id_of(saved: &[u8], addr: SocketAddr) -> Option<[u8; 20]> {
    let document = bencode::decode(saved).ok()?;
    let (_, key, len) = KEYS[usize::from(addr.is_ipv6())];
    let nodes = document.root().get(key)?.as_bytes()?;
    let compact = match addr.ip() {
        std::net::IpAddr::V4(ip) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
        std::net::IpAddr::V6(ip) => [&ip.octets()[..], &addr.port().to_be_bytes()].concat(),
    };
    let node = nodes.chunks_exact(len).find(|node| node[20..] == compact)?;
    node[..20].try_into().ok()
}

fn check(saved: &[u8], deaf: u8) {
    let mut node = new_node(1);
    let before = Family::BOTH.map(|family| node.id(family));
    if let Err(error) = node.restore(Time::ZERO, saved) {
        assert!(!error.to_string().contains(char::is_control));
        return assert_eq!(Family::BOTH.map(|family| node.id(family)), before, "nothing is taken over");
    }
    node.check_invariants();
    let now = live(&mut node, saved, deaf);
    let good = |node: &Node, now| Family::BOTH.map(|family| node.nodes(family, now).count());
    let kept = node.save(now);
    let mut next = new_node(2);
    next.restore(Time::ZERO, &kept).expect("what we save");
    assert_eq!(Family::BOTH.map(|family| next.id(family)), Family::BOTH.map(|family| node.id(family)));
    let later = live(&mut next, &kept, u8::MAX);
    let (of_first, of_next) = (good(&node, now), good(&next, later));
    plant(|| of_first[1] == 2 && of_next[1] == 1);
}

fuzz_target!(|data: &[u8]| {
    check(data, 0);
    let mut parts = Parts(data);
    let (deaf, ids) = (parts.byte(), [NodeId(parts.array()), NodeId([parts.byte(); 20])]);
    let mut lists = [Vec::new(), Vec::new()];
    for _ in 0..parts.byte() % 64 {
        let addr = parts.addr();
        let list = &mut lists[usize::from(addr.is_ipv6())];
        list.extend(parts.array::<4>().repeat(5));
        match addr.ip() {
            std::net::IpAddr::V4(ip) => list.extend(ip.octets()),
            std::net::IpAddr::V6(ip) => list.extend(ip.octets()),
        }
        list.extend(addr.port().to_be_bytes());
    }
    let saved = bencode::encode_dict(|d| {
        for (at, (id_key, nodes_key, _)) in KEYS.into_iter().enumerate() {
            d.bytes(id_key, ids[at].0);
            d.bytes(nodes_key, &lists[at]);
        }
    });
    check(&saved, deaf);
});
