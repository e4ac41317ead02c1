//! qBittorrent's database, as a copy: nothing is written where somebody else's session lies.

use ::import::limits::MAX_TORRENTS;
use ::import::qbittorrent::Row;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row as SqlRow};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a database that are copied. A larger one is refused.
const MAX_DATABASE: u64 = 4 << 30;

pub(super) struct Database {
    connection: Connection,
    _copy: Copy,
}

/// A folder that is removed with all that is in it.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays lies in a folder for what may be thrown away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Database, String> {
        let copy = copy(path).map_err(|err| err.to_string())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(copy.0.join("torrents.db"), flags);
        let connection = connection.map_err(|err| err.to_string())?;
        let prepare = || {
            // Whoever made it is trusted with nothing.
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            let kind = "select type from sqlite_schema where name = 'torrents'";
            connection.query_row(kind, [], |row| row.get::<_, String>(0))
        };
        match prepare() {
            // A view might have anything done.
            Ok(kind) if kind == "table" => Ok(Database { connection, _copy: copy }),
            Ok(_) => Err("it has no table of torrents".into()),
            Err(err) => Err(err.to_string()),
        }
    }

    /// All torrents, and one more than are read if there are more.
    pub(super) fn ids(&self) -> Vec<String> {
        let query = format!("select torrent_id from torrents limit {}", MAX_TORRENTS + 1);
        let Ok(mut query) = self.connection.prepare(&query) else { return Vec::new() };
        let Ok(mut rows) = query.query([]) else { return Vec::new() };
        let mut ids = Vec::new();
        // As far as it can be read.
        while let Ok(Some(row)) = rows.next() {
            ids.extend(text(row, "torrent_id"));
        }
        ids
    }

    /// A torrent's row. What it has not, or of another kind, is as if it were not set.
    pub(super) fn row(&self, id: &str) -> Option<Row> {
        let mut query = self.connection.prepare_cached("select * from torrents where torrent_id = ?").ok()?;
        let row = query.query_row([id], |row| {
            let number = |name| row.get_ref(name).ok().and_then(|value| value.as_i64().ok());
            Ok(Row {
                id: id.to_owned(),
                queue_position: number("queue_position").unwrap_or(-1),
                category: text(row, "category"),
                save_path: text(row, "target_save_path"),
                name: text(row, "name"),
                tags: text(row, "tags"),
                ratio_limit: number("ratio_limit").unwrap_or(-1),
                seeding_time_limit: number("seeding_time_limit").unwrap_or(-1),
                inactive_seeding_time_limit: number("inactive_seeding_time_limit").unwrap_or(-1),
                is_seed: number("has_seed_status") == Some(1),
                is_stopped: number("stopped") == Some(1),
                resume: bytes(row, "libtorrent_resume_data"),
                metadata: bytes(row, "metadata"),
            })
        });
        row.ok()
    }
}

fn text(row: &SqlRow<'_>, name: &str) -> Option<String> {
    match row.get_ref(name).ok()? {
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn bytes(row: &SqlRow<'_>, name: &str) -> Vec<u8> {
    match row.get_ref(name) {
        Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

/// What has the last changes of a database in it.
pub(super) fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The database and its log, in a folder of their own.
fn copy(path: &Path) -> io::Result<Copy> {
    let log = log_of(path);
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if size(path).saturating_add(size(&log)) > MAX_DATABASE {
        return Err(io::Error::other("it is too large"));
    }
    let name = format!("rawtorrent-import-{}-{}", std::process::id(), fastrand::u64(..));
    let copy = Copy(std::env::temp_dir().join(name));
    fs::create_dir(&copy.0)?;
    fs::copy(path, copy.0.join("torrents.db"))?;
    if log.is_file() {
        fs::copy(&log, copy.0.join("torrents.db-wal"))?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn rows_are_read_and_views_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("torrents.db");
        let made = Connection::open(&path).unwrap();
        made.pragma_update(None, "journal_mode", "wal").unwrap();
        let columns = "torrent_id, queue_position, tags, stopped, libtorrent_resume_data";
        made.execute_batch(&format!("create table torrents ({columns})")).unwrap();
        made.execute("insert into torrents values ('ab', 7, 'x,y', 1, x'6465')", []).unwrap();
        // Still open: the row is in the log alone.
        let database = Database::open(&path).unwrap();
        assert_eq!(database.ids(), ["ab"]);
        let row = database.row("ab").unwrap();
        assert_eq!((row.queue_position, row.tags.as_deref(), row.is_stopped), (7, Some("x,y"), true));
        assert_eq!((&row.resume[..], row.category, row.is_seed), (&b"de"[..], None, false));
        assert!(database.row("no").is_none());
        let copy = database._copy.0.clone();
        drop(database);
        assert!(!copy.exists());
        made.execute_batch("drop table torrents; create view torrents as select 1 as torrent_id").unwrap();
        assert!(Database::open(&path).is_err());
        drop(made);
        std::fs::File::create(&path).unwrap().set_len(MAX_DATABASE + 1).unwrap();
        assert_eq!(Database::open(&path).err().as_deref(), Some("it is too large"));
    }
}
