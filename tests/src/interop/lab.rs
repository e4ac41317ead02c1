//! Runs cells.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::cell::{Cell, Ip, Partner, Role, Tracker};
use super::partner::{self, Job, Running};
use super::{Party, Programs, trackers};
use crate::content::{self, digest};
use crate::{metafile, process};

/// A cell may take this long, from nothing to compared bytes.
const CELL_LIMIT: Duration = Duration::from_secs(120);
/// A cell that is expected to fail is given up after this time.
const HOPELESS_LIMIT: Duration = Duration::from_secs(40);
/// A client has this long to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Cells that run at a time: most of a cell is waiting for other people's timers.
const AT_A_TIME: usize = 3;
/// Lines of each log that are shown for a red cell.
const LOG_TAIL: usize = 15;

/// How a cell ended.
#[derive(Debug)]
pub struct Outcome {
    /// Which one.
    pub cell: Cell,
    /// How.
    pub verdict: Verdict,
}

/// Green, red, or not applicable.
#[derive(Debug)]
pub enum Verdict {
    /// All bytes arrived; seconds from the downloader's start to its word that it is complete.
    Green(f64),
    /// Why not, and the tails of the logs.
    Red(String),
    /// The partner can't: the evidence.
    NotApplicable(&'static str),
}

/// Where cells run.
#[derive(Debug)]
pub struct Lab {
    /// The programs.
    pub programs: Programs,
    /// Every cell has a folder in it; those of red cells stay.
    pub dir: PathBuf,
    /// Whether downloaders get a magnet link in place of the torrent.
    pub by_magnet: bool,
}

impl Lab {
    /// Runs `cells`, several at a time, and tells `report` of each as it ends. The result is in the order of `cells`.
    pub fn run(&self, cells: &[Cell], report: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
        let queue = Mutex::new(cells.iter().copied());
        let outcomes = Mutex::new(Vec::new());
        let next = || queue.lock().ok()?.next();
        thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(cell) = next() {
                        let outcome = Outcome { cell, verdict: self.judge(&cell) };
                        report(&outcome);
                        if let Ok(mut outcomes) = outcomes.lock() {
                            outcomes.push(outcome);
                        }
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_default();
        outcomes.sort_by_key(|outcome| cells.iter().position(|cell| *cell == outcome.cell));
        outcomes
    }

    fn judge(&self, cell: &Cell) -> Verdict {
        let self_check = self.programs.ours.is_none();
        let verdict = match cell.not_applicable() {
            Some(evidence) if !self_check => return Verdict::NotApplicable(evidence),
            Some(evidence) => match self.run_cell(cell, Instant::now() + HOPELESS_LIMIT) {
                Ok(_) => Verdict::Red(format!("works, although the table says: {evidence}")),
                Err(_) => Verdict::NotApplicable(evidence),
            },
            None => match self.run_cell(cell, Instant::now() + CELL_LIMIT) {
                Ok(seconds) => Verdict::Green(seconds),
                Err(error) => Verdict::Red(format!("{error:#}\n{}", self.log_tails(cell))),
            },
        };
        if !matches!(verdict, Verdict::Red(_)) {
            let _ = fs::remove_dir_all(self.cell_dir(cell));
        }
        verdict
    }

    fn run_cell(&self, cell: &Cell, deadline: Instant) -> Result<f64> {
        let places = Places::new(cell, &self.cell_dir(cell))?;
        let (seeder, leecher) = match cell.role {
            Role::Leech => (&places.partner, &places.ours),
            Role::Seed => (&places.ours, &places.partner),
        };
        let original = cell.files.sample().write(&seeder.data())?;
        let expected = digest(&original)?;
        let torrent = self.create_torrent(cell, &places, &original)?;
        let info_hash = metafile::info_hash(&fs::read(&torrent)?).context("`create` made no torrent")?;

        let tracker = trackers::start(cell.tracker, &places.tracker, info_hash, deadline)?;
        let link = self.by_magnet.then(|| magnet(cell, &places, info_hash));
        let job = |party, seeding: bool| Job {
            party,
            torrent: &torrent,
            link: link.as_deref().filter(|_| !seeding),
            seeding,
            tracker: cell.tracker,
            talkative: true,
            max_up: None,
        };
        let mut seeding = self.start(cell, job(seeder, true))?;
        wait_until_listed(&tracker, &mut seeding, deadline)?;

        let started = Instant::now();
        let mut leeching = self.start(cell, job(leecher, false))?;
        wait_until_done(&mut leeching, &mut seeding, leecher, deadline)?;
        let seconds = started.elapsed().as_secs_f64();

        self.end(cell.role == Role::Leech, &mut leeching, "downloader")?;
        self.end(cell.role == Role::Seed, &mut seeding, "seeder")?;
        let received = digest(&leecher.data().join(cell.files.sample().name)).context("what was received")?;
        ensure!(digest(&original)? == expected, "the seeder's files have changed");
        let expected = if cell.role == Role::Seed && !cell.partner.makes_empty_files() {
            content::without_empty_files(&expected)
        } else {
            expected
        };
        ensure!(received == expected, "other bytes arrived:\n{received}were expected to be:\n{expected}");
        Ok(seconds)
    }

    fn create_torrent(&self, cell: &Cell, places: &Places, content: &Path) -> Result<PathBuf> {
        let torrent = places.ours.dir.join("cell.torrent");
        let mut create = self.programs.ours(&places.ours);
        create.arg("create").arg(content).arg("-o").arg(&torrent);
        create.args(["-a", &trackers::url(cell.tracker, &places.tracker_host, places.tracker.addr.port())]);
        create.args(["--piece-length", &metafile::PIECE_LEN.to_string()]);
        let done = process::run(&mut create, Duration::from_secs(30))?;
        ensure!(done.code() == Some(0), "`create` ended with {}\n{}", done.status, done.stderr);
        Ok(torrent)
    }

    fn start(&self, cell: &Cell, job: Job<'_>) -> Result<Running> {
        if job.seeding == (cell.role == Role::Seed) {
            partner::start_ours(&self.programs, job)
        } else {
            partner::start_partner(cell.partner, &self.programs, job)
        }
    }

    /// Ends a client. Ours has to do so with 0 and before it is killed.
    fn end(&self, ours: bool, client: &mut Running, role: &str) -> Result<()> {
        let status = client.stop(STOP_LIMIT)?;
        if ours {
            let status = status.with_context(|| format!("the {role} did not end within {STOP_LIMIT:?}"))?;
            ensure!(status.success(), "the {role} ended with {status}");
            if role == "downloader" {
                ensure!(client.process.stdout().contains("\"finished\""), "no `finished` event");
            }
        }
        Ok(())
    }

    fn cell_dir(&self, cell: &Cell) -> PathBuf {
        self.dir.join(cell.to_string())
    }

    fn log_tails(&self, cell: &Cell) -> String {
        let dir = self.cell_dir(cell);
        let mut tails = format!("  logs: {}\n", dir.display());
        for party in ["ours", "partner"] {
            for log in ["log.out", "log.err", "log.aria2", "log.rtorrent"] {
                let Ok(bytes) = fs::read(dir.join(party).join(log)) else { continue };
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                tails.push_str(&format!("  --- {party}/{log}\n"));
                for line in lines.iter().skip(lines.len().saturating_sub(LOG_TAIL)) {
                    tails.push_str(&format!("  {line}\n"));
                }
            }
        }
        tails
    }
}

/// A link with the tracker, as every client reads one.
fn magnet(cell: &Cell, places: &Places, info_hash: [u8; 20]) -> String {
    let url = trackers::url(cell.tracker, &places.tracker_host, places.tracker.addr.port());
    let url = url.replace(':', "%3A").replace('/', "%2F");
    let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("magnet:?xt=urn:btih:{hash}&dn=cell&tr={url}")
}

fn wait_until_listed(tracker: &trackers::Running, seeder: &mut Running, deadline: Instant) -> Result<()> {
    crate::poll(deadline, || match tracker.seeds() {
        Ok(count) if count > 0 => Some(Ok(())),
        _ if !seeder.process.is_running() => Some(Err(anyhow!("the seeder ended by itself"))),
        _ => None,
    })
    .unwrap_or_else(|| bail!("the tracker never heard of the seeder"))
}

fn wait_until_done(
    leecher: &mut Running,
    seeder: &mut Running,
    party: &Party,
    deadline: Instant,
) -> Result<()> {
    crate::poll(deadline, || match leecher.is_done(party) {
        Ok(true) => Some(Ok(())),
        Err(error) => Some(Err(error)),
        Ok(false) if !seeder.process.is_running() => Some(Err(anyhow!("the seeder ended by itself"))),
        Ok(false) => None,
    })
    .unwrap_or_else(|| bail!("the download is not complete at the deadline"))
}

/// The three parties of a cell. Every cell has its own addresses, so that cells never meet.
struct Places {
    /// What the torrent calls the tracker's host: an address, or over IPv6 a name, which not all clients need but
    /// Transmission's UDP does. So both kinds are tested.
    tracker_host: String,
    tracker: Party,
    partner: Party,
    ours: Party,
}

impl Places {
    fn new(cell: &Cell, dir: &Path) -> Result<Places> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        let index = index(cell)?;
        // Not all clients can leave other addresses' ports alone, so ports differ as well.
        let party = |name: &str, ip: IpAddr, port: u16| -> Result<Party> {
            let dir = dir.join(name);
            fs::create_dir_all(dir.join("data"))?;
            Ok(Party { addr: SocketAddr::new(ip, port + u16::from(index)), dir })
        };
        let host = |number: u8| address(cell.ip, 3 * index + number);
        // Transmission's IPv6 is where the system says that it is.
        let is_global = cell.partner == Partner::Transmission && cell.ip == Ip::V6;
        Ok(Places {
            tracker_host: if cell.ip == Ip::V4 { host(1).to_string() } else { tracker_name(index) },
            tracker: party("tracker", host(1), 7_001)?,
            partner: party("partner", if is_global { global_address() } else { host(2) }, 20_000)?,
            ours: party("ours", host(3), 40_000)?,
        })
    }
}

fn index(cell: &Cell) -> Result<u8> {
    let index = Cell::all().position(|other| other == *cell).context("the table has all cells")?;
    Ok(u8::try_from(index)?)
}

/// All addresses that cells use.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let hosts = || 0..=u8::try_from(3 * Cell::COUNT).unwrap_or(u8::MAX);
    hosts().map(|host| address(Ip::V4, host)).chain(hosts().map(|host| address(Ip::V6, host))).collect()
}

