//! Engines on loopback, through the public interface only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

use engine::create::CreateTorrent;
use engine::events::Direction;
use engine::{
    AddMagnet, AddTorrent, Engine, Error, EventKind, Magnet, Metainfo, Priority, SeedGoal, Settings, Torrent,
    TorrentState, TrackerServer,
};
use pollster::block_on;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PIECE: u32 = 64 * 1024;

/// A folder with a torrent's content, and the torrent.
struct Source {
    dir: TempDir,
    metainfo: Metainfo,
}

/// Bytes that look like no other file's.
fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    })
    .take(len)
    .collect()
}

fn source(files: &[(&str, usize)], tracker: Option<&str>) -> Source {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("album");
    for (at, (name, len)) in files.iter().enumerate() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(*len, at as u64 + 1)).unwrap();
    }
    let mut create = CreateTorrent::new(&root).piece_length(PIECE);
    if let Some(url) = tracker {
        create = create.tracker(url);
    }
    let metainfo = Metainfo::parse(&create.make(|_, _| {}).unwrap().bytes).unwrap();
    Source { dir, metainfo }
}

fn album() -> Source {
    source(&[("a.bin", 1_000_000), ("empty", 0), ("sub/b.bin", 70_001), ("sub/c", 1), ("z", 333_333)], None)
}

fn engine(state: &Path) -> Engine {
    engine_with(state, |_| {})
}

fn engine_with(state: &Path, change: impl FnOnce(&mut Settings)) -> Engine {
    let mut settings = Settings::new(state);
    settings.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.lsd = false;
    change(&mut settings);
    Engine::start(settings).unwrap()
}

/// An engine that seeds `source`, and where.
fn seeder(source: &Source, state: &Path) -> (Engine, SocketAddr) {
    let engine = engine(state);
    let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true);
    let torrent = block_on(engine.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    let addr = engine.listen_addrs()[0];
    (engine, addr)
}

/// Asserts that `copy` holds the same files as `original`, and no others.
fn assert_same(original: &Path, copy: &Path) {
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(original), names(copy));
    for name in names(original) {
        let (a, b) = (original.join(&name), copy.join(&name));
        if a.is_dir() {
            assert_same(&a, &b);
        } else {
            assert!(fs::read(&a).unwrap() == fs::read(&b).unwrap(), "{} differs", b.display());
        }
    }
}

#[test]
fn a_piece_that_cannot_be_read_is_fetched_again() {
    let source = source(&[("a.bin", 1_000_000)], None);
    let states = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_seeder, seed) = seeder(&source, states[0].path());
    let [there, behind] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let middle = engine(states[1].path());
    let mut events = middle.events();
    let add = AddTorrent::new(source.metainfo.clone(), there.path()).peers(vec![seed]);
    let torrent = block_on(middle.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();

    let file = fs::File::options().write(true).open(there.path().join("album/a.bin")).unwrap();
    file.set_len(900_000).unwrap();
    let leecher = engine(states[2].path());
    let peers = vec![middle.listen_addrs()[0]];
    let add = AddTorrent::new(source.metainfo.clone(), behind.path()).peers(peers);
    let last = block_on(leecher.add(add)).unwrap();
    block_on(last.wait_finished()).unwrap();
    block_on(leecher.shutdown());
    block_on(middle.shutdown());
    assert_same(source.dir.path(), behind.path());
    assert_same(source.dir.path(), there.path());
    let told = std::iter::from_fn(|| block_on(events.next()));
    let mut lost: Vec<_> = told.filter_map(|event| lost_piece(&event.kind)).collect();
    lost.sort_unstable();
    assert_eq!(lost, [13, 14, 15], "900,000 bytes hold 13 of 16 pieces");
}

fn lost_piece(kind: &EventKind) -> Option<u32> {
    match kind {
        EventKind::PieceLost { piece } => Some(*piece),
        _ => None,
    }
}

