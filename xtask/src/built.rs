//! The workspace's test programs, all built by one command: `cargo test` of some packages alone chooses other features of what
//! they share, and builds that again each time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run::{self, Tally};
use crate::suite::TESTS;

/// To build all of them, on a machine with two cores and nothing built yet, takes a third of it.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// All tests of all packages.
pub(crate) const ALL: &[&str] = &["--workspace"];

/// A program of tests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Of its package, below the root.
    folder: PathBuf,
    target: String,
    executable: PathBuf,
}

/// Builds the test programs that these arguments of `cargo test` choose, with network if cargo wants it.
pub(crate) fn programs(root: &Path, chosen: &[&str]) -> Result<Vec<Program>> {
    let mut cargo = run::command(root, run::cargo());
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]).args(chosen);
    let mut programs = Vec::new();
    let tally = run::watched("cargo test --no-run", cargo, BUILD_LIMIT, |line| {
        programs.extend(Program::read(root, line));
    })?;
    if tally.failed > 0 {
        bail!("cargo test --no-run {} failed", chosen.join(" "));
    }
    // Cargo tells of them as they become ready.
    programs.sort_by(|one, other| (&one.folder, &one.target).cmp(&(&other.folder, &other.target)));
    Ok(programs)
}

/// The program of one file of the tests that see the binary from outside.
pub(crate) fn black_box(root: &Path, target: &str) -> Result<Program> {
    let mut programs = programs(root, ALL)?.into_iter();
    let found = programs.find(|program| program.is_of(TESTS) && program.target == target);
    found.with_context(|| format!("no tests of {target}"))
}

impl Program {
    /// What cargo tells of one that is built.
    fn read(root: &Path, line: &str) -> Option<Program> {
        let told: Value = serde_json::from_str(line).ok()?;
        let executable = told["executable"].as_str().filter(|_| told["profile"]["test"] == true)?;
        let folder = Path::new(told["manifest_path"].as_str()?).parent()?.strip_prefix(root).ok()?;
        let target = told["target"]["name"].as_str()?.to_owned();
        Some(Program { folder: folder.to_owned(), target, executable: executable.into() })
    }

    /// Whether it is of the package in this folder.
    pub(crate) fn is_of(&self, folder: &str) -> bool {
        self.folder == Path::new(folder)
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// What runs it as cargo does, with loopback alone.
    pub(crate) fn command(&self, root: &Path) -> Command {
        let mut command = run::in_namespace(root, &self.executable);
        command.current_dir(root.join(&self.folder));
        command
    }

    /// Runs its tests, chosen by the harness's own options.
    pub(crate) fn run(
        &self,
        root: &Path,
        options: &[&str],
        limit: Duration,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Tally> {
        println!("\n     Running {self}");
        let mut command = self.command(root);
        command.args(options);
        prepare(&mut command);
        run::counted(&self.target, command, limit)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.target, self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_what_cargo_tells() {
        let line = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/src/crates/net/Cargo.toml",
                "target":{{"kind":["test"],"name":"flow"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let read = |line: &str| Program::read(Path::new("/src"), line);
        let program = read(&line(true, r#""/src/target/debug/deps/flow-1""#)).unwrap();
        assert_eq!(
            (program.target(), program.is_of("crates/net"), program.is_of("net")),
            ("flow", true, false)
        );
        assert_eq!(program.executable, Path::new("/src/target/debug/deps/flow-1"));
        assert_eq!(read(&line(true, "null")), None, "a library");
        assert_eq!(read(&line(false, r#""/src/target/debug/rawtorrent""#)), None, "no tests");
        assert_eq!(read("   Compiling rawtorrent-net v0.1.0"), None);
    }
}
