//! Any files, trackers and words as a new torrent: one that can be made reads as it was asked for, and so does its link.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use metainfo::create::Builder;
use metainfo::{Magnet, Metainfo};

/// One that is fit for every disk, or any.
fn fit(parts: &mut Parts<'_>) -> String {
    if parts.byte() % 8 == 0 { parts.text() } else { format!("name {}", parts.byte()) }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let name = fit(&mut parts);
    let is_folder = parts.bit();
    let mut files = parts.list(6, |parts| {
        let path = parts.list(3, fit);
        (path, u64::from(parts.u32()) >> (parts.byte() % 32))
    });
    let (trackers, web_seeds) = (parts.list(3, Parts::text), parts.list(3, Parts::text));
    let (is_private, date, comment) = (parts.bit(), parts.u64().cast_signed(), parts.text());
    let length =
        if is_folder { files.iter().map(|(_, length)| length).sum() } else { u64::from(parts.u32()) };
    let mut builder =
        if is_folder { Builder::folder(&name, files.clone()) } else { Builder::file(&name, length) };
    let piece_length = 16_384 << (parts.byte() % 11);
    // One with many pieces tells nothing more.
    if length / piece_length > 64 {
        return;
    }
    builder = builder.piece_length(u32::try_from(piece_length).expect("16 MiB at most"));
    for url in &trackers {
        builder = builder.tracker(&format!("http://{url}"));
    }
    for url in &web_seeds {
        builder = builder.web_seed(&format!("https://{url}"));
    }
    builder = builder.private(is_private).creation_date(date).comment(&comment);
    let Ok(lengths) = builder.lengths() else {
        return assert!(builder.pieces(Vec::new()).build().is_err());
    };
    let hashes: Vec<u8> = lengths.pieces().flat_map(|piece| [piece.get() as u8; 20]).collect();
    let torrent = match builder.pieces(hashes).build() {
        Ok(torrent) => torrent,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };

    let read = Metainfo::parse(&torrent).expect("what is built can be read");
    assert_eq!(bencode::decode(&torrent).expect("bencode").irregularity(), None);
    assert_eq!((read.name(), read.lengths()), (&name[..], lengths));
    assert_eq!((read.is_multi_file(), read.is_private()), (is_folder, is_private));
    assert!(lengths.pieces().all(|piece| read.piece_hash(piece).unwrap() == Some([piece.get() as u8; 20])));
    if !is_folder {
        files = vec![(Vec::new(), length)];
    }
    assert_eq!(read.files().len(), files.len());
    for (file, (path, length)) in read.files().iter().zip(&files) {
        assert!(file.path.elements().skip(1).eq(path.iter().map(String::as_str)));
        assert_eq!(file.length, *length);
    }

    let magnet = Magnet::from(&read);
    assert!(magnet.names(&read.info_bytes().unwrap()));
    let fetched = Metainfo::parse(&magnet.torrent_file(&read.info_bytes().unwrap()))
        .expect("made of the same dictionary");
    assert_eq!((fetched.info_hash(), fetched.files()), (read.info_hash(), read.files()));
    plant(|| is_folder && files.len() >= 2 && files.iter().any(|(path, _)| path.len() == 2));
});
