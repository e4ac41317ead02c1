//! The namespaces, made and unmade.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::LinkNameSpaceType;

use super::router::{self, Counters, MTU, Node};
use super::tun;
use crate::process;

/// What the name of every namespace begins with.
const PREFIX: &str = "rt-lab-";
/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// The name of the device in each.
const DEVICE: &str = "wan0";
/// How long `ip` may take, also on a busy machine.
const IP_LIMIT: Duration = Duration::from_secs(20);

/// A network of namespaces, one per node; gone when dropped, and with [the process's mounts](super::enter) in any case.
#[derive(Debug)]
pub struct Lab {
    namespaces: Vec<String>,
    stop: Arc<AtomicBool>,
    router: Option<JoinHandle<Result<Counters>>>,
}

impl Lab {
    /// Makes it; a process has one at a time. `sysctls` are set in every namespace.
    ///
    /// # Errors
    /// [`enter`](super::enter) was not called; no `ip`, no TUN devices.
    pub fn new(nodes: &[Node], sysctls: &[Sysctl]) -> Result<Lab> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut lab = Lab { namespaces: Vec::new(), stop, router: None };
        let devices = (0..nodes.len()).map(|node| lab.add_node(node, sysctls)).collect::<Result<Vec<_>>>()?;
        let (nodes, stop) = (nodes.to_owned(), Arc::clone(&lab.stop));
        lab.router = Some(thread::Builder::new().name("router".to_owned()).spawn(move || {
            run_before_others();
            router::run(&nodes, &devices, &stop)
        })?);
        Ok(lab)
    }

    fn add_node(&mut self, node: usize, sysctls: &[Sysctl]) -> Result<OwnedFd> {
        let number = u8::try_from(node)?;
        let name = format!("{PREFIX}{}", number + 1);
        ip(&["netns", "add", &name])?;
        self.namespaces.push(name.clone());
        let device = inside(&name, || -> Result<OwnedFd> {
            sysctls.iter().try_for_each(Sysctl::set)?;
            tun::open(DEVICE).context("cannot make a TUN device")
        })??;
        let address = format!("{}/24", router::address(number));
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "address", "add", &address, "dev", DEVICE])?;
        ip(&["-n", &name, "link", "set", DEVICE, "mtu", &MTU.to_string(), "up"])?;
        Ok(device)
    }

    /// A command that runs `program` as a node. It ends when the thread that starts it does, however that ends.
    #[must_use]
    pub fn command(&self, node: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespaces[node], "setpriv", "--pdeathsig", "KILL"])
            .arg(program);
        command
    }

    /// Runs `task` as a node, on a thread of its own.
    ///
    /// # Errors
    /// The namespace is gone.
    ///
    /// # Panics
    /// If `task` does.
    pub fn inside<T: Send>(&self, node: usize, task: impl FnOnce() -> T + Send) -> Result<T> {
        inside(&self.namespaces[node], task)
    }

    /// Ends it, and tells what its router did.
    ///
    /// # Errors
    /// The router has failed.
    pub fn finish(mut self) -> Result<Counters> {
        self.stop.store(true, Ordering::Relaxed);
        let router = self.router.take().context("it runs until the end")?;
        router.join().map_err(|_| anyhow!("the router has panicked"))?
    }
}

/// A kernel setting of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name, `net.ipv4.…`
    pub name: String,
    /// What it shall be.
    pub value: String,
}

impl Sysctl {
    /// Reads `NAME=VALUE`. Only names of `net.` are taken: others are the whole machine's.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Sysctl> {
        let (name, value) = text.split_once('=').context("not NAME=VALUE")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ensure!(name.starts_with("net.") && name.bytes().all(plain), "not the name of a network's setting");
        Ok(Sysctl { name: name.to_owned(), value: value.to_owned() })
    }

    /// Sets it in the namespace of this thread, which is the one that `/proc/sys/net` shows to it.
    fn set(&self) -> Result<()> {
        let path = Path::new("/proc/sys").join(self.name.replace('.', "/"));
        fs::write(path, &self.value).with_context(|| format!("cannot set {}", self.name))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(router) = self.router.take() {
            let _ = router.join();
        }
        for name in &self.namespaces {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Gives this thread the processor whenever it wants it: it is the network, which doesn't wait for the peers. The
/// router's naps leave most of the time to others. Only root may; who may not sees by what is counted as late whether
/// it mattered.
fn run_before_others() {
    let thread = rustix::thread::gettid().to_string();
    let _ = process::run(Command::new("chrt").args(["--fifo", "--pid", "1", &thread]), IP_LIMIT);
}

fn inside<T: Send>(namespace: &str, task: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(PathBuf::from(NAMESPACES).join(namespace)).context(namespace.to_owned())?;
    // Only this thread changes its namespace, and it ends with the task.
    let run = || {
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        anyhow::Ok(task())
    };
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn ip(args: &[&str]) -> Result<()> {
    let done = process::run(Command::new("ip").args(args), IP_LIMIT).context("Debian package iproute2")?;
    ensure!(done.code() == Some(0), "`ip {}`: {}", args.join(" "), done.stderr.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_a_network_are_taken() {
        let setting = Sysctl::parse("net.ipv4.tcp_congestion_control=reno").unwrap();
        assert_eq!(
            (setting.name.as_str(), setting.value.as_str()),
            ("net.ipv4.tcp_congestion_control", "reno")
        );
        for other in ["net.ipv4.tcp_sack", "kernel.panic=1", "net.../kernel/panic=1", "=1"] {
            assert!(Sysctl::parse(other).is_err(), "{other}");
        }
    }
}
