//! Swarms of real brains in virtual time: one seed, one outcome.
//!
//! [`run`] takes a [`Spec`] (who takes part, what the network is like, what goes wrong) and a seed, drives one
//! [`swarm::Swarm`] for each peer over virtual lines and disks, and tells what came of it. On the way everything
//! that the brains say is held to the rules of the protocol, and everything that they count is recounted.
//! [`run_dht`] does the like with thousands of nodes of the DHT.
#![forbid(unsafe_code)]

mod dht;
mod disk;
mod outcome;
mod plot;
mod queue;
mod report;
mod scenario;
mod segments;
mod spec;
mod world;

use std::panic::{AssertUnwindSafe, UnwindSafe};
use std::time::Duration;
use types::Time;

pub use dht::{DhtOptions, DhtReport, DhtSummary, run_dht};
pub use outcome::{Outcome, PeerOutcome};
pub use plot::{PlotError, completion_curve};
pub use report::{Report, Summary};
pub use scenario::{Options, Scenario};
pub use spec::{Checks, DiskSpec, Fault, FileError, MAX_PEERS, MAX_RATE, PeerSpec, Role, Skew, Spec};

/// Runs a swarm. The same spec and seed give the same outcome.
///
/// # Errors
/// If a peer does not complete in time (what it waited for), or if a brain breaks a rule (which).
pub fn run(spec: &Spec, seed: u64) -> Result<Outcome, String> {
    caught(|| world::World::new(spec, seed).run())
}

/// Runs a swarm up to a moment, and shows the brain of one peer, and what time its clock has.
///
/// # Errors
/// If a brain breaks a rule (which), or there is no such peer.
pub fn look(
    spec: &Spec,
    seed: u64,
    after: Duration,
    peer: usize,
    see: impl FnOnce(&swarm::Swarm, Time),
) -> Result<(), String> {
    // What is seen is not looked at after a panic.
    caught(AssertUnwindSafe(|| world::World::new(spec, seed).look(after, peer, see)))
}

/// Runs it; a panic is a broken rule.
fn caught<T>(run: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    std::panic::catch_unwind(run).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("a rule is broken: {}", text.unwrap_or("a panic without words")))
    })
}
