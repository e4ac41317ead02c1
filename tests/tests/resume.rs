//! Going on after an interrupt, a kill, and after somebody else has touched the files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::{Home, INTERRUPT_LIMIT, LIMIT, assert_fails, run, start};
use rawtorrent_tests::content::{Sample, digest};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{BLOCK_LEN, FakeSeed, Serving};
use rustix::process::Signal;

/// Large enough that 16 MiB are a part of it.
const LARGE: Sample = Sample { name: "large.bin", layout: &[("", 48 * 1_048_576 + 5_000)] };
const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 40 * PIECE_LEN + 17)] };

/// What may be fetched again after a kill.
const KILL_LIMIT: usize = 16 << 20;

fn stalling_seed(home: &Home, limit: usize) -> FakeSeed {
    FakeSeed::start(Serving { limit, ..home.serving() }).unwrap()
}

#[test]
fn ctrl_c_loses_no_verified_piece() {
    let home = Home::new(SMALL);
    let first = stalling_seed(&home, 30 * PIECE_LEN + 3 * BLOCK_LEN);
    let mut session = start(&mut home.download_from(&[&first]));
    // Whole pieces that arrived are verified and told before the interrupt.
    let event =
        session.wait_event(LIMIT, |event| event["done"].as_u64() >= Some(10 * PIECE_LEN as u64)).unwrap();
    let verified = usize::try_from(event["done"].as_u64().unwrap()).unwrap();
    let (code, took) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
    assert!(took < INTERRUPT_LIMIT, "{took:?}");

    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    // Each piece was asked for in one of the runs at least; those of the first run that were verified, not again.
    let again: BTreeSet<u32> = second.requests().iter().map(|(piece, _)| *piece).collect();
    let kept = SMALL.len().div_ceil(PIECE_LEN) - again.len();
    assert!(kept * PIECE_LEN >= verified, "{verified} bytes were verified, {kept} pieces were kept");
}

#[test]
fn ctrl_c_keeps_a_finished_torrent_finished() {
    let home = Home::new(Sample::MULTI);
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("\"finished\""), "{}", done.stdout);
    assert_eq!(second.served(), 0);
    home.assert_downloaded();
}

#[test]
fn a_kill_costs_16_mib_at_most() {
    let home = Home::new(LARGE);
    let stop_at = 40 << 20;
    let first = stalling_seed(&home, stop_at);
    let mut session = start(&mut home.download_from(&[&first]));
    assert!(first.wait_served(stop_at - BLOCK_LEN, LIMIT), "served {}", first.served());
    session.process.stop(Signal::KILL, LIMIT).unwrap();

    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    let again = (first.served() + second.served()).saturating_sub(LARGE.len());
    assert!(again <= KILL_LIMIT, "{again} bytes were fetched again");
}

#[test]
fn kills_again_and_again_never_spoil_a_byte() {
    let home = Home::new(Sample::MULTI);
    let step = Sample::MULTI.len() / 5;
    for _ in 0..4 {
        let seed = stalling_seed(&home, step);
        let mut session = start(&mut home.download_from(&[&seed]));
        // What a kill made unsure may be there after all, and then less than a step is wanted.
        let _ = seed.wait_served(step / 2, Duration::from_secs(5));
        session.process.stop(Signal::KILL, LIMIT).unwrap();
    }
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
}

#[test]
fn what_changed_meanwhile_is_fetched_again() {
    let home = Home::new(SMALL);
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);

    let mut bytes = SMALL.stream();
    bytes[7 * PIECE_LEN + 5] ^= 0xff;
    bytes.truncate(39 * PIECE_LEN);
    fs::write(home.downloaded(), bytes).unwrap();
    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    let again: BTreeSet<u32> = second.requests().iter().map(|(piece, _)| *piece).collect();
    assert_eq!(again, BTreeSet::from([7, 39, 40]));
}

#[test]
fn what_is_gone_is_fetched_again() {
    let home = Home::new(Sample::MULTI);
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    fs::remove_file(home.downloaded().join("nested/deep/deeper/odd.bin")).unwrap();
    fs::remove_file(home.downloaded().join("empty.txt")).unwrap();
    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(second.served() < 1_234_567 + 2 * PIECE_LEN, "{} bytes were fetched again", second.served());
}

#[test]
fn without_its_state_the_content_is_checked_and_kept() {
    let home = Home::new(SMALL);
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    fs::remove_dir_all(home.path().join("state")).unwrap();
    let second = home.fake_seed();
    let done = run(&mut home.download_from(&[&second]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert_eq!(second.served(), 0);
}

#[test]
fn a_state_that_is_garbage_is_not_believed() {
    let home = Home::new(SMALL);
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let mut spoiled = 0;
    for file in files_under(home.path().join("state")) {
        let len = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        fs::write(&file, rawtorrent_tests::content::bytes(9, len)).unwrap();
        spoiled += 1;
    }
    assert!(spoiled > 0, "no state was kept");
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
}

fn files_under(dir: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn one_torrent_has_one_owner_per_folder() {
    let home = Home::new(SMALL);
    let seed = stalling_seed(&home, PIECE_LEN);
    let mut session = start(&mut home.download_from(&[&seed]));
    assert!(seed.wait_served(PIECE_LEN, LIMIT));
    let done = run(&mut home.download_from(&[&home.fake_seed()]));
    assert_fails(&done, &["another", "already", "lock", "in use"]);
    assert!(session.process.is_running());
    assert_eq!(session.interrupt().unwrap().0, Some(130));
}

#[test]
fn files_that_are_not_wanted_are_never_made() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let done = run(home.download_from(&[&seed]).args(["--select", "1,3"]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let lines = digest(&home.downloaded()).unwrap();
    let names: Vec<&str> = lines.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["odd.bin", "日本語 файл.bin"], "{lines}");

    let original = tempfile::tempdir().unwrap();
    let expected = digest(&Sample::MULTI.write(original.path()).unwrap()).unwrap();
    assert!(lines.lines().all(|line| expected.contains(line)), "{lines}\n{expected}");

    // And later all of it, without what is there.
    let before = seed.served();
    let done = run(&mut home.download_from(&[&seed]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(seed.served() - before < Sample::MULTI.len() - 1_200_000, "{}", seed.served());
}
