//! Every limit of this crate, and what happens at it.

/// Bytes of a state file of Deluge that are read. A longer one is refused.
pub const MAX_PICKLE: usize = 64 << 20;

/// Values of a state file of Deluge. One with more is refused.
pub const MAX_PICKLE_VALUES: usize = 3_000_000;

/// Torrents of a session. Those beyond are not read, and that is told.
pub const MAX_TORRENTS: usize = 100_000;

/// Tags of a torrent. Those beyond are left out.
pub const MAX_TAGS: usize = 100;

/// Bytes of a label. What is beyond is left out.
pub const MAX_LABEL: usize = 200;

/// Categories with folders. Those beyond are left out.
pub const MAX_CATEGORIES: usize = 1000;

/// Objects and arrays of JSON within each other. What is deeper ends what is read.
pub const MAX_JSON_DEPTH: usize = 32;

/// Trackers of a torrent. Those beyond are left out.
pub const MAX_TRACKERS: usize = 1000;

/// Bytes of the trackers of a magnet link, which becomes up to three times as long with them. Those beyond are left out.
pub const MAX_LINK_TRACKERS: usize = 16 << 10;

/// For how many seconds after a torrent was complete libtorrent may still write its last bytes.
pub const SETTLES_WITHIN: i64 = 10;
