//! The two audiences: data for programs on stdout, talk for people on stderr.
//!
//! Nothing here fails or panics because somebody closed the other end.

use crate::args::Talk;
use crate::failure::{Failure, OrFail, kind};
use crate::paint::Paint;
use crate::terminal::BarTerminal;
use crate::text::printable;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What may filter the log, in the environment.
const LOG_VARIABLE: &str = "RAWTORRENT_LOG";
/// How long an end waits for the bars to be cleared from a terminal that may take nothing.
const CLEARING_TAKES: Duration = Duration::from_millis(200);

/// Shared by everything that has something to say.
#[derive(Clone)]
pub(crate) struct Console {
    bars: MultiProgress,
    manner: Manner,
    verbose: u8,
    json: bool,
    /// Set when stdout turned out to be closed or broken: the work goes on without it.
    stdout_gone: Arc<AtomicBool>,
    /// Set when somebody wanted events and could not get them.
    output_lost: Arc<AtomicBool>,
}

/// How progress is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Bars that are redrawn: stderr is a terminal.
    Bars,
    /// A line now and then: stderr is a file or a pipe, or events on stdout would tear the bars.
    Lines,
    /// Not at all.
    Quiet,
}

/// One line of `--json`. An absent value is null.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// How far a torrent is: bytes verified of those wanted, bytes per second.
    Progress { info_hash: &'a str, done: u64, total: u64, rate_down: u64, rate_up: u64, peers: usize },
    /// Every wanted byte is verified and durable.
    Finished { info_hash: &'a str, path: &'a str, bytes: u64, seconds: f64 },
    /// A source, or a torrent, failed.
    Error { info_hash: Option<&'a str>, kind: &'a str, message: &'a str },
}

impl Console {
    pub(crate) fn new(talk: Talk, json: bool) -> Console {
        let smart = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let manner = match (talk.quiet, smart && !json) {
            (1.., _) => Manner::Quiet,
            (0, true) => Manner::Bars,
            (0, false) => Manner::Lines,
        };
        let target = if manner == Manner::Bars { bar_target() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        Console {
            bars,
            manner,
            verbose: talk.verbose,
            json,
            stdout_gone: Arc::default(),
            output_lost: Arc::default(),
        }
    }

    pub(crate) fn manner(&self) -> Manner {
        self.manner
    }

    /// Whether anybody is shown how far things are.
    pub(crate) fn is_followed(&self) -> bool {
        self.json || self.manner != Manner::Quiet
    }

    /// How many times `-v` was given.
    pub(crate) fn verbose(&self) -> u8 {
        self.verbose
    }

    /// Where progress bars are drawn.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Takes the bars away for good, so that an end at once leaves no half line.
    pub(crate) fn put_away_bars(&self) {
        if self.manner != Manner::Bars {
            return;
        }
        let (bars, (done, cleared)) = (self.bars.clone(), mpsc::channel());
        let clear = move || {
            let _ = bars.clear();
            bars.set_draw_target(ProgressDrawTarget::hidden());
            let _ = done.send(());
        };
        // Where there is no thread to be had, the bars stay.
        if thread::Builder::new().name("clear bars".into()).spawn(clear).is_ok() {
            let _ = cleared.recv_timeout(CLEARING_TAKES);
        }
    }

    /// Whether events could not be written although somebody wanted them.
    pub(crate) fn is_output_lost(&self) -> bool {
        self.output_lost.load(Ordering::Relaxed)
    }

    /// Whether who read standard output went away: nobody waits for more.
    pub(crate) fn is_reader_gone(&self) -> bool {
        self.stdout_gone.load(Ordering::Relaxed)
    }

    /// Tells people something, unless they asked for quiet.
    pub(crate) fn note(&self, text: impl Display) {
        if self.manner != Manner::Quiet {
            self.stderr(&format!("{text}\n"));
        }
    }

    /// Tells people, and with `--json` programs, what went wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.error(failure);
        self.event(&Event::Error {
            info_hash: failure.info_hash.as_deref(),
            kind: failure.kind,
            message: &failure.message,
        });
    }

    /// Tells people what went wrong, however quiet it is to be.
    pub(crate) fn error(&self, failure: &Failure) {
        self.stderr(&format!("rawtorrent: {}\n", printable(&failure.message)));
    }

    /// Writes one event for programs, if they asked for events; a line goes out at once and whole.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if !self.json || self.stdout_gone.load(Ordering::Relaxed) {
            return;
        }
        if let Err(failure) = self.print(json_line(event)) {
            self.stdout_gone.store(true, Ordering::Relaxed);
            self.output_lost.store(true, Ordering::Relaxed);
            self.error(&failure);
        }
    }

    /// Writes data to stdout. A reader that went away wants no more: that is not an error.
    pub(crate) fn print(&self, data: impl AsRef<[u8]>) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(data.as_ref()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdout_gone.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => written.or_fail(kind::OUTPUT, "cannot write to standard output"),
        }
    }

    /// Writes to stderr, above the bars where there are any. Nobody is left to hear of an error.
    pub(crate) fn stderr(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        });
    }
}

