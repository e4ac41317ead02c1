//! A session's list of torrents, from outside: what was acknowledged is there after any end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Home;
use common::kept::Running;
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::{self, PIECE_LEN};
use rawtorrent_tests::peer::{FakeSeed, Serving, claimed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Kills in one run of the test; `cargo xtask kill` sets more.
fn kills() -> usize {
    std::env::var("RAWTORRENT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50)
}

const SMALL: Sample = Sample { name: "small", layout: &[("", 100_000)] };
/// Torrents that orders are about.
const TORRENTS: u64 = 40;
/// Torrents whose claims are looked at after each kill.
const LOOKED_AT: usize = 5;
/// Orders that are given before each kill, at most.
const ORDERS: usize = 60;

/// One of the torrents that orders are about.
struct Torrent {
    name: &'static str,
    hash: [u8; 20],
    file: PathBuf,
    seed: FakeSeed,
}

/// By info-hash.
fn torrents(dir: &TempDir, content: &Arc<Vec<u8>>) -> BTreeMap<String, Torrent> {
    let torrent = |number: u64| {
        let name = Box::leak(format!("file {number}").into_boxed_str());
        let bytes = metafile::torrent(&Sample { name, layout: SMALL.layout }, None);
        let file = dir.path().join(format!("{number}.torrent"));
        fs::write(&file, &bytes).unwrap();
        let hash = metafile::info_hash(&bytes).unwrap();
        let seed = FakeSeed::start(Serving::all(hash, Arc::clone(content))).unwrap();
        (hex(&hash), Torrent { name, hash, file, seed })
    };
    (0..TORRENTS).map(torrent).collect()
}

/// What may be true of a torrent.
struct Known {
    /// That it is not there, or that it is, and paused or not.
    states: BTreeSet<Option<bool>>,
    /// The folders that its file may be in, or on its way to.
    dirs: BTreeSet<PathBuf>,
}

/// That what peers are told of these torrents is on disk; says how many pieces that are.
fn claims_are_true(ready: &Value, torrents: &[&Torrent], known: &[&Known], content: &[u8]) -> usize {
    let addr = ready["listen"][0].as_str().unwrap().parse().unwrap();
    let mut count = 0;
    for (torrent, known) in torrents.iter().zip(known) {
        for piece in claimed(addr, torrent.hash).unwrap_or_default() {
            let span = piece * PIECE_LEN..((piece + 1) * PIECE_LEN).min(content.len());
            let is_there = |dir: &PathBuf| {
                let found = fs::read(dir.join(torrent.name)).unwrap_or_default();
                found.get(span.clone()) == Some(&content[span.clone()])
            };
            // It may have gone from one to the other meanwhile.
            let is_anywhere = || known.dirs.iter().any(is_there);
            assert!(is_anywhere() || is_anywhere(), "piece {piece} of {} is not there", torrent.name);
            count += 1;
        }
    }
    count
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let home = tempfile::tempdir().unwrap();
    let content = Arc::new(SMALL.stream());
    let files = torrents(&home, &content);
    let dirs: [PathBuf; 3] = ["a", "b", "c"].map(|dir| home.path().join(dir));
    let hashes: Vec<&String> = files.keys().collect();
    let mut rng = fastrand::Rng::with_seed(3);
    let nothing = || Known { states: BTreeSet::from([None]), dirs: BTreeSet::new() };
    let mut known: BTreeMap<&String, Known> = hashes.iter().map(|&hash| (hash, nothing())).collect();
    let (mut acknowledged, mut claims, mut slowest) = (0, 0, Duration::ZERO);
    for kill in 0..kills() {
        let started = Instant::now();
        let (mut running, ready) = Running::start(home.path(), &[]);
        slowest = slowest.max(started.elapsed());
        assert_eq!(ready["lost"], 0);
        let list = running.done(&json!({"do": "list"}));
        let found: BTreeMap<&str, &Value> = list["torrents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|torrent| (torrent["info_hash"].as_str().unwrap(), torrent))
            .collect();
        for (hash, known) in &mut known {
            let is = found.get(hash.as_str()).map(|torrent| torrent["paused"].as_bool().unwrap());
            let states = &known.states;
            assert!(states.contains(&is), "kill {kill}: {hash} is {is:?}, not one of {states:?}");
            known.states = BTreeSet::from([is]);
            if let Some(torrent) = found.get(hash.as_str()) {
                let dir = Path::new(torrent["dir"].as_str().unwrap());
                assert!(known.dirs.contains(dir), "kill {kill}: {torrent}, not one of {:?}", known.dirs);
            }
        }
        assert!(found.keys().all(|hash| files.contains_key(*hash)));
        let running_ones = known.iter().filter(|(_, known)| known.states.contains(&Some(false)));
        let mut looked_at: Vec<_> = running_ones.map(|(hash, known)| (&files[*hash], known)).collect();
        rng.shuffle(&mut looked_at);
        looked_at.truncate(LOOKED_AT);
        let (of, at): (Vec<_>, Vec<_>) = looked_at.into_iter().unzip();
        claims += claims_are_true(&ready, &of, &at, &content);

        // One order for each torrent at a time, so that an answer says what is true.
        let mut orders = BTreeMap::new();
        let mut about: Vec<&String> = hashes.clone();
        rng.shuffle(&mut about);
        for (id, hash) in about.into_iter().take(rng.usize(1..=ORDERS)).enumerate() {
            let known = known.get_mut(hash).unwrap();
            let state = *known.states.first().unwrap();
            let dir = rng.choice(&dirs).unwrap();
            let (what, after, to) = match (state, rng.u32(..5)) {
                (None, _) => {
                    let paused = rng.bool();
                    let Torrent { file, seed, .. } = &files[hash];
                    let add = json!({"id": id, "do": "add", "torrent": file, "dir": dir, "paused": paused, "peers": [seed.addr]});
                    known.dirs = BTreeSet::from([dir.clone()]);
                    (add, Some(paused), None)
                }
                (Some(_), 0) => {
                    (json!({"id": id, "do": "remove", "info_hash": hash, "data": rng.bool()}), None, None)
                }
                (Some(_), 1) => (json!({"id": id, "do": "pause", "info_hash": hash}), Some(true), None),
                (Some(_), 2) => (json!({"id": id, "do": "resume", "info_hash": hash}), Some(false), None),
                (Some(paused), 3) => {
                    (json!({"id": id, "do": "recheck", "info_hash": hash}), Some(paused), None)
                }
                (Some(paused), _) => {
                    known.dirs.insert(dir.clone());
                    (json!({"id": id, "do": "move", "info_hash": hash, "dir": dir}), Some(paused), Some(dir))
                }
            };
            orders.insert(id as u64, (hash, after, to));
            known.states.insert(after);
            running.order(&what);
        }
        let mut answers = Vec::new();
        for _ in 0..rng.usize(..=orders.len()) {
            answers.push(running.next().expect("it answers"));
        }
        answers.extend(running.kill());
        for answer in answers {
            let (hash, after, to) = orders[&answer["id"].as_u64().unwrap()];
            let known = known.get_mut(hash).unwrap();
            if answer["ok"] == false {
                // A file that is on its way since before the last kill, or that was left where another one lies.
                let may_be = ["refused", "file_in_the_way", "not_here"].map(Value::from);
                assert!(may_be.contains(&answer["kind"]), "{answer}");
                continue;
            }
            known.states = BTreeSet::from([after]);
            if let Some(to) = to {
                known.dirs = BTreeSet::from([to.clone()]);
            }
            acknowledged += 1;
        }
    }
    println!(
        "{} kills, {acknowledged} orders acknowledged, none lost; {claims} claimed pieces, all there; started within {} ms",
        kills(),
        slowest.as_millis()
    );
    assert!(acknowledged > kills() * 5, "{acknowledged}");
    assert!(claims > kills() / 2, "{claims}");
}

#[test]
fn a_download_goes_on_where_it_was() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let peer = seed.addr.to_string();
    let (mut running, _) = Running::start(home.path(), &["--peer", &peer]);
    let added = running.ask(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    assert_eq!(added["ok"], true, "{added}");
    let hash = hex(&home.info_hash);
    let wait = json!({"do": "wait", "info_hash": hash});
    assert_eq!(running.ask(&wait)["ok"], true);
    running.end();
    home.assert_downloaded();
    let served = seed.served();

    let (mut running, ready) = Running::start(home.path(), &[]);
    assert_eq!(ready["torrents"], 1);
    assert_eq!(running.ask(&wait)["ok"], true);
    assert_eq!(running.ask(&json!({"do": "list"}))["torrents"][0]["state"], "seeding");
    assert_eq!(seed.served(), served, "nothing is fetched twice");
    assert_eq!(running.ask(&json!({"do": "remove", "info_hash": hash}))["ok"], true);
    assert_eq!(running.ask(&json!({"do": "list"}))["torrents"], json!([]));
    running.end();
    home.assert_downloaded();
    assert_eq!(fs::read_dir(home.path().join("state/rawtorrent/resume")).unwrap().count(), 0);
}

#[test]
fn orders_that_make_no_sense_are_told() {
    let home = Home::new(SMALL);
    let (mut running, _) = Running::start(home.path(), &[]);
    let hash = hex(&home.info_hash);
    let add = json!({"do": "add", "torrent": home.torrent, "dir": home.out(), "paused": true});
    assert_eq!(running.ask(&add)["ok"], true);
    fs::write(home.path().join("bad"), "x").unwrap();
    let cases = [
        (add.clone(), "already_added"),
        (json!({"do": "add", "torrent": home.path().join("none"), "dir": "."}), "source"),
        (json!({"do": "add", "torrent": home.path().join("bad"), "dir": "."}), "torrent"),
        (json!({"do": "add", "torrent": home.torrent, "dir": ""}), "order"),
        (json!({"do": "move", "info_hash": hash, "dir": ""}), "order"),
        (json!({"do": "pause", "info_hash": "0".repeat(40)}), "not_here"),
        (json!({"do": "resume", "info_hash": "x"}), "order"),
        (json!({"do": "dance"}), "order"),
        (json!([1]), "order"),
    ];
    for (order, kind) in cases {
        let answer = running.ask(&order);
        assert_eq!((&answer["ok"], &answer["kind"]), (&json!(false), &json!(kind)), "{order}: {answer}");
        assert!(!answer["error"].as_str().unwrap().contains('\n'), "{answer}");
    }
    assert_eq!(running.list(), BTreeMap::from([(hash, true)]));

    let mut second = binary::command(home.path());
    let done = common::run(second.args(["session", "--listen", "127.0.0.1:0"]));
    common::assert_fails(&done, &["another rawtorrent"]);
    running.end();
}
