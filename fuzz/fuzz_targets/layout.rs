//! Files of any lengths under pieces of any length: their parts tile each range, and who touches whom is the same from
//! either side.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use metainfo::Metainfo;
use types::{BLOCK_LEN, Lengths};

fn torrent(sizes: &[u64], piece_length: u32) -> Option<Metainfo> {
    let lengths = Lengths::new(sizes.iter().sum(), piece_length).ok()?;
    let torrent = bencode::encode_dict(|torrent| {
        torrent.dict("info", |info| {
            info.bytes("name", "name");
            info.int("piece length", piece_length);
            info.bytes("pieces", vec![1; lengths.piece_count() as usize * 20]);
            info.list("files", |files| {
                for (number, &size) in sizes.iter().enumerate() {
                    files.dict(|file| {
                        file.int("length", size.cast_signed());
                        file.list("path", |path| path.bytes(number.to_string()));
                    });
                }
            });
        });
    });
    Some(Metainfo::parse(&torrent).expect("a torrent"))
}

fn check_lengths(lengths: Lengths) {
    let mut at = 0;
    for piece in lengths.pieces() {
        assert_eq!(lengths.piece_range(piece).start, at);
        let mut within = 0;
        for number in 0..lengths.block_count(piece) {
            let block = lengths.block(piece, number).expect("one of its blocks");
            assert_eq!((block.offset, lengths.block_number(block)), (within, Some(number)));
            assert_eq!(lengths.block_range(piece.get(), block.offset, block.len), Some(block));
            assert_eq!(lengths.block_range(piece.get(), block.offset + 1, lengths.piece_len(piece)), None);
            within = block.end();
        }
        assert_eq!(within, lengths.piece_len(piece));
        assert_eq!(lengths.block(piece, lengths.block_count(piece)), None);
        at += u64::from(within);
    }
    assert_eq!(at, lengths.total());
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let piece_length = match parts.byte() % 3 {
        0 => 16_384 << (parts.byte() % 8),
        1 => BLOCK_LEN + u32::from(parts.u16()),
        _ => u32::from(parts.u16()) + 1,
    };
    let sizes = parts.list(8, |parts| match parts.byte() % 4 {
        0 => 0,
        1 => u64::from(piece_length) * u64::from(parts.byte() % 4),
        2 => u64::from(parts.byte()),
        _ => u64::from(parts.u32() % (piece_length * 4)),
    });
    let Some(read) = torrent(&sizes, piece_length) else { return };
    let lengths = read.lengths();
    check_lengths(lengths);

    let values: Vec<u8> = sizes.iter().map(|_| parts.byte() % 4).collect();
    let wanted: Vec<bool> = values.iter().map(|value| *value > 1).collect();
    let (needed, greatest) = (read.pieces_for_files(&wanted), read.greatest_per_piece(&values, 0));
    for piece in lengths.pieces() {
        let touching: Vec<usize> =
            read.file_slices(lengths.piece_range(piece)).map(|slice| slice.file).collect();
        for file in 0..sizes.len() {
            assert_eq!(read.file_pieces(file).contains(&piece.get()), touching.contains(&file));
        }
        assert_eq!(needed.contains(piece), touching.iter().any(|&file| wanted[file]));
        let most = touching.iter().map(|&file| values[file]).max().unwrap_or_default();
        assert_eq!(greatest[piece.index()], most);
    }

    let (from, len) =
        (u64::from(parts.u32()) % lengths.total(), u64::from(parts.u32()) % (4 * u64::from(piece_length)));
    let end = (from + len).min(lengths.total());
    let mut at = from;
    let mut count = 0;
    for slice in read.file_slices(from..from + len) {
        let file = &read.files()[slice.file];
        assert!(slice.len > 0 && slice.offset + slice.len <= file.length);
        assert_eq!(file.offset + slice.offset, at);
        at += slice.len;
        count += 1;
    }
    assert_eq!(at, end);
    plant(|| count == 4 && sizes.contains(&0) && end < from + len);
});
