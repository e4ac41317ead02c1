//! SHA-NI: instructions for four rounds of SHA-1 or two of SHA-256, several messages interleaved, so that one is
//! computed while the others wait for the result before.
#![expect(clippy::needless_range_loop, reason = "one index for several arrays")]

use core::arch::x86_64::*;

use super::vertical::SHA256_K;
use crate::Block;

/// Four words: of a block, or of what goes from block to block.
type Four = __m128i;

/// Takes as many blocks of each message as the shortest has.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn sha1<const N: usize>(words: &mut [[u32; 5]; N], blocks: &[&[Block]; N]) {
    let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    let (mut abcd, mut e) = ([four([0; 4]); N], [four([0; 4]); N]);
    for n in 0..N {
        let [in_a, in_b, in_c, in_d, in_e] = words[n];
        abcd[n] = four([in_d, in_c, in_b, in_a]);
        e[n] = four([0, 0, 0, in_e]);
    }
    for at in 0..count {
        let (abcd_before, e_before) = (abcd, e);
        let mut w = [abcd; 4];
        // What was in `abcd` four rounds ago: `a` then is what `e` now comes from.
        let mut older = abcd;

        // Four rounds: `$g` of 20, of which five each have the function and the constant `$f`.
        macro_rules! rounds {
            ($g:literal, $f:literal) => {
                for n in 0..N {
                    if $g < 4 {
                        w[$g % 4][n] = reversed(load(&blocks[n][at], $g));
                    } else {
                        let sum = _mm_xor_si128(
                            _mm_sha1msg1_epu32(w[$g % 4][n], w[($g + 1) % 4][n]),
                            w[($g + 2) % 4][n],
                        );
                        w[$g % 4][n] = _mm_sha1msg2_epu32(sum, w[($g + 3) % 4][n]);
                    }
                    let input = if $g == 0 {
                        _mm_add_epi32(e[n], w[0][n])
                    } else {
                        _mm_sha1nexte_epu32(older[n], w[$g % 4][n])
                    };
                    older[n] = abcd[n];
                    abcd[n] = _mm_sha1rnds4_epu32::<$f>(abcd[n], input);
                }
            };
        }
        rounds!(0, 0);
        rounds!(1, 0);
        rounds!(2, 0);
        rounds!(3, 0);
        rounds!(4, 0);
        rounds!(5, 1);
        rounds!(6, 1);
        rounds!(7, 1);
        rounds!(8, 1);
        rounds!(9, 1);
        rounds!(10, 2);
        rounds!(11, 2);
        rounds!(12, 2);
        rounds!(13, 2);
        rounds!(14, 2);
        rounds!(15, 3);
        rounds!(16, 3);
        rounds!(17, 3);
        rounds!(18, 3);
        rounds!(19, 3);

        for n in 0..N {
            e[n] = _mm_sha1nexte_epu32(older[n], e_before[n]);
            abcd[n] = _mm_add_epi32(abcd[n], abcd_before[n]);
        }
    }
    for n in 0..N {
        let [d, c, b, a] = unpack(abcd[n]);
        words[n] = [a, b, c, d, unpack(e[n])[3]];
    }
}

/// Takes as many blocks of each message as the shortest has.
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn sha256<const N: usize>(words: &mut [[u32; 8]; N], blocks: &[&[Block]; N]) {
    let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    let (mut abef, mut cdgh) = ([four([0; 4]); N], [four([0; 4]); N]);
    for n in 0..N {
        let [a, b, c, d, e, f, g, h] = words[n];
        abef[n] = four([f, e, b, a]);
        cdgh[n] = four([h, g, d, c]);
    }
    for at in 0..count {
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut w = [abef; 4];

        // Four rounds: `$g` of 16.
        macro_rules! rounds {
            ($g:literal) => {
                let k = four([
                    SHA256_K[4 * $g],
                    SHA256_K[4 * $g + 1],
                    SHA256_K[4 * $g + 2],
                    SHA256_K[4 * $g + 3],
                ]);
                for n in 0..N {
                    if $g < 4 {
                        w[$g % 4][n] = swapped(load(&blocks[n][at], $g));
                    } else {
                        let seven_before = _mm_alignr_epi8::<4>(w[($g + 3) % 4][n], w[($g + 2) % 4][n]);
                        let sum = _mm_add_epi32(
                            _mm_sha256msg1_epu32(w[$g % 4][n], w[($g + 1) % 4][n]),
                            seven_before,
                        );
                        w[$g % 4][n] = _mm_sha256msg2_epu32(sum, w[($g + 3) % 4][n]);
                    }
                    let low = _mm_add_epi32(w[$g % 4][n], k);
                    let high = _mm_shuffle_epi32::<0b_11_10_11_10>(low);
                    // Two rounds swap the halves' roles, two more swap them back.
                    cdgh[n] = _mm_sha256rnds2_epu32(cdgh[n], abef[n], low);
                    abef[n] = _mm_sha256rnds2_epu32(abef[n], cdgh[n], high);
                }
            };
        }
        rounds!(0);
        rounds!(1);
        rounds!(2);
        rounds!(3);
        rounds!(4);
        rounds!(5);
        rounds!(6);
        rounds!(7);
        rounds!(8);
        rounds!(9);
        rounds!(10);
        rounds!(11);
        rounds!(12);
        rounds!(13);
        rounds!(14);
        rounds!(15);

        for n in 0..N {
            abef[n] = _mm_add_epi32(abef[n], abef_before[n]);
            cdgh[n] = _mm_add_epi32(cdgh[n], cdgh_before[n]);
        }
    }
    for n in 0..N {
        let ([f, e, b, a], [h, g, d, c]) = (unpack(abef[n]), unpack(cdgh[n]));
        words[n] = [a, b, c, d, e, f, g, h];
    }
}

/// The lowest first.
#[inline]
#[target_feature(enable = "sse2")]
fn four(words: [u32; 4]) -> Four {
    let [a, b, c, d] = words.map(u32::cast_signed);
    _mm_set_epi32(d, c, b, a)
}

/// The lowest first.
#[inline]
#[target_feature(enable = "sse2,sse4.1")]
fn unpack(four: Four) -> [u32; 4] {
    let words = [
        _mm_extract_epi32::<0>(four),
        _mm_extract_epi32::<1>(four),
        _mm_extract_epi32::<2>(four),
        _mm_extract_epi32::<3>(four),
    ];
    words.map(i32::cast_unsigned)
}

/// Bytes `16 * quarter..` of a block.
#[inline]
#[target_feature(enable = "sse2")]
#[expect(unsafe_code, reason = "vectors are loaded through pointers")]
fn load(block: &Block, quarter: usize) -> Four {
    let bytes: &[u8; 16] = &block.as_chunks().0[quarter];
    // SAFETY: these are sixteen bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Words from big endian, the first one lowest.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn swapped(four: Four) -> Four {
    _mm_shuffle_epi8(four, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3))
}

/// Words from big endian, the first one highest.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn reversed(four: Four) -> Four {
    _mm_shuffle_epi8(four, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
}
