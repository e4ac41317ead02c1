//! `docs/protocol-tour.md`: a real download, told by its own trace. The page is made of the recording beside it, which any
//! version that decides the same replays; when that is so no more, `cargo test -p rawtorrent-tests --test tour -- --ignored`
//! records another one and writes the page anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use common::{Home, LIMIT, run, start};
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::free_addr;

/// Six blocks and a bit, in two pieces.
const SAMPLE: Sample = Sample { name: "tour.txt", layout: &[("", 100_000)] };
/// Columns before the explanation of a line.
const MARGIN: usize = 35;
/// Further lines of a kind that are shown with the first one.
const FURTHER: usize = 2;

const INTRODUCTION: &str = "\
# A guided tour of one download

Two programs, one file of 100,000 bytes, one TCP connection: this is all that they said. The lines are the trace of a real
download, replayed from [the recording beside this page](protocol-tour.rec); see for yourself, step by step:

```sh
rawtorrent replay docs/protocol-tour.rec --explain --step
```

Each line has the time in seconds since the beginning and since the line before, the connection, an arrow (`->` from the
peer to us, `<-` from us to the peer), and the message with its fields. What a message is for is said when the first one of
its kind comes, as its sender would say it; the number is that of the BitTorrent Enhancement Proposal (BEP) that defines it.
";

const END: &str = "
## All of it

Nothing is left out here. Watch how requests are sent before the answers to those before have come (else every block would
cost a round trip), and how a piece is called good only when all its blocks are there and their hash is the torrent's.
";

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A line of the trace, and what it is for if that is said here.
struct Told<'a> {
    line: &'a str,
    explained: Option<&'a str>,
}

/// The page, from what `replay --explain` prints.
fn page(trace: &str) -> String {
    let mut told: Vec<Told<'_>> = Vec::new();
    for line in trace.lines() {
        match line.split_at_checked(MARGIN) {
            Some((margin, text)) if margin.trim().is_empty() => {
                told.last_mut().unwrap().explained = Some(text);
            }
            _ => told.push(Told { line, explained: None }),
        }
    }
    let mut page = String::from(INTRODUCTION);
    for (at, Told { line, explained }) in told.iter().enumerate() {
        let Some((name, says)) = explained.and_then(|text| text.split_once(": ")) else { continue };
        let (says, bep) = says.split_once(" (BEP ").unwrap();
        let number: u32 = bep.trim_end_matches(')').parse().unwrap();
        let kind = |line: &str| line.get(MARGIN..).map(|text| text.trim_start().starts_with(name));
        let further = told[at + 1..].iter().take_while(|next| next.explained.is_none());
        let further = further.filter(|next| kind(next.line) == Some(true)).take(FURTHER);
        let lines: Vec<&str> = [*line].into_iter().chain(further.map(|next| next.line)).collect();
        let link = format!("[BEP {number}](https://www.bittorrent.org/beps/bep_{number:04}.html)");
        writeln!(page, "\n## {name}\n\n{says} ({link})\n\n```text\n{}\n```", lines.join("\n")).unwrap();
    }
    page.push_str(END);
    let all: Vec<&str> = told.iter().map(|told| told.line).collect();
    writeln!(page, "\n```text\n{}\n```", all.join("\n")).unwrap();
    page
}

/// The page of the recording in the docs.
fn page_of_recording() -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = rawtorrent_tests::binary::command(home.path());
    let replayed = run(command.arg("replay").arg(docs().join("protocol-tour.rec")).arg("--explain"));
    assert_eq!(replayed.code(), Some(0), "{}\nrecord it anew: see the top of this file", replayed.stderr);
    page(&replayed.stdout)
}

#[test]
fn the_tour_is_what_the_recording_says() {
    let page = page_of_recording();
    for part in ["## handshake", "## request", "## piece", "is good", "every wanted piece"] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    assert!(!page.contains("127.0.0.1"), "an address is told");
    let kept = fs::read_to_string(docs().join("protocol-tour.md")).unwrap_or_default();
    assert!(kept == page, "docs/protocol-tour.md is not what the recording says: see the top of this file");
}

#[test]
#[ignore = "writes into docs: records the tour anew"]
fn record_the_tour() {
    let home = Home::new(SAMPLE);
    SAMPLE.write(&home.out()).unwrap();
    let addr = free_addr().unwrap();
    let mut seed = start(&mut home.seed_at(addr));
    seed.wait_event(LIMIT, |event| event["event"] == "seeding" || event["event"] == "progress").unwrap();
    let other = Home::new(SAMPLE);
    let recording = docs().join("protocol-tour.rec");
    let _ = fs::remove_file(&recording);
    let mut download = other.download();
    let done = run(download.args(["--peer", &addr.to_string(), "--record"]).arg(&recording));
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    other.assert_downloaded();
    seed.interrupt().unwrap();
    fs::write(docs().join("protocol-tour.md"), page_of_recording()).unwrap();
}
