//! Every limit and period of a session, and what happens when one is reached.

use core::time::Duration;

/// Torrents that are known. At the limit one more is refused ([`Output::Refused`](crate::Output::Refused)).
pub const MAX_TORRENTS: usize = 100_000;

/// Rates are dealt out anew this often at most, while torrents report: what one does not use others get within a second.
pub const RATE_TICK: Duration = Duration::from_millis(250);

/// Connections and slots are dealt out anew this often at most: who gets fewer has to close some.
pub const COUNT_TICK: Duration = Duration::from_secs(5);

/// A rate is measured over this long at least, and at most twice as long.
pub const RATE_WINDOW: Duration = Duration::from_millis(500);

/// A torrent that reports nothing for this long uses nothing.
pub const REPORT_AGE: Duration = Duration::from_secs(2);

/// Torrents that use next to nothing are left this part of a limit together, so that they can begin.
pub const IDLE_PART: u64 = 16;

/// ... but not more than this each, in bytes per second.
pub const IDLE_RATE: u64 = 1024;

/// Who does not use all it has is left this part more than it uses.
pub const ROOM_PART: u64 = 32;

/// Limits that changed by less than this part are not told anew.
pub const TOLD_PART: u64 = 16;

/// The connections that every active torrent may have, as long as there are as many for each; never less than one, even
/// if that is more than there are.
pub const MIN_PEERS: usize = 4;

/// Connections that a torrent is left above those that it has.
pub const PEER_ROOM: usize = 8;

/// The upload rate, in bytes per second, that it takes to serve one more peer at a time. (A slow line that is shared by
/// many serves none of them well.)
pub const RATE_PER_SLOT: u64 = 4 * 1024;

/// How many peers a torrent serves at a time where no number is set, the rate permitting: at least and at most.
pub const AUTO_SLOTS: (usize, usize) = (2, 64);

/// A torrent that moves less than this, in bytes per second, and is not held back by a limit is idle.
pub const IDLE_BELOW: u64 = 2 * 1024;

/// A download that is idle for this long goes to the end of the queue if another waits.
pub const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(2 * 60);

/// A seed that is idle for this long makes room for one that waits.
pub const SEED_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A seed that has run for this long makes room for one that waits.
pub const SEED_TURN: Duration = Duration::from_secs(30 * 60);

/// After torrents made room for others, nobody does so for this long: who has just stopped is not to start again at once
/// because another is idle as well.
pub const ROTATION_PAUSE: Duration = Duration::from_secs(30);
