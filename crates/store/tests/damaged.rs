//! Damage to a database and its log, of each kind: all that was acknowledged is there, or it is told that there is damage. What
//! the power leaves of a log that was not synced yet is none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use store::{Change, CommitError, OpenError, Opened, Store, Table};

/// Of the head of a log, of a page in it with its own head, and of a page.
const HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;
const PAGE: usize = 4096;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn value(number: u32) -> Vec<u8> {
    (0..300 + number % 50).map(|at| u8::try_from((at * 31 + number * 7) % 256).unwrap()).collect()
}

fn put(table: Table, number: u32) -> Change {
    Change::put(table, number.to_be_bytes(), value(number))
}

/// What a process left that was killed.
#[derive(Clone)]
struct Left {
    database: Vec<u8>,
    log: Vec<u8>,
    synced: Vec<u8>,
}

impl Left {
    fn of(dir: &Path) -> Left {
        let read = |name: &str| fs::read(dir.join(name)).unwrap();
        Left { database: read("session.db"), log: read("session.db-wal"), synced: read("session.db-synced") }
    }

    fn write(&self, dir: &Path) {
        for (name, bytes) in [
            ("session.db", &self.database),
            ("session.db-wal", &self.log),
            ("session.db-synced", &self.synced),
        ] {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }

    fn frames(&self) -> usize {
        (self.log.len() - HEADER) / FRAME
    }
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn opened(dir: &Path) -> (Opened, Rows) {
    let (store, mut opened) = Store::open_and_load(dir, &Table::ALL).unwrap();
    block_on(store.close());
    let tables = std::mem::take(&mut opened.tables);
    let rows = tables.iter().flat_map(|(&table, loaded)| {
        loaded.rows.iter().map(move |(key, value)| ((table, key.clone()), value.clone()))
    });
    let rows: Rows = rows.collect();
    opened.tables = tables;
    (opened, rows)
}

fn count(rows: &Rows, table: Table) -> usize {
    rows.keys().filter(|(of, _)| *of == table).count()
}

/// `before` rows of each table in the database's file, and a commit for each of `after` rows in the log.
fn killed(before: u32, after: u32) -> (Left, Rows) {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        if before > 0 {
            let rows =
                Table::ALL.into_iter().flat_map(|table| (0..before).map(move |number| put(table, number)));
            store.commit(rows.collect()).await.unwrap();
        }
        store.close().await;
    });
    let left = block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        for number in before..before + after {
            store.commit(Table::ALL.map(|table| put(table, number)).into()).await.unwrap();
        }
        Left::of(dir.path())
    });
    let copy = tempfile::tempdir().unwrap();
    left.write(copy.path());
    let (opened, rows) = opened(copy.path());
    assert_eq!((opened.damaged, rows.len()), (None, (before + after) as usize * 5));
    (left, rows)
}

#[test]
fn a_log_that_is_damaged_in_its_middle_is_told_and_read_behind_that() {
    let (left, _) = killed(30, 20);
    for damage in [100, 8, 17] {
        let state = tempfile::tempdir().unwrap();
        let mut bad = left.clone();
        bad.log[HEADER + left.frames() / 2 * FRAME + damage] ^= 1;
        bad.write(state.path());
        let (told, rows) = opened(state.path());
        assert_eq!(told.damaged, Some(state.path().join("damaged-1.db")), "{damage}");
        assert_eq!(fs::read(state.path().join("damaged-1.db-wal")).unwrap(), bad.log);
        let progress = count(&rows, Table::Progress);
        assert!(count(&rows, Table::Torrents) >= 49, "{}", count(&rows, Table::Torrents));
        assert!(
            (31..50).contains(&progress),
            "of pieces that is believed which was there before: {progress}"
        );
        assert!(
            rows.iter().all(|((_, key), found)| {
                *found == value(u32::from_be_bytes(key[..].try_into().unwrap()))
            })
        );
        assert_eq!(opened(state.path()).0.damaged, None, "it is told once");
    }
}

