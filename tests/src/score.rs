//! What a hostile test tells the scoreboard (`cargo xtask hostile`): one line.

use std::io::Write;

/// What the line begins with; its fields follow, a tab before each.
const MARK: &str = "SCORE";

/// Tells the scoreboard what a test came to: its `name`, which is that of its function, what was `injected` and how often
/// (`count`), what `happened`, and the `bar` that this was held to.
///
/// The line goes to stdout past the test's capture, so that it is there however the test is run.
pub fn score(name: &str, injected: &str, count: u64, happened: &str, bar: &str) {
    // A scoreboard that is gone is no failure of the test.
    let _ = std::io::stdout().lock().write_all(line(name, injected, count, happened, bar).as_bytes());
}

/// The line. White space of a field is one blank, so that no field can end another.
fn line(name: &str, injected: &str, count: u64, happened: &str, bar: &str) -> String {
    let count = count.to_string();
    let fields = [MARK, name, injected, &count, happened, bar];
    let fields = fields.map(|field| field.split_whitespace().collect::<Vec<_>>().join(" "));
    format!("{}\n", fields.join("\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_one_line_whatever_is_in_its_fields() {
        let line = line("floods", "have\tstorm", 1_000_000, "served\nall", " none lost ");
        assert_eq!(line, "SCORE\tfloods\thave storm\t1000000\tserved all\tnone lost\n");
    }
}
