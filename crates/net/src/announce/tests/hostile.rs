//! Trackers that mean harm: by where they lead, by what they say, and by how they say it.

use super::*;
use crate::http::tests::hostile::{LOOPBACK, METADATA, names};
use crate::http::tests::score;
use crate::lookup::world;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tracker::limits::{MAX_INTERVAL, MIN_INTERVAL};
use tracker::schedule::Input;
use tracker::{PrivatePaths, Schedule};
use types::Time;

/// What comes of announcing to this URL, whatever its path is.
pub(crate) async fn outcome_at(url: &str) -> String {
    under(PrivatePaths::Any, url).await
}

async fn under(private: PrivatePaths, url: &str) -> String {
    let outcome = match TrackerUrl::parse(url) {
        Ok(url) => {
            let client = client_with(UrlRules { private, ..UrlRules::default() });
            announce(&client, &url, |_| message(1, None)).await
        }
        Err(error) => Err(error.into()),
    };
    outcome.map_or_else(|error| error.to_string(), |answer| format!("{} peers", answer.peers.len()))
}

#[tokio::test]
async fn no_tracker_leads_inside() {
    names();
    let inside = RawServer::start(|_| ok("d5:peers0:e")).await;
    let port = inside.addr.port();
    let outside = RawServer::start_at(world::PUBLIC, move |target| {
        let host = target.split(['?', '&']).nth(1).unwrap();
        redirect(&format!("http://{host}:{port}/announce"))
    })
    .await;
    world::name("tracker.test", &[world::PUBLIC]);
    let outside = format!("http://tracker.test:{}/announce", outside.addr.port());
    let mut injected = 0;
    for host in LOOPBACK {
        for private in [PrivatePaths::Announce, PrivatePaths::Nothing] {
            let said = under(private, &format!("http://{host}:{port}/shutdown")).await;
            assert!(
                said.contains("at a private address") || said.contains("no usable host"),
                "{host}: {said}"
            );
        }
        for private in [PrivatePaths::Announce, PrivatePaths::Nothing, PrivatePaths::Any] {
            let said = under(private, &format!("{outside}?{host}")).await;
            let why = ["it redirects to a private address", "because a link names it"];
            assert!(why.iter().any(|why| said.ends_with(why)), "{host}: {said}");
        }
        injected += 5;
    }
    for host in METADATA {
        for url in [format!("http://{host}:{port}/announce"), format!("{outside}?{host}")] {
            let said = outcome_at(&url).await;
            assert!(said.contains("must not be asked") || said.contains("no usable host"), "{url}: {said}");
            injected += 1;
        }
    }
    assert_eq!(inside.requests.lock().unwrap().len(), 0);
    score(
        "no_tracker_leads_inside",
        "trackers at loopback and metadata services, and redirects to these, in every spelling",
        injected,
        "0 requests inside",
        "0 requests inside",
    );
}

#[tokio::test]
async fn trackers_inside_are_asked_as_their_rules_allow() {
    let inside = RawServer::start(|_| ok("d5:peers0:e")).await;
    world::name("home.test", &["127.0.0.1"]);
    let port = inside.addr.port();
    let ends = "a tracker at a private address must have a path that ends in /announce";
    let secret = "a tracker at a private address must have no user name and no password in its URL";
    let of_link = "a tracker at a private address is not asked because a link names it";
    for (user, path, of_torrent) in [
        ("", "/announce", "0 peers"),
        ("", "/key/announce", "0 peers"),
        ("", "/announce?passkey=1", "0 peers"),
        ("", "/shutdown", ends),
        ("", "/announce/../shutdown", ends),
        ("admin:admin@", "/announce", secret),
    ] {
        let url = format!("http://{user}home.test:{port}{path}");
        assert_eq!(under(PrivatePaths::Announce, &url).await, of_torrent, "{path}");
        assert_eq!(under(PrivatePaths::Nothing, &url).await, of_link, "{path}");
        assert_eq!(under(PrivatePaths::Any, &url).await, "0 peers", "{path}");
    }
    let asked = inside.requests.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|request| request.contains("shutdown")).count(), 2, "{asked:?}");
    let logged_in = asked.iter().filter(|request| request.to_lowercase().contains("authorization"));
    assert_eq!(logged_in.count(), 1, "{asked:?}");
}

