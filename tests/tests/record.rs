//! A download is recorded and gone through again: the brain decides the same, and nothing of it is told that should not be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail like a test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT, assert_fails, run};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{BLOCK_LEN, FAST_EXTENDED, PLAIN, RawPeer, id, message, request};
use rustix::process::Signal;
use serde_json::{Value, json};

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

    let all = replay(&["--json", "--addresses"]).stdout;
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [began, lines @ .., verdict] = &all[..] else { panic!("nothing is told") };
    assert_eq!(began, &json!({"event": "began", "v": 1, "began": null}));
    let [inputs, outputs] = ["inputs", "outputs"].map(|count| verdict[count].as_u64().unwrap());
    assert!(inputs > 6400 && outputs > 6400, "a block of 16 KiB is asked for, and comes: {verdict}");
    let expected =
        json!({"event": "replayed", "same": true, "inputs": inputs, "outputs": outputs, "whole": true});
    assert_eq!(verdict, &expected);
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
    assert_eq!(some.last().unwrap()["whole"], true, "it has its end, whatever was shown");
    let some: Vec<Value> = some.into_iter().filter(|line| line["event"] == "trace").collect();
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
    let verdict = replay(&["--json"]).stdout;
    let verdict: Value = serde_json::from_str(verdict.lines().last().unwrap()).unwrap();
    assert_eq!((&verdict["event"], &verdict["whole"]), (&json!("replayed"), &json!(false)));
    assert!(verdict["inputs"].as_u64().unwrap() < inputs && verdict["same"] == true, "{verdict}");
    bytes.truncate(middle);
    fs::write(&recording, &bytes).unwrap();
    let cut = replay(&[]);
    // In a chunk that is whole there is something to check, and only in one.
    assert_eq!(cut.code(), Some(i32::from(cut.stdout.is_empty())), "{}", cut.stderr);
    let said = if cut.stdout.is_empty() { "it ends before anything was recorded" } else { "cut off" };
    assert!(cut.stderr.contains(said), "{}", cut.stderr);
    assert_fails(&run(home.command().arg("replay").arg(&home.torrent)), &["no recording"]);
}

#[test]
fn of_a_killed_download_there_is_a_recording() {
    let home = Home::new(Sample::SINGLE);
    let seed = home.fake_seed();
    let recording = home.path().join("a.rec");
    // Far less than a chunk in all the time that it may take.
    let mut download = home.download_from(&[&seed]);
    let session = common::start(download.args(["--max-down", "20K", "--record"]).arg(&recording));
    let replay = || run(home.command().arg("replay").arg(&recording));
    let deadline = Instant::now() + LIMIT;
    let count = |text: &str| text.lines().filter(|line| line.contains("-> piece")).count();
    let told = rawtorrent_tests::poll(deadline, || {
        let told = recording.exists().then(replay)?;
        (count(&told.stdout) > 0).then_some(told)
    });
    let told = told.unwrap_or_else(|| panic!("nothing is written: {}", session.process.stderr()));
    session.process.signal(Signal::KILL);
    assert!(session.process.wait_ended(deadline).unwrap());
    assert!(fs::metadata(&recording).unwrap().len() < 64 * 1024, "it is a chunk already");
    let replayed = replay();
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the recording was cut off here"), "{}", replayed.stderr);
    assert!(count(&replayed.stdout) >= count(&told.stdout), "{}", replayed.stdout);
    fs::write(&recording, b"").unwrap();
    assert_fails(&replay(), &["it is empty"]);
    fs::write(&recording, b"rawtorrent rec\0\x01").unwrap();
    assert_fails(&replay(), &["the recording has form 1, which this version of rawtorrent can't read"]);
    // What the recorder writes last when the disk is too slow.
    fs::write(&recording, b"rawtorrent rec\0\x02\x01\0\0\0\x9e\x0b\xa4\xd8\x08").unwrap();
    assert_fails(&replay(), &["it ends before anything was recorded that could be checked"]);
    // And what there is of one that was cut off before its first chunk.
    fs::write(&recording, b"rawtorrent rec\0\x02").unwrap();
    assert_fails(&replay(), &["it ends before anything was recorded that could be checked"]);
}

