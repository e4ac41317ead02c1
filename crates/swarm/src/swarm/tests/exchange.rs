//! Peer exchange: who is told of whom, whose word is taken, and what becomes of it in a private torrent.

use super::metadata::{find, info_len, learn_with, offering, unknown};
use super::*;
use crate::limits::{EXCHANGE_DELAY, EXCHANGE_INTERVAL, MAX_EXCHANGE_EXCESS, MAX_EXCHANGED, MAX_TOLD_BY_ONE};
use crate::swarm::exchange::PEX_ID;
use std::string::ToString;
use wire::ext::{Handshake, Pex, PexFlags, PexPeer};

/// The numbers that the peers here give to `ut_pex` and `ut_holepunch`.
const THEIRS: u8 = 33;
pub(super) const THEIR_HOLEPUNCH: u8 = 44;

pub(super) fn public() -> Config {
    Config { pex: true, listen_ports: [6881; 2], external: vec![[99, 0, 0, 1].into()], ..Config::default() }
}

fn bench() -> Bench {
    Bench::new(Bitfield::new(PIECES), public())
}

/// What a peer says of itself that exchanges peers.
pub(super) fn hello(port: Option<u16>, knows_holepunch: bool) -> Message<'static> {
    let mut m = std::collections::BTreeMap::from([(ext::UT_PEX.to_string(), THEIRS)]);
    if knows_holepunch {
        m.insert(ext::UT_HOLEPUNCH.to_string(), THEIR_HOLEPUNCH);
    }
    Message::Extended { id: 0, payload: Handshake { m, port, ..Handshake::default() }.encode().into() }
}

/// Peers come, one that we dialed and others, and say hello.
fn meet(bench: &mut Bench, keys: impl IntoIterator<Item = u64>) {
    for key in keys {
        bench.connect(PeerKey(key), FAST);
        bench.says(PeerKey(key), hello(Some(6881), false));
    }
}

fn told(out: &[Output], to: PeerKey) -> Vec<Pex> {
    let to_peer = |o: &&Output| matches!(o, Output::Send { peer, .. } if *peer == to);
    let out: Vec<_> = out.iter().filter(to_peer).cloned().collect();
    let pex = |message| match message {
        Message::Extended { id: THEIRS, payload } => Some(Pex::decode(&payload).unwrap()),
        _ => None,
    };
    sent(&out).into_iter().filter_map(pex).collect()
}

fn added(pex: &Pex) -> Vec<SocketAddr> {
    pex.added.iter().map(|peer| peer.addr).collect()
}

fn pex(addrs: &[SocketAddr]) -> Message<'static> {
    let added = addrs.iter().map(|&addr| PexPeer { addr, flags: PexFlags(0) }).collect();
    let payload = Pex { added, dropped: Vec::new() }.encode().into();
    Message::Extended { id: PEX_ID, payload }
}

fn dials(out: &[Output]) -> Vec<SocketAddr> {
    let addr = |o: &Output| if let Output::Connect { addr } = o { Some(*addr) } else { None };
    out.iter().filter_map(addr).collect()
}

fn offers(out: &[Output]) -> Vec<Option<u8>> {
    let offer = |message| match message {
        Message::Extended { id: 0, payload } => {
            Some(Handshake::decode(&payload).unwrap().m.get(ext::UT_PEX).copied())
        }
        _ => None,
    };
    sent(out).into_iter().filter_map(offer).collect()
}

#[test]
fn peers_are_told_of_each_other_and_then_what_changes() {
    let mut bench = bench();
    assert_eq!(offers(&bench.connect(PEER, FAST)), [Some(PEX_ID)]);
    bench.says(PEER, hello(Some(6881), false));
    assert_eq!(told(&bench.pass(EXCHANGE_INTERVAL), PEER), [], "there is nobody else");
    meet(&mut bench, [2, 3]);
    bench.says(PeerKey(3), Message::HaveAll);
    let out = bench.pass(EXCHANGE_DELAY);
    let [first] = &told(&out, PEER)[..] else { panic!("{out:?}") };
    assert_eq!((added(first), &first.dropped[..]), (vec![addr(2), addr(3)], &[][..]));
    assert_eq!(first.added[0].flags, PexFlags(0));
    assert_eq!(first.added[1].flags, PexFlags::SEED);
    assert_eq!(added(&told(&out, PeerKey(2))[0]), [addr(1), addr(3)], "not of itself");

    bench.input(Input::PeerClosed { peer: PeerKey(2) });
    meet(&mut bench, [4]);
    meet(&mut bench, [5]);
    bench.input(Input::PeerClosed { peer: PeerKey(5) });
    assert_eq!(told(&bench.pass(EXCHANGE_INTERVAL - EXCHANGE_DELAY), PEER), [], "once a minute");
    let out = bench.pass(EXCHANGE_DELAY);
    let [second] = &told(&out, PEER)[..] else { panic!("{out:?}") };
    assert_eq!((added(second), &second.dropped[..]), (vec![addr(4)], &[addr(2)][..]));
    assert_eq!(told(&bench.pass(EXCHANGE_INTERVAL * 5), PEER), [], "nothing changed");
}

