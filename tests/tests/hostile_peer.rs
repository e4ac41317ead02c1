//! Peers that break the protocol, against the binary as a seed and as a downloader.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Home, LIMIT, run, start};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{
    BLOCK_LEN, FAST, FAST_EXTENDED, FakeSeed, Frame, PLAIN, RawPeer, Serving, full_bitfield, handshake, id,
    message, request,
};

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

// The corpus: what a peer sends after the handshake, and what is expected of the other side.

/// Cases where we differ from what the corpus expects, and why.
const DEVIATIONS: &[(&str, &str)] = &[];

#[test]
fn the_corpus_of_illegal_messages() {
    let Some(cases) = corpus() else {
        println!("corpus: not found, 0 cases");
        return;
    };
    let mut seeding = Seeding::start();
    let downloading = Downloading::start();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["id"].as_str().unwrap();
        if let Err(why) = check_seed(&seeding, case) {
            wrong.push((name, format!("as a seed: {why}")));
        } else if let Err(why) = check_downloader(&downloading, case) {
            wrong.push((name, format!("as a downloader: {why}")));
        }
        seeding.assert_serves();
    }
    let known = |name: &str| DEVIATIONS.iter().any(|(deviation, _)| *deviation == name);
    let surprises: Vec<_> = wrong.iter().filter(|(name, _)| !known(name)).collect();
    let agree = cases.len() - wrong.len();
    let deviations = wrong.len();
    println!(
        "corpus peer_wire_illegal: {agree} of {} agree, {deviations} deviations (docs/corpus.md)",
        cases.len()
    );
    assert!(surprises.is_empty(), "{surprises:#?}");
    assert_eq!(deviations, DEVIATIONS.len(), "a deviation is none any more");
    downloading.assert_completes();
}

fn corpus() -> Option<Vec<serde_json::Value>> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let dir = env::var_os("RAWTORRENT_CORPUS").map_or_else(default, PathBuf::from);
    let text = fs::read_to_string(dir.join("vectors/peer_wire_illegal.json")).ok()?;
    let corpus: serde_json::Value = serde_json::from_str(&text).unwrap();
    corpus["cases"].as_array().cloned()
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
        let mut seed = RawPeer::connect(self.addr, PLAIN, self.home.info_hash).unwrap();
        let content = SMALL.stream();
        seed.send(&message(id::BITFIELD, &full_bitfield(PIECES))).unwrap();
        seed.send(&message(id::UNCHOKE, &[])).unwrap();
        while let Ok(Some(frame)) = seed.read() {
            if frame.id == Some(id::REQUEST) && seed.send(&block_for(&frame.payload, &content)).is_err() {
                break;
            }
        }
        let status = self.session.process.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.session.process.stderr());
        self.home.assert_downloaded();
    }
}

/// The answer to a request.
fn block_for(request: &[u8], content: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
    let start = number(0) * PIECE_LEN + number(4);
    message(id::PIECE, &[&request[..8], &content[start..start + number(8)]].concat())
}

/// Plays a case against the seed.
fn check_seed(seeding: &Seeding, case: &serde_json::Value) -> Result<(), String> {
    let peer = &mut match play(seeding.addr, seeding.home.info_hash, case)? {
        Some(peer) => peer,
        None => return Ok(()),
    };
    match case["id"].as_str().unwrap() {
        "seed_must_send_have_all" => {
            let is_first = |frame: &Frame| {
                matches!(frame.id, Some(id::BITFIELD | id::HAVE_ALL | id::HAVE_NONE | id::UNCHOKE))
            };
            let first = read_until(peer, is_first)?;
            (first.id == Some(id::HAVE_ALL)).then_some(()).ok_or_else(|| format!("it sent {first:?}"))
        }
        "ut_metadata_request_out_of_range" => metadata_is_served(peer),
        "request_piece_we_do_not_have" => served_or_rejected(peer, &request(1, 0, 0x4000)),
        "request_huge_piece_index" => rejected_or_gone(peer, &request(0x0766_235b, 0, 0x4000)),
        "bitfield_then_have_none" | "dht_port_without_support" => kept(peer),
        // Two seeds have nothing to say to each other: they may part.
        "alternate_have_all_have_none" | "full_bitfield_then_have_all" | "suggest_negative_index" => Ok(()),
        name => check_both(peer, name),
    }
}

