//! What other clients' own tests say about bencode: `bencode.json` of the corpus.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside of `#[test]` functions

use bencode::{Kind, Limits, Value};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// Where we differ on purpose: the case, and why.
const DEVIATIONS: &[(&str, &str)] = &[(
    "libtorrent/exceed_buf_limit",
    "the case is about a buffer of 1 GiB that it declares but does not hold; our limit is on the bytes themselves",
)];

#[test]
fn bencode_corpus() {
    let Some(file) = corpus().map(|dir| dir.join("vectors/bencode.json")) else {
        println!("corpus: not found, 0 cases");
        return;
    };
    let json: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let cases = json["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    let mut deviations = 0;
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let agrees = agrees(case, &input(case));
        let known = DEVIATIONS.iter().any(|(deviation, _)| *deviation == id);
        deviations += usize::from(known);
        if agrees == known {
            wrong.push(id);
        }
    }
    println!(
        "corpus bencode: {} of {} agree, {deviations} deviations (docs/corpus.md)",
        cases.len() - deviations - wrong.len(),
        cases.len()
    );
    assert!(wrong.is_empty(), "neither agree nor are known to deviate (or agree again): {wrong:?}");
}

fn agrees(case: &Json, input: &[u8]) -> bool {
    // The limits that the cases were written for; one holds a string longer than our default.
    let few = case["note"].as_str().is_some_and(|note| note.contains("item (token) limit 1000"));
    let max_values = if few { 1000 } else { Limits::DEFAULT.max_values };
    let limits = Limits { max_input: 128 * 1024 * 1024, max_depth: 100, max_values };
    let decoded = bencode::decode_with(input, limits);
    let value_agrees = |value: Value<'_>| case.get("value").is_none_or(|expected| same(value, expected));
    match (case["outcome"].as_str().unwrap(), &decoded) {
        ("ok", Ok(document)) => document.irregularity().is_none() && value_agrees(document.root()),
        ("soft_error", Ok(document)) => document.irregularity().is_some() && value_agrees(document.root()),
        ("error", Err(_)) | ("implementation_defined" | "must_not_crash", _) => true,
        _ => false,
    }
}

fn same(value: Value<'_>, expected: &Json) -> bool {
    let (kind, expected) = expected.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value.kind()) {
        ("int", Kind::Int) => value.as_int().unwrap().to_string() == expected.as_str().unwrap(),
        ("str_hex", Kind::Bytes) => value.as_bytes().unwrap() == unhex(expected.as_str().unwrap()),
        ("list", Kind::List) => {
            let expected = expected.as_array().unwrap();
            let items: Vec<_> = value.as_list().unwrap().collect();
            items.len() == expected.len() && items.iter().zip(expected).all(|(item, e)| same(*item, e))
        }
        ("dict", Kind::Dict) => {
            let expected = expected.as_array().unwrap();
            let entries: Vec<_> = value.as_dict().unwrap().collect();
            let same_entry = |((key, value), e): (&(&[u8], Value<'_>), &Json)| {
                *key == unhex(e[0].as_str().unwrap()) && same(*value, &e[1])
            };
            entries.len() == expected.len() && entries.iter().zip(expected).all(same_entry)
        }
        _ => false,
    }
}

fn input(case: &Json) -> Vec<u8> {
    match (case["input_hex"].as_str(), case["input_gen"].as_str()) {
        (Some(hex), _) => unhex(hex),
        (_, Some("b'1000000:' + bytes(1000000)")) => [&b"1000000:"[..], &vec![0; 1_000_000]].concat(),
        (_, Some("b'99999999:' + b'_'*99999999")) => [&b"99999999:"[..], &vec![b'_'; 99_999_999]].concat(),
        (_, generator) => panic!("unknown generator {generator:?}"),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The folder of third-party cases, if there is one.
fn corpus() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let dir = std::env::var_os("RAWTORRENT_CORPUS").map_or_else(default, PathBuf::from);
    dir.is_dir().then_some(dir)
}
