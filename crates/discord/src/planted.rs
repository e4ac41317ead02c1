//! Faults that are planted on purpose, to see that the tests that guard against them find them. Never part of a program:
//! the feature `planted` is for the controls of tests alone.

/// Whether `RAWTORRENT_PLANTED` names this one.
pub(crate) fn is(name: &str) -> bool {
    std::env::var("RAWTORRENT_PLANTED").is_ok_and(|fault| fault == name)
}
