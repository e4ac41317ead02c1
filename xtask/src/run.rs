//! Running other programs: with a deadline, with their results counted, and where wanted in a network namespace
//! that has nothing but loopback.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result};

/// Run first in a new namespace, where even loopback is down.
const LOOPBACK_UP: &str = "ip link set lo up; \"$@\"";

/// Lines of a child's output that may wait to be looked at; the child waits when there are more.
const WAITING_LINES: usize = 1024;

/// What was counted in the output of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// One line for each thing that failed.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    /// A command that ended badly has failed, whatever it had counted until then.
    fn of_exit(mut self, what: &str, ended: Ended) -> Tally {
        let why = match ended {
            Ended::Exit(status) if status.success() => return self,
            Ended::Exit(status) => format!("{what}: {status}"),
            Ended::TooLate(limit) => format!("{what}: killed after {} s", limit.as_secs()),
        };
        if self.failed == 0 {
            self.failed = 1;
            self.failures.push(why);
        } else if self.failures.is_empty() {
            self.failures.push(why);
        }
        self
    }

    /// Counts what a line reports: a test binary's result, a failed test, a red cell of the interop table, or that
    /// table's last line.
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed").unwrap_or(0);
            self.failed += number_before(result, " failed").unwrap_or(0);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        } else if let Some(cell) = line.strip_prefix("RED ") {
            self.failures.push(cell.trim_start().to_owned());
        } else if let Some((passed, failed)) = sum_line(line) {
            self.passed += passed;
            self.failed += failed;
        }
    }
}

/// Reads `20 passed, 1 failed`.
fn sum_line(line: &str) -> Option<(u64, u64)> {
    let (passed, failed) = line.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.strip_suffix(" failed")?.parse().ok()?))
}

fn number_before(line: &str, word: &str) -> Option<u64> {
    let before = &line[..line.find(word)?];
    before.rsplit(' ').next()?.parse().ok()
}

#[derive(Clone, Copy)]
enum Ended {
    Exit(ExitStatus),
    TooLate(Duration),
}

/// Runs a command to its end, passes its output on, and counts the results that it reports.
pub(crate) fn counted(what: &str, command: Command, limit: Duration) -> Result<Tally> {
    watched(what, command, limit, |line| println!("{line}"))
}

/// Runs a command to its end, hands each line of its output to `see`, and counts the results that it reports.
pub(crate) fn watched(
    what: &str,
    mut command: Command,
    limit: Duration,
    mut see: impl FnMut(&str),
) -> Result<Tally> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| shown(&command))?;
    let lines = lines_of(child.stdout.take().expect("stdout is piped"));
    let mut tally = Tally::default();
    let ended = watch(&mut child, &lines, limit, |line| {
        see(&line);
        tally.read(&line);
    })?;
    Ok(tally.of_exit(what, ended))
}

/// Runs a command to its end; the lines that it wrote to its standard error, and whether it ended well.
pub(crate) fn collected(mut command: Command, limit: Duration) -> Result<(Vec<String>, bool)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| shown(&command))?;
    let lines = lines_of(child.stderr.take().expect("stderr is piped"));
    let mut collected = Vec::new();
    let ended = watch(&mut child, &lines, limit, |line| collected.push(line))?;
    Ok((collected, matches!(ended, Ended::Exit(status) if status.success())))
}

/// Does something with each, so many at a time; what became of each, in their order.
pub(crate) fn side_by_side<T: Sync, O: Send>(
    all: &[T],
    jobs: usize,
    each: impl Fn(&T) -> O + Sync,
) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((at, one)) = all.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = each(one);
                    outcomes.lock().expect("no thread panics while it has this").push((at, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no thread panics while it has this");
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// How many processors there are to work on.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Hands on what it writes until it ends, or is killed when its time is over.
fn watch(
    child: &mut Child,
    lines: &Receiver<String>,
    limit: Duration,
    mut each: impl FnMut(String),
) -> Result<Ended> {
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => each(line),
            Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Exit(child.wait()?)),
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Ok(Ended::TooLate(limit));
            }
        }
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = sync_channel(WAITING_LINES);
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    receive
}

