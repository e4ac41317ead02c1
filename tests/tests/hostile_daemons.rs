//! A hostile world around the API, and recordings. The scoreboard (`cargo xtask hostile`) runs these and their controls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;
#[path = "daemons/mod.rs"]
mod hostile;
