//! Extension messages: what is decoded is the same after it was encoded and decoded again, and within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ext::{DontHave, Handshake, Holepunch, METADATA_PIECE_LEN, Metadata, Pex};
use wire::{MAX_CLIENT_NAME_LEN, MAX_EXTENSION_NAME_LEN, MAX_EXTENSIONS, MAX_PEX_PEERS};

/// Every key of the three kinds of dictionary.
const KEYS: [&str; 18] = [
    "added",
    "added.f",
    "added6",
    "added6.f",
    "dropped",
    "dropped6",
    "ipv4",
    "ipv6",
    "m",
    "metadata_size",
    "msg_type",
    "p",
    "piece",
    "reqq",
    "total_size",
    "upload_only",
    "v",
    "yourip",
];

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&with_known_keys(data));
});

/// A dictionary whose values are slices of the data: few inputs name a key by themselves.
fn with_known_keys(data: &[u8]) -> Vec<u8> {
    let values = data.chunks(data.len().div_ceil(KEYS.len()).max(1));
    bencode::encode_dict(|dict| {
        for (key, value) in KEYS.into_iter().zip(values) {
            match value {
                [0x00..0x40, digits @ ..] => dict.int(key, number(digits)),
                [0x40..0x60, entries @ ..] => dict.dict(key, |d| {
                    entries.chunks_exact(2).for_each(|entry| d.int([entry[0]], entry[1]));
                }),
                _ => dict.bytes(key, value),
            }
        }
    })
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().take(7).fold(0, |n, &digit| n << 8 | i64::from(digit)) - 1
}

fn check(data: &[u8]) {
    if let Ok(handshake) = Handshake::decode(data) {
        check_limits(&handshake);
        assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }
    if let Ok(Some(message)) = Metadata::decode(data) {
        if let Metadata::Data { data, .. } = &message {
            assert!(data.len() <= METADATA_PIECE_LEN as usize);
        }
        assert_eq!(Metadata::decode(&message.encode()), Ok(Some(message.clone())));
    }
    if let Ok(pex) = Pex::decode(data) {
        assert!(pex.added.len() <= 2 * MAX_PEX_PEERS && pex.dropped.len() <= 2 * MAX_PEX_PEERS);
        assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
    }
    if let Ok(holepunch) = Holepunch::decode(data) {
        assert_eq!(Holepunch::decode(&holepunch.encode()), Ok(holepunch));
    }
    if let Ok(gone) = DontHave::decode(data) {
        assert_eq!(gone.encode(), data);
    }
}

fn check_limits(handshake: &Handshake) {
    assert!(handshake.m.len() <= MAX_EXTENSIONS);
    assert!(handshake.m.keys().all(|name| name.len() <= MAX_EXTENSION_NAME_LEN));
    let client = handshake.client.as_deref().unwrap_or_default();
    assert!(client.len() <= MAX_CLIENT_NAME_LEN && !client.contains(char::is_control));
}
