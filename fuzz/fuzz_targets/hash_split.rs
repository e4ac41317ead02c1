//! Messages of any lengths, hashed alone, in parts, and many at a time: one digest each, whatever the way.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    // Long ones are made of short ones.
    let messages = parts.list(9, |parts| {
        let times = usize::from(parts.byte() % 4) + 1;
        parts.bytes().repeat(times)
    });
    let one: Vec<[u8; 20]> = messages.iter().map(|message| hash::sha1(message)).collect();
    let two: Vec<[u8; 32]> = messages.iter().map(|message| hash::sha256(message)).collect();
    let (mut one_many, mut two_many) = (vec![[0; 20]; messages.len()], vec![[0; 32]; messages.len()]);
    hash::sha1_many(messages.iter().map(|m| &m[..]).zip(&mut one_many));
    hash::sha256_many(messages.iter().map(|m| &m[..]).zip(&mut two_many));
    assert_eq!((&one, &two), (&one_many, &two_many));

    let mut states: Vec<hash::Sha1> = messages.iter().map(|_| hash::Sha1::new()).collect();
    let mut other: Vec<hash::Sha256> = messages.iter().map(|_| hash::Sha256::new()).collect();
    let mut left: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
    let mut rounds = 0;
    while left.iter().any(|rest| !rest.is_empty()) {
        rounds += 1;
        let cut = usize::from(parts.byte()) + 1;
        let now: Vec<&[u8]> = left
            .iter_mut()
            .map(|rest| {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                *rest = later;
                now
            })
            .collect();
        hash::Sha1::update_many(states.iter_mut().zip(now.iter().copied()));
        other.iter_mut().zip(&now).for_each(|(state, bytes)| state.update(bytes));
    }
    assert!(states.into_iter().map(hash::Sha1::finalize).eq(one));
    assert!(other.into_iter().map(hash::Sha256::finalize).eq(two));
    plant(|| rounds >= 5 && messages.iter().filter(|message| message.is_empty()).count() == 2);
});
