//! What is bounded, by how much, and which test reaches it: read from the code, kept in `docs/limits.md`.
//!
//! A constant is a *limit* if its name says so (`MAX_…`, or an end of [`read::ENDS`]), if its comment says
//! what happens there ([`read::WORDS`]), or if it is a field of a `Limits` or `Bounds`. Each limit has to be used by a test.
//! Every other number and time is a *figure*: it says how often or how much at a time, and nothing is refused for it; unless
//! it is a number of a format or of a picture, and on the list of [`plain`].

mod plain;
mod read;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Findings;
use read::{Constant, Tests};

/// The page, from the workspace's root.
const PAGE: &str = "docs/limits.md";

/// Crates whose constants are no bounds of the product: it models other people's lines and disks.
const LEFT_OUT: &[&str] = &["sim"];

/// Holds the code against the page.
pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let (constants, tests) = read_all(root)?;
    judge(&constants, &tests, findings);
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if page != render(&constants, &tests) {
        findings
            .errors
            .push(format!("{PAGE} is not what the code says: `cargo xtask limits` writes it anew"));
    }
    Ok(())
}

/// Writes the page anew.
pub(crate) fn write(root: &Path) -> Result<()> {
    let (constants, tests) = read_all(root)?;
    fs::write(root.join(PAGE), render(&constants, &tests)).context(PAGE)?;
    let limits = constants.iter().filter(|constant| constant.is_limit).count();
    println!("{PAGE}: {limits} limits, {} figures", constants.len() - limits);
    Ok(())
}

fn read_all(root: &Path) -> Result<(Vec<Constant>, Tests)> {
    let (constants, tests) = read_even_plain(root)?;
    let (plain, constants): (Vec<_>, Vec<_>) = constants.into_iter().partition(read::Constant::is_plain);
    let gone = plain::NUMBERS.iter().filter(|name| !plain.iter().any(|constant| constant.path() == **name));
    let gone: Vec<&str> = gone.copied().collect();
    ensure!(gone.is_empty(), "xtask/src/check/limits/plain.rs: gone, or limits: {}", gone.join(", "));
    Ok((constants, tests))
}

fn read_even_plain(root: &Path) -> Result<(Vec<Constant>, Tests)> {
    let (mut constants, mut tests) = (Vec::new(), Tests::default());
    for krate in super::text::directories(&root.join("crates"))? {
        let name = krate.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tests.read(root, &krate)?;
        if !LEFT_OUT.contains(&name.as_str()) {
            read::constants(root, &krate, &name, &mut constants)?;
        }
    }
    tests.read(root, &root.join("tests"))?;
    Ok((constants, tests))
}

fn judge(constants: &[Constant], tests: &Tests, findings: &mut Findings) {
    for limit in constants.iter().filter(|constant| constant.is_limit) {
        if tests.of(limit, constants).is_none() {
            findings.errors.push(format!(
                "{}: no test uses {}: a limit comes with a test that reaches it",
                limit.file, limit.name
            ));
        }
    }
}

