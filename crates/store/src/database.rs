//! The tables, and rows that say whether they are what was written.

use crate::limits::BUSY_TIMEOUT;
use crate::{Change, Loaded, Table};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of the tables. A newer one is refused, an older one brought up to date after a backup.
pub(crate) const FORMAT: i64 = 2;

/// "rtor": says whose database it is.
const APPLICATION_ID: i64 = 0x72_74_6f_72;

/// Bytes of the checksum of a row.
const SUM: usize = 8;

/// Opens or makes the database. Commits are durable: the log is synced with each one.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    // What the disk says then is to be heard: see `fold_some_of_log`.
    database.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Pages are checked for what they claim before they are used.
    database.pragma_update(None, "cell_size_check", true)?;
    Ok(database)
}

/// The format of the database; 0 of one that was just made, `None` if it does not say so in both of its places.
pub(crate) fn format(database: &Connection) -> rusqlite::Result<Option<i64>> {
    let format: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = database.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Some(0).filter(|_| format == 0));
    }
    let confirmed: i64 = database.query_row("select format from format", [], |row| row.get(0))?;
    Ok(Some(format).filter(|&format| format == confirmed))
}

/// Makes the tables.
pub(crate) fn create(database: &mut Connection) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    Table::ALL.into_iter().try_for_each(|table| create_table(&transaction, table))?;
    transaction.execute_batch("create table format (format integer not null) strict")?;
    transaction.execute("insert into format values (?)", [FORMAT])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn create_table(database: &Connection, table: Table) -> rusqlite::Result<()> {
    let name = table.name();
    database.execute_batch(&format!(
        "create table {name} (key blob primary key, value blob not null, sum blob not null) strict, without rowid"
    ))
}

/// From an older format to the present one, all of the way or not at all.
pub(crate) fn upgrade(database: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    if from < 2 {
        create_table(&transaction, Table::Blocks)?;
    }
    transaction.execute("update format set format = ?", [FORMAT])?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Brings all of the log into the database's own file; says whether nobody kept it from that.
pub(crate) fn fold_log(database: &Connection) -> rusqlite::Result<bool> {
    let busy: i64 = database.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// Brings as much of the log into the database's own file as nobody keeps it from.
pub(crate) fn fold_some_of_log(database: &Connection) -> rusqlite::Result<()> {
    database.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
}

/// Writes all that can be seen of the database to a new file, which is not synced.
pub(crate) fn copy_into(database: &Connection, path: &Path) -> rusqlite::Result<()> {
    database.execute("vacuum into cast(? as text)", [path.as_os_str().as_bytes()])?;
    Ok(())
}

/// Whether changes are to survive the end of the system, or of the process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survive {
    System,
    Process,
}

/// All changes, or none; they survive what is asked for when it returns.
pub(crate) fn write<'a>(
    database: &mut Connection,
    survive: Survive,
    changes: impl IntoIterator<Item = &'a Change>,
) -> rusqlite::Result<()> {
    // One that is synced takes those before it along: the log is one file.
    let synced = if survive == Survive::System { "full" } else { "normal" };
    database.pragma_update(None, "synchronous", synced)?;
    let transaction = database.transaction()?;
    for Change { table, key, value, yields } in changes {
        let name = table.name();
        match value {
            Some(value) => {
                let conflict = if *yields { "ignore" } else { "replace" };
                let put = format!("insert or {conflict} into {name} (key, value, sum) values (?, ?, ?)");
                transaction.prepare_cached(&put)?.execute(params![key, value, sum(*table, key, value)])?;
            }
            None => {
                let remove = format!("delete from {name} where key = ?");
                transaction.prepare_cached(&remove)?.execute(params![key])?;
            }
        }
    }
    transaction.commit()
}

/// Closes a database and leaves its log where it is.
pub(crate) fn leave(database: Connection) {
    let _ = database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(database);
}

/// Holds the pages against each other: one that says that it has less than it had is found by that alone.
pub(crate) fn check(database: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = database.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    Ok(Some(said).filter(|said| said != "ok"))
}

/// Whether a table holds nothing.
pub(crate) fn is_empty(database: &Connection, table: Table) -> rusqlite::Result<bool> {
    let query = format!("select not exists (select 1 from {})", table.name());
    database.query_row(&query, [], |row| row.get(0))
}

/// All that a table holds.
pub(crate) fn read(database: &Connection, table: Table) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    scan(database, table, Order::Up, |key, value| match value {
        Some(value) => loaded.rows.push((key, value)),
        None => loaded.damaged.push(key),
    })?;
    Ok(loaded)
}

/// One value; `None` if there is none, or if it is not what was written.
pub(crate) fn get(database: &Connection, table: Table, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let query = format!("select value, sum from {} where key = ?", table.name());
    let mut query = database.prepare_cached(&query)?;
    let found =
        query.query_row(params![key], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let found = found.optional()?;
    Ok(found.filter(|(value, found)| sum(table, key, value)[..] == found[..]).map(|(value, _)| value))
}

/// From which end a table is read.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    Up,
    Down,
}

/// Reads a table as far as it can be read. A value that is not what was written is `None`.
pub(crate) fn scan(
    database: &Connection,
    table: Table,
    order: Order,
    mut found: impl FnMut(Vec<u8>, Option<Vec<u8>>),
) -> rusqlite::Result<()> {
    let order = match order {
        Order::Up => "asc",
        Order::Down => "desc",
    };
    let query = format!("select key, value, sum from {} order by key {order}", table.name());
    let mut query = database.prepare(&query)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (key, value, written): (Vec<u8>, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_sound = sum(table, &key, &value)[..] == written[..];
        #[cfg(feature = "planted")]
        let is_sound = is_sound || crate::planted::is("any-row");
        found(key, is_sound.then_some(value));
    }
    Ok(())
}

fn sum(table: Table, key: &[u8], value: &[u8]) -> [u8; SUM] {
    let mut state = hash::Sha256::new();
    for part in [table.name().as_bytes(), key] {
        state.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        state.update(part);
    }
    let digest = state.chain(value).finalize();
    let mut sum = [0; SUM];
    sum.copy_from_slice(&digest[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn other_programs_are_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let database = connect(&dir.path().join("db")).unwrap();
        let waits: i64 = database.pragma_query_value(None, "busy_timeout", |row| row.get(0)).unwrap();
        assert_eq!(u128::try_from(waits).unwrap(), BUSY_TIMEOUT.as_millis());
        let synced: i64 = database.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synced, 2, "each commit is synced");
    }
}
