//! What SHA-1 and SHA-256 differ in.

use core::fmt::Debug;

use crate::kernel::{Group, Kernel, VectorsFrom};
use crate::{Block, kernel};

/// SHA-1 or SHA-256; nobody else can be one.
pub trait Algorithm: Rules {}

/// SHA-1, 160 bits.
#[derive(Clone, Copy, Debug)]
pub enum Sha1 {}

/// SHA-256, 256 bits.
#[derive(Clone, Copy, Debug)]
pub enum Sha256 {}

impl Algorithm for Sha1 {}
impl Algorithm for Sha256 {}

/// What outsiders can't name, and so not implement.
pub trait Rules: Copy + Debug + 'static {
    /// The words that go from block to block.
    type Words: Copy + Debug + Send + Sync;
    /// What is left of a message: the words, in big endian.
    type Digest: 'static;
    /// The words before the first block (FIPS 180-4, 5.3).
    const START: Self::Words;
    /// When vectors pay.
    const VECTORS_FROM: VectorsFrom;

    /// Takes the blocks of one message.
    fn compress(words: &mut Self::Words, blocks: &[Block]);

    /// Takes the blocks of as many messages as `kernel` has lanes, all of the same number of blocks.
    fn compress_lanes(kernel: Kernel, words: &mut Group<Self::Words>, blocks: &Group<&[Block]>);

    /// The digest, after the last block.
    fn digest(words: &Self::Words) -> Self::Digest;
}

impl Rules for Sha1 {
    type Words = [u32; 5];
    type Digest = [u8; 20];
    const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    // GB/s with all sixteen lanes and of SHA-NI x4: Zen 4 5.6 and 4.8, an early version on Zen 5 10.3 and 5.8.
    // Granite Rapids 7.4 and 2.3, of SHA-NI x2 2.6, of AVX2 3.8.
    const VECTORS_FROM: VectorsFrom = VectorsFrom { wide: 9, narrow: 13, intel: 6, intel_avx2: 6 };

    fn compress(words: &mut [u32; 5], blocks: &[Block]) {
        sha1::block_api::compress(words, blocks);
    }

    fn compress_lanes(kernel: Kernel, words: &mut Group<[u32; 5]>, blocks: &Group<&[Block]>) {
        kernel::sha1(kernel, words, blocks);
    }

    fn digest(words: &[u32; 5]) -> [u8; 20] {
        let mut digest = [0; 20];
        big_endian(words, &mut digest);
        digest
    }
}

impl Rules for Sha256 {
    type Words = [u32; 8];
    type Digest = [u8; 32];
    const START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    // The same: Zen 4 3.2 and 3.75. Nobody has measured Zen 5 yet: twelve supposes that it doubles the first.
    // Granite Rapids 4.2 and 2.4, of AVX2 1.7.
    const VECTORS_FROM: VectorsFrom =
        VectorsFrom { wide: 12, narrow: usize::MAX, intel: 9, intel_avx2: usize::MAX };

    fn compress(words: &mut [u32; 8], blocks: &[Block]) {
        sha2::block_api::compress256(words, blocks);
    }

    fn compress_lanes(kernel: Kernel, words: &mut Group<[u32; 8]>, blocks: &Group<&[Block]>) {
        kernel::sha256(kernel, words, blocks);
    }

    fn digest(words: &[u32; 8]) -> [u8; 32] {
        let mut digest = [0; 32];
        big_endian(words, &mut digest);
        digest
    }
}

fn big_endian(words: &[u32], digest: &mut [u8]) {
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
}
