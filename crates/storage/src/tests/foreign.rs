//! Other people's files, links, pipes and folders where the torrent's files would go.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

const PIECE: u32 = 32_768;

fn sample() -> Sample {
    Sample::new(PIECE, &[(Kind::File, 100_000), (Kind::File, 50_000), (Kind::File, 0)])
}

/// Puts something at a file's path.
fn plant(place: &Place, sample: &Sample, file: usize, bytes: &[u8]) -> PathBuf {
    let path = sample.path(&place.root(), file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn download(sample: &Sample, opened: &Opened) {
    block_on(opened.disk.prepare()).unwrap();
    let have = opened.disk.verified();
    have.zeros().for_each(|piece| opened.write_piece(sample, piece.get()));
    block_on(opened.disk.close()).unwrap();
    for (file, (_, len)) in sample.files.iter().enumerate() {
        let bytes = fs::read(opened.disk.inner.files.path(file)).unwrap();
        assert!(bytes == sample.file_bytes(file) && bytes.len() as u64 == *len);
    }
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let (place, sample) = (Place::new(), sample());
    let path = plant(&place, &sample, 1, &[7; 60_000]);
    let opened = place.open(&sample);
    assert_eq!(opened.disk.ours(), [true, false, true]);
    assert_eq!(block_on(opened.disk.prepare()), Err(Error::FileInTheWay(path.clone())));
    assert!(!block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    assert_eq!(block_on(opened.disk.prepare()), Err(Error::FileInTheWay(path.clone())));
    assert_eq!(fs::read(path).unwrap(), [7; 60_000]);
    assert!(!sample.path(&place.root(), 0).exists(), "nothing half-written");
}

#[test]
fn a_file_is_ours_if_our_state_names_it() {
    let (place, sample) = (Place::new(), sample());
    plant(&place, &sample, 1, &[7; 60_000]);
    let opened = place.open_with(&sample, |o| o.known = vec![false, true]);
    download(&sample, &opened);
}

/// A file that is longer than the torrent says, by what makes it ours. It is cut even if nothing else is
/// missing, and not before it is clear that nothing stands in the way.
#[test]
fn a_longer_file_of_ours_is_cut() {
    let sample = sample();
    let longer = |file| [sample.file_bytes(file), &[7; 10_000]].concat();
    for (overwrite, known, checked) in [(true, false, false), (false, true, false), (false, false, true)] {
        let place = Place::new();
        sample.write_files(&place.root());
        let path = plant(&place, &sample, 0, &longer(0));
        plant(&place, &sample, 2, b"more"); // in the way, unless it is known or may be overwritten
        let open = |known: Vec<bool>| {
            let opened = place.open_with(&sample, |o| {
                o.overwrite = overwrite;
                o.known = known;
            });
            if checked {
                assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
            }
            opened
        };
        if !overwrite {
            assert!(block_on(open(vec![known, known, false]).disk.prepare()).is_err());
        }
        assert_eq!(fs::read(&path).unwrap(), longer(0), "untouched so far");
        let opened = open(vec![known, known, true]);
        block_on(opened.disk.prepare()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), sample.file_bytes(0));
        let report = block_on(opened.disk.verify(|_| {})).unwrap();
        assert!(report.files.iter().all(|file| *file == FileReport::Good), "{report:?}");
        let stamps = block_on(opened.disk.close()).unwrap().files;
        assert_eq!(stamps[0].unwrap().size, 100_000);
        assert!(place.os.faults.get().syncs > 0, "the cut is made durable");
    }
}

#[test]
fn a_file_that_grows_again_is_cut_by_the_next_prepare() {
    let (place, sample) = (Place::new(), sample());
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    let path = sample.path(&place.root(), 0);
    fs::File::options().write(true).open(&path).unwrap().set_len(200_000).unwrap();
    block_on(opened.disk.prepare()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), 100_000);
}

#[test]
fn a_longer_unwanted_file_is_not_cut() {
    let (place, sample) = (Place::new(), sample());
    let bytes = [sample.file_bytes(0), b"more"].concat();
    let path = plant(&place, &sample, 0, &bytes);
    let opened = place.open_with(&sample, |o| {
        o.wanted = vec![false, true, true];
        o.known = vec![true];
    });
    assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().count_ones() > 0);
    block_on(opened.disk.prepare()).unwrap();
    (3..5).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.close()).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_file_is_ours_if_a_good_piece_is_in_it() {
    let (place, sample) = (Place::new(), sample());
    let mut bytes = sample.file_bytes(0).to_vec();
    bytes[90_000] ^= 1;
    plant(&place, &sample, 0, &bytes);
    let opened = place.open(&sample);
    assert!(block_on(opened.disk.prepare()).is_err());
    let found = block_on(opened.disk.check(&sample.full(), |_| {})).unwrap();
    assert_eq!(found, pieces(&sample, &[0, 1]));
    download(&sample, &opened);
}

