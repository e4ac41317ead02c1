//! A running daemon, and what it answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rawtorrent_tests::binary::Session;
use rawtorrent_tests::process;
use serde_json::Value;

use super::{Home, LIMIT, with_mount};

/// A running `rawtorrent daemon`.
pub(crate) struct Daemon {
    pub(crate) session: Session,
    /// `ADDR:PORT`.
    pub(crate) addr: String,
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Daemon {
    /// Without trackers.
    pub(crate) fn start(home: &Home, options: &[&str]) -> Daemon {
        Daemon::start_with_trackers(home, &[&["--no-trackers"], options].concat())
    }

    pub(crate) fn start_with_trackers(home: &Home, options: &[&str]) -> Daemon {
        Daemon::begin(&mut Daemon::given(home, options))
    }

    /// Where something is mounted that others do not see.
    pub(crate) fn start_mounted(home: &Home, mount: &str, options: &[&str]) -> Daemon {
        let options = [&["--no-trackers"], options].concat();
        Daemon::begin(&mut with_mount(mount, &Daemon::given(home, &options)))
    }

    fn given(home: &Home, options: &[&str]) -> Command {
        let mut command = home.command();
        command.args(["daemon", "--json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        command.arg("--root").arg(home.out()).arg("--socket").arg(home.path().join("api.sock")).args(options);
        command
    }

    fn begin(command: &mut Command) -> Daemon {
        let mut session = Session::start(command).unwrap();
        let ready = session.wait_event(LIMIT, |event| event["event"] == "ready").unwrap();
        let addr = ready["api"][0].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Daemon { session, addr }
    }

    /// Sends what is given, as it is, and reads until the daemon hangs up.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // It may hang up before it has heard everything.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            self.addr,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.raw(&request)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    /// Sends JSON.
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, "content-type: application/json\r\n", body.to_string().as_bytes())
    }

    pub(crate) fn add(&self, torrent: &Path, query: &str) -> Answer {
        let torrent = std::fs::read(torrent).unwrap();
        self.ask(
            "POST",
            &format!("/api/v1/torrents{query}"),
            "content-type: application/x-bittorrent\r\n",
            &torrent,
        )
    }

    /// A command that asks this daemon.
    pub(crate) fn command(&self, home: &Home, args: &[&str]) -> process::Finished {
        let mut command = home.command();
        command.args(args).env("RAWTORRENT_HOST", format!("http://{}", self.addr));
        process::run(&mut command, LIMIT).unwrap()
    }

    /// The same, which has to be done; says what it wrote.
    pub(crate) fn done(&self, home: &Home, args: &[&str]) -> String {
        let done = self.command(home, args);
        assert_eq!(done.code(), Some(0), "{args:?}: {}", done.stderr);
        done.stdout
    }

    pub(crate) fn end(mut self) {
        let (code, _) = self.session.interrupt().unwrap();
        assert_eq!(code, Some(0), "{}", self.session.process.stderr());
    }
}

impl Answer {
    pub(crate) fn parse(answer: &[u8]) -> Answer {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return Answer { status: 0, head: String::new(), body: Vec::new() } };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: answer[end + 4..].to_vec() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// That it is refused as RFC 9457 has it, on one line.
    pub(crate) fn refused(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(
            (&problem["status"], &problem["kind"]),
            (&Value::from(status), &Value::from(kind)),
            "{problem}"
        );
        assert!(!problem["detail"].as_str().unwrap().contains('\n'), "{problem}");
    }
}
