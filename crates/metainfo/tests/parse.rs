//! Torrents made by hand: each thing that can be wrong with one, and what is made of the good ones.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside of `#[test]` functions

use bencode::{DictEncoder, ListEncoder};
use metainfo::create::Builder;
use metainfo::{Error, FileKind, Limits, Metainfo, Version};
use proptest::prelude::*;
use std::collections::BTreeSet;
use types::PieceIndex;

/// A torrent file whose info dictionary is a good v1 one, changed by `info`; the last entry under a key counts.
fn torrent(info: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
    bencode::encode_dict(|d| {
        d.dict("info", |d| {
            d.bytes("name", "name");
            d.int("piece length", 16384);
            d.bytes("pieces", [7; 20]);
            info(d);
        });
    })
}

fn single(d: &mut DictEncoder<'_>) {
    d.int("length", 5);
}

fn path(d: &mut DictEncoder<'_>, elements: &[&str]) {
    d.list("path", |l| elements.iter().for_each(|e| l.bytes(e)));
}

/// Adds a file to a list of files.
fn file(l: &mut ListEncoder<'_>, elements: &[&str], length: i64) {
    l.dict(|d| {
        d.int("length", length);
        path(d, elements);
    });
}

/// Adds a file to a v2 file tree.
fn tree_file(d: &mut DictEncoder<'_>, name: &str, length: i64, root: u8) {
    d.dict(name, |d| {
        d.dict("", |d| {
            d.int("length", length);
            d.bytes("pieces root", [root; 32]);
        });
    });
}

#[track_caller]
fn refused(torrent: &[u8], text: &str) {
    assert_eq!(Metainfo::parse(torrent).unwrap_err().to_string(), text);
}

#[test]
fn says_what_is_wrong_with_the_file() {
    refused(b"", "not a torrent file: unexpected end of data at byte 0");
    refused(b"<html>", "not a torrent file: expected a value at byte 0");
    refused(b"le", "not a torrent file: it holds a list, not a dictionary");
    refused(b"de", "`info` is missing");
    refused(b"d4:info4:spame", "`info` is a string, not a dictionary");
    let good = torrent(single);
    assert!(Metainfo::parse(&good).is_ok());
    for end in 1..good.len() {
        assert_eq!(Metainfo::parse(&good[..end]).unwrap_err(), Error::Truncated(end));
    }
    refused(&good[..50], "the torrent file is cut short after 50 bytes");
}

