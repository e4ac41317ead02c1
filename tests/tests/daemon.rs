//! The daemon from outside: its API, its commands, and what it refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::process;
use serde_json::Value;

fn small() -> Sample {
    Sample::MULTI
}

#[test]
fn torrents_are_added_listed_and_ordered_about() {
    let home = Home::new(small());
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let id = hex(&home.info_hash);
    let path = format!("/api/v1/torrents/{id}");

    assert_eq!(daemon.get("/healthz").json()["status"], "ok");
    assert_eq!(daemon.get("/readyz").status, 200);
    daemon.get(&path).refused(404, "not_here");
    let before = daemon.get("/api/v1/torrents").json();
    assert_eq!((before["full"].clone(), before["total"].clone()), (true.into(), 0.into()));

    let added = daemon.add(&home.torrent, "");
    assert_eq!((added.status, added.json()["created"].clone()), (201, true.into()));
    assert_eq!(added.header("location"), Some(path.as_str()));
    let again = daemon.add(&home.torrent, "?paused=true");
    assert_eq!((again.status, again.json()["created"].clone()), (200, false.into()), "it stays as it is");

    let mut since = before["revision"].as_u64().unwrap();
    let mut last = Value::Null;
    rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
        let news = daemon.get(&format!("/api/v1/torrents?since={since}")).json();
        assert_eq!(news["full"], false, "{news}");
        since = news["revision"].as_u64().unwrap();
        last = news["torrents"].as_array().unwrap().last().cloned().unwrap_or(last.take());
        (last["state"] == "seeding").then_some(())
    })
    .unwrap_or_else(|| panic!("{last}"));
    home.assert_downloaded();

    let tag = daemon.get(&path).header("etag").unwrap().to_owned();
    let same = daemon.ask("GET", &path, &format!("if-none-match: {tag}\r\n"), b"");
    assert_eq!((same.status, same.body.len()), (304, 0));

    assert_eq!(daemon.ask("POST", &format!("{path}/pause"), "", b"").status, 204);
    let paused = daemon.ask("GET", &path, &format!("if-none-match: {tag}\r\n"), b"");
    assert_eq!((paused.status, paused.json()["state"].clone()), (200, "paused".into()));
    assert_eq!(daemon.ask("POST", &format!("{path}/resume"), "", b"").status, 204);
    let files = daemon.get(&format!("{path}/files")).json();
    assert_eq!(files.as_array().unwrap().len(), small().layout.len());
    let metrics = daemon.get("/metrics");
    assert!(String::from_utf8_lossy(&metrics.body).contains("rawtorrent_torrents{state=\"paused\"} 0"));

    assert_eq!(daemon.ask("DELETE", &path, "", b"").status, 204);
    assert_eq!(daemon.ask("DELETE", &path, "", b"").status, 204, "as often as one likes");
    let news = daemon.get(&format!("/api/v1/torrents?since={since}")).json();
    assert_eq!(news["removed"], serde_json::json!([id]));
    home.assert_downloaded();
    daemon.end();
}

#[test]
fn peers_that_are_given_are_for_torrents_of_earlier_runs_too() {
    let home = Home::new(small());
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    daemon.end();
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let state = || daemon.get(&format!("/api/v1/torrents/{}", hex(&home.info_hash))).json()["state"].clone();
    let deadline = std::time::Instant::now() + LIMIT;
    let done = rawtorrent_tests::poll(deadline, || (state() == "seeding").then_some(()));
    assert!(done.is_some(), "{}", state());
    home.assert_downloaded();
    daemon.end();
}

/// Two files, the second one longer than what is fetched ahead of a reader.
const FILM: Sample = Sample { name: "film", layout: &[("a.txt", 1000), ("film.mkv", 24_000_000)] };

