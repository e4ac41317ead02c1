//! `dht`, in a network of nodes on loopback.

use crate::network::Network;
use crate::support::{Place, Ran, keys};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

const HASH: &str = "c00def16cd53a6bea3c70b194fe22ab874a764c9";

/// A place, and a network that its runs ask.
struct Lab {
    place: Place,
    network: Network,
}

impl Lab {
    fn new(nodes: u64) -> Lab {
        Lab { place: Place::new(), network: Network::new(nodes) }
    }

    fn dht(&self, args: &[&str]) -> Ran {
        self.dht_at("127.0.0.1:0", args)
    }

    fn dht_at(&self, listen: &str, args: &[&str]) -> Ran {
        let mut command = self.place.command(&[&["dht"], args].concat());
        command.env("RAWTORRENT_DHT_BOOTSTRAP", self.network.bootstrap());
        command.env("RAWTORRENT_DHT_LISTEN", listen);
        command.output().unwrap().into()
    }
}

/// The lines of one kind.
fn lines<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn a_lookup_is_shown_step_by_step() {
    let lab = Lab::new(24);
    let announced = lab.dht(&["announce", HASH, "--port", "4000"]).done();
    assert!(announced.stderr.contains("stored at 8 nodes"), "{}", announced.stderr);

    let said = lab.dht(&["lookup", HASH, "--json"]).done().json_lines();
    let (queries, answers) = (lines(&said, "query"), lines(&said, "answer"));
    assert_eq!(queries[0]["addr"], lab.network.bootstrap());
    assert_eq!((&queries[0]["hop"], &queries[0]["bits"]), (&json!(1), &Value::Null), "not known yet");
    assert!(answers.iter().any(|answer| answer["hop"].as_u64() > Some(1)), "{said:?}");
    for answer in &answers {
        let id = u8::from_str_radix(&answer["id"].as_str().unwrap()[..2], 16).unwrap();
        let bits = answer["bits"].as_u64().unwrap();
        let agree = u64::from((id ^ 0xc0).leading_zeros());
        assert!(if agree < 8 { bits == agree } else { bits >= 8 }, "{answer}");
    }
    assert_eq!(
        keys(answers[0]),
        [
            "addr",
            "bits",
            "event",
            "hop",
            "id",
            "item",
            "new_nodes",
            "nodes",
            "peers",
            "round_trip",
            "samples",
            "time",
            "token"
        ]
    );
    let peers: Vec<_> = lines(&said, "peers").iter().map(|line| line["peers"].clone()).collect();
    assert_eq!(peers, [json!(["127.0.0.1:4000"])], "told of once");
    let done = said.last().unwrap();
    assert_eq!((&done["event"], &done["peers"], &done["target"]), (&json!("done"), &json!(1), &json!(HASH)));
    assert_eq!(done["queries"], queries.len());
    assert_eq!(done["answers"], answers.len());
    let nearest = answers.iter().map(|answer| answer["bits"].as_u64()).max().unwrap();
    assert_eq!(done["bits"].as_u64(), nearest);
    assert_eq!(
        keys(done),
        ["answers", "bits", "copies", "event", "hops", "peers", "queries", "stored", "target", "time"]
    );

    let text = lab.dht(&["lookup", &format!("magnet:?xt=urn:btih:{HASH}")]).done();
    let rows: Vec<_> = text.text().lines().collect();
    assert!(rows[0].trim_start().starts_with("time  hop  bits"), "{}", text.text());
    assert!(rows[1].ends_with(&format!("-> {}", lab.network.bootstrap())), "{}", text.text());
    assert!(text.text().contains(" ms: 8 nodes (8 new)"), "{}", text.text());
    assert!(text.text().contains(", 1 peer\n"), "{}", text.text());
    let end = rows.iter().position(|row| *row == "peer 127.0.0.1:4000").unwrap();
    assert!(rows[end + 1].starts_with("1 peer, ") && rows.len() == end + 2, "{}", text.text());
}

#[test]
fn announced_peers_are_counted_and_sampled() {
    let lab = Lab::new(10);
    let none = lab.dht(&["scrape", HASH]).done();
    assert_eq!(none.text(), "seeds 0\ndownloaders 0\n");
    lab.dht_at("127.0.0.2:0", &["announce", HASH, "--port", "4000", "--seed"]).done();
    lab.dht_at("127.0.0.3:0", &["announce", HASH, "--port", "4000"]).done();
    lab.dht_at("127.0.0.4:0", &["announce", HASH, "--port", "4001"]).done();
    assert_eq!(lab.dht(&["scrape", HASH]).done().text(), "seeds 1\ndownloaders 2\n");
    let said = lab.dht(&["scrape", HASH, "--json"]).done().json_lines();
    let scrape = lines(&said, "scrape")[0];
    assert_eq!(scrape["nodes"], 8);
    assert!((scrape["seeds"].as_f64().unwrap() - 1.0).abs() < 0.1, "{scrape}");

    for sample in [&["sample"][..], &["sample", HASH]] {
        assert_eq!(lab.dht(sample).done().text(), format!("{HASH}\n"));
    }
    let said = lab.dht(&["sample", "--json"]).done().json_lines();
    let told: Vec<_> = lines(&said, "sample").iter().map(|line| line["info_hashes"].clone()).collect();
    assert_eq!(told.iter().filter(|hashes| **hashes == json!([HASH])).count(), 1, "{said:?}");
}

