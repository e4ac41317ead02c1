//! Orders to a session, from outside: each does what it says, and what was acknowledged outlives a kill.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::kept::{Case, Running};
use common::{Home, LIMIT};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile;
use rawtorrent_tests::tracker::{Answer, Server};
use serde_json::{Value, json};

const SMALL: Sample = Sample { name: "small", layout: &[("", 300_000)] };
/// At [`SLOW`] it takes longer than any test waits.
const LARGE: Sample = Sample { name: "large", layout: &[("", 8 << 20)] };
const SLOW: u64 = 64 * 1024;

#[test]
fn a_torrent_is_removed_and_its_files_stay() {
    let mut case = Case::downloaded(Sample::MULTI);
    case.done("remove", json!({}));
    case.home.assert_downloaded();
    case.kill();
    assert_eq!(case.running.done(&json!({"do": "list"}))["torrents"], json!([]));
}

#[test]
fn orders_about_one_torrent_are_carried_out_as_they_were_given() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    let hash = hex(&home.info_hash);
    let mut given = Vec::new();
    let mut order = |order: Value| {
        let mut order = order;
        order["id"] = given.len().into();
        running.order(&order);
        given.push(order);
    };
    for round in 0..20 {
        order(json!({"do": "add", "torrent": home.torrent, "dir": home.out(), "paused": true}));
        for what in ["resume", "pause", "resume", "pause", "resume", "reannounce"] {
            order(json!({"do": what, "info_hash": hash}));
        }
        order(json!({"do": "set", "info_hash": hash, "tags": [round.to_string()]}));
        if round < 19 {
            order(json!({"do": "remove", "info_hash": hash}));
        }
    }
    for (id, order) in given.iter().enumerate() {
        let answer = running.next().unwrap();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(id), &json!(true)), "{answer}: {order}");
    }
    let torrent = running.torrent();
    assert_eq!((&torrent["paused"], &torrent["tags"]), (&json!(false), &json!(["19"])));
    running.end();
}

#[test]
fn no_limit_is_zero() {
    let mut case = Case::new(SMALL);
    let add = json!({"do": "add", "torrent": case.home.torrent, "dir": case.home.out(), "max_up": 0});
    case.running.refused(&add, "refused");
    case.add(json!({"paused": true}));
    for limit in ["max_down", "max_up"] {
        let order = case.order("set", json!({limit: 0}));
        case.running.refused(&order, "refused");
    }
    for limit in ["max_down", "max_up", "max_active", "max_active_downloads", "max_active_seeds"] {
        case.running.refused(&json!({"do": "session", limit: 0}), "refused");
    }
    let hours = json!({"do": "session", "alternative": {"max_up": 0, "from": "22:00", "to": "06:00"}});
    case.running.refused(&hours, "refused");
    case.done("set", json!({"max_down": 1, "max_up": null}));
}

#[test]
fn with_its_data_only_the_files_of_the_torrent_go() {
    let mut case = Case::downloaded(Sample::MULTI);
    let foreign = case.home.downloaded().join("nested/deep/mine.txt");
    fs::write(&foreign, "not the torrent's").unwrap();
    let link = case.home.downloaded().join("nested/link");
    std::os::unix::fs::symlink(&case.home.torrent, &link).unwrap();
    case.done("remove", json!({"data": true}));
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "not the torrent's");
    assert!(link.is_symlink() && case.home.torrent.exists());
    for gone in ["nested/deep/deeper", "nested/one.byte", "small 1.bin", "empty.txt", "zz last.bin"] {
        assert!(!case.home.downloaded().join(gone).exists(), "{gone}");
    }
}

#[test]
fn nothing_is_left_of_a_torrent_that_was_removed_with_its_data() {
    let mut case = Case::downloaded(Sample::MULTI);
    case.done("remove", json!({"data": true}));
    case.home.assert_nothing_written();
    // It comes again as if it had never been there.
    case.add(json!({}));
    case.wait();
    case.home.assert_downloaded();
}

