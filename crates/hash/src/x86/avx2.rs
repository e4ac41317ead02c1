//! AVX2, eight lanes: for CPUs without SHA instructions, which have AVX2 since 2013.

use core::arch::x86_64::*;

use crate::Block;

const LANES: usize = 8;

type V = __m256i;

vertical_sha1!("avx2");
vertical_sha256!("avx2");

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> V {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: V, b: V) -> V {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: V, b: V) -> V {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor3(a: V, b: V, c: V) -> V {
    xor(xor(a, b), c)
}

/// `b` where `a` has ones, `c` elsewhere.
#[inline]
#[target_feature(enable = "avx2")]
fn choose(a: V, b: V, c: V) -> V {
    xor(c, _mm256_and_si256(a, xor(b, c)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(a: V, b: V, c: V) -> V {
    _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const L: i32, const R: i32>(a: V) -> V {
    _mm256_or_si256(_mm256_slli_epi32::<L>(a), _mm256_srli_epi32::<R>(a))
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift<const R: i32>(a: V) -> V {
    _mm256_srli_epi32::<R>(a)
}

#[inline]
#[target_feature(enable = "avx2")]
fn pack(words: [u32; LANES]) -> V {
    let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vectors are stored through pointers")]
fn unpack(vector: V) -> [u32; LANES] {
    let mut words = [0; LANES];
    // SAFETY: these are 32 bytes, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

/// The words of block `at` of each message: from a row a message to a row a word.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(blocks: &[&[Block]; LANES], at: usize) -> [V; 16] {
    let mut words = [splat(0); 16];
    for half in 0..2 {
        let mut rows = [splat(0); 8];
        for lane in 0..LANES {
            rows[lane] = load(&blocks[lane][at], half);
        }
        // Within each half of four rows: two by two, then four by four. Then row `4 * i + j`, half `h`, has word
        // `4 * h + j` of the messages `4 * i..`.
        let mut fours = rows;
        for i in [0, 4] {
            let (a, b) =
                (_mm256_unpacklo_epi32(rows[i], rows[i + 1]), _mm256_unpackhi_epi32(rows[i], rows[i + 1]));
            let (c, d) = (
                _mm256_unpacklo_epi32(rows[i + 2], rows[i + 3]),
                _mm256_unpackhi_epi32(rows[i + 2], rows[i + 3]),
            );
            fours[i] = _mm256_unpacklo_epi64(a, c);
            fours[i + 1] = _mm256_unpackhi_epi64(a, c);
            fours[i + 2] = _mm256_unpacklo_epi64(b, d);
            fours[i + 3] = _mm256_unpackhi_epi64(b, d);
        }
        for j in 0..4 {
            words[8 * half + j] = _mm256_permute2x128_si256::<0x20>(fours[j], fours[j + 4]);
            words[8 * half + j + 4] = _mm256_permute2x128_si256::<0x31>(fours[j], fours[j + 4]);
        }
    }
    words
}

/// Half of a block's words, from big endian.
#[inline]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vectors are loaded through pointers")]
fn load(block: &Block, half: usize) -> V {
    let bytes: &[u8; 32] = &block.as_chunks().0[half];
    // SAFETY: these are 32 bytes, and the load asks for no alignment.
    let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order))
}
