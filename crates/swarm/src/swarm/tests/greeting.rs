//! What a peer is told when it connects.

use super::*;

#[test]
fn says_what_it_has_first_and_then_who_it_is() {
    let mut some = Bitfield::new(PIECES);
    some.insert(PieceIndex::new(3));
    let bitfield = Message::Bitfield(some.as_bytes().to_vec().into());
    let plain = Reserved::NONE;
    let full = Message::Bitfield(Bitfield::full(PIECES).as_bytes().to_vec().into());
    for (have, reserved, first) in [
        (Bitfield::new(PIECES), FAST, Some(Message::HaveNone)),
        (Bitfield::new(PIECES), plain, None),
        (some.clone(), FAST, Some(bitfield.clone())),
        (some, plain, Some(bitfield)),
        (Bitfield::full(PIECES), FAST, Some(Message::HaveAll)),
        (Bitfield::full(PIECES), plain, Some(full)),
    ] {
        let mut bench = Bench::new(have, Config { client: "rawtorrent".into(), ..Config::default() });
        bench.outputs();
        let out = sent(&bench.connect(PEER, reserved));
        if let Some(first) = &first {
            assert_eq!(out[0], *first);
        }
        if reserved == FAST {
            let Some(Message::Extended { id: 0, payload }) = out.last() else { panic!("{out:?}") };
            let hello = ext::Handshake::decode(payload).unwrap();
            assert_eq!(hello.client.as_deref(), Some("rawtorrent"));
            assert_eq!(hello.reqq, Some(Config::default().reqq));
            assert_eq!(hello.yourip, Some(addr(1).ip()));
        }
        assert_eq!(out.len(), usize::from(first.is_some()) + usize::from(reserved == FAST));
    }
}

#[test]
fn a_peer_hears_where_our_node_is_in_its_own_family() {
    let reserved = Reserved::NONE.with_dht();
    let told = |dht_ports: [u16; 2], addr: &str| {
        let mut bench = Bench::new(Bitfield::new(PIECES), Config { dht_ports, ..Config::default() });
        let (addr, peer_id) = (addr.parse().unwrap(), PeerId([1; 20]));
        let out = bench.input(Input::PeerConnected { peer: PEER, addr, outgoing: false, peer_id, reserved });
        sent(&out).into_iter().find_map(|message| match message {
            Message::Port(port) => Some(port),
            _ => None,
        })
    };
    assert_eq!(told([1, 2], "80.1.1.1:9"), Some(1));
    assert_eq!(told([1, 2], "[::ffff:80.1.1.1]:9"), Some(1));
    assert_eq!(told([1, 2], "[2001:db8::1]:9"), Some(2));
    assert_eq!(told([1, 0], "[2001:db8::1]:9"), None);
}

#[test]
fn a_peer_hears_where_we_listen_in_its_own_family() {
    let reserved = Reserved::NONE.with_extended();
    let told = |listen_ports: [u16; 2], addr: &str| {
        let mut bench = Bench::new(Bitfield::new(PIECES), Config { listen_ports, ..Config::default() });
        let (addr, peer_id) = (addr.parse().unwrap(), PeerId([1; 20]));
        let out = bench.input(Input::PeerConnected { peer: PEER, addr, outgoing: false, peer_id, reserved });
        let handshakes: Vec<_> = sent(&out)
            .into_iter()
            .filter_map(|message| match message {
                Message::Extended { id: 0, payload } => Some(ext::Handshake::decode(&payload).unwrap()),
                _ => None,
            })
            .collect();
        assert_eq!(handshakes.len(), 1);
        handshakes[0].port
    };
    assert_eq!(told([1, 2], "80.1.1.1:9"), Some(1));
    assert_eq!(told([1, 2], "[::ffff:80.1.1.1]:9"), Some(1));
    assert_eq!(told([1, 2], "[2001:db8::1]:9"), Some(2));
    assert_eq!(told([1, 0], "[2001:db8::1]:9"), None);
}

#[test]
fn what_both_sides_agreed_on_can_be_asked_for() {
    for (pex, metadata_size) in [(false, None), (true, Some(9))] {
        let config = Config { pex, metadata_size, ..Config::default() };
        let mut bench = Bench::new(Bitfield::new(PIECES), config);
        let out = sent(&bench.connect(PEER, FAST));
        let Some(Message::Extended { id: 0, payload }) = out.last() else { panic!("{out:?}") };
        let ours = ext::Handshake::decode(payload).unwrap();
        let m = [(ext::UT_PEX, 5), (ext::UT_METADATA, 0), ("other", 9)];
        let m = m.map(|(name, id)| (alloc::string::String::from(name), id)).into();
        let its = ext::Handshake { m, client: Some("x".into()), ..ext::Handshake::default() };
        bench.says(PEER, Message::Extended { id: 0, payload: its.encode().into() });
        let mut greeting = bench.swarm.greetings().next().unwrap();
        assert_eq!((greeting.peer, greeting.reserved, greeting.client), (PEER, FAST, Some("x")));
        let mut told: Vec<(&str, u8)> = ours.m.iter().map(|(name, &id)| (name.as_str(), id)).collect();
        told.sort_unstable();
        greeting.to_us.sort_unstable();
        assert_eq!(greeting.to_us, told);
        assert_eq!(greeting.to_it, [(ext::UT_PEX, 5)]);
    }
    let mut bench = Bench::new(Bitfield::new(PIECES), Config::default());
    bench.connect(PEER, Reserved::NONE);
    assert!(bench.swarm.greetings().next().unwrap().to_us.is_empty(), "it knows no extensions");
}
