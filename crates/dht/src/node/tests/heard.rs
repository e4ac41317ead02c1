//! What is told of queries.

use super::*;

/// Of one node, what is told of queries of ours or of others.
fn told(network: &Network, node: usize, is_ours: bool) -> Vec<Exchange> {
    let of = network.exchanges.iter().filter(|(n, exchange)| *n == node && exchange.is_ours == is_ours);
    of.map(|(_, exchange)| exchange.clone()).collect()
}

fn count(told: &[Exchange], is: impl Fn(&Exchange) -> bool) -> usize {
    told.iter().filter(|exchange| is(exchange)).count()
}

#[test]
fn each_query_and_what_comes_of_it_is_told_while_somebody_listens() {
    let mut network = Network::of(40, 2);
    network.run_lookup(9, get_peers());
    assert_eq!(network.exchanges, [], "nobody listens");
    let dead = network.node(5).id(Family::V4).unwrap();
    network.kill(5);
    (0..40).filter(|&n| n != 5).for_each(|n| network.node_mut(n).set_heard(true));

    let (_, done) = network.run_lookup(9, announce(7000));
    let ours = told(&network, 9, true);
    let target = Some(NodeId::from(HASH));
    for (method, stored) in [("get_peers", false), ("announce_peer", true)] {
        let of = |stage: fn(&Stage) -> bool| {
            count(&ours, |told| {
                let asked = told.asked;
                asked.key.is_some() && asked.method == method && asked.target == target && stage(&told.stage)
            })
        };
        let answered = of(|stage| match stage {
            Stage::Answered { took, nodes, .. } => {
                assert_eq!(*took, Duration::from_millis(40));
                // Who stores something names nobody.
                assert!(*nodes <= K);
                true
            }
            _ => false,
        });
        let expected = if stored { done.stored } else { done.answers - done.stored };
        assert_eq!(answered, expected, "{method}");
        assert!(of(|stage| *stage == Stage::Sent) >= answered, "{method}");
    }
    assert!(ours.iter().any(|told| matches!(told.stage, Stage::Answered { nodes: K, .. })));

    // Who is asked tells the same, and that it answers.
    let from_us = |told: &Exchange| told.node == addr(9) && told.asked.method == "announce_peer";
    let theirs: Vec<Exchange> = (0..40).flat_map(|n| told(&network, n, false)).filter(from_us).collect();
    let asked = |told: &Exchange| told.stage == Stage::Sent && told.asked.target == target;
    let answered = |told: &Exchange| {
        told.stage == Stage::Answered { took: Duration::ZERO, nodes: 0, peers: 0 } && told.asked.key.is_none()
    };
    assert_eq!([count(&theirs, asked), count(&theirs, answered)], [done.stored; 2]);

    network.run_lookup(12, Command::FindNode { target: dead });
    network.pass(QUERY_TIMEOUT);
    let silent = told(&network, 12, true);
    let timed_out =
        |told: &Exchange| told.node == addr(5) && told.stage == Stage::TimedOut { took: QUERY_TIMEOUT };
    assert!(count(&silent, timed_out) > 0, "{silent:?}");

    (0..40).filter(|&n| n != 5).for_each(|n| network.node_mut(n).set_heard(false));
    network.exchanges.clear();
    network.run_lookup(9, get_peers());
    assert_eq!(network.exchanges, [], "nobody listens any more");
}

#[test]
fn refusals_are_told_by_both() {
    let mut network = Network::of(20, 5);
    let version = |seq| MutableItem::sign(&[9; 32], b"", seq, b"i1e".to_vec()).unwrap();
    network.run_lookup(3, Command::PutMutable { item: version(1), cas: None });
    (0..20).for_each(|n| network.node_mut(n).set_heard(true));
    let item = version(2);
    let target = Some(item.target());
    network.run_lookup(4, Command::PutMutable { item, cas: Some(7) });
    let refused = |told: &Exchange| {
        let is_so =
            matches!(&told.stage, Stage::Refused { code: code::CAS_MISMATCH, text, .. } if !text.is_empty());
        is_so && told.asked.method == "put" && told.asked.target == target
    };
    let ours = count(&told(&network, 4, true), refused);
    let theirs: usize = (0..20).map(|n| count(&told(&network, n, false), refused)).sum();
    assert!(ours > 0 && ours == theirs, "{ours} {theirs}");
}
