//! Serving peers that are choked (BEP 6).

use super::*;
use crate::limits::{ALLOWED_FAST_PIECES, MAX_FAST_BYTES};

/// A peer that we choke, and what it is allowed.
fn choked(bench: &mut Bench, key: PeerKey) -> Vec<u32> {
    bench.connect(key, FAST);
    allowed(&bench.says(key, Message::HaveNone))
}

fn allowed(out: &[Output]) -> Vec<u32> {
    let piece = |m: Message<'_>| if let Message::AllowedFast(piece) = m { Some(piece) } else { None };
    sent(out).into_iter().filter_map(piece).collect()
}

/// All pieces but one, in pieces of so many blocks.
fn nearly_all(blocks: u32) -> Bench {
    let lengths = Lengths::new(u64::from(PIECES * blocks * BLOCK_LEN), blocks * BLOCK_LEN).unwrap();
    let mut have = Bitfield::full(PIECES);
    have.remove(PieceIndex::new(0));
    let now = Time::from_secs(100);
    Bench { swarm: Swarm::new(Config::default(), lengths, have, 1, now), now }
}

#[test]
fn a_new_peer_is_told_what_it_gets_though_choked() {
    let mut bench = nearly_all(BLOCKS);
    let pieces = choked(&mut bench, PEER);
    assert!((9..=ALLOWED_FAST_PIECES).contains(&pieces.len()), "we have them all but one: {pieces:?}");
    assert_eq!(choked(&mut bench, PeerKey(2)), pieces, "of the same network");
    let request = |piece| Message::Request(block(piece, 1).into());
    assert_eq!(serves(&bench.says(PEER, request(pieces[0]))), 1);
    let other = (1..PIECES).find(|piece| !pieces.contains(piece)).unwrap();
    assert_eq!(sent(&bench.says(PEER, request(other))), [Message::Reject(block(other, 1).into())]);
    bench.says(PEER, Message::Have(pieces[1]));
    let out = bench.says(PEER, request(pieces[1]));
    assert_eq!(sent(&out), [Message::Reject(block(pieces[1], 1).into())], "it has that");
}

#[test]
fn only_new_peers_are_allowed_anything_and_once() {
    let mut bench = nearly_all(BLOCKS);
    assert_ne!(choked(&mut bench, PEER), []);
    assert_eq!(allowed(&bench.says(PEER, Message::HaveNone)), [], "once");
    let few = |count: usize| {
        let mut bits = Bitfield::new(PIECES);
        (0..PIECES).rev().take(count).for_each(|n| assert!(bits.insert(PieceIndex::new(n))));
        bits
    };
    for (key, count, some) in [(2, ALLOWED_FAST_PIECES, true), (3, ALLOWED_FAST_PIECES + 1, false)] {
        let key = PeerKey(key);
        bench.connect(key, FAST);
        let pieces = allowed(&bench.says(key, Message::Bitfield(few(count).as_bytes().into())));
        assert_eq!(!pieces.is_empty(), some, "{count} pieces");
    }
    bench.connect(PeerKey(4), Reserved::NONE);
    assert_eq!(allowed(&bench.says(PeerKey(4), Message::Bitfield(few(0).as_bytes().into()))), []);
    let addr = "[2001:db8::1]:6881".parse().unwrap();
    let (peer, peer_id) = (PeerKey(5), PeerId([5; 20]));
    bench.input(Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved: FAST });
    assert_eq!(allowed(&bench.says(peer, Message::HaveNone)), [], "the set is of IPv4 addresses");
    // With more than so many pieces it is no starter any more.
    let pieces = choked(&mut bench, PeerKey(6));
    let others = (0..PIECES).filter(|piece| *piece != pieces[0]).take(ALLOWED_FAST_PIECES + 1);
    others.for_each(|piece| drop(bench.says(PeerKey(6), Message::Have(piece))));
    assert_eq!(serves(&bench.says(PeerKey(6), Message::Request(block(pieces[0], 0).into()))), 0);
}

#[test]
fn a_seed_keeps_first_copies_for_those_it_serves() {
    let mut bench = Bench::seed();
    assert_eq!(choked(&mut bench, PEER), []);
    (0..PIECES).for_each(|piece| drop(bench.says(PEER, Message::Have(piece))));
    let mut bench = Bench::seed();
    assert_eq!(choked(&mut bench, PEER), []);
    (1..PIECES).for_each(|piece| drop(bench.says(PEER, Message::Have(piece))));
    assert!(choked(&mut bench, PeerKey(2)).len() >= ALLOWED_FAST_PIECES - 1, "others have them");
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { super_seed: true, ..Config::default() });
    bench.connect(PEER, FAST);
    (1..PIECES - 1).for_each(|piece| drop(bench.says(PEER, Message::Have(piece))));
    assert_eq!(choked(&mut bench, PeerKey(2)), [], "that would tell what it has");
}

