//! How many instructions listening to events costs on the way of a block, in the brain and on the whole way from the socket to
//! the disk: counted by callgrind, so that any machine will do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::built::{self, Program};
use crate::run;

/// Blocks that pass the function that is counted.
const BLOCKS: u64 = 12_800;
/// The tests whose function `measured` is counted, and what each is.
const WAYS: [(&str, &str); 3] =
    [("alone", "the swarm alone"), ("off", "nobody listens"), ("on", "somebody listens")];

/// Blocks of the download that is counted as a whole.
const WHOLE_BLOCKS: u64 = 2_048;
/// How often it is counted each way: threads come in another order each time, which makes more of a difference than events.
/// The median is taken.
const TIMES: usize = 9;
/// How much more the whole way may take when nobody listens, in thousandths.
const BAR: u64 = 10;

/// Prints two tables; `false` if it costs too much when nobody listens: what the brain does more, which is the same in each
/// run, of what the whole way takes.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let program = build(root)?;
    let (more, whole) = (brain(root, &program)?, whole(root, &program)?);
    println!("\nwhen nobody listens, a block takes {more} instructions more, of {whole} on its whole way");
    Ok(more * 1000 <= whole * BAR)
}

/// Engines that download: all that they do, by all their threads. How many instructions a block takes without events.
fn whole(root: &Path, program: &Program) -> Result<u64> {
    let mut counts = [const { Vec::new() }; WAYS.len()];
    for _ in 0..TIMES {
        // In turns, so that whatever else the machine does meets all of them.
        for (counts, (test, _)) in counts.iter_mut().zip(WAYS) {
            counts.push(count(root, program, &format!("whole::{test}"), &[])?);
        }
    }
    let [alone, off, on] = counts.map(|mut counts| {
        counts.sort_unstable();
        (counts[counts.len() / 2], counts[counts.len() - 1] - counts[0])
    });
    println!("\nthe whole way of {WHOLE_BLOCKS} blocks, medians of {TIMES}");
    for ((_, name), (count, spread)) in WAYS.iter().zip([alone, off, on]) {
        let more = (count.max(alone.0) - alone.0) * 1000 / alone.0;
        println!(
            "{name:<18} {:>6} instructions a block (spread {}), {}.{} % more",
            count / WHOLE_BLOCKS,
            spread / WHOLE_BLOCKS,
            more / 10,
            more % 10
        );
    }
    Ok(alone.0 / WHOLE_BLOCKS)
}

/// The brain alone; how many instructions more a block takes when nobody listens.
fn brain(root: &Path, program: &Program) -> Result<u64> {
    let counts = WAYS.map(|(test, _)| count(root, program, test, &["--toggle-collect=*overhead*measured*"]));
    let [alone, off, on] = counts;
    let (alone, off, on) = (alone?, off?, on?);
    for ((_, name), count) in WAYS.iter().zip([alone, off, on]) {
        let (each, more) = (count / BLOCKS, count.saturating_sub(alone) / BLOCKS);
        println!("{name:<18} {each:>6} instructions a block, {more:>5} more");
    }
    Ok(off.saturating_sub(alone) / BLOCKS)
}

/// The engine's tests, optimized.
fn build(root: &Path) -> Result<Program> {
    let chosen = ["--release", "--package", "rawtorrent-engine", "--lib"];
    built::programs(root, &chosen)?.pop().context("cargo names no test program")
}

fn count(root: &Path, program: &Program, test: &str, options: &[&str]) -> Result<u64> {
    let mut valgrind: Command = run::in_namespace(root, "valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).args(options);
    valgrind.arg(program.executable()).args([
        "--exact",
        &format!("tape::overhead::{test}"),
        "--include-ignored",
        "--test-threads=1",
    ]);
    let output = valgrind.output().context("valgrind is needed (apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("Collected : ").map(|(_, count)| count.trim()));
    let count = line.and_then(|count| count.parse().ok()).filter(|&count: &u64| count > 0);
    count.with_context(|| format!("callgrind counted nothing\n{said}"))
}
