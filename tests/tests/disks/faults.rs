//! A disk that fills, fails, is made read-only or goes away: its torrent says so, goes on by itself when the disk is well, and
//! has no false piece; another torrent, on a good disk, goes on meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fuser::Errno;
use rawtorrent_tests::content::{Layout, Sample, hex};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{PLAIN, RawPeer, claimed};
use rawtorrent_tests::{binary, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::kept::Running;
use crate::disks::disk::{Call, Disk, Mounted};
use crate::disks::torrent::Torrent;

const LAYOUT: Layout = &[("", 16 << 20)];
const LARGE: Layout = &[("", 64 << 20)];
const OTHER: Layout = &[("", 3_000_000)];
/// A torrent that failed rests for some seconds before it is tried again.
/// Writes before the disk fails: some of the torrent is there then, and some is not.
const WRITES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(90);

/// How many writes lie between two that find the disk full, if it is not a sample of them; `cargo xtask full` says so.
fn every() -> Option<usize> {
    std::env::var("RAWTORRENT_FULL_EVERY").ok()?.parse().ok()
}

/// A session with a torrent on the disk, and one that is to go on whatever the disk does.
///
/// What is first ends first.
struct Case {
    running: Running,
    mounted: Option<Mounted>,
    disk: Disk,
    home: TempDir,
    addr: SocketAddr,
    torrent: Torrent,
    content: Arc<Vec<u8>>,
    other: Torrent,
    /// Whether the session's state is on the disk too.
    is_all_there: bool,
}

impl Case {
    fn new(layout: Layout) -> Case {
        Case::with_state(layout, false)
    }

    fn with_state(layout: Layout, is_all_there: bool) -> Case {
        let home = tempfile::tempdir().unwrap();
        let at = home.path().join("disk");
        fs::create_dir(&at).unwrap();
        let disk = Disk::new(7);
        let mounted = Some(disk.mount(&at));
        let content = Arc::new(Sample { name: "", layout }.stream());
        let torrent = Torrent::new(0, home.path(), layout, &content);
        let other = Arc::new(Sample { name: "", layout: OTHER }.stream());
        let other = Torrent::new(1, home.path(), OTHER, &other);
        let (running, addr) = Case::session(&home, [&torrent, &other], is_all_there);
        Case { home, disk, mounted, running, addr, torrent, content, other, is_all_there }
    }

    fn session(home: &TempDir, torrents: [&Torrent; 2], is_all_there: bool) -> (Running, SocketAddr) {
        let mut command = binary::command(home.path());
        if is_all_there {
            command.env("XDG_STATE_HOME", home.path().join("disk/state"));
        }
        command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
        command.args(torrents.iter().flat_map(|torrent| ["--peer".to_owned(), torrent.peer.to_string()]));
        let said = fs::OpenOptions::new().create(true).append(true).open(home.path().join("said")).unwrap();
        let (running, ready) = Running::begin(command.stderr(said));
        (running, ready["listen"][0].as_str().unwrap().parse().unwrap())
    }

    /// Ends it and begins another: nothing that was read before is in memory any more.
    fn restart(&mut self) {
        self.running.strike();
        let torrents = [&self.torrent, &self.other];
        (self.running, self.addr) = Case::session(&self.home, torrents, self.is_all_there);
    }

    fn at(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    fn add(&mut self) {
        let order = json!({"do": "add", "torrent": self.torrent.file, "dir": self.at().join("out")});
        self.running.done(&order);
    }

    /// Some of it is there when this returns, and most is not.
    fn add_slowly(&mut self) {
        let order = json!({"do": "add", "torrent": self.torrent.file, "dir": self.at().join("out"), "max_down": 2 << 20});
        self.running.done(&order);
        self.until(|torrent| torrent["done"].as_u64() > Some(1 << 20));
    }

    /// Has it come as fast as it can, once it goes on by itself.
    fn hurry(&mut self) {
        self.until(|torrent| torrent["error"].is_null() && torrent["state"] != "unavailable");
        self.running.done(&json!({"do": "set", "info_hash": hex(&self.torrent.hash), "max_down": null}));
    }

    fn seen(&mut self, hash: [u8; 20]) -> Value {
        let mut list = self.running.done(&json!({"do": "list"}));
        let torrents = list["torrents"].as_array_mut().unwrap();
        torrents.iter_mut().find(|torrent| torrent["info_hash"] == hex(&hash)).unwrap().take()
    }

    /// Looks at the torrent until it is as it is to be.
    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        self.until_of(self.torrent.hash, is)
    }

    fn until_of(&mut self, hash: [u8; 20], is: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let seen = poll(Instant::now() + PATIENCE, || {
            last = self.seen(hash);
            is(&last).then(|| last.clone())
        });
        seen.unwrap_or_else(|| panic!("{last}\n{}", self.said()))
    }

    /// That the other torrent, which is new now, comes whole.
    fn others_go_on(&mut self) {
        let good = self.home.path().join("good");
        let hash = hex(&self.other.hash);
        let is_new = !self.running.list().contains_key(&hash);
        if is_new {
            self.running.done(&json!({"do": "add", "torrent": self.other.file, "dir": good}));
        }
        self.running.done(&json!({"do": "wait", "info_hash": hash}));
        assert_eq!(self.seen(self.other.hash)["state"], "seeding");
    }

    /// That the torrent comes whole by itself, and that all of it is on the disk.
    fn completes(&mut self) {
        self.until(|torrent| torrent["state"] == "seeding" && torrent["error"].is_null());
        let ask = || claimed(self.addr, self.torrent.hash).ok();
        let pieces = poll(Instant::now() + PATIENCE, ask).expect("it is served");
        let count = self.torrent.must_have(&self.disk, &pieces, &self.content);
        assert_eq!(count, self.content.len() / PIECE_LEN);
        let found = self.disk.read(&format!("out/{}", self.torrent.name));
        assert!(found.as_deref() == Some(&self.content[..]), "the file differs");
        self.others_go_on();
        assert!(!self.said().contains("panicked"), "{}", self.said());
    }

    /// That the disk has every piece that the session tells peers of, if it tells any.
    fn claims_are_true(&self) {
        let pieces = claimed(self.addr, self.torrent.hash).unwrap_or_default();
        self.torrent.must_have(&self.disk, &pieces, &self.content);
    }

    /// Bytes that came more than once.
    fn came_again(&self) -> usize {
        self.torrent.seed.served().saturating_sub(self.content.len())
    }

    /// What the session wrote for people.
    fn said(&self) -> String {
        fs::read_to_string(self.home.path().join("said")).unwrap()
    }

    /// After so many writes every call of this kind fails, until the disk is well again.
    fn fail_after(&self, mut writes: usize, kind: Call, errno: Errno) {
        self.disk.set_fault(Some(Box::new(move |call, _| {
            writes = writes.saturating_sub(usize::from(call == Call::Write));
            (writes == 0 && call == kind).then_some(errno)
        })));
    }

    /// Once, the next call of this kind fails; tells when.
    fn fail_once(&self, kind: Call, errno: Errno) -> Arc<AtomicBool> {
        let struck = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&struck);
        let fault = move |call, _: &_| (call == kind && !tells.swap(true, Ordering::SeqCst)).then_some(errno);
        self.disk.set_fault(Some(Box::new(fault)));
        struck
    }

    fn heal(&self) {
        self.disk.set_fault(None);
    }
}

