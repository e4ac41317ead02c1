//! The Discord bot from outside: a stand-in for Discord, real daemons, real seeds, all on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod allowing;
#[path = "../common/mod.rs"]
mod common;
mod embedded;
mod hostile;
mod lost;
mod mishaps;
mod stage;
mod whole;
