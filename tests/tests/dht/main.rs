//! A DHT of fifty nodes, ours and libtorrent's, each at an address of its own far from the others: what one announces or
//! stores, all find, ours answer everything that they are asked, and who has only a link gets the whole torrent by it.
//!
//! All runs in a network namespace where these addresses are of loopback, so that every rule about addresses and
//! neighbourhoods is in force on both sides. `RAWTORRENT_PYTHONPATH` is where Python finds libtorrent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod download;
mod ours;
mod theirs;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command as Program;
use std::time::{Duration, Instant};

use dht::{Command, ImmutableItem, MutableItem, NodeId, mutable_target, public_key};
use ours::{Found, Ours};
use rawtorrent_tests::bencode::Read;
use rawtorrent_tests::capture::{Capture, Packet};
use rawtorrent_tests::interop::netns;
use rawtorrent_tests::traffic::{self, Kind, Krpc};
use serde_json::{Value, json};
use theirs::Theirs;
use tokio::task::{JoinSet, block_in_place};
use types::InfoHashV1;

/// Nodes, of which every fifth is libtorrent's.
const NODES: usize = 50;
const TORRENTS: usize = 100;
/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Nodes where something is stored (BEP 5).
const K: usize = 8;
const SALT: &str = "salt";

fn addr(node: usize) -> SocketAddr {
    ([45, u8::try_from(node + 1).unwrap(), 0, 1], 6881).into()
}

/// The node that all begin with; it is not one of the fifty.
fn router() -> SocketAddr {
    ([45, 200, 0, 1], 6881).into()
}

/// Where somebody asks who is no node.
fn stranger() -> SocketAddr {
    ([45, 201, 0, 1], 6881).into()
}

fn is_theirs(node: usize) -> bool {
    node % 5 == 4
}

/// Where the binary runs, once to seed and once to download; these are not of the fifty either.
fn binary_addrs() -> [SocketAddr; 2] {
    [([45, 202, 0, 1], 6881).into(), ([45, 203, 0, 1], 6881).into()]
}

/// Puts all addresses on loopback. libtorrent takes part in the DHT only where there is a way to the world.
fn set_up() {
    netns::enter().unwrap();
    let world = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let addresses =
        (0..NODES).map(addr).chain([router(), stranger()]).chain(binary_addrs()).map(|addr| addr.ip());
    netns::set_up(&addresses.chain([world]).collect::<Vec<_>>(), world).unwrap();
    let route = Program::new("ip").args(["route", "replace", "default", "dev", "lo"]).status();
    assert!(route.unwrap().success());
}

#[test]
#[ignore = "needs libtorrent: cargo xtask test --only interop"]
fn fifty_nodes_of_two_kinds_are_one_dht() {
    set_up();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let started = Instant::now();
        let capture = Capture::start().unwrap();
        let mut lab = Lab::start().await;
        lab.announced_torrents_are_found(&capture).await;
        lab.stored_items_are_found().await;
        lab.torrents_are_sampled().await;
        lab.links_are_enough(&capture).await;
        // What the others asked until then must have been answered when the last stranger is.
        let Lab { ours, theirs, .. } = lab;
        drop(theirs);
        strangers_are_answered(&ours);
        for node in ours.values() {
            assert_eq!(node.stats().await.dropped, 0, "{}", node.addr);
        }
        every_question_was_answered(&ours, &capture.finish().unwrap());
        println!("all of it: {:.1} s", started.elapsed().as_secs_f64());
    });
}

type OurNodes = BTreeMap<usize, Ours>;

struct Lab {
    ours: OurNodes,
    theirs: Theirs,
    /// The numbers of libtorrent's nodes, in its order.
    their_nodes: Vec<usize>,
    torrents: Vec<Torrent>,
    _router: Ours,
}

/// A torrent, and who announces it, at which port.
struct Torrent {
    info_hash: InfoHashV1,
    node: usize,
    port: u16,
}

impl Torrent {
    fn peer(&self) -> SocketAddr {
        SocketAddr::new(addr(self.node).ip(), self.port)
    }
}

