//! Constants and the tests that name them, from source text that rustfmt has seen.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::text;
use super::{plain, value};

/// A bound or a figure of the code.
#[derive(Debug)]
pub(super) struct Constant {
    pub(super) krate: String,
    /// From the workspace's root.
    pub(super) file: String,
    /// Of a field of a set of limits: the constant's name, too.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) doc: String,
    pub(super) is_limit: bool,
    /// What a test has to name.
    word: String,
}

impl Constant {
    /// The module and the name; those of a crate's `limits.rs` need no module.
    pub(super) fn shown(&self) -> String {
        match self.module() {
            "limits" => self.name.clone(),
            module => format!("{module}: {}", self.name),
        }
    }

    /// Where it stands, as the list of plain numbers has it.
    pub(super) fn path(&self) -> String {
        format!("{}/{}: {}", self.krate, self.module(), self.name)
    }

    /// Whether it bounds nothing and says nothing of how much, but is of a format or a picture.
    pub(super) fn is_plain(&self) -> bool {
        !self.is_limit && plain::NUMBERS.contains(&&*self.path())
    }

    fn module(&self) -> &str {
        let path = self.file.split_once("/src/").map_or(self.file.as_str(), |(_, path)| path);
        path.strip_suffix(".rs").unwrap_or(path)
    }

    /// Whether a test at this path lies in the constant's module.
    fn is_near(&self, test: &str) -> bool {
        test.strip_prefix(self.file.strip_suffix(".rs").unwrap_or(&self.file))
            .is_some_and(|rest| rest.starts_with(['.', '/']))
    }
}

/// All constants of a crate that bound something or say how long.
pub(super) fn constants(root: &Path, dir: &Path, krate: &str, into: &mut Vec<Constant>) -> Result<()> {
    for file in text::rust_files(&dir.join("src"))? {
        let code = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        constants_of(&shown(root, &file), krate, &text::without_tests(&code), into);
    }
    Ok(())
}

pub(super) fn constants_of(file: &str, krate: &str, code: &str, into: &mut Vec<Constant>) {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        let Some((name, kind)) = declared(line) else { continue };
        let text: Vec<&str> = item(&lines[at..]);
        let text = text.join(" ");
        let Some((_, expression)) = text.split_once(" = ") else { continue };
        let (expression, doc) = (expression.trim_end_matches(';').trim(), doc_above(&lines, at));
        let new = |name: String, word: &str, expression: &str, doc: String, is_limit: bool| Constant {
            krate: krate.to_owned(),
            file: file.to_owned(),
            name,
            value: value::shown(expression),
            doc,
            is_limit,
            word: word.to_owned(),
        };
        if kind.ends_with("Limits") || kind.ends_with("Bounds") {
            into.extend(fields(expression).into_iter().map(|(field, expression)| {
                let doc = field_doc(&lines, field).unwrap_or_else(|| doc.clone());
                new(format!("{name}.{field}"), field, expression, doc, true)
            }));
        } else if is_limit(name, &doc) {
            into.push(new(name.to_owned(), name, expression, doc, true));
        } else {
            into.push(new(name.to_owned(), name, expression, doc, false));
        }
    }
}

/// How the name of a limit ends, if it does not begin with `MAX_`.
pub(super) const ENDS: [&str; 9] =
    ["_MAX", "_LIMIT", "_QUEUE", "_TIMEOUT", "_DEADLINE", "_MOST", "_BUDGET", "_WATERMARK", "BACKLOG"];

/// What comments say of limits, in lower case.
pub(super) const WORDS: [&str; 4] = ["at the limit", "further ones", "may wait", "above which"];

fn is_limit(name: &str, doc: &str) -> bool {
    let doc = doc.to_lowercase();
    name.starts_with("MAX_")
        || ENDS.iter().any(|end| name.ends_with(end))
        || WORDS.iter().any(|word| doc.contains(word))
}

/// The name and the type of the constant that a line begins.
fn declared(line: &str) -> Option<(&str, &str)> {
    let visible = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) "));
    let line = visible.or(line.strip_prefix("pub ")).unwrap_or(line);
    let (name, kind) = line.strip_prefix("const ")?.split_once(": ")?;
    let kind = kind.split_once(" =").map_or(kind, |(kind, _)| kind);
    const KINDS: [&str; 9] = ["usize", "u8", "u16", "u32", "u64", "f64", "Duration", "i32", "i64"];
    let counts = KINDS.contains(&kind) || kind.ends_with("Limits") || kind.ends_with("Bounds");
    let pair = kind.starts_with('(');
    (name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') && (counts || pair))
        .then_some((name, kind))
}

