//! Any datagram as a packet of the DHT: what is read is bounded, and the same in whatever order the keys come.
#![no_main]

use bencode::Document;
use common::{Parts, dict_of, plant};
use dht::krpc::{self, Body, Method};
use dht::limits::{MAX_TRANSACTION_LEN, MAX_VALUES};
use libfuzzer_sys::fuzz_target;

const QUERIES: [&str; 9] =
    ["ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes", "scrape", ""];
const ARGUMENTS: [&str; 14] = [
    "id",
    "target",
    "info_hash",
    "token",
    "port",
    "implied_port",
    "seed",
    "scrape",
    "noseed",
    "k",
    "salt",
    "seq",
    "sig",
    "v",
];
const RESULTS: [&str; 12] =
    ["id", "nodes", "nodes6", "token", "v", "k", "seq", "sig", "samples", "num", "interval", "BFsd"];

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut parts = Parts(data);
    let (kind, method) = (parts.byte(), usize::from(parts.byte()) % QUERIES.len());
    // Ids are of the right length more often than not.
    let whole = [parts.byte(); 20];
    let (keys, name) = if kind & 1 == 0 { (&ARGUMENTS[..], "a") } else { (&RESULTS[..], "r") };
    let inner = dict_of(&keys[usize::from(kind >> 1) % 4..], parts.0);
    let inner = bencode::decode(&inner).expect("what we write");
    let datagram = bencode::encode_dict(|d| {
        d.bytes("t", "tx");
        d.bytes("y", if kind & 1 == 0 { "q" } else { "r" });
        d.bytes("q", QUERIES[method]);
        d.dict(name, |d| {
            inner.root().as_dict().expect("a dictionary").for_each(|(key, value)| d.value(key, value));
            for key in ["id", "target", "info_hash"].into_iter().filter(|_| kind & 64 == 0) {
                d.bytes(key, whole);
            }
        });
    });
    check(&datagram);
});

fn check(data: &[u8]) {
    let Ok(document) = krpc::decode(data) else { return };
    let read = krpc::parse(&document);
    if let Ok(packet) = &read {
        assert!(packet.transaction.len() <= MAX_TRANSACTION_LEN);
        match &packet.body {
            Body::Response(response) => assert!(response.values.len() <= MAX_VALUES),
            Body::Query(query) => plant(|| matches!(query.method, Method::Get { seq: Some(9..), .. })),
            Body::Error { .. } => {}
        }
    }
    // Keys may come in any order.
    if document.irregularity().is_none() {
        let backwards = backwards(&document);
        let again = krpc::decode(&backwards).expect("the same keys and values");
        assert_eq!(format!("{:?}", krpc::parse(&again)), format!("{read:?}"));
    }
}

fn backwards(document: &Document<'_>) -> Vec<u8> {
    let entries = document.root().as_dict().into_iter().flatten();
    let mut entries: Vec<Vec<u8>> = entries
        .map(|(key, value)| [key.len().to_string().as_bytes(), b":", key, value.raw()].concat())
        .collect();
    entries.reverse();
    [&b"d"[..], &entries.concat(), b"e"].concat()
}
