//! Torrents that are complete and that nobody asks for anything.
#![allow(clippy::unwrap_used, clippy::panic)]

use engine::create::CreateTorrent;
use engine::{
    AddTorrent, Choices, Engine, EventKind, Metainfo, Priority, SeedGoal, Session, Settings, Torrent,
    TorrentState, TrackerServer,
};
use pollster::block_on;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// With pieces of 16 KiB it has hashes enough to be put away with all its names.
const LEN: usize = 2_000_000;
const PIECE: u32 = 16_384;
/// More than all of it takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A torrent whose content is there, what was remembered of it, and a place for whoever downloads it.
struct Scene {
    dir: TempDir,
    state: TempDir,
    file: Vec<u8>,
    metainfo: Metainfo,
}

impl Scene {
    /// It was all there in an earlier run, which ended as it should.
    fn new(tracker: Option<&str>) -> Scene {
        let [dir, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let root = dir.path().join("album");
        fs::create_dir(&root).unwrap();
        let content: Vec<u8> = (0..LEN).map(|at| (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]).collect();
        fs::write(root.join("a.bin"), &content).unwrap();
        fs::write(root.join("b.bin"), &content[..70_000]).unwrap();
        let mut create = CreateTorrent::new(&root).piece_length(PIECE);
        if let Some(url) = tracker {
            create = create.tracker(url);
        }
        let file = create.make(|_, _| {}).unwrap().bytes;
        let metainfo = Metainfo::parse(&file).unwrap();
        let scene = Scene { dir, state, file, metainfo };
        let (engine, torrent) = scene.seed(|add| add.trackers(false));
        assert_eq!(engine.asleep(), 0, "nothing was known of it");
        assert_eq!(torrent.stats().state, TorrentState::Seeding);
        block_on(engine.shutdown());
        scene
    }

    fn seed(&self, change: impl FnOnce(AddTorrent) -> AddTorrent) -> (Engine, Torrent) {
        let engine = engine(self.state.path());
        let add = change(AddTorrent::new(self.metainfo.clone(), self.dir.path()));
        let torrent = block_on(engine.add(add)).unwrap();
        block_on(torrent.wait_finished()).unwrap();
        (engine, torrent)
    }

    /// Somebody calls, and says as whom.
    fn call(&self, engine: &Engine, number: u8) -> TcpStream {
        let hash = self.metainfo.info_hash().v1().unwrap();
        let mut stream = TcpStream::connect(engine.listen_addrs()[0]).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let hello = [b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", &hash.0[..], &[number; 20]].concat();
        stream.write_all(&hello).unwrap();
        stream
    }

    /// Has somebody download it.
    fn download(&self, peers: Vec<SocketAddr>) {
        let [there, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let leecher = engine(state.path());
        let add = AddTorrent::new(self.metainfo.clone(), there.path()).peers(peers).trackers(false);
        let torrent = block_on(leecher.add(add)).unwrap();
        block_on(torrent.wait_finished()).unwrap();
        block_on(leecher.shutdown());
        for file in ["a.bin", "b.bin"] {
            let read = |dir: &TempDir| fs::read(dir.path().join("album").join(file)).unwrap();
            assert!(read(&there) == read(&self.dir), "{file}");
        }
    }
}

fn engine(state: &Path) -> Engine {
    Engine::start(settings(state)).unwrap()
}

fn settings(state: &Path) -> Settings {
    let mut settings = Settings::new(state);
    settings.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.lsd = false;
    settings.allow_private = true;
    settings
}

/// Waits for something that takes less than [`LIMIT`].
fn within_limit<T>(what: &str, work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, work).await });
    done.unwrap_or_else(|_| panic!("not {what}"))
}

/// Waits until so many are asleep.
fn sleep(engine: &Engine, count: usize) {
    within_limit("asleep", engine.until_asleep(count));
}

