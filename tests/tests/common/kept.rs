//! `rawtorrent session`, ordered about line by line.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::peer::FakeSeed;
use serde_json::{Value, json};

use super::{Home, LIMIT};

/// A running `rawtorrent session`.
pub(crate) struct Running {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<Value>,
}

impl Running {
    /// Starts it on the state of `home` and waits until it is ready; says what it told.
    pub(crate) fn start(home: &Path, options: &[&str]) -> (Running, Value) {
        let mut command = binary::command(home);
        command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]).args(options);
        Running::begin(&mut command)
    }

    /// Starts what is given and waits until it is ready.
    pub(crate) fn begin(command: &mut Command) -> (Running, Value) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::spawn(command);
        let ready = running.next().expect("it starts");
        assert_eq!(ready["event"], "ready", "{ready}");
        running.orders.as_ref().expect("it is running");
        (running, ready)
    }

    pub(crate) fn spawn(command: &mut Command) -> Running {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            // A line that the kill cut off is none.
            let lines = output.lines().map_while(Result::ok);
            lines.filter_map(|line| serde_json::from_str(&line).ok()).try_for_each(|line| sender.send(line))
        });
        Running { orders: child.stdin.take(), child, answers }
    }

    pub(crate) fn order(&mut self, order: &Value) {
        // It may have ended; then the answer is missed.
        let _ = writeln!(self.orders.as_mut().unwrap(), "{order}");
    }

    /// `None` once it has ended.
    pub(crate) fn next(&mut self) -> Option<Value> {
        match self.answers.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no answer"),
        }
    }

    /// Whether it says nothing for so long.
    pub(crate) fn is_silent_for(&self, long: Duration) -> bool {
        self.answers.recv_timeout(long).is_err()
    }

    /// That an order is carried out.
    pub(crate) fn done(&mut self, order: &Value) -> Value {
        let answer = self.ask(order);
        assert_eq!(answer["ok"], true, "{order}: {answer}");
        answer
    }

    /// That an order is refused, in one line.
    pub(crate) fn refused(&mut self, order: &Value, kind: &str) {
        let answer = self.ask(order);
        assert_eq!((&answer["ok"], &answer["kind"]), (&json!(false), &json!(kind)), "{order}: {answer}");
        assert!(!answer["error"].as_str().unwrap().contains('\n'), "{answer}");
    }

    /// Gives an order and waits for its answer, whatever is answered before.
    pub(crate) fn until_answered(&mut self) {
        self.order(&json!({"id": "last", "do": "session"}));
        while self.next().expect("an answer")["id"] != "last" {}
    }

    /// The only torrent.
    pub(crate) fn torrent(&mut self) -> Value {
        let mut listed = self.done(&json!({"do": "list"}));
        assert_eq!(listed["torrents"].as_array().unwrap().len(), 1, "{listed}");
        listed["torrents"][0].take()
    }

    /// Asks for the only torrent until it is as it is to be.
    pub(crate) fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let started = std::time::Instant::now();
        loop {
            let torrent = self.torrent();
            if is(&torrent) {
                return torrent;
            }
            assert!(started.elapsed() < LIMIT, "{torrent}");
        }
    }

    pub(crate) fn ask(&mut self, order: &Value) -> Value {
        self.order(order);
        self.next().expect("an answer")
    }

    /// By info-hash, whether it is paused.
    pub(crate) fn list(&mut self) -> BTreeMap<String, bool> {
        let listed = self.ask(&json!({"do": "list"}));
        let torrents = listed["torrents"].as_array().unwrap();
        let named = |torrent: &Value| {
            (torrent["info_hash"].as_str().unwrap().to_owned(), torrent["paused"].as_bool().unwrap())
        };
        torrents.iter().map(named).collect()
    }

    /// Kills it.
    pub(crate) fn strike(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it; what it had answered is still read.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.strike();
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Ends it as its user would; it must end by itself.
    pub(crate) fn end(mut self) {
        self.orders = None;
        while self.next().is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session with a torrent, and who seeds it.
pub(crate) struct Case {
    pub(crate) home: Home,
    pub(crate) seed: FakeSeed,
    pub(crate) running: Running,
}

impl Case {
    /// The torrent is not added yet.
    pub(crate) fn new(sample: Sample) -> Case {
        let home = Home::new(sample);
        let seed = home.fake_seed();
        let (running, _) = Running::start(home.path(), &["--peer", &seed.addr.to_string()]);
        Case { home, seed, running }
    }

    pub(crate) fn hash(&self) -> String {
        hex(&self.home.info_hash)
    }

    /// An order about the torrent, with more in it.
    pub(crate) fn order(&self, what: &str, more: Value) -> Value {
        let mut order = json!({"do": what, "info_hash": self.hash()});
        let more = more.as_object().unwrap().clone();
        order.as_object_mut().unwrap().extend(more);
        order
    }

    pub(crate) fn done(&mut self, what: &str, more: Value) -> Value {
        let order = self.order(what, more);
        self.running.done(&order)
    }

    pub(crate) fn add(&mut self, more: Value) {
        let mut order = json!({"do": "add", "torrent": self.home.torrent, "dir": self.home.out()});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let added = self.running.done(&order);
        assert_eq!(added["info_hash"], self.hash());
    }

    pub(crate) fn wait(&mut self) {
        self.done("wait", json!({}));
    }

    /// Adds the torrent and waits until it is there.
    pub(crate) fn downloaded(sample: Sample) -> Case {
        let mut case = Case::new(sample);
        case.add(json!({}));
        case.wait();
        case
    }

    /// Kills the session and begins another.
    pub(crate) fn kill(&mut self) {
        self.running.strike();
        (self.running, _) = Running::start(self.home.path(), &["--peer", &self.seed.addr.to_string()]);
    }
}
