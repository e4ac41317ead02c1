//! What a recording is made of: [`Input`](swarm::Input) and what else a swarm is told, in a form that can be written.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};
use swarm::{Config, Input, Limits, Order, PeerKey, PeerSource, Priority};
use types::{BlockDigest, BlockRange, InfoHash, InfoHashV1, InfoHashV2, Lengths, PeerId, PieceIndex, Time};
use wire::{MAX_BLOCK_LEN, Message, Reserved};

/// One record. Times are in nanoseconds since the record before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Frame<'a> {
    /// The program, and whatever else it says of itself: the first record.
    By(String),
    /// A swarm begins ([`swarm::Swarm::new`]). If there is one already, that waits to be taken over.
    Begin {
        at: u64,
        config: Settings,
        total: u64,
        piece_length: u32,
        #[serde(borrow)]
        have: Cow<'a, [u8]>,
        seed: u64,
    },
    /// One of which only the info-hash is known ([`swarm::Swarm::of_unknown`]).
    BeginUnknown {
        at: u64,
        config: Settings,
        info_hash: Name,
        wants_content: bool,
        seed: u64,
    },
    /// The swarm takes over what the one before it has ([`swarm::Swarm::take_over`]).
    TakeOver {
        after: u64,
    },
    Told {
        after: u64,
        #[serde(borrow)]
        what: Told<'a>,
    },
    Timeout {
        after: u64,
    },
    /// So many outputs were taken; the checksum is of all since the recording began.
    Did {
        count: u32,
        digest: u64,
    },
    /// The recording is whole.
    End,
    /// The recording ends here, though the swarm went on: what came after could not be written.
    BrokenOff,
}

/// A torrent's info-hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Name {
    V1([u8; 20]),
    V2([u8; 32]),
    Hybrid([u8; 20], [u8; 32]),
}

/// [`Config`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) peer_id: [u8; 20],
    pub(crate) info_hash: [u8; 20],
    client: String,
    listen_ports: [u16; 2],
    dht_ports: [u16; 2],
    max_half_open: u32,
    limits: Allowed,
    pub(crate) external: Vec<IpAddr>,
    reqq: u32,
    max_requests: u32,
    metadata_size: Option<u32>,
    private: bool,
    pex: bool,
    super_seed: bool,
    dial: bool,
    buggify: bool,
}

/// [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allowed {
    up: Option<u64>,
    down: Option<u64>,
    upload_slots: u32,
    max_peers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    piece: u32,
    offset: u32,
    len: u32,
}

/// [`Input`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Told<'a> {
    Connected {
        peer: u64,
        addr: SocketAddr,
        outgoing: bool,
        peer_id: [u8; 20],
        reserved: [u8; 8],
    },
    WebSeed {
        peer: u64,
        addr: SocketAddr,
        #[serde(borrow)]
        pieces: Cow<'a, [u8]>,
        count: u32,
    },
    Message {
        peer: u64,
        #[serde(borrow)]
        bytes: Cow<'a, [u8]>,
    },
    Received {
        peer: u64,
        block: Block,
    },
    Refused {
        peer: u64,
        block: Block,
    },
    Unrequested {
        peer: u64,
        block: Block,
    },
    Closed {
        peer: u64,
    },
    ConnectFailed {
        addr: SocketAddr,
    },
    Found {
        addrs: Vec<SocketAddr>,
        source: u8,
    },
    External {
        voice: u64,
        ip: IpAddr,
    },
    Verified {
        piece: u32,
        digests: Vec<[u8; 16]>,
    },
    Lost {
        piece: u32,
    },
    Failed {
        piece: u32,
        from_disk: bool,
        digests: Vec<Option<[u8; 16]>>,
    },
    Sent {
        peer: u64,
        block: Block,
    },
    ServeFailed {
        peer: u64,
        block: Block,
    },
    Priorities(#[serde(borrow)] Cow<'a, [u8]>),
    Deadline {
        piece: u32,
        at: Option<u64>,
    },
    Sequential(bool),
    Partial {
        piece: u32,
        blocks: Vec<u32>,
    },
    SuperSeed(bool),
    Limits(Allowed),
    Pause,
    Resume,
    Forgotten {
        piece: u32,
        blocks: Vec<u32>,
    },
}