#[test]
fn says_what_is_wrong_with_the_info_dictionary() {
    let wrong = |info: &dyn Fn(&mut DictEncoder<'_>), text| {
        refused(
            &torrent(|d| {
                single(d);
                info(d);
            }),
            text,
        );
    };
    wrong(&|d| d.int("name", 1), "`info.name` is an integer, not a string");
    wrong(&|d| d.bytes("name", "\t\0"), "`info.name` holds nothing but control characters");
    wrong(&|d| d.bytes("piece length", ""), "`info.piece length` is a string, not an integer");
    wrong(&|d| d.int("piece length", 0), "the piece length is 0, not between 1 and 536870912 bytes");
    wrong(
        &|d| d.int("piece length", i64::MAX),
        "the piece length is 9223372036854775807, not between 1 and 536870912 bytes",
    );
    wrong(&|d| d.list("pieces", |_| ()), "`info.pieces` is a list, not a string");
    wrong(&|d| d.bytes("pieces", [0; 21]), "`info.pieces` has 21 bytes, which is not a multiple of 20");
    wrong(&|d| d.bytes("pieces", [0; 40]), "`info.pieces` holds 2 hashes, but the files make 1 pieces");
    wrong(&|d| d.bytes("pieces", []), "`info.pieces` holds 0 hashes, but the files make 1 pieces");
    wrong(&|d| d.int("length", -1), "`info.length` is negative (-1)");
    wrong(&|d| d.int("length", 0), "the torrent holds no bytes");
    wrong(
        &|d| d.int("length", i64::MAX),
        "562949953421312 pieces are more than the 2097152 that are supported",
    );
    wrong(&|d| d.bytes("length", "5"), "`info.length` is a string, not an integer");
    wrong(&|d| d.int("meta version", 3), "`info.meta version` is 3; versions 1 and 2 are supported");
    wrong(&|d| d.bytes("files", ""), "`info.files` is a string, not a list");
    refused(&torrent(|_| ()), "`info.length` is missing");
    refused(b"d4:infod4:name1:a12:piece lengthi16384eee", "`info.pieces` is missing");
    refused(b"d4:infod6:pieces0:ee", "`info.name` is missing");
    refused(b"d4:infod4:name1:a6:pieces0:ee", "`info.piece length` is missing");
    let huge = b"d4:infod6:lengthi5e4:name1:a12:piece lengthi99999999999999999999eee";
    refused(huge, "not a torrent file: number too large at byte 44");
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let wrong =
        |files: &dyn Fn(&mut ListEncoder<'_>), text| refused(&torrent(|d| d.list("files", files)), text);
    wrong(&|_| (), "the torrent has no files");
    wrong(&|l| l.int(1), "`info.files[0]` is an integer, not a dictionary");
    wrong(&|l| file(l, &["a"], -3), "`info.files[0].length` is negative (-3)");
    wrong(&|l| file(l, &[], 3), "`info.files[0].path` is empty");
    wrong(&|l| l.dict(|d| path(d, &["a"])), "`info.files[0].length` is missing");
    wrong(&|l| l.dict(|d| d.int("length", 5)), "`info.files[0].path` is missing");
    let max = |l: &mut ListEncoder<'_>| (0..3).for_each(|_| file(l, &["a"], i64::MAX));
    wrong(&max, "the sizes of the files add up to more than 2^64 bytes");
    let not_text = |l: &mut ListEncoder<'_>| {
        file(l, &["a"], 1);
        l.dict(|d| {
            d.int("length", 1);
            d.list("path", |l| {
                l.bytes("b");
                l.int(1);
            });
        });
    };
    wrong(&not_text, "`info.files[1].path[1]` is an integer, not a string");
    let link = |l: &mut ListEncoder<'_>| {
        l.dict(|d| {
            d.bytes("attr", "l");
            path(d, &["link"]);
        });
    };
    wrong(&link, "`info.files[0].symlink path` is missing");
}

#[test]
fn says_what_is_wrong_with_a_v2_torrent() {
    let wrong = |info: &dyn Fn(&mut DictEncoder<'_>), text: &str| {
        let torrent = bencode::encode_dict(|d| {
            d.dict("info", |d| {
                d.int("meta version", 2);
                d.bytes("name", "name");
                d.int("piece length", 16384);
                d.dict("file tree", |d| tree_file(d, "name", 5, 1));
                info(d);
            });
            d.dict("piece layers", |d| d.bytes([9; 32], [9; 64]));
        });
        assert_eq!(Metainfo::parse(&torrent).map_err(|e| e.to_string()).unwrap_err(), text);
    };
    let tree = |fill: fn(&mut DictEncoder<'_>)| move |d: &mut DictEncoder<'_>| d.dict("file tree", fill);
    wrong(&|_| (), "`piece layers` has an entry that belongs to none of the files");
    wrong(
        &tree(|d| tree_file(d, "name", 16385, 9)),
        "`piece layers` has hashes that do not add up to the root of name",
    );
    wrong(&tree(|_| ()), "the torrent has no files");
    wrong(&tree(|d| d.int("a", 1)), "`info.file tree/name/a/` is an integer, not a dictionary");
    wrong(&tree(|d| tree_file(d, "a", -5, 1)), "`info.file tree/name/a/length` is negative (-5)");
    wrong(&tree(|d| tree_file(d, "a", 5, 0)), "`info.file tree/name/a/pieces root` is not a hash");
    wrong(&tree(|d| tree_file(d, "", 5, 1)), "`info.file tree/name/` is empty");
    wrong(&|d| d.int("file tree", 1), "`info.file tree` is an integer, not a dictionary");
    let odd = "the piece length is 49152, but a v2 torrent needs a power of two of at least 16384 bytes";
    wrong(&|d| d.int("piece length", 49152), odd);
    let hybrid = |d: &mut DictEncoder<'_>| {
        d.int("length", 6);
        d.bytes("pieces", [0; 20]);
    };
    wrong(&hybrid, "the v1 and v2 halves of the torrent disagree about the size of name: 6 and 5");
}

