//! What other clients' own tests say about torrent files, magnet links, names and hash trees: the corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside of `#[test]` functions

use metainfo::names::{Rules, repair_utf8, safe_element};
use metainfo::{FileKind, Limits, Magnet, Metainfo, Shelf, merkle};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where we differ on purpose: the case, and why.
const DEVIATIONS: &[(&str, &str)] = &[(
    "torrents/libtorrent/v2_multiple_files.torrent",
    "counts a pad file after the last file, which BEP 52 does not ask for: nothing follows that would be aligned",
)];

/// A torrent that was put away.
struct Kept(Vec<u8>, Range<usize>);

impl Shelf for Kept {
    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        into.copy_from_slice(&self.0[self.1.start + at..][..into.len()]);
        true
    }

    fn whole(&self) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }

    fn expect_reads(&self, _: bool) {}
}

#[test]
fn torrent_files() {
    let Some(cases) = cases("torrent_files.json", |json| json) else { return };
    report("torrent files", &cases, |case| {
        let file = case["file"].as_str().unwrap();
        let torrent = std::fs::read(corpus().unwrap().join(file)).unwrap();
        let expected = &case["third_party_expectation"];
        let found = match (expected["outcome"].as_str().unwrap(), Metainfo::parse(&torrent)) {
            ("invalid", Err(error)) => {
                println!("{file}: {error}");
                BTreeSet::new()
            }
            ("invalid", Ok(_)) => BTreeSet::from(["accepted"]),
            (_, Err(error)) => {
                println!("{file}: {error}");
                BTreeSet::from(["refused"])
            }
            (_, Ok(metainfo)) => {
                let mut wrong = wrong_facts(&case["facts"], &metainfo);
                wrong.extend(wrong_expectations(expected, &metainfo, &torrent));
                let shelved =
                    metainfo.shelved(|whole, info| Some(Arc::new(Kept(whole.to_vec(), info)))).unwrap();
                if Metainfo::from_shelf(shelved.shelf().unwrap()) != Ok(metainfo) {
                    wrong.insert("otherwise when read again");
                }
                wrong
            }
        };
        (file.to_owned(), found)
    });
}

#[test]
fn magnets() {
    let Some(cases) = cases("magnet.json", |json| json["cases"].clone()) else { return };
    report("magnet", &cases, |case| {
        let link = match case["uri"].as_str() {
            Some(uri) => uri.as_bytes().to_vec(),
            None => unhex(case["uri_hex"].as_str().unwrap()),
        };
        let expected = &case["expect"];
        let found = match (expected["ok"].as_bool().unwrap(), Magnet::parse(&link)) {
            (true, Ok(magnet)) => wrong_parts(expected, &magnet),
            (true, Err(_)) => BTreeSet::from(["refused"]),
            (false, Ok(_)) => BTreeSet::from(["accepted"]),
            (false, Err(_)) => BTreeSet::new(),
        };
        (case["id"].as_str().unwrap().to_owned(), found)
    });
}

/// The parts of a magnet link that are expected to be otherwise; what the case does not speak of is right.
fn wrong_parts(expected: &Json, magnet: &Magnet) -> BTreeSet<&'static str> {
    let text = |list: &[metainfo::magnet::HostPort]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let selected: Vec<u32> = magnet.select_only.iter().flatten().cloned().flatten().collect();
    [
        ("btih", Json::from(magnet.info_hash.v1().map(|hash| hash.to_string()))),
        ("btmh", Json::from(magnet.info_hash.v2().map(|hash| hash.to_string()))),
        ("name", Json::from(magnet.name.clone())),
        ("trackers", Json::from(magnet.trackers.clone())),
        ("web_seeds", Json::from(magnet.web_seeds.clone())),
        ("peers", Json::from(text(&magnet.peers))),
        ("dht_nodes", Json::from(text(&magnet.dht_nodes))),
        ("select_only", Json::from(selected)),
    ]
    .into_iter()
    .filter(|(part, found)| expected.get(part).is_some_and(|expected| expected != found))
    .map(|(part, _)| part)
    .collect()
}