#[test]
fn a_seed_that_lost_pieces_goes_on_with_the_others() {
    let source = source(&[("a.bin", 1_000_000)], None);
    let states = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (seed, addr) = seeder(&source, states[0].path());
    let mut told = seed.events();
    let file = fs::File::options().write(true).open(source.dir.path().join("album/a.bin")).unwrap();
    file.set_len(900_000).unwrap();
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(states[1].path());
    let mut heard = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let torrent = block_on(leecher.add(add)).unwrap();
    let mut verified = 0;
    while verified < 13 {
        let event = block_on(heard.next()).unwrap();
        verified += u32::from(matches!(event.kind, EventKind::PieceVerified { .. }));
    }
    let mut lost = Vec::new();
    while lost.len() < 3 {
        lost.extend(lost_piece(&block_on(told.next()).unwrap().kind));
    }
    lost.sort_unstable();
    assert_eq!(lost, [13, 14, 15]);
    block_on(torrent.stop()).unwrap();
    assert_eq!(torrent.stats().have_pieces, 13);
}

#[test]
fn a_scrub_finds_what_the_disk_forgot() {
    let source = source(&[("a.bin", 1_000_000)], None);
    let states = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (_seed, addr) = seeder(&source, states[0].path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(states[1].path(), |settings| settings.scrub = Some(1 << 30));
    let mut told = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let torrent = block_on(leecher.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    let copy = to.path().join("album/a.bin");
    let mut file = fs::File::options().read(true).write(true).open(&copy).unwrap();
    // The sixth piece of 64 KiB.
    for at in [5 * 65_536, 5 * 65_536 + 3] {
        let mut byte = [0];
        file.seek(SeekFrom::Start(at)).unwrap();
        file.read_exact(&mut byte).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&[!byte[0]]).unwrap();
    }
    let mut kinds = std::iter::from_fn(|| block_on(told.next())).map(|event| event.kind);
    assert_eq!(kinds.find_map(|kind| lost_piece(&kind)), Some(5));
    kinds.find(|kind| matches!(kind, EventKind::PieceVerified { piece: 5, .. })).unwrap();
    assert_same(source.dir.path(), to.path());
    block_on(leecher.shutdown());
    assert_eq!(kinds.filter_map(|kind| lost_piece(&kind)).count(), 0, "the others are good");
}

#[test]
fn a_folder_comes_over_whole() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let mut events = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let torrent = block_on(leecher.add(add)).unwrap();
    let finished = block_on(torrent.wait_finished()).unwrap();
    assert_eq!(finished.bytes, 1_403_335);
    assert_eq!(finished.path, to.path().join("album"));
    block_on(torrent.stop()).unwrap();
    assert_eq!(torrent.stats().state, TorrentState::Stopped);
    assert_same(source.dir.path(), to.path());
    block_on(leecher.shutdown());

    let mut verified = 0;
    let mut said = Vec::new();
    while let Some(event) = block_on(events.next()) {
        match event.kind {
            EventKind::PieceVerified { .. } => verified += 1,
            EventKind::Message { said: what, .. } => said.push(what.name()),
            _ => {}
        }
    }
    assert_eq!(verified, source.metainfo.lengths().piece_count());
    for name in ["unchoke", "interested", "request", "piece", "extended"] {
        assert!(said.contains(&name), "{name} is among what was said");
    }
}

#[test]
fn peers_find_each_other_through_a_tracker() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let source = source(&[("one", 2_000_000)], Some(&tracker.announce_url()));
    let state = tempfile::tempdir().unwrap();
    let (_seeder, _) = seeder(&source, state.path());
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let engines: Vec<_> = (0..3).map(|_| engine(state.path())).collect();
    let torrents: Vec<_> = engines
        .iter()
        .zip(&folders)
        .map(|(engine, dir)| {
            block_on(engine.add(AddTorrent::new(source.metainfo.clone(), dir.path()))).unwrap()
        })
        .collect();
    for (torrent, dir) in torrents.iter().zip(&folders) {
        block_on(torrent.wait_finished()).unwrap();
        assert_same(source.dir.path(), dir.path());
    }
}

#[test]
fn trackers_hear_of_it_when_nobody_downloads_what_a_link_named() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let source = source(&[("one", 100_000)], Some(&tracker.announce_url()));
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    for is_refused in [false, true] {
        let state = tempfile::tempdir().unwrap();
        let leecher = engine_with(state.path(), |settings| settings.allow_private = true);
        let mut events = leecher.events();
        let link = AddMagnet::new(Magnet::from(&source.metainfo)).peers(vec![addr]);
        let mut fetch = block_on(leecher.fetch_metadata(link)).unwrap();
        let fetched = block_on(fetch.wait()).unwrap();
        if is_refused {
            let nothing = fetched.into_add(state.path()).files(vec![false]);
            assert!(matches!(block_on(leecher.add(nothing)), Err(Error::NothingSelected)));
        } else {
            drop(fetched);
        }
        block_on(leecher.shutdown());
        let told = std::iter::from_fn(|| block_on(events.next()));
        let announced: Vec<_> = told.filter_map(|event| announced(&event.kind).map(str::to_owned)).collect();
        assert_eq!(announced, ["started", "stopped"]);
    }
}

