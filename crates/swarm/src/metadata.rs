//! Metadata from peers (BEP 9): whom to ask for which piece of it, and whom to believe.
//!
//! Only the info-hash is known. How long the metadata is each peer says for itself, and nobody is believed before the
//! hash is right. So pieces are gathered in **attempts**:
//!
//! - all peers that claim one length share an attempt, each asked for other pieces of it;
//! - when that turns out wrong, all who sent some of it are suspected, and from then on every peer that claims this
//!   length has an attempt of its **own**. One that is wrong then is proof against its author; the one that is right
//!   proves who had sent other pieces before.
//!
//! An attempt holds no more than [`UNPROVEN_PIECES`], less if there are very many, so that liars cost little memory and
//! honest metadata of that size is had whatever they do. Longer ones take turns: the one at the **front** may grow to
//! [`MAX_METADATA_LEN`]; at once if all peers agree, else after [`FRONT_DELAY`].

mod attempt;

use crate::PeerKey;
use crate::limits::{
    ALL_UNPROVEN_PIECES, FRONT_DELAY, FRONT_PATIENCE, FRONT_TURN, MAX_METADATA_ASKED, MAX_METADATA_LEN,
    MAX_SPOILED_LENGTHS, METADATA_ANSWER_TIME, METADATA_COPY_AFTER, METADATA_HOLD_MAX, METADATA_REJECT_PAUSE,
    METADATA_TICK, UNPROVEN_PIECES,
};
use crate::trust::Trust;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use attempt::Attempt;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;
use types::{InfoHash, Time};
use wire::ext::METADATA_PIECE_LEN;

/// Gathers the metadata of one torrent.
#[derive(Debug)]
pub(crate) struct Fetch {
    info_hash: InfoHash,
    sources: BTreeMap<PeerKey, Source>,
    attempts: BTreeMap<AttemptKey, Attempt>,
    /// The attempt that may grow beyond its [share](Fetch::share).
    front: Option<AttemptKey>,
    /// Lengths whose shared attempt was wrong, the latest last.
    spoiled: VecDeque<Spoiled>,
    /// When it was last asked what to do.
    looked: Time,
    #[cfg(feature = "planted")]
    believes_all: bool,
}

/// How often the time that a turn may last doubles: to two hours.
const MAX_TURN_DOUBLINGS: u32 = 13;

/// A claimed length, and whose attempt it is if it is not shared.
type AttemptKey = (u32, Option<PeerKey>);

/// A peer that says how long the metadata is.
#[derive(Debug)]
struct Source {
    addr: SocketAddr,
    len: u32,
    /// Pieces that it was asked for, and when.
    asked: Vec<(u32, Time)>,
    /// Not to be asked before.
    hold_until: Time,
    /// Requests in a row that it did not answer in time.
    failures: u32,
}

/// What a shared attempt that was wrong consisted of.
#[derive(Debug)]
struct Spoiled {
    len: u32,
    evidence: Vec<Evidence>,
}

/// Who sent a piece, and its SHA-1.
#[derive(Debug)]
struct Evidence {
    piece: u32,
    author: SocketAddr,
    digest: [u8; 20],
}

/// What came of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It is kept, or is of no use.
    Taken,
    /// The peer says another length than it did.
    Contradiction,
    /// The attempt is complete and wrong, and this host alone made it.
    Wrong(SocketAddr),
    /// The attempt is complete and wrong, and several hosts made it: each is asked alone from now on.
    Spoiled,
    /// The hash is right.
    Right {
        /// The metadata.
        metadata: Vec<u8>,
        /// Hosts that sent other pieces of it, which were wrong.
        liars: Vec<SocketAddr>,
    },
}

impl Fetch {
    pub(crate) fn new(info_hash: InfoHash) -> Fetch {
        Fetch {
            info_hash,
            sources: BTreeMap::new(),
            attempts: BTreeMap::new(),
            front: None,
            spoiled: VecDeque::new(),
            looked: Time::ZERO,
            #[cfg(feature = "planted")]
            believes_all: false,
        }
    }

    /// Has a fault, if it is this one's.
    #[cfg(feature = "planted")]
    pub(crate) fn plant(&mut self, fault: Option<crate::Planted>) {
        self.believes_all = fault == Some(crate::Planted::AnyMetadata);
    }

