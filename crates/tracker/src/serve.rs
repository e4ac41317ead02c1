//! The logic of a small tracker, as the demo and the tests run it: queries in and bencoded bodies out over HTTP, packets
//! in and out over UDP.

mod packet;

use crate::http::MAX_BODY;
use crate::limits::{DEFAULT_INTERVAL, MAX_SCRAPE, MAX_SERVED_NUMWANT, MAX_SERVED_PEERS, MAX_SERVED_SWARMS};
use crate::text::percent_decode;
use crate::udp::Family;
use crate::{Event, ScrapeEntry};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use types::{InfoHashV1, PeerId, Time};

// The largest answer, a list of dictionaries of at most 120 bytes, must be one that clients read.
const _: () = assert!(MAX_SERVED_NUMWANT * 120 < MAX_BODY);

/// How many peers an announce gets that asks for no number.
const NUMWANT_UNSAID: usize = 50;

/// Who is in which swarm. A peer that is not heard of for two intervals is forgotten.
#[derive(Debug)]
pub struct Tracker {
    swarms: BTreeMap<InfoHashV1, Swarm>,
    interval: Duration,
    rng: fastrand::Rng,
    /// What makes the connection ids of UDP (BEP 15) this tracker's own.
    secret: u64,
}

#[derive(Debug, Default)]
struct Swarm {
    peers: BTreeMap<SocketAddr, Seen>,
    completed: u32,
}

#[derive(Debug)]
struct Seen {
    peer_id: PeerId,
    is_seed: bool,
    expires: Time,
}

impl Tracker {
    /// A tracker that knows nobody; `seed` decides which peers are picked when there are more than asked for.
    pub fn new(seed: u64) -> Tracker {
        Tracker::with_interval(DEFAULT_INTERVAL, seed)
    }

    /// A tracker that asks its peers to announce every `interval`.
    pub fn with_interval(interval: Duration, seed: u64) -> Tracker {
        let mut rng = fastrand::Rng::with_seed(seed);
        let secret = rng.u64(..);
        Tracker { swarms: BTreeMap::new(), interval, rng, secret }
    }

    /// Answers an announce: `query` is what followed the `?`, `from` the address it came from.
    ///
    /// What is wrong with a query is told in the body, as `failure reason`.
    pub fn announce(&mut self, now: Time, from: IpAddr, query: &str) -> Vec<u8> {
        match AnnounceQuery::parse(query) {
            Ok(query) => match self.listed(now, from.to_canonical(), &query.announce) {
                Ok(listed) => listed.encoded(self.interval, &query),
                Err(reason) => failure(reason),
            },
            Err(reason) => failure(reason),
        }
    }

    /// Answers a scrape of the torrents that `query` names (BEP 48); those not known are left out.
    pub fn scrape(&mut self, now: Time, query: &str) -> Vec<u8> {
        let torrents: Vec<_> = pairs(query)
            .filter(|(key, _)| key == b"info_hash")
            .filter_map(|(_, value)| value.try_into().ok().map(InfoHashV1))
            .take(MAX_SCRAPE)
            .collect();
        if torrents.is_empty() {
            return failure("a scrape must name its torrents by info_hash");
        }
        bencode::encode_dict(|reply| {
            reply.dict("files", |files| {
                for torrent in torrents {
                    if let Some(counts) = self.counts(now, torrent) {
                        files.dict(torrent.0, |entry| put_counts(entry, &counts));
                    }
                }
            });
        })
    }

    /// How many torrents are remembered.
    pub fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    fn counts(&mut self, now: Time, torrent: InfoHashV1) -> Option<ScrapeEntry> {
        let swarm = self.swarms.get_mut(&torrent)?;
        swarm.forget_expired(now);
        Some(swarm.counts())
    }

