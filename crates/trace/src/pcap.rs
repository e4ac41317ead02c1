//! What was said, as a capture of TCP streams in plaintext: pcapng (draft-ietf-opsawg-pcapng), one interface of raw IP.
//!
//! It is as if every connection had been plain TCP without loss: whatever it went over, and however it was encrypted. Only where
//! events were lost ([`Pcap::lost`]), bytes are missing.

use crate::{Direction, Event, EventKind, Peer, Said};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use wire::{Handshake, Message};

/// Payload bytes of one packet: a whole block and its header fit.
const SEGMENT: usize = 32 * 1024;

/// Where we listen in the capture: an address that nobody else has.
const OUR_PORT: u16 = 6881;
const OUR_IP4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OUR_IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Bytes that are left out of each direction of a stream when events were lost: of how many nobody knows, one is enough for
/// Wireshark to say that some are missing.
const LOST_LEN: u32 = 1;

/// Writes events as packets. Each call gives the bytes that come next in the file.
#[derive(Debug)]
pub struct Pcap {
    /// When the first event was, as time since 1970.
    began: Duration,
    streams: BTreeMap<u64, Stream>,
}

#[derive(Debug)]
struct Stream {
    us: SocketAddr,
    them: SocketAddr,
    /// What we sent so far, as TCP counts it, and what they did.
    sent: u32,
    came: u32,
}

impl Pcap {
    /// A capture whose events began at this time since 1970, and its first bytes.
    pub fn new(began: Duration) -> (Pcap, Vec<u8>) {
        let mut head = Vec::new();
        // Section header: the byte order, version 1.0, of unknown length.
        block(&mut head, 0x0a0d_0d0a, |out| {
            out.extend(0x1a2b_3c4d_u32.to_le_bytes());
            out.extend([1, 0, 0, 0]);
            out.extend([0xff; 8]);
            option(out, 4, b"rawtorrent");
            option(out, 0, b"");
        });
        // Interface: raw IP (101), packets of any length, times in nanoseconds.
        block(&mut head, 1, |out| {
            out.extend([101, 0, 0, 0]);
            out.extend(0u32.to_le_bytes());
            option(out, 9, &[9]);
            option(out, 0, b"");
        });
        (Pcap { began, streams: BTreeMap::new() }, head)
    }

    /// The packets of an event; none if it is none of a connection.
    pub fn packets(&mut self, event: &Event) -> Vec<u8> {
        let mut out = Vec::new();
        let at = self.began + event.at;
        match &event.kind {
            EventKind::Present {
                peer, outgoing, info_hash, our_id, our_reserved, peer_id, reserved, ..
            } => {
                self.open(at, *peer, *outgoing, &mut out);
                let handshake = |&reserved, &peer_id| Handshake { reserved, info_hash: *info_hash, peer_id };
                let ours = (Direction::Out, handshake(our_reserved, our_id));
                let theirs = (Direction::In, handshake(reserved, peer_id));
                for (direction, handshake) in if *outgoing { [ours, theirs] } else { [theirs, ours] } {
                    self.say(at, *peer, direction, &handshake.encode(), &mut out);
                }
            }
            EventKind::Connected { peer, outgoing } => self.open(at, *peer, *outgoing, &mut out),
            EventKind::Handshake { peer, direction, info_hash, peer_id, reserved, .. } => {
                let (reserved, info_hash, peer_id) = (*reserved, *info_hash, *peer_id);
                let handshake = Handshake { reserved, info_hash, peer_id };
                self.say(at, *peer, *direction, &handshake.encode(), &mut out);
            }
            // Any piece would be a wrong one.
            EventKind::Message { said: Said::AllowedFast { piece: None }, .. } => {}
            EventKind::Message { peer, direction, said, .. } => {
                let mut bytes = Vec::new();
                said.to_wire().encode(&mut bytes);
                self.say(at, *peer, *direction, &bytes, &mut out);
            }
            EventKind::Unrequested { peer, piece: Some(index), offset: Some(begin), bytes, .. } => {
                let data = vec![0; *bytes as usize].into();
                let mut message = Vec::new();
                Message::Piece { index: *index, begin: *begin, data }.encode(&mut message);
                self.say(at, *peer, Direction::In, &message, &mut out);
            }
            EventKind::Disconnected { peer, .. } => self.close(at, *peer, &mut out),
            _ => {}
        }
        out
    }

