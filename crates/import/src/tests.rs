//! Sessions as clients write them, read; and mutated, so that nothing is believed that is not there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{Found, Have, Item, Link, Look, Refused, deluge, qbittorrent, rtorrent, transmission};
use bencode::{DictEncoder, encode_dict};
use core::time::Duration;
use metainfo::Metainfo;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;
use swarm::Priority;
use types::{Bitfield, PieceIndex};

/// Seconds since 1970: when the files were changed last, when they were complete, when that was written down.
const CHANGED: i64 = 1_700_000_000;
const COMPLETE: i64 = 1_700_000_005;
const WRITTEN: i64 = 1_700_001_000;
const PIECES: u32 = 6;
const SIZES: [u64; 3] = [40_000, 50_001, 5];

/// Files of 40,000, 50,001 and 5 bytes, in pieces of 16 KiB.
pub(crate) fn torrent() -> Vec<u8> {
    torrent_in_pieces(16_384)
}

fn torrent_in_pieces(len: u32) -> Vec<u8> {
    let total: u64 = SIZES.iter().sum();
    let hashes = 20 * usize::try_from(total.div_ceil(len.into())).unwrap();
    encode_dict(|torrent| {
        torrent.bytes("announce", "http://t/announce");
        torrent.dict("info", |info| {
            info.list("files", |files| {
                for (name, size) in ["a", "b", "c"].into_iter().zip(SIZES) {
                    files.dict(|file| {
                        file.int("length", size.cast_signed());
                        file.list("path", |path| path.bytes(name));
                    });
                }
            });
            info.bytes("name", "folder");
            info.int("piece length", len);
            info.bytes("pieces", vec![7; hashes]);
        });
    })
}

pub(crate) fn id() -> String {
    Metainfo::parse(&torrent()).unwrap().info_hash().wire().to_string()
}

/// What is there of the torrent, and what its client wrote of it.
#[derive(Clone)]
struct State {
    /// By piece.
    good: [bool; PIECES as usize],
    looks: Vec<Option<Look>>,
    unwanted: [bool; 3],
    /// When all that was wanted was there.
    completed: i64,
}

impl State {
    fn complete() -> State {
        let look = |size| Some(Look { size, mtime_nanos: CHANGED * 1_000_000_000 });
        State {
            good: [true; 6],
            looks: SIZES.into_iter().map(look).collect(),
            unwanted: [false; 3],
            completed: COMPLETE,
        }
    }

    /// Those that are to go wrong if anything does: what is claimed is not all there, in one way or another.
    fn all() -> Vec<State> {
        let complete = State::complete();
        let mut unfinished = complete.clone();
        (unfinished.good[1], unfinished.completed) = (false, 0);
        let mut last_missing = complete.clone();
        (last_missing.good[5], last_missing.completed) = (false, 0);
        let mut nothing = State { good: [false; 6], completed: 0, ..complete.clone() };
        nothing.looks = vec![None, nothing.looks[1], nothing.looks[2]];
        // Finished but for a file that nobody wanted, of which one piece is not there.
        let mut unwanted = complete.clone();
        (unwanted.good[4], unwanted.unwanted[1]) = (false, true);
        vec![complete, unfinished, last_missing, nothing, unwanted]
    }

    fn has(&self) -> Bitfield {
        let mut has = Bitfield::new(PIECES);
        (0..PIECES).filter(|&piece| self.good[piece as usize]).for_each(|piece| {
            has.insert(PieceIndex::new(piece));
        });
        has
    }

    fn is_complete(&self) -> bool {
        self.has().is_full()
    }
}

type Read = Vec<Result<Item, Refused>>;

/// What a client left, file by file, and how that is read.
struct Client {
    name: &'static str,
    write: fn(&State) -> Vec<Vec<u8>>,
    read: fn(&[Vec<u8>]) -> Read,
}

