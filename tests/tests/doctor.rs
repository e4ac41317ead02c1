//! `doctor`, `export` and `import`: a session looked at, and moved.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use common::kept::Running;
use common::{Home, assert_fails, run, with_mount};
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

    fs::create_dir(home.downloaded().join("small 2.bin")).unwrap();
    let ill = run(&mut command(home.path(), &["doctor"]));
    assert!(
        ill.stdout.contains("in the place of files") && !ill.stdout.contains("missing"),
        "{}",
        ill.stdout
    );
    fs::remove_dir(home.downloaded().join("small 2.bin")).unwrap();

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
    let state = home.path().join("state/rawtorrent");
    let (there, aside) = (state.join("resume"), state.join("aside"));
    fs::rename(&there, &aside).unwrap();
    fs::write(&there, "").unwrap();
    let told = run(&mut command(home.path(), &["doctor"]));
    assert_eq!(told.code(), Some(1));
    assert!(told.stdout.contains(&format!("{} is no folder", there.display())), "{}", told.stdout);
    fs::remove_file(&there).unwrap();
    fs::rename(&aside, &there).unwrap();
    fs::write(&database, vec![0x55; usize::try_from(len).unwrap()]).unwrap();
    for _ in 0..2 {
        let damaged = run(&mut command(home.path(), &["doctor"]));
        assert_eq!(damaged.code(), Some(1));
        assert!(damaged.stdout.contains("the state is damaged"), "{}", damaged.stdout);
        let lost = format!("{}: nothing of it can be read", hex(&home.info_hash));
        assert!(damaged.stdout.contains(&lost), "{}", damaged.stdout);
    }
    // Nothing was changed: whoever begins is told.
    let mut begun = command(home.path(), &["session", "--listen", "127.0.0.1:0"]);
    let begun = run(begun.stdin(std::process::Stdio::null()));
    assert!(begun.stderr.contains("the state was damaged"), "{}", begun.stderr);
    assert!(begun.stderr.contains(&format!("lost: {}", hex(&home.info_hash))), "{}", begun.stderr);
    assert!(begun.stdout.contains("\"lost\":1"), "{}", begun.stdout);
}

/// One that is looked at, and one that is opened, waits for no pipe, and takes nothing for the folder of temporary files.
#[test]
fn what_is_no_file_in_the_place_of_one_is_told() {
    let home = downloaded();
    let state = home.path().join("state/rawtorrent");
    for name in ["session.db", "session.lock", "session.db-wal", "session.db-synced", "session.rescued.db"] {
        let (there, aside) = (state.join(name), state.join("aside"));
        let was_there = fs::rename(&there, &aside).is_ok();
        for (is, make) in [("a folder", "mkdir"), ("no regular file", "mkfifo")] {
            assert!(Command::new(make).arg(&there).status().unwrap().success());
            for args in [&["doctor"][..], &["session", "--listen", "127.0.0.1:0"], &["export", "x"]] {
                let told = run(&mut command(home.path(), args));
                assert_fails(&told, &["move it away"]);
                assert!(told.stderr.contains(&format!("{} is {is}, ", there.display())), "{}", told.stderr);
            }
            fs::remove_dir(&there).or_else(|_| fs::remove_file(&there)).unwrap();
        }
        if was_there {
            fs::rename(&aside, &there).unwrap();
        }
    }
    let well = run(&mut command(home.path(), &["doctor"]));
    assert!(well.stderr.contains("1 torrent: all is well"), "{}", well.stderr);
}

/// Of a database that was cut off at a page it is told which torrents are lost.
#[test]
fn what_is_lost_of_a_database_that_was_cut_off_is_told() {
    let home = downloaded();
    let database = home.path().join("state/rawtorrent/session.db");
    let file = File::options().write(true).open(&database).unwrap();
    file.set_len(4096).unwrap();
    let mut begun = command(home.path(), &["session", "--listen", "127.0.0.1:0"]);
    let begun = run(begun.stdin(std::process::Stdio::null()));
    assert!(begun.stderr.contains("the state was damaged"), "{}", begun.stderr);
    assert!(begun.stderr.contains(&format!("lost: {}", hex(&home.info_hash))), "{}", begun.stderr);
    assert!(begun.stdout.contains("\"lost\":1,\"torrents\":0"), "{}", begun.stdout);
}

#[test]
fn a_missing_database_is_no_first_start() {
    let home = downloaded();
    let state = home.path().join("state/rawtorrent");
    fs::remove_file(state.join("session.db")).unwrap();
    for args in [&["doctor"][..], &["session", "--listen", "127.0.0.1:0"], &["export", "x"], &["import", "x"]]
    {
        let is_import = args[0] == "import";
        if is_import {
            fs::write(home.path().join("x"), "").unwrap();
        }
        let lost = run(command(home.path(), args).current_dir(home.path()));
        if !is_import {
            assert_fails(&lost, &["session.db is missing, though a session was here", "remove session.lock"]);
        }
        assert!(!state.join("session.db").exists(), "nothing is begun");
    }
    fs::remove_file(state.join("session.lock")).unwrap();
    let (running, ready) = Running::start(home.path(), &[]);
    assert_eq!(ready["torrents"], 0);
    running.end();
}

