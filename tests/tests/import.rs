//! Sessions that other people's clients have made just before, taken over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::kept::Running;
use common::{LIMIT, assert_fails, run, with_mount};
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::process::{Finished, Proc};
use rawtorrent_tests::{binary, free_addr, metafile, poll};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// All of it is there, ...
const WHOLE: Sample = Sample::MULTI;
/// ... all but what is spoiled, ...
const SPOILED: Sample = Sample { name: "spoiled.bin", layout: &[("", 1_000_000)] };
/// ... and of this one its last file is not there.
const UNFINISHED: Sample = Sample { name: "unfinished", layout: &[("a", 300_000), ("b", 400_000)] };
/// The client has this one under other names.
const RENAMED: Sample = Sample { name: "renamed", layout: &[("a", 200_000), ("b", 150_000)] };
const SAMPLES: [Sample; 4] = [WHOLE, SPOILED, UNFINISHED, RENAMED];
/// What nobody has.
const LINK: &str = "magnet:?xt=urn:btih:abababababababababababababababababababab&dn=wanted&tr=http%3A%2F%2F127.0.0.1%3A9%2Fannounce";
const SPOILED_AT: u64 = 500_000;
const PIECE: u64 = 65_536;

/// Has Deluge's plugin call a torrent `linux`, and Deluge the files of another one otherwise.
const LABEL: &str = r#"
import sys
from deluge.ui.client import client
from twisted.internet import defer, reactor, task

failed = []

@defer.inlineCallbacks
def label():
    yield client.connect(host="127.0.0.1", port=int(sys.argv[1]), username="localclient", password="secret")
    yield client.label.add("linux")
    yield client.label.set_torrent(sys.argv[2], "linux")
    yield client.core.rename_folder(sys.argv[3], "renamed/", "other/")
    names = lambda: client.core.get_torrent_status(sys.argv[3], ["files"])
    while any(not file["path"].startswith("other/") for file in (yield names())["files"]):
        yield task.deferLater(reactor, 0.1, lambda: None)
    yield client.disconnect()

def end(outcome):
    if outcome is not None:
        failed.append(str(outcome))
    reactor.stop()

reactor.callWhenRunning(lambda: label().addBoth(end))
reactor.run()
sys.exit("\n".join(failed) or 0)
"#;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Qbittorrent,
    QbittorrentDatabase,
    Transmission,
    Rtorrent,
    Deluge,
}

/// A client's home, and what it is to have.
struct Session {
    client: Client,
    home: TempDir,
}

impl Session {
    /// Has a client look at what is there of the samples, and end.
    fn made_by(client: Client) -> Session {
        let session = Session { client, home: tempfile::tempdir().unwrap() };
        let data = session.data();
        fs::create_dir(&data).unwrap();
        for sample in SAMPLES {
            sample.write(&data).unwrap();
            // rTorrent takes no torrent without trackers while it has no DHT. Nobody listens there.
            let torrent = metafile::torrent(&sample, Some("http://127.0.0.1:9/announce"));
            fs::write(session.torrent(&sample), torrent).unwrap();
        }
        spoil(&data.join(SPOILED.name), SPOILED_AT);
        fs::remove_file(data.join("unfinished/b")).unwrap();
        match client {
            // It has no folder of its own for those.
            Client::Rtorrent => fs::rename(data.join("renamed"), data.join("other")).unwrap(),
            Client::Deluge => fs::create_dir(session.path("complete")).unwrap(),
            _ => {
                fs::create_dir(session.path("until")).unwrap();
                fs::rename(data.join("unfinished"), session.path("until/unfinished")).unwrap();
            }
        }
        let log = session.path("log");
        match client {
            Client::Transmission => session.transmission(&log),
            Client::Qbittorrent | Client::QbittorrentDatabase => session.qbittorrent(&log),
            Client::Rtorrent => session.rtorrent(&log),
            Client::Deluge => session.deluge(&log),
        }
        session
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn torrent(&self, sample: &Sample) -> PathBuf {
        self.path(&format!("{}.torrent", sample.name.replace(' ', "-")))
    }

    fn torrents(&self) -> impl Iterator<Item = PathBuf> + '_ {
        SAMPLES.iter().map(|sample| self.torrent(sample))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        binary::isolate(&mut command, self.home.path());
        command.current_dir(self.home.path()).env("TERM", "dumb");
        command
    }

