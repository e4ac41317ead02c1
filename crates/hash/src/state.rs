//! A hash under way.

use crate::algorithm::Algorithm;
use crate::lanes::{Lane, Lanes};
use crate::{BLOCK_LEN, Block};

/// What is known of a message whose first bytes are hashed; [`Sha1`](crate::Sha1) and [`Sha256`](crate::Sha256) are
/// its two kinds. About a hundred bytes, cheap to clone.
#[derive(Clone, Debug)]
pub struct State<A: Algorithm> {
    words: A::Words,
    /// The first `length % 64` bytes are those that wait for the rest of their block.
    partial: Block,
    /// Bytes so far. FIPS 180-4 ends at 2^64 bits; this one wraps there.
    length: u64,
}

impl<A: Algorithm> State<A> {
    /// Of the empty message.
    pub fn new() -> State<A> {
        State { words: A::START, partial: [0; BLOCK_LEN], length: 0 }
    }

    /// The digest of a whole message.
    pub fn digest(message: &[u8]) -> A::Digest {
        let mut state = State::<A>::new();
        state.update(message);
        state.finalize()
    }

    /// Hashes on.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((first, blocks)) = self.absorb(bytes) {
            A::compress(&mut self.words, first.as_slice());
            A::compress(&mut self.words, blocks);
        }
    }

    /// As [`update`](State::update), and gives the state on.
    #[must_use]
    pub fn chain(mut self, bytes: &[u8]) -> State<A> {
        self.update(bytes);
        self
    }

    /// Hashes on in several states, each with the bytes beside it. Lengths may differ, those of before and those now;
    /// it is fastest if there are at least four of about the same length. Allocates nothing.
    pub fn update_many<'a>(states: impl IntoIterator<Item = (&'a mut State<A>, &'a [u8])>) {
        Lanes::default().update_many(states);
    }

    /// The digest of all that it was given.
    pub fn finalize(mut self) -> A::Digest {
        let (padding, blocks) = pad(self.partial_bytes(), self.length);
        A::compress(&mut self.words, &padding[..blocks]);
        A::digest(&self.words)
    }

    /// What [`update`](State::update) has to do, as a lane; the bytes at its end are already kept.
    pub(crate) fn lane<'a>(&'a mut self, bytes: &'a [u8]) -> Lane<'a, A> {
        match self.absorb(bytes) {
            Some((first, blocks)) => Lane::on(&mut self.words, first, blocks),
            None => Lane::on(&mut self.words, None, &[]),
        }
    }

    /// Counts bytes in and keeps those that fill no block. Answers with the blocks that they fill: one that was begun
    /// before, if any, and those within the bytes.
    fn absorb<'a>(&mut self, bytes: &'a [u8]) -> Option<(Option<Block>, &'a [Block])> {
        let have = self.partial_bytes().len();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        let mut first = None;
        if have > 0 {
            let (fill, after) = bytes.split_at_checked(BLOCK_LEN - have).unwrap_or((bytes, &[]));
            self.partial[have..have + fill.len()].copy_from_slice(fill);
            if have + fill.len() < BLOCK_LEN {
                return None;
            }
            first = Some(self.partial);
            rest = after;
        }
        let (blocks, end) = rest.as_chunks();
        self.partial[..end.len()].copy_from_slice(end);
        Some((first, blocks))
    }

    fn partial_bytes(&self) -> &[u8] {
        let have = usize::try_from(self.length % BLOCK_LEN as u64).expect("less than a block");
        &self.partial[..have]
    }
}

impl<A: Algorithm> Default for State<A> {
    fn default() -> State<A> {
        State::new()
    }
}

/// The last block, or two, of a message of `length` bytes that ends with `end` (FIPS 180-4, 5.1.1): a one bit, zeros,
/// the length in bits. `end` has up to 119 bytes, all or the last ones of the message, and begins at a block.
pub(crate) fn pad(end: &[u8], length: u64) -> ([Block; 2], usize) {
    let mut padding = [[0; BLOCK_LEN]; 2];
    let bytes = padding.as_flattened_mut();
    bytes[..end.len()].copy_from_slice(end);
    bytes[end.len()] = 0x80;
    let blocks = (end.len() + 9).div_ceil(BLOCK_LEN);
    bytes[blocks * BLOCK_LEN - 8..blocks * BLOCK_LEN].copy_from_slice(&length.wrapping_mul(8).to_be_bytes());
    (padding, blocks)
}
