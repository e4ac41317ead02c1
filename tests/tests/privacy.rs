//! What a private torrent (BEP 27) lets out on the wire: nothing to the DHT, to local discovery, or to peer exchange;
//! read off a capture in which a public torrent, traded by the same processes at the same time, does all of that.
//!
//! Who has only a link cannot know that the torrent is private before the metadata is there: until then it looks for
//! peers in the DHT and offers to exchange some, and is listed nowhere; from then on it does none of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;
#[path = "dht/ours.rs"]
#[allow(dead_code, reason = "another test uses the rest")]
mod ours;
#[path = "dht/theirs.rs"]
mod theirs;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::start;
use ours::Ours;
use rawtorrent_tests::bencode::Read;
use rawtorrent_tests::binary::{self, Session};
use rawtorrent_tests::capture::{Capture, Packet};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::free_addr;
use rawtorrent_tests::interop::netns;
use rawtorrent_tests::metafile::{self, PIECE_LEN};
use rawtorrent_tests::peer::{BLOCK_LEN, FAST_EXTENDED, Frame, RawPeer, id, message};
use rawtorrent_tests::traffic::{self, Kind, Message};
use serde_json::{Value, json};
use tempfile::TempDir;
use theirs::Theirs;
use tokio::runtime::Builder;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// So large that there is time to exchange peers before they have no more use for each other.
const PUBLIC: Sample = Sample { name: "public.bin", layout: &[("", 64 * PIECE_LEN + 1)] };
const PRIVATE: Sample = Sample { name: "private.bin", layout: &[("", 3 * PIECE_LEN + 2)] };
/// Private, which its downloader learns from the metadata alone.
const LINKED: Sample = Sample { name: "linked.bin", layout: &[("", 3 * PIECE_LEN + 3)] };
/// What the seeder sends, in a second, at most.
const RATE: &str = "1M";

/// How the public torrent is told of by each process; the seeder, to which all others are connected, also exchanges peers.
const CONTROL: [Way; 5] = [Way::DhtLookup, Way::DhtAnnounce, Way::DhtPort, Way::Lsd, Way::PexOffer];

/// The processes are told apart by their addresses.
const SEEDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// It has a link in place of a torrent file.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
/// libtorrent.
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

/// All tests here use these.
static ADDRESSES: Mutex<()> = Mutex::new(());

type Hash = [u8; 20];

/// A torrent, as a file.
struct Torrent {
    path: PathBuf,
    bytes: Vec<u8>,
    info_hash: Hash,
}

impl Torrent {
    fn new(dir: &Path, sample: &Sample, private: bool) -> Torrent {
        let bytes = if private { metafile::private_torrent(sample) } else { metafile::torrent(sample, None) };
        let path = dir.join(format!("{}.torrent", sample.name));
        sample.write(dir).unwrap();
        fs::write(&path, &bytes).unwrap();
        Torrent { path, info_hash: metafile::info_hash(&bytes).unwrap(), bytes }
    }

    /// Of a torrent that has nothing else.
    fn info(&self) -> &[u8] {
        self.bytes.strip_prefix(b"d4:info").unwrap().strip_suffix(b"e").unwrap()
    }

    /// Gives the metadata to a downloader that has only the link, since ours do not hand out that of private torrents.
    fn tell(&self, to: SocketAddr) -> RawPeer {
        const OURS: u8 = 3;
        let until = Instant::now() + LIMIT;
        let connect = || RawPeer::connect(to, FAST_EXTENDED, self.info_hash).ok();
        let mut peer = rawtorrent_tests::poll(until, connect).expect("nobody listens");
        let (info, len) = (self.info(), self.info().len());
        assert!(len <= BLOCK_LEN, "one piece of metadata");
        let hello = format!("\0d1:md11:ut_metadatai{OURS}ee13:metadata_sizei{len}ee");
        peer.send(&message(id::EXTENDED, hello.as_bytes())).unwrap();
        let mut theirs = None;
        let mut is_request = |frame: &Frame| {
            if frame.id == Some(id::EXTENDED)
                && let Some(hello) = frame.payload.strip_prefix(&[0])
            {
                let hello = Read::prefix(hello).unwrap().0;
                theirs = hello.get("m").and_then(|names| names.get("ut_metadata")?.int());
            }
            frame.id == Some(id::EXTENDED) && frame.payload.first() == Some(&OURS)
        };
        while !is_request(&peer.read().unwrap().expect("it wants the metadata")) {}
        let theirs = u8::try_from(theirs.unwrap()).unwrap();
        let head = format!("d8:msg_typei1e5:piecei0e10:total_sizei{len}ee");
        peer.send(&message(id::EXTENDED, &[&[theirs], head.as_bytes(), info].concat())).unwrap();
        peer
    }

