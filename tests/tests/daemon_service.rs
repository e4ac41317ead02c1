//! The daemon as a service: what it tells who started it, sockets that it is given, and SIGHUP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use common::daemon::Daemon;
use common::{Home, LIMIT, run};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use rustix::io::FdFlags;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Starts `daemon` as it is set up.
fn start(command: &mut Command) -> (Daemon, Value) {
    let mut session = Session::start(command).unwrap();
    let ready = session.wait_event(LIMIT, |event| event["event"] == "ready").unwrap();
    let addr = ready["api"][0].as_str().unwrap().trim_start_matches("http://").to_owned();
    (Daemon { session, addr }, ready)
}

fn command(home: &Home) -> Command {
    let mut command = home.command();
    command.args(["daemon", "--json", "--listen", "127.0.0.1:0", "--no-trackers"]);
    command.arg("--root").arg(home.out());
    command
}

#[test]
fn it_becomes_whom_an_image_s_user_names() {
    let home = Home::new(Sample::MULTI);
    let ours = rustix::process::getuid();
    let user = if ours.is_root() { 65534 } else { ours.as_raw() };
    std::os::unix::fs::chown(home.path(), Some(user), None).unwrap();
    let set_up = || {
        let mut command = command(&home);
        command.args(["--api", "127.0.0.1:0"]).env("PUID", user.to_string()).env("UMASK", "027");
        command
    };
    let (daemon, _) = start(&mut set_up());
    let log = home.path().join("state/rawtorrent/session.db");
    let found = std::fs::metadata(&log).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o777), (user, 0o640));
    assert_eq!(std::fs::metadata(log.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    daemon.end();
    let done = run(set_up().env("UMASK", "9"));
    common::assert_fails(&done, &["octal number"]);
}

#[test]
fn who_started_it_hears_how_it_stands() {
    let home = Home::new(Sample::MULTI);
    let path = home.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(LIMIT)).unwrap();
    let hear = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = supervisor.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.lines().any(|line| line == wanted) {
                return told;
            }
        }
    };
    let mut command = command(&home);
    command.args(["--api", "127.0.0.1:0"]).arg("--socket").arg(home.path().join("api.sock"));
    let (daemon, _) = start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000"));
    hear("READY=1");
    hear("WATCHDOG=1");
    daemon.session.process.signal(Signal::HUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    daemon.end();
    hear("STOPPING=1");
}

/// The command with `listener` as the socket that systemd would pass.
fn activated(command: &Command, listener: &impl AsFd) -> Command {
    let fd = listener.as_fd();
    rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
    let fd = fd.as_raw_fd();
    let mut wrapped = Command::new("bash");
    wrapped.args(["-c", &format!("exec 3<&{fd}; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\""), "bash"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

#[test]
fn it_serves_at_sockets_that_it_is_given() {
    let home = Home::new(Sample::MULTI);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (daemon, ready) = start(&mut activated(&command(&home), &listener));
    assert_eq!(ready["api"], json!([format!("http://{addr}")]));
    assert_eq!(daemon.get("/healthz").status, 200);
    daemon.end();

    let path = home.path().join("given.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (daemon, ready) = start(&mut activated(&command(&home), &listener));
    let host = format!("unix:{}", path.display());
    assert_eq!(ready["api"], json!([host]));
    assert_eq!(run(home.command().args(["list", "--host", &host])).code(), Some(0));
    daemon.end();
    assert!(path.exists(), "it is somebody else's");

    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = run(&mut activated(&command(&home), &open));
    common::assert_fails(&refused, &["rawtorrent token add"]);
    let file = std::fs::File::open(&home.torrent).unwrap();
    common::assert_fails(&run(&mut activated(&command(&home), &file)), &["listen_fds"]);
}

#[test]
fn the_configuration_is_read_again() {
    let home = Home::new(Sample::MULTI);
    let config = home.path().join("config.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    let api = "api = '127.0.0.1:0'\n";
    write(&format!("{api}max_up = '1M'\nmax_down = '7M'\n"));
    let mut command = home.command();
    command.args(["daemon", "--json", "--listen", "127.0.0.1:0", "--no-trackers", "--max-down", "8M"]);
    command.arg("--config").arg(&config).arg("--socket").arg(home.path().join("api.sock"));
    let (mut daemon, _) = start(&mut command);
    let mut seen = 0;
    let mut reload = |daemon: &mut Daemon| {
        daemon.session.process.signal(Signal::HUP);
        let told = |event: &Value| event["event"].as_str().is_some_and(|kind| kind.starts_with("reload"));
        let found = rawtorrent_tests::poll(std::time::Instant::now() + LIMIT, || {
            let mut told: Vec<Value> = daemon.session.events().unwrap().into_iter().filter(told).collect();
            (told.len() > seen).then(|| told.pop())
        });
        seen += 1;
        found.flatten().unwrap()
    };
    let settings = |daemon: &Daemon| daemon.get("/api/v1/settings").json();
    assert_eq!(settings(&daemon)["max_up"], 1_000_000);
    let named = "GET /healthz HTTP/1.1\r\nhost: seedbox.example\r\nconnection: close\r\n\r\n";
    daemon.raw(named.as_bytes()).refused(421, "host");

    let root = home.out();
    let roots = |root: &Path| format!("root = '{}'\n", root.display());
    write(&format!(
        "{api}max_up = '2M'\nmax_down = '9M'\nallow_host = 'seedbox.example'\nno_pex = true\n{}",
        roots(&root)
    ));
    let told = reload(&mut daemon);
    assert_eq!(
        told,
        json!({"event": "reloaded", "changed": ["allow_host", "max_up", "root"], "restart": ["no_pex"]})
    );
    let now = settings(&daemon);
    assert_eq!((&now["max_up"], &now["max_down"]), (&json!(2_000_000), &json!(8_000_000)), "flags win");
    assert_eq!(daemon.raw(named.as_bytes()).status, 200);
    assert_eq!(daemon.add(&home.torrent, &format!("?paused=true&dir={}", root.display())).status, 201);
    assert!(daemon.session.process.stderr().contains("a restart is needed for: no_pex"));

    for (bad, part) in [
        ("max_up = 'fast'", "'fast' is not a size"),
        ("max_upp = 1", "there is no setting 'max_upp'"),
        ("root = 'here'", "absolute"),
        ("max_up = ", "line 1"),
    ] {
        write(bad);
        let told = reload(&mut daemon);
        assert_eq!(told["event"], "reload_failed", "{bad}: {told}");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(part) && !error.contains('\n') && !error.contains("--help"), "{bad}: {error}");
        assert_eq!(settings(&daemon), now, "{bad}");
    }
    write(api);
    assert_eq!(reload(&mut daemon)["changed"], json!(["allow_host", "max_up", "root"]));
    assert_eq!(settings(&daemon)["max_up"], json!(null));
    let id = hex(&home.info_hash);
    assert_eq!(
        daemon.get(&format!("/api/v1/torrents/{id}")).json()["state"],
        "paused",
        "it stays where it is"
    );
    daemon.end();
}

#[test]
fn the_unit_is_hardened() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/rawtorrent.service");
    let mut command = Command::new("systemd-analyze");
    // From 0, safe, to 100; what is left is the network, which is what it is for.
    let done = run(command.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(unit));
    println!("{}", done.stdout.lines().last().unwrap_or_default());
    assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
}
