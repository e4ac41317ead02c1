//! How many instructions listening to events costs on the way of a block: counted by callgrind, so that any machine will do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run;

/// Blocks that pass the function that is counted.
const BLOCKS: u64 = 12_800;
/// More instructions that a block may take when nobody listens: 1 % of what only hashing it takes, some 20,000 with the
/// processor's own SHA-1.
const BAR: u64 = 200;
/// The tests whose function `measured` is counted, and what each is.
const WAYS: [(&str, &str); 3] =
    [("alone", "the swarm alone"), ("off", "nobody listens"), ("on", "somebody listens")];

/// Prints a table; `false` if it costs too much when nobody listens.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let binary = build(root)?;
    let counts = WAYS.map(|(test, _)| count(root, &binary, test));
    let [alone, off, on] = counts;
    let (alone, off, on) = (alone?, off?, on?);
    for ((_, name), count) in WAYS.iter().zip([alone, off, on]) {
        let (each, more) = (count / BLOCKS, count.saturating_sub(alone) / BLOCKS);
        println!("{name:<18} {each:>6} instructions a block, {more:>5} more");
    }
    Ok(off.saturating_sub(alone) <= BLOCKS * BAR)
}

/// The engine's tests, optimized.
fn build(root: &Path) -> Result<String> {
    let mut cargo = run::command(root, run::cargo());
    cargo.args(["test", "--release", "--locked", "--package", "rawtorrent-engine", "--lib", "--no-run"]);
    let output = cargo.arg("--message-format=json").output().context("cargo cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    let messages = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = messages.filter_map(|message| message["executable"].as_str().map(str::to_owned)).next_back();
    found.context("cargo names no test binary")
}

fn count(root: &Path, binary: &str, test: &str) -> Result<u64> {
    let mut valgrind: Command = run::command(root, "valgrind");
    valgrind.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=*overhead*measured*",
    ]);
    valgrind.args([binary, "--exact", &format!("tape::overhead::{test}"), "--test-threads=1"]);
    let output = valgrind.output().context("valgrind is needed (apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : ").map(|(_, count)| count.trim()));
    let count = line.and_then(|count| count.parse().ok()).filter(|&count: &u64| count > 0);
    count.with_context(|| format!("callgrind counted nothing\n{said}"))
}
