//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the limit is raised to at most. Every connection takes one descriptor, and so do files, up to some hundreds; a
/// system that allows a million gives us no reason to have so many.
const MOST: u64 = 65_536;

/// Raises the limit as far as the system lets everybody do it and we have use for. Where that fails, the limit stays:
/// whoever comes to it is told.
pub(crate) fn raise_limit() {
    if let Some(raised) = raised(getrlimit(Resource::Nofile)) {
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// The limit to be set, if it is to be raised; none means no limit.
fn raised(now: Rlimit) -> Option<Rlimit> {
    let wanted = now.maximum.map_or(MOST, |hard| hard.min(MOST));
    let is_higher = now.current.is_some_and(|soft| soft < wanted);
    is_higher.then_some(Rlimit { current: Some(wanted), maximum: now.maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_within_bounds_and_never_lowered() {
        let after = |current, maximum| raised(Rlimit { current, maximum }).map(|limit| limit.current);
        assert_eq!(after(Some(1024), Some(4096)), Some(Some(4096)));
        assert_eq!(after(Some(1024), Some(1 << 20)), Some(Some(MOST)));
        assert_eq!(after(Some(1024), None), Some(Some(MOST)));
        assert_eq!(after(Some(4096), Some(4096)), None);
        assert_eq!(after(Some(1 << 20), Some(1 << 20)), None);
        assert_eq!(after(None, None), None);
    }

    #[test]
    fn the_system_takes_it() {
        raise_limit();
        assert_eq!(raised(getrlimit(Resource::Nofile)), None);
    }
}
