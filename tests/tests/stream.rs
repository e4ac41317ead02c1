//! `rawtorrent stream`, with a player that reads as players do: the end, then the middle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use common::daemon::{Answer, Daemon};
use common::{Home, LIMIT, run};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::peer::FakeSeed;

/// The second file is longer than what is fetched ahead of a reader.
const FILM: Sample = Sample { name: "film", layout: &[("a.txt", 1000), ("film.mkv", 24_000_000)] };
/// Where the player is told to put what it read.
const HEARD: &str = "RAWTORRENT_TEST_HEARD";
/// What it reads.
const RANGES: [(&str, std::ops::Range<usize>); 2] =
    [("bytes=-1000", 23_999_000..24_000_000), ("bytes=12000000-12999999", 12_000_000..13_000_000)];

fn read(url: &str, headers: &str) -> Answer {
    let (addr, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let headers = headers.replace("ADDR", addr);
    write!(stream, "GET /{path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::parse(&answer)
}

/// Not a test: what the tests below run as a player, its last argument being the URL.
#[test]
#[ignore = "a player for the other tests"]
fn player() {
    let Some(heard) = std::env::var_os(HEARD) else { return };
    let url = std::env::args().next_back().unwrap();
    let mut bytes = Vec::new();
    for (range, _) in RANGES {
        let answer = read(&url, &format!("host: ADDR\r\nrange: {range}\r\n"));
        assert_eq!((answer.status, answer.header("content-type")), (206, Some("video/x-matroska")));
        bytes.extend(answer.body);
    }
    // Pages of others get nothing, whatever they call us.
    assert_eq!(read(&url, "host: evil.example\r\n").status, 421);
    assert_eq!(read(&url, "host: ADDR\r\norigin: http://evil.example\r\n").status, 403);
    assert_eq!(read(&url, "host: ADDR\r\nrange: bytes=24000000-\r\n").status, 416);
    std::fs::write(heard, bytes).unwrap();
}

/// `stream SOURCE` with the player above, away from the network.
fn stream(home: &Home, source: &str, options: &[&str]) -> Command {
    let mut command = home.command();
    command.args(["stream", source, "-o"]).arg(home.out()).args(options);
    command.args(["--listen", "127.0.0.1:0", "--no-trackers", "--no-dht", "--no-lsd"]);
    command.env(HEARD, home.path().join("heard"));
    command.arg("--player").arg(std::env::current_exe().unwrap());
    command.args(["--", "--ignored", "--exact", "player"]);
    command
}

/// That the player got what it asked for.
fn assert_played(home: &Home, command: &mut Command) {
    let done = run(command);
    assert_eq!(done.code(), Some(0), "{}\n{}", done.stdout, done.stderr);
    let original = tempfile::tempdir().unwrap();
    let film = std::fs::read(FILM.write(original.path()).unwrap().join("film.mkv")).unwrap();
    let expected: Vec<u8> = RANGES.into_iter().flat_map(|(_, range)| film[range].to_vec()).collect();
    assert!(std::fs::read(home.path().join("heard")).unwrap() == expected, "other bytes");
    std::fs::remove_file(home.path().join("heard")).unwrap();
}

fn slow(seed: &FakeSeed) -> [String; 4] {
    ["--max-down", "4M", "--peer", &seed.addr.to_string()].map(str::to_owned)
}

#[test]
fn a_film_is_played_without_a_daemon_before_it_is_here() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let slow = slow(&seed);
    let options = slow.each_ref().map(String::as_str);
    assert_played(&home, &mut stream(&home, home.torrent.to_str().unwrap(), &options));
    let film = std::fs::metadata(home.downloaded().join("film.mkv")).unwrap();
    assert!(film.blocks() * 512 < film.len(), "it was played before all of it was there");
    assert!(!home.downloaded().join("a.txt").exists(), "nobody asked for it");

    let home = Home::new(FILM);
    let (_seed_home, _seed, addr) = common::real_seed(FILM);
    let options = ["--max-down", "4M", "--peer", &addr.to_string()];
    let link = format!("magnet:?xt=urn:btih:{}", hex(&home.info_hash));
    assert_played(&home, &mut stream(&home, &link, &options));
}

#[test]
fn a_daemon_s_torrents_are_played_with_its_token() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let slow = slow(&seed);
    let made = run(home.command().args(["token", "add", "player"]));
    let token = home.path().join("token");
    std::fs::write(&token, made.stdout).unwrap();
    let daemon = Daemon::start(&home, &slow.each_ref().map(String::as_str));
    let host = format!("http://{}", daemon.addr);
    let with = ["--host", &host, "--token-file", token.to_str().unwrap()];
    // Given, then by its id.
    assert_played(&home, &mut stream(&home, home.torrent.to_str().unwrap(), &with));
    assert_played(&home, &mut stream(&home, &hex(&home.info_hash)[..8], &with));
    let socket = format!("unix:{}", home.path().join("api.sock").display());
    assert_played(&home, &mut stream(&home, FILM.name, &["--host", &socket]));
    let nothing = run(&mut stream(&home, "nothing.torrent", &["--host", &socket]));
    common::assert_fails(&nothing, &["there is no torrent 'nothing.torrent', and no such file"]);
    let refused = run(&mut stream(&home, FILM.name, &["--host", &host]));
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("RAWTORRENT_TOKEN_FILE"), "{}", refused.stderr);
    daemon.end();
}

#[test]
fn what_cannot_be_played_is_said() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let slow = slow(&seed);
    let options = slow.each_ref().map(String::as_str);
    let torrent = home.torrent.to_str().unwrap();
    let failing = |args: &[&str]| {
        let mut command = home.command();
        command.args(["stream", torrent, "-o"]).arg(home.out()).args(options).args(args);
        run(command.args(["--listen", "127.0.0.1:0", "--no-trackers", "--no-dht", "--no-lsd"]))
    };
    for (args, word) in [
        (&["--file", "2"][..], "no file 2"),
        (&["--player", "/nowhere/mpv"], "cannot run /nowhere/mpv"),
        (&["--player", "false"], "exit code 1"),
        (&["--host", "http://127.0.0.1:1"], "cannot reach the daemon"),
    ] {
        let done = failing(args);
        common::assert_fails(&done, &[word]);
    }
    let nobody = run(home.command().args(["stream", "nobody"]));
    common::assert_fails(&nobody, &["there is no file nobody", "cannot reach the daemon"]);
    assert_eq!(run(home.command().args(["stream", torrent, "--", "--fs"])).code(), Some(2));
}

#[test]
fn without_a_player_the_url_is_printed_until_interrupted() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let mut command = home.command();
    command.arg("stream").arg(&home.torrent).arg("-o").arg(home.out());
    command.args(["--json", "--listen", "127.0.0.1:0", "--no-trackers", "--no-dht", "--no-lsd"]);
    command.args(["--peer", &seed.addr.to_string()]);
    let mut session = common::start(&mut command);
    let told = session.wait_event(LIMIT, |event| event["event"] == "stream").unwrap();
    let answer = read(told["url"].as_str().unwrap(), "host: ADDR\r\nrange: bytes=0-9\r\n");
    assert_eq!((answer.status, answer.body.len()), (206, 10));
    let (code, _) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
}
