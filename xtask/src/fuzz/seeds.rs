//! What runs start from: inputs that other people's tests use, where they are (`RAWTORRENT_CORPUS`, or `shared/corpus`
//! beside the checkout), and some of our own.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Longer inputs make every later one slow.
const MAX_LEN: usize = 8 << 10;
/// Of one target.
const MAX_SEEDS: usize = 400;
/// Lengths of the inputs that are nothing but noise, for targets that take an input apart.
const NOISE: [usize; 4] = [8, 32, 100, 200];

/// Where seeds of a target are.
enum Source {
    /// All torrent files.
    Torrents,
    /// All texts of a file of vectors; hex digits are bytes.
    Vectors(&'static str),
    /// As they stand here.
    Own(&'static [&'static str]),
}

use Source::{Own, Torrents, Vectors};

const TORRENT: &str = "d8:announce17:http://t/announce4:infod6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces20:01234567890123456789ee";
const FOLDER: &str = "d8:announce7:udp://t4:infod5:filesld6:lengthi5e4:pathl1:a1:beed6:lengthi9e4:pathl1:ceee4:name1:n12:piece lengthi16384e6:pieces20:01234567890123456789ee";
const QUERY: &str =
    "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe";
const ANSWER: &str = "d1:rd2:id20:abcdefghij01234567895:nodes26:abcdefghij0123456789axje.u5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";
const SAVED: &str = "d2:id20:abcdefghij01234567895:nodes26:abcdefghij0123456789axje.ue";
const HANDSHAKE: &str =
    "\u{13}BitTorrent protocol\0\0\0\0\0\u{10}\0\u{5}01234567890123456789-TR4060-0123456789ab";
const MESSAGES: &str =
    "\0\0\0\u{1}\u{2}\0\0\0\u{5}\u{4}\0\0\0\u{1}\0\0\0\u{d}\u{6}\0\0\0\u{1}\0\0\0\0\0\0@\0\0\0\0\u{1}\u{1}";
/// A peer that has all and unchokes us, between steps of the driver that do little.
const STREAM: &str =
    "\u{7}\u{b}\0\u{1}\0\0\0\u{1}\u{e}\u{b}\0\u{1}\0\0\0\u{1}\u{1}\u{b}\0\u{2}\0\0\0\u{1}\u{f}";
const HELLO: &str =
    "d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi250e1:v7:rw 0.1 e";
const LSD: &str = "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: 0123456789012345678901234567890123456789\r\ncookie: 01234567\r\n\r\n\r\n";

/// A recording's records: a swarm of ten pieces, a peer that has all and unchokes it, a block that was
/// asked for, and one of no piece that was not.
const RECORDS: &str = "\0\0\u{1}a\u{1}\u{1}01234567890123456789aaaaaaaaaaaaaaaaaaaa\0\0\0\0\0\u{14}\0\0@d\0\u{10}@\0\0\0\0\u{1}\0d\u{a}\u{2}\0\0\u{3}\
    \u{4}\u{1}\0\u{1}\0\u{a}\0\0\u{1}\u{1}\u{1}bbbbbbbbbbbbbbbbbbbb\0\0\0\0\0\u{10}\0\u{4}\
    \u{4}\u{1}\u{2}\u{1}\u{5}\0\0\0\u{1}\u{e}\u{4}\u{1}\u{2}\u{1}\u{5}\0\0\0\u{1}\u{1}\u{4}\u{1}\u{3}\u{1}\u{1}\0\u{a}\u{4}\u{1}\u{5}\u{1}d\0\u{a}\u{5}\u{1}";

const REQUEST: &str = "since=7&limit=5&state=paused\nhost: localhost:6880\norigin: http://localhost:6880\nrange: bytes=0-9\n\
    \0{\"max_down\":1000,\"seed_ratio\":null,\"tags\":[\"a\"],\"priorities\":[\"skip\"]}";
const NAMED: &str = "dir=/data\nhost: [::1]\nsec-fetch-site: none\n\0{\"source\":\"magnet:?xt=urn:btih:0123456789012345678901234567890123456789\"}";
const CONFIG: &str = "# a comment\nmax_down = '10M'\nmax_up = 7\nno_dht = true\nroot = ['/a', '/b']\n";

