use super::*;
use alloc::string::ToString;
use alloc::vec;

fn first(facts: &Facts) -> Cause {
    why(facts).swap_remove(0).cause
}

fn with_peers(peers: &[PeerFacts]) -> Facts {
    let peers = peers.to_vec();
    Facts { missing: 10, known: 9, called: true, connected: peers.len(), peers, ..Facts::default() }
}

#[test]
fn what_the_torrent_as_a_whole_does_is_all_that_is_told() {
    let trouble = Some("no space on 192.0.2.7".to_string());
    for (doing, text) in [
        (Doing::Paused, "it is paused"),
        (Doing::Queued, "it waits for its turn: as many torrents are active as may be"),
        (Doing::Checking, "what is on disk is being checked"),
        (Doing::Moving, "its files are being moved"),
        (Doing::Complete, "it is complete: nothing that is wanted is missing"),
        (
            Doing::Unsettled,
            "it is complete, but its files cannot go where they belong: no space on (address)",
        ),
        (Doing::Stopped, "it has stopped: its seed goal is reached"),
        (Doing::DiskFull, "the disk is full: no space on (address)"),
        (Doing::Unavailable, "its files are away: no space on (address)"),
        (Doing::Failed, "it has failed: no space on (address)"),
    ] {
        let mut found = why(&Facts { doing, trouble: trouble.clone(), ..Facts::default() });
        found[0].cause.mask();
        assert_eq!((found.len(), found[0].weight, &*found[0].cause.to_string()), (1, 100, text));
        assert!(!found[0].cause.advice().is_empty());
    }
}

#[test]
fn a_link_without_metadata_is_held_back_by_who_is_not_there_first() {
    let facts = Facts { doing: Doing::FetchingMetadata, ..Facts::default() };
    let causes: Vec<_> = why(&facts).into_iter().map(|finding| finding.cause).collect();
    let alone = Cause::NoPeers { known: 0, connecting: 0, trackers: 0 };
    assert_eq!(causes, [alone, Cause::MetadataMissing { peers: 0, known: 0 }]);
    let facts = Facts { connected: 2, known: 3, ..facts };
    assert_eq!(first(&facts), Cause::MetadataMissing { peers: 2, known: 3 });
}

#[test]
fn some_of_many_weigh_less_than_all() {
    let choking = PeerFacts { choking: true, ..PeerFacts::default() };
    let weight = |peers: &[PeerFacts]| {
        let found = why(&with_peers(peers));
        found.iter().find(|found| matches!(found.cause, Cause::Choked { .. })).map(|found| found.weight)
    };
    let serving = PeerFacts::default();
    assert_eq!(weight(&[choking, choking]), Some(91));
    assert_eq!(weight(&[choking, choking, serving]), Some(30));
    assert_eq!(weight(&[choking, serving, serving]), None);
}

#[test]
fn one_network_is_one_line() {
    let at = |ip: &str| PeerFacts { ip: ip.parse().unwrap(), rate: 5, ..PeerFacts::default() };
    let shared = Cause::SharedLimit { peers: 2, rate: 10 };
    let slow = Cause::SlowPeers { peers: 2, rate: 10 };
    for (one, other, cause) in [
        ("198.51.100.1", "198.51.100.250", &shared),
        ("198.51.100.1", "::ffff:198.51.100.2", &shared),
        ("198.51.100.1", "198.51.101.1", &slow),
        ("2001:db8:1:2::1", "2001:db8:1:ff::1", &shared),
        ("2001:db8:1::1", "2001:db8:2::1", &slow),
    ] {
        assert_eq!(&first(&with_peers(&[at(one), at(other)])), cause, "{one} and {other}");
    }
}

#[test]
fn rates_are_told_in_units_of_people() {
    for (cause, text) in [
        (Cause::SlowPeers { peers: 2, rate: 1536 }, "peers send no faster: 1.5 KiB/s from 2 peers"),
        (
            Cause::SharedLimit { peers: 2, rate: 3 << 20 },
            "all 2 peers that send are in one network and likely share its line: 3.0 MiB/s together",
        ),
        (
            Cause::RateLimit { limit: 2048, rate: 7 },
            "the download limit is reached: 7 B/s of payload come, 2.0 KiB/s may come, headers included",
        ),
    ] {
        assert_eq!(cause.to_string(), text);
    }
}

#[test]
fn what_a_limit_does_is_no_cause_of_its_own() {
    let peer = |requests, rate| PeerFacts { requests, rate, ..PeerFacts::default() };
    let facts = with_peers(&[peer(0, 9000), peer(0, 11_000), peer(1, 0)]);
    let causes = |facts: &Facts| why(facts).into_iter().map(|found| found.cause).collect::<Vec<_>>();
    let limited = Facts { max_down: Some(20_000), held_down: true, rate_down: 19_000, ..facts.clone() };
    assert_eq!(causes(&limited), [Cause::RateLimit { limit: 20_000, rate: 19_000 }]);
    assert_eq!(causes(&facts), [Cause::RequestsEmpty { idle: 2, peers: 3 }], "without it, it is");
    // Who chokes us does so whatever we want.
    let choking = PeerFacts { choking: true, ..PeerFacts::default() };
    let both = Facts { peers: vec![choking; 3], ..limited };
    assert!(causes(&both).contains(&Cause::Choked { choking: 3, peers: 3 }));
}

