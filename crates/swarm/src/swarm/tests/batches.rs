//! What is said together: requests to a busy peer, and news for seeds.

use super::*;
use crate::limits::{HAVE_DELAY, MAX_UNSAID, PIECES_IN_TURN};
use alloc::collections::{BTreeSet, VecDeque};

const LONG: u32 = 4 << 20;

/// A torrent of so many pieces of so many bytes.
fn bench_of(pieces: u32, piece_len: u32) -> Bench {
    let lengths = Lengths::new(u64::from(pieces) * u64::from(piece_len), piece_len).unwrap();
    Bench::of(lengths, Bitfield::new(pieces), Config::default())
}

/// Has a seed that keeps as many requests as it likes answer, one block each `interval`, a round trip after it was asked.
/// How many requests each block brought, from the `skip`th on, and the requests in flight at the end.
fn served(
    bench: &mut Bench,
    interval: Duration,
    skip: usize,
    blocks: usize,
) -> (Vec<usize>, Vec<BlockRange>) {
    bench.connect(PEER, FAST);
    let hello = ext::Handshake { reqq: Some(2000), ..ext::Handshake::default() };
    bench.says(PEER, Message::Extended { id: 0, payload: hello.encode().into() });
    bench.says(PEER, Message::HaveAll);
    let mut flight: VecDeque<_> = requests(&bench.says(PEER, Message::Unchoke)).into();
    bench.now += Duration::from_millis(2);
    let mut brought = Vec::new();
    for number in 0..blocks {
        bench.now += interval;
        let block = flight.pop_front().expect("it never runs dry");
        let more = requests(&bench.receive(PEER, block));
        brought.extend(Some(more.len()).filter(|_| number >= skip));
        flight.extend(more);
    }
    (brought, flight.into())
}

#[test]
fn requests_to_a_fast_peer_wait_for_each_other() {
    let mut bench = bench_of(50, 1 << 20);
    let (brought, flight) = served(&mut bench, Duration::from_millis(2), 1000, 2000);
    let messages: Vec<usize> = brought.iter().copied().filter(|&requests| requests > 0).collect();
    // But for what is filled when a deadline is looked at.
    let is_long = |&&requests: &&usize| requests > 50;
    assert!(
        messages.len() >= 10 && messages.iter().filter(is_long).count() + 2 >= messages.len(),
        "{messages:?}"
    );
    assert!(flight.len() > 180, "{} in flight", flight.len());
}

#[test]
fn a_slow_peer_is_asked_for_the_next_block_at_once() {
    let mut bench = bench_of(40, 1 << 20);
    let (brought, _) = served(&mut bench, Duration::from_millis(200), 100, 200);
    assert!(brought.iter().all(|&requests| requests <= 1), "{brought:?}");
}

#[test]
fn long_pieces_of_a_fast_peer_are_asked_for_in_turn() {
    for (interval, fewest, most) in [(50, PIECES_IN_TURN, 2 * PIECES_IN_TURN), (1000, 1, 3)] {
        let mut bench = bench_of(60, LONG);
        let (_, flight) = served(&mut bench, Duration::from_micros(interval), 0, 4000);
        let pieces: BTreeSet<_> = flight.iter().take(256).map(|block| block.piece).collect();
        assert!((fewest..=most).contains(&pieces.len()), "{} pieces", pieces.len());
    }
}

fn verified(bench: &mut Bench, piece: u32) -> Vec<Output> {
    bench.input(Input::PieceVerified { piece: PieceIndex::new(piece), digests: &[] })
}

fn haves(out: &[Output], key: PeerKey) -> Vec<u32> {
    let have = |o: &Output| match o {
        Output::Send { peer, message: Message::Have(piece) } if *peer == key => Some(*piece),
        _ => None,
    };
    out.iter().filter_map(have).collect()
}

#[test]
fn a_seed_hears_of_pieces_with_what_else_it_is_told() {
    let (mut bench, other) = (Bench::leecher(), PeerKey(2));
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    bench.connect(other, FAST);
    bench.says(other, Message::Have(7));
    let out = verified(&mut bench, 3);
    assert_eq!((haves(&out, PEER), haves(&out, other)), (vec![], vec![3]), "who may want it hears at once");
    assert_eq!(haves(&bench.pass(HAVE_DELAY), PEER), [3]);
    verified(&mut bench, 4);
    verified(&mut bench, 5);
    assert_eq!(haves(&bench.says(PEER, Message::Unchoke), PEER), [4, 5]);
    verified(&mut bench, 6);
    bench.input(Input::PieceLost { piece: PieceIndex::new(6) });
    assert_eq!(haves(&bench.pass(HAVE_DELAY * 2), PEER), [], "what is gone is not told of");
    let told: Vec<u32> = (8..PIECES)
        .chain([0, 1, 2, 6, 7])
        .flat_map(|piece| haves(&verified(&mut bench, piece), PEER))
        .collect();
    assert_eq!(told.len(), 17, "when all is there, of the rest");
}

#[test]
fn a_seed_is_told_when_many_pieces_have_come() {
    let many = u32::try_from(MAX_UNSAID).unwrap();
    let mut bench = bench_of(many + 2, BLOCK_LEN);
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    assert!((0..many).all(|piece| haves(&verified(&mut bench, piece), PEER).is_empty()));
    assert_eq!(haves(&verified(&mut bench, many), PEER).len(), MAX_UNSAID + 1);
}