/// What was established by reading the file with nobody's client.
fn wrong_facts(facts: &Json, metainfo: &Metainfo) -> BTreeSet<&'static str> {
    let mut wrong = BTreeSet::new();
    let mut check = |what, ok: bool| {
        if !ok {
            wrong.insert(what);
        }
    };
    let hash = metainfo.info_hash();
    check("v1 hash", hash.v1().is_none_or(|h| facts["sha1_of_info"] == h.to_string()));
    check("v2 hash", hash.v2().is_none_or(|h| facts["sha256_of_info"] == h.to_string()));
    check("has v1", facts["has_pieces"] == hash.v1().is_some());
    check("has v2", facts["has_file_tree"] == hash.v2().is_some());
    check("info size", facts["info_size"] == metainfo.info_bytes().unwrap().len());
    check("piece length", facts["piece_length"] == metainfo.lengths().piece_length());
    if let Some(bytes) = facts["pieces_bytes"].as_u64() {
        check("pieces", bytes == 20 * u64::from(metainfo.lengths().piece_count()));
        let last = metainfo.lengths().pieces().next_back().unwrap();
        check("last hash", metainfo.piece_hash(last).unwrap().is_some());
    }
    check("private", facts["private"].as_u64().unwrap_or(0) == u64::from(metainfo.is_private()));
    if let Some(length) = facts["v1_single_length"].as_u64() {
        check("length", !metainfo.is_multi_file() && metainfo.files()[0].length == length);
    }
    if let Some(count) = facts["v1_file_count"].as_u64() {
        check("file count", metainfo.is_multi_file() && metainfo.files().len() as u64 == count);
        for (file, fact) in metainfo.files().iter().zip(facts["v1_files"].as_array().unwrap()) {
            let attr = fact["attr"].as_str().unwrap_or("");
            let is_link = matches!(file.kind, FileKind::Symlink { .. });
            check("symlink", attr.contains('l') == is_link);
            check("executable", attr.contains('x') == file.executable);
            check("size", is_link || fact["length"] == file.length);
        }
    }
    if hash.v1().is_none() {
        let files: Vec<_> = metainfo.files().iter().filter(|file| !file.is_pad()).collect();
        check("v2 file count", facts["v2_file_count"] == files.len());
        for (file, fact) in files.iter().zip(facts["v2_files"].as_array().unwrap()) {
            check("v2 size", fact["length"] == file.length);
            check(
                "root",
                fact["pieces_root"].as_str() == file.pieces_root.as_deref().copied().map(hex).as_deref(),
            );
            check(
                "alignment",
                file.length == 0 || file.offset % u64::from(metainfo.lengths().piece_length()) == 0,
            );
        }
    }
    let trackers: Vec<&String> = metainfo.trackers().iter().flatten().collect();
    match facts["announce_list_tiers"].as_u64() {
        Some(tiers @ 1..) => check("tiers", metainfo.trackers().len() as u64 == tiers),
        _ => check(
            "announce",
            facts["announce"].as_str().map(str::trim) == trackers.first().map(|t| t.as_str()),
        ),
    }
    wrong
}

/// What the project that the file comes from expects of it.
fn wrong_expectations(expected: &Json, metainfo: &Metainfo, torrent: &[u8]) -> BTreeSet<&'static str> {
    let files = metainfo.files();
    let by_index = |key: &str, of: &dyn Fn(usize) -> Option<Json>| {
        let empty = serde_json::Map::new();
        let map = expected[key].as_object().unwrap_or(&empty);
        map.iter().all(|(index, value)| of(index.parse().unwrap()).is_some_and(|found| found == *value))
    };
    let path = |index: usize| Some(Json::from(files.get(index)?.path.as_str()));
    let original_path = |index: usize| {
        // A renamed file is listed under both of its names.
        let is_renamed = expected["renamed"].get(index.to_string()).is_some();
        if is_renamed { expected["file_paths"].get(index.to_string()).cloned() } else { path(index) }
    };
    let is = |key: &str, found: Json| expected.get(key).is_none_or(|value| *value == found);
    let hash = metainfo.info_hash();
    let nodes: Vec<String> =
        metainfo.dht_nodes().iter().map(|(host, port)| format!("{host}:{port}")).collect();
    let similar: Vec<String> = metainfo.similar().iter().map(ToString::to_string).collect();
    let pads: Vec<bool> = files.iter().map(metainfo::File::is_pad).collect();
    let checks = [
        ("num_files", is("num_files", files.len().into())),
        ("num_files_min", expected["num_files_min"].as_u64().is_none_or(|min| files.len() as u64 >= min)),
        ("file_paths", by_index("file_paths", &original_path)),
        ("renamed", by_index("renamed", &path)),
        ("file_sizes", by_index("file_sizes", &|index| Some(files.get(index)?.length.into()))),
        (
            "pieces_roots",
            by_index("pieces_roots", &|index| Some(hex(**files.get(index)?.pieces_root.as_ref()?).into())),
        ),
        (
            "symlink_targets",
            by_index("symlink_targets", &|index| match &files.get(index)?.kind {
                FileKind::Symlink { target } => Some(target.as_str().into()),
                _ => None,
            }),
        ),
        ("pad_flags", is("pad_flags", pads.into())),
        ("name", is("name", metainfo.name().into())),
        ("piece_length", is("piece_length", metainfo.lengths().piece_length().into())),
        ("creation_date", is("creation_date", metainfo.creation_date().into())),
        ("collections", is("collections", metainfo.collections().to_vec().into())),
        ("similar", is("similar", similar.into())),
        ("dht_nodes", is("dht_nodes", nodes.into())),
        ("has_v1", is("has_v1", hash.v1().is_some().into())),
        ("has_v2", is("has_v2", hash.v2().is_some().into())),
        ("info_hash_v2", is("info_hash_v2", hash.v2().map(|h| h.to_string()).into())),
        ("tracker_0", is("tracker_0", metainfo.trackers().iter().flatten().next().cloned().into())),
        ("web_seed_count", is("web_seed_count", metainfo.web_seeds().len().into())),
        ("web_seed_0", is("web_seed_0", metainfo.web_seeds().first().cloned().into())),
        ("reencodes", expected["reencodes_byte_identical"] != true || reencodes(torrent)),
    ];
    checks.into_iter().filter(|(_, ok)| !ok).map(|(what, _)| what).collect()
}