const CLIENTS: [Client; 5] = [
    Client { name: "Transmission", write: write_transmission, read: read_transmission },
    Client { name: "qBittorrent", write: write_qbittorrent, read: read_qbittorrent },
    Client { name: "qBittorrent's database", write: write_row, read: read_row },
    Client { name: "rTorrent", write: write_rtorrent, read: read_rtorrent },
    Client { name: "Deluge", write: write_deluge, read: read_deluge },
];

fn write_transmission(state: &State) -> Vec<Vec<u8>> {
    let resume = encode_dict(|d| {
        d.int("added-date", 12);
        d.bytes("destination", "/srv/x");
        d.list("dnd", |list| state.unwanted.iter().for_each(|&no| list.int(i64::from(no))));
        d.int("downloaded", 90_006);
        d.dict("idle-limit", |limit| {
            limit.int("idle-limit", 4);
            limit.int("idle-mode", 1);
        });
        d.bytes("incomplete-dir", "/srv/until");
        d.list("labels", |list| list.bytes("linux"));
        d.int("paused", 1);
        d.list("priority", |list| (0..3).for_each(|_| list.int(0)));
        d.dict("progress", |progress| {
            match state.is_complete() {
                true => {
                    progress.bytes("blocks", "all");
                    progress.bytes("have", "all");
                }
                false => progress.bytes("blocks", state.has().as_bytes()),
            }
            progress.list("time-checked", |list| {
                list.int(COMPLETE);
                list.list(|times| {
                    times.int(CHANGED);
                    (1..6).for_each(|offset| times.int(offset));
                });
                list.int(COMPLETE);
            });
        });
        d.dict("ratio-limit", |limit| {
            limit.bytes("ratio-limit", "1.500000");
            limit.int("ratio-mode", 1);
        });
        d.dict("speed-limit-down", |limit| {
            limit.int("speed-Bps", 100_000);
            limit.int("use-speed-limit", 1);
        });
        d.dict("speed-limit-up", |limit| {
            limit.int("speed-Bps", 100_000);
            limit.int("use-speed-limit", 0);
        });
        d.int("seeding-time-seconds", 77);
        d.int("uploaded", 3);
    });
    vec![resume, torrent()]
}

fn read_transmission(files: &[Vec<u8>]) -> Read {
    vec![transmission::read(&id(), &files[0], Some(&files[1]))]
}

fn libtorrent(state: &State, save_path: &str, more: impl FnOnce(&mut DictEncoder<'_>)) -> Vec<u8> {
    encode_dict(|d| {
        d.int("auto_managed", 0);
        d.int("completed_time", state.completed);
        d.bytes("file-format", "libtorrent resume file");
        d.list("file_priority", |list| state.unwanted.iter().for_each(|&no| list.int(i64::from(!no))));
        d.int("paused", 1);
        if state.unwanted[1] {
            // Those that lie in no other file.
            d.bytes("piece_priority", [1, 1, 1, 0, 0, 1]);
        }
        d.bytes("pieces", state.good.map(u8::from));
        more(d);
        d.bytes("save_path", save_path);
        d.int("total_downloaded", 90_006);
        d.int("seeding_time", 77);
        d.int("total_uploaded", 3);
        d.list("trackers", |tiers| tiers.list(|tier| tier.bytes("http://other/announce")));
    })
}

/// Where it lies.
fn until(state: &State) -> &'static str {
    if state.completed > 0 { "/srv/x" } else { "/srv/until" }
}

fn write_qbittorrent(state: &State) -> Vec<Vec<u8>> {
    let resume = libtorrent(state, until(state), |d| {
        d.bytes("qBt-category", "linux");
        d.bytes("qBt-downloadPath", "/srv/until");
        d.int("qBt-inactiveSeedingTimeLimit", 4);
        d.int("qBt-ratioLimit", 1500);
        d.bytes("qBt-savePath", "/srv/x");
        d.int("qBt-seedStatus", i64::from(state.completed > 0));
        d.int("qBt-seedingTimeLimit", 3);
        d.list("qBt-tags", |tags| tags.bytes("one"));
    });
    vec![resume, torrent()]
}

