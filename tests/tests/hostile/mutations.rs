//! Every message with one field changed, in every state.

use std::time::Duration;

use super::{Downloading, PIECES, SMALL, SOON, Seeding, gone, sized};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{
    BLOCK_LEN, EXTENDED, FAST, FAST_EXTENDED, PLAIN, RawPeer, full_bitfield, id, message, request,
};
use rawtorrent_tests::score::score;

/// The numbers that a field of 32 bits is set to: at the edges of what there is, and of what numbers are written in.
const NUMBERS: [u32; 12] =
    [0, 1, 18, 19, 20, 21, 0x4000, 0x0001_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

/// A message with something changed, and whether nothing but parting is right.
struct Mutation {
    bytes: Vec<u8>,
    illegal: bool,
}

/// Every message that there is, as it should be.
fn messages() -> Vec<Vec<u8>> {
    let block = [&request(0, 0, 0)[..8], &SMALL.stream()[..BLOCK_LEN]].concat();
    let range = [&[7; 32][..], &[0; 8], &2_u32.to_be_bytes(), &[0; 4]].concat();
    let extended = |number: u8, payload: &[u8]| message(id::EXTENDED, &[&[number], payload].concat());
    vec![
        vec![0; 4],
        message(id::CHOKE, &[]),
        message(id::UNCHOKE, &[]),
        message(id::INTERESTED, &[]),
        message(id::NOT_INTERESTED, &[]),
        message(id::HAVE, &3_u32.to_be_bytes()),
        message(id::BITFIELD, &full_bitfield(PIECES)),
        message(id::REQUEST, &request(1, 0, 0x4000)),
        message(id::PIECE, &block),
        message(id::CANCEL, &request(1, 0, 0x4000)),
        message(id::PORT, &6881_u16.to_be_bytes()),
        message(id::SUGGEST, &3_u32.to_be_bytes()),
        message(id::HAVE_ALL, &[]),
        message(id::HAVE_NONE, &[]),
        message(id::REJECT, &request(1, 0, 0x4000)),
        message(id::ALLOWED_FAST, &3_u32.to_be_bytes()),
        extended(0, b"d1:md11:lt_donthavei7e12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee1:pi6881e4:reqqi250e1:v3:x 16:yourip4:\x7f\0\0\x01e"),
        extended(2, b"d8:msg_typei0e5:piecei0ee"),
        extended(2, b"d8:msg_typei1e5:piecei0e10:total_sizei4eeabcd"),
        extended(2, b"d8:msg_typei2e5:piecei0ee"),
        extended(1, b"d5:added6:\x7f\0\0\x01\x1a\xe17:added.f1:\0e"),
        extended(4, &[&[0, 0, 127, 0, 0, 1, 26, 225][..], &[0; 4]].concat()),
        extended(7, &3_u32.to_be_bytes()),
        message(id::HASH_REQUEST, &range),
        message(id::HASHES, &[&range[..], &[7; 64]].concat()),
        message(id::HASH_REJECT, &range),
    ]
}

/// Whether an id has a meaning.
fn is_known(id: u8) -> bool {
    matches!(id, 0..=9 | 13..=17 | 20..=23)
}

/// The payload that messages of an id have, if all have the same.
fn fixed_len(id: u8) -> Option<u32> {
    match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            Some(0)
        }
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => Some(4),
        id::REQUEST | id::CANCEL | id::REJECT => Some(12),
        id::PORT => Some(2),
        _ => None,
    }
}

/// Whether no message begins like this.
fn is_illegal(bytes: &[u8]) -> bool {
    let len = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let wrong = |id: u8| fixed_len(id).is_some_and(|fixed| fixed != len - 1);
    len > 1 << 20 || len > 0 && bytes.get(4).is_some_and(|&id| !is_known(id) || wrong(id))
}

/// All mutations of one message: of its length, of its id, of each number in its payload, and of single bytes.
fn mutations(original: &[u8]) -> Vec<Mutation> {
    let mut all = Vec::new();
    let mut add = |bytes: Vec<u8>| {
        let illegal = is_illegal(&bytes);
        all.push(Mutation { bytes, illegal });
    };
    let len = u32::try_from(original.len() - 4).unwrap();
    for wrong in [0, 1, len.wrapping_sub(1), len + 1, len + 4, 1 << 20, (1 << 20) + 1, 1 << 31, u32::MAX] {
        add([&wrong.to_be_bytes()[..], &original[4..]].concat());
    }
    if len == 0 {
        return all;
    }
    for other in (0..=25).chain([127, 128, 255]) {
        let mut bytes = original.to_vec();
        bytes[4] = other;
        add(bytes);
    }
    for at in (5..original.len().saturating_sub(3).min(60)).step_by(4) {
        for number in NUMBERS {
            let mut bytes = original.to_vec();
            bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            add(bytes);
        }
    }
    for at in 5..original.len().min(5 + 160) {
        for wrong in [0, b'0', b'9', b'd', b'e', b'i', b'l', 0xff, original[at] ^ 1] {
            let mut bytes = original.to_vec();
            bytes[at] = wrong;
            add(bytes);
        }
    }
    all
}

