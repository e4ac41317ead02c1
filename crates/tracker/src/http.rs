//! Announce and scrape over HTTP: what to ask for, and how to read the answer (BEP 3, 7, 23, 24, 31, 48).
//!
//! HTTP itself, redirects and bounds on bodies are the driver's.

use crate::limits::{MAX_PEERS, MAX_SCRAPE, MAX_TRACKER_ID_LEN};
use crate::message::{compact_v4, compact_v6, is_plausible_peer};
use crate::text::{one_line, percent_encode};
use crate::{Announce, AnnounceResponse, Error, Event, ScrapeEntry, TrackerUrl};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bencode::{Document, Limits, Value};
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use types::InfoHashV1;

/// The longest body worth reading, in bytes after inflation; a longer one is refused.
pub const MAX_BODY: usize = 1024 * 1024;

const LIMITS: Limits = Limits { max_input: MAX_BODY, max_depth: 10, max_values: 200_000 };

/// The URL to get for an announce: what the tracker's URL already asks stays in front, byte for byte.
pub fn announce_url(tracker: &TrackerUrl, announce: &Announce) -> String {
    let mut query = Query::new(tracker.target());
    query.bytes("info_hash", &announce.info_hash.0);
    query.bytes("peer_id", &announce.peer_id.0);
    query.text("port", announce.port);
    query.text("uploaded", announce.uploaded);
    query.text("downloaded", announce.downloaded);
    query.text("left", announce.left);
    query.text("compact", 1);
    if let Some(numwant) = announce.numwant {
        query.text("numwant", numwant);
    }
    query.text("key", format_args!("{:08x}", announce.key));
    match announce.event {
        None => {}
        Some(Event::Started) => query.text("event", "started"),
        Some(Event::Completed) => query.text("event", "completed"),
        Some(Event::Stopped) => query.text("event", "stopped"),
    }
    if let Some(id) = &announce.tracker_id {
        query.bytes("trackerid", id);
    }
    if let Some(ipv4) = announce.ipv4 {
        query.text("ipv4", ipv4);
    }
    if let Some(ipv6) = announce.ipv6 {
        query.bytes("ipv6", ipv6.to_string().as_bytes());
    }
    tracker.with_target(&query.target)
}

/// The URL to get for a scrape of at most [`MAX_SCRAPE`] torrents (BEP 48).
///
/// `None` if the tracker cannot be scraped: the last part of its path must begin with `announce`.
pub fn scrape_url(tracker: &TrackerUrl, torrents: &[InfoHashV1]) -> Option<String> {
    let target = tracker.target();
    let last = tracker.path().rfind('/')? + 1;
    let rest = target[last..].strip_prefix("announce")?;
    let mut query = Query::new(&alloc::format!("{}scrape{rest}", &target[..last]));
    for torrent in torrents.iter().take(MAX_SCRAPE) {
        query.bytes("info_hash", &torrent.0);
    }
    Some(tracker.with_target(&query.target))
}

/// Reads the body of the answer to an announce.
///
/// What is not understood is left out: peers given by name (BEP 3 allows them; looking up names that strangers choose is
/// not wise), single malformed peers among good ones, numbers out of range.
///
/// # Errors
/// The tracker's own refusal ([`Error::Failure`]); a body that is no bencoded dictionary; a list of peers that cannot be
/// read at all.
pub fn parse_announce(body: &[u8]) -> Result<AnnounceResponse, Error> {
    let document = decode(body)?;
    let answer = document.root();
    let secs = |key: &str| answer.get(key).and_then(Value::as_uint).map(Duration::from_secs);
    let count = |key: &str| answer.get(key).and_then(as_count);
    Ok(AnnounceResponse {
        interval: secs("interval"),
        min_interval: secs("min interval"),
        peers: parse_peers(answer)?,
        seeders: count("complete"),
        leechers: count("incomplete"),
        warning: answer.get("warning message").and_then(Value::as_bytes).map(one_line),
        tracker_id: answer.get("tracker id").and_then(Value::as_bytes).and_then(tracker_id),
        external_ips: answer
            .get("external ip")
            .and_then(Value::as_bytes)
            .and_then(raw_ip)
            .into_iter()
            .collect(),
    })
}

