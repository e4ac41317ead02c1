//! The tracker over UDP (BEP 15): a packet in, at most one out.

use super::{Heard, NUMWANT_UNSAID, Tracker};
use crate::Event;
use crate::limits::{CONNECTION_LIFETIME, MAX_SCRAPE, MAX_SERVED_NUMWANT};
use crate::udp::{ANNOUNCE, CONNECT, ERROR, Family, PROTOCOL_ID, SCRAPE, TransactionId};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use types::{InfoHashV1, PeerId, Time};

impl Tracker {
    /// Answers a packet; `None` for what is too short or of no known kind, and for a connection id that was not given to
    /// this address within the last minute or two: whoever forges addresses gets nothing sent to them.
    pub fn packet(&mut self, now: Time, from: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let (id, rest) = packet.split_first_chunk()?;
        let (action, rest) = rest.split_first_chunk()?;
        let (transaction, body) = rest.split_first_chunk()?;
        let (id, transaction) = (u64::from_be_bytes(*id), u32::from_be_bytes(*transaction));
        let action = u32::from_be_bytes(*action);
        if action == CONNECT && id == PROTOCOL_ID {
            let id = self.connection_id(from.ip(), period(now));
            return Some(reply(CONNECT, transaction, &id.to_be_bytes()));
        }
        let periods = [period(now), period(now).wrapping_sub(1)];
        if !periods.iter().any(|&period| self.connection_id(from.ip(), period) == id) {
            return None;
        }
        let answer = match action {
            ANNOUNCE => self.announce_packet(now, from, body)?,
            SCRAPE => self.scrape_packet(now, body),
            _ => return None,
        };
        Some(match answer {
            Ok(body) => reply(action, transaction, &body),
            Err(reason) => reply(ERROR, transaction, reason.as_bytes()),
        })
    }

    fn announce_packet(
        &mut self,
        now: Time,
        from: SocketAddr,
        body: &[u8],
    ) -> Option<Result<Vec<u8>, &'static str>> {
        let announce = match heard(body)? {
            Ok(announce) => announce,
            Err(reason) => return Some(Err(reason)),
        };
        let listed = self.listed(now, from.ip(), &announce);
        let interval = u32::try_from(self.interval.as_secs()).unwrap_or(u32::MAX);
        Some(listed.map(|listed| {
            let numbers = [interval, listed.counts.leechers, listed.counts.seeders];
            let mut body: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            body.extend(listed.compact(Family::from(from)));
            body
        }))
    }

    /// Torrents that are not known have no peers: the order of the answer is all that tells them apart.
    fn scrape_packet(&mut self, now: Time, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (torrents, _) = body.as_chunks();
        if torrents.is_empty() {
            return Err("a scrape must name its torrents");
        }
        let counts = torrents.iter().take(MAX_SCRAPE).map(|torrent| {
            let counts = self.counts(now, InfoHashV1(*torrent)).unwrap_or_default();
            [counts.seeders, counts.completed, counts.leechers]
        });
        Ok(counts.flatten().flat_map(u32::to_be_bytes).collect())
    }

    /// What an address gets to show that it receives what is sent to it; its ports are all the same. Enough for those who
    /// do not set out to break the generator.
    fn connection_id(&self, addr: IpAddr, period: u64) -> u64 {
        let mixed = |key: u64, more: u64| fastrand::Rng::with_seed(key.wrapping_add(more)).u64(..);
        let octets = match addr {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (words, _) = octets.as_chunks();
        words.iter().map(|word| u64::from_be_bytes(*word)).fold(mixed(self.secret, period), mixed)
    }
}

/// An announce's body; `None` if it is too short.
fn heard(body: &[u8]) -> Option<Result<Heard, &'static str>> {
    let (info_hash, rest) = body.split_first_chunk()?;
    let (peer_id, rest) = rest.split_first_chunk()?;
    let (_downloaded, rest) = rest.split_first_chunk::<8>()?;
    let (left, rest) = rest.split_first_chunk()?;
    let (_uploaded, rest) = rest.split_first_chunk::<8>()?;
    let (event, rest) = rest.split_first_chunk()?;
    let (_ip_and_key, rest) = rest.split_first_chunk::<8>()?;
    let (numwant, rest) = rest.split_first_chunk()?;
    let (port, _) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    if port == 0 {
        return Some(Err("port must be a number from 1 to 65535"));
    }
    let event = match u32::from_be_bytes(*event) {
        1 => Some(Event::Completed),
        2 => Some(Event::Started),
        3 => Some(Event::Stopped),
        _ => None,
    };
    let numwant = usize::try_from(i32::from_be_bytes(*numwant)).unwrap_or(NUMWANT_UNSAID);
    Some(Ok(Heard {
        info_hash: InfoHashV1(*info_hash),
        peer_id: PeerId(*peer_id),
        port,
        left: u64::from_be_bytes(*left),
        event,
        numwant: numwant.min(MAX_SERVED_NUMWANT),
    }))
}

fn reply(action: u32, transaction: TransactionId, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes()[..], &transaction.to_be_bytes(), body].concat()
}

