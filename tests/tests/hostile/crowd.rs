//! Two hundred of them at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::floods::{Large, MANY};
use super::{A_WHILE, PIECES, SMALL, Seeding, full, is_measured, sized, wait_until_ready};
use crate::common::{Home, LIMIT, start};
use rawtorrent_tests::cage::Cage;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::peer::{
    FAST, FAST_EXTENDED, FakeSeed, PLAIN, RawPeer, Serving, full_bitfield, id, message, request,
};
use rawtorrent_tests::process;
use rawtorrent_tests::score::score;

/// What one of the crowd says: what it can, what comes first, and what is repeated. It never reads.
fn speech(kind: usize) -> ([u8; 8], Vec<u8>, Vec<u8>) {
    let interested = message(id::INTERESTED, &[]);
    let ask = |piece, len| message(id::REQUEST, &request(piece, 0, len));
    let (reserved, first, one) = match kind % KINDS {
        0 => (PLAIN, interested, ask(0, 0x4000)),
        1 => (FAST, interested, ask(0, 0x2_0000)),
        // Each pair is a reject that it does not read.
        2 => (FAST, interested, [ask(1, 0x4000), message(id::CANCEL, &request(1, 0, 0x4000))].concat()),
        3 => {
            let hello = message(id::EXTENDED, b"\0d1:md11:ut_metadatai9eee");
            (FAST_EXTENDED, hello, message(id::EXTENDED, b"\x02d8:msg_typei0e5:piecei0ee"))
        }
        // A message of a megabyte that comes to no end.
        4 => {
            let first = [&0x10_0000_u32.to_be_bytes()[..], &[id::EXTENDED, 99], &vec![7; 0xf_f000]].concat();
            return (FAST_EXTENDED, first, Vec::new());
        }
        // And some that do.
        5 => (FAST_EXTENDED, Vec::new(), message(id::EXTENDED, &vec![99; 0xf_0000])),
        6 => (PLAIN, Vec::new(), [interested, message(id::NOT_INTERESTED, &[])].concat()),
        _ => (FAST, Vec::new(), message(id::BITFIELD, &full_bitfield(PIECES))),
    };
    let count = (64_usize << 10).div_ceil(one.len());
    (reserved, first, one.repeat(count))
}

/// Kinds of speeches.
const KINDS: usize = 8;

/// Says so many bytes at most, as far as they are taken.
fn speak(peer: &mut RawPeer, first: &[u8], again: &[u8], bytes: usize) {
    let mut sent = first.len();
    let mut taken = peer.push(first, A_WHILE).is_ok_and(|taken| taken == first.len());
    while taken && sent < bytes && !again.is_empty() {
        taken = peer.push(again, A_WHILE).is_ok_and(|taken| taken == again.len());
        sent += again.len();
    }
}

/// The most memory that a seed comes to have, in MiB, when two hundred speak, each one of `kinds`; and how many got in.
fn peak_memory(kinds: &[usize], bytes: usize) -> (u64, usize) {
    let mut seeding = Seeding::start();
    let crowd: Vec<_> = kinds
        .iter()
        .cycle()
        .take(CROWD)
        .map(|&kind| {
            let (reserved, first, again) = speech(kind);
            let peer = seeding.connect(reserved);
            thread::spawn(move || {
                let mut peer = peer.ok()?;
                speak(&mut peer, &first, &again, bytes);
                Some(peer)
            })
        })
        .collect();
    let crowd: Vec<_> = crowd.into_iter().filter_map(|peer| peer.join().unwrap()).collect();
    let peak = seeding.session.process.peak_memory().unwrap() >> 20;
    let there = crowd.len();
    let stay = crowd.into_iter().map(|mut peer| !peer.closes_within(Duration::from_millis(5)).unwrap());
    println!("kinds {kinds:?}: {peak} MiB, {there} got in, {} stayed", stay.filter(|stays| *stays).count());
    seeding.assert_serves();
    (peak, there)
}

/// As many as are let in at once.
const CROWD: usize = 200;

