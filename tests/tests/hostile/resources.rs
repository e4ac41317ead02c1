//! A system that has run out of what a program needs.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::sized;
use crate::common::{Home, LIMIT};
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;
use rawtorrent_tests::peer::{FAST, FakeSeed, Serving, handshake};
use rawtorrent_tests::process;
use rawtorrent_tests::score::score;

/// What leaves no threads.
const MISER: &str = include_str!("threads.c");
/// The descriptors that a process of an old or a frugal system has.
const DESCRIPTORS: usize = 64;
/// Each more than there are descriptors.
const FILES: usize = 100;
const SEEDS: usize = 70;

/// As many files.
fn many_files() -> Sample {
    let name = |n: usize| -> &'static str { Box::leak(format!("{n}.bin").into_boxed_str()) };
    let layout: Vec<_> = (0..FILES).map(|n| (name(n), 20_000 + n)).collect();
    Sample { name: "many", layout: Box::leak(layout.into_boxed_slice()) }
}

/// The command where a process may have no more files and sockets open.
fn with_few_descriptors(command: &Command) -> Command {
    process::after(&format!("ulimit -n {DESCRIPTORS}"), command)
}

#[test]
fn sixty_four_descriptors_are_enough() {
    let rounds = sized(1, 10);
    for _ in 0..rounds {
        let home = Home::new(many_files());
        let seeds: Vec<_> = (0..SEEDS).map(|_| home.fake_seed()).collect();
        let download = home.download_from(&seeds.iter().collect::<Vec<_>>());
        let done = process::run(&mut with_few_descriptors(&download), LIMIT).unwrap();
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        home.assert_downloaded();
    }
    score(
        "sixty_four_descriptors_are_enough",
        "100 files from 70 seeds with 64 descriptors",
        rounds as u64,
        "each download went on to its end",
        "the download completes",
    );
}

#[test]
fn half_open_callers_take_no_descriptors() {
    let home = Home::new(many_files());
    let seed = FakeSeed::start(Serving { rate: Some(512 << 10), ..home.serving() }).unwrap();
    let addr = free_addr().unwrap();
    let mut download = home.download_from(&[&seed]);
    download.args(["--listen", &addr.to_string()]);
    let hello = handshake(FAST, home.info_hash, *b"-XX0000-half-a-hello");
    let over = Arc::new(AtomicBool::new(false));
    let callers = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let (mut open, mut count) = (VecDeque::new(), 0);
            while !over.load(Ordering::Relaxed) {
                if open.len() == 100 {
                    open.pop_front();
                }
                match TcpStream::connect(addr) {
                    Ok(mut stream) => {
                        let _ = stream.write_all(&hello[..60]);
                        open.push_back(stream);
                        count += 1;
                    }
                    // It does not listen yet, or takes nobody for the moment.
                    Err(_) => thread::yield_now(),
                }
            }
            count
        }
    });
    let done = process::run(&mut with_few_descriptors(&download), LIMIT).unwrap();
    over.store(true, Ordering::Relaxed);
    let count = callers.join().unwrap();
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(count > 100, "{count} callers");
    score(
        "half_open_callers_take_no_descriptors",
        "callers that do not finish their handshake, 100 at a time, beside a download with 64 descriptors",
        count,
        "the download went on to its end",
        "the download completes",
    );
}

#[test]
fn without_threads_it_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (source, library) = (dir.path().join("threads.c"), dir.path().join("threads.so"));
    fs::write(&source, MISER).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.unwrap().success());
    let (mut refused, mut threads) = (0, 0);
    loop {
        let home = Home::new(super::SMALL);
        let mut download = home.download_from(&[&home.fake_seed()]);
        download.env("LD_PRELOAD", &library).env("THREADS_MOST", threads.to_string());
        let done = process::run(&mut download, LIMIT).unwrap();
        if done.code() == Some(0) {
            home.assert_downloaded();
            break;
        }
        assert_eq!(done.code(), Some(1), "with {threads} threads: {}", done.stderr);
        assert!(done.stderr.contains("threads"), "with {threads} threads: {}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "with {threads} threads: {}", done.stderr);
        (refused, threads) = (refused + 1, threads + 1);
        assert!(threads < 100, "it never has enough");
    }
    assert!(refused > 0, "nothing was refused");
    score(
        "without_threads_it_says_so_and_ends",
        "each number of threads from none to enough",
        refused,
        "each download said in one line that there are none",
        "an error of one line, no panic",
    );
}