    fn transmission(&self, log: &Path) {
        let (rpc, peer) = (free_addr().unwrap().port(), free_addr().unwrap().port());
        let settings = json!({
            "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
            "port-forwarding-enabled": false, "rpc-port": rpc, "rpc-bind-address": "127.0.0.1",
            "rpc-authentication-required": false, "peer-port": peer, "download-dir": self.data(),
            "incomplete-dir-enabled": true, "incomplete-dir": self.path("until"),
        });
        fs::create_dir(self.path("config")).unwrap();
        fs::write(self.path("config/settings.json"), settings.to_string()).unwrap();
        let mut daemon = self.command("transmission-daemon");
        daemon.args(["--foreground", "--config-dir"]).arg(self.path("config"));
        let mut daemon = Proc::spawn(&mut daemon, log).unwrap();
        let remote = |args: &[&str]| {
            let mut remote = self.command("transmission-remote");
            run(remote.arg(rpc.to_string()).args(args)).stdout
        };
        until(|| remote(&["-l"]).contains("ID"));
        for torrent in self.torrents() {
            remote(&["-a", torrent.to_str().unwrap()]);
        }
        remote(&["-a", LINK]);
        until(|| {
            let listed = remote(&["-l"]);
            listed.matches("100%").count() == 2
                && !listed.contains("Verify")
                && listed.matches("Idle").count() >= 4
        });
        // Its command knows no names.
        let say = |id: &str| {
            let order = json!({"method": "torrent-rename-path", "arguments": {"ids": [4], "path": "renamed", "name": "other"}});
            let order = order.to_string();
            let head = format!("Host: 127.0.0.1\r\nX-Transmission-Session-Id: {id}");
            let order = format!(
                "POST /transmission/rpc HTTP/1.0\r\n{head}\r\nContent-Length: {}\r\n\r\n{order}",
                order.len()
            );
            answer(SocketAddr::from(([127, 0, 0, 1], rpc)), &order).unwrap()
        };
        let told = say("");
        let id = told.split("X-Transmission-Session-Id: ").nth(1).unwrap().lines().next().unwrap();
        assert!(say(id).contains("success"));
        until(|| remote(&["-t", "4", "-f"]).contains("other/b"));
        remote(&["-t", "1", "-S", "-L", "linux"]);
        until(|| remote(&["-l"]).contains("Stopped"));
        stop(&mut daemon, Signal::TERM);
    }

    fn qbittorrent(&self, log: &Path) {
        let (web, peer) = (free_addr().unwrap(), free_addr().unwrap().port());
        let config = self.path("qBittorrent/config");
        fs::create_dir_all(&config).unwrap();
        let storage = match self.client {
            Client::QbittorrentDatabase => "Session\\ResumeDataStorageType=SQLite\n",
            _ => "",
        };
        let settings = format!(
            "[LegalNotice]\nAccepted=true\n\n[Network]\nPortForwardingEnabled=false\n\n[BitTorrent]\n{storage}\
             Session\\Interface=lo\nSession\\InterfaceName=lo\nSession\\InterfaceAddress=127.0.0.1\n\
             Session\\Port={peer}\nSession\\TempPathEnabled=true\nSession\\TempPath={}\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n\n\
             [Preferences]\nWebUI\\Enabled=true\nWebUI\\Address=127.0.0.1\nWebUI\\Port={}\nWebUI\\LocalHostAuth=false\n\
             WebUI\\UseUPnP=false\n",
            self.path("until").display(),
            web.port()
        );
        fs::write(config.join("qBittorrent.conf"), settings).unwrap();
        let categories = json!({"linux": {"save_path": self.path("isos")}, "below": {"save_path": ""}});
        fs::write(config.join("categories.json"), categories.to_string()).unwrap();
        let mut daemon = self.command("qbittorrent-nox");
        daemon.arg(format!("--profile={}", self.home.path().display()));
        daemon.arg(format!("--save-path={}", self.data().display())).arg("--skip-dialog=true");
        daemon.args(["--category=linux"]).args(self.torrents()).arg(LINK);
        let mut daemon = Proc::spawn(&mut daemon, log).unwrap();
        let say = |question: String| {
            answer(web, &question)?.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
        };
        let get = |path: &str| {
            let body = say(format!("GET /api/v2/torrents/{path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"))?;
            serde_json::from_str::<Value>(&body).ok()
        };
        let ask = || get("info");
        until(|| {
            let torrents = ask().and_then(|torrents| torrents.as_array().cloned()).unwrap_or_default();
            let is_settled = |torrent: &Value| {
                torrent["progress"].as_f64() > Some(0.3)
                    && !torrent["state"].as_str().unwrap().starts_with("check")
            };
            torrents.len() == SAMPLES.len() + 1 && torrents.iter().filter(|one| is_settled(one)).count() == 4
        });
        let hash = hex(&info_hash(&RENAMED));
        let order = format!("hash={hash}&oldPath=renamed&newPath=other");
        let head = "Host: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded";
        say(format!(
            "POST /api/v2/torrents/renameFolder HTTP/1.0\r\n{head}\r\nContent-Length: {}\r\n\r\n{order}",
            order.len()
        ));
        until(|| {
            let files = get(&format!("files?hash={hash}")).unwrap_or_default();
            files.as_array().is_some_and(|files| {
                files.iter().all(|file| file["name"] != "renamed/a" && file["name"] != "renamed/b")
            })
        });
        stop(&mut daemon, Signal::TERM);
    }

