//! Magnet links: metadata from peers that lie about it, and what is done with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Home, LIMIT, run, start};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::metafile::{self, PIECE_LEN};
use rawtorrent_tests::peer::{FAST_EXTENDED, Frame, RawPeer, id, message};

const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 40 * PIECE_LEN + 17)] };
const PIECE: usize = 16_384;
/// The number that peers here give to `ut_metadata`.
const OURS: u8 = 3;
const LIARS: usize = 20;
/// Within this, one honest peer among them must be enough.
const METADATA_LIMIT: Duration = Duration::from_secs(30);
const MEMORY_PER_LIAR: u64 = 1 << 20;

fn link(info_hash: [u8; 20]) -> String {
    let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("magnet:?xt=urn:btih:{hash}&dn=called")
}

fn extension_handshake(metadata_size: impl std::fmt::Display) -> Vec<u8> {
    let hello = format!("\0d1:md11:ut_metadatai{OURS}ee13:metadata_sizei{metadata_size}ee");
    message(id::EXTENDED, hello.as_bytes())
}

/// What `name` is in a dictionary of small numbers, wherever in it.
fn number(payload: &[u8], name: &str) -> Option<usize> {
    let text = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
    let (_, rest) = text.split_once(&format!("{}:{name}i", name.len()))?;
    rest.split_once('e')?.0.parse().ok()
}

/// The piece of metadata that a message asks for.
fn asked(frame: &Frame) -> Option<usize> {
    let is_request = frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&OURS);
    let asks = is_request && number(&frame.payload, "msg_type") == Some(0);
    asks.then(|| number(&frame.payload, "piece")).flatten()
}

fn data(theirs: u8, piece: usize, total: usize, bytes: &[u8]) -> Vec<u8> {
    let head = format!("d8:msg_typei1e5:piecei{piece}e10:total_sizei{total}ee");
    message(id::EXTENDED, &[&[theirs], head.as_bytes(), bytes].concat())
}

/// Peers that claim what is not, and whether each of them was asked.
#[derive(Default)]
struct Liars {
    asked: Mutex<Vec<usize>>,
    changed: Condvar,
}

impl Liars {
    /// Starts one; it sends `junk` for whatever it is asked, if it sends anything.
    fn start(self: &Arc<Liars>, info_hash: [u8; 20], claim: String, answers: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, liars) = (listener.local_addr().unwrap(), Arc::clone(self));
        let me = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(0);
            asked.len() - 1
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // An error is the end of this connection.
                let _ = liars.lie(me, stream, info_hash, &claim, answers);
            }
        });
        addr
    }

    fn lie(
        &self,
        me: usize,
        stream: TcpStream,
        info_hash: [u8; 20],
        claim: &str,
        answers: bool,
    ) -> std::io::Result<()> {
        let mut peer = RawPeer::greet(stream, FAST_EXTENDED, info_hash)?;
        peer.send(&extension_handshake(claim))?;
        peer.send(&message(id::HAVE_ALL, &[]))?;
        let mut theirs = 0;
        while let Some(frame) = peer.read()? {
            if frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&0) {
                theirs =
                    number(&frame.payload, "ut_metadata").and_then(|id| u8::try_from(id).ok()).unwrap_or(0);
            }
            let Some(piece) = asked(&frame) else { continue };
            self.asked.lock().unwrap()[me] += 1;
            self.changed.notify_all();
            if answers {
                let total: usize = claim.parse().unwrap();
                let junk = vec![b'x'; PIECE.min(total - piece * PIECE)];
                peer.send(&data(theirs, piece, total, &junk))?;
            }
        }
        Ok(())
    }

    /// Waits until everyone in `who` was asked.
    fn wait_asked(&self, who: &[usize]) {
        let asked = self.asked.lock().unwrap();
        let all = |asked: &mut Vec<usize>| !who.iter().all(|&liar| asked[liar] > 0);
        let (asked, timeout) = self.changed.wait_timeout_while(asked, METADATA_LIMIT, all).unwrap();
        assert!(!timeout.timed_out(), "asked: {asked:?}");
    }
}

/// Connects to the binary once it knows the torrent, gives it the metadata, and stays.
fn be_honest(addr: SocketAddr, info_hash: [u8; 20], info: &[u8]) -> RawPeer {
    let connect = || RawPeer::connect(addr, FAST_EXTENDED, info_hash).ok();
    let mut peer = rawtorrent_tests::poll(Instant::now() + LIMIT, connect).expect("nobody answers");
    peer.send(&extension_handshake(info.len())).unwrap();
    let is_hello = |frame: &Frame| frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&0);
    let hello = peer.read_until(is_hello).unwrap().unwrap();
    let theirs = u8::try_from(number(&hello.payload, "ut_metadata").unwrap()).unwrap();
    for _ in 0..info.len().div_ceil(PIECE) {
        let request = peer.read_until(|frame| asked(frame).is_some()).unwrap().expect("we are honest");
        let piece = asked(&request).unwrap();
        let bytes = &info[piece * PIECE..info.len().min((piece + 1) * PIECE)];
        peer.send(&data(theirs, piece, info.len(), bytes)).unwrap();
    }
    peer
}

