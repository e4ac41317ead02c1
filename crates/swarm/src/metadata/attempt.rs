//! One attempt at the metadata: its pieces, and who sent each.

use crate::trust::Trust;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use types::Time;
use wire::ext::METADATA_PIECE_LEN;

/// Metadata in the making. A piece is here (and copies of it may be on their way), asked for, given back, or was not asked
/// for yet.
#[derive(Debug)]
pub(super) struct Attempt {
    len: u32,
    here: BTreeMap<u32, Piece>,
    asked: BTreeMap<u32, Asked>,
    given_back: BTreeSet<u32>,
    /// No piece from here on was ever asked for.
    fresh: u32,
    began: Time,
    /// How long it took until it might hold no more.
    pub(super) filled_in: Option<Duration>,
    /// When the last piece came, or the attempt came to the front.
    pub(super) progress: Time,
    /// When its last turn at the front began.
    pub(super) turn_began: Time,
    /// Since when it may hold no more, until it comes to the front.
    pub(super) waits_since: Option<Time>,
    /// How often it was at the front.
    pub(super) turns: u32,
}

#[derive(Debug)]
struct Piece {
    author: SocketAddr,
    bytes: Vec<u8>,
}

/// A piece that so many peers were asked for, the last one at this time.
#[derive(Debug)]
struct Asked {
    peers: u32,
    last: Time,
}

impl Attempt {
    /// At metadata of `len` bytes, which is not 0.
    pub(super) fn new(len: u32, now: Time) -> Attempt {
        Attempt {
            len,
            here: BTreeMap::new(),
            asked: BTreeMap::new(),
            given_back: BTreeSet::new(),
            fresh: 0,
            began: now,
            filled_in: None,
            progress: now,
            turn_began: now,
            waits_since: None,
            turns: 0,
        }
    }

    /// It may hold no more.
    pub(super) fn waits(&mut self, now: Time) {
        self.waits_since.get_or_insert(now);
        self.filled_in.get_or_insert(now.since(self.began));
    }

    fn pieces(&self) -> u32 {
        self.len.div_ceil(METADATA_PIECE_LEN)
    }

    /// Whether it is longer than so many pieces.
    pub(super) fn is_longer_than(&self, pieces: usize) -> bool {
        self.pieces() as usize > pieces
    }

    /// How many pieces are here.
    pub(super) fn held(&self) -> usize {
        self.here.len()
    }

    /// How many pieces somebody is asked for.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.held() == self.pieces() as usize
    }

    /// The next piece to ask a peer for: one that nobody is asked for, if there is `room` for another, else one that
    /// others were asked for some time ago. `is_new`: whether the peer is not asked for it already.
    pub(super) fn next(
        &mut self,
        now: Time,
        room: bool,
        copy_after: Duration,
        is_new: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let open = if room { self.next_open() } else { None };
        let copy = || {
            let late = self.asked.iter().filter(|&(&piece, asked)| {
                !self.here.contains_key(&piece) && now.since(asked.last) >= copy_after && is_new(piece)
            });
            late.min_by_key(|(_, asked)| asked.last).map(|(&piece, _)| piece)
        };
        let piece = open.or_else(copy)?;
        let asked = self.asked.entry(piece).or_insert(Asked { peers: 0, last: now });
        asked.peers += 1;
        asked.last = now;
        Some(piece)
    }

    fn next_open(&mut self) -> Option<u32> {
        if let Some(piece) = self.given_back.pop_first() {
            return Some(piece);
        }
        // What came without being asked for, from a peer that was slow before the attempt lost it, is here already.
        while self.here.contains_key(&self.fresh) || self.asked.contains_key(&self.fresh) {
            self.fresh += 1;
        }
        let piece = self.fresh;
        (piece < self.pieces()).then(|| {
            self.fresh += 1;
            piece
        })
    }

    /// A peer was asked for a piece and is so no longer, whether it came or not.
    pub(super) fn answered(&mut self, piece: u32) {
        if let Some(asked) = self.asked.get_mut(&piece) {
            asked.peers -= 1;
            if asked.peers == 0 {
                self.asked.remove(&piece);
                if !self.here.contains_key(&piece) {
                    self.given_back.insert(piece);
                }
            }
        }
    }

    /// Keeps a piece, whose number and length fit; the first that comes counts.
    pub(super) fn put(&mut self, piece: u32, author: SocketAddr, bytes: &[u8], now: Time) {
        if let Entry::Vacant(place) = self.here.entry(piece) {
            place.insert(Piece { author, bytes: bytes.to_vec() });
            self.given_back.remove(&piece);
            self.progress = now;
        }
    }

    /// Forgets all but so many pieces.
    pub(super) fn shrink(&mut self, most: usize) {
        while self.here.len() > most
            && let Some((piece, _)) = self.here.pop_last()
        {
            if !self.asked.contains_key(&piece) && piece < self.fresh {
                self.given_back.insert(piece);
            }
        }
    }

    /// Number, author and bytes of each piece that is here.
    pub(super) fn pieces_here(&self) -> impl Iterator<Item = (u32, SocketAddr, &[u8])> {
        self.here.iter().map(|(&number, piece)| (number, piece.author, piece.bytes.as_slice()))
    }

    /// The hash of what is here, from this state on.
    pub(super) fn hashed<A: hash::Algorithm>(&self, state: hash::State<A>) -> hash::State<A> {
        self.pieces_here().fold(state, |state, (_, _, bytes)| state.chain(bytes))
    }

    /// The host that sent all that is here, if one did.
    pub(super) fn sole_author(&self) -> Option<SocketAddr> {
        let mut authors = self.here.values().map(|piece| piece.author);
        let first = authors.next()?;
        authors.all(|other| Trust::same_host(first, other)).then_some(first)
    }

    /// All of it, one after another; each piece is let go of as it is copied.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len as usize);
        while let Some((_, piece)) = self.here.pop_first() {
            bytes.extend_from_slice(&piece.bytes);
        }
        bytes
    }

    /// # Panics
    /// If a piece is in two states, or the number of requests is not that of `asked`.
    pub(super) fn check(&self, asked: &[u32]) {
        let requests: u32 = self.asked.values().map(|asked| asked.peers).sum();
        assert_eq!(requests as usize, asked.len(), "requests");
        assert!(asked.iter().all(|piece| self.asked.contains_key(piece)));
        assert!(
            self.given_back
                .iter()
                .all(|piece| !self.here.contains_key(piece) && !self.asked.contains_key(piece))
        );
        let begun = self.here.keys().chain(self.asked.keys()).chain(&self.given_back);
        assert!(begun.copied().all(|piece| piece < self.pieces()));
        let known: BTreeSet<u32> =
            self.here.keys().chain(self.asked.keys()).chain(&self.given_back).copied().collect();
        assert!((0..self.fresh).all(|piece| known.contains(&piece)), "a piece that nobody will be asked for");
    }
}
