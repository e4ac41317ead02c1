//! Whose turn it is, and what becomes of those that have seeded enough.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::kept::{Case, Running};
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile;
use serde_json::{Value, json};

const SMALL: Sample = Sample { name: "small", layout: &[("", 300_000)] };

/// Names and states, in order.
fn listed(running: &mut Running) -> Vec<(String, String)> {
    let listed = running.done(&json!({"do": "list"}));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let torrents = listed["torrents"].as_array().unwrap();
    torrents.iter().map(|torrent| (text(&torrent["name"]), text(&torrent["state"]))).collect()
}

fn until(running: &mut Running, wanted: &[(&str, &str)]) {
    let started = Instant::now();
    loop {
        let listed = listed(running);
        if listed.iter().map(|(name, state)| (name.as_str(), state.as_str())).eq(wanted.iter().copied()) {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{listed:?} instead of {wanted:?}");
    }
}

#[test]
fn the_order_of_the_queue_holds_and_outlives_a_kill() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "session", "max_active_downloads": 1}));
    let mut hashes = Vec::new();
    for name in ["a", "b", "c"] {
        let bytes = metafile::torrent(&Sample { name, layout: &[("", 400_000)] }, None);
        let path = home.path().join(format!("{name}.torrent"));
        fs::write(&path, &bytes).unwrap();
        running.done(&json!({"do": "add", "torrent": path, "dir": home.out()}));
        hashes.push(hex(&metafile::info_hash(&bytes).unwrap()));
    }
    let (on, off) = ("downloading", "queued");
    until(&mut running, &[("a", on), ("b", off), ("c", off)]);
    let queue = |hash: &str, to: &str| json!({"do": "queue", "info_hash": hash, "to": to});
    running.done(&queue(&hashes[2], "top"));
    until(&mut running, &[("c", on), ("a", off), ("b", off)]);
    running.done(&queue(&hashes[2], "down"));
    until(&mut running, &[("a", on), ("c", off), ("b", off)]);
    running.done(&queue(&hashes[0], "bottom"));
    until(&mut running, &[("c", on), ("b", off), ("a", off)]);
    running.done(&queue(&hashes[1], "up"));
    until(&mut running, &[("b", on), ("c", off), ("a", off)]);
    running.kill();
    let (mut running, _) = Running::start(home.path(), &[]);
    until(&mut running, &[("b", on), ("c", off), ("a", off)]);
    running.refused(&queue(&"0".repeat(40), "top"), "not_here");
    running.refused(&queue(&hashes[0], "sideways"), "order");
    running.end();
}

#[test]
fn a_link_is_waited_for_until_its_turn_comes() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "session", "max_active_downloads": 1}));
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    let hash = "7".repeat(40);
    running.done(&json!({"do": "add", "torrent": format!("magnet:?xt=urn:btih:{hash}"), "dir": home.out()}));
    until(&mut running, &[("small", "downloading"), (&hash, "queued")]);
    let order = |what: &str| json!({"id": what, "do": what, "info_hash": hash});
    for _ in 0..5 {
        running.order(&order("wait"));
        // It is answered when there is something to say, and not before.
        running.done(&json!({"do": "session"}));
        running.order(&order("pause"));
        let answers = [running.next().unwrap(), running.next().unwrap()];
        let waited = answers.iter().find(|answer| answer["id"] == "wait").unwrap();
        assert_eq!(waited["kind"], "paused", "{answers:?}");
        running.done(&order("resume"));
    }
    running.end();
}

/// A torrent that was downloaded and has reached its goal, and what is to become of it.
fn reached(action: &str) -> Case {
    let mut case = Case::downloaded(SMALL);
    case.running.until(|torrent| torrent["state"] == "seeding");
    case.done("set", json!({"idle_seconds": 0, "goal_action": action}));
    case
}

fn until_removed(case: &mut Case) {
    until(&mut case.running, &[]);
    case.kill();
    assert_eq!(listed(&mut case.running), []);
}

#[test]
fn how_long_a_torrent_was_seeded_is_counted_over_starts() {
    const GOAL: Duration = Duration::from_secs(5);
    let mut case = Case::downloaded(SMALL);
    case.done("set", json!({"seed_seconds": GOAL.as_secs()}));
    case.running.until(|torrent| torrent["state"] == "stopped");
    case.kill();
    let started = Instant::now();
    case.running.until(|torrent| torrent["state"] == "stopped");
    let took = started.elapsed();
    assert!(took < GOAL / 2, "it was seeded for {took:?} more");
    let resumed = case.done("resume", json!({}));
    let warning = "its seed goal is reached: it stops again; set another, or none, to seed it on";
    assert_eq!(resumed["warning"], warning, "{resumed}");
    case.running.until(|torrent| torrent["state"] == "stopped");
    case.done("set", json!({"seed_seconds": null, "seed_ratio": 0.5}));
    assert!(case.done("resume", json!({}))["warning"].is_null());
    case.running.until(|torrent| torrent["state"] == "seeding");
}

