//! Every limit of this crate.

/// Requests of one connection whose latency is measured. Of further ones it is not told.
pub const MAX_ASKED: usize = 4096;

/// Blocks of one connection that were asked for and are not any more, of which that is known when they come all the same. Of
/// those before it is not.
pub const MAX_CANCELLED: usize = 512;

/// Connections that have ended, of which it is known who was there: those that ended last.
pub const MAX_GONE: usize = 64;

/// Pieces under way of which it is remembered who sent blocks of them. Of further ones nobody is named.
pub const MAX_PIECES: usize = 4096;

/// Peers that are named for one piece. Further ones are not.
pub const MAX_SENDERS: usize = 64;

/// Terms of a filter. More are refused.
pub const MAX_TERMS: usize = 64;
