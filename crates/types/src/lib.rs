//! The nouns that every rawtorrent crate shares.
//!
//! Everything here is plain data, validated once where it enters: past a constructor, an index is in range, a
//! length is not zero, a bit field has no stray bits. No I/O, no clock, no threads.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod addr;
mod bitfield;
mod id;
mod piece;
mod size;
mod text;
mod time;
mod zone;

pub use addr::{is_local, plain_ip};
pub use bitfield::Bitfield;
pub use id::{InfoHash, InfoHashV1, InfoHashV2, ParseHashError, PeerId};
pub use piece::{BLOCK_LEN, BlockDigest, BlockRange, Lengths, LengthsError, MAX_PIECES, PieceIndex};
pub use size::{Rate, Size};
pub use text::{MAX_MARKS, is_ignorable, is_unseen, judged};
pub use time::Time;
pub use zone::Zone;
