//! A daemon with thousands of torrents of which some come and go, as peers do: does it grow?

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::churn::{Vitals, door};
use super::{full, is_measured};
use crate::common::Home;
use crate::common::daemon::Daemon;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::peer::{FAST, PLAIN, RawPeer, id, message};
use rawtorrent_tests::score::score;
use sha1::{Digest, Sha1};

/// Torrents that are there at any time.
const TORRENTS: u32 = 2_000;
/// Of these, so many run.
const ACTIVE: &str = "50";
/// Peers that come and go; each stays for this long.
const CROWD: u64 = 8;
const STAY: Duration = Duration::from_millis(200);
/// How often a daemon may say that it is busy before it is hung; each time it took ten seconds to say so.
const PATIENCE: usize = 6;
/// The soak if nothing else is said, and that of the control.
const USUAL: u64 = 2 * 60 * 60;
const SHORT: u64 = 40;
/// What it may grow by over all of it, as a straight line through the samples has it: of its memory a part, and so many
/// descriptors and tasks.
const MEMORY_GROWTH: f64 = 0.05;
const GROWTH: f64 = 8.0;

/// A torrent of one block, and the block.
struct Tiny {
    file: Vec<u8>,
    info_hash: [u8; 20],
    block: Vec<u8>,
}

impl Tiny {
    const LEN: usize = 16_384;

    fn new(number: u32) -> Tiny {
        let block = number.to_be_bytes().repeat(Tiny::LEN / 4);
        let name = format!("torrent {number:06}.iso");
        let head = format!("d6:lengthi16384e4:name{}:{name}12:piece lengthi16384e6:pieces20:", name.len());
        let info = [head.as_bytes(), &Sha1::digest(&block), b"e"].concat();
        Tiny { info_hash: Sha1::digest(&info).into(), file: [b"d4:info", &info[..], b"e"].concat(), block }
    }
}

/// Who has all of them: their numbers by info-hash.
type Known = Arc<Mutex<BTreeMap<[u8; 20], u32>>>;

/// A seed of all that is known.
fn seed(known: &Known) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let known = Arc::clone(known);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let known = Arc::clone(&known);
            // An error is the end of this connection.
            thread::spawn(move || serve(stream, &known));
        }
    });
    addr
}

fn serve(stream: TcpStream, known: &Known) -> io::Result<()> {
    let (mut peer, info_hash) = RawPeer::answer(stream, PLAIN)?;
    let Some(number) = known.lock().unwrap().get(&info_hash).copied() else { return Ok(()) };
    peer.set_patience(None)?;
    peer.send(&message(id::BITFIELD, &[0x80]))?;
    peer.send(&message(id::UNCHOKE, &[]))?;
    while let Some(frame) = peer.read()? {
        if frame.id == Some(id::REQUEST) {
            peer.send(&message(id::PIECE, &[&frame.payload[..8], &Tiny::new(number).block].concat()))?;
        }
    }
    Ok(())
}

/// Comes to one torrent after the other, until it is `over`: stays a moment, or says what nobody may say.
fn wanders(
    seed: u64,
    addr: SocketAddr,
    newest: &Arc<AtomicU32>,
    over: &Arc<AtomicBool>,
    came: &Arc<AtomicU64>,
) -> JoinHandle<()> {
    let (newest, over, came) = (Arc::clone(newest), Arc::clone(over), Arc::clone(came));
    let mut rng = fastrand::Rng::with_seed(seed);
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let number = newest.load(Ordering::Relaxed).saturating_sub(rng.u32(..TORRENTS));
            let peer = RawPeer::connect(addr, FAST, Tiny::new(number).info_hash);
            came.fetch_add(1, Ordering::Relaxed);
            match peer {
                Ok(mut peer) if rng.bool() => {
                    let _ = peer.send(&message(id::HAVE, &u32::MAX.to_be_bytes()));
                    let _ = peer.closes_within(STAY);
                }
                Ok(mut peer) => {
                    let _ = peer.send(&message(id::INTERESTED, &[]));
                    let _ = peer.closes_within(STAY);
                }
                // It has no time for this torrent.
                Err(_) => {}
            }
            thread::sleep(STAY);
        }
    })
}

/// How long it is to last.
fn lasting() -> Duration {
    let asked = std::env::var("RAWTORRENT_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(if full() { USUAL } else { SHORT }))
}

/// What a value grows by a second, by the straight line through its samples that is nearest to them (least squares).
fn slope(samples: &[(f64, f64)]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "thousands")]
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let products = samples.iter().map(|sample| (sample.0 - at) * (sample.1 - value)).sum::<f64>();
    products / samples.iter().map(|sample| (sample.0 - at).powi(2)).sum::<f64>()
}

/// What a line through samples says.
struct Line {
    what: &'static str,
    mean: f64,
    an_hour: f64,
    /// Over all of it.
    growth: f64,
    bar: f64,
}

impl Line {
    fn through(what: &'static str, samples: &[(f64, f64)], bar: impl Fn(f64) -> f64) -> Line {
        let slope = slope(samples);
        let lasted = samples.last().unwrap().0 - samples[0].0;
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let mean = samples.iter().map(|sample| sample.1).sum::<f64>() / samples.len() as f64;
        Line { what, mean, an_hour: slope * 3600.0, growth: slope * lasted, bar: bar(mean) }
    }

