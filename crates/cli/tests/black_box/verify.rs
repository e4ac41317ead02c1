//! `verify`: good, bad, short, missing.

use crate::support::{Place, keys, noise};
use serde_json::json;
use std::fs;

fn place() -> Place {
    let place = Place::new();
    place.write("data/t/a", noise(40_000));
    place.write("data/t/b", noise(16_384));
    place.write("data/t/c", "");
    place.run(&["create", "data/t", "-o", "t.torrent", "--piece-length", "16KiB"]).done();
    place
}

fn verify(place: &Place) -> crate::support::Ran {
    place.run(&["verify", "t.torrent", "--data", "data", "--json"])
}

#[test]
fn everything_is_good() {
    let place = place();
    let found = verify(&place).done().json();
    assert_eq!(keys(&found), ["bad_pieces", "files", "info_hash", "pieces"]);
    assert_eq!((&found["pieces"], &found["bad_pieces"]), (&json!(4), &json!([])));
    assert_eq!(found["files"][0], json!({"path": "t/a", "size": 40_000, "good": true, "problem": null}));
    let text = place.run(&["verify", "t.torrent", "--data", "data"]).done();
    assert!(text.text().ends_with("4 of 4 pieces and 3 of 3 files are good\n"), "{}", text.text());
}

#[test]
fn a_flipped_bit_is_found() {
    let place = place();
    let mut bytes = place.read("data/t/a");
    bytes[20_000] ^= 1;
    place.write("data/t/a", bytes);
    let ran = verify(&place);
    assert_eq!(ran.code, Some(1));
    let found = ran.json();
    assert_eq!(found["bad_pieces"], json!([1]));
    assert_eq!(found["files"][0]["good"], false);
    assert_eq!(found["files"][1]["good"], true);
    let text = place.run(&["verify", "t.torrent", "--data", "data"]);
    assert_eq!(text.code, Some(1));
    for part in [
        " bad    39.1 KiB  t/a: 1 of its 3 pieces are bad",
        "bad pieces: 1\n",
        "3 of 4 pieces and 2 of 3 files",
    ] {
        assert!(text.text().contains(part), "'{part}' is not in:\n{}", text.text());
    }
}

#[test]
fn missing_and_misshapen_files_are_found() {
    let place = place();
    fs::remove_file(place.path("data/t/b")).unwrap();
    fs::remove_file(place.path("data/t/c")).unwrap();
    let mut longer = place.read("data/t/a");
    longer.push(0);
    place.write("data/t/a", longer);
    let ran = verify(&place);
    assert_eq!(ran.code, Some(1));
    let files = ran.json()["files"].clone();
    assert_eq!(files[0]["problem"], "it has 40,001 bytes");
    assert_eq!(files[1]["problem"], "it is missing");
    assert_eq!(files[2]["problem"], "it is missing");
}

#[test]
fn nothing_is_there_and_nothing_is_made() {
    let place = place();
    let ran = place.run(&["verify", "t.torrent", "--data", "elsewhere", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.json()["bad_pieces"], json!([0, 1, 2, 3]));
    assert_eq!(ran.stderr, "rawtorrent: cannot read elsewhere: No such file or directory\n");
    let ran = place.run(&["verify", "t.torrent", "--data", "elsewhere"]).failed(&["cannot read elsewhere"]);
    assert_eq!(ran.text(), "");
    place.run(&["verify", "t.torrent", "--data", "t.torrent"]).failed(&["Not a directory"]);
    assert!(!place.path("elsewhere").exists());
    assert_eq!(place.names(), ["data", "t.torrent"]);
}
