//! How long content takes over one line.

use sim::Spec;

/// Seconds from one seed to one leecher.
fn takes(size: u64, up: u64, down: u64) -> f64 {
    let peer =
        |role, up, down| format!(r#"{{"role": "{role}", "up": {up}, "down": {down}, "latency_ms": 5}}"#);
    let peers = [peer("seed", up, 1_000_000_000), peer("leecher", 1_000_000, down)].join(",");
    let text = format!(r#"{{"size": {size}, "piece_length": 262144, "peers": [{peers}]}}"#);
    let outcome = sim::run(&Spec::from_json(&text).expect("a swarm"), 1).expect("everybody completes");
    outcome.peers[1].finished.expect("it did").as_secs_f64()
}

#[test]
fn a_line_brings_its_rate_of_payload() {
    for (up, down) in [(1_000_000, 8_000_000), (8_000_000, 1_000_000)] {
        let secs = takes(100_000_000, up, down);
        assert!((100.0..101.5).contains(&secs), "{secs} s over lines of {up} and {down}");
    }
}