#[test]
fn memory_with_two_hundred_of_them() {
    // All kinds at once; then, those that others can't be slowed down by, two hundred of the same.
    let mut crowds = vec![(0..KINDS).collect::<Vec<_>>(), vec![0], vec![2], vec![4]];
    if full() {
        crowds.extend((0..KINDS).filter(|kind| ![0, 2, 4].contains(kind)).map(|kind| vec![kind]));
    }
    let bytes = sized(8 << 20, 40 << 20);
    let peaks: Vec<u64> = crowds
        .iter()
        .map(|kinds| {
            let (peak, there) = peak_memory(kinds, bytes);
            assert!(there > CROWD * 9 / 10, "{there} got in");
            assert!(peak < 256, "{peak} MiB, kinds {kinds:?}");
            peak
        })
        .collect();
    score(
        "memory_with_two_hundred_of_them",
        "crowds of 200 that flood in eight ways and read nothing",
        (crowds.len() * CROWD) as u64,
        &format!("peak memory {} MiB", peaks.iter().max().unwrap()),
        "below 256 MiB",
    );
}

/// What one of them says of two million pieces: that it has one or another of each 32, and a few more.
fn claims(number: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    // Few: how long a bit field is does not depend on it, and how long it takes to be counted does.
    let bits: Vec<u8> = (0..MANY / 8).map(|at| u8::from(at % 4 == 0) << random.u32(0..8)).collect();
    let have = |_| message(id::HAVE, &random.u32(0..1 << 21).to_be_bytes());
    let haves: Vec<u8> = (0..HAVES).flat_map(have).collect();
    [message(id::BITFIELD, &bits), haves].concat()
}

/// How often each of them says it.
const AGAIN: usize = 2;
/// How many pieces it has beside those in its bit field.
const HAVES: usize = 1_000;
/// What the program has.
const MEMORY: u64 = 256 << 20;

#[test]
fn two_hundred_that_have_parts_of_two_million_pieces() {
    // Whether a cage can be made is the longer run's to say; what the program itself takes is measured always.
    let cage = is_measured().then(|| Cage::new(MEMORY).unwrap_or_else(|error| panic!("{error:#}")));
    let large = Large::start_in(cage.as_ref());
    // One place is left to an honest peer.
    let calls = || {
        let mut peer = RawPeer::connect(large.addr, FAST, large.info_hash).ok()?;
        peer.read().ok()??;
        Some(peer)
    };
    let taken_in = |_| rawtorrent_tests::poll(Instant::now() + LIMIT, calls).expect("it is taken in");
    let crowd: Vec<RawPeer> = (1..CROWD).map(taken_in).collect();
    let at_once = Arc::new(Barrier::new(crowd.len()));
    let say = |(number, mut peer): (usize, RawPeer)| {
        let at_once = Arc::clone(&at_once);
        thread::spawn(move || {
            let claims = claims(number);
            at_once.wait();
            for _ in 0..AGAIN {
                (peer.push(&claims, LIMIT).ok()? == claims.len()).then_some(())?;
            }
            // The answer to this tells that everything before it was heard.
            peer.send(&message(id::REQUEST, &request(u32::MAX, 0, 1))).ok()?;
            peer.set_patience(Some(LIMIT)).ok()?;
            peer.read_until(|frame| frame.id == Some(id::REJECT)).ok()??;
            Some(peer)
        })
    };
    let crowd: Vec<_> = crowd.into_iter().enumerate().map(say).collect();
    let crowd: Vec<RawPeer> = crowd.into_iter().filter_map(|peer| peer.join().unwrap()).collect();
    large.assert_trades();
    let peak = large.session.process.peak_memory().unwrap();
    println!("{} MiB at most with {} of them", peak >> 20, crowd.len());
    // Who comes to have more than its share of what is not heard yet is hung up on.
    assert!(crowd.len() > CROWD * 3 / 4, "{} were heard", crowd.len());
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    let kills = cage.as_ref().map_or(0, |cage| cage.kills().unwrap());
    assert_eq!(kills, 0, "it has {} MiB", MEMORY >> 20);
    score(
        "two_hundred_that_have_parts_of_two_million_pieces",
        "200 peers that say at once, and again, which parts of 2^21 pieces they have, and 1,000 more each",
        (AGAIN * CROWD * (1 + HAVES)) as u64,
        &format!("peak memory {} MiB; an honest peer traded all it had", peak >> 20),
        "below 256 MiB, in a cage of as much; an honest peer trades",
    );
}

/// What is transferred beside a crowd: long enough to be measured.
const LARGE: Sample = Sample { name: "large.bin", layout: &[("", 128 << 20)] };

