//! What the daemon is told to do, over its API and by its commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "disks/disk.rs"]
#[allow(dead_code, reason = "not every test needs all of it")]
mod disk;

use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use disk::{Call, Disk};
use fuser::Errno;
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
    let (_seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    let id = hex(&home.info_hash);
    let link = format!("magnet:?xt=urn:btih:{id}&dn=called");
    let daemon = Daemon::start(&home, &["--no-dht", "--no-lsd", "--peer", &addr.to_string()]);
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
    std::fs::write(home.out().join("mine"), "").unwrap();
    assert_eq!(daemon.done(&home, &["remove", &id, "--data"]), format!("{id} removed\n"));
    let left: Vec<_> =
        std::fs::read_dir(home.out()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"], "only what is the torrent's went");
    assert_eq!(daemon.done(&home, &["add", &url, "--paused"]), format!("{id} added\n"));
    assert_eq!(server.requests().len(), 2);
    assert_eq!(daemon.get(&format!("{TORRENTS}/{id}")).json()["state"], "paused");
    let file = format!("file://{}", home.torrent.display());
    assert_eq!(daemon.done(&home, &["add", &file]), format!("{id} was here already\n"), "as desktops say it");
    assert_eq!(daemon.done(&home, &["remove", &id]), format!("{id} removed\n"));
    let told: Value =
        serde_json::from_str(&daemon.done(&home, &["add", &link, "--paused", "--json"])).unwrap();
    assert_eq!(told, json!({"id": id, "created": true}));
    assert_eq!(daemon.get(&format!("{TORRENTS}/{id}")).json()["name"], "called");
    daemon.end();
}

#[test]
fn files_that_stay_are_told() {
    const ONE: Sample = Sample { name: "one", layout: &[("", 300_000)] };
    let home = Home::new(ONE);
    std::fs::write(home.downloaded(), ONE.stream()).unwrap();
    let daemon = Daemon::start(&home, &[]);
    for cli in [false, true] {
        let id = daemon.add(&home.torrent, "").json()["id"].as_str().unwrap().to_owned();
        let path = format!("{TORRENTS}/{id}");
        let is_there = || (daemon.get(&path).json()["state"] == "seeding").then_some(());
        rawtorrent_tests::poll(Instant::now() + LIMIT, is_there).expect("it is found");
        assert_eq!(daemon.ask("POST", &format!("{path}/pause"), "", b"").status, 204);
        std::fs::remove_file(home.downloaded()).unwrap();
        std::fs::write(home.downloaded(), ONE.stream()).unwrap();
        if cli {
            let done = daemon.command(&home, &["remove", &id, "--data"]);
            assert_eq!((done.code(), done.stdout.as_str()), (Some(0), format!("{id} removed\n").as_str()));
            assert!(done.stderr.contains("one of its files stays"), "{}", done.stderr);
        } else {
            let answer = daemon.ask("DELETE", &format!("{path}?data=true"), "", b"");
            assert_eq!((answer.status, &answer.json()["stayed"]), (200, &json!([home.downloaded()])));
            assert!(answer.json()["warning"].as_str().unwrap().contains("not as the torrent left it"));
        }
        assert_eq!(daemon.get(&path).status, 404);
    }
    daemon.end();
}

#[test]
fn nothing_is_written_below_a_root_whose_disk_is_away() {
    let home = Home::new(Sample::MULTI);
    let disk = home.path().join("disk");
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::create_dir_all(home.out()).unwrap();
    let mount = format!("mount --bind '{}' '{}'", disk.display(), home.out().display());
    let daemon = Daemon::start_mounted(&home, &mount, &[]);
    assert_eq!(daemon.get(TORRENTS).status, 200);
    daemon.end();
    let daemon = Daemon::start(&home, &[]);
    daemon.add(&home.torrent, "").refused(422, "unavailable");
    let below = format!("?dir={}/deep", home.out().display());
    daemon.add(&home.torrent, &below).refused(422, "unavailable");
    daemon.end();
    home.assert_nothing_written();
    let daemon = Daemon::start_mounted(&home, &mount, &[]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    daemon.end();
}

#[test]
fn who_resumes_hears_that_the_disk_is_away() {
    let home = Home::new(Sample::MULTI);
    let disk = home.path().join("disk");
    std::fs::create_dir_all(&disk).unwrap();
    std::fs::create_dir_all(home.out()).unwrap();
    home.sample.write(&disk).unwrap();
    let mount = format!("mount --bind '{}' '{}'", disk.display(), home.out().display());
    let id = hex(&home.info_hash);
    let daemon = Daemon::start_mounted(&home, &mount, &[]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    until(&daemon, &format!("{TORRENTS}/{id}"), |torrent| torrent["state"] == "seeding");
    daemon.done(&home, &["pause", &id]);
    daemon.end();
    let daemon = Daemon::start(&home, &[]);
    let resumed = daemon.command(&home, &["resume", &id]);
    assert_eq!(resumed.code(), Some(0), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("goes on when the disk is mounted"), "{}", resumed.stderr);
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

/// Asks until the answer is as it is to be.
fn until(daemon: &Daemon, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        last = daemon.get(path).json();
        is(&last).then_some(())
    });
    assert!(found.is_some(), "{path}: {last}");
    last
}

#[test]
fn trackers_are_told_of() {
    let answer = "d8:completei7e10:incompletei3e8:intervali1800e5:peers0:15:warning message8:be quicke";
    let tracker = Server::start(Answer::Body(answer.into())).unwrap();
    let home = Home::with_tracker(Sample::MULTI, Some(&tracker.url("announce")));
    let daemon = Daemon::start_with_trackers(&home, &["--no-dht", "--no-lsd"]);
    let id = hex(&home.info_hash);
    let path = format!("{TORRENTS}/{id}/trackers");
    daemon.get(&path).refused(404, "not_here");
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let waiting = &daemon.get(&path).json()[0];
    assert_eq!((&waiting["state"], &waiting["last_seconds"]), (&json!("waiting"), &json!(null)), "{waiting}");
    assert!(tracker.requests().is_empty());
    daemon.done(&home, &["resume", &id]);
    let told = &until(&daemon, &path, |told| told[0]["state"] == "working")[0];
    for (key, value) in [
        ("name", json!(format!("http://{}", tracker.addr))),
        ("tier", json!(0)),
        ("failures", json!(0)),
        ("seeds", json!(7)),
        ("leechers", json!(3)),
        ("peers", json!(0)),
        ("message", json!("be quick")),
    ] {
        assert_eq!(told[key], value, "{key}: {told}");
    }
    let next = told["next_seconds"].as_u64().unwrap();
    assert!((1700..=1800).contains(&next), "{told}");
    let table = daemon.done(&home, &["trackers", &id]);
    assert!(table.contains("working") && table.contains("7 seeds") && table.contains("be quick"), "{table}");
    let line: Value = serde_json::from_str(&daemon.done(&home, &["trackers", &id, "--json"])).unwrap();
    assert_eq!(line["seeds"], 7);

    let asked = tracker.requests().len();
    daemon.done(&home, &["reannounce", &id]);
    daemon
        .ask("POST", &format!("{TORRENTS}/{}/reannounce", "0".repeat(40)), "", b"")
        .refused(404, "not_here");
    assert!(asked >= 1);
    daemon.end();
}

#[test]
fn trackers_of_links_and_their_failures_are_told_of() {
    let broken = Server::start(Answer::Status(500)).unwrap();
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start_with_trackers(&home, &["--no-dht", "--no-lsd", "--allow-private"]);
    let id = hex(&home.info_hash);
    let link = format!("magnet:?xt=urn:btih:{id}&tr={}", broken.url("announce"));
    assert_eq!(daemon.json("POST", TORRENTS, &json!({"source": link})).status, 201);
    let told = until(&daemon, &format!("{TORRENTS}/{id}/trackers"), |told| told[0]["state"] == "failed");
    assert!(told[0]["message"].as_str().unwrap().contains("500"), "{told}");
    assert_eq!(told[0]["failures"], 1);
    // Nothing is known of what it is to have.
    daemon.done(&home, &["pause", &id]);
    let paused = until(&daemon, &format!("{TORRENTS}/{id}"), |torrent| torrent["state"] == "paused");
    assert_eq!(paused["done"], json!(null), "{paused}");
    daemon.end();
}

#[test]
fn what_is_wanted_is_changed_and_stays() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &["--max-up", "5M"]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let id = hex(&home.info_hash);
    let path = format!("{TORRENTS}/{id}/settings");
    let before = daemon.get(&path).json();
    assert_eq!((&before["max_down"], &before["sequential"]), (&json!(null), &json!(false)));
    let changed = daemon.ask(
        "PATCH",
        &path,
        "content-type: application/merge-patch+json\r\n",
        br#"{"max_down": 1000000, "seed_ratio": 1.5, "idle_seconds": 60, "category": "films", "tags": ["a", "b"]}"#,
    );
    assert_eq!((changed.status, &changed.json()["seed_ratio"]), (200, &json!(1.5)));
    let changed = daemon.json("PATCH", &path, &json!({"max_down": null, "sequential": true})).json();
    assert_eq!((&changed["max_down"], &changed["idle_seconds"]), (&json!(null), &json!(60)));
    let listed = daemon.get(&format!("{TORRENTS}?category=films&tag=b")).json();
    assert_eq!((&listed["total"], &listed["torrents"][0]["tags"]), (&json!(1), &json!(["a", "b"])));
    assert_eq!(daemon.get(&format!("{TORRENTS}?tag=c")).json()["total"], 0);

    let shown =
        daemon.done(&home, &["set", &id, "--priority", "0=skip", "--max-up", "2M", "--category", "none"]);
    assert!(shown.contains("1 skipped") && shown.contains("seed ratio   1.5"), "{shown}");
    assert_eq!(daemon.get(&format!("{TORRENTS}/{id}/files")).json()[0]["priority"], "skip");
    daemon.done(&home, &["set", &id, "--goal-action", "pause", "--super-seed", "yes"]);
    assert_eq!(daemon.json("PATCH", &path, &json!({"goal_action": "remove"})).json()["super_seed"], true);
    let told: Value = serde_json::from_str(&daemon.done(&home, &["set", &id, "--json"])).unwrap();
    assert_eq!(
        (&told["id"], &told["max_up"], &told["category"]),
        (&json!(id), &json!(2_000_000), &json!(null))
    );
    assert_eq!(daemon.get("/api/v1/settings").json()["max_up"], 5_000_000);
    let all = daemon.done(&home, &["set", "--max-active", "3", "--max-up", "none"]);
    assert!(
        all.contains("max active            3\n") && all.contains("max up                none\n"),
        "{all}"
    );
    daemon.done(&home, &["recheck", &id]);
    // Dropped, it is killed.
    drop(daemon);
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(
        daemon.get(&path).json(),
        json!({
            "priorities": told["priorities"], "sequential": true, "max_down": null, "max_up": 2_000_000,
            "seed_ratio": 1.5, "seed_seconds": null, "idle_seconds": 60, "goal_action": "remove", "super_seed": true,
            "category": null, "tags": ["a", "b"],
        })
    );
    assert_eq!(daemon.get("/api/v1/settings").json()["max_active"], 3);
    daemon.end();
}

#[test]
fn changes_that_make_no_sense_are_refused_whole() {
    let home = Home::new(Sample::MULTI);
    let (manage, read) = (token(&home, "manage"), token(&home, "read"));
    let daemon = Daemon::start(&home, &[]);
    let id = hex(&home.info_hash);
    let path = format!("{TORRENTS}/{id}/settings");
    let body = br#"{"max_up":1}"#;
    daemon.ask("PATCH", &path, &manage, body).refused(404, "not_here");
    daemon.ask("GET", &path, &read, b"").refused(404, "not_here");
    let with = manage.replace("application/json", "application/x-bittorrent");
    assert_eq!(daemon.ask("POST", TORRENTS, &with, &std::fs::read(&home.torrent).unwrap()).status, 201);
    let before = daemon.ask("GET", &path, &read, b"").json();
    for (body, status, kind) in [
        (r#"{"max_down": -1}"#, 400, "bad_request"),
        (r#"{"max_down": "fast"}"#, 400, "bad_request"),
        (r#"{"max_down": 1e99}"#, 400, "bad_request"),
        (r#"{"max_dwn": 1}"#, 400, "bad_request"),
        (r#"{"a\nb": 1}"#, 400, "bad_request"),
        (r#"{"dir": "/etc"}"#, 400, "bad_request"),
        (r#"{"max_up": 1, "max_up": 2}"#, 400, "bad_request"),
        (r#"{"priorities": ["urgent"]}"#, 400, "bad_request"),
        (r#"{"goal_action": "explode"}"#, 400, "bad_request"),
        (r#"{"goal_action": null, "super_seed": "perhaps"}"#, 400, "bad_request"),
        ("[]", 400, "bad_request"),
        ("", 400, "bad_request"),
        ("{", 400, "bad_request"),
        (r#"{"sequential": null, "tags": 7}"#, 400, "bad_request"),
        (r#"{"max_up": 1, "seed_ratio": -1}"#, 422, "refused"),
        (r#"{"max_up": 1, "category": ""}"#, 422, "refused"),
        (r#"{"max_up": 1, "tags": [""]}"#, 422, "refused"),
    ] {
        daemon.ask("PATCH", &path, &manage, body.as_bytes()).refused(status, kind);
    }
    let many: Vec<&str> = vec!["normal"; 1000];
    daemon
        .ask("PATCH", &path, &manage, json!({"priorities": many}).to_string().as_bytes())
        .refused(422, "refused");
    let none: Vec<&str> = vec!["skip"; Sample::MULTI.layout.len()];
    let none = json!({"priorities": none}).to_string();
    daemon.ask("PATCH", &path, &manage, none.as_bytes()).refused(422, "nothing_selected");
    daemon.ask("PATCH", &path, &manage, "[".repeat(60_000).as_bytes()).refused(400, "bad_request");
    daemon.ask("PATCH", &path, &manage, " ".repeat(70_000).as_bytes()).refused(413, "too_long");
    let text = manage.replace("application/json", "text/plain");
    daemon.ask("PATCH", &path, &text, body).refused(415, "media_type");
    daemon.ask("PATCH", &path, &read, body).refused(403, "scope");
    daemon.ask("PATCH", "/api/v1/settings", &manage, body).refused(403, "scope");
    assert_eq!(daemon.ask("GET", &path, &read, b"").json(), before, "nothing of it was done");
    daemon.end();
}

#[test]
fn what_set_is_told_wrongly_is_said_on_one_line() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let id = hex(&home.info_hash);
    for (args, code) in [
        (&["set", "--category", "x"][..], 1),
        (&["set", &id, "--max-active", "1"], 1),
        (&["set", &id, "--priority", "99=skip"], 1),
        (&["set", &id, "--priority", "*.iso=skip"], 1),
        (&["set", &id, "--tags", "a,,b"], 1),
        (&["set", "nobody", "--max-up", "1M"], 1),
        (&["set", &id, "--priority", "0"], 2),
        (&["set", &id, "--priority", "0=urgent"], 2),
        (&["set", &id, "--max-up", "fast"], 2),
        (&["set", &id, "--seed-ratio", "-1"], 2),
        (&["set", "--max-active", "x"], 2),
        (&["set", &id, "--part-suffix", "yes"], 1),
        (&["set", "--super-seed", "yes"], 1),
        (&["set", "--incomplete-dir", "/etc"], 1),
        (&["set", "--hours", "22:00"], 2),
        (&["set", "--hours", "day=22:00-06:00"], 2),
        (&["set", "--save-path", "films"], 2),
        (&["set", &id, "--goal-action", "explode"], 2),
    ] {
        let done = daemon.command(&home, args);
        assert_eq!(done.code(), Some(code), "{args:?}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{args:?}: {}", done.stderr);
        if args.contains(&"99=skip") || args.contains(&"*.iso=skip") {
            let shows = format!("see 'rawtorrent files {id}'");
            assert!(done.stderr.contains(&shows), "{}", done.stderr);
        }
    }
    daemon.end();
}

#[test]
fn folders_and_hours_of_all_are_told_to_a_daemon() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let (settings, id) = ("/api/v1/settings", hex(&home.info_hash));
    let (films, apart) = (home.out().join("films"), home.out().join("apart"));
    let before = daemon.get(settings).json();
    for (change, status, kind) in [
        (json!({"save_paths": {"films": "/etc"}}), 403, "root"),
        (json!({"incomplete_dir": "/etc"}), 403, "root"),
        (json!({"incomplete_dir": home.out().join("../x")}), 400, "bad_request"),
        (json!({"save_paths": {"films": "films"}}), 400, "bad_request"),
        (json!({"save_paths": {"films": 7}}), 400, "bad_request"),
        (json!({"save_paths": {"": films}}), 422, "refused"),
        (json!({"part_suffix": null, "max_up": "fast"}), 400, "bad_request"),
        (json!({"alternative": {"from": "24:00"}}), 400, "bad_request"),
        (json!({"alternative": {"days": ["day"]}}), 400, "bad_request"),
        (json!({"alternative": {"until": "12:00"}}), 400, "bad_request"),
    ] {
        daemon.json("PATCH", settings, &change).refused(status, kind);
    }
    assert_eq!(daemon.get(settings).json(), before, "nothing of it was done");

    let change = json!({"alternative": {"max_up": 1000, "from": "22:00", "to": "06:00"}, "save_paths": {"books": home.out()}});
    let held = daemon.json("PATCH", settings, &change).json();
    assert_eq!(
        (&held["alternative"]["max_up"], &held["alternative"]["from"]),
        (&json!(1000), &json!("22:00"))
    );
    assert_eq!(held["alternative"]["days"].as_array().unwrap().len(), 7);
    // What is not named stays, at every depth.
    let shown = daemon.done(&home, &["set", "--hours-max-up", "none", "--hours-max-down", "2M"]);
    assert!(shown.contains("mon,tue,wed,thu,fri,sat,sun 22:00-06:00"), "{shown}");
    let (save_path, apart_text) = (format!("films={}", films.display()), apart.to_str().unwrap());
    let options =
        ["set", "--hours", "sat-sun=08:30-20:00", "--save-path", &save_path, "--save-path", "books=none"];
    let shown = daemon
        .done(&home, &[&options[..], &["--incomplete-dir", apart_text, "--part-suffix", "yes"]].concat());
    assert!(shown.contains("sat,sun 08:30-20:00") && shown.contains(&save_path), "{shown}");
    let limits = json!({"max_down": 2_000_000, "max_up": null, "days": ["sat", "sun"], "from": "08:30", "to": "20:00"});
    drop(daemon);

    // It outlives a kill.
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let held = daemon.get(settings).json();
    assert_eq!((&held["alternative"], &held["save_paths"]), (&limits, &json!({"films": films})));
    assert_eq!(
        daemon.json("PATCH", settings, &json!({"alternative": null})).json()["alternative"],
        json!(null)
    );
    daemon.done(&home, &["add", home.torrent.to_str().unwrap(), "--category", "films", "--paused"]);
    let torrent = daemon.get(&format!("{TORRENTS}/{id}")).json();
    assert_eq!((&torrent["dir"], &torrent["category"]), (&json!(apart), &json!("films")));
    daemon.done(&home, &["resume", &id]);
    until(&daemon, &format!("{TORRENTS}/{id}"), |torrent| {
        torrent["state"] == "seeding" && torrent["dir"] == json!(films)
    });
    assert!(films.join(Sample::MULTI.name).exists());
    daemon.end();
}

#[test]
fn torrents_are_moved_below_the_roots() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let id = hex(&home.info_hash);
    let path = format!("{TORRENTS}/{id}");
    daemon.json("POST", &format!("{path}/move"), &json!({"dir": home.out()})).refused(404, "not_here");
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    until(&daemon, &path, |torrent| torrent["state"] == "seeding");
    for (dir, status, kind) in [
        ("/etc", 403, "root"),
        ("elsewhere", 400, "bad_request"),
        (&format!("{}/../x", home.out().display()), 400, "bad_request"),
    ] {
        daemon.json("POST", &format!("{path}/move"), &json!({"dir": dir})).refused(status, kind);
    }
    daemon.ask("POST", &format!("{path}/move"), "", b"").refused(415, "media_type");
    daemon.json("POST", &format!("{path}/move"), &json!({"dir": 7})).refused(400, "bad_request");
    let there = home.out().join("there");
    daemon.done(&home, &["move", &id, there.to_str().unwrap()]);
    until(&daemon, &path, |torrent| {
        torrent["state"] == "seeding" && torrent["dir"] == there.to_str().unwrap()
    });
    assert!(there.join(Sample::MULTI.name).exists() && !home.downloaded().exists());
    daemon.end();
}

/// What takes long is answered before it is done, and what came of it is told by the torrent.
#[test]
fn a_move_that_takes_long_is_on_its_way_and_says_how_it_went() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let far = home.out().join("far");
    std::fs::create_dir_all(&far).unwrap();
    let disk = Disk::new(3);
    let _mounted = disk.mount(&far);
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let id = hex(&home.info_hash);
    let path = format!("{TORRENTS}/{id}");
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    until(&daemon, &path, |torrent| torrent["state"] == "seeding");
    let (gate, closed) = std::sync::mpsc::channel::<()>();
    disk.set_fault(Some(Box::new(move |call, _| {
        let is_file = call == Call::Write;
        if is_file {
            let _ = closed.recv();
        }
        is_file.then_some(Errno::ENOSPC)
    })));
    let body = json!({"dir": far.join("x")});
    let answer = daemon.json("POST", &format!("{path}/move"), &body);
    assert_eq!(answer.status, 202);
    assert_eq!(daemon.get(&path).json()["state"], "moving");
    let elsewhere = json!({"dir": home.out().join("y")});
    daemon.json("POST", &format!("{path}/move"), &elsewhere).refused(422, "refused");
    drop(gate);
    let told = until(&daemon, &path, |torrent| torrent["state"] == "seeding");
    let note = told["note"].as_str().unwrap();
    assert!(note.contains("it was not moved to") && note.contains("the disk is full"), "{told}");
    assert_eq!(told["dir"], home.out().to_str().unwrap());
    let shown = daemon.done(&home, &["info", &id]);
    assert!(shown.contains("it was not moved to"), "{shown}");
    disk.set_fault(None);
    assert_eq!(daemon.json("POST", &format!("{path}/move"), &body).status, 204);
    let told = until(&daemon, &path, |torrent| torrent["state"] == "seeding");
    assert_eq!((&told["dir"], &told["note"]), (&body["dir"], &Value::Null));
    daemon.end();
}

#[test]
fn torrents_are_queued_and_their_trackers_edited() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let id = hex(&home.info_hash);
    let (queue, trackers) = (format!("{TORRENTS}/{id}/queue"), format!("{TORRENTS}/{id}/trackers"));
    assert_eq!(daemon.done(&home, &["queue", "top", &id]), format!("{id} queued\n"));
    assert_eq!(daemon.command(&home, &["queue", "sideways", &id]).code(), Some(2));
    for body in [json!({"to": "sideways"}), json!({}), json!([]), json!({"to": "up", "by": 7})] {
        daemon.json("POST", &queue, &body).refused(400, "bad_request");
    }
    let nobody = format!("{TORRENTS}/{}/queue", "0".repeat(40));
    daemon.json("POST", &nobody, &json!({"to": "up"})).refused(404, "not_here");

    let url = "http://tracker.example/announce";
    daemon.done(&home, &["trackers", &id, "--add", url]);
    // Without trackers nobody is asked, whatever is named.
    assert_eq!(daemon.json("PATCH", &trackers, &json!({"remove": [url]})).status, 204);
    daemon.json("PATCH", &trackers, &json!({"add": url})).refused(400, "bad_request");
    daemon.json("PATCH", &trackers, &json!({"add": ["gopher://x"]})).refused(422, "refused");
    daemon.end();
}

#[test]
fn torrents_that_appear_in_a_folder_are_added() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    let inbox = home.out().join("inbox");
    std::fs::create_dir(&inbox).unwrap();
    let shown = daemon.done(
        &home,
        &[
            "watch",
            inbox.to_str().unwrap(),
            "--paused",
            "--category",
            "films",
            "--to",
            home.out().to_str().unwrap(),
        ],
    );
    assert!(shown.contains("inbox"), "{shown}");
    let told = daemon.get("/api/v1/watch").json();
    assert_eq!((&told[0]["category"], &told[0]["paused"]), (&json!("films"), &json!(true)), "{told}");
    std::fs::copy(&home.torrent, inbox.join("a.torrent")).unwrap();
    let listed = until(&daemon, TORRENTS, |listed| listed["total"] == 1);
    assert_eq!(
        (&listed["torrents"][0]["state"], &listed["torrents"][0]["category"]),
        (&json!("paused"), &json!("films"))
    );
    for dir in ["/etc", "relative", &format!("{}/../x", home.out().display())] {
        let answer = daemon.json("POST", "/api/v1/watch", &json!({"dir": dir}));
        assert!(matches!(answer.status, 400 | 403), "{dir}: {}", answer.status);
    }
    assert_eq!(daemon.done(&home, &["watch", inbox.to_str().unwrap(), "--stop"]), "");
    assert_eq!(daemon.get("/api/v1/watch").json(), json!([]));
    daemon.end();
}
