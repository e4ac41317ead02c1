//! Files that go elsewhere: all of them, or none; whatever is interrupted can be done again or undone.

use super::*;
use crate::os::faults::Plan;
use rustix::io::Errno;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct Case {
    place: Place,
    sample: Sample,
}

impl Case {
    fn new() -> Case {
        let (place, sample) = (Place::new(), sample());
        sample.write_files(&place.root());
        Case { place, sample }
    }

    fn target(&self) -> PathBuf {
        self.place.dir.path().join("else/where")
    }

    fn sides(&self) -> (Side, Side) {
        let side = |root| Side::new(root, None, self.sample.layout.clone());
        (side(self.place.root()), side(self.target()))
    }

    fn plan(&self) -> Result<Relocation, Error> {
        let (from, to) = self.sides();
        Relocation::plan(&self.place.pool, from, to, "name", &[true; 4])
    }

    /// As after a crash.
    fn again(&self, plan: &Relocation) -> Relocation {
        let (from, to) = self.sides();
        Relocation::resume(&self.place.pool, from, to, "name", plan.stamps().to_vec())
    }

    fn set(&self, plan: Plan) {
        self.place.os.faults.set(plan);
    }

    fn assert_all_in(&self, root: &Path) {
        for file in [0, 1, 3] {
            assert_eq!(fs::read(self.sample.path(root, file)).unwrap(), self.sample.file_bytes(file));
        }
    }

