//! What a run says about a swarm, in numbers.

use crate::outcome::{Outcome, PeerOutcome};
use crate::spec::{Role, Spec};
use serde::Serialize;
use std::time::Duration;

/// One run in numbers. Times are seconds of virtual time from a peer's start unless said otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// When the first peer was complete.
    pub first: f64,
    /// When half of them were.
    pub median: f64,
    /// When 19 of 20 were.
    pub p95: f64,
    /// When the last one was.
    pub last: f64,
    /// About the best that a swarm of these lines can do if all start together and nobody leaves: every byte leaves the
    /// seeds once and reaches the slowest, all copies go over all lines, and the last piece doubles from peer to peer.
    pub bound: f64,
    /// `last` over `bound`.
    pub ratio: f64,
    /// Jain's index of what peers sent over what they received: 1 if all gave alike, 1/n if one gave everything.
    pub fairness: f64,
    /// Payload bytes that came in vain.
    pub wasted: u64,
    /// The same, of every byte that came.
    pub wasted_share: f64,
    /// Bytes that seeds had sent when every piece was out, over the content's size.
    pub seed_sent: Option<f64>,
    /// How much longer the median peer that sends nothing would take than the median one that does, at the pace it had
    /// until half of those were complete. Afterwards they seed, and everybody is served.
    pub free_riders: Option<f64>,
    /// When half of those who give were complete.
    pub contributors: f64,
    /// When half of those who give nothing were, with what those who were complete before gave them.
    pub riders: Option<f64>,
    /// How long films stood still, or were not there three pieces' time after their player started, in seconds.
    pub stalled: Option<f64>,
    /// Peers that lied and were banned by somebody, summed over those who banned.
    pub banned_liars: u32,
    /// Honest ones.
    pub banned_honest: u32,
    /// Liars that spoiled two pieces of a peer or more and were not banned by it, summed over peers.
    pub spared_liars: u32,
    /// How many pieces of one peer came in vain for each liar that spoiled one of them, of the peer where it is most.
    pub failed_per_liar: f64,
    /// How long the run took in virtual time.
    pub virtual_secs: f64,
    /// How long it took in real time.
    pub real_secs: f64,
    /// How many events happened.
    pub events: u64,
    /// Of everything that the brains said, and when.
    pub digest: String,
    /// Peer by peer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerReport>,
}

/// One peer in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct PeerReport {
    /// What it was there for.
    pub role: Role,
    /// When it was complete.
    pub finished_secs: Option<f64>,
    /// Payload bytes that it sent.
    pub uploaded: u64,
    /// Payload bytes that it received and kept.
    pub downloaded: u64,
    /// Payload bytes that it received in vain.
    pub wasted: u64,
}

impl Report {
    /// Puts an outcome in numbers; `real` is how long the run took.
    pub fn new(spec: &Spec, seed: u64, outcome: &Outcome, real: Duration) -> Report {
        let times = sorted_times(outcome, |_| true);
        let bound = lower_bound(spec);
        let last = *times.last().unwrap_or(&0.0);
        let came: u64 = outcome.peers.iter().map(|peer| peer.downloaded).sum();
        let wasted: u64 = outcome.peers.iter().map(|peer| peer.wasted).sum();
        Report {
            seed,
            first: *times.first().unwrap_or(&0.0),
            median: quantile(&times, 0.5),
            p95: quantile(&times, 0.95),
            last,
            bound,
            ratio: last / bound,
            fairness: fairness(outcome),
            wasted,
            wasted_share: ratio(wasted, came + wasted),
            seed_sent: outcome.sent_when_out.map(|sent| ratio(sent, spec.lengths.total())),
            free_riders: free_riders(outcome, spec.lengths.total()),
            contributors: quantile(&sorted_times(outcome, |peer| peer.role == Role::Leecher), 0.5),
            riders: Some(sorted_times(outcome, |peer| peer.role == Role::FreeRider))
                .filter(|times| !times.is_empty())
                .map(|times| quantile(&times, 0.5)),
            stalled: stalled(outcome),
            banned_liars: outcome.peers.iter().map(|peer| peer.banned_liars).sum(),
            banned_honest: outcome.peers.iter().map(|peer| peer.banned_honest).sum(),
            spared_liars: outcome.peers.iter().map(spared).sum(),
            failed_per_liar: outcome.peers.iter().map(failed_per_liar).fold(0.0, f64::max),
            virtual_secs: outcome.took.as_secs_f64(),
            real_secs: real.as_secs_f64(),
            events: outcome.events,
            digest: format!("{:016x}", outcome.digest),
            peers: outcome.peers.iter().map(peer_report).collect(),
        }
    }

