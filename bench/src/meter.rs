//! What a process takes: time, processor, memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::time::ClockId;
use serde_json::Value;
use tests::process::Proc;

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(20);
/// How much of an error message is shown.
const TAIL: usize = 800;

/// What a program took from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of one core, in user and in system, with those of its children.
    pub(crate) cpu: f64,
    /// The most private memory (`RssAnon`) it had, in bytes.
    pub(crate) memory: u64,
}

/// Runs a program to its end, which has to come within `limit` and be a success.
///
/// What a first line `{"loaded": …, "cpu": …}` says is taken off: time on the monotonic clock and processor seconds until
/// an interpreter was ready to begin.
pub(crate) fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<Taken> {
    let began = monotonic();
    let mut process = Proc::spawn(command, log)?;
    let peak = Peak::watch(process.id());
    let in_time = process.wait_ended(Instant::now() + limit)?;
    let ended = monotonic();
    let cpu = cpu_seconds(process.id());
    let memory = peak.stop();
    if !in_time {
        bail!("still running after {} s: {}", limit.as_secs(), tail(&process));
    }
    let status = process.wait(Duration::ZERO)?;
    ensure!(status.success(), "ended with {status}: {}", tail(&process));
    let (loaded, loading) = loaded(&process.stdout()).unwrap_or((began, 0.0));
    Ok(Taken { wall: ended - loaded, cpu: cpu? - loading, memory })
}

/// When an interpreter was ready to begin, and what that took, if that is the first line.
pub(crate) fn loaded(stdout: &str) -> Option<(f64, f64)> {
    let line: Value = serde_json::from_str(stdout.lines().next()?).ok()?;
    Some((line["loaded"].as_f64()?, line["cpu"].as_f64()?))
}

/// The end of what a process said on stderr, or else on stdout.
pub(crate) fn tail(process: &Proc) -> String {
    let (out, err) = (process.stdout(), process.stderr());
    let said = if err.trim().is_empty() { out } else { err };
    let skip = said.chars().count().saturating_sub(TAIL);
    said.chars().skip(skip).collect()
}

/// Seconds of the clock that Python calls `time.monotonic`.
pub(crate) fn monotonic() -> f64 {
    Duration::try_from(rustix::time::clock_gettime(ClockId::Monotonic)).unwrap_or_default().as_secs_f64()
}

/// Seconds of one core that a process and its ended children have taken, to a hundredth; also of a process that has
/// ended and has not been waited for.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("it has ended and is gone")?;
    let ticks = parse_ticks(&stat).context("/proc/PID/stat")?;
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Seconds of one core that the threads of a process that are there now have taken, to a millionth. To be compared only
/// while no thread ends.
pub(crate) fn thread_seconds(pid: u32) -> Result<f64> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("it has ended and is gone")? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += stat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).context("schedstat")?;
    }
    Ok(Duration::from_nanos(nanos).as_secs_f64())
}

/// `utime`, `stime`, `cutime` and `cstime`. The name before them may contain anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<u64> = fields.split(' ').skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

/// Private memory of a process at this moment, in bytes; `None` once it has ended.
pub(crate) fn private_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// Looks at a process's memory until it is stopped.
#[derive(Debug)]
pub(crate) struct Peak {
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Peak {
    pub(crate) fn watch(pid: u32) -> Peak {
        let (most, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&most), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(bytes) = private_memory(pid) {
                    seen.fetch_max(bytes, Ordering::Relaxed);
                }
                thread::sleep(SAMPLE);
            }
        });
        Peak { most, stop, thread }
    }

    /// The most it has seen, in bytes.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.most.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests_of_meter {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Result<Taken> {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("sh").args(["-c", script]), &dir.path().join("log"), SOON)
    }

    #[test]
    fn a_busy_process_and_its_children_have_taken_time_and_memory() {
        let taken =
            shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sh -c 'true'; sleep 0.1").unwrap();
        assert!(taken.wall > 0.1 && taken.wall < 20.0, "{taken:?}");
        assert!(taken.cpu > 0.0 && taken.cpu <= taken.wall, "{taken:?}");
        assert!(taken.memory > 0, "{taken:?}");
    }

    #[test]
    fn loading_is_not_counted() {
        let now = monotonic();
        let later = now + 1_000.0;
        let taken = shell(&format!("echo '{{\"loaded\": {later}, \"cpu\": 5.5}}'")).unwrap();
        assert!(taken.wall < 0.0 && taken.cpu < 0.0, "{taken:?}");
    }

    #[test]
    fn a_failure_is_told_with_what_the_program_said() {
        let error = shell("echo why >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("exit status: 3: why"), "{error}");
    }

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1";
        assert_eq!(parse_ticks(stat), Some(127));
        assert_eq!(parse_ticks("12 (a) S 1"), None);
    }
}
