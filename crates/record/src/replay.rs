//! Reading, and telling again.

use crate::digest::Outputs;
use crate::frame::{Frame, Told};
use crate::limits::MAX_CHUNK_LEN;
use crate::recorder::{CHUNK_HEADER, CRC, MAGIC};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use swarm::{Config, Input, Output, Swarm};
use thiserror::Error;
use types::{Bitfield, InfoHash, Lengths, Time};

/// Why a recording can't be replayed, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// No swarm was told anything in it, or did anything.
    #[error("it ends before anything was recorded that could be checked")]
    Nothing,
    /// It does not begin with [`MAGIC`].
    #[error("this is no recording of rawtorrent")]
    NotARecording,
    /// It begins with another version of [`MAGIC`].
    #[error("the recording has form {0}, which this version of rawtorrent can't read")]
    OtherForm(u8),
    /// A chunk is not what was written, from this byte on.
    #[error("the recording is damaged at byte {0}")]
    Damaged(usize),
    /// A record says what no swarm can be told.
    #[error("the recording says something impossible at byte {0}")]
    Impossible(usize),
    /// There are not so many other networks.
    #[error("it has more networks than there are other ones for")]
    TooMany,
    /// The swarm does not do what it did when it was recorded.
    #[error("what the swarm does is not what it did when it was recorded, from {:.4} s on ({recorded})", .at.as_secs_f64())]
    Differs {
        /// When, since the recording began.
        at: Duration,
        /// By whom it was recorded: another version may well do something else.
        recorded: String,
    },
}

/// What happens in a replay.
#[derive(Debug)]
pub enum Step<'a> {
    /// A swarm begins.
    Began(&'a Config, Torrent<'a>),
    /// It takes over connections, addresses and bans of the one before.
    TookOver,
    /// It is told something.
    Told(&'a Input<'a>),
    /// It lets deadlines pass.
    Timeout,
    /// What it says is to be done, and the swarm that says it.
    Did(Output, &'a Swarm),
}

/// What is known of a recorded torrent.
#[derive(Clone, Copy, Debug)]
pub enum Torrent<'a> {
    /// Its size, and what was there when the recording began.
    Known(Lengths, &'a Bitfield),
    /// Its info-hash only.
    Unknown(InfoHash),
}

/// How far a replay came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// When the last thing happened.
    pub until: Time,
    /// What was told, deadlines included.
    pub inputs: u64,
    /// What was said to be done.
    pub outputs: u64,
    /// The recording has its end; else it was cut off, or whoever listens had enough: see [`is_whole`].
    pub whole: bool,
    /// It was cut off by the recorder, since the disk was too slow for more.
    pub broken_off: bool,
}

impl Replayed {
    /// There was nothing that could be checked.
    pub fn is_nothing(&self) -> bool {
        self.inputs == 0 && self.outputs == 0
    }
}

/// A recording that is replayed.
#[derive(Debug)]
pub struct Replay<'a> {
    bytes: &'a [u8],
    by: String,
    swarm: Option<Playing>,
    /// What waits to be taken over.
    before: Option<Box<Swarm>>,
    /// When the first swarm began.
    began: Option<Time>,
    now: Time,
    taken: Outputs,
    replayed: Replayed,
}

#[derive(Debug)]
struct Playing {
    swarm: Box<Swarm>,
    lengths: Lengths,
}

/// Whether to go on.
type Flow = Result<bool, Fault>;

/// What is wrong with one record.
enum Fault {
    Impossible,
    Differs,
}

