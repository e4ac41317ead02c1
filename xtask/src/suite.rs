//! The steps of `test` and `ci`, and the table at their end.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::built::{self, Program};
use crate::hostile::Extent;
use crate::run::{self, Tally};
use crate::{check, container, fuzz, hostile, needs, sim};

/// A step may take this long; a machine with two cores and nothing built yet takes a third of it.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// All interop cells, one after the other.
const FULL_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// The package of the tests that see the binary from outside.
pub(crate) const TESTS: &str = "tests";
/// Those that need other people's clients, or what else CI installs.
const WITH_OTHERS: &[&str] = &["dht", "privacy", "btmh", "import", "api_schema", "discord"];

/// Something that is green or red by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Fmt,
    Clippy,
    Doc,
    Check,
    /// Unit, property and corpus tests of all crates.
    Unit,
    /// The binary from outside: its commands, bad input, bad luck.
    Cli,
    /// What the internet may send, and sabotages that must be noticed.
    Hostile,
    /// The binary and other people's clients; our DHT nodes and other people's; what they say about private torrents.
    Interop,
    /// The brain in simulated swarms, against its bars.
    Sim,
    Fuzz,
    Docker,
    /// The binary beside other people's clients. A command of its own, and in no list: what it measures is not green or red.
    Bench,
}

impl Step {
    pub(crate) const TEST: &[Step] =
        &[Step::Unit, Step::Cli, Step::Hostile, Step::Interop, Step::Sim, Step::Fuzz, Step::Docker];
    pub(crate) const ALL: &[Step] = &[
        Step::Fmt,
        Step::Clippy,
        Step::Doc,
        Step::Check,
        Step::Unit,
        Step::Cli,
        Step::Hostile,
        Step::Interop,
        Step::Sim,
        Step::Fuzz,
        Step::Docker,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Fmt => "fmt",
            Step::Clippy => "clippy",
            Step::Doc => "doc",
            Step::Check => "check",
            Step::Unit => "unit",
            Step::Cli => "cli",
            Step::Hostile => "hostile",
            Step::Interop => "interop",
            Step::Sim => "sim",
            Step::Fuzz => "fuzz",
            Step::Docker => "docker",
            Step::Bench => "bench",
        }
    }

    fn from_name(name: &str) -> Result<Step> {
        let step = Step::ALL.iter().copied().find(|step| step.name() == name);
        step.with_context(|| format!("no such step: {name}"))
    }
}

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    full: bool,
    install: bool,
    steps: Vec<Step>,
}

impl Options {
    pub(crate) fn parse(args: &[String], all: &[Step]) -> Result<Options> {
        let mut options = Options { full: false, install: true, steps: all.to_vec() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--full" => options.full = true,
                "--no-install" => options.install = false,
                "--only" => {
                    let list = args.next().context("--only needs a list of steps")?;
                    options.steps = list.split(',').map(Step::from_name).collect::<Result<_>>()?;
                }
                other => bail!("no such option: {other}"),
            }
        }
        Ok(options)
    }
}

/// One line of the table.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

/// Runs the steps, each whatever became of those before it, and prints the table; `true` when all is green.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let mut outcomes = Vec::new();
    let mut timed = |name: &'static str, step: &mut dyn FnMut() -> Result<Tally>| {
        println!("\n==> {name}");
        let started = Instant::now();
        let tally = step().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            let failures = vec![format!("{name}: {}", first_line(&error))];
            Tally { failed: 1, failures, ..Tally::default() }
        });
        let outcome = Outcome { name, tally, took: started.elapsed() };
        println!("<== {name}: {}, {} s", outcome.verdict(), outcome.took.as_secs());
        let green = outcome.is_green();
        outcomes.push(outcome);
        green
    };

    // Without what they need, no step could tell the truth.
    let ready = timed("needs", &mut || needs::provide(root, &options.steps, options.install));
    if ready {
        for &step in &options.steps {
            timed(step.name(), &mut || run_step(root, step, options.full));
        }
    }
    Ok(print_table(&outcomes))
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

