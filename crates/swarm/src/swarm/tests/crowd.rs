//! One host with many connections.

use super::*;

const CROWD: [u8; 4] = [80, 2, 2, 2];
const FULL: usize = 10;

fn join(bench: &mut Bench, n: u8, ip: [u8; 4]) -> Vec<Output> {
    let (peer, addr) = (PeerKey(n.into()), SocketAddr::from((ip, 1000 + u16::from(n))));
    let peer_id = PeerId([n; 20]);
    bench.input(Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved: FAST })
}

/// A seed with as many connections as it may have, all with one host.
fn crowded() -> Bench {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { max_peers: FULL, ..Config::default() });
    for n in 1..=10 {
        assert_eq!(closed(&join(&mut bench, n, CROWD)), None, "below the limit a host may have many");
    }
    bench
}

#[test]
fn a_crowd_makes_room_for_other_hosts() {
    let mut bench = crowded();
    let out = join(&mut bench, 50, CROWD);
    assert_eq!(closed(&out), Some(DisconnectReason::TooManyPeers), "not for one of its own");
    let mut left = Vec::new();
    for n in 100..120 {
        let out = join(&mut bench, n, [90, 0, 0, n]);
        left.extend(out.iter().filter_map(|o| match o {
            Output::Disconnect { peer, reason: DisconnectReason::Crowd } => Some(peer.0),
            _ => None,
        }));
    }
    assert_eq!(left, (1..10).collect::<Vec<_>>(), "the oldest first, until nobody is a crowd");
    assert_eq!(bench.swarm.peers(bench.now).count(), FULL);
}

#[test]
fn of_a_crowd_those_go_that_are_of_no_use() {
    let mut bench = crowded();
    // The first asks for something; the second wants something.
    bench.says(PeerKey(1), Message::Interested);
    bench.says(PeerKey(1), Message::Request(block(0, 0).into()));
    bench.says(PeerKey(2), Message::Interested);
    let gone = |out: Vec<Output>| {
        out.iter().find_map(|o| match o {
            Output::Disconnect { peer, .. } => Some(peer.0),
            _ => None,
        })
    };
    for n in 3..=10 {
        assert_eq!(gone(join(&mut bench, 100 + n, [90, 0, 0, n])), Some(n.into()));
    }
    assert_eq!(gone(join(&mut bench, 120, [90, 0, 0, 20])), Some(2), "who wants something goes last");
    assert_eq!(gone(join(&mut bench, 121, [90, 0, 0, 21])), Some(121), "one is no crowd");
}

#[test]
fn of_ipv6_a_network_is_one_host() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { max_peers: 3, ..Config::default() });
    let join = |bench: &mut Bench, n: u8, addr: &str| {
        let (peer, addr, peer_id) = (PeerKey(n.into()), addr.parse().unwrap(), PeerId([n; 20]));
        closed(&bench.input(Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved: FAST }))
    };
    for (n, addr) in [(1, "[2001:db8::1]:1"), (2, "[2001:db8::ffff:2]:1"), (3, "[2001:db8::3]:1")] {
        assert_eq!(join(&mut bench, n, addr), None);
    }
    assert_eq!(join(&mut bench, 4, "[2001:db8::4]:1"), Some(DisconnectReason::TooManyPeers));
    assert_eq!(join(&mut bench, 5, "[2001:db8:0:1::]:1"), Some(DisconnectReason::Crowd));
}
