//! The bytes of an info dictionary: in memory, or on a shelf.
//!
//! Nine tenths of it are the hashes of pieces, which nobody asks for while a torrent is only seeded.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use thiserror::Error;

/// Where an info dictionary lies that a [`Metainfo`](crate::Metainfo) does not hold itself.
pub trait Shelf: Send + Sync {
    /// Fills `into` with the bytes from `at` on; whether that was possible. May wait for a disk.
    fn read(&self, at: usize, into: &mut [u8]) -> bool;

    /// All that was to be kept: the torrent file in which that dictionary lies. `None` if that is not possible. May wait for a
    /// disk.
    fn whole(&self) -> Option<Vec<u8>>;

    /// Whether it will be read often from now on, and is better held in memory. A hint.
    fn expect_reads(&self, often: bool);
}

/// The shelf on which an info dictionary lies cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the hashes of the torrent's pieces cannot be read back from the disk")]
pub struct Unreadable;

#[derive(Clone)]
pub(crate) enum Info {
    /// In the torrent file, as far as that is made use of.
    Here {
        file: Arc<[u8]>,
        at: Range<usize>,
    },
    Shelved {
        shelf: Arc<dyn Shelf>,
        len: usize,
    },
}

impl Info {
    pub(crate) fn len(&self) -> usize {
        match self {
            Info::Here { at, .. } => at.len(),
            Info::Shelved { len, .. } => *len,
        }
    }

    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> Result<(), Unreadable> {
        match self {
            Info::Here { .. } => {
                let end = at.saturating_add(into.len());
                into.copy_from_slice(self.here().and_then(|bytes| bytes.get(at..end)).ok_or(Unreadable)?);
                Ok(())
            }
            Info::Shelved { shelf, .. } => shelf.read(at, into).then_some(()).ok_or(Unreadable),
        }
    }

    /// The bytes in `range`, cut to the end.
    pub(crate) fn part(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>, Unreadable> {
        let (start, end) = (range.start.min(self.len()), range.end.min(self.len()));
        if let Some(bytes) = self.here() {
            return Ok(bytes.get(start..end).unwrap_or_default().into());
        }
        let mut part = vec![0; end.saturating_sub(start)];
        self.read(start, &mut part)?;
        Ok(part.into())
    }

    fn here(&self) -> Option<&[u8]> {
        match self {
            Info::Here { file, at } => file.get(at.clone()),
            Info::Shelved { .. } => None,
        }
    }

    pub(crate) fn shelved(
        &self,
        keep: impl FnOnce(&[u8], Range<usize>) -> Option<Arc<dyn Shelf>>,
    ) -> Option<Info> {
        let Info::Here { file, at } = self else { return None };
        Some(Info::Shelved { shelf: keep(file, at.clone())?, len: at.len() })
    }

    pub(crate) fn shelf(&self) -> Option<&Arc<dyn Shelf>> {
        match self {
            Info::Here { .. } => None,
            Info::Shelved { shelf, .. } => Some(shelf),
        }
    }
}

/// Of what is on a shelf the length alone: info-hashes tell torrents apart.
impl PartialEq for Info {
    fn eq(&self, other: &Info) -> bool {
        match (self, other) {
            (Info::Here { .. }, Info::Here { .. }) => self.here() == other.here(),
            _ => self.len() == other.len(),
        }
    }
}

impl Eq for Info {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metainfo;
    use alloc::format;
    use core::cell::Cell;
    use core::sync::atomic::{AtomicBool, Ordering};
    use types::PieceIndex;

    struct Board {
        file: Vec<u8>,
        info: usize,
        is_broken: AtomicBool,
    }

    impl Shelf for Board {
        fn read(&self, at: usize, into: &mut [u8]) -> bool {
            into.copy_from_slice(&self.file[self.info + at..][..into.len()]);
            !self.is_broken.load(Ordering::Relaxed)
        }

        fn whole(&self) -> Option<Vec<u8>> {
            (!self.is_broken.load(Ordering::Relaxed)).then(|| self.file.clone())
        }

        fn expect_reads(&self, _: bool) {}
    }

    fn torrent() -> Metainfo {
        let hashes = [[b'a'; 20], [b'b'; 20]].concat();
        let hashes = core::str::from_utf8(&hashes).unwrap();
        let info = format!("d6:lengthi5e4:name1:n12:piece lengthi3e6:pieces40:{hashes}e");
        Metainfo::parse(format!("d4:info{info}e").as_bytes()).unwrap()
    }

    #[test]
    fn on_a_shelf_it_is_the_same_torrent() {
        let whole = torrent();
        assert_eq!(whole.shelved(|_, _| None), None, "there is no room");
        let board = Cell::new(None);
        let keep = |file: &[u8], info: Range<usize>| {
            let (file, info) = (file.to_vec(), info.start);
            let new = Arc::new(Board { file, info, is_broken: AtomicBool::new(false) });
            board.set(Some(new.clone()));
            Some::<Arc<dyn Shelf>>(new)
        };
        let shelved = whole.shelved(keep).unwrap();
        assert_eq!(shelved.shelved(keep), None, "it is on one already");
        assert_eq!(shelved, whole);
        for piece in [0, 1, 2, u32::MAX].map(PieceIndex::new) {
            assert_eq!(shelved.piece_hash(piece), whole.piece_hash(piece));
        }
        assert_eq!(shelved.piece_hash(PieceIndex::new(1)), Ok(Some([b'b'; 20])));
        assert_eq!(shelved.info_bytes(), whole.info_bytes());
        for range in [0..4, 3..1000, 1000..1001] {
            assert_eq!(shelved.info_part(range.clone()), whole.info_part(range));
        }
        let board = board.take().unwrap();
        let again = Metainfo::from_shelf(shelved.shelf().unwrap()).unwrap();
        assert!(again.shelf().is_some());
        assert_eq!((again.piece_hash(PieceIndex::new(1)), again), (Ok(Some([b'b'; 20])), whole));
        board.is_broken.store(true, Ordering::Relaxed);
        assert_eq!(shelved.piece_hash(PieceIndex::new(1)), Err(Unreadable));
        assert_eq!(shelved.piece_hash(PieceIndex::new(2)), Ok(None));
        assert_eq!(shelved.info_bytes(), Err(Unreadable));
        assert_eq!(Metainfo::from_shelf(shelved.shelf().unwrap()), Err(Unreadable));
    }
}
