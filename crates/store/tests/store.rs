//! A store from outside: what is acknowledged is there again, and damage is told and never believed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use store::limits::{MAX_KEY, MAX_QUEUED, MAX_VALUE};
use store::{Change, CommitError, OpenError, Opened, Store, Table};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn value(number: u32) -> Vec<u8> {
    (0..300 + number % 50).map(|at| u8::try_from((at * 31 + number * 7) % 256).unwrap()).collect()
}

/// A store with `count` values in each table, closed.
fn filled(dir: &Path, count: u32) {
    block_on(async {
        let (store, _) = Store::open(dir).unwrap();
        for table in Table::ALL {
            let changes = (0..count).map(|number| Change::put(table, number.to_be_bytes(), value(number)));
            store.commit(changes.collect()).await.unwrap();
        }
        store.close().await;
    });
}

#[test]
fn what_was_acknowledged_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 5);
    block_on(async {
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert_eq!(opened, Opened::default());
        let changes = vec![
            Change::remove(Table::Torrents, 1_u32.to_be_bytes()),
            Change::put(Table::Torrents, 2_u32.to_be_bytes(), *b"other"),
            Change::put(Table::Torrents, *b"new", Vec::new()),
            Change::put_if_absent(Table::Torrents, *b"new", *b"late"),
            Change::put_if_absent(Table::Torrents, 3_u32.to_be_bytes(), *b"late"),
            Change::put_if_absent(Table::Torrents, *b"newer", *b"first"),
        ];
        store.commit(changes).await.unwrap();
        store.close().await;

        let (store, _) = Store::open(dir.path()).unwrap();
        let loaded = store.load(Table::Torrents).await.unwrap();
        assert!(loaded.damaged.is_empty());
        let found: BTreeMap<_, _> = loaded.rows.into_iter().collect();
        let mut expected: BTreeMap<Vec<u8>, Vec<u8>> =
            [0, 3, 4].map(|number: u32| (number.to_be_bytes().into(), value(number))).into();
        expected.insert(2_u32.to_be_bytes().into(), b"other".into());
        expected.insert(b"new".into(), Vec::new());
        expected.insert(b"newer".into(), b"first".into());
        assert_eq!(found, expected);
        assert_eq!(store.get(Table::Metainfo, &1_u32.to_be_bytes()).await.unwrap(), Some(value(1)));
        assert_eq!(store.get(Table::Metainfo, b"none").await.unwrap(), None);
    });
}

#[test]
fn many_at_once_are_all_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        let store = std::sync::Arc::new(store);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..1000_u32 {
            let store = store.clone();
            tasks.spawn(async move {
                store.commit(vec![Change::put(Table::Progress, number.to_be_bytes(), value(number))]).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(store.load(Table::Progress).await.unwrap().rows.len(), 1000);
    });
}

#[test]
fn what_is_too_long_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        let put = |key: usize, value: usize| vec![Change::put(Table::Session, vec![1; key], vec![2; value])];
        assert_eq!(store.commit(put(MAX_KEY + 1, 1)).await, Err(CommitError::TooLarge));
        assert_eq!(store.commit(put(1, MAX_VALUE + 1)).await, Err(CommitError::TooLarge));
        store.commit(put(MAX_KEY, MAX_VALUE)).await.unwrap();
        assert_eq!(store.load(Table::Session).await.unwrap().rows.len(), 1);
    });
}

#[test]
fn a_queue_that_is_full_says_so() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        // The thread takes up to a group of them meanwhile; nobody waits for an answer.
        let commits = (0..u32::try_from(MAX_QUEUED * 4).unwrap()).map(|number| {
            store.commit(vec![Change::put(Table::Session, number.to_be_bytes(), vec![0; 100])])
        });
        let mut commits: Vec<_> = commits.map(Box::pin).collect();
        let mut busy = 0;
        for commit in &mut commits {
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
            busy += usize::from(polled == std::task::Poll::Ready(Err(CommitError::Busy)));
        }
        assert!(busy > 0, "as many as that cannot have been written meanwhile");
    });
}

