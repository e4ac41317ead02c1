#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::Replayed;
use core::net::{IpAddr, SocketAddr};
use std::vec;
use swarm::{Config, PeerKey, PeerSource, Swarm};
use types::{Bitfield, InfoHash, InfoHashV1, Lengths, PeerId};
use wire::Reserved;

const OURS: &str = "203.0.113.99";
const PEERS: [&str; 3] = ["198.51.100.7:6881", "198.51.100.8:6881", "[2001:db8:7::9]:51413"];
const TOLD: &str = "192.0.2.77:6999";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config() -> Config {
    Config {
        peer_id: PeerId(*b"-RW0100-secretsecret"),
        info_hash: InfoHashV1(*b"the torrent's secret"),
        external: vec![OURS.parse().unwrap()],
        listen_ports: [6881; 2],
        pex: true,
        ..Config::default()
    }
}

/// A swarm that meets three peers, one of which tells of a fourth.
fn recording() -> (Vec<u8>, Vec<Output>) {
    let (lengths, have) = (Lengths::new(1 << 20, 1 << 16).unwrap(), Bitfield::new(16));
    let mut now = Time::from_millis(5);
    let mut recorder = Recorder::new("tests");
    recorder.begin(&config(), &lengths, &have, 3, now);
    let mut swarm = Swarm::new(config(), lengths, have, 3, now);
    let mut did = Vec::new();
    let mut tell = |input: Input<'_>, did: &mut Vec<Output>| {
        now += core::time::Duration::from_millis(10);
        recorder.told(now, &input);
        swarm.handle(now, input);
        while let Some(output) = swarm.poll_output() {
            recorder.did(&output);
            did.push(output);
        }
    };
    tell(Input::PeersFound { addrs: &PEERS.map(addr), source: PeerSource::Tracker }, &mut did);
    let reserved = Reserved::NONE.with_fast().with_extended();
    for (number, peer) in (0u8..).zip(PEERS) {
        let mut peer_id = PeerId(*b"-qB5100-someonesname");
        peer_id.0[19] = b'0' + number;
        let (addr, peer) = (addr(peer), PeerKey(number.into()));
        tell(Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved }, &mut did);
        let told = ext::Handshake {
            m: [
                (ext::UT_PEX.into(), 5),
                (["x", OURS].concat(), 9),
                ("x0xCB007163".into(), 10),
                ("upload_only".into(), 3),
            ]
            .into(),
            client: Some(if number == 0 {
                ["at ", OURS].concat()
            } else {
                "qBittorrent/5.1 cb-00-71-63".into()
            }),
            yourip: Some(OURS.parse().unwrap()),
            ..ext::Handshake::default()
        };
        let hello = Message::Extended { id: 0, payload: told.encode().into() };
        tell(Input::Message { peer, message: hello }, &mut did);
        tell(Input::Message { peer, message: Message::HaveAll }, &mut did);
    }
    let ours = did.iter().find_map(|output| match output {
        Output::Send { message: Message::Extended { id: 0, payload }, .. } => {
            ext::Handshake::decode(payload).ok()
        }
        _ => None,
    });
    let id = ours.unwrap().id_of(ext::UT_PEX).unwrap();
    let added = vec![ext::PexPeer { addr: addr(TOLD), flags: ext::PexFlags(0) }];
    let payload = ext::Pex { added, dropped: Vec::new() }.encode().into();
    tell(Input::Message { peer: PeerKey(0), message: Message::Extended { id, payload } }, &mut did);
    let unknown = Message::Extended { id: 200, payload: b"secret".as_slice().into() };
    tell(Input::Message { peer: PeerKey(0), message: unknown }, &mut did);
    tell(Input::Message { peer: PeerKey(1), message: Message::Unchoke }, &mut did);
    tell(Input::PeerClosed { peer: PeerKey(2) }, &mut did);
    (recorder.finish(), did)
}

