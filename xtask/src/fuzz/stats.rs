//! What libFuzzer says of a run.

use std::fmt;

/// Read from its output; 0 for what it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Inputs that were tried, the seeds included.
    pub(super) executions: u64,
    /// Edges of the program that they reached.
    pub(super) edges: u64,
    /// Whether it found an input that crashes, hangs or eats memory.
    pub(super) crashed: bool,
    /// What the first panic or error said, in one line.
    pub(super) said: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Good => f.write_str("ok"),
            Verdict::Bad(why) => write!(f, "RED: {why}"),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} executions {:>6} edges", self.executions, self.edges)
    }
}

impl Stats {
    pub(super) fn read(lines: &[String], is_good: bool) -> Stats {
        let mut stats = Stats { crashed: !is_good, ..Stats::default() };
        let mut panics = false;
        for line in lines {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                stats.executions = count.trim().parse().unwrap_or_default();
            } else if let Some((_, rest)) = line.split_once(" cov: ").filter(|_| line.starts_with('#')) {
                let edges = rest.split_whitespace().next().and_then(|edges| edges.parse::<u64>().ok());
                stats.edges = edges.unwrap_or_default().max(stats.edges);
            } else if stats.said.is_empty() {
                // What a panic says stands in the line after the one that says where.
                if panics || line.contains("ERROR: ") {
                    stats.said.clone_from(line);
                }
                panics = line.contains("panicked at ");
            }
        }
        stats
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.crashed, self.executions) {
            (true, _) => Verdict::Bad(format!("found: {}", self.said)),
            (false, 0) => Verdict::Bad("nothing was tried".to_owned()),
            (false, _) => Verdict::Good,
        }
    }

    /// Good if the planted fault was found, and by more than a look at the seeds.
    pub(super) fn verdict_of_control(&self, planted: &str, seeds: u64) -> Verdict {
        match (self.crashed, self.said.contains(planted)) {
            (true, true) if self.executions > seeds => Verdict::Good,
            (true, true) => Verdict::Bad("the planted fault is in the seeds already".to_owned()),
            (true, false) => Verdict::Bad(format!("found something else than was planted: {}", self.said)),
            (false, _) => Verdict::Bad("the planted fault was not found".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, is_good: bool) -> Stats {
        Stats::read(&text.lines().map(str::to_owned).collect::<Vec<_>>(), is_good)
    }

    #[test]
    fn a_good_run_is_read() {
        let stats = read(
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#77\tDONE   cov: 345 ft: 400 corp: 9/20b\nstat::number_of_executed_units: 77",
            true,
        );
        assert_eq!((stats.executions, stats.edges), (77, 345));
        assert_eq!(stats.verdict(), Verdict::Good);
        assert!(matches!(stats.verdict_of_control("planted", 1), Verdict::Bad(_)), "it found nothing");
        assert!(matches!(read("", true).verdict(), Verdict::Bad(_)), "it tried nothing");
    }

    #[test]
    fn a_crash_is_told_by_what_it_says() {
        let text = "thread panicked at x.rs:1:2:\nplanted here\n==1== ERROR: libFuzzer: deadly signal\nstat::number_of_executed_units: 9";
        let stats = read(text, false);
        assert_eq!(stats.verdict(), Verdict::Bad("found: planted here".to_owned()));
        assert_eq!(stats.verdict_of_control("planted", 8), Verdict::Good);
        assert!(matches!(stats.verdict_of_control("planted", 9), Verdict::Bad(_)), "a seed has it");
        assert!(matches!(stats.verdict_of_control("other", 8), Verdict::Bad(_)));
    }
}
