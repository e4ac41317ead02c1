//! Small networks of nodes: datagrams take 20 ms, unless a test says otherwise.

mod bounds;
mod heard;
mod network;

use crate::krpc::{Body, Method, Put, code, decode, encode_query, parse};
use crate::limits::{K, MIN_ID_AGE, PEER_LIFETIME, QUERY_TIMEOUT, TICK, TOKEN_INTERVAL};
use crate::*;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use network::{Network, addr};
use types::{InfoHashV1, Time};

const HASH: InfoHashV1 = InfoHashV1([0xaa; 20]);

fn announce(port: u16) -> Command {
    Command::Announce { info_hash: HASH, ports: [port; 2], implied_port: false, seed: false }
}

fn get_peers() -> Command {
    Command::GetPeers { info_hash: HASH, noseed: false }
}

fn peers_in(events: &[LookupEvent]) -> Vec<SocketAddr> {
    let peers = events.iter().filter_map(|event| match event {
        LookupEvent::Peers { peers, .. } => Some(peers.clone()),
        _ => None,
    });
    peers.flatten().collect()
}

#[test]
fn who_announces_is_found() {
    let mut network = Network::of(40, 1);
    let (_, done) = network.run_lookup(3, announce(7000));
    assert_eq!((done.stored, done.closest.len()), (K, K));
    let (events, done) = network.run_lookup(30, get_peers());
    assert_eq!(peers_in(&events), [SocketAddr::new(addr(3).ip(), 7000)]);
    assert_eq!((done.peers, done.stored), (1, 0));
    assert!(done.hops >= 1 && done.queries >= K);
    network.pass(PEER_LIFETIME + Duration::from_secs(70));
    assert_eq!(peers_in(&network.run_lookup(30, get_peers()).0), [], "it did not announce again");
}

#[test]
fn a_lookup_reports_hop_by_hop() {
    let mut network = Network::of(40, 2);
    network.kill(5);
    let (events, done) = network.run_lookup(9, get_peers());
    let asked: Vec<Hop> = events
        .iter()
        .filter_map(|e| if let LookupEvent::Queried(hop) = e { Some(*hop) } else { None })
        .collect();
    let answered = events.iter().filter(|event| matches!(event, LookupEvent::Answered { .. })).count();
    assert_eq!((asked.len(), answered), (done.queries, done.answers));
    for event in &events {
        if let LookupEvent::Answered { hop, round_trip, gave } = event {
            assert_eq!(*round_trip, Duration::from_millis(40));
            assert!(gave.nodes >= gave.new_nodes && gave.nodes > 0 && gave.token);
            let distance = hop.id.unwrap().distance(&HASH.into());
            assert_eq!(hop.distance_bits, Some(distance.bits()));
            assert!(asked.iter().any(|asked| asked.addr == hop.addr && asked.depth == hop.depth));
        }
    }
    let closest = network.closest(&HASH.into(), 9);
    assert!(
        done.closest.iter().map(|contact| contact.id).eq(closest),
        "the closest of all, the dead one not"
    );
}

#[test]
fn everybody_finds_the_closest_nodes() {
    let mut network = Network::of(60, 3);
    let mut found = 0;
    for asker in 0..60 {
        let target = NodeId([u8::try_from(asker * 4).unwrap(); 20]);
        let (_, done) = network.run_lookup(asker, Command::FindNode { target });
        let (theirs, all): (Vec<NodeId>, _) =
            (done.closest.iter().map(|contact| contact.id).collect(), network.closest(&target, asker));
        assert_eq!(theirs[..K / 2], all[..K / 2], "asked by {asker}");
        found += all.iter().filter(|id| theirs.contains(id)).count();
    }
    // The last of eight may be of a part of the network of which everybody around knows some only.
    assert!(found >= 60 * K * 97 / 100, "{found}");
}