/// Where bars are drawn when they are.
fn bar_target() -> ProgressDrawTarget {
    /// As often as indicatif draws of itself.
    const PER_SECOND: u8 = 20;
    // Bars are all that is painted by that crate, which else would look at stdout.
    ::console::set_colors_enabled(Paint::of_stderr().is_on());
    ProgressDrawTarget::term_like_with_hz(Box::new(BarTerminal::new()), PER_SECOND)
}

/// An object with the keys of another one in it.
pub(crate) fn joined(mut object: Value, more: &impl Serialize) -> Value {
    if let (Value::Object(object), Ok(Value::Object(more))) = (&mut object, serde_json::to_value(more)) {
        object.extend(more);
    }
    object
}

/// A value as JSON on a line of its own.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("our types are plain structs of strings and numbers");
    line.push('\n');
    line
}

/// Sends what libraries log to stderr, above the bars; `RAWTORRENT_LOG` is a filter in `tracing`'s language, and an
/// error if it makes no sense.
pub(crate) fn start_logging(console: &Console, talk: Talk) -> Result<(), String> {
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone)]
    struct Above(Console);

    impl Write for Above {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.stderr(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Above {
        type Writer = Above;

        fn make_writer(&self) -> Above {
            self.clone()
        }
    }

    let level = match (talk.quiet, talk.verbose) {
        (1.., _) => "off",
        // Who has hooks, or folders that are watched, wants to know of what fails there.
        (0, 0) => "error,daemon::hooks=warn,engine::kept::watch=warn,engine::kept::complete=warn",
        (0, 1) => "error,daemon=info,engine=info,net=info,storage=info,discord=info",
        (0, 2) => "warn,daemon=debug,engine=debug,net=debug,storage=debug,discord=debug",
        (0, 3..) => "trace",
    };
    let filter = match std::env::var_os(LOG_VARIABLE).filter(|value| !value.is_empty()) {
        None => EnvFilter::new(level),
        Some(value) => log_filter(&value.to_string_lossy())?,
    };
    // The URLs that it tells hold tokens of Discord's interactions.
    let filter = match "twilight_http=off".parse() {
        Ok(off) => filter.add_directive(off),
        Err(_) => filter,
    };
    let colours = Paint::of_stderr().is_on();
    // Only a second start could fail: then the first one's manner stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Above(console.clone()))
        .with_ansi(colours)
        .without_time()
        .try_init();
    Ok(())
}

/// A filter for the log. What is no level must be a target with one, lest a mistyped level silence everything.
fn log_filter(text: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        format!("{LOG_VARIABLE}: '{text}' is not a filter for the log; write debug or engine=debug,net=trace")
    };
    let mut parts = text.split(',').map(str::trim);
    if !parts.all(|part| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok()) {
        return Err(wrong());
    }
    EnvFilter::try_new(text).map_err(|_| wrong())
}

/// How much of the engine's events the log is to tell, as a number of `-v`.
pub(crate) fn logged_events() -> u8 {
    match () {
        () if tracing::enabled!(target: "engine", tracing::Level::DEBUG) => 2,
        () if tracing::enabled!(target: "engine", tracing::Level::INFO) => 1,
        () => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_make_no_sense_are_told() {
        for good in ["debug", "engine=debug", "WARN,net=trace", "off", "engine[span]=info"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "engine=loud", "!!", "engine=debug,what"] {
            let said = log_filter(bad).unwrap_err();
            assert!(said.starts_with(&format!("RAWTORRENT_LOG: '{bad}' is not")), "{said}");
        }
    }

    #[test]
    fn events_have_exactly_the_fields_of_the_contract() {
        let line = |event| json_line(&event);
        assert_eq!(
            line(Event::Progress { info_hash: "ab", done: 1, total: 2, rate_down: 3, rate_up: 4, peers: 5 }),
            "{\"event\":\"progress\",\"info_hash\":\"ab\",\"done\":1,\"total\":2,\"rate_down\":3,\"rate_up\":4,\"peers\":5}\n"
        );
        assert_eq!(
            line(Event::Finished { info_hash: "ab", path: "d/n\n", bytes: 2, seconds: 1.5 }),
            "{\"event\":\"finished\",\"info_hash\":\"ab\",\"path\":\"d/n\\n\",\"bytes\":2,\"seconds\":1.5}\n"
        );
        assert_eq!(
            line(Event::Error { info_hash: None, kind: "source", message: "no" }),
            "{\"event\":\"error\",\"info_hash\":null,\"kind\":\"source\",\"message\":\"no\"}\n"
        );
    }
}
