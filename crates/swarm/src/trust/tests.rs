use super::*;
use crate::limits::MAX_EVIDENCE_BLOCKS;
use alloc::vec;
use proptest::prelude::*;

const PIECE: PieceIndex = PieceIndex::new(3);

fn addr(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 6881))
}

fn authors(senders: &[Option<Suspect>]) -> Authors {
    Authors::of(senders.iter().copied())
}

/// One digest for each letter.
fn good(text: &str) -> Vec<BlockDigest> {
    text.bytes().map(|byte| BlockDigest([byte; 16])).collect()
}

/// The same; `?` is unknown.
fn sent(text: &str) -> Vec<Option<BlockDigest>> {
    let known = |digest: &BlockDigest| digest.0[0] != b'?';
    good(text).into_iter().map(|digest| Some(digest).filter(known)).collect()
}

fn named(bans: &[Ban]) -> Vec<SocketAddr> {
    bans.iter().map(|ban| ban.addr).collect()
}

impl Trust {
    fn fails(&mut self, piece: PieceIndex, senders: &[Option<Suspect>], digests: &str) -> Vec<Ban> {
        let bans = self.piece_failed(piece, &authors(senders), &sent(digests), false);
        self.check(|_| false);
        bans
    }

    fn verified(&mut self, piece: PieceIndex, senders: &[Option<Suspect>], digests: &str) -> Vec<Ban> {
        let bans = self.piece_verified(piece, &authors(senders), &good(digests));
        self.check(|other| other == piece);
        bans
    }
}

#[test]
fn one_alone_is_banned_on_every_port() {
    let mut trust = Trust::default();
    let liar = trust.connected(addr(1));
    let ban = Ban { addr: addr(1), reason: BanReason::SpoiledPiece(PIECE) };
    assert_eq!(trust.fails(PIECE, &[liar, liar], ""), [ban]);
    assert!(trust.is_banned(SocketAddr::new(addr(1).ip(), 1)));
    assert!(trust.is_banned("[::ffff:10.0.0.1]:9".parse().unwrap()));
    assert!(!trust.is_banned(addr(2)));
}

#[test]
fn over_ipv6_a_liar_is_a_whole_network() {
    let mut trust = Trust::default();
    let of = |text: &str| text.parse::<SocketAddr>().unwrap();
    let liar = trust.connected(of("[2001:db8:5::1]:7"));
    assert_eq!(trust.connected(of("[2001:db8:5::ffff:2]:8")), liar, "one suspect");
    trust.fails(PIECE, &[liar], "");
    for (same, other) in
        [("[2001:db8:5::2]:1", "[2001:db8:5:1::2]:1"), ("[2001:db8:5::ffff:2]:8", "1.2.3.4:1")]
    {
        assert!(trust.is_banned(of(same)) && !trust.is_banned(of(other)), "{same}, {other}");
    }
    let net = |n: u16| of(&alloc::format!("[2001:db8:6::{n:x}]:1"));
    (0..1000).for_each(|n| {
        trust.connected(net(n));
    });
    assert_eq!(trust.records.len(), 2, "one network takes no more room than one host");
}

#[test]
fn on_loopback_the_port_is_the_host() {
    let mut trust = Trust::default();
    let liar = trust.connected("127.0.0.1:1000".parse().unwrap());
    trust.fails(PIECE, &[liar], "");
    assert!(trust.is_banned("127.0.0.1:1000".parse().unwrap()));
    assert!(!trust.is_banned("127.0.0.1:1001".parse().unwrap()));
}

#[test]
fn the_good_piece_tells_the_liar_and_clears_the_others() {
    let mut trust = Trust::default();
    let [honest, liar, other] = [1, 2, 3].map(|n| trust.connected(addr(n)));
    assert_eq!(trust.fails(PIECE, &[honest, liar, honest, other], "abXd"), []);
    assert!(trust.on_parole(honest) && trust.on_parole(liar) && trust.on_parole(other));
    assert_eq!(trust.suspected, 3);
    let bans = trust.verified(PIECE, &[honest, other, other, other], "abXd");
    assert_eq!(bans, [], "nothing differs");
    assert_eq!(trust.suspected, 0);
    assert_eq!(trust.fails(PIECE, &[honest, liar, honest, other], "aXcd"), []);
    let bans = trust.verified(PIECE, &[liar, liar, liar, liar], "abcd");
    let reason = BanReason::WrongBlock { piece: PIECE, block: 1 };
    assert_eq!(bans, [Ban { addr: addr(2), reason }], "whoever fetched it");
    assert!(!trust.on_parole(honest) && !trust.on_parole(other));
}

