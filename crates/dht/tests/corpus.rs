//! Third-party cases: what the BEPs and libtorrent's tests expect of filters, ids, items and signatures.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use dht::{
    Bloom, MutableItem, NodeId, immutable_target, is_valid_id, mutable_target, public_key, signed_bytes,
};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde_json::Value;
use sha2::Sha512;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

#[test]
fn blooms() {
    let Some(cases) = load("bep33_bloom.json") else { return };
    agreement("bep 33 filters", &cases, |case| {
        same("v4", &case["v4"], &"192.0.2.0-192.0.2.255".into())?;
        same("v6", &case["v6"], &"2001:db8:: - 2001:db8::3e7".into())?;
        let mut filter = Bloom::EMPTY;
        (0..=255).for_each(|n| filter.insert([192, 0, 2, n].into()));
        (0..=0x3e7).for_each(|n| filter.insert(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n])));
        same("filter", &to_hex(filter.as_bytes()).into(), &case["filter_hex"])?;
        let off = (filter.estimate() - case["estimate"].as_f64().unwrap()).abs();
        if off < 0.0001 { Ok(()) } else { Err(format!("estimate {}", filter.estimate())) }
    });
}

#[test]
fn node_ids() {
    let Some(cases) = load("bep42_node_id.json") else { return };
    agreement("bep 42 ids", &cases, |case| {
        let id: NodeId = case["node_id"].as_str().unwrap().parse().unwrap();
        let ip: IpAddr = case["ip"].as_str().unwrap().parse().unwrap();
        same("valid", &is_valid_id(&id, ip).into(), &case["prefix21_ok"])
    });
}

#[test]
fn items() {
    let Some(cases) = load("bep44_46_dht_items.json") else { return };
    agreement("bep 44 and 46 items", &cases, |case| {
        if case["id"] == "oversized_salt" {
            return check_oversized_salt(&case["salt_len"]);
        }
        let value = case["value_bencoded"].as_str().unwrap_or_default().as_bytes();
        let Some(key) = case["public_key"].as_str() else {
            return same("target", &immutable_target(value).to_string().into(), &case["target"]);
        };
        let key = array(key);
        let salt = match case["salt"].as_str() {
            Some(salt) => salt.as_bytes().to_vec(),
            None => hex(case["salt_hex"].as_str().unwrap_or_default()),
        };
        same("target", &mutable_target(&key, &salt).to_string().into(), &case["target"])?;
        match case["signature"].as_str() {
            None => Ok(()),
            Some(signature) => check_signed(
                case,
                &MutableItem {
                    key,
                    salt,
                    seq: case["seq"].as_i64().unwrap(),
                    signature: array(signature),
                    value: value.to_vec(),
                },
            ),
        }
    });
}

fn check_signed(case: &Value, item: &MutableItem) -> Result<(), String> {
    item.verify().map_err(|e| e.to_string())?;
    let buffer = signed_bytes(&item.salt, item.seq, &item.value);
    same("signed", &String::from_utf8(buffer.clone()).unwrap().into(), &case["signed_buffer"])?;
    let expanded = ExpandedSecretKey::from_bytes(&array(case["private_key_expanded"].as_str().unwrap()));
    let key = VerifyingKey::from_bytes(&item.key).map_err(|e| e.to_string())?;
    let signature = raw_sign::<Sha512>(&expanded, &buffer, &key).to_bytes();
    same("signature", &to_hex(&signature).into(), &case["signature"])
}

fn check_oversized_salt(len: &Value) -> Result<(), String> {
    let item = |len: usize| MutableItem::sign(&[1; 32], &vec![7; len], 1, b"le".to_vec());
    let long = item(usize::try_from(len.as_u64().unwrap()).unwrap());
    let good = item(64).map(|item| item.verify());
    let mut forged = item(64).unwrap();
    forged.salt.push(7);
    match (long, good, forged.verify()) {
        (Err(_), Ok(Ok(())), Err(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn ed25519() {
    let Some(cases) = load("ed25519.json") else { return };
    agreement("ed25519", &cases, |case| {
        let text = |key: &str| case[key].as_str().unwrap();
        let (seed, message) = (array(text("seed")), hex(text("message")));
        same("public", &to_hex(&public_key(&seed)).into(), &case["public"])?;
        let signature = SigningKey::from_bytes(&seed).sign(&message);
        same("signature", &to_hex(&signature.to_bytes()).into(), &case["signature"])?;
        let key = VerifyingKey::from_bytes(&array(text("public"))).map_err(|e| e.to_string())?;
        let signature = Signature::from_bytes(&array(text("signature")));
        key.verify_strict(&message, &signature).map_err(|e| e.to_string())
    });
}

/// Runs every case and prints how many agree; all have to.
fn agreement(what: &str, cases: &[Value], check: impl Fn(&Value) -> Result<(), String>) {
    let results = cases.iter().map(|case| (case, check(case)));
    let failed: Vec<String> =
        results.filter_map(|(case, r)| r.err().map(|why| format!("{why}: {case}"))).collect();
    println!("corpus: {what}: {} of {} agree", cases.len() - failed.len(), cases.len());
    assert!(!cases.is_empty() && failed.is_empty(), "{failed:#?}");
}

fn same(what: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours} instead of {theirs}")) }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cases of one file of the corpus; `None`, and a line that says so, without a corpus.
fn load(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("RAWTORRENT_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("vectors").join(file)) else {
        println!("corpus: not found, 0 cases");
        return None;
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    Some(document["cases"].as_array().unwrap().clone())
}
