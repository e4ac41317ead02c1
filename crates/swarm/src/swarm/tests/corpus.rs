//! The corpus's list of illegal and unusual peer messages, and what other clients do with them.

use super::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::println;
use std::string::String;

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Tolerated,
    Closed(DisconnectReason),
    Rejected,
    /// Metadata that is not there is rejected, and what is there is sent.
    MetadataServed,
    /// `wire` refuses it: the brain never sees it.
    Undecodable,
}

/// Cases where we do otherwise, and why.
const DEVIATIONS: &[(&str, &str)] =
    &[("unknown_info_hash", "the driver's: a connection comes to a swarm after its info-hash was matched")];

fn path(name: &str) -> PathBuf {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    let root = std::env::var_os("RAWTORRENT_CORPUS").map_or_else(default, PathBuf::from);
    root.join("vectors").join(name)
}

fn bits(bytes: &[u8]) -> Message<'static> {
    Message::Bitfield(bytes.to_vec().into())
}

/// What a case sends, and what we must do: the corpus's words, in messages.
fn case(id: &str) -> Option<(Vec<Message<'static>>, Verdict)> {
    use Message::{HaveAll, HaveNone};
    let some = bits(&[0x80, 0, 0]);
    let full = bits(Bitfield::full(PIECES).as_bytes());
    let hashes =
        wire::HashRange { pieces_root: [0; 32], base_layer: 0, index: 0, length: 2, proof_layers: 0 };
    let tolerated = |messages| Some((messages, Verdict::Tolerated));
    let size = Verdict::Closed(DisconnectReason::BadBitfield);
    match id {
        "alternate_have_all_have_none" => tolerated(vec![HaveAll, HaveNone, HaveAll, HaveNone]),
        "multiple_have_all" => tolerated(vec![HaveAll, HaveAll, HaveNone, HaveAll]),
        "bitfield_then_have_none" => tolerated(vec![some, HaveNone]),
        "full_bitfield_then_have_all" => tolerated(vec![full, HaveAll]),
        "multiple_bitfields" => tolerated(vec![some.clone(), full, some.clone(), some]),
        "dht_port_without_support" => tolerated(vec![Message::Port(0x1ae1)]),
        "suggest_negative_index" => tolerated(vec![HaveAll, Message::Suggest(0xffff_ff16), Message::Unchoke]),
        "request_piece_we_do_not_have" => {
            let request = Request { index: 1, begin: 0, length: BLOCK_LEN };
            Some((vec![Message::Interested, Message::Request(request)], Verdict::Rejected))
        }
        "request_huge_piece_index" => {
            let request = Request { index: 0x0766_235b, begin: 0, length: BLOCK_LEN };
            Some((vec![HaveNone, Message::Request(request)], Verdict::Rejected))
        }
        "ut_metadata_request_out_of_range" => {
            let extended = |id, payload: &[u8]| Message::Extended { id, payload: payload.to_vec().into() };
            let request = |piece| extended(METADATA_ID, &ext::Metadata::Request { piece }.encode());
            let hello = extended(0, b"d1:md11:ut_metadatai1eee");
            Some((vec![hello, request(1), request(0)], Verdict::MetadataServed))
        }
        "short_bitfield" => Some((vec![bits(&[0, 0])], size)),
        "long_bitfield" => Some((vec![bits(&[0, 0, 0, 0])], size)),
        "v1_only_peer_claims_v2_then_hash_request" => {
            let closed = Verdict::Closed(DisconnectReason::UnexpectedHashes);
            Some((vec![Message::HashRequest(hashes)], closed))
        }
        "large_message" | "invalid_message" | "have_all_then_invalid_message" => {
            Some((vec![], Verdict::Undecodable))
        }
        "seed_must_send_have_all" => tolerated(vec![]),
        _ => None,
    }
}

fn is_refused_by_wire(id: &str) -> bool {
    let bytes: &[u8] = match id {
        "large_message" => &[0, 0x10, 0, 1, 20],
        "invalid_message" => &[0, 0, 0, 1, 0xc8],
        _ => &[0, 0, 0, 1, 0x0c],
    };
    wire::decode(bytes, &wire::Limits::for_pieces(PIECES)).is_err()
}

