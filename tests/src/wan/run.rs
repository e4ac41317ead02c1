//! A swarm of the binary, and when who was complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde::Serialize;

use super::lab::{Lab, Sysctl};
use super::router::{self, Counters};
use super::scenario::{Role, Scenario};
use crate::process::Proc;
use crate::{binary, content, process};

/// All leechers must be complete after this time.
const LIMIT: Duration = Duration::from_secs(240);
/// A seed must have verified its content after this time.
const VERIFY_LIMIT: Duration = Duration::from_secs(30);
/// A peer has this long to end when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often the peers' words are read: a thousandth of the shortest time that a scenario takes.
const PAUSE: Duration = Duration::from_millis(25);
/// Where every peer listens.
const PORT: u16 = 6_881;
/// The content's file.
const CONTENT: &str = "content.bin";

/// When who was complete.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub name: String,
    /// In the order of the scenario.
    pub peers: Vec<PeerOutcome>,
    /// When the first leecher was complete, in seconds from its start.
    pub first: f64,
    /// When half of the leechers were.
    pub median: f64,
    /// When the last was.
    pub last: f64,
    /// What the network did.
    pub network: Counters,
    /// The machine's load average of a minute, at the end.
    pub load: f64,
}

/// When a peer was complete.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PeerOutcome {
    /// What it began with.
    pub role: Role,
    /// Seconds from its start to its `finished`; none for a seed.
    pub finished_secs: Option<f64>,
}

/// Runs a scenario with `binary` in real time. What peers write lies in `dir`, which must be empty or absent.
///
/// # Errors
/// The lab cannot be made; a peer ends by itself, is not complete in time, or has other bytes than the seed.
pub fn run(scenario: &Scenario, binary: &Path, dir: &Path, sysctls: &[Sysctl]) -> Result<Outcome> {
    let swarm = Swarm { scenario, binary, dir };
    swarm.prepare()?;
    // Declared before the peers, so that it goes after them, also in a panic.
    let lab = Lab::new(&scenario.nodes(), sysctls)?;
    let mut peers = swarm.start_seeds(&lab)?;
    let finished = swarm.trade(&lab, &mut peers)?;
    let load = load_average();
    for peer in peers.iter_mut().flatten() {
        peer.signal(Signal::INT);
    }
    for peer in peers.iter_mut().flatten() {
        peer.stop(Signal::INT, STOP_LIMIT)?;
    }
    drop(peers);
    let network = lab.finish()?;
    swarm.compare()?;
    Ok(outcome(scenario, &finished, network, load))
}

struct Swarm<'a> {
    scenario: &'a Scenario,
    binary: &'a Path,
    dir: &'a Path,
}

impl Swarm<'_> {
    /// Writes the content for every seed, and the torrent.
    fn prepare(&self) -> Result<()> {
        let bytes = content::bytes(1, usize::try_from(self.scenario.size)?);
        for (peer, spec) in self.scenario.peers.iter().enumerate() {
            fs::create_dir_all(self.data(peer))?;
            if spec.role == Role::Seed {
                fs::write(self.data(peer).join(CONTENT), &bytes)?;
            }
        }
        let seed = self.scenario.peers.iter().position(|peer| peer.role == Role::Seed).context("no seed")?;
        let mut create = Command::new(self.binary);
        binary::isolate(&mut create, self.dir);
        create.arg("create").arg(self.data(seed).join(CONTENT)).arg("-o").arg(self.torrent());
        create.args(["--piece-length", &self.scenario.piece_length.to_string()]);
        let done = process::run(&mut create, VERIFY_LIMIT)?;
        ensure!(done.code() == Some(0), "`create` ended with {}\n{}", done.status, done.stderr);
        Ok(())
    }

    /// Starts the seeds that are there from the beginning, and waits until they listen: their start is no part of what
    /// is measured.
    fn start_seeds(&self, lab: &Lab) -> Result<Vec<Option<Proc>>> {
        let mut peers = Vec::new();
        for (peer, spec) in self.scenario.peers.iter().enumerate() {
            let is_there = spec.role == Role::Seed && spec.start().is_zero();
            peers.push(is_there.then(|| self.start(lab, peer)).transpose()?);
        }
        let deadline = Instant::now() + VERIFY_LIMIT;
        for seed in peers.iter().flatten() {
            crate::poll(deadline, || is_finished(seed).then_some(()))
                .with_context(|| format!("a seed verifies nothing\n{}", seed.stderr()))?;
        }
        Ok(peers)
    }

    /// Starts the others at their time; returns how long each took.
    fn trade(&self, lab: &Lab, peers: &mut [Option<Proc>]) -> Result<Vec<Option<Duration>>> {
        let began = Instant::now();
        let mut started = vec![Duration::ZERO; peers.len()];
        let mut finished = vec![None; peers.len()];
        loop {
            for (number, spec) in self.scenario.peers.iter().enumerate() {
                match &mut peers[number] {
                    None if began.elapsed() >= spec.start() => {
                        started[number] = began.elapsed();
                        peers[number] = Some(self.start(lab, number)?);
                    }
                    Some(peer) if finished[number].is_none() => {
                        finished[number] = is_finished(peer).then(|| began.elapsed() - started[number]);
                        ensure!(peer.is_running(), "peer {number} ended by itself\n{}", peer.stderr());
                    }
                    _ => {}
                }
            }
            if finished.iter().all(Option::is_some) {
                return Ok(finished);
            }
            if began.elapsed() > LIMIT {
                bail!("not complete after {LIMIT:?}:\n{}", unfinished(peers, &finished));
            }
            thread::sleep(PAUSE);
        }
    }

    fn start(&self, lab: &Lab, peer: usize) -> Result<Proc> {
        let mut command = lab.command(peer, self.binary);
        binary::isolate(&mut command, &self.home(peer));
        match self.scenario.peers[peer].role {
            Role::Seed => command.arg("seed").arg("--data").arg(self.data(peer)),
            Role::Leecher => command.args(["download", "--seed", "--dir"]).arg(self.data(peer)),
        };
        command.arg(self.torrent()).arg("--state-dir").arg(self.home(peer).join("state"));
        command.args(["--json", "--no-trackers"]);
        command.arg("--listen").arg(address(peer)?);
        for other in (0..self.scenario.peers.len()).filter(|other| *other != peer) {
            command.arg("--peer").arg(address(other)?);
        }
        Proc::spawn(&mut command, &self.home(peer).join("log"))
    }

    /// Whether everybody has the same bytes.
    fn compare(&self) -> Result<()> {
        let expected = content::bytes(1, usize::try_from(self.scenario.size)?);
        for peer in 0..self.scenario.peers.len() {
            let found = fs::read(self.data(peer).join(CONTENT))?;
            ensure!(found == expected, "peer {peer} has other bytes");
        }
        Ok(())
    }

    fn home(&self, peer: usize) -> PathBuf {
        self.dir.join(format!("peer-{peer}"))
    }

    fn data(&self, peer: usize) -> PathBuf {
        self.home(peer).join("data")
    }

    fn torrent(&self) -> PathBuf {
        self.dir.join("content.torrent")
    }
}

