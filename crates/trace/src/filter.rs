//! Which events are wanted.

use crate::limits::MAX_TERMS;
use crate::{Direction, Event, EventKind, Kind, NO_TORRENT, explain};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use thiserror::Error;

/// Which events are wanted: terms of one sort are alternatives, and every sort must be met. Without a term of a sort, all
/// are wanted.
///
/// As text, terms have commas between them: kinds (`handshake`, `pieces`), messages (`request`, `have-all` or `have all`), `in` or `out`,
/// `peer=NUMBER` or `peer=ADDRESS`, `torrent=` and the first digits of an info-hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Bits of kinds; none: all.
    kinds: u32,
    messages: Vec<&'static str>,
    /// All are wanted, though some are named.
    every_message: bool,
    directions: Vec<Direction>,
    peers: Vec<Whom>,
    torrents: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Number(u64),
    Ip(IpAddr),
    Addr(SocketAddr),
}

/// A filter that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// No term is called so.
    #[error("'{0}' is no kind of event or message; {help}", help = help())]
    Unknown(String),
    /// What follows `peer=` is neither a number nor an address.
    #[error("'{0}' is neither the number of a connection nor an address")]
    Peer(String),
    /// What follows `torrent=` has other characters than hex digits.
    #[error("'{0}' is not the beginning of an info-hash")]
    Torrent(String),
    /// More than [`MAX_TERMS`].
    #[error("more than {MAX_TERMS} terms")]
    TooLong,
}

fn help() -> String {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let messages: Vec<String> = explain::MESSAGES.iter().map(|told| dashed(told.name)).collect();
    alloc::format!("kinds are {}; messages are {}", kinds.join(", "), messages.join(", "))
}

fn dashed(name: &str) -> String {
    name.chars().filter(|&c| c != '\'').map(|c| if c == ' ' { '-' } else { c }).collect()
}

impl Filter {
    /// Everything.
    pub fn all() -> Filter {
        Filter::default()
    }

    /// Everything of these kinds.
    pub fn of(kinds: &[Kind]) -> Filter {
        Filter { kinds: kinds.iter().fold(0, |bits, kind| bits | kind.bit()), ..Filter::default() }
    }

    /// The bits of the kinds that it may let pass.
    pub fn bits(&self) -> u32 {
        match self.kinds {
            0 => Kind::ALL.iter().fold(0, |bits, kind| bits | kind.bit()),
            bits => bits,
        }
    }

    /// Whether it asks for peers by their addresses: who hears of them knows that they are there.
    pub fn names_addresses(&self) -> bool {
        self.peers.iter().any(|whom| !matches!(whom, Whom::Number(_)))
    }

    /// The same without what narrows what is said by the same peers of the same torrents: a capture of a part of a connection
    /// could not be read.
    #[must_use]
    pub fn whole(&self) -> Filter {
        Filter { peers: self.peers.clone(), torrents: self.torrents.clone(), ..Filter::default() }
    }

    /// Whether an event is wanted.
    pub fn admits(&self, event: &Event) -> bool {
        let torrent = || event.torrent.to_string();
        let is_of = || {
            event.torrent != NO_TORRENT && self.torrents.iter().any(|start| torrent().starts_with(&**start))
        };
        (self.torrents.is_empty() || is_of()) && self.admits_kind(&event.kind)
    }

    /// The same, of whatever torrent it is.
    pub fn admits_kind(&self, kind: &EventKind) -> bool {
        if self.bits() & kind.kind().bit() == 0 {
            return false;
        }
        let named = |name| self.every_message || self.messages.is_empty() || self.messages.contains(&name);
        let message = match kind {
            EventKind::Message { said, .. } => named(said.name()),
            EventKind::Unrequested { .. } => named("piece"),
            _ => true,
        };
        let way = kind.direction();
        let direction = self.directions.is_empty() || way.is_some_and(|way| self.directions.contains(&way));
        let wanted = |peer: &crate::Peer| self.peers.iter().any(|whom| whom.is(peer));
        let peer = || match kind {
            EventKind::PieceVerified { from, .. } | EventKind::PieceFailed { from, .. } => {
                from.iter().any(wanted)
            }
            _ => kind.peer().is_some_and(|peer| wanted(&peer)),
        };
        message && direction && (self.peers.is_empty() || peer())
    }
}

