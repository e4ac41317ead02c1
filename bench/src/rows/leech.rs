//! Downloading from one source that is faster than anybody can take it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use tests::binary::Session;
use tests::interop::Party;
use tests::interop::cell::{Partner, Tracker};
use tests::interop::partner::{self, Job};
use tests::tracker::{Answer, Server};

use super::{GIB, MIB, gib, mib};
use crate::clients::{self, Client, Work};
use crate::content::{self, Torrent};
use crate::lab::Lab;
use crate::meter::{self, Peak, Taken};
use crate::report::{Bar, Bound, Measure, Over, Table, measure};
use crate::seeder::NullSeeder;

/// The slowest takes a minute.
const LIMIT: Duration = Duration::from_secs(240);
/// How often is looked whether a client that goes on running is done.
const LOOK: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(20);
/// Where rawtorrent keeps its records, below a party's folder.
const RECORDS: &str = "state/resume";
/// What one says of a run that ended as it should.
const CLEAN: &[u8] = b"5:cleani1e";

const MEASURES: &[Measure] =
    &[measure("wall", "s", 2), measure("CPU", "s/GiB", 2), measure("private memory", "MiB", 0)];
const BARS: &[Bar] = &[
    Bar { of: 0, over: Over::Peer("libtorrent"), bound: Bound::AtMost(0.8) },
    Bar { of: 1, over: Over::Peer("libtorrent"), bound: Bound::AtMost(0.6) },
    Bar { of: 2, over: Over::Nothing, bound: Bound::AtMost(64.0) },
];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let source = Source::start(lab, 2 * GIB, MIB, 1)?;
    let mut clients = vec![Client::Rawtorrent, Client::Libtorrent];
    clients.extend(lab.setup.rqbit.as_ref().map(|_| Client::Rqbit));
    if lab.setup.full {
        clients.extend([Partner::Rtorrent, Partner::Aria2, Partner::Transmission].map(Client::Partner));
    }
    let entries = lab.interleave(&clients, settings, |client| {
        let taken = leech(lab, client, &source)?;
        Ok(vec![taken.wall, taken.cpu / gib(2 * GIB), mib(taken.memory)])
    });
    Ok(Table {
        row: "leech",
        about: "One client downloads 2 GiB in pieces of 1 MiB over plain TCP from the null seeder. Wall: from the start of \
                the process to all of it verified and written."
            .into(),
        measures: MEASURES,
        bars: BARS,
        entries,
        notes: vec![],
    })
}

/// A torrent, its null seeders, a tracker that knows them, and the file that is written over again and again.
#[derive(Debug)]
pub(super) struct Source {
    torrent: Arc<Torrent>,
    seeders: Vec<NullSeeder>,
    tracker: Server,
    kept: Kept,
}

/// What lets rawtorrent write over a file, without a look at what is in it: the record of a download of its own that got
/// nothing, and when the file was last written.
#[derive(Debug)]
pub(super) struct Kept {
    /// The folder of the file.
    pub(super) data: PathBuf,
    records: Vec<(PathBuf, Vec<u8>)>,
    modified: SystemTime,
}

impl Source {
    pub(super) fn start(lab: &Lab, total: u64, piece_len: u64, seeders: u8) -> Result<Source> {
        let torrent = Arc::new(lab.torrent(total, usize::try_from(piece_len)?)?);
        let seeders: Vec<NullSeeder> = (0..seeders)
            .map(|number| NullSeeder::start(lab.seeder_addr(number), &torrent))
            .collect::<std::io::Result<_>>()?;
        let tracker = Server::start(Answer::Peers(seeders.iter().map(|seeder| seeder.addr).collect()))?;
        let kept = Kept::make(lab, &torrent, lab.data()?)?;
        Ok(Source { torrent, seeders, tracker, kept })
    }

    fn peers(&self) -> Vec<SocketAddr> {
        self.seeders.iter().map(|seeder| seeder.addr).collect()
    }
}

impl Kept {
    /// Has rawtorrent begin a download from nobody, and end it.
    pub(super) fn make(lab: &Lab, torrent: &Torrent, data: PathBuf) -> Result<Kept> {
        let (party, file) = (lab.party()?, data.join(content::NAME));
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let path = torrent.write(&party.dir.join("plain.torrent"), None)?;
        let mut command = clients::rawtorrent_leech(lab, &party, &path, &data, &[]);
        let mut session = Session::start(command.args(["--allocate", "full"]))?;
        let is_made = || fs::metadata(&file).is_ok_and(|made| made.blocks() * 512 >= torrent.content.total);
        tests::poll(Instant::now() + SOON, || is_made().then_some(())).context("the file is not made")?;
        session.interrupt()?;
        let records: Vec<_> = fs::read_dir(party.dir.join(RECORDS))?
            .map(|entry| entry.map(|entry| entry.path()).and_then(|path| Ok((path.clone(), fs::read(path)?))))
            .collect::<std::io::Result<_>>()?;
        // Else all of the file would be read first.
        let is_clean = |(_, record): &(_, Vec<u8>)| record.windows(CLEAN.len()).any(|part| part == CLEAN);
        ensure!(records.iter().any(is_clean), "the download that got nothing did not end as it should");
        Ok(Kept { data, records, modified: fs::metadata(file)?.modified()? })
    }

