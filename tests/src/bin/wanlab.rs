//! `wanlab`: an emulated wide-area network on this machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rawtorrent_tests::wan::selftest;

/// An emulated wide-area network on this machine.
///
/// Needs root: every peer has a network namespace, from which nothing leaves the machine.
#[derive(Parser)]
struct Options {
    /// TCP's congestion control, one that the kernel allows in namespaces; without it, the system's own
    #[arg(long, global = true)]
    congestion: Option<String>,
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure whether the emulated lines have the rates and delays that they should
    Selftest,
}

fn main() -> ExitCode {
    match perform(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(options: &Options) -> Result<bool> {
    // What else the machine does is no part of a scenario. Threads and children inherit this; a user who may not set
    // it may make no namespaces either.
    rustix::process::setpriority_process(None, -10)?;
    match options.command {
        Task::Selftest => measure(options.congestion.as_deref()),
    }
}

fn measure(congestion: Option<&str>) -> Result<bool> {
    let checks = selftest::run(congestion)?;
    for check in &checks {
        println!("{} {}", if check.good { "ok  " } else { "BAD " }, check.what);
    }
    Ok(checks.iter().all(|check| check.good))
}
