//! A session whose disk is not mounted: nothing is forgotten, nothing is written where it is missing, and what belongs to
//! others stays.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::kept::{Case, Running};
use common::{Home, real_seed, run, with_mount};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile;
use rawtorrent_tests::poll;
use serde_json::{Value, json};

const TWO: Sample = Sample { name: "one", layout: &[("a", 300_000), ("b", 50_000)] };
const LARGE: Sample = Sample { name: "one", layout: &[("a", 40 << 20), ("b", 24 << 20)] };
const FIRST: Sample = Sample { name: "one", layout: &[("a", 300_000)] };

/// A session whose folder is where a disk is mounted, or is to be.
fn begin(home: &Home, peer: Option<&str>, mounted: bool) -> Running {
    let disk = home.path().join("disk");
    fs::create_dir_all(&disk).unwrap();
    fs::create_dir_all(home.out()).unwrap();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    command.args(peer.iter().flat_map(|peer| ["--peer", peer]));
    let mount = format!("mount --bind '{}' '{}'", disk.display(), home.out().display());
    let mount = if mounted { mount } else { "true".to_owned() };
    Running::begin(&mut with_mount(&mount, &command)).0
}

/// A torrent is on the disk, and the session has ended.
fn completed() -> Home {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let mut running = begin(&home, Some(&seed.addr.to_string()), true);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    running.done(&json!({"do": "wait", "info_hash": hex(&home.info_hash)}));
    running.end();
    home
}

/// A session whose folder is on a disk to which nothing can be written.
fn begin_read_only(home: &Home) -> Running {
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    let (disk, out) = (home.path().join("disk"), home.out());
    let (disk, out) = (disk.display(), out.display());
    let mount = format!("mount --bind '{disk}' '{out}' && mount -o remount,bind,ro '{out}'");
    Running::begin(&mut with_mount(&mount, &command)).0
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn without_its_disk_a_torrent_is_neither_removed_nor_doubted() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let peer = seed.addr.to_string();
    let running = begin(&home, Some(&peer), true);
    let mut case = Case { home, seed, running };
    case.add(json!({}));
    case.wait();
    let served = case.seed.served();
    case.running.strike();

    case.running = begin(&case.home, Some(&peer), false);
    case.running.until(|torrent| torrent["state"] == "unavailable");
    case.running.strike();
    let told = common::run(binary::command(case.home.path()).arg("doctor"));
    let mount = format!("no disk is mounted at {}", case.home.out().display());
    assert!(told.stdout.contains(&mount) && !told.stdout.contains("fetched again"), "{}", told.stdout);
    case.running = begin(&case.home, Some(&peer), false);
    // What stands there now is another's.
    let foreign = case.home.downloaded().join("a");
    fs::create_dir_all(case.home.downloaded()).unwrap();
    fs::write(&foreign, "not the torrent's").unwrap();
    for (order, more) in [("remove", json!({"data": true})), ("recheck", json!({}))] {
        let order = case.order(order, more);
        case.running.refused(&order, "unavailable");
        case.running.until(|torrent| torrent["state"] == "unavailable");
    }
    // Another torrent is not written there either, wherever below.
    let other = case.home.path().join("other");
    fs::write(&other, metafile::torrent(&Sample::SINGLE, None)).unwrap();
    for dir in [case.home.out(), case.home.out().join("deep/er")] {
        case.running.refused(&json!({"do": "add", "torrent": other, "dir": dir}), "unavailable");
    }
    assert!(!case.home.out().join("deep").exists());
    case.running.strike();
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "not the torrent's");
    assert_eq!(left_in(&case.home.downloaded()), [foreign]);

    case.running = begin(&case.home, None, true);
    case.wait();
    assert_eq!(case.seed.served(), served);
    case.done("remove", json!({"data": true}));
    assert_eq!(left_in(&case.home.path().join("disk")), Vec::<PathBuf>::new());
}

