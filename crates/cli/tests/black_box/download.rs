//! `download` up to the network: lists and selections.

use crate::support::{Place, noise};
use serde_json::json;

fn place() -> Place {
    let place = Place::new();
    place.write("t/a.iso", noise(20_000));
    place.write("t/b/c.txt", "c");
    place.torrent("t");
    place
}

#[test]
fn lists_what_show_shows() {
    let place = place();
    let listed = place.run(&["download", "--list", "t.torrent"]).done();
    assert_eq!(listed.text(), "t\n   0    19.5 KiB  t/a.iso\n   1         1 B  t/b/c.txt\n");
    let json = place.run(&["download", "--list", "--json", "t.torrent"]).done().json();
    assert_eq!(json, place.show("t.torrent"));
}

#[test]
fn one_bad_source_does_not_hide_the_others() {
    let place = place();
    let ran = place.run(&["download", "--list", "missing.torrent", "t.torrent"]).failed(&["missing.torrent"]);
    assert!(ran.text().contains("t/a.iso"));
}

#[test]
fn a_selection_of_nothing_is_told() {
    let place = place();
    let select =
        |what| place.run(&["download", "t.torrent", "--listen", "127.0.0.1:0", "--json", "--select", what]);
    let ran = select("2").failed(&["t: there is no file 2", "--list"]);
    assert_eq!(ran.json()["kind"], json!("selection"));
    assert_eq!(ran.json()["info_hash"], place.show("t.torrent")["info_hash_v1"]);
    select("*.mkv").failed(&["no file matches '*.mkv'"]);
}