#[test]
fn limits_are_reached() {
    let parse = |files: &dyn Fn(&mut ListEncoder<'_>), limits| {
        Metainfo::parse_with(&torrent(|d| d.list("files", files)), limits).map(|_| ())
    };
    let limits =
        Limits { max_path_depth: 2, max_path_bytes: 20, max_collisions: 0, max_values: 30, max_input: 200 };
    let deep = Error::PathTooDeep { key: "info.files[0].path".into(), limit: 2 };
    assert_eq!(parse(&|l| file(l, &["a", "b"], 1), limits), Ok(()));
    assert_eq!(parse(&|l| file(l, &["a", "b", "c"], 1), limits), Err(deep));
    let same = |count| move |l: &mut ListEncoder<'_>| (0..count).for_each(|_| file(l, &["a"], 1));
    assert_eq!(parse(&same(2), limits), Ok(()));
    assert_eq!(parse(&same(3), limits), Err(Error::TooManyDuplicates(0)));
    assert!(parse(&same(4), limits).unwrap_err().to_string().contains("too many values"));
    let long = |l: &mut ListEncoder<'_>| ["1", "1234567890"].iter().for_each(|name| file(l, &[name], 1));
    assert_eq!(parse(&long, limits), Err(Error::PathsTooLong(20)), "name/1name/1234567890");
    assert_eq!(parse(&same(9), limits), Err(Error::TooLarge(200)));

    let tree = bencode::encode_dict(|d| {
        d.dict("info", |d| {
            d.int("meta version", 2);
            d.bytes("name", "name");
            d.int("piece length", 16384);
            d.dict("file tree", |d| d.dict("a", |d| d.dict("b", |d| tree_file(d, "c", 1, 1))));
        });
    });
    let deep = Error::PathTooDeep { key: "info.file tree/name/a/b/c/".into(), limit: 2 };
    assert_eq!(Metainfo::parse_with(&tree, limits).unwrap_err(), deep);
}

#[test]
fn five_hundred_new_names_may_be_taken_as_well() {
    let parse = |names: &dyn Fn(u32) -> String, count| {
        let files = |l: &mut ListEncoder<'_>| (0..count).for_each(|n| file(l, &[&names(n)], 1));
        Metainfo::parse(&torrent(|d| d.list("files", files))).map(|torrent| torrent.files().len())
    };
    // Of 32 that get another, the last one tries 31 that are taken: 496 together.
    assert_eq!(parse(&|_| "a".into(), 33), Ok(33));
    assert_eq!(parse(&|_| "a".into(), 34), Err(Error::TooManyDuplicates(500)));
    assert_eq!(parse(&|n| (n / 2).to_string(), 5000), Ok(5000));
}