/// Plays a case against a downloader that has nothing.
fn check_downloader(downloading: &Downloading, case: &serde_json::Value) -> Result<(), String> {
    let peer = &mut match play(downloading.addr, downloading.home.info_hash, case)? {
        Some(peer) => peer,
        None => return Ok(()),
    };
    match case["id"].as_str().unwrap() {
        "request_piece_we_do_not_have" => rejected_or_gone(peer, &request(1, 0, 0x4000)),
        "request_huge_piece_index" => rejected_or_gone(peer, &request(0x0766_235b, 0, 0x4000)),
        "suggest_negative_index" => {
            let asked = read_until(peer, |frame| frame.id == Some(id::REQUEST))?;
            let piece = u32::from_be_bytes(asked.payload[..4].try_into().unwrap());
            (piece < 20).then_some(()).ok_or_else(|| format!("it asked for piece {piece}"))
        }
        "alternate_have_all_have_none"
        | "bitfield_then_have_none"
        | "full_bitfield_then_have_all"
        | "dht_port_without_support" => kept(peer),
        "seed_must_send_have_all" | "ut_metadata_request_out_of_range" => Ok(()),
        name => check_both(peer, name),
    }
}

/// What is expected of seeds and downloaders alike.
fn check_both(peer: &mut RawPeer, name: &str) -> Result<(), String> {
    match name {
        "large_message"
        | "invalid_message"
        | "have_all_then_invalid_message"
        | "short_bitfield"
        | "long_bitfield"
        | "v1_only_peer_claims_v2_then_hash_request" => gone(peer),
        // These say that nothing breaks, and leave open whether the peer stays.
        "multiple_bitfields" | "multiple_have_all" => Ok(()),
        _ => Err("a new case: the test doesn't know it".to_owned()),
    }
}

/// Connects and sends what the case says; no peer if there is nothing more to see.
fn play(addr: SocketAddr, info_hash: [u8; 20], case: &serde_json::Value) -> Result<Option<RawPeer>, String> {
    if case["id"] == "unknown_info_hash" {
        let refused = RawPeer::connect(addr, FAST, *b"00000000000000000000").is_err();
        return refused.then_some(None).ok_or_else(|| "the handshake was answered".to_owned());
    }
    let mut peer = RawPeer::connect(addr, FAST_EXTENDED, info_hash).map_err(|error| error.to_string())?;
    for step in case["send_after_handshake"].as_array().unwrap() {
        // A peer that is thrown out midway can't send the rest.
        if peer.send(&bytes_of(step.as_str().unwrap())).is_err() {
            break;
        }
    }
    Ok(Some(peer))
}

/// A step of a case; those that the corpus describes in words are made here.
fn bytes_of(step: &str) -> Vec<u8> {
    let mut one_bit = vec![0; 3];
    one_bit[1] = 0x10;
    match step {
        "<bitfield with one random bit>" => message(id::BITFIELD, &one_bit),
        "<full bitfield>" | "<bitfield>" => message(id::BITFIELD, &full_bitfield(PIECES)),
        "<length 0x100001 style oversize: fake_peer send_large_message>" => {
            [&0x0010_0001_u32.to_be_bytes()[..], &[id::PIECE], &[0; 1000]].concat()
        }
        "<reserved message id>" => message(255, &[]),
        "<bitfield of num_pieces-1 rounded (one byte short)>" => message(id::BITFIELD, &[0xff; 2]),
        "<bitfield of num_pieces+9>" => message(id::BITFIELD, &full_bitfield(PIECES + 9)),
        "<ext handshake m.ut_metadata=1>" => message(id::EXTENDED, b"\0d1:md11:ut_metadatai1eee"),
        // These carry a number that the other side chooses: `metadata_is_served` sends them.
        "<msg_type 0 piece 1 (only piece 0 exists)>" | "<msg_type 0 piece 0>" => Vec::new(),
        hex => {
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            digits
                .map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("a new step: {hex}")))
                .collect()
        }
    }
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

