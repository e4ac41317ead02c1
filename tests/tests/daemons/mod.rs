//! What strangers may do to a daemon, and with what they hand over.
//!
//! - [`store`]: what an earlier session kept, as it comes back from a bad disk
//! - [`imports`]: what other clients are said to have kept

mod imports;
mod store;

use std::fs;

use crate::common::daemon::Daemon;
use crate::common::{Home, run};
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::score::score;

/// How much of something: in CI, and in the longer run.
fn sized(sample: usize, all: usize) -> usize {
    if std::env::var_os("RAWTORRENT_HOSTILE").is_some_and(|mode| mode == "full") { all } else { sample }
}

/// Every route, as the document has it, with a torrent that is not there.
fn routes(daemon: &Daemon) -> Vec<(String, String)> {
    let document = daemon.get("/api/v1/openapi.json").json();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            routes
                .push((method.to_uppercase(), path.replace("{id}", &"0".repeat(40)).replace("{index}", "0")));
        }
    }
    assert!(routes.len() >= 15, "{routes:?}");
    routes
}

#[test]
fn every_route_refuses_pages_of_others() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    let addr = daemon.addr.clone();
    let port = addr.rsplit(':').next().unwrap();
    let hosts = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("user@127.0.0.1:{port}"),
        "2130706433".to_owned(),
        "127.0.0.1:99999".to_owned(),
        String::new(),
    ];
    let others = [
        "origin: http://evil.example".to_owned(),
        "origin: https://evil.example".to_owned(),
        "origin: null".to_owned(),
        format!("origin: http://{addr}.evil.example"),
        format!("origin: http://evil.example/{addr}"),
        format!("origin: ftp://{addr}"),
        "origin: http://127.0.0.1:1".to_owned(),
        format!("origin: http://{addr}\r\norigin: http://evil.example"),
        "sec-fetch-site: cross-site".to_owned(),
        "sec-fetch-site: same-site".to_owned(),
    ];
    let mut refused = 0;
    for (method, path) in routes(&daemon) {
        let mut check = |host: &str, header: &str| {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{header}connection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let answer = daemon.raw(request.as_bytes());
            assert!(matches!(answer.status, 400 | 403 | 421), "{request}{}", answer.status);
            assert!(answer.header("access-control-allow-origin").is_none());
            refused += 1;
        };
        hosts.iter().for_each(|host| check(host, ""));
        others.iter().for_each(|other| check(&addr, &format!("{other}\r\n")));
        check(&format!("{addr}\r\nhost: evil.example"), "");
        let none = daemon.raw(format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(matches!(none.status, 400 | 421), "{method} {path} without a host: {}", none.status);
    }
    assert!(refused > 100, "{refused}");
    daemon.end();
    score(
        "every_route_refuses_pages_of_others",
        "names of other hosts, and pages of other sites, at every route of the API",
        refused,
        "each refused",
        "0 answered",
    );
}

#[test]
fn hostile_requests_are_refused_and_the_daemon_goes_on() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    let torrent = std::fs::read(&home.torrent).unwrap();
    let post = |query: &str, headers: &str, body: &[u8]| {
        daemon.ask("POST", &format!("/api/v1/torrents{query}"), headers, body)
    };
    let right = "content-type: application/x-bittorrent\r\n";
    // Traversal.
    let out = home.out();
    let out = out.to_str().unwrap();
    for dir in [
        "/",
        "/etc",
        "..",
        "relative",
        &format!("{out}/../x"),
        &format!("{out}x"),
        &format!("{out}/%00"),
        "%2e%2e",
        "",
    ] {
        let answer = post(&format!("?dir={dir}"), right, &torrent);
        assert!(matches!(answer.status, 400 | 403), "{dir}: {}", answer.status);
    }
    for id in ["..", "%2e%2e%2f", "x", &"0".repeat(39), &"g".repeat(40), &"0".repeat(8000), "%00", "%ff"] {
        for (method, end) in
            [("GET", ""), ("DELETE", ""), ("GET", "/files"), ("POST", "/pause"), ("POST", "/resume")]
        {
            let answer = daemon.ask(method, &format!("/api/v1/torrents/{id}{end}"), "", b"");
            assert!(matches!(answer.status, 400 | 404), "{method} {id}{end}: {}", answer.status);
        }
    }
    // Queries and bodies that make no sense.
    for query in [
        "?since=-1",
        "?since=x",
        "?limit=99999999999999999999999",
        "?state=what",
        "?what=1",
        "?sort=x",
        "?since=1&since=2",
    ] {
        daemon.get(&format!("/api/v1/torrents{query}")).refused(400, "bad_request");
    }
    daemon.get(&format!("/api/v1/torrents?search={}", "x".repeat(257))).refused(400, "bad_request");
    post("", "", &torrent).refused(415, "media_type");
    post("", "content-type: text/plain\r\n", &torrent).refused(415, "media_type");
    for body in [&b""[..], b"d", b"de", b"not a torrent", &torrent[..torrent.len() - 1], &[b'l'; 100_000]] {
        post("", right, body).refused(422, "torrent");
    }
    daemon.get("/nothing").refused(404, "no_route");
    daemon.ask("PUT", "/api/v1/torrents", "", b"").refused(405, "method");
    // Bombs.
    let host = &daemon.addr;
    let long = format!(
        "POST /api/v1/torrents HTTP/1.1\r\nhost: {host}\r\n{right}content-length: 99999999999\r\n\r\n"
    );
    daemon.raw(long.as_bytes()).refused(413, "too_long");
    let many = "x: y\r\n".repeat(1000);
    assert_eq!(daemon.ask("GET", "/healthz", &many, b"").status, 431);
    let wide = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    assert!(matches!(daemon.ask("GET", "/healthz", &wide, b"").status, 0 | 431));
    let deep = format!("/{}", "a/".repeat(100_000));
    assert!(matches!(daemon.get(&deep).status, 0 | 404 | 414 | 431));
    for junk in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        assert!(matches!(daemon.raw(junk).status, 0 | 400 | 505));
    }
    // Smuggling.
    let both = "transfer-encoding: chunked\r\ncontent-length: 5\r\n";
    let answer = daemon.raw(format!("POST /api/v1/torrents HTTP/1.1\r\nhost: {host}\r\n{both}{right}connection: close\r\n\r\n0\r\n\r\n").as_bytes());
    assert!(matches!(answer.status, 400 | 422), "{}", answer.status);
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.get("/api/v1").json()["torrents"], 0);
    daemon.end();
    score(
        "hostile_requests_are_refused_and_the_daemon_goes_on",
        "folders outside of the roots, ids and queries that are none, bombs, junk and smuggling",
        76,
        "each refused; nothing added",
        "refused, and the daemon goes on",
    );
}

