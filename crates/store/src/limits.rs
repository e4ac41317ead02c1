//! Every limit of this crate, and what happens at it.

use std::time::Duration;

/// Commits that wait for the store's thread. One more is refused: [`CommitError::Busy`](crate::CommitError::Busy).
pub const MAX_QUEUED: usize = 1024;

/// Commits that become durable together at most; further ones are the next group.
pub const MAX_GROUP: usize = 256;

/// How long a commit waits to begin; after that it is given up, and not made any more. One that has begun is waited for.
pub const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of a key. A longer one is refused.
pub const MAX_KEY: usize = 64;

/// Bytes of a value: a torrent file of the largest size, and room. A longer one is refused.
pub const MAX_VALUE: usize = 65 << 20;

/// Pages of 4 KiB in the log of the database, about; with more, it is brought into the database's own file.
pub const LOG_PAGES: usize = 1000;

/// How long a statement waits for another program that has the database open, such as a backup.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
