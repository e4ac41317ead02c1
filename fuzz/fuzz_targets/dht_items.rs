//! Any value, salt and version as items (BEP 44): signed if they keep to the limits and only then, true as they were signed,
//! and false when anything of them is changed.
#![no_main]

use common::{Parts, plant};
use dht::limits::{ITEM, MAX_ITEM_LEN, MAX_SALT_LEN};
use dht::{ImmutableItem, MutableItem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let (seed, salt) = ([parts.byte() % 4; 32], parts.bytes().to_vec());
    let seq = parts.u64().cast_signed() >> (parts.byte() % 64);
    let (change, at, wrap) = (parts.byte(), usize::from(parts.u16()), parts.bit());
    let value = if wrap { bencode::encode_list(|list| list.bytes(parts.0)) } else { parts.0.to_vec() };

    let document = bencode::decode_with(&value, ITEM);
    let is_value = value.len() <= MAX_ITEM_LEN && document.is_ok_and(|value| value.irregularity().is_none());
    match ImmutableItem::new(value.clone()) {
        Ok(item) => {
            assert!(is_value);
            assert_eq!(item.target().0, hash::sha1(&value));
        }
        Err(error) => assert!(!is_value && !error.to_string().contains(char::is_control)),
    }
    let signed = MutableItem::sign(&seed, &salt, seq, value);
    assert_eq!(signed.is_ok(), is_value && salt.len() <= MAX_SALT_LEN && seq >= 0);
    let Ok(mut item) = signed else { return };
    assert_eq!(item.verify(), Ok(()));
    assert_eq!(item.target().0, hash::sha1(&[&item.key[..], &salt].concat()));
    assert_eq!(item.key, dht::public_key(&seed));

    let bit = 1 << (change >> 5);
    match change % 5 {
        0 => item.signature[at % 64] ^= bit,
        1 => item.key[at % 32] ^= bit,
        2 => item.seq ^= 1 << (at % 63),
        3 if !item.salt.is_empty() => item.salt[at % salt.len()] ^= bit,
        3 => item.salt.push(bit),
        _ => {
            let len = item.value.len();
            item.value[at % len] ^= bit;
        }
    }
    assert!(item.verify().is_err(), "changed in {}", change % 5);
    plant(|| change % 5 == 3 && salt.len() >= 2 && seq > 9);
});