#[test]
fn a_complete_torrent_is_seeded_from_a_disk_that_cannot_be_written_to() {
    let home = completed();
    let add = json!({"do": "add", "torrent": home.torrent, "dir": home.out()});
    let hash = hex(&home.info_hash);
    let mut running = begin_read_only(&home);
    let is_seeding = |torrent: &serde_json::Value| {
        assert!(torrent["error"].is_null(), "{torrent}");
        torrent["state"] == "seeding" && torrent["done"] == torrent["total"] && torrent["total"] == 350_000
    };
    running.until(is_seeding);
    running.done(&json!({"do": "recheck", "info_hash": hash}));
    running.until(is_seeding);
    // As if it had never been here.
    running.done(&json!({"do": "remove", "info_hash": hash}));
    running.done(&add);
    running.until(is_seeding);
    running.done(&json!({"do": "remove", "info_hash": hash}));
    // What is not complete would have to be written.
    let other = home.path().join("other");
    fs::write(&other, metafile::torrent(&Sample::SINGLE, None)).unwrap();
    running.done(&json!({"do": "add", "torrent": other, "dir": home.out()}));
    let torrent = running.until(|torrent| torrent["state"] == "failed");
    assert!(torrent["error"].as_str().unwrap().contains("read-only"), "{torrent}");
    running.end();
}

#[test]
fn a_torrent_that_goes_leaves_what_cannot_be_removed_and_says_so() {
    let home = completed();
    let hash = hex(&home.info_hash);
    let mut running = begin_read_only(&home);
    running.until(|torrent| torrent["state"] == "seeding");
    let answer = running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    let at = |name: &str| home.downloaded().join(name);
    assert_eq!(answer["stayed"], json!([at("a"), at("b")]), "{answer}");
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("2 of its files stay") && warning.contains("read-only"), "{answer}");
    assert!(!warning.contains('\n') && !warning.contains("choose another folder"), "{answer}");
    assert!(running.list().is_empty());
    running.strike();
    let mut running = begin_read_only(&home);
    assert!(running.list().is_empty());
    assert!(home.path().join("disk/one/a").exists());
    running.end();
}

/// Neither another move, nor a removal or an end forgets what could not be removed.
#[test]
fn what_moves_could_not_remove_is_kept_in_mind() {
    let home = completed();
    let hash = hex(&home.info_hash);
    let stayed = json!(["a", "b"].map(|name| home.downloaded().join(name)));
    let (disk, other) = (home.path().join("disk"), tempfile::tempdir_in("/dev/shm").unwrap());
    let mut running = begin_read_only(&home);
    for dir in
        [home.path().join("near"), home.path().join("nearer"), other.path().into(), other.path().into()]
    {
        let answer = running.done(&json!({"do": "move", "info_hash": hash, "dir": dir}));
        assert_eq!(answer["stayed"], stayed, "{}: {answer}", dir.display());
        assert_eq!(running.torrent()["note"], answer["warning"]);
    }
    running.end();
    let mut running = begin_read_only(&home);
    running.until(|torrent| !torrent["note"].is_null());
    running.end();
    let mut running = begin(&home, None, true);
    running.until(|_| left_in(&disk).is_empty());
    let answer = running.done(&json!({"do": "move", "info_hash": hash, "dir": home.out()}));
    assert!(answer["stayed"].is_null(), "{answer}");
    running.end();
    let mut running = begin_read_only(&home);
    running.until(|torrent| torrent["state"] == "seeding");
    running.done(&json!({"do": "move", "info_hash": hash, "dir": other.path()}));
    let answer = running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    assert_eq!(answer["stayed"], stayed, "{answer}");
    assert_eq!(left_in(other.path()), Vec::<PathBuf>::new());
    running.end();
}

