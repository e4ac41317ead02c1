//! The audit log: who did what, and who was refused. One JSON object a line, in the state directory.

use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries that wait to be written. Further ones are lost, and the log says how many: no request waits for a disk.
pub(crate) const AUDIT_QUEUE: usize = 1024;
/// Bytes of the log after which it is put aside as `audit.log.1`, in place of an older one.
pub(crate) const MAX_LOG: u64 = 8 * 1024 * 1024;

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
    /// Entries before this one that were lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) lost: u64,
}

fn is_zero(lost: &u64) -> bool {
    *lost == 0
}

/// Where entries are sent.
#[derive(Debug)]
pub(crate) struct Audit {
    sender: SyncSender<Entry>,
    lost: std::sync::atomic::AtomicU64,
}

impl Audit {
    /// Writes into `dir` from a thread of its own, which ends with the last entry.
    pub(crate) fn start(dir: &Path) -> std::io::Result<Audit> {
        let (sender, entries) = sync_channel(AUDIT_QUEUE);
        let path = dir.join("audit.log");
        thread::Builder::new().name("audit".into()).spawn(move || write_all(&path, &entries))?;
        Ok(Audit::to(sender))
    }

    fn to(sender: SyncSender<Entry>) -> Audit {
        Audit { sender, lost: 0.into() }
    }

    pub(crate) fn tell(&self, mut entry: Entry) {
        use std::sync::atomic::Ordering::Relaxed;
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

fn write_all(path: &Path, entries: &Receiver<Entry>) {
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
        let Some((file, length)) = &mut log else { continue };
        match file.write_all(&line) {
            Ok(()) => *length += line.len() as u64,
            Err(error) => {
                tracing::warn!("the audit log cannot be written: {error}");
                log = None;
            }
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
        let audit = Audit::to(sender);
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
        write_all(&path, &entries);
        let count = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count() as u64;
        assert_eq!((count(&aside(&path)), count(&path)), (lines - 1, 1));
    }
}
