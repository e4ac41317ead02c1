//! From a folder to a database that can be used, whatever is found there.

use crate::database::{self, FORMAT, Order, Survive};
use crate::lock::{self, Lock};
use crate::log::{self, LOG};
use crate::mark;
use crate::{Change, Loaded, OpenError, Table};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The database and the files that belong to it.
pub(crate) const NAME: &str = "session.db";
const COMPANIONS: [&str; 3] = [mark::NAME, LOG, "session.db-shm"];
/// Bytes of the log that are written again at once.
const LOG_STEP: usize = 1 << 20;

/// The folder of a state directory in which each torrent of a session has a file.
pub const TORRENTS_FOLDER: &str = "resume";

/// One that is being made, and counts for nothing yet.
const NEW: &str = "session.new.db";
const NEWS_COMPANIONS: [&str; 3] = ["session.new.db-wal", "session.new.db-shm", "session.new.db-journal"];

/// A copy of a damaged one, of which another is made.
const SALVAGED: &str = "session.salvaged.db";
const SALVAGED_COMPANIONS: [&str; 3] =
    ["session.salvaged.db-wal", "session.salvaged.db-shm", "session.salvaged.db-journal"];

/// One that is whole and durable, and counts from now on: in place of one that is damaged, which is to be put aside.
const RESCUED: &str = "session.rescued.db";
/// The same, in place of one whose log may not be on the disk; that one is of no use any more.
const REWRITTEN: &str = "session.rewritten.db";

/// Those of which one that is opened is made.
pub(crate) const FILES: [&str; 5] = [NAME, LOG, mark::NAME, RESCUED, REWRITTEN];

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
    must_be_files(dir)?;
    let mut lock = Lock::take(dir)?;
    let path = dir.join(NAME);
    let damaged = take_over(dir).map_err(io(&path))?;
    must_not_be_missing(dir, &lock)?;
    if !path.exists() {
        mark::take_back(dir).map_err(io(&path))?;
    }
    let log_aside = keep_log(dir).map_err(io(&path))?;
    let damaged = damaged.or(log_aside);
    must_not_be_emptied(dir, damaged.is_some())?;
    let is_log_damaged = is_log_damaged(dir).map_err(io(&path))?;
    let tried = match is_log_damaged {
        true => Err(Trouble::Damaged("some of its log is missing or damaged".into())),
        false => {
            see_log_as_it_is(dir).map_err(io(&path))?;
            try_open(&path, wanted)
        }
    };
    let (database, opened) = match tried {
        Ok((database, opened)) => (database, Opened { damaged, ..opened }),
        Err(Trouble::Open(error)) => return Err(error),
        Err(Trouble::Damaged(reason)) => {
            tracing::warn!("{} is damaged: {reason}", path.display());
            must_not_be_newer(dir)?;
            rescue(dir, is_log_damaged)?;
            let damaged = take_over(dir).map_err(io(&path))?;
            let database = database::connect(&path).map_err(sql(&path))?;
            let tables = read_all(&database, wanted).map_err(sql(&path))?;
            (database, Opened { damaged, upgraded: None, tables })
        }
    };
    // A disk that is full now may have room at the next start.
    let _ = lock.say_begun();
    Ok((lock, database, opened))
}

/// Opens the database that is there.
pub(crate) fn connect(dir: &Path) -> Result<Connection, OpenError> {
    let path = dir.join(NAME);
    database::connect(&path).map_err(sql(&path))
}

/// Writes all that can be seen of a database, with these changes, to one that counts instead of it when this returns; it has
/// to be closed then.
pub(crate) fn write_anew(database: &mut Connection, changes: &[Change], dir: &Path) -> Result<(), OpenError> {
    let new = dir.join(NEW);
    remove_new(dir).map_err(io(&new))?;
    let written = database::write(database, Survive::Process, changes);
    written.and_then(|()| database::copy_into(database, &new)).map_err(sql(&new))?;
    have_count(dir, REWRITTEN).map_err(io(&new))
}

