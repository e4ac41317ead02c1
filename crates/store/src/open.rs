//! From a folder to a database that can be used, whatever is found there.

use crate::database::{self, FORMAT, Order, Survive};
use crate::lock::Lock;
use crate::{Change, Loaded, OpenError, Table};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The database and the files that belong to it.
const NAME: &str = "session.db";
const COMPANIONS: [&str; 2] = ["session.db-wal", "session.db-shm"];

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The database could not be read as a whole: where it was put aside, all that could be read having been taken over.
    pub damaged: Option<PathBuf>,
    /// The database was of an older format: where it was kept as it was.
    pub upgraded: Option<PathBuf>,
    /// What the tables hold that were asked for.
    pub tables: BTreeMap<Table, Loaded>,
}

/// Takes the folder and opens, makes, or saves its database; what `wanted` tables hold is read with it.
pub(crate) fn open(dir: &Path, wanted: &[Table]) -> Result<(Lock, Connection, Opened), OpenError> {
    make_durably(dir).map_err(io(dir))?;
    let lock = Lock::take(dir)?;
    let path = dir.join(NAME);
    match try_open(&path, wanted) {
        Ok((database, opened)) => Ok((lock, database, opened)),
        Err(Trouble::Open(error)) => Err(error),
        Err(Trouble::Damaged(reason)) => {
            tracing::warn!("{} is damaged: {reason}", path.display());
            let aside = put_aside(dir).map_err(io(&path))?;
            let database = save(&aside, &path).map_err(sql(&path))?;
            let tables = read_all(&database, wanted).map_err(sql(&path))?;
            Ok((lock, database, Opened { damaged: Some(aside), upgraded: None, tables }))
        }
    }
}

/// Makes a folder that is there after the end of the system too.
fn make_durably(dir: &Path) -> std::io::Result<()> {
    let missing = dir.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).count();
    // What is in it tells a lot: the keys of trackers, where files are.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for made in dir.ancestors().take(missing) {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Looks at every row once: what a page lost is found now and not in a month. Keeps what is wanted.
fn read_all(database: &Connection, wanted: &[Table]) -> rusqlite::Result<BTreeMap<Table, Loaded>> {
    let mut tables = BTreeMap::new();
    for table in Table::ALL {
        if wanted.contains(&table) {
            tables.insert(table, database::read(database, table)?);
        } else {
            database::scan(database, table, Order::Up, |_, _| {})?;
        }
    }
    Ok(tables)
}

enum Trouble {
    Open(OpenError),
    Damaged(String),
}

fn try_open(path: &Path, wanted: &[Table]) -> Result<(Connection, Opened), Trouble> {
    let trouble = |err: rusqlite::Error| match err.sqlite_error_code() {
        Some(
            rusqlite::ErrorCode::CannotOpen
            | rusqlite::ErrorCode::PermissionDenied
            | rusqlite::ErrorCode::ReadOnly
            | rusqlite::ErrorCode::DiskFull
            | rusqlite::ErrorCode::DatabaseBusy
            | rusqlite::ErrorCode::DatabaseLocked
            | rusqlite::ErrorCode::OutOfMemory,
        ) => Trouble::Open(sql(path)(err)),
        _ => Trouble::Damaged(err.to_string()),
    };
    let mut database = database::connect(path).map_err(trouble)?;
    let found = database::format(&database).map_err(trouble)?;
    let mut upgraded = None;
    match found {
        Some(0) => database::create(&mut database).map_err(trouble)?,
        Some(FORMAT) => {}
        Some(older @ 1..FORMAT) => {
            upgraded = Some(back_up(&database, path, older).map_err(Trouble::Open)?);
            database::upgrade(&mut database, older).map_err(trouble)?;
        }
        Some(found @ 1..) => {
            return Err(Trouble::Open(OpenError::Newer { path: path.into(), found, known: FORMAT }));
        }
        _ => return Err(Trouble::Damaged("it does not say of which format it is".into())),
    }
    let tables = read_all(&database, wanted).map_err(trouble)?;
    Ok((database, Opened { damaged: None, upgraded, tables }))
}

/// Keeps the database as it is, under a name of its own, durably. One from an upgrade that was broken off is replaced.
fn back_up(database: &Connection, path: &Path, format: i64) -> Result<PathBuf, OpenError> {
    let kept = path.with_file_name(format!("session-format-{format}.db"));
    let busy = || OpenError::Io { path: path.into(), reason: "another program reads it".into() };
    if !database::fold_log(database).map_err(sql(path))? {
        return Err(busy());
    }
    let new = kept.with_extension("new");
    let copied = fs::copy(path, &new).and_then(|_| File::open(&new)?.sync_all());
    let named = copied.and_then(|()| fs::rename(&new, &kept));
    let synced = named.and_then(|()| kept.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()));
    synced.map_err(io(&kept))?;
    Ok(kept)
}

/// Gives the database a name that is not taken.
fn put_aside(dir: &Path) -> std::io::Result<PathBuf> {
    let named =
        |number: u32, name: &str| dir.join(name.replacen("session.db", &format!("damaged-{number}.db"), 1));
    let number = (1..=u32::MAX).find(|&number| !named(number, NAME).exists()).unwrap_or(u32::MAX);
    for name in COMPANIONS.iter().chain([&NAME]) {
        let from = dir.join(name);
        if from.exists() {
            fs::rename(from, named(number, name))?;
        }
    }
    Ok(named(number, NAME))
}

/// Takes over what can be read of a damaged database, from both ends of each table.
fn save(damaged: &Path, path: &Path) -> rusqlite::Result<Connection> {
    let mut fresh = database::connect(path)?;
    database::create(&mut fresh)?;
    // The log may be the damaged part.
    let Ok(old) = database::connect(damaged) else { return Ok(fresh) };
    for table in Table::ALL {
        for order in [Order::Up, Order::Down] {
            let mut changes = Vec::new();
            // As far as it goes: where it ends is what is damaged.
            let _ = database::scan(&old, table, order, |key, value| {
                changes.extend(value.map(|value| Change::put(table, key, value)));
            });
            database::write(&mut fresh, Survive::System, &changes)?;
        }
    }
    Ok(fresh)
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> OpenError + '_ {
    move |err| OpenError::Io { path: path.into(), reason: err.to_string() }
}

fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError + '_ {
    move |err| OpenError::Io { path: path.into(), reason: err.to_string() }
}