#[test]
fn every_liar_of_every_attempt_is_found() {
    let mut trust = Trust::default();
    let peers: Vec<_> = (0..5).map(|n| trust.connected(addr(n))).collect();
    assert_eq!(trust.fails(PIECE, &[peers[0], peers[1], peers[2]], "aYc"), []);
    assert_eq!(trust.fails(PIECE, &[peers[3], peers[0], peers[4]], "XbZ"), []);
    let bans = trust.verified(PIECE, &[peers[0], peers[0], peers[0]], "abc");
    assert_eq!(named(&bans), [addr(1), addr(3), addr(4)]);
    assert!(peers.iter().zip(0..).all(|(peer, n)| trust.on_parole(*peer) <= trust.is_banned(addr(n))));
}

#[test]
fn two_versions_of_a_block_are_proof_before_the_piece_is_good() {
    let mut trust = Trust::default();
    let [honest, liar, other] = [1, 2, 3].map(|n| trust.connected(addr(n)));
    assert_eq!(trust.fails(PIECE, &[liar, honest], "ab"), []);
    assert_eq!(trust.fails(PIECE, &[other, honest], "Xb"), [], "one of two lied");
    let reason = BanReason::TwoVersions { piece: PIECE, block: 0 };
    assert_eq!(trust.fails(PIECE, &[liar, honest], "Yb"), [Ban { addr: addr(2), reason }]);
    assert_eq!(named(&trust.verified(PIECE, &[honest, honest], "ab")), [addr(3)], "the ban is said once");
}

#[test]
fn blocks_that_nobody_sent_ban_nobody() {
    let mut trust = Trust::default();
    let peer = trust.connected(addr(1));
    assert_eq!(trust.fails(PIECE, &[peer, None], "ab"), []);
    assert_eq!(trust.fails(PIECE, &[None, None], "XY"), []);
    assert_eq!(trust.verified(PIECE, &[None, peer], "aZ"), []);
    assert_eq!((trust.banned(), trust.suspected), (0, 0));
}

#[test]
fn what_the_disk_may_have_spoiled_is_no_proof_but_what_arrived_is() {
    let mut trust = Trust::default();
    let [reread, liar] = [1, 2].map(|n| trust.connected(addr(n)));
    assert_eq!(trust.piece_failed(PIECE, &authors(&[reread, reread]), &sent("?b"), true), []);
    assert_eq!(trust.piece_failed(PIECE, &authors(&[reread, liar]), &sent("?X"), true), []);
    assert_eq!(named(&trust.verified(PIECE, &[None, None], "ab")), [addr(2)]);
    assert!(trust.on_parole(reread), "it may have been the peer");
    trust.verified(PieceIndex::new(4), &[reread, reread], "");
    assert!(!trust.on_parole(reread), "a good piece of its own clears it");
}

/// Storage that can't tell, or tells of another number of blocks.
#[test]
fn without_digests_parole_lasts_until_a_good_piece_of_ones_own() {
    for (failed, verified) in [("", "ab"), ("aX", ""), ("aX", "abc"), ("aXc", "ab")] {
        let mut trust = Trust::default();
        let (honest, liar) = (trust.connected(addr(1)), trust.connected(addr(2)));
        assert_eq!(trust.fails(PIECE, &[honest, liar], failed), []);
        assert_eq!(trust.verified(PIECE, &[honest, liar], verified), []);
        assert!(trust.on_parole(honest) && trust.on_parole(liar), "a shared piece clears nobody");
        trust.verified(PieceIndex::new(4), &[honest, honest], "");
        assert!(!trust.on_parole(honest) && trust.on_parole(liar));
        assert_eq!(named(&trust.fails(PIECE, &[liar, liar], "")), [addr(2)]);
    }
}

#[test]
fn a_good_piece_does_not_clear_who_is_on_record() {
    let mut trust = Trust::default();
    let (honest, liar) = (trust.connected(addr(1)), trust.connected(addr(2)));
    trust.fails(PIECE, &[honest, liar], "aX");
    trust.verified(PieceIndex::new(4), &[liar, liar], "");
    assert!(trust.on_parole(liar), "the good piece will tell");
    trust.give_up(|piece| piece == PIECE);
    assert!(trust.on_parole(liar), "it will never be told");
    trust.check(|_| false);
    trust.verified(PieceIndex::new(5), &[liar, liar], "");
    assert!(!trust.on_parole(liar) && trust.on_parole(honest));
}