#[test]
fn what_is_said_later_of_a_torrent_counts_and_its_pieces_are_not_believed() {
    let (left, dir) = (killed(5, 1).0, tempfile::tempdir().unwrap());
    left.write(dir.path());
    let after = block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        store.commit(vec![put(Table::Session, 90)]).await.unwrap();
        let other = Change::put(Table::Torrents, 2_u32.to_be_bytes(), value(70));
        store
            .commit(vec![other, Change::put(Table::Progress, 3_u32.to_be_bytes(), value(71))])
            .await
            .unwrap();
        store.commit(vec![put(Table::Session, 91)]).await.unwrap();
        Left::of(dir.path())
    });
    let state = tempfile::tempdir().unwrap();
    let mut bad = after;
    bad.log[left.log.len() + 100] ^= 1;
    bad.write(state.path());
    let (told, rows) = opened(state.path());
    assert!(told.damaged.is_some());
    let of = |table, number: u32| rows.get(&(table, number.to_be_bytes().to_vec())).cloned();
    assert_eq!((of(Table::Torrents, 2), of(Table::Progress, 2)), (Some(value(70)), None));
    assert_eq!((of(Table::Torrents, 3), of(Table::Progress, 3)), (Some(value(3)), Some(value(71))));
    assert_eq!((of(Table::Torrents, 1), of(Table::Progress, 1)), (Some(value(1)), Some(value(1))));
}

/// What was not synced is torn and lost in any order when the power goes: that is no damage, and takes nothing along.
#[test]
fn what_the_power_leaves_of_a_log_is_no_damage() {
    let (left, rows) = killed(10, 5);
    let dir = tempfile::tempdir().unwrap();
    left.write(dir.path());
    let noted = block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        for number in 0..30 {
            store.note(vec![put(Table::Blocks, 100 + number)]).await.unwrap();
        }
        Left::of(dir.path())
    });
    assert_eq!(noted.synced, left.synced);
    let mut rng = fastrand::Rng::with_seed(3);
    for number in 0..60 {
        let mut cut = noted.clone();
        for _ in 0..=number % 5 {
            let at = rng.usize(left.log.len()..cut.log.len());
            match number % 3 {
                0 => cut.log.truncate(at + 1),
                1 => cut.log[at..].iter_mut().take(PAGE).for_each(|byte| *byte = 0),
                _ => cut.log[at] ^= 1,
            }
        }
        if number % 4 == 0 {
            // What was told after the sync need not have come to the disk.
            cut.synced.fill(0);
        }
        let state = tempfile::tempdir().unwrap();
        cut.write(state.path());
        let (store, told) = Store::open_and_load(state.path(), &Table::ALL).unwrap();
        assert_eq!(told.damaged, None, "{number}");
        let log = fs::metadata(state.path().join("session.db-wal")).unwrap().len();
        assert!(number % 3 == 0 || log < cut.log.len() as u64, "{number}: what is not read is cut off");
        // What lies behind what is committed then is no damage either.
        block_on(store.commit(vec![put(Table::Session, 200)])).unwrap();
        let again = tempfile::tempdir().unwrap();
        Left::of(state.path()).write(again.path());
        let (told, found) = opened(again.path());
        assert_eq!(told.damaged, None, "{number}");
        assert!(rows.iter().all(|(key, value)| found.get(key) == Some(value)), "{number}");
        assert_eq!(count(&found, Table::Session), 16);
    }
}

/// A version that told nothing of its log has left it.
#[test]
fn damage_is_told_of_a_log_that_is_older_than_its_mark() {
    let (mut left, _) = killed(30, 20);
    left.synced.clear();
    let state = tempfile::tempdir().unwrap();
    left.write(state.path());
    let mut bad = block_on(async {
        let (_store, opened) = Store::open(state.path()).unwrap();
        assert_eq!(opened.damaged, None);
        Left::of(state.path())
    });
    let frames = bad.frames();
    bad.log[HEADER + (frames - 1) * FRAME + 100] ^= 1;
    let state = tempfile::tempdir().unwrap();
    bad.write(state.path());
    assert!(opened(state.path()).0.damaged.is_some());
}

