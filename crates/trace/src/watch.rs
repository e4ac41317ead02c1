//! From what a swarm is told and does to events.

use crate::limits::{MAX_ASKED, MAX_CANCELLED, MAX_GONE, MAX_PIECES, MAX_SENDERS};
use crate::{Direction, EventKind, Evidence, Peer, Said};
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use swarm::{BanReason, Greeting, Input, Output, PeerKey, PeerSource, PeerView};
use types::{BlockRange, InfoHashV1, PeerId, PieceIndex, Time};
use wire::ext;
use wire::{Message, Reserved};

/// What we say in every handshake.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// The torrent.
    pub info_hash: InfoHashV1,
    /// Our name in this swarm.
    pub peer_id: PeerId,
    /// What we can do.
    pub reserved: Reserved,
}

/// Watches one swarm. It remembers who is who, what was asked when, and who sent what; the swarm is not changed by it.
#[derive(Debug)]
pub struct Watch {
    ours: Ours,
    peers: BTreeMap<PeerKey, Known>,
    /// Who sent blocks of pieces that are under way.
    senders: BTreeMap<PieceIndex, Vec<Peer>>,
    /// Who was connected last, and is not any more.
    gone: VecDeque<Peer>,
}

#[derive(Debug)]
struct Known {
    addr: SocketAddr,
    /// What messages to us carry, by our own word.
    to_us: BTreeMap<u8, String>,
    /// What messages to it carry.
    to_it: BTreeMap<u8, String>,
    asked: BTreeMap<(PieceIndex, u32), Time>,
    /// What it was asked for and is not any more, the latest last.
    cancelled: VecDeque<(PieceIndex, u32)>,
    /// It is asked over HTTP: there are no messages, and no connection that opens and ends.
    is_web_seed: bool,
}

impl Known {
    fn at(addr: SocketAddr) -> Known {
        Known {
            addr,
            to_us: BTreeMap::new(),
            to_it: BTreeMap::new(),
            asked: BTreeMap::new(),
            cancelled: VecDeque::new(),
            is_web_seed: false,
        }
    }

    fn of(greeting: Greeting<'_>) -> Known {
        let numbers =
            |of: Vec<(&'static str, u8)>| of.into_iter().map(|(name, id)| (id, name.into())).collect();
        Known {
            to_us: numbers(greeting.to_us),
            to_it: numbers(greeting.to_it),
            is_web_seed: greeting.is_web_seed,
            ..Known::at(greeting.addr)
        }
    }

    /// Whether it was asked for a block that it is not asked for any more; told once.
    fn takes_back(&mut self, block: (PieceIndex, u32)) -> bool {
        let at = self.cancelled.iter().position(|&cancelled| cancelled == block);
        // Who chokes us is asked for nothing any more.
        at.and_then(|at| self.cancelled.remove(at)).is_some() || self.asked.remove(&block).is_some()
    }

    fn cancel(&mut self, block: (PieceIndex, u32)) {
        self.asked.remove(&block);
        if self.cancelled.len() == MAX_CANCELLED {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(block);
    }
}

/// What hears.
type Hear<'a> = &'a mut dyn FnMut(EventKind);

impl Watch {
    /// Watches a swarm that has no connections.
    pub fn new(ours: Ours) -> Watch {
        Watch { ours, peers: BTreeMap::new(), senders: BTreeMap::new(), gone: VecDeque::new() }
    }

    /// Who is connected already, if the swarm is watched from now on only.
    pub fn join<'a>(&mut self, present: impl Iterator<Item = Greeting<'a>>) {
        self.peers.extend(present.map(|greeting| (greeting.peer, Known::of(greeting))));
    }

    /// Tells of every connection that is there already: for who listens from now on only.
    pub fn present<'a>(&self, present: impl Iterator<Item = Greeting<'a>>, hear: Hear<'_>) {
        for greeting in present.filter(|greeting| !greeting.is_web_seed) {
            let Greeting { peer, outgoing, peer_id, reserved, client, .. } = greeting;
            hear(EventKind::Present {
                peer: self.peer(peer),
                outgoing,
                info_hash: self.ours.info_hash,
                our_id: self.ours.peer_id,
                our_reserved: self.ours.reserved,
                peer_id,
                client: client.map(String::from).or_else(|| wire::client::name(&peer_id)),
                reserved,
                extensions: reserved.to_string(),
            });
        }
    }

