//! `SECURITY.md` names the tests of each promise: they are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Findings, text};

const PAGE: &str = "SECURITY.md";

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let mut functions = BTreeSet::new();
    for dir in ["crates", "tests"] {
        for file in text::all_rust_files(&root.join(dir))? {
            let code = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            functions.extend(
                code.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())),
            );
        }
    }
    let page = fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    judge(&page, &functions, findings);
    Ok(())
}

/// In the last column of a table, what looks like a function is one.
fn judge(page: &str, functions: &BTreeSet<String>, findings: &mut Findings) {
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        let tests = row.rsplit_once(" | ").map_or("", |(_, tests)| tests);
        let names = tests.split('`').skip(1).step_by(2).filter(|name| {
            name.contains('_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        });
        for name in names.filter(|name| !functions.contains(*name)) {
            findings.errors.push(format!("{PAGE} promises a test that is not there: {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_missed() {
        let page =
            "| promise | tests |\n|---|---|\n| none of `a_file` | `is_there`, `is_gone` (`strace`) |\n";
        let mut findings = Findings::default();
        judge(page, &BTreeSet::from(["is_there".to_owned()]), &mut findings);
        assert_eq!(findings.errors, ["SECURITY.md promises a test that is not there: is_gone"]);
    }
}