#[test]
fn what_a_choked_peer_gets_is_bounded() {
    let blocks = 64;
    let mut bench = nearly_all(blocks);
    let pieces = choked(&mut bench, PEER);
    let (mut served, mut rejected) = (0, 0);
    for &piece in &pieces {
        for n in 0..blocks {
            let request = Request { index: piece, begin: n * BLOCK_LEN, length: BLOCK_LEN };
            let out = bench.says(PEER, Message::Request(request));
            rejected += sent(&out).len();
            for out in &out {
                if let Output::Serve { block, .. } = *out {
                    served += u64::from(block.len);
                    bench.input(Input::BlockSent { peer: PEER, block });
                }
            }
        }
    }
    assert_eq!(served, MAX_FAST_BYTES);
    assert_eq!(
        rejected,
        pieces.len() * blocks as usize - usize::try_from(MAX_FAST_BYTES / u64::from(BLOCK_LEN)).unwrap()
    );
}

#[test]
fn a_choke_leaves_requests_for_allowed_pieces() {
    let mut have = Bitfield::full(PIECES);
    have.remove(PieceIndex::new(0));
    let mut bench = Bench::new(have, Config { upload_slots: 1, ..Config::default() });
    let pieces = choked(&mut bench, PEER);
    bench.says(PEER, Message::Interested);
    let other = (1..PIECES).find(|piece| !pieces.contains(piece)).unwrap();
    // The driver is at the first sixteen blocks; the rest waits.
    for piece in [other, pieces[0], other, pieces[1], other, pieces[2]] {
        (0..BLOCKS).for_each(|n| drop(bench.says(PEER, Message::Request(block(piece, n).into()))));
    }
    bench.connect(PeerKey(2), FAST);
    bench.says(PEER, Message::NotInterested);
    bench.says(PeerKey(2), Message::Interested);
    let out = bench.says(PEER, Message::Interested);
    let rejects: Vec<_> = sent(&out).into_iter().filter(|m| matches!(m, Message::Reject(_))).collect();
    assert_eq!(rejects, (0..BLOCKS).map(|n| Message::Reject(block(other, n).into())).collect::<Vec<_>>());
    let served =
        (0..BLOCKS).map(|n| serves(&bench.input(Input::BlockSent { peer: PEER, block: block(other, n) })));
    assert_eq!(served.sum::<usize>(), BLOCKS as usize);
}

#[test]
fn who_has_begun_a_piece_may_finish_it() {
    let blocks = 64;
    let lengths = Lengths::new(u64::from(PIECES * blocks * BLOCK_LEN), blocks * BLOCK_LEN).unwrap();
    let config = Config { upload_slots: 1, ..Config::default() };
    let now = Time::from_secs(100);
    let mut bench = Bench { swarm: Swarm::new(config, lengths, Bitfield::full(PIECES), 1, now), now };
    bench.connect_leecher(PEER, FAST);
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::Interested);
    let request = |piece, n| Request { index: piece, begin: n * BLOCK_LEN, length: BLOCK_LEN };
    let rejects = |out: &[Output]| sent(out).iter().filter(|m| matches!(m, Message::Reject(_))).count();
    (0..blocks).for_each(|n| drop(bench.says(PEER, Message::Request(request(0, n)))));
    (0..8).for_each(|n| drop(bench.says(PEER, Message::Request(request(1, n)))));
    let block = lengths.block(PieceIndex::new(0), 0).unwrap();
    bench.input(Input::BlockSent { peer: PEER, block });
    let out = bench.pass(Duration::from_secs(70));
    let at = |wanted: &Output| out.iter().position(|o| o == wanted).unwrap();
    let allowed = at(&send_to(PEER, Message::AllowedFast(0)));
    assert!(allowed < at(&send_to(PEER, Message::Choke)), "or the peer would give it up");
    assert_eq!(rejects(&out), 8, "the other piece");
    // The sixteen that the driver is at, and the 47 that wait, are served; then as much again as the piece is long.
    let mut serving = 16;
    for n in 1..blocks {
        let block = lengths.block(PieceIndex::new(0), n).unwrap();
        serving += serves(&bench.input(Input::BlockSent { peer: PEER, block }));
    }
    assert_eq!(serving, 63);
    let again = (0..blocks).map(|n| rejects(&bench.says(PEER, Message::Request(request(0, n)))));
    assert_eq!(again.sum::<usize>(), 47, "what waited counts");
    assert_eq!(rejects(&bench.says(PEER, Message::Request(request(1, 0)))), 1);
}