fn render(constants: &[Constant], tests: &Tests) -> String {
    let ends: String = read::ENDS.iter().map(|end| format!(", `…{end}`")).collect();
    let words = read::WORDS.map(|word| format!("\"{word}\"")).join(", ");
    let mut page = format!(
        "# Limits\n\n\
         Written by `cargo xtask limits` from the code; `cargo xtask check` is red when it is stale, and when a limit is used\n\
         by no test. A **limit** is a constant whose name\n\
         (`MAX_…`{ends}) or comment\n\
         ({words}) says so, or a field of a set of limits; the test is one that reaches it.\n\
         **Figures** say how often, how long or how much at a time; nothing is refused for them. All other numbers that have a name\n\
         are of formats and pictures, and on the list of the check.\n",
    );
    let mut by_crate: BTreeMap<&str, (Vec<&Constant>, Vec<&Constant>)> = BTreeMap::new();
    for constant in constants {
        let (limits, figures) = by_crate.entry(&constant.krate).or_default();
        if constant.is_limit { limits.push(constant) } else { figures.push(constant) }
    }
    for (krate, (limits, figures)) in by_crate {
        let _ = write!(page, "\n## {krate}\n");
        if !limits.is_empty() {
            page.push_str(
                "\n| limit | value | what it bounds, and what happens there | test |\n|---|---|---|---|\n",
            );
        }
        for limit in limits {
            let test = tests.of(limit, constants).map_or("–".into(), |test| format!("`{test}`"));
            let _ = writeln!(page, "| `{}` | {} | {} | {test} |", limit.shown(), limit.value, limit.doc);
        }
        if !figures.is_empty() {
            page.push_str("\n| figure | value | what it says |\n|---|---|---|\n");
        }
        for figure in figures {
            let _ = writeln!(page, "| `{}` | {} | {} |", figure.shown(), figure.value, figure.doc);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "/// Peers that are kept; at the limit the\n/// oldest ([`Peer`](crate::Peer)) goes.\npub const KEPT: usize = 4 << 10;\n\n/// How long.\npub const MAX_WAIT: Duration = Duration::from_secs(2 * 60);\n\n/// How often.\nconst TICK: Duration = Duration::from_millis(250);\n";

    fn read(file: &str, code: &str, test: &str) -> (Vec<Constant>, Tests) {
        let mut constants = Vec::new();
        read::constants_of(file, "planted", code, &mut constants);
        let mut tests = Tests::default();
        tests.read_text("crates/planted/src/tests.rs", test);
        (constants, tests)
    }

    fn errors(code: &str, test: &str) -> Vec<String> {
        let (constants, tests) = read("crates/planted/src/limits.rs", code, test);
        let mut findings = Findings::default();
        judge(&constants, &tests, &mut findings);
        findings.errors
    }

    #[test]
    fn a_limit_without_a_test_is_found() {
        let test = "#[test]\nfn waits() {\n    assert!(wait(MAX_WAIT));\n}\n";
        let found = errors(CODE, test);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("no test uses KEPT"), "{found:?}");
        let both = format!("{test}#[test]\nfn keeps() {{\n    keep(KEPT + 1);\n}}\n");
        assert_eq!(errors(CODE, &both), [""; 0]);
    }

    #[test]
    fn an_import_is_no_test() {
        let found = errors(CODE, "use super::{KEPT, MAX_WAIT};\n#[test]\nfn nothing() {}\n");
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_is_quoted_and_what_helps_is_no_test() {
        let kept = "#[test]\nfn keeps() {\n    keep(KEPT);\n}\n";
        for nothing in [
            "#[test]\nfn waits() {\n    assert!(wait(), \"MAX_WAIT\"); // MAX_WAIT\n}\n",
            "fn wait_long() {\n    wait(MAX_WAIT);\n}\n",
            "const LONG: Duration = MAX_WAIT;\n",
        ] {
            assert_eq!(errors(CODE, &format!("{kept}{nothing}")).len(), 1, "{nothing}");
        }
    }

    #[test]
    fn every_number_is_listed_and_words_make_limits() {
        let code = "/// What.\nconst WHAT: usize = 3;\n\n/// That may wait.\nconst THOSE: usize = 4;\n\nconst SEND_WATERMARK: u32 = 5;\n\n/// Text.\nconst TEXT: &str = \"x\";\n";
        let (constants, _) = read("crates/planted/src/what.rs", code, "");
        let found: Vec<_> = constants.iter().map(|constant| (&*constant.name, constant.is_limit)).collect();
        assert_eq!(found, [("WHAT", false), ("THOSE", true), ("SEND_WATERMARK", true)]);
    }

    #[test]
    fn the_page_says_what_the_code_says() {
        let test = "mod tests {\n    #[test]\n    fn both() {\n        let _ = (KEPT, MAX_WAIT);\n    }\n}\n";
        let (constants, tests) = read("crates/planted/src/limits.rs", CODE, test);
        let page = render(&constants, &tests);
        let row = "| `KEPT` | 4 Ki | Peers that are kept; at the limit the oldest (`Peer`) goes. | `both` |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| `MAX_WAIT` | 2 min | How long. | `both` |"), "{page}");
        assert!(page.contains("| `TICK` | 250 ms | How often. |"), "{page}");
    }

    #[test]
    fn fields_of_sets_of_limits_are_limits() {
        let code = "pub struct Limits {\n    /// How deep; deeper is an error.\n    pub max_depth: usize,\n}\nimpl Limits {\n    pub const DEFAULT: Limits = Limits { max_depth: 100 };\n}\n";
        let (constants, tests) = read("crates/planted/src/decode.rs", code, "");
        assert_eq!(constants.len(), 1);
        assert!(
            render(&constants, &tests)
                .contains("| `decode: DEFAULT.max_depth` | 100 | How deep; deeper is an error. | – |")
        );
    }

    #[test]
    fn of_two_with_one_name_each_needs_its_own_test() {
        let mut constants = Vec::new();
        for file in ["crates/planted/src/one.rs", "crates/planted/src/two.rs"] {
            read::constants_of(file, "planted", "const MAX_PACKET: usize = 9;\n", &mut constants);
        }
        let mut tests = Tests::default();
        tests.read_text("crates/planted/src/one.rs", "#[test]\nfn reached() {\n    MAX_PACKET;\n}\n");
        assert!(tests.of(&constants[0], &constants).is_some());
        assert!(tests.of(&constants[1], &constants).is_none());
    }
}
