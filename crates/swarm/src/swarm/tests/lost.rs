//! Pieces that were there and are gone (BEP 54).

use super::*;
use crate::limits::{MAX_RECOUNTED, RECOUNTED_FOR};

fn dont_have(piece: u32) -> Message<'static> {
    Message::Extended { id: DONT_HAVE_ID, payload: ext::DontHave(piece).encode().to_vec().into() }
}

/// A peer's extension handshake that gives `lt_donthave` a number.
fn speaks_dont_have(id: u8) -> Message<'static> {
    let m = [(ext::LT_DONTHAVE.into(), id)].into();
    Message::Extended { id: 0, payload: ext::Handshake { m, ..ext::Handshake::default() }.encode().into() }
}

fn lose(bench: &mut Bench, piece: u32) -> Vec<Output> {
    bench.input(Input::PieceLost { piece: PieceIndex::new(piece) })
}

#[test]
fn we_say_that_we_can_be_told() {
    let mut bench = Bench::leecher();
    let out = sent(&bench.connect(PEER, FAST));
    let Some(Message::Extended { id: 0, payload }) = out.last() else { panic!("{out:?}") };
    assert_eq!(ext::Handshake::decode(payload).unwrap().id_of("lt_donthave"), Some(DONT_HAVE_ID));
}

#[test]
fn what_a_peer_lost_is_asked_of_others() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    let gone = asked[0].piece;
    let out = bench.says(PEER, dont_have(gone.get()));
    let cancelled = |n| Output::Cancel { peer: PEER, block: block(gone.get(), n) };
    assert!((0..BLOCKS).all(|n| out.contains(&cancelled(n))));
    assert!(
        requests(&out).iter().all(|block| block.piece != gone),
        "its window is filled with something else"
    );
    assert_eq!(requests(&out).len(), BLOCKS as usize);
    let view = bench.swarm.peers(bench.now).next().map(|peer| (peer.pieces, peer.is_seed));
    assert_eq!(view, Some((PIECES - 1, false)));
    assert!(bench.connect_seed(PeerKey(2), FAST).iter().any(|block| block.piece == gone));
}

#[test]
fn interest_ends_with_the_last_piece_that_is_lost() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    [4, 5].into_iter().for_each(|piece| drop(bench.says(PEER, Message::Have(piece))));
    assert_eq!(sent(&bench.says(PEER, dont_have(4))), []);
    assert_eq!(sent(&bench.says(PEER, dont_have(4))), [], "twice");
    assert_eq!(sent(&bench.says(PEER, dont_have(9))), [], "it never had that");
    assert_eq!(sent(&bench.says(PEER, dont_have(PIECES))), [], "nobody has that");
    assert_eq!(sent(&bench.says(PEER, dont_have(5))), [Message::NotInterested]);
    assert_eq!(sent(&bench.says(PEER, Message::Have(5))), [Message::Interested]);
    let broken = Message::Extended { id: DONT_HAVE_ID, payload: vec![0, 0, 5].into() };
    assert_eq!(bench.says(PEER, broken), []);
}

const MANY: u32 = 1 << 12;

/// So many pieces were counted anew for the one peer that is here.
fn work(swarm: &mut Swarm, recounted: u64, now: Time) {
    let suspect = swarm.peers[&PEER].suspect;
    swarm.trust.recounted(suspect, recounted.try_into().unwrap(), now);
}