#[test]
fn scrapes_count_seeds_and_peers() {
    let mut network = Network::of(30, 4);
    for n in 0..12 {
        let seed = n < 4;
        network
            .run_lookup(n, Command::Announce { info_hash: HASH, ports: [6881; 2], implied_port: true, seed });
    }
    let (_, done) = network.run_lookup(20, Command::Scrape { info_hash: HASH });
    let scrape = done.scrape.unwrap();
    assert!((scrape.seeds - 4.0).abs() < 0.5 && (scrape.peers - 8.0).abs() < 0.5, "{scrape:?}");
    assert_eq!(scrape.nodes, K);
    let (events, _) = network.run_lookup(20, Command::GetPeers { info_hash: HASH, noseed: true });
    assert_eq!(peers_in(&events).len(), 12, "seeds too, where there is room");
}

#[test]
fn items_are_stored_and_found() {
    let mut network = Network::of(30, 5);
    let item = ImmutableItem::new(b"5:hello".to_vec()).unwrap();
    let (_, done) = network.run_lookup(1, Command::PutImmutable(item.clone()));
    assert_eq!(done.stored, K);
    let get = Command::Get { target: item.target(), salt: Vec::new() };
    let (events, done) = network.run_lookup(2, get);
    assert!(events.iter().any(|e| matches!(e, LookupEvent::Immutable { item: found, .. } if *found == item)));
    assert_eq!(done.copies, 1, "it is enough");

    let version = |seq, value: &[u8]| MutableItem::sign(&[9; 32], b"salt", seq, value.to_vec()).unwrap();
    let put = |item, cas| Command::PutMutable { item, cas };
    assert_eq!(network.run_lookup(3, put(version(1, b"i1e"), None)).1.stored, K);
    assert!(network.run_lookup(4, put(version(2, b"i2e"), Some(7))).1.stored <= 1, "another is stored");
    let (events, _) = network.run_lookup(4, put(version(2, b"i2e"), Some(7)));
    assert!(events.iter().any(|e| matches!(e, LookupEvent::Refused { code: code::CAS_MISMATCH, .. })));
    assert!(network.run_lookup(4, put(version(2, b"i2e"), Some(1))).1.stored >= K - 1);
    let latest = version(2, b"i2e");
    let (events, done) =
        network.run_lookup(5, Command::Get { target: latest.target(), salt: b"salt".to_vec() });
    let found: Vec<_> = events.iter().filter(|e| matches!(e, LookupEvent::Mutable { .. })).collect();
    assert!(matches!(found[..], [LookupEvent::Mutable { item, .. }] if *item == latest));
    assert!(done.copies >= K - 1, "{done:?}");
    let (events, _) = network.run_lookup(5, Command::Get { target: latest.target(), salt: Vec::new() });
    assert!(!events.iter().any(|e| matches!(e, LookupEvent::Mutable { .. })), "not without its salt");
}

#[test]
fn long_round_trips_are_borne() {
    let mut network = Network::of(30, 16);
    network.delay = Duration::from_secs(1);
    network.replace(4, Config { bootstrap: [addr(0)].into(), ..Config::default() }, &[]);
    let (events, done) = network.run_lookup(4, Command::FindNode { target: HASH.into() });
    assert!(events.iter().any(|e| matches!(e, LookupEvent::Answered { hop, .. } if hop.addr == addr(0))));
    assert_eq!(done.closest.len(), K, "the bootstrap node led to others");
    assert_eq!(network.run_lookup(3, announce(7000)).1.stored, K);
    assert_eq!(network.run_lookup(20, get_peers()).1.peers, 1);
}

#[test]
fn samples_name_torrents() {
    let mut network = Network::of(20, 6);
    network.run_lookup(1, announce(1));
    let (events, _) = network.run_lookup(2, Command::Sample { target: HASH.into() });
    let named: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let LookupEvent::Sample { samples, num, .. } = e {
                Some((samples.clone(), *num))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        named.iter().filter(|(samples, num)| *samples == [HASH] && *num == 1).count(),
        1,
        "reported once"
    );
    assert!(named.iter().filter(|(_, num)| *num == 1).count() >= K - 1);
}

