//! What a daemon calls when something happens to a torrent: programs, and web servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::content::{Sample, hex};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TORRENTS: &str = "/api/v1/torrents";
const KEY: &[u8] = b"a key of twenty-four byt";

/// A program that writes down what it is called with, each call in a file of its own: a line for each argument and variable.
fn program(home: &Home, last: &str) -> PathBuf {
    let (path, calls) = (home.path().join("hook"), home.path().join("calls"));
    fs::create_dir_all(&calls).unwrap();
    let calls = calls.display();
    let script = format!(
        "#!/bin/sh\nout=$(mktemp {calls}/.XXXXXX)\nfor part in \"$@\"; do printf '%s\\0' \"$part\" >> $out; done\n\
         env -0 >> $out\nmv $out {calls}/$$\n{last}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

/// Waits until a program was called so often; what with.
fn calls(home: &Home, count: usize) -> Vec<Vec<String>> {
    let read = |path: PathBuf| {
        let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    let is_whole = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    let found = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        let entries = fs::read_dir(home.path().join("calls")).unwrap().map(|entry| entry.unwrap().path());
        let calls: Vec<_> = entries.filter(is_whole).map(read).collect();
        (calls.len() >= count).then_some(calls)
    });
    found.expect("the program is called")
}

fn start(home: &Home, config: &str, options: &[&str]) -> Daemon {
    let path = home.path().join("config.toml");
    fs::write(&path, config).unwrap();
    Daemon::start(home, &[&["--config", path.to_str().unwrap()], options].concat())
}

fn hook(program: &Path, on: &str, more: &str) -> String {
    format!(
        "[[hook]]\non = [{on}]\ncommand = ['{}', '{{event}}', '{{id}}', '{{name}}', '{{path}}', '{{reason}}', '$(id)']\n{more}\n",
        program.display()
    )
}

/// Waits until it is in the log.
fn logged(daemon: &Daemon, part: &str) {
    let found = rawtorrent_tests::poll(Instant::now() + LIMIT, || {
        daemon.session.process.stderr().contains(part).then_some(())
    });
    assert!(found.is_some(), "{part}: {}", daemon.session.process.stderr());
}

fn variable<'a>(call: &'a [String], name: &str) -> Option<&'a str> {
    call.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn a_program_is_called_for_what_happens() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let program = program(&home, "printf 'told\\033[2J'");
    let config = hook(&program, "'added', 'finished', 'moved', 'removed'", "");
    let daemon = start(&home, &config, &["-v", "--peer", &seed.addr.to_string()]);
    let (id, there) = (hex(&home.info_hash), home.out().join("there"));
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    calls(&home, 2);
    daemon.done(&home, &["move", &id, there.to_str().unwrap()]);
    calls(&home, 3);
    daemon.done(&home, &["remove", &id]);
    let calls = calls(&home, 4);
    for (event, path) in [
        ("added", home.downloaded()),
        ("finished", home.downloaded()),
        ("moved", there.join(Sample::MULTI.name)),
        ("removed", there.join(Sample::MULTI.name)),
    ] {
        let call = calls.iter().find(|call| call[0] == event).unwrap_or_else(|| panic!("{event}: {calls:?}"));
        let path = path.to_str().unwrap();
        assert_eq!(call[1..6], [&*id, Sample::MULTI.name, path, "", "$(id)"]);
        assert_eq!(variable(call, "RAWTORRENT_EVENT"), Some(event));
        assert_eq!(
            (variable(call, "RAWTORRENT_ID"), variable(call, "RAWTORRENT_PATH")),
            (Some(&*id), Some(path))
        );
    }
    logged(&daemon, "told");
    assert!(!daemon.session.process.stderr().contains('\u{1b}'));
    daemon.end();
}

#[test]
fn what_was_there_when_it_started_is_not_told_again() {
    let home = Home::new(Sample::MULTI);
    let seed = home.fake_seed();
    let program = program(&home, "");
    let config = hook(&program, "'added', 'finished', 'removed'", "");
    let daemon = start(&home, &config, &["--peer", &seed.addr.to_string()]);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    calls(&home, 2);
    daemon.end();
    let daemon = start(&home, &config, &[]);
    let id = hex(&home.info_hash);
    let torrent = || daemon.get(&format!("{TORRENTS}/{id}")).json();
    rawtorrent_tests::poll(Instant::now() + LIMIT, || (torrent()["state"] == "seeding").then_some(()))
        .unwrap();
    daemon.done(&home, &["remove", &id]);
    let calls = calls(&home, 3);
    assert_eq!((calls.len(), calls.iter().filter(|call| call[0] == "removed").count()), (3, 1), "{calls:?}");
    daemon.end();
}

