//! A whole download, from `/download` to the summary.

use std::net::SocketAddr;

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::{Call, Place};
use rawtorrent_tests::free_addr;
use rawtorrent_tests::interop::cell::{Partner, Tracker};
use rawtorrent_tests::interop::partner::{Job, Running, start_partner};
use rawtorrent_tests::interop::{Party, Programs};
use rustix::process::Signal;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::common::{self, Home};
use crate::stage::{CHANNEL, NAME, Plan, Stage, description, is_edit, operator, somebody};

/// Seeds of a swarm.
const SEEDS: usize = 4;
/// Large enough for all of them to take part.
const FILM: Sample =
    Sample { name: "film", layout: &[("film.bin", 6 << 20), ("nested/read me.txt", 1_234), ("one.byte", 1)] };

#[test]
fn a_download_is_asked_for_watched_and_summed_up() {
    let (_seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    // Slow enough to be looked at twice.
    let daemon = ["--peer", &addr.to_string(), "--max-down", "250K"];
    let stage = Stage::set(&Plan { daemon: &daemon, ..Plan::default() });
    whole(stage, "nested/deep/deeper/odd.bin", "3.0 MiB", "rawtorrent", 1);
}

#[test]
#[ignore = "needs libtorrent: cargo xtask test --only interop"]
fn a_swarm_of_another_client_is_watched_as_well() {
    let home = Home::new(FILM);
    let programs = Programs::new(None, home.path()).unwrap();
    let (_running, addrs): (Vec<_>, Vec<_>) = (0..SEEDS).map(|number| seed(&home, &programs, number)).unzip();
    let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
    let mut daemon: Vec<&str> = addrs.iter().flat_map(|addr| ["--peer", addr]).collect();
    daemon.extend(["--max-down", "500K"]);
    let stage = Stage::set(&Plan { sample: FILM, daemon: &daemon, ..Plan::default() });
    whole(stage, "film.bin", "6.0 MiB", "libtorrent", SEEDS);
}

/// A seed of libtorrent, which ends with what this gives.
fn seed(home: &Home, programs: &Programs, number: usize) -> (Seed, SocketAddr) {
    let dir = home.path().join(format!("seed {number}"));
    let party = Party { addr: free_addr().unwrap(), dir };
    std::fs::create_dir_all(party.data()).unwrap();
    home.sample.write(&party.data()).unwrap();
    let job = Job {
        party: &party,
        torrent: &home.torrent,
        link: None,
        seeding: true,
        tracker: Tracker::Http,
        talkative: false,
        max_up: None,
    };
    let running = start_partner(Partner::Libtorrent, programs, job).unwrap();
    let deadline = std::time::Instant::now() + common::LIMIT;
    let listens = rawtorrent_tests::poll(deadline, || std::net::TcpStream::connect(party.addr).ok());
    assert!(listens.is_some(), "libtorrent does not listen: {}", running.process.stderr());
    (Seed(running), party.addr)
}

/// Ends with the test.
struct Seed(Running);

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.process.signal(Signal::KILL);
    }
}

