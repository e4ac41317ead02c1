//! What the torrents of a daemon say, live: over its API and by `rawtorrent trace`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT, assert_fails, run};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::metafile;
use rawtorrent_tests::peer::{EXTENDED, FAST, RawPeer, id, message};
use rawtorrent_tests::process::Finished;
use rawtorrent_tests::tracker::{Answer, Server};
use serde_json::{Value, json};

/// A stream of events that is open.
struct Stream {
    socket: TcpStream,
    heard: String,
}

impl Stream {
    fn open(daemon: &Daemon, query: &str, headers: &str) -> Stream {
        let mut socket = TcpStream::connect(&daemon.addr).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let host = &daemon.addr;
        write!(socket, "GET /api/v1/trace{query} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n").unwrap();
        let mut stream = Stream { socket, heard: String::new() };
        stream.until("event: began");
        stream
    }

    /// Reads until that has come, and says all that came.
    fn until(&mut self, what: &str) -> &str {
        let (mut buffer, deadline) = ([0; 4096], Instant::now() + LIMIT);
        while !self.heard.contains(what) {
            // What keeps the stream alive comes all the same.
            assert!(Instant::now() < deadline, "no {what}: {}", self.heard);
            let read = self.socket.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        &self.heard
    }
}

impl Stream {
    /// The same for much text: gives all of it.
    fn rest_until(&mut self, what: &str) -> String {
        let mut text = std::mem::take(&mut self.heard).into_bytes();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = self.socket.read(&mut buffer).unwrap();
            assert!(read > 0, "it ends");
            let from = text.len().saturating_sub(what.len());
            text.extend_from_slice(&buffer[..read]);
            if text[from..].windows(what.len()).any(|part| part == what.as_bytes()) {
                return String::from_utf8_lossy(&text).into_owned();
            }
        }
    }
}

fn token(home: &Home, name: &str, scope: &str) -> String {
    let mut command = home.command();
    let done = command.args(["token", "add", name, "--scope", scope]).output().unwrap();
    format!("authorization: Bearer {}\r\n", String::from_utf8(done.stdout).unwrap().trim())
}

#[test]
fn a_daemon_tells_what_is_said_as_it_is_said() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let (read, admin) = (token(&home, "reader", "read"), token(&home, "owner", "admin"));
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    let trace = |query: &str, token: &str| daemon.ask("GET", &format!("/api/v1/trace{query}"), token, b"");
    trace("", "").refused(401, "token");
    trace("?addresses=true", &read).refused(403, "scope");
    // Who hears of a peer by its address knows that it is there.
    for guess in ["?peer=127.0.0.3", "?peer=1,127.0.0.3:9", "?kind=peer%3D127.0.0.3"] {
        trace(guess, &read).refused(403, "scope");
    }
    trace("?kind=nonsense", &read).refused(400, "bad_request");
    trace("?nonsense=1", &read).refused(400, "bad_request");

    let mut masked = Stream::open(&daemon, "", &read);
    let mut whole = Stream::open(&daemon, "?kind=handshake&direction=in&addresses=true", &admin);
    let mut other = Stream::open(&daemon, "?torrent=00", &read);
    let torrent = std::fs::read(&home.torrent).unwrap();
    let headers = format!("{admin}content-type: application/x-bittorrent\r\n");
    assert_eq!(daemon.ask("POST", "/api/v1/torrents", &headers, &torrent).status, 201);

    let heard = masked.until("\"kind\":\"finished\"");
    for said in [
        "\"kind\":\"handshake\"",
        "\"message\":\"request\"",
        "\"kind\":\"piece_verified\"",
        "text/event-stream",
    ] {
        assert!(heard.contains(said), "{said}: {heard}");
    }
    assert!(!heard.contains("127.0.0.1"), "{heard}");
    let heard = whole.until(&seed.addr.to_string());
    assert!(!heard.contains("\"direction\":\"out\"") && !heard.contains("piece_verified"), "{heard}");
    assert!(heard.contains("\"v\":1,\"began\":"), "{heard}");
    // It has heard of nothing when the daemon ends.
    drop((masked, whole));
    daemon.end();
    let mut rest = String::new();
    let _ = other.socket.read_to_string(&mut rest);
    assert!(!rest.contains("event: trace"), "{rest}");
}

