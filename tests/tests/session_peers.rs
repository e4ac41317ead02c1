//! Whom a session deals with: trackers as the user has them, and nobody who is banned.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::kept::{Case, Running};
use common::{Home, real_seed};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::tracker::{Answer, SOON, Server};
use serde_json::{Value, json};

const SMALL: Sample = Sample { name: "small", layout: &[("", 300_000)] };
const LARGE: Sample = Sample { name: "large", layout: &[("", 8 << 20)] };

/// A session that asks trackers.
fn start(home: &Home) -> Running {
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0"]);
    Running::begin(&mut command).0
}

#[test]
fn trackers_come_and_go() {
    let own = Server::start(Answer::Peers(Vec::new())).unwrap();
    let home = Home::with_tracker(SMALL, Some(&own.url("announce")));
    let seed = home.fake_seed();
    let other = Server::start(Answer::Peers(vec![seed.addr])).unwrap();
    let mut running = start(&home);
    let hash = hex(&home.info_hash);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    let order = |more: Value| {
        let mut order = json!({"do": "trackers", "info_hash": hash});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    let tiers = |answer: Value| answer["trackers"].clone();
    assert_eq!(tiers(running.done(&order(json!({})))), json!([[own.url("announce")]]));
    assert!(own.wait_for("event=started", SOON));

    let both = json!([[own.url("announce")], [other.url("announce")]]);
    assert_eq!(tiers(running.done(&order(json!({"add": [other.url("announce")]})))), both);
    let only = json!([[other.url("announce")]]);
    assert_eq!(tiers(running.done(&order(json!({"remove": [own.url("announce")]})))), only);
    running.done(&json!({"do": "wait", "info_hash": hash}));
    assert!(own.wait_for("event=stopped", SOON) && other.wait_for("event=started", SOON));
    home.assert_downloaded();

    running.kill();
    let mut running = start(&home);
    assert_eq!(tiers(running.done(&order(json!({})))), only);
    for bad in ["ftp://x/announce", "http://127.0.0.1/cgi", "http://169.254.169.254/announce", "x", ""] {
        running.refused(&order(json!({"add": [bad]})), "refused");
    }
    let many: Vec<String> = (0..1000).map(|n| format!("http://tracker{n}.example/announce")).collect();
    running.refused(&order(json!({"add": many})), "refused");
    assert_eq!(
        tiers(running.done(&order(json!({"replace": [[other.url("announce"), own.url("announce")]]})))),
        json!([[other.url("announce"), own.url("announce")]])
    );
    assert_eq!(tiers(running.done(&order(json!({"replace": null})))), json!([[own.url("announce")]]));
    running.end();
}

#[test]
fn trackers_of_a_link_lead_inside_no_more_when_the_user_has_others() {
    let (home, (_seeds, _seed, addr)) = (Home::new(SMALL), real_seed(SMALL));
    let of_link = [(); 2].map(|()| Server::start(Answer::Peers(Vec::new())).unwrap());
    let other = Server::start(Answer::Peers(vec![addr])).unwrap();
    let mut running = start(&home);
    let hash = hex(&home.info_hash);
    let [one, two] = of_link.each_ref().map(|server| server.url("announce"));
    let link = format!("magnet:?xt=urn:btih:{hash}&tr={one}&tr={two}");
    running.done(&json!({"do": "add", "torrent": link, "dir": home.out()}));
    let order = |what: &str, url: &str| json!({"do": "trackers", "info_hash": hash, (what): [url]});
    let added = running.done(&order("add", &other.url("announce")));
    assert_eq!(added["trackers"], json!([[one], [two], [other.url("announce")]]));
    running.done(&json!({"do": "wait", "info_hash": hash}));
    home.assert_downloaded();
    assert!(other.wait_for("event=completed", SOON));
    let removed = running.done(&order("remove", &one));
    assert_eq!(removed["trackers"], json!([[two], [other.url("announce")]]));
    assert!(other.wait_for("event=stopped", SOON));
    // What the link named is still known as such.
    let own = running.done(&json!({"do": "trackers", "info_hash": hash, "replace": null}));
    assert_eq!(own["trackers"], json!([[one], [two]]));
    running.end();
    assert!(of_link.iter().all(|server| server.requests().is_empty()));
}

#[test]
fn nobody_deals_with_a_host_that_is_banned() {
    let mut case = Case::new(LARGE);
    case.add(json!({"max_down": 64 * 1024}));
    case.running.until(|torrent| torrent["peers"] == 1);
    let ban = json!({"do": "ban", "addr": "127.0.0.1"});
    assert_eq!(case.running.done(&ban)["bans"], json!(["127.0.0.1"]));
    case.running.until(|torrent| torrent["peers"] == 0);
    case.kill();
    assert_eq!(case.running.done(&json!({"do": "bans"}))["bans"], json!(["127.0.0.1"]));
    let served = case.seed.served();
    case.done("reannounce", json!({}));
    assert_eq!(case.running.torrent()["peers"], 0);
    case.running.refused(&json!({"do": "ban", "addr": "x"}), "order");
    assert_eq!(case.running.done(&json!({"do": "unban", "addr": "127.0.0.1"}))["bans"], json!([]));
    assert_eq!(case.seed.served(), served);
    case.done("set", json!({"max_down": null}));
    case.done("pause", json!({}));
    case.done("resume", json!({}));
    case.wait();
    case.home.assert_downloaded();
}
