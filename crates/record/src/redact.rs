//! A recording without the addresses and names in it.
//!
//! Each address, peer id and info-hash gets another one, always the same. What is of one network stays so, and what sorts
//! before something else does, so that a swarm decides the same wherever that is all that counts. Where it counts on hashes
//! of addresses (BEP 6, 40) it may decide otherwise: several choices are tried, and what the swarm does with the best one is
//! what the new recording is checked by.
//!
//! What a peer calls itself, and extensions that not every client knows, become one text, whatever it was: a text can spell an
//! address in too many ways. Peer ids still begin with the client.
//!
//! Which pieces a peer may have while it is choked tells its network (BEP 6), and which we may have, ours: the new swarm gives
//! each peer those of its new address, and hears of others than were recorded. What was asked for while choked stays.
//!
//! Of a magnet link the metadata is in the recording, and so the names of files: its pieces are replaced by others of the same
//! length, those that are alike by the same ones, and the info-hash by that of what they make.

mod names;
#[cfg(test)]
mod tests;

use crate::frame::{Frame, Told};
use crate::limits::MAX_TRIES;
use crate::replay::{Error, Replay, Step, Torrent, each_frame};
use crate::{MAGIC, Recorder};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use names::{Extensions, Names, Seen, Whose};
use swarm::{Input, Output};
use types::Time;
use wire::{Message, ext};

/// A recording that says nothing of who took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The new recording, which replays.
    pub recording: Vec<u8>,
    /// How many addresses were replaced; those of this machine alone (loopback) stay.
    pub addresses: usize,
    /// When the swarm does the first thing that it did not do with the true addresses, since the recording began.
    pub differs: Option<core::time::Duration>,
}

/// Replaces addresses, peer ids, the info-hash and metadata in a recording, and what peers call themselves and their extensions.
/// The client stays as the peer id tells it, and ports.
///
/// # Errors
/// Those of [`Replay`]; [`Error::TooMany`]; [`Error::Nothing`].
pub fn redact(recording: &[u8]) -> Result<Redacted, Error> {
    let seen = Seen::of(recording)?;
    let mut best: Option<Redacted> = None;
    for salt in 0..MAX_TRIES {
        let names = Names::new(&seen, salt).ok_or(Error::TooMany)?;
        let redacted = Rewriting::new(names).run(recording)?;
        let Some(at) = redacted.differs else { return Ok(redacted) };
        if best.as_ref().is_none_or(|best| best.differs < Some(at)) {
            best = Some(redacted);
        }
    }
    best.ok_or(Error::TooMany)
}

/// Two swarms side by side: one is told what was recorded, one what is written instead.
struct Rewriting {
    names: Names,
    /// The numbers that extensions have in messages to us.
    ours: Extensions,
    /// The numbers that they have in messages to each peer.
    theirs: BTreeMap<u64, Extensions>,
    /// How many pieces each peer said are allowed while it chokes us.
    allowed: BTreeMap<u64, u32>,
    began: Option<Time>,
    differs: Option<Time>,
    recorder: Recorder,
    pieces: u32,
}

impl Rewriting {
    fn new(names: Names) -> Rewriting {
        Rewriting {
            names,
            ours: Extensions::default(),
            theirs: BTreeMap::new(),
            allowed: BTreeMap::new(),
            began: None,
            differs: None,
            recorder: Recorder::empty(),
            pieces: 0,
        }
    }

