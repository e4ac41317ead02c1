//! Torrents that are complete and seeded on. One task looks after all of them: one for each would take more memory than the
//! engine does for a torrent that nobody asks for.

use crate::progress::Reporter;
use engine::{Ends, Torrent, TorrentState};

/// One of them.
pub(crate) struct Seed {
    pub(crate) torrent: Torrent,
    /// `None` if nobody is shown how it goes.
    pub(crate) shown: Option<Box<Shown>>,
}

/// How it is shown.
pub(crate) struct Shown {
    pub(crate) reporter: Reporter,
    /// Bytes of the whole torrent.
    pub(crate) total: u64,
}

/// All of them.
pub(crate) struct Seeds {
    all: Vec<Seed>,
    ends: Ends,
}

impl Seeds {
    /// None yet.
    pub(crate) fn new(ends: Ends) -> Seeds {
        Seeds { all: Vec::new(), ends }
    }

    /// One more; here it is again if it has ended.
    pub(crate) fn add(&mut self, seed: Seed) -> Option<Seed> {
        if has_ended(&seed) {
            return Some(seed);
        }
        self.all.push(seed);
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    pub(crate) fn shown(&mut self) -> impl Iterator<Item = (&Torrent, &mut Shown)> {
        self.all.iter_mut().filter_map(|seed| Some((&seed.torrent, seed.shown.as_deref_mut()?)))
    }

    /// Waits until some have ended: those. Safe to cancel.
    pub(crate) async fn ended(&mut self) -> Vec<Seed> {
        loop {
            self.ends.next().await;
            let ended: Vec<Seed> = self.all.extract_if(.., |seed| has_ended(seed)).collect();
            if !ended.is_empty() {
                return ended;
            }
        }
    }
}

fn has_ended(seed: &Seed) -> bool {
    matches!(seed.torrent.stats().state, TorrentState::Stopped | TorrentState::Failed)
}
