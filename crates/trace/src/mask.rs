//! Taking out what others need not know: addresses, and what tells them.

use crate::spelled;
use crate::{Direction, Event, EventKind, Ext, NO_TORRENT, Peer, Said};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use types::PeerId;
use wire::ext;

/// In place of an address.
const MASK: &str = "(address)";

impl Event {
    /// Takes out every address: of peers, of ourselves, and those in texts and in messages. Keys of trackers are never in.
    pub fn mask(&mut self) {
        self.kind.mask();
        // What nodes ask for may be near their own ids, which are made of their addresses (BEP 42).
        if let EventKind::DhtAsked { direction, target, .. } = &mut self.kind
            && (*direction == Direction::In || self.torrent == NO_TORRENT)
        {
            *target = None;
        }
    }
}

impl EventKind {
    fn mask(&mut self) {
        match self {
            EventKind::Announced { tracker, external, warning, .. } => {
                external.clear();
                scrub(tracker);
                warning.iter_mut().for_each(scrub);
            }
            EventKind::AnnounceFailed { tracker, error } => {
                scrub(tracker);
                scrub(error);
            }
            EventKind::Announcing { tracker: text, .. } | EventKind::WebSeedOpened { web_seed: text } => {
                scrub(text);
            }
            EventKind::WebSeedFailed { web_seed, error, .. } => {
                scrub(web_seed);
                scrub(error);
            }
            EventKind::DialFailed { peer, error: text }
            | EventKind::Disconnected { peer, reason: text }
            | EventKind::Banned { peer, reason: text, .. } => {
                scrub_of(text, &ips(peer));
                hide(peer);
            }
            EventKind::PieceVerified { from, .. } | EventKind::PieceFailed { from, .. } => {
                from.iter_mut().for_each(hide);
            }
            EventKind::Message { peer, said, .. } => {
                said.mask(ips(peer));
                hide(peer);
            }
            EventKind::Present { peer, client, peer_id, .. }
            | EventKind::Handshake { peer, client, peer_id, .. } => {
                let ips = ips(peer);
                client.iter_mut().for_each(|client| scrub_of(client, &ips));
                hide_in_id(peer_id, &ips);
                hide(peer);
            }
            EventKind::DhtFailed { peer, error, .. } => {
                scrub_of(error, &ips(peer));
                hide(peer);
            }
            EventKind::PeersExchanged { from: peer, .. }
            | EventKind::DhtAsked { peer, .. }
            | EventKind::DhtAnswered { peer, .. }
            | EventKind::LocalPeer { peer }
            | EventKind::Dialing { peer }
            | EventKind::Connected { peer, .. }
            | EventKind::Unrequested { peer, .. }
            | EventKind::DiskWaited { peer, .. }
            | EventKind::LimitReached { peer: Some(peer), .. } => hide(peer),
            EventKind::Stopped { error: Some(error) } => scrub(error),
            EventKind::Began { .. }
            | EventKind::Checking { .. }
            | EventKind::MetadataFound { .. }
            | EventKind::DhtSearched { .. }
            | EventKind::PeersFound { .. }
            | EventKind::PeersWanted
            | EventKind::PieceLost { .. }
            | EventKind::DiskFull
            | EventKind::LimitReached { peer: None, .. }
            | EventKind::Complete
            | EventKind::Finished
            | EventKind::Paused
            | EventKind::Resumed
            | EventKind::Stopped { error: None } => {}
        }
    }
}

fn hide(peer: &mut Peer) {
    peer.addr = None;
}

/// The address of a peer, if it is known.
fn ips(peer: &Peer) -> Vec<IpAddr> {
    peer.addr.iter().map(SocketAddr::ip).collect()
}

/// Takes every IP address out of a text, and these however they are spelled.
fn scrub_of(text: &mut String, ips: &[IpAddr]) {
    scrub(text);
    spelled::hide(text, ips, MASK);
}

/// Peers choose what follows the eight characters that name the client: it may be a text with our address in it.
fn hide_in_id(id: &mut PeerId, ips: &[IpAddr]) {
    let text: String = id.0.iter().map(|&byte| char::from(byte)).collect();
    let mut scrubbed = text.clone();
    scrub_of(&mut scrubbed, ips);
    if scrubbed != text || spelled::is_in(&id.0, ips) {
        id.0[8..].fill(0);
    }
}