    fn listed(&mut self, now: Time, from: IpAddr, announce: &Heard) -> Result<Listed, &'static str> {
        self.make_room(now, announce.info_hash)?;
        let swarm = self.swarms.entry(announce.info_hash).or_default();
        swarm.forget_expired(now);
        let addr = SocketAddr::new(from, announce.port);
        if announce.event == Some(Event::Stopped) {
            swarm.peers.remove(&addr);
        } else if swarm.peers.len() < MAX_SERVED_PEERS || swarm.peers.contains_key(&addr) {
            let expires = now + self.interval.saturating_mul(2);
            swarm
                .peers
                .insert(addr, Seen { peer_id: announce.peer_id, is_seed: announce.left == 0, expires });
        }
        if announce.event == Some(Event::Completed) {
            swarm.completed = swarm.completed.saturating_add(1);
        }
        let others = swarm.peers.iter().filter(|(peer, _)| **peer != addr);
        let mut peers: Vec<_> = others.map(|(peer, seen)| (*peer, seen.peer_id)).collect();
        self.rng.shuffle(&mut peers);
        peers.truncate(if announce.event == Some(Event::Stopped) { 0 } else { announce.numwant });
        Ok(Listed { counts: swarm.counts(), peers })
    }

    /// Sees to it that one more torrent fits, if this one is new.
    fn make_room(&mut self, now: Time, torrent: InfoHashV1) -> Result<(), &'static str> {
        if self.swarms.len() < MAX_SERVED_SWARMS || self.swarms.contains_key(&torrent) {
            return Ok(());
        }
        self.swarms.retain(|_, swarm| {
            swarm.forget_expired(now);
            !swarm.peers.is_empty()
        });
        if self.swarms.len() < MAX_SERVED_SWARMS {
            Ok(())
        } else {
            Err("this tracker has no room for another torrent")
        }
    }
}

impl Swarm {
    fn forget_expired(&mut self, now: Time) {
        self.peers.retain(|_, seen| now < seen.expires);
    }

    fn counts(&self) -> ScrapeEntry {
        let seeds = self.peers.values().filter(|seen| seen.is_seed).count();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        ScrapeEntry {
            seeders: count(seeds),
            leechers: count(self.peers.len() - seeds),
            completed: self.completed,
            downloaders: None,
        }
    }
}

/// What an announce asks for, as far as this tracker cares.
struct Heard {
    info_hash: InfoHashV1,
    peer_id: PeerId,
    port: u16,
    left: u64,
    event: Option<Event>,
    numwant: usize,
}

/// What an announce is answered with.
struct Listed {
    counts: ScrapeEntry,
    peers: Vec<(SocketAddr, PeerId)>,
}

impl Listed {
    fn encoded(&self, interval: Duration, query: &AnnounceQuery) -> Vec<u8> {
        bencode::encode_dict(|reply| {
            reply.int("interval", i64::try_from(interval.as_secs()).unwrap_or(i64::MAX));
            put_counts(reply, &self.counts);
            if query.compact {
                reply.bytes("peers", self.compact(Family::V4));
                reply.bytes("peers6", self.compact(Family::V6));
                return;
            }
            reply.list("peers", |list| {
                for (addr, peer_id) in &self.peers {
                    list.dict(|peer| {
                        peer.bytes("ip", addr.ip().to_string());
                        peer.int("port", addr.port());
                        if !query.no_peer_id {
                            peer.bytes("peer id", peer_id.0);
                        }
                    });
                }
            });
        })
    }

