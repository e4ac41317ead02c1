//! Every limit of this crate.

/// Requests of one connection whose latency is measured. Of further ones it is not told.
pub const MAX_ASKED: usize = 4096;

/// Pieces under way of which it is remembered who sent blocks of them. Of further ones nobody is named.
pub const MAX_PIECES: usize = 4096;

/// Peers that are named for one piece. Further ones are not.
pub const MAX_SENDERS: usize = 64;

/// Terms of a filter. More are refused.
pub const MAX_TERMS: usize = 64;