/// Messages of a peer that says much: more than wait for a listener, and than sockets hold.
const SAID: usize = 150_000;

#[test]
fn who_reads_slowly_loses_events_and_is_told_how_many_and_nobody_waits() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let talker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (seed_addr, talker_addr) = (seed.addr.to_string(), talker.local_addr().unwrap().to_string());
    let daemon = Daemon::start(&home, &["--peer", &seed_addr, "--peer", &talker_addr]);
    let mut slow = Stream::open(&daemon, "", "");
    assert_eq!(daemon.add(&home.torrent, "").status, 201);

    let mut peer = RawPeer::greet(talker.accept().unwrap().0, FAST, home.info_hash).unwrap();
    peer.send(&message(id::HAVE_NONE, b"")).unwrap();
    peer.send(&message(id::HAVE, &[0; 4]).repeat(SAID)).unwrap();
    // Once it is unchoked everything before was heard, and the torrent is here, while nobody read a byte.
    peer.send(&message(id::INTERESTED, b"")).unwrap();
    assert!(peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().is_some());
    let state = || daemon.get(&format!("/api/v1/torrents/{}", hex(&home.info_hash))).json()["state"].clone();
    let deadline = std::time::Instant::now() + LIMIT;
    assert!(rawtorrent_tests::poll(deadline, || (state() == "seeding").then_some(())).is_some());
    home.assert_downloaded();
    peer.send(&message(id::NOT_INTERESTED, b"")).unwrap();

    let heard = slow.rest_until("\"direction\":\"in\",\"message\":\"not_interested\"");
    let lost = heard.split("event: lost\ndata: {\"lost\":").skip(1);
    let lost: usize = lost.map(|rest| rest.split('}').next().unwrap().parse::<usize>().unwrap()).sum();
    let told = heard.matches("event: trace\n").count();
    println!("{told} told, {lost} lost");
    assert!(lost > 0 && told > 0 && told + lost >= SAID, "{told} told, {lost} lost");
    let haves = heard.matches("\"message\":\"have\"").count();
    assert!(haves < SAID, "none of them was lost: {haves}");
    daemon.end();
}

#[test]
fn where_events_are_lost_the_lines_and_the_capture_say_so() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let id = hex(&home.info_hash);
    let talker = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (seed_addr, talker_addr) = (seed.addr.to_string(), talker.local_addr().unwrap().to_string());
    let daemon = Daemon::start(&home, &["--peer", &seed_addr, "--peer", &talker_addr]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let capture = home.path().join("slow.pcapng");
    let mut command = home.command();
    command.args(["trace", "-q", "--pcap"]).arg(&capture).stdout(Stdio::piped());
    let mut slow = command.env("RAWTORRENT_HOST", format!("http://{}", daemon.addr)).spawn().unwrap();
    let deadline = Instant::now() + LIMIT;
    assert!(rawtorrent_tests::poll(deadline, || capture.exists().then_some(())).is_some());
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/resume"), "", b"").status, 204);

    let mut peer = RawPeer::greet(talker.accept().unwrap().0, FAST, home.info_hash).unwrap();
    peer.send(&message(id::HAVE_NONE, b"")).unwrap();
    peer.send(&message(id::HAVE, &[0; 4]).repeat(SAID)).unwrap();
    peer.send(&message(id::INTERESTED, b"")).unwrap();
    assert!(peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().is_some());
    peer.send(&message(id::NOT_INTERESTED, b"")).unwrap();

    // Nobody has read a line so far.
    let lines = BufReader::new(slow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut gaps = 0;
    for line in lines.inspect(|line| gaps += usize::from(line.contains("left out here"))) {
        if line.ends_with("-> not interested") {
            break;
        }
    }
    assert!(gaps > 0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&slow), rustix::process::Signal::INT)
        .unwrap();
    assert!(rawtorrent_tests::poll(deadline, || slow.try_wait().unwrap()).is_some());
    let found = |filter: &str| {
        let output = Command::new("tshark").arg("-r").arg(&capture).args(["-Y", filter]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert!(found("tcp.analysis.lost_segment") > 0);
    assert_eq!(found("ip.dst == 10.0.0.1 && bittorrent.msg.type == 3"), 1, "it is read behind the gap");
    daemon.end();
}

/// Tells this of whatever it is asked for, and hangs up: a daemon of another version, or of an enemy.
fn stand_in(events: &[Value]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let events: String = events.iter().map(|event| format!("event: trace\ndata: {event}\n\n")).collect();
    let began = "event: began\ndata: {\"v\":1,\"began\":5}\n\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut asked = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while asked.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = asked.into_inner().write_all(format!("{head}{began}{events}").as_bytes());
        }
    });
    format!("http://{addr}")
}