fn outcome(messages: &[Message<'static>]) -> Verdict {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { metadata_size: Some(5), ..Config::default() });
    bench.connect(PEER, FAST);
    let rejected = ext::Metadata::Reject { piece: 1 }.encode().into();
    let rejected = Message::Extended { id: 1, payload: rejected };
    let mut is_rejected = false;
    for message in messages {
        let out = bench.says(PEER, message.clone());
        is_rejected |= sent(&out).contains(&rejected);
        if is_rejected && out.iter().any(|o| matches!(o, Output::ServeMetadata { piece: 0, .. })) {
            return Verdict::MetadataServed;
        }
        if let Some(reason) = closed(&out) {
            return Verdict::Closed(reason);
        }
        if sent(&out).iter().any(|m| matches!(m, Message::Reject(_))) {
            return Verdict::Rejected;
        }
    }
    Verdict::Tolerated
}

#[test]
fn agrees_with_the_corpus() {
    let Ok(text) = std::fs::read_to_string(path("peer_wire_illegal.json")) else {
        return println!("corpus: not found, 0 cases");
    };
    let ids: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("\"id\": \"")?.split_once('"')?.0.into()))
        .collect();
    assert!(!ids.is_empty(), "the corpus has another form now");
    let deviations: BTreeMap<&str, &str> = DEVIATIONS.iter().copied().collect();
    let mut agree = 0;
    for id in &ids {
        if deviations.contains_key(id.as_str()) {
            continue;
        }
        let (messages, expected) = case(id).unwrap_or_else(|| panic!("a new case: {id}"));
        let found = match expected {
            Verdict::Undecodable if is_refused_by_wire(id) => Verdict::Undecodable,
            _ => outcome(&messages),
        };
        assert_eq!(found, expected, "{id}");
        agree += 1;
    }
    let (all, deviations) = (ids.len(), ids.len() - agree);
    println!("corpus peer_wire: {agree} of {all} agree, {deviations} deviations (docs/corpus.md)");
}

/// The cases of a file of vectors, each as its text; none without the corpus.
fn vectors(name: &str) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(path(name)) else {
        println!("corpus {name}: not found, 0 cases");
        return Vec::new();
    };
    let (_, cases) = text.split_once("\"cases\": [").expect("the corpus has another form now");
    let cases: Vec<String> = cases.split('{').skip(1).map(String::from).collect();
    assert!(!cases.is_empty(), "the corpus has another form now");
    cases
}

/// The value of a key: a number, the text of a string, or the inside of a list.
fn value<'a>(case: &'a str, key: &str) -> &'a str {
    let quoted = std::format!("\"{key}\": ");
    let rest = case.split_once(&quoted).unwrap_or_else(|| panic!("no {key} in {case}")).1;
    match rest.as_bytes()[0] {
        b'"' => rest[1..].split_once('"').unwrap().0,
        b'[' => rest[1..].split_once(']').unwrap().0,
        _ => rest.split(|c: char| !c.is_ascii_digit()).next().unwrap(),
    }
}

#[test]
fn allowed_fast_sets_are_those_of_the_corpus() {
    let cases = vectors("bep6_allowed_fast.json");
    for case in &cases {
        let hash = value(case, "info_hash");
        let byte = |n: usize| u8::from_str_radix(&hash[2 * n..2 * n + 2], 16).unwrap();
        let info_hash = types::InfoHashV1(core::array::from_fn(byte));
        let ip = value(case, "ip").parse().unwrap();
        let k = value(case, "k").parse().unwrap();
        let set =
            crate::allowed_fast::allowed_fast(ip, &info_hash, value(case, "pieces").parse().unwrap(), k);
        let expected: Vec<u32> =
            value(case, "expected").split(',').map(|n| n.trim().parse().unwrap()).collect();
        assert_eq!(set.into_iter().map(PieceIndex::get).collect::<Vec<_>>(), expected);
    }
    println!("corpus bep6_allowed_fast: {0} of {0} agree", cases.len());
}

#[test]
fn priorities_are_those_of_the_corpus() {
    let cases = vectors("bep40_peer_priority.json");
    for case in &cases {
        let addr =
            |ip, port| SocketAddr::new(value(case, ip).parse().unwrap(), value(case, port).parse().unwrap());
        let expected = u32::from_str_radix(value(case, "priority_hex"), 16).unwrap();
        let found = crate::priority::priority(addr("a", "a_port"), addr("b", "b_port"));
        assert_eq!(found, Some(expected), "{case}");
    }
    println!("corpus bep40_peer_priority: {0} of {0} agree", cases.len());
}

#[test]
fn the_last_of_several_bitfields_holds() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    let out = bench.says(PEER, bits(&[0x40, 0, 0]));
    assert_eq!(closed(&out), None);
    let view = bench.swarm.peers(bench.now).next().map(|peer| (peer.pieces, peer.is_seed));
    assert_eq!(view, Some((1, false)));
    assert_eq!(sent(&bench.says(PEER, Message::HaveNone)), [Message::NotInterested]);
}

#[test]
fn a_have_out_of_range_ends_the_connection() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    assert_eq!(closed(&bench.says(PEER, Message::Have(PIECES))), Some(DisconnectReason::BadHave));
}
