//! What was recorded is told again, whatever it was; what is no recording is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use record::limits::MAX_CHUNK_LEN;
use record::{Error, MAGIC, Recorder, Replay, Replayed, Step};
use std::time::Duration;
use swarm::{Config, Input, Limits, Order, Output, PeerKey, PeerSource, Priority, Swarm};
use types::{
    BLOCK_LEN, Bitfield, BlockDigest, BlockRange, InfoHash, InfoHashV1, Lengths, PeerId, PieceIndex, Time,
};
use wire::{Message, Request, Reserved};

const PIECES: u32 = 12;
const BLOCKS: u32 = 2;
const PEERS: u64 = 4;

fn lengths() -> Lengths {
    Lengths::new(u64::from(PIECES * BLOCKS * BLOCK_LEN), BLOCKS * BLOCK_LEN).unwrap()
}

/// A swarm with its recorder.
struct Recorded {
    swarm: Swarm,
    recorder: Recorder,
    chunks: Vec<u8>,
    now: Time,
    outputs: Vec<Output>,
    inputs: u64,
}

impl Recorded {
    fn new(config: Config, have: Bitfield, seed: u64) -> Recorded {
        let (mut recorder, now) = (Recorder::new("tests"), Time::from_millis(7));
        recorder.begin(&config, &lengths(), &have, seed, now);
        let swarm = Swarm::new(config, lengths(), have, seed, now);
        Recorded { swarm, recorder, chunks: Vec::new(), now, outputs: Vec::new(), inputs: 0 }
    }

    fn tell(&mut self, input: Input<'_>) {
        self.inputs += 1;
        self.recorder.told(self.now, &input);
        self.swarm.handle(self.now, input);
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            self.recorder.did(&output);
            self.outputs.push(output);
        }
        self.chunks.extend(self.recorder.full_chunk().into_iter().flatten());
    }

    fn finish(mut self) -> (Vec<u8>, Vec<Output>, Replayed) {
        self.take_outputs();
        self.chunks.extend(self.recorder.finish());
        let outputs = self.outputs.len() as u64;
        let replayed =
            Replayed { until: self.now, inputs: self.inputs, outputs, whole: true, broken_off: false };
        (self.chunks, self.outputs, replayed)
    }
}

/// What there is in a recording, and how it ended.
fn replay(recording: &[u8]) -> (Vec<Output>, Result<Replayed, Error>) {
    let mut outputs = Vec::new();
    let replayed = Replay::new(recording).unwrap().run(|_, step| {
        if let Step::Did(output, _) = step {
            outputs.push(output);
        }
        true
    });
    (outputs, replayed)
}

