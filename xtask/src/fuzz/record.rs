//! `docs/fuzzing.md`: what runs add up to. Only the rows of its table are ours to write.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::stats::Stats;

const HEAD: &str = "| target | seconds | executions | edges | crashes found | of these fixed |";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    seconds: u64,
    executions: u64,
    /// The most that a run reached.
    edges: u64,
    found: u64,
    /// Written by hand.
    fixed: u64,
}

pub(super) struct Record {
    before: String,
    rows: BTreeMap<String, Row>,
    after: String,
}

fn path(root: &Path) -> PathBuf {
    root.join("docs/fuzzing.md")
}

impl Record {
    pub(super) fn read(root: &Path) -> Result<Record> {
        let path = path(root);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Record::parse(&text).with_context(|| format!("{} has no table of targets", path.display()))
    }

    fn parse(text: &str) -> Option<Record> {
        let at = text.find(HEAD)?;
        let table: String =
            text[at..].split_inclusive('\n').take_while(|line| line.starts_with('|')).collect();
        let rows = table.lines().skip(2).map(row).collect::<Option<_>>()?;
        Some(Record { before: text[..at].to_owned(), rows, after: text[at + table.len()..].to_owned() })
    }

    pub(super) fn add(&mut self, target: &str, seconds: u64, stats: &Stats) {
        let row = self.rows.entry(target.to_owned()).or_default();
        row.seconds += seconds;
        row.executions += stats.executions;
        row.edges = row.edges.max(stats.edges);
        row.found += u64::from(stats.crashed);
    }

    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let path = path(root);
        fs::write(&path, self.text()).with_context(|| path.display().to_string())
    }

    fn text(&self) -> String {
        let mut text = format!("{}{HEAD}\n|---|---:|---:|---:|---:|---:|\n", self.before);
        for (target, Row { seconds, executions, edges, found, fixed }) in &self.rows {
            writeln!(text, "| {target} | {seconds} | {executions} | {edges} | {found} | {fixed} |")
                .expect("a string takes all");
        }
        text + &self.after
    }
}

fn row(line: &str) -> Option<(String, Row)> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [target, numbers @ ..] = &cells[..] else { return None };
    let numbers = numbers.iter().map(|cell| cell.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let [seconds, executions, edges, found, fixed] = numbers[..] else { return None };
    Some(((*target).to_owned(), Row { seconds, executions, edges, found, fixed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_words_stay() {
        let text = format!(
            "# Words\n\n{HEAD}\n|---|---:|---:|---:|---:|---:|\n| wire | 10 | 500 | 70 | 1 | 1 |\n\nmore\n"
        );
        let mut record = Record::parse(&text).unwrap();
        assert_eq!(record.text(), text);
        let stats = Stats { executions: 7, edges: 60, ..Stats::default() };
        record.add("wire", 5, &stats);
        record.add("krpc", 5, &Stats { crashed: true, ..stats });
        let text = record.text();
        assert!(
            text.contains("|\n| krpc | 5 | 7 | 60 | 1 | 0 |\n| wire | 15 | 507 | 70 | 1 | 1 |\n\nmore\n"),
            "{text}"
        );
        assert!(Record::parse("no table").is_none());
        assert!(Record::parse(&text.replace("507", "x")).is_none(), "nothing is lost silently");
    }
}