    fn rtorrent(&self, log: &Path) {
        let port = free_addr().unwrap().port();
        fs::create_dir(self.path("session")).unwrap();
        fs::create_dir(self.path("hashed")).unwrap();
        let mut settings = format!(
            "system.daemon.set = true\nsession.path.set = {}\ndirectory.default.set = {}\n\
             network.bind_address.set = 127.0.0.1\nnetwork.port_range.set = {port}-{port}\nnetwork.port_random.set = no\n\
             dht.mode.set = disable\nprotocol.pex.set = no\n\
             method.set_key = event.download.hash_done, mark, ((execute.nothrow,touch,((cat,\"{}\",((d.hash))))))\n",
            self.path("session").display(),
            self.data().display(),
            self.path("hashed/").display(),
        );
        for (torrent, sample) in self.torrents().zip(SAMPLES) {
            let base = format!(", \"d.directory_base.set=\\\"{}\\\"\"", self.data().join("other").display());
            let base = if sample.name == RENAMED.name { base } else { String::new() };
            settings.push_str(&format!("load.start = \"{}\"{base}\n", torrent.display()));
        }
        settings.push_str(&format!("load.start = \"{LINK}\"\n"));
        fs::write(self.path("rtorrent.rc"), settings).unwrap();
        let mut daemon = self.command("rtorrent");
        daemon.args(["-n", "-o"]).arg(format!("import={}", self.path("rtorrent.rc").display()));
        let mut daemon = Proc::spawn(&mut daemon, log).unwrap();
        let hashed = self.path("hashed");
        until(|| fs::read_dir(&hashed).unwrap().count() == SAMPLES.len() + 1);
        stop(&mut daemon, Signal::INT);
    }

