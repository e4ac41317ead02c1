//! How the work for a GiB grows with the torrent, its pieces and its peers.

use anyhow::Result;

use super::leech::{Source, leech, settings};
use super::{GIB, MIB, gib};
use crate::clients::Client;
use crate::lab::Lab;
use crate::report::{Bar, Bound, Entry, Measure, Over, Spread, Table, measure};

/// Size in bytes, piece length in bytes, and null seeders.
type Case = (u64, u64, u8);

const CASES: [Case; 7] = [
    (GIB / 2, MIB, 1),
    (2 * GIB, MIB, 1),
    (8 * GIB, MIB, 1),
    (2 * GIB, MIB / 16, 1),
    (2 * GIB, 16 * MIB, 1),
    (2 * GIB, MIB, 20),
    (2 * GIB, MIB, 200),
];
/// Instead of 8 GiB where not all is asked for: not every machine has so much memory to spare.
const SHORT: u64 = 4 * GIB;
const LARGE: usize = 2;

/// Which cases differ in one thing alone: size, piece length, peers.
const AXES: [&[usize]; 3] = [&[0, 1, 2], &[3, 1, 4], &[1, 5, 6]];

const fn measures(large: &'static str) -> [Measure; 10] {
    [
        measure("512 MiB", "s/GiB", 3),
        measure("2 GiB, pieces of 1 MiB, 1 peer", "s/GiB", 3),
        measure(large, "s/GiB", 3),
        measure("pieces of 64 KiB", "s/GiB", 3),
        measure("pieces of 16 MiB", "s/GiB", 3),
        measure("20 peers", "s/GiB", 3),
        measure("200 peers", "s/GiB", 3),
        measure("sizes", "most over least", 2),
        measure("pieces", "most over least", 2),
        measure("peers", "most over least", 2),
    ]
}

const MEASURES: &[Measure] = &measures("8 GiB");
const SHORT_MEASURES: &[Measure] = &measures("4 GiB");

const BARS: &[Bar] = &[
    Bar { of: 7, over: Over::Nothing, bound: Bound::AtMost(1.25) },
    Bar { of: 7, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.0) },
    Bar { of: 8, over: Over::Nothing, bound: Bound::AtMost(1.25) },
    Bar { of: 8, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.0) },
    Bar { of: 9, over: Over::Nothing, bound: Bound::AtMost(1.25) },
    Bar { of: 9, over: Over::Peer("libtorrent"), bound: Bound::AtMost(1.0) },
];

pub(super) fn run(lab: &Lab) -> Result<Table> {
    let mut cases = CASES;
    if !lab.setup.full {
        cases[LARGE].0 = SHORT;
    }
    let mut by_case = Vec::new();
    for (total, piece_len, seeders) in cases {
        println!(" {} MiB in pieces of {} KiB from {seeders}", total >> 20, piece_len >> 10);
        lab.clear()?;
        let source = Source::start(lab, total, piece_len, seeders)?;
        by_case.push(lab.interleave(&[Client::Rawtorrent, Client::Libtorrent], settings, |client| {
            Ok(vec![leech(lab, client, &source)?.cpu / gib(total)])
        }));
    }
    Ok(Table {
        row: "growth",
        about: "CPU of one client for each GiB that it downloads from null seeders, in torrents that differ in their size, in \
                the length of their pieces, and in how many seeders there are."
            .into(),
        measures: if lab.setup.full { MEASURES } else { SHORT_MEASURES },
        bars: BARS,
        entries: joined(&by_case),
        notes: vec![],
    })
}

/// One entry for each client out of one for each client and case. Of a run that failed in one case, nothing counts.
fn joined(by_case: &[Vec<Entry>]) -> Vec<Entry> {
    let mut entries = by_case.first().cloned().unwrap_or_default();
    for (at, entry) in entries.iter_mut().enumerate() {
        let of_client: Vec<&Entry> = by_case.iter().map(|entries| &entries[at]).collect();
        entry.failures = of_client.iter().flat_map(|entry| entry.failures.clone()).collect();
        let complete = of_client.iter().map(|entry| entry.runs.len()).min().unwrap_or(0);
        entry.runs = (0..complete)
            .map(|run| {
                let figures: Vec<f64> =
                    of_client.iter().flat_map(|entry| entry.runs[run].iter().copied()).collect();
                let growth: Vec<f64> =
                    AXES.iter().filter_map(|axis| most_over_least(axis, &figures)).collect();
                [figures, growth].concat()
            })
            .collect();
    }
    entries
}

fn most_over_least(axis: &[usize], figures: &[f64]) -> Option<f64> {
    let spread = Spread::of(axis.iter().filter_map(|&case| figures.get(case).copied()))?;
    Some(spread.max / spread.min)
}

#[cfg(test)]
mod tests_of_growth {
    use super::*;

    #[test]
    fn cases_are_joined_and_growth_is_added() {
        let of_case = |figure: f64| vec![Entry { runs: vec![vec![figure], vec![9.0]], ..Entry::default() }];
        let mut by_case: Vec<Vec<Entry>> = [4.0, 2.0, 3.0, 5.0, 1.0, 2.0, 8.0].map(of_case).to_vec();
        by_case[6][0].runs.truncate(1);
        by_case[6][0].failures.push("why".into());
        let joined = joined(&by_case);
        assert_eq!(joined[0].runs, [[4.0, 2.0, 3.0, 5.0, 1.0, 2.0, 8.0, 2.0, 5.0, 4.0]]);
        assert_eq!(joined[0].failures, ["why"]);
        assert_eq!(MEASURES.len(), joined[0].runs[0].len());
    }
}