    fn assert_nothing_in(&self, root: &Path) {
        let left: Vec<_> = fs::read_dir(root).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn sample() -> Sample {
    Sample::new(65_536, &[(Kind::File, 100_000), (Kind::File, 70_000), (Kind::Pad, 500), (Kind::File, 3)])
}

fn copy(plan: &Relocation) -> Result<Vec<Option<FileStamp>>, Error> {
    plan.copy(&AtomicBool::new(false), &AtomicU64::new(0))
}

#[test]
fn files_are_renamed() {
    let case = Case::new();
    let plan = case.plan().unwrap();
    assert!(plan.rename().unwrap());
    case.assert_all_in(&case.target());
    case.assert_nothing_in(&case.place.root());
    assert!(case.again(&plan).rename().unwrap(), "once more, after a crash");
    plan.undo(None).unwrap();
    case.assert_all_in(&case.place.root());
    case.assert_nothing_in(&case.target());
}

#[test]
fn a_rename_that_fails_halfway_is_finished_or_undone() {
    for undo in [true, false] {
        let case = Case::new();
        let plan = case.plan().unwrap();
        case.set(Plan { rename: Some((2, Errno::IO)), ..Plan::default() });
        plan.rename().unwrap_err();
        case.set(Plan::default());
        let again = case.again(&plan);
        if undo {
            again.undo(None).unwrap();
        } else {
            assert!(again.rename().unwrap());
        }
        let (there, not_there) = match undo {
            true => (case.place.root(), case.target()),
            false => (case.target(), case.place.root()),
        };
        case.assert_all_in(&there);
        case.assert_nothing_in(&not_there);
    }
}

#[test]
fn files_of_somebody_else_are_not_replaced() {
    let case = Case::new();
    let theirs = case.sample.path(&case.target(), 1);
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "theirs").unwrap();
    assert!(matches!(case.plan(), Err(Error::FileInTheWay(path)) if path == theirs));
    fs::remove_file(&theirs).unwrap();
    // Not even one that came after the look.
    let plan = case.plan().unwrap();
    fs::write(&theirs, "theirs").unwrap();
    assert!(matches!(plan.rename(), Err(Error::FileInTheWay(_))));
    plan.undo(None).unwrap();
    case.assert_all_in(&case.place.root());
    let staged = copy(&plan).unwrap();
    assert!(matches!(plan.place(&staged), Err(Error::FileInTheWay(_))));
    plan.undo(Some(&staged)).unwrap();
    case.assert_all_in(&case.place.root());
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    fs::remove_dir_all(case.target()).unwrap();
    std::os::unix::fs::symlink(case.place.root(), case.target()).unwrap();
    assert!(matches!(case.plan(), Err(Error::FileInTheWay(_))), "the same folder by another name");
}

#[test]
fn copies_look_like_what_they_are_of_and_take_its_place() {
    let case = Case::new();
    let plan = case.plan().unwrap();
    let copied = AtomicU64::new(0);
    let staged = plan.copy(&AtomicBool::new(false), &copied).unwrap();
    assert_eq!((copied.load(Ordering::Relaxed), plan.bytes()), (170_003, 170_003));
    case.assert_all_in(&case.place.root());
    for (copy, stamp) in staged.iter().zip(plan.stamps()) {
        let look = |stamp: &Option<FileStamp>| stamp.map(|stamp| (stamp.size, stamp.mtime_nanos));
        assert_eq!(look(copy), look(stamp));
    }
    plan.place(&staged).unwrap();
    case.again(&plan).place(&staged).unwrap();
    case.assert_all_in(&case.target());
    case.assert_all_in(&case.place.root());
    assert_eq!(plan.clean(), []);
    case.assert_nothing_in(&case.place.root());
    assert_eq!(fs::read_dir(case.target()).unwrap().count(), 1, "the torrent's folder alone");
}

/// At each write, sync and rename in turn: nothing is lost and nothing left behind, and it goes on where it was.
#[test]
fn a_copy_that_fails_is_undone_or_goes_on() {
    for undo in [true, false] {
        for step in 0.. {
            let case = Case::new();
            let plan = case.plan().unwrap();
            let (write, rename) = if step % 2 == 0 { (step / 2, u32::MAX) } else { (u32::MAX, step / 2) };
            let faults = Plan {
                write: Some((write, Errno::NOSPC)),
                rename: Some((rename, Errno::IO)),
                ..Plan::default()
            };
            case.set(faults);
            let staged = copy(&plan);
            let placed = staged.as_ref().map(|staged| plan.place(staged));
            case.set(Plan::default());
            if step % 2 == 0
                && let Err(error) = &staged
            {
                assert!(matches!(error, Error::DiskFull(_)), "{error:?}");
            }
            let is_done = matches!(placed, Ok(Ok(())));
            let again = case.again(&plan);
            if undo {
                again.undo(staged.as_deref().ok()).unwrap();
                case.assert_nothing_in(&case.target());
            } else {
                let staged = staged.or_else(|_| copy(&again)).unwrap();
                again.place(&staged).unwrap();
                case.assert_all_in(&case.target());
            }
            case.assert_all_in(&case.place.root());
            if is_done && step > 20 {
                break;
            }
        }
    }
}

#[test]
fn a_sync_that_fails_is_no_copy() {
    let case = Case::new();
    let plan = case.plan().unwrap();
    case.set(Plan { sync: Some(Errno::IO), ..Plan::default() });
    assert!(matches!(copy(&plan), Err(Error::Io { action: "sync", .. })));
    case.set(Plan::default());
    plan.undo(None).unwrap();
    case.assert_nothing_in(&case.target());
}

#[test]
fn what_changes_meanwhile_is_not_taken_over_and_not_removed() {
    let case = Case::new();
    let plan = case.plan().unwrap();
    let path = case.sample.path(&case.place.root(), 0);
    let staged = copy(&plan).unwrap();
    fs::write(&path, "another").unwrap();
    assert!(copy(&case.plan().unwrap()).is_ok(), "planned anew");
    let changed =
        Relocation::resume(&case.place.pool, case.sides().0, case.sides().1, "other", plan.stamps().to_vec());
    assert_eq!(copy(&changed).unwrap_err(), Error::Changed(path.clone()));
    drop(staged);
    assert_eq!(plan.clean(), []);
    assert_eq!(fs::read(&path).unwrap(), b"another");
}

#[test]
fn a_copy_is_stopped_and_goes_on_where_it_was() {
    let case = Case::new();
    let plan = case.plan().unwrap();
    assert_eq!(plan.copy(&AtomicBool::new(true), &AtomicU64::new(0)).unwrap_err(), Error::Closed);
    let staged = copy(&case.again(&plan)).unwrap();
    let again = copy(&case.again(&plan)).unwrap();
    assert_eq!(staged, again, "nothing is copied twice");
}

#[test]
fn holes_stay_holes() {
    let (place, sample) = (Place::new(), Sample::one_file(65_536, 50));
    let path = sample.path(&place.root(), 0);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 32 << 20).unwrap();
    let to = place.dir.path().join("to");
    let side = |root| Side::new(root, None, sample.layout.clone());
    let plan = Relocation::plan(&place.pool, side(place.root()), side(to.clone()), "name", &[true]).unwrap();
    let staged = copy(&plan).unwrap();
    plan.place(&staged).unwrap();
    let copy = sample.path(&to, 0);
    assert_eq!(fs::read(&path).unwrap(), fs::read(&copy).unwrap());
    let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap());
    assert!(blocks(&copy) <= blocks(&path) + 8, "{} {}", blocks(&copy), blocks(&path));
}
