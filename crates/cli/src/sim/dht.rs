//! `sim dht`: thousands of nodes of the DHT.

use super::run_seeds;
use crate::args::Sim;
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::text::counted;
use crate::units::grouped;
use ::sim::{DhtOptions, DhtReport, DhtSummary};
use std::fmt::{self, Display};

pub(super) fn run(args: &Sim, console: &Console) -> Result<Exit, Failure> {
    let options = options(args);
    let mut runs = run_seeds(args, |seed| run_one(args, &options, seed))?;
    runs.sort_by_key(|run| run.seed);
    let Some(summary) = DhtSummary::new(runs) else { return Ok(Exit::Done) };
    let text = if args.json {
        json_line(&summary)
    } else {
        Text { summary: &summary, options: &options }.to_string()
    };
    console.print(text)?;
    Ok(Exit::Done)
}

fn options(args: &Sim) -> DhtOptions {
    let defaults = DhtOptions::default();
    let or = |value: Option<u32>, default: usize| value.map_or(default, |value| value as usize);
    let nodes = or(args.nodes, defaults.nodes);
    DhtOptions {
        nodes,
        hostile: or(args.hostile, defaults.hostile),
        // As many as there are nodes, so that small DHTs are not busier than large ones.
        lookups: nodes.min(defaults.lookups),
        churn_percent: args.churn.unwrap_or(defaults.churn_percent),
        loss_permille: args.loss.unwrap_or(defaults.loss_permille),
        round_trip: args.rtt.unwrap_or(defaults.round_trip),
        ..defaults
    }
}

fn run_one(args: &Sim, options: &DhtOptions, seed: u64) -> Result<DhtReport, Failure> {
    let fail = |why: String| {
        let (DhtOptions { nodes, hostile, churn_percent, loss_permille, .. }, (least, most)) =
            (options, (options.round_trip.0.as_millis(), options.round_trip.1.as_millis()));
        let again = format!(
            "dht --nodes {nodes} --hostile {hostile} --churn {churn_percent} --loss {loss_permille} --rtt {least}-{most}ms"
        );
        let twice = if args.twice { " --twice" } else { "" };
        Failure::new(
            kind::SIMULATION,
            format!("seed {seed}: {why}; replay it with: rawtorrent sim {again}{twice} --seed {seed}"),
        )
    };
    let report = ::sim::run_dht(options, seed).map_err(fail)?;
    if args.twice && ::sim::run_dht(options, seed).map_err(fail)?.digest != report.digest {
        return Err(fail("the same seed gave two outcomes".into()));
    }
    Ok(report)
}

/// The numbers for people.
struct Text<'a> {
    summary: &'a DhtSummary,
    options: &'a DhtOptions,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DhtSummary { found, hops, queries, log2_nodes, runs, target_found, .. } = self.summary;
        let DhtOptions { nodes, hostile, churn_percent, loss_permille, .. } = self.options;
        let sum = |what: fn(&DhtReport) -> usize| runs.iter().map(what).sum::<usize>() as u64;
        let nodes = counted(*nodes as u64, "node");
        writeln!(
            f,
            "dht: {nodes}, {churn_percent} % gone each minute, {loss_permille} ‰ lost, {}",
            counted(runs.len() as u64, "run")
        )?;
        let lookups = grouped(sum(|run| run.lookups));
        writeln!(f, "  lookups    {:.2} % of {lookups} found what was announced", found * 100.0)?;
        writeln!(f, "  hops       median {hops:.0}; log2 of the nodes is {log2_nodes:.1}")?;
        for run in runs.iter().take(1) {
            writeln!(
                f,
                "  queries    median {queries:.0}, p95 {:.0}; stored at {:.0} nodes",
                run.queries_p95, run.stored
            )?;
            writeln!(f, "  time       median {:.1} s, p95 {:.1} s", run.secs, run.secs_p95)?;
            if *hostile > 0 {
                let (least, of) = (target_found * 100.0, run.target_lookups);
                let hostile = counted(*hostile as u64, "hostile node");
                writeln!(
                    f,
                    "  hostile    {hostile} of one /24 around a torrent: {least:.0} % of {of} lookups found its peer"
                )?;
                writeln!(
                    f,
                    "             {:.2} of them among the 8 closest of a lookup",
                    run.target_hostile
                )?;
            }
            writeln!(f, "  traffic    {:.2} datagrams a second from each node", run.datagrams_per_node_sec)?;
        }
        let (virt, real) =
            runs.iter().fold((0.0, 0.0), |(v, r), run| (v + run.virtual_secs, r + run.real_secs));
        let datagrams = grouped(runs.iter().map(|run| run.datagrams).sum());
        writeln!(f, "  simulated  {virt:.0} s in {real:.1} s, {datagrams} datagrams")?;
        if let [run] = &runs[..] {
            writeln!(f, "  seed       {} (digest {})", run.seed, run.digest)?;
        }
        Ok(())
    }
}
