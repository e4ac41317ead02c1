//! `wanlab`: swarms of the built binary over an emulated wide-area network, beside what the simulator says.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use rawtorrent_tests::process;
use rawtorrent_tests::wan::lab::Sysctl;
use rawtorrent_tests::wan::run::{self, Outcome, Times};
use rawtorrent_tests::wan::scenario::Scenario;
use rawtorrent_tests::wan::{self, selftest};
use serde_json::Value;
use tempfile::TempDir;

/// The simulator has this long for a scenario.
const SIM_LIMIT: Duration = Duration::from_secs(120);
/// With how many seeds: chance has less of a say in their medians, and they cost next to nothing.
const SIM_RUNS: &str = "15";
/// How much a real time may differ from the simulated one.
const TOLERANCE: f64 = 0.10;

/// What the simulator's lines are like: a sender that fills them and loses next to nothing (with several flows of BBR on
/// one home line, 7 % of packets are lost), and goes on at its rate after a pause.
const SYSCTLS: [&str; 2] = ["net.ipv4.tcp_congestion_control=reno", "net.ipv4.tcp_slow_start_after_idle=0"];

/// Swarms of the built binary over an emulated wide-area network.
///
/// Every peer has a network namespace, from which nothing leaves the machine; several labs can run side by side.
#[derive(Parser)]
struct Options {
    /// A kernel setting of every peer's namespace, such as net.ipv4.tcp_congestion_control=bbr; may be repeated
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = Sysctl::parse, default_values = SYSCTLS)]
    sysctl: Vec<Sysctl>,
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure whether the emulated lines have the rates and delays that they should
    Selftest,
    /// Run one scenario in real time; the result is a JSON object
    Run {
        /// The scenario
        file: PathBuf,
        #[command(flatten)]
        under_test: UnderTest,
    },
    /// Run scenarios in the simulator and in real time; fail if the median or the last time differs by more than a tenth
    Compare {
        /// The scenarios
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How many times in real time; medians are compared
        #[arg(long, value_name = "N", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
        runs: u32,
        #[command(flatten)]
        under_test: UnderTest,
    },
}

#[derive(Args)]
struct UnderTest {
    /// The binary under test
    #[arg(long, value_name = "PATH", env = "RAWTORRENT_BIN")]
    binary: PathBuf,
    /// Keep what the peers write in this folder, which is made
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match wan::enter().and_then(|()| perform(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(options: &Options) -> Result<bool> {
    // What else the machine does is no part of a scenario. Threads and children inherit this; only root may set it.
    let _ = rustix::process::setpriority_process(None, -10);
    match &options.command {
        Task::Selftest => measure(&options.sysctl),
        Task::Run { file, under_test } => {
            let outcome = run_real(&Scenario::read(file)?, under_test, &options.sysctl)?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(true)
        }
        Task::Compare { files, runs, under_test } => compare(files, *runs, under_test, &options.sysctl),
    }
}

fn measure(sysctls: &[Sysctl]) -> Result<bool> {
    let checks = selftest::run(sysctls)?;
    for check in &checks {
        println!("{} {}", if check.good { "ok  " } else { "BAD " }, check.what);
    }
    println!("load {:.2}", run::load_average());
    Ok(checks.iter().all(|check| check.good))
}

fn compare(files: &[PathBuf], runs: u32, under_test: &UnderTest, sysctls: &[Sysctl]) -> Result<bool> {
    println!(
        "{:<14} {:>28} {:>28} {:>15} {:>6} {:>6}",
        "", "simulated first/median/last", "real first/median/last", "ratios", "late", "load"
    );
    let mut all_good = true;
    for file in files {
        let scenario = Scenario::read(file)?;
        let simulated = simulate(file, &under_test.binary)?;
        let outcomes =
            (0..runs).map(|_| run_real(&scenario, under_test, sysctls)).collect::<Result<Vec<_>>>()?;
        let real = Times::typical(&outcomes).context("no runs")?;
        let ratios = [real.median / simulated.median, real.last / simulated.last];
        let good = ratios.iter().all(|ratio| (ratio - 1.0).abs() <= TOLERANCE);
        println!("{}{}", row(&simulated, &real, ratios, &outcomes), if good { "" } else { "  OFF" });
        all_good &= good;
    }
    Ok(all_good)
}

fn row(simulated: &Times, real: &Times, [median, last]: [f64; 2], outcomes: &[Outcome]) -> String {
    let times = |times: &Times| format!("{:.1} / {:.1} / {:.1} s", times.first, times.median, times.last);
    format!(
        "{:<14} {:>28} {:>28} {:>15} {:>6} {:>6.2}",
        outcomes.first().map_or("", |outcome| &outcome.name),
        times(simulated),
        times(real),
        format!("{median:.3} {last:.3}"),
        outcomes.iter().map(|outcome| outcome.network.late).max().unwrap_or_default(),
        outcomes.iter().map(|outcome| outcome.load).fold(0.0, f64::max),
    )
}

fn simulate(file: &Path, binary: &Path) -> Result<Times> {
    let mut command = Command::new(binary);
    command.arg("sim").arg("--file").arg(file).args(["--json", "--runs", SIM_RUNS]);
    let done = process::run(&mut command, SIM_LIMIT)?;
    ensure!(done.code() == Some(0), "`sim` ended with {}\n{}", done.status, done.stderr);
    simulated_times(&done.stdout)
}

/// The medians over all runs that `sim` tells.
fn simulated_times(stdout: &str) -> Result<Times> {
    let told: Value = serde_json::from_str(stdout).context("what `sim` printed is not JSON")?;
    let time = |what: &str| told[what].as_f64().with_context(|| format!("`sim` tells no `{what}`"));
    Ok(Times { first: time("first")?, median: time("median")?, last: time("last")? })
}

fn run_real(scenario: &Scenario, under_test: &UnderTest, sysctls: &[Sysctl]) -> Result<Outcome> {
    let path = &under_test.binary;
    let binary = path.canonicalize().with_context(|| path.display().to_string())?;
    match &under_test.keep {
        Some(dir) => run::run(scenario, &binary, &dir.join(&scenario.name), sysctls),
        None => run::run(scenario, &binary, TempDir::new_in(wan::MEMORY)?.path(), sysctls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_times_are_the_medians() {
        let told = r#"{"first": 1.0, "median": 2.0, "p95": 3.0, "last": 4.0, "peers": []}"#;
        assert_eq!(simulated_times(told).unwrap(), Times { first: 1.0, median: 2.0, last: 4.0 });
        assert!(simulated_times(r#"{"first": 1.0, "median": 2.0}"#).is_err());
    }
}
