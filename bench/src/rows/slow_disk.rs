//! A disk that takes next to nothing: what it does to other torrents, and to memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tests::binary::Session;
use tests::interop::Party;
use tests::tracker::{Answer, Server};

use super::{GIB, MIB, mib};
use crate::clients::{self, Client};
use crate::content::Torrent;
use crate::lab::Lab;
use crate::limits::rate;
use crate::meter;
use crate::report::{Bar, Bound, Measure, Over, Table, measure};
use crate::seeder::NullSeeder;
use crate::slow::SlowDisk;

/// The torrents that go to memory, together.
const TOTAL: u64 = 2 * GIB;
/// How many they are when they are several: however the disk's threads are dealt out, one of them shares with the torrent
/// on the slow disk.
const SEVERAL: u8 = 4;
/// What the slow disk takes in a second.
const SLOW: u64 = MIB;
/// ... where memory is measured.
const FED_SLOW: u64 = 10 * MIB;
const FED: u64 = 160 * MIB;
/// More than the slow disk takes while the others are fetched.
const SLOW_TOTAL: u64 = 256 * MIB;
const LIMIT: Duration = Duration::from_secs(120);
/// Who is not done by then is judged by what it has.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

const MEASURES: &[Measure] = &[
    measure("one torrent alone", "MiB/s", 0),
    measure("beside a slow disk", "MiB/s", 0),
    measure("of its rate it keeps", "", 2),
    measure("the slowest of four alone", "MiB/s", 0),
    measure("beside a slow disk", "MiB/s", 0),
    measure("of its rate it keeps", "", 2),
    measure("private memory before a slow disk", "MiB", 0),
    measure("and the disk's rate", "MiB/s", 1),
];
const BARS: &[Bar] = &[
    Bar { of: 2, over: Over::Nothing, bound: Bound::AtLeast(0.9) },
    Bar { of: 5, over: Over::Nothing, bound: Bound::AtLeast(0.9) },
    Bar { of: 6, over: Over::Nothing, bound: Bound::AtMost(64.0) },
];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let one = Swarms::start(lab, 1)?;
    let several = Swarms::start(lab, SEVERAL)?;
    let entries = lab.interleave(
        &[Client::Rawtorrent],
        |_| "defaults, into new files".into(),
        |_| {
            let (alone, beside) = (one.download(lab, false)?, one.download(lab, true)?);
            let (all_alone, all_beside) = (several.download(lab, false)?, several.download(lab, true)?);
            let (memory, written) = feed(lab)?;
            Ok(vec![
                alone,
                beside,
                beside / alone,
                all_alone,
                all_beside,
                all_beside / all_alone,
                memory,
                written,
            ])
        },
    );
    Ok(Table {
        row: "slow-disk",
        about: format!(
            "One process downloads {} GiB from null seeders into memory, as one torrent and as {SEVERAL}, without and with \
             another torrent whose files lie on a disk (a FUSE file system of our own) that takes {} MiB/s. Rate: until \
             all of it is verified and written, or what is after {} s. Memory: the most that a download of {} MiB has whose null seeder sends as \
             fast as it is let, onto a disk that takes {} MiB/s.",
            TOTAL / GIB,
            SLOW / MIB,
            PATIENCE.as_secs(),
            FED / MIB,
            FED_SLOW / MIB
        ),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

/// A torrent, its null seeder, and a tracker that knows it.
struct Swarm {
    torrent: Arc<Torrent>,
    name: String,
    tracker: Server,
    seeder: NullSeeder,
}

/// Torrents for memory, and one for the slow disk.
struct Swarms {
    fast: Vec<Swarm>,
    slow: Swarm,
}

/// What the slow torrent's folder and file are called.
const SLOW_NAME: &str = "slow";
const SLOW_FILE: &str = "slow.bin";

impl Swarm {
    fn start(lab: &Lab, name: String, in_folder: Option<&str>, total: u64) -> Result<Swarm> {
        let piece_len = usize::try_from(MIB)?;
        let torrent = Torrent::named(&name, in_folder, total, piece_len, &lab.setup.dir.join("hashes"))?;
        let torrent = Arc::new(torrent);
        let mut addr = lab.seeder_addr(0);
        addr.set_port(0);
        let seeder = NullSeeder::start(addr, &torrent)?;
        let tracker = Server::start(Answer::Peers(vec![seeder.addr]))?;
        Ok(Swarm { torrent, name, tracker, seeder })
    }

    fn write(&self, party: &Party) -> Result<PathBuf> {
        let path = party.dir.join(format!("{}.torrent", self.name));
        self.torrent.write(&path, Some(&self.tracker.url("announce")))
    }

    /// What was last said of it.
    fn seen(&self, session: &Session) -> Result<Seen> {
        let (info_hash, mut seen) = (self.torrent.hex(), Seen::default());
        for event in session.events()?.iter().filter(|event| event["info_hash"] == *info_hash) {
            match event["event"].as_str() {
                Some("progress") if seen.took.is_some() => {}
                Some("progress") => seen.bytes = event["done"].as_u64().context("no number of bytes")?,
                Some("finished") => {
                    let seconds = event["seconds"].as_f64().context("no seconds")?;
                    seen = Seen {
                        bytes: self.torrent.content.total,
                        took: Some(Duration::from_secs_f64(seconds)),
                    };
                }
                _ => bail!("{event}"),
            }
        }
        Ok(seen)
    }
}

/// How far a torrent is.
#[derive(Default)]
struct Seen {
    bytes: u64,
    /// Until all was verified and written, if it is.
    took: Option<Duration>,
}

impl Swarms {
    fn start(lab: &Lab, fast: u8) -> Result<Swarms> {
        let total = TOTAL / u64::from(fast);
        let fast = (0..fast).map(|number| Swarm::start(lab, format!("fast-{number}.bin"), None, total));
        Ok(Swarms {
            fast: fast.collect::<Result<_>>()?,
            slow: Swarm::start(lab, SLOW_NAME.into(), Some(SLOW_FILE), SLOW_TOTAL)?,
        })
    }

    /// MiB a second of the slowest of the fast torrents.
    fn download(&self, lab: &Lab, beside_slow: bool) -> Result<f64> {
        let party = lab.party()?;
        for swarm in &self.fast {
            // The memory for new files is then memory that has just been in use.
            lab.fill_with_garbage(&party.data().join(&swarm.name), swarm.torrent.content.total)?;
        }
        self.fast.iter().try_for_each(|swarm| fs::remove_file(party.data().join(&swarm.name)))?;
        let disk = beside_slow
            .then(|| SlowDisk::mount(&party.data().join(SLOW_NAME), bytes_per_sec(SLOW)))
            .transpose()
            .context("cannot mount a FUSE file system")?;

        let mut command = lab.command(&party, &lab.setup.binary);
        command.args(["download", "--seed", "--json", "--quiet", "--listen", &party.addr.to_string()]);
        command.arg("-o").arg(party.data()).arg("--state-dir").arg(party.dir.join("state"));
        if beside_slow {
            command.arg(self.slow.write(&party)?);
        }
        for swarm in &self.fast {
            command.arg(swarm.write(&party)?);
        }
        let mut session = Session::start(&mut command)?;
        let slowest = self.slowest(&mut session)?;
        if let Some(disk) = &disk {
            ensure!(disk.written() > 0, "nothing was written to the slow disk");
        }
        let done: Vec<bool> =
            self.fast.iter().map(|swarm| Ok(swarm.seen(&session)?.took.is_some())).collect::<Result<_>>()?;
        drop(session);
        drop(disk);
        for (swarm, _) in self.fast.iter().zip(done).filter(|(_, done)| *done) {
            swarm.torrent.content.verify(&party.data().join(&swarm.name))?;
        }
        Ok(slowest)
    }

    /// MiB a second of the slowest fast torrent, once all are done or time is up.
    fn slowest(&self, session: &mut Session) -> Result<f64> {
        let began = Instant::now();
        loop {
            let seen: Vec<Seen> = self.fast.iter().map(|swarm| swarm.seen(session)).collect::<Result<_>>()?;
            if seen.iter().all(|seen| seen.took.is_some()) || began.elapsed() > PATIENCE {
                let rates = seen.iter().map(|seen| rate(seen.bytes, seen.took.unwrap_or(began.elapsed())));
                return Ok(rates.fold(f64::INFINITY, f64::min));
            }
            ensure!(session.process.is_running(), "it has ended: {}", meter::tail(&session.process));
            thread::sleep(LOOK);
        }
    }
}

/// The most private memory of a download that its disk cannot follow, in MiB, and what the disk took, in MiB a second.
fn feed(lab: &Lab) -> Result<(f64, f64)> {
    let party = lab.party()?;
    let swarm = Swarm::start(lab, "fed.bin".into(), None, FED)?;
    let disk = SlowDisk::mount(&party.dir.join("disk"), bytes_per_sec(FED_SLOW))
        .context("cannot mount a FUSE file system")?;
    let taken = fill(lab, &party, &swarm, disk.dir());
    let verified = swarm.torrent.content.verify(&disk.dir().join(&swarm.name));
    let taken = taken?;
    verified?;
    Ok((mib(taken.memory), rate(FED, Duration::from_secs_f64(taken.wall))))
}

fn fill(lab: &Lab, party: &Party, swarm: &Swarm, dir: &Path) -> Result<meter::Taken> {
    let mut command = clients::rawtorrent_leech(lab, party, &swarm.write(party)?, dir, &[swarm.seeder.addr]);
    meter::run(&mut command, &party.dir.join("log"), LIMIT)
}

#[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
fn bytes_per_sec(rate: u64) -> f64 {
    rate as f64
}
