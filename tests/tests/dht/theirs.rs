//! libtorrent's nodes, all in one process, told what to do over its stdin.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

const SCRIPT: &str = include_str!("../../py/libtorrent_dht.py");

/// Events that may wait to be looked at.
const WAITING: usize = 4096;

/// Nodes that live until this is dropped.
pub(crate) struct Theirs {
    child: Child,
    stdin: Option<ChildStdin>,
    events: mpsc::Receiver<Value>,
    _script: TempDir,
}

impl Theirs {
    /// `lsd`: whether they take part in local discovery.
    pub(crate) fn start(router: SocketAddr, addrs: &[SocketAddr], lsd: bool) -> Theirs {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("libtorrent_dht.py");
        std::fs::write(&script, SCRIPT).unwrap();
        let mut command = Command::new("python3");
        command.arg(script).args(lsd.then_some("--lsd"));
        command.arg(router.to_string()).args(addrs.iter().map(ToString::to_string));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(path) = std::env::var_os("RAWTORRENT_PYTHONPATH") {
            command.env("PYTHONPATH", path);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, events) = mpsc::channel(WAITING);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.blocking_send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Theirs { stdin: child.stdin.take(), child, events, _script: dir }
    }

    /// Tells a node to do something.
    pub(crate) fn tell(&mut self, command: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Hears events until `enough` of them; false if that does not come within `limit`.
    pub(crate) async fn hear(&mut self, limit: Duration, mut enough: impl FnMut(&Value) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while let Ok(event) = tokio::time::timeout_at(deadline, self.events.recv()).await {
            let event = event.expect("libtorrent's process has ended");
            assert_ne!(event["event"], "error", "{event}");
            if enough(&event) {
                return true;
            }
        }
        false
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