/// What clients leave of a torrent, behind a byte that says which of them.
const TRANSMISSION: &str = "\0d11:destination2:/x3:dndli0ei1ee10:downloadedi20005e6:labelsl1:a1:be6:pausedi0e8:priorityli0ei1ee8:progressd6:blocks3:all4:have3:all6:mtimesli1700000000ei1700000000eee14:speed-limit-upd9:speed-Bpsi1000e15:use-speed-limiti1ee8:uploadedi7ee";
const QBITTORRENT: &str = "\u{1}d14:completed_timei1700000000e13:file_priorityli1ei7ee13:finished_timei0e9:info-hash20:xxxxxxxxxxxxxxxxxxxx6:pausedi0e6:pieces2:\u{1}\u{1}12:qBt-category5:linux14:qBt-ratioLimiti1500e12:qBt-savePath2:/x8:qBt-tagsl1:ae9:save_path2:/x14:total_uploadedi3ee";
const RTORRENT: &str = "\u{2}d8:completei1e7:custom15:linux9:directory4:/x/n8:priorityi2e5:statei1ee\0d8:bitfieldi2e5:filesld9:completedi2e5:mtimei1700000000e8:priorityi1eed9:completedi2e5:mtimei1700000000e8:priorityi1eeee";
const DELUGE: &str = "\u{3}}(X\u{8}\0\0\0torrents](}(X\u{a}\0\0\0torrent_idX(\0\0\08edccc0b563555e1669db4f357f8d5e0326543efX\u{9}\0\0\0save_pathX\u{2}\0\0\0/xueu.";
/// A row of a session's store.
const ROW: &str = "d8:category5:films3:dir6:/srv/x8:move dir6:/srv/y11:move stampslli5ei-7ei9eelee13:move switchedi0e5:namesde6:pausedi0e5:peersl11:192.0.2.1:1e10:priorities2:-n4:ranki5e11:seed actioni1e10:seed ratioi4609434218613702656e10:sequentiali0e4:tagsl1:a1:be5:tiersll17:http://t/announceee8:trackersi1e9:web seedsi1ee";

const SOURCES: &[(&str, &[Source])] = &[
    ("api_request", &[Own(&[REQUEST, NAMED])]),
    ("bencode_decode", &[Vectors("bencode"), Torrents, Own(&[TORRENT, "d1:ai-1e1:bl1:c0:ee"])]),
    ("compact_peers", &[Own(&["axje.uidhtnm", "0123456789abcdef\u{1a}\u{1}"])]),
    ("config", &[Own(&[CONFIG, "[root]\n", "api = \"127.0.0.1:1\""])]),
    ("dht_bloom", &[Vectors("bep33_bloom")]),
    ("dht_items", &[Vectors("bep44_46_dht_items"), Vectors("ed25519")]),
    ("dht_saved", &[Own(&[SAVED])]),
    ("ext_handshake", &[Own(&[HELLO])]),
    (
        "ext_metadata",
        &[Own(&["d8:msg_typei1e5:piecei0e10:total_sizei5eehello", "d8:msg_typei0e5:piecei1ee"])],
    ),
    ("ext_pex", &[Own(&["d5:added6:axje.u7:added.f1:\u{2}7:dropped6:idhtnme"])]),
    ("ext_holepunch", &[Own(&["\0\0axje.u", "\u{2}\0axje.u\0\0\0\u{1}"])]),
    ("http_heads", &[Own(&["\u{40}\u{1}HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"])]),
    (
        "http_server",
        &[Own(&["\u{1}GET /announce?compact=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"])],
    ),
    ("importers", &[Own(&[TRANSMISSION, QBITTORRENT, RTORRENT, DELUGE])]),
    ("krpc_parse", &[Own(&[QUERY, ANSWER])]),
    ("lsd", &[Own(&[LSD])]),
    (
        "magnet",
        &[
            Vectors("magnet"),
            Own(&[
                "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=a&tr=udp://t&so=0,2-4",
                "x.pe=1.2.3.4:5&so=1",
            ]),
        ],
    ),
    ("recording", &[Own(&[RECORDS])]),
    (
        "safe_names",
        &[Vectors("sanitize_path"), Vectors("utf8_repair"), Own(&["CON.txt", "a\u{202e}b", "a/b"])],
    ),
    ("store_record", &[Own(&[ROW])]),
    ("swarm_stream", &[Own(&[STREAM])]),
    ("torrent_parse", &[Torrents, Own(&[TORRENT, FOLDER])]),
    (
        "tracker_http",
        &[Vectors("http_tracker_libtorrent"), Own(&["d8:completei5e8:intervali1800e5:peers6:axje.ue"])],
    ),
    (
        "tracker_udp",
        &[
            Vectors("bep15_41_udp_tracker"),
            Own(&["\0\0\0\u{1}\0\0\0\u{2}\0\0\0\u{3}\0\0\0\u{4}\0\0\0\u{5}axje.u"]),
        ],
    ),
    (
        "tracker_url",
        &[Vectors("ssrf"), Vectors("idna_hosts"), Own(&["http://h:1/announce?k=1", "udp://h:2/announce"])],
    ),
    ("wire_decode", &[Vectors("peer_wire_illegal"), Own(&[MESSAGES])]),
    ("wire_handshake", &[Own(&[HANDSHAKE])]),
];