#[test]
fn names_are_made_safe_and_told_apart() {
    let torrent = torrent(|d| {
        d.bytes("name", "../na/me");
        d.list("files", |l| {
            file(l, &["..", "..", "etc", "passwd"], 1);
            file(l, &["/etc/passwd"], 1);
            file(l, &["CON"], 1);
            file(l, &["a"], 1);
            file(l, &["A"], 1);
            file(l, &["A", "b"], 1);
            l.dict(|d| {
                d.int("length", 1);
                path(d, &["????"]);
                d.list("path.utf-8", |l| l.bytes("пример"));
            });
        });
    });
    let metainfo = Metainfo::parse(&torrent).unwrap();
    let paths: Vec<&str> = metainfo.files().iter().map(|f| f.path.as_str()).collect();
    let name = "..name";
    let expected = ["_/_/etc/passwd", "etcpasswd", "_CON", "a.1", "A.2", "A/b", "пример"];
    assert_eq!(metainfo.name(), name);
    assert_eq!(paths, expected.map(|path| format!("{name}/{path}")));
}

#[test]
fn pad_files_and_symlinks_are_not_payload() {
    let torrent = torrent(|d| {
        d.bytes("pieces", [7; 40]);
        d.list("files", |l| {
            file(l, &["a"], 100);
            l.dict(|d| {
                d.bytes("attr", "p");
                d.int("length", 16284);
                path(d, &[".pad", "16284"]);
            });
            l.dict(|d| {
                d.bytes("attr", "lx");
                path(d, &["link"]);
                d.list("symlink path", |l| ["..", "a"].iter().for_each(|e| l.bytes(e)));
            });
            file(l, &["empty"], 0);
            file(l, &["b"], 50);
        });
    });
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!((metainfo.payload_len(), metainfo.lengths().total()), (150, 16434));
    let FileKind::Symlink { target } = &metainfo.files()[2].kind else { panic!("not a symlink") };
    assert_eq!(target.as_str(), "name/_/a");
    assert!(metainfo.files()[2].executable && metainfo.files()[1].is_pad());
    let slices: Vec<_> = metainfo.file_slices(90..16400).map(|s| (s.file, s.offset, s.len)).collect();
    assert_eq!(slices, [(0, 90, 10), (1, 0, 16284), (4, 0, 16)]);
    let pieces =
        |wanted: &[bool]| metainfo.pieces_for_files(wanted).ones().map(PieceIndex::get).collect::<Vec<_>>();
    assert_eq!(pieces(&[true; 5]), [0, 1]);
    assert_eq!(pieces(&[true]), [0]);
    assert_eq!(pieces(&[false, true, true, true, false]), [0; 0]);
    assert_eq!(metainfo.greatest_per_piece(&[3, 9, 9, 9, 5], 1), [3, 5], "pads and links need nothing");
    assert_eq!(metainfo.greatest_per_piece(&[3, 9], 1), [3, 1]);
    assert_eq!(
        (metainfo.file_pieces(4), metainfo.file_pieces(3), metainfo.file_pieces(9)),
        (1..2, 0..0, 0..0)
    );
}

#[test]
fn a_piece_is_worth_as_much_as_the_greatest_of_its_files() {
    let torrent = torrent(|d| {
        d.bytes("pieces", [7; 40]);
        d.list("files", |l| {
            file(l, &["a"], 100);
            file(l, &["b"], 16384);
            file(l, &["c"], 50);
        });
    });
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(metainfo.greatest_per_piece(&[1, 2, 3], 0), [2, 3]);
    assert_eq!(metainfo.greatest_per_piece(&[3, 2, 1], 0), [3, 2]);
    assert_eq!(metainfo.greatest_per_piece(&[true], false), [true, false]);
}

#[test]
fn v2_files_start_with_a_piece_of_their_own() {
    let torrent = bencode::encode_dict(|d| {
        d.dict("info", |d| {
            d.int("meta version", 2);
            d.bytes("name", "name");
            d.int("piece length", 16384);
            d.dict("file tree", |d| {
                tree_file(d, "a", 5, 1);
                d.dict("b", |d| tree_file(d, "c", 7, 1));
            });
        });
    });
    let metainfo = Metainfo::parse(&torrent).unwrap();
    let files: Vec<_> = metainfo.files().iter().map(|f| (f.path.as_str(), f.offset, f.length)).collect();
    assert_eq!(files, [("name/a", 0, 5), (".pad/16379", 5, 16379), ("name/b/c", 16384, 7)]);
    assert_eq!((metainfo.version(), metainfo.payload_len()), (Version::V2, 12));
    assert_eq!(metainfo.piece_hash(PieceIndex::new(0)).unwrap(), None);
}

