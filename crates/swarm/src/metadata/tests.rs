#![allow(clippy::cast_possible_truncation)] // the numbers of a test are small

use super::*;
use crate::limits::{
    FRONT_DELAY, FRONT_PATIENCE, FRONT_TURN, METADATA_ANSWER_TIME, METADATA_COPY_AFTER, METADATA_HOLD_MAX,
};
use core::time::Duration;
use std::collections::BTreeSet;
use std::vec;
use types::InfoHashV1;

const PIECE: usize = METADATA_PIECE_LEN as usize;

/// Metadata of so many bytes, those of `salt` other than those of another.
fn metadata(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at / PIECE) as u8 ^ (at as u8) ^ salt).collect()
}

fn addr(peer: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, (peer >> 8) as u8, peer as u8], 6881))
}

/// A fetch whose peers answer as the test says, one request at a time.
struct Bench {
    fetch: Fetch,
    now: Time,
    asked: VecDeque<(PeerKey, u32)>,
}

impl Bench {
    fn new(good: &[u8]) -> Bench {
        let info_hash = InfoHash::V1(InfoHashV1(hash::sha1(good)));
        Bench { fetch: Fetch::new(info_hash), now: Time::from_secs(50), asked: VecDeque::new() }
    }

    fn offer(&mut self, peer: u64, len: usize) {
        self.fetch.offered(PeerKey(peer), addr(peer), u32::try_from(len).unwrap(), self.now);
    }

    fn ask(&mut self) {
        self.asked.extend(self.fetch.ask(self.now));
        self.fetch.check();
    }

    fn piece(&mut self, peer: u64, piece: u32, of: &[u8]) -> Came {
        let start = piece as usize * PIECE;
        let data = &of[start..of.len().min(start + PIECE)];
        let came = self.fetch.came(PeerKey(peer), piece, u32::try_from(of.len()).unwrap(), data, self.now);
        self.fetch.check();
        came
    }

    /// Lets peers answer what they are asked until something is decided; `answers` says what a peer has, if it answers.
    fn run<'a>(&mut self, answers: impl Fn(u64) -> Option<&'a [u8]>) -> Vec<Came> {
        let mut decided = Vec::new();
        for _ in 0..100_000 {
            self.ask();
            let Some((peer, piece)) = self.asked.pop_front() else {
                let Some(at) = self.fetch.deadline().filter(|&at| at < Time::from_secs(600)) else {
                    return decided;
                };
                self.now = at;
                continue;
            };
            let Some(of) = answers(peer.0) else { continue };
            match self.piece(peer.0, piece, of) {
                Came::Taken => {}
                right @ Came::Right { .. } => {
                    decided.push(right);
                    return decided;
                }
                Came::Wrong(author) => {
                    let liars = self.fetch.sources.iter().filter(|(_, source)| source.addr == author);
                    let liars: Vec<_> = liars.map(|(&peer, _)| peer).collect();
                    liars.into_iter().for_each(|peer| self.fetch.gone(peer));
                    decided.push(Came::Wrong(author));
                }
                other => decided.push(other),
            }
        }
        panic!("it never ends");
    }
}

#[test]
fn all_peers_share_the_work() {
    let good = metadata(10 * PIECE + 1, 0);
    let mut bench = Bench::new(&good);
    for peer in 0..3 {
        bench.offer(peer, good.len());
    }
    bench.ask();
    let pieces: BTreeSet<u32> = bench.asked.iter().map(|&(_, piece)| piece).collect();
    assert_eq!((bench.asked.len(), pieces.len()), (11, 11), "each piece once");
    let peers: Vec<u64> = bench.asked.iter().map(|&(peer, _)| peer.0).collect();
    assert_eq!(peers[..6], [0, 1, 2, 0, 1, 2]);
    let came = bench.run(|_| Some(&good));
    assert_eq!(came, [Came::Right { metadata: good.clone(), liars: vec![] }]);
}