/// The lines of an item up to its semicolon.
fn item<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let end = lines.iter().position(|line| line.ends_with(';')).unwrap_or(0);
    lines[..=end].iter().map(|line| text::without_comment(line).trim()).collect()
}

/// The fields of `Limits { a: 1, b: 2 }`.
fn fields(expression: &str) -> Vec<(&str, &str)> {
    let Some((_, inside)) = expression.split_once('{') else { return Vec::new() };
    let inside = inside.trim_end_matches('}');
    inside.split(", ").filter_map(|field| field.trim().trim_end_matches(',').split_once(": ")).collect()
}

fn field_doc(lines: &[&str], field: &str) -> Option<String> {
    let declared = |line: &&str| {
        line.trim_start_matches("pub ").strip_prefix(field).is_some_and(|rest| rest.starts_with(": "))
    };
    let at = lines.iter().position(declared)?;
    Some(doc_above(lines, at)).filter(|doc| !doc.is_empty())
}

/// The comment above a line, as one, without the targets of its links.
fn doc_above(lines: &[&str], at: usize) -> String {
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let mut doc: Vec<&str> = above
        .filter_map(|line| line.strip_prefix("///").or(line.strip_prefix("//")))
        .map(str::trim)
        .collect();
    doc.reverse();
    let doc = doc.join(" ").replace('|', "\\|");
    let mut plain = String::new();
    let mut rest = doc.as_str();
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let Some((name, after)) = link.split_once("`]") else { break };
        plain.push_str(&format!("`{name}`"));
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

/// Who names what: tests, the functions that are marked as such.
#[derive(Debug, Default)]
pub(super) struct Tests(Vec<Mention>);

/// A line of a test.
#[derive(Debug)]
struct Mention {
    file: String,
    test: String,
    /// Without what is quoted and without comments, ...
    code: String,
    /// ... and with them.
    line: String,
}

impl Tests {
    /// Takes in the tests of a crate, those in its modules included.
    pub(super) fn read(&mut self, root: &Path, dir: &Path) -> Result<()> {
        for file in text::all_rust_files(dir)? {
            let code = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let shown = shown(root, &file);
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let by_name = stem == "tests" || stem.ends_with("_tests") || shown.contains("/tests/");
            let code = if by_name { code } else { text::only_tests(&code) };
            self.read_text(&shown, &code);
        }
        Ok(())
    }

    pub(super) fn read_text(&mut self, file: &str, text: &str) {
        let code = text::only_code(text);
        let (mut test, mut is_marked): (Option<(String, usize)>, bool) = (None, false);
        for (code, line) in code.lines().zip(text.lines()) {
            let indent = line.len() - line.trim_start().len();
            let (code, line) = (code.trim(), line.trim());
            if code.starts_with("#[") {
                is_marked |= code.contains("test]") || code.contains("test(");
                continue;
            }
            if test.is_none()
                && let Some(name) = begun(code)
            {
                test = is_marked.then(|| (name.to_owned(), indent));
                is_marked = false;
            }
            let Some((name, left)) = &test else { continue };
            if line.bytes().any(|b| b.is_ascii_uppercase() || b == b'_') && !code.starts_with("use ") {
                let own = str::to_owned;
                self.0.push(Mention {
                    file: own(file),
                    test: name.clone(),
                    code: own(code),
                    line: own(line),
                });
            }
            // Formatted as it is, a function ends as far left as it begins.
            if code.ends_with('}') && indent == *left {
                test = None;
            }
        }
    }

    /// A test that uses a constant; of a constant that shares its name in its crate, one of its own module.
    pub(super) fn of(&self, constant: &Constant, all: &[Constant]) -> Option<&str> {
        let shared = all.iter().any(|other| {
            other.word == constant.word && other.krate == constant.krate && other.file != constant.file
        });
        let home = format!("crates/{}/", constant.krate);
        let qualified = format!("{}::", constant.krate);
        let counts = |mention: &&Mention| {
            let Mention { file, code, line, .. } = mention;
            let is_near = file.starts_with(&home) && (!shared || constant.is_near(file));
            // Tests of the binary cannot see it: they say in a comment, with its path, which bound they reach.
            let from_outside = !file.starts_with("crates/") && line.contains(&qualified);
            is_near && has_word(code, &constant.word) || from_outside && has_word(line, &constant.word)
        };
        self.0.iter().find(counts).map(|mention| mention.test.as_str())
    }
}

/// The function that a line begins.
fn begun(line: &str) -> Option<&str> {
    let rest =
        line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).or(line.strip_prefix("pub(super) "));
    let rest = rest.unwrap_or(line);
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}