/// In the order of their numbers here.
const SOURCES: [PeerSource; 8] = [
    PeerSource::User,
    PeerSource::Tracker,
    PeerSource::Peer,
    PeerSource::Lsd,
    PeerSource::Dht,
    PeerSource::Pex,
    PeerSource::Earlier,
    PeerSource::Link,
];
const PRIORITIES: [Priority; 4] = [Priority::Skip, Priority::Low, Priority::Normal, Priority::High];

fn source_number(source: PeerSource) -> u8 {
    match source {
        PeerSource::User => 0,
        PeerSource::Tracker => 1,
        PeerSource::Peer => 2,
        PeerSource::Lsd => 3,
        PeerSource::Dht => 4,
        PeerSource::Pex => 5,
        PeerSource::Earlier => 6,
        PeerSource::Link => 7,
    }
}

fn priority_number(priority: Priority) -> u8 {
    match priority {
        Priority::Skip => 0,
        Priority::Low => 1,
        Priority::Normal => 2,
        Priority::High => 3,
    }
}

impl From<BlockRange> for Block {
    fn from(block: BlockRange) -> Block {
        Block { piece: block.piece.get(), offset: block.offset, len: block.len }
    }
}

impl Block {
    /// `None` if the torrent does not have it.
    fn read(self, lengths: &Lengths) -> Option<BlockRange> {
        lengths.block_range(self.piece, self.offset, self.len)
    }

    /// Of one that was not asked for, which the torrent need not have: `None` if no message can hold it.
    fn read_unasked(self) -> Option<BlockRange> {
        let Block { piece, offset, len } = self;
        (len <= MAX_BLOCK_LEN).then_some(BlockRange { piece: PieceIndex::new(piece), offset, len })
    }
}

impl From<InfoHash> for Name {
    fn from(info_hash: InfoHash) -> Name {
        match info_hash {
            InfoHash::V1(v1) => Name::V1(v1.0),
            InfoHash::V2(v2) => Name::V2(v2.0),
            InfoHash::Hybrid(v1, v2) => Name::Hybrid(v1.0, v2.0),
        }
    }
}

impl From<Name> for InfoHash {
    fn from(name: Name) -> InfoHash {
        match name {
            Name::V1(v1) => InfoHash::V1(InfoHashV1(v1)),
            Name::V2(v2) => InfoHash::V2(InfoHashV2(v2)),
            Name::Hybrid(v1, v2) => InfoHash::Hybrid(InfoHashV1(v1), InfoHashV2(v2)),
        }
    }
}

impl From<Limits> for Allowed {
    fn from(limits: Limits) -> Allowed {
        let Limits { up, down, upload_slots, max_peers } = limits;
        Allowed { up, down, upload_slots: small(upload_slots), max_peers: small(max_peers) }
    }
}

impl Allowed {
    /// `None` if it is more than anybody allows.
    fn read(self) -> Option<Limits> {
        let Allowed { up, down, upload_slots, max_peers } = self;
        Some(Limits { up, down, upload_slots: large(upload_slots)?, max_peers: large(max_peers)? })
    }
}

/// What is without a bound is written as the most that can be read.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).min(crate::limits::MAX_ALLOWED)
}

fn large(number: u32) -> Option<usize> {
    usize::try_from(number).ok().filter(|_| number <= crate::limits::MAX_ALLOWED)
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Settings {
        Settings {
            peer_id: config.peer_id.0,
            info_hash: config.info_hash.0,
            client: config.client.clone(),
            listen_ports: config.listen_ports,
            dht_ports: config.dht_ports,
            max_half_open: small(config.max_half_open),
            limits: config.limits().into(),
            external: config.external.clone(),
            reqq: config.reqq,
            max_requests: small(config.max_requests),
            metadata_size: config.metadata_size,
            private: config.private,
            pex: config.pex,
            super_seed: config.super_seed,
            dial: config.dial,
            buggify: config.buggify,
        }
    }
}

impl Settings {
    /// `None` if a number is more than anybody allows.
    #[allow(clippy::needless_update, reason = "where faults can be planted there is one more field")]
    pub(crate) fn read(self) -> Option<Config> {
        let Limits { up, down, upload_slots, max_peers } = self.limits.read()?;
        Some(Config {
            peer_id: PeerId(self.peer_id),
            info_hash: InfoHashV1(self.info_hash),
            client: self.client,
            listen_ports: self.listen_ports,
            dht_ports: self.dht_ports,
            max_peers,
            max_half_open: large(self.max_half_open)?,
            upload_slots,
            max_down: down,
            external: self.external,
            max_up: up,
            reqq: self.reqq.min(crate::limits::MAX_ALLOWED),
            max_requests: large(self.max_requests)?,
            metadata_size: self.metadata_size,
            private: self.private,
            pex: self.pex,
            super_seed: self.super_seed,
            dial: self.dial,
            buggify: self.buggify,
            ..Config::default()
        })
    }
}

