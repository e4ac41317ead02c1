//! What is asked of us: who is answered, who waits, and who is let go.

use super::*;

#[test]
fn serves_only_whom_and_what_it_should() {
    let mut half = Bitfield::new(PIECES);
    half.insert(PieceIndex::new(0));
    let mut bench = Bench::new(half, Config::default());
    let request = |piece, number| Request::from(block(piece, number));
    bench.connect(PEER, FAST);
    assert_eq!(
        sent(&bench.says(PEER, Message::Request(request(0, 0)))),
        [Message::Reject(request(0, 0))],
        "choked"
    );
    bench.says(PEER, Message::Interested);
    assert_eq!(serves(&bench.says(PEER, Message::Request(request(0, 1)))), 1);
    assert_eq!(sent(&bench.says(PEER, Message::Request(request(1, 0)))), [Message::Reject(request(1, 0))]);
    let odd = Request { index: 0, begin: 7, length: 9 };
    assert_eq!(serves(&bench.says(PEER, Message::Request(odd))), 1, "any range within a piece");
    bench.connect_leecher(PeerKey(2), Reserved::NONE);
    assert_eq!(bench.says(PeerKey(2), Message::Request(request(1, 0))), [], "no reject for a plain peer");
}

#[test]
fn impossible_requests_are_rejected_or_end_the_connection() {
    let too_long = Request { index: 0, begin: 0, length: 1 << 17 | 1 };
    let outside = Request { index: 0, begin: BLOCKS * BLOCK_LEN - 1, length: 2 };
    let empty = Request { index: 0, begin: 0, length: 0 };
    let overflow = Request { index: 0, begin: u32::MAX, length: u32::MAX };
    for request in [too_long, outside, empty, overflow] {
        let mut bench = Bench::seed();
        bench.connect_leecher(PEER, FAST);
        bench.connect_leecher(PeerKey(2), Reserved::NONE);
        assert_eq!(sent(&bench.says(PEER, Message::Request(request))), [Message::Reject(request)]);
        assert_eq!(
            closed(&bench.says(PeerKey(2), Message::Request(request))),
            Some(DisconnectReason::BadRequest)
        );
        let out: Vec<_> =
            (0..MAX_BAD_REQUESTS).flat_map(|_| bench.says(PEER, Message::Request(request))).collect();
        assert_eq!(closed(&out), Some(DisconnectReason::BadRequest), "enough is enough");
    }
}

#[test]
fn the_longest_request_is_served_and_a_longer_one_is_not() {
    let len = 2 * MAX_REQUEST_LEN;
    let lengths = Lengths::new(u64::from(len), len).unwrap();
    let mut bench = Bench::of(lengths, Bitfield::full(1), Config::default());
    bench.connect_leecher(PEER, FAST);
    let request = |length| Request { index: 0, begin: 0, length };
    assert_eq!(serves(&bench.says(PEER, Message::Request(request(MAX_REQUEST_LEN)))), 1);
    let longer = request(MAX_REQUEST_LEN + 1);
    assert_eq!(sent(&bench.says(PEER, Message::Request(longer))), [Message::Reject(longer)]);
}

#[test]
fn no_request_is_dropped_silently() {
    let config = Config { max_requests: 100, ..Config::default() };
    let request = Message::Request(block(0, 0).into());
    let mut bench = Bench::new(Bitfield::full(PIECES), config.clone());
    bench.connect_leecher(PEER, FAST);
    let out: Vec<_> = (0..101).flat_map(|_| bench.says(PEER, request.clone())).collect();
    assert_eq!(sent(&out), [Message::Reject(block(0, 0).into())], "beyond the queue");
    let mut bench = Bench::new(Bitfield::full(PIECES), config);
    bench.connect_leecher(PEER, Reserved::NONE);
    let out: Vec<_> = (0..100).flat_map(|_| bench.says(PEER, request.clone())).collect();
    assert_eq!(closed(&out), None);
    assert_eq!(closed(&bench.says(PEER, request)), Some(DisconnectReason::TooManyRequests));
}