#[test]
fn what_was_refused_is_not_made_later() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        // As long as somebody else writes, nothing is written.
        let other = rusqlite::Connection::open(dir.path().join("session.db")).unwrap();
        other.execute_batch("begin immediate").unwrap();
        let put = vec![Change::put(Table::Session, *b"key", *b"value")];
        store.commit(put).await.unwrap_err();
        other.execute_batch("rollback").unwrap();
        tokio::time::resume();
        store.close().await;
        let (store, _) = Store::open(dir.path()).unwrap();
        assert_eq!(store.get(Table::Session, b"key").await.unwrap(), None);
    });
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(OpenError::InUse(_))));
    block_on(first.0.close());
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn what_is_no_file_is_not_opened() {
    for name in [
        "session.db",
        "session.lock",
        "session.db-wal",
        "session.db-synced",
        "session.db-shm",
        "session.new.db",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        let refused = [Store::open(dir.path()).map(drop), store::look(dir.path(), &[]).map(drop)];
        for error in refused.map(Result::unwrap_err) {
            assert!(matches!(&error, OpenError::NotAFile { path: found, .. } if *found == path), "{error}");
        }
    }
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let path = dir.path().join("session.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 7).unwrap();
    database.execute("update format set format = 7", []).unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("newer rawtorrent"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A database as the first format had it.
fn of_format_1(dir: &Path, count: u32) {
    filled(dir, count);
    let database = rusqlite::Connection::open(dir.join("session.db")).unwrap();
    database
        .execute_batch("drop table blocks; update format set format = 1; pragma user_version = 1")
        .unwrap();
}

#[test]
fn an_older_format_is_kept_and_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    of_format_1(dir.path(), 20);
    for broken_off in [true, false] {
        if broken_off {
            fs::write(dir.path().join("session-format-1.new"), "half a copy").unwrap();
            fs::write(dir.path().join("session-format-1.db"), "of an upgrade that never ended").unwrap();
        }
        block_on(async {
            let wanted = [Table::Torrents, Table::Blocks];
            let (store, opened) = Store::open_and_load(dir.path(), &wanted).unwrap();
            assert_eq!(opened.upgraded.is_some(), broken_off, "once");
            assert_eq!(opened.damaged, None);
            let rows = wanted.map(|table| opened.tables[&table].rows.len());
            assert_eq!(rows, if broken_off { [20, 0] } else { [20, 1] });
            store.commit(vec![Change::put(Table::Blocks, *b"key", *b"value")]).await.unwrap();
            store.close().await;
        });
    }
    // What was kept can be used by the version that wrote it.
    let kept = rusqlite::Connection::open(dir.path().join("session-format-1.db")).unwrap();
    let count = |table| kept.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0));
    let (torrents, format): (i64, i64) = (
        count("torrents").unwrap(),
        kept.query_row("select format from format", [], |row| row.get(0)).unwrap(),
    );
    assert_eq!((torrents, format), (20, 1));
    assert!(count("blocks").is_err());
}

#[test]
fn without_a_copy_nothing_is_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    of_format_1(dir.path(), 1);
    fs::create_dir(dir.path().join("session-format-1.new")).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("session-format-1.db"), "{error}");
    let database = rusqlite::Connection::open(dir.path().join("session.db")).unwrap();
    let format: i64 = database.query_row("select format from format", [], |row| row.get(0)).unwrap();
    assert_eq!(format, 1);
}

#[test]
fn what_is_noted_is_there_again_too() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        store.note(vec![Change::put(Table::Blocks, *b"key", *b"noted")]).await.unwrap();
        assert_eq!(store.get(Table::Blocks, b"key").await.unwrap(), Some(b"noted".to_vec()));
        // As it is when the process is killed: nothing is closed.
        let other = tempfile::tempdir().unwrap();
        for file in ["session.db", "session.db-wal"] {
            fs::copy(dir.path().join(file), other.path().join(file)).unwrap();
        }
        let (after, _) = Store::open(other.path()).unwrap();
        assert_eq!(after.get(Table::Blocks, b"key").await.unwrap(), Some(b"noted".to_vec()));
    });
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Store::open(&dir.path().join("file/state")).unwrap_err();
    assert!(error.to_string().contains("file/state"), "{error}");
}

#[test]
fn an_empty_file_is_no_first_start_where_a_session_was() {
    for (left, hint) in [
        ("session-format-1.db", "session-format-1.db is as old"),
        ("damaged-1.db", "begin anew"),
        ("resume/x.lock", "begin anew"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.db");
        fs::write(&path, "").unwrap();
        block_on(Store::open(dir.path()).unwrap().0.close());
        fs::create_dir(dir.path().join("resume")).unwrap();
        fs::write(dir.path().join(left), "").unwrap();
        block_on(Store::open(dir.path()).unwrap().0.close());
        fs::write(&path, "").unwrap();
        for log in ["session.db-wal", "session.db-shm"] {
            let _ = fs::remove_file(dir.path().join(log));
        }
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(&error, OpenError::Emptied { path: empty, .. } if *empty == path), "{error}");
        assert!(error.to_string().contains(hint), "{error}");
        fs::remove_file(&path).unwrap();
        fs::remove_file(dir.path().join("session.lock")).unwrap();
        block_on(Store::open(dir.path()).unwrap().0.close());
    }
}