/// Words of the formats: libFuzzer puts them together.
const WORDS: &[&str] = &[
    "4:info",
    "5:filesl",
    "6:lengthi1e",
    "4:name1:a",
    "12:piece lengthi16384e",
    "6:pieces20:01234567890123456789",
    "4:pathl1:aee",
    "8:announce8:http://t",
    "13:announce-listll",
    "8:url-list",
    "4:attr1:p",
    "12:meta versioni2e",
    "9:file treed",
    "12:piece layersd",
    "d0:d",
    "11:pieces root32:",
    "7:privatei1e",
    "1:y1:q",
    "1:y1:r",
    "1:y1:e",
    "1:rd",
    "1:ad",
    "2:id20:",
    "5:nodes",
    "6:nodes6",
    "6:values",
    "5:token",
    "9:info_hash20:",
    "6:target20:",
    "1:md6:ut_pexi1ee",
    "8:msg_typei1e",
    "5:piecei0e",
    "10:total_sizei5e",
    "5:added6:",
    "7:added.f1:",
    "7:dropped6:",
    "8:intervali9e",
    "5:peers6:",
    "6:peers618:",
    "8:completei7e",
    "12:min intervali5e",
    "8:completei",
    "14:failure reason1:x",
    "magnet:?xt=urn:btih:",
    "&x.pe=1.2.3.4:5",
    "&tr=udp://t",
    "&so=1,3-4",
    "so=1,5",
    "&dn=",
    "&ws=http://w",
    "&dht=h:1",
    "http://",
    "https://",
    "udp://",
    "u:p@",
    "/announce",
    "?k=v",
    "[::1]",
    "127.0.0.1",
    "%2e%2e",
    "CON",
    "..",
    "-qB4250-",
    "-UT355W-",
    "BT-SEARCH * HTTP/1.1\\x0d\\x0a",
    "Infohash: ",
    "Port: ",
    "HTTP/1.1 200 OK\\x0d\\x0a",
    "\\x0d\\x0a\\x0d\\x0a",
    "Content-Length: 7\\x0d\\x0a",
    "Content-Length",
    "Transfer-Encoding: chunked\\x0d\\x0a",
    "compact=1",
    "numwant=",
    "event=started",
    "left=0",
    "i1e",
    "l1:a1:b1:ce",
    "0:",
    "ee",
    "de",
    "le",
];

/// A dictionary as libFuzzer reads it.
pub(super) fn words() -> String {
    WORDS.iter().map(|word| format!("\"{}\"\n", word.replace('"', "\\\""))).collect()
}

/// Fills the folder with the seeds of a target; how many there are.
pub(super) fn write(folder: &Path, target: &str) -> Result<u64> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let sources = SOURCES.iter().find(|(of, _)| *of == target).map_or(&[][..], |(_, sources)| sources);
    let mut seeds: BTreeSet<Vec<u8>> = NOISE.into_iter().map(noise).collect();
    for source in sources {
        match source {
            Own(texts) => seeds.extend(texts.iter().map(|text| text.as_bytes().to_vec())),
            Torrents => seeds.extend(torrents()?),
            Vectors(name) => seeds.extend(vectors(name)?),
        }
    }
    let good = seeds.iter().filter(|seed| seed.len() <= MAX_LEN).take(MAX_SEEDS);
    let mut count = 0;
    for seed in good {
        fs::write(folder.join(format!("{count:03}")), seed)?;
        count += 1;
    }
    Ok(count)
}

fn corpus() -> PathBuf {
    env::var_os("RAWTORRENT_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from)
}

fn torrents() -> Result<Vec<Vec<u8>>> {
    let Ok(sources) = fs::read_dir(corpus().join("torrents")) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for source in sources {
        for file in fs::read_dir(source?.path())? {
            files.push(fs::read(file?.path())?);
        }
    }
    Ok(files)
}

/// None if the file is not there.
fn vectors(name: &str) -> Result<Vec<Vec<u8>>> {
    let path = corpus().join("vectors").join(name).with_extension("json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    collect(&serde_json::from_str(&text).with_context(|| path.display().to_string())?, &mut out);
    Ok(out)
}

fn collect(value: &Value, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => out.push(unhex(text).unwrap_or_else(|| text.clone().into_bytes())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    (rest.is_empty() && !pairs.is_empty())
        .then(|| pairs.iter().filter_map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect())
}

/// The same bytes each time (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ len as u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| byte()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_without_a_corpus() {
        let folder = tempfile::tempdir().unwrap();
        let count = write(folder.path(), "no such target").unwrap();
        assert_eq!(count, NOISE.len() as u64);
        let count = write(folder.path(), "wire_handshake").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count() as u64, count);
        assert!(count > NOISE.len() as u64, "and our own");
        assert!(noise(8) != noise(9)[..8]);
    }

    #[test]
    fn hex_is_bytes_and_text_is_text() {
        let mut out = Vec::new();
        collect(&serde_json::json!({"a": ["0aff", 3, "0af"], "b": {"c": "magnet:?"}}), &mut out);
        assert_eq!(out, [vec![0x0a, 0xff], b"0af".to_vec(), b"magnet:?".to_vec()]);
    }

    #[test]
    fn sources_are_those_of_targets() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        for (target, _) in SOURCES {
            assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
        }
        assert!(words().lines().all(|line| line.starts_with('"') && line.ends_with('"')));
    }
}