/// Runs a command whose success counts as one thing passed.
pub(crate) fn passed(what: &str, command: Command, limit: Duration) -> Result<Tally> {
    let mut tally = counted(what, command, limit)?;
    if tally.failed == 0 {
        tally.passed = tally.passed.max(1);
    }
    Ok(tally)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command in the workspace's root. Programs of root (`/usr/sbin`) are found for users as well, and what cargo
/// told us about our own package is not passed on: build scripts would take it for a change and build again.
pub(crate) fn command(root: &Path, program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir(root).env("PATH", search_path());
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") || told == "LD_LIBRARY_PATH"
        {
            command.env_remove(name);
        }
    }
    command
}

/// Wraps a program and its arguments so that they run with loopback as their only network, and so that nothing that
/// they start outlives them.
pub(crate) fn in_namespace(root: &Path, program: impl Into<OsString>) -> Command {
    let mut command = command(root, "unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args([
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-euc",
        LOOPBACK_UP,
        "sh",
    ]);
    command.arg(program.into());
    command
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = [program].into_iter().chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Where programs are looked for.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let parts = env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into));
    env::join_paths(parts).unwrap_or(path)
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_typed() {
        let mut command = Command::new("/usr/bin/pip");
        command.args(["install", "libtorrent>=2.0.9", "a b", "it's", "--target=/x"]);
        assert_eq!(shown(&command), r"pip install 'libtorrent>=2.0.9' 'a b' 'it'\''s' --target=/x");
    }

    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_done_side_by_side_is_in_order() {
        let (two, all) = (std::sync::Barrier::new(2), [3, 1, 2, 5]);
        let doubled = side_by_side(&all, 2, |number| {
            // Nobody passes alone.
            two.wait();
            2 * number
        });
        assert_eq!(doubled, [6, 2, 4, 10]);
        assert_eq!(side_by_side(&all, 0, |number| *number), all);
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn results_are_counted() {
        let script = "echo 'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured'
            echo 'test picker::rarest ... FAILED'
            echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored'
            echo 'RED    aria2 leech single udp v4  no data in 60 s'
            echo '20 passed, 2 failed'
            exit 1";
        let tally = counted("sum", shell(script), SOON).unwrap();
        assert_eq!((tally.passed, tally.failed), (35, 3));
        assert_eq!(tally.failures, ["picker::rarest", "aria2 leech single udp v4  no data in 60 s"]);
    }

    #[test]
    fn a_bad_exit_is_a_failure_even_if_nothing_was_counted() {
        let tally = counted("it", shell("exit 3"), SOON).unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 1));
        assert_eq!(tally.failures, ["it: exit status: 3"]);
        let tally = passed("it", shell("true"), SOON).unwrap();
        assert_eq!((tally.passed, tally.failed), (1, 0));
    }

    #[test]
    fn standard_error_is_collected() {
        let (lines, is_good) =
            collected(shell("echo out; echo one >&2; echo two >&2; exit 3"), SOON).unwrap();
        assert_eq!((lines, is_good), (vec!["one".to_owned(), "two".to_owned()], false));
        assert!(collected(shell("true"), SOON).unwrap().1);
        assert!(!collected(shell("exec sleep 1000"), Duration::from_millis(50)).unwrap().1);
    }

    #[test]
    fn what_hangs_is_killed() {
        let tally = counted("it", shell("exec sleep 1000"), Duration::from_millis(50)).unwrap();
        assert_eq!(tally.failed, 1);
        assert!(tally.failures[0].contains("killed after"), "{:?}", tally.failures);
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/opt/rust/bin/cargo");
        command.args(["fetch", "--locked"]);
        assert_eq!(shown(&command), "cargo fetch --locked");
    }
}
