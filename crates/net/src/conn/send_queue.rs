//! What waits to be sent: messages, and blocks behind them.
//!
//! A message that is said now overtakes the blocks that have not begun: a request that waited behind megabytes of our
//! own uploads would leave the way back idle, and a `have` would come late to everybody. Blocks are not copied: those in
//! memory are written from where they are, those in files go through a [`Pipe`], some at a time.

use super::{Extent, Pipe};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use types::BlockRange;
use wire::{Message, encode_piece_header};

/// Slices in one write at most.
pub(super) const SLICES: usize = 32;

const HEADER_LEN: usize = 13;

#[derive(Default)]
pub(super) struct SendQueue {
    messages: BytesMut,
    encoded: Vec<u8>,
    /// In the pipe, and before all others.
    piped: VecDeque<Piped>,
    /// Only the first may have begun; if it has, none of `messages` is half sent.
    blocks: VecDeque<Outgoing>,
    /// Unsent bytes of blocks, those in the pipe included.
    block_bytes: usize,
}

struct Outgoing {
    header: [u8; HEADER_LEN],
    data: Payload,
    block: BlockRange,
    /// Bytes that are sent, or in the pipe.
    sent: usize,
}

/// The bytes of a block.
pub(super) enum Payload {
    Bytes(Bytes),
    Extent(Extent),
}

/// Bytes in the pipe.
struct Piped {
    bytes: usize,
    /// They are of a block, not of messages.
    of_block: bool,
    /// The block whose last bytes they are.
    ends: Option<BlockRange>,
}

impl SendQueue {
    pub(super) fn say(&mut self, message: &Message<'_>) {
        self.encoded.clear();
        message.encode(&mut self.encoded);
        self.messages.extend_from_slice(&self.encoded);
    }

    pub(super) fn push_block(&mut self, block: BlockRange, data: Payload) {
        self.block_bytes += HEADER_LEN + block.len as usize;
        self.blocks.push_back(Outgoing { header: encode_piece_header(block), data, block, sent: 0 });
    }

    /// Takes back the blocks that have not begun.
    pub(super) fn drop_blocks(&mut self) -> impl Iterator<Item = BlockRange> {
        let begun = usize::from(self.begun().is_some());
        let dropped = self.blocks.split_off(begun.min(self.blocks.len()));
        self.block_bytes -= dropped.iter().map(Outgoing::unsent).sum::<usize>();
        dropped.into_iter().map(|outgoing| outgoing.block)
    }

    /// Unsent bytes of messages.
    pub(super) fn message_bytes(&self) -> usize {
        self.messages.len()
    }