#[test]
fn what_nothing_was_written_to_is_not_in_the_way_of_the_next_try() {
    let home = Home::new(Sample::SINGLE);
    let seed = home.fake_seed();
    let at = |name: &str| home.path().join(name);
    let (recording, capture, redacted) = (at("a.rec"), at("a.pcapng"), at("b.rec"));
    let download = |source: &str, options: &[&str]| {
        let mut download = home.command();
        download.args(["download", source, "--trace", "--listen", "127.0.0.1:0", "--no-trackers"]);
        download.arg("--record").arg(&recording).arg("--pcap").arg(&capture);
        run(download.args(options).args(["--peer", &seed.addr.to_string()]).arg("-o").arg(home.out()))
    };
    let torrent = home.torrent.to_str().unwrap();
    for (source, options) in [
        ("nope.torrent", &[][..]),
        ("magnet:?xt=nonsense", &[]),
        (torrent, &["--metadata-only"]),
        (torrent, &["--select", "99"]),
    ] {
        let failed = download(source, options);
        assert_eq!(failed.code(), Some(1), "{}", failed.stderr);
        assert!(!recording.exists() && !capture.exists(), "{source} {options:?}: {}", failed.stderr);
    }
    let done = download(torrent, &[]);
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    assert!(capture.exists());

    let mut redact = home.command();
    redact.arg("replay").arg(&recording).arg("--redact").arg(&redacted);
    // As on a full disk: nothing can be written to a file, nor said in one.
    let mut full = Command::new("sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\" 2>/dev/null", "sh"]).arg(redact.get_program());
    full.args(redact.get_args()).envs(redact.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(run(&mut full).code(), Some(1));
    assert!(!redacted.exists());
    // What is cut off before its first chunk.
    let bytes = fs::read(&recording).unwrap();
    for cut in [16, 200] {
        fs::write(&recording, &bytes[..cut]).unwrap();
        assert_fails(&run(&mut redact), &["it ends before anything was recorded"]);
        assert!(!redacted.exists());
    }
    fs::write(&recording, &bytes).unwrap();
    assert_eq!(run(&mut redact).code(), Some(0));
}

#[test]
fn of_a_link_that_comes_to_nothing_there_is_no_recording() {
    let home = Home::new(Sample::SINGLE);
    let recording = home.path().join("a.rec");
    // A port at which nobody listens.
    let nowhere = format!("http://{}/a.torrent", rawtorrent_tests::free_addr().unwrap());
    for link in ["magnet:?xt=urn:btih:none", &nowhere] {
        let mut download = home.command();
        download.args(["download", link, "--listen", "127.0.0.1:0", "--record"]).arg(&recording);
        let done = run(download.arg("-o").arg(home.out()));
        assert!(done.code() != Some(0) && !recording.exists(), "{link}: {}", done.stderr);
    }
    fs::write(&recording, b"mine").unwrap();
    let done = run(home.download().arg("--record").arg(&recording));
    assert_fails(&done, &["already"]);
    assert_eq!(fs::read(&recording).unwrap(), b"mine");
    // What an earlier one left on a full disk.
    fs::write(&recording, b"").unwrap();
    let seed = home.fake_seed();
    let done = run(home.download_from(&[&seed]).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let replayed = run(home.command().arg("replay").arg(&recording));
    assert_eq!(replayed.code(), Some(0), "{}", replayed.stderr);
}

#[test]
fn a_recording_is_gone_through_step_by_step() {
    let home = Home::new(Sample::SINGLE);
    let seed = home.fake_seed();
    let (recording, keys) = (home.path().join("a.rec"), home.path().join("keys"));
    let done = run(home.download_from(&[&seed]).arg("--record").arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    for typed in ["", "\n\n\n"] {
        fs::write(&keys, typed).unwrap();
        let mut replay = home.command();
        replay.args(["replay", "--step"]).arg(&recording).stdin(fs::File::open(&keys).unwrap());
        let output = replay.output().unwrap();
        let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("the same ones"), "{said}");
        assert!(!said.contains("cut off"), "{said}");
        assert_eq!(told.lines().count(), typed.len() + 1, "a line, and one for each key: {told}");
    }
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
        let said = assert_same(trace, capture);
        assert!(said > 2 * 320, "{said} messages of 321 blocks, asked for and come");
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
        &["is there already; name a new file (--redact)"],
    );

    // Masked, a trace names nobody, and says what a message is for once.
    let explained = run(home.command().args(["replay", "--explain", "--json"]).arg(&recording));
    assert_eq!(explained.stdout.matches("\"explained\":\"request: ").count(), 1, "{}", explained.stderr);
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

/// Asserts that a trace and its capture tell the same, field by field, and nothing more or less; how many messages and
/// handshakes that are.
fn assert_same(trace: &str, capture: &Path) -> usize {
    let (told, read) = (told(trace), read(capture));
    assert_eq!(told.keys().collect::<Vec<_>>(), read.keys().collect::<Vec<_>>());
    for (ports, speech) in &told {
        for (number, (told, read)) in speech.iter().zip(&read[ports]).enumerate() {
            assert_eq!(told, read, "message {number} between {ports:?}");
        }
        assert_eq!(speech.len(), read[ports].len(), "between {ports:?}");
    }
    told.values().map(Vec::len).sum()
}

/// Says each of these to who calls, and waits for its end.
fn talker(reserved: [u8; 8], info_hash: [u8; 20], said: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut peer = RawPeer::greet(listener.accept().unwrap().0, reserved, info_hash).unwrap();
        said.iter().for_each(|message| peer.send(message).unwrap());
        // An error is an end, too.
        let _ = peer.read_until(|_| false);
    });
    addr
}

