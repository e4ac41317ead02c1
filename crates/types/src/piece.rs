//! Pieces and blocks, and the arithmetic between them and the torrent's bytes.

use core::fmt;
use core::num::NonZeroU32;
use core::ops::Range;

/// The length of a block: what every client asks for in one request (16 KiB, BEP 3 as practised).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The largest number of pieces that a torrent may have (2^21).
pub const MAX_PIECES: u32 = 1 << 21;

/// The number of a piece, counted from 0.
///
/// One made by [`Lengths::piece`] or [`Lengths::pieces`] is in range for that torrent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// Piece number `index`; whether the torrent has it is the caller's to know ([`Lengths::piece`] checks).
    pub const fn new(index: u32) -> PieceIndex {
        PieceIndex(index)
    }

    /// The number as it stands on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into a slice.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes within one piece: what a request asks for and a `piece` message carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRange {
    /// The piece that holds the bytes.
    pub piece: PieceIndex,
    /// Where they start, in bytes from the start of the piece.
    pub offset: u32,
    /// How many there are, in bytes; never 0 where [`Lengths::block_range`] made it.
    pub len: u32,
}

impl BlockRange {
    /// Where the bytes end, in bytes from the start of the piece.
    pub const fn end(&self) -> u32 {
        self.offset.saturating_add(self.len)
    }
}

impl fmt::Debug for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{}..{}", self.piece, self.offset, self.end())
    }
}

/// A short name for the bytes of one block: of two copies of a block, the same digest means the same bytes.
///
/// It is what storage makes of the bytes and of a key that it tells nobody and makes anew for each run. So nobody can
/// prepare two versions of a block that have one digest, as could be done for a hash that everybody can compute
/// (ready-made pairs for SHA-1 can be had from the web); and digests of two runs can't be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockDigest(pub [u8; 16]);

impl fmt::Debug for BlockDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Why a total size and a piece length do not make a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthsError {
    /// There is nothing to divide into pieces.
    Empty,
    /// A piece length of 0.
    ZeroPieceLength,
    /// More than [`MAX_PIECES`] pieces.
    TooManyPieces(u64),
}

impl fmt::Display for LengthsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LengthsError::Empty => f.write_str("the torrent holds no bytes"),
            LengthsError::ZeroPieceLength => f.write_str("the piece length is 0"),
            LengthsError::TooManyPieces(n) => {
                write!(f, "{n} pieces are more than the {MAX_PIECES} that are supported")
            }
        }
    }
}

impl core::error::Error for LengthsError {}

/// How a torrent's bytes divide into pieces and pieces into blocks.
///
/// All pieces have the same length but the last, which may be shorter; likewise the blocks of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    total: u64,
    piece_length: NonZeroU32,
    piece_count: u32,
}

impl Lengths {
    /// Checks a total size in bytes against a piece length in bytes.
    ///
    /// # Errors
    /// No bytes, a piece length of 0, or more than [`MAX_PIECES`] pieces.
    pub fn new(total: u64, piece_length: u32) -> Result<Lengths, LengthsError> {
        let piece_length = NonZeroU32::new(piece_length).ok_or(LengthsError::ZeroPieceLength)?;
        if total == 0 {
            return Err(LengthsError::Empty);
        }
        let count = total.div_ceil(u64::from(piece_length.get()));
        match u32::try_from(count) {
            Ok(piece_count) if piece_count <= MAX_PIECES => Ok(Lengths { total, piece_length, piece_count }),
            _ => Err(LengthsError::TooManyPieces(count)),
        }
    }

    /// All bytes of the torrent, pad files included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The length of every piece but perhaps the last, in bytes.
    pub const fn piece_length(&self) -> u32 {
        self.piece_length.get()
    }