    /// The peers of one family, as BEP 23 and BEP 7 have them.
    fn compact(&self, family: Family) -> Vec<u8> {
        let mut bytes = Vec::new();
        for addr in self.peers.iter().map(|(addr, _)| *addr).filter(|&addr| Family::from(addr) == family) {
            match addr.ip() {
                IpAddr::V4(ip) => bytes.extend(ip.octets()),
                IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
            bytes.extend(addr.port().to_be_bytes());
        }
        bytes
    }
}

fn put_counts(entry: &mut bencode::DictEncoder<'_>, counts: &ScrapeEntry) {
    entry.int("complete", counts.seeders);
    entry.int("incomplete", counts.leechers);
    entry.int("downloaded", counts.completed);
}

fn failure(reason: &str) -> Vec<u8> {
    bencode::encode_dict(|reply| reply.bytes("failure reason", reason))
}

/// An announce over HTTP, and how its answer is to look.
struct AnnounceQuery {
    announce: Heard,
    compact: bool,
    no_peer_id: bool,
}

impl AnnounceQuery {
    fn parse(query: &str) -> Result<AnnounceQuery, &'static str> {
        let value = |key: &str| pairs(query).find(|(k, _)| k == key.as_bytes()).map(|(_, value)| value);
        let id = |key: &str| value(key).and_then(|value| <[u8; 20]>::try_from(value).ok());
        let number = |key: &str| {
            value(key).and_then(|v| core::str::from_utf8(&v).ok().and_then(|text| text.parse::<u64>().ok()))
        };
        let port = number("port").and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
        let numwant = number("numwant").and_then(|n| usize::try_from(n).ok()).unwrap_or(NUMWANT_UNSAID);
        let announce = Heard {
            info_hash: id("info_hash").map(InfoHashV1).ok_or("info_hash must have 20 bytes")?,
            peer_id: id("peer_id").map(PeerId).ok_or("peer_id must have 20 bytes")?,
            port: port.ok_or("port must be a number from 1 to 65535")?,
            left: number("left").unwrap_or(u64::MAX),
            event: value("event").as_deref().and_then(|event| match event {
                b"started" => Some(Event::Started),
                b"completed" => Some(Event::Completed),
                b"stopped" => Some(Event::Stopped),
                _ => None,
            }),
            numwant: numwant.min(MAX_SERVED_NUMWANT),
        };
        Ok(AnnounceQuery {
            announce,
            compact: value("compact").is_none_or(|v| v != b"0"),
            no_peer_id: value("no_peer_id").is_some_and(|v| v == b"1"),
        })
    }
}

