//! What the torrent is (BEP 9): fetched while only the info-hash is known, and served once it is there.
//!
//! A swarm that knows only the info-hash ([`Swarm::of_unknown`]) has one piece that nobody has. Connections are made and
//! kept as ever; what peers say about pieces is kept until it is known how many there are. Then the swarm of the whole
//! torrent takes the connections over ([`Swarm::take_over`]), and peers are asked for blocks at once.

use super::seeding::show_rest;
use super::{Swarm, send};
use crate::bucket::Bucket;
use crate::dial_guard::host;
use crate::limits::{
    MAX_ALLOWED_FAST, MAX_KEPT_BYTES, MAX_METADATA_COPIES, MAX_METADATA_QUEUE, METADATA_RATE,
};
use crate::line::cost;
use crate::metadata::{Came, Fetch};
use crate::peer::Peer;
use crate::pieces::{Pieces, ones_of};
use crate::{BanReason, Config, DisconnectReason, Output, PeerKey};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;
use core::ops::Bound::{Excluded, Unbounded};
use types::{Bitfield, InfoHash, Lengths, MAX_PIECES, Time};
use wire::Message;
use wire::ext::{self, METADATA_PIECE_LEN};

/// What is known, and asked for, while the metadata is not there.
#[derive(Debug)]
pub(super) struct Unknown {
    fetch: Fetch,
    kept: BTreeMap<PeerKey, Kept>,
    pub(super) kept_bytes: usize,
    /// Whether the torrent's content will be wanted: then peers that have some of it are told so at once.
    wants_content: bool,
    /// Once the hash was right, until it is taken.
    metadata: Option<Vec<u8>>,
    is_found: bool,
}

/// What one peer said about pieces.
#[derive(Debug, Default)]
struct Kept {
    pieces: KeptPieces,
    unchokes: bool,
    is_interested: bool,
    allowed_fast: Vec<u32>,
}

#[derive(Debug, Default)]
enum KeptPieces {
    /// It said nothing yet.
    #[default]
    Untold,
    None,
    All,
    /// A bit field, as on the wire: its length tells how many pieces there are.
    Bits(Vec<u8>),
    /// One by one, 64 pieces to a number, the first of them in the high bit: of what is not said nothing is kept.
    Singly(BTreeMap<u32, u64>),
}

/// What 64 pieces take that were said one by one.
const SINGLY_BYTES: usize = 16;

/// Metadata on its way to others.
#[derive(Debug)]
pub(super) struct Metadata {
    bucket: Bucket,
    /// Who had a turn last.
    last: Option<PeerKey>,
    /// Nobody waits for a turn unless this is set.
    pub(super) is_asked: bool,
    /// Somebody waits for a turn, which comes then.
    held: Option<Time>,
}

impl Unknown {
    pub(super) fn offered(&mut self, peer: PeerKey, addr: SocketAddr, len: u32, now: Time) {
        self.fetch.offered(peer, addr, len, now);
    }

    pub(super) fn is_source(&self, peer: PeerKey) -> bool {
        self.fetch.is_source(peer)
    }
}

impl Metadata {
    pub(super) fn new(max_up: Option<u64>, now: Time) -> Metadata {
        Metadata { bucket: Bucket::new(Some(rate(max_up)), now), last: None, is_asked: false, held: None }
    }

    pub(super) fn set_limit(&mut self, now: Time, max_up: Option<u64>) {
        self.bucket.set_rate(now, Some(rate(max_up)), 0);
    }
}

fn rate(max_up: Option<u64>) -> u64 {
    max_up.map_or(METADATA_RATE, |limit| limit.min(METADATA_RATE))
}

/// Before the metadata is there.
impl Swarm {
    /// The swarm of a torrent of which only the info-hash is known. It looks for the metadata, which
    /// [`take_metadata`](Self::take_metadata) gives. `wants_content`: whether the torrent's content will be wanted.
    pub fn of_unknown(
        config: Config,
        info_hash: InfoHash,
        wants_content: bool,
        seed: u64,
        now: Time,
    ) -> Swarm {
        let lengths = Lengths::new(1, 1).expect("a piece of one byte");
        let config = Config { metadata_size: None, super_seed: false, ..config };
        let mut swarm = Swarm::new(config, lengths, Bitfield::new(1), seed, now);
        swarm.unknown = Some(Unknown {
            fetch: Fetch::new(info_hash),
            kept: BTreeMap::new(),
            kept_bytes: 0,
            wants_content,
            metadata: None,
            is_found: false,
        });
        #[cfg(feature = "planted")]
        if let Some(unknown) = &mut swarm.unknown {
            unknown.fetch.plant(swarm.config.planted);
        }
        swarm
    }

