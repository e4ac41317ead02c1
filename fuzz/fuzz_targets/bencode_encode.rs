//! Any value, its keys in any order: it is written in the one way there is, and reads back as it was.
#![no_main]

use bencode::{DictEncoder, Limits, ListEncoder, Value};
use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

const MAX_DEPTH: u32 = 8;

#[derive(Debug)]
enum Model {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Model>),
    /// In the order in which they are given; the last of a key counts.
    Dict(Vec<(Vec<u8>, Model)>),
}

impl Model {
    fn new(parts: &mut Parts<'_>, depth: u32) -> Model {
        let deeper = depth < MAX_DEPTH;
        match parts.byte() % 4 {
            0 => Model::Int(parts.u64().cast_signed() >> (parts.byte() % 64)),
            1 if deeper => Model::List(parts.list(8, |parts| Model::new(parts, depth + 1))),
            2 if deeper => Model::Dict(parts.list(8, |p| (p.bytes().to_vec(), Model::new(p, depth + 1)))),
            _ => Model::Bytes(parts.bytes().to_vec()),
        }
    }

    fn add_to(&self, list: &mut ListEncoder<'_>) {
        match self {
            Model::Int(int) => list.int(*int),
            Model::Bytes(bytes) => list.bytes(bytes),
            Model::List(items) => list.list(|l| items.iter().for_each(|item| item.add_to(l))),
            Model::Dict(entries) => list.dict(|d| enter(entries, d)),
        }
    }

    fn enter(&self, key: &[u8], dict: &mut DictEncoder<'_>) {
        match self {
            Model::Int(int) => dict.int(key, *int),
            Model::Bytes(bytes) => dict.bytes(key, bytes),
            Model::List(items) => dict.list(key, |l| items.iter().for_each(|item| item.add_to(l))),
            Model::Dict(entries) => dict.dict(key, |d| enter(entries, d)),
        }
    }

    fn check(&self, value: Value<'_>) {
        match self {
            Model::Int(int) => assert_eq!(value.as_int(), Some(*int)),
            Model::Bytes(bytes) => assert_eq!(value.as_bytes(), Some(&bytes[..])),
            Model::List(items) => {
                let read: Vec<_> = value.as_list().expect("a list").collect();
                assert_eq!(read.len(), items.len());
                items.iter().zip(read).for_each(|(item, value)| item.check(value));
            }
            Model::Dict(entries) => {
                let last: BTreeMap<_, _> = entries.iter().map(|(key, model)| (&key[..], model)).collect();
                let read: Vec<_> = value.as_dict().expect("a dictionary").collect();
                assert!(read.iter().map(|(key, _)| *key).eq(last.keys().copied()), "in order, each once");
                last.values().zip(&read).for_each(|(model, (_, value))| model.check(*value));
                last.iter().for_each(|(key, model)| model.check(value.get(key).expect("it is there")));
                plant(|| last.len() >= 3 && last.len() < entries.len());
            }
        }
    }
}

fn enter(entries: &[(Vec<u8>, Model)], dict: &mut DictEncoder<'_>) {
    entries.iter().for_each(|(key, model)| model.enter(key, dict));
}

fuzz_target!(|data: &[u8]| {
    let model = Model::new(&mut Parts(data), 0);
    let encoded = bencode::encode_list(|list| model.add_to(list));
    let document =
        bencode::decode_with(&encoded, Limits::DEFAULT).expect("what the encoder writes is bencode");
    assert_eq!(document.irregularity(), None);
    model.check(document.root().as_list().and_then(|mut list| list.next()).expect("the only item"));
});
