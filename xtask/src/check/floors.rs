//! Who may use whom.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Findings;

/// One row of the table of crates in `ARCHITECTURE.md`.
#[derive(Debug)]
struct Row {
    name: &'static str,
    floor: u8,
    may_use: MayUse,
    sans_io: Option<SansIo>,
}

#[derive(Debug)]
enum MayUse {
    These(&'static [&'static str]),
    AllBelow,
}

/// A crate that is `no_std`, and the crates from outside that it may use (without their default features).
#[derive(Debug)]
struct SansIo {
    external: &'static [&'static str],
}

/// The table. A crate that isn't in it doesn't pass: first decide where it stands.
const ROWS: &[Row] = &[
    brain("types", 1, &[], &["thiserror"]),
    brain("hash", 1, &[], &["cpufeatures", "sha1", "sha2"]),
    brain("bencode", 1, &[], &["thiserror"]),
    // What letters are made of (Unicode's NFD), so that names are told apart as file systems do.
    brain("metainfo", 2, &["types", "hash", "bencode"], &["icu_normalizer", "thiserror"]),
    brain("wire", 2, &["types", "hash", "bencode"], &["thiserror"]),
    brain("tracker", 2, &["types", "bencode"], &["fastrand", "thiserror"]),
    // CRC-32C for node ids (BEP 42), Ed25519 for mutable items (BEP 44).
    brain("dht", 2, &["types", "hash", "bencode"], &["crc", "ed25519-dalek", "fastrand", "thiserror"]),
    brain("lsd", 2, &["types"], &["fastrand", "thiserror"]),
    brain("utp", 2, &["types"], &["fastrand", "thiserror"]),
    // CRC-32C for the priority of peers (BEP 40).
    brain("swarm", 3, &["types", "hash", "metainfo", "wire"], &["crc", "fastrand", "thiserror"]),
    // CRC-32C of what is written, and how that is encoded.
    brain(
        "record",
        4,
        &["types", "hash", "wire", "swarm", "trace"],
        &["crc", "postcard", "serde", "thiserror"],
    ),
    brain("trace", 3, &["types", "wire", "swarm"], &["serde", "thiserror"]),
    brain("session", 3, &["types", "swarm"], &["fastrand", "thiserror"]),
    // Of `swarm` it knows how much a file is wanted.
    brain("import", 4, &["types", "bencode", "metainfo", "swarm"], &["thiserror"]),
    driver("buf", 4, MayUse::These(&[])),
    driver("storage", 4, MayUse::These(&["types", "hash", "metainfo", "buf"])),
    driver("store", 4, MayUse::These(&["hash"])),
    driver("heap", 4, MayUse::These(&[])),
    driver("net", 4, MayUse::These(&["types", "wire", "tracker", "dht", "lsd", "utp", "buf"])),
    driver("sim", 4, MayUse::AllBelow),
    driver("engine", 5, MayUse::AllBelow),
    driver("api", 6, MayUse::These(&["types"])),
    driver("daemon", 7, MayUse::These(&["engine", "api"])),
    // What `trace` tells, and explains, is told in the channel in the same words; torrents that an admin adds are looked at.
    driver("discord", 7, MayUse::These(&["api", "trace", "hash", "metainfo", "types"])),
    // Its commands `dht` and `scrape` ask without the engine, which has no use for what only tells people something.
    driver(
        "cli",
        8,
        MayUse::These(&[
            "engine", "daemon", "discord", "api", "metainfo", "record", "trace", "sim", "dht", "tracker",
            "net", "bencode", "heap", "types",
        ]),
    ),
    // Beside the house: black-box tests know the binary only, and nobody uses them or this tool but benchmarks, which
    // drive the same clients.
    driver("tests", 9, MayUse::These(&[])),
    driver("bench", 9, MayUse::These(&["tests"])),
    driver("xtask", 9, MayUse::These(&[])),
];

const fn brain(
    name: &'static str,
    floor: u8,
    may_use: &'static [&'static str],
    external: &'static [&'static str],
) -> Row {
    Row { name, floor, may_use: MayUse::These(may_use), sans_io: Some(SansIo { external }) }
}

const fn driver(name: &'static str, floor: u8, may_use: MayUse) -> Row {
    Row { name, floor, may_use, sans_io: None }
}

fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// A package of the workspace, as its manifest has it.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name in the table: that of its directory.
    pub(super) name: String,
    /// Its name in the manifest.
    pub(super) package: String,
    pub(super) dir: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    package: String,
    /// Set for a package of this workspace: its name in the table.
    ours: Option<String>,
    dev: bool,
    default_features: bool,
}

impl Package {
    pub(super) fn is_sans_io(&self) -> bool {
        row(&self.name).is_some_and(|row| row.sans_io.is_some())
    }
}

/// Reads the workspace's manifests through cargo, without network.
pub(super) fn read(root: &Path) -> Result<Vec<Package>> {
    let output = Command::new(crate::run::cargo())
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    parse(&serde_json::from_slice(&output.stdout)?)
}

fn parse(metadata: &Value) -> Result<Vec<Package>> {
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    packages.iter().map(parse_package).collect()
}

fn parse_package(package: &Value) -> Result<Package> {
    let manifest = Path::new(package["manifest_path"].as_str().context("package without manifest_path")?);
    let dir = manifest.parent().context("manifest without directory")?;
    let dependencies = package["dependencies"].as_array().context("package without dependencies")?;
    Ok(Package {
        name: dir_name(dir)?,
        package: package["name"].as_str().context("package without name")?.to_owned(),
        dir: dir.to_path_buf(),
        dependencies: dependencies.iter().map(parse_dependency).collect::<Result<_>>()?,
    })
}

fn parse_dependency(dependency: &Value) -> Result<Dependency> {
    Ok(Dependency {
        package: dependency["name"].as_str().context("dependency without name")?.to_owned(),
        ours: dependency["path"].as_str().map(|path| dir_name(Path::new(path))).transpose()?,
        dev: dependency["kind"].as_str() == Some("dev"),
        default_features: dependency["uses_default_features"].as_bool().unwrap_or(true),
    })
}

