//! The project's own commands. `cargo xtask` without arguments says what there is.

mod bench;
mod check;
mod container;
mod fuzz;
mod lab;
mod needs;
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
  test [OPTIONS]        everything that can be tested; installs what it needs where it may (Debian, root)
  ci [OPTIONS]          fmt, clippy, doc, check and test: what .ci/run calls
  sim [--full]          the brain's bars in simulated swarms; all of them, kept in docs/sim.md (half an hour)
  bench [ROW...]        beside other people's clients: leech seed seed4 recheck create growth first-block; --runs N, --full for all
                        of them and docs/bench, --rqbit to install that one too (minutes, wants an idle machine)
  lab [FILE...]         real swarms over emulated lines beside simulated ones (minutes, wants an idle machine)

options of test and ci:
  --full                every interop cell and every bar instead of samples
  --no-install          install nothing: say what is missing, and how to get it, and fail
  --only STEP[,STEP]    these steps alone: fmt clippy doc check unit cli interop sim fuzz docker
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
        "test" => suite::run(&root, &Options::parse(rest, Step::TEST)?),
        "ci" => suite::run(&root, &Options::parse(rest, Step::ALL)?),
        "bench" => bench::run(&root, rest),
        "lab" => lab::run(&root, rest),
        "sim" if rest.is_empty() || rest == ["--full"] => {
            let tally = sim::run(&root, !rest.is_empty())?;
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
