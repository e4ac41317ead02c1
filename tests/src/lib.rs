//! Black-box tests of the built binary, and what they are made of.
//!
//! Nothing here uses rawtorrent's own crates, but as what is checked (the nodes of `tests/dht`): what is checked and
//! what checks must not share a mistake. The pieces:
//!
//! - [`content`]: sample files, the same on every run, and digests of whole trees
//! - [`metafile`]: torrents for these files, and the few bytes of bencode that this takes
//! - [`process`]: child processes with a log, a deadline, signals, and an end
//! - [`binary`]: the `rawtorrent` binary under test
//! - [`cage`]: a memory cgroup for it
//! - [`peer`]: a peer that says what it is told to say
//! - [`discord`]: a stand-in for Discord that holds a bot to its rules
//! - [`score`]: what a hostile test tells the scoreboard
//! - [`tracker`]: an HTTP tracker that misbehaves as told
//! - [`bencode`]: what others send, read
//! - [`capture`] and [`traffic`]: every packet of a network namespace, and what peers, the DHT and local discovery say
//! - [`interop`]: other people's clients and trackers, and the table of who can talk to whom
//! - [`wan`]: a wide-area network on this machine, and swarms of the binary that trade over it

pub mod bencode;
pub mod binary;
pub mod cage;
pub mod capture;
pub mod content;
pub mod discord;
pub mod interop;
pub mod metafile;
pub mod peer;
pub mod process;
pub mod score;
pub mod tracker;
pub mod traffic;
pub mod wan;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A loopback address with a port that nobody listens on; no two calls in a process give the same.
///
/// The ports are below those that the system hands out by itself, so that no outgoing connection takes one meanwhile.
///
/// # Errors
/// No port is free.
pub fn free_addr() -> io::Result<SocketAddr> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Processes begin at places of their own, since several may run at a time.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + begin.wrapping_add(call) % COUNT).map_err(io::Error::other)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(([127, 0, 0, 1], port).into());
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Asks `probe` every few milliseconds until it has an answer, or until `deadline` has passed. Only for what gives
/// no event to wait for: files and trackers of other people's programs.
pub fn poll<T>(deadline: Instant, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    const PAUSE: Duration = Duration::from_millis(25);
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
