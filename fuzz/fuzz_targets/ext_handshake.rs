//! Extension handshakes (BEP 10): what is read is bounded and reads the same after it was written again.
#![no_main]

use common::{dict_of, plant};
use libfuzzer_sys::fuzz_target;
use wire::ext::Handshake;
use wire::{MAX_CLIENT_NAME_LEN, MAX_EXTENSION_NAME_LEN, MAX_EXTENSIONS};

const KEYS: [&str; 9] = ["ipv4", "ipv6", "m", "metadata_size", "p", "reqq", "upload_only", "v", "yourip"];

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&dict_of(&KEYS, data));
});

fn check(data: &[u8]) {
    let handshake = match Handshake::decode(data) {
        Ok(handshake) => handshake,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };
    assert!(handshake.m.len() <= MAX_EXTENSIONS);
    assert!(handshake.m.keys().all(|name| name.len() <= MAX_EXTENSION_NAME_LEN));
    let client = handshake.client.as_deref().unwrap_or_default();
    assert!(client.len() <= MAX_CLIENT_NAME_LEN && !client.contains(char::is_control));
    assert!(handshake.m.iter().all(|(name, &id)| handshake.id_of(name) == Some(id).filter(|&id| id != 0)));
    assert_eq!(Handshake::decode(&handshake.encode()).as_ref(), Ok(&handshake));
    plant(|| handshake.m.len() >= 2 && handshake.ipv6.is_some());
}
