//! What a node holds at most, whatever it is told.

use super::*;
use crate::limits::{
    BOOTSTRAP_RETRY_MAX, MAX_LOOKUPS, MAX_NODES, MAX_PINGS, MAX_QUERIES, MAX_SAVED_ASKED, MAX_STARTERS,
};

/// So many nodes that are not there, each in a network of its own, as a table keeps them.
fn strangers(count: usize) -> Vec<u8> {
    let node = |n: u16| {
        let [high, low] = n.to_be_bytes();
        [&hash::sha1(&[high, low])[..], &[81, high, low, 1], &[1, 1]].concat()
    };
    (0..).take(count).flat_map(node).collect()
}

/// A node with such a saved table that may ask as much as it likes.
fn node_of(strangers_saved: usize, config: Config) -> Node {
    let mut node = Node::new(Config { v6: false, ..config }, 1, Time::ZERO);
    let saved = bencode::encode_dict(|d| d.bytes("nodes", strangers(strangers_saved)));
    node.restore(Time::ZERO, &saved).unwrap();
    node
}

fn fast() -> Config {
    Config { queries_per_sec: 1_000_000, ..Config::default() }
}

/// Whom it asks.
pub(super) fn sent(node: &mut Node) -> Vec<(SocketAddr, Vec<u8>)> {
    let outputs = core::iter::from_fn(|| node.poll_output());
    outputs
        .filter_map(|output| match output {
            Output::Send { to, bytes } => Some((to, bytes)),
            _ => None,
        })
        .collect()
}

#[test]
fn so_many_saved_nodes_are_kept_in_mind() {
    let node = node_of(MAX_STARTERS + 1, fast());
    assert_eq!(node.side(Family::V4).unwrap().starters.len(), MAX_STARTERS);
    node.check_invariants();
}

#[test]
fn a_lookup_begins_with_a_share_of_the_saved_nodes() {
    let mut node = node_of(200, fast());
    node.handle(Time::ZERO, Input::Start { key: LookupKey(1), command: get_peers() });
    let (mut asked, mut done) = (0, None);
    while done.is_none() {
        while let Some(output) = node.poll_output() {
            match output {
                Output::Lookup { event: LookupEvent::Queried(_), .. } => asked += 1,
                Output::Lookup { event: LookupEvent::Done(outcome), .. } => done = Some(outcome),
                _ => {}
            }
        }
        let now = node.poll_timeout();
        node.handle_timeout(now);
    }
    assert_eq!(asked, MAX_SAVED_ASKED);
}

#[test]
fn of_one_answer_so_many_nodes_are_read() {
    let mut node = Node::new(Config { v6: false, ..fast() }, 1, Time::ZERO);
    node.handle(Time::ZERO, Input::Start { key: LookupKey(1), command: get_peers() });
    core::iter::from_fn(|| node.poll_output()).for_each(drop);
    node.handle(Time::ZERO, Input::Nodes { addrs: &[addr(1)] });
    node.handle(Time::ZERO, Input::Start { key: LookupKey(2), command: get_peers() });
    for (to, bytes) in sent(&mut node) {
        let document = decode(&bytes).unwrap();
        let answer = bencode::encode_dict(|d| {
            d.dict("r", |d| {
                d.bytes("id", [9; 20]);
                d.bytes("nodes", strangers(MAX_NODES + 1));
            });
            d.bytes("t", parse(&document).unwrap().transaction);
            d.bytes("y", "r");
        });
        node.handle(Time::ZERO, Input::Datagram { from: to, bytes: &answer });
    }
    let gave = core::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Lookup { event: LookupEvent::Answered { gave, .. }, .. } => Some(gave.nodes),
        _ => None,
    });
    assert_eq!(gave, Some(MAX_NODES));
}

#[test]
fn so_many_queries_are_in_flight() {
    let mut node = node_of(200, fast());
    for n in 0..MAX_LOOKUPS as u64 {
        node.handle(Time::ZERO, Input::Start { key: LookupKey(n), command: get_peers() });
    }
    let mut most = node.queries.len();
    while node.poll_timeout() < Time::ZERO + QUERY_TIMEOUT {
        let now = node.poll_timeout();
        node.handle_timeout(now);
        sent(&mut node);
        node.check_invariants();
        most = most.max(node.queries.len());
    }
    assert_eq!(most, MAX_QUERIES);
}

#[test]
fn so_many_nodes_wait_to_be_asked_whether_they_are_there() {
    let mut node = Node::new(Config { v6: false, queries_per_sec: 1, ..Config::default() }, 1, Time::ZERO);
    for n in (0u16..).take(4 * MAX_PINGS) {
        let [high, low] = n.to_be_bytes();
        let from = SocketAddr::from(([81, high, low, 1], 1));
        let id = NodeId(hash::sha1(&[high, low]));
        let query = encode_query(b"aa", &id, false, None, &Method::Ping);
        node.handle(Time::ZERO, Input::Datagram { from, bytes: &query });
        node.check_invariants();
    }
    assert_eq!(node.pings.len(), MAX_PINGS);
}

#[test]
fn attempts_to_fill_a_table_become_rare_but_do_not_end() {
    let gone: SocketAddr = "81.1.1.1:1".parse().unwrap();
    let mut node = Node::new(Config { bootstrap: [gone].into(), v6: false, ..fast() }, 1, Time::ZERO);
    let (mut now, mut asked) = (Time::ZERO, Vec::<Time>::new());
    while now < Time::from_secs(4 * 3600) {
        let is_repeated = asked.last().is_some_and(|last| now.since(*last) < QUERY_TIMEOUT);
        if sent(&mut node).iter().any(|(to, _)| *to == gone) && !is_repeated {
            asked.push(now);
        }
        now = node.poll_timeout();
        node.handle_timeout(now);
    }
    let waits: Vec<Duration> = asked.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let longest = waits.iter().max().copied().unwrap();
    assert!(
        (BOOTSTRAP_RETRY_MAX..BOOTSTRAP_RETRY_MAX + QUERY_TIMEOUT + 2 * TICK).contains(&longest),
        "{waits:?}"
    );
    assert_eq!(waits.last(), Some(&longest));
}