#[test]
fn a_torrent_is_paused_when_it_has_seeded_enough() {
    let mut case = reached("pause");
    case.running.until(|torrent| torrent["paused"] == true);
    case.kill();
    assert_eq!(case.running.torrent()["paused"], true);
    for goal in [json!({}), json!({"idle_seconds": null, "seed_ratio": 0.0})] {
        case.done("set", goal);
        let warning = case.done("resume", json!({}))["warning"].take();
        assert!(
            warning.as_str().unwrap().contains("its seed goal is reached: it is paused again"),
            "{warning}"
        );
        case.running.until(|torrent| torrent["paused"] == true);
    }
}

#[test]
fn a_torrent_is_removed_when_it_has_seeded_enough() {
    let mut case = reached("remove");
    until_removed(&mut case);
    case.home.assert_downloaded();
}

#[test]
fn a_torrent_goes_with_its_files_when_it_has_seeded_enough() {
    let mut case = reached("remove_data");
    until_removed(&mut case);
    case.home.assert_nothing_written();
}

#[test]
fn a_torrent_super_seeds_when_it_has_seeded_enough() {
    let mut case = reached("super_seed");
    let torrent = case.running.until(|torrent| torrent["super_seed"] == true);
    assert_eq!((&torrent["goal_action"], &torrent["idle_seconds"]), (&json!("super_seed"), &Value::Null));
    case.running.until(|torrent| torrent["state"] == "seeding");
    case.kill();
    case.running.until(|torrent| torrent["state"] == "seeding" && torrent["super_seed"] == true);
}

#[test]
fn other_limits_hold_at_some_hours() {
    let mut case = Case::new(Sample { name: "large", layout: &[("", 8 << 20)] });
    let hours = |days: &[&str]| json!({"max_down": 64 * 1024, "max_up": null, "days": days, "from": "12:30", "to": "12:30"});
    let always = hours(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    let told = case.running.done(&json!({"do": "session", "alternative": always}));
    assert_eq!((&told["alternative"], &told["alternative_holds"]), (&always, &json!(true)));
    for bad in ["24:00", "12:60", "1:00", "x", "-1:00"] {
        let order = json!({"do": "session", "alternative": {"days": [], "from": bad, "to": "00:00"}});
        case.running.refused(&order, "order");
    }
    case.kill();
    assert_eq!(case.running.done(&json!({"do": "session"}))["alternative"], always);
    case.add(json!({}));
    case.running.until(|torrent| torrent["done"].as_u64() > Some(0));
    assert!(case.seed.served() < 4 << 20);
    let told = case.running.done(&json!({"do": "session", "alternative": hours(&[])}));
    assert_eq!(told["alternative_holds"], false);
    case.wait();
}

#[test]
fn torrents_that_appear_in_a_watched_folder_are_added() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    let (watched, to) = (home.path().join("watched"), home.path().join("to"));
    fs::create_dir(&watched).unwrap();
    let watch =
        json!({"do": "watch", "dir": watched, "to": to, "category": "c", "tags": ["t"], "paused": true});
    let folder =
        json!([{"dir": watched, "to": to, "category": "c", "tags": ["t"], "paused": true, "error": null}]);
    assert_eq!(running.done(&watch)["watched"], folder);
    running.kill();
    let (mut running, _) = Running::start(home.path(), &[]);
    assert_eq!(running.done(&json!({"do": "watched"}))["watched"], folder);
    let bytes = fs::read(&home.torrent).unwrap();
    fs::write(watched.join("x.torrent"), &bytes[..bytes.len() / 2]).unwrap();
    let link = format!("magnet:?xt=urn:btih:{}", "7".repeat(40));
    fs::write(watched.join("y.magnet"), &link).unwrap();
    let name = "7".repeat(40);
    until(&mut running, &[(&name, "")]);
    fs::write(watched.join("x.torrent"), &bytes).unwrap();
    until(&mut running, &[(&name, ""), ("small", "")]);
    let torrents = running.done(&json!({"do": "list"}));
    let small = &torrents["torrents"][1];
    assert_eq!((&small["dir"], &small["category"], &small["tags"]), (&json!(to), &json!("c"), &json!(["t"])));
    let started = Instant::now();
    while !watched.join("x.torrent.added").exists() || watched.join("x.torrent").exists() {
        assert!(started.elapsed() < LIMIT);
        listed(&mut running);
    }
    assert!(watched.join("y.magnet.added").exists());
    assert_eq!(running.done(&json!({"do": "unwatch", "dir": watched}))["watched"], json!([]));
    running.refused(&json!({"do": "watch", "dir": watched, "category": ""}), "refused");
    running.end();
}
