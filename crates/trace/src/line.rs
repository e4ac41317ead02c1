//! Events in a line each; who and when stand elsewhere.

use crate::{Direction, EventKind, Ext, Kind, Peer, Said};
use alloc::string::{String, ToString};
use core::fmt;

/// One line for people, without the time, the peer and the way that it went.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Began { pieces: Some(pieces), have } => {
                write!(f, "begins: {}, {have} of them here", counted(*pieces, "piece"))
            }
            EventKind::Began { pieces: None, .. } => f.write_str("begins: the metadata is looked for"),
            EventKind::Checking { pieces } => write!(f, "checking {}", counted(*pieces, "piece")),
            EventKind::MetadataFound { bytes } => {
                write!(f, "the metadata is here, {}", counted(bytes, "byte"))
            }
            EventKind::Announcing { tracker, event: None } => write!(f, "announcing to {tracker}"),
            EventKind::Announcing { tracker, event: Some(event) } => {
                write!(f, "announcing '{event}' to {tracker}")
            }
            EventKind::Announced { tracker, peers, external, warning } => {
                write!(f, "{tracker} tells {}", counted(peers, "peer"))?;
                external.iter().try_for_each(|ip| write!(f, ", sees us as {ip}"))?;
                warning.iter().try_for_each(|warning| write!(f, " and warns: {warning}"))
            }
            EventKind::AnnounceFailed { tracker, error } => write!(f, "{tracker} failed: {error}"),
            EventKind::DhtSearched { peers, listed_at: 0 } => write!(f, "DHT: {}", counted(peers, "peer")),
            EventKind::DhtSearched { peers, listed_at } => {
                let (peers, nodes) = (counted(peers, "peer"), counted(listed_at, "node"));
                write!(f, "DHT: {peers}; {nodes} will tell others of us")
            }
            EventKind::DhtAsked { query, target: None, .. } => write!(f, "DHT {query}"),
            EventKind::DhtAsked { query, target: Some(target), .. } => write!(f, "DHT {query} {target}"),
            EventKind::DhtAnswered { query, nodes: 0, peers: 0, .. } => write!(f, "DHT {query} answered"),
            EventKind::DhtAnswered { query, nodes, peers, .. } => {
                let (nodes, peers) = (counted(nodes, "node"), counted(peers, "peer"));
                write!(f, "DHT {query} answered: {peers}, {nodes}")
            }
            EventKind::DhtFailed { query, error, .. } => write!(f, "DHT {query} failed: {error}"),
            EventKind::WebSeedOpened { web_seed } => write!(f, "asking web seed {web_seed}"),
            EventKind::WebSeedFailed { web_seed, error, again: None } => {
                write!(f, "web seed {web_seed} is not used: {error}")
            }
            EventKind::WebSeedFailed { web_seed, error, again: Some(again) } => {
                write!(f, "web seed {web_seed} failed: {error}; asked again in {} s", again.as_secs())
            }
            EventKind::PeersFound { source, peers } => {
                write!(f, "{} from: {source}", counted(peers, "address"))
            }
            EventKind::PeersWanted => f.write_str("more peers would be useful"),
            EventKind::PeersExchanged { peers, .. } => write!(f, "tells of {}", counted(peers, "other peer")),
            EventKind::LocalPeer { .. } => f.write_str("is on the local network"),
            EventKind::Dialing { .. } => f.write_str("connecting"),
            EventKind::DialFailed { error, .. } => write!(f, "cannot connect: {error}"),
            EventKind::Present { outgoing, client, peer_id, extensions, .. } => {
                let client = client.as_deref().unwrap_or("an unknown client");
                let way = if *outgoing { "it answered" } else { "it called" };
                write!(f, "is connected already, {way}: {client} ({peer_id}), can do: {extensions}")
            }
            EventKind::Connected { outgoing: true, .. } => f.write_str("connected: it answers"),
            EventKind::Connected { outgoing: false, .. } => f.write_str("connected: it calls"),
            EventKind::Handshake { client, peer_id, extensions, .. } => {
                let client = client.as_deref().unwrap_or("an unknown client");
                write!(f, "handshake: {client} ({peer_id}), can do: {extensions}")
            }
            EventKind::Message { said, .. } => said.fmt(f),
            EventKind::Unrequested { piece, offset, bytes, cancelled, .. } => {
                match (piece, offset) {
                    (Some(piece), Some(offset)) => write!(f, "piece {piece}, {bytes} bytes at {offset}")?,
                    _ => write!(f, "piece: {bytes} bytes")?,
                }
                f.write_str(if *cancelled {
                    " that are not asked for any more"
                } else {
                    " for which no request is open"
                })
            }
            EventKind::Disconnected { reason, .. } => write!(f, "disconnected: {reason}"),
            EventKind::PieceVerified { piece, from } => {
                write!(f, "piece {piece} is good")?;
                senders(f, from)
            }
            EventKind::PieceFailed { piece, from } => {
                write!(f, "piece {piece} is bad, fetching it again")?;
                senders(f, from)
            }
            EventKind::PieceLost { piece } => write!(f, "piece {piece} on disk is bad or gone"),
            EventKind::DiskWaited { took, .. } => {
                write!(f, "its block waited {} ms for the disk", took.as_millis())
            }
            EventKind::DiskFull => f.write_str("the disk is full"),
            EventKind::LimitReached { limit, peer: None } => write!(f, "limit reached: {limit}"),
            EventKind::LimitReached { limit, peer: Some(_) } => {
                let then =
                    if limit == "requests" { "it is not read for a while" } else { "we hang up on it" };
                write!(f, "limit reached: {limit}; {then}")
            }
            EventKind::Banned { reason, .. } => write!(f, "banned: {reason}"),
            EventKind::Complete => f.write_str("every wanted piece is good"),
            EventKind::Finished => f.write_str("finished"),
            EventKind::Paused => f.write_str("pauses"),
            EventKind::Resumed => f.write_str("goes on"),
            EventKind::Stopped { error: None } => f.write_str("stopped"),
            EventKind::Stopped { error: Some(error) } => write!(f, "stopped: {error}"),
        }
    }
}

