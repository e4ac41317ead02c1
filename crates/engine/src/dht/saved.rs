//! The nodes that one run leaves to the next.

use crate::Error;
use crate::driver::blocking;
use crate::kept::InStore;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Change, Table};

/// The longest saved table that is read, in bytes: far more than a full one.
const MAX_LEN: u64 = 256 << 10;
/// A run that met fewer nodes leaves alone what an earlier one left.
const FEW_NODES: usize = 16;

/// Where a table is kept, and that nobody else keeps one there: two nodes must not have one id.
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    /// A session's: its row takes the file's place.
    kept: Option<InStore>,
    _lock: File,
}

/// The row's name.
const KEY: &[u8] = b"dht nodes";

impl Saved {
    /// The place in this folder, which need not exist yet; none if another process has it, or there can be none.
    pub(super) fn open(state_dir: &Path, kept: Option<InStore>) -> Option<Arc<Saved>> {
        fs::create_dir_all(state_dir).ok()?;
        let lock = File::create(state_dir.join("dht.lock")).ok()?;
        lock.try_lock().ok()?;
        Some(Saved { path: state_dir.join("dht.nodes"), kept, _lock: lock }.into())
    }

    /// What the last run kept.
    pub(super) fn load(&self) -> Option<Vec<u8>> {
        let mut rows = self.kept.iter().flat_map(|kept| &kept.rows);
        if let Some((_, table)) = rows.find(|(key, _)| key == KEY) {
            return Some(table.clone());
        }
        let len = fs::metadata(&self.path).ok().filter(fs::Metadata::is_file)?.len();
        if len > MAX_LEN { None } else { fs::read(&self.path).ok() }
    }

    /// Keeps a table of so many nodes, all of it or nothing.
    pub(super) async fn keep(self: Arc<Self>, table: Vec<u8>, nodes: usize) -> Result<(), Error> {
        let is_poor = nodes < FEW_NODES;
        let Some(kept) = &self.kept else {
            let write = move || if is_poor && self.load().is_some() { Ok(()) } else { self.write(&table) };
            return blocking(write).await;
        };
        // This run may have kept more since it began.
        let row = kept.store.get(Table::Session, KEY);
        if is_poor && (self.load().is_some() || row.await.map_err(Error::unsaved)?.is_some()) {
            return Ok(());
        }
        kept.store.commit(vec![Change::put(Table::Session, KEY, table)]).await.map_err(Error::unsaved)
    }

    fn write(&self, table: &[u8]) -> Result<(), Error> {
        let new = self.path.with_extension("new");
        let written = fs::write(&new, table).and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|err: io::Error| Error::State { path: self.path.clone(), reason: err.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_engine_keeps_its_table_and_a_short_run_spoils_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path().join("state");
            let saved = Saved::open(&state, None).unwrap();
            assert_eq!(saved.load(), None);
            assert!(Saved::open(&state, None).is_none(), "another has it");
            for (table, nodes) in [("few", 1), ("many", 200), ("none", 0)] {
                saved.clone().keep(table.into(), nodes).await.unwrap();
            }
            assert_eq!(saved.load().as_deref(), Some(&b"many"[..]));
            drop(saved);

            let store = Arc::new(store::Store::open(&state).unwrap().0);
            let mut kept = InStore { store: store.clone(), rows: Vec::new() };
            let saved = Saved::open(&state, Some(kept.clone())).unwrap();
            assert_eq!(saved.load().as_deref(), Some(&b"many"[..]), "of a run without a session");
            saved.keep(b"more".into(), 200).await.unwrap();
            kept.rows = store.load(Table::Session).await.unwrap().rows;
            let saved = Saved::open(&state, Some(kept)).unwrap();
            assert_eq!(saved.load().as_deref(), Some(&b"more"[..]));
        });
    }

    #[tokio::test]
    async fn what_the_same_run_kept_is_not_spoiled_either() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(store::Store::open(dir.path()).unwrap().0);
        let kept = InStore { store: store.clone(), rows: Vec::new() };
        let saved = Saved::open(dir.path(), Some(kept)).unwrap();
        saved.clone().keep(b"many".into(), 200).await.unwrap();
        saved.keep(b"none".into(), 0).await.unwrap();
        assert_eq!(store.get(Table::Session, KEY).await.unwrap().as_deref(), Some(&b"many"[..]));
    }

    #[test]
    fn a_table_that_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let saved = Saved::open(dir.path(), None).unwrap();
        let file = File::create(dir.path().join("dht.nodes")).unwrap();
        for (len, is_read) in [(MAX_LEN, true), (MAX_LEN + 1, false)] {
            file.set_len(len).unwrap();
            assert_eq!(saved.load().is_some(), is_read);
        }
    }
}
