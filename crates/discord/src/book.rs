//! Which live messages there are, kept over restarts.

use crate::config::replace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// Live messages at a time. Further downloads are refused.
pub const MAX_LIVE: usize = 64;
/// Bytes of the file that are read. A longer one is taken for none.
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
}

/// Live messages by torrent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    live: BTreeMap<String, Spot>,
}

impl Book {
    /// Reads what was kept; nothing if there is none, or it is broken: then messages of before stay as they are.
    pub fn read(path: &Path) -> Book {
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text));
        match read {
            Ok(len) if len as u64 <= MAX_FILE => serde_json::from_slice(&text).unwrap_or_default(),
            _ => Book::default(),
        }
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

    /// All of them.
    pub fn all(&self) -> Vec<(String, Spot)> {
        self.live.iter().map(|(id, spot)| (id.clone(), *spot)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SPOT: Spot = Spot { channel: 1, message: 2, by: 3, thread: false, ours: true };

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/discord.json");
        assert_eq!(Book::read(&path), Book::default());
        let mut book = Book::default();
        assert!(book.put("aa", SPOT));
        book.write(&path).unwrap();
        assert_eq!(Book::read(&path).all(), [("aa".to_owned(), SPOT)]);
        book.remove("aa");
        book.write(&path).unwrap();
        assert_eq!(Book::read(&path).spot("aa"), None);
        for broken in [b"{".to_vec(), vec![b' '; usize::try_from(MAX_FILE).unwrap() + 1]] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(Book::read(&path), Book::default());
        }
    }

    #[test]
    fn live_messages_are_bounded() {
        let mut book = Book::default();
        assert!((0..MAX_LIVE).all(|number| book.put(&number.to_string(), SPOT)));
        assert!(!book.put("one more", SPOT) && book.put("0", SPOT));
    }
}
