//! A sans-IO crate cannot name a socket, a file, a clock or a thread, because it cannot name `std`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Findings;
use super::floors::Package;
use super::text::{rust_files, without_comment, without_tests};

/// Reads the sans-IO crates: `no_std` is declared, and `std` isn't brought back outside tests.
pub(super) fn check(packages: &[Package], findings: &mut Findings) -> Result<()> {
    for package in packages.iter().filter(|package| package.is_sans_io()) {
        let root_file = package.dir.join("src/lib.rs");
        let text = fs::read_to_string(&root_file).with_context(|| root_file.display().to_string())?;
        if !declares_no_std(&text) {
            findings.errors.push(format!("{} is sans-IO: its lib.rs needs `#![no_std]`", package.name));
        }
        for file in rust_files(&package.dir.join("src"))? {
            let text = fs::read_to_string(&file)?;
            findings.errors.extend(
                lines_that_name_std(&text)
                    .into_iter()
                    .map(|line| format!("{}:{line}: `extern crate std` outside tests", file.display())),
            );
        }
    }
    Ok(())
}

fn declares_no_std(text: &str) -> bool {
    text.lines().any(|line| line == "#![no_std]")
}

fn lines_that_name_std(text: &str) -> Vec<usize> {
    let text = without_tests(text);
    let code = text.lines().map(without_comment).enumerate();
    code.filter(|(_, line)| line.contains("extern crate std")).map(|(index, _)| index + 1).collect()
}

/// Compiles a crate that uses all sans-IO crates and brings a panic handler of its own.
///
/// `std` has a panic handler too, and the compiler allows one: if any crate in the tree links `std`, through
/// whatever feature of whatever dependency, this does not compile. So no target without `std` has to be
/// installed. The crate is a workspace of its own, since in ours the features that others ask for would be mixed in.
pub(super) fn compile(root: &Path, packages: &[Package], findings: &mut Findings) -> Result<()> {
    let brains: Vec<&Package> = packages.iter().filter(|package| package.is_sans_io()).collect();
    let crates = brains.iter().map(|package| (package.package.as_str(), package.dir.as_path())).collect();
    let dir = root.join("target/no-std");
    if let Some(complaint) = compile_with_own_panic_handler(&dir, &crates, Some(&root.join("Cargo.lock")))? {
        findings.errors.push(complaint);
    }
    Ok(())
}

fn compile_with_own_panic_handler(
    dir: &Path,
    crates: &BTreeSet<(&str, &Path)>,
    lock: Option<&Path>,
) -> Result<Option<String>> {
    let mut manifest = String::from(
        "[package]\nname = \"no-std\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n",
    );
    let mut source = String::from(
        "#![no_std]\n#[panic_handler]\nfn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n",
    );
    for (index, (package, path)) in crates.iter().enumerate() {
        writeln!(manifest, "c{index} = {{ package = {package:?}, path = {path:?} }}")?;
        writeln!(source, "use c{index} as _;")?;
    }
    fs::create_dir_all(dir.join("src"))?;
    fs::write(dir.join("Cargo.toml"), manifest)?;
    fs::write(dir.join("src/lib.rs"), source)?;
    if let Some(lock) = lock {
        fs::copy(lock, dir.join("Cargo.lock"))?;
    }

    let output = Command::new(crate::run::cargo())
        .args(["check", "--quiet", "--offline", "--target-dir", "target"])
        .current_dir(dir)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .context("cargo check")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let complaint = if output.status.success() {
        None
    } else if stderr.contains("`panic_impl`") {
        Some(format!("a sans-IO crate links std, itself or through a dependency's feature:\n{stderr}"))
    } else {
        Some(format!("the sans-IO crates don't compile without std:\n{stderr}"))
    };
    Ok(complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_declaration_is_found() {
        assert!(declares_no_std("//! Docs.\n#![no_std]\n"));
        assert!(!declares_no_std("//! #![no_std]\n"));
        assert!(!declares_no_std("#![cfg_attr(not(feature = \"std\"), no_std)]\n"));
    }

    #[test]
    fn std_is_allowed_in_tests_only() {
        assert_eq!(lines_that_name_std("extern crate alloc;\nextern crate std;\n"), [2]);
        assert_eq!(lines_that_name_std("#[cfg(feature = \"std\")]\nextern crate std;\n"), [2]);
        assert_eq!(lines_that_name_std("#[cfg(test)]\nextern crate std;\n"), [0; 0]);
        assert_eq!(lines_that_name_std("#[cfg(test)]\nmod tests {\n    extern crate std;\n}\n"), [0; 0]);
        assert_eq!(lines_that_name_std("// extern crate std;\n"), [0; 0]);
    }

    #[test]
    fn a_crate_that_links_std_does_not_compile() {
        let dir = tempfile::tempdir().unwrap();
        let plant = |name: &str, source: &str| {
            let at = dir.path().join(name);
            fs::create_dir_all(at.join("src")).unwrap();
            let manifest =
                format!("[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n");
            fs::write(at.join("Cargo.toml"), manifest).unwrap();
            fs::write(at.join("src/lib.rs"), source).unwrap();
            at
        };
        let clean = plant("clean", "#![no_std]\nextern crate alloc;\npub use alloc::vec::Vec;\n");
        let dirty = plant("dirty", "#![no_std]\nextern crate std as hidden;\npub use hidden::fs::File;\n");

        let good = BTreeSet::from([("clean", clean.as_path())]);
        assert_eq!(compile_with_own_panic_handler(&dir.path().join("a"), &good, None).unwrap(), None);
        let bad = BTreeSet::from([("clean", clean.as_path()), ("dirty", dirty.as_path())]);
        let complaint = compile_with_own_panic_handler(&dir.path().join("b"), &bad, None).unwrap().unwrap();
        assert!(complaint.contains("links std"), "{complaint}");
    }
}
