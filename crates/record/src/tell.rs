//! A replay for people.

use crate::{Step, Torrent};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::SocketAddr;
use swarm::{Input, Output, PeerKey, PeerSource};
use types::BlockRange;

/// What happened in one step, said in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// With which peer, if with one.
    pub peer: Option<String>,
    /// Whether it came from the peer, or goes to it; `None` if nothing was sent.
    pub way: Option<Way>,
    /// What.
    pub text: String,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the peer to us.
    In,
    /// From us to the peer.
    Out,
}

/// Says what happens in a replay; remembers who is who.
#[derive(Debug, Default)]
pub struct Teller {
    /// Addresses are told; else peers are numbered.
    show_addrs: bool,
    peers: BTreeMap<PeerKey, SocketAddr>,
}

impl Teller {
    /// `show_addrs`: whether peers are called by their addresses; else by the number of their connection.
    pub fn new(show_addrs: bool) -> Teller {
        Teller { show_addrs, peers: BTreeMap::new() }
    }

    /// What a step is, if people may want to know.
    pub fn line(&mut self, step: &Step<'_>) -> Option<Line> {
        match step {
            Step::Began(_, Torrent::Known(lengths, have)) => plain(format!(
                "begins: {} pieces of {} bytes, {} of them here",
                lengths.piece_count(),
                lengths.piece_length(),
                have.count_ones()
            )),
            Step::Began(_, Torrent::Unknown(info_hash)) => {
                plain(format!("begins: the metadata of {info_hash} is looked for"))
            }
            Step::TookOver => plain("goes on with the peers that it has".into()),
            Step::Told(input) => self.told(input),
            Step::Timeout => None,
            Step::Did(output) => self.did(output),
        }
    }

    fn told(&mut self, input: &Input<'_>) -> Option<Line> {
        match *input {
            Input::PeerConnected { peer, addr, outgoing, peer_id, reserved } => {
                self.peers.insert(peer, addr);
                let how = if outgoing { "answers" } else { "calls" };
                let client = wire::client::name(&peer_id).unwrap_or_else(|| "an unknown client".into());
                self.about(peer, format!("{how}: {client}, can do: {reserved}"))
            }
            Input::WebSeedReady { peer, addr, .. } => {
                self.peers.insert(peer, addr);
                self.about(peer, "is a web seed".into())
            }
            Input::Message { peer, ref message } => self.from(peer, message.to_string()),
            Input::BlockReceived { peer, block } => self.from(peer, format!("piece {}", text(block))),
            Input::BlockRefused { peer, block } => {
                self.from(peer, format!("piece {}: of no use any more", text(block)))
            }
            Input::Unrequested { peer, len } => {
                self.from(peer, format!("piece: {len} bytes that were not asked for"))
            }
            Input::PeerClosed { peer } => {
                let line = self.about(peer, "is gone".into());
                self.peers.remove(&peer);
                line
            }
            Input::ConnectFailed { addr } => plain(format!("cannot connect to {}", self.addr(addr))),
            Input::PeersFound { addrs, source } => {
                plain(format!("{} addresses from {}", addrs.len(), said_by(source)))
            }
            Input::PieceVerified { piece, .. } => plain(format!("piece {piece} is good")),
            Input::PieceLost { piece } => plain(format!("piece {piece} on disk is bad or gone")),
            Input::PieceFailed { piece, .. } => plain(format!("piece {piece} is bad, fetching it again")),
            Input::BlockSent { peer, block } => self.to(peer, format!("piece {}", text(block))),
            Input::ServeFailed { peer, block } => {
                self.about(peer, format!("does not get {}: it cannot be read", text(block)))
            }
            Input::Pause => plain("pauses".into()),
            Input::Resume => plain("goes on".into()),
            _ => None,
        }
    }

    fn did(&mut self, output: &Output) -> Option<Line> {
        match *output {
            Output::Send { peer, ref message } => self.to(peer, message.to_string()),
            Output::Request { peer, block } => self.to(peer, format!("request {}", text(block))),
            Output::Cancel { peer, block } => self.to(peer, format!("cancel {}", text(block))),
            Output::ServeMetadata { peer, piece, .. } => self.to(peer, format!("metadata piece {piece}")),
            Output::Connect { addr } => plain(format!("connecting to {}", self.addr(addr))),
            Output::Disconnect { peer, reason } => {
                let line = self.about(peer, format!("is hung up on: {reason}"));
                self.peers.remove(&peer);
                line
            }
            Output::Hold { peer } => {
                self.about(peer, "asks for too much, and is not read for a while".into())
            }
            Output::Release { peer } => self.about(peer, "is read again".into()),
            Output::PeersTold { peer, peers } => self.about(peer, format!("tells of {peers} other peers")),
            Output::NeedPeers => plain("more peers would be useful".into()),
            Output::Finished => plain("every wanted piece is good".into()),
            Output::Banned { addr, reason } => plain(format!("{} is banned: {reason}", self.addr(addr))),
            // What was sent is told when it was.
            Output::Serve { .. } | Output::DropServes { .. } => None,
        }
    }

    fn from(&self, peer: PeerKey, text: String) -> Option<Line> {
        Some(Line { peer: Some(self.name(peer)), way: Some(Way::In), text })
    }

    fn to(&self, peer: PeerKey, text: String) -> Option<Line> {
        Some(Line { peer: Some(self.name(peer)), way: Some(Way::Out), text })
    }

    fn about(&self, peer: PeerKey, text: String) -> Option<Line> {
        Some(Line { peer: Some(self.name(peer)), way: None, text })
    }

    fn name(&self, peer: PeerKey) -> String {
        match self.peers.get(&peer).filter(|_| self.show_addrs) {
            Some(addr) => addr.to_string(),
            None => format!("peer {}", peer.0),
        }
    }

    fn addr(&self, addr: SocketAddr) -> String {
        if self.show_addrs { addr.to_string() } else { "a peer".into() }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what a match arm gives")]
fn plain(text: String) -> Option<Line> {
    Some(Line { peer: None, way: None, text })
}

/// As messages say it.
fn text(block: BlockRange) -> String {
    format!("piece {}, {} bytes at {}", block.piece, block.len, block.offset)
}

fn said_by(source: PeerSource) -> &'static str {
    match source {
        PeerSource::User => "the user",
        PeerSource::Tracker => "a tracker",
        PeerSource::Peer => "the peer itself",
        PeerSource::Lsd => "the local network",
        PeerSource::Dht => "the DHT",
        PeerSource::Pex => "a peer",
        PeerSource::Earlier => "an earlier run",
    }
}
