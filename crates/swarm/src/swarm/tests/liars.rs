//! What becomes of the blocks of somebody who lied.

use super::*;

fn forgotten(out: &[Output]) -> Vec<(PieceIndex, Vec<u32>)> {
    let forgotten = |output: &Output| match output {
        Output::Forget { piece, blocks } => Some((*piece, blocks.clone())),
        _ => None,
    };
    out.iter().filter_map(forgotten).collect()
}

/// It spoiled a whole piece, and sent one block of another.
#[test]
fn what_a_liar_sent_of_other_pieces_is_fetched_from_somebody_else() {
    let mut bench = Bench::leecher();
    let lengths = lengths();
    bench.connect_seed(PEER, FAST);
    let (spoiled, begun, late) = (PieceIndex::new(0), PieceIndex::new(1), PieceIndex::new(2));
    let block = |piece, number| lengths.block(piece, number).unwrap();
    for number in 0..BLOCKS {
        bench.receive(PEER, block(spoiled, number));
    }
    bench.receive(PEER, block(begun, 1));
    bench.connect_seed(PeerKey(2), FAST);
    bench.receive(PeerKey(2), block(begun, 2));
    let wasted = bench.swarm.stats(bench.now).wasted;
    let out = bench.input(Input::PieceFailed { piece: spoiled, from_disk: false, digests: &[] });
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));
    assert_eq!(forgotten(&out), [(begun, vec![1])]);

    // It was on its way to storage.
    assert_eq!(forgotten(&bench.receive(PEER, block(late, 0))), [(late, vec![0])]);

    // Storage still has them: nobody is asked.
    assert!(bench.swarm.peers.values().all(|peer| !peer.is_asked(block(begun, 1))));
    let mut out = bench.input(Input::BlocksForgotten { piece: begun, blocks: &[1, BLOCKS] });
    while !requests(&out).contains(&block(begun, 1)) {
        let asked = bench.swarm.peers[&PeerKey(2)].requests[0].block;
        out = bench.receive(PeerKey(2), asked);
    }
    let lost = u64::from(lengths.piece_len(spoiled)) + u64::from(BLOCK_LEN);
    assert_eq!(bench.swarm.stats(bench.now).wasted, wasted + lost);
    // What is not there any more, or not at all, is not missing once more.
    bench.input(Input::BlocksForgotten { piece: begun, blocks: &[1] });
    bench.input(Input::BlocksForgotten { piece: PieceIndex::new(PIECES), blocks: &[0] });
    assert_eq!(bench.swarm.stats(bench.now).wasted, wasted + lost);
}

/// Its verdict is on its way.
#[test]
fn a_piece_that_is_all_there_is_left_to_be_hashed() {
    let mut bench = Bench::leecher();
    let lengths = lengths();
    bench.connect_seed(PEER, FAST);
    bench.connect_seed(PeerKey(2), FAST);
    let block = |piece, number| lengths.block(PieceIndex::new(piece), number).unwrap();
    for number in 0..BLOCKS {
        bench.receive(PEER, block(0, number));
        bench.receive(if number == 0 { PEER } else { PeerKey(2) }, block(1, number));
    }
    let piece = PieceIndex::new(0);
    let out = bench.input(Input::PieceFailed { piece, from_disk: false, digests: &[] });
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));
    assert_eq!(forgotten(&out), []);
}
