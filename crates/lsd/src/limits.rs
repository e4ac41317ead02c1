//! Every limit and period of local service discovery, and what happens when one is reached.

use core::time::Duration;

/// The longest datagram that is sent, in bytes (BEP 14): with more info-hashes, several are.
pub const MAX_SENT: usize = 1400;

/// The longest datagram that is read, in bytes: what an Ethernet frame holds. A longer one is dropped.
pub const MAX_DATAGRAM: usize = 1500;

/// Info-hashes of one datagram: as many as [`MAX_SENT`] has room for. Of one that was heard others are ignored.
pub const MAX_HASHES: usize = 25;

/// How often a torrent is announced (BEP 14), ...
pub const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// ... or up to this much sooner, so that hosts that began together do not stay together.
pub const JITTER: Duration = Duration::from_secs(30);

/// A torrent is not announced again within this, whatever happens.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// What is due within this is announced together with what is due now, so that in time few datagrams say all.
pub const TOGETHER: Duration = Duration::from_secs(60);

/// The time between two datagrams; what is due meanwhile waits. (BEP 14 asks for a minute between announces of one
/// torrent each, of which this one would hold six.)
pub const GAP: Duration = Duration::from_secs(10);

/// A torrent that has just joined is announced after something between these, and a newcomer is answered: torrents that
/// are added together then go together, and not everybody answers at once.
pub const DELAY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(1500));

/// Torrents that take part. At the limit one more is neither announced nor listened for. With [`GAP`] and
/// [`MAX_HASHES`], so many are announced about once an hour each.
pub const MAX_TORRENTS: usize = 10_000;

/// Peers of one torrent that are remembered, so that newcomers are told from them. At the limit the oldest is forgotten,
/// and may be answered anew.
pub const MAX_HEARD: usize = 32;

/// Peers of one host that are passed on within [`MINUTE`] whatever others do: one of each torrent that a datagram names.
pub const FOUND_FOR_SURE: u32 = 25;

/// Peers beyond [`FOUND_FOR_SURE`] that are passed on within [`MINUTE`], of all hosts together; more are dropped, until they
/// announce themselves again.
pub const MAX_FOUND: u32 = 500;

/// Peers of one host that are passed on within [`MINUTE`]. Several clients may run on it, with many torrents in common.
pub const MAX_FOUND_OF_HOST: u32 = 100;

/// Hosts of each family that are heard within [`MINUTE`], as many as most local networks have. At the limit one more gets the
/// place of another by chance, the less likely the more have come (so that addresses that are made up keep out nobody for
/// sure), or is not heard. Without such exchange so many are passed on at most: 6,400 over each, and [`MAX_FOUND`].
pub const MAX_HOSTS: usize = 256;

/// Over how long peers are counted that are passed on.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Networks of this host that are known. At the limit others are ignored: what comes from there is believed if its
/// address is a private one.
pub const MAX_NETWORKS: usize = 64;
