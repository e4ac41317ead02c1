//! A download is recorded and gone through again: the brain decides the same, and nothing of it is told that should not be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::fs;

use common::{Home, assert_fails, run};
use rawtorrent_tests::content::Sample;
use serde_json::Value;

/// A hundred MiB.
const LARGE: Sample = Sample { name: "large.bin", layout: &[("", 100 << 20)] };
const PEERS: usize = 4;

#[test]
fn a_recorded_download_decides_the_same_when_it_is_replayed() {
    let home = Home::new(LARGE);
    let seeds: Vec<_> = (0..PEERS).map(|_| home.fake_seed()).collect();
    let recording = home.path().join("a.rec");
    let done = run(home.download_from(&seeds.iter().collect::<Vec<_>>()).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    let len = fs::metadata(&recording).unwrap().len();
    println!("{len} bytes of {}", 100 << 20);
    assert!(len * 50 <= 100 << 20, "more than 2 % of the payload: {len} bytes");

    let replay = |options: &[&str]| run(home.command().arg("replay").arg(&recording).args(options));
    let replayed = replay(&[]);
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the same ones as when it was recorded"), "{}", replayed.stderr);
    assert!(!replayed.stderr.contains("cut off"), "{}", replayed.stderr);
    assert!(!replayed.stdout.contains("127.0.0.1"), "an address is told");
    let count = |text: &str| replayed.stdout.lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("answers: "), count(" is good")), (PEERS, 1600 + 1));

    let lines = replay(&["--json", "--addresses"]).stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for seed in &seeds {
        let addr = seed.addr.to_string();
        let of = |way: &str, text: &str| {
            let is = |line: &&Value| {
                line["peer"] == *addr
                    && line["way"] == *way
                    && line["text"].as_str().unwrap().starts_with(text)
            };
            lines.iter().filter(is).count()
        };
        let (asked, came) = (of("out", "request "), of("in", "piece "));
        assert!(asked > 0 && came > 0 && came <= asked, "{addr}: {asked} requests, {came} blocks");
    }
    let times: Vec<f64> = lines.iter().map(|line| line["at"].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] == 0.0);

    // Only up to a time.
    let until = replay(&["--until", "0", "--json"]);
    let some: Vec<Value> = until.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!some.is_empty() && some.len() < lines.len() && some.iter().all(|line| line["at"] == 0.0));

    // What is there is not written over, and what is damaged is not believed.
    let again = run(home.download_from(&[]).arg("--record").arg(&recording));
    assert_fails(&again, &["already"]);
    let mut bytes = fs::read(&recording).unwrap();
    assert_eq!(bytes.len() as u64, len);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&recording, &bytes).unwrap();
    assert_fails(&replay(&[]), &["damaged"]);
    bytes.truncate(middle);
    fs::write(&recording, &bytes).unwrap();
    let cut = replay(&[]);
    assert_eq!(cut.code(), Some(0), "{}", cut.stderr);
    assert!(cut.stderr.contains("cut off"), "{}", cut.stderr);
    assert_fails(&run(home.command().arg("replay").arg(&home.torrent)), &["no recording"]);
}
