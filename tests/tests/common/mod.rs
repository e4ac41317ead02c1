//! What the black-box tests share: a user with a home, a torrent, and somebody who seeds it.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod daemon;
pub(crate) mod kept;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rawtorrent_tests::binary::{self, Session};
use rawtorrent_tests::content::{Sample, digest};
use rawtorrent_tests::metafile;
use rawtorrent_tests::peer::{FakeSeed, Serving};
use rawtorrent_tests::process::{self, Finished};
use tempfile::TempDir;

/// What takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How fast Ctrl-C must end the program.
pub(crate) const INTERRUPT_LIMIT: Duration = Duration::from_secs(3);

/// A user's folder, with a torrent of a sample in it.
pub(crate) struct Home {
    dir: TempDir,
    pub(crate) sample: Sample,
    pub(crate) info_hash: [u8; 20],
    pub(crate) torrent: PathBuf,
}

impl Home {
    pub(crate) fn new(sample: Sample) -> Home {
        Home::with_tracker(sample, None)
    }

    pub(crate) fn with_tracker(sample: Sample, tracker: Option<&str>) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let bytes = metafile::torrent(&sample, tracker);
        let torrent = dir.path().join("sample.torrent");
        fs::write(&torrent, &bytes).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        Home { info_hash: metafile::info_hash(&bytes).unwrap(), dir, sample, torrent }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where downloads go.
    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The sample as it would be downloaded.
    pub(crate) fn downloaded(&self) -> PathBuf {
        self.out().join(self.sample.name)
    }

    /// The binary at home here.
    pub(crate) fn command(&self) -> Command {
        binary::command(self.path())
    }

    /// `download TORRENT -o OUT --json` on a port of its own; without trackers.
    pub(crate) fn download(&self) -> Command {
        let mut command = self.download_with_trackers();
        command.arg("--no-trackers");
        command
    }

    pub(crate) fn download_with_trackers(&self) -> Command {
        let mut command = self.command();
        command.arg("download").arg(&self.torrent).arg("-o").arg(self.out());
        command.args(["--json", "--listen", "127.0.0.1:0"]);
        command
    }

    /// The download, from `seeds`.
    pub(crate) fn download_from(&self, seeds: &[&FakeSeed]) -> Command {
        let mut command = self.download();
        for seed in seeds {
            command.args(["--peer", &seed.addr.to_string()]);
        }
        command
    }

    /// `seed TORRENT --data OUT --json` at `addr`, without trackers.
    pub(crate) fn seed_at(&self, addr: std::net::SocketAddr) -> Command {
        let mut command = self.command();
        command.arg("seed").arg(&self.torrent).arg("--data").arg(self.out());
        command.args(["--json", "--no-trackers", "--listen", &addr.to_string()]);
        command
    }

    /// How the sample is served by a seed without faults.
    pub(crate) fn serving(&self) -> Serving {
        Serving::all(self.info_hash, Arc::new(self.sample.stream()))
    }

    /// A seed without faults.
    pub(crate) fn fake_seed(&self) -> FakeSeed {
        FakeSeed::start(self.serving()).unwrap()
    }

    /// That what was downloaded is, byte for byte, the sample.
    pub(crate) fn assert_downloaded(&self) {
        let original = tempfile::tempdir().unwrap();
        let expected = digest(&self.sample.write(original.path()).unwrap()).unwrap();
        assert_eq!(digest(&self.downloaded()).unwrap(), expected);
    }

    /// That nothing was left behind where downloads go.
    pub(crate) fn assert_nothing_written(&self) {
        let left: Vec<_> =
            fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// A seed that gives metadata too: another binary, which ends with what this gives.
pub(crate) fn real_seed(sample: Sample) -> (Home, Session, std::net::SocketAddr) {
    let home = Home::new(sample);
    home.sample.write(&home.out()).unwrap();
    let addr = rawtorrent_tests::free_addr().unwrap();
    let session = start(&mut home.seed_at(addr));
    let deadline = std::time::Instant::now() + LIMIT;
    let listens = rawtorrent_tests::poll(deadline, || std::net::TcpStream::connect(addr).ok());
    assert!(listens.is_some(), "nobody listens: {}", session.process.stderr());
    (home, session, addr)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    process::run(command, LIMIT).unwrap()
}

/// Starts a session.
pub(crate) fn start(command: &mut Command) -> Session {
    Session::start(command).unwrap()
}

/// That a command failed as it should: exit code 1, and a few lines for people that name one of `words`.
pub(crate) fn assert_fails(done: &Finished, words: &[&str]) {
    let Finished { stdout, stderr, .. } = done;
    assert_eq!(done.code(), Some(1), "stdout:\n{stdout}\nstderr:\n{stderr}");
    assert_is_for_people(stderr);
    let lower = stderr.to_lowercase();
    assert!(words.iter().any(|word| lower.contains(word)), "none of {words:?} in: {stderr}");
}

/// That an error text is short and shows nothing of the program's insides.
pub(crate) fn assert_is_for_people(stderr: &str) {
    assert!(!stderr.trim().is_empty(), "no word about what is wrong");
    assert!(stderr.lines().count() <= 4, "more than a clear line:\n{stderr}");
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "Os {", "Err(", "unwrap"] {
        assert!(!stderr.contains(word), "{word}: {stderr}");
    }
}

/// The first error event on stdout.
pub(crate) fn error_event(done: &Finished) -> serde_json::Value {
    let events = binary::events(&done.stdout).unwrap();
    let error = events.into_iter().find(|event| event["event"] == "error");
    error.unwrap_or_else(|| panic!("no error event\n{}\n{}", done.stdout, done.stderr))
}

/// A command that runs `command` with `mount` (a shell line) done before, in a mount namespace of its own.
pub(crate) fn with_mount(mount: &str, command: &Command) -> Command {
    let is_root = rustix::process::geteuid().is_root();
    let mut wrapped = Command::new("unshare");
    wrapped.arg(if is_root { "-m" } else { "-rm" });
    wrapped.args(["sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]).arg(command.get_program());
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}