    /// Another swarm goes on with the peers of this one: what it knows is known, and nothing is under way.
    pub fn take_over(&mut self) {
        self.senders.clear();
    }

    /// To be told before the swarm is.
    pub fn told(&mut self, now: Time, input: &Input<'_>, hear: Hear<'_>) {
        match *input {
            Input::PeerConnected { peer, addr, outgoing, peer_id, reserved } => {
                self.peers.insert(peer, Known::at(addr));
                self.greet(self.peer(peer), outgoing, peer_id, reserved, hear);
            }
            Input::WebSeedReady { peer, addr, .. } => {
                self.peers.insert(peer, Known { is_web_seed: true, ..Known::at(addr) });
            }
            // We have hung up, and what it said before comes after that.
            Input::BlockReceived { peer, block } if !self.peers.contains_key(&peer) => {
                self.note_sender(peer, block.piece);
            }
            Input::Message { peer, .. }
            | Input::BlockRefused { peer, .. }
            | Input::Unrequested { peer, .. }
            | Input::BlockSent { peer, .. }
                if !self.peers.contains_key(&peer) => {}
            Input::Message { peer, ref message } => self.heard(now, peer, message, hear),
            Input::BlockReceived { peer, block } | Input::BlockRefused { peer, block } => {
                let took = self.answered(now, peer, block);
                if matches!(input, Input::BlockReceived { .. }) {
                    self.note_sender(peer, block.piece);
                }
                hear(self.message(peer, Direction::In, Said::Piece(block.into()), None, took));
            }
            Input::Unrequested { peer, block } => {
                let (piece, offset) = (Some(block.piece.get()), Some(block.offset));
                let key = (block.piece, block.offset);
                let cancelled = self.peers.get_mut(&peer).is_some_and(|known| known.takes_back(key));
                let peer = self.peer(peer);
                hear(EventKind::Unrequested { peer, piece, offset, bytes: block.len, cancelled });
            }
            Input::PeerClosed { peer } => self.closed(peer, || "the connection ended".into(), hear),
            Input::PeersFound { addrs, source } if !addrs.is_empty() => {
                hear(EventKind::PeersFound { source: said_by(source).into(), peers: addrs.len() });
            }
            Input::PieceVerified { piece, .. } => {
                let from = self.senders.remove(&piece).unwrap_or_default();
                hear(EventKind::PieceVerified { piece: piece.get(), from });
            }
            Input::PieceFailed { piece, .. } => {
                let from = self.senders.remove(&piece).unwrap_or_default();
                hear(EventKind::PieceFailed { piece: piece.get(), from });
            }
            Input::PieceLost { piece } => hear(EventKind::PieceLost { piece: piece.get() }),
            Input::BlockSent { peer, block } => {
                hear(self.message(peer, Direction::Out, Said::Piece(block.into()), None, None));
            }
            Input::Pause => hear(EventKind::Paused),
            Input::Resume => hear(EventKind::Resumed),
            // Drivers say more of what came of a dial; the rest is between them and the swarm.
            _ => {}
        }
    }

