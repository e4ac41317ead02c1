//! A hostile world of who says where peers are: DHT nodes, and neighbours. The scoreboard (`cargo xtask hostile`) runs these
//! and their controls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;
#[path = "finders/mod.rs"]
mod hostile;
