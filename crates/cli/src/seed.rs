//! `seed`: verify what is there and offer it to others.

use crate::args::Seed;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::transfer::{self, Plan};
use engine::Allocate;

pub(crate) fn run(args: &Seed, console: &Console) -> Result<Exit, Failure> {
    // Seeding keeps no resume state: without a home it does as well.
    let state_dir = args.session.state_dir().unwrap_or_else(std::env::temp_dir);
    let plan = Plan {
        dir: args.data.clone(),
        metadata_only: false,
        select: Vec::new(),
        sequential: false,
        overwrite: false,
        allocate: Allocate::Sparse,
        seed_only: true,
        super_seed: args.super_seed,
        seed: Some(transfer::seed_goal(args.goal)),
        peers: args.session.peer.clone(),
        trackers: !args.session.no_trackers,
        dht: !args.session.no_dht,
        web_seeds: !args.session.no_web_seeds,
        record: None,
        trace: None,
    };
    transfer::run(plan, &args.torrents, transfer::settings(&args.session, state_dir), console)
}
