//! Medians, ratios, bars, and the table they are shown in.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Something that every run of a row measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) decimals: usize,
}

pub(crate) const fn measure(name: &'static str, unit: &'static str, decimals: usize) -> Measure {
    Measure { name, unit, decimals }
}

/// What our median is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    /// That of one contestant.
    Peer(&'static str),
    /// That of the best of the others: the least for a bar that is not to be exceeded, else the most.
    BestPeer,
    /// Nothing: the bar is a number.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A bar of issue 4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Which measure.
    pub(crate) of: usize,
    pub(crate) over: Over,
    pub(crate) bound: Bound,
}

/// One program, and what its runs measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) settings: String,
    /// One list a run, in the order of the measures.
    pub(crate) runs: Vec<Vec<f64>>,
    /// Why a run failed.
    pub(crate) failures: Vec<String>,
}

/// A row of the bench: everybody's figures.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) row: &'static str,
    /// What was measured, in a sentence or two.
    pub(crate) about: String,
    pub(crate) measures: &'static [Measure],
    pub(crate) bars: &'static [Bar],
    /// We come first.
    pub(crate) entries: Vec<Entry>,
    /// What else was measured beside it.
    pub(crate) notes: Vec<String>,
}

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Spread { median, min, max })
    }

    fn shown(&self, decimals: usize) -> String {
        let Spread { median, min, max } = self;
        format!("{median:.decimals$} ({min:.decimals$} to {max:.decimals$})")
    }
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }
    }

    fn shown(self) -> String {
        match self {
            Bound::AtMost(most) => format!("at most {most}"),
            Bound::AtLeast(least) => format!("at least {least}"),
        }
    }
}

impl Entry {
    pub(crate) fn spread(&self, measure: usize) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| run.get(measure).copied()))
    }

    fn median(&self, measure: usize) -> Option<f64> {
        self.spread(measure).map(|spread| spread.median)
    }
}

/// A bar beside what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// Such as `wall over libtorrent's`.
    pub(crate) what: String,
    pub(crate) bound: Bound,
    /// `None` if one of the two was not measured.
    pub(crate) value: Option<f64>,
}

impl Verdict {
    fn shown(&self) -> &'static str {
        match self.value.map(|value| self.bound.is_met(value)) {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        }
    }
}