/// How many of the messages, one after the other, again and again, a peer of a torrent of [`MANY`] pieces may send until it
/// is let go as fickle, if so many pieces were counted anew for it before.
fn taken(recounted: u64, messages: &[Message<'static>]) -> usize {
    let now = Time::from_secs(100);
    let lengths = Lengths::new(u64::from(MANY) * 1024, 1024).unwrap();
    let mut swarm = Swarm::new(Config::default(), lengths, Bitfield::new(MANY), 1, now);
    // Not by way of the bench, which looks at all pieces each time.
    let input = |swarm: &mut Swarm, input: Input<'_>| {
        swarm.handle(now, input);
        closed(&core::iter::from_fn(|| swarm.poll_output()).collect::<Vec<_>>())
    };
    let peer_id = PeerId([1; 20]);
    let comes = Input::PeerConnected { peer: PEER, addr: addr(1), outgoing: false, peer_id, reserved: FAST };
    input(&mut swarm, comes);
    work(&mut swarm, recounted, now);
    let mut says = |message: &Message<'static>| {
        input(&mut swarm, Input::Message { peer: PEER, message: message.clone() })
    };
    let endings = messages.iter().cycle().take(1000).map(&mut says);
    let (before, reason) = endings.enumerate().find_map(|(n, reason)| Some((n, reason?))).expect("for ever");
    assert_eq!(reason, DisconnectReason::Fickle);
    swarm.check_invariants();
    before
}

#[test]
fn a_seed_that_comes_and_goes_is_let_go() {
    let (all, lost) = (Message::HaveAll, [dont_have(3), dont_have(2)]);
    let messages = [all, lost[0].clone(), lost[1].clone()];
    assert_eq!(taken(MAX_RECOUNTED - u64::from(2 * MANY), &messages), 3, "one more costs nothing");
    let mut small = Bench::leecher();
    small.connect(PEER, FAST);
    for message in messages.iter().cycle().take(1000) {
        assert_eq!(closed(&small.says(PEER, message.clone())), None, "it costs next to nothing");
    }
}

#[test]
fn who_says_again_and_again_that_it_has_other_pieces_is_let_go() {
    let before = MAX_RECOUNTED - u64::from(2 * MANY);
    let mut bits = Bitfield::full(MANY);
    bits.remove(PieceIndex::new(0));
    let bits = Message::Bitfield(bits.as_bytes().to_vec().into());
    assert_eq!(taken(before, &[bits.clone(), Message::HaveNone]), 1);
    assert_eq!(taken(before, &[bits, Message::HaveAll]), 1);
    let passes = 2 * 64;
    assert_eq!(taken(before, &[Message::HaveAll, Message::HaveNone]), passes, "all are passed over");
}

#[test]
fn who_comes_again_has_made_as_much_work_as_before() {
    for have in [Bitfield::new(PIECES), Bitfield::full(PIECES)] {
        let mut bench = Bench::new(have, Config::default());
        // The last one that is here is alone, whether we have all or nothing.
        let mut comes = |host: u8, port: u16, after: Duration| {
            bench.now += after;
            let addr = SocketAddr::from(([10, 0, 0, host], port));
            let peer_id = PeerId([host; 20]);
            let came = bench.input(Input::PeerConnected {
                peer: PEER,
                addr,
                outgoing: false,
                peer_id,
                reserved: FAST,
            });
            assert_eq!(closed(&came), None);
            if port == 1 {
                work(&mut bench.swarm, MAX_RECOUNTED, bench.now);
            }
            let reason = closed(&bench.says(PEER, Message::HaveNone));
            bench.input(Input::PeerClosed { peer: PEER });
            reason
        };
        let fickle = Some(DisconnectReason::Fickle);
        assert_eq!(comes(1, 1, Duration::ZERO), fickle);
        assert_eq!(comes(1, 2, Duration::ZERO), fickle, "it is the same host");
        assert_eq!(comes(2, 2, Duration::ZERO), None, "and this is another");
        assert_eq!(comes(1, 3, RECOUNTED_FOR / 2), None, "half is forgiven");
        assert_eq!(comes(1, 1, Duration::ZERO), fickle);
        assert_eq!(comes(1, 4, RECOUNTED_FOR * 2), None, "all is");
    }
}

