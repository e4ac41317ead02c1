//! A session's torrents on their way to other folders: all of a torrent is in one of two places, whatever happens.
#![allow(clippy::needless_pass_by_value, reason = "json!() is written where it is passed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::kept::{Case, Running};
use common::with_mount;
use rawtorrent_tests::binary;
use rawtorrent_tests::content::{Sample, digest, hex};
use rawtorrent_tests::metafile;
use serde_json::{Value, json};
use tempfile::TempDir;

const SMALL: Sample = Sample { name: "small", layout: &[("", 300_000)] };
const LARGE: Sample = Sample { name: "large", layout: &[("a", 40 << 20), ("b/c", 24 << 20)] };

/// A folder on another file system.
fn elsewhere() -> TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_ne!(device(dir.path()), device(&std::env::temp_dir()), "the test needs two file systems");
    dir
}

/// That all of the torrent is below one folder, and nothing is below the other.
fn assert_moved(case: &Case, to: &Path, from: &Path) {
    let original = tempfile::tempdir().unwrap();
    let expected = digest(&case.home.sample.write(original.path()).unwrap()).unwrap();
    assert_eq!(digest(&to.join(case.home.sample.name)).unwrap(), expected);
    assert_eq!(left_in(to), [PathBuf::from(case.home.sample.name)]);
    assert_eq!(left_in(from), Vec::<PathBuf>::new());
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into()).collect()
}

/// That it goes on from where it is now, with nothing fetched or checked again.
fn assert_goes_on(case: &mut Case, dir: &Path) {
    let served = case.seed.served();
    case.wait();
    assert_eq!(case.running.torrent()["dir"], dir.to_str().unwrap());
    assert_eq!(case.seed.served(), served);
}

#[test]
fn a_torrent_moves_on_its_file_system_and_to_another() {
    let mut case = Case::downloaded(Sample::MULTI);
    let (out, near, far) = (case.home.out(), case.home.path().join("near/by"), elsewhere());
    case.done("move", json!({"dir": near}));
    assert_moved(&case, &near, &out);
    assert_goes_on(&mut case, &near);
    case.kill();
    assert_goes_on(&mut case, &near);
    case.done("move", json!({"dir": far.path()}));
    assert_moved(&case, far.path(), &near);
    assert_goes_on(&mut case, far.path());
    case.kill();
    assert_goes_on(&mut case, far.path());
    case.done("move", json!({"dir": far.path()}));
    case.done("pause", json!({}));
    case.done("move", json!({"dir": out}));
    assert_eq!(case.running.torrent()["paused"], true);
    assert_moved(&case, &out, far.path());
    case.done("resume", json!({}));
    assert_goes_on(&mut case, &out);
}

#[test]
fn half_a_torrent_moves_and_the_rest_comes_where_it_is() {
    let sample = Sample { name: "half", layout: &[("", 16 << 20)] };
    for far in [false, true] {
        let mut case = Case::new(sample);
        let shm = elsewhere();
        let to = if far { shm.path().to_owned() } else { case.home.path().join("near") };
        case.add(json!({"max_down": 4 << 20}));
        case.running.until(|torrent| torrent["done"].as_u64() > Some(2 << 20));
        case.done("move", json!({"dir": to, "id": 7}));
        case.done("set", json!({"max_down": null}));
        case.wait();
        let out = case.home.out();
        assert_moved(&case, &to, &out);
        // What was on its way when it was stopped may come once more.
        assert!(case.seed.served() < (16 << 20) + (4 << 20), "{}", case.seed.served());
    }
}

#[test]
fn pieces_that_unwanted_files_share_move_too() {
    let mut case = Case::new(Sample::MULTI);
    let mut priorities = vec!["skip"; Sample::MULTI.layout.len()];
    priorities[1] = "high";
    case.add(json!({"priorities": priorities}));
    case.wait();
    let to = case.home.path().join("near");
    case.done("move", json!({"dir": to}));
    assert_goes_on(&mut case, &to);
    // One of which nothing is there gets another name, and its own again.
    let (own, other) = ("multi ünïcode/small 2.bin", "multi ünïcode/other.bin");
    for (path, new) in [(own, other), (other, own)] {
        case.done("rename", json!({"path": path, "to": new}));
        assert_goes_on(&mut case, &to);
    }
    case.done("set", json!({"priorities": []}));
    case.wait();
    let out = case.home.out();
    assert_moved(&case, &to, &out);
    let served = case.seed.served();
    assert!(served <= Sample::MULTI.len() + 2 * metafile::PIECE_LEN, "{served}");
}

