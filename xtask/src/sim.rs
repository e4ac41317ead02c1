//! The bars of the brains, in simulated swarms and DHTs: each is a command that anybody can type.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run::{self, Tally};
use crate::suite::build_binary;
use Bound::{AtLeast, AtMost};

const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Where the longer command keeps what it measured.
const REPORT: &str = "docs/sim.md";

/// How a number is made of what a command prints.
type Read = fn(&Value) -> Option<f64>;

/// One bar.
struct Bar {
    what: &'static str,
    args: &'static str,
    /// Runs in CI, and in the longer command; none: not in CI.
    runs: (u32, u32),
    /// Where the number is in what the command prints, and how it is made of it.
    number: Read,
    /// The number is to be divided by that of this command.
    over: Option<&'static str>,
    bound: Bound,
    /// What else is read from what it prints.
    then: &'static [(&'static str, Read, Bound)],
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const HIDDEN: &str = "1,000 hostile nodes of one /24 around a torrent: share of lookups that found its peer";

const BARS: &[Bar] = &[
    completes("chaos: violations, and seeds that differ", "chaos --twice", (2000, 10_000)),
    bar("flash crowd of 100: last completion over the bound", "", (20, 20), ratio, AtMost(1.15)),
    bar("slow seed: copies sent", "slow-seed", (3, 20), |v| v["seed_sent"].as_f64(), AtMost(1.6)),
    bar(
        "the same, super seeding",
        "slow-seed --super-seed",
        (3, 20),
        |v| v["seed_sent"].as_f64(),
        AtMost(1.1),
    ),
    bar("free riders: times slower", "free-riders", (3, 20), |v| v["free_riders"].as_f64(), AtLeast(1.5)),
    Bar {
        over: Some("--peers 70 --check sampled"),
        ..bar(
            "contributors: median completion over that without free riders",
            "free-riders",
            (20, 20),
            |v| v["contributors"].as_f64(),
            AtMost(1.1),
        )
    },
    poisoned("poisoned by 1 of 20: honest peers banned", "poisoned --liars 1"),
    poisoned("poisoned by 5 of 20: honest peers banned", "poisoned --liars 5"),
    poisoned("poisoned by 10 of 20: honest peers banned", "poisoned --liars 10"),
    bar(
        "a film: seconds that it stood still",
        "streaming",
        (10, 100),
        |v| v["stalled"].as_f64(),
        AtMost(0.0),
    ),
    Bar {
        over: Some(""),
        ..bar("flash crowd of 1,000: its ratio over that of 100", "--peers 1000", (0, 5), ratio, AtMost(1.1))
    },
    completes(
        "peers that come and go: swarms that broke a rule or did not complete",
        "steady --peers 30 --size 20M",
        (5, 20),
    ),
    completes("lines from a quarter to four times: the same", "heterogeneous --peers 30 --size 20M", (5, 20)),
    completes("a network that falls apart: the same", "partition --peers 30 --size 20M", (5, 20)),
    Bar {
        over: Some("--peers 1000"),
        then: &[("its memory in GiB", memory, AtMost(8.0))],
        ..bar(
            "flash crowd of 10,000: its ratio over that of 1,000",
            "--peers 10000",
            (0, 1),
            ratio,
            AtMost(1.1),
        )
    },
    Bar {
        then: &[(HIDDEN, dht_target_found, AtLeast(0.99))],
        ..bar(
            "DHT of 500: share of lookups that found the peer",
            "dht --nodes 500",
            (2, 5),
            dht_found,
            AtLeast(0.99),
        )
    },
    Bar {
        then: &[
            (HIDDEN, dht_target_found, AtLeast(0.99)),
            ("median hops over log2 of the nodes", dht_hops, AtMost(0.5)),
            ("median queries of a lookup", dht_queries, AtMost(40.0)),
        ],
        ..bar("DHT of 10,000: share of lookups that found the peer", "dht", (0, 1), dht_found, AtLeast(0.99))
    },
];

const fn bar(what: &'static str, args: &'static str, runs: (u32, u32), number: Read, bound: Bound) -> Bar {
    Bar { what, args, runs, number, over: None, bound, then: &[] }
}

/// The command fails if anything is wrong, and there is no number to be read then.
const fn completes(what: &'static str, args: &'static str, runs: (u32, u32)) -> Bar {
    bar(what, args, runs, |_| Some(0.0), AtMost(0.0))
}

const fn poisoned(what: &'static str, args: &'static str) -> Bar {
    Bar {
        then: &[
            ("liars that spoiled two pieces and were not banned", spared_liars, AtMost(0.0)),
            ("most pieces in vain, for each liar that a peer met", failed_per_liar, AtMost(2.0)),
        ],
        ..bar(what, args, (10, 100), honest_bans, AtMost(0.0))
    }
}

fn ratio(summary: &Value) -> Option<f64> {
    summary["ratio"].as_f64()
}