/// Removed when it has begun, and no piece of it is whole.
fn left() -> Case {
    let mut case = Case::new(LARGE);
    case.add(json!({"max_down": 16_384}));
    let last = case.running.until(|torrent| torrent["downloaded"].as_u64() > Some(0));
    assert_eq!(last["done"], 0);
    case.done("remove", json!({}));
    assert!(case.home.downloaded().exists());
    case
}

#[test]
fn a_torrent_that_comes_again_goes_on_with_the_files_that_it_left() {
    let mut case = left();
    case.kill();
    case.add(json!({}));
    case.wait();
    case.home.assert_downloaded();
}

#[test]
fn what_is_called_otherwise_is_found_when_it_comes_again() {
    let mut case = Case::new(LARGE);
    case.running.done(&json!({"do": "session", "part_suffix": true}));
    case.add(json!({"max_down": SLOW}));
    let begun = |torrent: &Value| torrent["done"].as_u64() > Some(0);
    case.running.until(begun);
    case.done("pause", json!({}));
    case.done("remove", json!({}));
    let part = case.home.out().join("large.part");
    assert!(part.exists());
    case.kill();
    case.running.done(&json!({"do": "session", "part_suffix": false}));
    case.add(json!({}));
    case.running.until(|torrent| torrent["state"] == "seeding" && !part.exists());
    case.home.assert_downloaded();
}

#[test]
fn what_took_the_place_of_files_that_a_torrent_left_does_not_go_with_it() {
    let mut case = left();
    case.add(json!({"paused": true}));
    let there = case.home.downloaded();
    fs::rename(&there, case.home.out().join("own")).unwrap();
    fs::write(&there, "somebody else's").unwrap();
    let answer = case.done("remove", json!({"data": true}));
    assert_eq!(answer["stayed"], json!([there]), "{answer}");
    assert_eq!(fs::read_to_string(&there).unwrap(), "somebody else's");
}

#[test]
fn files_that_were_changed_since_a_torrent_left_are_not_its_own() {
    let mut case = left();
    fs::write(case.home.downloaded(), "somebody else's").unwrap();
    case.add(json!({}));
    let failed = case.running.until(|torrent| torrent["state"] == "failed");
    assert!(failed["error"].to_string().contains("exists and is not known to be this torrent's"), "{failed}");
    assert_eq!(fs::read_to_string(case.home.downloaded()).unwrap(), "somebody else's");
}

#[test]
fn files_that_stood_there_before_do_not_go_with_a_torrent() {
    let mut case = Case::new(SMALL);
    fs::write(case.home.downloaded(), "somebody else's").unwrap();
    case.add(json!({"paused": true}));
    case.done("remove", json!({"data": true}));
    assert_eq!(fs::read_to_string(case.home.downloaded()).unwrap(), "somebody else's");
}

#[test]
fn a_recheck_finds_what_was_spoiled() {
    let mut case = Case::downloaded(SMALL);
    let before = case.seed.served();
    let mut bytes = fs::read(case.home.downloaded()).unwrap();
    bytes[70_000] ^= 1;
    fs::write(case.home.downloaded(), bytes).unwrap();
    case.done("recheck", json!({}));
    case.wait();
    case.home.assert_downloaded();
    let again = case.seed.served() - before;
    assert!(again > 0 && again <= 2 * metafile::PIECE_LEN, "{again} bytes were fetched again");
}

#[test]
fn a_recheck_of_what_is_good_fetches_nothing() {
    let mut case = Case::downloaded(SMALL);
    let before = case.seed.served();
    case.done("recheck", json!({}));
    case.wait();
    assert_eq!(case.seed.served(), before);
    assert_eq!(case.running.torrent()["done"], 300_000);
}

