//! Peers and torrents that come and go: what a daemon has of them afterwards, and meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{gone, sized};
use crate::common::daemon::Daemon;
use crate::common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::peer::{FAST, RawPeer, id, message};
use rawtorrent_tests::score::score;

/// More than is downloaded while the test runs.
const LONG: Sample = Sample { name: "long.bin", layout: &[("", 64 << 20)] };
/// Peers that come again and again.
const CROWD: usize = 24;
/// What a daemon may have beside what it had, and what its connections have: what it does now and then.
const OTHERS: usize = 16;

/// What a daemon has at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vitals {
    pub(super) tasks: usize,
    pub(super) descriptors: usize,
    /// In bytes.
    pub(super) memory: u64,
}

impl Vitals {
    pub(super) fn of(daemon: &Daemon) -> Vitals {
        let metrics = String::from_utf8(daemon.get("/metrics").body).unwrap();
        let tasks = metrics.lines().find_map(|line| line.strip_prefix("rawtorrent_tasks ")).expect("a gauge");
        let process = &daemon.session.process;
        Vitals {
            tasks: tasks.parse().unwrap(),
            descriptors: process.descriptors().unwrap(),
            memory: process.memory().unwrap(),
        }
    }
}

/// Where a daemon listens for peers.
pub(super) fn door(daemon: &Daemon) -> SocketAddr {
    let events = daemon.session.events().unwrap();
    let ready = events.iter().find(|event| event["event"] == "ready").expect("it is ready");
    ready["listen"][0].as_str().unwrap().parse().unwrap()
}

/// Comes, says what nobody may say, is hung up on, and comes again until it is `over`.
pub(super) fn come_again(
    addr: SocketAddr,
    info_hash: [u8; 20],
    over: &Arc<AtomicBool>,
    count: &Arc<AtomicUsize>,
) -> thread::JoinHandle<()> {
    let (over, count) = (Arc::clone(over), Arc::clone(count));
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let Ok(mut peer) = RawPeer::connect(addr, FAST, info_hash) else { continue };
            let _ = peer.send(&message(id::HAVE, &u32::MAX.to_be_bytes()));
            let _ = gone(&mut peer);
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
}

#[test]
fn tasks_stay_with_connections() {
    let home = Home::new(LONG);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--max-down", "6M", "--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    assert!(seed.wait_served(1 << 20, LIMIT), "nothing is downloaded");
    let before = Vitals::of(&daemon);
    let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let addr = door(&daemon);
    let crowd: Vec<_> = (0..CROWD).map(|_| come_again(addr, home.info_hash, &over, &count)).collect();
    let until = Instant::now() + Duration::from_secs(sized(3, 8) as u64);
    let (mut tasks, mut descriptors) = (0, 0);
    rawtorrent_tests::poll(until, || {
        let now = Vitals::of(&daemon);
        (tasks, descriptors) = (tasks.max(now.tasks), descriptors.max(now.descriptors));
        None::<()>
    });
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|peer| peer.join().unwrap());
    let came = count.load(Ordering::Relaxed);
    println!("before {before:?}; {came} came; at most {tasks} tasks, {descriptors} descriptors");
    assert!(seed.served() < LONG.len(), "the download ended before");
    assert!(tasks <= before.tasks + 2 * CROWD + OTHERS, "{tasks} tasks, {before:?} before");
    assert!(descriptors <= before.descriptors + 2 * CROWD + OTHERS, "{descriptors}, {before:?} before");
    score(
        "tasks_stay_with_connections",
        &format!("connections of {CROWD} peers that come again and again during a download"),
        came as u64,
        &format!("{tasks} tasks at most, {} before", before.tasks),
        "no more tasks than connections and torrents, and a few",
    );
    daemon.end();
}

#[test]
fn torrents_that_are_removed_leave_nothing() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let path = format!("/api/v1/torrents/{}", hex(&home.info_hash));
    let round = || {
        assert_eq!(daemon.add(&home.torrent, "").status, 201);
        let deadline = Instant::now() + LIMIT;
        let done = || (daemon.get(&path).json()["state"] == "seeding").then_some(());
        rawtorrent_tests::poll(deadline, done).expect("it is downloaded");
        assert_eq!(daemon.ask("DELETE", &format!("{path}?data=true"), "", b"").status, 204);
    };
    // Threads that wait for work, and what they have, come to be with the first.
    (0..3).for_each(|_| round());
    let before = Vitals::of(&daemon);
    let rounds = sized(10, 200);
    (0..rounds).for_each(|_| round());
    let settled = |now: &Vitals| now.tasks <= before.tasks && now.descriptors <= before.descriptors;
    let mut last = before;
    let is_settled = rawtorrent_tests::poll(Instant::now() + Duration::from_secs(5), || {
        last = Vitals::of(&daemon);
        settled(&last).then_some(())
    });
    println!("before {before:?}, after {last:?}");
    assert!(is_settled.is_some(), "before {before:?}, after {last:?}");
    score(
        "torrents_that_are_removed_leave_nothing",
        "torrents added, downloaded and removed",
        rounds as u64,
        &format!("{} tasks and {} descriptors, as before", last.tasks, last.descriptors),
        "no more tasks and descriptors than before",
    );
    daemon.end();
}
