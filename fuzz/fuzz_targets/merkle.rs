//! The hash tree of any leaves: the same from the bottom as from the top, and whether it is built in pieces or whole.
#![no_main]

use common::{Parts, plant, tree};
use libfuzzer_sys::fuzz_target;
use metainfo::merkle::{self, NO_BLOCK};

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let piece_length = 16_384 << (parts.byte() % 5);
    let mut leaves = parts.list(200, |parts| [parts.byte(); 32]);
    leaves.truncate(64);
    let count = leaves.len() as u64;
    let height = merkle::height(count);
    assert!(1 << height >= count && (height == 0 || 1 << (height - 1) < count));
    let whole = merkle::root(leaves.iter().copied(), height, NO_BLOCK);
    assert_eq!(whole, tree(&leaves, 1 << height, NO_BLOCK));

    let piece_height = merkle::piece_height(piece_length);
    if height >= piece_height {
        let pieces = leaves.chunks(1 << piece_height);
        let layer = pieces.map(|blocks| merkle::root(blocks.iter().copied(), piece_height, NO_BLOCK));
        let padding = merkle::padding(piece_height);
        assert_eq!(merkle::root(layer, height - piece_height, padding), whole);
        plant(|| piece_height == 3 && leaves.len() % 8 == 5);
    }
});
