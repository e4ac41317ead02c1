//! What is missing, and that it is said or made good: events nobody heard, digests, edits that Discord did not take, a book
//! that cannot be read.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::TOKEN;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::common::{self, LIMIT};
use crate::stage::{NAME, Plan, Stage, description, is_edit, operator, trace_of};

/// Streams of events that a daemon gives (`daemon::trace::MAX_TRACES`).
const MAX_TRACES: usize = 8;

/// A stage on which there is something to be downloaded, at this rate; and who has it.
fn beside_a_seed(max_down: &str) -> (impl Sized, Stage) {
    let (home, seed, addr) = common::real_seed(Sample::MULTI);
    let daemon = ["--peer", &addr.to_string(), "--max-down", max_down];
    ((seed, home), Stage::set(&Plan { daemon: &daemon, ..Plan::default() }))
}

#[test]
fn what_stops_when_it_is_complete_has_digests() {
    let (_seed, stage) = beside_a_seed("500K");
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage.daemon.done(&stage.home, &["set", &stage.id(), "--seed-time", "0s"]);
    let summary = stage.call(|call| description(call).starts_with("Every byte is here"));
    let path = format!("/api/v1/torrents/{}", stage.id());
    let torrent = stage.daemon.get(&path).json();
    assert_eq!(torrent["state"], "stopped");
    let numbers = ["rate_down", "rate_up", "peers", "seeds"].map(|number| torrent[number].as_u64());
    assert_eq!(numbers, [Some(0); 4], "it does nothing any more");
    let root = stage.home.downloaded();
    let bytes = std::fs::read(root.join("nested/deep/deeper/odd.bin")).unwrap();
    let told = description(&summary);
    assert!(told.contains(&hex(&Sha256::digest(&bytes))) && !told.contains("No digests"), "{told}");

    // Files that are not as they were are not given.
    std::fs::write(root.join("nested/deep/deeper/odd.bin"), b"another").unwrap();
    let files = stage.daemon.get(&format!("{path}/files")).json();
    let changed =
        files.as_array().unwrap().iter().find(|file| file["path"].as_str().unwrap().ends_with("odd.bin"));
    stage.daemon.get(&format!("{path}/files/{}", changed.unwrap()["index"])).refused(409, "not_running");
    stage.end();
}

#[test]
fn what_rests_keeps_what_is_known_of_it() {
    let (_seed, stage) = beside_a_seed("250K");
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage.call(|call| {
        is_edit(call)
            && description(call).contains("**downloading**")
            && !description(call).contains("· 0 B of ")
    });
    let token = stage.discord.press(&operator(), &format!("pause:{}", stage.id()));
    assert!(stage.answer(&token).ends_with("rests."));
    let paused = stage.call(|call| is_edit(call) && description(call).contains("**paused**"));
    let told = description(&paused);
    assert!(
        !told.contains(" 0.0%") && !told.contains("· 0 B of ") && told.contains(" of 3.0 MiB · ↓ 0 B/s"),
        "{told}"
    );
    assert_eq!(told.matches("```").count(), 4, "its pieces stay: {told}");
    let buttons = paused.body["components"][0]["components"].as_array().unwrap();
    assert_eq!(buttons.iter().map(|button| &button["label"]).collect::<Vec<_>>(), ["Go on", "Stop"]);
    let torrent = stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json();
    assert_eq!((&torrent["state"], &torrent["rate_down"]), (&json!("paused"), &json!(0)));
    assert!(
        torrent["done"].as_u64() > Some(0) && torrent["wanted"].as_u64() > torrent["done"].as_u64(),
        "{torrent}"
    );
    let status = stage.ask(&operator(), "status", &[]);
    assert!(status.contains("paused") && status.contains('%'), "{status}");
    // What is known of it is not believed any more.
    stage.daemon.done(&stage.home, &["recheck", &stage.id()]);
    assert_eq!(stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json()["done"], Value::Null);
    stage.call(|call| is_edit(call) && description(call).contains("**paused** · ? of 3.0 MiB"));
    stage.end();
}

