//! What waits to be sent: messages, and blocks behind them.
//!
//! A message that is said now overtakes the blocks that have not begun: a request that waited behind megabytes of our
//! own uploads would leave the way back idle, and a `have` would come late to everybody. Blocks are not copied: those in
//! memory are written from where they are, and those in a pipe are spliced out of it.

use super::Pipe;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;
use types::BlockRange;
use wire::{Message, encode_piece_header};

/// Slices in one write at most.
pub(super) const SLICES: usize = 32;

const HEADER_LEN: usize = 13;

#[derive(Default)]
pub(super) struct SendQueue {
    messages: BytesMut,
    encoded: Vec<u8>,
    /// Only the first may have begun; if it has, none of `messages` is half sent.
    blocks: VecDeque<Outgoing>,
    /// Unsent bytes of `blocks`.
    block_bytes: usize,
    /// How many of `blocks` are runs.
    runs: usize,
    /// Pipes of runs that have left.
    empty_pipes: Vec<Pipe>,
}

enum Outgoing {
    Block(Block),
    Run(Run),
}

/// A block in memory.
struct Block {
    header: [u8; HEADER_LEN],
    data: Bytes,
    block: BlockRange,
    sent: usize,
}

/// Blocks in a pipe.
struct Run {
    pipe: Pipe,
    /// The unsent ones; of the first, `sent` bytes have left.
    blocks: VecDeque<BlockRange>,
    sent: usize,
    unsent: usize,
    begun: bool,
}

impl SendQueue {
    pub(super) fn say(&mut self, message: &Message<'_>) {
        self.encoded.clear();
        message.encode(&mut self.encoded);
        self.messages.extend_from_slice(&self.encoded);
    }

    pub(super) fn push_block(&mut self, block: BlockRange, data: Bytes) {
        let block = Block { header: encode_piece_header(block), data, block, sent: 0 };
        self.push(Outgoing::Block(block));
    }

    /// Adds blocks that are in a pipe, headers included.
    pub(super) fn push_run(&mut self, pipe: Pipe, blocks: Vec<BlockRange>) {
        let unsent = blocks.iter().map(|&block| len_of(block)).sum();
        self.runs += 1;
        self.push(Outgoing::Run(Run { pipe, blocks: blocks.into(), sent: 0, unsent, begun: false }));
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.block_bytes += outgoing.unsent();
        self.blocks.push_back(outgoing);
    }

    /// Takes back the blocks that have not begun. Of a run that has, all is sent.
    pub(super) fn drop_blocks(&mut self) -> impl Iterator<Item = BlockRange> {
        let begun = usize::from(self.begun().is_some());
        let dropped = self.blocks.split_off(begun.min(self.blocks.len()));
        self.block_bytes -= dropped.iter().map(Outgoing::unsent).sum::<usize>();
        self.runs -= dropped.iter().filter(|outgoing| outgoing.run().is_some()).count();
        dropped.into_iter().flat_map(|outgoing| match outgoing {
            Outgoing::Block(block) => VecDeque::from([block.block]),
            Outgoing::Run(run) => run.blocks,
        })
    }

    /// Unsent bytes of messages.
    pub(super) fn message_bytes(&self) -> usize {
        self.messages.len()
    }

    /// Unsent bytes of blocks.
    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// How many pipes wait to be emptied.
    pub(super) fn runs(&self) -> usize {
        self.runs
    }

    /// Pipes that were emptied since this was last asked.
    pub(super) fn empty_pipes(&mut self) -> impl Iterator<Item = Pipe> {
        self.empty_pipes.drain(..)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.blocks.is_empty()
    }

    /// The pipe from which is to be sent what is next, and how many bytes; `None` if that is in memory.
    pub(super) fn pipe(&self) -> Option<(&Pipe, usize)> {
        let run = self.blocks.front()?.run()?;
        (run.begun || self.messages.is_empty()).then_some((&run.pipe, run.unsent))
    }

    /// What to write next, in order, up to what is in a pipe; says how many slices it is.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (begun, waiting) = self.blocks.as_slices();
        let (begun, rest) = begun.split_at(usize::from(self.begun().is_some()));
        let in_memory = rest.iter().chain(waiting).map_while(Outgoing::block);
        let parts = begun
            .iter()
            .filter_map(Outgoing::block)
            .flat_map(Block::parts)
            .chain([&self.messages[..]])
            .chain(in_memory.flat_map(Block::parts));
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// So many bytes of what is next were written; tells each block that has left.
    pub(super) fn advance(&mut self, mut bytes: usize, mut left: impl FnMut(BlockRange)) {
        if self.begun().is_some() {
            self.advance_block(&mut bytes, &mut left);
        }
        let of_messages = bytes.min(self.messages.len());
        self.messages.advance(of_messages);
        bytes -= of_messages;
        while bytes > 0 {
            self.advance_block(&mut bytes, &mut left);
        }
        if self.is_empty() {
            // What was needed at the worst of times is not kept.
            let empty_pipes = std::mem::take(&mut self.empty_pipes);
            *self = SendQueue { empty_pipes, ..SendQueue::default() };
        }
    }

    fn advance_block(&mut self, bytes: &mut usize, left: &mut impl FnMut(BlockRange)) {
        let Some(first) = self.blocks.front_mut() else {
            debug_assert_eq!(*bytes, 0, "more was written than there was");
            *bytes = 0;
            return;
        };
        let part = first.unsent().min(*bytes);
        first.advance(part, left);
        self.block_bytes -= part;
        *bytes -= part;
        if first.unsent() == 0
            && let Some(Outgoing::Run(run)) = self.blocks.pop_front()
        {
            self.runs -= 1;
            self.empty_pipes.push(run.pipe);
        }
    }