#[test]
fn every_kind_of_message_is_what_wireshark_reads() {
    let home = Home::new(Sample::SINGLE);
    let number = |number: u32| number.to_be_bytes();
    let range = [&[7; 32][..], &number(0), &number(512), &number(2), &number(3)].concat();
    let modern = [
        message(id::HAVE_NONE, b""),
        message(id::HAVE, &number(3)),
        message(id::SUGGEST, &number(5)),
        message(id::ALLOWED_FAST, &number(7)),
        message(id::PORT, &6881u16.to_be_bytes()),
        message(id::EXTENDED, b"\0d1:md11:lt_donthavei7e6:ut_pexi1ee1:v4:test4:reqqi9ee"),
        message(id::EXTENDED, b"\xc8whatever"),
        number(0).to_vec(),
        message(id::INTERESTED, b""),
        message(id::CANCEL, &request(1, 16_384, 16_384)),
        message(id::NOT_INTERESTED, b""),
        // Blocks that nobody asked for: one more than a packet holds, and one of no piece.
        message(id::PIECE, &[&number(1)[..], &number(0), &[7; 40 << 10]].concat()),
        message(id::PIECE, &[&number(u32::MAX)[..], &number(u32::MAX), &[7]].concat()),
        message(id::HASH_REQUEST, &range),
        message(id::HASHES, &[&range[..], &[9; 160]].concat()),
        message(id::HASH_REJECT, &range),
    ];
    let mut bits = vec![0; 321usize.div_ceil(PIECE_LEN / BLOCK_LEN).div_ceil(8)];
    bits[0] = 0xa5;
    let plain = [message(id::BITFIELD, &bits), message(id::CHOKE, b""), message(id::INTERESTED, b"")];
    let talkers = [(FAST_EXTENDED, modern.to_vec()), (PLAIN, plain.to_vec())]
        .map(|(reserved, said)| talker(reserved, home.info_hash, said));
    let capture = home.path().join("all.pcapng");
    let mut download = home.download_from(&[]);
    download.args(["--trace", "--addresses", "--pcap"]).arg(&capture);
    for addr in &talkers {
        download.args(["--peer", &addr.to_string()]);
    }
    let mut session = Session::start(&mut download).unwrap();
    for (addr, last) in talkers.iter().zip(["hash_reject", "interested"]) {
        let addr = addr.to_string();
        let is_last = |event: &Value| {
            event["peer"]["addr"] == *addr && event["direction"] == "in" && event["message"] == last
        };
        session.wait_event(LIMIT, is_last).unwrap();
    }
    let (code, _) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
    let trace = session.process.stdout();
    // Two handshakes a connection.
    assert!(assert_same(&trace, &capture) >= 4 + modern.len() + plain.len());
}

