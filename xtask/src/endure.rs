//! Faults again and again: more of them than a run of all tests has time for. What came of them is kept in
//! `docs/endurance.md`.

use std::fmt::{self, Write};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::built::{self, Program};
use crate::hostile::build_sabotaged;
use crate::run::{self, Tally};
use crate::suite::build_binary;

/// For a fault, which takes a second or two.
const LIMIT_EACH: Duration = Duration::from_secs(10);
/// How many there are if nothing else is said.
const USUAL: u32 = 1000;
/// What a download of 64 MiB takes, with room to spare.
const MOST_WRITES: u32 = 4096;
/// Cuts within which a program that syncs nothing must be found out.
const CONTROL_CUTS: u32 = 50;
/// Where the results are kept.
const RECORD: &str = "docs/endurance.md";

/// What is done to a session again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk loses what was not synced, and reorders and tears the rest.
    PowerCut,
    /// The process is killed.
    Kill,
    /// The disk is full at a write of a download: of so many at one.
    Full,
}

impl Fault {
    pub(crate) fn of(command: &str) -> Option<Fault> {
        match command {
            "power" => Some(Fault::PowerCut),
            "kill" => Some(Fault::Kill),
            "full" => Some(Fault::Full),
            _ => None,
        }
    }

    /// The file of tests, the test, and the variable that says how many.
    fn test(self) -> [&'static str; 3] {
        match self {
            Fault::PowerCut => ["disks", "no_cut_loses_a_torrent_or_makes_a_false_piece", "RAWTORRENT_CUTS"],
            Fault::Kill => ["session", "what_was_acknowledged_survives_kills", "RAWTORRENT_KILLS"],
            Fault::Full => {
                ["disks", "a_disk_that_is_full_at_any_write_is_waited_for", "RAWTORRENT_FULL_EVERY"]
            }
        }
    }

    fn usual(self) -> u32 {
        if self == Fault::Full { 1 } else { USUAL }
    }

    /// How many there are, at most.
    fn most(self, count: u32) -> u32 {
        if self == Fault::Full { MOST_WRITES / count.max(1) } else { count }
    }
}

/// Runs the test of a fault with so many of them, and keeps what it said.
pub(crate) fn run(root: &Path, fault: Fault, args: &[String]) -> Result<Tally> {
    let count = args.first().map_or(Ok(fault.usual()), |count| count.parse());
    let count: u32 = count.context("how many? write a number")?;
    let [file, ..] = fault.test();
    let sabotaged = if fault == Fault::PowerCut { Some(build_sabotaged(root)?) } else { None };
    build_binary(root)?;
    let program = built::black_box(root, file)?;
    let mut said = None;
    let binary = root.join("target/release/rawtorrent");
    let mut tally =
        run::watched(file, test(root, &program, fault, &binary, count), limit(fault, count), |line| {
            println!("{line}");
            said = said.take().or_else(|| outcome(line));
        })?;
    if let Some(sabotaged) = sabotaged {
        let verdict = control(root, &program, fault, &sabotaged)?;
        println!("{verdict}");
        tally.add(verdict.tally());
        said = said.map(|said| format!("{said}; {verdict}"));
    }
    if let (0, Some(said)) = (tally.failed, said) {
        keep(root, &said)?;
    }
    Ok(tally)
}

fn limit(fault: Fault, count: u32) -> Duration {
    LIMIT_EACH * fault.most(count) + LIMIT_EACH
}

fn test(root: &Path, program: &Program, fault: Fault, binary: &Path, count: u32) -> Command {
    let [_, test, variable] = fault.test();
    let mut command = program.command(root);
    command.args(["--nocapture", test]);
    command.env("RAWTORRENT_BIN", binary).env(variable, count.to_string());
    command
}

/// The line in which a test says what it did.
fn outcome(line: &str) -> Option<String> {
    let begins = |line: &str| line.starts_with("full at ") || line.starts_with(|c: char| c.is_ascii_digit());
    let told = line.rsplit_once(" ... ").map_or(line, |(_, told)| told);
    let is_one = begins(told) && [" cuts, ", " kills, ", " writes"].iter().any(|word| told.contains(word));
    is_one.then(|| told.to_owned())
}

/// Whether a program that syncs nothing is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    Found,
    Missed,
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Control::Found => "without `fdatasync`: red",
            Control::Missed => "without `fdatasync`: NOT FOUND",
        })
    }
}

impl Control {
    fn tally(self) -> Tally {
        match self {
            Control::Found => Tally { passed: 1, ..Tally::default() },
            Control::Missed => Tally { failed: 1, failures: vec![self.to_string()], ..Tally::default() },
        }
    }
}

fn control(root: &Path, program: &Program, fault: Fault, sabotaged: &Path) -> Result<Control> {
    println!("control: the same without fdatasync");
    let mut command = test(root, program, fault, sabotaged, CONTROL_CUTS);
    command.env("RAWTORRENT_PLANTED", "no-fdatasync").stderr(Stdio::null());
    let mut is_found = false;
    run::watched("control", command, limit(fault, CONTROL_CUTS), |line| {
        is_found |= line.ends_with("... FAILED");
    })?;
    Ok(if is_found { Control::Found } else { Control::Missed })
}

/// Adds a row to the table.
fn keep(root: &Path, said: &str) -> Result<()> {
    let path = root.join(RECORD);
    let mut text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let date = run::command(root, "date").arg("+%F").output().context("date")?.stdout;
    writeln!(text, "| {} | {said} |", String::from_utf8_lossy(&date).trim())?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_did_is_found() {
        let said = "10 cuts, 11 orders acknowledged, 656 claimed pieces, all there";
        assert_eq!(outcome(&format!("test disks::x ... {said}")).as_deref(), Some(said));
        assert_eq!(outcome(said).as_deref(), Some(said));
        assert!(outcome("full at 3 of 90 writes, each").is_some());
        assert!(outcome("test result: ok. 1 passed").is_none() && outcome("two cuts, 3").is_none());
    }

    #[test]
    fn each_has_its_command() {
        assert_eq!(["power", "kill", "full", "x"].map(Fault::of).iter().flatten().count(), 3);
        assert_eq!((Fault::Full.usual(), Fault::Kill.usual()), (1, USUAL));
    }
}
