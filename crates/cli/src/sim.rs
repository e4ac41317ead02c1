//! `sim`: swarms of real brains, or a DHT of real nodes, in virtual time.

mod dht;

use crate::args::{self, Check, Sim};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt;
use crate::text::{counted, printable, quoted};
use crate::units::{Size, grouped};
use ::sim::{MAX_RATE, Options, Report, Scenario, Spec, Summary};
use serde::Serialize;
use std::fmt::{self, Display};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) fn run(args: &Sim, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    // A broken rule is told as a failure, with the seed.
    std::panic::set_hook(Box::new(|_| {}));
    let scenario = match args.scenario {
        args::Scenario::Dht if args.file.is_none() => {
            refuse_what_does_nothing(args, "dht", Takes::Dht)?;
            return dht::run(args, console);
        }
        args::Scenario::Dht => Scenario::FlashCrowd,
        args::Scenario::Swarm(scenario) => scenario,
    };
    refuse_what_does_nothing(args, scenario.name(), scenario_options(scenario))?;
    let swarm = Swarm::new(args, scenario)?;
    if let Some(file) = &args.plot {
        // Before the work is done that would be lost.
        fs::write(file, "").or_fail(kind::OUTPUT, format!("cannot write {}", file.display()))?;
    }
    let runs = swarm.run_all(args)?;
    if let Some(file) = &args.plot {
        let svg = ::sim::completion_curve(&swarm.title(args), &runs).or_fail(kind::OUTPUT, "--plot")?;
        fs::write(file, svg).or_fail(kind::OUTPUT, format!("cannot write {}", file.display()))?;
    }
    let Some(summary) = Summary::new(swarm.name(), runs) else { return Ok(Exit::Done) };
    if args.json {
        console.print(json_line(&Measured { summary: &summary, peak_memory: peak_memory() }))?;
    } else {
        console.print(Text { summary: &summary, title: swarm.title(args) }.to_string())?;
    }
    Ok(Exit::Done)
}

/// A summary, and what it took.
#[derive(Serialize)]
struct Measured<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The most memory that the process had, in bytes; 0 where that is not known.
    peak_memory: u64,
}

/// The most memory that this process had so far, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).map_or(0, |kib: u64| kib << 10)
}

/// Options that not every kind of swarm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Those that make a swarm.
    Swarm,
    /// The same and `--liars`.
    Liars,
    Dht,
    /// It makes itself.
    Nothing,
}

fn scenario_options(scenario: Scenario) -> Takes {
    match scenario {
        Scenario::Chaos => Takes::Nothing,
        Scenario::Poisoned => Takes::Liars,
        _ => Takes::Swarm,
    }
}

/// An option that changes nothing is refused: who gives it means something by it.
fn refuse_what_does_nothing(args: &Sim, name: &str, takes: Takes) -> Result<(), Failure> {
    let takes = if args.file.is_some() { Takes::Nothing } else { takes };
    let swarm = matches!(takes, Takes::Swarm | Takes::Liars);
    let (dht, both) = (takes == Takes::Dht, takes != Takes::Nothing);
    let given = [
        ("--peers", args.peers.is_some(), swarm),
        ("--seeds", args.seeds.is_some(), swarm),
        ("--size", args.size.is_some(), swarm),
        ("--piece-length", args.piece_length.is_some(), swarm),
        ("--up", args.up.is_some(), swarm),
        ("--down", args.down.is_some(), swarm),
        ("--neighbours", args.neighbours.is_some(), swarm),
        ("--super-seed", args.super_seed, swarm),
        ("--check", args.check.is_some(), swarm),
        ("--plot", args.plot.is_some(), !dht),
        ("--liars", args.liars.is_some(), takes == Takes::Liars),
        ("--rtt", args.rtt.is_some(), both),
        ("--churn", args.churn.is_some(), both),
        ("--loss", args.loss.is_some(), both),
        ("--nodes", args.nodes.is_some(), dht),
        ("--hostile", args.hostile.is_some(), dht),
    ];
    let Some((option, ..)) = given.into_iter().find(|&(_, given, taken)| given && !taken) else {
        return Ok(());
    };
    let what =
        if args.file.is_some() { "a swarm from a file".to_owned() } else { format!("the scenario {name}") };
    Err(Failure::new(kind::SELECTION, format!("{option} changes nothing in {what}; leave it out")))
}