    /// To be told of what the swarm does; `view` shows a peer as the swarm sees it.
    pub fn did<'s>(
        &mut self,
        now: Time,
        output: &Output,
        view: impl FnOnce(PeerKey) -> Option<PeerView<'s>>,
        hear: Hear<'_>,
    ) {
        match *output {
            // It has hung up in what it is answered: nothing is sent.
            Output::Send { peer, .. }
            | Output::Request { peer, .. }
            | Output::Cancel { peer, .. }
            | Output::ServeMetadata { peer, .. }
                if !self.peers.contains_key(&peer) => {}
            Output::Send { peer, ref message } => {
                let reason = match message {
                    Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => {
                        view(peer).and_then(|view| reason(message, &view))
                    }
                    _ => None,
                };
                hear(self.said(peer, message, reason));
            }
            Output::Request { peer, block } => {
                if let Some(known) = self.peers.get_mut(&peer)
                    && known.asked.len() < MAX_ASKED
                {
                    known.asked.insert((block.piece, block.offset), now);
                }
                hear(self.message(peer, Direction::Out, Said::Request(block.into()), None, None));
            }
            Output::Cancel { peer, block } => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.cancel((block.piece, block.offset));
                }
                hear(self.message(peer, Direction::Out, Said::Cancel(block.into()), None, None));
            }
            Output::ServeMetadata { peer, id, piece, total_size } => {
                hear(self.message(
                    peer,
                    Direction::Out,
                    Said::metadata_piece(id, piece, total_size),
                    None,
                    None,
                ));
            }
            Output::Disconnect { peer, reason } => self.closed(peer, || reason.to_string(), hear),
            Output::Hold { peer } => {
                hear(EventKind::LimitReached { limit: "requests".into(), peer: Some(self.peer(peer)) });
            }
            Output::PeersTold { peer, peers } => {
                hear(EventKind::PeersExchanged { from: self.peer(peer), peers });
            }
            Output::NeedPeers => hear(EventKind::PeersWanted),
            Output::Finished => hear(EventKind::Complete),
            Output::Banned { addr, ref reason } => {
                let evidence = evidence(reason);
                hear(EventKind::Banned { peer: self.who_was(addr), reason: reason.to_string(), evidence });
            }
            // What was sent is told when it was; dials are the driver's.
            Output::Connect { .. }
            | Output::Release { .. }
            | Output::Serve { .. }
            | Output::Forget { .. }
            | Output::DropServes { .. } => {}
        }
    }

    /// A connection ended, and the driver knows why. Told once for each.
    pub fn closed(&mut self, peer: PeerKey, reason: impl FnOnce() -> String, hear: Hear<'_>) {
        let who = self.peer(peer);
        let Some(known) = self.peers.remove(&peer) else { return };
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(who);
        if !known.is_web_seed {
            hear(EventKind::Disconnected { peer: who, reason: reason() });
        }
    }

    /// A block waited for the disk, and nothing more was read of its peer meanwhile.
    pub fn waited(&self, peer: PeerKey, took: Duration, hear: Hear<'_>) {
        // After its end a connection says nothing more.
        if self.peers.contains_key(&peer) {
            hear(EventKind::DiskWaited { peer: self.peer(peer), took });
        }
    }

    /// Who that is, or was.
    pub fn peer(&self, peer: PeerKey) -> Peer {
        let number = Some(peer.0);
        let was = || self.gone.iter().rev().find(|gone| gone.number == number)?.addr;
        Peer { number, addr: self.peers.get(&peer).map(|known| known.addr).or_else(was) }
    }

    /// Who is or was at this address, if at all; else who was at the same host last.
    fn who_was(&self, addr: SocketAddr) -> Peer {
        let present =
            self.peers.iter().map(|(key, known)| Peer { number: Some(key.0), addr: Some(known.addr) });
        let all = || self.gone.iter().rev().copied().chain(present.clone());
        let at = |is_meant: &dyn Fn(SocketAddr) -> bool| all().find(|peer| peer.addr.is_some_and(is_meant));
        let same_host = |other: SocketAddr| swarm::host(other.ip()).0 == swarm::host(addr.ip()).0;
        let found = at(&|other| other == addr).or_else(|| at(&same_host));
        Peer { number: found.and_then(|peer| peer.number), addr: Some(addr) }
    }

    fn greet(&self, peer: Peer, outgoing: bool, peer_id: PeerId, reserved: Reserved, hear: Hear<'_>) {
        hear(EventKind::Connected { peer, outgoing });
        let handshake = |direction, peer_id, reserved: Reserved| EventKind::Handshake {
            peer,
            direction,
            info_hash: self.ours.info_hash,
            peer_id,
            client: wire::client::name(&peer_id),
            reserved,
            extensions: reserved.to_string(),
        };
        let ours = handshake(Direction::Out, self.ours.peer_id, self.ours.reserved);
        let theirs = handshake(Direction::In, peer_id, reserved);
        // Who dialed speaks first.
        let both = if outgoing { [ours, theirs] } else { [theirs, ours] };
        both.into_iter().for_each(hear);
    }

    fn heard(&mut self, now: Time, peer: PeerKey, message: &Message<'_>, hear: Hear<'_>) {
        let known = self.peers.get_mut(&peer);
        let mut took = None;
        if let Message::Reject(asked) = message
            && let Some(known) = known
        {
            let asked = known.asked.remove(&(PieceIndex::new(asked.index), asked.begin));
            took = asked.map(|at| now.since(at));
        }
        let said = Said::of(message, self.extension(peer, message, |known| &known.to_us));
        self.learn(peer, &said, |known| &mut known.to_it);
        hear(self.message(peer, Direction::In, said, None, took));
    }

    fn said(&mut self, peer: PeerKey, message: &Message<'_>, reason: Option<Cow<'static, str>>) -> EventKind {
        let said = Said::of(message, self.extension(peer, message, |known| &known.to_it));
        self.learn(peer, &said, |known| &mut known.to_us);
        self.message(peer, Direction::Out, said, reason, None)
    }

    /// What the receiver of a message calls its number by.
    fn extension(
        &self,
        peer: PeerKey,
        message: &Message<'_>,
        numbers: impl FnOnce(&Known) -> &BTreeMap<u8, String>,
    ) -> Option<&str> {
        let Message::Extended { id, .. } = message else { return None };
        numbers(self.peers.get(&peer)?).get(id).map(String::as_str)
    }

    /// Takes in the numbers of an extension handshake; a later one adds to the first.
    fn learn(
        &mut self,
        peer: PeerKey,
        said: &Said,
        numbers: impl FnOnce(&mut Known) -> &mut BTreeMap<u8, String>,
    ) {
        if let Said::Extended { says: crate::Ext::Handshake { m, .. }, .. } = said
            && let Some(known) = self.peers.get_mut(&peer)
        {
            let numbers = numbers(known);
            for (name, &id) in m {
                numbers.retain(|_, known| known != name);
                // As many as there are numbers.
                if id != 0 {
                    numbers.insert(id, name.clone());
                }
            }
        }
    }

    fn answered(&mut self, now: Time, peer: PeerKey, block: BlockRange) -> Option<Duration> {
        let asked = self.peers.get_mut(&peer)?.asked.remove(&(block.piece, block.offset))?;
        Some(now.since(asked))
    }

    fn note_sender(&mut self, peer: PeerKey, piece: PieceIndex) {
        let sender = self.peer(peer);
        if self.senders.len() >= MAX_PIECES && !self.senders.contains_key(&piece) {
            return;
        }
        let senders = self.senders.entry(piece).or_default();
        if senders.len() < MAX_SENDERS && !senders.contains(&sender) {
            senders.push(sender);
        }
    }

    fn message(
        &self,
        peer: PeerKey,
        direction: Direction,
        said: Said,
        reason: Option<Cow<'static, str>>,
        took: Option<Duration>,
    ) -> EventKind {
        EventKind::Message { peer: self.peer(peer), direction, said, reason, took }
    }
}