impl EventKind {
    /// What stands beside its line: reserved bytes, the time that an answer took, a reason.
    pub fn aside(&self) -> Option<String> {
        match self {
            EventKind::Handshake { reserved, .. } | EventKind::Present { reserved, .. } => {
                let digits: String = reserved.0.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
                Some(alloc::format!("reserved {digits}"))
            }
            EventKind::Message { took: Some(took), .. }
            | EventKind::DhtAnswered { took: Some(took), .. }
            | EventKind::DhtFailed { took: Some(took), .. } => {
                Some(alloc::format!("after {:.1} ms", took.as_secs_f64() * 1000.0))
            }
            EventKind::Message { reason: Some(reason), .. } => Some(reason.to_string()),
            EventKind::Message { said: Said::Extended { id, says, .. }, .. }
                if !matches!(says, Ext::Unknown) =>
            {
                Some(alloc::format!("extended {id}"))
            }
            _ => None,
        }
    }

    /// Who is at the far end, in a word or two; nothing if it is about nobody.
    pub fn who(&self) -> String {
        match self.peer() {
            Some(Peer { addr: None, number: None }) if self.kind() == Kind::Dht => "a node".into(),
            Some(peer) => peer.to_string(),
            None => String::new(),
        }
    }
}

fn senders(f: &mut fmt::Formatter<'_>, from: &[Peer]) -> fmt::Result {
    for (index, peer) in from.iter().enumerate() {
        write!(f, "{}{peer}", if index == 0 { ", from " } else { ", " })?;
    }
    Ok(())
}

