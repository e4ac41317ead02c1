//! Names for blocks, so that the good version of a block can be told from a bad one.

use hash::Sha1;
use std::hash::{BuildHasher, RandomState};
use types::BlockDigest;

/// What digests are made with besides the bytes; see [`BlockDigest`] for why it is secret.
pub(crate) struct DigestKey([u8; 16]);

impl DigestKey {
    /// One that nobody can guess: the standard library keys its hash maps with random bytes of the system's, and what
    /// its hasher makes of nothing depends on them alone.
    pub(crate) fn random() -> DigestKey {
        let half = || u128::from(RandomState::new().hash_one(()));
        DigestKey((half() << 64 | half()).to_be_bytes())
    }

    /// SHA-1 of key and bytes, cut to 128 bits.
    pub(crate) fn digest(&self, block: &[u8]) -> BlockDigest {
        let sha1 = Sha1::new().chain(&self.0).chain(block).finalize();
        let mut digest = [0; 16];
        digest.copy_from_slice(&sha1[..16]);
        BlockDigest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_blocks_apart_and_is_of_no_use_elsewhere() {
        let (key, other) = (DigestKey::random(), DigestKey::random());
        assert_eq!(key.digest(b"block"), key.digest(b"block"));
        assert_ne!(key.digest(b"block"), key.digest(b"blocK"));
        assert_ne!(key.digest(b"block"), other.digest(b"block"));
    }
}
