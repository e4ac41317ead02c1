//! Builds the image from the `Dockerfile`, and runs it, without a registry of images.
//!
//! The image that the Dockerfile begins `FROM` is stood in for by one made here: a small Debian from debootstrap
//! under the same name, with this machine's Rust mounted into it, which optimises less. Everything after `FROM` is the
//! real thing. It is built and run in a network namespace that has only loopback, from a store of its own below `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::run::{self, Tally, shown};

const IMAGE: &str = "rawtorrent";
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// What the official image has beside Rust.
const PACKAGES: &str = "--include=ca-certificates,gcc,libc6-dev";

pub(crate) fn run(root: &Path) -> Result<Tally> {
    let dockerfile = root.join("Dockerfile");
    let text = fs::read_to_string(&dockerfile).with_context(|| dockerfile.display().to_string())?;
    let base = base_image(&text).context("the Dockerfile begins FROM no image of Rust")?;
    let house = Containers { root, dir: root.join("target/container") };

    if !house.has_image(base)? {
        house.make_base(base)?;
    }
    let mut tally = Tally::default();
    tally.add(run::passed("docker build", house.build()?, LIMIT)?);
    if tally.failed == 0 {
        house.expect_static_and_not_root()?;
        tally.add(run::passed("docker run: --version", house.run(&["--version"]), LIMIT)?);
        tally.add(run::passed("docker run: demo", house.run(&["demo"]), LIMIT)?);
        house.forget_older_images()?;
    }
    Ok(tally)
}

/// The image of the first stage.
fn base_image(dockerfile: &str) -> Option<&str> {
    let from = dockerfile.lines().find_map(|line| line.strip_prefix("FROM "))?;
    from.split(' ').next().filter(|image| image.starts_with("rust:"))
}

struct Containers<'a> {
    root: &'a Path,
    /// Store, caches and scratch space.
    dir: PathBuf,
}

impl Containers<'_> {
    fn has_image(&self, image: &str) -> Result<bool> {
        let status = self.store(run::command(self.root, "podman")).args(["image", "exists", image]).status();
        match status.context("podman")?.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => {
                bail!("podman can't use its store; if the checkout was moved, remove {}", self.dir.display())
            }
        }
    }

    /// Debian and a place to mount Rust at. Half a minute, once.
    fn make_base(&self, image: &str) -> Result<()> {
        let system = self.dir.join("debian");
        if system.exists() {
            fs::remove_dir_all(&system)?;
        }
        fs::create_dir_all(&self.dir)?;
        let mut debootstrap = run::command(self.root, "debootstrap");
        debootstrap.args(["--variant=minbase", PACKAGES, "bookworm"]).arg(&system);
        must(debootstrap, "debootstrap")?;

        let bin = system.join("usr/local/cargo/bin");
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(system.join("usr/local/rust"))?;
        for tool in ["cargo", "rustc"] {
            std::os::unix::fs::symlink(Path::new("/usr/local/rust/bin").join(tool), bin.join(tool))?;
        }
        let file = self.dir.join("base.Dockerfile");
        fs::write(
            &file,
            "FROM scratch\nCOPY . /\nENV CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true \
             CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
             PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        )?;
        let mut build = self.buildah_bud();
        build.arg("--tag").arg(format!("docker.io/library/{image}")).arg("--file").arg(&file).arg(&system);
        must(build, "stand-in base image")?;
        fs::remove_dir_all(&system)?;
        Ok(())
    }

    /// `docker build -t rawtorrent .`, with Rust, the crates that cargo has already fetched, and what was compiled
    /// last time mounted in.
    fn build(&self) -> Result<Command> {
        let rust = output(run::command(self.root, "rustc").args(["--print", "sysroot"]))?;
        let target = self.dir.join("cargo-target");
        fs::create_dir_all(&target)?;
        let registry = cargo_home()?.join("registry");

        let mut build = self.buildah_bud();
        build.arg("--volume").arg(format!("{rust}:/usr/local/rust:ro"));
        build.arg("--volume").arg(format!("{}:/usr/local/cargo/registry", registry.display()));
        build.arg("--volume").arg(format!("{}:/src/target", target.display()));
        build.args(["--tag", IMAGE]).arg(self.root);
        Ok(build)
    }

    /// `docker run --rm rawtorrent ARGS`, with a limit on files and processes as any machine should have.
    fn run(&self, args: &[&str]) -> Command {
        let mut command = self.store(run::in_namespace(self.root, "podman"));
        command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--rm", "--pull", "never"]);
        command.args(["--network", "none", "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]);
        command.arg(IMAGE).args(args);
        command
    }

    /// That the binary runs in an empty image shows that it is static; that the image is empty is seen here.
    fn expect_static_and_not_root(&self) -> Result<()> {
        let mut inspect = self.store(run::command(self.root, "podman"));
        inspect.args([
            "image",
            "inspect",
            "--format",
            "{{.Config.User}} {{len .RootFS.Layers}} {{.Size}}",
            IMAGE,
        ]);
        let facts = output(&mut inspect)?;
        println!("image: user, layers, bytes: {facts}");
        let mut facts = facts.split(' ');
        ensure!(facts.next() == Some("1000:1000"), "the image must not run as root");
        ensure!(facts.next() == Some("1"), "the image must hold one layer on nothing");
        Ok(())
    }

    fn forget_older_images(&self) -> Result<()> {
        output(self.store(run::command(self.root, "podman")).args(["image", "prune", "--force"]))?;
        Ok(())
    }

    fn buildah_bud(&self) -> Command {
        let mut command = self.store(run::in_namespace(self.root, "buildah"));
        command.args(["bud", "--isolation", "chroot", "--pull-never", "--layers=false"]);
        command
    }

    /// Adds the options that keep images and containers below `target/`.
    fn store(&self, mut command: Command) -> Command {
        command.arg("--root").arg(self.dir.join("store")).arg("--runroot").arg(self.dir.join("run"));
        command.args(["--storage-driver", "vfs"]);
        command
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

fn must(command: Command, what: &str) -> Result<()> {
    let tally = run::counted(what, command, LIMIT)?;
    ensure!(tally.failed == 0, "{}", tally.failures.join("; "));
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| shown(command))?;
    ensure!(output.status.success(), "{}: {}", shown(command), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_image_is_read_from_the_dockerfile() {
        assert_eq!(base_image("# x\nFROM rust:1.95-slim AS build\nFROM scratch\n"), Some("rust:1.95-slim"));
        assert_eq!(base_image("FROM scratch\n"), None);
    }
}
