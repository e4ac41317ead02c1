//! Priorities, orders and deadlines, as peers notice them.

use super::*;
use crate::Order;
use crate::limits::{INITIAL_WINDOW_URGENT, PACE_INTERVAL};

/// A seed that queues `reqq` of our requests and unchoked us; returns what it was asked for.
fn connect_small(bench: &mut Bench, key: PeerKey, reqq: u32) -> Vec<BlockRange> {
    bench.connect(key, FAST);
    let hello = ext::Handshake { reqq: Some(reqq), ..ext::Handshake::default() };
    bench.says(key, Message::Extended { id: 0, payload: hello.encode().into() });
    bench.says(key, Message::HaveAll);
    requests(&bench.says(key, Message::Unchoke))
}

#[test]
fn what_is_wanted_most_is_asked_for_first_even_of_who_is_busy() {
    let mut bench = Bench::leecher();
    let asked = connect_small(&mut bench, PEER, 2);
    let busy = asked[0].piece;
    let mut priorities = [Priority::Low; PIECES as usize];
    priorities[busy.index()] = Priority::Normal;
    priorities[3] = Priority::High;
    bench.input(Input::SetPriorities(&priorities));
    let next = requests(&bench.receive(PEER, asked[0]));
    assert!(next.iter().all(|block| block.piece.get() == 3), "{next:?}");
}

#[test]
fn in_order_means_from_the_first_to_the_last() {
    let mut bench = Bench::leecher();
    bench.input(Input::SetOrder(Order::Sequential));
    let asked = bench.connect_seed(PEER, FAST);
    assert_eq!(asked[0], block(0, 0));
    assert!(asked.is_sorted(), "{asked:?}");
    // The other way round, it is the rarest that counts again.
    bench.input(Input::SetOrder(Order::RarestFirst));
    let more = bench.connect_seed(PeerKey(2), FAST);
    assert!(!more.is_sorted(), "{more:?}");
}

#[test]
fn who_is_slow_does_not_hold_up_the_front() {
    let mut bench = Bench::leecher();
    bench.input(Input::SetOrder(Order::Sequential));
    let mut fast = connect_small(&mut bench, PEER, 4);
    let slow = connect_small(&mut bench, PeerKey(2), 4);
    assert_eq!((fast[0].piece.get(), slow[0].piece.get()), (0, 1));
    // One answers in 10 ms; of the other it takes four seconds to know that it does not.
    for wait in [10, 3980] {
        bench.now += Duration::from_millis(wait);
        fast = fast.into_iter().flat_map(|block| requests(&bench.receive(PEER, block))).collect();
    }
    bench.now += Duration::from_millis(10);
    let next = requests(&bench.receive(PeerKey(2), slow[0]));
    let front = fast.iter().map(|block| block.piece.get()).max().unwrap();
    assert!(
        !next.is_empty() && next.iter().all(|block| block.piece.get() > front + 1),
        "{next:?}, not {front}"
    );
}

#[test]
fn a_snubbed_peer_gets_what_everybody_has() {
    let mut bench = Bench::leecher();
    let asked = bench.connect_seed(PEER, FAST);
    bench.connect(PeerKey(2), FAST);
    let common = lengths().pieces().find(|piece| asked.iter().all(|block| block.piece != *piece)).unwrap();
    bench.says(PeerKey(2), Message::Have(common.get()));
    let again = requests(&bench.pass(SNUB_TIMEOUT));
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].piece, common, "and not one of those that it was busy with");
}

#[test]
fn what_has_a_deadline_comes_first_unless_it_is_not_wanted() {
    let mut bench = Bench::leecher();
    let mut priorities = [Priority::High; PIECES as usize];
    priorities[7] = Priority::Low;
    priorities[8] = Priority::Skip;
    bench.input(Input::SetPriorities(&priorities));
    for piece in [7, 8, PIECES] {
        let at = Some(bench.now + Duration::from_secs(1));
        bench.input(Input::SetDeadline { piece: PieceIndex::new(piece), at });
    }
    let asked = bench.connect_seed(PEER, FAST);
    assert_eq!(asked[..BLOCKS as usize], [0, 1, 2, 3].map(|n| block(7, n)));
    assert!(asked.iter().all(|block| block.piece.get() != 8));
}