#[test]
fn a_torrent_that_moves_off_a_read_only_disk_says_what_stays() {
    let home = completed();
    let hash = hex(&home.info_hash);
    let mut running = begin_read_only(&home);
    running.until(|torrent| torrent["state"] == "seeding");
    let to = home.path().join("elsewhere");
    let answer = running.done(&json!({"do": "move", "info_hash": hash, "dir": to}));
    let at = |name: &str| home.downloaded().join(name);
    assert_eq!(answer["stayed"], json!([at("a"), at("b")]), "{answer}");
    let note = running.torrent()["note"].take();
    assert_eq!(note, answer["warning"], "who did not wait is told too");
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("2 of its files stay") && warning.contains("read-only"), "{answer}");
    let torrent = running.until(|torrent| torrent["state"] == "seeding");
    assert_eq!(torrent["dir"], json!(to));
    running.end();
    // Once it can be written to, they go.
    let disk = home.path().join("disk");
    let mut running = begin(&home, None, true);
    running.until(|torrent| torrent["state"] == "seeding");
    let gone = poll(Instant::now() + Duration::from_secs(30), || (!disk.join("one").exists()).then_some(()));
    assert!(gone.is_some(), "they stay");
    running.end();
}

#[test]
fn a_torrent_whose_disk_is_away_is_resumed_all_the_same() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let peer = seed.addr.to_string();
    let mut running = begin(&home, Some(&peer), true);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    let hash = hex(&home.info_hash);
    running.done(&json!({"do": "wait", "info_hash": hash}));
    running.done(&json!({"do": "pause", "info_hash": hash}));
    running.end();
    let mut running = begin(&home, Some(&peer), false);
    let wait = json!({"do": "wait", "info_hash": hash});
    running.refused(&wait, "paused");
    let resumed = running.done(&json!({"do": "resume", "info_hash": hash}));
    assert!(resumed["warning"].as_str().unwrap().contains("goes on when the disk is mounted"), "{resumed}");
    let torrent = running.torrent();
    assert_eq!((&torrent["paused"], &torrent["state"]), (&json!(false), &json!("unavailable")));
    running.refused(&wait, "unavailable");
    running.strike();
    let mut running = begin(&home, Some(&peer), true);
    running.until(|torrent| torrent["state"] == "seeding");
    // Another process is at it.
    running.done(&json!({"do": "pause", "info_hash": hash}));
    let locks = left_in(&home.path().join("state/rawtorrent/resume"));
    let lock = locks.iter().find(|path| path.extension().is_some_and(|is| is == "lock")).unwrap();
    let another = fs::File::open(lock).unwrap();
    another.lock().unwrap();
    running.refused(&json!({"do": "resume", "info_hash": hash}), "in_use");
    assert_eq!(running.torrent()["paused"], true);
    another.unlock().unwrap();
    running.done(&json!({"do": "resume", "info_hash": hash}));
    running.end();
}

#[test]
fn who_asks_hears_that_the_disk_is_full() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers", "--peer", &seed.addr.to_string()]);
    fs::create_dir_all(home.out()).unwrap();
    let mount = format!("mount -t tmpfs -o size=128k none '{}'", home.out().display());
    let (mut running, _) = Running::begin(&mut with_mount(&mount, &command));
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    running.until(|torrent| torrent["state"] == "disk_full");
    let order = |what: &str| json!({"do": what, "info_hash": hex(&home.info_hash)});
    let resumed = running.done(&order("resume"));
    assert!(resumed["warning"].as_str().unwrap().contains("the disk is full"), "{resumed}");
    running.refused(&order("wait"), "disk_full");
    running.end();
}