    fn deluge(&self, log: &Path) {
        let port = free_addr().unwrap().port().to_string();
        let config = self.path("config");
        fs::create_dir(&config).unwrap();
        let settings = json!({
            "dht": false, "lsd": false, "upnp": false, "natpmp": false, "utpex": false, "new_release_check": false,
            "random_port": true, "listen_interface": "127.0.0.1", "download_location": self.data(),
            "enabled_plugins": ["Label"], "move_completed": true, "move_completed_path": self.path("complete"),
        });
        let settings = format!("{}{settings}", json!({"file": 1, "format": 1}));
        fs::write(config.join("core.conf"), settings).unwrap();
        fs::write(config.join("auth"), "localclient:secret:10\n").unwrap();
        let mut daemon = self.command("deluged");
        daemon.args(["-d", "-u", "127.0.0.1", "-p", &port, "-c"]).arg(&config);
        let mut daemon = Proc::spawn(&mut daemon, log).unwrap();
        let console = |what: &str| {
            let mut console = self.command("deluge-console");
            console.args(["-d", "127.0.0.1", "-p", &port, "-U", "localclient", "-P", "secret"]).arg(what);
            run(&mut console).stdout
        };
        until(|| TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
        let torrents: Vec<String> = self.torrents().map(|path| path.display().to_string()).collect();
        console(&format!("add -p {} {} {LINK}", self.data().display(), torrents.join(" ")));
        until(|| {
            let listed = console("info");
            listed.matches("[D]").count() == 3 && listed.matches("[S]").count() == 2
        });
        // Its console knows no labels.
        let labels = self
            .command("/usr/bin/python3")
            .args(["-c", LABEL, &port, &hex(&info_hash(&WHOLE)), &hex(&info_hash(&RENAMED))])
            .output()
            .unwrap();
        assert!(labels.status.success(), "{}", String::from_utf8_lossy(&labels.stderr));
        console("halt");
        daemon.wait(LIMIT).unwrap();
    }

    /// What `import` is told, and where.
    fn import(&self, home: &Path) -> Command {
        let (from, dir) = match self.client {
            Client::Transmission => ("transmission", self.path("config")),
            Client::Qbittorrent | Client::QbittorrentDatabase => {
                ("qbittorrent", self.path("qBittorrent/data"))
            }
            Client::Rtorrent => ("rtorrent", self.path("session")),
            Client::Deluge => ("deluge", self.path("config")),
        };
        let mut command = binary::command(home);
        command.args(["import", "--json", "--from", from]).arg(dir);
        command
    }
}

/// What an HTTP server answers.
fn answer(server: SocketAddr, question: &str) -> Option<String> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn stop(daemon: &mut Proc, signal: Signal) {
    let ended = daemon.stop(signal, LIMIT).unwrap();
    assert!(ended.is_some(), "it does not end: {}", daemon.stderr());
}

fn until(mut is: impl FnMut() -> bool) {
    let found = poll(Instant::now() + LIMIT, || is().then_some(()));
    assert!(found.is_some(), "the client does not do it");
}

/// Another byte, in one piece.
fn spoil(path: &Path, at: u64) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[!byte[0]]).unwrap();
}

fn info_hash(sample: &Sample) -> [u8; 20] {
    metafile::info_hash(&metafile::torrent(sample, None)).unwrap()
}

fn pieces(sample: &Sample) -> u64 {
    (sample.len() as u64).div_ceil(PIECE)
}

fn told(stdout: &str, sample: &Sample) -> Value {
    let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut named = lines.filter(|line| line["name"] == sample.name);
    named.next().unwrap_or_else(|| panic!("{} is not in {stdout}", sample.name))
}

