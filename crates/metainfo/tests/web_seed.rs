//! Where web seeds have files (BEP 19).
#![allow(clippy::unwrap_used)] // helpers outside of `#[test]` functions

use metainfo::Metainfo;
use metainfo::create::Builder;

fn folder(files: &[&[&[u8]]]) -> Metainfo {
    let torrent = bencode::encode_dict(|d| {
        d.dict("info", |d| {
            d.list("files", |l| {
                for elements in files {
                    l.dict(|d| {
                        d.int("length", 1);
                        d.list("path", |l| elements.iter().for_each(|element| l.bytes(element)));
                    });
                }
            });
            d.bytes("name", "t 1");
            d.int("piece length", 16384);
            d.bytes("pieces", [7; 20]);
        });
        d.bytes("url-list", "http://w");
    });
    Metainfo::parse(&torrent).unwrap()
}

fn urls(torrent: &Metainfo, base: &str) -> Vec<String> {
    let paths = torrent.web_seed_paths();
    assert_eq!(paths.url(base, torrent.files().len()), None);
    (0..torrent.files().len()).map(|file| paths.url(base, file).unwrap()).collect()
}

#[test]
fn the_only_file_is_the_url_itself_unless_that_is_a_folder() {
    let torrent = Builder::file("a b.iso", 1).piece_length(16384).pieces(vec![7; 20]).build().unwrap();
    let torrent = Metainfo::parse(&torrent).unwrap();
    assert_eq!(urls(&torrent, "http://w/other?x=1"), ["http://w/other?x=1"]);
    assert_eq!(urls(&torrent, "http://w/"), ["http://w/a%20b.iso"]);
}

#[test]
fn a_folder_of_one_file_lies_below_the_url() {
    let torrent = folder(&[&[b"a"]]);
    let base = &torrent.web_seeds()[0];
    assert_eq!((base.as_str(), urls(&torrent, base)), ("http://w", vec!["http://w/t%201/a".to_owned()]));
    assert_eq!(urls(&torrent, "http://w/"), ["http://w/t%201/a"]);
    assert_eq!(urls(&torrent, "http://w/get?file="), ["http://w/get?file=t%201/a"]);
}

#[test]
fn files_lie_below_the_url_under_the_names_that_the_torrent_has() {
    let torrent = folder(&[
        &[b"sub", "é#?%&+.txt".as_bytes()],
        &[b"CON"],
        &[b"a\\b\xff"],
        &[b"same"],
        &[b"same"],
        &[b"..", b"secret"],
    ]);
    assert_eq!(
        urls(&torrent, "http://w/d/"),
        [
            "http://w/d/t%201/sub/%C3%A9%23%3F%25%26%2B.txt",
            "http://w/d/t%201/CON",
            "http://w/d/t%201/a%5Cb%FF",
            "http://w/d/t%201/same",
            "http://w/d/t%201/same",
            "http://w/d/t%201/_/secret",
        ]
    );
}

#[test]
fn a_program_that_is_asked_for_files_is_told_which() {
    let torrent = folder(&[&[b"a"], &[b"b"]]);
    assert_eq!(
        urls(&torrent, "http://w/get?file="),
        ["http://w/get?file=t%201/a", "http://w/get?file=t%201/b"]
    );
}

#[test]
fn the_spelling_in_utf8_counts() {
    let torrent = bencode::encode_dict(|d| {
        d.dict("info", |d| {
            d.int("length", 1);
            d.bytes("name", b"caf\xe9");
            d.bytes("name.utf-8", "café");
            d.int("piece length", 16384);
            d.bytes("pieces", [7; 20]);
        });
    });
    assert_eq!(urls(&Metainfo::parse(&torrent).unwrap(), "http://w/"), ["http://w/caf%C3%A9"]);
}