impl Said {
    /// `ips`: those of the peer.
    fn mask(&mut self, mut ips: Vec<IpAddr>) {
        let (payload, says) = match self {
            // Of 2^24 networks it is the one whose pieces these are.
            Said::AllowedFast { piece } => {
                *piece = None;
                return;
            }
            Said::Extended { payload, says, .. } => (payload, says),
            _ => return,
        };
        match says {
            Ext::Handshake { m, yourip, ipv4, ipv6, client, .. } => {
                // Ours, and further ones of the peer.
                ips.extend([*yourip, ipv4.map(IpAddr::V4), ipv6.map(IpAddr::V6)].into_iter().flatten());
                (*yourip, *ipv4, *ipv6) = (None, None, None);
                // Peers choose these texts, and some put our address into them.
                client.iter_mut().for_each(|client| scrub_of(client, &ips));
                let scrubbed = |(mut name, id): (String, u8)| {
                    scrub_of(&mut name, &ips);
                    (name, id)
                };
                *m = core::mem::take(m).into_iter().map(scrubbed).collect();
                if let Ok(mut handshake) = ext::Handshake::decode(payload) {
                    (handshake.yourip, handshake.ipv4, handshake.ipv6) = (None, None, None);
                    handshake.client.iter_mut().for_each(|client| scrub_of(client, &ips));
                    handshake.m = core::mem::take(&mut handshake.m).into_iter().map(scrubbed).collect();
                    *payload = handshake.encode();
                }
            }
            Ext::Pex { addrs, .. } => {
                addrs.clear();
                if let Ok(mut pex) = ext::Pex::decode(payload) {
                    pex.added.iter_mut().for_each(|peer| peer.addr = nowhere(peer.addr));
                    pex.dropped.iter_mut().for_each(|addr| *addr = nowhere(*addr));
                    *payload = pex.encode();
                }
            }
            Ext::Holepunch { with, .. } => {
                *with = None;
                if let Ok(punch) = ext::Holepunch::decode(payload) {
                    *payload = ext::Holepunch { addr: nowhere(punch.addr), ..punch }.encode();
                }
            }
            // Nobody knows what is in it.
            Ext::Unknown => *payload = vec![0; payload.len()],
            // What else a peer puts into its dictionary goes.
            Ext::MetadataRequest { .. } | Ext::MetadataData { .. } | Ext::MetadataReject { .. } => {
                let known = ext::Metadata::decode(payload).ok().flatten().map(|metadata| metadata.encode());
                *payload = known.unwrap_or_else(|| vec![0; payload.len()]);
            }
            Ext::DontHave { .. } => {}
        }
    }
}

/// An address of the same family that says nothing.
fn nowhere(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match addr {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

/// Takes every IP address out of a text.
pub fn scrub(text: &mut String) {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    for between in ['-', ',', '_'] {
        without_joined(text, between);
    }
    if !text.contains(['.', ':']) {
        return;
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        masked.push_str(before);
        match is_version(&masked, word) {
            true => masked.push_str(word),
            false => masked.push_str(&scrubbed(word)),
        }
        rest = after;
    }
    masked.push_str(rest);
    *text = masked;
}

/// Whether a word that could be an address is the version of what is named before it: `libtorrent/2.1.1.0`. No part of it is
/// as large as those of most addresses are, so that who writes the address of somebody else there is caught nearly always.
fn is_version(before: &str, word: &str) -> bool {
    const MOST: u8 = 31;
    let is_named =
        before.strip_suffix('/').is_some_and(|name| name.ends_with(|c: char| c.is_ascii_alphabetic()));
    is_named
        && word
            .parse::<Ipv4Addr>()
            .is_ok_and(|ip| !ip.is_private() && ip.octets().iter().all(|&part| part <= MOST))
}

/// A word without the address in it: letters and full stops may stand around one.
fn scrubbed(word: &str) -> String {
    let bare = word.trim_end_matches(['.', ':']);
    let is_addr = |text: &str| {
        text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() || text.contains("::")
    };
    let any = |bare: &str| is_addr(bare) || bare.split(':').any(|part| part.parse::<Ipv4Addr>().is_ok());
    if any(bare) || any(bare.trim_start_matches(|c: char| !c.is_ascii_digit())) {
        let end = &word[bare.len()..];
        return alloc::format!("{MASK}{end}");
    }
    without_quads(word)
}

/// A word without IPv4 addresses, whatever stands around them: `203.0.113.77.dyn`. Where five numbers or more follow each
/// other, nobody knows which of them are one.
fn without_quads(word: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let mut masked = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let numbers = from[..end].trim_end_matches('.');
        masked.push_str(before);
        masked.push_str(if has_quad(numbers) { MASK } else { numbers });
        rest = &from[numbers.len()..];
    }
    masked.push_str(rest);
    masked
}

/// Takes out of a text what is an IPv4 address but for what stands between its numbers: `203-0-113-77`.
fn without_joined(text: &mut String, between: char) {
    if text.matches(between).count() < 3 {
        return;
    }
    let is_part = |c: char| c.is_ascii_digit() || c == between;
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let numbers = from[..end].trim_end_matches(between);
        masked.push_str(before);
        let dotted = numbers.replace(between, ".");
        masked.push_str(if has_quad(&dotted) { MASK } else { numbers });
        rest = &from[numbers.len()..];
    }
    masked.push_str(rest);
    *text = masked;
}