#[test]
fn only_where_somebody_listens_is_told() {
    let mut bench = bench();
    meet(&mut bench, [1]);
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), hello(None, true));
    bench.input(Input::PeersFound { addrs: &[addr(3)], source: PeerSource::Tracker });
    let (peer, peer_id) = (PeerKey(3), PeerId([3; 20]));
    bench.input(Input::PeerConnected { peer, addr: addr(3), outgoing: true, peer_id, reserved: FAST });
    bench.says(peer, hello(None, true));
    let out = bench.pass(EXCHANGE_DELAY);
    let flags = PexFlags(PexFlags::REACHABLE.0 | PexFlags::HOLEPUNCH.0);
    assert_eq!(told(&out, PEER)[0].added, [PexPeer { addr: addr(3), flags }]);
    assert_eq!(added(&told(&out, PeerKey(2))[0]), [addr(1), addr(3)]);
    bench.says(PEER, Message::Extended { id: 0, payload: b"d1:md6:ut_pexi0eee".as_slice().into() });
    meet(&mut bench, [4]);
    let out = bench.pass(EXCHANGE_INTERVAL * 2);
    assert_eq!((told(&out, PEER).len(), told(&out, PeerKey(2)).len()), (0, 1), "it does not want to know");
}

#[test]
fn a_stranger_is_not_told_who_is_on_our_network() {
    let mut bench = bench();
    let addrs = ["10.0.0.1:5", "127.0.0.1:5", "8.8.8.8:5", "9.9.9.9:5", "[2001:db8::5]:5"];
    for (n, at) in (1..).zip(addrs) {
        let (peer, peer_id) = (PeerKey(n), PeerId([u8::try_from(n).unwrap(); 20]));
        let addr = at.parse().unwrap();
        bench.input(Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: FAST });
        bench.says(peer, hello(None, false));
    }
    let out = bench.pass(EXCHANGE_DELAY);
    let heard =
        |n| told(&out, PeerKey(n)).iter().flat_map(added).map(|addr| addr.to_string()).collect::<Vec<_>>();
    assert_eq!(heard(1), ["8.8.8.8:5", "9.9.9.9:5", "[2001:db8::5]:5"], "a neighbour");
    assert_eq!(heard(2), [""; 0]);
    assert_eq!(heard(3), ["9.9.9.9:5", "[2001:db8::5]:5"]);
}

#[test]
fn whom_a_peer_tells_is_dialed() {
    let mut bench = bench();
    meet(&mut bench, [1, 2]);
    let out = bench.says(PEER, pex(&[addr(7), addr(2), addr(8), addr(7)]));
    assert!(out.contains(&Output::PeersTold { peer: PEER, peers: 2 }), "{out:?}");
    let mut dialed = dials(&out);
    dialed.sort_unstable();
    assert_eq!(dialed, [addr(7), addr(8)], "who is connected is not");
    let again = bench.says(PeerKey(2), pex(&[addr(7)]));
    assert_eq!(again, [], "no news");
    let broken = Message::Extended { id: PEX_ID, payload: b"d5:added3:abce".as_slice().into() };
    assert_eq!(closed(&bench.says(PEER, broken)), Some(DisconnectReason::BadExchange));
}

#[test]
fn what_cannot_be_a_peer_or_is_none_of_its_business_is_not_taken() {
    let mut bench = bench();
    let (peer, peer_id) = (PEER, PeerId([1; 20]));
    let stranger = "8.8.8.8:5".parse().unwrap();
    bench.input(Input::PeerConnected { peer, addr: stranger, outgoing: false, peer_id, reserved: FAST });
    let told = [
        "9.9.9.9:0",
        "224.1.1.1:5",
        "127.0.0.1:80",
        "192.168.1.1:80",
        "[::1]:80",
        "[fd00::1]:80",
        "99.0.0.1:6881",
        "[::ffff:10.0.0.1]:80",
        "9.9.9.9:7",
    ];
    let told: Vec<SocketAddr> = told.map(|at| at.parse().unwrap()).into();
    assert_eq!(dials(&bench.says(PEER, pex(&told))), ["9.9.9.9:7".parse().unwrap()]);
}

#[test]
fn a_seed_wants_no_seeds() {
    let mut bench = Bench::new(Bitfield::full(PIECES), public());
    meet(&mut bench, [1]);
    let flags = PexFlags::SEED;
    let added = vec![PexPeer { addr: addr(7), flags }, PexPeer { addr: addr(8), flags: PexFlags(0) }];
    let payload = Pex { added, dropped: Vec::new() }.encode().into();
    assert_eq!(dials(&bench.says(PEER, Message::Extended { id: PEX_ID, payload })), [addr(8)]);
}

