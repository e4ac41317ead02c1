//! A wide-area network on this machine, and swarms of the binary that trade over it.
//!
//! Every peer has a network namespace with one TUN device in it. All packets go to one thread, the [`router`], which
//! holds them back as lines of a given rate, queue and delay would: kernels don't always have `netem`, but every one
//! has TUN. Nothing is routed out of the namespaces, so no packet leaves the machine, and all of them are behind mounts
//! of the process's own, so nothing is left of them however it ends.
//!
//! `cargo xtask lab` measures the lines and compares all scenarios. By hand, after
//! `cargo build --release -p rawtorrent -p rawtorrent-tests`:
//!
//! ```text
//! target/release/wanlab selftest
//! target/release/wanlab compare tests/scenarios/*.json --binary target/release/rawtorrent
//! ```
//!
//! - [`scenario`]: who takes part, and what their lines are like; the simulator reads the same files
//! - [`lab`]: the namespaces, made and unmade
//! - [`router`]: rates, queues and delays
//! - [`run`]: a swarm of the binary, and when who was complete
//! - [`selftest`]: whether the lines are what they are said to be

pub mod lab;
pub mod router;
pub mod run;
pub mod scenario;
pub mod selftest;
mod tun;

use std::path::Path;

use anyhow::Result;

use crate::interop::netns;

/// Where `ip netns` keeps its names; and where swarms keep their files, since a disk that is busy with something else
/// would be part of the result.
pub const MEMORY: &str = "/run";

/// Returns once this process is in namespaces of its own for network and mounts, with a [`MEMORY`] of its own.
///
/// # Errors
/// The kernel doesn't let us.
pub fn enter() -> Result<()> {
    netns::enter()?;
    netns::cover(Path::new(MEMORY))
}