#[test]
fn one_peer_is_not_asked_for_too_much_at_once() {
    let good = metadata(20 * PIECE, 0);
    let mut bench = Bench::new(&good);
    bench.offer(1, good.len());
    bench.ask();
    assert_eq!(bench.asked.len(), MAX_METADATA_ASKED);
    bench.piece(1, 0, &good);
    bench.ask();
    assert_eq!(bench.asked.back(), Some(&(PeerKey(1), 8)));
}

#[test]
fn lengths_that_cannot_be_are_passed_over() {
    let mut bench = Bench::new(&metadata(1, 0));
    for (peer, len) in [(1, 0), (2, MAX_METADATA_LEN + 1), (3, u32::MAX)] {
        bench.fetch.offered(PeerKey(peer), addr(peer), len, bench.now);
    }
    assert_eq!((bench.fetch.sources(), bench.fetch.deadline()), (0, None));
    bench.fetch.offered(PeerKey(4), addr(4), MAX_METADATA_LEN, bench.now);
    assert_eq!(bench.fetch.sources(), 1);
}

#[test]
fn a_liar_alone_is_proven_wrong_and_others_go_on() {
    let (good, bad) = (metadata(3 * PIECE, 0), metadata(2 * PIECE, 1));
    let mut bench = Bench::new(&good);
    bench.offer(1, bad.len());
    bench.offer(2, good.len());
    let came = bench.run(|peer| Some(if peer == 1 { &bad } else { &good }));
    assert_eq!(came, [Came::Wrong(addr(1)), Came::Right { metadata: good.clone(), liars: vec![] }]);
}

#[test]
fn who_spoils_what_others_share_is_found() {
    let (good, bad) = (metadata(9 * PIECE, 0), metadata(9 * PIECE, 1));
    let mut bench = Bench::new(&good);
    (0..4).for_each(|peer| bench.offer(peer, good.len()));
    let came = bench.run(|peer| Some(if peer == 2 { &bad } else { &good }));
    assert_eq!(came[0], Came::Spoiled);
    let right = Came::Right { metadata: good.clone(), liars: vec![addr(2)] };
    assert!(came[1..] == [right] || came[1] == Came::Wrong(addr(2)), "{}", came.len());
}

#[test]
fn silence_and_rejects_hold_up_nobody() {
    let good = metadata(6 * PIECE, 0);
    let mut bench = Bench::new(&good);
    bench.offer(1, good.len());
    bench.ask();
    assert_eq!(bench.asked.len(), 6);
    // A second peer gets copies of what the first does not send, after a while.
    bench.offer(2, good.len());
    bench.asked.clear();
    bench.ask();
    assert_eq!(bench.asked.len(), 0);
    bench.now += METADATA_COPY_AFTER;
    bench.ask();
    assert!(bench.asked.len() == 6 && bench.asked.iter().all(|&(peer, _)| peer == PeerKey(2)));
    // It rejects: the first is asked again when it was silent for long enough, and so on.
    for piece in 0..6 {
        bench.fetch.rejected(PeerKey(2), piece, bench.now);
    }
    bench.asked.clear();
    let began = bench.now;
    let came = bench.run(|peer| (peer == 1).then_some(&good[..]));
    assert_eq!(came, [Came::Right { metadata: good.clone(), liars: vec![] }]);
    assert!(
        bench.now.since(began) >= METADATA_ANSWER_TIME && bench.now.since(began) < Duration::from_secs(30)
    );
}

#[test]
fn who_is_silent_is_asked_less_often_but_again() {
    let good = metadata(2 * PIECE, 0);
    let mut bench = Bench::new(&good);
    bench.offer(1, good.len());
    let mut times = Vec::new();
    while bench.now < Time::from_secs(3600) {
        bench.ask();
        if bench.asked.pop_front().is_some() {
            times.push(bench.now);
        }
        bench.asked.clear();
        bench.now = bench.fetch.deadline().unwrap();
    }
    let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
    // From when it was asked: its time to answer goes before the pause.
    let bound = METADATA_HOLD_MAX + METADATA_ANSWER_TIME + 2 * METADATA_TICK;
    assert!((METADATA_HOLD_MAX..=bound).contains(&longest), "{longest:?}");
}