#[test]
fn it_serves_whoever_comes_and_sleeps_again() {
    let scene = Scene::new(None);
    let len = LEN as u64 + 70_000;
    let (engine, torrent) = scene.seed(|add| add);
    let mut events = engine.events();
    sleep(&engine, 1);
    let stats = torrent.stats();
    assert_eq!((stats.done, stats.total, stats.uploaded), (len, len, 0));
    for round in 1..=2 {
        scene.download(engine.listen_addrs().to_vec());
        assert_eq!(engine.asleep(), 0, "it is looked whether others come");
        sleep(&engine, 1);
        let stats = torrent.stats();
        assert_eq!((stats.state, stats.uploaded), (TorrentState::Seeding, round * len));
        assert_eq!((stats.peers, stats.rate_up), (0, 0));
    }
    let pieces = block_on(torrent.pieces()).unwrap();
    assert!(pieces.have.is_full(), "who asks wakes it");
    assert_eq!(engine.asleep(), 0);
    block_on(engine.shutdown());
    let mut numbers = Vec::new();
    while let Some(event) = block_on(events.next()) {
        if let EventKind::Connected { peer, .. } = &event.kind {
            numbers.extend(peer.number);
        }
    }
    assert_eq!(numbers, [0, 1], "no two peers have one name");

    let (engine, torrent) = scene.seed(|add| add);
    sleep(&engine, 1);
    assert_eq!(torrent.stats().uploaded, 2 * len, "what was sent is remembered");
    let mut ends = engine.ends();
    block_on(torrent.stop()).unwrap();
    block_on(ends.next());
    assert_eq!(engine.asleep(), 0);
}

#[test]
fn it_calls_whom_its_tracker_names() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let scene = Scene::new(Some(&tracker.announce_url()));
    let [there, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let leecher = engine(state.path());
    let mut events = leecher.events();
    let torrent = block_on(leecher.add(AddTorrent::new(scene.metainfo.clone(), there.path()))).unwrap();
    while !matches!(block_on(events.next()).unwrap().kind, EventKind::Announced { .. }) {}
    let (seeder, seed) = scene.seed(|add| add);
    block_on(torrent.wait_finished()).unwrap();
    let mut told = seeder.events();
    block_on(seed.stop()).unwrap();
    drop(seeder);
    let mut announced = Vec::new();
    while let Some(event) = block_on(told.next()) {
        if let EventKind::Announcing { event, .. } = event.kind {
            announced.extend(event);
        }
    }
    assert_eq!(announced, ["stopped"]);
}

#[test]
fn a_tracker_hears_that_it_comes_and_goes_though_it_never_wakes() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let scene = Scene::new(Some(&tracker.announce_url()));
    let engine = engine(scene.state.path());
    let mut events = engine.events();
    let add = AddTorrent::new(scene.metainfo.clone(), scene.dir.path());
    let torrent = block_on(engine.add(add)).unwrap();
    let mut announced = Vec::new();
    let mut stopping = false;
    while let Some(event) = block_on(events.next()) {
        match event.kind {
            EventKind::Announcing { event, .. } => announced.extend(event),
            EventKind::Announced { .. } if !stopping => {
                assert_eq!(engine.asleep(), 1);
                let trackers = block_on(torrent.trackers()).unwrap();
                assert_eq!(trackers.len(), 1);
                assert!(block_on(torrent.peers()).unwrap().is_empty());
                assert_eq!(engine.asleep(), 1, "that is known without its files");
                stopping = true;
                block_on(torrent.stop()).unwrap();
            }
            EventKind::Stopped { .. } => break,
            _ => {}
        }
    }
    assert_eq!(announced, ["started", "stopped"]);
}

#[test]
fn its_goal_is_reached_in_its_sleep() {
    let scene = Scene::new(None);
    let begun = Instant::now();
    let time = Duration::from_secs(1);
    let (engine, torrent) =
        scene.seed(|add| add.seed_goal(SeedGoal { idle: Some(time), ..SeedGoal::default() }));
    sleep(&engine, 1);
    within_limit("stopped", torrent.wait_stopped()).unwrap();
    assert!(begun.elapsed() >= time);
}