    /// The info dictionary, once it was found; given once. Its hash is right; what is in it is not looked at here.
    pub fn take_metadata(&mut self) -> Option<Vec<u8>> {
        self.unknown.as_mut()?.metadata.take()
    }

    /// How many peers say that they have the metadata, and how many bytes of it have come; zeros once it is there.
    pub fn metadata_progress(&self) -> (usize, u64) {
        self.unknown.as_ref().map_or((0, 0), |unknown| (unknown.fetch.sources(), unknown.fetch.held()))
    }

    /// Keeps what a peer says about pieces; gives back what means the same without knowing them.
    pub(super) fn keep<'m>(&mut self, key: PeerKey, message: Message<'m>) -> Option<Message<'m>> {
        let unknown = self.unknown.as_mut()?;
        let kept = unknown.kept.entry(key).or_default();
        let before = kept.bytes();
        match message {
            Message::Bitfield(bytes) => kept.pieces = KeptPieces::Bits(bytes.into_owned()),
            Message::HaveAll => kept.pieces = KeptPieces::All,
            Message::HaveNone => kept.pieces = KeptPieces::None,
            Message::Have(index) if !kept.pieces.insert(index) => {
                self.disconnect(key, DisconnectReason::BadHave);
                return None;
            }
            Message::Have(_) => {}
            Message::Choke => kept.unchokes = false,
            Message::Unchoke => kept.unchokes = true,
            Message::Interested => kept.is_interested = true,
            Message::NotInterested => kept.is_interested = false,
            Message::AllowedFast(index) => {
                if kept.allowed_fast.len() < MAX_ALLOWED_FAST {
                    kept.allowed_fast.push(index);
                }
            }
            // A hint for later, of no great use.
            Message::Suggest(_) => {}
            other => return Some(other),
        }
        let (bytes, has_some) = (kept.bytes(), kept.pieces.has_some());
        unknown.kept_bytes = unknown.kept_bytes - before + bytes;
        if unknown.wants_content
            && has_some
            && let Some(peer) = self.peers.get_mut(&key)
            && !peer.am_interested
        {
            // Whatever it has is wanted: by the time it is known what it is, the peer may let us ask for it.
            peer.am_interested = true;
            send(&mut self.out, self.now, key, peer, Message::Interested);
        }
        while let Some(greatest) = self.greatest_if_too_much_is_kept() {
            self.disconnect(greatest, DisconnectReason::TooMuchToKeep);
        }
        None
    }

    /// If more is kept than may be: of the host of which most is, the connection of which most is. So one host keeps no
    /// other out.
    fn greatest_if_too_much_is_kept(&self) -> Option<PeerKey> {
        let unknown = self.unknown.as_ref().filter(|unknown| unknown.kept_bytes > MAX_KEPT_BYTES)?;
        let of = |key| self.peers.get(key).map(|peer| host(peer.addr.ip()).0);
        let mut by_host = BTreeMap::new();
        for (key, kept) in &unknown.kept {
            *by_host.entry(of(key)).or_insert(0) += kept.bytes();
        }
        let (most, _) = by_host.into_iter().max_by_key(|&(_, bytes)| bytes)?;
        let theirs = unknown.kept.iter().filter(|&(key, _)| of(key) == most);
        theirs.max_by_key(|(_, kept)| kept.bytes()).map(|(&key, _)| key)
    }

    pub(super) fn forget_kept(&mut self, key: PeerKey) {
        if let Some(unknown) = &mut self.unknown {
            unknown.fetch.gone(key);
            unknown.kept_bytes -= unknown.kept.remove(&key).map_or(0, |kept| kept.bytes());
        }
    }

    /// Asks whoever can be asked.
    pub(super) fn ask_for_metadata(&mut self) {
        let Some(unknown) = self.unknown.as_mut().filter(|unknown| !unknown.is_found) else { return };
        for (key, piece) in unknown.fetch.ask(self.now) {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let Some(id) = peer.metadata_id else { continue };
            let payload = ext::Metadata::Request { piece }.encode().into();
            send(&mut self.out, self.now, key, peer, Message::Extended { id, payload });
        }
    }

    pub(super) fn on_metadata(&mut self, key: PeerKey, payload: &[u8]) {
        match ext::Metadata::decode(payload) {
            Ok(Some(ext::Metadata::Request { piece })) => self.on_metadata_request(key, piece),
            Ok(Some(ext::Metadata::Data { piece, total_size, data })) => {
                self.on_metadata_piece(key, piece, total_size, &data);
            }
            Ok(Some(ext::Metadata::Reject { piece })) => {
                if let Some(unknown) = &mut self.unknown {
                    unknown.fetch.rejected(key, piece, self.now);
                }
            }
            Ok(None) => {}
            Err(_) => self.disconnect(key, DisconnectReason::BadMetadata),
        }
    }

    fn on_metadata_piece(&mut self, key: PeerKey, piece: u32, total_size: u32, data: &[u8]) {
        let Some(unknown) = self.unknown.as_mut().filter(|unknown| !unknown.is_found) else { return };
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.gave = self.now;
        }
        match unknown.fetch.came(key, piece, total_size, data, self.now) {
            Came::Taken | Came::Spoiled => {}
            Came::Contradiction => self.disconnect(key, DisconnectReason::BadMetadata),
            Came::Wrong(author) => self.ban_host(author, BanReason::SpoiledMetadata),
            Came::Right { metadata, liars } => {
                (unknown.metadata, unknown.is_found) = (Some(metadata), true);
                liars.into_iter().for_each(|liar| self.ban_host(liar, BanReason::WrongMetadata));
            }
        }
    }

    fn ban_host(&mut self, addr: SocketAddr, reason: BanReason) {
        let ban = self.trust.ban_host(addr, reason);
        self.carry_out(ban.into_iter().collect());
    }

    /// # Panics
    /// If a count is wrong or a limit is passed.
    pub(super) fn check_unknown(&self) {
        if let Some(unknown) = &self.unknown {
            unknown.fetch.check();
            assert_eq!(unknown.kept_bytes, unknown.kept.values().map(Kept::bytes).sum::<usize>());
            assert!(unknown.kept_bytes <= MAX_KEPT_BYTES);
            assert!(unknown.kept.keys().all(|key| self.peers.contains_key(key)));
        }
    }
}

