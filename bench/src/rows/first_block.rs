//! From the start of a program to the first block from a peer that it was told of.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tests::process::Proc;

use super::MIB;
use crate::clients::{self, Client, Work};
use crate::content::Torrent;
use crate::lab::Lab;
use crate::meter;
use crate::report::{Bar, Bound, Measure, Over, Table, measure};
use crate::seeder::NullSeeder;

const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(1);

const MEASURES: &[Measure] = &[measure("first block", "ms", 1)];
const BARS: &[Bar] = &[Bar { of: 0, over: Over::Nothing, bound: Bound::AtMost(50.0) }];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let torrent = Arc::new(lab.torrent(256 * MIB, usize::try_from(MIB)?)?);
    let mut clients = vec![Client::Rawtorrent, Client::Libtorrent];
    clients.extend(lab.setup.rqbit.as_ref().map(|_| Client::Rqbit));
    let entries = lab.interleave(&clients, settings, |client| Ok(vec![first_block(lab, client, &torrent)?]));
    Ok(Table {
        row: "first-block",
        about: "From the start of the process to the moment when the null seeder, whose address it was given, has sent the \
                first block that it asked for. 256 MiB, into a new file."
            .into(),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

fn settings(client: Client) -> String {
    match client {
        Client::Libtorrent => {
            format!("{}; from Python, whose start is not counted", clients::libtorrent_settings(Work::Leech))
        }
        _ => "defaults".into(),
    }
}

/// In milliseconds.
fn first_block(lab: &Lab, client: Client, torrent: &Arc<Torrent>) -> Result<f64> {
    let party = lab.party()?;
    let path = torrent.write(&party.dir.join("plain.torrent"), None)?;
    let seeder = NullSeeder::start(lab.seeder_addr(0), torrent)?;
    let (data, peers) = (party.data(), [seeder.addr]);
    let mut command = match client {
        Client::Rawtorrent => clients::rawtorrent_leech(lab, &party, &path, &data, &peers),
        Client::Libtorrent => clients::libtorrent(lab, &party, Work::Leech, &path, &data, &peers),
        Client::Rqbit => clients::rqbit_transfer(lab, &party, &path, &data, &peers)?,
        _ => bail!("it does not take part in this"),
    };
    let began = meter::monotonic();
    let started = Instant::now();
    let mut process = Proc::spawn(&mut command, &party.dir.join("log"))?;
    let sent = loop {
        if let Some(sent) = seeder.first_block() {
            break sent;
        }
        if started.elapsed() > LIMIT {
            bail!("no request after {} s: {}", LIMIT.as_secs(), meter::tail(&process));
        }
        thread::sleep(LOOK);
    };
    let loaded = meter::loaded(&process.stdout()).map_or(began, |(loaded, _)| loaded);
    process.stop(Signal::KILL, LIMIT).context("it does not end")?;
    Ok((sent - loaded) * 1_000.0)
}
