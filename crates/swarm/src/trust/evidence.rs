//! Failed attempts at pieces: who sent which version of each block, kept until the piece is verified.

use super::{Authors, Suspect};
use crate::limits::MAX_EVIDENCE_BLOCKS;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use types::{BlockDigest, PieceIndex};

#[derive(Debug, Default)]
pub(super) struct Evidence {
    attempts: BTreeMap<PieceIndex, Vec<Attempt>>,
    /// The pieces, in the order in which they first failed.
    order: VecDeque<PieceIndex>,
    /// Of all attempts together.
    blocks: usize,
}

/// The blocks of one attempt at a piece, in order; `None` for what nobody can be blamed for.
#[derive(Debug)]
pub(super) struct Attempt {
    blocks: Vec<Option<Sent>>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    by: Suspect,
    digest: Option<BlockDigest>,
}

/// What the good piece says of one who took part in a bad attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of its blocks were right.
    Innocent,
    /// This block, by its number, was wrong.
    Guilty(u32),
    /// Not all of its blocks can be compared, and those that can were right.
    Unclear,
}

impl Evidence {
    /// Puts an attempt on record. Returns those that had to make room, or this one if it has nothing to compare or is
    /// too large: they will never be cleared up.
    pub(super) fn add(&mut self, piece: PieceIndex, attempt: Attempt) -> Vec<Attempt> {
        let more = attempt.blocks.len();
        if more > MAX_EVIDENCE_BLOCKS || attempt.blocks.iter().flatten().all(|sent| sent.digest.is_none()) {
            return vec![attempt];
        }
        let mut gone = Vec::new();
        while self.blocks + more > MAX_EVIDENCE_BLOCKS
            && let Some(&oldest) = self.order.front()
        {
            gone.extend(self.take(oldest));
        }
        if !self.attempts.contains_key(&piece) {
            self.order.push_back(piece);
        }
        self.attempts.entry(piece).or_default().push(attempt);
        self.blocks += more;
        gone
    }

    /// Takes all attempts at a piece off the record.
    pub(super) fn take(&mut self, piece: PieceIndex) -> Vec<Attempt> {
        let Some(attempts) = self.attempts.remove(&piece) else { return Vec::new() };
        self.order.retain(|&other| other != piece);
        self.blocks -= attempts.iter().map(|attempt| attempt.blocks.len()).sum::<usize>();
        attempts
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> {
        self.attempts.keys().copied()
    }

    /// Who sent a block of the piece otherwise now than before, and its number: only one who lies does.
    pub(super) fn two_versions(&self, piece: PieceIndex, now: &Attempt) -> Vec<(Suspect, u32)> {
        let before = self.attempts.get(&piece).into_iter().flatten();
        before.flat_map(|before| differing(before, now)).collect()
    }

    /// Every attempt, for recounts.
    pub(super) fn check(&self) -> impl Iterator<Item = &Attempt> {
        let attempts = || self.attempts.values().flatten();
        assert_eq!(self.blocks, attempts().map(|attempt| attempt.blocks.len()).sum::<usize>());
        assert!(self.blocks <= MAX_EVIDENCE_BLOCKS);
        assert_eq!(self.order.len(), self.attempts.len());
        assert!(self.order.iter().all(|piece| self.attempts.contains_key(piece)));
        attempts()
    }
}

impl Attempt {
    /// Digests that do not fit the piece are none.
    pub(super) fn new(authors: &Authors, digests: &[Option<BlockDigest>]) -> Attempt {
        let fits = digests.len() == authors.blocks.len();
        let digest = |number: usize| digests.get(number).copied().flatten().filter(|_| fits);
        let sent = |(number, by): (usize, &Option<Suspect>)| by.map(|by| Sent { by, digest: digest(number) });
        Attempt { blocks: authors.blocks.iter().enumerate().map(sent).collect() }
    }

    /// Who took part: each once.
    pub(super) fn suspects(&self) -> Vec<Suspect> {
        let mut suspects: Vec<Suspect> = self.blocks.iter().flatten().map(|sent| sent.by).collect();
        suspects.sort_unstable();
        suspects.dedup();
        suspects
    }

    /// Compares what the suspect sent with the blocks of the piece as they should be.
    pub(super) fn verdict(&self, suspect: Suspect, good: &[BlockDigest]) -> Verdict {
        let mut verdict = Verdict::Innocent;
        for (sent, number) in self.blocks.iter().zip(0..) {
            let Some(Sent { digest, .. }) = sent.filter(|sent| sent.by == suspect) else { continue };
            let good = good.get(number as usize).filter(|_| good.len() == self.blocks.len());
            match (digest, good) {
                (Some(digest), Some(&good)) if digest == good => {}
                (Some(_), Some(_)) => return Verdict::Guilty(number),
                _ => verdict = Verdict::Unclear,
            }
        }
        verdict
    }
}

fn differing(before: &Attempt, now: &Attempt) -> impl Iterator<Item = (Suspect, u32)> {
    before.blocks.iter().zip(&now.blocks).zip(0..).filter_map(|((before, now), number)| {
        let (before, now) = (before.as_ref()?, now.as_ref()?);
        let differs = before.digest? != now.digest?;
        (before.by == now.by && differs).then_some((now.by, number))
    })
}