fn read_qbittorrent(files: &[Vec<u8>]) -> Read {
    vec![qbittorrent::read(&id(), &files[0], Some(&files[1]))]
}

fn write_row(state: &State) -> Vec<Vec<u8>> {
    vec![libtorrent(state, until(state), |_| {}), torrent(), vec![u8::from(state.completed > 0)]]
}

fn read_row(files: &[Vec<u8>]) -> Read {
    let row = qbittorrent::Row {
        id: id(),
        queue_position: 12,
        category: Some("linux".into()),
        save_path: Some("/srv/x/".into()),
        name: None,
        tags: Some("one,two".into()),
        ratio_limit: 1500,
        seeding_time_limit: 3,
        inactive_seeding_time_limit: 4,
        is_seed: files[2] == [1],
        is_stopped: true,
        resume: files[0].clone(),
        metadata: files[1].clone(),
    };
    vec![qbittorrent::read_row(&row)]
}

fn write_rtorrent(state: &State) -> Vec<Vec<u8>> {
    let metainfo = Metainfo::parse(&torrent()).unwrap();
    let done = encode_dict(|d| {
        d.int("chunks_done", i64::from(state.has().count_ones()));
        d.int("complete", i64::from(state.is_complete()));
        d.bytes("custom1", "linux%20iso");
        d.bytes("directory", "/srv/x/folder");
        d.int("state", 0);
        d.int("timestamp.started", 12);
        d.int("total_downloaded", 90_006);
        d.int("total_uploaded", 3);
    });
    let resume = encode_dict(|d| {
        match state.is_complete() {
            true => d.int("bitfield", PIECES),
            false => d.bytes("bitfield", state.has().as_bytes()),
        }
        d.list("files", |files| {
            for (number, unwanted) in state.unwanted.into_iter().enumerate() {
                let pieces = metainfo.file_pieces(number);
                let completed = pieces.filter(|&piece| state.good[piece as usize]).count();
                files.dict(|file| {
                    file.int("completed", i64::try_from(completed).unwrap());
                    file.int("mtime", CHANGED);
                    file.int("priority", i64::from(!unwanted));
                });
            }
        });
    });
    vec![resume, torrent(), done]
}

fn read_rtorrent(files: &[Vec<u8>]) -> Read {
    vec![rtorrent::read(&id(), &files[1], Some(&files[2]), Some(&files[0]), None)]
}