    /// Events were lost here. Of whichever connection they were, each that is open goes on with a gap before what comes next:
    /// Wireshark tells of a lost segment, and reads on behind it.
    pub fn lost(&mut self) {
        for Stream { sent, came, .. } in self.streams.values_mut() {
            *sent = sent.wrapping_add(LOST_LEN);
            *came = came.wrapping_add(LOST_LEN);
        }
    }

    fn open(&mut self, at: Duration, peer: Peer, outgoing: bool, out: &mut Vec<u8>) {
        let Some(number) = peer.number else { return };
        let (us, them) = ends(number, peer.addr, outgoing);
        let mut stream = Stream { us, them, sent: 0, came: 0 };
        let (first, second) =
            if outgoing { (Direction::Out, Direction::In) } else { (Direction::In, Direction::Out) };
        stream.put(at, first, SYN, &[], out);
        stream.put(at, second, SYN | ACK, &[], out);
        stream.put(at, first, ACK, &[], out);
        self.streams.insert(number, stream);
    }

    fn say(&mut self, at: Duration, peer: Peer, direction: Direction, bytes: &[u8], out: &mut Vec<u8>) {
        // Web seeds have none; and of one whose beginning was lost nobody could read the rest.
        let Some(stream) = peer.number.and_then(|number| self.streams.get_mut(&number)) else { return };
        // Of what is longer than the message of a block of 16 KiB, Wireshark 4.0 takes the first packet for more of what came
        // before, and zeros in others for keep-alives of four bytes: these end where the last packet does.
        let (first, further) = bytes.split_at(bytes.len().min(SEGMENT + bytes.len() % 4));
        for segment in [first].into_iter().chain(further.chunks(SEGMENT)) {
            stream.put(at, direction, PSH | ACK, segment, out);
        }
    }

    fn close(&mut self, at: Duration, peer: Peer, out: &mut Vec<u8>) {
        let Some(mut stream) = peer.number.and_then(|number| self.streams.remove(&number)) else { return };
        stream.put(at, Direction::Out, FIN | ACK, &[], out);
        stream.put(at, Direction::In, FIN | ACK, &[], out);
        stream.put(at, Direction::Out, ACK, &[], out);
    }
}

/// Our end and theirs. Where theirs is masked, it is made of the connection's number.
fn ends(number: u64, addr: Option<SocketAddr>, outgoing: bool) -> (SocketAddr, SocketAddr) {
    let of_number = || {
        let bytes = number.to_be_bytes();
        SocketAddr::from(([10, 1 + bytes[5] % 255, bytes[6], bytes[7]], OUR_PORT))
    };
    let them = addr.unwrap_or_else(of_number);
    let ours = if them.is_ipv4() { IpAddr::V4(OUR_IP4) } else { IpAddr::V6(OUR_IP6) };
    // A port of its own, so that connections after each other with one peer are told apart.
    let own = u16::try_from(number % 16_000).map_or(u16::MAX, |offset| 49_152 + offset);
    let us = SocketAddr::new(ours, if outgoing { own } else { OUR_PORT });
    let them = match addr {
        None if !outgoing => SocketAddr::new(them.ip(), own),
        _ => them,
    };
    (us, them)
}

impl Stream {
    /// One packet in an enhanced packet block.
    fn put(&mut self, at: Duration, direction: Direction, flags: u8, data: &[u8], out: &mut Vec<u8>) {
        let (from, to, seq, ack) = match direction {
            Direction::Out => (self.us, self.them, &mut self.sent, self.came),
            Direction::In => (self.them, self.us, &mut self.came, self.sent),
        };
        let segment = tcp(from, to, *seq, ack, flags, data);
        let counted = u32::try_from(data.len()).unwrap_or_default() + u32::from(flags & (SYN | FIN) != 0);
        *seq = seq.wrapping_add(counted);
        let packet = ip(from.ip(), to.ip(), segment);
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let (high, low) = ((nanos >> 32) as u32, (nanos & 0xffff_ffff) as u32);
        let len = u32::try_from(packet.len()).unwrap_or_default();
        block(out, 6, |out| {
            for word in [0, high, low, len, len] {
                out.extend(word.to_le_bytes());
            }
            padded(out, &packet);
        });
    }
}

