//! Any bytes as a torrent file: one that is accepted is sound, and its files make the same torrent again.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use metainfo::create::Builder;
use metainfo::{Metainfo, Version};
use std::collections::BTreeSet;

fuzz_target!(|data: &[u8]| {
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    check_files(&metainfo);
    check_bytes(&metainfo);
    check_same_again(&metainfo);
    check_rebuilt(&metainfo);
    plant(|| metainfo.name().starts_with('n') && metainfo.lengths().piece_length() != 16_384);
});

/// Every path is safe, and no two files have the same, on any file system.
fn check_files(metainfo: &Metainfo) {
    let mut taken = BTreeSet::new();
    for file in metainfo.files() {
        assert!(
            file.path.elements().all(|e| !matches!(e, "" | "." | "..") && !e.contains(['/', '\\', '\0']))
        );
        if file.is_regular() {
            let top = file.path.elements().next();
            assert_eq!(top, Some(metainfo.name()));
            assert_eq!(file.path.elements().count() > 1, metainfo.is_multi_file());
            assert!(taken.insert(metainfo::names::folded(file.path.as_str())), "{} twice", file.path);
        }
    }
    for path in &taken {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.for_each(|folder| assert!(!taken.contains(folder), "{folder} is a file and a folder"));
    }
}

/// Files lie side by side, and each piece has its bytes and, in v1, its hash.
fn check_bytes(metainfo: &Metainfo) {
    let lengths = metainfo.lengths();
    let mut at = 0;
    for file in metainfo.files() {
        assert_eq!(file.offset, at);
        at += file.length;
    }
    assert_eq!(at, lengths.total());
    for piece in lengths.pieces().take(1000) {
        assert_eq!(metainfo.piece_hash(piece).unwrap().is_some(), metainfo.version() != Version::V2);
        let parts = metainfo.file_slices(lengths.piece_range(piece));
        assert_eq!(parts.map(|part| part.len).sum::<u64>(), u64::from(lengths.piece_len(piece)));
    }
    let all = metainfo.pieces_for_files(&vec![true; metainfo.files().len()]);
    assert!(all.count_ones() <= lengths.piece_count());
}

/// The info dictionary alone makes the same torrent.
fn check_same_again(metainfo: &Metainfo) {
    let info_bytes = metainfo.info_bytes().unwrap();
    let info = bencode::decode(&info_bytes).expect("the info dictionary is bencode");
    let torrent = bencode::encode_dict(|d| d.value("info", info.root()));
    let again = Metainfo::parse(&torrent).expect("what stands beside the info dictionary is not needed");
    assert_eq!(again.info_hash(), metainfo.info_hash());
    assert_eq!(again.files(), metainfo.files());
}

/// The builder makes a torrent with the same pieces, if names that were made safe once are not changed twice.
fn check_rebuilt(metainfo: &Metainfo) {
    let lengths = metainfo.lengths();
    if metainfo.version() == Version::V2 || metainfo.files().iter().any(|file| !file.is_regular()) {
        return;
    }
    let builder = if metainfo.is_multi_file() {
        let below = |file: &metainfo::File| file.path.elements().skip(1).map(str::to_owned).collect();
        Builder::folder(metainfo.name(), metainfo.files().iter().map(|f| (below(f), f.length)).collect())
    } else {
        Builder::file(metainfo.name(), lengths.total())
    };
    let hashes =
        lengths.pieces().flat_map(|piece| metainfo.piece_hash(piece).unwrap().unwrap_or_default()).collect();
    let torrent = builder.piece_length(lengths.piece_length()).pieces(hashes).build();
    let again =
        Metainfo::parse(&torrent.expect("safe names stay as they are")).expect("what is built parses");
    assert_eq!((again.lengths(), again.name()), (lengths, metainfo.name()));
    assert!(
        lengths.pieces().all(|piece| again.piece_hash(piece).unwrap() == metainfo.piece_hash(piece).unwrap())
    );
}