#[test]
fn files_of_somebody_else_are_in_the_way() {
    let mut case = Case::downloaded(SMALL);
    let to = case.home.path().join("near");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("small"), "theirs").unwrap();
    let order = case.order("move", json!({"dir": to}));
    case.running.refused(&order, "file_in_the_way");
    let out = case.home.out();
    assert_goes_on(&mut case, &out);
    case.home.assert_downloaded();
    assert_eq!(fs::read(to.join("small")).unwrap(), b"theirs");
    let order = case.order("move", json!({"dir": "/proc/none"}));
    case.running.refused(&order, "gone");
    assert_goes_on(&mut case, &out);
}

#[test]
fn a_full_disk_leaves_the_old_place_valid() {
    let case = Case::downloaded(LARGE);
    let (home, seed) = (case.home, case.seed);
    case.running.end();
    let full = home.path().join("full");
    fs::create_dir(&full).unwrap();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers"]);
    let mount = format!("mount -t tmpfs -o size=48m none '{}'", full.display());
    let (running, _) = Running::begin(&mut with_mount(&mount, &command));
    let mut case = Case { home, seed, running };
    let order = case.order("move", json!({"dir": full}));
    case.running.refused(&order, "disk_full");
    let out = case.home.out();
    assert_goes_on(&mut case, &out);
    case.home.assert_downloaded();
    let note = case.running.torrent()["note"].take();
    let note = note.as_str().unwrap();
    assert!(note.contains("the disk is full") && !note.contains("goes on"), "{note}");
    case.done("move", json!({"dir": out}));
    assert!(case.running.torrent()["note"].is_null());
    case.kill();
    assert_goes_on(&mut case, &out);
}

#[test]
fn a_kill_on_the_way_loses_nothing() {
    let mut case = Case::downloaded(LARGE);
    let (out, far) = (case.home.out(), elsewhere());
    let mut told = 0;
    for (number, (from, to)) in
        [(out.as_path(), far.path()), (far.path(), out.as_path())].into_iter().cycle().take(6).enumerate()
    {
        let order = case.order("move", json!({"dir": to}));
        case.running.order(&order);
        // At another moment each time.
        let wanted = number as u64 * (10 << 20);
        loop {
            case.running.order(&json!({"id": "list", "do": "list"}));
            let answer = case.running.next().unwrap();
            let torrent = &answer["torrents"][0];
            if answer["id"] != "list" || torrent["moved"].as_u64() > Some(wanted) {
                break;
            }
        }
        case.running.strike();
        let found = common::run(binary::command(case.home.path()).arg("doctor")).stdout;
        assert!(!found.contains("missing in") && !found.contains("changed in"), "{found}");
        told +=
            usize::from(found.contains(&format!("on their way from {} to {}", from.display(), to.display())));
        case.kill();
        case.running.until(|torrent| torrent["state"] == "seeding" && torrent["dir"] == to.to_str().unwrap());
        while !left_in(from).is_empty() {
            case.running.torrent();
        }
        assert_moved(&case, to, from);
        assert_goes_on(&mut case, to);
    }
    assert!(told > 0, "the doctor saw no move");
}

#[test]
fn a_torrent_that_has_moved_has_what_it_had() {
    let mut case = Case::downloaded(SMALL);
    let total = case.running.torrent()["total"].clone();
    let near = [case.home.path().join("near"), case.home.out()];
    for dir in near.iter().cycle().take(20) {
        case.done("move", json!({"dir": dir}));
        case.running.until(|torrent| {
            assert_eq!((&torrent["done"], &torrent["total"]), (&total, &total), "{torrent}");
            torrent["state"] == "seeding"
        });
    }
}

