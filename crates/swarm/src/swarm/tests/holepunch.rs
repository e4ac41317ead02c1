//! Bringing peers together, and being brought together.

use super::exchange::{THEIR_HOLEPUNCH, hello, public};
use super::*;
use crate::limits::RENDEZVOUS_BURST;
use crate::swarm::holepunch::HOLEPUNCH_ID;
use wire::ext::{Handshake, Holepunch, HolepunchError, HolepunchKind};

fn says(kind: HolepunchKind, addr: SocketAddr) -> Message<'static> {
    Message::Extended { id: HOLEPUNCH_ID, payload: Holepunch { kind, addr }.encode().into() }
}

/// What was said to whom about whom.
fn said(out: &[Output]) -> Vec<(u64, HolepunchKind, SocketAddr)> {
    let holepunch = |o: &Output| match o {
        Output::Send { peer, message: Message::Extended { id: THEIR_HOLEPUNCH, payload } } => {
            let Holepunch { kind, addr } = Holepunch::decode(payload).unwrap();
            Some((peer.0, kind, addr))
        }
        _ => None,
    };
    out.iter().filter_map(holepunch).collect()
}

/// We stand between 1 and 2, who know the extension, and 3, who does not.
fn middle(config: Config) -> Bench {
    let mut bench = Bench::new(Bitfield::new(PIECES), config);
    for n in 1..=3 {
        bench.connect(PeerKey(n), FAST);
        bench.says(PeerKey(n), hello(Some(6881), n < 3));
    }
    bench
}

#[test]
fn both_are_told_of_each_other() {
    let mut bench = middle(public());
    let out = bench.says(PEER, says(HolepunchKind::Rendezvous, addr(2)));
    assert_eq!(said(&out), [(1, HolepunchKind::Connect, addr(2)), (2, HolepunchKind::Connect, addr(1))]);
}

#[test]
fn who_cannot_be_reached_is_an_error() {
    let mut bench = middle(public());
    let cases = [
        ("0.0.0.0:5", HolepunchError::NO_SUCH_PEER),
        ("10.0.0.9:6881", HolepunchError::NOT_CONNECTED),
        ("10.0.0.1:6881", HolepunchError::NOT_CONNECTED),
        ("10.0.0.3:6881", HolepunchError::NO_SUPPORT),
        ("99.0.0.1:6881", HolepunchError::NO_SELF),
    ];
    for (target, error) in cases {
        let target = target.parse().unwrap();
        let out = bench.says(PEER, says(HolepunchKind::Rendezvous, target));
        assert_eq!(said(&out), [(1, HolepunchKind::Error(error), target)]);
    }
    assert_eq!(bench.says(PeerKey(3), says(HolepunchKind::Rendezvous, addr(1))), [], "it does not know it");
    let broken = Message::Extended { id: HOLEPUNCH_ID, payload: b"\x00".as_slice().into() };
    assert_eq!(bench.says(PEER, broken), []);
}

#[test]
fn a_stranger_is_not_led_to_our_network() {
    let mut bench = middle(public());
    let (peer, peer_id) = (PeerKey(4), PeerId([4; 20]));
    let stranger = "8.8.8.8:5".parse().unwrap();
    bench.input(Input::PeerConnected { peer, addr: stranger, outgoing: true, peer_id, reserved: FAST });
    bench.says(peer, hello(None, true));
    let not_connected = HolepunchKind::Error(HolepunchError::NOT_CONNECTED);
    let out = bench.says(peer, says(HolepunchKind::Rendezvous, addr(2)));
    assert_eq!(said(&out), [(4, not_connected, addr(2))]);
    let out = bench.says(PEER, says(HolepunchKind::Rendezvous, stranger));
    assert_eq!(said(&out), [(1, not_connected, stranger)]);
}

#[test]
fn one_peer_is_brought_together_a_few_times_only() {
    let mut bench = middle(public());
    let asked =
        (0..3 * RENDEZVOUS_BURST).flat_map(|_| bench.says(PEER, says(HolepunchKind::Rendezvous, addr(2))));
    assert_eq!(said(&asked.collect::<Vec<_>>()).len(), 2 * RENDEZVOUS_BURST as usize);
}

#[test]
fn who_waits_for_us_is_dialed_as_if_heard_by_exchange() {
    let mut bench = middle(public());
    let out = bench.says(PEER, says(HolepunchKind::Connect, addr(9)));
    assert!(out.contains(&Output::Connect { addr: addr(9) }));
    bench.input(Input::ConnectFailed { addr: addr(9) });
    for _ in 0..5 {
        assert_eq!(bench.says(PeerKey(2), says(HolepunchKind::Connect, addr(9))), [], "once");
    }
    assert_eq!(bench.says(PEER, says(HolepunchKind::Connect, addr(2))), [], "connected");
    assert_eq!(bench.says(PEER, says(HolepunchKind::Connect, "127.0.0.1:80".parse().unwrap())), []);
}

#[test]
fn a_private_torrent_brings_nobody_together() {
    let mut bench = middle(Config { private: true, ..public() });
    assert_eq!(bench.says(PEER, says(HolepunchKind::Rendezvous, addr(2))), []);
    assert_eq!(bench.says(PEER, says(HolepunchKind::Connect, addr(9))), []);
    let hello = sent(&bench.connect(PeerKey(5), FAST)).into_iter().find_map(|message| match message {
        Message::Extended { id: 0, payload } => Handshake::decode(&payload).ok(),
        _ => None,
    });
    assert_eq!(hello.unwrap().id_of(ext::UT_HOLEPUNCH), None);
}
