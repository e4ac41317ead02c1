//! Bad input: one clear line, exit code 1, nothing written.

use crate::support::Place;
use serde_json::json;

/// What is wrong with a torrent, and what is said about it.
const BAD: &[(&str, &str)] = &[
    ("", "is empty"),
    ("hello", "not a torrent file"),
    ("<html>not found</html>", "web page"),
    ("i5e", "not a dictionary"),
    ("d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:short", "cut short"),
    ("d3:foo3:bare", "`info` is missing"),
    ("d4:infod4:name1:x12:piece lengthi16384e6:pieces20:01234567890123456789ee", "is missing"),
    ("d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces19:0123456789012345678ee", "multiple of 20"),
    ("d4:infod6:lengthi-5e4:name1:x12:piece lengthi16384e6:pieces20:01234567890123456789ee", "negative"),
    ("d4:infod6:length1:54:name1:x12:piece lengthi16384e6:pieces20:01234567890123456789ee", "is a"),
    (
        "d4:infod6:lengthi9223372036854775807e4:name1:x12:piece lengthi16384e6:pieces20:01234567890123456789ee",
        "pieces",
    ),
];

const LINK: &str =
    "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=a+b%1B&tr=http://t/a&x.pe=h:1&so=2,4";

/// `x`, 5 bytes, "hello".
const GOOD: &[u8] = b"d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:01234567890123456789ee";

/// A v2-only torrent of one file of one piece.
const V2_ONLY: &[u8] =
    b"d4:infod9:file treed1:xd0:d6:lengthi5e11:pieces root32:01234567890123456789012345678901eee\
    12:meta versioni2e4:name1:x12:piece lengthi16384eee";

#[test]
fn broken_torrents_are_told_in_one_line() {
    let place = Place::new();
    for (bytes, said) in BAD {
        place.write("bad.torrent", bytes);
        for command in [
            &["show", "bad.torrent"][..],
            &["download", "bad.torrent", "--list"],
            &["download", "bad.torrent"],
        ] {
            place.run(command).failed(&["bad.torrent", said]);
        }
    }
    let names = place.names();
    assert!(!names.contains(&"x".to_owned()), "{names:?}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let place = Place::new();
    place.run(&["show", "missing.torrent"]).failed(&["missing.torrent", "No such file"]);
    place.run(&["show", "."]).failed(&["folder"]);
    place.run(&["show", "ftp://host/x.torrent"]).failed(&["ftp://host/x.torrent", "http"]);
    place.run(&["verify", LINK, "--data", "."]).failed(&["magnet link", "--metadata-only"]);
    place.run(&["download", "magnet:?xt=urn:btih:0123"]).failed(&["magnet link", "not a hash"]);
    place.run_with_input(&["show", "-"], b"").failed(&["standard input", "empty"]);
}

#[test]
fn failures_are_events_too() {
    let place = Place::new();
    let ran = place.run(&["download", "--json", "missing.torrent"]).failed(&["missing.torrent"]);
    let event = ran.json();
    assert_eq!(
        (&event["event"], &event["kind"], &event["info_hash"]),
        (&json!("error"), &json!("source"), &json!(null))
    );
    assert!(event["message"].as_str().unwrap().contains("missing.torrent"));
    assert_eq!(event.as_object().unwrap().len(), 4);
}

#[test]
fn v2_torrents_are_shown_and_not_downloaded() {
    let place = Place::new();
    place.write("v2.torrent", V2_ONLY);
    let shown = place.show("v2.torrent");
    assert_eq!((&shown["version"], &shown["info_hash_v1"]), (&json!("v2"), &json!(null)));
    assert_eq!(shown["info_hash_v2"].as_str().unwrap().len(), 64);
    assert_eq!(shown["files"], json!([{"path": "x", "size": 5}]));
    let ran =
        place.run(&["download", "--json", "--listen", "127.0.0.1:0", "v2.torrent"]).failed(&["v2-only"]);
    assert_eq!(ran.json()["info_hash"], shown["info_hash_v2"]);
    place.run(&["verify", "v2.torrent", "--data", "."]).failed(&["v2-only"]);
}

#[test]
fn a_strangers_words_do_not_reach_the_terminal() {
    let place = Place::new();
    let torrent = [b"d7:comment9:\x1b[31mred\x07".as_slice(), &GOOD[1..]].concat();
    place.write("t.torrent", torrent);
    let text = place.run(&["show", "t.torrent"]).done();
    assert!(text.text().contains("\\u{1b}[31mred"), "{}", text.text());
    assert!(!text.text().contains('\x1b'));
    assert_eq!(place.show("t.torrent")["comment"], "\x1b[31mred\x07");
}

#[test]
fn magnet_links_are_shown_and_made() {
    let place = Place::new();
    let text = place.run(&["show", LINK]).done();
    for line in [
        "name        a b\\u{1b}\n",
        "info hash   0123",
        "trackers    http://t/a\n",
        "peers       h:1\n",
        "2,4",
    ] {
        assert!(text.text().contains(line), "{line}: {}", text.text());
    }
    let shown = place.show(LINK);
    assert_eq!(shown["info_hash_v1"], "0123456789012345678901234567890123456789");
    assert_eq!((&shown["name"], &shown["files"]), (&json!("a b\u{1b}"), &json!(null)));
    assert_eq!((&shown["trackers"], &shown["select_only"]), (&json!([["http://t/a"]]), &json!("2,4")));
    place.write("t.torrent", [b"d8:announce12:udp://t:1/?&".as_slice(), &GOOD[1..]].concat());
    let link = place.run(&["magnet", "t.torrent"]).done();
    let hash = place.show("t.torrent")["info_hash_v1"].as_str().unwrap().to_owned();
    assert_eq!(link.text(), format!("magnet:?xt=urn:btih:{hash}&dn=x&tr=udp%3A%2F%2Ft%3A1%2F%3F%26\n"));
    assert_eq!(place.show(link.text().trim())["trackers"], json!([["udp://t:1/?&"]]));
}

#[test]
fn the_nodes_of_a_torrent_are_shown_and_go_into_its_link() {
    let place = Place::new();
    let nodes = b"5:nodesll1:ni1eel3:::1i2eeee";
    place.write("t.torrent", [&GOOD[..GOOD.len() - 1], nodes].concat());
    assert_eq!(place.show("t.torrent")["dht_nodes"], json!(["n:1", "[::1]:2"]));
    let text = place.run(&["show", "t.torrent"]).done();
    assert!(text.text().contains("dht nodes   n:1\n            [::1]:2\n"), "{}", text.text());
    let link = place.run(&["magnet", "t.torrent"]).done();
    assert!(link.text().ends_with("&dht=n:1&dht=[::1]:2\n"), "{}", link.text());
}

#[test]
fn standard_input_is_a_source() {
    let place = Place::new();
    let shown = place.run_with_input(&["show", "-", "--json"], GOOD).done().json();
    assert_eq!(shown["name"], "x");
    let listed = place.run_with_input(&["download", "-", "--list"], GOOD).done();
    assert_eq!(listed.text(), "x\n   0         5 B  x\n");
}
