//! SHA-1 and SHA-256 (FIPS 180-4) of one message, or of many at once.
//!
//! One SHA-1 can't be made faster than its chain of 80 dependent rounds a block. Many can: while one message waits
//! for its next round, others take theirs. A torrent is thousands of pieces, and a download assembles several at a
//! time, so this crate hashes in *lanes*: one message each, all lanes one block of 64 bytes further at a time.
//!
//! | for | one message | many messages |
//! |---|---|---|
//! | whole messages | [`sha1()`], [`sha256()`] | [`sha1_many`], [`sha256_many`] |
//! | as the bytes come in | [`Sha1`], [`Sha256`] | [`State::update_many`] |
//!
//! ```
//! let pieces = [&b"one piece"[..], b"another", b""];
//! let mut digests = [[0; 20]; 3];
//! hash::sha1_many(pieces.into_iter().zip(&mut digests));
//! assert_eq!(digests[1], hash::sha1(b"another"));
//!
//! let (mut a, mut b) = (hash::Sha1::new(), hash::Sha1::new());
//! hash::Sha1::update_many([(&mut a, &b"one "[..]), (&mut b, b"anot")]);
//! hash::Sha1::update_many([(&mut a, &b"piece"[..]), (&mut b, b"her")]);
//! assert_eq!([a.finalize(), b.finalize()], digests[..2]);
//! ```
//!
//! How many messages are under way decides which [`Kernel`] takes their next blocks, and what the CPU has, which is
//! asked once, at run time. [`Lanes`] has the rule. Digests never depend on it.
#![no_std]

mod algorithm;
mod kernel;
mod lanes;
mod state;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use algorithm::Algorithm;
pub use kernel::Kernel;
pub use lanes::Lanes;
pub use state::State;

/// A SHA-1 under way: 20 bytes of digest, as BEP 3 has for pieces and info dictionaries.
pub type Sha1 = State<algorithm::Sha1>;

/// A SHA-256 under way: 32 bytes of digest, as BEP 52 has for blocks, hash trees and info dictionaries.
pub type Sha256 = State<algorithm::Sha256>;

/// The SHA-1 of one message.
pub fn sha1(message: &[u8]) -> [u8; 20] {
    Sha1::digest(message)
}

/// The SHA-256 of one message.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message)
}

/// Writes the SHA-1 of each message to the place beside it. Lengths may differ; it is fastest if they don't, and
/// sixteen messages or more. Messages that lie a multiple of 4 KiB apart compete for the same lines of the cache, which
/// costs sixteen lanes a tenth. Allocates nothing.
pub fn sha1_many<'a>(messages: impl IntoIterator<Item = (&'a [u8], &'a mut [u8; 20])>) {
    Lanes::default().sha1_many(messages);
}

/// Writes the SHA-256 of each message to the place beside it; see [`sha1_many`].
pub fn sha256_many<'a>(messages: impl IntoIterator<Item = (&'a [u8], &'a mut [u8; 32])>) {
    Lanes::default().sha256_many(messages);
}

/// What both algorithms consume at a time.
const BLOCK_LEN: usize = 64;

type Block = [u8; BLOCK_LEN];
