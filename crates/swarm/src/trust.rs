//! Who sent bad data.
//!
//! Every block is attributed to the host that sent it, and every host that sent a block of a failed piece is
//! suspected. A host is banned on proof, never on suspicion:
//!
//! - it alone sent all of a piece that failed;
//! - it sent a block of a piece that failed, and when the piece was good at last, its block had been another;
//! - it sent two versions of the same block.
//!
//! Until a failed piece is verified, all who sent some of it are on parole: each gets whole pieces to itself (unless it
//! is so slow that others have to help, or would miss a deadline), so that the next failure has one author, and few at a
//! time. The good
//! piece then proves some guilty and clears the others. Where there was nothing to compare (storage could not tell, the
//! record was full), parole lasts until the first good piece that the suspect alone sent. Blocks of unknown origin (an earlier run, a forgotten host) are nobody's, and a piece that was
//! read from disk to be hashed may have been spoiled there: its blocks are held against their senders one by one only.
//! What a host that is banned has sent of pieces that are not complete is dropped.

mod evidence;

use crate::limits::{MAX_BANS, MAX_DEPARTED, MAX_RECOUNTED, MAX_SUSPECTS, RECOUNTED_FOR, RECOUNTED_KEPT};
use crate::{BanReason, PeerKey, dial_guard};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU32;
use evidence::{Attempt, Evidence, Verdict};
use types::{BlockDigest, PieceIndex, Time};

/// A host whose conduct is remembered; the number is never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suspect(NonZeroU32);

/// Who sent the blocks of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authors {
    /// Of each block, in order; `None` if it is nobody's.
    blocks: Vec<Option<Suspect>>,
}

/// What is to be made known of a host that is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) addr: SocketAddr,
    pub(crate) reason: BanReason,
}

#[derive(Debug, Default)]
pub(crate) struct Trust {
    records: BTreeMap<Suspect, Record>,
    by_host: BTreeMap<Host, Suspect>,
    bans: BTreeSet<Host>,
    evidence: Evidence,
    /// The last connections that ended, and whose they were: blocks of theirs may still be on their way out of
    /// storage's queue.
    departed: VecDeque<(PeerKey, Suspect)>,
    /// Hosts that are connected and on parole.
    suspected: usize,
    /// Of all together that there is no room to remember.
    recounts_of_others: Recounts,
    last: u32,
}

#[derive(Debug)]
struct Record {
    /// Where it was seen last.
    addr: SocketAddr,
    connections: u32,
    /// Failed attempts on record in which it took part.
    cases: u32,
    /// It took part in one that will never be cleared up.
    doubt: bool,
    recounts: Recounts,
}

/// Of how many pieces the peers were counted anew for a host, see [`MAX_RECOUNTED`].
#[derive(Debug, Default)]
struct Recounts {
    pieces: u64,
    /// When that was so many.
    at: Time,
}

impl Recounts {
    /// Those that are not forgiven.
    fn left(&self, now: Time) -> u64 {
        let forgiven = u128::from(MAX_RECOUNTED) * now.since(self.at).as_millis() / RECOUNTED_FOR.as_millis();
        self.pieces.saturating_sub(u64::try_from(forgiven).unwrap_or(u64::MAX))
    }

    fn add(&mut self, pieces: u32, now: Time) -> u64 {
        *self = Recounts { pieces: self.left(now).saturating_add(pieces.into()), at: now };
        self.pieces
    }
}

/// A host is known by its address, or over IPv6 by the /64 of which it has all addresses, whatever the port (that of an
/// incoming connection is another one each time); but on a loopback address it is the port that tells hosts apart.
type Host = (IpAddr, u16);

impl Trust {
    /// A peer connected from `addr`. `None` if there is no room to remember it.
    pub(crate) fn connected(&mut self, addr: SocketAddr) -> Option<Suspect> {
        let suspect = match self.suspect(addr) {
            Some(known) => known,
            None => self.remember(addr)?,
        };
        self.change(suspect, |record| {
            record.connections += 1;
            record.addr = addr;
        });
        Some(suspect)
    }

    /// The peers of so many pieces were counted anew for a host; says of how many in all that are not forgiven.
    pub(crate) fn recounted(&mut self, suspect: Option<Suspect>, pieces: u32, now: Time) -> u64 {
        let record = suspect.and_then(|suspect| self.records.get_mut(&suspect));
        record.map_or(&mut self.recounts_of_others, |record| &mut record.recounts).add(pieces, now)
    }