/// Whatever is done to the torrent meanwhile, who waits is answered.
#[test]
fn who_waits_already_hears_what_keeps_it() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    fs::create_dir_all(home.out()).unwrap();
    let mount = format!("mount -t tmpfs -o size=128k none '{}'", home.out().display());
    let (mut running, _) = Running::begin(&mut with_mount(&mount, &command));
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out().join("x")}));
    let hash = hex(&home.info_hash);
    let order = |what: &str| json!({"do": what, "info_hash": hash});
    let wait_and = |running: &mut Running, orders: &[Value], kind: &str| {
        running.order(&json!({"do": "wait", "info_hash": hash, "id": "wait"}));
        orders.iter().for_each(|order| running.order(order));
        let answers: Vec<Value> = (0..=orders.len()).map(|_| running.next().unwrap()).collect();
        let (waited, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer["id"] == "wait");
        assert!(others.iter().all(|answer| answer["ok"] == true), "{answers:?}");
        assert_eq!(waited[0]["kind"], kind, "{answers:?}");
        waited[0]["error"].as_str().unwrap_or_default().to_owned()
    };
    let mut moves = order("move");
    moves["dir"] = json!(home.out());
    assert!(wait_and(&mut running, &[moves, order("pause")], "paused").contains("resume it"));
    running.done(&order("resume"));
    let mut peers = order("set");
    peers["peers"] = json!([seed.addr.to_string()]);
    let error = wait_and(&mut running, &[peers], "disk_full");
    assert!(error.contains("the disk is full"), "{error}");
    running.end();
}

#[test]
fn a_recheck_without_the_files_forgets_nothing() {
    let mut case = Case::downloaded(TWO);
    let (there, away) = (case.home.downloaded(), case.home.path().join("away"));
    let served = case.seed.served();
    fs::rename(&there, &away).unwrap();
    let recheck = case.order("recheck", json!({}));
    case.running.refused(&recheck, "unavailable");
    case.running.until(|torrent| torrent["state"] == "unavailable");
    case.kill();
    fs::rename(&away, &there).unwrap();
    case.running.until(|torrent| torrent["state"] == "seeding");
    assert_eq!(case.seed.served(), served, "nothing came again");
    case.done("recheck", json!({}));
    case.wait();
}

#[test]
fn files_that_go_away_are_missed_though_nobody_asks_for_them() {
    let mut case = Case::downloaded(TWO);
    let (there, away) = (case.home.downloaded(), case.home.path().join("away"));
    let served = case.seed.served();
    fs::rename(&there, &away).unwrap();
    let torrent = case.running.until(|torrent| torrent["state"] == "unavailable");
    assert!(torrent["error"].as_str().unwrap().contains("is not there now"), "{torrent}");
    assert!(!there.exists());
    fs::rename(&away, &there).unwrap();
    case.running.until(|torrent| torrent["state"] == "seeding");
    assert_eq!(case.seed.served(), served, "nothing came again");
}

#[test]
fn a_file_that_another_torrent_has_too_stays() {
    let mut case = Case::downloaded(TWO);
    let torrent = metafile::torrent(&FIRST, None);
    let (file, hash) = (case.home.path().join("first"), hex(&metafile::info_hash(&torrent).unwrap()));
    fs::write(&file, torrent).unwrap();
    let add = json!({"do": "add", "torrent": file, "dir": case.home.out()});
    let (a, b) = (case.home.downloaded().join("a"), case.home.downloaded().join("b"));
    for paused in [false, true] {
        case.running.done(&add);
        case.running.done(&json!({"do": "wait", "info_hash": hash}));
        if paused {
            case.done("pause", json!({}));
        }
        let removed = case.running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
        assert_eq!(removed["stayed"], json!([a]), "{removed}");
        let warning = removed["warning"].as_str().unwrap();
        assert!(warning.contains("one/a is a file of \"one\" ("), "{removed}");
        assert!(a.exists() && b.exists());
    }
    case.running.done(&add);
    case.done("remove", json!({"data": true}));
    assert!(a.exists() && !b.exists(), "it is the other's now");
    case.running.done(&json!({"do": "wait", "info_hash": hash}));
    case.running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    // Who has nothing of it and rests keeps nothing there.
    case.add(json!({}));
    case.wait();
    let mut rests = add.clone();
    rests["paused"] = json!(true);
    case.running.done(&rests);
    let removed = case.done("remove", json!({"data": true}));
    assert!(removed["stayed"].is_null() && !a.exists() && !b.exists(), "{removed}");
}

