//! What goes wrong, and the exit code that says so.

use crate::text;
use std::fmt::{self, Display};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// Something of it failed; stderr says what.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Ctrl-C or SIGTERM before it was done.
    Interrupted,
}

impl Exit {
    pub(crate) fn code(self) -> i32 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Interrupted => 130,
        }
    }
}

/// One failure: a line for people, and a kind and an info-hash for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One of [`kind`]'s names, or one of the engine's.
    pub(crate) kind: &'static str,
    /// The torrent it is about, where that is known.
    pub(crate) info_hash: Option<String>,
    /// What is wrong and what to do, on one line, fit for a terminal.
    pub(crate) message: String,
}

/// What failures of the command line itself are called in `error` events.
pub(crate) mod kind {
    /// The command line makes no sense: another exit code says so.
    pub(crate) const USAGE: &str = "usage";
    /// A source could not be read or fetched.
    pub(crate) const SOURCE: &str = "source";
    /// What was read is not a torrent, or a broken one.
    pub(crate) const BAD_TORRENT: &str = "bad_torrent";
    /// A magnet link that names no torrent, or is broken.
    pub(crate) const BAD_MAGNET: &str = "bad_magnet";
    /// A torrent or link of a sort that cannot be downloaded yet.
    pub(crate) const UNSUPPORTED: &str = "unsupported";
    /// There is no tracker to ask about a torrent, or one did not answer.
    pub(crate) const TRACKER: &str = "tracker";
    /// `--select` asks for what the torrent does not have.
    pub(crate) const SELECTION: &str = "selection";
    /// Files could not be read or written.
    pub(crate) const STORAGE: &str = "storage";
    /// The engine, a clock or a signal handler could not be started.
    pub(crate) const STARTUP: &str = "startup";
    /// Discord could not be reached, or refuses the bot.
    pub(crate) const DISCORD: &str = "discord";
    /// The DHT could not be reached, or did not do what was asked in time.
    pub(crate) const DHT: &str = "dht";
    /// The DHT does not have what was looked for.
    pub(crate) const NOT_FOUND: &str = "not_found";
    /// No node of the DHT stored what was to be stored.
    pub(crate) const NOT_STORED: &str = "not_stored";
    /// What is to be stored in the DHT cannot be.
    pub(crate) const BAD_ITEM: &str = "bad_item";
    /// The secret of a mutable item could not be read or made.
    pub(crate) const SECRET: &str = "secret";
    /// A simulated swarm broke a rule or did not complete.
    pub(crate) const SIMULATION: &str = "simulation";
    /// The daemon could not be reached, or what answers is none.
    pub(crate) const DAEMON: &str = "daemon";
    /// What is said of all torrents was said of some, or the other way round.
    pub(crate) const SETTING: &str = "setting";
    /// A torrent does not run, so that it cannot be read.
    pub(crate) const NOT_RUNNING: &str = "not_running";
    /// The player could not be run, or failed.
    pub(crate) const PLAYER: &str = "player";
    /// Several torrents of the daemon could be meant.
    pub(crate) const AMBIGUOUS: &str = "ambiguous";
    /// Tokens could not be read, made or removed.
    pub(crate) const TOKEN: &str = "token";
    /// Standard output could not be written to.
    pub(crate) const OUTPUT: &str = "output";
}

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Display) -> Failure {
        Failure { kind, info_hash: None, message: text::one_line(&message.to_string()) }
    }

    /// How the program ends if nothing else is to be done.
    pub(crate) fn exit(&self) -> Exit {
        if self.kind == kind::USAGE { Exit::Usage } else { Exit::Failed }
    }

    /// The same failure, of one torrent.
    pub(crate) fn of(self, info_hash: &str) -> Failure {
        Failure { info_hash: Some(info_hash.to_owned()), ..self }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Turns any error into a [`Failure`] with what was being done in front: `cannot read x: permission denied`.
pub(crate) trait OrFail<T> {
    fn or_fail(self, kind: &'static str, doing: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: &'static str, doing: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(kind, format!("{doing}: {}", chain(&error.into()))))
    }
}

/// An error and its causes on one line; a cause that the error above already tells is not told twice.
fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(|cause| without_number(&cause.to_string())) {
        if !said.contains(&cause) {
            said.push_str(if said.is_empty() { "" } else { ": " });
            said.push_str(&cause);
        }
    }
    said
}

/// `No such file or directory (os error 2)` without what only programmers read.
fn without_number(text: &str) -> String {
    match text.rsplit_once(" (os error ") {
        Some((words, rest)) if rest.ends_with(')') => words.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::io;

    #[test]
    fn failures_are_one_line_with_their_causes() {
        let broken: io::Result<()> = Err(io::Error::from_raw_os_error(2));
        let failure = broken.or_fail(kind::SOURCE, "cannot read 'a\nb.torrent'").unwrap_err();
        assert_eq!(failure.message, "cannot read 'a; b.torrent': No such file or directory");
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.of("00ff").info_hash.as_deref(), Some("00ff"));
        assert_eq!(Failure::new(kind::USAGE, "x").exit(), Exit::Usage);

        let nested =
            Err::<(), _>(io::Error::other("disk on fire")).context("writing").context("saving: writing");
        let failure = nested.or_fail(kind::STORAGE, "x").unwrap_err();
        assert_eq!(failure.message, "x: saving: writing: disk on fire");
    }
}
