//! The parts file: bytes of unwanted files that share a piece with wanted ones.
//!
//! Such bytes are needed to hash the piece and to upload it, but must not create the unwanted file. The parts
//! file has a *slot* of one piece length for each piece that has any, and a table that says which piece has
//! which slot:
//!
//! ```text
//! 0    "rawtorrent parts 1", padded with zeros to 24 bytes
//! 24   piece count, piece length: two u32, big-endian
//! 32   for each piece one u32, big-endian: its slot + 1, or 0
//! ...  zeros up to a multiple of 4096, then the slots
//! ```

use crate::Error;
use crate::handles::{FileKey, Handle, Handles, PARTS};
use crate::os::Os;
use crate::pool::lock;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use types::{Lengths, PieceIndex};

const MAGIC: &[u8; 24] = b"rawtorrent parts 1\0\0\0\0\0\0";
const TABLE_AT: u64 = 32;
const SLOTS_ALIGNED_TO: u64 = 4096;

/// The parts file of one torrent. It is created with its first slot.
pub(crate) struct Parts {
    path: PathBuf,
    key: FileKey,
    lengths: Lengths,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    of_piece: BTreeMap<u32, u32>,
    used: BTreeSet<u32>,
    /// No slot below this one is free.
    first_free: u32,
    /// Whether a file with a good header is there.
    created: bool,
}

impl Parts {
    /// Reads the table of an earlier run. A file that is not one of ours for this torrent counts as empty:
    /// what it should have held is then missing, and is downloaded again.
    pub(crate) fn open(os: &Os, path: PathBuf, torrent: u64, lengths: Lengths) -> Parts {
        let slots = read_slots(os, &path, lengths).unwrap_or_default();
        Parts { path, key: (torrent, PARTS), lengths, slots: Mutex::new(slots) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a piece's slot starts in the file, if it has one.
    pub(crate) fn slot(&self, piece: PieceIndex) -> Option<u64> {
        lock(&self.slots).of_piece.get(&piece.get()).map(|&slot| self.slot_at(slot))
    }

    /// The pieces that have a slot.
    pub(crate) fn pieces(&self) -> Vec<PieceIndex> {
        lock(&self.slots).of_piece.keys().map(|&piece| PieceIndex::new(piece)).collect()
    }

    /// A piece's slot, which it is given if it has none. Says whether the file was created.
    pub(crate) fn give_slot(
        &self,
        os: &Os,
        handles: &Handles,
        piece: PieceIndex,
    ) -> Result<(u64, bool), Error> {
        let mut slots = lock(&self.slots);
        if let Some(&slot) = slots.of_piece.get(&piece.get()) {
            return Ok((self.slot_at(slot), false));
        }
        let create = !slots.created;
        if create {
            self.create(os, handles)?;
            slots.created = true;
        }
        let slot =
            (slots.first_free..).find(|slot| !slots.used.contains(slot)).expect("fewer slots than pieces");
        self.write_entry(os, handles, piece, slot + 1)?;
        slots.first_free = slot + 1;
        slots.used.insert(slot);
        slots.of_piece.insert(piece.get(), slot);
        Ok((self.slot_at(slot), create))
    }

    /// Takes the slots of `pieces` away, and the file with the last of them.
    pub(crate) fn free(&self, os: &Os, handles: &Handles, pieces: &[PieceIndex]) -> Result<(), Error> {
        let mut slots = lock(&self.slots);
        for &piece in pieces {
            if let Some(slot) = slots.of_piece.remove(&piece.get()) {
                slots.used.remove(&slot);
                slots.first_free = slots.first_free.min(slot);
                self.write_entry(os, handles, piece, 0)?;
            }
        }
        if slots.of_piece.is_empty() && slots.created {
            handles.forget(|key| *key == self.key);
            std::fs::remove_file(&self.path).map_err(|e| Error::io("remove", &self.path, &e))?;
            slots.created = false;
        }
        Ok(())
    }

    pub(crate) fn handle(&self, handles: &Handles) -> Result<Arc<Handle>, Error> {
        handles.get(self.key, true, || {
            let file = OpenOptions::new().read(true).write(true).open(&self.path);
            file.map(OwnedFd::from).map_err(|e| Error::io("open", &self.path, &e))
        })
    }

    fn create(&self, os: &Os, handles: &Handles) -> Result<(), Error> {
        let failed = |e: std::io::Error| Error::io("create", &self.path, &e);
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        let fd = OwnedFd::from(options.open(&self.path).map_err(failed)?);
        let mut header = MAGIC.to_vec();
        header.extend(self.lengths.piece_count().to_be_bytes());
        header.extend(self.lengths.piece_length().to_be_bytes());
        let written = os.write_all(&fd, &mut [IoSlice::new(&header)], 0);
        // The table is a hole: no piece has a slot.
        written
            .and_then(|()| os.set_len(&fd, self.slot_at(0)))
            .map_err(|e| Error::os("write", &self.path, e))?;
        handles.keep(self.key, &Arc::new(Handle { fd, writable: true }));
        Ok(())
    }

    fn write_entry(&self, os: &Os, handles: &Handles, piece: PieceIndex, entry: u32) -> Result<(), Error> {
        let at = TABLE_AT + 4 * u64::from(piece.get());
        os.write_all(&self.handle(handles)?.fd, &mut [IoSlice::new(&entry.to_be_bytes())], at)
            .map_err(|e| Error::os("write", &self.path, e))
    }

    fn slot_at(&self, slot: u32) -> u64 {
        let table_ends = TABLE_AT + 4 * u64::from(self.lengths.piece_count());
        table_ends.next_multiple_of(SLOTS_ALIGNED_TO)
            + u64::from(slot) * u64::from(self.lengths.piece_length())
    }
}

/// The table of the file at `path`; `None` if there is no such file or it is not this torrent's.
fn read_slots(os: &Os, path: &Path, lengths: Lengths) -> Option<Slots> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "parts file cannot be read");
            }
            return None;
        }
    };
    let mut table = vec![0; 32 + 4 * usize::try_from(lengths.piece_count()).ok()?];
    let len = os.read(&file, &mut table, 0).ok()?;
    let header =
        [&MAGIC[..], &lengths.piece_count().to_be_bytes(), &lengths.piece_length().to_be_bytes()].concat();
    if len < table.len() || !table.starts_with(&header) {
        tracing::warn!(path = %path.display(), "parts file is not this torrent's or is damaged");
        return None;
    }
    let mut slots = Slots { created: true, ..Slots::default() };
    for (piece, entry) in (0u32..).zip(table[header.len()..].chunks_exact(4)) {
        let entry = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
        // A slot that two pieces claim is the first one's; a slot number that cannot be is nobody's.
        if let Some(slot) = entry.checked_sub(1).filter(|&slot| slot < lengths.piece_count())
            && slots.used.insert(slot)
        {
            slots.of_piece.insert(piece, slot);
        }
    }
    Some(slots)
}
