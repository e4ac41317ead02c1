//! Third-party cases: what libtorrent's tests expect of tracker answers and URLs, and the packets of BEP 15 and 41.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracker::http::{parse_announce, parse_scrape};
use tracker::udp::{self, Family, Response};
use tracker::{Announce, Error, Event, PrivatePaths, TrackerUrl, UrlRules, is_idna};
use types::{InfoHashV1, PeerId};

/// Cases that we decide otherwise, each with the reason.
const DEVIATIONS: [(&str, &str); 1] = [(
    "libtorrent/parse_hostname_peers",
    "peers given by name are dropped: no look-ups of names that strangers choose (the corpus calls this the safer choice)",
)];

#[test]
fn http_bodies() {
    let Some(cases) = load("http_tracker_libtorrent.json") else { return };
    agreement("tracker http", &cases, |case| match case["peer_entry"].as_str() {
        Some(entry) => check_peer_entry(entry, case["expect"].as_str().unwrap()),
        None => check_body(&hex(&case["body_hex"]), &case["expect"]),
    });
}

fn check_peer_entry(entry: &str, expect: &str) -> Result<(), String> {
    let outcome = parse_announce(format!("d5:peersl{entry}ee").as_bytes());
    match (&outcome, expect) {
        (Ok(_), "ok") | (Err(Error::Peers(_)), "invalid_peer_dict" | "invalid_tracker_response") => Ok(()),
        _ => Err(format!("{outcome:?}")),
    }
}

