//! Whose each file is.

use crate::os::Found;
use crate::pool::lock;
use crate::{Error, FileStamp};
use std::sync::Mutex;

/// A file is in exactly one of these.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Nothing is there: it is ours to create.
    #[default]
    Absent,
    /// Our state names it, we created it, a good piece was found in it, or it is empty as the torrent has it.
    Ours,
    /// Something is there that may be somebody else's: it is read, never written.
    Foreign,
}

/// What is known of each file of a torrent.
pub(crate) struct Entries(Mutex<Vec<Entry>>);

#[derive(Clone, Default)]
struct Entry {
    standing: Standing,
    stamp: Option<FileStamp>,
    /// Why it cannot be used, if it cannot.
    problem: Option<Box<Error>>,
}

impl Entries {
    pub(crate) fn new(count: usize) -> Entries {
        Entries(Mutex::new(vec![Entry::default(); count]))
    }

    /// Takes in what stands at a file's path; `known` says that it is ours if it is there.
    pub(crate) fn saw(&self, file: usize, found: Result<Found, Error>, known: bool) {
        let mut entries = lock(&self.0);
        let entry = &mut entries[file];
        let ours = known || entry.standing == Standing::Ours;
        *entry = match found {
            Ok(Found::Nothing) => Entry::default(),
            Ok(Found::File(stamp)) => {
                let standing = if ours { Standing::Ours } else { Standing::Foreign };
                Entry { standing, stamp: Some(stamp), problem: None }
            }
            Err(problem) => {
                Entry { standing: Standing::Foreign, stamp: None, problem: Some(Box::new(problem)) }
            }
        };
    }

    pub(crate) fn created(&self, file: usize, stamp: Option<FileStamp>) {
        lock(&self.0)[file] = Entry { standing: Standing::Ours, stamp, problem: None };
    }

    /// Makes a file that is there the torrent's.
    pub(crate) fn set_ours(&self, file: usize) {
        let entry = &mut lock(&self.0)[file];
        if entry.stamp.is_some() {
            entry.standing = Standing::Ours;
        }
    }

    pub(crate) fn set_stamp(&self, file: usize, stamp: FileStamp) {
        lock(&self.0)[file].stamp = Some(stamp);
    }

    pub(crate) fn standing(&self, file: usize) -> Standing {
        lock(&self.0)[file].standing
    }

    pub(crate) fn stamp(&self, file: usize) -> Option<FileStamp> {
        lock(&self.0)[file].stamp
    }

    pub(crate) fn problem(&self, file: usize) -> Option<Error> {
        lock(&self.0)[file].problem.as_deref().cloned()
    }

    pub(crate) fn stamps(&self) -> Vec<Option<FileStamp>> {
        lock(&self.0).iter().map(|entry| entry.stamp).collect()
    }
}