#[test]
fn immutable_items_are_had_by_their_hash() {
    let lab = Lab::new(10);
    let put = lab.dht(&["put", "Hello World!"]).done();
    // The first vector of BEP 44.
    let target = "e5f96f6f38320f0f33959cb4d3d656452117aadb";
    assert_eq!(put.text(), format!("{target}\n"));
    assert!(put.stderr.contains("stored at 8 nodes"), "{}", put.stderr);
    assert_eq!(lab.dht(&["get", target]).done().text(), "Hello World!\n");
    let said = lab.dht(&["get", target, "--json"]).done().json_lines();
    let item = lines(&said, "item")[0];
    assert_eq!(item["value"], "Hello World!");
    assert_eq!(item["bencoded"], "31323a48656c6c6f20576f726c6421");
    assert_eq!(keys(item), ["bencoded", "event", "key", "seq", "target", "time", "value"]);

    lab.place.write("bytes", [0xff; 996]);
    let put = lab.dht(&["put", "--file", "bytes"]).done();
    let got = lab.dht(&["get", put.text().trim()]).done();
    assert_eq!(got.stdout, [&[0xff; 996][..], b"\n"].concat());
    lab.place.write("bytes", [0xff; 997]);
    lab.dht(&["put", "--file", "bytes"]).failed(&["the value is longer than 1,000 bytes"]);
    lab.dht(&["put", "--file", "missing"]).failed(&["cannot read missing: No such file"]);
    lab.dht(&["get", HASH]).failed(&["nothing is stored as", HASH]);
}

#[test]
fn mutable_items_have_versions() {
    let lab = Lab::new(10);
    let put = lab.dht(&["put", "one", "--new-secret", "key", "--json"]).done();
    let mode = lab.place.path("key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = String::from_utf8(lab.place.read("key")).unwrap();
    assert!(secret.trim().len() == 64 && !put.text().contains(secret.trim()), "never printed");
    let said = put.json_lines();
    let told = lines(&said, "put")[0];
    assert_eq!(told["seq"], 1);
    let (key, target) = (told["key"].as_str().unwrap(), told["target"].as_str().unwrap());
    assert_eq!(lab.dht(&["get", "--key", key]).done().text(), "one\n");

    let put = lab.dht(&["put", "two", "--secret", "key"]).done();
    assert_eq!(put.text(), format!("{target}\n"));
    assert!(put.stderr.contains("seq 2") && put.stderr.contains(key), "{}", put.stderr);
    assert!(!put.stderr.contains(secret.trim()), "never printed");
    let got = lab.dht(&["get", target]).done();
    assert_eq!(got.text(), "two\n");
    assert!(got.stderr.contains("mutable, seq 2, from 8 nodes"), "{}", got.stderr);

    lab.dht(&["put", "old", "--secret", "key", "--seq", "1"]).failed(&["no node stored it", "302"]);
    lab.dht(&["put", "x", "--secret", "key", "--seq", "7", "--cas", "1"])
        .failed(&["no node stored it", "301"]);
    lab.dht(&["put", "three", "--secret", "key", "--seq", "7", "--cas", "2"]).done();
    assert_eq!(lab.dht(&["get", target]).done().text(), "three\n");

    lab.dht(&["put", "salted", "--secret", "key", "--salt", "s"]).done();
    assert_eq!(lab.dht(&["get", "--key", key, "--salt", "s"]).done().text(), "salted\n");
    assert_eq!(lab.dht(&["get", "--key", key]).done().text(), "three\n");
    lab.dht(&["put", "x", "--new-secret", "key"]).failed(&["cannot make key: File exists"]);
    assert_eq!(lab.place.read("key"), secret.as_bytes(), "left alone");
}

#[test]
fn nobody_who_answers_is_one_line() {
    let place = Place::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bootstrap = silent.local_addr().unwrap().to_string();
    let args =
        ["dht", "lookup", HASH, "--timeout", "1", "--listen", "127.0.0.1:0", "--bootstrap", &bootstrap];
    place.run(&args).failed(&["nobody answered, of 1 bootstrap node", "--bootstrap HOST:PORT"]);
    let ran = place.run(&[&args[..], &["--json"]].concat()).failed(&[]);
    let said = ran.json_lines();
    assert_eq!((&said[0]["event"], &said[0]["addr"]), (&json!("query"), &json!(bootstrap)));
    assert_eq!((&said[1]["event"], &said[1]["kind"]), (&json!("error"), &json!("dht")));
    // It was asked, by a node that says that it does not answer (BEP 43).
    let mut buffer = [0; 2000];
    let len = silent.recv(&mut buffer).unwrap();
    assert!(buffer[..len].windows(7).any(|part| part == b"2:roi1e"), "{:?}", &buffer[..len]);
}

#[test]
fn torrents_are_taken_as_files_and_private_ones_not_announced() {
    let lab = Lab::new(4);
    lab.place.write("x", "x");
    let torrent = lab.place.torrent("x");
    lab.dht(&["announce", &torrent, "--port", "4000"]).done();
    let said = lab.dht(&["lookup", &torrent, "--json"]).done().json_lines();
    assert_eq!(said.last().unwrap()["target"], lab.place.show(&torrent)["info_hash_v1"]);
    assert_eq!(said.last().unwrap()["peers"], 1);
    lab.place.run(&["create", "x", "--private", "-o", "private.torrent"]).done();
    lab.dht(&["announce", "private.torrent", "--port", "4000"]).failed(&["private torrent", "BEP 27"]);
    lab.dht(&["lookup", "missing.torrent"]).failed(&["cannot read missing.torrent: No such file"]);
}
