//! A swarm among peers that tell it of any peers (BEP 11, 54, 55): it dials only whom it was told of, hears no more of
//! one peer in a minute than it may, and what it tells others can be read.
#![no_main]

use common::{Parts, plant};
use core::net::SocketAddr;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, BTreeSet};
use swarm::limits::{EXCHANGE_INTERVAL, MAX_EXCHANGED};
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{Bitfield, Lengths, PeerId, Time};
use wire::ext::{
    DontHave, Handshake, Holepunch, HolepunchKind, LT_DONTHAVE, Pex, PexFlags, PexPeer, UT_HOLEPUNCH, UT_PEX,
};
use wire::{Message, Reserved};

const PIECES: u32 = 20;
const PEERS: u8 = 6;
/// The number of `ut_pex` messages to them.
const THEIRS: u8 = 77;

struct Bench {
    swarm: Swarm,
    now: Time,
    /// The numbers that the swarm gave to its extensions.
    ids: BTreeMap<String, u8>,
    told_of: BTreeSet<SocketAddr>,
    /// When each peer told it how many addresses.
    heard: BTreeMap<PeerKey, Vec<(Time, usize)>>,
    dialed: usize,
    tells: usize,
}

impl Bench {
    fn input(&mut self, input: Input<'_>) {
        self.swarm.handle(self.now, input);
        self.outputs();
    }

    fn says(&mut self, peer: PeerKey, name: &str, payload: Vec<u8>) {
        let Some(&id) = self.ids.get(name) else { return };
        let message = Message::Extended { id, payload: payload.into() };
        self.input(Input::Message { peer, message });
    }

    fn outputs(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Connect { addr } => {
                    assert!(self.told_of.contains(&addr) && addr.port() != 0, "{addr}");
                    self.dialed += 1;
                }
                Output::PeersTold { peer, peers } => {
                    self.heard.entry(peer).or_default().push((self.now, peers))
                }
                Output::Send { message: Message::Extended { id: 0, payload }, .. } => {
                    let hello = Handshake::decode(&payload).expect("what we send");
                    self.ids.extend(hello.m.into_iter().filter(|(_, id)| *id != 0));
                }
                Output::Send { message: Message::Extended { id: THEIRS, payload }, .. } => {
                    let pex = Pex::decode(&payload).expect("what we send");
                    assert!(pex.added.len() <= MAX_EXCHANGED && pex.dropped.len() <= MAX_EXCHANGED);
                    self.tells += 1;
                }
                _ => {}
            }
        }
        self.swarm.check_invariants();
    }

    fn check(&self) {
        for heard in self.heard.values() {
            for &(since, _) in heard {
                let within = heard.iter().filter(|(at, _)| *at >= since && *at < since + EXCHANGE_INTERVAL);
                // A minute may begin in another's midst.
                assert!(within.map(|(_, count)| count).sum::<usize>() <= 2 * MAX_EXCHANGED);
            }
        }
    }
}

fn connected(parts: &mut Parts<'_>, n: u8) -> Input<'static> {
    Input::PeerConnected {
        peer: PeerKey(n.into()),
        addr: if parts.bit() { ([80, 0, n, 1], 6881).into() } else { ([10, 0, 0, n], 6881).into() },
        outgoing: parts.bit(),
        peer_id: PeerId([n + 1; 20]),
        reserved: Reserved::NONE.with_fast().with_extended(),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let lengths = Lengths::new(u64::from(PIECES) * 16_384, 16_384).expect("a torrent");
    let have = if parts.bit() { Bitfield::full(PIECES) } else { Bitfield::new(PIECES) };
    let config = Config { pex: true, max_peers: 5, ..Config::default() };
    let mut bench = Bench {
        swarm: Swarm::new(config, lengths, have, 1, Time::from_secs(1)),
        now: Time::from_secs(1),
        ids: BTreeMap::new(),
        told_of: BTreeSet::new(),
        heard: BTreeMap::new(),
        dialed: 0,
        tells: 0,
    };
    while !parts.is_empty() {
        let (what, who) = (parts.byte(), parts.byte() % PEERS);
        let peer = PeerKey(who.into());
        match what % 9 {
            0 | 1 => bench.input(connected(&mut parts, who)),
            2 => {
                let m = [(UT_PEX.into(), THEIRS), (UT_HOLEPUNCH.into(), 3), (LT_DONTHAVE.into(), 4)].into();
                let port = Some(u16::from(who) + 1000).filter(|_| parts.bit());
                let payload = Handshake { m, port, ..Handshake::default() }.encode().into();
                // It may be dialed where it says that it listens.
                bench.told_of.extend(port.map(|port| SocketAddr::from(([80, 0, who, 1], port))));
                bench.told_of.extend(port.map(|port| SocketAddr::from(([10, 0, 0, who], port))));
                bench.input(Input::Message { peer, message: Message::Extended { id: 0, payload } });
            }
            3 | 4 => {
                let base = parts.array::<3>();
                let added = parts.list(70, |parts| {
                    let [a, b, c] = base;
                    let port = if parts.bit() { 6881 } else { parts.u16() };
                    PexPeer { addr: ([a, b, c, parts.byte()], port).into(), flags: PexFlags(parts.byte()) }
                });
                bench.told_of.extend(added.iter().map(|peer| peer.addr));
                bench.says(peer, UT_PEX, Pex { added, dropped: Vec::new() }.encode());
            }
            5 => {
                let kind = if parts.bit() { HolepunchKind::Connect } else { HolepunchKind::Rendezvous };
                let addr = SocketAddr::from(([80, 0, parts.byte() % PEERS, 1], 6881));
                bench.told_of.insert(addr);
                bench.says(peer, UT_HOLEPUNCH, Holepunch { kind, addr }.encode());
            }
            6 => {
                bench.now += Duration::from_millis(u64::from(parts.u16()) * 4);
                bench.swarm.handle_timeout(bench.now);
                bench.outputs();
            }
            7 if parts.bit() => bench.input(Input::PeerClosed { peer }),
            7 => bench.input(Input::Message { peer, message: Message::HaveAll }),
            _ if parts.bit() => {
                bench.says(peer, LT_DONTHAVE, DontHave(parts.byte().into()).encode().to_vec())
            }
            _ => {
                let (name, payload) = ([UT_PEX, UT_HOLEPUNCH][usize::from(what >> 7)], parts.bytes());
                // What is no message of ours may still be one that tells of peers.
                if let Ok(pex) = Pex::decode(payload) {
                    bench.told_of.extend(pex.added.iter().map(|peer| peer.addr));
                }
                bench.told_of.extend(Holepunch::decode(payload).map(|message| message.addr));
                bench.says(peer, name, payload.to_vec());
            }
        }
    }
    bench.check();
    plant(|| bench.dialed >= 2 && bench.tells >= 1);
});
