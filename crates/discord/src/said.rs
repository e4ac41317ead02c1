//! What a torrent and its peers say: the last lines to be shown, and all of it to be attached.

use crate::bot::lock;
use crate::commands::Watch;
use crate::limits::MAX_LINES;
use api::{Client, TraceQuery, Traced};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trace::{Direction, Event, EventKind};

/// Bytes of what is said that are kept to be attached. What comes later is counted.
pub(crate) const MAX_LOG: usize = 4 * 1024 * 1024;
/// Of every torrent, and not of none: who floods the DHT's node with queries would fill the stream.
const TORRENTS: &str = "0,1,2,3,4,5,6,7,8,9,a,b,c,d,e,f";
/// How long after the stream ended it is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Hears all that the daemon's torrents say, in one stream for all live messages: a daemon has few to give. It is open as
/// long as anybody listens.
#[derive(Debug)]
pub(crate) struct Ears {
    daemon: Client,
    listening: Arc<Mutex<Listening>>,
}

#[derive(Debug, Default)]
struct Listening {
    /// Who hears of which torrent.
    all: BTreeMap<u64, (String, Arc<Mutex<Heard>>)>,
    next: u64,
    task: Option<JoinHandle<()>>,
    /// Whether the stream is open, and how often it could not be opened.
    state: watch::Sender<(bool, u64)>,
    /// From when its times count, since 1970.
    origin: Duration,
}

/// Listens to one torrent until it is dropped.
#[derive(Debug)]
pub(crate) struct Said {
    heard: Arc<Mutex<Heard>>,
    listening: Arc<Mutex<Listening>>,
    number: u64,
}

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The last lines of each [`Watch`].
    lines: [VecDeque<String>; Watch::ALL.len()],
    log: String,
    left_out: u64,
    /// When the first was, since 1970.
    began: Option<Duration>,
    /// When it was said last that all is here.
    finished: Option<Instant>,
    /// Since when the stream is broken, or cannot be opened.
    deaf_since: Option<Instant>,
    /// For how long it was broken before, where the log had no room to say so.
    unheard: Duration,
}

impl Ears {
    pub(crate) fn new(daemon: Client) -> Ears {
        Ears { daemon, listening: Arc::default() }
    }

    /// Listens to a torrent from now on.
    pub(crate) fn listen(&self, id: &str) -> Said {
        let heard = Arc::<Mutex<Heard>>::default();
        let mut listening = lock(&self.listening);
        let number = listening.next;
        listening.next += 1;
        listening.all.insert(number, (id.to_owned(), heard.clone()));
        if listening.task.is_none() {
            listening.state.send_replace((false, 0));
            listening.task = Some(tokio::spawn(follow(self.daemon.clone(), self.listening.clone())));
        }
        Said { heard, listening: self.listening.clone(), number }
    }

    /// Waits until the stream is open, or can't be.
    pub(crate) async fn open(&self) {
        let mut state = lock(&self.listening).state.subscribe();
        let failures = state.borrow().1;
        // An error is the end of all listening.
        let _ = state.wait_for(|&(open, failed)| open || failed > failures).await;
    }
}

impl Said {
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut Heard) -> T) -> T {
        ask(&mut lock(&self.heard))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        let mut listening = lock(&self.listening);
        listening.all.remove(&self.number);
        if listening.all.is_empty()
            && let Some(task) = listening.task.take()
        {
            task.abort();
        }
    }
}

async fn follow(daemon: Client, listening: Arc<Mutex<Listening>>) {
    let query = TraceQuery { torrent: Some(TORRENTS.into()), ..TraceQuery::default() };
    loop {
        if let Ok(mut stream) = daemon.trace(&query).await {
            while let Ok(Some(traced)) = stream.next().await {
                lock(&listening).hear(traced);
            }
        }
        lock(&listening).broke_off();
        tokio::time::sleep(AGAIN).await;
    }
}