#[test]
fn a_lookup_ends_without_anybody_and_without_answers() {
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    let key = LookupKey(1);
    node.handle(Time::ZERO, Input::Start { key, command: get_peers() });
    let done = |outcome| Some(Output::Lookup { key, event: LookupEvent::Done(outcome) });
    assert_eq!(node.poll_output(), done(Outcome::default()));
    let mut network = Network::of(20, 7);
    (1..20).for_each(|n| network.kill(n));
    let (events, outcome) = network.run_lookup(0, get_peers());
    assert_eq!((outcome.answers, outcome.closest.len()), (0, 0));
    assert!(events.iter().any(|e| matches!(e, LookupEvent::Queried(_))));
    network.pass(QUERY_TIMEOUT);
}

#[test]
fn too_many_lookups_are_refused_and_cancelled_ones_are_silent() {
    let mut network = Network::of(20, 8);
    for n in 0..=limits::MAX_LOOKUPS as u64 {
        network.input(0, Input::Start { key: LookupKey(n), command: get_peers() });
    }
    let busy = |network: &Network| {
        let done = network
            .events
            .iter()
            .filter(|(_, _, e)| matches!(e, LookupEvent::Done(Outcome { busy: true, .. })));
        done.count()
    };
    assert_eq!(busy(&network), 1);
    network.input(0, Input::Cancel { key: LookupKey(0) });
    let before = network.events.len();
    network.pass(Duration::from_secs(60));
    assert!(network.events.len() > before + 1000);
    assert!(network.events[before..].iter().all(|(_, key, _)| *key != LookupKey(0)));
    let done = network.events.iter().filter(|(_, _, e)| matches!(e, LookupEvent::Done(_))).count();
    assert_eq!(done, limits::MAX_LOOKUPS, "all but the cancelled one");
}

#[test]
fn dead_nodes_are_forgotten_and_new_ones_take_part() {
    let mut network = Network::of(40, 9);
    (0..20).for_each(|n| network.kill(n));
    network.pass(Duration::from_secs(40 * 60));
    for n in 20..40 {
        let (good, all) = network.node(n).stats(network.now).nodes_of(Family::V4);
        assert!(good >= 10, "{good} good of {all}");
        let named =
            network.node(n).nodes(Family::V4, network.now).filter(|(_, status)| *status == Status::Good);
        assert!(named.into_iter().all(|(contact, _)| (20..40).any(|n| addr(n) == contact.addr)));
    }
}

#[test]
fn a_saved_table_is_enough_to_come_back() {
    let mut network = Network::of(30, 10);
    let saved = network.node(4).save(network.now);
    let id = network.node(4).id(Family::V4);
    network.replace(4, Config::default(), &[]);
    assert_ne!(network.node(4).id(Family::V4), id);
    let now = network.now;
    network.node_mut(4).restore(now, &saved).unwrap();
    assert_eq!(network.node(4).id(Family::V4), id);
    network.pass(Duration::from_secs(30));
    assert!(network.node(4).stats(network.now).nodes_of(Family::V4).0 >= 10);
    for bad in [&b"x"[..], b"le", b"d2:idi1e5:nodes3:abce"] {
        let result = network.node_mut(4).restore(now, bad);
        assert_eq!(result.is_ok(), bad.starts_with(b"d"), "{result:?}");
    }
}

#[test]
fn saved_nodes_that_are_gone_do_not_keep_us_out() {
    let mut network = Network::of(30, 17);
    let gone = bencode::encode_dict(|d| {
        let node = |n: u8| [&[n; 20][..], &[81, 1, n, 1], &[1, 1]].concat();
        d.bytes("nodes", (0..200).flat_map(node).collect::<Vec<_>>());
    });
    network.replace(4, Config { bootstrap: [addr(0)].into(), v6: false, ..Config::default() }, &[]);
    network.replace(5, Config { v6: false, ..Config::default() }, &[]);
    let now = network.now;
    for n in [4, 5] {
        network.node_mut(n).restore(now, &gone).unwrap();
    }
    network.input(5, Input::Nodes { addrs: &[addr(1)] });
    network.pass(Duration::from_secs(60));
    for n in [4, 5] {
        let (good, _) = network.node(n).stats(network.now).nodes_of(Family::V4);
        assert!(good >= 10, "{good} good of node {n}");
    }
}