    /// How many peers say that they have the metadata.
    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    /// How many bytes the longest attempt holds.
    pub(crate) fn held(&self) -> u64 {
        self.attempts.values().map(|attempt| attempt.held() as u64).max().unwrap_or(0)
            * u64::from(METADATA_PIECE_LEN)
    }

    pub(crate) fn is_source(&self, peer: PeerKey) -> bool {
        self.sources.contains_key(&peer)
    }

    /// A peer has the metadata, of so many bytes; of several lengths the first holds. One that cannot be is passed over.
    pub(crate) fn offered(&mut self, peer: PeerKey, addr: SocketAddr, len: u32, now: Time) {
        if (1..=MAX_METADATA_LEN).contains(&len) {
            let source = Source { addr, len, asked: Vec::new(), hold_until: now, failures: 0 };
            self.sources.entry(peer).or_insert(source);
        }
    }

    /// The connection is gone.
    pub(crate) fn gone(&mut self, peer: PeerKey) {
        let Some(key) = self.attempt_key(peer) else { return };
        self.give_back(peer, |_| true);
        self.sources.remove(&peer);
        if key.1.is_some() || !self.sources.values().any(|source| source.len == key.0) {
            // What an absent peer said is of no use without somebody who says the rest.
            self.drop_attempt(key);
        }
    }

    /// The peer does not send a piece.
    pub(crate) fn rejected(&mut self, peer: PeerKey, piece: u32, now: Time) {
        let was_asked = self.give_back(peer, |asked| asked == piece);
        if let Some(source) = self.sources.get_mut(&peer)
            && was_asked
        {
            source.hold_until = now + METADATA_REJECT_PAUSE;
        }
    }

    /// A piece came, of metadata that should be `total` bytes long.
    pub(crate) fn came(&mut self, peer: PeerKey, piece: u32, total: u32, data: &[u8], now: Time) -> Came {
        let (Some(key), Some(source)) = (self.attempt_key(peer), self.sources.get_mut(&peer)) else {
            return Came::Taken;
        };
        if source.len != total {
            return Came::Contradiction;
        }
        let addr = source.addr;
        let was_asked = source.asked.iter().position(|&(asked, _)| asked == piece);
        if let Some(at) = was_asked {
            source.asked.remove(at);
            source.failures = 0;
        }
        let (may_grow, share) = (self.front == Some(key), self.share());
        let Some(attempt) = self.attempts.get_mut(&key) else { return Came::Taken };
        if was_asked.is_some() {
            attempt.answered(piece);
        }
        if may_grow || attempt.held() < share {
            attempt.put(piece, addr, data, now);
        }
        if !attempt.is_complete() {
            return Came::Taken;
        }
        let whole = self.drop_attempt(key);
        whole.map_or(Came::Taken, |whole| self.judge(key, whole))
    }

    /// What a complete attempt is worth.
    fn judge(&mut self, (len, _): AttemptKey, whole: Attempt) -> Came {
        let is_right = is_named(&self.info_hash, &whole);
        #[cfg(feature = "planted")]
        let is_right = is_right || self.believes_all;
        if is_right {
            let liars = self.convict(len, &whole);
            return Came::Right { metadata: whole.into_bytes(), liars };
        }
        if let Some(author) = whole.sole_author() {
            return Came::Wrong(author);
        }
        if self.spoiled.len() >= MAX_SPOILED_LENGTHS {
            let forgotten = self.spoiled.pop_front().map(|spoiled| spoiled.len);
            let keys = self.attempts.keys().copied().filter(|&(len, _)| Some(len) == forgotten);
            keys.collect::<Vec<_>>().into_iter().for_each(|key| drop(self.drop_attempt(key)));
        }
        let evidence = whole.pieces_here().map(|(piece, author, bytes)| Evidence {
            piece,
            author,
            digest: hash::sha1(bytes),
        });
        self.spoiled.push_back(Spoiled { len, evidence: evidence.collect() });
        Came::Spoiled
    }

    /// The hosts that sent something else in place of these pieces, each once.
    fn convict(&self, len: u32, good: &Attempt) -> Vec<SocketAddr> {
        let mut liars: Vec<SocketAddr> = Vec::new();
        let Some(spoiled) = self.spoiled.iter().find(|spoiled| spoiled.len == len) else { return liars };
        let digests: Vec<[u8; 20]> = good.pieces_here().map(|(_, _, bytes)| hash::sha1(bytes)).collect();
        for Evidence { piece, author, digest } in &spoiled.evidence {
            let wrong = digests.get(*piece as usize).is_some_and(|good| good != digest);
            if wrong && !liars.iter().any(|&liar| Trust::same_host(liar, *author)) {
                liars.push(*author);
            }
        }
        liars
    }

