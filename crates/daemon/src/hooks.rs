//! Hooks: programs that are run, and web servers that are told, when something happens to a torrent.
//!
//! They are configured in a file on disk alone: no request can set or see them. What happens is seen by the board; each event
//! is told once at most, and what happens while the daemon does not run is not told. Nobody waits for a hook: what one is too
//! slow for is dropped and said in the log.

mod run;
mod web;

use crate::Error;
use engine::HttpPost;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Semaphore, mpsc};

/// Hooks of each kind. With more, the configuration is refused.
pub(crate) const MAX_HOOKS: usize = 32;
/// Arguments of a program, itself included. With more, the configuration is refused.
pub(crate) const MAX_ARGUMENTS: usize = 64;
/// Bytes of a webhook's key; a longer one is refused.
pub(crate) const MAX_KEY: u64 = 4096;
/// Bytes of a webhook's key, at least: fewer are guessed.
const MIN_KEY: usize = 16;
/// Calls of hooks of one kind that wait. Further ones are dropped.
pub(crate) const MAX_WAITING: usize = 1024;
/// Programs that run at a time, and as many requests. Others wait.
pub(crate) const MAX_AT_ONCE: usize = 4;
/// Bytes of a name or a reason that are told. What is behind them is cut off.
pub(crate) const MAX_WORDS: usize = 4096;
/// How long a program may run, unless its hook says otherwise. Then it is killed.
const USUAL_TIMEOUT: u64 = 60;
/// How long a hook may say at most, in seconds.
const MAX_TIMEOUT: u64 = 24 * 60 * 60;

/// What happens to a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is here now.
    Added,
    /// All that is wanted of it was downloaded, is verified and durable.
    Finished,
    /// It is here no more.
    Removed,
    /// It cannot go on, and why; perhaps it will by itself.
    Error,
    /// Its files are in another folder now.
    Moved,
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            What::Added => "added",
            What::Finished => "finished",
            What::Removed => "removed",
            What::Error => "error",
            What::Moved => "moved",
        }
    }
}

/// The hooks of a daemon, as its configuration has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// Programs to run.
    pub hook: Vec<Hook>,
    /// Web servers to tell.
    pub webhook: Vec<Webhook>,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// When.
    pub on: Vec<What>,
    /// The program, from the root on, and its arguments: one that is `{event}`, `{id}`, `{name}`, `{path}` or `{reason}` is
    /// replaced as a whole. No shell sees it.
    pub command: Vec<String>,
    /// How long it may run, in seconds: 60 unless it is said. Then it is killed, with what it started.
    #[serde(default = "usual_timeout")]
    pub timeout: u64,
}

/// A web server to tell.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// When.
    pub on: Vec<What>,
    /// Where, over HTTP or HTTPS.
    pub url: String,
    /// The file that holds the key that requests are signed with: 16 bytes to 4 KiB, without the blanks around them.
    pub key_file: PathBuf,
    /// Whether it may be in a private network or on this machine.
    #[serde(default)]
    pub allow_private: bool,
}

fn usual_timeout() -> u64 {
    USUAL_TIMEOUT
}

/// An argument of a program.
const PLACEHOLDERS: [&str; 5] = ["{event}", "{id}", "{name}", "{path}", "{reason}"];

impl Hooks {
    /// Refuses what makes no sense, in one line.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.hook.len() > MAX_HOOKS || self.webhook.len() > MAX_HOOKS {
            return Err(format!("there are {MAX_HOOKS} hooks and as many webhooks at most"));
        }
        self.hook.iter().try_for_each(Hook::check)?;
        self.webhook.iter().try_for_each(Webhook::check)
    }
}

impl Hook {
    fn check(&self) -> Result<(), String> {
        if !self.command.first().is_some_and(|program| Path::new(program).is_absolute()) {
            return Err("the 'command' of a hook begins with a program, from the root on".into());
        }
        if self.command.len() > MAX_ARGUMENTS {
            return Err(format!("the 'command' of a hook has {MAX_ARGUMENTS} arguments at most"));
        }
        if self.command.iter().any(|part| part.contains('\0')) {
            return Err("the 'command' of a hook has a zero byte in it".into());
        }
        let is_mixed = |part: &String| {
            PLACEHOLDERS.iter().any(|placeholder| part.contains(placeholder) && part != placeholder)
        };
        if let Some(part) = self.command.iter().find(|part| is_mixed(part)) {
            return Err(format!("'{}': a placeholder is an argument of its own", part.escape_debug()));
        }
        if !(1..=MAX_TIMEOUT).contains(&self.timeout) {
            return Err(format!("the 'timeout' of a hook is 1 to {MAX_TIMEOUT} seconds"));
        }
        Ok(())
    }
}

