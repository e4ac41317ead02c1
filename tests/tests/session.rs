//! A session's list of torrents, from outside: what was acknowledged is there after any end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use common::Home;
use common::kept::Running;
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile;
use serde_json::json;
use tempfile::TempDir;

/// Kills in one run of the test; `cargo xtask kill` sets more.
fn kills() -> usize {
    std::env::var("RAWTORRENT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(50)
}

const SMALL: Sample = Sample { name: "small", layout: &[("", 100_000)] };
/// Torrents that orders are about.
const TORRENTS: u64 = 40;
/// Orders that are given before each kill, at most.
const ORDERS: usize = 60;

/// Torrent files, by info-hash.
fn torrents(dir: &TempDir) -> BTreeMap<String, String> {
    let torrent = |number: u64| {
        let name = Box::leak(format!("file {number}").into_boxed_str());
        let bytes = metafile::torrent(&Sample { name, layout: &[("", 100_000)] }, None);
        let path = dir.path().join(format!("{number}.torrent"));
        fs::write(&path, &bytes).unwrap();
        (hex(&metafile::info_hash(&bytes).unwrap()), path.to_str().unwrap().to_owned())
    };
    (0..TORRENTS).map(torrent).collect()
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let home = tempfile::tempdir().unwrap();
    let files = torrents(&home);
    let out = home.path().join("out");
    let hashes: Vec<&String> = files.keys().collect();
    let mut rng = fastrand::Rng::with_seed(3);
    // By info-hash, what may be true of it: absent, or paused or not.
    let mut known: BTreeMap<&String, BTreeSet<Option<bool>>> =
        hashes.iter().map(|&hash| (hash, BTreeSet::from([None]))).collect();
    let mut acknowledged = 0;
    for kill in 0..kills() {
        let (mut running, ready) = Running::start(home.path(), &[]);
        assert_eq!(ready["lost"], 0);
        let found = running.list();
        for (hash, may_be) in &mut known {
            let is = found.get(*hash).copied();
            assert!(may_be.contains(&is), "kill {kill}: {hash} is {is:?}, not one of {may_be:?}");
            *may_be = BTreeSet::from([is]);
        }
        assert!(found.keys().all(|hash| files.contains_key(hash)));

        // One order for each torrent at a time, so that an answer says what is true.
        let mut orders = BTreeMap::new();
        let mut about: Vec<&String> = hashes.clone();
        rng.shuffle(&mut about);
        for (id, hash) in about.into_iter().take(rng.usize(1..=ORDERS)).enumerate() {
            let state = *known[hash].first().unwrap();
            let (what, after) = match (state, rng.u32(..3)) {
                (None, _) => {
                    let paused = rng.bool();
                    let add =
                        json!({"id": id, "do": "add", "torrent": files[hash], "dir": out, "paused": paused});
                    (add, Some(paused))
                }
                (Some(_), 0) => (json!({"id": id, "do": "remove", "info_hash": hash}), None),
                (Some(_), 1) => (json!({"id": id, "do": "pause", "info_hash": hash}), Some(true)),
                (Some(_), _) => (json!({"id": id, "do": "resume", "info_hash": hash}), Some(false)),
            };
            orders.insert(id as u64, (hash, after));
            known.get_mut(hash).unwrap().insert(after);
            running.order(&what);
        }
        let mut answers = Vec::new();
        for _ in 0..rng.usize(..=orders.len()) {
            answers.push(running.next().expect("it answers"));
        }
        answers.extend(running.kill());
        for answer in answers {
            assert_eq!(answer["ok"], true, "{answer}");
            let (hash, after) = orders[&answer["id"].as_u64().unwrap()];
            known.insert(hash, BTreeSet::from([after]));
            acknowledged += 1;
        }
    }
    println!("{} kills, {acknowledged} orders acknowledged, none lost", kills());
    assert!(acknowledged > kills() * 5, "{acknowledged}");
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
