//! Every limit and period of a swarm, and what happens when one is reached.

use core::time::Duration;

/// [`Output::NeedPeers`](crate::Output::NeedPeers) is said at most this often.
pub const NEED_PEERS_INTERVAL: Duration = Duration::from_secs(30);
/// A connection on which no message came for this long is closed (BEP 3 as practised).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
