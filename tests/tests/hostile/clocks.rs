//! Clocks that jump, and machines that were asleep.

use std::fs;
use std::process::Command;

use super::{SMALL, sized};
use crate::common::{Home, LIMIT};
use rawtorrent_tests::process;
use rawtorrent_tests::score::score;

/// What lies about the time of day.
const LIAR: &str = include_str!("clocks.c");
const TEN_YEARS: i64 = 10 * 365 * 86_400;
/// Seconds that are added to the time of day, from then on in turns with others, and to the clock that only goes forward.
const JUMPS: [[i64; 3]; 6] = [
    [TEN_YEARS, TEN_YEARS, 0],
    [-TEN_YEARS, -TEN_YEARS, 0],
    [TEN_YEARS, -TEN_YEARS, 0],
    [8 * 3600, 8 * 3600, 0],
    // Where a clock that only goes forward goes on while the machine sleeps.
    [8 * 3600, 8 * 3600, 8 * 3600],
    [TEN_YEARS, TEN_YEARS, TEN_YEARS],
];

#[test]
fn clocks_jump_and_machines_sleep() {
    let dir = tempfile::tempdir().unwrap();
    let (source, library) = (dir.path().join("clocks.c"), dir.path().join("clocks.so"));
    fs::write(&source, LIAR).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.unwrap().success());
    let rounds = sized(1, 10);
    for [first, then, slept] in std::iter::repeat_n(JUMPS, rounds).flatten() {
        let home = Home::new(SMALL);
        let seeds = [home.fake_seed(), home.fake_seed()];
        let mut download = home.download_from(&[&seeds[0], &seeds[1]]);
        // Slow enough that the jump comes in between.
        download.args(["--max-down", "400k"]);
        download.env("LD_PRELOAD", &library).env("CLOCK_JUMPS", format!("{first} {then} {slept}"));
        let done = process::run(&mut download, LIMIT).unwrap();
        assert_eq!(done.code(), Some(0), "{first} {then} {slept}: {}", done.stderr);
        home.assert_downloaded();
    }
    score(
        "clocks_jump_and_machines_sleep",
        "jumps of ten years both ways, once and again and again; eight hours and ten years of sleep",
        (rounds * JUMPS.len()) as u64,
        "each download went on to its end",
        "the download completes",
    );
}