#[tokio::test]
async fn a_tracker_whose_name_changes_is_not_followed_inside() {
    let inside = RawServer::start(|_| ok("d5:peers0:e")).await;
    let to = inside.url("/announce");
    let outside = RawServer::start_at(world::PUBLIC, move |_| redirect(&to)).await;
    // Inside, where an announce is allowed, and outside a moment later: that must not count as inside.
    world::name("turning.test", &["127.0.0.1", "127.0.0.1", world::PUBLIC]);
    let url = format!("http://turning.test:{}/announce", outside.addr.port());
    assert!(!outcome_at(&url).await.contains("peers"));
    // Outside at first; then inside under a path that is not allowed there.
    world::name("sinking.test", &[world::PUBLIC, world::PUBLIC, "127.0.0.1"]);
    let url = format!("http://sinking.test:{}/stats", inside.addr.port());
    for _ in 0..3 {
        assert!(!under(PrivatePaths::Announce, &url).await.contains("peers"));
    }
    assert_eq!(inside.requests.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn slow_trackers_are_given_up_in_time() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let server = RawServer::start(move |target| match target.split(['?', '&']).nth(1).unwrap() {
        "head" => Reply::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
        "body" => Reply::Drip(head.into()),
        _ => Reply::Stall(head.into()),
    })
    .await;
    let http = HttpClient::new("rawtorrent-test/1", LocalAddrs::default()).unwrap();
    let client = TrackerClient::new(http, TrackerSettings::default());
    for case in ["head", "body", "silence"] {
        let url = TrackerUrl::parse(&server.url(&format!("/announce?{case}"))).unwrap();
        let began = Instant::now();
        let error = announce(&client, &url, |_| message(1, None)).await.unwrap_err();
        assert_eq!(error.to_string(), "no complete answer in time", "{case}");
        assert!(began.elapsed() <= Bounds::TRACKER.total, "{case}: {:?}", began.elapsed());
    }
    score(
        "slow_trackers_are_given_up_in_time",
        "a byte every ten seconds in head and body, and silence",
        3,
        "each given up within 30 s",
        "at most 30 s for one announce",
    );
}

#[tokio::test]
async fn floods_are_cut_off() {
    const BUFFERS: usize = 32 * QUICK.body;
    let gz = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
    let members = gzip(&vec![0; 1 << 20]).repeat(1024);
    let server = RawServer::start(move |target| match target.split(['?', '&']).nth(1).unwrap() {
        "heads" => Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(10_000)),
        "head" => Reply::Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'y'; 65_536]),
        "status" => Reply::Endless(b"HTTP/1.1 200 ".to_vec(), vec![b'y'; 65_536]),
        "chunks" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            Reply::Endless(head.to_vec(), b"1\r\nd\r\n".repeat(10_000))
        }
        "extension" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;";
            Reply::Endless(head.to_vec(), vec![b'y'; 65_536])
        }
        "bomb" => with_head(gz, gzip(&vec![b'd'; 64 << 20])),
        "members" => with_head(gz, &members),
        "twice" => with_head("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n", gzip(&members)),
        "announced" => with_head("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n", "d"),
        // Ten million peers, declared and not.
        "peers" => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nd5:peers60000000:".to_vec(), vec![7; 60_000]),
        "list" => Reply::Endless(
            b"HTTP/1.1 200 OK\r\n\r\nd5:peersl".to_vec(),
            b"d2:ip7:1.2.3.44:porti1ee".repeat(999),
        ),
        next => redirect(&format!("/announce?{next}x")),
    })
    .await;
    let cases = [
        "heads",
        "head",
        "status",
        "chunks",
        "extension",
        "bomb",
        "members",
        "twice",
        "announced",
        "peers",
        "list",
        "redirects",
    ];
    for case in cases {
        server.sent.store(0, Ordering::Relaxed);
        let line = error_line(&server.url(&format!("/announce?{case}"))).await;
        let is_right = match case {
            "chunks" | "bomb" | "peers" | "list" => line == "the answer is larger than 1 MiB",
            "redirects" => line == "it redirects more than 5 times",
            _ => true,
        };
        assert!(is_right && line != "no complete answer in time", "{case}: {line}");
        let sent = server.sent.load(Ordering::Relaxed);
        assert!(sent < BUFFERS, "{case}: {sent} bytes were read");
    }
    score(
        "floods_are_cut_off",
        "endless heads, gzip bombs, ten million peers, redirects without end",
        cases.len(),
        "each refused, at most what buffers hold was read",
        "at most 1 MiB of a body, 5 redirects",
    );
}

#[tokio::test]
async fn what_trackers_claim_is_kept_within_bounds() {
    let intervals = ["-1", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "0", "1"];
    let peers = [
        &[1, 2, 3, 4, 0, 0][..],      // port 0
        &[0, 0, 0, 0, 0, 80],         // nobody
        &[255, 255, 255, 255, 0, 80], // everybody
        &[224, 0, 0, 1, 0, 80],       // a group
        &[1, 2, 3, 4, 0, 80],
    ];
    let peers = [peers.concat(), [1, 2, 3, 4, 0, 81].repeat(150_000)].concat();
    let server = RawServer::start(move |target| {
        let interval = target.split(['?', '&']).nth(1).unwrap();
        let head = format!("d8:intervali{interval}e12:min intervali{interval}e5:peers{}:", peers.len());
        ok([head.as_bytes(), &peers, b"e"].concat())
    })
    .await;
    for interval in intervals {
        let outcome = ask(&server.url(&format!("/announce?{interval}"))).await;
        let answer = match outcome {
            Ok(answer) => answer,
            // No number that bencode has here.
            Err(error) => {
                assert_eq!(interval, "9223372036854775808", "{error}");
                continue;
            }
        };
        assert!(answer.peers.len() <= MAX_PEERS && answer.peers[0] == "1.2.3.4:80".parse().unwrap());
        let url = TrackerUrl::parse("http://t/announce").unwrap();
        let mut schedule = Schedule::new(vec![vec![url]], 1);
        schedule.handle(Time::ZERO, Input::Started);
        let due = schedule.poll(Time::ZERO).unwrap();
        schedule.handle(Time::ZERO, Input::Response(due.tracker, &answer));
        let next = schedule.poll_timeout().since(Time::ZERO);
        assert!((MIN_INTERVAL..=MAX_INTERVAL).contains(&next), "{interval}: {next:?}");
    }
    score(
        "what_trackers_claim_is_kept_within_bounds",
        "negative and huge intervals, 150,000 peers, port 0, addresses of nobody",
        intervals.len(),
        "asked again after a minute to a day, at most 1,000 peers taken",
        "an interval of 1 min to 24 h, at most 1,000 peers",
    );
}