fn check_body(body: &[u8], expect: &Value) -> Result<(), String> {
    if let Some(torrent) = expect["scrape_of"].as_str() {
        let torrent = torrent.parse().unwrap();
        let files = parse_scrape(body, &[torrent]).map_err(|e| e.to_string())?;
        let (_, entry) = files.first().ok_or("not listed")?;
        same("complete", &entry.seeders.into(), &expect["complete"])?;
        same("incomplete", &entry.leechers.into(), &expect["incomplete"])?;
        same("downloaded", &entry.completed.into(), &expect["downloaded"])?;
        return same("downloaders", &entry.downloaders.into(), &expect["downloaders"]);
    }
    let answer = match (parse_announce(body), expect["error"].as_str()) {
        (Ok(answer), None) => answer,
        (Err(Error::Failure { reason, .. }), Some("tracker_failure")) => {
            return same("failure", &reason.into(), &expect["failure"]);
        }
        (Err(Error::Peers(_)), Some("invalid_peers_entry")) => return Ok(()),
        (other, _) => return Err(format!("{other:?}")),
    };
    let secs = |d: Option<Duration>| Value::from(d.map(|d| d.as_secs()));
    let text = |list: &[SocketAddr]| Value::from(list.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (key, ours) in [
        ("peers", text(&answer.peers)),
        ("interval", secs(answer.interval)),
        ("min_interval", secs(answer.min_interval)),
        ("warning", answer.warning.into()),
        ("external_ip", answer.external_ips.first().map(ToString::to_string).into()),
    ] {
        if let Some(theirs) = expect.get(key) {
            same(key, &ours, theirs)?;
        }
    }
    Ok(())
}

#[test]
fn udp_packets() {
    let Some(cases) = load("bep15_41_udp_tracker.json") else { return };
    agreement("tracker udp", &cases, |case| {
        let id = case["id"].as_str().unwrap();
        match case["dir"].as_str() {
            Some("c->t") => check_request(id, case),
            Some(_) => check_response(id, case),
            None if id == "retransmit" => check_retransmission(case),
            None => check_response(id, case),
        }
    });
}

const CONNECTION: u64 = 0x0102_0304_0506_0708;
const TRANSACTION: u32 = 0x1122_3344;

fn torrent() -> InfoHashV1 {
    InfoHashV1(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn announce(url_data: &str) -> Vec<u8> {
    let announce = Announce {
        info_hash: torrent(),
        peer_id: PeerId(*b"-RT0001-ABCDEFGHIJKL"),
        port: 6881,
        downloaded: 1,
        left: 2,
        uploaded: 3,
        event: Some(Event::Started),
        numwant: None,
        key: 0xdead_beef,
        tracker_id: None,
        ipv4: None,
        ipv6: None,
    };
    udp::encode_announce(CONNECTION, TRANSACTION, &announce, url_data)
}

fn check_request(id: &str, case: &Value) -> Result<(), String> {
    let mut reversed = torrent();
    reversed.0.reverse();
    let ours = match id {
        "connect_req" => udp::encode_connect(TRANSACTION),
        "announce_req" => announce(""),
        "announce_req_url" => announce("/dir?a=b&c=d"),
        "scrape_req" => udp::encode_scrape(CONNECTION, TRANSACTION, &[torrent(), reversed]),
        "announce_req_url_600" => {
            let options = announce(&"x".repeat(600)).split_off(98);
            let lengths = (options[1], options[258], options[515]);
            let whole = options.len() == 600 + 6 && lengths == (255, 255, 90);
            return if whole { Ok(()) } else { Err(format!("{lengths:?}")) };
        }
        // Other forms that a tracker must read; ours are the shortest: no option, and no end marker.
        "announce_req_url_nop_end" | "announce_req_url_empty" => return Ok(()),
        _ => return Err("unknown case".into()),
    };
    if ours == hex(&case["hex"]) { Ok(()) } else { Err(format!("{ours:02x?}")) }
}

fn check_response(id: &str, case: &Value) -> Result<(), String> {
    let family = if case["family"] == 6 { Family::V6 } else { Family::V4 };
    let wanted = |response: &Response| match response {
        Response::Connect(_) => id.starts_with("connect"),
        Response::Announce(_) => id.starts_with("announce") || id.starts_with("interval"),
        Response::Scrape(_) => id.starts_with("scrape"),
        Response::Error(_) => id.starts_with("error"),
    };
    let response = udp::parse(&hex(&case["hex"]), family)
        .filter(|(transaction, response)| *transaction == TRANSACTION && wanted(response));
    let Some((_, response)) = response else {
        return if case["accept"] == false { Ok(()) } else { Err("not read".into()) };
    };
    if case["accept"] == false {
        return Err(format!("{response:?}"));
    }
    match response {
        Response::Connect(id) if id == CONNECTION => Ok(()),
        Response::Connect(id) => Err(format!("{id:x}")),
        Response::Error(reason) => same("error", &reason.into(), &case["error"]),
        Response::Scrape(entries) => {
            let rows: Vec<_> = entries.iter().map(|e| vec![e.seeders, e.completed, e.leechers]).collect();
            let expected = case.get("rows").cloned().unwrap_or_else(|| serde_json::json!([[1, 3, 2]]));
            same("rows", &rows.into(), &expected)
        }
        Response::Announce(answer) => {
            let peers: Vec<_> = answer.peers.iter().map(ToString::to_string).collect();
            for (key, ours) in [
                ("peers", Value::from(peers)),
                ("interval", answer.interval.unwrap().as_secs().into()),
                ("leechers", answer.leechers.into()),
                ("seeders", answer.seeders.into()),
            ] {
                if let Some(theirs) = case.get(key) {
                    same(key, &ours, theirs)?;
                }
            }
            Ok(())
        }
    }
}

fn check_retransmission(case: &Value) -> Result<(), String> {
    let request = udp::Request::Scrape(vec![torrent()]);
    let mut now = types::Time::ZERO;
    let mut exchange = udp::Exchange::new(now, request, Family::V4, udp::Retransmit::BEP_15, None, 1);
    let mut waits = vec![];
    while exchange.poll_transmit().is_some() {
        waits.push((exchange.poll_timeout() - now).as_secs());
        now = exchange.poll_timeout();
        exchange.handle_timeout(now);
    }
    same("schedule_s", &waits.into(), &case["schedule_s"])
}

#[test]
fn url_rules() {
    let Some(mut cases) = load("ssrf.json") else { return };
    cases.retain(|case| case["kind"] == "tracker");
    agreement("tracker urls", &cases, |case| {
        let guard = case["mitigation"].as_bool().unwrap_or(true);
        let rules = UrlRules {
            guard,
            allow_idna: case["allow_idna"].as_bool().unwrap_or(false),
            private: if guard { PrivatePaths::Announce } else { PrivatePaths::Any },
        };
        let urls = [&case["url"], &case["redirect_to"]];
        let check = |url: &str| TrackerUrl::parse(url).and_then(|url| url.check(rules));
        let outcome: Result<Vec<_>, _> = urls.into_iter().filter_map(Value::as_str).map(check).collect();
        if case["allowed"] == outcome.is_ok() { Ok(()) } else { Err(format!("{outcome:?}")) }
    });
}

#[test]
fn idna_hosts() {
    let Some(cases) = load("idna_hosts.json") else { return };
    agreement("idna hosts", &cases, |case| {
        same("is_idna", &is_idna(case["host"].as_str().unwrap()).into(), &case["is_idna"])
    });
}

/// Runs every case and prints one line; a case that fails and is no listed deviation, or is one and passes, is an error.
fn agreement(name: &str, cases: &[Value], check: impl Fn(&Value) -> Result<(), String>) {
    let (mut deviations, mut wrong) = (0, vec![]);
    for case in cases {
        let id = case["id"].as_str().or(case["url"].as_str()).or(case["host"].as_str()).unwrap();
        let listed = DEVIATIONS.iter().any(|(deviation, _)| *deviation == id);
        match check(case) {
            Ok(()) if listed => wrong.push(format!("{id}: agrees, but is listed as a deviation")),
            Ok(()) => {}
            Err(_) if listed => deviations += 1,
            Err(ours) => wrong.push(format!("{id}: {ours}")),
        }
    }
    let agreed = cases.len() - deviations - wrong.len();
    println!("corpus {name}: {agreed} of {} agree, {deviations} deviations (docs/corpus.md)", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn same(what: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours} instead of {theirs}")) }
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The cases of one file of the corpus; `None`, and a line that says so, without a corpus.
fn load(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("RAWTORRENT_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("vectors").join(file)) else {
        println!("corpus: not found, 0 cases");
        return None;
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    Some(document["cases"].as_array().unwrap().clone())
}
