//! The decoder and the encoder against each other, against broken input, and at their limits.
#![allow(clippy::unwrap_used)] // helpers outside of `#[test]` functions

use bencode::{DictEncoder, ErrorKind, Kind, Limits, ListEncoder, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// An owned value, for the tests to make.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(BTreeMap<Vec<u8>, Tree>),
}

impl Tree {
    fn of(value: Value<'_>) -> Tree {
        match value.kind() {
            Kind::Int => Tree::Int(value.as_int().unwrap()),
            Kind::Bytes => Tree::Bytes(value.as_bytes().unwrap().to_vec()),
            Kind::List => Tree::List(value.as_list().unwrap().map(Tree::of).collect()),
            Kind::Dict => {
                Tree::Dict(value.as_dict().unwrap().map(|(k, v)| (k.to_vec(), Tree::of(v))).collect())
            }
        }
    }

    fn add_to(&self, list: &mut ListEncoder<'_>) {
        match self {
            Tree::Int(n) => list.int(*n),
            Tree::Bytes(b) => list.bytes(b),
            Tree::List(items) => list.list(|l| items.iter().for_each(|item| item.add_to(l))),
            Tree::Dict(entries) => list.dict(|d| Tree::fill(entries, d)),
        }
    }

    /// Adds the entries backwards: the encoder is to sort them.
    fn fill(entries: &BTreeMap<Vec<u8>, Tree>, dict: &mut DictEncoder<'_>) {
        for (key, value) in entries.iter().rev() {
            match value {
                Tree::Int(n) => dict.int(key, *n),
                Tree::Bytes(b) => dict.bytes(key, b),
                Tree::List(items) => dict.list(key, |l| items.iter().for_each(|item| item.add_to(l))),
                Tree::Dict(entries) => dict.dict(key, |d| Tree::fill(entries, d)),
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![any::<i64>().prop_map(Tree::Int), bytes().prop_map(Tree::Bytes)];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Tree::List),
            proptest::collection::btree_map(bytes(), inner, 0..8).prop_map(Tree::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(trees in proptest::collection::vec(tree(), 0..4)) {
        let bytes = bencode::encode_list(|l| trees.iter().for_each(|t| t.add_to(l)));
        let document = bencode::decode(&bytes).unwrap();
        prop_assert_eq!(document.irregularity(), None, "the encoder is canonical");
        prop_assert_eq!(document.root().raw(), &bytes[..]);
        prop_assert_eq!(Tree::of(document.root()), Tree::List(trees));
    }

    #[test]
    fn every_proper_prefix_is_an_unexpected_end(tree in tree()) {
        let bytes = bencode::encode_list(|l| tree.add_to(l));
        for end in 0..bytes.len() {
            let error = bencode::decode(&bytes[..end]).unwrap_err();
            prop_assert_eq!(error.kind, ErrorKind::UnexpectedEnd);
            prop_assert_eq!(error.at, end);
        }
    }

    #[test]
    fn what_follows_is_an_error_or_the_rest(tree in tree(), tail in proptest::collection::vec(any::<u8>(), 1..20)) {
        let document = bencode::encode_list(|l| tree.add_to(l));
        let bytes = [&document[..], &tail[..]].concat();
        let (decoded, rest) = bencode::decode_prefix(&bytes, Limits::DEFAULT).unwrap();
        prop_assert_eq!(decoded.source(), &document[..]);
        prop_assert_eq!(rest, &tail[..]);
        let error = bencode::decode(&bytes).unwrap_err();
        prop_assert_eq!((error.kind, error.at), (ErrorKind::TrailingBytes, document.len()));
    }

    /// Bytes of bencode's own alphabet get further into the decoder than any others.
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(prop_oneof![
        8 => proptest::sample::select(b"ilde0123456789:-".to_vec()),
        1 => any::<u8>(),
    ], 0..60)) {
        if let Ok(document) = bencode::decode(&bytes) {
            let again = bencode::encode_list(|l| Tree::of(document.root()).add_to(l));
            let regular = document.irregularity().is_none();
            prop_assert_eq!(regular, again[1..again.len() - 1] == bytes[..], "regular is canonical");
        }
    }
}

#[test]
fn reads_values() {
    let document = bencode::decode(b"d1:ai-3e1:bl0:3:\xffooe1:cd1:xi9eee").unwrap();
    let root = document.root();
    assert_eq!(root.get("a").unwrap().as_int(), Some(-3));
    assert_eq!(root.get("a").unwrap().as_uint(), None);
    let items: Vec<_> = root.get("b").unwrap().as_list().unwrap().collect();
    assert_eq!((items[0].as_str(), items[1].as_str()), (Some(""), None));
    assert_eq!(root.get("c").unwrap().raw(), b"d1:xi9ee");
    assert_eq!(root.get("c").unwrap().get("x").unwrap().as_uint(), Some(9));
    assert!(root.get("d").is_none() && items[0].get("a").is_none());
    assert!(root.as_list().is_none() && root.as_bytes().is_none() && root.as_int().is_none());
}

#[test]
fn integers_are_64_bits() {
    let int = |text: &str| bencode::decode(text.as_bytes()).map(|d| d.root().as_int().unwrap());
    assert_eq!(int("i9223372036854775807e"), Ok(i64::MAX));
    assert_eq!(int("i-9223372036854775808e"), Ok(i64::MIN));
    for beyond in ["i9223372036854775808e", "i-9223372036854775809e", "i99999999999999999999999e"] {
        assert_eq!(int(beyond).unwrap_err().kind, ErrorKind::NumberTooLarge, "{beyond}");
    }
}

#[test]
fn irregularities_are_read_and_told() {
    let told = |text: &str| bencode::decode(text.as_bytes()).unwrap().irregularity().map(|e| e.to_string());
    assert_eq!(told("d1:b0:1:a0:e").unwrap(), "unsorted key at byte 6");
    assert_eq!(told("d1:a0:1:a0:e").unwrap(), "repeated key at byte 6");
    assert_eq!(told("li01ee").unwrap(), "leading zero at byte 2");
    assert_eq!(told("l03:abce").unwrap(), "leading zero at byte 1");
    assert_eq!(told("li-0ee").unwrap(), "negative zero at byte 1");
    assert_eq!(told("li0e0:e"), None);
    assert_eq!(told("d1:al1:b1:ae2:aa0:e"), None, "a list's items are no keys");
}

#[test]
fn errors_say_what_and_where() {
    let error = |text: &str| bencode::decode(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error(""), "unexpected end of data at byte 0");
    assert_eq!(error("<html>"), "expected a value at byte 0");
    assert_eq!(error("d1:ae"), "key without a value at byte 4");
    assert_eq!(error("di1e1:ae"), "expected a string as key at byte 1");
    assert_eq!(error("i1.5e"), "expected a digit at byte 2");
    assert_eq!(error("le "), "unexpected data after the end at byte 2");
}

#[test]
fn a_repeated_key_keeps_the_last_value_encoded_and_the_first_decoded() {
    let bytes = bencode::encode_dict(|d| {
        d.int("b", 1);
        d.int("a", 2);
        d.bytes("b", "last");
    });
    assert_eq!(bytes, b"d1:ai2e1:b4:laste");
    let document = bencode::decode(b"d1:ai1e1:ai2ee").unwrap();
    assert_eq!(document.root().get("a").unwrap().as_int(), Some(1));
}

#[test]
fn values_are_carried_over_unchanged() {
    let document = bencode::decode(b"d4:infod1:bi1e1:ai02eee").unwrap();
    let info = document.root().get("info").unwrap();
    let bytes = bencode::encode_dict(|d| {
        d.value("info", info);
        d.list("again", |l| l.value(info));
    });
    assert_eq!(bytes, b"d5:againld1:bi1e1:ai02eee4:infod1:bi1e1:ai02eee");
}

#[test]
fn limits_are_reached() {
    let decode = |text: &str, limits| bencode::decode_with(text.as_bytes(), limits).map(|_| ());
    let depth = Limits { max_depth: 3, ..Limits::DEFAULT };
    assert!(decode("lllleee", depth).is_err_and(|e| e.kind == ErrorKind::TooDeep && e.at == 3));
    assert!(decode("llleleee", depth).is_ok());
    let values = Limits { max_values: 3, ..Limits::DEFAULT };
    assert!(decode("d1:ai1ee", values).is_ok());
    assert!(decode("l0:0:0:e", values).is_err_and(|e| e.kind == ErrorKind::TooManyValues && e.at == 5));
    let input = Limits { max_input: 3, ..Limits::DEFAULT };
    assert!(decode("1:a", input).is_ok());
    assert!(decode("2:ab", input).is_err_and(|e| e.kind == ErrorKind::InputTooLong));

    let deep = "l".repeat(1_000_000);
    assert!(decode(&deep, Limits::DEFAULT).is_err_and(|e| e.kind == ErrorKind::TooDeep));
    let unbounded = Limits { max_depth: usize::MAX, ..Limits::DEFAULT };
    let both = deep.clone() + &"e".repeat(1_000_000);
    assert!(decode(&both, unbounded).is_ok(), "no recursion, no overflow of the stack");
}
