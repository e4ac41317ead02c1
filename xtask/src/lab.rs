//! Swarms of the real binary over emulated lines, beside simulated ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::run;
use crate::suite::{build_binary, must_build};

/// Five swarms of a minute, nine times each.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// Runs of each swarm. The last time of one run differs from the next by several percent: medians of fewer are chance.
const RUNS: &str = "9";
/// The swarms that are run when none is named.
const SWARMS: &str = "tests/scenarios";

/// Builds all it takes, measures the lines, and compares; `true` when simulated times are close to real ones.
pub(crate) fn run(root: &Path, files: &[String]) -> Result<bool> {
    build_binary(root)?;
    must_build(
        root,
        &["build", "--locked", "--release", "--package", "rawtorrent-tests", "--bin", "wanlab"],
    )?;
    let wanlab = root.join("target/release/wanlab");

    let mut selftest = run::command(root, &wanlab);
    selftest.arg("selftest");
    let lines = run::passed("wanlab selftest", selftest, LIMIT)?;

    let files = if files.is_empty() { swarms(root)? } else { files.iter().map(PathBuf::from).collect() };
    let mut compare = run::command(root, &wanlab);
    compare
        .args(["compare", "--runs", RUNS, "--binary"])
        .arg(root.join("target/release/rawtorrent"))
        .args(files);
    let times = run::passed("wanlab compare", compare, LIMIT)?;
    Ok(lines.failed == 0 && times.failed == 0)
}

fn swarms(root: &Path) -> Result<Vec<PathBuf>> {
    let dir = root.join(SWARMS);
    let entries = dir.read_dir().with_context(|| dir.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