#[test]
fn newer_events_are_passed_over_and_no_word_of_a_daemon_moves_the_cursor() {
    let event = |more: Value| {
        let mut event = json!({"v": 1, "at": 1.5, "torrent": "ab".repeat(20), "peer": {"number": 3}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let newer = event(json!({"kind": "smelled", "of": "roses"}));
    let known = json!({"kind": "message", "direction": "out", "message": "choke", "reason": "\u{1b}[2Jgone"});
    let host = stand_in(&[newer.clone(), newer, event(known)]);
    let home = Home::new(Sample::MULTI);
    let trace = |options: &[&str]| {
        let mut command = home.command();
        run(command.arg("trace").args(options).env("RAWTORRENT_HOST", &host))
    };
    let told = trace(&[]);
    assert!(told.stderr.ends_with("rawtorrent: the daemon has ended\n"), "{}", told.stderr);
    assert_eq!(told.stderr.matches("the daemon is newer").count(), 1, "{}", told.stderr);
    assert!(told.stdout.ends_with("<- choke  (\\u{1b}[2Jgone)\n"), "{:?}", told.stdout);
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
    let told = trace(&["--json"]);
    let smelled = told.stdout.lines().nth(1).unwrap();
    let smelled: Value = serde_json::from_str(smelled).unwrap();
    assert_eq!((&smelled["event"], &smelled["of"]), (&json!("trace"), &json!("roses")));
    assert!(
        told.stdout.contains("\"message\":\"choke\"") && !told.stderr.contains("newer"),
        "{}",
        told.stderr
    );
}

#[test]
fn limits_of_all_are_told_once_when_they_are_reached() {
    let home = Home::new(Sample::MULTI);
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let mut options =
        vec!["--upload-slots".to_owned(), "1".into(), "--message-memory".into(), "64KiB".into()];
    for listener in &listeners {
        options.extend(["--peer".to_owned(), listener.local_addr().unwrap().to_string()]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let daemon = Daemon::start(&home, &options);
    let mut told = Stream::open(&daemon, "?kind=limit", "");
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    let [mut first, mut second, mut third] = listeners.map(|listener| {
        let (stream, _) = listener.accept().unwrap();
        RawPeer::greet(stream, EXTENDED, home.info_hash).unwrap()
    });
    first.send(&message(id::INTERESTED, b"")).unwrap();
    assert!(first.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().is_some());
    second.send(&message(id::INTERESTED, b"")).unwrap();
    told.until("\"limit\":\"upload slots\"}");
    let mut late = Stream::open(&daemon, "?kind=limit", "");
    late.until("\"limit\":\"upload slots\"}");
    // The beginning of a message that is longer than there is room for.
    let long = message(id::EXTENDED, &[9; 100_000]);
    third.send(&long[..90_000]).unwrap();
    for listener in [&mut told, &mut late] {
        let heard = listener.until("\"limit\":\"message memory\",\"peer\":{\"number\":");
        assert_eq!(heard.matches("event: trace").count(), 2, "{heard}");
    }
    daemon.end();
}

#[test]
fn the_command_shows_it_and_captures_it() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let id = hex(&home.info_hash);
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let capture = home.path().join("live.pcapng");
    let mut command = home.command();
    // What is shown is less than what is captured.
    command.args(["trace", "--json", "--kind", "handshake,torrent", "--pcap"]).arg(&capture);
    command.env("RAWTORRENT_HOST", format!("http://{}", daemon.addr));
    let mut session = Session::start(&mut command).unwrap();
    session.wait_event(LIMIT, |event| event["event"] == "began").unwrap();
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/resume"), "", b"").status, 204);
    let handshake = session
        .wait_event(LIMIT, |event| event["kind"] == "handshake" && event["direction"] == "in")
        .unwrap();
    assert_eq!((&handshake["event"], &handshake["torrent"]), (&"trace".into(), &id.clone().into()));
    assert!(handshake["peer"]["addr"].is_null() && handshake["peer"]["number"].is_u64(), "{handshake}");
    session.wait_event(LIMIT, |event| event["kind"] == "finished").unwrap();
    let (code, _) = session.interrupt().unwrap();
    assert_eq!(code, Some(130), "{}", session.process.stderr());
    let shown = session.events().unwrap();
    assert!(
        shown.iter().all(|event| event["kind"] != "message" && event["kind"] != "connected"),
        "{shown:?}"
    );
    let written = std::fs::read(&capture).unwrap();
    assert!(written.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && written.len() > 100_000, "{}", written.len());

    let other = home.path().join("other.torrent");
    std::fs::write(&other, metafile::torrent(&Sample::SINGLE, None)).unwrap();
    assert_eq!(daemon.add(&other, "?paused=true").status, 201);
    let refused = daemon.command(&home, &["trace", "--pcap", "x.pcapng"]);
    assert_eq!(
        (refused.code(), &*refused.stderr),
        (Some(1), "rawtorrent: a capture is of one torrent; name it (--torrent)\n")
    );
    for (option, wrong, said) in [
        ("--kind", "nonsense", "rawtorrent: 'nonsense' is no kind"),
        ("--peer", "3,x", "rawtorrent: 'x' is neither the number of a connection nor an address"),
    ] {
        let unknown = daemon.command(&home, &["trace", option, wrong]);
        assert!(unknown.code() == Some(2) && unknown.stderr.starts_with(said), "{}", unknown.stderr);
    }
    let there = daemon.command(&home, &["trace", "--torrent", &id, "--pcap", capture.to_str().unwrap()]);
    let said = format!("rawtorrent: {}: it is there already; name a new file\n", capture.display());
    assert_eq!((there.code(), &*there.stderr), (Some(1), &*said), "and nothing else is said");
    daemon.end();
}

#[test]
fn what_is_followed_ends_when_nobody_reads_any_more() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let id = hex(&home.info_hash);
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let follow = |args: &[&str]| {
        let mut command = home.command();
        command.args(args).env("RAWTORRENT_HOST", format!("http://{}", daemon.addr));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let ends = |mut child: Child| {
        let ended = rawtorrent_tests::poll(Instant::now() + LIMIT, || child.try_wait().unwrap());
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    };
    let (mut list, mut trace) = (follow(&["list", "--follow"]), follow(&["trace"]));
    let (mut said, mut line) = (String::new(), String::new());
    BufReader::new(list.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("paused"), "{line}");
    BufReader::new(trace.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "this is what is said from now on\n");
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/resume"), "", b"").status, 204);
    line.clear();
    BufReader::new(trace.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(&id[..8]) && line.contains("   +0.0000 "), "{line}");
    ends(trace);
    ends(list);
    daemon.end();
}

/// A node of the DHT that says of everything that this peer has it, and asks who asks it whether it is there.
fn node(peer: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let SocketAddr::V4(peer) = peer else { panic!("IPv4") };
    let compact = [&peer.ip().octets()[..], &peer.port().to_be_bytes()].concat();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let asked = &buffer[..len];
            let find = |what: &[u8]| asked.windows(what.len()).position(|part| part == what);
            let Some(at) = find(b"1:t4:").filter(|_| find(b"1:y1:q").is_some()) else { continue };
            let values = match find(b"9:get_peers") {
                Some(_) => [&b"5:token1:x6:valuesl6:"[..], &compact, b"e"].concat(),
                None => Vec::new(),
            };
            let id = b"d1:rd2:id20:nnnnnnnnnnnnnnnnnnnn";
            let answer = [&id[..], &values, b"e1:t4:", &asked[at + 5..at + 9], b"1:y1:re"].concat();
            socket.send_to(&answer, from).unwrap();
            let ping = b"d1:ad2:id20:nnnnnnnnnnnnnnnnnnnne1:q4:ping1:t2:xy1:y1:qe";
            socket.send_to(ping, from).unwrap();
        }
    });
    addr
}

#[test]
fn queries_of_the_dht_are_told_both_ways_without_who_and_where() {
    let told = |options: &[&str]| {
        let home = Home::new(Sample::MULTI);
        let seed = home.fake_seed();
        let node = node(seed.addr);
        let mut download = home.command();
        download.env_remove("RAWTORRENT_NO_DHT").arg("download").arg(&home.torrent);
        download.args(["--dht-bootstrap", &node.to_string(), "--listen", "127.0.0.1:0", "--no-trackers"]);
        let done = run(download.args(options).arg("-o").arg(home.out()));
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        home.assert_downloaded();
        (done.stdout, hex(&home.info_hash), node)
    };
    let (lines, torrent, _) = told(&["--trace=dht", "--explain"]);
    for part in [
        &*format!(" <- DHT get_peers {torrent}\n"),
        " -> DHT get_peers answered: 1 peer, 0 nodes  (after ",
        "get_peers: \"who has this torrent?",
        " -> DHT ping\n",
        " <- DHT ping answered\n",
        " a node ",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    assert!(!lines.contains("127.0.0.1") && lines.matches("(BEP 5)").count() >= 3, "{lines}");

    // With addresses; and what is for no torrent is of none.
    let (lines, torrent, node) = told(&["--trace=dht", "--addresses", "--json"]);
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["event"] == "trace")
        .collect();
    let of = |kind: &str, query: &str, torrent: &str| {
        let is = |line: &&serde_json::Value| {
            (&line["kind"], &line["query"], &line["torrent"])
                == (&kind.into(), &query.into(), &torrent.into())
        };
        let count = lines.iter().filter(is).count();
        assert!(count > 0, "{kind} {query}: {lines:?}");
    };
    let none = "0".repeat(40);
    of("dht_asked", "get_peers", &torrent);
    of("dht_answered", "get_peers", &torrent);
    of("dht_asked", "ping", &none);
    assert!(lines.iter().any(|line| line["peer"]["addr"] == node.to_string() && line["took"].is_f64()));

    let (lines, torrent, _) = told(&[&format!("--trace=dht,out,torrent={}", &torrent[..6])]);
    assert!(lines.contains(&torrent) && !lines.contains("ping"), "{lines}");
}

/// What nobody is to read.
const KEY: &str = "S3cretPassKey";

#[test]
fn lines_are_aligned_and_no_key_of_a_tracker_is_in_them() {
    let refusal = format!("no {KEY} like http://127.0.0.1/{KEY}/announce?passkey={KEY}");
    let refusal = format!("d14:failure reason{}:{refusal}e", refusal.len()).into_bytes();
    for answer in [Answer::Body(refusal), Answer::Peers(Vec::new()), Answer::Status(404)] {
        let tracker = Server::start(answer).unwrap();
        let url = tracker.url(&format!("{KEY}/announce?passkey={KEY}"));
        for options in [&["--explain"][..], &["--addresses"], &["--json", "--addresses"]] {
            let home = Home::with_tracker(Sample::MULTI, Some(&url));
            let seed = home.fake_seed();
            let mut download = home.command();
            download.args([
                "download",
                "--trace",
                "--listen",
                "127.0.0.1:0",
                "--peer",
                &seed.addr.to_string(),
            ]);
            let done = run(download.args(options).arg("-o").arg(home.out()).arg(&home.torrent));
            assert_eq!(done.code(), Some(0), "{}", done.stderr);
            for told in [&done.stdout, &done.stderr] {
                assert!(!told.contains(KEY), "{told}");
            }
            assert!(done.stdout.contains("announcing 'started' to http://"), "{}", done.stdout);
            let addresses = options.contains(&"--addresses");
            assert_eq!(done.stdout.contains(&seed.addr.to_string()), addresses, "{}", done.stdout);
            assert!(addresses || !done.stdout.contains("127.0.0.1"), "{}", done.stdout);
            let is_explained = |line: &&str| line.trim_start().starts_with(|c: char| !c.is_ascii_digit());
            if options[0] != "--json" {
                let arrow = if addresses { 43 } else { 32 };
                done.stdout
                    .lines()
                    .filter(|line| !is_explained(line))
                    .for_each(|line| assert_aligned(line, arrow));
            }
        }
    }
}

/// Time, time since, peer and way stand where they should.
fn assert_aligned(line: &str, arrow: usize) {
    let number = |from: usize, to: usize| line[from..to].trim().parse::<f64>().is_ok();
    assert!(number(0, 10) && number(11, 20) && line[11..20].contains('+'), "{line}");
    assert!(["->", "<-", "  "].contains(&&line[arrow..arrow + 2]), "{line}");
    assert_eq!((&line[arrow - 1..arrow], &line[arrow + 2..arrow + 3]), (" ", " "), "{line}");
    assert_ne!(&line[arrow + 3..arrow + 4], " ", "{line}");
}

#[test]
fn a_capture_is_of_one_torrent_and_whole_and_may_go_through_a_pipe() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let capture = home.path().join("x.pcapng");
    let other = home.path().join("other.torrent");
    std::fs::write(&other, metafile::torrent(&Sample::SINGLE, None)).unwrap();
    let mut both = home.download_from(&[&seed]);
    let wrong = |done: Finished, says: &str| {
        assert_eq!(done.code(), Some(2), "{}", done.stderr);
        assert!(done.stderr.contains(says) && done.stderr.lines().count() == 1, "{}", done.stderr);
    };
    let both = run(both.arg(&other).arg("--trace").arg("--pcap").arg(&capture));
    wrong(both, "a capture is of one torrent");
    let mut apart = home.download_from(&[&seed]);
    wrong(run(apart.args(["--trace", "handshake,in"])), "--trace=handshake,in");
    assert!(!capture.exists());
    home.assert_nothing_written();

    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let into_pipe = || {
        let mut download = home.download_from(&[&seed]);
        download.arg("--trace=handshake,request").arg("--pcap").arg(&pipe);
        run(&mut download)
    };
    assert_fails(&into_pipe(), &["nobody reads this pipe"]);
    // As long as it is open here somebody reads it.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let _held = rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    let done = into_pipe();
    assert_eq!(done.code(), Some(0), "{}", done.stderr);
    let read = reader.join().unwrap();
    assert!(read.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && read.len() > Sample::MULTI.len());
    // What is shown is less than what is captured.
    assert!(
        done.stdout.contains("\"message\":\"request\"") && !done.stdout.contains("\"message\":\"piece\"")
    );
}