#[test]
fn what_is_lost_while_it_sleeps_is_fetched_again() {
    let (scene, other) = (Scene::new(None), Scene::new(None));
    let (has_all, _seed) = other.seed(|add| add);
    let open = || block_on(Session::open(settings(scene.state.path()))).unwrap().0;
    let session = open();
    // Of two files, the second one is not wanted.
    let priorities = vec![Priority::Normal, Priority::Skip];
    let choices = Choices { priorities, ..Choices::new(scene.dir.path()) };
    let info_hash = block_on(session.add(scene.file.clone(), choices)).unwrap();
    block_on(block_on(session.torrent(info_hash)).unwrap().unwrap().wait_finished()).unwrap();
    block_on(session.shutdown());

    let session = open();
    sleep(session.engine(), 1);
    let torrent = block_on(session.torrent(info_hash)).unwrap().unwrap();
    let (first, second) = (scene.dir.path().join("album/a.bin"), scene.dir.path().join("album/b.bin"));
    let content = fs::read(&first).unwrap();
    fs::write(&first, &content[..LEN / 2]).unwrap();
    fs::write(&second, b"").unwrap();
    let mut events = session.engine().events();
    let have = block_on(torrent.pieces()).unwrap().have;
    let (there, all) = (LEN / 2 / PIECE as usize, LEN.div_ceil(PIECE as usize));
    assert_eq!(have.count_ones() as usize, there, "what is lost is not claimed, and the rest is kept");
    let peers = has_all.listen_addrs().to_vec();
    block_on(session.edit(info_hash, move |choices| choices.peers = peers)).unwrap();
    for _ in there..all {
        while !matches!(within_limit("fetched", events.next()).unwrap().kind, EventKind::PieceVerified { .. })
        {
        }
    }
    block_on(session.shutdown());
    assert!(fs::read(&first).unwrap() == content);
    assert!(fs::read(&second).unwrap().len() < 70_000, "nobody wants it");
}

#[test]
fn a_full_disk_under_the_state_keeps_it_neither_awake_nor_from_serving() {
    let scene = Scene::new(None);
    let (engine, torrent) = scene.seed(|add| add);
    sleep(&engine, 1);
    let mut kept = fs::read_dir(scene.state.path().join("resume")).unwrap().map(|file| file.unwrap().path());
    let record = kept.find(|path| path.extension().is_some_and(|kind| kind == "resume")).unwrap();
    let before = fs::read(&record).unwrap();
    let new = record.with_extension("resume-new");
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let len = LEN as u64 + 70_000;
    for round in 1..=2 {
        scene.download(engine.listen_addrs().to_vec());
        sleep(&engine, 1);
        let stats = torrent.stats();
        assert_eq!((stats.state, stats.uploaded), (TorrentState::Seeding, round * len));
    }
    assert_eq!(fs::read(&record).unwrap(), before, "there was no room");
    fs::remove_file(&new).unwrap();
    scene.download(engine.listen_addrs().to_vec());
    sleep(&engine, 1);
    block_on(engine.shutdown());
    assert_ne!(fs::read(&record).unwrap(), before);
    let (engine, torrent) = scene.seed(|add| add);
    assert_eq!(torrent.stats().uploaded, 3 * len);
    block_on(engine.shutdown());
}

/// Downloaded, asleep, awake and asleep again.
#[test]
fn a_tracker_hears_once_that_it_is_complete() {
    let tracker = TrackerServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let scene = Scene::new(Some(&tracker.announce_url()));
    let (seeder, _seed) = scene.seed(|add| add.trackers(false));
    let [there, state] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let leecher = engine(state.path());
    let mut events = leecher.events();
    let add = AddTorrent::new(scene.metainfo.clone(), there.path()).peers(seeder.listen_addrs().to_vec());
    let torrent = block_on(leecher.add(add)).unwrap();
    for _ in 0..2 {
        sleep(&leecher, 1);
        assert!(block_on(torrent.pieces()).unwrap().have.is_full());
        assert_eq!(leecher.asleep(), 0);
    }
    sleep(&leecher, 1);
    within_limit("stopped", torrent.stop()).unwrap();
    drop(leecher);
    let mut announced = Vec::new();
    while let Some(event) = block_on(events.next()) {
        if let EventKind::Announcing { event, .. } = event.kind {
            announced.extend(event);
        }
    }
    assert_eq!(announced, ["started", "completed", "stopped"]);
}