#[test]
fn a_recheck_outlives_a_kill() {
    let mut case = Case::downloaded(SMALL);
    case.done("pause", json!({}));
    case.done("recheck", json!({}));
    // Nothing about the file tells of it.
    let changed = fs::metadata(case.home.downloaded()).unwrap().modified().unwrap();
    let mut bytes = fs::read(case.home.downloaded()).unwrap();
    bytes[1] ^= 1;
    fs::write(case.home.downloaded(), bytes).unwrap();
    fs::File::options().write(true).open(case.home.downloaded()).unwrap().set_modified(changed).unwrap();
    case.kill();
    case.done("resume", json!({}));
    case.wait();
    case.home.assert_downloaded();
}

#[test]
fn files_that_are_skipped_are_not_there_until_they_are_wanted() {
    let mut case = Case::new(Sample::MULTI);
    let mut priorities = vec!["skip"; Sample::MULTI.layout.len()];
    priorities[1] = "high";
    case.add(json!({"priorities": priorities}));
    case.wait();
    let last = case.home.downloaded().join("zz last.bin");
    assert!(!last.exists() && case.home.downloaded().join("nested/deep/deeper/odd.bin").exists());
    case.done("set", json!({"priorities": vec!["normal"; priorities.len()]}));
    case.wait();
    case.home.assert_downloaded();
}

#[test]
fn no_file_at_all_is_refused() {
    let mut case = Case::new(SMALL);
    case.add(json!({"paused": true}));
    let none = case.order("set", json!({"priorities": ["skip"]}));
    case.running.refused(&none, "nothing_selected");
    let many = case.order("set", json!({"priorities": ["low", "high"]}));
    case.running.refused(&many, "refused");
    assert_eq!(case.running.torrent()["priorities"], json!([]));
}

#[test]
fn there_are_as_many_priorities_as_files() {
    let mut case = Case::new(Sample::MULTI);
    let files = Sample::MULTI.layout.len();
    for given in [1, files - 1, files + 1] {
        let priorities = json!({"priorities": vec!["high"; given]});
        let mut add = json!({"do": "add", "torrent": case.home.torrent, "dir": case.home.out()});
        add["priorities"] = priorities["priorities"].clone();
        case.running.refused(&add, "refused");
        case.add(json!({"paused": true}));
        let set = case.order("set", priorities);
        case.running.refused(&set, "refused");
        case.done("remove", json!({}));
    }
}

#[test]
fn a_pipe_is_no_torrent_and_holds_up_nobody() {
    let mut case = Case::new(SMALL);
    let pipe = case.home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for other in [&pipe, &PathBuf::from("/dev/zero"), &case.home.out().join("..")] {
        case.running.refused(&json!({"do": "add", "torrent": other, "dir": case.home.out()}), "source");
    }
    case.add(json!({}));
    case.wait();
}

#[test]
fn pieces_come_in_order_if_that_is_wanted() {
    let mut case = Case::new(Sample::SINGLE);
    case.add(json!({"paused": true}));
    case.done("set", json!({"sequential": true}));
    case.done("resume", json!({}));
    case.wait();
    let pieces: Vec<u32> = case.seed.requests().into_iter().map(|(piece, _)| piece).collect();
    let out_of_order = pieces.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(out_of_order, 0, "{pieces:?}");
}

#[test]
fn a_limit_of_a_torrent_holds_until_it_is_lifted() {
    let mut case = Case::new(LARGE);
    case.add(json!({"max_down": SLOW}));
    case.running.until(|torrent| torrent["done"].as_u64() > Some(0));
    let served = case.seed.served();
    assert!(served < LARGE.len() / 2, "{served}");
    case.done("set", json!({"max_down": null}));
    let started = Instant::now();
    case.wait();
    assert!(started.elapsed() < LIMIT / 2);
    case.home.assert_downloaded();
}