    fn run(mut self, recording: &[u8]) -> Result<Redacted, Error> {
        let mut original = Replay::new(recording)?;
        let mut redacted = Replay::new(&MAGIC)?;
        let mut out = Vec::new();
        each_frame(recording, |_, frame| {
            let done = self.frame(frame, &mut original, &mut redacted);
            out.extend(self.recorder.full_chunk().into_iter().flatten());
            done
        })?;
        out.extend(self.recorder.chunk());
        let differs = self.differs.zip(self.began).map(|(at, began)| at.since(began));
        Ok(Redacted { recording: out, addresses: self.names.addresses(), differs })
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        original: &mut Replay<'_>,
        redacted: &mut Replay<'_>,
    ) -> Result<bool, Error> {
        if matches!(frame, Frame::Did { .. }) {
            let mut did = Vec::new();
            original.play_on(frame, &mut |_, step| {
                if let Step::Did(output, _) = step {
                    did.push(output);
                }
                true
            })?;
            self.compare(&did, original.now(), redacted);
            return Ok(true);
        }
        let other = self.other(&frame);
        let began = matches!(frame, Frame::Begin { .. } | Frame::BeginUnknown { .. });
        original.play_on(frame, &mut |_, step| {
            if let Step::Began(_, Torrent::Known(lengths, _)) = step {
                self.pieces = lengths.piece_count();
            }
            true
        })?;
        if began {
            self.began = self.began.or(Some(original.now()));
        }
        self.recorder.put(&other);
        // What is written can be told, since what was recorded could.
        redacted.play_on(other, &mut |_, _| true)?;
        Ok(true)
    }

    /// What the other swarm does, which is what its recording is checked by.
    fn compare(&mut self, did: &[Output], now: Time, redacted: &mut Replay<'_>) {
        for output in did {
            self.learn(output);
            let expected = self.output(output);
            let other = redacted.take();
            if !is_same(other.as_ref(), &expected) && self.differs.is_none() {
                self.differs = Some(now);
            }
            if let Some(other) = other {
                self.recorder.did(&other);
            }
        }
        // Once it does otherwise it may do more: a driver leaves nothing undone.
        while self.differs.is_some()
            && let Some(more) = redacted.take()
        {
            self.recorder.did(&more);
        }
        self.recorder.note_outputs();
    }

    /// Which numbers extensions have is said in our extension handshake.
    fn learn(&mut self, output: &Output) {
        if let Output::Send { message: Message::Extended { id: 0, payload }, .. } = output {
            self.ours = Extensions::told(payload).unwrap_or(self.ours);
        }
    }

    fn other<'a>(&mut self, frame: &Frame<'a>) -> Frame<'a> {
        let mut other = frame.clone();
        match &mut other {
            Frame::Begin { config, .. } => self.names.settings(config),
            Frame::BeginUnknown { config, info_hash, .. } => {
                self.names.settings(config);
                *info_hash = self.names.torrent(*info_hash);
            }
            Frame::Told { what, .. } => self.told(what),
            Frame::By(_)
            | Frame::TakeOver { .. }
            | Frame::Timeout { .. }
            | Frame::Did { .. }
            | Frame::End
            | Frame::BrokenOff => {}
        }
        other
    }

    fn told(&mut self, what: &mut Told<'_>) {
        match what {
            Told::Connected { addr, peer_id, .. } => {
                *addr = self.names.addr(*addr);
                *peer_id = self.names.id(*peer_id);
            }
            Told::WebSeed { addr, .. } | Told::ConnectFailed { addr } => *addr = self.names.addr(*addr),
            Told::Found { addrs, .. } => addrs.iter_mut().for_each(|addr| *addr = self.names.addr(*addr)),
            Told::External { ip, .. } => *ip = self.names.ip(*ip),
            Told::Message { peer, bytes } => {
                let other = crate::frame::message(bytes, self.pieces)
                    .and_then(|message| self.message(*peer, &message))
                    .map(|message| {
                        let mut other = Vec::new();
                        message.encode(&mut other);
                        other
                    });
                if let Some(other) = other {
                    *bytes = other.into();
                }
            }
            Told::Closed { peer } => {
                self.theirs.remove(peer);
                self.allowed.remove(peer);
            }
            _ => {}
        }
    }

    /// What a peer says instead; `None`: the same.
    fn message(&mut self, peer: u64, message: &Message<'_>) -> Option<Message<'static>> {
        match message {
            Message::Extended { id, payload } => {
                if *id == 0
                    && let Some(told) = Extensions::told(payload)
                {
                    self.theirs.insert(peer, told);
                }
                let payload = self.names.payload(Whose::Theirs, *id, payload, self.ours).into();
                Some(Message::Extended { id: *id, payload })
            }
            // They are told by addresses that stay.
            Message::AllowedFast(_) if self.names.addresses() == 0 => None,
            Message::AllowedFast(_) => {
                let next = self.allowed.entry(peer).or_default();
                // Before the metadata is here nobody knows how many there are.
                let piece = if self.pieces == 0 { *next } else { *next % self.pieces };
                *next = next.wrapping_add(1);
                Some(Message::AllowedFast(piece))
            }
            _ => None,
        }
    }

    /// What is expected in place of an output.
    fn output(&self, output: &Output) -> Output {
        match output {
            Output::Connect { addr } => Output::Connect { addr: self.names.addr(*addr) },
            Output::Banned { addr, reason } => {
                Output::Banned { addr: self.names.addr(*addr), reason: *reason }
            }
            Output::Send { peer, message: Message::Extended { id, payload } } => {
                let theirs = self.theirs.get(&peer.0).copied().unwrap_or_default();
                let payload = self.names.payload(Whose::Ours, *id, payload, theirs).into();
                Output::Send { peer: *peer, message: Message::Extended { id: *id, payload } }
            }
            other => other.clone(),
        }
    }
}

