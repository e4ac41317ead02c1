//! What captured packets say: messages of the DHT (BEP 5), of local discovery (BEP 14), and between peers (BEP 3, 10).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::bencode::Read;
use crate::capture::{Carrier, Packet};
use crate::peer::id::EXTENDED;

/// Where local discovery is at home, over IPv4 and IPv6.
const LSD_PORT: u16 = 6771;

/// One message of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Krpc {
    /// The number of its packet.
    pub at: usize,
    /// Where it came from.
    pub from: SocketAddr,
    /// Where it was to go.
    pub to: SocketAddr,
    /// By which a query and its answer belong together.
    pub transaction: Vec<u8>,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of the DHT's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A query.
    Query {
        /// Its method.
        method: String,
        /// What it is about: `info_hash` or `target`.
        about: Option<[u8; 20]>,
    },
    /// An answer.
    Response,
    /// A refusal.
    Error,
}

/// The DHT's messages among packets, each once, in order.
#[must_use]
pub fn krpc(packets: &[Packet]) -> Vec<Krpc> {
    let mut messages: Vec<Krpc> = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        let Some(message) = read_krpc(at, packet) else { continue };
        // A packet as it arrives comes close behind the same as it left.
        let recent = &messages[messages.len().saturating_sub(64)..];
        if !recent.iter().any(|other| Krpc { at, ..other.clone() } == message) {
            messages.push(message);
        }
    }
    messages
}

fn read_krpc(at: usize, packet: &Packet) -> Option<Krpc> {
    let udp = packet.carrier == Carrier::Udp && packet.to.port() != LSD_PORT;
    let (message, _) = Read::prefix(udp.then_some(&packet.payload[..])?)?;
    let transaction = message.get("t")?.bytes()?.to_vec();
    let kind = match message.get("y")?.bytes()? {
        b"q" => {
            let arguments = message.get("a")?;
            let about = arguments.get("info_hash").or_else(|| arguments.get("target"));
            let about = about.and_then(Read::bytes).and_then(|bytes| bytes.try_into().ok());
            let method = String::from_utf8_lossy(message.get("q")?.bytes()?).into_owned();
            Kind::Query { method, about }
        }
        b"r" => Kind::Response,
        b"e" => Kind::Error,
        _ => return None,
    };
    Some(Krpc { at, from: packet.from, to: packet.to, transaction, kind })
}

/// What local discovery told of: the number of the packet, who sent it, and the info-hash in lower case hex.
#[must_use]
pub fn lsd(packets: &[Packet]) -> Vec<(usize, SocketAddr, String)> {
    let mut told = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        if packet.carrier != Carrier::Udp || packet.to.port() != LSD_PORT {
            continue;
        }
        let text = String::from_utf8_lossy(&packet.payload).to_ascii_lowercase();
        let hashes = text.lines().filter_map(|line| line.strip_prefix("infohash:"));
        told.extend(hashes.map(|hash| (at, packet.from, hash.trim().to_owned())));
    }
    told
}

/// UDP packets that are neither the DHT's nor local discovery's: what this module cannot read.
#[must_use]
pub fn unread_datagrams(packets: &[Packet]) -> Vec<&Packet> {
    let udp = packets.iter().filter(|packet| packet.carrier == Carrier::Udp);
    udp.filter(|packet| packet.to.port() != LSD_PORT && read_krpc(0, packet).is_none()).collect()
}

/// One direction of a TCP connection, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Who wrote it.
    pub from: SocketAddr,
    /// Who read it.
    pub to: SocketAddr,
    /// What was written, from the beginning to the first byte that was not captured.
    pub bytes: Vec<u8>,
    /// Where a packet's part ends, and the packet's number.
    ends: Vec<(usize, usize)>,
}

/// A direction as its packets come.
struct Half {
    from: SocketAddr,
    to: SocketAddr,
    /// The sequence number of the first byte.
    begin: u32,
    /// By their distance from it; each with its packet's number.
    parts: BTreeMap<u32, (usize, Vec<u8>)>,
}

impl Half {
    fn joined(self) -> Stream {
        let Half { from, to, parts, .. } = self;
        let mut stream = Stream { from, to, bytes: Vec::new(), ends: Vec::new() };
        for (begin, (at, part)) in parts {
            let Some(overlap) = stream.bytes.len().checked_sub(begin as usize) else { break };
            stream.bytes.extend(part.get(overlap..).unwrap_or_default());
            stream.ends.push((stream.bytes.len(), at));
        }
        stream
    }
}