/// From the list to the summary: `file` is the largest, `client` what so many `seeds` say that they are.
fn whole(stage: Stage, file: &str, size: &str, client: &str, seeds: usize) {
    let (reader, operator) = (somebody(5, &[]), operator());

    let token = stage.discord.complete(&operator, "download", "name", "SAMPLE");
    let offered = stage.call(|call| call.what.contains(&token));
    assert_eq!(offered.body["data"]["choices"][0]["value"], NAME);
    let listed = format!(r"**\@everyone \*sample\*** · {size} · CC0 1\.0");
    assert_eq!(stage.ask(&reader, "torrents", &[]), listed);
    let refused = stage.ask(&reader, "download", &[("name", NAME)]);
    assert_eq!(refused, "That needs the role operator, which you do not have here.");
    let elsewhere = Place { channel: CHANNEL + 1, ..operator.clone() };
    assert!(stage.ask(&elsewhere, "status", &[]).contains("channels that my configuration names"));
    assert!(stage.ask(&operator, "download", &[("name", "another")]).contains("not on the list"));

    let begun = stage.ask(&operator, "download", &[("name", NAME)]);
    assert_eq!(begun, format!(r"Downloading **\@everyone \*sample\***, {size}."));
    let edit = stage.call(|call| {
        is_edit(call) && ["**downloading**", "request"].iter().all(|word| description(call).contains(word))
    });
    assert_eq!(edit.body["components"][0]["components"][0]["custom_id"], format!("pause:{}", stage.id()));
    assert!(stage.ask(&reader, "peers", &[]).contains(client));
    assert!(stage.ask(&reader, "watch", &[("what", "handshakes")]).contains("handshakes"));
    assert!(stage.ask(&reader, "explain", &[("message", "bitfield")]).contains("(BEP 3)"));

    let summary = stage.call(|call| description(call).starts_with("Every byte is here"));
    let copy = tempfile::tempdir().unwrap();
    let root = stage.home.sample.write(copy.path()).unwrap();
    let bytes = std::fs::read(root.join(file)).unwrap();
    for digest in [hex(&Sha1::digest(&bytes)), hex(&Sha256::digest(&bytes))] {
        assert!(description(&summary).contains(&digest), "{}", description(&summary));
    }
    let [(graph, png), (log, trace)] = &summary.files[..] else { panic!("{:?}", summary.files.len()) };
    assert_eq!((&**graph, &**log, &png[..4]), ("speed.png", "trace.txt", &b"\x89PNG"[..]));
    let trace = String::from_utf8_lossy(trace);
    let told = description(&summary);
    assert!(told.contains(&format!("verified: {size} in ")), "{told}");
    assert!(!trace.starts_with('('), "it has all from the beginning: {trace}");
    for word in ["<- request piece", "-> piece", "is good", "every wanted piece is good"] {
        assert!(trace.contains(word), "{word}: {trace}");
    }
    let greeted = trace.lines().filter(|line| line.contains("->") && line.contains("handshake")).count();
    assert!(trace.contains(client) && greeted >= seeds, "{greeted} handshakes: {trace}");
    let done = stage.call(|call| is_edit(call) && description(call).contains("**complete**"));
    assert!(description(&done).contains("100.0%"));
    stage.home.assert_downloaded();
    let token = stage.discord.command(&reader, "pieces", &[]);
    assert!(stage.answer(&token).contains("pieces are here"));
    let picture = stage.call(|call| call.what.contains(&token) && !call.files.is_empty());
    assert_eq!(picture.files[0].0, "pieces.png");

    let other = somebody(7, &[100]);
    assert_eq!(stage.ask(&other, "stop", &[]), "That needs the role admin, which you do not have here.");
    assert!(
        stage.ask(&operator, "stop", &[]).contains("is stopped"),
        "who began it may, after the summary too"
    );
    assert_eq!(stage.ask(&reader, "status", &[]), "Nothing is under way; /download begins something.");
    let expected = include_str!("transcript.txt");
    assert_eq!(transcript(&stage.end()), expected.trim_end());
}

/// What was sent, in order, without what differs from run to run; then what became of the live message. How many edits there
/// are, and between which answers, depends on the machine: of those in one state the last stands for all, by itself.
fn transcript(calls: &[Call]) -> String {
    let (edits, others): (Vec<_>, Vec<_>) =
        calls.iter().partition(|call| call.what.starts_with("PATCH /channels/"));
    let mut lines: Vec<String> = others.into_iter().map(request).collect();
    lines.push(String::new());
    // Before, it may be seen while its files are looked for, or not.
    let edits: Vec<_> = edits.into_iter().skip_while(|edit| state(edit) != "downloading").collect();
    let runs = edits.chunk_by(|one, next| state(one) == state(next));
    lines.extend(runs.filter_map(|run| run.last()).map(|edit| live(edit)));
    lines.join("\n")
}

fn request(call: &Call) -> String {
    let mut words: Vec<&str> = call.what.split('/').collect();
    for word in &mut words {
        if word.starts_with("interaction-") {
            *word = "TOKEN";
        } else if word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit()) {
            *word = "ID";
        }
    }
    let kind = call.body["type"].as_u64().map_or(String::new(), |kind| format!(" type {kind}"));
    let files: String = call.files.iter().map(|(name, _)| format!(" +{name}")).collect();
    format!("{}{kind}{files} {}", words.join("/"), call.status)
}

fn state(edit: &Call) -> &str {
    description(edit).split("**").nth(1).unwrap_or_default()
}

/// An edit of the live message: its state, what it shows without the numbers, its buttons.
fn live(edit: &Call) -> String {
    let text = description(edit);
    let bar = if text.starts_with('`') { " bar," } else { "" };
    let blocks = match text.matches("```").count() / 2 {
        0 => "",
        1 => " map,",
        _ => " map, lines,",
    };
    let buttons = edit.body["components"][0]["components"].as_array().into_iter().flatten();
    let buttons: Vec<_> = buttons.filter_map(|button| button["label"].as_str()).collect();
    format!("live message, {}:{bar}{blocks} [{}] {}", state(edit), buttons.join("] ["), edit.status)
}
