//! Faults again and again: more of them than a run of all tests has time for.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run::{self, Tally};
use crate::suite::{build_binary, must_build};

/// For a fault, which takes a second or two.
const LIMIT_EACH: Duration = Duration::from_secs(10);
/// How many there are if nothing else is said.
const USUAL: u32 = 1000;

/// What is done to a session again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The disk loses what was not synced, and reorders and tears the rest.
    PowerCut,
    /// The process is killed.
    Kill,
}

/// Runs the tests of a fault with so many of them.
pub(crate) fn run(root: &Path, fault: Fault, args: &[String]) -> Result<Tally> {
    let (test, variable) = match fault {
        Fault::PowerCut => ("disks", "RAWTORRENT_CUTS"),
        Fault::Kill => ("session", "RAWTORRENT_KILLS"),
    };
    let count = args.first().map_or(Ok(USUAL), |count| count.parse()).context("how many? write a number")?;
    build_binary(root)?;
    let tests = ["--locked", "--package", "rawtorrent-tests", "--test", test];
    must_build(root, &[&["test", "--no-run"], &tests[..]].concat())?;
    let mut command = run::in_namespace(root, run::cargo());
    command.args(["test", "--offline"]).args(tests).args(["--", "--nocapture"]);
    command.env("RAWTORRENT_BIN", root.join("target/release/rawtorrent")).env(variable, count.to_string());
    run::counted("cargo test", command, LIMIT_EACH * count + LIMIT_EACH)
}
