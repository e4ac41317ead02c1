//! Web seeds: asked like peers, in runs, and never spoken to.

use super::*;
use crate::limits::WEB_SEED_BATCH;

impl Bench {
    fn web_seed(&mut self, key: PeerKey, n: u8, pieces: &Bitfield) -> Vec<Output> {
        self.input(Input::WebSeedReady { peer: key, addr: addr(n), pieces })
    }

    fn whole_web_seed(&mut self, key: PeerKey, n: u8) -> Vec<Output> {
        self.web_seed(key, n, &Bitfield::full(PIECES))
    }

    fn verify(&mut self, piece: u32) -> Vec<Output> {
        self.input(Input::PieceVerified { piece: PieceIndex::new(piece), digests: &[] })
    }
}

fn is_quiet(out: &[Output]) -> bool {
    sent(out).is_empty() && closed(out).is_none()
}

#[test]
fn it_is_asked_at_once_for_blocks_that_follow_each_other() {
    let mut bench = Bench::leecher();
    let out = bench.whole_web_seed(PEER, 1);
    assert!(is_quiet(&out), "{out:?}");
    let first: Vec<_> = (0..8).flat_map(|piece| (0..BLOCKS).map(move |n| block(piece, n))).collect();
    assert_eq!(requests(&out), first);
    let view = bench.swarm.peers(bench.now).next().unwrap();
    assert!(view.is_seed && view.am_interested && !view.peer_choking && view.am_choking);
}

#[test]
fn a_run_begins_where_its_stretch_does_or_behind_what_is_there() {
    let lengths = Lengths::new(1 << 30, 1 << 20).unwrap();
    for seed in 0..9 {
        let mut have = Bitfield::new(1024);
        for piece in (0..1024).step_by(64) {
            have.insert(PieceIndex::new(piece));
        }
        let mut swarm = Swarm::new(Config::default(), lengths, have, seed, Time::ZERO);
        let pieces = &Bitfield::full(1024);
        swarm.handle(Time::ZERO, Input::WebSeedReady { peer: PEER, addr: addr(1), pieces });
        let out: Vec<_> = core::iter::from_fn(|| swarm.poll_output()).collect();
        let first = requests(&out)[0].piece.get();
        assert_eq!((first % 16, requests(&out)[0].offset), (u32::from(first % 64 == 1), 0), "{first}");
    }
}

#[test]
fn more_is_asked_for_when_it_makes_a_run() {
    let mut bench = Bench::leecher();
    let first = requests(&bench.whole_web_seed(PEER, 1));
    bench.now += Duration::from_millis(100);
    let mut asked = Vec::new();
    for (n, block) in first.iter().enumerate() {
        let out = requests(&bench.receive(PEER, *block));
        assert!(out.is_empty() || out.len() >= WEB_SEED_BATCH, "{} after {n}", out.len());
        asked.extend(out);
    }
    assert!(!asked.is_empty());
}

#[test]
fn it_hears_nothing_and_stays_until_all_is_there() {
    let mut bench = Bench::leecher();
    bench.connect(PeerKey(2), FAST);
    bench.says(PeerKey(2), Message::HaveNone);
    let mut blocks = requests(&bench.whole_web_seed(PEER, 1));
    for piece in 0..PIECES - 1 {
        let rest: Vec<_> = (0..BLOCKS).map(|n| block(piece, n)).collect();
        for block in rest {
            blocks.extend(requests(&bench.receive(PEER, block)));
        }
        let out = bench.verify(piece);
        assert_eq!(out.iter().filter(|o| matches!(o, Output::Send { peer: PEER, .. })).count(), 0);
        assert!(sent(&out).contains(&Message::Have(piece)), "the peer hears of it");
    }
    let out = bench.pass(IDLE_TIMEOUT * 2);
    assert!(
        !out.iter()
            .any(|o| matches!(o, Output::Send { peer: PEER, .. } | Output::Disconnect { peer: PEER, .. }))
    );
    (0..BLOCKS).for_each(|n| drop(bench.receive(PEER, block(PIECES - 1, n))));
    let out = bench.verify(PIECES - 1);
    assert!(out.contains(&Output::Disconnect { peer: PEER, reason: DisconnectReason::BothSeeds }), "{out:?}");
    assert_eq!(closed(&bench.whole_web_seed(PeerKey(9), 1)), Some(DisconnectReason::BothSeeds));
}

#[test]
fn who_spoils_a_piece_is_banned_for_good() {
    let mut bench = Bench::leecher();
    bench.whole_web_seed(PEER, 1);
    (0..BLOCKS).for_each(|n| drop(bench.receive(PEER, block(0, n))));
    let piece = PieceIndex::new(0);
    let out = bench.input(Input::PieceFailed { piece, from_disk: false, digests: &[] });
    assert_eq!(closed(&out), Some(DisconnectReason::Banned));
    assert!(out.contains(&Output::Banned { addr: addr(1), reason: BanReason::SpoiledPiece(piece) }));
    assert_eq!(closed(&bench.whole_web_seed(PeerKey(2), 1)), Some(DisconnectReason::Banned));
    assert!(!requests(&bench.whole_web_seed(PeerKey(3), 2)).is_empty(), "another one is asked");
}

#[test]
fn it_is_asked_for_what_it_has_only() {
    let mut bench = Bench::leecher();
    let mut pieces = Bitfield::full(PIECES);
    for piece in (0..PIECES).step_by(2) {
        pieces.remove(PieceIndex::new(piece));
    }
    let asked = requests(&bench.web_seed(PEER, 1, &pieces));
    assert!(!asked.is_empty() && asked.iter().all(|block| block.piece.get() % 2 == 1), "{asked:?}");
    let out = bench.web_seed(PeerKey(2), 2, &Bitfield::full(PIECES + 1));
    assert!(out.is_empty() && bench.swarm.stats(bench.now).peers == 1, "of another torrent");
}

#[test]
fn what_it_was_asked_for_goes_to_others_when_it_is_gone() {
    let mut bench = Bench::leecher();
    let asked = requests(&bench.whole_web_seed(PEER, 1));
    let out = bench.input(Input::PeerClosed { peer: PEER });
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(requests(&bench.whole_web_seed(PeerKey(2), 1)), asked);
}

#[test]
fn it_takes_a_place_among_peers() {
    let mut bench = Bench::new(Bitfield::new(PIECES), Config { max_peers: 1, ..Config::default() });
    bench.connect(PeerKey(2), FAST);
    assert_eq!(closed(&bench.whole_web_seed(PEER, 1)), Some(DisconnectReason::TooManyPeers));
    bench.input(Input::Pause);
    assert_eq!(closed(&bench.whole_web_seed(PeerKey(3), 1)), Some(DisconnectReason::Paused));
}