#[test]
fn a_torrent_on_its_way_is_removed_where_it_was() {
    let mut case = Case::downloaded(LARGE);
    let far = elsewhere();
    let (moving, remove) = (
        case.order("move", json!({"dir": far.path()})),
        case.order("remove", json!({"id": "r", "data": true})),
    );
    case.running.order(&moving);
    case.running.order(&remove);
    let answers = [case.running.next().unwrap(), case.running.next().unwrap()];
    let removed = answers.iter().find(|answer| answer["id"] == "r").unwrap();
    assert_eq!(removed["ok"], true, "{answers:?}");
    case.home.assert_nothing_written();
    assert_eq!(left_in(far.path()), Vec::<PathBuf>::new());
}

#[test]
fn files_and_folders_are_renamed() {
    let mut case = Case::downloaded(Sample::MULTI);
    let (out, name) = (case.home.out(), Sample::MULTI.name);
    let path = |rest: &str| format!("{name}/{rest}");
    case.done("rename", json!({"path": path("nested/deep"), "to": path("other/place")}));
    case.done("rename", json!({"path": path("small 1.bin"), "to": path("nested/\u{1f600}.bin")}));
    assert!(out.join(path("other/place/deeper/odd.bin")).exists() && !out.join(path("nested/deep")).exists());
    assert!(out.join(path("nested/\u{1f600}.bin")).exists());
    assert_goes_on(&mut case, &out);
    case.kill();
    assert_goes_on(&mut case, &out);
    case.done("recheck", json!({}));
    assert_goes_on(&mut case, &out);
    case.done("rename", json!({"path": name, "to": "top"}));
    assert_eq!(left_in(&out), [PathBuf::from("top")]);
    let near = case.home.path().join("near");
    case.done("move", json!({"dir": near}));
    assert_goes_on(&mut case, &near);
    assert_eq!((left_in(&near), left_in(&out)), (vec![PathBuf::from("top")], Vec::new()));
    case.done("remove", json!({"data": true}));
    assert_eq!(left_in(&near), Vec::<PathBuf>::new());
}

#[test]
fn names_that_lead_out_are_refused() {
    let mut case = Case::downloaded(Sample::MULTI);
    let name = Sample::MULTI.name;
    let foreign = case.home.downloaded().join("foreign");
    fs::write(&foreign, "theirs").unwrap();
    for to in ["../x", "/x", "", "a/../../x", &format!("{name}/nested")] {
        let order = case.order("rename", json!({"path": format!("{name}/small 1.bin"), "to": to}));
        case.running.refused(&order, "refused");
    }
    let more = json!({"path": format!("{name}/small 1.bin"), "to": format!("{name}/foreign")});
    let order = case.order("rename", more);
    case.running.refused(&order, "file_in_the_way");
    assert_eq!(fs::read(&foreign).unwrap(), b"theirs");
    let out = case.home.out();
    assert_goes_on(&mut case, &out);
    fs::remove_file(&foreign).unwrap();
    case.home.assert_downloaded();
}

#[test]
fn what_is_not_complete_lies_apart_and_is_called_so() {
    let sample = Sample { name: "apart", layout: &[("a", 3_000_000), ("b/c", 300_000)] };
    let mut case = Case::new(sample);
    let (out, apart) = (case.home.out(), case.home.path().join("apart"));
    let films = case.home.path().join("films");
    let settings = json!({"do": "session", "incomplete_dir": apart, "part_suffix": true, "save_paths": {"films": films}});
    assert_eq!(case.running.done(&settings)["save_paths"], json!({"films": films}));
    case.running.refused(&json!({"do": "session", "incomplete_dir": "x"}), "refused");
    case.running.refused(&json!({"do": "add", "torrent": case.home.torrent}), "order");
    let unknown = json!({"do": "add", "torrent": case.home.torrent, "category": "x"});
    case.running.refused(&unknown, "order");
    case.kill();
    let add = json!({"do": "add", "torrent": case.home.torrent, "category": "films", "sequential": true, "max_down": 512 * 1024});
    case.running.done(&add);
    let first = apart.join("apart/a.part");
    let torrent = case.running.until(|_| first.exists());
    assert_eq!((&torrent["dir"], &torrent["dir_when_complete"]), (&json!(apart), &json!(films)));
    assert!(!films.exists());
    // Names are given as they will be.
    case.done("rename", json!({"path": "apart/a", "to": "apart/called"}));
    let torrent = case.running.until(|_| apart.join("apart/called.part").exists());
    assert_eq!(torrent["renamed"], json!({"0": "apart/called"}));
    case.done("rename", json!({"path": "apart/called.part", "to": "apart/a.part"}));
    assert_eq!(case.running.until(|_| first.exists())["renamed"], json!({}));
    case.kill();
    case.done("set", json!({"max_down": null}));
    let torrent =
        case.running.until(|torrent| torrent["state"] == "seeding" && torrent["dir"] == json!(films));
    assert_eq!((&torrent["dir_when_complete"], &torrent["renamed"]), (&Value::Null, &json!({})));
    assert_moved(&case, &films, &apart);
    let served = case.seed.served();
    case.kill();
    case.wait();
    assert_eq!(case.seed.served(), served);
    // What is there already stays there.
    case.done("remove", json!({}));
    case.running.done(&add);
    case.wait();
    let torrent = case.running.torrent();
    assert_eq!((&torrent["dir"], &torrent["dir_when_complete"]), (&json!(films), &Value::Null));
    assert_eq!((left_in(&out), case.seed.served()), (Vec::new(), served));
}