/// The streams of connections whose beginnings were captured, in the order in which they began.
#[must_use]
pub fn streams(packets: &[Packet]) -> Vec<Stream> {
    let mut halves: Vec<Half> = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        let Carrier::Tcp { seq, syn } = packet.carrier else { continue };
        let first = if syn { seq.wrapping_add(1) } else { seq };
        let same = |half: &Half| (half.from, half.to) == (packet.from, packet.to);
        let known = halves.iter().rposition(same).filter(|&half| !syn || halves[half].begin == first);
        if known.is_none() && syn {
            let (from, to) = (packet.from, packet.to);
            halves.push(Half { from, to, begin: first, parts: BTreeMap::new() });
        }
        let Some(half) = known.filter(|_| !packet.payload.is_empty()) else { continue };
        let half = &mut halves[half];
        let part = half.parts.entry(first.wrapping_sub(half.begin)).or_insert((at, Vec::new()));
        if part.1.len() < packet.payload.len() {
            *part = (at, packet.payload.clone());
        }
    }
    halves.into_iter().map(Half::joined).collect()
}

/// One message between peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number of the packet with which it was complete.
    pub at: usize,
    /// The torrent of the connection.
    pub info_hash: [u8; 20],
    /// Who sent it.
    pub from: SocketAddr,
    /// Who got it.
    pub to: SocketAddr,
    /// What it is.
    pub id: u8,
    /// What follows.
    pub payload: Vec<u8>,
}

/// All messages between peers but keep-alives, in the order of their connections.
///
/// # Errors
/// A stream to or from one of `peers` that is no peer's, such as an encrypted one: nobody could tell what is in it.
pub fn messages(packets: &[Packet], peers: &[SocketAddr]) -> Result<Vec<Message>, String> {
    let streams = streams(packets);
    let of_peers = streams.iter().filter(|stream| peers.contains(&stream.from) || peers.contains(&stream.to));
    let mut messages = Vec::new();
    for stream in of_peers.filter(|stream| !stream.bytes.is_empty()) {
        read_messages(stream, &mut messages)?;
    }
    Ok(messages)
}

fn read_messages(stream: &Stream, messages: &mut Vec<Message>) -> Result<(), String> {
    let Stream { from, to, ref bytes, ref ends } = *stream;
    let not_readable = || format!("{from} -> {to}: not what peers say in the clear");
    let hello = bytes.strip_prefix(b"\x13BitTorrent protocol").ok_or_else(not_readable)?;
    let info_hash = *hello.get(8..).and_then(|rest| rest.first_chunk()).ok_or_else(not_readable)?;
    let mut rest = hello.get(48..).unwrap_or_default();
    while let Some((len, after)) = rest.split_first_chunk() {
        let Some((message, after)) = after.split_at_checked(u32::from_be_bytes(*len) as usize) else { break };
        rest = after;
        let read = bytes.len() - rest.len();
        let needed = ends.iter().take_while(|(end, _)| *end < read).count() + 1;
        let at = ends.iter().take(needed).map(|(_, at)| *at).max().unwrap_or_default();
        if let Some((&id, payload)) = message.split_first() {
            messages.push(Message { at, info_hash, from, to, id, payload: payload.to_vec() });
        }
    }
    Ok(())
}

/// One message of the extension protocol (BEP 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extended<'a> {
    /// As a message.
    pub message: &'a Message,
    /// Of a handshake, the names of the extensions that it offers; else none.
    pub offers: Vec<String>,
    /// The name under which the receiver offered what this message is of; `None`: a handshake, or never offered.
    pub name: Option<String>,
}

/// The extension messages among all.
#[must_use]
pub fn extended(messages: &[Message]) -> Vec<Extended<'_>> {
    let extended = || messages.iter().filter(|message| message.id == EXTENDED);
    // What each direction offers to the other.
    let mut offered: BTreeMap<(SocketAddr, SocketAddr), BTreeMap<u8, String>> = BTreeMap::new();
    for message in extended() {
        offered.entry((message.from, message.to)).or_default().extend(offers(&message.payload));
    }
    let mut read = Vec::new();
    for message in extended() {
        let offered = offered.get(&(message.to, message.from));
        let number = message.payload.first().filter(|number| **number != 0);
        let name = number.and_then(|number| offered?.get(number)).cloned();
        read.push(Extended { message, offers: offers(&message.payload).into_values().collect(), name });
    }
    read
}