#[test]
fn what_we_lost_is_told_rejected_and_fetched_again() {
    let mut bench = Bench::seed();
    assert!(bench.outputs().contains(&Output::Finished));
    bench.connect_leecher(PEER, FAST);
    bench.says(PEER, speaks_dont_have(9));
    bench.connect_leecher(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::Have(3));
    // Sixteen blocks are with the driver; those of the piece that is lost wait.
    for piece in [0, 1, 2, 4, 3] {
        (0..BLOCKS).for_each(|n| drop(bench.says(PEER, Message::Request(block(piece, n).into()))));
    }
    let before = bench.swarm.stats(bench.now);
    let out = lose(&mut bench, 3);
    let payload = ext::DontHave(3).encode().to_vec().into();
    let to = |key| move |o: &&Output| matches!(o, Output::Send { peer, .. } if *peer == key);
    let told: Vec<_> = sent(&out.iter().filter(to(PEER)).cloned().collect::<Vec<_>>());
    assert_eq!(told[0], Message::Extended { id: 9, payload });
    assert_eq!(
        told[1..=BLOCKS as usize],
        (0..BLOCKS).map(|n| Message::Reject(block(3, n).into())).collect::<Vec<_>>()
    );
    let told = sent(&out.iter().filter(to(PeerKey(2))).cloned().collect::<Vec<_>>());
    assert_eq!(told[0], Message::Interested, "it has what we lost, and cannot be told");
    let after = bench.swarm.stats(bench.now);
    let len = u64::from(BLOCKS * BLOCK_LEN);
    assert_eq!((after.left_bytes, after.done_bytes, after.finished), (len, before.done_bytes - len, false));
    assert_eq!(
        sent(&bench.says(PEER, Message::Request(block(3, 0).into()))),
        [Message::Reject(block(3, 0).into())]
    );
    assert_eq!(requests(&bench.says(PeerKey(2), Message::Unchoke)).len(), BLOCKS as usize);
    let out = bench.input(Input::PieceVerified { piece: PieceIndex::new(3), digests: &[] });
    assert!(out.contains(&Output::Finished) && sent(&out).contains(&Message::Have(3)));
}

#[test]
fn a_block_that_is_lost_while_it_is_served_is_still_answered() {
    let mut bench = Bench::seed();
    bench.connect_leecher(PEER, FAST);
    bench.says(PEER, Message::Request(block(3, 0).into()));
    lose(&mut bench, 3);
    let out = bench.input(Input::ServeFailed { peer: PEER, block: block(3, 0) });
    assert_eq!(sent(&out), [Message::Reject(block(3, 0).into())]);
}

#[test]
fn a_piece_that_nobody_wants_is_lost_without_further_ado() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config::default());
    let mut wanted = Bitfield::full(PIECES);
    wanted.remove(PieceIndex::new(3));
    bench.want(&wanted);
    bench.connect_leecher(PEER, FAST);
    let out = lose(&mut bench, 3);
    assert!(bench.swarm.stats(bench.now).finished && sent(&out).is_empty());
    assert_eq!(lose(&mut bench, 3), [], "twice");
    assert_eq!(lose(&mut bench, PIECES), [], "no such piece");
    bench.input(Input::PieceVerified { piece: PieceIndex::new(3), digests: &[] });
    assert!(bench.swarm.have().is_full());
}

#[test]
fn super_seeding_ends_when_something_is_lost() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { super_seed: true, ..Config::default() });
    bench.outputs();
    bench.connect(PEER, FAST);
    bench.says(PEER, speaks_dont_have(9));
    let out = sent(&lose(&mut bench, 3));
    assert!(!bench.swarm.stats(bench.now).super_seeding);
    let at = |wanted: &Message<'_>| out.iter().position(|m| m == wanted);
    let gone = Message::Extended { id: 9, payload: ext::DontHave(3).encode().to_vec().into() };
    assert!(
        at(&Message::Have(3)).unwrap() < at(&gone).unwrap(),
        "it is told of what was there, then that it is gone"
    );
}