    /// How many pieces there are: 1 to [`MAX_PIECES`].
    pub const fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Piece number `index`, if the torrent has it.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.piece_count).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// The length of one piece in bytes; 0 for one that the torrent does not have.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        let left = self.total.saturating_sub(self.piece_offset(piece));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.piece_length())
    }

    /// Where a piece starts, in bytes from the start of the torrent.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length.get())
    }

    /// The bytes of the torrent that a piece covers.
    pub fn piece_range(&self, piece: PieceIndex) -> Range<u64> {
        let start = self.piece_offset(piece);
        start..start + u64::from(self.piece_len(piece))
    }

    /// The pieces that hold at least one of the torrent's bytes in `bytes` (which is cut to the torrent's end).
    pub fn pieces_touching(&self, bytes: Range<u64>) -> Range<u32> {
        let end = bytes.end.min(self.total);
        if bytes.start >= end {
            return 0..0;
        }
        let piece = |at: u64| u32::try_from(at / u64::from(self.piece_length.get())).unwrap_or(u32::MAX);
        piece(bytes.start)..piece(end - 1) + 1
    }

    /// How many blocks of [`BLOCK_LEN`] a piece has, the short last one included.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LEN)
    }

    /// Block number `block` of a piece, if the piece has it.
    pub fn block(&self, piece: PieceIndex, block: u32) -> Option<BlockRange> {
        let offset = block.checked_mul(BLOCK_LEN)?;
        let left = self.piece_len(piece).checked_sub(offset).filter(|&left| left > 0)?;
        Some(BlockRange { piece, offset, len: left.min(BLOCK_LEN) })
    }

    /// The three numbers of a request or `piece` message, if they lie within one piece and are not empty.
    pub fn block_range(&self, index: u32, offset: u32, len: u32) -> Option<BlockRange> {
        let piece = self.piece(index)?;
        let end = offset.checked_add(len)?;
        (len > 0 && end <= self.piece_len(piece)).then_some(BlockRange { piece, offset, len })
    }

    /// The number of the block within its piece, if `range` is exactly one whole block of [`Lengths::block`].
    pub fn block_number(&self, range: BlockRange) -> Option<u32> {
        let block = range.offset / BLOCK_LEN;
        (self.block(range.piece, block) == Some(range)).then_some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_torrent() {
        assert_eq!(Lengths::new(0, 1), Err(LengthsError::Empty));
        assert_eq!(Lengths::new(1, 0), Err(LengthsError::ZeroPieceLength));
        assert_eq!(Lengths::new(u64::MAX, 1), Err(LengthsError::TooManyPieces(u64::MAX)));
        assert!(Lengths::new(u64::from(MAX_PIECES), 1).is_ok());
        assert!(Lengths::new(u64::from(MAX_PIECES) + 1, 1).is_err());
    }

    #[test]
    fn last_piece_and_last_block_are_short() {
        let l = Lengths::new(100_000, 40_000).unwrap();
        assert_eq!(l.piece_count(), 3);
        assert_eq!(l.piece_len(PieceIndex(2)), 20_000);
        assert_eq!(l.piece_len(PieceIndex(3)), 0);
        assert_eq!(
            l.block(PieceIndex(2), 1),
            Some(BlockRange { piece: PieceIndex(2), offset: 16384, len: 3616 })
        );
        assert_eq!(l.block(PieceIndex(2), 2), None);
        assert_eq!(l.block_range(2, 16384, 3617), None);
        assert_eq!(l.block_range(0, u32::MAX, 1), None);
        assert_eq!(l.block_range(0, 0, 0), None);
        assert_eq!(l.pieces_touching(39_999..40_001), 0..2);
        assert_eq!(l.pieces_touching(5..5), 0..0);
        assert_eq!(l.pieces_touching(80_000..u64::MAX), 2..3);
    }

    proptest! {
        #[test]
        fn blocks_tile_the_torrent(total in 1u64..4_000_000, piece_length in 1u32..300_000) {
            prop_assume!(total.div_ceil(u64::from(piece_length)) <= 5_000);
            let l = Lengths::new(total, piece_length).unwrap();
            let mut at = 0;
            for piece in l.pieces() {
                prop_assert_eq!(l.piece_offset(piece), at);
                for n in 0..l.block_count(piece) {
                    let block = l.block(piece, n).unwrap();
                    prop_assert_eq!(l.block_range(piece.get(), block.offset, block.len), Some(block));
                    prop_assert_eq!(l.block_number(block), Some(n));
                    at += u64::from(block.len);
                }
                prop_assert_eq!(l.block(piece, l.block_count(piece)), None);
            }
            prop_assert_eq!(at, total);
        }
    }
}