fn rejected_or_gone(peer: &mut RawPeer, request: &[u8]) -> Result<(), String> {
    let frame = peer.read_until(|frame| {
        frame.id == Some(id::PIECE) || frame.id == Some(id::REJECT) && frame.payload == request
    });
    match frame.map_err(|error| format!("no answer: {error}"))? {
        Some(frame) if frame.id == Some(id::PIECE) => Err("it was served".to_owned()),
        _ => Ok(()),
    }
}

/// A seed has the piece: what counts is that an early request is answered one way or the other.
fn served_or_rejected(peer: &mut RawPeer, request: &[u8]) -> Result<(), String> {
    read_until(peer, |frame| match frame.id {
        Some(id::REJECT) => frame.payload == request,
        Some(id::PIECE) => frame.payload.starts_with(&request[..8]),
        _ => false,
    })
    .map(drop)
}

/// BEP 9: the request for a piece that doesn't exist is rejected, the one for the first piece answered.
fn metadata_is_served(peer: &mut RawPeer) -> Result<(), String> {
    let theirs =
        read_until(peer, |frame| frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&0))?;
    let text = String::from_utf8_lossy(&theirs.payload).into_owned();
    let Some((_, rest)) = text.split_once("11:ut_metadatai") else {
        return Err("it doesn't offer ut_metadata".to_owned());
    };
    let number: u8 = rest.split('e').next().and_then(|digits| digits.parse().ok()).ok_or("a strange id")?;
    for (piece, answer) in [(1, "8:msg_typei2e"), (0, "8:msg_typei1e")] {
        let ask = [&[number][..], format!("d8:msg_typei0e5:piecei{piece}ee").as_bytes()].concat();
        peer.send(&message(id::EXTENDED, &ask)).map_err(|error| error.to_string())?;
        let frame =
            read_until(peer, |frame| frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&1))?;
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        if !text.contains(answer) || !text.contains(&format!("5:piecei{piece}e")) {
            return Err(format!(
                "piece {piece} was answered with {}",
                text.chars().take(80).collect::<String>()
            ));
        }
    }
    Ok(())
}

// More of what a seed meets.

#[test]
fn a_seed_survives_handshakes_that_are_none() {
    let mut seeding = Seeding::start();
    let hash = seeding.home.info_hash;
    let mut other = handshake(FAST, hash, *b"-XX0000-123456789012");
    other[5] ^= 1;
    let garbage: [Vec<u8>; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 68],
        rawtorrent_tests::content::bytes(3, 4_000),
        other,
        handshake(FAST, [0; 20], *b"-XX0000-123456789012"),
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(seeding.addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // It may be thrown out before all is sent.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was kept"),
        }
        assert!(answer.len() <= 68, "{answer:?}");
        seeding.assert_serves();
    }
    assert_eq!(seeding.session.interrupt().unwrap().0, Some(0));
}

#[test]
fn a_seed_refuses_requests_out_of_bounds() {
    let mut seeding = Seeding::start();
    let last = u32::try_from(PIECES).unwrap() - 1;
    let bad = [
        request(last + 1, 0, 16_384),
        request(u32::MAX, u32::MAX, u32::MAX),
        request(0, 65_536, 16_384),
        request(0, 60_000, 16_384),
        request(last, 0, 18),
        request(0, 0, 0),
        request(0, 0, 1 << 30),
    ];
    for request in bad {
        let mut peer = seeding.connect(FAST).unwrap();
        peer.send(&message(id::INTERESTED, &[])).unwrap();
        peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
        peer.send(&message(id::REQUEST, &request)).unwrap();
        rejected_or_gone(&mut peer, &request).unwrap_or_else(|why| panic!("{request:?}: {why}"));
        seeding.assert_serves();
    }
}

