//! A torrent whose files were there and are gone, whatever is known of its pieces: it waits for them, and nothing is fetched
//! again or written where they are missing.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::kept::{Case, Running};
use common::{Home, run, with_mount};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::Sample;
use serde_json::{Value, json};

const TWO: Sample = Sample { name: "one", layout: &[("a", 300_000), ("b", 50_000)] };

fn is_away(torrent: &Value) -> bool {
    torrent["state"] == "unavailable"
}

fn is_there(torrent: &Value) -> bool {
    torrent["state"] == "seeding" && torrent["done"] == torrent["total"]
}

/// Takes the whole folder of downloads away; whence it is brought back.
fn take_away(home: &Home) -> PathBuf {
    let away = home.path().join("away");
    fs::rename(home.out(), &away).unwrap();
    away
}

/// So slowly that there is time to take it away.
fn slow(home: Home) -> Case {
    let seed = home.fake_seed();
    let (running, _) = Running::start(home.path(), &["--peer", &seed.addr.to_string()]);
    let mut case = Case { home, seed, running };
    case.add(json!({"max_down": 20_000}));
    let begun = |torrent: &Value| torrent["done"].as_u64() > Some(0);
    let first = case.running.until(begun)["done"].as_u64().unwrap();
    // That is written down a second later, or some on a busy machine.
    case.running.until(|torrent| torrent["done"].as_u64() >= Some(first + 160_000));
    case
}

#[test]
fn a_download_waits_for_a_folder_that_goes_away() {
    let mut case = slow(Home::new(TWO));
    let away = take_away(&case.home);
    case.running.until(is_away);
    // However often it is tried again, nothing changes.
    for _ in 0..3 {
        case.done("resume", json!({}));
        case.running.until(is_away);
        assert!(!case.home.out().exists());
    }
    fs::rename(away, case.home.out()).unwrap();
    case.done("set", json!({"max_down": null}));
    case.running.until(is_there);
}

#[test]
fn a_download_that_was_killed_waits_for_its_folder() {
    let mut case = slow(Home::new(TWO));
    case.running.strike();
    let away = take_away(&case.home);
    let told = run(binary::command(case.home.path()).arg("doctor"));
    assert!(told.stdout.contains("is not there: it is unavailable"), "{}", told.stdout);
    let peer = case.seed.addr.to_string();
    (case.running, _) = Running::start(case.home.path(), &["--peer", &peer]);
    case.running.until(is_away);
    assert!(!case.home.out().exists());
    fs::rename(away, case.home.out()).unwrap();
    case.done("set", json!({"max_down": null}));
    case.running.until(is_there);
}

#[test]
fn what_is_to_be_checked_again_is_waited_for() {
    let mut case = Case::downloaded(TWO);
    let served = case.seed.served();
    for kills in [false, true] {
        case.done("pause", json!({}));
        case.done("recheck", json!({}));
        let away = take_away(&case.home);
        if kills {
            case.kill();
        }
        case.done("resume", json!({}));
        case.running.until(is_away);
        assert!(!case.home.out().exists());
        fs::rename(away, case.home.out()).unwrap();
        case.running.until(is_there);
        assert_eq!(case.seed.served(), served, "nothing came again");
    }
}

#[test]
fn a_session_that_was_killed_is_told_elsewhere_with_its_files() {
    let mut case = Case::downloaded(TWO);
    let served = case.seed.served();
    case.running.strike();
    let away = take_away(&case.home);
    let (file, other) = (case.home.path().join("exported"), case.home.path().join("elsewhere"));
    for (order, options) in [("export", &[][..]), ("import", &["--state-dir", other.to_str().unwrap()])] {
        let done = run(binary::command(case.home.path()).arg(order).arg(&file).args(options));
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
    }
    let peer = case.seed.addr.to_string();
    let options = ["--state-dir", other.to_str().unwrap(), "--peer", &peer];
    (case.running, _) = Running::start(case.home.path(), &options);
    case.running.until(is_away);
    assert!(!case.home.out().exists());
    fs::rename(away, case.home.out()).unwrap();
    case.running.until(is_there);
    assert_eq!(case.seed.served(), served, "nothing came again");
}

/// A session beside a disk that is mounted where the torrent's own folder is, or is to be.
fn begin(home: &Home, mounted: bool) -> Running {
    let disk = home.path().join("disk");
    fs::create_dir_all(&disk).unwrap();
    fs::create_dir_all(home.downloaded()).unwrap();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    let mount = format!("mount --bind '{}' '{}'", disk.display(), home.downloaded().display());
    let mount = if mounted { mount } else { "true".to_owned() };
    Running::begin(&mut with_mount(&mount, &command)).0
}

#[test]
fn nothing_is_written_where_the_disk_of_its_own_folder_is_missing() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let running = begin(&home, true);
    let mut case = Case { home, seed, running };
    // Nothing comes of it yet.
    case.add(json!({"paused": true, "peers": [case.seed.addr]}));
    case.running.strike();
    case.running = begin(&case.home, false);
    case.done("resume", json!({}));
    case.running.until(is_away);
    let remove = case.order("remove", json!({"data": true}));
    case.running.refused(&remove, "unavailable");
    assert_eq!(fs::read_dir(case.home.downloaded()).unwrap().count(), 0);
    case.running.strike();
    let told = run(binary::command(case.home.path()).arg("doctor"));
    let mount = format!("no disk is mounted at {}", case.home.downloaded().display());
    assert!(told.stdout.contains(&mount), "{}", told.stdout);
    case.running = begin(&case.home, true);
    case.running.until(is_there);
    assert_eq!(fs::read_dir(case.home.path().join("disk")).unwrap().count(), 2);
}
