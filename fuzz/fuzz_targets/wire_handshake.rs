//! Handshakes: parts appear in order and never change, a refusal is final, a whole one re-encodes to the same bytes.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use wire::client;
use wire::handshake::{LEN, PROTOCOL, decode_prefix};

fuzz_target!(|data: &[u8]| {
    check(data);
    // Few inputs begin with the protocol string by themselves.
    check(&[PROTOCOL, data].concat());
});

fn check(bytes: &[u8]) {
    let whole = decode_prefix(bytes);
    for len in 0..bytes.len().min(LEN + 1) {
        match decode_prefix(&bytes[..len]) {
            Err(error) => assert_eq!(whole, Err(error)),
            Ok(part) => {
                let later = decode_prefix(&bytes[..=len]).unwrap_or(part);
                assert!(part.reserved.is_none() || part.reserved == later.reserved);
                assert!(part.info_hash.is_none() || part.info_hash == later.info_hash);
                assert!(part.peer_id.is_none() || part.peer_id == later.peer_id);
            }
        }
    }
    let Some(handshake) = whole.ok().and_then(|prefix| prefix.complete()) else { return };
    assert_eq!(handshake.encode(), bytes[..LEN]);
    assert!(!handshake.reserved.to_string().is_empty());
    let name = client::name(&handshake.peer_id);
    plant(|| name.is_some() && !handshake.reserved.fast());
    assert!(name.is_none_or(|name| !name.contains(char::is_control)));
}