fn write_deluge(state: &State) -> Vec<Vec<u8>> {
    let mut pickle = b"\x80\x02cm\nS\nq\x00)\x81}q\x01X\x08\x00\x00\x00torrents](cm\nT\n)\x81}(".to_vec();
    let mut put = |key: &str, value: &[u8]| {
        pickle.push(b'X');
        pickle.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
        pickle.extend(key.as_bytes());
        pickle.extend(value);
    };
    let text =
        |text: &str| [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let flag = |flag: bool| vec![if flag { 0x88 } else { 0x89 }];
    put("torrent_id", &text(&id()));
    put("save_path", &text(until(state)));
    put("move_completed", &flag(true));
    put("move_completed_path", &text("/srv/x"));
    put("paused", &flag(true));
    put("is_finished", &flag(state.completed > 0));
    put("stop_at_ratio", &flag(true));
    put("remove_at_ratio", &flag(true));
    put("stop_ratio", &[&b"G"[..], &1.5_f64.to_be_bytes()].concat());
    put("max_download_speed", &[&b"G"[..], &97.65625_f64.to_be_bytes()].concat());
    put("max_upload_speed", b"J\xff\xff\xff\xff");
    put("queue", b"K\x0c");
    let priorities: Vec<u8> = state.unwanted.iter().flat_map(|&no| [b'K', if no { 0 } else { 4 }]).collect();
    put("file_priorities", &[b"](", &priorities[..], b"e"].concat());
    pickle.extend(b"ubesb.");
    let resume = libtorrent(state, until(state), |_| {});
    let fastresume = encode_dict(|d| d.bytes(id(), resume));
    vec![fastresume, torrent(), pickle]
}

fn read_deluge(files: &[Vec<u8>]) -> Read {
    let resume = deluge::resume_data(&files[0]).unwrap_or_default();
    let listed = match deluge::list(&files[2]) {
        Ok(listed) => listed,
        Err(err) => return vec![Err(err)],
    };
    let read = |listed: &deluge::Listed| {
        listed.read(resume.get(listed.id.as_bytes()).map(Vec::as_slice), Some(&files[1]))
    };
    listed.iter().map(read).collect()
}

fn read_one(client: &Client, state: &State) -> Found {
    let mut read = (client.read)(&(client.write)(state));
    assert_eq!(read.len(), 1, "{}", client.name);
    torrent_of(read.remove(0).unwrap())
}

fn torrent_of(item: Item) -> Found {
    match item {
        Item::Torrent(found) => *found,
        Item::Link(link) => panic!("{link:?}"),
    }
}

#[test]
fn a_torrent_is_seeded_since_all_that_was_wanted_was_there() {
    let state = State::complete();
    for (finished, seconds) in [(None, 77), (Some(99), 99), (Some(0), 0), (Some(-1), 0)] {
        let resume =
            libtorrent(&state, "/srv/x", |d| finished.into_iter().for_each(|n| d.int("finished_time", n)));
        let found = torrent_of(read_qbittorrent(&[resume, torrent()]).remove(0).unwrap());
        assert_eq!(found.seeded.as_secs(), seconds, "{finished:?}");
    }
}

fn link_of(item: Result<Item, Refused>) -> Link {
    match item.unwrap() {
        Item::Link(link) => *link,
        Item::Torrent(found) => panic!("{}", found.metainfo.name()),
    }
}

#[test]
fn what_was_chosen_is_taken_over() {
    for client in &CLIENTS {
        let name = client.name;
        let found = read_one(client, &State::complete());
        assert_eq!((found.downloaded, found.uploaded), (90_006, 3), "{name}");
        assert!(found.priorities.is_empty() && found.names.is_empty(), "{name}");
        let seeded = if name == "rTorrent" { 0 } else { 77 };
        assert_eq!(found.seeded, Duration::from_secs(seeded), "{name}");
        let wishes = &found.wishes;
        assert_eq!(wishes.removed_when_seeded, name == "Deluge");
        assert!(wishes.paused, "{name}");
        let bare = wishes.dir.strip_suffix(b"/").unwrap_or(&wishes.dir);
        assert_eq!(bare, b"/srv/x", "{name}");
        let has_ratio = name != "rTorrent";
        assert_eq!(wishes.seed_ratio, has_ratio.then_some(1.5), "{name}");
        let has_limit = matches!(name, "Transmission" | "Deluge");
        assert_eq!((wishes.max_down, wishes.max_up), (has_limit.then_some(100_000), None), "{name}");
        let is_of_qbittorrent = name.starts_with("qB");
        assert_eq!(wishes.seed_time, is_of_qbittorrent.then_some(Duration::from_secs(180)), "{name}");
        let has_idle = is_of_qbittorrent || name == "Transmission";
        assert_eq!(wishes.seed_idle, has_idle.then_some(Duration::from_secs(240)), "{name}");
        let labels: Vec<&str> = wishes.category.iter().chain(&wishes.tags).map(String::as_str).collect();
        let expected: &[&str] = match name {
            "Transmission" => &["linux"],
            "qBittorrent" => &["linux", "one"],
            "rTorrent" => &["linux iso"],
            "Deluge" => &[],
            _ => &["linux", "one", "two"],
        };
        assert_eq!(labels, expected, "{name}");
        let trackers = found.metainfo.trackers().concat();
        let has_own = matches!(name, "Transmission" | "rTorrent");
        assert_eq!(trackers, [if has_own { "http://t/announce" } else { "http://other/announce" }], "{name}");
        let unwanted = read_one(client, &State { unwanted: [false, true, false], ..State::complete() });
        assert_eq!(unwanted.priorities, [Priority::Normal, Priority::Skip, Priority::Normal], "{name}");
    }
}

#[test]
fn what_is_not_complete_may_lie_elsewhere() {
    for client in &CLIENTS {
        let until = |state: &State| read_one(client, state).wishes.dir_until_complete;
        let elsewhere = Some(b"/srv/until".to_vec());
        // Transmission writes it down of all.
        let of_complete = elsewhere.clone().filter(|_| client.name == "Transmission");
        assert_eq!(until(&State::complete()), of_complete, "{}", client.name);
        let expected = elsewhere.filter(|_| client.name != "rTorrent");
        assert_eq!(until(&State::all()[1]), expected, "{}", client.name);
    }
}

fn judge(have: &Have, state: &State) -> crate::Judged {
    have.judge(&Metainfo::parse(&torrent()).unwrap(), &state.looks, WRITTEN * 1_000_000_000)
}

#[test]
fn what_is_complete_is_believed_and_the_rest_hashed() {
    for client in &CLIENTS {
        for (number, state) in State::all().iter().enumerate() {
            let found = read_one(client, state);
            assert_eq!(found.have.pieces, state.has(), "{} {number}", client.name);
            let judged = judge(&found.have, state);
            let (expected, hashed) = match (number, client.name) {
                (0, _) => (6, 6),
                // Of each file it is told whether that one is complete.
                (1, "rTorrent") => (3, 6),
                (2, "rTorrent") => (2, 6),
                (4, "rTorrent") => (2, 6),
                (3, _) => (0, 3),
                _ => (0, 6),
            };
            assert_eq!(
                (judged.believed, judged.pieces.count_ones()),
                (expected, hashed),
                "{} {number}",
                client.name
            );
        }
        let mut changed = State::complete();
        changed.looks[0] = Some(Look { size: SIZES[0], mtime_nanos: WRITTEN * 1_000_000_000 + 1 });
        let judged = judge(&read_one(client, &State::complete()).have, &changed);
        assert_eq!((judged.believed, judged.trusted), (3, vec![false, true, true]), "{}", client.name);
    }
}

/// Of the fifth piece, the first block of the second file that lies in no other one.
const BEGUN: usize = 4;

#[test]
fn files_are_claimed_where_blocks_of_them_are_there() {
    let nothing = State::all().remove(3);
    for client in &CLIENTS {
        let claimed = judge(&read_one(client, &nothing).have, &State::complete()).claimed;
        assert_eq!(claimed, [false; 3], "{}", client.name);
    }
    let claimed = |item: Item| judge(&torrent_of(item).have, &State::complete()).claimed;
    let unfinished = |bits: &'static [u8]| {
        libtorrent(&nothing, "/srv/x", |d| {
            d.list("unfinished", |list| {
                for piece in [-1, BEGUN as i64, i64::from(PIECES), i64::MAX] {
                    list.dict(|d| {
                        d.bytes("bitmask", bits);
                        d.int("piece", piece);
                    });
                }
            });
        })
    };
    let second = [false, true, false];
    for (bits, expected) in
        [(&b"\x80"[..], second), (b"\x40", [false; 3]), (b"\x7f\xff", [false; 3]), (b"", [false; 3])]
    {
        let of_qbittorrent = qbittorrent::read(&id(), &unfinished(bits), Some(&torrent())).unwrap();
        assert_eq!(claimed(of_qbittorrent), expected, "{bits:?}");
        let listed = &deluge::list(&write_deluge(&nothing)[2]).unwrap()[0];
        let of_deluge = listed.read(Some(&unfinished(bits)), Some(&torrent())).unwrap();
        assert_eq!(claimed(of_deluge), expected, "{bits:?}");
    }
    let torrent = torrent_in_pieces(65_536);
    let id = Metainfo::parse(&torrent).unwrap().info_hash().wire().to_string();
    for (bits, expected) in
        [(&b"\x08"[..], second), (b"\x20", [true, true, false]), (b"\x04", [false, true, true])]
    {
        let resume = encode_dict(|d| {
            d.bytes("destination", "/srv/x");
            d.dict("progress", |progress| progress.bytes("blocks", bits));
        });
        let found = torrent_of(transmission::read(&id, &resume, Some(&torrent)).unwrap());
        let judged = found.have.judge(&found.metainfo, &State::complete().looks, WRITTEN);
        assert_eq!((found.have.pieces.count_ones(), judged.claimed), (0, expected.to_vec()), "{bits:?}");
    }
}

