pub(crate) mod hostile;

use super::*;
use crate::http::tests::{QUICK, RawServer, Reply, gzip, ok, redirect, with_head};
use crate::tracker_server::TrackerServer;
use std::net::SocketAddr;
use tracker::{Event, PrivatePaths};
use types::PeerId;

fn client() -> TrackerClient {
    client_with(UrlRules::default())
}

fn client_with(rules: UrlRules) -> TrackerClient {
    let http = HttpClient::new("rawtorrent-test/1", LocalAddrs::default()).unwrap();
    TrackerClient::new(http, TrackerSettings { rules, bounds: QUICK, ..TrackerSettings::default() })
}

fn message(port: u16, event: Option<Event>) -> Announce {
    Announce {
        info_hash: InfoHashV1([0xfe; 20]),
        peer_id: PeerId([b'p'; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 5,
        event,
        numwant: Some(50),
        key: 1,
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    }
}

async fn ask(url: &str) -> Result<AnnounceResponse, AnnounceError> {
    let url = TrackerUrl::parse(url).unwrap();
    let outcome = announce(&client(), &url, |_| message(1, Some(Event::Started))).await;
    if let Err(error) = &outcome {
        let line = error.to_string();
        assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    }
    outcome
}

async fn error_line(url: &str) -> String {
    ask(url).await.unwrap_err().to_string()
}

#[tokio::test]
async fn every_lie_is_one_clear_line() {
    let server = RawServer::start(|target| match target.split(['?', '&']).nth(1).unwrap() {
        "html" => ok("<html><body>hunter2</body></html>"),
        "html404" => with_head("HTTP/1.1 404 Not Found\r\n", "<html>hunter2"),
        "garbage" => ok([0xff; 100]),
        "empty" => ok(""),
        "list" => ok("le"),
        "peers" => ok("d5:peers7:1234567e"),
        "failure" => ok("d14:failure reason12:unregisterede"),
        "repeats" => ok("d14:failure reason30:no user HUNTER2, ask elsewheree"),
        "failure403" => with_head("HTTP/1.1 403 Forbidden\r\n", "d14:failure reason6:banned8:retry in1:5e"),
        "circle" => redirect(target),
        "inside" => redirect("http://127.0.0.1:1/shutdown"),
        "gibibyte" => Reply::Endless(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec(),
            vec![b'd'; 65536],
        ),
        "bomb" => {
            with_head("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", gzip(&vec![b'd'; 8 * QUICK.body]))
        }
        "gzip" => with_head(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n",
            gzip(b"d8:intervali60e5:peers6:\x01\x02\x03\x04\0\x05e"),
        ),
        other => panic!("{other}"),
    })
    .await;
    for (case, line) in [
        ("html", "the tracker answers with a web page"),
        ("html404", "the answer is HTTP status 404 Not Found"),
        ("garbage", "the tracker's answer is not bencode (expected a value at byte 0)"),
        ("empty", "the tracker's answer is empty"),
        ("list", "the tracker's answer is not a dictionary"),
        ("peers", "the tracker's list of peers is malformed (not a whole number of 6-byte entries)"),
        ("failure", "the tracker refuses: unregistered"),
        ("repeats", "the tracker refuses: no user (key), ask elsewhere"),
        ("failure403", "the tracker refuses: banned"),
        ("circle", "it redirects in a circle"),
        (
            "inside",
            "redirected to http://127.0.0.1:1: a tracker at a private address must have a path that ends in /announce",
        ),
        ("gibibyte", "the answer is larger than 1 MiB"),
        ("bomb", "the answer is larger than 1 MiB"),
    ] {
        assert_eq!(
            error_line(&server.url(&format!("/hunter2/announce?{case}&hunter2"))).await,
            line,
            "{case}"
        );
    }
    let url = server.url("/announce?failure403");
    assert_eq!(ask(&url).await.unwrap_err().retry_in(), Some(Duration::from_secs(300)));
    let answer = ask(&server.url("/announce?gzip")).await.unwrap();
    assert_eq!(answer.peers, ["1.2.3.4:5".parse().unwrap()]);
}

#[tokio::test]
async fn a_warning_and_a_redirect_tell_no_key() {
    let server = RawServer::start(|_| ok("d5:peers0:15:warning message16:hunter2 is slow!e")).await;
    let answer = ask(&server.url("/announce?passkey=hunter2")).await.unwrap();
    assert_eq!(answer.warning.as_deref(), Some("(key) is slow!"));
    let url = TrackerUrl::parse("http://a/hunter2/announce").unwrap();
    let (host, error) = ("http://hunter2.example:80".into(), Box::new(HttpError::Timeout));
    let error = AnnounceError::from(HttpError::Redirected { host, error }).without_keys(&url);
    assert_eq!(error.to_string(), "redirected to http://(key).example:80: no complete answer in time");
}

#[tokio::test]
async fn down_is_told() {
    assert_eq!(error_line("http://127.0.0.1:1/announce?hunter2").await, "cannot connect: connection refused");
    assert_eq!(
        error_line("udp://127.0.0.1:1/hunter2/announce").await,
        "cannot reach the tracker: connection refused"
    );
}

#[tokio::test]
async fn names_are_guarded_by_where_they_lead() {
    let server = RawServer::start(|_| ok("d5:peers0:e")).await;
    let port = server.addr.port();
    let refused = "a tracker at a private address must have a path that ends in /announce";
    assert_eq!(error_line(&format!("http://localhost:{port}/stats")).await, refused);
    ask(&format!("http://localhost:{port}/announce")).await.unwrap();

    let allowed = client_with(UrlRules { private: PrivatePaths::Any, ..UrlRules::default() });
    let url = TrackerUrl::parse(&format!("http://localhost:{port}/stats")).unwrap();
    announce(&allowed, &url, |_| message(1, None)).await.unwrap();
}

#[tokio::test]
async fn both_families_are_heard() {
    let first = TrackerServer::start(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let port = first.addrs()[0].port();
    let client = client();
    let url = TrackerUrl::parse(&format!("http://localhost:{port}/announce")).unwrap();
    // Only IPv4 is served: one family suffices.
    announce(&client, &url, |_| message(10, Some(Event::Started))).await.unwrap();
    drop(first);

    let both = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let server = TrackerServer::start(&both, 1).unwrap();
    let [v4, v6] = [0, 1].map(|n| TrackerUrl::parse(&server.announce_urls()[n]).unwrap());
    let announce_to = |url, port| {
        let client = &client;
        let over =
            move |family| message(if family == Family::V6 { port + 1 } else { port }, Some(Event::Started));
        async move { announce(client, url, over).await.unwrap() }
    };
    assert!(announce_to(&v4, 10).await.peers.is_empty());
    let answer = announce_to(&v6, 10).await;
    assert_eq!(answer.peers, ["127.0.0.1:10".parse::<SocketAddr>().unwrap()]);
    let answer = announce_to(&v4, 12).await;
    assert!(answer.peers.contains(&"[::1]:11".parse().unwrap()), "{answer:?}");
    let entries = scrape(&client, &v4, &[InfoHashV1([0xfe; 20]), InfoHashV1([1; 20])]).await.unwrap();
    assert_eq!((entries.len(), entries[0].1.leechers), (1, 3));
    let unscrapable = TrackerUrl::parse("http://1.1.1.1:1/x?/announce").unwrap();
    let error = scrape(&client, &unscrapable, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), "this tracker cannot be scraped");
}

fn hash(n: usize) -> InfoHashV1 {
    InfoHashV1(format!("{n:020}").into_bytes().try_into().unwrap())
}

#[tokio::test]
async fn our_tracker_is_scraped_over_http_and_udp() {
    let mut server = TrackerServer::start(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let udp = server.serve_udp("127.0.0.1:0".parse().unwrap()).unwrap();
    let http = TrackerUrl::parse(&server.announce_urls()[0]).unwrap();
    let udp = TrackerUrl::parse(&format!("udp://{udp}/announce")).unwrap();
    let client = client();
    let announce_to = |url, n: usize, left| {
        let port = u16::try_from(n + 1).unwrap();
        let message = Announce { info_hash: hash(n), left, ..message(port, Some(Event::Started)) };
        let client = &client;
        async move { announce(client, url, |_| message.clone()).await.unwrap() }
    };
    for n in 0..40 {
        announce_to(if n % 2 == 0 { &http } else { &udp }, n, n as u64 % 3).await;
    }
    assert_eq!(announce_to(&udp, 0, 1).await.peers, [], "the same peer, whatever it came by");
    // As many as a packet holds, of which the last are unknown; those beyond are not asked about.
    let torrents: Vec<_> = (0..80).map(hash).collect();
    let over_http = scrape(&client, &http, &torrents).await.unwrap();
    let over_udp = scrape(&client, &udp, &torrents).await.unwrap();
    assert_eq!((over_http.len(), over_udp.len()), (40, MAX_SCRAPE));
    assert_eq!(over_http, over_udp[..40]);
    assert_eq!(
        over_udp[40..],
        torrents[40..74].iter().map(|&t| (t, ScrapeEntry::default())).collect::<Vec<_>>()
    );
    assert_eq!((over_http[3].1.seeders, over_http[3].1.leechers), (1, 0));
    assert_eq!((over_http[4].1.seeders, over_http[4].1.leechers), (0, 1));
}

#[tokio::test]
async fn scrape_answers_are_read_with_care() {
    let server = RawServer::start(|target| {
        let (path, query) = target.split_once('?').unwrap();
        let asked: Vec<_> = query.split('&').filter_map(|pair| pair.strip_prefix("info_hash=")).collect();
        match path.strip_suffix("/scrape").unwrap().strip_prefix('/').unwrap() {
            "last" => ok(format!("d5:filesd20:{}d8:completei1eeee", asked.last().unwrap())),
            "first" => ok(format!("d5:filesd20:{}d8:completei1eeee", asked[0])),
            "others" => ok(format!("d5:filesd20:{}d8:completei1eeee", "x".repeat(20))),
            "none" => ok("d5:filesdee"),
            "announce" => ok("d8:intervali9e5:peers0:e"),
            "refusal" => with_head("HTTP/1.1 404 Not Found\r\n", "d14:failure reason7:no\nfulle"),
            "gone" => with_head("HTTP/1.1 404 Not Found\r\n", "no"),
            "endless" => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nd5:filesd".to_vec(), vec![b'd'; 65536]),
            other => panic!("{other}"),
        }
    })
    .await;
    let client = client();
    let torrents: Vec<_> = (0..5).map(hash).collect();
    let ask = async |case: &str| {
        let url = TrackerUrl::parse(&server.url(&format!("/{case}/announce"))).unwrap();
        scrape(&client, &url, &torrents).await.map_err(|error| error.to_string())
    };
    for case in ["last", "first"] {
        let mut told: Vec<_> = ask(case).await.unwrap().into_iter().map(|(torrent, _)| torrent).collect();
        told.sort_unstable();
        assert_eq!(told, torrents, "{case}");
    }
    assert_eq!(ask("others").await, Ok(vec![]));
    assert_eq!(ask("none").await, Ok(vec![]));
    for (case, line) in [
        ("announce", "the tracker's scrape answer lists no torrents"),
        ("refusal", "the tracker refuses: no full"),
        ("gone", "the answer is HTTP status 404 Not Found"),
        ("endless", "the answer is larger than 1 MiB"),
    ] {
        assert_eq!(ask(case).await.unwrap_err(), line);
    }
}

fn answer(peers: &[&str]) -> AnnounceResponse {
    let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
    AnnounceResponse { peers, ..AnnounceResponse::default() }
}

#[tokio::test(start_paused = true)]
async fn answers_of_two_families_become_one() {
    let host = Host::Name("x".into());
    let after = |secs: u64, outcome: Result<AnnounceResponse, AnnounceError>| async move {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        outcome
    };
    let refused =
        |reason: &str| Err(tracker::Error::Failure { reason: reason.into(), retry_in: None }.into());
    let over = |v4: (u64, Result<_, _>), v6: (u64, Result<_, _>)| {
        let futures = std::cell::RefCell::new((Some(v4), Some(v6)));
        let host = &host;
        async move {
            let pick = |family| {
                let mut futures = futures.borrow_mut();
                let slot = if family == Family::V4 { &mut futures.0 } else { &mut futures.1 };
                let (secs, outcome) = slot.take().unwrap();
                after(secs, outcome)
            };
            over_families(host, pick, join).await
        }
    };
    let (mut one, mut two) = (answer(&["1.2.3.4:5", "1.2.3.4:6"]), answer(&["1.2.3.4:6", "[::5]:6"]));
    one.external_ips = vec!["9.9.9.9".parse().unwrap()];
    two.external_ips = vec!["2001:db8::9".parse().unwrap()];
    let both = over((1, Ok(one.clone())), (2, Ok(two.clone()))).await.unwrap();
    let external_ips = [one.external_ips.clone(), two.external_ips.clone()].concat();
    assert_eq!(both, AnnounceResponse { external_ips, ..answer(&["1.2.3.4:5", "1.2.3.4:6", "[::5]:6"]) });
    assert_eq!(over((1, Ok(one.clone())), (4, Ok(two.clone()))).await.unwrap(), one, "too late");
    assert_eq!(over((1, refused("no")), (40, Ok(two.clone()))).await.unwrap(), two);
    let timeout = || Err(HttpError::Timeout.into());
    assert_eq!(
        over((1, timeout()), (2, refused("no"))).await.unwrap_err().to_string(),
        "the tracker refuses: no"
    );
    assert_eq!(
        over((2, timeout()), (1, refused("no"))).await.unwrap_err().to_string(),
        "the tracker refuses: no"
    );
}