impl Said {
    fn metadata_piece(id: u8, piece: u32, total_size: u32) -> Said {
        let data = Cow::default();
        let payload = ext::Metadata::Data { piece, total_size, data }.encode();
        let start = u64::from(piece) * u64::from(ext::METADATA_PIECE_LEN);
        let left = u64::from(total_size).saturating_sub(start).min(ext::METADATA_PIECE_LEN.into());
        let left_out = u32::try_from(left).unwrap_or_default();
        Said::Extended { id, payload, left_out, says: crate::Ext::MetadataData { piece, total_size } }
    }
}

/// Why we chose so, as far as the peer itself shows it.
fn reason(message: &Message<'_>, view: &PeerView<'_>) -> Option<Cow<'static, str>> {
    Some(match message {
        Message::Choke if !view.peer_interested => "it wants nothing of us".into(),
        Message::Choke if view.rate_down == 0 => "it gives us nothing, and others wait for its slot".into(),
        Message::Choke => "others give or take more, and slots are few".into(),
        Message::Unchoke if view.rate_down > 0 => "it gives us blocks".into(),
        Message::Unchoke if view.is_seed => "a slot is free".into(),
        Message::Unchoke => "a slot is free for it: nothing has come from it of late".into(),
        Message::Interested => "it has a piece that we want".into(),
        Message::NotInterested => "it has nothing that we want any more".into(),
        _ => return None,
    })
}