    fn link(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", hex(&self.info_hash))
    }
}

/// A process of its own user, who takes part in all there is.
struct Party {
    addr: SocketAddr,
    _home: TempDir,
    session: Session,
}

impl Party {
    fn start(ip: IpAddr, router: SocketAddr, fill: impl FnOnce(&mut Command, &Path)) -> Party {
        let (addr, home) = (SocketAddr::new(ip, 6881), tempfile::tempdir().unwrap());
        let mut command = binary::command(home.path());
        fill(&mut command, home.path());
        command.env_remove("RAWTORRENT_NO_DHT").env_remove("RAWTORRENT_NO_LSD");
        command.args(["--json", "--listen", &addr.to_string(), "--dht-bootstrap", &router.to_string()]);
        Party { addr, session: start(&mut command), _home: home }
    }

    fn download(ip: IpAddr, router: SocketAddr, from: SocketAddr, sources: &[&str]) -> Party {
        Party::start(ip, router, |command, home| {
            command.arg("download").args(sources).arg("-o").arg(home).arg("--seed");
            command.args(["--peer", &from.to_string()]);
        })
    }

    fn wait_finished(&mut self, torrents: &[&Torrent]) {
        for torrent in torrents {
            let hash = hex(&torrent.info_hash);
            let finished = |event: &Value| event["event"] == "finished" && event["info_hash"] == *hash;
            self.session.wait_event(LIMIT, finished).unwrap();
        }
    }
}

/// A way in which a torrent can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// `get_peers`
    DhtLookup,
    /// `announce_peer`
    DhtAnnounce,
    /// Any other question about it in the DHT.
    DhtOther,
    /// A peer is told where the sender's node is.
    DhtPort,
    Lsd,
    /// A handshake that offers to exchange peers.
    PexOffer,
    /// A message that does.
    Pex,
}

/// Something that tells of a torrent: the number of its packet, whose it is, and what it is.
type Sign = (usize, IpAddr, Way);

/// What packets tell about a torrent.
fn signs(packets: &[Packet], info_hash: Hash, messages: &[Message]) -> Vec<Sign> {
    let mut signs = Vec::new();
    for message in traffic::krpc(packets) {
        if let Kind::Query { method, about } = message.kind
            && about == Some(info_hash)
        {
            let way = match method.as_str() {
                "get_peers" => Way::DhtLookup,
                "announce_peer" => Way::DhtAnnounce,
                _ => Way::DhtOther,
            };
            signs.push((message.at, message.from.ip(), way));
        }
    }
    let lsd = traffic::lsd(packets).into_iter().filter(|(.., hash)| *hash == hex(&info_hash));
    signs.extend(lsd.map(|(at, from, _)| (at, from.ip(), Way::Lsd)));
    let ports = messages.iter().filter(|message| message.id == id::PORT && message.info_hash == info_hash);
    signs.extend(ports.map(|message| (message.at, message.from.ip(), Way::DhtPort)));
    for read in traffic::extended(messages).iter().filter(|read| read.message.info_hash == info_hash) {
        let Message { at, from, .. } = read.message;
        if read.offers.iter().any(|name| name == "ut_pex") {
            signs.push((*at, from.ip(), Way::PexOffer));
        }
        if read.name.as_deref() == Some("ut_pex") {
            signs.push((*at, from.ip(), Way::Pex));
        }
    }
    signs
}

/// The number of the packet with which a process first asked for a block of a torrent.
fn first_request(messages: &[Message], info_hash: Hash, by: IpAddr) -> Option<usize> {
    let requests =
        messages.iter().filter(|message| message.info_hash == info_hash && message.id == id::REQUEST);
    requests.filter(|message| message.from.ip() == by).map(|message| message.at).min()
}

#[test]
fn a_private_torrent_is_told_of_to_nobody() {
    trade(false);
}

#[test]
#[ignore = "needs libtorrent: cargo xtask test --only interop"]
fn a_private_torrent_that_libtorrent_trades_too_is_told_of_to_nobody() {
    trade(true);
}

