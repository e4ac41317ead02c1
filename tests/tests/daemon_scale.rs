//! The daemon with thousands of torrents: how long its API takes.
//!
//! Here with fewer torrents and ten times the bars; `cargo xtask bench daemon` runs it with 10,000 for a minute, by the bars, while
//! one of their disks does not answer any more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "disks/disk.rs"]
#[allow(dead_code, reason = "of its disk, only that it hangs")]
mod disk;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::daemon::Daemon;
use common::{Home, LIMIT};
use disk::Disk;
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use sha1::{Digest, Sha1};

/// What is measured, and by which bars.
struct Scale {
    torrents: u32,
    mixed: Duration,
    bar: u32,
    hangs: bool,
}

const CI: Scale = Scale { torrents: 1_000, mixed: Duration::from_secs(3), bar: 10, hangs: true };
const FULL: Scale = Scale { torrents: 10_000, mixed: Duration::from_secs(60), bar: 1, hangs: true };
/// Says that the full scale is wanted.
const WANTED: &str = "RAWTORRENT_TEST_SCALE";
/// Each is one request of twenty; the others ask for one torrent.
const KINDS: [&str; 5] = ["list", "metrics", "pause", "resume", "set"];
/// Who asks at the same time.
const CLIENTS: u64 = 4;

/// A torrent of one small file, and its id.
fn torrent(number: u32) -> (Vec<u8>, String) {
    let name = format!("torrent {number:05}.iso");
    let pieces = format!("{number:020}");
    let info =
        format!("d6:lengthi16384e4:name{}:{name}12:piece lengthi16384e6:pieces20:{pieces}e", name.len());
    let id = hex(&Sha1::digest(&info));
    (format!("d4:info{info}e").into_bytes(), id)
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    fn new(addr: &str) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Client { stream: BufReader::new(stream), host: addr.to_owned() }
    }

    /// The status and the body.
    fn ask(&mut self, method: &str, path: &str, media: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "{method} {path}: it hung up");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, body)
    }
}

/// How long it takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

