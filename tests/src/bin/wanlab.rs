//! `wanlab`: swarms of the built binary over an emulated wide-area network, beside what the simulator says.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use rawtorrent_tests::process;
use rawtorrent_tests::wan::lab::Sysctl;
use rawtorrent_tests::wan::run::{self, Outcome, Times};
use rawtorrent_tests::wan::scenario::{Role, Scenario};
use rawtorrent_tests::wan::{self, selftest};
use serde_json::Value;
use tempfile::TempDir;

/// The simulator has this long for a scenario.
const SIM_LIMIT: Duration = Duration::from_secs(120);
/// How much a real time may differ from the simulated one.
const TOLERANCE: f64 = 0.10;

/// Swarms of the built binary over an emulated wide-area network.
///
/// Every peer has a network namespace, from which nothing leaves the machine; several labs can run side by side.
#[derive(Parser)]
struct Options {
    /// A kernel setting of every peer's namespace, such as net.ipv4.tcp_congestion_control=reno; may be repeated
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = Sysctl::parse)]
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
    /// Run scenarios in the simulator and in real time; fail if a time differs by more than a tenth
    Compare {
        /// The scenarios
        #[arg(required = true)]
        files: Vec<PathBuf>,
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
        Task::Compare { files, under_test } => compare(files, under_test, &options.sysctl),
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

fn compare(files: &[PathBuf], under_test: &UnderTest, sysctls: &[Sysctl]) -> Result<bool> {
    println!(
        "{:<14} {:>28} {:>28} {:>15} {:>6} {:>6}",
        "", "simulated first/median/last", "real first/median/last", "ratios", "late", "load"
    );
    let mut all_good = true;
    for file in files {
        let scenario = Scenario::read(file)?;
        let simulated = simulate(file, &scenario, &under_test.binary)?;
        let outcome = run_real(&scenario, under_test, sysctls)?;
        let ratios = [outcome.median / simulated.median, outcome.last / simulated.last];
        let good = ratios.iter().all(|ratio| (ratio - 1.0).abs() <= TOLERANCE);
        println!("{}{}", row(&simulated, &outcome, ratios), if good { "" } else { "  OFF" });
        all_good &= good;
    }
    Ok(all_good)
}

fn row(simulated: &Times, real: &Outcome, [median, last]: [f64; 2]) -> String {
    let times = |first, median, last| format!("{first:.1} / {median:.1} / {last:.1} s");
    format!(
        "{:<14} {:>28} {:>28} {:>15} {:>6} {:>6.2}",
        real.name,
        times(simulated.first, simulated.median, simulated.last),
        times(real.first, real.median, real.last),
        format!("{median:.3} {last:.3}"),
        real.network.late,
        real.load,
    )
}

fn simulate(file: &Path, scenario: &Scenario, binary: &Path) -> Result<Times> {
    let mut command = Command::new(binary);
    command.arg("sim").arg("--file").arg(file).arg("--json");
    let done = process::run(&mut command, SIM_LIMIT)?;
    ensure!(done.code() == Some(0), "`sim` ended with {}\n{}", done.status, done.stderr);
    simulated_times(&done.stdout, scenario)
}

fn simulated_times(stdout: &str, scenario: &Scenario) -> Result<Times> {
    let outcome: Value = serde_json::from_str(stdout).context("what `sim` printed is not JSON")?;
    let peers = outcome["peers"].as_array().context("`sim` tells of no peers")?;
    ensure!(peers.len() == scenario.peers.len(), "`sim` tells of {} peers", peers.len());
    let leechers = peers.iter().zip(&scenario.peers).filter(|(_, spec)| spec.role == Role::Leecher);
    let times: Option<Vec<f64>> = leechers.map(|(peer, _)| peer["finished_secs"].as_f64()).collect();
    let times = times.context("`sim` tells of a leecher without `finished_secs`")?;
    Times::of(times.into_iter()).context("no leechers")
}

fn run_real(scenario: &Scenario, under_test: &UnderTest, sysctls: &[Sysctl]) -> Result<Outcome> {
    let path = &under_test.binary;
    let binary = path.canonicalize().with_context(|| path.display().to_string())?;
    match &under_test.keep {
        Some(dir) => run::run(scenario, &binary, &dir.join(&scenario.name), sysctls),
        None => run::run(scenario, &binary, TempDir::new_in(wan::MEMORY)?.path(), sysctls),
    }
}
