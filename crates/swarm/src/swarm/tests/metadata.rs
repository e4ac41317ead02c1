//! Metadata: a swarm that knows only the info-hash, what becomes of it, and serving to others.

use super::*;
use crate::limits::{
    MAX_KEPT_BYTES, MAX_METADATA_COPIES, MAX_METADATA_QUEUE, MAX_SINGLE_HAVES, METADATA_RATE,
};
use std::string::ToString;
use types::{InfoHash, InfoHashV1};
use wire::ext::{Handshake, METADATA_PIECE_LEN, Metadata};

const INFO: &[u8] = &[7; METADATA_PIECE_LEN as usize + 100];
/// The number that the peers here give to `ut_metadata`.
const THEIRS: u8 = 9;

pub(super) fn unknown(config: Config) -> Bench {
    let config = Config { peer_id: PeerId([200; 20]), ..config };
    let now = Time::from_secs(100);
    let info_hash = InfoHash::V1(InfoHashV1(hash::sha1(INFO)));
    Bench { swarm: Swarm::of_unknown(config, info_hash, true, 1, now), now }
}

pub(super) fn offering(len: Option<u32>) -> Message<'static> {
    let m = [(ext::UT_METADATA.to_string(), THEIRS)].into();
    let payload = Handshake { m, metadata_size: len, ..Handshake::default() }.encode();
    Message::Extended { id: 0, payload: payload.into() }
}

pub(super) fn info_len() -> Option<u32> {
    u32::try_from(INFO.len()).ok()
}

fn data(piece: u32, of: &[u8]) -> Message<'static> {
    let bytes = of.chunks(METADATA_PIECE_LEN as usize).nth(piece as usize).unwrap().to_vec();
    let total_size = u32::try_from(of.len()).unwrap();
    let payload = Metadata::Data { piece, total_size, data: bytes.into() }.encode();
    Message::Extended { id: METADATA_ID, payload: payload.into() }
}

fn ours(piece: u32) -> Message<'static> {
    Message::Extended { id: METADATA_ID, payload: Metadata::Request { piece }.encode().into() }
}

/// The pieces that were asked for, or rejected.
fn metadata_messages(out: &[Output]) -> Vec<Metadata<'static>> {
    let messages = sent(out).into_iter().filter_map(|message| match message {
        Message::Extended { id: THEIRS, payload } => match Metadata::decode(&payload).unwrap().unwrap() {
            Metadata::Request { piece } => Some(Metadata::Request { piece }),
            Metadata::Reject { piece } => Some(Metadata::Reject { piece }),
            Metadata::Data { .. } => panic!("the brain has no bytes"),
        },
        _ => None,
    });
    messages.collect()
}

fn handshakes(out: &[Output]) -> Vec<Handshake> {
    let payload = |message| match message {
        Message::Extended { id: 0, payload } => Some(Handshake::decode(&payload).unwrap()),
        _ => None,
    };
    sent(out).into_iter().filter_map(payload).collect()
}

/// The whole torrent's swarm in place of one that found the metadata.
fn learn(bench: &mut Bench, have: Bitfield) -> Vec<Output> {
    learn_with(bench, lengths(), have, Config::default())
}

pub(super) fn learn_with(bench: &mut Bench, lengths: Lengths, have: Bitfield, config: Config) -> Vec<Output> {
    let config = Config { peer_id: PeerId([200; 20]), metadata_size: info_len(), ..config };
    let whole = Swarm::new(config, lengths, have, 1, bench.now);
    let before = core::mem::replace(&mut bench.swarm, whole);
    bench.swarm.take_over(bench.now, before);
    bench.outputs()
}

pub(super) fn find(bench: &mut Bench, key: PeerKey) {
    bench.says(key, offering(info_len()));
    bench.says(key, data(0, INFO));
    bench.says(key, data(1, INFO));
    assert_eq!(bench.swarm.take_metadata().as_deref(), Some(INFO));
    assert_eq!(bench.swarm.take_metadata(), None, "given once");
}

