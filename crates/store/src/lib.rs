//! What a session must not forget, in one embedded database ([`SQLite`](https://sqlite.org), for reasons in
//! `docs/adr/0013-the-store-is-sqlite.md`).
//!
//! A [`Store`] holds values under keys, in a few [`Table`]s. What [`Store::commit`] has acknowledged survives the end of
//! the process and of the system. Commits that come together become durable together, on a thread of the store's own, so
//! that many cost little more than one; a [`Store::note`] survives the end of the process alone. Every row carries a checksum: a damaged one is told as [`Loaded::damaged`] and never
//! believed, and a database that cannot be read at all is put aside and what can be read of it is taken over, so that a
//! session always starts.
#![forbid(unsafe_code)]

mod base;
mod database;
mod error;
pub mod limits;
mod lock;
mod log;
mod look;
mod mark;
mod open;
#[cfg(feature = "planted")]
mod planted;
mod thread;

pub use error::{CommitError, OpenError};
pub use look::look;
pub use open::{Opened, TORRENTS_FOLDER};
pub use thread::Store;

/// What kind of thing a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Torrents: what the user wants of each.
    Torrents,
    /// Torrent files.
    Metainfo,
    /// Which pieces are durable, which files are the torrent's, and counters.
    Progress,
    /// Which blocks of unfinished pieces are written.
    Blocks,
    /// Everything of which there is one.
    Session,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 5] =
        [Table::Torrents, Table::Metainfo, Table::Progress, Table::Blocks, Table::Session];

    /// Those that have a row for each torrent.
    pub const OF_TORRENTS: [Table; 4] = [Table::Torrents, Table::Metainfo, Table::Progress, Table::Blocks];

    fn name(self) -> &'static str {
        match self {
            Table::Torrents => "torrents",
            Table::Metainfo => "metainfo",
            Table::Progress => "progress",
            Table::Blocks => "blocks",
            Table::Session => "session",
        }
    }
}

/// One thing that becomes another, or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub table: Table,
    /// At most [`MAX_KEY`](limits::MAX_KEY) bytes.
    pub key: Vec<u8>,
    /// At most [`MAX_VALUE`](limits::MAX_VALUE) bytes; `None` takes it away.
    pub value: Option<Vec<u8>>,
    /// Whether a value that is there already stays.
    pub yields: bool,
}

impl Change {
    /// The value of `key` is `value` from now on.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Change {
        Change { table, key: key.into(), value: Some(value.into()), yields: false }
    }

    /// The value of `key` is `value` from now on, unless it has one.
    pub fn put_if_absent(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Change {
        Change { yields: true, ..Change::put(table, key, value) }
    }

    /// There is no value of `key` from now on.
    pub fn remove(table: Table, key: impl Into<Vec<u8>>) -> Change {
        Change { table, key: key.into(), value: None, yields: false }
    }
}

/// What a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys and values, in the order of the keys.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys whose values are not what was written.
    pub damaged: Vec<Vec<u8>>,
}