/// Whether a database counts that was written anew, and is not in its place.
pub(crate) fn is_written_anew(dir: &Path) -> bool {
    dir.join(REWRITTEN).exists()
}

/// Opens the database that was made to count.
pub(crate) fn connect_anew(dir: &Path) -> Result<Connection, OpenError> {
    take_over(dir).map_err(io(dir))?;
    connect(dir)
}

/// Refuses anything but files where ours are: a pipe would be waited for without end.
pub(crate) fn must_be_files(dir: &Path) -> Result<(), OpenError> {
    let names = [lock::NAME, NEW, SALVAGED].into_iter().chain(FILES).chain(COMPANIONS);
    for path in names.chain(NEWS_COMPANIONS).chain(SALVAGED_COMPANIONS).map(|name| dir.join(name)) {
        // What cannot be looked at cannot be opened either.
        if let Ok(found) = fs::metadata(&path)
            && !found.is_file()
        {
            return Err(OpenError::NotAFile { path, dir: dir.into(), is_folder: found.is_dir() });
        }
    }
    Ok(())
}

/// Refuses to begin anew where there was a database.
fn must_not_be_missing(dir: &Path, lock: &Lock) -> Result<(), OpenError> {
    let path = dir.join(NAME);
    if path.exists() || !lock.says_begun() {
        return Ok(());
    }
    let copy = older_copy(dir).map_err(io(dir))?;
    Err(OpenError::Emptied { path, is_missing: true, copy })
}

/// The newest that an upgrade left.
fn older_copy(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let names = fs::read_dir(dir)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let copies = names.filter(|name| name.starts_with("session-format-") && name.ends_with(".db"));
    Ok(copies.max().map(|name| dir.join(name)))
}

/// Refuses to begin anew where an earlier session was: who empties a file has lost it, and who wants to begin anew removes it.
/// `is_told`: what there was is put aside, and that is told.
fn must_not_be_emptied(dir: &Path, is_told: bool) -> Result<(), OpenError> {
    let path = dir.join(NAME);
    if !is_emptied(dir, is_told).map_err(io(&path))? {
        return Ok(());
    }
    let copy = older_copy(dir).map_err(io(dir))?;
    let is_left = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"damaged-"))
    };
    let has_run =
        || fs::read_dir(dir.join(TORRENTS_FOLDER)).is_ok_and(|mut torrents| torrents.next().is_some());
    if copy.is_some() || fs::read_dir(dir).map_err(io(dir))?.any(is_left) || has_run() {
        return Err(OpenError::Emptied { path, is_missing: false, copy });
    }
    Ok(())
}

fn is_emptied(dir: &Path, is_told: bool) -> std::io::Result<bool> {
    let path = dir.join(NAME);
    if fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
        return Ok(true);
    }
    Ok(!is_told && log::is_blank(&path)? && log::start(&dir.join(LOG))? == log::Start::Nothing)
}

/// Sees to it that SQLite reads the log that was left, or that it is kept: SQLite deletes that of a database which is empty or
/// missing, and writes over one whose header is damaged. Says where a log was put aside.
fn keep_log(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut header = [0; log::HEADER];
    match File::open(dir.join(LOG)) {
        Ok(file) if file.metadata()?.len() > log::HEADER as u64 => file.read_exact_at(&mut header, 0)?,
        Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
        _ => return Ok(None),
    }
    match File::options().write(true).open(dir.join(NAME)) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
        Ok(database) if log::is_log(&header) => {
            if database.metadata()?.len() == 0 {
                // The log of one that has a page is read.
                database.set_len(log::PAGE)?;
            }
            Ok(None)
        }
        _ => {
            let number = free_number(dir);
            let aside = dir.join(put_aside_name(number, LOG));
            fs::rename(dir.join(LOG), &aside)?;
            sync(dir)?;
            mark::take_back(dir)?;
            tracing::warn!("a log that belongs to no database, or is damaged, was kept: {}", aside.display());
            Ok(Some(aside))
        }
    }
}