#[test]
fn a_hybrid_has_its_files_at_the_same_places_twice() {
    let parse = |pad: i64| {
        let torrent = torrent(|d| {
            d.int("meta version", 2);
            d.bytes("pieces", [7; 40]);
            d.list("files", |l| {
                file(l, &["a"], 5);
                l.dict(|d| {
                    d.bytes("attr", "p");
                    d.int("length", pad);
                });
                file(l, &["b"], 7);
            });
            d.dict("file tree", |d| {
                tree_file(d, "a", 5, 1);
                tree_file(d, "b", 7, 2);
            });
        });
        Metainfo::parse(&torrent)
    };
    let hybrid = parse(16379).unwrap();
    assert_eq!(hybrid.version(), Version::Hybrid);
    assert_eq!(hybrid.files()[2].pieces_root.as_deref(), Some(&[2; 32]));
    let text = parse(16378).unwrap_err().to_string();
    assert_eq!(
        text,
        "the v1 and v2 halves of the torrent disagree about the place of name/b: 16383 and 16384"
    );
}

#[test]
fn symlinks_point_from_the_top_unless_only_a_neighbour_has_that_name() {
    let link_target = |others: &[&[&str]]| {
        let torrent = torrent(|d| {
            d.list("files", |l| {
                l.dict(|d| {
                    d.bytes("attr", "l");
                    path(d, &["dir", "link"]);
                    d.list("symlink path", |l| l.bytes("a"));
                });
                others.iter().for_each(|other| file(l, other, 1));
            });
        });
        match &Metainfo::parse(&torrent).unwrap().files()[0].kind {
            FileKind::Symlink { target } => target.to_string(),
            kind => panic!("{kind:?} is no symlink"),
        }
    };
    assert_eq!(link_target(&[&["a"], &["dir", "a"]]), "name/a");
    assert_eq!(link_target(&[&["a", "within"], &["dir", "a"]]), "name/a");
    assert_eq!(link_target(&[&["ab"], &["dir", "a", "within"]]), "name/dir/a");
    assert_eq!(link_target(&[&["b"]]), "name/a");
}

#[test]
fn what_stands_beside_info_is_read_if_it_can_be() {
    let torrent = bencode::encode_dict(|d| {
        d.list("announce-list", |l| {
            l.list(|l| l.int(1));
            l.list(|l| [" http://a/ ", "", "udp://b:1"].iter().for_each(|url| l.bytes(url)));
            l.bytes("http://c");
        });
        d.bytes("announce", "http://unused");
        d.bytes("comment", b"caf\xc3\xa9 \xff");
        d.int("created by", 1);
        d.bytes("creation date", "today");
        d.list("url-list", |l| ["http://w/a b", "http://w/a%20b", ""].iter().for_each(|url| l.bytes(url)));
        d.list("nodes", |l| {
            l.list(|l| {
                l.bytes("::1");
                l.int(6881);
            });
            l.list(|l| l.int(1));
        });
        d.dict("info", |d| {
            d.bytes("name", "name");
            d.int("piece length", 16384);
            d.bytes("pieces", [7; 20]);
            d.int("length", 1);
            d.int("private", 1);
        });
    });
    let metainfo = Metainfo::parse(&[&torrent[..], b"\r\n"].concat()).unwrap();
    assert_eq!(metainfo.trackers(), [vec!["http://a/", "udp://b:1"], vec!["http://c"]]);
    assert_eq!(metainfo.comment(), Some("café _"));
    assert_eq!((metainfo.created_by(), metainfo.creation_date()), (None, None));
    assert_eq!(metainfo.web_seeds(), ["http://w/a%20b"]);
    assert_eq!(metainfo.dht_nodes(), [("::1".to_owned(), 6881)]);
    assert!(metainfo.is_private());
}

