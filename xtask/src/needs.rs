//! What the tests need from outside: found, installed where we may, or named together with the command that gets it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{self, Tally, shown};
use crate::suite::Step;

/// A program, Debian's package that has it, and the steps that can't do without.
struct Program {
    name: &'static str,
    package: &'static str,
    steps: &'static [Step],
}

const NAMESPACE: &[Step] =
    &[Step::Unit, Step::Cli, Step::Hostile, Step::Interop, Step::Fuzz, Step::Docker, Step::Bench];
const PARTNERS: &[Step] = &[Step::Interop, Step::Bench];

const PROGRAMS: &[Program] = &[
    program("unshare", "util-linux", NAMESPACE),
    program("ip", "iproute2", NAMESPACE),
    program("ss", "iproute2", &[Step::Bench]),
    program("transmission-daemon", "transmission-daemon", PARTNERS),
    program("aria2c", "aria2", PARTNERS),
    program("qbittorrent-nox", "qbittorrent-nox", &[Step::Interop]),
    program("rtorrent", "rtorrent", PARTNERS),
    program("deluged", "deluged", &[Step::Interop]),
    program("deluge-console", "deluge-console", &[Step::Interop]),
    program("opentracker", "opentracker", &[Step::Interop]),
    program("strace", "strace", &[Step::Cli, Step::Hostile]),
    program("tmux", "tmux", &[Step::Cli]),
    program("tshark", "tshark", &[Step::Cli]),
    program("systemd-analyze", "systemd", &[Step::Cli]),
    program("script", "bsdutils", &[Step::Cli, Step::Hostile]),
    program("python3", "python3", PARTNERS),
    program("mktorrent", "mktorrent", &[Step::Bench]),
    program("transmission-cli", "transmission-cli", PARTNERS),
    program("transmission-remote", "transmission-cli", &[Step::Interop]),
    program("transmission-create", "transmission-cli", &[Step::Bench]),
    program("nginx", "nginx-light", &[Step::Bench]),
    program("curl", "curl", &[Step::Bench]),
    program("c++", "g++", &[Step::Fuzz]),
    program("buildah", "buildah", &[Step::Docker]),
    program("podman", "podman", &[Step::Docker]),
    program("runc", "runc", &[Step::Docker]),
    program("debootstrap", "debootstrap", &[Step::Docker]),
];

const fn program(name: &'static str, package: &'static str, steps: &'static [Step]) -> Program {
    Program { name, package, steps }
}

/// A program that cargo installs, for this checkout alone.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// Whether it builds with the versions that its authors locked.
    locked: bool,
    steps: &'static [Step],
}

pub(crate) const CARGO_FUZZ: Tool =
    Tool { name: "cargo-fuzz", version: "^0.13", locked: true, steps: &[Step::Fuzz] };
/// The UDP tracker for IPv6: Debian's opentracker knows IPv4 alone.
const AQUATIC_UDP: Tool =
    Tool { name: "aquatic_udp", version: "^0.9", locked: false, steps: &[Step::Interop] };
/// For benchmarks that ask for it: to build it takes minutes.
pub(crate) const RQBIT: Tool = Tool { name: "rqbit", version: "^9", locked: true, steps: &[] };
const TOOLS: &[Tool] = &[CARGO_FUZZ, AQUATIC_UDP];
const TOOLS_DIR: &str = "target/tools";

const FROM_PYPI: [&str; 2] = ["libtorrent>=2.0.9", "schemathesis>=4"];
const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Makes sure that all that `steps` need is there, and that cargo has every crate of the lock file.
pub(crate) fn provide(root: &Path, steps: &[Step], install: bool) -> Result<Tally> {
    let wanted = |needed_by: &[Step]| needed_by.iter().any(|step| steps.contains(step));
    let mut missing = Missing::default();

    let absent: Vec<&Program> =
        PROGRAMS.iter().filter(|program| wanted(program.steps) && find(program.name).is_none()).collect();
    if !absent.is_empty() {
        let packages: Vec<&str> = absent.iter().map(|program| program.package).collect();
        if install && run::is_root() && is_debian() {
            apt_install(root, &packages)?;
        } else {
            let names: Vec<&str> = absent.iter().map(|program| program.name).collect();
            missing.add(&names.join(", "), &format!("sudo apt-get install {}", packages.join(" ")));
        }
    }
    if wanted(PARTNERS) && !has_python_packages(root) {
        let pip = pip_install(root);
        if install {
            install_python_packages(root)?;
        } else {
            missing.add("libtorrent and schemathesis for Python", &shown(&pip));
        }
    }
    for tool in TOOLS.iter().filter(|tool| wanted(tool.steps)) {
        tool.provide_or_name(root, install, &mut missing)?;
    }
    if wanted(&[Step::Docker]) && !run::is_root() {
        missing
            .add("root, for the container test", "sudo -E env \"PATH=$PATH\" cargo xtask test --only docker");
    }
    missing.into_result()?;
    fetch(root)
}