#[test]
fn how_long_it_is_seeded_in_its_sleep_counts() {
    let (scene, clock) = (Scene::new(None), Scene::new(None));
    let open = || block_on(Session::open(settings(scene.state.path()))).unwrap().0;
    let session = open();
    let info_hash = block_on(session.add(scene.file.clone(), Choices::new(scene.dir.path()))).unwrap();
    block_on(block_on(session.torrent(info_hash)).unwrap().unwrap().wait_finished()).unwrap();
    block_on(session.shutdown());

    let session = open();
    sleep(session.engine(), 1);
    let begun = Instant::now();
    // One that was woken falls asleep again after five seconds.
    let (other, torrent) = clock.seed(|add| add);
    sleep(&other, 1);
    block_on(torrent.pieces()).unwrap();
    sleep(&other, 1);
    assert_eq!(session.engine().asleep(), 1);
    let slept = begun.elapsed();
    let goal = SeedGoal { time: Some(slept), ..SeedGoal::default() };
    let torrent = block_on(session.torrent(info_hash)).unwrap().unwrap();
    block_on(session.edit(info_hash, move |choices| choices.seed_goal = goal)).unwrap();
    let asked = Instant::now();
    within_limit("stopped", torrent.wait_stopped()).unwrap();
    assert!(asked.elapsed() < slept / 2, "it is not seeded for so long once more");
    block_on(session.shutdown());
}

#[test]
fn what_takes_no_brain_wakes_nobody() {
    let scene = Scene::new(None);
    let open = || block_on(Session::open(settings(scene.state.path()))).unwrap().0;
    let session = open();
    let choices = Choices::new(scene.dir.path());
    let info_hash = block_on(session.add(scene.file.clone(), choices)).unwrap();
    let torrent = || block_on(session.torrent(info_hash)).unwrap().unwrap();
    block_on(torrent().wait_finished()).unwrap();
    block_on(session.shutdown());

    let session = open();
    sleep(session.engine(), 1);
    let torrent = block_on(session.torrent(info_hash)).unwrap().unwrap();
    let sleeps_on = || {
        // What was wanted before is heard of by then.
        assert!(block_on(torrent.peers()).unwrap().is_empty());
        session.engine().asleep() == 1
    };
    let edit = |change: fn(&mut Choices)| block_on(session.edit(info_hash, change)).unwrap();
    block_on(session.ban([10, 0, 0, 1].into())).unwrap();
    assert!(sleeps_on());
    block_on(session.reannounce(info_hash)).unwrap();
    assert!(sleeps_on());
    edit(|choices| choices.max_up = Some(1 << 20));
    assert!(sleeps_on());
    edit(|choices| choices.seed_goal.idle = Some(Duration::from_secs(3600)));
    assert!(sleeps_on());
    edit(|choices| choices.peers = vec![([127, 0, 0, 1], 9).into()]);
    sleep(session.engine(), 0);
    block_on(session.shutdown());
}

#[test]
fn all_who_call_at_once_are_taken_in() {
    let scene = Scene::new(None);
    for round in 0..3 {
        let (engine, _torrent) = scene.seed(|add| add);
        sleep(&engine, 1);
        let callers: Vec<_> = (1..=8).map(|number| scene.call(&engine, number)).collect();
        for (number, mut caller) in callers.into_iter().enumerate() {
            // Its handshake, and the beginning of what it has.
            let heard = caller.read_exact(&mut [0; 68 + 5]);
            assert!(heard.is_ok(), "caller {number} of round {round}: {heard:?}");
        }
        block_on(engine.shutdown());
    }
}

#[test]
fn who_looks_in_does_not_keep_it_awake() {
    let (scene, other) = (Scene::new(None), Scene::new(None));
    let (engine, _torrent) = scene.seed(|add| add);
    let (clock, asked) = other.seed(|add| add);
    sleep(&engine, 1);
    let sleeps_first = (0..3).any(|number| {
        sleep(&clock, 1);
        let mut caller = scene.call(&engine, number);
        caller.read_exact(&mut [0; 68 + 5]).unwrap();
        assert_eq!(engine.asleep(), 0);
        // One that was asked for something rests before it sleeps.
        block_on(asked.pieces()).unwrap();
        drop(caller);
        sleep(&engine, 1);
        clock.asleep() == 0
    });
    assert!(sleeps_first, "it rests though it was of no use");
    block_on(engine.shutdown());
    block_on(clock.shutdown());
}

#[test]
fn all_who_ask_at_once_are_answered() {
    let scene = Scene::new(None);
    for _ in 0..3 {
        let (engine, torrent) = scene.seed(|add| add);
        sleep(&engine, 1);
        let ask = || {
            let torrent = torrent.clone();
            std::thread::spawn(move || block_on(torrent.pieces()).map(|pieces| pieces.have.is_full()))
        };
        let asked: Vec<_> = (0..8).map(|_| ask()).collect();
        for answer in asked {
            assert_eq!(answer.join().unwrap().ok(), Some(true));
        }
        block_on(engine.shutdown());
    }
}
