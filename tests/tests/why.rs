//! `rawtorrent why`, and the same over the daemon's API.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use serde_json::{Value, json};

/// The first cause, once it is the one that is expected.
fn await_cause(daemon: &Daemon, id: &str, cause: &str) -> Value {
    let mut last = Value::Null;
    rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        last = daemon.get(&format!("/api/v1/torrents/{id}/why")).json();
        (last["causes"][0]["cause"] == cause).then(|| last["causes"][0].clone())
    })
    .unwrap_or_else(|| panic!("not {cause}: {last}"))
}

#[test]
fn what_holds_a_torrent_back_is_told() {
    let home = Home::new(Sample::MULTI);
    let id = hex(&home.info_hash);
    let daemon = Daemon::start(&home, &["--max-down", "1M"]);
    daemon.get(&format!("/api/v1/torrents/{id}/why")).refused(404, "not_here");
    daemon.get("/api/v1/torrents/x/why").refused(400, "bad_request");
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    assert_eq!(await_cause(&daemon, &id, "paused")["weight"], 100);
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/resume"), "", b"").status, 204);
    let alone = await_cause(&daemon, &id, "no_peers");
    assert_eq!(alone["evidence"], json!({"known": 0, "connecting": 0, "trackers": 0}));

    let told = daemon.command(&home, &["why", &id]);
    assert_eq!(told.code(), Some(0), "{}", told.stderr);
    assert_eq!(
        told.stdout,
        "1. no peer is connected: 0 addresses known, 0 being tried, 0 trackers\n   wait, or add trackers or peers\n"
    );
    // A name that begins so.
    let told = daemon.command(&home, &["why", &Sample::MULTI.name[..5], "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["id"], &told["causes"][0]), (&json!(id), &alone));
    daemon.end();

    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    await_cause(&daemon, &id, "complete");
    daemon.end();

    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let (apart, taken) = (home.out().join("apart"), home.out().join(Sample::MULTI.name));
    let settings = json!({"incomplete_dir": apart}).to_string();
    let json = "content-type: application/json\r\n";
    assert_eq!(daemon.ask("PATCH", "/api/v1/settings", json, settings.as_bytes()).status, 200);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    std::fs::write(&taken, "theirs").unwrap();
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/resume"), "", b"").status, 204);
    await_cause(&daemon, &id, "unsettled");
    let told = daemon.command(&home, &["why", &id]).stdout;
    assert!(told.starts_with("1. it is complete, but its files cannot go where they belong: "), "{told}");
    daemon.end();
}
