//! Which live messages there are, kept over restarts.

use crate::config::replace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// Live messages at a time. Further downloads are refused.
pub const MAX_LIVE: usize = 64;
/// Torrents at a time that were begun, and others that were stopped, of which is kept by whom, or how much of them is on
/// disk. Of further ones nobody here may stop them, and what is on disk is counted together.
pub const MAX_KEPT: usize = 256;
/// Bytes of the file that are read. A longer one is taken for damaged.
const MAX_FILE: u64 = 64 * 1024;

/// Where a live message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The channel or thread.
    pub channel: u64,
    /// The message.
    pub message: u64,
    /// Who asked for it, by id.
    pub by: u64,
    /// Whether it has moved to a thread.
    pub thread: bool,
    /// Whether the torrent was not there before: what its owner had is neither stopped nor removed on anybody's word here.
    #[serde(default)]
    pub ours: bool,
    /// When it was asked for, in seconds since 1970; 0 if that is not known.
    #[serde(default)]
    pub since: u64,
}

/// Live messages by torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    live: BTreeMap<String, Spot>,
    /// Who began a torrent that was not there before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    begun: BTreeMap<String, u64>,
    /// Bytes on disk of what was stopped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<String, u64>,
}

/// What stands for torrents of which there are too many.
const OTHERS: &str = "others";