#[test]
fn web_seeds_of_folders_end_as_folders_unless_they_are_questions() {
    let urls = ["http://w/t", "http://w/t/", "http://w/get?t=1", "http://w/#t"];
    let folder = |files| {
        let builder = Builder::folder("t", files).piece_length(16384).pieces(vec![0; 20]);
        urls.iter().fold(builder, |builder, url| builder.web_seed(url)).build().unwrap()
    };
    let torrent = folder(vec![(vec!["a".into()], 1), (vec!["b".into()], 1)]);
    let web_seeds = Metainfo::parse(&torrent).unwrap();
    assert_eq!(web_seeds.web_seeds(), ["http://w/t/", "http://w/get?t=1", "http://w/#t"]);
    // What is written is what was given.
    for url in urls {
        let written = format!("{}:{url}", url.len());
        assert!(torrent.windows(written.len()).any(|bytes| bytes == written.as_bytes()), "{url}");
    }
}

#[test]
fn the_largest_torrents_are_read_at_once() {
    let pieces: Vec<u8> = (0u32..1 << 21).flat_map(|n| [&n.to_be_bytes()[..], &[0; 16]].concat()).collect();
    let torrent = torrent(|d| {
        d.int("length", 1i64 << 35);
        d.bytes("pieces", &pieces);
    });
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(
        metainfo.piece_hash(PieceIndex::new((1 << 21) - 1)).unwrap().unwrap()[..4],
        [0, 0x1f, 0xff, 0xff]
    );
    assert_eq!(metainfo.piece_hash(PieceIndex::new(1 << 21)).unwrap(), None);
}

proptest! {
    #[test]
    fn slices_tile_any_range(
        lengths in proptest::collection::vec(prop_oneof![Just(0u64), 1u64..40_000], 1..30),
        from in 0u64..400_000,
        len in 0u64..100_000,
    ) {
        let total: u64 = lengths.iter().sum();
        prop_assume!(total > 0);
        let torrent = torrent(|d| {
            d.bytes("pieces", vec![0; 20 * usize::try_from(total.div_ceil(16384)).unwrap()]);
            d.list("files", |l| {
                let sizes = lengths.iter().zip(0..);
                sizes.for_each(|(&length, n): (&u64, u32)| file(l, &[&n.to_string()], i64::try_from(length).unwrap()));
            });
        });
        let metainfo = Metainfo::parse(&torrent).unwrap();
        let mut at = from;
        for slice in metainfo.file_slices(from..from + len) {
            let file = &metainfo.files()[slice.file];
            prop_assert_eq!(file.offset + slice.offset, at);
            prop_assert!(slice.len > 0 && slice.offset + slice.len <= file.length);
            at += slice.len;
        }
        prop_assert_eq!(at, (from + len).min(total).max(from));
    }

    /// Bytes that begin like a torrent get further than others.
    #[test]
    fn no_input_panics(at in 0usize..200, bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut torrent = torrent(|d| d.list("files", |l| {
            file(l, &["a", "b"], 1);
            l.dict(|d| {
                d.bytes("attr", "l");
                path(d, &["c"]);
                d.list("symlink path", |l| l.bytes("a"));
            });
        }));
        let at = at.min(torrent.len());
        torrent.splice(at..(at + bytes.len()).min(torrent.len()), bytes);
        if let Ok(metainfo) = Metainfo::parse(&torrent) {
            let paths: BTreeSet<_> = metainfo.files().iter().filter(|f| f.is_regular()).map(|f| f.path.clone()).collect();
            prop_assert_eq!(paths.len(), metainfo.files().iter().filter(|f| f.is_regular()).count());
        }
    }
}