#[test]
fn a_hostile_name_stays_one_argument() {
    let home = Home::new(Sample::MULTI);
    let program = program(&home, "");
    let daemon = start(&home, &hook(&program, "'added'", ""), &[]);
    // What a link says, and the name that is fit for a file.
    let names = [
        ("$(touch pwned)", "$(touch pwned)"),
        ("a b\tc\nd", "a b_c_d"),
        ("'; rm -rf / #", "'; rm -rf  #"),
        ("-rf", "-rf"),
        ("{path}", "{path}"),
        ("`id` \\ \" *", "`id`  \" *"),
        ("\0x", "_x"),
    ];
    for (number, (said, _)) in names.iter().enumerate() {
        let said: String = said.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let link = format!("magnet:?xt=urn:btih:{:040x}&dn={said}", number + 1);
        assert_eq!(daemon.json("POST", TORRENTS, &json!({"source": link})).status, 201);
    }
    let calls = calls(&home, names.len());
    for (number, (_, name)) in names.iter().enumerate() {
        let id = format!("{:040x}", number + 1);
        let call = calls.iter().find(|call| call[1] == id).unwrap();
        assert_eq!((call[2].as_str(), call[5].as_str()), (*name, "$(id)"), "{call:?}");
        assert_eq!(variable(call, "RAWTORRENT_NAME"), Some(*name));
    }
    daemon.end();
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_started() {
    let home = Home::new(Sample::MULTI);
    let program = program(&home, "echo told; sleep 1000000 & wait");
    let daemon = start(&home, &hook(&program, "'added'", "timeout = 1"), &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    assert_eq!(calls(&home, 1)[0][0], "added");
    logged(&daemon, "took more than 1 s and was killed");
    let group: String = fs::read_dir(home.path().join("calls"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| !name.starts_with('.'))
        .unwrap();
    let in_group = |stat: &str| {
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect::<Vec<_>>();
        rest.get(2) == Some(&group.as_str()) && rest.first() != Some(&"Z")
    };
    let is_left = || {
        let stats = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("stat"));
        stats.filter_map(|path| fs::read_to_string(path).ok()).any(|stat| in_group(&stat))
    };
    assert!(rawtorrent_tests::poll(Instant::now() + LIMIT, || (!is_left()).then_some(())).is_some());
    daemon.end();
}

#[test]
fn no_request_sets_or_shows_hooks() {
    let home = Home::new(Sample::MULTI);
    let key = home.path().join("key");
    fs::write(&key, KEY).unwrap();
    let program = program(&home, "");
    let config = format!(
        "{}[[webhook]]\non = ['added']\nurl = 'https://hooks.example/secret'\nkey_file = '{}'\n",
        hook(&program, "'removed'", ""),
        key.display()
    );
    let daemon = start(&home, &config, &[]);
    let hooks = json!([{"on": ["added"], "command": [program]}]);
    for body in [
        json!({"hook": hooks}),
        json!({"hooks": hooks}),
        json!({"webhook": hooks}),
        json!({"part_suffix": false, "hook": []}),
    ] {
        daemon.json("PATCH", "/api/v1/settings", &body).refused(400, "bad_request");
    }
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let id = hex(&home.info_hash);
    daemon
        .json("PATCH", &format!("{TORRENTS}/{id}/settings"), &json!({"hook": hooks}))
        .refused(400, "bad_request");
    for path in [
        "/api/v1",
        "/api/v1/settings",
        TORRENTS,
        &format!("{TORRENTS}/{id}/settings"),
        "/api/v1/openapi.json",
        "/metrics",
    ] {
        let body = String::from_utf8_lossy(&daemon.get(path).body).into_owned();
        assert!(
            !body.contains("hooks.example") && !body.contains(program.to_str().unwrap()),
            "{path}: {body}"
        );
        assert!(!body.contains("webhook"), "{path}");
    }
    assert!(!daemon.session.process.stderr().contains("a key of"));
    daemon.end();
    for flag in ["--hook", "--webhook"] {
        assert_eq!(common::run(home.command().args(["daemon", flag, "x"])).code(), Some(2));
    }
}

#[test]
fn hooks_that_make_no_sense_are_refused_at_the_start() {
    let home = Home::new(Sample::MULTI);
    let config = home.path().join("config.toml");
    for (text, part) in [
        ("[[hook]]\non = ['added']\ncommand = 'reboot'", "command"),
        ("[[hook]]\non = ['added']\ncommand = ['reboot']", "from the root on"),
        ("[[webhook]]\non = ['added']\nurl = 'https://x/'\nkey_file = '/nowhere'", "key of a webhook"),
    ] {
        fs::write(&config, text).unwrap();
        let mut command = home.command();
        command
            .args(["daemon", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(&config);
        let done = common::run(command.arg("--socket").arg(home.path().join("api.sock")));
        assert!(matches!(done.code(), Some(1 | 2)), "{text}: {}", done.stderr);
        assert!(done.stderr.contains(part) && done.stderr.lines().count() == 1, "{text}: {}", done.stderr);
    }
}

/// A request's line, its headers in lower case, and its body.
type Heard = (String, String, Vec<u8>);

/// A server that answers with these statuses, one after the other, and then 204.
fn server(statuses: &'static [&'static str]) -> (String, Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        let answers = statuses.iter().copied().chain(std::iter::repeat("204 Done"));
        for (stream, status) in listener.incoming().flatten().zip(answers) {
            let mut reader = BufReader::new(stream);
            let (mut line, mut head) = (String::new(), String::new());
            reader.read_line(&mut line).unwrap();
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                if header.trim().is_empty() {
                    break;
                }
                head.push_str(&header.to_ascii_lowercase());
            }
            let mut body = vec![0; value(&head, "content-length").parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let elsewhere = "location: http://127.0.0.1:1/elsewhere\r\n";
            let answer =
                format!("HTTP/1.1 {status}\r\n{elsewhere}content-length: 0\r\nconnection: close\r\n\r\n");
            let _ = reader.get_mut().write_all(answer.as_bytes());
            let _ = tell.send((line, head, body));
        }
    });
    (format!("http://{addr}/told"), heard)
}

fn value<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name}: {head}"))
}

