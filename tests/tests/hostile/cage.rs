//! Two hundred peers of four kinds around a program that has 256 MiB, while an honest one downloads from it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{A_WHILE, is_measured, sized, wait_until_ready};
use crate::common::{Home, LIMIT, start};
use rawtorrent_tests::cage::Cage;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::peer::{FAST, FAST_EXTENDED, FakeSeed, PLAIN, RawPeer, Serving, id, message, request};
use rawtorrent_tests::score::score;

/// What the program has, the system's memory of its files included.
const MEMORY: u64 = 256 << 20;
/// What is downloaded from it, by way of it: for longer than a round of its choker.
const RELAYED: Sample = Sample { name: "relayed.bin", layout: &[("", 200 << 20)] };
/// What the honest one takes at most, as a line would let it: so the generators of all the rest, which share its
/// processors, are not what is measured.
const LINE: &str = "20MiB";
/// Of each kind.
const EACH: usize = 50;
/// How often one of them says something; it is two megabytes a second of each that floods.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a transfer.
#[derive(Debug)]
struct Outcome {
    took: Duration,
    peak: u64,
    liars: usize,
    banned: usize,
    came_again: usize,
}

/// Has an honest peer download by way of the program in its cage: what it has comes from an honest seed, and from
/// liars if there are any.
fn relay(content: &Arc<Vec<u8>>, crowd: usize) -> Outcome {
    let cage = Cage::new(MEMORY).unwrap_or_else(|error| panic!("{error:#}"));
    let (home, honest_home) = (Home::new(RELAYED), Home::new(RELAYED));
    let honest = FakeSeed::start(Serving::all(home.info_hash, Arc::clone(content))).unwrap();
    let lying = |_| {
        let serving = Serving { lying: true, ..Serving::all(home.info_hash, Arc::clone(content)) };
        FakeSeed::start(serving).unwrap()
    };
    let liars: Vec<FakeSeed> = (0..crowd).map(lying).collect();
    let addr = free_addr().unwrap();
    let mut command = home.command();
    command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
    command.args(["--no-trackers", "-v", "--seed", "--max-peers", "400", "--listen", &addr.to_string()]);
    for seed in [&honest].into_iter().chain(&liars) {
        command.args(["--peer", &seed.addr.to_string()]);
    }
    let mut caged = start(&mut cage.around(&command));
    wait_until_ready(addr, home.info_hash);
    let mut download = honest_home.download();
    download.args(["--max-down", LINE, "--peer", &addr.to_string()]);
    let begun = Instant::now();
    let mut downloading = start(&mut download);
    let file = honest_home.downloaded();
    let has_begun = || fs::metadata(&file).is_ok_and(|file| file.blocks() > 0).then_some(());
    rawtorrent_tests::poll(begun + LIMIT, has_begun).expect("nothing is downloaded");
    let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let others: Vec<_> = (0..crowd)
        .flat_map(|_| {
            let hash = home.info_hash;
            [
                floods(addr, hash, &over),
                reads_nothing(addr, hash, &over),
                comes_again(addr, hash, &over, &count),
            ]
        })
        .collect();
    let status = downloading.process.wait(LIMIT).unwrap();
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{}", downloading.process.stderr());
    over.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|peer| peer.join().unwrap());
    honest_home.assert_downloaded();
    assert!(caged.process.is_running(), "{}", caged.process.stderr());
    let log = caged.process.stderr() + &caged.process.stdout();
    let bans: Vec<&str> = log.lines().filter(|line| line.contains(" banned: ")).collect();
    let is_banned = |seed: &&FakeSeed| bans.iter().any(|line| line.contains(&seed.addr.to_string()));
    assert!(!is_banned(&&honest), "{bans:?}");
    let (used, banned) = (liars.iter().filter(|liar| liar.served() > 0), liars.iter().filter(is_banned));
    let outcome = Outcome {
        took,
        peak: cage.peak().unwrap(),
        liars: used.count(),
        banned: banned.count(),
        came_again: count.load(Ordering::Relaxed),
    };
    assert_eq!(caged.interrupt().unwrap().0, Some(0), "{}", caged.process.stderr());
    assert_eq!(cage.kills().unwrap(), 0);
    outcome
}