/// A folder as a process leaves it that was killed: what was committed is in the log alone.
fn killed() -> tempfile::TempDir {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        store.commit(vec![Change::put(Table::Torrents, *b"key", *b"value")]).await.unwrap();
        for file in ["session.db", "session.db-wal", "session.db-shm"] {
            fs::copy(dir.path().join(file), other.path().join(file)).unwrap();
        }
        store.close().await;
    });
    other
}

fn rows(dir: &Path) -> (Option<std::path::PathBuf>, usize) {
    let (store, opened) = Store::open_and_load(dir, &[Table::Torrents]).unwrap();
    block_on(store.close());
    (opened.damaged, opened.tables[&Table::Torrents].rows.len())
}

#[test]
fn the_log_of_a_database_that_was_emptied_is_read() {
    for is_run in [false, true] {
        let dir = killed();
        if is_run {
            fs::create_dir(dir.path().join("resume")).unwrap();
            fs::write(dir.path().join("resume/x.lock"), "").unwrap();
        }
        fs::write(dir.path().join("session.db"), "").unwrap();
        assert_eq!(rows(dir.path()), (None, 1));
        assert_eq!(rows(dir.path()), (None, 1), "and not only once");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_kept_and_told() {
    let (missing, header, whole) = (killed(), killed(), killed());
    let path = |dir: &tempfile::TempDir, name: &str| dir.path().join(name);
    let log = fs::read(path(&missing, "session.db-wal")).unwrap();
    fs::remove_file(path(&missing, "session.db")).unwrap();
    let mut bad = fs::read(path(&header, "session.db-wal")).unwrap();
    bad[17] ^= 1;
    fs::write(path(&header, "session.db-wal"), &bad).unwrap();
    fs::write(path(&header, "damaged-1.db"), "an earlier one").unwrap();
    for (dir, name, kept) in [(&missing, "damaged-1.db-wal", log), (&header, "damaged-2.db-wal", bad.clone())]
    {
        assert_eq!(rows(dir.path()), (Some(path(dir, name)), 0));
        assert_eq!(fs::read(path(dir, name)).unwrap(), kept);
        assert_eq!(rows(dir.path()), (None, 0), "it is told once");
    }
    assert_eq!(rows(whole.path()), (None, 1));
    // Without a database and with half a log nothing is to be had, and nothing lost.
    let both = killed();
    fs::write(path(&both, "session.db"), "").unwrap();
    fs::write(path(&both, "session.db-wal"), &bad).unwrap();
    assert!(matches!(Store::open(both.path()).unwrap_err(), OpenError::Emptied { .. }));
    assert_eq!(fs::read(path(&both, "damaged-1.db-wal")).unwrap(), bad);
}

/// In a session that is young all is in the log: what is sound of it is saved, and the rest told and kept.
#[test]
fn a_young_log_with_damaged_pages_is_saved_as_far_as_it_goes() {
    let (dir, young) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        for number in 0..40_u32 {
            let put = |table| Change::put(table, number.to_be_bytes(), value(number));
            store
                .commit(vec![put(Table::Torrents), put(Table::Metainfo), put(Table::Progress)])
                .await
                .unwrap();
        }
        for file in ["session.db", "session.db-wal"] {
            fs::copy(dir.path().join(file), young.path().join(file)).unwrap();
        }
    });
    let [database, log] =
        ["session.db", "session.db-wal"].map(|name| fs::read(young.path().join(name)).unwrap());
    assert_eq!(database.len(), 4096, "nothing but the log has it");
    let (header, frame) = (32, 24 + 4096);
    // The head and the bytes of the first pages, a sum, and all pages of the first commit.
    let all_first: Vec<usize> = (0..7).map(|page| header + page * frame + 50).collect();
    for damage in
        [vec![header + 3], vec![header + 100], vec![header + 18], vec![header + frame + 9], all_first]
    {
        let state = tempfile::tempdir().unwrap();
        let mut bad = log.clone();
        damage.iter().for_each(|&at| bad[at] ^= 1);
        fs::write(state.path().join("session.db"), &database).unwrap();
        fs::write(state.path().join("session.db-wal"), &bad).unwrap();
        let wanted = [Table::Torrents, Table::Metainfo, Table::Progress];
        let (store, opened) = Store::open_and_load(state.path(), &wanted).unwrap();
        assert_eq!(opened.damaged, Some(state.path().join("damaged-1.db")), "{damage:?}");
        assert_eq!(fs::read(state.path().join("damaged-1.db-wal")).unwrap(), bad);
        let counts = wanted.map(|table| opened.tables[&table].rows.len());
        assert_eq!(counts, [40, 40, 0], "{damage:?}: what was said of pieces is not believed");
        assert!(
            opened.tables[&Table::Torrents].rows.iter().zip(0..).all(|(row, number)| row.1 == value(number))
        );
        block_on(store.close());
        assert_eq!(rows(state.path()), (None, 40), "it is told once");
        assert!(!state.path().join("session.salvaged.db").exists());
    }
}

