//! Magnet links: what is known of a torrent is its info-hash; its metadata comes from peers (BEP 9).
//!
//! [`Engine::fetch_metadata`](crate::Engine::fetch_metadata) looks for it and gives a [`Fetch`]. What that comes to, a
//! [`Fetched`], becomes an [`AddTorrent`] like any other, to which the connections that were made pass.

use crate::driver::Handover;
use crate::mailbox;
use crate::tape::Tape;
use crate::torrent::Request;
use crate::{AddTorrent, TorrentError};
use metainfo::magnet::{Host, HostPort};
use metainfo::{Magnet, Metainfo};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{oneshot, watch};
use types::InfoHash;

/// How many of a link's peers are looked up that it gives by name; further ones are passed over.
const MAX_NAMED_PEERS: usize = 16;

/// A magnet link whose metadata is to be fetched, and what is to be done with it.
#[derive(Clone, Debug)]
pub struct AddMagnet {
    pub(crate) magnet: Arc<Magnet>,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) trackers: bool,
    /// Those that take the place of the link's; the user's choice.
    pub(crate) tiers: Option<Vec<Vec<String>>>,
    pub(crate) metadata_only: bool,
    pub(crate) tape: Option<Tape>,
}

impl AddMagnet {
    /// Fetches the metadata that `magnet` names from peers: those that it and its trackers tell of, and those that are found
    /// without. Web seeds have none.
    pub fn new(magnet: Magnet) -> AddMagnet {
        AddMagnet {
            magnet: magnet.into(),
            peers: Vec::new(),
            trackers: true,
            tiers: None,
            metadata_only: false,
            tape: None,
        }
    }

    /// Peers to connect to beside those that the link and trackers tell.
    #[must_use]
    pub fn peers(mut self, peers: Vec<SocketAddr>) -> AddMagnet {
        self.peers = peers;
        self
    }

    /// Whether the link's trackers are asked for peers.
    #[must_use]
    pub fn trackers(mut self, trackers: bool) -> AddMagnet {
        self.trackers = trackers;
        self
    }

    /// Whether the metadata is all that is wanted: then peers are hung up on when it is there.
    #[must_use]
    pub fn metadata_only(mut self, metadata_only: bool) -> AddMagnet {
        self.metadata_only = metadata_only;
        self
    }

    /// As [`AddTorrent::record`]; what is recorded goes on with the torrent that is found.
    #[must_use]
    pub fn record(mut self, tape: Option<Tape>) -> AddMagnet {
        self.tape = tape;
        self
    }

    /// Hosts and ports where the link says that peers are.
    pub(crate) fn names_of_link(&self) -> impl Iterator<Item = (String, u16)> + '_ {
        let name = |peer: &HostPort| match &peer.host {
            Host::Name(name) => Some((name.clone(), peer.port)),
            Host::Ip(_) => None,
        };
        self.magnet.peers.iter().filter_map(name).take(MAX_NAMED_PEERS)
    }

    /// Where the link says that peers are, as far as it says so in numbers. It may be a stranger's word.
    pub(crate) fn addrs_of_link(&self) -> Vec<SocketAddr> {
        self.magnet.peers.iter().filter_map(HostPort::addr).collect()
    }
}

/// The trackers of a link, each a tier of its own.
pub(crate) fn tiers_of(magnet: &Magnet) -> Vec<Vec<String>> {
    magnet.trackers.iter().map(|url| vec![url.clone()]).collect()
}

/// How far a search for metadata is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchStats {
    /// It waits for its turn: as many torrents run as may.
    pub queued: bool,
    /// Connections.
    pub peers: usize,
    /// Connections with peers that say that they have the metadata.
    pub sources: usize,
    /// Bytes of metadata that have come, and may be wrong.
    pub bytes: u64,
    /// Peers whose address is known.
    pub known_peers: usize,
}

