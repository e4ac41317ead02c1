//! Suggestions (BEP 6) and super seeding (BEP 16).

use super::*;
use crate::limits::{
    MAX_SHOWN_TO_ONE, MAX_SINGLE_HAVES, MAX_SUGGESTED, OFFER_PATIENCE, OFFER_SCAN, SHOW_IDLE, SHOW_PATIENCE,
};
use std::collections::BTreeSet;

const OTHER: PeerKey = PeerKey(2);

fn super_seed() -> Bench {
    let mut bench =
        Bench::new(Bitfield::full(PIECES), Config { super_seed: true, upload_slots: 2, ..Config::default() });
    bench.outputs();
    bench
}

/// The pieces that a peer is told of with `have`.
fn haves(out: &[Output], key: PeerKey) -> Vec<u32> {
    let have = |o: &Output| match o {
        Output::Send { peer, message: Message::Have(piece) } if *peer == key => Some(*piece),
        _ => None,
    };
    out.iter().filter_map(have).collect()
}

fn suggestions(out: &[Output], key: PeerKey) -> Vec<u32> {
    let suggest = |o: &Output| match o {
        Output::Send { peer, message: Message::Suggest(piece) } if *peer == key => Some(*piece),
        _ => None,
    };
    out.iter().filter_map(suggest).collect()
}

fn whole(bench: &mut Bench, key: PeerKey, piece: u32) -> Vec<Output> {
    let mut out = Vec::new();
    for n in 0..BLOCKS {
        out.extend(bench.says(key, Message::Request(block(piece, n).into())));
        out.extend(bench.input(Input::BlockSent { peer: key, block: block(piece, n) }));
    }
    out
}

#[test]
fn a_seed_keeps_nothing_for_those_who_are_gone() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config::default());
    bench.connect(PEER, FAST);
    bench.connect(OTHER, FAST);
    bench.input(Input::PeerClosed { peer: PEER });
    assert!(bench.swarm.trust.departed(PEER).is_some(), "somebody is here");
    bench.input(Input::PeerClosed { peer: OTHER });
    assert_eq!(bench.swarm.trust.departed(OTHER), None);
    assert_eq!(bench.swarm.wake, Time::MAX);
    assert_eq!(bench.swarm.out.capacity(), 0);
}

#[test]
fn a_super_seed_shows_one_piece_and_serves_no_other() {
    for (reserved, first) in [(FAST, Some(Message::HaveNone)), (Reserved::NONE, None)] {
        let mut bench = super_seed();
        let out = bench.connect(PEER, reserved);
        bench.connect(OTHER, reserved);
        assert_eq!(sent(&out).first().filter(|m| **m == Message::HaveNone), first.as_ref());
        if let Some(Message::Extended { payload, .. }) = sent(&out).get(1) {
            assert!(!ext::Handshake::decode(payload).unwrap().upload_only, "that would give it away");
        }
        let shown = haves(&out, PEER);
        assert!(shown.len() <= 2, "slots bound what a single peer is shown");
        bench.says(PEER, Message::Interested);
        assert_eq!(serves(&bench.says(PEER, Message::Request(block(shown[0], 0).into()))), 1);
        let hidden = (0..PIECES).find(|piece| !shown.contains(piece)).unwrap();
        let out = bench.says(PEER, Message::Request(block(hidden, 0).into()));
        assert_eq!(serves(&out), 0);
        assert_eq!(sent(&out).len(), usize::from(reserved == FAST), "rejected");
    }
}

/// Two peers that were shown a piece each.
fn two_viewers(bench: &mut Bench) -> (u32, u32) {
    let both: Vec<Output> = [PEER, OTHER].into_iter().flat_map(|key| bench.connect(key, FAST)).collect();
    let first = haves(&both, PEER);
    // The first one was alone and was shown as many pieces as there are slots: one of them goes to the other.
    for &piece in &first[1..] {
        bench.says(PEER, Message::Have(piece));
        bench.says(OTHER, Message::Have(piece));
    }
    let out = bench.pass(Duration::from_millis(1));
    let mut second = haves(&both, OTHER);
    second.extend(haves(&out, OTHER));
    if second.is_empty() {
        second = bench.shown_to(OTHER);
    }
    assert_eq!(second.len(), 1);
    [PEER, OTHER].into_iter().for_each(|key| drop(bench.says(key, Message::Interested)));
    (first[0], second[0])
}

