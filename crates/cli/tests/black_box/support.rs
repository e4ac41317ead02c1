//! A folder of one's own, and the binary run in it.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, io::Write};
use tempfile::TempDir;

/// A folder that holds all that a test's runs can reach: it is their home and their working folder.
pub(crate) struct Place(TempDir);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders that it needs.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The names of everything in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The binary with arguments, in an environment of nothing but this place.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rawtorrent"));
        command.args(args).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        // Nothing is to leave this machine.
        command.env("RAWTORRENT_NO_DHT", "1").env("RAWTORRENT_NO_LSD", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A run that needs no input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    /// Makes `NAME.torrent` of what is at `NAME`.
    pub(crate) fn torrent(&self, name: &str) -> String {
        let torrent = format!("{name}.torrent");
        self.run(&["create", name, "-o", &torrent, "--piece-length", "16KiB"]).done();
        torrent
    }

    /// What `show --json` says of a torrent.
    pub(crate) fn show(&self, torrent: &str) -> Value {
        self.run(&["show", "--json", torrent]).done().json()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Asserts that it went well.
    #[track_caller]
    pub(crate) fn done(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Asserts that it failed with exactly one line that says all of `parts`.
    #[track_caller]
    pub(crate) fn failed(self, parts: &[&str]) -> Ran {
        assert_eq!(self.code, Some(1), "{self:?}");
        let errors: Vec<_> = self.stderr.lines().filter(|line| line.starts_with("rawtorrent: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        for part in parts {
            assert!(errors[0].contains(part), "'{part}' is not in: {}", errors[0]);
        }
        self
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}", self.text());
        lines.into_iter().next().unwrap()
    }

    /// The JSON objects on stdout, one per line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The names of an object's members, in order of the alphabet.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Bytes that differ from place to place.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Whether two folders or files hold the same.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    if one.is_file() {
        return fs::read(one).unwrap() == fs::read(other).unwrap();
    }
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    names(one) == names(other) && names(one).iter().all(|name| same(&one.join(name), &other.join(name)))
}
