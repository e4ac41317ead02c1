//! What must hold for every message: it comes back from its bytes, wherever they are split, and no bytes panic.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed assumption fails the test")]

use core::net::{IpAddr, SocketAddr};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use types::{InfoHashV1, PeerId};
use wire::ext::{
    DontHave, Holepunch, HolepunchError, HolepunchKind, METADATA_PIECE_LEN, Metadata, Pex, PexFlags, PexPeer,
};
use wire::handshake::decode_prefix;
use wire::{Decoded, Error, Handshake, HashRange, Limits, Message, Request, Reserved, decode, ext};

const LIMITS: Limits = Limits::for_pieces(1000);

fn request() -> impl Strategy<Value = Request> {
    any::<(u32, u32, u32)>().prop_map(|(index, begin, length)| Request { index, begin, length })
}

fn hash_range() -> impl Strategy<Value = HashRange> {
    any::<([u8; 32], u32, u32, u32, u32)>().prop_map(
        |(pieces_root, base_layer, index, length, proof_layers)| HashRange {
            pieces_root,
            base_layer,
            index,
            length,
            proof_layers,
        },
    )
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=max)
}

fn message() -> impl Strategy<Value = Message<'static>> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(Message::Have),
        bytes(125).prop_map(|bits| Message::Bitfield(bits.into())),
        request().prop_map(Message::Request),
        (any::<u32>(), any::<u32>(), bytes(300)).prop_map(|(index, begin, data)| Message::Piece {
            index,
            begin,
            data: data.into()
        }),
        request().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(Message::Suggest),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        request().prop_map(Message::Reject),
        any::<u32>().prop_map(Message::AllowedFast),
        hash_range().prop_map(Message::HashRequest),
        (hash_range(), vec(any::<[u8; 32]>(), 0..5))
            .prop_map(|(range, hashes)| Message::Hashes { range, hashes: hashes.concat().into() }),
        hash_range().prop_map(Message::HashReject),
        (any::<u8>(), bytes(300)).prop_map(|(id, payload)| Message::Extended { id, payload: payload.into() }),
    ]
}

