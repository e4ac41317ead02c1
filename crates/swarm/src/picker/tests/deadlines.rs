//! Deadlines, one rule at a time; the model knows them all together.

use super::*;
use crate::limits::{LATE_SCAN, MAX_DEADLINES};

const NOW: Time = Time::from_secs(100);

fn after(millis: u64) -> Option<Time> {
    Some(NOW + Duration::from_millis(millis))
}

/// A peer that delivers a block in so many milliseconds.
fn in_time(pieces: &Pieces, key: u64, millis: u64) -> Asker<'_> {
    let eta = Duration::from_millis(millis);
    Asker { now: NOW, eta, quickest: Some(eta), ..anybody(pieces, key) }
}

fn pick(picker: &mut Picker, asker: &Asker<'_>) -> u32 {
    picker.pick(asker).unwrap().piece.get()
}

#[test]
fn the_earliest_comes_first_and_is_left_to_nobody() {
    let (mut picker, pieces) = with_seed_peer();
    let led = picker.pick(&Asker { whole: true, ..in_time(&pieces, 1, 10) }).unwrap().piece;
    let (early, late) =
        (PieceIndex::new((led.get() + 1) % PIECES), PieceIndex::new((led.get() + 2) % PIECES));
    picker.set_deadline(late, after(3000), NOW);
    picker.set_deadline(led, after(2000), NOW);
    picker.set_deadline(early, after(1000), NOW);
    let fast = |key| Asker { whole: true, ..in_time(&pieces, key, 10) };
    // Two peers take turns: three blocks of the first, two of the one that was begun, three of the last.
    let order: Vec<u32> = (0..8).map(|n| pick(&mut picker, &fast(2 + n % 2))).collect();
    let [early, led, late] = [early, led, late].map(PieceIndex::get);
    assert_eq!(order, [early, early, early, led, led, late, late, late]);
    // It goes before a priority too, and goes back where it belongs when it is over.
    let (mut picker, pieces) = with_seed_peer();
    let mut priorities = [Priority::High; PIECES as usize];
    priorities[7] = Priority::Low;
    picker.set_priorities(&priorities);
    picker.set_deadline(PieceIndex::new(7), after(1000), NOW);
    assert_eq!(pick(&mut picker, &in_time(&pieces, 1, 10)), 7);
    picker.set_deadline(PieceIndex::new(7), None, NOW);
    assert_ne!(pick(&mut picker, &in_time(&pieces, 1, 10)), 7);
}

#[test]
fn who_cannot_make_it_takes_what_is_wanted_later() {
    let (mut picker, pieces) = with_seed_peer();
    picker.set_deadline(PieceIndex::new(3), after(1000), NOW);
    picker.set_deadline(PieceIndex::new(4), after(9000), NOW);
    let slow = in_time(&pieces, 1, 4000);
    picker.look_at_pace(&[
        (&pieces, Some(Duration::from_millis(100)), 1_000_000),
        (&pieces, Some(slow.eta), 4000),
    ]);
    assert_eq!(pick(&mut picker, &slow), 4, "twice its time is 8 seconds");
    assert_eq!(pick(&mut picker, &in_time(&pieces, 2, 100)), 3);
    let slower = in_time(&pieces, 3, 5000);
    let other = pick(&mut picker, &slower);
    assert!(other != 3 && other != 4, "{other}");
    // When there is nobody else, late is better than never.
    picker.look_at_pace(&[]);
    assert_eq!(pick(&mut picker, &slower), 3);
}

#[test]
fn who_is_on_parole_gets_an_urgent_piece_last() {
    let (mut picker, pieces) = with_seed_peer();
    picker.set_deadline(PieceIndex::new(3), after(1000), NOW);
    let suspect = Asker { alone: true, trusted: false, ..in_time(&pieces, 1, 10) };
    let order: Vec<u32> =
        core::iter::from_fn(|| picker.pick(&suspect)).map(|block| block.piece.get()).collect();
    assert_eq!(order.len(), (PIECES * BLOCKS - 1) as usize);
    assert!(order[..order.len() - BLOCKS as usize].iter().all(|&piece| piece != 3));
    assert_eq!(order.last(), Some(&3));
}

