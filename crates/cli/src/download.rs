//! `download`: get every SOURCE, verified and durable.

use crate::args::{self, Download};
use crate::console::{Console, json_line};
use crate::failure::{Exit, Failure, kind};
use crate::listing;
use crate::paint::{Look, Paint};
use crate::show::{Shown, file_table};
use crate::source::{self, Source};
use crate::text::printable;
use crate::trace::Manner;
use crate::transfer::{self, Plan};
use crate::{interrupt, runtime};
use engine::Allocate;
use engine::events::Filter;
use std::path::Path;

pub(crate) fn run(args: &Download, console: &Console) -> Result<Exit, Failure> {
    if args.list {
        return list(args, console);
    }
    let Some(state_dir) = args.session.state_dir() else {
        return Err(Failure::new(
            kind::STARTUP,
            "nowhere to keep resume state: set HOME or give --state-dir",
        ));
    };
    let goal = transfer::seed_goal(args.goal);
    let goes_on = args.seed || goal.ratio.is_some() || goal.time.is_some();
    if args.metadata_only && args.sources.len() > 1 && !args.dir.is_dir() {
        let message = "several torrents do not fit into one file; give a folder with -o";
        return Err(Failure::new(kind::OUTPUT, message));
    }
    let plan = Plan {
        dir: args.dir.clone(),
        metadata_only: args.metadata_only,
        select: args.select.clone(),
        sequential: args.sequential,
        overwrite: args.overwrite,
        allocate: match args.allocate {
            args::Allocate::Sparse => Allocate::Sparse,
            args::Allocate::Full => Allocate::Full,
        },
        seed_only: false,
        super_seed: false,
        seed: goes_on.then_some(goal),
        peers: args.session.peer.clone(),
        trackers: !args.session.no_trackers,
        dht: !args.session.no_dht,
        web_seeds: !args.session.no_web_seeds,
        record: args.record.clone(),
        trace: trace(args)?,
    };
    transfer::run(plan, &args.sources, transfer::settings(&args.session, state_dir), console)
}

/// `--trace`: how events are shown, and which.
fn trace(args: &Download) -> Result<Option<Manner>, Failure> {
    let args::Shown { explain, addresses, ref pcap } = args.shown;
    // In the environment they may stand for other commands.
    let said = |is_set: bool, variable: &str| is_set && std::env::var_os(variable).is_none();
    let options = [
        ("--pcap", said(pcap.is_some(), "RAWTORRENT_PCAP")),
        ("--explain", said(explain, "RAWTORRENT_EXPLAIN")),
        ("--addresses", said(addresses, "RAWTORRENT_ADDRESSES")),
    ];
    if let (None, Some((option, _))) = (&args.trace, options.iter().find(|(_, is_said)| *is_said)) {
        return Err(Failure::new(
            kind::USAGE,
            format_args!("{option} is of what --trace shows: add --trace"),
        ));
    }
    let Some(filter) = args.trace.clone() else { return Ok(None) };
    // It would be taken for one of several sources.
    let is_filter = |source: &&String| {
        source.parse::<Filter>().is_ok_and(|filter| filter != Filter::all()) && !Path::new(source).exists()
    };
    if let Some(source) = args.sources.iter().find(is_filter) {
        let message = format!("'{source}' is no file; what is to be traced follows with =: --trace={source}");
        return Err(Failure::new(kind::USAGE, message));
    }
    let (json, pcap) = (args.session.json, pcap.clone());
    Ok(Some(Manner { json, explain, addresses, pcap, many: false, filter }))
}

/// `--list`: what each source holds, numbered as `--select` counts; with `--json`, what `show --json` prints.
fn list(args: &Download, console: &Console) -> Result<Exit, Failure> {
    interrupt::immediate(console)?;
    let runtime = runtime()?;
    let paint = Paint::of_stdout();
    let mut exit = Exit::Done;
    for source in &source::unfold(&args.sources)? {
        let torrent = match runtime.block_on(Source::new(source).load(transfer::fetch_alone)) {
            Ok(torrent) => torrent,
            Err(failure) => {
                console.failure(&failure);
                exit = Exit::Failed;
                continue;
            }
        };
        let files = listing::list(&torrent);
        if args.session.json {
            console.print(json_line(&Shown::new(&torrent, &files)))?;
        } else {
            let name = paint.paint(Look::Bold, printable(torrent.name()));
            console.print(format!("{name}\n{}", file_table(&files, paint)))?;
        }
    }
    Ok(exit)
}
