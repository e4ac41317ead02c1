//! Torrents of which only a magnet link is known, until their metadata is found.

use super::record::Record;
use super::{KeptTorrent, Room, Running, What, key};
use crate::driver::Fetching;
use crate::magnet::{FetchStats, Fetched};
use crate::mailbox;
use crate::torrent::Request;
use crate::{AddMagnet, AddTorrent, Error, Fetch, Priority, TorrentError, TorrentState, TorrentStats};
use metainfo::Magnet;
use std::sync::Arc;
use store::{Change, Table};
use tokio::sync::{oneshot, watch};
use types::InfoHash;

/// A search for metadata that is under way.
#[derive(Debug)]
pub(super) struct Link {
    requests: mailbox::Sender<Request>,
    status: watch::Receiver<FetchStats>,
    ended: oneshot::Receiver<()>,
}

impl Link {
    /// It has stopped when this returns.
    pub(super) async fn stop(self) {
        // Closed: it has ended already.
        let _ = self.requests.send(Request::Stop).await;
        let _ = self.ended.await;
    }

    pub(super) fn requests(&self) -> mailbox::Sender<Request> {
        self.requests.clone()
    }

    pub(super) fn state(&self) -> TorrentState {
        let queued = self.status.borrow().queued;
        if queued { TorrentState::Queued } else { TorrentState::FetchingMetadata }
    }

    pub(super) fn stats(&self) -> TorrentStats {
        let FetchStats { peers, known_peers, .. } = *self.status.borrow();
        TorrentStats { state: self.state(), peers, known_peers, ..TorrentStats::default() }
    }
}

impl Room {
    /// Begins to look for what a link names.
    pub(super) async fn look_for(
        self: &Arc<Self>,
        record: &Record,
        magnet: &Magnet,
    ) -> Result<Running, Error> {
        if self.shared.is_closing() {
            return Err(Error::ShutDown);
        }
        let choices = &record.choices;
        let info_hash = magnet.info_hash;
        let mut add =
            AddMagnet::new(magnet.clone()).peers(self.peers_for(&choices.peers)).trackers(choices.trackers);
        add.tiers.clone_from(&choices.tiers);
        let (fetching, fetch) = Fetching::open(self.shared.clone(), add).await?;
        if let Some(fetching) = fetching {
            self.shared.spawn(fetching.run());
        }
        let (end, ended) = oneshot::channel();
        let link = Link { requests: fetch.requests.clone(), status: fetch.status.clone(), ended };
        self.shared.spawn(await_metadata(self.clone(), info_hash, fetch, end));
        Ok(Running::Fetching(link))
    }

    /// The metadata of a link was found, whatever became of the torrent meanwhile.
    async fn found(self: &Arc<Self>, info_hash: InfoHash, fetched: Fetched) -> Result<(), Error> {
        // It is not there any more, or will not be.
        let Ok(mut held) = self.hold(info_hash).await else { return Ok(()) };
        let Some(kept) = held.kept.as_mut().filter(|kept| matches!(kept.what, What::Link(_))) else {
            return Ok(());
        };
        let metainfo = fetched.metainfo().clone();
        let mut record = kept.record.clone();
        let file = fetched.torrent_file();
        let metainfo = self.shared.spool.keep(metainfo);
        let mut add = fetched.into_add(&record.choices.dir);
        if record.choices.priorities.is_empty() {
            record.choices.priorities.clone_from(&add.priorities);
        }
        // They were given before anybody knew of how many files: whoever gave them says what is wanted, nobody guesses.
        let miscounted = record.choices.check_priorities(Some(&metainfo)).err();
        if miscounted.is_some() {
            record.choices.priorities = vec![Priority::Skip; metainfo.files().len()];
        }
        match record.choices.check(Some(&metainfo)) {
            // Nothing is fetched until something is selected.
            Ok(()) | Err(Error::NothingSelected) => {}
            Err(_) => record.choices.priorities.clear(),
        }
        let given = record.choices.dir.clone();
        if !self.goes_where_it_was(info_hash, &mut record.choices, Some(&metainfo)).await {
            self.arrange(&mut record.choices, Some(&metainfo)).await;
        }
        if record.choices.dir != given {
            record.mount_when_complete = record.mount.take();
        }
        // As it was when the link came, or the folder was chosen: the disk may be out by now.
        record.mount = self.mount_of(&record.choices.dir, record.mount.take()).await;
        self.recall_files(info_hash, &record, &metainfo).await?;
        let mut changes = vec![Change::put(Table::Torrents, key(info_hash), record.encode())];
        let rows = self.rows_of_file(&record, &metainfo, file).await;
        // A link may tell one hash of two; the torrent stays where it was put.
        changes.extend(rows.map(|row| Change { key: key(info_hash), ..row }));
        changes.extend(self.forget_left(info_hash));
        self.save(changes).await?;
        let begin = !record.choices.paused;
        if let Some(why) = &miscounted {
            tracing::warn!(%why, torrent = metainfo.name(), "nothing is fetched of what a magnet link names");
        }
        let handover = std::mem::take(&mut add.handover);
        let (peers_of_link, names_of_link) = (add.peers_of_link, add.names_of_link);
        (kept.what, kept.record) = (What::All(metainfo.clone()), record);
        std::mem::replace(&mut kept.running, Running::Paused).stop().await;
        if let Some(why) = miscounted.filter(|_| begin) {
            kept.running = Running::Failed(why);
        } else if begin {
            let add = kept.record.apply(metainfo);
            let add = AddTorrent { handover, peers_of_link, names_of_link, ..add };
            kept.running = self.begin_with(add).await.unwrap_or_else(Running::Failed);
        }
        Ok(())
    }

    async fn not_found(&self, info_hash: InfoHash, why: Error) {
        let Ok(mut held) = self.hold(info_hash).await else { return };
        if let Some(kept) = held.kept.as_mut().filter(|kept| kept.is_fetching()) {
            kept.running = Running::Failed(why);
        }
    }
}

impl KeptTorrent {
    fn is_fetching(&self) -> bool {
        matches!(self.running, Running::Fetching(_))
    }
}

async fn await_metadata(room: Arc<Room>, info_hash: InfoHash, mut fetch: Fetch, end: oneshot::Sender<()>) {
    let found = fetch.wait().await;
    drop(fetch);
    // Before the torrent is asked for: who stops it holds it.
    let _ = end.send(());
    let outcome = match found {
        Ok(fetched) => room.found(info_hash, fetched).await,
        Err(TorrentError::Metadata(why)) => Err(Error::Torrent(why)),
        // Whoever stopped it says what becomes of it.
        Err(_) => return,
    };
    if let Err(why) = outcome {
        room.not_found(info_hash, why).await;
    }
}