/// Five hundred kinds of damage to it: the store opens, and holds nothing but what was written.
#[test]
fn damage_to_a_young_log_is_never_believed() {
    let (dir, young) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        for number in 0..40_u32 {
            let put = |table| Change::put(table, number.to_be_bytes(), value(number));
            store.commit(Table::ALL.map(put).into()).await.unwrap();
        }
        for file in ["session.db", "session.db-wal"] {
            fs::copy(dir.path().join(file), young.path().join(file)).unwrap();
        }
    });
    let [database, log] =
        ["session.db", "session.db-wal"].map(|name| fs::read(young.path().join(name)).unwrap());
    let mut rng = fastrand::Rng::with_seed(8);
    let (mut aside, mut kept) = (0, 0);
    for number in 0..500 {
        let state = tempfile::tempdir().unwrap();
        let mut bytes = log.clone();
        // Mostly at its beginning.
        let at = rng.usize(..if number % 2 == 0 { 8 * 4120 } else { bytes.len() });
        match number % 5 {
            0 => bytes.truncate(at),
            1 => {
                let end = (at + 9000).min(bytes.len());
                rng.fill(&mut bytes[at..end]);
            }
            2 => {
                let end = (at + 5000).min(bytes.len());
                bytes[at..end].fill(0);
            }
            _ => bytes[at] ^= 1 << rng.u32(..8),
        }
        fs::write(state.path().join("session.db"), &database).unwrap();
        fs::write(state.path().join("session.db-wal"), &bytes).unwrap();
        block_on(async {
            let (store, opened) = Store::open(state.path()).unwrap();
            for table in Table::ALL {
                let loaded = store.load(table).await.unwrap();
                for (key, found) in &loaded.rows {
                    let number = u32::from_be_bytes(key[..].try_into().unwrap());
                    assert_eq!(*found, value(number), "{table:?} {number}");
                }
                kept += loaded.rows.len();
            }
            aside += usize::from(opened.damaged.is_some());
            store.commit(vec![Change::put(Table::Session, *b"new\0", *b"x")]).await.unwrap();
            store.close().await;
        });
    }
    println!("put aside {aside} of 500; {kept} of {} rows kept", 500 * 200);
    assert!(aside > 100 && kept > 500 * 200 / 4, "{aside} put aside, {kept} kept");
}

/// And of a young session whose log was emptied nothing is left: that is no first start.
#[test]
fn an_emptied_log_of_a_young_session_is_told() {
    for (left, has_run) in [(0, true), (32, true), (32 + 3 * (24 + 4096), true), (0, false)] {
        let dir = killed();
        let log = dir.path().join("session.db-wal");
        fs::File::options().write(true).open(&log).unwrap().set_len(left).unwrap();
        if has_run {
            fs::create_dir(dir.path().join("resume")).unwrap();
            fs::write(dir.path().join("resume/x.lock"), "").unwrap();
            assert!(matches!(Store::open(dir.path()).unwrap_err(), OpenError::Emptied { .. }), "{left}");
        } else {
            assert_eq!(rows(dir.path()), (None, 0), "as a first start that was broken off leaves it");
        }
    }
}

#[test]
fn a_flipped_format_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let database = rusqlite::Connection::open(dir.path().join("session.db")).unwrap();
    database.pragma_update(None, "user_version", 3).unwrap();
    drop(database);
    block_on(async {
        let (store, opened) = Store::open(dir.path()).unwrap();
        assert!(opened.damaged.is_some());
        assert_eq!(store.load(Table::Torrents).await.unwrap().rows.len(), 3);
    });
}

