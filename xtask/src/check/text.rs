//! Rules of style that are read from the source text. The text is formatted (CI checks that first), so an item
//! ends at the closing brace that stands as far left as the item's first line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Findings;

/// A file that is longer than this without its tests is probably two files. A warning: people decide.
const MANY_LINES: usize = 800;

/// What may not stand outside tests, and why.
const BANNED: &[(&str, &str)] = &[
    ("unbounded_channel", "every queue is bounded"),
    ("unbounded(", "every queue is bounded"),
    ("sync::mpsc::channel", "it is unbounded; every queue is bounded (sync_channel)"),
    ("todo!(", "unfinished work stays on a branch"),
];

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    for krate in
        directories(&root.join("crates"))?.into_iter().chain([root.join("tests"), root.join("bench")])
    {
        for file in rust_files(&krate.join("src"))? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            check_file(&shown, &text, findings);
        }
    }
    Ok(())
}

fn check_file(shown: &str, text: &str, findings: &mut Findings) {
    let code = without_tests(text);
    for (index, line) in code.lines().map(without_comment).enumerate() {
        for (banned, why) in BANNED {
            if line.contains(banned) {
                findings.errors.push(format!("{shown}:{}: `{banned}`: {why}", index + 1));
            }
        }
    }
    let lines = code.lines().filter(|line| !line.is_empty()).count();
    if lines > MANY_LINES {
        findings.warnings.push(format!("{shown} has {lines} lines without its tests: probably two files"));
    }
}

/// The text with every item under `#[cfg(test)]` blanked out; line numbers stay.
pub(super) fn without_tests(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut test_item: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match test_item {
            Some(start) => {
                let ends = line.trim_end().ends_with([';', '}', ',']) && indent == start;
                if ends {
                    test_item = None;
                }
            }
            None if is_for_tests(line) => test_item = Some(indent),
            None => code.push_str(line),
        }
        code.push('\n');
    }
    code
}

fn is_for_tests(line: &str) -> bool {
    ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|mark| line.trim_start().starts_with(mark))
}

/// The opposite: only the items under `#[cfg(test)]`.
pub(super) fn only_tests(text: &str) -> String {
    let code = without_tests(text);
    let test_lines =
        text.lines().zip(code.lines()).map(|(line, code)| if code.is_empty() { line } else { "" });
    test_lines.collect::<Vec<_>>().join("\n")
}

/// The text with what stands in comments and between quotation marks blanked out; line numbers and columns stay.
pub(super) fn only_code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let len = literal(rest).unwrap_or(0);
        if len == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (skipped, after) = rest.split_at(len);
        code.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

/// How long the comment, string or character is that a text begins with, if it does with one.
fn literal(text: &str) -> Option<usize> {
    let end =
        |from: usize, mark: &str| text[from..].find(mark).map_or(text.len(), |at| from + at + mark.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(end(2, "*/"));
    }
    if let Some(raw) = text.strip_prefix('r') {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(marks));
        return raw[marks..].starts_with('"').then(|| end(2 + marks, &close));
    }
    if let Some(inside) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let closes = |c: char| {
            let closes = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            closes
        };
        return Some(inside.find(closes).map_or(text.len(), |at| at + 2));
    }
    // A lifetime has no second one.
    let inside = text.strip_prefix('\'')?;
    match inside.strip_prefix('\\') {
        Some(escaped) => Some(2 + escaped.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0 + 1),
        None => {
            let len = inside.chars().next()?.len_utf8();
            inside[len..].starts_with('\'').then_some(len + 2)
        }
    }
}

pub(super) fn without_comment(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// All Rust files below `dir` that aren't tests by their name.
pub(super) fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_test = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        stem == "tests" || stem.ends_with("_tests")
    };
    files_but(dir, is_test)
}

/// All Rust files below `dir`.
pub(super) fn all_rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    files_but(dir, |_| false)
}

fn files_but(dir: &Path, left_out: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for path in entries(&dir)? {
            if left_out(&path) {
                continue;
            } else if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn directories(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Findings {
        let mut findings = Findings::default();
        check_file("planted.rs", text, &mut findings);
        findings
    }

    #[test]
    fn unbounded_queues_are_found() {
        let errors = findings("fn f() {\n    let (a, b) = mpsc::unbounded_channel();\n}\n").errors;
        assert_eq!(errors, ["planted.rs:2: `unbounded_channel`: every queue is bounded"]);
        assert_eq!(findings("let (a, b) = async_channel::unbounded();").errors.len(), 1);
        assert_eq!(findings("use std::sync::mpsc::channel;").errors.len(), 1);
        assert_eq!(findings("let (a, b) = mpsc::channel(QUEUE);").errors.len(), 0);
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(findings("fn f() {\n    todo!()\n}\n").errors.len(), 1);
        assert_eq!(findings("// todo!() was here\n").errors.len(), 0);
    }

    #[test]
    fn tests_are_left_alone() {
        let text =
            "#[cfg(test)]\nmod tests {\n    fn f() {\n        todo!()\n    }\n}\nfn g() {\n    todo!()\n}\n";
        let errors = findings(text).errors;
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("planted.rs:8:"), "{errors:?}");
    }

    #[test]
    fn what_is_quoted_is_no_code() {
        let code = |text: &str| only_code(text).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code("a(\"B \\\" C\", D) // E\nf"), "a( , D) f");
        assert_eq!(code("r#\"A \" B\"# + br\"C\" + d"), "+ b + d");
        assert_eq!(code("'\"' + '\\'' + f::<'a>(\"X\") /* Y */ + '\\u{1b}' + z"), "+ + f::<'a>( ) + + z");
        assert_eq!(only_code("x \"a\nb\" y\n"), "x   \n   y\n");
    }

    #[test]
    fn a_method_for_tests_ends_where_it_ends() {
        let text = "impl A {\n    #[cfg(test)]\n    fn a() {\n        b();\n    }\n\n    fn c() {\n        todo!()\n    }\n}\n";
        assert_eq!(findings(text).errors.len(), 1);
    }

    #[test]
    fn long_files_are_a_warning() {
        let long = "fn f() {}\n".repeat(MANY_LINES + 1);
        assert_eq!(findings(&long).warnings.len(), 1);
        assert!(findings(&long).errors.is_empty());
        let tested =
            format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn f() {}\n".repeat(MANY_LINES));
        assert!(findings(&tested).warnings.is_empty());
    }
}