/// The metadata is there.
impl Swarm {
    /// Takes over the connections, addresses and bans of the same torrent's swarm that knew only the info-hash. To be
    /// called before any peer, after everything else that an owner tells at the beginning.
    ///
    /// Of a private torrent (BEP 27) nobody is taken over, and the owner hangs up on all: who was met may have been found
    /// elsewhere than at its trackers.
    pub fn take_over(&mut self, now: Time, mut before: Swarm) {
        self.now = self.now.max(now).max(before.now);
        let Some(unknown) = before.unknown.take().filter(|_| !self.config.private) else { return };
        self.out.extend(mem::take(&mut before.out));
        (self.book, self.trust, self.external) = (before.book, before.trust, before.external);
        self.next_need = before.next_need;
        self.down.take_over(&before.down);
        self.up.take_over(&before.up);
        let mut kept = unknown.kept;
        for (key, peer) in before.peers {
            self.adopt(key, peer, kept.remove(&key).unwrap_or_default());
        }
        self.note_peers_changed();
        self.settle();
    }

    fn adopt(&mut self, key: PeerKey, mut peer: Peer, kept: Kept) {
        peer.pieces = Pieces::none(self.lengths.piece_count());
        self.picker.peer_came(&peer.pieces);
        self.note_came(&mut peer);
        let nothing = Bitfield::new(self.lengths.piece_count());
        if self.super_seed.is_none() {
            // It was told that we have nothing.
            show_rest(&mut self.out, self.now, key, &mut peer, self.picker.have(), &nothing);
        }
        if peer.extended {
            self.send_extension_handshake(key, &mut peer);
        }
        self.send_dht_port(key, &mut peer);
        self.wake_by(peer.keepalive_at());
        self.peers.insert(key, peer);
        match kept.pieces.known(self.lengths.piece_count()) {
            Ok(Some(pieces)) => self.on_pieces(key, pieces),
            Ok(None) => self.replace_pieces(key, Pieces::none(self.lengths.piece_count())),
            Err(reason) => return self.disconnect(key, reason),
        }
        kept.allowed_fast.into_iter().for_each(|index| self.on_allowed_fast(key, index));
        if kept.unchokes {
            self.on_unchoke(key);
        }
        if kept.is_interested {
            self.on_interested(key);
        }
    }