#[test]
fn files_are_read_while_they_are_downloaded() {
    let home = Home::new(FILM);
    let original = tempfile::tempdir().unwrap();
    let film = std::fs::read(FILM.write(original.path()).unwrap().join("film.mkv")).unwrap();
    let daemon = Daemon::start(&home, &["--max-down", "4M"]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    let id = hex(&home.info_hash);
    // Nobody has it yet: what is missing is waited for.
    let path = format!("/api/v1/torrents/{id}/files/1");
    let refused = daemon.ask("GET", &path, "range: bytes=24000000-\r\n", b"");
    refused.refused(416, "range");
    assert_eq!(refused.header("content-range"), Some("bytes */24000000"));
    daemon.get(&format!("/api/v1/torrents/{id}/files/2")).refused(404, "no_file");
    drop(daemon);

    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--max-down", "4M", "--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.ask("DELETE", &format!("/api/v1/torrents/{id}"), "", b"").status, 204);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    // As a player does: the end, then the middle.
    for (range, expected) in
        [("-1000", &film[23_999_000..]), ("12000000-12999999", &film[12_000_000..13_000_000])]
    {
        let answer = rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
            let answer = daemon.ask("GET", &path, &format!("range: bytes={range}\r\n"), b"");
            (answer.status != 409).then_some(answer)
        })
        .unwrap_or_else(|| panic!("{range}: {}", daemon.get(&format!("/api/v1/torrents/{id}")).json()));
        assert_eq!((answer.status, answer.header("content-type")), (206, Some("video/x-matroska")));
        assert!(answer.body == expected, "{range}: {} bytes, others", answer.body.len());
    }
    let torrent = daemon.get(&format!("/api/v1/torrents/{id}")).json();
    assert!(
        torrent["done"].as_u64() < torrent["wanted"].as_u64(),
        "it was read before all of it was there: {torrent}"
    );
    let peers = daemon.get(&format!("/api/v1/torrents/{id}/peers")).json();
    assert_eq!(peers[0]["addr"], seed.addr.to_string());
    // Who may only look sees that there is somebody, not where.
    let read = format!("authorization: Bearer {}\r\n", token(&home, &["add", "phone", "--scope", "read"]));
    let peers = rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
        let answer = daemon.ask("GET", &format!("/api/v1/torrents/{id}/peers"), &read, b"");
        (answer.status == 200).then(|| answer.json())
    })
    .unwrap();
    assert_eq!(peers[0]["addr"], "");
    daemon.end();
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let home = Home::new(small());
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    // Dropped, it is killed.
    drop(daemon);
    let daemon = Daemon::start(&home, &[]);
    let listed = daemon.get("/api/v1/torrents?state=paused").json();
    assert_eq!(listed["torrents"][0]["id"], hex(&home.info_hash));
    daemon.end();
}

#[test]
fn changes_are_told_as_they_happen() {
    let home = Home::new(small());
    let daemon = Daemon::start(&home, &[]);
    let since = daemon.get("/api/v1").json()["revision"].as_u64().unwrap();
    let mut stream = TcpStream::connect(&daemon.addr).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let host = &daemon.addr;
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\nlast-event-id: {since}\r\n\r\n").unwrap();
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while !heard.contains("\"name\"") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(heard.contains("event: changed") && heard.contains("text/event-stream"), "{heard}");
    assert!(heard.contains("\"full\":false") && heard.contains(&hex(&home.info_hash)), "{heard}");
    // An open stream does not keep the daemon from ending.
    daemon.end();
}

#[test]
fn commands_ask_the_daemon() {
    let home = Home::new(small());
    let daemon = Daemon::start(&home, &[]);
    let id = hex(&home.info_hash);
    let torrent = home.torrent.to_str().unwrap();
    let done = |args: &[&str]| {
        let done = daemon.command(&home, args);
        assert_eq!(done.code(), Some(0), "{args:?}: {}", done.stderr);
        done.stdout
    };
    assert_eq!(done(&["add", torrent, "--paused"]), format!("{id} added\n"));
    assert_eq!(done(&["add", torrent]), format!("{id} was here already\n"));
    let line = done(&["list"]);
    assert!(line.starts_with(&id[..8]) && line.contains("paused") && line.contains(small().name), "{line}");
    let listed: Value = serde_json::from_str(&done(&["list", "--json", "--state", "paused"])).unwrap();
    assert_eq!(listed["id"], id);
    assert_eq!(done(&["list", "--state", "failed"]), "");
    assert!(done(&["info", &id[..6]]).contains(&format!("id         {id}\n")));
    let file: Value = serde_json::from_str(done(&["files", &id, "--json"]).lines().next().unwrap()).unwrap();
    assert_eq!(file["index"], 0);
    assert_eq!(done(&["resume", small().name]), format!("{id} resumed\n"));
    assert_eq!(done(&["pause", &id]), format!("{id} paused\n"));
    assert_eq!(done(&["remove", &id]), format!("{id} removed\n"));
    let gone = daemon.command(&home, &["info", &id]);
    assert_eq!((gone.code(), gone.stderr.as_str()), (Some(1), "rawtorrent: there is no such torrent\n"));

    let socket = format!("unix:{}", home.path().join("api.sock").display());
    let mut command = home.command();
    let through_socket = process::run(command.args(["list", "--host", &socket]), LIMIT).unwrap();
    assert_eq!(through_socket.code(), Some(0), "{}", through_socket.stderr);
    daemon.end();
    let mut command = home.command();
    let nobody = process::run(command.args(["list", "--host", "http://127.0.0.1:1"]), LIMIT).unwrap();
    assert_eq!(nobody.code(), Some(1));
    assert!(
        nobody.stderr.starts_with("rawtorrent: cannot reach the daemon at http://127.0.0.1:1"),
        "{}",
        nobody.stderr
    );
}

