//! `docs/reliability.md`: the tests and the soak, each with the day, the commit and the machine of its own run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Part, Which};
use crate::run;

/// Where the longer command keeps its tables, from the workspace's root.
const PAGE: &str = "docs/reliability.md";
const HEAD: &str = "| test | injected | how many | what happened | failures | bar | control |";
const RULE: &str = "|---|---|---|---|---|---|---|";

/// The rows of a table by their first cell, without the bar at their end.
pub(super) type Rows = BTreeMap<String, String>;

/// The table as it is printed.
pub(super) fn table(rows: &Rows) -> String {
    drawn(rows, &format!("{HEAD}\n{RULE}"))
}

fn drawn(rows: &Rows, head: &str) -> String {
    rows.values().fold(format!("{head}\n"), |table, row| table + row + "\n")
}

/// When something ran, on what, and where.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    date: String,
    commit: String,
    machine: String,
}

impl Stamp {
    /// Of a run that begins now.
    pub(super) fn now(root: &Path) -> Result<Stamp> {
        let output = |program: &str, args: &[&str]| -> Result<String> {
            let output = run::command(root, program).args(args).output().context(program.to_owned())?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = output("git", &["describe", "--always", "--dirty= and changes", "--exclude=*"])?;
        Ok(Stamp {
            date: output("date", &["-u", "+%F"])?,
            commit: if commit.is_empty() { "unknown".to_owned() } else { commit },
            machine: machine(&output("uname", &["-r"])?),
        })
    }

    /// The last cell of a row.
    fn cell(&self) -> String {
        format!("{}, {}", self.date, self.commit)
    }
}

/// Processor, memory and system.
fn machine(kernel: &str) -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let memory: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel: Vec<&str> = kernel.split('.').take(2).collect();
    format!(
        "{} with {} cores and {} GiB, Linux {}",
        field("/proc/cpuinfo", "model name"),
        run::cores(),
        memory.div_ceil(1 << 20),
        kernel.join(".")
    )
}

/// Keeps the rows of a run. A part that it ran as a whole is written anew; of one that it ran some tests of, their rows;
/// the rest stays as it was.
pub(super) fn keep(root: &Path, rows: &Rows, which: &Which, stamp: &Stamp) -> Result<()> {
    let path = root.join(PAGE);
    // Read now, not at the beginning: the other part may have ended meanwhile.
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(path, page(&before, rows, which, stamp)).context(PAGE)
}

fn page(before: &str, rows: &Rows, which: &Which, stamp: &Stamp) -> String {
    let mut page = "# A hostile world\n\n\
        Written by `cargo xtask hostile --full`, or in two parts, by `--part tests` and `--part soak`; each says when it was\n\
        run as a whole, on what, and where. The last column says so of each row: `--only` runs some tests anew. No failure in N\n\
        trials means, with 95 % confidence, at most 3 in N. The control of a test is a fault that is planted in the program: it\n\
        must turn the test red.\n"
        .to_owned();
    for part in Part::ALL {
        let mut section = Section::read(before, part);
        let own = || rows.iter().filter(move |(title, _)| Part::of_title(title) == part);
        if which.has_all_of(part) {
            section = Section { ran: Some(ran(stamp)), rows: Rows::new() };
        }
        section.rows.extend(own().map(|(title, row)| (title.clone(), format!("{row} {} |", stamp.cell()))));
        page += &section.drawn(part);
    }
    page
}

/// What a section says of its run as a whole.
fn ran(stamp: &Stamp) -> String {
    let Stamp { date, commit, machine } = stamp;
    format!("Ran as a whole on {date}, commit {commit}, {machine}.")
}

/// One part of the page.
struct Section {
    /// When it was run as a whole, if ever.
    ran: Option<String>,
    rows: Rows,
}

impl Section {
    fn read(page: &str, part: Part) -> Section {
        let heading = format!("## {}", part.heading());
        let lines = page.lines().skip_while(|line| *line != heading).skip(1);
        let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
        let rows = lines.iter().filter(|line| line.starts_with("| ") && !line.starts_with(HEAD));
        let rows = rows.filter_map(|row| {
            let (title, _) = row.strip_prefix("| ")?.split_once(" |")?;
            Some((title.to_owned(), (*row).to_owned()))
        });
        let ran = lines.iter().find(|line| line.starts_with("Ran as a whole on "));
        Section { ran: ran.map(|line| (*line).to_owned()), rows: rows.collect() }
    }

    fn drawn(&self, part: Part) -> String {
        let ran = self.ran.as_deref().unwrap_or("Not run as a whole yet.");
        let table = drawn(&self.rows, &format!("{HEAD} run |\n{RULE}---|"));
        format!("\n## {}\n\n{ran}\n\n{table}", part.heading())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str]) -> Rows {
        names.iter().map(|name| ((*name).to_owned(), format!("| {name} | x |"))).collect()
    }

    fn stamp(date: &str, commit: &str) -> Stamp {
        Stamp { date: date.to_owned(), commit: commit.to_owned(), machine: "a machine".to_owned() }
    }

    #[test]
    fn each_part_keeps_the_day_the_commit_and_the_machine_of_its_own_run() {
        let soak = page("", &rows(&["a soak"]), &Which::Part(Part::Soak), &stamp("2026-01-01", "aaa"));
        assert!(soak.contains("## Tests\n\nNot run as a whole yet.\n"), "{soak}");
        let whole = "Ran as a whole on 2026-01-01, commit aaa, a machine.";
        assert!(soak.contains(&format!("## Soak\n\n{whole}\n")), "{soak}");
        let both =
            page(&soak, &rows(&["have", "lie"]), &Which::Part(Part::Tests), &stamp("2026-02-02", "bbb"));
        assert!(
            both.contains("## Tests\n\nRan as a whole on 2026-02-02, commit bbb, a machine.\n"),
            "{both}"
        );
        assert!(both.contains(whole) && both.contains("| a soak | x | 2026-01-01, aaa |\n"), "{both}");
        // Another run of a part has its own rows alone: a test that is gone is gone.
        let again = page(&both, &rows(&["have"]), &Which::Part(Part::Tests), &stamp("2026-03-03", "ccc"));
        assert!(again.contains("| have | x | 2026-03-03, ccc |\n") && !again.contains("| lie |"), "{again}");
        assert!(again.contains("| a soak | x | 2026-01-01, aaa |\n"), "{again}");
        let all = page(&again, &rows(&["a soak", "have"]), &Which::All, &stamp("2026-04-04", "ddd"));
        assert_eq!(all.matches("Ran as a whole on 2026-04-04, commit ddd").count(), 2, "{all}");
    }

    #[test]
    fn a_later_run_of_some_tests_takes_the_place_of_their_rows_alone() {
        let some = |names: &[&str]| Which::Tests(names.iter().map(|&name| name.to_owned()).collect());
        let first = page("", &rows(&["of old", "a soak"]), &Which::All, &stamp("2026-01-01", "aaa"));
        let second = page(&first, &rows(&["of new"]), &some(&["of_new"]), &stamp("2026-02-02", "bbb"));
        let third = page(&second, &rows(&["of old"]), &some(&["of_old"]), &stamp("2026-03-03", "ccc"));
        assert!(third.contains("| of old | x | 2026-03-03, ccc |\n"), "{third}");
        assert!(third.contains("| of new | x | 2026-02-02, bbb |\n"), "{third}");
        assert_eq!(third.matches("Ran as a whole on 2026-01-01, commit aaa").count(), 2, "{third}");
        assert_eq!((third.matches("| of old |").count(), third.matches("| test |").count()), (1, 2));
    }
}
