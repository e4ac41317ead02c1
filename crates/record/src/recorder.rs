//! Writing.

use crate::digest::Outputs;
use crate::frame::{Frame, Told};
use crate::limits::CHUNK_LEN;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use crc::{CRC_32_ISCSI, Crc};
use swarm::{Config, Input, Output};
use types::{Bitfield, InfoHash, Lengths, Time};

/// The first bytes of a recording; the last one is the version of the form.
pub const MAGIC: [u8; 16] = *b"rawtorrent rec\x00\x02";

pub(crate) const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Bytes of a chunk before its records.
pub(crate) const CHUNK_HEADER: usize = 8;

/// Writes down what a swarm is told. Every call of the swarm is to be told, in order.
#[derive(Debug)]
pub struct Recorder {
    /// What goes out first.
    head: Vec<u8>,
    /// Records of the chunk that is being filled.
    records: Vec<u8>,
    last: Time,
    /// When it was when a chunk was given out last, by [`due_chunk`](Self::due_chunk).
    given: Time,
    /// Outputs that are not written down yet.
    taken: Outputs,
}

impl Recorder {
    /// A recorder that notes down first who made the recording, as `rawtorrent 0.1.0`.
    pub fn new(by: &str) -> Recorder {
        let mut recorder = Recorder::empty();
        recorder.put(&Frame::By(String::from(by)));
        recorder
    }

    /// One that has noted nothing down.
    pub(crate) fn empty() -> Recorder {
        let (records, taken) = (Vec::new(), Outputs::default());
        Recorder { head: MAGIC.into(), records, last: Time::ZERO, given: Time::ZERO, taken }
    }

    /// A swarm begins: what [`Swarm::new`](swarm::Swarm::new) is given.
    pub fn begin(&mut self, config: &Config, lengths: &Lengths, have: &Bitfield, seed: u64, now: Time) {
        let (total, piece_length) = (lengths.total(), lengths.piece_length());
        let (at, config, have) = (self.at(now), config.into(), have.as_bytes().into());
        self.put(&Frame::Begin { at, config, total, piece_length, have, seed });
    }

    /// The same of [`Swarm::of_unknown`](swarm::Swarm::of_unknown).
    pub fn begin_unknown(
        &mut self,
        config: &Config,
        info_hash: InfoHash,
        wants_content: bool,
        seed: u64,
        now: Time,
    ) {
        let (at, config, info_hash) = (self.at(now), config.into(), info_hash.into());
        self.put(&Frame::BeginUnknown { at, config, info_hash, wants_content, seed });
    }

    /// The swarm that began last takes over what the one before it has.
    pub fn take_over(&mut self, now: Time) {
        let after = self.after(now);
        self.put(&Frame::TakeOver { after });
    }

    /// [`Swarm::handle`](swarm::Swarm::handle).
    pub fn told(&mut self, now: Time, input: &Input<'_>) {
        let after = self.after(now);
        self.put(&Frame::Told { after, what: Told::of(input) });
    }

    /// [`Swarm::handle_timeout`](swarm::Swarm::handle_timeout).
    pub fn timeout(&mut self, now: Time) {
        let after = self.after(now);
        self.put(&Frame::Timeout { after });
    }

    /// What [`Swarm::poll_output`](swarm::Swarm::poll_output) said.
    pub fn did(&mut self, output: &Output) {
        self.taken.add(output);
    }

    /// A chunk, if one is full.
    pub fn full_chunk(&mut self) -> Option<Vec<u8>> {
        (self.records.len() >= CHUNK_LEN).then(|| self.chunk())
    }

    /// A chunk, if one is full, or if there is something for one and none was given out for so long: then whoever is cut off
    /// loses no more than what was told since. To be asked for when all outputs were taken; what time it is then is when
    /// something was told last.
    pub fn due_chunk(&mut self, after: Duration) -> Option<Vec<u8>> {
        let is_late = !self.records.is_empty() && self.last - self.given >= after;
        if !is_late && self.records.len() < CHUNK_LEN {
            return None;
        }
        self.given = self.last;
        self.note_outputs();
        Some(self.chunk())
    }

    /// All that is there, though it be no full chunk.
    pub fn chunk(&mut self) -> Vec<u8> {
        let mut chunk = core::mem::take(&mut self.head);
        if !self.records.is_empty() {
            let len = u32::try_from(self.records.len()).expect("a chunk and one record");
            chunk.extend(len.to_le_bytes());
            chunk.extend(CRC.checksum(&self.records).to_le_bytes());
            chunk.append(&mut self.records);
        }
        chunk
    }

    /// The last chunk of a recording whose later ones could not be written, since they came faster than the disk takes them;
    /// to be put after the last one that could be.
    pub fn broken_off() -> Vec<u8> {
        let mut recorder = Recorder { head: Vec::new(), ..Recorder::empty() };
        recorder.put(&Frame::BrokenOff);
        recorder.chunk()
    }

    /// The last chunk: the recording is whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.note_outputs();
        self.put(&Frame::End);
        self.chunk()
    }

    fn at(&mut self, now: Time) -> u64 {
        self.note_outputs();
        self.last = now;
        now.as_nanos()
    }

    fn after(&mut self, now: Time) -> u64 {
        self.note_outputs();
        let after = now.as_nanos().saturating_sub(self.last.as_nanos());
        self.last = self.last.max(now);
        after
    }

    /// Before the next input: which outputs came before it.
    pub(crate) fn note_outputs(&mut self) {
        let Outputs { count, digest } = self.taken;
        if count > 0 {
            self.put(&Frame::Did { count, digest });
            self.taken.count = 0;
        }
    }

    pub(crate) fn put(&mut self, frame: &Frame<'_>) {
        let records = core::mem::take(&mut self.records);
        self.records = postcard::to_extend(frame, records).expect("memory is all it takes");
    }
}