/// Takes a session over, and looks at what is offered to peers then.
fn is_taken_over(client: Client) {
    let session = Session::made_by(client);
    let home = tempfile::tempdir().unwrap();
    let done = run(&mut session.import(home.path()));
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let whole = told(&done.stdout, &WHOLE);
    assert_eq!((&whole["believed"], &whole["to_check"]), (&json!(pieces(&WHOLE)), &json!(0)), "{whole}");
    assert_eq!(whole["paused"], client == Client::Transmission, "{whole}");
    let spoiled = told(&done.stdout, &SPOILED);
    assert_eq!(spoiled["believed"], 0, "nobody but the client says what is there: {spoiled}");
    let unfinished = told(&done.stdout, &UNFINISHED);
    // rTorrent may say of each file whether it is complete.
    let complete = if client == Client::Rtorrent { 300_000 / PIECE } else { 0 };
    assert!(unfinished["believed"].as_u64().unwrap() <= complete, "{unfinished}");
    let renamed = told(&done.stdout, &RENAMED);
    assert_eq!(
        (&renamed["believed"], &renamed["to_check"]),
        (&json!(pieces(&RENAMED)), &json!(0)),
        "{renamed}"
    );
    let link_is = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["name"] == "wanted" && line["metadata"] == false
    };
    assert!(done.stdout.lines().any(link_is), "{}", done.stdout);

    let again = run(&mut session.import(home.path()));
    assert_eq!(again.code(), Some(1), "{}", again.stderr);
    assert_eq!(again.stderr.matches("it is here already").count(), SAMPLES.len() + 1, "{}", again.stderr);
    assert_eq!(again.stderr.lines().count(), SAMPLES.len() + 1, "a line each: {}", again.stderr);

    let (mut running, ready) = Running::start(home.path(), &[]);
    assert_eq!(ready["torrents"], SAMPLES.len() + 1);
    let ours: SocketAddr = ready["listen"][0].as_str().unwrap().parse().unwrap();
    for sample in SAMPLES {
        let order = json!({"do": "resume", "info_hash": hex(&info_hash(&sample))});
        running.done(&order);
    }
    until(|| {
        let listed = running.done(&json!({"do": "list"}));
        let states = listed["torrents"].as_array().unwrap().iter().map(|torrent| torrent["state"].clone());
        let mut found = states.collect::<Vec<_>>();
        found.retain(|state| state != "downloading" && state != "seeding");
        found == ["fetching_metadata"]
    });
    let (lies_in, goes_to) = match client {
        Client::Rtorrent => (session.data(), None),
        Client::Deluge => (session.data(), Some(session.path("complete"))),
        _ => (session.path("until"), Some(session.data())),
    };
    let unfinished = listed(&mut running, &UNFINISHED);
    assert_eq!(unfinished["dir"], json!(lies_in), "{unfinished}");
    assert_eq!(unfinished["dir_when_complete"], json!(goes_to), "{unfinished}");
    let whole = listed(&mut running, &WHOLE);
    let labels = match client {
        Client::Transmission => (Value::Null, json!(["linux"])),
        Client::Qbittorrent | Client::QbittorrentDatabase => (json!("linux"), json!([])),
        Client::Deluge => (json!("linux"), json!([])),
        Client::Rtorrent => (Value::Null, json!([])),
    };
    assert_eq!((whole["category"].clone(), whole["tags"].clone()), labels);
    if matches!(client, Client::Qbittorrent | Client::QbittorrentDatabase) {
        let save_paths = running.done(&json!({"do": "session"}))["save_paths"].clone();
        assert_eq!(save_paths["linux"], json!(session.path("isos")), "{save_paths}");
    }
    assert_eq!(claimed(ours, &WHOLE), (0..pieces(&WHOLE)).collect::<Vec<_>>());
    let bad = SPOILED_AT / PIECE;
    assert_eq!(
        claimed(ours, &SPOILED),
        (0..pieces(&SPOILED)).filter(|&piece| piece != bad).collect::<Vec<_>>()
    );
    assert_eq!(claimed(ours, &RENAMED), (0..pieces(&RENAMED)).collect::<Vec<_>>());
    // The last piece of the file that is there lies in the one that is not, too.
    assert_eq!(claimed(ours, &UNFINISHED), (0..300_000 / PIECE).collect::<Vec<_>>());
    running.end();

    // What was changed since is not believed, whatever the client says.
    spoil(&session.data().join(WHOLE.name).join("zz last.bin"), 1_000_000);
    let other = tempfile::tempdir().unwrap();
    let done = run(&mut session.import(other.path()));
    let whole = told(&done.stdout, &WHOLE);
    assert!(whole["to_check"].as_u64().unwrap() >= 1_800_017 / PIECE, "{whole}");
}

/// A torrent as the session has it.
fn listed(running: &mut Running, sample: &Sample) -> Value {
    let mut list = running.done(&json!({"do": "list"}));
    let torrents = list["torrents"].as_array_mut().unwrap();
    torrents.iter_mut().find(|torrent| torrent["name"] == sample.name).unwrap().take()
}

/// The pieces that are offered to a peer.
fn claimed(ours: SocketAddr, sample: &Sample) -> Vec<u64> {
    let pieces = rawtorrent_tests::peer::claimed(ours, info_hash(sample)).unwrap();
    pieces.into_iter().map(|piece| piece as u64).collect()
}

#[test]
#[ignore = "needs other clients: cargo xtask test --only interop"]
fn torrents_of_transmission_are_taken_over() {
    is_taken_over(Client::Transmission);
}

#[test]
#[ignore = "needs other clients: cargo xtask test --only interop"]
fn torrents_of_qbittorrent_are_taken_over() {
    is_taken_over(Client::Qbittorrent);
}

#[test]
#[ignore = "needs other clients: cargo xtask test --only interop"]
fn torrents_of_a_database_of_qbittorrent_are_taken_over() {
    is_taken_over(Client::QbittorrentDatabase);
}

#[test]
#[ignore = "needs other clients: cargo xtask test --only interop"]
fn torrents_of_rtorrent_are_taken_over() {
    is_taken_over(Client::Rtorrent);
}

#[test]
#[ignore = "needs other clients: cargo xtask test --only interop"]
fn torrents_of_deluge_are_taken_over() {
    is_taken_over(Client::Deluge);
}

