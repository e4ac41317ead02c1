//! AVX-512, sixteen lanes: rotations and any function of three bits are one instruction each.

use core::arch::x86_64::*;

use crate::Block;

const LANES: usize = 16;

type V = __m512i;

vertical_sha1!("avx512f,avx512bw");
vertical_sha256!("avx512f,avx512bw");

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> V {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: V, b: V) -> V {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: V, b: V) -> V {
    _mm512_xor_si512(a, b)
}

// The eight bits of a function are its values for (0, 0, 0) to (1, 1, 1), the lowest first.

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0b1001_0110>(a, b, c)
}

/// `b` where `a` has ones, `c` elsewhere.
#[inline]
#[target_feature(enable = "avx512f")]
fn choose(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0b1100_1010>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn majority(a: V, b: V, c: V) -> V {
    _mm512_ternarylogic_epi32::<0b1110_1000>(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate<const L: i32, const R: i32>(a: V) -> V {
    _mm512_rol_epi32::<L>(a)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn shift<const R: u32>(a: V) -> V {
    _mm512_srli_epi32::<R>(a)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pack(words: [u32; LANES]) -> V {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = words.map(u32::cast_signed);
    _mm512_setr_epi32(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "vectors are stored through pointers")]
fn unpack(vector: V) -> [u32; LANES] {
    let mut words = [0; LANES];
    // SAFETY: these are 64 bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}

/// The words of block `at` of each message: from a row a message to a row a word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed(blocks: &[&[Block]; LANES], at: usize) -> [V; 16] {
    let mut rows = [splat(0); 16];
    for lane in 0..LANES {
        rows[lane] = load(&blocks[lane][at]);
    }
    // Within each quarter of four rows: two by two, then four by four. Then row `4 * i + j`, quarter `q`, has word
    // `4 * q + j` of the messages `4 * i..`.
    let mut fours = rows;
    for i in [0, 4, 8, 12] {
        let (a, b) =
            (_mm512_unpacklo_epi32(rows[i], rows[i + 1]), _mm512_unpackhi_epi32(rows[i], rows[i + 1]));
        let (c, d) = (
            _mm512_unpacklo_epi32(rows[i + 2], rows[i + 3]),
            _mm512_unpackhi_epi32(rows[i + 2], rows[i + 3]),
        );
        fours[i] = _mm512_unpacklo_epi64(a, c);
        fours[i + 1] = _mm512_unpackhi_epi64(a, c);
        fours[i + 2] = _mm512_unpacklo_epi64(b, d);
        fours[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // Whole quarters change places: of two rows the even ones come together, and the odd ones; and once more.
    let mut words = rows;
    for j in 0..4 {
        let (a, b) = (even(fours[j], fours[j + 4]), even(fours[j + 8], fours[j + 12]));
        let (c, d) = (odd(fours[j], fours[j + 4]), odd(fours[j + 8], fours[j + 12]));
        words[j] = even(a, b);
        words[j + 4] = even(c, d);
        words[j + 8] = odd(a, b);
        words[j + 12] = odd(c, d);
    }
    words
}

/// Quarters 0 and 2 of `a`, then those of `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn even(a: V, b: V) -> V {
    _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b)
}

/// Quarters 1 and 3 of `a`, then those of `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd(a: V, b: V) -> V {
    _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)
}

/// A block's words from big endian.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[expect(unsafe_code, reason = "vectors are loaded through pointers")]
fn load(block: &Block) -> V {
    // SAFETY: a block has 64 bytes, and the load asks for no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order))
}