/// A handle on a search for metadata. When it is dropped, the search ends: peers are hung up on, trackers told.
#[derive(Debug)]
pub struct Fetch {
    pub(crate) info_hash: InfoHash,
    pub(crate) requests: mailbox::Sender<Request>,
    pub(crate) status: watch::Receiver<FetchStats>,
    pub(crate) found: oneshot::Receiver<Result<Fetched, TorrentError>>,
}

impl Fetch {
    /// The torrent's name on the wire, as far as the link tells.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// Numbers, at most a quarter of a second old.
    pub fn stats(&self) -> FetchStats {
        *self.status.borrow()
    }

    /// Waits for the metadata; may be broken off and called again.
    ///
    /// # Errors
    /// [`TorrentError::Metadata`] if the link names no torrent that can be used, [`TorrentError::Stopped`] if the search
    /// or the engine was stopped first, or if it was given already.
    pub async fn wait(&mut self) -> Result<Fetched, TorrentError> {
        (&mut self.found).await.unwrap_or(Err(TorrentError::Stopped))
    }
}

/// Metadata that was found. To be added soon: until then, nobody listens to the peers that were met. If it is dropped, they
/// are hung up on, and trackers told.
#[derive(Debug)]
pub struct Fetched {
    pub(crate) add: AddMagnet,
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) handover: Option<Handover>,
}

impl Fetched {
    /// The torrent.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// The torrent file: the metadata, and the link's trackers, DHT nodes and web seeds. That of a v2 torrent (BEP 52) is
    /// without its piece layers, which metadata does not hold: see [`lacks_piece_layers`](Self::lacks_piece_layers).
    pub fn torrent_file(&self) -> Vec<u8> {
        let info = self.metainfo.info_bytes().expect("it has not been added yet, and lies in memory");
        self.add.magnet.torrent_file(&info)
    }

    /// Whether it is a v2 or hybrid torrent with a file of more than one piece: its file should have piece layers
    /// (BEP 52), and other clients may refuse it without.
    pub fn lacks_piece_layers(&self) -> bool {
        let piece_length = u64::from(self.metainfo.lengths().piece_length());
        self.metainfo.files().iter().any(|file| file.pieces_root.is_some() && file.length > piece_length)
    }

    /// Downloads it into `dir`, from the peers that were met and those of the link. Of its files those that the link
    /// selects (`so`, BEP 53).
    pub fn into_add(self, dir: impl Into<PathBuf>) -> AddTorrent {
        let Fetched { add, metainfo, handover } = self;
        let selected = match add.magnet.select_only {
            None => Vec::new(),
            Some(_) => (0..metainfo.files().len()).map(|file| add.magnet.selects(file)).collect(),
        };
        let mut torrent =
            AddTorrent::new(metainfo, dir).files(selected).peers(add.peers.clone()).trackers(add.trackers);
        torrent.peers_of_link = add.addrs_of_link();
        // Otherwise they were looked up while the metadata was.
        if handover.is_none() {
            torrent.names_of_link = add.names_of_link().collect();
        }
        torrent.by_link = true;
        torrent.tape = add.tape;
        torrent.handover = Slot::new(handover);
        torrent
    }
}

/// Where connections wait to be taken over, once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Option<Arc<Mutex<Option<Box<Handover>>>>>);

impl Slot {
    fn new(handover: Option<Handover>) -> Slot {
        Slot(handover.map(|handover| Arc::new(Mutex::new(Some(Box::new(handover))))))
    }

    pub(crate) fn take(&self) -> Option<Box<Handover>> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_peers_are_looked_up_by_name() {
        for (named, used) in [(MAX_NAMED_PEERS, MAX_NAMED_PEERS), (MAX_NAMED_PEERS + 1, MAX_NAMED_PEERS)] {
            let peers: String = (0..named).map(|number| format!("&x.pe=peer-{number}.test:1")).collect();
            let link = format!("magnet:?xt=urn:btih:{}{peers}", "07".repeat(20));
            let add = AddMagnet::new(Magnet::parse(&link).unwrap());
            assert_eq!(add.names_of_link().count(), used);
        }
    }
}
