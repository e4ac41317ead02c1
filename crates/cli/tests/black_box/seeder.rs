//! A seeder on 127.0.0.1.

use crate::support::{Place, Ran};
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Nobody but those that are named is asked.
pub(crate) const LOOPBACK: [&str; 3] = ["--listen", "127.0.0.1:0", "--no-trackers"];
/// How long a line may be waited for: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A seeder that runs until it is dropped or told to stop.
pub(crate) struct Seeder {
    child: Child,
    pub(crate) addr: String,
    said: Receiver<String>,
}

impl Seeder {
    pub(crate) fn start(place: &Place, torrent: &str, more: &[&str]) -> Seeder {
        Seeder::spawn(place.command(&[&["seed", torrent, "--data", "."][..], &LOOPBACK, more].concat()))
    }

    pub(crate) fn spawn(mut command: Command) -> Seeder {
        let mut child = command.spawn().unwrap();
        let mut lines: Lines<BufReader<ChildStderr>> = BufReader::new(child.stderr.take().unwrap()).lines();
        let addr = lines.by_ref().map_while(Result::ok);
        let addr = addr.into_iter().find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let (tell, said) = channel();
        // The rest is read away, so that the seeder never waits for room in the pipe.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| _ = tell.send(line)));
        Seeder { child, addr: addr.unwrap(), said }
    }

    /// Waits for a line with this in it, whatever else is said meanwhile.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            assert!(line.is_ok(), "'{part}' was never said");
            let line = line.unwrap();
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn stop(mut self, signal: &str) -> Ran {
        kill(&self.child, signal);
        let mut stdout = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout, stderr: String::new() }
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(child: &Child, signal: &str) {
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}
