//! From what a swarm is told and does to events.

use crate::limits::{MAX_ASKED, MAX_PIECES, MAX_SENDERS};
use crate::{Direction, EventKind, Evidence, Peer, Said};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use swarm::{BanReason, Input, Output, PeerKey, PeerSource, PeerView};
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
}

#[derive(Debug)]
struct Known {
    addr: SocketAddr,
    /// What messages to us carry, by our own word.
    to_us: BTreeMap<u8, String>,
    /// What messages to it carry.
    to_it: BTreeMap<u8, String>,
    asked: BTreeMap<(PieceIndex, u32), Time>,
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
            is_web_seed: false,
        }
    }
}

/// What hears.
type Hear<'a> = &'a mut dyn FnMut(EventKind);

impl Watch {
    /// Watches a swarm that has no connections.
    pub fn new(ours: Ours) -> Watch {
        Watch { ours, peers: BTreeMap::new(), senders: BTreeMap::new() }
    }

    /// Who is connected already, if the swarm is watched from now on only. What was said before is not known: messages of
    /// extensions are told by their numbers.
    pub fn join<'a>(&mut self, present: impl Iterator<Item = PeerView<'a>>) {
        self.peers.extend(present.map(|view| (view.peer, Known::at(view.addr))));
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
                hear(EventKind::Unrequested { peer: self.peer(peer), piece, offset, bytes: block.len });
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
                hear(EventKind::Banned { peer: addr.into(), reason: reason.to_string(), evidence });
            }
            // What was sent is told when it was; dials are the driver's.
            Output::Connect { .. }
            | Output::Release { .. }
            | Output::Serve { .. }
            | Output::DropServes { .. } => {}
        }
    }

    /// A connection ended, and the driver knows why. Told once for each.
    pub fn closed(&mut self, peer: PeerKey, reason: impl FnOnce() -> String, hear: Hear<'_>) {
        let known = self.peer(peer);
        if self.peers.remove(&peer).is_some_and(|known| !known.is_web_seed) {
            hear(EventKind::Disconnected { peer: known, reason: reason() });
        }
    }

    /// Who that is.
    pub fn peer(&self, peer: PeerKey) -> Peer {
        Peer { number: Some(peer.0), addr: self.peers.get(&peer).map(|known| known.addr) }
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
            let told = EventKind::Banned { peer: addr.into(), reason: reason.to_string(), evidence };
            assert_eq!(act(&mut watch, 5, &Output::Banned { addr, reason }), [told]);
        }
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