fn replayed(recording: &[u8]) -> (Replayed, Vec<Output>) {
    let mut did = Vec::new();
    let replayed = Replay::new(recording).unwrap().run(|_, step| {
        if let Step::Did(output, _) = step {
            did.push(output);
        }
        true
    });
    (replayed.unwrap(), did)
}

#[test]
fn nobody_is_named_and_the_same_is_decided() {
    let (recording, did) = recording();
    let redacted = redact(&recording).unwrap();
    assert_eq!((redacted.addresses, redacted.differs), (5, None));
    let secrets = PEERS.iter().chain([&TOLD]).map(|peer| addr(peer).ip()).chain([OURS.parse().unwrap()]);
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let is_in = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    for secret in
        secrets.map(octets).chain(["secret", "someone", OURS, "0xCB007163", "cb-00-71-63"].map(Vec::from))
    {
        assert!(is_in(&recording, &secret) && !is_in(&redacted.recording, &secret), "{secret:?}");
    }
    assert!(is_in(&redacted.recording, b"upload_only") && is_in(&redacted.recording, b"-qB5100-"));

    let (before, then) = replayed(&recording);
    let (after, now) = replayed(&redacted.recording);
    assert_eq!((before, &then), (after, &did));
    assert_eq!(then.len(), now.len());
    let same = then.iter().zip(&now).filter(|(then, now)| then == now).count();
    assert!(same > then.len() / 2 && same < then.len(), "what has addresses in it is another: {same}");
    // Who stood in one network still does, and the same one has the same address everywhere.
    let dialed = now.iter().filter_map(|output| match output {
        Output::Connect { addr } => Some(*addr),
        _ => None,
    });
    let dialed: Vec<SocketAddr> = dialed.collect();
    assert!(
        dialed.len() >= PEERS.len() && !PEERS.iter().any(|peer| dialed.contains(&addr(peer))),
        "{dialed:?}"
    );
    // A second time there is nothing to be known of the first.
    assert_eq!(redact(&redacted.recording).unwrap().differs, None);
}

#[test]
fn pieces_that_tell_a_network_are_others() {
    // So many that a few of them tell one network of all.
    let (lengths, mut have) = (Lengths::new(1 << 32, 1 << 16).unwrap(), Bitfield::full(1 << 16));
    // A seed keeps first copies for others.
    have.remove(types::PieceIndex::new(0));
    let mut now = Time::from_millis(5);
    let mut recorder = Recorder::new("tests");
    recorder.begin(&config(), &lengths, &have, 3, now);
    let mut swarm = Swarm::new(config(), lengths, have, 3, now);
    let (peer, addr, outgoing) = (PeerKey(0), addr(PEERS[0]), false);
    let (peer_id, reserved) = (PeerId(*b"-qB5100-someonesname"), Reserved::NONE.with_fast());
    let said = [40_000, 50_000, 60_000];
    let mut inputs = vec![Input::PeerConnected { peer, addr, outgoing, peer_id, reserved }];
    let messages = [Message::HaveNone].into_iter().chain(said.map(Message::AllowedFast));
    inputs.extend(messages.map(|message| Input::Message { peer, message }));
    for input in inputs {
        now += core::time::Duration::from_millis(10);
        recorder.told(now, &input);
        swarm.handle(now, input);
        while let Some(output) = swarm.poll_output() {
            recorder.did(&output);
        }
    }
    let recording = recorder.finish();
    let redacted = redact(&recording).unwrap();
    assert_eq!(redacted.differs, None, "that the pieces are others makes no other decision");
    let told = |recording: &[u8]| {
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        let step = |_: Time, step: Step<'_>| {
            match step {
                Step::Did(Output::Send { message: Message::AllowedFast(piece), .. }, _) => sent.push(piece),
                Step::Told(Input::Message { message: Message::AllowedFast(piece), .. }) => heard.push(*piece),
                _ => {}
            }
            true
        };
        Replay::new(recording).unwrap().run(step).unwrap();
        (sent, heard)
    };
    let (before, after) = (told(&recording), told(&redacted.recording));
    assert_eq!((before.0.len(), &before.1[..]), (swarm::limits::ALLOWED_FAST_PIECES, &said[..]));
    assert_eq!((after.0.len(), after.1), (before.0.len(), vec![0, 1, 2]));
    assert!(after.0.iter().all(|piece| !before.0.contains(piece)), "{before:?}");
}