#[test]
fn a_lookup_under_way_hears_of_nodes() {
    let mut network = Network::of(20, 19);
    let gone = "81.1.1.1:1".parse().unwrap();
    for by_name in [true, false] {
        network.replace(4, Config { bootstrap: [gone].into(), v6: false, ..Config::default() }, &[]);
        network.input(4, Input::Start { key: LookupKey(1), command: get_peers() });
        network.pass(Duration::from_secs(2));
        let now = network.now;
        network.events.clear();
        if by_name {
            network.node_mut(4).set_bootstrap(now, [gone, addr(0)].into());
        } else {
            network.node_mut(4).handle(now, Input::Nodes { addrs: &[addr(0)] });
        }
        network.pass(QUERY_TIMEOUT);
        let Some((_, _, LookupEvent::Done(done))) = network.events.last() else { panic!("it goes on") };
        assert_eq!(done.closest.len(), K, "{by_name}");
    }
}

#[test]
fn the_first_datagram_may_be_lost() {
    let mut network = Network::of(20, 21);
    network.replace(4, Config { bootstrap: [addr(0)].into(), v6: false, ..Config::default() }, &[]);
    let began = network.now;
    network.input(4, Input::Start { key: LookupKey(1), command: get_peers() });
    network.lose_what_is_under_way();
    network.pass(Duration::from_secs(3));
    let Some((_, _, LookupEvent::Done(done))) = network.events.last() else {
        panic!("it goes on after {:?}", network.now.since(began))
    };
    assert_eq!(done.closest.len(), K);
}

#[test]
fn a_question_that_is_slow_is_repeated_once() {
    let other: SocketAddr = "81.1.1.1:1".parse().unwrap();
    let mut node = Node::new(Config { v6: false, ..Config::default() }, 1, Time::ZERO);
    let ping = encode_query(b"aa", &NodeId(hash::sha1(b"other")), false, None, &Method::Ping);
    let asked = |node: &mut Node, question: &str| {
        let is_asked = |(to, bytes): &(SocketAddr, Vec<u8>)| {
            *to == other && bytes.windows(question.len()).any(|part| part == question.as_bytes())
        };
        bounds::sent(node).iter().filter(|datagram| is_asked(datagram)).count()
    };
    let hear = |node: &mut Node, at: u64| {
        node.handle_timeout(Time::from_secs(at));
        node.handle(Time::from_secs(at), Input::Datagram { from: other, bytes: &ping });
        node.handle_timeout(Time::from_secs(at));
        asked(node, "1:q4:ping")
    };
    // Whoever asks is there: what was sent before may have come too early.
    assert_eq!([0, 1, 2, 3].map(|at| hear(&mut node, at)), [1, 0, 1, 0]);
    // Who is all that a lookup has is asked again, once.
    let config = Config { v6: false, bootstrap: [other].into(), ..Config::default() };
    let mut node = Node::new(config, 1, Time::ZERO);
    node.handle(Time::ZERO, Input::Start { key: LookupKey(1), command: get_peers() });
    let mut at = |seconds| {
        node.handle_timeout(Time::from_secs(seconds));
        asked(&mut node, "9:get_peers")
    };
    assert_eq!([0, 1, 2, 3, 7].map(&mut at), [1, 0, 1, 0, 0]);
}

#[test]
fn named_nodes_push_nobody_out() {
    let network = Network::of(20, 18);
    let saved = network.node(4).save(network.now);
    let mut node = Node::new(Config { v6: false, ..Config::default() }, 1, network.now);
    node.restore(network.now, &saved).unwrap();
    let count = |node: &Node, is_saved| {
        let starters = &node.side(Family::V4).unwrap().starters;
        starters.iter().filter(|(id, _)| id.is_some() == is_saved).count()
    };
    let before = count(&node, true);
    for n in 0..1000u16 {
        let [high, low] = n.to_be_bytes();
        node.handle(network.now, Input::Nodes { addrs: &[SocketAddr::from(([82, high, low, 1], 1)); 2] });
        node.check_invariants();
    }
    assert!(before >= 10);
    assert_eq!((count(&node, true), count(&node, false)), (before, limits::MAX_NAMED_NODES));
}

