//! What each kernel does, in GB/s of one core: `cargo run --release -p rawtorrent-hash --example speed`.
//!
//! Each figure is the median of many runs over messages that lie one after the other, as read from a disk. `best` is
//! what programs get; the kernel that it takes is beside it. `update` is `best` too, in blocks of 16 KiB of each message
//! in turn, as they come in when so many pieces are downloaded at once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hash::{Kernel, Lanes, Sha1, Sha256};

const KIB: usize = 1024;
const LENGTHS: [usize; 4] = [64, 16 * KIB, 256 * KIB, KIB * KIB];
const COUNTS: [usize; 12] = [1, 2, 3, 4, 6, 8, 9, 10, 12, 16, 32, 64];
/// Longest time for one figure.
const TIME: Duration = Duration::from_millis(250);

fn main() {
    let wanted: Vec<usize> = std::env::args().skip(1).filter_map(|length| length.parse().ok()).collect();
    let lengths = if wanted.is_empty() { LENGTHS.to_vec() } else { wanted };
    let longest = lengths.iter().max().expect("there is one");
    let bytes: Vec<u8> = (0..longest * 64).map(|at| (at * 31).to_le_bytes()[1]).collect();
    for length in lengths {
        let messages: Vec<&[u8]> = bytes.chunks(length).take(64).collect();
        table::<20>(
            "SHA-1",
            &messages,
            Lanes::sha1_kernel,
            |lanes, messages, digests| {
                lanes.sha1_many(messages.iter().copied().zip(digests));
            },
            update_sha1,
        );
        table::<32>(
            "SHA-256",
            &messages,
            Lanes::sha256_kernel,
            |lanes, messages, digests| {
                lanes.sha256_many(messages.iter().copied().zip(digests));
            },
            update_sha256,
        );
    }
}

type Many<const N: usize> = fn(Lanes, &[&[u8]], &mut [[u8; N]]);

fn table<const N: usize>(
    name: &str,
    messages: &[&[u8]],
    best: fn(Lanes, usize) -> Kernel,
    hash: Many<N>,
    update: fn(&[&[u8]]),
) {
    println!("\n{name}, messages of {} bytes, GB/s", messages[0].len());
    println!("{:<12}{}", "messages", COUNTS.map(|count| format!("{count:>12}")).concat());
    let row = |lanes: Lanes| {
        COUNTS.map(|count| {
            let mut digests = vec![[0; N]; count];
            let speed = measure(&messages[..count], |messages| hash(lanes, messages, &mut digests));
            format!("{speed:>12.2}")
        })
    };
    for kernel in Kernel::ALL {
        match Lanes::only(kernel) {
            Some(lanes) => println!("{kernel:<12}{}", row(lanes).concat()),
            None => println!("{kernel:<12}   this CPU lacks it"),
        }
    }
    println!("{:<12}{}", "best", row(Lanes::default()).concat());
    println!(
        "{:<12}{}",
        "update",
        COUNTS.map(|count| format!("{:>12.2}", measure(&messages[..count], update))).concat()
    );
    println!("{:<12}{}", "", COUNTS.map(|count| format!("{:>12}", best(Lanes::default(), count))).concat());
}

fn update_sha1(messages: &[&[u8]]) {
    let mut states = vec![Sha1::new(); messages.len()];
    for at in (0..messages[0].len()).step_by(16 * KIB) {
        let blocks = messages.iter().map(|message| &message[at..message.len().min(at + 16 * KIB)]);
        Sha1::update_many(states.iter_mut().zip(blocks));
    }
    states.into_iter().for_each(|state| _ = black_box(state.finalize()));
}

fn update_sha256(messages: &[&[u8]]) {
    let mut states = vec![Sha256::new(); messages.len()];
    for at in (0..messages[0].len()).step_by(16 * KIB) {
        let blocks = messages.iter().map(|message| &message[at..message.len().min(at + 16 * KIB)]);
        Sha256::update_many(states.iter_mut().zip(blocks));
    }
    states.into_iter().for_each(|state| _ = black_box(state.finalize()));
}

/// The median of what many runs did, in GB/s.
fn measure(messages: &[&[u8]], mut hash: impl FnMut(&[&[u8]])) -> f64 {
    let bytes: usize = messages.iter().map(|message| message.len()).sum();
    // A run is long enough for the clock.
    let repeat = (256 * KIB / bytes).max(1);
    let start = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < 5 || start.elapsed() < TIME && runs.len() < 1000 {
        let begin = Instant::now();
        for _ in 0..repeat {
            hash(black_box(messages));
        }
        runs.push((bytes * repeat) as f64 / begin.elapsed().as_nanos() as f64);
    }
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