/// Names of all trackers that speak IPv6.
#[must_use]
pub fn host_names() -> Vec<(String, IpAddr)> {
    let v6 = Cell::all().filter(|cell| cell.ip == Ip::V6).filter_map(|cell| index(&cell).ok());
    v6.map(|index| (tracker_name(index), address(Ip::V6, 3 * index + 1))).collect()
}

fn tracker_name(index: u8) -> String {
    format!("tracker{index}.test")
}

/// The address that the system uses towards the rest of the world.
#[must_use]
pub fn global_address() -> IpAddr {
    address(Ip::V6, 0)
}

/// The prefix of IPv6 is the one for documentation: global to programs that look, and nobody's.
fn address(ip: Ip, host: u8) -> IpAddr {
    match ip {
        Ip::V4 => Ipv4Addr::new(10, 77, 0, host).into(),
        Ip::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 1, host.into()).into(),
    }
}

/// The trackers' names and versions, for the report.
#[must_use]
pub fn tracker_versions() -> Vec<String> {
    let opentracker = process::run(
        std::process::Command::new("dpkg-query").args(["-W", "-f", "${Version}", "opentracker"]),
        Duration::from_secs(10),
    );
    let version = opentracker.ok().filter(|done| done.code() == Some(0)).map(|done| done.stdout);
    [(Tracker::Http, Ip::V4), (Tracker::Udp, Ip::V4), (Tracker::Http, Ip::V6), (Tracker::Udp, Ip::V6)]
        .into_iter()
        .map(|(kind, ip)| {
            let name = match (kind, ip) {
                (_, Ip::V4) => format!("opentracker {}", version.as_deref().unwrap_or("(version unknown)")),
                (Tracker::Http, Ip::V6) => "the tracker in qBittorrent".to_owned(),
                (Tracker::Udp, Ip::V6) => "aquatic_udp".to_owned(),
            };
            format!("{kind} over {ip}: {name}")
        })
        .collect()
}