#[test]
fn a_trace_without_its_beginning_says_so() {
    let (_seed, stage) = beside_a_seed("250K");
    let listen = || {
        let mut stream = UnixStream::connect(stage.home.path().join("api.sock")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"GET /api/v1/trace?kind=ban HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert!(lines.any(|line| line.unwrap().contains("began")), "it listens");
        lines
    };
    let others: Vec<_> = (0..MAX_TRACES).map(|_| listen()).collect();
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage.call(|call| is_edit(call) && description(call).contains("no room for one more listener"));
    drop(others);
    let heard = stage.call(|call| is_edit(call) && description(call).contains("request piece"));
    assert!(!description(&heard).contains("listener"), "{}", description(&heard));
    let summary = stage.call(|call| description(call).starts_with("Every byte is here"));
    let trace = trace_of(&summary);
    let first = trace.lines().next().unwrap();
    assert!(
        first.starts_with("(the daemon was not heard for ") && first.ends_with("is missing here)"),
        "{first}"
    );
    stage.end();
}

#[test]
fn what_cannot_begin_has_a_message_to_go_on() {
    let stage = Stage::set(&Plan::default());
    // Another program has it, as far as anybody can tell.
    let records = stage.home.path().join("state/rawtorrent/resume");
    std::fs::create_dir_all(&records).unwrap();
    let dir = Sha1::digest(stage.home.out().as_os_str().as_encoded_bytes());
    let lock = File::create(records.join(format!("{}-{}.lock", stage.id(), hex(&dir[..8])))).unwrap();
    lock.try_lock().unwrap();
    let refused = stage.ask(&operator(), "download", &[("name", NAME)]);
    assert!(!refused.starts_with("Downloading"), "{refused}");
    let shown = stage.call(|call| is_edit(call) && description(call).contains("**paused**"));
    assert_eq!(shown.body["components"][0]["components"][0]["label"], "Go on");
    drop(lock);
    let token = stage.discord.press(&operator(), &format!("resume:{}", stage.id()));
    assert!(stage.answer(&token).ends_with("goes on."));
    let begun = stage.call(|call| is_edit(call) && description(call).contains("**downloading**"));
    assert_eq!(begun.what, shown.what, "its message lives");
    stage.end();
}

#[test]
fn a_last_edit_is_sent_until_it_is_taken() {
    let stage = Stage::set(&Plan::default());
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage.call(is_edit);
    let is_broken = |call: &rawtorrent_tests::discord::Call| {
        call.what.starts_with("PATCH /channels/")
            && call.status == 500
            && description(call).contains("was removed")
    };
    // The first may be for an edit before.
    (0..2).for_each(|_| stage.discord.break_next(500, "{}"));
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    let broken = stage.call(is_broken);
    let closed = stage.call(|call| is_edit(call) && description(call).contains("It was removed"));
    assert_eq!((closed.what, &closed.body["components"]), (broken.what, &json!([])));
    stage.end();
}

#[test]
fn a_book_that_is_damaged_is_put_aside_and_one_that_cannot_be_read_is_said() {
    let mut stage = Stage::set(&Plan::default());
    stage.end_bot();
    let book = stage.home.path().join("state/rawtorrent/discord.json");
    std::fs::write(&book, b"{\"live\":").unwrap();
    stage.begin_bot();
    let deadline = Instant::now() + LIMIT;
    let told =
        || stage.bot.process.stderr().contains("discord.json is damaged, and is kept as").then_some(());
    assert!(rawtorrent_tests::poll(deadline, told).is_some(), "{}", stage.bot.process.stderr());
    assert_eq!(std::fs::read(book.with_extension("json.damaged-1")).unwrap(), b"{\"live\":");
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));

    stage.end_bot();
    std::fs::remove_file(&book).unwrap();
    std::fs::create_dir(&book).unwrap();
    let mut command = stage.home.command();
    command.args(["discord", "--config"]).arg(&stage.config).env("DISCORD_TOKEN", TOKEN);
    common::assert_fails(
        &common::run(&mut command),
        &["cannot read which live messages there are", "discord.json"],
    );
    std::fs::remove_dir(&book).unwrap();
    stage.begin_bot();
    stage.end();
}