/// Names that turn lines around, move cursors or end lines, as torrents and links have them: whoever reads the API may show
/// them anywhere.
#[test]
fn names_are_inert_in_the_api() {
    let home = Home::new(Sample::MULTI);
    let daemon = Daemon::start(&home, &[]);
    let turning = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    let signs: Vec<char> =
        turning.chain("\u{61c}\u{200e}\u{200f}\u{1b}\u{7}\r\n\0\u{9b}\u{7f}".chars()).collect();
    let names: Vec<String> = signs.iter().map(|sign| format!("a{sign}gpj.exe")).collect();
    for (number, name) in names.iter().enumerate() {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let link = format!("magnet:?xt=urn:btih:{number:040x}&dn={escaped}");
        assert_eq!(daemon.json("POST", "/api/v1/torrents", &serde_json::json!({"source": link})).status, 201);
        let sample =
            Sample { name: Box::leak(name.clone().into_boxed_str()), layout: &[(".x", 10), ("y", 10)] };
        let torrent = rawtorrent_tests::metafile::torrent(&sample, None);
        let added =
            daemon.ask("POST", "/api/v1/torrents", "content-type: application/x-bittorrent\r\n", &torrent);
        assert_eq!(added.status, 201);
    }
    let listed = daemon.get("/api/v1/torrents?limit=1000").json();
    let torrents = listed["torrents"].as_array().unwrap();
    assert_eq!(torrents.len(), 2 * names.len());
    let mut read = 0;
    let mut check = |text: &str| {
        read += 1;
        assert!(!text.contains(|c: char| c.is_control() || signs.contains(&c)), "{text:?}");
    };
    for torrent in torrents {
        let id = torrent["id"].as_str().unwrap();
        check(torrent["name"].as_str().unwrap());
        let files = daemon.get(&format!("/api/v1/torrents/{id}/files")).json();
        for file in files.as_array().into_iter().flatten() {
            check(file["path"].as_str().unwrap());
        }
    }
    assert!(read >= 4 * names.len() as u64, "the paths, too");
    let log = daemon.session.process.stderr();
    assert!(!log.contains(|c: char| c != '\n' && (c.is_control() || signs.contains(&c))), "{log:?}");
    daemon.end();
    score(
        "names_are_inert_in_the_api",
        "names and paths of torrents and links with signs that turn lines, move cursors and end lines",
        read,
        "each shown without",
        "0 such signs in the API and the log",
    );
}

/// How a recording is refused.
const REFUSED: [&str; 4] = ["damaged", "no recording", "it is empty", "before anything was recorded"];

#[test]
fn recordings_that_are_damaged() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let recording = home.path().join("a.rec");
    let done = run(home.download_from(&[&seed]).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let good = fs::read(&recording).unwrap();
    let (mut refused, mut cut) = (0, 0);
    for n in 0..100 {
        let mut bytes = good.clone();
        let at = n * (bytes.len() - 1) / 99;
        match n % 4 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << (n % 8),
        }
        fs::write(&recording, &bytes).unwrap();
        let told = run(home.command().arg("replay").arg(&recording));
        let said = |word: &str| told.stderr.contains(word);
        match told.code() {
            Some(1) if REFUSED.iter().any(|word| said(word)) => {
                refused += 1;
            }
            Some(0) if said("cut off") => cut += 1,
            // At the end of a chunk.
            Some(0) if n % 4 == 0 => cut += 1,
            code => panic!("byte {at}: {code:?}: {}", told.stderr),
        }
    }
    score(
        "recordings_that_are_damaged",
        "recordings cut off and with a bit flipped",
        100,
        &format!("{refused} refused, {cut} read up to where they are cut off"),
        "no flipped bit is believed; no crash",
    );
}