impl Webhook {
    fn check(&self) -> Result<(), String> {
        let is_web = self.url.starts_with("http://") || self.url.starts_with("https://");
        match is_web {
            true => Ok(()),
            false => Err("the 'url' of a webhook begins with http:// or https://".into()),
        }
    }

    /// What requests are signed with.
    fn key(&self) -> Result<Key, Error> {
        let wrong = |reason: String| Error::HookKey { path: self.key_file.clone(), reason };
        let mut key = Vec::new();
        let file = std::fs::File::open(&self.key_file).map_err(|error| wrong(error.to_string()))?;
        file.take(MAX_KEY + 1).read_to_end(&mut key).map_err(|error| wrong(error.to_string()))?;
        let key = key.trim_ascii();
        if key.len() < MIN_KEY || key.len() as u64 > MAX_KEY {
            return Err(wrong(format!("a key has {MIN_KEY} to {MAX_KEY} bytes")));
        }
        Ok(Key(key.into()))
    }
}

/// A secret: it is not shown.
#[derive(Clone)]
pub(crate) struct Key(Arc<[u8]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Something that happened to a torrent.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// 40 hex digits.
    pub(crate) id: String,
    /// A stranger's words.
    pub(crate) name: String,
    /// Its file or folder; the folder that will hold it as long as that is not known.
    pub(crate) path: PathBuf,
    /// What keeps it from going on.
    pub(crate) reason: Option<String>,
}

impl Event {
    /// What takes the place of an argument.
    fn fill(&self, argument: &str) -> OsString {
        match argument {
            "{event}" => self.what.name().into(),
            "{id}" => (&self.id).into(),
            "{name}" => words(&self.name).into(),
            "{path}" => (&self.path).into(),
            "{reason}" => words(self.reason.as_deref().unwrap_or_default()).into(),
            other => other.into(),
        }
    }
}