#[test]
fn who_leaves_and_comes_back_is_still_known() {
    let mut trust = Trust::default();
    let (honest, liar) = (trust.connected(addr(1)), trust.connected(addr(2)));
    trust.fails(PIECE, &[honest, liar], "aX");
    trust.closed(PeerKey(7), liar);
    assert_eq!(trust.departed(PeerKey(7)), liar, "its last blocks are its own");
    let back = trust.connected(SocketAddr::new(addr(2).ip(), 50_000));
    assert_eq!(back, liar, "on whatever port");
    assert!(trust.on_parole(back));
    assert_eq!(
        named(&trust.verified(PIECE, &[honest, honest], "ab")),
        [SocketAddr::new(addr(2).ip(), 50_000)]
    );
}

#[test]
fn remembers_a_bounded_number_and_first_forgets_who_is_above_suspicion() {
    let mut trust = Trust::default();
    let all = u16::try_from(MAX_SUSPECTS).unwrap();
    let suspects: Vec<_> = (0..all).map(|n| trust.connected(addr(n))).collect();
    assert_eq!(trust.connected(addr(9999)), None, "everybody is connected");
    trust.fails(PIECE, &suspects[..2], "aX");
    let unclear = PieceIndex::new(4);
    trust.fails(unclear, &suspects[2..4], "");
    trust.verified(unclear, &[None, None], "cd");
    for (n, &suspect) in (0..).zip(&suspects[..5]) {
        trust.closed(PeerKey(n), suspect);
    }
    let forgotten = |trust: &Trust| -> Vec<usize> {
        (0..5).filter(|&n| !trust.records.contains_key(&suspects[n].unwrap())).collect()
    };
    for expected in [vec![4], vec![2, 4], vec![2, 3, 4]] {
        assert!(trust.connected(addr(all + u16::try_from(expected.len()).unwrap())).is_some());
        assert_eq!(forgotten(&trust), expected);
        trust.check(|_| false);
    }
    assert_eq!(trust.connected(addr(9999)), None, "evidence is kept");
    assert_eq!(trust.fails(unclear, &[suspects[4]], ""), [], "forgotten, so not banned");
    assert_eq!(named(&trust.verified(PIECE, &[None, None], "ab")), [addr(1)]);
}

#[test]
fn connections_that_are_gone_are_bounded() {
    let mut trust = Trust::default();
    let peer = trust.connected(addr(1));
    for n in 0..=u64::try_from(MAX_DEPARTED).unwrap() {
        trust.closed(PeerKey(n), peer);
    }
    assert_eq!(trust.departed.len(), MAX_DEPARTED);
    assert_eq!((trust.departed(PeerKey(0)), trust.departed(PeerKey(1))), (None, peer));
}

#[test]
fn evidence_is_bounded_and_the_oldest_case_is_left_open() {
    let mut trust = Trust::default();
    let half = MAX_EVIDENCE_BLOCKS / 2;
    let [first, second, other, liar] = [1, 2, 3, 4].map(|n| trust.connected(addr(n)));
    let fail = |trust: &mut Trust, piece, sender, blocks| {
        let digests = vec![Some(BlockDigest([1; 16])); blocks];
        let mut senders = vec![sender; blocks];
        senders[0] = liar;
        assert_eq!(trust.piece_failed(PieceIndex::new(piece), &authors(&senders), &digests, false), []);
        trust.check(|_| false);
    };
    fail(&mut trust, 9, first, half);
    fail(&mut trust, 2, second, half);
    assert_eq!(trust.records[&first.unwrap()].cases, 1);
    fail(&mut trust, 3, other, 2);
    let cases = |trust: &Trust, suspect: Option<Suspect>| trust.records[&suspect.unwrap()].cases;
    assert_eq!([first, second, other, liar].map(|suspect| cases(&trust, suspect)), [0, 1, 1, 2]);
    assert!(trust.on_parole(first));
    fail(&mut trust, 5, first, MAX_EVIDENCE_BLOCKS + 1);
    assert_eq!([first, second, other, liar].map(|suspect| cases(&trust, suspect)), [0, 1, 1, 2], "too large");
}

#[test]
fn bans_are_bounded() {
    let mut trust = Trust::default();
    for n in 0..=u16::try_from(MAX_BANS).unwrap() {
        let liar = trust.connected(addr(n));
        assert_eq!(named(&trust.fails(PIECE, &[liar], "")), [addr(n)]);
        trust.closed(PeerKey(u64::from(n)), liar);
    }
    assert_eq!(trust.banned(), MAX_BANS);
}