#[test]
fn a_file_that_another_torrent_has_too_is_not_taken_from_it() {
    let mut case = Case::downloaded(TWO);
    let torrent = metafile::torrent(&FIRST, None);
    let (file, hash) = (case.home.path().join("first"), hex(&metafile::info_hash(&torrent).unwrap()));
    fs::write(&file, torrent).unwrap();
    let of_other = |what: &str| json!({"do": what, "info_hash": hash});
    case.running.done(&json!({"do": "add", "torrent": file, "dir": case.home.out()}));
    case.running.done(&of_other("wait"));
    let (near, link) = (case.home.path().join("near"), case.home.path().join("link"));
    std::os::unix::fs::symlink(case.home.out(), &link).unwrap();
    case.running.done(&json!({"do": "move", "info_hash": hash, "dir": link}));
    let mut other_moves = of_other("move");
    other_moves["dir"] = json!(near);
    for paused in [false, true] {
        let orders = [
            other_moves.clone(),
            case.order("move", json!({"dir": near})),
            case.order("rename", json!({"path": "one", "to": "two"})),
            case.order("rename", json!({"path": "one/a", "to": "one/c"})),
        ];
        for order in &orders {
            let answer = case.running.ask(order);
            assert_eq!((&answer["ok"], &answer["kind"]), (&json!(false), &json!("refused")), "{answer}");
            let told = answer["error"].as_str().unwrap();
            assert!(told.contains("one/a is a file of \"one\" (") && !told.contains('\n'), "{told}");
        }
        case.home.assert_downloaded();
        assert!(!near.exists());
        if !paused {
            case.running.done(&of_other("wait"));
            case.wait();
            case.running.done(&of_other("pause"));
        }
    }
    // What it has alone may go.
    case.done("rename", json!({"path": "one/b", "to": "one/c"}));
    case.running.done(&of_other("remove"));
    case.done("move", json!({"dir": near}));
    assert!(near.join("one/a").exists() && near.join("one/c").exists());
    case.wait();
}

#[test]
fn a_file_that_was_replaced_stays() {
    let mut case = Case::downloaded(TWO);
    case.done("pause", json!({}));
    let (a, b) = (case.home.downloaded().join("a"), case.home.downloaded().join("b"));
    fs::remove_file(&a).unwrap();
    fs::write(&a, "not the torrent's").unwrap();
    let removed = case.done("remove", json!({"data": true}));
    assert_eq!(removed["stayed"], json!([a]), "{removed}");
    assert!(removed["warning"].as_str().unwrap().contains("not as the torrent left it"), "{removed}");
    assert_eq!(fs::read_to_string(&a).unwrap(), "not the torrent's");
    assert!(!b.exists());
    assert_eq!(case.running.done(&json!({"do": "list"}))["torrents"], json!([]));
}

/// That nothing is written where the disk is missing, however long that lasts.
fn assert_left_alone(home: &Home) {
    let any = poll(Instant::now() + Duration::from_secs(4), || left_in(&home.out()).pop());
    assert_eq!(any, None);
}

#[test]
fn what_a_link_names_waits_for_its_disk() {
    let (_there, _seed, addr) = real_seed(TWO);
    let home = Home::new(TWO);
    let link = format!("magnet:?xt=urn:btih:{}", hex(&home.info_hash));
    let mut running = begin(&home, None, true);
    running.done(&json!({"do": "add", "torrent": link, "dir": home.out()}));
    running.strike();
    let hash = hex(&home.info_hash);
    let mut running = begin(&home, None, false);
    running.done(&json!({"do": "set", "info_hash": hash, "peers": [addr.to_string()]}));
    running.until(|torrent| torrent["state"] == "unavailable");
    assert_left_alone(&home);
    running.strike();
    let mut running = begin(&home, None, true);
    running.until(|torrent| torrent["state"] == "seeding");
    assert_eq!(left_in(&home.path().join("disk")), [home.path().join("disk/one")]);
}