#[test]
fn what_is_missing_or_another_is_told() {
    let complete = State::complete();
    let transmission = write_transmission(&complete);
    assert_eq!(transmission::read(&id(), &transmission[0], None), Err(Refused::Missing("its torrent file")));
    assert_eq!(
        transmission::read(&"0".repeat(40), &transmission[0], Some(&torrent())),
        Err(Refused::Another)
    );
    assert_eq!(transmission::read(&id(), b"le", Some(&torrent())), Err(Refused::Damaged("its resume file")));
    assert_eq!(qbittorrent::read(&id(), b"de", Some(&torrent())), Err(Refused::Damaged("its resume data")));
    assert_eq!(
        rtorrent::read(&id(), &torrent(), None, None, None),
        Err(Refused::Missing("its .rtorrent file"))
    );
    assert_eq!(deluge::list(b"(dp0\n."), Err(Refused::TooOld("torrents.state")));
    assert_eq!(deluge::list(b"\x80\x02N."), Err(Refused::Damaged("torrents.state")));
    let without_resume = &deluge::list(&write_deluge(&complete)[2]).unwrap()[0];
    let found = torrent_of(without_resume.read(None, Some(&torrent())).unwrap());
    assert_eq!(judge(&found.have, &complete).believed, 0);
}

#[test]
fn files_that_were_renamed_are_found() {
    let complete = State::complete();
    let mapped = |d: &mut DictEncoder<'_>| {
        d.list("mapped_files", |list| {
            for name in ["folder/a", "other/b.!qB", "c"] {
                list.bytes(name);
            }
        });
    };
    let names = |item: Item| torrent_of(item).names.into_iter().collect::<Vec<_>>();
    let expected = |b: &str| [(1, b.to_owned()), (2, "c".to_owned())];
    let resume = libtorrent(&complete, "/srv/x", mapped);
    let read = qbittorrent::read(&id(), &resume, Some(&torrent())).unwrap();
    assert_eq!(names(read), expected("other/b"));
    let listed = &deluge::list(&write_deluge(&complete)[2]).unwrap()[0];
    let read = listed.read(Some(&resume), Some(&torrent())).unwrap();
    assert_eq!(names(read), expected("other/b.!qB"), "Deluge calls none so");

    let resume = encode_dict(|d| {
        d.bytes("destination", "/srv/x");
        d.list("files", |list| ["folder/a", "other/b", "c"].into_iter().for_each(|name| list.bytes(name)));
        d.bytes("name", "other");
    });
    let read = transmission::read(&id(), &resume, Some(&torrent())).unwrap();
    assert_eq!(names(read), expected("other/b"));

    let elsewhere = encode_dict(|d| d.bytes("directory", "/srv/other/"));
    let read = torrent_of(rtorrent::read(&id(), &torrent(), Some(&elsewhere), None, None).unwrap());
    assert_eq!(read.wishes.dir, b"/srv/other");
    assert_eq!(names(read.into()), [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())]);
}

