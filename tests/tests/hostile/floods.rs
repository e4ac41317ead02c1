//! More of something than anybody wants.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{A_WHILE, PIECES, SMALL, Seeding, block_for, sized, wait_until_ready};
use crate::common::{Home, LIMIT, start};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::cage::Cage;
use rawtorrent_tests::metafile::{self, Value};
use rawtorrent_tests::peer::{
    BLOCK_LEN, EXTENDED, FAST, PLAIN, RawPeer, full_bitfield, id, message, request,
};
use rawtorrent_tests::score::score;
use rawtorrent_tests::{binary, free_addr};
use sha1::{Digest, Sha1};

#[test]
fn every_request_of_a_flood_is_answered() {
    let mut seeding = Seeding::start();
    let (rounds, flood) = (sized(2, 20), 20_000);
    let mut answers = 0;
    for _ in 0..rounds {
        let mut peer = seeding.unchoked(FAST);
        let mut sender = peer.twin().unwrap();
        let one = message(id::REQUEST, &request(0, 0, 1));
        let sending = thread::spawn(move || sender.push(&one.repeat(flood), LIMIT));
        let mut answered = 0;
        while answered < flood {
            match peer.read().expect("requests were dropped in silence") {
                Some(frame) if matches!(frame.id, Some(id::PIECE | id::REJECT)) => answered += 1,
                Some(_) => {}
                None => break,
            }
        }
        answers += answered;
        sending.join().unwrap().unwrap();
        seeding.assert_serves();
    }
    assert!(answers >= 1_000 * rounds, "{answers}");
    score(
        "every_request_of_a_flood_is_answered",
        "20,000 requests at once, with BEP 6",
        (rounds * flood) as u64,
        &format!("{answers} answered, the rest hung up on"),
        "a block, a reject, or the end; never silence",
    );
}

#[test]
fn a_flood_that_nobody_can_be_told_is_too_much_waits() {
    let mut seeding = Seeding::start();
    // Of the first, far more than fit on the way to whoever reads none: they are queued, whoever is faster.
    let (rounds, flood, whole_blocks) = (sized(2, 20), 100_000, 10_000);
    let asked = |number: usize| match number.checked_sub(whole_blocks) {
        None => (number / 4 % 19, number % 4 * BLOCK_LEN, BLOCK_LEN),
        Some(number) => (0, number % BLOCK_LEN, 1),
    };
    for _ in 0..rounds {
        let mut peer = seeding.unchoked(PLAIN);
        let mut sender = peer.twin().unwrap();
        let ask = |number| {
            let (piece, begin, length) = asked(number);
            let [piece, begin, length] = [piece, begin, length].map(|figure| u32::try_from(figure).unwrap());
            message(id::REQUEST, &request(piece, begin, length))
        };
        let all = (0..flood).flat_map(ask).collect::<Vec<u8>>();
        let sending = thread::spawn(move || sender.push(&all, LIMIT));
        for number in 0..flood {
            let frame = peer.read_until(|frame| frame.id == Some(id::PIECE)).expect("dropped in silence");
            let payload = frame.expect("it was hung up on").payload;
            let [piece, begin] =
                [0, 4].map(|at| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()) as usize);
            assert_eq!((piece, begin, payload.len() - 8), asked(number), "block {number}");
        }
        sending.join().unwrap().unwrap();
        seeding.assert_serves();
    }
    score(
        "a_flood_that_nobody_can_be_told_is_too_much_waits",
        "100,000 requests at once, without BEP 6",
        (rounds * flood) as u64,
        "each was served, in order",
        "all served: no more is read than is queued",
    );
}

