//! Peers of which nothing good is known.

use super::*;
use crate::limits::{UNTRIED_BLOCKS, UNTRIED_PIECES};
use crate::trust::Trust;

#[test]
fn a_peer_of_which_nothing_is_known_can_spoil_so_much_and_no_more() {
    let mut bench = Bench::leecher();
    let mut asked = bench.connect_seed(PEER, FAST);
    let mut sent = 0;
    while let Some(block) = asked.pop() {
        asked.extend(requests(&bench.receive(PEER, block)));
        sent += 1;
    }
    assert_eq!(sent, UNTRIED_BLOCKS, "none of its pieces was hashed yet");
    let most = UNTRIED_BLOCKS / BLOCKS as usize;
    assert_eq!(bench.swarm.picker.begun(), most, "and each of them is whole");
    // Another one does not wait for it.
    assert!(!bench.connect_seed(PeerKey(2), FAST).is_empty());
    let piece = bench.swarm.peers[&PEER].risked[0];
    let out = bench.input(Input::PieceVerified { piece, digests: &[] });
    assert!(asked_of(&out).iter().any(|(peer, _)| *peer == PEER), "now it is known");
}

#[test]
fn small_pieces_count_one_by_one() {
    let lengths = Lengths::new(u64::from(99 * BLOCK_LEN), BLOCK_LEN).unwrap();
    let mut bench = Bench::of(lengths, Bitfield::new(99), Config::default());
    bench.connect(PEER, Reserved::NONE);
    bench.says(PEER, Message::Bitfield(Bitfield::full(99).as_bytes().into()));
    let asked = requests(&bench.says(PEER, Message::Unchoke));
    assert_eq!((asked.len(), bench.swarm.peers[&PEER].risked.len()), (UNTRIED_PIECES, UNTRIED_PIECES));
    // What is asked for and taken back counts as long as it is missing.
    bench.says(PEER, Message::Choke);
    assert_eq!(requests(&bench.says(PEER, Message::Unchoke)).len(), UNTRIED_PIECES);
    assert_eq!(bench.swarm.peers[&PEER].risked.len(), UNTRIED_PIECES);
}

#[test]
fn who_could_spoil_no_more_goes_on_with_what_others_left() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PeerKey(2), FAST);
    let left: Vec<_> = asked.iter().copied().filter(|block| block.piece == asked[0].piece).collect();
    let mut asked = bench.connect_seed(PEER, FAST);
    while let Some(block) = asked.pop() {
        asked.extend(requests(&bench.receive(PEER, block)));
    }
    assert_eq!(bench.swarm.peers[&PEER].unproven, UNTRIED_BLOCKS);
    // Its pieces turn out to be somebody else's: it is at no limit any more.
    for piece in bench.swarm.peers[&PEER].risked.clone() {
        bench.swarm.trust = Trust::default();
        bench.input(Input::PieceVerified { piece, digests: &[] });
    }
    let out = bench.input(Input::PeerClosed { peer: PeerKey(2) });
    let of = asked_of(&out);
    assert!(left.iter().all(|block| of.contains(&(PEER, *block))), "{of:?}");
}