/// The extensions that a handshake offers, by the numbers under which their messages are to come.
fn offers(payload: &[u8]) -> BTreeMap<u8, String> {
    let handshake = payload.strip_prefix(&[0]).and_then(Read::prefix).map(|(handshake, _)| handshake);
    let Some(Read::Dict(extensions)) = handshake.as_ref().and_then(|handshake| handshake.get("m")) else {
        return BTreeMap::new();
    };
    let number = |number: &Read<'_>| u8::try_from(number.int()?).ok().filter(|number| *number != 0);
    let named = extensions
        .iter()
        .filter_map(|(name, value)| Some((number(value)?, String::from_utf8_lossy(name).into_owned())));
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{FAST_EXTENDED, handshake, message};

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn udp(to: u16, payload: &[u8]) -> Packet {
        Packet { from: addr(1), to: addr(to), carrier: Carrier::Udp, payload: payload.to_vec() }
    }

    fn tcp(from: u16, to: u16, seq: u32, syn: bool, payload: &[u8]) -> Packet {
        let carrier = Carrier::Tcp { seq, syn };
        Packet { from: addr(from), to: addr(to), carrier, payload: payload.to_vec() }
    }

    #[test]
    fn datagrams_are_told_apart() {
        let query =
            b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaa9:info_hash20:bbbbbbbbbbbbbbbbbbbbe1:q9:get_peers1:t1:x1:y1:qe";
        let hash = "AB".repeat(20);
        let search =
            format!("BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nInfohash: {hash}\r\n\r\n");
        let packets = [
            udp(2, query),
            udp(2, query),
            udp(2, b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t1:x1:y1:re"),
            udp(LSD_PORT, search.as_bytes()),
            udp(3, b"\x41\x02"),
        ];
        let messages = krpc(&packets);
        assert_eq!(messages.len(), 2, "the same packet twice is one message: {messages:?}");
        assert_eq!(messages[0].kind, Kind::Query { method: "get_peers".into(), about: Some([b'b'; 20]) });
        assert_eq!((&messages[1].kind, &messages[1].transaction[..]), (&Kind::Response, &b"x"[..]));
        assert_eq!(messages[1].at, 2);
        assert_eq!(lsd(&packets), [(3, addr(1), hash.to_lowercase())]);
        assert_eq!(unread_datagrams(&packets), [&packets[4]]);
    }

    #[test]
    fn extension_messages_are_found_in_streams() {
        let hello = handshake(FAST_EXTENDED, [7; 20], [1; 20]);
        let offer =
            |name: &str, id: u8| message(20, format!("\0d1:md6:{name}i{id}e8:unwantedi0eee").as_bytes());
        let there = [&hello[..], &offer("ut_pex", 3), &message(20, b"\x09hi")].concat();
        let back =
            [&hello[..], &offer("ut_abc", 9), &message(20, b"\x03hi"), &message(20, b"\x04hi")].concat();
        let (cut, begin) = (30, u32::MAX - 5);
        let packets = [
            tcp(1, 2, begin, true, b""),
            tcp(1, 2, begin, true, b""),
            tcp(1, 2, begin.wrapping_add(1 + cut), false, &there[cut as usize..]),
            tcp(1, 2, begin.wrapping_add(1), false, &there[..40]),
            tcp(2, 1, 8, true, b""),
            tcp(2, 1, 9, false, &back),
            tcp(5, 6, 9, false, b"a connection that began before"),
        ];
        assert_eq!(streams(&packets)[0].bytes, there);
        let said = messages(&packets, &[addr(2)]).unwrap();
        assert!(said.iter().all(|message| message.info_hash == [7; 20] && message.id == 20));
        let told: Vec<_> = extended(&said)
            .into_iter()
            .map(|read| (read.message.from.port(), read.message.at, read.offers.concat(), read.name))
            .collect();
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            told,
            [
                (1, 3, "ut_pex".into(), None),
                (1, 3, String::new(), name("ut_abc")),
                (2, 5, "ut_abc".into(), None),
                (2, 5, String::new(), name("ut_pex")),
                (2, 5, String::new(), None),
            ]
        );
        let secret = [tcp(1, 2, 0, true, b""), tcp(1, 2, 1, false, b"who knows")];
        assert!(messages(&secret, &[addr(2)]).is_err());
        assert_eq!(messages(&secret, &[addr(3)]), Ok(vec![]));
    }
}
