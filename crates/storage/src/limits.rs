//! Every bound of this crate, and what happens when it is reached.

use std::time::Duration;

/// Blocks and other jobs that may wait for one write thread. At the limit
/// [`write_block`](crate::TorrentDisk::write_block) waits, and so does the peer that sends.
pub const LANE_QUEUE: usize = 512;

/// Devices that have threads of their own. Torrents on further ones share those of others.
pub const MAX_DEVICES: usize = 8;

/// How old what is known of mounts may be when a torrent is opened: whose disk hangs may then only hinder what is mounted
/// since.
pub const MOUNTS_AGE: Duration = Duration::from_secs(1);

/// Jobs that a write thread takes from its queue at once; they count beside [`LANE_QUEUE`].
pub const LANE_BATCH: usize = 128;

/// While blocks come faster than this, a write thread that has none sleeps for so long rather than be woken for each.
/// At 4 GB/s its queue is full by then.
pub const LANE_NAP: Duration = Duration::from_micros(500);

/// Reads that may wait for the read threads. At the limit [`read_block`](crate::TorrentDisk::read_block)
/// waits.
pub const READ_QUEUE: usize = 1024;

/// Checks, syncs and opens that may wait for the work threads. At the limit the caller waits.
pub const WORK_QUEUE: usize = 256;

/// Bytes of one torrent's blocks that may be in memory alone, because they are not hashed or not worth a write yet. At the
/// limit they are written before they are hashed, and kept. (A block that is a slice of a larger buffer keeps the whole of
/// it alive, but counts with its own length: connections see to it that theirs take no more than about as much again.)
pub const HELD_PER_TORRENT: usize = 16 << 20;

/// Bytes of one torrent's blocks that are kept in memory after they were written, because they are not hashed yet. At the
/// limit they are let go, and read back to be hashed.
pub const KEPT_PER_TORRENT: usize = 16 << 20;

/// Both for all torrents of a pool together; at the limit the torrent whose block comes next gives way.
pub const HELD_PER_POOL: usize = 48 << 20;

/// Bytes of one torrent's blocks that wait to be hashed together; then they are.
pub const HASH_DUE: usize = 16 << 20;

/// How long the first of them waits at most.
pub const HASH_DELAY: Duration = Duration::from_millis(50);

/// The same when no block comes meanwhile: peers that are held to a rate send in bursts.
pub const HASH_PAUSE: Duration = Duration::from_millis(25);

/// The same when every piece that is begun has all its blocks: it may be the end.
pub const HASH_LAST_PAUSE: Duration = Duration::from_millis(5);

/// Pieces of one torrent that may be begun and not finished. A block of one more is refused
/// ([`TooManyPieces`](crate::WriteRefused::TooManyPieces)).
pub const MAX_BEGUN_PIECES: usize = 16_384;

/// Pieces of one torrent of which blocks wait to be forgotten while the disk has too much to do to be told. Those of one more
/// stay: the hash of the piece tells.
pub const MAX_FORGETS: usize = MAX_BEGUN_PIECES;

/// Hashed bytes that are worth a write before their piece is complete.
pub const WRITE_RUN: u32 = 512 << 10;

/// The most that one `pwritev` is given, in blocks; longer runs take several.
pub const MAX_WRITE_BLOCKS: usize = 64;

/// Bytes that one read for upload or for hashing asks for.
pub const READ_RUN: u32 = 256 << 10;

/// Runs kept after a read for upload ([`READ_RUN`] each), over all torrents of a pool. At the limit the one used
/// longest ago goes.
pub const READ_CACHE_RUNS: usize = 32;

/// Runs that went, of which the memory is kept to be read into again; at the limit that of others goes too.
pub const SPARE_RUNS: usize = 4;

/// Files that a pool keeps open. At the limit the one used longest ago is closed, and opened again when needed.
pub const OPEN_FILES: usize = 256;

/// Bytes that one checking job hashes before another torrent may have its turn, and what it was at is done.
pub const CHECK_BATCH: u64 = 32 << 20;

/// Pieces that are hashed abreast at most, by one thread.
pub const HASH_ABREAST: usize = 16;

/// Bytes of pieces beyond which fewer are hashed abreast, though never less than a quarter of [`HASH_ABREAST`].
pub const HASH_ABREAST_BYTES: u32 = 64 << 20;

/// Bytes that are read before they are hashed, of all pieces abreast together.
pub const HASH_READ: usize = 1 << 20;

/// Pieces that one checking job takes, most of which need no hashing if it takes so many.
pub const CHECK_BATCH_PIECES: u32 = 4096;

/// Files or folders for which a sync takes one more thread, up to [`SYNC_THREADS`].
pub const SYNCS_PER_THREAD: usize = 16;

/// Threads that one sync has at most, for as long as it lasts; at the limit files wait for one of them.
pub const SYNC_THREADS: usize = 32;

/// Files and folders beyond which a sync first has the whole file system written back at once.
pub const SYNC_EACH: usize = 1000;

/// Files that a new torrent may have. At the limit [`walk`](crate::walk) gives an error.
pub const MAX_WALKED_FILES: usize = 1_000_000;

/// Folders within folders that [`walk`](crate::walk) goes down; deeper is an error.
pub const MAX_WALK_DEPTH: usize = 100;