fn announced(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::Announcing { event, .. } => event.as_deref(),
        _ => None,
    }
}

#[test]
fn only_selected_files_come_about() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let wanted = |names: &[&str]| -> Vec<bool> {
        let files = source.metainfo.files().iter();
        files.map(|file| names.contains(&file.path.file_name())).collect()
    };
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let torrent = block_on(leecher.add(add.clone().files(wanted(&["b.bin", "empty"])))).unwrap();
    assert_eq!(block_on(torrent.wait_finished()).unwrap().bytes, 70_001);
    block_on(torrent.stop()).unwrap();
    let album = to.path().join("album");
    assert!(album.join("empty").exists() && !album.join("a.bin").exists() && !album.join("z").exists());
    assert_eq!(fs::read(album.join("sub/b.bin")).unwrap(), noise(70_001, 3));

    // The rest, later: what the boundary pieces brought is not fetched again.
    let torrent = block_on(leecher.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    block_on(torrent.stop()).unwrap();
    assert_same(source.dir.path(), to.path());
    assert!(torrent.stats().downloaded <= 1_403_335 + 1, "{}", torrent.stats().downloaded);
    assert!(matches!(
        block_on(leecher.add(AddTorrent::new(source.metainfo.clone(), to.path()).files(wanted(&[])))),
        Err(Error::NothingSelected)
    ));
    let skipped = vec![Priority::Skip; source.metainfo.files().len()];
    assert!(matches!(
        block_on(leecher.add(AddTorrent::new(source.metainfo.clone(), to.path()).priorities(skipped))),
        Err(Error::NothingSelected)
    ));
}

#[test]
fn files_of_any_priority_come_about_but_skipped_ones() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let priority = |name: &str| match name {
        "b.bin" => Priority::High,
        "empty" => Priority::Low,
        _ => Priority::Skip,
    };
    let priorities = source.metainfo.files().iter().map(|file| priority(file.path.file_name())).collect();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]).priorities(priorities);
    let torrent = block_on(leecher.add(add)).unwrap();
    assert_eq!(block_on(torrent.wait_finished()).unwrap().bytes, 70_001);
    block_on(torrent.stop()).unwrap();
    let album = to.path().join("album");
    assert!(album.join("empty").exists() && !album.join("a.bin").exists() && !album.join("z").exists());
    assert_eq!(fs::read(album.join("sub/b.bin")).unwrap(), noise(70_001, 3));
}

#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let source = source(&[("one", 8_000_000)], None);
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let add = || AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let slow = engine_with(state.path(), |settings| settings.max_down = Some(4_000_000));
    let mut events = slow.events();
    let torrent = block_on(slow.add(add())).unwrap();
    let mut verified = 0;
    while verified < 20 {
        if matches!(block_on(events.next()).unwrap().kind, EventKind::PieceVerified { .. }) {
            verified += 1;
        }
    }
    block_on(slow.shutdown());
    block_on(torrent.wait_stopped()).unwrap();

    let again = engine(state.path());
    let mut events = again.events();
    let torrent = block_on(again.add(add())).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    block_on(again.shutdown());
    let mut late = 0;
    while let Some(event) = block_on(events.next()) {
        match event.kind {
            EventKind::PieceVerified { .. } => late += 1,
            EventKind::Checking { pieces } => panic!("{pieces} pieces are checked after a clean stop"),
            _ => {}
        }
    }
    assert!(late + verified <= source.metainfo.lengths().piece_count(), "{late} + {verified}");
    assert_same(source.dir.path(), to.path());
    assert_eq!(torrent.stats().downloaded, 8_000_000, "counters go on, and no byte came twice");
}