#[test]
fn a_seed_answers_every_request_of_a_flood_or_hangs_up() {
    let mut seeding = Seeding::start();
    let mut peer = seeding.connect(FAST).unwrap();
    peer.send(&message(id::INTERESTED, &[])).unwrap();
    peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
    let one = message(id::REQUEST, &request(0, 0, 1));
    let flood = 5_000;
    peer.send(&one.repeat(flood)).unwrap();
    let mut answered = 0;
    while answered < flood {
        match peer.read().expect("requests were dropped in silence") {
            Some(frame) if matches!(frame.id, Some(id::PIECE | id::REJECT)) => answered += 1,
            Some(_) => {}
            None => break,
        }
    }
    seeding.assert_serves();
}

#[test]
fn a_seed_serves_while_many_say_nothing() {
    let mut seeding = Seeding::start();
    let silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(seeding.addr).unwrap()).collect();
    seeding.assert_serves();
    drop(silent);
    seeding.assert_serves();
    assert_eq!(seeding.session.interrupt().unwrap().0, Some(0));
}

#[test]
fn random_messages_never_bring_it_down() {
    let mut seeding = Seeding::start();
    let mut random = fastrand::Rng::with_seed(20);
    for _ in 0..200 {
        let Ok(mut peer) = seeding.connect(FAST_EXTENDED) else { continue };
        for _ in 0..random.usize(1..6) {
            let mut payload = vec![0; random.usize(0..200)];
            random.fill(&mut payload);
            if peer.send(&message(random.u8(0..24), &payload)).is_err() {
                break;
            }
        }
    }
    seeding.assert_serves();
    assert_eq!(seeding.session.interrupt().unwrap().0, Some(0));
}

#[test]
fn a_peer_without_the_fast_extension_gets_a_bit_field_and_blocks() {
    let seeding = Seeding::start();
    let mut peer = seeding.connect(PLAIN).unwrap();
    let first = peer.read_until(|frame| frame.id.is_some()).unwrap().unwrap();
    assert_eq!(first, Frame { id: Some(id::BITFIELD), payload: full_bitfield(PIECES) });
    assert_eq!(peer.fetch(0, 16_384, 16_384).unwrap(), SMALL.stream()[16_384..32_768]);
}

#[test]
fn blocks_come_in_any_split_of_the_stream() {
    let seeding = Seeding::start();
    let mut peer = seeding.connect(FAST).unwrap();
    let all = [message(id::INTERESTED, &[]), vec![0; 8]].concat();
    all.iter().for_each(|byte| peer.send(&[*byte]).unwrap());
    peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
    message(id::REQUEST, &request(2, 100, 1_000)).iter().for_each(|byte| peer.send(&[*byte]).unwrap());
    let block = peer.read_until(|frame| frame.id == Some(id::PIECE)).unwrap().unwrap();
    let start = 2 * PIECE_LEN + 100;
    assert_eq!(block.payload[8..], SMALL.stream()[start..start + 1_000]);
}

// What a downloader meets.

/// How often a test is played whose outcome hangs on who comes first.
const ROUNDS: usize = 10;

#[test]
fn bad_blocks_are_thrown_away_and_their_sender_left() {
    for _ in 0..ROUNDS {
        let home = Home::new(SMALL);
        assert_completes_beside_a_liar(&home, &home.fake_seed());
    }
}