impl Bench {
    /// What is on offer to a peer.
    fn shown_to(&self, key: PeerKey) -> Vec<u32> {
        self.swarm.spread.iter().flat_map(|spread| spread.offers_to(key)).map(PieceIndex::get).collect()
    }
}

#[test]
fn the_next_piece_is_shown_when_another_peer_has_the_last() {
    let mut bench = super_seed();
    let (a, b) = two_viewers(&mut bench);
    assert_ne!(a, b);
    whole(&mut bench, PEER, a);
    assert_eq!(haves(&bench.says(PEER, Message::Have(a)), PEER), [], "it has it, but so far it alone");
    let out = bench.says(OTHER, Message::Have(a));
    let next = haves(&out, PEER);
    assert_eq!(next.len(), 1);
    assert!(![a, b].contains(&next[0]));
    assert_eq!(bench.swarm.super_seed.as_ref().unwrap().watched(), 0);
}

#[test]
fn who_keeps_a_piece_to_itself_is_shown_the_next_later() {
    let mut bench = super_seed();
    let (a, b) = two_viewers(&mut bench);
    bench.says(PEER, Message::Have(a));
    // As long as we have something to send, it has to wait.
    let mut shown_after = None;
    for n in 0..60u64 {
        let request = block(b, u32::try_from(n % 4).unwrap());
        bench.says(OTHER, Message::Request(request.into()));
        let out = bench.pass(SHOW_IDLE / 2);
        bench.input(Input::BlockSent { peer: OTHER, block: request });
        if !haves(&out, PEER).is_empty() {
            shown_after.get_or_insert(n * u64::try_from(SHOW_IDLE.as_millis()).unwrap() / 2);
        }
    }
    assert_eq!(shown_after, None);
    let mut out = Vec::new();
    for _ in 0..3 {
        bench.says(OTHER, Message::Request(block(b, 0).into()));
        out.extend(bench.pass(SHOW_IDLE / 2));
        bench.input(Input::BlockSent { peer: OTHER, block: block(b, 0) });
    }
    assert_eq!(haves(&out, PEER).len(), 1, "{SHOW_PATIENCE:?} are over");
}

