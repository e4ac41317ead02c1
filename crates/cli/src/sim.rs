//! `sim`: swarms of real brains, or a DHT of real nodes, in virtual time.

mod dht;

use crate::args::{self, Check, Sim};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt;
use crate::text::counted;
use crate::units::{Size, grouped};
use ::sim::{Options, Report, Scenario, Spec, Summary};
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
        args::Scenario::Dht if args.file.is_none() => return dht::run(args, console),
        args::Scenario::Dht => Scenario::FlashCrowd,
        args::Scenario::Swarm(scenario) => scenario,
    };
    let swarm = Swarm::new(args, scenario)?;
    let runs = swarm.run_all(args)?;
    if let Some(file) = &args.plot {
        let svg = ::sim::completion_curve(&swarm.title(args), &runs).or_fail(kind::OUTPUT, "--plot")?;
        fs::write(file, svg).or_fail(kind::OUTPUT, format!("cannot write {}", file.display()))?;
    }
    let Some(summary) = Summary::new(swarm.name(), runs) else { return Ok(Exit::Done) };
    if args.json {
        console.print(json_line(&summary))?;
    } else {
        console.print(Text { summary: &summary, title: swarm.title(args) }.to_string())?;
    }
    Ok(Exit::Done)
}

/// One run after another, as many at once as there are processors.
fn run_seeds<T: Send>(args: &Sim, run: impl Fn(u64) -> Result<T, Failure> + Sync) -> Result<Vec<T>, Failure> {
    let end = args.seed.saturating_add(args.runs.into());
    let next = AtomicU64::new(args.seed);
    let done: Mutex<Vec<Result<T, Failure>>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(args.runs as usize) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = run(seed);
                    if report.is_err() {
                        // The others are not worth waiting for.
                        next.store(end, Ordering::Relaxed);
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
                format!("{}: {}, {runs}", spec.name, counted(spec.peers.len() as u64, "peer"))
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
            (Swarm::File(_), Some(file)) => command.push(format!("--file {}", file.display())),
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
        writeln!(f, "  at best    {bound:.1} s (no swarm of these lines can be faster)")?;
        writeln!(f, "  ratio      {ratio:.3} (last completion over the best possible)")?;
        writeln!(f, "  fairness   {fairness:.3} (1: everybody gave as much as it took)")?;
        let bytes = Duration::from_secs_f64(wasted.max(0.0)).as_secs();
        writeln!(f, "  wasted     {} came in vain", Size(bytes))?;
        if let Some(sent) = self.summary.seed_sent {
            writeln!(f, "  seeds      sent {sent:.2} times the content until every piece was out")?;
        }
        if let Some(slower) = self.summary.free_riders {
            writeln!(
                f,
                "  free riders would take {slower:.2} times as long as those who give, while these download\n  \
                 givers     median {:.1} s",
                self.summary.contributors
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
        writeln!(f, "  simulated  {virt:.0} s in {real:.1} s, {} events", grouped(events))?;
        if let [run] = &runs[..] {
            writeln!(f, "  seed       {} (digest {})", run.seed, run.digest)?;
        }
        Ok(())
    }
}