#[test]
fn what_keeps_a_complete_torrent_where_it_is_is_told() {
    let case = Case::new(SMALL);
    let (home, seed) = (case.home, case.seed);
    case.running.end();
    let (apart, films, read_only) =
        (home.path().join("apart"), home.path().join("films"), home.path().join("ro"));
    fs::create_dir_all(&films).unwrap();
    fs::create_dir_all(&read_only).unwrap();
    let mut command = binary::command(home.path());
    command.args(["session", "--listen", "127.0.0.1:0", "--no-trackers", "--peer", &seed.addr.to_string()]);
    let ro = read_only.display();
    let mount = format!("mount -t tmpfs none '{ro}' && mount -o remount,ro '{ro}'");
    let (running, _) = Running::begin(&mut with_mount(&mount, &command));
    let mut case = Case { home, seed, running };
    case.running.done(&json!({"do": "session", "incomplete_dir": apart, "part_suffix": true}));
    for (dir, why) in [(&films, "films/small exists"), (&read_only, "read-only")] {
        let in_the_way = films.join("small");
        let add = json!({"do": "add", "torrent": case.home.torrent, "dir": dir, "paused": true});
        case.running.done(&add);
        fs::write(&in_the_way, "theirs").unwrap();
        case.done("resume", json!({}));
        case.wait();
        let torrent = case.running.until(|torrent| !torrent["error"].is_null());
        let told = torrent["error"].as_str().unwrap();
        assert!(told.contains("its files cannot go where they belong") && told.contains(why), "{told}");
        assert_eq!((&torrent["state"], &torrent["dir"]), (&json!("seeding"), &json!(apart)));
        let resumed = case.done("resume", json!({}));
        assert!(resumed["warning"].as_str().unwrap().contains(why), "{resumed}");
        assert_eq!(fs::read(&in_the_way).unwrap(), b"theirs");
        fs::remove_file(&in_the_way).unwrap();
        if dir == &films {
            // At once, since it is asked for.
            assert!(case.done("resume", json!({}))["warning"].is_null());
            let torrent = case.running.until(|torrent| torrent["state"] == "seeding");
            assert_eq!((&torrent["dir"], &torrent["error"]), (&json!(films), &Value::Null));
        } else {
            case.done("move", json!({"dir": films}));
            let torrent = case.running.until(|torrent| torrent["state"] == "seeding");
            assert_eq!((&torrent["dir"], &torrent["error"]), (&json!(films), &Value::Null));
        }
        case.done("remove", json!({"data": true}));
    }
}