fn trade(with_libtorrent: bool) {
    netns::enter().unwrap();
    let _alone = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
    netns::set_up(&[SEEDER, ONE, OTHER, THEIRS], Ipv6Addr::LOCALHOST.into()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let public = Torrent::new(files.path(), &PUBLIC, false);
    let private = Torrent::new(files.path(), &PRIVATE, true);
    let linked = Torrent::new(files.path(), &LINKED, true);
    let paths = [&public, &private, &linked].map(|torrent| torrent.path.to_str().unwrap());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (router, _nodes) = runtime.block_on(network());

    let capture = Capture::start().unwrap();
    let seeder = Party::start(SEEDER, router.addr, |command, _| {
        command.arg("seed").args(paths).arg("--data").arg(files.path()).args(["--max-up", RATE]);
    });
    let mut one = Party::download(ONE, router.addr, seeder.addr, &paths);
    let mut other = Party::download(OTHER, router.addr, seeder.addr, &[paths[0], paths[1], &linked.link()]);
    let _teller = linked.tell(other.addr);
    let theirs = SocketAddr::new(THEIRS, 6881);
    let mut libtorrent = with_libtorrent.then(|| {
        let mut libtorrent = Theirs::start(router.addr, &[theirs], true);
        for path in [paths[0], paths[1]] {
            let folder = files.path().join("theirs").to_str().unwrap().to_owned();
            let peer = seeder.addr.to_string();
            libtorrent
                .tell(&json!({"do": "download", "node": 0, "source": path, "folder": folder, "peer": peer}));
        }
        libtorrent
    });
    one.wait_finished(&[&public, &private, &linked]);
    other.wait_finished(&[&public, &private, &linked]);
    if let Some(libtorrent) = &mut libtorrent {
        let mut missing = BTreeSet::from([hex(&public.info_hash), hex(&private.info_hash)]);
        let all = libtorrent.hear(LIMIT, |event| {
            if event["event"] == "finished" {
                missing.remove(event["info_hash"].as_str().unwrap_or_default());
            }
            missing.is_empty()
        });
        assert!(runtime.block_on(all), "libtorrent has not all");
    }
    let peers = [seeder.addr, one.addr, other.addr, theirs];
    let traders: Vec<_> = [SEEDER, ONE, OTHER].into_iter().chain(with_libtorrent.then_some(THEIRS)).collect();

    // What tells of the public one, after all have been downloaded, has had the time to tell of the private ones.
    let mut packets = Vec::new();
    let mut seen = BTreeSet::new();
    let wanted: BTreeSet<_> =
        traders.iter().flat_map(|&ip| CONTROL.map(|way| (ip, way))).chain([(SEEDER, Way::Pex)]).collect();
    let is_seen = capture.wait_for(LIMIT, |new| {
        packets.extend_from_slice(new);
        let messages = traffic::messages(&packets, &peers).unwrap();
        seen =
            signs(&packets, public.info_hash, &messages).into_iter().map(|(_, ip, way)| (ip, way)).collect();
        wanted.is_subset(&seen)
    });
    let packets = capture.finish().unwrap();
    println!("{} packets; of the public torrent: {seen:?}", packets.len());
    assert!(is_seen, "the public torrent was not told of: {:?}", wanted.difference(&seen));
    assert_eq!(traffic::unread_datagrams(&packets), Vec::<&Packet>::new());

    let messages = traffic::messages(&packets, &peers).unwrap();
    for &ip in traders.iter().filter(|&&ip| ip != SEEDER) {
        assert!(first_request(&messages, private.info_hash, ip).is_some(), "{ip} asked nobody for it");
    }
    let mut told = signs(&packets, private.info_hash, &messages);
    // libtorrent names its node to any peer.
    told.retain(|&(_, ip, way)| (ip, way) != (THEIRS, Way::DhtPort));
    assert_eq!(told, []);

    // Who has only the link asks for peers until the metadata tells that this is not to be.
    let learnt = first_request(&messages, linked.info_hash, OTHER).unwrap();
    let (before, after): (Vec<_>, Vec<_>) =
        signs(&packets, linked.info_hash, &messages).into_iter().partition(|(at, ..)| *at < learnt);
    println!("of the link, before its metadata was there: {before:?}");
    let may_be = |(_, ip, way): &Sign| *ip == OTHER && matches!(way, Way::DhtLookup | Way::PexOffer);
    assert!(before.iter().all(may_be), "{before:?}");
    assert_eq!(after, []);
}

/// A node to begin with, and others that found each other by it.
async fn network() -> (Ours, Vec<Ours>) {
    let router = Ours::start(free_addr().unwrap(), 1, None);
    let start = |seed| Ours::start(free_addr().unwrap(), seed, Some(router.addr));
    let nodes: Vec<_> = (2..10).map(start).collect();
    for node in &nodes {
        node.settle().await;
    }
    (router, nodes)
}