#[test]
fn a_late_answer_still_counts() {
    let good = metadata(1, 0);
    let mut bench = Bench::new(&good);
    bench.offer(1, 1);
    bench.ask();
    bench.now += METADATA_ANSWER_TIME;
    bench.ask();
    assert_eq!(bench.fetch.sources[&PeerKey(1)].asked, []);
    assert!(matches!(bench.piece(1, 0, &good), Came::Right { .. }));
}

#[test]
fn a_second_length_is_a_contradiction() {
    let good = metadata(2 * PIECE, 0);
    let mut bench = Bench::new(&good);
    bench.offer(1, good.len());
    bench.ask();
    assert_eq!(bench.piece(1, 0, &metadata(PIECE, 0)), Came::Contradiction);
    bench.offer(1, 5);
    assert_eq!(bench.fetch.sources[&PeerKey(1)].len as usize, good.len(), "the first one holds");
}

#[test]
fn long_metadata_takes_turns_and_memory_is_bounded() {
    let good = metadata(3 * UNPROVEN_PIECES * PIECE, 0);
    let longer = metadata(good.len() + 5 * PIECE, 1);
    let mut bench = Bench::new(&good);
    // The liar has the shorter one, so that it comes first, and stops when it is at the front.
    let shorter = metadata(good.len() - PIECE, 2);
    bench.offer(1, shorter.len());
    bench.offer(2, good.len());
    bench.offer(3, longer.len());
    let mut most = 0;
    let began = bench.now;
    while bench.now.since(began) < FRONT_PATIENCE * 4 {
        bench.ask();
        most = most.max(bench.fetch.attempts.values().map(Attempt::held).sum());
        let Some((peer, piece)) = bench.asked.pop_front() else {
            bench.now = bench.fetch.deadline().unwrap();
            continue;
        };
        let of = [&shorter, &good, &longer][peer.0 as usize - 1];
        let silent = peer.0 == 1 && piece as usize >= UNPROVEN_PIECES + 10;
        if !silent && matches!(bench.piece(peer.0, piece, of), Came::Right { .. }) {
            let limit = good.len() / PIECE + 2 * UNPROVEN_PIECES + 10;
            assert!(most <= limit && most > 3 * UNPROVEN_PIECES, "{most} pieces of {limit}");
            assert!(bench.now.since(began) >= FRONT_DELAY + FRONT_TURN);
            return;
        }
    }
    panic!("no metadata");
}

#[test]
fn turns_get_longer_up_to_a_point() {
    let longest = turn(MAX_TURN_DOUBLINGS + 1);
    assert_eq!([turn(0), turn(1), turn(2)], [FRONT_TURN, FRONT_TURN, FRONT_TURN * 2]);
    assert_eq!(turn(MAX_TURN_DOUBLINGS) * 2, longest);
    assert_eq!([turn(MAX_TURN_DOUBLINGS + 2), turn(u32::MAX)], [longest; 2]);
    assert!(longest > Duration::from_secs(2 * 3600) && longest < Duration::from_secs(4 * 3600));
}

#[test]
fn a_trickle_does_not_hold_the_front() {
    let good = metadata(3 * UNPROVEN_PIECES * PIECE, 0);
    let bad = metadata(good.len(), 1);
    let mut bench = Bench::new(&good);
    (1..3).for_each(|peer| bench.offer(peer, good.len()));
    let spoiled = |bench: &mut Bench| loop {
        bench.ask();
        let (peer, piece) = bench.asked.pop_front().unwrap();
        if bench.piece(peer.0, piece, if peer.0 == 1 { &bad } else { &good }) == Came::Spoiled {
            return bench.now;
        }
    };
    let began = spoiled(&mut bench);
    bench.asked.clear();
    // The liar is first. Of what it is asked for it sends nothing more, but now and then another piece.
    let (mut unasked, mut sent) = (3 * UNPROVEN_PIECES as u32, began);
    while bench.now.since(began) < FRONT_DELAY + FRONT_TURN * 3 {
        bench.ask();
        let is_front = bench.fetch.front.is_some_and(|(_, alone)| alone == Some(PeerKey(1)));
        if is_front && bench.now.since(sent) >= FRONT_TURN / 2 {
            (unasked, sent) = (unasked - 1, bench.now);
            bench.piece(1, unasked, &bad);
        }
        let Some((peer, piece)) = bench.asked.pop_front() else {
            bench.now = bench.fetch.deadline().unwrap();
            continue;
        };
        let is_silent = peer == PeerKey(1) && piece as usize >= UNPROVEN_PIECES;
        let of = if peer == PeerKey(1) { &bad } else { &good };
        if !is_silent && matches!(bench.piece(peer.0, piece, of), Came::Right { .. }) {
            assert!(unasked < 3 * UNPROVEN_PIECES as u32, "the liar had a turn");
            return;
        }
    }
    panic!("no metadata");
}