#[test]
fn a_capture_that_nobody_reads_any_more_ends_alone() {
    use rustix::fs::OFlags;
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Nobody but this test has the end that reads.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut reader = std::fs::File::from(rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap());
    let mut download = home.download_from(&[&seed]);
    let mut session = common::start(download.arg("--trace=torrent").arg("--pcap").arg(&pipe));
    let deadline = Instant::now() + LIMIT;
    let read = rawtorrent_tests::poll(deadline, || reader.read(&mut [0; 1024]).ok().filter(|&read| read > 0));
    assert!(read.is_some(), "{}", session.process.stderr());
    // More than a pipe holds is still to come.
    drop(reader);
    let ended = session.process.wait_until(deadline).unwrap();
    assert_eq!(ended.and_then(|ended| ended.code()), Some(0), "{}", session.process.stderr());
    let said = session.process.stderr();
    assert_eq!(said.matches("the capture ends here: Broken pipe").count(), 1, "{said}");
    assert!(session.events().unwrap().iter().any(|event| event["event"] == "finished"));
    home.assert_downloaded();
}

#[test]
fn who_may_only_look_is_told_no_address_by_trackers_and_peers() {
    let words = "you are 203.0.113.77, go";
    let refusal = format!("d14:failure reason{}:{words}e", words.len()).into_bytes();
    let tracker = Server::start(Answer::Body(refusal)).unwrap();
    let home = Home::with_tracker(Sample::MULTI, Some(&tracker.url("announce")));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (read, admin) = (token(&home, "reader", "read"), token(&home, "owner", "admin"));
    let daemon = Daemon::start_with_trackers(&home, &["--peer", &listener.local_addr().unwrap().to_string()]);
    let torrent = std::fs::read(&home.torrent).unwrap();
    let headers = format!("{admin}content-type: application/x-bittorrent\r\n");
    assert_eq!(daemon.ask("POST", "/api/v1/torrents", &headers, &torrent).status, 201);
    let path = format!("/api/v1/torrents/{}/trackers", hex(&home.info_hash));
    let told = |token: &str| daemon.ask("GET", &path, token, b"").json().to_string();
    let whole = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        Some(told(&admin)).filter(|told| told.contains("you are"))
    });
    let whole = whole.unwrap();
    assert!(whole.contains(words) && whole.contains("http://127.0.0.1:"), "{whole}");
    let masked = told(&read);
    assert!(masked.contains("you are (address), go") && !masked.contains("127.0.0.1"), "{masked}");

    let path = format!("/api/v1/torrents/{}/why", hex(&home.info_hash));
    let told = |token: &str| daemon.ask("GET", &path, token, b"").json().to_string();
    let whole = told(&admin);
    assert!(whole.contains("failed: http://127.0.0.1:") && whole.contains(words), "{whole}");
    let masked = told(&read);
    assert!(masked.contains("failed: http://(address)") && !masked.contains("203.0.113"), "{masked}");

    let mut peer = RawPeer::greet(listener.accept().unwrap().0, EXTENDED, home.info_hash).unwrap();
    let hello = format!("\0d1:mde1:v{}:{words}e", words.len());
    peer.send(&message(id::EXTENDED, hello.as_bytes())).unwrap();
    let path = format!("/api/v1/torrents/{}/peers", hex(&home.info_hash));
    let told = |token: &str| daemon.ask("GET", &path, token, b"").json().to_string();
    let named = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        Some(told(&admin)).filter(|told| told.contains(words))
    });
    assert!(named.is_some(), "{}", told(&admin));
    let masked = told(&read);
    assert!(masked.contains("you are (address), go") && !masked.contains("127.0.0.1"), "{masked}");
    daemon.end();
}