#[test]
fn of_what_a_link_names_nothing_is_fetched_if_nothing_is_selected() {
    let (_there, _seed, addr) = real_seed(TWO);
    let home = Home::new(TWO);
    let hash = hex(&home.info_hash);
    let mut running = begin(&home, None, true);
    for (select, priorities) in [("&so=7", json!(null)), ("&so=", json!(null)), ("", json!(["skip", "skip"]))]
    {
        let link = format!("magnet:?xt=urn:btih:{hash}{select}");
        let mut add = json!({"do": "add", "torrent": link, "dir": home.out(), "peers": [addr.to_string()]});
        if !priorities.is_null() {
            add["priorities"] = priorities;
        }
        running.done(&add);
        let torrent = running.until(|torrent| torrent["state"] == "failed");
        assert_eq!(torrent["error"], "no file of the torrent is selected", "{torrent}");
        running.strike();
        assert_eq!(left_in(&home.path().join("disk")), Vec::<PathBuf>::new());
        running = begin(&home, None, true);
        running.until(|torrent| torrent["state"] == "failed");
        running.done(&json!({"do": "set", "info_hash": hash, "priorities": ["skip", "normal"], "peers": [addr.to_string()]}));
        running.done(&json!({"do": "wait", "info_hash": hash}));
        assert_eq!(left_in(&home.path().join("disk/one")), [home.path().join("disk/one/b")]);
        running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    }
}

#[test]
fn priorities_of_a_link_that_do_not_fit_are_told() {
    let (_there, _seed, addr) = real_seed(TWO);
    let home = Home::new(TWO);
    let hash = hex(&home.info_hash);
    let link = format!("magnet:?xt=urn:btih:{hash}");
    let (mut running, _) = Running::start(home.path(), &["--peer", &addr.to_string()]);
    for priorities in [json!(["normal"]), json!(["skip", "normal", "high"])] {
        let given = format!("{} priorities are given for 2 files", priorities.as_array().unwrap().len());
        running.done(&json!({"do": "add", "torrent": link, "dir": home.out(), "priorities": priorities}));
        let torrent = running.until(|torrent| torrent["state"] == "failed");
        assert!(torrent["error"].as_str().unwrap().contains(&given), "{torrent}");
        running.refused(&json!({"do": "wait", "info_hash": hash}), "refused");
        running.done(&json!({"do": "set", "info_hash": hash, "priorities": ["skip", "normal"]}));
        running.done(&json!({"do": "wait", "info_hash": hash}));
        assert_eq!(left_in(&home.downloaded()), [home.downloaded().join("b")]);
        running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    }
    running.end();
}

#[test]
fn files_on_their_way_to_a_disk_that_is_gone_for_good_come_back() {
    let home = Home::new(LARGE);
    let (seed, near, far) = (home.fake_seed(), home.path().join("near"), home.path().join("far"));
    let peer = seed.addr.to_string();
    let running = begin(&home, Some(&peer), true);
    let mut case = Case { home, seed, running };
    let add = json!({"do": "add", "torrent": case.home.torrent, "dir": near});
    case.running.done(&add);
    case.wait();
    let served = case.seed.served();
    for back in [&near, &far] {
        let there = case.home.out();
        let order = case.order("move", json!({"dir": there}));
        case.running.order(&order);
        loop {
            let listed = case.running.ask(&json!({"id": "list", "do": "list"}));
            assert_eq!(listed["id"], "list", "it is there already");
            if listed["torrents"][0]["state"] == "moving" {
                break;
            }
        }
        case.running.strike();
        case.running = begin(&case.home, None, false);
        let torrent = case.running.until(|torrent| torrent["state"] == "unavailable");
        assert_eq!(torrent["dir"], json!(near), "{torrent}");
        // It is tried again, in vain.
        case.done("resume", json!({}));
        case.done("move", json!({"dir": back}));
        let torrent = case.running.until(|torrent| torrent["state"] == "seeding");
        assert_eq!(torrent["dir"], json!(back));
        assert!(back.join("one/a").exists() && left_in(&there).is_empty());
        case.running.strike();
        case.running = begin(&case.home, None, true);
        case.wait();
        // What was copied is in nobody's way.
        case.done("move", json!({"dir": there}));
        case.done("move", json!({"dir": near}));
    }
    assert_eq!(case.seed.served(), served);
}

