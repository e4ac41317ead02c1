//! What holds a torrent back.

use crate::torrent::Request;
use crate::{Torrent, TorrentError, TorrentState};
pub use trace::why::{Cause, Finding};
use trace::why::{Doing, Facts, why};

impl Torrent {
    /// What holds it back, the weightiest first; nothing if nothing is seen. Looks at every piece and connection once.
    ///
    /// # Errors
    /// [`TorrentError::Stopped`] if it ends meanwhile.
    pub async fn why(&self) -> Result<Vec<Finding>, TorrentError> {
        let state = self.stats().state;
        if state == TorrentState::Checking || self.has_ended() {
            return Ok(why(&self.standing()));
        }
        match crate::reading::ask(&self.requests, Request::Facts).await {
            Ok(facts) => Ok(why(&Facts { trouble: self.trouble(), ..facts })),
            Err(_) if self.has_ended() => Ok(why(&self.standing())),
            Err(error) => Err(error),
        }
    }

    /// What is known without its task.
    fn standing(&self) -> Facts {
        Facts { doing: doing(Some(self.stats().state)), trouble: self.trouble(), ..Facts::default() }
    }
}

/// `None`: it is paused.
pub(crate) fn doing(state: Option<TorrentState>) -> Doing {
    match state {
        None => Doing::Paused,
        Some(TorrentState::Checking) => Doing::Checking,
        Some(TorrentState::FetchingMetadata) => Doing::FetchingMetadata,
        Some(TorrentState::Queued) => Doing::Queued,
        Some(TorrentState::Downloading) => Doing::Downloading,
        Some(TorrentState::Seeding) => Doing::Complete,
        Some(TorrentState::DiskFull) => Doing::DiskFull,
        Some(TorrentState::Unavailable) => Doing::Unavailable,
        Some(TorrentState::Moving) => Doing::Moving,
        Some(TorrentState::Stopped) => Doing::Stopped,
        Some(TorrentState::Failed) => Doing::Failed,
    }
}
