//! Twelve situations in which a torrent is held back: of each the right cause comes first.

use sim::{Checks, DiskSpec, Fault, PeerSpec, Role, Spec};
use std::time::Duration;
use swarm::{Config, Limits};
use trace::why::{Cause, Facts, TrackerFacts, why};
use types::Lengths;

const SECOND: Duration = Duration::from_secs(1);

/// Who is looked at: the last one.
fn leecher() -> PeerSpec {
    PeerSpec::default()
}

fn seed() -> PeerSpec {
    PeerSpec { role: Role::Seed, ..PeerSpec::default() }
}

/// So much that it takes five minutes over one line.
fn swarm(peers: impl IntoIterator<Item = PeerSpec>) -> Spec {
    let peers: Vec<_> = peers.into_iter().collect();
    Spec {
        name: "held back".into(),
        lengths: Lengths::new(300_000_000, 1 << 20).expect("they can be"),
        neighbours: 10,
        peers,
        faults: Vec::new(),
        deadline: Duration::MAX,
        checks: Checks::Sampled(10_007),
        buggify: false,
        #[cfg(feature = "planted")]
        planted: None,
    }
}

/// The first cause, as the last peer of the swarm sees it at that time; `facts` is what its swarm does not know.
fn first(spec: &Spec, seconds: u32, mut facts: Facts) -> Cause {
    let peer = spec.peers.len() - 1;
    let down = spec.peers[peer].max_down;
    let limits = Limits { down, ..Config::default().limits() };
    facts.age = seconds * SECOND;
    sim::look(spec, 7, seconds * SECOND, peer, |swarm, now| facts.see(swarm, limits, now))
        .expect("no rule is broken");
    let found = why(&facts);
    found.into_iter().next().expect("something holds it back").cause
}

fn tracker(error: Option<&str>) -> Facts {
    let tracker = TrackerFacts { name: "udp://tracker.example".into(), error: error.map(Into::into) };
    Facts { trackers: vec![tracker], ..Facts::default() }
}

#[test]
fn no_peers() {
    let cause = first(&swarm([leecher()]), 60, tracker(None));
    assert_eq!(cause, Cause::NoPeers { known: 0, connecting: 0, trackers: 1 });
}

#[test]
fn peers_that_are_gone() {
    // Nobody is reached there, and nobody of them calls.
    let [gone, alone] = [seed(), leecher()].map(|peer| PeerSpec { nat: true, ..peer });
    for seconds in [2, 30] {
        let cause = first(&swarm([gone.clone(), gone.clone(), alone.clone()]), seconds, tracker(None));
        assert!(matches!(cause, Cause::NoPeers { known: 2, .. }), "after {seconds} s: {cause:?}");
    }
}

#[test]
fn tracker_errors() {
    let cause = first(&swarm([leecher()]), 60, tracker(Some("no answer")));
    assert!(matches!(cause, Cause::TrackerErrors { failing: 1, trackers: 1, .. }), "{cause:?}");
}

#[test]
fn port_unreachable() {
    let hidden = |peer: PeerSpec| PeerSpec { nat: true, ..peer };
    let cause = first(&swarm([hidden(seed()), hidden(seed()), hidden(leecher())]), 60, tracker(None));
    assert!(matches!(cause, Cause::PortUnreachable { known: 2, peers: 0 }), "{cause:?}");
}

#[test]
fn all_peers_choke_us() {
    let stingy = PeerSpec { role: Role::FreeRider, down: 100_000_000, ..PeerSpec::default() };
    let giver = PeerSpec { up: 100_000_000, ..seed() };
    let late = PeerSpec { start: 60 * SECOND, ..leecher() };
    let mut spec = swarm([giver, stingy.clone(), stingy, late]);
    spec.faults.push((50 * SECOND, Fault::Leave(0, None)));
    let cause = first(&spec, 90, Facts::default());
    assert_eq!(cause, Cause::Choked { choking: 2, peers: 2 });
}

#[test]
fn snubbed() {
    let mut spec = swarm([seed(), seed(), leecher()]);
    spec.faults.push((20 * SECOND, Fault::Partition(2, 600 * SECOND)));
    let cause = first(&spec, 110, Facts::default());
    assert_eq!(cause, Cause::Snubbed { snubbed: 2, peers: 2 });
}

#[test]
fn request_queues_empty() {
    let broken = DiskSpec { read_failures_permille: 1000, ..DiskSpec::default() };
    let refusing = PeerSpec { disk: broken, ..seed() };
    let cause = first(&swarm([refusing.clone(), refusing, leecher()]), 10, Facts::default());
    assert_eq!(cause, Cause::RequestsEmpty { idle: 2, peers: 2 });
}

#[test]
fn disk_waits() {
    let slow = DiskSpec { delay: 3600 * SECOND, ..DiskSpec::default() };
    let cause = first(
        &swarm([PeerSpec { up: 10_000_000, ..seed() }, PeerSpec { disk: slow, ..leecher() }]),
        120,
        Facts::default(),
    );
    assert!(matches!(cause, Cause::DiskWaits { unhashed: 287, missing: 287, .. }), "{cause:?}");
}

#[test]
fn rate_limit_reached() {
    let limited = PeerSpec { max_down: Some(100_000), ..leecher() };
    let cause = first(&swarm([seed(), limited]), 30, Facts::default());
    assert!(matches!(cause, Cause::RateLimit { limit: 100_000, .. }), "{cause:?}");
}

#[test]
fn nobody_has_the_missing_pieces() {
    let mut spec = swarm([seed(), leecher(), leecher()]);
    spec.faults.push((60 * SECOND, Fault::Leave(0, None)));
    let cause = first(&spec, 150, Facts::default());
    assert!(
        matches!(cause, Cause::NobodyHas { missing, unseen, peers: 1 } if missing == unseen),
        "{cause:?}"
    );
}

#[test]
fn seeds_behind_the_same_limit() {
    let cause = first(&swarm([seed(), seed(), seed(), leecher()]), 30, Facts::default());
    assert!(matches!(cause, Cause::SharedLimit { peers: 3, .. }), "{cause:?}");
}

#[test]
fn a_slow_peer() {
    let cause = first(&swarm([PeerSpec { up: 50_000, ..seed() }, leecher()]), 30, Facts::default());
    assert!(matches!(cause, Cause::SlowPeers { peers: 1, rate: 20_000..60_000 }), "{cause:?}");
}

#[test]
fn complete() {
    let cause = first(
        &swarm([PeerSpec { up: 100_000_000, ..seed() }, PeerSpec { down: 100_000_000, ..leecher() }]),
        60,
        Facts::default(),
    );
    assert_eq!(cause, Cause::Complete);
}
