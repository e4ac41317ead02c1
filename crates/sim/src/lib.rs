//! Swarms of real brains in virtual time: one seed, one outcome.
//!
//! [`run`] takes a [`Spec`] (who takes part, what the network is like, what goes wrong) and a seed, drives one
//! [`swarm::Swarm`] for each peer over virtual lines and disks, and tells what came of it. On the way everything
//! that the brains say is held to the rules of the protocol, and everything that they count is recounted.
#![forbid(unsafe_code)]

mod disk;
mod outcome;
mod queue;
mod spec;
mod world;

pub use outcome::{Outcome, PeerOutcome};
pub use spec::{Checks, DiskSpec, Fault, PeerSpec, Role, Skew, Spec};

/// Runs a swarm.
///
/// # Errors
/// If a peer does not complete in time: what it waited for.
///
/// # Panics
/// If a brain breaks a rule.
pub fn run(spec: &Spec, seed: u64) -> Result<Outcome, String> {
    world::World::new(spec, seed).run()
}
