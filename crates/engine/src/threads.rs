//! Whether the system has threads for us. What runs tasks and blocking calls takes that for granted, and panics or waits
//! for ever where it is not so.

use crate::Error;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads for calls that block (names, files, the store), beside those that run tasks and those of the disks.
pub(crate) const BLOCKING: usize = 12;

/// Makes sure that so many more threads can be had at once, by having them for a moment.
///
/// # Errors
/// [`Error::Start`] if not.
pub fn ensure(count: usize) -> Result<(), Error> {
    #[cfg(feature = "planted")]
    if net::planted::is("unasked-threads") {
        return Ok(());
    }
    let gate = Mutex::new(());
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = || drop(gate.lock());
    let all = thread::scope(|scope| {
        let all = (0..count).try_for_each(|_| thread::Builder::new().spawn_scoped(scope, wait).map(drop));
        drop(closed);
        all
    });
    all.map_err(|_| {
        let why = "the system gives no more threads; end other programs, or raise the limit (ulimit -u)";
        Error::Start(why.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_some_here() {
        ensure(BLOCKING).unwrap();
        ensure(0).unwrap();
    }
}
