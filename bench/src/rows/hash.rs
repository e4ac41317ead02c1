//! Hashing what is on disk: to check it, and to make a torrent of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{GIB, MIB, gib};
use crate::clients::{self, Client, Work};
use crate::content::Torrent;
use crate::lab::Lab;
use crate::limits::{self, rate};
use crate::meter::{self, Taken};
use crate::report::{Bar, Bound, Entry, Measure, Over, Table, measure};

const LIMIT: Duration = Duration::from_secs(240);
const SIZE: u64 = 4 * GIB;

const MEASURES: &[Measure] = &[measure("rate", "MiB/s", 0), measure("CPU", "s/GiB", 3)];
const RECHECK_BARS: &[Bar] = &[
    Bar { of: 0, over: Over::Peer("libtorrent"), bound: Bound::AtLeast(1.6) },
    Bar { of: 0, over: Over::Peer(READING), bound: Bound::AtLeast(0.75) },
];
const CREATE_BARS: &[Bar] = &[Bar { of: 0, over: Over::BestPeer, bound: Bound::AtLeast(1.6) }];
/// What takes part in a recheck without hashing.
const READING: &str = "reading alone";

fn figures(taken: Taken) -> Vec<f64> {
    vec![rate(SIZE, Duration::from_secs_f64(taken.wall)), taken.cpu / gib(SIZE)]
}

pub(super) fn run_recheck(lab: &Lab) -> Result<Table> {
    let torrent = lab.torrent(SIZE, usize::try_from(MIB)?)?;
    lab.provide(&torrent)?;
    let file = lab.file()?;
    let threads = thread::available_parallelism()?.get();
    let mut reading = Entry {
        name: READING.into(),
        settings: format!("the best of buffers from 64 KiB to 1 MiB, with {threads} threads, in every round"),
        ..Entry::default()
    };
    let mut entries =
        lab.interleave(&[Client::Rawtorrent, Client::Libtorrent], settings_of_recheck, |client| {
            if client == Client::Rawtorrent {
                reading.runs.push(vec![limits::read_only(&file, torrent.content.total, threads as u64)?]);
            }
            recheck(lab, client, &torrent).map(figures)
        });
    entries.push(reading);
    Ok(Table {
        row: "recheck",
        about: "All of a torrent of 4 GiB in pieces of 1 MiB is there, in memory, and is checked. From the start of the \
                process to its end."
            .into(),
        measures: MEASURES,
        bars: RECHECK_BARS,
        entries,
        notes: vec![],
    })
}

fn settings_of_recheck(client: Client) -> String {
    match client {
        Client::Libtorrent => {
            format!("{}; from Python, whose start is not counted", clients::libtorrent_settings(Work::Verify))
        }
        _ => "`verify`".into(),
    }
}

fn recheck(lab: &Lab, client: Client, torrent: &Torrent) -> Result<Taken> {
    let (party, data) = (lab.party()?, lab.data()?);
    let path = torrent.write(&party.dir.join("plain.torrent"), None)?;
    let mut command = match client {
        Client::Rawtorrent => {
            let mut command = lab.command(&party, &lab.setup.binary);
            command.arg("verify").arg(path).arg("--data").arg(data);
            command
        }
        Client::Libtorrent => clients::libtorrent(lab, &party, Work::Verify, &path, &data, &[]),
        _ => bail!("it does not take part in this"),
    };
    meter::run(&mut command, &party.dir.join("log"), LIMIT)
}

pub(super) fn run_create(lab: &Lab) -> Result<Table> {
    let torrent = lab.torrent(SIZE, usize::try_from(MIB)?)?;
    lab.provide(&torrent)?;
    let clients = [Client::Rawtorrent, Client::Mktorrent, Client::Libtorrent, Client::TransmissionCreate];
    let entries =
        lab.interleave(&clients, settings_of_create, |client| create(lab, client, &torrent).map(figures));
    Ok(Table {
        row: "create",
        about: "A torrent is made of a file of 4 GiB that is in memory, in pieces of 1 MiB. From the start of the process \
                to its end. The hashes are compared."
            .into(),
        measures: MEASURES,
        bars: CREATE_BARS,
        entries,
        notes: vec![],
    })
}

fn settings_of_create(client: Client) -> String {
    match client {
        Client::Mktorrent => "two threads".into(),
        Client::Libtorrent => {
            "set_piece_hashes, whose threads are its own; from Python, whose start is not counted".into()
        }
        _ => "defaults".into(),
    }
}

fn create(lab: &Lab, client: Client, torrent: &Torrent) -> Result<Taken> {
    let (party, file) = (lab.party()?, lab.file()?);
    let made = party.dir.join("made.torrent");
    let mut command = match client {
        Client::Rawtorrent => {
            let mut command = lab.command(&party, &lab.setup.binary);
            command
                .args(["create", "--quiet", "--piece-length", &MIB.to_string(), "--output"])
                .arg(&made)
                .arg(&file);
            command
        }
        Client::Libtorrent => {
            let mut command = lab.python(&party);
            command.args(["create", "{}"]).arg(&file).arg(&made).arg(MIB.to_string());
            command
        }
        Client::Mktorrent => {
            let mut command = lab.command(&party, "mktorrent");
            command.args(["--threads=2", "--piece-length=20", "--output"]).arg(&made).arg(&file);
            command
        }
        Client::TransmissionCreate => {
            let mut command: Command = lab.command(&party, "transmission-create");
            command.args(["--piecesize", &(MIB >> 10).to_string(), "--outfile"]).arg(&made).arg(&file);
            command
        }
        _ => bail!("it makes no torrents"),
    };
    let taken = meter::run(&mut command, &party.dir.join("log"), LIMIT)?;
    compare(&made, torrent)?;
    Ok(taken)
}

/// Whether a torrent has the hashes that it should have. What else is in it differs.
fn compare(made: &Path, torrent: &Torrent) -> Result<()> {
    let made = fs::read(made)?;
    let hashes = torrent.hashes();
    ensure!(made.windows(hashes.len()).any(|window| window == hashes), "the hashes are others");
    Ok(())
}
