//! Who gets how many of the files and sockets that the process may have open.

use crate::listen::MAX_GREETING;
use rustix::process::{Resource, getrlimit};

/// What is neither a file of a torrent, nor a pipe, nor a peer: the runtimes, the store, listeners, trackers, web seeds,
/// folders on the way to a file.
const OTHERS: u64 = 30;
/// The fewest files that a pool can work with.
const FILES_LEAST: u64 = 8;

/// The shares of what the system allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Files that stay open.
    pub(crate) files: usize,
    /// Pipes, which take two each.
    pub(crate) pipes: usize,
    /// Connections to peers, one at least.
    pub(crate) peers: usize,
    /// Callers in their handshake, who are no peers yet; one at least.
    pub(crate) greeting: usize,
}

impl Descriptors {
    /// Of the limit that is in force now.
    pub(crate) fn now() -> Descriptors {
        #[cfg(feature = "planted")]
        if net::planted::is("no-shares") {
            return Descriptors::of(None);
        }
        Descriptors::of(getrlimit(Resource::Nofile).current)
    }

    /// A quarter to files and a tenth to pipes, and of the rest a quarter to callers, up to what they have use for; `None` is
    /// no limit.
    fn of(limit: Option<u64>) -> Descriptors {
        let limit = limit.unwrap_or(u64::MAX);
        let share = |part: u64, least: u64, most: usize| {
            usize::try_from((limit / part).max(least)).map_or(most, |share| share.min(most))
        };
        let files = share(4, FILES_LEAST, storage::limits::OPEN_FILES);
        let pipes = share(20, 0, net::conn::PIPES_MOST);
        let rest = limit.saturating_sub(OTHERS).saturating_sub((files + 2 * pipes) as u64);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let greeting = (rest / 4).min(MAX_GREETING);
        Descriptors { files, pipes, peers: (rest - greeting).max(1), greeting: greeting.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::conn::PIPES_MOST;
    use storage::limits::OPEN_FILES;

    #[test]
    fn everybody_gets_a_share() {
        let of = |limit| {
            let Descriptors { files, pipes, peers, greeting } = Descriptors::of(limit);
            (files, pipes, peers, greeting)
        };
        assert!(matches!(of(None), (OPEN_FILES, PIPES_MOST, 1_000_000.., MAX_GREETING)));
        assert_eq!(of(Some(1024)), (OPEN_FILES, PIPES_MOST, 642 - 160, 160));
        assert_eq!(of(Some(64)), (16, 3, 9, 3));
        assert_eq!(of(Some(16)), (8, 0, 1, 1), "it will not go far, but it is said where it ends");
    }
}