impl Lab {
    async fn start() -> Lab {
        let started = Instant::now();
        let the_router = Ours::start(router(), 999, None);
        let mut ours = BTreeMap::new();
        for node in (0..NODES).filter(|&node| !is_theirs(node)) {
            let driver = Ours::start(addr(node), node as u64, Some(router()));
            driver.settle().await;
            ours.insert(node, driver);
        }
        let their_nodes: Vec<_> = (0..NODES).filter(|&node| is_theirs(node)).collect();
        let addrs: Vec<_> = their_nodes.iter().map(|&node| addr(node)).collect();
        let mut theirs = Theirs::start(router(), &addrs, false);
        let mut ready = BTreeSet::new();
        let all_ready = theirs.hear(LIMIT, |event| {
            ready.extend(event["node"].as_u64().filter(|_| event["event"] == "ready"));
            ready.len() == addrs.len()
        });
        assert!(all_ready.await, "ready: {ready:?}");
        let mut known = Vec::new();
        for node in ours.values() {
            known.push(node.settle().await.outcome.closest.len());
        }
        println!(
            "{NODES} nodes, {} of them libtorrent's, met in {:.1} s; at its own place each of ours sees {} or more",
            addrs.len(),
            started.elapsed().as_secs_f64(),
            known.iter().min().unwrap()
        );
        let mut rng = fastrand::Rng::with_seed(50);
        let torrents = (0..TORRENTS).map(|number| Torrent {
            info_hash: InfoHashV1(std::array::from_fn(|_| rng.u8(..))),
            node: rng.usize(..NODES),
            port: u16::try_from(10_000 + number).unwrap(),
        });
        Lab { ours, theirs, their_nodes, torrents: torrents.collect(), _router: the_router }
    }

    /// A node of libtorrent's, as its process calls it.
    fn their_number(&self, node: usize) -> usize {
        self.their_nodes.iter().position(|&their| their == node).unwrap()
    }

    async fn announced_torrents_are_found(&mut self, capture: &Capture) {
        let started = Instant::now();
        let by_theirs: Vec<_> = self.torrents.iter().filter(|torrent| is_theirs(torrent.node)).collect();
        assert!((1..TORRENTS).contains(&by_theirs.len()), "both kinds announce");
        let hashes: Vec<_> = by_theirs.iter().map(|torrent| torrent.info_hash).collect();
        let told: Vec<_> = by_theirs
            .iter()
            .map(|torrent| {
                let (node, info_hash) = (self.their_number(torrent.node), torrent.info_hash.to_string());
                json!({"do": "announce", "node": node, "info_hash": info_hash, "port": torrent.port})
            })
            .collect();
        told.iter().for_each(|command| self.theirs.tell(command));
        let mut least = usize::MAX;
        for torrent in self.torrents.iter().filter(|torrent| !is_theirs(torrent.node)) {
            let (info_hash, ports) = (torrent.info_hash, [torrent.port; 2]);
            let command = Command::Announce { info_hash, ports, implied_port: false, seed: false };
            let stored = self.ours[&torrent.node].look_up(command).await.outcome.stored;
            assert!(stored > 0, "nobody stored {info_hash} of node {}", torrent.node);
            least = least.min(stored);
        }
        // libtorrent does not tell when it has announced.
        let mut watch = Stores::default();
        let all_stored = block_in_place(|| {
            capture.wait_for(LIMIT, |new| {
                watch.look(new);
                hashes.iter().all(|hash| watch.stored(hash) >= K)
            })
        });
        let fewest = hashes.iter().map(|hash| watch.stored(hash)).min().unwrap();
        println!(
            "{} torrents announced by ours, {} by libtorrent, in {:.1} s; stored at {least} nodes at least, and {fewest}",
            TORRENTS - hashes.len(),
            hashes.len(),
            started.elapsed().as_secs_f64()
        );
        assert!(all_stored, "an announce of libtorrent's reached {fewest} nodes only");

        let started = Instant::now();
        let lookers: Vec<_> = (0..NODES).step_by(3).collect();
        let by_ours = self.look_with_ours(&lookers).await;
        let ours_took = started.elapsed();
        let by_theirs = self.look_with_theirs(&lookers).await;
        println!(
            "{} of {} lookups by ours found the peer, in {:.1} s; {} of {} by libtorrent, in {:.1} s",
            by_ours.1,
            by_ours.0,
            ours_took.as_secs_f64(),
            by_theirs.1,
            by_theirs.0,
            (started.elapsed() - ours_took).as_secs_f64()
        );
        assert!(by_ours.0 > 0 && by_theirs.0 > 0, "both kinds look");
        assert_eq!(
            (by_ours.1, by_theirs.1),
            (by_ours.0, by_theirs.0),
            "every torrent is found from everywhere"
        );
    }

    /// How many lookups, and how many of them found the peer.
    async fn look_with_ours(&self, lookers: &[usize]) -> (usize, usize) {
        let mut looking = JoinSet::new();
        for node in lookers.iter().filter_map(|node| self.ours.get(node)) {
            for torrent in &self.torrents {
                let (node, peer) = (node.clone(), torrent.peer());
                let command = Command::GetPeers { info_hash: torrent.info_hash, noseed: false };
                looking.spawn(async move { node.look_up(command).await.peers.contains(&peer) });
            }
        }
        let found = looking.join_all().await;
        (found.len(), found.iter().filter(|found| **found).count())
    }

