//! What is built in, and where it comes from: the lock file against `deny.toml`. And who may be `unsafe`.
//!
//! `cargo deny` reads the same file; this needs neither it nor the network, and so can't know advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Findings, text};

/// Where `unsafe` may stand, and why.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/hash/src/x86/", "vector instructions that the compiler can't know to be there"),
    ("crates/heap/src/lib.rs", "calls of the C library that have no safe wrapper"),
    ("tests/src/wan/tun.rs", "an ioctl that no crate wraps, of tests alone"),
];

/// What `deny.toml` allows.
#[derive(Debug, Default)]
struct Rules {
    licenses: BTreeSet<String>,
    registries: BTreeSet<String>,
    /// Crates that there may be several versions of.
    twice: BTreeSet<String>,
    /// Licences that single crates may have beside, which only fuzz targets are built with.
    exceptions: BTreeMap<String, BTreeSet<String>>,
}

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let rules = Rules::parse(&fs::read_to_string(root.join("deny.toml")).context("deny.toml")?);
    let count = judge(&metadata(root)?, &rules, Whose::Product, findings)?;
    // A workspace of its own, with a lock file of its own.
    let fuzz = root.join("fuzz");
    let of_targets = judge(&metadata(&fuzz)?, &rules, Whose::Fuzzing, findings)?;
    println!("supply: {of_targets} crates from elsewhere of the fuzz targets, by the same rules");
    println!(
        "supply: {count} crates from elsewhere by licence, source and version; advisories are NOT looked up \
         (`cargo deny check advisories` does, with network)"
    );
    for dir in ["crates", "tests", "bench", "xtask"] {
        for file in text::all_rust_files(&root.join(dir))? {
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            check_unsafe(&shown, &fs::read_to_string(&file).with_context(|| shown.clone())?, findings);
        }
    }
    Ok(())
}

/// Whose lock file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Product,
    /// Of what the product has twice it may have one: an exemption that is not needed is none of its business.
    Fuzzing,
}