#[test]
fn what_was_open_before_it_was_captured_is_what_wireshark_reads() {
    let home = Home::new(Sample::SINGLE);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = Daemon::start(&home, &["--peer", &listener.local_addr().unwrap().to_string()]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    let mut peer = RawPeer::greet(listener.accept().unwrap().0, FAST_EXTENDED, home.info_hash).unwrap();
    peer.send(&message(id::HAVE_NONE, b"")).unwrap();
    peer.send(&message(id::EXTENDED, b"\0d1:md6:ut_pexi9ee1:v8:test 4.2e")).unwrap();
    // Once it is unchoked everything before was heard.
    peer.send(&message(id::INTERESTED, b"")).unwrap();
    assert!(peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().is_some());

    let capture = home.path().join("late.pcapng");
    let mut command = home.command();
    command.args(["trace", "--json", "--addresses", "--pcap"]).arg(&capture);
    command.env("RAWTORRENT_HOST", format!("http://{}", daemon.addr));
    let mut session = Session::start(&mut command).unwrap();
    session.wait_event(LIMIT, |event| event["event"] == "began").unwrap();
    peer.send(&message(id::EXTENDED, b"\x01d5:added0:e")).unwrap();
    peer.send(&message(id::NOT_INTERESTED, b"")).unwrap();
    let present = session.wait_event(LIMIT, |event| event["kind"] == "present").unwrap();
    assert_eq!((&present["client"], &present["outgoing"]), (&json!("test 4.2"), &json!(true)));
    let pex = session
        .wait_event(LIMIT, |event| event["message"] == "extended" && event["direction"] == "in")
        .unwrap();
    assert_eq!(pex["text"], "pex, 0 added, 0 dropped");
    session.wait_event(LIMIT, |event| event["message"] == "not_interested").unwrap();
    let (code, _) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
    let said = assert_same(&session.process.stdout(), &capture);
    assert!(said >= 4, "two handshakes and two messages: {said}");
    daemon.end();
}

/// A message or handshake, field by field, as tshark calls them.
type Fields = BTreeMap<&'static str, String>;

/// From lines of JSON: what went from each port to each.
fn told(trace: &str) -> BTreeMap<[u64; 2], Vec<Fields>> {
    // Of our own port of a connection the trace does not tell: peers have one each here.
    let mut told = BTreeMap::<_, Vec<Fields>>::new();
    for line in trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if !["message", "handshake", "unrequested", "present"].map(Value::from).contains(&line["kind"]) {
            continue;
        }
        let port = line["peer"]["addr"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        if line["kind"] == "present" {
            let handshake = |reserved, id| {
                let names = [("reserved", reserved), ("info_hash", "info_hash"), ("peer_id", id)];
                names.map(|(name, key): (_, &str)| (name, line[key].as_str().unwrap().to_owned())).into()
            };
            told.entry([0, port]).or_default().push(handshake("our_reserved", "our_id"));
            told.entry([port, 0]).or_default().push(handshake("reserved", "peer_id"));
            continue;
        }
        let ends = if line["direction"] == "out" { [0, port] } else { [port, 0] };
        told.entry(ends).or_default().push(fields(&line));
    }
    told
}

fn fields(line: &Value) -> Fields {
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    let number = |key: &str| line[key].as_u64().unwrap();
    if line["kind"] == "handshake" {
        let names = ["reserved", "info_hash", "peer_id"];
        return names.map(|name| (name, text(name))).into();
    }
    let (name, length_of_block) = match &line["kind"] {
        kind if kind == "unrequested" => ("piece".to_owned(), "bytes"),
        _ => (text("message"), "length"),
    };
    let mut said = Fields::new();
    let (kind, length) = match &*name {
        "keep_alive" => (None, 0),
        "choke" => (Some(0), 1),
        "unchoke" => (Some(1), 1),
        "interested" => (Some(2), 1),
        "not_interested" => (Some(3), 1),
        "have" => (Some(4), 5),
        "bitfield" => (Some(5), 1 + text("bits").len() as u64 / 2),
        "request" => (Some(6), 13),
        "piece" => (Some(7), 9 + number(length_of_block)),
        "cancel" => (Some(8), 13),
        "port" => (Some(9), 3),
        "suggest_piece" => (Some(13), 5),
        "have_all" => (Some(14), 1),
        "have_none" => (Some(15), 1),
        "reject_request" => (Some(16), 13),
        "allowed_fast" => (Some(17), 5),
        "extended" => (Some(20), 2 + text("payload").len() as u64 / 2 + number("left_out")),
        "hash_request" => (Some(21), 49),
        "hashes" => (Some(22), 49 + text("hashes").len() as u64 / 2),
        "hash_reject" => (Some(23), 49),
        other => panic!("{other}"),
    };
    said.insert("msg.length", length.to_string());
    said.extend(kind.map(|kind| ("msg.type", kind.to_string())));
    for (field, key) in [("piece.index", "piece"), ("piece.begin", "offset"), ("port", "port")] {
        // Extension messages have their own.
        if name != "extended" && line[key].is_u64() {
            said.insert(field, number(key).to_string());
        }
    }
    match &*name {
        "request" | "cancel" | "reject_request" => {
            drop(said.insert("piece.length", number("length").to_string()));
        }
        "piece" => drop(said.insert("piece.data", number(length_of_block).to_string())),
        "bitfield" => drop(said.insert("msg.bitfield", text("bits"))),
        "extended" => {
            said.insert("extended.id", number("id").to_string());
            let left_out = usize::try_from(number("left_out")).unwrap();
            said.insert("raw", text("payload") + &"00".repeat(left_out));
        }
        "hash_request" | "hash_reject" => drop(said.insert("raw", range(line))),
        "hashes" => drop(said.insert("raw", range(&line["range"]) + &text("hashes"))),
        _ => {}
    }
    said
}

/// The hashes that a message of BEP 52 is about, as they go over the wire.
fn range(of: &Value) -> String {
    let numbers = ["base_layer", "index", "length", "proof_layers"];
    let numbers = numbers.map(|name| format!("{:08x}", of[name].as_u64().unwrap())).concat();
    of["pieces_root"].as_str().unwrap().to_owned() + &numbers
}

/// The fields that tshark shows of BitTorrent.
const SHOWN: [&str; 12] = [
    "msg.length",
    "msg.type",
    "piece.index",
    "piece.begin",
    "piece.length",
    "piece.data",
    "msg.bitfield",
    "port",
    "extended.id",
    "reserved",
    "info_hash",
    "peer_id",
];

/// The same from a capture, as tshark dissects it; what it does not show is taken from the bytes.
fn read(capture: &Path) -> BTreeMap<[u64; 2], Vec<Fields>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(capture).args(["-Y", "bittorrent", "-T", "fields", "-E", "separator=|"]);
    let ends = ["ip.src", "tcp.srcport", "tcp.dstport", "tcp.payload"].map(str::to_owned);
    for field in ends.into_iter().chain(SHOWN.map(|field| format!("bittorrent.{field}"))) {
        tshark.arg("-e").arg(field);
    }
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut read = BTreeMap::<_, Vec<Fields>>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let columns: Vec<String> = line.split('|').map(|field| field.replace(':', "")).collect();
        let number = |field: &str| {
            let hex = field.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16).unwrap());
            hex.unwrap_or_else(|| field.parse().unwrap())
        };
        let is_ours = columns[0] == "10.0.0.1";
        let ends = if is_ours { [0, number(&columns[2])] } else { [number(&columns[1]), 0] };
        let mut said = Fields::new();
        for (name, value) in SHOWN.into_iter().zip(&columns[4..]).filter(|(_, value)| !value.is_empty()) {
            let value = match name {
                "msg.bitfield" | "reserved" | "info_hash" | "peer_id" => value.clone(),
                // Payload is filled with zeros.
                "piece.data" => {
                    assert!(value.bytes().all(|digit| digit == b'0'));
                    (value.len() / 2).to_string()
                }
                _ => number(value).to_string(),
            };
            said.insert(name, value);
        }
        // Four bytes of length, the type, and of extensions their number.
        let bytes = &columns[3];
        if said.is_empty() && bytes.len() > 8 && bytes.bytes().all(|digit| digit == b'0') {
            continue;
        }
        match bytes.get(8..10).map(|kind| u8::from_str_radix(kind, 16).unwrap()) {
            Some(id::EXTENDED) if said.contains_key("extended.id") => {
                drop(said.insert("raw", bytes[12..].to_owned()));
            }
            // These it does not know.
            Some(kind @ id::HASH_REQUEST..=id::HASH_REJECT) if !said.contains_key("reserved") => {
                let length = u64::from_str_radix(&bytes[..8], 16).unwrap().to_string();
                let raw = bytes[10..].to_owned();
                said = [("msg.length", length), ("msg.type", kind.to_string()), ("raw", raw)].into();
            }
            // Of a longer one than that of a block of 16 KiB it takes the start for more of what came before, and the rest,
            // which is passed over above, for keep-alives.
            Some(kind @ id::PIECE) if said.is_empty() => {
                let number = |at: usize| u64::from_str_radix(&bytes[at..at + 8], 16).unwrap();
                assert!(number(0) > 9 + 16_384, "{line}");
                said = [
                    ("msg.length", number(0).to_string()),
                    ("msg.type", kind.to_string()),
                    ("piece.index", number(10).to_string()),
                    ("piece.begin", number(18).to_string()),
                    ("piece.data", (number(0) - 9).to_string()),
                ]
                .into();
            }
            // Of a keep-alive it shows no field.
            None if bytes == "00000000" => drop(said.insert("msg.length", "0".into())),
            _ => {}
        }
        read.entry(ends).or_default().push(said);
    }
    read
}
