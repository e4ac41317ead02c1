//! Every fuzz target of `fuzz/`, a few seconds each: they are kept alive and the shallow bugs are found. Long runs
//! are by hand: `cargo fuzz run TARGET`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::needs;
use crate::run::{self, Tally};

const SECONDS_EACH: u32 = 10;
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(root: &Path) -> Result<Tally> {
    let manifest = root.join("fuzz/Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let targets = targets(&text);
    ensure!(!targets.is_empty(), "{} names no targets", manifest.display());

    let built = run::counted("cargo fuzz build", cargo_fuzz(root, &["build"]), BUILD_LIMIT)?;
    ensure!(built.failed == 0, "the fuzz targets don't build");
    let mut tally = Tally::default();
    for target in targets {
        let seconds = format!("-max_total_time={SECONDS_EACH}");
        let args = ["run", target, "--", &seconds, "-timeout=10", "-verbosity=0", "-print_final_stats=1"];
        tally.add(run::passed(&format!("fuzz {target}"), cargo_fuzz(root, &args), RUN_LIMIT)?);
    }
    Ok(tally)
}

/// The names of the `[[bin]]` tables.
fn targets(manifest: &str) -> Vec<&str> {
    let tables = manifest.split("\n[").filter_map(|table| table.strip_prefix("[bin]]"));
    tables
        .filter_map(|table| {
            let name = table.lines().find_map(|line| line.strip_prefix("name"))?;
            Some(name.trim_matches(|c: char| c.is_whitespace() || c == '=' || c == '"'))
        })
        .collect()
}

/// `cargo fuzz` wants a nightly compiler for its flags; the stable one knows them too when told so.
fn cargo_fuzz(root: &Path, args: &[&str]) -> Command {
    let program = needs::CARGO_FUZZ.path(root).unwrap_or_else(|| "cargo-fuzz".into());
    let mut command = run::command(root, program);
    command.arg("fuzz").args(args).env("RUSTC_BOOTSTRAP", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_the_manifest() {
        let manifest = "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"wire\"\npath = \"w.rs\"\n\n[[bin]]\nname=\"bencode\"\n";
        assert_eq!(targets(manifest), ["wire", "bencode"]);
        assert!(targets("[package]\nname = \"fuzz\"\n").is_empty());
    }
}