#[test]
fn a_million_requests_of_peers_that_read_nothing() {
    let mut seeding = Seeding::start();
    // So many that each may hold its two megabytes without help from the others.
    let (peers, requests) = (sized(12, 40), 1_000_000);
    let before = seeding.session.process.peak_memory().unwrap();
    let flood = Arc::new(message(id::REQUEST, &request(0, 0, 0x4000)).repeat(requests));
    let silent: Vec<_> = (0..peers)
        .map(|number| {
            // One that hears of rejects, and one that does not.
            let mut peer = seeding.unchoked([PLAIN, FAST][number % 2]);
            let flood = Arc::clone(&flood);
            thread::spawn(move || (peer.push(&flood, A_WHILE).unwrap(), peer))
        })
        .collect();
    let silent: Vec<_> = silent.into_iter().map(|pushing| pushing.join().unwrap()).collect();
    let pushed = silent.iter().map(|(bytes, _)| bytes / 17).max().unwrap();
    seeding.assert_serves();
    let grown = seeding.session.process.peak_memory().unwrap().saturating_sub(before);
    let each = (grown / peers as u64) >> 10;
    assert!(each <= 2 * 1024, "{each} KiB for each of {peers} peers, after {pushed} requests");
    drop(silent);
    seeding.assert_serves();
    score(
        "a_million_requests_of_peers_that_read_nothing",
        &format!("{peers} peers, 1,000,000 requests each, nothing read"),
        (peers * requests) as u64,
        &format!("{pushed} taken from one at most; {each} KiB a peer"),
        "2 MiB a peer; others are served",
    );
}

#[test]
fn payload_that_nobody_asked_for() {
    let seeding = Seeding::start();
    let mut peer = seeding.connect(PLAIN).unwrap();
    let mut reader = peer.twin().unwrap();
    let gone = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&gone);
    // Whoever is hung up on may go on talking for a moment: what counts is when the other side says that it is over.
    let reading = thread::spawn(move || {
        while let Ok(Some(_)) = reader.read() {}
        over.store(true, Ordering::Relaxed);
    });
    let mut all = 0;
    let block = message(id::PIECE, &[&[0; 8][..], &vec![7; BLOCK_LEN]].concat()).repeat(16);
    while all < 200 << 20 && !gone.load(Ordering::Relaxed) {
        let sent = peer.push(&block, LIMIT).unwrap();
        all += sent;
        if sent < block.len() {
            break;
        }
    }
    let mib = all >> 20;
    assert!(mib < 100, "{mib} MiB were taken");
    reading.join().unwrap();
    score(
        "payload_that_nobody_asked_for",
        "blocks that were not asked for, as many as are taken",
        (all / BLOCK_LEN) as u64,
        &format!("dropped after {mib} MiB"),
        "dropped after 64 MiB, and what is on its way",
    );
}

#[test]
fn a_choke_storm() {
    let home = Home::new(SMALL);
    let addr = free_addr().unwrap();
    let mut command = home.command();
    command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
    let mut session = start(command.args(["--no-trackers", "--json", "--listen", &addr.to_string()]));
    wait_until_ready(addr, home.info_hash);
    let content = SMALL.stream();
    let mut peer = RawPeer::connect(addr, EXTENDED, home.info_hash).unwrap();
    let (gusts, pairs_each) = (sized(200, 10_000), 10);
    let pairs = gusts * pairs_each;
    peer.send(&message(id::BITFIELD, &full_bitfield(PIECES))).unwrap();
    peer.send(&message(id::EXTENDED, b"\0d1:md11:ut_metadatai9eee")).unwrap();
    let gust = [message(id::UNCHOKE, &[]), message(id::CHOKE, &[])].concat().repeat(pairs_each);
    let mut asked = 0;
    for _ in 0..gusts {
        peer.send(&gust).unwrap();
        // The answer to this tells where the gust ends: what was asked for before is void (BEP 3).
        peer.send(&message(id::EXTENDED, b"\x02d8:msg_typei0e5:piecei0ee")).unwrap();
        loop {
            let frame = peer.read().unwrap().expect("it stays through the storm");
            match frame.id {
                Some(id::REQUEST) => asked += 1,
                Some(id::EXTENDED) if frame.payload.first() == Some(&9) => break,
                _ => {}
            }
        }
    }
    peer.send(&message(id::UNCHOKE, &[])).unwrap();
    while let Ok(Some(frame)) = peer.read() {
        if frame.id == Some(id::REQUEST) && peer.send(&block_for(&frame.payload, &content)).is_err() {
            break;
        }
    }
    let status = session.process.wait(Duration::from_secs(15)).expect("it asks again after the storm");
    assert_eq!(status.code(), Some(0), "{}", session.process.stderr());
    home.assert_downloaded();
    score(
        "a_choke_storm",
        "unchoke and choke, one after the other",
        (2 * pairs) as u64,
        &format!("it asked {asked} times in vain, and then for everything again"),
        "it completes from that peer",
    );
}

/// The most pieces that a torrent may have.
pub(super) const MANY: usize = 1 << 21;
/// What an honest peer has of them.
const SOME: usize = 64;
/// Pieces that a peer may allow while it chokes (`swarm::limits::MAX_ALLOWED_FAST`).
const MAX_ALLOWED_FAST: usize = 64;

