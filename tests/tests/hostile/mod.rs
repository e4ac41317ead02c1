//! Peers that break the protocol, against the binary as a seed and as a downloader.
//!
//! - [`corpus`]: messages that others found to be trouble, and what is expected
//! - [`mutations`]: every message with one field changed, in every state
//! - [`seed`], [`downloader`]: what else each meets
//! - [`floods`]: more of something than anybody wants
//! - [`liars`]: wrong blocks, wrong promises, wrong names
//! - [`silent`]: peers that say nothing, read nothing, finish nothing
//! - [`crowd`]: two hundred of them at once
//! - [`cage`]: two hundred around a program that has 256 MiB
//! - [`state`]: what an earlier run kept, and what became of it
//! - [`churn`]: peers and torrents that come and go
//! - [`soak`]: thousands of torrents, for as long as one likes
//! - [`clocks`]: clocks that jump, and a machine that was asleep
//! - [`resources`]: no descriptors, no threads

mod cage;
mod churn;
mod clocks;
mod corpus;
mod crowd;
mod downloader;
mod floods;
mod liars;
mod mutations;
mod resources;
mod seed;
mod silent;
mod soak;
mod state;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::common::{Home, LIMIT, start};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{FAST, Frame, PLAIN, RawPeer, full_bitfield, id, message};

const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 19 * PIECE_LEN + 17)] };
const PIECES: usize = 20;
/// How fast a peer that breaks the protocol must be gone.
const SOON: Duration = Duration::from_secs(5);
/// How long a peer that is tolerated must at least be kept.
const A_WHILE: Duration = Duration::from_millis(300);

/// The binary as it seeds [`SMALL`].
struct Seeding {
    home: Home,
    addr: SocketAddr,
    session: Session,
}

impl Seeding {
    fn start() -> Seeding {
        let home = Home::new(SMALL);
        SMALL.write(&home.out()).unwrap();
        let addr = free_addr().unwrap();
        let session = start(&mut home.seed_at(addr));
        let seeding = Seeding { home, addr, session };
        wait_until_ready(addr, seeding.home.info_hash);
        seeding
    }

    fn connect(&self, reserved: [u8; 8]) -> std::io::Result<RawPeer> {
        RawPeer::connect(self.addr, reserved, self.home.info_hash)
    }

    /// A peer that may ask for blocks.
    fn unchoked(&self, reserved: [u8; 8]) -> RawPeer {
        let mut peer = self.connect(reserved).unwrap();
        peer.send(&message(id::INTERESTED, &[])).unwrap();
        peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
        peer
    }

    /// That it still serves everybody else.
    fn assert_serves(&mut self) {
        assert!(self.session.process.is_running(), "{}", self.session.process.stderr());
        let mut peer = self.connect(FAST).unwrap();
        assert_eq!(peer.fetch(19, 0, 17).unwrap(), SMALL.stream()[19 * PIECE_LEN..]);
    }
}

/// Waits until somebody at `addr` says what it has: while it still checks its files, it hangs up after the handshake.
fn wait_until_ready(addr: SocketAddr, info_hash: [u8; 20]) {
    let hears = || RawPeer::connect(addr, FAST, info_hash).ok()?.read().ok()?;
    rawtorrent_tests::poll(Instant::now() + LIMIT, hears).expect("nobody listens");
}

/// The binary as it downloads [`SMALL`], with nobody to download from yet.
struct Downloading {
    home: Home,
    addr: SocketAddr,
    session: Session,
}

impl Downloading {
    fn start() -> Downloading {
        let home = Home::new(SMALL);
        let addr = free_addr().unwrap();
        let mut command = home.command();
        command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
        let session = start(command.args(["--no-trackers", "--json", "--listen", &addr.to_string()]));
        let downloading = Downloading { home, addr, session };
        wait_until_ready(addr, downloading.home.info_hash);
        downloading
    }

    /// That it still takes all bytes from a peer that has them.
    fn assert_completes(mut self) {
        serve_all(self.addr, self.home.info_hash);
        let status = self.session.process.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.session.process.stderr());
        self.home.assert_downloaded();
    }
}

/// Serves the whole sample to whoever listens at `addr`, until it has all.
fn serve_all(addr: SocketAddr, info_hash: [u8; 20]) {
    let mut seed = RawPeer::connect(addr, PLAIN, info_hash).unwrap();
    let content = SMALL.stream();
    seed.send(&message(id::BITFIELD, &full_bitfield(PIECES))).unwrap();
    seed.send(&message(id::UNCHOKE, &[])).unwrap();
    while let Ok(Some(frame)) = seed.read() {
        if frame.id == Some(id::REQUEST) && seed.send(&block_for(&frame.payload, &content)).is_err() {
            break;
        }
    }
}

/// The answer to a request.
fn block_for(request: &[u8], content: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
    let start = number(0) * PIECE_LEN + number(4);
    message(id::PIECE, &[&request[..8], &content[start..start + number(8)]].concat())
}

fn gone(peer: &mut RawPeer) -> Result<(), String> {
    let closed = peer.closes_within(SOON).map_err(|error| error.to_string())?;
    closed.then_some(()).ok_or_else(|| "it was not disconnected".to_owned())
}

fn kept(peer: &mut RawPeer) -> Result<(), String> {
    let closed = peer.closes_within(A_WHILE).map_err(|error| error.to_string())?;
    (!closed).then_some(()).ok_or_else(|| "it was disconnected".to_owned())
}

fn read_until(peer: &mut RawPeer, wanted: impl Fn(&Frame) -> bool) -> Result<Frame, String> {
    peer.read_until(wanted)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "it was disconnected".to_owned())
}

/// Whether all of it is to be done, and measured, instead of a sample.
fn full() -> bool {
    std::env::var_os("RAWTORRENT_HOSTILE").is_some_and(|mode| mode == "full")
}

/// Whether what only the longer run measures is to be measured: there, and in its control, which takes a sample.
fn is_measured() -> bool {
    full() || std::env::var_os("RAWTORRENT_HOSTILE").is_some_and(|mode| mode == "control")
}

/// How much of something: in CI, and in the longer run.
fn sized(sample: usize, all: usize) -> usize {
    if full() { all } else { sample }
}
