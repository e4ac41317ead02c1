//! `rawtorrent top` in a real terminal, and the pieces that it shows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};

/// A terminal with a server of its own, which ends with it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(home: &Home, daemon: &Daemon) -> Terminal {
        Terminal::start_with(home, &format!("http://{}", daemon.addr), "")
    }

    /// The same with variables.
    fn start_with(home: &Home, host: &str, variables: &str) -> Terminal {
        static TERMINALS: AtomicUsize = AtomicUsize::new(0);
        // A server that was told to end may still be there.
        let number = TERMINALS.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { socket: home.path().join(format!("tmux{number}")) };
        let command =
            format!("{variables} {} top --host {host}; echo ended with $?; cat", binary::path().display());
        let mut tmux =
            terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "130", "-y", "45", &command]);
        binary::isolate(&mut tmux, home.path());
        assert!(tmux.env("LC_ALL", "C.UTF-8").env("SHELL", "/bin/sh").status().unwrap().success());
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(args);
        command
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.tmux(&["send-keys"]).args(keys).status().unwrap().success());
    }

    fn size(&self, width: usize, height: usize) {
        let (width, height) = (width.to_string(), height.to_string());
        assert!(self.tmux(&["resize-window", "-x", &width, "-y", &height]).status().unwrap().success());
    }

    /// What is on the screen; with `-e`, colours too.
    fn screen(&self, options: &[&str]) -> String {
        let captured = self.tmux(&["capture-pane", "-p"]).args(options).output().unwrap();
        String::from_utf8_lossy(&captured.stdout).into_owned()
    }

    /// The screen, once all of that is on it.
    fn until(&self, parts: &[&str]) -> String {
        let mut screen = String::new();
        rawtorrent_tests::poll(Instant::now() + LIMIT, || {
            screen = self.screen(&[]);
            parts.iter().all(|part| screen.contains(part)).then(|| screen.clone())
        })
        .unwrap_or_else(|| panic!("no {parts:?} in\n{screen}"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).status();
    }
}

/// Long enough to be looked at: 24 MB at 4 MB/s.
const FILM: Sample = Sample { name: "film", layout: &[("a.txt", 1000), ("film.mkv", 24_000_000)] };

#[test]
fn a_download_is_watched_on_a_screen() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let daemon = Daemon::start(&home, &["--peer", &seed.addr.to_string(), "--max-down", "2M"]);
    let terminal = Terminal::start(&home, &daemon);
    terminal.until(&["no torrents yet", "q end"]);
    let id = hex(&home.info_hash);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    terminal.until(&["1 torrent ", "film", "downloading", "Down "]);

    terminal.keys(&["Enter"]);
    let addr = seed.addr.to_string();
    terminal.until(&[
        "Pieces ",
        "under way",
        "1 peer",
        &addr,
        "Messages",
        "peer 0",
        "-> piece ",
        "<- request piece ",
    ]);
    let pieces = daemon.get(&format!("/api/v1/torrents/{id}/pieces")).json();
    let count = usize::try_from(pieces["count"].as_u64().unwrap()).unwrap();
    assert_eq!(pieces["have"].as_str().unwrap().len(), count.div_ceil(8) * 2, "{pieces}");
    let peer = daemon.get(&format!("/api/v1/torrents/{id}/peers")).json()[0].clone();
    assert!(peer["number"] == 0 && peer["window"].as_u64() > Some(0), "{peer}");
    terminal.keys(&["Space"]);
    terminal.until(&["Messages, held"]);
    terminal.until(&["film  seeding  100.0%"]);
    terminal.keys(&["Escape"]);
    terminal.until(&["Enter look at it", "seeding"]);
    terminal.keys(&["q"]);
    terminal.until(&["ended with 0"]);

    let no_terminal = daemon.command(&home, &["top"]);
    assert_eq!(no_terminal.code(), Some(2));
    assert!(no_terminal.stderr.starts_with("rawtorrent: 'top' needs a terminal"), "{}", no_terminal.stderr);
    daemon.get(&format!("/api/v1/torrents/{}/pieces", "0".repeat(40))).refused(404, "not_here");
    assert_eq!(daemon.ask("POST", &format!("/api/v1/torrents/{id}/pause"), "", b"").status, 204);
    daemon.get(&format!("/api/v1/torrents/{id}/pieces")).refused(409, "not_running");
    daemon.end();
}

#[test]
fn a_screen_may_be_small_or_without_colours_and_a_daemon_may_come_back() {
    let home = Home::new(FILM);
    let seed = home.fake_seed();
    let peer = seed.addr.to_string();
    let options = ["--peer", &*peer, "--max-down", "1M"];
    let daemon = Daemon::start(&home, &options);
    assert_eq!(daemon.add(&home.torrent, "").status, 201);
    let host = format!("unix:{}", home.path().join("api.sock").display());
    let terminal = Terminal::start_with(&home, &host, "NO_COLOR=1");
    terminal.until(&["film", "downloading", "KiB/s"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["-> piece ", "1 peer", "downloading  "]);
    let painted = terminal.screen(&["-e"]);
    let plain = painted.replace("\x1b[39m", "");
    assert!(!plain.contains("\x1b[3") && !plain.contains("\x1b[9"), "colours: {painted:?}");
    for (width, height) in [(40, 12), (200, 60), (60, 20)] {
        terminal.size(width, height);
        terminal.until(&["film  downloading  ", "1 peer", "Client", "Messages", "piece "]);
        let rows = terminal.screen(&[]);
        assert_eq!(rows.lines().count(), height, "{rows}");
    }
    for width in [100, 80] {
        terminal.size(width, 24);
        let flags = ["D/d it would send, it chokes", "U/u we send, we choke", "S snubbed", "I it called─"];
        terminal.until(&[&flags[..], &["Esc back  q end  ↑↓ messages  Space hold\n"]].concat());
    }
    daemon.end();
    terminal.until(&["cannot reach the daemon", "down -"]);
    let daemon = Daemon::start(&home, &options);
    terminal.until(&["film  downloading  ", "B/s", "-> piece ", "Esc back"]);
    daemon.end();
    terminal.keys(&["q"]);
    terminal.until(&["ended with 0"]);
    drop(terminal);

    let terminal = Terminal::start_with(&home, &host, "TERM=dumb");
    terminal.until(&["rawtorrent: 'top' draws on the screen, which this terminal can't", "ended with 2"]);
}