/// One run after another, as many at once as there are processors.
fn run_seeds<T: Send>(args: &Sim, run: impl Fn(u64) -> Result<T, Failure> + Sync) -> Result<Vec<T>, Failure> {
    if args.seed.checked_add(u64::from(args.runs) - 1).is_none() {
        let why = format!(
            "--seed {} leaves no seeds for {}; the last one is {}",
            args.seed,
            counted(args.runs.into(), "run"),
            u64::MAX
        );
        return Err(Failure::new(kind::SELECTION, why));
    }
    let next = AtomicU64::new(0);
    let done: Mutex<Vec<Result<T, Failure>>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(args.runs as usize) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= args.runs.into() {
                        return;
                    }
                    let report = run(args.seed + number);
                    if report.is_err() {
                        // The others are not worth waiting for.
                        next.store(args.runs.into(), Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
}

/// What is run.
enum Swarm {
    Named(Scenario, Box<Options>),
    File(Box<Spec>),
}

impl Swarm {
    fn new(args: &Sim, scenario: Scenario) -> Result<Swarm, Failure> {
        if let Some(file) = &args.file {
            let name = file.display();
            let text = fs::read_to_string(file).or_fail(kind::SOURCE, format!("cannot read {name}"))?;
            return Ok(Swarm::File(Box::new(Spec::from_json(&text).or_fail(kind::SOURCE, name)?)));
        }
        let mut options = Options::of(scenario);
        let set = |to: &mut usize, value: Option<u32>| *to = value.map_or(*to, |value| value as usize);
        set(&mut options.leechers, args.peers);
        set(&mut options.seeds, args.seeds);
        set(&mut options.neighbours, args.neighbours);
        set(&mut options.liars, args.liars);
        options.size = args.size.unwrap_or(options.size);
        options.piece_length = args.piece_length.unwrap_or(options.piece_length);
        options.up = args.up.unwrap_or(options.up);
        options.down = args.down.unwrap_or(options.up.saturating_mul(4));
        options.round_trip = args.rtt.unwrap_or(options.round_trip);
        options.churn_percent = args.churn.unwrap_or(options.churn_percent);
        options.loss_permille = args.loss.unwrap_or(options.loss_permille);
        options.super_seed = args.super_seed;
        options.check_all = args.check.map(|check| check == Check::Every);
        let wrong = |why: String| Err(Failure::new(kind::SELECTION, why));
        if [options.up, options.down].iter().any(|&rate| rate > MAX_RATE) {
            return wrong("--up and --down are at most 1T".to_owned());
        }
        if scenario == Scenario::Poisoned && options.liars >= options.leechers {
            let (liars, peers) = (options.liars, options.leechers);
            return wrong(format!("--liars {liars} of --peers {peers}: somebody has to be honest"));
        }
        if scenario == Scenario::FreeRiders && options.leechers < 4 {
            return wrong(
                "free-riders: three of ten peers send nothing, so that --peers is at least 4".into(),
            );
        }
        if scenario.spec(&options, 0).is_none() {
            let pieces = options.size / u64::from(options.piece_length);
            let why = format!("--size makes {} pieces; a torrent has 1 to 2,097,152", grouped(pieces));
            return Err(Failure::new(kind::SELECTION, why));
        }
        Ok(Swarm::Named(scenario, Box::new(options)))
    }

    fn name(&self) -> &str {
        match self {
            Swarm::Named(scenario, _) => scenario.name(),
            Swarm::File(spec) => &spec.name,
        }
    }

    fn title(&self, args: &Sim) -> String {
        let runs = counted(args.runs.into(), "run");
        match self {
            Swarm::Named(Scenario::Chaos, _) => format!("chaos: small swarms, {runs}"),
            Swarm::Named(scenario, options) => format!(
                "{}: {}, {}, {} in pieces of {}, {}",
                scenario.name(),
                counted(options.seeds as u64, "seed"),
                counted(options.leechers as u64, "leecher"),
                Size(options.size),
                Size(options.piece_length.into()),
                runs,
            ),
            Swarm::File(spec) => {
                format!("{}: {}, {runs}", printable(&spec.name), counted(spec.peers.len() as u64, "peer"))
            }
        }
    }

    fn run_all(&self, args: &Sim) -> Result<Vec<Report>, Failure> {
        let mut reports = run_seeds(args, |seed| self.run_one(args, seed))?;
        reports.sort_by_key(|report| report.seed);
        Ok(reports)
    }

    fn run_one(&self, args: &Sim, seed: u64) -> Result<Report, Failure> {
        let spec = match self {
            Swarm::Named(scenario, options) => scenario.spec(options, seed).map(std::borrow::Cow::Owned),
            Swarm::File(spec) => Some(std::borrow::Cow::Borrowed(&**spec)),
        };
        let fail = |why: String| {
            Failure::new(kind::SIMULATION, format!("seed {seed}: {why}; {}", self.again(args, seed)))
        };
        let spec = spec.ok_or_else(|| fail("no such swarm".into()))?;
        let start = Instant::now();
        let outcome = ::sim::run(&spec, seed).map_err(fail)?;
        let report = Report::new(&spec, seed, &outcome, start.elapsed());
        if args.twice && ::sim::run(&spec, seed).map_err(fail)?.digest != outcome.digest {
            return Err(fail("the same seed gave two outcomes".into()));
        }
        Ok(report)
    }

    /// The command that runs this seed alone.
    fn again(&self, args: &Sim, seed: u64) -> String {
        let mut command = vec!["replay it with: rawtorrent sim".to_owned()];
        match (self, &args.file) {
            (Swarm::File(_), Some(file)) => {
                command.push(format!("--file {}", quoted(&file.display().to_string())));
            }
            (Swarm::Named(Scenario::Chaos, _), _) => command.push("chaos".into()),
            (Swarm::Named(scenario, o), _) => {
                let rtt = (o.round_trip.0.as_millis(), o.round_trip.1.as_millis());
                command.push(format!(
                    "{} --peers {} --seeds {} --size {} --piece-length {} --up {} --down {} --neighbours {} --rtt {}-{}ms",
                    scenario.name(), o.leechers, o.seeds, o.size, o.piece_length, o.up, o.down, o.neighbours, rtt.0, rtt.1
                ));
                command.push(format!(
                    "--liars {} --churn {} --loss {}",
                    o.liars, o.churn_percent, o.loss_permille
                ));
                command.extend(o.super_seed.then(|| "--super-seed".to_owned()));
                let check = o.check_all.map(|every| if every { "--check=every" } else { "--check=sampled" });
                command.extend(check.map(str::to_owned));
            }
            (Swarm::File(_), None) => {}
        }
        command.extend(args.twice.then(|| "--twice".to_owned()));
        command.push(format!("--seed {seed}"));
        command.join(" ")
    }
}

/// The numbers for people.
struct Text<'a> {
    summary: &'a Summary,
    title: String,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { first, median, p95, last, bound, ratio, fairness, wasted, .. } = self.summary;
        writeln!(f, "{}", self.title)?;
        writeln!(
            f,
            "  complete   first {first:.1} s, median {median:.1} s, p95 {p95:.1} s, last {last:.1} s"
        )?;
        writeln!(f, "  at best    {bound:.1} s (what these lines allow those who start together)")?;
        writeln!(f, "  ratio      {ratio:.3} (last completion over the best possible)")?;
        writeln!(f, "  fairness   {fairness:.3} (1: all gave the same share of what they took)")?;
        let bytes = Duration::from_secs_f64(wasted.max(0.0)).as_secs();
        writeln!(f, "  wasted     {} came in vain", Size(bytes))?;
        if let Some(sent) = self.summary.seed_sent {
            writeln!(f, "  seeds      sent {sent:.2} times the content until every piece was out")?;
        }
        if let Some(slower) = self.summary.free_riders {
            writeln!(
                f,
                "  free riders would take {slower:.2} times as long as those who give, at their pace while these download\n  \
                 givers     median {:.1} s; free riders {:.1} s, served by those who were complete",
                self.summary.contributors,
                self.summary.riders.unwrap_or_default()
            )?;
        }
        if let Some(stalled) = self.summary.stalled {
            writeln!(
                f,
                "  film       stood still for {stalled:.2} s at most, having begun after three pieces' time"
            )?;
        }
        let runs = &self.summary.runs;
        let (liars, honest) =
            runs.iter().fold((0, 0), |(l, h), run| (l + run.banned_liars, h + run.banned_honest));
        if liars + honest > 0 {
            writeln!(f, "  bans       {liars} of liars, {honest} of honest peers")?;
        }
        let events: u64 = runs.iter().map(|run| run.events).sum();
        let (virt, real) = (self.summary.virtual_secs, self.summary.real_secs);
        writeln!(
            f,
            "  simulated  {virt:.0} s in {real:.1} s, {} events, {} of memory at most",
            grouped(events),
            Size(peak_memory())
        )?;
        if let [run] = &runs[..] {
            writeln!(f, "  seed       {} (digest {})", run.seed, run.digest)?;
        }
        Ok(())
    }
}