/// The parameters of a query in order, decoded.
fn pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    query.split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode(key), percent_decode(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{announce_url, parse_announce, parse_scrape, scrape_url};
    use crate::{Announce, AnnounceResponse, Error, TrackerUrl};
    use alloc::string::String;
    use alloc::{format, vec};
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(5);

    fn tracker_url() -> TrackerUrl {
        TrackerUrl::parse("http://[::1]:1/announce").unwrap()
    }

    fn query(port: u16, left: u64, event: Option<Event>, numwant: Option<u32>) -> String {
        let announce = Announce {
            info_hash: InfoHashV1([0xfe; 20]),
            peer_id: PeerId([b'p'; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left,
            event,
            numwant,
            key: 0,
            tracker_id: None,
            ipv4: None,
            ipv6: None,
        };
        announce_url(&tracker_url(), &announce).split_once('?').unwrap().1.into()
    }

    fn announce(tracker: &mut Tracker, now: Time, from: &str, query: &str) -> AnnounceResponse {
        parse_announce(&tracker.announce(now, from.parse().unwrap(), query)).unwrap()
    }

    #[test]
    fn brings_peers_together() {
        let mut t = Tracker::new(1);
        let first = announce(&mut t, NOW, "1.2.3.4", &query(10, 5, Some(Event::Started), None));
        assert_eq!((first.peers, first.seeders, first.leechers), (vec![], Some(0), Some(1)));
        let second = announce(&mut t, NOW, "::ffff:1.2.3.5", &query(11, 0, Some(Event::Started), None));
        assert_eq!(second.peers, ["1.2.3.4:10".parse().unwrap()]);
        assert_eq!((second.seeders, second.leechers), (Some(1), Some(1)));
        assert_eq!(second.interval, Some(DEFAULT_INTERVAL));
        let long = query(12, 1, None, None).replace("compact=1", "compact=0");
        let third = announce(&mut t, NOW, "2001:db8::1", &long);
        assert_eq!(third.peers.len(), 2);
        let first = announce(&mut t, NOW, "1.2.3.4", &query(10, 0, Some(Event::Completed), None));
        assert!(first.peers.contains(&"[2001:db8::1]:12".parse().unwrap()));
        let stopped = announce(&mut t, NOW, "1.2.3.4", &query(10, 0, Some(Event::Stopped), Some(0)));
        assert_eq!((stopped.peers, stopped.seeders, stopped.leechers), (vec![], Some(1), Some(1)));

        let torrents = [InfoHashV1([1; 20]), InfoHashV1([0xfe; 20])];
        let scrape = scrape_url(&tracker_url(), &torrents).unwrap();
        let files = parse_scrape(&t.scrape(NOW, scrape.split_once('?').unwrap().1), &torrents).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].1.seeders, files[0].1.leechers, files[0].1.completed), (1, 1, 1));
    }

    #[test]
    fn forgets_the_silent() {
        let mut t = Tracker::with_interval(Duration::from_secs(10), 1);
        announce(&mut t, NOW, "1.2.3.4", &query(10, 5, None, None));
        let before = NOW + Duration::from_millis(19_999);
        assert_eq!(announce(&mut t, before, "1.2.3.5", &query(11, 5, None, None)).peers.len(), 1);
        let after = NOW + Duration::from_secs(20);
        assert_eq!(announce(&mut t, after, "1.2.3.5", &query(11, 5, None, None)).peers.len(), 0);
    }

    #[test]
    fn says_what_is_wrong_with_a_query() {
        let mut t = Tracker::new(1);
        let mut reason = |query: &str| match parse_announce(&t.announce(NOW, [1, 2, 3, 4].into(), query)) {
            Err(Error::Failure { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(""), "info_hash must have 20 bytes");
        assert_eq!(reason("info_hash=aaaaaaaaaaaaaaaaaaaa"), "peer_id must have 20 bytes");
        let ids = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa";
        assert_eq!(reason(&format!("{ids}&port=0")), "port must be a number from 1 to 65535");
        assert_eq!(
            parse_scrape(&t.scrape(NOW, "info_hash=x"), &[]).unwrap_err().to_string(),
            "the tracker refuses: a scrape must name its torrents by info_hash"
        );
    }

    #[test]
    fn is_bounded() {
        let mut t = Tracker::new(1);
        for n in 0..=u16::try_from(MAX_SERVED_PEERS).unwrap() {
            let answer = announce(&mut t, NOW, "1.2.3.4", &query(n + 1, 1, None, Some(u32::MAX)));
            assert!(answer.peers.len() <= MAX_SERVED_NUMWANT);
            assert!(usize::try_from(answer.leechers.unwrap()).unwrap() <= MAX_SERVED_PEERS);
        }
        for n in 1..=MAX_SERVED_SWARMS + 10 {
            let query = query(1, 1, None, None).replace(&"%FE".repeat(20), &format!("{n:020}"));
            let reply = parse_announce(&t.announce(NOW, [1, 2, 3, 4].into(), &query));
            assert_eq!(reply.is_ok(), n < MAX_SERVED_SWARMS, "{n}");
        }
        assert_eq!(t.swarm_count(), MAX_SERVED_SWARMS);
        let later = NOW + DEFAULT_INTERVAL * 2;
        announce(&mut t, later, "1.2.3.4", &query(1, 1, None, None).replace("%FE", "%FD"));
        assert_eq!(t.swarm_count(), 1, "the forgotten make room");
    }

    proptest! {
        #[test]
        fn any_query_is_answered(query in "[a-z_%0-9=&]{0,80}") {
            let mut t = Tracker::new(1);
            prop_assert!(bencode::decode(&t.announce(NOW, [1, 2, 3, 4].into(), &query)).is_ok());
            prop_assert!(bencode::decode(&t.scrape(NOW, &query)).is_ok());
        }
    }
}
