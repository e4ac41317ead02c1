//! What listening costs on the way of a block: `cargo xtask overhead` counts the instructions of [`measured`], with a swarm
//! alone, with one that nobody listens to, and with one that somebody does.

pub(crate) mod whole;

use super::{Brain, Ears};
use crate::Settings;
use crate::events::Filter;
#[cfg(debug_assertions)]
use crate::events::Kind;
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, Swarm};
use types::{BLOCK_LEN, Bitfield, InfoHash, InfoHashV1, Lengths, PeerId, Time};
use wire::{Message, Reserved};

/// 200 MiB in pieces of 256 KiB.
const PIECE: u32 = 256 * 1024;
const SIZE: u64 = 200 << 20;

trait Leech {
    fn handle(&mut self, now: Time, input: Input<'_>);
    fn poll_output(&mut self) -> Option<Output>;
}

impl Leech for Swarm {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        Swarm::handle(self, now, input);
    }
    fn poll_output(&mut self) -> Option<Output> {
        Swarm::poll_output(self)
    }
}

impl Leech for Brain {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        Brain::handle(self, now, input);
    }
    fn poll_output(&mut self) -> Option<Output> {
        Brain::poll_output(self)
    }
}

fn lengths() -> Lengths {
    Lengths::new(SIZE, PIECE).unwrap()
}

fn nothing() -> Bitfield {
    Bitfield::new(lengths().piece_count())
}

/// Downloads all of it from one peer that answers at once; how many blocks that took.
#[inline(never)]
fn measured(leech: &mut impl Leech) -> u64 {
    let (lengths, mut now, peer) = (lengths(), Time::from_secs(1), PeerKey(0));
    let addr = "192.0.2.1:6881".parse().unwrap();
    let (peer_id, reserved) = (PeerId(*b"-qB5100-abcdefghijkl"), Reserved::NONE.with_fast());
    leech.handle(now, Input::PeerConnected { peer, addr, outgoing: false, peer_id, reserved });
    leech.handle(now, Input::Message { peer, message: Message::HaveAll });
    leech.handle(now, Input::Message { peer, message: Message::Unchoke });
    let mut left: Vec<u32> = lengths.pieces().map(|piece| lengths.piece_len(piece) / BLOCK_LEN).collect();
    let (mut blocks, mut finished) = (0, false);
    while !finished {
        let mut asked = Vec::new();
        while let Some(output) = leech.poll_output() {
            match output {
                Output::Request { block, .. } => asked.push(block),
                Output::Finished => finished = true,
                _ => {}
            }
        }
        assert!(finished || !asked.is_empty(), "it asks for nothing more");
        now += Duration::from_millis(1);
        for block in asked {
            blocks += 1;
            leech.handle(now, Input::BlockReceived { peer, block });
            let left = &mut left[block.piece.index()];
            *left -= 1;
            if *left == 0 {
                leech.handle(now, Input::PieceVerified { piece: block.piece, digests: &[] });
            }
        }
    }
    blocks
}

fn swarm() -> Swarm {
    // The same chance as in all of them.
    fastrand::seed(1);
    Swarm::new(Config::default(), lengths(), nothing(), fastrand::u64(..), Time::from_secs(1))
}

/// A brain that would be heard; what `run` makes of it and of those who may listen.
fn with_ears<T>(run: impl FnOnce(&mut Brain, &Shared) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let home = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::new(Settings::new(home.path()), &[], None, None).unwrap());
    let config = Config::default();
    let peer_id = config.peer_id;
    fastrand::seed(1);
    let mut brain = Brain::new(None, config, lengths(), nothing(), Time::from_secs(1));
    brain.set_ears(Ears::new(shared.clone(), InfoHash::V1(InfoHashV1([1; 20])), peer_id));
    run(&mut brain, &shared)
}

fn heard(listen: bool) {
    with_ears(|brain, shared| {
        let events = listen.then(|| shared.hub.listen(Filter::all()));
        assert_eq!(measured(brain), SIZE / u64::from(BLOCK_LEN));
        // More events than wait for anybody: blocks asked for, and blocks that came.
        assert_eq!(events.is_some_and(|events| events.lost() > 0), listen);
    });
}

/// How many allocations that takes, and of how many bytes.
#[cfg(debug_assertions)]
fn allocated(leech: &mut impl Leech) -> (u64, u64) {
    let counted = allocation_counter::measure(|| {
        measured(leech);
    });
    (counted.count_total, counted.bytes_total)
}

/// Not where instructions are counted: who counts allocations has each of them take longer.
#[cfg(debug_assertions)]
#[test]
fn while_nobody_listens_nothing_is_allocated_for_events() {
    let alone = allocated(&mut swarm());
    assert!(alone.0 > 0, "it counts");
    assert_eq!(alone, with_ears(|brain, _| allocated(brain)), "nobody listens");
    let to_others = with_ears(|brain, shared| {
        let _events = shared.hub.listen(Filter::of(&[Kind::Tracker]));
        allocated(brain)
    });
    assert_eq!(alone, to_others, "nobody listens to this");
    let somebody = with_ears(|brain, shared| {
        let _events = shared.hub.listen(Filter::all());
        allocated(brain)
    });
    assert!(somebody.0 > alone.0 && somebody.1 > alone.1, "{somebody:?} {alone:?}");
}

#[test]
fn alone() {
    assert_eq!(measured(&mut swarm()), SIZE / u64::from(BLOCK_LEN));
}

#[test]
fn off() {
    heard(false);
}

#[test]
fn on() {
    heard(true);
}