/// Once it is in the database's file, a log is begun anew: what the power makes of that is no damage.
#[test]
fn a_log_that_is_begun_anew_takes_back_what_was_told_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let cut = block_on(async {
        let (store, _) = Store::open(dir.path()).unwrap();
        for number in 0..2 {
            store.commit(vec![Change::put(Table::Session, [number], vec![7; 700 * PAGE])]).await.unwrap();
        }
        let folded = Left::of(dir.path());
        assert!(folded.database.len() > 700 * PAGE && folded.synced.iter().any(|&byte| byte > 0));
        store.note(vec![put(Table::Session, 1)]).await.unwrap();
        let anew = Left::of(dir.path());
        assert_ne!(anew.log[16..24], folded.log[16..24]);
        assert!(anew.synced.iter().all(|&byte| byte == 0));
        store.close().await;
        let mut cut = anew;
        cut.log[..HEADER].copy_from_slice(&folded.log[..HEADER]);
        cut
    });
    let state = tempfile::tempdir().unwrap();
    cut.write(state.path());
    let (told, rows) = opened(state.path());
    assert_eq!((told.damaged, rows.len()), (None, 2));
    assert!(fs::read(dir.path().join("session.db-synced")).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn a_database_that_was_cut_off_is_read_as_far_as_it_goes() {
    let (left, _) = killed(400, 1);
    let pages = left.database.len() / PAGE;
    for (kept, log) in [(pages / 2, true), (pages / 2, false), (pages / 4, false)] {
        let state = tempfile::tempdir().unwrap();
        let mut bad = left.clone();
        bad.database.truncate(kept * PAGE);
        bad.write(state.path());
        if !log {
            fs::remove_file(state.path().join("session.db-wal")).unwrap();
            fs::remove_file(state.path().join("session.db-synced")).unwrap();
        }
        let (told, rows) = opened(state.path());
        assert!(told.damaged.is_some(), "{kept} of {pages}");
        assert!(rows.len() > 2005 * kept / pages / 2, "{kept} of {pages}: {}", rows.len());
    }
    // Without the first page nothing says where tables begin, but they begin where they always do.
    let state = tempfile::tempdir().unwrap();
    let mut bad = left;
    bad.database[..PAGE].fill(0);
    bad.write(state.path());
    fs::remove_file(state.path().join("session.db-wal")).unwrap();
    fs::remove_file(state.path().join("session.db-synced")).unwrap();
    let (told, rows) = opened(state.path());
    assert!(told.damaged.is_some() && rows.len() > 1900, "{}", rows.len());
}

/// Five hundred kinds of damage.
#[test]
fn nothing_is_lost_without_a_word() {
    let folded = || {
        let dir = tempfile::tempdir().unwrap();
        killed(100, 5).0.write(dir.path());
        let left = block_on(async {
            let (store, _) = Store::open(dir.path()).unwrap();
            let large = vec![7; 1100 * PAGE];
            store.commit(vec![Change::put(Table::Session, *b"size", large)]).await.unwrap();
            store.commit(vec![Change::remove(Table::Session, *b"size")]).await.unwrap();
            Left::of(dir.path())
        });
        let copy = tempfile::tempdir().unwrap();
        left.write(copy.path());
        let rows = opened(copy.path()).1;
        (left, rows)
    };
    let bases = [killed(0, 40), killed(200, 30), folded()];
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut told, mut silent) = (0, 0);
    for number in 0..500 {
        let (left, rows) = &bases[number % 3];
        let mut bad = left.clone();
        let page = rng.usize(..bad.database.len() / PAGE);
        let frame = rng.usize(..bad.frames());
        let kind = number / 3 % 10;
        match kind {
            0 => bad.database.truncate(rng.usize(1..left.database.len())),
            1 => bad.database.truncate(PAGE * page.max(1)),
            2 => bad.database[page * PAGE..][..PAGE].fill(0),
            3 => bad.database[rng.usize(..left.database.len())] ^= 1 << rng.u32(..8),
            // A page says that it has less than it had.
            4 => bad.database[page * PAGE + if page == 0 { 104 } else { 4 }] /= 2,
            5 => bad.log.truncate(rng.usize(..left.log.len())),
            6 => bad.log.truncate(HEADER + frame * FRAME),
            7 => bad.log[HEADER + frame * FRAME..][..FRAME].fill(0),
            8 => bad.log[HEADER..][rng.usize(..left.log.len() - HEADER)] ^= 1 << rng.u32(..8),
            _ => {
                let at = rng.usize(..left.log.len() - PAGE);
                rng.fill(&mut bad.log[at..at + PAGE]);
            }
        }
        let state = tempfile::tempdir().unwrap();
        bad.write(state.path());
        let (opened, found) = opened(state.path());
        for (key, value) in &found {
            assert_eq!(rows.get(key), Some(value), "{number}, kind {kind}: what was never written");
        }
        let is_told =
            opened.damaged.is_some() || opened.tables.values().any(|loaded| !loaded.damaged.is_empty());
        assert!(is_told || found == *rows, "{number}, kind {kind}: {} of {}", found.len(), rows.len());
        told += usize::from(is_told);
        silent += usize::from(!is_told);
    }
    println!("told {told}, whole and not told {silent}");
    assert!(told > 200, "{told}");
}

