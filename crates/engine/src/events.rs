//! What is said and done, for whoever listens.
//!
//! Nothing is made while nobody listens. A listener that falls behind by [`EVENT_QUEUE`] events loses the oldest and
//! is told how many; the engine never waits for it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use types::{InfoHash, PeerId};

/// How many events a listener may be behind before it loses some.
pub(crate) const EVENT_QUEUE: usize = 16 * 1024;

/// Something that happened to one torrent.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, since the engine was started.
    pub at: Duration,
    /// Which torrent.
    pub torrent: InfoHash,
    /// What.
    pub kind: EventKind,
}

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From us to the peer.
    Out,
    /// From the peer to us.
    In,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// What is on disk is being hashed.
    Checking {
        /// How many pieces.
        pieces: u32,
    },
    /// The metadata that a magnet link names has come and is right (BEP 9).
    MetadataFound {
        /// How long it is.
        bytes: usize,
    },
    /// A tracker is being asked.
    Announcing {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// `started`, `completed`, `stopped`, or `None` for a regular announce.
        event: Option<&'static str>,
    },
    /// A tracker answered.
    Announced {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// How many peers it told.
        peers: usize,
        /// The addresses under which it sees us, if it tells (BEP 24).
        external: Vec<IpAddr>,
        /// A message to the user, if it sent one.
        warning: Option<String>,
    },
    /// A tracker could not be reached or refused.
    AnnounceFailed {
        /// The tracker, without what is private in its URL.
        tracker: String,
        /// Why.
        error: String,
    },
    /// A look into the DHT has ended (BEP 5).
    DhtSearched {
        /// How many different peers were found.
        peers: usize,
        /// How many nodes list us from here on, so that others find us.
        listed_at: usize,
    },
    /// A web seed (BEP 19) is asked from now on.
    WebSeedOpened {
        /// Scheme, host and port of its URL.
        web_seed: String,
    },
    /// Something is wrong with a web seed.
    WebSeedFailed {
        /// Scheme, host and port of its URL.
        web_seed: String,
        /// What.
        error: String,
        /// When it is asked again; `None`: never.
        again: Option<Duration>,
    },
    /// A peer told of others that were not known (BEP 11).
    PeersExchanged {
        /// Who told.
        from: SocketAddr,
        /// How many.
        peers: usize,
    },
    /// A peer on the local network has announced itself (BEP 14); it does so again every few minutes.
    LocalPeer {
        /// Where it listens.
        peer: SocketAddr,
    },
    /// A connection attempt begins.
    Dialing {
        /// Where to.
        peer: SocketAddr,
    },
    /// A connection attempt came to nothing.
    DialFailed {
        /// Where to.
        peer: SocketAddr,
        /// Why.
        error: String,
    },
    /// Both handshakes were exchanged: `handshake` is the one that went in `direction`.
    Handshake {
        /// The far end.
        peer: SocketAddr,
        /// Whose handshake it is.
        direction: Direction,
        /// The id in it.
        peer_id: PeerId,
        /// The client, if the id tells.
        client: Option<String>,
        /// The extensions in its reserved bits, by name.
        extensions: String,
    },
    /// A message, payload left out.
    Message {
        /// The far end.
        peer: SocketAddr,
        /// Which way it went.
        direction: Direction,
        /// What kind of message: `choke`, `bitfield`, `request`, `piece`, ...
        name: &'static str,
        /// All of it on one line.
        text: String,
    },
    /// A connection ended.
    Disconnected {
        /// The far end.
        peer: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A piece is complete and its hash is right.
    PieceVerified {
        /// Which.
        piece: u32,
    },
    /// A piece is complete and its hash is wrong; it will be fetched again.
    PieceFailed {
        /// Which.
        piece: u32,
    },
    /// A piece was good, and is bad now or cannot be read any more; it will be fetched again if anything may be written.
    PieceLost {
        /// Which.
        piece: u32,
    },
    /// A peer is not dealt with any more.
    Banned {
        /// Its address.
        peer: SocketAddr,
        /// Why.
        reason: String,
    },
    /// All wanted bytes are verified and durable.
    Finished,
    /// The torrent has ended; nothing follows.
    Stopped {
        /// What went wrong, if anything did.
        error: Option<String>,
    },
}

/// A listener's end of the stream of events.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    lost: u64,
}

impl Events {
    /// The next event; `None` once the engine has shut down.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => self.lost += lost,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were lost so far because this listener was too slow.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Event>,
    started: Instant,
}

impl Hub {
    pub(crate) fn new(started: Instant) -> Hub {
        Hub { sender: broadcast::Sender::new(EVENT_QUEUE), started }
    }

    pub(crate) fn listen(&self) -> Events {
        Events { receiver: self.sender.subscribe(), lost: 0 }
    }

    /// Tells everybody who listens; `kind` is only made if somebody does.
    pub(crate) fn tell(&self, torrent: InfoHash, kind: impl FnOnce() -> EventKind) {
        if self.sender.receiver_count() > 0 {
            let event = Event { at: self.started.elapsed(), torrent, kind: kind() };
            // The last listener may just have left.
            let _ = self.sender.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::InfoHashV1;

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told() {
        let hub = Hub::new(Instant::now());
        let torrent = InfoHash::V1(InfoHashV1([0; 20]));
        hub.tell(torrent, || unreachable!("nobody listens"));
        let mut events = hub.listen();
        for piece in 0..u32::try_from(EVENT_QUEUE).unwrap() + 10 {
            hub.tell(torrent, || EventKind::PieceVerified { piece });
        }
        let first = pollster::block_on(events.next()).unwrap();
        assert!(matches!(first.kind, EventKind::PieceVerified { piece: 10 }));
        assert_eq!(events.lost(), 10);
    }
}
