//! Two of us on 127.0.0.1, and `demo`.

use crate::seeder::{LOOPBACK, Seeder, kill};
use crate::support::{Place, Ran, noise, same};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn place() -> Place {
    let place = Place::new();
    place.write("t/a", noise(300_000));
    place.write("t/b/c", noise(20_000));
    place.write("t/d", "");
    place.torrent("t");
    place
}

fn events<'a>(all: &'a [Value], name: &str) -> Vec<&'a Value> {
    all.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_torrent_arrives_and_the_seeder_ends_well() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &["--json"]);
    let info_hash = place.show("t.torrent")["info_hash_v1"].clone();
    let args =
        [&["download", "t.torrent", "-o", "got", "--json", "--peer", &seeder.addr][..], &LOOPBACK].concat();
    let ran = place.run(&args).done();
    assert!(same(&place.path("t"), &place.path("got/t")));

    let all = ran.json_lines();
    let finished = events(&all, "finished");
    assert_eq!(finished.len(), 1);
    assert_eq!(all.last(), Some(finished[0]));
    assert_eq!((&finished[0]["info_hash"], &finished[0]["bytes"]), (&info_hash, &json!(320_000)));
    assert_eq!(finished[0]["path"], "got/t");
    assert!(finished[0]["seconds"].is_number());
    let last = events(&all, "progress").pop().unwrap();
    assert_eq!(
        (&last["done"], &last["total"], &last["info_hash"]),
        (&json!(320_000), &json!(320_000), &info_hash)
    );
    assert!(last["rate_down"].is_u64() && last["rate_up"].is_u64() && last["peers"].is_u64());

    let ran = seeder.stop("-INT");
    assert_eq!(ran.code, Some(0));
    assert_eq!(events(&ran.json_lines(), "finished").len(), 1, "{}", ran.text());
}

#[test]
fn only_what_is_selected_arrives() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let args = ["download", "t.torrent", "-o", "got", "--select", "c", "--peer", &seeder.addr];
    place.run(&[&args[..], &LOOPBACK].concat()).done();
    assert!(same(&place.path("t/b/c"), &place.path("got/t/b/c")));
    assert!(!place.path("got/t/a").exists());
}

#[test]
fn a_failing_source_does_not_stop_the_others() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let args = ["download", "missing.torrent", "t.torrent", "t.torrent", "-o", "got", "--peer", &seeder.addr];
    let ran = place.run(&[&args[..], &LOOPBACK].concat()).failed(&["missing.torrent"]);
    assert!(same(&place.path("t"), &place.path("got/t")));
    assert!(ran.stderr.contains("given more than once"), "{}", ran.stderr);
}

#[test]
fn an_interrupt_before_the_end_is_130() {
    let place = place();
    for signal in ["INT", "TERM"] {
        let args = [&["download", "t.torrent", "-o", signal, "--json"][..], &LOOPBACK].concat();
        let mut child = place.command(&args).stderr(Stdio::null()).spawn().unwrap();
        // It listens for signals before it says anything.
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains("progress"), "{first}");
        kill(&child, &format!("-{signal}"));
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
    }
}

#[test]
fn seeding_after_completion_ends_with_its_goal() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let args = ["download", "t.torrent", "-o", "got", "--seed-time", "1s", "--peer", &seeder.addr];
    place.run(&[&args[..], &LOOPBACK].concat()).done();
    assert!(same(&place.path("t"), &place.path("got/t")));
}

#[test]
fn a_part_can_be_seeded() {
    let place = place();
    std::fs::remove_file(place.path("t/b/c")).unwrap();
    let args = [&["seed", "t.torrent", "--data", ".", "--json"][..], &LOOPBACK].concat();
    let mut child = place.command(&args).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = told.into_iter().find(|line| line.contains("incomplete")).unwrap();
    assert_eq!(line, "t: incomplete, seeding the 18 of 20 pieces that are good");
    kill(&child, "-TERM");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0));
    let all = ran.json_lines();
    assert!(events(&all, "finished").is_empty());
    let last = events(&all, "progress").pop().unwrap();
    assert_eq!((&last["done"], &last["total"]), (&json!(18 * 16384), &json!(320_000)));
}

