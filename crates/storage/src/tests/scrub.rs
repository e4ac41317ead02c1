//! Verified pieces that go bad on disk.

use super::*;

const PIECE: u32 = 65_536;

/// Three pieces in two files, all of them there and durable.
fn complete(place: &Place) -> (Sample, Opened) {
    let half = u64::from(PIECE) * 3 / 2;
    let sample = Sample::new(PIECE, &[(Kind::File, half), (Kind::File, half)]);
    let opened = place.ready(&sample);
    (0..3).for_each(|piece| opened.write_piece(&sample, piece));
    block_on(opened.disk.sync()).unwrap();
    (sample, opened)
}

fn scrub(opened: &Opened, piece: u32) -> Result<bool, Error> {
    block_on(opened.disk.scrub(PieceIndex::new(piece)))
}

#[test]
fn what_is_good_stays() {
    let place = Place::new();
    let (sample, opened) = complete(&place);
    (0..3).for_each(|piece| assert_eq!(scrub(&opened, piece), Ok(true)));
    assert_eq!(opened.disk.verified(), sample.full());
    assert!(opened.nothing_told());
}

#[test]
fn a_bit_that_flips_loses_its_piece_alone_which_can_be_written_again() {
    let place = Place::new();
    let (sample, opened) = complete(&place);
    // In memory already, as it is when somebody asks for it.
    block_on(opened.disk.read_block(sample.block(1, 0))).unwrap();
    let path = sample.path(&place.root(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[7] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(scrub(&opened, 0), Ok(true));
    assert_eq!(scrub(&opened, 1), Ok(false));
    opened.lost(vec![1]);
    assert_eq!(opened.disk.verified(), pieces(&sample, &[0, 2]));
    assert_eq!(scrub(&opened, 1), Err(Error::NotVerified(1)));
    assert_eq!(block_on(opened.disk.read_block(sample.block(1, 0))), Err(Error::NotVerified(1)));
    opened.write_piece(&sample, 1);
    assert_eq!(scrub(&opened, 1), Ok(true));
    assert_eq!(std::fs::read(path).unwrap(), sample.file_bytes(1));
}

#[test]
fn what_is_gone_is_lost() {
    let place = Place::new();
    let (sample, opened) = complete(&place);
    let path = sample.path(&place.root(), 1);
    std::fs::remove_file(&path).unwrap();
    place.pool.shared.handles.forget(|_| true);
    assert_eq!(scrub(&opened, 2), Err(Error::Gone(path)));
    opened.lost(vec![1, 2]);
}

#[test]
fn the_next_verified_piece_is_found() {
    let place = Place::new();
    let sample = Sample::one_file(PIECE, 4 * u64::from(PIECE));
    let opened = place.ready(&sample);
    [1, 3].into_iter().for_each(|piece| opened.write_piece(&sample, piece));
    let next = |from| opened.disk.next_verified(PieceIndex::new(from)).map(PieceIndex::get);
    assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(next), [Some(1), Some(1), Some(3), Some(3), None, None]);
}
