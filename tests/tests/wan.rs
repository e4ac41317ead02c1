//! The emulated wide-area network carries packets and swarms; how fast is for `cargo xtask lab` to tell, on a machine
//! that is idle.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rawtorrent_tests::{binary, process};
use serde_json::Value;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_swarm_of_real_peers_completes() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("small.json");
    let peer = |role: &str, start: f64| {
        format!(
            r#"{{"role": "{role}", "up": 1000000, "down": 4000000, "latency_ms": 10, "start_s": {start}}}"#
        )
    };
    let peers = [peer("seed", 0.0), peer("leecher", 0.0), peer("leecher", 0.5)].join(",");
    let swarm = format!(r#"{{"name": "small", "size": 1000000, "piece_length": 65536, "peers": [{peers}]}}"#);
    fs::write(&file, swarm).unwrap();

    let mut wanlab = Command::new(env!("CARGO_BIN_EXE_wanlab"));
    let done = process::run(wanlab.arg("run").arg(&file).arg("--binary").arg(binary::path()), LIMIT).unwrap();
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let secs = |peer: usize| told["peers"][peer]["finished_secs"].as_f64();
    assert_eq!(secs(0), None, "{told}");
    // One copy takes the line of the seed a second.
    assert!(secs(1).unwrap().max(secs(2).unwrap()) > 0.9, "{told}");
    assert!(told["network"]["sent_bytes"][0].as_u64() > Some(1_000_000), "{told}");
}