/// How long it takes to have this metadata from one peer, whose answers take 100 ms, while others claim what `lies` says,
/// send their share of it as quickly, and of the rest a piece in each `pause`.
fn time_among_liars(good: &[u8], lies: &[Vec<u8>], pause: Duration) -> Duration {
    let mut bench = Bench::new(good);
    for (peer, lie) in (1..).zip(lies) {
        bench.offer(peer, lie.len());
    }
    let honest = 1000;
    bench.offer(honest, good.len());
    let (began, share) = (bench.now, (ALL_UNPROVEN_PIECES / (lies.len() + 1)) as u32);
    let mut sent = vec![began; lies.len() + 1];
    while bench.now.since(began) < Duration::from_secs(120) {
        bench.ask();
        let round: Vec<_> = bench.asked.drain(..).collect();
        for (peer, piece) in round {
            let liar = (peer.0 != honest).then_some(peer.0 as usize);
            if let Some(liar) = liar
                && piece >= share
                && bench.now.since(sent[liar]) < pause
            {
                continue;
            }
            let of = liar.map_or(good, |liar| &lies[liar - 1]);
            liar.into_iter().for_each(|liar| sent[liar] = bench.now);
            match bench.piece(peer.0, piece, of) {
                Came::Right { .. } => return bench.now.since(began),
                Came::Wrong(author) => {
                    assert_ne!(author, addr(honest));
                    bench.fetch.gone(peer);
                }
                _ => {}
            }
        }
        bench.now += Duration::from_millis(100);
    }
    panic!("no metadata");
}

#[test]
fn twenty_liars_do_not_hold_up_long_metadata() {
    let good = metadata(100 * PIECE + 77, 0);
    for pause in [Duration::MAX, Duration::from_millis(900)] {
        // Each another length a little below, or all the right one.
        let lengths = |step: usize| (1..=20).map(move |n| 100 * PIECE + 77 - n * step);
        for step in [1, 0] {
            let lies: Vec<_> = lengths(step).map(|len| metadata(len, 1)).collect();
            let took = time_among_liars(&good, &lies, pause);
            assert!(took < Duration::from_secs(30), "{took:?}, {step}, {pause:?}");
        }
    }
}

#[test]
fn answers_that_come_after_the_turn_take_no_memory() {
    let good = metadata(3 * UNPROVEN_PIECES * PIECE, 0);
    let bad = metadata(good.len() - PIECE, 1);
    let mut bench = Bench::new(&good);
    bench.offer(1, bad.len());
    bench.offer(2, good.len());
    let mut late = VecDeque::new();
    while bench.fetch.front.is_none_or(|(len, _)| len as usize != good.len()) {
        bench.ask();
        match bench.asked.pop_front() {
            Some((PeerKey(1), piece)) if piece as usize >= UNPROVEN_PIECES => late.push_back(piece),
            Some((peer, piece)) => {
                assert_eq!(bench.piece(peer.0, piece, if peer.0 == 1 { &bad } else { &good }), Came::Taken);
            }
            None => {
                bench.now += METADATA_TICK;
                late.pop_front()
                    .into_iter()
                    .for_each(|piece| assert_eq!(bench.piece(1, piece, &bad), Came::Taken));
            }
        }
    }
    assert!(late.len() + 1 >= MAX_METADATA_ASKED, "{late:?}: it goes on answering");
    for piece in late {
        assert_eq!(bench.piece(1, piece, &bad), Came::Taken);
    }
    let lie = &bench.fetch.attempts[&(bad.len() as u32, None)];
    assert_eq!(lie.held(), UNPROVEN_PIECES);
}

