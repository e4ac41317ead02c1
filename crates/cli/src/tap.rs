//! `rawtorrent trace`: what torrents of a daemon and their peers say, as it happens.

use crate::args::Trace;
use crate::console::Console;
use crate::failure::{Exit, Failure, kind};
use crate::remote::{client, find, told};
use crate::trace::{Manner, Printer};
use crate::{interrupt, runtime};
use api::{Client, ListQuery, TraceBegan, Traced};
use engine::Event;
use engine::events::{Filter, FilterError, VERSION};
use serde::Deserialize;
use std::time::Duration;

pub(crate) fn run(args: &Trace, console: &Console) -> Result<Exit, Failure> {
    let named = filter(args.kind.iter().chain(&args.direction).cloned())?;
    // Only the daemon knows where peers are.
    let peers = args.peer.iter().flat_map(|given| given.split(','));
    filter(peers.map(|peer| format!("peer={}", peer.trim())))?;
    // Else the daemon tells nothing more than that.
    let filter = if args.shown.pcap.is_some() { named } else { Filter::all() };
    let client = client(&args.remote)?;
    let mut interrupt = interrupt::graceful(console)?;
    runtime()?.block_on(async {
        let torrent = match &args.torrent {
            Some(name) => Some(find(&client, name).await?.id),
            None if args.shown.pcap.is_some() => Some(only(&client).await?),
            None => None,
        };
        let many = torrent.is_none();
        let mut stream = client.trace(&args.query(torrent, args.shown.pcap.is_some())).await.map_err(told)?;
        let mut printer = None;
        let mut is_newer = false;
        let shown = async {
            while let Some(traced) = stream.next().await.map_err(told)? {
                match (traced, &mut printer) {
                    (Traced::Began(began), printer) => {
                        *printer = Some(begin(args, &filter, began, many, console)?);
                    }
                    (Traced::Event(event), Some(printer)) => match Event::deserialize(&event) {
                        Ok(event) => {
                            printer.print(event)?;
                        }
                        // Kinds and fields may be added while the version stays.
                        Err(_) if args.remote.json => printer.pass_on(&event)?,
                        Err(_) if !std::mem::replace(&mut is_newer, true) => console.note(
                            "the daemon is newer: it tells of more than is known here, which is not shown",
                        ),
                        Err(_) => {}
                    },
                    (Traced::Lost(lost), Some(printer)) => printer.lost(lost.lost)?,
                    (_, None) => return Err(strange("events before their beginning")),
                }
                let is_for_nobody = printer.as_ref().is_some_and(Printer::is_for_nobody);
                match (console.is_output_lost(), is_for_nobody) {
                    (true, _) => return Ok(Exit::Failed),
                    (false, true) => return Ok(Exit::Done),
                    (false, false) => {}
                }
            }
            Err(Failure::new(kind::DAEMON, "the daemon has ended"))
        };
        let exit = tokio::select! {
            exit = shown => exit,
            () = interrupt.asked() => Ok(Exit::Interrupted),
        };
        let is_captured = printer.is_none_or(Printer::finish);
        exit.map(|exit| if exit == Exit::Done && !is_captured { Exit::Failed } else { exit })
    })
}

fn filter(terms: impl Iterator<Item = String>) -> Result<Filter, Failure> {
    let terms = terms.collect::<Vec<_>>().join(",");
    terms.parse().map_err(|wrong: FilterError| Failure::new(kind::USAGE, wrong))
}

/// The one torrent of a daemon. A capture is of one: connections have numbers of their own in each.
async fn only(client: &Client) -> Result<String, Failure> {
    let mut all = client.torrents(&ListQuery::default()).await.map_err(told)?.torrents.into_iter();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one.id),
        _ => Err(Failure::new(kind::OUTPUT, "a capture is of one torrent; name it (--torrent)")),
    }
}

fn begin(
    args: &Trace,
    filter: &Filter,
    began: TraceBegan,
    many: bool,
    console: &Console,
) -> Result<Printer, Failure> {
    if began.v != VERSION {
        return Err(strange(&format!("events of version {}, not {VERSION}", began.v)));
    }
    let began = Duration::try_from_secs_f64(began.began).map_err(|_| strange("a time that is none"))?;
    let (explain, addresses, pcap) = (args.shown.explain, args.shown.addresses, args.shown.pcap.clone());
    let (json, filter) = (args.remote.json, filter.clone());
    let printer =
        Printer::new(console, Manner { json, explain, addresses, pcap, many, filter }, Some(began))?;
    if !json {
        console.note("this is what is said from now on");
    }
    Ok(printer)
}

fn strange(what: &str) -> Failure {
    Failure::new(kind::DAEMON, format_args!("the daemon is of another version: it tells {what}"))
}