#[test]
fn what_a_hoarder_is_shown_while_we_idle_is_bounded() {
    let lengths = Lengths::new(200 * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
    let config = Config { super_seed: true, ..Config::default() };
    let mut swarm = Swarm::new(config, lengths, Bitfield::full(200), 1, Time::ZERO);
    let mut bench = Bench {
        swarm: {
            swarm.handle_timeout(Time::ZERO);
            swarm
        },
        now: Time::ZERO,
    };
    bench.connect(PEER, FAST);
    bench.connect(OTHER, FAST);
    let mut most = 0;
    // Each second it says that it has all that it was shown; nobody else ever has any of it.
    for _ in 0..100 {
        for piece in bench.shown_to(PEER) {
            bench.says(PEER, Message::Have(piece));
        }
        bench.pass(SHOW_IDLE);
        let kept = bench.swarm.super_seed.as_ref().unwrap().watched();
        most = most.max(kept + bench.shown_to(PEER).len());
    }
    assert_eq!(most, MAX_SHOWN_TO_ONE);
}

#[test]
fn a_piece_that_nobody_fetches_is_shown_to_somebody_else() {
    let mut bench = super_seed();
    let (a, _) = two_viewers(&mut bench);
    bench.says(OTHER, Message::NotInterested);
    bench.says(PEER, Message::NotInterested);
    let mut out = Vec::new();
    for _ in 0..40 {
        out.extend(bench.pass(SHOW_PATIENCE));
        [PEER, OTHER].into_iter().for_each(|key| drop(bench.says(key, Message::KeepAlive)));
    }
    assert!(haves(&out, OTHER).contains(&a));
    assert!(bench.swarm.stats(bench.now).super_seeding, "not before it was seen");
}

#[test]
fn super_seeding_ends_when_every_piece_was_seen() {
    let mut bench = super_seed();
    let (a, b) = two_viewers(&mut bench);
    let mut out = Vec::new();
    for piece in (0..PIECES).filter(|&piece| piece != b) {
        out = bench.says(PEER, Message::Have(piece));
    }
    assert!(bench.swarm.stats(bench.now).super_seeding);
    out.clear();
    out.extend(bench.says(OTHER, Message::Have(b)));
    assert!(!bench.swarm.stats(bench.now).super_seeding);
    let told: BTreeSet<u32> = haves(&out, OTHER).into_iter().collect();
    assert!(told.contains(&a) && !told.contains(&b) && told.len() >= PIECES as usize / 2, "{told:?}");
    assert_eq!(serves(&bench.says(OTHER, Message::Request(block(a, 0).into()))), 1);
    let out = bench.connect(PeerKey(3), FAST);
    assert_eq!(sent(&out)[0], Message::HaveAll);
}

#[test]
fn a_peer_that_has_everything_ends_it_and_so_does_the_user() {
    let mut bench = super_seed();
    bench.connect(PEER, FAST);
    assert_eq!(closed(&bench.says(PEER, Message::HaveAll)), Some(DisconnectReason::BothSeeds));
    assert!(!bench.swarm.stats(bench.now).super_seeding);
    bench.input(Input::SetSuperSeed(true));
    let out = bench.connect(OTHER, FAST);
    assert_eq!(sent(&out)[0], Message::HaveNone);
    let told = haves(&out, OTHER).len() + haves(&bench.input(Input::SetSuperSeed(false)), OTHER).len();
    assert_eq!(told, PIECES as usize);
    let mut leecher = Bench::leecher();
    leecher.input(Input::SetSuperSeed(true));
    assert!(!leecher.swarm.stats(leecher.now).super_seeding);
}

#[test]
fn many_pieces_are_told_of_at_once_when_it_ends() {
    for (reserved, fast) in [(FAST, true), (Reserved::NONE, false)] {
        for pieces in [MAX_SINGLE_HAVES, MAX_SINGLE_HAVES + 100] {
            let lengths = Lengths::new(u64::from(pieces) * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
            let config = Config { super_seed: true, ..Config::default() };
            let swarm = Swarm::new(config, lengths, Bitfield::full(pieces), 1, Time::ZERO);
            let mut bench = Bench { swarm, now: Time::ZERO };
            bench.connect(PEER, reserved);
            let out = sent(&bench.input(Input::SetSuperSeed(false)));
            let singles = out.iter().filter(|m| matches!(m, Message::Have(_))).count();
            if pieces <= MAX_SINGLE_HAVES {
                assert!(singles > 900 && singles == out.len());
            } else if fast {
                assert_eq!(out, [Message::HaveAll]);
            } else {
                assert!(matches!(&out[..], [Message::Bitfield(_)]));
            }
        }
    }
}

#[test]
fn a_peer_that_went_leaves_its_piece_to_others() {
    let mut bench = super_seed();
    let (a, _) = two_viewers(&mut bench);
    whole(&mut bench, PEER, a);
    bench.says(PEER, Message::Have(a));
    bench.input(Input::PeerClosed { peer: PEER });
    let out = bench.pass(SHOW_PATIENCE * 20);
    let mut all = haves(&out, OTHER);
    all.extend(bench.shown_to(OTHER));
    assert!(all.contains(&a), "nobody has it any more");
    let back = bench.connect(PEER, FAST);
    assert_eq!(sent(&back)[0], Message::HaveNone, "it is a stranger again");
}

#[test]
fn a_seed_suggests_each_piece_to_one_peer_and_before_the_unchoke() {
    let mut bench = Bench::seed();
    let mut all = Vec::new();
    for key in [PEER, OTHER] {
        bench.connect(key, FAST);
        bench.says(key, Message::HaveNone);
        let out = bench.says(key, Message::Interested);
        assert_eq!(sent(&out).last(), Some(&Message::Unchoke));
        all.extend(suggestions(&out, key));
    }
    let distinct: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(
        (all.len(), distinct.len()),
        (PIECES as usize, PIECES as usize),
        "ten for a window of 32 blocks"
    );
    bench.connect_leecher(PeerKey(3), Reserved::NONE);
    let out = bench.connect(PeerKey(4), FAST);
    assert_eq!(suggestions(&out, PeerKey(4)), []);
    let out = bench.input(Input::PeerClosed { peer: PEER });
    assert_eq!(suggestions(&out, OTHER), []);
    let out = bench.says(PeerKey(4), Message::Interested);
    assert_eq!(
        suggestions(&out, PeerKey(4)).len(),
        PIECES as usize / 2,
        "what was suggested to the one that went"
    );
}

#[test]
fn what_was_asked_for_is_suggested_to_nobody_else() {
    let mut bench = Bench::seed();
    bench.connect_leecher(PEER, Reserved::NONE);
    (0..PIECES).for_each(|piece| drop(bench.says(PEER, Message::Request(block(piece, 0).into()))));
    bench.connect(OTHER, FAST);
    assert_eq!(suggestions(&bench.says(OTHER, Message::Interested), OTHER), []);
    // As long as it waits for us, and a minute more.
    bench.pass(OFFER_PATIENCE * 2);
    bench.connect(PeerKey(3), FAST);
    assert_eq!(suggestions(&bench.says(PeerKey(3), Message::Interested), PeerKey(3)), []);
    for piece in 0..PIECES {
        bench.input(Input::BlockSent { peer: PEER, block: block(piece, 0) });
    }
    bench.says(OTHER, Message::KeepAlive);
    bench.says(PEER, Message::KeepAlive);
    bench.pass(OFFER_PATIENCE + CHOKE_INTERVAL);
    bench.connect(PeerKey(4), FAST);
    assert_ne!(suggestions(&bench.says(PeerKey(4), Message::Interested), PeerKey(4)), []);
}

#[test]
fn a_suggestion_that_is_followed_brings_another() {
    let mut bench = Bench::seed();
    bench.connect(PEER, FAST);
    let first = suggestions(&bench.says(PEER, Message::Interested), PEER);
    assert_eq!(first.len(), 10);
    let more: Vec<u32> = first
        .iter()
        .flat_map(|&piece| {
            let out = bench.says(PEER, Message::Request(block(piece, 0).into()));
            suggestions(&out, PEER)
        })
        .collect();
    assert_eq!(more.len(), 2, "two ahead of what it asks for");
    let out = bench.says(PEER, Message::Have(more[0]));
    assert_eq!(suggestions(&out, PEER), [], "it got it from somebody else");
}

#[test]
fn suggestions_are_bounded_both_ways() {
    let lengths = Lengths::new(1000 * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
    let bench_of = |have| {
        let mut bench =
            Bench { swarm: Swarm::new(Config::default(), lengths, have, 1, Time::ZERO), now: Time::ZERO };
        bench.connect(PEER, FAST);
        bench
    };
    let mut bench = bench_of(Bitfield::full(1000));
    assert_eq!(suggestions(&bench.says(PEER, Message::Interested), PEER).len(), MAX_SUGGESTED);
    let mut bench = bench_of(Bitfield::new(1000));
    (0..1000).for_each(|piece| drop(bench.says(PEER, Message::Suggest(piece))));
    let kept: Vec<u32> = bench.swarm.peers[&PEER].suggested.iter().map(|piece| piece.get()).collect();
    assert_eq!(kept, (1000 - u32::try_from(MAX_SUGGESTED).unwrap()..1000).collect::<Vec<_>>());
    bench.says(PEER, Message::Suggest(1000));
    bench.says(PEER, Message::Suggest(980));
    assert_eq!(bench.swarm.peers[&PEER].suggested.last().map(|piece| piece.get()), Some(980));
    bench.says(PEER, Message::Choke);
    assert!(bench.swarm.peers[&PEER].suggested.is_empty());
}

#[test]
fn a_peer_that_has_the_rarest_pieces_is_looked_at_no_longer_than_that() {
    let count = u32::try_from(OFFER_SCAN).unwrap() + 50;
    let lengths = Lengths::new(u64::from(count) * u64::from(BLOCK_LEN), BLOCK_LEN).unwrap();
    for (rare, offered) in [(OFFER_SCAN - 1, true), (OFFER_SCAN, false)] {
        let swarm = Swarm::new(Config::default(), lengths, Bitfield::full(count), 1, Time::ZERO);
        let mut bench = Bench { swarm, now: Time::ZERO };
        let (mut first, mut second) = (Bitfield::new(count), Bitfield::new(count));
        for piece in (0..count).map(PieceIndex::new) {
            let set = if piece.index() < rare { &mut first } else { &mut second };
            set.insert(piece);
        }
        for (key, set) in [(PEER, &first), (OTHER, &second), (PeerKey(3), &second)] {
            bench.connect(key, FAST);
            bench.says(key, Message::Bitfield(set.as_bytes().into()));
        }
        assert_eq!(!suggestions(&bench.says(PEER, Message::Interested), PEER).is_empty(), offered);
    }
}

#[test]
fn a_suggestion_is_followed_among_equals_only() {
    let mut some = Bitfield::new(PIECES);
    (0..5).for_each(|piece| assert!(some.insert(PieceIndex::new(piece))));
    let mut bench = Bench::new(some, Config::default());
    // Piece 19 is common, all others are as rare.
    bench.connect(OTHER, FAST);
    bench.says(OTHER, Message::Have(19));
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    for piece in [12, 7, 19] {
        bench.says(PEER, Message::Suggest(piece));
    }
    let asked = requests(&bench.says(PEER, Message::Unchoke));
    let order: Vec<u32> = asked.iter().step_by(BLOCKS as usize).map(|block| block.piece.get()).collect();
    assert_eq!(order[..2], [12, 7], "in the order of the suggestions");
    assert!(!order.contains(&19));
}

#[test]
fn the_first_pieces_are_what_is_suggested() {
    let mut bench = Bench::leecher();
    bench.connect(PEER, FAST);
    bench.says(PEER, Message::HaveAll);
    bench.says(PEER, Message::Suggest(13));
    assert_eq!(requests(&bench.says(PEER, Message::Unchoke))[0], block(13, 0));
}

#[test]
fn a_peer_that_is_alone_need_not_pass_anything_on() {
    let mut bench = super_seed();
    let mut shown = haves(&bench.connect(PEER, FAST), PEER);
    assert_eq!(shown.len(), 2, "as many at once as there are slots");
    bench.says(PEER, Message::Interested);
    for n in 0..PIECES as usize - 1 {
        let out = bench.says(PEER, Message::Have(shown[n]));
        shown.extend(haves(&out, PEER));
    }
    let distinct: BTreeSet<u32> = shown.into_iter().collect();
    assert_eq!(distinct.len(), PIECES as usize, "at once, without a wait");
}

#[test]
fn what_a_choked_peer_has_not_begun_is_free_again() {
    let mut bench = Bench::new(Bitfield::full(PIECES), Config { upload_slots: 1, ..Config::default() });
    bench.connect(PEER, FAST);
    let first = suggestions(&bench.says(PEER, Message::Interested), PEER);
    assert_eq!(bench.shown_to(PEER).len(), first.len());
    for &piece in &first[..2] {
        bench.says(PEER, Message::Request(block(piece, 0).into()));
    }
    bench.input(Input::BlockSent { peer: PEER, block: block(first[0], 0) });
    bench.connect(OTHER, Reserved::NONE);
    bench.says(OTHER, Message::Interested);
    bench.says(PEER, Message::NotInterested);
    let out = bench.says(PEER, Message::Interested);
    assert!(out.contains(&send_to(PEER, Message::Choke)), "its slot was given away");
    assert_eq!(bench.shown_to(PEER), first[..1], "it may come back for what it has begun");
}

#[test]
fn what_only_the_suggesting_peer_has_comes_before_what_is_begun() {
    let begin = |seeds: u64| {
        let mut bench = Bench::leecher();
        bench.connect(OTHER, FAST);
        bench.says(OTHER, Message::Have(3));
        // Begun and given back: its blocks are missing, and both have it.
        let asked = requests(&bench.says(OTHER, Message::Unchoke));
        bench.receive(OTHER, asked[0]);
        bench.says(OTHER, Message::Choke);
        asked[1..].iter().for_each(|&block| drop(bench.says(OTHER, Message::Reject(block.into()))));
        for key in (1..=seeds).map(|n| PeerKey(10 + n)) {
            bench.connect(key, FAST);
            bench.says(key, Message::HaveAll);
        }
        bench.says(PeerKey(11), Message::Suggest(7));
        requests(&bench.says(PeerKey(11), Message::Unchoke))[0].piece.get()
    };
    assert_eq!(begin(1), 7, "the only one that has it");
    assert_eq!(begin(2), 3, "others have it too: what is begun is finished first");
}