#[test]
fn a_late_block_is_asked_of_another_peer_and_taken_back_when_it_comes() {
    let mut bench = Bench::leecher();
    let late = connect_small(&mut bench, PEER, 1)[0];
    bench.input(Input::SetDeadline { piece: late.piece, at: Some(bench.now + Duration::from_secs(1)) });
    let other = connect_small(&mut bench, PeerKey(2), 1)[0];
    assert_ne!(other, late, "once outside the end game");
    bench.now += Duration::from_millis(100);
    let next = requests(&bench.receive(PeerKey(2), other));
    assert_ne!(next[0], late);
    // Twice as long as the other one needs.
    bench.now += Duration::from_millis(100);
    let again = requests(&bench.receive(PeerKey(2), next[0]));
    assert_eq!(again, [late]);
    let out = bench.receive(PeerKey(2), late);
    assert!(out.contains(&Output::Cancel { peer: PEER, block: late }), "{out:?}");
}

#[test]
fn deadlines_are_kept_an_eye_on_even_if_nothing_happens() {
    let mut bench = Bench::leecher();
    bench.input(Input::SetPartial { piece: PieceIndex::new(3), blocks: &[3] });
    bench.input(Input::SetDeadline {
        piece: PieceIndex::new(3),
        at: Some(bench.now + Duration::from_secs(1)),
    });
    assert_eq!(connect_small(&mut bench, PEER, 1), [block(3, 0)]);
    // The other one has nothing else, and delivers it.
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::Have(3));
    let asked = requests(&bench.says(PeerKey(2), Message::Unchoke));
    assert_eq!(asked, [1, 2].map(|n| block(3, n)));
    bench.now += Duration::from_millis(10);
    asked.iter().for_each(|&block| assert_eq!(requests(&bench.receive(PeerKey(2), block)), []));
    assert_eq!(requests(&bench.pass(PACE_INTERVAL)), [block(3, 0)], "the first one is silent");
    bench.receive(PeerKey(2), block(3, 0));
    bench.input(Input::PieceVerified { piece: PieceIndex::new(3), digests: &[] });
    assert!(bench.swarm.poll_timeout().is_none_or(|at| at > bench.now + PACE_INTERVAL), "it is over");
}

#[test]
fn who_helps_out_goes_on_with_its_own_piece() {
    let mut bench = Bench::leecher();
    bench.input(Input::SetPartial { piece: PieceIndex::new(3), blocks: &[2, 3] });
    bench.input(Input::SetDeadline {
        piece: PieceIndex::new(3),
        at: Some(bench.now + Duration::from_secs(1)),
    });
    assert_eq!(connect_small(&mut bench, PEER, 1), [block(3, 0)]);
    bench.connect(PeerKey(2), FAST);
    let hello = ext::Handshake { reqq: Some(1), ..ext::Handshake::default() };
    bench.says(PeerKey(2), Message::Extended { id: 0, payload: hello.encode().into() });
    bench.says(PeerKey(2), Message::Have(3));
    assert_eq!(requests(&bench.says(PeerKey(2), Message::Unchoke)), [block(3, 1)]);
    let receive = |bench: &mut Bench, got| {
        bench.now += Duration::from_millis(10);
        requests(&bench.receive(PeerKey(2), got))
    };
    // It had nothing more; then it has a piece, and in between it is asked for what the other one does not deliver.
    assert_eq!(receive(&mut bench, block(3, 1)), []);
    let own = requests(&bench.says(PeerKey(2), Message::Have(9)));
    assert_eq!(own, [block(9, 0)]);
    assert_eq!(receive(&mut bench, block(9, 0)), [block(3, 0)]);
    let next = receive(&mut bench, block(3, 0));
    assert!(next.contains(&block(9, 1)), "{next:?}");
}

#[test]
fn who_comes_first_is_not_asked_for_all_that_is_urgent() {
    let lengths = Lengths::new(10 << 20, 1 << 20).unwrap();
    let swarm = Swarm::new(Config::default(), lengths, Bitfield::new(10), 1, Time::ZERO);
    let mut bench = Bench { swarm, now: Time::ZERO };
    bench.input(Input::SetDeadline { piece: PieceIndex::new(0), at: Some(Time::from_secs(3)) });
    let first = connect_small(&mut bench, PEER, 500);
    assert_eq!(first.len(), INITIAL_WINDOW_URGENT);
    let second = connect_small(&mut bench, PeerKey(2), 500);
    assert!(!second.is_empty() && second.iter().all(|block| block.piece.get() == 0), "{second:?}");
}
