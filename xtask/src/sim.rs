//! The bars of the swarm's brain, in simulated swarms: each is a command that anybody can type.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::{self, Tally};
use crate::suite::build_binary;

const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Where the longer command keeps what it measured.
const REPORT: &str = "docs/sim.md";

/// One bar.
struct Bar {
    what: &'static str,
    args: &'static str,
    /// Runs in CI, and in the longer command; none: not in CI.
    runs: (u32, u32),
    /// Where the number is in what the command prints, and how it is made of it.
    number: fn(&Value) -> Option<f64>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const BARS: &[Bar] = &[
    bar(
        "chaos: violations, and seeds that differ",
        "chaos --twice",
        (2000, 10_000),
        |_| Some(0.0),
        Bound::AtMost(0.0),
    ),
    bar(
        "flash crowd of 100: last completion over the bound",
        "",
        (5, 20),
        |v| v["ratio"].as_f64(),
        Bound::AtMost(1.15),
    ),
    bar("slow seed: copies sent", "slow-seed", (3, 20), |v| v["seed_sent"].as_f64(), Bound::AtMost(1.6)),
    bar(
        "the same, super seeding",
        "slow-seed --super-seed",
        (3, 20),
        |v| v["seed_sent"].as_f64(),
        Bound::AtMost(1.1),
    ),
    bar(
        "free riders: times slower",
        "free-riders",
        (3, 20),
        |v| v["free_riders"].as_f64(),
        Bound::AtLeast(1.5),
    ),
    bar(
        "poisoned by 1 of 20: honest peers banned",
        "poisoned --liars 1",
        (10, 100),
        honest_bans,
        Bound::AtMost(0.0),
    ),
    bar(
        "poisoned by 5 of 20: honest peers banned",
        "poisoned --liars 5",
        (10, 100),
        honest_bans,
        Bound::AtMost(0.0),
    ),
    bar(
        "poisoned by 10 of 20: honest peers banned",
        "poisoned --liars 10",
        (10, 100),
        honest_bans,
        Bound::AtMost(0.0),
    ),
    bar(
        "a film: seconds that it stood still",
        "streaming",
        (0, 100),
        |v| v["stalled"].as_f64(),
        Bound::AtMost(0.0),
    ),
    bar(
        "1,000 peers, 5 seeds: ratio",
        "--peers 1000 --seeds 5",
        (0, 3),
        |v| v["ratio"].as_f64(),
        Bound::AtMost(1.265),
    ),
    bar(
        "10,000 peers, 1,000 blocks: ratio",
        "--peers 10000 --size 16384000",
        (0, 1),
        |v| v["ratio"].as_f64(),
        Bound::AtMost(1.39),
    ),
];

const fn bar(
    what: &'static str,
    args: &'static str,
    runs: (u32, u32),
    number: fn(&Value) -> Option<f64>,
    bound: Bound,
) -> Bar {
    Bar { what, args, runs, number, bound }
}

fn honest_bans(summary: &Value) -> Option<f64> {
    summary["runs"].as_array()?.iter().map(|run| run["banned_honest"].as_f64()).sum()
}

/// Plants faults, then runs the bars; the longer command runs all of them and writes down what it measured.
pub(crate) fn run(root: &Path, full: bool) -> Result<Tally> {
    build_binary(root)?;
    let mut control = run::command(root, run::cargo());
    control.args(["test", "--locked", "--release", "--package", "rawtorrent-sim", "--features", "planted"]);
    control.args(["--test", "planted", "--", "--nocapture"]);
    let mut tally = run::counted("planted faults", control, LIMIT)?;
    let mut report = String::from("| what | measured | bar | command | took |\n|---|---|---|---|---|\n");
    for bar in BARS {
        let runs = if full { bar.runs.1 } else { bar.runs.0 };
        if runs > 0 {
            measure(root, bar, runs, &mut tally, &mut report)?;
        }
    }
    if full {
        let date = run::command(root, "date").arg("+%F").output().context("date")?.stdout;
        let date = String::from_utf8_lossy(&date).trim().to_owned();
        let head =
            format!("# The brain against its bars\n\nWritten by `cargo xtask sim --full` on {date}.\n\n");
        fs::write(root.join(REPORT), head + &report).context(REPORT)?;
    }
    Ok(tally)
}

fn measure(root: &Path, bar: &Bar, runs: u32, tally: &mut Tally, report: &mut String) -> Result<()> {
    let mut command = run::command(root, root.join("target/release/rawtorrent"));
    let runs = runs.to_string();
    command.arg("sim").args(bar.args.split_whitespace()).args(["--runs", &runs]);
    let shown = run::shown(&command);
    let started = Instant::now();
    let output = command.arg("--json").output().with_context(|| shown.clone())?;
    let took = started.elapsed().as_secs();
    let number = if output.status.success() {
        let summary = serde_json::from_slice(&output.stdout).with_context(|| shown.clone())?;
        (bar.number)(&summary)
    } else {
        print!("{}", String::from_utf8_lossy(&output.stderr));
        None
    };
    let (kept, limit) = match bar.bound {
        Bound::AtMost(most) => (number.is_some_and(|number| number <= most), format!("at most {most}")),
        Bound::AtLeast(least) => (number.is_some_and(|number| number >= least), format!("at least {least}")),
    };
    let measured = number.map_or("failed".to_owned(), |number| format!("{number:.3}"));
    let line = format!("{}: {measured} ({limit})", bar.what);
    println!("{} {line}", if kept { "ok " } else { "RED" });
    ensure!(!shown.contains('|'), "a command that fits into a table");
    writeln!(report, "| {} | {measured} | {limit} | `{shown}` | {took} s |", bar.what)?;
    if kept {
        tally.passed += 1;
    } else {
        tally.failed += 1;
        tally.failures.push(format!("{line}: {shown}"));
    }
    Ok(())
}
