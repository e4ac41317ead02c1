//! Peers that say nothing, or that finish nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{SMALL, Seeding, sized};
use crate::common::{Home, LIMIT};
use rawtorrent_tests::peer::{FAST, FakeSeed, Serving, handshake};
use rawtorrent_tests::process;
use rawtorrent_tests::score::score;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The longest that a handshake may take, and what a busy machine adds to it.
const HANDSHAKE: Duration = Duration::from_secs(10 + 5);

#[test]
fn slow_loris() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let mut seeding = Seeding::start();
    let count = sized(1_000, 10_000);
    let hello = handshake(FAST, seeding.home.info_hash, *b"-XX0000-half-a-hello");
    // One byte more of it for each, and none at all from others.
    let slow: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut stream = TcpStream::connect(seeding.addr).unwrap();
            // Some are hung up on while others still come.
            let _ = stream.write_all(&hello[..number % hello.len()]);
            stream
        })
        .collect();
    for _ in 0..5 {
        seeding.assert_serves();
    }
    let deadline = Instant::now() + HANDSHAKE;
    let left = slow.iter().filter(|stream| !ends_by(stream, deadline)).count();
    assert_eq!(left, 0, "of {count} half-open connections");
    seeding.assert_serves();
    score(
        "slow_loris",
        "connections that stop somewhere in their handshake",
        count as u64,
        "others were served meanwhile; all were closed after 10 s at most",
        "others are served; closed after 10 s",
    );
}

/// Whether the other side closes by then.
fn ends_by(mut stream: &TcpStream, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
            }
        }
    }
}

#[test]
fn every_piece_stalled_at_99_percent() {
    let rounds = sized(1, 20);
    for _ in 0..rounds {
        let home = Home::new(SMALL);
        let stalling: Vec<FakeSeed> = (0..4)
            .map(|_| FakeSeed::start(Serving { withholds_last: true, ..home.serving() }).unwrap())
            .collect();
        let honest = home.fake_seed();
        let addrs: Vec<SocketAddr> = stalling.iter().map(|seed| seed.addr).collect();
        let mut download = home.download_from(&[&honest]);
        for addr in &addrs {
            download.args(["--peer", &addr.to_string()]);
        }
        // Each of the four is waited for in turn.
        let done = process::run(&mut download, 3 * LIMIT).unwrap();
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        home.assert_downloaded();
    }
    score(
        "every_piece_stalled_at_99_percent",
        "4 peers of 5 that never send the last block of a piece",
        4 * rounds as u64,
        "the honest one was asked for what was missing",
        "the download completes",
    );
}