fn dir_name(dir: &Path) -> Result<String> {
    let name = dir.file_name().with_context(|| format!("{} has no name", dir.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Checks every edge of the workspace against the table.
pub(super) fn check(packages: &[Package], findings: &mut Findings) {
    for package in packages {
        match row(&package.name) {
            Some(row) => check_package(package, row, findings),
            None => findings.errors.push(format!(
                "crate {} is not in the table of floors: give it a row in xtask/src/check/floors.rs and in ARCHITECTURE.md",
                package.name
            )),
        }
    }
}

fn check_package(package: &Package, row: &Row, findings: &mut Findings) {
    let expected = match row.name {
        "cli" => "rawtorrent".to_owned(),
        "xtask" => "xtask".to_owned(),
        name => format!("rawtorrent-{name}"),
    };
    if package.package != expected {
        findings.errors.push(format!("{} is called {}, not {expected}", row.name, package.package));
    }
    for dependency in &package.dependencies {
        let complaint = match &dependency.ours {
            Some(used) => complaint_about_ours(row, used, dependency.dev),
            None => complaint_about_external(row, dependency),
        };
        findings.errors.extend(complaint);
    }
}

/// Crates of our own: those of the row; tests may use anything that doesn't stand higher, and a sans-IO crate's
/// tests stay sans-IO.
fn complaint_about_ours(user: &Row, used: &str, dev: bool) -> Option<String> {
    let name = user.name;
    let Some(used) = row(used) else {
        return Some(format!("{name} uses {used}, which is not in the table of floors"));
    };
    if dev {
        let upward = used.floor > user.floor;
        let into_io = user.sans_io.is_some() && used.sans_io.is_none();
        return (upward || into_io).then(|| {
            format!("the tests of {name} (floor {}) use {} (floor {})", user.floor, used.name, used.floor)
        });
    }
    let allowed = match user.may_use {
        MayUse::These(list) => list.contains(&used.name),
        MayUse::AllBelow => used.floor < user.floor,
    };
    (!allowed).then(|| {
        format!(
            "{name} (floor {}) may not use {} (floor {}): see ARCHITECTURE.md",
            user.floor, used.name, used.floor
        )
    })
}

/// Crates of others: a sans-IO crate has a list, everybody else is free.
fn complaint_about_external(user: &Row, dependency: &Dependency) -> Option<String> {
    let sans_io = user.sans_io.as_ref()?;
    let Dependency { package, .. } = dependency;
    if dependency.dev {
        None
    } else if !sans_io.external.contains(&package.as_str()) {
        Some(format!("{} is sans-IO and may not use {package}; it may use {:?}", user.name, sans_io.external))
    } else if dependency.default_features {
        Some(format!("{} is no_std and must use {package} with default-features = false", user.name))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors_of(package: &Value) -> Vec<String> {
        let packages = parse(&json!({ "packages": [package] })).unwrap();
        let mut findings = Findings::default();
        check(&packages, &mut findings);
        findings.errors
    }

    fn package(name: &str, dependencies: &[Value]) -> Value {
        json!({
            "name": if name == "cli" { "rawtorrent".to_owned() } else { format!("rawtorrent-{name}") },
            "manifest_path": format!("/house/crates/{name}/Cargo.toml"),
            "dependencies": dependencies,
        })
    }

    fn ours(name: &str, kind: Option<&str>) -> Value {
        let path = format!("/house/crates/{name}");
        json!({ "name": format!("rawtorrent-{name}"), "path": path, "kind": kind, "uses_default_features": true })
    }

    fn external(name: &str, kind: Option<&str>, default_features: bool) -> Value {
        json!({ "name": name, "path": null, "kind": kind, "uses_default_features": default_features })
    }

    #[test]
    fn edges_of_the_table_pass() {
        let edges = [ours("types", None), ours("wire", None), external("thiserror", None, false)];
        assert_eq!(errors_of(&package("swarm", &edges)), Vec::<String>::new());
        assert_eq!(errors_of(&package("engine", &[ours("bencode", None)])), Vec::<String>::new());
        assert_eq!(errors_of(&package("net", &[external("tokio", None, true)])), Vec::<String>::new());
    }

    #[test]
    fn an_edge_upward_fails() {
        let errors = errors_of(&package("wire", &[ours("swarm", None)]));
        assert!(errors[0].contains("wire (floor 2) may not use swarm (floor 3)"), "{errors:?}");
        assert_eq!(errors_of(&package("engine", &[ours("cli", None)])).len(), 1);
    }

    #[test]
    fn an_edge_downward_that_is_not_listed_fails() {
        assert_eq!(errors_of(&package("tracker", &[ours("hash", None)])).len(), 1);
        assert_eq!(errors_of(&package("cli", &[ours("storage", None)])).len(), 1);
    }

    #[test]
    fn tests_may_look_sideways_but_not_upward_or_into_io() {
        assert_eq!(errors_of(&package("swarm", &[ours("metainfo", Some("dev"))])).len(), 0);
        assert_eq!(errors_of(&package("wire", &[ours("tracker", Some("dev"))])).len(), 0);
        assert_eq!(errors_of(&package("wire", &[ours("swarm", Some("dev"))])).len(), 1);
        assert_eq!(errors_of(&package("net", &[ours("engine", Some("dev"))])).len(), 1);
    }

    #[test]
    fn a_brain_with_a_foreign_crate_fails() {
        let errors = errors_of(&package("swarm", &[external("tokio", None, false)]));
        assert!(errors[0].contains("may not use tokio"), "{errors:?}");
        assert_eq!(errors_of(&package("swarm", &[external("proptest", Some("dev"), true)])).len(), 0);
    }

    #[test]
    fn a_brain_with_default_features_fails() {
        let errors = errors_of(&package("wire", &[external("thiserror", None, true)]));
        assert!(errors[0].contains("default-features = false"), "{errors:?}");
    }

    #[test]
    fn a_crate_without_a_row_or_with_a_wrong_name_fails() {
        assert_eq!(errors_of(&package("attic", &[])).len(), 1);
        let mut renamed = package("wire", &[]);
        renamed["name"] = json!("wire");
        assert_eq!(errors_of(&renamed).len(), 1);
    }

    #[test]
    fn no_row_lists_a_crate_above_it() {
        for user in ROWS {
            let MayUse::These(list) = user.may_use else { continue };
            for used in list {
                let used = row(used).unwrap();
                assert!(used.floor <= user.floor, "{} lists {}", user.name, used.name);
                assert!(
                    user.sans_io.is_none() || used.sans_io.is_some(),
                    "{} lists {}",
                    user.name,
                    used.name
                );
            }
        }
    }
}