/// A disk that is full for as long, which an idle machine does not need to see it, may have peers hung up on.
const HANGS_UP: Duration = Duration::from_secs(2);

/// Writes to the torrent's file, of which one finds the disk full; and so does every call from then on, until it is made room.
#[derive(Clone, Default)]
struct Fills {
    is_full: Arc<AtomicBool>,
    since: Arc<OnceLock<Instant>>,
    made: Arc<AtomicUsize>,
}

impl Fills {
    /// After so many writes that are made.
    fn set(&self, disk: &Disk, after: usize) {
        let Fills { is_full, since, made } = self.clone();
        let mut is_over = false;
        disk.set_fault(Some(Box::new(move |call, name| {
            if call == Call::Write && name.to_string_lossy().starts_with("file ") {
                if !is_over && made.load(Ordering::SeqCst) == after {
                    is_over = true;
                    let _ = since.set(Instant::now());
                    is_full.store(true, Ordering::SeqCst);
                }
                made.fetch_add(usize::from(!is_full.load(Ordering::SeqCst)), Ordering::SeqCst);
            }
            (call == Call::Change && is_full.load(Ordering::SeqCst)).then_some(Errno::ENOSPC)
        })));
    }
}

impl Fills {
    fn full_for(&self) -> Duration {
        self.since.get().map(Instant::elapsed).unwrap_or_default()
    }
}

impl Case {
    /// The order to give the torrent this tag.
    fn tag(&self, tag: &str) -> Value {
        json!({"do": "set", "info_hash": hex(&self.torrent.hash), "tags": [tag]})
    }

