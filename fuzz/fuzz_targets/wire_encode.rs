//! Any messages: they read back as they were written, and the same however the stream is cut.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use wire::{Decoded, HashRange, Limits, Message, Request, decode};

fn request(parts: &mut Parts<'_>) -> Request {
    Request { index: parts.u32(), begin: parts.u32(), length: parts.u32() }
}

fn range(parts: &mut Parts<'_>) -> HashRange {
    HashRange {
        pieces_root: [parts.byte(); 32],
        base_layer: parts.u32(),
        index: parts.u32(),
        length: parts.u32(),
        proof_layers: parts.u32(),
    }
}

fn message<'a>(parts: &mut Parts<'a>) -> Message<'a> {
    match parts.byte() % 20 {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 => Message::Unchoke,
        3 => Message::Interested,
        4 => Message::NotInterested,
        5 => Message::Have(parts.u32()),
        6 => Message::Bitfield(parts.bytes().into()),
        7 => Message::Request(request(parts)),
        8 => Message::Piece { index: parts.u32(), begin: parts.u32(), data: parts.bytes().into() },
        9 => Message::Cancel(request(parts)),
        10 => Message::Port(parts.u16()),
        11 => Message::Suggest(parts.u32()),
        12 => Message::HaveAll,
        13 => Message::HaveNone,
        14 => Message::Reject(request(parts)),
        15 => Message::AllowedFast(parts.u32()),
        16 => Message::HashRequest(range(parts)),
        17 => {
            let (range, hashes) = (range(parts), parts.bytes());
            Message::Hashes { range, hashes: hashes[..hashes.len() / 32 * 32].into() }
        }
        18 => Message::HashReject(range(parts)),
        _ => Message::Extended { id: parts.byte(), payload: parts.bytes().into() },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let cut = usize::from(parts.byte()) + 1;
    let mut messages = Vec::new();
    while !parts.is_empty() {
        messages.push(message(&mut parts));
    }
    let mut stream = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut stream));

    let limits = Limits::for_pieces(256 * 8);
    let (mut buf, mut read) = (Vec::new(), Vec::new());
    for chunk in stream.chunks(cut) {
        buf.extend_from_slice(chunk);
        while let Decoded::Message { message, consumed } =
            decode(&buf, &limits).expect("what we write is legal")
        {
            read.push(message.into_owned());
            buf.drain(..consumed);
        }
    }
    assert!(buf.is_empty());
    assert_eq!(read, messages);
    plant(|| {
        let is = |n: usize, kind: fn(&Message<'_>) -> bool| read.get(n).is_some_and(kind);
        is(1, |m| matches!(m, Message::HaveAll)) && is(2, |m| matches!(m, Message::Reject(r) if r.length > 9))
    });
});