fn tcp(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + data.len());
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend((if flags & ACK == 0 { 0 } else { ack }).to_be_bytes());
    // 5 words of header, the flags, a window of all.
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(data);
    let len = u32::try_from(segment.len()).unwrap_or_default();
    let mut pseudo = Vec::with_capacity(40);
    for ip in [from.ip(), to.ip()] {
        match ip {
            IpAddr::V4(ip) => pseudo.extend(ip.octets()),
            IpAddr::V6(ip) => pseudo.extend(ip.octets()),
        }
    }
    pseudo.extend(len.to_be_bytes());
    pseudo.extend([0, 0, 0, TCP]);
    let sum = checksum(&[&pseudo, &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// The number of TCP in the headers of IP.
const TCP: u8 = 6;
/// What a router would count down from.
const HOPS: u8 = 64;

fn ip(from: IpAddr, to: IpAddr, segment: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(segment.len()).expect("a segment is below 64 KiB");
    let mut packet = Vec::with_capacity(40 + segment.len());
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend((20 + len).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(len.to_be_bytes());
            packet.extend([TCP, HOPS]);
            packet.extend(octets(from));
            packet.extend(octets(to));
        }
    }
    packet.extend(segment);
    packet
}

/// The Internet checksum (RFC 1071) of parts, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("it was folded to 16 bits")
}

/// A block of the file: type, length, what is in it, and the length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let len = u32::try_from(out.len() - start + 4).unwrap_or_default().to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&len);
    out.extend(len);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0xff]]), !0xff00);
    }

    #[test]
    fn masked_peers_have_an_address_each() {
        let mut ends: Vec<_> = (0..1000).map(|number| ends(number, None, number % 2 == 0)).collect();
        ends.sort_unstable();
        ends.dedup();
        assert_eq!(ends.len(), 1000);
        let addr = "[2001:db8::7]:51413".parse().unwrap();
        let (us, them) = super::ends(5, Some(addr), false);
        assert_eq!((us.ip(), us.port(), them), (IpAddr::V6(OUR_IP6), OUR_PORT, addr));
    }

    #[test]
    fn a_message_without_its_piece_is_left_out() {
        let (mut pcap, _) = Pcap::new(Duration::ZERO);
        let peer = Peer { number: Some(1), addr: None };
        let mut len = |kind| {
            pcap.packets(&Event { v: crate::VERSION, at: Duration::ZERO, torrent: crate::NO_TORRENT, kind })
                .len()
        };
        let message =
            |said| EventKind::Message { peer, direction: Direction::In, said, reason: None, took: None };
        assert!(len(EventKind::Connected { peer, outgoing: true }) > 0);
        assert!(len(message(Said::AllowedFast { piece: Some(7) })) > 0);
        assert_eq!(len(message(Said::AllowedFast { piece: None })), 0);
        assert!(len(message(Said::HaveAll)) > 0, "what follows is there");
    }

    #[test]
    fn where_events_were_lost_bytes_are_missing_both_ways() {
        let (mut pcap, _) = Pcap::new(Duration::ZERO);
        let peer = Peer { number: Some(1), addr: None };
        let packet = |pcap: &mut Pcap, kind| {
            let event = Event { v: crate::VERSION, at: Duration::ZERO, torrent: crate::NO_TORRENT, kind };
            let packets = pcap.packets(&event);
            // Behind the headers of the block, of IP and of TCP's ports: what this one counts from, and what came before it.
            let word = |at: usize| u32::from_be_bytes(packets[at..at + 4].try_into().unwrap());
            (word(28 + 20 + 4), word(28 + 20 + 8))
        };
        let message =
            |direction| EventKind::Message { peer, direction, said: Said::Choke, reason: None, took: None };
        packet(&mut pcap, EventKind::Connected { peer, outgoing: true });
        assert_eq!(packet(&mut pcap, message(Direction::Out)), (1, 1));
        assert_eq!(packet(&mut pcap, message(Direction::In)), (1, 6));
        pcap.lost();
        assert_eq!(packet(&mut pcap, message(Direction::Out)), (6 + LOST_LEN, 6 + LOST_LEN));
        assert_eq!(packet(&mut pcap, message(Direction::In)), (6 + LOST_LEN, 11 + LOST_LEN));
    }

    #[test]
    fn a_file_begins_with_its_section_and_interface() {
        let (_, head) = Pcap::new(Duration::ZERO);
        assert_eq!(head[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
        let len = u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
        assert_eq!((head.len() % 4, &head[len..len + 4]), (0, &[1u8, 0, 0, 0][..]));
    }
}