/// Of the whole process, in GiB.
fn memory(summary: &Value) -> Option<f64> {
    Some(summary["peak_memory"].as_f64()? / f64::from(1 << 30))
}

fn dht_found(summary: &Value) -> Option<f64> {
    summary["found"].as_f64()
}

fn dht_target_found(summary: &Value) -> Option<f64> {
    summary["target_found"].as_f64()
}

fn dht_hops(summary: &Value) -> Option<f64> {
    Some(summary["hops"].as_f64()? / summary["log2_nodes"].as_f64()?)
}

fn dht_queries(summary: &Value) -> Option<f64> {
    summary["queries"].as_f64()
}

fn honest_bans(summary: &Value) -> Option<f64> {
    of_runs(summary, "banned_honest").map(|bans| bans.iter().sum())
}

fn spared_liars(summary: &Value) -> Option<f64> {
    of_runs(summary, "spared_liars").map(|spared| spared.iter().sum())
}

fn failed_per_liar(summary: &Value) -> Option<f64> {
    of_runs(summary, "failed_per_liar").map(|failed| failed.into_iter().fold(0.0, f64::max))
}

/// A number of each run.
fn of_runs(summary: &Value, what: &str) -> Option<Vec<f64>> {
    summary["runs"].as_array()?.iter().map(|run| run[what].as_f64()).collect()
}

/// Plants faults, then runs the bars; the longer command runs all of them and writes down what it measured.
pub(crate) fn run(root: &Path, full: bool) -> Result<Tally> {
    build_binary(root)?;
    let mut control = run::command(root, run::cargo());
    control.args(["test", "--locked", "--release", "--package", "rawtorrent-sim", "--features", "planted"]);
    control.args(["--test", "planted", "--", "--nocapture"]);
    let mut tally = run::counted("planted faults", control, LIMIT)?;
    let mut report = String::from("| what | measured | bar | command | took |\n|---|---|---|---|---|\n");
    let chosen: Vec<(&Bar, u32)> = BARS
        .iter()
        .map(|bar| (bar, if full { bar.runs.1 } else { bar.runs.0 }))
        .filter(|&(_, runs)| runs > 0)
        .collect();
    // A simulation is one thread. The large ones of the longer command want the memory for themselves.
    let jobs = if full { 1 } else { run::cores() };
    for measured in run::side_by_side(&chosen, jobs, |&(bar, runs)| measure(root, bar, runs)) {
        let Measured { tally: one, rows } = measured?;
        tally.add(one);
        report += &rows;
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

/// What came of a bar, and its rows in the report.
struct Measured {
    tally: Tally,
    rows: String,
}

fn measure(root: &Path, bar: &Bar, runs: u32) -> Result<Measured> {
    let started = Instant::now();
    let (mut tally, mut rows, mut told) = (Tally::default(), String::new(), String::new());
    let (mut shown, summary) = simulate(root, bar.args, runs)?;
    let read = |number: Read| summary.as_ref().and_then(number);
    let mut number = read(bar.number);
    if let Some(args) = bar.over {
        // Of a large swarm there is one run; one of a small one would be chance.
        let (other, over) = simulate(root, args, runs.max(3))?;
        number = number.zip(over.as_ref().and_then(bar.number)).map(|(number, over)| number / over);
        shown = format!("{shown}` over `{other}");
    }
    ensure!(!shown.contains('|'), "a command that fits into a table");
    let took = started.elapsed().as_secs();
    let judged = [(bar.what, number, bar.bound)].into_iter();
    for (what, number, bound) in
        judged.chain(bar.then.iter().map(|&(what, number, bound)| (what, read(number), bound)))
    {
        let (kept, limit) = match bound {
            AtMost(most) => (number.is_some_and(|number| number <= most), format!("at most {most}")),
            AtLeast(least) => (number.is_some_and(|number| number >= least), format!("at least {least}")),
        };
        let measured = number.map_or("failed".to_owned(), |number| format!("{number:.3}"));
        let line = format!("{what}: {measured} ({limit})");
        writeln!(told, "{} {line}", if kept { "ok " } else { "RED" })?;
        writeln!(rows, "| {what} | {measured} | {limit} | `{shown}` | {took} s |")?;
        if kept {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            tally.failures.push(format!("{line}: {shown}"));
        }
    }
    // At once: others are measured beside it.
    print!("{told}");
    Ok(Measured { tally, rows })
}

/// Runs one command; how it is typed, and what it printed, unless it failed.
fn simulate(root: &Path, args: &str, runs: u32) -> Result<(String, Option<Value>)> {
    let mut command = run::command(root, root.join("target/release/rawtorrent"));
    command.arg("sim").args(args.split_whitespace()).args(["--runs", &runs.to_string()]);
    let shown = run::shown(&command);
    let output = command.arg("--json").output().with_context(|| shown.clone())?;
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stderr));
        return Ok((shown, None));
    }
    Ok((shown.clone(), Some(serde_json::from_slice(&output.stdout).context(shown)?)))
}
