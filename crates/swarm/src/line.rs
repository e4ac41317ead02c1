//! What bytes cost on the line: an estimate, since TCP does not tell.
//!
//! Every message is taken to travel in segments of its own: full ones of [`SEGMENT_PAYLOAD`] bytes and a last one, each
//! behind [`SEGMENT_HEADERS`] bytes of IPv4 and TCP headers. Not counted are bare acknowledgements (how many there are
//! is up to the other end's kernel, and counting what can't be held back would let a fast download starve a slow
//! upload), retransmissions, and what lies below IP.

use crate::limits::{SEGMENT_HEADERS, SEGMENT_PAYLOAD};

/// Of a message of `len` bytes, its length prefix included.
pub(crate) fn cost(len: u64) -> u64 {
    len.saturating_add(len.div_ceil(SEGMENT_PAYLOAD).saturating_mul(SEGMENT_HEADERS))
}

/// Of the `piece` message that carries a block of `len` bytes.
pub(crate) fn block_cost(len: u32) -> u64 {
    cost(PIECE_HEADER + u64::from(len))
}

/// Of a message that is told in a few bytes: `request` or `cancel`.
pub(crate) fn request_cost() -> u64 {
    cost(REQUEST)
}

/// Length prefix, number, piece and offset.
const PIECE_HEADER: u64 = 13;
/// The same and a length.
const REQUEST: u64 = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use types::{BLOCK_LEN, BlockRange, PieceIndex};
    use wire::Message;

    #[test]
    fn a_block_costs_twelve_segments() {
        assert_eq!(block_cost(BLOCK_LEN), 16_384 + 13 + 12 * 52);
        assert_eq!(cost(0), 0);
        assert_eq!(cost(1), 53);
        assert_eq!(cost(SEGMENT_PAYLOAD + 1), SEGMENT_PAYLOAD + 1 + 2 * SEGMENT_HEADERS);
        assert_eq!(cost(u64::MAX), u64::MAX);
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        let block = BlockRange { piece: PieceIndex::new(1), offset: 0, len: BLOCK_LEN };
        assert_eq!(PIECE_HEADER, wire::encode_piece_header(block).len() as u64);
        for message in [Message::Request(block.into()), Message::Cancel(block.into())] {
            assert_eq!(REQUEST, message.encoded_len() as u64);
        }
    }
}