/// All blocks of a piece came, and it is bad.
fn fail(picker: &mut Picker, piece: PieceIndex) {
    blocks(piece).for_each(|block| assert!(matches!(picker.received(block, None), Receipt::New { .. })));
    picker.failed(piece);
}

#[test]
fn an_urgent_piece_that_failed_comes_from_one_peer_that_nobody_suspects_while_there_is_time() {
    let (mut picker, pieces) = with_seed_peer();
    let bad = PieceIndex::new(3);
    fail(&mut picker, bad);
    // 48 KiB at 64 KiB/s, and the first block 250 ms from now: a second, so two until others help.
    let author = |key| Asker { rate: 64 << 10, ..in_time(&pieces, key, 250) };
    let suspect = Asker { alone: true, trusted: false, ..author(9) };
    let begin = |picker: &mut Picker, at| {
        picker.set_deadline(bad, after(at), NOW);
        assert_ne!(pick(picker, &suspect), bad.get(), "not a suspect's");
        assert_eq!(pick(picker, &author(1)), bad.get());
    };
    begin(&mut picker, 3000);
    assert_ne!(pick(&mut picker, &author(2)), bad.get(), "it has one author");
    let late = |key, millis| Asker { now: after(millis).unwrap(), ..in_time(&pieces, key, 10) };
    assert_eq!(picker.pick_late(&late(2, 1999), |_| false), None, "late as it is");
    // Its author goes on with it though it would be too slow for another one.
    picker.look_at_pace(&[(&pieces, Some(Duration::from_millis(10)), 1_000_000)]);
    assert_eq!(pick(&mut picker, &Asker { eta: Duration::from_secs(9), ..author(1) }), bad.get());
    picker.share_overdue(after(1999).unwrap());
    assert_ne!(pick(&mut picker, &late(2, 1999)), bad.get());
    let returns = picker.returns();
    picker.share_overdue(after(2000).unwrap());
    assert!(picker.returns() > returns, "who idles is told");
    assert_eq!(pick(&mut picker, &late(2, 2000)), bad.get(), "now everybody helps");
    assert!(picker.pick_late(&late(2, 2000), |_| false).is_some_and(|block| block.piece == bad));
    // Where there is no time for that, it is everybody's at once.
    let (mut other, _) = with_seed_peer();
    fail(&mut other, bad);
    begin(&mut other, 1999);
    assert_eq!(pick(&mut other, &author(2)), bad.get());
}

#[test]
fn a_piece_of_one_author_that_gets_a_deadline_stays_its_own_until_it_is_near() {
    let near = DEADLINE_NEAR + Duration::from_millis(1);
    for (at, moved) in [(NOW + near, None), (NOW + near * 2, Some(NOW + near))] {
        let (mut picker, pieces) = with_seed_peer();
        let own = picker.pick(&Asker { alone: true, ..in_time(&pieces, 1, 10) }).unwrap().piece;
        picker.set_deadline(own, Some(at), NOW);
        moved.into_iter().for_each(|at| picker.set_deadline(own, Some(at), NOW));
        picker.share_overdue(NOW);
        assert_ne!(pick(&mut picker, &in_time(&pieces, 2, 10)), own.get());
        picker.share_overdue(NOW + Duration::from_millis(1));
        assert_eq!(pick(&mut picker, &in_time(&pieces, 2, 10)), own.get());
    }
}

#[test]
fn if_all_are_on_parole_each_gets_urgent_pieces_of_its_own() {
    let (mut picker, pieces) = with_seed_peer();
    (3..6).for_each(|n| picker.set_deadline(PieceIndex::new(n), after(1000 * u64::from(n)), NOW));
    let suspect = |key| Asker { alone: true, rate: 1 << 20, ..in_time(&pieces, key, 10) };
    let order: Vec<u32> = (0..9).map(|n| pick(&mut picker, &suspect(n % 3))).collect();
    assert_eq!(order, [3, 4, 5, 3, 4, 5, 3, 4, 5]);
}