fn run_step(root: &Path, step: Step, full: bool) -> Result<Tally> {
    match step {
        Step::Fmt => fmt(root),
        Step::Clippy => {
            cargo(root, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
        }
        Step::Doc => {
            cargo(root, &["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])
        }
        Step::Check => {
            let green = check::run(root)?;
            Ok(Tally {
                failed: u64::from(!green),
                failures: if green { vec![] } else { vec!["check: see above".to_owned()] },
                ..Tally::default()
            })
        }
        Step::Unit => {
            let mut tally = tests(root, |program| !program.is_of(TESTS), &[])?;
            tally.add(doc_tests(root)?);
            Ok(tally)
        }
        Step::Cli => {
            build_binary(root)?;
            // They are a step of their own.
            tests(root, |program| program.is_of(TESTS), &["--skip", "hostile::"])
        }
        Step::Hostile => hostile::run(root, &Extent::of(full)),
        Step::Interop => interop(root, full),
        Step::Sim => sim::run(root, full),
        Step::Fuzz => fuzz::run(root, full),
        Step::Docker => container::run(root),
        Step::Bench => bail!("it is a command of its own: cargo xtask bench"),
    }
}

fn cargo(root: &Path, args: &[&str], envs: &[(&str, &str)]) -> Result<Tally> {
    let mut command = run::command(root, run::cargo());
    command.args(args).envs(envs.iter().copied());
    run::counted(&format!("cargo {}", args[0]), command, LIMIT)
}

/// The workspace and, since it is a workspace of its own, `fuzz`.
fn fmt(root: &Path) -> Result<Tally> {
    let mut tally = cargo(root, &["fmt", "--all", "--check"], &[])?;
    tally.add(cargo(root, &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"], &[])?);
    Ok(tally)
}

/// The tests of some programs, with loopback alone.
fn tests(root: &Path, chosen: impl Fn(&Program) -> bool, options: &[&str]) -> Result<Tally> {
    let mut tally = Tally::default();
    for program in built::programs(root, built::ALL)?.iter().filter(|program| chosen(program)) {
        tally.add(program.run(root, options, LIMIT, |command| give_binary(root, command))?);
    }
    Ok(tally)
}

/// The examples in the documentation of all crates.
fn doc_tests(root: &Path) -> Result<Tally> {
    let mut command = run::in_namespace(root, run::cargo());
    command.args(["test", "--doc", "--workspace", "--locked", "--offline", "--no-fail-fast"]);
    run::counted("cargo test --doc", command, LIMIT)
}

fn interop(root: &Path, full: bool) -> Result<Tally> {
    build_binary(root)?;
    must_build(root, &["build", "--locked", "--workspace", "--bin", "interop"])?;
    let mut command = run::in_namespace(root, root.join("target/debug/interop"));
    command.arg("--logs").arg(root.join("target/interop"));
    let mut by_magnet = run::in_namespace(root, root.join("target/debug/interop"));
    by_magnet.arg("--by-magnet").arg("--logs").arg(root.join("target/interop-magnet"));
    if full {
        command.args(["--full", "--report", "docs/interop.md"]);
        by_magnet.args(["--report", "docs/interop.md"]);
    }
    give_binary(root, &mut command);
    let mut tally = run::passed("interop", command, if full { FULL_LIMIT } else { LIMIT })?;
    give_binary(root, &mut by_magnet);
    tally.add(run::passed("interop by magnet", by_magnet, LIMIT)?);
    let with_others = |program: &Program| program.is_of(TESTS) && WITH_OTHERS.contains(&program.target());
    tally.add(tests(root, with_others, &["--ignored"])?);
    Ok(tally)
}

/// Builds the binary as users get it.
pub(crate) fn build_binary(root: &Path) -> Result<()> {
    must_build(root, &["build", "--locked", "--release", "--bin", "rawtorrent"])
}

pub(crate) fn must_build(root: &Path, args: &[&str]) -> Result<()> {
    let tally = cargo(root, args, &[])?;
    if tally.failed > 0 {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}

/// Tells tests where the binary is, and where Python finds the libtorrent that was installed for them.
fn give_binary(root: &Path, command: &mut Command) {
    command.env("RAWTORRENT_BIN", root.join("target/release/rawtorrent"));
    command.env("RAWTORRENT_PYTHONPATH", needs::python_path(root));
}

impl Outcome {
    fn is_green(&self) -> bool {
        self.tally.failed == 0
    }

    fn verdict(&self) -> String {
        let Tally { passed, failed, .. } = self.tally;
        match (self.is_green(), passed) {
            (true, 0) => "ok".to_owned(),
            (true, passed) => format!("ok, {passed} passed"),
            (false, passed) => format!("RED, {passed} passed, {failed} failed"),
        }
    }
}

/// Prints the outcomes; the last line is for programs.
fn print_table(outcomes: &[Outcome]) -> bool {
    println!("\n{:<10}{:>8}  outcome", "step", "seconds");
    let mut total = Tally::default();
    let mut took = Duration::ZERO;
    for outcome in outcomes {
        println!("{:<10}{:>8.1}  {}", outcome.name, outcome.took.as_secs_f64(), outcome.verdict());
        total.add(outcome.tally.clone());
        took += outcome.took;
    }
    println!("{:<10}{:>8.1}", "all", took.as_secs_f64());
    for failure in &total.failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    outcomes.iter().all(Outcome::is_green)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        Options::parse(&args, Step::TEST)
    }

    #[test]
    fn options_are_parsed() {
        let options = parse(&["--full", "--only", "unit,docker"]).unwrap();
        assert!(options.full && options.install);
        assert_eq!(options.steps, [Step::Unit, Step::Docker]);
        assert_eq!(parse(&["--no-install"]).unwrap().steps, Step::TEST);
        assert!(parse(&["--only", "unti"]).is_err());
        assert!(parse(&["--quick"]).is_err());
    }

    #[test]
    fn one_red_step_makes_all_red() {
        let outcome = |failed| Outcome {
            name: "unit",
            tally: Tally { passed: 7, failed, failures: vec![] },
            took: Duration::ZERO,
        };
        assert!(print_table(&[outcome(0), outcome(0)]));
        assert!(!print_table(&[outcome(0), outcome(1)]));
    }
}