    fn shown(&self) -> String {
        let Line { what, mean, an_hour, growth, bar } = self;
        format!("{what} {mean:.1}, {an_hour:+.1} an hour, {growth:+.1} in all (bar {bar:.1})")
    }
}

#[test]
fn a_soak() {
    if !is_measured() {
        println!("measured in the longer run alone");
        return;
    }
    let home = Home::new(Sample { name: "unused", layout: &[("", 1)] });
    let known = Known::default();
    let from = seed(&known).to_string();
    let temporary = home.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let daemon = Daemon::start(&home, &["--max-active", ACTIVE, "--peer", &from]);
    let add = |number: u32| {
        let tiny = Tiny::new(number);
        known.lock().unwrap().insert(tiny.info_hash, number);
        let kind = "content-type: application/x-bittorrent\r\n";
        let add = || daemon.ask("POST", "/api/v1/torrents", kind, &tiny.file).status;
        // One that is busy, since the machine is, says so.
        let answer = std::iter::repeat_with(add).take(PATIENCE).find(|&status| status != 503);
        assert_eq!(answer, Some(201), "{number}");
    };
    let remove = |number: u32| {
        let info_hash = Tiny::new(number).info_hash;
        let path = format!("/api/v1/torrents/{}?data=true", hex(&info_hash));
        assert_eq!(daemon.ask("DELETE", &path, "", b"").status, 204, "{number}");
        known.lock().unwrap().remove(&info_hash);
    };
    (0..TORRENTS).for_each(add);

    let (over, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(TORRENTS - 1)));
    let (addr, came) = (door(&daemon), Arc::default());
    let crowd: Vec<_> = (0..CROWD).map(|seed| wanders(seed, addr, &newest, &over, &came)).collect();
    let (lasting, begun) = (lasting(), Instant::now());
    // At first it grows: tables fill.
    let warm = (lasting / 4).min(Duration::from_secs(300));
    let (mut samples, mut next) = (Vec::new(), TORRENTS);
    for second in 1.. {
        let at = Duration::from_secs(second);
        rawtorrent_tests::poll(begun + at, || None::<()>);
        add(next);
        newest.store(next, Ordering::Relaxed);
        remove(next - TORRENTS);
        next += 1;
        if at >= warm {
            samples.push((begun.elapsed().as_secs_f64(), Vitals::of(&daemon)));
        }
        if at >= lasting {
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|peer| peer.join().unwrap());
    let (came, process) = (came.load(Ordering::Relaxed), daemon.session.process.id());
    let listed = daemon.get("/api/v1/torrents?limit=1").json();
    assert_eq!(listed["total"], TORRENTS);
    daemon.end();

    #[allow(clippy::cast_precision_loss, reason = "it is drawn")]
    let of = |of: fn(&Vitals) -> f64| -> Vec<_> { samples.iter().map(|(at, now)| (*at, of(now))).collect() };
    #[allow(clippy::cast_precision_loss, reason = "it is drawn")]
    let lines = [
        Line::through("MiB", &of(|now| now.memory as f64 / f64::from(1 << 20)), |mean| mean * MEMORY_GROWTH),
        Line::through("descriptors", &of(|now| now.descriptors as f64), |_| GROWTH),
        Line::through("tasks", &of(|now| now.tasks as f64), |_| GROWTH),
    ];
    let shown: Vec<_> = lines.iter().map(Line::shown).collect();
    shown.iter().for_each(|line| println!("{line}"));
    assert!(lines.iter().all(|line| line.growth <= line.bar), "{shown:?}");
    assert_nothing_is_left(&home, process);
    score(
        "a_soak",
        &format!(
            "seconds with {TORRENTS} torrents, {ACTIVE} active, one added and one removed a second, {came} peers that came and went"
        ),
        lasting.as_secs(),
        &format!("{}; nothing was left after the end", shown.join("; ")),
        "a line through the samples grows by 5 % of the memory, 8 descriptors and 8 tasks at most",
    );
}

/// No process, no socket, no file that was only in between.
fn assert_nothing_is_left(home: &Home, process: u32) {
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "the process");
    assert!(!home.path().join("api.sock").exists(), "the socket");
    let own = home.path().as_os_str().as_encoded_bytes();
    let of_home = |process: &fs::DirEntry| {
        let told = fs::read(process.path().join("environ")).unwrap_or_default();
        told.windows(own.len()).any(|part| part == own)
    };
    let left: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(of_home).collect();
    assert!(left.is_empty(), "processes: {left:?}");
    let mut folders = vec![home.path().to_owned()];
    let mut locks = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(kind.is_file(), "{}", path.display());
            assert!(!["new", "tmp", "part"].iter().any(|end| name.ends_with(end)), "{}", path.display());
            locks += u32::from(name.ends_with(".lock"));
        }
    }
    // The others are the daemon's own.
    assert!(locks <= TORRENTS + 4, "{locks} locks of torrents that are gone");
}

#[test]
fn a_line_goes_through_the_middle() {
    let samples: Vec<_> =
        (0..100).map(|at| (f64::from(at), 3.0 + 0.5 * f64::from(at) + f64::from(at % 2))).collect();
    assert!((slope(&samples) - 0.5).abs() < 0.01);
}