/// `download LINK` at `addr`, from `peers`.
fn download(home: &Home, addr: SocketAddr, peers: &[SocketAddr]) -> Command {
    let mut command = home.command();
    command.arg("download").arg(link(home.info_hash)).arg("-o").arg(home.out());
    command.args(["--json", "--listen", &addr.to_string()]);
    for peer in peers {
        command.args(["--peer", &peer.to_string()]);
    }
    command
}

fn info_of(home: &Home) -> Vec<u8> {
    metafile::info(&home.sample).encode()
}

/// Waits until it is known what is to be downloaded.
fn wait_known(session: &mut Session) {
    let known = |event: &serde_json::Value| event["event"] == "progress" && event["total"] != 0;
    session.wait_event(LIMIT, known).unwrap();
}

/// The honest peer, once somebody listens.
fn be_honest_when_ready(home: &Home, addr: SocketAddr, session: &mut Session) -> RawPeer {
    rawtorrent_tests::poll(Instant::now() + LIMIT, || TcpStream::connect(addr).ok()).expect("nobody listens");
    assert!(session.process.is_running(), "{}", session.process.stderr());
    be_honest(addr, home.info_hash, &info_of(home))
}

#[test]
fn found_metadata_is_not_needed_again() {
    let home = Home::new(SMALL);
    let addr = free_addr().unwrap();
    let mut session = start(&mut download(&home, addr, &[]));
    let honest = be_honest_when_ready(&home, addr, &mut session);
    wait_known(&mut session);
    drop(honest);
    session.interrupt().unwrap();
    // Nobody is there, and yet it is known what is to be downloaded.
    let mut again = start(&mut download(&home, free_addr().unwrap(), &[]));
    wait_known(&mut again);
    again.interrupt().unwrap();
    // From who has the content it comes, from where it was.
    let seed = home.fake_seed();
    let done = run(&mut download(&home, free_addr().unwrap(), &[seed.addr]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
}

#[test]
fn what_is_no_torrent_is_told() {
    let info = b"d4:name1:xe".to_vec();
    let torrent = [b"d4:info", &info[..], b"e"].concat();
    let mut home = Home::new(SMALL);
    home.info_hash = metafile::info_hash(&torrent).unwrap();
    let addr = free_addr().unwrap();
    let mut session = start(&mut download(&home, addr, &[]));
    let _peer = be_honest(addr, home.info_hash, &info);
    let event = session.wait_event(LIMIT, |event| event["event"] == "error").unwrap();
    assert_eq!(event["kind"], "metadata");
    let text = event["message"].as_str().unwrap();
    assert!(text.starts_with("called: ") && text.contains("piece length"), "{text}");
}

/// For the scoreboard (`cargo xtask hostile`).
mod hostile {
    use super::*;
    use rawtorrent_tests::score::score;

    #[test]
    fn liars_keep_metadata_from_nobody_and_cost_little_memory() {
        let home = Home::new(SMALL);
        let alone = {
            let addr = free_addr().unwrap();
            let mut session = start(&mut download(&home, addr, &[]));
            let _honest = be_honest_when_ready(&home, addr, &mut session);
            wait_known(&mut session);
            session.process.peak_memory().unwrap()
        };
        let home = Home::new(SMALL);
        let liars = Arc::new(Liars::default());
        let (mut addrs, mut must_be_asked) = (Vec::new(), Vec::new());
        for n in 0..LIARS {
            // From nothing over all that is plausible to what does not fit into 32 bits, some of it said by peers that
            // never send a byte.
            let claim = if n == 0 { 0 } else { 1_u64 << (62 * n / (LIARS - 1)) };
            let (plausible, answers) = (claim > 0 && claim <= 64 << 20, n % 4 != 3);
            addrs.push(liars.start(home.info_hash, claim.to_string(), answers && plausible));
            must_be_asked.extend(plausible.then_some(n));
        }
        // One of them knows how long it is and sends something else.
        must_be_asked.push(LIARS);
        addrs.push(liars.start(home.info_hash, info_of(&home).len().to_string(), true));
        let addr = free_addr().unwrap();
        let mut session = start(&mut download(&home, addr, &addrs));
        liars.wait_asked(&must_be_asked);
        let began = Instant::now();
        let _honest = be_honest_when_ready(&home, addr, &mut session);
        wait_known(&mut session);
        assert!(began.elapsed() < METADATA_LIMIT, "{:?}", began.elapsed());
        let growth = session.process.peak_memory().unwrap().saturating_sub(alone);
        let limit = MEMORY_PER_LIAR * u64::try_from(addrs.len()).unwrap();
        println!(
            "{} liars, {growth} bytes more than with nobody else, metadata after {:?}",
            addrs.len(),
            began.elapsed()
        );
        assert!(growth <= limit, "{growth} bytes more than with nobody else");
        score(
            "liars_keep_metadata_from_nobody_and_cost_little_memory",
            "peers that claim 0 bytes to 2^62 of metadata, send what is not it, part of it or nothing",
            addrs.len() as u64,
            &format!(
                "the honest peer's metadata after {:.1} s, {growth} bytes more memory",
                began.elapsed().as_secs_f64()
            ),
            "30 s, 1 MiB for each liar",
        );
    }
}
