//! Torrents made by the builder, read back.

use metainfo::create::{Builder, Error, piece_length_for};
use metainfo::{Metainfo, Version};
use proptest::prelude::*;

#[test]
fn the_bytes_are_stable() {
    let torrent = Builder::file("a.txt", 5)
        .tracker("http://t/1")
        .tracker("udp://t:2")
        .private(true)
        .comment("hi")
        .created_by("me")
        .creation_date(0)
        .web_seed("http://w/")
        .pieces(b"aaaaabbbbbcccccddddd".to_vec())
        .build()
        .unwrap();
    let expected = "d8:announce10:http://t/113:announce-listll10:http://t/1el9:udp://t:2ee7:comment2:hi\
        10:created by2:me13:creation datei0e4:infod6:lengthi5e4:name5:a.txt12:piece lengthi16384e\
        6:pieces20:aaaaabbbbbcccccddddd7:privatei1ee8:url-list9:http://w/e";
    assert_eq!(std::str::from_utf8(&torrent).unwrap(), expected);
}

#[test]
fn what_would_be_read_differently_is_not_written() {
    let build = |name: &str, paths: &[&[&str]]| {
        let files = paths.iter().map(|path| (path.iter().map(ToString::to_string).collect(), 1)).collect();
        Builder::folder(name, files).pieces(vec![0; 20]).build().map(|_| ())
    };
    assert_eq!(build("a", &[&["b", "c"], &["d"]]), Ok(()));
    let text = build("a", &[&["b\\c"]]).unwrap_err().to_string();
    assert_eq!(text, "a/b\\c cannot be in a torrent: it would become a/bc; rename it first");
    let text = build("a", &[&["b\nc\u{85}"]]).unwrap_err().to_string();
    assert_eq!(text, "a/b\u{fffd}c\u{fffd} cannot be in a torrent: it would become a/b_c_; rename it first");
    assert!(matches!(build("a", &[&["b"], &["B"]]), Err(Error::UnsafeName { .. })));
    assert!(matches!(build("..", &[&["b"]]), Err(Error::UnsafeName { .. })));
    assert!(matches!(build("a", &[&["b/c"]]), Err(Error::UnsafeName { .. })));
    assert_eq!(build("a", &[]).unwrap_err().to_string(), "the torrent has no files");
    let uneven = Builder::file("a", 5).pieces(vec![0; 19]).build().unwrap_err();
    assert_eq!(uneven.to_string(), "`info.pieces` has 19 bytes, which is not a multiple of 20");
}

#[test]
fn piece_length_grows_with_the_size() {
    assert_eq!(piece_length_for(0), 16 << 10);
    assert_eq!(piece_length_for(32 << 20), 16 << 10);
    assert_eq!(piece_length_for((32 << 20) + 1), 32 << 10);
    assert_eq!(piece_length_for(32 << 30), 16 << 20);
    assert_eq!(piece_length_for(u64::MAX), 16 << 20);
    for shift in 25..35 {
        let pieces = (3u64 << (shift - 1)).div_ceil(u64::from(piece_length_for(3 << (shift - 1))));
        assert!((1025..=2048).contains(&pieces), "{pieces} pieces");
    }
}

fn text() -> impl Strategy<Value = String> {
    "m[a-zé0-9]{0,12}" // no device of Windows: not `con`, not `nul`
}

proptest! {
    #[test]
    fn what_is_created_parses_to_the_same(
        name in text(),
        files in proptest::option::of(proptest::collection::btree_map(text(), 0u64..60_000, 1..20)),
        length in 1u64..200_000,
        piece_length in 14u32..18,
        tiers in proptest::collection::vec(proptest::collection::vec("http://[a-z]{1,9}/", 1..3), 0..4),
        is_private: bool,
        comment in proptest::option::of(text()),
        creation_date in proptest::option::of(any::<i64>()),
        web_seeds in proptest::collection::btree_set("http://[a-z]{1,9}/", 0..3),
    ) {
        let mut builder = match &files {
            None => Builder::file(&name, length),
            Some(files) => Builder::folder(&name, files.iter().map(|(n, &l)| (vec!["d".into(), n.clone()], l)).collect()),
        };
        builder = builder.piece_length(1 << piece_length).private(is_private);
        builder = tiers.iter().fold(builder, |b, tier| b.tier(tier.clone()));
        builder = web_seeds.iter().fold(builder, |b, url| b.web_seed(url));
        if let Some(comment) = &comment {
            builder = builder.comment(comment).created_by(comment);
        }
        if let Some(seconds) = creation_date {
            builder = builder.creation_date(seconds);
        }
        let Ok(lengths) = builder.lengths() else { return Ok(()) };
        let pieces: Vec<u8> = lengths.pieces().flat_map(|p| [u8::try_from(p.get() % 251).unwrap(); 20]).collect();
        let torrent = builder.pieces(pieces).build().unwrap();

        let metainfo = Metainfo::parse(&torrent).unwrap();
        prop_assert_eq!(metainfo.name(), &name);
        prop_assert_eq!(metainfo.version(), Version::V1);
        prop_assert_eq!(metainfo.lengths(), lengths);
        prop_assert_eq!(metainfo.is_multi_file(), files.is_some());
        prop_assert_eq!(metainfo.trackers(), &tiers[..]);
        prop_assert_eq!(metainfo.is_private(), is_private);
        prop_assert_eq!(metainfo.comment(), comment.as_deref());
        prop_assert_eq!(metainfo.created_by(), comment.as_deref());
        prop_assert_eq!(metainfo.creation_date(), creation_date);
        prop_assert!(metainfo.web_seeds().iter().eq(&web_seeds));
        for piece in lengths.pieces() {
            prop_assert_eq!(metainfo.piece_hash(piece).unwrap(), Some([u8::try_from(piece.get() % 251).unwrap(); 20]));
        }
        let read: Vec<(String, u64)> = metainfo.files().iter().map(|f| (f.path.to_string(), f.length)).collect();
        let given = match &files {
            None => vec![(name, length)],
            Some(files) => files.iter().map(|(n, &l)| (format!("{name}/d/{n}"), l)).collect(),
        };
        prop_assert_eq!(read, given);
    }
}
