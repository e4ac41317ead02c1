//! A download is recorded and gone through again: the brain decides the same, and nothing of it is told that should not be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Home, assert_fails, run};
use rawtorrent_tests::content::{Sample, hex};
use serde_json::Value;

/// A hundred MiB.
const LARGE: Sample = Sample { name: "large.bin", layout: &[("", 100 << 20)] };
const PEERS: usize = 4;

#[test]
fn a_recorded_download_decides_the_same_when_it_is_replayed() {
    let home = Home::new(LARGE);
    let seeds: Vec<_> = (0..PEERS).map(|_| home.fake_seed()).collect();
    let recording = home.path().join("a.rec");
    let done = run(home.download_from(&seeds.iter().collect::<Vec<_>>()).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    home.assert_downloaded();
    let len = fs::metadata(&recording).unwrap().len();
    println!("{len} bytes of {}", 100 << 20);
    assert!(len * 50 <= 100 << 20, "more than 2 % of the payload: {len} bytes");

    let replay = |options: &[&str]| run(home.command().arg("replay").arg(&recording).args(options));
    let replayed = replay(&[]);
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the same ones as when it was recorded"), "{}", replayed.stderr);
    assert!(!replayed.stderr.contains("cut off"), "{}", replayed.stderr);
    assert!(!replayed.stdout.contains("127.0.0.1"), "an address is told");
    let count = |text: &str| replayed.stdout.lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("it answers"), count(" is good")), (PEERS, 1600 + 1));

    let lines = replay(&["--json", "--addresses"]).stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for seed in &seeds {
        let addr = seed.addr.to_string();
        let of = |way: &str, text: &str| {
            let is = |line: &&Value| {
                line["peer"]["addr"] == *addr && line["direction"] == *way && line["message"] == *text
            };
            lines.iter().filter(is).count()
        };
        let (asked, came) = (of("out", "request"), of("in", "piece"));
        assert!(asked > 0 && came > 0 && came <= asked, "{addr}: {asked} requests, {came} blocks");
    }
    let times: Vec<f64> = lines.iter().map(|line| line["at"].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] == 0.0);

    // Only up to a time.
    let until = replay(&["--until", "0", "--json"]);
    let some: Vec<Value> = until.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!some.is_empty() && some.len() < lines.len() && some.iter().all(|line| line["at"] == 0.0));

    // What is there is not written over, and what is damaged is not believed.
    let again = run(home.download_from(&[]).arg("--record").arg(&recording));
    assert_fails(&again, &["already"]);
    let mut bytes = fs::read(&recording).unwrap();
    assert_eq!(bytes.len() as u64, len);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&recording, &bytes).unwrap();
    assert_fails(&replay(&[]), &["damaged"]);
    bytes.truncate(middle);
    fs::write(&recording, &bytes).unwrap();
    let cut = replay(&[]);
    assert_eq!(cut.code(), Some(0), "{}", cut.stderr);
    assert!(cut.stderr.contains("cut off"), "{}", cut.stderr);
    assert_fails(&run(home.command().arg("replay").arg(&home.torrent)), &["no recording"]);
}