/// It writes down no blocks.
#[test]
fn where_rtorrent_has_pieces_it_may_have_begun_each_file() {
    for (has, begun) in [(true, [true; 3]), (false, [false; 3])] {
        let mut state = State::complete();
        state.good = [false; 6];
        state.good[0] = has;
        let read = read_rtorrent(&write_rtorrent(&state)).remove(0).unwrap();
        assert_eq!(torrent_of(read).have.begun, begun);
    }
}

#[test]
fn folders_below_that_in_which_rtorrent_was_started_are_found() {
    let read = |directory: &str, started_in: Option<&str>| {
        let state = encode_dict(|d| d.bytes("directory", directory));
        let read = rtorrent::read(&id(), &torrent(), Some(&state), None, started_in.map(str::as_bytes));
        read.map(|item| String::from_utf8(item.wishes().dir.clone()).unwrap())
    };
    for (directory, expected) in [
        ("./folder", "/srv/x"),
        ("./other", "/srv/x/other"),
        ("down/folder", "/srv/x/down"),
        ("./", "/srv/x"),
        ("/a/folder", "/a"),
    ] {
        for started_in in ["/srv/x", "/srv/x/"] {
            assert_eq!(read(directory, Some(started_in)).as_deref(), Ok(expected), "{directory}");
        }
    }
    let refused = read("./folder", None).unwrap_err();
    assert!(
        refused.to_string().contains("./folder") && refused.to_string().contains("--started-in"),
        "{refused}"
    );
    assert_eq!(read("", Some("/srv/x")), Err(Refused::NoDir));
    assert_eq!(read("~/x", Some("/srv/x")), Ok("~/x".into()), "the home of another, maybe");
}

