//! Bad input and bad luck: a clear line, exit code 1, nothing half-written, nothing lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{
    Home, INTERRUPT_LIMIT, LIMIT, assert_fails, assert_is_for_people, error_event, run, start, with_mount,
};
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::metafile::{self, PIECE_LEN, Value};
use rawtorrent_tests::peer::{FAST, FakeSeed, RawPeer, Serving};
use rawtorrent_tests::tracker::{Answer, SOON, Server};
use rawtorrent_tests::{binary, free_addr};
use rustix::process::Signal;

/// Small enough to be there in a moment.
const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 3 * PIECE_LEN + 17)] };

// What is wrong with a torrent.

fn info(entries: Vec<(&'static str, Value)>) -> Vec<u8> {
    Value::Dict(vec![("info", Value::Dict(entries))]).encode()
}

fn length(len: i64, hashes: usize) -> Vec<u8> {
    info(vec![
        ("length", Value::Int(len)),
        ("name", "x".into()),
        ("piece length", Value::Int(16_384)),
        ("pieces", Value::Bytes(vec![0; hashes])),
    ])
}

fn bad_torrents() -> Vec<(&'static str, Vec<u8>)> {
    let good = metafile::torrent(&SMALL, None);
    let huge = |len| Value::Dict(vec![("length", Value::Int(len)), ("path", Value::List(vec!["a".into()]))]);
    vec![
        ("empty", Vec::new()),
        ("a web page", b"<!DOCTYPE html><html><body>404</body></html>".to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("without its end", good[..good.len() - 1].to_vec()),
        ("a list", b"l4:spam4:eggse".to_vec()),
        ("no info", b"d8:announce3:abce".to_vec()),
        ("info is a string", b"d4:info4:spame".to_vec()),
        ("name is a number", info(vec![("length", Value::Int(1)), ("name", Value::Int(1))])),
        (
            "no pieces",
            info(vec![("length", Value::Int(1)), ("name", "x".into()), ("piece length", Value::Int(16_384))]),
        ),
        ("pieces not in twenties", length(16_384, 19)),
        ("too few pieces", length(16_385, 20)),
        ("negative size", length(-1, 20)),
        ("huge size", length(i64::MAX, 20)),
        (
            "sizes that overflow",
            info(vec![
                ("files", Value::List(vec![huge(i64::MAX), huge(i64::MAX), huge(i64::MAX)])),
                ("name", "x".into()),
                ("piece length", Value::Int(16_384)),
                ("pieces", Value::Bytes(vec![0; 20])),
            ]),
        ),
        (
            "pieces of no length",
            info(vec![
                ("length", Value::Int(1)),
                ("name", "x".into()),
                ("piece length", Value::Int(0)),
                ("pieces", Value::Bytes(vec![0; 20])),
            ]),
        ),
        ("a number that is none", b"d4:infod6:lengthi--1eee".to_vec()),
        ("a string beyond the end", b"d4:info99999999999999999999:".to_vec()),
        ("deeper than deep", [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat()),
    ]
}

#[test]
fn a_bad_torrent_is_named_and_refused_by_every_command() {
    let home = Home::new(SMALL);
    let bad = home.path().join("the-bad-one.torrent");
    for (what, bytes) in bad_torrents() {
        fs::write(&bad, bytes).unwrap();
        let out = home.out();
        let commands: [&[&str]; 4] = [
            &["show"],
            &["verify", "--data", out.to_str().unwrap()],
            &["download", "--no-trackers", "--listen", "127.0.0.1:0", "-o", out.to_str().unwrap()],
            &["seed", "--no-trackers", "--listen", "127.0.0.1:0", "--data", out.to_str().unwrap()],
        ];
        for arguments in commands {
            let done = run(home.command().args(arguments).arg(&bad));
            assert_eq!(done.code(), Some(1), "{what}: {arguments:?}\n{}\n{}", done.stdout, done.stderr);
            assert_is_for_people(&done.stderr);
            assert!(done.stderr.contains("the-bad-one.torrent"), "{what}: which torrent? {}", done.stderr);
        }
        home.assert_nothing_written();
    }
}

#[test]
fn a_bad_torrent_on_stdin_is_refused() {
    let home = Home::new(SMALL);
    let mut child = home
        .command()
        .args(["download", "-", "--json", "--no-trackers", "--listen", "127.0.0.1:0", "-o"])
        .arg(home.out())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"not bencode").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = binary::events(&String::from_utf8(output.stdout).unwrap()).unwrap().remove(0);
    assert_eq!(error["event"], "error");
    assert!(error["kind"].is_string() && error["message"].is_string(), "{error}");
}

#[test]
fn names_that_climb_out_or_are_devices_are_made_safe() {
    let home = Home::new(SMALL);
    let file = |path: &[&str]| {
        let elements = path.iter().map(|element| Value::from(*element)).collect();
        Value::Dict(vec![("length", Value::Int(1)), ("path", Value::List(elements))])
    };
    let files = [
        &["..", "..", "evil"][..],
        &["/etc", "passwd"],
        &["CON"],
        &["a/b"],
        &["a\0b"],
        &["."],
        &["x", "..", "y"],
    ];
    let torrent = info(vec![
        ("files", Value::List(files.iter().map(|path| file(path)).collect())),
        ("name", "../up".into()),
        ("piece length", Value::Int(16_384)),
        ("pieces", Value::Bytes(vec![7; 20])),
    ]);
    fs::write(&home.torrent, torrent).unwrap();
    let done = run(home.command().args(["show", "--json"]).arg(&home.torrent));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let shown: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let files = shown["files"].as_array().unwrap();
    assert_eq!(files.len(), 7, "{shown}");
    let mut paths = std::collections::BTreeSet::new();
    for file in files {
        let path = file["path"].as_str().unwrap();
        assert!(!path.starts_with('/') && !path.contains('\0'), "{path}");
        let bad = |element: &str| matches!(element, "" | "." | ".." | "CON");
        assert!(!path.split('/').any(bad), "{path}");
        assert!(paths.insert(path.to_lowercase()), "twice: {path}");
    }
}

// What is wrong with the command line.

#[test]
fn wrong_usage_exits_with_2() {
    let home = Home::new(SMALL);
    let torrent = home.torrent.to_str().unwrap();
    let wrong: &[&[&str]] = &[
        &["download"],
        &["frobnicate"],
        &["download", torrent, "--no-such-option"],
        &["download", torrent, "--max-down", "fast"],
        &["download", torrent, "--listen", "nowhere"],
        &["download", torrent, "--peer", "1.2.3.4"],
        &["download", torrent, "--seed-time", "soon"],
        &["create", torrent, "--piece-length", "-1"],
        &["seed", torrent],
        &["verify", torrent],
        &["show"],
        &["download", torrent, "--explain"],
        &["download", torrent, "--trace", "handshake,in"],
        &["download", torrent, torrent, "--listen", "127.0.0.1:0", "--record", "x.rec"],
        &["download", torrent, torrent, "--listen", "127.0.0.1:0", "--trace", "--pcap", "x.pcapng"],
        &["trace", "--kind", "nonsense"],
    ];
    for arguments in wrong {
        let done = run(home.command().args(*arguments));
        assert_eq!(done.code(), Some(2), "{arguments:?}\n{}\n{}", done.stdout, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }
    let done = run(home.command().args(["download", torrent, "--pcap", "x.pcapng"]));
    assert_eq!(done.code(), Some(2));
    assert!(done.stderr.ends_with("--pcap is of what --trace shows: add --trace\n"), "{}", done.stderr);
    home.assert_nothing_written();
}

#[test]
fn a_magnet_link_that_names_nothing_is_told() {
    let home = Home::new(SMALL);
    let short = format!("magnet:?xt=urn:btih:{}", "ab".repeat(19));
    for link in [short.as_str(), "magnet:?dn=x", "magnet:?xt=urn:btih:%"] {
        let done = run(home.command().args(["download", link, "-o"]).arg(home.out()));
        assert_fails(&done, &["magnet"]);
    }
    home.assert_nothing_written();
}

#[test]
fn a_torrent_that_is_not_there_is_named() {
    let home = Home::new(SMALL);
    let done = run(home.command().args(["download", "no-such.torrent", "-o"]).arg(home.out()));
    assert_fails(&done, &["no-such.torrent"]);
}

// Torrents from the web.

#[test]
fn a_torrent_comes_from_a_url() {
    let home = Home::new(SMALL);
    let server = Server::start(Answer::Body(fs::read(&home.torrent).unwrap())).unwrap();
    let seed = home.fake_seed();
    let mut download = home.command();
    download.args([
        "download",
        &server.url("a.torrent"),
        "--no-trackers",
        "--listen",
        "127.0.0.1:0",
        "--peer",
    ]);
    download.arg(seed.addr.to_string()).arg("-o").arg(home.out());
    let done = run(&mut download);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
}

#[test]
fn a_url_that_lies_loops_or_never_ends_is_refused() {
    let home = Home::new(SMALL);
    let closed = format!("http://{}/closed.torrent", free_addr().unwrap());
    let answers = [
        Answer::Status(404),
        Answer::Status(500),
        Answer::Redirect,
        Answer::Body(b"<html>".to_vec()),
        Answer::Endless,
    ];
    let servers = answers.map(|answer| Server::start(answer).unwrap());
    let urls = servers.iter().map(|server| server.url("a.torrent")).chain([closed]);
    for url in urls {
        let done = run(home.command().args(["download", &url, "-o"]).arg(home.out()));
        assert_fails(&done, &["a.torrent", "closed.torrent"]);
        home.assert_nothing_written();
    }
}

// Where the download goes.

#[test]
fn a_file_in_the_way_stays_as_it_is_unless_told() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let strangers = vec![b'!'; SMALL.len()];
    fs::write(home.downloaded(), &strangers).unwrap();
    let done = run(&mut home.download_from(&[&seed]));
    assert_fails(&done, &["small.bin"]);
    assert_eq!(error_event(&done)["info_hash"], rawtorrent_tests::content::hex(&home.info_hash));
    assert_eq!(fs::read(home.downloaded()).unwrap(), strangers);

    let done = run(home.download_from(&[&seed]).arg("--overwrite"));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
}

#[test]
fn a_file_with_a_valid_piece_is_ours_to_complete() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let mut half = SMALL.stream();
    half[2 * PIECE_LEN..].fill(0);
    fs::write(home.downloaded(), &half).unwrap();
    let done = run(&mut home.download_from(&[&seed]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(seed.requests().iter().all(|(piece, _)| *piece >= 2), "asked for pieces that were there");
}

#[test]
fn a_folder_in_the_way_stays_as_it_is() {
    let home = Home::new(SMALL);
    fs::create_dir(home.downloaded()).unwrap();
    fs::write(home.downloaded().join("keep"), "me").unwrap();
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_fails(&done, &["small.bin"]);
    assert_eq!(fs::read(home.downloaded().join("keep")).unwrap(), b"me");
}

#[test]
fn an_output_path_that_is_a_file_is_refused() {
    let home = Home::new(SMALL);
    let file = home.path().join("not-a-folder");
    fs::write(&file, "mine").unwrap();
    let mut download = home.command();
    download.arg("download").arg(&home.torrent).arg("-o").arg(&file);
    let done = run(download.args(["--no-trackers", "--listen", "127.0.0.1:0"]));
    assert_fails(&done, &["not-a-folder"]);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    // Permissions don't stop root: a read-only mount stops everybody.
    fs::set_permissions(home.out(), fs::Permissions::from_mode(0o555)).unwrap();
    let mount = format!("mount -t tmpfs -o ro,size=16m none '{}'", home.out().display());
    let done = run(&mut with_mount(&mount, &home.download_from(&[&seed])));
    assert_fails(&done, &["read-only", "permission", "write"]);
    home.assert_nothing_written();
}

#[test]
fn a_full_disk_stops_the_torrent_and_says_so() {
    let home = Home::new(Sample { name: "big.bin", layout: &[("", 4 << 20)] });
    let seed = home.fake_seed();
    let mount = format!("mount -t tmpfs -o size=1m none '{}'", home.out().display());
    let done = run(&mut with_mount(&mount, &home.download_from(&[&seed])));
    assert_fails(&done, &["space", "full"]);
    let error = error_event(&done);
    assert_eq!(error["info_hash"], rawtorrent_tests::content::hex(&home.info_hash));
    assert!(error["message"].as_str().unwrap().to_lowercase().contains("space"), "{error}");
}

#[test]
fn space_reserved_ahead_is_missed_before_anything_is_fetched() {
    let home = Home::new(Sample { name: "big.bin", layout: &[("", 4 << 20)] });
    let seed = home.fake_seed();
    let mount = format!("mount -t tmpfs -o size=1m none '{}'", home.out().display());
    let mut download = home.download_from(&[&seed]);
    let done = run(&mut with_mount(&mount, download.args(["--allocate", "full"])));
    assert_fails(&done, &["space", "full"]);
    assert_eq!(seed.served(), 0);
}

#[test]
fn a_taken_port_is_named() {
    let home = Home::new(SMALL);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut download = home.command();
    download.arg("download").arg(&home.torrent).args(["--no-trackers", "--listen", &addr.to_string(), "-o"]);
    let done = run(download.arg(home.out()));
    assert_fails(&done, &[&addr.to_string()]);
    home.assert_nothing_written();
}

#[test]
fn seeding_what_is_not_there_is_refused() {
    let home = Home::new(SMALL);
    let done = run(&mut home.seed_at(free_addr().unwrap()));
    assert_fails(&done, &["small.bin", "out", "nothing"]);
    home.assert_nothing_written();
}

#[test]
fn verify_tells_good_from_bad() {
    let home = Home::new(SMALL);
    let verify = || {
        let mut command = home.command();
        command.arg("verify").arg(&home.torrent).arg("--data").arg(home.out());
        run(&mut command)
    };
    let root = SMALL.write(&home.out()).unwrap();
    assert_eq!(verify().code(), Some(0));
    let mut bytes = SMALL.stream();
    bytes[PIECE_LEN] ^= 1;
    fs::write(&root, &bytes).unwrap();
    assert_eq!(verify().code(), Some(1));
    assert_eq!(fs::read(&root).unwrap(), bytes, "verify only looks");
    fs::remove_file(&root).unwrap();
    assert_eq!(verify().code(), Some(1));
    home.assert_nothing_written();
}

// Trackers that misbehave, while a peer is known all the same.

#[test]
fn a_tracker_that_misbehaves_does_not_stop_a_download() {
    let closed = format!("http://{}/announce", free_addr().unwrap());
    let answers = [
        Answer::Body(b"d14:failure reason9:go away!!e".to_vec()),
        Answer::Body(b"<html>".to_vec()),
        Answer::Body(b"d8:intervali-1e5:peers1:xe".to_vec()),
        Answer::Body(b"d8:intervali0e12:min intervali0e5:peers0:e".to_vec()),
        Answer::Status(503),
        Answer::Redirect,
        Answer::Endless,
        Answer::Silence,
    ];
    let servers = answers.map(|answer| Server::start(answer).unwrap());
    let urls = servers.iter().map(|server| server.url("announce")).chain([closed]);
    for url in urls {
        let home = Home::with_tracker(SMALL, Some(&url));
        let seed = home.fake_seed();
        let done = run(home.download_with_trackers().args(["--peer", &seed.addr.to_string()]));
        assert_eq!(done.code(), Some(0), "{url}\n{}", done.stderr);
        home.assert_downloaded();
    }
}

#[test]
fn a_tracker_hears_the_whole_story() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let tracker = Server::start(Answer::Peers(vec![seed.addr])).unwrap();
    fs::write(&home.torrent, metafile::torrent(&SMALL, Some(&tracker.url("announce?passkey=a%20b"))))
        .unwrap();
    let done = run(&mut home.download_with_trackers());
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    let requests = tracker.requests();
    let with = |event: &str| {
        let event = format!("event={event}");
        let request = requests.iter().find(|request| request.contains(&event));
        request.unwrap_or_else(|| panic!("no {event} in {requests:#?}"))
    };
    let hash: String = home.info_hash.iter().map(|byte| format!("%{byte:02X}")).collect();
    let size = SMALL.len();
    for request in &requests {
        assert!(request.contains("passkey=a%20b"), "{request}");
        assert!(request.contains("compact=1") && request.contains("port="), "{request}");
        let percent_encoded: Vec<u8> = decode(request, "info_hash=");
        assert_eq!(percent_encoded, home.info_hash, "{hash}");
        assert_eq!(decode(request, "peer_id=").len(), 20);
    }
    assert!(with("started").contains(&format!("left={size}")), "{requests:#?}");
    assert!(with("completed").contains("left=0"), "{requests:#?}");
    assert!(with("stopped").contains(&format!("downloaded={size}")), "{requests:#?}");
}

/// A query's value, percent-decoded.
fn decode(request: &str, key: &str) -> Vec<u8> {
    let (_, rest) = request.split_once(key).unwrap();
    let value = rest.split('&').next().unwrap().as_bytes();
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < value.len() {
        if value[at] == b'%' {
            let digits = std::str::from_utf8(&value[at + 1..at + 3]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            at += 3;
        } else {
            bytes.push(value[at]);
            at += 1;
        }
    }
    bytes
}

#[test]
fn an_endless_answer_costs_no_memory() {
    let tracker = Server::start(Answer::Endless).unwrap();
    let home = Home::with_tracker(SMALL, Some(&tracker.url("announce")));
    let mut session = start(&mut home.download_with_trackers());
    assert!(tracker.wait_for("event=started", SOON));
    // The next try comes after the first one was given up, whatever it had cost by then.
    let peak = session.process.peak_memory().unwrap();
    assert!(peak < 200 << 20, "{peak} bytes");
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(130));
    assert!(took < INTERRUPT_LIMIT, "{took:?}");
}

// How the program ends, and what it says on the way.

#[test]
fn ctrl_c_ends_a_download_that_waits() {
    let tracker = Server::start(Answer::Silence).unwrap();
    let home = Home::with_tracker(SMALL, Some(&tracker.url("announce")));
    let seed = FakeSeed::start(Serving { limit: PIECE_LEN, ..home.serving() }).unwrap();
    let mut session = start(home.download_with_trackers().args(["--peer", &seed.addr.to_string()]));
    assert!(seed.wait_served(PIECE_LEN, LIMIT));
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
    assert!(took < INTERRUPT_LIMIT, "{took:?}");
}

#[test]
fn ctrl_c_twice_ends_at_once() {
    let tracker = Server::start(Answer::Silence).unwrap();
    let home = Home::with_tracker(SMALL, Some(&tracker.url("announce")));
    let mut session = start(&mut home.download_with_trackers());
    assert!(tracker.wait_for("event=started", SOON));
    let said = session.process.stderr().len();
    session.process.signal(Signal::INT);
    // Two signals at once would be one: the second is sent when the first has been noticed.
    let noticed = || (session.process.stderr().len() > said).then_some(());
    rawtorrent_tests::poll(Instant::now() + INTERRUPT_LIMIT, noticed)
        .expect("not a word about the interrupt");
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(130));
    assert!(took < INTERRUPT_LIMIT / 6, "{took:?}");
}

#[test]
fn ctrl_c_tells_the_tracker() {
    let home = Home::new(SMALL);
    let stalling = FakeSeed::start(Serving { limit: 0, ..home.serving() }).unwrap();
    let tracker = Server::start(Answer::Peers(vec![stalling.addr])).unwrap();
    fs::write(&home.torrent, metafile::torrent(&SMALL, Some(&tracker.url("announce")))).unwrap();
    let mut session = start(&mut home.download_with_trackers());
    // Then the tracker's answer has been heard.
    assert!(stalling.wait_connected(LIMIT));
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(130));
    assert!(took < INTERRUPT_LIMIT, "{took:?}");
    assert!(
        tracker.requests().iter().any(|request| request.contains("event=stopped")),
        "{:?}",
        tracker.requests()
    );
}