fn address(peer: usize) -> Result<String> {
    Ok(format!("{}:{PORT}", router::address(u8::try_from(peer)?)))
}

fn is_finished(peer: &Proc) -> bool {
    peer.stdout().contains(r#""event":"finished""#)
}

/// The last words of those that are not complete.
fn unfinished(peers: &[Option<Proc>], finished: &[Option<Duration>]) -> String {
    let late = peers.iter().zip(finished).enumerate().filter(|(_, (_, finished))| finished.is_none());
    late.map(|(number, (peer, _))| {
        let stdout = peer.as_ref().map(Proc::stdout).unwrap_or_default();
        format!("peer {number}: {}\n", stdout.lines().last().unwrap_or("nothing"))
    })
    .collect()
}

fn outcome(scenario: &Scenario, finished: &[Option<Duration>], network: Counters, load: f64) -> Outcome {
    let peers: Vec<PeerOutcome> = scenario
        .peers
        .iter()
        .zip(finished)
        .map(|(peer, finished)| PeerOutcome {
            role: peer.role,
            finished_secs: finished.filter(|_| peer.role == Role::Leecher).map(|time| time.as_secs_f64()),
        })
        .collect();
    let times = Times::of(peers.iter().filter_map(|peer| peer.finished_secs)).unwrap_or_default();
    Outcome {
        name: scenario.name.clone(),
        peers,
        first: times.first,
        median: times.median,
        last: times.last,
        network,
        load,
    }
}

/// Completion times of a swarm's leechers, in seconds from each one's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Of the first.
    pub first: f64,
    /// Of the one in the middle, or the earlier one of the two that are, as the simulator counts.
    pub median: f64,
    /// Of the last.
    pub last: f64,
}

impl Times {
    /// `None` if there is no time.
    pub fn of(times: impl Iterator<Item = f64>) -> Option<Times> {
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        let (first, last) = (*times.first()?, *times.last()?);
        Some(Times { first, median: times[(times.len() - 1) / 2], last })
    }

    /// The median of each over several runs; `None` if there is no run.
    #[must_use]
    pub fn typical(runs: &[Outcome]) -> Option<Times> {
        let median = |of: fn(&Outcome) -> f64| Some(Times::of(runs.iter().map(of))?.median);
        Some(Times { first: median(|o| o.first)?, median: median(|o| o.median)?, last: median(|o| o.last)? })
    }
}

/// The machine's load average of a minute.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let times = |times: &[f64]| Times::of(times.iter().copied());
        assert_eq!(times(&[]), None);
        assert_eq!(times(&[3.0, 1.0, 2.0]), Some(Times { first: 1.0, median: 2.0, last: 3.0 }));
        assert_eq!(times(&[4.0, 1.0]), Some(Times { first: 1.0, median: 1.0, last: 4.0 }));
    }
}
