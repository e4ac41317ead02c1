//! What a swarm says, as one typed and versioned stream of events.
//!
//! A [`Watch`] makes [`EventKind`]s of what a [`Swarm`](swarm::Swarm) is told and does; drivers add what a swarm does not
//! see (trackers, dials, the disk). A [`Filter`] says which are wanted, [`Event::mask`] takes addresses out, `Display` tells
//! each in a line, [`explain`] what a message is for, and a [`Pcap`] writes them as TCP streams that Wireshark reads.
//! [`why`](why::why) ranks what holds a torrent back.
//!
//! ```
//! use swarm::{Input, PeerKey};
//! use trace::{EventKind, Filter, Kind, Ours, Watch};
//! use types::{InfoHashV1, PeerId, Time};
//! use wire::Reserved;
//!
//! let ours = Ours {
//!     info_hash: InfoHashV1([1; 20]),
//!     peer_id: PeerId::ours([7; 12]),
//!     reserved: Reserved::NONE.with_fast().with_extended(),
//! };
//! let mut watch = Watch::new(ours);
//! let (peer, peer_id) = (PeerKey(1), PeerId(*b"-TR4050-abcdefghijkl"));
//! let addr = "10.0.0.7:6881".parse().unwrap();
//! let connected = Input::PeerConnected { peer, addr, outgoing: true, peer_id, reserved: Reserved::NONE };
//! let mut told = Vec::new();
//! watch.told(Time::ZERO, &connected, &mut |kind| told.push(kind));
//! let filter: Filter = "handshake,in".parse().unwrap();
//! told.retain(|kind| filter.admits_kind(kind));
//! assert!(matches!(told[..], [EventKind::Handshake { .. }]) && told[0].kind() == Kind::Handshake);
//! assert!(told[0].to_string().contains("Transmission 4.0.5"));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod event;
pub mod explain;
mod filter;
mod form;
pub mod limits;
mod line;
mod mask;
mod message;
mod pcap;
mod spelled;
mod watch;
pub mod why;

pub use event::{Direction, Event, EventKind, Evidence, Kind, NO_TORRENT, Peer, VERSION};
pub use filter::{Filter, FilterError};
pub use mask::scrub;
pub use message::{Block, Ext, Hashes, Said};
pub use pcap::Pcap;
pub use watch::{Ours, Watch};