    /// A tag that was kept is there once the power was cut, and no other; then the download completes.
    fn keeps_a_tag_over_a_cut(&mut self) {
        let kept = self.tag("kept");
        self.running.done(&kept);
        self.running.strike();
        self.mounted = None;
        self.disk.cut();
        self.mounted = Some(self.disk.mount(&self.at()));
        self.restart();
        assert_eq!(self.seen(self.torrent.hash)["tags"], json!(["kept"]));
        self.hurry();
        self.completes();
    }

    /// A download on a disk that is full after so many writes, and then has room; says how many were made in all, and how
    /// many bytes came again.
    fn fill_once(&mut self, after: usize) -> (usize, usize) {
        let fills = Fills::default();
        fills.set(&self.disk, after);
        let before = self.torrent.seed.served();
        self.add();
        let mut are_hung_up = false;
        if after < usize::MAX {
            let seen = self.until(|seen| !seen["error"].is_null());
            let error = seen["error"].as_str().unwrap();
            let says_why = error.contains("the disk is full") || error.contains("state directory is full");
            assert!(seen["state"] == "disk_full" && says_why, "{seen}");
            are_hung_up = fills.full_for() >= HANGS_UP;
            fills.is_full.store(false, Ordering::SeqCst);
        }
        let seen = self.until(|seen| seen["state"] == "seeding" && seen["error"].is_null());
        let found = self.disk.read(&format!("out/{}", self.torrent.name));
        assert!(found.as_deref() == Some(&self.content[..]), "full after {after} writes: the file differs");
        self.heal();
        let remove = json!({"do": "remove", "info_hash": hex(&self.torrent.hash), "data": true});
        self.running.done(&remove);
        // The last may be found after a cut. Were all kept, a thousand downloads would not fit into memory.
        let is_free = || (self.disk.count(self.torrent.name) <= 1).then_some(());
        assert!(poll(Instant::now() + PATIENCE, is_free).is_some(), "the disk keeps what was removed");
        // What was on its way when peers were hung up on is sent again; the session has taken in none of it.
        let came = match are_hung_up {
            true => usize::try_from(seen["downloaded"].as_u64().unwrap()).unwrap(),
            false => self.torrent.seed.served() - before,
        };
        let again = came.saturating_sub(self.content.len());
        (fills.made.load(Ordering::SeqCst), again)
    }
}