#[test]
fn a_full_disk_is_said_once() {
    for (error, text) in [
        (
            "the disk is full: cannot write a; free some space",
            "the disk is full: cannot write a; free some space",
        ),
        ("no room", "the disk is full: no room"),
        ("the disk is full", "the disk is full"),
        ("", "the disk is full"),
    ] {
        assert_eq!(Cause::DiskFull { error: error.into() }.to_string(), text);
    }
}

#[test]
fn who_was_asked_and_sends_nothing_is_no_slow_peer() {
    let silent = PeerFacts { rate: 0, ..PeerFacts::default() };
    let sends = PeerFacts { rate: 7, ip: "198.51.100.1".parse().unwrap(), ..PeerFacts::default() };
    let facts = with_peers(&[silent, silent]);
    let found = why(&facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].cause, Cause::Waiting { waiting: 2, peers: 2 });
    assert_eq!(found[0].cause.to_string(), "2 of 2 peers that unchoke us were asked, and nothing comes");
    let slow = Cause::SlowPeers { peers: 1, rate: 7 };
    let causes: Vec<_> = why(&with_peers(&[silent, sends])).into_iter().map(|found| found.cause).collect();
    assert_eq!(causes, [slow, Cause::Waiting { waiting: 1, peers: 2 }]);
}

#[test]
fn trackers_that_fail_hide_nothing_and_masked_tell_no_address() {
    let good = TrackerFacts { name: "https://tracker.example".into(), error: None };
    let bad = TrackerFacts { name: "udp://192.0.2.7:80".into(), error: Some("no answer".into()) };
    let facts = Facts { trackers: vec![good.clone(), bad.clone()], ..Facts::default() };
    assert_eq!(first(&facts), Cause::NoPeers { known: 0, connecting: 0, trackers: 2 });
    let facts = Facts { trackers: vec![bad.clone(), bad], ..facts };
    let mut cause = first(&facts);
    assert_eq!(cause.to_string(), "2 of 2 trackers failed: udp://192.0.2.7:80: no answer");
    cause.mask();
    assert_eq!(cause.to_string(), "2 of 2 trackers failed: udp://(address): no answer");
    let facts = Facts { trackers: vec![good], ..facts };
    assert!(!why(&facts).iter().any(|found| matches!(found.cause, Cause::TrackerErrors { .. })));
}

#[test]
fn an_unreachable_port_is_remarkable_after_a_while() {
    let young = Facts { called: false, ..with_peers(&[PeerFacts::default()]) };
    let old = Facts { age: CALLED_BY, ..young.clone() };
    let crowd = Facts { connected: ENOUGH_PEERS, ..old.clone() };
    let called = Facts { called: true, ..old.clone() };
    for (facts, expected) in [(young, false), (old, true), (crowd, false), (called, false)] {
        let is_told = why(&facts).iter().any(|found| matches!(found.cause, Cause::PortUnreachable { .. }));
        assert_eq!(is_told, expected);
    }
}

#[test]
fn who_is_alone_with_addresses_blames_its_port_only_after_a_while() {
    let young = Facts { known: 2, age: ALONE_BY - Duration::from_millis(1), ..Facts::default() };
    let old = Facts { age: ALONE_BY, ..young.clone() };
    let trying = Facts { connecting: 2, ..old.clone() };
    let alone = |connecting| Cause::NoPeers { known: 2, connecting, trackers: 0 };
    let port = Cause::PortUnreachable { known: 2, peers: 0 };
    for (facts, causes) in
        [(young, [alone(0), port.clone()]), (old, [port.clone(), alone(0)]), (trying, [alone(2), port])]
    {
        let found: Vec<_> = why(&facts).into_iter().map(|finding| finding.cause).collect();
        assert_eq!(found, causes);
    }
}

#[test]
fn connections_that_wait_for_the_disk_come_before_slow_peers() {
    let facts = Facts { waiting_for_disk: 1, ..with_peers(&[PeerFacts::default()]) };
    assert_eq!(first(&facts), Cause::DiskWaits { connections: 1, unhashed: 0, missing: 10 });
    let facts = Facts { waiting_for_disk: 1, ..with_peers(&[PeerFacts::default(); 3]) };
    assert_eq!(first(&facts), Cause::SharedLimit { peers: 3, rate: 3 });
}

#[test]
fn evidence_has_fields() {
    let cause = Cause::Choked { choking: 3, peers: 4 };
    let told = serde_json::to_value(&cause).unwrap();
    assert_eq!(told, serde_json::json!({"cause": "choked", "evidence": {"choking": 3, "peers": 4}}));
    assert_eq!(serde_json::to_value(Cause::Paused).unwrap(), serde_json::json!({"cause": "paused"}));
}
