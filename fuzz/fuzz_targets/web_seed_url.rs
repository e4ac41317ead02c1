//! Names of any bytes, joined to the URL of a web seed (BEP 19): what comes out stays below it and means those names.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use metainfo::Metainfo;

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next().expect("a digit")).to_digit(16).expect("a digit") as u8;
        out.push(if byte == b'%' { digit() << 4 | digit() } else { byte });
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let (name, is_folder) = (parts.bytes(), parts.bit());
    let base = ["http://host/pub/", "http://host/pub/file"][usize::from(parts.bit())];
    let files = parts.list(4, |parts| parts.list(4, Parts::bytes));
    let with_utf8 = parts.bit();
    let count = if is_folder { files.len() as i64 } else { 1 };
    let torrent = bencode::encode_dict(|torrent| {
        torrent.dict("info", |info| {
            info.bytes("name", name);
            info.int("piece length", 16_384);
            info.bytes("pieces", [1; 20]);
            if is_folder {
                info.list("files", |list| {
                    for path in &files {
                        list.dict(|file| {
                            file.int("length", 1);
                            file.list("path", |list| path.iter().for_each(|element| list.bytes(element)));
                            if with_utf8 {
                                file.list("path.utf-8", |l| path.iter().for_each(|element| l.bytes(element)));
                            }
                        });
                    }
                });
            } else {
                info.int("length", count);
            }
        });
    });
    let Ok(read) = Metainfo::parse(&torrent) else { return };
    let paths = read.web_seed_paths();
    assert_eq!(paths.url(base, read.files().len()), None);
    for (at, file) in read.files().iter().enumerate() {
        let url = paths.url(base, at).expect("a file of the torrent");
        let is_open = !base.ends_with('/');
        if is_open && !is_folder {
            assert_eq!(url, base);
            continue;
        }
        let below = url.strip_prefix(base).expect("below the base");
        let below = if is_open { below.strip_prefix('/').expect("an element of its own") } else { below };
        assert!(below.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\')));
        let elements: Vec<Vec<u8>> = below.split('/').map(unescaped).collect();
        assert!(elements.iter().all(|element| !matches!(&element[..], b"" | b"." | b"..")), "{below}");
        let raw: Vec<&[u8]> = if is_folder { [&[name], &files[at][..]].concat() } else { vec![name] };
        if raw.iter().all(|element| !matches!(element, &(b"" | b"." | b"..")))
            && raw.len() > usize::from(is_folder)
        {
            assert_eq!(elements, raw, "the names in the torrent");
        } else {
            assert!(file.path.elements().map(str::as_bytes).eq(elements.iter().map(|element| &element[..])));
        }
        plant(|| files.len() >= 2 && is_folder && url.contains("%2F"));
    }
});