#[test]
fn a_seed_that_is_interrupted_exits_with_0() {
    let home = Home::new(SMALL);
    SMALL.write(&home.out()).unwrap();
    let addr = free_addr().unwrap();
    let mut session = start(&mut home.seed_at(addr));
    let block = fetch_from(&home, addr);
    assert_eq!(block, SMALL.stream()[..16_384]);
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(0), "{}", session.process.stderr());
    assert!(took < INTERRUPT_LIMIT, "{took:?}");
}

#[test]
fn a_download_that_seeds_on_exits_with_0() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let mut session = start(home.download_from(&[&seed]).arg("--seed"));
    session.wait_event(LIMIT, |event| event["event"] == "finished").unwrap();
    assert!(session.process.is_running());
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(0), "{}", session.process.stderr());
    assert!(took < INTERRUPT_LIMIT, "{took:?}");
    home.assert_downloaded();
}

#[test]
fn seeding_ends_by_itself_after_its_time() {
    let home = Home::new(SMALL);
    SMALL.write(&home.out()).unwrap();
    let done = run(home.seed_at(free_addr().unwrap()).args(["--seed-time", "1s"]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
}

/// The first block, once somebody at `addr` has checked its files and serves.
fn fetch_from(home: &Home, addr: std::net::SocketAddr) -> Vec<u8> {
    let fetch = || RawPeer::connect(addr, FAST, home.info_hash).ok()?.fetch(0, 0, 16_384).ok();
    rawtorrent_tests::poll(Instant::now() + LIMIT, fetch).expect("nobody serves")
}

#[test]
fn events_have_the_promised_shape() {
    let home = Home::new(Sample { name: "steady.bin", layout: &[("", 4 << 20)] });
    let seed = home.fake_seed();
    // Slow enough for progress to be told.
    let done = run(home.download_from(&[&seed]).args(["--max-down", "2M"]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let events = binary::events(&done.stdout).unwrap();
    let hash = rawtorrent_tests::content::hex(&home.info_hash);
    let size = home.sample.len() as u64;
    let progress: Vec<_> = events.iter().filter(|event| event["event"] == "progress").collect();
    assert!(!progress.is_empty(), "{}", done.stdout);
    let mut before = 0;
    for event in progress {
        assert_eq!(event["info_hash"], hash);
        assert_eq!(event["total"], size);
        let done = event["done"].as_u64().unwrap();
        assert!(done >= before && done <= size, "{event}");
        before = done;
        for key in ["rate_down", "rate_up", "peers"] {
            assert!(event[key].is_u64(), "{key}: {event}");
        }
    }
    let finished = events.last().unwrap();
    assert_eq!(finished["event"], "finished", "{finished}");
    assert_eq!(finished["info_hash"], hash);
    assert_eq!(finished["bytes"], size);
    assert_eq!(finished["path"], home.downloaded().to_str().unwrap());
    assert!(finished["seconds"].as_f64().unwrap() > 0.0, "{finished}");
}

#[test]
fn plain_output_has_no_escapes() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let mut download = home.command();
    download.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
    download.args(["--no-trackers", "--listen", "127.0.0.1:0", "--peer", &seed.addr.to_string()]);
    let done = run(&mut download);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert!(!done.stdout.contains('\u{1b}') && !done.stderr.contains('\u{1b}'));
}

#[test]
fn options_come_from_the_environment_too() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let mut download: Command = home.command();
    download.arg("download").arg(&home.torrent).env("RAWTORRENT_DIR", home.out());
    download.env("RAWTORRENT_PEER", seed.addr.to_string()).env("RAWTORRENT_LISTEN", "127.0.0.1:0");
    let done = run(download.env("RAWTORRENT_NO_TRACKERS", "true").env("RAWTORRENT_JSON", "true"));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert_eq!(binary::events(&done.stdout).unwrap().last().unwrap()["event"], "finished");
    home.assert_downloaded();
}