#[test]
fn a_limit_of_all_torrents_holds_until_it_is_lifted() {
    let mut case = Case::new(LARGE);
    assert_eq!(case.running.done(&json!({"do": "session", "max_down": SLOW}))["max_down"], SLOW);
    case.add(json!({}));
    case.running.until(|torrent| torrent["done"].as_u64() > Some(0));
    assert!(case.seed.served() < LARGE.len() / 2);
    case.running.done(&json!({"do": "session", "max_down": null}));
    case.wait();
    case.home.assert_downloaded();
}

#[test]
fn what_all_share_outlives_a_kill() {
    let mut case = Case::new(SMALL);
    let order = json!({"do": "session", "max_up": 5_000, "max_active": 3, "max_active_downloads": 2});
    case.running.done(&order);
    case.kill();
    let shared = case.running.done(&json!({"do": "session"}));
    let told = ["max_up", "max_active", "max_active_downloads", "max_down"].map(|name| shared[name].clone());
    assert_eq!(told, [json!(5_000), json!(3), json!(2), Value::Null]);
}

#[test]
fn choices_and_labels_outlive_a_kill() {
    let mut case = Case::new(SMALL);
    case.add(json!({"paused": true, "category": "first"}));
    let choices = json!({
        "priorities": ["high"], "sequential": true, "max_down": 1_000_000, "max_up": 2_000_000, "seed_ratio": 1.5,
        "seed_seconds": 7, "idle_seconds": 8, "category": "films", "tags": ["b", "a ü"],
    });
    case.done("set", choices.clone());
    case.kill();
    let torrent = case.running.torrent();
    for (name, value) in choices.as_object().unwrap() {
        let value = if name == "tags" { &json!(["a ü", "b"]) } else { value };
        assert_eq!(&torrent[name], value, "{name}");
    }
    case.done("set", json!({"category": null, "seed_ratio": null, "tags": []}));
    case.kill();
    let torrent = case.running.torrent();
    assert_eq!((&torrent["category"], &torrent["seed_ratio"]), (&Value::Null, &Value::Null));
    assert_eq!((&torrent["tags"], &torrent["max_down"]), (&json!([]), &json!(1_000_000)));
}

#[test]
fn labels_that_make_no_sense_are_refused() {
    let mut case = Case::new(SMALL);
    case.add(json!({"paused": true}));
    for more in [json!({"category": ""}), json!({"tags": ["x".repeat(256)]}), json!({"seed_ratio": -1.0})] {
        let order = case.order("set", more);
        case.running.refused(&order, "refused");
    }
    let unknown = case.order("set", json!({"color": "red"}));
    let told = case.running.ask(&unknown)["error"].take();
    let told = told.as_str().unwrap();
    assert!(told.contains("unknown field `color`") && told.contains("expected one of `peers`, `"), "{told}");
}

#[test]
fn a_seed_goal_that_is_reached_stops_a_torrent() {
    let mut case = Case::downloaded(SMALL);
    case.running.until(|torrent| torrent["state"] == "seeding");
    case.done("set", json!({"idle_seconds": 0}));
    case.running.until(|torrent| torrent["state"] == "stopped");
}