    /// Makes the file what it was, and gives a party the record.
    pub(super) fn restore(&self, lab: &Lab, party: &Party, len: u64) -> Result<()> {
        let file = self.data.join(content::NAME);
        lab.fill_with_garbage(&file, len)?;
        File::options().write(true).open(file)?.set_modified(self.modified)?;
        fs::create_dir_all(party.dir.join(RECORDS))?;
        self.records.iter().try_for_each(|(path, record)| fs::write(path, record))?;
        Ok(())
    }
}

pub(super) fn settings(client: Client) -> String {
    match client {
        Client::Rawtorrent => {
            "defaults; into a file that is there, as one that its own record says to hold nothing".into()
        }
        Client::Libtorrent => format!(
            "{}; from Python, whose start is not counted; into a file that is there (no_verify_files), done when the \
             cache is flushed",
            clients::libtorrent_settings(Work::Leech)
        ),
        Client::Rqbit => "defaults; no DHT, no HTTP interface; into a new file".into(),
        _ => "as in the interop tests, without logs; peers from a tracker; into a new file".into(),
    }
}

/// One download: over a file that is there, by those who can be kept from reading it first.
pub(super) fn leech(lab: &Lab, client: Client, source: &Source) -> Result<Taken> {
    let (party, total) = (lab.party()?, source.torrent.content.total);
    let tracker = source.tracker.url("announce");
    let with_tracker = source.torrent.write(&party.dir.join("tracked.torrent"), Some(&tracker))?;
    let torrent = source.torrent.write(&party.dir.join("plain.torrent"), None)?;
    let over = matches!(client, Client::Rawtorrent | Client::Libtorrent);
    let data = if over { source.kept.data.clone() } else { party.data() };
    let file = data.join(content::NAME);
    if over {
        source.kept.restore(lab, &party, total)?;
    } else {
        // The memory for a new file is then memory that has just been in use.
        lab.fill_with_garbage(&file, total)?;
        fs::remove_file(&file)?;
    }

    let (log, peers) = (party.dir.join("log"), source.peers());
    let mut command = match client {
        Client::Rawtorrent => clients::rawtorrent_leech(lab, &party, &torrent, &data, &peers),
        Client::Libtorrent => clients::libtorrent(lab, &party, Work::Leech, &torrent, &data, &peers),
        Client::Rqbit => clients::rqbit_transfer(lab, &party, &torrent, &data, &peers)?,
        Client::Partner(partner) => {
            let taken = leech_as_partner(lab, partner, &party, &with_tracker)?;
            source.torrent.content.verify(&file)?;
            return Ok(taken);
        }
        Client::Mktorrent | Client::TransmissionCreate | Client::Curl => bail!("it downloads no torrents"),
    };
    let taken = meter::run(&mut command, &log, LIMIT)?;
    source.torrent.content.verify(&file)?;
    Ok(taken)
}

fn leech_as_partner(lab: &Lab, partner: Partner, party: &Party, torrent: &Path) -> Result<Taken> {
    let job = Job {
        party,
        torrent,
        seeding: false,
        tracker: Tracker::Http,
        talkative: false,
        link: None,
        max_up: None,
    };
    let started = Instant::now();
    let mut running = partner::start_partner(partner, &lab.programs, job)?;
    let pid = running.process.id();
    let peak = Peak::watch(pid);
    let done = if running.ends_when_done() {
        running.process.wait_ended(started + LIMIT)?
    } else {
        while !running.is_done(party)? && started.elapsed() < LIMIT {
            thread::sleep(LOOK);
        }
        running.is_done(party)?
    };
    let wall = started.elapsed().as_secs_f64();
    let cpu = meter::cpu_seconds(pid)?;
    let memory = peak.stop();
    ensure!(done, "still running after {} s: {}", LIMIT.as_secs(), meter::tail(&running.process));
    // What it still holds it writes now.
    running.stop(Duration::from_secs(20))?.context("it does not end")?;
    Ok(Taken { wall, cpu, memory })
}