/// Tells something, any of all that can be told.
fn tell_any(recorded: &mut Recorded, what: u8, n: u8, pass: u16) {
    let peer = PeerKey(u64::from(n) % PEERS);
    let piece = PieceIndex::new(u32::from(n) % PIECES);
    let block = BlockRange { piece, offset: u32::from(n & 1) * BLOCK_LEN, len: BLOCK_LEN };
    let addr = ([10, 0, 0, n], 6881).into();
    let request = Request { index: piece.get(), begin: 0, length: BLOCK_LEN };
    recorded.now += Duration::from_micros(u64::from(pass));
    match what % 32 {
        0..=3 => recorded.tell(Input::PeerConnected {
            peer,
            addr,
            outgoing: n & 1 == 0,
            peer_id: PeerId([n; 20]),
            reserved: if n & 2 == 0 { Reserved::NONE.with_fast().with_extended() } else { Reserved::NONE },
        }),
        4 => recorded.tell(Input::WebSeedReady { peer, addr, pieces: &Bitfield::full(PIECES) }),
        5 => recorded.tell(Input::Message { peer, message: Message::Unchoke }),
        6 => recorded.tell(Input::Message { peer, message: Message::Interested }),
        7 => recorded.tell(Input::Message { peer, message: Message::HaveAll }),
        8 => recorded.tell(Input::Message { peer, message: Message::Have(piece.get()) }),
        9 => recorded.tell(Input::Message { peer, message: Message::Request(request) }),
        10 => recorded.tell(Input::Message { peer, message: Message::Bitfield(vec![0xff, 0xf0].into()) }),
        11 => recorded.tell(Input::BlockReceived { peer, block }),
        12 => recorded.tell(Input::BlockRefused { peer, block }),
        13 => {
            let elsewhere = BlockRange { piece: PieceIndex::new(u32::MAX), offset: u32::from(n), ..block };
            recorded.tell(Input::Unrequested { peer, block: if n & 2 == 0 { block } else { elsewhere } });
        }
        14 => recorded.tell(Input::PeerClosed { peer }),
        15 => recorded.tell(Input::ConnectFailed { addr }),
        16 => recorded
            .tell(Input::PeersFound { addrs: &[addr, ([10, 0, 1, n], 1).into()], source: PeerSource::Dht }),
        17 => recorded.tell(Input::ExternalAddress { voice: n.into(), ip: [9, 9, 9, n].into() }),
        18 => recorded.tell(Input::PieceVerified { piece, digests: &[BlockDigest([n; 16]); 2] }),
        19 => recorded.tell(Input::PieceLost { piece }),
        20 => {
            let digests = [Some(BlockDigest([n; 16])), None];
            recorded.tell(Input::PieceFailed { piece, from_disk: n & 4 == 0, digests: &digests });
        }
        21 => recorded.tell(Input::BlockSent { peer, block }),
        22 => recorded.tell(Input::ServeFailed { peer, block }),
        23 => {
            let all = [Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
            let priorities: Vec<_> = (0..PIECES as usize).map(|i| all[(i + usize::from(n)) % 4]).collect();
            recorded.tell(Input::SetPriorities(&priorities));
        }
        24 => {
            recorded.tell(Input::SetDeadline { piece, at: (n & 1 == 0).then(|| Time::from_secs(n.into())) });
        }
        25 => recorded.tell(Input::SetOrder(if n & 1 == 0 { Order::Sequential } else { Order::RarestFirst })),
        26 => recorded.tell(Input::SetPartial { piece, blocks: &[0] }),
        27 => recorded.tell(Input::SetSuperSeed(n & 1 == 0)),
        28 => {
            let limits =
                Limits { up: Some(1 << 16), down: None, upload_slots: n.into(), max_peers: usize::MAX };
            recorded.tell(Input::SetLimits(limits));
        }
        29 => recorded.tell(if n & 1 == 0 { Input::Pause } else { Input::Resume }),
        30 => recorded.tell(Input::BlocksForgotten { piece, blocks: &[0, 1] }),
        _ => {
            recorded.inputs += 1;
            recorded.recorder.timeout(recorded.now);
            recorded.swarm.handle_timeout(recorded.now);
        }
    }
}

proptest! {
    #[test]
    fn every_input_is_told_again(
        seed: u64,
        pex: bool,
        told in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u16>(), prop::bool::weighted(0.7)), 0..300),
    ) {
        let mut recorded = Recorded::new(Config { pex, ..Config::default() }, Bitfield::new(PIECES), seed);
        for (what, n, pass, takes) in told {
            tell_any(&mut recorded, what, n, pass);
            if takes {
                recorded.take_outputs();
            }
        }
        let (recording, outputs, all) = recorded.finish();
        let (again, replayed) = replay(&recording);
        prop_assert_eq!(replayed, Ok(all));
        prop_assert_eq!(again, outputs);
    }

    #[test]
    fn what_is_cut_off_is_good_up_to_there(cut in 0..4000usize) {
        let (recording, outputs, _) = a_recording();
        let cut = cut.min(recording.len() - 1);
        if cut < MAGIC.len() {
            let expected = if cut == 0 { Error::Empty } else { Error::NotARecording };
            prop_assert_eq!(Replay::new(&recording[..cut]).map(|_| ()), Err(expected));
        } else {
            let (again, replayed) = replay(&recording[..cut]);
            prop_assert!(!replayed.unwrap().whole);
            prop_assert!(outputs.starts_with(&again));
        }
    }

    #[test]
    fn what_is_damaged_is_never_believed(at: prop::sample::Index, bit in 0..8u8) {
        let (mut recording, outputs, _) = a_recording();
        let at = at.index(recording.len());
        recording[at] ^= 1 << bit;
        match Replay::new(&recording) {
            Err(_) => prop_assert!(at < MAGIC.len()),
            Ok(_) => {
                let (again, replayed) = replay(&recording);
                prop_assert!(replayed.map_or(true, |replayed| !replayed.whole));
                prop_assert!(outputs.starts_with(&again));
            }
        }
    }
}

fn a_recording() -> (Vec<u8>, Vec<Output>, Replayed) {
    let mut recorded = Recorded::new(Config::default(), Bitfield::new(PIECES), 3);
    for n in 0..200u8 {
        tell_any(&mut recorded, n, n.wrapping_mul(7), 999);
        recorded.take_outputs();
        if n == 100 {
            let chunk = recorded.recorder.chunk();
            recorded.chunks.extend(chunk);
        }
    }
    recorded.finish()
}

#[test]
fn another_swarm_than_the_recorded_one_is_found_out() {
    // The engine ran for a while before.
    let (have, now) = (Bitfield::new(PIECES), Time::from_secs(12));
    let mut recorder = Recorder::new("another version");
    recorder.begin(&Config::default(), &lengths(), &have, 1, now);
    let now = now + Duration::from_millis(1500);
    let found = Input::PeersFound { addrs: &[([10, 0, 0, 1], 6881).into()], source: PeerSource::User };
    recorder.told(now, &found);
    recorder.did(&Output::Connect { addr: ([10, 0, 0, 2], 6881).into() });
    let (_, replayed) = replay(&recorder.finish());
    let differs = Error::Differs { at: Duration::from_millis(1500), recorded: "another version".into() };
    assert!(differs.to_string().ends_with("from 1.5000 s on (another version)"), "{differs}");
    assert_eq!(replayed, Err(differs));
}