    /// The requests to make now.
    pub(crate) fn ask(&mut self, now: Time) -> Vec<(PeerKey, u32)> {
        self.let_pass(now);
        self.choose_front(now);
        let mut requests = Vec::new();
        loop {
            let before = requests.len();
            let peers: Vec<PeerKey> = self.sources.keys().copied().collect();
            // One each in turns, so that all share the work.
            requests.extend(peers.into_iter().filter_map(|peer| Some((peer, self.ask_one(peer, now)?))));
            if requests.len() == before {
                return requests;
            }
        }
    }

    /// The next piece to ask a peer for, if there is one.
    fn ask_one(&mut self, peer: PeerKey, now: Time) -> Option<u32> {
        let key = self.attempt_key(peer)?;
        let may_grow = self.front == Some(key);
        let source = self.sources.get(&peer)?;
        if source.hold_until > now || source.asked.len() >= MAX_METADATA_ASKED {
            return None;
        }
        self.make_attempt(key, now);
        let share = self.share();
        let source = self.sources.get_mut(&peer)?;
        let attempt = self.attempts.get_mut(&key)?;
        let room = may_grow || attempt.held() + attempt.asked() < share;
        let is_new = |piece| !source.asked.iter().any(|&(asked, _)| asked == piece);
        let piece = attempt.next(now, room, METADATA_COPY_AFTER, is_new)?;
        source.asked.push((piece, now));
        Some(piece)
    }

    /// The attempt of this name begins if it has not; others then make room for it.
    fn make_attempt(&mut self, key: AttemptKey, now: Time) {
        if self.attempts.contains_key(&key) {
            return;
        }
        self.attempts.insert(key, Attempt::new(key.0, now));
        let (share, front) = (self.share(), self.front);
        let others = self.attempts.iter_mut().filter(|(other, _)| front != Some(**other));
        others.for_each(|(_, attempt)| attempt.shrink(share));
    }

    /// How many pieces an attempt may hold that is not at the front.
    fn share(&self) -> usize {
        UNPROVEN_PIECES.min(ALL_UNPROVEN_PIECES / self.attempts.len().max(1))
    }