#[test]
fn metadata_is_fetched_and_blocks_are_asked_for_at_once() {
    let mut bench = unknown(Config::default());
    let out = bench.connect(PEER, FAST);
    assert_eq!(sent(&out)[0], Message::HaveNone);
    let hello = &handshakes(&out)[0];
    assert_eq!((hello.id_of(ext::UT_METADATA), hello.metadata_size), (Some(METADATA_ID), None));
    let requests_for = |out: &[Output]| metadata_messages(out);
    let out = bench.says(PEER, offering(info_len()));
    assert_eq!(requests_for(&out), [Metadata::Request { piece: 0 }, Metadata::Request { piece: 1 }]);
    assert_eq!(bench.swarm.metadata_progress(), (1, 0));

    assert_eq!(sent(&bench.says(PEER, Message::HaveAll)), [Message::Interested]);
    assert_eq!(bench.says(PEER, Message::Unchoke), []);
    assert_eq!(bench.says(PEER, data(0, INFO)), []);
    assert_eq!(bench.swarm.metadata_progress(), (1, u64::from(METADATA_PIECE_LEN)));
    assert_eq!(bench.says(PEER, data(1, INFO)), []);
    assert_eq!(bench.swarm.take_metadata().as_deref(), Some(INFO));

    let out = learn(&mut bench, Bitfield::new(PIECES));
    assert_eq!(closed(&out), None);
    assert_eq!(handshakes(&out)[0].metadata_size, info_len());
    assert!(!requests(&out).is_empty(), "the connection is of use at once");
    assert!(!sent(&out).contains(&Message::Interested), "it was told before");
}

#[test]
fn what_was_said_before_holds_afterwards() {
    let mut bench = unknown(Config::default());
    for n in 1..=7 {
        bench.connect(PeerKey(n), FAST);
    }
    bench.says(PeerKey(1), Message::Bitfield(Bitfield::full(PIECES).as_bytes().to_vec().into()));
    bench.says(PeerKey(2), Message::Have(3));
    bench.says(PeerKey(2), Message::Have(19));
    bench.says(PeerKey(3), Message::Bitfield(vec![0x80, 0, 0, 0].into()));
    bench.says(PeerKey(4), Message::Have(PIECES));
    bench.says(PeerKey(5), Message::HaveAll);
    bench.says(PeerKey(5), Message::HaveNone);
    bench.says(PeerKey(6), Message::Have(2));
    bench.says(PeerKey(6), Message::AllowedFast(2));
    bench.says(PeerKey(7), Message::HaveAll);
    find(&mut bench, PeerKey(7));
    let out = learn(&mut bench, Bitfield::new(PIECES));
    let pieces: Vec<_> = bench.swarm.peers(bench.now).map(|view| (view.peer.0, view.pieces)).collect();
    assert_eq!(pieces, [(1, PIECES), (2, 2), (5, 0), (6, 1), (7, PIECES)]);
    assert_eq!(requests(&out).iter().filter(|block| block.piece.get() == 2).count(), BLOCKS as usize);
    let gone = |reason| Output::Disconnect {
        peer: PeerKey(if reason == DisconnectReason::BadHave { 4 } else { 3 }),
        reason,
    };
    assert!(
        out.contains(&gone(DisconnectReason::BadBitfield)) && out.contains(&gone(DisconnectReason::BadHave))
    );
    let told =
        |out: &[Output], key| out.contains(&Output::Send { peer: key, message: Message::NotInterested });
    assert!(told(&out, PeerKey(5)) && !told(&out, PeerKey(1)));
}

#[test]
fn peers_learn_what_we_turn_out_to_have() {
    let mut bench = unknown(Config::default());
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveNone);
    bench.says(PEER, Message::Interested);
    find(&mut bench, PEER);
    let mut have = Bitfield::new(PIECES);
    have.insert(PieceIndex::new(4));
    let out = sent(&learn(&mut bench, have));
    assert!(out.contains(&Message::Have(4)) && out.contains(&Message::Unchoke), "{out:?}");
}