/// Whoever opens a session first says what damage cost it, and what is not fetched back is told until that is put away.
#[test]
fn what_damage_cost_is_told_by_whoever_opens_the_session() {
    let link = format!("magnet:?xt=urn:btih:{}", "7".repeat(40));
    for args in [
        &["session", "add", &link, "-o", ".", "--listen", "127.0.0.1:0", "--no-trackers"][..],
        &["import", "empty"],
    ] {
        let home = downloaded();
        let empty = tempfile::tempdir().unwrap();
        Running::start(empty.path(), &[]).0.end();
        let file = home.path().join("empty");
        let exported = run(&mut command(empty.path(), &["export", file.to_str().unwrap()]));
        assert_eq!(exported.code(), Some(0), "{}", exported.stderr);
        let state = home.path().join("state/rawtorrent");
        let len = fs::metadata(state.join("session.db")).unwrap().len();
        fs::write(state.join("session.db"), vec![0x55; usize::try_from(len).unwrap()]).unwrap();
        let mut first = command(home.path(), args);
        let first = run(first.current_dir(home.path()));
        assert_eq!(first.code(), Some(0), "{}", first.stderr);
        let hash = hex(&home.info_hash);
        assert!(first.stderr.contains("the state was damaged"), "{}", first.stderr);
        assert!(first.stderr.contains(&format!("lost: {hash}")), "{}", first.stderr);
        let told = run(&mut command(home.path(), &["doctor"]));
        assert_eq!(told.code(), Some(1), "{}", told.stderr);
        assert!(told.stdout.contains("damaged-1.db"), "{}", told.stdout);
        assert!(told.stdout.contains(&format!("{hash}: nothing of it can be read")), "{}", told.stdout);
        for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with("damaged-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let well = run(&mut command(home.path(), &["doctor"]));
        assert_eq!(well.code(), Some(0), "{}", well.stdout);
    }
}

#[test]
fn settings_move_without_torrents() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut running, _) = Running::start(home.path(), &[]);
    running.done(&json!({"do": "session", "max_down": 50_000}));
    running.end();
    let file = home.path().join("s");
    let args = ["export", file.to_str().unwrap()];
    assert_eq!(run(&mut command(home.path(), &args)).code(), Some(0));
    let args = ["import", file.to_str().unwrap()];
    assert_eq!(run(&mut command(other.path(), &args)).code(), Some(0));
    let (mut running, _) = Running::start(other.path(), &[]);
    assert_eq!(running.done(&json!({"do": "session"}))["max_down"], 50_000);
    running.end();
}

#[test]
fn an_export_leaves_other_files_alone() {
    let home = tempfile::tempdir().unwrap();
    Running::start(home.path(), &[]).0.end();
    let at = |name: &str| home.path().join(name);
    fs::write(at("s.export-new"), "theirs").unwrap();
    for (link, to) in [("link", "s.bak"), ("leads-nowhere", "none")] {
        std::os::unix::fs::symlink(to, at(link)).unwrap();
    }
    for (name, is_done) in [("s.bak", true), ("link", true), ("leads-nowhere", false)] {
        let done = run(&mut command(home.path(), &["export", at(name).to_str().unwrap()]));
        assert_eq!(done.code(), Some(i32::from(!is_done)), "{}", done.stderr);
    }
    assert_eq!(fs::read_to_string(at("s.export-new")).unwrap(), "theirs");
    let is_link = |name: &str| fs::symlink_metadata(at(name)).unwrap().is_symlink();
    assert!(is_link("link") && is_link("leads-nowhere") && !is_link("s.bak"));
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_str().unwrap().ends_with("new"));
    assert_eq!(names, ["s.export-new"]);
}

/// A state directory on a disk that nobody can write to.
#[test]
fn a_session_on_a_disk_for_reading_is_looked_at_and_exported() {
    let home = downloaded();
    let state = home.path().join("state/rawtorrent");
    let mount = format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", state.display());
    let file = home.path().join("exported");
    for is_killed in [false, true] {
        if is_killed {
            let (running, _) = Running::start(home.path(), &[]);
            running.kill();
        }
        for args in [&["doctor"][..], &["export", file.to_str().unwrap()]] {
            let done = run(&mut with_mount(&mount, &command(home.path(), args)));
            // One that was killed has something to be told of.
            let finds = i32::from(is_killed && done.stdout.contains("did not end cleanly"));
            assert_eq!(done.code(), Some(finds), "{} {}", done.stdout, done.stderr);
            assert!(done.stderr.contains("1 torrent"), "{}", done.stderr);
            assert!(!done.stdout.contains("damaged"), "{}", done.stdout);
        }
        assert!(fs::metadata(&file).unwrap().len() > 100);
    }
}

#[test]
fn a_session_whose_state_was_removed_refuses_orders() {
    let home = Home::new(Sample::MULTI);
    let (mut running, _) = Running::start(home.path(), &[]);
    let link = |digit: &str| format!("magnet:?xt=urn:btih:{}", digit.repeat(40));
    running.done(&json!({"do": "add", "torrent": link("7"), "dir": home.out(), "paused": true}));
    fs::remove_dir_all(home.path().join("state")).unwrap();
    running.order(&json!({"do": "add", "torrent": link("8"), "dir": home.out(), "paused": true}));
    let answer = running.next().unwrap();
    assert_eq!(answer["ok"], false, "{answer}");
    assert!(answer.to_string().contains("restart rawtorrent"), "{answer}");
    running.refused(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}), "unsaved");
    let left = fs::read_dir(home.path().join("state/rawtorrent/resume")).unwrap();
    assert_eq!(left.count(), 0, "it would be told as lost");
    running.kill();
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
