//! Whom to dial first and whom to keep (BEP 40).

use super::*;
use crate::limits::{EXTERNAL_QUORUM, REPLACE_AFTER};
use crate::priority::priority;
use core::net::IpAddr;

const OURS: [u8; 4] = [99, 1, 2, 3];
/// More than peers are silent for.
const LATER: Duration = Duration::from_secs(70);

fn config() -> Config {
    Config { external: vec![IpAddr::from(OURS)], listen_ports: [6881; 2], max_peers: 3, ..Config::default() }
}

fn rank(n: u8) -> u32 {
    priority(SocketAddr::from((OURS, 6881)), addr(n)).unwrap()
}

/// Numbers of peers, those of the lowest priority first.
fn ranked() -> Vec<u8> {
    let mut all: Vec<u8> = (1..=10).collect();
    all.sort_by_key(|&n| rank(n));
    all
}

fn key(n: u8) -> PeerKey {
    PeerKey(u64::from(n))
}

fn gone(out: &[Output]) -> Vec<(PeerKey, DisconnectReason)> {
    let gone = |o: &Output| match o {
        Output::Disconnect { peer, reason } => Some((*peer, *reason)),
        _ => None,
    };
    out.iter().filter_map(gone).collect()
}

/// A full house of the three peers after the first of [`ranked`], some time later.
fn full_house() -> (Bench, Vec<u8>) {
    let mut bench = Bench::new(Bitfield::new(PIECES), config());
    let order = ranked();
    order[1..4].iter().for_each(|&n| drop(bench.connect(key(n), FAST)));
    bench.pass(LATER);
    (bench, order)
}

#[test]
fn the_lowest_makes_room_for_a_higher_one() {
    let (mut bench, order) = full_house();
    let out = bench.connect(key(order[0]), FAST);
    assert_eq!(gone(&out), [(key(order[0]), DisconnectReason::TooManyPeers)]);
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[1]), DisconnectReason::Outranked)]);
    let out = bench.connect(key(order[8]), FAST);
    assert_eq!(gone(&out), [(key(order[2]), DisconnectReason::Outranked)]);
    assert_eq!(bench.swarm.peers(bench.now).count(), 3);
}

#[test]
fn who_just_came_stays() {
    let mut bench = Bench::new(Bitfield::new(PIECES), config());
    let order = ranked();
    order[..3].iter().for_each(|&n| drop(bench.connect(key(n), FAST)));
    bench.pass(REPLACE_AFTER - Duration::from_millis(1));
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[9]), DisconnectReason::TooManyPeers)]);
    bench.pass(Duration::from_millis(1));
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[0]), DisconnectReason::Outranked)]);
}

#[test]
fn who_is_of_use_stays() {
    let (mut bench, order) = full_house();
    // The lowest has blocks under way, the next and we may ask each other, the third is nobody's.
    bench.says(key(order[1]), Message::HaveAll);
    assert!(!requests(&bench.says(key(order[1]), Message::Unchoke)).is_empty());
    bench.says(key(order[2]), Message::Unchoke);
    bench.says(key(order[2]), Message::Interested);
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[3]), DisconnectReason::Outranked)]);
}

#[test]
fn who_sends_or_gets_something_stays() {
    let (mut bench, order) = full_house();
    bench.receive(key(order[1]), block(0, 0));
    bench.input(Input::BlockSent { peer: key(order[2]), block: block(0, 0) });
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[3]), DisconnectReason::Outranked)]);
}

#[test]
fn whom_the_user_named_stays() {
    let order = ranked();
    let mut bench = Bench::new(Bitfield::new(PIECES), config());
    let mut dial = |n: u8, source| {
        let found = bench.input(Input::PeersFound { addrs: &[addr(n)], source });
        assert!(found.contains(&Output::Connect { addr: addr(n) }));
        let (peer, addr, peer_id) = (key(n), addr(n), PeerId([n; 20]));
        bench.input(Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: FAST });
    };
    dial(order[0], PeerSource::User);
    dial(order[1], PeerSource::Tracker);
    dial(order[2], PeerSource::Tracker);
    bench.pass(LATER);
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[1]), DisconnectReason::Outranked)]);
}

#[test]
fn without_an_address_of_our_own_first_come_is_first_served() {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { external: Vec::new(), ..config() });
    let order = ranked();
    order[1..4].iter().for_each(|&n| drop(bench.connect(key(n), FAST)));
    bench.pass(LATER);
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[9]), DisconnectReason::TooManyPeers)]);
    let hello = ext::Handshake { yourip: Some(OURS.into()), ..ext::Handshake::default() };
    for &n in &order[1..=EXTERNAL_QUORUM] {
        bench.says(key(n), Message::Extended { id: 0, payload: hello.encode().into() });
    }
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[1]), DisconnectReason::Outranked)], "three told us");
}

#[test]
fn a_tracker_has_a_voice_among_those_of_peers() {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { external: Vec::new(), ..config() });
    let order = ranked();
    order[1..4].iter().for_each(|&n| drop(bench.connect(key(n), FAST)));
    bench.pass(LATER);
    let hello = ext::Handshake { yourip: Some(OURS.into()), ..ext::Handshake::default() };
    for &n in &order[2..=EXTERNAL_QUORUM] {
        bench.says(key(n), Message::Extended { id: 0, payload: hello.encode().into() });
    }
    let out = bench.connect(key(order[9]), FAST);
    assert_eq!(gone(&out), [(key(order[9]), DisconnectReason::TooManyPeers)], "one too few");
    bench.input(Input::ExternalAddress { voice: 1, ip: OURS.into() });
    let out = bench.connect(key(order[8]), FAST);
    assert_eq!(gone(&out), [(key(order[1]), DisconnectReason::Outranked)]);
}

#[test]
fn the_highest_is_dialed_first() {
    let mut bench =
        Bench::new(Bitfield::new(PIECES), Config { max_half_open: 1, max_peers: 100, ..config() });
    let addrs: Vec<_> = (1..=10).map(addr).collect();
    let mut out = bench.input(Input::PeersFound { addrs: &addrs, source: PeerSource::Tracker });
    for n in ranked().into_iter().rev() {
        assert!(out.contains(&Output::Connect { addr: addr(n) }), "{n}: {out:?}");
        out = bench.input(Input::ConnectFailed { addr: addr(n) });
    }
}
