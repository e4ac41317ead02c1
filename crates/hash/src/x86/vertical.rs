//! Vertical hashing: a vector has one word of each of so many messages, and all of them take the same round at the
//! same time. That is plain arithmetic, so that the vectors' width is all that kernels of this kind differ in: each
//! module brings its vectors and what can be done with them, and these macros make its kernels of that.
//!
//! A module has a vector `V` of `LANES` words; `splat`, `add`, `xor`, `xor3`, `choose`, `majority`; `rotate::<L, R>`, to
//! the left by `L`, which is to the right by `R = 32 - L`; `shift::<R>`, to the right; `pack` and `unpack` for the words
//! of the lanes; and `transposed`, the sixteen words of a block of each message.

/// FIPS 180-4, 4.2.1: one for twenty rounds each.
pub(super) const SHA1_K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// FIPS 180-4, 4.2.2.
pub(super) const SHA256_K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// The body once for each number, which is a constant there: registers have no index.
macro_rules! unroll {
    ($t:ident in [$($number:literal)*] $body:block) => {
        $({
            const $t: usize = $number;
            $body
        })*
    };
}

/// What both algorithms do around their rounds: those change the state `s` of `n` words by the block `w`.
macro_rules! each_block {
    ($n:literal, $words:ident, $blocks:ident, $w:ident, $s:ident, $rounds:block) => {
        let count = $blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
        let mut state = [splat(0); $n];
        for word in 0..$n {
            state[word] = pack($words.map(|words| words[word]));
        }
        for at in 0..count {
            let mut $w = transposed($blocks, at);
            let mut $s = state;
            $rounds
            for word in 0..$n {
                state[word] = add(state[word], $s[word]);
            }
        }
        for (word, vector) in state.into_iter().enumerate() {
            for (words, value) in $words.iter_mut().zip(unpack(vector)) {
                words[word] = value;
            }
        }
    };
}

macro_rules! vertical_sha1 {
    ($features:tt) => {
        /// Takes as many blocks of each message as the shortest has.
        #[target_feature(enable = $features)]
        pub(super) fn sha1(words: &mut [[u32; 5]; LANES], blocks: &[&[Block]; LANES]) {
            // Not to be known: what is constant the compiler adds last, and so makes the chain of rounds longer.
            let k = core::hint::black_box(&super::vertical::SHA1_K);

            each_block!(5, words, blocks, w, s, {
                unroll!(T in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19] {
                    s = sha1_round(s, choose(s[1], s[2], s[3]), splat(k[0]), sha1_word(&mut w, T));
                });
                unroll!(T in [20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39] {
                    s = sha1_round(s, xor3(s[1], s[2], s[3]), splat(k[1]), sha1_word(&mut w, T));
                });
                unroll!(T in [40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59] {
                    s = sha1_round(s, majority(s[1], s[2], s[3]), splat(k[2]), sha1_word(&mut w, T));
                });
                unroll!(T in [60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79] {
                    s = sha1_round(s, xor3(s[1], s[2], s[3]), splat(k[3]), sha1_word(&mut w, T));
                });
            });
        }

        /// FIPS 180-4, 6.1.2, step 3. The sums are in this order because only the last one waits for the round before.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha1_round([a, b, c, d, e]: [V; 5], f: V, k: V, w: V) -> [V; 5] {
            [add(add(add(e, add(k, w)), f), rotate::<5, 27>(a)), a, rotate::<30, 2>(b), c, d]
        }

        /// FIPS 180-4, 6.1.2, step 1, in place of the word of sixteen rounds ago.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha1_word(w: &mut [V; 16], t: usize) -> V {
            if t >= 16 {
                let sum = xor(xor3(w[(t - 3) % 16], w[(t - 8) % 16], w[(t - 14) % 16]), w[t % 16]);
                w[t % 16] = rotate::<1, 31>(sum);
            }
            w[t % 16]
        }
    };
}

macro_rules! vertical_sha256 {
    ($features:tt) => {
        /// Takes as many blocks of each message as the shortest has.
        #[target_feature(enable = $features)]
        pub(super) fn sha256(words: &mut [[u32; 8]; LANES], blocks: &[&[Block]; LANES]) {
            // Not to be known: see above.
            let k = core::hint::black_box(&super::vertical::SHA256_K);

            each_block!(8, words, blocks, w, s, {
                unroll!(T in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    s = sha256_round(s, add(splat(k[T]), w[T]));
                });
                for k in &k.as_chunks::<16>().0[1..] {
                    unroll!(T in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                        s = sha256_round(s, add(splat(k[T]), sha256_word(&mut w, T)));
                    });
                }
            });
        }

        /// FIPS 180-4, 6.2.2, step 3; `kw` is the sum of constant and word.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha256_round([a, b, c, d, e, f, g, h]: [V; 8], kw: V) -> [V; 8] {
            let sigma_e = xor3(rotate::<26, 6>(e), rotate::<21, 11>(e), rotate::<7, 25>(e));
            let sigma_a = xor3(rotate::<30, 2>(a), rotate::<19, 13>(a), rotate::<10, 22>(a));
            let t1 = add(add(add(h, kw), choose(e, f, g)), sigma_e);
            [add(t1, add(sigma_a, majority(a, b, c))), a, b, c, add(d, t1), e, f, g]
        }

        /// FIPS 180-4, 6.2.2, step 1, in place of the word of sixteen rounds ago.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha256_word(w: &mut [V; 16], t: usize) -> V {
            let (two, fifteen) = (w[(t + 14) % 16], w[(t + 1) % 16]);
            let sigma_two = xor3(rotate::<15, 17>(two), rotate::<13, 19>(two), shift::<10>(two));
            let sigma_fifteen = xor3(rotate::<25, 7>(fifteen), rotate::<14, 18>(fifteen), shift::<3>(fifteen));
            w[t % 16] = add(add(w[t % 16], w[(t + 9) % 16]), add(sigma_two, sigma_fifteen));
            w[t % 16]
        }
    };
}