#[test]
fn metadata_that_is_found_is_part_of_it() {
    let (config, mut now) = (Config::default(), Time::ZERO);
    let info_hash = InfoHash::V1(InfoHashV1([1; 20]));
    let mut recorder = Recorder::new("tests");
    recorder.begin_unknown(&config, info_hash, true, 5, now);
    let mut before = Swarm::of_unknown(config.clone(), info_hash, true, 5, now);
    let connected = Input::PeerConnected {
        peer: PeerKey(1),
        addr: ([10, 0, 0, 1], 6881).into(),
        outgoing: true,
        peer_id: PeerId([9; 20]),
        reserved: Reserved::NONE.with_fast().with_extended(),
    };
    let has = Input::Message { peer: PeerKey(1), message: Message::Bitfield(vec![0xff, 0xf0].into()) };
    let mut outputs = Vec::new();
    for input in [connected, has] {
        now += Duration::from_millis(1);
        recorder.told(now, &input);
        before.handle(now, input);
        while let Some(output) = before.poll_output() {
            recorder.did(&output);
            outputs.push(output);
        }
    }
    let have = Bitfield::new(PIECES);
    recorder.begin(&config, &lengths(), &have, 6, now);
    let mut swarm = Swarm::new(config, lengths(), have, 6, now);
    recorder.take_over(now);
    swarm.take_over(now, before);
    while let Some(output) = swarm.poll_output() {
        recorder.did(&output);
        outputs.push(output);
    }
    let interested = Output::Send { peer: PeerKey(1), message: Message::Interested };
    assert!(outputs.contains(&interested), "{outputs:?}");
    let (again, replayed) = replay(&recorder.finish());
    assert!(replayed.unwrap().whole);
    assert_eq!(again, outputs);
}

#[test]
fn what_the_disk_was_too_slow_for_is_said_to_be_missing() {
    let (recording, outputs, _) = a_recording();
    // Before the last chunk, as if that could not be written.
    let first = u32::from_le_bytes(recording[MAGIC.len()..][..4].try_into().unwrap()) as usize;
    let cut = [&recording[..MAGIC.len() + 8 + first], &Recorder::broken_off()].concat();
    let (again, replayed) = replay(&cut);
    let replayed = replayed.unwrap();
    assert!(replayed.broken_off && !replayed.whole && replayed.inputs > 0, "{replayed:?}");
    assert!(outputs.starts_with(&again) && again.len() < outputs.len());
    let redacted = record::redact(&cut).unwrap();
    assert!(replay(&redacted.recording).1.unwrap().broken_off, "it is said after redaction, too");
}

#[test]
fn where_nothing_is_recorded_nothing_is_redacted() {
    let (recording, ..) = a_recording();
    let head = Recorder::new("tests").finish();
    let replayed = replay(&head).1.unwrap();
    assert!(replayed.whole && replayed.is_nothing());
    for nothing in [&head, &recording[..MAGIC.len()], &recording[..MAGIC.len() + 40]] {
        assert_eq!(record::redact(nothing), Err(Error::Nothing));
    }
}

#[test]
fn a_recording_is_whole_however_much_of_it_is_gone_through() {
    let (mut recording, ..) = a_recording();
    let replayed = Replay::new(&recording).unwrap().run(|_, _| false).unwrap();
    assert!(!replayed.whole && record::is_whole(&recording));
    assert!(!record::is_whole(&recording[..recording.len() - 1]));
    recording[MAGIC.len() + 20] ^= 1;
    assert!(!record::is_whole(&recording));
    let mut replay = Replay::new(&recording).unwrap();
    assert!(replay.run(|_, _| true).is_err());
    assert!(replay.replayed().is_nothing(), "that is how far it came");
}

#[test]
fn what_is_no_recording_is_refused() {
    let refused = |bytes: &[u8]| Replay::new(bytes).map(|_| ()).unwrap_err();
    assert_eq!(refused(b""), Error::Empty);
    assert_eq!(refused(b"d8:announce"), Error::NotARecording);
    for other in [1, 3] {
        let start = [&b"rawtorrent rec\x00"[..], &[other]].concat();
        assert_eq!(refused(&start), Error::OtherForm(other));
    }
    let (_, replayed) = replay(&MAGIC);
    assert_eq!(replayed, Ok(Replayed::default()));
    // A chunk that is longer than any is damage; one that is not there is the end.
    let chunk = |len: usize| [&MAGIC[..], &u32::try_from(len).unwrap().to_le_bytes(), &[0; 4]].concat();
    assert_eq!(replay(&chunk(MAX_CHUNK_LEN + 1)).1, Err(Error::Damaged(MAGIC.len())));
    assert_eq!(replay(&chunk(MAX_CHUNK_LEN)).1, Ok(Replayed::default()));
}