/// Connection ids are good in the period in which they were given, and in the next.
fn period(now: Time) -> u64 {
    now.since(Time::ZERO).as_secs() / CONNECTION_LIFETIME.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{Response, encode_announce, encode_connect, encode_scrape, parse};
    use crate::{Announce, ScrapeEntry};
    use alloc::vec;
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(59);

    fn announce(port: u16, left: u64, event: Option<Event>) -> Announce {
        Announce {
            info_hash: InfoHashV1([7; 20]),
            peer_id: PeerId([b'p'; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left,
            event,
            numwant: None,
            key: 0,
            tracker_id: None,
            ipv4: None,
            ipv6: None,
        }
    }

    fn connect(tracker: &mut Tracker, now: Time, from: SocketAddr) -> u64 {
        let answer = tracker.packet(now, from, &encode_connect(5)).unwrap();
        let Some((5, Response::Connect(id))) = parse(&answer, Family::from(from)) else {
            panic!("{answer:?}")
        };
        id
    }

    fn ask(tracker: &mut Tracker, from: SocketAddr, packet: impl Fn(u64) -> Vec<u8>) -> Response {
        let id = connect(tracker, NOW, from);
        let answer = tracker.packet(NOW, from, &packet(id)).unwrap();
        let (transaction, response) = parse(&answer, Family::from(from)).unwrap();
        assert_eq!(transaction, 6);
        response
    }

    #[test]
    fn brings_peers_together_and_counts_them() {
        let mut t = Tracker::new(1);
        let from = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut heard = |from, announce: &Announce| {
            let Response::Announce(answer) =
                ask(&mut t, from, |id| encode_announce(id, 6, announce, "/announce"))
            else {
                panic!()
            };
            answer
        };
        let first = heard(from("1.2.3.4:5"), &announce(10, 0, Some(Event::Started)));
        assert_eq!((first.peers, first.seeders, first.leechers), (vec![], Some(1), Some(0)));
        let second = heard(from("[::ffff:1.2.3.5]:5"), &announce(11, 1, Some(Event::Started)));
        assert_eq!((second.peers, second.leechers), (vec![from("1.2.3.4:10")], Some(1)));
        let third = heard(from("[2001:db8::1]:5"), &announce(12, 1, None));
        assert_eq!((third.peers, third.leechers), (vec![], Some(2)), "peers of its own family");
        heard(from("1.2.3.5:5"), &announce(11, 0, Some(Event::Completed)));
        heard(from("[2001:db8::1]:5"), &announce(12, 1, Some(Event::Stopped)));

        let torrents = [InfoHashV1([1; 20]), InfoHashV1([7; 20])];
        let scraped = ask(&mut t, from("9.9.9.9:9"), |id| encode_scrape(id, 6, &torrents));
        let entry = ScrapeEntry { seeders: 2, leechers: 0, completed: 1, downloaders: None };
        assert_eq!(scraped, Response::Scrape(vec![ScrapeEntry::default(), entry]));
    }

    #[test]
    fn says_what_is_wrong() {
        let mut t = Tracker::new(1);
        let from = ([1, 2, 3, 4], 5).into();
        let refused = |reason: &str| Response::Error(reason.into());
        let answer = ask(&mut t, from, |id| encode_scrape(id, 6, &[]));
        assert_eq!(answer, refused("a scrape must name its torrents"));
        let answer = ask(&mut t, from, |id| encode_announce(id, 6, &announce(0, 0, None), ""));
        assert_eq!(answer, refused("port must be a number from 1 to 65535"));
    }

    #[test]
    fn a_connection_id_is_good_for_a_minute_at_the_address_that_got_it() {
        let mut t = Tracker::new(1);
        let from = SocketAddr::from(([1, 2, 3, 4], 5));
        let id = connect(&mut t, NOW, from);
        let packet = encode_scrape(id, 6, &[InfoHashV1([7; 20])]);
        assert!(t.packet(NOW + CONNECTION_LIFETIME, from, &packet).is_some());
        assert_eq!(t.packet(NOW + CONNECTION_LIFETIME * 2, from, &packet), None);
        assert!(t.packet(NOW, ([1, 2, 3, 4], 6).into(), &packet).is_some(), "another port");
        assert_eq!(t.packet(NOW, ([1, 2, 3, 5], 5).into(), &packet), None);
        assert_eq!(Tracker::new(2).packet(NOW, from, &packet), None, "another tracker's");
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(packet in proptest::collection::vec(any::<u8>(), 0..120), action in 0u8..5) {
            let mut t = Tracker::new(1);
            let from = SocketAddr::from(([1, 2, 3, 4], 5));
            let id = connect(&mut t, NOW, from);
            prop_assert_eq!(t.packet(NOW, from, &packet), None);
            let known = [&id.to_be_bytes()[..], &[0, 0, 0, action], &packet].concat();
            if let Some(answer) = t.packet(NOW, from, &known) {
                prop_assert!(parse(&answer, Family::V4).is_some());
            }
        }
    }
}