#[test]
fn a_late_block_is_asked_of_others_when_it_is_near() {
    let (mut picker, pieces) = with_seed_peer();
    let near = NOW + DEADLINE_NEAR;
    picker.set_deadline(PieceIndex::new(3), Some(near + Duration::from_millis(1001)), NOW);
    let block = picker.pick(&in_time(&pieces, 1, 300)).unwrap();
    let at = |key, millis| Asker { now: after(millis).unwrap(), ..in_time(&pieces, key, 10) };
    assert_eq!(picker.pick_late(&at(2, 1000), |_| false), None, "it is broken, but there is time");
    assert_eq!(picker.pick_late(&at(2, 1001), |other| other == block), None, "not of whom it was asked of");
    let snubbed = Asker { snubbed: true, ..at(2, 1001) };
    assert_eq!(picker.pick_late(&snubbed, |_| false), None);
    for copy in 0..u64::from(DEADLINE_COPIES) - 1 {
        assert_eq!(picker.pick_late(&at(copy + 2, 1001 + 20 * copy), |_| false), Some(block));
        assert_eq!(picker.pick_late(&at(copy + 3, 1020 + 20 * copy), |_| false), None, "not yet");
    }
    assert_eq!(picker.pick_late(&at(9, 9000), |_| false), None, "enough is enough");
    assert_eq!(picker.received(block, None), Receipt::New { asked: DEADLINE_COPIES });
    assert!(!picker.in_end_game());
}

#[test]
fn a_block_that_is_expected_too_late_is_asked_of_who_is_sooner() {
    let (mut picker, pieces) = with_seed_peer();
    picker.set_deadline(PieceIndex::new(3), after(1000), NOW);
    let block = picker.pick(&in_time(&pieces, 1, 1500)).unwrap();
    assert_eq!(picker.pick_late(&in_time(&pieces, 2, 750), |_| false), None, "twice its time is no sooner");
    assert_eq!(picker.pick_late(&in_time(&pieces, 2, 749), |_| false), Some(block));
}

#[test]
fn deadlines_are_bounded() {
    let count = u32::try_from(MAX_DEADLINES).unwrap() + 10;
    let mut picker = trading(count, 1);
    let pieces = Pieces::All(picker.lengths.piece_count());
    picker.peer_came(&pieces);
    let last = u32::try_from(MAX_DEADLINES).unwrap() - 1;
    (0..=last).for_each(|n| picker.set_deadline(PieceIndex::new(n), after(1000 + u64::from(n)), NOW));
    picker.set_deadline(PieceIndex::new(last + 1), after(9000), NOW);
    assert!(!picker.has_deadline(PieceIndex::new(last + 1)), "later than all of them");
    picker.set_deadline(PieceIndex::new(last + 2), after(0), NOW);
    assert!(picker.has_deadline(PieceIndex::new(last + 2)));
    assert!(!picker.has_deadline(PieceIndex::new(last)), "the latest made room");
    assert_eq!(pick(&mut picker, &in_time(&pieces, 1, 10)), last + 2);
    picker.check(&[&pieces], &[picker.lengths.block(PieceIndex::new(last + 2), 0).unwrap()]);
}

#[test]
fn few_deadlines_are_looked_at_for_a_late_block() {
    let last = u32::try_from(LATE_SCAN).unwrap();
    let mut picker = trading(last + 1, 1);
    let pieces = Pieces::All(picker.lengths.piece_count());
    picker.peer_came(&pieces);
    let at = |key, millis| Asker { now: after(millis).unwrap(), ..in_time(&pieces, key, 10) };
    picker.set_deadline(PieceIndex::new(last), after(1500), NOW);
    let late = picker.pick(&at(1, 0)).unwrap();
    (0..last).for_each(|n| picker.set_deadline(PieceIndex::new(n), after(1400), NOW));
    (0..last).for_each(|n| assert_eq!(pick(&mut picker, &at(1, 1000)), n));
    assert_eq!(picker.pick_late(&at(2, 1001), |_| false), None, "it is beyond those that are looked at");
    picker.verified(PieceIndex::new(0));
    assert_eq!(picker.pick_late(&at(2, 1001), |_| false), Some(late));
}
