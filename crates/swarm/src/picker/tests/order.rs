//! What comes first, and how much is looked at to find it.

use super::*;

#[test]
fn higher_priorities_come_first_and_begun_pieces_among_equals() {
    let (mut picker, pieces) = with_seed_peer();
    let mut priorities = [Priority::Low; PIECES as usize];
    picker.set_priorities(&priorities);
    let low = picker.pick(&anybody(&pieces, 1)).unwrap().piece;
    priorities[low.index()] = Priority::High;
    priorities[(low.index() + 3) % 12] = Priority::High;
    priorities[(low.index() + 4) % 12] = Priority::Normal;
    priorities[(low.index() + 5) % 12] = Priority::Skip;
    picker.set_priorities(&priorities);
    let order: Vec<PieceIndex> =
        core::iter::from_fn(|| picker.pick(&anybody(&pieces, 2))).map(|block| block.piece).collect();
    let first: Vec<_> = order.iter().take(2).collect();
    assert_eq!(first, [&low; 2], "the begun piece of the highest priority");
    let order: Vec<_> = order.iter().map(|piece| priorities[piece.index()]).collect();
    assert!(order.is_sorted_by(|a, b| a >= b) && !order.contains(&Priority::Skip), "{order:?}");
}

#[test]
fn who_has_nothing_else_begins_what_it_just_got_wherever_it_is() {
    let (mut picker, pieces) = with_seed_peer();
    picker.set_order(Order::Sequential);
    let slow = Asker { behind: 3, ..anybody(&pieces, 1) };
    assert_eq!(picker.pick(&slow).unwrap().piece.get(), 3);
    let dry = Asker { dry: true, current: Some(PieceIndex::new(0)), ..slow };
    assert_eq!(picker.pick(&dry).unwrap().piece.get(), 0);
}

#[test]
fn few_begun_pieces_are_looked_at_before_an_open_one_is_taken() {
    let begun = u32::try_from(BEGUN_SCAN).unwrap() + 1;
    let mut picker = trading(begun + 1, 2);
    let everything = Pieces::All(picker.lengths.piece_count());
    picker.peer_came(&everything);
    for n in 0..begun {
        picker.pick(&Asker { only: Some(&[PieceIndex::new(n)]), ..anybody(&everything, 1) }).unwrap();
    }
    // It has the last one of these, and the one that is not begun.
    let mut pieces = Pieces::none(picker.lengths.piece_count());
    pieces.insert(PieceIndex::new(begun - 1));
    pieces.insert(PieceIndex::new(begun));
    let first = picker.pick(&anybody(&pieces, 2)).unwrap().piece.get();
    assert_eq!(first, begun, "the open one");
    let next = [(); 2].map(|()| picker.pick(&anybody(&pieces, 2)).unwrap().piece.get());
    assert_eq!(next, [begun - 1, begun], "when there is no open one, all are looked at");
}

#[test]
fn a_block_that_comes_back_is_found_however_many_pieces_are_left_to_the_peer() {
    let begun = u32::try_from(BEGUN_SCAN).unwrap() + 1;
    let mut picker = trading(begun + 1, 2);
    let pieces = Pieces::All(picker.lengths.piece_count());
    picker.peer_came(&pieces);
    let fast = Asker { whole: true, ..anybody(&pieces, 1) };
    let mut asked: Vec<_> = (0..2 * begun).map(|_| picker.pick(&fast).unwrap()).collect();
    asked.sort_unstable();
    let last = *asked.last().unwrap();
    picker.put_back(last);
    picker.check(&[&pieces], &asked[..asked.len() - 1]);
    assert_eq!(picker.pick(&fast), Some(last), "before another piece is begun");
}

#[test]
fn in_the_end_game_a_bounded_number_of_blocks_is_looked_at() {
    let mut picker = trading(2 * u32::try_from(END_GAME_SCAN).unwrap(), 1);
    let pieces = Pieces::All(picker.lengths.piece_count());
    picker.peer_came(&pieces);
    let asked: Vec<_> = core::iter::from_fn(|| picker.pick(&anybody(&pieces, 1))).collect();
    assert_eq!(asked.len(), 2 * END_GAME_SCAN);
    // A peer that was asked for all of them but one: it is found, though perhaps not at once.
    let looked = core::cell::Cell::new(0);
    let found = core::iter::repeat_with(|| {
        looked.set(0);
        let found = picker.pick_again(&anybody(&pieces, 2), |block| {
            looked.set(looked.get() + 1);
            block != asked[0]
        });
        assert!(looked.get() <= END_GAME_SCAN, "{looked:?}");
        found
    });
    assert_eq!(found.flatten().next(), Some(asked[0]));
}

#[test]
fn beyond_the_rarest_the_rarest_of_a_sample_is_taken() {
    let rare = u32::try_from(RAREST_SCAN).unwrap();
    let mut picker = trading(rare + 200, 1);
    let count = picker.lengths.piece_count();
    let mut common = Bitfield::new(count);
    (rare..rare + 200).for_each(|n| {
        common.insert(PieceIndex::new(n));
    });
    picker.peer_came(&Pieces::All(count));
    // Two peers have the same 200 pieces, all but one of which a third one has too.
    let some = Pieces::from(common.clone());
    picker.peer_came(&some);
    picker.peer_came(&some);
    common.remove(PieceIndex::new(rare + 100));
    picker.peer_came(&Pieces::from(common));
    let picked: Vec<u32> = (0..100).map(|_| picker.pick(&anybody(&some, 1)).unwrap().piece.get()).collect();
    assert!(picked.iter().all(|&n| n >= rare), "it has no other");
    let at = picked.iter().position(|&n| n == rare + 100).unwrap();
    assert!((1..100).contains(&at), "as soon as it is in a sample of {OPEN_SAMPLE}: {at}");
}
