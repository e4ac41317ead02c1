//! Child processes with a log, a deadline, signals, and an end.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A child process; killed when dropped.
///
/// It is held by a pidfd: a signal can never reach a stranger that got its number, and its end is an event.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    pidfd: OwnedFd,
    out: PathBuf,
    err: PathBuf,
}

impl Proc {
    /// Starts `command` with its output in `<log>.out` and `<log>.err`.
    ///
    /// # Errors
    /// The program is missing or cannot be started; the logs cannot be written.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Proc> {
        let (out, err) = (with_suffix(log, "out"), with_suffix(log, "err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out).with_context(|| out.display().to_string())?)
            .stderr(File::create(&err).with_context(|| err.display().to_string())?)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Proc { child, pidfd, out, err })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end until `deadline`; `None` if it still runs then.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        if self.wait_ended(deadline)? { self.child.wait().map(Some) } else { Ok(None) }
    }

    /// Waits for the end until `deadline`, and leaves what it used to be read from `/proc`; `false` if it still runs
    /// then.
    ///
    /// # Errors
    /// As the system says.
    pub fn wait_ended(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match rustix::event::poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&left)) {
                Ok(0) if Instant::now() < deadline => {}
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the end, for `limit` at most.
    ///
    /// # Errors
    /// It still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.wait_until(Instant::now() + limit)?.ok_or_else(|| anyhow!("still running after {limit:?}"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal; one that comes too late is no error.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Sends `signal`, waits, and kills it after `grace`. `None`: it had to be killed.
    ///
    /// # Errors
    /// As the system says.
    pub fn stop(&mut self, signal: Signal, grace: Duration) -> io::Result<Option<ExitStatus>> {
        self.signal(signal);
        let status = self.wait_until(Instant::now() + grace)?;
        if status.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(status)
    }

    /// The most memory it has had so far, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory it has now, in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(name)).context("it has ended")?;
        let kib: u64 = value.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// How many files, sockets and others it has open.
    ///
    /// # Errors
    /// It has ended.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read_lossy(&self.out)
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read_lossy(&self.err)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end and returns its exit status, stdout and stderr.
///
/// # Errors
/// It cannot be started, or still runs after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    let logs = tempfile::tempdir()?;
    let mut child = Proc::spawn(command, &logs.path().join("run"))?;
    let status = child.wait(limit).with_context(|| format!("{command:?}\n{}", child.stderr()))?;
    Ok(Finished { status, stdout: child.stdout(), stderr: child.stderr() })
}

/// The command, with a line of shell done before, in whose process it then runs.
#[must_use]
pub fn after(line: &str, command: &Command) -> Command {
    let mut wrapped = Command::new("sh");
    wrapped.args(["-c", &format!("{line} && exec \"$@\""), "sh"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    wrapped
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

fn with_suffix(log: &Path, suffix: &str) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".");
    path.push(suffix);
    path.into()
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_exit_code_are_captured() {
        let done =
            run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), Duration::from_secs(10));
        let done = done.unwrap();
        assert_eq!((done.code(), done.stdout.as_str(), done.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn a_deadline_ends_the_wait_and_a_drop_the_process() {
        let logs = tempfile::tempdir().unwrap();
        let mut child = Proc::spawn(Command::new("sleep").arg("60"), &logs.path().join("sleep")).unwrap();
        assert!(child.wait(Duration::from_millis(10)).is_err());
        assert!(child.is_running());
        assert!(child.stop(Signal::TERM, Duration::from_secs(10)).unwrap().is_some());
        assert!(!child.is_running());
    }
}