#[test]
fn as_many_downloads_run_as_may() {
    let mut case = Case::new(LARGE);
    case.running.done(&json!({"do": "session", "max_active_downloads": 1, "max_down": SLOW}));
    case.add(json!({}));
    let other = case.home.path().join("other.torrent");
    fs::write(&other, metafile::torrent(&Sample { name: "other", layout: &[("", 400_000)] }, None)).unwrap();
    case.running.done(&json!({"do": "add", "torrent": other, "dir": case.home.out()}));
    let mut until = |order: Value, wanted: [&str; 2]| {
        case.running.done(&order);
        let started = Instant::now();
        loop {
            let listed = case.running.done(&json!({"do": "list"}));
            let states = [0, 1].map(|place| listed["torrents"][place]["state"].as_str().unwrap().to_owned());
            if states == wanted {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{states:?}");
        }
    };
    until(json!({"do": "session"}), ["downloading", "queued"]);
    until(json!({"do": "session", "max_active_downloads": null}), ["downloading", "downloading"]);
}

#[test]
fn a_torrent_is_added_by_its_url() {
    let mut case = Case::new(SMALL);
    let server = Server::start(Answer::Body(fs::read(&case.home.torrent).unwrap())).unwrap();
    let order = json!({"do": "add", "torrent": server.url("x.torrent"), "dir": case.home.out()});
    assert_eq!(case.running.done(&order)["info_hash"], case.hash());
    case.wait();
    case.home.assert_downloaded();
}

/// A `rawtorrent session` that seeds what the torrent of `home` names, and where it is.
fn seeding(home: &Home) -> (tempfile::TempDir, Running, String) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    home.sample.write(&data).unwrap();
    let (mut running, ready) = Running::start(dir.path(), &[]);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": data}));
    running.until(|torrent| torrent["state"] == "seeding");
    let addr = ready["listen"][0].as_str().unwrap().to_owned();
    (dir, running, addr)
}

#[test]
fn a_magnet_link_outlives_a_kill_and_becomes_a_torrent() {
    let home = Home::new(SMALL);
    let (_dir, _seed, addr) = seeding(&home);
    let link = format!("magnet:?xt=urn:btih:{}&dn=called", hex(&home.info_hash));
    let (mut running, _) = Running::start(home.path(), &["--peer", &addr]);
    let order = json!({"do": "add", "torrent": link, "dir": home.out(), "paused": true, "category": "c"});
    running.done(&order);
    running.refused(&order, "already_added");
    running.kill();

    let (mut running, ready) = Running::start(home.path(), &[]);
    assert_eq!((&ready["torrents"], &ready["lost"]), (&json!(1), &json!(0)));
    let torrent = running.torrent();
    assert_eq!((&torrent["metadata"], &torrent["name"]), (&json!(false), &json!("called")));
    let hash = hex(&home.info_hash);
    running.refused(&json!({"do": "recheck", "info_hash": hash}), "refused");
    running.done(&json!({"do": "resume", "info_hash": hash}));
    running.until(|torrent| torrent["metadata"] == true && torrent["state"] == "seeding");
    assert_eq!((&running.torrent()["name"], &running.torrent()["category"]), (&json!("small"), &json!("c")));
    home.assert_downloaded();
    running.kill();

    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "wait", "info_hash": hash}));
    assert_eq!(running.torrent()["metadata"], true);
}

#[test]
fn a_link_that_comes_again_names_peers_once_more() {
    let home = Home::new(SMALL);
    let (_dir, _seed, addr) = seeding(&home);
    let port = addr.rsplit(':').next().unwrap();
    let hash = hex(&home.info_hash);
    let (mut running, _) = Running::start(home.path(), &[]);
    // Its metadata is known from the second time on.
    for host in ["127.0.0.1", "127.0.0.1", "localhost"] {
        let link = format!("magnet:?xt=urn:btih:{hash}&x.pe={host}:{port}");
        running.done(&json!({"do": "add", "torrent": link, "dir": home.out()}));
        running.until(|torrent| torrent["state"] == "seeding");
        home.assert_downloaded();
        running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    }
    running.end();
}

#[test]
fn a_search_for_metadata_rests_and_goes() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    let hash = hex(&home.info_hash);
    let link = format!("magnet:?xt=urn:btih:{hash}");
    running.done(&json!({"do": "add", "torrent": link, "dir": home.out()}));
    running.until(|torrent| torrent["state"] == "fetching_metadata");
    for _ in 0..3 {
        running.done(&json!({"do": "pause", "info_hash": hash}));
        assert_eq!(running.torrent()["state"], Value::Null);
        running.done(&json!({"do": "resume", "info_hash": hash}));
        running.until(|torrent| torrent["state"] == "fetching_metadata");
    }
    running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    assert_eq!(running.done(&json!({"do": "list"}))["torrents"], json!([]));
    running.end();
}