impl Listening {
    /// Passes on what came to whom it is for.
    fn hear(&mut self, traced: Traced) {
        match traced {
            Traced::Began(began) => {
                self.origin = Duration::try_from_secs_f64(began.began).unwrap_or_default();
                self.all.values().for_each(|(_, heard)| lock(heard).hear_again());
                self.state.send_modify(|(open, _)| *open = true);
            }
            // Of which torrents they were nobody knows.
            Traced::Lost(lost) => self.all.values().for_each(|(_, heard)| lock(heard).lost(lost.lost)),
            Traced::Event(event) => {
                let torrent = event["torrent"].as_str().unwrap_or_default();
                let mut whom = self
                    .all
                    .values()
                    .filter(|(id, _)| torrent.starts_with(&**id))
                    .map(|(_, heard)| heard)
                    .peekable();
                if whom.peek().is_some()
                    && let Ok(event) = serde_json::from_value::<Event>(event.clone())
                {
                    whom.for_each(|heard| lock(heard).hear(self.origin, event.clone()));
                }
            }
        }
    }
}

impl Listening {
    /// The stream has ended, or could not be opened.
    fn broke_off(&mut self) {
        for (_, heard) in self.all.values() {
            lock(heard).deaf_since.get_or_insert_with(Instant::now);
        }
        self.state.send_modify(|(open, failures)| (*open, *failures) = (false, *failures + 1));
    }
}

impl Heard {
    /// Takes an event in, without addresses; its time counts from `origin`.
    pub(crate) fn hear(&mut self, origin: Duration, mut event: Event) {
        event.mask();
        let at = origin.saturating_add(event.at);
        let began = *self.began.get_or_insert(at);
        let at = at.saturating_sub(began).as_secs_f64();
        let arrow = match event.kind.direction() {
            Some(Direction::In) => "->",
            Some(Direction::Out) => "<-",
            None => "  ",
        };
        let peer = event.kind.who();
        let line = crate::inert::clean(&format!("{at:>8.3} {peer:<8} {arrow} {}", event.kind));
        let name = match &event.kind {
            EventKind::Message { said, .. } => said.name(),
            kind => kind.kind().name(),
        };
        for (watch, lines) in Watch::ALL.iter().zip(&mut self.lines) {
            if watch.admits(name) {
                if lines.len() == MAX_LINES {
                    lines.pop_front();
                }
                lines.push_back(line.clone());
            }
        }
        if matches!(event.kind, EventKind::Finished) {
            self.finished = Some(Instant::now());
        }
        let aside = event.kind.aside().map(|aside| crate::inert::clean(&format!("  ({aside})")));
        if !self.write(&(line + &aside.unwrap_or_default())) {
            self.left_out += 1;
        }
    }