    async fn look_with_theirs(&mut self, lookers: &[usize]) -> (usize, usize) {
        let mut missing = BTreeSet::new();
        for &node in lookers.iter().filter(|&&node| is_theirs(node)) {
            let node = self.their_number(node);
            for torrent in &self.torrents {
                let info_hash = torrent.info_hash.to_string();
                self.theirs.tell(&json!({"do": "get_peers", "node": node, "info_hash": info_hash}));
                missing.insert((node as u64, info_hash, torrent.peer().to_string()));
            }
        }
        let all = missing.len();
        self.theirs
            .hear(LIMIT, |event| {
                for peer in event["peers"].as_array().into_iter().flatten() {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let node = event["node"].as_u64().unwrap_or_default();
                    missing.remove(&(node, text(&event["info_hash"]), text(peer)));
                }
                missing.is_empty()
            })
            .await;
        (all, all - missing.len())
    }

    async fn stored_items_are_found(&mut self) {
        let started = Instant::now();
        let [first, last] = [&self.ours[&0], &self.ours[&48]];
        let (our_seed, their_seed) = ([1; 32], [2; 32]);
        let [our_key, their_key] = [our_seed, their_seed].map(|seed| public_key(&seed));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();

        let item = ImmutableItem::new(b"9:from ours".to_vec()).unwrap();
        let target = item.target();
        let stored = first.look_up(Command::PutImmutable(item)).await.outcome.stored;
        let item = MutableItem::sign(&our_seed, SALT.as_bytes(), 7, b"8:of ours!".to_vec()).unwrap();
        let signed = first.look_up(Command::PutMutable { item, cas: None }).await.outcome.stored;
        assert_eq!((stored, signed), (K, K));

        self.theirs.tell(&json!({"do": "get", "node": 0, "target": target.to_string()}));
        self.theirs.tell(&json!({"do": "get_mutable", "node": 1, "key": hex(&our_key), "salt": SALT}));
        self.theirs.tell(&json!({"do": "put", "node": 2, "text": "from theirs"}));
        let put = json!({"do": "put_mutable", "node": 3, "seed": hex(&their_seed), "key": hex(&their_key),
                         "salt": SALT, "text": "of theirs"});
        self.theirs.tell(&put);
        let mut wanted = BTreeSet::from(["from ours", "of ours!", "put 2", "put 3"].map(String::from));
        let mut theirs_stored = usize::MAX;
        let all = self.theirs.hear(LIMIT, |event| {
            match event["event"].as_str() {
                Some("item") => wanted.remove(event["text"].as_str().unwrap_or_default()),
                Some("mutable") if event["seq"] == 7 => {
                    wanted.remove(event["text"].as_str().unwrap_or_default())
                }
                Some("put") => {
                    let stored = event["stored"].as_u64().unwrap_or_default();
                    theirs_stored = theirs_stored.min(usize::try_from(stored).unwrap_or_default());
                    wanted.remove(&format!("put {}", event["node"]))
                }
                _ => false,
            };
            wanted.is_empty()
        });
        assert!(all.await, "libtorrent did not find or store: {wanted:?}");

        let target = ImmutableItem::new(b"11:from theirs".to_vec()).unwrap().target();
        let found = last.look_up(Command::Get { target, salt: Vec::new() }).await;
        assert_eq!(found.item, Some((b"11:from theirs".to_vec(), None)));
        let target = mutable_target(&their_key, SALT.as_bytes());
        let Found { item, .. } = last.look_up(Command::Get { target, salt: SALT.into() }).await;
        assert!(matches!(&item, Some((value, Some(_))) if value == b"9:of theirs"), "{item:?}");
        println!(
            "items of ours at {K} nodes, of libtorrent's at {theirs_stored} or more; found by the other kind, in {:.1} s",
            started.elapsed().as_secs_f64()
        );
    }