    fn begun(&self) -> Option<&Outgoing> {
        self.blocks.front().filter(|first| first.begun())
    }
}

impl Outgoing {
    fn unsent(&self) -> usize {
        match self {
            Outgoing::Block(block) => len_of(block.block) - block.sent,
            Outgoing::Run(run) => run.unsent,
        }
    }

    fn begun(&self) -> bool {
        match self {
            Outgoing::Block(block) => block.sent > 0,
            Outgoing::Run(run) => run.begun,
        }
    }

    fn block(&self) -> Option<&Block> {
        match self {
            Outgoing::Block(block) => Some(block),
            Outgoing::Run(_) => None,
        }
    }

    fn run(&self) -> Option<&Run> {
        match self {
            Outgoing::Block(_) => None,
            Outgoing::Run(run) => Some(run),
        }
    }

    fn advance(&mut self, bytes: usize, left: &mut impl FnMut(BlockRange)) {
        match self {
            Outgoing::Block(block) => {
                block.sent += bytes;
                if block.sent == len_of(block.block) {
                    left(block.block);
                }
            }
            Outgoing::Run(run) => run.advance(bytes, left),
        }
    }
}

impl Block {
    fn parts(&self) -> [&[u8]; 2] {
        let of_data = self.sent.saturating_sub(HEADER_LEN);
        [&self.header[self.sent.min(HEADER_LEN)..], &self.data[of_data..]]
    }
}

impl Run {
    fn advance(&mut self, bytes: usize, left: &mut impl FnMut(BlockRange)) {
        self.begun = true;
        self.unsent -= bytes;
        self.sent += bytes;
        while let Some(&first) = self.blocks.front()
            && self.sent >= len_of(first)
        {
            self.sent -= len_of(first);
            self.blocks.pop_front();
            left(first);
        }
    }
}

fn len_of(block: BlockRange) -> usize {
    HEADER_LEN + block.len as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::PieceIndex;

    fn block(number: u32, len: u32) -> BlockRange {
        BlockRange { piece: PieceIndex::new(number), offset: 0, len }
    }

    fn bytes_of(queue: &SendQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = queue.fill(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    /// Writes so many bytes, and tells what they were and which blocks left.
    fn write(queue: &mut SendQueue, most: usize) -> (Vec<u8>, Vec<BlockRange>) {
        let mut bytes = bytes_of(queue);
        bytes.truncate(most);
        let mut left = Vec::new();
        queue.advance(bytes.len(), |block| left.push(block));
        (bytes, left)
    }

    #[test]
    fn a_message_overtakes_blocks_that_have_not_begun() {
        let mut queue = SendQueue::default();
        queue.push_block(block(1, 3), Bytes::from_static(b"abc"));
        queue.push_block(block(2, 3), Bytes::from_static(b"def"));
        let (mut sent, _) = write(&mut queue, 5);
        queue.say(&Message::Choke);
        let (more, left) = write(&mut queue, usize::MAX);
        assert_eq!(left, [block(1, 3), block(2, 3)]);
        sent.extend(more);
        let mut expected = encode_piece_header(block(1, 3)).to_vec();
        expected.extend(b"abc");
        Message::Choke.encode(&mut expected);
        expected.extend(encode_piece_header(block(2, 3)));
        expected.extend(b"def");
        assert_eq!(sent, expected);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_has_begun_is_not_dropped() {
        let mut queue = SendQueue::default();
        (1..=3).for_each(|n| queue.push_block(block(n, 1), Bytes::from_static(b"x")));
        write(&mut queue, 1);
        assert_eq!(queue.drop_blocks().collect::<Vec<_>>(), [block(2, 1), block(3, 1)]);
        assert_eq!(queue.block_bytes(), HEADER_LEN);
        assert_eq!(write(&mut queue, usize::MAX).1, [block(1, 1)]);
        assert_eq!(queue.drop_blocks().count(), 0);
    }

    proptest! {
        /// However it is cut, what arrives is whole messages, and blocks in their order.
        #[test]
        fn cuts_do_not_matter(steps in proptest::collection::vec((0u8..3, 1usize..70), 1..60)) {
            let mut queue = SendQueue::default();
            let (mut sent, mut left, mut blocks, mut haves) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (number, (what, size)) in (0u32..).zip(steps) {
                match what {
                    0 => {
                        queue.say(&Message::Have(number));
                        haves.push(number);
                    }
                    1 => {
                        let block = block(number, u32::try_from(size).unwrap());
                        queue.push_block(block, vec![7; size].into());
                        blocks.push(block);
                    }
                    _ => {
                        let (bytes, gone) = write(&mut queue, size);
                        sent.extend(bytes);
                        left.extend(gone);
                    }
                }
            }
            while !queue.is_empty() {
                let (bytes, gone) = write(&mut queue, usize::MAX);
                sent.extend(bytes);
                left.extend(gone);
            }
            prop_assert_eq!(queue.block_bytes(), 0);
            prop_assert_eq!(&left, &blocks);
            let mut rest = &sent[..];
            while let Some((length, _)) = rest.split_first_chunk::<4>() {
                let (frame, after) = rest[4..].split_at(u32::from_be_bytes(*length) as usize);
                rest = after;
                let number = u32::from_be_bytes(frame[1..5].try_into().unwrap());
                if frame[0] == 4 {
                    prop_assert_eq!(haves.remove(0), number);
                } else {
                    let block = blocks.remove(0);
                    prop_assert_eq!((block.piece.get(), block.len as usize), (number, frame.len() - 9));
                }
            }
            prop_assert!(haves.is_empty() && blocks.is_empty() && rest.is_empty());
        }
    }
}