/// Both send some of one large piece: who lied is known when the piece is right at last.
#[test]
fn a_liar_that_shares_a_piece_is_banned_and_the_honest_peer_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let content = noise(4 << 20, 1);
    fs::write(dir.path().join("one"), &content).unwrap();
    let create = CreateTorrent::new(dir.path().join("one")).piece_length(4 << 20);
    let metainfo = Metainfo::parse(&create.make(|_, _| {}).unwrap().bytes).unwrap();
    let source = Source { dir, metainfo };
    let liars = Source { dir: tempfile::tempdir().unwrap(), metainfo: source.metainfo.clone() };
    let lies = liars.dir.path().join("one");
    fs::write(&lies, &content).unwrap();
    let states = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_honest, honest) = seeder(&source, states[0].path());
    let (_liar, liar) = seeder(&liars, states[1].path());
    // It was checked already. Every block of it is wrong now.
    fs::write(&lies, content.iter().map(|byte| !byte).collect::<Vec<u8>>()).unwrap();

    let to = tempfile::tempdir().unwrap();
    // Slow enough that one has not sent everything before the other is there.
    let leecher = engine_with(states[2].path(), |settings| settings.max_down = Some(8_000_000));
    let mut events = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![honest, liar]);
    let torrent = block_on(leecher.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    block_on(leecher.shutdown());
    assert!(fs::read(to.path().join("one")).unwrap() == content);
    let mut bans = Vec::new();
    while let Some(event) = block_on(events.next()) {
        if let EventKind::Banned { peer, reason, .. } = event.kind {
            bans.push((peer, reason));
        }
    }
    let [(banned, reason)] = &bans[..] else { panic!("{bans:?}") };
    assert_eq!(banned.addr, Some(liar));
    assert!(banned.number.is_some(), "it was connected: {banned:?}");
    assert!(reason.contains("of piece 0 came from it and was wrong"), "{reason}");
}

#[test]
fn two_hands_on_one_download_are_refused() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let (one, two) = (engine(state.path()), engine(state.path()));
    let add = || AddTorrent::new(source.metainfo.clone(), to.path());
    let torrent = block_on(one.add(add())).unwrap();
    assert!(matches!(block_on(one.add(add())), Err(Error::AlreadyAdded(_))));
    assert!(matches!(block_on(two.add(add())), Err(Error::InUse(_))));
    block_on(torrent.stop()).unwrap();
    block_on(two.add(add())).unwrap();
}

#[test]
fn somebody_elses_file_is_left_alone() {
    let source = source(&[("one", 100_000)], None);
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("album")).unwrap();
    fs::write(to.path().join("album/one"), "a diary").unwrap();
    let leecher = engine(state.path());
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    let torrent = block_on(leecher.add(add.clone())).unwrap();
    let err = block_on(torrent.wait_finished()).unwrap_err();
    assert_eq!(err.kind(), "file_in_the_way");
    assert_eq!(fs::read(to.path().join("album/one")).unwrap(), b"a diary");
    let torrent = block_on(leecher.add(add.overwrite(true))).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    assert_same(source.dir.path(), to.path());
}

#[test]
fn a_seed_goal_ends_the_torrent() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let seeding = engine(state.path());
    let goal = SeedGoal { ratio: Some(1.0), ..SeedGoal::default() };
    let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true).seed_goal(goal);
    let seed = block_on(seeding.add(add)).unwrap();
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(seeding.listen_addrs().to_vec());
    block_on(async { leecher.add(add).await.unwrap().wait_finished().await }).unwrap();
    block_on(seed.wait_stopped()).unwrap();
    assert!(seed.stats().uploaded >= 1_403_335);

    let goal = SeedGoal { time: Some(Duration::ZERO), ..SeedGoal::default() };
    let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true).seed_goal(goal);
    block_on(async { seeding.add(add).await.unwrap().wait_stopped().await }).unwrap();
}

/// A super seed (BEP 16) seems to have nothing, and still gives everything to a peer that is alone with it.
#[test]
fn a_super_seed_gives_everything() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let seeding = engine(state.path());
    let mut events = seeding.events();
    let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true).super_seed(true);
    let seed = block_on(seeding.add(add)).unwrap();
    block_on(seed.wait_finished()).unwrap();
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(seeding.listen_addrs().to_vec());
    block_on(async { leecher.add(add).await.unwrap().wait_finished().await }).unwrap();
    assert_same(source.dir.path(), to.path());
    let first = block_on(async {
        loop {
            match events.next().await.unwrap().kind {
                EventKind::Message { direction: Direction::Out, said, .. } => return said.name(),
                _ => continue,
            }
        }
    });
    assert_eq!(first, "have none");
}