/// Whether the file's entries, info dictionary and all, come out of our encoder as they went in.
fn reencodes(torrent: &[u8]) -> bool {
    let document = bencode::decode(torrent).unwrap();
    let entries = document.root().as_dict().unwrap();
    bencode::encode_dict(|d| entries.for_each(|(key, value)| d.value(key, value))) == torrent
}

#[test]
fn sanitize_path() {
    let Some(cases) = cases("sanitize_path.json", |json| json["cases"].clone()) else { return };
    report("sanitize_path", &cases, |case| {
        let elements: Vec<Vec<u8>> =
            case["elements_hex"].as_array().unwrap().iter().map(|e| unhex(e.as_str().unwrap())).collect();
        let force = case["force_element"] == true;
        let path = |rules| {
            let safe = elements.iter().map(|element| safe_element(element, rules));
            let kept: Vec<String> = safe.filter_map(|e| e.or(force.then(|| "_".to_owned()))).collect();
            kept.join("/")
        };
        let mut wrong = BTreeSet::new();
        if case["posix"] != path(Rules::Posix) {
            wrong.insert("posix");
        }
        if case["windows"].as_str().is_some_and(|expected| expected != path(Rules::Windows)) {
            wrong.insert("windows");
        }
        (case["id"].as_str().unwrap().to_owned(), wrong)
    });
}

#[test]
fn utf8_repair() {
    let Some(cases) = cases("utf8_repair.json", |json| json["cases"].clone()) else { return };
    report("utf8_repair", &cases, |case| {
        let id = case["input_hex"].as_str().unwrap();
        let raw = unhex(id);
        let agrees =
            case["output"] == repair_utf8(&raw) && case["valid"] == std::str::from_utf8(&raw).is_ok();
        (id.to_owned(), if agrees { BTreeSet::new() } else { BTreeSet::from(["output"]) })
    });
}

#[test]
fn directory_depth() {
    let Some(cases) = cases("directory_depth.json", |json| json["cases"].clone()) else { return };
    report("directory_depth", &cases, |case| {
        let depth = usize::try_from(case["depth"].as_u64().unwrap()).unwrap();
        let torrent = bencode::encode_dict(|d| {
            d.dict("info", |d| {
                d.bytes("name", "root");
                d.int("piece length", 16384);
                d.bytes("pieces", [b'a'; 20]);
                d.list("files", |l| {
                    l.dict(|d| {
                        d.int("length", 1);
                        d.list("path", |l| {
                            (1..depth).for_each(|_| l.bytes("d"));
                            l.bytes("file.txt");
                        });
                    });
                });
            });
        });
        let mut limits = Limits::default();
        if let Some(limit) = case["limit"].as_u64() {
            limits.max_path_depth = usize::try_from(limit).unwrap();
        }
        let accepted = Metainfo::parse_with(&torrent, limits).is_ok();
        let agrees = accepted == (case["outcome"] == "valid");
        (depth.to_string(), if agrees { BTreeSet::new() } else { BTreeSet::from(["outcome"]) })
    });
}

#[test]
fn merkle_generated() {
    let Some(cases) = cases("merkle_bep52.json", |json| json["generated"].clone()) else { return };
    report("merkle_bep52 generated", &cases, |case| {
        let length = usize::try_from(case["length"].as_u64().unwrap()).unwrap();
        let piece_length = u32::try_from(case["piece_length"].as_u64().unwrap()).unwrap();
        let (root, layer) = tree(&pattern(length), piece_length);
        let layer_agrees = match &case["piece_layer"] {
            Json::Array(expected) => layer.iter().map(|h| Json::from(hex(*h))).eq(expected.iter().cloned()),
            summary => {
                let digest: [u8; 32] = Sha256::digest(layer.as_flattened()).into();
                summary["count"] == layer.len() && summary["sha256_of_layer"] == hex(digest)
            }
        };
        let mut wrong = BTreeSet::new();
        if case["pieces_root"] != Json::from(root.map(hex)) {
            wrong.insert("root");
        }
        if !layer_agrees {
            wrong.insert("layer");
        }
        (format!("{length}/{piece_length}"), wrong)
    });
}

