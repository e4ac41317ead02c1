//! Peers tell each other of peers (BEP 11): engines on loopback, and a peer that writes its messages by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

use engine::create::CreateTorrent;
use engine::events::Direction;
use engine::{AddTorrent, Engine, EventKind, Events, Metainfo, Settings, Torrent};
use pollster::block_on;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use tempfile::TempDir;
use types::PeerId;
use wire::ext::{self, Pex, PexFlags, PexPeer};
use wire::{Decoded, Handshake, Limits, Message, Reserved};

/// A torrent of which nobody has anything.
fn torrent(private: bool) -> Metainfo {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, [7; 100_000]).unwrap();
    let created = CreateTorrent::new(&file).piece_length(1 << 16).private(private).make(|_, _| {});
    Metainfo::parse(&created.unwrap().bytes).unwrap()
}

/// An engine that wants the torrent and knows these peers.
struct Party {
    engine: Engine,
    events: Events,
    _torrent: Torrent,
    _dirs: [TempDir; 2],
}

impl Party {
    fn new(metainfo: &Metainfo, peers: Vec<SocketAddr>, pex: bool) -> Party {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let engine = engine(dirs[0].path(), pex);
        let events = engine.events();
        let add = AddTorrent::new(metainfo.clone(), dirs[1].path()).peers(peers);
        let torrent = block_on(engine.add(add)).unwrap();
        Party { engine, events, _torrent: torrent, _dirs: dirs }
    }

    fn addr(&self) -> SocketAddr {
        self.engine.listen_addrs()[0]
    }

    /// Waits for something to happen; what happened before is given back.
    fn wait(&mut self, mut is_it: impl FnMut(&EventKind) -> bool) -> Vec<EventKind> {
        let mut before = Vec::new();
        loop {
            let kind = block_on(self.events.next()).unwrap().kind;
            if is_it(&kind) {
                return before;
            }
            before.push(kind);
        }
    }
}

fn engine(state: &Path, pex: bool) -> Engine {
    let mut settings = Settings::new(state);
    settings.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.pex = pex;
    settings.lsd = false;
    Engine::start(settings).unwrap()
}

#[test]
fn two_that_know_a_third_meet() {
    let metainfo = torrent(false);
    let mut middle = Party::new(&metainfo, Vec::new(), true);
    let mut sides = [(); 2].map(|()| Party::new(&metainfo, vec![middle.addr()], true));
    let [a, c] = &mut sides;
    let met = |kind: &EventKind| match kind {
        EventKind::Handshake { peer, direction: Direction::In, .. } => peer.addr != Some(middle.addr()),
        _ => false,
    };
    let before = [a.wait(met), c.wait(met)];
    let told = |kind: &EventKind| matches!(kind, EventKind::PeersExchanged { from, peers: 1 } if from.addr == Some(middle.addr()));
    // The other one may have met it before it was told.
    assert!(before.iter().flatten().any(told));
    block_on(sides.into_iter().next().unwrap().engine.shutdown());
    // Whoever has nothing to tell keeps still.
    let heard = middle.wait(|kind| matches!(kind, EventKind::Disconnected { .. }));
    assert!(!heard.iter().any(|kind| matches!(kind, EventKind::PeersExchanged { .. })));
}

/// A peer that exchanges peers comes to an engine: the number that it was given for its messages, if any, and whether the
/// engine took its word for another peer.
fn offered_and_heard(private: bool, pex: bool) -> (Option<u8>, bool) {
    let metainfo = torrent(private);
    let mut party = Party::new(&metainfo, Vec::new(), pex);
    let (mut peer, hello) = loop {
        // While the torrent is being made ready, callers are hung up on.
        let met = RawPeer::connect(party.addr(), &metainfo);
        if let Some(met) = met.and_then(|mut peer| peer.read_hello().map(|hello| (peer, hello))) {
            break met;
        }
    };
    let offer = hello.m.get(ext::UT_PEX).copied();
    let added = vec![PexPeer { addr: ([127, 0, 0, 1], 9).into(), flags: PexFlags(0) }];
    let payload = Pex { added, dropped: Vec::new() }.encode().into();
    peer.write(&Message::Extended { id: offer.unwrap_or(1), payload });
    // What a peer says is heard in order, and this is answered.
    peer.write(&Message::Interested);
    let before =
        party.wait(|kind| matches!(kind, EventKind::Message { said, .. } if said.name() == "unchoke"));
    (offer, before.iter().any(|kind| matches!(kind, EventKind::PeersExchanged { .. })))
}

#[test]
fn private_torrents_and_those_who_do_not_want_it_exchange_nothing() {
    assert_eq!(offered_and_heard(false, true), (Some(1), true));
    assert_eq!(offered_and_heard(true, true), (None, false));
    assert_eq!(offered_and_heard(false, false), (None, false));
}

/// A connection, and what came over it and was not read yet.
struct RawPeer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawPeer {
    fn connect(to: SocketAddr, metainfo: &Metainfo) -> Option<RawPeer> {
        let mut stream = TcpStream::connect(to).unwrap();
        let reserved = Reserved::NONE.with_fast().with_extended();
        let info_hash = metainfo.info_hash().wire();
        let ours = Handshake { reserved, info_hash, peer_id: PeerId([b'x'; 20]) };
        stream.write_all(&ours.encode()).unwrap();
        let mut theirs = [0; wire::handshake::LEN];
        stream.read_exact(&mut theirs).ok()?;
        assert_eq!(Handshake::decode(&theirs).unwrap().info_hash, info_hash);
        Some(RawPeer { stream, buffer: Vec::new() })
    }

    fn write(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// What the far end says of itself (BEP 10); `None` if it hangs up.
    fn read_hello(&mut self) -> Option<ext::Handshake> {
        loop {
            match wire::decode(&self.buffer, &Limits::for_pieces(2)).unwrap() {
                Decoded::Message { message: Message::Extended { id: 0, payload }, .. } => {
                    return ext::Handshake::decode(&payload).ok();
                }
                Decoded::Message { consumed, .. } => drop(self.buffer.drain(..consumed)),
                _ => {
                    let mut chunk = [0; 4096];
                    let len = self.stream.read(&mut chunk).ok().filter(|&len| len > 0)?;
                    self.buffer.extend_from_slice(&chunk[..len]);
                }
            }
        }
    }
}
