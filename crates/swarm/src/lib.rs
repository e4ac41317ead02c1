//! The brain of one torrent: whom to ask for what, whom to serve, whom to trust.
//!
//! [`Swarm`] does no I/O, reads no clock and holds no payload. The driver hands in what happened
//! ([`Swarm::handle`]) and lets deadlines pass ([`Swarm::handle_timeout`]), then does what
//! [`Swarm::poll_output`] says until it says nothing more, and comes back at [`Swarm::poll_timeout`] at the
//! latest. The same seed and the same inputs at the same times give the same outputs.
//!
//! ```
//! use swarm::{Config, Input, Output, PeerSource, Swarm};
//! use types::{Bitfield, Lengths, Time};
//!
//! let lengths = Lengths::new(1 << 20, 1 << 18).unwrap();
//! let mut swarm = Swarm::new(Config::default(), lengths, Bitfield::new(4), 1, Time::ZERO);
//! let addr = "10.0.0.7:6881".parse().unwrap();
//! swarm.handle(Time::ZERO, Input::PeersFound { addrs: &[addr], source: PeerSource::Tracker });
//! assert!(std::iter::from_fn(|| swarm.poll_output()).any(|output| output == Output::Connect { addr }));
//! ```
//!
//! One owner calls it with `&mut self`; there is no lock, channel or `Arc` inside. Its parts know nothing of each
//! other: the picker (which block next), the window (how many at once), the choker (whom to serve), spread and
//! super seed (which piece to whom), metadata (what the torrent is, if only its hash is known), the address book (whom to dial), trust (who spoiled what), two buckets (how much
//! may pass); [`Swarm`] makes them talk.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod allowed_fast;
mod availability;
mod book;
mod bucket;
mod buggify;
mod choker;
mod config;
mod dial_guard;
mod event;
mod exchange;
pub mod limits;
mod line;
mod metadata;
mod pace;
mod peer;
mod picker;
mod pieces;
#[cfg(feature = "planted")]
mod planted;
mod priority;
mod quota;
mod rate;
mod slots;
mod source;
mod spread;
mod stats;
mod super_seed;
mod swarm;
mod trust;
mod window;
mod wish;

pub use config::{Config, Limits};
pub use dial_guard::{DialGuard, crowd, host};
pub use event::{BanReason, DisconnectReason, Input, Output, PeerKey};
#[cfg(feature = "planted")]
pub use planted::Planted;
pub use source::PeerSource;
pub use stats::{Greeting, PeerView, Stats, Supply};
pub use swarm::Swarm;
pub use wish::{Order, Priority};
