//! Torrents that nobody asks for: how long it takes until many of them are seeded again, and what they cost then.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tests::interop::Party;
use tests::interop::cell::Partner;
use tests::process::Proc;

use super::mib;
use crate::clients::{self, Client};
use crate::counter::{CountingTracker, most_in_a_second};
use crate::lab::Lab;
use crate::meter;
use crate::report::{Bar, Bound, Measure, Over, Table, measure};
use crate::shelf::{FILES, PIECES, Shelf};

const IDLE: usize = 1_000;
const MANY: usize = 10_000;

/// From the start until all is seeded, when everything is hashed first: the slowest checks nine torrents a second.
const FIRST_LIMIT: Duration = Duration::from_secs(300);
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The same when what was saved is trusted.
const LIMIT: Duration = Duration::from_secs(120);
const RETRY: Duration = Duration::from_millis(5);
/// To end, and save.
const END_LIMIT: Duration = Duration::from_secs(60);
/// Those who asked have hung up by then, and timers of the start are over.
const SETTLE: Duration = Duration::from_secs(10);
/// How long processor time is counted.
const COUNTED: Duration = Duration::from_secs(20);

const MEASURES: &[Measure] = &[
    measure("all seeded", "s", 2),
    measure("private memory a torrent", "KiB", 1),
    measure("idle CPU", "% of a core", 3),
    measure("private memory", "MiB", 0),
];
const BARS: &[Bar] = &[
    Bar { of: 0, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.0) },
    Bar { of: 1, over: Over::Nothing, bound: Bound::AtMost(5.0) },
    Bar { of: 2, over: Over::Nothing, bound: Bound::AtMost(0.2) },
];

const MANY_MEASURES: &[Measure] = &[
    measure("all seeded", "s", 2),
    measure("private memory a torrent", "KiB", 1),
    measure("idle CPU", "% of a core", 3),
    measure("private memory", "MiB", 0),
    measure("announces", "in a second at most", 0),
];
const MANY_BARS: &[Bar] = &[
    Bar { of: 0, over: Over::Nothing, bound: Bound::AtMost(10.0) },
    Bar { of: 1, over: Over::Nothing, bound: Bound::AtMost(5.0) },
];