impl<'a> Told<'a> {
    pub(crate) fn of(input: &Input<'a>) -> Told<'a> {
        match *input {
            Input::PeerConnected { peer, addr, outgoing, peer_id, reserved } => {
                Told::Connected { peer: peer.0, addr, outgoing, peer_id: peer_id.0, reserved: reserved.0 }
            }
            Input::WebSeedReady { peer, addr, pieces } => {
                Told::WebSeed { peer: peer.0, addr, pieces: pieces.as_bytes().into(), count: pieces.len() }
            }
            Input::Message { peer, ref message } => {
                let mut bytes = Vec::with_capacity(message.encoded_len());
                message.encode(&mut bytes);
                Told::Message { peer: peer.0, bytes: bytes.into() }
            }
            Input::BlockReceived { peer, block } => Told::Received { peer: peer.0, block: block.into() },
            Input::BlockRefused { peer, block } => Told::Refused { peer: peer.0, block: block.into() },
            Input::Unrequested { peer, block } => Told::Unrequested { peer: peer.0, block: block.into() },
            Input::PeerClosed { peer } => Told::Closed { peer: peer.0 },
            Input::ConnectFailed { addr } => Told::ConnectFailed { addr },
            Input::PeersFound { addrs, source } => {
                Told::Found { addrs: addrs.into(), source: source_number(source) }
            }
            Input::ExternalAddress { voice, ip } => Told::External { voice, ip },
            Input::PieceVerified { piece, digests } => {
                let digests = digests.iter().map(|digest| digest.0).collect();
                Told::Verified { piece: piece.get(), digests }
            }
            Input::PieceLost { piece } => Told::Lost { piece: piece.get() },
            Input::PieceFailed { piece, from_disk, digests } => {
                let digests = digests.iter().map(|digest| digest.map(|digest| digest.0)).collect();
                Told::Failed { piece: piece.get(), from_disk, digests }
            }
            Input::BlocksForgotten { piece, blocks } => {
                Told::Forgotten { piece: piece.get(), blocks: blocks.into() }
            }
            Input::BlockSent { peer, block } => Told::Sent { peer: peer.0, block: block.into() },
            Input::ServeFailed { peer, block } => Told::ServeFailed { peer: peer.0, block: block.into() },
            Input::SetPriorities(priorities) => {
                Told::Priorities(priorities.iter().copied().map(priority_number).collect())
            }
            Input::SetDeadline { piece, at } => {
                Told::Deadline { piece: piece.get(), at: at.map(Time::as_nanos) }
            }
            Input::SetOrder(order) => Told::Sequential(order == Order::Sequential),
            Input::SetPartial { piece, blocks } => {
                Told::Partial { piece: piece.get(), blocks: blocks.into() }
            }
            Input::SetSuperSeed(on) => Told::SuperSeed(on),
            Input::SetLimits(limits) => Told::Limits(limits.into()),
            Input::Pause => Told::Pause,
            Input::Resume => Told::Resume,
        }
    }

    /// Hands on what was told; `None` if it can't be told to any swarm. `lengths`: the torrent's.
    pub(crate) fn tell<T>(&self, lengths: &Lengths, to: impl FnOnce(Input<'_>) -> T) -> Option<T> {
        let input = match *self {
            Told::Connected { peer, addr, outgoing, peer_id, reserved } => Input::PeerConnected {
                peer: PeerKey(peer),
                addr,
                outgoing,
                peer_id: PeerId(peer_id),
                reserved: Reserved(reserved),
            },
            Told::WebSeed { peer, addr, ref pieces, count } => {
                let pieces = types::Bitfield::from_wire(pieces, count)?;
                return Some(to(Input::WebSeedReady { peer: PeerKey(peer), addr, pieces: &pieces }));
            }
            Told::Message { peer, ref bytes } => {
                Input::Message { peer: PeerKey(peer), message: message(bytes, lengths.piece_count())? }
            }
            Told::Received { peer, block } => {
                Input::BlockReceived { peer: PeerKey(peer), block: block.read(lengths)? }
            }
            Told::Refused { peer, block } => {
                Input::BlockRefused { peer: PeerKey(peer), block: block.read(lengths)? }
            }
            Told::Unrequested { peer, block } => {
                Input::Unrequested { peer: PeerKey(peer), block: block.read_unasked()? }
            }
            Told::Closed { peer } => Input::PeerClosed { peer: PeerKey(peer) },
            Told::ConnectFailed { addr } => Input::ConnectFailed { addr },
            Told::Found { ref addrs, source } => {
                Input::PeersFound { addrs, source: *SOURCES.get(usize::from(source))? }
            }
            Told::External { voice, ip } => Input::ExternalAddress { voice, ip },
            Told::Verified { piece, ref digests } => {
                let digests: Vec<_> = digests.iter().copied().map(BlockDigest).collect();
                return Some(to(Input::PieceVerified { piece: lengths.piece(piece)?, digests: &digests }));
            }
            Told::Lost { piece } => Input::PieceLost { piece: lengths.piece(piece)? },
            Told::Failed { piece, from_disk, ref digests } => {
                let digests: Vec<_> = digests.iter().map(|digest| digest.map(BlockDigest)).collect();
                let piece = lengths.piece(piece)?;
                return Some(to(Input::PieceFailed { piece, from_disk, digests: &digests }));
            }
            Told::Sent { peer, block } => {
                Input::BlockSent { peer: PeerKey(peer), block: block.read(lengths)? }
            }
            Told::ServeFailed { peer, block } => {
                Input::ServeFailed { peer: PeerKey(peer), block: block.read(lengths)? }
            }
            Told::Priorities(ref numbers) => {
                let of = |&number| PRIORITIES.get(usize::from(number)).copied();
                let priorities: Vec<_> = numbers.iter().map(of).collect::<Option<_>>()?;
                return Some(to(Input::SetPriorities(&priorities)));
            }
            Told::Deadline { piece, at } => {
                Input::SetDeadline { piece: lengths.piece(piece)?, at: at.map(Time::from_nanos) }
            }
            Told::Sequential(on) => Input::SetOrder(if on { Order::Sequential } else { Order::RarestFirst }),
            Told::Forgotten { piece, ref blocks } => {
                Input::BlocksForgotten { piece: lengths.piece(piece)?, blocks }
            }
            Told::Partial { piece, ref blocks } => Input::SetPartial { piece: lengths.piece(piece)?, blocks },
            Told::SuperSeed(on) => Input::SetSuperSeed(on),
            Told::Limits(allowed) => Input::SetLimits(allowed.read()?),
            Told::Pause => Input::Pause,
            Told::Resume => Input::Resume,
        };
        Some(to(input))
    }
}

/// The message that `bytes` are, all of them.
pub(crate) fn message(bytes: &[u8], pieces: u32) -> Option<Message<'_>> {
    let mut limits = wire::Limits::for_pieces(pieces);
    // Bit fields of unknown torrents are of any length.
    limits.bitfield = wire::Limits::unknown_pieces().bitfield;
    match wire::decode(bytes, &limits).ok()? {
        wire::Decoded::Message { message, consumed } if consumed == bytes.len() => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_ALLOWED;

    #[test]
    fn numbers_are_places_in_the_lists() {
        assert!((0..).zip(SOURCES).all(|(at, source)| source_number(source) == at));
        assert!((0..).zip(PRIORITIES).all(|(at, priority)| priority_number(priority) == at));
    }

    #[test]
    fn what_was_not_asked_for_may_be_of_no_piece_and_is_no_longer_than_a_message() {
        let block = Block { piece: u32::MAX, offset: u32::MAX, len: MAX_BLOCK_LEN };
        assert_eq!(block.read_unasked().map(Block::from), Some(block));
        assert_eq!(Block { len: MAX_BLOCK_LEN + 1, ..block }.read_unasked(), None);
    }

    #[test]
    fn nobody_allows_more_than_can_be_held() {
        let most = usize::try_from(MAX_ALLOWED).unwrap();
        let limits = Limits { up: None, down: Some(1), upload_slots: most, max_peers: usize::MAX };
        let allowed = Allowed::from(limits);
        assert_eq!(allowed.read(), Some(Limits { max_peers: most, ..limits }));
        assert_eq!(Allowed { max_peers: MAX_ALLOWED + 1, ..allowed }.read(), None);
        let settings = Settings::from(&Config { max_half_open: usize::MAX, ..Config::default() });
        assert_eq!(settings.clone().read().map(|config| config.max_half_open), Some(most));
        assert!(Settings { max_half_open: MAX_ALLOWED + 1, ..settings }.read().is_none());
    }
}
