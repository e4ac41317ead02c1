//! Links that name a torrent by its v2 hash alone (BEP 52), from libtorrent, which knows torrents by both of their hashes:
//! a hybrid one comes over by its v1 half, and of a v2 one it is said that it cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;
#[path = "dht/theirs.rs"]
mod theirs;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use common::{LIMIT, assert_fails, run};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, digest};
use rawtorrent_tests::free_addr;
use rawtorrent_tests::interop::netns;
use rawtorrent_tests::metafile::PIECE_LEN;
use serde_json::{Value, json};
use theirs::Theirs;

const HYBRID: Sample = Sample { name: "hybrid", layout: &[("a", 3 * PIECE_LEN + 5), ("b", PIECE_LEN + 1)] };
const V2: Sample = Sample { name: "v2.bin", layout: &[("", 3 * PIECE_LEN + 5)] };

/// Seeds a new torrent of a sample; gives the link.
fn seed(theirs: &mut Theirs, sample: &Sample, dir: &Path, v2_only: bool) -> String {
    let path = sample.write(dir).unwrap();
    let (path, piece_length) = (path.to_str().unwrap(), PIECE_LEN);
    theirs.tell(
        &json!({"do": "seed_new", "node": 0, "path": path, "piece_length": piece_length, "v2_only": v2_only}),
    );
    let mut link = None;
    let finished = theirs.hear(LIMIT, |event: &Value| {
        if event["event"] == "finished" && event["name"] == sample.name {
            link = event["v2"].as_str().map(|v2| format!("magnet:?xt=urn:btmh:1220{v2}"));
        }
        link.is_some()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(finished), "libtorrent does not seed");
    link.unwrap()
}

fn download(home: &Path, link: &str, peer: SocketAddr) -> Command {
    let mut command = binary::command(home);
    command.args(["download", link, "--peer", &peer.to_string(), "--listen", "127.0.0.1:0"]);
    command
}

#[test]
#[ignore = "needs libtorrent: cargo xtask test --only interop"]
fn a_v2_hash_is_enough_for_a_hybrid_torrent_and_for_nothing_else() {
    netns::enter().unwrap();
    netns::set_up(&[Ipv4Addr::LOCALHOST.into()], Ipv6Addr::LOCALHOST.into()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let (nobody, addr) = (free_addr().unwrap(), free_addr().unwrap());
    let mut theirs = Theirs::start(nobody, &[addr], false);

    let link = seed(&mut theirs, &HYBRID, home.path(), false);
    let out = home.path().join("out");
    let done = run(download(home.path(), &link, addr).arg("-o").arg(&out));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let [original, copy] = [home.path(), &out].map(|dir| digest(&dir.join(HYBRID.name)).unwrap());
    assert_eq!(copy, original);

    let link = seed(&mut theirs, &V2, home.path(), true);
    let done = run(download(home.path(), &link, addr).arg("-o").arg(&out));
    assert_fails(&done, &["v2-only torrent (bep 52)"]);
    let file = home.path().join("v2.torrent");
    let done = run(download(home.path(), &link, addr).arg("--metadata-only").arg("-o").arg(&file));
    assert_fails(&done, &["piece layers"]);
    assert!(!file.exists() && !out.join(V2.name).exists());
}