#[test]
fn files_in_a_folder_that_holds_on_to_them_stay_there() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers", "--peer", &seed.addr.to_string()]);
    // Who may do everything is not kept from anything.
    let bounded = "exec setpriv --bounding-set=-dac_override \"$@\"";
    let running = Running::begin(&mut with_mount(bounded, &command)).0;
    let mut case = Case { home, seed, running };
    case.add(json!({}));
    case.wait();
    let (folder, near) = (case.home.downloaded(), case.home.path().join("near"));
    let may = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    may(0o555);
    let order = case.order("move", json!({"dir": near}));
    let answer = case.running.ask(&order);
    let told = answer["error"].as_str().unwrap();
    assert!(answer["kind"] == "permission_denied" && told.contains(folder.to_str().unwrap()), "{answer}");
    assert!(!near.exists() && case.running.torrent()["dir"] == json!(case.home.out()));
    may(0o755);
    case.running.done(&order);
    assert!(near.join("one/a").exists());
}

#[test]
fn what_is_complete_waits_for_the_disk_that_it_goes_to() {
    let home = Home::new(TWO);
    let (seed, incomplete) = (home.fake_seed(), home.path().join("incomplete"));
    let peer = seed.addr.to_string();
    let mut running = begin(&home, None, true);
    running.done(&json!({"do": "session", "incomplete_dir": incomplete}));
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    running.strike();
    let mut running = begin(&home, None, false);
    running.done(&json!({"do": "set", "info_hash": hex(&home.info_hash), "peers": [peer]}));
    let torrent = running.until(|torrent| torrent["state"] == "seeding" && !torrent["error"].is_null());
    assert!(torrent["error"].as_str().unwrap().contains("cannot go where they belong"), "{torrent}");
    assert_left_alone(&home);
    assert!(incomplete.join("one/a").exists());
    running.strike();
    let mut running = begin(&home, None, true);
    running.until(|torrent| torrent["dir"] == home.out().to_str().unwrap() && torrent["state"] == "seeding");
    assert_eq!(left_in(&home.path().join("disk")), [home.path().join("disk/one")]);
}

