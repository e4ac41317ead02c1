//! A DHT of real nodes in virtual time: they come, go, announce and look up; hostile ones try to hide a torrent.

mod hostile;
mod world;

use serde::Serialize;
use std::time::Duration;

/// What a simulated DHT is like. With a seed it is everything that a run depends on.
#[derive(Clone, Debug)]
pub struct DhtOptions {
    /// Honest nodes at a time; at least 2.
    pub nodes: usize,
    /// Hostile nodes: all in one /24, with ids next to one torrent's name, of which they give no peers.
    pub hostile: usize,
    /// Torrents that are announced by one node and looked up by another.
    pub lookups: usize,
    /// Of a hundred nodes, how many go in a minute; as many others come.
    pub churn_percent: u32,
    /// The shortest and the longest round trip between two nodes.
    pub round_trip: (Duration, Duration),
    /// Of a thousand datagrams, how many are lost.
    pub loss_permille: u32,
    /// The nodes keep to their rules about neighbourhoods (one of a /24 in a bucket and among the closest). Without, to
    /// see what the rules are good for.
    pub guarded: bool,
}

impl Default for DhtOptions {
    fn default() -> DhtOptions {
        DhtOptions {
            nodes: 10_000,
            hostile: 1000,
            lookups: 1000,
            churn_percent: 2,
            round_trip: (Duration::from_millis(40), Duration::from_millis(400)),
            loss_permille: 10,
            guarded: true,
        }
    }
}

/// One run in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct DhtReport {
    /// The seed.
    pub seed: u64,
    /// Honest nodes at a time.
    pub nodes: usize,
    /// Hostile ones.
    pub hostile: usize,
    /// The logarithm of the number of honest nodes, to base 2.
    pub log2_nodes: f64,
    /// Lookups of torrents that were announced.
    pub lookups: usize,
    /// Of these, how many found the peer: 0 to 1.
    pub found: f64,
    /// How many nodes led to the closest one that answered: the median.
    pub hops: f64,
    /// Queries of a lookup: the median.
    pub queries: f64,
    /// The same, 19 of 20 lookups needing no more.
    pub queries_p95: f64,
    /// Seconds that a lookup took: the median.
    pub secs: f64,
    /// The same, 19 of 20 lookups needing no more.
    pub secs_p95: f64,
    /// Nodes at which an announce was stored: the median.
    pub stored: f64,
    /// Lookups of the torrent that the hostile nodes stand around.
    pub target_lookups: usize,
    /// Of these, how many found its peer: 0 to 1.
    pub target_found: f64,
    /// Hostile nodes among the closest that these ended with: the mean.
    pub target_hostile: f64,
    /// Nodes that came and went.
    pub replaced: usize,
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Datagrams that an honest node sent in a second of virtual time, on average.
    pub datagrams_per_node_sec: f64,
    /// How long the run took in virtual time.
    pub virtual_secs: f64,
    /// How long it took in real time.
    pub real_secs: f64,
    /// Of everything that was sent, and when.
    pub digest: String,
}

/// Medians over several runs.
#[derive(Clone, Debug, Serialize)]
pub struct DhtSummary {
    /// Honest nodes at a time.
    pub nodes: usize,
    /// See [`DhtReport::log2_nodes`].
    pub log2_nodes: f64,
    /// Of all lookups of all runs, how many found the peer: 0 to 1.
    pub found: f64,
    /// See [`DhtReport::hops`].
    pub hops: f64,
    /// See [`DhtReport::queries`].
    pub queries: f64,
    /// The least of any run: see [`DhtReport::target_found`].
    pub target_found: f64,
    /// Run by run.
    pub runs: Vec<DhtReport>,
}

impl DhtSummary {
    /// `None` without a run.
    pub fn new(runs: Vec<DhtReport>) -> Option<DhtSummary> {
        let first = runs.first()?;
        let of = |what: &dyn Fn(&DhtReport) -> f64| quantile(runs.iter().map(what).collect(), 0.5);
        let lookups: f64 = runs.iter().map(|run| as_f64(run.lookups)).sum();
        let found: f64 = runs.iter().map(|run| run.found * as_f64(run.lookups)).sum();
        Some(DhtSummary {
            nodes: first.nodes,
            log2_nodes: first.log2_nodes,
            found: found / lookups.max(1.0),
            hops: of(&|run| run.hops),
            queries: of(&|run| run.queries),
            target_found: runs.iter().map(|run| run.target_found).fold(1.0, f64::min),
            runs,
        })
    }
}

/// Runs a DHT. The same options and seed give the same report, but for how long it took.
///
/// # Errors
/// If a node breaks a rule: which.
pub fn run_dht(options: &DhtOptions, seed: u64) -> Result<DhtReport, String> {
    let start = std::time::Instant::now();
    let report = crate::caught(|| Ok(world::World::new(options, seed).run()))?;
    Ok(DhtReport { real_secs: start.elapsed().as_secs_f64(), ..report })
}

/// The value that so many are not above.
fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index of the list
    let at = (as_f64(values.len()) * part).ceil().max(1.0) as usize - 1;
    values.get(at).copied().unwrap_or(0.0)
}

#[allow(clippy::cast_precision_loss)] // counts that are far below 2^52
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(guarded: bool) -> DhtOptions {
        DhtOptions { nodes: 300, hostile: 300, lookups: 60, guarded, ..DhtOptions::default() }
    }

    #[test]
    fn a_seed_is_an_outcome() {
        let run = || run_dht(&DhtOptions { nodes: 100, ..small(true) }, 5).unwrap();
        assert_eq!(run().digest, run().digest);
        assert_ne!(run().digest, run_dht(&DhtOptions { nodes: 100, ..small(true) }, 6).unwrap().digest);
    }

    #[test]
    fn lookups_succeed_and_nobody_hides_a_torrent() {
        let report = run_dht(&small(true), 1).unwrap();
        assert!(report.found >= 0.99 && report.target_found >= 0.99, "{report:?}");
        assert!(report.target_hostile <= 1.0, "{report:?}");
        assert!(report.replaced > 20 && report.hops >= 1.0 && report.queries >= 8.0, "{report:?}");
    }

    /// The control: the hostile nodes are dangerous, and the rules are what holds them off.
    #[test]
    fn without_the_rules_they_hide_it() {
        let report = run_dht(&small(false), 1).unwrap();
        assert!(report.target_found <= 0.5 && report.target_hostile >= 4.0, "{report:?}");
    }
}