fn hand_over(home: &Home, more: &[&str]) -> rawtorrent_tests::process::Finished {
    let mut command = binary::command(home.path());
    command.args(["session", "add", "--listen", "127.0.0.1:0", "--no-trackers"]).args(more);
    common::run(command.current_dir(home.path()))
}

#[test]
fn a_second_process_hands_its_torrent_to_the_first() {
    let mut case = Case::new(SMALL);
    let done = hand_over(&case.home, &["sample.torrent", "-o", "out"]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert_eq!(done.stdout.trim(), format!("added {}", case.hash()));
    let torrent = case.running.torrent();
    assert_eq!(PathBuf::from(torrent["dir"].as_str().unwrap()), case.home.out());
    let again = hand_over(&case.home, &["sample.torrent", "-o", "out"]);
    common::assert_fails(&again, &["already here"]);
    // What cannot be added keeps no other away.
    let other = case.home.path().join("other.torrent");
    fs::write(&other, metafile::torrent(&Sample::SINGLE, None)).unwrap();
    let some = hand_over(&case.home, &["sample.torrent", "none.torrent", "other.torrent", "-o", "out"]);
    assert_eq!((some.code(), some.stdout.lines().count()), (Some(1), 1), "{}", some.stderr);
    assert_eq!(some.stderr.lines().count(), 2, "{}", some.stderr);
    let hash = some.stdout.trim().strip_prefix("added ").unwrap();
    case.running.done(&json!({"do": "remove", "info_hash": hash}));
    case.kill();
    assert_eq!(case.running.torrent()["info_hash"], case.hash());
}

#[test]
fn without_a_first_process_the_torrent_is_there_for_the_next() {
    let home = Home::new(SMALL);
    // One that was killed leaves its socket.
    Running::start(home.path(), &[]).0.kill();
    let done = hand_over(&home, &["sample.torrent", "--paused", "-o", "out"]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let (mut running, ready) = Running::start(home.path(), &[]);
    assert_eq!(ready["torrents"], 1);
    assert_eq!(running.torrent()["paused"], true);
}

#[test]
fn the_socket_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new(SMALL);
    let socket = case.home.path().join("state/rawtorrent/session.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    case.running.end();
    assert!(!socket.exists());
}

#[test]
fn so_many_orders_are_carried_out_at_a_time() {
    // cli::session: AT_ONCE
    const AT_ONCE: usize = 256;
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.torrent", silent.local_addr().unwrap());
    let add = json!({"do": "add", "torrent": url, "dir": home.out()});
    (0..AT_ONCE - 1).for_each(|_| running.order(&add));
    running.done(&json!({"do": "list"}));
    running.order(&add);
    running.order(&json!({"do": "list"}));
    assert!(running.is_silent_for(Duration::from_millis(300)), "one more is not read yet");
}

#[test]
fn so_many_wait_and_hold_up_nobody() {
    // cli::session: MAX_WAITS
    const MAX_WAITS: usize = 1024;
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    // Nobody has it.
    let order = |what: &str| json!({"do": what, "info_hash": hex(&home.info_hash)});
    (0..MAX_WAITS).for_each(|_| running.order(&order("wait")));
    running.done(&json!({"do": "list"}));
    running.refused(&order("wait"), "busy");
    running.order(&order("pause"));
    let ended = (0..=MAX_WAITS).filter(|_| running.next().unwrap()["ok"] == false).count();
    assert_eq!(ended, MAX_WAITS);
    running.done(&order("resume"));
    running.order(&order("wait"));
    running.done(&json!({"do": "list"}));
}

#[test]
fn an_order_waits_for_what_may_be_added_before_it() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.torrent", server.local_addr().unwrap());
    let file = fs::read(&home.torrent).unwrap();
    let elsewhere = home.path().join("elsewhere");
    let by_url = json!({"id": "url", "do": "add", "torrent": url, "dir": home.out()});
    let by_file = json!({"id": "file", "do": "add", "torrent": home.torrent, "dir": elsewhere});
    let remove = json!({"id": "remove", "do": "remove", "info_hash": hex(&home.info_hash)});
    let mut in_order = |orders: [(&Value, bool); 2]| {
        orders.iter().for_each(|(order, _)| running.order(order));
        let (mut peer, _) = server.accept().unwrap();
        assert!(running.is_silent_for(Duration::from_millis(300)), "nothing is known yet");
        let mut head = [0; 1024];
        assert!(peer.read(&mut head).unwrap() > 0);
        write!(peer, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", file.len()).unwrap();
        peer.write_all(&file).unwrap();
        for (order, ok) in orders {
            let answer = running.next().unwrap();
            assert_eq!((&answer["id"], &answer["ok"]), (&order["id"], &json!(ok)), "{answer}");
        }
        running.done(&json!({"do": "list"}))["torrents"].clone()
    };
    let first = in_order([(&by_url, true), (&by_file, false)]);
    assert_eq!(first[0]["dir"], json!(home.out()));
    assert_eq!(in_order([(&by_url, false), (&remove, true)]), json!([]));
    running.end();
}

#[test]
fn many_adds_are_acknowledged_soon_and_none_is_lost() {
    let home = Home::new(SMALL);
    let torrents: Vec<PathBuf> = (0..200)
        .map(|number| {
            let name = Box::leak(format!("file {number}").into_boxed_str());
            let path = home.path().join(format!("{number}.torrent"));
            let sample = Sample { name, layout: &[("", 20_000)] };
            fs::write(&path, metafile::torrent(&sample, None)).unwrap();
            path
        })
        .collect();
    let (mut running, _) = Running::start(home.path(), &[]);
    let started = Instant::now();
    for (id, torrent) in torrents.iter().enumerate() {
        running.order(&json!({"id": id, "do": "add", "torrent": torrent, "dir": home.out(), "paused": true}));
    }
    for _ in &torrents {
        assert_eq!(running.next().unwrap()["ok"], true);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let in_order = |running: &mut Running| {
        let listed = running.done(&json!({"do": "list"}));
        let names = listed["torrents"].as_array().unwrap().iter().map(|torrent| torrent["name"].clone());
        names.eq((0..200).map(|number| json!(format!("file {number}"))))
    };
    assert!(in_order(&mut running), "they are listed in another order than that in which they were given");
    running.kill();
    let (mut running, ready) = Running::start(home.path(), &[]);
    assert_eq!(ready["torrents"], 200);
    assert_eq!(running.list().len(), 200);
    assert!(in_order(&mut running));
}

#[test]
fn files_of_torrents_are_not_taken_from_a_watched_folder() {
    let home = Home::new(SMALL);
    let inbox = home.path().join("in");
    fs::create_dir(&inbox).unwrap();
    let (inner, outer) = (inbox.join("inner.torrent"), home.path().join("outer"));
    fs::copy(&home.torrent, &inner).unwrap();
    let mut make = home.command();
    let made = common::run(make.arg("create").arg(&inner).arg("-o").arg(&outer));
    assert_eq!(made.code(), Some(0), "{}", made.stderr);
    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "add", "torrent": outer, "dir": inbox}));
    running.done(&json!({"do": "watch", "dir": inbox, "paused": true}));
    // One that comes after it has its turn after it.
    let other = metafile::torrent(&Sample { name: "other", layout: SMALL.layout }, None);
    fs::write(inbox.join("other.torrent"), &other).unwrap();
    let other = hex(&metafile::info_hash(&other).unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    let taken = rawtorrent_tests::poll(until, || running.list().contains_key(&other).then_some(()));
    assert!(taken.is_some(), "nothing is taken");
    assert!(!running.list().contains_key(&hex(&home.info_hash)));
    assert!(inner.exists());
}
