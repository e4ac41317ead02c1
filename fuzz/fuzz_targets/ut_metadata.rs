//! A swarm that knows only the info-hash, among peers that say anything: its counts stay right, its limits hold, and what
//! it finds is what the hash names.
#![no_main]

use common::plant;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{Bitfield, InfoHash, InfoHashV1, Lengths, PeerId, Time};
use wire::ext::{Handshake, METADATA_PIECE_LEN, Metadata, UT_METADATA};
use wire::{Message, Reserved};

/// The number of `ut_metadata` messages to the swarm.
const THEIRS: u8 = 2;
const PEERS: u64 = 6;

fuzz_target!(|data: &[u8]| {
    let info = vec![7; METADATA_PIECE_LEN as usize * 2 + 1];
    let info_hash = InfoHash::V1(InfoHashV1(hash::sha1(&info)));
    let mut now = Time::from_secs(1);
    let mut swarm = Swarm::of_unknown(Config::default(), info_hash, true, 1, now);
    for step in data.chunks(4) {
        let &[what, who, a, b] = step else { break };
        let peer = PeerKey(u64::from(who) % PEERS);
        let number = u32::from(a) << 8 | u32::from(b);
        match what % 8 {
            0 => swarm.handle(now, connected(peer)),
            1 => swarm.handle(now, Input::PeerClosed { peer }),
            2 => swarm.handle(now, Input::Message { peer, message: hello(number, &info) }),
            3 | 4 => swarm.handle(now, Input::Message { peer, message: piece(a, b, &info) }),
            5 => swarm.handle(now, Input::Message { peer, message: said(a, number) }),
            6 => {
                now += Duration::from_millis(u64::from(number));
                swarm.handle_timeout(now);
            }
            _ => {
                let payload = [a, b].repeat(usize::from(a)).into();
                swarm.handle(now, Input::Message { peer, message: Message::Extended { id: b % 4, payload } });
            }
        }
        swarm.check_invariants();
        while let Some(output) = swarm.poll_output() {
            assert!(!matches!(output, Output::Request { .. } | Output::ServeMetadata { .. }));
        }
        if let Some(found) = swarm.take_metadata() {
            assert_eq!(found, info);
            plant(|| true);
            return take_over(now, swarm);
        }
    }
});

fn connected(peer: PeerKey) -> Input<'static> {
    let n = u8::try_from(peer.0).unwrap_or(0);
    let reserved = Reserved::NONE.with_fast().with_extended();
    Input::PeerConnected {
        peer,
        addr: ([10, 0, 0, n], 6881).into(),
        outgoing: false,
        peer_id: PeerId([n + 1; 20]),
        reserved,
    }
}

/// Claims the right length, or another.
fn hello(number: u32, info: &[u8]) -> Message<'static> {
    let len = if number % 2 == 0 { info.len() as u32 } else { number << (number % 17) };
    let m = [(UT_METADATA.into(), 9)].into();
    let payload = Handshake { m, metadata_size: Some(len), ..Handshake::default() }.encode();
    Message::Extended { id: 0, payload: payload.into() }
}

/// A piece that is right, or one that is not, or a reject.
fn piece(a: u8, b: u8, info: &[u8]) -> Message<'static> {
    let piece = u32::from(a) % 3;
    let mut data = info.chunks(METADATA_PIECE_LEN as usize).nth(piece as usize).unwrap_or_default().to_vec();
    if b % 4 == 0 {
        data[0] = b;
    }
    let message = match b {
        250.. => Metadata::Reject { piece },
        240..250 => Metadata::Request { piece },
        _ => Metadata::Data { piece, total_size: info.len() as u32, data: data.into() },
    };
    Message::Extended { id: THEIRS, payload: message.encode().into() }
}

fn said(a: u8, number: u32) -> Message<'static> {
    match a % 9 {
        0 => Message::HaveAll,
        1 => Message::HaveNone,
        2 => Message::Have(number << (number % 8)),
        3 => Message::Bitfield(vec![0x80; number as usize % 5].into()),
        4 => Message::Unchoke,
        5 => Message::Choke,
        6 => Message::Interested,
        7 => Message::AllowedFast(number),
        _ => Message::Request(wire::Request { index: number, begin: 0, length: 16384 }),
    }
}

/// The whole torrent's swarm goes on with whoever is there.
fn take_over(now: Time, before: Swarm) {
    let Ok(lengths) = Lengths::new(20 << 15, 1 << 15) else { return };
    let have = Bitfield::new(lengths.piece_count());
    let mut swarm = Swarm::new(Config::default(), lengths, have, 1, now);
    swarm.take_over(now, before);
    swarm.check_invariants();
    while swarm.poll_output().is_some() {}
}