#[test]
fn a_watched_folder_that_was_given_without_its_disk_is_taken_up_with_it() {
    let home = Home::new(TWO);
    let (inbox, on_disk) = (home.out().join("in"), home.path().join("disk/in"));
    let watched = home.path().join("watched");
    fs::create_dir(&watched).unwrap();
    let mut running = begin(&home, None, false);
    let told = running.done(&json!({"do": "watch", "dir": inbox}));
    assert_eq!(told["watched"][0]["dir"], inbox.to_str().unwrap());
    running.done(&json!({"do": "watch", "dir": watched, "to": home.out().join("films")}));
    let limit = || Instant::now() + Duration::from_secs(30);
    let away = |running: &mut Running, number: usize| {
        let told = poll(limit(), || {
            let told = running.done(&json!({"do": "watched"}))["watched"][number]["error"].take();
            told.is_string().then_some(told)
        });
        told.expect("it is told").as_str().unwrap().to_owned()
    };
    // Takes up what is there, and forgets it.
    let added = |running: &mut Running| {
        let hash = poll(limit(), || running.list().into_keys().next()).expect("it comes by itself");
        running.done(&json!({"do": "remove", "info_hash": hash}));
    };
    assert!(away(&mut running, 0).contains("is not there"));
    running.strike();
    let ill = run(binary::command(home.path()).args(["doctor"]));
    assert!(
        ill.stdout.contains("the watched folder") && ill.stdout.contains("is not there"),
        "{}",
        ill.stdout
    );
    fs::create_dir_all(&on_disk).unwrap();
    fs::copy(&home.torrent, on_disk.join("a.torrent")).unwrap();
    let mut running = begin(&home, None, true);
    added(&mut running);
    fs::copy(&home.torrent, watched.join("b.torrent")).unwrap();
    added(&mut running);
    running.strike();
    // Where they lie is known by now.
    fs::remove_dir_all(home.path().join("disk")).unwrap();
    let mut running = begin(&home, None, false);
    fs::copy(&home.torrent, watched.join("c.torrent")).unwrap();
    for number in [0, 1] {
        let told = away(&mut running, number);
        assert!(told.contains("no disk is mounted"), "{told}");
    }
    assert_left_alone(&home);
    assert!(running.list().is_empty());
    running.strike();
    let mut running = begin(&home, None, true);
    added(&mut running);
}

#[test]
fn a_folder_of_a_category_is_not_used_without_its_disk() {
    let home = Home::new(TWO);
    let watched = home.path().join("watched");
    fs::create_dir(&watched).unwrap();
    let mut running = begin(&home, None, true);
    running.done(&json!({"do": "session", "save_paths": {"films": home.out()}}));
    running.done(&json!({"do": "watch", "dir": watched, "to": home.out()}));
    running.strike();
    let mut running = begin(&home, None, false);
    let add = json!({"do": "add", "torrent": home.torrent, "category": "films"});
    running.refused(&add, "unavailable");
    fs::copy(&home.torrent, watched.join("new.torrent")).unwrap();
    assert_left_alone(&home);
    assert!(running.list().is_empty());
    running.strike();
    let mut running = begin(&home, None, true);
    let is_there = || running.list().into_keys().next();
    let added = poll(Instant::now() + Duration::from_secs(30), is_there);
    assert_eq!(added, Some(hex(&home.info_hash)), "it comes by itself");
    running.refused(&add, "already_added");
}

#[test]
fn nothing_goes_to_where_the_disk_of_a_torrent_that_moved_there_is_missing() {
    let home = Home::new(TWO);
    let seed = home.fake_seed();
    let (near, deep) = (home.path().join("near"), home.out().join("deep"));
    let mut running = begin(&home, Some(&seed.addr.to_string()), true);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": near}));
    let hash = hex(&home.info_hash);
    running.done(&json!({"do": "wait", "info_hash": hash}));
    running.done(&json!({"do": "move", "info_hash": hash, "dir": home.out().join("films")}));
    running.strike();
    let (other, bytes) = (home.path().join("other"), metafile::torrent(&Sample::SINGLE, None));
    fs::write(&other, &bytes).unwrap();
    let link = "7".repeat(40);
    let mut running = begin(&home, None, false);
    running.refused(&json!({"do": "add", "torrent": other, "dir": deep}), "unavailable");
    for torrent in [other.to_str().unwrap().to_owned(), format!("magnet:?xt=urn:btih:{link}")] {
        running.done(&json!({"do": "add", "torrent": torrent, "dir": near, "paused": true}));
    }
    let moves = [hex(&metafile::info_hash(&bytes).unwrap()), link]
        .map(|hash| json!({"do": "move", "info_hash": hash, "dir": deep}));
    moves.iter().for_each(|order| running.refused(order, "unavailable"));
    assert_eq!(left_in(&home.out()), Vec::<PathBuf>::new());
    running.strike();
    let mut running = begin(&home, None, true);
    moves.iter().for_each(|order| drop(running.done(order)));
}