impl Table {
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.bars.iter().map(|bar| self.verdict(bar)).collect()
    }

    fn verdict(&self, bar: &Bar) -> Verdict {
        let ours = self.entries.first().and_then(|entry| entry.median(bar.of));
        let name = self.measures[bar.of].name;
        let (what, value) = match bar.over {
            Over::Nothing => (format!("{name}, {}", self.measures[bar.of].unit), ours),
            Over::Peer(peer) => {
                let theirs = self.entries.iter().find(|entry| entry.name == peer);
                (format!("{name} over {peer}'s"), ratio(ours, theirs.and_then(|entry| entry.median(bar.of))))
            }
            Over::BestPeer => {
                let peers = self.entries.iter().skip(1);
                let medians = Spread::of(peers.filter_map(|entry| entry.median(bar.of)));
                let best = medians.map(|spread| match bar.bound {
                    Bound::AtMost(_) => spread.min,
                    Bound::AtLeast(_) => spread.max,
                });
                (format!("{name} over the best peer's"), ratio(ours, best))
            }
        };
        Verdict { what, bound: bar.bound, value }
    }

    pub(crate) fn to_json(&self) -> Value {
        let entries: Vec<Value> = self.entries.iter().map(|entry| self.entry_json(entry)).collect();
        let bars: Vec<Value> = self
            .verdicts()
            .iter()
            .map(|verdict| {
                json!({ "what": verdict.what, "bound": verdict.bound.shown(), "value": verdict.value, "is": verdict.shown() })
            })
            .collect();
        json!({ "row": self.row, "about": self.about, "contestants": entries, "bars": bars, "notes": self.notes })
    }

    fn entry_json(&self, entry: &Entry) -> Value {
        let measured: Vec<Value> = (0..self.measures.len())
            .map(|at| {
                let Measure { name, unit, .. } = self.measures[at];
                let spread = entry.spread(at);
                json!({
                    "measure": name,
                    "unit": unit,
                    "median": spread.map(|spread| spread.median),
                    "min": spread.map(|spread| spread.min),
                    "max": spread.map(|spread| spread.max),
                    "runs": entry.runs.iter().filter_map(|run| run.get(at)).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "name": entry.name,
            "version": entry.version,
            "settings": entry.settings,
            "measured": measured,
            "failures": entry.failures,
        })
    }

    /// For people, and for `docs/`.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n| |", self.about);
        // Writing to a string cannot fail.
        for measure in self.measures {
            let _ = write!(text, " {}, {} |", measure.name, measure.unit);
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(self.measures.len()));
        for entry in &self.entries {
            let _ = write!(text, "| {} |", format!("{} {}", entry.name, entry.version).trim_end());
            for (at, measure) in self.measures.iter().enumerate() {
                let nothing = if entry.failures.is_empty() { "–" } else { "failed" };
                let shown =
                    entry.spread(at).map_or_else(|| nothing.into(), |spread| spread.shown(measure.decimals));
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "\nMedians, in brackets the least and the most.");
        if !self.bars.is_empty() {
            text.push_str("\n| bar | asked | measured | |\n|---|---|---|---|\n");
        }
        for verdict in self.verdicts() {
            let value = verdict.value.map_or_else(|| "–".into(), |value| format!("{value:.2}"));
            let _ = writeln!(
                text,
                "| {} | {} | {value} | {} |",
                verdict.what,
                verdict.bound.shown(),
                verdict.shown()
            );
        }
        text.push_str("\nHow each was run:\n\n");
        for entry in &self.entries {
            let _ = writeln!(text, "- {}: {}", entry.name, entry.settings);
            for failure in &entry.failures {
                let _ = writeln!(text, "  - failed: {}", failure.lines().next().unwrap_or_default());
            }
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    ours.zip(theirs).filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs)
}

#[cfg(test)]
mod tests_of_report {
    use super::*;

    const MEASURES: &[Measure] = &[measure("wall", "s", 2), measure("rate", "MiB/s", 0)];
    const BARS: &[Bar] = &[
        Bar { of: 0, over: Over::Peer("slow"), bound: Bound::AtMost(0.8) },
        Bar { of: 0, over: Over::BestPeer, bound: Bound::AtMost(1.0) },
        Bar { of: 1, over: Over::BestPeer, bound: Bound::AtLeast(1.2) },
        Bar { of: 0, over: Over::Nothing, bound: Bound::AtMost(2.5) },
        Bar { of: 0, over: Over::Peer("absent"), bound: Bound::AtMost(2.5) },
    ];

    fn entry(name: &str, runs: &[[f64; 2]]) -> Entry {
        Entry { name: name.into(), runs: runs.iter().map(|run| run.to_vec()).collect(), ..Entry::default() }
    }

    fn table() -> Table {
        Table {
            row: "test",
            about: "A test.".into(),
            measures: MEASURES,
            bars: BARS,
            entries: vec![
                entry("ours", &[[3.0, 90.0], [2.0, 120.0], [1.0, 110.0]]),
                entry("slow", &[[4.0, 100.0], [2.0, 100.0]]),
                entry("fast", &[[1.5, 50.0]]),
                Entry { failures: vec!["why".into()], ..entry("broken", &[]) },
            ],
            notes: vec![],
        }
    }

    #[test]
    fn medians() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn bars_are_ratios_of_medians() {
        let verdicts = table().verdicts();
        let values: Vec<Option<f64>> = verdicts.iter().map(|verdict| verdict.value).collect();
        assert_eq!(values, [Some(2.0 / 3.0), Some(2.0 / 1.5), Some(1.1), Some(2.0), None]);
        let shown: Vec<&str> = verdicts.iter().map(Verdict::shown).collect();
        assert_eq!(shown, ["met", "not met", "not met", "met", "not measured"]);
    }

    #[test]
    fn the_table_shows_all_of_it() {
        let text = table().to_markdown();
        assert!(text.contains("| | wall, s | rate, MiB/s |\n|---|---|---|\n"), "{text}");
        assert!(text.contains("| ours | 2.00 (1.00 to 3.00) | 110 (90 to 120) |\n"), "{text}");
        assert!(text.contains("| broken | failed | failed |\n"), "{text}");
        assert!(text.contains("| wall over slow's | at most 0.8 | 0.67 | met |\n"), "{text}");
        assert!(text.contains("- broken: \n  - failed: why\n"), "{text}");
        assert!(text.contains("| wall over absent's | at most 2.5 | – | not measured |\n"), "{text}");
        let json = table().to_json();
        assert_eq!(json["contestants"][1]["measured"][0]["median"], 3.0);
        assert_eq!(json["bars"][2]["is"], "not met");
    }
}
