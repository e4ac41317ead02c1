//! Every bound of this crate, and what happens at it.

use core::time::Duration;

/// The longest tracker URL in bytes; a longer one is refused.
pub const MAX_URL_LEN: usize = 2048;

/// The most trackers of one torrent; those beyond are reported and never announced to.
pub const MAX_TRACKERS: usize = 128;

/// The most trackers of one torrent at the same host that is not in a private network, whatever the port and the spelling; those beyond are reported and never announced to.
/// Whoever makes a torrent or a link would have all who use it call on a host of others' otherwise.
pub const MAX_TRACKERS_OF_HOST: usize = 4;

/// The most peers taken from one answer; the rest are dropped.
pub const MAX_PEERS: usize = 1000;

/// The most characters kept of a tracker's text (failure reason, warning); the rest becomes `…`.
pub const MAX_TEXT_CHARS: usize = 200;

/// The longest tracker id in bytes that is kept and sent back; a longer one is ignored.
pub const MAX_TRACKER_ID_LEN: usize = 256;

/// The most torrents in one scrape: what a UDP packet holds (BEP 15); those beyond are left out.
pub const MAX_SCRAPE: usize = 74;

/// How many peers an announce asks for.
pub const NUMWANT: u32 = 200;

/// The time between announces when the tracker names none.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The shortest interval that a tracker can ask for; a shorter one is raised to this.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// The longest interval that a tracker can ask for; a longer one is cut to this.
pub const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The least time between two announces without an event when the tracker names none (but never more than its interval).
pub const DEFAULT_MIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The wait after a tracker's first failure; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(10);

/// The longest wait after a failure, unless the tracker itself asks for more (BEP 31, up to [`MAX_INTERVAL`]).
pub const BACKOFF_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a tier may leave an announce unanswered before the next tier is tried beside it.
pub const TIER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a UDP connection id may be used (BEP 15).
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// The most torrents that [`crate::serve::Tracker`] remembers; an announce for one more is refused with a reason.
pub const MAX_SERVED_SWARMS: usize = 1024;

/// The most peers that [`crate::serve::Tracker`] remembers of one torrent; one more gets an answer but is not listed.
pub const MAX_SERVED_PEERS: usize = 1000;

/// The most peers that [`crate::serve::Tracker`] puts into one answer.
pub const MAX_SERVED_NUMWANT: usize = 200;