/// The binary as it downloads a torrent of as many pieces as there may be, all zeros.
pub(super) struct Large {
    _home: tempfile::TempDir,
    pub(super) addr: std::net::SocketAddr,
    pub(super) info_hash: [u8; 20],
    pub(super) session: Session,
}

impl Large {
    fn start() -> Large {
        Large::start_in(None)
    }

    /// The same in a cage.
    pub(super) fn start_in(cage: Option<&Cage>) -> Large {
        let home = tempfile::tempdir().unwrap();
        let hash = Sha1::digest(vec![0; BLOCK_LEN]);
        let info = Value::Dict(vec![
            ("length", Value::count(MANY * BLOCK_LEN)),
            ("name", "large".into()),
            ("piece length", Value::count(BLOCK_LEN)),
            ("pieces", Value::Bytes(hash.repeat(MANY))),
        ]);
        let bytes = Value::Dict(vec![("info", info)]).encode();
        let torrent = home.path().join("large.torrent");
        std::fs::File::create(&torrent).unwrap().write_all(&bytes).unwrap();
        let addr = free_addr().unwrap();
        let mut command = binary::command(home.path());
        command.arg("download").arg(&torrent).arg("-o").arg(home.path());
        command.args(["--no-trackers", "--json", "--listen", &addr.to_string()]);
        if let Some(cage) = cage {
            command = cage.around(&command);
        }
        let session = start(&mut command);
        let info_hash = metafile::info_hash(&bytes).unwrap();
        wait_until_ready(addr, info_hash);
        Large { _home: home, addr, info_hash, session }
    }

    /// That a peer that has some pieces is asked for all of them and thanked.
    pub(super) fn assert_trades(&self) {
        let mut peer = RawPeer::connect(self.addr, PLAIN, self.info_hash).unwrap();
        let mut bits = vec![0; MANY / 8];
        bits[..SOME / 8].fill(0xff);
        peer.send(&message(id::BITFIELD, &bits)).unwrap();
        peer.send(&message(id::UNCHOKE, &[])).unwrap();
        peer.set_patience(Some(Duration::from_secs(20))).unwrap();
        let mut verified = 0;
        while verified < SOME {
            let frame = peer.read().expect("an honest peer waits in vain").expect("an honest peer was left");
            match frame.id {
                Some(id::REQUEST) => {
                    let block = [&frame.payload[..8], &[0; BLOCK_LEN]].concat();
                    peer.send(&message(id::PIECE, &block)).unwrap();
                }
                Some(id::HAVE) => verified += 1,
                _ => {}
            }
        }
    }

    /// That whoever chokes is asked for no more pieces than it may allow, however many it allows.
    fn assert_remembers_few(&self) {
        // Away from what an honest peer has.
        const FIRST: u32 = 1 << 20;
        let mut peer = RawPeer::connect(self.addr, FAST, self.info_hash).unwrap();
        peer.send(&message(id::HAVE_ALL, &[])).unwrap();
        let allowed = FIRST..FIRST + 4 * u32::try_from(MAX_ALLOWED_FAST).unwrap();
        let allow = |piece: u32| message(id::ALLOWED_FAST, &piece.to_be_bytes());
        peer.send(&allowed.flat_map(allow).collect::<Vec<u8>>()).unwrap();
        let mut asked = BTreeSet::new();
        loop {
            // The answer to this tells that everything before it was read.
            peer.send(&message(id::REQUEST, &request(u32::MAX, 0, 1))).unwrap();
            let mut blocks = Vec::new();
            loop {
                let frame = peer.read().unwrap().expect("it stays");
                match frame.id {
                    Some(id::REQUEST) => {
                        asked.insert(frame.payload[..4].to_vec());
                        blocks.extend(message(id::PIECE, &[&frame.payload[..8], &[0; BLOCK_LEN]].concat()));
                    }
                    Some(id::REJECT) => break,
                    _ => {}
                }
            }
            assert!(asked.len() <= MAX_ALLOWED_FAST, "asked for {} pieces while choked", asked.len());
            if blocks.is_empty() {
                break;
            }
            peer.send(&blocks).unwrap();
        }
        assert!(!asked.is_empty(), "what is allowed is asked for");
    }

