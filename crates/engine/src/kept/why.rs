//! What holds a torrent of a session back.

use super::{Running, Session};
use crate::reading::ask;
use crate::torrent::Request;
use crate::why::doing;
use crate::{Error, Finding, TorrentError, TorrentState};
use trace::why::{Doing, Facts, why};
use types::InfoHash;

impl Session {
    /// What holds a torrent back, the weightiest first; nothing if nothing is seen. What is being done to it is waited for.
    ///
    /// # Errors
    /// [`Error::NotHere`]; [`Error::ShutDown`] if it ends meanwhile.
    pub async fn why(&self, info_hash: InfoHash) -> Result<Vec<Finding>, Error> {
        enum Ask {
            Torrent(crate::Torrent),
            Link(crate::mailbox::Sender<Request>),
            Known(Facts),
        }
        let asked = {
            let held = self.room.hold(info_hash).await?;
            let kept = held.kept.as_ref().ok_or(Error::NotHere(info_hash))?;
            match &kept.running {
                Running::Yes(torrent) => match kept.why_unsettled().filter(|_| torrent.trouble().is_none()) {
                    Some(trouble) => Ask::Known(Facts {
                        doing: Doing::Unsettled,
                        trouble: Some(trouble),
                        ..Facts::default()
                    }),
                    None => Ask::Torrent(torrent.clone()),
                },
                Running::Fetching(link) => Ask::Link(link.requests()),
                Running::Paused => Ask::Known(Facts { doing: doing(None), ..Facts::default() }),
                Running::Moving(_) => {
                    Ask::Known(Facts { doing: doing(Some(TorrentState::Moving)), ..Facts::default() })
                }
                Running::Failed(error) => {
                    let (doing, trouble) = (doing(Some(error.state())), Some(error.of_kept()));
                    Ask::Known(Facts { doing, trouble, ..Facts::default() })
                }
            }
        };
        let stopped = |_: TorrentError| Error::ShutDown;
        match asked {
            Ask::Torrent(torrent) => torrent.why().await.map_err(stopped),
            Ask::Link(requests) => {
                ask(&requests, Request::Facts).await.map(|facts| why(&facts)).map_err(stopped)
            }
            Ask::Known(facts) => Ok(why(&facts)),
        }
    }
}
