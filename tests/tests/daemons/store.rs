//! The store of a session, damaged: what is read of it is what was written, or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::claimed;
use rawtorrent_tests::score::score;
use serde_json::{Value, json};

use super::sized;
use crate::common::kept::{Case, Running};
use crate::common::{Home, run};

const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 5 * PIECE_LEN + 17)] };
const PIECES: usize = 6;
/// The piece of which a byte is wrong on disk.
const SPOILED: usize = 2;

/// A file of state, and what is in it.
type Kept = (PathBuf, Vec<u8>);

/// What a session that was closed has left: its torrent complete, its files of state by path.
struct Left {
    home: Home,
    /// As its list tells of it.
    told: Value,
    state: Vec<Kept>,
}

impl Left {
    fn new() -> Left {
        let mut case = Case::downloaded(SMALL);
        case.done("pause", json!({}));
        let told = case.running.torrent();
        let Case { home, running, .. } = case;
        running.end();
        let state = files(&home.path().join("state"));
        assert!(state.iter().any(|(path, _)| path.ends_with("session.db")), "no store");
        Left { home, told, state }
    }

    /// Puts the state there, other than it was.
    fn put(&self, change: impl FnOnce(&mut [Kept])) {
        let root = self.home.path().join("state");
        fs::remove_dir_all(&root).unwrap();
        let mut state = self.state.clone();
        change(&mut state);
        for (path, bytes) in &state {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Starts on what is there: the torrent is as it was, or not there; and none of what peers are told is false.
    fn start(&self, what: &str) -> bool {
        let mut command = self.home.command();
        command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
        let (mut running, ready) = Running::begin(&mut command);
        let listed = running.done(&json!({"do": "list"}));
        let torrents = listed["torrents"].as_array().unwrap();
        assert!(torrents.len() <= 1, "{what}: {listed}");
        for torrent in torrents {
            for field in ["info_hash", "name", "dir", "category", "tags", "paused"] {
                assert_eq!(torrent[field], self.told[field], "{what}: {field} of {torrent}");
            }
        }
        let is_there = !torrents.is_empty();
        if is_there {
            running.done(&json!({"do": "resume", "info_hash": hex(&self.home.info_hash)}));
            let settled = running.until(|torrent| {
                matches!(torrent["state"].as_str(), Some("downloading" | "seeding" | "paused" | "failed"))
            });
            let addr = ready["listen"][0].as_str().unwrap().parse().unwrap();
            let wanted = SMALL.stream();
            let all = claimed(addr, self.home.info_hash).unwrap_or_default();
            // What is claimed may have been fetched just now.
            let content = fs::read(self.home.downloaded()).unwrap();
            for piece in all {
                let span = piece * PIECE_LEN..((piece + 1) * PIECE_LEN).min(wanted.len());
                assert!(
                    piece < PIECES && content[span.clone()] == wanted[span],
                    "{what}: piece {piece}: {settled}"
                );
            }
        }
        running.end();
        is_there
    }
}

/// All files below a folder.
fn files(dir: &Path) -> Vec<Kept> {
    let (mut found, mut pending) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = pending.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => pending.push(path),
                false => found.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// Where something stands in a file, each time.
fn places(bytes: &[u8], what: &[u8]) -> Vec<usize> {
    bytes.windows(what.len()).enumerate().filter(|(_, here)| *here == what).map(|(at, _)| at).collect()
}

#[test]
fn a_store_that_is_damaged_is_not_believed() {
    let left = Left::new();
    let mut rng = fastrand::Rng::with_seed(0x570e);
    let (mut rounds, mut lost) = (0, 0);
    let mut check = |left: &Left, what: String, change: &mut dyn FnMut(&mut [Kept])| {
        left.put(change);
        lost += usize::from(!left.start(&what));
        rounds += 1;
    };
    let is_base = |path: &Path| path.ends_with("session.db");
    // Every value of a row is one character after the other another: a folder that is not the torrent's, another name.
    let dir = left.home.out();
    let dir = dir.to_str().unwrap().as_bytes();
    let base = &left.state.iter().find(|(path, _)| is_base(path)).unwrap().1;
    let found = places(base, dir);
    assert!(!found.is_empty(), "its folder is in its row");
    for at in found {
        check(&left, format!("another folder at {at}"), &mut |state| {
            let (_, base) = state.iter_mut().find(|(path, _)| is_base(path)).unwrap();
            base[at + dir.len() - 1] ^= 1;
        });
    }
    // A byte of what was downloaded is wrong, and the state is anything.
    let mut content = fs::read(left.home.downloaded()).unwrap();
    content[SPOILED * PIECE_LEN] ^= 1;
    for round in 0..sized(24, 480) {
        fs::write(left.home.downloaded(), &content).unwrap();
        check(&left, format!("round {round}"), &mut |state| {
            for (_, bytes) in state.iter_mut().filter(|(path, _)| is_base(path) || round % 3 == 0) {
                let at = rng.usize(..bytes.len().max(1));
                match round % 6 {
                    0 => bytes.truncate(at),
                    1 => bytes.iter_mut().for_each(|byte| *byte = rng.u8(..)),
                    2 => bytes.iter_mut().skip(at).take(4096).for_each(|byte| *byte = 0),
                    _ => (0..8).for_each(|_| {
                        let at = rng.usize(..bytes.len().max(1));
                        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8));
                    }),
                }
            }
        });
    }
    // No state at all is one, too; and one command that only asks.
    left.put(|state| state.iter_mut().for_each(|(_, bytes)| *bytes = b"garbage".to_vec()));
    let told = run(left.home.command().arg("export").arg(left.home.path().join("exported")));
    assert!(matches!(told.code(), Some(0 | 1)), "{:?}: {}", told.status, told.stderr);
    assert!(!told.stderr.contains("panicked"), "{}", told.stderr);
    score(
        "a_store_that_is_damaged_is_not_believed",
        "stores of a session with other rows, bits flipped, cut off, zeroed, of garbage, beside a wrong byte on disk",
        rounds,
        &format!("each session started; {lost} did not know the torrent any more, none told what is not so"),
        "never another torrent, folder or piece than there is; never a refusal",
    );
}
