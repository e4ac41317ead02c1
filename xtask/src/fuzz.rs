//! Every fuzz target of `fuzz/` for a while, and its control: the same with a planted fault, which it must find.
//!
//! Runs start from the seeds and from what earlier runs found (`fuzz/corpus`); controls from the seeds alone. They have
//! loopback as their only network. What runs add up to is kept in `docs/fuzzing.md`, if that is asked for.

mod record;
mod seeds;
mod stats;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::needs;
use crate::run::{self, Tally};
use stats::{Stats, Verdict};

const SECONDS_EACH: u64 = 10;
const FULL_SECONDS_EACH: u64 = 30 * 60;
/// A control that found nothing until then is red, however long the runs are; most need a second, some are a matter of
/// luck on a machine that is busy.
const CONTROL_SECONDS: u64 = 60;
const BUILD_LIMIT: Duration = Duration::from_secs(25 * 60);
/// To start and to end, beyond its own time.
const GRACE: Duration = Duration::from_secs(60);
/// Makes the targets panic where a fault is planted.
const PLANT: &str = "RAWTORRENT_FUZZ_PLANT";
const PLANTED: &str = "the planted fault";

/// What is to be run.
struct Plan {
    /// All of them if empty.
    targets: Vec<String>,
    seconds: u64,
    jobs: usize,
    controls: bool,
    record: bool,
    /// With AddressSanitizer, which takes half of the time of building and running. Code that is not safe is in few places.
    sanitize: bool,
}

/// The step: all targets, two or more at a time, and their controls.
pub(crate) fn run(root: &Path, full: bool) -> Result<Tally> {
    let seconds = if full { FULL_SECONDS_EACH } else { SECONDS_EACH };
    let (targets, jobs) = (Vec::new(), run::cores());
    fuzz(root, &Plan { targets, seconds, jobs, controls: true, record: full, sanitize: full })
}

/// The command: `[TARGET...] [--seconds N] [--jobs N] [--record]`.
pub(crate) fn command(root: &Path, args: &[String]) -> Result<bool> {
    let plan = Plan::parse(args)?;
    needs::CARGO_FUZZ.provide(root, true)?;
    let tally = fuzz(root, &plan)?;
    tally.failures.iter().for_each(|failure| println!("{failure}"));
    Ok(tally.failed == 0)
}

impl Plan {
    fn parse(args: &[String]) -> Result<Plan> {
        let mut plan = Plan {
            targets: Vec::new(),
            seconds: SECONDS_EACH,
            jobs: run::cores(),
            controls: true,
            record: false,
            sanitize: true,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut number =
                || args.next().and_then(|n| n.parse().ok()).context(format!("{arg} needs a number"));
            match arg.as_str() {
                "--record" => (plan.record, plan.controls) = (true, false),
                "--seconds" => plan.seconds = number()?,
                "--jobs" => plan.jobs = usize::try_from(number()?)?.max(1),
                other if other.starts_with('-') => bail!("no such option: {other}"),
                target => plan.targets.push(target.to_owned()),
            }
        }
        Ok(plan)
    }
}