/// Both would lie there for ever, each kept by the other.
#[test]
fn torrents_that_are_not_complete_share_no_file_where_they_lie_apart() {
    let mut case = Case::new(Sample { name: "one", layout: &[("a", 3_000_000), ("b", 50_000)] });
    let torrent = metafile::private_torrent(&case.home.sample);
    let (file, hash) = (case.home.path().join("other.torrent"), hex(&metafile::info_hash(&torrent).unwrap()));
    fs::write(&file, torrent).unwrap();
    let (apart, other) = (case.home.path().join("apart"), case.home.path().join("other"));
    case.running.done(&json!({"do": "session", "incomplete_dir": apart, "part_suffix": true}));
    case.add(json!({"max_down": 256 * 1024, "sequential": true}));
    case.running.until(|_| apart.join("one/a.part").exists());
    case.running.done(&json!({"do": "add", "torrent": file, "dir": other}));
    let listed = case.running.done(&json!({"do": "list"}));
    let torrents = listed["torrents"].as_array().unwrap();
    let added = torrents.iter().find(|torrent| torrent["info_hash"] == hash).unwrap();
    assert_eq!((&added["dir"], &added["dir_when_complete"]), (&json!(other), &Value::Null));
    case.done("set", json!({"max_down": null}));
    case.wait();
    case.running.done(&json!({"do": "remove", "info_hash": hash}));
    let out = case.home.out();
    case.running.until(|torrent| torrent["dir"] == json!(out) && torrent["state"] == "seeding");
    case.home.assert_downloaded();
}

#[test]
fn a_torrent_goes_on_once_what_stood_in_its_way_is_gone() {
    const TWO: Sample = Sample { name: "one", layout: &[("a", 3_000_000), ("b", 50_000)] };
    const OTHER: Sample = Sample { name: "one", layout: &[("b", 60_000)] };
    let mut case = Case::new(TWO);
    let torrent = metafile::torrent(&OTHER, None);
    let (file, hash) = (case.home.path().join("other.torrent"), hex(&metafile::info_hash(&torrent).unwrap()));
    fs::write(&file, torrent).unwrap();
    let (apart, out) = (case.home.path().join("apart"), case.home.out());
    case.running.done(&json!({"do": "session", "incomplete_dir": apart, "part_suffix": true}));
    case.add(json!({"max_down": 256 * 1024}));
    let until = |case: &mut Case, is: &dyn Fn(&Value) -> bool| {
        let started = std::time::Instant::now();
        loop {
            let listed = case.running.done(&json!({"do": "list"}));
            let torrents = listed["torrents"].as_array().unwrap();
            let other = torrents.iter().find(|torrent| torrent["info_hash"] == hash).unwrap();
            if is(other) {
                return;
            }
            assert!(started.elapsed() < common::LIMIT, "{other}");
        }
    };
    case.running.until(|_| apart.join("one/b.part").exists());
    case.running.done(&json!({"do": "add", "torrent": file, "dir": apart}));
    until(&mut case, &|other| other["state"] == "failed");
    case.done("set", json!({"max_down": null}));
    case.wait();
    until(&mut case, &|other| other["state"] == "downloading" && other["error"].is_null());
    case.running.done(&json!({"do": "remove", "info_hash": hash, "data": true}));
    case.running.until(|torrent| torrent["dir"] == json!(out) && torrent["state"] == "seeding");
    case.home.assert_downloaded();
}

#[test]
fn a_torrent_that_is_gone_leaves_nothing_in_the_state() {
    let mut case = Case::downloaded(SMALL);
    let kept = case.home.path().join("state/rawtorrent/resume");
    assert_eq!(left_in(&kept).len(), 1);
    let near = case.home.path().join("near");
    case.done("move", json!({"dir": near}));
    assert_eq!(left_in(&kept).len(), 1);
    // What an earlier end kept from going.
    let name = format!("{}-0123456789abcdef", case.hash());
    for (end, bytes) in [("lock", ""), ("parts", "x")] {
        fs::write(kept.join(format!("{name}.{end}")), bytes).unwrap();
    }
    // What is kept by who runs it now and then is not the session's.
    let other = format!("{}-fedcba9876543210", case.hash());
    for end in ["lock", "resume"] {
        fs::write(kept.join(format!("{other}.{end}")), "").unwrap();
    }
    case.done("remove", json!({}));
    let mut left = left_in(&kept);
    left.sort();
    assert_eq!(left, [PathBuf::from(format!("{other}.lock")), PathBuf::from(format!("{other}.resume"))]);
}