/// Says at which writes the disk is to be full, of so many.
fn writes_to_fail(count: usize) -> Vec<usize> {
    match every() {
        Some(every) => (0..count).step_by(every).collect(),
        None => vec![0, count / 3, count - 1],
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_is_waited_for() {
    let mut case = Case::new(if every().is_some() { LARGE } else { LAYOUT });
    let (count, _) = case.fill_once(usize::MAX);
    let mut most = 0;
    let faults = writes_to_fail(count);
    for &after in &faults {
        let (_, again) = case.fill_once(after);
        assert!(again <= PIECE_LEN, "full after {after} of {count} writes: {again} bytes came again");
        most = most.max(again);
    }
    println!(
        "full at {} of {count} writes, each in a download of its own: {most} bytes came again at most",
        faults.len()
    );
    case.others_go_on();
    assert!(!case.said().contains("panicked"), "{}", case.said());
}

/// Peers are hung up on then: what they had sent and nobody had read comes again.
#[test]
fn a_disk_that_stays_full_is_waited_for() {
    let mut case = Case::new(LAYOUT);
    case.fail_after(WRITES, Call::Change, Errno::ENOSPC);
    case.add();
    let seen = case.until(|torrent| torrent["state"] == "disk_full" && torrent["peers"] == 0);
    assert!(seen["error"].as_str().unwrap().contains("the disk is full"), "{seen}");
    case.others_go_on();
    case.claims_are_true();
    case.heal();
    case.completes();
    let hash = case.torrent.hash;
    let again = case.seen(hash)["downloaded"].as_u64().unwrap().saturating_sub(case.content.len() as u64);
    assert!(again <= PIECE_LEN as u64, "{again} bytes were taken in again");
}

/// Nothing of the session can be saved then, and it goes on all the same when there is room.
#[test]
fn a_full_disk_with_the_state_on_it_is_waited_for() {
    let mut case = Case::with_state(LAYOUT, true);
    for after in [0, 100] {
        case.fill_once(after);
    }
    case.add();
    case.restart();
    case.completes();
}

/// The torrent's own disk has room: it rests all the same, since nothing that is claimed could be kept.
#[test]
fn a_full_disk_with_the_state_alone_on_it_is_waited_for() {
    let mut case = Case::with_state(LAYOUT, true);
    case.add_slowly();
    case.disk.set_fault(Some(Box::new(|call, name| {
        let is_of_state = name.to_string_lossy().starts_with("session.db");
        (call == Call::Write && is_of_state).then_some(Errno::ENOSPC)
    })));
    let seen = case.until(|torrent| !torrent["error"].is_null());
    assert_eq!(seen["state"], "disk_full", "{seen}");
    assert!(seen["error"].as_str().unwrap().contains("state directory is full"), "{seen}");
    case.heal();
    case.hurry();
    case.completes();
}

#[test]
fn a_session_starts_though_there_is_no_room_to_write_its_log_again() {
    let mut case = Case::with_state(LAYOUT, true);
    case.add();
    case.completes();
    let full = |call, name: &_| {
        let is_log = name == "session.db-wal";
        (call == Call::Write && is_log).then_some(Errno::ENOSPC)
    };
    case.disk.set_fault(Some(Box::new(full)));
    case.restart();
    assert_eq!(case.running.list().len(), 2);
    case.heal();
    // They may have found out already that their records cannot be written.
    for hash in [case.torrent.hash, case.other.hash] {
        case.until_of(hash, |torrent| torrent["state"] == "seeding");
    }
    case.completes();
}

#[test]
fn a_disk_that_takes_half_of_each_write_gets_the_rest() {
    let mut case = Case::new(LAYOUT);
    case.disk.set_most(5000);
    case.add();
    case.completes();
    assert_eq!(case.came_again(), 0);
}

#[test]
fn writes_that_fail_are_made_again() {
    let mut case = Case::new(LAYOUT);
    case.fail_after(WRITES, Call::Write, Errno::EIO);
    case.add();
    let seen = case.until(|torrent| torrent["state"] == "failed");
    assert!(seen["error"].as_str().unwrap().contains("cannot write"), "{seen}");
    case.others_go_on();
    case.claims_are_true();
    case.heal();
    case.completes();
}

#[test]
fn a_piece_that_cannot_be_read_is_not_served_and_is_fetched_again() {
    let mut case = Case::new(LAYOUT);
    case.add();
    case.completes();
    case.restart();
    case.until(|torrent| torrent["state"] == "seeding");
    // As disks do it: what is written anew can be read again.
    let (struck, mut is_well) = (Arc::new(AtomicUsize::new(0)), false);
    let counts = Arc::clone(&struck);
    case.disk.set_fault(Some(Box::new(move |call, _| {
        is_well |= call == Call::Write;
        let fails = call == Call::Read && !is_well;
        counts.fetch_add(usize::from(fails), Ordering::SeqCst);
        fails.then_some(Errno::EIO)
    })));
    let mut peer = RawPeer::connect(case.addr, PLAIN, case.torrent.hash).unwrap();
    assert!(peer.fetch(100, 0, 16_384).is_err(), "what cannot be read is served");
    assert!(struck.load(Ordering::SeqCst) > 0, "nothing was read");
    let fetched = || {
        let asked = case.torrent.seed.requests();
        (asked.iter().filter(|(piece, _)| *piece == 100).count() >= 2 * (PIECE_LEN / 16_384)).then_some(())
    };
    assert!(poll(Instant::now() + PATIENCE, fetched).is_some(), "it is not fetched again: {}", case.said());
    case.completes();
    assert!(case.came_again() <= 16 * PIECE_LEN, "{} bytes came again", case.came_again());
}

#[test]
fn a_disk_that_is_made_read_only_is_waited_for() {
    let mut case = Case::new(LAYOUT);
    case.fail_after(WRITES, Call::Change, Errno::EROFS);
    case.add();
    let seen = case.until(|torrent| torrent["state"] == "failed");
    assert!(seen["error"].as_str().unwrap().contains("read-only"), "{seen}");
    case.others_go_on();
    case.claims_are_true();
    case.heal();
    case.completes();
}

#[test]
fn a_sync_that_failed_once_is_not_believed_the_next_time() {
    let mut case = Case::new(LAYOUT);
    let struck = case.fail_once(Call::Sync, Errno::EIO);
    case.add();
    let is_struck = || struck.load(Ordering::SeqCst).then_some(());
    assert!(poll(Instant::now() + PATIENCE, is_struck).is_some(), "nothing was synced");
    case.others_go_on();
    case.completes();
    assert!(case.came_again() > 0, "what was lost was not fetched again");
}

#[test]
fn a_folder_that_goes_away_comes_back() {
    let mut case = Case::new(LAYOUT);
    case.add_slowly();
    let (out, away) = (case.at().join("out"), case.at().join("away"));
    fs::rename(&out, &away).unwrap();
    case.until(|torrent| torrent["state"] == "unavailable");
    case.others_go_on();
    fs::rename(&away, &out).unwrap();
    case.hurry();
    case.completes();
}

/// Pulls the disk: all that was open on it is of no use any more.
fn pull(case: &mut Case) {
    let at = case.at();
    let done = Command::new("umount").args(["-f", "-l"]).arg(&at).status().unwrap();
    assert!(done.success());
    case.mounted = None;
}

#[test]
fn a_disk_that_is_pulled_comes_back() {
    let mut case = Case::new(LAYOUT);
    case.add_slowly();
    pull(&mut case);
    let seen = case.until(|torrent| torrent["state"] == "unavailable");
    assert!(seen["error"].as_str().unwrap().contains("is not there now"), "{seen}");
    case.others_go_on();
    let left: Vec<_> = fs::read_dir(case.at()).unwrap().collect();
    assert!(left.is_empty(), "written where nothing is mounted: {left:?}");
    case.mounted = Some(case.disk.mount(&case.at()));
    case.hurry();
    case.completes();
}

#[test]
fn no_order_is_lost_after_a_failed_sync_of_the_state() {
    let mut case = Case::with_state(LAYOUT, true);
    case.add_slowly();
    // What is noted meanwhile is in the log, and not synced.
    case.until(|torrent| torrent["done"].as_u64().unwrap() > 9 << 20);
    let struck = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&struck);
    case.disk.set_fault(Some(Box::new(move |call, name| {
        let is_log = name.to_string_lossy().ends_with("-wal");
        (is_log && call == Call::Sync && !tells.swap(true, Ordering::SeqCst)).then_some(Errno::EIO)
    })));
    let refused = case.tag("refused");
    case.running.refused(&refused, "unsaved");
    assert!(struck.load(Ordering::SeqCst));
    assert_eq!(case.seen(case.torrent.hash)["tags"], json!([]));
    case.keeps_a_tag_over_a_cut();
}

/// The disk fails a sync of the log and all that is to be written then, and the process is killed. What the next one reads is
/// not on the disk all the same.
#[test]
fn nothing_is_built_on_a_log_whose_sync_failed_before_a_kill() {
    let mut case = Case::with_state(LAYOUT, true);
    case.disk.stay_in_memory();
    case.add_slowly();
    let mut struck = false;
    case.disk.set_fault(Some(Box::new(move |call, name| {
        let is_log = name.to_string_lossy().ends_with("-wal");
        struck |= is_log && call == Call::Sync;
        (struck && call != Call::Read).then_some(Errno::EIO)
    })));
    let refused = case.tag("refused");
    case.running.refused(&refused, "unsaved");
    case.running.strike();
    case.heal();
    case.restart();
    case.keeps_a_tag_over_a_cut();
}

#[test]
fn who_lists_torrents_waits_for_no_disk() {
    let mut case = Case::new(LAYOUT);
    case.disk.be_asked();
    case.add();
    case.completes();
    let (gate, closed) = channel::<()>();
    case.disk.set_fault(Some(Box::new(move |_, _| {
        let _ = closed.recv();
        None
    })));
    let (hash, other) = (hex(&case.torrent.hash), hex(&case.other.hash));
    case.running.order(&json!({"id": "checked", "do": "recheck", "info_hash": hash}));
    let poked = case.at().join("x");
    std::thread::spawn(move || fs::create_dir(poked));
    let begun = Instant::now();
    // Sooner or later the torrent is held by who waits for its disk.
    while begun.elapsed() < Duration::from_secs(5) {
        let list = case.running.list();
        assert!(list.contains_key(&hash) && list.contains_key(&other), "{list:?}");
        case.running.done(&json!({"do": "queue", "info_hash": other, "to": "top"}));
        case.running.done(&json!({"do": "queue", "info_hash": other, "to": "bottom"}));
    }
    drop(gate);
    case.heal();
    let answer = case.running.next().unwrap();
    assert_eq!((&answer["id"], &answer["ok"]), (&json!("checked"), &json!(true)), "{answer}");
    case.completes();
}