fn fuzz(root: &Path, plan: &Plan) -> Result<Tally> {
    let manifest = root.join("fuzz/Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let all = targets(&text);
    ensure!(!all.is_empty(), "{} names no targets", manifest.display());
    let unknown = plan.targets.iter().find(|wanted| !all.contains(&wanted.as_str()));
    ensure!(unknown.is_none(), "no such target: {}", unknown.map_or("", String::as_str));
    let wanted: Vec<&str> = all
        .iter()
        .copied()
        .filter(|t| plan.targets.is_empty() || plan.targets.iter().any(|w| w == t))
        .collect();

    // It would be one by itself: every core but one would wait for the largest crates.
    let mut build = vec!["build", "--codegen-units", "16"];
    if !plan.sanitize {
        build.extend(["--sanitizer", "none"]);
    }
    build.extend(if let [target] = wanted[..] { Some(target) } else { None });
    let built = run::counted("cargo fuzz build", cargo_fuzz(root, &build), BUILD_LIMIT)?;
    ensure!(built.failed == 0, "the fuzz targets don't build");
    let rooms = wanted.iter().map(|target| Room::new(root, target)).collect::<Result<Vec<_>>>()?;

    let kept = if plan.record { Some(Mutex::new(record::Record::read(root)?)) } else { None };
    let told = Mutex::new(InOrder::default());
    let numbered: Vec<(usize, &Room)> = rooms.iter().enumerate().collect();
    let outcomes = run::side_by_side(&numbered, plan.jobs, |&(at, room)| {
        let outcome = room.run(plan);
        let lines = outcome.as_ref().map_or_else(|_| Vec::new(), |report| report.lines.clone());
        for line in told.lock().expect("no thread panics while it has this").due(at, lines) {
            println!("{line}");
        }
        let report = outcome?;
        if let Some(kept) = &kept {
            // At once: runs take hours, and what was done is kept if they are ended.
            let mut kept = kept.lock().expect("no thread panics while it has this");
            kept.add(&room.target, plan.seconds, &report.stats);
            kept.write(root)?;
        }
        Ok(report.tally)
    });
    let mut tally = Tally::default();
    outcomes.into_iter().try_for_each(|outcome: Result<Tally>| outcome.map(|one| tally.add(one)))?;
    Ok(tally)
}

/// What is told of targets that run side by side: the lines of one together, and in the targets' order.
#[derive(Default)]
struct InOrder {
    next: usize,
    waiting: BTreeMap<usize, Vec<String>>,
}

impl InOrder {
    /// What can be told now that the target with this number has ended.
    fn due(&mut self, at: usize, lines: Vec<String>) -> Vec<String> {
        self.waiting.insert(at, lines);
        let mut due = Vec::new();
        while let Some(lines) = self.waiting.remove(&self.next) {
            due.extend(lines);
            self.next += 1;
        }
        due
    }
}

/// What came of a target.
struct Report {
    stats: Stats,
    tally: Tally,
    lines: Vec<String>,
}

/// A target that is built, and its folders.
struct Room {
    root: PathBuf,
    target: String,
    program: PathBuf,
    seeds: PathBuf,
    seed_count: u64,
    words: PathBuf,
}

impl Room {
    fn new(root: &Path, target: &str) -> Result<Room> {
        let seeds = root.join("target/fuzz/seeds").join(target);
        let seed_count = seeds::write(&seeds, target)?;
        let words = root.join("target/fuzz/words");
        fs::write(&words, seeds::words())?;
        Ok(Room {
            root: root.to_path_buf(),
            target: target.to_owned(),
            program: program(root, target)?,
            seeds,
            seed_count,
            words,
        })
    }

    /// The run and its control.
    fn run(&self, plan: &Plan) -> Result<Report> {
        let (mut tally, mut lines) = (Tally::default(), Vec::new());
        let mut check = |what: &str, verdict: Verdict, stats: &Stats| {
            lines.push(format!("fuzz {:<18} {what:<8} {stats}  {verdict}", self.target));
            match verdict {
                Verdict::Good => tally.passed += 1,
                Verdict::Bad(why) => {
                    tally.failed += 1;
                    tally.failures.push(format!("fuzz {} {what}: {why}", self.target));
                }
            }
        };
        let artifacts = self.root.join("fuzz/artifacts").join(&self.target);
        let corpus = self.root.join("fuzz/corpus").join(&self.target);
        let stats = self.once(plan.seconds, &corpus, &artifacts, false)?;
        check("run", stats.verdict(), &stats);
        if plan.controls {
            let room = self.root.join("target/fuzz/control").join(&self.target);
            let _ = fs::remove_dir_all(&room);
            let control = self.once(CONTROL_SECONDS, &room.join("corpus"), &room, true)?;
            check("control", control.verdict_of_control(PLANTED, self.seed_count), &control);
        }
        Ok(Report { stats, tally, lines })
    }

    fn once(&self, seconds: u64, corpus: &Path, artifacts: &Path, plants: bool) -> Result<Stats> {
        fs::create_dir_all(corpus)?;
        fs::create_dir_all(artifacts)?;
        let mut command = run::in_namespace(&self.root, &self.program);
        command.args([corpus, &self.seeds]);
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-dict={}", self.words.display()));
        command.arg(format!("-max_total_time={seconds}"));
        command.args(["-timeout=10", "-print_final_stats=1", "-reload=0"]);
        // SQLite has two tables of one name, each of its own file in what it is made of.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0");
        if plants {
            // The same luck each time.
            command.env(PLANT, "1").arg("-seed=1");
        }
        let (lines, is_good) = run::collected(command, Duration::from_secs(seconds) + GRACE)?;
        Ok(Stats::read(&lines, is_good))
    }
}

/// The names of the `[[bin]]` tables.
fn targets(manifest: &str) -> Vec<&str> {
    let tables = manifest.split("\n[").filter_map(|table| table.strip_prefix("[bin]]"));
    tables
        .filter_map(|table| {
            let name = table.lines().find_map(|line| line.strip_prefix("name"))?;
            Some(name.trim_matches(|c: char| c.is_whitespace() || c == '=' || c == '"'))
        })
        .collect()
}

/// Where cargo-fuzz put it: below a folder for the machine that it is for.
fn program(root: &Path, target: &str) -> Result<PathBuf> {
    let built = root.join("fuzz/target");
    let folders = fs::read_dir(&built).with_context(|| built.display().to_string())?;
    let programs = folders.filter_map(|folder| Some(folder.ok()?.path().join("release").join(target)));
    programs.into_iter().find(|program| program.is_file()).with_context(|| format!("{target} was not built"))
}

/// `cargo fuzz` wants a nightly compiler for its flags; the stable one knows them too when told so.
fn cargo_fuzz(root: &Path, args: &[&str]) -> Command {
    let program = needs::CARGO_FUZZ.path(root).unwrap_or_else(|| "cargo-fuzz".into());
    let mut command = run::command(root, program);
    command.arg("fuzz").args(args).env("RUSTC_BOOTSTRAP", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_the_manifest() {
        let manifest = "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"wire\"\npath = \"w.rs\"\n\n[[bin]]\nname=\"bencode\"\n";
        assert_eq!(targets(manifest), ["wire", "bencode"]);
        assert!(targets("[package]\nname = \"fuzz\"\n").is_empty());
    }

    #[test]
    fn what_is_told_of_targets_is_in_their_order() {
        let mut told = InOrder::default();
        let mut due = |at, line: &str| told.due(at, vec![line.to_owned(), format!("{line} control")]);
        assert!(due(1, "krpc").is_empty() && due(2, "lsd").is_empty(), "the first has not ended");
        assert_eq!(
            due(0, "bitfield"),
            ["bitfield", "krpc", "lsd"].map(|one| [one.to_owned(), format!("{one} control")]).concat()
        );
        assert_eq!(due(3, "magnet"), ["magnet", "magnet control"]);
    }

    #[test]
    fn a_plan_is_parsed() {
        let parse = |args: &[&str]| Plan::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>());
        let plan = parse(&["--record", "krpc", "--seconds", "60", "--jobs", "0"]).unwrap();
        assert_eq!((plan.targets, plan.seconds, plan.jobs), (vec!["krpc".to_owned()], 60, 1));
        assert!(plan.record && !plan.controls);
        assert!(parse(&[]).unwrap().controls);
        assert!(parse(&["--seconds"]).is_err() && parse(&["--fast"]).is_err());
    }
}