    /// When peers were complete, in order, in seconds.
    pub fn completions(&self) -> Vec<f64> {
        let mut times: Vec<f64> = self.peers.iter().filter_map(|peer| peer.finished_secs).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Medians over several runs.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// Medians of what [`Report`] has.
    pub first: f64,
    /// See [`Report::median`].
    pub median: f64,
    /// See [`Report::p95`].
    pub p95: f64,
    /// See [`Report::last`].
    pub last: f64,
    /// See [`Report::bound`].
    pub bound: f64,
    /// See [`Report::ratio`].
    pub ratio: f64,
    /// See [`Report::fairness`].
    pub fairness: f64,
    /// See [`Report::wasted`].
    pub wasted: f64,
    /// See [`Report::seed_sent`].
    pub seed_sent: Option<f64>,
    /// See [`Report::free_riders`].
    pub free_riders: Option<f64>,
    /// See [`Report::contributors`].
    pub contributors: f64,
    /// See [`Report::riders`].
    pub riders: Option<f64>,
    /// The most of any run: see [`Report::stalled`].
    pub stalled: Option<f64>,
    /// Sums over all runs.
    pub virtual_secs: f64,
    /// Sums over all runs.
    pub real_secs: f64,
    /// Peer by peer, of the first run.
    pub peers: Vec<PeerReport>,
    /// Run by run.
    pub runs: Vec<Report>,
}

impl Summary {
    /// `None` without a run.
    pub fn new(scenario: &str, mut runs: Vec<Report>) -> Option<Summary> {
        let peers = std::mem::take(&mut runs.first_mut()?.peers);
        runs.iter_mut().for_each(|run| run.peers.clear());
        let of = |what: &dyn Fn(&Report) -> f64| median(runs.iter().map(what).collect());
        let all = |what: &dyn Fn(&Report) -> Option<f64>| {
            runs.iter().map(what).collect::<Option<Vec<f64>>>().map(median)
        };
        #[allow(clippy::cast_precision_loss)] // bytes of a few GB
        let wasted = of(&|run| run.wasted as f64);
        Some(Summary {
            scenario: scenario.to_owned(),
            first: of(&|run| run.first),
            median: of(&|run| run.median),
            p95: of(&|run| run.p95),
            last: of(&|run| run.last),
            bound: of(&|run| run.bound),
            ratio: of(&|run| run.ratio),
            fairness: of(&|run| run.fairness),
            wasted,
            seed_sent: all(&|run| run.seed_sent),
            free_riders: all(&|run| run.free_riders),
            contributors: of(&|run| run.contributors),
            riders: all(&|run| run.riders),
            stalled: runs.iter().filter_map(|run| run.stalled).reduce(f64::max),
            virtual_secs: runs.iter().map(|run| run.virtual_secs).sum(),
            real_secs: runs.iter().map(|run| run.real_secs).sum(),
            peers,
            runs,
        })
    }
}

/// See [`Report::bound`].
fn lower_bound(spec: &Spec) -> f64 {
    let size = as_f64(spec.lengths.total());
    let sum = |which: &dyn Fn(Role) -> bool| {
        let lines = spec.peers.iter().filter(|peer| which(peer.role));
        as_f64(lines.map(|peer| peer.up).sum::<u64>().max(1))
    };
    let takers = spec.peers.iter().filter(|peer| peer.role != Role::Seed);
    let count = as_f64(takers.clone().count() as u64);
    let slowest = as_f64(takers.map(|peer| peer.down).min().unwrap_or(1).max(1));
    let givers = spec.peers.iter().filter(|peer| peer.role == Role::Leecher).count().max(1);
    let up = sum(&|role| role == Role::Leecher) / as_f64(givers as u64);
    let all = sum(&|role| role != Role::FreeRider);
    let shared = (size / sum(&|role| role == Role::Seed)).max(size / slowest).max(count * size / all);
    shared + count.log2().ceil() * f64::from(spec.lengths.piece_length()) / up
}

fn fairness(outcome: &Outcome) -> f64 {
    let takers = outcome.peers.iter().filter(|peer| peer.role != Role::Seed && peer.downloaded > 0);
    let shares: Vec<f64> = takers.map(|peer| ratio(peer.uploaded, peer.downloaded)).collect();
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (as_f64(shares.len() as u64) * squares) }
}

fn free_riders(outcome: &Outcome, size: u64) -> Option<f64> {
    let riders = outcome.peers.iter().filter(|peer| peer.role == Role::FreeRider);
    let done = median(riders.map(|peer| ratio(peer.done_at_half, size)).collect());
    let riders = outcome.peers.iter().any(|peer| peer.role == Role::FreeRider);
    // Who has nothing by then would take for ever.
    riders.then(|| if done > 0.0 { 1.0 / done } else { f64::MAX })
}

fn spared(victim: &PeerOutcome) -> u32 {
    let spared = victim.liars.values().filter(|&&(spoiled, banned)| spoiled >= 2 && !banned);
    u32::try_from(spared.count()).unwrap_or(u32::MAX)
}

/// How many of its pieces failed, for each liar that spoiled one.
fn failed_per_liar(victim: &PeerOutcome) -> f64 {
    let liars = victim.liars.values().filter(|&&(spoiled, _)| spoiled > 0).count() as u64;
    ratio(victim.failed_pieces.into(), liars.max(1))
}

fn stalled(outcome: &Outcome) -> Option<f64> {
    let films = outcome.peers.iter().filter_map(|peer| peer.playback);
    films.map(|film| film.stalled.as_secs_f64()).reduce(|a, b| a + b)
}

fn sorted_times(outcome: &Outcome, which: impl Fn(&PeerOutcome) -> bool) -> Vec<f64> {
    let peers = outcome.peers.iter().filter(|peer| which(peer));
    let mut times: Vec<f64> = peers.filter_map(|peer| peer.finished).map(|at| at.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn peer_report(peer: &PeerOutcome) -> PeerReport {
    PeerReport {
        role: peer.role,
        finished_secs: peer.finished.map(|at| at.as_secs_f64()),
        uploaded: peer.uploaded,
        downloaded: peer.downloaded,
        wasted: peer.wasted,
    }
}

/// Of sorted values, the one that so many are not above.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index of the slice
    let at = (as_f64(sorted.len() as u64) * part).ceil().max(1.0) as usize - 1;
    sorted.get(at).copied().unwrap_or(0.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { as_f64(a) / as_f64(b) }
}

#[allow(clippy::cast_precision_loss)] // of numbers that are shown to three digits
fn as_f64(number: u64) -> f64 {
    number as f64
}
