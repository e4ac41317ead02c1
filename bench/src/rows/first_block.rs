//! From the start of a program to the first block from a peer that it was told of, of a torrent file or a magnet link.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tests::interop::Party;
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
const MAGNET_BARS: &[Bar] = &[
    Bar { of: 0, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.0) },
    Bar { of: 1, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.2) },
];
const MAGNET: &[Measure] = &[measure("metadata", "ms", 1), measure("first block", "ms", 1)];
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

/// The same by a magnet link that gives nothing but the info-hash.
pub(super) fn run_magnet(lab: &Lab) -> Result<Table> {
    let torrent = Arc::new(lab.torrent(256 * MIB, usize::try_from(MIB)?)?);
    let clients = [Client::Rawtorrent, Client::Libtorrent];
    let entries = lab.interleave(&clients, settings, |client| magnet(lab, client, &torrent));
    Ok(Table {
        row: "magnet",
        about: "From the start of the process, which knows an info-hash and the address of the null seeder, to the moment \
                when that has sent all of the metadata, and the first block. 256 MiB, into a new file."
            .into(),
        measures: MAGNET,
        bars: MAGNET_BARS,
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
    let (block, _) = measured(lab, client, torrent, &party, &path)?;
    Ok(block)
}

/// In milliseconds: the metadata, and the first block.
fn magnet(lab: &Lab, client: Client, torrent: &Arc<Torrent>) -> Result<Vec<f64>> {
    let party = lab.party()?;
    let hash = torrent.hex();
    let link = format!("magnet:?xt=urn:btih:{hash}");
    let (block, metadata) = measured(lab, client, torrent, &party, Path::new(&link))?;
    Ok(vec![metadata.context("no metadata was asked for")?, block])
}

/// Runs a client on a torrent file or a link until it has its first block.
fn measured(
    lab: &Lab,
    client: Client,
    torrent: &Arc<Torrent>,
    party: &Party,
    source: &Path,
) -> Result<(f64, Option<f64>)> {
    let seeder = NullSeeder::start(lab.seeder_addr(0), torrent)?;
    let (data, peers) = (party.data(), [seeder.addr]);
    let mut command = match client {
        Client::Rawtorrent => clients::rawtorrent_leech(lab, party, source, &data, &peers),
        Client::Libtorrent => clients::libtorrent(lab, party, Work::Leech, source, &data, &peers),
        Client::Rqbit => clients::rqbit_transfer(lab, party, source, &data, &peers)?,
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
    let since = |sent: f64| (sent - loaded) * 1_000.0;
    Ok((since(sent), seeder.metadata().map(since)))
}