#[test]
fn a_link_without_metadata_is_a_link() {
    let complete = State::complete();
    let hash = "ab".repeat(20);
    let text = format!("magnet:?xt=urn:btih:{hash}&dn=some%20name&tr=http%3A%2F%2Ft%2Fannounce");
    let must_be = |link: Link, name: &str| {
        assert_eq!(link.magnet.to_string(), text, "{name}");
        assert_eq!(link.wishes.dir, b"/srv/x", "{name}");
    };
    let resume = &write_transmission(&complete)[0];
    let parts = encode_dict(|d| {
        d.bytes("announce", "http://t/announce");
        d.dict("magnet-info", |link| {
            link.bytes("display-name", "some name");
            link.bytes("info_hash", [0xab; 20]);
        });
    });
    must_be(link_of(transmission::read(&hash, resume, Some(&parts))), "Transmission");
    must_be(link_of(transmission::read(&hash, resume, Some(text.as_bytes()))), "a newer one");

    let resume = encode_dict(|d| {
        d.bytes("file-format", "libtorrent resume file");
        d.bytes("name", "some name");
        d.bytes("qBt-name", "");
        d.bytes("save_path", "/srv/x");
        d.list("trackers", |tiers| tiers.list(|tier| tier.bytes("http://t/announce")));
    });
    must_be(link_of(qbittorrent::read(&hash, &resume, None)), "qBittorrent");
    let row = qbittorrent::Row {
        id: hash.clone(),
        name: Some("some name".into()),
        resume: resume.clone(),
        ..qbittorrent::Row::default()
    };
    must_be(link_of(qbittorrent::read_row(&row)), "its database");

    let mut pickle = write_deluge(&complete).remove(2);
    let at = pickle.windows(40).position(|window| window == id().as_bytes()).unwrap();
    pickle[at..at + 40].copy_from_slice(hash.as_bytes());
    let listed = &deluge::list(&pickle).unwrap()[0];
    must_be(link_of(listed.read(Some(&resume), None)), "Deluge");
    assert_eq!(link_of(listed.read(None, None)).magnet.name, None);

    let torrent = encode_dict(|d| {
        d.dict("info", |info| info.bytes("name", "x.meta"));
        d.bytes("magnet-uri", &text);
    });
    let state = encode_dict(|d| d.bytes("directory", "/srv/x"));
    must_be(link_of(rtorrent::read(&hash, &torrent, Some(&state), None, None)), "rTorrent");
}