/// `1 peer`, `2 peers`.
pub(crate) fn counted(count: impl fmt::Display, one: &str) -> alloc::string::String {
    let count = alloc::format!("{count}");
    let plural = match count.as_str() {
        "1" => "",
        _ if one.ends_with('s') => "es",
        _ => "s",
    };
    alloc::format!("{count} {one}{plural}")
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Out => "<-",
            Direction::In => "->",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Event};
    use alloc::vec;
    use core::time::Duration;
    use types::{InfoHash, InfoHashV1};

    #[test]
    fn numbers_of_one_are_one() {
        let found = |peers| EventKind::PeersFound { source: "dht".into(), peers }.to_string();
        assert_eq!((&*found(1), &*found(2)), ("1 address from: dht", "2 addresses from: dht"));
        let from = vec![Peer { number: Some(1), addr: None }, Peer { number: Some(4), addr: None }];
        assert_eq!(
            EventKind::PieceVerified { piece: 7, from }.to_string(),
            "piece 7 is good, from peer 1, peer 4"
        );
    }

    #[test]
    fn every_kind_is_a_line_and_json_and_names_no_address() {
        let addr: core::net::SocketAddr = "203.0.113.7:6881".parse().unwrap();
        let peer = Peer { number: Some(3), addr: Some(addr) };
        let text = || "at 203.0.113.7".to_string();
        let handshake = |direction| EventKind::Handshake {
            peer,
            direction,
            info_hash: InfoHashV1([1; 20]),
            peer_id: types::PeerId(*b"-TR4050-abcdefghijkl"),
            client: Some(text()),
            reserved: wire::Reserved::NONE.with_fast(),
            extensions: "fast".into(),
        };
        let message = |said| EventKind::Message {
            peer,
            direction: Direction::In,
            said,
            reason: Some("it has a piece".into()),
            took: Some(Duration::from_millis(3)),
        };
        let unrequested = |at, cancelled| {
            let (piece, offset) = (at, at);
            EventKind::Unrequested { peer, piece, offset, bytes: 5, cancelled }
        };
        let dht_asked = |query: &'static str| {
            let target = Some("ab".repeat(20));
            EventKind::DhtAsked { peer, direction: Direction::Out, query: query.into(), target }
        };
        let kinds = [
            EventKind::Began { pieces: None, have: 0 },
            EventKind::Checking { pieces: 1 },
            EventKind::MetadataFound { bytes: 9 },
            EventKind::Announcing { tracker: text(), event: Some("started".into()) },
            EventKind::Announced {
                tracker: text(),
                peers: 1,
                external: vec![addr.ip()],
                warning: Some(text()),
            },
            EventKind::AnnounceFailed { tracker: text(), error: text() },
            EventKind::DhtSearched { peers: 2, listed_at: 8 },
            dht_asked("get_peers"),
            dht_asked("find_node"),
            EventKind::DhtAnswered {
                peer,
                direction: Direction::In,
                query: "ping".into(),
                nodes: 8,
                peers: 1,
                took: Some(Duration::from_millis(3)),
            },
            EventKind::DhtFailed {
                peer,
                direction: Direction::Out,
                query: "put".into(),
                error: text(),
                took: None,
            },
            EventKind::WebSeedOpened { web_seed: text() },
            EventKind::WebSeedFailed { web_seed: text(), error: text(), again: Some(Duration::from_secs(5)) },
            EventKind::PeersFound { source: "pex".into(), peers: 1 },
            EventKind::PeersWanted,
            EventKind::PeersExchanged { from: peer, peers: 2 },
            EventKind::LocalPeer { peer },
            EventKind::Dialing { peer },
            EventKind::DialFailed { peer, error: text() },
            EventKind::Connected { peer, outgoing: true },
            handshake(Direction::Out),
            handshake(Direction::In),
            message(Said::AllowedFast { piece: Some(7) }),
            message(Said::Unchoke),
            unrequested(Some(u32::MAX), true),
            unrequested(None, false),
            EventKind::Present {
                peer,
                outgoing: true,
                info_hash: InfoHashV1([1; 20]),
                our_id: types::PeerId(*b"-RW0100-abcdefghijkl"),
                our_reserved: wire::Reserved::NONE.with_extended(),
                peer_id: types::PeerId(*b"-TR4050-203.0.113.7x"),
                client: Some(text()),
                reserved: wire::Reserved::NONE.with_fast(),
                extensions: "fast".into(),
            },
            EventKind::Disconnected { peer, reason: text() },
            EventKind::PieceVerified { piece: 1, from: vec![peer] },
            EventKind::PieceFailed { piece: 1, from: vec![peer] },
            EventKind::PieceLost { piece: 1 },
            EventKind::DiskWaited { peer, took: Duration::from_millis(200) },
            EventKind::DiskFull,
            EventKind::LimitReached { limit: "requests".into(), peer: Some(peer) },
            EventKind::LimitReached { limit: "upload rate".into(), peer: None },
            EventKind::Banned {
                peer,
                reason: text(),
                evidence: crate::Evidence { piece: Some(1), block: None },
            },
            EventKind::Complete,
            EventKind::Finished,
            EventKind::Paused,
            EventKind::Resumed,
            EventKind::Stopped { error: Some(text()) },
        ];
        let told: alloc::collections::BTreeSet<u32> = kinds.iter().map(|kind| kind.kind().bit()).collect();
        assert_eq!(told.len(), crate::Kind::ALL.len(), "a kind is left out");
        for kind in kinds {
            let torrent = InfoHash::V1(InfoHashV1([0xab; 20]));
            let mut event = Event { v: crate::VERSION, at: Duration::from_millis(1500), torrent, kind };
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
            event.mask();
            let (json, line) = (serde_json::to_string(&event).unwrap(), event.kind.to_string());
            assert!(!json.contains("203.0.113.7") && !line.contains("203.0.113.7"), "{json} {line}");
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn events_are_written_and_read_again() {
        let peer = Peer { number: Some(3), addr: None };
        let (piece, took) = (Block { piece: 1, offset: 0, length: 16384 }, Some(Duration::from_millis(40)));
        let said = Said::Piece(piece);
        let kind = EventKind::Message { peer, direction: Direction::In, said, reason: None, took };
        let torrent = InfoHash::V1(InfoHashV1([0xab; 20]));
        let event = Event { v: crate::VERSION, at: Duration::from_millis(1500), torrent, kind };
        let text = serde_json::to_string(&event).unwrap();
        let expected = concat!(
            r#"{"v":1,"at":1.5,"torrent":"abababababababababababababababababababab","kind":"message","#,
            r#""peer":{"number":3},"direction":"in","message":"piece","piece":1,"offset":0,"length":16384,"took":0.04}"#
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
