//! Sessions of other clients whose files say what is not so, or are none.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::{self, Value};
use rawtorrent_tests::score::score;
use rawtorrent_tests::{binary, process};

use super::sized;
use crate::common::LIMIT;

const SAMPLE: Sample = Sample { name: "claimed", layout: &[("a", 150_000), ("b", 40_000)] };
const PIECES: usize = 3;
const CLIENTS: [&str; 4] = ["qbittorrent", "transmission", "rtorrent", "deluge"];

/// A client's session, and what it says it has: files as long as they are to be, changed since it last looked, with nothing
/// of the torrent in them.
struct Session {
    client: &'static str,
    dir: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Session {
    fn new(client: &'static str) -> Session {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for (name, len) in SAMPLE.layout {
            let path = data.join(SAMPLE.name).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![0; *len]).unwrap();
            let later = SystemTime::now() + Duration::from_secs(3600);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_times(FileTimes::new().set_modified(later))
                .unwrap();
        }
        let files = files(client, &data)
            .into_iter()
            .map(|(name, bytes)| (dir.path().join("theirs").join(name), bytes));
        let session = Session { client, files: files.collect(), dir };
        session.write(&session.files);
        session
    }

    fn write(&self, files: &[(PathBuf, Vec<u8>)]) {
        for (path, bytes) in files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// All that is there but the client's own files.
    fn elsewhere(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut pending = vec![self.dir.path().to_owned()];
        let mut found = Vec::new();
        while let Some(dir) = pending.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                match path.symlink_metadata().unwrap().is_dir() {
                    true if !path.ends_with("theirs") => pending.push(path),
                    true => {}
                    false => found.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }

    /// Has it taken over by somebody who has nothing yet; how many torrents were, and how many were refused.
    fn import(&self, what: &str) -> [usize; 2] {
        let (home, before) = (tempfile::tempdir().unwrap(), self.elsewhere());
        let mut command = binary::command(home.path());
        command.args(["import", "--json", "--from", self.client]).arg(self.dir.path().join("theirs"));
        let done = process::run(&mut command, LIMIT).unwrap();
        assert!(matches!(done.code(), Some(0 | 1)), "{what}: {:?}\n{}", done.status, done.stderr);
        assert!(!done.stderr.contains("panicked"), "{what}: {}", done.stderr);
        let told: Vec<serde_json::Value> =
            done.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let taken = told.iter().filter(|line| line["info_hash"].is_string());
        for line in taken.clone() {
            assert_eq!(line["believed"], 0, "{what}: nothing of it is there: {line}");
        }
        assert_eq!(self.elsewhere(), before, "{what}: files that are not the session's");
        let taken = taken.count();
        [taken, told.len() - taken]
    }
}

fn bytes(text: impl Into<Vec<u8>>) -> Value {
    Value::Bytes(text.into())
}

fn dict(entries: Vec<(&'static str, Value)>) -> Vec<u8> {
    Value::Dict(entries).encode()
}

/// The files of a client, by name, that claims all of the sample.
fn files(client: &str, data: &Path) -> Vec<(String, Vec<u8>)> {
    let torrent = metafile::torrent(&SAMPLE, None);
    let id = hex(&metafile::info_hash(&torrent).unwrap());
    let data = data.to_str().unwrap();
    let ones = Value::Bytes(vec![1; PIECES]);
    let resume = || {
        dict(vec![
            ("completed_time", Value::count(1_700_000_000)),
            ("file-format", bytes("libtorrent resume file")),
            ("paused", Value::count(0)),
            ("pieces", ones.clone()),
            ("save_path", bytes(data)),
        ])
    };
    match client {
        "qbittorrent" => vec![(format!("{id}.fastresume"), resume()), (format!("{id}.torrent"), torrent)],
        "transmission" => {
            let progress = Value::Dict(vec![("blocks", bytes("all")), ("have", bytes("all"))]);
            let resume =
                dict(vec![("destination", bytes(data)), ("paused", Value::count(0)), ("progress", progress)]);
            vec![(format!("resume/{id}.resume"), resume), (format!("torrents/{id}.torrent"), torrent)]
        }
        "rtorrent" => {
            let file = |_| {
                Value::Dict(vec![
                    ("completed", Value::count(PIECES)),
                    ("mtime", Value::count(1_700_000_000)),
                    ("priority", Value::count(1)),
                ])
            };
            let resume = dict(vec![
                ("bitfield", Value::count(PIECES)),
                ("files", Value::List((0..2).map(file).collect())),
            ]);
            let state = dict(vec![
                ("complete", Value::count(1)),
                ("directory", bytes(format!("{data}/{}", SAMPLE.name))),
                ("state", Value::count(1)),
            ]);
            vec![
                (format!("{id}.torrent.libtorrent_resume"), resume),
                (format!("{id}.torrent.rtorrent"), state),
                (format!("{id}.torrent"), torrent),
            ]
        }
        _ => {
            let all = Value::Dict(vec![]).encode();
            let fastresume =
                [&all[..1], format!("{}:{id}", id.len()).as_bytes(), &bytes(resume()).encode(), b"e"]
                    .concat();
            vec![
                ("torrents.fastresume".into(), fastresume),
                ("torrents.state".into(), pickle(&id, data)),
                (format!("{id}.torrent"), torrent),
            ]
        }
    }
}

/// Deluge's list, as Python writes it.
fn pickle(id: &str, data: &str) -> Vec<u8> {
    let text =
        |text: &str| [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    [
        &b"\x80\x02cm\nS\nq\x00)\x81}q\x01"[..],
        &text("torrents"),
        b"](cm\nT\n)\x81}(",
        &[text("torrent_id"), text(id), text("save_path"), text(data), text("is_finished"), vec![0x88]]
            .concat(),
        b"ubesb.",
    ]
    .concat()
}

/// What stands in place of something else.
const SPLICED: [&[u8]; 9] = [
    b"../../../../etc",
    b"/etc/passwd",
    b"\x1b]0;owned\x07",
    b"i99999999999999999999e",
    b"999999999999:",
    b"li-1ei-1ee",
    b"cos\nsystem\n(X\x0a\x00\x00\x00touch evil\x85R",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"d4:infod4:name2:..ee",
];

fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(..bytes.len().max(1)).min(bytes.len());
    match rng.u8(..6) {
        0 => bytes.truncate(at),
        1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        2 => drop(bytes.splice(at..at, SPLICED[rng.usize(..SPLICED.len())].iter().copied())),
        3 => {
            let new = SPLICED[rng.usize(..SPLICED.len())];
            let end = bytes.len().min(at + new.len());
            bytes.splice(at..end, new.iter().copied());
        }
        4 => drop(bytes.splice(at..at, vec![b'l'; 100_000])),
        _ => *bytes = (0..rng.usize(..5_000)).map(|_| rng.u8(..)).collect(),
    }
}

#[test]
fn sessions_of_other_clients_that_lie() {
    let mut rng = fastrand::Rng::with_seed(0x5e55);
    let (mut rounds, mut sums) = (0, [0; 2]);
    for client in CLIENTS {
        let session = Session::new(client);
        assert_eq!(
            session.import(client),
            [1, 0],
            "{client}: as it is, it is taken over, and nothing believed"
        );
        for round in 0..sized(12, 250) {
            let mut files = session.files.clone();
            let all = files.len();
            mutate(&mut rng, &mut files[round % all].1);
            session.write(&files);
            let [taken, refused] = session.import(&format!("{client} {round}"));
            sums = [sums[0] + taken, sums[1] + refused];
            rounds += 1;
        }
    }
    score(
        "sessions_of_other_clients_that_lie",
        "sessions of qBittorrent, Transmission, rTorrent and Deluge that claim what is not there, damaged and forged",
        rounds,
        &format!(
            "{} torrents taken over, {} refused; no piece believed, no file of others changed",
            sums[0], sums[1]
        ),
        "0 believed, 0 changed, no crash",
    );
}
