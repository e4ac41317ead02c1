//! `rawtorrent-bench`: the built binary beside other people's clients, on this machine, in this hour.
//!
//! All take part in turn (A B A B), in a network namespace that has only loopback, with their files in memory that has
//! been in use. Partners in single-client rows are our own [`seeder`] and [`reader`], which cost next to nothing and are the
//! same for everybody. Every byte is compared after each run, outside the time that is measured.
//!
//! `cargo xtask bench` builds all it takes and runs it.

mod clients;
mod content;
mod counter;
mod lab;
mod limits;
mod meter;
mod reader;
mod report;
mod rows;
mod seeder;
mod shelf;
mod slow;
mod sockets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use crate::lab::{Lab, Setup, save};
use crate::limits::Limits;
use crate::report::Table;
use crate::rows::Row;

/// Measures rawtorrent beside other people's clients.
///
/// Wants an idle machine. Results are written below --dir, and with --full also to --docs.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure [default: everything]
    #[arg(value_name = "ROW")]
    rows: Vec<Row>,
    /// How often everybody runs [default: 3, with --full 5]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// All clients, and the sizes that the bars are meant for
    #[arg(long)]
    full: bool,
    /// The binary under test
    #[arg(long, value_name = "PATH", env = "RAWTORRENT_BIN")]
    binary: PathBuf,
    /// Where rqbit is, if it is to take part
    #[arg(long, value_name = "PATH")]
    rqbit: Option<PathBuf>,
    /// How TCP finds its rate. Algorithms that pace, such as bbr, halve what loopback does; without loss all others are
    /// the same, and this one every kernel has
    #[arg(long, value_name = "NAME", default_value = "reno")]
    congestion: String,
    /// Where results, hashes and, in memory, content are kept
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    dir: PathBuf,
    /// Where pages for people are kept
    #[arg(long, value_name = "DIR", default_value = "docs/bench")]
    docs: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            println!("{failures} runs failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many runs failed. A bar that is not met is a result, not a failure.
fn run(options: &Options) -> Result<usize> {
    let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let lab = Lab::enter(Setup {
        binary: absolute(&options.binary)?,
        rqbit: options.rqbit.as_deref().map(absolute).transpose()?,
        runs: options.runs.unwrap_or(if options.full { 5 } else { 3 }).max(1),
        full: options.full,
        congestion: options.congestion.clone(),
        dir: absolute(&options.dir)?,
    })?;
    let machine = format!("{}, TCP {} over loopback.", machine(), options.congestion);
    println!("{machine}\n");
    let limits = Limits::measure(&lab)?;
    println!("{}", limits.to_markdown());

    let rows = if options.rows.is_empty() { Row::ALL } else { &options.rows };
    let mut failures = 0;
    for row in rows {
        println!("==> {}", row.name());
        let table = row.run(&lab)?;
        lab.clear()?;
        failures += table.entries.iter().map(|entry| entry.failures.len()).sum::<usize>();
        println!("\n{}", table.to_markdown());
        keep(options, &machine, &limits, &table)?;
    }
    Ok(failures)
}

/// Writes a row down.
fn keep(options: &Options, machine: &str, limits: &Limits, table: &Table) -> Result<()> {
    let date = output("date", &["-u", "+%F"])?;
    let mut result = table.to_json();
    result["date"] = json!(date);
    result["machine"] = json!(machine);
    result["limits"] = limits.to_json();
    save(&options.dir.join(format!("{}.json", table.row)), &serde_json::to_string_pretty(&result)?)?;
    let page = format!(
        "# {}\n\nMeasured by `cargo xtask bench {}` on {date}, {machine}\n\n{}\n{}",
        table.row,
        table.row,
        table.to_markdown(),
        limits.to_markdown()
    );
    save(&options.dir.join(format!("{}.md", table.row)), &page)?;
    if options.full {
        save(&options.docs.join(format!("{}.md", table.row)), &page)?;
    }
    Ok(())
}

/// Processor, memory and system.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = output("uname", &["-r"]).unwrap_or_default();
    let kernel: Vec<&str> = kernel.split('.').take(2).collect();
    format!(
        "{} with {cores} cores and {} GiB, Linux {}",
        field("/proc/cpuinfo", "model name"),
        memory.div_ceil(1 << 20),
        kernel.join(".")
    )
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).output().context(program.to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
