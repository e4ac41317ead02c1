//! What the daemon is told to do, over its API and by its commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::process;
use rawtorrent_tests::tracker::{Answer, Server};
use serde_json::{Value, json};

const TORRENTS: &str = "/api/v1/torrents";

fn token(home: &Home, scope: &str) -> String {
    let mut command = home.command();
    let made = process::run(command.args(["token", "add", scope, "--scope", scope]), LIMIT).unwrap();
    format!("content-type: application/json\r\nauthorization: Bearer {}\r\n", made.stdout.trim())
}

#[test]
fn links_and_urls_are_added_once() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let id = hex(&home.info_hash);
    let link = format!("magnet:?xt=urn:btih:{id}&dn=called");
    let daemon = Daemon::start(&home, &["--no-dht", "--no-lsd", "--peer", &seed.addr.to_string()]);
    let added = daemon.json("POST", TORRENTS, &json!({"source": link}));
    assert_eq!((added.status, added.json()), (201, json!({"id": id, "created": true})));
    let again = daemon.json("POST", TORRENTS, &json!({"source": link}));
    assert_eq!((again.status, again.json()), (200, json!({"id": id, "created": false})));
    assert_eq!(daemon.add(&home.torrent, "").json()["created"], false, "its file names the same torrent");
    let done = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        let torrent = daemon.get(&format!("{TORRENTS}/{id}")).json();
        (torrent["state"] == "seeding").then_some(torrent)
    });
    assert_eq!(done.expect("the link leads to all of it")["name"], Sample::MULTI.name);
    home.assert_downloaded();

    let server = Server::start(Answer::Body(std::fs::read(&home.torrent).unwrap())).unwrap();
    let url = server.url("sample.torrent");
    assert_eq!(daemon.done(&home, &["add", &url]), format!("{id} was here already\n"));
    assert_eq!(daemon.done(&home, &["remove", &id]), format!("{id} removed\n"));
    assert_eq!(daemon.done(&home, &["add", &url, "--paused"]), format!("{id} added\n"));
    assert_eq!(server.requests().len(), 2);
    assert_eq!(daemon.get(&format!("{TORRENTS}/{id}")).json()["state"], "paused");
    assert_eq!(daemon.done(&home, &["remove", &id]), format!("{id} removed\n"));
    let told: Value =
        serde_json::from_str(&daemon.done(&home, &["add", &link, "--paused", "--json"])).unwrap();
    assert_eq!(told, json!({"id": id, "created": true}));
    assert_eq!(daemon.get(&format!("{TORRENTS}/{id}")).json()["name"], "called");
    daemon.end();
}

#[test]
fn sources_that_are_none_are_refused() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    for (source, status, kind) in [
        ("", 400, "bad_request"),
        ("/etc/passwd", 400, "bad_request"),
        ("file:///etc/passwd", 400, "bad_request"),
        ("ftp://127.0.0.1/x", 400, "bad_request"),
        ("magnet:?dn=x", 422, "magnet"),
        ("magnet:?xt=urn:btih:00", 422, "magnet"),
        ("http://127.0.0.1:1/x.torrent", 502, "fetch"),
        ("http://169.254.169.254/latest", 502, "fetch"),
        ("http://", 502, "fetch"),
    ] {
        daemon.json("POST", TORRENTS, &json!({"source": source})).refused(status, kind);
    }
    for body in
        [json!({}), json!([]), json!(null), json!({"source": 1}), json!({"source": "http://x/", "dir": "/"})]
    {
        daemon.json("POST", TORRENTS, &body).refused(400, "bad_request");
    }
    daemon.json("POST", TORRENTS, &json!({"source": "x".repeat(64 * 1024)})).refused(413, "too_long");
    let page = Server::start(Answer::Body(b"<!doctype html>".to_vec())).unwrap();
    daemon.json("POST", TORRENTS, &json!({"source": page.url("")})).refused(422, "torrent");
    let broken = daemon.command(&home, &["add", "magnet:?dn=x"]);
    assert_eq!(broken.code(), Some(1));
    common::assert_is_for_people(&broken.stderr);
    assert_eq!(daemon.get("/api/v1").json()["torrents"], 0);
    daemon.end();
}

#[test]
fn only_who_owns_the_daemon_has_it_ask_its_own_network() {
    let home = Home::new(Sample::MULTI);
    let (manage, admin) = (token(&home, "manage"), token(&home, "admin"));
    let daemon = Daemon::start(&home, &[]);
    let server = Server::start(Answer::Body(std::fs::read(&home.torrent).unwrap())).unwrap();
    let body = json!({"source": server.url("sample.torrent")}).to_string();
    let refused = daemon.ask("POST", TORRENTS, &manage, body.as_bytes());
    refused.refused(502, "fetch");
    assert!(refused.json()["detail"].as_str().unwrap().contains("private address"));
    assert_eq!(server.requests().len(), 0);
    assert_eq!(daemon.ask("POST", TORRENTS, &admin, body.as_bytes()).status, 201);
    daemon.end();
}
