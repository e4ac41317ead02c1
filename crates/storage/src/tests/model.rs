//! Any layout, any order of blocks, any choice of files: the bytes come out right.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

fn kind_and_length() -> impl Strategy<Value = (Kind, u64)> {
    prop_oneof![
        6 => (0u64..90_000).prop_map(|len| (Kind::File, len)),
        2 => (0u64..3).prop_map(|len| (Kind::File, len)),
        1 => (0u64..40_000).prop_map(|len| (Kind::Pad, len)),
        1 => Just((Kind::Link, 0)),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    files: Vec<(Kind, u64)>,
    wanted: Vec<bool>,
    wanted_later: Vec<bool>,
    piece_length: u32,
    /// Sorting the blocks by these random numbers makes a random order.
    order: Vec<u32>,
    in_order: bool,
    held: usize,
    kept: usize,
    allocate: Allocate,
}

fn case() -> impl Strategy<Value = Case> {
    (
        proptest::collection::vec(kind_and_length(), 1..9)
            .prop_filter("some bytes", |files| files.iter().any(|f| f.0 == Kind::File && f.1 > 0)),
        proptest::collection::vec(any::<bool>(), 9),
        proptest::collection::vec(any::<bool>(), 9),
        select(vec![16_384, 20_000, 32_768, 65_536, 131_072]),
        proptest::collection::vec(any::<u32>(), 60),
        any::<bool>(),
        select(vec![0, 20_000, 1 << 20]),
        select(vec![0, 20_000, 1 << 20]),
        select(vec![Allocate::Sparse, Allocate::Full]),
    )
        .prop_map(
            |(files, wanted, wanted_later, piece_length, order, in_order, held, kept, allocate)| {
                let n = files.len();
                let (wanted, wanted_later) = (wanted[..n].to_vec(), wanted_later[..n].to_vec());
                Case { files, wanted, wanted_later, piece_length, order, in_order, held, kept, allocate }
            },
        )
}

/// Downloads what `wanted` needs and is not there, with a bad first try at every third piece and duplicates.
fn download(sample: &Sample, opened: &Opened, wanted: &[bool], case: &Case) {
    let needed = sample.needed(wanted);
    let have = opened.disk.verified();
    let mut blocks: Vec<BlockRange> =
        needed.ones().filter(|p| !have.contains(*p)).flat_map(|p| sample.blocks(p)).collect();
    let expected = blocks.iter().map(|b| b.piece).collect::<std::collections::BTreeSet<_>>();
    if !case.in_order {
        let mut keyed: Vec<_> =
            blocks.iter().enumerate().map(|(n, b)| (case.order[n % case.order.len()], n, *b)).collect();
        keyed.sort_unstable_by_key(|(key, n, _)| (*key, *n));
        blocks = keyed.into_iter().map(|(.., b)| b).collect();
    }
    for &piece in expected.iter().filter(|p| p.get() % 3 == 0) {
        // A byte that is written somewhere: pad bytes are not, whatever a peer sends.
        let Some(bad) = sample.layout.regular_slices(piece).next() else { continue };
        let bad =
            sample.layout.files()[bad.file].offset + bad.offset - sample.layout.lengths().piece_offset(piece);
        for &block in blocks.iter().filter(|b| b.piece == piece) {
            let mut data = sample.bytes(block).to_vec();
            if (u64::from(block.offset)..u64::from(block.end())).contains(&bad) {
                data[bad as usize - block.offset as usize] ^= 1;
            }
            block_on(opened.disk.write_block(block, data.into(), 0)).unwrap();
        }
        opened.failed(piece);
    }
    let mut left = expected;
    for (n, &block) in blocks.iter().enumerate() {
        opened.write(sample, block);
        if n % 4 == 0 {
            let again = block_on(opened.disk.write_block(block, sample.bytes(block), 0));
            assert!(matches!(again, Err(WriteRefused::Duplicate | WriteRefused::AlreadyVerified)));
        }
    }
    while !left.is_empty() {
        let DiskEvent::PieceVerified { piece, .. } = opened.event() else { panic!("not verified") };
        assert!(left.remove(&piece));
    }
    assert!(!needed.has_any_not_in(&opened.disk.verified()));
}

fn assert_files(sample: &Sample, root: &Path, wanted: &[bool], ever_wanted: &[bool]) {
    for (n, (kind, _)) in sample.files.iter().enumerate() {
        let path = sample.path(root, n);
        if *kind == Kind::File && wanted[n] {
            assert!(std::fs::read(&path).unwrap() == sample.file_bytes(n), "{path:?} differs");
        } else if *kind != Kind::File || !ever_wanted[n] {
            assert!(!path.exists(), "{path:?} should not be there");
        }
    }
}

fn assert_readable(sample: &Sample, disk: &TorrentDisk) {
    for piece in disk.verified().ones() {
        for block in sample.blocks(piece) {
            assert!(block_on(disk.read_block(block)).unwrap() == sample.bytes(block), "{block:?} differs");
        }
    }
}

fn run(case: &Case) {
    let sample = Sample::new(case.piece_length, &case.files);
    let place = Place::with(PoolSettings {
        held_per_torrent: case.held,
        kept_per_torrent: case.kept,
        ..PoolSettings::default()
    });
    let set = |wanted: &[bool]| {
        let wanted = wanted.to_vec();
        let allocate = case.allocate;
        move |options: &mut OpenOptions| {
            options.wanted = wanted;
            options.allocate = allocate;
        }
    };

    let first = place.open_with(&sample, set(&case.wanted));
    block_on(first.disk.prepare()).unwrap();
    download(&sample, &first, &case.wanted, case);
    assert_readable(&sample, &first.disk);
    let saved = block_on(first.disk.close()).unwrap();
    assert_eq!(saved.pieces, sample.needed(&case.wanted));
    assert_eq!(place.pool.shared.held.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_files(&sample, &place.root(), &case.wanted, &case.wanted);
    drop(first);

    // A recheck without any state finds the same.
    let checked = place.open_with(&sample, set(&case.wanted));
    let found = block_on(checked.disk.check(&sample.full(), |_| {})).unwrap();
    assert!(!saved.pieces.has_any_not_in(&found), "{:?} of {:?}", found, saved.pieces);
    assert_readable(&sample, &checked.disk);
    drop(checked);

    // Another choice of files goes on from there.
    let later = place.open_with(&sample, |options| {
        set(&case.wanted_later)(options);
        options.trusted = Some(saved.pieces.clone());
        options.known = saved.ours.clone();
        options.stamps = saved.files.clone();
    });
    assert_eq!(later.disk.verified(), saved.pieces);
    block_on(later.disk.prepare()).unwrap();
    assert_eq!(later.disk.verified(), saved.pieces);
    download(&sample, &later, &case.wanted_later, case);
    assert_readable(&sample, &later.disk);
    block_on(later.disk.close()).unwrap();
    let ever: Vec<bool> = case.wanted.iter().zip(&case.wanted_later).map(|(a, b)| *a || *b).collect();
    assert_files(&sample, &place.root(), &case.wanted_later, &ever);
    assert_files(&sample, &place.root(), &case.wanted, &ever);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn bytes_come_out_right(case in case()) {
        run(&case);
    }
}