#[test]
fn a_file_may_be_overwritten_if_its_owner_says_so() {
    let (place, sample) = (Place::new(), sample());
    let path = plant(&place, &sample, 1, &[7; 60_000]);
    let empty = plant(&place, &sample, 2, b"should be empty");
    let opened = place.open_with(&sample, |o| o.overwrite = true);
    download(&sample, &opened);
    assert_eq!(fs::metadata(path).unwrap().len(), 50_000);
    assert_eq!(fs::metadata(empty).unwrap().len(), 0);
}

#[test]
fn a_file_that_appears_before_the_first_write_is_left_alone() {
    let (place, sample) = (Place::new(), sample());
    let opened = place.ready(&sample);
    let path = plant(&place, &sample, 0, b"mine");
    for block in sample.blocks(PieceIndex::new(0)) {
        let _ = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
    }
    assert_eq!(opened.event(), DiskEvent::Failed(Error::FileInTheWay(path.clone())));
    assert_eq!(fs::read(path).unwrap(), b"mine");
}

#[test]
fn an_empty_file_of_somebody_elses_counts_too() {
    let (place, sample) = (Place::new(), sample());
    let path = plant(&place, &sample, 0, b"");
    assert_eq!(block_on(place.open(&sample).disk.prepare()), Err(Error::FileInTheWay(path)));
}

#[test]
fn an_empty_file_that_the_torrent_has_empty_is_all_there() {
    let (place, sample) = (Place::new(), sample());
    sample.write_files(&place.root());
    let path = plant(&place, &sample, 2, b"");
    let opened = place.open(&sample);
    assert!(block_on(opened.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    download(&sample, &opened);
    fs::write(&path, b"not empty").unwrap();
    let again = place.open(&sample);
    assert!(block_on(again.disk.check(&sample.full(), |_| {})).unwrap().is_full());
    assert_eq!(block_on(again.disk.prepare()), Err(Error::FileInTheWay(path)));
}

/// A link planted before the start, as a file and as a folder, and after it.
#[test]
fn nothing_is_reached_through_a_link() {
    let sample = sample();
    for overwrite in [false, true] {
        let place = Place::new();
        let outside = place.dir.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("f0"), "precious").unwrap();
        fs::write(outside.join("f1"), "precious").unwrap();
        fs::create_dir_all(place.root().join("t")).unwrap();

        let link = sample.path(&place.root(), 0);
        symlink(outside.join("f0"), &link).unwrap();
        let opened = place.open_with(&sample, |o| o.overwrite = overwrite);
        assert_eq!(block_on(opened.disk.prepare()), Err(Error::SymbolicLink(link.clone())));
        assert_eq!(
            block_on(opened.disk.check(&sample.full(), |_| {})),
            Err(Error::SymbolicLink(link.clone()))
        );
        fs::remove_file(&link).unwrap();

        let folder = place.root().join("t/d1");
        symlink(&outside, &folder).unwrap();
        let opened = place.open_with(&sample, |o| o.overwrite = overwrite);
        assert_eq!(block_on(opened.disk.prepare()), Err(Error::SymbolicLink(folder.clone())));
        fs::remove_file(&folder).unwrap();

        let opened = place.open_with(&sample, |o| o.overwrite = overwrite);
        block_on(opened.disk.prepare()).unwrap();
        symlink(&outside, &folder).unwrap();
        for block in sample.all_blocks() {
            let _ = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
        }
        let failed = std::iter::from_fn(|| Some(opened.event())).find(|e| matches!(e, DiskEvent::Failed(_)));
        assert_eq!(failed, Some(DiskEvent::Failed(Error::SymbolicLink(folder))));
        assert_eq!(fs::read(outside.join("f0")).unwrap(), b"precious");
        assert_eq!(fs::read(outside.join("f1")).unwrap(), b"precious");
    }
}

#[test]
fn the_download_folder_itself_may_be_a_link() {
    let (place, sample) = (Place::new(), sample());
    let real = place.dir.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, place.root()).unwrap();
    download(&sample, &place.open(&sample));
}

