//! Every limit of the codec, and what happens when it is reached.

use types::MAX_PIECES;

/// The longest message that is accepted, in bytes after the length prefix (1 MiB). A longer one is an error as
/// soon as its length prefix is there, so a receive buffer never needs more than this and 4 bytes.
pub const MAX_MESSAGE_LEN: u32 = 1 << 20;

/// The longest block that a `piece` message may carry, in bytes (128 KiB). A longer one is an error.
pub const MAX_BLOCK_LEN: u32 = 128 * 1024;

/// The longest payload of an `extended` message while the torrent is not known yet, in bytes: twice a piece of metadata. A
/// longer one is an error.
pub const MAX_UNKNOWN_EXTENDED_LEN: u32 = 32 * 1024;

/// The most hashes that a `hashes` message may carry: 8192 of a layer and 32 uncles (BEP 52). More are an error.
pub const MAX_HASHES: u32 = 8192 + 32;

/// The most extensions that are kept of a peer's extension handshake (BEP 10); those beyond are ignored.
pub const MAX_EXTENSIONS: usize = 64;

/// The longest extension name that is kept of an extension handshake, in bytes; longer ones are ignored.
pub const MAX_EXTENSION_NAME_LEN: usize = 64;

/// How much of the client name in an extension handshake is kept, in bytes; the rest is cut off.
pub const MAX_CLIENT_NAME_LEN: usize = 128;

/// The most peers that are kept of each list in one `ut_pex` message (BEP 11 allows 50); those beyond are ignored.
pub const MAX_PEX_PEERS: usize = 200;

/// The most bencoded values, keys included, in the payload of an extended message. More are an error.
pub const MAX_EXTENSION_VALUES: usize = 4096;

/// How many lists and dictionaries may be open at once in the payload of an extended message. More are an error.
pub const MAX_EXTENSION_DEPTH: usize = 16;

/// How long the messages of one connection may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most payload bytes of a `piece` message.
    pub block: u32,
    /// The most payload bytes of a `bitfield` message.
    pub bitfield: u32,
    /// The most payload bytes of an `extended` message, its own id not counted.
    pub extended: u32,
}

impl Limits {
    /// The limits for a torrent of `piece_count` pieces.
    pub const fn for_pieces(piece_count: u32) -> Limits {
        // Two bytes of an extended message are its ids.
        Limits { block: MAX_BLOCK_LEN, bitfield: piece_count.div_ceil(8), extended: MAX_MESSAGE_LEN - 2 }
    }

    /// The limits while the number of pieces is not known yet (BEP 9): those of the largest torrent there may be, but of
    /// extended messages only such that are of use then.
    pub const fn unknown_pieces() -> Limits {
        Limits { extended: MAX_UNKNOWN_EXTENDED_LEN, ..Limits::for_pieces(MAX_PIECES) }
    }
}
