//! `create`, and `show` as its mirror.

use crate::support::{Place, keys, noise};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::{fs, path::Path};

#[test]
fn one_file() {
    let place = Place::new();
    place.write("a b.bin", noise(40_000));
    let ran = place.run(&["create", "a b.bin", "--piece-length", "16KiB"]).done();
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.contains("1 file, 39.1 KiB, 3 pieces of 16.0 KiB"), "{}", ran.stderr);

    let shown = place.show("a b.bin.torrent");
    assert_eq!(
        keys(&shown),
        [
            "comment",
            "created_by",
            "creation_date",
            "dht_nodes",
            "files",
            "info_hash_v1",
            "info_hash_v2",
            "name",
            "piece_length",
            "pieces",
            "private",
            "total_size",
            "trackers",
            "version",
            "web_seeds"
        ]
    );
    assert_eq!(shown["name"], "a b.bin");
    assert_eq!(shown["info_hash_v1"].as_str().unwrap().len(), 40);
    assert!(shown["info_hash_v2"].is_null() && shown["comment"].is_null());
    assert_eq!(shown["version"], "v1");
    assert_eq!(
        (&shown["total_size"], &shown["piece_length"], &shown["pieces"]),
        (&json!(40_000), &json!(16_384), &json!(3))
    );
    assert_eq!(shown["files"], json!([{"path": "a b.bin", "size": 40_000}]));
    assert_eq!(
        (&shown["private"], &shown["trackers"], &shown["web_seeds"]),
        (&json!(false), &json!([]), &json!([]))
    );
    assert!(shown["created_by"].as_str().unwrap().starts_with("rawtorrent "));
    assert!(shown["creation_date"].as_i64().unwrap() > 1_700_000_000);
}

#[test]
fn a_folder_with_all_that_can_be_said() {
    let place = Place::new();
    place.write("böx/b/two", noise(20_000));
    place.write("böx/a", "one");
    place.write("böx/b/empty", "");
    let args =
        ["-a", "http://t1.example/announce", "-a", "udp://t2.example:80", "--private", "--comment", "süß"];
    let more = ["--web-seed", "https://w.example/", "-o", "x.torrent"];
    place.run(&[&["create", "böx"][..], &args, &more].concat()).done();

    let shown = place.show("x.torrent");
    let files = json!([
        {"path": "böx/a", "size": 3}, {"path": "böx/b/empty", "size": 0}, {"path": "böx/b/two", "size": 20_000}
    ]);
    assert_eq!((&shown["name"], &shown["files"]), (&json!("böx"), &files));
    assert_eq!(shown["trackers"], json!([["http://t1.example/announce"], ["udp://t2.example:80"]]));
    assert_eq!((&shown["private"], &shown["comment"]), (&json!(true), &json!("süß")));
    assert_eq!(shown["web_seeds"], json!(["https://w.example/"]));

    let text = place.run(&["show", "x.torrent"]).done();
    for part in [
        "name        böx",
        "info hash   ",
        "private     yes",
        "udp://t2.example:80",
        "   2    19.5 KiB  böx/b/two",
    ] {
        assert!(text.text().contains(part), "'{part}' is not in:\n{}", text.text());
    }
}

#[test]
fn the_same_twice_and_on_stdout() {
    let place = Place::new();
    place.write("dir/x", noise(100_000));
    place.write("dir/y", noise(5));
    let create = |output: &str| {
        let mut command = place.command(&["create", "dir", "-o", output]);
        crate::support::Ran::from(command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap()).done()
    };
    create("1.torrent");
    create("2.torrent");
    let printed = create("-").stdout;
    assert_eq!(place.read("1.torrent"), place.read("2.torrent"));
    assert_eq!(place.read("1.torrent"), printed);
    assert_eq!(place.show("1.torrent")["creation_date"], 1_700_000_000);
    assert!(!place.path("-").exists());

    let bad_date = place.command(&["create", "dir"]).env("SOURCE_DATE_EPOCH", "soon").output().unwrap();
    crate::support::Ran::from(bad_date).failed(&["SOURCE_DATE_EPOCH", "soon"]);
}