/// Reads the body of the answer to a scrape of `torrents`: an entry for each of them that the tracker tells of, in their
/// order. What it tells beside that is left out.
///
/// # Errors
/// The tracker's own refusal ([`Error::Failure`]); a body that is no bencoded dictionary, or one without `files`.
pub fn parse_scrape(body: &[u8], torrents: &[InfoHashV1]) -> Result<Vec<(InfoHashV1, ScrapeEntry)>, Error> {
    let document = decode(body)?;
    let files = document.root().get("files").and_then(Value::as_dict).ok_or(Error::NoFiles)?;
    let asked: BTreeSet<&[u8]> = torrents.iter().map(|torrent| &torrent.0[..]).collect();
    let told: BTreeMap<&[u8], Value<'_>> = files.filter(|(key, _)| asked.contains(key)).collect();
    let entry = |torrent: &InfoHashV1| {
        let value = told.get(&torrent.0[..])?;
        value.as_dict()?;
        let count = |key: &str| value.get(key).and_then(as_count);
        let entry = ScrapeEntry {
            seeders: count("complete").unwrap_or(0),
            leechers: count("incomplete").unwrap_or(0),
            completed: count("downloaded").unwrap_or(0),
            downloaders: count("downloaders"),
        };
        Some((*torrent, entry))
    };
    Ok(torrents.iter().filter_map(entry).collect())
}

/// A URL's path and query that grows by one parameter after the other.
struct Query {
    target: String,
}

impl Query {
    fn new(target: &str) -> Query {
        let slash = if target.starts_with('/') { "" } else { "/" };
        Query { target: alloc::format!("{slash}{target}") }
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        percent_encode(value, &mut self.target);
    }

    /// A value that has no character to be encoded.
    fn text(&mut self, key: &str, value: impl core::fmt::Display) {
        self.key(key);
        write!(self.target, "{value}").expect("writing to a string cannot fail");
    }

    fn key(&mut self, key: &str) {
        match self.target.find('?') {
            None => self.target.push('?'),
            Some(_) if self.target.ends_with(['?', '&']) => {}
            Some(_) => self.target.push('&'),
        }
        self.target.push_str(key);
        self.target.push('=');
    }
}

/// Decodes a body; bytes after the dictionary (some trackers send a line end) are no fault.
fn decode(body: &[u8]) -> Result<Document<'_>, Error> {
    match body.trim_ascii_start() {
        [] => return Err(Error::Empty),
        [b'<', ..] => return Err(Error::WebPage),
        _ => {}
    }
    let (document, _) = bencode::decode_prefix(body, LIMITS).map_err(Error::NotBencode)?;
    let answer = document.root();
    if answer.as_dict().is_none() {
        return Err(Error::NotADictionary);
    }
    if let Some(reason) = answer.get("failure reason").and_then(Value::as_bytes) {
        return Err(Error::Failure { reason: one_line(reason), retry_in: retry_in(answer) });
    }
    Ok(document)
}

/// BEP 31: minutes, as a number or as text, or `never`.
fn retry_in(answer: Value<'_>) -> Option<Duration> {
    let value = answer.get("retry in")?;
    let minutes = match value.as_str() {
        Some("never") => return Some(Duration::MAX),
        Some(text) => text.parse().ok()?,
        None => value.as_uint()?,
    };
    Some(Duration::from_secs(minutes.saturating_mul(60)))
}

fn parse_peers(answer: Value<'_>) -> Result<Vec<SocketAddr>, Error> {
    let mut peers = Vec::new();
    if let Some(v4) = answer.get("peers") {
        match (v4.as_bytes(), v4.as_list()) {
            (Some(compact), _) if compact.len() % 6 == 0 => peers.extend(compact_v4(compact)),
            (Some(_), _) => return Err(Error::Peers("not a whole number of 6-byte entries")),
            (_, Some(list)) => peers = parse_peer_list(list)?,
            _ => return Err(Error::Peers("neither a string nor a list")),
        }
    }
    if let Some(v6) = answer.get("peers6") {
        match v6.as_bytes() {
            Some(compact) if compact.len() % 18 == 0 => peers.extend(compact_v6(compact)),
            Some(_) => return Err(Error::Peers("not a whole number of 18-byte entries")),
            None => return Err(Error::Peers("peers6 is not a string")),
        }
    }
    peers.retain(is_plausible_peer);
    peers.truncate(MAX_PEERS);
    Ok(peers)
}

