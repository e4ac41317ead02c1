//! `scrape`, of our own tracker over HTTP and UDP and of ones that lie.

use crate::support::{Place, keys};
use net::announce::{TrackerClient, TrackerSettings, announce};
use net::bind::LocalAddrs;
use net::http::HttpClient;
use net::tracker_server::TrackerServer;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::runtime::{Builder, Runtime};
use tracker::{Announce, Event, TrackerUrl};
use types::{InfoHashV1, PeerId};

/// A tracker over HTTP and UDP; it lives as long as this does.
struct Tracker {
    http: String,
    udp: String,
    _server: TrackerServer,
    runtime: Runtime,
}

impl Tracker {
    fn new() -> Tracker {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let mut server = TrackerServer::start(&[([127, 0, 0, 1], 0).into()], 1).unwrap();
        let udp = server.serve_udp(([127, 0, 0, 1], 0).into()).unwrap();
        let http = server.announce_urls().remove(0);
        drop(guard);
        Tracker { http, udp: format!("udp://{udp}/announce"), _server: server, runtime }
    }

    /// So many seeds and leechers of a torrent, each at a port of its own.
    fn peers(&self, info_hash: InfoHashV1, seeds: u16, leechers: u16) {
        let http = HttpClient::new("test", LocalAddrs::default()).unwrap();
        let client = TrackerClient::new(http, TrackerSettings::default());
        let url = TrackerUrl::parse(&self.udp).unwrap();
        for port in 1..=seeds + leechers {
            let message = Announce {
                info_hash,
                peer_id: PeerId([b'p'; 20]),
                port,
                uploaded: 0,
                downloaded: 0,
                left: u64::from(port > seeds),
                event: Some(if port == 1 { Event::Completed } else { Event::Started }),
                numwant: Some(0),
                key: 1,
                tracker_id: None,
                ipv4: None,
                ipv6: None,
            };
            self.runtime.block_on(announce(&client, &url, |_| message.clone())).unwrap();
        }
    }
}

fn v1(magnet_or_hash: &str) -> InfoHashV1 {
    magnet_or_hash.rsplit(':').next().unwrap().parse().unwrap()
}

/// A torrent file of one file, with trackers.
fn make(place: &Place, name: &str, trackers: &[&str]) -> InfoHashV1 {
    place.write(name, name);
    let announce: Vec<_> = trackers.iter().flat_map(|tracker| ["-a", tracker]).collect();
    place.run(&[&["create", name], &announce[..]].concat()).done();
    v1(place.show(&format!("{name}.torrent"))["info_hash_v1"].as_str().unwrap())
}

#[test]
fn every_tracker_says_how_many_there_are() {
    let (place, tracker) = (Place::new(), Tracker::new());
    let one = make(&place, "one", &[&tracker.http, &tracker.udp]);
    tracker.peers(one, 2, 3);

    let ran = place.run(&["scrape", "one.torrent"]).done();
    let shown: Vec<Vec<_>> = ran.text().lines().map(|line| line.split_whitespace().collect()).collect();
    let [http, udp] = [&tracker.http, &tracker.udp].map(|url| url.strip_suffix("/announce").unwrap());
    assert_eq!(
        shown,
        [["tracker", "seeds", "leechers", "completed"], [http, "2", "3", "1"], [udp, "2", "3", "1"]]
    );
    assert_eq!(ran.stderr, "");

    let lines = place.run(&["scrape", "--json", "one.torrent"]).done().json_lines();
    let expected = |tracker: &str| {
        json!({"event": "scrape", "info_hash": one.to_string(), "tracker": tracker, "seeds": 2, "leechers": 3,
               "completed": 1, "downloaders": null, "error": null})
    };
    assert_eq!(lines, [expected(http), expected(udp)]);
}

#[test]
fn links_and_other_trackers_will_do() {
    let (place, tracker) = (Place::new(), Tracker::new());
    let (v1_hash, v2_hash) = ("c0".repeat(20), "c1".repeat(32));
    tracker.peers(v1(&v1_hash), 1, 0);
    tracker.peers(v1(&"c1".repeat(20)), 0, 2);
    let link =
        format!("magnet:?xt=urn:btih:{v1_hash}&xt=urn:btmh:1220{v2_hash}&dn=both&tr=udp%3A%2F%2F127.0.0.1:1");

    for (url, name) in [(&tracker.http, "RAWTORRENT_TRACKER"), (&tracker.udp, "RAWTORRENT_TRACKER")] {
        let lines = place.command(&["scrape", "--json", &link]).env(name, url).output().unwrap();
        let lines = crate::support::Ran::from(lines).done().json_lines();
        let told: Vec<_> =
            lines.iter().map(|line| (&line["info_hash"], &line["seeds"], &line["leechers"])).collect();
        assert_eq!(told, [(&json!(v1_hash), &json!(1), &json!(0)), (&json!(v2_hash), &json!(0), &json!(2))]);
    }
    let named = place.run(&["scrape", &link, "--tracker", &tracker.http]).done();
    let inside = place.run(&["scrape", &link]);
    assert!(inside.code == Some(1) && inside.stderr.contains("because a link names it"), "{}", inside.stderr);
    assert!(named.text().lines().nth(2).unwrap().ends_with("  both (v2)"), "{}", named.text());
}