/// What qBittorrent writes of a torrent of which nothing is there yet.
fn resume_data(save_path: &Path, own: &str) -> Vec<u8> {
    let text = |text: &str| format!("{}:{text}", text.len());
    let entry = |key: &str, value: String| text(key) + &value;
    let entries = [
        entry("file-format", text("libtorrent resume file")),
        entry("file-version", "i1e".into()),
        entry("qBt-category", text("films")),
        entry("qBt-savePath", text(own)),
        entry("save_path", text(save_path.to_str().unwrap())),
        entry("seeding_time", "i7200e".into()),
    ];
    format!("d{}e", entries.concat()).into_bytes()
}

#[test]
fn folders_of_categories_are_taken_over() {
    let (theirs, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (backup, config) = (theirs.path().join("data/BT_backup"), theirs.path().join("config"));
    let (until, own) = (theirs.path().join("until"), theirs.path().join("own"));
    for dir in [&backup, &config, &until] {
        fs::create_dir_all(dir).unwrap();
    }
    let films = theirs.path().join("films");
    let categories =
        json!({"films": {"save_path": films, "download_path": null}, "other": {"save_path": ""}});
    fs::write(config.join("categories.json"), categories.to_string()).unwrap();
    let conf = format!("[BitTorrent]\nSession\\DefaultSavePath={}\n", theirs.path().join("all").display());
    fs::write(config.join("qBittorrent.conf"), conf).unwrap();
    for (sample, own) in [(WHOLE, ""), (SPOILED, own.to_str().unwrap())] {
        let id = hex(&info_hash(&sample));
        fs::write(backup.join(format!("{id}.torrent")), metafile::torrent(&sample, None)).unwrap();
        fs::write(backup.join(format!("{id}.fastresume")), resume_data(&until, own)).unwrap();
    }
    let mut import = binary::command(home.path());
    let done = run(import.args(["import", "--from", "qbittorrent"]).arg(&backup));
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let (mut running, _) = Running::start(home.path(), &[]);
    let settings = running.done(&json!({"do": "session"}));
    assert_eq!(settings["save_paths"], json!({"films": films, "other": theirs.path().join("all/other")}));
    for (sample, goes_to) in [(WHOLE, &films), (SPOILED, &own)] {
        let torrent = listed(&mut running, &sample);
        assert_eq!(torrent["category"], "films");
        assert_eq!(
            (&torrent["dir"], &torrent["dir_when_complete"]),
            (&json!(until), &json!(goes_to)),
            "{torrent}"
        );
    }
    running.end();
}

/// A session of Transmission that has these torrents in a folder, each with blocks of it; `None`: all.
fn of_transmission(home: &Path, dir: &Path, torrents: &[(&Sample, Option<&[u8]>)]) -> PathBuf {
    let config = home.join("transmission");
    for name in ["resume", "torrents"] {
        fs::create_dir_all(config.join(name)).unwrap();
    }
    for (sample, blocks) in torrents {
        let id = hex(&info_hash(sample));
        let dir = dir.to_str().unwrap();
        let mut resume = format!("d11:destination{}:{dir}8:progressd6:blocks", dir.len()).into_bytes();
        let blocks = blocks.unwrap_or(b"all");
        resume.extend(format!("{}:", blocks.len()).into_bytes());
        resume.extend(blocks);
        resume.extend(b"ee");
        fs::write(config.join(format!("resume/{id}.resume")), resume).unwrap();
        fs::write(config.join(format!("torrents/{id}.torrent")), metafile::torrent(sample, None)).unwrap();
    }
    config
}

fn import_from(home: &Path, from: &str, session: &Path) -> Finished {
    run(binary::command(home).args(["import", "--from", from]).arg(session))
}

#[test]
fn what_the_client_claims_nothing_of_may_be_the_users_own() {
    const OWN: Sample = Sample { name: "own.bin", layout: &[("", 300_000)] };
    const GOOD: Sample = Sample { name: "good.bin", layout: &[("", 300_001)] };
    const BEGUN: Sample = Sample { name: "begun.bin", layout: &[("", 300_002)] };
    const SUFFIX: Sample = Sample { name: "suffix.bin", layout: &[("", 300_003)] };
    const EMPTY: Sample = Sample { name: "empty.bin", layout: &[("", 300_004)] };
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    GOOD.write(&dir).unwrap();
    for name in ["own.bin", "begun.bin", "suffix.bin.part"] {
        fs::write(dir.join(name), "something else").unwrap();
    }
    fs::write(dir.join(EMPTY.name), "").unwrap();
    // 19 blocks each, of which the second one is there.
    let (none, second) = (&[0; 3][..], &[0x40, 0, 0][..]);
    let torrents = [
        (&OWN, Some(none)),
        (&GOOD, Some(none)),
        (&BEGUN, Some(second)),
        (&SUFFIX, Some(none)),
        (&EMPTY, Some(none)),
    ];
    let session = of_transmission(home.path(), &dir, &torrents);
    let done = import_from(home.path(), "transmission", &session);
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let (mut running, _) = Running::start(home.path(), &[]);
    let states = [
        (OWN, "failed"),
        (GOOD, "seeding"),
        (BEGUN, "downloading"),
        (SUFFIX, "downloading"),
        (EMPTY, "downloading"),
    ];
    for (sample, state) in states {
        until(|| listed(&mut running, &sample)["state"] == state);
    }
    let error = listed(&mut running, &OWN)["error"].to_string();
    assert!(error.contains("not known to be this torrent's"), "{error}");
    assert_eq!(fs::read_to_string(dir.join(OWN.name)).unwrap(), "something else");
    running.end();
}

#[test]
fn nothing_is_written_where_a_disk_is_missing_that_the_session_knows() {
    let home = tempfile::tempdir().unwrap();
    let (disk, mount) = (home.path().join("disk"), home.path().join("mount"));
    for dir in [&disk, &mount] {
        fs::create_dir(dir).unwrap();
    }
    let file = home.path().join("known.torrent");
    fs::write(&file, metafile::torrent(&WHOLE, None)).unwrap();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    let bind = format!("mount --bind '{}' '{}'", disk.display(), mount.display());
    let (mut running, _) = Running::begin(&mut with_mount(&bind, &command));
    running.done(&json!({"do": "add", "torrent": file, "dir": mount, "paused": true}));
    running.end();
    let dir = mount.join("films");
    let session = of_transmission(home.path(), &dir, &[(&SPOILED, Some(&[]))]);
    let done = import_from(home.path(), "transmission", &session);
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let (mut running, _) = Running::start(home.path(), &[]);
    until(|| listed(&mut running, &SPOILED)["state"] == "unavailable");
    running.end();
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 0, "the disk is not there");
}

