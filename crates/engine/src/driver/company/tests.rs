use super::*;
use crate::Settings;
use crate::announcer::Named;
use session::{Torrent, Wants};
use std::net::IpAddr;
use swarm::Config;
use tracker::AnnounceResponse;
use types::InfoHashV1;

const OURS: [u8; 4] = [80, 1, 2, 3];
const TORRENT: InfoHash = InfoHash::V1(InfoHashV1([7; 20]));

fn swarm(external: Vec<IpAddr>) -> Brain {
    let config = Config { external, listen_ports: [6881; 2], ..Config::default() };
    Brain::of_unknown(None, config, TORRENT, true, Time::ZERO)
}

/// In which order a swarm dials.
fn dialed(swarm: &mut Brain) -> Vec<SocketAddr> {
    let addrs: Vec<SocketAddr> = (1..=10).map(|n| SocketAddr::from(([90, n, 3, 4], 6881))).collect();
    swarm.handle(Time::ZERO, Input::PeersFound { addrs: &addrs, source: PeerSource::Tracker });
    let connects = std::iter::from_fn(|| swarm.poll_output()).filter_map(|output| match output {
        Output::Connect { addr } => Some(addr),
        _ => None,
    });
    connects.collect()
}

fn company(shared: Arc<Shared>) -> Company {
    let tiers = [vec!["http://tracker.example/announce".to_owned()]];
    let (limits, wants) = (wire::Limits::unknown_pieces(), Torrent::new(Wants::Download));
    let (peer_id, named) = (PeerId([1; 20]), Named { tiers: &tiers, of_link: &[] });
    let outside = Outside::take(&shared, TORRENT, peer_id, named, wants);
    Company::nobody(shared, TORRENT, peer_id, swarm(Vec::new()), limits, outside)
}

/// In which order is dialed when so many trackers have told under which address they see us.
fn dialed_after(voices: u64) -> Vec<SocketAddr> {
    let dir = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(Settings::new(dir.path()), &[], None, None).unwrap());
    let mut company = company(shared);
    for voice in 0..voices {
        company.outside.announcer.start(Time::ZERO);
        let due = company.outside.announcer.poll(Time::MAX, Default::default).unwrap();
        let response = AnnounceResponse { external_ips: vec![OURS.into()], ..AnnounceResponse::default() };
        let mut announced = due.answered(Ok(response));
        announced.voice = voice;
        company.on_announced(announced);
    }
    dialed(&mut company.swarm)
}

#[tokio::test]
async fn what_trackers_say_of_our_address_decides_whom_to_dial_first() {
    let by_priority = dialed(&mut swarm(vec![OURS.into()]));
    assert_eq!(by_priority.len(), 10);
    assert_ne!(dialed_after(0), by_priority, "by chance");
    assert_ne!(dialed_after(2), by_priority, "too few");
    assert_eq!(dialed_after(3), by_priority);
}

#[tokio::test]
async fn waits_for_the_disk_are_told_with_who_it_is_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(Settings::new(dir.path()), &[], None, None).unwrap());
    let mut company = company(shared.clone());
    let mut events = shared.hub.listen("disk,connection".parse().unwrap()).with_addresses();
    let (peer, addr, now) = (PeerKey(7), SocketAddr::from(([90, 1, 3, 4], 6881)), Time::ZERO);
    let (peer_id, reserved) = (PeerId([2; 20]), wire::Reserved::NONE);
    company.swarm.handle(now, Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved });
    let waited = |millis| {
        let events = vec![Event::Waited(std::time::Duration::from_millis(millis))];
        Batch { from: peer, events, turn: None }
    };
    company.hear_batch(now, waited(200));
    company.swarm.closed(now, peer, &"it is gone");
    company.hear_batch(now, waited(300));
    company.tell(|| EventKind::Dialing { peer: addr.into() });
    let mut told = Vec::new();
    for _ in 0..4 {
        let event = events.next().await.unwrap();
        assert_eq!(event.kind.peer().unwrap().addr, Some(addr), "{}", event.kind);
        told.push(event.kind.to_string());
    }
    let expected = [
        "connected: it answers",
        "its block waited 200 ms for the disk",
        "disconnected: it is gone",
        "connecting",
    ];
    assert_eq!(told, expected);
}
