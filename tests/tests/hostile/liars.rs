//! Wrong blocks, wrong promises, wrong names.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Downloading, PIECES, SMALL, block_for, gone, kept, serve_all, sized, wait_until_ready};
use crate::common::{Home, LIMIT, run, start};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{
    BLOCK_LEN, FAST, FAST_EXTENDED, FakeSeed, Frame, PLAIN, RawPeer, Serving, full_bitfield, id, message,
};
use rawtorrent_tests::score::score;

/// Starts somebody who accepts whoever comes and does `talk` with each; where it listens.
fn peer_that(
    info_hash: [u8; 20],
    reserved: [u8; 8],
    talk: impl Fn(RawPeer) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let talk = Arc::new(talk);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let talk = Arc::clone(&talk);
            // An error is the end of this connection; the test looks at what came of it.
            thread::spawn(move || talk(RawPeer::greet(stream, reserved, info_hash)?));
        }
    });
    addr
}

#[test]
fn poisoned_blocks() {
    let (rounds, mut banned, mut served) = (sized(10, 1_000), 0, 0);
    for _ in 0..rounds {
        let home = Home::new(SMALL);
        let honest = home.fake_seed();
        let liar = FakeSeed::start(Serving { lying: true, ..home.serving() }).unwrap();
        let mut download = home.download_from(&[&liar, &honest]);
        let done = run(download.arg("-v"));
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        home.assert_downloaded();
        let bans: Vec<&str> = done.stderr.lines().filter(|line| line.contains(" banned: ")).collect();
        assert!(!bans.iter().any(|line| line.contains(&honest.addr.to_string())), "{bans:?}");
        let caught = bans.iter().any(|line| line.contains(&liar.addr.to_string()));
        // What it sent may all have come too late to be used; what was used and bad is proof.
        let spoiled = done.stderr.contains(" is bad,");
        assert!(caught || !spoiled, "the liar spoiled a piece and was not banned:\n{}", done.stderr);
        banned += u32::from(caught);
        served = served.max(liar.served());
    }
    let pieces = served.div_ceil(PIECE_LEN);
    score(
        "poisoned_blocks",
        "a seed with a wrong byte in each block, beside an honest one",
        rounds as u64,
        &format!(
            "{banned} liars banned, of the others no block was used; no honest peer; {pieces} pieces of one at most"
        ),
        "content right; each liar whose block was used banned, no honest peer",
    );
}

#[test]
fn bit_fields_of_another_length() {
    let downloading = Downloading::start();
    let mut lies = vec![vec![0xff; 2], vec![0xff; 4], Vec::new(), vec![0xff; 1_000], vec![0xff; 1]];
    // Spare bits (BEP 3).
    lies.extend((0..4).map(|bit| vec![0xff, 0xff, 0xf0 | 1 << bit]));
    let rounds = sized(20, 500);
    for lie in std::iter::repeat_n(&lies, rounds).flatten() {
        let mut peer = RawPeer::connect(downloading.addr, FAST, downloading.home.info_hash).unwrap();
        peer.send(&message(id::BITFIELD, lie)).unwrap();
        gone(&mut peer).unwrap_or_else(|why| panic!("{lie:02x?}: {why}"));
    }
    downloading.assert_completes();
    score(
        "bit_fields_of_another_length",
        "bit fields too short, too long, with spare bits",
        (rounds * lies.len()) as u64,
        "each dropped; the download completes",
        "dropped",
    );
}

#[test]
fn pieces_that_there_are_not() {
    let downloading = Downloading::start();
    let rounds = sized(20, 500);
    let lies = [20, 21, 1 << 21, u32::MAX >> 1, 1 << 31, u32::MAX];
    for lie in std::iter::repeat_n(lies, rounds).flatten() {
        let mut peer = RawPeer::connect(downloading.addr, FAST, downloading.home.info_hash).unwrap();
        peer.send(&message(id::HAVE, &lie.to_be_bytes())).unwrap();
        gone(&mut peer).unwrap_or_else(|why| panic!("{lie}: {why}"));
    }
    downloading.assert_completes();
    score(
        "pieces_that_there_are_not",
        "have messages of pieces beyond the last",
        (rounds * lies.len()) as u64,
        "each dropped; the download completes",
        "dropped",
    );
}

