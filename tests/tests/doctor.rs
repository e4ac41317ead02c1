//! `doctor`, `export` and `import`: a session looked at, and moved.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use common::kept::Running;
use common::{Home, assert_fails, run};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use serde_json::json;

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = binary::command(home);
    command.args(args);
    command
}

/// A session that has downloaded a torrent.
fn downloaded() -> Home {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let (mut running, _) = Running::start(home.path(), &["--peer", &seed.addr.to_string()]);
    running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
    running.done(&json!({"do": "wait", "info_hash": hex(&home.info_hash)}));
    running.end();
    home.assert_downloaded();
    home
}

#[test]
fn what_is_not_as_it_was_left_is_told() {
    let home = downloaded();
    let well = run(&mut command(home.path(), &["doctor"]));
    assert_eq!((well.code(), well.stdout.as_str()), (Some(0), ""), "{}", well.stderr);
    assert!(well.stderr.contains("1 torrent: all is well"), "{}", well.stderr);

    let file = File::options().append(true).open(home.downloaded().join("small 1.bin")).unwrap();
    file.set_len(5).unwrap();
    fs::remove_file(home.downloaded().join("small 2.bin")).unwrap();
    let ill = run(&mut command(home.path(), &["doctor"]));
    assert_eq!(ill.code(), Some(1), "{}", ill.stderr);
    let lines: Vec<&str> = ill.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ill.stdout);
    assert!(lines[0].contains("missing") && lines[0].contains("small 2.bin"), "{}", lines[0]);
    assert!(lines[1].contains("changed") && lines[1].contains("small 1.bin"), "{}", lines[1]);

    fs::rename(home.out(), home.path().join("away")).unwrap();
    let away = run(&mut command(home.path(), &["doctor", "--json"]));
    let line: serde_json::Value = serde_json::from_str(away.stdout.trim()).unwrap();
    assert!(line["finding"].as_str().unwrap().contains("is not there: it is unavailable"), "{line}");

    let database = home.path().join("state/rawtorrent/session.db");
    let len = fs::metadata(&database).unwrap().len();
    let whole = fs::read(&database).unwrap();
    fs::write(&database, "").unwrap();
    for args in [&["doctor"][..], &["session", "--listen", "127.0.0.1:0"], &["export", "x"]] {
        let lost = run(&mut command(home.path(), args));
        assert_fails(&lost, &["session.db is empty, though a session was here; put it back from a backup"]);
    }
    assert_eq!(fs::metadata(&database).unwrap().len(), 0, "nothing is begun");
    fs::write(&database, &whole).unwrap();
    let back = run(&mut command(home.path(), &["doctor", "--json"]));
    assert_eq!(back.stdout, away.stdout);
    fs::write(&database, vec![0x55; usize::try_from(len).unwrap()]).unwrap();
    let damaged = run(&mut command(home.path(), &["doctor"]));
    assert_eq!(damaged.code(), Some(1));
    assert!(damaged.stdout.contains("the state was damaged"), "{}", damaged.stdout);
}

#[test]
fn a_session_moves_with_what_it_has() {
    let home = downloaded();
    let file = home.path().join("session.export");
    let export = ["export", file.to_str().unwrap()];
    let done = run(&mut command(home.path(), &export));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);

    let other = tempfile::tempdir().unwrap();
    let import = ["import", "--json", file.to_str().unwrap()];
    let done = run(&mut command(other.path(), &import));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let line: serde_json::Value = serde_json::from_str(done.stdout.trim()).unwrap();
    assert_eq!(line["believed"], line["pieces"], "{line}");
    assert_fails(&run(&mut command(other.path(), &import)), &["it is here already"]);
    let well = run(&mut command(other.path(), &["doctor"]));
    assert_eq!(well.code(), Some(0), "{}", well.stdout);

    let (mut running, ready) = Running::start(other.path(), &[]);
    assert_eq!(ready["torrents"], 1);
    // Nothing is there to fetch it from.
    running.done(&json!({"do": "wait", "info_hash": hex(&home.info_hash)}));
    let busy = run(&mut command(other.path(), &export));
    assert_fails(&busy, &["another rawtorrent"]);
    running.end();

    let mut bad = fs::read(&file).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&file, bad).unwrap();
    let third = tempfile::tempdir().unwrap();
    assert_fails(&run(&mut command(third.path(), &import)), &["it is damaged, or no exported session"]);
    assert!(!third.path().join("state").exists(), "nothing is taken over");
    assert_fails(&run(&mut command(third.path(), &["doctor"])), &["there is no session"]);
}

#[test]
fn a_link_moves_with_its_session() {
    let home = tempfile::tempdir().unwrap();
    let (mut running, _) = Running::start(home.path(), &[]);
    let link = format!("magnet:?xt=urn:btih:{}&dn=later", "7".repeat(40));
    running.done(&json!({"do": "add", "torrent": link, "dir": home.path(), "paused": true}));
    running.end();
    let well = run(&mut command(home.path(), &["doctor"]));
    assert_eq!(well.code(), Some(0), "{}", well.stdout);
    let file = home.path().join("session.export");
    assert_eq!(run(&mut command(home.path(), &["export", file.to_str().unwrap()])).code(), Some(0));
    let other = tempfile::tempdir().unwrap();
    let done = run(&mut command(other.path(), &["import", file.to_str().unwrap()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("later: taken over"), "{}", done.stdout);
    let (mut running, _) = Running::start(other.path(), &[]);
    assert_eq!(running.torrent()["name"], "later");
    running.end();
}