fn start(home: &Home) -> Daemon {
    let mut command = home.command();
    command.args(["daemon", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--no-trackers"]);
    command.arg("--root").arg(home.out()).arg("--socket").arg(home.path().join("api.sock"));
    let mut session = Session::start(&mut command).unwrap();
    let ready = session.wait_event(LIMIT, |event| event["event"] == "ready").unwrap();
    let addr = ready["api"][0].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    Daemon { session, addr }
}

/// Adds all torrents, several at a time.
fn add(daemon: &Daemon, torrents: u32) {
    std::thread::scope(|scope| {
        for first in 0..16 {
            scope.spawn(move || {
                let mut client = Client::new(&daemon.addr);
                for number in (first..torrents).step_by(16) {
                    let (file, _) = torrent(number);
                    let (status, _) =
                        client.ask("POST", "/api/v1/torrents", "application/x-bittorrent", &file);
                    assert_eq!(status, 201);
                }
            });
        }
    });
}

/// Reads and writes of all kinds; how long each took, and what it was.
fn mixed(addr: &str, scale: &Scale) -> Vec<(Duration, &'static str)> {
    let ask = |seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut client = Client::new(addr);
        let (mut times, until) = (Vec::new(), Instant::now() + scale.mixed);
        while Instant::now() < until {
            let path = format!("/api/v1/torrents/{}", torrent(rng.u32(..scale.torrents)).1);
            let kind = KINDS.get(rng.usize(..20)).copied().unwrap_or("info");
            let ((status, _), took) = timed(|| match kind {
                "list" => client.ask("GET", "/api/v1/torrents?limit=50&sort=name", "", b""),
                "metrics" => client.ask("GET", "/metrics", "", b""),
                "pause" | "resume" => client.ask("POST", &format!("{path}/{kind}"), "", b""),
                "set" => {
                    let body = format!("{{\"max_up\":{}}}", rng.u32(1000..));
                    client.ask("PATCH", &format!("{path}/settings"), "application/json", body.as_bytes())
                }
                _ => client.ask("GET", &path, "", b""),
            });
            assert!(matches!(status, 200 | 204), "{path}: {status}");
            times.push((took, kind));
        }
        times
    };
    let ask = &ask;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|seed| scope.spawn(move || ask(seed))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// Has a disk answer nothing from the next change on, until what this gives is dropped.
fn hang(disk: &Disk) -> std::sync::mpsc::Sender<()> {
    let (gate, closed): (_, Receiver<()>) = channel();
    disk.set_fault(Some(Box::new(move |_, _| {
        let _ = closed.recv();
        None
    })));
    gate
}

fn poke(dir: &Path) {
    let dir = dir.to_owned();
    std::thread::spawn(move || std::fs::create_dir(dir.join("x")));
}

#[test]
fn the_api_answers_at_any_size() {
    let scale = if std::env::var_os(WANTED).is_some() { FULL } else { CI };
    let home = Home::new(Sample::MULTI);
    let mount = home.out().join("hung");
    std::fs::create_dir(&mount).unwrap();
    let disk = Disk::new(1);
    let mounted = disk.mount(&mount);
    let daemon = start(&home);
    let (_, took) = timed(|| add(&daemon, scale.torrents));
    println!("{} torrents added in {:.1} s", scale.torrents, took.as_secs_f64());
    assert_eq!(daemon.add(&home.torrent, &format!("?dir={}", mount.display())).status, 201);

    let gate = scale.hangs.then(|| hang(&disk));
    poke(&mount);
    // It is answered, or told to be slow; nobody else hears of it.
    let addr = daemon.addr.clone();
    let hung = format!("/api/v1/torrents/{}", hex(&home.info_hash));
    let stuck =
        std::thread::spawn(move || Client::new(&addr).ask("POST", &format!("{hung}/recheck"), "", b"").0);

    let mut missed = Vec::new();
    let mut bar = |what: &str, took: Duration, bar: u64| {
        let bar = Duration::from_millis(bar);
        println!("{what}: {:.1} ms; the bar is {} ms", took.as_secs_f64() * 1000.0, bar.as_millis());
        if took > bar * scale.bar {
            missed.push(what.to_owned());
        }
    };
    let mut times = mixed(&daemon.addr, &scale);
    times.sort_unstable();
    println!("{} requests", times.len());
    for kind in KINDS.into_iter().chain(["info"]) {
        let of_kind: Vec<_> = times.iter().filter(|time| time.1 == kind).map(|time| time.0).collect();
        let at = |part: usize| of_kind[(of_kind.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        println!("{kind}: median {:.1} ms, p99 {:.1} ms, most {:.1} ms", at(50), at(99), at(100));
    }
    bar("p99 of reads and writes", times[times.len() * 99 / 100].0, 50);
    assert!(matches!(stuck.join().unwrap(), 204 | 503));
    let mut client = Client::new(&daemon.addr);
    let mut list = || client.ask("GET", "/api/v1/torrents", "", b"").1;
    list();
    let (full, took) = timed(&mut list);
    bar("full list", took, 200);
    let full: serde_json::Value = serde_json::from_slice(&full).unwrap();
    assert_eq!(full["total"], scale.torrents + 1);
    let change = format!("/api/v1/torrents/{}/settings", torrent(0).1);
    assert_eq!(client.ask("PATCH", &change, "application/json", b"{\"max_up\":999}").0, 200);
    let path = format!("/api/v1/torrents?since={}", full["revision"]);
    let ((_, delta), took) = timed(|| client.ask("GET", &path, "", b""));
    bar("delta", took, 10);
    let delta: serde_json::Value = serde_json::from_slice(&delta).unwrap();
    assert_eq!(delta["full"], false);
    // What waits for the disk can't even be killed; the next one finds it hung.
    drop(client);
    drop(gate);
    drop(daemon);
    let gate = scale.hangs.then(|| hang(&disk));
    poke(&mount);
    let (daemon, took) = timed(|| start(&home));
    bar("start to serving", took, 3_000);
    // The one whose disk hangs may not be there yet.
    let told = daemon.get("/api/v1").json()["torrents"].as_u64().unwrap();
    assert!(told >= scale.torrents.into(), "{told} torrents");
    drop(gate);
    disk.set_fault(None);
    drop(daemon);
    drop(mounted);
    assert!(missed.is_empty(), "missed by more than {} times: {missed:?}", scale.bar);
}
