//! A network namespace that has nothing but loopback, and its own names for hosts.

use std::env;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Set for the copy of ourselves that `unshare` starts, so that it doesn't start another one.
const INSIDE: &str = "RAWTORRENT_INSIDE_NETNS";

/// Interfaces that some kernels put into every new namespace; they are down and lead nowhere.
const KERNEL_TUNNELS: &[&str] =
    &["tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];

/// Returns once this process is in namespaces of its own for network and mounts; it starts itself again through
/// `unshare` if it isn't.
///
/// # Errors
/// `unshare` is missing or not allowed, or there is more than loopback after all.
pub fn enter() -> Result<()> {
    if env::var_os(INSIDE).is_some() {
        let others = other_interfaces()?;
        ensure!(
            others.is_empty(),
            "refusing to start other people's clients: the network namespace has more than loopback: {}",
            others.join(", ")
        );
        return Ok(());
    }
    let options = if rustix::process::geteuid().is_root() { "-nm" } else { "-rnm" };
    let error = Command::new("unshare")
        .arg(options)
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    bail!("cannot run `unshare {options}` (Debian package util-linux): {error}");
}

/// Brings loopback up and gives it `addresses`.
///
/// `global` is the address with which a program finds that it can reach the world over IPv6, should it look which
/// one a far destination has as its source; nothing can in fact be reached.
///
/// # Errors
/// `ip` is missing, or the kernel refuses.
pub fn set_up(addresses: &[IpAddr], global: IpAddr) -> Result<()> {
    // Some container hosts switch IPv6 off by default, in new namespaces too.
    let _ = fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0");
    let mut script = String::from("link set lo up\n");
    for address in addresses {
        // Without `nodad`, an IPv6 address may not be bound to until the kernel has made sure that it is alone.
        let rest = if address.is_ipv4() { "/32 dev lo" } else { "/128 dev lo nodad" };
        script.push_str(&format!("address replace {address}{rest}\n"));
    }
    script.push_str(&format!("route replace 2000::/3 dev lo src {global}\n"));
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run `ip` (Debian package iproute2)")?;
    ip.stdin.take().context("stdin is piped")?.write_all(script.as_bytes())?;
    ensure!(ip.wait()?.success(), "`ip` could not set up loopback");
    Ok(())
}

/// Gives `names` to addresses, for this process and its children alone.
///
/// # Errors
/// `dir` cannot be written to, or the kernel refuses the mount.
pub fn name_hosts(names: &[(String, IpAddr)], dir: &Path) -> Result<()> {
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for (name, address) in names {
        hosts.push_str(&format!("{address} {name}\n"));
    }
    let path = dir.join("hosts");
    fs::write(&path, hosts)?;
    let status = Command::new("mount").arg("--bind").arg(path).arg("/etc/hosts").status();
    ensure!(
        status.context("cannot run `mount`")?.success(),
        "cannot put another file in the place of /etc/hosts"
    );
    Ok(())
}

/// Covers a folder with an empty one in memory, which this process and its children alone see, and which is gone when
/// they are.
///
/// # Errors
/// The folder is not there, or the kernel refuses the mount.
pub fn cover(dir: &Path) -> Result<()> {
    let status = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(dir).status();
    ensure!(status.context("cannot run `mount`")?.success(), "cannot cover {}", dir.display());
    Ok(())
}

/// Interfaces of this namespace besides loopback. Read from `/proc`: `/sys` may still show another namespace.
fn other_interfaces() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/net/dev").context("/proc/net/dev")?;
    let names = table.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    Ok(names.filter(|name| *name != "lo" && !KERNEL_TUNNELS.contains(name)).map(str::to_owned).collect())
}
