//! `interop`: the built binary against other people's clients.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rawtorrent_tests::interop::cell::{Cell, Partner};
use rawtorrent_tests::interop::lab::{self, Lab, Outcome, Verdict};
use rawtorrent_tests::interop::{Party, Programs, netns, partner, report};
use rawtorrent_tests::process;

/// Trades torrents with other people's clients through real trackers and compares every byte.
///
/// Runs in a network namespace of its own (through `unshare`), so that nothing leaves the machine.
#[derive(Parser)]
struct Options {
    /// Run all 80 cells instead of a sample that covers every pair of values
    #[arg(long)]
    full: bool,
    /// Run the cells of the whole table whose name contains all of these words
    #[arg(long, value_name = "WORD", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,
    /// Give downloaders a magnet link in place of the torrent: without --only, a cell for each partner and role
    #[arg(long)]
    by_magnet: bool,
    /// Print the names of the cells and stop
    #[arg(long)]
    list: bool,
    /// Write the table with versions and settings to this file; with --by-magnet, add a section to it
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Put libtorrent in rawtorrent's place: tests the harness and the partners alone
    #[arg(long)]
    self_check: bool,
    /// Where logs of red cells stay
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// The binary under test
    #[arg(long, value_name = "PATH", env = "RAWTORRENT_BIN")]
    bin: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let cells = select(options);
    if options.list {
        cells.iter().for_each(|cell| println!("{cell}"));
        return Ok(true);
    }
    netns::enter()?;
    netns::set_up(&lab::addresses(), lab::global_address())?;
    let dir = options
        .logs
        .clone()
        .unwrap_or_else(|| env::temp_dir().join(format!("interop-{}", std::process::id())));
    fs::create_dir_all(&dir)?;
    netns::name_hosts(&lab::host_names(), &dir)?;
    let lab = Lab { programs: Programs::new(our_binary(options)?, &dir)?, dir, by_magnet: options.by_magnet };
    let versions = versions(&lab, &cells)?;
    versions.iter().for_each(|version| println!("{version}"));

    let outcomes = lab.run(&cells, |outcome| println!("{}", report::line(outcome)));
    println!("\n{}", report::table(&outcomes));
    if let Some(path) = &options.report {
        write_report(path, &outcomes, &versions, options.by_magnet)
            .with_context(|| path.display().to_string())?;
    }
    let green = conclude(&outcomes);
    if green && options.logs.is_none() {
        let _ = fs::remove_dir_all(&lab.dir);
    }
    Ok(green)
}

/// The page anew; or what links made of it, as one more section.
fn write_report(path: &Path, outcomes: &[Outcome], versions: &[String], by_magnet: bool) -> io::Result<()> {
    if !by_magnet {
        return fs::write(path, report::page(outcomes, versions));
    }
    fs::OpenOptions::new().append(true).open(path)?.write_all(report::by_magnet(outcomes).as_bytes())
}

fn select(options: &Options) -> Vec<Cell> {
    if !options.only.is_empty() {
        let words: Vec<String> = options.only.iter().map(|word| word.to_lowercase()).collect();
        return Cell::all().filter(|cell| words.iter().all(|word| cell.to_string().contains(word))).collect();
    }
    if options.by_magnet {
        let words = ["multi", "http", "ipv4"];
        return Cell::all().filter(|cell| words.iter().all(|word| cell.to_string().contains(word))).collect();
    }
    if options.full { Cell::all().collect() } else { Cell::sample() }
}

fn our_binary(options: &Options) -> Result<Option<PathBuf>> {
    if options.self_check {
        return Ok(None);
    }
    let path = options.bin.as_ref().context("RAWTORRENT_BIN must name the binary under test")?;
    let path = path.canonicalize().with_context(|| format!("RAWTORRENT_BIN={}", path.display()))?;
    Ok(Some(path))
}

/// Versions of all that takes part; fails if something is missing, before any time is spent.
fn versions(lab: &Lab, cells: &[Cell]) -> Result<Vec<String>> {
    ensure!(!cells.is_empty(), "no cell has such a name; --list shows them");
    let nobody = Party { addr: ([127, 0, 0, 1], 0).into(), dir: lab.dir.clone() };
    let mut versions = vec![match &lab.programs.ours {
        Some(path) => {
            process::run(std::process::Command::new(path).arg("--version"), Duration::from_secs(10))?
                .stdout
                .trim()
                .to_owned()
        }
        None => "self-check: libtorrent stands in for rawtorrent".to_owned(),
    }];
    for client in Partner::ALL {
        if cells.iter().any(|cell| cell.partner == client) {
            versions.push(format!("{client} {}", partner::version(client, &lab.programs, &nobody)?));
        }
    }
    versions.extend(lab::tracker_versions());
    Ok(versions)
}

/// The last line, and whether all is well.
fn conclude(outcomes: &[Outcome]) -> bool {
    let count =
        |wanted: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.verdict)).count();
    let failed = count(|verdict| matches!(verdict, Verdict::Red(_)));
    let passed = count(|verdict| matches!(verdict, Verdict::Green(_)));
    println!("{passed} passed, {failed} failed");
    failed == 0
}