/// A swarm that knows an info-hash, and gets the metadata from two peers, one of which sends something wrong first.
fn link(info: &[u8], info_hash: InfoHash) -> Vec<u8> {
    const PIECE: usize = ext::METADATA_PIECE_LEN as usize;
    let config = Config { info_hash: info_hash.wire(), ..config() };
    let mut now = Time::from_millis(5);
    let mut recorder = Recorder::new("tests");
    recorder.begin_unknown(&config, info_hash, true, 3, now);
    let mut swarm = Swarm::of_unknown(config.clone(), info_hash, true, 3, now);
    let total_size = u32::try_from(info.len()).unwrap();
    let mut inputs = alloc::collections::VecDeque::new();
    for (number, peer) in (0u8..).zip(&PEERS[..2]) {
        let (peer, addr, outgoing) = (PeerKey(number.into()), addr(peer), false);
        let (peer_id, reserved) = (PeerId([number; 20]), Reserved::NONE.with_fast().with_extended());
        inputs.push_back(Input::PeerConnected { peer, addr, outgoing, peer_id, reserved });
        let told = ext::Handshake {
            m: [(ext::UT_METADATA.into(), 7)].into(),
            metadata_size: Some(total_size),
            ..ext::Handshake::default()
        };
        let hello = Message::Extended { id: 0, payload: told.encode().into() };
        inputs.push_back(Input::Message { peer, message: hello });
        // Nobody knows yet how many pieces there are: they are different ones.
        for piece in [3, 9] {
            inputs.push_back(Input::Message { peer, message: Message::AllowedFast(piece) });
        }
    }
    let (mut ours, mut lies, mut metadata) = (0, 1, None);
    while metadata.is_none() {
        now += core::time::Duration::from_secs(1);
        match inputs.pop_front() {
            Some(input) => {
                recorder.told(now, &input);
                swarm.handle(now, input);
            }
            None => {
                recorder.timeout(now);
                swarm.handle_timeout(now);
            }
        }
        while let Some(output) = swarm.poll_output() {
            recorder.did(&output);
            let Output::Send { peer, message: Message::Extended { id, payload } } = output else { continue };
            if id == 0 {
                ours = ext::Handshake::decode(&payload).unwrap().id_of(ext::UT_METADATA).unwrap();
            } else if let Ok(Some(ext::Metadata::Request { piece })) = ext::Metadata::decode(&payload) {
                let mut data = info.chunks(PIECE).nth(piece as usize).unwrap().to_vec();
                if lies > 0 {
                    lies -= 1;
                    data[5..11].copy_from_slice(b"secreT");
                }
                let payload = ext::Metadata::Data { piece, total_size, data: data.into() }.encode().into();
                inputs.push_back(Input::Message { peer, message: Message::Extended { id: ours, payload } });
            }
        }
        metadata = swarm.take_metadata();
    }
    assert_eq!(metadata.as_deref(), Some(info));
    let (lengths, have) = (Lengths::new(1 << 20, 1 << 16).unwrap(), Bitfield::new(16));
    recorder.begin(&config, &lengths, &have, 4, now);
    let mut known = Swarm::new(config, lengths, have, 4, now);
    recorder.take_over(now);
    known.take_over(now, swarm);
    while let Some(output) = known.poll_output() {
        recorder.did(&output);
    }
    recorder.finish()
}