/// What may be said of somebody's words: without zero bytes, which no argument may have, and not without end.
fn words(text: &str) -> String {
    let mut end = text.len().min(MAX_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}

/// Hooks that are told of events.
#[derive(Debug)]
pub(crate) struct Callers {
    hooks: Vec<Arc<Hook>>,
    webhooks: Vec<(Arc<Webhook>, Key)>,
}

/// Where events go; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<RwLock<Option<Arc<Line>>>>);

#[derive(Debug)]
struct Line {
    callers: Callers,
    runs: mpsc::Sender<(Arc<Hook>, Arc<Event>)>,
    requests: mpsc::Sender<(Arc<Webhook>, Key, Arc<Event>)>,
}

impl Callers {
    /// Reads the keys.
    pub(crate) fn new(hooks: Hooks) -> Result<Callers, Error> {
        hooks.check().map_err(Error::Hook)?;
        let with_key = |hook: Webhook| hook.key().map(|key| (Arc::new(hook), key));
        let webhooks = hooks.webhook.into_iter().map(with_key).collect::<Result<_, _>>()?;
        Ok(Callers { hooks: hooks.hook.into_iter().map(Arc::new).collect(), webhooks })
    }

    /// Begins to call them; that ends with the line. To be called on a tokio runtime.
    fn start(self, http: HttpPost) -> Option<Arc<Line>> {
        if self.hooks.is_empty() && self.webhooks.is_empty() {
            return None;
        }
        let runs =
            work_off(|(hook, event): (Arc<Hook>, Arc<Event>)| async move { run::run(&hook, &event).await });
        let requests = work_off(move |(hook, key, event): (Arc<Webhook>, Key, Arc<Event>)| {
            let http = http.clone();
            async move { web::tell(&http, &hook, &key, &event).await }
        });
        Some(Arc::new(Line { callers: self, runs, requests }))
    }
}

/// Does something with whatever comes, some of it at a time.
fn work_off<T: Send + 'static, F: Future<Output = ()> + Send + 'static>(
    work: impl Fn(T) -> F + Send + 'static,
) -> mpsc::Sender<T> {
    let (sender, mut next) = mpsc::channel(MAX_WAITING);
    let room = Arc::new(Semaphore::new(MAX_AT_ONCE));
    tokio::spawn(async move {
        while let Some(job) = next.recv().await {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let work = work(job);
            tokio::spawn(async move {
                work.await;
                drop(permit);
            });
        }
    });
    sender
}

impl Bell {
    /// Has these be told from now on; those before are still called for what they were told of. To be called on a tokio
    /// runtime.
    pub(crate) fn hang(&self, callers: Callers, http: HttpPost) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = callers.start(http);
    }

    /// Tells whoever wants to know; does not wait.
    pub(crate) fn ring(&self, event: Event) {
        let line = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(line) = line else { return };
        let event = Arc::new(event);
        let (id, what) = (event.id.as_str(), event.what.name());
        let dropped = || tracing::warn!(id, event = what, "hooks are too slow: one is not called");
        for hook in line.callers.hooks.iter().filter(|hook| hook.on.contains(&event.what)) {
            if line.runs.try_send((hook.clone(), event.clone())).is_err() {
                dropped();
            }
        }
        for (hook, key) in line.callers.webhooks.iter().filter(|(hook, _)| hook.on.contains(&event.what)) {
            if line.requests.try_send((hook.clone(), key.clone(), event.clone())).is_err() {
                dropped();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn hook(command: &[&str]) -> Hook {
        let command = command.iter().map(|&part| part.to_owned()).collect();
        Hook { on: vec![What::Added], command, timeout: USUAL_TIMEOUT }
    }

    fn event() -> Event {
        let name = "-x; rm -rf / \"$(id)\" {path}\n\0".to_owned();
        Event { what: What::Added, id: "0".repeat(40), name, path: "/srv/x".into(), reason: None }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let unsaid: Hook = serde_json::from_str(r#"{"on": ["added"], "command": ["/bin/x"]}"#).unwrap();
        assert_eq!(unsaid.timeout, USUAL_TIMEOUT);
        let many: Vec<&str> = std::iter::once("/bin/x").chain(["a"; MAX_ARGUMENTS]).collect();
        assert!(hook(&many[..MAX_ARGUMENTS]).check().is_ok());
        for bad in [&[][..], &["x"], &["{path}"], &["/bin/x", "--name={name}"], &["/bin/x", "\0"], &many] {
            let wrong = hook(bad).check().unwrap_err();
            assert!(!wrong.contains('\n'), "{bad:?}: {wrong}");
        }
        for timeout in [0, MAX_TIMEOUT + 1] {
            assert!(Hook { timeout, ..hook(&["/bin/x"]) }.check().is_err());
        }
        let hooks = |count: usize| Hooks { hook: vec![hook(&["/bin/x"]); count], webhook: Vec::new() };
        assert!(hooks(MAX_HOOKS).check().is_ok() && hooks(MAX_HOOKS + 1).check().is_err());
    }

    #[test]
    fn an_argument_is_replaced_as_a_whole_and_once() {
        let event = event();
        assert_eq!(event.fill("{name}"), event.name.replace('\0', "\u{fffd}").as_str());
        assert_eq!((event.fill("{path}"), event.fill("{x}")), ("/srv/x".into(), "{x}".into()));
        assert_eq!(words(&"\u{e4}".repeat(MAX_WORDS)).len(), MAX_WORDS);
        assert_eq!(words(&format!("x{}", "\u{e4}".repeat(MAX_WORDS))).len(), MAX_WORDS - 1);
    }

    #[test]
    fn keys_are_bounded_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("key");
        let webhook = Webhook { on: Vec::new(), url: "https://x/".into(), key_file, allow_private: false };
        assert!(webhook.key().is_err(), "it is not there");
        let most = usize::try_from(MAX_KEY).unwrap();
        for (length, is_good) in [(MIN_KEY - 1, false), (MIN_KEY, true), (most, true), (most + 1, false)] {
            std::fs::write(&webhook.key_file, "k".repeat(length)).unwrap();
            assert_eq!(webhook.key().is_ok(), is_good, "{length}");
        }
        std::fs::write(&webhook.key_file, format!("{}\n", "k".repeat(MIN_KEY))).unwrap();
        let key = webhook.key().unwrap();
        assert_eq!((key.0.len(), format!("{key:?}").as_str()), (MIN_KEY, "Key"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn some_are_called_at_a_time_and_some_wait() {
        let (begun, mut heard) = mpsc::channel(MAX_AT_ONCE + 1);
        let end = Arc::new(Semaphore::new(0));
        let ends = end.clone();
        let jobs = work_off(move |job: usize| {
            let (begun, ends) = (begun.clone(), ends.clone());
            async move {
                begun.send(job).await.unwrap();
                ends.acquire().await.unwrap().forget();
            }
        });
        for job in 0..MAX_AT_ONCE {
            jobs.send(job).await.unwrap();
            assert_eq!(heard.recv().await, Some(job));
        }
        // One is held by who waits for room.
        jobs.send(0).await.unwrap();
        while jobs.capacity() < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        (0..MAX_WAITING).for_each(|job| jobs.try_send(job).unwrap());
        assert!(jobs.try_send(0).is_err());
        assert!(heard.try_recv().is_err());
        end.add_permits(1);
        assert_eq!(heard.recv().await, Some(0));
    }
}