impl Whom {
    fn is(&self, peer: &crate::Peer) -> bool {
        match *self {
            Whom::Number(number) => peer.number == Some(number),
            Whom::Ip(ip) => peer.addr.is_some_and(|addr| addr.ip() == ip),
            Whom::Addr(addr) => peer.addr == Some(addr),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut filter = Filter::default();
        for (index, term) in text.split(',').map(str::trim).filter(|term| !term.is_empty()).enumerate() {
            if index >= MAX_TERMS {
                return Err(FilterError::TooLong);
            }
            filter.add(term)?;
        }
        Ok(filter)
    }
}

impl Filter {
    fn add(&mut self, term: &str) -> Result<(), FilterError> {
        if let Some(peer) = term.strip_prefix("peer=") {
            let whom = (peer.parse().map(Whom::Number))
                .or_else(|_| peer.parse().map(Whom::Addr))
                .or_else(|_| peer.parse().map(Whom::Ip));
            self.peers.push(whom.map_err(|_| FilterError::Peer(peer.to_owned()))?);
        } else if let Some(torrent) = term.strip_prefix("torrent=") {
            if torrent.is_empty() || !torrent.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(FilterError::Torrent(torrent.to_owned()));
            }
            self.torrents.push(torrent.to_ascii_lowercase());
        } else if term == "in" || term == "out" {
            self.directions.push(if term == "in" { Direction::In } else { Direction::Out });
        } else {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == term);
            // Metadata are both; handshakes are no messages.
            let message = explain::MESSAGES.iter().find(|message| message.is_called(term));
            let message = message.filter(|_| kind != Some(Kind::Handshake));
            if kind.is_none() && message.is_none() {
                return Err(FilterError::Unknown(term.to_owned()));
            }
            self.kinds |= kind.map_or(0, Kind::bit) | message.map_or(0, |_| Kind::Message.bit());
            self.every_message |= kind == Some(Kind::Message);
            self.messages.extend(message.map(|message| message.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Peer, Said};
    use alloc::vec;
    use core::time::Duration;
    use types::{InfoHash, InfoHashV1};

    fn message(direction: Direction, said: Said) -> EventKind {
        let peer = Peer { number: Some(3), addr: Some("10.0.0.7:6881".parse().unwrap()) };
        EventKind::Message { peer, direction, said, reason: None, took: None }
    }

    #[test]
    fn sorts_must_all_be_met_and_terms_of_one_are_alternatives() {
        let block = Block { piece: 1, offset: 0, length: 1 };
        let request = message(Direction::Out, Said::Request(block));
        let piece = message(Direction::In, Said::Piece(block));
        let from = vec![Peer { number: Some(3), addr: None }];
        let verified = EventKind::PieceVerified { piece: 1, from };
        for (filter, admitted) in [
            ("", [true, true, true]),
            ("request", [true, false, false]),
            ("request,piece", [true, true, false]),
            ("don't have, Request", [true, false, false]),
            ("message,request", [true, true, false]),
            ("peer=3,pieces", [false, false, true]),
            ("request,pieces", [true, false, true]),
            ("message,in", [false, true, false]),
            ("in", [false, true, false]),
            ("peer=3", [true, true, true]),
            ("peer=10.0.0.7, piece", [false, true, false]),
            ("peer=10.0.0.7:6881", [true, true, false]),
            ("peer=4", [false, false, false]),
        ] {
            let parsed: Filter = filter.parse().unwrap();
            assert_eq!(
                [&request, &piece, &verified].map(|kind| parsed.admits_kind(kind)),
                admitted,
                "{filter}"
            );
        }
        let torrent = InfoHash::V1(InfoHashV1([0xab; 20]));
        let event = Event { v: crate::VERSION, at: Duration::ZERO, torrent, kind: verified };
        assert!("torrent=ABAB".parse::<Filter>().unwrap().admits(&event));
        assert!(!"torrent=abb".parse::<Filter>().unwrap().admits(&event));
        let of_none = Event { torrent: NO_TORRENT, ..event };
        assert!(!"torrent=0".parse::<Filter>().unwrap().admits(&of_none), "it is no torrent");
        assert!(Filter::all().admits(&of_none));
    }

    #[test]
    fn messages_may_be_written_as_the_trace_prints_them() {
        for (written, dashed) in
            [("don't have", "dont-have"), ("not interested", "not-interested"), ("ut_pex", "pex")]
        {
            assert_eq!(written.parse::<Filter>(), Ok(dashed.parse::<Filter>().unwrap()), "{written}");
        }
    }

    #[test]
    fn metadata_are_what_came_of_them_and_what_was_said_for_them() {
        let filter: Filter = "metadata".parse().unwrap();
        let says = crate::Ext::MetadataRequest { piece: 0 };
        let asked = message(Direction::Out, Said::Extended { id: 2, payload: vec![], left_out: 0, says });
        assert!(filter.admits_kind(&asked) && filter.admits_kind(&EventKind::MetadataFound { bytes: 9 }));
        assert!(!filter.admits_kind(&message(Direction::Out, Said::Choke)));
        assert_eq!(
            "handshake".parse::<Filter>().unwrap(),
            Filter::of(&[Kind::Handshake]),
            "no message is one"
        );
    }

    #[test]
    fn what_is_whole_is_all_of_the_same_peers() {
        for (filter, whole) in [
            ("", ""),
            ("peer=3,torrent=ab", "peer=3,torrent=ab"),
            ("handshake,request,in", ""),
            ("message,peer=3,out", "peer=3"),
        ] {
            assert_eq!(filter.parse::<Filter>().unwrap().whole(), whole.parse().unwrap(), "{filter}");
        }
    }

    #[test]
    fn what_is_no_term_is_named() {
        let error = |text: &str| text.parse::<Filter>().unwrap_err();
        assert!(error("requests").to_string().contains("messages are keep-alive, choke"));
        assert_eq!(error("peer=x"), FilterError::Peer("x".into()));
        assert_eq!(error("torrent=xyz"), FilterError::Torrent("xyz".into()));
        let long = vec!["in"; MAX_TERMS + 1].join(",");
        assert_eq!(error(&long), FilterError::TooLong);
        assert!(vec!["in"; MAX_TERMS].join(",").parse::<Filter>().is_ok());
    }
}
