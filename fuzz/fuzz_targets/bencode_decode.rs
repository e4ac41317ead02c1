//! Any bytes: what decodes re-encodes to the same value, to the very same bytes if it was regular, and not when cut.
#![no_main]

use bencode::{DictEncoder, ErrorKind, Kind, Limits, ListEncoder, Value};
use common::plant;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok((document, rest)) = bencode::decode_prefix(data, Limits::DEFAULT) else { return };
    let source = document.source();
    assert_eq!([source, rest].concat(), data);
    assert_eq!(bencode::decode(data).is_ok(), rest.is_empty());

    let cut = &source[..source.len() - 1];
    assert_eq!(bencode::decode(cut).map(|_| ()).map_err(|e| e.kind), Err(ErrorKind::UnexpectedEnd));

    let encoded = bencode::encode_list(|l| add_item(l, document.root()));
    // In a list it is one level deeper.
    let deeper = Limits { max_depth: Limits::DEFAULT.max_depth + 1, ..Limits::DEFAULT };
    let (again, _) = bencode::decode_prefix(&encoded, deeper).expect("what the encoder writes is bencode");
    assert_eq!(again.irregularity(), None, "the encoder is canonical");
    let canonical = &encoded[1..encoded.len() - 1];
    if document.irregularity().is_none() {
        assert_eq!(canonical, source, "a regular document is canonical");
        let mut lists = document.root().as_list().into_iter().flatten().filter_map(Value::as_list);
        plant(|| lists.any(|list| list.count() == 3));
    } else {
        assert_ne!(canonical, source, "an irregular document is not canonical");
    }
});

fn add_item(list: &mut ListEncoder<'_>, value: Value<'_>) {
    match value.kind() {
        Kind::Int => list.int(value.as_int().expect("an integer")),
        Kind::Bytes => list.bytes(value.as_bytes().expect("a string")),
        Kind::List => list.list(|l| value.as_list().expect("a list").for_each(|item| add_item(l, item))),
        Kind::Dict => list.dict(|d| add_entries(d, value)),
    }
}

fn add_entries(dict: &mut DictEncoder<'_>, value: Value<'_>) {
    for (key, value) in value.as_dict().expect("a dictionary") {
        match value.kind() {
            Kind::Int => dict.int(key, value.as_int().expect("an integer")),
            Kind::Bytes => dict.bytes(key, value.as_bytes().expect("a string")),
            Kind::List => {
                dict.list(key, |l| value.as_list().expect("a list").for_each(|item| add_item(l, item)))
            }
            Kind::Dict => dict.dict(key, |d| add_entries(d, value)),
        }
    }
}