#[test]
fn torrents_are_below_the_folder_that_rtorrent_was_started_in() {
    let home = tempfile::tempdir().unwrap();
    let (session, dir) = (home.path().join("session"), home.path().join("started here"));
    fs::create_dir_all(&session).unwrap();
    SPOILED.write(&dir).unwrap();
    let id = hex(&info_hash(&SPOILED)).to_uppercase();
    fs::write(session.join(format!("{id}.torrent")), metafile::torrent(&SPOILED, None)).unwrap();
    fs::write(session.join(format!("{id}.torrent.rtorrent")), "d9:directory2:./5:statei0ee").unwrap();
    let done = import_from(home.path(), "rtorrent", &session);
    assert_fails(&done, &["its folder (./) is below the one that rtorrent was started in"]);
    let mut import = binary::command(home.path());
    import.current_dir(home.path()).args(["import", "--from", "rtorrent", "--started-in", "started here"]);
    let done = run(import.arg(&session));
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
    let (mut running, _) = Running::start(home.path(), &[]);
    assert_eq!(listed(&mut running, &SPOILED)["dir"], json!(dir));
    running.end();
}

#[test]
fn what_is_no_session_is_told() {
    let home = tempfile::tempdir().unwrap();
    for from in ["qbittorrent", "transmission", "rtorrent", "deluge"] {
        let mut command = binary::command(home.path());
        let done = run(command.args(["import", "--from", from]).arg(home.path()));
        assert_fails(&done, &["no such session"]);
    }
    fs::create_dir_all(home.path().join("resume")).unwrap();
    fs::write(home.path().join("resume/00.resume"), "d").unwrap();
    let mut command = binary::command(home.path());
    let done = run(command.args(["import", "--from", "transmission"]).arg(home.path()));
    assert_fails(&done, &["00: not taken over: its resume file is damaged"]);
}