fn token(home: &Home, args: &[&str]) -> String {
    let mut command = home.command();
    let done = process::run(command.arg("token").args(args), LIMIT).unwrap();
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    done.stdout.trim().to_owned()
}

#[test]
fn tokens_open_what_they_are_for() {
    let home = Home::new(small());
    let read = token(&home, &["add", "phone", "--scope", "read"]);
    let manage = token(&home, &["add", "desk"]);
    let daemon = Daemon::start(&home, &[]);
    let with = |token: &str| format!("authorization: Bearer {token}\r\n");
    assert_eq!(daemon.get("/healthz").status, 200);
    daemon.get("/api/v1/torrents").refused(401, "token");
    assert_eq!(daemon.ask("GET", "/api/v1/torrents", &with(&read), b"").status, 200);
    let id = hex(&home.info_hash);
    let pause = format!("/api/v1/torrents/{id}/pause");
    daemon.ask("POST", &pause, &with(&read), b"").refused(403, "scope");
    daemon.ask("POST", &pause, &with(&manage), b"").refused(404, "not_here");

    let file = home.path().join("token");
    std::fs::write(&file, format!("{manage}\n")).unwrap();
    let done = daemon
        .command(&home, &["add", home.torrent.to_str().unwrap(), "--token-file", file.to_str().unwrap()]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let done = daemon.command(&home, &["list"]);
    assert_eq!(done.code(), Some(1));
    assert!(done.stderr.contains("RAWTORRENT_TOKEN_FILE"), "{}", done.stderr);

    token(&home, &["remove", "phone"]);
    let refused = rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
        (daemon.ask("GET", "/api/v1/torrents", &with(&read), b"").status == 401).then_some(())
    });
    assert!(refused.is_some(), "a token that was removed opens nothing");
    let log = |name: &str| std::fs::read_to_string(home.path().join("state/rawtorrent").join(name)).unwrap();
    let (done, refused) = (log("audit.log"), log("refused.log"));
    assert!(done.contains("\"who\":\"desk\"") && done.contains(&format!("\"id\":\"{id}\"")), "{done}");
    assert!(refused.contains("\"status\":401") && !done.contains("\"status\":401"), "{done}\n{refused}");
    assert!(![&manage, &read].iter().any(|token| done.contains(*token) || refused.contains(*token)));
    // Whoever removes the last one does not open the door to everybody.
    token(&home, &["remove", "desk"]);
    let shut = rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
        (daemon.ask("GET", "/api/v1/torrents", &with(&manage), b"").status == 401).then_some(())
    });
    assert!(shut.is_some() && daemon.get("/api/v1/torrents").status == 401);
    let socket = format!("unix:{}", home.path().join("api.sock").display());
    let owner = process::run(home.command().args(["list", "--host", &socket]), LIMIT).unwrap();
    assert_eq!(owner.code(), Some(0), "{}", owner.stderr);
    daemon.end();
}

#[test]
fn without_trackers_none_is_asked_that_was_added_before() {
    let home = Home::new(small());
    let daemon = Daemon::start_with_trackers(&home, &[]);
    let id = hex(&home.info_hash);
    let link = serde_json::json!({"source": format!("magnet:?xt=urn:btih:{id}")});
    assert_eq!(daemon.json("POST", "/api/v1/torrents?paused=true", &link).status, 201);
    let trackers = format!("/api/v1/torrents/{id}/trackers");
    let added = serde_json::json!({"add": ["http://127.0.0.1:9/announce"]});
    assert_eq!(daemon.json("PATCH", &trackers, &added).status, 204);
    assert!(String::from_utf8(daemon.get(&trackers).body).unwrap().contains("127.0.0.1:9"));
    daemon.end();
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.get(&trackers).body, b"[]");
    daemon.end();
}

#[test]
fn other_machines_need_a_token() {
    let home = Home::new(small());
    let mut command = home.command();
    command.args(["daemon", "--listen", "127.0.0.1:0", "--api", "0.0.0.0:0"]).arg("--root").arg(home.out());
    let refused = process::run(&mut command, LIMIT).unwrap();
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("rawtorrent token add"), "{}", refused.stderr);
}

#[test]
fn guesses_are_slowed_down() {
    let home = Home::new(small());
    token(&home, &["add", "desk"]);
    let daemon = Daemon::start(&home, &[]);
    let wrong = "authorization: Bearer rawtorrent_0000\r\n";
    let answers: Vec<u16> = (0..12).map(|_| daemon.ask("GET", "/api/v1", wrong, b"").status).collect();
    assert_eq!(answers[..10], [401; 10]);
    assert_eq!(answers[10..], [429, 429]);
    daemon.end();
}
