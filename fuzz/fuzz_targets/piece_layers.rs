//! A v2 torrent with any files and layers: it is read if each layer adds up to its file's root, and only then.
#![no_main]

use common::{Parts, plant, tree};
use libfuzzer_sys::fuzz_target;
use metainfo::Metainfo;

type Hash = [u8; 32];

struct File {
    length: u64,
    layer: Vec<Hash>,
    root: Hash,
}

impl File {
    /// Its hashes begin with the file's number, so that no two files have one root.
    fn new(number: usize, piece_length: u64, parts: &mut Parts<'_>) -> File {
        let length = 1 + u64::from(parts.u32()) % (piece_length * 20);
        let mut layer = parts.list(20, |parts| [parts.byte(); 32]);
        layer.resize(length.div_ceil(piece_length) as usize, [7; 32]);
        layer.iter_mut().for_each(|hash| hash[0] = number as u8 + 1);
        let root = tree(&layer, layer.len().next_power_of_two(), pad(piece_length));
        File { length, layer, root }
    }
}

/// The root of a piece without a block.
fn pad(piece_length: u64) -> Hash {
    let mut pad = [0; 32];
    let mut bytes = 16_384;
    while bytes < piece_length {
        pad = hash::sha256(&[pad, pad].concat());
        bytes *= 2;
    }
    pad
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let piece_length = 16_384_u64 << (parts.byte() % 4);
    let count = usize::from(parts.byte() % 4) + 1;
    let mut files: Vec<File> = (0..count).map(|n| File::new(n, piece_length, &mut parts)).collect();
    let has_layer = |file: &File| file.length > piece_length;
    let (damage, which) = (parts.byte() % 6, usize::from(parts.byte()) % count);
    let is_large = has_layer(&files[which]);
    let (mut left_out, mut extra, mut is_good) = (None, None, true);
    match damage {
        1 if is_large => {
            let at = usize::from(parts.byte()) % files[which].layer.len();
            let bit = parts.byte() | 1;
            files[which].layer[at][usize::from(bit % 32)] ^= bit;
            is_good = false;
        }
        2 if is_large => {
            files[which].layer.push(pad(piece_length));
            is_good = false;
        }
        3 if is_large => {
            files[which].layer.pop();
            is_good = false;
        }
        // It may be had from peers.
        4 => left_out = Some(which),
        5 => {
            extra = Some(parts.array::<32>());
            is_good = files.iter().any(|file| has_layer(file) && extra == Some(file.root));
        }
        _ => {}
    }

    let torrent = bencode::encode_dict(|torrent| {
        torrent.dict("info", |info| {
            info.bytes("name", "name");
            info.int("meta version", 2);
            info.int("piece length", piece_length.cast_signed());
            info.dict("file tree", |tree| {
                for (number, file) in files.iter().enumerate() {
                    tree.dict(format!("file {number}"), |entry| {
                        entry.dict("", |leaf| {
                            leaf.int("length", file.length.cast_signed());
                            leaf.bytes("pieces root", file.root);
                        });
                    });
                }
            });
        });
        torrent.dict("piece layers", |layers| {
            if let Some(root) = extra {
                layers.bytes(root, [0; 32]);
            }
            for (_, file) in files.iter().enumerate().filter(|(n, f)| left_out != Some(*n) && has_layer(f)) {
                layers.bytes(file.root, file.layer.concat());
            }
        });
    });
    let read = Metainfo::parse(&torrent);
    assert_eq!(read.is_ok(), is_good, "{read:?}");
    let Ok(read) = read else { return };
    let sizes = read.files().iter().filter(|file| file.is_regular()).map(|file| file.length);
    assert!(sizes.eq(files.iter().map(|file| file.length)));
    assert!(read.files().iter().filter(|f| f.is_regular()).all(|file| file.offset % piece_length == 0));
    plant(|| files.iter().filter(|file| file.layer.len() > 2).count() == 3 && damage == 4);
});