/// What is not there, each with the way to get it.
#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    fn add(&mut self, what: &str, how: &str) {
        self.0.push(format!("  missing: {what}\n    get it: {how}"));
    }

    fn into_result(self) -> Result<()> {
        ensure!(
            self.0.is_empty(),
            "not all that this needs is here\n{}\n  (as root on Debian, it is installed; `cargo xtask test --only` leaves steps out)",
            self.0.join("\n")
        );
        Ok(())
    }
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&run::search_path()).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && find("apt-get").is_some()
}

/// Installs packages without starting the services that some of them bring: a client or tracker that comes up by
/// itself would talk to the world.
fn apt_install(root: &Path, packages: &[&str]) -> Result<()> {
    let _quiet = NoServices::begin()?;
    let apt = |args: &[&str]| {
        let mut command = run::command(root, "apt-get");
        command.args(["-q", "-o", "Acquire::Retries=3"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
        run_quietly(command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())?;
    const SERVICES: [(&str, &str); 4] = [
        ("deluged", "deluged"),
        ("transmission-daemon", "transmission-daemon"),
        ("opentracker", "opentracker"),
        ("nginx-light", "nginx"),
    ];
    for (package, service) in SERVICES {
        if packages.contains(&package) && find("systemctl").is_some() {
            // Not at the next boot either. Where systemd doesn't run there is nothing to switch off.
            let _ = Command::new("systemctl")
                .args(["--quiet", "disable", service])
                .stderr(Stdio::null())
                .status();
        }
    }
    Ok(())
}

/// While it lives, Debian's package scripts start no services.
struct NoServices {
    ours: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<NoServices> {
        let ours = !Path::new(Self::POLICY).exists();
        if ours {
            fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").context(Self::POLICY)?;
            run_quietly(with_args(Command::new("chmod"), &["755", Self::POLICY]))?;
        }
        Ok(NoServices { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}

/// Where the tests' Python packages lie.
pub(crate) fn python_path(root: &Path) -> PathBuf {
    root.join("target/python")
}

fn has_python_packages(root: &Path) -> bool {
    let mut python = with_args(run::command(root, "python3"), &["-c", "import libtorrent, schemathesis"]);
    python.env("PYTHONPATH", python_path(root)).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// pip is a package of its own in Debian, and nobody else needs it here.
fn install_python_packages(root: &Path) -> Result<()> {
    let mut has_pip = with_args(run::command(root, "python3"), &["-m", "pip", "--version"]);
    if !has_pip.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        ensure!(
            run::is_root() && is_debian(),
            "missing: pip for Python\n  get it: sudo apt-get install python3-pip"
        );
        apt_install(root, &["python3-pip"])?;
    }
    run_quietly(pip_install(root))?;
    ensure!(has_python_packages(root), "Python cannot import all that was installed");
    Ok(())
}

fn pip_install(root: &Path) -> Command {
    let mut pip = with_args(run::command(root, "python3"), &["-m", "pip", "install", "--quiet", "--upgrade"]);
    pip.arg("--target").arg(python_path(root)).args(FROM_PYPI);
    pip
}

impl Tool {
    /// Where it is: below `target/`, or on the path.
    pub(crate) fn path(&self, root: &Path) -> Option<PathBuf> {
        let installed = root.join(TOOLS_DIR).join("bin").join(self.name);
        if installed.is_file() { Some(installed) } else { find(self.name) }
    }

    /// Makes sure that it is there.
    pub(crate) fn provide(&self, root: &Path, install: bool) -> Result<()> {
        let mut missing = Missing::default();
        self.provide_or_name(root, install, &mut missing)?;
        missing.into_result()
    }

    fn provide_or_name(&self, root: &Path, install: bool, missing: &mut Missing) -> Result<()> {
        match self.path(root) {
            Some(_) => {}
            None if install => run_quietly(self.install(root))?,
            None => missing.add(self.name, &shown(&self.install(root))),
        }
        Ok(())
    }

    fn install(&self, root: &Path) -> Command {
        let cargo = run::command(root, run::cargo());
        let mut cargo =
            with_args(cargo, &["install", self.name, "--version", self.version, "--root", TOOLS_DIR]);
        if self.locked {
            cargo.arg("--locked");
        }
        cargo
    }
}

/// Brings every crate of the lock files, so that what follows can do without network. Fails if one of them is old.
fn fetch(root: &Path) -> Result<Tally> {
    // Fuzz targets are a workspace of their own.
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let args = ["fetch", "--locked", "--manifest-path", manifest];
        run_quietly(with_args(run::command(root, run::cargo()), &args))?;
    }
    Ok(Tally::default())
}

fn with_args(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

fn run_quietly(command: Command) -> Result<()> {
    let line = shown(&command);
    println!("{line}");
    let tally = run::counted(&line, command, INSTALL_LIMIT)?;
    if tally.failed > 0 {
        bail!("{}", tally.failures.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_way_to_get_it() {
        let mut missing = Missing::default();
        missing.add("rtorrent", "sudo apt-get install rtorrent");
        let error = missing.into_result().unwrap_err().to_string();
        assert!(error.contains("missing: rtorrent"), "{error}");
        assert!(error.contains("sudo apt-get install rtorrent"), "{error}");
        assert!(Missing::default().into_result().is_ok());
    }
}