    /// Unsent bytes of blocks.
    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.blocks.is_empty() && self.piped.is_empty()
    }

    /// Whether something is in the pipe.
    pub(super) fn has_piped(&self) -> bool {
        !self.piped.is_empty()
    }

    /// Whether what is next has to go through the pipe.
    pub(super) fn is_pipe_next(&self) -> bool {
        let is_extent = |block: &Outgoing| matches!(block.data, Payload::Extent(_));
        !self.piped.is_empty() || self.blocks.front().is_some_and(is_extent)
    }

    /// Puts what is next into the pipe: messages, and blocks that lie in files, until about so many bytes are in it.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or has become shorter: nothing more can be sent that makes sense.
    pub(super) fn fill_pipe(&mut self, pipe: &mut Pipe, most: usize) -> io::Result<()> {
        if self.begun().is_some() && !self.pipe_block(pipe)? {
            return Ok(());
        }
        if !self.messages.is_empty() {
            let bytes = pipe.put(&self.messages)?;
            self.messages.advance(bytes);
            self.piped.push_back(Piped { bytes, of_block: false, ends: None });
        }
        while self.messages.is_empty() && pipe.held() < most && self.pipe_block(pipe)? {}
        Ok(())
    }

    /// Puts the first block into the pipe; `false` if there is none for it, or not all of it found room.
    fn pipe_block(&mut self, pipe: &mut Pipe) -> io::Result<bool> {
        let Some(Outgoing { header, data: Payload::Extent(extent), block, sent }) = self.blocks.front_mut()
        else {
            return Ok(false);
        };
        let before = *sent;
        if *sent < HEADER_LEN {
            *sent += pipe.put(&header[*sent..])?;
        }
        let len = HEADER_LEN + block.len as usize;
        let mut room = *sent >= HEADER_LEN;
        while room && *sent < len {
            let offset = extent.offset + (*sent - HEADER_LEN) as u64;
            let put = pipe.put_from(extent.file.as_fd(), offset, len - *sent)?;
            *sent += put;
            room = put > 0;
        }
        let ends = (*sent == len).then_some(*block);
        if *sent > before {
            self.piped.push_back(Piped { bytes: *sent - before, of_block: true, ends });
        }
        if ends.is_some() {
            self.blocks.pop_front();
        }
        Ok(ends.is_some())
    }

    /// So many bytes have left the pipe; tells each block that has left with them.
    pub(super) fn advance_pipe(&mut self, mut bytes: usize, mut left: impl FnMut(BlockRange)) {
        while bytes > 0
            && let Some(first) = self.piped.front_mut()
        {
            let part = first.bytes.min(bytes);
            first.bytes -= part;
            bytes -= part;
            if first.of_block {
                self.block_bytes -= part;
            }
            if first.bytes == 0 {
                first.ends.into_iter().for_each(&mut left);
                self.piped.pop_front();
            }
        }
    }

    /// What to write next, in order, up to what has to go through the pipe; says how many slices it is.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (begun, waiting) = self.blocks.as_slices();
        let (begun, rest) = begun.split_at(usize::from(self.begun().is_some()));
        let parts = begun
            .iter()
            .flat_map(Outgoing::parts)
            .chain([&self.messages[..]])
            .chain(rest.iter().chain(waiting).take_while(Outgoing::is_in_memory).flat_map(Outgoing::parts));
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// So many bytes were written; tells each block that has left.
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
            *self = SendQueue::default();
        }
    }

    fn advance_block(&mut self, bytes: &mut usize, left: &mut impl FnMut(BlockRange)) {
        let Some(first) = self.blocks.front_mut() else {
            debug_assert_eq!(*bytes, 0, "more was written than there was");
            *bytes = 0;
            return;
        };
        let part = first.unsent().min(*bytes);
        first.sent += part;
        self.block_bytes -= part;
        *bytes -= part;
        if first.unsent() == 0 {
            left(first.block);
            self.blocks.pop_front();
        }
    }

    /// The first block, if some of it is sent or in the pipe.
    fn begun(&self) -> Option<&Outgoing> {
        self.blocks.front().filter(|first| first.sent > 0)
    }
}

impl Outgoing {
    fn unsent(&self) -> usize {
        HEADER_LEN + self.block.len as usize - self.sent
    }

    fn is_in_memory(self: &&Self) -> bool {
        matches!(self.data, Payload::Bytes(_))
    }

    /// What is left of header and payload, of a block in memory.
    fn parts(&self) -> [&[u8]; 2] {
        let of_data = self.sent.saturating_sub(HEADER_LEN);
        let Payload::Bytes(data) = &self.data else { return [&[]; 2] };
        [&self.header[self.sent.min(HEADER_LEN)..], &data[of_data..]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::PieceIndex;

    fn block(number: u32, len: u32) -> BlockRange {
        BlockRange { piece: PieceIndex::new(number), offset: 0, len }
    }

    fn bytes(bytes: &'static [u8]) -> Payload {
        Payload::Bytes(Bytes::from_static(bytes))
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
        queue.push_block(block(1, 3), bytes(b"abc"));
        queue.push_block(block(2, 3), bytes(b"def"));
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
        (1..=3).for_each(|n| queue.push_block(block(n, 1), bytes(b"x")));
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
                        queue.push_block(block, Payload::Bytes(vec![7; size].into()));
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