/// Of a client, all of which can be shown.
fn name() -> impl Strategy<Value = String> {
    "[^\\p{C}]{0,30}".prop_filter("not to be shown", |name| types::judged(name).all(|(_, is_fit)| is_fit))
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

/// All messages in `buf`, and what comes after them.
fn decode_all(mut buf: &[u8]) -> Result<(Vec<Message<'_>>, &[u8]), Error> {
    let mut messages = Vec::new();
    while let Decoded::Message { message, consumed } = decode(buf, &LIMITS)? {
        messages.push(message);
        buf = &buf[consumed..];
    }
    Ok((messages, buf))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_back(message in message()) {
        let bytes = encode(&message);
        prop_assert_eq!(bytes.len(), message.encoded_len());
        let Decoded::Message { message: decoded, consumed } = decode(&bytes, &LIMITS).unwrap() else {
            return Err(TestCaseError::fail("incomplete"));
        };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(encode(&decoded), &bytes[..]);
        prop_assert_eq!(decoded.into_owned(), message);
    }

    #[test]
    fn a_split_message_is_incomplete_and_says_what_it_needs(message in message()) {
        let bytes = encode(&message);
        for len in 0..bytes.len() {
            let Decoded::Incomplete { need_at_least } = decode(&bytes[..len], &LIMITS).unwrap() else {
                return Err(TestCaseError::fail("complete too early"));
            };
            prop_assert!(len < need_at_least && need_at_least <= bytes.len());
            prop_assert!(len < 4 || need_at_least == bytes.len());
        }
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut(messages in vec(message(), 0..8), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let stream: Vec<u8> = messages.iter().flat_map(encode).collect();
        let (whole, rest) = decode_all(&stream).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(&whole, &messages);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.push(stream.len());
        cuts.sort_unstable();
        let (mut buf, mut fed, mut got) = (Vec::new(), 0, Vec::new());
        for cut in cuts {
            buf.extend_from_slice(&stream[fed..cut]);
            fed = cut;
            let (messages, rest) = decode_all(&buf).unwrap();
            got.extend(messages.into_iter().map(Message::into_owned));
            let rest = rest.len();
            buf.drain(..buf.len() - rest);
        }
        prop_assert_eq!(got, messages);
    }

    #[test]
    fn no_bytes_panic(prefix in 0u32..400, id: u8, known in 0u8..24, body in bytes(400), raw in bytes(40)) {
        for id in [id, known] {
            let buf = [&prefix.to_be_bytes()[..], &[id], &body].concat();
            if let Ok(Decoded::Message { message, consumed }) = decode(&buf, &LIMITS) {
                prop_assert_eq!(encode(&message), &buf[..consumed]);
                prop_assert!(!message.to_string().contains(char::is_control));
            }
        }
        let _ = decode(&raw, &LIMITS);
        let _ = decode_prefix(&raw);
        let _ = ext::Handshake::decode(&raw);
        let _ = Metadata::decode(&raw);
        let _ = Pex::decode(&raw);
        let _ = Holepunch::decode(&raw);
        let _ = DontHave::decode(&raw);
    }

    #[test]
    fn what_is_wrong_stays_wrong_with_more_bytes(prefix in 0u32..400, id in 0u8..24, body in bytes(400)) {
        let buf = [&prefix.to_be_bytes()[..], &[id], &body].concat();
        let answers: Vec<_> = (0..=buf.len()).map(|len| decode(&buf[..len], &LIMITS)).collect();
        for pair in answers.windows(2) {
            let settled = !matches!(pair[0], Ok(Decoded::Incomplete { .. }));
            prop_assert!(!settled || pair[0] == pair[1]);
        }
    }

    #[test]
    fn handshakes_come_back(reserved: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20]) {
        let handshake =
            Handshake { reserved: Reserved(reserved), info_hash: InfoHashV1(info_hash), peer_id: PeerId(peer_id) };
        let bytes = handshake.encode();
        prop_assert_eq!(Handshake::decode(&bytes), Ok(handshake));
        prop_assert!(!handshake.reserved.to_string().is_empty());
    }

    #[test]
    fn extension_handshakes_come_back(
        m in btree_map("[a-zA-Z_]{0,12}", any::<u8>(), 0..10),
        (client, port, reqq) in (option::of(name()), option::of(1u16..), any::<Option<u32>>()),
        (yourip, ipv4, ipv6) in (any::<Option<IpAddr>>(), any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>()),
        (metadata_size, upload_only) in any::<(Option<u32>, bool)>(),
    ) {
        let (ipv4, ipv6) = (ipv4.map(Into::into), ipv6.map(Into::into));
        let handshake =
            ext::Handshake { m, client, port, reqq, yourip, ipv4, ipv6, metadata_size, upload_only };
        prop_assert_eq!(ext::Handshake::decode(&handshake.encode()), Ok(handshake));
    }

    #[test]
    fn metadata_messages_come_back(piece in 0u32..100, last_len in 1..=METADATA_PIECE_LEN, more in 0u32..3) {
        let total_size = (piece + more) * METADATA_PIECE_LEN + last_len;
        let len = if more == 0 { last_len } else { METADATA_PIECE_LEN };
        let data: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
        let data = Metadata::Data { piece, total_size, data: data.into() };
        for message in [Metadata::Request { piece }, Metadata::Reject { piece }, data] {
            let bytes = message.encode();
            prop_assert_eq!(Metadata::decode(&bytes), Ok(Some(message)));
            prop_assert!(Metadata::decode(&bytes[..bytes.len() - 1]).is_err(), "cut short");
        }
    }

    #[test]
    fn pex_messages_come_back(
        added in vec(any::<(SocketAddr, u8)>(), 0..50),
        dropped in vec(any::<SocketAddr>(), 0..50),
    ) {
        let plain = |addr: SocketAddr| SocketAddr::new(addr.ip(), addr.port());
        let added = added.into_iter().map(|(addr, flags)| PexPeer { addr: plain(addr), flags: PexFlags(flags) });
        let mut pex = Pex { added: added.collect(), dropped: dropped.into_iter().map(plain).collect() };
        pex.added.sort_by_key(|peer| peer.addr.is_ipv6());
        pex.dropped.sort_by_key(SocketAddr::is_ipv6);
        prop_assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
    }

    #[test]
    fn holepunch_messages_come_back(ip: IpAddr, port: u16, code: u32) {
        let error = HolepunchKind::Error(HolepunchError(code));
        for kind in [HolepunchKind::Rendezvous, HolepunchKind::Connect, error] {
            let message = Holepunch { kind, addr: SocketAddr::new(ip, port) };
            prop_assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
        }
        prop_assert_eq!(DontHave::decode(&DontHave(code).encode()), Ok(DontHave(code)));
    }
}