pub(super) fn run_idle(lab: &Lab) -> Result<Table> {
    let clients = [Client::Rawtorrent, Client::Libtorrent, Client::Partner(Partner::Transmission)];
    let shelves = Shelves::make(lab, IDLE, None)?;
    let entries = lab.interleave(&clients, settings, |client| {
        let (all, one) = shelves.measure(lab, client)?;
        Ok(vec![all.seeded, a_torrent(&all, one, IDLE), all.cpu * 100.0, mib(all.memory)])
    });
    shelves.all.verify()?;
    Ok(Table {
        row: "idle",
        about: format!(
            "One client starts with {IDLE} torrents that it has seeded before, of {PIECES} pieces and {FILES} files each, and \
             trusts what it saved. All seeded: from the start of the process until each has taken in a peer and said that it \
             has all of it. Memory: after that, over what the client has with one torrent. CPU: over {} s without a peer.",
            COUNTED.as_secs()
        ),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

pub(super) fn run_many(lab: &Lab) -> Result<Table> {
    let tracker = CountingTracker::start()?;
    let shelves = Shelves::make(lab, MANY, Some(&tracker.url()))?;
    let entries = lab.interleave(&[Client::Rawtorrent], settings, |client| {
        // Announces of the run before, and of the one that checks.
        shelves.prepare(lab, client)?;
        tracker.take();
        let all = shelves.all(lab, client)?;
        let announces = most_in_a_second(tracker.take());
        let one = shelves.one(lab, client)?;
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let announces = announces as f64;
        Ok(vec![all.seeded, a_torrent(&all, one, MANY), all.cpu * 100.0, mib(all.memory), announces])
    });
    shelves.all.verify()?;
    Ok(Table {
        row: "many",
        about: format!(
            "As `idle`, with {MANY} torrents, each of which announces to an HTTP tracker that knows nobody. The most announces \
             in a second are counted from the start to the end, {} s after all are seeded.",
            (SETTLE + COUNTED).as_secs()
        ),
        measures: MANY_MEASURES,
        bars: MANY_BARS,
        entries,
        notes: vec![],
    })
}

/// KiB that each further torrent takes.
#[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn a_torrent(all: &Idle, one: u64, count: usize) -> f64 {
    (all.memory as f64 - one as f64) / 1024.0 / (count - 1) as f64
}

fn settings(client: Client) -> String {
    match client {
        Client::Rawtorrent => "download --seed, defaults; no DHT".into(),
        Client::Libtorrent => {
            "defaults, all torrents started; from Python, whose start is not counted in the time; \
                               resume data with the torrent in it"
                .into()
        }
        _ => "as in the interop tests, without logs and queues".into(),
    }
}

/// The torrents, and one alone.
struct Shelves {
    all: Shelf,
    one: Shelf,
}

/// What was measured of one start.
struct Idle {
    /// Seconds.
    seeded: f64,
    /// Private bytes at the end.
    memory: u64,
    /// Seconds of a core in a second.
    cpu: f64,
}

impl Shelves {
    fn make(lab: &Lab, count: usize, tracker: Option<&str>) -> Result<Shelves> {
        Ok(Shelves {
            all: Shelf::make(&lab.folder("all"), count, tracker)?,
            one: Shelf::make(&lab.folder("one"), 1, tracker)?,
        })
    }

    fn measure(&self, lab: &Lab, client: Client) -> Result<(Idle, u64)> {
        self.prepare(lab, client)?;
        Ok((self.all(lab, client)?, self.one(lab, client)?))
    }

    /// Lets a client look at everything and save that it has it, if it has not done so yet.
    fn prepare(&self, lab: &Lab, client: Client) -> Result<()> {
        for shelf in [&self.all, &self.one] {
            let home = home(lab, client, shelf);
            if home.exists() {
                continue;
            }
            let mut running = Seeding::start(lab, client, shelf)?;
            if let Err(error) = running.wait(lab, shelf, FIRST_LIMIT, FIRST_RETRY).and_then(|_| running.end())
            {
                // Half of it is nothing to start with.
                drop(running);
                fs::remove_dir_all(home)?;
                return Err(error.context("before anything was measured"));
            }
        }
        Ok(())
    }

    fn all(&self, lab: &Lab, client: Client) -> Result<Idle> {
        let mut running = Seeding::start(lab, client, &self.all)?;
        let seeded = running.wait(lab, &self.all, LIMIT, RETRY)?;
        thread::sleep(SETTLE);
        let pid = running.process.id();
        let before = meter::thread_seconds(pid)?;
        let began = Instant::now();
        thread::sleep(COUNTED);
        let cpu = (meter::thread_seconds(pid)? - before).max(0.0) / began.elapsed().as_secs_f64();
        let memory = meter::private_memory(pid).context("it has ended")?;
        running.end()?;
        Ok(Idle { seeded, memory, cpu })
    }

    /// Private bytes with one torrent.
    fn one(&self, lab: &Lab, client: Client) -> Result<u64> {
        let mut running = Seeding::start(lab, client, &self.one)?;
        running.wait(lab, &self.one, LIMIT, RETRY)?;
        thread::sleep(SETTLE);
        let memory = meter::private_memory(running.process.id()).context("it has ended")?;
        running.end()?;
        Ok(memory)
    }
}

/// Where a client keeps what it knows of a shelf.
fn home(lab: &Lab, client: Client, shelf: &Shelf) -> PathBuf {
    lab.folder(&format!("{}-{}", client.name(), shelf.len()))
}

/// How many ask at a time whether torrents are there: enough that an answer that takes long holds up no other, and no more
/// than who is asked lets wait, which for libtorrent are five. Transmission takes a second to say what it has.
fn probers(client: Client) -> u8 {
    if client == Client::Partner(Partner::Transmission) { 64 } else { 8 }
}

/// A client that seeds a shelf.
struct Seeding {
    process: Proc,
    addr: SocketAddr,
    began: f64,
    stop: Signal,
    probers: u8,
}

impl Seeding {
    /// Starts a client, with what it has saved if it has run before.
    fn start(lab: &Lab, client: Client, shelf: &Shelf) -> Result<Seeding> {
        let dir = home(lab, client, shelf);
        let again = dir.exists();
        fs::create_dir_all(&dir)?;
        let party = Party { addr: lab.client_addr(), dir };
        let (mut command, stop) = match client {
            Client::Rawtorrent => (clients::rawtorrent_shelf(lab, &party, shelf), Signal::INT),
            Client::Libtorrent => (clients::libtorrent_shelf(lab, &party, shelf), Signal::TERM),
            Client::Partner(Partner::Transmission) => {
                (clients::transmission_shelf(lab, &party, shelf, again)?, Signal::TERM)
            }
            _ => bail!("it does not take part in this"),
        };
        let began = meter::monotonic();
        let process = Proc::spawn(&mut command, &party.dir.join("log"))?;
        Ok(Seeding { process, addr: party.addr, began, stop, probers: probers(client) })
    }

    /// Seconds from the start until all is seeded.
    fn wait(&mut self, lab: &Lab, shelf: &Shelf, limit: Duration, retry: Duration) -> Result<f64> {
        let deadline = Instant::now() + limit;
        let probers: Vec<_> = (0..self.probers).map(|number| lab.guest_addr(number)).collect();
        shelf
            .wait_until_seeded(&probers, self.addr, retry, deadline)
            .with_context(|| meter::tail(&self.process))?;
        let began = meter::loaded(&self.process.stdout()).map_or(self.began, |(loaded, _)| loaded);
        Ok(meter::monotonic() - began)
    }

    /// Ends it so that it saves.
    fn end(&mut self) -> Result<()> {
        ensure!(self.process.is_running(), "it has ended: {}", meter::tail(&self.process));
        let status = self.process.stop(self.stop, END_LIMIT)?.context("it does not end")?;
        ensure!(
            status.success() || status.code() == Some(130),
            "ended with {status}: {}",
            meter::tail(&self.process)
        );
        Ok(())
    }
}