impl Book {
    /// Reads what was kept; nothing if there is none. One that is damaged is put aside, and that is logged: messages of before
    /// stay as they are then.
    ///
    /// # Errors
    /// Of the file: it cannot be read, or not be put aside.
    pub fn read(path: &Path) -> io::Result<Book> {
        let mut text = Vec::new();
        match std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            read => read?,
        };
        let has_end = text.len() as u64 <= MAX_FILE;
        if let Some(book) = has_end.then(|| serde_json::from_slice(&text).ok()).flatten() {
            return Ok(book);
        }
        // One of before stays too.
        let mut names = (1_u32..).map(|number| path.with_extension(format!("json.damaged-{number}")));
        let aside = names.find(|name| !name.exists()).unwrap_or_default();
        std::fs::rename(path, &aside)?;
        tracing::error!(
            "{} is damaged, and is kept as {}: live messages of before stay as they are, and who began what and how much of \
             it is on disk is not known any more",
            path.display(),
            aside.display()
        );
        Ok(Book::default())
    }

    /// Keeps it, whole or not at all.
    ///
    /// # Errors
    /// Of the file.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        replace(path, &serde_json::to_vec(self)?)
    }

    /// The torrent's live message.
    pub fn spot(&self, id: &str) -> Option<Spot> {
        self.live.get(id).copied()
    }

    /// Takes a live message in; the one before it is forgotten. `false` if there are [`MAX_LIVE`].
    pub fn put(&mut self, id: &str, spot: Spot) -> bool {
        if self.live.len() >= MAX_LIVE && !self.live.contains_key(id) {
            return false;
        }
        self.live.insert(id.to_owned(), spot);
        true
    }

    /// Forgets a live message.
    pub fn remove(&mut self, id: &str) {
        self.live.remove(id);
    }

    /// A torrent was begun by somebody.
    pub fn begin(&mut self, id: &str, by: u64) {
        if self.begun.len() < MAX_KEPT {
            self.begun.insert(id.to_owned(), by);
        }
    }

    /// Who began a torrent that was not there before.
    pub fn begun_by(&self, id: &str) -> Option<u64> {
        self.begun.get(id).copied()
    }

    /// Whether something is known to be left of a torrent.
    pub fn has_left(&self, id: &str) -> bool {
        self.left.contains_key(id)
    }

    /// A torrent is not there any more, of which so many bytes were known to be on disk. If they stay they are counted; if they
    /// went, what was there before that nobody knew of stays.
    pub fn end(&mut self, id: &str, known: u64, stay: bool) {
        self.begun.remove(id);
        if known == 0 {
            return;
        }
        let is_full = self.left.len() >= MAX_KEPT && !self.left.contains_key(id);
        match stay {
            false => drop(self.left.remove(id)),
            true if is_full => *self.left.entry(OTHERS.to_owned()).or_default() += known,
            true => {
                let left = self.left.entry(id.to_owned()).or_default();
                *left = known.max(*left);
            }
        }
    }

    /// What is begun is only what the daemon has; whether something was forgotten.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) -> bool {
        let before = self.begun.len();
        self.begun.retain(|id, _| is_there(id));
        self.begun.len() < before
    }

    /// Bytes on disk of what was stopped, without torrents that are counted otherwise.
    pub fn left(&self, is_counted: impl Fn(&str) -> bool) -> u64 {
        let others = self.left.iter().filter(|(id, _)| !is_counted(id));
        others.fold(0, |sum, (_, left)| sum.saturating_add(*left))
    }

    /// All live messages.
    pub fn all(&self) -> Vec<(String, Spot)> {
        self.live.iter().map(|(id, spot)| (id.clone(), *spot)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SPOT: Spot = Spot { channel: 1, message: 2, by: 3, thread: false, ours: true, since: 4 };

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/discord.json");
        assert_eq!(Book::read(&path).unwrap(), Book::default());
        let mut book = Book::default();
        assert!(book.put("aa", SPOT));
        book.write(&path).unwrap();
        assert_eq!(Book::read(&path).unwrap().all(), [("aa".to_owned(), SPOT)]);
        book.remove("aa");
        book.write(&path).unwrap();
        assert_eq!(Book::read(&path).unwrap().spot("aa"), None);
        let too_long = vec![b' '; usize::try_from(MAX_FILE).unwrap() + 1];
        for (name, broken) in
            [("discord.json.damaged-1", b"{".to_vec()), ("discord.json.damaged-2", too_long)]
        {
            std::fs::write(&path, &broken).unwrap();
            assert_eq!(Book::read(&path).unwrap(), Book::default());
            assert_eq!(std::fs::read(path.with_file_name(name)).unwrap(), broken, "it is put aside");
            assert!(!path.exists());
        }
        std::fs::create_dir(&path).unwrap();
        Book::read(&path).unwrap_err();
    }

    #[test]
    fn what_was_begun_and_what_is_left_is_kept_and_bounded() {
        let mut book = Book::default();
        let none = |_: &str| false;
        book.begin("aa", 7);
        assert_eq!((book.begun_by("aa"), book.left(none)), (Some(7), 0));
        book.end("aa", 100, true);
        assert_eq!((book.begun_by("aa"), book.left(none)), (None, 100));
        assert!(book.has_left("aa") && !book.has_left("bb"));
        assert_eq!(book.left(|id| id == "aa"), 0, "the daemon has it");
        // Begun again, and ended before anybody knew what is there.
        book.end("aa", 0, false);
        book.end("aa", 60, true);
        assert_eq!(book.left(none), 100);
        book.end("aa", 100, false);
        assert_eq!(book.left(none), 0);
        book.begin("aa", 8);
        assert!(!book.retain(|_| true) && book.retain(|_| false) && book.begun_by("aa").is_none());
        for number in 0..=MAX_KEPT {
            book.begin(&number.to_string(), 1);
        }
        assert_eq!((book.begun.len(), book.begun_by(&MAX_KEPT.to_string())), (MAX_KEPT, None));
        for number in 0..MAX_KEPT + 10 {
            book.end(&format!("{number:040}"), 2, true);
        }
        assert_eq!((book.left.len(), book.left(none)), (MAX_KEPT + 1, 2 * (MAX_KEPT as u64 + 10)));
        for number in 0..MAX_LIVE {
            book.put(&format!("{number:040}"), SPOT);
        }
        assert!(serde_json::to_vec(&book).unwrap().len() as u64 <= MAX_FILE, "it can be read again");
    }

    #[test]
    fn live_messages_are_bounded() {
        let mut book = Book::default();
        assert!((0..MAX_LIVE).all(|number| book.put(&number.to_string(), SPOT)));
        assert!(!book.put("one more", SPOT) && book.put("0", SPOT));
    }
}
