//! Every kernel that this CPU has against the crates `sha1` and `sha2`, which share no line with the kernels of more
//! than one lane.

use std::io::Write as _;
use std::sync::LazyLock;

use hash::{Algorithm, Kernel, Lanes, Sha1, Sha256, State};
use proptest::prelude::*;
use sha1::Digest as _;

/// The kernels that this CPU has, one by one, and the choice among them. What is not there is not run, and that is
/// said once, past the capture of the tests' output.
fn all_lanes() -> impl Iterator<Item = (&'static str, Lanes)> {
    static ALL: LazyLock<Vec<(String, Lanes)>> = LazyLock::new(|| {
        let mut all = vec![("best".to_owned(), Lanes::default())];
        for kernel in Kernel::ALL {
            match Lanes::only(kernel) {
                Some(lanes) => all.push((kernel.to_string(), lanes)),
                None => {
                    writeln!(std::io::stderr(), "NOT RUN: {kernel}: this CPU lacks it")
                        .expect("stderr is open");
                }
            }
        }
        all
    });
    ALL.iter().map(|(name, lanes)| (name.as_str(), *lanes))
}

/// Bytes without a pattern, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn sha1_of(message: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(message).into()
}

fn sha256_of(message: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(message).into()
}

fn check(name: &str, lanes: Lanes, messages: &[&[u8]]) {
    let lengths = || messages.iter().map(|message| message.len()).collect::<Vec<_>>();
    let mut digests = vec![[0; 20]; messages.len()];
    lanes.sha1_many(messages.iter().copied().zip(&mut digests));
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(digests[at], sha1_of(message), "SHA-1, {name}, message {at} of lengths {:?}", lengths());
    }
    let mut digests = vec![[0; 32]; messages.len()];
    lanes.sha256_many(messages.iter().copied().zip(&mut digests));
    for (at, message) in messages.iter().enumerate() {
        assert_eq!(
            digests[at],
            sha256_of(message),
            "SHA-256, {name}, message {at} of lengths {:?}",
            lengths()
        );
    }
}

#[test]
fn any_number_of_messages_of_any_short_length() {
    let pool = noise(1024);
    for (name, lanes) in all_lanes() {
        for length in 0..=300 {
            // At odd places, so that few are aligned.
            let messages: Vec<&[u8]> = (0..=33).map(|n| &pool[n * 13..n * 13 + length]).collect();
            for count in 0..=33 {
                check(name, lanes, &messages[..count]);
            }
        }
    }
}

#[test]
fn long_messages() {
    let pool = noise(17 * 4099 + 1024 * 1024);
    for (name, lanes) in all_lanes() {
        for length in [4096, 16_383, 16_384, 16_385, 65_536, 100_001] {
            let messages: Vec<&[u8]> = (0..17).map(|n| &pool[n * 4099..n * 4099 + length]).collect();
            for count in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17] {
                check(name, lanes, &messages[..count]);
            }
        }
        let long: Vec<&[u8]> = (0..17).map(|n| &pool[n * 4099..n * 4099 + 1024 * 1024]).collect();
        check(name, lanes, &long);
    }
}

#[test]
fn one_long_message_among_short_ones() {
    let pool = noise(70_000);
    for (name, lanes) in all_lanes() {
        for at in [0, 7, 20, 39] {
            let messages: Vec<&[u8]> =
                (0..40).map(|n| if n == at { &pool[..] } else { &pool[n..n * 9] }).collect();
            check(name, lanes, &messages);
        }
    }
}

#[test]
fn vectors_of_the_standard() {
    let million = vec![b'a'; 1_000_000];
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let vectors: [(&[u8], &str, &str); 4] = [
        (
            b"",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            two_blocks,
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            &million,
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (message, in_sha1, in_sha256) in vectors {
        assert_eq!(hex(&hash::sha1(message)), in_sha1);
        assert_eq!(hex(&hash::sha256(message)), in_sha256);
        for (name, lanes) in all_lanes() {
            let (mut sha1, mut sha256) = ([[0; 20]; 19], [[0; 32]; 19]);
            lanes.sha1_many(sha1.iter_mut().map(|digest| (message, digest)));
            lanes.sha256_many(sha256.iter_mut().map(|digest| (message, digest)));
            assert!(sha1.iter().all(|digest| hex(digest) == in_sha1), "{name}");
            assert!(sha256.iter().all(|digest| hex(digest) == in_sha256), "{name}");
        }
    }
}

#[test]
fn a_clone_goes_its_own_way() {
    let common = Sha1::new().chain(&[1; 100]);
    let (mut one, mut other) = (common.clone(), common.clone());
    Sha1::update_many([(&mut one, &[2; 50][..]), (&mut other, &[3; 60])]);
    assert_eq!(common.finalize(), sha1_of(&[1; 100]));
    assert_eq!(one.finalize(), sha1_of(&[&[1; 100][..], &[2; 50]].concat()));
    assert_eq!(other.finalize(), sha1_of(&[&[1; 100][..], &[3; 60]].concat()));
}

/// Deals the next parts of all messages out, until none has any left.
fn in_parts<A: Algorithm>(
    start: &State<A>,
    lanes: Lanes,
    messages: &[Vec<u8>],
    parts: &[Vec<usize>],
) -> Vec<A::Digest> {
    let mut states = vec![start.clone(); messages.len()];
    let mut rest: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let turns = parts.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..turns {
        let next: Vec<&[u8]> = rest
            .iter_mut()
            .zip(parts)
            .map(|(rest, parts)| {
                let len = parts.get(turn).map_or(0, |&len| len.min(rest.len()));
                rest.split_off(..len).expect("no longer than the rest")
            })
            .collect();
        lanes.update_many(states.iter_mut().zip(next));
    }
    // What no part was for comes one by one.
    states.iter_mut().zip(rest).for_each(|(state, rest)| state.update(rest));
    states.into_iter().map(State::finalize).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ragged_messages(lengths in prop::collection::vec(prop_oneof![0usize..200, 0usize..3000], 0..40), start in 0usize..64) {
        let pool = noise(3064);
        let messages: Vec<&[u8]> = lengths.iter().map(|length| &pool[start..start + length]).collect();
        for (name, lanes) in all_lanes() {
            check(name, lanes, &messages);
        }
    }

    #[test]
    fn any_parts_at_any_time(
        dealt in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..1500), prop::collection::vec(prop_oneof![0usize..70, 0usize..700], 0..6)),
            0..35,
        ),
    ) {
        let (messages, parts): (Vec<Vec<u8>>, Vec<Vec<usize>>) = dealt.into_iter().unzip();
        let sha1: Vec<_> = messages.iter().map(|message| sha1_of(message)).collect();
        let sha256: Vec<_> = messages.iter().map(|message| sha256_of(message)).collect();
        for (name, lanes) in all_lanes() {
            prop_assert_eq!(&in_parts(&Sha1::new(), lanes, &messages, &parts), &sha1, "{}", name);
            prop_assert_eq!(&in_parts(&Sha256::new(), lanes, &messages, &parts), &sha256, "{}", name);
        }
    }

    #[test]
    fn one_message_in_any_parts(message in prop::collection::vec(any::<u8>(), 0..1000), part in 1usize..200) {
        let (mut sha1, mut sha256) = (Sha1::new(), Sha256::default());
        for part in message.chunks(part) {
            sha1.update(part);
            sha256.update(part);
        }
        prop_assert_eq!(sha1.finalize(), sha1_of(&message));
        prop_assert_eq!(sha256.finalize(), sha256_of(&message));
    }
}
