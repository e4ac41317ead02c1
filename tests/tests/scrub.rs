//! The scrub: what rots on the disk is found though nobody asks for it, and what is sound is left alone.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use common::kept::Running;
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::poll;
use serde_json::json;

const ROTS: Sample = Sample { name: "rots", layout: &[("", 1_000_000)] };
const SOUND: Sample = Sample { name: "sound", layout: &[("", 500_000)] };

#[test]
fn what_rots_is_found_and_fetched_again() {
    let (home, other) = (Home::new(ROTS), Home::new(SOUND));
    let (seed, sound) = (home.fake_seed(), other.fake_seed());
    let (addr, sound_addr) = (seed.addr.to_string(), sound.addr.to_string());
    let options = ["--peer", &addr, "--peer", &sound_addr, "--scrub", "10M"];
    let (mut running, _) = Running::start(home.path(), &options);
    for home in [&home, &other] {
        running.done(&json!({"do": "add", "torrent": home.torrent, "dir": home.out()}));
        running.done(&json!({"do": "wait", "info_hash": hex(&home.info_hash)}));
    }
    let file = home.downloaded();
    let whole = fs::read(&file).unwrap();
    let before = (seed.served(), sound.served());
    for at in [0_usize, 700_000] {
        let bad = [!whole[at]];
        File::options().write(true).open(&file).unwrap().write_all_at(&bad, at as u64).unwrap();
        let is_mended = || (fs::read(&file).unwrap() == whole).then_some(());
        assert!(poll(Instant::now() + LIMIT, is_mended).is_some(), "it is not found, or not fetched again");
    }
    let is_seeding = || {
        let list = running.done(&json!({"do": "list"}));
        list["torrents"].as_array().unwrap().iter().all(|torrent| torrent["state"] == "seeding").then_some(())
    };
    assert!(poll(Instant::now() + LIMIT, is_seeding).is_some());
    let came = seed.served() - before.0;
    assert!((2 * PIECE_LEN..=4 * PIECE_LEN).contains(&came), "{came} bytes came again");
    assert_eq!(sound.served(), before.1, "what is sound stays");
    running.end();
}