/// RFC 2104, as its text has it.
fn hmac(key: &[u8], text: &[u8]) -> String {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).unwrap_or(&0) ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn webhook(home: &Home, url: &str, more: &str) -> String {
    let key = home.path().join("key");
    fs::write(&key, [KEY, b"\n"].concat()).unwrap();
    format!("[[webhook]]\non = ['added', 'removed']\nurl = '{url}'\nkey_file = '{}'\n{more}\n", key.display())
}

#[test]
fn a_server_is_told_and_can_tell_that_it_is_us() {
    let home = Home::new(Sample::MULTI);
    let (url, heard) = server(&["503 Later"]);
    let daemon = start(&home, &webhook(&home, &url, "allow_private = true"), &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    let tries: Vec<Heard> = (0..2).map(|_| heard.recv_timeout(LIMIT).unwrap()).collect();
    assert_eq!(tries[0].2, tries[1].2, "the same is told again");
    for (line, head, body) in &tries {
        assert_eq!(line, "POST /told HTTP/1.1\r\n");
        let time = value(head, "x-rawtorrent-timestamp");
        assert!(time.parse::<u64>().unwrap() > 1_700_000_000);
        let signed = hmac(KEY, &[time.as_bytes(), b".", body].concat());
        assert_eq!(value(head, "x-rawtorrent-signature"), format!("sha256={signed}"));
        assert_eq!(value(head, "content-type"), "application/json");
    }
    let told: Value = serde_json::from_slice(&tries[0].2).unwrap();
    assert_eq!(told["event"], "added");
    let torrent = json!({"id": hex(&home.info_hash), "name": Sample::MULTI.name, "path": home.downloaded()});
    assert_eq!(told["torrent"], torrent);
    assert_eq!(told["delivery"].as_str().unwrap().len(), 32);
    daemon.done(&home, &["remove", &hex(&home.info_hash)]);
    let removed: Value = serde_json::from_slice(&heard.recv_timeout(LIMIT).unwrap().2).unwrap();
    assert_eq!(removed["event"], "removed");
    assert_ne!(removed["delivery"], told["delivery"]);
    daemon.end();
}

#[test]
fn a_server_leads_nowhere_and_is_not_asked_here_unless_that_is_said() {
    let home = Home::new(Sample::MULTI);
    let (url, heard) = server(&["302 Elsewhere"]);
    let (inside, unheard) = server(&[]);
    let config = [webhook(&home, &url, "allow_private = true"), webhook(&home, &inside, "")].concat();
    let daemon = start(&home, &config, &[]);
    assert_eq!(daemon.add(&home.torrent, "?paused=true").status, 201);
    heard.recv_timeout(LIMIT).unwrap();
    logged(&daemon, "it answers 302");
    logged(&daemon, "private address");
    daemon.done(&home, &["remove", &hex(&home.info_hash)]);
    assert_eq!(
        serde_json::from_slice::<Value>(&heard.recv_timeout(LIMIT).unwrap().2).unwrap()["event"],
        "removed"
    );
    assert!(unheard.try_recv().is_err());
    daemon.end();
}

#[test]
fn hooks_are_others_once_the_configuration_is_read_again() {
    let home = Home::new(Sample::SINGLE);
    let program = program(&home, "");
    let mut daemon = start(&home, "", &[]);
    let mut reload = |config: &str| {
        fs::write(home.path().join("config.toml"), config).unwrap();
        daemon.session.process.signal(Signal::HUP);
        let is_told = |event: &Value| event["event"].as_str().is_some_and(|kind| kind.starts_with("reload"));
        daemon.session.wait_event(LIMIT, is_told).unwrap()
    };
    let told = reload(&hook(&program, "'added'", ""));
    assert_eq!(told, json!({"event": "reloaded", "changed": ["hooks"], "restart": []}));
    daemon.add(&home.torrent, "?paused=true");
    assert_eq!(calls(&home, 1)[0][0], "added");
    daemon.end();
}
