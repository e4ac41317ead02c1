//! The `rawtorrent` binary under test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Proc;

/// Where the binary is: `RAWTORRENT_BIN`, else what lies beside the running test in cargo's target folder.
#[must_use]
pub fn path() -> PathBuf {
    if let Some(path) = env::var_os("RAWTORRENT_BIN") {
        return path.into();
    }
    let test = env::current_exe().unwrap_or_default();
    let beside = test.ancestors().skip(1).map(|dir| dir.join("rawtorrent")).find(|path| path.is_file());
    beside.unwrap_or_else(|| "rawtorrent".into())
}

/// A command that runs the binary with `home` as the user's home, and with nothing else of the user's settings.
#[must_use]
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(path());
    isolate(&mut command, home);
    command
}

/// Keeps a program away from the user's own settings and state.
pub fn isolate(command: &mut Command, home: &Path) {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        // A fault that is to be found is for the binary.
        let ours =
            name.starts_with("RAWTORRENT_") && name != "RAWTORRENT_PLANTED" || name.starts_with("XDG_");
        if ours || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name.as_ref());
        }
    }
    // Nothing is to leave the machine, or the namespace.
    command.env("RAWTORRENT_NO_DHT", "1").env("RAWTORRENT_NO_LSD", "1");
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("LC_ALL", "C.UTF-8");
}

/// The binary as it runs.
#[derive(Debug)]
pub struct Session {
    /// Its process.
    pub process: Proc,
    _logs: TempDir,
}

impl Session {
    /// Starts it.
    ///
    /// # Errors
    /// It is not there.
    pub fn start(command: &mut Command) -> Result<Session> {
        let logs = tempfile::tempdir()?;
        Ok(Session { process: Proc::spawn(command, &logs.path().join("session"))?, _logs: logs })
    }

    /// All events on stdout so far, in order.
    ///
    /// # Errors
    /// A line is no JSON object with an `event`.
    pub fn events(&self) -> Result<Vec<Value>> {
        events(&self.process.stdout())
    }

    /// Waits for an event that `wanted` accepts.
    ///
    /// # Errors
    /// It doesn't come within `limit`, or the program ends before.
    pub fn wait_event(&mut self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = crate::poll(Instant::now() + limit, || {
            let running = self.process.is_running();
            let event = self.events().unwrap_or_default().into_iter().find(&wanted);
            event.map(Some).or_else(|| (!running).then_some(None))
        });
        found.flatten().with_context(|| {
            format!("no such event\nstdout:\n{}\nstderr:\n{}", self.process.stdout(), self.process.stderr())
        })
    }

    /// Interrupts it and waits for its end; returns the exit code and how long it took.
    ///
    /// # Errors
    /// It still runs after twenty seconds.
    pub fn interrupt(&mut self) -> Result<(Option<i32>, Duration)> {
        let started = Instant::now();
        self.process.signal(Signal::INT);
        let status = self.process.wait(Duration::from_secs(20))?;
        Ok((status.code(), started.elapsed()))
    }
}

/// The lines of `stdout` as events; a last line that is not complete yet is left out.
///
/// # Errors
/// A line is no JSON object with an `event`.
pub fn events(stdout: &str) -> Result<Vec<Value>> {
    let complete = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    complete
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            ensure!(event["event"].is_string(), "not an event: {line}");
            Ok(event)
        })
        .collect()
}
