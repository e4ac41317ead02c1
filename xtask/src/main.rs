//! The project's own commands. `cargo xtask` without arguments says what there is.

mod bench;
mod built;
mod check;
mod container;
mod endure;
mod fuzz;
mod hostile;
mod lab;
mod needs;
mod overhead;
mod run;
mod sim;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use suite::{Options, Step};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check                 crate floors, no_std, limits of style (no network, seconds)
  limits                docs/limits.md anew: every limit, its value, what happens there, and the test that reaches it
  test [OPTIONS]        everything that can be tested; installs what it needs where it may (Debian, root)
  ci [OPTIONS]          fmt, clippy, doc, check and test: what .ci/run calls
  sim [--full]          the brain's bars in simulated swarms; all of them, kept in docs/sim.md (half an hour)
  fuzz [TARGET...]      fuzz targets, and whether each finds a planted fault; --seconds N each (10), --jobs N at a time;
                        --record without the faults, added to docs/fuzzing.md
  hostile [--full]      everything that the internet may send, against its bars, and a sabotage for each that must turn it red;
                        more of it, kept in docs/reliability.md; --soak SECONDS of a daemon with 2,000 torrents (7200);
                        --part tests or --part soak for all but the soak, or the soak; --only TEST[,TEST]
  power [CUTS]          power cuts under a session, 1,000 of them, and without fdatasync, which must be found (ten minutes)
  kill [KILLS]          a session is killed, 1,000 times (some minutes)
  full [WRITES]         the disk fills at each write of a download, or at one of so many, each in a download of its own
                        (an hour); all three are kept in docs/endurance.md
  bench [ROW...]        beside other people's clients: leech seed seed4 recheck create growth first-block magnet web-seed; --runs N, --full for all
                        of them and docs/bench, --rqbit to install that one too (minutes, wants an idle machine)
  bench daemon          the API of a daemon with 10,000 torrents, one of whose disks hangs, by its bars (two minutes)
  overhead              instructions of a download's brain without events, with nobody listening, and with somebody (valgrind)
  lab [FILE...]         real swarms over emulated lines beside simulated ones (minutes, wants an idle machine)

options of test and ci:
  --full                every interop cell and every bar instead of samples, half an hour for each fuzz target
  --no-install          install nothing: say what is missing, and how to get it, and fail
  --only STEP[,STEP]    these steps alone: fmt clippy doc check unit cli hostile interop sim fuzz docker
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; `false` means that it ran and something was red.
fn dispatch(args: &[String]) -> Result<bool> {
    let root = workspace_root();
    let Some((command, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return Ok(false);
    };
    match command.as_str() {
        "check" if rest.is_empty() => check::run(&root),
        "limits" if rest.is_empty() => check::limits::write(&root).map(|()| true),
        "test" => suite::run(&root, &Options::parse(rest, Step::TEST)?),
        "ci" => suite::run(&root, &Options::parse(rest, Step::ALL)?),
        "bench" => bench::run(&root, rest),
        "overhead" if rest.is_empty() => overhead::run(&root),
        "lab" => lab::run(&root, rest),
        "fuzz" => fuzz::command(&root, rest),
        "sim" if rest.is_empty() || rest == ["--full"] => {
            let tally = sim::run(&root, !rest.is_empty())?;
            tally.failures.iter().for_each(|failure| println!("{failure}"));
            Ok(tally.failed == 0)
        }
        "hostile" => {
            let tally = hostile::run(&root, &hostile::Extent::parse(rest)?)?;
            tally.failures.iter().for_each(|failure| println!("{failure}"));
            Ok(tally.failed == 0)
        }
        fault if endure::Fault::of(fault).is_some() && rest.len() <= 1 => {
            let fault = endure::Fault::of(fault).expect("it was looked at just now");
            let tally = endure::run(&root, fault, rest)?;
            tally.failures.iter().for_each(|failure| println!("{failure}"));
            Ok(tally.failed == 0)
        }
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => bail!("no such command: {}\n\n{USAGE}", args.join(" ")),
    }
}

fn workspace_root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_path_buf()
}