/// What a peer has said before; the name of what it knows with it.
type State = (&'static str, [u8; 8], fn() -> Vec<u8>);

const STATES: &[State] = &[
    ("greeted", PLAIN, Vec::new),
    ("greeted, fast", FAST_EXTENDED, Vec::new),
    ("has nothing, is interested", FAST, || {
        [message(id::HAVE_NONE, &[]), message(id::INTERESTED, &[])].concat()
    }),
    ("has all, chokes", FAST_EXTENDED, || message(id::HAVE_ALL, &[])),
    ("has all, unchokes", FAST_EXTENDED, || [message(id::HAVE_ALL, &[]), message(id::UNCHOKE, &[])].concat()),
    ("has half, unchokes, asks", EXTENDED, || {
        let half = [0xff, 0, 0];
        [
            message(id::BITFIELD, &half),
            message(id::UNCHOKE, &[]),
            message(id::INTERESTED, &[]),
            message(id::REQUEST, &request(19, 0, 17)),
        ]
        .concat()
    }),
];

/// Sends a mutation in a state. What can't be a message must end the connection; anything else may, and the other side's
/// end of what we say does.
fn play(mut peer: RawPeer, said: &[u8], mutation: &Mutation) -> Result<(), String> {
    // Who is thrown out midway can't send the rest.
    let sent = peer.send(said).and_then(|()| peer.send(&mutation.bytes));
    if sent.is_ok() && !mutation.illegal {
        let _ = peer.finish();
    }
    gone(&mut peer)
}

#[test]
fn every_field_of_every_message_in_every_state() {
    let mut seeding = Seeding::start();
    let downloading = Downloading::start();
    let every: Vec<Mutation> = messages().iter().flat_map(|original| mutations(original)).collect();
    let all = every.len() * STATES.len() * 2;
    // A step that has no divisor in common with anything, so that the sample is of all kinds.
    let step = (all / sized(4_000, all)).max(1) | 1;
    let (mut count, mut illegal) = (0, 0);
    let mut wrong = Vec::new();
    for at in (0..all).step_by(step) {
        let (what, (state, reserved, said)) = (&every[at / 2 % every.len()], STATES[at / 2 / every.len()]);
        let (addr, info_hash) = match at % 2 {
            0 => (seeding.addr, seeding.home.info_hash),
            _ => (downloading.addr, downloading.home.info_hash),
        };
        let peer = RawPeer::connect(addr, reserved, info_hash).unwrap();
        count += 1;
        illegal += u64::from(what.illegal);
        if let Err(why) = play(peer, &said(), what) {
            wrong.push(format!("{state}: {:02x?}: {why}", &what.bytes[..what.bytes.len().min(40)]));
            assert!(wrong.len() < 5, "{wrong:#?}");
        }
        if count % 500 == 0 {
            seeding.assert_serves();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 2_000, "{count}");
    seeding.assert_serves();
    downloading.assert_completes();
    score(
        "every_field_of_every_message_in_every_state",
        &format!("26 messages, one field changed, in {} states, to a seed and a downloader", STATES.len()),
        count,
        &format!("all {illegal} illegal ones dropped within {} s; it serves and completes", SOON.as_secs()),
        "illegal: dropped; else: nothing breaks",
    );
}

#[test]
fn a_length_of_four_gigabytes() {
    let mut seeding = Seeding::start();
    let count = sized(50, 1_000);
    for number in 0..count {
        let mut peer = seeding.connect([PLAIN, FAST, FAST_EXTENDED][number % 3]).unwrap();
        let len = u32::MAX - u32::try_from(number / 3).unwrap();
        peer.send(&[&len.to_be_bytes()[..], &[id::PIECE], &[7; 100]].concat()).unwrap();
        gone(&mut peer).unwrap();
    }
    let peak = seeding.session.process.peak_memory().unwrap() >> 20;
    seeding.assert_serves();
    assert!(peak < 128, "{peak} MiB");
    score(
        "a_length_of_four_gigabytes",
        "message lengths of 2^32-1 and a little less",
        count as u64,
        &format!("each dropped; peak memory {peak} MiB"),
        "dropped; memory below 128 MiB",
    );
}

#[test]
fn illegal_messages_are_told_from_legal_ones() {
    assert!(messages().iter().all(|message| !is_illegal(message)));
    assert!(is_illegal(&[0xff; 4]) && is_illegal(&[0, 0, 0, 2, 0, 0]) && is_illegal(&[0, 0, 0, 1, 10]));
    assert!(mutations(&message(id::HAVE, &[0; 4])).iter().filter(|mutation| mutation.illegal).count() > 20);
    assert_eq!(SMALL.len().div_ceil(PIECE_LEN), PIECES);
    assert!(SOON < Duration::from_secs(10));
}