    /// A connection ended.
    pub(crate) fn closed(&mut self, peer: PeerKey, suspect: Option<Suspect>) {
        let Some(suspect) = suspect else { return };
        self.change(suspect, |record| record.connections = record.connections.saturating_sub(1));
        if self.departed.len() >= MAX_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back((peer, suspect));
    }

    /// Whose a connection was that is gone.
    pub(crate) fn departed(&self, peer: PeerKey) -> Option<Suspect> {
        self.departed.iter().find(|(key, _)| *key == peer).map(|&(_, suspect)| suspect)
    }

    /// Who is known by this address.
    pub(crate) fn suspect(&self, addr: SocketAddr) -> Option<Suspect> {
        self.by_host.get(&host(addr)).copied()
    }

    pub(crate) fn has_banned(&self, suspect: Suspect) -> bool {
        self.records.get(&suspect).is_some_and(|record| self.is_banned(record.addr))
    }

    pub(crate) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.bans.contains(&host(addr))
    }

    pub(crate) fn banned(&self) -> usize {
        self.bans.len()
    }

    /// Whether any host is connected and on parole.
    pub(crate) fn suspects_anybody(&self) -> bool {
        self.suspected > 0
    }

    pub(crate) fn on_parole(&self, suspect: Option<Suspect>) -> bool {
        suspect.and_then(|suspect| self.records.get(&suspect)).is_some_and(Record::on_parole)
    }

    /// A good piece, with the digests of its blocks if it failed before: it says who was to blame then, and clears
    /// the one who sent all of it.
    pub(crate) fn piece_verified(
        &mut self,
        piece: PieceIndex,
        authors: &Authors,
        digests: &[BlockDigest],
    ) -> Vec<Ban> {
        let mut bans = Vec::new();
        for attempt in self.evidence.take(piece) {
            for suspect in attempt.suspects() {
                let verdict = attempt.verdict(suspect, digests);
                self.close_case(suspect, verdict == Verdict::Unclear);
                if let Verdict::Guilty(block) = verdict {
                    bans.extend(self.ban(suspect, BanReason::WrongBlock { piece, block }));
                }
            }
        }
        if let Some(sole) = authors.sole() {
            self.change(sole, |record| record.doubt = false);
        }
        bans
    }

    /// A bad piece, with the digests of its blocks as far as they are known. `from_disk`: the disk may have spoiled
    /// it.
    pub(crate) fn piece_failed(
        &mut self,
        piece: PieceIndex,
        authors: &Authors,
        digests: &[Option<BlockDigest>],
        from_disk: bool,
    ) -> Vec<Ban> {
        // Who was forgotten meanwhile can't be held to it.
        let on_record = |by: &Option<Suspect>| by.filter(|by| self.records.contains_key(by));
        let authors = Authors::of(authors.blocks.iter().map(on_record));
        if let Some(guilty) = authors.sole().filter(|_| !from_disk) {
            return self.ban(guilty, BanReason::SpoiledPiece(piece)).into_iter().collect();
        }
        let attempt = Attempt::new(&authors, digests);
        let liars = self.evidence.two_versions(piece, &attempt).into_iter();
        let bans = liars
            .filter_map(|(liar, block)| self.ban(liar, BanReason::TwoVersions { piece, block }))
            .collect();
        for suspect in attempt.suspects() {
            self.change(suspect, |record| record.cases += 1);
        }
        let gone = self.evidence.add(piece, attempt);
        self.leave_open(&gone);
        bans
    }

    /// Pieces for which this is true are not fetched any more.
    pub(crate) fn give_up(&mut self, hopeless: impl Fn(PieceIndex) -> bool) {
        let hopeless: Vec<_> = self.evidence.pieces().filter(|&piece| hopeless(piece)).collect();
        for piece in hopeless {
            let gone = self.evidence.take(piece);
            self.leave_open(&gone);
        }
    }

    /// Whether a ban of one of the addresses is a ban of the other.
    pub(crate) fn same_host(a: SocketAddr, b: SocketAddr) -> bool {
        host(a) == host(b)
    }

    /// These attempts will never be cleared up.
    fn leave_open(&mut self, attempts: &[Attempt]) {
        for suspect in attempts.iter().flat_map(Attempt::suspects) {
            self.close_case(suspect, true);
        }
    }

    fn close_case(&mut self, suspect: Suspect, doubt: bool) {
        self.change(suspect, |record| {
            record.cases = record.cases.saturating_sub(1);
            record.doubt |= doubt;
        });
    }

    fn ban(&mut self, suspect: Suspect, reason: BanReason) -> Option<Ban> {
        let addr = self.records.get(&suspect)?.addr;
        self.ban_host(addr, reason)
    }

    /// Bans a host; `None` if it is banned already.
    pub(crate) fn ban_host(&mut self, addr: SocketAddr, reason: BanReason) -> Option<Ban> {
        if self.is_banned(addr) {
            return None;
        }
        if self.bans.len() < MAX_BANS {
            self.bans.insert(host(addr));
        }
        Some(Ban { addr, reason })
    }

    /// Changes a record, if it is still there; the count of suspected hosts follows.
    fn change(&mut self, suspect: Suspect, how: impl FnOnce(&mut Record)) {
        let Some(record) = self.records.get_mut(&suspect) else { return };
        self.suspected -= usize::from(record.counts());
        how(record);
        self.suspected += usize::from(record.counts());
    }

    fn remember(&mut self, addr: SocketAddr) -> Option<Suspect> {
        if self.records.len() >= MAX_SUSPECTS && !self.forget_one() {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        let suspect = Suspect(NonZeroU32::new(self.last)?);
        self.records.insert(
            suspect,
            Record { addr, connections: 0, cases: 0, doubt: false, recounts: Recounts::default() },
        );
        self.by_host.insert(host(addr), suspect);
        Some(suspect)
    }

    /// Forgets the hosts that are not connected, under no suspicion and have not made much work; no block of theirs is on
    /// its way.
    pub(crate) fn forget_innocent(&mut self, now: Time) {
        let is_kept = |record: &Record| {
            record.connections > 0 || record.on_parole() || record.recounts.left(now) > RECOUNTED_KEPT
        };
        let records = core::mem::take(&mut self.records);
        self.records = records.into_iter().filter(|(_, record)| is_kept(record)).collect();
        self.by_host = self.records.iter().map(|(&suspect, record)| (host(record.addr), suspect)).collect();
        self.departed = VecDeque::new();
    }

    /// Makes room: the oldest that is not connected goes; who is on parole last, who is part of a case never.
    pub(crate) fn forget_one(&mut self) -> bool {
        let idle = || self.records.iter().filter(|(_, record)| record.connections == 0);
        let innocent = idle().find(|(_, record)| !record.on_parole());
        let oldest = innocent.or_else(|| idle().find(|(_, record)| record.cases == 0));
        let Some((&oldest, record)) = oldest else { return false };
        self.by_host.remove(&host(record.addr));
        self.records.remove(&oldest).is_some()
    }

    /// Recounts everything. `there`: the pieces that are verified.
    ///
    /// # Panics
    /// If a count is wrong or a limit is passed.
    pub(crate) fn check(&self, there: impl Fn(PieceIndex) -> bool) {
        let mut cases: BTreeMap<Suspect, u32> = BTreeMap::new();
        for suspect in self.evidence.check().flat_map(Attempt::suspects) {
            *cases.entry(suspect).or_default() += 1;
        }
        assert!(!self.evidence.pieces().any(there), "evidence is kept until the piece is there");
        assert!(self.records.len() <= MAX_SUSPECTS && self.bans.len() <= MAX_BANS);
        assert!(self.departed.len() <= MAX_DEPARTED);
        assert_eq!(self.by_host.len(), self.records.len());
        for (suspect, record) in &self.records {
            assert_eq!(self.by_host.get(&host(record.addr)), Some(suspect));
            assert_eq!(record.cases, cases.remove(suspect).unwrap_or(0), "cases of {}", record.addr);
        }
        assert!(cases.is_empty(), "who is on record is not forgotten");
        assert_eq!(self.suspected, self.records.values().filter(|record| record.counts()).count());
    }
}

impl Record {
    fn on_parole(&self) -> bool {
        self.cases > 0 || self.doubt
    }

    /// Whether it is one of the [`Trust::suspected`].
    fn counts(&self) -> bool {
        self.connections > 0 && self.on_parole()
    }
}

impl Authors {
    /// Of all blocks, in order, the sender of each.
    pub(crate) fn of(blocks: impl Iterator<Item = Option<Suspect>>) -> Authors {
        Authors { blocks: blocks.collect() }
    }

    fn sole(&self) -> Option<Suspect> {
        let (first, others) = self.blocks.split_first()?;
        first.filter(|_| others.iter().all(|other| other == first))
    }
}

fn host(addr: SocketAddr) -> Host {
    let is_loopback = addr.ip().to_canonical().is_loopback();
    (dial_guard::host(addr.ip()).0, if is_loopback { addr.port() } else { 0 })
}

#[cfg(test)]
mod tests;