#[test]
fn looking_changes_nothing() {
    let (left, rows) = killed(20, 10);
    let (state, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(store::look(none.path(), &Table::ALL).unwrap(), None);
    assert_eq!(fs::read_dir(none.path()).unwrap().count(), 0);
    let mut bad = left.clone();
    bad.log[HEADER + 3 * FRAME + 50] ^= 1;
    for (left, damaged) in [(left, None), (bad, Some(state.path().join("session.db")))] {
        left.write(state.path());
        let seen = store::look(state.path(), &Table::ALL).unwrap().unwrap();
        assert_eq!(seen.damaged, damaged);
        let found: usize = seen.tables.values().map(|loaded| loaded.rows.len()).sum();
        assert!(found == rows.len() || damaged.is_some() && found > rows.len() / 2, "{found}");
        assert_eq!(Left::of(state.path()).log, left.log);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 3);
    }
    // Whoever begins next is told.
    assert!(opened(state.path()).0.damaged.is_some());
    fs::write(state.path().join("session.db"), "").unwrap();
    let error = store::look(state.path(), &Table::ALL).unwrap_err();
    assert!(
        matches!(&error, OpenError::Emptied { path, .. } if *path == state.path().join("session.db")),
        "{error}"
    );
    let held = Store::open(none.path()).unwrap();
    assert!(matches!(store::look(none.path(), &[]), Err(OpenError::InUse(_))));
    drop(held);
}

#[test]
fn a_missing_database_is_no_first_start_where_one_was() {
    let dir = tempfile::tempdir().unwrap();
    block_on(Store::open(dir.path()).unwrap().0.close());
    fs::remove_file(dir.path().join("session.db")).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Emptied { is_missing: true, .. }), "{error}");
    assert!(error.to_string().contains("remove session.lock beside it to begin anew"), "{error}");
    assert!(matches!(store::look(dir.path(), &[]), Err(OpenError::Emptied { is_missing: true, .. })));
    fs::remove_file(dir.path().join("session.lock")).unwrap();
    block_on(Store::open(dir.path()).unwrap().0.close());
    // Commands that keep no session have files there too.
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("resume")).unwrap();
    fs::write(other.path().join("resume/x.lock"), "").unwrap();
    block_on(Store::open(other.path()).unwrap().0.close());
}

#[test]
fn nothing_is_acknowledged_that_goes_to_a_file_without_a_name() {
    for gone in ["", "session.db", "session.db-wal"] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        block_on(async {
            let (store, _) = Store::open(&dir).unwrap();
            store.commit(vec![put(Table::Session, 1)]).await.unwrap();
            match gone {
                "" => fs::remove_dir_all(&dir).unwrap(),
                name => fs::remove_file(dir.join(name)).unwrap(),
            }
            for _ in 0..2 {
                let refused = store.commit(vec![put(Table::Session, 2)]).await.unwrap_err();
                assert!(
                    matches!(&refused, CommitError::Failed(why) if why.contains("restart rawtorrent")),
                    "{refused}"
                );
            }
            store.note(vec![put(Table::Session, 2)]).await.unwrap_err();
            // Another one begins there: this one harms nothing of it.
            if gone.is_empty() {
                let (other, _) = Store::open(&dir).unwrap();
                other.commit(vec![put(Table::Session, 3)]).await.unwrap();
                store.commit(vec![put(Table::Session, 2)]).await.unwrap_err();
                store.close().await;
                other.commit(vec![put(Table::Session, 4)]).await.unwrap();
                other.close().await;
            }
        });
        if gone.is_empty() {
            assert_eq!(opened(&dir).1.len(), 2);
        }
    }
}

#[test]
fn a_newer_format_whose_log_is_damaged_is_refused_and_left_alone() {
    let (mut left, dir) = (killed(30, 20).0, tempfile::tempdir().unwrap());
    let middle = HEADER + left.frames() / 2 * FRAME;
    left.log[middle + 100] ^= 1;
    let path = dir.path().join("session.db");
    fs::write(&path, &left.database).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("pragma user_version = 7; update format set format = 7").unwrap();
    drop(database);
    left.database = fs::read(&path).unwrap();
    left.write(dir.path());
    for _ in 0..2 {
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error}");
        let now = Left::of(dir.path());
        assert!(now.database == left.database && now.log == left.log && now.synced == left.synced);
    }
}