#[test]
fn who_answers_with_errors_only_turns_bad() {
    let mut node = Node::new(Config { v6: false, ..Config::default() }, 1, Time::ZERO);
    let other = addr(1);
    node.handle(Time::ZERO, Input::Nodes { addrs: &[other] });
    let (mut now, mut was_good) = (Time::ZERO, false);
    while now < Time::from_secs(3600) {
        while let Some(output) = node.poll_output() {
            let Output::Send { to, bytes } = output else { continue };
            let document = decode(&bytes).unwrap();
            let Ok(krpc::Packet { transaction, .. }) = parse(&document) else { panic!("{bytes:?}") };
            let answer = if was_good {
                krpc::encode_error(transaction, &to, code::SERVER, "no")
            } else {
                krpc::Answer::default().encode(transaction, &to, &NodeId([9; 20]))
            };
            node.handle(now, Input::Datagram { from: to, bytes: &answer });
        }
        was_good |= node.nodes(Family::V4, now).any(|(_, status)| status == Status::Good);
        now = node.poll_timeout();
        node.handle_timeout(now);
    }
    let statuses: Vec<Status> = node.nodes(Family::V4, now).map(|(_, status)| status).collect();
    assert_eq!((was_good, statuses), (true, [Status::Bad].into()));
}

#[test]
fn nodes_of_both_families_are_wanted_while_tables_are_filled() {
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    let sent = |node: &mut Node| {
        let sent = core::iter::from_fn(|| node.poll_output()).filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes),
            _ => None,
        });
        sent.last().unwrap()
    };
    let wants = |bytes: &[u8]| bytes.windows(14).any(|part| part == b"4:wantl2:n42:n");
    node.handle(Time::ZERO, Input::Nodes { addrs: &[addr(1)] });
    assert!(wants(&sent(&mut node)));
    node.begin(Time::ZERO, None, Command::FindNode { target: HASH.into() }).unwrap();
    node.handle_timeout(Time::ZERO);
    assert!(!wants(&sent(&mut node)), "a bucket is looked into");
}

#[test]
fn ids_fit_the_address_that_others_see() {
    let mut network = Network::of(30, 11);
    let (id, ip) = (network.node(7).id(Family::V4).unwrap(), addr(7).ip());
    assert!(is_valid_id(&id, ip), "four networks told it");
    assert_eq!(network.external[7], Some(ip));
    network.pass(MIN_ID_AGE);
    assert_eq!(network.node(7).id(Family::V4).unwrap(), id, "and then it stays");
}

#[test]
fn enforced_ids_keep_others_out() {
    let mut network = Network::of(20, 12);
    let config = Config { enforce_ids: true, ..Config::default() };
    network.replace(3, config, &[addr(5)]);
    // This one believes to be elsewhere.
    let liar = Config { external: [[9, 9, 9, 9].into()].into(), ..Config::default() };
    network.replace(8, liar, &[addr(5)]);
    network.pass(Duration::from_secs(60));
    assert!(!is_valid_id(&network.node(8).id(Family::V4).unwrap(), addr(8).ip()));
    let knows =
        |network: &Network, n| network.node(n).nodes(Family::V4, network.now).any(|(c, _)| c.addr == addr(8));
    assert!(!knows(&network, 3));
    assert!((0..20).any(|n| knows(&network, n)), "others don't mind");
    let target = network.node(8).id(Family::V4).unwrap();
    let (_, done) = network.run_lookup(3, Command::FindNode { target });
    assert!(done.closest.iter().all(|contact| contact.addr != addr(8)) && done.closest.len() == K);
    let (_, done) = network.run_lookup(4, Command::FindNode { target });
    assert_eq!(done.closest[0].addr, addr(8), "the closest of all");
}

#[test]
fn read_only_nodes_are_silent_and_known_to_nobody() {
    let mut network = Network::of(20, 13);
    network.replace(6, Config { read_only: true, ..Config::default() }, &[addr(2)]);
    network.pass(Duration::from_secs(60 * 60));
    assert_eq!(network.run_lookup(6, announce(1)).1.stored, K, "it can ask");
    for n in (0..20).filter(|n| *n != 6) {
        let now = network.now;
        assert!(network.node(n).nodes(Family::V4, now).all(|(c, s)| c.addr != addr(6) || s != Status::Good));
    }
    assert_eq!(network.node(6).stats(network.now).answered, 0);
}

