//! The UDP tracker protocol (BEP 15), with the path and query that it lacks (BEP 41).
//!
//! This file is the packets; [`Exchange`] is one request from connect to answer.

mod exchange;

pub use exchange::{Connection, Exchange, Reply, Request, Retransmit};

use crate::limits::{MAX_PEERS, MAX_SCRAPE};
use crate::message::{compact_v4, compact_v6, is_plausible_peer};
use crate::text::one_line;
use crate::{Announce, AnnounceResponse, Event, ScrapeEntry};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use types::InfoHashV1;

/// What a connect request carries in place of a connection id.
pub(crate) const PROTOCOL_ID: u64 = 0x0417_2710_1980;

pub(crate) const CONNECT: u32 = 0;
pub(crate) const ANNOUNCE: u32 = 1;
pub(crate) const SCRAPE: u32 = 2;
pub(crate) const ERROR: u32 = 3;

/// BEP 41's option that carries up to 255 bytes of path and query.
const URL_DATA: u8 = 2;

/// By which a response is matched with its request.
pub type TransactionId = u32;

/// The address family of the packets, which decides how long a peer's entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: 6 bytes for each peer.
    V4,
    /// IPv6: 18 bytes for each peer.
    V6,
}

impl From<SocketAddr> for Family {
    fn from(addr: SocketAddr) -> Family {
        match addr.ip().to_canonical() {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// What a tracker's packet says, besides its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The connection id to use from now on.
    Connect(u64),
    /// The answer to an announce.
    Announce(AnnounceResponse),
    /// One entry for each torrent asked about, in that order; there may be fewer.
    Scrape(Vec<ScrapeEntry>),
    /// The tracker says no, and why (made fit for one line).
    Error(String),
}

/// The connect request.
pub fn encode_connect(transaction: TransactionId) -> Vec<u8> {
    header(PROTOCOL_ID, CONNECT, transaction)
}

/// The announce request; `url_data` is the path and query of the tracker's URL (BEP 41), may be empty.
pub fn encode_announce(
    connection_id: u64,
    transaction: TransactionId,
    announce: &Announce,
    url_data: &str,
) -> Vec<u8> {
    let event: u32 = match announce.event {
        None => 0,
        Some(Event::Completed) => 1,
        Some(Event::Started) => 2,
        Some(Event::Stopped) => 3,
    };
    let numwant = announce.numwant.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
    let mut packet = header(connection_id, ANNOUNCE, transaction);
    packet.extend(announce.info_hash.0);
    packet.extend(announce.peer_id.0);
    packet.extend(announce.downloaded.to_be_bytes());
    packet.extend(announce.left.to_be_bytes());
    packet.extend(announce.uploaded.to_be_bytes());
    packet.extend(event.to_be_bytes());
    packet.extend([0; 4]); // our IPv4 address: the tracker takes the packet's
    packet.extend(announce.key.to_be_bytes());
    packet.extend(numwant.to_be_bytes());
    packet.extend(announce.port.to_be_bytes());
    push_url_data(&mut packet, url_data);
    packet
}

/// The scrape request, for at most [`MAX_SCRAPE`] torrents; those beyond are left out.
pub fn encode_scrape(connection_id: u64, transaction: TransactionId, torrents: &[InfoHashV1]) -> Vec<u8> {
    let mut packet = header(connection_id, SCRAPE, transaction);
    packet.extend(torrents.iter().take(MAX_SCRAPE).flat_map(|torrent| torrent.0));
    packet
}

/// Reads a tracker's packet; `None` if it is too short for what it claims to be, or of no known kind.
///
/// More bytes than needed are no fault (BEP 15), nor is a last peer or entry that is cut off: it is left out.
pub fn parse(packet: &[u8], family: Family) -> Option<(TransactionId, Response)> {
    let (action, rest) = take_u32(packet)?;
    let (transaction, rest) = take_u32(rest)?;
    let response = match action {
        CONNECT => Response::Connect(u64::from_be_bytes(*rest.first_chunk()?)),
        ANNOUNCE => Response::Announce(parse_announce(rest, family)?),
        SCRAPE => {
            Response::Scrape(rest.chunks_exact(12).take(MAX_SCRAPE).filter_map(parse_scrape_entry).collect())
        }
        ERROR => Response::Error(one_line(rest)),
        _ => return None,
    };
    Some((transaction, response))
}

fn parse_announce(body: &[u8], family: Family) -> Option<AnnounceResponse> {
    let (interval, rest) = take_u32(body)?;
    let (leechers, rest) = take_u32(rest)?;
    let (seeders, entries) = take_u32(rest)?;
    let peers = match family {
        Family::V4 => compact_v4(entries).filter(is_plausible_peer).take(MAX_PEERS).collect(),
        Family::V6 => compact_v6(entries).filter(is_plausible_peer).take(MAX_PEERS).collect(),
    };
    Some(AnnounceResponse {
        interval: Some(Duration::from_secs(interval.into())),
        peers,
        seeders: Some(seeders),
        leechers: Some(leechers),
        ..AnnounceResponse::default()
    })
}

fn parse_scrape_entry(entry: &[u8]) -> Option<ScrapeEntry> {
    let (seeders, rest) = take_u32(entry)?;
    let (completed, rest) = take_u32(rest)?;
    let (leechers, _) = take_u32(rest)?;
    Some(ScrapeEntry { seeders, leechers, completed, downloaders: None })
}

fn header(connection_id: u64, action: u32, transaction: TransactionId) -> Vec<u8> {
    let mut packet = Vec::with_capacity(128);
    packet.extend(connection_id.to_be_bytes());
    packet.extend(action.to_be_bytes());
    packet.extend(transaction.to_be_bytes());
    packet
}

/// BEP 41: pieces of at most 255 bytes, which the tracker joins. An empty URL needs no option.
fn push_url_data(packet: &mut Vec<u8>, url_data: &str) {
    for part in url_data.as_bytes().chunks(255) {
        packet.push(URL_DATA);
        packet.push(u8::try_from(part.len()).expect("chunks of 255 are no longer than 255"));
        packet.extend(part);
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_paths_are_split() {
        let mut packet = Vec::new();
        push_url_data(&mut packet, &"x".repeat(600));
        assert_eq!(packet.len(), 600 + 3 * 2);
        assert_eq!((packet[1], packet[258], packet[515]), (255, 255, 90));
    }

    #[test]
    fn impossible_peers_are_dropped_and_others_bounded() {
        let mut packet = [0, 0, 0, 1, 0, 0, 0, 9].to_vec();
        packet.extend([0; 12]);
        packet.extend([0, 0, 0, 0, 0, 80]); // unspecified
        packet.extend([1, 2, 3, 4, 0, 0]); // port 0
        packet.extend([224, 0, 0, 1, 0, 80]); // multicast
        packet.extend([255, 255, 255, 255, 0, 80]); // broadcast
        packet.extend([1, 2, 3, 4, 0, 80].repeat(MAX_PEERS + 5));
        let Some((9, Response::Announce(answer))) = parse(&packet, Family::V4) else { panic!() };
        assert_eq!(answer.peers.len(), MAX_PEERS);
        assert!(answer.peers.iter().all(|p| *p == "1.2.3.4:80".parse().unwrap()));
    }

    #[test]
    fn scrapes_are_bounded() {
        let torrents = [InfoHashV1([7; 20]); MAX_SCRAPE + 1];
        assert_eq!(encode_scrape(1, 2, &torrents).len(), 16 + MAX_SCRAPE * 20);
        let mut packet = [0, 0, 0, 2, 0, 0, 0, 9].to_vec();
        packet.extend([1; 12].repeat(MAX_SCRAPE + 1));
        let Some((9, Response::Scrape(entries))) = parse(&packet, Family::V4) else { panic!() };
        assert_eq!(entries.len(), MAX_SCRAPE);
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(packet in proptest::collection::vec(any::<u8>(), 0..200), action in 0u8..5) {
            let _ = parse(&packet, Family::V4);
            let mut packet = packet;
            if packet.len() >= 4 {
                packet[..4].copy_from_slice(&[0, 0, 0, action]);
            }
            let _ = parse(&packet, Family::V4);
            let _ = parse(&packet, Family::V6);
        }
    }
}
