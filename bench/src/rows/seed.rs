//! Seeding to readers that take as much as anybody can send.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tests::interop::Party;
use tests::interop::cell::{Partner, Tracker};
use tests::interop::partner::{self, Job, Running};
use tests::process::Proc;
use tests::tracker::{Answer, Server};

use super::{GIB, MIB, gib, mib};
use crate::clients::{self, Client, Work};
use crate::content::Torrent;
use crate::lab::Lab;
use crate::limits::rate;
use crate::meter::{self, Peak, Taken};
use crate::reader::{IN_FLIGHT, NullReader};
use crate::report::{Bar, Bound, Measure, Over, Table, measure};

/// A seed has this long until it has looked at its files, and lets us have them.
const READY: Duration = Duration::from_secs(60);
const SIZE: u64 = 2 * GIB;

const ONE: &[Measure] =
    &[measure("wall", "s", 2), measure("CPU", "s/GiB", 3), measure("private memory", "MiB", 0)];
const ONE_BARS: &[Bar] = &[
    Bar { of: 1, over: Over::Peer("rTorrent"), bound: Bound::AtMost(0.6) },
    Bar { of: 0, over: Over::BestPeer, bound: Bound::AtMost(1.0) },
];
const FOUR: &[Measure] =
    &[measure("rate", "MiB/s", 0), measure("CPU", "s/GiB", 3), measure("private memory", "MiB", 0)];
const FOUR_BARS: &[Bar] = &[Bar { of: 0, over: Over::BestPeer, bound: Bound::AtLeast(1.2) }];

pub(super) fn run_one(lab: &Lab) -> Result<Table> {
    run(lab, 1, "seed", ONE, ONE_BARS, |taken| vec![taken.wall, taken.cpu / gib(SIZE), mib(taken.memory)])
}

pub(super) fn run_four(lab: &Lab) -> Result<Table> {
    run(lab, 4, "seed4", FOUR, FOUR_BARS, |taken| {
        let rate = rate(4 * SIZE, Duration::from_secs_f64(taken.wall));
        vec![rate, taken.cpu / gib(4 * SIZE), mib(taken.memory)]
    })
}

fn run(
    lab: &Lab,
    readers: u8,
    row: &'static str,
    measures: &'static [Measure],
    bars: &'static [Bar],
    figures: fn(Taken) -> Vec<f64>,
) -> Result<Table> {
    let torrent = lab.torrent(SIZE, usize::try_from(MIB)?)?;
    lab.provide(&torrent)?;
    let tracker = Server::start(Answer::Peers(vec![]))?;
    let mut clients = vec![Client::Rawtorrent, Client::Partner(Partner::Rtorrent), Client::Libtorrent];
    clients.extend(lab.setup.rqbit.as_ref().map(|_| Client::Rqbit));
    if lab.setup.full {
        clients.extend([Partner::Aria2, Partner::Transmission].map(Client::Partner));
    }
    let entries = lab.interleave(&clients, settings, |client| {
        Ok(figures(seed(lab, client, &torrent, &tracker, readers)?))
    });
    torrent.content.verify(&lab.file()?)?;
    Ok(Table {
        row,
        about: format!(
            "One client seeds 2 GiB in pieces of 1 MiB over plain TCP to null readers ({readers}), each of which reads all \
             of it, in order, with {IN_FLIGHT} requests in flight, and compares every byte. Its files are in memory and \
             checked before. From the first request to the last byte."
        ),
        measures,
        bars,
        entries,
        notes: vec![],
    })
}

fn settings(client: Client) -> String {
    match client {
        Client::Rawtorrent => "defaults".into(),
        Client::Libtorrent => format!("{}, from Python", clients::libtorrent_settings(Work::Seed)),
        Client::Rqbit => "defaults; no DHT, no HTTP interface".into(),
        _ => "as in the interop tests, without logs".into(),
    }
}

/// A seed that runs.
pub(super) enum Seed {
    Own(Proc),
    Partner(Running),
}

impl Seed {
    /// Starts it; `max_up` is what it may send in a second, in bytes.
    pub(super) fn start(
        lab: &Lab,
        client: Client,
        party: &Party,
        torrent: &Torrent,
        tracker: &Server,
        max_up: Option<u64>,
    ) -> Result<Seed> {
        // rTorrent takes no torrent without one.
        let tracker = matches!(client, Client::Partner(_)).then(|| tracker.url("announce"));
        let path = torrent.write(&party.dir.join("a.torrent"), tracker.as_deref())?;
        let (data, log) = (lab.data()?, party.dir.join("log"));
        let mut command = match client {
            Client::Rawtorrent => clients::rawtorrent_seed(lab, party, &path, &data),
            Client::Libtorrent => clients::libtorrent(lab, party, Work::Seed, &path, &data, &[]),
            Client::Rqbit => clients::rqbit_transfer(lab, party, &path, &data, &[])?,
            Client::Partner(partner) => {
                fs::remove_dir(party.data())?;
                symlink(data, party.data())?;
                let job = Job {
                    party,
                    torrent: &path,
                    seeding: true,
                    tracker: Tracker::Http,
                    talkative: false,
                    link: None,
                    max_up,
                };
                return Ok(Seed::Partner(partner::start_partner(partner, &lab.programs, job)?));
            }
            Client::Mktorrent | Client::TransmissionCreate | Client::Curl => bail!("it seeds nothing"),
        };
        match (client, max_up) {
            (_, None) => {}
            (Client::Libtorrent, Some(limit)) => drop(command.arg(limit.to_string())),
            _ => bail!("it is not started with a limit"),
        }
        Ok(Seed::Own(Proc::spawn(&mut command, &log)?))
    }

    pub(super) fn process(&mut self) -> &mut Proc {
        match self {
            Seed::Own(process) => process,
            Seed::Partner(running) => &mut running.process,
        }
    }
}

/// Lets a client seed to so many readers at once.
fn seed(lab: &Lab, client: Client, torrent: &Torrent, tracker: &Server, readers: u8) -> Result<Taken> {
    let party = lab.party()?;
    let mut seed = Seed::start(lab, client, &party, torrent, tracker, None)?;
    let pid = seed.process().id();
    let deadline = Instant::now() + READY;
    let connected: Result<Vec<NullReader<'_>>> = (0..readers)
        .map(|number| NullReader::connect(lab.reader_addr(number), party.addr, torrent, deadline))
        .collect();
    let readers = connected.with_context(|| meter::tail(seed.process()))?;

    let peak = Peak::watch(pid);
    let before = meter::cpu_seconds(pid)?;
    let taken = read(readers, torrent);
    let cpu = meter::cpu_seconds(pid).map(|after| after - before);
    let memory = peak.stop();
    let wall = taken.with_context(|| meter::tail(seed.process()))?.as_secs_f64();
    ensure!(seed.process().is_running(), "it has ended: {}", meter::tail(seed.process()));
    seed.process().stop(Signal::KILL, Duration::from_secs(20))?;
    Ok(Taken { wall, cpu: cpu?, memory })
}

/// All read all of it, each from another place; returns how long it took until the last was done.
fn read(readers: Vec<NullReader<'_>>, torrent: &Torrent) -> Result<Duration> {
    let count = readers.len();
    let share = torrent.content.blocks() / count as u64;
    let start = Barrier::new(count + 1);
    thread::scope(|scope| {
        let reading: Vec<_> = (0..)
            .zip(readers)
            .map(|(number, mut reader)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    reader.read_all(number * share)
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        for reading in reading {
            reading.join().ok().context("a reader panicked")??;
        }
        Ok(started.elapsed())
    })
}