/// Sends a query from `from` to the node and gives back its answer.
fn ask(node: &mut Node, now: Time, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    node.handle(now, Input::Datagram { from, bytes });
    let outputs = core::iter::from_fn(|| node.poll_output());
    let answers = outputs.filter_map(|output| match output {
        Output::Send { to, bytes } if to == from && !bytes.ends_with(b"1:y1:qe") => Some(bytes),
        _ => None,
    });
    answers.last()
}

fn code_of(answer: &[u8]) -> Option<i64> {
    match parse(&decode(answer).unwrap()).unwrap().body {
        Body::Error { code, .. } => Some(code),
        _ => None,
    }
}

fn query(method: &Method<'_>) -> Vec<u8> {
    encode_query(b"tx", &NodeId([3; 20]), false, None, method)
}

fn token_of(answer: &[u8]) -> Vec<u8> {
    let document = decode(answer).unwrap();
    let Body::Response(response) = parse(&document).unwrap().body else { panic!("a refusal") };
    response.token.unwrap().to_vec()
}

#[test]
fn nothing_is_stored_without_a_token() {
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    let (now, from, other) = (Time::ZERO, addr(1), addr(2));
    let get = query(&Method::GetPeers { info_hash: HASH.into(), noseed: false, scrape: false });
    let token = token_of(&ask(&mut node, now, from, &get).unwrap());
    let announce = |hash: [u8; 20], token: &[u8]| {
        query(&Method::AnnouncePeer {
            info_hash: NodeId(hash),
            port: 9,
            implied_port: false,
            seed: false,
            token,
        })
    };
    let mut announce_code =
        |now, from, hash, token: &[u8]| code_of(&ask(&mut node, now, from, &announce(hash, token)).unwrap());
    assert_eq!(announce_code(now, from, HASH.0, b"guess"), Some(code::PROTOCOL));
    assert_eq!(announce_code(now, other, HASH.0, &token), Some(code::PROTOCOL), "of another host");
    assert_eq!(announce_code(now, from, [1; 20], &token), Some(code::PROTOCOL), "of another torrent");
    assert_eq!(announce_code(now, from, HASH.0, &token), None);
    assert_eq!(
        announce_code(now + TOKEN_INTERVAL * 2, from, HASH.0, &token),
        Some(code::PROTOCOL),
        "too old"
    );
    let now = now + TOKEN_INTERVAL * 2;
    assert_eq!(node.stats(now).peers, 1);
    let put = |token: &[u8]| query(&Method::Put(Put { token, value: b"i1e", signed: None, cas: None }));
    assert_eq!(code_of(&ask(&mut node, now, from, &put(b"guess")).unwrap()), Some(code::PROTOCOL));
    let get = query(&Method::Get { target: immutable_target(b"i1e"), seq: None });
    let token = token_of(&ask(&mut node, now, from, &get).unwrap());
    assert_eq!(code_of(&ask(&mut node, now, from, &put(&token)).unwrap()), None);
    assert_eq!(node.stats(now).items, 1);
}