#[test]
fn many_liars_share_what_one_may_hold() {
    let good = metadata(5 * PIECE, 0);
    let lies: Vec<Vec<u8>> = (1..100).map(|n| metadata(2 * UNPROVEN_PIECES * PIECE + n, 1)).collect();
    let mut bench = Bench::new(&good);
    let held = |bench: &Bench| bench.fetch.attempts.values().map(Attempt::held).sum::<usize>();
    let mut most = 0;
    // From the start there is no agreement.
    bench.offer(99, lies[98].len());
    for (peer, lie) in (1..).zip(&lies) {
        bench.offer(peer, lie.len());
        bench.ask();
        while let Some((PeerKey(peer), piece)) = bench.asked.pop_front() {
            bench.piece(peer, piece, &lies[peer as usize - 1]);
            bench.ask();
            most = most.max(held(&bench));
        }
    }
    assert!(most > ALL_UNPROVEN_PIECES / 2 && most <= ALL_UNPROVEN_PIECES, "{most}");
    bench.offer(100, good.len());
    let came = bench.run(|peer| (peer == 100).then_some(&good[..]));
    assert_eq!(came, [Came::Right { metadata: good.clone(), liars: vec![] }]);
}

#[test]
fn long_metadata_that_nobody_disputes_is_had_at_once() {
    let good = metadata(3 * UNPROVEN_PIECES * PIECE, 0);
    let mut bench = Bench::new(&good);
    (1..3).for_each(|peer| bench.offer(peer, good.len()));
    let began = bench.now;
    assert_eq!(bench.run(|_| Some(&good)), [Came::Right { metadata: good.clone(), liars: vec![] }]);
    assert_eq!(bench.now, began);
}

#[test]
fn a_crowd_of_liars_does_not_keep_metadata_away() {
    let good = metadata(5 * PIECE + 7, 0);
    let mut bench = Bench::new(&good);
    let lies: Vec<Vec<u8>> = (0..20).map(|n| metadata(1 << n, 3)).collect();
    for (peer, lie) in (100..).zip(&lies) {
        bench.offer(peer, lie.len());
    }
    // Some claim the right length and send something else, some send nothing.
    let same = metadata(good.len(), 4);
    (200..210).for_each(|peer| bench.offer(peer, good.len()));
    bench.offer(300, good.len());
    let began = bench.now;
    let came = bench.run(|peer| match peer {
        100..200 if peer % 3 == 0 => None,
        100..200 => Some(&lies[peer as usize - 100]),
        200..205 => Some(&same),
        205..210 => None,
        _ => Some(&good),
    });
    let Some(Came::Right { metadata, liars }) = came.last() else { panic!("{} outcomes", came.len()) };
    assert_eq!((metadata, liars.contains(&addr(300))), (&good, false));
    let wrong = |came: &Came| matches!(came, Came::Wrong(author) if *author == addr(300));
    assert!(!came.iter().any(wrong));
    assert!(bench.now.since(began) < Duration::from_secs(15));
}

#[test]
fn remembered_lengths_are_bounded() {
    let good = metadata(1, 0);
    let mut bench = Bench::new(&good);
    for len in 0..MAX_SPOILED_LENGTHS + 10 {
        let lie = metadata(PIECE + 2 + len, 1);
        let (one, other) = (2 * len as u64, 2 * len as u64 + 1);
        bench.offer(one, lie.len());
        bench.offer(other, lie.len());
        bench.ask();
        assert_eq!(bench.piece(one, 0, &lie), Came::Taken);
        assert_eq!(bench.piece(other, 1, &lie), Came::Spoiled);
        bench.ask();
    }
    assert_eq!(bench.fetch.spoiled.len(), MAX_SPOILED_LENGTHS);
}