#[test]
fn nothing_to_seed_is_said() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let engine = engine(state.path());
    let add = AddTorrent::new(source.metainfo.clone(), empty.path()).seed_only(true);
    let err = block_on(async { engine.add(add).await.unwrap().wait_finished().await }).unwrap_err();
    assert_eq!(err.kind(), "nothing_to_seed");
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "seeding creates nothing");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let state = tempfile::tempdir().unwrap();
    let one = engine(state.path());
    let mut settings = Settings::new(state.path());
    settings.listen = one.listen_addrs().to_vec();
    assert!(matches!(Engine::start(settings), Err(Error::Listen { .. })));
}

#[test]
fn a_seed_tells_what_it_uploads() {
    let source = source(&[("one", 3_000_000)], None);
    let state = tempfile::tempdir().unwrap();
    let seeding = engine_with(state.path(), |settings| settings.max_up = Some(3_000_000));
    let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true);
    let seed = block_on(seeding.add(add)).unwrap();
    block_on(seed.wait_finished()).unwrap();
    assert_eq!(
        seed.stats().have_pieces,
        source.metainfo.lengths().piece_count(),
        "numbers come with the end"
    );
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let mut events = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(seeding.listen_addrs().to_vec());
    let torrent = block_on(leecher.add(add)).unwrap();
    let mut seen = false;
    while !seen {
        match block_on(events.next()).unwrap().kind {
            EventKind::Finished => break,
            _ => seen = seed.stats().peers == 1 && seed.stats().rate_up > 0,
        }
    }
    assert!(seen, "a peer and a rate are shown while it uploads");
    block_on(torrent.wait_finished()).unwrap();
}

#[test]
fn a_small_limit_slows_and_never_stops() {
    let source = source(&[("one", 1_500_000)], None);
    let state = tempfile::tempdir().unwrap();
    let seeds: Vec<_> = (0..6).map(|_| seeder(&source, state.path())).collect();
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(state.path(), |settings| settings.max_down = Some(500_000));
    let peers = seeds.iter().map(|(_, addr)| *addr).collect();
    let torrent =
        block_on(leecher.add(AddTorrent::new(source.metainfo.clone(), to.path()).peers(peers))).unwrap();
    let finished = block_on(torrent.wait_finished()).unwrap();
    assert_same(source.dir.path(), to.path());
    block_on(torrent.stop()).unwrap();
    assert!(torrent.stats().wasted < 500_000, "{} bytes in vain", torrent.stats().wasted);
    assert!(finished.elapsed >= Duration::from_secs(2), "{:?}", finished.elapsed);
}

#[test]
fn a_stop_while_it_begins_leaves_nothing_in_its_own_way() {
    let source = album();
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let add = || AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]);
    for _ in 0..20 {
        let torrent = block_on(leecher.add(add())).unwrap();
        block_on(torrent.stop()).unwrap();
    }
    let torrent = block_on(leecher.add(add())).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    assert_same(source.dir.path(), to.path());
}

/// Two torrents, and an engine that seeds both.
fn two_seeded(len: usize, state: &Path) -> ([Source; 2], Engine) {
    let sources = ["one", "two"].map(|name| source(&[(name, len)], None));
    let seeding = engine(state);
    for source in &sources {
        let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true);
        block_on(async { seeding.add(add).await.unwrap().wait_finished().await }).unwrap();
    }
    (sources, seeding)
}

/// Downloads both from `seeding`, each into a folder of its own below `to`.
fn download_both(leecher: &Engine, sources: &[Source; 2], seeding: &Engine, to: &Path) -> [Torrent; 2] {
    [0, 1].map(|at| {
        let add = AddTorrent::new(sources[at].metainfo.clone(), to.join(at.to_string()));
        block_on(leecher.add(add.peers(seeding.listen_addrs().to_vec()))).unwrap()
    })
}