impl<'a> Replay<'a> {
    /// Replays what is in `bytes`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotARecording`], [`Error::OtherForm`].
    pub fn new(bytes: &'a [u8]) -> Result<Replay<'a>, Error> {
        let (version, name) = MAGIC.split_last().expect("16 bytes");
        match bytes.strip_prefix(name).and_then(<[u8]>::first) {
            None if bytes.is_empty() => return Err(Error::Empty),
            None => return Err(Error::NotARecording),
            Some(found) if found != version => return Err(Error::OtherForm(*found)),
            Some(_) => {}
        }
        Ok(Replay {
            bytes,
            by: String::new(),
            swarm: None,
            before: None,
            began: None,
            now: Time::ZERO,
            taken: Outputs::default(),
            replayed: Replayed::default(),
        })
    }

    /// Goes through all of it, or until `hear`, which is told of every step in order, says `false`. To be called once.
    ///
    /// # Errors
    /// All but those of [`new`](Self::new); every step before was heard.
    pub fn run(&mut self, mut hear: impl FnMut(Time, Step<'_>) -> bool) -> Result<Replayed, Error> {
        let bytes = self.bytes;
        each_frame(bytes, |here, frame| self.play_at(here, frame, &mut hear))?;
        Ok(self.replayed)
    }

    /// How far it came, if it went wrong too.
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    /// Goes on with one record, wherever it comes from.
    pub(crate) fn play_on(
        &mut self,
        frame: Frame<'_>,
        hear: &mut impl FnMut(Time, Step<'_>) -> bool,
    ) -> Result<bool, Error> {
        self.play_at(0, frame, hear)
    }

    fn play_at(
        &mut self,
        here: usize,
        frame: Frame<'_>,
        hear: &mut impl FnMut(Time, Step<'_>) -> bool,
    ) -> Result<bool, Error> {
        self.play(frame, hear).map_err(|fault| match fault {
            Fault::Impossible => Error::Impossible(here),
            Fault::Differs => {
                let at = self.now.since(self.began.unwrap_or(self.now));
                Error::Differs { at, recorded: self.by.clone() }
            }
        })
    }

    /// What the swarm has found of a torrent of which only the info-hash was known; given once.
    pub(crate) fn take_metadata(&mut self) -> Option<Vec<u8>> {
        self.swarm.as_mut()?.swarm.take_metadata()
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The next output of the swarm, whatever was recorded.
    pub(crate) fn take(&mut self) -> Option<Output> {
        self.swarm.as_mut()?.swarm.poll_output()
    }

    fn play(&mut self, frame: Frame<'_>, hear: &mut impl FnMut(Time, Step<'_>) -> bool) -> Flow {
        match frame {
            Frame::By(by) => {
                self.by = by;
                Ok(true)
            }
            Frame::Begin { at, config, total, piece_length, have, seed } => {
                self.now = Time::from_nanos(at);
                let config = config.read().ok_or(Fault::Impossible)?;
                let lengths = Lengths::new(total, piece_length).map_err(|_| Fault::Impossible)?;
                let have = Bitfield::from_wire(&have, lengths.piece_count()).ok_or(Fault::Impossible)?;
                let goes_on = hear(self.now, Step::Began(&config, Torrent::Known(lengths, &have)));
                self.begin(Swarm::new(config, lengths, have, seed, self.now), lengths);
                Ok(goes_on)
            }
            Frame::BeginUnknown { at, config, info_hash, wants_content, seed } => {
                self.now = Time::from_nanos(at);
                let config = config.read().ok_or(Fault::Impossible)?;
                let info_hash = info_hash.into();
                let goes_on = hear(self.now, Step::Began(&config, Torrent::Unknown(info_hash)));
                let swarm = Swarm::of_unknown(config, info_hash, wants_content, seed, self.now);
                self.begin(swarm, Lengths::new(1, 1).expect("a piece of one byte"));
                Ok(goes_on)
            }
            Frame::TakeOver { after } => {
                self.pass(after);
                let before = self.before.take().ok_or(Fault::Impossible)?;
                let now = self.now;
                self.playing()?.swarm.take_over(now, *before);
                Ok(hear(self.now, Step::TookOver))
            }
            Frame::Told { after, what } => {
                self.pass(after);
                self.tell(&what, hear)
            }
            Frame::Timeout { after } => {
                self.pass(after);
                let now = self.now;
                self.playing()?.swarm.handle_timeout(now);
                Ok(hear(self.now, Step::Timeout))
            }
            Frame::Did { count, digest } => self.compare(count, digest, hear),
            Frame::End => {
                self.replayed.whole = true;
                Ok(false)
            }
            Frame::BrokenOff => {
                self.replayed.broken_off = true;
                Ok(false)
            }
        }
    }

    fn begin(&mut self, swarm: Swarm, lengths: Lengths) {
        self.began = self.began.or(Some(self.now));
        self.replayed.until = self.now;
        let before = self.swarm.replace(Playing { swarm: Box::new(swarm), lengths });
        self.before = before.map(|playing| playing.swarm);
    }

    fn playing(&mut self) -> Result<&mut Playing, Fault> {
        self.swarm.as_mut().ok_or(Fault::Impossible)
    }

    fn pass(&mut self, after: u64) {
        self.now = Time::from_nanos(self.now.as_nanos().saturating_add(after));
        self.replayed.until = self.now;
        self.replayed.inputs += 1;
    }

    fn tell(&mut self, told: &Told<'_>, hear: &mut impl FnMut(Time, Step<'_>) -> bool) -> Flow {
        let now = self.now;
        let Playing { swarm, lengths } = self.playing()?;
        let told = told.tell(lengths, |input| {
            let goes_on = hear(now, Step::Told(&input));
            swarm.handle(now, input);
            goes_on
        });
        told.ok_or(Fault::Impossible)
    }

    /// Takes as many outputs as were taken then: they are the same ones if the checksum is.
    fn compare(&mut self, count: u32, digest: u64, hear: &mut impl FnMut(Time, Step<'_>) -> bool) -> Flow {
        for _ in 0..count {
            let output = self.playing()?.swarm.poll_output().ok_or(Fault::Differs)?;
            self.taken.add(&output);
            self.replayed.outputs += 1;
            let now = self.now;
            let swarm = &self.playing()?.swarm;
            if !hear(now, Step::Did(output, swarm)) {
                return Ok(false);
            }
        }
        if self.taken.digest == digest { Ok(true) } else { Err(Fault::Differs) }
    }
}

/// Whether a recording has its end, and nothing before it is damaged; it is not replayed.
pub fn is_whole(recording: &[u8]) -> bool {
    let mut has_end = false;
    let read = each_frame(recording, |_, frame| {
        has_end = matches!(frame, Frame::End);
        Ok(!has_end)
    });
    read.is_ok() && has_end
}

/// Hands out every record and where it begins, until `each` says `false`.
pub(crate) fn each_frame(
    bytes: &[u8],
    mut each: impl FnMut(usize, Frame<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let Some(records) = chunk(&bytes[at..]).ok_or(Error::Damaged(at))? else { break };
        at += CHUNK_HEADER;
        let mut rest = records;
        while !rest.is_empty() {
            let here = at + records.len() - rest.len();
            let (frame, left) = postcard::take_from_bytes(rest).map_err(|_| Error::Damaged(here))?;
            rest = left;
            if !each(here, frame)? {
                return Ok(());
            }
        }
        at += records.len();
    }
    Ok(())
}

/// The records of the chunk at the start of `bytes`: `None` if that was cut off, the outer one if it is damaged.
fn chunk(bytes: &[u8]) -> Option<Option<&[u8]>> {
    let Some((header, rest)) = bytes.split_first_chunk::<CHUNK_HEADER>() else { return Some(None) };
    let [a, b, c, d, sum @ ..] = *header;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > MAX_CHUNK_LEN {
        return None;
    }
    let Some(records) = rest.get(..len) else { return Some(None) };
    (CRC.checksum(records) == u32::from_le_bytes(sum)).then_some(Some(records))
}