#[test]
fn what_is_finished_here_is_called_by_its_name() {
    let place = place();
    let args = [&["seed", "t.torrent", "--data", ".", "--json", "--seed-time", "0s"][..], &LOOPBACK].concat();
    let all = place.run(&args).done().json_lines();
    assert_eq!(events(&all, "finished")[0]["path"], "t");
}

#[test]
fn several_files_can_be_selected_by_the_environment() {
    let place = place();
    let list = |select: &str, args: &[&str]| {
        let seeder = Seeder::start(&place, "t.torrent", &[]);
        let more = [args, &["--peer", &seeder.addr], &LOOPBACK[..]].concat();
        let ran = Ran::from(place.command(&more).env("RAWTORRENT_SELECT", select).output().unwrap());
        ran.done();
    };
    list("1\nd", &["download", "t.torrent", "-o", "got"]);
    assert!(same(&place.path("t/b/c"), &place.path("got/t/b/c")) && place.path("got/t/d").exists());
    assert!(!place.path("got/t/a").exists());
}

#[test]
fn trackers_of_no_use_are_told() {
    let place = place();
    let announce = "ws://a.example:80/ http://127.0.0.1:9/x";
    let create = ["create", "t", "-a", announce, "-o", "u.torrent"];
    place.run(&create).done();
    let args = ["download", "u.torrent", "-o", "got", "--listen", "127.0.0.1:0"];
    let mut child = place.command(&args).spawn().unwrap();
    let told = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = Vec::new();
    for line in told {
        let is_last = line.contains("no usable trackers");
        lines.push(line);
        if is_last {
            kill(&child, "-TERM");
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for part in [
        "tracker 1 of tier 1 cannot be used: ws trackers are not supported",
        "tracker 1 of tier 2 cannot be used: a tracker at a private address must",
        "t: no usable trackers, no --peer: waiting for peers to connect",
    ] {
        assert_eq!(lines.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {lines:#?}");
    }
    let at = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
    assert!(at("stopping; press Ctrl-C again") < at("interrupted at 0.0%"), "{lines:#?}");
}

#[test]
fn nothing_to_seed_is_told() {
    let place = place();
    let args = [&["seed", "t.torrent", "--data", "elsewhere"][..], &LOOPBACK].concat();
    place.run(&args).failed(&["elsewhere"]);
}

#[test]
fn a_foreign_file_is_left_alone_unless_told() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    place.write("got/t/a", "mine");
    let args = [&["download", "t.torrent", "-o", "got", "--peer", &seeder.addr][..], &LOOPBACK].concat();
    place.run(&args).failed(&["t: got/t/a exists", "--overwrite"]);
    assert_eq!(place.read("got/t/a"), b"mine");
    assert!(!place.path("got/t/b").exists());
    place.run(&[&args[..], &["--overwrite"]].concat()).done();
    assert!(same(&place.path("t"), &place.path("got/t")));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let place = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    place.run(&["download", "t.torrent", "--listen", &addr]).failed(&["cannot listen", &addr, "--listen"]);
}

#[test]
fn the_demo_shows_and_proves_it() {
    let place = Place::new();
    let scratch = place.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let ran = Ran::from(place.command(&["demo"]).env("TMPDIR", &scratch).output().unwrap()).done();
    for part in ["handshake", "bitfield", "unchoke", "choke", "request", "verified", "every byte is the same"]
    {
        assert!(ran.text().contains(part), "'{part}' is not in:\n{}", ran.text());
    }
    assert!(!ran.text().contains('\x1b'));
    let longest = ran.text().lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 80, "{longest}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    assert!(place.names() == ["scratch"], "{:?}", place.names());
}
