//! `cargo xtask check`: what the compiler doesn't know about this house.
//!
//! - [`floors`]: a crate uses only the crates that its row in the table lists.
//! - [`no_std`]: the sans-IO crates can't reach `std`, not even through a dependency; this one compiles.
//! - [`limits`]: every limit has a test, and its row in `docs/limits.md`.
//! - [`promises`]: the tests that `SECURITY.md` names are there.
//! - [`supply`]: licences, sources and versions of what is built in, and who may be `unsafe`.
//! - [`text`]: no unbounded queue, no `todo!`, no file that has grown into two.

mod floors;
pub(crate) mod limits;
mod no_std;
mod promises;
mod supply;
mod text;

use std::path::Path;

use anyhow::Result;

/// What the checks found. Errors make the command fail, warnings are for people.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Runs all checks and prints what they found; `true` when there is no error.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let packages = floors::read(root)?;
    let mut findings = Findings::default();
    floors::check(&packages, &mut findings);
    no_std::check(&packages, &mut findings)?;
    text::check(root, &mut findings)?;
    limits::check(root, &mut findings)?;
    supply::check(root, &mut findings)?;
    promises::check(root, &mut findings)?;
    if findings.errors.is_empty() {
        no_std::compile(root, &packages, &mut findings)?;
    }

    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    for error in &findings.errors {
        println!("error: {error}");
    }
    let sans_io = packages.iter().filter(|package| package.is_sans_io()).count();
    println!(
        "check: {} crates, {sans_io} of them no_std; {} errors, {} warnings",
        packages.len(),
        findings.errors.len(),
        findings.warnings.len()
    );
    Ok(findings.errors.is_empty())
}