#[test]
fn many_pieces_are_told_at_once_and_no_others() {
    let pieces = MAX_SINGLE_HAVES + 2;
    let lengths = Lengths::new(u64::from(pieces * BLOCK_LEN), BLOCK_LEN).unwrap();
    let mut some = Bitfield::full(pieces);
    some.remove(PieceIndex::new(7));
    let bits = Message::Bitfield(some.as_bytes().to_vec().into());
    for (have, told) in [(some, bits), (Bitfield::full(pieces), Message::HaveAll)] {
        let mut bench = unknown(Config::default());
        bench.connect(PEER, FAST);
        find(&mut bench, PEER);
        let out = sent(&learn_with(&mut bench, lengths, have, Config::default()));
        assert_eq!(out[0], told);
        assert!(!out.iter().any(|message| matches!(message, Message::Have(_))));
    }
}

/// A connection of the host of that number says something; who is disconnected for that.
fn says_from(bench: &mut Bench, peer: PeerKey, host: u8, message: Message<'_>) -> Option<PeerKey> {
    let port = u16::try_from(peer.0).unwrap();
    let (addr, peer_id) = (SocketAddr::from(([10, 0, 0, host], port)), PeerId([port.to_be_bytes()[1]; 20]));
    bench.input(Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved: FAST });
    bench.says(peer, message).into_iter().find_map(|output| match output {
        Output::Disconnect { peer, reason: DisconnectReason::TooMuchToKeep } => Some(peer),
        _ => None,
    })
}

#[test]
fn what_is_kept_is_bounded_and_one_host_keeps_no_other_out() {
    let mut bench = unknown(Config { max_peers: 1000, ..Config::default() });
    let most = types::MAX_PIECES as usize / 8;
    let room = u64::try_from(MAX_KEPT_BYTES / most).unwrap();
    let bits = |bytes| Message::Bitfield(vec![0xff; bytes].into());
    for n in 1..=room {
        assert_eq!(says_from(&mut bench, PeerKey(n), 1, bits(most)), None);
    }
    let gone = says_from(&mut bench, PeerKey(room + 1), 2, bits(3)).expect("too much is kept");
    assert!((1..=room).contains(&gone.0), "{gone:?}: who holds little stays");
    assert_eq!(says_from(&mut bench, PeerKey(room + 2), 3, bits(3)), None, "there is room for others");
    let gone = says_from(&mut bench, PeerKey(room + 3), 4, bits(most)).expect("too much is kept");
    assert!((1..=room).contains(&gone.0), "{gone:?}");
}

#[test]
fn what_was_not_said_is_not_kept() {
    let mut bench = unknown(Config { max_peers: 1000, ..Config::default() });
    for n in 1..200 {
        let peer = PeerKey(n);
        assert_eq!(says_from(&mut bench, peer, 1, Message::Have(types::MAX_PIECES - 1)), None);
        bench.says(peer, Message::Have(0));
    }
    assert_eq!(bench.swarm.unknown.as_ref().unwrap().kept_bytes, 199 * 2 * 16);
    for impossible in [Message::Have(types::MAX_PIECES), Message::Have(24)] {
        bench.says(PEER, Message::Bitfield(vec![0xff; 3].into()));
        assert_eq!(closed(&bench.says(PEER, impossible)), Some(DisconnectReason::BadHave));
        bench.connect(PEER, FAST);
    }
}

#[test]
fn liars_are_banned_and_broken_messages_end_a_connection() {
    let mut bench = unknown(Config::default());
    bench.connect(PEER, FAST);
    bench.says(PEER, offering(Some(3)));
    let out = bench.says(PEER, data(0, b"lie"));
    assert!(out.contains(&Output::Banned { addr: addr(1), reason: BanReason::SpoiledMetadata }));
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));

    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), offering(Some(3)));
    assert_eq!(closed(&bench.says(PeerKey(2), data(0, b"lies"))), Some(DisconnectReason::BadMetadata));
    bench.connect(PeerKey(3), FAST);
    let broken = Message::Extended { id: METADATA_ID, payload: b"le".as_slice().into() };
    assert_eq!(closed(&bench.says(PeerKey(3), broken)), Some(DisconnectReason::BadMetadata));
}