#[test]
fn answers_are_those_of_the_beps() {
    let mut node =
        Node::new(Config { external: [[1, 2, 3, 4].into()].into(), ..Config::default() }, 1, Time::ZERO);
    let from: SocketAddr = "80.1.1.1:258".parse().unwrap();
    let own = node.id(Family::V4).unwrap();
    let mut answer = |text: &[u8]| ask(&mut node, Time::ZERO, from, text);
    let pong = [b"d2:ip6:\x50\x01\x01\x01\x01\x021:rd2:id20:", &own.0[..], b"e1:t2:aa1:v4:RW\x00\x011:y1:re"]
        .concat();
    assert_eq!(answer(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"), Some(pong));
    let unknown = b"d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe";
    assert_eq!(code_of(&answer(unknown).unwrap()), Some(code::METHOD_UNKNOWN));
    let malformed = b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe";
    assert_eq!(code_of(&answer(malformed).unwrap()), Some(code::PROTOCOL));
    let future =
        answer(b"d1:ad2:id20:abcdefghij01234567896:target20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe");
    let future = future.unwrap();
    let document = decode(&future).unwrap();
    assert!(document.root().get("r").unwrap().get("nodes").is_some(), "as find_node");
    let both = answer(b"d1:ad2:id20:abcdefghij01234567896:target20:abcdefghij01234567894:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:y1:qe").unwrap();
    let document = decode(&both).unwrap();
    let r = document.root().get("r").unwrap();
    assert!(r.get("nodes").is_some() && r.get("nodes6").is_some());
    for silent in [&b"hello"[..], b"de", b"d1:y1:qe", b"d1:q4:ping1:y1:qe", b""] {
        assert_eq!(answer(silent), None);
    }
}

#[test]
fn a_known_version_is_not_sent_again() {
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    let item = MutableItem::sign(&[9; 32], b"", 5, b"i1e".to_vec()).unwrap();
    let get = |node: &mut Node, seq| {
        let answer =
            ask(node, Time::ZERO, addr(1), &query(&Method::Get { target: item.target(), seq })).unwrap();
        let document = decode(&answer).unwrap();
        let Body::Response(response) = parse(&document).unwrap().body else { panic!("a refusal") };
        (response.value.is_some(), response.seq, response.token.unwrap().to_vec())
    };
    let (_, _, token) = get(&mut node, None);
    let signed = krpc::Signed { key: &item.key, salt: b"", seq: 5, signature: &item.signature };
    let put = query(&Method::Put(Put { token: &token, value: b"i1e", signed: Some(signed), cas: None }));
    assert_eq!(code_of(&ask(&mut node, Time::ZERO, addr(1), &put).unwrap()), None);
    let got = [None, Some(4), Some(5)].map(|seq| get(&mut node, seq));
    assert_eq!(got.map(|(value, seq, _)| (value, seq)), [(true, Some(5)), (true, Some(5)), (false, Some(5))]);
}

#[test]
fn floods_are_not_answered() {
    let mut node = Node::new(Config { answers_per_sec: 50, ..Config::default() }, 1, Time::from_secs(9));
    let ping = query(&Method::Ping);
    let mut answers = |from: &dyn Fn(u8) -> SocketAddr| {
        (0..200).filter(|n| ask(&mut node, Time::from_secs(10), from(*n), &ping).is_some()).count()
    };
    assert_eq!(answers(&|_| addr(1)), 50, "a second's worth for all");
    assert_eq!(answers(&|n| addr(n.into())), 0);
    assert_eq!(node.stats(Time::ZERO).dropped, 350);
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    let asked = (0..500).filter(|_| ask(&mut node, Time::from_secs(1), addr(1), &ping).is_some()).count();
    assert_eq!(asked, limits::MAX_SOURCE_QUERIES as usize, "one host");
}

#[test]
fn answers_nobody_asked_for_are_ignored() {
    let mut network = Network::of(10, 14);
    network.input(0, Input::Start { key: LookupKey(1), command: get_peers() });
    let before = network.node(0).stats(network.now);
    let forged = bencode::encode_dict(|d| {
        d.dict("r", |r| r.bytes("id", [5; 20]));
        d.bytes("t", [0; 4]);
        d.bytes("y", "r");
    });
    network.input(0, Input::Datagram { from: "66.6.6.6:6".parse().unwrap(), bytes: &forged });
    assert_eq!(network.node(0).stats(network.now), before);
}

#[test]
fn two_families_are_two_networks() {
    let mut network = Network::dual(20, 15);
    network.pass(Duration::from_secs(60));
    let (_, done) = network.run_lookup(3, announce(7000));
    assert_eq!((done.stored, done.closest.len()), (2 * K, 2 * K));
    let (events, _) = network.run_lookup(9, get_peers());
    let mut peers = peers_in(&events);
    peers.sort_unstable();
    assert_eq!(peers, [SocketAddr::new(addr(3).ip(), 7000), SocketAddr::new(network::addr6(3).ip(), 7000)]);
}

#[test]
fn a_node_sleeps_when_nothing_is_to_be_done() {
    let mut node = Node::new(Config::default(), 1, Time::ZERO);
    node.handle_timeout(Time::ZERO);
    assert_eq!(node.poll_timeout(), Time::ZERO + TICK);
    assert_eq!(node.poll_output(), None);
}