/// Whether it is what is expected. Which piece a choked peer may have depends on its address, and may be another one.
fn is_same(did: Option<&Output>, expected: &Output) -> bool {
    match (did, expected) {
        (
            Some(Output::Send { peer: did, message: Message::AllowedFast(_) }),
            Output::Send { peer, message: Message::AllowedFast(_) },
        ) => did == peer,
        _ => did == Some(expected),
    }
}

impl Seen {
    /// Every address, peer id and piece of metadata in a recording.
    fn of(recording: &[u8]) -> Result<Seen, Error> {
        let (mut seen, mut ours) = (Seen::default(), Extensions::default());
        let mut replay = Replay::new(recording)?;
        let mut hear = |seen: &mut Seen, step: Step<'_>| {
            match step {
                Step::Began(config, _) => {
                    config.external.iter().for_each(|&ip| seen.ip(ip));
                    seen.id(config.peer_id.0);
                }
                Step::Told(input) => seen.input(input, ours),
                Step::Did(Output::Send { message: Message::Extended { id: 0, payload }, .. }, _) => {
                    ours = Extensions::told(&payload).unwrap_or(ours);
                }
                Step::TookOver | Step::Timeout | Step::Did(..) => {}
            }
            true
        };
        each_frame(recording, |_, frame| {
            let goes_on = replay.play_on(frame, &mut |_, step| hear(&mut seen, step))?;
            if let Some(metadata) = replay.take_metadata() {
                seen.found(metadata);
            }
            Ok(goes_on)
        })?;
        if replay.replayed().is_nothing() { Err(Error::Nothing) } else { Ok(seen) }
    }

    fn input(&mut self, input: &Input<'_>, ours: Extensions) {
        match input {
            Input::PeerConnected { addr, peer_id, .. } => {
                self.ip(addr.ip());
                self.id(peer_id.0);
            }
            Input::WebSeedReady { addr, .. } | Input::ConnectFailed { addr } => self.ip(addr.ip()),
            Input::PeersFound { addrs, .. } => addrs.iter().for_each(|addr| self.ip(addr.ip())),
            Input::ExternalAddress { ip, .. } => self.ip(*ip),
            Input::Message { message: Message::Extended { id, payload }, .. } => {
                if *id == 0
                    && let Ok(told) = ext::Handshake::decode(payload)
                {
                    let ips = [told.yourip, told.ipv4.map(Into::into), told.ipv6.map(Into::into)];
                    ips.into_iter().flatten().for_each(|ip| self.ip(ip));
                } else if ours.is_pex(*id)
                    && let Ok(told) = ext::Pex::decode(payload)
                {
                    told.added.iter().for_each(|peer| self.ip(peer.addr.ip()));
                    told.dropped.iter().for_each(|addr| self.ip(addr.ip()));
                } else if ours.is_holepunch(*id)
                    && let Ok(told) = ext::Holepunch::decode(payload)
                {
                    self.ip(told.addr.ip());
                } else if ours.is_metadata(*id)
                    && let Ok(Some(ext::Metadata::Data { data, .. })) = ext::Metadata::decode(payload)
                {
                    self.piece(&data);
                }
            }
            _ => {}
        }
    }
}