#[test]
fn pipes_and_folders_are_not_files() {
    let (place, sample) = (Place::new(), sample());
    let path = sample.path(&place.root(), 0);
    fs::create_dir_all(&path).unwrap();
    assert_eq!(block_on(place.open(&sample).disk.prepare()), Err(Error::FolderInTheWay(path.clone())));
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let opened = place.open_with(&sample, |o| o.overwrite = true);
    assert_eq!(block_on(opened.disk.prepare()), Err(Error::NotAFile(path)));
}

#[test]
fn what_stands_at_an_unwanted_file_is_nobodys_business() {
    let (place, sample) = (Place::new(), sample());
    fs::create_dir_all(place.root().join("t")).unwrap();
    symlink("/nowhere", sample.path(&place.root(), 0)).unwrap();
    let opened = place.open_with(&sample, |o| o.wanted = vec![false, true, true]);
    block_on(opened.disk.prepare()).unwrap();
    (3..5).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.close()).unwrap();
    assert_eq!(fs::read(sample.path(&place.root(), 1)).unwrap(), sample.file_bytes(1));
}

/// An unwanted file that is there and complete is read, and not written.
#[test]
fn a_complete_unwanted_file_serves_its_bytes() {
    let (place, sample) = (Place::new(), sample());
    let path = plant(&place, &sample, 0, sample.file_bytes(0));
    let opened = place.open_with(&sample, |o| o.wanted = vec![false, true, true]);
    let found = block_on(opened.disk.check(&sample.full(), |_| {})).unwrap();
    assert_eq!(found, pieces(&sample, &[0, 1, 2]));
    block_on(opened.disk.prepare()).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    (3..5).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.close()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read(sample.path(&place.root(), 1)).unwrap(), sample.file_bytes(1));
}

/// A file that is ours is opened again now and then; by then it may be a link.
#[test]
fn nothing_is_reached_through_a_link_that_comes_later() {
    let sample = Sample::new(PIECE, &[(Kind::File, 4 * u64::from(PIECE)), (Kind::File, 10)]);
    let place = Place::with(PoolSettings { open_files: 1, ..PoolSettings::default() });
    let opened = place.ready(&sample);
    opened.write_piece(&sample, 0);
    opened.write_piece(&sample, 4); // closes the first file
    let outside = place.dir.path().join("outside");
    fs::write(&outside, "precious").unwrap();
    let path = sample.path(&place.root(), 0);
    fs::remove_file(&path).unwrap();
    symlink(&outside, &path).unwrap();
    for block in sample.blocks(PieceIndex::new(1)) {
        let _ = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
    }
    assert_eq!(opened.event(), DiskEvent::Failed(Error::SymbolicLink(path)));
    assert_eq!(fs::read(outside).unwrap(), b"precious");
}