#[test]
fn of_a_link_neither_the_names_nor_the_hashes_stay() {
    let mut info = b"d4:name6:secret6:pieces".to_vec();
    info.extend((0..30_000u32).map(|number| b"ab"[(number % 2) as usize]));
    let (v1, v2) = (InfoHashV1(hash::sha1(&info)), types::InfoHashV2(hash::sha256(&info)));
    for name in [InfoHash::V1(v1), InfoHash::V2(v2), InfoHash::Hybrid(v1, v2)] {
        let recording = link(&info, name);
        let redacted = redact(&recording).unwrap();
        assert_eq!(redacted.differs, None, "the new metadata is found as the old one was: {name:?}");
        let is_in = |bytes: &[u8], secret: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
        let hashes = [name.wire().0.to_vec(), info[30..60].to_vec()];
        for secret in hashes.iter().map(Vec::as_slice).chain([&b"secret"[..], b"secreT"]) {
            assert!(is_in(&recording, secret) && !is_in(&redacted.recording, secret), "{secret:?}");
        }
        let ((before, then), (after, now)) = (replayed(&recording), replayed(&redacted.recording));
        assert_eq!((before, then.len()), (after, now.len()));
        let fast = |recording: &[u8]| {
            let mut heard = Vec::new();
            let step = |_: Time, step: Step<'_>| {
                if let Step::Told(Input::Message { message: Message::AllowedFast(piece), .. }) = step {
                    heard.push(*piece);
                }
                true
            };
            Replay::new(recording).unwrap().run(step).unwrap();
            heard
        };
        assert_eq!((fast(&recording), fast(&redacted.recording)), (vec![3, 9, 3, 9], vec![0, 1, 0, 1]));
        let banned = |did: &[Output]| did.iter().filter(|did| matches!(did, Output::Banned { .. })).count();
        assert_eq!(banned(&then), banned(&now));
    }
    // Only the beginning is there: what was not found has another name all the same.
    let recording = link(&info, InfoHash::V2(v2));
    let mut recorder = Recorder::new("tests");
    recorder.begin_unknown(&Config::default(), InfoHash::V2(v2), true, 1, Time::ZERO);
    recorder.timeout(Time::ZERO);
    let cut = redact(&recorder.finish()).unwrap().recording;
    assert!(cut.len() < recording.len() && !cut.windows(20).any(|part| part == &v2.0[..20]));
}

#[test]
fn what_can_not_be_redacted_is_refused() {
    assert_eq!(redact(b"nothing"), Err(Error::NotARecording));
    let (mut recording, _) = recording();
    let last = recording.len() - 1;
    recording[last] ^= 1;
    assert!(matches!(redact(&recording), Err(Error::Damaged(_))));
}

#[test]
fn the_order_of_addresses_stays_and_networks_do() {
    let mut seen = Seen::default();
    let ips = [
        "1.2.3.4",
        "1.2.3.200",
        "1.2.4.1",
        "200.1.1.1",
        "::ffff:1.2.3.4",
        "2001:db8::1",
        "2001:db8::2",
        "2001:db9::1",
    ];
    let ips = ips.map(|ip| ip.parse::<IpAddr>().unwrap());
    ips.iter().for_each(|&ip| seen.ip(ip));
    for salt in 0..MAX_TRIES {
        let names = Names::new(&seen, salt).unwrap();
        let other: Vec<IpAddr> = ips.iter().map(|&ip| names.ip(ip)).collect();
        assert!(other[..4].is_sorted() && other[5..].is_sorted(), "{other:?}");
        assert_eq!(other[4].to_canonical(), other[0]);
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        assert_eq!(octets(other[0])[..3], octets(other[1])[..3]);
        assert_ne!(octets(other[0])[..3], octets(other[2])[..3]);
        for ours in ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.1"] {
            let ours: IpAddr = ours.parse().unwrap();
            assert_eq!(names.ip(ours), ours);
        }
    }
    (0..1 << 16)
        .for_each(|net: u32| seen.ip(IpAddr::from((net << 8).wrapping_add(1 << 31 | 5).to_be_bytes())));
    assert!(Names::new(&seen, 0).is_none(), "there are as many networks as others, and four more");
}
