//! Flight recorder: what a swarm was told, written compactly, and told again to another one.
//!
//! The same seed and the same inputs at the same times give the same outputs, so a recording holds the inputs only, and
//! of the outputs a checksum. [`Recorder`] writes while a [`Swarm`](swarm::Swarm) runs; [`Replay`] makes a new swarm of
//! the recording, lets whoever listens hear all that goes in and comes out, and says where the outputs are not the same
//! ones any more.
//!
//! A recording is [`MAGIC`], then chunks: the length of what follows and its CRC-32C, four bytes each, the low one first;
//! then whole records in [postcard](https://postcard.jamesmunns.com/wire-format)'s encoding. One that was cut off is good up to its last whole chunk.
//!
//! ```
//! use record::{Recorder, Replay, Step};
//! use swarm::{Config, Input, PeerSource, Swarm};
//! use types::{Bitfield, Lengths, Time};
//!
//! let (lengths, have, now) = (Lengths::new(1 << 20, 1 << 18).unwrap(), Bitfield::new(4), Time::ZERO);
//! let mut recorder = Recorder::new("an example");
//! recorder.begin(&Config::default(), &lengths, &have, 1, now);
//! let mut swarm = Swarm::new(Config::default(), lengths, have, 1, now);
//! let found = Input::PeersFound { addrs: &["10.0.0.7:6881".parse().unwrap()], source: PeerSource::Tracker };
//! recorder.told(now, &found);
//! swarm.handle(now, found);
//! while let Some(output) = swarm.poll_output() {
//!     recorder.did(&output);
//! }
//! let recording = recorder.finish();
//!
//! let mut dialed = 0;
//! let replay = Replay::new(&recording).unwrap().run(|_, step| {
//!     dialed += usize::from(matches!(step, Step::Did(swarm::Output::Connect { .. }, _)));
//!     true
//! });
//! assert!(replay.is_ok() && dialed == 1);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod digest;
mod frame;
pub mod limits;
mod recorder;
mod redact;
mod replay;
mod tell;

pub use recorder::{MAGIC, Recorder};
pub use redact::{Redacted, redact};
pub use replay::{Error, Replay, Replayed, Step, Torrent, is_whole};
pub use tell::Teller;
