//! Any bytes as what another client left of a torrent: it is refused or within the torrent, and nothing is believed of files
//! that are not there, or were changed since.
#![no_main]

use common::{dict_of, plant};
use import::{Categories, Found, Item, Look, Wishes, deluge, qbittorrent, rtorrent, transmission};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const TORRENT: &[u8] = b"d4:infod5:filesld6:lengthi20000e4:pathl1:aeed6:lengthi5e4:pathl1:beee4:name1:n12:piece lengthi16384e6:pieces40:0123456789012345678901234567890123456789ee";
const SIZES: [u64; 2] = [20_000, 5];
const WRITTEN: i64 = 2_000_000_000 * 1_000_000_000;
const KEYS: [&str; 16] = [
    "bitfield",
    "destination",
    "directory",
    "file_priority",
    "files",
    "incomplete-dir",
    "magnet-info",
    "magnet-uri",
    "mapped_files",
    "paused",
    "pieces",
    "progress",
    "qBt-category",
    "save_path",
    "state",
    "total_uploaded",
];

static ID: LazyLock<String> =
    LazyLock::new(|| metainfo::Metainfo::parse(TORRENT).expect("a torrent").info_hash().wire().to_string());

fn check(item: &Item) {
    check_wishes(item.wishes());
    match item {
        Item::Torrent(found) => check_torrent(found),
        Item::Link(link) => {
            let text = link.magnet.to_string();
            assert_eq!(metainfo::Magnet::parse(&text).map(|again| again.info_hash), Ok(item.info_hash()));
        }
    }
}

fn check_wishes(wishes: &Wishes) {
    for dir in wishes.dir_until_complete.iter().chain([&wishes.dir]) {
        assert!(!dir.is_empty() && !dir.contains(&0));
    }
    assert!(wishes.seed_ratio.is_none_or(|ratio| ratio >= 0.0 && ratio.is_finite()));
    for label in wishes.category.iter().chain(&wishes.tags) {
        assert!(!label.is_empty() && label.len() <= 255 && !label.contains(char::is_control));
    }
}

fn check_torrent(found: &Found) {
    let (pieces, files) = (found.metainfo.lengths().piece_count(), found.metainfo.files().len());
    assert_eq!((found.have.pieces.len(), found.have.files.len()), (pieces, files));
    assert_eq!(found.have.begun.len(), files);
    assert!(found.priorities.is_empty() || found.priorities.len() == files);
    assert!(found.names.keys().all(|&file| file < files));
    let nothing = found.have.judge(&found.metainfo, &[None; 2], WRITTEN);
    assert_eq!((nothing.pieces.count_ones(), nothing.believed), (0, 0));
    let look = |size, mtime_nanos| Some(Look { size, mtime_nanos });
    let late = SIZES.map(|size| look(size, WRITTEN));
    assert_eq!(found.have.judge(&found.metainfo, &late, WRITTEN).believed, 0);
    let short = SIZES.map(|size| look(size - 1, 1_700_000_000 * 1_000_000_000));
    assert_eq!(found.have.judge(&found.metainfo, &short, WRITTEN).believed, 0);
    let as_it_was = SIZES.map(|size| look(size, 1_700_000_000 * 1_000_000_000));
    let judged = found.have.judge(&found.metainfo, &as_it_was, WRITTEN);
    assert!(judged.believed <= judged.pieces.count_ones());
    plant(|| found.wishes.paused && found.have.pieces.count_ones() > 0);
}

fn read(client: u8, data: &[u8]) {
    let id = ID.as_str();
    match client % 4 {
        0 => {
            transmission::read(id, data, Some(TORRENT)).iter().for_each(check);
            transmission::read(id, data, Some(data)).iter().for_each(check);
        }
        1 => {
            qbittorrent::read(id, data, Some(TORRENT)).iter().for_each(check);
            qbittorrent::read(id, data, None).iter().for_each(check);
            let text = String::from_utf8_lossy(data).into_owned();
            let row = qbittorrent::Row {
                id: id.into(),
                category: Some(text.clone()),
                tags: Some(text),
                resume: data.into(),
                metadata: TORRENT.into(),
                ..qbittorrent::Row::default()
            };
            qbittorrent::read_row(&row).iter().for_each(check);
            let categories = Categories::read(data, data);
            assert!(categories.all().all(|(name, dir)| !name.is_empty() && dir.starts_with('/')));
            let _ = qbittorrent::is_in_database(data);
            qbittorrent::queue(row.category.as_deref().unwrap_or_default()).for_each(drop);
        }
        2 => {
            let mut parts = data.splitn(2, |&byte| byte == 0);
            let (state, resume) = (parts.next(), parts.next());
            for started_in in [None, Some(&b"/srv"[..])] {
                rtorrent::read(id, TORRENT, state, resume, started_in).iter().for_each(check);
                rtorrent::read(id, data, state, resume, started_in).iter().for_each(check);
            }
        }
        _ => {
            let resume = deluge::resume_data(data).unwrap_or_default();
            for pickle in [data.to_vec(), [b"\x80\x02", data].concat()] {
                for listed in deluge::list(&pickle).into_iter().flatten() {
                    let of = resume.values().next().map(Vec::as_slice).or(Some(data));
                    listed.read(of, Some(TORRENT)).iter().for_each(check);
                    listed.read(of, None).iter().for_each(check);
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&client, data)) = data.split_first() else { return };
    read(client, data);
    read(client, &dict_of(&KEYS, data));
    let name = String::from_utf8_lossy(data);
    for id in [transmission::id_of(&name), qbittorrent::id_of(&name), rtorrent::id_of(&name)] {
        assert!(id.is_none_or(|id| !id.contains('/')));
    }
});
