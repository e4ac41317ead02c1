//! Where peers of a torrent are found that no tracker knows of, and who may hear of the torrent there (BEP 27).

use crate::dht::{self, Part};
use crate::lsd;
use crate::shared::Shared;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use swarm::PeerSource;
use types::InfoHash;

/// Who may hear of a torrent, and tell of its peers (BEP 27).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Its trackers and its user alone.
    #[default]
    Private,
    /// It may turn out to be private: peers are looked for everywhere, but nobody is told that we are one.
    Unknown,
    /// Everybody.
    Public,
}

impl Privacy {
    pub(super) fn of(metainfo: &metainfo::Metainfo) -> Privacy {
        if metainfo.is_private() { Privacy::Private } else { Privacy::Public }
    }

    /// `None` as long as nobody knows.
    fn is_private(self) -> Option<bool> {
        match self {
            Privacy::Private => Some(true),
            Privacy::Unknown => None,
            Privacy::Public => Some(false),
        }
    }
}

/// Who looks for peers on a torrent's behalf.
#[derive(Debug, Default)]
pub(super) struct Scouts {
    privacy: Privacy,
    /// Its part in the DHT: none if there is no node, it is not its turn, or it is private.
    dht: Option<dht::Member>,
    /// Its part on the local network (BEP 14), likewise.
    lsd: Option<lsd::Member>,
}

impl Scouts {
    /// It is known now who may hear of the torrent; to be sent out again.
    pub(super) fn set_privacy(&mut self, privacy: Privacy) {
        self.call_back();
        self.privacy = privacy;
    }

    /// Looks for peers from now on. `complete`: all of the torrent is there.
    pub(super) fn send_out(&mut self, shared: &Shared, torrent: InfoHash, complete: bool) {
        let part = match self.privacy {
            Privacy::Private => None,
            Privacy::Unknown => Some(Part::Asks),
            Privacy::Public if complete => Some(Part::Seeds),
            Privacy::Public => Some(Part::Leeches),
        };
        self.dht = shared.dht.as_ref().zip(part).map(|(dht, part)| dht.join(torrent, part));
        let part = ::lsd::Part::of(self.privacy.is_private());
        self.lsd = shared.lsd.as_ref().zip(part).map(|(lsd, part)| lsd.join(torrent, part));
    }

    /// Looks no more, and is not told of.
    pub(super) fn call_back(&mut self) {
        (self.dht, self.lsd) = (None, None);
    }

    /// All of the torrent is there now.
    pub(super) fn completed(&self) {
        if let Some(dht) = &self.dht {
            dht.set_seeds();
        }
    }

    /// A peer says that it has a DHT node (BEP 5).
    pub(super) fn hear_of_node(&self, node: SocketAddr) {
        if let Some(dht) = &self.dht {
            dht.offer_node(node);
        }
    }

    /// Peers that were found, and by whom; none ever if nobody looks. Safe to cancel.
    pub(super) async fn found(&mut self) -> (Vec<SocketAddr>, PeerSource) {
        poll_fn(|cx| self.poll_found(cx)).await
    }

    /// See [`found`](Self::found).
    pub(super) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<SocketAddr>, PeerSource)> {
        if let Some(dht) = &mut self.dht
            && let Poll::Ready(addrs) = dht.poll_found(cx)
        {
            return Poll::Ready((addrs, PeerSource::Dht));
        }
        match &mut self.lsd {
            Some(lsd) => lsd.poll_found(cx).map(|addr| (vec![addr], PeerSource::Lsd)),
            None => Poll::Pending,
        }
    }
}
