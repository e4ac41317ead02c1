//! Where the bytes of records and notes are kept: in files, for those who run a torrent now and then, or in rows of a
//! session's store.

use crate::Error;
use crate::resume::state_error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Change, Store, Table};

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Durable when it is written.
    Record,
    /// Survives the end of the process, but not always that of the system.
    Note,
}

#[derive(Debug)]
pub(super) enum Shelf {
    Files(Files),
    Rows(Box<Rows>),
}

/// Two files, whose names but for their extensions are this.
#[derive(Clone, Debug)]
pub(super) struct Files(pub(super) Arc<Path>);

/// Two rows.
#[derive(Debug)]
pub(super) struct Rows {
    store: Arc<Store>,
    key: Vec<u8>,
    /// What was kept in files before the torrent came to the session: read until there are rows, which take their place.
    before: Files,
    is_before_gone: AtomicBool,
}

impl Shelf {
    /// What is kept; none if nothing is.
    pub(super) async fn read(&self, what: What) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Shelf::Files(files) => files.on_thread(move |files| files.read(what)).await,
            Shelf::Rows(rows) => {
                match rows.store.get(what.table(), &rows.key).await.map_err(Error::unsaved)? {
                    Some(row) => Ok(Some(row)),
                    None => rows.before.on_thread(move |files| files.read(what)).await,
                }
            }
        }
    }

    /// Replaces what is kept.
    pub(super) async fn write(&self, what: What, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Shelf::Files(files) => files.on_thread(move |files| files.write(what, &bytes)).await?,
            Shelf::Rows(rows) => rows.write(what, bytes).await,
        }
    }

    /// Nothing is kept any more.
    pub(super) async fn clear(&self) {
        let removed = match self {
            Shelf::Files(files) => files.on_thread(Files::remove).await,
            Shelf::Rows(rows) => {
                let gone =
                    [What::Note, What::Record].map(|what| Change::remove(what.table(), rows.key.clone()));
                rows.store.commit(gone.into()).await.map_err(Error::unsaved)
            }
        };
        // What stays is checked before it is believed.
        let _ = removed;
    }
}

impl Rows {
    pub(super) fn new(store: Arc<Store>, key: Vec<u8>, before: Files) -> Rows {
        Rows { store, key, before, is_before_gone: AtomicBool::new(false) }
    }

    async fn write(&self, what: What, bytes: Vec<u8>) -> Result<(), Error> {
        let change = vec![Change::put(what.table(), self.key.clone(), bytes)];
        match what {
            What::Note => self.store.note(change).await.map_err(Error::unsaved),
            What::Record => {
                self.store.commit(change).await.map_err(Error::unsaved)?;
                if !self.is_before_gone.swap(true, Ordering::Relaxed) {
                    self.before.on_thread(Files::remove).await?;
                }
                Ok(())
            }
        }
    }
}

impl Files {
    /// Does something with them on a thread that may block.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let files = self.clone();
        tokio::task::spawn_blocking(move || work(&files)).await.map_err(|_| Error::ShutDown)
    }

    fn path(&self, what: What) -> PathBuf {
        self.0.with_extension(what.extension())
    }

    fn read(&self, what: What) -> Option<Vec<u8>> {
        fs::read(self.path(what)).ok()
    }

    fn write(&self, what: What, bytes: &[u8]) -> Result<(), Error> {
        let (path, is_durable) = (self.path(what), what == What::Record);
        let replace = || -> io::Result<()> {
            let new = path.with_extension(if is_durable { "resume-new" } else { "blocks-new" });
            let mut file = File::create(&new)?;
            file.write_all(bytes)?;
            if is_durable {
                file.sync_all()?;
            }
            fs::rename(&new, &path)?;
            let folder = path.parent().filter(|_| is_durable);
            folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        replace().map_err(state_error(&path))
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_file(self.path(What::Note));
        let _ = fs::remove_file(self.path(What::Record));
    }
}

impl What {
    pub(super) fn extension(self) -> &'static str {
        match self {
            What::Record => "resume",
            What::Note => "blocks",
        }
    }

    fn table(self) -> Table {
        match self {
            What::Record => Table::Progress,
            What::Note => Table::Blocks,
        }
    }
}