fn has_quad(numbers: &str) -> bool {
    let parts: Vec<&str> = numbers.split('.').collect();
    parts.windows(4).any(|quad| quad.join(".").parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;
    use core::time::Duration;
    use types::{InfoHash, InfoHashV1};

    #[test]
    fn texts_lose_addresses_and_nothing_else() {
        for (text, masked) in [
            ("your address 192.0.2.7 is banned", "your address (address) is banned"),
            ("at 192.0.2.7:6881.", "at (address)."),
            ("udp://192.0.2.7:6969", "udp://(address)"),
            ("http://[2001:db8::7]:80", "http://[(address)]:80"),
            ("from 2001:db8:1:2:3:4:5:6: no", "from (address): no"),
            ("udp://tracker.example.org:6969", "udp://tracker.example.org:6969"),
            ("failed: 404 at 12:30", "failed: 404 at 12:30"),
            ("version 4.0.5.", "version 4.0.5."),
            ("connection refused (os error 111)", "connection refused (os error 111)"),
            ("Deluge/2.2.0 libtorrent/2.1.1.0", "Deluge/2.2.0 libtorrent/2.1.1.0"),
            ("libtorrent/203.0.113.7", "libtorrent/(address)"),
            ("libtorrent/10.1.1.0", "libtorrent/(address)"),
            ("libtorrent 2.1.1.0, http://2.1.1.0/", "libtorrent (address), http://(address)/"),
            ("203.0.113.77and, 203.0.113.77.dyn.example", "(address)and, (address).dyn.example"),
            ("v4.203.0.113.77 e.203.0.113.77.cust", "v(address) e.(address).cust"),
            ("203-0-113-77, at 203,0,113,77: 203_0_113_77!", "(address), at (address): (address)!"),
            ("2024-01-02-03-04, 4-0-5, 300-1-2-3, 1,2,3", "2024-01-02-03-04, 4-0-5, 300-1-2-3, 1,2,3"),
            ("1.2.3.4.5.6.7.8.9 and 1.2.3", "(address) and 1.2.3"),
        ] {
            let mut text = text.to_string();
            scrub(&mut text);
            assert_eq!(text, masked);
        }
    }

    #[test]
    fn ids_and_unknown_keys_lose_addresses() {
        let mut id = PeerId(*b"-XX0000-203.0.113.77");
        hide_in_id(&mut id, &[]);
        assert_eq!(id.0, *b"-XX0000-\0\0\0\0\0\0\0\0\0\0\0\0");
        let mut plain = PeerId(*b"-XX0000-a03.0.113.7z");
        hide_in_id(&mut plain, &[]);
        assert_eq!(plain.0, *b"-XX0000-a03.0.113.7z");
        for payload in
            ["d8:msg_typei0e5:piecei3e1:x12:203.0.113.77e", "d8:msg_typei2e5:piecei3e1:x12:203.0.113.77e"]
        {
            let payload = payload.as_bytes().to_vec();
            let message = wire::Message::Extended { id: 1, payload: payload.into() };
            let mut said = Said::of(&message, Some(ext::UT_METADATA));
            let told = said.to_string();
            said.mask(Vec::new());
            let Said::Extended { payload, .. } = &said else { panic!("{said:?}") };
            assert!(!payload.windows(5).any(|part| part == b"203.0"), "{said:?}");
            assert_eq!(said.to_string(), told);
        }
    }

    #[test]
    fn texts_of_a_peer_lose_its_address_and_ours_however_they_are_spelled() {
        let peer = Peer::from(SocketAddr::from(([203, 0, 113, 77], 6881)));
        let client = Some("I am 0xCB00714D, cb-00-71-4d, 3405803853".to_string());
        let hello = ext::Handshake {
            m: BTreeMap::from([("x_c6336407".to_string(), 7), ("ut_pex".to_string(), 1)]),
            client,
            yourip: Some("198.51.100.7".parse().unwrap()),
            ..ext::Handshake::default()
        };
        let message = wire::Message::Extended { id: 0, payload: hello.encode().into() };
        let said = Said::of(&message, None);
        let direction = Direction::In;
        let mut told = EventKind::Message { peer, direction, said, reason: None, took: None };
        told.mask();
        let EventKind::Message {
            said: Said::Extended { payload, says: Ext::Handshake { client, m, .. }, .. },
            ..
        } = &told
        else {
            panic!("{told:?}")
        };
        assert_eq!(client.as_deref(), Some("I am (address), (address), (address)"));
        assert!(m.contains_key("x_(address)") && m.contains_key("ut_pex"), "{m:?}");
        let text = String::from_utf8_lossy(payload).to_lowercase();
        assert!(!text.contains("cb00714d") && !text.contains("c6336407"), "{text}");
        let mut gone = EventKind::Disconnected { peer, reason: "no more for 203 0 113 77".into() };
        gone.mask();
        assert!(gone.to_string().ends_with("no more for (address)"), "{gone}");
        let mut id = PeerId(*b"-XX0000-\xcb\0\x71\x4dabcdefgh");
        hide_in_id(&mut id, &ips(&peer));
        assert_eq!(id.0[8..], [0; 12]);
    }

    #[test]
    fn pieces_that_are_made_of_an_address_go_and_others_stay() {
        let mut fast = Said::of(&wire::Message::AllowedFast(1234), None);
        assert_eq!(fast.to_string(), "allowed fast piece 1234");
        fast.mask(Vec::new());
        assert_eq!((&*fast.to_string(), fast.name()), ("allowed fast (piece)", "allowed fast"));
        assert_eq!(serde_json::to_string(&fast).unwrap(), r#"{"message":"allowed_fast"}"#);
        assert_eq!(serde_json::from_str::<Said>(r#"{"message":"allowed_fast"}"#).unwrap(), fast);
        assert_eq!(fast.to_wire(), wire::Message::AllowedFast(0));
        let mut suggested = Said::of(&wire::Message::Suggest(1234), None);
        suggested.mask(Vec::new());
        assert_eq!(suggested.to_string(), "suggest piece 1234");
    }

    #[test]
    fn what_nodes_look_for_stays_if_we_look_for_a_torrent() {
        let ours = InfoHash::V1(InfoHashV1([7; 20]));
        for (direction, torrent, stays) in [
            (Direction::Out, ours, true),
            (Direction::Out, NO_TORRENT, false),
            (Direction::In, NO_TORRENT, false),
            (Direction::In, ours, false),
        ] {
            for query in ["get_peers", "announce_peer", "get", "put", "find_node", "unknown"] {
                let peer = Peer::from(SocketAddr::from(([203, 0, 113, 77], 6881)));
                let target = Some("ab".repeat(20));
                let kind = EventKind::DhtAsked { peer, direction, query: query.into(), target };
                let mut asked = Event { v: crate::VERSION, at: Duration::ZERO, torrent, kind };
                asked.mask();
                assert_eq!(asked.kind.to_string().ends_with("abab"), stays, "{asked:?}");
                assert_eq!(asked.kind.peer(), Some(Peer::default()));
            }
        }
    }

    #[test]
    fn messages_lose_addresses_and_keep_their_form() {
        let secret: SocketAddr = "203.0.113.77:51413".parse().unwrap();
        let hello = ext::Handshake {
            m: BTreeMap::from([("ut_pex".to_string(), 1), ("203.0.113.77".to_string(), 2)]),
            client: Some("x, and you are 203.0.113.77".to_string()),
            yourip: Some(secret.ip()),
            reqq: Some(250),
            ..ext::Handshake::default()
        };
        let peer = ext::PexPeer { addr: secret, flags: ext::PexFlags::SEED };
        let pex = ext::Pex { added: vec![peer], dropped: vec![secret] };
        let punch = ext::Holepunch { kind: ext::HolepunchKind::Connect, addr: secret };
        for (id, payload, name) in [
            (0, hello.encode(), ""),
            (1, pex.encode(), ext::UT_PEX),
            (1, punch.encode(), ext::UT_HOLEPUNCH),
            (1, [&b"??"[..], &[203, 0, 113, 77]].concat(), "x_new"),
        ] {
            let message = wire::Message::Extended { id, payload: payload.into() };
            let mut said = Said::of(&message, Some(name));
            said.mask(Vec::new());
            let Said::Extended { payload, .. } = &said else { panic!("{said:?}") };
            let has = |bytes: &[u8]| payload.windows(bytes.len()).any(|window| window == bytes);
            assert!(!has(&[203, 0, 113, 77]) && !has(b"203.0.113.77"), "{said:?}");
            let bare = |said: &Said| match said {
                Said::Extended { says: Ext::Pex { added, dropped, .. }, .. } => Vec::from([*added, *dropped]),
                Said::Extended { .. } => Vec::new(),
                other => panic!("{other:?}"),
            };
            assert_eq!(bare(&Said::of(&said.to_wire(), Some(name))), bare(&said));
            assert!(!serde_json::to_string(&said).unwrap().contains("203.0.113.77"));
        }
    }
}
