//! The corpus: what a peer sends after the handshake, and what is expected of the other side.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Downloading, PIECES, Seeding, gone, kept, read_until};
use rawtorrent_tests::peer::{FAST, FAST_EXTENDED, Frame, RawPeer, full_bitfield, id, message, request};
use rawtorrent_tests::score::score;

/// Cases where we differ from what the corpus expects, and why.
const DEVIATIONS: &[(&str, &str)] = &[];

#[test]
fn the_corpus_of_illegal_messages() {
    let Some(cases) = corpus() else {
        println!("corpus: not found, 0 cases");
        return;
    };
    let mut seeding = Seeding::start();
    let downloading = Downloading::start();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["id"].as_str().unwrap();
        if let Err(why) = check_seed(&seeding, case) {
            wrong.push((name, format!("as a seed: {why}")));
        } else if let Err(why) = check_downloader(&downloading, case) {
            wrong.push((name, format!("as a downloader: {why}")));
        }
        seeding.assert_serves();
    }
    let known = |name: &str| DEVIATIONS.iter().any(|(deviation, _)| *deviation == name);
    let surprises: Vec<_> = wrong.iter().filter(|(name, _)| !known(name)).collect();
    let agree = cases.len() - wrong.len();
    let deviations = wrong.len();
    println!(
        "corpus peer_wire_illegal: {agree} of {} agree, {deviations} deviations (docs/corpus.md)",
        cases.len()
    );
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert_eq!(deviations, DEVIATIONS.len(), "a deviation is none any more");
    downloading.assert_completes();
    score(
        "the_corpus_of_illegal_messages",
        "what libtorrent's tests send, to a seed and a downloader",
        2 * cases.len() as u64,
        &format!("{agree} of {} as expected", cases.len()),
        "as expected",
    );
}

fn corpus() -> Option<Vec<serde_json::Value>> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let dir = env::var_os("RAWTORRENT_CORPUS").map_or_else(default, PathBuf::from);
    let text = fs::read_to_string(dir.join("vectors/peer_wire_illegal.json")).ok()?;
    let corpus: serde_json::Value = serde_json::from_str(&text).unwrap();
    corpus["cases"].as_array().cloned()
}

/// Plays a case against the seed.
fn check_seed(seeding: &Seeding, case: &serde_json::Value) -> Result<(), String> {
    let peer = &mut match play(seeding.addr, seeding.home.info_hash, case)? {
        Some(peer) => peer,
        None => return Ok(()),
    };
    match case["id"].as_str().unwrap() {
        "seed_must_send_have_all" => {
            let is_first = |frame: &Frame| {
                matches!(frame.id, Some(id::BITFIELD | id::HAVE_ALL | id::HAVE_NONE | id::UNCHOKE))
            };
            let first = read_until(peer, is_first)?;
            (first.id == Some(id::HAVE_ALL)).then_some(()).ok_or_else(|| format!("it sent {first:?}"))
        }
        "ut_metadata_request_out_of_range" => metadata_is_served(peer),
        "request_piece_we_do_not_have" => served_or_rejected(peer, &request(1, 0, 0x4000)),
        "request_huge_piece_index" => rejected_or_gone(peer, &request(0x0766_235b, 0, 0x4000)),
        "bitfield_then_have_none" | "dht_port_without_support" => kept(peer),
        // Two seeds have nothing to say to each other: they may part.
        "alternate_have_all_have_none" | "full_bitfield_then_have_all" | "suggest_negative_index" => Ok(()),
        name => check_both(peer, name),
    }
}

/// Plays a case against a downloader that has nothing.
fn check_downloader(downloading: &Downloading, case: &serde_json::Value) -> Result<(), String> {
    let peer = &mut match play(downloading.addr, downloading.home.info_hash, case)? {
        Some(peer) => peer,
        None => return Ok(()),
    };
    match case["id"].as_str().unwrap() {
        "request_piece_we_do_not_have" => rejected_or_gone(peer, &request(1, 0, 0x4000)),
        "request_huge_piece_index" => rejected_or_gone(peer, &request(0x0766_235b, 0, 0x4000)),
        "suggest_negative_index" => {
            let asked = read_until(peer, |frame| frame.id == Some(id::REQUEST))?;
            let piece = u32::from_be_bytes(asked.payload[..4].try_into().unwrap());
            (piece < 20).then_some(()).ok_or_else(|| format!("it asked for piece {piece}"))
        }
        "alternate_have_all_have_none"
        | "bitfield_then_have_none"
        | "full_bitfield_then_have_all"
        | "dht_port_without_support" => kept(peer),
        "seed_must_send_have_all" | "ut_metadata_request_out_of_range" => Ok(()),
        name => check_both(peer, name),
    }
}