/// A peer that does the same again and again until it is `over`; whenever it is hung up on, it comes again.
fn again(
    addr: SocketAddr,
    info_hash: [u8; 20],
    reserved: [u8; 8],
    over: &Arc<AtomicBool>,
    mut turn: impl FnMut(&mut RawPeer) -> bool + Send + 'static,
) -> JoinHandle<()> {
    let over = Arc::clone(over);
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let Ok(mut peer) = RawPeer::connect(addr, reserved, info_hash) else {
                thread::sleep(PAUSE);
                continue;
            };
            while !over.load(Ordering::Relaxed) && turn(&mut peer) {
                thread::sleep(PAUSE);
            }
        }
    })
}

/// Says much that is of no use, and reads what it hears.
fn floods(addr: SocketAddr, info_hash: [u8; 20], over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let words = message(id::EXTENDED, &[99; 100]).repeat(1_000);
    again(addr, info_hash, FAST_EXTENDED, over, move |peer| {
        peer.push(&words, A_WHILE).is_ok_and(|taken| taken == words.len())
            && !peer.closes_within(Duration::from_millis(1)).unwrap_or(true)
    })
}

/// Asks for blocks and reads none.
fn reads_nothing(addr: SocketAddr, info_hash: [u8; 20], over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let ask = message(id::REQUEST, &request(0, 0, 0x4000)).repeat(500);
    let first = message(id::INTERESTED, &[]);
    again(addr, info_hash, PLAIN, over, move |peer| {
        peer.push(&first, A_WHILE).is_ok() && peer.push(&ask, A_WHILE).is_ok()
    })
}

/// Says what nobody may say, is hung up on, and comes again.
fn comes_again(
    addr: SocketAddr,
    info_hash: [u8; 20],
    over: &Arc<AtomicBool>,
    count: &Arc<AtomicUsize>,
) -> JoinHandle<()> {
    let count = Arc::clone(count);
    again(addr, info_hash, FAST, over, move |peer| {
        let _ = peer.send(&message(id::HAVE, &u32::MAX.to_be_bytes()));
        assert!(peer.closes_within(LIMIT).unwrap(), "it was not disconnected");
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PAUSE);
        false
    })
}

#[test]
fn two_hundred_around_a_cage() {
    if !is_measured() {
        println!("measured in the longer run alone");
        return;
    }
    let content = Arc::new(RELAYED.stream());
    let pairs = sized(1, 5);
    let mut ratios = Vec::new();
    let (mut peak, mut liars, mut banned, mut came_again) = (0, 0, 0, 0);
    for _ in 0..pairs {
        let alone = relay(&content, 0);
        let beside = relay(&content, EACH);
        println!("alone {alone:?}, beside {beside:?}");
        ratios.push(alone.took.as_secs_f64() / beside.took.as_secs_f64());
        peak = peak.max(beside.peak);
        liars += beside.liars;
        banned += beside.banned;
        came_again += beside.came_again;
        assert_eq!(beside.banned, beside.liars, "liars whose blocks were taken, and who is banned");
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[pairs / 2];
    score(
        "two_hundred_around_a_cage",
        &format!(
            "200 peers that lie, flood, read nothing, or come again ({came_again} times), around 256 MiB; transfers at {LINE}/s"
        ),
        pairs as u64,
        &format!(
            "nobody was killed; {} MiB at most; {banned} of {liars} liars banned, no honest peer; {:.0} % of the rate without them (median)",
            peak >> 20,
            median * 100.0
        ),
        "content right, nobody killed, every liar banned and no honest peer, at least 90 % of the rate",
    );
    assert!(median >= 0.9, "{ratios:.2?}");
}
