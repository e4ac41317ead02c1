//! The audit log: who did what, and in a file of its own who was not let in. One JSON object a line, in the state directory.
//! Whoever is not let in can fill their file only.

use serde::Serialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries that wait to be written. Further ones are lost, and the log says how many: no request waits for a disk.
pub(crate) const AUDIT_QUEUE: usize = 1024;
/// Bytes of the log after which it is put aside as `audit.log.1`, in place of an older one.
pub(crate) const MAX_LOG: u64 = 8 * 1024 * 1024;

/// Bytes of one value that is noted; of a longer one a quarter of that many characters.
const MAX_NOTED: usize = 1024;

/// One entry.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Entry {
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    /// Who: a token's name, or how the request came; `null` if it was refused before that was known.
    pub(crate) who: Option<String>,
    /// Where from.
    pub(crate) from: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The HTTP status of the answer.
    pub(crate) status: u16,
    /// What it was about, as far as that is no secret.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) what: Map<String, Value>,
    /// Entries before this one that were lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) lost: u64,
}

fn is_zero(lost: &u64) -> bool {
    *lost == 0
}

/// What a request is about, told by who carries it out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Arc<Mutex<Map<String, Value>>>);

impl Note {
    /// Notes a value; one that is long by its beginning.
    pub(crate) fn tell(&self, name: &str, value: impl Into<Value>) {
        let value = match value.into() {
            Value::String(text) if text.len() > MAX_NOTED => {
                text.chars().take(MAX_NOTED / 4).collect::<String>().into()
            }
            value => value,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    /// Notes what a JSON object changes.
    pub(crate) fn tell_all(&self, body: &[u8]) {
        let Ok(Value::Object(all)) = serde_json::from_slice(body) else { return };
        for (name, value) in all {
            match value {
                Value::Array(_) | Value::Object(_) => self.tell(&name, value.to_string()),
                plain => self.tell(&name, plain),
            }
        }
    }

    pub(crate) fn take(&self) -> Map<String, Value> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where entries are sent.
#[derive(Debug)]
pub(crate) struct Audit {
    done: Log,
    refused: Log,
}

impl Audit {
    /// Writes into `dir` from threads of its own, which end with the last entry.
    pub(crate) fn start(dir: &Path) -> std::io::Result<Audit> {
        Ok(Audit { done: Log::start(dir.join("audit.log"))?, refused: Log::start(dir.join("refused.log"))? })
    }

    pub(crate) fn tell(&self, entry: Entry) {
        if entry.who.is_some() { self.done.tell(entry) } else { self.refused.tell(entry) }
    }
}

/// One of the files.
#[derive(Debug)]
struct Log {
    sender: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Log {
    fn start(path: PathBuf) -> std::io::Result<Log> {
        let (sender, entries) = sync_channel(AUDIT_QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let unwritten = lost.clone();
        thread::Builder::new().name("audit".into()).spawn(move || write_all(&path, &entries, &unwritten))?;
        Ok(Log { sender, lost })
    }

    fn tell(&self, mut entry: Entry) {
        entry.time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        entry.lost = self.lost.swap(0, Relaxed);
        if let Err(TrySendError::Full(entry) | TrySendError::Disconnected(entry)) =
            self.sender.try_send(entry)
        {
            self.lost.fetch_add(entry.lost + 1, Relaxed);
        }
    }
}

fn write_all(path: &Path, entries: &Receiver<Entry>, lost: &AtomicU64) {
    let mut log: Option<(File, u64)> = None;
    for entry in entries {
        let Ok(mut line) = serde_json::to_vec(&entry) else { continue };
        line.push(b'\n');
        if log.as_ref().is_some_and(|(_, length)| length + line.len() as u64 > MAX_LOG) {
            log = None;
            if let Err(error) = std::fs::rename(path, aside(path)) {
                tracing::warn!("the audit log cannot be put aside: {error}");
            }
        }
        if log.is_none() {
            log = open(path);
        }
        let written = match &mut log {
            Some((file, length)) => {
                file.write_all(&line).map(|()| *length += line.len() as u64).map_err(|error| {
                    tracing::warn!("the audit log cannot be written: {error}");
                    // What there is of a line would spoil the next.
                    let _ = file.set_len(*length);
                })
            }
            None => Err(()),
        };
        if written.is_err() {
            log = None;
            lost.fetch_add(entry.lost + 1, Relaxed);
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

fn open(path: &Path) -> Option<(File, u64)> {
    let opened = File::options().append(true).create(true).mode(0o600).open(path);
    let measured = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
    match measured {
        Ok((length, file)) => Some((file, length)),
        Err(error) => {
            tracing::warn!("the audit log cannot be opened: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        let (sender, entries) = sync_channel(AUDIT_QUEUE);
        let audit = Log { sender, lost: Arc::default() };
        for _ in 0..AUDIT_QUEUE + 7 {
            audit.tell(Entry::default());
        }
        assert_eq!(entries.try_iter().count(), AUDIT_QUEUE);
        audit.tell(Entry::default());
        assert_eq!(entries.recv().unwrap().lost, 7);
    }

    #[test]
    fn a_long_log_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let long = Entry { path: "x".repeat(1024 * 1024), ..Entry::default() };
        let (sender, entries) = sync_channel(AUDIT_QUEUE);
        let lines = MAX_LOG / 1024 / 1024;
        (0..lines).for_each(|_| sender.send(long.clone()).unwrap());
        drop(sender);
        write_all(&path, &entries, &AtomicU64::new(0));
        let count = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count() as u64;
        assert_eq!((count(&aside(&path)), count(&path)), (lines - 1, 1));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (sender, entries) = sync_channel(AUDIT_QUEUE);
        (0..3).for_each(|_| sender.send(Entry { lost: 1, ..Entry::default() }).unwrap());
        drop(sender);
        let lost = AtomicU64::new(0);
        write_all(Path::new("/dev/full"), &entries, &lost);
        assert_eq!(lost.into_inner(), 6);
    }

    #[test]
    fn who_is_not_let_in_fills_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::start(dir.path()).unwrap();
        let note = Note::default();
        note.tell_all(br#"{"max_up": 5, "tags": ["a"]}"#);
        note.tell("dir", "x".repeat(MAX_NOTED + 1));
        audit.tell(Entry { who: Some("phone".into()), what: note.take(), ..Entry::default() });
        audit.tell(Entry { path: "/elsewhere".into(), ..Entry::default() });
        let read = |name: &str| loop {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
            if text.ends_with('\n') {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
            thread::yield_now();
        };
        let done = read("audit.log");
        assert_eq!((&done["who"], &done["what"]["max_up"]), (&"phone".into(), &5.into()));
        assert_eq!(done["what"]["tags"], "[\"a\"]");
        assert_eq!(done["what"]["dir"], "x".repeat(MAX_NOTED / 4));
        assert_eq!(read("refused.log")["path"], "/elsewhere");
    }
}