/// Writes the log that was left to the disk once more, as it is read, and ends it where that does: what was never committed is
/// not to lie behind what will be. Whoever left it may have been killed after a sync of it
/// had failed: memory still has then what the disk has not, and another sync would say nothing of that.
fn write_log_again(dir: &Path) -> std::io::Result<()> {
    let log = match File::options().read(true).write(true).open(dir.join(LOG)) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    let is_read = log::read_part(&dir.join(LOG))?;
    if let Some((_, end)) = is_read
        && end < log.metadata()?.len()
    {
        log.set_len(end)?;
    }
    let mut bytes = vec![0; LOG_STEP];
    let mut at = 0;
    loop {
        match log.read_at(&mut bytes, at)? {
            0 => break,
            read => {
                log.write_all_at(&bytes[..read], at)?;
                at += read as u64;
            }
        }
    }
    log.sync_all()?;
    // Who left it may have told less of it, or nothing, as an earlier version. Without it less is known, and nothing else.
    let _ = is_read.map(|(mark, _)| mark.tell(dir));
    Ok(())
}

/// The same where there may be no room for that, as on a disk that never writes in place. Then what memory has and the disk has
/// not is let go of: nobody was told that it is kept.
fn see_log_as_it_is(dir: &Path) -> std::io::Result<()> {
    let Err(error) = write_log_again(dir) else { return Ok(()) };
    if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return Err(error);
    }
    tracing::warn!("the log of the state is read as it is on the disk, which is full");
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(File::open(dir.join(LOG))?, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Has what was made count, from one moment on, in the place that its name tells.
fn have_count(dir: &Path, name: &str) -> std::io::Result<()> {
    let new = dir.join(NEW);
    File::open(&new)?.sync_all()?;
    fs::rename(new, dir.join(name))?;
    sync(dir)
}

/// Has a database that counts take its place, whenever it was made: whoever made it may not have come to that. Says where a
/// damaged one was put aside.
fn take_over(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    remove_new(dir)?;
    if dir.join(REWRITTEN).exists() {
        put_in_place(dir, REWRITTEN)?;
    }
    if !dir.join(RESCUED).exists() {
        return Ok(None);
    }
    let aside = put_aside(dir)?;
    put_in_place(dir, RESCUED)?;
    Ok(Some(aside))
}

fn put_in_place(dir: &Path, name: &str) -> std::io::Result<()> {
    // A log that is there would be read as its own.
    COMPANIONS.iter().try_for_each(|name| remove(&dir.join(name)))?;
    sync(dir)?;
    fs::rename(dir.join(name), dir.join(NAME))?;
    sync(dir)
}

fn remove_salvaged(dir: &Path) -> std::io::Result<()> {
    SALVAGED_COMPANIONS.iter().chain([&SALVAGED]).try_for_each(|name| remove(&dir.join(name)))
}

fn remove_new(dir: &Path) -> std::io::Result<()> {
    remove_salvaged(dir)?;
    NEWS_COMPANIONS.iter().chain([&NEW]).try_for_each(|name| remove(&dir.join(name)))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
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
    match prepare(&mut database, path, wanted, trouble) {
        Ok(opened) => Ok((database, opened)),
        Err(trouble) => {
            // It stays as it is, with its log.
            database::leave(database);
            Err(trouble)
        }
    }
}

fn prepare(
    database: &mut Connection,
    path: &Path,
    wanted: &[Table],
    trouble: impl Fn(rusqlite::Error) -> Trouble,
) -> Result<Opened, Trouble> {
    let found = database::format(database).map_err(&trouble)?;
    let mut upgraded = None;
    match found {
        Some(0) => database::create(database).map_err(&trouble)?,
        Some(FORMAT) => {}
        Some(older @ 1..FORMAT) => {
            upgraded = Some(back_up(database, path, older).map_err(Trouble::Open)?);
            database::upgrade(database, older).map_err(&trouble)?;
        }
        Some(found @ 1..) => {
            return Err(Trouble::Open(OpenError::Newer { path: path.into(), found, known: FORMAT }));
        }
        _ => return Err(Trouble::Damaged("it does not say of which format it is".into())),
    }
    if let Some(found) = database::check(database).map_err(&trouble)? {
        return Err(Trouble::Damaged(found));
    }
    let tables = read_all(database, wanted).map_err(&trouble)?;
    Ok(Opened { damaged: None, upgraded, tables })
}

/// Keeps the database as it is, under a name of its own, durably. One from an upgrade that was broken off is replaced.
fn back_up(database: &Connection, path: &Path, format: i64) -> Result<PathBuf, OpenError> {
    let kept = path.with_file_name(format!("session-format-{format}.db"));
    let busy = || OpenError::Io { path: path.into(), reason: "another program reads it".into() };
    path.parent().map_or(Ok(()), mark::take_back).map_err(io(path))?;
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

fn put_aside_name(number: u32, name: &str) -> String {
    name.replacen("session.db", &format!("damaged-{number}.db"), 1)
}

/// One that nothing was put aside under.
fn free_number(dir: &Path) -> u32 {
    let is_taken =
        |number: u32| [NAME, LOG].iter().any(|name| dir.join(put_aside_name(number, name)).exists());
    (1..=u32::MAX).find(|&number| !is_taken(number)).unwrap_or(u32::MAX)
}

/// Gives the database a name that is not taken; it keeps its own until another takes that. Says which, also if it has been
/// done before.
fn put_aside(dir: &Path) -> std::io::Result<PathBuf> {
    let named = |number: u32, name: &str| dir.join(put_aside_name(number, name));
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let damaged = identity(&dir.join(NAME));
    let is_it = |number: &u32| damaged.is_some() && identity(&named(*number, NAME)) == damaged;
    let free = free_number(dir);
    let number = (1..free).find(is_it).unwrap_or(free);
    let (from, to) = (dir.join(NAME), named(number, NAME));
    if damaged.is_none() {
        // A disk that has no links had it renamed.
        return Ok(named(free.saturating_sub(1), NAME));
    }
    if number == free && fs::hard_link(&from, &to).is_err() {
        fs::rename(&from, &to)?;
    }
    for name in COMPANIONS {
        match fs::rename(dir.join(name), named(number, name)) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    sync(dir)?;
    Ok(to)
}

/// Whether the log lacks something that was synced, or all of a session that is young is in it and it cannot be read from its
/// beginning.
fn is_log_damaged(dir: &Path) -> std::io::Result<bool> {
    let is_young = || log::is_blank(&dir.join(NAME));
    Ok(!mark::is_kept(dir)? || (is_young()? && log::start(&dir.join(LOG))? == log::Start::Damage))
}

/// Refuses a damaged database that says, with its log or without, that it is of a newer format: what this version knows of one
/// is not all that it has.
fn must_not_be_newer(dir: &Path) -> Result<(), OpenError> {
    let (path, copy) = (dir.join(NAME), dir.join(SALVAGED));
    for with_log in [true, false] {
        copy_damaged(dir, with_log).map_err(io(&copy))?;
        let found = database::connect(&copy).and_then(|database| database::format(&database));
        if let Ok(Some(found)) = found
            && found > FORMAT
        {
            remove_salvaged(dir).map_err(io(&copy))?;
            return Err(OpenError::Newer { path, found, known: FORMAT });
        }
    }
    Ok(())
}

/// Takes over what can be read of a damaged database into one that counts when this returns.
fn rescue(dir: &Path, is_log_damaged: bool) -> Result<(), OpenError> {
    let (new, copy) = (dir.join(NEW), dir.join(SALVAGED));
    let mut fresh = database::connect(&new).map_err(sql(&new))?;
    database::create(&mut fresh).and_then(|()| database::fold_some_of_log(&fresh)).map_err(sql(&new))?;
    copy_damaged(dir, true).map_err(io(&copy))?;
    fill(&mut fresh, &copy).map_err(sql(&new))?;
    if database::is_empty(&fresh, Table::Torrents).map_err(sql(&new))? {
        log::begin_as(&copy, &new).map_err(io(&copy))?;
        fill(&mut fresh, &copy).map_err(sql(&new))?;
    }
    if is_log_damaged {
        copy_damaged(dir, false).map_err(io(&copy))?;
        if log::is_blank(&dir.join(NAME)).map_err(io(&copy))? {
            fs::copy(&new, &copy).map_err(io(&copy))?;
        }
        log::overlay(&dir.join(LOG), &copy).map_err(io(&copy))?;
        add_later(&mut fresh, &copy).map_err(sql(&new))?;
    }
    database::fold_log(&fresh).map_err(sql(&new))?;
    drop(fresh);
    remove_salvaged(dir).map_err(io(&copy))?;
    have_count(dir, RESCUED).map_err(io(&new))
}

/// Makes a copy of a damaged database of which all that is left can be read, with its log or without.
fn copy_damaged(dir: &Path, with_log: bool) -> std::io::Result<()> {
    let (from, to) = (dir.join(NAME), dir.join(SALVAGED));
    remove_salvaged(dir)?;
    fs::copy(&from, &to)?;
    if with_log && dir.join(LOG).exists() {
        fs::copy(dir.join(LOG), dir.join(SALVAGED_COMPANIONS[0]))?;
    }
    Ok(())
}

/// Reads a damaged database from both ends of each table.
fn fill(fresh: &mut Connection, damaged: &Path) -> rusqlite::Result<()> {
    // The log may be the damaged part.
    let Ok(old) = database::connect(damaged) else { return Ok(()) };
    for table in Table::ALL {
        let changes = rows_of(&old, table).map(|(key, value)| Change::put(table, key, value));
        database::write(fresh, Survive::System, &changes.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// As far as it goes: where it ends is what is damaged.
fn rows_of(damaged: &Connection, table: Table) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let mut rows = BTreeMap::new();
    for order in [Order::Up, Order::Down] {
        let _ =
            database::scan(damaged, table, order, |key, value| rows.extend(value.map(|value| (key, value))));
    }
    rows.into_iter()
}

/// Adds what later pages of a damaged log show to what was known before them. Some of these pages may be older than others: what
/// is said of the pieces of a torrent counts only where nothing else of it is another than before.
fn add_later(fresh: &mut Connection, later: &Path) -> rusqlite::Result<()> {
    let Ok(later) = database::connect(later) else { return Ok(()) };
    let mut changed = BTreeSet::new();
    for table in [Table::Torrents, Table::Metainfo, Table::Session, Table::Progress] {
        let mut changes = Vec::new();
        for (key, value) in rows_of(&later, table) {
            let is_known = database::get(fresh, table, &key)?.as_ref() == Some(&value);
            let is_of_nothing = || {
                table == Table::Progress
                    && !matches!(database::get(fresh, Table::Torrents, &key), Ok(Some(_)))
            };
            if is_known || is_of_nothing() {
                continue;
            }
            if table == Table::Torrents {
                changed.insert(key.clone());
            }
            changes.push(Change::put(table, key, value));
        }
        database::write(fresh, Survive::System, &changes)?;
    }
    let of_pieces =
        |key: &Vec<u8>| [Table::Progress, Table::Blocks].map(|table| Change::remove(table, key.clone()));
    database::write(fresh, Survive::System, &changed.iter().flat_map(of_pieces).collect::<Vec<_>>())
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> OpenError + '_ {
    move |err| OpenError::Io { path: path.into(), reason: err.to_string() }
}

fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError + '_ {
    move |err| OpenError::Io { path: path.into(), reason: err.to_string() }
}