const PIECES: u32 = 4;
const BLOCKS: u32 = 3;

#[derive(Clone, Debug)]
struct Try {
    piece: u32,
    /// Who sends each block; nobody if there is no such peer.
    senders: Vec<usize>,
    /// Which of them are wrong, if their sender is a liar, and how.
    wrong: Vec<u8>,
    /// Which digests are known.
    known: Vec<bool>,
    from_disk: bool,
}

fn attempt() -> impl Strategy<Value = Try> {
    let blocks = BLOCKS as usize;
    let known = proptest::collection::vec(proptest::bool::weighted(0.9), blocks);
    let wrong = proptest::collection::vec(prop_oneof![2 => Just(0u8), 1 => 1u8..3], blocks);
    let senders = proptest::collection::vec(0usize..7, blocks);
    (0..PIECES, senders, wrong, known, proptest::bool::weighted(0.1))
        .prop_map(|(piece, senders, wrong, known, from_disk)| Try { piece, senders, wrong, known, from_disk })
}

proptest! {
    /// Whatever three liars among six do: no honest host is banned, and who is proven to have lied is.
    #[test]
    fn only_liars_are_banned_and_all_that_are_proven(tries in proptest::collection::vec(attempt(), 1..60)) {
        let mut trust = Trust::default();
        let peers: Vec<_> = (0..6).map(|n| trust.connected(addr(n))).collect();
        let is_liar = |n: usize| n < 3;
        let mut pending = vec![BTreeSet::new(); PIECES as usize];
        let mut proven: BTreeSet<SocketAddr> = BTreeSet::new();
        for Try { piece, senders, wrong, known, from_disk } in tries {
            let wrong: Vec<u8> =
                senders.iter().zip(&wrong).map(|(&n, &wrong)| if is_liar(n) { wrong } else { 0 }).collect();
            let digest = |number: usize| BlockDigest([wrong[number] * 10 + u8::try_from(number).unwrap(); 16]);
            let suspects: Vec<_> = senders.iter().map(|&n| peers.get(n).copied().flatten()).collect();
            let index = PieceIndex::new(piece);
            let bans = if wrong.iter().all(|&wrong| wrong == 0) && !from_disk {
                let digests: Vec<_> = (0..BLOCKS as usize).map(digest).collect();
                proven.append(&mut pending[piece as usize]);
                trust.piece_verified(index, &authors(&suspects), &digests)
            } else {
                let digests: Vec<_> = (0..BLOCKS as usize).map(|n| known[n].then(|| digest(n))).collect();
                let lied = |n: &usize| known[*n] && wrong[*n] > 0;
                let liars = (0..BLOCKS as usize).filter(lied).map(|n| addr(u16::try_from(senders[n]).unwrap()));
                pending[piece as usize].extend(liars);
                trust.piece_failed(index, &authors(&suspects), &digests, from_disk)
            };
            trust.check(|_| false);
            for Ban { addr: banned, .. } in bans {
                prop_assert!((0..3).any(|n| addr(n) == banned), "{banned} is honest");
            }
            prop_assert!(proven.iter().all(|&liar| trust.is_banned(liar)), "{proven:?}");
        }
    }
}

#[test]
fn who_was_forgotten_is_on_no_record() {
    let mut trust = Trust::default();
    let (gone, stays) = (trust.connected(addr(1)), trust.connected(addr(2)));
    trust.closed(PeerKey(1), gone);
    assert!(trust.forget_one());
    // The piece that it took part in fails only now.
    trust.fails(PIECE, &[gone, stays], "aX");
    trust.check(|_| false);
    assert!(trust.on_parole(stays) && !trust.on_parole(gone));
}

#[test]
fn only_who_is_gone_and_innocent_is_forgotten() {
    let mut trust = Trust::default();
    let [gone, there, accused] = [1, 2, 3].map(|n| trust.connected(addr(n)));
    trust.fails(PIECE, &[accused, accused, there], "abX");
    trust.verified(PIECE, &[there, there, there], "abX");
    trust.fails(PieceIndex::new(4), &[accused, there, there], "abX");
    for (key, suspect) in [(1, gone), (3, accused)] {
        trust.closed(PeerKey(key), suspect);
    }
    trust.forget_innocent(Time::ZERO);
    trust.check(|_| false);
    assert_eq!(trust.records.keys().copied().map(Some).collect::<Vec<_>>(), [there, accused]);
    assert_eq!(trust.departed(PeerKey(3)), None);
    assert_ne!(trust.connected(addr(1)), gone, "it is another one to us now");
}