    /// When to ask again, though nothing happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.sources.is_empty()).then(|| self.looked + METADATA_TICK)
    }

    /// Takes back what was not answered in time; a peer that is silent is asked less and less often.
    fn let_pass(&mut self, now: Time) {
        self.looked = now;
        let late = |asked: &(u32, Time)| now.since(asked.1) >= METADATA_ANSWER_TIME;
        let silent = self.sources.iter().filter(|(_, source)| source.asked.iter().any(late));
        for peer in silent.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.give_back(peer, |_| true);
            if let Some(source) = self.sources.get_mut(&peer) {
                source.failures = source.failures.saturating_add(1);
                let hold = METADATA_ANSWER_TIME * (1 << source.failures.min(8));
                source.hold_until = now + hold.min(METADATA_HOLD_MAX);
            }
        }
    }

    /// Gives up pieces that a peer was asked for; `false` if there was none.
    fn give_back(&mut self, peer: PeerKey, which: impl Fn(u32) -> bool) -> bool {
        let (Some(key), Some(source)) = (self.attempt_key(peer), self.sources.get_mut(&peer)) else {
            return false;
        };
        let before = source.asked.len();
        let attempt = self.attempts.get_mut(&key);
        let given_back = source.asked.extract_if(.., |&mut (piece, _)| which(piece)).map(|(piece, _)| piece);
        match attempt {
            Some(attempt) => given_back.for_each(|piece| attempt.answered(piece)),
            None => given_back.for_each(drop),
        }
        source.asked.len() < before
    }

    /// Which attempt a peer works on.
    fn attempt_key(&self, peer: PeerKey) -> Option<AttemptKey> {
        let len = self.sources.get(&peer)?.len;
        let alone = self.spoiled.iter().any(|spoiled| spoiled.len == len);
        Some((len, alone.then_some(peer)))
    }

    /// Ends an attempt: nothing of it is expected any more.
    fn drop_attempt(&mut self, key: AttemptKey) -> Option<Attempt> {
        if self.front == Some(key) {
            self.front = None;
        }
        let (len, alone) = key;
        for (&peer, source) in &mut self.sources {
            if source.len == len && alone.is_none_or(|author| author == peer) {
                source.asked.clear();
            }
        }
        self.attempts.remove(&key)
    }

    /// Whether all peers that claim to have the metadata work on one attempt.
    fn is_unanimous(&self) -> bool {
        let mut keys = self.sources.keys().map(|&peer| self.attempt_key(peer));
        let first = keys.next();
        keys.all(|key| Some(key) == first)
    }

    /// Lets a long attempt grow, after a while if peers contradict each other: that which had fewest turns, then that of most
    /// peers, then the one that was quickest so far. One whose turn is over, or that does not get on, makes room for others,
    /// and loses what is more than they have.
    fn choose_front(&mut self, now: Time) {
        let share = self.share();
        let waits = |key: &AttemptKey, attempt: &Attempt| {
            let is_full = attempt.held() + attempt.asked() >= share;
            self.front != Some(*key) && is_full && attempt.is_longer_than(share)
        };
        let delay = if self.is_unanimous() { Duration::ZERO } else { FRONT_DELAY };
        let due = |attempt: &Attempt| attempt.waits_since.is_some_and(|since| now.since(since) >= delay);
        let all: Vec<AttemptKey> =
            self.attempts.iter().filter(|(key, attempt)| waits(key, attempt)).map(|(&key, _)| key).collect();
        for key in all {
            if let Some(attempt) = self.attempts.get_mut(&key) {
                attempt.waits(now);
            }
        }
        let peers = |key| self.sources.keys().filter(|&&peer| self.attempt_key(peer) == Some(key)).count();
        let waiting = self.attempts.iter().filter(|(key, attempt)| waits(key, attempt) && due(attempt));
        let next = waiting
            .min_by_key(|&(&key, attempt)| (attempt.turns, Reverse(peers(key)), attempt.filled_in, key));
        let Some(next) = next.map(|(&key, _)| key) else { return };
        if let Some(front) = self.front.and_then(|key| self.attempts.get_mut(&key)) {
            let turn = turn(front.turns);
            if now.since(front.progress) < FRONT_PATIENCE && now.since(front.turn_began) < turn {
                return;
            }
            front.shrink(share);
        }
        self.front = Some(next);
        if let Some(attempt) = self.attempts.get_mut(&next) {
            attempt.turns += 1;
            (attempt.progress, attempt.turn_began) = (now, now);
            attempt.waits_since = None;
        }
    }

    /// What is true after every call.
    ///
    /// # Panics
    /// If a limit is passed or a count is wrong.
    pub(crate) fn check(&self) {
        assert!(self.spoiled.len() <= MAX_SPOILED_LENGTHS);
        assert!(self.attempts.len() <= self.sources.len(), "an attempt for each peer at most");
        assert!(self.front.is_none_or(|key| self.attempts.contains_key(&key)));
        let bounded = self.attempts.iter().filter(|&(&key, _)| self.front != Some(key));
        assert!(bounded.map(|(_, attempt)| attempt.held()).sum::<usize>() <= ALL_UNPROVEN_PIECES);
        for (&key, attempt) in &self.attempts {
            assert!(!attempt.is_complete(), "a complete attempt is judged");
            let may_hold = self.front == Some(key) || attempt.held() <= UNPROVEN_PIECES;
            assert!(may_hold, "more memory than it may take");
            let mine = self.sources.iter().filter(|&(&peer, _)| self.attempt_key(peer) == Some(key));
            let asked: Vec<u32> =
                mine.flat_map(|(_, source)| source.asked.iter().map(|asked| asked.0)).collect();
            attempt.check(&asked);
        }
        assert!(self.sources.values().all(|source| source.asked.len() <= MAX_METADATA_ASKED));
    }
}

/// How long the latest of so many turns may last.
fn turn(turns: u32) -> Duration {
    FRONT_TURN * (1 << turns.saturating_sub(1).min(MAX_TURN_DOUBLINGS))
}

/// Whether all hashes of a torrent are those of this info dictionary. Nothing is copied: it may be a lie of 64 MiB.
fn is_named(info_hash: &InfoHash, info: &Attempt) -> bool {
    info_hash.v1().is_none_or(|v1| info.hashed(hash::Sha1::new()).finalize() == v1.0)
        && info_hash.v2().is_none_or(|v2| info.hashed(hash::Sha256::new()).finalize() == v2.0)
}

#[cfg(test)]
mod tests;