#[test]
fn who_cannot_help_makes_room() {
    let mut bench = unknown(Config { max_peers: 2, ..Config::default() });
    bench.connect(PEER, FAST);
    bench.says(PEER, offering(info_len()));
    bench.connect(PeerKey(2), FAST);
    let waiting: SocketAddr = "10.9.9.9:1".parse().unwrap();
    bench.input(Input::PeersFound { addrs: &[waiting], source: PeerSource::Tracker });
    let out = bench.pass(Duration::from_secs(25));
    assert!(out.contains(&Output::Disconnect { peer: PeerKey(2), reason: DisconnectReason::Useless }));
    assert!(out.contains(&Output::Connect { addr: waiting }));
}

#[test]
fn metadata_is_served_within_limits() {
    let config = Config { metadata_size: info_len(), ..Config::default() };
    let mut bench = Bench::new(Bitfield::full(PIECES), config);
    let out = bench.connect(PEER, FAST);
    assert_eq!(handshakes(&out)[0].metadata_size, info_len());
    assert_eq!(bench.says(PEER, ours(0)), [], "it gave no number for what we would say");
    bench.says(PEER, offering(None));
    let serve =
        |piece| Output::ServeMetadata { peer: PEER, id: THEIRS, piece, total_size: info_len().unwrap() };
    assert_eq!(bench.says(PEER, ours(1)), [serve(1)]);
    assert_eq!(metadata_messages(&bench.says(PEER, ours(2))), [Metadata::Reject { piece: 2 }]);
    let mut served = 1;
    for _ in 0..2 * MAX_METADATA_COPIES {
        let mut out = bench.says(PEER, ours(0));
        out.extend(bench.pass(Duration::from_secs(1)));
        served += out.iter().filter(|&o| *o == serve(0)).count();
    }
    assert_eq!(served, 2 * MAX_METADATA_COPIES as usize, "two pieces, so many times");
    assert_eq!(metadata_messages(&bench.says(PEER, ours(0))), [Metadata::Reject { piece: 0 }]);
}

#[test]
fn peers_together_get_no_more_than_the_rate() {
    let config = Config { metadata_size: Some(1 << 25), ..Config::default() };
    let mut bench = Bench::new(Bitfield::full(PIECES), config);
    let mut served = 0;
    for n in 1..=10 {
        bench.connect(PeerKey(n), FAST);
        bench.says(PeerKey(n), offering(None));
        for piece in 0..u32::try_from(MAX_METADATA_QUEUE).unwrap() {
            let out = bench.says(PeerKey(n), ours(piece));
            served += out.iter().filter(|o| matches!(o, Output::ServeMetadata { .. })).count();
        }
    }
    let is_serve = |o: &&Output| matches!(o, Output::ServeMetadata { .. });
    served += bench.pass(Duration::from_secs(1)).iter().filter(is_serve).count();
    let a_second = usize::try_from(METADATA_RATE / u64::from(METADATA_PIECE_LEN)).unwrap();
    assert!((a_second * 9 / 10..=a_second * 12 / 10).contains(&served), "{served} of {a_second}");
    let out = bench.pass(Duration::from_secs(10));
    assert_eq!(served + out.iter().filter(is_serve).count(), 10 * MAX_METADATA_QUEUE);
}

#[test]
fn a_private_torrents_metadata_is_kept() {
    let mut bench = Bench::seed();
    let out = bench.connect(PEER, FAST);
    assert_eq!(handshakes(&out)[0].id_of(ext::UT_METADATA), None);
    bench.says(PEER, offering(None));
    assert_eq!(metadata_messages(&bench.says(PEER, ours(0))), [Metadata::Reject { piece: 0 }]);
}