/// Bytes a second, as a line would let them through: the crowd, which shares the processors, is not what is measured.
const RATE: usize = 20 << 20;

/// Downloads [`LARGE`] from an honest seed that sends at a [`RATE`] while so many others do their worst; how long that took.
fn transfer(hostile: usize, content: &Arc<Vec<u8>>) -> Duration {
    let home = Home::new(LARGE);
    let serving = Serving { rate: Some(RATE), ..Serving::all(home.info_hash, Arc::clone(content)) };
    let honest = FakeSeed::start(serving).unwrap();
    let addr = free_addr().unwrap();
    let mut command = home.command();
    command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
    command.args(["--no-trackers", "--json", "--listen", &addr.to_string()]);
    let started = Instant::now();
    let mut session = start(command.args(["--peer", &honest.addr.to_string()]));
    wait_until_ready(addr, home.info_hash);
    let over = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = (0..hostile).map(|number| heckler(number, addr, home.info_hash, &over)).collect();
    let status = session.process.wait(LIMIT).unwrap();
    let took = started.elapsed();
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|heckler| heckler.join().unwrap());
    assert_eq!(status.code(), Some(0), "{}", session.process.stderr());
    took
}

/// Comes again and again until it is `over`.
fn heckler(
    number: usize,
    addr: SocketAddr,
    info_hash: [u8; 20],
    over: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let over = Arc::clone(over);
    thread::spawn(move || {
        let (reserved, first, again) = speech(number);
        while !over.load(Ordering::Relaxed) {
            let Ok(mut peer) = RawPeer::connect(addr, reserved, info_hash) else { return };
            speak(&mut peer, &first, &again, 1 << 20);
            let _ = peer.closes_within(A_WHILE);
        }
    })
}

#[test]
fn others_keep_their_rate() {
    if !is_measured() {
        println!("measured in the longer run alone");
        return;
    }
    let content = Arc::new(LARGE.stream());
    let pairs = sized(1, 10);
    let mut ratios: Vec<f64> = (0..pairs)
        .map(|_| {
            let alone = transfer(0, &content).as_secs_f64();
            alone / transfer(24, &content).as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[pairs / 2];
    println!("rates beside a crowd, over those alone: {ratios:.2?}");
    score(
        "others_keep_their_rate",
        &format!(
            "24 peers that flood and come again, beside a transfer from an honest one at {} MiB/s; pairs",
            RATE >> 20
        ),
        pairs as u64,
        &format!("{:.0} % of the rate without them (median)", median * 100.0),
        "at least 90 %",
    );
    assert!(median >= 0.9, "{ratios:.2?}");
}

#[test]
fn one_host_keeps_nobody_out() {
    let mut seeding = Seeding::start();
    // Where many call at once, some are turned away: one that is taken in is told what is here.
    let calls = || {
        let mut peer = seeding.connect(FAST).ok()?;
        peer.send(&message(id::HAVE_NONE, &[])).ok()?;
        peer.read().ok()??;
        Some(peer)
    };
    let taken_in = |_| rawtorrent_tests::poll(Instant::now() + LIMIT, calls).expect("it is taken in");
    let mut crowd: Vec<RawPeer> = (0..CROWD).map(taken_in).collect();
    let callers = sized(3, 30);
    for number in 0..callers {
        let elsewhere = Home::new(SMALL);
        let mut command = elsewhere.command();
        command.arg("download").arg(&elsewhere.torrent).arg("-o").arg(elsewhere.out()).arg("--no-trackers");
        // It dials from where it listens.
        command.args(["--listen", &format!("127.0.1.{}:0", number + 1), "--peer", &seeding.addr.to_string()]);
        let done = process::run(&mut command, LIMIT).unwrap();
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        elsewhere.assert_downloaded();
    }
    assert!(seeding.session.process.is_running(), "{}", seeding.session.process.stderr());
    let stay = crowd.iter_mut().filter_map(|peer| peer.closes_within(Duration::from_millis(1)).ok());
    let stay = stay.filter(|closes| !closes).count();
    assert!((CROWD - callers..CROWD).contains(&stay), "{stay} stayed");
    score(
        "one_host_keeps_nobody_out",
        "200 connections of one host that say nothing, all that there may be; peers at other hosts that call",
        callers as u64,
        &format!("each got all; {} of the crowd made room", CROWD - stay),
        "others are served; no more of the crowd go than others come",
    );
}