#[test]
fn as_many_requests_are_queued_as_is_promised() {
    for reserved in [FAST, Reserved::NONE] {
        let mut bench = Bench::seed();
        bench.connect_leecher(PEER, reserved);
        let request = Message::Request(block(0, 0).into());
        for _ in 0..MAX_REQUESTS {
            bench.swarm.handle(bench.now, Input::Message { peer: PEER, message: request.clone() });
        }
        let out = bench.outputs();
        assert_eq!((closed(&out), sent(&out).len()), (None, 0));
        assert_eq!(bench.swarm.peers[&PEER].requests_in(), MAX_REQUESTS);
    }
}

/// What a seed says of a peer without BEP 6 that has asked for so many blocks, and the seed.
fn asked_for(requests: usize, max_requests: usize) -> (Bench, Vec<Output>) {
    let config = Config { max_requests, upload_slots: 1, ..Config::default() };
    let mut bench = Bench::new(Bitfield::full(PIECES), config);
    bench.connect_leecher(PEER, Reserved::NONE);
    let request = || Message::Request(block(0, 0).into());
    let out = (0..requests).flat_map(|_| bench.says(PEER, request())).collect();
    (bench, out)
}

#[test]
fn who_knows_no_reject_is_held_before_its_queue_is_full_and_heard_again_when_there_is_room() {
    let (hold, release) = (Output::Hold { peer: PEER }, Output::Release { peer: PEER });
    assert!(!asked_for(49, 100).1.contains(&hold));
    let (mut bench, out) = asked_for(50, 100);
    assert_eq!(out.iter().filter(|&output| *output == hold).count(), 1);
    // As long as it takes blocks it is there, though nobody hears it.
    for sent in 1..=25 {
        bench.pass(IDLE_TIMEOUT / 10);
        let out = bench.input(Input::BlockSent { peer: PEER, block: block(0, 0) });
        assert_eq!(closed(&out), None);
        assert_eq!(out.contains(&release), sent == 25, "{sent} sent");
    }
    let (mut bench, _) = asked_for(50, 100);
    assert_eq!(closed(&bench.pass(IDLE_TIMEOUT)), Some(DisconnectReason::Idle), "it takes nothing");
    assert!(!asked_for(100, 400).1.contains(&hold));
}

#[test]
fn who_is_held_and_takes_nothing_loses_its_slot_to_others() {
    let (mut bench, _) = asked_for(75, 100);
    assert_eq!(sent(&bench.pass(HELD_PATIENCE * 2)), [], "nobody else wants anything");
    bench.connect(PeerKey(2), FAST);
    let unchoke = send_to(PeerKey(2), Message::Unchoke);
    assert!(!bench.says(PeerKey(2), Message::Interested).contains(&unchoke));
    let out = bench.pass(HELD_PATIENCE);
    assert!(out.contains(&unchoke) && out.contains(&Output::DropServes { peer: PEER }), "{out:?}");

    let (mut bench, _) = asked_for(75, 100);
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::Interested);
    for _ in 0..8 {
        let out = bench.pass(HELD_PATIENCE - Duration::from_secs(1));
        assert!(!out.contains(&unchoke), "it takes what it asked for");
        bench.input(Input::BlockSent { peer: PEER, block: block(0, 0) });
    }
}