#[test]
fn promises_that_are_not_kept() {
    // They have everything, and reject whatever they are asked for.
    let home = Home::new(SMALL);
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let addr = free();
    let mut session = {
        let mut command = home.command();
        command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
        start(command.args(["--no-trackers", "--json", "--listen", &addr.to_string()]))
    };
    wait_until_ready(addr, home.info_hash);
    let peers = 3;
    let rejecting: Vec<_> = (0..peers)
        .map(|_| {
            let (count, info_hash) = (Arc::clone(&count), home.info_hash);
            thread::spawn(move || {
                let mut peer = RawPeer::connect(addr, FAST, info_hash).unwrap();
                peer.send(&message(id::HAVE_ALL, &[])).unwrap();
                peer.send(&message(id::UNCHOKE, &[])).unwrap();
                // Until the download is complete, or it is plain that nobody waits.
                while count.load(Ordering::Relaxed) < TOO_MANY {
                    match peer.read() {
                        Ok(Some(frame)) if frame.id == Some(id::REQUEST) => {
                            count.fetch_add(1, Ordering::Relaxed);
                            if peer.send(&message(id::REJECT, &frame.payload)).is_err() {
                                break;
                            }
                        }
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            })
        })
        .collect();
    // An honest one comes when they have had their say: each block is put off by the first that has to be asked again.
    let deadline = Instant::now() + Duration::from_secs(sized(3, 30) as u64);
    rawtorrent_tests::poll(deadline, || (count.load(Ordering::Relaxed) >= TOO_MANY).then_some(()));
    let in_vain = asked.load(Ordering::Relaxed);
    serve_all(addr, home.info_hash);
    assert_eq!(session.process.wait(LIMIT).unwrap().code(), Some(0), "{}", session.process.stderr());
    home.assert_downloaded();
    assert!(in_vain < TOO_MANY, "asked {in_vain} times in vain");
    rejecting.into_iter().for_each(|peer| peer.join().unwrap());
    score(
        "promises_that_are_not_kept",
        &format!("{peers} peers that have all and reject each request, for {} s", sized(3, 30)),
        in_vain,
        "asked again once a second; then all came from an honest one",
        "no loop: at most a window a second and peer",
    );
}

/// Requests that are more than a window a second to each of three peers.
const TOO_MANY: u64 = 6_000;

fn free() -> SocketAddr {
    rawtorrent_tests::free_addr().unwrap()
}

#[test]
fn duplicate_and_overlapping_blocks() {
    let (rounds, extra) = (sized(3, 100), Arc::new(AtomicU64::new(0)));
    for _ in 0..rounds {
        let home = Home::new(SMALL);
        let (content, count) = (SMALL.stream(), Arc::clone(&extra));
        let addr = peer_that(home.info_hash, PLAIN, move |mut peer| {
            peer.send(&message(id::BITFIELD, &full_bitfield(PIECES)))?;
            peer.send(&message(id::UNCHOKE, &[]))?;
            while let Some(Frame { id: Some(frame), payload }) = peer.read()? {
                if frame != id::REQUEST {
                    continue;
                }
                let (head, wrong) = (&payload[..8], vec![7; BLOCK_LEN]);
                let begin = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                let shifted = [&payload[..4], &(begin + 1).to_be_bytes()].concat();
                let before = [&payload[..4], &begin.wrapping_sub(8_192).to_be_bytes()].concat();
                // A wrong block that overlaps, one that is too short, one too long, then the right one, and again.
                for (head, data) in
                    [(&shifted[..], &wrong[1..]), (&before, &wrong), (head, &wrong[..100]), (head, &[])]
                {
                    peer.send(&message(id::PIECE, &[head, data].concat()))?;
                }
                peer.send(&block_for(&payload, &content))?;
                peer.send(&message(id::PIECE, &[head, &wrong].concat()))?;
                peer.send(&block_for(&payload, &content))?;
                count.fetch_add(6, Ordering::Relaxed);
            }
            Ok(())
        });
        let mut download = home.download();
        let done = run(download.args(["-v", "--peer", &addr.to_string()]));
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        assert!(
            !done.stderr.contains(" is bad,"),
            "a block that was not asked for was taken: {}",
            done.stderr
        );
        home.assert_downloaded();
    }
    score(
        "duplicate_and_overlapping_blocks",
        "six wrong, overlapping or repeated blocks around each right one",
        extra.load(Ordering::Relaxed),
        "no piece failed; the content is right",
        "only what was asked for is taken, once",
    );
}

#[test]
fn one_name_for_many() {
    let downloading = Downloading::start();
    let (addr, hash) = (downloading.addr, downloading.home.info_hash);
    let name = *b"-XX0000-the-same-id!";
    let mut first = RawPeer::connect_as(addr, FAST_EXTENDED, hash, name).unwrap();
    first.read().unwrap().expect("the first is welcome");
    let count = sized(100, 5_000);
    for _ in 0..count {
        let mut twin = RawPeer::connect_as(addr, FAST_EXTENDED, hash, name).unwrap();
        gone(&mut twin).unwrap();
    }
    kept(&mut first).unwrap();
    downloading.assert_completes();
    score(
        "one_name_for_many",
        "connections with the id of one that is there",
        count as u64,
        "each dropped; the first stays",
        "one connection for each id",
    );
}

#[test]
fn ourselves() {
    let downloading = Downloading::start();
    let (addr, hash) = (downloading.addr, downloading.home.info_hash);
    let own = RawPeer::connect(addr, FAST_EXTENDED, hash).unwrap().peer_id;
    let count = sized(100, 5_000);
    for _ in 0..count {
        let mut mirror = RawPeer::connect_as(addr, FAST_EXTENDED, hash, own).unwrap();
        gone(&mut mirror).unwrap();
    }
    downloading.assert_completes();

    // The same the other way round: whoever it dials sends back what it gets.
    let home = Home::new(SMALL);
    let (mirror, honest) = (mirror(), home.fake_seed());
    let mut download = home.download_from(&[&honest]);
    let done = run(download.args(["--peer", &mirror.to_string()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    score(
        "ourselves",
        "callers with our own id, and an address that echoes",
        count as u64 + 1,
        "each dropped; the download completes",
        "dropped",
    );
}

/// Sends back what it gets: its handshake has the caller's own peer id.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut writer = stream.try_clone()?;
                io::copy(&mut stream, &mut writer)
            });
        }
    });
    addr
}

#[test]
fn another_torrent() {
    let home = Home::new(SMALL);
    let other = FakeSeed::start(Serving { info_hash: [9; 20], ..home.serving() }).unwrap();
    let honest = home.fake_seed();
    let done = run(&mut home.download_from(&[&other, &honest]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert_eq!(other.served(), 0);
}