#[test]
fn a_path_that_ends_in_dots_or_a_slash() {
    let place = Place::new();
    place.write("dir/sub/x", "x");
    place.run(&["create", "dir/sub/..", "-o", "1.torrent"]).done();
    place.run(&["create", "dir/", "-o", "2.torrent"]).done();
    assert_eq!(place.show("1.torrent")["name"], "dir");
    assert_eq!(place.show("2.torrent")["files"], json!([{"path": "dir/sub/x", "size": 1}]));
}

#[test]
fn piece_length_is_chosen_or_given() {
    let place = Place::new();
    place.write("x", noise(70_000));
    place.run(&["create", "x", "-o", "chosen.torrent"]).done();
    place.run(&["create", "x", "-o", "given.torrent", "--piece-length", "65536"]).done();
    assert_eq!(place.show("chosen.torrent")["piece_length"], 16_384);
    assert_eq!(place.show("given.torrent")["piece_length"], 65_536);
    for wrong in ["0", "1", "8KiB", "100000", "256K", "1GiB"] {
        let ran = place.run(&["create", "x", "--piece-length", wrong]);
        assert_eq!(ran.code, Some(2), "{wrong}: {}", ran.stderr);
    }
}

#[test]
fn what_makes_no_torrent_is_said_and_leaves_nothing() {
    let place = Place::new();
    place.write("empty", "");
    fs::create_dir_all(place.path("void/deeper")).unwrap();
    place.write("zeros/a", "");
    let before = place.names();
    place.run(&["create", "missing"]).failed(&["missing"]);
    place.run(&["create", "empty"]).failed(&["empty", "no bytes"]);
    place.run(&["create", "void"]).failed(&["void", "no bytes"]);
    place.run(&["create", "zeros"]).failed(&["zeros", "no bytes"]);
    place.run(&["create", "/dev/null", "-o", "n.torrent"]).failed(&["/dev/null"]);
    assert_eq!(place.names(), before);
}

#[test]
fn symlinks_are_left_out_and_told() {
    let place = Place::new();
    place.write("dir/x", "x");
    symlink("x", place.path("dir/link")).unwrap();
    let ran = place.run(&["create", "dir"]).done();
    assert!(ran.stderr.contains("symbolic link") && ran.stderr.contains("dir/link"), "{}", ran.stderr);
    assert_eq!(place.show("dir.torrent")["files"], json!([{"path": "dir/x", "size": 1}]));
}

#[test]
fn only_a_torrent_is_replaced() {
    let place = Place::new();
    place.write("x", "one");
    place.write("notes.txt", "important");
    place.run(&["create", "x"]).done();
    place.write("x", "other");
    place.run(&["create", "x"]).done();
    assert_eq!(place.show("x.torrent")["total_size"], 5);
    place.run(&["create", "x", "-o", "notes.txt"]).failed(&["notes.txt", "not a torrent", "-o"]);
    place.run(&["create", "x", "-o", "x"]).failed(&["part of what is shared"]);
    place.run(&["create", "x", "-o", "no/where.torrent"]).failed(&["no/where.torrent"]);
    place.run(&["create", "x", "-o", "."]).failed(&["folder"]);
    assert_eq!(place.names(), ["notes.txt", "x", "x.torrent"]);
    assert_eq!(place.read("notes.txt"), b"important");
}

#[test]
fn a_torrent_is_not_written_into_its_own_content() {
    let place = Place::new();
    place.write("dir/x", "x");
    place.run(&["create", "dir", "-o", "dir/t.torrent"]).failed(&["part of what is shared", "-o"]);
    let mut inside = place.command(&["create", "."]);
    let ran = crate::support::Ran::from(inside.current_dir(place.path("dir")).output().unwrap());
    ran.failed(&["part of what is shared", "-o"]);
    assert!(!place.path("dir/dir.torrent").exists());
}

#[test]
fn a_device_is_written_to_not_replaced() {
    let place = Place::new();
    place.write("x", "x");
    place.run(&["create", "x", "-o", "/dev/null"]).done();
    assert!(!Path::new("/dev/null").is_file());
    place.run(&["create", "x", "-o", "/dev/full"]).failed(&["/dev/full", "No space left"]);
}
