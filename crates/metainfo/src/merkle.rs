//! The hash trees of v2 torrents (BEP 52): SHA-256 over blocks of 16 KiB, two by two up to a root per file.

use alloc::vec::Vec;
use types::BLOCK_LEN;

/// A node of a tree: the SHA-256 of a block or of two nodes.
pub type Hash = [u8; 32];

/// The hash of a leaf where the file has no block.
pub const NO_BLOCK: Hash = [0; 32];

/// The root of the tree of `height` levels above `nodes`, where `pad` stands for each node that is not there.
///
/// `nodes` beyond 2^`height` would be left out; [`height`] says how high the tree has to be.
pub fn root(nodes: impl IntoIterator<Item = Hash>, height: u32, pad: Hash) -> Hash {
    let mut level: Vec<Hash> = nodes.into_iter().collect();
    let mut pad = pad;
    for _ in 0..height {
        let parents = level.len().div_ceil(2);
        for at in 0..parents {
            level[at] = parent(&level[2 * at], level.get(2 * at + 1).unwrap_or(&pad));
        }
        level.truncate(parents);
        pad = parent(&pad, &pad);
    }
    level.first().copied().unwrap_or(pad)
}

/// How many levels a tree has above `nodes` nodes.
pub fn height(nodes: u64) -> u32 {
    u64::BITS - nodes.saturating_sub(1).leading_zeros()
}

/// How many levels a piece has above its blocks; `piece_length` is a power of two of at least 16 KiB.
pub fn piece_height(piece_length: u32) -> u32 {
    height(u64::from(piece_length / BLOCK_LEN))
}

/// The root of a tree of `height` levels without a single block: it pads a file's layer of pieces.
pub fn padding(height: u32) -> Hash {
    root([], height, NO_BLOCK)
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    hash::sha256([*left, *right].as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn height_is_that_of_the_next_power_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 5, 8, 9].map(height), [0, 0, 1, 2, 2, 3, 3, 4]);
        assert_eq!([16_384, 32_768, 1 << 20].map(piece_height), [0, 1, 6]);
    }

    proptest! {
        #[test]
        fn missing_nodes_are_padding(count in 1usize..40) {
            let nodes: Vec<Hash> = (1..=40).map(|n| [n; 32]).take(count).collect();
            let height = height(count as u64);
            let mut padded = nodes.clone();
            padded.resize(1 << height, NO_BLOCK);
            prop_assert_eq!(root(nodes, height, NO_BLOCK), root(padded, height, [9; 32]));
        }
    }

    #[test]
    fn no_nodes_are_all_padding() {
        assert_eq!(padding(0), NO_BLOCK);
        assert_eq!(padding(2), root(vec![NO_BLOCK; 4], 2, [1; 32]));
    }
}
