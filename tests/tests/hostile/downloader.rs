//! What a downloader meets.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SMALL;
use crate::common::{Home, LIMIT, run, start};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{BLOCK_LEN, FakeSeed, Serving, id, message, request};

/// How often a test is played whose outcome hangs on who comes first.
const ROUNDS: usize = 10;

#[test]
fn bad_blocks_are_thrown_away_and_their_sender_left() {
    for _ in 0..ROUNDS {
        let home = Home::new(SMALL);
        assert_completes_beside_a_liar(&home, &home.fake_seed());
    }
}

#[test]
fn bad_blocks_of_an_earlier_run_are_nobodys_fault() {
    for _ in 0..ROUNDS {
        let home = Home::new(SMALL);
        let liar = FakeSeed::start(Serving { lying: true, ..home.serving() }).unwrap();
        let mut session = start(&mut home.download_from(&[&liar]));
        // Not more: the last piece has 17 bytes, and may be all that it takes.
        assert!(liar.wait_served(1, LIMIT));
        assert_eq!(session.interrupt().unwrap().0, Some(130));
        assert_completes_beside_a_liar(&home, &home.fake_seed());
    }
}

fn assert_completes_beside_a_liar(home: &Home, honest: &FakeSeed) {
    let liar = FakeSeed::start(Serving { lying: true, ..home.serving() }).unwrap();
    let done = run(&mut home.download_from(&[&liar, honest]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(liar.served() < 10 * SMALL.len(), "the liar served {} bytes", liar.served());
}

#[test]
fn messages_nobody_asked_for_change_nothing() {
    let home = Home::new(SMALL);
    let bytes = SMALL.stream();
    let unasked = message(id::PIECE, &[&[0; 8][..], &vec![7; BLOCK_LEN]].concat());
    let past_the_end = message(id::PIECE, &[&[0xff; 8][..], &vec![7; BLOCK_LEN]].concat());
    let greetings = [
        unasked.clone(),
        past_the_end,
        unasked.repeat(50),
        message(id::HAVE, &u32::MAX.to_be_bytes()),
        message(id::REJECT, &request(0, 0, 16_384)),
        message(id::ALLOWED_FAST, &0_u32.to_be_bytes()),
        message(id::REQUEST, &request(0, 0, 16_384)),
        message(id::BITFIELD, &[0xff; 3]),
        message(id::BITFIELD, &[0xff; 100]),
        vec![0xff; 1_000],
        vec![0; 4_000],
        message(id::CHOKE, &[]),
        message(id::EXTENDED, b"\0d1:md11:ut_metadatai-1eee"),
        message(id::EXTENDED, b"\0not bencode"),
        message(id::EXTENDED, &[]),
    ];
    for greeting in greetings {
        let shown = greeting[..greeting.len().min(16)].to_vec();
        let home = &home;
        let hostile = FakeSeed::start(Serving {
            greeting,
            limit: 0,
            ..Serving::all(home.info_hash, Arc::new(bytes.clone()))
        })
        .unwrap();
        let honest = home.fake_seed();
        let done = run(&mut home.download_from(&[&hostile, &honest]));
        assert_eq!(done.code(), Some(0), "{shown:?}\n{}", done.stderr);
        home.assert_downloaded();
        fs::remove_file(home.downloaded()).unwrap();
    }
}

#[test]
fn a_seed_that_stalls_does_not_hold_up_the_rest() {
    let home = Home::new(SMALL);
    let stalling = FakeSeed::start(Serving { limit: 2 * PIECE_LEN, ..home.serving() }).unwrap();
    let honest = home.fake_seed();
    let started = Instant::now();
    let done = run(&mut home.download_from(&[&stalling, &honest]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn no_block_is_fetched_twice_from_a_good_seed() {
    let home = Home::new(SMALL);
    let seed = home.fake_seed();
    let done = run(&mut home.download_from(&[&seed]));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let requests = seed.requests();
    let distinct: BTreeSet<_> = requests.iter().collect();
    assert_eq!(distinct.len(), requests.len(), "asked twice");
    assert_eq!(seed.served(), SMALL.len());
}
