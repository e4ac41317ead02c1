//! The power is cut, again and again: what was acknowledged is there, and no piece is claimed that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fuser::Errno;
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::claimed;
use rawtorrent_tests::poll;
use serde_json::{Value, json};

use crate::common::LIMIT;
use crate::common::kept::Running;
use crate::disks::disk::{Call, Disk};
use crate::disks::torrent::Torrent;

/// Torrents that the session has at a time.
const KEPT: usize = 4;
/// Calls of the disk before the power is cut, at most.
const CALLS: usize = 120;
/// A disk that has nothing to do any more is cut off after so long.
const IDLE: Duration = Duration::from_millis(700);

/// Cuts in one run of the test; `cargo xtask power` sets more.
fn cuts() -> usize {
    std::env::var("RAWTORRENT_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(10)
}

const LAYOUT: &[(&str, usize)] = &[("", 40 * PIECE_LEN + 1000)];

/// The session, everything of which is on the disk that is mounted at `dir`.
fn session(home: &Path, dir: &Path, peers: &[SocketAddr]) -> Command {
    let mut command = binary::command(home);
    command.env("XDG_STATE_HOME", dir.join("state"));
    // What it says is shown only if the test fails.
    let said = fs::File::create(home.join("said")).unwrap();
    command.stderr(said).env("RAWTORRENT_LOG", "debug");
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    command.args(peers.iter().flat_map(|peer| ["--peer".to_owned(), peer.to_string()]));
    command
}

/// Waits until a torrent is not checked any more, and knows its peers' callers.
fn listed(running: &mut Running) -> BTreeMap<String, String> {
    let started = Instant::now();
    loop {
        let list = running.ask(&json!({"do": "list"}));
        let torrents = list["torrents"].as_array().unwrap();
        let state = |torrent: &Value| torrent["state"].as_str().unwrap_or("paused").to_owned();
        let states: BTreeMap<String, String> = torrents
            .iter()
            .map(|torrent| (torrent["info_hash"].as_str().unwrap().to_owned(), state(torrent)))
            .collect();
        if states.values().all(|state| state == "downloading" || state == "seeding") {
            return states;
        }
        assert!(started.elapsed() < LIMIT, "{list}");
    }
}

/// Checks what a session says after a cut; says how many pieces it claims.
fn check(running: &mut Running, ready: &Value, disk: &Disk, torrents: &[Torrent], content: &[u8]) -> usize {
    let addr: SocketAddr = ready["listen"][0].as_str().unwrap().parse().unwrap();
    let states = listed(running);
    let mut count = 0;
    for torrent in torrents.iter().filter(|torrent| states.contains_key(&hex(&torrent.hash))) {
        let mut last = None;
        let ask = || claimed(addr, torrent.hash).map_err(|error| last = Some(error)).ok();
        let pieces = poll(Instant::now() + LIMIT, ask).unwrap_or_else(|| {
            let list = running.ask(&json!({"do": "list"}));
            let said = fs::read_to_string(torrent.file.with_file_name("said")).unwrap_or_default();
            let requests = torrent.seed.requests().len();
            panic!(
                "{} is not served: {last:?}; its seed had {requests} requests; {list}\n{said}",
                torrent.name
            )
        });
        count += torrent.must_have(disk, &pieces, content);
    }
    count
}

#[test]
fn no_cut_loses_a_torrent_or_makes_a_false_piece() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("disk");
    fs::create_dir(&dir).unwrap();
    let content = Arc::new(Sample { name: "", layout: LAYOUT }.stream());
    let mut rng = fastrand::Rng::with_seed(11);
    let disk = Disk::new(5);
    let mut torrents: Vec<Torrent> = Vec::new();
    // By info-hash, whether it may be there, or must be.
    let mut known: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    let (mut claims, mut acknowledged) = (0, 0);
    for cut in 0..cuts() {
        let mounted = disk.mount(&dir);
        torrents.push(Torrent::new(cut, home.path(), LAYOUT, &content));
        let peers: Vec<_> = torrents.iter().map(|torrent| torrent.peer).collect();
        let (mut running, ready) = Running::begin(&mut session(home.path(), &dir, &peers));
        assert_eq!(ready["lost"], 0, "cut {cut}");
        let found = running.list();
        for (hash, may_be) in &mut known {
            let is = found.contains_key(hash);
            assert!(may_be.contains(&is), "cut {cut}: {hash} is there: {is}");
            *may_be = BTreeSet::from([is]);
        }
        claims += check(&mut running, &ready, &disk, &torrents, &content);

        let (power, gone) = channel();
        let mut calls = rng.usize(..CALLS);
        disk.set_fault(Some(Box::new(move |call, _| {
            if call == Call::Read {
                return None;
            }
            calls = calls.saturating_sub(usize::from(call != Call::Change));
            if calls == 0 {
                let _ = power.send(());
                return Some(Errno::EIO);
            }
            None
        })));
        let mut orders = BTreeMap::new();
        let new = torrents.last().unwrap();
        let add = json!({"id": 0, "do": "add", "torrent": new.file, "dir": dir.join("out")});
        orders.insert(0, (hex(&new.hash), true, add));
        if torrents.len() > KEPT {
            let old = hex(&torrents.remove(0).hash);
            orders.insert(1, (old.clone(), false, json!({"id": 1, "do": "remove", "info_hash": old})));
        }
        for (hash, after, order) in orders.values() {
            known.entry(hash.clone()).or_insert_with(|| BTreeSet::from([false])).insert(*after);
            running.order(order);
        }
        let _ = gone.recv_timeout(IDLE);
        for answer in running.kill().into_iter().filter(|answer| answer["ok"] == true) {
            let (hash, after, _) = &orders[&answer["id"].as_u64().unwrap()];
            known.insert(hash.clone(), BTreeSet::from([*after]));
            acknowledged += 1;
        }
        drop(mounted);
        disk.cut();
    }
    println!("{} cuts, {acknowledged} orders acknowledged, {claims} claimed pieces, all there", cuts());
    assert!(claims > cuts() * 10 && acknowledged > cuts() / 2, "{claims} claims, {acknowledged} orders");
}