#[test]
fn torrents_share_a_limit_fairly() {
    let state = tempfile::tempdir().unwrap();
    let (sources, seeding) = two_seeded(1_200_000, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(state.path(), |settings| settings.max_down = Some(800_000));
    let mut events = leecher.events();
    let torrents = download_both(&leecher, &sources, &seeding, to.path());
    let pieces = sources[0].metainfo.lengths().piece_count();
    let mut verified = [0, 0];
    // What each had when both had begun and had been seen to want more than there is, which takes half a second.
    let mut before = None;
    let first = loop {
        let event = block_on(events.next()).unwrap();
        let at = usize::from(event.torrent == torrents[1].info_hash());
        match event.kind {
            EventKind::PieceVerified { .. } => {
                verified[at] += 1;
                if before.is_none() && !verified.contains(&0) && verified[0] + verified[1] >= pieces / 2 {
                    before = Some(verified);
                }
            }
            EventKind::Finished => break event.at,
            _ => {}
        }
    };
    let before = before.expect("neither waits for the other's end");
    let [one, two] = [0, 1].map(|at| verified[at] - before[at]);
    assert!(one.min(two) * 4 >= one.max(two) * 3, "{before:?}, then {verified:?} of {pieces}");
    // Both at the same time: it takes as long as both take, not as one alone.
    assert!(first >= Duration::from_millis(2_200), "{first:?}");
    let ends = torrents.each_ref().map(|torrent| block_on(torrent.wait_finished()).unwrap().elapsed);
    assert!(ends.iter().max().unwrap() >= &Duration::from_millis(2_900), "{ends:?}");
    assert!(ends.iter().max().unwrap() < &Duration::from_secs(6), "{ends:?}");
    for (at, source) in sources.iter().enumerate() {
        assert_same(source.dir.path(), &to.path().join(at.to_string()));
    }
}

#[test]
fn a_limit_of_its_own_leaves_the_rest_to_others() {
    let state = tempfile::tempdir().unwrap();
    let (sources, seeding) = two_seeded(1_000_000, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(state.path(), |settings| settings.max_down = Some(1_000_000));
    let [slow, fast] = [0, 1].map(|at| {
        let add = AddTorrent::new(sources[at].metainfo.clone(), to.path().join(at.to_string()));
        let own = (at == 0).then_some(100_000);
        let add = add.peers(seeding.listen_addrs().to_vec()).max_rates(own, None);
        block_on(leecher.add(add)).unwrap()
    });
    let elapsed = block_on(fast.wait_finished()).unwrap().elapsed;
    assert!(slow.stats().done < 500_000, "{}", slow.stats().done);
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
}

#[test]
fn downloads_wait_for_their_turn() {
    let state = tempfile::tempdir().unwrap();
    let (sources, seeding) = two_seeded(1_000_000, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(state.path(), |settings| {
        settings.max_active_downloads = Some(1);
        settings.max_down = Some(2_000_000);
    });
    let mut events = leecher.events();
    let torrents = download_both(&leecher, &sources, &seeding, to.path());
    let pieces = sources[0].metainfo.lengths().piece_count();
    let [mut finished, mut verified, mut seen] = [0, 0, 0];
    let mut first = None;
    while finished < 2 {
        let event = block_on(events.next()).unwrap();
        match event.kind {
            EventKind::Dialing { .. } | EventKind::PieceVerified { .. } => {
                // Whichever was ready first goes first; the other does nothing until all of it is there.
                assert!(verified >= pieces || event.torrent == *first.get_or_insert(event.torrent));
                verified += u32::from(matches!(event.kind, EventKind::PieceVerified { .. }));
                let waits = torrents.iter().find(|torrent| torrent.info_hash() != event.torrent).unwrap();
                if verified < pieces && waits.stats().state == TorrentState::Queued {
                    assert_eq!(waits.stats().peers, 0);
                    seen += 1;
                }
            }
            EventKind::Finished => finished += 1,
            _ => {}
        }
    }
    assert!(seen > 0, "that it waits is shown");
    for (at, source) in sources.iter().enumerate() {
        assert_same(source.dir.path(), &to.path().join(at.to_string()));
    }
}

#[test]
fn a_seed_that_waits_is_not_announced() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let state = tempfile::tempdir().unwrap();
    let sources = ["one", "two"].map(|name| source(&[(name, 100_000)], Some(&tracker.announce_url())));
    let seeding = engine_with(state.path(), |settings| settings.max_active_seeds = Some(1));
    let mut events = seeding.events();
    let torrents = sources.each_ref().map(|source| {
        let add = AddTorrent::new(source.metainfo.clone(), source.dir.path()).seed_only(true);
        let torrent = block_on(seeding.add(add)).unwrap();
        block_on(torrent.wait_finished()).unwrap();
        torrent
    });
    let mut announced = || loop {
        let event = block_on(events.next()).unwrap();
        if matches!(event.kind, EventKind::Announced { .. }) {
            break event.torrent;
        }
    };
    assert_eq!(announced(), torrents[0].info_hash());
    block_on(torrents[0].stop()).unwrap();
    assert_eq!(announced(), torrents[0].info_hash(), "that it stops");
    assert_eq!(announced(), torrents[1].info_hash());
}

#[test]
fn what_one_does_not_use_another_gets() {
    let state = tempfile::tempdir().unwrap();
    let (sources, seeding) = two_seeded(2_000_000, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine_with(state.path(), |settings| settings.max_down = Some(1_000_000));
    let lonely = AddTorrent::new(sources[0].metainfo.clone(), to.path().join("lonely"));
    let lonely = block_on(leecher.add(lonely)).unwrap();
    let add = AddTorrent::new(sources[1].metainfo.clone(), to.path().join("busy"));
    let busy = block_on(leecher.add(add.peers(seeding.listen_addrs().to_vec()))).unwrap();
    let elapsed = block_on(busy.wait_finished()).unwrap().elapsed;
    assert_eq!(lonely.stats().state, TorrentState::Downloading);
    assert!(elapsed >= Duration::from_millis(1_900), "{elapsed:?}");
    // With half of the limit it would take four.
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
}

#[test]
fn a_finished_download_waits_for_room_to_seed() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let state = tempfile::tempdir().unwrap();
    let wanted = source(&[("one", 1_000_000)], Some(&tracker.announce_url()));
    let (_seeder, _) = seeder(&wanted, state.path());
    let other = album();
    let engine = engine_with(state.path(), |settings| {
        settings.max_active_seeds = Some(1);
        settings.max_down = Some(600_000);
    });
    let mut events = engine.events();
    let seed = AddTorrent::new(other.metainfo.clone(), other.dir.path()).seed_only(true);
    let seed = block_on(engine.add(seed)).unwrap();
    block_on(seed.wait_finished()).unwrap();
    let to = tempfile::tempdir().unwrap();
    let torrent = block_on(engine.add(AddTorrent::new(wanted.metainfo.clone(), to.path()))).unwrap();
    // Somebody who still wants something of it when it is complete.
    let slow = engine_with(state.path(), |settings| settings.max_down = Some(50_000));
    let (slow_to, peers) = (tempfile::tempdir().unwrap(), engine.listen_addrs().to_vec());
    let add = AddTorrent::new(wanted.metainfo.clone(), slow_to.path()).trackers(false).peers(peers);
    let slowly = block_on(slow.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    assert_same(wanted.dir.path(), to.path());
    assert_eq!((slowly.stats().state, slowly.stats().done < 500_000), (TorrentState::Downloading, true));
    let mut announcing = |wanted: &'static str| loop {
        match block_on(events.next()).unwrap().kind {
            EventKind::Announcing { event: Some(event), .. } if event == wanted => break,
            _ => {}
        }
    };
    announcing("started");
    announcing("stopped");
    assert_eq!((torrent.stats().state, torrent.stats().peers), (TorrentState::Queued, 0));
    block_on(seed.stop()).unwrap();
    announcing("started");
    block_on(torrent.stop()).unwrap();
}

#[test]
fn in_order_the_first_pieces_come_first() {
    let source = source(&[("one", 2_000_000)], None);
    let state = tempfile::tempdir().unwrap();
    let (_seeder, addr) = seeder(&source, state.path());
    let to = tempfile::tempdir().unwrap();
    let leecher = engine(state.path());
    let mut events = leecher.events();
    let add = AddTorrent::new(source.metainfo.clone(), to.path()).peers(vec![addr]).sequential(true);
    let torrent = block_on(leecher.add(add)).unwrap();
    block_on(torrent.wait_finished()).unwrap();
    block_on(leecher.shutdown());
    let mut verified = Vec::new();
    while let Some(event) = block_on(events.next()) {
        if let EventKind::PieceVerified { piece, .. } = event.kind {
            verified.push(piece);
        }
    }
    assert_eq!(verified.len() as u32, source.metainfo.lengths().piece_count());
    assert!(verified.is_sorted(), "{verified:?}");
}