#[test]
fn who_has_a_slot_and_asks_for_nothing_makes_room() {
    let config = Config { upload_slots: 4, ..Config::default() };
    let mut bench = Bench::new(Bitfield::full(PIECES), config);
    (1..=4).for_each(|n| bench.connect_leecher(PeerKey(n), FAST));
    let (busy, newcomer) = (PeerKey(4), PeerKey(5));
    bench.connect(newcomer, FAST);
    bench.says(newcomer, Message::Interested);
    let mut choked = Vec::new();
    let mut served = None;
    for second in 1..=2 * CHOKE_INTERVAL.as_secs() {
        bench.says(busy, Message::Request(block(0, 0).into()));
        let mut out = bench.pass(Duration::from_secs(1));
        out.extend(bench.input(Input::BlockSent { peer: busy, block: block(0, 0) }));
        choked.extend((1..=5).filter(|&n| out.contains(&send_to(PeerKey(n), Message::Choke))));
        let is_served = out.contains(&send_to(newcomer, Message::Unchoke));
        served = served.or(is_served.then_some(second));
    }
    assert!(served.is_some(), "within two rounds");
    assert!(!choked.is_empty() && choked.iter().all(|&n| n < 4), "{choked:?}");
}

#[test]
fn a_choke_ends_a_hold() {
    let (mut bench, _) = asked_for(75, 100);
    bench.connect(PeerKey(2), FAST);
    bench.says(PEER, Message::NotInterested);
    bench.says(PeerKey(2), Message::Interested);
    let out = bench.says(PEER, Message::Interested);
    assert!(out.contains(&Output::Release { peer: PEER }), "{out:?}");
}

#[test]
fn few_blocks_are_handed_to_the_driver_at_a_time() {
    let mut bench = Bench::seed();
    bench.connect_leecher(PEER, FAST);
    let out: Vec<_> =
        (0..40).flat_map(|n| bench.says(PEER, Message::Request(block(n / 4, n % 4).into()))).collect();
    assert_eq!(serves(&out), 16, "256 KiB");
    let out = bench.says(PEER, Message::Cancel(block(9, 3).into()));
    assert_eq!(sent(&out), [Message::Reject(block(9, 3).into())], "a cancel is answered");
    assert_eq!(serves(&bench.input(Input::BlockSent { peer: PEER, block: block(0, 0) })), 1);
    let out = bench.input(Input::ServeFailed { peer: PEER, block: block(0, 1) });
    assert_eq!((serves(&out), sent(&out)), (1, vec![Message::Reject(block(0, 1).into())]));
    assert_eq!(bench.swarm.stats(bench.now).uploaded, u64::from(BLOCK_LEN));
}

#[test]
fn a_choke_answers_every_request() {
    for reserved in [FAST, Reserved::NONE] {
        let mut bench = Bench::new(Bitfield::full(PIECES), Config { upload_slots: 1, ..Config::default() });
        bench.connect_leecher(PEER, reserved);
        bench.connect(PeerKey(2), reserved);
        bench.says(PeerKey(2), Message::Interested);
        (0..40).for_each(|n| drop(bench.says(PEER, Message::Request(block(n / 4, n % 4).into()))));
        let out = bench.pass(Duration::from_secs(70));
        let at = out.iter().position(|o| *o == Output::Send { peer: PEER, message: Message::Choke }).unwrap();
        let rejects = sent(&out[at..]).iter().filter(|m| matches!(m, Message::Reject(_))).count();
        let dropped = out.contains(&Output::DropServes { peer: PEER });
        assert_eq!((rejects, dropped), if reserved == FAST { (24, false) } else { (0, true) });
        assert!(out[at..].contains(&Output::Send { peer: PeerKey(2), message: Message::Unchoke }));
    }
}

#[test]
fn whoever_waits_for_a_slot_is_held_back() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { upload_slots: 1, ..Config::default() });
    let held = |bench: &Bench| bench.swarm.stats(bench.now).held_slots;
    bench.connect_leecher(PEER, Reserved::NONE);
    assert!(!held(&bench), "it has the slot");
    bench.connect(PeerKey(2), Reserved::NONE);
    assert!(!held(&bench), "it wants nothing");
    bench.says(PeerKey(2), Message::Interested);
    assert!(held(&bench));
    bench.says(PEER, Message::NotInterested);
    assert!(!held(&bench), "there is one for it");
}