/// Whatever a rescue has come to when it ends: the next one finds all of it.
#[test]
fn a_rescue_that_was_broken_off_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 30);
    let path = dir.path().join("session.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let whole = |state: &Path, name: &str| {
        let rescued = tempfile::tempdir().unwrap();
        fs::write(rescued.path().join("session.db"), &bytes).unwrap();
        Store::open(rescued.path()).unwrap();
        fs::copy(rescued.path().join("session.db"), state.join(name)).unwrap();
    };
    // Names that are there when it ends, beside the damaged one; whether that one was put aside already.
    let ends: [(&[&str], bool); 6] = [
        (&["session.new.db", "session.new.db-wal"], false),
        (&["session.rescued.db"], false),
        (&["session.rescued.db", "session.db-wal"], false),
        (&["session.rescued.db", "damaged-1.db"], false),
        (&["session.rescued.db", "damaged-1.db"], true),
        (&["damaged-1.db"], false),
    ];
    for (names, renamed) in ends {
        let state = tempfile::tempdir().unwrap();
        let database = state.path().join("session.db");
        fs::write(&database, &bytes).unwrap();
        for name in names {
            match *name {
                "session.rescued.db" => whole(state.path(), name),
                "damaged-1.db" if renamed => fs::rename(&database, state.path().join(name)).unwrap(),
                "damaged-1.db" => fs::hard_link(&database, state.path().join(name)).unwrap(),
                _ => fs::write(state.path().join(name), "half of one").unwrap(),
            }
        }
        let (store, opened) = Store::open_and_load(state.path(), &Table::ALL).unwrap();
        let aside = opened.damaged.unwrap_or_else(|| panic!("{names:?}: nothing is told"));
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{names:?}");
        assert_eq!(aside, state.path().join("damaged-1.db"));
        assert!(opened.tables.values().all(|table| table.rows.len() == 30), "{names:?}");
        block_on(store.close());
        let mut left: Vec<_> =
            fs::read_dir(state.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        left.retain(|name| name.to_string_lossy().ends_with(".db"));
        assert_eq!(left, ["damaged-1.db", "session.db"], "{names:?}");
    }
}

/// The same of one that is written anew since its disk failed.
#[test]
fn a_database_written_anew_counts_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let database = dir.path().join("session.db");
    let whole = fs::read(&database).unwrap();
    let damaged: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
    fs::write(&database, damaged).unwrap();
    fs::write(dir.path().join("session.db-wal"), "a log that is not its own").unwrap();
    fs::write(dir.path().join("session.rewritten.db"), whole).unwrap();
    let (_store, opened) = Store::open_and_load(dir.path(), &Table::ALL).unwrap();
    assert_eq!(opened.damaged, None);
    assert!(opened.tables.values().all(|table| table.rows.len() == 3));
    assert!(!dir.path().join("session.rewritten.db").exists());
}

/// Five hundred kinds of damage: the store opens, never panics, and holds nothing but what was written.
#[test]
fn damage_is_told_and_never_believed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 400);
    let good = fs::read(dir.path().join("session.db")).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut whole, mut aside, mut kept) = (0, 0, 0);
    for number in 0..500 {
        let state = dir.path().join(format!("state{number}"));
        fs::create_dir(&state).unwrap();
        let mut bytes = good.clone();
        let at = rng.usize(..bytes.len());
        match number % 5 {
            0 => bytes.truncate(at),
            1 => {
                let end = (at + 4096).min(bytes.len());
                bytes[at..end].fill(0);
            }
            2 => rng.fill(&mut bytes[..at.min(4096)]),
            _ => bytes[at] ^= 1 << rng.u32(..8),
        }
        fs::write(state.join("session.db"), &bytes).unwrap();
        block_on(async {
            let (store, opened) = Store::open(&state).unwrap();
            let (mut rows, mut damaged) = (0, 0);
            for table in Table::ALL {
                let loaded = store.load(table).await.unwrap();
                for (key, found) in &loaded.rows {
                    let number = u32::from_be_bytes(key[..].try_into().unwrap());
                    assert_eq!(*found, value(number), "{table:?} {number}");
                }
                rows += loaded.rows.len();
                damaged += loaded.damaged.len();
            }
            whole += usize::from(rows == 2000);
            kept += rows;
            aside += usize::from(opened.damaged.is_some());
            if let Some(aside) = &opened.damaged {
                assert!(aside.exists() && *aside != state.join("session.db"));
            } else if rows + damaged < 2000 {
                panic!("{number}: {rows} rows and {damaged} damaged ones, and nothing is told");
            }
            // It can be used, whatever was wrong.
            store.commit(vec![Change::put(Table::Session, *b"new\0", *b"x")]).await.unwrap();
            store.close().await;
        });
        fs::remove_dir_all(&state).unwrap();
    }
    println!("whole {whole}, put aside {aside} of 500; {kept} of {} rows kept", 500 * 2000);
    assert!(whole > 10 && aside > 100, "{whole} whole, {aside} put aside");
    assert!(kept > 500 * 2000 / 2, "{kept}");
}