/// BEP 3's list of dictionaries. One malformed entry is skipped; a list of nothing else is an error.
fn parse_peer_list<'d>(list: impl Iterator<Item = Value<'d>>) -> Result<Vec<SocketAddr>, Error> {
    let mut peers = Vec::new();
    let mut well_formed = 0;
    let mut fault = None;
    for entry in list {
        match parse_peer(entry) {
            Ok(peer) => {
                well_formed += 1;
                peers.extend(peer);
            }
            Err(what) => fault = fault.or(Some(what)),
        }
    }
    match fault {
        Some(what) if well_formed == 0 => Err(Error::Peers(what)),
        _ => Ok(peers),
    }
}

/// One peer's dictionary; `None` if it is well formed, but names the peer instead of giving its address.
fn parse_peer(entry: Value<'_>) -> Result<Option<SocketAddr>, &'static str> {
    entry.as_dict().ok_or("a peer is not a dictionary")?;
    let ip = entry.get("ip").and_then(Value::as_bytes).ok_or("a peer has no ip")?;
    let port = entry.get("port").and_then(Value::as_int).ok_or("a peer has no port")?;
    let port = u16::try_from(port).map_err(|_| "a peer's port is out of range")?;
    let ip = core::str::from_utf8(ip).ok().and_then(|ip| ip.parse::<IpAddr>().ok());
    Ok(ip.map(|ip| SocketAddr::new(ip.to_canonical(), port)))
}

fn as_count(value: Value<'_>) -> Option<u32> {
    value.as_uint().map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn tracker_id(bytes: &[u8]) -> Option<Vec<u8>> {
    (1..=MAX_TRACKER_ID_LEN).contains(&bytes.len()).then(|| bytes.to_vec())
}

fn raw_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_TEXT_CHARS;
    use alloc::{format, vec};
    use proptest::prelude::*;
    use types::PeerId;

    fn announce() -> Announce {
        Announce {
            info_hash: InfoHashV1(core::array::from_fn(|i| u8::try_from(i * 13).unwrap())),
            peer_id: PeerId(*b"-RW0100-abcdefghijkl"),
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: u64::MAX,
            event: None,
            numwant: None,
            key: 0xbeef,
            tracker_id: None,
            ipv4: None,
            ipv6: None,
        }
    }

    fn url(tracker: &str, announce: &Announce) -> String {
        announce_url(&TrackerUrl::parse(tracker).unwrap(), announce)
    }

    #[test]
    fn announce_urls_are_exact() {
        assert_eq!(
            url("http://t.example/announce", &announce()),
            "http://t.example:80/announce?info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7\
             &peer_id=-RW0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2\
             &left=18446744073709551615&compact=1&key=0000beef"
        );
        let all = Announce {
            event: Some(Event::Completed),
            numwant: Some(50),
            tracker_id: Some(b"a&b".to_vec()),
            ipv4: Some(Ipv4Addr::new(1, 2, 3, 4)),
            ipv6: Some("2001:db8::1".parse().unwrap()),
            ..announce()
        };
        let text = url("http://t/x?passkey=%zz", &all);
        assert!(text.starts_with("http://t:80/x?passkey=%zz&info_hash="), "{text}");
        assert!(text.contains("&numwant=50&key="), "{text}");
        assert!(
            text.ends_with("&event=completed&trackerid=a%26b&ipv4=1.2.3.4&ipv6=2001%3Adb8%3A%3A1"),
            "{text}"
        );
        for (base, start) in [
            ("http://t", "http://t:80/?info_hash="),
            ("http://t?", "http://t:80/?info_hash="),
            ("http://t?a", "http://t:80/?a&info_hash="),
            ("http://t/a?b&", "http://t:80/a?b&info_hash="),
        ] {
            assert!(url(base, &announce()).starts_with(start), "{base}");
        }
    }

    #[test]
    fn scrape_urls_follow_bep_48() {
        let scrape =
            |tracker: &str| scrape_url(&TrackerUrl::parse(tracker).unwrap(), &[InfoHashV1([b'a'; 20])]);
        let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
        assert_eq!(scrape("http://t/announce"), Some(format!("http://t:80/scrape?{hash}")));
        assert_eq!(
            scrape("http://t/x/announce.php?k=/announce"),
            Some(format!("http://t:80/x/scrape.php?k=/announce&{hash}"))
        );
        assert_eq!(scrape("http://t/a"), None);
        assert_eq!(scrape("http://t/announce/x"), None);
        assert_eq!(scrape("http://t"), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |body: &[u8]| parse_announce(body).unwrap_err().to_string();
        assert_eq!(error(b""), "the tracker's answer is empty");
        assert_eq!(error(b" \n<!DOCTYPE html>"), "the tracker answers with a web page");
        assert_eq!(error(b"le"), "the tracker's answer is not a dictionary");
        assert_eq!(
            error(b"d5:peersi1ee"),
            "the tracker's list of peers is malformed (neither a string nor a list)"
        );
        assert_eq!(error(b"d14:failure reason4:a\nb\0e"), "the tracker refuses: a b");
        assert!(error(b"Not found").starts_with("the tracker's answer is not bencode ("));
        let long = [b"d14:failure reason1000:".as_slice(), &[b'x'; 1000], b"e"].concat();
        assert!(error(&long).chars().count() < MAX_TEXT_CHARS + 30);
    }

    #[test]
    fn a_tracker_may_say_when_to_come_back() {
        let retry = |value: &str| {
            let body = format!("d14:failure reason1:x8:retry in{value}e");
            parse_announce(body.as_bytes()).unwrap_err().retry_in()
        };
        assert_eq!(retry("i5e"), Some(Duration::from_secs(300)));
        assert_eq!(retry("2:10"), Some(Duration::from_secs(600)));
        assert_eq!(retry("5:never"), Some(Duration::MAX));
        assert_eq!(retry("i-5e"), None);
        assert_eq!(retry("1:x"), None);
    }

    #[test]
    fn bad_peers_among_good_ones_are_skipped() {
        let body = b"d8:intervali-5e5:peersld2:ip9:127.0.0.14:porti80eed2:ip3:::14:porti81eed2:ip1:x4:porti1eei5ed2:ip9:127.0.0.14:porti-1eee10:tracker id2:id7:unknownlee\r\n";
        let answer = parse_announce(body).unwrap();
        assert_eq!(answer.peers, ["127.0.0.1:80".parse().unwrap(), "[::1]:81".parse().unwrap()]);
        assert_eq!(answer.interval, None);
        assert_eq!(answer.tracker_id.as_deref(), Some(&b"id"[..]));
    }

    #[test]
    fn an_external_address_is_four_bytes_or_sixteen() {
        let told = |value: &[u8]| {
            let head = format!("d11:external ip{}:", value.len()).into_bytes();
            parse_announce(&[&head, value, b"5:peers0:e"].concat()).unwrap().external_ips
        };
        assert_eq!(told(&[80, 1, 2, 3]), [IpAddr::from([80, 1, 2, 3])]);
        assert_eq!(told(&[0x20; 16]), [IpAddr::from([0x20; 16])]);
        for other in [&b""[..], b"80.1.2.3", &[1; 5]] {
            assert!(told(other).is_empty(), "{other:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let count = MAX_PEERS + 10;
        let body = [
            format!("d5:peers{}:", count * 6).into_bytes(),
            [1, 2, 3, 4, 0, 80].repeat(count),
            b"e".to_vec(),
        ]
        .concat();
        assert_eq!(parse_announce(&body).unwrap().peers.len(), MAX_PEERS);
        let id = |len: usize| {
            parse_announce(format!("d10:tracker id{len}:{}e", "x".repeat(len)).as_bytes()).unwrap().tracker_id
        };
        assert!(id(MAX_TRACKER_ID_LEN).is_some());
        assert_eq!(id(MAX_TRACKER_ID_LEN + 1), None);
        assert_eq!(id(0), None);
        let values = [b"d1:al".to_vec(), b"0:".repeat(LIMITS.max_values), b"ee".to_vec()].concat();
        assert!(matches!(parse_announce(&values), Err(Error::NotBencode(_))));
    }

    #[test]
    fn a_scrape_tells_of_what_was_asked() {
        let hash = |n: u32| InfoHashV1(format!("{n:020}").into_bytes().try_into().unwrap());
        let entry =
            |n: u32| format!("20:{n:020}d8:completei{n}e10:downloadedi-1e10:incompletei99999999999ee");
        // A whole tracker, of which two torrents are ours, and one entry that is none.
        let entries: String = (0..5000).map(entry).collect();
        let body = format!("d5:filesd{entries}20:{:020}i5eee", 5000);
        let asked = [hash(4999), hash(7), hash(5000), hash(6000)];
        let told = parse_scrape(body.as_bytes(), &asked).unwrap();
        let entry = |seeders| ScrapeEntry { seeders, leechers: u32::MAX, completed: 0, downloaders: None };
        assert_eq!(told, [(hash(4999), entry(4999)), (hash(7), entry(7))]);
        assert_eq!(parse_scrape(b"d5:filesdee", &asked), Ok(vec![]));
        assert_eq!(parse_scrape(b"de", &asked), Err(Error::NoFiles));
        assert_eq!(parse_scrape(b"d5:filesi0ee", &asked), Err(Error::NoFiles));
    }

    proptest! {
        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_announce(&body);
            let _ = parse_scrape(&body, &[InfoHashV1([0; 20])]);
        }

        #[test]
        fn compact_peers_go_through(v4 in proptest::collection::vec((1u8..224, any::<[u8; 3]>(), 1u16..), 0..20), v6 in proptest::collection::vec((any::<[u8; 13]>(), 1u16..), 0..20)) {
            let mut expected = vec![];
            let mut compact = (vec![], vec![]);
            for (first, [b, c, d], port) in v4 {
                expected.push(SocketAddr::from(([first, b, c, d], port)));
                compact.0.extend([first, b, c, d]);
                compact.0.extend(port.to_be_bytes());
            }
            for (tail, port) in v6 {
                let ip: [u8; 16] = core::array::from_fn(|i| if i < 3 { 0x20 } else { tail[i - 3] });
                expected.push(SocketAddr::from((ip, port)));
                compact.1.extend(ip);
                compact.1.extend(port.to_be_bytes());
            }
            let body = bencode::encode_dict(|d| {
                d.bytes("peers", &compact.0);
                d.bytes("peers6", &compact.1);
            });
            prop_assert_eq!(parse_announce(&body).unwrap().peers, expected);
        }
    }

    #[test]
    fn a_body_is_long_and_deep_within_bounds() {
        use bencode::ErrorKind;
        let kind = |body: &str| match parse_announce(body.as_bytes()) {
            Ok(_) => None,
            Err(Error::NotBencode(error)) => Some(error.kind),
            Err(error) => panic!("{error}"),
        };
        let long = |len: usize| format!("d1:a{}:{}e", len - 13, "x".repeat(len - 13));
        assert_eq!((long(MAX_BODY).len(), kind(&long(MAX_BODY))), (LIMITS.max_input, None));
        assert_eq!(kind(&long(MAX_BODY + 1)), Some(ErrorKind::InputTooLong));
        let deep = |depth: usize| format!("d1:a{}{}e", "l".repeat(depth - 1), "e".repeat(depth - 1));
        assert_eq!(kind(&deep(LIMITS.max_depth)), None);
        assert_eq!(kind(&deep(LIMITS.max_depth + 1)), Some(ErrorKind::TooDeep));
    }
}
