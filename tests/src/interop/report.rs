//! The table, for people and for `docs/interop.md`.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cell::{Cell, Files, Ip, Partner, Role, Tracker};
use super::lab::{Outcome, Verdict};

/// One line about a cell that has just ended.
#[must_use]
pub fn line(outcome: &Outcome) -> String {
    let Outcome { cell, verdict } = outcome;
    match verdict {
        Verdict::Green(seconds) => format!("green  {cell}  {seconds:.1} s"),
        Verdict::Red(why) => format!("RED    {cell}  {why}"),
        Verdict::NotApplicable(why) => format!("n/a    {cell}  {why}"),
    }
}

/// The columns of the table.
fn columns() -> impl Iterator<Item = (Ip, Tracker, Files)> {
    Cell::all().take(8).map(|cell| (cell.ip, cell.tracker, cell.files))
}

/// The table: a row for every partner and role.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from("| partner | we |");
    for (ip, tracker, files) in columns() {
        let _ = write!(table, " {tracker} {ip} {files} |");
    }
    table.push_str("\n|---|---|---|---|---|---|---|---|---|---|\n");
    for partner in Partner::ALL {
        for role in [Role::Leech, Role::Seed] {
            let _ = write!(table, "| {partner:<12} | {role:<5} |");
            for (ip, tracker, files) in columns() {
                let cell = Cell { partner, role, files, tracker, ip };
                let verdict =
                    outcomes.iter().find(|outcome| outcome.cell == cell).map(|outcome| &outcome.verdict);
                let shown = match verdict {
                    Some(Verdict::Green(seconds)) => format!("green {seconds:.1} s"),
                    Some(Verdict::Red(_)) => "RED".to_owned(),
                    Some(Verdict::NotApplicable(_)) => "n/a".to_owned(),
                    None => "·".to_owned(),
                };
                let _ = write!(table, " {shown:<12} |");
            }
            table.push('\n');
        }
    }
    table
}

/// The page for `docs/interop.md`.
#[must_use]
pub fn page(outcomes: &[Outcome], versions: &[String]) -> String {
    let mut page = format!(
        "# Other people's clients\n\n\
         Measured on {} with `cargo xtask test --full`. In every cell one torrent goes from one client to the other\n\
         through a tracker, in a network namespace that has only loopback; afterwards SHA-256 of every file is\n\
         compared on both sides. *single* is one file of 5 MiB and a bit; *multi* has folders in folders, an empty\n\
         file, names beyond ASCII, pieces across files and a short last piece; pieces have 64 KiB. The time runs from\n\
         the downloader's start to its word that all is complete, other people's start-up timers included.\n\n",
        today()
    );
    page.push_str(&table(outcomes));
    let count =
        |wanted: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.verdict)).count();
    let _ = write!(
        page,
        "\n{} green, {} red, {} n/a, {} not run.\n",
        count(|verdict| matches!(verdict, Verdict::Green(_))),
        count(|verdict| matches!(verdict, Verdict::Red(_))),
        count(|verdict| matches!(verdict, Verdict::NotApplicable(_))),
        Cell::COUNT - outcomes.len(),
    );
    page.push_str("\n## Versions\n\n");
    versions.iter().for_each(|version| page.push_str(&format!("- {version}\n")));
    page.push_str(
        "\n## Settings\n\n\
         Partners have DHT, local discovery, peer exchange, port mapping and uTP off and take connections without\n\
         encryption. Every party has an address of its own. The seeder starts first; the downloader once the tracker\n\
         knows the seeder. Clients are ended as by their users before bytes are compared.\n\
         Transmission 3.00 does not make files of length zero; its copies are compared without them.\n",
    );
    notes(&mut page, "Not applicable", outcomes, |verdict| match verdict {
        Verdict::NotApplicable(why) => Some((*why).to_owned()),
        _ => None,
    });
    notes(&mut page, "Red", outcomes, |verdict| match verdict {
        Verdict::Red(why) => why.lines().next().map(str::to_owned),
        _ => None,
    });
    page
}

/// The page's section on cells in which the downloader got a magnet link.
#[must_use]
pub fn by_magnet(outcomes: &[Outcome]) -> String {
    let mut section = format!(
        "\n## By magnet link\n\n\
         Measured on {} with `cargo xtask test --full`. The downloader gets a link that names the tracker, and the\n\
         metadata from the seeder; the rest is as above.\n\n",
        today()
    );
    outcomes.iter().for_each(|outcome| section.push_str(&format!("- {}\n", line(outcome))));
    section
}

fn notes(page: &mut String, title: &str, outcomes: &[Outcome], note: impl Fn(&Verdict) -> Option<String>) {
    let notes: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| note(&outcome.verdict).map(|note| (outcome.cell, note)))
        .collect();
    if !notes.is_empty() {
        let _ = write!(page, "\n## {title}\n\n");
        for (cell, note) in notes {
            let _ = writeln!(page, "- `{cell}`: {note}");
        }
    }
}

/// Today in UTC as `2026-11-20`.
fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil_date(now / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a day since 1970-01-01, by counting: exact, and called once.
fn civil_date(days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    (year, month + 1, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_777), (2026, 11, 20));
        assert_eq!(civil_date(20_818), (2026, 12, 31));
    }

    #[test]
    fn a_page_says_what_is_green_and_why_not() {
        let cells: Vec<Cell> = Cell::all().take(3).collect();
        let outcomes = [
            Outcome { cell: cells[0], verdict: Verdict::Green(1.25) },
            Outcome { cell: cells[1], verdict: Verdict::Red("no bytes\nlog".into()) },
            Outcome { cell: cells[2], verdict: Verdict::NotApplicable("cannot") },
        ];
        let page = page(&outcomes, &["rawtorrent 0.1.0".into()]);
        assert!(page.contains("1 green, 1 red, 1 n/a, 77 not run."), "{page}");
        assert!(page.contains("| libtorrent   | leech | green 1."), "{page}");
        assert!(page.contains(": cannot\n"), "{page}");
        assert!(page.contains(": no bytes\n"), "{page}");
        assert!(page.contains("- rawtorrent 0.1.0\n"), "{page}");
    }
}