fn evidence(reason: &BanReason) -> Evidence {
    let of = |piece: PieceIndex, block| Evidence { piece: Some(piece.get()), block };
    match *reason {
        BanReason::SpoiledPiece(piece) => of(piece, None),
        BanReason::WrongBlock { piece, block } | BanReason::TwoVersions { piece, block } => {
            of(piece, Some(block))
        }
        BanReason::SpoiledMetadata | BanReason::WrongMetadata => Evidence::default(),
    }
}

fn said_by(source: PeerSource) -> &'static str {
    match source {
        PeerSource::User => "user",
        PeerSource::Tracker => "tracker",
        PeerSource::Peer => "peer",
        PeerSource::Lsd => "lsd",
        PeerSource::Dht => "dht",
        PeerSource::Pex => "pex",
        PeerSource::Earlier => "earlier",
        PeerSource::Link => "link",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap as Map;
    use alloc::vec;
    use wire::Request;

    const PEER: PeerKey = PeerKey(3);

    fn watch() -> Watch {
        let (info_hash, peer_id) = (InfoHashV1([1; 20]), PeerId::ours([7; 12]));
        let mut watch = Watch::new(Ours { info_hash, peer_id, reserved: Reserved::NONE.with_extended() });
        assert_eq!(tell(&mut watch, 0, &connected(PEER)).len(), 3);
        watch
    }

    fn connected(peer: PeerKey) -> Input<'static> {
        let (addr, peer_id) = ("10.0.0.7:6881".parse().unwrap(), PeerId(*b"-TR4050-abcdefghijkl"));
        Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: Reserved::NONE.with_fast() }
    }

    fn tell(watch: &mut Watch, millis: u64, input: &Input<'_>) -> Vec<EventKind> {
        let mut heard = vec![];
        watch.told(Time::from_millis(millis), input, &mut |kind| heard.push(kind));
        heard
    }

    fn act(watch: &mut Watch, millis: u64, output: &Output) -> Vec<EventKind> {
        let mut heard = vec![];
        watch.did(Time::from_millis(millis), output, |_| None, &mut |kind| heard.push(kind));
        heard
    }

    fn block(piece: u32, offset: u32) -> BlockRange {
        BlockRange { piece: PieceIndex::new(piece), offset, len: 16384 }
    }

    #[test]
    fn answers_are_timed_and_pieces_have_senders() {
        let mut watch = watch();
        let asked = act(&mut watch, 10, &Output::Request { peer: PEER, block: block(1, 0) });
        assert_eq!(asked[0].to_string(), "request piece 1, 16384 bytes at 0");
        act(&mut watch, 10, &Output::Request { peer: PEER, block: block(1, 16384) });
        let came = tell(&mut watch, 52, &Input::BlockReceived { peer: PEER, block: block(1, 0) });
        assert!(matches!(came[0], EventKind::Message { took: Some(took), .. } if took.as_millis() == 42));
        let refused = Message::Reject(Request::from(block(1, 16384)));
        let refused = tell(&mut watch, 60, &Input::Message { peer: PEER, message: refused });
        assert!(matches!(refused[0], EventKind::Message { took: Some(took), .. } if took.as_millis() == 50));
        let verified = Input::PieceVerified { piece: PieceIndex::new(1), digests: &[] };
        let [EventKind::PieceVerified { piece: 1, from }] = &tell(&mut watch, 61, &verified)[..] else {
            panic!("not verified")
        };
        assert_eq!(from[..], [watch.peer(PEER)]);
    }

    #[test]
    fn to_who_has_hung_up_nothing_is_said() {
        let mut watch = watch();
        let say = || Output::Send { peer: PEER, message: Message::Interested };
        assert_eq!(act(&mut watch, 1, &say()).len(), 1);
        assert_eq!(tell(&mut watch, 2, &Input::PeerClosed { peer: PEER }).len(), 1);
        for output in [
            say(),
            Output::Request { peer: PEER, block: block(1, 0) },
            Output::Cancel { peer: PEER, block: block(1, 0) },
            Output::ServeMetadata { peer: PEER, id: 9, piece: 1, total_size: 20_000 },
        ] {
            assert_eq!(act(&mut watch, 3, &output), []);
        }
    }

    #[test]
    fn extensions_have_the_names_that_their_receiver_gave() {
        let mut watch = watch();
        let m = |name: &str, id| Map::from([(String::from(name), id)]);
        let hello = |m| {
            let payload = ext::Handshake { m, ..ext::Handshake::default() }.encode().into();
            Message::Extended { id: 0, payload }
        };
        let request =
            |id| Message::Extended { id, payload: ext::Metadata::Request { piece: 5 }.encode().into() };
        let name = |events: Vec<EventKind>| match &events[0] {
            EventKind::Message { said, .. } => said.name(),
            other => panic!("{other:?}"),
        };
        act(&mut watch, 0, &Output::Send { peer: PEER, message: hello(m(ext::UT_METADATA, 2)) });
        tell(&mut watch, 0, &Input::Message { peer: PEER, message: hello(m(ext::UT_METADATA, 9)) });
        assert_eq!(
            name(tell(&mut watch, 0, &Input::Message { peer: PEER, message: request(2) })),
            "metadata"
        );
        assert_eq!(name(act(&mut watch, 0, &Output::Send { peer: PEER, message: request(9) })), "metadata");
        assert_eq!(name(act(&mut watch, 0, &Output::Send { peer: PEER, message: request(2) })), "extended");
        let served = Output::ServeMetadata { peer: PEER, id: 9, piece: 1, total_size: 20_000 };
        let [EventKind::Message { said, .. }] = &act(&mut watch, 0, &served)[..] else {
            panic!("not served")
        };
        let data = vec![0; 20_000 - 16_384].into();
        let payload = ext::Metadata::Data { piece: 1, total_size: 20_000, data }.encode().into();
        assert_eq!(said.to_wire(), Message::Extended { id: 9, payload });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut watch = watch();
        for piece in 0..u32::try_from(MAX_ASKED.max(MAX_PIECES)).unwrap() + 10 {
            act(&mut watch, 0, &Output::Request { peer: PEER, block: block(piece, 0) });
        }
        assert_eq!(watch.peers[&PEER].asked.len(), MAX_ASKED);
        for piece in 0..u32::try_from(MAX_PIECES).unwrap() + 10 {
            tell(&mut watch, 1, &Input::BlockReceived { peer: PEER, block: block(piece, 0) });
        }
        assert_eq!(watch.senders.len(), MAX_PIECES);
        for key in 10..10 + MAX_SENDERS as u64 + 10 {
            tell(&mut watch, 1, &connected(PeerKey(key)));
            tell(&mut watch, 1, &Input::BlockReceived { peer: PeerKey(key), block: block(0, 0) });
        }
        assert_eq!(watch.senders[&PieceIndex::new(0)].len(), MAX_SENDERS);
    }

    #[test]
    fn who_spoiled_a_piece_is_told_and_why_somebody_is_banned() {
        let mut watch = watch();
        tell(&mut watch, 1, &Input::BlockReceived { peer: PEER, block: block(2, 0) });
        let failed = Input::PieceFailed { piece: PieceIndex::new(2), from_disk: false, digests: &[] };
        let from = vec![watch.peer(PEER)];
        assert_eq!(tell(&mut watch, 2, &failed), [EventKind::PieceFailed { piece: 2, from }]);
        let again = tell(&mut watch, 3, &failed);
        assert_eq!(again, [EventKind::PieceFailed { piece: 2, from: vec![] }], "it was told");
        let lost = Input::PieceLost { piece: PieceIndex::new(2) };
        assert_eq!(tell(&mut watch, 4, &lost), [EventKind::PieceLost { piece: 2 }]);
        let addr: SocketAddr = "10.0.0.7:6881".parse().unwrap();
        let piece = PieceIndex::new(2);
        for (reason, evidence) in [
            (BanReason::SpoiledPiece(piece), Evidence { piece: Some(2), block: None }),
            (BanReason::WrongBlock { piece, block: 3 }, Evidence { piece: Some(2), block: Some(3) }),
            (BanReason::TwoVersions { piece, block: 3 }, Evidence { piece: Some(2), block: Some(3) }),
            (BanReason::WrongMetadata, Evidence::default()),
        ] {
            let told = EventKind::Banned { peer: watch.peer(PEER), reason: reason.to_string(), evidence };
            assert_eq!(act(&mut watch, 5, &Output::Banned { addr, reason }), [told]);
        }
    }

    #[test]
    fn who_is_banned_has_the_number_that_it_had() {
        let mut watch = watch();
        let banned = |watch: &mut Watch, addr: &str| {
            let (addr, reason) = (addr.parse().unwrap(), BanReason::WrongMetadata);
            let [EventKind::Banned { peer, .. }] = act(watch, 5, &Output::Banned { addr, reason })[..] else {
                panic!("not told")
            };
            assert_eq!(peer.addr, Some(addr));
            peer.number
        };
        tell(&mut watch, 1, &connected(PeerKey(4)));
        let reason = swarm::DisconnectReason::Banned;
        act(&mut watch, 2, &Output::Disconnect { peer: PEER, reason });
        assert_eq!(banned(&mut watch, "10.0.0.7:6881"), Some(3), "who was hung up on for it");
        assert_eq!(banned(&mut watch, "10.0.0.7:5"), Some(3), "the same host");
        assert_eq!(banned(&mut watch, "10.0.0.8:6881"), None);
        let many = 100..100 + MAX_GONE as u64;
        for key in many.map(PeerKey) {
            let addr = "10.0.0.9:6881".parse().unwrap();
            watch.peers.insert(key, Known::at(addr));
            tell(&mut watch, 3, &Input::PeerClosed { peer: key });
        }
        assert_eq!((watch.gone.len(), banned(&mut watch, "10.0.0.7:6881")), (MAX_GONE, Some(4)));
    }

    #[test]
    fn who_joins_late_knows_what_was_agreed() {
        let greeting = || Greeting {
            peer: PEER,
            addr: "10.0.0.7:6881".parse().unwrap(),
            outgoing: false,
            is_web_seed: false,
            peer_id: PeerId(*b"-TR4050-abcdefghijkl"),
            reserved: Reserved::NONE.with_fast(),
            client: None,
            to_us: vec![(ext::LT_DONTHAVE, 7)],
            to_it: vec![(ext::LT_DONTHAVE, 9)],
        };
        let ours =
            Ours { info_hash: InfoHashV1([1; 20]), peer_id: PeerId([2; 20]), reserved: Reserved::NONE };
        let mut watch = Watch::new(ours);
        let web_seed = || Greeting { peer: PeerKey(8), is_web_seed: true, ..greeting() };
        watch.join([greeting(), web_seed()].into_iter());
        let dont_have = |id| Message::Extended { id, payload: ext::DontHave(5).encode().to_vec().into() };
        let line = |events: Vec<EventKind>| events[0].to_string();
        let heard = tell(&mut watch, 0, &Input::Message { peer: PEER, message: dont_have(7) });
        assert_eq!(line(heard), "don't have piece 5");
        let said = act(&mut watch, 0, &Output::Send { peer: PEER, message: dont_have(9) });
        assert_eq!(line(said), "don't have piece 5");
        assert_eq!(tell(&mut watch, 0, &Input::PeerClosed { peer: PeerKey(8) }), [], "no connection");

        let mut present = vec![];
        let named = Greeting { client: Some("x 1.0"), ..greeting() };
        watch.present([greeting(), named, web_seed()].into_iter(), &mut |kind| present.push(kind));
        let lines: Vec<_> = present.iter().map(ToString::to_string).collect();
        let id = "(-TR4050-abcdefghijkl), can do: fast";
        assert_eq!(
            lines,
            [
                alloc::format!("is connected already, it called: Transmission 4.0.5 {id}"),
                alloc::format!("is connected already, it called: x 1.0 {id}"),
            ]
        );
    }

    #[test]
    fn after_its_end_a_connection_says_nothing_more() {
        let mut watch = watch();
        tell(&mut watch, 1, &Input::PeerClosed { peer: PEER });
        let block = block(1, 0);
        for late in [
            Input::Message { peer: PEER, message: Message::Interested },
            Input::BlockRefused { peer: PEER, block },
            Input::Unrequested { peer: PEER, block },
            Input::BlockSent { peer: PEER, block },
            Input::BlockReceived { peer: PEER, block },
        ] {
            assert_eq!(tell(&mut watch, 2, &late), [], "{late:?}");
        }
        // It counts nevertheless.
        let verified = Input::PieceVerified { piece: PieceIndex::new(1), digests: &[] };
        let addr = Some("10.0.0.7:6881".parse().unwrap());
        let from = vec![Peer { number: Some(3), addr }];
        assert_eq!(tell(&mut watch, 3, &verified), [EventKind::PieceVerified { piece: 1, from }]);
    }

    #[test]
    fn what_crossed_its_cancel_was_asked_for() {
        let mut watch = watch();
        let cancelled = |watch: &mut Watch, block| {
            let [EventKind::Unrequested { cancelled, .. }] =
                tell(watch, 3, &Input::Unrequested { peer: PEER, block })[..]
            else {
                panic!("not told")
            };
            cancelled
        };
        act(&mut watch, 1, &Output::Request { peer: PEER, block: block(1, 0) });
        act(&mut watch, 2, &Output::Cancel { peer: PEER, block: block(1, 0) });
        assert!(watch.peers[&PEER].asked.is_empty(), "there is room for others");
        assert!(cancelled(&mut watch, block(1, 0)));
        assert!(!cancelled(&mut watch, block(1, 0)), "it comes twice");
        // Of a peer that chokes us without BEP 6, requests end by themselves.
        act(&mut watch, 1, &Output::Request { peer: PEER, block: block(2, 0) });
        assert!(cancelled(&mut watch, block(2, 0)) && !cancelled(&mut watch, block(3, 0)));
        for piece in 0..=u32::try_from(MAX_CANCELLED).unwrap() {
            act(&mut watch, 2, &Output::Cancel { peer: PEER, block: block(piece, 0) });
        }
        assert_eq!(watch.peers[&PEER].cancelled.len(), MAX_CANCELLED);
        assert!(!cancelled(&mut watch, block(0, 0)), "the first one is forgotten");
    }

    #[test]
    fn chokes_and_interests_have_a_reason() {
        let view = || PeerView {
            peer: PEER,
            addr: "10.0.0.7:6881".parse().unwrap(),
            outgoing: true,
            peer_id: PeerId(*b"-TR4050-abcdefghijkl"),
            client: None,
            am_choking: false,
            am_interested: true,
            peer_choking: false,
            peer_interested: true,
            snubbed: false,
            on_parole: false,
            pieces: 1,
            is_seed: false,
            rate_down: 0,
            rate_up: 0,
            downloaded: 0,
            uploaded: 0,
            requests_out: 0,
            window: 1,
            requests_in: 0,
        };
        let giving = || PeerView { rate_down: 1, ..view() };
        for (message, view, because) in [
            (Message::Choke, PeerView { peer_interested: false, ..view() }, "wants nothing of us"),
            (Message::Choke, view(), "gives us nothing"),
            (Message::Choke, giving(), "others give or take more"),
            (Message::Unchoke, giving(), "gives us blocks"),
            (Message::Unchoke, view(), "nothing has come from it"),
            (Message::Interested, view(), "a piece that we want"),
            (Message::NotInterested, view(), "nothing that we want"),
        ] {
            let mut heard = vec![];
            let output = Output::Send { peer: PEER, message };
            watch().did(Time::from_millis(1), &output, |_| Some(view), &mut |kind| heard.push(kind));
            let [EventKind::Message { reason: Some(reason), direction: Direction::Out, .. }] = &heard[..]
            else {
                panic!("{heard:?}")
            };
            assert!(reason.contains(because), "{reason}");
        }
        let have = Output::Send { peer: PEER, message: Message::HaveNone };
        assert!(matches!(act(&mut watch(), 1, &have)[..], [EventKind::Message { reason: None, .. }]));
    }

    #[test]
    fn an_end_is_told_once() {
        let mut watch = watch();
        let reason = swarm::DisconnectReason::Idle;
        assert_eq!(act(&mut watch, 1, &Output::Disconnect { peer: PEER, reason }).len(), 1);
        assert!(tell(&mut watch, 1, &Input::PeerClosed { peer: PEER }).is_empty());
    }
}