    async fn torrents_are_sampled(&mut self) {
        let target = NodeId::from(self.torrents[0].info_hash);
        let found = self.ours[&0].look_up(Command::Sample { target }).await;
        let known: BTreeSet<_> = self.torrents.iter().map(|torrent| torrent.info_hash).collect();
        assert!(!found.samples.is_empty() && found.samples.is_subset(&known), "{:?}", found.samples);
        let mut by_theirs = BTreeSet::new();
        for node in self.ours.values() {
            let of = node.addr.to_string();
            self.theirs.tell(&json!({"do": "sample", "node": 0, "of": of, "target": target.to_string()}));
        }
        let mut left = self.ours.len();
        let all = self.theirs.hear(LIMIT, |event| {
            if event["event"] == "samples" {
                left -= 1;
                let hashes = event["info_hashes"].as_array().into_iter().flatten();
                by_theirs.extend(hashes.map(|hash| hash.as_str().unwrap().parse::<InfoHashV1>().unwrap()));
            }
            left == 0
        });
        assert!(all.await, "{left} of our nodes gave libtorrent no sample");
        assert!(by_theirs.is_subset(&known), "{by_theirs:?}");
        println!(
            "sampled: {} torrents by a lookup of ours, {} by libtorrent",
            found.samples.len(),
            by_theirs.len()
        );
        assert!(by_theirs.len() * 2 > TORRENTS);
    }
}

/// Asks each of ours what libtorrent hardly asks in a network this small, in its words; what came to a node before
/// is answered by then.
fn strangers_are_answered(ours: &OurNodes) {
    let socket = UdpSocket::bind(stranger()).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut buffer = [0; 2048];
    for node in ours.values() {
        for query in [
            &b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:ab1:v4:LT\x02\x011:y1:qe"[..],
            b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa6:target20:bbbbbbbbbbbbbbbbbbbb4:wantl2:n4e\
              e1:q9:find_node1:t2:cd1:v4:LT\x02\x011:y1:qe",
        ] {
            socket.send_to(query, node.addr).unwrap();
            let answer = loop {
                let (len, from) = socket.recv_from(&mut buffer).unwrap();
                // Nodes want to know in turn whether this is one.
                let (message, _) = Read::prefix(&buffer[..len]).unwrap();
                if from == node.addr && message.get("y") == Some(&Read::Bytes(b"r")) {
                    break message;
                }
            };
            let values = answer.get("r").unwrap();
            assert_eq!(values.get("id").and_then(Read::bytes).map(<[u8]>::len), Some(20));
            let is_find = query.windows(9).any(|part| part == b"find_node");
            let nodes = values.get("nodes").and_then(Read::bytes).map(<[u8]>::len);
            assert_eq!(nodes, is_find.then_some(26 * K), "{answer:?}");
        }
    }
}

fn every_question_was_answered(ours: &OurNodes, packets: &[Packet]) {
    let our_addrs: BTreeSet<_> = ours.values().map(|node| node.addr).collect();
    let mut asked: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let messages = traffic::krpc(packets);
    let answers: BTreeSet<_> = messages
        .iter()
        .filter(|message| message.kind == Kind::Response)
        .map(|Krpc { from, to, transaction, .. }| (*to, *from, transaction))
        .collect();
    for Krpc { from, to, transaction, kind, .. } in &messages {
        if let Kind::Query { method, .. } = kind
            && our_addrs.contains(to)
            && !our_addrs.contains(from)
            && *from != router()
        {
            let (all, answered) = asked.entry(method.clone()).or_default();
            *all += 1;
            *answered += usize::from(answers.contains(&(*from, *to, transaction)));
        }
    }
    println!("{} messages; what ours were asked by others, and answered:", messages.len());
    for (method, (all, answered)) in &asked {
        println!("  {method:<18} {all:>6} {answered:>6}");
    }
    let methods: Vec<_> = asked.keys().map(String::as_str).collect();
    assert_eq!(
        methods,
        ["announce_peer", "find_node", "get", "get_peers", "ping", "put", "sample_infohashes"]
    );
    assert!(asked.values().all(|(all, answered)| all == answered), "{asked:?}");
}

/// Counts, packet by packet, at how many nodes torrents were stored.
#[derive(Default)]
struct Stores {
    asked: BTreeMap<(SocketAddr, SocketAddr, Vec<u8>), InfoHashV1>,
    stored: BTreeMap<InfoHashV1, BTreeSet<SocketAddr>>,
}

impl Stores {
    fn look(&mut self, new: &[Packet]) {
        for Krpc { from, to, transaction, kind, .. } in traffic::krpc(new) {
            match kind {
                Kind::Query { method, about: Some(about) } if method == "announce_peer" => {
                    self.asked.insert((from, to, transaction), InfoHashV1(about));
                }
                Kind::Response => {
                    if let Some(torrent) = self.asked.get(&(to, from, transaction)) {
                        self.stored.entry(*torrent).or_default().insert(from);
                    }
                }
                _ => {}
            }
        }
    }

    fn stored(&self, torrent: &InfoHashV1) -> usize {
        self.stored.get(torrent).map_or(0, BTreeSet::len)
    }
}
