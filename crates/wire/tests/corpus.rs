//! The corpus's illegal peer messages, as far as the bytes alone decide them; the swarm decides the rest.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed assumption fails the test")]

use serde_json::Value;
use std::path::PathBuf;
use types::{Bitfield, InfoHashV1, PeerId, PieceIndex};
use wire::ext::Metadata;
use wire::{Decoded, Error, Handshake, Limits, MAX_MESSAGE_LEN, Message, Reserved, decode, ext};

/// How many pieces the torrent of the cases has: not a multiple of 8, so that bit fields have spare bits.
const PIECES: u32 = 11;

/// What becomes of a case's last frame; every frame before it must be let in.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It is refused from its bytes alone.
    Refused(Error),
    /// It is let in. What the case expects then is the swarm's to do.
    ToSwarm,
}

fn expected(id: &str) -> Outcome {
    match id {
        "large_message" => Outcome::Refused(Error::TooLong { len: LARGE, max: MAX_MESSAGE_LEN }),
        "invalid_message" | "have_all_then_invalid_message" => {
            Outcome::Refused(Error::UnknownId { id: UNKNOWN_ID })
        }
        "long_bitfield" => Outcome::Refused(Error::WrongLength { name: "bitfield", len: 3, min: 0, max: 2 }),
        _ => Outcome::ToSwarm,
    }
}

/// Cases in which we differ from the corpus on purpose, with the reason.
const DEVIATIONS: [(&str, &str); 0] = [];

const LARGE: u32 = 0x0010_0001;
const UNKNOWN_ID: u8 = 0x0a;

#[test]
fn illegal_messages_are_refused_or_left_to_the_swarm() {
    let Some(path) =
        corpus().map(|folder| folder.join("vectors/peer_wire_illegal.json")).filter(|p| p.exists())
    else {
        println!("corpus: not found, 0 cases");
        return;
    };
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = document["cases"].as_array().unwrap();
    let (mut agree, mut to_swarm) = (0, Vec::new());
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let outcome = run(case["send_after_handshake"].as_array().unwrap());
        if DEVIATIONS.iter().any(|&(deviation, _)| deviation == id) {
            assert_ne!(outcome, expected(id), "{id} is no deviation any more");
            continue;
        }
        assert_eq!(outcome, expected(id), "{id}: {}", case["expect"]);
        agree += 1;
        to_swarm.extend((outcome == Outcome::ToSwarm).then_some(id));
    }
    println!(
        "corpus peer_wire_illegal: {agree} of {} agree, {} deviations (docs/corpus.md)",
        cases.len(),
        DEVIATIONS.len()
    );
    println!("left to the swarm: {}", to_swarm.join(", "));
}

fn corpus() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("RAWTORRENT_CORPUS").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn run(frames: &[Value]) -> Outcome {
    for (n, frame) in frames.iter().enumerate() {
        let bytes = concrete(frame.as_str().unwrap());
        if bytes.starts_with(wire::handshake::PROTOCOL) {
            Handshake::decode(bytes.as_slice().try_into().unwrap()).unwrap();
            continue;
        }
        match decode(&bytes, &Limits::for_pieces(PIECES)) {
            Ok(Decoded::Message { consumed, .. }) => assert_eq!(consumed, bytes.len(), "{frame}"),
            Ok(Decoded::Incomplete { need_at_least }) => {
                panic!("{frame} lacks bytes: {need_at_least} are needed")
            }
            Err(error) => {
                assert_eq!(n, frames.len() - 1, "{frame}: {error}");
                return Outcome::Refused(error);
            }
        }
    }
    Outcome::ToSwarm
}

/// The bytes of a frame, which is hex or says in words what to send.
fn concrete(frame: &str) -> Vec<u8> {
    let bitfield = |pieces| Message::Bitfield(Bitfield::full(pieces).as_bytes().to_vec().into());
    let metadata = |piece| Message::Extended { id: 1, payload: Metadata::Request { piece }.encode().into() };
    let message = match frame {
        "<bitfield with one random bit>" => {
            let mut bits = Bitfield::new(PIECES);
            bits.insert(PieceIndex::new(4));
            Message::Bitfield(bits.as_bytes().to_vec().into())
        }
        "<bitfield>" | "<full bitfield>" => bitfield(PIECES),
        "<bitfield of num_pieces-1 rounded (one byte short)>" => bitfield(8),
        "<bitfield of num_pieces+9>" => bitfield(PIECES + 9),
        "<ext handshake m.ut_metadata=1>" => {
            let mut handshake = ext::Handshake::default();
            handshake.m.insert(ext::UT_METADATA.into(), 1);
            Message::Extended { id: 0, payload: handshake.encode().into() }
        }
        "<msg_type 0 piece 0>" => metadata(0),
        "<msg_type 0 piece 1 (only piece 0 exists)>" => metadata(1),
        "<length 0x100001 style oversize: fake_peer send_large_message>" => {
            return LARGE.to_be_bytes().to_vec();
        }
        "<reserved message id>" => return vec![0, 0, 0, 1, UNKNOWN_ID],
        "<handshake with info-hash 30 x20>" => {
            let (reserved, info_hash) = (Reserved::NONE, InfoHashV1([0x30; 20]));
            return Handshake { reserved, info_hash, peer_id: PeerId([0; 20]) }.encode().to_vec();
        }
        hex => return unhex(hex),
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn unhex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
    pairs.map(|pair| byte(pair).unwrap_or_else(|_| panic!("what is {hex}?"))).collect()
}