#[test]
fn one_liar_gets_a_share_and_no_more() {
    let mut bench = bench();
    meet(&mut bench, [1]);
    let far = |n: u16| SocketAddr::from(([10, 9, n.to_be_bytes()[0], n.to_be_bytes()[1]], 6881));
    let mut next = 0u16;
    for _ in 0..20 {
        let addrs: Vec<_> = (next..next + 200).map(far).collect();
        next += 200;
        bench.says(PEER, pex(&addrs));
        bench.pass(EXCHANGE_INTERVAL);
        assert!(bench.swarm.book.len() <= MAX_TOLD_BY_ONE + 1, "{}", bench.swarm.book.len());
    }
    assert!(bench.swarm.book.len() > 2 * MAX_EXCHANGED);
    let mut out = Vec::new();
    for _ in 0..MAX_EXCHANGE_EXCESS + 10 {
        out.extend(bench.says(PEER, pex(&[])));
    }
    assert_eq!(closed(&out), Some(DisconnectReason::TooMuchExchange));
}

#[test]
fn who_comes_again_is_heard_no_more_for_that() {
    let mut bench = bench();
    for round in 0..6 {
        meet(&mut bench, [1]);
        let addrs: Vec<_> = (0..50).map(|n| SocketAddr::from(([10, 8, round, n], 6881))).collect();
        bench.says(PEER, pex(&addrs));
        bench.input(Input::PeerClosed { peer: PEER });
    }
    let listens = 1;
    assert_eq!(bench.swarm.book.len(), listens + MAX_EXCHANGED);
}

#[test]
fn a_private_torrent_exchanges_nothing() {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { private: true, ..public() });
    assert_eq!(offers(&bench.connect(PEER, FAST)), [None]);
    bench.says(PEER, hello(Some(6881), true));
    meet(&mut bench, [2]);
    assert_eq!(bench.says(PEER, pex(&[addr(9)])), []);
    for source in [PeerSource::Dht, PeerSource::Lsd, PeerSource::Pex, PeerSource::Link] {
        assert_eq!(bench.input(Input::PeersFound { addrs: &[addr(8)], source }), []);
    }
    let found = bench.input(Input::PeersFound { addrs: &[addr(8)], source: PeerSource::Tracker });
    assert_eq!(dials(&found), [addr(8)]);
    let messages = sent(&bench.pass(EXCHANGE_INTERVAL));
    assert!(!messages.iter().any(|message| matches!(message, Message::Extended { .. })), "{messages:?}");
}

#[test]
fn nobody_is_told_before_it_is_known_whether_the_torrent_is_private() {
    let mut bench = unknown(public());
    assert_eq!(offers(&bench.connect(PEER, FAST)), [Some(PEX_ID)]);
    bench.says(PEER, hello(Some(6881), true));
    meet(&mut bench, [2]);
    assert_eq!(dials(&bench.says(PEER, pex(&[addr(9)]))), [addr(9)], "most links need it");
    assert_eq!(told(&bench.pass(EXCHANGE_INTERVAL), PEER), []);
    bench.says(PEER, offering(info_len()));
    find(&mut bench, PEER);
    learn_with(&mut bench, lengths(), Bitfield::new(PIECES), public());
    assert_eq!(added(&told(&bench.pass(EXCHANGE_DELAY), PEER)[0]), [addr(2)]);
}

#[test]
fn what_turns_out_to_be_private_takes_nobody_over() {
    let mut bench = unknown(public());
    bench.connect(PEER, FAST);
    bench.says(PEER, hello(Some(6881), false));
    bench.says(PEER, pex(&[addr(7), addr(8)]));
    find(&mut bench, PEER);
    let out = learn_with(&mut bench, lengths(), Bitfield::new(PIECES), Config { private: true, ..public() });
    let stats = bench.swarm.stats(bench.now);
    assert_eq!((out, stats.peers, stats.known), (Vec::new(), 0, 0));
    let (peer, peer_id, addr) = (PeerKey(8), PeerId([8; 20]), addr(8));
    let late = bench.input(Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: FAST });
    let reason = DisconnectReason::Private;
    assert_eq!(late, [Output::Disconnect { peer, reason }], "a dial that was under way");
}

#[test]
fn who_called_over_a_link_is_dialed_over_it() {
    let mut bench = bench();
    let addr: SocketAddr = "[fe80::1%3]:40000".parse().unwrap();
    let peer_id = PeerId([7; 20]);
    bench.input(Input::PeerConnected { peer: PEER, addr, outgoing: false, peer_id, reserved: FAST });
    assert_eq!(dials(&bench.says(PEER, hello(Some(6881), false))), [], "it is here");
    bench.input(Input::PeerClosed { peer: PEER });
    assert_eq!(dials(&bench.pass(EXCHANGE_INTERVAL)), ["[fe80::1%3]:6881".parse().unwrap()]);
}
