//! The control of the simulator: faults that are planted in every brain are found within the seeds that CI explores.

use sim::{Options, Scenario};
use swarm::Planted;

/// As many as CI explores.
const SEEDS: u64 = 2000;

/// The first seed that shows the fault, and how.
fn found(fault: Option<Planted>, seeds: u64) -> Option<(u64, String)> {
    let options = Options::of(Scenario::Chaos);
    std::panic::set_hook(Box::new(|_| {}));
    (1..=seeds).find_map(|seed| {
        let mut spec = Scenario::Chaos.spec(&options, seed).expect("chaos is always possible");
        spec.planted = fault;
        sim::run(&spec, seed).err().map(|why| (seed, why))
    })
}

#[test]
fn each_fault_is_found() {
    assert_eq!(found(None, 50), None, "without a fault nothing is found");
    for fault in [Planted::OffByOne, Planted::LostWakeUp, Planted::IgnoredChoke] {
        let (seed, why) = found(Some(fault), SEEDS).expect("every planted fault is found");
        println!("{fault:?}: seed {seed}: {}", why.lines().next().unwrap_or_default());
    }
}