    /// Whether what is said now is not heard.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf_since.is_some()
    }

    /// When it was said last that all is here.
    pub(crate) fn finished(&self) -> Option<Instant> {
        self.finished
    }

    /// Whether there was room for it.
    fn write(&mut self, line: &str) -> bool {
        let has_room = self.log.len() + line.len() < MAX_LOG;
        if has_room {
            self.log.push_str(line);
            self.log.push('\n');
        }
        has_room
    }

    /// The stream is open again: how many events are missing nobody knows.
    fn hear_again(&mut self) {
        if let Some(since) = self.deaf_since.take() {
            let away = since.elapsed();
            let told = format!(
                "(the daemon was not heard for {:.1} s: what was said then is missing here)",
                away.as_secs_f64()
            );
            if !self.write(&told) {
                self.unheard += away;
            }
        }
    }

    fn lost(&mut self, events: u64) {
        self.left_out += events;
    }

    /// The last lines.
    pub(crate) fn lines(&self, watch: Watch) -> Vec<String> {
        let lines = Watch::ALL.iter().zip(&self.lines).find(|(of, _)| **of == watch);
        lines.map(|(_, lines)| lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// Everything after `head`, and how much is missing; nothing if nothing was said and nothing is missing.
    pub(crate) fn log(&self, head: &str) -> String {
        if self.log.is_empty() && self.left_out == 0 && self.deaf_since.is_none() {
            return String::new();
        }
        // A string takes everything.
        let mut log = format!("{head}{}", self.log);
        if !self.unheard.is_zero() {
            let away = self.unheard.as_secs_f64();
            let _ = writeln!(
                log,
                "(after that the daemon was not heard for {away:.1} s: what was said then is missing)"
            );
        }
        if let Some(since) = self.deaf_since {
            let away = since.elapsed().as_secs_f64();
            let _ = writeln!(
                log,
                "(the daemon has not been heard for {away:.1} s: what was said since is missing)"
            );
        }
        if self.left_out > 0 {
            let _ = writeln!(log, "({} events are left out)", self.left_out);
        }
        log
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use api::{SILENCE, TraceBegan};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    fn event(kind: &str) -> Event {
        let text = format!(r#"{{"v":1,"at":1.5,"torrent":"{}",{kind}}}"#, "ab".repeat(20));
        serde_json::from_str(&text).unwrap()
    }

    fn request(piece: u32) -> Event {
        event(&format!(
            r#""kind":"message","peer":{{"number":3,"addr":"203.0.113.7:6881"}},"direction":"out","message":"request","piece":{piece},"offset":0,"length":16384"#
        ))
    }

    #[test]
    fn each_watch_has_its_last_lines() {
        let mut heard = Heard::default();
        heard.hear(
            Duration::ZERO,
            event(r#""kind":"dial_failed","peer":{"addr":"203.0.113.7:6881"},"error":"203.0.113.7 refused""#),
        );
        let many = u32::try_from(MAX_LINES).unwrap() + 3;
        (0..many).for_each(|piece| heard.hear(Duration::ZERO, request(piece)));
        heard.hear(
            Duration::ZERO,
            event(r#""kind":"stopped","error":"no permission for /my films/a b; change it""#),
        );
        let requests = heard.lines(Watch::Requests);
        assert_eq!(requests.len(), MAX_LINES);
        assert!(requests[0].starts_with("   0.000 peer 3   <- request piece 3"), "{}", requests[0]);
        assert_eq!(heard.lines(Watch::Handshakes).len(), 1, "the dial that failed");
        assert_eq!(heard.lines(Watch::All).len(), MAX_LINES);
        assert_eq!(heard.finished(), None);
        let because = request(0);
        let EventKind::Message { peer, direction, said, .. } = because.kind else { panic!() };
        let (reason, took) = (Some("at 203.0.113.7".into()), None);
        let kind = EventKind::Message { peer, direction, said, reason, took };
        heard.hear(Duration::ZERO, Event { kind, ..because });
        let log = heard.log("");
        assert!(log.ends_with("16384 bytes at 0  (at (address))\n"), "{log}");
        assert_eq!(log.lines().count(), many as usize + 3);
        heard.hear(Duration::ZERO, event(r#""kind":"finished""#));
        assert!(heard.finished().is_some());
        let log = heard.log("");

        assert_eq!(heard.log("(from here on)\n"), format!("(from here on)\n{log}"));
        assert_eq!(Heard::default().log("(from here on)\n"), "");
        assert!(log.contains("no permission for (path); change it"), "{log}");
        assert!(log.contains("refused") && !log.contains("203.0.113.7"), "{log}");
    }

    fn traced(torrent: &str, piece: u32) -> Traced {
        let mut event = serde_json::to_value(request(piece)).unwrap();
        event["torrent"] = torrent.into();
        Traced::Event(event)
    }

    #[tokio::test]
    async fn one_stream_is_for_all_and_each_hears_of_its_own() {
        // Nobody answers there.
        let ears = Ears::new(Client::new("127.0.0.1:1", None).unwrap());
        let (one, two) = ("ab".repeat(20), "cd".repeat(20));
        let (first, other) = (ears.listen(&one), ears.listen(&two));
        ears.open().await;
        {
            let mut listening = lock(&ears.listening);
            listening.hear(traced(&one, 1));
            listening.hear(traced(&two, 2));
            // A v2 hash is longer than an id.
            listening.hear(traced(&format!("{two}{}", "ef".repeat(12)), 3));
            listening.hear(traced(&"00".repeat(20), 4));
        }
        let lines = |said: &Said| said.with(|heard| heard.lines(Watch::All).len());
        assert_eq!((lines(&first), lines(&other)), (1, 2));
        drop(first);
        assert!(lock(&ears.listening).task.is_some());
        drop(other);
        assert!(lock(&ears.listening).task.is_none(), "nobody listens any more");
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_is_asked_anew() {
        let daemon = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = daemon.local_addr().unwrap().to_string();
        let ears = Ears::new(Client::new(&addr, None).unwrap());
        let said = ears.listen("ab");
        let (mut asked, _) = daemon.accept().await.unwrap();
        let mut request = [0; 4096];
        let length = asked.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).replace("%2C", ",");
        assert!(request.contains(&format!("torrent={TORRENTS} ")), "{request}");
        let began = b"HTTP/1.1 200 OK\r\n\r\nevent: began\ndata: {\"v\":1,\"began\":1.5}\n\n";
        asked.write_all(began).await.unwrap();
        ears.open().await;
        assert!(lock(&ears.listening).state.borrow().0);
        // It says nothing more, and takes connections, and that is all.
        tokio::time::pause();
        for _ in 0..2 {
            let _again = timeout(10 * SILENCE, daemon.accept()).await.unwrap().unwrap();
            assert!(!lock(&ears.listening).state.borrow().0, "the stream is taken for dead");
            ears.open().await;
        }
        drop((said, asked));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_was_heard_the_log_says_so_and_times_go_on() {
        let id = "ab".repeat(20);
        let mut listening = Listening::default();
        let listen = |listening: &mut Listening, number| {
            let heard = Arc::<Mutex<Heard>>::default();
            listening.all.insert(number, (id.clone(), heard.clone()));
            heard
        };
        let began = |began| Traced::Began(TraceBegan { v: 1, began });
        let (first, log) = (listen(&mut listening, 1), |heard: &Arc<Mutex<Heard>>| lock(heard).log(""));
        // It waited for the stream in vain, before anything was heard.
        listening.broke_off();
        assert!(lock(&first).is_deaf());
        tokio::time::advance(Duration::from_secs(8)).await;
        assert_eq!(
            log(&first),
            "(the daemon has not been heard for 8.0 s: what was said since is missing)\n"
        );
        listening.hear(began(1000.0));
        assert!(!lock(&first).is_deaf());
        listening.hear(traced(&id, 1));
        listening.broke_off();
        let second = listen(&mut listening, 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        listening.broke_off();
        assert!(log(&first).ends_with("not been heard for 60.0 s: what was said since is missing)\n"));
        tokio::time::advance(Duration::from_millis(1500)).await;
        // Another run of the daemon counts from another time.
        listening.hear(began(1061.5));
        listening.hear(traced(&id, 2));
        let told = log(&first);
        let lines: Vec<&str> = told.lines().collect();
        let deaf = |seconds| {
            format!("(the daemon was not heard for {seconds} s: what was said then is missing here)")
        };
        assert_eq!((lines[0], lines[2]), (&*deaf("8.0"), &*deaf("61.5")));
        assert!(lines[1].starts_with("   0.000 ") && lines[3].starts_with("  61.500 "), "{lines:?}");
        let later = log(&second);
        assert!(later.starts_with(&deaf("1.5")), "who came later misses what comes then: {later}");
        assert_eq!((lines.len(), later.lines().count()), (4, 2));
    }

    #[test]
    fn every_torrent_is_listened_to_and_the_dht_of_others_is_not() {
        let terms: Vec<String> = TORRENTS.split(',').map(|start| format!("torrent={start}")).collect();
        let wanted: trace::Filter = terms.join(",").parse().unwrap();
        for start in 0..=u8::MAX {
            let torrent = format!("{start:02x}").repeat(20);
            let text = format!(r#"{{"v":1,"at":1.5,"torrent":"{torrent}","kind":"complete"}}"#);
            // Zeros stand for no torrent.
            assert_eq!(wanted.admits(&serde_json::from_str(&text).unwrap()), start != 0, "{torrent}");
        }
    }

    #[test]
    fn the_log_has_an_end() {
        let mut heard = Heard { log: "x".repeat(MAX_LOG - 10), ..Heard::default() };
        heard.hear(Duration::ZERO, request(1));
        heard.lost(2);
        assert!(heard.log("").ends_with("(3 events are left out)\n"));
        assert!(heard.log("").len() < MAX_LOG + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_log_says_where_nothing_was_heard() {
        let mut heard = Heard { log: "x".repeat(MAX_LOG - 10), ..Heard::default() };
        for _ in 0..3 {
            heard.deaf_since = Some(Instant::now());
            tokio::time::advance(Duration::from_secs(20)).await;
            heard.hear_again();
        }
        let log = heard.log("");
        assert!(
            log.ends_with(
                "(after that the daemon was not heard for 60.0 s: what was said then is missing)\n"
            )
        );
        assert!(log.len() < MAX_LOG + 100);
    }
}