    fn on_metadata_request(&mut self, key: PeerKey, piece: u32) {
        let pieces = self.config.metadata_size.map_or(0, |size| size.div_ceil(METADATA_PIECE_LEN));
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let Some(id) = peer.metadata_id else { return };
        let had_enough = peer.metadata_asked >= pieces.saturating_mul(MAX_METADATA_COPIES);
        if piece < pieces && !had_enough && peer.metadata_queue.len() < MAX_METADATA_QUEUE {
            peer.metadata_asked += 1;
            peer.metadata_queue.push_back(piece);
            self.metadata.is_asked = true;
        } else {
            let payload = ext::Metadata::Reject { piece }.encode().into();
            send(&mut self.out, self.now, key, peer, Message::Extended { id, payload });
        }
    }

    /// Sends what was asked for, in turns, as fast as it may.
    pub(super) fn serve_metadata(&mut self) {
        // No need to look at everybody for each block.
        let Some(total_size) = self.config.metadata_size.filter(|_| self.metadata.is_asked) else { return };
        self.metadata.held = None;
        while let Some(key) = self.next_metadata_turn() {
            self.metadata.held = self.metadata.bucket.wait(self.now, 0);
            if self.metadata.held.is_some() {
                return;
            }
            let Some(peer) = self.peers.get_mut(&key) else { return };
            self.metadata.last = Some(key);
            if let (Some(piece), Some(id)) = (peer.metadata_queue.pop_front(), peer.metadata_id) {
                peer.last_sent = self.now;
                self.metadata.bucket.charge(cost(METADATA_PIECE_LEN.into()));
                self.out.push_back(Output::ServeMetadata { peer: key, id, piece, total_size });
            }
        }
        self.metadata.is_asked = false;
    }

    fn next_metadata_turn(&self) -> Option<PeerKey> {
        let waits = |(&key, peer): (&PeerKey, &Peer)| (!peer.metadata_queue.is_empty()).then_some(key);
        let after =
            self.metadata.last.and_then(|last| self.peers.range((Excluded(last), Unbounded)).find_map(waits));
        after.or_else(|| self.peers.iter().find_map(waits))
    }

    /// When something about metadata is due.
    pub(super) fn metadata_due(&self) -> Option<Time> {
        let unknown = self.unknown.as_ref().filter(|unknown| !unknown.is_found);
        let ask = unknown.and_then(|unknown| unknown.fetch.deadline());
        [ask, self.metadata.held].into_iter().flatten().min()
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        match &self.pieces {
            KeptPieces::Bits(bytes) => bytes.len(),
            KeptPieces::Singly(words) => words.len() * SINGLY_BYTES,
            KeptPieces::Untold | KeptPieces::None | KeptPieces::All => 0,
        }
    }
}

impl KeptPieces {
    /// One piece more; `false` if there can be no such piece.
    fn insert(&mut self, index: u32) -> bool {
        if index >= MAX_PIECES {
            return false;
        }
        match self {
            KeptPieces::All => {}
            KeptPieces::Bits(bytes) => match bytes.get_mut((index / 8) as usize) {
                Some(byte) => *byte |= 0x80 >> (index % 8),
                None => return false,
            },
            KeptPieces::Singly(words) => *words.entry(index / 64).or_default() |= 1 << 63 >> (index % 64),
            KeptPieces::Untold | KeptPieces::None => {
                *self = KeptPieces::Singly(BTreeMap::new());
                return self.insert(index);
            }
        }
        true
    }

    fn has_some(&self) -> bool {
        match self {
            KeptPieces::Untold | KeptPieces::None => false,
            KeptPieces::All | KeptPieces::Singly(_) => true,
            KeptPieces::Bits(bytes) => bytes.iter().any(|&byte| byte != 0),
        }
    }

    /// What it means in a torrent of so many pieces; `None` if the peer said nothing.
    fn known(self, count: u32) -> Result<Option<Pieces>, DisconnectReason> {
        match self {
            KeptPieces::Untold => Ok(None),
            KeptPieces::None => Ok(Some(Pieces::none(count))),
            KeptPieces::All => Ok(Some(Pieces::All(count))),
            KeptPieces::Bits(bytes) => {
                let bits = Bitfield::from_wire(&bytes, count).ok_or(DisconnectReason::BadBitfield)?;
                Ok(Some(Pieces::from(bits)))
            }
            KeptPieces::Singly(words) => {
                let mut bits = Bitfield::new(count);
                for piece in words.into_iter().flat_map(|(word, ones)| ones_of(word, ones)) {
                    if !bits.insert(piece) {
                        return Err(DisconnectReason::BadHave);
                    }
                }
                Ok(Some(Pieces::from(bits)))
            }
        }
    }
}