#[test]
fn torrents_of_one_tracker_go_in_one_request() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce.php?passkey=hunter2", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            log.lock().unwrap().push(head(&mut stream));
            respond(&mut stream, b"d5:filesdee");
        }
    });
    let hashes = ["one", "two", "three"].map(|name| make(&place, name, &[&url]));
    let ran = place.run(&[
        "scrape",
        "--allow-private",
        "--json",
        "one.torrent",
        "two.torrent",
        "three.torrent",
        "one.torrent",
    ]);
    assert_eq!(ran.code, Some(1));
    let requests = seen.lock().unwrap().clone();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("GET /scrape.php?passkey=hunter2&info_hash="), "{requests:?}");
    assert_eq!(requests[0].matches("info_hash=").count(), 3, "{requests:?}");
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[1]["info_hash"], hashes[1].to_string());
    assert_eq!(lines[1]["error"], "it does not tell of two");
    assert!(!ran.stderr.contains("hunter2") && !ran.text().contains("hunter2"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
}

#[test]
fn who_has_nothing_to_tell_is_told_of_once() {
    let (place, good) = (Place::new(), Tracker::new());
    let liar = UdpSocket::bind("127.0.0.1:0").unwrap();
    let liar_url = format!("udp://{}", liar.local_addr().unwrap());
    // Another transaction, then what is too short, then a refusal.
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((_, from)) = liar.recv_from(&mut buf) {
            let (action, transaction) = (&buf[8..12], &buf[12..16]);
            let forged: Vec<_> = transaction.iter().map(|byte| !byte).collect();
            let send = |parts: &[&[u8]]| liar.send_to(&parts.concat(), from).unwrap();
            send(&[&[0, 0, 0, 3], &forged, b"forged"]);
            send(&[action, transaction, &[1; 3]]);
            send(&[&[0, 0, 0, 3], transaction, b"go\x1b[31m\naway"]);
        }
    });
    let huge = TcpListener::bind("127.0.0.1:0").unwrap();
    let huge_url = format!("http://{}/announce", huge.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in huge.incoming().flatten() {
            head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nd5:filesd");
            while stream.write_all(&[b'd'; 65536]).is_ok() {}
        }
    });
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let deaf_url = format!("http://{deaf}/announce/hunter2");
    let trackers =
        [&liar_url, &huge_url, &deaf_url, &format!("http://{deaf}/announce"), "wss://t.example", &good.udp];
    let info_hash = make(&place, "one", &trackers);
    good.peers(info_hash, 1, 0);

    let ran = place.run(&["scrape", "one.torrent", "--json", "--allow-private"]).done();
    let lines = ran.json_lines();
    let error = |n: usize| lines[n]["error"].as_str().unwrap();
    assert_eq!(error(0), "the tracker refuses: go [31m away");
    assert_eq!(error(1), "the answer is larger than 1 MiB");
    assert_eq!(error(2), "this tracker cannot be scraped");
    assert_eq!(error(3), "cannot connect: connection refused");
    assert_eq!((&lines[4]["seeds"], &lines[4]["error"]), (&json!(1), &Value::Null));
    assert_eq!(lines[5]["tracker"], "tracker 1 of tier 5 of one");
    assert_eq!(keys(&lines[5]), keys(&lines[4]));
    let complaints: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(complaints.len(), 5, "{}", ran.stderr);
    assert!(complaints.iter().all(|line| line.starts_with("rawtorrent: ")), "{}", ran.stderr);
    assert!(complaints[0].ends_with(": the tracker refuses: go [31m away"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);

    place.run(&["scrape", "one.torrent", "--tracker", &liar_url]).failed(&["the tracker refuses"]);
}

#[test]
fn what_cannot_be_asked_about_is_a_failure() {
    let place = Place::new();
    make(&place, "alone", &[]);
    place.run(&["scrape", "alone.torrent"]).failed(&["alone: it names no tracker; name one with --tracker"]);
    place.run(&["scrape", "missing.torrent"]).failed(&["cannot read missing.torrent"]);
    let said = place.run(&["scrape", "--json", "alone.torrent"]).failed(&["--tracker"]).json();
    assert_eq!((&said["event"], &said["kind"]), (&json!("error"), &json!("tracker")));
}

fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn respond(stream: &mut impl Write, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
}