/// What a workspace is built from.
fn metadata(dir: &Path) -> Result<Value> {
    let output = Command::new(crate::run::cargo())
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .current_dir(dir)
        .output()
        .context("cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata in {}: {}if crates are missing, `cargo fetch --locked` gets them",
        dir.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl Rules {
    /// Reads the three lists that matter here: the strings between the brackets of each.
    fn parse(toml: &str) -> Rules {
        let list = |key: &str| {
            let begin = toml.find(&format!("\n{key} = [")).map_or(toml.len(), |at| at + key.len() + 4);
            let inside = toml[begin..].split_once(']').map_or("", |(inside, _)| inside);
            inside.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        // Of a pair of crate and reason, the crate.
        let twice = list("skip").into_iter().step_by(2).collect();
        let registries = list("allow-registry").into_iter().collect();
        // One on each line: a crate, and its licences.
        let listed = toml.split_once("\nexceptions = [").and_then(|(_, rest)| rest.split_once("\n]"));
        let exceptions = listed.into_iter().flat_map(|(lines, _)| lines.lines()).filter_map(|line| {
            let mut strings = line.split('"').skip(1).step_by(2).map(str::to_owned);
            Some((strings.next()?, strings.collect()))
        });
        Rules {
            licenses: list("allow").into_iter().collect(),
            registries,
            twice,
            exceptions: exceptions.collect(),
        }
    }

    /// Whether a crate's SPDX expression can be met with what is allowed. `/` is the old way to say `OR`.
    fn allows(&self, name: &str, whose: Whose, expression: &str) -> bool {
        let of_its_own = self.exceptions.get(name).filter(|_| whose == Whose::Fuzzing);
        let is_allowed = |license: &str| {
            self.licenses.contains(license) || of_its_own.is_some_and(|own| own.contains(license))
        };
        is_met(expression, &is_allowed)
    }
}

/// Whether an SPDX expression can be met.
fn is_met(expression: &str, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let flat = expression.replace('/', " OR ");
    // AND binds closer, and parentheses stand around an OR.
    if let Some((group, rest)) = flat.strip_prefix('(').and_then(|rest| rest.split_once(") AND ")) {
        return is_met(group, is_allowed) && is_met(rest, is_allowed);
    }
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(|license| is_allowed(license.trim())))
}

/// Judges every crate from outside; returns how many there are.
fn judge(metadata: &Value, rules: &Rules, whose: Whose, findings: &mut Findings) -> Result<usize> {
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut count = 0;
    for package in packages {
        let (name, version) = (text_of(package, "name"), text_of(package, "version"));
        let Some(source) = package["source"].as_str() else { continue };
        count += 1;
        versions.entry(name).or_default().insert(version);
        let mut refuse =
            |what: String| findings.errors.push(format!("{name} {version}: {what}; see deny.toml"));
        if !source.strip_prefix("registry+").is_some_and(|registry| rules.registries.contains(registry)) {
            refuse(format!("it comes from {source}"));
        }
        let license = package["license"].as_str().unwrap_or("none");
        if !rules.allows(name, whose, license) {
            refuse(format!("its licence is {license}"));
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !rules.twice.contains(*name) {
            findings.errors.push(format!("there are {} versions of {name}; see deny.toml", versions.len()));
        }
    }
    let once = |name: &&String| versions.get(name.as_str()).is_none_or(|versions| versions.len() < 2);
    let exempt = rules.twice.iter().filter(|_| whose == Whose::Product);
    for name in exempt.filter(once) {
        findings.errors.push(format!("deny.toml: there are no two versions of {name} any more"));
    }
    Ok(count)
}

fn text_of<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or("?")
}

/// A crate forbids `unsafe` unless a file of it is in the list; no other file lifts the workspace's lint.
fn check_unsafe(file: &str, code: &str, findings: &mut Findings) {
    let exempt = UNSAFE.iter().any(|(place, _)| file.starts_with(place));
    let lifts = ["allow(unsafe_code", "expect(unsafe_code", "warn(unsafe_code"];
    let mut lines = code.lines().map(text::without_comment).enumerate();
    let lifted = lines
        .find(|(_, line)| line.trim_start().starts_with("#") && lifts.iter().any(|lift| line.contains(lift)));
    if let Some((at, _)) = lifted.filter(|_| !exempt) {
        findings.errors.push(format!("{file}:{}: unsafe code is for those that the check lists", at + 1));
    }
    let is_root =
        file.starts_with("crates/") && (file.ends_with("/src/lib.rs") || file.ends_with("/src/main.rs"));
    let krate = file.split("/src/").next().unwrap_or(file);
    let has_exempt =
        UNSAFE.iter().any(|(place, _)| place.strip_prefix(krate).is_some_and(|rest| rest.starts_with('/')));
    if is_root && !has_exempt && !code.contains("#![forbid(unsafe_code)]") {
        findings.errors.push(format!("{file}: it has to say #![forbid(unsafe_code)]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const INDEX: &str = "registry+https://example.org/index";
    const TOML: &str = "[licenses]\nallow = [\"MIT\", \"ISC\"]\nexceptions = [\n    { crate = \"fuzz\", allow = [\"NCSA\"] },\n]\n[bans]\nskip = [\n    { crate = \"syn\", reason = \"moving\" },\n]\nallow-registry = [\"https://example.org/index\"]\n";

    fn errors(packages: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let package = |(name, version, license, source): &(&str, &str, &str, &str)| json!({ "name": name, "version": version, "license": license, "source": source });
        let mut all: Vec<Value> = packages.iter().map(package).collect();
        all.extend(["1.0.0", "2.0.0"].map(|version| package(&("syn", version, "MIT", INDEX))));
        let mut findings = Findings::default();
        judge(&json!({ "packages": all }), &Rules::parse(TOML), Whose::Product, &mut findings).unwrap();
        findings.errors
    }

    #[test]
    fn what_is_allowed_passes() {
        assert_eq!(
            errors(&[("a", "1.0.0", "GPL-3.0/MIT", INDEX), ("b", "1.0.0", "MIT AND ISC", INDEX)]),
            [""; 0]
        );
        assert_eq!(errors(&[("a", "1.0.0", "(MIT OR X11) AND ISC", INDEX)]), [""; 0]);
    }

    #[test]
    fn a_licence_a_source_and_a_second_version_are_found() {
        assert!(errors(&[("a", "1.0.0", "GPL-3.0-only", INDEX)])[0].contains("GPL"));
        assert_eq!(errors(&[("a", "1.0.0", "MIT AND GPL-3.0-only", INDEX)]).len(), 1);
        assert_eq!(errors(&[("a", "1.0.0", "(X11 OR Y) AND ISC", INDEX)]).len(), 1);
        assert!(errors(&[("a", "1.0.0", "MIT", "git+https://example.org/a")])[0].contains("comes from git"));
        let twice = errors(&[("a", "1.0.0", "MIT", INDEX), ("a", "2.0.0", "MIT", INDEX)]);
        assert_eq!(twice, ["there are 2 versions of a; see deny.toml"]);
    }

    #[test]
    fn an_exception_is_for_fuzz_targets_alone() {
        let rules = Rules::parse(TOML);
        let allows = |name: &str, whose| rules.allows(name, whose, "(MIT OR X11) AND NCSA");
        assert!(allows("fuzz", Whose::Fuzzing));
        assert!(!allows("fuzz", Whose::Product) && !allows("other", Whose::Fuzzing));
    }

    #[test]
    fn an_exemption_that_nobody_needs_is_found() {
        let found = |whose| {
            let mut findings = Findings::default();
            judge(&json!({ "packages": [] }), &Rules::parse(TOML), whose, &mut findings).unwrap();
            findings.errors.len()
        };
        assert_eq!((found(Whose::Product), found(Whose::Fuzzing)), (1, 0));
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let found = |file: &str, code: &str| {
            let mut findings = Findings::default();
            check_unsafe(file, code, &mut findings);
            findings.errors.len()
        };
        let lift = "#[expect(unsafe_code, reason = \"fast\")]\nfn f() {}\n";
        assert_eq!(found("crates/net/src/conn.rs", lift), 1);
        assert_eq!(found("crates/hash/src/x86/avx2.rs", lift), 0);
        assert_eq!(found("crates/net/src/lib.rs", "//! Sockets.\n"), 1);
        assert_eq!(found("crates/net/src/lib.rs", "#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(found("crates/hash/src/lib.rs", "//! Hashes.\n"), 0);
    }
}