    /// Sends what `next` makes, in batches, until an honest peer has traded and so many were sent; how many were.
    fn weather(&mut self, least: u64, next: impl Fn(u32, &mut Vec<u8>) + Send + 'static) -> u64 {
        let traded = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let mut peer = RawPeer::connect(self.addr, FAST, self.info_hash).unwrap();
        let mut reader = peer.twin().unwrap();
        reader.set_patience(None).unwrap();
        // It hears what it is told, so that nobody can say that it does not read.
        let reading = thread::spawn(move || while let Ok(Some(_)) = reader.read() {});
        let (done, count) = (Arc::clone(&traded), Arc::clone(&sent));
        let storm = thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(7);
            let mut batch = Vec::new();
            while !done.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) < least {
                batch.clear();
                (0..1_000).for_each(|_| next(random.u32(0..1 << 21), &mut batch));
                if peer.push(&batch, LIMIT).unwrap() < batch.len() {
                    return false;
                }
                count.fetch_add(1_000, Ordering::Relaxed);
            }
            peer.finish().is_ok()
        });
        self.assert_trades();
        traded.store(true, Ordering::Relaxed);
        assert!(storm.join().unwrap(), "the storm was cut off, after {}", sent.load(Ordering::Relaxed));
        self.assert_trades_no_more();
        reading.join().unwrap();
        sent.load(Ordering::Relaxed)
    }

    /// That it still answers; all that an honest peer has is there already.
    fn assert_trades_no_more(&mut self) {
        assert!(self.session.process.is_running(), "{}", self.session.process.stderr());
        let mut peer = RawPeer::connect(self.addr, FAST, self.info_hash).unwrap();
        peer.send(&message(id::REQUEST, &request(u32::MAX, 0, 1))).unwrap();
        peer.read_until(|frame| frame.id == Some(id::REJECT)).unwrap().expect("it answers");
    }
}

#[test]
fn a_have_storm_on_two_million_pieces() {
    let mut large = Large::start();
    let sent = large.weather(sized(1_000_000, 20_000_000) as u64, |piece, batch| {
        batch.extend(message(id::HAVE, &piece.to_be_bytes()));
    });
    score(
        "a_have_storm_on_two_million_pieces",
        "have messages of 2^21 pieces, as fast as they are taken",
        sent,
        "an honest peer traded all it had meanwhile",
        "an honest peer trades",
    );
}

#[test]
fn a_storm_of_bit_fields_on_two_million_pieces() {
    let mut large = Large::start();
    let [all, none] = [id::HAVE_ALL, id::HAVE_NONE].map(|id| message(id, &[]));
    let mut but_one = vec![0xff; MANY / 8];
    but_one[0] = 0x7f;
    let bits = message(id::BITFIELD, &but_one);
    // Each bit field moves all pieces, and the others pass over them.
    let (moves, passes) = (10, 500);
    let storms = [[bits, none.clone()].concat().repeat(moves), [all, none].concat().repeat(passes)];
    let storms = storms.map(|storm| {
        let mut peer = RawPeer::connect(large.addr, FAST, large.info_hash).unwrap();
        thread::spawn(move || {
            peer.push(&storm, LIMIT).unwrap();
            peer.closes_within(LIMIT).unwrap()
        })
    });
    large.assert_trades();
    for storm in storms {
        assert!(storm.join().unwrap(), "who says again and again that it has other pieces stays");
    }
    large.assert_trades_no_more();
    score(
        "a_storm_of_bit_fields_on_two_million_pieces",
        "bit fields, have all and have none of 2^21 pieces in turn",
        2 * (moves + passes) as u64,
        "an honest peer traded all it had; the others were hung up on",
        "an honest peer trades; who goes on is hung up on",
    );
}

#[test]
fn allowed_fast_and_suggest_floods() {
    let mut large = Large::start();
    large.assert_remembers_few();
    let sent = large.weather(sized(1_000_000, 20_000_000) as u64, |piece, batch| {
        let kind = if piece % 2 == 0 { id::ALLOWED_FAST } else { id::SUGGEST };
        batch.extend(message(kind, &piece.to_be_bytes()));
    });
    score(
        "allowed_fast_and_suggest_floods",
        "allowed fast and suggest messages of 2^21 pieces, as fast as they are taken",
        sent,
        "an honest peer traded all it had meanwhile; 64 of them are remembered at most",
        "an honest peer trades; few are remembered",
    );
}