#[test]
fn labels_and_trackers_are_bounded() {
    use crate::limits::{MAX_LABEL, MAX_TAGS, MAX_TRACKERS};
    let many = encode_dict(|d| {
        d.bytes("file-format", "libtorrent resume file");
        d.bytes("qBt-category", "x\x1b\n".repeat(MAX_LABEL + 1));
        d.list("qBt-tags", |tags| (0..=MAX_TAGS).for_each(|tag| tags.bytes(format!("{tag}"))));
        d.bytes("save_path", "/x");
        d.list("trackers", |tiers| {
            (0..=MAX_TRACKERS)
                .for_each(|tier| tiers.list(|urls| urls.bytes(format!("http://{tier}/announce"))));
        });
    });
    let found = torrent_of(qbittorrent::read(&id(), &many, Some(&torrent())).unwrap());
    assert_eq!(found.wishes.category, Some("x".repeat(MAX_LABEL)));
    assert_eq!(found.wishes.tags.len(), MAX_TAGS);
    assert!(found.metainfo.trackers().len() <= MAX_TRACKERS);
}

/// What stands before that which matters most.
const KEYS: &[&str] =
    &["6:pieces6:", "completed_time", "6:blocks", "8:bitfield", "time-checked", "5:mtimei", "qBt-seedStatus"];

/// Changes some bytes, as disks and bugs do: others, more, or fewer of them; here and there, or where it matters.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let key = rng.choice(KEYS).unwrap().as_bytes();
    let spot = bytes.windows(key.len()).position(|window| window == key).map(|at| at + key.len());
    let is_aimed = rng.bool();
    for _ in 0..rng.usize(1..=4) {
        let last = bytes.len().saturating_sub(1);
        let at = match spot.filter(|_| is_aimed) {
            Some(spot) => (spot + rng.usize(..10)).min(last),
            None => rng.usize(..=last),
        };
        match rng.u32(..7) {
            0 if !is_aimed => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.u8(..)),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << rng.u32(..8),
            4 if !bytes.is_empty() => bytes[at] = *rng.choice(b"0123456789dlie:\xff\x00\x01").unwrap(),
            5 if !is_aimed => {
                let end = rng.usize(at..=bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.usize(..=bytes.len());
                drop(bytes.splice(to..to, copy));
            }
            _ if !bytes.is_empty() => bytes[at] = rng.u8(..),
            _ => {}
        }
    }
}

/// How many mutations of each client's files in each state; more are told.
fn mutations() -> usize {
    std::env::var("RAWTORRENT_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

#[test]
fn mutated_sessions_never_make_a_false_piece() {
    let truth = Metainfo::parse(&torrent()).unwrap().info_hash();
    let (mut taken, mut believed) = (0, 0);
    for client in &CLIENTS {
        for (number, state) in State::all().iter().enumerate() {
            let files = (client.write)(state);
            for seed in 0..mutations() {
                let mut rng = fastrand::Rng::with_seed(seed as u64);
                let mut mutated = files.clone();
                let which = rng.usize(..mutated.len());
                mutate(&mut rng, &mut mutated[which]);
                for item in (client.read)(&mutated).into_iter().flatten() {
                    let Item::Torrent(found) = item else { continue };
                    assert_eq!(found.metainfo.info_hash(), truth, "{} {number} seed {seed}", client.name);
                    taken += 1;
                    let judged = judge(&found.have, state);
                    let is_trusted = |piece: PieceIndex| {
                        let range = found.metainfo.lengths().piece_range(piece);
                        found.metainfo.file_slices(range).all(|slice| judged.trusted[slice.file])
                    };
                    for piece in judged.pieces.ones().filter(|&piece| is_trusted(piece)) {
                        believed += 1;
                        let is_good = state.good[piece.index()];
                        assert!(is_good, "{} {number} seed {seed}: piece {}", client.name, piece.get());
                    }
                }
            }
        }
    }
    assert!(taken > 100 && believed > 100, "{taken} {believed}");
}
