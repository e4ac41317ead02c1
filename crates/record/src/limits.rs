//! What a recording may hold.

/// Bytes of a chunk, about: it is full when the record that brings it there is in. What was recorded later than the last
/// chunk is lost when a recording is cut off.
pub const CHUNK_LEN: usize = 64 * 1024;

/// Bytes of a chunk that is read, at most: a record can hold the bit field or the priorities of
/// [`MAX_PIECES`](types::MAX_PIECES) pieces. A longer one is damage.
pub const MAX_CHUNK_LEN: usize = 8 * 1024 * 1024;

/// Choices of other addresses that [`redact`](crate::redact) tries, at most. If none is as good as the true ones, the best
/// is taken.
pub const MAX_TRIES: u64 = 16;

/// Connections, requests and slots that a recorded swarm may be allowed, at most. More is damage.
pub const MAX_ALLOWED: u32 = 1 << 20;
