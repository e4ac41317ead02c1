//! What a torrent and its peers say: the last lines to be shown, and all of it to be attached.

use crate::commands::Watch;
use crate::limits::MAX_LINES;
use api::{Client, TraceQuery, Traced};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trace::{Direction, Event, EventKind};

/// Bytes of what is said that are kept to be attached. What comes later is counted.
pub(crate) const MAX_LOG: usize = 4 * 1024 * 1024;
/// How long after the stream ended it is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Listens in the background.
#[derive(Debug)]
pub(crate) struct Said {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The last lines of each [`Watch`].
    lines: [VecDeque<String>; Watch::ALL.len()],
    log: String,
    left_out: u64,
    began: Option<Duration>,
}

impl Said {
    /// Listens to a torrent from now on; what comes back ends when the stream is open, or can't be.
    pub(crate) fn begin(daemon: Client, id: String) -> (Said, oneshot::Receiver<()>) {
        let heard = Arc::<Mutex<Heard>>::default();
        let (open, opened) = oneshot::channel();
        let task = tokio::spawn(follow(daemon, id, heard.clone(), open));
        (Said { heard, task }, opened)
    }

    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut Heard) -> T) -> T {
        ask(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(daemon: Client, id: String, heard: Arc<Mutex<Heard>>, open: oneshot::Sender<()>) {
    let mut open = Some(open);
    let query = TraceQuery { torrent: Some(id), ..TraceQuery::default() };
    loop {
        if let Ok(mut stream) = daemon.trace(&query).await {
            while let Ok(Some(traced)) = stream.next().await {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                match traced {
                    // Nobody may wait for it any more.
                    Traced::Began(_) => drop(open.take().map(|open| open.send(()))),
                    Traced::Lost(lost) => heard.lost(lost.lost),
                    Traced::Event(event) => {
                        if let Ok(event) = serde_json::from_value(event) {
                            heard.hear(event);
                        }
                    }
                }
            }
        }
        drop(open.take());
        tokio::time::sleep(AGAIN).await;
    }
}

impl Heard {
    /// Takes an event in, without addresses.
    pub(crate) fn hear(&mut self, mut event: Event) {
        event.mask();
        let began = *self.began.get_or_insert(event.at);
        let at = event.at.saturating_sub(began).as_secs_f64();
        let arrow = match event.kind.direction() {
            Some(Direction::In) => "->",
            Some(Direction::Out) => "<-",
            None => "  ",
        };
        let peer = event.kind.peer().map(|peer| peer.to_string()).unwrap_or_default();
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
        match self.log.len() + line.len() < MAX_LOG {
            true => {
                self.log.push_str(&line);
                self.log.push('\n');
            }
            false => self.left_out += 1,
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

    /// Everything, and how much is missing.
    pub(crate) fn log(&self) -> String {
        let mut log = self.log.clone();
        if self.left_out > 0 {
            // A string takes everything.
            let _ = writeln!(log, "({} events are left out)", self.left_out);
        }
        log
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

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
        heard.hear(event(
            r#""kind":"dial_failed","peer":{"addr":"203.0.113.7:6881"},"error":"203.0.113.7 refused""#,
        ));
        let many = u32::try_from(MAX_LINES).unwrap() + 3;
        (0..many).for_each(|piece| heard.hear(request(piece)));
        heard.hear(event(r#""kind":"stopped","error":"no permission for /my films/a b; change it""#));
        let requests = heard.lines(Watch::Requests);
        assert_eq!(requests.len(), MAX_LINES);
        assert!(requests[0].starts_with("   0.000 peer 3   <- request piece 3"), "{}", requests[0]);
        assert_eq!(heard.lines(Watch::Handshakes).len(), 1, "the dial that failed");
        assert_eq!(heard.lines(Watch::All).len(), MAX_LINES);
        let log = heard.log();
        assert_eq!(log.lines().count(), many as usize + 2);
        assert!(log.contains("no permission for (path); change it"), "{log}");
        assert!(log.contains("refused") && !log.contains("203.0.113.7"), "{log}");
    }

    #[test]
    fn the_log_has_an_end() {
        let mut heard = Heard { log: "x".repeat(MAX_LOG - 10), ..Heard::default() };
        heard.hear(request(1));
        heard.lost(2);
        assert!(heard.log().ends_with("(3 events are left out)\n"));
        assert!(heard.log().len() < MAX_LOG + 100);
    }
}