/// What is expected of seeds and downloaders alike.
fn check_both(peer: &mut RawPeer, name: &str) -> Result<(), String> {
    match name {
        "large_message"
        | "invalid_message"
        | "have_all_then_invalid_message"
        | "short_bitfield"
        | "long_bitfield"
        | "v1_only_peer_claims_v2_then_hash_request" => gone(peer),
        // These say that nothing breaks, and leave open whether the peer stays.
        "multiple_bitfields" | "multiple_have_all" => Ok(()),
        _ => Err("a new case: the test doesn't know it".to_owned()),
    }
}

/// Connects and sends what the case says; no peer if there is nothing more to see.
fn play(addr: SocketAddr, info_hash: [u8; 20], case: &serde_json::Value) -> Result<Option<RawPeer>, String> {
    if case["id"] == "unknown_info_hash" {
        let refused = RawPeer::connect(addr, FAST, *b"00000000000000000000").is_err();
        return refused.then_some(None).ok_or_else(|| "the handshake was answered".to_owned());
    }
    let mut peer = RawPeer::connect(addr, FAST_EXTENDED, info_hash).map_err(|error| error.to_string())?;
    for step in case["send_after_handshake"].as_array().unwrap() {
        // A peer that is thrown out midway can't send the rest.
        if peer.send(&bytes_of(step.as_str().unwrap())).is_err() {
            break;
        }
    }
    Ok(Some(peer))
}

/// A step of a case; those that the corpus describes in words are made here.
fn bytes_of(step: &str) -> Vec<u8> {
    let mut one_bit = vec![0; 3];
    one_bit[1] = 0x10;
    match step {
        "<bitfield with one random bit>" => message(id::BITFIELD, &one_bit),
        "<full bitfield>" | "<bitfield>" => message(id::BITFIELD, &full_bitfield(PIECES)),
        "<length 0x100001 style oversize: fake_peer send_large_message>" => {
            [&0x0010_0001_u32.to_be_bytes()[..], &[id::PIECE], &[0; 1000]].concat()
        }
        "<reserved message id>" => message(255, &[]),
        "<bitfield of num_pieces-1 rounded (one byte short)>" => message(id::BITFIELD, &[0xff; 2]),
        "<bitfield of num_pieces+9>" => message(id::BITFIELD, &full_bitfield(PIECES + 9)),
        "<ext handshake m.ut_metadata=1>" => message(id::EXTENDED, b"\0d1:md11:ut_metadatai1eee"),
        // These carry a number that the other side chooses: `metadata_is_served` sends them.
        "<msg_type 0 piece 1 (only piece 0 exists)>" | "<msg_type 0 piece 0>" => Vec::new(),
        hex => {
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            digits
                .map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("a new step: {hex}")))
                .collect()
        }
    }
}

pub(super) fn rejected_or_gone(peer: &mut RawPeer, request: &[u8]) -> Result<(), String> {
    let frame = peer.read_until(|frame| {
        frame.id == Some(id::PIECE) || frame.id == Some(id::REJECT) && frame.payload == request
    });
    match frame.map_err(|error| format!("no answer: {error}"))? {
        Some(frame) if frame.id == Some(id::PIECE) => Err("it was served".to_owned()),
        _ => Ok(()),
    }
}

/// A seed has the piece: what counts is that an early request is answered one way or the other.
fn served_or_rejected(peer: &mut RawPeer, request: &[u8]) -> Result<(), String> {
    read_until(peer, |frame| match frame.id {
        Some(id::REJECT) => frame.payload == request,
        Some(id::PIECE) => frame.payload.starts_with(&request[..8]),
        _ => false,
    })
    .map(drop)
}

/// BEP 9: the request for a piece that doesn't exist is rejected, the one for the first piece answered.
fn metadata_is_served(peer: &mut RawPeer) -> Result<(), String> {
    let theirs =
        read_until(peer, |frame| frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&0))?;
    let text = String::from_utf8_lossy(&theirs.payload).into_owned();
    let Some((_, rest)) = text.split_once("11:ut_metadatai") else {
        return Err("it doesn't offer ut_metadata".to_owned());
    };
    let number: u8 = rest.split('e').next().and_then(|digits| digits.parse().ok()).ok_or("a strange id")?;
    for (piece, answer) in [(1, "8:msg_typei2e"), (0, "8:msg_typei1e")] {
        let ask = [&[number][..], format!("d8:msg_typei0e5:piecei{piece}ee").as_bytes()].concat();
        peer.send(&message(id::EXTENDED, &ask)).map_err(|error| error.to_string())?;
        let frame =
            read_until(peer, |frame| frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&1))?;
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        if !text.contains(answer) || !text.contains(&format!("5:piecei{piece}e")) {
            return Err(format!(
                "piece {piece} was answered with {}",
                text.chars().take(80).collect::<String>()
            ));
        }
    }
    Ok(())
}