/// The root of a file and, if it has more than one piece, their hashes.
fn tree(content: &[u8], piece_length: u32) -> (Option<merkle::Hash>, Vec<merkle::Hash>) {
    let blocks: Vec<merkle::Hash> = content.chunks(16384).map(|block| Sha256::digest(block).into()).collect();
    let height = merkle::height(blocks.len() as u64);
    let root = (!content.is_empty()).then(|| merkle::root(blocks.iter().copied(), height, merkle::NO_BLOCK));
    if content.len() <= piece_length as usize {
        return (root, Vec::new());
    }
    let piece_height = merkle::piece_height(piece_length);
    let pieces = blocks.chunks(1 << piece_height);
    let layer: Vec<merkle::Hash> =
        pieces.map(|piece| merkle::root(piece.iter().copied(), piece_height, merkle::NO_BLOCK)).collect();
    let above = merkle::height(layer.len() as u64);
    assert_eq!(Some(merkle::root(layer.iter().copied(), above, merkle::padding(piece_height))), root);
    (root, layer)
}

/// `pat(n)` of the corpus: hashes of a counter, cut to `length` bytes.
fn pattern(length: usize) -> Vec<u8> {
    let seed = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = Vec::with_capacity(length + 32);
    for k in 0u32.. {
        if bytes.len() >= length {
            break;
        }
        let hash =
            Sha256::new().chain_update(b"rawtorrent-merkle").chain_update(seed).chain_update(k.to_be_bytes());
        bytes.extend_from_slice(&hash.finalize());
    }
    bytes.truncate(length);
    bytes
}

/// The layers of third-party torrents, each in a file of its own that the corpus may or may not hold.
#[test]
fn merkle_third_party() {
    let Some(mut cases) = cases("merkle_bep52.json", |json| json["third_party_layers"].clone()) else {
        return;
    };
    let all = cases.len();
    cases.retain(|case| corpus().unwrap().join(case["file"].as_str().unwrap()).is_file());
    println!(
        "corpus merkle_bep52 third party: {} of {all} are of files that are not there",
        all - cases.len()
    );
    report("merkle_bep52 third party", &cases, |case| {
        let torrent = std::fs::read(corpus().unwrap().join(case["file"].as_str().unwrap())).unwrap();
        let parsed = Metainfo::parse(&torrent);
        let is_good = matches!(case["layer_check"].as_str().unwrap(), "ok" | "missing");
        let agrees = match &parsed {
            // A torrent that was accepted has no bad layer, and the file of this one.
            Ok(metainfo) => {
                let root = case["pieces_root"].as_str();
                let has_root =
                    |file: &metainfo::File| file.pieces_root.as_deref().copied().map(hex).as_deref() == root;
                is_good && metainfo.files().iter().any(has_root)
            }
            Err(_) => case["expected_outcome"] == "invalid",
        };
        let id = format!("{}: {}", case["file"].as_str().unwrap(), case["path"]);
        (id, if agrees { BTreeSet::new() } else { BTreeSet::from(["outcome"]) })
    });
}

/// Prints how many cases agree; each that does not must be a known deviation, and each known one must not.
fn report(what: &str, cases: &[Json], check: impl Fn(&Json) -> (String, BTreeSet<&'static str>)) {
    let mut wrong = Vec::new();
    let mut deviations = 0;
    for case in cases {
        let (id, found) = check(case);
        let known = DEVIATIONS.iter().any(|(deviation, _)| *deviation == id);
        deviations += usize::from(known);
        if found.is_empty() == known {
            wrong.push((id, found));
        }
    }
    let agree = cases.len() - deviations - wrong.len();
    println!("corpus {what}: {agree} of {} agree, {deviations} deviations (docs/corpus.md)", cases.len());
    assert!(wrong.is_empty(), "neither agree nor are known to deviate (or agree again): {wrong:#?}");
}

fn cases(file: &str, pick: impl Fn(Json) -> Json) -> Option<Vec<Json>> {
    let Some(dir) = corpus() else {
        println!("corpus: not found, 0 cases");
        return None;
    };
    let json = std::fs::read_to_string(dir.join("vectors").join(file)).unwrap();
    Some(pick(serde_json::from_str(&json).unwrap()).as_array().unwrap().clone())
}

/// The folder of third-party cases, if there is one.
fn corpus() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let dir = std::env::var_os("RAWTORRENT_CORPUS").map_or_else(default, PathBuf::from);
    dir.is_dir().then_some(dir)
}

fn hex(hash: [u8; 32]) -> String {
    types::InfoHashV2(hash).to_string()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
