//! The pieces that a peer may have while it is choked (BEP 6).

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use hash::Sha1;
use types::{InfoHashV1, PieceIndex};

/// Hashes that a set is looked for in. So many give all of ten pieces but for one torrent in 10^13.
const MAX_HASHES: usize = 64;

/// The canonical set of `k` pieces (or of all, if there are fewer) for the peers of one /24 network: whoever computes
/// it gets the same.
pub(crate) fn allowed_fast(ip: Ipv4Addr, info_hash: &InfoHashV1, pieces: u32, k: usize) -> Vec<PieceIndex> {
    let [a, b, c, _] = ip.octets();
    let k = k.min(usize::try_from(pieces).unwrap_or(usize::MAX));
    let mut set = Vec::with_capacity(k);
    let mut hash = Sha1::new().chain(&[a, b, c, 0]).chain(&info_hash.0).finalize();
    for _ in 0..MAX_HASHES {
        for word in hash.as_chunks::<4>().0 {
            let piece = PieceIndex::new(u32::from_be_bytes(*word) % pieces.max(1));
            if set.len() < k && !set.contains(&piece) {
                set.push(piece);
            }
        }
        if set.len() >= k {
            break;
        }
        hash = Sha1::digest(&hash);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_set_is_looked_for_in_so_many_hashes() {
        let ask = |k| allowed_fast([80, 1, 2, 3].into(), &InfoHashV1([7; 20]), u32::MAX, k).len();
        // Each hash names five pieces.
        assert_eq!(ask(5 * MAX_HASHES), 5 * MAX_HASHES);
        assert_eq!(ask(5 * MAX_HASHES + 1), 5 * MAX_HASHES);
    }

    proptest! {
        #[test]
        fn is_a_set_of_that_torrent_that_grows_with_k(ip: u32, last: u8, hash: [u8; 20], pieces in 1u32..3000, k in 0usize..12) {
            let info_hash = InfoHashV1(hash);
            let set = allowed_fast(ip.into(), &info_hash, pieces, k);
            prop_assert_eq!(set.len(), k.min(pieces as usize));
            prop_assert!(set.iter().all(|piece| piece.get() < pieces));
            let neighbour = (ip & 0xffff_ff00 | u32::from(last)).into();
            let more = allowed_fast(neighbour, &info_hash, pieces, k + 1);
            prop_assert_eq!(&more[..set.len()], &set[..]);
            prop_assert!((1..more.len()).all(|n| !more[..n].contains(&more[n])));
        }
    }
}
