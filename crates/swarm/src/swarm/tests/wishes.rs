//! Priorities, orders and deadlines, as peers notice them.

use super::*;
use crate::Order;

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