#[test]
fn of_a_magnet_link_the_names_of_files_go_too() {
    let (seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    let home = Home::new(Sample::SINGLE);
    let link =
        format!("magnet:?xt=urn:btih:{}&tr=http%3A%2F%2F127.0.0.1%3A9%2Fpasskey", hex(&seed_home.info_hash));
    let (recording, redacted) = (home.path().join("a.rec"), home.path().join("b.rec"));
    let mut download = home.command();
    download.args([
        "download",
        &link,
        "--peer",
        &addr.to_string(),
        "--listen",
        "127.0.0.1:0",
        "--no-trackers",
    ]);
    let done = run(download.arg("-o").arg(home.out()).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let done = run(home.command().arg("replay").arg(&recording).arg("--redact").arg(&redacted));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert!(!done.stderr.contains("passkey"), "{}", done.stderr);
    let [before, after] = [&recording, &redacted].map(|file| fs::read(file).unwrap());
    let is_in = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    for name in [Sample::MULTI.name.as_bytes(), b"deeper", &seed_home.info_hash] {
        assert!(is_in(&before, name) && !is_in(&after, name), "{}", String::from_utf8_lossy(name));
    }
    assert!(!is_in(&before, b"passkey") && !is_in(&after, b"passkey"), "trackers are no input");
    let replayed = run(home.command().arg("replay").arg(&redacted));
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the same ones as when it was recorded"), "{}", replayed.stderr);
}

/// What one side of a connection said, in order: type, and piece and offset where it has them.
type Speech = Vec<(u64, Option<[u64; 2]>)>;

#[test]
fn what_is_traced_is_what_wireshark_reads() {
    let home = Home::new(Sample::SINGLE);
    let seeds = [home.fake_seed(), home.fake_seed()];
    let (recording, live, again) =
        (home.path().join("a.rec"), home.path().join("live.pcapng"), home.path().join("again.pcapng"));
    let mut download = home.download_from(&seeds.iter().collect::<Vec<_>>());
    download.args(["--trace", "--addresses", "--record"]).arg(&recording).arg("--pcap").arg(&live);
    let traced = run(&mut download);
    assert_eq!(traced.code(), Some(0), "{}", traced.stderr);
    home.assert_downloaded();
    let replayed = run(home
        .command()
        .arg("replay")
        .args(["--json", "--addresses", "--pcap"])
        .arg(&again)
        .arg(&recording));
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);

    for (trace, capture) in [(&traced.stdout, &live), (&replayed.stdout, &again)] {
        let (told, read) = (told(trace), read(capture));
        let said: usize = told.values().map(Vec::len).sum();
        assert!(said > 2 * 320, "{said} messages of 321 blocks, asked for and come");
        assert_eq!(told.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>());
        for (ports, speech) in &told {
            assert_eq!(speech, &read[ports], "between {ports:?}");
        }
    }

    // Redacted, the recording has other names in it and replays all the same.
    let redacted = home.path().join("redacted.rec");
    let done = run(home.command().arg("replay").arg(&recording).arg("--redact").arg(&redacted));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let replay = |file: &Path| {
        let replayed = run(home.command().args(["replay", "--json"]).arg(file));
        assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
        let lines: Vec<Value> =
            replayed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names =
            |field: &str| lines.iter().filter_map(|line| line[field].as_str().map(str::to_owned)).collect();
        let (ids, hashes): (BTreeSet<String>, BTreeSet<String>) = (names("peer_id"), names("torrent"));
        (lines.len(), ids, hashes)
    };
    let (before, after) = (replay(&recording), replay(&redacted));
    assert!(before.1.is_disjoint(&after.1) && before.2.is_disjoint(&after.2), "{before:?} {after:?}");
    assert_eq!((before.0, before.1.len()), (after.0, after.1.len()));
    assert_fails(
        &run(home.command().arg("replay").arg(&recording).arg("--redact").arg(&redacted)),
        &["exists"],
    );

    // Masked, a trace names nobody, and says what a message is for once.
    let masked = run(home
        .command()
        .arg("replay")
        .args(["--explain", "--filter", "handshake,request,out"])
        .arg(&recording));
    assert_eq!(masked.code(), Some(0), "{}", masked.stderr);
    assert!(!masked.stdout.contains("127.0.0.1"), "an address is told");
    assert_eq!(masked.stdout.matches("send me this block of a piece").count(), 1);
    assert!(masked.stdout.lines().all(|line| !line.contains(" -> ")), "only what goes out");
}

/// From lines of JSON: what went from each port to each, keep-alives left out.
fn told(trace: &str) -> BTreeMap<[u64; 2], Speech> {
    // Of our own port of a connection the trace does not tell: peers have one each here.
    let mut told = BTreeMap::<_, Speech>::new();
    for line in trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if line["kind"] != "message" || line["message"] == "keep_alive" {
            continue;
        }
        let port = line["peer"]["addr"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let ends = if line["direction"] == "out" { [0, port] } else { [port, 0] };
        let number = |key: &str| line[key].as_u64().unwrap();
        let kind = match line["message"].as_str().unwrap() {
            "choke" => 0,
            "unchoke" => 1,
            "interested" => 2,
            "not_interested" => 3,
            "have" => 4,
            "bitfield" => 5,
            "request" => 6,
            "piece" => 7,
            "cancel" => 8,
            "port" => 9,
            "suggest_piece" => 13,
            "have_all" => 14,
            "have_none" => 15,
            "reject_request" => 16,
            "allowed_fast" => 17,
            "extended" => 20,
            other => panic!("{other}"),
        };
        let place = match kind {
            6 | 7 | 8 | 16 => Some([number("piece"), number("offset")]),
            _ => None,
        };
        told.entry(ends).or_default().push((kind, place));
    }
    told
}

/// The same from a capture, as tshark dissects it.
fn read(capture: &Path) -> BTreeMap<[u64; 2], Speech> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(capture).args(["-Y", "bittorrent.msg.type", "-T", "fields", "-E", "separator=|"]);
    for field in [
        "ip.src",
        "tcp.srcport",
        "tcp.dstport",
        "bittorrent.msg.type",
        "bittorrent.piece.index",
        "bittorrent.piece.begin",
    ] {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut read = BTreeMap::<_, Speech>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let number = |field: &str| {
            let hex = field.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16).unwrap());
            hex.unwrap_or_else(|| field.parse().unwrap())
        };
        // Our end, which has a port of its own for each connection.
        let is_ours = fields[0] == "10.0.0.1";
        let ends = if is_ours { [0, number(fields[2])] } else { [number(fields[1]), 0] };
        let kind = number(fields[3]);
        let place = match kind {
            6 | 7 | 8 | 16 => Some([number(fields[4]), number(fields[5])]),
            _ => None,
        };
        read.entry(ends).or_default().push((kind, place));
    }
    read
}