#[test]
fn bad_blocks_of_an_earlier_run_are_nobodys_fault() {
    for _ in 0..ROUNDS {
        let home = Home::new(SMALL);
        let liar = FakeSeed::start(Serving { lying: true, ..home.serving() }).unwrap();
        let mut session = start(&mut home.download_from(&[&liar]));
        // Not more: the last piece has 17 bytes, and may be all that it takes.
        assert!(liar.wait_served(1, LIMIT));
        assert_eq!(session.interrupt().unwrap().0, Some(130));
        assert_completes_beside_a_liar(&home, &home.fake_seed());
    }
}

fn assert_completes_beside_a_liar(home: &Home, honest: &FakeSeed) {
    let liar = FakeSeed::start(Serving { lying: true, ..home.serving() }).unwrap();
    let done = run(&mut home.download_from(&[&liar, honest]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(liar.served() < 10 * SMALL.len(), "the liar served {} bytes", liar.served());
}

#[test]
fn messages_nobody_asked_for_change_nothing() {
    let home = Home::new(SMALL);
    let bytes = SMALL.stream();
    let unasked = message(id::PIECE, &[&[0; 8][..], &vec![7; BLOCK_LEN]].concat());
    let past_the_end = message(id::PIECE, &[&[0xff; 8][..], &vec![7; BLOCK_LEN]].concat());
    let greetings = [
        unasked.clone(),
        past_the_end,
        unasked.repeat(50),
        message(id::HAVE, &u32::MAX.to_be_bytes()),
        message(id::REJECT, &request(0, 0, 16_384)),
        message(id::ALLOWED_FAST, &0_u32.to_be_bytes()),
        message(id::REQUEST, &request(0, 0, 16_384)),
        message(id::BITFIELD, &[0xff; 3]),
        message(id::BITFIELD, &[0xff; 100]),
        vec![0xff; 1_000],
        vec![0; 4_000],
        message(id::CHOKE, &[]),
        message(id::EXTENDED, b"\0d1:md11:ut_metadatai-1eee"),
        message(id::EXTENDED, b"\0not bencode"),
        message(id::EXTENDED, &[]),
    ];
    for greeting in greetings {
        let shown = greeting[..greeting.len().min(16)].to_vec();
        let home = &home;
        let hostile = FakeSeed::start(Serving {
            greeting,
            limit: 0,
            ..Serving::all(home.info_hash, Arc::new(bytes.clone()))
        })
        .unwrap();
        let honest = home.fake_seed();
        let done = run(&mut home.download_from(&[&hostile, &honest]));
        assert_eq!(done.code(), Some(0), "{shown:?}\n{}", done.stderr);
        home.assert_downloaded();
        fs::remove_file(home.downloaded()).unwrap();
    }
}

#[test]
fn a_peer_with_another_info_hash_or_our_own_id_is_left() {
    let home = Home::new(SMALL);
    let other = FakeSeed::start(Serving { info_hash: [9; 20], ..home.serving() }).unwrap();
    let mirror = mirror();
    let honest = home.fake_seed();
    let mut download = home.download_from(&[&other, &honest]);
    let done = run(download.args(["--peer", &mirror.to_string()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert_eq!(other.served(), 0);
}

/// Sends back what it gets: its handshake has the caller's own peer id.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut writer = stream.try_clone()?;
                std::io::copy(&mut stream, &mut writer)
            });
        }
    });
    addr
}

#[test]
fn a_seed_that_stalls_does_not_hold_up_the_rest() {
    let home = Home::new(SMALL);
    let stalling = FakeSeed::start(Serving { limit: 2 * PIECE_LEN, ..home.serving() }).unwrap();
    let honest = home.fake_seed();
    let started = Instant::now();
    let done = run(&mut home.download_from(&[&stalling, &honest]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn no_block_is_fetched_twice_from_a_good_seed() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let done = run(&mut home.download_from(&[&seed]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let requests = seed.requests();
    let distinct: BTreeSet<_> = requests.iter().collect();
    assert_eq!(distinct.len(), requests.len(), "asked twice");
    assert_eq!(seed.served(), SMALL.len());
}
