//! A hostile world of torrents. The scoreboard (`cargo xtask hostile`) runs these and their controls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;
#[path = "torrents/mod.rs"]
mod hostile;
